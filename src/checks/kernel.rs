//! Pure: whether the kernel, and the machine under it, can do what volumes need.

use super::newer::{self, Place};
use crate::model::asked::Interests;
use crate::model::bytes::shown;
use crate::model::checks::MODULE;
use crate::model::facts::{Facts, Machine, Mode, Module};
use crate::model::file::{DirFact, FileFact};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::profile::Needs;
use crate::settings::{HUGE_PAGES, Settings};

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

pub(super) fn interests(machine: &Machine, settings: &Settings, interests: &mut Interests) {
    interests.dirs.extend(machine.kernel.as_deref().map(modules_of));
    interests.files.extend([CONTAINER, FIRST_NETWORK].map(HostPath::from));
    if settings.features.v2_engine {
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
    format!("run modprobe {module} on the machine that runs this container ({kind}): the kernel is its own")
}

/// What a machine without this kernel's module has to do.
pub(super) fn missing(facts: &Facts, place: &Place<'_>, module: &str) -> String {
    if let Some(kind) = container(facts) {
        return on_machine(module, &kind);
    }
    let Some(release) = facts.machine.kernel.as_deref() else {
        return format!("boot a kernel that has {module}");
    };
    let directory = modules_of(release);
    match facts.dirs.get(&directory) {
        // An upgrade that removed the modules of the kernel that still runs.
        Some(DirFact::Absent { .. }) => format!(
            "{directory} is not there: reboot into the kernel that is installed, or install the modules of this one"
        ),
        _ => newer::module(place, release, module),
    }
}

pub(super) fn version(facts: &Facts, settings: &Settings, place: &Place<'_>) -> Finding {
    const ID: &str = "kernel-version";
    let Some(release) = facts.machine.kernel.as_deref() else {
        return Finding::new(ID, CheckStatus::Skip, "which kernel will run is not known offline");
    };
    let Some(version) = Version::parse(release) else {
        return Finding::new(ID, CheckStatus::Skip, format!("{release} is no version that csihost knows"));
    };
    let v2 = settings.features.v2_engine;
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

/// The modules that the settings and the profile ask for.
pub(super) fn modules(facts: &Facts, settings: &Settings, needs: &Needs, place: &Place<'_>) -> Vec<Finding> {
    needs.modules(settings).iter().map(|module| one(facts, needs, module, place)).collect()
}

fn one(facts: &Facts, needs: &Needs, module: &str, place: &Place<'_>) -> Finding {
    let id = format!("{MODULE}{module}");
    let why = match module {
        _ if needs.iscsi.modules.iter().any(|name| name == module) => {
            "no volume can be attached over iSCSI without it"
        }
        "dm_crypt" => "encrypted volumes cannot be opened without it",
        "nfs" => "volumes that many pods write to cannot be mounted without it",
        _ => "Longhorn's second engine cannot attach volumes without it",
    };
    match facts.module(module) {
        Module::Loaded => Finding::new(&id, CheckStatus::Pass, "loaded"),
        Module::BuiltIn => Finding::new(&id, CheckStatus::Pass, "built in"),
        Module::Loadable => {
            let remedy = container(facts)
                .map_or_else(|| "run csihost apply".to_owned(), |kind| on_machine(module, &kind));
            Finding::new(&id, CheckStatus::Fail, "not loaded").detail(why).remedy(remedy)
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

/// What Longhorn's second engine asks of the machine.
pub(super) fn v2_engine(facts: &Facts, settings: &Settings) -> Vec<Finding> {
    match settings.features.v2_engine {
        true => vec![huge_pages(facts), cpu(facts)],
        false => Vec::new(),
    }
}

fn huge_pages(facts: &Facts) -> Finding {
    const ID: &str = "hugepages";
    match facts.machine.huge_pages {
        None if facts.mode == Mode::Offline => {
            Finding::new(ID, CheckStatus::Skip, "what the kernel keeps is not known offline")
        }
        None => Finding::new(ID, CheckStatus::Fail, "the kernel has no huge pages of 2 MiB")
            .detail("Longhorn's second engine keeps its memory in them, and does not start")
            .remedy("boot a kernel with CONFIG_HUGETLBFS"),
        Some(pages) if pages >= HUGE_PAGES => {
            Finding::new(ID, CheckStatus::Pass, format!("{pages} of 2 MiB"))
        }
        Some(pages) => Finding::new(ID, CheckStatus::Fail, format!("{pages} of {HUGE_PAGES} huge pages of 2 MiB"))
            .detail("Longhorn's second engine keeps its memory in them, and does not start")
            .remedy("run csihost apply; where memory is too scattered to give more, reboot; restart the kubelet afterwards, which counts them at its start"),
    }
}

/// SPDK is compiled for SSE4.2 (longhorn.io, v2-data-engine/prerequisites).
fn cpu(facts: &Facts) -> Finding {
    const ID: &str = "cpu";
    let text = facts.file(&HostPath::from(CPUINFO)).bytes().unwrap_or_default();
    let line = |name: &[u8]| text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name));
    // ARM's are called Features.
    match (line(b"flags\t"), line(b"Features\t")) {
        (Some(flags), _) if flags.split(u8::is_ascii_whitespace).any(|flag| flag == b"sse4_2") => {
            Finding::new(ID, CheckStatus::Pass, "has SSE4.2")
        }
        (Some(_), _) => Finding::new(ID, CheckStatus::Fail, "has no SSE4.2")
            .detail("Longhorn's second engine does not start on it")
            .remedy("in a virtual machine choose a processor model that has it (Nehalem or later, or the host's own); else use another machine"),
        (None, Some(_)) => Finding::new(ID, CheckStatus::Pass, "is no amd64, and needs nothing in particular"),
        (None, None) => Finding::new(ID, CheckStatus::Skip, "what it has is not known here"),
    }
}
