//! Edge: asks the kernel about a Unix socket by its inode (sock_diag(7), UNIX_DIAG).
//!
//! The rows of /proc/net/unix are text into which anyone can write: the name of an abstract
//! socket is printed raw, newlines included. Here a socket is asked for by the inode that a
//! process holds, and its name comes back with its length.

use crate::model::file::FileId;
use crate::model::mount::Device;
use crate::model::process::Listener;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket, socketpair,
};
use nix::sys::stat::fstat;
use std::os::fd::{AsRawFd, OwnedFd};

/// SOCK_DIAG_BY_FAMILY (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST (linux/netlink.h).
const REQUEST: u16 = 1;
/// UDIAG_SHOW_NAME, UDIAG_SHOW_VFS and UDIAG_SHOW_UID (linux/unix_diag.h).
const SHOW: u32 = 1 | 2 | 64;
/// The attributes UNIX_DIAG_NAME, UNIX_DIAG_VFS and UNIX_DIAG_UID.
const NAME: u16 = 0;
const VFS: u16 = 1;
const UID: u16 = 7;
/// SOCK_STREAM, and TCP_LISTEN, which Unix sockets use too.
const STREAM: u8 = 1;
const LISTEN: u8 = 10;

/// A connection to the kernel's socket monitor, in csihost's own network namespace.
#[derive(Debug)]
pub(super) struct Diag(OwnedFd);

impl Diag {
    /// `None` where the kernel was built without it, or does not let csihost ask.
    pub(super) fn open() -> Option<Self> {
        let (family, flags) = (AddressFamily::Netlink, SockFlag::SOCK_CLOEXEC);
        let diag = Self(socket(family, SockType::Raw, flags, SockProtocol::NetlinkSockDiag).ok()?);
        // "There is no such socket" and "there is no UNIX_DIAG" are the same error, ENOENT: ask
        // for a socket that there is.
        let (probe, _peer) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).ok()?;
        diag.ask(fstat(&probe).ok()?.st_ino)?;
        Some(diag)
    }

    /// The socket with `inode`, if it is a stream socket that listens under a path name.
    pub(super) fn listener(&self, inode: u64) -> Option<Listener> {
        listener(&self.ask(inode)?)
    }

    /// Whether the socket with `inode` is a stream socket of root's that listens under the
    /// abstract `name`. Before Linux 5.3 the kernel does not tell whose a socket is.
    pub(super) fn listens_abstractly(&self, inode: u64, name: &[u8]) -> bool {
        let Some(message) = self.ask(inode) else { return false };
        let listens = message.get(1..3) == Some(&[STREAM, LISTEN]);
        let named = attribute(&message, NAME).and_then(|told| told.strip_prefix(b"\0")) == Some(name);
        listens && named && attribute(&message, UID).is_none_or(|uid| word(uid, 0) == Some(0))
    }

    /// The kernel's answer, a unix_diag_msg with its attributes; `None` if it has no such socket.
    fn ask(&self, inode: u64) -> Option<Vec<u8>> {
        let inode = u32::try_from(inode).ok()?;
        let mut request = Vec::with_capacity(40);
        request.extend_from_slice(&40_u32.to_ne_bytes());
        request.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        request.extend_from_slice(&REQUEST.to_ne_bytes());
        request.extend_from_slice(&inode.to_ne_bytes()); // A sequence number: it comes back.
        request.extend_from_slice(&0_u32.to_ne_bytes());
        request.extend_from_slice(&[1, 0, 0, 0]); // AF_UNIX
        // All states; the inode; what to show; no cookie (INET_DIAG_NOCOOKIE).
        for word in [u32::MAX, inode, SHOW, u32::MAX, u32::MAX] {
            request.extend_from_slice(&word.to_ne_bytes());
        }
        let fd = self.0.as_raw_fd();
        // The kernel answers before send(2) returns: nothing is waited for.
        send(fd, &request, MsgFlags::MSG_DONTWAIT).ok()?;
        let mut answer = vec![0; 4096];
        loop {
            let length = recv(fd, &mut answer, MsgFlags::MSG_DONTWAIT).ok()?;
            let message = answer.get(..length)?;
            // An answer to an earlier question that nobody read is skipped.
            if word(message, 8) == Some(inode) {
                let whole = usize::try_from(word(message, 0)?).ok()?;
                let is_answer = half(message, 4)? == BY_FAMILY;
                return is_answer.then(|| message.get(16..whole).map(<[u8]>::to_vec)).flatten();
            }
        }
    }
}

/// Reads a unix_diag_msg: family, type, state, padding, inode, cookie (16 bytes), attributes.
fn listener(message: &[u8]) -> Option<Listener> {
    let (kind, state) = (*message.get(1)?, *message.get(2)?);
    if (kind, state) != (STREAM, LISTEN) {
        return None;
    }
    let file = attribute(message, VFS).and_then(|value| {
        let (inode, device) = (word(value, 0)?, word(value, 4)?);
        Some(FileId { device: Device::from_kernel(device), inode: inode.into() })
    });
    // An abstract name begins with a zero; a path may end in some.
    let name = attribute(message, NAME).filter(|name| name.first().is_some_and(|&b| b != 0))?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some(Listener { name: name.get(..end)?.to_vec(), file })
}

/// The value of an attribute of a unix_diag_msg.
fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(16..)?;
    while let Some(length) = half(rest, 0).map(usize::from).filter(|&length| length >= 4) {
        let value = rest.get(4..length)?;
        if half(rest, 2)? == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    #[test]
    fn a_listener_is_told_with_the_file_that_it_was_bound_to() {
        let Some(diag) = Diag::open() else {
            eprintln!("skipped: this kernel has no UNIX_DIAG");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("123");
        let listening = UnixListener::bind(&path).unwrap();
        std::fs::rename(&path, dir.path().join("kubelet.sock")).unwrap();
        let inode = fstat(&listening).unwrap().st_ino;
        let found = diag.listener(inode).unwrap();
        assert_eq!(found.name, path.as_os_str().as_bytes(), "the name given to bind(2) stays");
        let there = dir.path().join("kubelet.sock").metadata().unwrap();
        assert_eq!(found.file.unwrap().inode, there.ino() & 0xffff_ffff);

        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(diag.listener(fstat(&one).unwrap().st_ino), None, "it does not listen");
        let forged = b"x\n0: 2 0 00010000 0001 01 5 /x/pod-resources/1";
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(forged).unwrap()).unwrap();
        assert_eq!(diag.listener(fstat(&hidden).unwrap().st_ino), None, "it has no path");
        let inode = fstat(&hidden).unwrap().st_ino;
        assert!(diag.listens_abstractly(inode, forged));
        assert!(!diag.listens_abstractly(inode, b"x"), "another name");
        assert_eq!(diag.listener(u64::MAX), None);
        assert_eq!(diag.listener(1), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(mut message: Vec<u8>, listens: bool) {
            if let (true, Some(head)) = (listens, message.get_mut(..3)) {
                head.copy_from_slice(&[1, STREAM, LISTEN]);
            }
            let _ = listener(&message);
        }
    }
}
