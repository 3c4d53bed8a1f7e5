//! Pure: configuration fragments in, one validated [`Settings`] out.
//!
//! A fragment is a TOML file in which everything is optional; later fragments win key by key.
//! What comes out cannot be wrong: values were checked where they were read, with file and line.

mod fragment;
pub mod reference;

use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use fragment::Fragment;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Where settings are looked for, weakest first. In each there may be a `csihost.toml` and a
/// directory `csihost.toml.d` of `*.toml`; a file in a later place replaces one of its name in an
/// earlier one (systemd's rule, UAPI.6).
pub const PLACES: [&str; 3] = ["/usr/lib/csihost", "/run/csihost", "/etc/csihost"];

/// What the administrator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The kubelet root, where it is to be taken for granted (`kubelet.root-dir`).
    pub root_dir: Option<KubeletRoot>,
    /// The bridge.
    pub bridge: Bridge,
    /// True if the host is made ready for iSCSI; `None` where the drivers decide (`iscsi.enabled`).
    pub iscsi: Option<bool>,
    /// The drivers that this node serves, known before they register (`drivers.expected`).
    pub expected_drivers: Option<Vec<ExpectedDriver>>,
    /// What is done about multipathd (`iscsi.multipath`).
    pub multipath: Multipath,
    /// What is done about node records without a session (`iscsi.stale-records`).
    pub stale_records: StaleRecords,
    /// What else volumes of this node need (`features`).
    pub features: Features,
    /// Who installs packages (`packages.policy`); the os-profile says where this does not.
    pub packages: Option<Policy>,
    /// Checks whose results do not count (`checks.ignore`).
    pub ignored: BTreeSet<String>,
    /// How long a systemd job may take (`systemd.job-timeout`, in seconds).
    pub job_timeout: Duration,
    /// How often the agent looks without being told that something changed (`agent.interval`, in
    /// seconds): nobody tells of changed propagation, or of a module that is unloaded.
    pub interval: Duration,
    /// What is done for plugins whose mounts do not reach the kubelet (`contract`).
    pub contract: Contract,
    /// Where the last turn is told to Prometheus' node_exporter (`metrics.textfile`).
    pub textfile: Option<HostPath>,
}

/// Who installs a package that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// csihost, with the system's package manager; never while the system boots.
    Install,
    /// A person: it is checked, and the command is told.
    #[default]
    Require,
    /// Nobody, and it is not checked.
    Ignore,
}

/// What csihost does where multipathd would take the disks that iSCSI brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Multipath {
    /// Tells.
    Report,
    /// Adds a drop-in that leaves Longhorn's disks alone, and no others.
    Blacklist,
    /// Nothing.
    Ignore,
}

/// What csihost does about records of targets that are gone: each makes every login slow or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaleRecords {
    /// Tells.
    Report,
    /// Removes Longhorn's own that have no session.
    Remove,
    /// Nothing.
    Ignore,
}

/// What csihost does where what a plugin mounts does not reach the kubelet, though the bridge is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Tells.
    #[default]
    Report,
    /// Has the kubelet use the standard path from its next start on, with its data where they are.
    Align,
    /// Mounts what the plugin has of the kubelet's directories where the kubelet says that they are.
    Graft,
}

/// What is done for plugins in breach of the path contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contract {
    /// The way (`contract.repair`).
    pub repair: Repair,
    /// The drivers whose plugins are grafted (`contract.drivers`).
    pub drivers: BTreeSet<String>,
    /// The Kubernetes namespaces whose plugins are grafted (`contract.namespaces`).
    pub namespaces: BTreeSet<String>,
}

/// A driver that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedDriver {
    /// Its name.
    pub driver: String,
    /// The protocol of its driver profile, where one is chosen (`NAME/PROTOCOL`).
    pub protocol: Option<String>,
    /// The file that names it.
    pub file: String,
    /// The line there, counted from 1.
    pub line: usize,
}

/// The name of Longhorn's CSI driver.
pub const LONGHORN: &str = "driver.longhorn.io";

/// What volumes of this node need beside iSCSI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Encrypted volumes: dm_crypt, cryptsetup (`features.encryption`).
    pub encryption: bool,
    /// Volumes that many pods write to: an NFS client (`features.rwx`).
    pub rwx: bool,
    /// Longhorn's second engine: NVMe over TCP, user space drivers, huge pages (`features.v2-engine`).
    pub v2_engine: bool,
    /// FlexVolume drivers and the tools that their scripts call (`features.flexvolume`).
    pub flexvolume: bool,
}

impl Features {
    /// The kernel modules that these features need. Those of the second engine are in Longhorn's driver profile.
    pub fn modules(&self) -> Vec<&'static str> {
        let of = |asked: bool, modules: &'static [&'static str]| if asked { modules } else { &[] };
        [of(self.encryption, &["dm_crypt"]), of(self.rwx, &["nfs"])].concat()
    }
}

/// What the administrator wants of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Whether it is built (`bridge.enabled`).
    pub enabled: bool,
    /// Which directories it joins, relative to the roots (`bridge.directories`).
    pub directories: Vec<BridgeDirectory>,
    /// Whether what known wrong cures have put over the kubelet's directories is taken away
    /// (`bridge.repair-legacy`).
    pub repair_legacy: bool,
}

/// A directory of the kubelet root that is bridged: relative, clean, and never the root itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BridgeDirectory(String);

impl BridgeDirectory {
    /// Checks a directory's name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("a directory below the kubelet root, such as \"pods\"");
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("a relative path without empty parts, \".\" and \"..\"");
        }
        Ok(Self(text.to_owned()))
    }

    /// The relative path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Settings {
    fn default() -> Self {
        let directories = ["pods", "plugins", "plugins_registry"];
        Self {
            root_dir: None,
            bridge: Bridge {
                enabled: true,
                directories: directories.map(|name| BridgeDirectory(name.to_owned())).to_vec(),
                repair_legacy: false,
            },
            iscsi: None,
            expected_drivers: None,
            multipath: Multipath::Report,
            stale_records: StaleRecords::Report,
            features: Features::default(),
            packages: None,
            ignored: BTreeSet::new(),
            job_timeout: Duration::from_secs(30),
            interval: Duration::from_secs(300),
            contract: Contract::default(),
            textfile: None,
        }
    }
}

/// Something in a configuration file that cannot be used: where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, counted from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// An error of the TOML reader, with its line.
    pub fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, span.start));
        Self { file: file.to_owned(), line, message: error.message().trim().replace('\n', ", ") }
    }
}

/// The line of byte `at`, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&b| b == b'\n').count()
}

/// Reads `files`, each a name and its bytes, weakest first.
pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    for (file, bytes) in files {
        let text = std::str::from_utf8(bytes).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: Some(1 + bytes.iter().take(error.valid_up_to()).filter(|&&b| b == b'\n').count()),
            message: "not UTF-8".to_owned(),
        })?;
        let fragment: Fragment =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
        let line = |at| line_of(text, at);
        fragment.apply(&mut settings, file, &line).map_err(|invalid| ConfigError {
            file: file.to_owned(),
            line: Some(line_of(text, invalid.at)),
            message: invalid.message,
        })?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Settings, String> {
        parse([("/etc/csihost/csihost.toml", text.as_bytes())]).map_err(|error| error.to_string())
    }

    #[test]
    fn no_file_at_all_gives_the_defaults() {
        assert_eq!(parse([]), Ok(Settings::default()));
        assert_eq!(one(""), Ok(Settings::default()));
    }

    #[test]
    fn later_fragments_win_key_by_key() {
        let settings = parse([
            ("a", &b"[kubelet]\nroot-dir = '/srv/kubelet'\n[systemd]\njob-timeout = 5\n"[..]),
            (
                "b",
                b"[bridge]\ndirectories = ['pods', 'plugins/kubernetes.io']\n[systemd]\njob-timeout = 90\n",
            ),
        ])
        .unwrap();
        assert_eq!(settings.root_dir, KubeletRoot::parse(b"/srv/kubelet").ok());
        assert_eq!(settings.job_timeout, Duration::from_secs(90));
        assert_eq!(settings.bridge.directories[1].as_str(), "plugins/kubernetes.io");
        assert!(settings.bridge.enabled && !settings.bridge.repair_legacy);
        assert!(one("[bridge]\nrepair-legacy = true\n").is_ok());
    }

    #[test]
    fn wrong_values_are_named_with_file_line_and_what_was_expected() {
        for (text, error) in [
            (
                "[kubelet]\nroot-dir = 'var/lib'\n",
                "csihost.toml:2: kubelet.root-dir: \"var/lib\" is not absolute",
            ),
            ("\n[bridge]\ndirectories = ['pods', '../x']\n", "csihost.toml:3: bridge.directories"),
            ("[bridge]\ndirectories = ['']\n", "csihost.toml:2: bridge.directories"),
            ("[bridge]\ndirectories = []\n", "csihost.toml:2: bridge.directories"),
            ("[systemd]\njob-timeout = 0\n", "csihost.toml:2: systemd.job-timeout"),
            ("[agent]\ninterval = 1\n", "csihost.toml:2: agent.interval: expected 10 to 86400 seconds"),
            (
                "[metrics]\ntextfile = 'csihost.prom'\n",
                "csihost.toml:2: metrics.textfile: expected an absolute",
            ),
            (
                "[metrics]\ntextfile = '/x/csihost.txt'\n",
                "csihost.toml:2: metrics.textfile: expected an absolute",
            ),
            (
                "[metrics]\ntextfile = '/x/../.prom'\n",
                "csihost.toml:2: metrics.textfile: expected an absolute",
            ),
            (
                "[contract]\nrepair = 'graft'\n",
                "csihost.toml:2: contract.repair: \"graft\" is for the plugins that contract.drivers or contract.namespaces",
            ),
            (
                "[contract]\ndrivers = ['a b']\n",
                "csihost.toml:2: contract.drivers: \"a b\": expected a driver's name",
            ),
            (
                "[contract]\nnamespaces = ['A/b']\n",
                "csihost.toml:2: contract.namespaces: \"A/b\": expected a",
            ),
            ("[systemd]\njob-timeout = 'x'\n", "csihost.toml:2: invalid type"),
            (
                "[drivers]\nexpected = ['a b']\n",
                "csihost.toml:2: drivers.expected: \"a b\": expected a driver's name, or NAME/PROTOCOL",
            ),
            ("[drivers]\nexpected = ['a/']\n", "csihost.toml:2: drivers.expected: \"a/\": expected"),
            ("[kubelt]\n", "csihost.toml:1: unknown field `kubelt`"),
            ("[packages]\npolicy = 'always'\n", "csihost.toml:2: unknown variant `always`"),
            (
                "[checks]\nignore = [\n 'multipathd',\n 'multipath',\n]\n",
                "csihost.toml:4: checks.ignore: there is no check \"multipath\"",
            ),
            ("[kubelet\n", "csihost.toml:1: "),
            ("[kubelet]\nroot_dir = '/x'\n", "csihost.toml:2: unknown field `root_dir`"),
        ] {
            let message = one(text).unwrap_err();
            assert!(message.contains(error), "{text:?}: {message}");
        }
        let error = parse([("f", &b"a = 1\n\xff"[..])]).unwrap_err();
        assert_eq!(error.to_string(), "f:2: not UTF-8");
    }
}
