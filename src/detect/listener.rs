//! Pure: the pod-resources socket of one process, in the text of /proc/PID/net/unix.
//!
//! The kubelet binds `<root>/pod-resources/<digits>` and renames it to `kubelet.sock` (kubernetes,
//! pkg/kubelet/apis/podresources); the kernel goes on showing the name given to bind(2). It is the
//! literal root string, even for a kubelet whose arguments cannot be seen.

/// The roots, as bytes and not yet checked, whose pod-resources socket one of `sockets` listens on.
///
/// A row can be forged: the name of an abstract socket is printed raw, newlines included. What
/// comes out is a claim that has to be confirmed by the directory that it names.
pub(super) fn claimed_roots<'a>(net_unix: &'a [u8], sockets: &[u64]) -> Vec<&'a [u8]> {
    let mut roots: Vec<&[u8]> =
        net_unix.split(|&b| b == b'\n').filter_map(|row| claimed_root(row, sockets)).collect();
    roots.sort_unstable();
    roots.dedup();
    roots
}

/// One row: `Num: RefCount Protocol Flags Type St Inode Path` (proc(5)).
fn claimed_root<'a>(row: &'a [u8], sockets: &[u64]) -> Option<&'a [u8]> {
    let mut rest = row;
    let mut field = || {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let (field, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(field)
    };
    let _number = field()?;
    let (_references, _protocol) = (field()?, field()?);
    // A listener (__SO_ACCEPTCON) of type SOCK_STREAM that is not connected; accepted connections
    // repeat the path with flags 00000000 and state 03.
    let listens = (field()?, field()?, field()?) == (b"00010000", b"0001", b"01");
    let inode: u64 = std::str::from_utf8(field()?).ok()?.parse().ok()?;
    let path = rest.strip_prefix(b" ")?;
    if !listens || !sockets.contains(&inode) {
        return None;
    }
    root_of(path)
}

/// The root of which `path` names the pod-resources socket, under its temporary name or its last.
pub(super) fn root_of(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|&b| b == b'/')?;
    let (directory, name) = (path.get(..cut)?, path.get(cut + 1..)?);
    let named = name == b"kubelet.sock" || (!name.is_empty() && name.iter().all(u8::is_ascii_digit));
    directory.strip_suffix(b"/pod-resources").filter(|root| named && !root.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

    fn roots(rows: &str) -> Vec<String> {
        let text = format!("{HEADER}{rows}");
        let found = claimed_roots(text.as_bytes(), &[176756]);
        found.iter().map(|root| String::from_utf8_lossy(root).into_owned()).collect()
    }

    #[test]
    fn finds_the_literal_root_of_the_listener_that_the_process_holds() {
        let row =
            "00000000e5474c2d: 00000002 00000000 00010000 0001 01 176756 /srv/a b/pod-resources/123456789\n";
        assert_eq!(roots(row), ["/srv/a b"]);
        assert_eq!(roots(&row.replace("123456789", "kubelet.sock")), ["/srv/a b"]);
        assert_eq!(roots(&row.replace("/srv/a b", "var/lib")), ["var/lib"]);
        assert_eq!(roots(&format!("{row}{row}")).len(), 1);
    }

    #[test]
    fn other_sockets_prove_nothing() {
        for row in [
            // Somebody else's listener.
            "0: 2 0 00010000 0001 01 176757 /var/lib/kubelet/pod-resources/1\n",
            // An accepted connection.
            "0: 3 0 00000000 0001 03 176756 /var/lib/kubelet/pod-resources/1\n",
            // The device-plugin socket is at the same place whatever the root.
            "0: 2 0 00010000 0001 01 176756 /var/lib/kubelet/device-plugins/kubelet.sock\n",
            "0: 2 0 00010000 0001 01 176756 /var/lib/kubelet/pod-resources/12a\n",
            "0: 2 0 00010000 0001 01 176756 /pod-resources/1\n",
            "0: 2 0 00010000 0001 01 176756\n",
            "0: 2 0 00010000 0001 01\n",
            "\n",
        ] {
            assert!(roots(row).is_empty(), "{row}");
        }
    }
}
