//! Cases: states of units, enabling and disabling.

use super::support::{Outcome, check, connect, fails, sh, unit, works};
use csihost::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState};
use csihost::systemd::{Fault, ServiceManager as _};
use std::time::{Duration, Instant};

pub(crate) async fn speed() -> Outcome {
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

pub(crate) async fn states() -> Outcome {
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
        let found = units.get(name);
        // Whether open-iscsi.service could do its work is up to the kernel.
        let active = if name.as_str() == "iscsi.service" { found.active } else { active };
        let wanted = UnitState { load, active, file };
        check(found == wanted, format!("{name}: {found:?}, wanted {wanted:?}"))?;
    }
    Ok(format!("{} units", names.len()))
}

pub(crate) async fn enable_disable() -> Outcome {
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

pub(crate) async fn same_links() -> Outcome {
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

pub(crate) async fn no_install() -> Outcome {
    let mut systemd = works(connect().await)?;
    fails(systemd.enable(&unit("t-static.service")).await, |fault| *fault == Fault::NoInstall)
}

pub(crate) async fn not_found() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("nowhere.service");
    let started = fails(systemd.start(&name).await, |fault| *fault == Fault::NotFound)?;
    let enabled = fails(systemd.enable(&name).await, |fault| *fault == Fault::NotFound)?;
    Ok(format!("{started} | {enabled}"))
}

pub(crate) async fn masked() -> Outcome {
    let mut systemd = works(connect().await)?;
    let name = unit("t-masked.service");
    let started = fails(systemd.start(&name).await, |fault| *fault == Fault::Masked)?;
    let enabled = fails(systemd.enable(&name).await, |fault| *fault == Fault::Masked)?;
    Ok(format!("{started} | {enabled}"))
}
