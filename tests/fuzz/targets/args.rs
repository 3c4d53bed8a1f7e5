#![no_main]
//! Arguments' files of the snaps, environment files, and ExecStart of units: what they declare.

use csihost::detect::config::{Files, declarations};
use csihost::model::file::{Attributes, File, FileFact};
use csihost::model::path::HostPath;
use csihost::model::service::Service;
use csihost::model::unit::UnitName;
use libfuzzer_sys::fuzz_target;

/// The same bytes for every file of arguments or variables.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn file(&self, path: &HostPath) -> FileFact {
        let read = path.components().any(|part| part == b"args" || part == b"default")
            || path.file_name().ends_with(b".env");
        if !read {
            return FileFact::Absent;
        }
        let attributes = Attributes { mode: 0o600, uid: 0, gid: 0 };
        FileFact::File(File { bytes: self.0.to_vec(), attributes, canonical: path.clone() })
    }
    fn list(&self, _: &HostPath) -> Vec<Vec<u8>> {
        Vec::new()
    }
    fn is_program(&self, _: &HostPath) -> bool {
        true
    }
    fn link(&self, _: &HostPath) -> Option<Vec<u8>> {
        None
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (unit, rest) = bytes.split_at(bytes.len() / 2);
    let text = [b"[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS ", unit].concat();
    let path = HostPath::from("/etc/systemd/system/kubelet.service");
    let service = Service::read(UnitName::from("kubelet.service"), [(path, text.as_slice())]);
    let _ = declarations(&One(rest), &[service]);
});
