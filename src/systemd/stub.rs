//! A stand-in for systemd at the other end of a socket, for what no real one does when asked.

use super::bus::{Bus, MANAGER, MANAGER_PATH};
use super::manager::Systemd;
use futures_util::StreamExt as _;
use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use zbus::connection::Builder;
use zbus::message::Message;
use zbus::{Connection, MessageStream, ObjectPath, OwnedObjectPath};

/// What the stand-in knows, and what it was asked.
#[derive(Clone)]
pub(super) struct Stub {
    connection: Connection,
    /// Its own socket, on which nobody speaks: a connection wakes it.
    private: Rc<UnixListener>,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Stub {
    /// Answers with `body`.
    pub(super) async fn answer<B: serde::Serialize + zbus::DynamicType>(&self, call: &Message, body: &B) {
        self.connection.reply(&call.header(), body).await.unwrap();
    }

    /// Answers with an error of the D-Bus specification.
    pub(super) async fn refuse(&self, call: &Message, error: &str) {
        let name = format!("org.freedesktop.DBus.Error.{error}");
        self.connection.reply_error(&call.header(), name, &"because").await.unwrap();
    }

    /// Says that a job ended; to everybody, or straight to somebody as a forger would.
    pub(super) async fn job_removed(&self, job: u32, result: &str, to: Option<&str>) {
        let body = (job, job_path(job), "a.service", result);
        self.connection.emit_signal(to, MANAGER_PATH, MANAGER, "JobRemoved", &body).await.unwrap();
    }

    /// Answers ListUnitsByNames with one loaded unit.
    pub(super) async fn list(&self, call: &Message, active: &str) {
        let path = ObjectPath::try_from("/org/freedesktop/systemd1/unit/a_2eservice").unwrap();
        let none = ObjectPath::try_from("/").unwrap();
        let row = ("a.service", "", "loaded", active, "", "", path, 0_u32, "", none);
        self.answer(call, &(vec![row],)).await;
    }

    /// Waits until somebody connects to its own socket.
    pub(super) async fn woken(&self) {
        self.private.accept().await.unwrap();
    }

    /// The methods that were called, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

pub(super) fn job_path(job: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{job}")).unwrap()
}

/// Runs `test` against a stand-in that handles each call with `handle`; false closes the
/// connection.
pub(super) fn against<T>(
    handle: impl AsyncFn(&Stub, &str, &Message) -> bool,
    test: impl AsyncFnOnce(Systemd, Stub) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guid = zbus::Guid::generate();
        let (client, server) = futures_util::future::try_join(
            Builder::unix_stream(ours).p2p().build(),
            Builder::unix_stream(theirs).server(guid).p2p().build(),
        )
        .await
        .unwrap();
        let calls = MessageStream::from(&server);
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("private");
        let socket = Rc::new(UnixListener::bind(&private).unwrap());
        let stub = Stub { connection: server, private: socket, asked: Rc::default() };
        let systemd = Systemd::over(Bus::over(client, private), Duration::from_secs(2));
        let serving = serve(stub.clone(), calls, handle);
        let test = test(systemd, stub);
        tokio::pin!(serving, test);
        tokio::select! {
            result = &mut test => result,
            () = &mut serving => test.await,
        }
    })
}

async fn serve(stub: Stub, mut calls: MessageStream, handle: impl AsyncFn(&Stub, &str, &Message) -> bool) {
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        let Some(member) = header.member().filter(|_| header.reply_serial().is_none()) else { continue };
        stub.asked.borrow_mut().push(member.to_string());
        match member.as_str() {
            "Subscribe" | "RefUnit" | "UnrefUnit" => stub.answer(&call, &()).await,
            member => {
                if !handle(&stub, member, &call).await {
                    break;
                }
            }
        }
    }
    let _ = stub.connection.close().await;
}
