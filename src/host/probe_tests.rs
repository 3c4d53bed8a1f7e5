//! Tests of mounting the probe in mount namespaces of their own. They need root; without it they say so and pass.

#![allow(clippy::unwrap_used)]

use super::*;
use nix::sched::{CloneFlags, unshare};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Does `act` in a mount namespace whose working directory holds a probe's files and two others, of which one is secret.
fn with_files(act: impl FnOnce(Pair) + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: namespaces need root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let task = || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        nix::unistd::chdir(dir.path()).unwrap();
        for name in [UNDER, OVER, "other"] {
            std::fs::write(name, "").unwrap();
        }
        std::fs::write("secret", "s").unwrap();
        act(Pair { under: id(UNDER), over: id(OVER) });
    };
    std::thread::scope(|scope| scope.spawn(task).join()).unwrap();
}

fn id(name: &str) -> FileId {
    super::super::read::file_id(&nix::sys::stat::lstat(name).unwrap()).unwrap()
}

/// The root and the mount point of each mount in the working directory, by their last names.
fn mounts() -> Vec<(String, String)> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let here = std::env::current_dir().unwrap();
    let row = |row: &str| {
        let mut words = row.split(' ').skip(3).map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    };
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let found = table.lines().map(row).filter(|(_, point)| Path::new(point).parent() == Some(&here));
    found.map(|(root, point)| (name(&root), name(&point))).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(root, point)| ((*root).to_owned(), (*point).to_owned())).collect()
}

/// Both ways to mount: the one of this kernel, and the one for older kernels.
const WAYS: [Way; 2] = [Files::mount, Files::mount_by_links];

type Way = fn(Files, &OwnedFd, Pair) -> nix::Result<Option<Mounted>>;

#[test]
fn a_file_is_mounted_and_the_handle_takes_it_away_under_any_name() {
    for way in WAYS {
        with_files(|pair| {
            let own = own_files().unwrap();
            let here = nix::fcntl::open(".", OFlag::O_PATH, Bits::empty()).unwrap();
            let mounted = way(Files::open(pair).unwrap().unwrap(), &own, pair).unwrap().unwrap();
            fchdir(&here).unwrap();
            assert_eq!(mounts(), pairs(&[(OVER, UNDER)]));
            assert_eq!(id(UNDER), pair.over);
            detach(&own, &mounted).unwrap();
            fchdir(&here).unwrap();
            assert_eq!(mounts(), []);
        });
    }
}

#[test]
fn files_of_others_are_not_opened_as_the_probes() {
    with_files(|pair| {
        let exchanged = |name: &str, target: Option<&str>| {
            std::fs::rename(name, "kept").unwrap();
            if let Some(target) = target {
                symlink(target, name).unwrap();
            }
            let opened = Files::open(pair).unwrap().is_some();
            std::fs::rename("kept", name).unwrap();
            opened
        };
        for name in [UNDER, OVER] {
            assert!(
                !exchanged(name, Some("secret")) && !exchanged(name, Some("kept")) && !exchanged(name, None)
            );
        }
        let other = Pair { under: pair.over, over: pair.under };
        assert!(Files::open(pair).unwrap().is_some() && Files::open(other).unwrap().is_none());
    });
}

#[test]
fn a_file_that_is_exchanged_after_it_was_compared_has_nothing_else_mounted() {
    for way in WAYS {
        for (name, target) in [(OVER, "secret"), (UNDER, "other"), (UNDER, "secret")] {
            with_files(|pair| {
                let own = own_files().unwrap();
                let here = nix::fcntl::open(".", OFlag::O_PATH, Bits::empty()).unwrap();
                let files = Files::open(pair).unwrap().unwrap();
                std::fs::rename(name, "kept").unwrap();
                symlink(target, name).unwrap();
                let mounted = way(files, &own, pair);
                fchdir(&here).unwrap();
                // The probe's own file, on the probe's own file, under the name that it has by now.
                let point = if name == UNDER { "kept" } else { UNDER };
                let root = if name == OVER { "kept" } else { OVER };
                assert_eq!(
                    mounts(),
                    pairs(&[(root, point)]),
                    "{name} was exchanged for {target}: {mounted:?}"
                );
            });
        }
    }
}
