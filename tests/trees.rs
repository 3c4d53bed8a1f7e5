//! Golden trees: a host's files in, the files that `csihost apply --root` changes out.
//!
//! Each directory of tests/trees holds `host` (the files), `after.txt` (what is new or different
//! afterwards, with modes and links) and maybe `refused.txt` (ids and targets). In every one a
//! second plan is empty, and undo gives each byte back. `UPDATE_TREES=1 cargo test --test trees`
//! writes after.txt and refused.txt anew, to be read before they are committed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic: that is how it fails.

use csihost::engine::{self, Fate, Host};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Path → how it is shown: kind, mode, content.
type Tree = BTreeMap<String, String>;

fn read(root: &Path, dir: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if name == "/var/lib/csihost" {
            continue; // The receipt is looked at by undo.
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() {
            tree.insert(name, format!("link to {}\n", fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            tree.insert(name, format!("directory {mode:04o}\n"));
            read(root, &path, tree);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).replace('\r', "\\r");
            let body: String = text.split_inclusive('\n').map(|line| format!("    {line}")).collect();
            tree.insert(
                name,
                format!("file {mode:04o}\n{body}{}", if body.ends_with('\n') { "" } else { "⏎\n" }),
            );
        }
    }
}

fn snapshot(root: &Path) -> Tree {
    let mut tree = Tree::new();
    read(root, root, &mut tree);
    tree
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = fs::symlink_metadata(&source).unwrap();
        if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else if meta.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
            // A checkout keeps only the execute bit, and the umask of whoever made it.
            let mode = if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn changes(before: &Tree, after: &Tree) -> String {
    let mut out = String::new();
    for (path, shown) in after {
        if before.get(path) != Some(shown) {
            write!(out, "{path}: {shown}").unwrap();
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        writeln!(out, "{path}: gone").unwrap();
    }
    out
}

fn golden(file: PathBuf, now: &str) {
    if std::env::var_os("UPDATE_TREES").is_some() {
        match now {
            "" => drop(fs::remove_file(&file)),
            now => fs::write(&file, now).unwrap(),
        }
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(now, expected, "{}", file.display());
}

async fn check(case: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    copy(&case.join("host"), &root);
    // Every host has these, and a checkout has no empty directories.
    for directory in ["var/lib", "etc/systemd/system"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let before = snapshot(&root);
    let host = Host::open(Some(&root)).unwrap();
    let config = engine::load(&host, None).unwrap();

    let report = engine::apply(&host, &config).await.unwrap();
    for step in &report.status.steps {
        assert_eq!(step.error, None, "{}: {} {}", case.display(), step.kind, step.target);
    }
    let after = snapshot(&root);
    golden(case.join("after.txt"), &changes(&before, &after));
    let refused: String =
        report.status.refused.iter().map(|note| format!("{}: {}\n", note.id, note.reason)).collect();
    golden(case.join("refused.txt"), &refused);

    let again = engine::look(&host, &config).await.unwrap();
    let left: Vec<_> = again.plan.steps().map(|(_, step)| step.action.target()).collect();
    assert!(left.is_empty(), "{}: a second turn would do {left:?}", case.display());

    let undone = engine::undo(&host, &config).await.unwrap();
    assert!(
        undone.undone.iter().all(|undone| undone.fate == Fate::Restored),
        "{}: {undone:?}",
        case.display()
    );
    assert_eq!(changes(&before, &snapshot(&root)), "", "{}: undo did not give all back", case.display());
    assert!(!root.join("var/lib/csihost/receipt.json").exists(), "{}", case.display());
}

#[test]
fn each_tree_becomes_what_is_written_beside_it_and_goes_back() {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cases: Vec<_> = fs::read_dir(trees).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "only {} trees", cases.len());
    for case in cases {
        runtime.block_on(check(&case));
    }
}
