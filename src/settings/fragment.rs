//! Pure: one configuration file as it is written.

use super::{BridgeDirectory, ExpectedDriver, Multipath, Policy, Repair, Settings, StaleRecords};
use crate::model::checks::is_check;
use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;
use toml::Spanned;

/// A job that takes longer is not waited for by anybody.
const LONGEST_JOB: u64 = 3600;
/// More often would be polling; more rarely, a change that nobody tells lasts too long.
const INTERVALS: std::ops::RangeInclusive<u64> = 10..=86_400;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Fragment {
    kubelet: Kubelet,
    bridge: Bridge,
    iscsi: Iscsi,
    drivers: Drivers,
    features: Features,
    packages: Packages,
    checks: Checks,
    systemd: Systemd,
    agent: Agent,
    metrics: Metrics,
    contract: Contract,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [kubelet]")]
struct Kubelet {
    root_dir: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [bridge]")]
struct Bridge {
    enabled: Option<bool>,
    directories: Option<Spanned<Vec<Spanned<String>>>>,
    repair_legacy: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [iscsi]")]
struct Iscsi {
    enabled: Option<bool>,
    multipath: Option<Multipath>,
    stale_records: Option<StaleRecords>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [drivers]")]
struct Drivers {
    expected: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [features]")]
struct Features {
    encryption: Option<bool>,
    rwx: Option<bool>,
    v2_engine: Option<bool>,
    flexvolume: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [packages]")]
struct Packages {
    policy: Option<Policy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [checks]")]
struct Checks {
    ignore: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [systemd]")]
struct Systemd {
    job_timeout: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [agent]")]
struct Agent {
    interval: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [metrics]")]
struct Metrics {
    textfile: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table, [contract]")]
struct Contract {
    repair: Option<Spanned<Repair>>,
    drivers: Option<Vec<Spanned<String>>>,
    namespaces: Option<Vec<Spanned<String>>>,
}

/// A value that has the right type and cannot be used.
pub(super) struct Invalid {
    /// Byte offset of the value.
    pub(super) at: usize,
    pub(super) message: String,
}

fn invalid<T>(value: &Spanned<T>, message: String) -> Invalid {
    Invalid { at: value.span().start, message }
}

fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

impl Fragment {
    /// Puts what this fragment of `file` says over `settings`; `line` gives the line of a byte offset.
    pub(super) fn apply(
        self,
        settings: &mut Settings,
        file: &str,
        line: &dyn Fn(usize) -> usize,
    ) -> Result<(), Invalid> {
        if let Some(root) = self.kubelet.root_dir {
            let parsed = KubeletRoot::parse(root.get_ref().as_bytes());
            settings.root_dir =
                Some(parsed.map_err(|error| invalid(&root, format!("kubelet.root-dir: {error}")))?);
        }
        set(&mut settings.bridge.enabled, self.bridge.enabled);
        set(&mut settings.bridge.repair_legacy, self.bridge.repair_legacy);
        if let Some(directories) = self.bridge.directories {
            if directories.get_ref().is_empty() {
                let message =
                    "bridge.directories: expected at least one; bridge.enabled = false turns it off";
                return Err(invalid(&directories, message.to_owned()));
            }
            let parse = |name: &Spanned<String>| {
                BridgeDirectory::parse(name.get_ref()).map_err(|expected| {
                    invalid(name, format!("bridge.directories: {:?}: expected {expected}", name.get_ref()))
                })
            };
            settings.bridge.directories =
                directories.get_ref().iter().map(parse).collect::<Result<_, _>>()?;
        }
        settings.iscsi = self.iscsi.enabled.or(settings.iscsi);
        if let Some(names) = self.drivers.expected {
            let expected = |name: &Spanned<String>| expected_driver(name, file, line(name.span().start));
            settings.expected_drivers = Some(names.iter().map(expected).collect::<Result<_, _>>()?);
        }
        set(&mut settings.multipath, self.iscsi.multipath);
        set(&mut settings.stale_records, self.iscsi.stale_records);
        set(&mut settings.features.encryption, self.features.encryption);
        set(&mut settings.features.rwx, self.features.rwx);
        set(&mut settings.features.v2_engine, self.features.v2_engine);
        set(&mut settings.features.flexvolume, self.features.flexvolume);
        if self.packages.policy.is_some() {
            settings.packages = self.packages.policy;
        }
        if let Some(names) = self.checks.ignore {
            let parse = |name: &Spanned<String>| match is_check(name.get_ref()) {
                true => Ok(name.get_ref().clone()),
                false => {
                    let message = format!(
                        "checks.ignore: there is no check {:?}; csihost check shows the names of all, as does csihost(8)",
                        name.get_ref()
                    );
                    Err(invalid(name, message))
                }
            };
            settings.ignored = names.iter().map(parse).collect::<Result<_, _>>()?;
        }
        if let Some(seconds) = self.systemd.job_timeout {
            if !(1..=LONGEST_JOB).contains(seconds.get_ref()) {
                let message = format!("systemd.job-timeout: expected 1 to {LONGEST_JOB} seconds");
                return Err(invalid(&seconds, message));
            }
            settings.job_timeout = Duration::from_secs(*seconds.get_ref());
        }
        if let Some(seconds) = self.agent.interval {
            if !INTERVALS.contains(seconds.get_ref()) {
                let (least, most) = (INTERVALS.start(), INTERVALS.end());
                return Err(invalid(&seconds, format!("agent.interval: expected {least} to {most} seconds")));
            }
            settings.interval = Duration::from_secs(*seconds.get_ref());
        }
        if let Some(path) = self.metrics.textfile {
            // node_exporter reads what ends so, and nothing else (collector/textfile.go).
            let named =
                |path: &HostPath| path.file_name().strip_suffix(b".prom").is_some_and(|n| !n.is_empty());
            let parsed = HostPath::parse(path.get_ref().as_bytes()).ok().filter(named);
            let expected = "metrics.textfile: expected an absolute path that ends in .prom";
            settings.textfile = Some(parsed.ok_or_else(|| invalid(&path, expected.to_owned()))?);
        }
        self.contract.apply(&mut settings.contract)
    }
}

impl Contract {
    fn apply(self, contract: &mut super::Contract) -> Result<(), Invalid> {
        if let Some(names) = self.drivers {
            contract.drivers = all(&names, "contract.drivers", "a driver's name", |name| {
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            })?;
        }
        if let Some(names) = self.namespaces {
            contract.namespaces = all(&names, "contract.namespaces", "a Kubernetes namespace", |name| {
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })?;
        }
        if let Some(repair) = self.repair {
            contract.repair = *repair.get_ref();
            // Which these are is for a person to say: never all by default.
            if contract.repair == Repair::Graft
                && contract.drivers.is_empty()
                && contract.namespaces.is_empty()
            {
                let message = "contract.repair: \"graft\" is for the plugins that contract.drivers or \
                    contract.namespaces name, in this file or in an earlier one";
                return Err(invalid(&repair, message.to_owned()));
            }
        }
        Ok(())
    }
}

fn expected_driver(name: &Spanned<String>, file: &str, line: usize) -> Result<ExpectedDriver, Invalid> {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    };
    let (driver, protocol) = match name.get_ref().split_once('/') {
        Some((driver, protocol)) => (driver, Some(protocol)),
        None => (name.get_ref().as_str(), None),
    };
    if !word(driver) || !protocol.is_none_or(word) {
        let message =
            format!("drivers.expected: {:?}: expected a driver's name, or NAME/PROTOCOL", name.get_ref());
        return Err(invalid(name, message));
    }
    let protocol = protocol.map(str::to_owned);
    Ok(ExpectedDriver { driver: driver.to_owned(), protocol, file: file.to_owned(), line })
}

/// The names, each of which has to be `right`.
fn all(
    names: &[Spanned<String>],
    key: &str,
    expected: &str,
    right: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Invalid> {
    let parse = |name: &Spanned<String>| match !name.get_ref().is_empty() && right(name.get_ref()) {
        true => Ok(name.get_ref().clone()),
        false => Err(invalid(name, format!("{key}: {:?}: expected {expected}", name.get_ref()))),
    };
    names.iter().map(parse).collect()
}
