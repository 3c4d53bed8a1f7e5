//! What a check found.

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// It could not be, or need not be, checked.
    Skip,
    /// As it should be.
    Pass,
    /// Works, but somebody should look.
    Warn,
    /// Volumes will fail.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name.
    pub id: String,
    /// How it ended.
    pub status: CheckStatus,
    /// In one line.
    pub summary: String,
    /// Why it matters, or what was seen.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// A finding without detail and remedy.
    pub fn new(id: &str, status: CheckStatus, summary: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            status,
            summary: summary.into(),
            detail: String::new(),
            remedy: String::new(),
        }
    }

    /// Adds why it matters.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// Whether the node is ready: nothing fails.
pub fn ready(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.status != CheckStatus::Fail)
}
