//! Pure: RKE1, whose kubelet is a container that docker starts again: what is known of it on disk is
//! what docker keeps.
//!
//! Set up where RKE left a node's credentials, below / or below one of its prefixes, and docker has a
//! container called `kubelet`; without that nothing is known.

use super::{Found, Given, Text, text};
use crate::detect::arguments::flag;
use crate::model::bytes::shown;
use crate::model::file::FileFact;
use crate::model::kubelet::{Distribution, KubeletRoot, Source};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use serde::Deserialize;

/// `prefix_path` of RKE: none, and those that it takes by itself (rke, hosts/hosts.go).
const PREFIXES: [&str; 3] = ["/", "/opt/rke", "/mnt/sda1/rke"];
const CREDENTIALS: &str = "etc/kubernetes/ssl/kubecfg-kube-node.yaml";
/// The kubelet's container, as docker writes its name.
const NAME: &[u8] = b"\"/kubelet\"";
/// As many containers are looked at.
const MOST: usize = 2000;

/// What docker keeps of a container (moby, container/container.go).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Vec<String>,
}

pub(super) fn declare(found: &mut Found<'_>) {
    let there = |prefix: &&str| {
        found.files.file(&HostPath::root().join(prefix).join(CREDENTIALS)) != FileFact::Absent
    };
    if !PREFIXES.iter().any(there) {
        return;
    }
    let directory = data_root(found).join("containers");
    for name in found.files.list(&directory).into_iter().take(MOST) {
        let path = directory.join(&name).join("config.v2.json");
        let Text::Read(text) = text(found.files, &path) else { continue };
        // Most are other containers: their text need not be understood.
        if !text.windows(NAME.len()).any(|part| part == NAME) {
            continue;
        }
        match serde_json::from_slice::<Container>(&text) {
            Ok(container) if container.name == "/kubelet" => {
                return declare_container(found, &path, container);
            }
            Ok(_) => {}
            Err(error) => {
                found.unread(
                    path,
                    Some(error.line()),
                    format!("expected a container as docker keeps it: {error}"),
                );
            }
        }
    }
}

fn declare_container(found: &mut Found<'_>, path: &HostPath, container: Container) {
    let args: Vec<Vec<u8>> = container.args.into_iter().map(String::into_bytes).collect();
    let root = flag(&args, "root-dir").map(|value| Given {
        value: value.to_vec(),
        source: Source::ConfigFile,
        path: path.to_string(),
        line: None,
    });
    let plugins = flag(&args, "volume-plugin-dir").map(<[u8]>::to_vec);
    let unit = Some(UnitName::from("docker.service"));
    found.declare(Distribution::Rke, unit, root, KubeletRoot::standard(), plugins);
}

/// Where docker keeps its data: `data-root` of its configuration, once called `graph`.
fn data_root(found: &mut Found<'_>) -> HostPath {
    let (path, usual) = (HostPath::from("/etc/docker/daemon.json"), HostPath::from("/var/lib/docker"));
    let Text::Read(text) = text(found.files, &path) else { return usual };
    if text.trim_ascii().is_empty() {
        return usual;
    }
    match serde_json::from_slice::<serde_json::Value>(&text) {
        Ok(value) => {
            let root = value.get("data-root").or_else(|| value.get("graph")).and_then(|root| root.as_str());
            root.and_then(|root| HostPath::parse(root.as_bytes()).ok()).unwrap_or(usual)
        }
        Err(error) => {
            found.unread(path, Some(error.line()), shown(format!("expected JSON: {error}").as_bytes()));
            usual
        }
    }
}
