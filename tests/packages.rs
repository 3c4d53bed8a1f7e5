//! What `make packages` makes: each package says for which machine it is and holds the program for
//! it, and the program for arm64 answers and changes as the one for amd64 does (under qemu-user).
//!
//! Needs the packages and qemu's aarch64 for user programs, so plain `cargo test` ignores them.
//! `make test-packages` has both.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test may panic: that is how it fails.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a release is published from, made of the tree as it is now; `CSIHOST_PACKAGES=DIR` tries what
/// somebody else has made of it.
static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(packages) = std::env::var_os("CSIHOST_PACKAGES") {
        return packages.into();
    }
    let made = Command::new("make")
        .args(["--silent", "packages"])
        .current_dir(here(""))
        .stdin(Stdio::null())
        .status()
        .expect("make runs");
    assert!(made.success(), "make packages failed");
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory").join("packages")
});

/// By the names of Debian, of rpm and the program, and the number in the program's header.
const AMD64: Machine = Machine { debian: "amd64", rpm: "x86_64", elf: 62 };
const ARM64: Machine = Machine { debian: "arm64", rpm: "aarch64", elf: 183 };

struct Machine {
    debian: &'static str,
    rpm: &'static str,
    elf: u16,
}

/// Whether there is a compiler for arm64 here; `make packages` has said so if there is none.
fn arm64() -> bool {
    Command::new(here("packaging/arm64-rustc"))
        .arg("aarch64-unknown-linux-gnu")
        .arg(PACKAGES.parent().unwrap().join("tools/arm64"))
        .current_dir(here(""))
        .output()
        .unwrap()
        .status
        .success()
}

fn machines() -> Vec<Machine> {
    let mut machines = vec![AMD64];
    if arm64() {
        machines.push(ARM64);
    }
    machines
}

fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The program out of Debian's package: what nodes run.
fn unpacked(machine: &Machine, into: &Path) -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    let into = into.join(machine.debian);
    let deb = PACKAGES.join(format!("csihost_{version}-1_{}.deb", machine.debian));
    succeeds(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&into));
    into
}

#[test]
#[ignore = "builds the packages of a release: make test-packages"]
fn each_package_holds_the_program_for_the_machine_that_it_names() {
    let scratch = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for machine in machines() {
        let program = std::fs::read(PACKAGES.join(format!("csihost-{version}-{}", machine.rpm))).unwrap();
        assert_eq!(program.get(..4), Some(&b"\x7fELF"[..]));
        assert_eq!(program.get(18..20), Some(&machine.elf.to_le_bytes()[..]), "{}", machine.rpm);

        let deb = PACKAGES.join(format!("csihost_{version}-1_{}.deb", machine.debian));
        let named = succeeds(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Architecture"));
        assert_eq!(named.trim(), machine.debian);
        let tree = unpacked(&machine, scratch.path());
        assert!(std::fs::read(tree.join("usr/bin/csihost")).unwrap() == program, "{}", machine.debian);
        let bill = std::fs::read_to_string(tree.join("usr/share/doc/csihost/csihost.cdx.json")).unwrap();
        assert!(bill.contains(&format!("\"{}-unknown-linux-gnu\"", machine.rpm)), "{}", machine.debian);

        let rpm = PACKAGES.join(format!("csihost-{version}-1.{}.rpm", machine.rpm));
        let query = ["-qp", "--nosignature", "--qf", "%{ARCH} %{OS} [%{FILEDIGESTS} %{FILENAMES}\\n]"];
        let header = succeeds(Command::new("rpm").args(query).arg(&rpm));
        assert!(header.starts_with(&format!("{} linux ", machine.rpm)), "{header}");
        let digest = succeeds(Command::new("sha256sum").arg(tree.join("usr/bin/csihost")));
        let digest = digest.split_whitespace().next().unwrap();
        assert!(header.contains(&format!("{digest} /usr/bin/csihost\n")), "{header}");
    }
    succeeds(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&*PACKAGES));
}

/// The program, started as its machine would.
struct Program {
    path: PathBuf,
    emulator: Option<&'static str>,
}

impl Program {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = match self.emulator {
            Some(emulator) => Command::new(emulator),
            None => Command::new(&self.path),
        };
        if self.emulator.is_some() {
            command.arg(&self.path);
        }
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

/// Names, types, modes, links and digests; the receipt has times in it.
fn snapshot(root: &Path) -> String {
    let script = "find . -path ./var/lib/csihost -prune -o -printf '%p %y %m %l\\n' | sort; \
                  find . -path ./var/lib/csihost -prune -o -type f -print0 | sort -z | xargs -0r sha256sum";
    succeeds(Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(root))
}

fn put(tree: &Path, root: &Path) {
    if root.exists() {
        std::fs::remove_dir_all(root).unwrap();
    }
    succeeds(Command::new("cp").arg("-r").arg(tree).arg(root));
    // Every host has these, and a checkout has no empty directories.
    for directory in ["var/lib", "etc/systemd/system"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
}

#[test]
#[ignore = "builds the packages of a release: make test-packages"]
fn the_program_for_arm64_answers_and_changes_as_that_for_amd64_on_every_tree() {
    if !arm64() {
        eprintln!("skipped: there is no compiler for arm64 here");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let program = |machine, emulator| Program {
        path: unpacked(machine, scratch.path()).join("usr/bin/csihost"),
        emulator,
    };
    let (amd64, arm64) = (program(&AMD64, None), program(&ARM64, Some("qemu-aarch64-static")));
    let same = |arguments: &[&str], on: &Path| {
        let (here, there) = (amd64.run(arguments), arm64.run(arguments));
        assert_eq!(there, here, "{arguments:?} on {}", on.display());
        here
    };
    let version = same(&["--version"], Path::new(""));
    assert_eq!(version.stdout, concat!("csihost ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    assert!(same(&["--help"], Path::new("")).stdout.len() > 500);

    let trees: Vec<PathBuf> = std::fs::read_dir(here("tests/trees"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("host"))
        .collect();
    assert!(trees.len() > 40, "only {} trees", trees.len());
    // Each tree is put below the root of the worker that has it; qemu translates the program anew at each start.
    let next = AtomicUsize::new(0);
    let work = |root: PathBuf| {
        let host = root.to_str().unwrap();
        while let Some(tree) = trees.get(next.fetch_add(1, Ordering::Relaxed)) {
            put(tree, &root);
            for verb in ["detect", "plan", "check"] {
                same(&[verb, "--root", host], tree);
                same(&[verb, "--json", "--root", host], tree);
            }
            let before = snapshot(&root);
            let mut after = Vec::new();
            for program in [&amd64, &arm64] {
                put(tree, &root);
                let applied = program.run(&["apply", "--root", host]);
                after.push((applied.status.code(), applied.stdout, snapshot(&root)));
            }
            assert_eq!(after.pop(), after.pop(), "{}", tree.display());
            // It is the one for arm64 that made these changes.
            arm64.run(&["undo", "--root", host]);
            assert_eq!(snapshot(&root), before, "{}", tree.display());
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (work, root) = (&work, scratch.path().join(format!("host-{worker}")));
            scope.spawn(move || work(root));
        }
    });
}

#[test]
#[ignore = "builds the packages of a release: make test-packages"]
fn where_no_compiler_for_arm64_can_be_had_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let bin = scratch.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, script) in [("apt-get", "exit 100"), ("rustc", "echo /nowhere")] {
        std::fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let asked = Command::new(here("packaging/arm64-rustc"))
        .args(["aarch64-unknown-linux-gnu", scratch.path().join("arm64").to_str().unwrap()])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .current_dir(here(""))
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(1));
    assert_eq!(asked.stdout, b"");
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(said.starts_with("no packages for arm64: apt-get update failed\n"), "{said}");
    assert!(said.contains("rustup target add aarch64-unknown-linux-gnu"), "{said}");
}
