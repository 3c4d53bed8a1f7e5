//! Engine: files, directories and links of a scene.

use super::Gathered;
use crate::host::{Kind, Meta};
use crate::model::path::HostPath;
use crate::scene::archive::{Content, Entry};
use crate::scene::manifest::LeftOut;
use crate::scene::{MODULES, fstab, presentable};

/// Nothing that is configuration is larger.
const LARGEST: u64 = 1 << 20;
/// As many names of one directory as are kept.
const NAMES: usize = 4096;
/// As many paths of a scene as are kept below a kubelet's root.
const SKELETON: usize = 20_000;
/// As many links as the kernel follows.
const LINKS: usize = 40;

/// What was asked for at `path`, whatever it is.
pub(super) fn asked(gathered: &mut Gathered<'_>, path: &HostPath) {
    let Some((at, meta)) = arrive(gathered, path) else { return };
    match meta.kind {
        Kind::Directory => names(gathered, &at),
        Kind::File => file(gathered, &at, meta),
        // A socket stands there as an empty file, a device not at all.
        Kind::Special | Kind::Link => bare(gathered, &at, meta),
    }
}

/// Adds what is on the way to `path`, links that are followed included, and gives where it leads.
fn arrive(gathered: &mut Gathered<'_>, path: &HostPath) -> Option<(HostPath, Meta)> {
    let mut todo: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
    let mut at = HostPath::root();
    let mut links = 0;
    let mut last = None;
    while let Some(name) = todo.pop() {
        at = at.join(&name);
        let meta = match gathered.host.meta(&at) {
            Ok(found) => found?,
            Err(error) => {
                gathered.unread(&at, error);
                return None;
            }
        };
        match meta.kind {
            Kind::Link => {
                links += 1;
                let target = gathered.host.link(&at).ok()?;
                add(gathered, &at, Content::Link(target.clone()), meta);
                if links > LINKS {
                    return None;
                }
                at = match target.first() {
                    Some(b'/') => HostPath::root(),
                    _ => at.parent()?,
                };
                // `..` of a link is taken lexically, after what was walked to: it has no links.
                todo.extend(
                    target.split(|&b| b == b'/').rev().filter(|part| !part.is_empty()).map(<[u8]>::to_vec),
                );
            }
            Kind::Directory => add(gathered, &at, Content::Directory, meta),
            Kind::File | Kind::Special if !todo.is_empty() => return None,
            Kind::File | Kind::Special => {}
        }
        last = Some(meta);
    }
    Some((at, last?))
}

fn add(gathered: &mut Gathered<'_>, path: &HostPath, content: Content, meta: Meta) {
    gathered.entries.add(path.clone(), Entry { content, mode: meta.mode, owner: meta.owner });
}

/// A name without what is behind it.
fn bare(gathered: &mut Gathered<'_>, path: &HostPath, meta: Meta) {
    add(gathered, path, Content::File(Vec::new()), meta);
}

fn file(gathered: &mut Gathered<'_>, path: &HostPath, meta: Meta) {
    if meta.mode & 0o111 != 0 {
        // A program: that it is there is all that is asked.
        return bare(gathered, path, meta);
    }
    if meta.size > LARGEST {
        gathered.left_out.push(LeftOut::new(path.to_string(), format!("{} bytes", meta.size)));
        return bare(gathered, path, meta);
    }
    match gathered.host.read_up_to(path, LARGEST) {
        Ok(text) => add(gathered, path, Content::File(presentable(path, &text)), meta),
        Err(error) => {
            gathered.unread(path, error);
            bare(gathered, path, meta);
        }
    }
}

/// The names in a directory that was listed. Files among them that were read are in the scene by
/// themselves.
fn names(gathered: &mut Gathered<'_>, directory: &HostPath) {
    let listed = match gathered.host.entries(directory, NAMES) {
        Ok(listed) => listed,
        Err(error) => return gathered.unread(directory, error),
    };
    for (name, kind) in listed {
        let path = directory.join(&name);
        match kind {
            Some(Kind::Link) => {
                let meta = Meta { kind: Kind::Link, mode: 0o777, owner: (0, 0), size: 0 };
                if let Ok(target) = gathered.host.link(&path) {
                    add(gathered, &path, Content::Link(target), meta);
                }
            }
            Some(Kind::File) if !gathered.entries.has(&path) => {
                bare(gathered, &path, Meta { kind: Kind::File, mode: 0o644, owner: (0, 0), size: 0 });
            }
            _ => {}
        }
    }
}

/// Units that a live host's systemd knows, by the beginning of their names, and files that say
/// what happened to a node's mounts.
const UNITS: [&str; 17] = [
    "kubelet",
    "k3s",
    "rke2",
    "k0s",
    "snap.microk8s.",
    "snap.k8s.",
    "microshift",
    "docker",
    "containerd",
    "crio",
    "iscsi",
    "open-iscsi",
    "multipathd",
    "csihost",
    "var-lib-kubelet",
    "opt-rke",
    "openshift",
];
const UNIT_DIRECTORIES: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Files that systemd or a person reads in csihost's place.
pub(super) fn usual(gathered: &mut Gathered<'_>) {
    for directory in UNIT_DIRECTORIES.map(HostPath::from) {
        let Some((directory, _)) = arrive(gathered, &directory) else { continue };
        let listed = gathered.host.entries(&directory, NAMES).unwrap_or_default();
        for (name, kind) in listed {
            let ours = UNITS.iter().any(|unit| name.starts_with(unit.as_bytes()));
            let path = directory.join(&name);
            let holds = name.ends_with(b".d") || name.ends_with(b".wants") || name.ends_with(b".requires");
            if kind == Some(Kind::Directory) && holds && (ours || !name.ends_with(b".d")) {
                for (inner, _) in gathered.host.entries(&path, NAMES).unwrap_or_default() {
                    if name.ends_with(b".d") || UNITS.iter().any(|unit| inner.starts_with(unit.as_bytes())) {
                        asked(gathered, &path.join(&inner));
                    }
                }
            } else if ours && !holds {
                asked(gathered, &path);
            }
        }
    }
    let fstab_at = HostPath::from("/etc/fstab");
    if let Ok(text) = gathered.host.read_up_to(&fstab_at, LARGEST) {
        let meta = Meta { kind: Kind::File, mode: 0o644, owner: (0, 0), size: 0 };
        let content = fstab(&text);
        if !content.is_empty() {
            add(gathered, &fstab_at, Content::File(content), meta);
        }
    }
}

/// The kubelet's directories as names, without what volumes hold: nothing below a volume's mount
/// is asked, for it may be the mount of a server that does not answer.
pub(super) fn skeleton(gathered: &mut Gathered<'_>, root: &HostPath) {
    let Some((root, meta)) = arrive(gathered, root) else { return };
    if meta.kind == Kind::Directory {
        level(gathered, &root, &[]);
    }
}

/// How deep each directory of a root is followed, by the names on the way from it.
fn followed(below: &[Vec<u8>]) -> bool {
    let names: Vec<&[u8]> = below.iter().map(Vec::as_slice).collect();
    match names.as_slice() {
        [b"pods", ..] => match names.get(1..) {
            None | Some([] | [_] | [_, b"volumes"] | [_, b"volumes", _]) => true,
            // A CSI volume's own directory is the node's disk; others are the mount itself.
            Some([_, b"volumes", plugin, _]) => *plugin == b"kubernetes.io~csi",
            Some(_) => false,
        },
        // Drivers keep their sockets two or three levels down, and mounts below.
        [b"plugins", rest @ ..] => rest.len() <= 1,
        [b"plugins_registry" | b"pod-resources" | b"device-plugins" | b"pki" | b"checkpoints"] => true,
        [] => true,
        _ => false,
    }
}

fn level(gathered: &mut Gathered<'_>, directory: &HostPath, below: &[Vec<u8>]) {
    let listed = match gathered.host.entries(directory, NAMES) {
        Ok(listed) => listed,
        Err(error) => return gathered.unread(directory, error),
    };
    if listed.len() == NAMES {
        gathered.left_out.push(LeftOut::new(directory.to_string(), format!("names after the first {NAMES}")));
    }
    for (name, kind) in listed {
        if gathered.entries.len() > SKELETON {
            gathered.left_out.push(LeftOut::new(directory.to_string(), "too many names"));
            return;
        }
        // Of a pod only its volumes: projected files have names that say something.
        if matches!(below, [pods, _] if pods == b"pods") && name != b"volumes" {
            continue;
        }
        let path = directory.join(&name);
        let deep: Vec<Vec<u8>> = below.iter().cloned().chain([name]).collect();
        let kind = match kind {
            Some(kind) => kind,
            // Some file systems do not say.
            None => gathered.host.meta(&path).ok().flatten().map_or(Kind::Special, |meta| meta.kind),
        };
        let guess = |mode| Meta { kind, mode, owner: (0, 0), size: 0 };
        match kind {
            // Modes of the first levels count for trust; nothing is mounted there but roots.
            Kind::Directory => {
                let meta = match deep.len() {
                    1 => gathered.host.meta(&path).ok().flatten(),
                    _ => None,
                };
                add(gathered, &path, Content::Directory, meta.unwrap_or(guess(0o750)));
                if followed(&deep) {
                    level(gathered, &path, &deep);
                }
            }
            Kind::Link => {
                if let Ok(target) = gathered.host.link(&path) {
                    add(gathered, &path, Content::Link(target), guess(0o777));
                }
            }
            Kind::File | Kind::Special => bare(gathered, &path, guess(0o640)),
        }
    }
}

/// What the running kernel has of the modules that count.
pub(super) fn kernel(gathered: &mut Gathered<'_>, release: Option<String>) {
    let lib = |release: &String| HostPath::from("/lib/modules").join(release);
    let mut lists = vec![HostPath::from("/proc/modules")];
    for name in ["modules.builtin", "modules.dep"] {
        lists.extend(release.iter().map(|release| lib(release).join(name)));
    }
    for list in lists {
        let Some((at, meta)) = arrive(gathered, &list) else { continue };
        let Ok(text) = gathered.host.read_up_to(&at, 16 * LARGEST) else { continue };
        let ours = text.split_inclusive(|&b| b == b'\n').filter(|line| {
            let first = line.split(|&b| b == b' ' || b == b':').next().unwrap_or_default();
            let file = first.rsplit(|&b| b == b'/').next().unwrap_or_default().trim_ascii();
            let stem: Vec<u8> =
                file.iter().take_while(|b| **b != b'.').map(|&b| if b == b'-' { b'_' } else { b }).collect();
            MODULES.contains(&stem.as_slice())
        });
        let content = Content::File(ours.collect::<Vec<_>>().concat());
        add(gathered, &at, content, meta);
    }
    if let Some(release) = release {
        let meta = Meta { kind: Kind::File, mode: 0o444, owner: (0, 0), size: 0 };
        let text = format!("{release}\n").into_bytes();
        add(gathered, &HostPath::from("/proc/sys/kernel/osrelease"), Content::File(text), meta);
    }
}
