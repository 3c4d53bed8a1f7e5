//! iSCSI: initiatorname.iscsi, the file that names this host to iSCSI targets.

use super::conf;
use crate::model::digest::Digest;
use crate::model::edit::{self, Splice, Text};
use crate::model::facts::{Facts, Mode};
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::model::receipt::InitiatorRecord;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitiatorName {
    /// There is no file.
    Missing,
    /// The file names no initiator.
    Empty,
    /// Debian's request to make a name when the service starts (`GenerateName=yes`).
    Generate,
    /// The name that iscsid uses.
    Named(Vec<u8>),
}

/// Reads initiatorname.iscsi; `None` where there is none.
///
/// iscsid reads the name with `cfg_get_string_param()` (see [`super::conf`]): the first one wins.
/// Debian's startup-checks.sh looks for a line that begins with `GenerateName=yes`; a name beside
/// it is still the one that a running iscsid has.
pub fn parse(file: Option<&[u8]>) -> InitiatorName {
    let Some(bytes) = file else {
        return InitiatorName::Missing;
    };
    match conf::first_value(bytes, b"InitiatorName") {
        Some(name) => InitiatorName::Named(name.to_vec()),
        None if bytes.split(|&b| b == b'\n').any(|line| line.starts_with(b"GenerateName=yes")) => {
            InitiatorName::Generate
        }
        None => InitiatorName::Empty,
    }
}

/// What is wrong with a name, which iscsid takes as it is written; `None` where it has the form of one.
///
/// RFC 7143, 4.2.7: `iqn.` with the month in which a domain was owned, its name reversed, and after a colon what its owner
/// likes; `eui.` or `naa.` with hexadecimal digits. Of the characters more pass than the RFC allows (capitals, `_`): targets
/// take them, and many nodes have them.
pub fn fault(name: &[u8]) -> Option<&'static str> {
    /// Octets, with the final NUL left out (RFC 7143, 4.2.7.1).
    const LONGEST: usize = 223;
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-.:_".contains(b) || !b.is_ascii();
    let hexadecimal = |digits: &[u8], lengths: &[usize]| {
        lengths.contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit)
    };
    if name.len() > LONGEST {
        return Some("it is longer than 223 bytes");
    }
    if let Some(bad) = name.iter().find(|b| !is_allowed(b)) {
        return Some(match bad {
            b'"' | b'\'' => "it has quotes, which iscsid takes as a part of the name",
            b'$' | b'`' => "it has a variable or a command in it, which nothing replaces",
            b' ' | b'\t' => "it has a space in it",
            b'=' => "it has \"=\" in it: the key is written twice",
            _ => "it has a character that no name can have",
        });
    }
    let is_iqn = |rest: &[u8]| {
        let authority = rest.split(|&b| b == b':').next().unwrap_or_default();
        let month = |at: usize, more: &[u8]| more.len() >= at && more.iter().take(at).all(u8::is_ascii_digit);
        month(4, authority)
            && authority.get(4) == Some(&b'-')
            && month(2, authority.get(5..).unwrap_or_default())
            && authority.get(7) == Some(&b'.')
            && authority.len() > 8
    };
    let lower = name.to_ascii_lowercase();
    let is_name = match lower.get(..4) {
        Some(b"iqn.") => is_iqn(lower.get(4..).unwrap_or_default()),
        Some(b"eui.") => hexadecimal(lower.get(4..).unwrap_or_default(), &[16]),
        Some(b"naa.") => hexadecimal(lower.get(4..).unwrap_or_default(), &[16, 32]),
        _ => false,
    };
    (!is_name).then_some("it has not the form of one: iqn.YYYY-MM.DOMAIN:NAME, eui.… or naa.…")
}

/// Whether this host's name is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// It has this name, and nothing speaks against it.
    Own(Vec<u8>),
    /// It has none, and each machine that this image becomes makes its own.
    AtFirstBoot,
    /// An image has this name, and so will all machines that it becomes.
    Baked(Vec<u8>),
    /// It needs a new one.
    Needed {
        /// Why.
        why: &'static str,
        /// The one that it has, and shares with others.
        shared: Option<Vec<u8>>,
    },
    /// Nobody can read or write it, and why.
    Unusable(String),
}

/// Where images keep what they fill /etc with: ostree's (ostree-admin-deploy(1)), systemd's
/// (tmpfiles.d(5), `C`), Flatcar's. A name that is there too came with the image: Fedora CoreOS
/// had one, the same for all machines of a release (coreos/fedora-coreos-tracker#596).
const IMAGES: [&str; 3] = ["/usr/etc", "/usr/share/factory/etc", "/usr/share/flatcar/etc"];

/// Where an image may have the file that is at `path` in /etc.
pub fn image_copies(path: &HostPath) -> Vec<HostPath> {
    let below = path.below(&HostPath::from("/etc")).map(<[u8]>::to_vec);
    below.iter().flat_map(|name| IMAGES.map(|image| HostPath::from(image).join(name))).collect()
}

/// Judges the initiator name of the host with these facts. `baked` are names that are known to be
/// part of an image.
pub fn naming(facts: &Facts, path: &HostPath, baked: &[String]) -> Naming {
    let file = facts.file(path);
    match file {
        FileFact::Absent | FileFact::File(_) => {}
        FileFact::Directory | FileFact::Special | FileFact::Masked => {
            return Naming::Unusable(format!("{path} is not a file"));
        }
        FileFact::Unreadable(why) => return Naming::Unusable(why.clone()),
    }
    let needed = |why| match facts.mode {
        Mode::Live => Naming::Needed { why, shared: None },
        Mode::Offline => Naming::AtFirstBoot,
    };
    let name = match parse(file.bytes()) {
        InitiatorName::Missing => return needed("there is none"),
        InitiatorName::Empty => return needed("the file names none"),
        InitiatorName::Generate => return needed("the file asks for one to be made"),
        InitiatorName::Named(name) => name,
    };
    if facts.mode == Mode::Offline {
        return match facts.machine.id {
            Some(_) => Naming::Own(name),
            None => Naming::Baked(name),
        };
    }
    let shared = |why| Naming::Needed { why, shared: Some(name.clone()) };
    let of_image = |copy: &HostPath| parse(facts.file(copy).bytes()) == InitiatorName::Named(name.clone());
    if baked.iter().any(|baked| baked.as_bytes() == name) || image_copies(path).iter().any(of_image) {
        return shared("every machine of this image has the same");
    }
    match &facts.initiator {
        // Somebody gave this host another name since: that is the one to go by.
        Some(record) if record.name != Digest::of(&name) => Naming::Own(name),
        Some(record) if facts.machine.id.is_some() && record.machine != facts.machine.id => {
            shared("it was made for another machine, of which this one is a copy")
        }
        _ => Naming::Own(name),
    }
}

/// What is to be remembered of the name, where that is not what is remembered.
///
/// A host that runs without a machine-id remembers nothing: once it has one (Alpine's comes with
/// D-Bus), what it remembered would read as a name made for another machine. Of an image just that
/// is meant.
pub fn to_remember(facts: &Facts, path: &HostPath, baked: &[String]) -> Option<InitiatorRecord> {
    let name = match naming(facts, path, baked) {
        Naming::Own(name) | Naming::Baked(name) => name,
        _ => return None,
    };
    if facts.mode == Mode::Live && facts.machine.id.is_none() {
        return None;
    }
    let record = InitiatorRecord { name: Digest::of(&name), machine: facts.machine.id.clone() };
    (facts.initiator.as_ref() != Some(&record)).then_some(record)
}

/// What stands in a diff for the part that is made when the name is written.
pub const OPEN_END: &str = "(12 random digits)";

/// A name: `prefix`, a colon, and twelve hexadecimal digits, as iscsi-iname makes it.
pub fn name(prefix: &str, random: [u8; 6]) -> String {
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}:{digits}")
}

/// The edit that gives a file `name`: its line stands where the old name's, or the request for
/// one, was, and all other lines stay. Every competing line goes: iscsid takes the first,
/// Debian's scripts look at the beginnings of lines, and OpenRC's run the file.
pub fn renamed(file: &[u8], name: &str) -> Vec<Splice> {
    let new = format!("InitiatorName={name}\n").into_bytes();
    let mut splices = Vec::new();
    for (at, line) in edit::lines_at(file) {
        if conf::first_value(line, b"InitiatorName").is_some() || is_assignment(line) {
            let new = if splices.is_empty() { new.clone() } else { Vec::new() };
            splices.push(Splice { at, old: Text(line.to_vec()), new: Text(new) });
        }
    }
    if splices.is_empty() {
        let broken = !file.is_empty() && !file.ends_with(b"\n");
        let new = if broken { [b"\n", new.as_slice()].concat() } else { new };
        splices.push(Splice { at: file.len(), old: Text(Vec::new()), new: Text(new) });
    }
    splices
}

/// Whether a line asks for a name, or names none.
fn is_assignment(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"GenerateName=") || line.starts_with(b"InitiatorName")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_the_form_of_a_name_is_told_and_what_targets_take_is_not() {
        for name in [
            "iqn.1993-08.org.debian:01:aaaabbbbcccc",
            "iqn.2004-10.com.ubuntu:01:k8s_Node-1",
            "iqn.2021-05.com.example",
            "eui.02004567A425678D",
            "naa.52004567BA64678D",
        ] {
            assert_eq!(fault(name.as_bytes()), None, "{name}");
        }
        for (name, why) in [
            ("worker-7", "form"),
            ("\"iqn.1993-08.org.debian:01:aa\"", "quotes"),
            ("iqn.2004-10.com.ubuntu:01:${HOSTNAME}", "variable"),
            ("iqn.2021-05.com.example:rack 4", "space"),
            ("InitiatorName=iqn.1993-08.org.debian:01:aa", "twice"),
            ("iqn.21-05.com.example:a", "form"),
            ("iqn.2021-05.", "form"),
            ("eui.0200", "form"),
            ("", "form"),
            (&format!("iqn.2021-05.com.example:{}", "a".repeat(223)), "longer"),
        ] {
            assert!(fault(name.as_bytes()).is_some_and(|text| text.contains(why)), "{name}");
        }
    }

    #[test]
    fn the_name_is_the_one_that_iscsid_uses() {
        let named = |name: &str| InitiatorName::Named(name.as_bytes().to_vec());
        for (text, expected) in [
            ("InitiatorName=iqn.1993-08.org.debian:01:ab\n", named("iqn.1993-08.org.debian:01:ab")),
            ("## DO NOT EDIT\n#InitiatorName=iqn.a\nInitiatorName = iqn.b \r\n", named("iqn.b")),
            ("InitiatorName=iqn.a\nInitiatorName=iqn.b", named("iqn.a")),
            ("GenerateName=yes\nInitiatorName=iqn.a\n", named("iqn.a")),
            ("# comment\nGenerateName=yes\n", InitiatorName::Generate),
            ("# GenerateName=yes\n", InitiatorName::Empty),
            ("InitiatorName=\n", InitiatorName::Empty),
            ("", InitiatorName::Empty),
        ] {
            assert_eq!(parse(Some(text.as_bytes())), expected, "{text:?}");
        }
        assert_eq!(parse(None), InitiatorName::Missing);
    }

    const PATH: &str = "/etc/iscsi/initiatorname.iscsi";

    fn host(mode: Mode, text: Option<&str>) -> Facts {
        let mut facts = Facts::new(mode, crate::model::facts::Init::Systemd);
        let path = HostPath::from(PATH);
        if let Some(text) = text {
            let attributes = crate::model::file::Attributes { mode: 0o600, uid: 0, gid: 0 };
            let bytes = text.as_bytes().to_vec();
            let file = crate::model::file::File { bytes, attributes, canonical: path.clone() };
            facts.files.insert(path, FileFact::File(file));
        }
        facts.machine.id = Some(Digest::of(b"this machine"));
        facts
    }

    fn judged(facts: &Facts) -> Naming {
        naming(facts, &HostPath::from(PATH), &["iqn.2020-01.com.example:baked".to_owned()])
    }

    fn is_needed(naming: &Naming) -> bool {
        matches!(naming, Naming::Needed { .. })
    }

    #[test]
    fn a_host_without_a_name_of_its_own_needs_one_and_a_good_name_stays() {
        for text in [
            None,
            Some(""),
            Some("GenerateName=yes\n"),
            Some("InitiatorName=iqn.2020-01.com.example:baked\n"),
        ] {
            assert!(is_needed(&judged(&host(Mode::Live, text))), "{text:?}");
        }
        let good = host(Mode::Live, Some("InitiatorName=iqn.a\n"));
        assert_eq!(judged(&good), Naming::Own(b"iqn.a".to_vec()));
    }

    #[test]
    fn a_name_that_the_image_has_too_is_not_this_machines() {
        let mut facts = host(Mode::Live, Some("InitiatorName=iqn.a\n"));
        let image = HostPath::from("/usr/etc/iscsi/initiatorname.iscsi");
        assert!(image_copies(&HostPath::from(PATH)).contains(&image));
        for (name, needed) in [("iqn.a", true), ("iqn.b", false)] {
            let other = host(Mode::Live, Some(&format!("InitiatorName={name}\n")));
            facts.files.insert(image.clone(), other.file(&HostPath::from(PATH)).clone());
            assert_eq!(is_needed(&judged(&facts)), needed, "{name}");
        }
    }

    #[test]
    fn a_name_that_came_with_a_copied_disk_is_noticed() {
        let record = |name: &[u8], machine: Option<&[u8]>| {
            Some(InitiatorRecord { name: Digest::of(name), machine: machine.map(Digest::of) })
        };
        let mut facts = host(Mode::Live, Some("InitiatorName=iqn.a\n"));
        for (initiator, needed) in [
            (None, false),
            (record(b"iqn.a", Some(b"this machine")), false),
            (record(b"iqn.a", Some(b"another")), true),
            (record(b"iqn.a", None), true),
            // Somebody changed the name after the copy was made.
            (record(b"iqn.b", Some(b"another")), false),
        ] {
            facts.initiator = initiator;
            assert_eq!(is_needed(&judged(&facts)), needed, "{:?}", facts.initiator);
        }
        facts.initiator = record(b"iqn.b", Some(b"another"));
        let remembered = to_remember(&facts, &HostPath::from(PATH), &[]);
        assert_eq!(remembered, record(b"iqn.a", Some(b"this machine")));
        facts.initiator = remembered;
        assert_eq!(to_remember(&facts, &HostPath::from(PATH), &[]), None);
        // A host that cannot tell which machine it is knows no copies.
        facts.machine.id = None;
        facts.initiator = record(b"iqn.a", Some(b"another"));
        assert!(!is_needed(&judged(&facts)));
    }

    #[test]
    fn a_host_that_gets_its_machine_id_late_keeps_its_name() {
        let mut facts = host(Mode::Live, Some("InitiatorName=iqn.a\n"));
        let id = facts.machine.id.take();
        assert_eq!(to_remember(&facts, &HostPath::from(PATH), &[]), None);
        // One that it knew before is not forgotten meanwhile.
        facts.initiator = Some(InitiatorRecord { name: Digest::of(b"iqn.a"), machine: id.clone() });
        assert_eq!(to_remember(&facts, &HostPath::from(PATH), &[]), None);
        facts.machine.id = id;
        assert_eq!(judged(&facts), Naming::Own(b"iqn.a".to_vec()));
    }

    #[test]
    fn an_image_is_not_given_a_name() {
        for text in [None, Some("GenerateName=yes\n")] {
            assert_eq!(judged(&host(Mode::Offline, text)), Naming::AtFirstBoot, "{text:?}");
        }
        let mut image = host(Mode::Offline, Some("InitiatorName=iqn.a\n"));
        image.machine.id = None;
        assert_eq!(judged(&image), Naming::Baked(b"iqn.a".to_vec()));
        let remembered = to_remember(&image, &HostPath::from(PATH), &[]).unwrap();
        assert_eq!(remembered.machine, None);
        let mut machine = host(Mode::Live, Some("InitiatorName=iqn.a\n"));
        machine.initiator = Some(remembered);
        assert!(is_needed(&judged(&machine)), "the machine that the image became");
    }

    proptest::proptest! {
        #[test]
        fn after_the_edit_the_new_name_is_the_only_one(file in "(InitiatorName ?= ?iqn.[a-c]{0,2}|GenerateName=yes|#.{0,4}|[a-z]{0,3}|\n|\r\n){0,8}", random: [u8; 6]) {
            let name = name("iqn.1993-08.org.debian:01", random);
            let edited = crate::model::edit::apply(file.as_bytes(), &renamed(file.as_bytes(), &name)).unwrap();
            proptest::prop_assert_eq!(parse(Some(&edited)), InitiatorName::Named(name.clone().into_bytes()));
            let line = format!("InitiatorName={name}\n");
            let lines: Vec<&[u8]> = edited.split_inclusive(|&b| b == b'\n').collect();
            proptest::prop_assert_eq!(lines.iter().filter(|l| **l == line.as_bytes()).count(), 1);
            proptest::prop_assert!(!lines.iter().any(|l| l.starts_with(b"GenerateName=")));
            // Every other line stays, in its order.
            let kept = |text: &[u8]| -> Vec<Vec<u8>> {
                let lines = text.split(|&b| b == b'\n').map(<[u8]>::to_vec);
                lines.filter(|l| !l.is_empty() && conf::first_value(l, b"InitiatorName").is_none() && !is_assignment(l)).collect()
            };
            proptest::prop_assert_eq!(kept(&edited), kept(file.as_bytes()));
        }
    }
}
