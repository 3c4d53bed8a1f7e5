//! Checks: mounts of one directory over itself, again and again, at the kubelet's directories.
//!
//! A unit or a container that binds the kubelet's root onto itself at each start adds a mount each time, or doubles them
//! where the bind is recursive and shared. The kernel ends that with ENOSPC at 100,000 (fs.mount-max), and until then
//! each new volume costs a mount for each of them.

use super::kubelet_unit;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::mount::Device;
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use std::collections::BTreeMap;

const ID: &str = "mount-stack";
/// The kubelet binds its root once where that is not shared, and csihost may do so for the boot.
const USUAL: usize = 2;

/// Nothing where no directory is mounted over itself more often than usual.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let standard = HostPath::from(STANDARD_PATH);
    let roots: Vec<&HostPath> = facts.detection.host_dir().into_iter().chain([&standard]).collect();
    let mut stacks: BTreeMap<(&[u8], Device, &[u8]), usize> = BTreeMap::new();
    for mount in facts.mounts.iter() {
        let is_kubelets = roots.iter().any(|root| {
            let point = HostPath::parse(&mount.point);
            point.is_ok_and(|point| point == **root || point.parent().as_ref() == Some(*root))
        });
        if is_kubelets {
            *stacks.entry((&mount.point, mount.device, &mount.root)).or_default() += 1;
        }
    }
    let ((point, ..), count) = stacks.into_iter().max_by_key(|(_, count)| *count)?;
    if count <= USUAL {
        return None;
    }
    let point = HostPath::parse(point).ok()?;
    let unit = kubelet_unit(facts);
    Some(
        Finding::new(ID, CheckStatus::Warn, format!("{point} is mounted over itself {count} times"))
            .detail(
                "something mounts it at each start of the kubelet; where that is recursive, each start doubles the mounts, \
                 and in the end mount(8) fails with \"No space left on device\"",
            )
            .remedy(format!(
                "look for what mounts it: systemctl cat {unit} | grep -i mount (ExecStartPre=), or the start script of the \
                 kubelet's container (RKE1: docker inspect kubelet); have it mount only where nothing is mounted yet \
                 (mountpoint -q {point} || mount --bind {point} {point}), then drain the node and reboot it"
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::mounts::mountinfo;

    fn found(binds: u64) -> Option<Finding> {
        let mut table = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n".to_owned();
        for n in 0..binds {
            table += &format!(
                "{} {} 8:1 /var/lib/kubelet /var/lib/kubelet rw shared:1 - ext4 /dev/sda1 rw\n",
                30 + n,
                if n == 0 { 20 } else { 29 + n }
            );
        }
        check(&Facts {
            mounts: mountinfo::parse(table.as_bytes()).unwrap(),
            ..Facts::new(Mode::Live, Init::Systemd)
        })
    }

    #[test]
    fn more_binds_of_a_root_onto_itself_than_kubelet_and_csihost_make_are_told() {
        assert_eq!(found(0), None);
        assert_eq!(found(2), None);
        let stacked = found(16).unwrap();
        assert_eq!(stacked.summary, "/var/lib/kubelet is mounted over itself 16 times");
        assert!(
            stacked.remedy.contains("mountpoint -q /var/lib/kubelet || mount --bind"),
            "{}",
            stacked.remedy
        );
    }
}
