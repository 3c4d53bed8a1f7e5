//! One connection to the system bus, and method calls on it that always end.
//!
//! Plain calls only: no proxies, no introspection, no property caches. Each call is one message
//! there and one back, so that a turn that changes nothing costs little.

use super::error::Fault;
use serde::Serialize;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;
use zbus::message::Message;
use zbus::{Connection, DBusError as _, DynamicType, MatchRule, MessageStream};

/// Where the system bus is (D-Bus specification, "Well-known Message Bus Instances"; its
/// `/var/run` is the same directory on every host with systemd).
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// systemd's name on the bus.
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The object of systemd's manager.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of systemd's manager.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The interface through which objects show their properties.
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long systemd may take to answer. It answers nobody while it reads its unit files again,
/// which has been seen to take seconds; 25 s is what libdbus and sd-bus wait.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(25);

/// The socket on which systemd answers root without a bus (systemd's `src/core/dbus.c`).
const PRIVATE: &str = "/run/systemd/private";

/// How often systemd is woken while it owes an answer or a job. It looks at the mount table five times a
/// second at most, and 252 sometimes sleeps on after that (once in fifty rounds of mounting and
/// unmounting) and reads no message of the bus, for minutes. A connection to its own socket wakes it.
const NUDGE: Duration = Duration::from_secs(1);

/// How long systemd may take to come to the bus. It starts the bus and connects to it afterwards:
/// who connects first, at boot or because connecting started the bus, does not find it yet.
const SYSTEMD_GRACE: Duration = Duration::from_secs(3);

/// A connection to the system bus.
#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    /// systemd's own socket.
    private: PathBuf,
}

impl Bus {
    /// Connects to the system bus, and sees that systemd is on it.
    pub(super) async fn connect() -> Result<Self, Fault> {
        let addresses = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default();
        let mut fault = None;
        // "Multiple addresses may be specified by separating them with semicolons": the first
        // that works is taken.
        for address in addresses.split(';').filter(|address| !address.is_empty()) {
            match Self::at(address).await {
                Ok(bus) => return Ok(bus),
                Err(why) => fault = Some(why),
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => Self::at(SYSTEM_BUS).await,
        }
    }

    async fn at(address: &str) -> Result<Self, Fault> {
        let building = zbus::connection::Builder::address(address).build();
        let connection = tokio::time::timeout(CALL_DEADLINE, building)
            .await
            .map_err(|_| Fault::Silent { after: CALL_DEADLINE })?
            .map_err(|error| not_connected(address, &error))?;
        let bus = Self::over(connection, PRIVATE.into());
        bus.find_systemd(SYSTEMD_GRACE).await?;
        Ok(bus)
    }

    /// Sees that systemd is on the bus, or comes to it within `grace`.
    ///
    /// Who has the name is asked rather than called: a call would have the bus try to start
    /// systemd, which is not its to start.
    async fn find_systemd(&self, grace: Duration) -> Result<(), Fault> {
        let end = Instant::now() + grace;
        loop {
            let owner =
                self.to("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetNameOwner", &SYSTEMD).await;
            match owner {
                Ok(_) => return Ok(()),
                Err(Fault::NoSystemd { .. }) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Uses a connection that is there already, to a systemd whose own socket is at `private`.
    pub(super) fn over(connection: Connection, private: PathBuf) -> Self {
        Self { connection, private }
    }

    /// Calls a method of systemd's manager.
    pub(super) async fn manager<B: Serialize + DynamicType>(
        &self,
        member: &'static str,
        body: &B,
    ) -> Result<Message, Fault> {
        self.to(SYSTEMD, MANAGER_PATH, MANAGER, member, body).await
    }

    /// Calls a method of systemd's manager that may take its time.
    pub(super) async fn manager_within<B: Serialize + DynamicType>(
        &self,
        deadline: Duration,
        member: &'static str,
        body: &B,
    ) -> Result<Message, Fault> {
        self.within(deadline, SYSTEMD, MANAGER_PATH, MANAGER, member, body).await
    }

    /// Reads one property of one of systemd's objects.
    pub(super) async fn property(&self, path: &str, interface: &str, name: &str) -> Result<Message, Fault> {
        self.to(SYSTEMD, path, PROPERTIES, "Get", &(interface, name)).await
    }

    /// The manager's signals called `member`.
    pub(super) async fn signals(&self, member: &'static str) -> Result<MessageStream, Fault> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SYSTEMD)
            .path(MANAGER_PATH)
            .interface(MANAGER)
            .member(member)
            .build()
            .map_err(|error| fault(&error))?;
        let stream = MessageStream::for_match_rule(rule, &self.connection, None);
        tokio::time::timeout(CALL_DEADLINE, stream)
            .await
            .map_err(|_| Fault::Silent { after: CALL_DEADLINE })?
            .map_err(|error| fault(&error))
    }

    /// Everything that the bus sends to this connection.
    pub(super) fn everything(&self) -> MessageStream {
        MessageStream::from(&self.connection)
    }

    /// Has the bus send the signals that `rule` describes to this connection, or no longer.
    pub(super) async fn match_signals(&self, rule: &str, wanted: bool) -> Result<(), Fault> {
        let member = if wanted { "AddMatch" } else { "RemoveMatch" };
        let bus = "org.freedesktop.DBus";
        self.to(bus, "/org/freedesktop/DBus", bus, member, &(rule,)).await.map(|_| ())
    }

    async fn to<B: Serialize + DynamicType>(
        &self,
        destination: &str,
        path: &str,
        interface: &str,
        member: &'static str,
        body: &B,
    ) -> Result<Message, Fault> {
        self.within(CALL_DEADLINE, destination, path, interface, member, body).await
    }

    async fn within<B: Serialize + DynamicType>(
        &self,
        deadline: Duration,
        destination: &str,
        path: &str,
        interface: &str,
        member: &'static str,
        body: &B,
    ) -> Result<Message, Fault> {
        let call = self.connection.call_method(Some(destination), path, Some(interface), member, body);
        let answer = async {
            match tokio::time::timeout(deadline, call).await {
                Ok(answer) => answer.map_err(|error| fault(&error)),
                Err(_) => Err(Fault::Silent { after: deadline }),
            }
        };
        tokio::select! {
            answer = answer => answer,
            // The bus itself does not sleep.
            never = self.keep_awake(), if destination == SYSTEMD => match never {},
        }
    }

    /// Wakes systemd every [`NUDGE`], until it is dropped.
    pub(super) async fn keep_awake(&self) -> Infallible {
        loop {
            tokio::time::sleep(NUDGE).await;
            // Closed at once: systemd wakes to accept it. Where that fails, the deadline of what is waited for
            // decides, as it does of a systemd that is busy.
            let _ = tokio::time::timeout(NUDGE, UnixStream::connect(&self.private)).await;
        }
    }
}

/// What a failed connection means.
fn not_connected(address: &str, error: &zbus::Error) -> Fault {
    use std::io::ErrorKind::PermissionDenied;
    let (address, why) = (address.to_owned(), error.to_string());
    match error {
        zbus::Error::Connection(error, _) => match error.kind() {
            PermissionDenied => Fault::Refused { address, why: error.to_string() },
            _ => Fault::NoBus { address, why: error.to_string() },
        },
        zbus::Error::Address(_) => Fault::NoBus { address, why },
        // Something listens there and does not let csihost in.
        _ => Fault::Refused { address, why },
    }
}

/// What a failed call means, as far as it can be told without knowing what was called.
pub(super) fn fault(error: &zbus::Error) -> Fault {
    match error {
        zbus::Error::MethodError(name, why, _) => answer(name.as_str(), why.as_deref()),
        zbus::Error::FDO(error) => answer(error.name().as_str(), error.description()),
        zbus::Error::InputOutput(error) => Fault::Lost { why: error.to_string() },
        error => Fault::Garbled { why: error.to_string() },
    }
}

/// Error names of the D-Bus specification and of systemd (bus-common-errors.h).
fn answer(name: &str, why: Option<&str>) -> Fault {
    let why = why.unwrap_or("no reason given").to_owned();
    let Some(error) = name.strip_prefix("org.freedesktop.DBus.Error.") else {
        return match name {
            "org.freedesktop.systemd1.NoSuchUnit" => Fault::NotFound,
            "org.freedesktop.systemd1.UnitMasked" => Fault::Masked,
            "org.freedesktop.systemd1.LoadFailed" | "org.freedesktop.systemd1.BadUnitSetting" => {
                Fault::Broken { why }
            }
            _ => Fault::Rejected { name: name.to_owned(), why },
        };
    };
    match error {
        "AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired" => Fault::Denied { why },
        "LimitsExceeded" => Fault::Busy { why },
        "ServiceUnknown" | "NameHasNoOwner" => Fault::NoSystemd { why },
        error if error.starts_with("Spawn.") => Fault::NoSystemd { why },
        // The bus answers for a peer that left without answering.
        "NoReply" | "Disconnected" => Fault::Lost { why },
        _ => Fault::Rejected { name: name.to_owned(), why },
    }
}

impl Fault {
    /// Whether systemd is too old to know the method that was called.
    pub(super) fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Rejected { name, .. } if name == "org.freedesktop.DBus.Error.UnknownMethod")
    }
}

/// Reads what a message holds.
pub(super) fn read<T>(message: &Message) -> Result<T, Fault>
where
    T: zbus::Type + for<'d> serde::Deserialize<'d>,
{
    let body = message.body();
    body.deserialize().map_err(|error| Fault::Garbled { why: error.to_string() })
}
