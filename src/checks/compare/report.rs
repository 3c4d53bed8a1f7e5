//! Pure: one node's `check --json`, read back.

use crate::model::bytes::is_unsafe;
use crate::model::finding::CheckStatus;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The schema that this version writes and reads.
const SCHEMA: u64 = 1;

/// One node's report. Keys that are not known here are passed over: later versions add some.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where it comes from.
    pub(super) file: String,
    pub(super) body: Body,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Body {
    #[serde(deserialize_with = "text")]
    pub(super) profile: String,
    pub(super) checks: Vec<Check>,
    #[serde(default)]
    pub(super) contracts: Vec<Contract>,
    pub(super) node: Node,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Check {
    #[serde(deserialize_with = "text")]
    pub(super) id: String,
    pub(super) status: CheckStatus,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Contract {
    #[serde(default, deserialize_with = "some_text")]
    pub(super) driver: Option<String>,
    pub(super) holds: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    #[serde(default, deserialize_with = "some_text")]
    pub(super) hostname: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) kernel: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) os: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) machine: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) initiator_name: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) csihost: Option<String>,
    #[serde(default)]
    pub(super) kubelet: Option<Kubelet>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Kubelet {
    #[serde(deserialize_with = "text")]
    pub(super) root_dir: String,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) distribution: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) version: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    pub(super) volume_plugin_dir: Option<String>,
}

/// Text that is safe to show: what a file holds must not steer a terminal.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| harmless(&text))
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(|text| harmless(&text)))
}

fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unsafe(c) {
            true => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// A file that is no report: which, where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file.
    pub file: String,
    /// Line and column, counted from 1, where they are to blame.
    pub at: Option<(usize, usize)>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for InputError {}

/// What tells whose file it is, before the rest is read.
#[derive(Deserialize)]
struct Head {
    schema: Option<u64>,
    checks: Option<IgnoredAny>,
    node: Option<IgnoredAny>,
}

impl Report {
    /// Reads the report in `file`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, InputError> {
        let file = harmless(file);
        let wrong = |message: String| InputError { file: file.clone(), at: None, message };
        let broken = |error: &serde_json::Error| {
            // Its own words end with the place, which is said in front.
            let told = harmless(&error.to_string());
            let told = told.split(" at line ").next().unwrap_or_default().to_owned();
            let what = match error.classify() {
                serde_json::error::Category::Data => "not what csihost check --json writes",
                _ => "not JSON",
            };
            let at = (error.line() > 0).then(|| (error.line(), error.column()));
            InputError { file: file.clone(), at, message: format!("{what}: {told}") }
        };
        const MAKE: &str = "make it with csihost check --json";
        let no_report = || format!("no report of a node: it has no \"schema\" and \"checks\"; {MAKE}");
        let head: Head = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            // Its own words are about the types of this file.
            serde_json::error::Category::Data => InputError { message: no_report(), ..broken(&error) },
            _ => broken(&error),
        })?;
        match head {
            Head { schema: None, .. } | Head { checks: None, .. } => Err(wrong(no_report())),
            Head { schema: Some(schema), .. } if schema != SCHEMA => Err(wrong(format!(
                "it has schema {schema}, and this csihost reads {SCHEMA}: compare with the version that wrote it"
            ))),
            Head { node: None, .. } => Err(wrong(format!(
                "it does not say of which node it is (an older csihost wrote it); {MAKE} of this version"
            ))),
            _ => {
                let body = serde_json::from_slice(bytes).map_err(|error| broken(&error))?;
                Ok(Self { file, body })
            }
        }
    }
}
