//! Edge: the texts of /proc/PID and /proc/uptime, each read by its own rule (proc(5)) and none believed to be whole:
//! names are chosen by the process, and a scene may hold anything.

use crate::model::file::FileId;
use crate::model::mount::Device;
use std::time::Duration;

/// What /proc/PID/status says of who a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// The real user.
    pub(super) uid: u32,
    /// It has ended, and nobody has asked how.
    pub(super) zombie: bool,
    /// It has more than one number: it lives in a PID namespace below that of this /proc.
    pub(super) nested: bool,
}

/// The text of /proc/PID/status; `None` where there is no user in it.
pub(super) fn status(text: &[u8]) -> Option<Status> {
    // The first line is the name, in which the kernel escapes newlines.
    let field = |name: &[u8]| text.split(|&b| b == b'\n').skip(1).find_map(|line| line.strip_prefix(name));
    let numbers = |line: &[u8]| line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    let uid = field(b"Uid:")?.trim_ascii_start();
    let uid = uid.split(u8::is_ascii_whitespace).next()?;
    Some(Status {
        uid: number(uid)?,
        zombie: field(b"State:").is_some_and(|state| state.trim_ascii_start().starts_with(b"Z")),
        nested: field(b"NSpid:").is_some_and(|pids| numbers(pids) > 1),
    })
}

/// The start time in the text of /proc/PID/stat, its 22nd field: the 20th after the name, which
/// may hold spaces and brackets.
pub(super) fn start_time(text: &[u8]) -> Option<u64> {
    let name_ends = text.iter().rposition(|&b| b == b')')?;
    let fields = text.get(name_ends + 1..)?.strip_prefix(b" ")?;
    number(fields.split(|&b| b == b' ').nth(19)?)
}

/// The time since the boot in the text of /proc/uptime, its first field, in seconds.
pub(super) fn uptime(text: &[u8]) -> Option<Duration> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The number in a link such as `socket:[4026]`.
pub(super) fn inode_of(target: &[u8], prefix: &[u8]) -> Option<u64> {
    number(target.strip_prefix(prefix)?.strip_suffix(b"]")?)
}

/// The arguments in the text of /proc/PID/cmdline. A process that wrote its own title (k3s)
/// leaves words and NULs behind; empty arguments at the end are those.
pub(super) fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    let end = cmdline.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    match cmdline.get(..end) {
        None | Some([]) => Vec::new(),
        Some(text) => text.split(|&b| b == 0).map(<[u8]>::to_vec).collect(),
    }
}

/// The directories and files that the inotify instance with this fdinfo watches: lines
/// `inotify wd:1 ino:a407c7 sdev:fe00000 mask:…`, all hexadecimal (fs/notify/fdinfo.c). The device
/// is the kernel's own number.
pub(super) fn watches(fdinfo: &[u8]) -> impl Iterator<Item = FileId> {
    fdinfo.split(|&b| b == b'\n').filter_map(|line| {
        let fields = line.strip_prefix(b"inotify ")?;
        let hex = |name: &[u8]| {
            let value = fields.split(|&b| b == b' ').find_map(|field| field.strip_prefix(name))?;
            u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
        };
        let device = Device::from_kernel(u32::try_from(hex(b"sdev:")?).ok()?);
        Some(FileId { device, inode: hex(b"ino:")? })
    })
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_cannot_forge_the_start_time_nor_break_its_reader() {
        let fields = "S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 4711 1 1 18446744073709551615 1";
        for name in ["kubelet", "a) S 1 1", "(", ") ", "\u{fffd}"] {
            assert_eq!(start_time(format!("42 ({name}) {fields}\n").as_bytes()), Some(4711), "{name}");
        }
        for text in ["", "42", "(", ")", "42 (a)", "42 (a) ", "(a) S", "42 )a( S", "42 (a) S 1 1 1 0 -1"] {
            assert_eq!(start_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn arguments_end_where_the_process_wiped_them() {
        assert_eq!(arguments(b"kubelet\0--root-dir\0/a b\0"), [&b"kubelet"[..], b"--root-dir", b"/a b"]);
        assert_eq!(arguments(b"/usr/local/bin/k3s server\0\0\0"), [b"/usr/local/bin/k3s server"]);
        assert_eq!(arguments(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert!(arguments(b"").is_empty());
        assert!(arguments(b"\0\0").is_empty());
    }

    #[test]
    fn status_tells_user_zombies_and_nesting_whatever_the_name() {
        let text =
            "Name:\ta\\nUid:\\t7\nUmask:\t0022\nState:\tS (sleeping)\nNSpid:\t812\nUid:\t1000\t0\t0\t0\n";
        assert_eq!(status(text.as_bytes()), Some(Status { uid: 1000, zombie: false, nested: false }));
        let text = "Name:\tUid:\t0\nState:\tZ (zombie)\nUid:\t0\t0\t0\t0\nNSpid:\t812\t1\n";
        assert_eq!(status(text.as_bytes()), Some(Status { uid: 0, zombie: true, nested: true }));
        for text in ["", "Name:\tx\n", "Uid:\t0\n", "Name:\tx\nUid:\n", "Name:\tx\nUid:\t-1\t0\n"] {
            assert_eq!(status(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn watches_are_hexadecimal_in_all_their_parts() {
        let text = b"pos:\t0\nflags:\t02000000\nmnt_id:\t17\n\
            inotify wd:2 ino:a407c7 sdev:fe00000 mask:fc6 ignored_mask:0 fhandle-bytes:8\n\
            inotify wd:1 ino:1\ninotify wd:1 ino:x sdev:1\ninotify wd:1 ino:10 sdev:1e mask:3c0";
        let id = |major, minor, inode| FileId { device: Device { major, minor }, inode };
        assert_eq!(watches(text).collect::<Vec<_>>(), [id(254, 0, 0xa4_07c7), id(0, 0x1e, 0x10)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text: Vec<u8>, line in "(Name:x\n)?(Uid:|NSpid:|inotify ino:|1 \\()[ -~\t\n]*") {
            for text in [text.as_slice(), line.as_bytes()] {
                let _ = (status(text), start_time(text), uptime(text), arguments(text), watches(text).count());
                let _ = inode_of(text, b"socket:[");
            }
        }
    }
}
