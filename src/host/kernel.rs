//! Edge: what the running kernel can do, and what PID 1 is.

use super::process::Proc;
use super::{Host, Result};
use crate::model::facts::{Mode, Module};
use crate::model::path::HostPath;
use procfs::{FromBufRead, KernelModules};

impl Host {
    /// The running kernel's release, as `uname -r` shows it.
    pub fn kernel_release(&self) -> Option<String> {
        match self.mode() {
            Mode::Live => Some(nix::sys::utsname::uname().ok()?.release().to_string_lossy().into_owned()),
            Mode::Offline => None,
        }
    }

    /// The node's name; empty where it has none.
    pub fn hostname(&self) -> String {
        nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Whether each of `names` is in the running kernel, can be loaded into it, or neither.
    pub fn modules(&self, proc: Option<&Proc<'_>>, names: &[String]) -> Result<Vec<(String, Module)>> {
        let (Some(release), Some(proc)) = (self.kernel_release(), proc) else {
            return Ok(names.iter().map(|name| (name.clone(), Module::Unknown)).collect());
        };
        let mut text = Vec::new();
        // A kernel without loadable modules has no /proc/modules.
        let loaded = match proc.read("modules", &mut text) {
            Ok(()) => {
                KernelModules::from_buf_read(text.as_slice()).map(|modules| modules.0).unwrap_or_default()
            }
            Err(_) => Default::default(),
        };
        let directory = HostPath::from("/lib/modules").join(&release);
        Ok(names
            .iter()
            .map(|name| {
                let listed = |list: &str| {
                    let list = self.file(&directory.join(list));
                    list.bytes().is_some_and(|text| lists(text, name))
                };
                let state = if loaded.contains_key(name) {
                    Module::Loaded
                } else if listed("modules.builtin") {
                    Module::BuiltIn
                } else if listed("modules.dep") {
                    Module::Loadable
                } else {
                    Module::Missing
                };
                (name.clone(), state)
            })
            .collect())
    }

    /// How many iSCSI sessions are up.
    pub fn iscsi_sessions(&self) -> usize {
        self.list(&HostPath::from("/sys/class/iscsi_session")).map_or(0, |sessions| sessions.len())
    }

    /// Whether systemd is PID 1 (sd_booted(3)).
    pub fn systemd_booted(&self) -> bool {
        self.exists(&HostPath::from("/run/systemd/system"))
    }
}

/// Whether the text of modules.dep or modules.builtin lists module `name` (modules.dep(5)):
/// `kernel/drivers/scsi/iscsi_tcp.ko.xz: …`; `-` and `_` are the same in a module's name.
fn lists(text: &[u8], name: &str) -> bool {
    text.split(|&b| b == b'\n').any(|line| {
        let path = line.split(|&b| b == b':').next().unwrap_or_default();
        let file = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let stem = file.split(|&b| b == b'.').next().unwrap_or_default();
        stem.len() == name.len()
            && stem.iter().zip(name.bytes()).all(|(&a, b)| a == b || (a == b'-' && b == b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::lists;

    #[test]
    fn finds_a_module_compressed_or_not_and_with_either_dash() {
        let dep = b"kernel/fs/nfs/nfsv4.ko.zst: kernel/a.ko\nkernel/drivers/nvme/host/nvme-tcp.ko.xz:\nkernel/drivers/scsi/iscsi_tcp.ko:\n";
        for (name, there) in [("iscsi_tcp", true), ("nvme_tcp", true), ("nfs", false), ("a", false)] {
            assert_eq!(lists(dep, name), there, "{name}");
        }
    }
}
