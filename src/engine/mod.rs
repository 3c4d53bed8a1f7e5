//! Engine: joins the pure rooms with the edges. One turn is observe → decide → apply → verify.

mod apply;
mod capture;
mod compare;
mod config;
mod declared;
mod files;
mod inspect;
mod install;
mod kubelet;
mod layered;
mod manager;
mod observe;
mod picture;
mod plugins;
mod probe;
mod profiles;
mod receipt;
mod status;
mod tree;
mod turn;
mod undo;
mod unmount;

pub use crate::checks::compare::{Comparison, Difference, Level};
pub use crate::host::{Host, save_new};
pub use crate::settings::ConfigError;
pub use capture::{Scene, capture};
pub use compare::compare;
pub use config::{Config, load};
pub use inspect::{Inspection, inspect};
pub use picture::picture;
pub use probe::probe;
pub use profiles::{Listed, profile_in_effect, profiles, validate_profile};
pub use status::{last_turn, seconds_since, watch_status};
pub use turn::{Report, Seen, apply, detect, look};
pub use undo::{Fate, Undone, undo};
