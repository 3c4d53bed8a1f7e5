//! The node as a picture: who sees which of the kubelet's directories, and which way mounts travel.
//!
//! All texts in it are as csihost shows bytes: names come from containers.

use super::contract::Propagation;
use super::kubelet::KubeletRoot;
use super::path::HostPath;
use serde::Serialize;

/// The picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// The string that the kubelet sends to plugins.
    pub kubelet_path: Option<KubeletRoot>,
    /// What the picture says in one sentence.
    pub headline: String,
    /// Mount namespaces; the first is the kubelet's, or the host's where no kubelet runs.
    pub boxes: Vec<Space>,
    /// The directories, each of which may be in several places.
    pub directories: Vec<Directory>,
    /// Ways between the kubelet's box and another one.
    pub arrows: Vec<Arrow>,
    /// What is broken.
    pub breaches: Vec<Breach>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpaceKind {
    /// The host, in which no kubelet runs.
    Host,
    /// The host and the kubelet, which share a mount namespace.
    HostAndKubelet,
    /// A kubelet with a mount namespace of its own.
    Kubelet,
    /// A CSI plugin.
    Plugin,
}

/// One mount namespace, or several that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Space {
    /// What it is.
    pub kind: SpaceKind,
    /// Its name: a driver's, for instance.
    pub name: String,
    /// Which pod, which process.
    pub detail: String,
    /// As many more are like it.
    pub more: usize,
    /// What is to be seen in it.
    pub trees: Vec<Tree>,
}

/// A root directory and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// Its path in this namespace.
    pub path: HostPath,
    /// What it is to Kubernetes.
    pub role: &'static str,
    /// What it is a symbolic link to.
    pub link: Option<HostPath>,
    /// The directories below it.
    pub places: Vec<Place>,
}

/// Where a directory is, or is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its path below the tree's.
    pub name: &'static str,
    /// Which of the picture's directories it is; `None` where nothing is there.
    pub directory: Option<usize>,
    /// What becomes of mounts that are made there.
    pub mounts: Option<Mounts>,
    /// Volumes are published below it.
    pub published: bool,
}

/// What becomes of mounts that are made in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mounts {
    /// They are passed on, and those of peers come in.
    Shared,
    /// They stay, and those of others come in.
    Receives,
    /// They stay, and none comes in.
    Private,
}

impl Mounts {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Receives => "receives",
            Self::Private => "private",
        }
    }
}

/// A directory, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// The letter that stands for it.
    pub letter: String,
    /// Where it comes from: a file system and the path in it.
    pub origin: String,
}

/// Which way mounts travel between the kubelet's box and another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrow {
    /// The index of the other box.
    pub to: usize,
    /// The way, as contracts say it.
    pub propagation: Propagation,
    /// Whether this is as it should be.
    pub holds: bool,
}

/// What is broken, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The index of its box.
    pub at: usize,
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Picture {
    /// The way between the kubelet and the box with this index.
    pub fn arrow(&self, to: usize) -> Option<&Arrow> {
        self.arrows.iter().find(|arrow| arrow.to == to)
    }

    /// What is broken about the box with this index.
    pub fn breach(&self, at: usize) -> Option<&Breach> {
        self.breaches.iter().find(|breach| breach.at == at)
    }

    /// The directory of a place.
    pub fn directory(&self, place: &Place) -> Option<&Directory> {
        self.directories.get(place.directory?)
    }
}

impl Arrow {
    /// What it says, to somebody who has never heard of propagation.
    pub fn words(&self) -> &'static str {
        match self.propagation {
            Propagation::Bidirectional => "mounts travel both ways",
            Propagation::ToKubelet => "mounts travel to the kubelet",
            Propagation::ToPlugin => "mounts travel away from the kubelet only",
            Propagation::None => "mounts do not travel",
        }
    }
}
