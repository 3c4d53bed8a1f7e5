//! Mounts, pure: what mount tables say, and the units that csihost makes mounts with.

pub mod answer;
pub mod bridge;
pub mod contract;
pub mod fstab;
pub mod gate;
pub mod graft;
pub mod legacy;
pub mod links;
pub mod mountinfo;
pub mod plugins;
pub mod propagate;
pub mod quote;
pub mod registration;
pub mod resolve;
pub mod runtimes;
pub mod travel;
pub mod unit_name;
pub mod unit_text;
pub mod volumes;
