//! The words of csihost as plain types: no I/O, no decisions.

pub mod align;
pub mod asked;
pub mod bytes;
pub mod checks;
pub mod contract;
pub mod digest;
pub mod edit;
pub mod facts;
pub mod file;
pub mod finding;
pub mod generated;
pub mod install;
pub mod kubelet;
pub mod mount;
pub mod node;
pub mod path;
pub mod picture;
pub mod plan;
pub mod probe;
pub mod process;
pub mod receipt;
pub mod service;
pub mod status;
pub mod unit;
pub mod unit_file;
pub mod words;
