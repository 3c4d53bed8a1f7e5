//! Pure: what a decision will want to know, so that nothing else is read.

use super::bridge::{drop_in, kubelet_units, unit_directories};
use super::retire::bridge_files;
use super::{align, directories, iscsi, modules, multipath, packages};
use crate::iscsi::initiator::image_copies;
use crate::model::align::AlignRecord;
use crate::model::asked::Interests;
use crate::model::demand::Demand;
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::kubelet::Detection;
use crate::model::path::HostPath;
use crate::model::receipt::BridgeRecord;
use crate::model::unit::{KUBELET_UNITS, UnitName};
use crate::mounts::bridge::{
    CONSTANT, Decision, STANDARD_PATH, STATE_DIRECTORY, STATE_FILES, aligned, decide, missing_before,
};
use crate::mounts::fstab::FSTAB;
use crate::mounts::legacy;
use crate::mounts::resolve::{place, same_directory, top_at};
use crate::profile::{Needs, Profile};
use crate::settings::Settings;

/// What can be named before anything but the kubelet is known.
pub fn early(
    detection: &Detection,
    bridge: Option<&BridgeRecord>,
    align: Option<&AlignRecord>,
    demand: &Demand,
    settings: &Settings,
    profile: &Profile,
) -> Interests {
    let mut interests = Interests::default();
    if settings.bridge.enabled {
        let standard = HostPath::from(STANDARD_PATH);
        interests.files.push(HostPath::from(FSTAB));
        if detection.host_dir() != Some(&standard) || align.is_some() {
            interests.dirs.extend(CONSTANT.iter().chain([&STATE_DIRECTORY]).map(|name| standard.join(name)));
            interests.files.extend(STATE_FILES.map(|name| standard.join(name)));
            interests.dirs.extend(detection.host_dir().map(|root| root.join(STATE_DIRECTORY)));
        }
        let names = [directories(settings), align::interesting(settings).to_vec()].concat();
        let roots = detection.host_dir().into_iter().chain(bridge.map(|bridge| &bridge.root));
        let roots = roots.chain(align.map(|align| &align.root));
        for base in std::iter::once(&standard).chain(roots) {
            interests.dirs.push(base.clone());
            for name in names.iter().copied() {
                // Those on the way too: what is missing is made as the kubelet makes it.
                interests
                    .dirs
                    .extend(name.match_indices('/').map(|(end, _)| base.join(name.split_at(end).0)));
                interests.dirs.push(base.join(name));
            }
        }
    }
    if let Some(Needs { iscsi, .. }) = profile.needs().filter(|_| demand.iscsi.is_needed()) {
        interests.files.extend([iscsi.conf.clone(), iscsi.initiator_name.clone()]);
        interests.files.extend(image_copies(&iscsi.initiator_name));
        interests.programs.extend(iscsi.daemon.iter().cloned());
        multipath::early(settings, &mut interests);
    }
    if let Some(needs) = profile.needs() {
        interests.modules = needs.modules(settings, demand);
        packages::interests(settings, needs, demand, &mut interests);
    }
    interests
}

/// What else is looked at before the bridge is decided on: what is in the directories that it would
/// cover, and whether units of others cover the kubelet's.
pub fn contents(facts: &Facts, settings: &Settings) -> Interests {
    let mut interests = Interests::default();
    if !settings.bridge.enabled {
        return interests;
    }
    let standard = HostPath::from(STANDARD_PATH);
    let directories = [directories(settings), align::interesting(settings).to_vec()].concat();
    interests.files = legacy::unit_files(facts, &directories);
    // Where the whole root is mounted at the standard path, these are the volumes of all pods.
    let one = |root: &HostPath| {
        let at = |path: &HostPath| place(&facts.mounts, path.as_bytes());
        *root == standard || at(root).zip(at(&standard)).is_some_and(|(a, b)| same_directory(&a, &b))
    };
    if aligned(facts).or(facts.detection.host_dir()).is_some_and(|root| !one(root)) {
        let covered = |path: &HostPath| {
            let holds = |entries: &[Vec<u8>]| !entries.is_empty();
            matches!(facts.dirs.get(path), Some(DirFact::Directory { canonical, entries })
                if canonical == path && holds(entries))
                && top_at(&facts.mounts, path.as_bytes()).is_none()
        };
        interests.surveys =
            directories.iter().map(|name| standard.join(name)).filter(|path| covered(path)).collect();
    }
    interests
}

/// The units that can be named from the early facts.
pub fn units(facts: &Facts, settings: &Settings, profile: &Profile) -> Interests {
    let mut interests = Interests::default();
    if let Some(needs) = profile.needs().filter(|_| facts.demand.iscsi.is_needed()) {
        iscsi::interests(facts, needs, &mut interests);
    }
    multipath::interests(facts, settings, &mut interests);
    modules::interests(&mut interests);
    interests.extend(align::interests(facts));
    if let Some(bridge) = wanted(facts, settings) {
        // Where the kubelet's unit is known already, systemd need not look for all others.
        if kubelet_units(facts).is_empty() {
            interests.units.extend(KUBELET_UNITS.iter().map(|name| UnitName::from(*name)));
        }
        let mounts =
            bridge.shares.iter().map(|share| &share.unit).chain(bridge.spans.iter().map(|s| &s.unit));
        for unit in mounts {
            interests.files.extend(unit_directories().map(|directory| directory.join(unit.as_str())));
            interests.units.push(unit.clone());
            interests.enablement.push(unit.clone());
        }
        // What has to be mounted before, and is not.
        let late = [&bridge.root, &bridge.standard].into_iter().flat_map(|path| missing_before(facts, path));
        interests.units.extend(late.map(|(_, unit)| unit));
    }
    for (path, unit) in bridge_files(facts) {
        interests.files.push(path.clone());
        interests.units.extend(unit.clone());
        interests.enablement.extend(unit);
    }
    if settings.bridge.enabled {
        let names = directories(settings);
        interests.surveys = legacy::to_survey(facts, &names);
        for bind in legacy::find(facts, &names).into_iter().flat_map(|legacy| legacy.binds) {
            // What tells whether another kubelet uses that tree.
            interests.dirs.push(bind.tree.join(STATE_DIRECTORY));
            let unit = bind.unit.map(|(unit, _)| unit);
            interests.units.extend(unit.clone());
            interests.enablement.extend(unit);
        }
    }
    for list in [&mut interests.units, &mut interests.enablement] {
        list.sort();
        list.dedup();
    }
    interests
}

/// The files that can be named once units are known.
pub fn late(facts: &Facts, settings: &Settings) -> Interests {
    let drop_ins = match wanted(facts, settings) {
        Some(_) => {
            let names = kubelet_units(facts).iter().map(drop_in).collect::<Vec<_>>();
            let [usual, runtime] = unit_directories();
            names.iter().flat_map(|name| [usual.join(name), runtime.join(name)]).collect()
        }
        None => Vec::new(),
    };
    Interests { files: drop_ins, ..Interests::default() }
}

fn wanted(facts: &Facts, settings: &Settings) -> Option<crate::mounts::bridge::Bridge> {
    let after = align::foreseen(facts, settings);
    let (facts, settings) = after.as_ref().map_or((facts, settings), |after| (&after.facts, &after.settings));
    match settings.bridge.enabled.then(|| decide(facts, &directories(settings)))? {
        Decision::Build(bridge) => Some(bridge),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
    use crate::model::unit::{ActiveState, FileState, LoadState, UnitState};
    use crate::mounts::mountinfo;

    #[test]
    fn directories_that_would_be_covered_are_looked_through_but_not_the_kubelets_own() {
        let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::parse(b"/srv/k").unwrap());
        let pods = HostPath::from("/var/lib/kubelet/pods");
        let surveys = |mounts: &str| {
            let mut facts = Facts {
                detection: Detection { kubelet: Some(kubelet.clone()), ..Detection::default() },
                mounts: mountinfo::parse(mounts.as_bytes()).unwrap(),
                ..Facts::new(Mode::Live, Init::Systemd)
            };
            let there = DirFact::Directory { canonical: pods.clone(), entries: vec![b"0b8d".to_vec()] };
            facts.dirs.insert(pods.clone(), there);
            contents(&facts, &Settings::default()).surveys
        };
        let disk = "1 0 8:1 / / rw shared:1 - ext4 x rw\n";
        assert_eq!(surveys(disk), std::slice::from_ref(&pods));
        let whole = "2 1 8:1 /srv/k /var/lib/kubelet rw shared:1 - ext4 x rw\n";
        assert!(surveys(&format!("{disk}{whole}")).is_empty());
    }

    #[test]
    fn the_unit_of_a_disk_is_asked_for_where_the_data_of_an_aligned_kubelet_lie_on_it() {
        let profile =
            Profile::parse("debian", "debian.toml", include_str!("../../os-profiles/debian.toml")).unwrap();
        let spans = ["pods", "plugins", "plugins_registry"]
            .map(|name| format!("2 1 8:1 /srv/k/{name} /var/lib/kubelet/{name} rw shared:1 - ext4 x rw\n"));
        let bridged = format!("1 0 8:1 / / rw shared:1 - ext4 x rw\n{}", spans.concat());
        let facts = |align: Option<AlignRecord>, root: &[u8]| {
            let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::parse(root).unwrap());
            let bridge = BridgeRecord::new(HostPath::from("/srv/k"));
            Facts {
                detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
                mounts: mountinfo::parse(bridged.as_bytes()).unwrap(),
                bridge: Some(bridge),
                align,
                ..Facts::new(Mode::Live, Init::Systemd)
            }
        };
        let disk = UnitName::from("srv.mount");
        let asked = |facts: &Facts| units(facts, &Settings::default(), &profile).units.contains(&disk);
        let aligned =
            AlignRecord { root: HostPath::from("/srv/k"), whole: false, beside: Vec::new(), ends: false };
        let mut without_disk = facts(Some(aligned), b"/var/lib/kubelet");
        assert!(asked(&without_disk));
        let failed =
            UnitState { load: LoadState::Loaded, active: ActiveState::Failed, file: FileState::Static };
        without_disk.units.insert(disk.clone(), failed);
        let Decision::Refused(why) = decide(&without_disk, &directories(&Settings::default())) else {
            panic!()
        };
        assert_eq!(why[0].id, "bridge-root-not-mounted");
        assert!(!asked(&facts(None, b"/srv/k")), "a kubelet that runs has its directories where it has them");
    }
}
