//! What a person types: one thin file a verb; text for people, JSON for programs.

mod align_state;
mod apply;
mod capture;
mod check;
mod compare;
mod detect;
mod driver;
mod gate;
mod map;
mod output;
mod plan;
mod probe;
mod profile;
mod run;
mod status;
mod undo;

use crate::engine::{self, Config, access};
use crate::model::facts::Mode;
use crate::report::{self, journal};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes a Kubernetes node's host ready for CSI storage, and keeps it ready
#[derive(Debug, Parser)]
#[command(name = "csihost", version, max_term_width = 100)]
struct Cli {
    /// The record of accesses of the process that supervises this one
    #[arg(long, hide = true, value_name = "FD")]
    supervised: Option<u32>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make this node ready: one turn, then exit
    Apply(apply::Apply),
    /// Keep this node ready: the same turn again whenever something changes
    Run(run::Run),
    /// Show what apply would do, with unified diffs
    #[command(after_help = "Example: csihost plan || csihost apply")]
    Plan(Reading),
    /// Run every check: what is wrong, why it matters, how to repair it
    Check(check::Check),
    /// Compare nodes by what check --json printed on each
    Compare(compare::Compare),
    /// Show the kubelet's root, the evidence for it, and what was rejected
    #[command(after_help = "Example: csihost detect --json")]
    Detect(Reading),
    /// Draw the node: who sees which directory, and where mounts get lost
    Map(map::Map),
    /// Prove what check foretells: mount a file, look who sees it, unmount it
    Probe(probe::Probe),
    /// Capture a scene of this node for support, secrets taken out
    Capture(capture::Capture),
    /// Show the os-profiles: what each distribution needs
    #[command(subcommand)]
    Profile(profile::Verb),
    /// Show the driver profiles: what each CSI driver needs
    #[command(subcommand)]
    Driver(driver::Verb),
    /// Put back everything that csihost changed
    #[command(after_help = "Example: csihost undo --root /mnt/image")]
    Undo(Common),
    /// Show how the last turn went
    Status(status::Status),
    /// What csihost starts to graft into a container; not for people
    #[command(hide = true)]
    GraftInto(GraftInto),
    /// Close or open the gates of drivers that are grafted; csihost and its units run it
    #[command(hide = true)]
    Gate(gate::Gate),
    /// Unmount a volume of a pod that is gone; csihost itself runs it
    #[command(hide = true)]
    UnmountVolume,
    /// Access an object that did not answer; csihost itself runs it
    #[command(hide = true)]
    Answers {
        /// The object, as csihost writes it
        object: String,
    },
    /// Copy the kubelet's state files to its new root (csihost-align.service does, while it is stopped)
    #[command(hide = true)]
    AlignState,
}

/// What every verb takes.
#[derive(Debug, Args)]
struct Common {
    /// Work on the host whose root directory is DIR, offline: nothing there is started, nothing outside is touched
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read the settings from FILE alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A graft, as csihost itself orders it in a variable.
#[derive(Debug, Args)]
struct GraftInto {
    /// Take it away
    #[arg(long)]
    undo: bool,
}

/// What verbs take that only read.
#[derive(Debug, Args)]
struct Reading {
    #[command(flatten)]
    common: Common,
    /// Print JSON (schema 1)
    #[arg(long)]
    json: bool,
}

/// How a verb ended, by the exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Done, or ready.
    Done,
    /// Tried and failed.
    Failed,
    /// Nothing is known (node-problem-detector's word).
    Unknown,
    /// Findings, or changes pending.
    Findings,
    /// Bad configuration or profile, already said.
    BadConfig,
}

/// Bad configuration or profile (sysexits.h, EX_CONFIG).
const BAD_CONFIG: u8 = 78;

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::SUCCESS,
            End::Failed => Self::from(1),
            End::Unknown => Self::from(2),
            End::Findings => Self::from(3),
            End::BadConfig => Self::from(BAD_CONFIG),
        }
    }
}

/// Parses, runs, and gives the exit code.
pub fn main() -> ExitCode {
    // clap itself ends with 2 where the usage is wrong.
    let cli = Cli::parse();
    let recorded = cli.supervised.map_or(Ok(()), access::begin);
    journal::start(access::is_journal_left_out());
    let result = match recorded {
        Err(error) => Err(error.into()),
        Ok(()) if cli.supervised.is_none() && cli.verb.is_supervised() => {
            supervise(matches!(cli.verb, Verb::Run(_)))
        }
        Ok(()) => begin(cli.verb),
    };
    match result {
        Ok(end) => end,
        Err(error) => {
            report::stderr(&format!("csihost: {error:#}"));
            match error.downcast_ref::<engine::ConfigError>() {
                Some(_) => ExitCode::from(BAD_CONFIG),
                None => End::Failed.into(),
            }
        }
    }
}

/// Does the work of a verb in this process.
fn begin(verb: Verb) -> Result<ExitCode> {
    // One thread: a turn is short, waits for few things, and shares nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(access::park)
        .on_thread_unpark(access::unpark)
        .build()?;
    runtime.block_on(run(verb)).map(Into::into)
}

/// Does it in another process, whose accesses have a deadline.
fn supervise(is_agent: bool) -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(engine::supervise(&arguments, is_agent))?;
    Ok(match ended {
        engine::Ended::Code(code) => code.into(),
        // The signal has ended this process, unless it ignores that one.
        engine::Ended::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1).into(),
    })
}

/// The command line, for what is made of it when packages are built: completions of shells.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

async fn run(verb: Verb) -> Result<End> {
    match verb {
        Verb::Apply(args) => apply::run(&args).await,
        Verb::Run(args) => run::run(&args).await,
        Verb::Plan(args) => plan::run(&args).await,
        Verb::Check(args) => check::run(&args).await,
        Verb::Compare(args) => compare::run(&args),
        Verb::Detect(args) => detect::run(&args).await,
        Verb::Map(args) => map::run(&args).await,
        Verb::Probe(args) => probe::run(&args).await,
        Verb::Capture(args) => capture::run(&args).await,
        Verb::Profile(verb) => profile::run(&verb),
        Verb::Driver(verb) => driver::run(&verb),
        Verb::Undo(args) => undo::run(&args).await,
        Verb::Status(args) => status::run(&args),
        Verb::GraftInto(args) => engine::graft_into(args.undo).map(|()| End::Done),
        Verb::Gate(args) => gate::run(&args),
        Verb::UnmountVolume => engine::unmount_ordered_volume().await.map(|()| End::Done),
        Verb::Answers { object } => engine::access_object(&object).map(|()| End::Done),
        Verb::AlignState => align_state::run(),
    }
}

impl Verb {
    /// True for verbs that look at this node's processes and mounts.
    fn is_supervised(&self) -> bool {
        match self {
            Self::Run(args) => is_file(args.config.as_deref()),
            Self::Probe(args) => is_file(args.config.as_deref()),
            Self::Apply(args) => args.common.is_live(),
            Self::Check(args) => args.common.is_live(),
            Self::Map(args) => args.common.is_live(),
            Self::Capture(args) => args.common.is_live(),
            Self::Plan(args) | Self::Detect(args) => args.common.is_live(),
            Self::Undo(args) => args.is_live(),
            Self::Compare(_)
            | Self::Profile(_)
            | Self::Driver(_)
            | Self::Status(_)
            | Self::GraftInto(_)
            | Self::Gate(_)
            | Self::UnmountVolume
            | Self::Answers { .. }
            | Self::AlignState => false,
        }
    }
}

/// True if settings can be read again by a second process: what comes through a pipe is there once.
fn is_file(config: Option<&Path>) -> bool {
    config.is_none_or(|path| path.metadata().is_ok_and(|stat| stat.is_file()))
}

impl Common {
    fn is_live(&self) -> bool {
        self.root.is_none() && is_file(self.config.as_deref())
    }

    fn open(&self) -> Result<(engine::Host, Config)> {
        let host = engine::Host::open(self.root.as_deref())?;
        let config = engine::load(&host, self.config.as_deref())?;
        Ok((host, config))
    }
}

/// The command that a person would type for this host.
fn apply_command(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "csihost apply",
        Mode::Offline => "csihost apply --root DIR",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // A test may panic: that is how it fails.

    use super::*;

    /// Verbs that have no verbs of their own, each with its words.
    fn verbs(command: &clap::Command, words: &str, verbs: &mut Vec<String>) {
        let words = format!("{words}{}", command.get_name());
        if !command.has_subcommands() {
            verbs.push(words.clone());
        }
        // What csihost itself runs is not for people.
        let shown = |verb: &&clap::Command| verb.get_name() != "help" && !verb.is_hide_set();
        for verb in command.get_subcommands().filter(shown) {
            self::verbs(verb, &format!("{words} "), verbs);
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_help_of_each_verb_fits_a_screen_and_has_an_example_that_is_right() {
        let screen = |words: &str| {
            let words = words.split(' ').chain(["--help"]);
            let help = command().term_width(80).try_get_matches_from(words).unwrap_err().to_string();
            assert!(help.lines().count() <= 24, "{help}");
            help
        };
        screen("csihost");
        screen("csihost profile");
        let mut all = Vec::new();
        verbs(&command(), "", &mut all);
        assert!(all.len() > 10, "{}", all.len());
        for words in all {
            let help = screen(&words);
            let example = help.lines().find_map(|line| line.strip_prefix("Example: "));
            let example = example.unwrap_or_else(|| panic!("{words} has no example:\n{help}"));
            assert!(example.starts_with(&words), "{words} has the example of another: {example}");
            // As far as a shell's own words.
            let own = example.split(['|', '>', '&']).next().unwrap();
            if let Err(error) = command().try_get_matches_from(own.split_whitespace()) {
                panic!("{example}: {error}");
            }
        }
    }
}
