//! Packages that a system's own package manager is to install.

use super::path::HostPath;

/// What is to be installed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The packages, by the names that the system has for them.
    pub packages: Vec<String>,
    /// The commands, one after the other: a program's name alone, and its arguments. At least one.
    pub commands: Vec<Vec<String>>,
    /// Variables that they need.
    pub environment: Vec<(String, String)>,
    /// Whether the packages are there only after a reboot.
    pub at_reboot: bool,
}

impl Installation {
    /// What is run in the end, as a person would type it.
    pub fn command(&self) -> String {
        self.commands.last().map(|words| words.join(" ")).unwrap_or_default()
    }
}

/// Where programs are that csihost runs by their name: no other directory is looked at, whatever
/// `$PATH` says.
pub fn program_paths(name: &str) -> Vec<HostPath> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|directory| HostPath::from(directory).join(name)).to_vec()
}
