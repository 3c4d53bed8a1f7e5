//! Units of a host that does not run (`--root`): enabled and disabled by links alone, as
//! `systemctl --root=DIR` does it.

use super::error::{Attempt, During as _, Fault, ManagerError};
use super::unit_search::{CONFIG, Found, LINK_DIRS, Linked, Search, file_name, same_file};
use super::{ServiceManager, StopMode, Transient};
use crate::model::align::UnitTexts;
use crate::model::bytes::shown;
use crate::model::path::HostPath;
use crate::model::service::Service;
use crate::model::unit::{ActiveState, FileState, LoadState, Order, UnitName, UnitState, Units};
use crate::model::unit_file::{expand, instance_of, template};
use std::collections::BTreeSet;
use std::io;

/// The files of a host that does not run. Links are resolved inside it, those of directories on
/// the way included; nothing outside of it is ever named.
pub trait UnitTree {
    /// A file's bytes, links followed.
    fn read(&self, path: &HostPath) -> io::Result<Vec<u8>>;
    /// What a link holds; `InvalidInput` where `path` is something else than a link.
    fn read_link(&self, path: &HostPath) -> io::Result<Vec<u8>>;
    /// The names in a directory, without `.` and `..`.
    fn list(&self, path: &HostPath) -> io::Result<Vec<Vec<u8>>>;
    /// Makes a link that holds `target`, and the directories above it that are missing (0755).
    fn symlink(&self, target: &[u8], path: &HostPath) -> io::Result<()>;
    /// Removes a link or file.
    fn remove(&self, path: &HostPath) -> io::Result<()>;
    /// Removes a directory if it is empty, and fails otherwise.
    fn remove_dir(&self, path: &HostPath) -> io::Result<()>;
}

/// The service manager of a host that does not run.
#[derive(Debug)]
pub struct Offline<T> {
    tree: T,
}

/// A link that is to be there.
struct Link {
    path: HostPath,
    target: HostPath,
    /// Whether a link to something else may be replaced, as systemd does below `.wants`.
    replace: bool,
}

impl<T: UnitTree> Offline<T> {
    /// Manages the units of the host whose files are in `tree`.
    pub fn new(tree: T) -> Self {
        Self { tree }
    }

    /// The files of a unit; `None` where it is not there, or masked.
    pub fn texts(&self, unit: &UnitName) -> Option<UnitTexts> {
        self.search().texts(unit).ok().flatten()
    }

    fn search(&self) -> Search<'_, T> {
        Search::new(&self.tree)
    }

    fn state(&self, name: &str) -> Result<UnitState, Fault> {
        let (load, file) = match self.search().find(name)? {
            Found::Absent => (LoadState::NotFound, FileState::Other),
            Found::Masked => (LoadState::Masked, FileState::Masked),
            Found::Unit(unit) => {
                let file = match self.search().linked(&unit)? {
                    Linked::Yes => FileState::Enabled,
                    // systemd calls it "indirect".
                    Linked::Otherwise => FileState::Other,
                    Linked::No if unit.install.has_rules() => FileState::Disabled,
                    Linked::No if !unit.install.also.is_empty() => FileState::Other,
                    Linked::No => FileState::Static,
                };
                (LoadState::Loaded, file)
            }
        };
        Ok(UnitState { load, active: ActiveState::Unknown, file })
    }

    /// The links that enable `name`, with those of the units that its `Also=` names.
    fn links(&self, name: &str) -> Result<Vec<Link>, Fault> {
        let (mut todo, mut seen, mut links) = (vec![name.to_owned()], BTreeSet::new(), Vec::new());
        while let Some(next) = todo.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            let unit = match self.search().find(&next)? {
                Found::Unit(unit) => unit,
                // Only the unit that was asked for has to be there.
                _ if next != name => continue,
                Found::Masked => return Err(Fault::Masked),
                Found::Absent => return Err(Fault::NotFound),
            };
            if let Some(link) = unit.alias {
                let why = format!("is another name of {}: enable that", unit.name);
                return Err(Fault::Files { path: link, why });
            }
            let install = &unit.install;
            // A template is linked as its default instance, or not at all.
            let linked_as = match (template(&unit.name), &install.default_instance) {
                (Some((_, None)), Some(instance)) => Some(instance_of(&unit.name, instance)),
                (Some((_, None)), None) => None,
                _ => Some(unit.name.clone()),
            };
            let expanded = |text: &String| {
                expand(text, linked_as.as_ref().unwrap_or(&unit.name))
                    .and_then(|name| UnitName::parse(&name).ok())
                    .ok_or_else(|| Fault::Broken { why: format!("[Install] names \"{text}\"") })
            };
            for alias in &install.alias {
                let alias = expanded(alias)?;
                if alias.as_str() != unit.name {
                    let path = config().join(alias.as_str());
                    links.push(Link { path, target: unit.path.clone(), replace: false });
                }
            }
            let rules = [&install.wanted_by, &install.required_by, &install.upheld_by];
            if let Some(linked_as) = &linked_as {
                for (directory, list) in LINK_DIRS.into_iter().zip(rules) {
                    for by in list {
                        let path = config().join(format!("{}{directory}", expanded(by)?)).join(linked_as);
                        links.push(Link { path, target: unit.path.clone(), replace: true });
                    }
                }
            }
            todo.extend(install.also.iter().filter_map(|also| expand(also, &unit.name)));
        }
        Ok(links)
    }

    fn make(&self, link: &Link) -> Result<(), Fault> {
        match self.tree.read_link(&link.path) {
            Ok(there) if same_file(&link.path, &there, &link.target) => return Ok(()),
            Ok(_) if link.replace => {
                self.tree.remove(&link.path).map_err(|error| files(&link.path, &error))?;
            }
            Ok(there) => {
                let why = format!("is there already and points to {}", shown(&there));
                return Err(Fault::Files { path: link.path.clone(), why });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Fault::Files {
                    path: link.path.clone(),
                    why: "is there already and no link".into(),
                });
            }
            Err(error) => return Err(files(&link.path, &error)),
        }
        self.tree.symlink(link.target.as_bytes(), &link.path).map_err(|error| files(&link.path, &error))
    }

    fn enable_links(&self, name: &str) -> Result<(), Fault> {
        let links = self.links(name)?;
        if links.is_empty() {
            return Err(Fault::NoInstall);
        }
        links.iter().try_for_each(|link| self.make(link))
    }

    /// The names of which no link is to stay: `name` and what its `Also=` names.
    fn marked(&self, name: &str) -> Result<BTreeSet<String>, Fault> {
        let (mut todo, mut seen, mut marked) = (vec![name.to_owned()], BTreeSet::new(), BTreeSet::new());
        while let Some(next) = todo.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            match self.search().find(&next)? {
                Found::Unit(unit) => {
                    todo.extend(unit.install.also.iter().filter_map(|also| expand(also, &unit.name)));
                    marked.insert(unit.name);
                }
                // What is masked stays so.
                Found::Masked => {}
                // Links to a unit that is gone are of no use to anybody.
                Found::Absent => {
                    marked.insert(next);
                }
            }
        }
        Ok(marked)
    }

    fn disable_links(&self, name: &str) -> Result<(), Fault> {
        let mut marked = self.marked(name)?;
        // Links to links: what points to a link that went goes too.
        while let Some(gone) = self.remove_marked(&marked)? {
            if gone.is_subset(&marked) {
                break;
            }
            marked.extend(gone);
        }
        Ok(())
    }

    /// Removes all links of marked units; the names of the links that went, if any did.
    fn remove_marked(&self, marked: &BTreeSet<String>) -> Result<Option<BTreeSet<String>>, Fault> {
        let mut gone = BTreeSet::new();
        for (path, target) in self.search().links_below(&config())? {
            let (own, to) = (file_name(path.file_name()), file_name(&target));
            // A template that is disabled takes its instances with it.
            let of = template(&own).map(|(template, _)| template);
            if target == b"/dev/null" || ![&own, &to].into_iter().chain(&of).any(|name| marked.contains(name))
            {
                continue;
            }
            self.tree.remove(&path).map_err(|error| files(&path, &error))?;
            if let Some(parent) = path.parent().filter(|parent| *parent != config()) {
                // Fails where something else is left in it, which is as it should be.
                let _ = self.tree.remove_dir(&parent);
            }
            gone.insert(own);
        }
        Ok((!gone.is_empty()).then_some(gone))
    }
}

fn config() -> HostPath {
    HostPath::from(CONFIG)
}

/// A file that could not be read or changed.
pub(super) fn files(path: &HostPath, error: &io::Error) -> Fault {
    Fault::Files { path: path.clone(), why: error.to_string() }
}

impl<T: UnitTree> ServiceManager for Offline<T> {
    async fn units(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        let state = |name: &UnitName| Ok((name.clone(), self.state(name.as_str())?));
        names.iter().map(state).collect::<Result<Units, Fault>>().during(|| Attempt::Ask)
    }

    async fn service(&mut self, unit: &UnitName) -> Result<Option<Service>, ManagerError> {
        self.search().service(unit).during(|| Attempt::Ask)
    }

    async fn order(&mut self, unit: &UnitName) -> Result<Option<Order>, ManagerError> {
        self.search().order(unit).during(|| Attempt::Ask)
    }

    async fn enable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.enable_links(unit.as_str()).during(|| Attempt::Enable(unit.clone()))
    }

    async fn disable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.disable_links(unit.as_str()).during(|| Attempt::Disable(unit.clone()))
    }

    async fn reload(&mut self) -> Result<(), ManagerError> {
        // Nobody has read them: they are read at the host's first boot.
        Ok(())
    }

    async fn start(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        Err(Fault::NotOffline).during(|| Attempt::Start(unit.clone()))
    }

    async fn restart(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        Err(Fault::NotOffline).during(|| Attempt::Restart(unit.clone()))
    }

    async fn reload_unit(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        Err(Fault::NotOffline).during(|| Attempt::ReloadUnit(unit.clone()))
    }

    async fn reset_failed(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        Err(Fault::NotOffline).during(|| Attempt::ResetFailed(unit.clone()))
    }

    async fn run(&mut self, unit: &UnitName, what: &Transient) -> Result<(), ManagerError> {
        let attempt = || Attempt::Run { unit: unit.clone(), command: what.command() };
        Err(Fault::NotOffline).during(attempt)
    }

    async fn stop(&mut self, unit: &UnitName, _: StopMode) -> Result<(), ManagerError> {
        Err(Fault::NotOffline).during(|| Attempt::Stop(unit.clone()))
    }
}
