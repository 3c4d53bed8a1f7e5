//! Mounts: the texts of the units that csihost writes for mounts.
//!
//! Bodies only: the caller puts the first line of a generated file before them. The comments in
//! them are for whoever finds the unit on a node.

use super::quote::{QuoteError, unit_value};
use crate::model::path::HostPath;
use crate::model::unit::{KUBELET_UNITS, UnitName};

/// The boot unit, which the kubelet starts after.
pub const BOOT_UNIT: &str = "csihost-boot.service";

/// The unit that copies the state files of a kubelet whose root becomes another one.
pub const ALIGN_UNIT: &str = "csihost-align.service";

/// What every mount unit has by default, but the order before local-fs.target.
const ORDER: &str = "\
    # Not before local-fs.target: what lies beneath may be mounted later.\n\
    DefaultDependencies=no\n\
    After=local-fs-pre.target\n\
    Conflicts=umount.target\n\
    Before=umount.target\n";

/// A bridge: one directory of the kubelet root, bound to where CSI drivers look for it.
#[derive(Debug, Clone, Copy)]
pub struct BridgeUnit<'a> {
    /// The kubelet's own directory.
    pub what: &'a HostPath,
    /// The same directory below the standard path.
    pub where_: &'a HostPath,
    /// The share units that must be mounted before.
    pub needs: &'a [UnitName],
    /// The units that run this node's kubelet.
    pub kubelet_units: &'a [UnitName],
}

/// The mount unit of a bridge.
///
/// - `RefuseManualStop`: stopping or restarting it would have systemd stop every mount below it
///   first, which are the volumes of running pods, in both trees.
/// - `AssertPathIsDirectory`: systemd makes a missing `What=` as an empty directory
///   (systemd.mount(5)), for instance below the mount point of a disk that is late.
/// - `AssertPathIsSymbolicLink=!`: mount(8) follows a link in the place of `What=`.
/// - No `x-systemd.device-bound=no`, well as it sounds: systemd up to 252 looks only for the
///   option's presence (`fstab_test_option()` in its src/core/mount.c; tried with 252), and so
///   would bind the bridge to the unit of the disk below it (`BindsTo=`) where without the option
///   it only requires that.
/// - `DefaultDependencies=no`: a mount unit is before local-fs.target by default. What lies under `What=` or `Where=` may be
///   mounted after that (fstab(5) `_netdev` or `x-systemd.requires=`, a unit of its own), and then systemd drops a job of
///   the cycle at random: the disk, and the kubelet with it, in two of five boots. Without it local-fs.target does not
///   wait for the unit either, whoever wants it (systemd.target(5)). Requirements on what lies under both paths are
///   implicit all the same (systemd.mount(5)). No `_netdev`, no `LazyUnmount=`.
/// - `Before=csihost-boot.service`: its reconciliation finds the bridge, also where a disk is late.
/// - `WantedBy=` and never `RequiredBy=`: a failed bridge must not keep a node from booting.
pub fn bridge(unit: &BridgeUnit) -> Result<String, QuoteError> {
    let what = unit_value(unit.what)?;
    let place = unit_value(unit.where_)?;
    let needs = match unit.needs {
        [] => String::new(),
        needs => {
            let needs = list(needs.iter().map(UnitName::as_str));
            format!(
                "# Without a shared mount of its own there, a starting kubelet would hide the bridge.\n\
                 Requires={needs}\n\
                 After={needs}\n"
            )
        }
    };
    Ok(format!(
        "[Unit]\n\
         Description=CSI bridge from {place} to the kubelet's {what}\n\
         Documentation=man:csihost(8)\n\
         # Stopping or restarting this unit would unmount the volumes of running pods.\n\
         RefuseManualStop=yes\n\
         {ORDER}\
         # systemd would make a missing directory, and the bridge would lead to an empty one.\n\
         AssertPathIsDirectory={what}\n\
         # Who may write to the kubelet's root could have the mount lead elsewhere.\n\
         AssertPathIsSymbolicLink=!{what}\n\
         {needs}\
         # Whatever runs pods starts after the bridge is there, and stops before it goes.\n\
         Before={before}\n\
         \n\
         [Mount]\n\
         What={what}\n\
         Where={place}\n\
         Type=none\n\
         # rshared: what is mounted under one path appears under the other.\n\
         Options=rbind,rshared\n\
         \n\
         {install}",
        before = before(unit.kubelet_units),
        install = install(unit.kubelet_units),
    ))
}

/// The mount unit that makes a path a shared mount of its own, by binding it to itself.
///
/// Where the mount under the path is not shared, a starting kubelet binds its root to itself
/// without what is mounted below, and so hides a bridge there. Must not be written for a path
/// that is a mount point already: of that name there may be a unit made from /etc/fstab, which
/// this one would replace.
pub fn share(path: &HostPath, kubelet_units: &[UnitName]) -> Result<String, QuoteError> {
    let path = unit_value(path)?;
    Ok(format!(
        "[Unit]\n\
         Description=Shared mount of {path}, for CSI\n\
         Documentation=man:csihost(8)\n\
         # Stopping or restarting this unit would unmount the volumes of running pods.\n\
         RefuseManualStop=yes\n\
         {ORDER}\
         # systemd would make a missing directory, below whatever is mounted there too late.\n\
         AssertPathIsDirectory={path}\n\
         # Whatever runs pods starts after this, and stops before it goes.\n\
         Before={before}\n\
         \n\
         [Mount]\n\
         # Bound to itself: a mount of its own, which can be shared although its parent is not.\n\
         What={path}\n\
         Where={path}\n\
         Type=none\n\
         Options=rbind,rshared\n\
         \n\
         {install}",
        before = before(kubelet_units),
        install = install(kubelet_units),
    ))
}

/// The drop-in for a unit that runs the kubelet: order alone, so that it starts without them too.
///
/// Units in /run have no links that want them: then the drop-in does.
pub fn kubelet_drop_in(bridges: &[UnitName], wants: bool) -> String {
    let units = list(bridges.iter().map(UnitName::as_str));
    let wants = match wants {
        true => format!("Wants={units}\n"),
        false => String::new(),
    };
    format!(
        "[Unit]\n\
         # The node is made ready for CSI storage first. Order only: the kubelet starts all the same.\n\
         After={units} {BOOT_UNIT}\n\
         {wants}",
    )
}

/// The service that copies the kubelet's state files to its new root: started with the kubelet, and
/// done before it. Where the kubelet has been there already it does nothing.
pub fn align(program: &HostPath, bridges: &[UnitName], kubelet_units: &[UnitName]) -> String {
    let list = |units: &[UnitName]| list(units.iter().map(UnitName::as_str));
    format!(
        "[Unit]\n\
         Description=Copy the kubelet's state files to its new root\n\
         Documentation=man:csihost(8)\n\
         # Where its data are has to be there first.\n\
         After={bridges}\n\
         # A kubelet that is restarted has ended by then. Order only: it starts all the same.\n\
         Before={kubelets}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={program} align-state\n\
         TimeoutStartSec=30s\n\
         \n\
         [Install]\n\
         # Wanted, never required, with every start of the kubelet.\n\
         WantedBy={kubelets}\n",
        bridges = list(bridges),
        kubelets = list(kubelet_units),
    )
}

fn install(kubelet_units: &[UnitName]) -> String {
    format!(
        "[Install]\n\
         # Wanted, never required: the node boots and the kubelet starts without it.\n\
         WantedBy={}\n",
        list(["multi-user.target"].into_iter().chain(kubelet_units.iter().map(UnitName::as_str))),
    )
}

fn before(kubelet_units: &[UnitName]) -> String {
    let others = kubelet_units.iter().map(UnitName::as_str).filter(|unit| !KUBELET_UNITS.contains(unit));
    list([BOOT_UNIT].into_iter().chain(KUBELET_UNITS).chain(others))
}

/// Units in a setting are separated by spaces; a `\\xNN` in a name is written as it is.
fn list<'a>(units: impl Iterator<Item = &'a str>) -> String {
    units.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Before=csihost-boot.service kubelet.service k3s.service k3s-agent.service rke2-server.service \
        rke2-agent.service k0sworker.service k0scontroller.service snap.microk8s.daemon-kubelite.service \
        snap.microk8s.daemon-containerd.service snap.k8s.kubelet.service snap.k8s.containerd.service \
        microshift.service docker.service containerd.service crio.service";

    fn path(path: &'static str) -> HostPath {
        HostPath::from(path)
    }

    #[test]
    fn the_bridge_says_everything_that_keeps_pods_alive() {
        let (what, place) = (path("/opt/rke/var/lib/kubelet/pods"), path("/var/lib/kubelet/pods"));
        let text = bridge(&BridgeUnit {
            what: &what,
            where_: &place,
            needs: &[UnitName::from("var-lib-kubelet.mount")],
            kubelet_units: &[UnitName::from("kubelet.service"), UnitName::from("k3s-two.service")],
        })
        .unwrap();
        assert_eq!(
            text,
            format!(
                "[Unit]
Description=CSI bridge from /var/lib/kubelet/pods to the kubelet's /opt/rke/var/lib/kubelet/pods
Documentation=man:csihost(8)
# Stopping or restarting this unit would unmount the volumes of running pods.
RefuseManualStop=yes
# Not before local-fs.target: what lies beneath may be mounted later.
DefaultDependencies=no
After=local-fs-pre.target
Conflicts=umount.target
Before=umount.target
# systemd would make a missing directory, and the bridge would lead to an empty one.
AssertPathIsDirectory=/opt/rke/var/lib/kubelet/pods
# Who may write to the kubelet's root could have the mount lead elsewhere.
AssertPathIsSymbolicLink=!/opt/rke/var/lib/kubelet/pods
# Without a shared mount of its own there, a starting kubelet would hide the bridge.
Requires=var-lib-kubelet.mount
After=var-lib-kubelet.mount
# Whatever runs pods starts after the bridge is there, and stops before it goes.
{BEFORE} k3s-two.service

[Mount]
What=/opt/rke/var/lib/kubelet/pods
Where=/var/lib/kubelet/pods
Type=none
# rshared: what is mounted under one path appears under the other.
Options=rbind,rshared

[Install]
# Wanted, never required: the node boots and the kubelet starts without it.
WantedBy=multi-user.target kubelet.service k3s-two.service
"
            )
        );
    }

    #[test]
    fn a_bridge_that_needs_no_share_names_none() {
        let (what, place) = (path("/srv/100% k"), path("/var/lib/kubelet/pods"));
        let unit = BridgeUnit { what: &what, where_: &place, needs: &[], kubelet_units: &[] };
        let text = bridge(&unit).unwrap();
        assert!(!text.contains("Requires") && text.matches("After=").count() == 1, "{text}");
        assert!(text.contains("\nWhat=/srv/100%% k\n"), "{text}");
        assert!(text.ends_with("\nWantedBy=multi-user.target\n"), "{text}");
    }

    #[test]
    fn the_share_binds_a_path_to_itself() {
        assert_eq!(
            share(&path("/var/lib/kubelet"), &[UnitName::from("k0sworker.service")]).unwrap(),
            format!(
                "[Unit]
Description=Shared mount of /var/lib/kubelet, for CSI
Documentation=man:csihost(8)
# Stopping or restarting this unit would unmount the volumes of running pods.
RefuseManualStop=yes
# Not before local-fs.target: what lies beneath may be mounted later.
DefaultDependencies=no
After=local-fs-pre.target
Conflicts=umount.target
Before=umount.target
# systemd would make a missing directory, below whatever is mounted there too late.
AssertPathIsDirectory=/var/lib/kubelet
# Whatever runs pods starts after this, and stops before it goes.
{BEFORE}

[Mount]
# Bound to itself: a mount of its own, which can be shared although its parent is not.
What=/var/lib/kubelet
Where=/var/lib/kubelet
Type=none
Options=rbind,rshared

[Install]
# Wanted, never required: the node boots and the kubelet starts without it.
WantedBy=multi-user.target k0sworker.service
"
            )
        );
    }

    #[test]
    fn the_kubelets_drop_in_orders_and_requires_nothing() {
        assert_eq!(
            kubelet_drop_in(
                &["var-lib-kubelet-pods.mount", "var-lib-kubelet-plugins.mount"].map(UnitName::from),
                false
            ),
            "[Unit]
# The node is made ready for CSI storage first. Order only: the kubelet starts all the same.
After=var-lib-kubelet-pods.mount var-lib-kubelet-plugins.mount csihost-boot.service
"
        );
    }

    #[test]
    fn a_path_that_no_unit_file_can_say_makes_no_unit() {
        let (odd, place) = (HostPath::parse(b"/a\nb").unwrap(), path("/b"));
        let unit = BridgeUnit { what: &odd, where_: &place, needs: &[], kubelet_units: &[] };
        assert!(matches!(bridge(&unit), Err(QuoteError::Control(_))));
        assert!(share(&odd, &[]).is_err());
    }

    #[test]
    fn the_units_in_the_lists_have_valid_names() {
        for unit in KUBELET_UNITS.into_iter().chain([BOOT_UNIT]) {
            assert!(UnitName::parse(unit).is_ok(), "{unit}");
        }
    }
}
