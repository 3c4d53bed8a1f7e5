//! Checks: symbolic links in the place of the kubelet's directories.

use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::mounts::links::{links, repair};

const ID: &str = "kubelet-links";

/// Nothing where there is no link out of the root, or each plugin that runs does without.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let links = links(facts);
    let works = !facts.contracts.is_empty() && facts.contracts.iter().all(|contract| contract.holds);
    if links.is_empty() || works {
        return None;
    }
    let told: Vec<String> = links.iter().map(|link| format!("{} to {}", link.path, link.target)).collect();
    let in_namespace = facts.plugins.kubelet.as_ref().is_some_and(|kubelet| kubelet.mounts.is_some());
    Some(
        Finding::new(ID, CheckStatus::Warn, format!("a link out of the kubelet's root: {}", told.join(", ")))
            .detail(
                "a plugin's container that gets the kubelet's root follows the link in its own file system: what \
                 it mounts there does not reach the kubelet",
            )
            .remedy(match in_namespace {
                true => "put a bind mount (rshared) in the place of the link in the kubelet's mount namespace"
                    .to_owned(),
                false => format!(
                    "put a bind mount in the place of the link: with the node drained run {}; then restart the \
                     pods of CSI plugins",
                    repair(&links, facts.detection.unit.as_ref())
                ),
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Link, Publisher};
    use crate::model::facts::{Init, Mode};
    use crate::model::file::DirFact;
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::model::path::HostPath;

    #[test]
    fn a_link_out_of_the_root_is_told_whether_or_not_a_kubelet_runs() {
        let pods = HostPath::from("/var/lib/kubelet/pods");
        let target = HostPath::from("/mnt/scratch/pods");
        let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::standard());
        let mut facts = Facts {
            detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
            ..Facts::new(Mode::Live, Init::Systemd)
        };
        assert_eq!(check(&facts), None);
        let canonical = target.clone();
        facts.dirs.insert(pods.clone(), DirFact::Directory { canonical, entries: Vec::new() });
        let stopped = check(&facts).unwrap();
        assert_eq!(
            stopped.summary,
            "a link out of the kubelet's root: /var/lib/kubelet/pods to /mnt/scratch/pods"
        );
        let links = vec![Link { path: pods, target }];
        facts.plugins.kubelet = Some(Publisher { links, ..Publisher::unseen(KubeletRoot::standard()) });
        assert_eq!(check(&facts), Some(stopped));
        facts.plugins.kubelet = Some(Publisher::unseen(KubeletRoot::standard()));
        assert_eq!(check(&facts), None, "what the running kubelet sees counts");
    }
}
