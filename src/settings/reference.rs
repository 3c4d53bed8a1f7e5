//! Pure: every setting, in words: what docs/settings.md is made of.
//!
//! Defaults and examples are TOML that is parsed in the tests: a default is what holds without it, an
//! example is not.

use std::fmt::Write as _;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The table that it is in.
    pub table: &'static str,
    /// Its name there.
    pub key: &'static str,
    /// What it can be.
    pub values: &'static str,
    /// What it is where nobody says otherwise, as TOML; `None` where there is none, or not one for all.
    pub default: Option<&'static str>,
    /// Another value, as TOML.
    pub example: &'static str,
    /// What it does.
    pub what: &'static str,
}

const YES_NO: &str = "`true`, `false`";

/// All of them, by table.
pub const SETTINGS: [Setting; 20] = [
    Setting {
        table: "kubelet",
        key: "root-dir",
        values: "an absolute path",
        default: None,
        example: "\"/srv/kubelet\"",
        what: "The kubelet's root, taken for granted: it wins over all evidence. Only for where the root cannot be detected",
    },
    Setting {
        table: "bridge",
        key: "enabled",
        values: YES_NO,
        default: Some("true"),
        example: "false",
        what: "Whether the kubelet's directories are bound to where CSI drivers look for them",
    },
    Setting {
        table: "bridge",
        key: "directories",
        values: "paths relative to the kubelet's root",
        default: Some("[\"pods\", \"plugins\", \"plugins_registry\"]"),
        example: "[\"pods\", \"plugins\"]",
        what: "Which directories the bridge joins",
    },
    Setting {
        table: "bridge",
        key: "repair-legacy",
        values: YES_NO,
        default: Some("false"),
        example: "true",
        what: "Whether bind mounts of an unused tree over the kubelet's own directories are taken away, lines of \
               /etc/fstab included",
    },
    Setting {
        table: "contract",
        key: "repair",
        values: "`report`, `align`, `graft`",
        default: Some("\"report\""),
        example: "\"align\"",
        what: "What is done where what a plugin mounts does not reach the kubelet: tell it; have the kubelet use \
               /var/lib/kubelet from its next start on; bring the name of the root into the plugin \
               ([contract.md](contract.md))",
    },
    Setting {
        table: "contract",
        key: "drivers",
        values: "names of CSI drivers",
        default: Some("[]"),
        example: "[\"driver.longhorn.io\"]",
        what: "With `graft`: the drivers whose plugins are grafted",
    },
    Setting {
        table: "contract",
        key: "namespaces",
        values: "Kubernetes namespaces",
        default: Some("[]"),
        example: "[\"longhorn-system\"]",
        what: "With `graft`: the namespaces of the pods whose plugins are grafted",
    },
    Setting {
        table: "iscsi",
        key: "enabled",
        values: YES_NO,
        default: None,
        example: "false",
        what: "Makes the host ready for iSCSI (package, startup line, initiator name, modules, units), or leaves it alone. \
               Without it the drivers of the node decide; where none is known yet, it is made ready for Longhorn",
    },
    Setting {
        table: "iscsi",
        key: "multipath",
        values: "`report`, `blacklist`, `ignore`",
        default: Some("\"report\""),
        example: "\"blacklist\"",
        what: "Where multipathd would take Longhorn's disks: tell it; keep it from these alone by a drop-in; nothing",
    },
    Setting {
        table: "iscsi",
        key: "stale-records",
        values: "`report`, `remove`, `ignore`",
        default: Some("\"report\""),
        example: "\"remove\"",
        what: "Records of iSCSI targets without a session: tell them; move Longhorn's own aside; nothing",
    },
    Setting {
        table: "drivers",
        key: "expected",
        values: "names of CSI drivers, `NAME/PROTOCOL` where the driver profile has several",
        default: None,
        example: "[\"csi.trident.netapp.io/nfs\"]",
        what: "The drivers that this node will have, so that their needs are met before they register. In place of the \
               default, Longhorn; drivers that do register are added",
    },
    Setting {
        table: "packages",
        key: "policy",
        values: "`install`, `require`, `ignore`",
        default: None,
        example: "\"install\"",
        what: "Packages that are missing: install them by the system's package manager; tell the command; nothing. The \
               os-profile has the default",
    },
    Setting {
        table: "features",
        key: "encryption",
        values: YES_NO,
        default: Some("false"),
        example: "true",
        what: "Encrypted volumes: dm_crypt and cryptsetup",
    },
    Setting {
        table: "features",
        key: "rwx",
        values: YES_NO,
        default: Some("false"),
        example: "true",
        what: "Volumes that many pods write to: an NFS client",
    },
    Setting {
        table: "features",
        key: "v2-engine",
        values: YES_NO,
        default: Some("false"),
        example: "true",
        what: "Longhorn's second engine: nvme_tcp, vfio_pci, uio_pci_generic, huge pages",
    },
    Setting {
        table: "features",
        key: "flexvolume",
        values: YES_NO,
        default: Some("false"),
        example: "true",
        what: "The tools that FlexVolume's scripts call, and its directory",
    },
    Setting {
        table: "checks",
        key: "ignore",
        values: "names of checks",
        default: Some("[]"),
        example: "[\"multipathd\"]",
        what: "Checks that are listed, and do not count; csihost(8) has the names of all",
    },
    Setting {
        table: "systemd",
        key: "job-timeout",
        values: "seconds, 1 to 3600",
        default: Some("30"),
        example: "60",
        what: "How long a systemd job may take",
    },
    Setting {
        table: "agent",
        key: "interval",
        values: "seconds, 10 to 86400",
        default: Some("300"),
        example: "600",
        what: "How often the agent looks for what no event tells",
    },
    Setting {
        table: "metrics",
        key: "textfile",
        values: "an absolute path that ends in `.prom`",
        default: None,
        example: "\"/var/lib/prometheus/node-exporter/csihost.prom\"",
        what: "A file in the directory of node_exporter's textfile collector, which each turn replaces",
    },
];

/// docs/settings.md.
pub fn page() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         <!-- Made of src/settings/reference.rs: UPDATE_SETTINGS=1 cargo test --test documented -->\n\n\
         All are optional. They are in `/etc/csihost/csihost.toml` and `/etc/csihost/csihost.toml.d/*.toml`; files in /etc win\n\
         over those of the same name in /run and /usr/lib, and a later one over an earlier, key by key. A key or value that is\n\
         none is an error with file and line, exit code 78, and changes nothing. csihost.toml(5) has the rest.\n",
    );
    let mut table = "";
    for setting in &SETTINGS {
        if setting.table != table {
            table = setting.table;
            let head = "| key | values | default | |\n| --- | --- | --- | --- |";
            // Writing to a String cannot fail.
            let _ = writeln!(page, "\n## [{table}]\n\n{head}");
        }
        let default = setting.default.map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", setting.key, setting.values, setting.what);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, parse};
    use super::*;

    #[test]
    fn the_defaults_are_what_holds_without_them_and_the_examples_are_not() {
        for Setting { table, key, default, example, .. } in SETTINGS {
            let given = |value: &str| {
                let text = format!("[{table}]\n{key} = {value}\n");
                parse([("csihost.toml", text.as_bytes())]).unwrap_or_else(|error| panic!("{error}"))
            };
            if let Some(default) = default {
                assert_eq!(given(default), Settings::default(), "{table}.{key}");
            }
            assert_ne!(given(example), Settings::default(), "{table}.{key}");
        }
    }
}
