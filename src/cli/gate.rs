//! `csihost gate`: covers or uncovers the socket directories of drivers that are grafted. Hidden: units
//! and csihost itself run it.

use super::End;
use crate::engine::{self, Way};
use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct Gate {
    #[command(subcommand)]
    way: Verb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Cover them: the kubelet no longer reaches these drivers
    Close,
    /// Uncover them
    Open,
}

pub(super) fn run(args: &Gate) -> Result<End> {
    let way = match args.way {
        Verb::Close => Way::Close,
        Verb::Open => Way::Open,
    };
    engine::move_gates(way).map(|()| End::Done)
}
