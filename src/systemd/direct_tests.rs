//! What is done on a host without systemd, on one in memory.

use super::direct::{Direct, DirectHost, Ended, Service};
use super::error::{Fault, ManagerError};
use super::{Patience, ServiceManager as _, StopMode, Transient, UnitTree};
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

/// A host in memory: what is there, what runs, what was called.
#[derive(Default)]
struct Fake {
    offline: bool,
    /// A daemon that says that all is well, and does not stay.
    dies: bool,
    /// A command that never ends.
    hangs: bool,
    there: RefCell<BTreeSet<String>>,
    running: RefCell<BTreeSet<String>>,
    calls: RefCell<Vec<String>>,
    failing: Vec<&'static str>,
}

const DAEMON: &str = "/sbin/iscsid";

impl UnitTree for &Fake {
    fn read(&self, _: &HostPath) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn read_link(&self, _: &HostPath) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &HostPath) -> io::Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }
    fn symlink(&self, target: &[u8], path: &HostPath) -> io::Result<()> {
        self.calls.borrow_mut().push(format!("link {path} to {}", String::from_utf8_lossy(target)));
        self.there.borrow_mut().insert(path.to_string());
        Ok(())
    }
    fn remove(&self, path: &HostPath) -> io::Result<()> {
        self.calls.borrow_mut().push(format!("remove {path}"));
        self.there.borrow_mut().remove(&path.to_string());
        Ok(())
    }
    fn remove_dir(&self, _: &HostPath) -> io::Result<()> {
        Ok(())
    }
}

impl DirectHost for &Fake {
    type Child = Option<Ended>;

    fn is_live(&self) -> bool {
        !self.offline
    }
    fn exists(&self, path: &HostPath) -> bool {
        self.there.borrow().contains(&path.to_string())
    }
    fn program(&self, name: &str) -> io::Result<HostPath> {
        HostPath::parse(format!("/sbin/{name}").as_bytes()).map_err(|_| io::ErrorKind::NotFound.into())
    }
    fn start(
        &self,
        program: &HostPath,
        arguments: &[&str],
        _: &[(String, String)],
    ) -> io::Result<Self::Child> {
        let command = [&[program.to_string().as_str()], arguments].concat().join(" ");
        let mut running = self.running.borrow_mut();
        let mut status = i32::from(self.failing.contains(&command.as_str()));
        match arguments {
            [name, "status"] => status = if running.contains(*name) { 0 } else { 3 },
            _ if status != 0 || self.dies => {}
            [name, "start"] => drop(running.insert((*name).to_owned())),
            [name, "stop"] => drop(running.remove(*name)),
            [] => drop(running.insert(program.to_string())),
            _ => {}
        }
        if arguments.last() != Some(&"status") {
            self.calls.borrow_mut().push(command);
        }
        Ok((!self.hangs).then(|| Ended { status: Some(status), said: "the last line".to_owned() }))
    }
    fn ended(&self, child: &mut Self::Child) -> io::Result<Option<Ended>> {
        Ok(child.take())
    }
    fn runs(&self, program: &HostPath) -> io::Result<bool> {
        Ok(self.running.borrow().contains(&program.to_string()))
    }
    fn terminate(&self, program: &HostPath) -> io::Result<()> {
        self.calls.borrow_mut().push(format!("terminate {program}"));
        self.running.borrow_mut().remove(&program.to_string());
        Ok(())
    }
}

fn unit() -> UnitName {
    UnitName::from("iscsid.service")
}

fn fake(there: &[&str]) -> Fake {
    Fake { there: RefCell::new(there.iter().map(|path| (*path).to_owned()).collect()), ..Fake::default() }
}

fn with(host: &Fake, service: Service) -> Direct<&Fake> {
    Direct::new(host, BTreeMap::from([(unit(), service)]), Duration::from_millis(100))
}

fn openrc(host: &Fake) -> Direct<&Fake> {
    with(host, Service::OpenRc("iscsid".to_owned()))
}

fn daemon(host: &Fake) -> Direct<&Fake> {
    with(host, Service::Daemon(HostPath::from(DAEMON)))
}

async fn state(direct: &mut Direct<&Fake>) -> (LoadState, ActiveState, FileState) {
    let state = direct.units(&[unit()]).await.unwrap().get(&unit());
    (state.load, state.active, state.file)
}

fn said(error: ManagerError) -> String {
    error.to_string()
}

#[tokio::test]
async fn a_service_of_openrc_is_enabled_by_a_link_and_started_by_its_script() {
    let host = fake(&["/etc/init.d/iscsid"]);
    let mut direct = openrc(&host);
    assert_eq!(state(&mut direct).await, (LoadState::Loaded, ActiveState::Inactive, FileState::Disabled));
    direct.enable(&unit()).await.unwrap();
    direct.enable(&unit()).await.unwrap();
    direct.start(&unit()).await.unwrap();
    assert_eq!(state(&mut direct).await, (LoadState::Loaded, ActiveState::Active, FileState::Enabled));
    direct.restart(&unit()).await.unwrap();
    direct.stop(&unit(), StopMode::Replace).await.unwrap();
    direct.disable(&unit()).await.unwrap();
    assert_eq!(state(&mut direct).await, (LoadState::Loaded, ActiveState::Inactive, FileState::Disabled));
    assert_eq!(
        *host.calls.borrow(),
        [
            "link /etc/runlevels/default/iscsid to /etc/init.d/iscsid",
            "/sbin/rc-service iscsid start",
            "/sbin/rc-service iscsid stop",
            "/sbin/rc-service iscsid start",
            "/sbin/rc-service iscsid stop",
            "remove /etc/runlevels/default/iscsid",
        ]
    );
}

#[tokio::test]
async fn a_service_of_an_earlier_runlevel_is_enabled() {
    let host = fake(&["/etc/init.d/iscsid", "/etc/runlevels/boot/iscsid"]);
    assert_eq!(state(&mut openrc(&host)).await.2, FileState::Enabled);
}

#[tokio::test]
async fn a_daemon_without_openrc_is_its_program() {
    let host = fake(&[DAEMON]);
    let mut direct = daemon(&host);
    assert_eq!(state(&mut direct).await, (LoadState::Loaded, ActiveState::Inactive, FileState::Enabled));
    direct.start(&unit()).await.unwrap();
    direct.start(&unit()).await.unwrap();
    assert_eq!(state(&mut direct).await.1, ActiveState::Active);
    direct.restart(&unit()).await.unwrap();
    direct.stop(&unit(), StopMode::Replace).await.unwrap();
    assert_eq!(state(&mut direct).await.1, ActiveState::Inactive);
    assert_eq!(*host.calls.borrow(), [DAEMON, "terminate /sbin/iscsid", DAEMON, "terminate /sbin/iscsid"]);
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_can_be_neither_enabled_nor_started() {
    let host = fake(&[]);
    assert_eq!(state(&mut openrc(&host)).await.0, LoadState::NotFound);
    assert_eq!(state(&mut daemon(&host)).await.0, LoadState::NotFound);
    assert_eq!(openrc(&host).enable(&unit()).await.unwrap_err().fault, Fault::NotFound);
    let other = UnitName::from("k3s.service");
    assert_eq!(openrc(&host).start(&other).await.unwrap_err().fault, Fault::NotFound);
    assert_eq!(*host.calls.borrow(), [""; 0]);
}

#[tokio::test]
async fn a_daemon_that_does_not_stay_is_an_error() {
    let host = Fake { dies: true, ..fake(&[DAEMON]) };
    let error = said(daemon(&host).start(&unit()).await.unwrap_err());
    assert!(
        error.starts_with("cannot start iscsid.service: /sbin/iscsid ended well, and nothing runs"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_fails_says_how_and_one_that_hangs_is_not_waited_for() {
    let host = Fake { failing: vec!["/sbin/modprobe iscsi_tcp"], ..fake(&[]) };
    let error = said(daemon(&host).load_module("iscsi_tcp").await.unwrap_err());
    assert_eq!(
        error,
        "cannot load the module iscsi_tcp: /sbin/modprobe iscsi_tcp ended with exit status 1: the last line; \
         what it said is in /run/csihost/command.log"
    );
    let host = Fake { hangs: true, ..fake(&[]) };
    let error = said(daemon(&host).load_module("iscsi_tcp").await.unwrap_err());
    assert!(error.contains("and goes on"), "{error}");
}

#[tokio::test]
async fn commands_run_one_after_the_other_until_one_fails() {
    let host = Fake { failing: vec!["/usr/bin/apt-get update"], ..fake(&[]) };
    let program = HostPath::from("/usr/bin/apt-get");
    let command = |words: &[&str]| (program.clone(), words.iter().map(|word| (*word).to_owned()).collect());
    let what = Transient {
        rights: None,
        description: String::new(),
        commands: vec![command(&["update"]), command(&["install", "a"])],
        environment: vec![],
        patience: Patience::Limit(Duration::from_secs(1)),
    };
    let error = said(daemon(&host).run(&unit(), &what).await.unwrap_err());
    assert!(error.contains("it ended with exit status 1: the last line"), "{error}");
    assert_eq!(*host.calls.borrow(), ["/usr/bin/apt-get update"]);
}

#[tokio::test]
async fn in_a_tree_of_files_links_are_made_and_nothing_is_run() {
    let host = Fake { offline: true, ..fake(&["/etc/init.d/iscsid"]) };
    let mut direct = openrc(&host);
    assert_eq!(state(&mut direct).await.1, ActiveState::Unknown);
    direct.enable(&unit()).await.unwrap();
    assert_eq!(direct.start(&unit()).await.unwrap_err().fault, Fault::NotOffline);
    assert_eq!(direct.load_module("a").await.unwrap_err().fault, Fault::NotOffline);
    assert_eq!(host.calls.borrow().len(), 1);
}
