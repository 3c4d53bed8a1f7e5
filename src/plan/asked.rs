//! Pure: a list of things that a decision wants to know.

use crate::model::path::HostPath;
use crate::model::unit::UnitName;

/// Things to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interests {
    /// Directories, with what they hold.
    pub dirs: Vec<HostPath>,
    /// Files, whole.
    pub files: Vec<HostPath>,
    /// Programs: whether they are there.
    pub programs: Vec<HostPath>,
    /// Units: their states.
    pub units: Vec<UnitName>,
    /// Those of them that csihost may enable: whether they are started at boot.
    pub enablement: Vec<UnitName>,
    /// Kernel modules.
    pub modules: Vec<String>,
}
