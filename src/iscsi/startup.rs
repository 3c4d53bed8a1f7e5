//! iSCSI: whether the startup line of iscsid.conf does what it should on this host, and the edit
//! that makes it so.
//!
//! open-iscsi's tools run the command with system(3), and only when they find nobody listening on
//! the daemon's socket (`iscsid_connect()` in usr/iscsid_req.c). So while iscsid's socket or
//! service is enabled no line is needed, and one that works is left alone: the file belongs to a
//! package, whose upgrades notice every edit.

use super::conf::{Conf, StartupLine, is_space};
use super::repair::{may_be_commented, repair};
use crate::model::bytes::shown;
use crate::model::edit::{Splice, apply};
use crate::model::path::HostPath;

/// How the daemon should be started on this host, should the file have to say so.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// systemd starts it: a tool that did so itself would have it in its own cgroup.
    Systemd {
        /// Where systemctl is here.
        systemctl: &'a HostPath,
        /// The unit of iscsid that this host has, best its socket.
        unit: &'a str,
    },
    /// There is no systemd: the tool starts the daemon.
    Daemon {
        /// Where iscsid is here.
        program: &'a HostPath,
    },
}

/// What the caller knows of the host; [`programs_and_units`] tells what will be asked.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whether there is an executable file of that name.
    pub program_exists: &'a dyn Fn(&HostPath) -> bool,
    /// Whether there is a unit of that name, and it is not masked.
    pub unit_exists: &'a dyn Fn(&str) -> bool,
    /// iscsid's socket or service is started at boot, or will be when this plan is done.
    pub iscsid_enabled: bool,
}

/// What to do with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupAdvice {
    /// Nothing.
    Leave {
        /// Why it is fine, or not csihost's business.
        why: String,
    },
    /// These lines.
    Repair {
        /// The edit; all other bytes stay.
        splices: Vec<Splice>,
        /// The command that is in effect after it.
        value: String,
        /// What is wrong with the file as it is.
        why: String,
    },
    /// It should be repaired, and cannot be.
    Refuse {
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

/// Decides whether iscsid.conf needs a change, and which.
pub fn advise(conf: &Conf, wanted: Wanted, known: &Known) -> StartupAdvice {
    let why = match conf.competing().first() {
        Some(found) => match judge(found, wanted, known) {
            Ok(why) => return StartupAdvice::Leave { why },
            Err(why) => why,
        },
        None if known.iscsid_enabled => {
            return StartupAdvice::Leave {
                why: "iscsid is started at boot and needs no startup line".to_owned(),
            };
        }
        None => "iscsid is not started at boot, and no startup line is active".to_owned(),
    };
    let value = match command(wanted, known) {
        Ok(value) => value,
        Err((problem, remedy)) => {
            return StartupAdvice::Refuse { reason: format!("{why}; {problem}"), remedy };
        }
    };
    let splices = repair(conf, value.as_bytes());
    // The parser has the last word: an edit that it does not understand as meant is never made.
    match apply(conf.bytes(), &splices) {
        Some(after) if Conf::new(&after).startup() == Some(value.as_bytes()) => {
            StartupAdvice::Repair { splices, value, why }
        }
        _ => StartupAdvice::Refuse {
            reason: format!("{why}; the file is too unusual to be edited safely"),
            remedy: format!("write the line \"iscsid.startup = {value}\" at the top of the file"),
        },
    }
}

/// The program that a startup command runs, where its path is absolute and plain, and the units
/// that it starts, where it is systemctl.
pub fn programs_and_units(value: &[u8]) -> (Option<HostPath>, Vec<String>) {
    // The command goes through a shell; from the first word on that means more to one than
    // itself, nothing is known.
    let mut words = value
        .split(|&b| is_space(b))
        .filter(|word| !word.is_empty())
        .map_while(|word| std::str::from_utf8(word).ok().filter(|word| word.chars().all(is_plain)));
    let Some(first) = words.next() else {
        return (None, Vec::new());
    };
    let program = HostPath::parse(first.as_bytes()).ok();
    let mut arguments = words.filter(|word| !word.starts_with('-'));
    let starts = is_systemctl(first) && matches!(arguments.next(), Some("start" | "restart"));
    let units = match starts {
        // "systemctl start iscsid" is iscsid.service (systemctl(1)).
        true => arguments
            .map(|unit| if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") })
            .collect(),
        false => Vec::new(),
    };
    (program, units)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+:@,=%".contains(c)
}

fn is_systemctl(word: &str) -> bool {
    word.rsplit('/').next() == Some("systemctl")
}

/// Why the command in effect is left, or why it is not.
fn judge(found: &StartupLine, wanted: Wanted, known: &Known) -> Result<String, String> {
    let verdict = works(found.value, wanted, known);
    if !may_be_commented(&found.line) {
        // It is part of something else, which may be a password: no word of it is shown.
        return match verdict {
            Ok(_) => {
                Ok("the startup command is within another setting, and not csihost's to change".to_owned())
            }
            Err(_) => {
                Err("iscsid finds a startup command within another setting, and it cannot work".to_owned())
            }
        };
    }
    let line = format!("the startup command \"{}\"", shown(found.value));
    match verdict {
        Ok(why) => Ok(format!("{line} {why}")),
        Err(why) => Err(format!("{line} {why}")),
    }
}

fn works(value: &[u8], wanted: Wanted, known: &Known) -> Result<&'static str, String> {
    let first = value.split(|&b| is_space(b)).next().unwrap_or_default();
    if matches!(wanted, Wanted::Daemon { .. }) && std::str::from_utf8(first).is_ok_and(is_systemctl) {
        return Err("needs systemd, which does not run here".to_owned());
    }
    let (program, units) = programs_and_units(value);
    let Some(program) = program else {
        return Ok("is somebody's own; csihost cannot tell whether it works");
    };
    if !(known.program_exists)(&program) {
        return Err(format!("runs {program}, which does not exist"));
    }
    match units.iter().find(|unit| !(known.unit_exists)(unit)) {
        Some(unit) => Err(format!("starts {unit}, which does not exist")),
        None => Ok("works here"),
    }
}

/// The command to write, once it is sure that it works and that both parsers can read it.
fn command(wanted: Wanted, known: &Known) -> Result<String, (String, String)> {
    // idbm_recinfo_config() copies values to 256 bytes of stack without a check.
    const LONGEST: usize = 255;
    let install = || "install open-iscsi (iscsi-initiator-utils on Red Hat's family)".to_owned();
    let (value, program, missing_unit) = match wanted {
        Wanted::Systemd { systemctl, unit } => {
            (format!("{systemctl} start {unit}"), systemctl, (!(known.unit_exists)(unit)).then_some(unit))
        }
        Wanted::Daemon { program } => (program.to_string(), program, None),
    };
    if !(known.program_exists)(program) {
        return Err((format!("{program} does not exist either"), install()));
    }
    if let Some(unit) = missing_unit {
        return Err((format!("{unit} does not exist either"), install()));
    }
    if value.len() > LONGEST || programs_and_units(value.as_bytes()).0.as_ref() != Some(program) {
        return Err((
            format!("\"{value}\" cannot be written as a startup command"),
            "use a plain, short path".to_owned(),
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/bin/systemctl start iscsid.socket";

    fn advice(text: &str, wanted: Wanted, enabled: bool, exist: &[&str]) -> StartupAdvice {
        let known = Known {
            program_exists: &|path| exist.iter().any(|name| name.as_bytes() == path.as_bytes()),
            unit_exists: &|unit| exist.contains(&unit),
            iscsid_enabled: enabled,
        };
        advise(&Conf::new(text.as_bytes()), wanted, &known)
    }

    fn on_systemd(text: &str, enabled: bool, exist: &[&str]) -> StartupAdvice {
        let systemctl = HostPath::from("/bin/systemctl");
        let all = [&["/bin/systemctl", "iscsid.socket"], exist].concat();
        advice(text, Wanted::Systemd { systemctl: &systemctl, unit: "iscsid.socket" }, enabled, &all)
    }

    fn without_systemd(text: &str, enabled: bool, exist: &[&str]) -> StartupAdvice {
        let program = HostPath::from("/sbin/iscsid");
        advice(text, Wanted::Daemon { program: &program }, enabled, &[&["/sbin/iscsid"], exist].concat())
    }

    /// The file after the advice.
    fn after(text: &str, advice: &StartupAdvice) -> String {
        match advice {
            StartupAdvice::Leave { .. } => text.to_owned(),
            StartupAdvice::Repair { splices, .. } => {
                String::from_utf8(apply(text.as_bytes(), splices).unwrap()).unwrap()
            }
            StartupAdvice::Refuse { reason, .. } => panic!("{reason}"),
        }
    }

    fn why_of(advice: StartupAdvice) -> String {
        match advice {
            StartupAdvice::Leave { why } | StartupAdvice::Repair { why, .. } => why,
            StartupAdvice::Refuse { reason, .. } => reason,
        }
    }

    #[test]
    fn a_line_that_works_is_left_to_the_byte() {
        for (text, exist) in [
            ("iscsid.startup = /bin/systemctl start iscsid.socket\r\n", &[][..]),
            (
                "iscsid.startup=/usr/bin/systemctl --no-block start iscsid",
                &["/usr/bin/systemctl", "iscsid.service"],
            ),
            ("iscsid.startup = /usr/sbin/iscsid\n", &["/usr/sbin/iscsid"]),
            ("iscsid.startup = /usr/bin/service start iscsid\n", &["/usr/bin/service"]),
            ("iscsid.startup = test -x /sbin/iscsid && /sbin/iscsid\n", &[]),
        ] {
            let advice = on_systemd(text, false, exist);
            assert!(matches!(advice, StartupAdvice::Leave { .. }), "{text}: {advice:?}");
        }
    }

    #[test]
    fn no_line_is_needed_while_the_unit_is_enabled() {
        let text = "# iscsid.startup = /bin/systemctl start iscsid.socket\nnode.startup = manual\n";
        assert!(matches!(on_systemd(text, true, &[]), StartupAdvice::Leave { .. }));
        assert_eq!(
            after(text, &on_systemd(text, false, &[])),
            "iscsid.startup = /bin/systemctl start iscsid.socket\nnode.startup = manual\n"
        );
    }

    #[test]
    fn a_line_that_names_what_is_not_there_is_replaced_where_it_stands() {
        let text = "a\niscsid.startup = /usr/sbin/gone\nb\niscsid.startup = /sbin/second\nc\n";
        let advice = on_systemd(text, true, &[]);
        assert_eq!(
            after(text, &advice),
            format!(
                "a\n# iscsid.startup = /usr/sbin/gone\niscsid.startup = {SOCKET}\nb\n# iscsid.startup = /sbin/second\nc\n"
            )
        );
        assert_eq!(
            why_of(advice),
            "the startup command \"/usr/sbin/gone\" runs /usr/sbin/gone, which does not exist"
        );
        let text = "iscsid.startup = /bin/systemctl start iscsid.socket iscsiuio.socket\n";
        assert_eq!(
            why_of(on_systemd(text, true, &[])),
            "the startup command \"/bin/systemctl start iscsid.socket iscsiuio.socket\" starts iscsiuio.socket, \
             which does not exist"
        );
    }

    #[test]
    fn without_systemd_its_line_becomes_a_comment_and_the_daemons_a_line() {
        let text = "# Fedora\niscsid.startup = /bin/systemctl start iscsid.socket\n#\n# upstream\n# iscsid.startup = /sbin/iscsid\n\nx = y\n";
        let advice = without_systemd(text, false, &["/bin/systemctl", "iscsid.socket"]);
        assert_eq!(
            after(text, &advice),
            "# Fedora\n# iscsid.startup = /bin/systemctl start iscsid.socket\n#\n# upstream\niscsid.startup = /sbin/iscsid\n\nx = y\n"
        );
        let StartupAdvice::Repair { splices, .. } = advice else { panic!() };
        assert_eq!(splices.len(), 2);
        let text = "iscsid.startup = systemctl start iscsid.socket\n";
        assert!(matches!(without_systemd(text, true, &[]), StartupAdvice::Repair { .. }));
    }

    #[test]
    fn a_command_within_another_setting_is_never_shown() {
        let text = "node.session.auth.password = iscsid.startup=/secret\n";
        let StartupAdvice::Repair { splices, why, .. } = without_systemd(text, false, &[]) else { panic!() };
        assert!(!format!("{splices:?} {why}").contains("secret"));
        assert!(!why_of(without_systemd(text, false, &["/secret"])).contains("secret"));
    }

    #[test]
    fn what_would_not_work_either_is_refused() {
        let text = "iscsid.startup = /gone\n";
        let program = HostPath::from("/sbin/iscsid");
        let refused = advice(text, Wanted::Daemon { program: &program }, false, &[]);
        assert_eq!(
            refused,
            StartupAdvice::Refuse {
                reason: "the startup command \"/gone\" runs /gone, which does not exist; /sbin/iscsid does not exist either"
                    .to_owned(),
                remedy: "install open-iscsi (iscsi-initiator-utils on Red Hat's family)".to_owned(),
            }
        );
        let wanted = Wanted::Systemd { systemctl: &program, unit: "iscsid.socket" };
        assert!(matches!(advice(text, wanted, false, &["/sbin/iscsid"]), StartupAdvice::Refuse { .. }));
        let odd = HostPath::from("/opt/my tools/iscsid");
        let wanted = Wanted::Daemon { program: &odd };
        assert!(matches!(
            advice(text, wanted, false, &["/opt/my tools/iscsid"]),
            StartupAdvice::Refuse { .. }
        ));
    }

    #[test]
    fn the_program_and_the_units_of_a_command_are_found() {
        let path = |text: &'static str| Some(HostPath::from(text));
        for (value, program, units) in [
            (
                "/bin/systemctl start iscsid.socket iscsiuio.socket",
                path("/bin/systemctl"),
                &["iscsid.socket", "iscsiuio.socket"][..],
            ),
            ("/bin/systemctl --no-block start iscsid", path("/bin/systemctl"), &["iscsid.service"]),
            ("/bin/systemctl start iscsid.socket;true", path("/bin/systemctl"), &[]),
            ("/bin/systemctl start iscsid.socket || true", path("/bin/systemctl"), &["iscsid.socket"]),
            ("/bin/systemctl is-active iscsid", path("/bin/systemctl"), &[]),
            ("systemctl start iscsid.socket", None, &["iscsid.socket"]),
            ("/etc/rc.d/init.d/iscsid force-start", path("/etc/rc.d/init.d/iscsid"), &[]),
            ("\"/sbin/iscsid\"", None, &[]),
            ("", None, &[]),
        ] {
            let found = programs_and_units(value.as_bytes());
            assert_eq!(found, (program, units.iter().map(|unit| (*unit).to_owned()).collect()), "{value}");
        }
    }
}
