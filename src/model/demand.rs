//! The needs of the CSI drivers of this node, as far as the host has to meet them.
//!
//! `profile::demand` computes a [`Demand`] once for each observation; plan and checks read it.

use std::collections::BTreeSet;

/// The reason for which the host is, or is not, made ready for iSCSI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IscsiDemand {
    /// `iscsi.enabled = true`.
    BySetting,
    /// No driver is known on this node, and Longhorn's needs are the default.
    ByDefault,
    /// These drivers attach volumes over iSCSI.
    ByDrivers(Vec<String>),
    /// These drivers have no driver profile, so iSCSI may be among their needs.
    ByUnknown(Vec<String>),
    /// iSCSI is one of several protocols of these drivers, and nothing shows which of them is used.
    ByPossible(Vec<String>),
    /// All drivers of this node are known, and none uses iSCSI.
    NotNeeded(Vec<String>),
    /// `iscsi.enabled = false`.
    Disabled,
}

impl IscsiDemand {
    /// Returns true if the host has to be ready for iSCSI.
    pub fn is_needed(&self) -> bool {
        !matches!(self, Self::NotNeeded(_) | Self::Disabled)
    }
}

/// The needs of one protocol by which a driver attaches or mounts volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtocolNeeds {
    /// The name of the protocol in its driver profile.
    pub name: String,
    /// True if it uses the host's iscsid.
    pub iscsi: bool,
    /// Kernel modules that have to be loaded beforehand.
    pub modules: Vec<String>,
    /// Kernel modules that are loaded beforehand where the kernel has them, for a feature that few volumes use.
    pub optional_modules: Vec<String>,
    /// Kernel modules that are loaded on demand, and have to exist.
    pub loadable: Vec<String>,
    /// Programs that the driver runs on the host, by name.
    pub programs: Vec<String>,
    /// Programs that the documentation of the driver asks for, and that no volume was seen to need.
    pub recommended: Vec<String>,
    /// systemd services that have to run.
    pub services: Vec<String>,
    /// Files that have to exist.
    pub files: Vec<super::path::HostPath>,
    /// The value of find_multipaths in multipath.conf(5).
    pub find_multipaths: Option<String>,
    /// Huge pages of 2 MiB.
    pub huge_pages: u64,
    /// Flags of the processor in /proc/cpuinfo.
    pub cpu: Vec<CpuFlag>,
    /// An advice for the administrator that does not follow from the above.
    pub note: Option<String>,
}

/// A flag of /proc/cpuinfo that one architecture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuFlag {
    /// amd64: SSE4.2 (`sse4_2`).
    Sse42,
    /// arm64: Advanced SIMD (`asimd`).
    Asimd,
}

/// One protocol of one driver that this node has to support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverNeeds {
    /// The driver's name.
    pub driver: String,
    /// The needs.
    pub needs: ProtocolNeeds,
    /// True if the protocol is the driver's only one or was chosen by a setting. Otherwise what the host has of it
    /// suggests that it is used.
    pub certain: bool,
    /// True if the driver is registered now or expected; false for one that is only remembered or has left traces.
    pub present: bool,
}

/// A driver with several protocols, of which the host has nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprepared {
    /// The driver's name.
    pub driver: String,
    /// The protocols, one of which the host needs.
    pub protocols: Vec<ProtocolNeeds>,
}

/// What the drivers of this node, and the settings, need of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// iSCSI.
    pub iscsi: IscsiDemand,
    /// The protocols that are in use.
    pub drivers: Vec<DriverNeeds>,
    /// Drivers of which no protocol is in use.
    pub unprepared: Vec<Unprepared>,
    /// Drivers without a driver profile.
    pub unknown: Vec<String>,
    /// Drivers that may use iSCSI or another protocol.
    pub undecided: Vec<String>,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            iscsi: IscsiDemand::ByDefault,
            drivers: Vec::new(),
            unprepared: Vec::new(),
            unknown: Vec::new(),
            undecided: Vec::new(),
        }
    }
}

impl Demand {
    /// The kernel modules that have to be loaded, each once, those that the kernel may lack among them.
    pub fn modules(&self) -> Vec<&str> {
        let certain = self.drivers.iter().filter(|driver| driver.certain).map(|driver| &driver.needs);
        once(certain.flat_map(|needs| needs.modules.iter().chain(&needs.optional_modules)))
    }

    /// True for a kernel module without which all but a few volumes work.
    pub fn is_optional(&self, module: &str) -> bool {
        let mut needs = self.drivers.iter().map(|driver| &driver.needs);
        let has = |names: &[String]| names.iter().any(|name| name == module);
        needs.clone().any(|needs| has(&needs.optional_modules))
            && !needs.any(|needs| has(&needs.modules) || has(&needs.loadable))
    }

    /// The kernel modules that are loaded on demand, each once.
    pub fn loadable(&self) -> Vec<&str> {
        once(self.drivers.iter().filter(|driver| driver.certain).flat_map(|driver| &driver.needs.loadable))
    }

    /// The drivers that need a kernel module.
    pub fn who_needs(&self, module: &str) -> Vec<&str> {
        let needs = |one: &&DriverNeeds| {
            one.needs
                .modules
                .iter()
                .chain(&one.needs.optional_modules)
                .chain(&one.needs.loadable)
                .any(|m| m == module)
        };
        let names: BTreeSet<&str> =
            self.drivers.iter().filter(needs).map(|driver| driver.driver.as_str()).collect();
        names.into_iter().collect()
    }

    /// The largest number of huge pages of 2 MiB that a driver needs, and the driver.
    pub fn huge_pages(&self) -> Option<(u64, &str)> {
        let all = self.drivers.iter().filter(|driver| driver.certain && driver.needs.huge_pages > 0);
        all.map(|one| (one.needs.huge_pages, one.driver.as_str())).max()
    }

    /// The flags of the processor that drivers need, each once.
    pub fn cpu(&self) -> BTreeSet<CpuFlag> {
        self.drivers.iter().flat_map(|driver| driver.needs.cpu.iter().copied()).collect()
    }
}

fn once<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.map(String::as_str).filter(|name| seen.insert(*name)).collect()
}
