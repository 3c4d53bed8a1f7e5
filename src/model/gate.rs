//! A gate: the directory of a driver's socket, which is covered while no agent grafts the driver.

use super::path::HostPath;
use serde::{Deserialize, Serialize};

/// The file-system type of the mount that closes a gate.
pub const GATE_TYPE: &str = "tmpfs";
/// The source of the mount that closes a gate, as mount tables show it.
pub const GATE_SOURCE: &str = "csihost-gate";

/// The directory of a driver's socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gate {
    /// The driver's name.
    pub driver: String,
    /// The directory on the host, without symbolic links.
    pub directory: HostPath,
}
