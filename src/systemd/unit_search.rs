//! Where unit files are found when no systemd runs to say so: systemd.unit(5), "Unit File Load
//! Path".

use super::error::Fault;
use super::offline::{UnitTree, files};
use super::unit_file::Install;
use crate::model::align::UnitTexts;
use crate::model::path::HostPath;
use crate::model::service::Service;
use crate::model::unit::{Order, UnitName};
use crate::model::unit_file::{assignments, expand, instance_of, template};
use std::io;

/// Where the administrator's units and links are.
pub(super) const CONFIG: &str = "/etc/systemd/system";
/// All directories with unit files, the first that has a name wins.
const SEARCH: [&str; 5] = [
    CONFIG,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What the directories of links to wanted, required and upheld units end with.
pub(super) const LINK_DIRS: [&str; 3] = [".wants", ".requires", ".upholds"];
/// As many links are followed from one name to the next: what systemd itself allows.
const MAX_LINKS: usize = 64;

/// A unit file that was found.
#[derive(Debug)]
pub(super) struct UnitFile {
    /// The unit's own name, after aliases.
    pub(super) name: String,
    /// The file.
    pub(super) path: HostPath,
    /// What it says about being enabled, its drop-ins included.
    pub(super) install: Install,
    /// The link in the administrator's directory that gives it the name that was asked for, if one
    /// does.
    pub(super) alias: Option<HostPath>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A link to /dev/null, or an empty file.
    Masked,
    /// A unit.
    Unit(Box<UnitFile>),
}

/// A search in one tree.
pub(super) struct Search<'a, T> {
    tree: &'a T,
}

/// What is at a path.
enum Entry {
    Nothing,
    Link(Vec<u8>),
    File,
}

impl<'a, T: UnitTree> Search<'a, T> {
    pub(super) fn new(tree: &'a T) -> Self {
        Self { tree }
    }

    /// Finds a unit by any of its names.
    pub(super) fn find(&self, name: &str) -> Result<Found, Fault> {
        let (mut name, mut alias) = (name.to_owned(), None);
        let mut at = self.locate(&name)?;
        for _ in 0..MAX_LINKS {
            let Some(path) = at else { return Ok(Found::Absent) };
            let target = match self.entry(&path)? {
                Entry::Nothing => return Ok(Found::Absent),
                Entry::File => return self.load(name, path, alias),
                Entry::Link(target) if target == b"/dev/null" => return Ok(Found::Masked),
                Entry::Link(target) => target,
            };
            let to = file_name(&target);
            if to == file_name(path.file_name()) {
                // The same unit, kept somewhere else.
                at = Some(resolve(&path, &target));
                continue;
            }
            if path.parent() == Some(HostPath::from(CONFIG)) {
                alias.get_or_insert_with(|| path.clone());
            }
            // Another name of the unit: that is looked up anew, and an instance stays one.
            name = match template(&name) {
                Some((_, Some(instance))) => instance_of(&to, instance),
                _ => to,
            };
            at = self.locate(&name)?;
        }
        Err(Fault::Broken { why: "its links lead in a circle".into() })
    }

    /// The first place that has a file or link of this name, or of an instance's template.
    fn locate(&self, name: &str) -> Result<Option<HostPath>, Fault> {
        let template =
            template(name).filter(|(_, instance)| instance.is_some()).map(|(template, _)| template);
        for name in [name].into_iter().chain(template.as_deref()) {
            for directory in SEARCH {
                let path = HostPath::from(directory).join(name);
                if !matches!(self.entry(&path)?, Entry::Nothing) {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    fn entry(&self, path: &HostPath) -> Result<Entry, Fault> {
        match self.tree.read_link(path) {
            Ok(target) => Ok(Entry::Link(target)),
            Err(error) => match error.kind() {
                io::ErrorKind::InvalidInput => Ok(Entry::File),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Entry::Nothing),
                _ => Err(files(path, &error)),
            },
        }
    }

    /// What a service's files say, drop-ins included.
    pub(super) fn service(&self, unit: &UnitName) -> Result<Option<Service>, Fault> {
        let Some(texts) = self.texts(unit)? else { return Ok(None) };
        let files = texts.files.iter().map(|(path, text)| (path.clone(), text.as_slice()));
        Ok(Some(Service::read(texts.unit, files)))
    }

    /// What a unit's files order it after; what systemd adds by itself is not in it.
    pub(super) fn order(&self, unit: &UnitName) -> Result<Option<Order>, Fault> {
        let Some(texts) = self.texts(unit)? else { return Ok(None) };
        let mut order = Order::default();
        for (_, text) in &texts.files {
            let (assignments, _) = assignments(text);
            for one in assignments.iter().filter(|one| one.section == "Unit") {
                let words = one.value.split_whitespace();
                match one.key.as_str() {
                    "After" => order.after.extend(words.filter_map(|name| UnitName::parse(name).ok())),
                    // systemd.unit(5): ordered after the mounts of the path, too.
                    "RequiresMountsFor" | "WantsMountsFor" => {
                        order.mounts.extend(words.filter_map(|path| HostPath::parse(path.as_bytes()).ok()));
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(order))
    }

    /// A unit's files, drop-ins after its own, with its name after aliases.
    pub(super) fn texts(&self, unit: &UnitName) -> Result<Option<UnitTexts>, Fault> {
        let Found::Unit(found) = self.find(unit.as_str())? else { return Ok(None) };
        let Ok(unit) = UnitName::parse(&found.name) else { return Ok(None) };
        let mut texts = Vec::new();
        for path in [found.path].into_iter().chain(self.drop_ins(&found.name)?) {
            let text = self.tree.read(&path).map_err(|error| files(&path, &error))?;
            texts.push((path, text));
        }
        Ok(Some(UnitTexts { unit, files: texts }))
    }

    fn load(&self, name: String, path: HostPath, alias: Option<HostPath>) -> Result<Found, Fault> {
        let bytes = self.tree.read(&path).map_err(|error| files(&path, &error))?;
        if bytes.is_empty() {
            return Ok(Found::Masked);
        }
        let mut install = Install::default();
        install.add(&bytes);
        for path in self.drop_ins(&name)? {
            install.add(&self.tree.read(&path).map_err(|error| files(&path, &error))?);
        }
        Ok(Found::Unit(Box::new(UnitFile { name, path, install, alias })))
    }

    /// The drop-ins of a unit, of its template, of the beginnings of its name that end in a dash and
    /// of its type: by file name, the first directory wins (systemd.unit(5), and
    /// `unit_file_find_dropin_paths`, src/shared/dropin.c).
    fn drop_ins(&self, name: &str) -> Result<Vec<HostPath>, Fault> {
        let mut found = std::collections::BTreeMap::new();
        let (own, of_type) = drop_in_names(name);
        let own = SEARCH.iter().flat_map(|search| own.iter().map(move |name| (*search, name.as_str())));
        let of_type = SEARCH.iter().map(|search| (*search, of_type.as_str()));
        for (search, name) in own.chain(of_type) {
            let directory = HostPath::from(search).join(format!("{name}.d"));
            for file in self.list(&directory)? {
                if file.ends_with(b".conf") {
                    let path = directory.join(&file);
                    found.entry(file).or_insert(path);
                }
            }
        }
        let mut paths = Vec::new();
        for path in found.into_values() {
            // A link to /dev/null takes a drop-in away.
            if !matches!(self.entry(&path)?, Entry::Link(target) if target == b"/dev/null") {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    fn list(&self, path: &HostPath) -> Result<Vec<Vec<u8>>, Fault> {
        match self.tree.list(path) {
            Ok(names) => Ok(names),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
                _ => Err(files(path, &error)),
            },
        }
    }

    /// All links to units in a unit directory and in its `.wants` and the like, with what they
    /// hold.
    pub(super) fn links_below(&self, directory: &HostPath) -> Result<Vec<(HostPath, Vec<u8>)>, Fault> {
        let mut links = Vec::new();
        for name in self.list(directory)? {
            let path = directory.join(&name);
            if let Entry::Link(target) = self.entry(&path)? {
                links.push((path, target));
            } else if LINK_DIRS.iter().any(|suffix| name.ends_with(suffix.as_bytes())) {
                for name in self.list(&path)? {
                    let path = path.join(&name);
                    if let Entry::Link(target) = self.entry(&path)? {
                        links.push((path, target));
                    }
                }
            }
        }
        Ok(links)
    }

    /// How the administrator's links bear on a unit.
    pub(super) fn linked(&self, unit: &UnitFile) -> Result<Linked, Fault> {
        let config = HostPath::from(CONFIG);
        let own = config.join(&unit.name);
        // The names under which [Install] would link it.
        let mut names = vec![unit.name.clone()];
        names.extend(unit.install.default_instance.iter().map(|instance| instance_of(&unit.name, instance)));
        names.extend(unit.install.alias.iter().filter_map(|alias| expand(alias, &unit.name)));
        let mut linked = Linked::No;
        for (path, target) in self.links_below(&config)? {
            let to = file_name(&target);
            // The unit's own name in the administrator's directory is where its file is, no more.
            if path == own || target == b"/dev/null" {
                continue;
            }
            let name = file_name(path.file_name());
            if name == unit.name || (names.contains(&name) && to == file_name(unit.path.file_name())) {
                return Ok(Linked::Yes);
            }
            if to == unit.name {
                linked = Linked::Otherwise;
            }
        }
        Ok(linked)
    }
}

/// Whose drop-ins a unit has, from the nearest to the farthest: `a-b@c.service`, `a-b@.service`,
/// `a-.service`; and its type, `service`.
fn drop_in_names(name: &str) -> (Vec<String>, String) {
    let template = template(name).map(|(template, _)| template).filter(|template| template != name);
    let mut names = vec![name.to_owned()];
    names.extend(template);
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    let dashes = stem.match_indices('-').rev().map(|(at, _)| at + 1).filter(|end| *end < stem.len());
    names.extend(dashes.filter_map(|end| stem.get(..end)).map(|start| format!("{start}.{suffix}")));
    (names, suffix.to_owned())
}

/// How links bear on a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linked {
    /// As its [Install] section would have it: it is enabled.
    Yes,
    /// Under another name: as another instance, or an alias of the administrator's.
    Otherwise,
    /// Not at all.
    No,
}

/// The last component of a path or link.
pub(super) fn file_name(path: &[u8]) -> String {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// What a link's target names.
fn resolve(link: &HostPath, target: &[u8]) -> HostPath {
    match target.starts_with(b"/") {
        true => HostPath::root().join(target),
        false => link.parent().unwrap_or_else(HostPath::root).join(target),
    }
}

/// Whether a link leads to `file`. /lib is the same directory as /usr/lib wherever both hold
/// units, and systemd writes either, depending on how it was built.
pub(super) fn same_file(link: &HostPath, target: &[u8], file: &HostPath) -> bool {
    let plain = |path: &HostPath| {
        let path = path.as_bytes();
        path.strip_prefix(b"/usr").filter(|rest| rest.starts_with(b"/lib/")).unwrap_or(path).to_vec()
    };
    plain(&resolve(link, target)) == plain(file)
}
