//! `csihost profile`: the os-profiles of a host.

use super::{End, output};
use crate::engine::{self, Host, Kind, Listed, Profile};
use crate::report;
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show every os-profile: what it is for, where it comes from, and which is in effect
    #[command(after_help = "Example: csihost profile list")]
    List(List),
    /// Print the text of an os-profile
    Show(Show),
    /// Check files before they are put into /etc/csihost/os-profiles.d
    #[command(after_help = "Example: csihost profile validate debian.toml")]
    Validate(Validate),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of the host whose root directory is DIR
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Print JSON (schema 1)
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost profile show debian >debian.toml")]
pub(super) struct Show {
    /// The profile; without a name, the one that is in effect
    name: Option<String>,
    /// Of the host whose root directory is DIR
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Validate {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    /// None where a broken profile leaves the choice open.
    in_effect: Option<&'a str>,
    /// Whether it was made for this system, or is only the nearest.
    exact: Option<bool>,
    profiles: Vec<JsonProfile<'a>>,
}

#[derive(Serialize)]
struct JsonProfile<'a> {
    name: &'a str,
    source: &'a str,
    overrides: &'a [String],
    masked: bool,
    summary: Option<&'a str>,
    /// Whether csihost can make such a host ready.
    supported: Option<bool>,
    error: Option<String>,
}

pub(super) fn run(verb: &Verb) -> Result<End> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show(args),
        Verb::Validate(args) => Ok(validate::<Profile>(&args.files)),
    }
}

fn list(args: &List) -> Result<End> {
    let host = Host::open(args.root.as_deref())?;
    let profiles = engine::profiles(&host)?;
    let errors = profiles.iter().filter_map(|listed| listed.read.as_ref()?.profile.as_ref().err());
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    let chosen = match errors.is_empty() {
        true => Some(engine::profile_in_effect(&host, &profiles)?),
        false => None,
    };
    let chosen = chosen.as_ref().map(|chosen| (chosen.profile.name.as_str(), chosen.exact));
    match args.json {
        true => output::json(&Json {
            schema: 1,
            in_effect: chosen.map(|(name, _)| name),
            exact: chosen.map(|(_, exact)| exact),
            profiles: profiles.iter().map(json).collect(),
        })?,
        false => output::print(&text(&profiles, chosen, stdout_colours()))?,
    }
    for error in &errors {
        report::stderr(&format!("csihost: {error}"));
    }
    Ok(if errors.is_empty() { End::Done } else { End::BadConfig })
}

fn json(listed: &Listed<Profile>) -> JsonProfile<'_> {
    let read = listed.read.as_ref().map(|read| read.profile.as_ref());
    let profile = read.and_then(Result::ok);
    JsonProfile {
        name: &listed.name,
        source: &listed.source,
        overrides: &listed.overrides,
        masked: listed.read.is_none(),
        summary: profile.map(|profile| profile.summary.as_str()),
        supported: profile.map(|profile| profile.needs().is_some()),
        error: read.and_then(Result::err).map(ToString::to_string),
    }
}

fn text(profiles: &[Listed<Profile>], chosen: Option<(&str, bool)>, colours: bool) -> String {
    let row = |listed: &Listed<Profile>| {
        let (mark, colour) = match chosen {
            Some((name, true)) if name == listed.name => ("*", Colour::Green),
            Some((name, false)) if name == listed.name => ("~", Colour::Yellow),
            _ => (" ", Colour::Plain),
        };
        let summary = match listed.read.as_ref().map(|read| &read.profile) {
            None => ("masked".to_owned(), Colour::Dim),
            Some(Err(_)) => ("cannot be used".to_owned(), Colour::Red),
            Some(Ok(profile)) if profile.needs().is_some() => table::plain(&profile.summary),
            Some(Ok(profile)) => (format!("{} (csihost cannot help there)", profile.summary), Colour::Plain),
        };
        let name = (listed.name.clone(), colour);
        vec![(mark.to_owned(), colour), name, summary, (origin(listed), Colour::Dim)]
    };
    let mut out = table::rows(&profiles.iter().map(row).collect::<Vec<_>>(), colours);
    match chosen {
        Some((name, true)) => {
            out.push_str(&format!("\n{} is in effect here.\n", paint(name, Colour::Green, colours)))
        }
        Some((name, false)) => out.push_str(&format!(
            "\nNo profile is for this system; {}, the nearest, is in effect.\n",
            paint(name, Colour::Yellow, colours)
        )),
        None => out.push_str("\nNone is in effect while one of them cannot be used.\n"),
    }
    out
}

pub(super) fn origin<P>(listed: &Listed<P>) -> String {
    match listed.overrides.as_slice() {
        [] => listed.source.clone(),
        over => format!("{} over {}", listed.source, over.join(", ")),
    }
}

fn show(args: &Show) -> Result<End> {
    let host = Host::open(args.root.as_deref())?;
    let profiles = engine::profiles(&host)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => engine::profile_in_effect(&host, &profiles)?.profile.name,
    };
    print_text(&profiles, &name, "csihost profile list")
}

/// Prints the text of the profile `name`; `list` is the command that shows all names.
pub(super) fn print_text<P: Kind>(profiles: &[Listed<P>], name: &str, list: &str) -> Result<End> {
    let kind = P::KIND;
    let Some(listed) = profiles.iter().find(|listed| listed.name == name) else {
        bail!("there is no {kind} {name:?}; {list} shows them");
    };
    let Some(read) = &listed.read else {
        bail!("{kind} {name:?} is masked by {}; remove that link to have it again", listed.source);
    };
    output::print(&format!("# {kind} {name}: {}\n{}", origin(listed), read.text))?;
    match &read.profile {
        Ok(_) => Ok(End::Done),
        Err(error) => {
            report::stderr(&format!("csihost: {error}"));
            Ok(End::BadConfig)
        }
    }
}

/// Checks files as profiles of the kind `P`.
pub(super) fn validate<P: Kind>(files: &[PathBuf]) -> End {
    let mut end = End::Done;
    for file in files {
        if let Err(error) = engine::validate_profile::<P>(file) {
            report::stderr(&format!("csihost: {error}"));
            end = End::BadConfig;
        }
    }
    end
}
