//! Changes of csihost, detected from its generated files, for a host whose receipt is lost.
//!
//! Each file that csihost generates has its mark and a digest in the first line. Changes of files that others own
//! (iscsid.conf) cannot be known.

use crate::host::Host;
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::receipt::{Change, Changed, Receipt};
use crate::model::unit::UnitName;
use crate::plan::{GENERATED, RUNTIME_UNITS_DIR, UNITS, is_drop_in};

/// A receipt of the changes that the files on this host show; empty where there are none.
pub(super) fn recovered(host: &Host) -> Receipt {
    let mut files: Vec<HostPath> = GENERATED.map(HostPath::from).to_vec();
    let mut units = Vec::new();
    for directory in [UNITS, RUNTIME_UNITS_DIR].map(HostPath::from) {
        // A directory that cannot be read has nothing that can be undone either.
        for name in host.list(&directory).unwrap_or_default() {
            let path = directory.join(&name);
            if name.ends_with(b".d") {
                let below = host.list(&path).unwrap_or_default();
                files.extend(below.iter().map(|name| path.join(name)).filter(is_drop_in));
            } else if name.ends_with(b".mount") || name.starts_with(b"csihost-") {
                units.push(path);
            }
        }
    }
    let is_ours =
        |path: &HostPath| host.file(path).bytes().is_some_and(|bytes| origin(bytes) == Origin::Ours);
    let mut changes = Vec::new();
    for path in units.into_iter().filter(is_ours) {
        let unit = std::str::from_utf8(path.file_name()).ok().and_then(|name| UnitName::parse(name).ok());
        changes.push(Changed::Generated { path });
        if let Some(unit) = unit {
            changes.push(Changed::Enabled { unit: unit.clone() });
            changes.push(Changed::Started { unit });
        }
    }
    changes.extend(files.into_iter().filter(is_ours).map(|path| Changed::Generated { path }));
    let changes: Vec<Change> = changes.into_iter().map(|what| Change { what, done: true }).collect();
    Receipt { recovered: !changes.is_empty(), changes, ..Receipt::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::generated::generate;
    use std::fs;

    #[test]
    fn files_with_the_mark_are_known_and_those_that_somebody_edited_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let host = Host::open(Some(dir.path())).unwrap();
        assert!(recovered(&host).is_empty() && !recovered(&host).recovered);
        write("etc/systemd/system/a.mount", &generate("[Mount]\n"));
        write("etc/systemd/system/edited.mount", &[generate("[Mount]\n"), b"# mine\n".to_vec()].concat());
        write("etc/systemd/system/mine.mount", b"[Mount]\n");
        write("etc/systemd/system/kubelet.service.d/50-csihost.conf", &generate("[Unit]\n"));
        write("etc/systemd/system/kubelet.service.d/mine.conf", &generate("[Unit]\n"));
        write("etc/modules-load.d/csihost.conf", &generate("iscsi_tcp\n"));
        let unit = UnitName::from("a.mount");
        let generated = |path: &'static str| Changed::Generated { path: HostPath::from(path) };
        let receipt = recovered(&host);
        assert!(receipt.recovered);
        let found: Vec<Changed> = receipt.changes.into_iter().map(|change| change.what).collect();
        assert_eq!(
            found,
            [
                generated("/etc/systemd/system/a.mount"),
                Changed::Enabled { unit: unit.clone() },
                Changed::Started { unit },
                generated("/etc/modules-load.d/csihost.conf"),
                generated("/etc/systemd/system/kubelet.service.d/50-csihost.conf"),
            ]
        );
    }
}
