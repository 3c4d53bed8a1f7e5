//! Mounts: container runtimes from whose containers mounts do not reach the kubelet.
//!
//! A runtime binds a volume of the type hostPath from its own mount namespace. With `mountPropagation: Bidirectional` the
//! container's mount is a peer of the runtime's: it goes where the runtime's mounts go. So a runtime whose mounts stay in its
//! namespace starts plugins in vain, or refuses to: docker and containerd look for `shared:` in their own mount table
//! ("path is mounted on / but it is not a shared mount").

use super::contract::reaches_kubelet;
use super::resolve::{place, same_directory};
use crate::model::bytes::shell_word;
use crate::model::contract::Publisher;
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::runtime::RuntimeProcess;
use crate::model::sandbox::Setting;
use crate::model::unit::UnitName;
use std::collections::BTreeSet;

/// A runtime with a mount namespace of its own that hands no mounts to the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff<'a> {
    /// The runtime.
    pub runtime: &'a RuntimeProcess,
    /// The mount of its namespace on which the kubelet's `pods` lies.
    pub mount: &'a Mount,
    /// True if this is sure to be the kubelet's runtime: no other kind runs, or the kubelet's shim for it does.
    pub only: bool,
}

/// The runtimes that are cut off from `kubelet`, or, where none runs, from the host, on which a kubelet would have the
/// directory `root`. A runtime that has another directory there is not judged.
pub fn cut_off<'a>(
    runtimes: &'a [RuntimeProcess],
    kubelet: Option<&Publisher>,
    root: Option<&HostPath>,
    host: &MountTable,
) -> Vec<CutOff<'a>> {
    // What shares the kubelet's namespace on purpose (kubens, a confined snap), or belongs to it (k3s), is its runtime.
    if kubelet.is_some_and(|kubelet| shares_namespace(runtimes, kubelet)) {
        return Vec::new();
    }
    let theirs = kubelet.and_then(|kubelet| kubelet.mounts.as_ref()).unwrap_or(host);
    let own_name = kubelet.map(|kubelet| kubelet.view.pods.path.clone());
    let hosts_name = root.map(|root| root.join("pods"));
    let Some(name) = own_name.clone().or_else(|| hosts_name.clone()) else { return Vec::new() };
    let Some(pods) = place(theirs, name.as_bytes()) else { return Vec::new() };
    let unit = kubelet.and_then(|kubelet| kubelet.unit.as_ref());
    // Beside the runtime that comes with the kubelet (k3s, MicroK8s), others are nobody's.
    let comes_with = |runtime: &&RuntimeProcess| unit.is_some_and(|unit| is_one_product(unit, &runtime.unit));
    let own: Vec<&RuntimeProcess> = runtimes.iter().filter(comes_with).collect();
    let asked = if own.is_empty() { runtimes.iter().collect() } else { own };
    let kinds: BTreeSet<Option<&str>> = asked.iter().map(|runtime| kind(runtime)).collect();
    // The kubelet has no use for cri-dockerd but docker.
    let docker = asked.iter().any(|runtime| runtime.name == "cri-dockerd");
    let judged: Vec<(&RuntimeProcess, Option<(bool, &Mount)>)> = asked
        .into_iter()
        .map(|runtime| {
            let found = runtime.mounts.as_ref().and_then(|table| {
                let mut names =
                    own_name.iter().chain(&hosts_name).filter_map(|name| place(table, name.as_bytes()));
                let own = names.find(|own| same_directory(own, &pods))?;
                Some((reaches_kubelet(pods.mount, theirs, own.mount, table), own.mount))
            });
            (runtime, found)
        })
        .collect();
    // Beside a daemon of the same kind from which mounts do reach the kubelet, either may be the kubelet's.
    let has_good = |asked: &RuntimeProcess| {
        judged.iter().any(|(runtime, found)| {
            // A shim creates no containers itself.
            runtime.name != "cri-dockerd"
                && kind(runtime) == kind(asked)
                && match found {
                    Some((reaches, _)) => *reaches,
                    None => runtime.mounts.is_none(),
                }
        })
    };
    let cut_off = judged.iter().filter_map(|(runtime, found)| {
        let (reaches, mount) = (*found)?;
        let only = (kinds.len() == 1 || (docker && kind(runtime) == Some("docker"))) && !has_good(runtime);
        (!reaches).then_some(CutOff { runtime, mount, only })
    });
    cut_off.collect()
}

/// Daemons that create containers together. dockerd and a containerd with a unit of its own are two kinds, since a kubelet may
/// use either.
fn kind(runtime: &RuntimeProcess) -> Option<&'static str> {
    match runtime.unit.as_str() {
        "docker.service" => Some("docker"),
        _ => ["docker", "containerd", "crio"].into_iter().find(|kind| runtime.name.contains(kind)),
    }
}

/// True if one unit runs both the kubelet and the runtime, or both are services of one snap.
fn is_one_product(kubelet: &UnitName, runtime: &UnitName) -> bool {
    let snap = |unit: &UnitName| Some(unit.as_str().strip_prefix("snap.")?.split('.').next()?.to_owned());
    kubelet == runtime || (snap(kubelet).is_some() && snap(kubelet) == snap(runtime))
}

/// True if a container runtime of the host is in the kubelet's mount namespace, which is not the host's: a volume of the type
/// hostPath is bound there, and a mount that is made on the host alone is in no container.
pub fn shares_namespace(runtimes: &[RuntimeProcess], kubelet: &Publisher) -> bool {
    kubelet.mounts.is_some() && runtimes.iter().any(|runtime| runtime.with_kubelet)
}

/// How the kubelet's mount at `point` becomes shared in a mount namespace that is neither the host's nor a container's.
pub fn share_in_namespace(kubelet: &Publisher, point: &str) -> String {
    let enter = kubelet.pid.map_or_else(String::new, |pid| format!("nsenter --target {pid} --mount "));
    let snap = kubelet.unit.as_ref().and_then(|unit| unit.as_str().strip_prefix("snap.")?.split('.').next());
    let lasts = match snap {
        Some(snap) => format!(
            "It lasts until snapd makes the snap's mount namespace anew; later revisions of the snap do it before the kubelet \
             starts: snap refresh {}",
            shell_word(snap)
        ),
        None => {
            "It lasts until the namespace is made anew: have what makes it do so before the kubelet starts"
                .to_owned()
        }
    };
    format!(
        "run {enter}mount --make-rshared {}, then restart the pods of CSI plugins. {lasts}",
        shell_word(point)
    )
}

/// The repair, as commands.
pub fn remedy(runtime: &RuntimeProcess) -> String {
    let unit = shell_word(runtime.unit.as_str());
    let again = format!("systemctl daemon-reload && systemctl restart {unit}");
    let Some(sandbox) = &runtime.sandbox else {
        return format!(
            "let {} have the host's mount namespace: take MountFlags= (with any value, shared too), PrivateMounts=, \
             PrivateTmp=, ProtectHome=, ProtectSystem= and the like out of it, run {again}",
            runtime.unit
        );
    };
    if sandbox.settings.is_empty() {
        return format!(
            "run {again}: the files of {} ask for no mount namespace. If it has one again, the command in ExecStart= makes it",
            runtime.unit
        );
    }
    let told: Vec<String> = sandbox.settings.iter().map(told).collect();
    let flags = match sandbox.settings.iter().any(|setting| setting.key == "MountFlags") {
        true => ", MountFlags= with any value, shared too",
        false => "",
    };
    let resets: Vec<String> =
        sandbox.settings.iter().map(|setting| format!("{}\\n", setting.reset())).collect();
    let directory = format!("/etc/systemd/system/{}.d", runtime.unit);
    let file = shell_word(&format!("{directory}/{}", later(sandbox.last_drop_in.as_deref())));
    format!(
        "take {} out of {}{flags}: run mkdir -p {} && printf '[Service]\\n{}' >{file} && {again}",
        told.join(" and "),
        runtime.unit,
        shell_word(&directory),
        resets.concat()
    )
}

fn told(setting: &Setting) -> String {
    format!("{}={} ({})", setting.key, setting.value, setting.file)
}

/// A file name for a drop-in that is read after `last`.
fn later(last: Option<&[u8]>) -> String {
    const NAME: &str = "zz-mounts.conf";
    match last {
        Some(last) if last >= NAME.as_bytes() => {
            let before = last.iter().take_while(|&&b| b == b'z').count();
            format!("{}{NAME}", "z".repeat(before))
        }
        _ => NAME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kubelet::KubeletRoot;
    use crate::model::sandbox::Sandbox;
    use crate::model::unit::UnitName;
    use crate::mounts::mountinfo::parse;

    const HOST: &[u8] = b"20 1 8:1 / / rw shared:1 - ext4 x rw\n";

    fn runtime(name: &str, own: Option<&str>) -> RuntimeProcess {
        RuntimeProcess {
            pid: 500,
            name: name.to_owned(),
            unit: UnitName::parse(&format!("{name}.service")).unwrap(),
            sandbox: Some(Sandbox::default()),
            mounts: own
                .map(|tags| parse(format!("200 199 8:1 / / rw{tags} - ext4 x rw\n").as_bytes()).unwrap()),
            with_kubelet: false,
        }
    }

    fn kubelet(mounts: Option<&[u8]>) -> Publisher {
        Publisher {
            mounts: mounts.map(|text| parse(text).unwrap()),
            ..Publisher::unseen(KubeletRoot::standard())
        }
    }

    fn names(runtimes: &[RuntimeProcess], kubelet: &Publisher) -> Vec<(String, bool)> {
        let host = parse(HOST).unwrap();
        let all = cut_off(runtimes, Some(kubelet), None, &host);
        all.iter().map(|one| (one.runtime.name.clone(), one.only)).collect()
    }

    #[test]
    fn a_runtime_is_cut_off_where_its_mounts_do_not_reach_the_kubelet() {
        for (tags, cut) in [
            (" master:1", true),
            (" shared:90 master:1", true),
            ("", true),
            (" shared:90", true),
            (" shared:1", false),
        ] {
            let found = names(&[runtime("dockerd", Some(tags))], &kubelet(None));
            assert_eq!(found, if cut { vec![("dockerd".to_owned(), true)] } else { vec![] }, "{tags}");
        }
        assert_eq!(names(&[runtime("dockerd", None)], &kubelet(None)), []);
    }

    #[test]
    fn the_kubelets_runtime_is_not_certain_where_two_kinds_run() {
        let all = [runtime("dockerd", Some(" master:1")), runtime("containerd", None)];
        assert_eq!(names(&all, &kubelet(None)), [("dockerd".to_owned(), false)]);
        let builds = RuntimeProcess {
            unit: UnitName::from("build-containerd.service"),
            ..runtime("containerd", Some(" master:1"))
        };
        let beside = [runtime("containerd", None), builds];
        assert_eq!(
            names(&beside, &kubelet(None)),
            [("containerd".to_owned(), false)],
            "the other one is the kubelet's, too"
        );
        let [docker, containerd] = all;
        let of_docker = |name: &str| RuntimeProcess {
            unit: UnitName::from("docker.service"),
            ..runtime(name, Some(" master:1"))
        };
        let both = [of_docker("dockerd"), of_docker("docker-containerd")];
        assert!(names(&both, &kubelet(None)).iter().all(|(_, only)| *only));
        let all = [docker, containerd, runtime("cri-dockerd", None)];
        assert_eq!(names(&all, &kubelet(None)), [("dockerd".to_owned(), true)]);
    }

    #[test]
    fn kubelet_and_runtime_in_one_namespace_need_no_other() {
        let own = b"800 799 8:1 / / rw shared:90 master:1 - ext4 x rw\n";
        let with = RuntimeProcess { with_kubelet: true, ..runtime("crio", Some(" shared:90 master:1")) };
        assert_eq!(names(&[with, runtime("dockerd", Some(" master:1"))], &kubelet(Some(own))), []);
        // The kubelet is hidden, and the runtime in a second namespace beside it.
        let found = names(&[runtime("crio", Some(" shared:91 master:1"))], &kubelet(Some(own)));
        assert_eq!(found, [("crio".to_owned(), true)]);
    }

    #[test]
    fn beside_the_runtime_that_comes_with_the_kubelet_others_are_nobodys() {
        let docker = || runtime("dockerd", Some(" master:1"));
        for (kubelets, own) in [
            ("k3s.service", "k3s.service"),
            ("snap.microk8s.daemon-kubelite.service", "snap.microk8s.daemon-containerd.service"),
        ] {
            let kubelet = Publisher { unit: UnitName::parse(kubelets).ok(), ..kubelet(None) };
            let unit = UnitName::parse(own).unwrap();
            let containerd = RuntimeProcess { unit: unit.clone(), ..runtime("containerd", None) };
            assert_eq!(names(&[docker(), containerd], &kubelet), [], "{own}");
            let cut = RuntimeProcess { unit, ..runtime("containerd", Some(" master:1")) };
            assert_eq!(names(&[docker(), cut], &kubelet), [("containerd".to_owned(), true)], "{own}");
        }
    }

    #[test]
    fn a_runtime_with_another_directory_is_not_judged() {
        let mut other = runtime("containerd", Some(" master:1"));
        other.mounts =
            parse(b"1 0 7:1 / / rw master:3 - squashfs x rw\n2 1 0:9 / /var/lib rw - tmpfs x rw\n").ok();
        assert_eq!(names(&[other], &kubelet(None)), []);
    }

    #[test]
    fn before_a_kubelet_runs_the_host_counts() {
        let host = parse(HOST).unwrap();
        let all = [runtime("containerd", Some(" shared:90 master:1"))];
        let root = HostPath::from("/var/lib/kubelet");
        assert_eq!(cut_off(&all, None, Some(&root), &host).len(), 1);
        assert_eq!(cut_off(&all, None, None, &host), []);
    }

    #[test]
    fn the_remedy_takes_back_each_setting_in_a_later_drop_in() {
        let mut docker = runtime("docker", None);
        assert!(
            remedy(&docker).starts_with("run systemctl daemon-reload && systemctl restart docker.service: ")
        );
        let setting = |key: &str, value: &str, file| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            file: HostPath::from(file),
        };
        let drop_in = "/etc/systemd/system/docker.service.d/zzz.conf";
        docker.sandbox = Some(Sandbox {
            settings: vec![setting("MountFlags", "shared", drop_in), setting("ProtectHome", "yes", drop_in)],
            last_drop_in: Some(b"zzz.conf".to_vec()),
        });
        assert_eq!(
            remedy(&docker),
            "take MountFlags=shared (/etc/systemd/system/docker.service.d/zzz.conf) and ProtectHome=yes \
             (/etc/systemd/system/docker.service.d/zzz.conf) out of docker.service, MountFlags= with any value, shared too: run \
             mkdir -p /etc/systemd/system/docker.service.d && printf '[Service]\\nMountFlags=\\nProtectHome=no\\n' \
             >/etc/systemd/system/docker.service.d/zzzzz-mounts.conf && systemctl daemon-reload && systemctl restart \
             docker.service"
        );
        docker.unit = UnitName::parse("a\\x2db.service").unwrap();
        assert!(remedy(&docker).ends_with("systemctl restart 'a\\x2db.service'"));
        docker.sandbox = None;
        assert!(remedy(&docker).contains("MountFlags= (with any value, shared too)"));
    }
}
