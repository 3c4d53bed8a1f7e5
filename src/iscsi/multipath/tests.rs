//! Tests of the reading of multipath.conf on whole hosts.

use super::rules::{Doubt, Kind, List, Mode, Place};
use super::*;
use crate::model::facts::{Init, Mode as Whence};
use crate::model::file::{Attributes, File};

/// A host with this configuration, and these files in the directory.
fn host(main: &str, more: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::new(Whence::Live, Init::Systemd);
    let mut write = |path: HostPath, text: &str| {
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let file = File { bytes: text.as_bytes().to_vec(), attributes, canonical: path.clone() };
        facts.files.insert(path, FileFact::File(file));
    };
    write(HostPath::from(CONF), main);
    let directory = HostPath::from(DIRECTORY);
    for (name, text) in more {
        write(directory.join(name), text);
    }
    let entries = more.iter().rev().map(|(name, _)| name.as_bytes().to_vec()).collect();
    let listed = DirFact::Directory { canonical: directory.clone(), entries };
    facts.dirs.insert(directory, listed);
    facts
}

/// The verdict in a few words, with the number of the line.
fn said(main: &str) -> String {
    summary(&verdict(&host(main, &[])))
}

fn summary(verdict: &Verdict) -> String {
    let line = |place: &Place| place.line;
    match verdict {
        Verdict::LeftAlone(place) => format!("left alone by {}", line(place)),
        Verdict::Takes(gap) => {
            let mut said = "takes".to_owned();
            if let Some((by, what, _)) = &gap.lifted {
                said += &format!(", {} lifts {}", line(by), line(what));
            }
            if let Some((place, word)) = &gap.partly {
                said += &format!(", {} not for {word}", line(place));
            }
            for ignored in &gap.ignored {
                said += &format!(", {} ignored", line(&ignored.place));
            }
            said
        }
        Verdict::Unknown(doubt) => format!("unknown: {doubt}"),
    }
}

#[test]
fn each_kind_of_rule_is_judged_as_libmultipath_judges_it() {
    let list = |rules: &str| format!("blacklist {{\n{rules}\n}}\n");
    let device = |rules: &str| list(&format!("device {{\n{rules}\n}}"));
    for (conf, expected) in [
        (String::new(), "takes"),
        ("defaults {\nfind_multipaths yes\n}\n".to_owned(), "takes"),
        (list("devnode \"^sd[a-z0-9]+\""), "left alone by 2"),
        (list("devnode \"^(td|ha|sd)[a-z]\""), "left alone by 2"),
        (list("devnode \"^(td|hd|vd)[a-z]\""), "takes"),
        (list("devnode \"^sd[a-z]$\""), "takes, 2 not for sdaa"),
        (list("devnode ^sd[b-z]"), "takes, 2 not for sda"),
        (list("devnode ^sda\ndevnode \"^sd[b-z]\""), "left alone by 2"),
        (list("devnode \"!^(vd|nvme)\""), "left alone by 2"),
        (list("devnode \"!^sd\""), "takes"),
        (list("devnode !^vd"), "takes, 2 ignored"),
        (list("devnode \"\""), "left alone by 2"),
        (list("wwid \".*\""), "left alone by 2"),
        (list("wwid \"^36[0-9a-f]{31}$\""), "left alone by 2"),
        (
            list("wwid 360000000000000000e00000000010001"),
            "takes, 2 not for 360000000000000000e00000000020001",
        ),
        (list("wwid \"!^3600508b4\""), "left alone by 2"),
        (list("protocol \"scsi:iscsi\""), "left alone by 2"),
        (list("protocol \"scsi:(fcp|sas)\""), "takes"),
        (list("property \"ID_ATA\""), "takes"),
        (list("property \"ID_WWN\""), "takes"),
        (device("vendor IET\nproduct VIRTUAL-DISK"), "left alone by 2"),
        (device("product \"VIRTUAL-.*\"\nvendor \"^IET.*\""), "left alone by 2"),
        (device("vendor IET"), "left alone by 2"),
        (device("product \".*\""), "left alone by 2"),
        (device("vendor \"\"\nproduct \"VIRTUAL\""), "left alone by 2"),
        (device("vendor \"!^NETAPP\"\nproduct \".*\""), "left alone by 2"),
        (device("vendor \"^ET\"\nproduct \".*\""), "takes"),
        (device("vendor iet"), "takes"),
        (device("vendor IET\nvendor NETAPP"), "takes"),
        (device(""), "takes"),
        (
            "devices {\ndevice {\nvendor IET\nproduct x\nproduct_blacklist \"VIRTUAL.*\"\n}\n}\n".to_owned(),
            "left alone by 5",
        ),
        ("devices {\ndevice {\nvendor IET\nproduct_blacklist VIRTUAL\n}\n}\n".to_owned(), "takes"),
        ("devices {\ndevice {\nvendor IET\nproduct VIRTUAL-DISK\n}\n}\n".to_owned(), "takes"),
    ] {
        assert_eq!(said(&conf), expected, "{conf}");
    }
}

#[test]
fn an_exception_lifts_what_is_of_its_own_kind() {
    let both = |black: &str, except: &str| {
        said(&format!("blacklist {{\n{black}\n}}\nblacklist_exceptions {{\n{except}\n}}\n"))
    };
    assert_eq!(both("devnode \"^sd\"", "devnode \"^sd[ab]$\""), "takes, 5 lifts 2");
    assert_eq!(both("wwid \".*\"", "wwid 3600a0"), "left alone by 2");
    assert_eq!(both("wwid \".*\"", "wwid ^36"), "takes, 5 lifts 2");
    // Of another kind.
    assert_eq!(both("wwid \".*\"", "devnode .*"), "left alone by 2");
    assert_eq!(both("wwid \".*\"", "property \"(ID_WWN|SCSI_IDENT_.*)\""), "left alone by 2");
    let device = "device {\nvendor IET\n}";
    assert_eq!(both(device, "device {\nvendor \".*\"\n}"), "takes, 7 lifts 2");
    assert_eq!(both(device, "device {\nvendor NETAPP\n}"), "left alone by 2");
    assert_eq!(both("wwid x", device), "takes");
}

#[test]
fn lines_that_do_not_count_are_named() {
    for (conf, expected) in [
        ("blacklist { device { vendor \"IET\" product \"VIRTUAL-DISK\" } }\n", "takes, 1 ignored"),
        ("blacklist { devnode \"^sd\" }\n", "takes, 1 ignored"),
        ("blacklist {\ndevice { vendor IET }\n}\n", "takes, 2 ignored"),
        ("devnode \"^sd\"\n", "takes, 1 ignored"),
        ("device {\nvendor IET\n}\n", "takes, 1 ignored, 2 ignored"),
        ("devnode_blacklist {\ndevnode \"^sd\"\n}\n", "takes, 1 ignored, 2 ignored"),
        ("blacklist {\nvendor IET\nproduct x\n}\n", "takes, 2 ignored, 3 ignored"),
        ("blacklist {\ndevnodes \"^sd\"\n}\n", "takes, 2 ignored"),
        ("blacklist {\ndevnode \"^hd\" \"^sd\"\n}\n", "takes, 2 ignored"),
        ("# blacklist {\n#devnode \"^sd\"\n# }\n", "takes"),
        ("defaults { polling_interval 10 }\n", "takes"),
        // The section is not closed, and what follows is in it.
        ("blacklist { }\ndevice {\nvendor IET\n}\n", "left alone by 2"),
        ("}\n}\nblacklist {\ndevnode ^sd\n", "left alone by 4"),
    ] {
        assert_eq!(said(conf), expected, "{conf}");
    }
    let Verdict::Takes(gap) = verdict(&host("blacklist { devnode \"^sd\" }\n", &[])) else { panic!() };
    assert_eq!(
        gap.ignored[0].to_string(),
        "/etc/multipath.conf:1: multipath ignores what follows \"blacklist\" on the line"
    );
}

#[test]
fn what_cannot_be_judged_is_unknown_and_never_left_alone() {
    for (conf, part) in [
        ("blacklist {\ndevnode \"^(sd)\\1\"\n}\n", ":2: csihost cannot judge"),
        ("blacklist {\ndevnode \"*\"\nwwid \".*\"\n}\n", ":2: not a regular expression"),
        ("blacklist {\ndevice {\nvendor \"[IET\"\n}\n}\n", ":3: not a regular expression"),
        ("blacklist {\nproperty \"ID_SERIAL\"\n}\n", ":2: the order"),
        ("defaults {\nconfig_dir \"/etc/mp.d\"\n}\n", ":2: multipath-tools before 0.9.0"),
    ] {
        let said = said(conf);
        assert!(said.starts_with("unknown") && said.contains(part), "{conf}: {said}");
    }
    // A doubtful rule does not matter beside a sure one of another kind.
    assert_eq!(said("blacklist {\ndevnode \"^(sd)\\1\"\nwwid \".*\"\n}\n"), "left alone by 3");
    assert_eq!(said("defaults {\nconfig_dir \"/etc/multipath/conf.d/\"\n}\n"), "takes");
    let mut facts = host("", &[]);
    assert!(matches!(verdict(&facts), Verdict::Takes(_)));
    facts.files.insert(HostPath::from(CONF), FileFact::Unreadable("too large".into()));
    assert_eq!(summary(&verdict(&facts)), "unknown: /etc/multipath.conf: too large");
    facts.files.remove(&HostPath::from(CONF));
    assert_eq!(summary(&verdict(&facts)), "unknown: /etc/multipath.conf: not read");
    let mut facts = host("", &[]);
    facts.dirs.insert(HostPath::from(DIRECTORY), DirFact::Other("permission denied".into()));
    assert!(matches!(verdict(&facts), Verdict::Unknown(_)));
    let names: Vec<(String, &str)> = (0..DirFact::ENTRIES).map(|n| (format!("{n}.conf"), "")).collect();
    let names: Vec<(&str, &str)> = names.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    assert!(matches!(verdict(&host("blacklist {\nwwid .*\n}\n", &names)), Verdict::Unknown(_)));
}

#[test]
fn files_of_the_directory_are_read_after_the_main_one_by_name() {
    let list = "blacklist {\ndevnode ^sd\n}\n";
    let except = "blacklist_exceptions {\ndevnode ^sd\n}\n";
    let Verdict::LeftAlone(place) = verdict(&host("", &[("a.conf", list)])) else { panic!() };
    assert_eq!(place.to_string(), "/etc/multipath/conf.d/a.conf:2");
    assert!(matches!(verdict(&host(list, &[("z.conf", except)])), Verdict::Takes(_)));
    assert!(matches!(verdict(&host(except, &[("z.conf", list)])), Verdict::Takes(_)));
    assert!(matches!(verdict(&host(list, &[("z.conf.bak", except)])), Verdict::LeftAlone(_)));
    // A file of the directory that is refused loses the rule alone.
    let broken = "blacklist {\ndevnode \"*\"\ndevnode ^sd\n}\n";
    assert!(matches!(verdict(&host("", &[("a.conf", broken)])), Verdict::LeftAlone(_)));
    // A section ends with its file.
    let open = "blacklist {\ndevnode ^vd\n";
    assert!(matches!(verdict(&host(open, &[("a.conf", "devnode ^sd\n")])), Verdict::Takes(_)));
}

#[test]
fn find_multipaths_has_its_last_value_and_its_line() {
    let set = |value: &str| format!("defaults {{\nfind_multipaths {value}\n}}\n");
    for (value, expected) in [
        ("no", Mode::Off),
        ("off", Mode::Off),
        ("0", Mode::Off),
        ("\"yes\"", Mode::On),
        ("on", Mode::On),
        ("greedy", Mode::Greedy),
        ("smart", Mode::Smart),
        ("strict # x", Mode::Strict),
    ] {
        let place = Place { file: HostPath::from(CONF), line: 2 };
        assert_eq!(find_multipaths(&host(&set(value), &[])), FindMultipaths::Set(expected, place), "{value}");
    }
    assert_eq!(find_multipaths(&host("find_multipaths no\n", &[])), FindMultipaths::Unset);
    assert_eq!(find_multipaths(&host("defaults { find_multipaths no }\n", &[])), FindMultipaths::Unset);
    assert_eq!(find_multipaths(&host(&set("maybe"), &[])), FindMultipaths::Unset);
    let FindMultipaths::Set(Mode::On, place) = find_multipaths(&host(&set("no"), &[("b.conf", &set("yes"))]))
    else {
        panic!()
    };
    assert_eq!(place.to_string(), "/etc/multipath/conf.d/b.conf:2");
    let again = format!("{}{}", set("no"), set("maybe"));
    assert!(matches!(find_multipaths(&host(&again, &[])), FindMultipaths::Unknown(Doubt::Value(_))));
    let unread = Facts::new(Whence::Live, Init::Systemd);
    assert!(matches!(find_multipaths(&unread), FindMultipaths::Unknown(_)));
}

#[test]
fn what_csihost_adds_is_what_it_looks_for() {
    let facts = host("", &[]);
    assert!(matches!(verdict(&facts), Verdict::Takes(_)));
    assert!(matches!(verdict_with_drop_in(&facts), Verdict::LeftAlone(_)));
    let facts = host("blacklist_exceptions {\ndevice {\nvendor IET\n}\n}\n", &[]);
    let Verdict::Takes(gap) = verdict_with_drop_in(&facts) else { panic!() };
    assert!(matches!(gap.lifted, Some((_, _, Kind::Device))));
    assert!(configuration(&facts).rules().all(|rule| rule.list == List::Exceptions));
}
