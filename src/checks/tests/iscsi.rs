//! Pure: how the checks of iSCSI end.

use super::{Case, path};
use crate::checks::CheckStatus::{Fail, Pass, Skip, Warn};
use crate::model::facts::{Init, Mode, Module};
use crate::model::file::{DirFact, FileFact};
use crate::model::unit::ActiveState;
use crate::settings::{Multipath, Policy, StaleRecords};

pub(super) const CASES: &[Case] = &[
    ("iscsi-package", |_| (), Pass, "open-iscsi is installed", ""),
    (
        "iscsi-package",
        |h| h.without("iscsid"),
        Fail,
        "open-iscsi is not installed",
        "apt-get -y --no-upgrade --no-install-recommends install open-iscsi",
    ),
    ("iscsi-kernel", |_| (), Pass, "control socket", ""),
    (
        "iscsi-kernel",
        |h| h.facts.iscsi.control = Some(false),
        Fail,
        "NETLINK_ISCSI",
        "linux-modules-extra-6.8.0-31-generic",
    ),
    (
        "iscsi-kernel",
        |h| {
            h.facts.files.insert(path("/proc/sys/net/core/netdev_max_backlog"), FileFact::Absent);
            h.write("/run/systemd/container", "lxc\n");
        },
        Fail,
        "not work in this network namespace",
        "use a virtual machine",
    ),
    (
        "iscsi-kernel",
        |h| {
            h.facts.iscsi.control = Some(false);
            h.write("/proc/sys/net/core/netdev_max_backlog", "1000\n");
            h.write("/run/systemd/container", "lxc\n");
        },
        Fail,
        "NETLINK_ISCSI",
        "run modprobe scsi_transport_iscsi on the machine",
    ),
    ("iscsi-kernel", |h| h.facts.iscsi.control = None, Skip, "iscsi_tcp", ""),
    ("iscsid-conf", |_| (), Pass, "", ""),
    (
        "iscsid-conf",
        |h| h.write("/etc/iscsi/iscsid.conf", "iscsid.startup = /nowhere/iscsid\n"),
        Fail,
        "/nowhere/iscsid",
        "csihost apply",
    ),
    (
        "initiator-name",
        |h| h.write("/etc/iscsi/initiatorname.iscsi", "InitiatorName=\"iqn.1993-08.org.debian:01:aa\"\n"),
        Warn,
        "it has quotes",
        "$(iscsi-iname)",
    ),
    (
        "initiator-name",
        |h| h.write("/etc/iscsi/initiatorname.iscsi", "InitiatorName=worker-7\n"),
        Warn,
        "worker-7 is no name of an initiator",
        "log out of all sessions",
    ),
    (
        "node-startup",
        |h| {
            let conf = "iscsid.startup = /bin/systemctl start iscsid.socket\nnode.startup = manual\n#\nnode.startup = automatic\n";
            h.write("/etc/iscsi/iscsid.conf", conf);
        },
        Warn,
        "line 4 of /etc/iscsi/iscsid.conf: node.startup = automatic",
        "sed -i",
    ),
    (
        "iscsid-conf",
        |h| drop(h.facts.files.remove(&path("/etc/iscsi/iscsid.conf"))),
        Warn,
        "not there",
        "reinstall",
    ),
    (
        "initiator-name",
        |h| h.facts.iscsi.session_names = [b"iqn.1993-08.org.debian:01:old".to_vec()].into(),
        Warn,
        "iqn.1993-08.org.debian:01:ab, and sessions are up under iqn.1993-08.org.debian:01:old",
        "into /etc/iscsi/initiatorname.iscsi",
    ),
    (
        "initiator-name",
        |h| h.facts.iscsi.session_names = [b"iqn.1993-08.org.debian:01:ab".to_vec()].into(),
        Pass,
        "iqn.1993-08.org.debian:01:ab",
        "",
    ),
    ("initiator-name", |_| (), Pass, "iqn.1993-08.org.debian:01:ab", ""),
    (
        "initiator-name",
        |h| h.write("/etc/iscsi/initiatorname.iscsi", ""),
        Fail,
        "names no initiator",
        "csihost apply",
    ),
    ("iscsid-unit", |_| (), Pass, "enabled and active", ""),
    ("iscsid-unit", |h| h.unit("iscsid.socket", ActiveState::Failed), Fail, "not active", "csihost apply"),
    ("iscsid-reachable", |_| (), Pass, "somebody listens", ""),
    ("iscsid-reachable", |h| h.facts.iscsi.listening = Some(false), Fail, "nobody listens", "csihost apply"),
    (
        "iscsid-reachable",
        |h| {
            h.settings.packages = Some(Policy::Ignore);
            h.without("iscsid");
            h.facts.iscsi.listening = Some(false);
        },
        Fail,
        "nobody listens",
        "apt-get -y --no-upgrade --no-install-recommends install open-iscsi",
    ),
    (
        "iscsid-reachable",
        |h| {
            h.facts.iscsi.listening = Some(false);
            h.facts.iscsi.control = Some(false);
        },
        Fail,
        "nobody listens",
        "see iscsi-kernel",
    ),
    ("iscsid-reachable", |h| h.facts.iscsi.listening = None, Skip, "could not be asked", ""),
    ("kernel-module-iscsi_tcp", |_| (), Pass, "loaded", ""),
    ("kernel-module-dm_crypt", |h| h.module("dm_crypt", Module::BuiltIn), Pass, "built in", ""),
    (
        "kernel-module-dm_crypt",
        |h| h.module("dm_crypt", Module::Missing),
        Fail,
        "does not have it",
        "install linux-modules-extra-6.8.0-31-generic, then csihost apply",
    ),
    (
        "kernel-module-dm_crypt",
        |h| {
            h.facts.modules.insert("dm_crypt".into(), Module::Missing);
            h.write("/run/systemd/container", "lxc");
        },
        Fail,
        "does not have it",
        "run modprobe dm_crypt on the machine that runs this container (lxc)",
    ),
    (
        "kernel-module-dm_crypt",
        |h| {
            h.facts.modules.insert("dm_crypt".into(), Module::Missing);
            let modules = path("/lib/modules/6.8.0-31-generic");
            h.facts.dirs.insert(modules.clone(), DirFact::Absent { canonical: modules });
        },
        Fail,
        "does not have it",
        "reboot into the kernel that is installed",
    ),
    (
        "kernel-module-nvme_tcp",
        |h| h.module("nvme_tcp", Module::Loadable),
        Fail,
        "not loaded",
        "csihost apply",
    ),
    ("kernel-module-nfs", |h| h.module("nfs", Module::Unknown), Skip, "could not be asked", ""),
    ("stale-iscsi-records", |_| (), Pass, "remembers no target", ""),
    (
        "stale-iscsi-records",
        |h| {
            h.record("iqn.2019-10.io.longhorn:pvc-1");
            h.facts.iscsi.sessions.push(b"iqn.2019-10.io.longhorn:pvc-1".to_vec());
        },
        Pass,
        "each of 1",
        "",
    ),
    (
        "stale-iscsi-records",
        |h| h.record("iqn.2019-10.io.longhorn:pvc-1"),
        Warn,
        "1 record of targets without a session: Longhorn's",
        "iscsi.stale-records = \"remove\"",
    ),
    (
        "stale-iscsi-records",
        |h| h.record("iqn.2001-01.com.san:a"),
        Warn,
        "others': iqn.2001-01.com.san:a",
        "iscsiadm -m node -T TARGET -o delete",
    ),
    (
        "stale-iscsi-records",
        |h| {
            h.settings.stale_records = StaleRecords::Remove;
            h.record("iqn.2019-10.io.longhorn:pvc-1");
            h.record("iqn.2001-01.com.san:a");
        },
        Warn,
        "2 records of targets without a session: 1 Longhorn's, the others iqn.2001",
        "csihost apply; run iscsiadm",
    ),
    ("stale-iscsi-records", |h| h.facts.mode = Mode::Offline, Skip, "offline", ""),
    ("multipathd", |_| (), Pass, "does not run", ""),
    (
        "multipathd",
        |h| h.unit("multipathd.service", ActiveState::Active),
        Warn,
        "nothing keeps it",
        "iscsi.multipath = \"blacklist\"",
    ),
    (
        "multipathd",
        |h| {
            h.settings.multipath = Multipath::Blacklist;
            h.unit("multipathd.service", ActiveState::Active);
        },
        Warn,
        "nothing keeps it",
        "run csihost apply",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.write(
                "/etc/multipath.conf",
                "blacklist {\ndevice {\nvendor \"IET\"\nproduct \"VIRTUAL-DISK\"\n}\n}\n",
            );
        },
        Pass,
        "/etc/multipath.conf:2",
        "",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.write("/etc/multipath.conf", "blacklist {\nwwid .*\n}\nblacklist_exceptions {\nwwid ^36\n}\n");
        },
        Warn,
        "an exception lets it have Longhorn's disks: /etc/multipath.conf:5",
        "iscsi.multipath = \"blacklist\"",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.write("/etc/multipath.conf", "blacklist_exceptions {\ndevice {\nvendor IET\n}\n}\n");
        },
        Warn,
        "nothing keeps it",
        "out of blacklist_exceptions",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.write("/etc/multipath.conf", "blacklist {\ndevnode ^sd[a-z]$\n}\n");
        },
        Warn,
        "not all of Longhorn's disks are kept from it: /etc/multipath.conf:2",
        "iscsi.multipath = \"blacklist\"",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.write("/etc/multipath.conf", "blacklist {\ndevnode \"*\"\n}\n");
        },
        Warn,
        "is not known",
        "correct the line",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Active);
            h.facts.files.insert("/etc/multipath.conf".into(), FileFact::Unreadable("too large".into()));
        },
        Warn,
        "is not known",
        "multipath -t",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Unknown);
            h.facts.init = Init::Offline;
        },
        Warn,
        "starts at boot, and nothing keeps it",
        "iscsi.multipath = \"blacklist\"",
    ),
    (
        "multipathd",
        |h| {
            h.unit("multipathd.service", ActiveState::Unknown);
            h.facts.init = Init::Offline;
            h.write("/etc/multipath.conf", "blacklist {\nwwid .*\n}\n");
        },
        Pass,
        "leaves Longhorn's disks alone: /etc/multipath.conf:2",
        "",
    ),
    ("multipathd", |h| h.facts.init = Init::Offline, Pass, "is not installed", ""),
    ("multipathd", |h| h.facts.init = Init::Other("init".into()), Skip, "not known", ""),
];
