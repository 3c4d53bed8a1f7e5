#![no_main]
//! k3s' script on hosts with OpenRC, and what it declares.

use csihost::detect::config::{Files, declarations};
use csihost::model::file::{Attributes, File, FileFact};
use csihost::model::path::HostPath;
use libfuzzer_sys::fuzz_target;

/// The same bytes for the script and for its environment file.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn file(&self, path: &HostPath) -> FileFact {
        match path.as_bytes() {
            b"/etc/init.d/k3s" | b"/etc/rancher/k3s/k3s.env" => {
                let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
                FileFact::File(File { bytes: self.0.to_vec(), attributes, canonical: path.clone() })
            }
            _ => FileFact::Absent,
        }
    }
    fn list(&self, directory: &HostPath) -> Vec<Vec<u8>> {
        match directory.as_bytes() {
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
    let _ = declarations(&One(bytes), &[]);
});
