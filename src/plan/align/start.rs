//! Pure: how the kubelet of this node will be started.

use crate::model::align::UnitTexts;
use crate::model::facts::Facts;
use crate::model::kubelet::{Declaration, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::service::Service;
use crate::model::unit::UnitName;

/// The next start of the kubelet that is known.
pub(super) struct Start<'a> {
    pub(super) facts: &'a Facts,
    /// What configuration says of it.
    pub(super) declaration: &'a Declaration,
    /// The files of its unit, where it has one.
    pub(super) texts: Option<&'a UnitTexts>,
    /// The main configuration file of k3s or RKE2.
    pub(super) config: Option<&'a HostPath>,
}

impl<'a> Start<'a> {
    /// That of the kubelet that runs, or is to; `None` where nothing says how, or several do.
    pub(super) fn of(facts: &'a Facts) -> Option<Self> {
        let next = facts.next_start.as_ref().filter(|next| next.undecided.is_none())?;
        let kubelet = facts.detection.kubelet.as_ref()?;
        let runs = facts.detection.unit.as_ref();
        let by_unit = next.declarations.iter().find(|d| d.unit.is_some() && d.unit.as_ref() == runs);
        let mut same = next.declarations.iter().filter(|d| d.distribution == kubelet.distribution);
        let declaration =
            by_unit.or_else(|| match (same.next(), same.next(), next.declarations.as_slice()) {
                (Some(only), None, _) => Some(only),
                (None, _, [only]) => Some(only),
                _ => None,
            })?;
        let of_unit = |unit: &UnitName| declaration.unit.as_ref() == Some(unit);
        Some(Self {
            facts,
            declaration,
            texts: next.units.iter().find(|texts| of_unit(&texts.unit)),
            config: next.config_files.iter().find(|(unit, _)| of_unit(unit)).map(|(_, path)| path),
        })
    }

    /// Whether it will use the standard path.
    pub(super) fn is_set(&self) -> bool {
        self.declaration.root == KubeletRoot::standard()
    }

    /// Its service without what csihost's own file `without` says.
    pub(super) fn service(&self, without: &HostPath) -> Option<Service> {
        let texts = self.texts?;
        let files = texts.files.iter().filter(|(path, _)| path != without);
        Some(Service::read(texts.unit.clone(), files.map(|(path, text)| (path.clone(), text.as_slice()))))
    }
}
