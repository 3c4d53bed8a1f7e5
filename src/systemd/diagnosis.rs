//! Why a unit is not in the state that it should be in, as far as the unit itself says so.
//!
//! Only asked when something went wrong, and never a reason to fail: what cannot be read is left
//! out of the explanation.

use super::bus::read;
use super::manager::{Systemd, UNIT};
use crate::model::unit::UnitName;

/// One condition: what, whether a failure was wanted or only one of several had to hold, what it
/// was about, and how it came out (org.freedesktop.systemd1(5), `Conditions`).
type Condition = (String, bool, bool, String, i32);

impl Systemd {
    /// The condition because of which `unit` was not started, as its unit file has it.
    pub(super) async fn failed_condition(&self, unit: &UnitName) -> Option<String> {
        let path = self.path_of(unit).await?;
        let conditions = self.bus.property(&path, UNIT, "Conditions").await.ok()?;
        let conditions = Vec::<Condition>::try_from(read::<zbus::OwnedVariant>(&conditions).ok()?).ok()?;
        // Negative: tested, and not met. Zero: not tested.
        let (any, all): (Vec<Condition>, Vec<Condition>) =
            conditions.into_iter().filter(|(.., state)| *state < 0).partition(|(_, trigger, ..)| *trigger);
        // systemd.unit(5): all of the plain ones must hold, and one of those with "|".
        let (failed, verdict) = match all.is_empty() {
            true => (any, "none is met of"),
            false => (all, "not met is"),
        };
        let failed: Vec<String> = failed
            .into_iter()
            .map(|(what, _, negate, about, _)| format!("{what}={}{about}", if negate { "!" } else { "" }))
            .collect();
        (!failed.is_empty()).then(|| format!("{verdict} {}", failed.join(", ")))
    }

    /// What `unit` says about its last failure.
    pub(super) async fn why_failed(&self, unit: &UnitName) -> Option<String> {
        let path = self.path_of(unit).await?;
        let (_, kind) = unit.as_str().rsplit_once('.')?;
        let interface = format!("org.freedesktop.systemd1.{}", capital(kind));
        let result = self.text(&path, &interface, "Result").await.ok()?;
        match (result.as_str(), kind) {
            // The unit itself did not fail: systemd refused to try.
            ("success", "socket") => self.socket_in_the_way(&path).await,
            ("success", _) => None,
            ("exit-code", "service") => {
                let status = self.number(&path, &interface, "ExecMainStatus").await;
                Some(match status {
                    Some(status) if status != 0 => format!("exit status {status}"),
                    _ => "a command of it failed".to_owned(),
                })
            }
            ("exit-code", "mount") => Some("mount(8) or umount(8) failed".to_owned()),
            _ => Some(format!("result {result}")),
        }
    }

    /// A socket is not opened while its service runs without it: "Socket service %s already
    /// active, refusing" goes to the journal only (socket.c, socket_start).
    async fn socket_in_the_way(&self, path: &str) -> Option<String> {
        let services = self.texts(path, UNIT, "Triggers").await.ok()?;
        let names: Vec<&str> = services.iter().map(String::as_str).collect();
        let active: Vec<String> = self
            .list(&names)
            .await
            .ok()?
            .into_iter()
            .filter(|service| !matches!(service.active.as_str(), "inactive" | "failed"))
            .map(|service| service.id)
            .collect();
        (!active.is_empty()).then(|| {
            format!("{} runs already, and systemd refuses to open its socket meanwhile", active.join(", "))
        })
    }

    async fn number(&self, path: &str, interface: &str, name: &str) -> Option<i32> {
        let reply = self.bus.property(path, interface, name).await.ok()?;
        i32::try_from(read::<zbus::OwnedVariant>(&reply).ok()?).ok()
    }

    async fn path_of(&self, unit: &UnitName) -> Option<String> {
        self.list(&[unit.as_str()]).await.ok()?.pop().map(|unit| unit.path)
    }
}

/// The name of a unit type's interface: its suffix with a capital.
fn capital(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
