//! Edge: tells people and programs what happened: the journal, the terminal, tables.

pub mod journal;
pub mod map;
pub mod messages;
pub mod npd;
pub mod style;
pub mod table;
