//! Mounts: which rows of a mount table can matter to a contract, before it is parsed.

use super::super::bridge::STANDARD_PATH;
use crate::model::kubelet::KubeletRoot;

/// The kubelet's names for its root, as the kernel writes them in mount tables.
#[derive(Debug)]
pub struct Names {
    roots: [Vec<u8>; 2],
    /// Below these there are volumes of pods and nothing else.
    pods: Vec<Vec<u8>>,
}

impl Names {
    /// The names of a root, and of the standard path.
    pub fn new(root: &KubeletRoot) -> Self {
        // fs/proc_namespace.c, show_mountinfo.
        let escaped = |path: &[u8]| -> Vec<u8> {
            let escape = |&b: &u8| match b {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{b:03o}").into_bytes(),
                b => vec![b],
            };
            path.iter().flat_map(escape).collect()
        };
        let roots = [escaped(root.as_bytes()), escaped(STANDARD_PATH.as_bytes())];
        let below = |root: &Vec<u8>| [root.as_slice(), b"/pods/"].concat();
        // A root may itself lie in a volume of another kubelet's.
        let hides = |pods: &Vec<u8>| roots.iter().any(|root| root.starts_with(pods));
        let pods = roots.iter().map(below).filter(|pods| !hides(pods)).collect();
        Self { roots, pods }
    }

    /// Whether a mount table, as text, shows the kubelet's root or pods at a kubelet's place: the
    /// cheap look at containers that say nothing of CSI. All others need not be parsed.
    pub fn may_publish(&self, mountinfo: &[u8]) -> bool {
        mountinfo.split(|&b| b == b'\n').map(point).any(|point| {
            let point = point.strip_suffix(b"/pods").unwrap_or(point);
            self.roots.iter().any(|root| root == point)
        })
    }

    /// A mount table, as text, without the volumes of pods: a plugin sees those of all pods, they are
    /// most of its rows, and none of them says where the pods are.
    pub fn without_volumes(&self, mountinfo: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(mountinfo.len().min(1 << 16));
        for row in mountinfo.split_inclusive(|&b| b == b'\n') {
            let point = point(row);
            if !row.ends_with(b"\n") || !self.pods.iter().any(|pods| point.starts_with(pods)) {
                kept.extend_from_slice(row);
            }
        }
        kept
    }
}

/// The mount point in a row of a mount table, as it is written there.
fn point(row: &[u8]) -> &[u8] {
    row.splitn(6, |&b| b == b' ').nth(4).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::mountinfo::parse;
    use crate::mounts::resolve::place;
    use proptest::prelude::*;

    #[test]
    fn the_cheap_look_takes_what_may_publish() {
        let names = Names::new(&KubeletRoot::parse(b"/srv/a b").unwrap());
        let row = |point: &str| format!("1 2 8:1 / /x rw - t s rw\n300 299 8:1 /q {point} rw - t s rw\n");
        for (point, is) in [
            ("/srv/a\\040b", true),
            ("/srv/a\\040b/pods", true),
            ("/var/lib/kubelet/pods", true),
            ("/var/lib/kubelet", true),
            ("/var/lib/kubelet/plugins", false),
            ("/host/var/lib/kubelet", false),
            ("/", false),
        ] {
            assert_eq!(names.may_publish(row(point).as_bytes()), is, "{point}");
        }
        assert!(!names.may_publish(b""));
    }

    #[test]
    fn volumes_of_pods_are_left_out_and_nothing_else_is() {
        let row = |point: &str| format!("1 2 8:1 /x {point} rw shared:1 - t s rw\n");
        let kept = |root: &str, point: &str| {
            let names = Names::new(&KubeletRoot::parse(root.as_bytes()).unwrap());
            !names.without_volumes(row(point).as_bytes()).is_empty()
        };
        let volume =
            "/var/lib/kubelet/pods/f3412c75-4ac7-4fcd-b1ed-b700bcf08552/volumes/kubernetes.io~csi/pvc/mount";
        for root in ["/var/lib/kubelet", "/srv/k"] {
            assert!(!kept(root, volume));
            assert!(kept(root, "/var/lib/kubelet/pods"));
            assert!(kept(root, "/var/lib/kubelet/plugins/kubernetes.io/csi/x/globalmount"));
            assert!(kept(root, "/"));
        }
        assert!(!kept("/srv/k", "/srv/k/pods/x"));
        assert!(kept("/srv/k", "/host/srv/k/pods/x"));
        // A root in a volume of another kubelet's, and a table that was cut off.
        assert!(kept(&format!("{volume}/k"), volume));
        let names = Names::new(&KubeletRoot::standard());
        assert_eq!(
            names.without_volumes(row(volume).trim_end().as_bytes()),
            row(volume).trim_end().as_bytes()
        );
    }

    proptest! {
        #[test]
        fn what_is_said_of_the_pods_is_the_same_without_their_volumes(
            rows in proptest::collection::vec(("[0-3]", prop_oneof![
                Just("/"), Just("/var"), Just("/var/lib/kubelet"), Just("/var/lib/kubelet/pods"), Just("/var/lib/kubelet/pods/u"),
                Just("/var/lib/kubelet/pods/u/v"), Just("/var/lib/kubelet/plugins"), Just("/srv/k/pods"), Just("/srv/k/pods/u"),
            ]), 0..12),
        ) {
            let text: String = std::iter::once("20 1 8:1 / / rw shared:1 - t s rw\n".to_owned())
                .chain(rows.iter().zip(21..).map(|((back, point), id)| {
                    let parent = (id - 1 - back.parse::<u64>().unwrap()).max(20);
                    format!("{id} {parent} 0:{id} / {point} rw shared:{id} - t s rw\n")
                }))
                .collect();
            let names = Names::new(&KubeletRoot::parse(b"/srv/k").unwrap());
            let less = parse(&names.without_volumes(text.as_bytes())).unwrap();
            // Mounts below pods that are parents of mounts above do not exist; a lookup never crosses one.
            let whole = parse(text.as_bytes()).unwrap();
            for path in ["/srv/k/pods", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins/kubernetes.io/csi", "/"] {
                let consistent = whole.iter().all(|mount| {
                    whole.by_id(mount.parent).is_none_or(|parent| mount.point.starts_with(&parent.point))
                });
                if consistent {
                    prop_assert_eq!(place(&whole, path.as_bytes()), place(&less, path.as_bytes()));
                }
            }
        }
    }
}
