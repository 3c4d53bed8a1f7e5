//! Checks: the receipt, by which csihost undoes what it has changed.

use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};

/// Nothing where the receipt is there, or nothing of csihost's is.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let why = facts.receipt_lost.as_ref()?;
    Some(
        Finding::new("receipt", CheckStatus::Warn, format!("csihost's receipt is lost: {why}"))
            .detail("files with csihost's mark are known without it; what it has changed in iscsid.conf is not")
            .remedy("run csihost apply, which writes a new one, or csihost undo, which takes away what has csihost's mark"),
    )
}
