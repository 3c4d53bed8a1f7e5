//! NRI, the Node Resource Interface of container runtimes: the plugin's side of one connection.
//!
//! In comes a connected stream (`engine::agent` finds the socket and reconnects), out go calls of a
//! [`Handler`]. The runtime drops a plugin that does not answer within its request timeout (2 s by
//! default), and then creates the container without the plugin's changes. So a handler must not wait.

mod frame;
mod message;

pub use frame::{Decoder, FrameError, Kind, LONGEST, Message, PLUGIN, RUNTIME, encode};
pub use message::{
    ConfigureResponse, Container, ContainerAdjustment, ContainerRequest, CreateContainerResponse, Mount, Pod,
    RegisterPluginRequest, Request, Response, StateChangeEvent, Status, SynchronizeRequest,
    SynchronizeResponse,
};

use crate::model::runtime::{ContainerMount, NewContainer};
use prost::Message as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// The plugin's service.
pub const PLUGIN_SERVICE: &str = "nri.pkg.api.v1alpha1.Plugin";
/// The runtime's service.
pub const RUNTIME_SERVICE: &str = "nri.pkg.api.v1alpha1.Runtime";

/// Numbers of events in a mask: event N is bit N - 1 (containerd/nri, pkg/api/event.go).
const CREATE_CONTAINER: i32 = 4;
const POST_START_CONTAINER: i32 = 7;
const REMOVE_CONTAINER: i32 = 11;
/// The events that csihost subscribes to.
pub const EVENTS: i32 =
    1 << (CREATE_CONTAINER - 1) | 1 << (POST_START_CONTAINER - 1) | 1 << (REMOVE_CONTAINER - 1);

/// `ContainerState` of a container whose first process does not run yet.
pub const CONTAINER_CREATED: i32 = 1;
/// `ContainerState` of a container whose first process runs.
const CONTAINER_RUNNING: i32 = 3;

/// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const UNIMPLEMENTED: i32 = 12;

/// The time for registration, configuration and synchronization together. A runtime accepts plugins only
/// once its CRI service has started.
const READY: Duration = Duration::from_secs(30);
/// The time for the rest of a message that has begun, and for writing one.
const MESSAGE: Duration = Duration::from_secs(2);
/// The stream of the only call that the plugin makes.
const REGISTRATION: u32 = 1;

/// Receiver of the runtime's events. No method may wait or do I/O.
pub trait Handler {
    /// The runtime reports every container from now on. `created` are those that it has created before and
    /// not yet started.
    fn synchronized(&self, created: Vec<NewContainer>);
    /// Returns the mounts to add to a container before it is created.
    fn create(&self, container: &NewContainer) -> Vec<ContainerMount>;
    /// The first process of a container runs.
    fn started(&self, container: &NewContainer);
    /// A container was removed.
    fn removed(&self, container: &NewContainer);
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// The runtime closed it.
    Closed,
    /// Reading or writing failed.
    Io(std::io::Error),
    /// The runtime sent bytes that are not NRI.
    Frame(FrameError),
    /// Something took longer than it may.
    Late(&'static str),
    /// The runtime refused the registration.
    Refused(String),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the runtime closed the connection"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "the runtime sent {error}"),
            Self::Late(what) => write!(f, "the runtime did not {what} in time"),
            Self::Refused(why) => write!(f, "the runtime refused the registration: {why}"),
        }
    }
}

impl std::error::Error for Ended {}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Registers as plugin `name` with the two digits `index` and serves the runtime until the connection
/// ends.
pub async fn serve<S>(stream: &mut S, name: &str, index: &str, handler: &impl Handler) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        stream,
        decoder: Decoder::default(),
        handler,
        synchronizing: Some(Synchronizing::new()),
    };
    let served = async {
        connection.register(name, index).await?;
        loop {
            let message = connection.next().await?;
            connection.handle(message).await?;
        }
    };
    match served.await {
        Ok(never) => never,
        Err(ended) => ended,
    }
}

struct Connection<'a, S, H> {
    stream: &'a mut S,
    decoder: Decoder,
    handler: &'a H,
    /// Until synchronization is done.
    synchronizing: Option<Synchronizing>,
}

/// Synchronization, which may take several calls.
struct Synchronizing {
    /// The end of the time for it.
    until: Instant,
    pods: Vec<Pod>,
    /// The containers that are created and not started.
    created: Vec<Container>,
    /// Sandbox and name of those that run: an attempt before at one of them is never started.
    running: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Synchronizing {
    fn new() -> Self {
        Self { until: Instant::now() + READY, pods: Vec::new(), created: Vec::new(), running: Vec::new() }
    }

    fn add(&mut self, request: SynchronizeRequest) {
        self.pods.extend(request.pods);
        for container in request.containers {
            match container.state {
                CONTAINER_CREATED => self.created.push(container),
                CONTAINER_RUNNING => self.running.push((container.sandbox, container.name)),
                _ => {}
            }
        }
    }

    fn containers(self) -> Vec<NewContainer> {
        let Self { pods, mut created, running, .. } = self;
        created.retain(|one| {
            !running.iter().any(|(sandbox, name)| *sandbox == one.sandbox && *name == one.name)
        });
        let whole = |container: Container| {
            let pod = pods.iter().find(|pod| pod.id == container.sandbox).cloned();
            ContainerRequest { pod, container: Some(container) }.into_container()
        };
        created.into_iter().map(whole).collect()
    }
}

/// The answer to a call, and whether synchronization ends with it.
type Answer = (Result<Vec<u8>, Status>, bool);

impl<S: AsyncRead + AsyncWrite + Unpin, H: Handler> Connection<'_, S, H> {
    async fn register(&mut self, name: &str, index: &str) -> Result<(), Ended> {
        let argument = RegisterPluginRequest { plugin_name: name.to_owned(), plugin_idx: index.to_owned() };
        let request = Request {
            service: RUNTIME_SERVICE.to_owned(),
            method: "RegisterPlugin".to_owned(),
            payload: argument.encode_to_vec(),
            timeout_nano: i64::try_from(READY.as_nanos()).unwrap_or_default(),
        };
        let payload = request.encode_to_vec();
        self.send(&Message { connection: RUNTIME, stream: REGISTRATION, kind: Kind::Request, payload }).await
    }

    async fn send(&mut self, message: &Message) -> Result<(), Ended> {
        let frames = encode(message)?;
        timeout(MESSAGE, self.stream.write_all(&frames)).await.map_err(|_| Ended::Late("read"))??;
        Ok(())
    }

    /// The next message; waits without a limit only between messages of a synchronized runtime.
    async fn next(&mut self) -> Result<Message, Ended> {
        let mut buffer = [0; 4096];
        let mut rest = None;
        loop {
            if let Some(message) = self.decoder.message()? {
                return Ok(message);
            }
            if self.decoder.is_partial() {
                rest.get_or_insert_with(|| Instant::now() + MESSAGE);
            }
            let read = self.stream.read(&mut buffer);
            let read =
                match rest.into_iter().chain(self.synchronizing.as_ref().map(|state| state.until)).min() {
                    Some(until) => timeout_at(until, read).await.map_err(|_| Ended::Late("send"))?,
                    None => read.await,
                };
            match read? {
                0 => return Err(Ended::Closed),
                length => self.decoder.push(buffer.get(..length).unwrap_or_default()),
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Ended> {
        let Message { connection, stream, kind, payload } = message;
        match (connection, kind) {
            (PLUGIN, Kind::Request) => {
                let (answer, synchronized) = self.answer(&payload);
                let response = match answer {
                    Ok(payload) => Response { status: None, payload },
                    Err(status) => Response { status: Some(status), payload: Vec::new() },
                };
                let payload = response.encode_to_vec();
                self.send(&Message { connection: PLUGIN, stream, kind: Kind::Response, payload }).await?;
                if synchronized && let Some(state) = self.synchronizing.take() {
                    self.handler.synchronized(state.containers());
                }
                Ok(())
            }
            (RUNTIME, Kind::Response) if stream == REGISTRATION => {
                let response = Response::decode(payload.as_slice());
                let status = response.map_err(|error| Ended::Refused(error.to_string()))?.status;
                match status.filter(|status| status.code != 0) {
                    Some(status) => Err(Ended::Refused(status.message)),
                    None => Ok(()),
                }
            }
            // There is no other call of the plugin's that could be answered.
            _ => Ok(()),
        }
    }

    fn answer(&mut self, payload: &[u8]) -> Answer {
        match self.call(payload) {
            Ok((payload, synchronized)) => (Ok(payload), synchronized),
            Err(status) => (Err(status), false),
        }
    }

    fn call(&mut self, payload: &[u8]) -> Result<(Vec<u8>, bool), Status> {
        let request: Request = decode(payload)?;
        let argument = request.payload.as_slice();
        if request.service != PLUGIN_SERVICE {
            return Err(unimplemented(&request));
        }
        let result = match request.method.as_str() {
            "Configure" => ConfigureResponse { events: EVENTS }.encode_to_vec(),
            "Synchronize" => {
                let request = decode::<SynchronizeRequest>(argument)?;
                let more = request.more;
                if let Some(state) = &mut self.synchronizing {
                    state.add(request);
                }
                return Ok((SynchronizeResponse { more }.encode_to_vec(), !more));
            }
            "CreateContainer" => {
                let container = decode::<ContainerRequest>(argument)?.into_container();
                let mounts: Vec<Mount> = self.handler.create(&container).iter().map(Mount::from).collect();
                let adjust = (!mounts.is_empty()).then_some(ContainerAdjustment { mounts });
                CreateContainerResponse { adjust }.encode_to_vec()
            }
            "PostStartContainer" => {
                self.handler.started(&decode::<ContainerRequest>(argument)?.into_container());
                Vec::new()
            }
            "RemoveContainer" => {
                self.handler.removed(&decode::<ContainerRequest>(argument)?.into_container());
                Vec::new()
            }
            // NRI before 0.11 reports events without an answer by this one method.
            "StateChange" => {
                let StateChangeEvent { event, pod, container } = decode(argument)?;
                let container = ContainerRequest { pod, container }.into_container();
                match event {
                    POST_START_CONTAINER => self.handler.started(&container),
                    REMOVE_CONTAINER => self.handler.removed(&container),
                    _ => {}
                }
                Vec::new()
            }
            // The runtime closes the connection afterwards.
            "Shutdown" => Vec::new(),
            _ => return Err(unimplemented(&request)),
        };
        Ok((result, false))
    }
}

fn decode<T: prost::Message + Default>(payload: &[u8]) -> Result<T, Status> {
    T::decode(payload).map_err(|error| Status { code: INVALID_ARGUMENT, message: error.to_string() })
}

fn unimplemented(request: &Request) -> Status {
    let message = format!("csihost has no method {}.{}", request.service, request.method);
    Status { code: UNIMPLEMENTED, message }
}

#[cfg(test)]
mod tests;
