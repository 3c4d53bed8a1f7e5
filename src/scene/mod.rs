//! Scene: what a captured scene of a node holds, and what is taken out of it first. Pure.
//!
//! A scene goes to other people. So nothing is kept because it looks harmless: of arguments, variables, options and
//! configuration keys a value is kept only if its name is known **and** the value is of the kind that the name has: a path,
//! an endpoint, a number, a known word (`values`). Of all others only the name is kept, of free text nothing. What is taken
//! out reads `redacted`, so that texts keep their shape.

pub mod archive;
pub mod manifest;
pub mod processes;
mod secrets;
mod texts;
mod values;
mod words;
mod yaml;

pub use texts::{MODULES, fstab, messages, mountinfo, net_unix, presentable};
pub use words::cmdline;
