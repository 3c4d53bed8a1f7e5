//! Edge: tests of walking, reading and replacing files, on a tree of their own.

use super::*;
use crate::model::file::{Attributes, DirFact, FileFact, Trust};
use std::os::unix::fs::{PermissionsExt, symlink};

struct Tree {
    dir: tempfile::TempDir,
    host: Host,
}

fn tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc/iscsi")).unwrap();
    std::fs::write(dir.path().join("etc/iscsi/iscsid.conf"), "a\n").unwrap();
    let host = Host::open(Some(dir.path())).unwrap();
    Tree { dir, host }
}

fn path(text: &'static str) -> HostPath {
    HostPath::from(text)
}

const NEW: Attributes = Attributes { mode: 0o640, uid: 0, gid: 0 };

#[test]
fn no_link_leads_out_of_the_root() {
    let Tree { dir, host } = tree();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    symlink(outside.path(), dir.path().join("etc/absolute")).unwrap();
    symlink("../../../../../../../../../../etc/passwd", dir.path().join("etc/up")).unwrap();
    symlink("/etc/iscsi", dir.path().join("etc/inside")).unwrap();
    symlink("loop", dir.path().join("etc/loop")).unwrap();

    assert!(matches!(host.file(&path("/etc/absolute/secret")), FileFact::Absent));
    assert!(
        matches!(host.file(&path("/etc/up")), FileFact::Unreadable(_)),
        "there is no /etc/passwd in here"
    );
    assert_eq!(host.file(&path("/etc/inside/iscsid.conf")).bytes(), Some(&b"a\n"[..]));
    let canonical = host.file(&path("/etc/inside/iscsid.conf")).file().unwrap().canonical.clone();
    assert_eq!(canonical, path("/etc/iscsi/iscsid.conf"));
    assert!(
        matches!(host.file(&path("/etc/loop")), FileFact::Unreadable(why) if why.contains("symbolic links"))
    );
}

#[test]
fn what_is_not_a_file_is_named_for_what_it_is() {
    let Tree { dir, host } = tree();
    symlink("/dev/null", dir.path().join("etc/masked")).unwrap();
    symlink("nowhere", dir.path().join("etc/dangling")).unwrap();
    std::fs::write(dir.path().join("etc/large"), vec![b'x'; (4 << 20) + 1]).unwrap();
    nix::unistd::mkfifo(&dir.path().join("etc/pipe"), Bits::from_bits_truncate(0o600)).unwrap();
    assert_eq!(host.file(&path("/etc/none")), FileFact::Absent);
    assert_eq!(host.file(&path("/none/at/all")), FileFact::Absent);
    assert_eq!(host.file(&path("/etc/iscsi")), FileFact::Directory);
    assert_eq!(host.file(&path("/etc/masked")), FileFact::Masked);
    assert_eq!(host.file(&path("/etc/pipe")), FileFact::Special);
    assert!(matches!(host.file(&path("/etc/dangling")), FileFact::Unreadable(_)));
    assert!(matches!(host.file(&path("/etc/large")), FileFact::Unreadable(_)));
    assert!(matches!(host.file(&path("/etc/iscsi/iscsid.conf/x")), FileFact::Unreadable(_)));
}

#[test]
fn a_directory_is_known_by_where_it_is_and_what_it_holds() {
    let Tree { dir, host } = tree();
    symlink("iscsi", dir.path().join("etc/link")).unwrap();
    let expected =
        DirFact::Directory { canonical: path("/etc/iscsi"), entries: vec![b"iscsid.conf".to_vec()] };
    assert_eq!(host.directory(&path("/etc/link")), expected);
    let absent = DirFact::Absent { canonical: path("/etc/iscsi/a/b") };
    assert_eq!(host.directory(&path("/etc/link/a/b")), absent);
    assert!(matches!(host.directory(&path("/etc/iscsi/iscsid.conf")), DirFact::Other(_)));
    assert_eq!(host.list(&path("/none")).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_replaced_file_keeps_its_mode_and_a_new_one_gets_its_own() {
    let Tree { dir, host } = tree();
    let conf = dir.path().join("etc/iscsi/iscsid.conf");
    std::fs::set_permissions(&conf, std::fs::Permissions::from_mode(0o600)).unwrap();
    host.write(&path("/etc/iscsi/iscsid.conf"), b"b\n", NEW).unwrap();
    assert_eq!(std::fs::read(&conf).unwrap(), b"b\n");
    assert_eq!(conf.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    // What a crash left under the temporary name is in nobody's way.
    std::fs::write(dir.path().join("etc/.new.csihost"), "half").unwrap();
    host.write(&path("/etc/new"), b"n", NEW).unwrap();
    assert_eq!(dir.path().join("etc/new").metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(host.list(&path("/etc")).unwrap(), [b"iscsi".to_vec(), b"new".to_vec()]);
}

#[test]
fn nothing_is_written_through_a_link_or_over_a_directory() {
    let Tree { dir, host } = tree();
    symlink("iscsi/iscsid.conf", dir.path().join("etc/link")).unwrap();
    assert!(host.write(&path("/etc/link"), b"x", NEW).is_err());
    assert!(host.write(&path("/etc/iscsi"), b"x", NEW).is_err());
    assert!(host.write(&path("/none/x"), b"x", NEW).is_err());
    assert_eq!(host.file(&path("/etc/iscsi/iscsid.conf")).bytes(), Some(&b"a\n"[..]));
    assert_eq!(host.list(&path("/etc")).unwrap(), [b"iscsi".to_vec(), b"link".to_vec()]);
}

#[test]
fn directories_are_made_with_the_mode_asked_for_and_told() {
    let Tree { dir, host } = tree();
    let asked = path("/etc/a/b");
    assert_eq!(host.missing_directories(&asked), [path("/etc/a"), asked.clone()]);
    assert_eq!(host.make_directory(&asked, 0o750).unwrap(), [path("/etc/a"), asked.clone()]);
    assert_eq!(host.make_directory(&asked, 0o700).unwrap(), []);
    let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("etc/a"), mode("etc/a/b")), (0o755, 0o750));
    assert!(host.make_directory(&path("/etc/iscsi/iscsid.conf/x"), 0o755).is_err());
}

#[test]
fn trust_ends_where_others_can_write() {
    let Tree { dir, host } = tree();
    // tempdir's own directory is 0700 and ours; the tree's owner stands for root.
    std::fs::create_dir_all(dir.path().join("open/kubelet")).unwrap();
    let chmod = |name: &str, mode| {
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("open/kubelet", 0o750);
    chmod("open", 0o755);
    assert_eq!(host.trust(&path("/open/kubelet")), Trust::Root);
    chmod("open/kubelet", 0o777);
    assert_eq!(host.trust(&path("/open/kubelet")), Trust::WritableItself { mode: 0o777 });
    chmod("open", 0o1777);
    let open = |mode| Trust::Untrusted { path: path("/open"), mode, uid: host.owner.0 };
    assert_eq!(host.trust(&path("/open/kubelet")), open(0o1777));
    // A link in a directory that others can write to can be made to lead elsewhere.
    chmod("etc/iscsi", 0o755);
    symlink("/etc/iscsi", dir.path().join("open/link")).unwrap();
    symlink("/open/link", dir.path().join("etc/by-link")).unwrap();
    assert_eq!(host.trust(&path("/etc/by-link")), open(0o1777));
    assert!(matches!(host.trust(&path("/none")), Trust::Missing(_)));
}

#[test]
fn one_has_the_lock_at_a_time() {
    let Tree { dir, host } = tree();
    let first = host.lock().unwrap().expect("nobody else has it");
    let other = Host::open(Some(dir.path())).unwrap();
    assert!(other.lock().unwrap().is_none());
    drop(first);
    assert!(other.lock().unwrap().is_some());
}

#[test]
fn a_replaced_file_keeps_its_selinux_label() {
    use xattr::FileExt;
    let Tree { dir, host } = tree();
    let conf = std::fs::File::open(dir.path().join("etc/iscsi/iscsid.conf")).unwrap();
    let label = b"system_u:object_r:iscsi_etc_t:s0\0";
    if conf.set_xattr("security.selinux", label).is_err() {
        eprintln!("skipped: labels cannot be set here (not root, or a file system without them)");
        return;
    }
    host.write(&path("/etc/iscsi/iscsid.conf"), b"b\n", NEW).unwrap();
    let now = std::fs::File::open(dir.path().join("etc/iscsi/iscsid.conf")).unwrap();
    assert_eq!(now.get_xattr("security.selinux").unwrap().as_deref(), Some(&label[..]));
}
