//! multipath.conf(5) as multipath-tools itself reads it: what `multipath -t` of several versions
//! lists is compared with csihost's reading, for files of our own and for random ones. The tools lie
//! in directories that tests/multipath/roots makes; without them these tests say so and pass.

// Helpers of tests: clippy takes only functions marked #[test] for tests.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use csihost::iscsi::multipath::rules::{Configuration, FindMultipaths, Kind, List, Mode, Verdict};
use csihost::iscsi::multipath::{CONF, DIRECTORY};
use csihost::model::path::HostPath;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file for [`CONF`], and what is right for Longhorn's disks: the line that leaves them alone.
const FORMS: [(&str, &str, Option<usize>); 12] = [
    ("a brace on the next line", include_str!("multipath/brace-on-the-next-line.conf"), Some(4)),
    ("a list of device names", include_str!("multipath/device-names.conf"), Some(3)),
    ("expressions in a device", include_str!("multipath/expressions.conf"), Some(4)),
    ("all identifiers", include_str!("multipath/identifiers.conf"), Some(5)),
    ("all on one line", include_str!("multipath/one-line.conf"), None),
    ("an exception", include_str!("multipath/exception.conf"), None),
    ("turned round", "blacklist {\n  devnode \"!^nvme\"\n}\n", Some(2)),
    ("a protocol", "blacklist {\n  protocol \"scsi:iscsi\"\n}\n", Some(2)),
    ("a section that is not closed", "blacklist {\n\ndevices {\n device {\n vendor IET\n product x\n", None),
    ("extra words", "blacklist {\n wwid \"^36\" \"^35\" }\n} devices {\n", Some(2)),
    ("no quotes", "blacklist{\ndevice{\nvendor IET\nproduct VIRTUAL-DISK # tgt\n}}\n}\n", Some(2)),
    ("refused", "blacklist {\n devnode \"*\"\n}\n", None),
];

#[test]
fn forms_are_judged_as_they_should_be() {
    for (name, text, line) in FORMS {
        let mut conf = Configuration::default();
        conf.add(&HostPath::from(CONF), text.as_bytes());
        let found = match conf.verdict() {
            Verdict::LeftAlone(place) => Some(place.line),
            Verdict::Takes(_) | Verdict::Unknown(_) => None,
        };
        assert_eq!(found, line, "{name}");
    }
}

#[test]
fn the_line_of_a_one_line_form_is_named() {
    let mut conf = Configuration::default();
    conf.add(&HostPath::from(CONF), include_bytes!("multipath/one-line.conf"));
    let Verdict::Takes(gap) = conf.verdict() else { panic!() };
    assert_eq!(gap.ignored.iter().map(|ignored| ignored.place.line).collect::<Vec<_>>(), [2]);
    let mut conf = Configuration::default();
    conf.add(&HostPath::from(CONF), include_bytes!("multipath/exception.conf"));
    let Verdict::Takes(gap) = conf.verdict() else { panic!() };
    let (by, what, kind) = gap.lifted.unwrap();
    assert_eq!((by.line, what.line, kind), (9, 3, Kind::Device));
}

/// Each line of the lists: an exception or not, the keyword, and the value.
///
/// Vendors and products are apart, for `multipath -t` of 0.9.4 and later prints no brace behind a
/// device without a product.
type Lines = BTreeSet<(bool, String, String)>;

fn lines(conf: &Configuration) -> Lines {
    let mut lines = Lines::new();
    for rule in conf.rules() {
        let keyword = match rule.kind {
            Kind::Device => "vendor".to_owned(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        for (keyword, value) in [(keyword, &rule.pattern), ("product".to_owned(), &rule.product)] {
            let value = value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
            lines.extend(value.map(|value| (rule.list == List::Exceptions, keyword, value)));
        }
    }
    lines
}

/// What a tool makes of files: `None` where it loads nothing.
struct Tool(PathBuf);

impl Tool {
    fn read(&self, main: &str, more: &[(String, String)]) -> Option<(Lines, String)> {
        let at = |path: &str| self.0.join(path.trim_start_matches('/'));
        let _ = fs::remove_dir_all(at(DIRECTORY));
        fs::create_dir_all(at(DIRECTORY)).unwrap();
        fs::write(at(CONF), main).unwrap();
        for (name, text) in more {
            fs::write(at(DIRECTORY).join(name), text).unwrap();
        }
        let output = Command::new("chroot").arg(&self.0).args(["multipath", "-t"]).output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("error parsing config file"), "{}: {said}", self.0.display());
            return None;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = Lines::new();
        let mut find = "";
        for section in text.split("\n}\n") {
            for line in section.lines() {
                let Some((keyword, value)) = line.trim().split_once(" \"") else { continue };
                let value = value.strip_suffix('"').unwrap();
                let exception = section.starts_with("blacklist_exceptions {");
                // 0.8.5 prints what a device does not have.
                if (exception || section.starts_with("blacklist {")) && value != "(null)" {
                    lines.insert((exception, keyword.to_owned(), value.to_owned()));
                }
                if keyword == "find_multipaths" {
                    find = value;
                }
            }
        }
        Some((lines, find.to_owned()))
    }
}

fn tools() -> Vec<Tool> {
    let Some(dir) = std::env::var_os("CSIHOST_MULTIPATH") else {
        eprintln!("skipped: CSIHOST_MULTIPATH names no directory of tests/multipath/roots");
        return Vec::new();
    };
    let listed = fs::read_dir(Path::new(&dir)).unwrap().map(|entry| entry.unwrap().path());
    let roots: Vec<Tool> = listed.filter(|path| path.join("etc").is_dir()).map(Tool).collect();
    assert!(!roots.is_empty(), "no multipath-tools in {}", Path::new(&dir).display());
    roots
}

/// Compares the two readings; returns how many lines both list.
fn compare(tool: &Tool, builtin: &Lines, main: &str, more: &[(String, String)]) -> usize {
    let mut conf = Configuration::default();
    conf.add(&HostPath::from(CONF), main.as_bytes());
    for (name, text) in more {
        conf.add(&HostPath::from(DIRECTORY).join(name), text.as_bytes());
    }
    let context = format!("{}:\n{main}\n{more:?}", tool.0.display());
    let Some((listed, find)) = tool.read(main, more) else {
        assert!(conf.refused().is_some(), "it is refused: {context}");
        return 0;
    };
    assert_eq!(conf.refused(), None, "it is loaded: {context}");
    let own: Lines = lines(&conf).difference(builtin).cloned().collect();
    let listed: Lines = listed.difference(builtin).cloned().collect();
    assert_eq!(own, listed, "{context}");
    let expected = match conf.find_multipaths() {
        FindMultipaths::Set(mode, _) => mode,
        FindMultipaths::Unset => Mode::Strict,
        FindMultipaths::Unknown(_) => return own.len(),
    };
    assert_eq!(format!("{expected:?}").to_lowercase(), find, "{context}");
    own.len()
}

#[test]
fn what_is_listed_is_what_multipath_lists() {
    for tool in tools() {
        let (builtin, _) = tool.read("", &[]).unwrap();
        for (_, text, _) in FORMS {
            compare(&tool, &builtin, text, &[]);
            compare(&tool, &builtin, "", &[("a.conf".to_owned(), text.to_owned())]);
        }
        // Random ones, always the same.
        let mut random = Random(7);
        let mut compared = 0;
        for _ in 0..100 {
            let main = random.file();
            let names = ["b.conf", "a.conf", ".conf", "c.conf.bak", "d"];
            let more: Vec<(String, String)> = match random.below(3) {
                0 => names.iter().map(|name| ((*name).to_owned(), random.file())).collect(),
                _ => Vec::new(),
            };
            let mut read: Vec<_> = more.iter().filter(|(name, _)| name.ends_with(".conf")).cloned().collect();
            read.sort();
            // The tool finds all of them, csihost is given those that it would choose.
            compared += compare_chosen(&tool, &builtin, &main, &more, &read);
        }
        assert!(compared > 100, "{compared}");
    }
}

fn compare_chosen(
    tool: &Tool,
    builtin: &Lines,
    main: &str,
    all: &[(String, String)],
    read: &[(String, String)],
) -> usize {
    let with_all = tool.read(main, all);
    let with_read = tool.read(main, read);
    assert_eq!(with_all.map(|(lines, _)| lines), with_read.map(|(lines, _)| lines));
    compare(tool, builtin, main, read)
}

/// A generator of numbers (xorshift), so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap() % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn file(&mut self) -> String {
        (0..self.below(24)).map(|_| self.line()).collect()
    }

    fn line(&mut self) -> String {
        const OPEN: [&str; 12] = [
            "blacklist",
            "blacklist",
            "blacklist",
            "blacklist_exceptions",
            "blacklist_exceptions",
            "device",
            "device",
            "defaults",
            "devices",
            "overrides",
            "devnode_blacklist",
            "foo",
        ];
        const BRACES: [&str; 8] = [" {", "{", "\t{ # x", "", "\n{", "\n\n {", " { }", " { wwid a }"];
        const KEYS: [&str; 9] = [
            "devnode",
            "wwid",
            "property",
            "protocol",
            "vendor",
            "vendor",
            "product",
            "find_multipaths",
            "revision",
        ];
        const VALUES: [&str; 24] = [
            "\"^sd[a-z]\"",
            "a",
            "a b",
            "\"a b\" c",
            "\"\"",
            "\"",
            "\"a",
            "x\"y\"",
            "\"a}\" }",
            "",
            "yes",
            "no",
            "greedy",
            "\"strict\"",
            "smart # x",
            "off!x",
            "!^a",
            "\"!^a\"",
            "\"\\!a\"",
            "(a|b)",
            "a{2}",
            "on",
            "a ",
            "\u{e4}b",
        ];
        let end = self.one(&["\n", "\n", "\n", "\r\n", "\n\n"]);
        match self.below(12) {
            0..=3 => format!("{}{}{end}", self.one(&OPEN), self.one(&BRACES)),
            4..=8 => format!("\t{} {}{end}", self.one(&KEYS), self.one(&VALUES)),
            9 => format!("}} {}{end}", self.one(&["x", "}", "blacklist {", "# y"])),
            10 => format!("}}{end}"),
            _ => format!("{}{end}", self.one(&["# blacklist {", "! x", "{", "\"devnode\" a", "   "])),
        }
    }
}
