//! Scene: which text may be shown how, by where it lies.

use super::secrets::{REDACTED, is_secret};
use super::values::{
    Kind, is, is_file_system, is_iscsi_name, is_key, is_path, is_unit, is_unit_word, is_variable, is_word,
    options, shown, source,
};
use super::words::{Words, plain};
use super::yaml::yaml;
use crate::iscsi::conf::{Conf, STARTUP};
use crate::iscsi::multipath::conf::{Effect, Section, Statement, Why, statements};
use crate::model::generated::{self, Origin};
use crate::model::path::HostPath;
use crate::profile::{BUILTIN, DRIVERS};

/// Modules that csihost knows of.
pub const MODULES: [&[u8]; 11] = [
    b"iscsi_tcp",
    b"libiscsi",
    b"dm_crypt",
    b"dm_multipath",
    b"nfs",
    b"nfsv4",
    b"nvme_tcp",
    b"nvme_fabrics",
    b"vfio_pci",
    b"uio_pci_generic",
    b"uio",
];

/// True for a copy of a profile that is part of the program.
fn is_builtin(text: &[u8]) -> bool {
    BUILTIN.iter().chain(&DRIVERS).any(|(_, profile)| profile.as_bytes() == text)
}

/// What of the file at `path` a scene may hold.
pub fn presentable(path: &HostPath, text: &[u8]) -> Vec<u8> {
    let name = path.file_name();
    let ends = |end: &str| name.ends_with(end.as_bytes());
    let below = |directory: &'static str| path.starts_with(&HostPath::from(directory));
    let units = path.components().any(|part| part == b"systemd")
        || path.components().any(|part| part.ends_with(b".d"));
    match name {
        // Its digest says that nobody put anything in; another byte would make it an edited one.
        _ if generated::origin(text) == Origin::Ours => text.to_vec(),
        b"iscsid.conf" => iscsid_conf(text),
        b"initiatorname.iscsi" => lines(text, initiator_name),
        b"os-release" | b"initrd-release" => lines(text, os_release),
        // RancherOS: which console has been started.
        b"console-done" if below("/run") => lines(text, |line| match is_key(line) {
            true => line.to_vec(),
            false => REDACTED.to_vec(),
        }),
        b"receipt.json" => receipt(text),
        b"fstab" => fstab(text),
        b"multipath.conf" => multipath(text),
        _ if below("/etc/multipath") => multipath(text),
        _ if is_builtin(text) => text.to_vec(),
        _ if (below("/etc/csihost") || below("/run/csihost") || below("/usr/lib/csihost"))
            && ends(".toml") =>
        {
            lines(text, setting)
        }
        _ if below("/run/csihost") => REDACTED.to_vec(),
        _ if below("/etc/modules-load.d") => lines(text, module),
        _ if [".service", ".socket", ".mount", ".target", ".slice", ".path", ".timer"]
            .iter()
            .any(|end| ends(end)) =>
        {
            unit(text)
        }
        _ if ends(".conf") && units => unit(text),
        _ if ends(".env") || below("/etc/default") || below("/etc/sysconfig") || below("/etc/conf.d") => {
            lines(text, variable)
        }
        _ if path.components().any(|part| part == b"args") => {
            lines(text, |line| words(line, &mut Words::default()))
        }
        // It takes out all that it does not know.
        _ => yaml(text),
    }
}

fn lines(text: &[u8], one: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let lines = text.split_inclusive(|&b| b == b'\n').map(|line| match line.strip_suffix(b"\n") {
        Some(line) => [one(line).as_slice(), b"\n"].concat(),
        None => one(line),
    });
    lines.collect::<Vec<_>>().concat()
}

/// iscsid.conf: the startup line in effect and those that compete with it, and a few keys that
/// hold no secret. A line that iscsid's parser finds a startup command in stays one.
fn iscsid_conf(text: &[u8]) -> Vec<u8> {
    const KEYS: [&[u8]; 4] =
        [STARTUP, b"iscsid.safe_logout", b"node.startup", b"node.session.timeo.replacement_timeout"];
    let mut out = Vec::with_capacity(text.len());
    let mut startups = Conf::new(text).competing().into_iter().peekable();
    for line in Conf::new(text).lines() {
        let ended = line.bytes.ends_with(b"\n");
        let body = line.bytes.strip_suffix(b"\n").unwrap_or(line.bytes);
        let (name, value) = match body.iter().position(|&b| b == b'=') {
            Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..)),
            None => (body, None),
        };
        let start = name.iter().position(|b| !b"#; \t".contains(b)).unwrap_or(name.len());
        let key = name.get(start..).unwrap_or_default().trim_ascii();
        let startup = startups.next_if(|found| found.line.at == line.at);
        match (value, startup) {
            (Some(value), _) if KEYS.contains(&key) && body.len() < 512 => {
                let before = name.get(..start).unwrap_or_default();
                let key = name.get(start..).unwrap_or_default();
                let value = match key.trim_ascii() == STARTUP {
                    true => command(value),
                    false => shown(Kind::Word, value),
                };
                out.extend([before, key, b"=", &value].concat());
            }
            (_, Some(found)) if !is_secret(name) => {
                out.extend([b"; ", STARTUP, b" = ", &command(found.value)].concat());
            }
            (Some(_), _) if !name.starts_with(b"#") && is_iscsi_key(key) => {
                out.extend([name, b"= ", REDACTED].concat());
            }
            (None, None) if body.trim_ascii().is_empty() => out.extend_from_slice(body),
            _ => out.extend_from_slice(b"# redacted"),
        }
        if ended {
            out.push(b'\n');
        }
    }
    out
}

/// A command, whose program may lie anywhere.
fn command(text: &[u8]) -> Vec<u8> {
    let mut words = Words::default();
    quoted(text, |word| match is_path(word) {
        true => word.to_vec(),
        false => words.next(word),
    })
}

/// Whether a name is one of open-iscsi's, and not something that was put before a `=`.
fn is_iscsi_key(name: &[u8]) -> bool {
    let prefix = [&b"node."[..], b"discovery.", b"iscsid.", b"isns.", b"iface."];
    let shape = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._[]ANO".contains(b);
    prefix.iter().any(|prefix| name.starts_with(prefix)) && name.len() < 80 && name.iter().all(shape)
}

/// multipath.conf: the rules of the lists and what else decides about them, each on its own line.
fn multipath(text: &[u8]) -> Vec<u8> {
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    let mut statements = statements(text).into_iter().peekable();
    let mut out = Vec::new();
    for number in 1..=count + usize::from(!text.is_empty() && !text.ends_with(b"\n")) {
        let mut shown = Vec::new();
        while let Some(statement) = statements.next_if(|statement| statement.line == number) {
            shown.push(multipath_line(&statement));
        }
        match shown.as_slice() {
            // A line may be longer than multipath's buffer, and so more than one.
            [line] if line.len() < 1000 => out.extend_from_slice(line),
            [] => {}
            _ => out.extend_from_slice(b"# redacted"),
        }
        if number <= count {
            out.push(b'\n');
        }
    }
    out
}

fn multipath_line(statement: &Statement) -> Vec<u8> {
    let keyword = statement.keyword.as_slice();
    let is_list = statement.section.is_list();
    let words: [&[u8]; 7] = [b"devnode", b"wwid", b"property", b"protocol", b"device", b"vendor", b"product"];
    // A name of the list that is spelt in another way.
    let list = keyword.windows(5).any(|part| part.eq_ignore_ascii_case(b"black"))
        && keyword.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_');
    let known = list || words.contains(&keyword);
    let mut line = match &statement.effect {
        Effect::Open(_) => [keyword, b" {"].concat(),
        Effect::Close => b"}".to_vec(),
        Effect::Value(keyword, value) => {
            let kept = match statement.section {
                Section::Defaults => matches!(keyword.as_slice(), b"find_multipaths" | b"config_dir"),
                Section::Device => {
                    matches!(keyword.as_slice(), b"vendor" | b"product" | b"revision" | b"product_blacklist")
                }
                _ => is_list,
            };
            if !kept {
                return Vec::new();
            }
            let quoted: Vec<u8> =
                value.iter().flat_map(|&b| std::iter::repeat_n(b, 1 + usize::from(b == b'"'))).collect();
            [keyword, &b" \""[..], &quoted, b"\""].concat()
        }
        Effect::Ignored(Why::NoValue) if is_list || known => return keyword.to_vec(),
        // In quotes it is ignored wherever it is.
        Effect::Ignored(Why::Keyword) if known => [b"\"", keyword, b"\" redacted"].concat(),
        Effect::Ignored(Why::Keyword) if is_list => b"\"redacted\" redacted".to_vec(),
        Effect::Ignored(_) => return Vec::new(),
    };
    if !statement.extra.is_empty() && !matches!(statement.effect, Effect::Ignored(_)) {
        line.extend(b" redacted");
    }
    line
}

fn initiator_name(line: &[u8]) -> Vec<u8> {
    if line.trim_ascii().is_empty() {
        return line.to_vec();
    }
    let at = line.iter().position(|&b| b == b'=').unwrap_or(line.len());
    let (key, rest) = line.split_at(at);
    let Some(value) = rest.strip_prefix(b"=") else { return b"# redacted".to_vec() };
    let stays = match key.trim_ascii() {
        b"InitiatorName" => is_iscsi_name(value.trim_ascii()),
        b"GenerateName" => is_word(value.trim_ascii()),
        b"InitiatorAlias" => value.trim_ascii().is_empty(),
        _ => return b"# redacted".to_vec(),
    };
    [key, b"=", if stays { value } else { REDACTED }].concat()
}

/// A line of os-release(5): the names and versions of the distribution.
fn os_release(line: &[u8]) -> Vec<u8> {
    const KEYS: [&[u8]; 12] = [
        b"NAME",
        b"PRETTY_NAME",
        b"ID",
        b"ID_LIKE",
        b"VERSION",
        b"VERSION_ID",
        b"VERSION_CODENAME",
        b"VARIANT",
        b"VARIANT_ID",
        b"BUILD_ID",
        b"PLATFORM_ID",
        b"OSTREE_VERSION",
    ];
    if line.trim_ascii().is_empty() {
        return line.to_vec();
    }
    let at = line.iter().position(|&b| b == b'=').unwrap_or(line.len());
    let (key, value) = line.split_at(at);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b" ._:()/+-=\"',~".contains(b);
    match KEYS.contains(&key) && value.len() < 100 && value.iter().all(plain) {
        true => line.to_vec(),
        false => b"# redacted".to_vec(),
    }
}

/// A line of modules-load.d(5): modules that csihost knows.
fn module(line: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = line.trim_ascii().iter().map(|&b| if b == b'-' { b'_' } else { b }).collect();
    match name.is_empty() || MODULES.contains(&name.as_slice()) {
        true => line.to_vec(),
        false => b"# redacted".to_vec(),
    }
}

/// A line of csihost's own settings, or of an os-profile: keys, and values that settings have.
fn setting(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(&first) = rest.first() {
        match first {
            b'#' => {
                out.extend_from_slice(b"# redacted");
                return out;
            }
            b'"' | b'\'' => {
                let end = rest.iter().skip(1).position(|&b| b == first).map_or(rest.len(), |at| at + 1);
                let inner = rest.get(1..end).unwrap_or_default();
                let stays = is(Kind::Path, inner)
                    || is(Kind::Driver, inner)
                    || is_unit(inner)
                    || is_iscsi_name(inner)
                    || inner.split(|&b| b == b'/').all(is_key);
                out.push(first);
                out.extend_from_slice(if stays { inner } else { REDACTED });
                out.extend(rest.get(end));
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            _ => {
                let end = rest.iter().position(|b| b"#\"'".contains(b)).unwrap_or(rest.len());
                let (bare, after) = rest.split_at(end);
                let mut word = Vec::new();
                for &byte in bare.iter().chain(b" ") {
                    match byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
                        true => word.push(byte),
                        false => {
                            let stays = word.is_empty() || is_word(&word) || is_key(&word);
                            out.extend_from_slice(if stays { &word } else { REDACTED });
                            word.clear();
                            out.push(byte);
                        }
                    }
                }
                out.pop();
                rest = after;
            }
        }
    }
    out
}

/// The receipt without the lines that it holds of other people's files.
fn receipt(text: &[u8]) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(text) else { return REDACTED.to_vec() };
    let changes = json.get_mut("changes").and_then(|changes| changes.as_array_mut());
    for change in changes.into_iter().flatten() {
        if let Some(splices) = change.get_mut("splices") {
            *splices = serde_json::Value::Array(Vec::new());
        }
    }
    known(&mut json);
    serde_json::to_vec_pretty(&json).unwrap_or_else(|_| REDACTED.to_vec())
}

/// Takes out of a document what is no value of csihost's: paths, units, digests, names of drivers, kinds.
fn known(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::String(text) => {
            let bytes = text.as_bytes();
            let id = matches!(bytes.len(), 32 | 36 | 64)
                && bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
            let stays = id
                || is(Kind::Path, bytes)
                || is(Kind::Driver, bytes)
                || is_unit(bytes)
                || is_iscsi_name(bytes)
                || bytes.split(|b| b"/ :".contains(b)).all(is_key);
            if !stays {
                *text = "redacted".to_owned();
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(known),
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| is_key(name.as_bytes()));
            fields.values_mut().for_each(known);
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// Takes out of messages what they quote of files and arguments, unless it is a path or a known word.
pub fn messages(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::String(text) if text.contains('"') => {
            let parts = text.split('"').enumerate().map(|(at, part)| {
                match at % 2 == 0 || is(Kind::Path, part.as_bytes()) {
                    true => part,
                    false => "redacted",
                }
            });
            *text = parts.collect::<Vec<_>>().join("\"");
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(messages),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(messages),
        _ => {}
    }
}

/// `NAME=value` of an environment file or of Environment=.
fn variable(line: &[u8]) -> Vec<u8> {
    let trimmed = line.trim_ascii();
    if trimmed.is_empty() {
        return line.to_vec();
    }
    let Some(at) = line.iter().position(|&b| b == b'=').filter(|_| !trimmed.starts_with(b"#")) else {
        return b"# redacted".to_vec();
    };
    let (name, value) = line.split_at(at + 1);
    let bare = name.strip_suffix(b"=").unwrap_or(name).trim_ascii();
    let bare = bare.strip_prefix(b"export ").unwrap_or(bare);
    let lower = |b: &u8| b.is_ascii_lowercase() || *b == b'_';
    if !is_variable(bare) && !bare.iter().all(lower) {
        return b"# redacted".to_vec();
    }
    match is_secret(name) {
        true => [name, REDACTED].concat(),
        false if name.ends_with(b"_CONFIG_FILE=") => [name, &shown(Kind::Path, value)].concat(),
        false => [name, &words(value, &mut Words::default())].concat(),
    }
}

/// Unit files: what is run keeps its known words, variables theirs, credentials nothing.
fn unit(text: &[u8]) -> Vec<u8> {
    let mut state = UnitLine::Plain;
    let mut run = Words::default();
    let mut continued = false;
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (body, end) = match line.strip_suffix(b"\n") {
            Some(body) => (body, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        let comment = body.trim_ascii_start().first().is_some_and(|first| b"#;".contains(first));
        // A comment between continued lines does not end them (systemd.syntax(7)).
        if comment {
            out.extend_from_slice(b"# redacted");
            out.extend_from_slice(end);
            continue;
        }
        let (head, value) = match (continued, body.iter().position(|&b| b == b'=')) {
            (false, Some(at)) => {
                let (head, value) = body.split_at(at + 1);
                let key = head.strip_suffix(b"=").unwrap_or_default().trim_ascii();
                state = UnitLine::of(key);
                run = Words::default();
                match is_directive(key) {
                    true => (head, value),
                    false => (&b"# "[..], value),
                }
            }
            (true, _) => (&b""[..], body),
            (false, None) => {
                state = UnitLine::Plain;
                (&b""[..], body)
            }
        };
        let is_section = !continued && body.starts_with(b"[") && body.ends_with(b"]");
        continued = body.ends_with(b"\\");
        out.extend_from_slice(head);
        match state {
            UnitLine::Plain if is_section => {
                let name = body.get(1..body.len() - 1).unwrap_or_default();
                let stays = name.iter().all(|b| b.is_ascii_alphabetic() || *b == b'-');
                out.extend_from_slice(if stays { body } else { b"# redacted" });
            }
            UnitLine::Plain => out.extend(quoted(value, |word| match is_unit_word(word) {
                true => word.to_vec(),
                false => REDACTED.to_vec(),
            })),
            UnitLine::Run => out.extend(words(value, &mut run)),
            UnitLine::Variables => out.extend(quoted(value, |word| match word {
                b"\\" => word.to_vec(),
                word => variable(word),
            })),
            UnitLine::Secret if continued => out.extend([REDACTED, b" \\"].concat()),
            UnitLine::Secret => out.extend_from_slice(REDACTED),
        }
        out.extend_from_slice(end);
    }
    out
}

/// True for what may be a directive: `ExecStart`, `X-Anything`, `BindIPv6Only`.
fn is_directive(key: &[u8]) -> bool {
    let letters = |b: &u8| b.is_ascii_alphabetic() || *b == b'-';
    key.first().is_some_and(u8::is_ascii_uppercase)
        && (key.iter().all(letters) || key.windows(4).any(|part| part == b"IPv6"))
        && key.len() < 40
}

#[derive(Clone, Copy)]
enum UnitLine {
    Plain,
    Run,
    Variables,
    Secret,
}

impl UnitLine {
    fn of(key: &[u8]) -> Self {
        match key {
            b"Environment" => Self::Variables,
            b"EnvironmentFile" | b"PassEnvironment" | b"UnsetEnvironment" | b"ExecSearchPath" => Self::Plain,
            key if key.starts_with(b"Exec") => Self::Run,
            key if key.ends_with(b"Credential")
                || key.ends_with(b"CredentialEncrypted")
                || is_secret(key) =>
            {
                Self::Secret
            }
            _ => Self::Plain,
        }
    }
}

/// Arguments with white space and quotes between them.
fn words(text: &[u8], words: &mut Words) -> Vec<u8> {
    quoted(text, |word| match word {
        b"\\" => word.to_vec(),
        // One quoted word may hold a whole command line: KUBELET_KUBEADM_ARGS="--a --b".
        word if word.contains(&b' ') && word.starts_with(b"-") && !word_is_value(word) => {
            let mut inner = Words::default();
            word.split(|&b| b == b' ').map(|word| inner.next(word)).collect::<Vec<_>>().join(&b' ')
        }
        // `-/usr/bin/x`, `@/usr/bin/x`: systemd's prefixes of a command.
        word if word.first().is_some_and(|b| b"-@:+!".contains(b))
            && word.get(1..).is_some_and(|rest| rest.starts_with(b"/") && plain(rest)) =>
        {
            word.to_vec()
        }
        word => words.next(word),
    })
}

/// `--root-dir=/a b` is one word with a space in its value; `--a --b` are two.
fn word_is_value(word: &[u8]) -> bool {
    !word.windows(2).any(|pair| pair == b" -")
}

/// Applies `one` to each word; what is between words, and the quotes around one, stay.
fn quoted(text: &[u8], mut one: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let space = rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
        let (white, word) = rest.split_at(space);
        out.extend_from_slice(white);
        let Some(&first) = word.first() else { return out };
        let mut quote = None;
        let end = word
            .iter()
            .position(|&b| match quote {
                Some(open) if b == open => {
                    quote = None;
                    false
                }
                Some(_) => false,
                None if b == b'"' || b == b'\'' => {
                    quote = Some(b);
                    false
                }
                None => b.is_ascii_whitespace(),
            })
            .unwrap_or(word.len());
        let (this, after) = word.split_at(end);
        let inside = (this.len() >= 2 && b"\"'".contains(&first) && this.ends_with(&[first]))
            .then(|| this.get(1..this.len() - 1))
            .flatten();
        match inside {
            Some(inside) => out.extend([&[first][..], &one(inside), &[first]].concat()),
            None => out.extend(one(this)),
        }
        rest = after;
    }
}

/// A mount table: options and sources of file systems may hold passwords.
pub fn mountinfo(text: &[u8]) -> Vec<u8> {
    lines(text, |row| {
        let fields: Vec<&[u8]> = row.split(|&b| b == b' ').collect();
        // After optional fields a dash, then the type, the source and the options (proc_pid_mountinfo(5)).
        let dash = fields.iter().skip(6).position(|field| *field == b"-").map(|at| at + 6);
        let fs_type = dash.and_then(|dash| fields.get(dash + 1)).copied().unwrap_or_default();
        let shown = fields.iter().enumerate().map(|(at, field)| match (at, dash) {
            (0..=2, _) if is_numbers(field) => field.to_vec(),
            (3 | 4, _) if field.starts_with(b"/") || is_object(field) => field.to_vec(),
            (5, _) => options(field),
            (_, Some(dash)) if at == dash => field.to_vec(),
            (_, Some(dash)) if at == dash + 1 && is_type(field) => field.to_vec(),
            (_, Some(dash)) if at == dash + 2 => source(field, fs_type),
            (_, Some(dash)) if at == dash + 3 => options(field),
            (6.., Some(dash)) if at < dash && is_peer_group(field) => field.to_vec(),
            _ => REDACTED.to_vec(),
        });
        match row.is_empty() {
            true => Vec::new(),
            false => shown.collect::<Vec<_>>().join(&b' '),
        }
    })
}

/// `36`, `8:1`.
fn is_numbers(field: &[u8]) -> bool {
    field.len() < 24 && field.iter().all(|b| b.is_ascii_digit() || *b == b':')
}

/// `net:[4026531840]`: the root of a mount of a namespace's handle.
fn is_object(field: &[u8]) -> bool {
    let at = field.windows(2).position(|pair| pair == b":[");
    at.is_some_and(|at| {
        let (name, number) = field.split_at(at);
        name.iter().all(u8::is_ascii_lowercase)
            && number.iter().all(|b| b.is_ascii_digit() || b":[]".contains(b))
    })
}

/// A type of file systems: a known one, or letters.
fn is_type(field: &[u8]) -> bool {
    is_file_system(field) || field.iter().all(|b| b.is_ascii_lowercase() || *b == b'.')
}

/// An optional field: `shared:1`, `master:1`, `propagate_from:1`, `unbindable`.
fn is_peer_group(field: &[u8]) -> bool {
    let at = field.iter().position(|&b| b == b':').unwrap_or(field.len());
    let (name, number) = field.split_at(at);
    matches!(name, b"shared" | b"master" | b"propagate_from" | b"unbindable") && is_numbers(number)
}

/// Of fstab what concerns the kubelet.
pub fn fstab(text: &[u8]) -> Vec<u8> {
    let rows = text.split_inclusive(|&b| b == b'\n');
    let ours = rows.filter(|row| !row.starts_with(b"#") && row.windows(7).any(|part| part == b"kubelet"));
    lines(&ours.collect::<Vec<_>>().concat(), |row| {
        let mut field = 0;
        let fs_type =
            row.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(2).unwrap_or_default();
        quoted_never(row, |word| {
            field += 1;
            match field {
                1 => source(word, fs_type),
                2 if word.starts_with(b"/") || word == b"none" => word.to_vec(),
                3 if word.split(|&b| b == b',').all(is_type) => word.to_vec(),
                4 => options(word),
                5 | 6 if is_numbers(word) => word.to_vec(),
                // What follows the sixth field counts for nobody; a comment there may say anything.
                _ => REDACTED.to_vec(),
            }
        })
    })
}

/// Applies `one` to each word; quotes are signs like others.
fn quoted_never(text: &[u8], mut one: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for part in text.chunk_by(|a, b| a.is_ascii_whitespace() == b.is_ascii_whitespace()) {
        match part.first().is_some_and(u8::is_ascii_whitespace) {
            true => out.extend_from_slice(part),
            false => out.extend(one(part)),
        }
    }
    out
}

/// Of /proc/PID/net/unix the rows that concern Kubernetes, CSI and iSCSI. What a row says is not
/// asked for sense: one that somebody forged is evidence too.
pub fn net_unix(text: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"Num ",
        b"/pod-resources/",
        b"kubelet",
        b"csi",
        b"registration",
        b"plugins",
        b"containerd",
        b"ISCSI",
    ];
    let rows = text.split_inclusive(|&b| b == b'\n');
    let ours = rows.filter(|row| WORDS.iter().any(|word| row.windows(word.len()).any(|part| part == *word)));
    lines(&ours.collect::<Vec<_>>().concat(), |row| {
        if row.starts_with(b"Num ") {
            return b"Num       RefCount Protocol Flags    Type St Inode Path".to_vec();
        }
        // Num, RefCount, Protocol, Flags, Type, St, Inode, and the name, which may have spaces in it.
        let hex = |word: &[u8]| word.iter().all(|b| b.is_ascii_hexdigit() || *b == b':');
        let mut rest = row;
        let mut out = Vec::with_capacity(row.len());
        for _ in 0..7 {
            let start = rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
            let (white, word) = rest.split_at(start);
            let (word, after) =
                word.split_at(word.iter().position(u8::is_ascii_whitespace).unwrap_or(word.len()));
            out.extend([white, if hex(word) { word } else { REDACTED }].concat());
            rest = after;
        }
        let (white, name) =
            rest.split_at(rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len()));
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-:@[]+~".contains(b);
        let is_kubelets = name.windows(15).any(|part| part == b"/pod-resources/") && is_path(name);
        let stays = name.is_empty()
            || is_kubelets
            || name.first().is_some_and(|b| b"/@".contains(b)) && name.iter().all(plain);
        [out.as_slice(), white, if stays { name } else { REDACTED }].concat()
    })
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
