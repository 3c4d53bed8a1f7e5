//! Pure: where the kubelet's root is not made the standard path, and what a person does instead.

use super::start::Start;
use crate::model::align::Alignment;
use crate::model::facts::{Facts, Init};
use crate::model::file::DirFact;
use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::plan::{Plan, Refusal};
use crate::mounts::bridge::{Bridge, Decision, STANDARD_PATH, STATE_DIRECTORY, Same, few, other_kubelet};
use crate::plan::direct;
use crate::profile::Needs;
use crate::settings::Settings;

pub(super) fn refusal(id: &'static str, target: &str, reason: String, remedy: String) -> Refusal {
    Refusal { id, target: target.to_owned(), reason, remedy }
}

/// csihost's setting is in its place, and something else counts.
pub(super) fn overruled(start: &Start<'_>, path: &HostPath) -> Refusal {
    let root = &start.declaration.root;
    refusal(
        "align-overruled",
        &path.to_string(),
        format!(
            "it says {STANDARD_PATH}, and the kubelet's next start would have {root} as its root all the same"
        ),
        format!(
            "csihost detect shows what says {root}: remove it there, see that systemd has read its units \
             (systemctl daemon-reload), then run csihost apply"
        ),
    )
}

/// Nothing tells how the kubelet is started.
pub(super) fn unknown(facts: &Facts, kubelet: &Kubelet) -> Refusal {
    let undecided = facts.next_start.as_ref().and_then(|next| next.undecided.clone());
    let reason = undecided.unwrap_or_else(|| "nothing on this host says how it will be started".to_owned());
    refusal(
        "align-unknown-start",
        &kubelet.root_dir.to_string(),
        reason,
        format!("give the kubelet --root-dir={STANDARD_PATH} where it is started, then run csihost apply"),
    )
}

/// Vendors who set the root by their own means: whose it is, where, and how.
const VENDORS: [(&str, &str); 3] = [
    (
        "/var/data/kubelet",
        "IBM Cloud sets it, and makes each node anew from its own image: tell the driver the root instead \
         (Longhorn: csi.kubeletRootDir=/var/data/kubelet)",
    ),
    (
        "/var/vcap/data/kubelet",
        "BOSH sets it: give the kubelet's job in the release's manifest root-dir: /var/lib/kubelet (k8s-args), and \
         deploy; or tell the driver the root (Longhorn: csi.kubeletRootDir=/var/vcap/data/kubelet)",
    ),
    (
        "/var/nutanix/var/lib/kubelet",
        "Karbon sets it, and has no setting for it: tell the driver the root (Longhorn: \
         csi.kubeletRootDir=/var/nutanix/var/lib/kubelet)",
    ),
];

/// What is known before anything else is looked at.
pub(super) fn before(
    facts: &Facts,
    settings: &Settings,
    needs: &Needs,
    kubelet: &Kubelet,
    at_standard: bool,
) -> Vec<Refusal> {
    if at_standard {
        return Vec::new();
    }
    let root = kubelet.root_dir.to_string();
    let mut refused = Vec::new();
    let mut refuse =
        |id, reason: &str, remedy: String| refused.push(refusal(id, &root, reason.to_owned(), remedy));
    if settings.root_dir.as_ref().is_some_and(|given| *given != KubeletRoot::standard()) {
        refuse(
            "align-root-given",
            "kubelet.root-dir in the settings says so, and would say so after the kubelet's next start, too",
            "remove kubelet.root-dir from /etc/csihost, then run csihost apply".to_owned(),
        );
    }
    if !settings.bridge.enabled {
        refuse(
            "align-needs-bridge",
            "bridge.enabled is off: the kubelet's data would not be found below the standard path",
            "set bridge.enabled = true, then run csihost apply".to_owned(),
        );
    }
    if matches!(facts.init, Init::Other(_)) || direct::on(facts, needs).is_some() {
        refuse(
            "align-no-systemd",
            "without systemd nothing sees to it that the bridge is there before the kubelet starts",
            format!(
                "start the kubelet with {STANDARD_PATH} as its root by hand, with its directories bound there before"
            ),
        );
    }
    if facts.units_read_only {
        refuse(
            "align-read-only",
            "/etc is read-only: at the next boot the kubelet would start before its data are found",
            "make /etc writable, or put csihost's files into the image (csihost apply --root)".to_owned(),
        );
    }
    if let Some((_, remedy)) = VENDORS.iter().find(|(path, _)| root == *path) {
        refuse("align-vendor", "a vendor's own tools set it, and would set it again", (*remedy).to_owned());
    }
    match kubelet.distribution {
        Distribution::Rke => refuse(
            "align-container",
            "the kubelet runs in a container that RKE makes: a setting on this host is not read",
            rke(&root),
        ),
        Distribution::Openshift => refuse(
            "align-vendor",
            "the machine-config-operator writes the kubelet's unit",
            "give the pool a MachineConfig with a drop-in for kubelet.service that has --root-dir=/var/lib/kubelet"
                .to_owned(),
        ),
        Distribution::Microshift => refuse(
            "align-vendor",
            "MicroShift has no setting for the root of its kubelet",
            format!("tell the driver the root: {root}"),
        ),
        _ => {}
    }
    if facts.align.is_none() {
        refused.extend(true_tree(facts, kubelet));
    }
    refused
}

/// The lines of cluster.yml, for all nodes of the cluster.
fn rke(root: &str) -> String {
    format!(
        "in cluster.yml: services: {{ kubelet: {{ extra_args: {{ root-dir: {STANDARD_PATH} }}, extra_binds: \
         [\"{root}/pods:{STANDARD_PATH}/pods:rshared\", \"{root}/plugins:{STANDARD_PATH}/plugins:rshared\", \
         \"{root}/plugins_registry:{STANDARD_PATH}/plugins_registry:rshared\"] }} }}; then drain the node, copy \
         {root}/*_state to {STANDARD_PATH}, and run rke up"
    )
}

/// Another kubelet's state where this one's is to be.
fn true_tree(facts: &Facts, kubelet: &Kubelet) -> Option<Refusal> {
    let root = kubelet.host_dir.as_ref()?;
    if facts.canonical(root).as_bytes() == STANDARD_PATH.as_bytes() {
        return None;
    }
    let found = other_kubelet(facts, &HostPath::from(STANDARD_PATH), root)?;
    // Copied while a kubelet was started that did not get so far as to use it.
    let used = matches!(
        facts.dirs.get(&HostPath::from(STANDARD_PATH).join(STATE_DIRECTORY)),
        Some(DirFact::Directory { .. })
    );
    let why = if used { "; it would be taken for this one's" } else { "" };
    Some(Refusal { id: "align-other-kubelet", reason: format!("{}{why}", found.reason), ..found })
}

/// Somebody else has mounted the whole root there, who may not do so before the kubelet's next start.
pub(super) fn same(decision: &Decision) -> Option<Refusal> {
    match decision {
        Decision::Same(Same::Whole { root, .. }) => Some(refusal(
            "align-whole-root",
            STANDARD_PATH,
            format!("the whole of {root} is mounted there"),
            format!(
                "drain the node, stop the kubelet, unmount {STANDARD_PATH} and remove what mounts {root} there, then \
                 run csihost apply"
            ),
        )),
        _ => None,
    }
}

/// What `tried`, a plan for the host as it would be, refuses beside what `plan` does.
pub(super) fn foreseen(tried: &Plan, plan: &Plan) -> Alignment {
    let new = tried.refused.iter().filter(|refusal| !plan.refused.contains(refusal));
    match new.cloned().collect::<Vec<_>>() {
        new if new.is_empty() => tried.alignment.clone().unwrap_or(Alignment::NoBridge),
        new => Alignment::Refused(new),
    }
}

/// A bridge that is complete only after a reboot.
pub(super) fn half(bridge: &Bridge) -> Option<Refusal> {
    let busy =
        |span: &&crate::mounts::bridge::Span| span.former.as_ref().is_some_and(|former| former.below > 0);
    let late: Vec<HostPath> = bridge.spans.iter().filter(busy).map(|span| span.place.clone()).collect();
    (!late.is_empty()).then(|| {
        refusal(
            "align-bridge-at-reboot",
            &few(&late),
            "volumes of pods still keep it on an earlier root".to_owned(),
            "drain the node and reboot it, then run csihost apply".to_owned(),
        )
    })
}
