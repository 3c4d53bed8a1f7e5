//! Pure: the kernel modules that a host needs.

use super::Needs;
use crate::settings::Settings;

impl Needs {
    /// All modules that this distribution and the settings ask for, each once.
    pub fn modules(&self, settings: &Settings) -> Vec<String> {
        let mut names = if settings.iscsi { self.iscsi.modules.clone() } else { Vec::new() };
        for name in settings.features.modules() {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}
