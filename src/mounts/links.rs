//! Mounts: symbolic links in the place of the kubelet's directories.
//!
//! A container gets the kubelet's root with a link in it, and follows the link in its own file system: volumes that a plugin
//! mounts there stay in its container. A mount in the place of the link is in every container that gets the root.

use super::bridge::STANDARD_PATH;
use super::unit_name::mount_unit;
use crate::model::bytes::shell_word;
use crate::model::contract::Link;
use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::unit::UnitName;

/// The directories of a kubelet that containers of plugins get.
pub const DIRECTORIES: [&str; 3] = ["pods", "plugins", "plugins_registry"];

/// The links out of the kubelet's root, as the running kubelet sees them, or, where none runs, the host.
pub fn links(facts: &Facts) -> Vec<Link> {
    if let Some(kubelet) = &facts.plugins.kubelet {
        return kubelet.links.clone();
    }
    let standard = HostPath::from(STANDARD_PATH);
    let root = facts.detection.host_dir().unwrap_or(&standard);
    of_root(facts.canonical(root), |path| facts.dirs.get(path).and_then(|fact| fact.canonical()).cloned())
}

/// The links out of `root`, a path without links, where `canonical` follows those of a path.
pub fn of_root(root: &HostPath, canonical: impl Fn(&HostPath) -> Option<HostPath>) -> Vec<Link> {
    let link = |name| {
        let path = root.join(name);
        let target = canonical(&path)?;
        (target != path && !target.starts_with(root)).then_some(Link { path, target })
    };
    DIRECTORIES.into_iter().filter_map(link).collect()
}

/// Commands that put a shared bind mount in the place of each link, at once and at every boot before the kubelet `unit`.
pub fn repair(links: &[Link], unit: Option<&UnitName>) -> String {
    let mut commands = Vec::new();
    for Link { path, target } in links {
        // nofail: without the disk the node still boots, and only the kubelet does not start (systemd.mount(5)).
        let before = unit.map_or_else(String::new, |unit| {
            format!(",x-systemd.before={unit},x-systemd.required-by={unit}")
        });
        let line =
            format!("{} {} none rbind,rshared,nofail{before} 0 0", fstab_field(target), fstab_field(path));
        let place = shell_word(&path.to_string());
        commands.push(format!(
            "rm {place} && mkdir -m 750 {place} && printf '%s\\n' {} >>/etc/fstab",
            shell_word(&line)
        ));
    }
    let mounts: Vec<String> = links
        .iter()
        .filter_map(|link| mount_unit(&link.path).ok())
        .map(|unit| shell_word(unit.as_str()))
        .collect();
    let commands = commands.join(" && ");
    match unit.map(|unit| shell_word(unit.as_str())) {
        Some(unit) => format!(
            "systemctl stop {unit} && {commands} && systemctl daemon-reload && systemctl start {} && systemctl start {unit}",
            mounts.join(" ")
        ),
        None => {
            let places: Vec<String> =
                links.iter().map(|link| format!("mount {}", shell_word(&link.path.to_string()))).collect();
            format!("{commands} && {}, while the kubelet is stopped", places.join(" && "))
        }
    }
}

/// The path as a field of fstab(5).
fn fstab_field(path: &HostPath) -> String {
    let text = String::from_utf8_lossy(path.as_bytes()).replace('\\', "\\134");
    text.replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_link_out_of_the_root_is_told_and_one_within_is_not() {
        let root = path("/var/lib/kubelet");
        let canonical = |at: &HostPath| match at.file_name() {
            b"pods" => Some(path("/mnt/scratch/pods")),
            b"plugins" => Some(path("/var/lib/kubelet/data/plugins")),
            _ => Some(at.clone()),
        };
        let found = of_root(&root, canonical);
        assert_eq!(found, [Link { path: root.join("pods"), target: path("/mnt/scratch/pods") }]);
        assert_eq!(of_root(&root, |_| None), []);
    }

    #[test]
    fn the_commands_replace_each_link_by_a_mount_before_the_kubelet() {
        let link = Link { path: path("/var/lib/kubelet/pods"), target: path("/mnt/a b") };
        let unit = UnitName::from("kubelet.service");
        assert_eq!(
            repair(std::slice::from_ref(&link), Some(&unit)),
            "systemctl stop kubelet.service && rm /var/lib/kubelet/pods && mkdir -m 750 /var/lib/kubelet/pods && printf '%s\\n' \
             '/mnt/a\\040b /var/lib/kubelet/pods none rbind,rshared,nofail,x-systemd.before=kubelet.service,x-systemd.required-by=kubelet.service 0 0' >>/etc/fstab && \
             systemctl daemon-reload && systemctl start var-lib-kubelet-pods.mount && systemctl start kubelet.service"
        );
        assert!(
            repair(&[link], None).ends_with("&& mount /var/lib/kubelet/pods, while the kubelet is stopped")
        );
    }
}
