//! Pure: which distribution a running kubelet belongs to.
//!
//! By where its program lies, how it was started, the unit that it belongs to and the files that
//! only one distribution has. Where nothing tells more it is a plain kubelet.

use super::program::Program;
use super::world::World;
use super::{arguments, cgroup};
use crate::model::kubelet::{Declaration, Distribution, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::process::Process;

/// Whose kubelet `process` is, with the root `root`.
pub(super) fn of(
    process: &Process,
    program: Program,
    root: &KubeletRoot,
    declarations: &[Declaration],
    world: &dyn World,
) -> Distribution {
    match program {
        Program::K3s => return Distribution::K3s,
        Program::Kubelite => return Distribution::Microk8s,
        Program::Microshift => return Distribution::Microshift,
        Program::Kubelet => {}
    }
    let unit = cgroup::service(&process.cgroup);
    let unit_name = unit.as_ref().map_or("", |unit| unit.as_str());
    by_program(process, root)
        .or_else(|| by_unit(unit_name))
        .or_else(|| is_rke(unit_name, root).then_some(Distribution::Rke))
        .or_else(|| by_arguments(process, world))
        .or_else(|| {
            // The unit was read already, by the rules of its distribution.
            let declared = declarations.iter().find(|d| d.unit.is_some() && d.unit == unit)?;
            Some(declared.distribution).filter(|&distribution| distribution != Distribution::Unknown)
        })
        .unwrap_or(Distribution::Kubelet)
}

/// By where the program lies. The link /proc/PID/exe is the kernel's word, the first argument the
/// process's own; inside a container only both together tell nothing more than either.
fn by_program(process: &Process, root: &KubeletRoot) -> Option<Distribution> {
    let exe = process.exe.as_deref().map(without_deleted);
    let first = process.args.first().map(Vec::as_slice);
    [exe, first].into_iter().flatten().find_map(|path| {
        if path.starts_with(b"/snap/k8s/") {
            return Some(Distribution::K8sSnap);
        }
        if path.starts_with(b"/snap/microk8s/") {
            return Some(Distribution::Microk8s);
        }
        if rke2_tag(path).is_some() {
            return Some(Distribution::Rke2);
        }
        // k0s unpacks its programs into <data-dir>/bin, and names <data-dir>/kubelet the root, or
        // since 1.31.8 another one by --kubelet-root-dir. With another data directory its name is
        // still in the arguments (unix:///run/k0s/containerd.sock).
        let data_dir = path.strip_suffix(b"/bin/kubelet")?;
        let its_root = root.as_bytes().strip_prefix(data_dir) == Some(b"/kubelet");
        let named = process.args.iter().any(|arg| arg.windows(5).any(|part| part == b"/k0s/"));
        (data_dir.ends_with(b"/k0s") || (its_root && named)).then_some(Distribution::K0s)
    })
}

/// RKE2 unpacks its programs into `<data-dir>/data/<image tag>-<12 hex>/bin`; gives the tag, as
/// `v1.28.10-rke2r1` (rke2, pkg/bootstrap).
pub(super) fn rke2_tag(exe: &[u8]) -> Option<&str> {
    let directory = exe.strip_suffix(b"/bin/kubelet")?;
    let mut parts = directory.rsplit(|&b| b == b'/');
    let (name, data) = (std::str::from_utf8(parts.next()?).ok()?, parts.next()?);
    let (tag, digest) = name.rsplit_once('-')?;
    let hex = digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && data == b"data" && tag.contains("rke2")).then_some(tag)
}

/// The path of a program without what the kernel adds to it once its file is gone.
pub(super) fn without_deleted(exe: &[u8]) -> &[u8] {
    exe.strip_suffix(b" (deleted)").unwrap_or(exe)
}

fn by_unit(unit: &str) -> Option<Distribution> {
    let starts = |prefix: &str| unit.starts_with(prefix);
    match () {
        () if starts("rke2-") => Some(Distribution::Rke2),
        () if starts("k0scontroller") || starts("k0sworker") => Some(Distribution::K0s),
        () if starts("snap.k8s.") => Some(Distribution::K8sSnap),
        () if starts("snap.microk8s.") => Some(Distribution::Microk8s),
        () => None,
    }
}

/// RKE1 runs the kubelet in a docker container of the host's PID namespace, and puts its root
/// below `prefix_path` on hosts whose /var is not kept (rke, cluster/plan.go).
fn is_rke(unit: &str, root: &KubeletRoot) -> bool {
    let prefixes = ["/opt/rke", "/mnt/sda1/rke"];
    unit == "docker.service"
        || prefixes.iter().any(|&prefix| root.as_path().starts_with(&HostPath::root().join(prefix)))
}

fn by_arguments(process: &Process, world: &dyn World) -> Option<Distribution> {
    let value = |name| arguments::flag(&process.args, name).unwrap_or_default();
    // The machine-config operator labels every node (machine-config-operator, templates/*/kubelet.service).
    let labels = value("node-labels");
    if labels.windows(18).any(|window| window == b"node.openshift.io/") {
        return Some(Distribution::Openshift);
    }
    if world.exists(&HostPath::from("/etc/machine-config-daemon")) {
        return Some(Distribution::Openshift);
    }
    // kubeadm's drop-in 10-kubeadm.conf, and what `kubeadm join` writes.
    let kubeadm = value("bootstrap-kubeconfig") == b"/etc/kubernetes/bootstrap-kubelet.conf"
        || world.exists(&HostPath::from("/var/lib/kubelet/kubeadm-flags.env"));
    kubeadm.then_some(Distribution::Kubeadm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fake::Fake;

    fn found(exe: &str, args: &[&str], root: &str, cgroup: &str, files: &[&'static str]) -> Distribution {
        let process = Process {
            exe: Some(exe.as_bytes().to_vec()),
            args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            cgroup: format!("0::{cgroup}\n").into_bytes(),
            ..Process::default()
        };
        let world =
            Fake { there: files.iter().map(|&file| HostPath::from(file)).collect(), ..Fake::default() };
        let root = KubeletRoot::parse(root.as_bytes()).unwrap();
        of(&process, Program::Kubelet, &root, &[], &world)
    }

    #[test]
    fn every_row_of_the_table_is_told_from_the_others() {
        const DEFAULT: &str = "/var/lib/kubelet";
        const SLICE: &str = "/system.slice/kubelet.service";
        let rke2 = "/var/lib/rancher/rke2/data/v1.28.10-rke2r1-b0d0d687d98f/bin/kubelet";
        for (exe, args, root, cgroup, expected) in [
            ("/usr/bin/kubelet", &["kubelet"][..], DEFAULT, SLICE, Distribution::Kubelet),
            (rke2, &["kubelet"], DEFAULT, "/system.slice/rke2-agent.service", Distribution::Rke2),
            (&format!("{rke2} (deleted)"), &["kubelet"], DEFAULT, "/", Distribution::Rke2),
            ("/var/lib/k0s/bin/kubelet", &["x"], "/srv/other", "/", Distribution::K0s),
            (
                "/mnt/k/bin/kubelet",
                &["x", "--e=unix:///run/k0s/c.sock"],
                "/mnt/k/kubelet",
                "/",
                Distribution::K0s,
            ),
            ("/mnt/k/bin/kubelet", &["x"], "/mnt/k/kubelet", "/", Distribution::Kubelet),
            ("/x/kubelet", &["x"], "/srv", "/system.slice/k0sworker.service/x", Distribution::K0s),
            ("/snap/k8s/1/bin/kubelet", &["x"], DEFAULT, "/", Distribution::K8sSnap),
            ("/snap/microk8s/1/kubelet", &["x"], "/v", "/", Distribution::Microk8s),
            ("/usr/local/bin/kubelet", &["kubelet"], DEFAULT, "/docker/0123", Distribution::Rke),
            ("/usr/bin/kubelet", &["kubelet"], "/opt/rke/var/lib/kubelet", "/", Distribution::Rke),
            ("/usr/bin/kubelet", &["kubelet"], "/mnt/sda1/rke/var/lib/kubelet", "/", Distribution::Rke),
            (
                "/usr/bin/kubelet",
                &["kubelet", "--node-labels=node-role.kubernetes.io/worker,node.openshift.io/os_id=rhcos"],
                DEFAULT,
                SLICE,
                Distribution::Openshift,
            ),
            (
                "/usr/bin/kubelet",
                &["kubelet", "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"],
                DEFAULT,
                SLICE,
                Distribution::Kubeadm,
            ),
        ] {
            assert_eq!(found(exe, args, root, cgroup, &[]), expected, "{exe} {root} {cgroup}");
        }
        let kubeadm = ["/var/lib/kubelet/kubeadm-flags.env"];
        assert_eq!(found("/usr/bin/kubelet", &["kubelet"], DEFAULT, SLICE, &kubeadm), Distribution::Kubeadm);
        let openshift = ["/etc/machine-config-daemon"];
        assert_eq!(
            found("/usr/bin/kubelet", &["kubelet"], DEFAULT, SLICE, &openshift),
            Distribution::Openshift
        );
    }

    #[test]
    fn only_rke2s_own_directories_have_its_tag() {
        assert_eq!(rke2_tag(b"/x/data/v1.2.3-rke2r1-0123456789ab/bin/kubelet"), Some("v1.2.3-rke2r1"));
        for path in [
            "/x/data/v1.2.3-rke2r1-0123456789a/bin/kubelet",
            "/x/data/v1.2.3-k3s1-0123456789ab/bin/kubelet",
            "/x/v1.2.3-rke2r1-0123456789ab/bin/kubelet",
            "/bin/kubelet",
            "",
        ] {
            assert_eq!(rke2_tag(path.as_bytes()), None, "{path}");
        }
    }
}
