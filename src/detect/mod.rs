//! Pure: texts of /proc in, the kubelet's root out, with the evidence and what was refused.
//!
//! Nothing is believed that a process can say of itself alone: a kubelet runs as root, in the
//! host's PID and user namespaces, and its root lies where only root can write.

mod arguments;
mod cgroup;
mod decide;
mod listener;
mod program;

pub use decide::{Observed, World, detect};
pub use program::{may_be_kubelet, refuse};
