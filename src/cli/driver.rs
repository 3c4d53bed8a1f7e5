//! `csihost driver`: the driver profiles of a host.

use super::profile::{List, Validate, origin, print_text, validate};
use super::{End, output};
use crate::engine::{self, DriverProfile, Host, Listed};
use crate::report;
use crate::report::style::{Colour, stdout_colours};
use crate::report::table;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show every driver profile: its drivers, protocols and file
    #[command(after_help = "Example: csihost driver list")]
    List(List),
    /// Print the text of a driver profile
    Show(Show),
    /// Check files before they are put into /etc/csihost/driver-profiles.d
    #[command(after_help = "Example: csihost driver validate trident.toml")]
    Validate(Validate),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost driver show trident >trident.toml")]
pub(super) struct Show {
    /// The driver profile, or the name of a driver
    name: String,
    /// Of the host whose root directory is DIR
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    profiles: Vec<JsonProfile<'a>>,
}

#[derive(Serialize)]
struct JsonProfile<'a> {
    name: &'a str,
    source: &'a str,
    overrides: &'a [String],
    masked: bool,
    summary: Option<&'a str>,
    drivers: Vec<&'a str>,
    protocols: Vec<&'a str>,
    error: Option<String>,
}

pub(super) fn run(verb: &Verb) -> Result<End> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show(args),
        Verb::Validate(args) => Ok(validate::<DriverProfile>(&args.files)),
    }
}

fn list(args: &List) -> Result<End> {
    let host = Host::open(args.root.as_deref())?;
    let profiles = engine::driver_profiles(&host)?;
    match args.json {
        true => output::json(&Json { schema: 1, profiles: profiles.iter().map(json).collect() })?,
        false => {
            output::print(&table::rows(&profiles.iter().map(row).collect::<Vec<_>>(), stdout_colours()))?
        }
    }
    let errors = profiles.iter().filter_map(|listed| listed.read.as_ref()?.profile.as_ref().err());
    let mut end = End::Done;
    for error in errors {
        report::stderr(&format!("csihost: {error}"));
        end = End::BadConfig;
    }
    Ok(end)
}

fn drivers(profile: &DriverProfile) -> Vec<&str> {
    profile.drivers.iter().map(|pattern| pattern.as_str()).collect()
}

fn protocols(profile: &DriverProfile) -> Vec<&str> {
    profile.protocols.iter().map(|protocol| protocol.needs.name.as_str()).collect()
}

fn json(listed: &Listed<DriverProfile>) -> JsonProfile<'_> {
    let read = listed.read.as_ref().map(|read| read.profile.as_ref());
    let profile = read.and_then(Result::ok);
    JsonProfile {
        name: &listed.name,
        source: &listed.source,
        overrides: &listed.overrides,
        masked: listed.read.is_none(),
        summary: profile.map(|profile| profile.summary.as_str()),
        drivers: profile.map(drivers).unwrap_or_default(),
        protocols: profile.map(protocols).unwrap_or_default(),
        error: read.and_then(Result::err).map(ToString::to_string),
    }
}

fn row(listed: &Listed<DriverProfile>) -> Vec<(String, Colour)> {
    let name = table::plain(&listed.name);
    let source = (origin(listed), Colour::Dim);
    let empty = || table::plain("");
    match listed.read.as_ref().map(|read| &read.profile) {
        None => vec![name, ("masked".to_owned(), Colour::Dim), empty(), source],
        Some(Err(_)) => vec![name, ("cannot be used".to_owned(), Colour::Red), empty(), source],
        Some(Ok(profile)) => {
            let [drivers, protocols] = [drivers(profile), protocols(profile)].map(|names| names.join(", "));
            vec![name, table::plain(&drivers), table::plain(&protocols), source]
        }
    }
}

fn show(args: &Show) -> Result<End> {
    let host = Host::open(args.root.as_deref())?;
    let profiles = engine::driver_profiles(&host)?;
    let is_of = |listed: &&Listed<DriverProfile>| {
        let profile = listed.read.as_ref().and_then(|read| read.profile.as_ref().ok());
        profile.is_some_and(|profile| profile.is_of(&args.name))
    };
    let named = profiles.iter().find(|listed| listed.name == args.name);
    let name = named.or_else(|| profiles.iter().find(is_of)).map_or(&args.name, |listed| &listed.name);
    print_text(&profiles, name, "csihost driver list")
}
