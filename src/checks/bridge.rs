//! Pure: whether drivers that look below the standard path find the kubelet's directories there.

use crate::model::bytes::shown;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::mounts::bridge::{Bridge, Decision, STANDARD_PATH, decide};

pub(super) fn check(facts: &Facts, directories: &[&str]) -> Vec<Finding> {
    match decide(facts, directories) {
        Decision::NoKubelet => {
            vec![Finding::new("bridge", CheckStatus::Skip, "no kubelet root is known yet")]
        }
        Decision::Same(why) => {
            vec![Finding::new("bridge", CheckStatus::Pass, format!("none is needed: {why}"))]
        }
        Decision::Refused(refused) => refused
            .into_iter()
            .map(|refusal| {
                Finding::new("bridge", CheckStatus::Fail, format!("{}: {}", refusal.target, refusal.reason))
                    .detail(format!("drivers that look below {STANDARD_PATH} do not find this kubelet"))
                    .remedy(refusal.remedy)
            })
            .collect(),
        Decision::Build(bridge) if facts.mounts.is_empty() => vec![Finding::new(
            "bridge",
            CheckStatus::Skip,
            format!("to {}; what is mounted is not known offline", bridge.root),
        )],
        Decision::Build(bridge) => vec![bridged(&bridge), shared(&bridge)],
    }
}

fn bridged(bridge: &Bridge) -> Finding {
    let missing: Vec<String> =
        bridge.spans.iter().filter(|span| !span.mounted).map(|span| span.place.to_string()).collect();
    match missing.as_slice() {
        [] => {
            let names = bridge.spans.iter().filter_map(|span| span.place.below(&bridge.standard)).map(shown);
            let names = names.collect::<Vec<_>>().join(", ");
            let summary = format!("{names} of {} are at {}", bridge.root, bridge.standard);
            Finding::new("bridge", CheckStatus::Pass, summary)
        }
        missing => {
            Finding::new("bridge", CheckStatus::Fail, format!("not the kubelet's: {}", missing.join(", ")))
                .detail(format!("the kubelet's root is {}; drivers look below {STANDARD_PATH}", bridge.root))
                .remedy("run csihost apply")
        }
    }
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
