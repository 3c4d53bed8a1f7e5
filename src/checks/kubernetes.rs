//! Pure: what the kubelet's version, and its FlexVolume directory, mean for volumes.

use super::kernel::Version;
use crate::detect::flexvolume::{self, EARLY_SOCKETS};
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
use crate::model::path::HostPath;
use crate::settings::Settings;

/// CSI came with 1.9 and is on by default since 1.10; FlexVolume drivers are found without a
/// restart since 1.8.
const CSI: Version = Version(1, 10);
const FLEXVOLUME: Version = Version(1, 8);
/// The last in which the kubelet looks for sockets of CSI drivers at one place, whatever its root is.
const FIXED_SOCKETS: Version = Version(1, 12);

pub(super) fn version(facts: &Facts, settings: &Settings) -> Finding {
    const ID: &str = "kubernetes-version";
    let skip = |why: &str| Finding::new(ID, CheckStatus::Skip, why);
    let Some(kubelet) = &facts.detection.kubelet else { return skip("no kubelet is known") };
    let Some(told) = kubelet.version.as_deref() else {
        return skip(match kubelet.pid {
            Some(_) => "the kubelet's program does not tell",
            None => "no kubelet runs",
        });
    };
    // What was built without its version says v0.0.0-master (component-base/version/base.go).
    let parsed = told.strip_prefix('v').and_then(Version::parse).filter(|version| version.0 > 0);
    let Some(version) = parsed else {
        return Finding::new(ID, CheckStatus::Skip, format!("{told} is no version of Kubernetes"));
    };
    let old = |wanted: Version, what: &str| {
        Finding::new(ID, CheckStatus::Fail, format!("{told} is older than {wanted}"))
            .detail(format!("{what} need Kubernetes {wanted} or later"))
            .remedy(format!("upgrade Kubernetes to {wanted} or later"))
    };
    match () {
        () if version < FLEXVOLUME => old(FLEXVOLUME, "FlexVolume drivers, and CSI drivers all the more,"),
        () if version < CSI && !settings.features.flexvolume => old(CSI, "CSI drivers"),
        () if version < CSI => Finding::new(ID, CheckStatus::Warn, format!("{told}: FlexVolume alone"))
            .detail(format!("CSI drivers need Kubernetes {CSI} or later"))
            .remedy(format!("use FlexVolume, or upgrade Kubernetes to {CSI} or later")),
        () if version <= FIXED_SOCKETS => sockets(facts, kubelet, told)
            .unwrap_or_else(|| Finding::new(ID, CheckStatus::Pass, told.to_owned())),
        () => Finding::new(ID, CheckStatus::Pass, told.to_owned()),
    }
}

/// Kubernetes 1.10 to 1.12 look for the sockets of CSI drivers at a constant path. A kubelet in a
/// container finds there what its container has, which need not be what the host has.
fn sockets(facts: &Facts, kubelet: &Kubelet, told: &str) -> Option<Finding> {
    let constant = HostPath::from(EARLY_SOCKETS);
    let there = facts.detection.on_host.get(&constant)?;
    if there.as_ref() == Some(&constant) {
        return None;
    }
    let source = match kubelet.root_dir == KubeletRoot::standard() {
        true => constant.clone(),
        false => kubelet.host_dir.as_ref()?.join("plugins"),
    };
    let bind = format!("{source}:{EARLY_SOCKETS}");
    let remedy = match kubelet.distribution {
        Distribution::Rke => {
            format!("add \"{bind}\" to services.kubelet.extra_binds in cluster.yml, and run rke up")
        }
        _ => format!("bind {bind} into the kubelet's container"),
    };
    Some(
        Finding::new(
            "kubernetes-version",
            CheckStatus::Fail,
            format!(
                "{told} looks for CSI drivers in {EARLY_SOCKETS}, which its container has not from the host"
            ),
        )
        .detail("up to 1.12 the path of a driver's socket is a constant in the kubelet, whatever its root is")
        .remedy(remedy),
    )
}

pub(super) fn flexvolume_dir(facts: &Facts, settings: &Settings) -> Option<Finding> {
    const ID: &str = "flexvolume-dir";
    if !settings.features.flexvolume {
        return None;
    }
    let skip = |why: &str| Some(Finding::new(ID, CheckStatus::Skip, why));
    let Some(kubelet) = &facts.detection.kubelet else { return skip("no kubelet is known") };
    let Some(directory) = flexvolume::directory(kubelet) else {
        return skip("an embedded kubelet does not show which it uses; its configuration names none");
    };
    if kubelet.pid.is_none() {
        return skip("no kubelet runs");
    }
    let bind = format!("bind {directory}:{directory} into the kubelet's container");
    let remedy = match kubelet.distribution {
        Distribution::Rke => format!(
            "add \"{directory}:{directory}\" to services.kubelet.extra_binds in cluster.yml, and run rke up"
        ),
        _ => bind,
    };
    let why = "a driver is installed on the host, and the kubelet looks for it in its container";
    Some(match facts.detection.on_host.get(&directory) {
        Some(Some(there)) if *there == directory => {
            Finding::new(ID, CheckStatus::Pass, format!("{directory}, on the host and for the kubelet"))
        }
        Some(Some(there)) => {
            Finding::new(ID, CheckStatus::Fail, format!("{directory} of the kubelet is {there} of the host"))
                .detail(why)
                .remedy(remedy)
        }
        Some(None) => {
            Finding::new(ID, CheckStatus::Fail, format!("{directory} is in the kubelet's container alone"))
                .detail(why)
                .remedy(remedy)
        }
        None => return skip("what the kubelet sees is not known"),
    })
}
