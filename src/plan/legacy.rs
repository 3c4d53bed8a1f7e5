//! Pure: the steps that take a known wrong cure away, where that is asked for
//! (`bridge.repair-legacy`).

use super::directories;
use crate::model::digest::Digest;
use crate::model::edit;
use crate::model::facts::{Facts, Mode};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan};
use crate::model::unit::FileState;
use crate::mounts::fstab::{self, FSTAB};
use crate::mounts::legacy::{Legacy, find};
use crate::settings::Settings;

/// Where what is taken away is kept.
const ASIDE: &str = "/var/lib/csihost/aside";

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    if !settings.bridge.repair_legacy {
        return;
    }
    let Some(legacy) = find(facts, &directories(settings)).filter(|legacy| legacy.known) else { return };
    lines(facts, &legacy, plan);
    let kubelet = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    for bind in &legacy.binds {
        let reason =
            format!("it covers the kubelet's {} with {}, which no kubelet uses", bind.place, bind.source);
        if let Some((unit, path)) = &bind.unit {
            let mut needs = Vec::new();
            if facts.units.get(unit).file == FileState::Enabled {
                needs.push(plan.push(Action::DisableUnit { unit: unit.clone() }, reason.clone(), &[]));
            }
            let to = HostPath::from(ASIDE).join(unit.as_str());
            plan.push(Action::MoveAside { path: path.clone(), to }, reason.clone(), &needs);
        }
        // A running kubelet would go on in the directory beneath, without what plugins made in this one.
        if facts.mode == Mode::Live
            && !kubelet
            && bind.mounted == Some(0)
            && let Some(unit) = bind.mount_unit()
        {
            plan.push(Action::Unmount { path: bind.place.clone(), unit }, reason, &[]);
        }
    }
}

/// Makes comments of the lines of the table that bind the unused tree.
fn lines(facts: &Facts, legacy: &Legacy, plan: &mut Plan) {
    let Some(file) = facts.file(&HostPath::from(FSTAB)).file() else { return };
    // By number too: what is mounted can have another name than the line has for it.
    let wrong = |entry: &fstab::Entry<'_>| {
        let source = entry.bound();
        legacy.binds.iter().any(|bind| {
            bind.place == entry.point
                && (bind.line == Some(entry.number) || source.as_ref() == Some(&bind.source))
        })
    };
    let splices: Vec<_> = fstab::entries(&file.bytes)
        .iter()
        .filter(|entry| wrong(entry))
        .map(fstab::Entry::commented)
        .collect();
    let Some(after) = edit::apply(&file.bytes, &splices).filter(|after| *after != file.bytes) else { return };
    let path = file.canonical.clone();
    let action = Action::PatchFile {
        diff: edit::diff(&path.to_string(), &file.bytes, &splices),
        before: Digest::of(&file.bytes),
        after: Digest::of(&after),
        path,
        splices,
    };
    plan.push(action, "the kubelet's own directories are not to be covered at every boot", &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Init;
    use crate::model::file::{Attributes, File, FileFact};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::mounts::mountinfo;

    #[test]
    fn a_line_that_names_the_unused_tree_by_a_link_becomes_a_comment_too() {
        let kubelet = Kubelet::running(Distribution::K3s, KubeletRoot::standard());
        // /var/lib/rancher is a link to /data/rancher, and the kernel shows what it leads to.
        let rows = "1 0 8:1 / / rw shared:1 - ext4 x rw\n2 1 8:1 /data/rancher/k3s/agent/kubelet/pods \
            /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n";
        let table =
            "/dev/sda1 / ext4\n/var/lib/rancher/k3s/agent/kubelet/pods /var/lib/kubelet/pods none bind\n";
        let mut facts = Facts {
            detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
            mounts: mountinfo::parse(rows.as_bytes()).unwrap(),
            ..Facts::new(Mode::Live, Init::Systemd)
        };
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let file = File { bytes: table.into(), attributes, canonical: HostPath::from(FSTAB) };
        facts.files.insert(HostPath::from(FSTAB), FileFact::File(file));
        let mut settings = Settings::default();
        settings.bridge.repair_legacy = true;
        let mut found = Plan::default();
        plan(&facts, &settings, &mut found);
        let steps: Vec<_> = found.steps().map(|(_, step)| &step.action).collect();
        let [Action::PatchFile { splices, .. }] = steps.as_slice() else { panic!("{steps:?}") };
        let patched = edit::apply(table.as_bytes(), splices).unwrap();
        assert_eq!(
            String::from_utf8(patched).unwrap(),
            table
                .replace("/var/lib/rancher", "# /var/lib/rancher")
                .replace("none bind", "none bind (csihost)")
        );
    }
}
