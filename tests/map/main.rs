//! The picture of a node: what `csihost map --root` draws of scenes, compared with files beside them.
//!
//! Each `NAME.scene` here, and those of contracts that are named below, has `NAME.txt`, `NAME.dot`
//! and `NAME.svg`. With CSIHOST_GOLDEN=write in the environment they are written: look at them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

#[path = "../scenes/format.rs"]
mod format;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scenes of contracts that are drawn too.
const CONTRACTS: [&str; 5] = [
    "longhorn",
    "private-propagation",
    "containerised-kubelet",
    "containerised-kubelet-private",
    "microk8s-link",
];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `csihost map` prints of a scene.
fn map(scene: &str, arguments: &[&str]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    format::unpack(scene, &root);
    let output = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .arg("map")
        .args(arguments)
        .arg("--root")
        .arg(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn drawn(scene: &str) -> Value {
    serde_json::from_str(&map(scene, &["--json"])).unwrap()
}

fn scene(name: &str) -> String {
    std::fs::read_to_string(project(&format!("tests/map/{name}.scene"))).unwrap()
}

fn scenes() -> BTreeMap<String, String> {
    let contracts =
        CONTRACTS.iter().map(|name| (*name, project(&format!("tests/scenes/contracts/{name}.scene"))));
    let own = ["no-kubelet", "rke-bridged-one-of-two-broken", "containerised-kubelet-bridged"]
        .map(|name| (name, project(&format!("tests/map/{name}.scene"))));
    contracts
        .chain(own)
        .map(|(name, path)| (name.to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn each_scene_is_drawn_as_the_files_beside_it() {
    let mut wrong = Vec::new();
    for (name, scene) in scenes() {
        for format in ["text", "dot", "svg"] {
            let now = map(&scene, &["--format", format]);
            let file = project(&format!("tests/map/{name}.{}", format.replace("text", "txt")));
            if std::env::var_os("CSIHOST_GOLDEN").is_some_and(|word| word == "write") {
                std::fs::write(&file, &now).unwrap();
            } else if std::fs::read_to_string(&file).unwrap_or_default() != now {
                wrong.push(format!("{}\n{now}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not as it was drawn before:\n{}", wrong.join("\n"));
}

/// A document that a parser takes; the texts in it, and how far they reach.
fn check(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    let number =
        |node: &roxmltree::Node, name: &str| -> f64 { node.attribute(name).unwrap().parse().unwrap() };
    let (width, height) = (number(&root, "width"), number(&root, "height"));
    assert_eq!(root.attribute("role"), Some("img"));
    let children: Vec<&str> =
        root.children().filter(|n| n.is_element()).map(|n| n.tag_name().name()).collect();
    assert_eq!(&children[..3], ["title", "desc", "style"]);
    assert!(
        document
            .descendants()
            .all(|node| !["script", "foreignObject", "image", "use"].contains(&node.tag_name().name()))
    );
    let on =
        |node: &roxmltree::Node| node.attributes().any(|a| a.name().starts_with("on") || a.name() == "href");
    assert!(!document.descendants().any(|node| on(&node)));
    let mut texts = Vec::new();
    let mut rows: BTreeSet<(i64, i64)> = BTreeSet::new();
    for text in
        document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
    {
        let (x, y) = (number(&text, "x"), number(&text, "y"));
        let said = text.text().unwrap_or_default().to_owned();
        let anchored =
            text.attribute("class").is_some_and(|class| class.contains("word") || class == "badge");
        let letter = if text.attribute("class") == Some("head") { 10.0 } else { 8.0 };
        let end = if anchored { x } else { x + letter * said.chars().count() as f64 };
        assert!(x >= 0.0 && y >= 0.0 && end <= width && y <= height, "{said:?} leaves the picture");
        assert!(rows.insert((x as i64, y as i64)), "{said:?} is written over another text");
        texts.push(said);
    }
    texts
}

#[test]
fn svg_is_well_formed_without_scripts_and_no_text_leaves_it() {
    for (name, scene) in scenes() {
        let texts = check(&map(&scene, &["--format", "svg"]));
        assert!(texts.iter().any(|text| text == "pods"), "{name}: {texts:?}");
    }
}

#[test]
fn dot_has_balanced_braces_and_quotes_and_names_only_boxes_that_it_has() {
    for (name, scene) in scenes() {
        let dot = map(&scene, &["--format", "dot"]);
        let graph = dot.split_once("digraph").unwrap().1;
        let count = |c: char| graph.chars().filter(|&other| other == c).count();
        assert_eq!((count('{'), count('"') % 2), (count('}'), 0), "{name}");
        assert_eq!(count('<'), count('>') - graph.matches(" -> ").count(), "{name}");
        for line in dot.lines().filter(|line| line.contains(" -> ")) {
            for end in line.split('[').next().unwrap().split(" -> ") {
                let end = end.trim().split(':').next().unwrap();
                assert!(dot.contains(&format!("\n  {end} [label=<")), "{name}: {line}");
            }
        }
    }
}

#[test]
fn the_bridge_joins_directories_and_a_breach_says_why_and_what_to_do() {
    let picture = drawn(&scene("rke-bridged-one-of-two-broken"));
    let places = |at: usize, tree: usize| picture["boxes"][at]["trees"][tree]["places"].clone();
    let (root, standard) = (places(0, 0), places(0, 1));
    for at in 0..3 {
        assert_eq!(root[at]["directory"], standard[at]["directory"]);
        assert!(root[at]["directory"].is_u64());
    }
    let good = &picture["boxes"][2];
    assert_eq!(
        (&good["name"], &picture["arrows"][1]["propagation"]),
        (&"smb.csi.k8s.io".into(), &"bidirectional".into())
    );
    assert_eq!(places(2, 0)[0]["directory"], root[0]["directory"]);
    assert!(places(1, 0)[0]["directory"].is_null());
    assert_eq!(picture["breaches"].as_array().unwrap().len(), 1);
    let breach = &picture["breaches"][0];
    assert_eq!(breach["at"], 1);
    assert!(breach["reason"].as_str().unwrap().contains("stays in its container"), "{breach}");
    assert!(breach["remedy"].as_str().unwrap().contains("csi.kubeletRootDir"), "{breach}");
}

#[test]
fn what_is_there_is_shown_though_nothing_is_to_be_bridged() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = scratch.path().join("csihost.toml");
    std::fs::write(&settings, "[bridge]\nenabled = false\n").unwrap();
    for name in ["no-kubelet", "microk8s-link"] {
        let (scene, settings) = (&scenes()[name], settings.to_str().unwrap());
        assert_eq!(map(scene, &["--config", settings]), map(scene, &[]));
    }
}

#[test]
fn the_kubelet_has_a_box_of_its_own_only_where_it_has_mounts_of_its_own() {
    let kinds = |name: &str| -> Vec<String> {
        let picture = drawn(&scenes()[name]);
        picture["boxes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds("no-kubelet"), ["host"]);
    assert_eq!(kinds("longhorn"), ["host-and-kubelet", "plugin"]);
    assert_eq!(kinds("containerised-kubelet"), ["kubelet", "host", "plugin"]);
}

/// A hundred pods more, each with a driver that is registered from a directory of this name.
fn crowd(name: &str) -> String {
    let mut scene = scene("rke-bridged-one-of-two-broken");
    for number in 0..100 {
        let pid = 5000 + 2 * number;
        let pod = format!("/kubepods/burstable/pod00000001-0000-4000-8000-{number:012}/{:064}", pid);
        let socket = format!("/opt/rke/var/lib/kubelet/plugins/{number}");
        let registrar = format!(
            "/csi-node-driver-registrar --csi-address=/csi/csi.sock \
             --kubelet-registration-path=/opt/rke/var/lib/kubelet/plugins/{name}/csi.sock"
        );
        let driver = "/x --endpoint=unix:///csi/csi.sock".to_owned();
        for (pid, program, holds) in [(pid, driver, true), (pid + 1, registrar, false)] {
            let _ = write!(
                scene,
                "process {pid} {program}\n  mnt-ns {0}\n  pid-ns {0}\n  cgroup {pod}\n  \
                 mount 300 299 0:{pid} / / rw - overlay overlay rw\n  \
                 mount 310 300 8:1 {socket} /csi rw - ext4 /dev/sda1 rw\n",
                4027000000u64 + pid
            );
            if holds {
                scene.push_str("  mount 311 300 8:1 /opt/rke/var/lib/kubelet/pods /opt/rke/var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n");
            }
        }
    }
    scene
}

#[test]
fn a_hundred_pods_that_are_alike_share_a_box() {
    let scene = crowd("many.example");
    let picture = drawn(&scene);
    let boxes = picture["boxes"].as_array().unwrap();
    let many: Vec<&Value> = boxes.iter().filter(|one| one["name"] == "many.example").collect();
    assert!(boxes.len() <= 5, "{} boxes", boxes.len());
    assert_eq!(many.len(), 1);
    assert_eq!(many[0]["more"], 99);
    assert!(map(&scene, &[]).contains("many.example, and 99 more like this"));
    check(&map(&scene, &["--format", "svg"]));
}

#[test]
fn names_from_containers_cannot_break_a_picture() {
    // A name with markup, an escape sequence, a newline, and a character that XML forbids.
    let scene = crowd("<b>&\"'\\x1b[31m\\x0a}];\\xef\\xbf\\xbf");
    let svg = map(&scene, &["--format", "svg"]);
    assert!(check(&svg).iter().any(|text| text.starts_with("<b>&\"'\\x1b[31m\\x0a}];")), "{svg}");
    let text = map(&scene, &[]);
    assert!(!text.contains('\u{1b}') && text.contains("\\x1b[31m\\x0a"), "{text}");
    let dot = map(&scene, &["--format", "dot"]);
    assert!(dot.contains("&lt;b&gt;&amp;&quot;&#39;\\x1b"), "{dot}");
}

#[test]
fn what_is_no_terminal_gets_no_colours_and_a_hundred_columns() {
    for (name, scene) in scenes() {
        let text = map(&scene, &[]);
        assert!(!text.contains('\x1b'), "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{name}:\n{text}");
    }
}
