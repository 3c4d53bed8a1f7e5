//! Model: the settings of a service for which systemd gives it a mount namespace of its own (systemd.exec(5),
//! "SANDBOXING").

use super::align::UnitTexts;
use super::path::HostPath;
use super::unit_file::assignments;

/// A setting in effect, and the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name.
    pub key: String,
    /// The value; of a list the last one.
    pub value: String,
    /// The unit's own file or a drop-in.
    pub file: HostPath,
}

/// What a unit's files say of its mount namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// The settings in effect that make a namespace, in the order of the files.
    pub settings: Vec<Setting>,
    /// The file name of the last drop-in, by which a later one can be named.
    pub last_drop_in: Option<Vec<u8>>,
}

/// Switches: any value but that of off makes a mount namespace (systemd 257, src/core/execute.c,
/// `exec_needs_mount_namespace`).
const SWITCHES: [(&str, &str); 14] = [
    ("DynamicUser", "no"),
    ("PrivateDevices", "no"),
    ("PrivateIPC", "no"),
    ("PrivateMounts", "no"),
    ("PrivatePIDs", "no"),
    ("PrivateTmp", "no"),
    ("ProcSubset", "all"),
    ("ProtectControlGroups", "no"),
    ("ProtectHome", "no"),
    ("ProtectKernelLogs", "no"),
    ("ProtectKernelModules", "no"),
    ("ProtectKernelTunables", "no"),
    ("ProtectProc", "default"),
    ("ProtectSystem", "no"),
];

/// Values and lists: an empty value takes them back.
const VALUES: [&str; 19] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "IPCNamespacePath",
    "InaccessibleDirectories",
    "InaccessiblePaths",
    "LogNamespace",
    "MountFlags",
    "MountImages",
    "NoExecPaths",
    "ReadOnlyDirectories",
    "ReadOnlyPaths",
    "ReadWriteDirectories",
    "ReadWritePaths",
    "RootDirectory",
    "RootImage",
    "TemporaryFileSystem",
];

impl Setting {
    /// The assignment that takes it back.
    pub fn reset(&self) -> String {
        let off = SWITCHES.iter().find(|(key, _)| *key == self.key).map_or("", |(_, off)| off);
        format!("{}={off}", self.key)
    }
}

impl Sandbox {
    /// Reads a unit's files in their order: a later assignment counts, and an empty one takes a list back.
    pub fn read(texts: &UnitTexts) -> Self {
        let mut sandbox = Self::default();
        for (path, text) in &texts.files {
            let (assignments, _) = assignments(text);
            for one in assignments.iter().filter(|one| one.section == "Service") {
                let Some(makes) = makes_namespace(&one.key, &one.value) else { continue };
                let known = sandbox.settings.iter().position(|setting| setting.key == one.key);
                if let Some(at) = known {
                    sandbox.settings.remove(at);
                }
                if makes {
                    let (key, value, file) = (one.key.clone(), one.value.clone(), path.clone());
                    sandbox.settings.push(Setting { key, value, file });
                }
            }
        }
        sandbox.last_drop_in = texts.files.iter().skip(1).map(|(path, _)| path.file_name().to_vec()).max();
        sandbox
    }
}

/// Whether an assignment makes a mount namespace; `None` for a setting that has nothing to do with one.
fn makes_namespace(key: &str, value: &str) -> Option<bool> {
    const FALSE: [&str; 6] = ["", "no", "false", "0", "off", "n"];
    let is_off =
        || FALSE.iter().any(|off| off.eq_ignore_ascii_case(value)) || value.eq_ignore_ascii_case("f");
    match key {
        "ProtectProc" => Some(!matches!(value, "" | "default")),
        "ProcSubset" => Some(!matches!(value, "" | "all")),
        key if SWITCHES.iter().any(|(switch, _)| *switch == key) => Some(!is_off()),
        key if VALUES.contains(&key) => Some(!value.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unit::UnitName;

    fn read(files: &[(&str, &str)]) -> Sandbox {
        let files = files
            .iter()
            .map(|(path, text)| (HostPath::parse(path.as_bytes()).unwrap(), text.as_bytes().to_vec()));
        Sandbox::read(&UnitTexts { unit: UnitName::from("docker.service"), files: files.collect() })
    }

    #[test]
    fn the_setting_in_effect_is_named_with_its_file() {
        let unit = "/usr/lib/systemd/system/docker.service";
        let drop_in = "/etc/systemd/system/docker.service.d/mount-flags.conf";
        let found = read(&[
            (
                unit,
                "[Unit]\nPrivateTmp=yes\n[Service]\nMountFlags=slave\nPrivateTmp=true\nProtectHome=read-only\n",
            ),
            (drop_in, "[Service]\nMountFlags=shared\nPrivateTmp=no\n"),
        ]);
        let all: Vec<_> = found
            .settings
            .iter()
            .map(|setting| (setting.key.as_str(), setting.value.as_str(), setting.file.to_string()))
            .collect();
        assert_eq!(
            all,
            [("ProtectHome", "read-only", unit.to_owned()), ("MountFlags", "shared", drop_in.to_owned())]
        );
        assert_eq!(found.last_drop_in.as_deref(), Some(&b"mount-flags.conf"[..]));
        let resets: Vec<String> = found.settings.iter().map(Setting::reset).collect();
        assert_eq!(resets, ["ProtectHome=no", "MountFlags="]);
    }

    #[test]
    fn a_value_that_makes_no_namespace_is_no_setting() {
        let off = "[Service]\nMountFlags=slave\nMountFlags=\nReadOnlyPaths=/x\nReadOnlyPaths=\nPrivateTmp=off\n\
                   PrivateMounts=0\nProtectProc=default\nProcSubset=all\nProtectSystem=false\nLimitNOFILE=1\n";
        assert_eq!(read(&[("/etc/systemd/system/docker.service", off)]).settings, []);
    }
}
