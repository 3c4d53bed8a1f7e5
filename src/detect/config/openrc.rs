//! Pure: k3s on hosts with OpenRC, as its installer writes it (k3s, install.sh, `create_openrc_service_file`).
//!
//! The script is not run: what counts in it is `command=` and `command_args="…"`, and that it takes
//! variables from `/etc/environment` and `/etc/rancher/k3s/<name>.env`.

use super::{Files, Text, shell, text};
use crate::detect::unit::{Environment, Expanded};
use crate::model::kubelet::Unread;
use crate::model::path::HostPath;
use crate::model::service::assignment;

/// A script, and what it runs.
pub(super) struct Script {
    pub(super) path: HostPath,
    pub(super) expanded: Expanded,
}

/// The scripts whose name begins with that of `program`, and which run it.
pub(super) fn scripts(files: &dyn Files, program: &str) -> Vec<Script> {
    let directory = HostPath::from("/etc/init.d");
    let mut names = files.list(&directory);
    names.retain(|name| name.starts_with(program.as_bytes()));
    names.sort();
    names.into_iter().filter_map(|name| script(files, directory.join(&name), &name, program)).collect()
}

fn script(files: &dyn Files, path: HostPath, name: &[u8], program: &str) -> Option<Script> {
    let (mut environment, mut unread, mut unknown) = (Environment::new(), Vec::new(), false);
    let named = [name, b".env"].concat();
    let own = HostPath::from("/etc/rancher").join(program).join(named);
    for file in [HostPath::from("/etc/environment"), own] {
        match text(files, &file) {
            Text::Read(text) => variables(&text, &mut environment),
            Text::Absent => {}
            Text::Unread(error) => {
                unknown = true;
                unread.push(Unread { path: file.to_string(), error });
            }
        }
    }
    let text = match text(files, &path) {
        Text::Read(text) => text,
        Text::Absent => return None,
        Text::Unread(error) => {
            let unread = vec![Unread { path: path.to_string(), error }];
            return Some(Script { path, expanded: Expanded { unread, ..Expanded::default() } });
        }
    };
    let mut own = Environment::new();
    variables(&text, &mut own);
    // The arguments are a text that the shell takes apart once more.
    let args = shell::words(own.get(&b"command_args"[..])?, &environment);
    let argv = std::iter::once(own.get(&b"command"[..])?.clone()).chain(args).collect();
    Some(Script { path, expanded: Expanded { argv, environment, unread, unknown } })
}

/// The assignments in a script.
fn variables(text: &[u8], environment: &mut Environment) {
    for word in shell::words(text, environment) {
        if let Some((name, value)) = assignment(&word) {
            environment.insert(name.to_vec(), value.to_vec());
        }
    }
}
