//! Model: what a systemd service will run, and in which environment.

use super::kubelet::Unread;
use super::path::HostPath;
use super::unit::UnitName;
use super::unit_file::{Assignment, assignments, of_name};
use super::words::{Escapes, first_word, skip_whitespace};
use std::collections::BTreeMap;

/// Stands in a word for what only the running host can say (`%H`, `%m`): no argument can hold it,
/// so that a path with it in is refused.
pub const UNKNOWN: u8 = 0;

/// Names and values of variables.
pub type Environment = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Where it is; may hold wildcards (glob(7)).
    pub path: HostPath,
    /// Whether the service is started without it too.
    pub optional: bool,
}

/// A service as systemd keeps it: variables are not yet in the place of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its own name, after aliases.
    pub unit: UnitName,
    /// The file that it is made of, drop-ins aside.
    pub fragment: Option<HostPath>,
    /// The first command of `ExecStart=`; its first word is the program. Empty where there is
    /// none.
    pub exec: Vec<Vec<u8>>,
    /// Whether variables in it are replaced: not where it begins with `:`.
    pub expands: bool,
    /// `Environment=`.
    pub environment: Environment,
    /// `EnvironmentFile=`, in their order.
    pub environment_files: Vec<EnvironmentFile>,
    /// What of its files could not be understood.
    pub unread: Vec<Unread>,
}

impl Service {
    /// A service of which nothing is known but its name.
    pub fn new(unit: UnitName) -> Self {
        Self {
            unit,
            fragment: None,
            exec: Vec::new(),
            expands: true,
            environment: Environment::new(),
            environment_files: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Reads the unit file and then its drop-ins, in their order: systemd.service(5),
    /// systemd.exec(5).
    pub fn read<'a>(unit: UnitName, files: impl IntoIterator<Item = (HostPath, &'a [u8])>) -> Self {
        let mut service = Self::new(unit);
        for (path, text) in files {
            let (settings, ignored) = assignments(text);
            for ignored in ignored {
                service.told(&path, ignored.line, &format!("expected {}", ignored.expected));
            }
            for setting in settings.iter().filter(|setting| setting.section == "Service") {
                if let Err(error) = service.set(setting) {
                    service.told(&path, setting.line, &format!("{}=: {error}", setting.key));
                }
            }
            service.fragment.get_or_insert(path);
        }
        service
    }

    fn told(&mut self, path: &HostPath, line: usize, error: &str) {
        self.unread.push(Unread { path: path.to_string(), error: format!("line {line}: {error}") });
    }

    fn set(&mut self, setting: &Assignment) -> Result<(), &'static str> {
        let value = setting.value.as_bytes();
        match setting.key.as_str() {
            // An empty value takes back what was said before.
            "ExecStart" if value.is_empty() => self.exec.clear(),
            // A second one is refused by systemd, except for a oneshot, whose first is enough.
            "ExecStart" if !self.exec.is_empty() => {}
            "ExecStart" => self.set_exec(value)?,
            "Environment" if value.is_empty() => self.environment.clear(),
            "Environment" => self.set_environment(value)?,
            "EnvironmentFile" if value.is_empty() => self.environment_files.clear(),
            "EnvironmentFile" => {
                let value = specifiers(value, &self.unit);
                let (optional, path) = match value.strip_prefix(b"-") {
                    Some(path) => (true, path),
                    None => (false, value.as_slice()),
                };
                let path = HostPath::parse(path).map_err(|_| "expected an absolute path")?;
                self.environment_files.push(EnvironmentFile { path, optional });
            }
            _ => {}
        }
        Ok(())
    }

    /// `config_parse_exec` (systemd, src/core/load-fragment.c). A specifier does not split a word, and
    /// what it stands for is not unquoted again.
    fn set_exec(&mut self, value: &[u8]) -> Result<(), &'static str> {
        const UNBALANCED: &str = "expected a quote to be closed";
        let Some((first, mut rest)) = first_word(value, Escapes::Kept).map_err(|_| UNBALANCED)? else {
            return Ok(());
        };
        let prefix = first.iter().take_while(|byte| b"-@:+!|".contains(byte)).count();
        let (prefix, program) = first.split_at_checked(prefix).unwrap_or_default();
        if program.is_empty() {
            return Err("expected a program");
        }
        let mut words = vec![specifiers(program, &self.unit)];
        loop {
            // A semicolon alone separates commands, and is escaped as `\;`.
            if rest.starts_with(b";") && rest.get(1).is_none_or(u8::is_ascii_whitespace) {
                break;
            }
            if rest.starts_with(b"\\;") && rest.get(2).is_none_or(u8::is_ascii_whitespace) {
                words.push(b";".to_vec());
                rest = skip_whitespace(rest.get(2..).unwrap_or_default());
                continue;
            }
            let Some((word, after)) = first_word(rest, Escapes::Kept).map_err(|_| UNBALANCED)? else { break };
            words.push(specifiers(&word, &self.unit));
            rest = after;
        }
        if prefix.contains(&b'@') && words.len() > 1 {
            // What follows is not an argument but the name that the program is given.
            words.remove(1);
        }
        (self.exec, self.expands) = (words, !prefix.contains(&b':'));
        Ok(())
    }

    /// `config_parse_environ`: what comes before an error counts, and wrong names are left out.
    fn set_environment(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let mut rest = value;
        let mut result = Ok(());
        loop {
            match first_word(rest, Escapes::Strict) {
                Err(_) => return Err("expected a quote to be closed, or an escape of C"),
                Ok(None) => return result,
                Ok(Some((word, after))) => {
                    match assignment(&specifiers(&word, &self.unit)) {
                        Some((name, value)) => {
                            self.environment.insert(name.to_vec(), value.to_vec());
                        }
                        None => result = Err("expected NAME=VALUE"),
                    }
                    rest = after;
                }
            }
        }
    }
}

/// A variable's name and value.
pub fn assignment(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (word.get(..at)?, word.get(at + 1..)?);
    is_name(name).then_some((name, value))
}

/// Whether a variable can have this name (systemd, `env_name_is_valid`).
pub fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Replaces specifiers for a service of the system's manager: systemd.unit(5), "Specifiers".
fn specifiers(text: &[u8], unit: &UnitName) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let letter = rest.get(at + 1).copied();
        rest = rest.get(at + 2..).unwrap_or_default();
        match letter {
            None => out.push(b'%'),
            Some(letter) => match of_name(letter, unit.as_str()) {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => match of_system(letter, unit.as_str()) {
                    Some(text) => out.extend(text),
                    // systemd leaves what is no specifier as it is.
                    None if !letter.is_ascii_alphabetic() => out.extend([b'%', letter]),
                    None => out.push(UNKNOWN),
                },
            },
        }
    }
    out.extend_from_slice(rest);
    out
}

/// What is the same on every host, for a service that runs as root.
fn of_system(letter: u8, name: &str) -> Option<Vec<u8>> {
    let text = match letter {
        b'I' => return Some(unescaped(of_name(b'i', name)?)),
        b'P' => return Some(unescaped(of_name(b'p', name)?)),
        b'J' => return Some(unescaped(of_name(b'j', name)?)),
        b'f' => {
            let of = of_name(b'i', name).filter(|instance| !instance.is_empty());
            let path = unescaped(of.or_else(|| of_name(b'p', name))?);
            return Some(if path.starts_with(b"/") { path } else { [b"/", path.as_slice()].concat() });
        }
        b't' => "/run",
        b'S' => "/var/lib",
        b'C' => "/var/cache",
        b'L' => "/var/log",
        b'E' => "/etc",
        b'T' => "/tmp",
        b'V' => "/var/tmp",
        b'h' => "/root",
        b's' => "/bin/sh",
        b'u' | b'g' => "root",
        b'U' | b'G' => "0",
        _ => return None,
    };
    Some(text.as_bytes().to_vec())
}

/// `-` is `/`, and `\xNN` a byte: systemd.unit(5), "String Escaping for Inclusion in Unit Names".
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.bytes().next() {
        let byte = rest
            .strip_prefix("\\x")
            .and_then(|hex| hex.get(..2))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let taken = if byte.is_some() { 4 } else { 1 };
        out.push(byte.unwrap_or(if letter == b'-' { b'/' } else { letter }));
        // The names of units are ASCII.
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(texts: &[&str]) -> Service {
        let path = HostPath::from("/etc/systemd/system/k3s-a@b\\x2dc-d.service");
        let unit = UnitName::from("k3s-a@b\\x2dc-d.service");
        Service::read(unit, texts.iter().map(|text| (path.clone(), text.as_bytes())))
    }

    fn exec(value: &str) -> Vec<String> {
        let service = read(&[&format!("[Service]\nExecStart={value}\n")]);
        service.exec.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn a_command_is_what_systemd_would_run() {
        for (value, wanted) in [
            ("/usr/bin/kubelet --a $B ${C}", &["/usr/bin/kubelet", "--a", "$B", "${C}"][..]),
            ("-/bin/a 'b c' \"d\"", &["/bin/a", "b c", "d"]),
            ("@/bin/a named --b", &["/bin/a", "--b"]),
            ("-:+@/bin/a named --b", &["/bin/a", "--b"]),
            ("!!/bin/a b", &["/bin/a", "b"]),
            ("/bin/a b ; /bin/c d", &["/bin/a", "b"]),
            ("/bin/a b \\; c", &["/bin/a", "b", ";", "c"]),
            ("/bin/a ;b", &["/bin/a", ";b"]),
            (
                "/bin/a %n %p %i %I %% %t %5",
                &["/bin/a", "k3s-a@b\\x2dc-d.service", "k3s-a", "b\\x2dc-d", "b-c/d", "%", "/run", "%5"],
            ),
            ("/bin/a --h=%H", &["/bin/a", "--h=\0"]),
            ("/bin/a 'b", &[]),
            ("-", &[]),
        ] {
            assert_eq!(exec(value), wanted, "{value}");
        }
    }

    #[test]
    fn later_files_add_reset_and_replace() {
        let service = read(&[
            "[Service]\nExecStart=/bin/a\nEnvironment=A=1 \"B=2 3\" A=4\nEnvironmentFile=/etc/a\n",
            "[Service]\nExecStart=\nExecStart=:/bin/b $A\nEnvironment=C=%p\nEnvironmentFile=-/etc/default/%p*\n",
            "[Unit]\nExecStart=/bin/c\n",
        ]);
        assert_eq!(service.exec, [b"/bin/b".to_vec(), b"$A".to_vec()]);
        assert!(!service.expands);
        let environment: Vec<_> =
            service.environment.iter().map(|(a, b)| (a.as_slice(), b.as_slice())).collect();
        assert_eq!(environment, [(&b"A"[..], &b"4"[..]), (b"B", b"2 3"), (b"C", b"k3s-a")]);
        let files: Vec<_> =
            service.environment_files.iter().map(|file| (file.path.to_string(), file.optional)).collect();
        assert_eq!(files, [("/etc/a".to_owned(), false), ("/etc/default/k3s-a*".to_owned(), true)]);
        let service =
            read(&["[Service]\nEnvironment=A=1\nEnvironmentFile=/a\nEnvironment=\nEnvironmentFile=\n"]);
        assert_eq!((service.environment, service.environment_files), (Environment::new(), vec![]));
    }

    #[test]
    fn what_systemd_ignores_is_told_with_file_and_line() {
        let service = read(&[
            "nonsense\n[Service]\nExecStart=/bin/a 'b\nEnvironment=A=1 2=3 B=4\nEnvironmentFile=etc/a\n",
        ]);
        let lines: Vec<_> =
            service.unread.iter().map(|unread| unread.error.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 1", "line 3", "line 4", "line 5"]);
        assert_eq!(service.environment.len(), 2);
    }

    proptest! {
        #[test]
        fn no_unit_file_is_too_odd(text: Vec<u8>, odd in "[-@:%$;'\"\\\\ aH=\n]*") {
            let path = HostPath::from("/etc/a.service");
            let lines = format!("[Service]\nExecStart={odd}\nEnvironment={odd}\nEnvironmentFile={odd}\n");
            let files = [(path.clone(), text.as_slice()), (path, lines.as_bytes())];
            Service::read(UnitName::from("a@b.service"), files);
        }
    }
}
