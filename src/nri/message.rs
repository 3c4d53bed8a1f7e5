//! Messages of ttrpc and NRI, as far as csihost uses their fields; others are skipped.
//!
//! Tags are those of containerd/ttrpc, request.proto, and containerd/nri, pkg/api/api.proto (v0.12). Text
//! that the runtime sends is taken as bytes: a path of the host need not be UTF-8.

use crate::model::runtime::{ContainerMount, NewContainer};
use prost::Message;

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The service, with its package.
    #[prost(string, tag = "1")]
    pub service: String,
    /// The method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The encoded argument.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// The caller's patience in nanoseconds; 0 for no limit.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Absent or with code 0: success.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The encoded result.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A code of gRPC.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The reason, for people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Argument of `RegisterPlugin`.
#[derive(Clone, PartialEq, Message)]
pub struct RegisterPluginRequest {
    /// The plugin's name.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// Two digits: plugins are called in their order.
    #[prost(string, tag = "2")]
    pub plugin_idx: String,
}

/// Result of `Configure`.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigureResponse {
    /// The events that the plugin subscribes to.
    #[prost(int32, tag = "2")]
    pub events: i32,
}

/// Argument of `Synchronize`.
#[derive(Clone, PartialEq, Message)]
pub struct SynchronizeRequest {
    /// Pods that there are.
    #[prost(message, repeated, tag = "1")]
    pub pods: Vec<Pod>,
    /// Containers that there are.
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<Container>,
    /// True if more of the same follows in another call.
    #[prost(bool, tag = "3")]
    pub more: bool,
}

/// Result of `Synchronize`.
#[derive(Clone, PartialEq, Message)]
pub struct SynchronizeResponse {
    /// The argument's `more`: a split call is understood.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Argument of `CreateContainer` and of `PostStartContainer`.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerRequest {
    /// The container's pod.
    #[prost(message, optional, tag = "1")]
    pub pod: Option<Pod>,
    /// The container.
    #[prost(message, optional, tag = "2")]
    pub container: Option<Container>,
}

/// Argument of `StateChange`.
#[derive(Clone, PartialEq, Message)]
pub struct StateChangeEvent {
    /// The event's number.
    #[prost(int32, tag = "1")]
    pub event: i32,
    /// The pod.
    #[prost(message, optional, tag = "2")]
    pub pod: Option<Pod>,
    /// The container, of an event that is about one.
    #[prost(message, optional, tag = "3")]
    pub container: Option<Container>,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, Message)]
pub struct Pod {
    /// The sandbox's ID.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its name.
    #[prost(bytes = "vec", tag = "2")]
    pub name: Vec<u8>,
    /// Its UID.
    #[prost(bytes = "vec", tag = "3")]
    pub uid: Vec<u8>,
    /// Its Kubernetes namespace.
    #[prost(bytes = "vec", tag = "4")]
    pub namespace: Vec<u8>,
}

/// `Container`.
#[derive(Clone, PartialEq, Message)]
pub struct Container {
    /// The container's ID.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The ID of its pod's sandbox.
    #[prost(bytes = "vec", tag = "2")]
    pub sandbox: Vec<u8>,
    /// Its name in the pod.
    #[prost(bytes = "vec", tag = "3")]
    pub name: Vec<u8>,
    /// A number of `ContainerState`.
    #[prost(int32, tag = "4")]
    pub state: i32,
    /// Arguments of its first process.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub args: Vec<Vec<u8>>,
    /// Environment of its first process.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub env: Vec<Vec<u8>>,
    /// Its mounts.
    #[prost(message, repeated, tag = "9")]
    pub mounts: Vec<Mount>,
}

/// `Mount`.
#[derive(Clone, PartialEq, Message)]
pub struct Mount {
    /// The mount point in the container.
    #[prost(bytes = "vec", tag = "1")]
    pub destination: Vec<u8>,
    /// The type.
    #[prost(bytes = "vec", tag = "2")]
    pub kind: Vec<u8>,
    /// The host's path.
    #[prost(bytes = "vec", tag = "3")]
    pub source: Vec<u8>,
    /// Mount options.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub options: Vec<Vec<u8>>,
}

/// Result of `CreateContainer`.
#[derive(Clone, PartialEq, Message)]
pub struct CreateContainerResponse {
    /// Changes to the new container.
    #[prost(message, optional, tag = "1")]
    pub adjust: Option<ContainerAdjustment>,
}

/// Changes to a container.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerAdjustment {
    /// Additional mounts.
    #[prost(message, repeated, tag = "3")]
    pub mounts: Vec<Mount>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(many: &[Vec<u8>]) -> Vec<String> {
    many.iter().map(|bytes| text(bytes)).collect()
}

impl ContainerRequest {
    /// The container and its pod in csihost's own words.
    pub fn into_container(self) -> NewContainer {
        let (pod, container) = (self.pod.unwrap_or_default(), self.container.unwrap_or_default());
        NewContainer {
            id: text(&container.id),
            pod: text(&pod.uid),
            namespace: text(&pod.namespace),
            name: format!("{}/{}", text(&pod.name), text(&container.name)),
            args: texts(&container.args),
            env: texts(&container.env),
            mounts: container
                .mounts
                .iter()
                .map(|mount| ContainerMount {
                    destination: text(&mount.destination),
                    kind: text(&mount.kind),
                    source: text(&mount.source),
                    options: texts(&mount.options),
                })
                .collect(),
        }
    }

    /// The message for a container.
    pub fn of(container: &NewContainer) -> Self {
        let (pod, name) = container.name.split_once('/').unwrap_or(("", container.name.as_str()));
        Self {
            pod: Some(Pod {
                id: Vec::new(),
                name: pod.as_bytes().to_vec(),
                uid: container.pod.as_bytes().to_vec(),
                namespace: container.namespace.as_bytes().to_vec(),
            }),
            container: Some(Container {
                id: container.id.as_bytes().to_vec(),
                sandbox: Vec::new(),
                state: 0,
                name: name.as_bytes().to_vec(),
                args: container.args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
                env: container.env.iter().map(|one| one.as_bytes().to_vec()).collect(),
                mounts: container.mounts.iter().map(Mount::from).collect(),
            }),
        }
    }
}

impl From<&ContainerMount> for Mount {
    fn from(mount: &ContainerMount) -> Self {
        Self {
            destination: mount.destination.as_bytes().to_vec(),
            kind: mount.kind.as_bytes().to_vec(),
            source: mount.source.as_bytes().to_vec(),
            options: mount.options.iter().map(|option| option.as_bytes().to_vec()).collect(),
        }
    }
}
