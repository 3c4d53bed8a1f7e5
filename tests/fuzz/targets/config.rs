#![no_main]
//! Configuration of k3s and RKE2 (YAML), k3s' script on hosts with OpenRC, and what they declare.

use csihost::detect::config::{Files, declarations};
use csihost::model::file::{Attributes, File, FileFact};
use csihost::model::path::HostPath;
use csihost::model::service::Service;
use csihost::model::unit::UnitName;
use libfuzzer_sys::fuzz_target;

/// The same bytes wherever somebody looks for one of the files that are read.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn file(&self, path: &HostPath) -> FileFact {
        let bytes = match path.as_bytes() {
            b"/etc/rancher/k3s/config.yaml" | b"/etc/rancher/rke2/config.yaml" => self.0,
            b"/etc/init.d/k3s" | b"/etc/rancher/k3s/k3s.env" => self.0,
            b"/etc/rancher/k3s/config.yaml.d/x.yaml" => self.0.get(self.0.len() / 2..).unwrap_or_default(),
            _ => return FileFact::Absent,
        };
        let attributes = Attributes { mode: 0o600, uid: 0, gid: 0 };
        FileFact::File(File { bytes: bytes.to_vec(), attributes, canonical: path.clone() })
    }
    fn list(&self, directory: &HostPath) -> Vec<Vec<u8>> {
        match directory.as_bytes() {
            b"/etc/rancher/k3s/config.yaml.d" => vec![b"x.yaml".to_vec()],
            b"/etc/init.d" => vec![b"k3s".to_vec()],
            _ => Vec::new(),
        }
    }
    fn is_program(&self, _: &HostPath) -> bool {
        true
    }
    fn link(&self, _: &HostPath) -> Option<Vec<u8>> {
        None
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = b"[Service]\nExecStart=/usr/local/bin/k3s server\n".as_slice();
    let path = HostPath::from("/etc/systemd/system/k3s.service");
    let service = Service::read(UnitName::from("k3s.service"), [(path, text)]);
    let _ = declarations(&One(bytes), &[service]);
    let _ = declarations(&One(bytes), &[]);
});
