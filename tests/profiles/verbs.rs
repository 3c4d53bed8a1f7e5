//! Where profiles come from, and `csihost profile list`, `show` and `validate`.

use crate::DEBIAN;
use crate::tree::{Tree, csihost};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const DROPPED: &str = "etc/csihost/os-profiles.d";

fn adapted(name: &str, from: &str, to: &str) -> String {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("os-profiles/{name}.toml")));
    let text = text.unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    text.replace(from, to)
}

#[test]
fn a_profile_of_etc_is_over_one_of_run_over_one_of_usr_and_a_mask_removes_all() {
    let tree = Tree::new(DEBIAN)
        .with("usr/lib/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "usr"))
        .with("run/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "run"))
        .with("usr/lib/csihost/os-profiles.d/own.toml", adapted("debian", "id = \"debian\"", "id = \"own\""));
    let summary = |tree: &Tree| tree.load().1.profile.profile.summary;
    assert_eq!(summary(&tree), "Debian 12 and later, run Pi OS");
    let tree = tree.with("etc/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "etc"));
    assert_eq!(summary(&tree), "Debian 12 and later, etc Pi OS");

    let (out, _, code) = tree.csihost(&["profile", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &json["schema"], &json["in_effect"], &json["exact"]),
        (0, &1.into(), &"debian".into(), &true.into())
    );
    let of =
        |name: &str| json["profiles"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("debian")["source"], "/etc/csihost/os-profiles.d/debian.toml");
    assert_eq!(
        of("debian")["overrides"],
        serde_json::json!([
            "/run/csihost/os-profiles.d/debian.toml",
            "/usr/lib/csihost/os-profiles.d/debian.toml",
            "built in"
        ])
    );
    assert_eq!(of("ubuntu")["source"], "built in");
    assert_eq!((&of("talos")["supported"], &of("ubuntu")["supported"]), (&false.into(), &true.into()));

    fs::remove_file(tree.path("etc/csihost/os-profiles.d/debian.toml")).unwrap();
    symlink("/dev/null", tree.path("etc/csihost/os-profiles.d/debian.toml")).unwrap();
    symlink("/dev/null", tree.path("etc/csihost/os-profiles.d/ubuntu.toml")).unwrap();
    // What is left for a Debian without profile: its package manager.
    assert_eq!(tree.program("usr/bin/apt-get").profile(), ("generic-apt".to_owned(), false));
}

#[test]
fn what_cannot_be_read_matters_only_where_nothing_replaces_it() {
    let tree = Tree::new(DEBIAN);
    fs::create_dir_all(tree.path("usr/lib/csihost/os-profiles.d/own.toml")).unwrap();
    let (_, err, code) = tree.csihost(&["profile", "list"]);
    assert_eq!(
        (err.as_str(), code),
        ("csihost: /usr/lib/csihost/os-profiles.d/own.toml: it is not a file\n", 78)
    );
    fs::create_dir_all(tree.path(DROPPED)).unwrap();
    symlink("/dev/null", tree.path(DROPPED).join("own.toml")).unwrap();
    assert_eq!(tree.profile(), ("debian".to_owned(), true));
}

#[test]
fn an_installed_copy_of_a_built_in_profile_overrides_nothing() {
    let tree =
        Tree::new(DEBIAN).with("usr/lib/csihost/os-profiles.d/debian.toml", adapted("debian", "#", "#"));
    let (out, _, _) = tree.csihost(&["profile", "list"]);
    let line = out.lines().find(|line| line.starts_with("*  debian ")).unwrap();
    assert!(line.ends_with("  /usr/lib/csihost/os-profiles.d/debian.toml"), "{line}");
}

#[test]
fn list_marks_the_profile_in_effect_and_says_what_is_masked() {
    let tree = Tree::new(DEBIAN);
    fs::create_dir_all(tree.path(DROPPED)).unwrap();
    symlink("/dev/null", tree.path(DROPPED).join("arch.toml")).unwrap();
    let (out, _, code) = tree.csihost(&["profile", "list"]);
    assert_eq!(code, 0);
    let lines = |part: &str| out.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("*  debian "), 1, "{out}");
    assert!(out.lines().any(|line| line.starts_with("   arch ") && line.contains("masked")), "{out}");
    assert!(out.ends_with("\ndebian is in effect here.\n"), "{out}");

    let (out, _, _) = Tree::new("ID=x\nID_LIKE=debian\n").csihost(&["profile", "list"]);
    assert!(out.contains("~  debian ") && out.contains("debian, the nearest, is in effect"), "{out}");

    let (_, err, code) = tree.csihost(&["profile", "show", "arch"]);
    assert_eq!(code, 1);
    assert!(err.contains("masked by /etc/csihost/os-profiles.d/arch.toml"), "{err}");
}

#[test]
fn what_show_prints_is_a_profile_that_can_be_saved() {
    let tree = Tree::new(DEBIAN);
    let (out, _, code) = tree.csihost(&["profile", "show"]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("# os-profile debian: built in\n{}", adapted("debian", "#", "#")));
    let (of_name, _, _) = tree.csihost(&["profile", "show", "talos"]);
    assert!(of_name.starts_with("# os-profile talos: built in\n") && of_name.contains("[unsupported]"));

    let saved = tree.with("etc/csihost/os-profiles.d/debian.toml", out);
    let (again, _, _) = saved.csihost(&["profile", "show", "debian"]);
    assert!(again.starts_with("# os-profile debian: /etc/csihost/os-profiles.d/debian.toml over built in\n"));
    let (_, err, code) = saved.csihost(&["profile", "show", "plan9"]);
    assert_eq!(code, 1);
    assert!(err.contains("no os-profile \"plan9\"; csihost profile list shows them"), "{err}");
}

#[test]
fn a_broken_profile_stops_every_turn_with_file_and_line_and_list_still_shows_the_rest() {
    let tree =
        Tree::new(DEBIAN).with("etc/csihost/os-profiles.d/own.toml", "summary = 'x'\n[[match]]\nid = ''\n");
    let said = "csihost: /etc/csihost/os-profiles.d/own.toml:3: match.id";
    for verb in ["plan", "check", "apply"] {
        let (_, err, code) = tree.csihost(&[verb]);
        assert_eq!(code, 78, "{verb}");
        assert!(
            err.starts_with("csihost: /etc/csihost/os-profiles.d/own.toml:1: expected [packages]"),
            "{err}"
        );
    }
    let tree = tree.with(
        "etc/csihost/os-profiles.d/own.toml",
        "summary = 'x'\n[[match]]\nid = ''\n[unsupported]\nreason = 'a'\nremedy = 'b'\n",
    );
    let (out, err, code) = tree.csihost(&["profile", "list"]);
    assert_eq!(code, 78);
    assert!(err.starts_with(said), "{err}");
    assert!(out.contains("  own ") && out.contains("cannot be used") && out.contains("  debian "), "{out}");
    let (out, _, code) = tree.csihost(&["profile", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["in_effect"]), (78, &serde_json::Value::Null));
    let (out, err, code) = tree.csihost(&["profile", "show", "own"]);
    assert_eq!(code, 78);
    assert!(out.contains("id = ''") && err.starts_with(said), "{out}{err}");
}

#[test]
fn validate_reports_every_file_and_is_silent_about_good_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.toml", adapted("debian", "#", "#").as_bytes());
    let unit = file("unit.toml", adapted("debian", "\"iscsid.socket\"", "\"iscsid\"").as_bytes());
    let bytes = file("bytes.toml", b"summary = 'x'\n# \xff\n");
    let missing = dir.path().join("missing.toml").to_str().unwrap().to_owned();
    let folder = dir.path().to_str().unwrap();

    assert_eq!(csihost(&["profile", "validate", &good]), (String::new(), String::new(), 0));
    let (out, err, code) = csihost(&["profile", "validate", &unit, &good, &bytes, &missing, folder]);
    assert_eq!((out.as_str(), code), ("", 78));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 4, "{err}");
    let line = 1 + adapted("debian", "#", "#").lines().position(|line| line.starts_with("units")).unwrap();
    assert!(lines[0].starts_with(&format!("csihost: {unit}:{line}: \"iscsid\" is not")), "{err}");
    assert_eq!(lines[1], format!("csihost: {bytes}:2: not UTF-8"));
    assert!(lines[2].starts_with(&format!("csihost: {missing}: No such file")), "{err}");
    assert!(lines[3].starts_with(&format!("csihost: {folder}: Is a directory")), "{err}");
    let (_, _, code) = csihost(&["profile", "validate"]);
    assert_eq!(code, 2);
}

#[test]
fn driver_profiles_are_layered_listed_shown_and_checked_as_os_profiles_are() {
    let example =
        "summary = 'x'\ndrivers = ['fs.csi.example.com']\nsource = 'y'\n[[protocol]]\nname = 'fs'\n";
    let tree = Tree::new(DEBIAN).with("etc/csihost/driver-profiles.d/example.toml", example).with(
        "etc/csihost/driver-profiles.d/csi-driver-nfs.toml",
        example.replace("fs.csi.example.com", "nfs.csi.k8s.io"),
    );
    let (out, err, code) = tree.csihost(&["driver", "list", "--json"]);
    assert_eq!((err.as_str(), code), ("", 0));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of =
        |name: &str| json["profiles"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("example")["drivers"], serde_json::json!(["fs.csi.example.com"]));
    assert_eq!(of("csi-driver-nfs")["overrides"], serde_json::json!(["built in"]));
    assert_eq!(of("longhorn")["protocols"], serde_json::json!(["v1", "v2"]));
    let (out, _, code) = tree.csihost(&["driver", "show", "fs.csi.example.com"]);
    assert_eq!(
        (out, code),
        (format!("# driver profile example: /etc/csihost/driver-profiles.d/example.toml\n{example}"), 0)
    );
    let (_, err, code) = tree.csihost(&["driver", "show", "nobody"]);
    assert_eq!(
        (code, err.contains("no driver profile \"nobody\"; csihost driver list shows them")),
        (1, true),
        "{err}"
    );
    let broken = tree.with("etc/csihost/driver-profiles.d/example.toml", "summary = 'x'\ndrivers = []\n");
    for verb in [&["driver", "list"][..], &["check"]] {
        let (_, err, code) = broken.csihost(verb);
        assert_eq!((code, err.contains("/etc/csihost/driver-profiles.d/example.toml:")), (78, true), "{err}");
    }
}
