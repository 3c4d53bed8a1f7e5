//! Engine: processes of a scene.
//!
//! Read through the same walk as files: a live /proc is a directory like any other, but for links
//! that are only read and never followed.

use super::Gathered;
use crate::detect::{self, Look};
use crate::host::HostError;
use crate::model::path::HostPath;
use crate::scene::archive::{Content, Entry};
use crate::scene::manifest::{Captured, LeftOut};
use crate::scene::processes::{Role, by_arguments, sees_the_kubelet};
use crate::scene::{cmdline, mountinfo, net_unix};
use std::collections::HashMap;

/// As in [`crate::host::process`]: nothing that a process can blow up is read beyond this.
const LARGEST: u64 = 32 << 20;
/// As many bytes of the arguments of one process are read; what follows them is missing in the snapshot.
const LONGEST: u64 = 512 << 10;
/// As many processes of one mount namespace as are kept: all of a container see the same.
const OF_A_CONTAINER: usize = 4;
/// As many processes of a scene.
const PROCESSES: usize = 1_000;

fn proc(pid: i32, name: &str) -> HostPath {
    HostPath::from("/proc").join(format!("{pid}/{name}"))
}

/// Adds each process that belongs in the scene, and says which ones did.
pub(super) fn all(gathered: &mut Gathered<'_>, roots: &[HostPath]) -> Vec<Captured> {
    let mut texts = Texts::default();
    let mut captured = Vec::new();
    // Mount namespace → whether it sees the kubelet's directories, and how many of it are in.
    let mut namespaces: HashMap<Vec<u8>, (bool, usize)> = HashMap::new();
    let host_namespace = namespace(gathered, 1, "ns/mnt").unwrap_or_default();
    let names = gathered.host.list(&HostPath::from("/proc")).unwrap_or_default();
    let mut pids: Vec<i32> =
        names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        if captured.len() >= PROCESSES {
            gathered.left_out.push(LeftOut::new("processes", format!("more than {PROCESSES}")));
            break;
        }
        // Gone by now, or a thread of the kernel's.
        let Ok(arguments) = gathered.host.read_up_to(&proc(pid, "cmdline"), LONGEST) else { continue };
        let role = match () {
            () if pid == 1 => Some(Role::Init),
            () => match (detect::look(&arguments), by_arguments(&arguments)) {
                (Look::Candidate, _) => Some(Role::Kubelet),
                (_, Some(role)) => Some(role),
                (Look::Mention(_), None) => Some(Role::LookAlike),
                (Look::Other, None) => None,
            },
        };
        let role = role.or_else(|| {
            let namespace = gathered.host.link(&proc(pid, "ns/mnt")).ok()?;
            if namespace == host_namespace || arguments.is_empty() {
                return None;
            }
            let known = namespaces.entry(namespace).or_insert_with(|| {
                let table = gathered.host.read_up_to(&proc(pid, "mountinfo"), LARGEST).unwrap_or_default();
                (sees_the_kubelet(&table, roots), 0)
            });
            known.1 += 1;
            (known.0 && known.1 <= OF_A_CONTAINER).then_some(Role::Plugin)
        });
        if let Some(role) = role
            && one(gathered, &mut texts, pid, role, &arguments)
        {
            captured.push(Captured { pid, role });
        }
    }
    captured
}

/// Large texts that are the same for many processes are kept once, the others are links to it.
#[derive(Default)]
struct Texts(HashMap<Vec<u8>, (i32, &'static str)>);

impl Texts {
    fn content(&mut self, pid: i32, name: &'static str, text: Vec<u8>) -> Content {
        if let Some((first, name)) = self.0.get(&text) {
            let up = "../".repeat(name.split('/').count());
            return Content::Link(format!("{up}{first}/{name}").into_bytes());
        }
        self.0.insert(text.clone(), (pid, name));
        Content::File(text)
    }
}

/// Adds one process. `false` if it is no longer the one that it was: then nothing is added.
fn one(gathered: &mut Gathered<'_>, texts: &mut Texts, pid: i32, role: Role, arguments: &[u8]) -> bool {
    let before = start(gathered, pid);
    let mut found: Vec<(HostPath, Content)> = Vec::new();
    found.push((proc(pid, "cmdline"), Content::File(cmdline(arguments))));
    found.push((proc(pid, "root"), Content::Link(b"/".to_vec())));
    for name in ["status", "stat", "comm", "cgroup"] {
        match gathered.host.read_up_to(&proc(pid, name), LARGEST) {
            Ok(text) => found.push((proc(pid, name), Content::File(text))),
            Err(_) if name == "stat" => {}
            Err(error) => gathered.unread(&proc(pid, name), error),
        }
    }
    for name in ["ns/mnt", "ns/pid", "ns/user", "ns/net", "exe"] {
        match namespace(gathered, pid, name) {
            Ok(target) => found.push((proc(pid, name), Content::Link(target))),
            // A kernel's thread has none.
            Err(error) if pid == 1 => gathered.unread(&proc(pid, name), error),
            Err(_) => {}
        }
    }
    match gathered.host.read_up_to(&proc(pid, "mountinfo"), LARGEST) {
        Ok(text) => found.push((proc(pid, "mountinfo"), texts.content(pid, "mountinfo", mountinfo(&text)))),
        Err(error) => gathered.unread(&proc(pid, "mountinfo"), error),
    }
    if matches!(role, Role::Kubelet | Role::Registrar | Role::Plugin) {
        descriptors(gathered, pid, &mut found);
        match gathered.host.read_up_to(&proc(pid, "net/unix"), LARGEST) {
            Ok(text) => found.push((proc(pid, "net/unix"), texts.content(pid, "net/unix", net_unix(&text)))),
            Err(error) => gathered.unread(&proc(pid, "net/unix"), error),
        }
    }
    if start(gathered, pid) != before {
        return false;
    }
    for (path, content) in found {
        let mode = if matches!(content, Content::Link(_)) { 0o777 } else { 0o444 };
        gathered.entries.add(path, Entry { content, mode, owner: (0, 0) });
    }
    true
}

/// A link of a process. PID 1's namespaces are closed in some machines, even to root: there
/// csihost's own stand for the host's, in detection and here.
fn namespace(gathered: &Gathered<'_>, pid: i32, name: &str) -> Result<Vec<u8>, HostError> {
    let found = gathered.host.link(&proc(pid, name));
    match found {
        Err(error) if pid == 1 && name.starts_with("ns/") => {
            gathered.host.link(&HostPath::from("/proc/self").join(name)).map_err(|_| error)
        }
        found => found,
    }
}

/// Sockets, watches and the like among the open files; other files' names are nobody's business.
fn descriptors(gathered: &mut Gathered<'_>, pid: i32, found: &mut Vec<(HostPath, Content)>) {
    let listed = match gathered.host.list(&proc(pid, "fd")) {
        Ok(listed) => listed,
        Err(error) => return gathered.unread(&proc(pid, "fd"), error),
    };
    for name in listed {
        let Ok(number) = std::str::from_utf8(&name) else { continue };
        let at = proc(pid, &format!("fd/{number}"));
        let Ok(target) = gathered.host.link(&at) else { continue };
        if !target.starts_with(b"socket:[") && !target.starts_with(b"anon_inode:") {
            continue;
        }
        if target == b"anon_inode:inotify" {
            let info = proc(pid, &format!("fdinfo/{number}"));
            if let Ok(text) = gathered.host.read_up_to(&info, LARGEST) {
                found.push((info, Content::File(text)));
            }
        }
        found.push((at, Content::Link(target)));
    }
}

/// The start time among what /proc/PID/stat says: the number after the name may come again.
fn start(gathered: &Gathered<'_>, pid: i32) -> Option<Vec<u8>> {
    let text = gathered.host.read_up_to(&proc(pid, "stat"), LARGEST).ok()?;
    let after = text.iter().rposition(|&b| b == b')')?;
    text.get(after..)?.split(|&b| b == b' ').nth(20).map(<[u8]>::to_vec)
}
