//! Pure: one configuration file as it is written.

use super::{BridgeDirectory, Settings};
use crate::model::kubelet::KubeletRoot;
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// A job that takes longer is not waited for by anybody.
const LONGEST_JOB: u64 = 3600;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Fragment {
    kubelet: Kubelet,
    bridge: Bridge,
    iscsi: Iscsi,
    systemd: Systemd,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Kubelet {
    root_dir: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Bridge {
    enabled: Option<bool>,
    directories: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Iscsi {
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Systemd {
    job_timeout: Option<Spanned<u64>>,
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

impl Fragment {
    /// Puts what this fragment says over `settings`.
    pub(super) fn apply(self, settings: &mut Settings) -> Result<(), Invalid> {
        if let Some(root) = self.kubelet.root_dir {
            let parsed = KubeletRoot::parse(root.get_ref().as_bytes());
            settings.root_dir =
                Some(parsed.map_err(|error| invalid(&root, format!("kubelet.root-dir: {error}")))?);
        }
        if let Some(enabled) = self.bridge.enabled {
            settings.bridge.enabled = enabled;
        }
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
        if let Some(enabled) = self.iscsi.enabled {
            settings.iscsi = enabled;
        }
        if let Some(seconds) = self.systemd.job_timeout {
            if !(1..=LONGEST_JOB).contains(seconds.get_ref()) {
                let message = format!("systemd.job-timeout: expected 1 to {LONGEST_JOB} seconds");
                return Err(invalid(&seconds, message));
            }
            settings.job_timeout = Duration::from_secs(*seconds.get_ref());
        }
        Ok(())
    }
}
