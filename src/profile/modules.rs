//! Pure: the kernel modules that a host needs.

use super::Needs;
use crate::model::demand::Demand;
use crate::settings::Settings;

impl Needs {
    /// All modules that have to be loaded for this distribution's iSCSI, the settings and the drivers, each once.
    pub fn modules(&self, settings: &Settings, demand: &Demand) -> Vec<String> {
        let mut names = if demand.iscsi.is_needed() { self.iscsi.modules.clone() } else { Vec::new() };
        for name in settings.features.modules().into_iter().chain(demand.modules()) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}
