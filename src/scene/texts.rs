//! Scene: which text may be shown how, by where it lies.

use super::secrets::{REDACTED, is_secret, without_credentials};
use super::words::{Words, plain};
use super::yaml::yaml;
use crate::iscsi::conf::{Conf, STARTUP};
use crate::iscsi::multipath::conf::{Effect, Section, Statement, Why, statements};
use crate::model::generated::{self, Origin};
use crate::model::path::HostPath;

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
        b"os-release" | b"initrd-release" => text.to_vec(),
        // RancherOS: which console has been started.
        b"console-done" if below("/run") => text.to_vec(),
        b"receipt.json" => receipt(text),
        b"fstab" => fstab(text),
        b"multipath.conf" => multipath(text),
        _ if below("/etc/multipath") => multipath(text),
        _ if below("/etc/csihost") || below("/run/csihost") || below("/usr/lib/csihost") => {
            without_credentials(text)
        }
        _ if below("/etc/modules-load.d") => text.to_vec(),
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
            (Some(_), _) if KEYS.contains(&key) && body.len() < 512 => out.extend(without_credentials(body)),
            (_, Some(found)) if !is_secret(name) => {
                out.extend([b"; ", STARTUP, b" = ", &without_credentials(found.value)].concat());
            }
            (Some(_), _) if !name.starts_with(b"#") && is_key(key) => {
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

/// Whether a name is one of open-iscsi's, and not something that was put before a `=`.
fn is_key(name: &[u8]) -> bool {
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
    let kept = [&b"InitiatorName"[..], b"InitiatorAlias", b"GenerateName"];
    match kept.iter().any(|key| line.trim_ascii_start().starts_with(key)) || line.trim_ascii().is_empty() {
        true => line.to_vec(),
        false => b"# redacted".to_vec(),
    }
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
    serde_json::to_vec_pretty(&json).unwrap_or_else(|_| REDACTED.to_vec())
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
    match is_secret(name) {
        true => [name, REDACTED].concat(),
        // A file's name may be a URL.
        false if name.ends_with(b"_CONFIG_FILE=") => [name, &without_credentials(value)].concat(),
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
                state = UnitLine::of(head.strip_suffix(b"=").unwrap_or_default().trim_ascii());
                run = Words::default();
                (head, value)
            }
            (true, _) => (&b""[..], body),
            (false, None) => {
                state = UnitLine::Plain;
                (&b""[..], body)
            }
        };
        continued = body.ends_with(b"\\");
        out.extend_from_slice(head);
        match state {
            UnitLine::Plain => out.extend(without_credentials(value)),
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
        let fields = row.split(|&b| b == b' ').map(options);
        fields.collect::<Vec<_>>().join(&b' ')
    })
}

fn options(field: &[u8]) -> Vec<u8> {
    let shown = field.split(|&b| b == b',').map(|option| match option.iter().position(|&b| b == b'=') {
        Some(at) if is_secret(option.get(..at).unwrap_or_default()) => {
            [option.get(..=at).unwrap_or_default(), REDACTED].concat()
        }
        // A share of Windows': `//user:password@host/share`.
        _ if option.starts_with(b"//") => {
            without_credentials(&[b":", option].concat()).get(1..).unwrap_or_default().to_vec()
        }
        _ => without_credentials(option),
    });
    shown.collect::<Vec<_>>().join(&b',')
}

/// Of fstab what concerns the kubelet.
pub fn fstab(text: &[u8]) -> Vec<u8> {
    let rows = text.split_inclusive(|&b| b == b'\n');
    let ours = rows.filter(|row| !row.starts_with(b"#") && row.windows(7).any(|part| part == b"kubelet"));
    mountinfo(&ours.collect::<Vec<_>>().concat())
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
    without_credentials(&ours.collect::<Vec<_>>().concat())
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
