//! Prediction and outcome: in each arrangement of a kubelet, a plugin and their mounts csihost says
//! whether a volume will arrive, then the plugin really mounts one at the string that the kubelet
//! would send, and somebody looks in the kubelet's mount namespace. `csihost probe` has to find the
//! same. Kubelet and plugin are stand-ins,
//! everything else is this machine's kernel and, beside a script that does as they do, the container runtimes
//! runc and crun. It needs root; without it the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // Tests.

mod probe;

use csihost::model::contract::{Contract, Lookup, Plugin, Plugins, Propagation, Publisher, Seat, Seen, View};
use csihost::model::kubelet::KubeletRoot;
use csihost::model::mount::MountTable;
use csihost::model::path::HostPath;
use csihost::mounts::contract::contracts;
use csihost::mounts::mountinfo;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One arrangement: how the host is made, and what is to be said of it.
struct Arrangement {
    what: &'static str,
    script: &'static str,
    seen: Seen,
    propagation: Propagation,
    remedy: &'static str,
}

const fn holds(what: &'static str, script: &'static str) -> Arrangement {
    let propagation = Propagation::Bidirectional;
    Arrangement { what, script, seen: Seen::Same, propagation, remedy: "" }
}

const fn breaks(
    what: &'static str,
    seen: Seen,
    propagation: Propagation,
    remedy: &'static str,
    script: &'static str,
) -> Arrangement {
    Arrangement { what, script, seen, propagation, remedy }
}

const BRIDGE: &str = r#"bridge() { for d in pods plugins plugins_registry; do
    mkdir -p "$1/$d" "$S/$d"; mount --rbind "$1/$d" "$S/$d"; mount --make-rshared "$S/$d"; done; }"#;

const ARRANGEMENTS: [Arrangement; 21] = [
    holds("the whole standard root", "kubelet $S; plugin $S/plugins/x.example $S:$S:rshared; judge"),
    holds(
        "pods and staging, as Longhorn has them",
        "kubelet $S; st=$S/plugins/kubernetes.io/csi; plugin $S/plugins/x.example $st:$st:rshared $S/pods:$S/pods:rshared; judge",
    ),
    holds("pods alone", "kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rshared; judge"),
    holds(
        "another root, and the driver was told",
        "kubelet /srv/k; plugin /srv/k/plugins/x.example /srv/k:/srv/k:rshared; judge",
    ),
    breaks(
        "another root, bridged, and a driver on the standard path",
        Seen::Absent,
        Propagation::None,
        "tell the driver that the kubelet's root is /srv/k",
        "bridge /srv/k; kubelet /srv/k; plugin $S/plugins/x.example $S:$S:rshared; judge",
    ),
    breaks(
        "another root, bridged only after the pod started",
        Seen::Absent,
        Propagation::None,
        "tell the driver that the kubelet's root is /srv/k",
        "kubelet /srv/k; plugin /srv/k/plugins/x.example $S:$S:rshared; bridge /srv/k; judge",
    ),
    holds(
        "both strings, by a graft",
        r#"bridge /srv/k; kubelet /srv/k; plugin $S/plugins/x.example $S:$S:rshared
           in_ns $plugin_pid bash -c 'mkdir -p /srv/k/pods; mount --rbind /var/lib/kubelet/pods /srv/k/pods'
           judge"#,
    ),
    breaks(
        "a volume mount without propagation",
        Seen::Same,
        Propagation::None,
        "set mountPropagation: Bidirectional on the volume mount at /var/lib/kubelet/pods",
        "kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rprivate; judge",
    ),
    breaks(
        "HostToContainer",
        Seen::Same,
        Propagation::ToPlugin,
        "set mountPropagation: Bidirectional on the volume mount at /var/lib/kubelet",
        "kubelet $S; plugin $S/plugins/x.example $S:$S:rslave; judge",
    ),
    breaks(
        "a runtime that only receives the host's mounts, as with MountFlags=slave in docker.service",
        Seen::Same,
        Propagation::ToPlugin,
        "MountFlags=",
        "kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rslave+rshared; judge",
    ),
    holds(
        "a private host, where the kubelet shares its root before the pod starts",
        "PRIVATE_HOST=1; . $HOST; kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rshared; judge",
    ),
    breaks(
        "a private host, where the pod is older than the kubelet's shared root",
        Seen::Same,
        Propagation::None,
        "restart this pod",
        "PRIVATE_HOST=1; . $HOST; plugin $S/plugins/x.example $S/pods:$S/pods:rshared; kubelet $S; judge",
    ),
    breaks(
        "a host whose root was made private when all ran",
        Seen::Same,
        Propagation::None,
        "make the mount that covers /var/lib/kubelet shared: run mount --make-rshared /var/lib",
        "kubelet $S; mount --make-rprivate /var/lib; plugin $S/plugins/x.example $S/pods:$S/pods:rprivate; judge",
    ),
    breaks(
        "a file system that was mounted at the standard path after the pod started",
        Seen::Different,
        Propagation::None,
        "restart this pod: it started before /var/lib/kubelet was mounted",
        "plugin $S/plugins/x.example $S/pods:$S/pods:rshared; mount -t tmpfs -o mode=755 tmpfs $S; kubelet $S; judge",
    ),
    breaks(
        "data that were bound to the standard path after a pod without propagation started",
        Seen::Different,
        Propagation::None,
        "restart this pod: it started before /var/lib/kubelet/pods was mounted",
        "plugin $S/plugins/x.example $S/pods:$S/pods:rprivate; bridge /srv/data; kubelet $S; judge",
    ),
    holds(
        "data that were bound to the standard path after the pod started: the bind travels to the pod",
        "plugin $S/plugins/x.example $S/pods:$S/pods:rshared; bridge /srv/data; kubelet $S; judge",
    ),
    holds(
        "a root on its own file system",
        "mkdir $S; mount -t tmpfs -o mode=755 tmpfs $S; kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rshared; judge",
    ),
    breaks(
        "MicroK8s: the standard path is a link to the root, and the driver has the link's name",
        Seen::Absent,
        Propagation::None,
        "tell the driver that the kubelet's root is /srv/mk",
        "kubelet /srv/mk; rm -r $S; ln -s /srv/mk $S; plugin $S/plugins/x.example $S:$S:rshared; judge",
    ),
    holds(
        "a root that is itself named by a link",
        "mkdir /srv/real; ln -s /srv/real /srv/link; kubelet /srv/link; plugin /srv/real/plugins/x.example /srv/link:/srv/link:rshared; judge",
    ),
    breaks(
        "something that was mounted over the pods in the plugin alone",
        Seen::Different,
        Propagation::None,
        "mountPropagation: Bidirectional",
        "kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:rprivate; in_ns $plugin_pid mount -t tmpfs over $S/pods; judge",
    ),
    breaks(
        "the old path of k3s, and binds of its tree over the kubelet's",
        Seen::Absent,
        Propagation::None,
        "",
        "old=/var/lib/rancher/k3s/agent/kubelet; mkdir -p $old/pods; kubelet $S; mount --bind $old/pods $S/pods; plugin $old/plugins/x.example $old:$old:rshared; judge",
    ),
];

/// The kubelet in a container of its own, with the host's directory under another name.
const CONTAINERISED: [Arrangement; 3] = [
    holds(
        "a kubelet in a container, as RKE runs it",
        "contained rshared; plugin /srv/rke/plugins/x.example /srv/rke/pods:$S/pods:rshared; judge",
    ),
    Arrangement {
        what: "a kubelet in a container that only receives mounts",
        script: "contained rslave; plugin /srv/rke/plugins/x.example /srv/rke/pods:$S/pods:rshared; judge",
        seen: Seen::Same,
        propagation: Propagation::ToKubelet,
        remedy: "",
    },
    breaks(
        "a kubelet in a container that has its root privately",
        Seen::Same,
        Propagation::None,
        "",
        "contained rprivate; plugin /srv/rke/plugins/x.example /srv/rke/pods:$S/pods:rshared; judge",
    ),
];

/// With the volumes of many pods, of which the table of a plugin that is in order is not read.
const MANY_VOLUMES: [Arrangement; 5] = [
    holds(
        "pods alone, bound when they had many volumes",
        "kubelet $S; volumes; plugin $S/plugins/x.example $S/pods:$S/pods:rshared; judge",
    ),
    holds(
        "the whole root, before there were many volumes",
        "kubelet $S; plugin $S/plugins/x.example $S:$S:rshared; volumes; judge",
    ),
    breaks(
        "a driver that only receives them",
        Seen::Same,
        Propagation::ToPlugin,
        "set mountPropagation: Bidirectional on the volume mount at /var/lib/kubelet",
        "kubelet $S; volumes; plugin $S/plugins/x.example $S:$S:rslave; judge",
    ),
    breaks(
        "something that was mounted over the pods after all of them",
        Seen::Different,
        Propagation::None,
        "",
        "kubelet $S; volumes; plugin $S/plugins/x.example $S/pods:$S/pods:rshared
         in_ns $plugin_pid bash -euc 'mount --make-private $1; mount -t tmpfs over $1' - $S/pods; judge",
    ),
    breaks(
        "a tree that was put over the root after all of them",
        Seen::Different,
        Propagation::None,
        "",
        "kubelet $S; volumes; plugin $S/plugins/x.example $S/pods:$S/pods:rshared
         in_ns $plugin_pid bash -euc 'mount -t tmpfs over $1; mkdir $1/pods' - $S; judge",
    ),
];

const CONTAINED: &str = r#"contained() { # PROPAGATION
    mkdir -p /srv/rke
    unshare --mount --propagation unchanged bash -euc '
        mkdir -p /var/lib/kubelet
        mount --rbind /srv/rke /var/lib/kubelet
        mount --make-"$1" /var/lib/kubelet
        exec "$KUBELET" --root-dir=/var/lib/kubelet' - "$1" &
    kubelet_pid=$!
    R=$S registry=/srv/rke/plugins_registry
    await test -S /srv/rke/pod-resources/kubelet.sock
}"#;

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: namespaces need root");
    }
    root
}

fn stand_in() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let kubelet = test.parent().unwrap().parent().unwrap().join("examples/kubelet");
    assert!(kubelet.exists(), "run cargo build --example kubelet first");
    kubelet
}

/// Makes the arrangement and leaves what was said and seen in `out`. `runtime` makes the containers of
/// plugins: a script in host.sh, or an OCI runtime by its name.
fn run(script: &str, out: &Path, runtime: Option<&str>) {
    let host = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contracts/host.sh");
    // A script that says how the host begins does so before anything else.
    let begins = if script.contains(". $HOST") { "" } else { ". $HOST\n" };
    let group = format!("csihost-contracts-{}-{}", std::process::id(), out.file_name().unwrap().display());
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"])
        .arg(format!("{BRIDGE}\n{CONTAINED}\n{begins}{script}"))
        .env("CSIHOST", env!("CARGO_BIN_EXE_csihost"))
        .env("KUBELET", stand_in())
        .env("HOST", host)
        .env("OUT", out)
        .env("RUNTIME", runtime.unwrap_or_default())
        .env("CGROUP", &group)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    if runtime.is_some() {
        remove_group(&group);
    }
    assert!(
        output.status.success(),
        "the script failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Removes the control groups that a runtime made: the kernel keeps them when processes and mounts end.
fn remove_group(group: &str) {
    let script = "mount -t cgroup2 cgroup2 /mnt && cd /mnt || exit 1
        for try in {1..100}; do
            find \"$1\" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d \"$1\" ] || exit 0
            sleep 0.05
        done
        exit 1";
    let removed = Command::new("unshare").args(["--mount", "bash", "-c", script, "-", group]).status();
    assert!(removed.expect("unshare runs").success(), "the control group {group} stays");
}

/// The contract by the texts of the two mount tables alone.
fn by_texts(out: &Path) -> Contract {
    let text = |name: &str| std::fs::read(out.join(name)).unwrap();
    let table = |name: &str| -> MountTable { mountinfo::parse(&text(name)).unwrap() };
    let root = KubeletRoot::parse(text("root").trim_ascii_end()).unwrap();
    let view = |name: &str| {
        let text = text(name);
        let mut paths =
            text.split(|&b| b == b'\n').map(|path| Lookup::unseen(HostPath::parse(path).unwrap()));
        View { pods: paths.next().unwrap(), staging: paths.next().unwrap() }
    };
    let kubelet = Publisher {
        mounts: Some(table("kubelet.mountinfo")),
        view: view("kubelet.paths"),
        ..Publisher::unseen(root.clone())
    };
    let seat = Seat { mounts: Some(table("plugin.mountinfo")), ..Seat::default() };
    let plugin =
        Plugin { seat, driver: None, registration: None, registrar: None, view: view("plugin.paths") };
    let plugins = Plugins { kubelet: Some(kubelet), found: vec![plugin], ..Plugins::default() };
    contracts(&plugins, &table("host.mountinfo"), false).remove(0)
}

/// What is wrong about an arrangement.
fn faults(arrangement: &Arrangement, runtime: Option<&str>) -> Vec<String> {
    let out = tempfile::tempdir().unwrap();
    run(arrangement.script, out.path(), runtime);
    let text = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap();
    let arrived: bool = text("arrived").trim().parse().unwrap();
    let foretold = by_texts(out.path());
    let mut faults = Vec::new();
    let mut expect = |what: &str, now: Value, expected: Value| {
        if now != expected {
            faults.push(format!("{what}: {now}, not {expected}"));
        }
    };
    let expected = json!([arrangement.seen, arrangement.propagation]);
    let holds = matches!(arrangement.propagation, Propagation::Bidirectional | Propagation::ToKubelet);
    expect("by the texts", json!([foretold.seen, foretold.propagation]), expected.clone());
    expect("by the texts it holds", json!(foretold.holds), json!(arrived));
    expect("the volume arrived", json!(arrived), json!(holds));

    let probed: Value = serde_json::from_str(&text("probe.json")).unwrap();
    let trials = probed["trials"].as_array().unwrap();
    let of = |role: &str| trials.iter().filter(|trial| trial["from"]["role"] == role).collect::<Vec<_>>();
    expect("probe: it agrees with check", probed["agrees"].clone(), json!(true));
    expect("probe: it holds", probed["holds"].clone(), json!(arrived));
    let seen = |trial: &Value| trial["seen"].as_bool().unwrap_or(false);
    expect(
        "probe: from the plugin",
        json!(of("plugin").into_iter().map(seen).collect::<Vec<_>>()),
        json!([arrived]),
    );
    let to_plugin = matches!(arrangement.propagation, Propagation::Bidirectional | Propagation::ToPlugin);
    let from_kubelet = of("kubelet").into_iter().filter(|trial| trial["to"]["role"] == "plugin").map(seen);
    expect("probe: to the plugin", json!(from_kubelet.collect::<Vec<_>>()), json!([to_plugin]));
    expect("probe: gone", json!(trials.iter().any(|trial| trial["gone"] == false)), json!(false));

    let said: Value = serde_json::from_str(&text("check.json")).unwrap();
    let all = said["contracts"].as_array().unwrap();
    expect("contracts", json!(all.len()), json!(1));
    let Some(contract) = all.first() else { return faults };
    expect("check", json!([contract["seen"], contract["propagation"]]), expected);
    expect("check: it holds", contract["holds"].clone(), json!(arrived));
    expect("driver", contract["driver"].clone(), json!("x.example"));
    expect("pod", contract["pod"].clone(), json!("f3412c75-4ac7-4fcd-b1ed-b700bcf08552"));
    expect("string", contract["kubelet_path"].clone(), json!(text("root").trim()));
    let finding = said["checks"].as_array().unwrap().iter().find(|check| check["id"] == "path-contract");
    expect("finding", finding.unwrap()["status"].clone(), json!(if arrived { "pass" } else { "fail" }));
    let remedy = contract["remedy"].as_str().unwrap_or_default();
    if remedy.is_empty() != arrived || !remedy.contains(arrangement.remedy) {
        faults.push(format!("remedy {remedy:?}, without {:?}", arrangement.remedy));
    }
    faults
}

fn agree<'a>(arrangements: impl IntoIterator<Item = &'a Arrangement>, runtime: Option<&str>) {
    if !root() {
        return;
    }
    let mut wrong = Vec::new();
    for arrangement in arrangements {
        let faults = faults(arrangement, runtime);
        eprintln!("{} {}", if faults.is_empty() { "agrees: " } else { "WRONG:  " }, arrangement.what);
        if !faults.is_empty() {
            wrong.push(format!("{}\n    {}", arrangement.what, faults.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_check_foretells_is_what_happens() {
    agree(&ARRANGEMENTS, None);
}

/// The same with an OCI runtime; without it the test says so and passes.
fn agree_with(runtime: &str, unset: &str) {
    let found = Command::new(runtime).arg("--version").stdin(Stdio::null()).output();
    match found {
        Ok(output) => eprint!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => {
            eprintln!("skipped: {runtime} is not installed");
            return;
        }
    }
    agree(ARRANGEMENTS.iter().chain(&CONTAINERISED), Some(runtime));
    agree_on_defaults(runtime, unset);
}

/// What becomes of a volume mount with each propagation, or none, in a root file system with each, or none.
/// Without `rootfsPropagation` runc makes the root file system a slave, crun makes it private.
fn agree_on_defaults(runtime: &str, unset: &str) {
    let mut all = Vec::new();
    for bind in ["unset", "rprivate", "rslave", "rshared"] {
        for wide in ["unset", "rslave", "rshared"] {
            let propagation = match (bind, if wide == "unset" { unset } else { wide }) {
                ("rprivate", _) | (_, "rprivate") => Propagation::None,
                ("rslave", _) | (_, "rslave") => Propagation::ToPlugin,
                _ => Propagation::Bidirectional,
            };
            // A test ends soon.
            let what = format!("a bind that is {bind} in a root file system that is {wide}").leak();
            let script =
                format!("WIDE={wide}; kubelet $S; plugin $S/plugins/x.example $S/pods:$S/pods:{bind}; judge")
                    .leak();
            all.push(Arrangement { what, script, seen: Seen::Same, propagation, remedy: "" });
        }
    }
    agree(&all, Some(runtime));
}

#[test]
fn what_check_foretells_of_plugins_of_runc_is_what_happens() {
    agree_with("runc", "rslave");
}

#[test]
fn what_check_foretells_of_plugins_of_crun_is_what_happens() {
    agree_with("crun", "rprivate");
}

#[test]
fn what_check_foretells_where_there_are_many_volumes_is_what_happens() {
    agree(&MANY_VOLUMES, None);
}

#[test]
fn what_check_foretells_of_a_kubelet_in_a_container_is_what_happens() {
    agree(&CONTAINERISED, None);
}
