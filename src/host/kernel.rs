//! Edge: what the running kernel can do, and what PID 1 is.

use super::process::Proc;
use super::read::io_failed;
use super::{Host, Result};
use crate::model::digest::Digest;
use crate::model::facts::{Machine, Mode, Module};
use crate::model::path::HostPath;
use procfs::{FromBufRead, KernelModules};
use std::io::Read;

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

    /// Which machine this is, and which kernel runs on it.
    pub fn machine(&self) -> Machine {
        // "uninitialized" stands in images that were never booted (machine-id(5)).
        let id = self.file(&HostPath::from("/etc/machine-id"));
        let id = id.bytes().map(<[u8]>::trim_ascii).filter(|id| id.len() == 32);
        let pages = HostPath::from("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        let live = self.mode() == Mode::Live;
        let pages = live
            .then(|| self.file(&pages))
            .and_then(|file| std::str::from_utf8(file.bytes()?.trim_ascii()).ok()?.parse().ok());
        Machine {
            id: id.map(Digest::of),
            kernel: self.kernel_release(),
            hostname: if live { self.hostname() } else { String::new() },
            huge_pages: pages,
        }
    }

    /// Which boot this is (/proc/sys/kernel/random/boot_id); empty offline.
    pub fn boot_id(&self) -> String {
        let file = self.file(&HostPath::from("/proc/sys/kernel/random/boot_id"));
        match (self.mode(), file.bytes()) {
            (Mode::Live, Some(id)) => String::from_utf8_lossy(id.trim_ascii()).into_owned(),
            _ => String::new(),
        }
    }

    /// Random bytes from the kernel (random(4)).
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let path = HostPath::from("/dev/urandom");
        let mut bytes = [0; N];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(io_failed("read", &path)).map(|()| bytes)
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
