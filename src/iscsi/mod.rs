//! iSCSI, pure: what open-iscsi's files say, and which lines of them need to change.

pub mod conf;
pub mod initiator;
pub mod multipath;
pub mod on_host;
pub mod records;
mod repair;
pub mod startup;
