//! Edge: tells people and programs what happened: the journal, the terminal, tables.

pub mod journal;
mod limit;
pub mod map;
pub mod messages;
pub mod notify;
pub mod npd;
pub mod style;
pub mod table;
pub mod textfile;
