//! A node test of the room of systemd: every promise of `csihost::systemd`, on a real systemd.
//!
//! Runs as root inside a disposable node (a container with systemd as PID 1, or a virtual
//! machine with CSIHOST_NODE=1 set), never on a host that anybody needs. One line a case; ends
//! with status 1 if one fails.

// A test: whatever is not as expected may end it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use csihost::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState};
use csihost::systemd::{Fault, ManagerError, ServiceManager, StopMode, Systemd};
use std::path::Path;
use std::process::{Command, exit};
use std::time::{Duration, Instant};

const UNITS: &str = "/etc/systemd/system";
const DEADLINE: Duration = Duration::from_secs(30);

type Outcome = Result<String, String>;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::args().nth(1).as_deref() {
        None => {}
        // How the error looks in another environment: called by the cases below.
        Some("connect") => return print_error(runtime.block_on(Systemd::connect(DEADLINE)).err()),
        Some("start") => {
            let start = async { connect().await?.start(&unit("t-ok.service")).await };
            return print_error(runtime.block_on(start).err());
        }
        Some("without-bus") => return println!("{:?}", runtime.block_on(without_bus())),
        Some(other) => panic!("unknown: {other}"),
    }
    if !Path::new("/run/systemd/container").exists() && std::env::var_os("CSIHOST_NODE").is_none() {
        eprintln!("bus: this is no disposable node; nothing was done");
        exit(2);
    }
    let failed = runtime.block_on(cases());
    println!("{}", if failed == 0 { "all cases hold".to_owned() } else { format!("{failed} cases FAILED") });
    exit(i32::from(failed > 0));
}

fn print_error(error: Option<ManagerError>) {
    println!("{}", error.map_or_else(|| "no error".to_owned(), |error| error.to_string()));
}

async fn connect() -> Result<Systemd, ManagerError> {
    Systemd::connect(DEADLINE).await
}

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

fn write(name: &str, text: &str) {
    std::fs::write(format!("{UNITS}/{name}"), text).unwrap();
}

fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Runs this program again, in another environment.
fn again(environment: &str, argument: &str) -> String {
    let me = std::env::current_exe().unwrap();
    sh(&format!("{environment} {} {argument}", me.display()))
}

fn check(holds: bool, text: impl ToString) -> Outcome {
    if holds { Ok(text.to_string()) } else { Err(text.to_string()) }
}

/// The call must fail, and the fault be as `wanted` says.
fn fails<T>(result: Result<T, ManagerError>, wanted: impl Fn(&Fault) -> bool) -> Outcome {
    match result {
        Ok(_) => Err("it worked".into()),
        Err(error) => check(wanted(&error.fault), error),
    }
}

fn works<T>(result: Result<T, ManagerError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn set_up() {
    for n in 0..50 {
        let exec = if n % 5 == 0 { "false" } else { "true" };
        write(&format!("t-many-{n}.service"), &oneshot(&format!("/bin/sh -c 'sleep 0.3; {exec}'"), ""));
    }
    let install = "[Install]\nWantedBy=multi-user.target\n";
    write("t-ok.service", &oneshot("/bin/true", install));
    write("t-fail.service", &oneshot("/bin/sh -c 'exit 3'", ""));
    let vendor = "/usr/local/lib/systemd/system";
    std::fs::create_dir_all(vendor).unwrap();
    std::fs::write(format!("{vendor}/t-masked.service"), oneshot("/bin/true", install)).unwrap();
    write("t-slow.service", &oneshot("/bin/sleep 6", ""));
    write("t-static.service", &oneshot("/bin/true", ""));
    write("t-broken.service", "[Service]\nType=oneshot\n");
    write("t-alias.service", &oneshot("/bin/true", "[Install]\nAlias=t-other-name.service\n"));
    write("t-template@.service", &oneshot("/bin/true", install));
    let condition = "[Unit]\nConditionPathExists=/nowhere\nConditionPathExists=!/etc\n";
    write("t-condition.service", &format!("{condition}{}", oneshot("/bin/true", "")));
    let needs = "[Unit]\nRequires=t-fail.service\nAfter=t-fail.service\n";
    write("t-needs.service", &format!("{needs}{}", oneshot("/bin/true", "")));
    write("t-socket.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    write("t-socket.socket", "[Socket]\nListenStream=@t-socket\n");
    write("t-daemon.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    write("t-once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    write("t-manual.service", &format!("[Unit]\nRefuseManualStart=yes\n{}", oneshot("/bin/true", "")));
    write("t-limit.service", &format!("{}TimeoutStartSec=1\n", oneshot("/bin/sleep 5", "")));
    write("srv-t.mount", "[Mount]\nWhat=tmpfs\nType=tmpfs\nWhere=/srv/t\n");
}

fn oneshot(exec: &str, more: &str) -> String {
    format!("{more}[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={exec}\n")
}

async fn cases() -> usize {
    set_up();
    let mut failed = 0;
    macro_rules! case {
        ($name:literal, $case:expr) => {
            let begin = Instant::now();
            let outcome: Outcome = $case.await;
            let took = begin.elapsed().as_secs_f64() * 1000.0;
            let (word, text) = match &outcome {
                Ok(text) => ("ok  ", text),
                Err(text) => ("FAIL", text),
            };
            failed += usize::from(outcome.is_err());
            println!("{word} {} [{took:.1} ms]: {text}", $name);
        };
    }
    case!("a converged turn's questions take little", speed());
    case!("states are told apart", states());
    case!("enable and disable come out as asked", enable_disable());
    case!("the links are systemctl's", same_links());
    case!("a unit without [Install] cannot be enabled", no_install());
    case!("a unit that is not there", not_found());
    case!("a masked unit is an error with its remedy", masked());
    case!("a start ends with the unit active", start_stop());
    case!("a oneshot that is active is restarted", restart());
    case!("a failing unit says how it failed", failing());
    case!("a failing dependency", dependency());
    case!("a failed condition is no success", condition());
    case!("a oneshot that does not remain is not active", once());
    case!("a start that takes longer than systemd allows", limit());
    case!("a start that takes longer than the deadline", deadline());
    case!("a unit that may not be started by hand", manual());
    case!("a broken unit file", broken());
    case!("a socket in the way of its running service", socket());
    case!("fifty jobs at once, each matched by its path", many());
    case!("forged ends of jobs are ignored", forged());
    case!("a mount is not stopped alone with mounts below", mount_alone());
    case!("a storm of reloads", reloads());
    case!("systemd re-executed in the middle of a job", reexec());
    case!("an unprivileged user is refused", unprivileged());
    case!("a bus without systemd", no_systemd());
    case!("a bus that is not there", no_bus());
    failed
}

async fn speed() -> Outcome {
    let names = [
        "iscsid.socket",
        "iscsid.service",
        "open-iscsi.service",
        "iscsi.service",
        "systemd-modules-load.service",
        "multipathd.service",
        "kubelet.service",
        "k3s.service",
        "var-lib-kubelet-pods.mount",
        "var-lib-kubelet-plugins.mount",
        "csihost-boot.service",
        "dbus.socket",
    ]
    .map(unit);
    let (mut connects, mut asks, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        let begin = Instant::now();
        let mut systemd = works(connect().await)?;
        connects.push(begin.elapsed());
        let begin = Instant::now();
        works(systemd.units(&names).await)?;
        asks.push(begin.elapsed());
        let begin = Instant::now();
        works(systemd.units(&names).await)?;
        again.push(begin.elapsed());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (connect, ask, again) = (median(&mut connects), median(&mut asks), median(&mut again));
    let text = format!("median of 20: connect {connect:?}, 12 units {ask:?}, again {again:?}");
    check(connect + ask < Duration::from_millis(50), text)
}

async fn states() -> Outcome {
    sh("systemctl mask t-masked.service");
    let mut systemd = works(connect().await)?;
    let names =
        ["t-ok.service", "t-masked.service", "t-static.service", "t-broken.service", "nowhere.service"];
    let names = [&names[..], &["t-template@.service", "dbus.socket", "-.mount", "iscsi.service"]].concat();
    let names: Vec<UnitName> = names.into_iter().map(unit).collect();
    let units = works(systemd.units(&names).await)?;
    let wanted = [
        (LoadState::Loaded, ActiveState::Inactive, FileState::Disabled),
        (LoadState::Masked, ActiveState::Inactive, FileState::Masked),
        (LoadState::Loaded, ActiveState::Inactive, FileState::Static),
        (LoadState::Broken, ActiveState::Inactive, FileState::Static),
        (LoadState::NotFound, ActiveState::Inactive, FileState::Other),
        (LoadState::Loaded, ActiveState::Inactive, FileState::Disabled),
        (LoadState::Loaded, ActiveState::Active, FileState::Static),
        (LoadState::Loaded, ActiveState::Active, FileState::Other),
        // An alias of open-iscsi.service, which Debian enables.
        (LoadState::Loaded, ActiveState::Inactive, FileState::Enabled),
    ];
    for (name, (load, active, file)) in names.iter().zip(wanted) {
        let (found, wanted) = (units.get(name), UnitState { load, active, file });
        check(found == wanted, format!("{name}: {found:?}, wanted {wanted:?}"))?;
    }
    Ok(format!("{} units", names.len()))
}

async fn enable_disable() -> Outcome {
    let mut systemd = works(connect().await)?;
    let mut text = String::new();
    for name in ["t-ok.service", "t-alias.service", "t-template@x.service"].map(unit) {
        works(systemd.enable(&name).await)?;
        works(systemd.enable(&name).await)?;
        let on = sh(&format!("systemctl is-enabled {name}"));
        works(systemd.disable(&name).await)?;
        works(systemd.disable(&name).await)?;
        let off = sh(&format!("systemctl is-enabled {name}"));
        check(on == "enabled" && off == "disabled", format!("{name}: {on}, {off}"))?;
        text += &format!("{name} {on}, then {off}; ");
    }
    Ok(text)
}

async fn same_links() -> Outcome {
    let links = "find /etc/systemd/system -type l -printf '%P -> %l\\n' | sort";
    let mut systemd = works(connect().await)?;
    let name = unit("iscsid.service");
    works(systemd.disable(&name).await)?;
    let before = sh(links);
    works(systemd.enable(&name).await)?;
    let ours = sh(links);
    works(systemd.disable(&name).await)?;
    check(sh(links) == before, "disable takes back what enable made")?;
    sh("systemctl enable iscsid.service; systemctl disable t-ok.service");
    let theirs = sh(links);
    check(ours == theirs, format!("ours {ours}\ntheirs {theirs}"))?;
    let made: Vec<&str> = ours.lines().filter(|line| !before.contains(line)).collect();
    Ok(made.join(", "))
}

async fn no_install() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.enable(&unit("t-static.service")).await, |fault| *fault == Fault::NoInstall)
}

async fn not_found() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("nowhere.service");
    let started = fails(systemd.start(&name).await, |fault| *fault == Fault::NotFound)?;
    let enabled = fails(systemd.enable(&name).await, |fault| *fault == Fault::NotFound)?;
    Ok(format!("{started} | {enabled}"))
}

async fn masked() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("t-masked.service");
    let started = fails(systemd.start(&name).await, |fault| *fault == Fault::Masked)?;
    let enabled = fails(systemd.enable(&name).await, |fault| *fault == Fault::Masked)?;
    Ok(format!("{started} | {enabled}"))
}

async fn start_stop() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("t-ok.service");
    works(systemd.start(&name).await)?;
    let on = sh("systemctl is-active t-ok.service");
    works(systemd.start(&name).await)?;
    works(systemd.stop(&name, StopMode::Replace).await)?;
    works(systemd.stop(&name, StopMode::Replace).await)?;
    let off = sh("systemctl is-active t-ok.service");
    check(on == "active" && off == "inactive", format!("{on}, then {off}"))
}

async fn restart() -> Outcome {
    let id = "systemctl show -p InvocationID systemd-modules-load.service";
    let mut systemd = works(connect().await)?;
    let name = unit("systemd-modules-load.service");
    let before = sh(id);
    match systemd.restart(&name).await {
        Ok(()) => check(before != sh(id), "it ran again"),
        // In a container its condition (CAP_SYS_MODULE) is not met.
        failed => fails(failed, |fault| matches!(fault, Fault::WrongState { because: Some(_), .. })),
    }
}

async fn failing() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(
        systemd.start(&unit("t-fail.service")).await,
        |fault| matches!(fault, Fault::Job { result, detail: Some(_) } if result == "failed"),
    )
}

async fn dependency() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(
        systemd.start(&unit("t-needs.service")).await,
        |fault| matches!(fault, Fault::Job { result, .. } if result == "dependency"),
    )
}

async fn condition() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-condition.service")).await, |fault| {
        matches!(fault, Fault::WrongState { because: Some(_), .. })
    })
}

async fn once() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-once.service")).await, |fault| matches!(fault, Fault::WrongState { .. }))
}

async fn limit() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-limit.service")).await, |fault| matches!(fault, Fault::Job { .. }))
}

async fn deadline() -> Outcome {
    let mut systemd = works(Systemd::connect(Duration::from_secs(1)).await)?;
    let begin = Instant::now();
    let text = fails(systemd.start(&unit("t-slow.service")).await, |fault| {
        matches!(fault, Fault::JobTimeout { .. })
    })?;
    check(begin.elapsed() < Duration::from_secs(3), "in time")?;
    let state = works(systemd.units(&[unit("t-slow.service")]).await)?.get(&unit("t-slow.service"));
    check(state.active == ActiveState::Activating, format!("{text} | then {:?}", state.active))
}

async fn manual() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-manual.service")).await, |fault| matches!(fault, Fault::Rejected { .. }))
}

async fn broken() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-broken.service")).await, |fault| matches!(fault, Fault::Broken { .. }))
}

async fn socket() -> Outcome {
    let mut systemd = works(connect().await)?;
    works(systemd.start(&unit("t-socket.service")).await)?;
    let text = fails(systemd.start(&unit("t-socket.socket")).await, |fault| {
        matches!(fault, Fault::Job { detail: Some(_), .. })
    })?;
    works(systemd.stop(&unit("t-socket.service"), StopMode::Replace).await)?;
    works(systemd.start(&unit("t-socket.socket")).await)?;
    Ok(text)
}

async fn many() -> Outcome {
    let mut all = Vec::new();
    for n in 0..50 {
        all.push((n, works(connect().await)?));
    }
    let begin = Instant::now();
    let started = futures_util::future::join_all(
        all.iter_mut()
            .map(async |(n, systemd)| (*n, systemd.start(&unit(&format!("t-many-{n}.service"))).await)),
    );
    for (n, result) in started.await {
        check(result.is_ok() == (n % 5 != 0), format!("t-many-{n}: {result:?}"))?;
    }
    Ok(format!("40 done and 10 failed, in {:?}", begin.elapsed()))
}

/// Anybody may send any signal to anybody on the system bus.
async fn forged() -> Outcome {
    let forger = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", FORGER])
        .spawn()
        .unwrap();
    let mut forger = scopeguard(forger);
    let mut systemd = works(Systemd::connect(Duration::from_secs(8)).await)?;
    sh("systemctl stop t-slow.service");
    let begin = Instant::now();
    let result = systemd.start(&unit("t-slow.service")).await;
    forger.0.kill().unwrap();
    works(result)?;
    let (took, sent) = (begin.elapsed(), sh("wc -l </tmp/forged"));
    check(took > Duration::from_secs(5) && sent != "0", format!("{took:?} in spite of {sent} forged signals"))
}

/// Tells everybody on the bus that every job is done.
const FORGER: &str = r#"
trap 'kill 0' TERM
job=$(busctl --system get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 \
    org.freedesktop.systemd1.Manager NInstalledJobs | cut -d' ' -f2)
umask 0; : >/tmp/forged
for n in $(seq 1 12); do
    sleep 0.2
    for to in $(busctl --system list --unique --no-legend | cut -d' ' -f1 | tail -n 4); do
        for id in $(seq $((job + 1)) $((job + 12))); do
            dbus-send --system --type=signal --dest=$to /org/freedesktop/systemd1 \
                org.freedesktop.systemd1.Manager.JobRemoved uint32:$id \
                objpath:/org/freedesktop/systemd1/job/$id string:t-slow.service string:done &&
                echo $to $id >>/tmp/forged
        done
    done
done
"#;

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scopeguard(child: std::process::Child) -> Killed {
    Killed(child)
}

async fn mount_alone() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("srv-t.mount");
    works(systemd.start(&name).await)?;
    sh("mkdir -p /srv/t/below && mount -t tmpfs below /srv/t/below && echo data >/srv/t/below/file");
    let text = fails(systemd.stop(&name, StopMode::Alone).await, |fault| matches!(fault, Fault::Job { .. }))?;
    let (mounts, data) = (sh("grep -c ' /srv/t' /proc/1/mountinfo"), sh("cat /srv/t/below/file"));
    check(mounts == "2" && data == "data", format!("{text} | {mounts} mounts, file says {data}"))?;
    sh("umount /srv/t/below");
    works(systemd.stop(&name, StopMode::Alone).await)?;
    check(
        sh("grep -c ' /srv/t' /proc/1/mountinfo") == "0",
        format!("{text} | both mounts and the data stayed"),
    )
}

async fn reloads() -> Outcome {
    let mut systemd = works(connect().await)?;
    let begin = Instant::now();
    for _ in 0..20 {
        works(systemd.reload().await)?;
    }
    Ok(format!("20 in {:?}", begin.elapsed()))
}

async fn reexec() -> Outcome {
    let mut systemd = works(connect().await)?;
    sh("systemctl stop t-slow.service");
    let child = Command::new("sh").args(["-c", "sleep 1; systemctl daemon-reexec"]).spawn().unwrap();
    let _child = Killed(child);
    let first = systemd.start(&unit("t-slow.service")).await;
    // Whatever became of the job, the same connection goes on.
    works(systemd.units(&[unit("dbus.socket")]).await)?;
    works(systemd.start(&unit("t-daemon.service")).await)?;
    Ok(first.map_or_else(|error| error.to_string(), |()| "the job's end arrived".to_owned()))
}

async fn unprivileged() -> Outcome {
    let text = again("setpriv --reuid=65534 --regid=65534 --clear-groups", "start");
    check(text.contains("not permitted"), text)
}

async fn no_systemd() -> Outcome {
    let address = sh("dbus-daemon --session --fork --print-address");
    let text = again(&format!("DBUS_SYSTEM_BUS_ADDRESS='{address}'"), "connect");
    check(text.contains("systemd is not on the system bus"), text)
}

/// With a mount namespace in which the bus's directory is empty: this node needs its bus.
async fn no_bus() -> Outcome {
    let text = again("unshare --mount sh -c 'mount -t tmpfs none /run/dbus && exec \"$@\"' -", "connect");
    check(text.contains("no system bus at unix:path=/run/dbus/system_bus_socket"), text)
}

/// What the room does when the bus goes away under it. Whoever runs this must not need the bus.
async fn without_bus() -> Outcome {
    let mut systemd = works(connect().await)?;
    works(systemd.units(&[unit("dbus.socket")]).await)?;
    sh("systemctl stop dbus.socket dbus.service");
    let lost =
        fails(systemd.units(&[unit("dbus.socket")]).await, |fault| matches!(fault, Fault::Lost { .. }))?;
    let absent = fails(connect().await, |fault| matches!(fault, Fault::NoBus { .. }))?;
    sh("systemctl start dbus.socket");
    works(works(connect().await)?.units(&[unit("dbus.socket")]).await)?;
    Ok(format!("{lost} | {absent} | then it works again"))
}
