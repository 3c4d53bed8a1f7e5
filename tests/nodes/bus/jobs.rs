//! Cases: starting and stopping units, and what comes in between.

use super::support::{Killed, Outcome, check, connect, fails, sh, unit, works};
use csihost::model::path::HostPath;
use csihost::model::unit::ActiveState;
use csihost::systemd::{Fault, Patience, ServiceManager as _, StopMode, Systemd, Transient};
use std::time::{Duration, Instant};

pub(crate) async fn start_stop() -> Outcome {
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

pub(crate) async fn restart() -> Outcome {
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

pub(crate) async fn failing() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(
        systemd.start(&unit("t-fail.service")).await,
        |fault| matches!(fault, Fault::Job { result, detail: Some(_) } if result == "failed"),
    )
}

pub(crate) async fn dependency() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(
        systemd.start(&unit("t-needs.service")).await,
        |fault| matches!(fault, Fault::Job { result, .. } if result == "dependency"),
    )
}

pub(crate) async fn condition() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-condition.service")).await, |fault| {
        matches!(fault, Fault::WrongState { because: Some(_), .. })
    })
}

pub(crate) async fn once() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-once.service")).await, |fault| matches!(fault, Fault::WrongState { .. }))
}

pub(crate) async fn limit() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-limit.service")).await, |fault| matches!(fault, Fault::Job { .. }))
}

pub(crate) async fn deadline() -> Outcome {
    let mut systemd = works(Systemd::connect(Duration::from_secs(1)).await)?;
    let begin = Instant::now();
    let text = fails(systemd.start(&unit("t-slow.service")).await, |fault| {
        matches!(fault, Fault::JobTimeout { .. })
    })?;
    check(begin.elapsed() < Duration::from_secs(3), "in time")?;
    let state = works(systemd.units(&[unit("t-slow.service")]).await)?.get(&unit("t-slow.service"));
    check(state.active == ActiveState::Activating, format!("{text} | then {:?}", state.active))
}

pub(crate) async fn manual() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-manual.service")).await, |fault| matches!(fault, Fault::Rejected { .. }))
}

pub(crate) async fn broken() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.start(&unit("t-broken.service")).await, |fault| matches!(fault, Fault::Broken { .. }))
}

pub(crate) async fn socket() -> Outcome {
    let mut systemd = works(connect().await)?;
    works(systemd.start(&unit("t-socket.service")).await)?;
    let text = fails(systemd.start(&unit("t-socket.socket")).await, |fault| {
        matches!(fault, Fault::Job { detail: Some(_), .. })
    })?;
    works(systemd.stop(&unit("t-socket.service"), StopMode::Replace).await)?;
    works(systemd.start(&unit("t-socket.socket")).await)?;
    Ok(text)
}

pub(crate) async fn many() -> Outcome {
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

pub(crate) async fn mount_alone() -> Outcome {
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

/// A command that waits for a mount that does not answer ends by its limit, and its unit goes with it.
pub(crate) async fn silent_mount() -> Outcome {
    let point = "/run/t-silent";
    let served = "mkdir -p /run/t-silent; [ -e /dev/fuse ] || mknod /dev/fuse c 10 229; exec 9<>/dev/fuse
        mount -i -n -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0,allow_other silent /run/t-silent
        exec sleep 60";
    let server =
        Killed(std::process::Command::new("sh").args(["-c", served]).spawn().map_err(|e| e.to_string())?);
    while !sh("cat /proc/1/mountinfo").contains(point) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let what = Transient {
        description: "Wait for a mount".to_owned(),
        commands: vec![(HostPath::from("/bin/cat"), vec![format!("{point}/file")])],
        environment: Vec::new(),
        patience: Patience::Limit(Duration::from_secs(2)),
        rights: None,
    };
    let mut systemd = works(connect().await)?;
    let begin = Instant::now();
    let ran = systemd.run(&unit("t-limited.service"), &what).await;
    let took = begin.elapsed();
    let left = sh("pgrep -fx '/bin/cat /run/t-silent/file'; systemctl is-active t-limited.service");
    sh("umount -l /run/t-silent");
    drop(server);
    let said = fails(
        ran,
        |fault| matches!(fault, Fault::Job { detail: Some(detail), .. } if detail == "systemd ended it after its limit of 2 s"),
    )?;
    let is_in_time = took < Duration::from_secs(8) && left == "inactive";
    check(
        is_in_time && said.contains("see journalctl -u t-limited.service"),
        format!("{said}; {took:?}; {left}"),
    )
}
