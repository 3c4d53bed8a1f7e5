//! Pure: which Kubernetes a kubelet is, from what can be read without running it.

use super::distribution::{rke2_tag, without_deleted};
use crate::model::path::HostPath;

/// The version in a Go program's build information (`go version -m`).
pub fn of_build_info(info: &str) -> Option<String> {
    // What was given to the linker is the version that the kubelet itself tells. A build with
    // -trimpath does not keep it.
    const LINKED: [&str; 3] = [
        "k8s.io/component-base/version.gitVersion=",
        "k8s.io/client-go/pkg/version.gitVersion=",
        "/k3s/pkg/version.Version=",
    ];
    let flags = info.lines().find_map(|line| line.strip_prefix("build\t-ldflags="));
    let linked = flags.and_then(|flags| {
        LINKED.iter().find_map(|name| {
            let value = flags.split_once(name)?.1;
            version(value.split(|c: char| c.is_whitespace() || "\"'\\".contains(c)).next()?)
        })
    });
    linked.or_else(|| module(info))
}

/// The version of the module k8s.io/kubernetes, or of the fork that replaces it.
fn module(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let own = lines.by_ref().find_map(|line| {
        let mut fields = line.split('\t');
        let kind = fields.next()?;
        let kubernetes = matches!(kind, "mod" | "dep") && fields.next()? == "k8s.io/kubernetes";
        kubernetes.then(|| fields.next().unwrap_or_default())
    })?;
    let replaced = lines.next().and_then(|line| line.strip_prefix("=>\t")?.split('\t').nth(1));
    // A version made from a commit (v0.0.0-20240101…) tells nothing; "(devel)" is no version.
    let told = |text: &&str| !text.starts_with("v0.0.0");
    let text = replaced.into_iter().chain([own]).filter(told).find_map(version)?;
    // Modules cannot have a `+`: k3s tags its fork v1.21.2-k3s1 for v1.21.2+k3s1.
    Some(with_plus(&text, "k3s"))
}

/// The version in the path of a program: RKE2 has the tag of its image there.
pub fn of_path(exe: &[u8]) -> Option<String> {
    let tag = rke2_tag(without_deleted(exe))?;
    version(&with_plus(tag, "rke2"))
}

/// A tag in which a version's `+` could not be.
fn with_plus(text: &str, name: &str) -> String {
    text.replacen(&format!("-{name}"), &format!("+{name}"), 1)
}

/// The file that describes the snap which a program belongs to, and the snap's revision.
pub fn snap(exe: &[u8]) -> Option<(HostPath, String)> {
    let mut parts = exe.strip_prefix(b"/snap/")?.split(|&b| b == b'/');
    let (name, revision) = (parts.next()?, parts.next()?);
    parts.next()?;
    let revision = std::str::from_utf8(revision).ok()?;
    // `x1` is one that was installed from a file.
    let digits = revision.strip_prefix('x').unwrap_or(revision);
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let directory = HostPath::from("/snap").join(name).join(revision);
    valid.then(|| (directory.join("meta/snap.yaml"), format!("snap revision {revision}")))
}

/// The version in a snap's meta/snap.yaml: a scalar of the top level.
pub fn of_snap(yaml: &[u8]) -> Option<String> {
    let line = yaml.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"version:"))?;
    version(std::str::from_utf8(line).ok()?.trim().trim_matches(['"', '\'']))
}

/// The version in what `kubelet --version` prints: `Kubernetes v1.31.8+k0s`.
pub fn of_output(output: &[u8]) -> Option<String> {
    let line = output.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Kubernetes "))?;
    version(std::str::from_utf8(line).ok()?.trim())
}

/// `text`, if it looks like a version of Kubernetes: it is shown, and compared between nodes.
fn version(text: &str) -> Option<String> {
    let digits = text.strip_prefix('v')?;
    let valid = text.len() <= 64
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.contains('.')
        && digits.chars().all(|c| c.is_ascii_alphanumeric() || "._+-~".contains(c));
    valid.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn build_information_tells_it_in_one_way_or_another() {
        for (info, expected) in [
            // k3s 1.21 as it is, shortened.
            (
                "path\tgithub.com/rancher/k3s\nmod\tgithub.com/rancher/k3s\t(devel)\t\n\
                 dep\tk8s.io/kubectl\tv0.21.2\n=>\tgithub.com/k3s-io/kubernetes/staging/src/k8s.io/kubectl\tv1.21.2-k3s1\th1:x=\n\
                 dep\tk8s.io/kubernetes\tv1.21.2\n=>\tgithub.com/k3s-io/kubernetes\tv1.21.2-k3s1\th1:x=\n\
                 dep\tk8s.io/utils\tv0.0.1\n",
                Some("v1.21.2+k3s1"),
            ),
            (
                "mod\tgithub.com/k3s-io/k3s\t(devel)\ndep\tk8s.io/kubernetes\tv1.31.2\n=>\tgithub.com/k3s-io/kubernetes\tv1.31.2-k3s1\n\
                 build\t-ldflags=\"-X github.com/k3s-io/k3s/pkg/version.Version=v1.31.2+k3s2 -X a.b=c\"\n",
                Some("v1.31.2+k3s2"),
            ),
            (
                "build\t-ldflags=\"-X 'k8s.io/component-base/version.gitVersion=v1.31.8+k0s' -s\"\n",
                Some("v1.31.8+k0s"),
            ),
            // Upstream, with -trimpath.
            (
                "path\tk8s.io/kubernetes/cmd/kubelet\nmod\tk8s.io/kubernetes\t(devel)\t\nbuild\t-trimpath=true\n",
                None,
            ),
            ("mod\tk8s.io/kubernetes\tv1.34.0\t\n", Some("v1.34.0")),
            (
                "dep\tk8s.io/kubernetes\tv1.30.1\n=>\tgithub.com/openshift/kubernetes\tv0.0.0-20240501000000-0123456789ab\n",
                Some("v1.30.1"),
            ),
            ("dep\tk8s.io/kubernetes\tv0.0.0\n", None),
            ("build\t-ldflags=\"-X k8s.io/component-base/version.gitVersion=\"\n", None),
            ("", None),
        ] {
            assert_eq!(of_build_info(info).as_deref(), expected, "{info}");
        }
    }

    #[test]
    fn paths_snaps_and_outputs_tell_it_too() {
        let rke2 = b"/var/lib/rancher/rke2/data/v1.28.10-rke2r1-b0d0d687d98f/bin/kubelet (deleted)";
        assert_eq!(of_path(rke2).as_deref(), Some("v1.28.10+rke2r1"));
        assert_eq!(of_path(b"/usr/bin/kubelet"), None);
        let (file, revision) = snap(b"/snap/microk8s/6089/kubelite").unwrap();
        assert_eq!(
            (file.to_string().as_str(), revision.as_str()),
            ("/snap/microk8s/6089/meta/snap.yaml", "snap revision 6089")
        );
        for path in ["/snap/microk8s/current/kubelite", "/snap/microk8s/6089", "/snap/x/", "/usr/snap/a/1/b"]
        {
            assert_eq!(snap(path.as_bytes()), None, "{path}");
        }
        assert_eq!(of_snap(b"name: microk8s\nversion: 'v1.28.7'\n").as_deref(), Some("v1.28.7"));
        assert_eq!(of_snap(b"name: x\napps:\n  version: v1.2\n"), None);
        assert_eq!(of_output(b"Kubernetes v1.20.2\n").as_deref(), Some("v1.20.2"));
        for output in ["", "v1.20.2\n", "Kubernetes \x1b[31mv1\n", "Kubernetes v1\n", "Kubernetes v1.2 x\n"] {
            assert_eq!(of_output(output.as_bytes()), None, "{output:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text: Vec<u8>, info in "((mod|dep|=>|build)\t(k8s.io/kubernetes|-ldflags=)\t?[ -~]*\n)*") {
            let _ = (of_path(&text), snap(&text), of_snap(&text), of_output(&text), of_build_info(&info));
        }
    }
}
