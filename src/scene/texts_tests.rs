//! Scene: tests of what is shown of files.

use super::*;
use crate::iscsi::multipath::rules::{Configuration, Gap, Place, Verdict};
use proptest::prelude::*;

#[track_caller]
fn shows(path: &'static str, text: &str, expected: &str) {
    let now = presentable(&HostPath::from(path), text.as_bytes());
    assert_eq!(String::from_utf8(now).unwrap(), expected, "{path}");
}

#[test]
fn of_iscsid_conf_the_startup_lines_stay_and_no_secret() {
    shows(
        "/etc/iscsi/iscsid.conf",
        "# my password is x\niscsid.startup = /bin/systemctl start iscsid.socket\n#iscsid.startup = /sbin/iscsid\n\
         node.startup = manual\nnode.session.auth.password = hunter2\n#node.session.auth.username = me\n\
         discovery.sendtargets.auth.password=hunter2\nhunter2\n;iscsid.startup = /x\n\nx=hunter2",
        "# redacted\niscsid.startup = /bin/systemctl start iscsid.socket\n#iscsid.startup = /sbin/iscsid\n\
         node.startup = manual\nnode.session.auth.password = redacted\n# redacted\n\
         discovery.sendtargets.auth.password= redacted\n# redacted\n;iscsid.startup = /x\n\n# redacted",
    );
}

#[test]
fn a_startup_line_by_the_parsers_odd_rules_stays_in_effect() {
    let text = format!("#{}iscsid.startup = /a\nsecret iscsid.startupX = /b\n", "s".repeat(1022));
    let now = presentable(&HostPath::from("/etc/iscsi/iscsid.conf"), text.as_bytes());
    assert_eq!(Conf::new(&now).startup(), Conf::new(text.as_bytes()).startup());
    assert!(!String::from_utf8(now).unwrap().contains("sss"));
}

#[test]
fn of_multipath_conf_the_rules_stay_on_their_lines() {
    shows(
        "/etc/multipath.conf",
        "# secret\ndefaults {\n user secret\n find_multipaths no\n}\nblacklist { devnode secret }\n device\n {\n  \
         vendor \"a\"\"b\" # secret\n secret {\n}\n}\noverrides {\n protocol \"secret\"\n}",
        "\ndefaults {\n\nfind_multipaths \"no\"\n}\nblacklist { redacted\ndevice {\n\nvendor \"a\"\"b\"\n\
         \"redacted\" redacted\n}\n}\noverrides {\nprotocol { redacted\n}",
    );
}

proptest! {
    #[test]
    fn what_is_shown_of_multipath_conf_leaves_the_same_disks_alone(
        lines in proptest::collection::vec(proptest::sample::select(&[
            "blacklist {", "blacklist", "{", "}", "} x", "blacklist_exceptions {", "device {", "devices {", "vendor IET",
            "product \"VIRTUAL-.*\"", "product_blacklist \"\"", "devnode \"^sd\"", "devnode ^sda b", "wwid \"!^3\"",
            "wwid \"", "wwid", "\"wwid\" .*", "property ID_SERIAL", "blacklist { wwid .* }", "foo {", "# x", "defaults {",
            "protocol scsi:iscsi", "overrides {", "overrides", "devnode_blacklist {", "find_multipaths yes", "wwid \"a\"\".*\"",
        ][..]), 0..12)
    ) {
        let read = |text: &[u8]| {
            let mut conf = Configuration::default();
            conf.add(&HostPath::from("/etc/multipath.conf"), text);
            let verdict = match conf.verdict() {
                Verdict::Takes(gap) => {
                    let ignored: Vec<Place> = gap.ignored.iter().map(|ignored| ignored.place.clone()).collect();
                    (Verdict::Takes(Gap { ignored: Vec::new(), ..gap }), ignored)
                }
                verdict => (verdict, Vec::new()),
            };
            (verdict, conf.find_multipaths())
        };
        let text = lines.join("\n");
        let shown = presentable(&HostPath::from("/etc/multipath.conf"), text.as_bytes());
        prop_assert_eq!(read(text.as_bytes()), read(&shown), "{}\n---\n{}", text, String::from_utf8_lossy(&shown));
    }
}

#[test]
fn the_initiators_name_stays_and_comments_go() {
    shows(
        "/etc/iscsi/initiatorname.iscsi",
        "## secret\nInitiatorName=iqn.x:1\n",
        "# redacted\nInitiatorName=iqn.x:1\n",
    );
}

#[test]
fn units_keep_what_is_run_and_lose_values() {
    shows(
        "/etc/systemd/system/k3s.service",
        "# K3S_TOKEN=a\n[Service]\nExecStartPre=-/sbin/modprobe br_netfilter\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--token' \\\n\t'abc' \\\n\t'--kubelet-arg=root-dir=/srv/k' \\\n\nEnvironment=K3S_TOKEN=abc \"ROOT=/srv/k\" 'X=abc d'\nSetCredential=a:b\nAfter=network.target\n",
        "# redacted\n[Service]\nExecStartPre=-/sbin/modprobe redacted\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--token' \\\n\t'redacted' \\\n\t'--kubelet-arg=root-dir=/srv/k' \\\n\nEnvironment=K3S_TOKEN=redacted \"ROOT=/srv/k\" 'X=redacted redacted'\nSetCredential=redacted\nAfter=network.target\n",
    );
}

#[test]
fn variables_keep_paths_and_known_flags() {
    shows(
        "/etc/systemd/system/k3s.service.env",
        "K3S_TOKEN='abc'\nK3S_URL=https://u:p@h:6443\nK3S_CONFIG_FILE=/srv/k3s.yaml\n# x\n",
        "K3S_TOKEN=redacted\nK3S_URL=redacted\nK3S_CONFIG_FILE=/srv/k3s.yaml\n# redacted\n",
    );
    shows(
        "/var/lib/kubelet/kubeadm-flags.env",
        "KUBELET_KUBEADM_ARGS=\"--root-dir=/srv/k --token=abc --pod-infra-container-image=x\"\n",
        "KUBELET_KUBEADM_ARGS=\"--root-dir=/srv/k --token=redacted --pod-infra-container-image=redacted\"\n",
    );
    shows(
        "/etc/default/kubelet",
        "KUBELET_EXTRA_ARGS=--root-dir=/srv/k --v=2\n",
        "KUBELET_EXTRA_ARGS=--root-dir=/srv/k --v=2\n",
    );
}

#[test]
fn arguments_files_are_taken_by_line() {
    shows(
        "/var/snap/microk8s/current/args/kubelet",
        "--root-dir=\"${SNAP_COMMON}/var/lib/kubelet\"\n--token x\n--node-labels=\"a=b\"\n",
        "--root-dir=\"${SNAP_COMMON}/var/lib/kubelet\"\n--token redacted\n--node-labels=redacted\n",
    );
}

#[test]
fn a_file_that_nobody_knows_loses_everything() {
    shows(
        "/root/.kube/config",
        "clusters:\n- cluster:\n    server: https://h\nusers: x\n",
        "clusters: redacted\n# redacted\n# redacted\nusers: redacted\n",
    );
    shows("/srv/key", "-----BEGIN\nabc\n", "# redacted\n# redacted\n");
}

#[test]
fn mount_options_lose_passwords() {
    let row = b"1 0 0:1 / /mnt rw shared:1 - cifs //u:p@host/x rw,username=u,password=p,size=1\n2 0 0:1 / /m rw - fuse s3://k:s@b rw\n";
    let now = String::from_utf8(mountinfo(row)).unwrap();
    assert_eq!(
        now,
        "1 0 0:1 / /mnt rw shared:1 - cifs //redacted@host/x rw,username=redacted,password=redacted,size=1\n2 0 0:1 / /m rw - fuse s3://redacted@b rw\n"
    );
}

#[test]
fn the_receipt_loses_the_lines_of_others() {
    shows(
        "/var/lib/csihost/receipt.json",
        r#"{"changes":[{"change":"patched","splices":[{"old":"secret"}]}],"version":1}"#,
        "{\n  \"changes\": [\n    {\n      \"change\": \"patched\",\n      \"splices\": []\n    }\n  ],\n  \"version\": 1\n}",
    );
    shows("/var/lib/csihost/receipt.json", "{secret", "redacted");
}
