//! A stand-in for a container runtime that speaks NRI, in the test nodes: it accepts a plugin and creates
//! no container, but asks the plugin about one that is described.
//!
//! `runtime serve` listens for a plugin; the last one that comes counts. `runtime create`, `runtime
//! started` and `runtime removed` read the description of a container (JSON, `model::runtime::NewContainer`)
//! from standard input and send the event; `runtime created` has it reported to the next plugin as created and
//! not started. `create` prints the mounts that the plugin adds, as SOURCE:POINT:PROPAGATION,
//! and on standard error how long the answer took. Status 3: there is no plugin.

// A test: whatever is not as expected may end it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use csihost::model::runtime::{NRI_SOCKET, NewContainer};
use csihost::nri::{
    CONTAINER_CREATED, ConfigureResponse, Container, ContainerRequest, CreateContainerResponse, Decoder,
    EVENTS, Kind, Message, PLUGIN, PLUGIN_SERVICE, Pod, RUNTIME, RegisterPluginRequest, Request, Response,
    SynchronizeRequest, SynchronizeResponse, encode,
};
use prost::Message as _;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where `create` and `started` reach the runtime.
const CONTROL: &str = "/run/nri/control.sock";
/// A runtime's patience (containerd/nri, pkg/api/timeouts.go).
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some(event @ ("create" | "created" | "started" | "removed")) => ask(event),
        _ => panic!("runtime serve|create|created|started|removed"),
    }
}

/// A plugin that is registered and synchronized.
struct Plugin {
    stream: UnixStream,
    decoder: Decoder,
    calls: u32,
}

impl Plugin {
    fn accept(stream: UnixStream, created: &[NewContainer]) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut plugin = Self { stream, decoder: Decoder::default(), calls: 0 };
        let message = plugin.read()?;
        assert_eq!((message.connection, message.kind), (RUNTIME, Kind::Request));
        let request = Request::decode(message.payload.as_slice()).unwrap();
        assert_eq!(request.method, "RegisterPlugin");
        let name = RegisterPluginRequest::decode(request.payload.as_slice()).unwrap();
        plugin.write(RUNTIME, message.stream, Kind::Response, Response::default().encode_to_vec())?;
        let configured = plugin.call("Configure", Vec::new())?;
        assert_eq!(ConfigureResponse::decode(configured.as_slice()).unwrap().events, EVENTS);
        let (mut pods, mut containers) = (Vec::new(), Vec::new());
        for one in created {
            let ContainerRequest { pod, container } = ContainerRequest::of(one);
            let sandbox = one.pod.as_bytes().to_vec();
            pods.push(Pod { id: sandbox.clone(), ..pod.unwrap() });
            containers.push(Container { sandbox, state: CONTAINER_CREATED, ..container.unwrap() });
        }
        // In two parts, as of a node with many containers.
        for (more, pods, containers) in [(true, pods, Vec::new()), (false, Vec::new(), containers)] {
            let request = SynchronizeRequest { pods, containers, more };
            let answer = plugin.call("Synchronize", request.encode_to_vec())?;
            assert_eq!(SynchronizeResponse::decode(answer.as_slice()).unwrap().more, more);
        }
        println!("plugin {}-{} is synchronized", name.plugin_idx, name.plugin_name);
        Ok(plugin)
    }

    fn read(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.message().map_err(io::Error::other)? {
                return Ok(message);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    fn write(&mut self, connection: u32, stream: u32, kind: Kind, payload: Vec<u8>) -> io::Result<()> {
        let message = Message { connection, stream, kind, payload };
        self.stream.write_all(&encode(&message).map_err(io::Error::other)?)
    }

    fn call(&mut self, method: &str, payload: Vec<u8>) -> io::Result<Vec<u8>> {
        let request = Request {
            service: PLUGIN_SERVICE.to_owned(),
            method: method.to_owned(),
            payload,
            timeout_nano: i64::try_from(PATIENCE.as_nanos()).unwrap(),
        };
        let stream = self.calls * 2 + 1;
        self.calls += 1;
        self.write(PLUGIN, stream, Kind::Request, request.encode_to_vec())?;
        let answer = self.read()?;
        assert_eq!((answer.connection, answer.stream, answer.kind), (PLUGIN, stream, Kind::Response));
        let response = Response::decode(answer.payload.as_slice()).unwrap();
        match response.status.filter(|status| status.code != 0) {
            Some(status) => Err(io::Error::other(status.message)),
            None => Ok(response.payload),
        }
    }
}

fn listen(path: &str) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    std::fs::create_dir_all(Path::new(path).parent().unwrap())?;
    UnixListener::bind(path)
}

fn serve() -> io::Result<()> {
    let plugin: Arc<Mutex<Option<Plugin>>> = Arc::default();
    let created: Arc<Mutex<Vec<NewContainer>>> = Arc::default();
    let control = listen(CONTROL)?;
    let plugins = listen(NRI_SOCKET)?;
    let (current, waiting) = (Arc::clone(&plugin), Arc::clone(&created));
    std::thread::spawn(move || {
        for stream in plugins.incoming() {
            let created = waiting.lock().unwrap().clone();
            match Plugin::accept(stream.unwrap(), &created) {
                Ok(new) => *current.lock().unwrap() = Some(new),
                Err(error) => println!("a plugin is lost: {error}"),
            }
        }
    });
    for stream in control.incoming() {
        let mut stream = stream?;
        let mut order = String::new();
        stream.read_to_string(&mut order)?;
        let (event, container) = order.split_once('\n').unwrap();
        let container: NewContainer = serde_json::from_str(container).unwrap();
        if event == "created" {
            created.lock().unwrap().push(container);
            continue;
        }
        created.lock().unwrap().retain(|one| one.id != container.id);
        let mut current = plugin.lock().unwrap();
        let answer = match current.as_mut().map(|plugin| order_of(plugin, event, &container)) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                println!("the plugin is lost: {error}");
                *current = None;
                "lost".to_owned()
            }
            None => "lost".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
    }
    Ok(())
}

fn order_of(plugin: &mut Plugin, event: &str, container: &NewContainer) -> io::Result<String> {
    let request = ContainerRequest::of(container).encode_to_vec();
    let method = match event {
        "started" => Some("PostStartContainer"),
        "removed" => Some("RemoveContainer"),
        _ => None,
    };
    if let Some(method) = method {
        plugin.call(method, request)?;
        return Ok(String::new());
    }
    let begun = Instant::now();
    let answer = plugin.call("CreateContainer", request)?;
    let mut text = format!("{}\n", begun.elapsed().as_micros());
    let adjust = CreateContainerResponse::decode(answer.as_slice()).unwrap().adjust.unwrap_or_default();
    for mount in adjust.mounts {
        assert_eq!(
            (mount.kind.as_slice(), mount.options.concat().as_slice()),
            (&b"bind"[..], &b"rbindrshared"[..])
        );
        let part = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        text.push_str(&format!("{}:{}:rshared\n", part(mount.source), part(mount.destination)));
    }
    Ok(text)
}

fn ask(event: &str) -> io::Result<()> {
    let mut container = String::new();
    io::stdin().read_to_string(&mut container)?;
    let mut stream = UnixStream::connect(CONTROL)?;
    stream.write_all(format!("{event}\n{container}").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        _ if answer == "lost" => exit(3),
        Some((micros, mounts)) => {
            eprintln!("answered after {micros} us");
            print!("{mounts}");
        }
        None => {}
    }
    Ok(())
}
