//! Pure: what configuration says of a kubelet that does not run yet.
//!
//! Each distribution has a file, whose first comment says when it counts as set up on a host. Two
//! rules are the same for all:
//!
//! - a unit that is masked is not there; and where some of the units that were found are started at
//!   boot (a link in `multi-user.target.wants`), those that are not do not count: the packages of RKE2
//!   and kubeadm bring units that nobody may ever start;
//! - a root that configuration names, or what it names is made of, is `declared`; where nothing
//!   moves the root it is `assumed`, and its source is `default`, for no unit or file gives it.
//!
//! What cannot be known (a URL, a file that cannot be read or understood and might name the root)
//! gives no declaration, and an [`Unread`] that says why.

mod flags;
mod k0s;
mod k3s;
mod k3s_file;
mod k8s_snap;
mod kubelet_unit;
mod microk8s;
mod microshift;
mod openrc;
mod rke;
mod shell;
mod yaml;

#[cfg(test)]
mod tests;

use super::unit::{self, Expanded};
use crate::model::bytes::shown;
use crate::model::file::FileFact;
use crate::model::kubelet::{Confidence, Declaration, Distribution, KubeletRoot, Source, Unread};
use crate::model::path::HostPath;
use crate::model::service::{Service, UNKNOWN};
use crate::model::unit::{KUBELET_UNITS, RUNTIME_UNITS, UnitName};

/// What detection asks of a host's files.
pub trait Files {
    /// What is at a path, links followed.
    fn file(&self, path: &HostPath) -> FileFact;
    /// The names in a directory; none where there is none.
    fn list(&self, directory: &HostPath) -> Vec<Vec<u8>>;
    /// Whether root can run what is at a path.
    fn is_program(&self, path: &HostPath) -> bool;
    /// What the link at a path holds; `None` where there is no link.
    fn link(&self, path: &HostPath) -> Option<Vec<u8>>;
}

/// What configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The kubelets that it would start, those with a named root first.
    pub declarations: Vec<Declaration>,
    /// What could not be read or understood.
    pub unread: Vec<Unread>,
    /// Whether that would have named a root, or may have: what else is found is no answer then.
    pub undecided: bool,
}

/// Where units are that somebody or something wrote on this host: systemd.unit(5), "Unit File Load
/// Path", generators included. They are few.
const WRITTEN: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/run/systemd/generator.late",
    "/run/systemd/transient",
    "/usr/local/lib/systemd/system",
];
/// Where the units of packages are: hundreds.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// Whether a unit of this usual name starts a kubelet by its own command line: snaps have theirs in
/// files of arguments, which are read themselves.
fn starts_a_kubelet(name: &str) -> bool {
    KUBELET_UNITS.contains(&name) && !RUNTIME_UNITS.contains(&name) && !name.starts_with("snap.")
}

/// The units of this host that may start a kubelet: those of the usual names that are there, and
/// those that the installers of k3s and RKE2 were told to name otherwise.
pub fn units(files: &dyn Files) -> Vec<UnitName> {
    let mut units: Vec<UnitName> = Vec::new();
    for directory in WRITTEN {
        let names = files.list(&HostPath::from(directory));
        units.extend(names.iter().filter_map(|name| {
            let name = std::str::from_utf8(name).ok().filter(|name| name.ends_with(".service"))?;
            // Packages' units are not renamed, and a template starts nothing by itself.
            let renamed = (name.starts_with("k3s-") || name.starts_with("rke2-")) && !name.contains("@.");
            if starts_a_kubelet(name) || renamed { UnitName::parse(name).ok() } else { None }
        }));
    }
    for directory in packaged(files) {
        // A link that leads nowhere is not absent: systemd may find what csihost does not.
        let there = |name: &&str| files.file(&HostPath::from(directory).join(name)) != FileFact::Absent;
        let usual = KUBELET_UNITS.into_iter().filter(|name| starts_a_kubelet(name));
        units.extend(usual.filter(there).map(UnitName::from));
    }
    units.sort();
    units.dedup();
    units
}

/// The directories of packages' units: where /lib is a link, there is one.
fn packaged(files: &dyn Files) -> impl Iterator<Item = &'static str> + use<> {
    let merged = files.link(&HostPath::from("/lib")).is_some();
    PACKAGED.into_iter().take(if merged { 1 } else { PACKAGED.len() })
}

/// What configuration says of kubelets, from `services` (of the units that [`units`] names) and
/// from files.
pub fn declarations(files: &dyn Files, services: &[Service]) -> Declared {
    let mut found = Found { files, declared: Declared::default() };
    let mut starts = Vec::new();
    for service in services {
        let mut expanded = unit::expanded(service, files);
        expanded.argv = unwrapped(expanded.argv, &expanded.environment);
        match Kind::of(service, &expanded) {
            Some(kind) => starts.push((kind, Start { service: Some(service), script: None, expanded })),
            // A command that cannot be understood may have started a kubelet.
            None if service.exec.is_empty() && !expanded.unread.is_empty() => {
                found.declared.unread.append(&mut expanded.unread);
                found.declared.undecided = true;
            }
            None => {}
        }
    }
    let seen: Vec<Kind> = starts.iter().map(|(kind, _)| *kind).collect();
    let at_boot =
        |service: Option<&Service>| service.is_some_and(|service| is_started_at_boot(files, &service.unit));
    if starts.iter().any(|(_, start)| at_boot(start.service)) {
        starts.retain(|(_, start)| at_boot(start.service));
    }
    for (kind, mut start) in starts {
        found.declared.unread.append(&mut start.expanded.unread);
        match kind {
            Kind::K3s(names) => k3s::declare(&mut found, names, &start),
            Kind::K0s => k0s::declare(&mut found, &start),
            Kind::Microshift => microshift::declare(&mut found, &start),
            Kind::Kubelet => kubelet_unit::declare(&mut found, &start),
        }
    }
    for names in [&k3s::K3S, &k3s::RKE2] {
        if !seen.contains(&Kind::K3s(names)) {
            k3s::declare_without_unit(&mut found, names);
        }
    }
    microk8s::declare(&mut found);
    k8s_snap::declare(&mut found);
    if !seen.contains(&Kind::Kubelet) {
        rke::declare(&mut found);
    }
    found.declared.unread.dedup();
    // What is named before what is assumed.
    found.declared.declarations.sort_by_key(|declaration| std::cmp::Reverse(declaration.confidence));
    found.declared
}

/// The variables of an environment file, as systemd reads it.
pub fn variables(text: &[u8]) -> crate::model::service::Environment {
    unit::variables(text)
}

/// The main configuration file that a service of k3s' or RKE2's reads, if it is one of theirs.
pub fn main_file(files: &dyn Files, service: &Service) -> Option<HostPath> {
    let mut expanded = unit::expanded(service, files);
    expanded.argv = unwrapped(expanded.argv, &expanded.environment);
    match Kind::of(service, &expanded) {
        Some(Kind::K3s(names)) => {
            k3s::main_file(names, &Start { service: Some(service), script: None, expanded })
        }
        _ => None,
    }
}

/// The command that a shell is handed, in its place: `sh -c 'exec kubelet …'`.
fn unwrapped(argv: Vec<Vec<u8>>, environment: &unit::Environment) -> Vec<Vec<u8>> {
    let shell = |word: &Vec<u8>| matches!(file_name(word), b"sh" | b"bash" | b"dash" | b"ash");
    match argv.as_slice() {
        [program, options @ .., script] | [program, options @ .., script, _]
            if shell(program)
                && options.last().is_some_and(|last| last.starts_with(b"-") && last.ends_with(b"c")) =>
        {
            shell::words(script, environment)
        }
        _ => argv,
    }
}

/// Whose kubelet a service starts.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    K3s(&'static k3s::Names),
    K0s,
    Microshift,
    Kubelet,
}

impl Kind {
    /// By its program, for a unit can have any name; a unit called kubelet.service counts whatever
    /// it runs (a container, a shell).
    fn of(service: &Service, expanded: &Expanded) -> Option<Self> {
        if service.unit.as_str() == "kubelet.service" {
            return (!service.exec.is_empty()).then_some(Self::Kubelet);
        }
        // Something may stand before it: env(1), nice(1).
        let named = |name: &str| expanded.argv.iter().any(|word| file_name(word) == name.as_bytes());
        match () {
            () if named("k3s") => Some(Self::K3s(&k3s::K3S)),
            () if named("rke2") => Some(Self::K3s(&k3s::RKE2)),
            () if named("k0s") => Some(Self::K0s),
            () if named("microshift") => Some(Self::Microshift),
            () => None,
        }
    }
}

/// How something is started: by a service, or nothing says how.
#[derive(Default)]
struct Start<'a> {
    service: Option<&'a Service>,
    /// The script that starts it, where systemd does not.
    script: Option<HostPath>,
    expanded: Expanded,
}

impl Start<'_> {
    fn unit(&self) -> Option<UnitName> {
        self.service.map(|service| service.unit.clone())
    }

    /// Where a value of its command comes from.
    fn source(&self) -> Source {
        if self.service.is_some() { Source::SystemdUnit } else { Source::ConfigFile }
    }

    /// What to name where something is wrong with its command.
    fn place(&self) -> String {
        match self.service {
            Some(Service { fragment: Some(path), .. }) => path.to_string(),
            Some(service) => service.unit.to_string(),
            None => self.script.as_ref().map_or_else(String::new, HostPath::to_string),
        }
    }
}

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    value: Vec<u8>,
    source: Source,
    /// The file, or the unit.
    path: String,
    /// The line in it.
    line: Option<usize>,
}

/// Gathers what is found.
struct Found<'a> {
    files: &'a dyn Files,
    declared: Declared,
}

impl Found<'_> {
    /// Something that names a root, or may, and cannot be understood.
    fn undecided(&mut self, path: impl ToString, line: Option<usize>, error: impl AsRef<str>) {
        self.unread(path, line, error);
        self.declared.undecided = true;
    }

    fn unread(&mut self, path: impl ToString, line: Option<usize>, error: impl AsRef<str>) {
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        let error = format!("{line}{}", error.as_ref());
        self.declared.unread.push(Unread { path: path.to_string(), error });
    }

    /// Declares the root that is given, or `default` where none is.
    fn declare(
        &mut self,
        distribution: Distribution,
        unit: Option<UnitName>,
        root: Option<Given>,
        default: KubeletRoot,
        volume_plugin_dir: Option<Vec<u8>>,
    ) {
        let (source, root, confidence) = match root {
            None => (Source::Default, default, Confidence::Assumed),
            Some(given) => match parse(&given.value) {
                Ok(root) => (given.source, root, Confidence::Declared),
                Err(error) => return self.undecided(given.path, given.line, error),
            },
        };
        let volume_plugin_dir = volume_plugin_dir.filter(|path| !path.contains(&UNKNOWN));
        self.declared.declarations.push(Declaration {
            distribution,
            source,
            root,
            confidence,
            unit,
            volume_plugin_dir,
        });
    }
}

/// A root as it is given to a kubelet.
fn parse(value: &[u8]) -> Result<KubeletRoot, String> {
    if value.contains(&UNKNOWN) {
        return Err("the kubelet's root depends on what only the running host knows".to_owned());
    }
    KubeletRoot::parse(value).map_err(|error| format!("expected the kubelet's root: {error}"))
}

/// What a small file holds.
pub(super) enum Text {
    Read(Vec<u8>),
    Absent,
    Unread(String),
}

/// No configuration is larger.
const LARGEST: usize = 1 << 20;

/// Reads a file of configuration; a link to /dev/null is an empty one.
pub(super) fn text(files: &dyn Files, path: &HostPath) -> Text {
    match files.file(path) {
        FileFact::File(file) if file.bytes.len() > LARGEST => {
            Text::Unread(format!("has {} bytes; csihost reads at most {LARGEST}", file.bytes.len()))
        }
        FileFact::File(file) => Text::Read(file.bytes),
        FileFact::Masked => Text::Read(Vec::new()),
        FileFact::Absent => Text::Absent,
        FileFact::Directory | FileFact::Special => Text::Unread("expected a file".to_owned()),
        FileFact::Unreadable(error) => Text::Unread(error),
    }
}

/// Whether a unit is started at boot, by the link that every installer makes.
fn is_started_at_boot(files: &dyn Files, unit: &UnitName) -> bool {
    WRITTEN.into_iter().chain(packaged(files)).any(|directory| {
        let wants = HostPath::from(directory).join("multi-user.target.wants");
        files.link(&wants.join(unit.as_str())).is_some()
    })
}

/// Whether the administrator masked a unit, for good or until the next boot.
fn is_masked(files: &dyn Files, unit: &str) -> bool {
    let masks = ["/etc/systemd/system", "/run/systemd/system"];
    masks.into_iter().any(|directory| files.file(&HostPath::from(directory).join(unit)) == FileFact::Masked)
}

/// The last component of a path.
fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// A path that must be absolute; what it is for goes into the error.
fn absolute(path: &[u8], what: &str) -> Result<HostPath, String> {
    if path.starts_with(b"/") && !path.contains(&0) {
        Ok(HostPath::root().join(path))
    } else {
        Err(format!("expected {what} as an absolute path, not \"{}\"", shown(path)))
    }
}
