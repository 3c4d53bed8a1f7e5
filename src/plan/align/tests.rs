//! Pure: tests of aligning: each writer's change, twice, and what is refused.

use super::*;
use crate::model::align::{AlignRecord, NextStart, UnitTexts};
use crate::model::demand::{Demand, IscsiDemand};
use crate::model::facts::Mode;
use crate::model::file::{Attributes, DirFact, FileFact};
use crate::model::generated::generate;
use crate::model::kubelet::{Declaration, Detection, Source};
use crate::model::unit::UnitState;
use crate::mounts::mountinfo;
use crate::profile::{BUILTIN, Profile};

const ROOT: &str = "/srv/k";
const DISK: &str = "1 0 8:1 / / rw shared:1 - ext4 x rw\n";
const BRIDGED: &str = "1 0 8:1 / / rw shared:1 - ext4 x rw
2 1 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw
3 1 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 x rw
4 1 8:1 /srv/k/plugins_registry /var/lib/kubelet/plugins_registry rw shared:1 - ext4 x rw
";

fn settings() -> Settings {
    let mut settings = Settings { iscsi: Some(false), ..Settings::default() };
    settings.contract.repair = Repair::Align;
    settings
}

fn root(text: &str) -> KubeletRoot {
    KubeletRoot::parse(text.as_bytes()).unwrap()
}

/// A kubelet that runs at `/srv/k` as `unit`, whose files are `texts`, with `mounts`.
fn host(
    distribution: Distribution,
    unit: &'static str,
    texts: &[(&'static str, &str)],
    mounts: &str,
) -> Facts {
    let unit = UnitName::from(unit);
    let declaration = Declaration {
        distribution,
        source: Source::ConfigFile,
        root: root(ROOT),
        confidence: Confidence::Declared,
        unit: Some(unit.clone()),
        volume_plugin_dir: None,
    };
    let files = texts.iter().map(|(path, text)| (HostPath::from(*path), text.as_bytes().to_vec())).collect();
    let next = NextStart {
        declarations: vec![declaration],
        units: vec![UnitTexts { unit: unit.clone(), files }],
        ..NextStart::default()
    };
    let kubelet = Kubelet::running(distribution, root(ROOT));
    let mut facts = Facts {
        detection: Detection { kubelet: Some(kubelet), unit: Some(unit), ..Detection::default() },
        mounts: mountinfo::parse(mounts.as_bytes()).unwrap(),
        next_start: Some(next),
        demand: Demand { iscsi: IscsiDemand::Disabled, ..Demand::default() },
        ..Facts::new(Mode::Live, Init::Systemd)
    };
    for base in ["/var/lib/kubelet", ROOT] {
        for name in ["", "pods", "plugins", "plugins_registry"] {
            let path = HostPath::from(base).join(name);
            facts.dirs.insert(path.clone(), DirFact::Directory { canonical: path, entries: Vec::new() });
        }
    }
    facts
}

fn planned(facts: &Facts) -> Plan {
    let (_, text) = BUILTIN.iter().find(|(name, _)| *name == "debian").unwrap();
    crate::plan::decide(facts, &settings(), &Profile::parse("debian", "debian", text).unwrap())
}

fn refused(facts: &Facts) -> Vec<&'static str> {
    planned(facts).refused.iter().map(|refusal| refusal.id).collect()
}

/// What the plan writes to `path`.
fn written(plan: &Plan, path: &str) -> Option<String> {
    plan.steps().find_map(|(_, step)| match &step.action {
        Action::WriteFile { path: at, bytes, .. } | Action::WriteUnit { path: at, bytes, .. }
            if at.to_string() == path =>
        {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    })
}

/// The host after the plan, as far as files go.
fn after(mut facts: Facts, plan: &Plan) -> Facts {
    for (_, step) in plan.steps() {
        if let Action::WriteFile { path, bytes, .. } | Action::WriteUnit { path, bytes, .. } = &step.action {
            let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
            let file = File { bytes: bytes.clone(), attributes, canonical: path.clone() };
            facts.files.insert(path.clone(), FileFact::File(file));
            facts.generated.insert(path.clone());
        }
        if let Action::EnableUnit { unit } = &step.action {
            facts.units.insert(unit.clone(), UnitState { file: FileState::Enabled, ..UnitState::ABSENT });
        }
    }
    facts.align = plan.aligns.clone();
    facts
}

/// The next start of `facts` has the standard path.
fn set(mut facts: Facts) -> Facts {
    let next = facts.next_start.as_mut().unwrap();
    next.declarations[0].root = KubeletRoot::standard();
    facts
}

const KUBELET: [(&str, &str); 1] = [(
    "/etc/systemd/system/kubelet.service",
    "[Service]\nExecStart=-/usr/bin/kubelet \"--a=b c\" --x=%H \\\n  $ARGS --root-dir=/srv/k\n",
)];
const DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf";

#[test]
fn a_plain_kubelet_gets_its_command_with_one_flag_more_as_it_is_written_there() {
    let facts = host(Distribution::Kubelet, "kubelet.service", &KUBELET, BRIDGED);
    let plan = planned(&facts);
    let text = written(&plan, DROP_IN).unwrap();
    assert!(
        text.ends_with(
            "\nExecStart=\nExecStart=-/usr/bin/kubelet \"--a=b c\" --x=%H  $ARGS --root-dir=/srv/k \
             --root-dir=/var/lib/kubelet\n"
        ),
        "{text}"
    );
    assert_eq!(plan.alignment, Some(Alignment::Planned));
    assert!(plan.later[0].reason.contains("when the kubelet restarts"));
    assert_eq!(plan.aligns.as_ref().map(|record| &record.root), Some(&HostPath::from(ROOT)));

    // Once it counts, nothing is written again; where it does not count, it is not tried again.
    let facts = after(facts, &plan);
    let again = planned(&set(facts.clone()));
    assert_eq!(written(&again, DROP_IN), None);
    assert!(matches!(again.alignment, Some(Alignment::Waits { .. })), "{:?}", again.alignment);
    assert_eq!(refused(&facts), ["align-overruled"]);

    // Where the unit changes, so does the drop-in.
    let mut changed = set(facts);
    let units = &mut changed.next_start.as_mut().unwrap().units;
    units[0].files[0].1 = b"[Service]\nExecStart=/opt/kubelet --v=4\n".to_vec();
    let text = written(&planned(&changed), DROP_IN).unwrap();
    assert!(text.ends_with("ExecStart=/opt/kubelet --v=4 --root-dir=/var/lib/kubelet\n"), "{text}");
}

#[test]
fn commands_to_which_no_flag_can_be_added_are_left_and_told() {
    for command in ["/bin/sh -c 'exec kubelet'", "/usr/bin/docker run kubelet", "/usr/bin/kubelet -- x", "/x"]
    {
        let text = format!("[Service]\nExecStart={command}\n");
        let texts = [("/etc/systemd/system/kubelet.service", text.as_str())];
        let facts = host(Distribution::Kubelet, "kubelet.service", &texts, BRIDGED);
        assert_eq!(refused(&facts), ["align-command"], "{command}");
    }
}

#[test]
fn k0s_gets_its_own_flag_and_only_where_it_knows_it() {
    let texts =
        [("/etc/systemd/system/k0sworker.service", "[Service]\nExecStart=/usr/local/bin/k0s worker\n")];
    let mut facts = host(Distribution::K0s, "k0sworker.service", &texts, BRIDGED);
    let drop_in = "/etc/systemd/system/k0sworker.service.d/zzz-csihost-root.conf";
    let text = written(&planned(&facts), drop_in).unwrap();
    assert!(
        text.ends_with("ExecStart=/usr/local/bin/k0s worker --kubelet-root-dir=/var/lib/kubelet\n"),
        "{text}"
    );
    for (version, known) in
        [("v1.31.7+k0s", false), ("v1.31.8", true), ("v1.32.0", false), ("v1.33.0", true), ("v1.30.9", false)]
    {
        facts.detection.kubelet.as_mut().unwrap().version = Some(version.to_owned());
        assert_eq!(refused(&facts).is_empty(), known, "{version}");
    }
}

#[test]
fn k3s_gets_a_file_beside_the_one_that_its_unit_names() {
    let mut facts = host(Distribution::K3s, "k3s.service", &[], BRIDGED);
    let text = written(&planned(&facts), "/etc/rancher/k3s/config.yaml.d/90-csihost.yaml").unwrap();
    assert!(text.ends_with("kubelet-arg+:\n- root-dir=/var/lib/kubelet\n"), "{text}");
    let next = facts.next_start.as_mut().unwrap();
    next.config_files = vec![(UnitName::from("k3s.service"), HostPath::from("/opt/k3s.yml"))];
    assert!(written(&planned(&facts), "/opt/k3s.yml.d/90-csihost.yaml").is_some());
    let next = facts.next_start.as_mut().unwrap();
    next.declarations[0].source = Source::SystemdUnit;
    assert_eq!(refused(&facts), ["align-command-line"]);
}

#[test]
fn the_setting_comes_after_the_bridge_and_needs_all_of_it() {
    let facts = host(Distribution::K3s, "k3s.service", &[], DISK);
    let plan = planned(&facts);
    let steps: Vec<_> = plan.steps().collect();
    let (_, setting) = steps.iter().find(|(_, step)| step.action.target().ends_with(".yaml")).unwrap();
    for (id, step) in &steps {
        if step.action.kind() == "start-unit" && step.action.target().ends_with(".mount") {
            assert!(setting.needs.contains(id), "{}", step.action.target());
        }
    }
    assert_eq!(steps.last().unwrap().1.action.kind(), "write-file");
}

#[test]
fn a_kubelet_at_the_standard_path_keeps_the_bridge_to_its_data() {
    let mut facts = set(host(Distribution::K3s, "k3s.service", &[], BRIDGED));
    facts.detection.kubelet = Some(Kubelet::running(Distribution::K3s, KubeletRoot::standard()));
    facts.align =
        Some(AlignRecord { root: HostPath::from(ROOT), whole: false, beside: Vec::new(), ends: false });
    let plan = planned(&facts);
    assert_eq!(plan.alignment, Some(Alignment::Aligned(Some(HostPath::from(ROOT)))));
    assert_eq!(plan.bridge, Some(HostPath::from(ROOT)));
    assert_eq!(plan.refused, []);
    assert!(plan.steps().all(|(_, step)| !["unmount", "remove-unit"].contains(&step.action.kind())));
    // One that was started without the bridge is not covered while it runs.
    facts.mounts = mountinfo::parse(DISK.as_bytes()).unwrap();
    assert_eq!(refused(&facts), ["align-without-bridge"]);
    // What was undone is kept until the kubelet has its old root again.
    facts.mounts = mountinfo::parse(BRIDGED.as_bytes()).unwrap();
    facts.align =
        Some(AlignRecord { root: HostPath::from(ROOT), whole: false, beside: Vec::new(), ends: true });
    let report = Settings { iscsi: Some(false), ..Settings::default() };
    let (_, text) = BUILTIN.iter().find(|(name, _)| *name == "debian").unwrap();
    let plan = crate::plan::decide(&facts, &report, &Profile::parse("debian", "debian", text).unwrap());
    assert!(matches!(plan.alignment, Some(Alignment::Waits { .. })), "{:?}", plan.alignment);
    assert!(plan.bridge.is_some() && plan.aligns.is_none());
}

#[test]
fn mounts_that_the_standard_path_does_not_show_are_named() {
    let pods = "5 1 0:9 / /srv/k/pods/a/volumes/x rw shared:2 - tmpfs t rw\n";
    let twin = "6 2 0:9 / /var/lib/kubelet/pods/a/volumes/x rw shared:2 - tmpfs t rw\n";
    let id = |more: &str| {
        let mounts = format!("{BRIDGED}{more}");
        refused(&host(Distribution::K3s, "k3s.service", &[], &mounts))
    };
    assert_eq!(id(&format!("{pods}{twin}")), [""; 0]);
    assert_eq!(id(pods), ["align-unseen-volumes"]);
    assert_eq!(id("5 1 0:9 / /srv/k/other rw shared:2 - tmpfs t rw\n"), ["align-mounts-outside"]);
}

#[test]
fn where_others_set_the_root_the_remedy_says_how() {
    let mut facts = host(Distribution::Rke, "docker.service", &[], BRIDGED);
    let plan = planned(&facts);
    assert_eq!(plan.refused[0].id, "align-container");
    assert!(plan.refused[0].remedy.contains("extra_args: { root-dir: /var/lib/kubelet }"));
    facts.init = Init::Other("openrc".to_owned());
    assert!(refused(&facts).contains(&"no-systemd") || refused(&facts).contains(&"align-no-systemd"));
    let mut given = settings();
    given.root_dir = Some(root(ROOT));
    let facts = host(Distribution::K3s, "k3s.service", &[], BRIDGED);
    let (_, text) = BUILTIN.iter().find(|(name, _)| *name == "debian").unwrap();
    let plan = crate::plan::decide(&facts, &given, &Profile::parse("debian", "debian", text).unwrap());
    assert_eq!(plan.refused[0].id, "align-root-given");
    assert!(generate("").starts_with(b"# Generated"));
}

#[test]
fn what_the_kubelet_has_in_its_root_beside_volumes_is_bridged_too_and_remembered() {
    let mut facts = host(Distribution::Kubelet, "kubelet.service", &KUBELET, BRIDGED);
    let seccomp = HostPath::from(ROOT).join("seccomp");
    let filled =
        |path: &HostPath| DirFact::Directory { canonical: path.clone(), entries: vec![b"p".to_vec()] };
    facts.dirs.insert(seccomp.clone(), filled(&seccomp));
    let plan = planned(&facts);
    assert!(written(&plan, "/etc/systemd/system/var-lib-kubelet-seccomp.mount").is_some());
    assert_eq!(plan.aligns.as_ref().map(|record| record.beside.clone()), Some(vec!["seccomp".to_owned()]));
    // It stays, whether or not anything is in it.
    let after = crate::plan::in_effect(&settings(), plan.aligns.as_ref());
    assert_eq!(directories(&after), ["pods", "plugins", "plugins_registry", "seccomp"]);

    // Where the standard path has some of its own, the bridge is as it was, and the setting is not made.
    let there = HostPath::from(STANDARD_PATH).join("seccomp");
    facts.dirs.insert(there.clone(), filled(&there));
    let plan = planned(&facts);
    assert_eq!(plan.refused.iter().map(|refusal| refusal.id).collect::<Vec<_>>(), ["bridge-hides-data"]);
    assert!(plan.bridge.is_some() && plan.aligns.is_none() && written(&plan, DROP_IN).is_none());
}

/// A kubelet at `/srv/k`, to which the standard path is a link.
fn linked() -> Facts {
    let mut facts = host(Distribution::Kubelet, "kubelet.service", &KUBELET, DISK);
    for (path, fact) in &mut facts.dirs {
        let canonical = match path.below(&HostPath::from(STANDARD_PATH)) {
            Some(below) => HostPath::from(ROOT).join(below),
            None => continue,
        };
        *fact = DirFact::Directory { canonical, entries: Vec::new() };
    }
    facts
}

#[test]
fn a_link_gives_way_to_the_whole_root_between_the_units_and_the_setting() {
    let facts = linked();
    let plan = planned(&facts);
    assert_eq!(plan.refused, []);
    let steps: Vec<String> = plan
        .steps()
        .map(|(_, step)| format!("{} {}", step.action.kind(), step.action.target()))
        .filter(|step| !step.contains("module"))
        .collect();
    assert_eq!(
        steps,
        [
            "write-unit /etc/systemd/system/var-lib-kubelet.mount",
            "write-unit /etc/systemd/system/kubelet.service.d/50-csihost.conf",
            "enable-unit var-lib-kubelet.mount",
            "replace-link /var/lib/kubelet",
            "start-unit var-lib-kubelet.mount",
            "write-unit /etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf",
        ]
    );
    let (link, _) = plan.steps().find(|(_, step)| step.action.kind() == "replace-link").unwrap();
    let (_, mount) = plan.steps().find(|(_, step)| step.action.kind() == "start-unit").unwrap();
    assert!(mount.needs.contains(&link));
    assert!(plan.aligns.as_ref().is_some_and(|record| record.whole));

    // After it: nothing more, and no directory of the bridge by itself.
    let mut after = set(after(facts, &plan));
    after.whole = Some(HostPath::from(ROOT));
    let standard = HostPath::from(STANDARD_PATH);
    for (path, fact) in &mut after.dirs {
        if path.starts_with(&standard) {
            *fact = DirFact::Directory { canonical: path.clone(), entries: Vec::new() };
        }
    }
    let whole = "2 1 8:1 /srv/k /var/lib/kubelet rw shared:1 - ext4 x rw\n";
    after.mounts = mountinfo::parse(format!("{DISK}{whole}").as_bytes()).unwrap();
    let again = planned(&after);
    assert_eq!((again.len(), again.refused.len()), (0, 0), "{again:?}");
    assert!(matches!(again.alignment, Some(Alignment::Waits { .. })), "{:?}", again.alignment);

    // What speaks against aligning leaves the link, and says why.
    let mut raw = linked();
    let volume = "5 1 0:9 / /srv/k/plugins/kubernetes.io/csi/volumeDevices/x rw shared:2 - tmpfs t rw\n";
    raw.mounts = mountinfo::parse(format!("{DISK}{volume}").as_bytes()).unwrap();
    let plan = planned(&raw);
    assert_eq!(plan.refused.iter().map(|refusal| refusal.id).collect::<Vec<_>>(), ["align-block-volumes"]);
    assert!(matches!(plan.alignment, Some(Alignment::Refused(_))));
    assert!(
        plan.steps()
            .all(|(_, step)| step.action.kind() == "load-module" || step.action.kind() == "write-file")
    );
}

#[test]
fn a_root_that_is_a_link_to_the_standard_path_needs_the_setting_alone() {
    let mut facts = host(Distribution::Kubelet, "kubelet.service", &KUBELET, DISK);
    for (path, fact) in &mut facts.dirs {
        if let Some(below) = path.below(&HostPath::from(ROOT)) {
            let canonical = HostPath::from(STANDARD_PATH).join(below);
            *fact = DirFact::Directory { canonical, entries: Vec::new() };
        }
    }
    let state = HostPath::from(STANDARD_PATH).join("pod-resources");
    facts.dirs.insert(state.clone(), DirFact::Directory { canonical: state, entries: Vec::new() });
    let plan = planned(&facts);
    assert_eq!(plan.refused, []);
    let steps: Vec<String> = plan.steps().map(|(_, step)| step.action.target()).collect();
    assert_eq!(steps, [DROP_IN]);
    let mut after = set(after(facts, &plan));
    let again = planned(&after);
    assert!(again.is_empty() && matches!(again.alignment, Some(Alignment::Waits { .. })), "{again:?}");
    // And after its restart.
    after.detection.kubelet = Some(Kubelet::running(Distribution::Kubelet, KubeletRoot::standard()));
    let again = planned(&after);
    assert_eq!((again.len(), again.alignment), (0, Some(Alignment::Aligned(None))));
}
