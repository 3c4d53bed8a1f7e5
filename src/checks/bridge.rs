//! Pure: whether drivers that look below the standard path find the kubelet's directories there.

use crate::model::bytes::shown;
use crate::model::facts::{Facts, Mode};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::mounts::bridge::{Bridge, Decision, STANDARD_PATH, Same, WITHOUT_BRIDGE, decide, remains};
use std::collections::BTreeSet;

const ID: &str = "bridge";

/// `wanted` is whether the settings want a bridge.
pub(super) fn check(facts: &Facts, directories: &[&str], wanted: bool) -> Vec<Finding> {
    if !wanted {
        return left_over(facts, &BTreeSet::new());
    }
    match decide(facts, directories) {
        Decision::NoKubelet => {
            vec![Finding::new(ID, CheckStatus::Skip, "no kubelet root is known yet")]
        }
        Decision::Same(same) => {
            let mut findings = vec![one_directory(&same)];
            findings.extend(left_over(facts, &BTreeSet::new()));
            findings
        }
        Decision::Refused(refused) => refused
            .into_iter()
            .map(|refusal| {
                Finding::new(ID, CheckStatus::Fail, format!("{}: {}", refusal.target, refusal.reason))
                    .detail(match refusal.id {
                        WITHOUT_BRIDGE => {
                            "its pods' volumes and plugins are where nobody looks for them".to_owned()
                        }
                        _ => format!("drivers that look below {STANDARD_PATH} do not find this kubelet"),
                    })
                    .remedy(refusal.remedy)
            })
            .collect(),
        Decision::Build(bridge) if facts.mounts.is_empty() => vec![Finding::new(
            ID,
            CheckStatus::Skip,
            format!("to {}; what is mounted is not known offline", bridge.root),
        )],
        Decision::Build(bridge) => {
            let mut findings = vec![bridged(&bridge)];
            findings.extend(volatile(facts, &bridge));
            findings.extend(left_over(facts, &bridge.units()));
            findings.push(shared(&bridge));
            findings
        }
    }
}

fn one_directory(same: &Same) -> Finding {
    let pass = |why: String| Finding::new(ID, CheckStatus::Pass, format!("none is needed: {why}"));
    match same {
        Same::Standard => pass("the kubelet uses the standard path itself".to_owned()),
        Same::Namespace(on_host) => pass(format!(
            "the kubelet and its container runtime have {STANDARD_PATH} in a mount namespace of their own, and containers get it \
             from there{}",
            on_host.as_ref().map_or_else(String::new, |path| format!(" (on the host it is {path})"))
        )),
        Same::Link(root) => pass(format!(
            "{STANDARD_PATH} and the kubelet's root {root} are one directory by a link: drivers that look at \
             either are registered. But the kubelet sends them paths below its root, and a driver whose container \
             has only {STANDARD_PATH} cannot follow them: tell each driver its root"
        )),
        Same::Whole { root, hidden } if hidden.is_empty() => {
            let summary = format!("the whole of {root} is mounted at {STANDARD_PATH}");
            Finding::new(ID, CheckStatus::Warn, summary)
                .detail(
                    "where this mount comes after the kubelet's start, it hides device-plugins and pki, and \
                     kubeadm's config.yaml and kubeadm-flags.env",
                )
                .remedy(whole_remedy(root))
        }
        Same::Whole { root, hidden } => {
            let hidden = hidden.join(" and ");
            let summary =
                format!("the whole of {root} is mounted over {STANDARD_PATH} and hides {hidden} there");
            Finding::new(ID, CheckStatus::Fail, summary)
                .detail(format!(
                    "whatever its root is, a kubelet keeps device-plugins and, unless told otherwise, pki in \
                     {STANDARD_PATH}, and kubeadm config.yaml and kubeadm-flags.env: device plugins do not find \
                     this kubelet, and it may not find its identity when it starts again"
                ))
                .remedy(whole_remedy(root))
        }
    }
}

fn whole_remedy(root: &HostPath) -> String {
    format!(
        "drain the node, stop the kubelet, unmount {STANDARD_PATH} and remove what mounts {root} there \
         (/etc/fstab, a mount unit); csihost apply then joins pods, plugins and plugins_registry alone"
    )
}

fn bridged(bridge: &Bridge) -> Finding {
    let reboot = bridge.spans.iter().find_map(|span| Some((span, span.former.as_ref()?)));
    if let Some((span, former)) = reboot.filter(|(_, former)| former.below > 0) {
        let summary = format!(
            "{} is still the directory of the earlier root {}, with {} mounts below",
            span.place, former.root, former.below
        );
        return Finding::new(ID, CheckStatus::Fail, summary)
            .detail(format!("the kubelet's root is {}; unmounting would take volumes from pods", bridge.root))
            .remedy("drain the node and reboot it: the units for the next boot are right");
    }
    let missing: Vec<String> =
        bridge.spans.iter().filter(|span| !span.mounted).map(|span| span.place.to_string()).collect();
    match missing.as_slice() {
        [] if bridge.is_whole() => Finding::new(
            ID,
            CheckStatus::Pass,
            format!("the whole of {} is at {}, in the place of a link to it", bridge.root, bridge.standard),
        ),
        [] => {
            let names = bridge.spans.iter().filter_map(|span| span.place.below(&bridge.standard)).map(shown);
            let names = names.collect::<Vec<_>>().join(", ");
            let summary = format!("{names} of {} are at {}", bridge.root, bridge.standard);
            Finding::new(ID, CheckStatus::Pass, summary)
        }
        missing => Finding::new(ID, CheckStatus::Fail, format!("not the kubelet's: {}", missing.join(", ")))
            .detail(format!("the kubelet's root is {}; drivers look below {STANDARD_PATH}", bridge.root))
            .remedy("run csihost apply"),
    }
}

/// A bridge whose units are gone at the next boot.
fn volatile(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let runtime = HostPath::from("/run/systemd/system");
    let there =
        |unit: &crate::model::unit::UnitName| facts.file(&runtime.join(unit.as_str())).file().is_some();
    let volatile = facts.units_read_only && bridge.spans.iter().any(|span| there(&span.unit));
    volatile.then(|| {
        Finding::new(
            "bridge-units",
            CheckStatus::Warn,
            "/etc is read-only: the bridge's units are in /run/systemd/system, and gone at the next boot",
        )
        .detail("csihost-boot.service makes them anew at every boot, before the kubelet starts")
        .remedy("see that the image enables csihost-boot.service, or make its /etc with csihost apply --root")
    })
}

/// What bridges that nobody wants any more have left.
fn left_over(facts: &Facts, wanted: &BTreeSet<crate::model::unit::UnitName>) -> Vec<Finding> {
    if facts.mode == Mode::Offline {
        return Vec::new();
    }
    let left = remains(facts, wanted).into_iter().filter_map(|remains| {
        let busy = remains.busy?;
        let summary = format!("{} is no longer needed, and still mounted: {busy}", remains.path);
        Some(
            Finding::new("bridge-left-over", CheckStatus::Warn, summary)
                .detail("unmounting it would take volumes from pods that run; its unit is gone already")
                .remedy("nothing has to be done: it goes at the next reboot"),
        )
    });
    left.collect()
}

fn shared(bridge: &Bridge) -> Finding {
    const ID: &str = super::contract::PROPAGATION;
    let private: Vec<String> =
        bridge.shares.iter().filter(|share| !share.mounted).map(|share| share.path.to_string()).collect();
    match private.as_slice() {
        [] => Finding::new(ID, CheckStatus::Pass, "mounts below the root and the standard path are shared"),
        private => Finding::new(
            ID,
            CheckStatus::Fail,
            format!("on a mount that is not shared: {}", private.join(", ")),
        )
        .detail("a volume that a plugin mounts there does not reach the kubelet")
        .remedy("run csihost apply"),
    }
}
