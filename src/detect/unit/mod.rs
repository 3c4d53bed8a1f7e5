//! Pure: what a service will really run, once its variables are in place.
//!
//! The rules are systemd's: systemd.service(5), "Command lines", and systemd.exec(5),
//! `EnvironmentFile=`.

mod env_file;
mod expand;
mod glob;

use super::config::{Files, Text, text};
use crate::model::kubelet::Unread;
use crate::model::path::HostPath;
use crate::model::service::{EnvironmentFile, Service};

pub(super) use crate::model::service::Environment;

/// A service with its variables in place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// Its command.
    pub(super) argv: Vec<Vec<u8>>,
    /// Its environment, as far as its unit gives it.
    pub(super) environment: Environment,
    /// What could not be read.
    pub(super) unread: Vec<Unread>,
    /// Whether a file of variables is there and cannot be read.
    pub(super) unknown: bool,
}

/// The value of a variable.
pub(super) fn get<'a>(environment: &'a Environment, name: &str) -> Option<&'a [u8]> {
    environment.get(name.as_bytes()).map(Vec::as_slice)
}

/// The variables of an environment file.
pub(super) fn variables(text: &[u8]) -> Environment {
    env_file::variables(text).0
}

/// Puts the variables of a service's unit and of its environment files in place. The files beat the
/// unit, and a later file an earlier one.
pub(super) fn expanded(service: &Service, files: &dyn Files) -> Expanded {
    let mut environment = service.environment.clone();
    let mut unread = service.unread.clone();
    let mut unknown = false;
    for file in &service.environment_files {
        unknown |= !read(file, files, &mut environment, &mut unread);
    }
    let argv = match service.expands {
        true => expand::arguments(&service.exec, &environment),
        false => service.exec.clone(),
    };
    Expanded { argv, environment, unread, unknown }
}

/// Adds the variables of a file; false where it is there and cannot be read.
fn read(file: &EnvironmentFile, files: &dyn Files, into: &mut Environment, unread: &mut Vec<Unread>) -> bool {
    let mut readable = true;
    let mut told = |path: &HostPath, error: String| unread.push(Unread { path: path.to_string(), error });
    let paths = glob::paths(&file.path, files);
    if paths.is_empty() && !file.optional {
        told(&file.path, "is not there, and the unit that names it does not start without it".to_owned());
    }
    for path in paths {
        match text(files, &path) {
            Text::Read(text) => {
                let (variables, wrong) = env_file::variables(&text);
                into.extend(variables);
                for line in wrong {
                    told(&path, format!("line {line}: expected NAME=VALUE"));
                }
            }
            Text::Absent if file.optional => {}
            Text::Absent => {
                told(&path, "is not there, and the unit that names it does not start without it".to_owned())
            }
            Text::Unread(error) => {
                readable = false;
                told(&path, error);
            }
        }
    }
    readable
}
