//! Mounts: reads the text of /proc/PID/mountinfo.
//!
//! The format is proc(5)'s and that of section 3.5 of the kernel's
//! Documentation/filesystems/proc.rst:
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! id parent device root point options tag… - type source super-options
//! ```

use crate::model::bytes::shown;
use crate::model::mount::{Device, Mount, MountTable};
use std::fmt;

/// Why a text is not a mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountinfoError {
    /// The line, counted from 1.
    pub line: usize,
    /// What should have been there.
    pub expected: &'static str,
    /// What was there instead.
    pub found: String,
}

impl fmt::Display for MountinfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mountinfo line {}: expected {}, found \"{}\"", self.line, self.expected, self.found)
    }
}

impl std::error::Error for MountinfoError {}

/// Reads a whole mount table.
///
/// The kernel ends every row with a newline; a last row without one was cut off, and what it
/// says cannot be trusted (`/mnt/a` may have been `/mnt/ab`), so it is an error.
pub fn parse(bytes: &[u8]) -> Result<MountTable, MountinfoError> {
    let mut mounts = Vec::new();
    for (index, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let fault =
            |(expected, found): Fault| MountinfoError { line: index + 1, expected, found: shown(found) };
        let row = line.strip_suffix(b"\n").ok_or((NEWLINE, line)).map_err(fault)?;
        mounts.push(parse_row(row).map_err(fault)?);
    }
    Ok(MountTable::new(mounts))
}

/// The mount ids of whole rows; those of rows that begin with something else are left out.
pub fn ids(rows: &[u8]) -> impl Iterator<Item = u64> {
    let first = |row: &[u8]| number(row.split(|&b| b == b' ').next()?, "a mount id").ok();
    rows.split(|&b| b == b'\n').filter_map(first)
}

const NEWLINE: &str = "a newline at the end of the row (the table is cut off here)";

/// What was expected, and what was found.
type Fault<'a> = (&'static str, &'a [u8]);

fn parse_row(row: &[u8]) -> Result<Mount, Fault<'_>> {
    let mut fields = row.split(|&b| b == b' ');
    let mut next = |expected| fields.next().filter(|field| !field.is_empty()).ok_or((expected, row));

    let id = number(next("a mount id")?, "a mount id")?;
    let parent = number(next("the parent's mount id")?, "the parent's mount id")?;
    let device = device(next("a device, as major:minor")?)?;
    let root = unescape(next("the root of the mount")?);
    let point = unescape(next("the mount point")?);
    let options = next("mount options")?.to_vec();
    if !point.starts_with(b"/") {
        return Err(("a mount point that begins with /", row));
    }

    let (mut shared, mut master, mut propagate_from, mut unbindable) = (None, None, None, false);
    loop {
        // "Parsers should ignore all unrecognised optional fields" (proc.rst).
        let tag = next("the \"-\" after the optional fields")?;
        if tag == b"-" {
            break;
        }
        if let Some(group) = tag.strip_prefix(b"shared:") {
            shared = Some(number(group, "a peer group after shared:")?);
        } else if let Some(group) = tag.strip_prefix(b"master:") {
            master = Some(number(group, "a peer group after master:")?);
        } else if let Some(group) = tag.strip_prefix(b"propagate_from:") {
            propagate_from = Some(number(group, "a peer group after propagate_from:")?);
        } else if tag == b"unbindable" {
            unbindable = true;
        }
    }

    let fs_type = unescape(next("a file-system type")?);
    // The source may be the empty string: the kernel prints whatever mount(2) was given.
    let source = unescape(fields.next().ok_or(("a mount source", row))?);
    fields.next().ok_or(("super-block options", row))?;

    Ok(Mount {
        id,
        parent,
        device,
        root,
        point,
        shared,
        master,
        propagate_from,
        unbindable,
        options,
        fs_type,
        source,
    })
}

fn device(field: &[u8]) -> Result<Device, Fault<'_>> {
    const WHAT: &str = "a device, as major:minor";
    let colon = field.iter().position(|&b| b == b':').ok_or((WHAT, field))?;
    let (major, minor) = field.split_at(colon);
    let small =
        |digits| number(digits, WHAT).ok().and_then(|number| u32::try_from(number).ok()).ok_or((WHAT, field));
    Ok(Device { major: small(major)?, minor: small(minor.get(1..).unwrap_or_default())? })
}

fn number<'a>(digits: &'a [u8], expected: &'static str) -> Result<u64, Fault<'a>> {
    let mut value: u64 = 0;
    for &digit in digits {
        let Some(more) = digit
            .is_ascii_digit()
            .then(|| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .flatten()
        else {
            return Err((expected, digits));
        };
        value = more;
    }
    match digits.is_empty() {
        true => Err((expected, digits)),
        false => Ok(value),
    }
}

/// Decodes `\NNN` with three octal digits. The kernel writes space, tab, newline and backslash
/// so, since 5.18 `#` too (`mangle()` in fs/proc_namespace.c), and a file system may escape more.
fn unescape(field: &[u8]) -> Vec<u8> {
    // Nearly all fields; and this search is the standard library's fast one.
    if !field.contains(&b'\\') {
        return field.to_vec();
    }
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.iter().position(|&b| b == b'\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = match escape {
            [_, a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [backslash, rest @ ..] => {
                out.push(*backslash);
                rest
            }
            [] => &[],
        };
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(row: &str) -> Mount {
        parse(format!("{row}\n").as_bytes()).unwrap().iter().next().unwrap().clone()
    }

    fn error(text: &str) -> MountinfoError {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_row_of_proc_5_is_read_field_by_field() {
        let mount = one("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue");
        assert_eq!(
            mount,
            Mount {
                id: 36,
                parent: 35,
                device: Device { major: 98, minor: 0 },
                root: b"/mnt1".to_vec(),
                point: b"/mnt2".to_vec(),
                shared: None,
                master: Some(1),
                propagate_from: None,
                unbindable: false,
                options: b"rw,noatime".to_vec(),
                fs_type: b"ext3".to_vec(),
                source: b"/dev/root".to_vec(),
            }
        );
    }

    #[test]
    fn optional_fields_come_in_any_number_and_unknown_ones_are_ignored() {
        let mount = one("1 0 0:1 / / rw shared:7 new_thing:x master:3 flag propagate_from:2 - tmpfs t rw");
        assert_eq!((mount.shared, mount.master, mount.propagate_from), (Some(7), Some(3), Some(2)));
        assert!(one("1 0 0:1 / / rw unbindable - tmpfs t rw").unbindable);
        assert_eq!(one("1 0 0:1 / / rw - tmpfs t rw").shared, None);
    }

    #[test]
    fn escapes_are_decoded_in_paths_and_sources() {
        let mount = one(r"1 0 0:1 /a\040b /c\011\012\134d\043 rw - tmpfs not\040here rw");
        assert_eq!(mount.root, b"/a b");
        assert_eq!(mount.point, b"/c\t\n\\d#");
        assert_eq!(mount.source, b"not here");
        assert_eq!(one(r"1 0 0:1 / /\303\274\x\08\ rw - tmpfs t rw").point, b"/\xc3\xbc\\x\\08\\");
    }

    #[test]
    fn odd_rows_of_real_kernels_are_read() {
        assert_eq!(one("1 0 0:4 net:[4026532] /run/netns/a rw - nsfs nsfs rw").root, b"net:[4026532]");
        assert_eq!(one("1 0 0:5 / /x rw - fuse.sshfs a@b:/c rw").fs_type, b"fuse.sshfs");
        assert_eq!(one("1 0 0:5 / /x rw - tmpfs  rw").source, b"");
        assert_eq!(one("1 0 0:5 / /x rw - odd src rw,name=with a space").source, b"src");
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        let good = "1 0 0:1 / / rw - tmpfs t rw\n";
        for (bad, expected) in [
            ("", "a mount id"),
            ("x 0 0:1 / / rw - tmpfs t rw", "a mount id"),
            ("1 -1 0:1 / / rw - tmpfs t rw", "the parent's mount id"),
            ("1 0 0 / / rw - tmpfs t rw", "a device, as major:minor"),
            ("1 0 0:9999999999 / / rw - tmpfs t rw", "a device, as major:minor"),
            ("1 0 0:1 /", "the mount point"),
            ("1 0 0:1 / relative rw - tmpfs t rw", "a mount point that begins with /"),
            ("1 0 0:1 / / rw shared:x - tmpfs t rw", "a peer group after shared:"),
            ("1 0 0:1 / / rw shared:1", "the \"-\" after the optional fields"),
            ("1 0 0:1 / / rw -", "a file-system type"),
            ("1 0 0:1 / / rw - tmpfs", "a mount source"),
            ("1 0 0:1 / / rw - tmpfs t", "super-block options"),
            ("18446744073709551616 0 0:1 / / rw - tmpfs t rw", "a mount id"),
        ] {
            let error = error(&format!("{good}{bad}\n{good}"));
            assert_eq!((error.line, error.expected), (2, expected), "{bad}");
        }
    }

    #[test]
    fn a_last_row_that_was_cut_off_is_an_error_even_if_it_looks_whole() {
        let text = "1 0 0:1 / / rw - tmpfs t rw\n2 1 0:2 / /run rw - tmpfs t rw";
        let error = error(text);
        assert_eq!(error.line, 2);
        assert_eq!(
            error.to_string(),
            "mountinfo line 2: expected a newline at the end of the row (the table is cut off here), \
             found \"2 1 0:2 / /run rw - tmpfs t rw\""
        );
        assert!(parse(b"").unwrap().is_empty());
    }

    /// Timed only when optimised: `cargo test --release -- --ignored fast`.
    #[test]
    #[ignore = "a measurement"]
    fn fifty_thousand_rows_are_read_fast() {
        let mut text = String::from("1 0 0:1 / / rw shared:1 - ext4 /dev/vda1 rw\n");
        for id in 2..=50_000 {
            text.push_str(&format!(
                "{id} 1 0:{id} / /var/lib/kubelet/pods/11111111-2222-3333-4444-{id:012}/volumes/\
                 kubernetes.io~projected/kube-api-access rw,relatime shared:{id} - tmpfs tmpfs rw,size=1k\n"
            ));
        }
        for _ in 0..5 {
            let start = std::time::Instant::now();
            let table = parse(text.as_bytes()).unwrap();
            eprintln!("{} rows, {} bytes: {:?}", table.iter().count(), text.len(), start.elapsed());
        }
    }

    fn escape(bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|&b| match b {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
                b => vec![b],
            })
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>, row in "[0-9]{1,3} [0-9] 0:1 / /[a-z\\\\0-9]* rw [a-z: -]* - t s rw") {
            let _ = parse(&bytes);
            let _ = parse(row.as_bytes());
            let _ = parse(format!("{row}\n").as_bytes());
        }

        #[test]
        fn what_the_kernel_escapes_comes_back(name: Vec<u8>, source: Vec<u8>) {
            let mut row = b"1 0 0:1 / /".to_vec();
            row.extend(escape(&name));
            row.extend_from_slice(b" rw - tmpfs ");
            row.extend(escape(&source));
            row.extend_from_slice(b" rw\n");
            let table = parse(&row).unwrap();
            let mount = table.iter().next().unwrap();
            prop_assert_eq!(&mount.point[1..], &name[..]);
            prop_assert_eq!(&mount.source, &source);
        }
    }
}
