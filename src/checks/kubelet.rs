//! Pure: whether the kubelet's root is known.

use super::kubelet_unit;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::kubelet::{Confidence, RejectionReason};

pub(super) fn check(facts: &Facts) -> Finding {
    const ID: &str = "kubelet-root";
    let detection = &facts.detection;
    if let Some(conflict) = &detection.conflict {
        return Finding::new(ID, CheckStatus::Fail, "the kubelet's root is not certain")
            .detail(conflict.explanation.clone())
            .remedy("stop the kubelet that does not belong here, or set kubelet.root-dir in /etc/csihost/csihost.toml");
    }
    if let Some(beneath) =
        detection.rejected.iter().find(|rejection| rejection.reason == RejectionReason::Beneath)
    {
        let unit = kubelet_unit(facts);
        return Finding::new(ID, CheckStatus::Fail, "the kubelet holds directories beneath a later mount")
            .detail(format!(
                "{}; registrars and pods meet the directories of that mount, which the kubelet does not look at",
                beneath.detail
            ))
            .remedy(format!(
                "restart the kubelet (systemctl restart {unit}), and order it after the mount: RequiresMountsFor= in a drop-in \
                 of {unit}"
            ));
    }
    let Some(kubelet) = &detection.kubelet else {
        // What only has the word in its arguments (every CSI registrar) is nothing to warn of.
        let mut refused = detection.rejected.iter().filter(|r| r.reason != RejectionReason::NotAKubelet);
        return match refused.next() {
            None => Finding::new(ID, CheckStatus::Skip, "no kubelet runs here yet"),
            Some(rejection) => {
                Finding::new(ID, CheckStatus::Warn, "what looks like a kubelet here is none of this host's")
                    .detail(rejection.detail.clone())
                    .remedy("csihost detect shows all that was rejected, and why")
            }
        };
    };
    let how = match kubelet.confidence {
        Confidence::Certain => "certain: shown by what the kubelet holds open",
        Confidence::Observed => "by the kubelet's arguments",
        Confidence::Declared => "by configuration; no kubelet runs",
        Confidence::Assumed => "assumed; no kubelet runs",
    };
    let summary = format!("{} ({how})", kubelet.root_dir);
    match detection.warnings.as_slice() {
        [] => Finding::new(ID, CheckStatus::Pass, summary),
        warnings => Finding::new(ID, CheckStatus::Warn, summary).detail(warnings.join("; ")),
    }
}
