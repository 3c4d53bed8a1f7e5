//! Mounts: names of mount units, exactly as `systemd-escape --path --suffix=mount` makes them.
//!
//! The rules are systemd.unit(5), "String escaping for inclusion in unit names", and
//! `unit_name_path_escape()` in systemd's src/basic/unit-name.c.

use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use std::fmt::{self, Write as _};

/// Why a path has no mount unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitNameError {
    /// The path holds a newline or another control character.
    Control(HostPath),
    /// The name would be longer than systemd allows.
    TooLong(HostPath),
}

impl fmt::Display for UnitNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(path) => {
                write!(f, "\"{path}\" holds a control character: no mount unit is made for such a path")
            }
            Self::TooLong(path) => write!(
                f,
                "\"{path}\" is too long: its mount unit's name would have 256 or more characters, \
                 and systemd would know it only by a hash"
            ),
        }
    }
}

impl std::error::Error for UnitNameError {}

/// The path as a unit name without suffix: `/` is `-`, and so is each `/` between components;
/// letters, digits and `:_.` stay; all else, and a `.` at the very beginning, is `\xNN`.
pub fn escape_path(path: &HostPath) -> String {
    let bytes = match path.as_bytes() {
        b"/" => return "-".to_owned(),
        bytes => bytes.strip_prefix(b"/").unwrap_or(bytes),
    };
    let mut name = String::with_capacity(bytes.len() + 16);
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => push_escaped(&mut name, byte),
            b':' | b'_' | b'.' => name.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            byte => push_escaped(&mut name, byte),
        }
    }
    name
}

fn push_escaped(name: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(name, "\\x{byte:02x}");
}

/// The mount unit of a path.
pub fn mount_unit(path: &HostPath) -> Result<UnitName, UnitNameError> {
    if path.as_bytes().iter().any(u8::is_ascii_control) {
        return Err(UnitNameError::Control(path.clone()));
    }
    // Only its length can still be wrong with the name.
    UnitName::parse(&format!("{}.mount", escape_path(path))).map_err(|_| UnitNameError::TooLong(path.clone()))
}

/// The path that a mount unit is for; `None` for other units and names that no path escapes to.
pub fn mount_point(unit: &UnitName) -> Option<HostPath> {
    let stem = unit.as_str().strip_suffix(".mount")?;
    if stem == "-" {
        return Some(HostPath::root());
    }
    let mut path = b"/".to_vec();
    let mut rest = stem;
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => path.push(b'/'),
            '\\' => {
                path.push(u8::from_str_radix(rest.strip_prefix("\\x")?.get(..2)?, 16).ok()?);
                rest = rest.get(3..)?;
            }
            c => path.push(u8::try_from(c).ok()?),
        }
        rest = rest.get(1..)?;
    }
    let path = HostPath::parse(&path).ok()?;
    (escape_path(&path) == stem).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    fn unit(path: &'static str) -> String {
        mount_unit(&HostPath::from(path)).unwrap().to_string()
    }

    #[test]
    fn paths_are_escaped_as_systemd_does() {
        for (path, name) in [
            ("/", "-.mount"),
            ("/var/lib/kubelet/plugins_registry", "var-lib-kubelet-plugins_registry.mount"),
            ("/var/snap/microk8s/common", "var-snap-microk8s-common.mount"),
            ("/opt/my-disk", "opt-my\\x2ddisk.mount"),
            ("/.hidden/.too", "\\x2ehidden-.too.mount"),
            ("/a b%c\\d:e", "a\\x20b\\x25c\\x5cd:e.mount"),
            ("/gr\u{fc}n", "gr\\xc3\\xbcn.mount"),
        ] {
            assert_eq!(unit(path), name);
        }
    }

    #[test]
    fn paths_that_systemd_cannot_name_are_refused() {
        let newline = HostPath::parse(b"/a\nb").unwrap();
        assert_eq!(mount_unit(&newline), Err(UnitNameError::Control(newline.clone())));
        assert_eq!(
            mount_unit(&newline).unwrap_err().to_string(),
            "\"/a\\x0ab\" holds a control character: no mount unit is made for such a path"
        );

        let longest = HostPath::parse(format!("/{}", "a".repeat(249)).as_bytes()).unwrap();
        assert_eq!(mount_unit(&longest).unwrap().as_str().len(), 255);
        let longer = longest.join("b");
        assert_eq!(mount_unit(&longer), Err(UnitNameError::TooLong(longer.clone())));
    }

    #[test]
    fn systemd_escape_agrees_on_hundreds_of_paths() {
        if Command::new("systemd-escape").arg("--version").output().is_err() {
            eprintln!("SKIPPED systemd_escape_agrees_on_hundreds_of_paths: systemd-escape is not installed");
            return;
        }
        let parts = proptest::collection::vec(
            prop_oneof!["[a-zA-Z0-9:_.-]{1,8}", "[ -.0-~]{1,6}", "\\.[a-z]{1,3}", "[a-z\u{e4}\u{20ac}]{1,4}"],
            0..5,
        );
        let mut runner = TestRunner::deterministic();
        let paths: Vec<HostPath> = (0..600)
            .map(|_| parts.new_tree(&mut runner).unwrap().current().join("/"))
            .filter_map(|path| HostPath::parse(format!("/{path}").as_bytes()).ok())
            .filter(|path| mount_unit(path).is_ok())
            .collect();
        assert!(paths.len() > 300);
        // One call for all; it separates the names by spaces, of which none holds any.
        let output = Command::new("systemd-escape")
            .args(["--path", "--suffix=mount"])
            .args(paths.iter().map(|path| OsStr::from_bytes(path.as_bytes())))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let theirs = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<&str> = theirs.trim_end().split(' ').collect();
        assert_eq!(theirs.len(), paths.len());
        for (path, theirs) in paths.iter().zip(theirs) {
            assert_eq!(mount_unit(path).unwrap().as_str(), theirs, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_mount_point_of_a_paths_unit_is_the_path(parts in proptest::collection::vec("[a-z.\\\\ %-]{1,6}", 0..5)) {
            let Ok(path) = HostPath::parse(format!("/{}", parts.join("/")).as_bytes()) else { return Ok(()) };
            let unit = mount_unit(&path).unwrap();
            prop_assert_eq!(mount_point(&unit), Some(path));
        }
    }
}
