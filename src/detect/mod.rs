//! Pure: texts of /proc in, the kubelet's root out, with the evidence and what was refused.
//!
//! Nothing is believed that a process can say of itself alone: a kubelet runs as root, in the
//! host's PID and user namespaces, and its root lies where only root can write.

mod arguments;
mod build_info;
mod cgroup;
mod claims;
pub mod config;
mod decide;
mod distribution;
pub mod flexvolume;
mod listener;
pub mod plugin;
mod program;
mod runtime;
mod stopped;
mod unit;
pub mod version;
mod volumes;
mod world;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use build_info::{ReadAt, build_info};
pub use cgroup::owner;
pub use decide::{Observed, detect};
pub use program::{Look, look, refuse};
pub use runtime::{Identity, runtime_name, runtime_unit};
pub use world::{Ids, World};
