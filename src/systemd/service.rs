//! What a service will run, as a running systemd keeps it: org.freedesktop.systemd1(5), "Service Unit
//! Objects". Specifiers and quotes are gone there, variables still have their names.

use super::bus::read;
use super::error::Fault;
use super::manager::Systemd;
use crate::model::path::HostPath;
use crate::model::service::{EnvironmentFile, Service, assignment};
use crate::model::unit::UnitName;
use futures_util::future::join_all;
use zbus::OwnedVariant;

/// The interface of services.
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// A command as `ExecStart` shows it: program, arguments, whether its failure is ignored, and when
/// it ran last and how that ended.
type Command = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);
/// The same in `ExecStartEx` (systemd 243 and later), with its flags by name.
type CommandEx = (String, Vec<String>, Vec<String>, u64, u64, u64, u64, u32, i32, i32);

impl Systemd {
    /// What `unit` will run. Asking for an object has systemd read the unit if it has not yet; one
    /// that is not there, masked or no service has no command.
    ///
    /// Each property costs systemd a quarter of a millisecond and all of them together more than these
    /// three, so that no other is asked for.
    pub(super) async fn command_of(&self, unit: &UnitName) -> Result<Option<Service>, Fault> {
        let path = object_path(unit.as_str());
        let asked = ["ExecStartEx", "Environment", "EnvironmentFiles"];
        let answers = join_all(asked.map(|name| self.value(&path, name))).await;
        let Ok([with_flags, environment, files]) = <[Result<OwnedVariant, Fault>; 3]>::try_from(answers)
        else {
            return Ok(None);
        };
        let mut service = Service::new(unit.clone());
        let first = match with_flags {
            Ok(commands) => {
                let commands: Vec<CommandEx> = converted(commands)?;
                commands.into_iter().next().map(|command| {
                    let literal = command.2.iter().any(|flag| flag == "no-env-expand");
                    (command.0, command.1, !literal)
                })
            }
            // Before 243 there is no such property, nor the flag.
            Err(Fault::Rejected { .. }) => {
                let commands: Vec<Command> = match self.value(&path, "ExecStart").await {
                    // Nor is it a service.
                    Err(Fault::Rejected { .. }) => return Ok(None),
                    commands => converted(commands?)?,
                };
                commands.into_iter().next().map(|command| (command.0, command.1, true))
            }
            Err(fault) => return Err(fault),
        };
        let Some((program, argv, expands)) = first else { return Ok(None) };
        // The first argument may be another name for the program.
        let words = std::iter::once(program).chain(argv.into_iter().skip(1));
        (service.exec, service.expands) = (words.map(String::into_bytes).collect(), expands);
        for variable in converted::<Vec<String>>(environment?)? {
            if let Some((name, value)) = assignment(variable.as_bytes()) {
                service.environment.insert(name.to_vec(), value.to_vec());
            }
        }
        for (path, optional) in converted::<Vec<(String, bool)>>(files?)? {
            if let Ok(path) = HostPath::parse(path.as_bytes()) {
                service.environment_files.push(EnvironmentFile { path, optional });
            }
        }
        Ok(Some(service))
    }

    async fn value(&self, path: &str, name: &str) -> Result<OwnedVariant, Fault> {
        read(&self.bus.property(path, SERVICE, name).await?)
    }
}

fn converted<T>(value: OwnedVariant) -> Result<T, Fault>
where
    T: TryFrom<OwnedVariant>,
    T::Error: std::fmt::Display,
{
    T::try_from(value).map_err(|error| Fault::Garbled { why: error.to_string() })
}

/// The object of a unit: `bus_path_escape` (systemd, src/libsystemd/sd-bus/bus-internal.c).
pub(super) fn object_path(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (index, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::object_path;

    #[test]
    fn the_object_of_a_unit_is_named_as_systemd_names_it() {
        assert_eq!(object_path("k3s-a.service"), "/org/freedesktop/systemd1/unit/k3s_2da_2eservice");
        assert_eq!(object_path("9a@b.service"), "/org/freedesktop/systemd1/unit/_39a_40b_2eservice");
    }
}
