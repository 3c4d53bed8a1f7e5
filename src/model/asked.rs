//! What a decision or a check wants to know, so that nothing else is read.

use super::path::HostPath;
use super::unit::UnitName;

/// Things to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interests {
    /// Directories, with what they hold.
    pub dirs: Vec<HostPath>,
    /// Directories, with all that lies below them.
    pub surveys: Vec<HostPath>,
    /// Files, whole.
    pub files: Vec<HostPath>,
    /// Programs: whether they are there.
    pub programs: Vec<HostPath>,
    /// Units: their states.
    pub units: Vec<UnitName>,
    /// Those of them of which it matters whether they are started at boot.
    pub enablement: Vec<UnitName>,
    /// Kernel modules.
    pub modules: Vec<String>,
}

impl Interests {
    /// Adds what somebody else wants to know.
    pub fn extend(&mut self, other: Self) {
        self.dirs.extend(other.dirs);
        self.files.extend(other.files);
        self.programs.extend(other.programs);
        self.units.extend(other.units);
        self.enablement.extend(other.enablement);
        self.modules.extend(other.modules);
    }
}
