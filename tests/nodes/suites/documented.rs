//! On real systemd in a container: every command that the pages and the manual give their readers is
//! run, in the order of the page, on a node that csihost's package made ready.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use crate::support::container;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the node has in place of a person's machines. `run LINE` is content with 0 and 3 ("findings,
/// or changes pending"), the two codes that are no failure.
const READER: &str = r#"
    sudo() { "$@"; }
    ssh() { shift; bash -c "$*"; }
    ready_for() { # PAGE
        echo "==== $1"
        rm -rf /root/reader; mkdir /root/reader; cd /root/reader
        cp /share/csihost.deb csihost_$version-1_amd64.deb
        cp /share/csihost csihost-$version-x86_64
        for file in a b c; do csihost check --json >$file.json || [ $? = 3 ]; done
        systemctl -q enable --now csihost-boot csihost
    }
    run() {
        local rc=0
        echo "\$ $1"
        eval "$1" >said 2>&1 || rc=$?
        case $rc in 0 | 3) ;; *) cat said; fail "exit code $rc: $1" ;; esac
    }
    break_iscsi
    mkdir -p /mnt/image/{usr/lib/systemd,usr/bin,usr/sbin,var/lib}
    ln -s usr/bin usr/sbin /mnt/image/
    cp -a /etc /mnt/image/
    cp -a /usr/lib/os-release /mnt/image/usr/lib/
    cp -a /usr/lib/systemd/system /mnt/image/usr/lib/systemd/
    cp -a /usr/bin/systemctl /mnt/image/usr/bin/
    cp -a /usr/sbin/iscsi* /mnt/image/usr/sbin/
    kubelet
    install_csihost
"#;

/// A line of shell is a reader's to type if it begins with one of these.
const COMMANDS: [&str; 6] = ["csihost", "apt", "install", "journalctl", "systemctl", "for"];
/// Not Debian's: rpm.rs has dnf, zypper.rs zypper, boot.rs what RancherOS runs, align_link.rs MicroK8s, and tests/cluster the API server.
const ELSEWHERE: [&str; 6] = ["dnf", "zypper", "ros", "snap", "reboot", "kubectl"];

fn pages() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for directory in [".", "docs", "packaging/man"] {
        for entry in std::fs::read_dir(here.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| ["md", "5", "8"].iter().any(|known| kind == *known)) {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The lines of a page that a reader types.
fn typed(page: &Path) -> Vec<String> {
    let manual = page.extension().is_some_and(|kind| kind != "md");
    let (mut fenced, mut lines) = (None, Vec::new());
    for line in std::fs::read_to_string(page).unwrap().lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fenced = fenced.is_none().then(|| language.to_owned());
            continue;
        }
        let text = match &fenced {
            Some(language) if language == "sh" => line.trim(),
            None if manual => line.strip_prefix(".Dl ").unwrap_or_default(),
            None => line.strip_prefix("    ").unwrap_or_default(),
            Some(_) => continue,
        };
        let first = text.split_whitespace().find(|word| *word != "sudo").unwrap_or_default();
        let elsewhere = ELSEWHERE.contains(&first);
        if COMMANDS.contains(&first) {
            lines.push(text.to_owned());
        } else {
            assert!(fenced.is_none() || elsewhere, "{}: nobody runs {text}", page.display());
        }
    }
    lines
}

#[test]
#[ignore = "boots a node: make node"]
fn every_command_in_the_pages_and_in_the_manual_can_be_followed() {
    let (mut script, mut count) = (format!("version={}\n{READER}\n", env!("CARGO_PKG_VERSION")), 0);
    for page in pages() {
        let lines = typed(&page);
        if !lines.is_empty() {
            writeln!(script, "ready_for {}", page.file_name().unwrap().to_str().unwrap()).unwrap();
        }
        for line in lines {
            writeln!(script, "run '{}'", line.replace('\'', r"'\''")).unwrap();
            count += 1;
        }
    }
    assert!(count > 60, "only {count} commands were found");
    let said = container().option(&["--timeout", "300"]).run(&script);
    assert_eq!(said.matches("\n$ ").count(), count, "{said}");
}
