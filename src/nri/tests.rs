//! The plugin's side against a runtime that is written out here, over a real socket.

use super::*;
use std::sync::Mutex;
use tokio::net::UnixStream;

#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<String>>,
}

impl Recorder {
    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
    fn push(&self, event: &str) {
        self.events.lock().unwrap().push(event.to_owned());
    }
}

impl Handler for Recorder {
    fn synchronized(&self, created: Vec<NewContainer>) {
        self.push("synchronized");
        created.iter().for_each(|one| self.push(&format!("created {} {} {}", one.id, one.pod, one.name)));
    }
    fn create(&self, container: &NewContainer) -> Vec<ContainerMount> {
        self.push(&format!("create {}", container.name));
        container.mounts.clone()
    }
    fn started(&self, container: &NewContainer) {
        self.push(&format!("started {}", container.name));
    }
    fn removed(&self, container: &NewContainer) {
        self.push(&format!("removed {}", container.name));
    }
}

struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    stream_id: u32,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::default(), stream_id: 1 }
    }

    async fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 512];
        loop {
            if let Some(message) = self.decoder.message().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.decoder.push(&buffer[..length]),
            }
        }
    }

    async fn registered(&mut self, status: Option<Status>) {
        let message = self.next().await.unwrap();
        assert_eq!((message.connection, message.stream, message.kind), (RUNTIME, 1, Kind::Request));
        let request = Request::decode(message.payload.as_slice()).unwrap();
        assert_eq!((request.service.as_str(), request.method.as_str()), (RUNTIME_SERVICE, "RegisterPlugin"));
        let argument = RegisterPluginRequest::decode(request.payload.as_slice()).unwrap();
        assert_eq!((argument.plugin_name.as_str(), argument.plugin_idx.as_str()), ("csihost", "50"));
        let payload = Response { status, payload: Vec::new() }.encode_to_vec();
        let response = Message { connection: RUNTIME, stream: 1, kind: Kind::Response, payload };
        self.stream.write_all(&encode(&response).unwrap()).await.unwrap();
    }

    async fn call_of(&mut self, service: &str, method: &str, payload: Vec<u8>) -> Response {
        let request =
            Request { service: service.to_owned(), method: method.to_owned(), payload, timeout_nano: 0 };
        let stream = self.stream_id;
        self.stream_id += 2;
        let payload = request.encode_to_vec();
        let message = Message { connection: PLUGIN, stream, kind: Kind::Request, payload };
        self.stream.write_all(&encode(&message).unwrap()).await.unwrap();
        let answer = self.next().await.unwrap();
        assert_eq!((answer.connection, answer.stream, answer.kind), (PLUGIN, stream, Kind::Response));
        Response::decode(answer.payload.as_slice()).unwrap()
    }

    async fn call(&mut self, method: &str, payload: Vec<u8>) -> Response {
        self.call_of(PLUGIN_SERVICE, method, payload).await
    }
}

fn run<F: Future<Output = ()>>(peer: impl FnOnce(Peer) -> F) -> (Vec<String>, Ended) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let recorder = Recorder::default();
        let served = async {
            let ended = serve(&mut ours, "csihost", "50", &recorder).await;
            drop(ours);
            ended
        };
        let (ended, ()) = tokio::join!(served, peer(Peer::new(theirs)));
        (recorder.events(), ended)
    })
}

fn container() -> NewContainer {
    let mount = ContainerMount {
        destination: "/csi".to_owned(),
        kind: "bind".to_owned(),
        source: "/var/lib/kubelet/plugins/x".to_owned(),
        options: vec!["rbind".to_owned(), "rw".to_owned()],
    };
    NewContainer { name: "pod/driver".to_owned(), mounts: vec![mount], ..NewContainer::default() }
}

#[test]
fn a_runtime_is_served_from_registration_to_shutdown() {
    let (events, ended) = run(|mut peer| async move {
        peer.registered(None).await;
        let configured = peer.call("Configure", Vec::new()).await;
        assert_eq!(ConfigureResponse::decode(configured.payload.as_slice()).unwrap().events, 0x448);
        for more in [true, false] {
            let answer = peer
                .call("Synchronize", SynchronizeRequest { more, ..Default::default() }.encode_to_vec())
                .await;
            assert_eq!(SynchronizeResponse::decode(answer.payload.as_slice()).unwrap().more, more);
        }
        let request = ContainerRequest::of(&container());
        let answer = peer.call("CreateContainer", request.encode_to_vec()).await;
        let adjust = CreateContainerResponse::decode(answer.payload.as_slice()).unwrap().adjust;
        assert_eq!(adjust.unwrap().mounts, request.container.clone().unwrap().mounts);
        let bare = ContainerRequest::of(&NewContainer::default()).encode_to_vec();
        assert_eq!(peer.call("CreateContainer", bare).await.payload, Vec::<u8>::new());
        peer.call("PostStartContainer", request.encode_to_vec()).await;
        peer.call("RemoveContainer", request.encode_to_vec()).await;
        let (pod, container) = (request.pod, request.container);
        for event in [POST_START_CONTAINER, REMOVE_CONTAINER, 6] {
            let change = StateChangeEvent { event, pod: pod.clone(), container: container.clone() };
            assert_eq!(peer.call("StateChange", change.encode_to_vec()).await.status, None);
        }
        assert_eq!(peer.call("Shutdown", Vec::new()).await.status, None);
    });
    assert_eq!(
        events,
        [
            "synchronized",
            "create pod/driver",
            "create /",
            "started pod/driver",
            "removed pod/driver",
            "started pod/driver",
            "removed pod/driver"
        ]
    );
    assert!(matches!(ended, Ended::Closed), "{ended}");
}

#[test]
fn containers_that_are_created_and_not_started_come_with_their_pods() {
    let (events, _) = run(|mut peer| async move {
        peer.registered(None).await;
        let bytes = |text: &str| text.as_bytes().to_vec();
        let pod = |id: &str| Pod {
            id: bytes(id),
            uid: bytes(&format!("uid-{id}")),
            name: bytes(&format!("pod-{id}")),
            ..Pod::default()
        };
        let container = |id: &str, sandbox: &str, state| Container {
            id: bytes(id),
            sandbox: bytes(sandbox),
            state,
            name: bytes("driver"),
            ..Container::default()
        };
        // A container may come before its pod, and c5 is an attempt that c2 has replaced.
        let parts = [
            (
                vec![],
                vec![container("c1", "a", CONTAINER_CREATED), container("c2", "c", CONTAINER_RUNNING)],
                true,
            ),
            (vec![pod("b"), pod("a"), pod("c")], vec![container("c5", "c", CONTAINER_CREATED)], true),
            (
                vec![],
                vec![container("c3", "b", CONTAINER_CREATED), container("c4", "no", CONTAINER_CREATED)],
                false,
            ),
        ];
        for (pods, containers, more) in parts {
            peer.call("Synchronize", SynchronizeRequest { pods, containers, more }.encode_to_vec()).await;
        }
        // Synchronization happens once.
        let again = SynchronizeRequest { containers: vec![container("c5", "a", 1)], ..Default::default() };
        peer.call("Synchronize", again.encode_to_vec()).await;
    });
    assert_eq!(
        events,
        [
            "synchronized",
            "created c1 uid-a pod-a/driver",
            "created c3 uid-b pod-b/driver",
            "created c4  /driver"
        ]
    );
}

#[test]
fn what_is_not_understood_has_a_status_and_ends_nothing() {
    let (events, _) = run(|mut peer| async move {
        peer.registered(None).await;
        let code = |response: Response| response.status.unwrap().code;
        assert_eq!(code(peer.call("Dance", Vec::new()).await), UNIMPLEMENTED);
        assert_eq!(code(peer.call_of("other.Service", "Configure", Vec::new()).await), UNIMPLEMENTED);
        assert_eq!(code(peer.call("CreateContainer", vec![0xff; 20]).await), INVALID_ARGUMENT);
        assert_eq!(peer.call("Configure", Vec::new()).await.status, None);
    });
    assert!(events.is_empty());
}

#[test]
fn a_refused_registration_and_garbage_end_the_connection() {
    let refused = Status { code: 2, message: "invalid plugin index".to_owned() };
    let (_, ended) = run(|mut peer| async move { peer.registered(Some(refused)).await });
    assert!(matches!(&ended, Ended::Refused(why) if why == "invalid plugin index"), "{ended}");
    let (_, ended) = run(|mut peer| async move {
        peer.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        while peer.next().await.is_some() {}
    });
    assert!(matches!(ended, Ended::Frame(_)), "{ended}");
}

#[test]
fn a_message_that_stops_half_way_is_not_waited_for_long() {
    let begun = std::time::Instant::now();
    let (_, ended) = run(|mut peer| async move {
        peer.registered(None).await;
        peer.stream.write_all(b"\0\0\0\x01\0\0\0\x20half").await.unwrap();
        while peer.next().await.is_some() {}
    });
    assert!(matches!(ended, Ended::Late(_)), "{ended}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}
