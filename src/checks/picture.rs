//! Pure: facts in, the picture of the node out: what `csihost map` shows.

use super::contract::why;
use crate::model::bytes::shown;
use crate::model::contract::{Contract, Plugin, Propagation, Publisher, Seen};
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::mount::{Device, Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::picture::{Arrow, Breach, Directory, Mounts, Picture, Place, Space, SpaceKind, Tree};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::plugins::believed_root;
use crate::mounts::resolve::place;
use crate::mounts::travel::{Travel, travel};

/// With more plugins than this, those that are alike share a box whatever their drivers are.
const BOXES: usize = 8;

/// The directories of a kubelet that plugins have to do with.
const NAMES: [&str; 4] = ["pods", "plugins", "plugins_registry", "plugins/kubernetes.io/csi"];

const KUBELETS: &str = "the kubelet's root";
const ON_HOST: &str = "the kubelet's root, as the host names it";
const STANDARD: &str = "where CSI drivers look by default";
const BELIEVED: &str = "where this driver was told that the kubelet is";

/// A directory, wherever it is mounted.
type Identity = (Device, Vec<u8>);

/// The directories of the host that are in a picture.
pub fn directories(facts: &Facts) -> Vec<HostPath> {
    let roots = facts.detection.host_dir().cloned().into_iter().chain([HostPath::from(STANDARD_PATH)]);
    let names = NAMES.iter().take(3);
    roots
        .flat_map(|root| std::iter::once(root.clone()).chain(names.clone().map(move |name| root.join(name))))
        .collect()
}

/// The picture of these facts.
pub fn picture(facts: &Facts) -> Picture {
    Painter { facts, picture: Picture::default(), known: Vec::new() }.paint()
}

struct Painter<'a> {
    facts: &'a Facts,
    picture: Picture,
    /// What the picture's directories are.
    known: Vec<Identity>,
}

impl Painter<'_> {
    fn paint(mut self) -> Picture {
        let facts = self.facts;
        let plugins = &facts.plugins;
        self.picture.kubelet_path = facts.detection.kubelet.as_ref().map(|kubelet| kubelet.root_dir.clone());
        match &plugins.kubelet {
            Some(publisher) => match &publisher.mounts {
                Some(table) => {
                    self.kubelet(publisher, table);
                    self.host(SpaceKind::Host, publisher);
                }
                None => self.host(SpaceKind::HostAndKubelet, publisher),
            },
            None => self.host_alone(),
        }
        let beyond = plugins.found.len() > BOXES;
        for (plugin, contract) in plugins.found.iter().zip(&facts.contracts) {
            self.plugin(plugin, contract, beyond);
        }
        self.picture.notes.extend(plugins.unread.iter().cloned());
        self.picture.headline = self.headline();
        self.picture
    }

    fn headline(&self) -> String {
        let (all, broken) = (
            self.facts.contracts.len(),
            self.facts.contracts.iter().filter(|contract| !contract.holds).count(),
        );
        match (&self.picture.kubelet_path, &self.facts.detection.conflict) {
            (None, Some(_)) => "Two kubelets disagree: csihost detect says who says what.".to_owned(),
            (None, None) => "No kubelet is known here.".to_owned(),
            (Some(root), _) if self.facts.plugins.kubelet.is_none() => {
                format!("The kubelet's root is {root}. No kubelet runs, or its mounts are not known.")
            }
            (Some(root), _) if all == 0 => format!("The kubelet's root is {root}. No CSI plugin runs here."),
            (Some(root), _) => {
                let verdict = match (broken, all) {
                    (0, 1) => "What the plugin here mounts there arrives.".to_owned(),
                    (0, all) => format!("What all {all} plugins here mount there arrives."),
                    (_, 1) => "What the plugin here mounts there does not arrive.".to_owned(),
                    (1, all) => format!("What 1 of the {all} plugins here mounts there does not arrive."),
                    (broken, all) => {
                        format!("What {broken} of the {all} plugins here mount there does not arrive.")
                    }
                };
                format!("The kubelet asks plugins for volumes at {root}/pods. {verdict}")
            }
        }
    }

    /// The host, with the kubelet in it or beside it.
    fn host(&mut self, kind: SpaceKind, publisher: &Publisher) {
        let facts = self.facts;
        let standard = HostPath::from(STANDARD_PATH);
        let root = match kind {
            SpaceKind::HostAndKubelet => Some(publisher.root.as_path()),
            _ => facts.detection.host_dir(),
        };
        let role = if kind == SpaceKind::Host { ON_HOST } else { KUBELETS };
        let mut trees: Vec<Tree> = root.iter().map(|root| self.tree_of_host(root, role)).collect();
        if root != Some(&standard) {
            trees.push(self.tree_of_host(&standard, STANDARD));
        }
        let pid = facts.detection.kubelet.as_ref().and_then(|kubelet| kubelet.pid);
        let (name, detail) = match (kind, pid) {
            (SpaceKind::HostAndKubelet, Some(pid)) => {
                ("the host and the kubelet", format!("kubelet: process {pid}"))
            }
            _ => ("the host", String::new()),
        };
        let to = self.push(kind, name.to_owned(), detail, trees);
        if let (SpaceKind::Host, Some(table), Some(root)) = (kind, &publisher.mounts, root) {
            let theirs = place(table, publisher.view.pods.path.as_bytes());
            let here = place(&facts.mounts, root.join("pods").as_bytes());
            if let (Some(theirs), Some(here)) = (theirs, here) {
                let propagation = match travel(theirs.mount, table, here.mount, &facts.mounts) {
                    Travel::Both => Propagation::Bidirectional,
                    Travel::FromFirst => Propagation::ToPlugin,
                    Travel::FromSecond => Propagation::ToKubelet,
                    Travel::Neither => Propagation::None,
                };
                let holds = matches!(propagation, Propagation::Bidirectional | Propagation::ToKubelet);
                self.picture.arrows.push(Arrow { to, propagation, holds });
            }
        }
    }

    /// The host where no kubelet runs.
    fn host_alone(&mut self) {
        let standard = HostPath::from(STANDARD_PATH);
        let root = self.facts.detection.host_dir().cloned();
        let mut trees: Vec<Tree> = root.iter().map(|root| self.tree_of_host(root, KUBELETS)).collect();
        if root.as_ref() != Some(&standard) {
            trees.push(self.tree_of_host(&standard, STANDARD));
        }
        self.push(SpaceKind::Host, "the host".to_owned(), "no kubelet runs".to_owned(), trees);
    }

    fn tree_of_host(&mut self, root: &HostPath, role: &'static str) -> Tree {
        let facts = self.facts;
        let canonical = |path: &HostPath| facts.dirs.get(path).and_then(DirFact::canonical).cloned();
        let link = canonical(root).filter(|real| real != root);
        let mut places = Vec::new();
        for name in NAMES.iter().take(3).copied() {
            let path = root.join(name);
            let absent = matches!(facts.dirs.get(&path), Some(DirFact::Absent { .. } | DirFact::Other(_)));
            let real = canonical(&path).or_else(|| Some(link.as_ref()?.join(name))).unwrap_or(path);
            let at = if absent { None } else { place(&facts.mounts, real.as_bytes()) };
            places.push(self.place(name, at.map(|at| (at.mount, at.inside))));
        }
        Tree { path: root.clone(), role, link, places }
    }

    /// A kubelet in a mount namespace of its own.
    fn kubelet(&mut self, publisher: &Publisher, table: &MountTable) {
        let pods = &publisher.view.pods.path;
        let real = pods.parent().unwrap_or_else(|| publisher.root.as_path().clone());
        let mut places = Vec::new();
        for name in NAMES.iter().take(3).copied() {
            let at = place(table, real.join(name).as_bytes());
            places.push(self.place(name, at.map(|at| (at.mount, at.inside))));
        }
        let path = publisher.root.as_path().clone();
        let link = (real != path).then_some(real);
        let tree = Tree { path, role: KUBELETS, link, places };
        let pid = self.facts.detection.kubelet.as_ref().and_then(|kubelet| kubelet.pid);
        let detail = pid.map_or_else(String::new, |pid| format!("a container, process {pid}"));
        self.push(SpaceKind::Kubelet, "the kubelet".to_owned(), detail, vec![tree]);
    }

    fn plugin(&mut self, plugin: &Plugin, contract: &Contract, beyond: bool) {
        let trees = self.trees_of(plugin, contract);
        let name = plugin.driver.as_deref().map_or_else(|| "a CSI plugin".to_owned(), shown);
        let reason = (!contract.holds).then(|| format!("It {}.", why(contract)));
        let remedy = contract.remedy.clone().unwrap_or_default();
        let like = (1..self.picture.boxes.len()).find(|&at| {
            let Some(space) = self.picture.boxes.get(at) else { return false };
            let same_way =
                self.picture.arrow(at).is_some_and(|arrow| arrow.propagation == contract.propagation);
            let same_fault = self.picture.breach(at).map(|breach| (&breach.reason, &breach.remedy))
                == reason.as_ref().map(|reason| (reason, &remedy));
            space.kind == SpaceKind::Plugin
                && (beyond || space.name == name)
                && space.trees == trees
                && same_way
                && same_fault
        });
        if let Some(space) = like.and_then(|at| self.picture.boxes.get_mut(at)) {
            space.more += 1;
            return;
        }
        let mut detail = match (&plugin.seat.owner.pod, &plugin.seat.mounts) {
            (Some(pod), _) => format!("pod {}, process {}", shown(pod.as_bytes()), plugin.seat.pid),
            (None, None) => format!("process {} of the host", plugin.seat.pid),
            (None, Some(_)) => format!("process {}", plugin.seat.pid),
        };
        if plugin.seat.mounts.is_none() {
            detail.push_str(", sees what the host sees");
        }
        let at = self.push(SpaceKind::Plugin, name, detail, trees);
        self.picture.arrows.push(Arrow { to: at, propagation: contract.propagation, holds: contract.holds });
        if let Some(reason) = reason {
            self.picture.breaches.push(Breach { at, reason, remedy });
        }
    }

    fn trees_of(&mut self, plugin: &Plugin, contract: &Contract) -> Vec<Tree> {
        let Some(publisher) = &self.facts.plugins.kubelet else { return Vec::new() };
        let own = plugin.seat.mounts.as_ref().unwrap_or(&self.facts.mounts);
        let root = publisher.root.as_path();
        let believed = plugin.registration.as_ref().and_then(believed_root);
        let mut roots = vec![(root.clone(), KUBELETS), (HostPath::from(STANDARD_PATH), STANDARD)];
        roots.extend(believed.map(|believed| (believed, BELIEVED)));
        let mut trees: Vec<Tree> = Vec::new();
        for (path, role) in roots {
            if trees.iter().any(|tree| tree.path == path) {
                continue;
            }
            let mut places = Vec::new();
            for name in NAMES {
                let string = match name {
                    "pods" if path == *root => plugin.view.pods.path.clone(),
                    _ => path.join(name),
                };
                // What lies on the container's own root directory was mounted by nobody.
                let at = place(own, string.as_bytes())
                    .filter(|at| plugin.seat.mounts.is_none() || at.mount.point != b"/")
                    .map(|at| (at.mount, at.inside));
                if name == "pods" && path == *root {
                    places.push(self.published(at, contract.seen));
                } else if at.is_some() && (name != "plugins/kubernetes.io/csi" || !has(&places, "plugins")) {
                    places.push(self.place(name, at));
                }
            }
            if !places.is_empty() {
                let role = if path == *root { "where the kubelet asks for volumes" } else { role };
                trees.push(Tree { path, role, link: None, places });
            }
        }
        trees
    }

    /// The directory in which the kubelet wants the volumes of a plugin.
    fn published(&mut self, at: Option<(&Mount, Vec<u8>)>, seen: Seen) -> Place {
        let theirs =
            self.picture.boxes.first().and_then(|space| space.trees.first()?.places.first()?.directory);
        let mut place = self.place("pods", at.filter(|_| seen != Seen::Absent));
        match seen {
            Seen::Same => place.directory = theirs.or(place.directory),
            // The same name of a directory that is there no more.
            Seen::Different if place.directory == theirs => {
                place.directory = Some(self.add("a directory that was deleted".to_owned(), None));
            }
            Seen::Different | Seen::Absent => {}
        }
        place.published = true;
        place
    }

    fn place(&mut self, name: &'static str, at: Option<(&Mount, Vec<u8>)>) -> Place {
        let mounts = at.as_ref().map(|(mount, _)| match (mount.shared, mount.master) {
            (Some(_), _) => Mounts::Shared,
            (None, Some(_)) => Mounts::Receives,
            (None, None) => Mounts::Private,
        });
        let directory = at.map(|(mount, inside)| {
            let identity = (mount.device, inside);
            match self.known.iter().position(|known| *known == identity) {
                Some(at) => at,
                None => {
                    let from = format!(
                        "{} on {} ({})",
                        shown(&identity.1),
                        shown(&mount.source),
                        shown(&mount.fs_type)
                    );
                    self.add(from, Some(identity))
                }
            }
        });
        Place { name, directory, mounts, published: false }
    }

    fn add(&mut self, origin: String, identity: Option<Identity>) -> usize {
        let at = self.picture.directories.len();
        self.picture.directories.push(Directory { letter: letter(at), origin });
        self.known.push(
            identity.unwrap_or((Device { major: u32::MAX, minor: u32::MAX }, at.to_be_bytes().to_vec())),
        );
        at
    }

    fn push(&mut self, kind: SpaceKind, name: String, detail: String, trees: Vec<Tree>) -> usize {
        self.picture.boxes.push(Space { kind, name, detail, more: 0, trees });
        self.picture.boxes.len() - 1
    }
}

fn has(places: &[Place], name: &str) -> bool {
    places.iter().any(|place| place.name == name)
}

/// A, B, … Z, A1, B1, …
fn letter(at: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(at % 26).unwrap_or_default());
    match at / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}
