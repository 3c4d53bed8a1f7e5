//! csihost makes a Kubernetes node's host ready for CSI storage, keeps it ready, and proves it.
//!
//! The rooms of the house, and who may call on whom (`tests/layers.rs` checks it):
//!
//! - pure, text or model types in, values out: [`model`] ← [`settings`], [`profile`], [`detect`],
//!   [`iscsi`], [`mounts`] ← [`plan`], [`checks`]; [`iscsi`] ← [`scene`];
//! - edges, the only code that touches the world: [`host`] (files, /proc, syscalls), [`systemd`]
//!   (units), [`nri`] (the container runtime), [`report`] (journal, tables); they know [`model`] and never
//!   each other;
//! - [`engine`] alone joins the two sides, [`cli`] is what a person types.
//!
//! One turn is observe → decide → apply → verify, and a second turn plans nothing.

#![deny(clippy::print_stderr, clippy::print_stdout)] // They panic where nobody reads.

pub mod checks;
pub mod cli;
pub mod detect;
pub mod engine;
pub mod host;
pub mod iscsi;
pub mod model;
pub mod mounts;
pub mod nri;
pub mod plan;
pub mod profile;
pub mod report;
pub mod scene;
pub mod settings;
pub mod systemd;
