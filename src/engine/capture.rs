//! Engine: captures a scene of a host: what detection and checks read, for people elsewhere.
//!
//! What they read is not listed here but seen: the host's own files are looked at once as `--root`
//! looks at a tree, by a handle that notes each path that is asked for. So a scene has what a
//! later version asks for, too. To that come processes, the kubelet's directories as names, and
//! unit files, which a live host's systemd reads in csihost's place.

mod files;
mod processes;

use super::config::Config;
use super::status::now;
use super::turn;
use crate::host::Host;
use crate::model::facts::Mode;
use crate::model::file::FileFact;
use crate::model::kubelet::{Detection, Unread};
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use crate::scene::archive::{Content, Entries, Entry};
use crate::scene::manifest::{LeftOut, Manifest, PATH, time};
use crate::scene::messages;
use anyhow::Result;
use std::path::Path;

/// A captured scene.
#[derive(Debug)]
pub struct Scene {
    /// What a file of it is to be called.
    pub name: String,
    /// The archive: tar, compressed with zstd.
    pub archive: Vec<u8>,
    /// How many paths are in it.
    pub paths: usize,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// What is gathered on the way.
struct Gathered<'a> {
    host: &'a Host,
    entries: Entries,
    left_out: Vec<LeftOut>,
    unread: Vec<Unread>,
}

impl Gathered<'_> {
    fn unread(&mut self, path: &HostPath, error: impl ToString) {
        self.unread.push(Unread { path: path.to_string(), error: error.to_string() });
    }
}

/// Captures the host at `root`, or this one.
pub async fn capture(root: Option<&Path>, live: &Host, config: &Config) -> Result<Scene> {
    let host = Host::open(Some(root.unwrap_or(Path::new("/"))))?.recording();
    // Where something there cannot be understood, what was asked for until then still counts.
    let looked = match super::load(&host, None) {
        Ok(config) => read_all(&host, &config).await.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let mut gathered = Gathered {
        host: &host,
        entries: Entries::default(),
        left_out: LeftOut::always(),
        unread: Vec::new(),
    };
    if let Some(error) = looked {
        gathered.unread(&HostPath::root(), error);
    }
    let detection = match turn::detect(live, config).await {
        Ok(detection) => detection,
        Err(error) => {
            gathered.unread(&HostPath::root(), error);
            Detection::default()
        }
    };
    for path in host.asked().iter().filter(|path| !path.starts_with(&HostPath::from("/proc"))) {
        files::asked(&mut gathered, path);
    }
    files::usual(&mut gathered);
    let roots = roots(&detection);
    for root in &roots {
        files::skeleton(&mut gathered, root);
    }
    let captured = processes::all(&mut gathered, &roots);
    files::kernel(&mut gathered, live.kernel_release());

    let (seconds, hostname) = (now(), hostname(live));
    let (time, kernel) = (time(seconds), live.kernel_release());
    let manifest = Manifest {
        schema: 1,
        csihost: env!("CARGO_PKG_VERSION"),
        time: &time,
        hostname: &hostname,
        kernel: kernel.as_deref(),
        detection: &detection,
        processes: &captured,
        left_out: &gathered.left_out,
        unread: &gathered.unread,
    };
    let mut manifest = serde_json::to_value(&manifest)?;
    messages(&mut manifest);
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    let entry = Entry { content: Content::File(text), mode: 0o644, owner: (0, 0) };
    gathered.entries.add(HostPath::from(PATH), entry);

    let date: String = time.chars().take(10).filter(|c| *c != '-').collect();
    let name = format!("csihost-{hostname}-{date}");
    let archive = gathered.entries.archive(&name, seconds)?;
    Ok(Scene {
        name: format!("{name}.tar.zst"),
        archive,
        paths: gathered.entries.len(),
        unread: gathered.unread,
    })
}

/// Reads all that any verb reads of a tree, for the sake of reading it: beside a running kubelet,
/// only `detect` asks for configuration.
async fn read_all(host: &Host, config: &Config) -> Result<()> {
    turn::look(host, config).await?;
    turn::detect(host, config).await?;
    Ok(())
}

/// Directories that somebody takes for the kubelet's root.
fn roots(detection: &Detection) -> Vec<HostPath> {
    let evidence = detection.evidence.iter().map(|evidence| evidence.value.as_path());
    let said = detection.kubelet.iter().map(|kubelet| kubelet.root_dir.as_path());
    let mut roots: Vec<HostPath> = evidence.chain(said).chain(detection.host_dir()).cloned().collect();
    roots.push(HostPath::from(STANDARD_PATH));
    roots.sort();
    roots.dedup();
    roots
}

/// The node's name, as far as a file's name can hold it.
fn hostname(host: &Host) -> String {
    let name = match host.mode() {
        Mode::Live => host.hostname().into_bytes(),
        Mode::Offline => match host.file(&HostPath::from("/etc/hostname")) {
            FileFact::File(file) => file.bytes,
            _ => Vec::new(),
        },
    };
    let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
    let safe: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).take(64).collect();
    if safe.trim_matches('.').is_empty() { "node".to_owned() } else { safe }
}
