//! A graft: the kubelet root's string made to exist inside a plugin, by what the plugin already has of
//! the kubelet's directories under another name.

use super::path::HostPath;
use serde::{Deserialize, Serialize};

/// What is grafted into one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graft {
    /// Whose it is, for people: its driver, or its pod.
    pub name: String,
    /// A process of the container.
    pub pid: i32,
    /// When that process started: another one of that number is not meant.
    pub started: u64,
    /// Its mount namespace, by the inode of /proc/PID/ns/mnt.
    pub namespace: u64,
    /// What is bound, in this order: `pods`, which decides the contract, comes last.
    pub binds: Vec<Bind>,
}

/// A directory of a container, and where else it is to be seen in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// As the container names it.
    pub from: HostPath,
    /// Below the kubelet root's string.
    pub to: HostPath,
}
