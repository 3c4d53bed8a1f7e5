//! Scene: what a captured scene of a node holds, and what is taken out of it first. Pure.
//!
//! A scene goes to other people. So nothing is kept because it looks harmless: of arguments,
//! variables, options and configuration keys the values of **known** names are kept, and of all
//! others only the name. What is taken out reads `redacted`, so that texts keep their shape.

pub mod archive;
pub mod manifest;
pub mod processes;
mod secrets;
mod texts;
mod words;
mod yaml;

pub use texts::{fstab, mountinfo, net_unix, presentable};
pub use words::cmdline;
