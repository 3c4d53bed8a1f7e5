//! Pure: what is in the directories that a bridge would cover.
//!
//! hostPath volumes of type DirectoryOrCreate make a tree wherever a CSI driver is told that the
//! kubelet's root is. Such a false tree has directories, sockets of plugins, and, worst, data of
//! volumes that never reached the kubelet; no kubelet keeps its state there. Whoever meets csihost
//! has a driver installed already, so directories and sockets are the usual case: they are covered, and
//! the driver's pods have to be started anew. Everything else is refused.

use crate::model::bytes::shown;
use crate::model::facts::{Facts, Mode};
use crate::model::file::{DirFact, FileFact, Survey};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::registration::reached_by;
use crate::mounts::resolve::{place, same_directory};

/// What only a kubelet writes into its root, as a directory and as files.
pub const STATE_DIRECTORY: &str = "pod-resources";
/// See [`STATE_DIRECTORY`].
pub const STATE_FILES: [&str; 4] =
    ["cpu_manager_state", "memory_manager_state", "dra_manager_state", "allocated_pods_state"];

/// Refuses where another kubelet keeps its state in `standard`: its pods are there, too.
pub fn other_kubelet(facts: &Facts, standard: &HostPath, root: &HostPath) -> Option<Refusal> {
    let at = |base: &HostPath| facts.dirs.get(&base.join(STATE_DIRECTORY));
    // Before Kubernetes 1.15 it was below the standard path, whatever the root was.
    let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    let old = runs && matches!(at(root), Some(DirFact::Absent { .. }));
    // An empty directory is left by a mount point. Offline, where sockets are not captured, it counts.
    let filled = |entries: &[Vec<u8>]| facts.mode == Mode::Offline || !entries.is_empty();
    // The bridge of an earlier alignment shows this kubelet's own.
    let own = || {
        let there = |base: &HostPath| place(&facts.mounts, base.join(STATE_DIRECTORY).as_bytes());
        there(standard).zip(there(root)).is_some_and(|(one, other)| same_directory(&one, &other))
    };
    let directory = match at(standard) {
        Some(DirFact::Directory { entries, .. }) if !old && filled(entries) && !own() => {
            Some(STATE_DIRECTORY)
        }
        _ => None,
    };
    let there = |name: &&&str| !matches!(facts.file(&standard.join(name)), FileFact::Absent);
    let found: Vec<&str> = directory.into_iter().chain(STATE_FILES.iter().filter(there).copied()).collect();
    if found.is_empty() {
        return None;
    }
    Some(Refusal {
        id: "bridge-other-kubelet",
        target: standard.to_string(),
        reason: format!("it is the root of another kubelet: {} is there", found.join(", ")),
        remedy: format!(
            "csihost detect shows which kubelet runs; if none uses {standard} any more, look for data in \
             {standard}/pods and move {} out of it, then run csihost apply",
            found.join(" and ")
        ),
    })
}

/// The directories of a kubelet in which it meets drivers. A socket there is a driver's, and its driver makes it anew
/// when it starts.
const MEETING: [&[u8]; 2] = [b"plugins", b"plugins_registry"];

/// The kubelet's own socket, in `device-plugins` and `pod-resources`.
const KUBELETS_SOCKET: &[u8] = b"kubelet.sock";

/// Refuses to hide what is in `path`, the directory `name` of the standard path. Directories in which nothing is may be
/// hidden, and so may the sockets of drivers, which are given: the kubelet never saw any of them.
pub(super) fn no_data(
    facts: &Facts,
    path: &HostPath,
    what: &HostPath,
    name: &str,
) -> Result<Vec<HostPath>, Refusal> {
    let Some(DirFact::Directory { entries, .. }) = facts.dirs.get(path) else { return Ok(Vec::new()) };
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let below = facts.mounts.below(path.as_bytes()).count();
    let refusal = |id, reason, remedy| Err(Refusal { id, target: path.to_string(), reason, remedy });
    if below > 0 {
        return refusal(
            "bridge-hides-mounts",
            format!("{below} mounts are below it, which a mount would hide"),
            format!("drain the node and unmount what is below {path}, then run csihost apply"),
        );
    }
    let unknown =
        Survey { others: entries.iter().map(|name| path.join(name)).collect(), ..Survey::default() };
    let survey = facts.surveys.get(path).unwrap_or(&unknown);
    if !survey.volumes.is_empty() {
        return refusal(
            "bridge-hides-volumes",
            format!(
                "what should be mount points of volumes are plain directories with data, on the node's own \
                 disk: {}",
                few(&survey.volumes)
            ),
            format!(
                "copy what is needed to where it belongs: these are all such directories: \
                 find {path} -path '*/volumes/kubernetes.io~csi/*/mount' -prune -not -empty; \
                 then move them away and run csihost apply"
            ),
        );
    }
    let meeting = name.split('/').next().is_some_and(|first| MEETING.contains(&first.as_bytes()));
    let is_drivers = |socket: &HostPath| meeting && socket.file_name() != KUBELETS_SOCKET;
    let foreign = survey.sockets.iter().filter(|socket| !is_drivers(socket));
    let all: Vec<HostPath> = survey.others.iter().chain(foreign).cloned().collect();
    if survey.complete && all.is_empty() {
        // As the registrar's argument names it: without links the standard path may have another name.
        let written =
            |socket: &HostPath| Some(HostPath::from(STANDARD_PATH).join(name).join(socket.below(path)?));
        let used = survey.sockets.iter().find_map(|socket| {
            let plugin = reached_by(&facts.plugins, &facts.mounts, &written(socket)?)?;
            Some((socket, plugin.driver.as_deref().map_or_else(|| "its driver".to_owned(), shown)))
        });
        return match used {
            None => Ok(survey.sockets.clone()),
            Some((socket, driver)) => refusal(
                "bridge-hides-driver",
                format!("the kubelet reaches {driver} by {socket}, which a mount would hide"),
                format!(
                    "set the kubelet's root {} in {driver} also for --kubelet-registration-path, or drain the node and \
                     remove {driver} from it; then run csihost apply",
                    what.parent().unwrap_or_else(HostPath::root)
                ),
            ),
        };
    }
    let holds = match all.as_slice() {
        [] => "more than csihost looks through".to_owned(),
        all => few(all),
    };
    refusal(
        "bridge-hides-data",
        format!("it holds {holds}, which a mount would hide"),
        format!(
            "look whether it is needed (a tree that a driver's hostPath made is not); move it away or into {what}, \
             then run csihost apply"
        ),
    )
}

/// The first of them.
pub fn few(paths: &[HostPath]) -> String {
    let mut names: Vec<String> = paths.iter().take(3).map(|path| shown(path.as_bytes())).collect();
    if paths.len() > 3 {
        names.push("…".to_owned());
    }
    names.join(", ")
}
