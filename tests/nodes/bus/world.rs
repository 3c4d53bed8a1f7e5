//! Cases: what others do meanwhile: forgers, a systemd that is re-executed, a bus that is gone.

use super::support::{Killed, Outcome, again, check, connect, fails, sh, unit, works};
use csihost::systemd::{Fault, ServiceManager as _, Systemd};
use std::process::Command;
use std::time::{Duration, Instant};

/// Anybody may send any signal to anybody on the system bus.
pub(crate) async fn forged() -> Outcome {
    let forger = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", FORGER])
        .spawn()
        .unwrap();
    let mut forger = Killed(forger);
    let mut systemd = works(Systemd::connect(Duration::from_secs(8)).await)?;
    sh("systemctl stop t-slow.service");
    let begin = Instant::now();
    let result = systemd.start(&unit("t-slow.service")).await;
    forger.0.kill().unwrap();
    works(result)?;
    let (took, sent) = (begin.elapsed(), sh("wc -l </tmp/forged"));
    check(took > Duration::from_secs(5) && sent != "0", format!("{took:?} in spite of {sent} forged signals"))
}

/// systemd 253 and later can be told to refuse reloads that come too often.
pub(crate) async fn reloads() -> Outcome {
    let limit = "/etc/systemd/system.conf.d/t.conf";
    let text = "[Manager]\nReloadLimitIntervalSec=2s\nReloadLimitBurst=4\n";
    sh(&format!("mkdir -p /etc/systemd/system.conf.d; printf '{text}' >{limit}; systemctl daemon-reexec"));
    let mut systemd = works(connect().await)?;
    let begin = Instant::now();
    for _ in 0..12 {
        works(systemd.reload().await)?;
    }
    let took = begin.elapsed();
    let refused = sh("for n in 1 2 3 4 5; do systemctl daemon-reload 2>&1; done");
    sh(&format!("rm {limit}; sleep 2.1; systemctl daemon-reexec"));
    let refused = refused.lines().next().unwrap_or("it refuses none").to_owned();
    Ok(format!("12 in {took:?}, one after the other without waiting; systemctl: {refused}"))
}

pub(crate) async fn reexec() -> Outcome {
    let mut systemd = works(connect().await)?;
    sh("systemctl stop t-slow.service");
    let child = Command::new("sh").args(["-c", "sleep 1; systemctl daemon-reexec"]).spawn().unwrap();
    let _child = Killed(child);
    let first = systemd.start(&unit("t-slow.service")).await;
    // Whatever became of the job, the same connection goes on.
    works(systemd.units(&[unit("dbus.socket")]).await)?;
    works(systemd.start(&unit("t-daemon.service")).await)?;
    works(first)?;
    Ok("the job's end arrived, and the connection goes on".to_owned())
}

pub(crate) async fn unprivileged() -> Outcome {
    let text = again("setpriv --reuid=65534 --regid=65534 --clear-groups", "start");
    check(text.contains("not permitted"), text)
}

pub(crate) async fn no_systemd() -> Outcome {
    let address = sh("dbus-daemon --session --fork --print-address");
    let text = again(&format!("DBUS_SYSTEM_BUS_ADDRESS='{address}'"), "connect");
    check(text.contains("systemd is not on the system bus"), text)
}

/// With a mount namespace in which the bus's directory is empty: this node needs its bus.
pub(crate) async fn no_bus() -> Outcome {
    let text = again("unshare --mount sh -c 'mount -t tmpfs none /run/dbus && exec \"$@\"' -", "connect");
    check(text.contains("no system bus at unix:path=/run/dbus/system_bus_socket"), text)
}

/// What the room does when the bus goes away under it. Whoever runs this must not need the bus.
pub(crate) async fn without_bus() -> Outcome {
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
