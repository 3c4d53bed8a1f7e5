//! Pure: whether the kernel, and the machine under it, can do what volumes need.

use super::newer::{self, Place};
use super::own_kernel::is_own;
use crate::model::asked::Interests;
use crate::model::bytes::shown;
use crate::model::checks::MODULE;
use crate::model::demand::{CpuFlag, Demand, DriverNeeds};
use crate::model::facts::{Facts, Machine, Mode, Module};
use crate::model::file::{DirFact, FileFact};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::profile::Needs;
use crate::settings::{LONGHORN, Settings};

/// What Longhorn recommends (longhorn, scripts/environment_check.sh).
const RECOMMENDED: Version = Version(5, 8);
/// What its second engine needs, and recommends (longhorn.io, v2-data-engine/prerequisites).
const V2_NEEDS: Version = Version(5, 19);
const V2_RECOMMENDED: Version = Version(6, 7);

const CPUINFO: &str = "/proc/cpuinfo";
/// Names the kind of container in which systemd runs (systemd's `src/basic/virt.c`).
const CONTAINER: &str = "/run/systemd/container";
/// There in the machine's first network namespace alone (`net/core/sysctl_net_core.c`).
const FIRST_NETWORK: &str = "/proc/sys/net/core/netdev_max_backlog";

pub(super) fn interests(machine: &Machine, demand: &Demand, interests: &mut Interests) {
    interests.dirs.extend(machine.kernel.as_deref().map(modules_of));
    interests.files.extend([CONTAINER, FIRST_NETWORK].map(HostPath::from));
    if !demand.cpu().is_empty() {
        interests.files.push(HostPath::from(CPUINFO));
    }
}

fn modules_of(release: &str) -> HostPath {
    HostPath::from("/lib/modules").join(release)
}

/// The first two numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// Reads `5.15.0-91-generic`, and without its `v` `v1.31.8+k0s`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// The kind of container that this node is, such as `lxc` or `systemd-nspawn`; none on a machine.
pub(super) fn container(facts: &Facts) -> Option<String> {
    let file = facts.file(&HostPath::from(CONTAINER));
    let kind = file.bytes().unwrap_or_default().trim_ascii();
    // WSL's distributions have a kernel of their own, and systemd calls them containers.
    (facts.mode == Mode::Live && !kind.is_empty() && kind != b"wsl").then(|| shown(kind))
}

/// True if this node is known to have another network namespace than the machine's first one. The kernel
/// answers to iSCSI in that one alone (`drivers/scsi/scsi_transport_iscsi.c`), wherever its socket opens.
pub(super) fn has_own_network(facts: &Facts) -> bool {
    let file = facts.files.get(&HostPath::from(FIRST_NETWORK));
    facts.mode == Mode::Live && matches!(file, Some(FileFact::Absent))
}

fn on_machine(module: &str, kind: &str) -> String {
    format!(
        "run modprobe {module} on the machine that runs this container ({kind}): the kernel is its own, and not this system's"
    )
}

/// What a machine without this kernel's module has to do.
pub(super) fn missing(facts: &Facts, place: &Place<'_>, module: &str) -> String {
    if let Some(kind) = container(facts) {
        let option = newer::option(module);
        return format!(
            "{}; if it has none, boot a kernel there that is built with {option}",
            on_machine(module, &kind)
        );
    }
    let Some(release) = facts.machine.kernel.as_deref() else {
        return format!("boot a kernel that has {module}");
    };
    let directory = modules_of(release);
    match facts.dirs.get(&directory) {
        // An upgrade that removed the modules of the kernel that still runs.
        Some(DirFact::Absent { .. }) if is_own(place, release) => format!(
            "{directory} is not there: reboot into the kernel that is installed, or install the modules of this one"
        ),
        _ => newer::module(place, release, module),
    }
}

pub(super) fn version(facts: &Facts, place: &Place<'_>) -> Finding {
    const ID: &str = "kernel-version";
    let Some(release) = facts.machine.kernel.as_deref() else {
        return Finding::new(ID, CheckStatus::Skip, "which kernel will run is not known offline");
    };
    let Some(version) = Version::parse(release) else {
        return Finding::new(ID, CheckStatus::Skip, format!("{release} is no version that csihost knows"));
    };
    let is_v2 = |one: &DriverNeeds| one.driver == LONGHORN && one.needs.name == "v2";
    let v2 = facts.demand.drivers.iter().any(is_v2);
    let (status, wanted, why) = match () {
        () if v2 && version < V2_NEEDS => (
            CheckStatus::Fail,
            V2_NEEDS,
            "Longhorn's second engine needs it for NVMe over TCP; with an older one nodes reboot on I/O errors",
        ),
        () if v2 && version < V2_RECOMMENDED => (
            CheckStatus::Warn,
            V2_RECOMMENDED,
            "with an older one, time-outs of Longhorn's second engine can corrupt memory (spdk issue 3116)",
        ),
        () if version < RECOMMENDED => {
            (CheckStatus::Warn, RECOMMENDED, "Longhorn recommends it or a later one")
        }
        () => return Finding::new(ID, CheckStatus::Pass, release.to_owned()),
    };
    let remedy = match container(facts) {
        Some(kind) => format!("boot a newer kernel on the machine that runs this container ({kind})"),
        None => newer::kernel(place, &wanted.to_string()),
    };
    Finding::new(ID, status, format!("{release} is older than {wanted}")).detail(why).remedy(remedy)
}

/// The modules that the settings, the os-profile and the drivers need, and those that are loaded on demand.
pub(super) fn modules(facts: &Facts, settings: &Settings, needs: &Needs, place: &Place<'_>) -> Vec<Finding> {
    let loaded = needs.modules(settings, &facts.demand);
    let on_demand =
        facts.demand.loadable().into_iter().filter(|name| !loaded.iter().any(|known| known == name));
    let on_demand = on_demand.map(|module| one(facts, needs, module, place, true));
    loaded.iter().map(|module| one(facts, needs, module, place, false)).chain(on_demand).collect()
}

fn one(facts: &Facts, needs: &Needs, module: &str, place: &Place<'_>, on_demand: bool) -> Finding {
    let id = format!("{MODULE}{module}");
    let why = match facts.demand.who_needs(module).as_slice() {
        _ if needs.iscsi.modules.iter().any(|name| name == module) => {
            "no volume can be attached over iSCSI without it".to_owned()
        }
        [] if module == "dm_crypt" => "encrypted volumes cannot be opened without it".to_owned(),
        [] => "volumes that many pods write to cannot be mounted without it".to_owned(),
        drivers => format!("volumes of {} cannot be attached or mounted without it", drivers.join(", ")),
    };
    match facts.module(module) {
        Module::Loaded => Finding::new(&id, CheckStatus::Pass, "loaded"),
        Module::BuiltIn => Finding::new(&id, CheckStatus::Pass, "built in"),
        Module::Loadable if on_demand => Finding::new(&id, CheckStatus::Pass, "loaded when it is needed"),
        Module::Loadable => {
            let remedy = container(facts)
                .map_or_else(|| "run csihost apply".to_owned(), |kind| on_machine(module, &kind));
            Finding::new(&id, CheckStatus::Fail, "not loaded").detail(why).remedy(remedy)
        }
        Module::Missing if facts.demand.is_optional(module) => {
            Finding::new(&id, CheckStatus::Warn, "the running kernel does not have it")
                .detail(format!("a part of {} cannot be used", facts.demand.who_needs(module).join(", ")))
                .remedy(missing(facts, place, module))
        }
        Module::Missing => Finding::new(&id, CheckStatus::Fail, "the running kernel does not have it")
            .detail(why)
            .remedy(missing(facts, place, module)),
        Module::Unknown => {
            let why = match facts.mode {
                Mode::Offline => "which kernel will run is not known offline",
                Mode::Live => "the running kernel could not be asked",
            };
            Finding::new(&id, CheckStatus::Skip, why)
        }
    }
}

/// The needs of drivers that the machine has to meet: huge pages, and what its processor can do.
pub(super) fn machine(facts: &Facts) -> Vec<Finding> {
    let pages = facts.demand.huge_pages().map(|(wanted, driver)| huge_pages(facts, wanted, driver));
    pages.into_iter().chain(cpu(facts)).collect()
}

fn huge_pages(facts: &Facts, wanted: u64, driver: &str) -> Finding {
    const ID: &str = "hugepages";
    let why = format!("{driver} keeps its memory in them, and does not start");
    match facts.machine.huge_pages {
        None if facts.mode == Mode::Offline => {
            Finding::new(ID, CheckStatus::Skip, "what the kernel keeps is not known offline")
        }
        None => Finding::new(ID, CheckStatus::Fail, "the kernel has no huge pages of 2 MiB")
            .detail(why)
            .remedy("boot a kernel with CONFIG_HUGETLBFS"),
        Some(pages) if pages >= wanted => {
            Finding::new(ID, CheckStatus::Pass, format!("{pages} of 2 MiB"))
        }
        Some(pages) => Finding::new(ID, CheckStatus::Fail, format!("{pages} of {wanted} huge pages of 2 MiB"))
            .detail(why)
            .remedy("run csihost apply; where memory is too scattered to give more, reboot; restart the kubelet afterwards, which counts them at its start"),
    }
}

/// None where no driver needs anything of the processor.
fn cpu(facts: &Facts) -> Option<Finding> {
    const ID: &str = "cpu";
    let wanted = facts.demand.cpu();
    if wanted.is_empty() {
        return None;
    }
    let needs = |one: &&DriverNeeds| !one.needs.cpu.is_empty();
    let drivers: Vec<&str> =
        facts.demand.drivers.iter().filter(needs).map(|one| one.driver.as_str()).collect();
    let text = facts.file(&HostPath::from(CPUINFO)).bytes().unwrap_or_default();
    let line = |name: &[u8]| text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name));
    let has = |flags: &[u8], flag: &[u8]| flags.split(u8::is_ascii_whitespace).any(|known| known == flag);
    // arm64 calls them Features.
    let judged = match (line(b"flags\t"), line(b"Features\t")) {
        (Some(flags), _) => wanted.contains(&CpuFlag::Sse42).then(|| ("SSE4.2", has(flags, b"sse4_2"))),
        (None, Some(flags)) => {
            wanted.contains(&CpuFlag::Asimd).then(|| ("Advanced SIMD", has(flags, b"asimd")))
        }
        (None, None) => return Some(Finding::new(ID, CheckStatus::Skip, "what it has is not known here")),
    };
    Some(match judged {
        Some((name, true)) => Finding::new(ID, CheckStatus::Pass, format!("has {name}")),
        Some((name, false)) => Finding::new(ID, CheckStatus::Fail, format!("has no {name}"))
            .detail(format!("{} does not start on it", drivers.join(", ")))
            .remedy("in a virtual machine choose a processor model that has it (Nehalem or later, or the host's own); else use another machine"),
        None => Finding::new(ID, CheckStatus::Pass, "nothing in particular is needed of this architecture"),
    })
}
