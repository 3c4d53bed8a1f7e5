//! Edge: what iSCSI does on this host: sessions, the kernel's control socket, who listens for
//! iscsiadm, and what open-iscsi remembers of targets.

use super::Host;
use super::diag::Diag;
use super::process::Proc;
use super::tree::{Kind, Meta};
use super::walk::Last;
use crate::model::facts::{IscsiState, Mode, Module, NodeRecord};
use crate::model::path::HostPath;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// The kernel lists its sessions here while scsi_transport_iscsi is loaded.
const SESSIONS: &str = "/sys/class/iscsi_session";
/// There while scsi_transport_iscsi is loaded, which has the control socket.
const TRANSPORTS: &str = "/sys/class/iscsi_transport";
/// There where the kernel runs SELinux.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// How long a driver may take from a record to a session.
const SETTLING: Duration = Duration::from_secs(15 * 60);
/// The directories of open-iscsi's database that hold directories (open-iscsi, usr/idbm.h).
const DATABASE: [&str; 6] = ["nodes", "send_targets", "static", "isns", "slp", "fw"];
/// As many files and directories of it are looked at.
const DIRECTORIES: usize = 10_000;
/// The abstract name at which iscsid listens (open-iscsi, usr/mgmt_ipc.h).
const DAEMON: &[u8] = b"ISCSIADM_ABSTRACT_NAMESPACE";

impl Host {
    /// What iSCSI does now. `tcp` is what is known of the module iscsi_tcp, and `nodes` the
    /// directories with node records.
    pub fn iscsi(&self, proc: Option<&Proc<'_>>, tcp: Module, nodes: &[HostPath]) -> IscsiState {
        let mut records: Vec<NodeRecord> = nodes.iter().flat_map(|nodes| self.node_records(nodes)).collect();
        records.sort_by(|a, b| a.path.cmp(&b.path));
        // Only SELinux keeps root out of them.
        let asked = self.mode() == Mode::Offline || self.exists(&HostPath::from(SELINUX));
        let unsearchable = if asked { self.unsearchable(nodes) } else { Vec::new() };
        if self.mode() == Mode::Offline {
            return IscsiState { records, unsearchable, ..IscsiState::default() };
        }
        let sessions = self.session_paths();
        // The kernel has "(null)" for a name that iscsid did not tell it (drivers/scsi/libiscsi.c).
        let is_name = |name: &Vec<u8>| !name.is_empty() && name != b"(null)";
        IscsiState {
            sessions: self.session_values(&sessions, "targetname"),
            session_names: self
                .session_values(&sessions, "initiatorname")
                .into_iter()
                .filter(is_name)
                .collect(),
            control: self.iscsi_control(tcp),
            listening: proc.and_then(|proc| self.iscsid_listens(proc)),
            records,
            unsearchable,
        }
    }

    /// The directories of records without the owner's search bit, those above first.
    fn unsearchable(&self, nodes: &[HostPath]) -> Vec<HostPath> {
        let roots = nodes.iter().filter_map(HostPath::parent).collect::<BTreeSet<_>>();
        let all = roots.iter().flat_map(|root| DATABASE.map(|name| root.join(name)));
        let mut unvisited: Vec<(HostPath, usize)> = all.map(|path| (path, 0)).collect();
        let mut found = Vec::new();
        let mut seen = 0;
        while let Some((path, depth)) = unvisited.pop() {
            seen += 1;
            if seen > DIRECTORIES {
                break;
            }
            let Ok(Some(Meta { kind: Kind::Directory, mode, .. })) = self.meta(&path) else { continue };
            if mode & 0o100 == 0 {
                found.push(path.clone());
            }
            // TARGET, and below it PORTAL, which is a directory where it has a record for each interface.
            if depth < 2 {
                let names = self.list(&path).unwrap_or_default();
                unvisited.extend(names.iter().map(|name| (path.join(name), depth + 1)));
            }
        }
        found.sort();
        found
    }

    /// The targets that sessions are up to.
    pub fn iscsi_sessions(&self) -> Vec<Vec<u8>> {
        self.session_values(&self.session_paths(), "targetname")
    }

    /// The directories of the sessions.
    fn session_paths(&self) -> Vec<HostPath> {
        let sessions = HostPath::from(SESSIONS);
        self.list(&sessions).unwrap_or_default().iter().map(|name| sessions.join(name)).collect()
    }

    /// An attribute of each session (drivers/scsi/scsi_transport_iscsi.c).
    fn session_values(&self, sessions: &[HostPath], attribute: &str) -> Vec<Vec<u8>> {
        let value = |session: &HostPath| {
            let file = self.file(&session.join(attribute));
            file.bytes().unwrap_or_default().trim_ascii_end().to_vec()
        };
        sessions.iter().map(value).collect()
    }

    /// Whether the kernel has iSCSI's control socket.
    ///
    /// To open it loads the module that has it (net-pf-16-proto-8), and looking must change
    /// nothing: where there is a module to load, the answer is left open.
    fn iscsi_control(&self, tcp: Module) -> Option<bool> {
        if self.exists(&HostPath::from(TRANSPORTS)) {
            return Some(true);
        }
        match tcp {
            Module::Loadable | Module::Unknown => None,
            Module::Loaded | Module::BuiltIn | Module::Missing => Some(self.opens_iscsi_control()),
        }
    }

    /// Whether the kernel opens iSCSI's control socket; a module that has it is loaded for that.
    pub fn opens_iscsi_control(&self) -> bool {
        let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkISCSI);
        self.mode() == Mode::Live && socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).is_ok()
    }

    /// Whether something of root's listens at the daemon's address in PID 1's network namespace;
    /// `None` where nobody can tell. The table may name what is not there (abstract names are
    /// printed raw), so the kernel is asked for the socket itself.
    fn iscsid_listens(&self, proc: &Proc<'_>) -> Option<bool> {
        let mut table = Vec::new();
        proc.read("1/net/unix", &mut table).ok()?;
        let diag = Diag::open()?;
        let rows = table.split(|&b| b == b'\n').filter_map(|row| {
            let inode = row.strip_suffix(DAEMON)?.strip_suffix(b" @")?;
            let inode = inode.rsplit(|&b| b == b' ').next()?;
            std::str::from_utf8(inode).ok()?.parse().ok()
        });
        Some(rows.into_iter().any(|inode: u64| diag.listens_abstractly(inode, DAEMON)))
    }

    fn node_records(&self, nodes: &HostPath) -> Vec<NodeRecord> {
        let targets = self.list(nodes).unwrap_or_default();
        let record = |target: Vec<u8>| {
            let path = nodes.join(&target);
            NodeRecord { settled: self.is_settled(&path), damaged: self.damaged(&path), path, target }
        };
        targets.into_iter().map(record).collect()
    }

    /// Parts of the record of a target that hold nothing: `TARGET` without portals, `TARGET/PORTAL` without interfaces, an empty
    /// file in the place of either (open-iscsi, idbm.c).
    fn damaged(&self, record: &HostPath) -> Vec<HostPath> {
        let empty = |path: &HostPath| match self.meta(path) {
            Ok(Some(Meta { kind: Kind::Directory, .. })) => {
                self.list(path).is_ok_and(|names| names.is_empty())
            }
            Ok(Some(Meta { kind: Kind::File, size, .. })) => size == 0,
            _ => false,
        };
        if empty(record) {
            return vec![record.clone()];
        }
        let mut damaged = Vec::new();
        for portal in self.list(record).unwrap_or_default() {
            let portal = record.join(portal);
            if empty(&portal) {
                damaged.push(portal);
                continue;
            }
            let is_directory =
                self.meta(&portal).is_ok_and(|meta| meta.is_some_and(|meta| meta.kind == Kind::Directory));
            if is_directory {
                let interfaces = self.list(&portal).unwrap_or_default();
                damaged.extend(interfaces.iter().map(|name| portal.join(name)).filter(|path| empty(path)));
            }
        }
        damaged
    }

    /// Whether the directory, and what lies in it, is as it was a quarter of an hour ago. A clock
    /// that was set back makes it wait longer.
    fn is_settled(&self, directory: &HostPath) -> bool {
        let names = self.list(directory).unwrap_or_default();
        let within = names.iter().map(|name| directory.join(name));
        let long_ago = SystemTime::now().checked_sub(SETTLING).and_then(|then| {
            let since = then.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()
        });
        std::iter::once(directory.clone()).chain(within).all(|path| {
            let changed = self.walk(&path, Last::Keep).ok().and_then(|walked| walked.found);
            changed.zip(long_ago).is_some_and(|(stat, then)| stat.st_mtime < then)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn directories_of_records_without_a_search_bit_are_found_at_each_depth_and_files_are_not() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join("var/lib/iscsi").join(path);
        for path in
            ["nodes/a/10.0.0.1,3260,1", "nodes/b/10.0.0.1,3260,1", "send_targets/10.0.0.1,3260", "ifaces"]
        {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("nodes/a/10.0.0.1,3260,1/default"), "x").unwrap();
        fs::write(at("nodes/c"), "x").unwrap();
        symlink("../../nodes/a/10.0.0.1,3260,1", at("send_targets/10.0.0.1,3260/a,10.0.0.1,3260,1,default"))
            .unwrap();
        for path in ["nodes/a/10.0.0.1,3260,1", "nodes/b", "send_targets/10.0.0.1,3260"] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let host = Host::open(Some(tree.path())).unwrap();
        let nodes = ["/etc/iscsi/nodes", "/var/lib/iscsi/nodes"].map(HostPath::from);
        let found: Vec<String> =
            host.iscsi(None, Module::Unknown, &nodes).unsearchable.iter().map(ToString::to_string).collect();
        let mut expected = vec!["/var/lib/iscsi/nodes/a/10.0.0.1,3260,1", "/var/lib/iscsi/nodes/b"];
        expected.push("/var/lib/iscsi/send_targets/10.0.0.1,3260");
        assert_eq!(found, expected);
        for path in ["nodes/a/10.0.0.1,3260,1", "nodes/b", "send_targets/10.0.0.1,3260"] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}
