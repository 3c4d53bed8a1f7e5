//! Edge: one line per event that matters, with native fields in the journal, in readable colour
//! on a terminal.
//!
//! Fields: `CSIHOST_STEP` (a plan's step kind), `CSIHOST_TARGET` (what it changed; several are
//! separated by spaces), `CSIHOST_REFUSAL` (the id of what was refused), `MESSAGE_ID`.

use super::limit;
use super::messages;
use super::style::{Colour, paint, stderr_colours};
use crate::model::plan::{Later, Refusal};
use crate::model::status::{Status, TurnResult};
use std::fmt;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error, info, warn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The journal does not answer.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Sends events to the journal where stderr is the journal's, else to stderr as text.
///
/// Called once, before anything is told. Where `is_silent` is true, nothing is sent to the journal, which does not answer.
pub fn start(is_silent: bool) {
    let is_journal = stderr_is_journal();
    if is_silent && is_journal {
        SILENT.store(true, Ordering::Relaxed);
        return;
    }
    if is_journal && !takes_messages() {
        SILENT.store(true, Ordering::Relaxed);
        return;
    }
    let native = is_journal.then(native).flatten();
    let set = match native {
        Some(layer) => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Journal(layer)))
        }
        None => {
            let plain = Plain { colours: stderr_colours() };
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(plain))
        }
    };
    debug_assert!(set.is_ok(), "the subscriber is set once");
}

/// True if standard error is the journal's, and the journal does not answer.
pub(super) fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

fn native() -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    let layer = layer.with_field_prefix(None).with_syslog_identifier("csihost".to_owned());
    // journald may look at a short-lived process when it is gone already, and then does not know
    // its unit; messages of root may name it themselves (systemd.journal-fields(7)).
    Some(match own_unit() {
        Some(unit) => layer.with_custom_fields([("OBJECT_SYSTEMD_UNIT", unit)]),
        None => layer,
    })
}

/// systemd-journald, for as long as it takes messages: its own socket would have csihost wait for it.
struct Journal(tracing_journald::Layer);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if takes_messages() {
            self.0.on_event(event, context);
        }
    }
}

/// False if whoever sends a message to systemd-journald now would wait: its queue is full (net.unix.max_dgram_qlen), because it
/// hangs. An empty datagram is no message to it.
fn takes_messages() -> bool {
    const SOCKET: &str = "/run/systemd/journal/socket";
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(&[], SOCKET)
    });
    !sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Whether stderr is the stream that systemd connected to the journal (systemd.exec(5)).
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    std::fs::File::from(stderr)
        .metadata()
        .is_ok_and(|stat| stream == format!("{}:{}", stat.dev(), stat.ino()))
}

/// The service that this process belongs to.
fn own_unit() -> Option<String> {
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let paths = cgroup.lines().filter_map(|line| line.rsplit_once(':'));
    paths.flat_map(|(_, path)| path.rsplit('/')).find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// Text for a person: the message, coloured by its level.
struct Plain {
    colours: bool,
}

impl<S: Subscriber> Layer<S> for Plain {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Crates below csihost have nothing to tell its user.
        if !event.metadata().target().starts_with("csihost") {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let colour = match *event.metadata().level() {
            Level::ERROR => Colour::Red,
            Level::WARN => Colour::Yellow,
            _ => Colour::Plain,
        };
        super::stderr(&paint(&message.0, colour, self.colours));
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Steps of one kind that were done one after the other, and why, if that is the same for all.
pub fn done(kind: &str, targets: &[String], reason: Option<&str>) {
    let all = targets.join(" ");
    let short = match targets {
        [one] => one.clone(),
        many => {
            let names: Vec<&str> = many.iter().map(|target| last_part(target)).collect();
            format!("{}: {}", many.len(), names.join(", "))
        }
    };
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let Some(again) = limit::passes(messages::DONE, &all) else { return };
    info!(
        MESSAGE_ID = messages::DONE,
        CSIHOST_STEP = kind,
        CSIHOST_TARGET = all.as_str(),
        "{kind} {short}{reason}{again}"
    );
}

fn last_part(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or(target)
}

/// A step failed.
pub fn failed(kind: &str, target: &str, error: &str) {
    let Some(again) = limit::passes(messages::FAILED, &format!("{kind} {target}")) else { return };
    error!(
        MESSAGE_ID = messages::FAILED,
        CSIHOST_STEP = kind,
        CSIHOST_TARGET = target,
        "{kind} {target}: {error}{again}"
    );
}

/// A step was left out.
pub fn skipped(kind: &str, target: &str) {
    let Some(again) = limit::passes(messages::SKIPPED, &format!("{kind} {target}")) else { return };
    warn!(
        MESSAGE_ID = messages::SKIPPED,
        CSIHOST_STEP = kind,
        CSIHOST_TARGET = target,
        "{kind} {target}: left out, because a step that it needs failed{again}"
    );
}

/// A package manager starts its work, which may take minutes.
pub fn installing(packages: &str, command: &str) {
    info!(
        MESSAGE_ID = messages::INSTALLING,
        CSIHOST_STEP = "install-package",
        CSIHOST_TARGET = packages,
        "installing {packages}, which may take minutes: {command}"
    );
}

/// Something is not done in this turn.
pub fn later(later: &Later) {
    info!(
        MESSAGE_ID = messages::LATER,
        CSIHOST_TARGET = later.target.as_str(),
        "later: {}: {}",
        later.target,
        later.reason
    );
}

/// Something was refused.
pub fn refused(refusal: &Refusal) {
    warn!(
        MESSAGE_ID = messages::REFUSED,
        CSIHOST_REFUSAL = refusal.id,
        CSIHOST_TARGET = refusal.target.as_str(),
        "refused: {}: {}; {}",
        refusal.target,
        refusal.reason,
        refusal.remedy
    );
}

/// A step is still to be done after the turn that did it.
pub fn unsettled(kind: &str, target: &str) {
    let Some(again) = limit::passes(messages::UNSETTLED, &format!("{kind} {target}")) else { return };
    error!(
        MESSAGE_ID = messages::UNSETTLED,
        CSIHOST_STEP = kind,
        CSIHOST_TARGET = target,
        "{kind} {target}: done, and needed again at once: something undoes it{again}"
    );
}

/// A turn ended. The verdict is told on stderr too: of a process that ends at once journald may
/// not learn the unit, but it knows whose stderr is whose.
pub fn verdict(status: &Status) {
    new_verdict(status);
    if stderr_is_journal() {
        super::stderr(&status.verdict);
    }
}

/// The same of the agent, which tells it where it is another one than before.
pub fn new_verdict(status: &Status) {
    let (id, text) = (messages::VERDICT, status.verdict.as_str());
    match status.result {
        TurnResult::Ready => info!(MESSAGE_ID = id, CSIHOST_RESULT = "ready", "{text}"),
        TurnResult::NotReady => warn!(MESSAGE_ID = id, CSIHOST_RESULT = "not-ready", "{text}"),
        TurnResult::Failed => error!(MESSAGE_ID = id, CSIHOST_RESULT = "failed", "{text}"),
    }
}

/// A change was undone.
pub fn undone(what: &str, target: &str) {
    info!(MESSAGE_ID = messages::UNDONE, CSIHOST_TARGET = target, "undone: {what} {target}");
}

/// A change was not, or not yet, undone.
pub fn left(what: &str, target: &str, why: &str) {
    warn!(MESSAGE_ID = messages::LEFT, CSIHOST_TARGET = target, "not undone: {what} {target}: {why}");
}

/// An undo keeps what volumes depend on, and is continued later.
pub fn undo_waits(users: &str, remedy: &str) {
    warn!(
        MESSAGE_ID = messages::UNDO_WAITS,
        "the undo waits: the bridge, grafts and the kubelet's root stay while they are in use by {users}; {remedy}"
    );
}

/// An undo that waited is complete, or a person has given it up.
pub fn undo_ended(text: &str) {
    info!(MESSAGE_ID = messages::UNDO_ENDED, "{text}");
}

/// Another csihost works on this host.
pub fn waiting(holder: Option<i32>) {
    let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
    info!(MESSAGE_ID = messages::WAITING, "another csihost is at work{holder}; waiting for it to end");
}

/// From now on the same is told at most once a minute, with how often it came.
pub fn limited() {
    limit::begin();
}

/// The agent works with the settings that are in effect now.
pub fn watching(directories: usize, units: usize) {
    info!(
        MESSAGE_ID = messages::WATCHING,
        "watching what {directories} paths and {units} units tell, and PID 1's mount table"
    );
}

/// The settings are wrong; the earlier ones stay in effect.
pub fn bad_settings(error: &str) {
    let Some(again) = limit::passes(messages::BAD_SETTINGS, error) else { return };
    error!(MESSAGE_ID = messages::BAD_SETTINGS, "the earlier settings stay in effect: {error}{again}");
}

/// Somebody undoes a step again and again.
pub fn backing_off(kind: &str, target: &str, text: &str) {
    warn!(
        MESSAGE_ID = messages::BACKING_OFF,
        CSIHOST_STEP = kind,
        CSIHOST_TARGET = target,
        "backing off: {kind} {target}: {text}"
    );
}

/// A turn could not be made.
pub fn turn_failed(error: &str) {
    let Some(again) = limit::passes(messages::TURN_FAILED, error) else { return };
    error!(MESSAGE_ID = messages::TURN_FAILED, "no turn could be made: {error}{again}");
}

/// systemd cannot be reached.
pub fn systemd_away(error: &str) {
    let Some(again) = limit::passes(messages::SYSTEMD_AWAY, error) else { return };
    warn!(MESSAGE_ID = messages::SYSTEMD_AWAY, "waiting for systemd to be reachable: {error}{again}");
}

/// systemd can be reached again.
pub fn systemd_back() {
    info!(MESSAGE_ID = messages::SYSTEMD_BACK, "systemd can be reached again");
}

/// Some changes are not told by the kernel.
pub fn unwatched(what: &str, why: &str) {
    let Some(again) = limit::passes(messages::UNWATCHED, what) else { return };
    warn!(
        MESSAGE_ID = messages::UNWATCHED,
        "{what}: {why}; what changes there is noticed by the slow timer alone{again}"
    );
}

/// What is for Prometheus could not be written.
pub fn no_metrics(error: &str) {
    let Some(again) = limit::passes(messages::NO_METRICS, error) else { return };
    warn!(MESSAGE_ID = messages::NO_METRICS, "no metrics for Prometheus: {error}{again}");
}

/// The container runtime reports new containers, or no longer.
pub fn runtime(connected: bool, text: &str) {
    // Unlimited: the last line is the state, and pauses between connections limit the lines.
    match connected {
        true => info!(MESSAGE_ID = messages::RUNTIME, "{text}"),
        false => warn!(MESSAGE_ID = messages::RUNTIME, "{text}"),
    }
}

/// A process or a mount did not answer. `is_gone` is false where the process of csihost that waited could not be ended.
pub fn unanswered(object: &str, elapsed: Duration, is_gone: bool) {
    let rest = match is_gone {
        true => "",
        false => "; a process of csihost that waits for it cannot be ended, and is left behind",
    };
    warn!(
        MESSAGE_ID = messages::UNANSWERED,
        CSIHOST_TARGET = object,
        "{object} does not answer after {:.1} s and is left out{rest}",
        elapsed.as_secs_f64()
    );
}

/// The receipt is damaged, and was moved to `aside`.
pub fn receipt_lost(why: &str, aside: &str) {
    warn!(
        MESSAGE_ID = messages::RECEIPT_LOST,
        CSIHOST_TARGET = aside,
        "{why}: it is now {aside}, and what csihost has changed is taken from the files that have its mark"
    );
}

/// A new container was given the kubelet root path.
pub fn adjusted(container: &str, targets: &str) {
    let Some(again) = limit::passes(messages::DONE, &format!("{container} {targets}")) else { return };
    info!(
        MESSAGE_ID = messages::DONE,
        CSIHOST_STEP = "adjust-container",
        CSIHOST_TARGET = container,
        "adjust-container {container}: {targets}{again}"
    );
}
