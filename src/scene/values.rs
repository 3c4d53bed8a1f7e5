//! Scene: values that may be shown. What a value is decides, and not the name that it has: a password can stand behind any
//! key.

use super::secrets::{REDACTED, without_credentials};

/// What a value has to be to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path: absolute, or below a variable.
    Path,
    /// A socket: a path, `unix:` and a path, or an address and a port.
    Endpoint,
    /// A number or a word that says which of a few things is meant.
    Word,
    /// The name of a CSI driver: a domain name in small letters.
    Driver,
}

/// Words that programs give a meaning to, in any case: of the kubelet and its kin, of systemd, of open-iscsi.
const WORDS: &[&str] = &[
    "yes",
    "no",
    "true",
    "false",
    "on",
    "off",
    "none",
    "auto",
    "all",
    "always",
    "never",
    "both",
    "default",
    "disabled",
    "enabled",
    "report",
    "ignore",
    "install",
    "require",
    "remove",
    "align",
    "graft",
    "blacklist",
    "node",
    "controller",
    "manual",
    "automatic",
    "onboot",
    "systemd",
    "cgroupfs",
    "overlayfs",
    "native",
    "fuse-overlayfs",
    "stargz",
    "zfs",
    "k8s.io",
    "moby",
    "cis",
    "cis-1.23",
    "etcd",
    "simple",
    "exec",
    "forking",
    "oneshot",
    "dbus",
    "notify",
    "notify-reload",
    "idle",
    "on-failure",
    "on-abnormal",
    "on-success",
    "on-abort",
    "on-watchdog",
    "process",
    "mixed",
    "control-group",
    "main",
    "infinity",
    "shared",
    "slave",
    "private",
    "strict",
    "full",
    "read-only",
    "tmpfs",
    "inherit",
    "null",
    "journal",
    "kmsg",
    "tty",
    "root",
    "sequentialpacket",
    "warning",
    "info",
    "debug",
    "err",
    "notice",
    "emerg",
    "reboot",
    "force",
    "replace",
    "fail",
    "isolate",
    "restart",
    "halt",
    "any",
    "container",
    "vm",
    "nspawn",
    "docker",
    "lxc",
    "network",
];

/// Suffixes of units (systemd.unit(5)).
const UNITS: [&[u8]; 11] = [
    b".service",
    b".socket",
    b".mount",
    b".target",
    b".slice",
    b".path",
    b".timer",
    b".automount",
    b".scope",
    b".swap",
    b".device",
];

/// File systems, and names that stand in the place of a device.
const SOURCES: &[&str] = &[
    "none",
    "shm",
    "udev",
    "sysfs",
    "proc",
    "tmpfs",
    "devtmpfs",
    "devpts",
    "securityfs",
    "cgroup",
    "cgroup2",
    "pstore",
    "efivarfs",
    "bpf",
    "systemd-1",
    "mqueue",
    "hugetlbfs",
    "debugfs",
    "tracefs",
    "fusectl",
    "configfs",
    "ramfs",
    "overlay",
    "binfmt_misc",
    "sunrpc",
    "nfsd",
    "nsfs",
    "rootfs",
    "rpc_pipefs",
    "selinuxfs",
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "squashfs",
    "erofs",
    "iso9660",
    "zfs",
    "f2fs",
    "bcachefs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "lustre",
    "gfs2",
    "ocfs2",
    "9p",
    "virtiofs",
    "fuse",
    "fuseblk",
    "autofs",
    "swap",
    "auto",
    "aufs",
    "ntfs3",
    "exfat",
    "udf",
    "jfs",
    "reiserfs",
    "nilfs2",
    "ubifs",
    "lxcfs",
    "run",
    "dev",
    "cgroup_root",
    "none,none",
];

/// Options of mounts that stand alone (mount(8), proc_pid_mountinfo(5), nfs(5), systemd.mount(5)).
const OPTIONS: &[&str] = &[
    "rw",
    "ro",
    "defaults",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "relatime",
    "norelatime",
    "noatime",
    "atime",
    "nodiratime",
    "strictatime",
    "lazytime",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nofail",
    "auto",
    "noauto",
    "user",
    "users",
    "nouser",
    "owner",
    "group",
    "bind",
    "rbind",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
    "remount",
    "nosymfollow",
    "_netdev",
    "seclabel",
    "inode64",
    "inode32",
    "attr2",
    "noquota",
    "discard",
    "nodiscard",
    "hard",
    "soft",
    "softerr",
    "tcp",
    "udp",
    "rdma",
    "intr",
    "nointr",
    "lock",
    "nolock",
    "acl",
    "noacl",
    "user_xattr",
    "nouser_xattr",
    "xattr",
    "nsdelegate",
    "memory_recursiveprot",
    "memory_localevents",
    "favordynmods",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "net_cls",
    "net_prio",
    "blkio",
    "perf_event",
    "hugetlb",
    "pids",
    "misc",
    "memory",
    "allow_other",
    "default_permissions",
    "index",
    "metacopy",
    "volatile",
    "userxattr",
    "ssd",
    "nossd",
    "space_cache",
    "compress",
    "autodefrag",
    "degraded",
    "noresvport",
    "resvport",
    "cto",
    "nocto",
    "ac",
    "noac",
    "serverino",
    "noserverino",
    "nounix",
    "noperm",
    "mapposix",
    "posixpaths",
    "posix",
    "huge",
    "usrquota",
    "grpquota",
    "prjquota",
    "nobarrier",
    "barrier",
    "journal_checksum",
    "x-systemd.automount",
    "x-initrd.mount",
    "x-systemd.makefs",
    "x-systemd.growfs",
    "x-systemd.rw-only",
    "x-systemd.wanted-by",
    "x-systemd.required-by",
];

/// The value, where it is of that kind, and otherwise what stands in its place. Quotes around it stay.
pub(super) fn shown(kind: Kind, value: &[u8]) -> Vec<u8> {
    let (before, inner, after) = unquoted(value);
    let inner = without_credentials(inner);
    match is(kind, &inner) {
        true => [before, &inner, after].concat(),
        false => [before, REDACTED, after].concat(),
    }
}

/// White space and a quote, the value, and the same after it.
fn unquoted(value: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let outer = |b: &u8| b.is_ascii_whitespace() || b"\"'".contains(b);
    let start = value.iter().position(|b| !outer(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !outer(b)).map_or(start, |last| last + 1);
    let (before, rest) = value.split_at(start);
    let (inner, after) = rest.split_at(end.saturating_sub(start));
    (before, inner, after)
}

/// True if the value is of that kind.
pub(super) fn is(kind: Kind, value: &[u8]) -> bool {
    let is_reference = value.strip_prefix(b"$").or(value.strip_prefix(b"%")).is_some_and(is_variable);
    if value.is_empty() || value == REDACTED || is_word(value) || is_reference {
        return true;
    }
    match kind {
        Kind::Path => is_path(value),
        Kind::Endpoint => is_endpoint(value),
        Kind::Driver => is_domain(value),
        Kind::Word => false,
    }
}

/// A number with a unit, or a known word.
pub(super) fn is_word(value: &[u8]) -> bool {
    let number = value.strip_prefix(b"-").unwrap_or(value);
    let digits = number.iter().take_while(|b| b.is_ascii_digit()).count();
    let unit = number.get(digits..).unwrap_or_default();
    let is_number = (1..=7).contains(&digits)
        && matches!(
            unit,
            b"" | b"%"
                | b"s"
                | b"ms"
                | b"us"
                | b"m"
                | b"min"
                | b"h"
                | b"d"
                | b"k"
                | b"K"
                | b"M"
                | b"G"
                | b"Ki"
                | b"Mi"
                | b"Gi"
        );
    is_number || WORDS.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(value))
}

/// An absolute path, or one below a variable or a specifier of systemd's. A kubelet's root may have any name.
pub(super) fn is_path(value: &[u8]) -> bool {
    let rest = match value {
        [b'$' | b'%', rest @ ..] => {
            let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            match is_variable(name) {
                true => rest,
                false => return false,
            }
        }
        [b'.', rest @ ..] if rest.starts_with(b"/") || rest.starts_with(b"./") => {
            rest.strip_prefix(b".").unwrap_or(rest)
        }
        value => value,
    };
    let odd = |b: &u8| b"=?&;|<>`#".contains(b) || b.is_ascii_control();
    rest.starts_with(b"/") && !rest.iter().any(odd) && without_credentials(rest) == rest
}

/// The name of a variable, as programs of the field have them, or a letter.
pub(super) fn is_variable(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
    name.len() == 1 && name.iter().all(u8::is_ascii_alphabetic)
        || name.first().is_some_and(|b| b.is_ascii_uppercase() || *b == b'_')
            && name.len() < 64
            && name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
}

fn is_endpoint(value: &[u8]) -> bool {
    let plain = |rest: &[u8]| rest.iter().all(|b| b.is_ascii_alphanumeric() || b"/._-:@[]${}%".contains(b));
    if let Some(path) = value.strip_prefix(b"unix:") {
        let path = path.strip_prefix(b"//").unwrap_or(path);
        return path.contains(&b'/') && plain(path);
    }
    let rest =
        [&b"tcp://"[..], b"http://", b"https://"].iter().find_map(|scheme| value.strip_prefix(*scheme));
    let rest = rest.unwrap_or(value);
    let host = rest.strip_prefix(b"redacted@").unwrap_or(rest);
    let host = host.split(|&b| b == b'/').next().unwrap_or_default();
    let is_address = host.contains(&b':') || host.contains(&b'.');
    let address = |b: &u8| b.is_ascii_digit() || b".:[]".contains(b);
    is_path(value) || is_address && host.iter().all(address) && plain(rest) || matches!(host, b"localhost")
}

/// A domain name in small letters, of at least two labels.
pub(super) fn is_domain(value: &[u8]) -> bool {
    let label = |label: &[u8]| {
        (1..=40).contains(&label.len())
            && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    value.len() < 100 && value.contains(&b'.') && value.split(|&b| b == b'.').all(label)
}

/// The name of a unit.
pub(super) fn is_unit(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b":_.\\@%-".contains(b);
    UNITS.iter().any(|end| value.ends_with(end)) && value.len() < 256 && value.iter().all(plain)
}

/// iqn.…, eui.… or naa.… (RFC 7143).
pub(super) fn is_iscsi_name(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".:-".contains(b);
    let begins = [&b"iqn."[..], b"eui.", b"naa."].iter().any(|begin| value.starts_with(begin));
    begins && value.len() < 224 && value.iter().all(plain)
}

/// Words of small letters, with hyphens between them: a name of csihost's own, or a key.
pub(super) fn is_key(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.len() < 48
        && value.split(|b| b"-_.".contains(b)).all(|part| {
            let letters = part.iter().all(u8::is_ascii_alphabetic);
            // `etcd-s3-endpoint`, and not a word that ends with a number.
            letters || part.len() < 4 && part.iter().all(u8::is_ascii_alphanumeric)
        })
}

/// A word of a unit file: what is listed there, or a path with the signs that systemd gives a meaning.
pub(super) fn is_unit_word(word: &[u8]) -> bool {
    let start = word.iter().position(|b| !b"-+!:@~|<>=".contains(b)).unwrap_or(word.len());
    let bare = word.get(start..).unwrap_or_default();
    let capital = |prefix: &[u8]| {
        bare.starts_with(prefix)
            && bare.len() < 48
            && bare.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
    };
    let set = |b: &u8| b.is_ascii_lowercase() || *b == b'-';
    let specifier = || matches!(bare, [b'%', letter] if letter.is_ascii_alphabetic());
    bare.is_empty()
        || matches!(bare, b"\\" | b"redacted")
        || is_word(bare)
        || is_unit(bare)
        || specifier()
        || bare.split(|&b| b == b':').all(is_path)
        || capital(b"CAP_")
        || capital(b"SIG")
        || capital(b"AF_")
        || capital(b"ISCSIADM_")
        // Sets of system calls: @system-service.
        || word.starts_with(b"@") && bare.len() < 24 && bare.iter().all(set)
        || SOURCES.iter().any(|source| source.as_bytes() == bare)
        || bare.contains(&b',') && options(bare) == bare
        || OPTIONS.iter().any(|option| option.as_bytes() == bare)
}

/// Options of a mount, with commas between them.
pub(super) fn options(field: &[u8]) -> Vec<u8> {
    field.split(|&b| b == b',').map(option).collect::<Vec<_>>().join(&b',')
}

fn option(option: &[u8]) -> Vec<u8> {
    let Some(at) = option.iter().position(|&b| b == b'=') else {
        let known = option.is_empty() || OPTIONS.iter().any(|known| known.as_bytes() == option);
        return if known { option.to_vec() } else { REDACTED.to_vec() };
    };
    let (name, value) = (option.get(..at).unwrap_or_default(), option.get(at + 1..).unwrap_or_default());
    let number = |value: &[u8]| !value.is_empty() && value.len() < 20 && value.iter().all(u8::is_ascii_digit);
    let name = match is_key(name) || OPTIONS.iter().any(|known| known.as_bytes() == name) {
        true => name,
        false => REDACTED,
    };
    let stays = is(Kind::Path, value)
        || number(value)
        || value.split(|&b| b == b':').all(is_path)
        || is_unit(value)
        || is_endpoint(value)
        || OPTIONS.iter().any(|known| known.as_bytes() == value);
    [name, b"=", if stays { value } else { REDACTED }].concat()
}

/// The source of a mount: a device, a directory, a server, or a name that stands for none.
pub(super) fn source(source: &[u8], fs_type: &[u8]) -> Vec<u8> {
    let shown = match source.strip_prefix(b"//") {
        // `//user:password@server/share`.
        Some(_) => without_credentials(&[b":", source].concat()).get(1..).unwrap_or_default().to_vec(),
        None => without_credentials(source),
    };
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._:@[]-\\".contains(b);
    let server = |text: &[u8]| {
        let slash = text.iter().position(|&b| b == b'/');
        let colon = slash.is_some_and(|at| at > 0 && text.get(at - 1) == Some(&b':'));
        (colon || text.starts_with(b"//") || text.windows(3).any(|part| part == b"://"))
            && text.iter().all(plain)
    };
    let tag = |text: &[u8]| {
        let value = text.iter().position(|&b| b == b'=').map(|at| text.split_at(at + 1));
        value.is_some_and(|(name, value)| {
            let id = value.len() <= 36 && value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
            let label =
                value.len() <= 16 && value.iter().all(|b| b.is_ascii_uppercase() || b"-_".contains(b));
            matches!(name, b"UUID=" | b"PARTUUID=") && id
                || matches!(name, b"LABEL=" | b"PARTLABEL=") && label
        })
    };
    let stays = shown.is_empty()
        || is_path(&shown)
        || is_file_system(source)
            && (source == fs_type || fs_type.is_empty() || !fs_type.starts_with(b"fuse."))
        || server(&shown)
        || tag(&shown);
    if stays { shown } else { REDACTED.to_vec() }
}

/// A file system's name, or a name that stands in the place of a device.
pub(super) fn is_file_system(name: &[u8]) -> bool {
    SOURCES.iter().any(|known| known.as_bytes() == name)
        || name.strip_prefix(b"fuse.").is_some_and(|name| name.len() < 24 && is_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_is_decides() {
        for (kind, value) in [
            (Kind::Path, "/srv/kubelet"),
            (Kind::Path, "${SNAP_COMMON}/var/lib/kubelet"),
            (Kind::Path, "/srv/a b"),
            (Kind::Endpoint, "unix:///csi/csi.sock"),
            (Kind::Endpoint, "unix://csi/csi.sock"),
            (Kind::Endpoint, "/run/containerd/containerd.sock"),
            (Kind::Endpoint, "tcp://10.0.0.1:9808"),
            (Kind::Endpoint, ":9808"),
            (Kind::Word, "4"),
            (Kind::Word, "true"),
            (Kind::Word, "30s"),
            (Kind::Driver, "driver.longhorn.io"),
        ] {
            assert!(is(kind, value.as_bytes()), "{kind:?} {value}");
        }
        for kind in [Kind::Path, Kind::Endpoint, Kind::Word, Kind::Driver] {
            for value in [
                "hunter2",
                "correct horse",
                "Zm9vYmFy==",
                "tcp://hunter2",
                "https://hunter2/x",
                "a=/b",
                "$hunter2",
            ] {
                assert_eq!(shown(kind, value.as_bytes()), REDACTED, "{kind:?} {value}");
            }
        }
        assert_eq!(shown(Kind::Path, b" \"/srv/k\""), b" \"/srv/k\"");
        assert_eq!(shown(Kind::Word, b"'x1'"), b"'redacted'");
    }

    #[test]
    fn options_and_sources_of_mounts_keep_what_they_say_of_the_node() {
        let shown = |text: &str| String::from_utf8(options(text.as_bytes())).unwrap();
        for kept in [
            "rw,nosuid,size=1024k,mode=755",
            "rw,lowerdir=/a:/b,upperdir=/c",
            "defaults,x-systemd.requires=a.service",
        ] {
            assert_eq!(shown(kept), kept);
        }
        assert_eq!(shown("rw,username=u1,x=hunter2,hunter2"), "rw,username=redacted,x=redacted,redacted");
        for (text, fs_type, expected) in [
            ("/dev/sda1", "ext4", "/dev/sda1"),
            ("tmpfs", "tmpfs", "tmpfs"),
            ("nas:/export", "nfs4", "nas:/export"),
            ("//u:p@nas/x", "cifs", "//redacted@nas/x"),
            ("UUID=0a1b-2c", "ext4", "UUID=0a1b-2c"),
            ("hunter2", "fuse.x", "redacted"),
        ] {
            assert_eq!(source(text.as_bytes(), fs_type.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
