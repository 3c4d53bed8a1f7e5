//! Checks: the order between the kubelet and the file system of its own root.
//!
//! systemd starts services after local-fs.target, and so after the disks of /etc/fstab, but not after those that are
//! mounted later: `nofail` takes a disk out of that order (systemd.mount(5)), `_netdev` and `x-systemd.requires=` put it
//! behind the network. A kubelet that starts first fills the directory beneath.

use super::quoted;
use crate::model::facts::{Facts, Init};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::mounts::bridge::is_late;
use crate::mounts::fstab::{self, FSTAB};
use crate::mounts::resolve::cover;
use crate::mounts::unit_name::mount_unit;

const ID: &str = "kubelet-order";

/// The units whose order matters: the kubelet's, and that of the mount that holds its root, where it may come later than
/// local-fs.target. None where the root lies on `/`, or its mount is in /etc/fstab without such an option.
pub fn late_mount(facts: &Facts) -> Option<(UnitName, HostPath, UnitName)> {
    if !matches!(facts.init, Init::Systemd | Init::Offline) {
        return None;
    }
    let unit = facts.detection.unit.clone()?;
    let mount = cover(&facts.mounts, facts.detection.host_dir()?.as_bytes())?;
    let point = HostPath::parse(&mount.point).ok().filter(|point| point.parent().is_some())?;
    let table = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = fstab::entries(table);
    let line = fstab::in_effect(&entries, &point, &facts.init).into_iter().next()?;
    is_late(&line.options).then(|| mount_unit(&point).ok().map(|mount| (unit, point, mount)))?
}

/// Nothing where the mount is early, or the kubelet waits for it.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let (unit, point, mount) = late_mount(facts)?;
    let order = facts.kubelet_order.as_ref()?;
    if order.after.contains(&mount) || order.mounts.iter().any(|path| path.starts_with(&point)) {
        return None;
    }
    let directory = format!("/etc/systemd/system/{unit}.d");
    Some(
        Finding::new(ID, CheckStatus::Warn, format!("{unit} may start before {point} is mounted"))
            .detail(format!(
                "/etc/fstab mounts it later than local-fs.target, and nothing orders {unit} after {mount}: it may start on \
                 the empty directory beneath, and would not see its pods and plugins there once the disk comes"
            ))
            .remedy(format!(
                "run mkdir -p {directory} && printf '[Unit]\\nRequiresMountsFor=%s\\n' {} >{directory}/root.conf && \
                 systemctl daemon-reload",
                quoted(&point)
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Mode;
    use crate::model::file::{Attributes, File, FileFact};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::model::unit::Order;
    use crate::mounts::mountinfo;
    use std::collections::BTreeMap;

    fn facts(options: &str, after: &[&'static str]) -> Facts {
        let fstab = format!("/dev/sdb /var/lib/kubelet ext4 {options} 0 2\n");
        let file = File {
            bytes: fstab.into_bytes(),
            attributes: Attributes { mode: 0o644, uid: 0, gid: 0 },
            canonical: HostPath::from(FSTAB),
        };
        let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::standard());
        let table = b"20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
21 20 8:16 / /var/lib/kubelet rw shared:2 - ext4 /dev/sdb rw
";
        Facts {
            mounts: mountinfo::parse(table).unwrap(),
            files: BTreeMap::from([(HostPath::from(FSTAB), FileFact::File(file))]),
            detection: Detection {
                kubelet: Some(kubelet),
                unit: Some(UnitName::from("kubelet.service")),
                ..Detection::default()
            },
            kubelet_order: Some(Order {
                after: after.iter().map(|name| UnitName::from(*name)).collect(),
                mounts: Vec::new(),
            }),
            ..Facts::new(Mode::Live, Init::Systemd)
        }
    }

    #[test]
    fn a_disk_that_may_come_after_the_kubelet_is_told_with_the_drop_in() {
        assert_eq!(check(&facts("defaults", &[])), None);
        assert_eq!(check(&facts("nofail", &["var-lib-kubelet.mount"])), None);
        let found = check(&facts("noatime,nofail", &["basic.target"])).unwrap();
        assert_eq!(found.summary, "kubelet.service may start before /var/lib/kubelet is mounted");
        assert!(found.remedy.contains("RequiresMountsFor=%s"), "{}", found.remedy);
        assert!(check(&facts("x-systemd.requires=cloud-init.service", &[])).is_some());
        // Where nobody knows the order, nothing is said of it.
        assert_eq!(check(&Facts { kubelet_order: None, ..facts("nofail", &[]) }), None);
    }
}
