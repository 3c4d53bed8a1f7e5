//! Pure: what the known wrong cures are, what they do, and the repair in its order.

use crate::model::facts::Facts;
use crate::model::file::Survey;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::mounts::bridge::few;
use crate::mounts::fstab::FSTAB;
use crate::mounts::legacy::{Legacy, believed_in, find, is_used};

pub(super) fn check(facts: &Facts, directories: &[&str], repair: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let legacy = find(facts, directories);
    if let Some(legacy) = &legacy {
        findings.push(binds(facts, legacy, repair));
    }
    let bound = |tree: &HostPath| legacy.iter().flat_map(|l| &l.binds).any(|bind| bind.tree == *tree);
    for (from, tree) in believed_in(facts).into_iter().filter(|(_, tree)| !bound(tree)) {
        findings.push(believed(facts, &from, &tree));
    }
    findings
}

fn binds(facts: &Facts, legacy: &Legacy, repair: bool) -> Finding {
    let root = &legacy.root;
    let mut trees: Vec<&HostPath> = legacy.binds.iter().map(|bind| &bind.tree).collect();
    trees.dedup();
    let tree = trees.iter().map(|tree| tree.to_string()).collect::<Vec<_>>().join(" and ");
    let names = legacy.binds.iter().filter_map(|bind| bind.place.below(root));
    let names: Vec<String> = names.map(crate::model::bytes::shown).collect();
    let summary =
        format!("{} of {tree} cover the kubelet's own below {root} ({})", names.join(", "), whence(legacy));
    if !legacy.known {
        return Finding::new("legacy-bind", CheckStatus::Warn, summary)
            .detail(
                "to move a kubelet's storage this works only if it is mounted before the kubelet and every plugin \
                 start; a file system mounted on the root itself has no such order to keep",
            )
            .remedy(format!("if {tree} was meant to be a kubelet's root: none uses it, see csihost detect"));
    }
    let mut detail = format!(
        "the kubelet's root is {root}, and no kubelet uses {tree}. The cause is a driver that is told {tree}: it mounts \
         volumes below that path in its own container, where they stay. The binds only turn its early \"driver not \
         registered\" into \"lstat …/mount: no such file or directory\" at every mount"
    );
    detail.push_str(&data(facts, &all_trees(legacy)));
    let mut steps = vec![
        format!("unset the driver's setting that says {tree}, so that its pods are made anew"),
        "drain the node".to_owned(),
        "stop what runs the kubelet (k3s, k3s-agent, kubelet)".to_owned(),
    ];
    let mut mounted: Vec<&HostPath> =
        legacy.binds.iter().filter(|bind| bind.mounted.is_some()).map(|bind| &bind.place).collect();
    mounted.sort_by_key(|place| std::cmp::Reverse(place.as_bytes().len()));
    if !mounted.is_empty() {
        let mounted: Vec<String> = mounted.iter().map(|place| place.to_string()).collect();
        steps.push(format!(
            "unmount what is below them, deepest first, and then: umount {}",
            mounted.join(" ")
        ));
    }
    let sources = permanent(legacy);
    if !sources.is_empty() {
        steps.push(format!("remove {}", sources.join(", ")));
    }
    steps.push("start it again".to_owned());
    steps.push(format!(
        "look for data that landed on the node's disk: find {} -path '*/volumes/kubernetes.io~csi/*/mount' -prune -not -empty",
        all_trees(legacy).iter().map(|tree| format!("{tree}/pods")).collect::<Vec<_>>().join(" ")
    ));
    let used = legacy.binds.iter().any(|bind| is_used(facts, &bind.tree));
    steps.push(match used {
        true => format!("leave {tree}: a kubelet's state is in it"),
        false => format!("delete {tree} only when nothing is mounted below it (findmnt -R {tree})"),
    });
    let mut remedy: Vec<String> =
        (1..).zip(steps).map(|(number, step)| format!("({number}) {step}")).collect();
    remedy.push(format!("not k3s-killall.sh: it removes everything below {root}/pods and {root}/plugins"));
    remedy.push(match (repair, sources.is_empty()) {
        (_, true) => {
            format!("the mounts were made by hand, and are gone at the next reboot; {}", setting(repair))
        }
        (false, _) => setting(false),
        (true, _) => {
            "csihost apply takes lines and units away, and unmounts where no kubelet runs and nothing is \
                      mounted below; the rest goes at the next reboot"
                .to_owned()
        }
    });
    Finding::new("legacy-bind", CheckStatus::Fail, summary).detail(detail).remedy(remedy.join("; "))
}

fn setting(repair: bool) -> String {
    match repair {
        true => "csihost apply unmounts them where no kubelet runs and nothing is mounted below".to_owned(),
        false => "with bridge.repair-legacy = true csihost apply takes lines and units away, and unmounts where no \
                  kubelet runs and nothing is mounted below"
            .to_owned(),
    }
}

/// What makes the mounts at every boot.
fn permanent(legacy: &Legacy) -> Vec<String> {
    let lines = legacy.binds.iter().filter_map(|bind| bind.line);
    let units = legacy.binds.iter().filter_map(|bind| bind.unit.as_ref());
    lines
        .map(|line| format!("line {line} of {FSTAB}"))
        .chain(units.map(|(_, path)| path.to_string()))
        .collect()
}

fn whence(legacy: &Legacy) -> String {
    let sources = permanent(legacy);
    if sources.is_empty() { "mounted by hand".to_owned() } else { sources.join(", ") }
}

fn all_trees(legacy: &Legacy) -> Vec<HostPath> {
    let mut trees: Vec<HostPath> = legacy.binds.iter().map(|bind| bind.tree.clone()).collect();
    trees.push(legacy.root.clone());
    trees.sort();
    trees.dedup();
    trees
}

/// Where data of volumes lies that never reached one.
fn data(facts: &Facts, trees: &[HostPath]) -> String {
    let surveys: Vec<&Survey> =
        trees.iter().filter_map(|tree| facts.surveys.get(&tree.join("pods"))).collect();
    // A volume that is mounted as it should be is no plain directory; other file systems are not
    // entered, but a bind mount of the same one is.
    let plain = |path: &&HostPath| crate::mounts::resolve::top_at(&facts.mounts, path.as_bytes()).is_none();
    let volumes: Vec<HostPath> =
        surveys.iter().flat_map(|survey| survey.volumes.iter().filter(plain)).cloned().collect();
    let more =
        if surveys.iter().all(|survey| survey.complete) { "" } else { " (not all could be looked at)" };
    let number = match volumes.len() {
        0 => return String::new(),
        1 => "1 volume".to_owned(),
        number => format!("{number} volumes"),
    };
    format!(". Data of {number} landed on the node's disk{more}: {}", few(&volumes))
}

fn believed(facts: &Facts, from: &str, tree: &HostPath) -> Finding {
    let root = facts.detection.host_dir().map(ToString::to_string).unwrap_or_default();
    Finding::new("legacy-root", CheckStatus::Warn, format!("{from} takes {tree} for the kubelet's root"))
        .detail(format!(
            "the kubelet uses {root}: since v0.10.0 k3s has it at /var/lib/kubelet whatever its data-dir is{}",
            data(facts, std::slice::from_ref(tree))
        ))
        .remedy(format!(
            "take {tree} out of it (a driver's setting: unset it); to move a kubelet's storage, mount a file system \
             on {root} before the kubelet starts"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::file::{Attributes, File, FileFact};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::mounts::mountinfo;

    const NAMES: [&str; 3] = ["pods", "plugins", "plugins_registry"];
    const OLD: &str = "/var/lib/rancher/k3s/agent/kubelet";

    fn path(text: &str) -> HostPath {
        HostPath::parse(text.as_bytes()).unwrap()
    }

    fn k3s(tree: &str, mounts: &str, table: &str) -> Facts {
        let kubelet = Kubelet::running(Distribution::K3s, KubeletRoot::standard());
        let rows: String = NAMES
            .iter()
            .zip(2..)
            .filter(|(name, _)| mounts.contains(**name))
            .map(|(name, id)| {
                format!("{id} 1 8:1 {tree}/{name} /var/lib/kubelet/{name} rw shared:1 - ext4 x rw\n")
            })
            .collect();
        let mut facts = Facts {
            detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
            mounts: mountinfo::parse(format!("1 0 8:1 / / rw shared:1 - ext4 x rw\n{rows}").as_bytes())
                .unwrap(),
            ..Facts::new(Mode::Live, Init::Systemd)
        };
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let file = File { bytes: table.into(), attributes, canonical: path(FSTAB) };
        facts.files.insert(path(FSTAB), FileFact::File(file));
        facts
    }

    #[test]
    fn the_wrong_cure_is_told_with_the_data_that_it_cost_and_the_repair_in_order() {
        let table = format!("{OLD}/pods /var/lib/kubelet/pods none bind\n");
        let mut facts = k3s(OLD, "pods plugins", &table);
        let volume = path(OLD).join("pods/0b8d/volumes/kubernetes.io~csi/pvc-1/mount");
        let survey = Survey { volumes: vec![volume], complete: true, ..Survey::default() };
        facts.surveys.insert(path(OLD).join("pods"), survey);
        let [finding] = check(&facts, &NAMES, false).try_into().unwrap();
        assert_eq!((finding.id.as_str(), finding.status), ("legacy-bind", CheckStatus::Fail));
        assert!(finding.summary.contains("line 1 of /etc/fstab"), "{}", finding.summary);
        assert!(finding.detail.contains("Data of 1 volume landed") && finding.detail.contains("pvc-1"));
        let order = [
            "unset the driver's setting",
            "drain",
            "stop what runs the kubelet",
            "umount /var/lib/kubelet/plugins /var/lib/kubelet/pods",
            "remove line 1 of /etc/fstab",
            "start it again",
            "look for data",
            "only when nothing is mounted below",
            "not k3s-killall.sh",
            "bridge.repair-legacy = true",
        ];
        let at: Vec<_> = order.iter().map(|text| finding.remedy.find(text)).collect();
        assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{at:?} in {}", finding.remedy);
    }

    #[test]
    fn a_tree_with_a_kubelets_state_is_not_to_be_deleted() {
        let mut facts = k3s(OLD, "pods", "");
        let canonical = path(OLD).join("pod-resources");
        facts.dirs.insert(
            canonical.clone(),
            crate::model::file::DirFact::Directory { canonical, entries: Vec::new() },
        );
        let finding = check(&facts, &NAMES, true).remove(0);
        assert!(!finding.remedy.contains("delete"), "{}", finding.remedy);
    }

    #[test]
    fn moved_storage_warns_and_a_believed_root_too() {
        let moved = check(&k3s("/data/kubelet", "pods", ""), &NAMES, false);
        assert_eq!((moved.len(), moved[0].status), (1, CheckStatus::Warn));
        let believed = check(&k3s(OLD, "", &format!("/dev/sdb {OLD} ext4\n")), &NAMES, false);
        assert_eq!((believed.len(), believed[0].id.as_str()), (1, "legacy-root"));
        assert_eq!(check(&k3s(OLD, "", ""), &NAMES, false), []);
    }
}
