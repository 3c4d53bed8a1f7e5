//! The rules of a configuration, and what they say of Longhorn's disks.
//!
//! In come the files that multipathd reads, in its order. The verdict follows `filter_path()` of
//! libmultipath's blacklist.c: udev property, device node, device, protocol, WWID; an exception
//! lifts what the blacklist says of the same kind, and of no other.

use super::conf::{Effect, Section, Why, statements};
use super::ere::{Ere, Error};
use super::{CONF, DIRECTORY};
use crate::model::bytes::shown;
use crate::model::path::HostPath;
use std::fmt;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: HostPath,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What a rule is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a udev property.
    Property,
    /// The name of the device in the kernel.
    Devnode,
    /// Vendor and product.
    Device,
    /// The protocol of the path.
    Protocol,
    /// The identifier of the disk.
    Wwid,
}

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `blacklist`.
    Blacklist,
    /// `blacklist_exceptions`.
    Exceptions,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The list that it is in.
    pub list: List,
    /// What it is matched with.
    pub kind: Kind,
    /// The expression; the vendor's in a `device`, where it names one.
    pub pattern: Option<Vec<u8>>,
    /// The product's expression in a `device`, where it names one.
    pub product: Option<Vec<u8>>,
    /// Its line.
    pub place: Place,
}

/// A line that multipath ignores, or a part of one, and that looks like a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The line.
    pub place: Place,
    keyword: String,
    /// `None`: what follows on the line.
    why: Option<Why>,
    section: Section,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, keyword, why, section } = self;
        let at = match section {
            Section::Top => "outside of any section",
            Section::Blacklist => "in blacklist",
            Section::Exceptions => "in blacklist_exceptions",
            Section::BlacklistDevice | Section::ExceptionsDevice => "in device",
            _ => "in this section",
        };
        match why {
            None => write!(f, "{place}: multipath ignores what follows \"{keyword}\" on the line"),
            Some(Why::NoValue) => write!(f, "{place}: \"{keyword}\" has no value"),
            Some(Why::Keyword | Why::Brace) => {
                write!(f, "{place}: multipath knows no \"{keyword}\" {at}, and ignores the line")
            }
        }
    }
}

/// Why it cannot be said what multipathd does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// A file or directory could not be read, with the reason.
    Unread(HostPath, String),
    /// A rule's expression is not judged.
    Pattern(Place),
    /// A property of a rule may come before or after one that is excepted.
    Property(Place),
    /// regcomp(3) refuses an expression of the main file, and multipathd with it the configuration.
    Refused(Place),
    /// multipath-tools before 0.9.0 read another directory.
    Directory(Place),
    /// Versions treat a wrong value differently.
    Value(Place),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(path, why) => write!(f, "{path}: {why}"),
            Self::Pattern(place) => write!(f, "{place}: csihost cannot judge this regular expression"),
            Self::Property(place) => {
                write!(f, "{place}: the order of the disk's udev properties decides about this rule")
            }
            Self::Refused(place) => {
                write!(
                    f,
                    "{place}: not a regular expression (regex(7)): multipathd cannot load its configuration"
                )
            }
            Self::Directory(place) => {
                write!(
                    f,
                    "{place}: multipath-tools before 0.9.0 reads this config_dir, later versions {DIRECTORY}"
                )
            }
            Self::Value(place) => write!(f, "{place}: not a value of find_multipaths"),
        }
    }
}

/// What a configuration says of Longhorn's disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This rule leaves all of them alone.
    LeftAlone(Place),
    /// Not all are left alone.
    Takes(Gap),
    /// It cannot be said.
    Unknown(Doubt),
}

/// Why disks are not left alone, as far as somebody meant them to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gap {
    /// An exception, and the rule that it lifts.
    pub lifted: Option<(Place, Place, Kind)>,
    /// A rule that holds for some of the disks, and a name or identifier that it does not hold for.
    pub partly: Option<(Place, String)>,
    /// Lines that do not count.
    pub ignored: Vec<Ignored>,
}

/// The modes of `find_multipaths` (multipath.conf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `off`, `no`.
    Off,
    /// `on`, `yes`.
    On,
    /// `greedy`.
    Greedy,
    /// `smart`.
    Smart,
    /// `strict`.
    Strict,
}

impl Mode {
    /// The value, in the form that all versions know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "no",
            Self::On => "yes",
            Self::Greedy => "greedy",
            Self::Smart => "smart",
            Self::Strict => "strict",
        }
    }
}

/// What the files say of `find_multipaths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindMultipaths {
    /// A value, and the line that has the last word.
    Set(Mode, Place),
    /// Nothing: the default was compiled in, "strict" upstream and in Debian, and another one in
    /// other distributions and before 0.8.0, so that it is not known from files.
    Unset,
    /// It cannot be said.
    Unknown(Doubt),
}

/// Properties that udev gives a disk of Longhorn's (scsi_id, 60-persistent-storage.rules, sg3-utils).
const PROPERTIES: [&str; 33] = [
    "CURRENT_TAGS",
    "DEVLINKS",
    "DEVNAME",
    "DEVPATH",
    "DEVTYPE",
    "DISKSEQ",
    "DM_MULTIPATH_DEVICE_PATH",
    "ID_BUS",
    "ID_FS_TYPE",
    "ID_FS_USAGE",
    "ID_FS_UUID",
    "ID_MODEL",
    "ID_MODEL_ENC",
    "ID_PATH",
    "ID_PATH_TAG",
    "ID_REVISION",
    "ID_SCSI",
    "ID_SCSI_INQUIRY",
    "ID_SCSI_SERIAL",
    "ID_SERIAL",
    "ID_SERIAL_SHORT",
    "ID_TYPE",
    "ID_VENDOR",
    "ID_VENDOR_ENC",
    "ID_WWN",
    "ID_WWN_WITH_EXTENSION",
    "MAJOR",
    "MINOR",
    "SCSI_IDENT_SERIAL",
    "SCSI_TPGS",
    "SUBSYSTEM",
    "TAGS",
    "USEC_INITIALIZED",
];
/// The exception that is compiled in.
const EXCEPTED: [&str; 2] = ["SCSI_IDENT_", "ID_WWN"];
const VENDOR: &[u8] = b"IET";
const PRODUCT: &[u8] = b"VIRTUAL-DISK";
const PROTOCOL: &str = "scsi:iscsi";

/// Names that a disk may get.
fn devnodes() -> Vec<String> {
    let one = ('a'..='z').map(String::from);
    let more = ["aa", "az", "ba", "zz", "aaa"].map(str::to_owned);
    one.chain(more).map(|letters| format!("sd{letters}")).collect()
}

/// Identifiers that a disk may get: tgt makes them of the number of the target and the unit, which
/// is 1, so that disks of two instance managers can have the same.
fn wwids() -> Vec<String> {
    let targets = [1, 2, 3, 9, 10, 15, 16, 31, 99, 100, 127, 255, 256, 1000, 4095];
    targets.map(|target| format!("360000000000000000e000000{target:04x}0001")).to_vec()
}

/// A device of `devices`, as far as `product_blacklist` goes.
#[derive(Debug, Default, Clone)]
struct Hardware {
    vendor: Option<Vec<u8>>,
    product: Option<Vec<u8>>,
    revision: Option<Vec<u8>>,
    listed: Option<(Vec<u8>, Place)>,
}

/// A configuration: all files together.
#[derive(Debug, Default)]
pub struct Configuration {
    rules: Vec<Rule>,
    hardware: Vec<Hardware>,
    ignored: Vec<Ignored>,
    find_multipaths: Vec<(Vec<u8>, Place)>,
    directory: Option<Place>,
    refused: Option<Place>,
    unread: Option<Doubt>,
}

impl Configuration {
    /// Adds a file, in the order in which multipath reads them: [`CONF`], then those of
    /// [`DIRECTORY`] by name.
    pub fn add(&mut self, file: &HostPath, text: &[u8]) {
        let main = *file == HostPath::from(CONF);
        let old = self.hardware.len();
        for statement in statements(text) {
            let place = Place { file: file.clone(), line: statement.line };
            self.note(&statement, &place);
            match statement.effect {
                Effect::Open(section @ (Section::BlacklistDevice | Section::ExceptionsDevice)) => {
                    let list = list(section);
                    self.rules.push(Rule { list, kind: Kind::Device, pattern: None, product: None, place });
                }
                Effect::Open(Section::Device) => self.hardware.push(Hardware::default()),
                Effect::Value(keyword, value) => {
                    self.value(statement.section, &keyword, value, place, main);
                }
                Effect::Open(_) | Effect::Close | Effect::Ignored(_) => {}
            }
        }
        self.merge(old);
    }

    /// Notes that a file or directory is there that could not be read.
    pub fn add_unread(&mut self, path: &HostPath, why: impl Into<String>) {
        self.unread.get_or_insert(Doubt::Unread(path.clone(), why.into()));
    }

    /// The rules, without those whose expressions regcomp(3) refuses; not those that are compiled in.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.pattern.is_some() || rule.product.is_some())
    }

    /// The line that keeps multipathd from loading the configuration, where there is one.
    pub fn refused(&self) -> Option<&Place> {
        self.refused.as_ref()
    }

    fn value(&mut self, section: Section, keyword: &[u8], value: Vec<u8>, place: Place, main: bool) {
        match (section, keyword) {
            (Section::Defaults, b"find_multipaths") => self.find_multipaths.push((value, place)),
            (Section::Defaults, b"config_dir") if main => {
                let other = HostPath::parse(&value).is_ok_and(|path| path == HostPath::from(DIRECTORY));
                self.directory = (!other).then_some(place);
            }
            (Section::Device, _) => {
                let Some(device) = self.hardware.last_mut() else { return };
                match keyword {
                    b"vendor" => device.vendor = Some(value),
                    b"product" => device.product = Some(value),
                    b"revision" => device.revision = Some(value),
                    b"product_blacklist" => device.listed = Some((value, place)),
                    _ => {}
                }
            }
            _ if !section.is_list() => {}
            // In a file of the directory the rule alone is lost.
            _ if compile(&value).err() == Some(Error::Invalid) => {
                if main {
                    self.refused.get_or_insert(place);
                }
            }
            // Of the device that was opened last.
            (_, b"vendor" | b"product") => {
                let Some(device) = self.rules.last_mut() else { return };
                match keyword {
                    b"vendor" => device.pattern = Some(value),
                    _ => device.product = Some(value),
                }
            }
            _ => {
                let kind = match keyword {
                    b"devnode" => Kind::Devnode,
                    b"wwid" => Kind::Wwid,
                    b"protocol" => Kind::Protocol,
                    _ => Kind::Property,
                };
                let list = list(section);
                self.rules.push(Rule { list, kind, pattern: Some(value), product: None, place });
            }
        }
    }

    /// Merges the devices of `devices` as `factorize_hwtable()` does, from the `old`th on new.
    fn merge(&mut self, old: usize) {
        let new: Vec<Hardware> = self.hardware.drain(old..).collect();
        for device in new {
            if device.vendor.is_none() || device.product.is_none() {
                continue;
            }
            let same = |other: &Hardware| {
                (&other.vendor, &other.product, &other.revision)
                    == (&device.vendor, &device.product, &device.revision)
            };
            let earlier = self.hardware.iter().position(same).map(|at| self.hardware.remove(at));
            let listed = device.listed.clone().or_else(|| earlier.and_then(|earlier| earlier.listed));
            self.hardware.push(Hardware { listed, ..device });
        }
    }

    /// Keeps a line that is ignored and was meant as a rule.
    fn note(&mut self, statement: &super::conf::Statement, place: &Place) {
        let meant = |word: &[u8]| {
            matches!(word, b"devnode" | b"wwid" | b"property" | b"vendor" | b"product" | b"device")
        };
        let listing = |word: &[u8]| word.windows(5).any(|part| part.eq_ignore_ascii_case(b"black"));
        let mut keep = |why| {
            self.ignored.push(Ignored {
                place: place.clone(),
                keyword: shown(&statement.keyword),
                why,
                section: statement.section,
            });
        };
        let keyword = statement.keyword.as_slice();
        let top = statement.section == Section::Top;
        match &statement.effect {
            Effect::Ignored(Why::Brace) => {}
            Effect::Ignored(why) => {
                if statement.section.is_list() || top && meant(keyword) || listing(keyword) {
                    keep(Some(*why));
                }
            }
            effect => {
                let opened = matches!(effect, Effect::Open(section) if section.is_list());
                let words = statement.extra.iter().filter(|word| !matches!(word.as_slice(), b"{" | b"}"));
                let list = opened || statement.section.is_list();
                if words.clone().next().is_some() && list || words.clone().any(|word| listing(word)) {
                    keep(None);
                }
            }
        }
    }

    /// What it says of Longhorn's disks.
    pub fn verdict(&self) -> Verdict {
        if let Some(place) = &self.refused {
            return Verdict::Unknown(Doubt::Refused(place.clone()));
        }
        for device in &self.hardware {
            if let (Some(vendor), Some((product, place))) = (&device.vendor, &device.listed)
                && [vendor, product].into_iter().any(|text| compile(text).err() == Some(Error::Invalid))
            {
                return Verdict::Unknown(Doubt::Refused(place.clone()));
            }
        }
        if let Some(doubt) = &self.unread {
            return Verdict::Unknown(doubt.clone());
        }
        if let Some(place) = &self.directory {
            return Verdict::Unknown(Doubt::Directory(place.clone()));
        }
        let mut gap = Gap { ignored: self.ignored.clone(), ..Gap::default() };
        let mut doubt = self.property();
        let outcomes = [
            (Kind::Device, self.outcome(Kind::Device, &[String::new()])),
            (Kind::Devnode, self.outcome(Kind::Devnode, &devnodes())),
            (Kind::Protocol, self.outcome(Kind::Protocol, &[PROTOCOL.to_owned()])),
            (Kind::Wwid, self.outcome(Kind::Wwid, &wwids())),
        ];
        for (kind, outcome) in outcomes {
            match outcome {
                Outcome::All(place) => return Verdict::LeftAlone(place),
                Outcome::Doubt(place) => doubt = doubt.or(Some(Doubt::Pattern(place))),
                Outcome::Not { lifted, partly } => {
                    gap.lifted = gap.lifted.or(lifted.map(|(by, what)| (by, what, kind)));
                    gap.partly = gap.partly.or(partly);
                }
            }
        }
        doubt.map_or(Verdict::Takes(gap), Verdict::Unknown)
    }

    /// The effective value of `find_multipaths`. A value that is none keeps the one before it, or, in
    /// versions before 0.8.6, brings back the default.
    pub fn find_multipaths(&self) -> FindMultipaths {
        if let Some(doubt) = &self.unread {
            return FindMultipaths::Unknown(doubt.clone());
        }
        if let Some(place) = self.refused.as_ref() {
            return FindMultipaths::Unknown(Doubt::Refused(place.clone()));
        }
        if let Some(place) = &self.directory {
            return FindMultipaths::Unknown(Doubt::Directory(place.clone()));
        }
        let read = self.find_multipaths.iter().map(|(value, place)| (mode(value), place)).collect::<Vec<_>>();
        match read.last() {
            None => FindMultipaths::Unset,
            Some((Some(mode), place)) => FindMultipaths::Set(*mode, (*place).clone()),
            Some((None, _)) if read.iter().all(|(mode, _)| mode.is_none()) => FindMultipaths::Unset,
            Some((None, place)) => FindMultipaths::Unknown(Doubt::Value((*place).clone())),
        }
    }

    /// A rule about properties that may hold, if one may. Which of a disk's properties comes first
    /// decides, and one of them is always excepted.
    fn property(&self) -> Option<Doubt> {
        let rules = |list| self.rules().filter(move |rule| rule.kind == Kind::Property && rule.list == list);
        rules(List::Blacklist).find_map(|rule| {
            let may = PROPERTIES.iter().any(|name| {
                let excepted = EXCEPTED.iter().any(|part| name.contains(part))
                    || rules(List::Exceptions).any(|rule| rule.holds(name) == Some(true));
                !excepted && rule.holds(name) != Some(false)
            });
            may.then(|| Doubt::Property(rule.place.clone()))
        })
    }

    fn outcome(&self, kind: Kind, words: &[String]) -> Outcome {
        let listed = self.hardware.iter().filter_map(|device| {
            let (product, place) = device.listed.as_ref()?;
            Some(Rule {
                list: List::Blacklist,
                kind: Kind::Device,
                pattern: device.vendor.clone(),
                product: Some(product.clone()),
                place: place.clone(),
            })
        });
        let rules: Vec<Rule> = self.rules().cloned().chain(listed).filter(|rule| rule.kind == kind).collect();
        // The first rule that holds, else the first that may.
        let first = |list: List, word: &str| -> Option<(bool, Place)> {
            let holds =
                rules.iter().filter(|rule| rule.list == list).map(|rule| (rule.holds(word), &rule.place));
            let of = |wanted| move |(holds, _): &(Option<bool>, &Place)| *holds == wanted;
            let sure = holds.clone().find(of(Some(true))).map(|(_, place)| (true, place.clone()));
            sure.or_else(|| holds.clone().find(of(None)).map(|(_, place)| (false, place.clone())))
        };
        let (mut covered, mut lifted, mut doubt, mut missing) = (None, None, None, None);
        for word in words {
            match (first(List::Exceptions, word), first(List::Blacklist, word)) {
                (_, None) => missing = missing.or(Some(word.clone())),
                (Some((true, by)), Some((_, what))) => {
                    missing = missing.or(Some(word.clone()));
                    lifted = lifted.or(Some((by, what)));
                }
                (Some((false, place)), Some(_)) | (None, Some((false, place))) => {
                    doubt = doubt.or(Some(place));
                }
                (None, Some((true, place))) => covered = covered.or(Some(place)),
            }
        }
        match (missing, doubt, covered) {
            (Some(word), _, covered) => Outcome::Not {
                partly: covered.filter(|_| lifted.is_none()).map(|place| (place, word)),
                lifted,
            },
            (None, Some(place), _) => Outcome::Doubt(place),
            (None, None, Some(place)) => Outcome::All(place),
            (None, None, None) => Outcome::Not { lifted: None, partly: None },
        }
    }
}

enum Outcome {
    All(Place),
    Not { lifted: Option<(Place, Place)>, partly: Option<(Place, String)> },
    Doubt(Place),
}

impl Rule {
    /// Returns true if it holds for `word`, or for Longhorn's vendor and product if it is one of a
    /// `device`; `None` where that is not known.
    fn holds(&self, word: &str) -> Option<bool> {
        if self.kind != Kind::Device {
            return self.pattern.as_ref().map_or(Some(false), |pattern| matches(pattern, word.as_bytes()));
        }
        let of = |pattern: &Option<Vec<u8>>, word| {
            pattern.as_ref().map_or(Some(true), |pattern| matches(pattern, word))
        };
        match (of(&self.pattern, VENDOR), of(&self.product, PRODUCT)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

fn list(section: Section) -> List {
    match section {
        Section::Exceptions | Section::ExceptionsDevice => List::Exceptions,
        _ => List::Blacklist,
    }
}

fn mode(value: &[u8]) -> Option<Mode> {
    Some(match value {
        b"off" | b"no" | b"0" => Mode::Off,
        b"on" | b"yes" | b"1" => Mode::On,
        b"greedy" => Mode::Greedy,
        b"smart" => Mode::Smart,
        b"strict" => Mode::Strict,
        _ => return None,
    })
}

/// An expression, and whether it is turned round (`!`, since 0.8.5).
fn compile(pattern: &[u8]) -> Result<(Ere, bool), Error> {
    match pattern {
        [b'!', rest @ ..] => Ok((Ere::parse(rest)?, true)),
        [b'\\', b'!', rest @ ..] => Ok((Ere::parse(&[b"!", rest].concat())?, false)),
        pattern => Ok((Ere::parse(pattern)?, false)),
    }
}

fn matches(pattern: &[u8], word: &[u8]) -> Option<bool> {
    let (ere, inverted) = compile(pattern).ok()?;
    Some(ere.is_match(word)? != inverted)
}
