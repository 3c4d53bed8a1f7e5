//! A capture has what detection needs and nothing that is secret: from a tree full of secrets,
//! and from the very machine that runs the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

#[path = "scenes/format.rs"]
mod format;

use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn csihost(args: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_csihost")).args(args).current_dir(directory).output().unwrap()
}

fn detect(root: &Path) -> Value {
    let output = csihost(&["detect", "--json", "--root", root.to_str().unwrap()], Path::new("/"));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The tar in an archive.
fn tar_of(archive: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(archive).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

/// Unpacks an archive below `directory`; the one directory that is in it.
fn unpack(archive: &[u8], directory: &Path) -> PathBuf {
    let tar = tar_of(archive);
    let mut archive = tar::Archive::new(tar.as_slice());
    archive.set_preserve_permissions(true);
    archive.unpack(directory).unwrap();
    let tops: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(tops.len(), 1, "{tops:?}");
    tops[0].clone()
}

/// Captures the tree at `root`: the archive's bytes.
fn capture(root: &Path) -> Vec<u8> {
    let output = csihost(&["capture", "--output", "-", "--root", root.to_str().unwrap()], Path::new("/"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Every secret has this in it.
const CANARY: &str = "hunter2";

const SECRETS: &str = "
file /etc/hostname
  node-1
file /etc/os-release
  ID=debian
host
file /proc/1/environ
  SECRET=hunter2
process 700 /usr/local/bin/k3s server --token hunter2 -t hunter2a --datastore-endpoint=postgres://u:hunter2@db/k3s --kubelet-arg=root-dir=/srv/kubelet --kubelet-arg=token=hunter2
  listens /srv/kubelet
  mount 20 1 8:1 / / rw - ext4 /dev/sda1 rw
  mount 21 20 0:70 / /mnt rw - cifs //u:hunter2@nas/x rw,password=hunter2,credentials=hunter2
  mount 22 20 0:71 / /mnt2 rw - fuse.s3 https://key:hunter2@s3/x rw
file /proc/700/environ
  K3S_TOKEN=hunter2
link /proc/700/fd/90 /root/hunter2
link /proc/700/fd/91 pipe:[1]
process 710 /csi-node-driver-registrar --kubelet-registration-path=/srv/kubelet/plugins/d/csi.sock --aws-secret-key hunter2
  mnt-ns 4026532701
  mount 300 299 0:60 / / rw - overlay overlay rw
file /proc/710/environ
  AWS_SECRET_ACCESS_KEY=hunter2
process 711 plugin --endpoint=unix:///csi/csi.sock --password=hunter2 -phunter2 hunter2 AKIA=hunter2
  mnt-ns 4026532702
  mount 310 309 0:61 / / rw - overlay overlay rw
  mount 311 310 8:1 /srv/kubelet/plugins/d /csi rw - ext4 /dev/sda1 rw
process 712 /usr/bin/containerd --config=/etc/containerd/config.toml --registry-auth hunter2
process 713 /usr/bin/unrelated --password=hunter2
file /etc/iscsi/iscsid.conf 0600
  # the password was hunter2
  iscsid.startup = /bin/systemctl start iscsid.socket
  node.session.auth.authmethod = CHAP
  node.session.auth.username = hunter2
  node.session.auth.password = hunter2
  node.session.auth.password=hunter2
  #node.session.auth.password_in = hunter2
  discovery.sendtargets.auth.password = hunter2
  hunter2
file /etc/iscsi/initiatorname.iscsi 0600
  # hunter2
  InitiatorName=iqn.2004-10.com.ubuntu:01:abc
file /etc/rancher/k3s/config.yaml 0600
  token: hunter2
  agent-token: \"hunter2\"
  datastore-endpoint: mysql://u:hunter2@tcp(db)/k3s
  etcd-s3-secret-key: hunter2
  # token: hunter2
  data-dir: /srv/k3s
  kubelet-arg:
    - root-dir=/srv/kubelet
    - token=hunter2
  node-label: [hunter2]
  secret: |
    hunter2
file /etc/rancher/k3s/config.yaml.d/x.yaml 0600
  token-file: /etc/x
  password: hunter2
file /usr/local/bin/k3s 0755
  hunter2
file /etc/systemd/system/k3s.service
  [Unit]
  Description=k3s
  [Service]
  # K3S_TOKEN=hunter2
  Environment=K3S_TOKEN=hunter2 \"K3S_URL=https://u:hunter2@h\"
  EnvironmentFile=-/etc/systemd/system/k3s.service.env
  SetCredential=x:hunter2
  ExecStart=/usr/local/bin/k3s server \\x5c
      '--token' \\x5c
      'hunter2' \\x5c
      '--etcd-s3-secret-key=hunter2'
file /etc/systemd/system/k3s.service.env 0600
  K3S_TOKEN='hunter2'
  K3S_DATASTORE_ENDPOINT=postgres://u:hunter2@h/d
  # hunter2
file /etc/systemd/system/kubelet.service.d/10.conf
  [Service]
  Environment=\"KUBELET_ARGS=--token=hunter2 --v=2\"
file /var/lib/kubelet/kubeadm-flags.env
  KUBELET_KUBEADM_ARGS=\"--bootstrap-token=hunter2 --root-dir=/srv/kubelet\"
file /etc/default/kubelet
  KUBELET_EXTRA_ARGS=--token hunter2
  hunter2
file /var/snap/microk8s/current/args/kubelet
  --token=hunter2
file /var/lib/kubelet/config.yaml 0600
  authentication: hunter2
file /var/lib/kubelet/pki/kubelet.key 0600
  hunter2
file /etc/kubernetes/kubelet.conf 0600
  token: hunter2
file /srv/kubelet/pods/1234/volumes/kubernetes.io~secret/s/token
  hunter2
file /srv/kubelet/pods/1234/volumes/kubernetes.io~csi/pvc-1/vol_data.json
  hunter2
file /srv/kubelet/pods/1234/volumes/kubernetes.io~csi/pvc-1/mount/data
  hunter2
file /srv/kubelet/pods/1234/plugins/hunter2/x
dir /srv/kubelet 0750
dir /srv/kubelet/pod-resources 0750
dir /srv/kubelet/plugins 0750
file /srv/kubelet/plugins/d/secret
  hunter2
file /etc/csihost/csihost.toml
  [iscsi]
  enabled = true
file /var/lib/csihost/receipt.json 0600
  {\"version\":1,\"reload_pending\":false,\"bridge\":null,\"changes\":[{\"done\":true,\"change\":\"generated\",\"path\":\"/x\",\"splices\":[\"hunter2\"]}]}
file /etc/fstab
  # hunter2
  //nas/x /mnt cifs password=hunter2 0 0
  /srv/kubelet/pods /var/lib/kubelet/pods none bind,password=hunter2 0 0
";

fn tree_of_secrets() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    format::unpack(SECRETS, tree.path());
    tree
}

#[test]
fn no_secret_of_a_node_is_in_its_capture() {
    let tree = tree_of_secrets();
    let tar = tar_of(&capture(tree.path()));
    let mut leaks = Vec::new();
    let mut archive = tar::Archive::new(tar.as_slice());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        if name.contains(CANARY) || link.unwrap_or_default().contains(CANARY) || text.contains(CANARY) {
            leaks.push(format!("{name}: {text}"));
        }
        assert!(!name.contains("environ"), "{name}");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    // Not in padding or headers either.
    assert!(!tar.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
}

/// The beginning of each planted value; a number follows.
const PLANTED: &str = "Xc4n4ry";

/// Where a secret can be in each kind of file and of argument that a capture takes. `@` is a planted value: alone behind a key,
/// known or not, in a comment, as a name, and in the midst of what stays.
const PLANTS: &str = "
file /etc/hostname
  node-1
file /etc/os-release
  ID=debian
  # @
  VARIANT_IDS=@
  SUPPORT_TOKEN=\"@\"
  NAME=\"Debian; @\"
  HOME_URL=\"https://u:@@debian.org/\"
host
process 700 /usr/local/bin/k3s server --token @ -t @ --@ --token:@ -p@ --v=@ --v @ --debug=@ --data-dir=@ -d @ --root=@ --state @ --kubelet-arg=@ --kubelet-arg=root-dir=/srv/kubelet --kubelet-arg=v=@ --kubelet-arg=@=x --kubelet-extra-args @ --snapshotter @ --container-runtime-endpoint=@ --cgroup-driver @ --hostname-override=@ --node-name @ --namespace @ --id @ --address @ --address=@:@ --containerd @ --kubeconfig @ --cert-dir=@ --pod-manifest-path @ --rootless=@ /etc/x?token=@ $@ @/kubelet a=@ @
  listens /srv/kubelet
  mount 20 1 8:1 / / rw - ext4 /dev/sda1 rw
  mount 21 20 0:70 / /mnt rw,@ @:1 - cifs //u:@@nas/x rw,password=@,credentials=@,username=@,domain=@,x=@,@,@=1
  mount 22 20 0:71 / /mnt2 rw - fuse.s3 https://key:@@s3/x rw,passwd_file=@
  mount 23 20 0:72 / /mnt3 rw - fuse.sshfs @ rw
  mount 24 20 0:73 / /mnt4 rw - fuse.x user:@@host rw,user=@
  mount 25 20 0:74 @ /mnt5 rw - @ none rw
process 710 /csi-node-driver-registrar --kubelet-registration-path=/srv/kubelet/plugins/d/csi.sock --kubelet-registration-path=@ --aws-secret-key @ --csi-address=@ --csi-address=tcp://@ --plugin-registration-path @
  mnt-ns 4026532701
  mount 300 299 0:60 / / rw - overlay overlay rw
process 711 plugin --endpoint=unix:///csi/csi.sock --endpoint=@ --endpoint=https://@/x --endpoint=tcp://u:@@10.0.0.1:1 --drivername=@ --driver-name @ --mode=@ --registration-path @ --volume-plugin-dir=@ --password=@ -p@ @ AKIA=@ @=1
  mnt-ns 4026532702
  mount 310 309 0:61 / / rw - overlay overlay rw,lowerdir=@,x=@
  mount 311 310 8:1 /srv/kubelet/plugins/d /csi rw - ext4 /dev/sda1 rw
process 705 /usr/local/bin/k3s agent --config @ -c @ --config=@
process 712 /usr/bin/containerd --config=/etc/containerd/config.toml --registry-auth @ --root @ --state=@ --log-level @
file /etc/iscsi/iscsid.conf 0600
  # @
  iscsid.startup = /bin/systemctl start iscsid.socket @
  #iscsid.startup = /sbin/iscsid --key @
  @ iscsid.startup = /sbin/iscsid @
  iscsid.safe_logout = @
  node.startup = @
  node.startup = manual # @
  node.session.timeo.replacement_timeout = @
  node.session.auth.username = @
  node.session.auth.password=@
  #node.session.auth.password_in = @
  discovery.sendtargets.auth.password = @
  @ = x
  @
file /etc/iscsi/initiatorname.iscsi 0600
  # @
  InitiatorName=iqn.2004-10.com.ubuntu:01:abc
  InitiatorName=@
  InitiatorAlias=@
  InitiatorName@
  GenerateName=@
  InitiatorName=iqn.2004-10.com.ubuntu:01:abc # @
file /etc/rancher/k3s/config.yaml 0600
  token: @
  # @
  data-dir: /srv/k3s # @
  v: @
  debug: @ # @
  config: @
  snapshotter: @
  profile: \"@\"
  node-name: @
  container-runtime-endpoint: @
  selinux:
    @
  kubelet-arg:
    - root-dir=/srv/kubelet
    - v=@
    - token=@
    - @
    - @=x
    - \"config @\"
    # @
  @: x
  secret: |
    @
file /etc/systemd/system/k3s.service
  # @
  ; @
  @
  [@]
  [Unit]
  Description=@
  Documentation=https://u:@@x/@
  After=@ network.target
  ConditionPathExists=@
  @=x
  Frob@=x
  [Service]
  Type=@
  User=@
  Restart=@
  Environment=K3S_TOKEN=@ \"K3S_URL=https://u:@@h\" A=@ @=x @
  EnvironmentFile=@
  EnvironmentFile=-/etc/systemd/system/k3s.service.env
  PassEnvironment=@
  SetCredential=x:@
  LoadCredential=@
  ListenStream=@
  ExecStartPre=/bin/sh -c 'curl -H @ https://u:@@h'
  ExecStartPre=-@
  ExecStart=/usr/local/bin/k3s server \\x5c
      '--token' \\x5c
      # @
      '@' \\x5c
      '--etcd-s3-secret-key=@'
  [Install]
  WantedBy=@
file /etc/systemd/system/kubelet.service.d/10.conf
  [Service]
  Environment=\"KUBELET_ARGS=--token=@ --v=@\"
  SomeKey=@
file /etc/systemd/system/k3s.service.env 0600
  K3S_TOKEN='@'
  K3S_OTHER=@
  @=1
  export A=@
  # @
  @
file /etc/default/kubelet
  KUBELET_EXTRA_ARGS=--token @ --v=@ --@ $@
  KUBELET_AUTH=@
  K3S_CONFIG_FILE=@
file /var/snap/microk8s/current/args/kubelet
  --token=@
  --v=@
  --root-dir=@
  # @
  @
file /var/lib/kubelet/kubeadm-flags.env
  KUBELET_KUBEADM_ARGS=\"--bootstrap-token=@ --root-dir=/srv/kubelet --v=@\"
file /var/lib/kubelet/config.yaml 0600
  authentication: @
file /etc/modules-load.d/iscsi.conf
  iscsi_tcp
  # @
  @
file /etc/csihost/csihost.toml
  # @
  [iscsi] # @
  enabled = true # @
file /etc/csihost/csihost.toml.d/a.toml
  [contract]
  drivers = [\"x.example\"] # @
  # namespaces = ['@']
file /var/lib/csihost/receipt.json 0600
  {\"version\":1,\"reload_pending\":false,\"bridge\":null,\"@\":1,\"more\":\"@\",\"list\":[{\"x\":\"a @\"}],\"changes\":[{\"done\":true,\"change\":\"generated\",\"path\":\"/x\",\"was\":\"@\",\"splices\":[\"@\"]}]}
file /etc/fstab
  # @
  //nas/x /mnt cifs password=@ 0 0
  /srv/kubelet/pods /var/lib/kubelet/pods none bind,password=@,@,x=@ 0 0 # @
  /srv/kubelet/pods /var/lib/kubelet/plugins none bind 0 0 @
  @ /var/lib/kubelet/plugins_registry @ bind @ @
  //u:@@nas/x /var/lib/kubelet/x cifs username=@,pass=@ 0 0
dir /srv/kubelet 0750
dir /srv/kubelet/pod-resources 0750
dir /srv/kubelet/plugins 0750
file /srv/kubelet/pods/1234/volumes/kubernetes.io~secret/s/token
  @
";

/// The text with a number of its own for each planted value, and how many there are.
fn planted() -> (String, usize) {
    let mut parts = PLANTS.split('@');
    let mut text = parts.next().unwrap().to_owned();
    let mut count = 0;
    for part in parts {
        // `u:@@h`: the second sign stays itself.
        match text.ends_with(&format!("{PLANTED}{count:03}z"))
            && text.contains("u:")
            && !part.starts_with([' ', '\n'])
        {
            true if ends_with_user(&text) => text.push('@'),
            _ => {
                count += 1;
                text.push_str(&format!("{PLANTED}{count:03}z"));
            }
        }
        text.push_str(part);
    }
    (text, count)
}

/// True if the last planted value is the password before the name of a server.
fn ends_with_user(text: &str) -> bool {
    let at = text.rfind(PLANTED).unwrap();
    ["u:", "key:", "user:"].iter().any(|user| text[..at].ends_with(user))
}

#[test]
fn nothing_that_is_planted_in_any_file_or_argument_is_in_a_capture() {
    let (text, count) = planted();
    assert!(count >= 150, "{count}");
    let tree = tempfile::tempdir().unwrap();
    format::unpack(&text, tree.path());
    let tar = tar_of(&capture(tree.path()));
    let mut found = Vec::new();
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        let lines = String::from_utf8_lossy(&text).into_owned();
        let leaks = lines.split(['\n', '\0']).filter(|line| line.contains(PLANTED)).map(str::to_owned);
        found.extend(leaks.map(|line| format!("{name}: {line}")));
        names.push(name);
    }
    assert!(found.is_empty(), "{} of {count} planted values:\n{}", found.len(), found.join("\n"));
    assert!(!tar.windows(PLANTED.len()).any(|part| part == PLANTED.as_bytes()));
    // Each of these was looked at.
    for file in [
        "etc/os-release",
        "etc/iscsi/iscsid.conf",
        "etc/iscsi/initiatorname.iscsi",
        "etc/rancher/k3s/config.yaml",
        "etc/systemd/system/k3s.service",
        "etc/systemd/system/k3s.service.env",
        "etc/csihost/csihost.toml",
        "etc/csihost/csihost.toml.d/a.toml",
        "var/lib/csihost/receipt.json",
        "etc/fstab",
        "proc/700/cmdline",
        "proc/700/mountinfo",
        "proc/710/cmdline",
        "proc/711/cmdline",
        "proc/712/cmdline",
    ] {
        assert!(names.iter().any(|name| name.ends_with(file)), "{file} is not in {names:?}");
    }
}

/// What every check says of a tree, and what csihost would do.
fn checks(root: &Path) -> (Vec<(String, String, String)>, Value) {
    let run = |args: &[&str]| -> Value {
        let output = csihost(&[args, &["--json", "--root", root.to_str().unwrap()]].concat(), Path::new("/"));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    };
    let report = run(&["check"]);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["checks"].as_array().or(report["findings"].as_array()).cloned().unwrap_or_default();
    let findings = findings.iter().map(|f| (text(f, "id"), text(f, "status"), text(f, "summary"))).collect();
    (findings, run(&["plan"])["steps"].clone())
}

#[test]
fn checks_say_of_a_capture_what_they_say_of_the_node() {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let mut compared = 0;
    let mut differing = Vec::new();
    for entry in fs::read_dir(scenes).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "scene") {
            continue;
        }
        let [tree, scratch] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        format::unpack(&fs::read_to_string(&path).unwrap(), tree.path());
        let scene = unpack(&capture(tree.path()), scratch.path());
        let ((before, steps), (after, same_steps)) = (checks(tree.path()), checks(&scene));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        compared += before.len();
        for finding in before.iter().filter(|finding| !after.contains(finding)) {
            let other = after.iter().find(|other| other.0 == finding.0);
            differing.push(format!("{name}: {finding:?}, in the capture {other:?}"));
        }
        if steps != same_steps {
            differing.push(format!("{name}: {steps}, in the capture {same_steps}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(compared > 1000, "{compared}");
}

#[test]
fn what_detection_needs_is_in_the_capture() {
    let tree = tree_of_secrets();
    let scratch = tempfile::tempdir().unwrap();
    let scene = unpack(&capture(tree.path()), scratch.path());
    assert_eq!(detect(&scene), detect(tree.path()));
    assert_eq!(detect(&scene)["kubelet"]["root_dir"], "/srv/kubelet");

    let text = |path: &str| fs::read_to_string(scene.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(text("etc/iscsi/iscsid.conf").contains("iscsid.startup = /bin/systemctl start iscsid.socket"));
    assert!(text("etc/iscsi/initiatorname.iscsi").contains("InitiatorName=iqn"));
    assert!(text("etc/systemd/system/k3s.service").contains("ExecStart=/usr/local/bin/k3s server"));
    assert!(text("etc/fstab").contains("/srv/kubelet/pods"));
    assert_eq!(text("proc/711/cmdline").matches("redacted").count(), 4);
    assert!(scene.join("srv/kubelet/pods/1234/volumes/kubernetes.io~csi/pvc-1/mount").is_dir());
    assert!(!scene.join("srv/kubelet/pods/1234/volumes/kubernetes.io~csi/pvc-1/mount/data").exists());
    assert_eq!(fs::read_link(scene.join("proc/700/root")).unwrap(), Path::new("/"));
    assert!(!scene.join("proc/713").exists(), "a process that is nobody's business");
    let mode = |path: &str| scene.join(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("srv/kubelet"), mode("srv/kubelet/pod-resources")), (0o750, 0o750));

    let manifest: Value = serde_json::from_str(&text("capture.json")).unwrap();
    assert_eq!((&manifest["schema"], &manifest["hostname"]), (&Value::from(1), &Value::from("node-1")));
    let roles: Vec<_> =
        manifest["processes"].as_array().unwrap().iter().map(|p| (&p["pid"], &p["as"])).collect();
    let expected = [(1, "init"), (700, "kubelet"), (710, "registrar"), (711, "plugin"), (712, "runtime")];
    assert_eq!(roles.len(), expected.len(), "{roles:?}");
    for ((pid, role), expected) in roles.into_iter().zip(expected) {
        assert_eq!((pid, role), (&Value::from(expected.0), &Value::from(expected.1)));
    }
}

#[test]
fn a_capture_of_a_capture_is_the_same_scene() {
    let tree = tree_of_secrets();
    let scratch = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let once = unpack(&capture(tree.path()), scratch[0].path());
    let twice = unpack(&capture(&once), scratch[1].path());
    let list = |root: &Path| {
        let files = Command::new("find")
            .args([".", "-type", "f", "-not", "-name", "capture.json", "-exec", "cksum", "{}", "+"])
            .current_dir(root)
            .output();
        let mut lines: Vec<String> =
            String::from_utf8(files.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(list(&once), list(&twice));
}

#[test]
fn the_file_is_the_owners_alone_and_nothing_is_overwritten() {
    let tree = tree_of_secrets();
    let scratch = tempfile::tempdir().unwrap();
    let root = tree.path().to_str().unwrap();
    let output = csihost(&["capture", "--root", root], scratch.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("csihost-node-1-20") && name.ends_with(".tar.zst"), "{name}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o7777, 0o600);

    let again = csihost(&["capture", "--root", root], scratch.path());
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains(name));
}

#[test]
fn this_machine_can_be_captured_and_detects_the_same_in_its_scene() {
    let live = csihost(&["detect", "--json"], Path::new("/"));
    let live: Value = serde_json::from_slice(&live.stdout).unwrap();
    let output = csihost(&["capture", "-o", "-"], Path::new("/"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scratch = tempfile::tempdir().unwrap();
    let scene = unpack(&output.stdout, scratch.path());
    assert!(scene.join("proc/1/mountinfo").exists());
    assert_eq!(detect(&scene)["kubelet"]["root_dir"], live["kubelet"]["root_dir"]);
}
