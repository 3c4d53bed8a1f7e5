//! A host as a tree of files, and what csihost makes of it.

use csihost::engine::{self, Host};
use csihost::model::finding::Finding;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A host as a tree of files.
pub(crate) struct Tree(tempfile::TempDir);

pub(crate) const CONF: &str = "etc/iscsi/iscsid.conf";

impl Tree {
    pub(crate) fn new(os_release: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(tree.path("etc/systemd/system")).unwrap();
        fs::create_dir_all(tree.path("var/lib")).unwrap();
        tree.with("etc/os-release", os_release)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn with(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
        self
    }

    pub(crate) fn program(self, path: &str) -> Self {
        let tree = self.with(path, "\x7fELF");
        fs::set_permissions(tree.path(path), fs::Permissions::from_mode(0o755)).unwrap();
        tree
    }

    pub(crate) fn systemd(self) -> Self {
        self.program("usr/lib/systemd/systemd").program("bin/systemctl")
    }

    /// The units of open-iscsi as packages install them: enabled by preset or by us.
    pub(crate) fn units(mut self, names: &[&str]) -> Self {
        for name in names {
            let target = if name.ends_with(".socket") { "sockets.target" } else { "multi-user.target" };
            let text = format!("[Unit]\nDescription={name}\n[Install]\nWantedBy={target}\n");
            self = self.with(&format!("usr/lib/systemd/system/{name}"), text);
        }
        self
    }

    /// Adds what a host of the profile has: systemd and the units, or not, and the daemon.
    pub(crate) fn profiled(self) -> Self {
        let (host, config) = self.load();
        drop(host);
        let Some(needs) = config.profile.profile.needs() else { return self };
        let daemon = needs.iscsi.daemon[0].to_string();
        let tree = self.program(daemon.trim_start_matches('/'));
        match &needs.iscsi.systemd {
            None => match &needs.iscsi.openrc {
                Some(name) => tree.program(&format!("etc/init.d/{name}")),
                None => tree,
            },
            Some(systemd) => {
                let names = systemd.units.iter().chain([&systemd.service]).map(|unit| unit.as_str());
                let names: Vec<&str> = names.chain(["iscsiuio.socket"]).collect();
                tree.systemd().units(&names)
            }
        }
    }

    pub(crate) fn load(&self) -> (Host, engine::Config) {
        let host = Host::open(Some(self.0.path())).unwrap();
        let config = engine::load(&host, None).unwrap();
        (host, config)
    }

    pub(crate) fn profile(&self) -> (String, bool) {
        let (_, config) = self.load();
        (config.profile.profile.name, config.profile.exact)
    }

    pub(crate) fn look(&self) -> engine::Seen {
        let (host, config) = self.load();
        runtime().block_on(engine::look(&host, &config)).unwrap()
    }

    pub(crate) fn finding(&self) -> Finding {
        let seen = self.look();
        seen.findings.into_iter().find(|finding| finding.id == "os-profile").unwrap()
    }

    /// Applies; what iscsid.conf is then. Nothing may be refused, and a second turn has nothing to do.
    pub(crate) fn applied(&self) -> Vec<u8> {
        let (host, config) = self.load();
        let report = runtime().block_on(engine::apply(&host, &config)).unwrap();
        let refused: Vec<_> = report.status.refused.iter().map(|note| &note.reason).collect();
        assert!(refused.is_empty(), "{refused:?}");
        assert!(self.look().plan.is_empty());
        fs::read(self.path(CONF)).unwrap()
    }

    pub(crate) fn csihost(&self, args: &[&str]) -> (String, String, i32) {
        csihost(&[args, &["--root", self.0.path().to_str().unwrap()]].concat())
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn csihost(args: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_csihost")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}
