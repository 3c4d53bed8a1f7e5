//! iSCSI, pure: what open-iscsi's files say, and which lines of them need to change.

pub mod conf;
pub mod initiator;
pub mod on_host;
mod repair;
pub mod startup;
