//! A node test of the room of systemd: every promise of `csihost::systemd`, on a real systemd.
//!
//! Runs as root inside a disposable node (a container with systemd as PID 1, or a virtual
//! machine with CSIHOST_NODE=1 set), never on a host that anybody needs. One line a case; ends
//! with status 1 if one fails.

// A test: whatever is not as expected may end it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod jobs;
mod services;
mod states;
mod support;
mod world;

use csihost::systemd::{ManagerError, ServiceManager as _, Systemd};
use std::path::Path;
use std::process::exit;
use std::time::Instant;
use support::{DEADLINE, Outcome, connect, set_up, unit};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::args().nth(1).as_deref() {
        None => {}
        // How the error looks in another environment: called by the cases below.
        Some("connect") => return print_error(runtime.block_on(Systemd::connect(DEADLINE)).err()),
        Some("start") => {
            let start = async { connect().await?.start(&unit("t-ok.service")).await };
            return print_error(runtime.block_on(start).err());
        }
        Some("without-bus") => return println!("{:?}", runtime.block_on(world::without_bus())),
        Some(other) => panic!("unknown: {other}"),
    }
    if !Path::new("/run/systemd/container").exists() && std::env::var_os("CSIHOST_NODE").is_none() {
        eprintln!("bus: this is no disposable node; nothing was done");
        exit(2);
    }
    let failed = runtime.block_on(cases());
    println!("{}", if failed == 0 { "all cases hold".to_owned() } else { format!("{failed} cases FAILED") });
    exit(i32::from(failed > 0));
}

fn print_error(error: Option<ManagerError>) {
    println!("{}", error.map_or_else(|| "no error".to_owned(), |error| error.to_string()));
}

async fn cases() -> usize {
    set_up();
    let mut failed = 0;
    macro_rules! case {
        ($name:literal, $case:expr) => {
            let begin = Instant::now();
            let outcome: Outcome = $case.await;
            let took = begin.elapsed().as_secs_f64() * 1000.0;
            let (word, text) = match &outcome {
                Ok(text) => ("ok  ", text),
                Err(text) => ("FAIL", text),
            };
            failed += usize::from(outcome.is_err());
            println!("{word} {} [{took:.1} ms]: {text}", $name);
        };
    }
    case!("a converged turn's questions take little", states::speed());
    case!("states are told apart", states::states());
    case!("enable and disable come out as asked", states::enable_disable());
    case!("the links are systemctl's", states::same_links());
    case!("a unit without [Install] cannot be enabled", states::no_install());
    case!("a unit that is not there", states::not_found());
    case!("a masked unit is an error with its remedy", states::masked());
    case!("what systemd will run is known beforehand", services::commands());
    case!("environment files are systemd's", services::environment_files());
    case!("drop-ins come in systemd's order", services::drop_ins());
    case!("what is no service runs nothing", services::not_services());
    case!("learning what a service runs takes little", services::cost());
    case!("a start ends with the unit active", jobs::start_stop());
    case!("a oneshot that is active is restarted", jobs::restart());
    case!("a failing unit says how it failed", jobs::failing());
    case!("a failing dependency", jobs::dependency());
    case!("a failed condition is no success", jobs::condition());
    case!("a oneshot that does not remain is not active", jobs::once());
    case!("a start that takes longer than systemd allows", jobs::limit());
    case!("a command that waits for a mount is ended by its limit", jobs::silent_mount());
    case!("a start that takes longer than the deadline", jobs::deadline());
    case!("a unit that may not be started by hand", jobs::manual());
    case!("a broken unit file", jobs::broken());
    case!("a socket in the way of its running service", jobs::socket());
    case!("fifty jobs at once, each matched by its path", jobs::many());
    case!("forged ends of jobs are ignored", world::forged());
    case!("a mount is not stopped alone with mounts below", jobs::mount_alone());
    case!("a storm of reloads", world::reloads());
    case!("systemd re-executed in the middle of a job", world::reexec());
    case!("an unprivileged user is refused", world::unprivileged());
    case!("a bus without systemd", world::no_systemd());
    case!("a bus that is not there", world::no_bus());
    failed
}
