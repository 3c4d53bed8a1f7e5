//! Pure: how the checks of what the settings ask for end, and those of the machine.

use super::{Case, path};
use crate::checks::CheckStatus::{Fail, Pass, Skip, Warn};
use crate::model::facts::{Init, Mode, Module};
use crate::model::kubelet::Distribution;
use crate::model::unit::ActiveState;

pub(super) const CASES: &[Case] = &[
    ("hostname", |h| h.facts.machine.hostname = "a.example.org".into(), Pass, "a.example.org", ""),
    ("hostname", |h| h.facts.machine.hostname = "localhost".into(), Warn, "everybody's", "hostnamectl"),
    (
        "hostname",
        |h| h.facts.machine.hostname = "Node-1".into(),
        Warn,
        "called node-1",
        "hostnamectl set-hostname node-1",
    ),
    ("hostname", |h| h.facts.machine.hostname = "a_b".into(), Warn, "cannot be a node's name", "hostnamectl"),
    (
        "hostname",
        |h| {
            h.facts.machine.hostname = String::new();
            h.facts.detection.kubelet = None;
        },
        Fail,
        "no name",
        "hostnamectl",
    ),
    (
        "hostname",
        |h| {
            h.facts.machine.hostname = "a".repeat(64);
            h.facts.detection.kubelet = None;
        },
        Fail,
        "64 characters",
        "hostnamectl",
    ),
    (
        "hostname",
        |h| {
            h.facts.machine.hostname = "Node-1".into();
            h.facts.init = Init::Other("init".into());
        },
        Warn,
        "called node-1",
        "/etc/hostname",
    ),
    ("hostname", |h| h.facts.mode = Mode::Offline, Skip, "offline", ""),
    ("kernel-version", |_| (), Pass, "6.8.0-31-generic", ""),
    (
        "kernel-version",
        |h| h.facts.machine.kernel = Some("5.15.0-91-generic".into()),
        Fail,
        "older than 5.19",
        "linux-generic-hwe-24.04",
    ),
    ("kernel-version", |h| h.facts.machine.kernel = Some("6.1.0".into()), Warn, "older than 6.7", "reboot"),
    (
        "kernel-version",
        |h| {
            h.facts.machine.kernel = Some("6.1.0".into());
            h.write("/run/systemd/container", "lxc");
        },
        Warn,
        "older than 6.7",
        "on the machine that runs this container",
    ),
    (
        "kernel-version",
        |h| {
            h.settings.features.v2_engine = false;
            h.facts.machine.kernel = Some("5.4.0-1".into());
        },
        Warn,
        "older than 5.8",
        "reboot",
    ),
    (
        "kernel-version",
        |h| {
            h.settings.features.v2_engine = false;
            h.facts.machine.kernel = Some("5.8.0".into());
        },
        Pass,
        "5.8.0",
        "",
    ),
    ("kernel-version", |h| h.facts.machine.kernel = None, Skip, "offline", ""),
    ("nfs-client", |_| (), Pass, "mount.nfs is there", ""),
    ("nfs-client", |h| h.without("mount.nfs"), Fail, "mount.nfs is not there", "install nfs-common"),
    ("nfs-version", |_| (), Pass, "NFS 4", ""),
    ("nfs-version", |h| h.module("nfsv4", Module::Missing), Fail, "no NFS 4", "linux-modules-extra"),
    (
        "nfs-version",
        |h| h.write("/boot/config-6.8.0-31-generic", "CONFIG_NFS_V4=m\n# CONFIG_NFS_V4_1 is not set\n"),
        Warn,
        "CONFIG_NFS_V4_1",
        "boot a kernel",
    ),
    (
        "nfs-version",
        |h| h.write("/etc/nfsmount.conf", "[ NFSMount_Global_Options ]\nDefaultvers=3\n"),
        Warn,
        "Defaultvers 3",
        "Defaultvers=4 in /etc/nfsmount.conf",
    ),
    (
        "nfs-version",
        |h| h.write("/etc/nfsmount.conf.d/a.conf", "[ NFSMount_Global_Options ]\nNfsvers = 3\n"),
        Warn,
        "a.conf makes Nfsvers 3",
        "a.conf",
    ),
    ("nfs-version", |h| h.module("nfsv4", Module::Unknown), Skip, "offline", ""),
    ("cryptsetup", |_| (), Pass, "cryptsetup is there", ""),
    ("cryptsetup", |h| h.without("cryptsetup"), Fail, "not there", "install cryptsetup"),
    ("hugepages", |_| (), Pass, "1024 of 2 MiB", ""),
    ("hugepages", |h| h.facts.machine.huge_pages = Some(12), Fail, "12 of 1024", "csihost apply"),
    ("hugepages", |h| h.facts.machine.huge_pages = None, Fail, "no huge pages", "CONFIG_HUGETLBFS"),
    (
        "hugepages",
        |h| {
            h.facts.mode = Mode::Offline;
            h.facts.machine.huge_pages = None;
        },
        Skip,
        "offline",
        "",
    ),
    (
        "kernel-module-ublk_drv",
        |h| h.module("ublk_drv", Module::Missing),
        Warn,
        "does not have it",
        "linux-modules-extra",
    ),
    (
        "kernel-module-ublk_drv",
        |h| h.module("ublk_drv", Module::Loadable),
        Fail,
        "not loaded",
        "csihost apply",
    ),
    ("driver-needs", |h| h.driver("driver.longhorn.io"), Warn, "bash is not installed", "install bash"),
    (
        "driver-needs",
        |h| {
            h.driver("nfs.csi.k8s.io");
            h.driver("disk.example.com");
        },
        Pass,
        "nfs.csi.k8s.io (nfs); no driver profile is for disk.example.com",
        "",
    ),
    (
        "driver-needs",
        |h| h.driver("topolvm.io"),
        Fail,
        "topolvm.io (lvm): lvm is not installed",
        "install lvm2",
    ),
    (
        "driver-needs",
        |h| h.driver("csi.trident.netapp.io"),
        Warn,
        "csi.trident.netapp.io (iscsi): multipathd.service is not installed",
        "install multipath-tools",
    ),
    (
        "driver-needs",
        |h| h.array(ActiveState::Inactive),
        Warn,
        "multipathd.service does not run",
        "run systemctl enable --now multipathd.service",
    ),
    (
        "driver-needs",
        |h| {
            h.array(ActiveState::Active);
            h.write("/etc/multipath.conf", "defaults {\n find_multipaths on\n}\n");
        },
        Warn,
        "find_multipaths is yes (/etc/multipath.conf:2), and no is wanted",
        "find_multipaths no",
    ),
    (
        "driver-needs",
        |h| h.array(ActiveState::Active),
        Warn,
        "find_multipaths is not set",
        "systemctl try-reload-or-restart multipathd",
    ),
    (
        "driver-needs",
        |h| {
            h.array(ActiveState::Active);
            h.write("/etc/multipath.conf", "defaults {\n find_multipaths no\n}\n");
        },
        Pass,
        "csi.trident.netapp.io (iscsi)",
        "",
    ),
    (
        "driver-needs",
        |h| {
            h.driver("block.csi.ibm.com");
            h.without("iscsid");
        },
        Fail,
        "block.csi.ibm.com: the host has none of its protocols",
        "drivers.expected = [\"block.csi.ibm.com/",
    ),
    ("kernel-module-nfs", |h| h.nfs(Module::Loadable), Pass, "loaded when it is needed", ""),
    ("kernel-module-nfs", |h| h.nfs(Module::Missing), Fail, "does not have it", "linux-modules-extra"),
    (
        "iscsi-package",
        |h| h.nfs(Module::Loaded),
        Skip,
        "no driver of this node uses iSCSI (nfs.csi.k8s.io)",
        "",
    ),
    ("cpu", |_| (), Pass, "SSE4.2", ""),
    (
        "cpu",
        |h| h.write("/proc/cpuinfo", "flags\t\t: fpu sse4_1 xsse4_2\n"),
        Fail,
        "no SSE4.2",
        "processor model",
    ),
    ("cpu", |h| h.write("/proc/cpuinfo", "Features\t: fp asimd\n"), Pass, "has Advanced SIMD", ""),
    (
        "cpu",
        |h| h.write("/proc/cpuinfo", "Features\t: fp\n"),
        Fail,
        "has no Advanced SIMD",
        "another machine",
    ),
    ("cpu", |h| drop(h.facts.files.remove(&path("/proc/cpuinfo"))), Skip, "not known", ""),
    ("flexvolume-tools", |_| (), Pass, "curl, findmnt, grep, awk, blkid are there", ""),
    (
        "flexvolume-tools",
        |h| {
            for name in ["curl", "findmnt", "blkid", "awk"] {
                h.facts.programs.remove(&path("/sbin").join(name));
            }
        },
        Fail,
        "curl, findmnt, awk, blkid are not there",
        "install curl mawk util-linux",
    ),
    ("flexvolume-dir", |_| (), Pass, "/usr/libexec/kubernetes/kubelet-plugins/volume/exec", ""),
    (
        "flexvolume-dir",
        |h| {
            drop(
                h.facts
                    .detection
                    .on_host
                    .insert(path("/usr/libexec/kubernetes/kubelet-plugins/volume/exec"), None),
            )
        },
        Fail,
        "container alone",
        "into the kubelet's container",
    ),
    (
        "flexvolume-dir",
        |h| {
            h.kubelet(Distribution::Rke, "/var/lib/kubelet", "v1.20.1");
            let directory = path("/usr/libexec/kubernetes/kubelet-plugins/volume/exec");
            h.facts.detection.on_host.insert(directory, Some(path("/srv/flex")));
        },
        Fail,
        "is /srv/flex of the host",
        "extra_binds in cluster.yml",
    ),
    ("flexvolume-dir", |h| h.kubelet(Distribution::K3s, "/var/lib/kubelet", "v1.20.1"), Skip, "embedded", ""),
    ("flexvolume-dir", |h| h.facts.detection.kubelet = None, Skip, "no kubelet", ""),
    ("kubernetes-version", |_| (), Pass, "v1.31.2", ""),
    (
        "kubernetes-version",
        |h| h.kubelet(Distribution::Kubelet, "/k", "v1.9.11"),
        Warn,
        "FlexVolume alone",
        "upgrade Kubernetes to 1.10",
    ),
    (
        "kubernetes-version",
        |h| h.kubelet(Distribution::Kubelet, "/k", "v1.7.0"),
        Fail,
        "older than 1.8",
        "upgrade",
    ),
    (
        "kubernetes-version",
        |h| {
            h.settings.features.flexvolume = false;
            h.kubelet(Distribution::Kubelet, "/k", "v1.9.11");
        },
        Fail,
        "older than 1.10",
        "upgrade",
    ),
    (
        "kubernetes-version",
        |h| h.kubelet(Distribution::Kubelet, "/k", "snap revision 12"),
        Skip,
        "no version",
        "",
    ),
    (
        "kubernetes-version",
        |h| h.kubelet(Distribution::Kubelet, "/k", "v0.0.0-master+$Format:%H$"),
        Skip,
        "no version",
        "",
    ),
    ("kubernetes-version", |h| h.facts.detection.kubelet = None, Skip, "no kubelet", ""),
    (
        "kubernetes-version",
        |h| {
            h.kubelet(Distribution::Rke, "/opt/rke/var/lib/kubelet", "v1.11.6");
            h.facts.detection.on_host.insert(path("/var/lib/kubelet/plugins"), None);
        },
        Fail,
        "its container has not",
        "\"/opt/rke/var/lib/kubelet/plugins:/var/lib/kubelet/plugins\" to services.kubelet.extra_binds",
    ),
    (
        "kubernetes-version",
        |h| h.kubelet(Distribution::Rke, "/opt/rke/var/lib/kubelet", "v1.11.6"),
        Pass,
        "v1.11.6",
        "",
    ),
];
