//! iscsid.conf as open-iscsi itself reads it: models of its two parsers, written after the C
//! sources line by line and sharing nothing with csihost's own, and random files in which every
//! repair must be seen by the one and go unnoticed by the other.

// Helpers of tests: clippy takes only functions marked #[test] for tests.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use csihost::iscsi::conf::Conf;
use csihost::iscsi::startup::{Known, StartupAdvice, Wanted, advise};
use csihost::model::edit::{apply, reverse};
use csihost::model::path::HostPath;
use proptest::prelude::*;
use std::path::PathBuf;

/// A file as stdio reads it.
struct Stream<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Stream<'_> {
    /// fgets(3): at most `size - 1` bytes, up to and with a newline, NUL-terminated.
    fn fgets(&mut self, size: usize) -> Option<Vec<u8>> {
        let mut buffer = Vec::new();
        while buffer.len() < size - 1 && self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            self.at += 1;
            buffer.push(byte);
            if byte == b'\n' {
                break;
            }
        }
        if buffer.is_empty() {
            return None;
        }
        buffer.push(0);
        Some(buffer)
    }
}

fn isspace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn strlen(buffer: &[u8]) -> usize {
    buffer.iter().position(|&b| b == 0).unwrap()
}

fn strstr(text: &[u8], key: &[u8]) -> Option<usize> {
    (0..text.len()).find(|&at| text[at..].starts_with(key))
}

/// `strstrip()` of usr/iscsi_util.c.
fn strstrip(text: &[u8]) -> &[u8] {
    let mut end = text.len();
    while end > 0 && isspace(text[end - 1]) {
        end -= 1;
    }
    let mut start = 0;
    while start < end && isspace(text[start]) {
        start += 1;
    }
    &text[start..end]
}

/// `cfg_get_string_param()` of usr/iscsi_util.c.
fn cfg_get_string_param(file: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut f = Stream { bytes: file, at: 0 };
    while let Some(buffer) = f.fgets(1024) {
        let line = &buffer[..strlen(&buffer)];
        let Some(param) = strstr(line, key) else { continue };
        if let Some(comment) = strstr(line, b"#")
            && comment < param
        {
            continue;
        }
        let Some(equals) = strstr(&line[param..], b"=") else { continue };
        let value = strstrip(&line[param + equals + 1..]);
        if value.is_empty() {
            continue;
        }
        return Some(value.to_vec());
    }
    None
}

/// `idbm_recinfo_config()` of usr/idbm.c: every name and value that it takes, in order.
fn idbm_recinfo_config(file: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut f = Stream { bytes: file, at: 0 };
    let mut found = Vec::new();
    while let Some(buffer) = f.fgets(2048) {
        let line = &buffer[..strlen(&buffer)];
        if line.last() != Some(&b'\n') {
            continue;
        }
        let line = strstrip(line);
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let at = |index: usize| line.get(index).copied().unwrap_or(0);
        let mut nl = 0;
        while at(nl) != 0 && !isspace(at(nl)) && at(nl) != b'=' {
            nl += 1;
        }
        let name = line[..nl].to_vec();
        if at(nl) == 0 {
            continue;
        }
        nl += 1;
        while at(nl) != 0 && isspace(at(nl)) {
            nl += 1;
        }
        if at(nl) != 0 && at(nl) != b'=' {
            continue;
        }
        nl += 1;
        while at(nl) != 0 && isspace(at(nl)) {
            nl += 1;
        }
        if at(nl) == 0 {
            continue;
        }
        found.push((name, line[nl..].to_vec()));
    }
    found
}

const KNOWN: [&[u8]; 3] = [b"node.", b"discovery.", b"iface"];

/// What the second parser takes for settings; it ignores names that it does not know.
fn settings(file: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = idbm_recinfo_config(file);
    all.retain(|(name, _)| {
        [&b"node."[..], b"discovery.", b"iface"].iter().any(|known| name.starts_with(known))
    });
    all
}

#[test]
fn the_models_know_the_traps_of_the_two_parsers() {
    let startup = |text: &str| cfg_get_string_param(text.as_bytes(), b"iscsid.startup");
    assert_eq!(startup("iscsid.startup=/a\niscsid.startup = /b\n"), Some(b"/a".to_vec()));
    assert_eq!(startup("# iscsid.startup=/a\n;iscsid.startup = /b # c \r\n"), Some(b"/b # c".to_vec()));
    let node = |text: &str| settings(text.as_bytes());
    assert_eq!(
        node("node.a=1\nnode.a = 2\n  node.b\t=3\n#node.c = 4\nnode.d = 5"),
        [(b"node.a".to_vec(), b"2".to_vec()), (b"node.b".to_vec(), b"3".to_vec())]
    );
    assert_eq!(node(&format!("{}node.a = 1\n", "#".repeat(2047))), [(b"node.a".to_vec(), b"1".to_vec())]);
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![
        Just("/sbin/iscsid"),
        Just("/gone/iscsid"),
        Just("/bin/systemctl start iscsid.socket"),
        Just("/bin/systemctl start gone.socket"),
        Just("/bin/systemctl start iscsid.socket # now"),
        Just("/sbin/iscsid; true"),
        Just("iscsid"),
        Just(""),
    ];
    let startup = (
        prop_oneof![
            Just(""),
            Just("# "),
            Just("#"),
            Just(";"),
            Just("  "),
            Just("x # "),
            Just("node.x = "),
            Just("\0")
        ],
        prop_oneof![Just("iscsid.startup"), Just("iscsid.startupX"), Just("iscsid.start")],
        prop_oneof![Just(" = "), Just("="), Just("\t=\t"), Just(" "), Just(" = = ")],
        command,
    )
        .prop_map(|(before, key, equals, command)| format!("{before}{key}{equals}{command}"));
    let setting = ("(#|# | |)", "(node|discovery|iface|other)\\.[abc]", "( = |=| =)", "[ a-c#=]{0,4}")
        .prop_map(|(before, name, equals, value)| format!("{before}{name}{equals}{value}"));
    let text = prop_oneof![4 => startup, 4 => setting, 1 => "[ -~]{0,20}"];
    // Lines around the sizes of the two buffers, of filler that is a comment or a setting.
    let filler = prop_oneof![Just("#"), Just("node.f = f"), Just("x"), Just(";iscsid.startup = /sbin/x")];
    let near = prop_oneof![1000usize..1030, 2020usize..2060, 3060usize..3080];
    let long = (filler, near, text.clone()).prop_map(|(head, length, tail)| {
        format!("{head}{}{tail}", ".".repeat(length.saturating_sub(head.len())))
    });
    let end = prop_oneof![8 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r")];
    (prop_oneof![12 => text, 1 => long], end).prop_map(|(line, end)| format!("{line}{end}").into_bytes())
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let junk = proptest::collection::vec(any::<u8>(), 0..40);
    let lines = proptest::collection::vec(prop_oneof![20 => line(), 1 => junk], 0..14);
    (lines, 0usize..4).prop_map(|(lines, cut)| {
        let mut file = lines.concat();
        // Often the last newline is missing, and sometimes more.
        file.truncate(file.len().saturating_sub(cut));
        file
    })
}

/// What the host has: nothing but what the repaired line needs.
fn advice(file: &[u8], systemd: bool, enabled: bool) -> StartupAdvice {
    let (systemctl, daemon) = (HostPath::from("/bin/systemctl"), HostPath::from("/sbin/iscsid"));
    let wanted = match systemd {
        true => Wanted::Systemd { systemctl: &systemctl, unit: "iscsid.socket" },
        false => Wanted::Daemon { program: &daemon },
    };
    let known = Known {
        program_exists: &|path| *path == systemctl || *path == daemon,
        unit_exists: &|unit| unit == "iscsid.socket",
        iscsid_enabled: enabled,
    };
    advise(&Conf::new(file), wanted, &known)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn csihost_reads_the_startup_line_as_iscsid_does(file in file()) {
        let theirs = cfg_get_string_param(&file, b"iscsid.startup");
        prop_assert_eq!(Conf::new(&file).startup(), theirs.as_deref());
        let competing = Conf::new(&file).competing();
        prop_assert_eq!(competing.first().map(|line| line.value), theirs.as_deref());
    }

    #[test]
    fn a_repair_is_seen_by_the_daemon_and_by_nobody_else(file in file(), systemd: bool, enabled: bool) {
        match advice(&file, systemd, enabled) {
            StartupAdvice::Leave { .. } => {}
            StartupAdvice::Refuse { reason, .. } => prop_assert!(false, "refused: {}", reason),
            StartupAdvice::Repair { splices, value, .. } => {
                let after = apply(&file, &splices).unwrap();
                prop_assert_eq!(cfg_get_string_param(&after, b"iscsid.startup"), Some(value.clone().into_bytes()));
                prop_assert_eq!(settings(&after), settings(&file));
                prop_assert_eq!(apply(&after, &reverse(&splices)), Some(file.clone()));

                // Converged; and every other line of its own that is a startup line is now a comment.
                let again = advice(&after, systemd, enabled);
                prop_assert!(matches!(again, StartupAdvice::Leave { .. }), "{:?}", again);
                let others = Conf::new(&after).competing().into_iter().skip(1);
                for other in others {
                    // But for lines in several pieces, and lines that begin as another setting.
                    let start = strstrip(other.line.bytes);
                    let harm = other.line.bytes.len() > 1023 || KNOWN.iter().any(|known| start.starts_with(known));
                    prop_assert!(harm, "{:?}", other);
                }
                // Only whole lines, and no line but those about startup, are touched.
                for splice in &splices {
                    prop_assert!(splice.at == 0 || file[splice.at - 1] == b'\n');
                    prop_assert!(splice.old.0.is_empty() || strstr(&splice.old.0, b"iscsid.startup").is_some());
                }
            }
        }
    }
}

/// iscsid.conf of real distributions, from a directory with one subdirectory for each.
#[test]
fn the_files_of_real_distributions_are_healthy_where_they_come_from() {
    let Some(samples) = std::env::var_os("CSIHOST_SAMPLES").map(PathBuf::from).filter(|path| path.is_dir())
    else {
        eprintln!("SKIPPED: no sample files (CSIHOST_SAMPLES names no directory)");
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let directory = entry.unwrap();
        let Ok(file) = std::fs::read(directory.path().join("iscsid.conf")) else { continue };
        let name = directory.file_name().to_string_lossy().into_owned();
        seen += 1;

        let systemctl = HostPath::from("/bin/systemctl");
        let known = Known {
            program_exists: &|path| [&b"/bin/systemctl"[..], b"/usr/sbin/iscsid"].contains(&path.as_bytes()),
            unit_exists: &|unit| ["iscsid.socket", "iscsiuio.socket"].contains(&unit),
            iscsid_enabled: true,
        };
        let healthy = advise(
            &Conf::new(&file),
            Wanted::Systemd { systemctl: &systemctl, unit: "iscsid.socket" },
            &known,
        );
        assert!(matches!(healthy, StartupAdvice::Leave { .. }), "{name}: {healthy:?}");

        if name.starts_with("rancheros") {
            let StartupAdvice::Repair { splices, value, .. } = advice(&file, false, false) else {
                panic!("{name} needs a repair");
            };
            assert_eq!(value, "/sbin/iscsid");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let changes: Vec<_> =
                splices.iter().map(|splice| (text(&splice.old.0), text(&splice.new.0))).collect();
            assert_eq!(
                changes,
                [
                    (
                        "iscsid.startup = /bin/systemctl start iscsid.socket\n".to_owned(),
                        "# iscsid.startup = /bin/systemctl start iscsid.socket\n".to_owned()
                    ),
                    (
                        "# iscsid.startup = /sbin/iscsid\n".to_owned(),
                        "iscsid.startup = /sbin/iscsid\n".to_owned()
                    ),
                ]
            );
        }
    }
    assert!(seen > 0, "no iscsid.conf below CSIHOST_SAMPLES");
    eprintln!("{seen} sample files");
}
