//! Pure: what one running process shows of its kubelet's root.
//!
//! Ranked as it can be relied on: the listener is the literal string that plugins are sent; the
//! arguments are what the process was started with; watches and volume mounts confirm either.

use super::program::Program;
use super::world::World;
use super::{arguments, listener, volumes};
use crate::model::bytes::shown;
use crate::model::file::{FileId, Trust};
use crate::model::kubelet::{Declaration, Evidence, KubeletRoot, Rejection, RejectionReason, Source};
use crate::model::mount::Mount;
use crate::model::path::HostPath;
use crate::model::process::Process;

/// What one process shows.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// What holds.
    pub(super) evidence: Vec<Evidence>,
    /// What does not.
    pub(super) rejected: Vec<Rejection>,
    /// The process does use a root, and it is one that was refused: nothing else may take its
    /// place.
    pub(super) refused: bool,
}

type Refusal = (RejectionReason, String);

/// Looks at all that `process` shows.
pub(super) fn of(
    process: &Process,
    program: Program,
    declarations: &[Declaration],
    world: &dyn World,
) -> Claims {
    let mut claims = Claims::default();
    let mut roots: Vec<KubeletRoot> = Vec::new();
    let mut take = |claims: &mut Claims, source, rank, taken: Result<KubeletRoot, Refusal>| match taken {
        Ok(value) => {
            claims.evidence.push(Evidence {
                source,
                pid: Some(process.pid),
                value: value.clone(),
                rank,
                applies: None,
            });
            if !roots.contains(&value) {
                roots.push(value);
            }
            true
        }
        Err((reason, detail)) => {
            claims.rejected.push(Rejection { pid: Some(process.pid), reason, detail });
            false
        }
    };
    match &process.listeners {
        Some(listeners) => {
            for socket in listeners {
                let Some(root) = listener::root_of(&socket.name) else { continue };
                let taken = listening_root(process, root, socket.file, world);
                claims.refused |= !take(&mut claims, Source::PodResourcesSocket, 1, taken);
            }
        }
        None => {
            for root in listener::claimed_roots(&process.net_unix, &process.sockets) {
                take(&mut claims, Source::PodResourcesSocket, 1, listening_root(process, root, None, world));
            }
        }
    }
    let given = match program {
        Program::Kubelet => {
            let given = arguments::flag(&process.args, "root-dir");
            Some(given.map_or_else(|| Ok(KubeletRoot::standard()), |given| parse(given, "--root-dir")))
        }
        // k3s up to 1.19.0, and whoever does not let it wipe them.
        Program::K3s => {
            arguments::kubelet_arg(&process.args, "root-dir").map(|given| parse(given, "--kubelet-arg"))
        }
        Program::Kubelite | Program::Microshift => None,
    };
    if let Some(given) = given {
        let trusted = given.and_then(|root| match untrusted(process, &root, world) {
            None => Ok(root),
            Some(detail) => Err((RejectionReason::UntrustedPath, detail)),
        });
        claims.refused |= !take(&mut claims, Source::ProcessArguments, 2, trusted);
    }
    confirm(process, roots, declarations, world, &mut claims);
    claims
}

/// Adds what the process watches and has mounted below roots that it named already. One that
/// named none (an embedded kubelet that does not listen yet) is tried with what configuration
/// names, and with the default.
fn confirm(
    process: &Process,
    named: Vec<KubeletRoot>,
    declarations: &[Declaration],
    world: &dyn World,
    claims: &mut Claims,
) {
    let guessed = named.is_empty();
    let roots = match guessed {
        true if claims.refused => return,
        true => {
            let mut roots: Vec<KubeletRoot> = declarations.iter().map(|d| d.root.clone()).collect();
            roots.push(KubeletRoot::standard());
            roots.retain(|root| untrusted(process, root, world).is_none());
            roots
        }
        false => named,
    };
    let watched = roots.iter().filter(|root| watches(process, root, world));
    // A bridge gives one directory several names, and one watch: the first name that fits.
    let watched: Vec<&KubeletRoot> = watched.take(if guessed { 1 } else { usize::MAX }).collect();
    let mounted = roots.iter().filter(|root| {
        // Volumes outlive a kubelet: by themselves they do not choose between guesses.
        let chosen = !guessed || watched.contains(root);
        let root = world.canonical(Some(process), root.as_path());
        chosen && volumes::mounted_below(world.mounts(process), root.as_bytes())
    });
    let evidence = |source, rank| {
        move |root: &KubeletRoot| Evidence {
            source,
            pid: Some(process.pid),
            value: root.clone(),
            rank,
            applies: None,
        }
    };
    let found = watched.iter().copied().map(evidence(Source::InotifyWatch, 3));
    claims.evidence.extend(found.chain(mounted.map(evidence(Source::VolumeMounts, 4))));
}

/// Whether `process` watches for plugins below `root`: in plugins_registry since Kubernetes 1.13,
/// in plugins up to 1.16 (pkg/kubelet/pluginmanager).
fn watches(process: &Process, root: &KubeletRoot, world: &dyn World) -> bool {
    !process.watches.is_empty()
        && ["plugins_registry", "plugins"].iter().any(|name| {
            let directory = world.ids(process, &root.as_path().join(name)).unwrap_or_default();
            directory.ids.iter().any(|id| process.watches.contains(id))
        })
}

fn parse(given: &[u8], what: &str) -> Result<KubeletRoot, Refusal> {
    KubeletRoot::parse(given).map_err(|error| {
        let detail = format!("{what}: {error}: it means whatever the kubelet's directory makes of it");
        (RejectionReason::RelativePath, detail)
    })
}

/// The root that a listener claims, confirmed by the directory that it names: anyone can forge a
/// row of /proc/PID/net/unix, and only root can make `<root>/pod-resources` where only root can
/// write. `file` is what the kernel says the socket was bound to, where it could be asked.
fn listening_root(
    process: &Process,
    claim: &[u8],
    file: Option<FileId>,
    world: &dyn World,
) -> Result<KubeletRoot, Refusal> {
    let refuse = |detail| Err((RejectionReason::UntrustedPath, detail));
    let root = KubeletRoot::parse(claim).map_err(|error| {
        (RejectionReason::RelativePath, format!("a pod-resources socket below {}: {error}", shown(claim)))
    })?;
    if let Some(detail) = untrusted(process, &root, world) {
        return refuse(detail);
    }
    if let Some(detail) = file.and_then(|file| beneath(process, &root, file, world)) {
        return Err((RejectionReason::Beneath, detail));
    }
    let directory = root.as_path().join("pod-resources");
    let resolved = world.canonical(Some(process), root.as_path());
    match world.trust(Some(process), &directory) {
        Trust::Root => {}
        // The root's own looseness is a warning.
        Trust::Untrusted { path, .. } if path == resolved => {}
        Trust::Missing(error) => {
            return refuse(format!("a listener claims {root}, but {error}: the name is forged"));
        }
        Trust::WritableItself { mode } => {
            return refuse(format!("{directory} can be written by others (mode {mode:04o})"));
        }
        Trust::Untrusted { path, mode, uid } => return refuse(who_writes(&path, mode, uid)),
    }
    let socket = directory.join("kubelet.sock");
    if world.is_socket(process, &socket) == Some(false) {
        return refuse(format!("a listener claims {root}, but {socket} is no socket: the name is forged"));
    }
    if let (Some(file), Some(there)) = (file, world.ids(process, &socket)) {
        // sock_diag tells 32 bits of the inode's number.
        let same = |id: &FileId| id.device == file.device && id.inode & 0xffff_ffff == file.inode;
        if there.sure && !there.ids.iter().any(same) {
            return refuse(format!("a listener claims {root}, but {socket} is another socket"));
        }
    }
    Ok(root)
}

/// Explains that the socket of a listener below `root` lies beneath a mount there, by the file that the kernel reports for it.
fn beneath(process: &Process, root: &KubeletRoot, file: FileId, world: &dyn World) -> Option<String> {
    let table = world.mounts(process);
    let path = world.canonical(Some(process), root.as_path());
    let holds = |mount: &&Mount| HostPath::parse(&mount.point).is_ok_and(|point| path.starts_with(&point));
    // The last one at the deepest point is what is in sight there.
    let top = table.iter().filter(holds).max_by_key(|mount| mount.point.len())?;
    let is_over = top.point != b"/" && top.device != file.device;
    let below = || table.iter().filter(holds).any(|mount| mount.device == file.device);
    (is_over && below()).then(|| {
        format!(
            "process {} listens below {root}, beneath the {} mount at {}: that was mounted after the kubelet started",
            process.pid,
            shown(&top.fs_type),
            shown(&top.point)
        )
    })
}

/// Why `root` cannot be relied on: others than root can change what it names.
fn untrusted(process: &Process, root: &KubeletRoot, world: &dyn World) -> Option<String> {
    untrusted_path(Some(process), root.as_path(), world)
}

/// Why `path` cannot be relied on.
pub(super) fn untrusted_path(
    process: Option<&Process>,
    path: &HostPath,
    world: &dyn World,
) -> Option<String> {
    match world.trust(process, path) {
        Trust::Untrusted { path, mode, uid } => Some(who_writes(&path, mode, uid)),
        Trust::Root | Trust::WritableItself { .. } | Trust::Missing(_) => None,
    }
}

fn who_writes(path: &HostPath, mode: u32, uid: u32) -> String {
    match uid {
        0 => format!("others than root can write to {path} (mode {mode:04o})"),
        uid => format!("{path} belongs to user {uid}"),
    }
}
