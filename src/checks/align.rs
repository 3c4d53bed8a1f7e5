//! Pure: whether the kubelet's root is the standard path, where that was asked for.

use crate::model::align::{Alignment, at_restart};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::plan::Plan;
use crate::model::unit::UnitName;

const ID: &str = "align";

/// Nothing where nobody asked for it.
pub(super) fn check(plan: &Plan) -> Vec<Finding> {
    let Some(alignment) = &plan.alignment else { return Vec::new() };
    let finding = |status, summary: String| vec![Finding::new(ID, status, summary)];
    match alignment {
        Alignment::Unknown => finding(CheckStatus::Skip, "no kubelet root is known yet".to_owned()),
        Alignment::NoBridge => finding(
            CheckStatus::Skip,
            "the bridge comes first: the kubelet keeps its root until that is there".to_owned(),
        ),
        Alignment::Aligned(None) => {
            finding(CheckStatus::Pass, "the kubelet uses the standard path".to_owned())
        }
        Alignment::Aligned(Some(root)) => {
            finding(CheckStatus::Pass, format!("the kubelet uses the standard path, with its data in {root}"))
        }
        Alignment::Planned => vec![
            Finding::new(ID, CheckStatus::Fail, "the kubelet's root is to be the standard path, and is not")
                .remedy("run csihost apply"),
        ],
        Alignment::Waits { from, to, unit } => {
            let unit = unit.as_ref().map_or("the kubelet's unit", UnitName::as_str);
            vec![
                Finding::new(ID, CheckStatus::Warn, format!("the kubelet's {}", at_restart(from, to)))
                    .detail("pods live on through the restart; until then all is as it was")
                    .remedy(format!("systemctl restart {unit}, or csihost apply --restart-kubelet")),
            ]
        }
        Alignment::Refused(refused) => refused
            .iter()
            .map(|refusal| {
                let summary = format!("{}: {}", refusal.target, refusal.reason);
                Finding::new(ID, CheckStatus::Fail, summary)
                    .detail("the kubelet keeps its root, and its next start changes nothing")
                    .remedy(refusal.remedy.clone())
            })
            .collect(),
    }
}
