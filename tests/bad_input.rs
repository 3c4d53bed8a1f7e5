//! /proc of a scene may hold anything: whatever is in it, detection ends, and does not panic.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use csihost::engine::{Host, detect, load};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A scene with one kubelet that is found for certain.
fn scene(root: &Path) {
    for pid in ["1", "812"] {
        let dir = root.join("proc").join(pid);
        fs::create_dir_all(dir.join("ns")).unwrap();
        for kind in ["pid", "user", "mnt", "net"] {
            symlink(format!("{kind}:[4026531836]"), dir.join("ns").join(kind)).unwrap();
        }
        fs::write(dir.join("status"), "Name:\tx\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\n").unwrap();
        fs::write(dir.join("mountinfo"), "20 1 254:0 / / rw - ext4 /dev/vda rw\n").unwrap();
    }
    let dir = root.join("proc/812");
    for name in ["fd", "fdinfo", "net"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    symlink("socket:[77]", dir.join("fd/3")).unwrap();
    symlink("anon_inode:inotify", dir.join("fd/4")).unwrap();
    fs::write(dir.join("fdinfo/4"), "inotify wd:1 ino:1 sdev:fe00000 mask:fc6\n").unwrap();
    symlink("/", dir.join("root")).unwrap();
    symlink("/usr/bin/kubelet", dir.join("exe")).unwrap();
    fs::write(dir.join("comm"), "kubelet\n").unwrap();
    fs::write(dir.join("stat"), "812 (kubelet) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 1\n").unwrap();
    fs::write(dir.join("cgroup"), "0::/system.slice/kubelet.service\n").unwrap();
    fs::write(dir.join("cmdline"), "/usr/bin/kubelet\0--root-dir=/srv/kubelet\0").unwrap();
    fs::write(dir.join("net/unix"), "0: 2 0 00010000 0001 01 77 /srv/kubelet/pod-resources/1\n").unwrap();
    fs::create_dir_all(root.join("srv/kubelet/pod-resources")).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/kubelet"), "\x7fELF").unwrap();
}

fn root_of(dir: &Path) -> Option<String> {
    let host = Host::open(Some(dir)).unwrap();
    let config = load(&host, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(detect(&host, &config)).unwrap();
    found.kubelet.map(|kubelet| kubelet.root_dir.to_string())
}

#[test]
fn the_scene_as_it_is_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path());
    assert_eq!(root_of(dir.path()).as_deref(), Some("/srv/kubelet"));
}

#[test]
fn fifty_thousand_mounts_and_a_megabyte_of_arguments_are_read() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path());
    let mut rows = String::from("20 1 254:0 / / rw - ext4 /dev/vda rw\n");
    for id in 21..50_021 {
        rows += &format!(
            "{id} 20 0:{id} / /srv/kubelet/pods/{id:032x}/volumes/kubernetes.io~secret/s rw shared:{id} - tmpfs tmpfs rw\n"
        );
    }
    let kubelet = dir.path().join("proc/812");
    for pid in ["1", "812"] {
        fs::write(dir.path().join("proc").join(pid).join("mountinfo"), &rows).unwrap();
    }
    // In a mount namespace of its own: both tables are needed.
    fs::remove_file(kubelet.join("ns/mnt")).unwrap();
    symlink("mnt:[1]", kubelet.join("ns/mnt")).unwrap();
    let mut cmdline = b"/usr/bin/kubelet\0".to_vec();
    for _ in 0..10 {
        cmdline.extend([b'\xff'; 100_000]);
        cmdline.push(0);
    }
    cmdline.extend(b"--root-dir=/srv/kubelet\0");
    fs::write(kubelet.join("cmdline"), cmdline).unwrap();
    assert_eq!(root_of(dir.path()).as_deref(), Some("/srv/kubelet"));
}

const FILES: [&str; 12] = [
    "1/mountinfo",
    "812/mountinfo",
    "812/status",
    "812/stat",
    "812/cgroup",
    "812/cmdline",
    "812/comm",
    "812/net/unix",
    "812/fdinfo/4",
    "1/status",
    "1/ns",
    "../usr/bin/kubelet",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_in_proc_makes_it_panic(
        changes in proptest::collection::vec((0..FILES.len(), 0_usize..80, proptest::option::of(any::<Vec<u8>>())), 1..4)
    ) {
        let dir = tempfile::tempdir().unwrap();
        scene(dir.path());
        for (file, at, change) in changes {
            let path = dir.path().join("proc").join(FILES[file]);
            let Ok(mut text) = fs::read(&path) else { continue };
            // Cut off there, or with other bytes from there on.
            text.truncate(at);
            text.extend(change.unwrap_or_default());
            fs::write(&path, text).unwrap();
        }
        let _ = root_of(dir.path());
    }
}
