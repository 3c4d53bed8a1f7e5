//! Edge: what lies below a directory, without following a link or entering another file system.

use super::Host;
use super::read::file_id;
use super::tree::Kind;
use super::walk::Last;
use crate::model::file::Survey;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use std::collections::{BTreeSet, VecDeque};

impl Host {
    /// What lies below `path`. A directory that cannot be read, or a tree that is too large or too deep, gives
    /// an answer that is not complete. Nothing that is mounted below `path`, by `mounts`, is accessed.
    pub fn survey(&self, path: &HostPath, mounts: &MountTable) -> Survey {
        let mut survey = Survey { complete: true, ..Survey::default() };
        // A capture holds what was asked for, and nothing of a volume.
        let Ok(root) = self.root.try_clone() else { return Survey::default() };
        let quiet = Self { root, mode: self.mode, owner: self.owner, asked: None, of: self.of };
        quiet.look_below(path, mounts, &mut survey);
        survey
    }

    fn look_below(&self, path: &HostPath, mounts: &MountTable, survey: &mut Survey) {
        let walked = match self.walk(path, Last::Follow) {
            Ok(walked) => walked,
            Err(_) => {
                survey.complete = false;
                return;
            }
        };
        let Some(start) = walked.found.as_ref().and_then(file_id) else { return };
        // The table knows paths without links.
        let canonical = walked.canonical();
        let points: BTreeSet<&[u8]> =
            mounts.below(canonical.as_bytes()).map(|mount| mount.point.as_slice()).collect();
        let is_mounted = |below: &HostPath| {
            below.below(path).is_some_and(|rest| points.contains(canonical.join(rest).as_bytes()))
        };
        let mut todo = VecDeque::from([(path.clone(), 0)]);
        let mut looked = 0;
        while let Some((directory, depth)) = todo.pop_front() {
            looked += 1;
            if looked > Survey::DIRECTORIES {
                survey.complete = false;
                break;
            }
            // A volume's content is nobody's business: that there is some is all that counts.
            let volume = Survey::is_volume(&directory);
            let most = if volume { 1 } else { usize::MAX };
            let Ok(entries) = self.entries(&directory, most) else {
                survey.complete = false;
                continue;
            };
            if volume {
                if !entries.is_empty() {
                    keep(&mut survey.volumes, directory, Survey::TOLD, &mut survey.complete);
                }
                continue;
            }
            for (name, kind) in entries {
                let path = directory.join(name);
                match kind {
                    // What is mounted is for the mount table to say, and may not answer.
                    Some(Kind::Directory) if is_mounted(&path) => {}
                    // Each level is walked from the root: the cost is the depth.
                    Some(Kind::Directory) if depth == Survey::DEPTH => survey.complete = false,
                    Some(Kind::Directory) => match self.walk(&path, Last::Keep) {
                        Err(_) => survey.complete = false,
                        Ok(walked) => {
                            if walked
                                .found
                                .as_ref()
                                .and_then(file_id)
                                .is_some_and(|id| id.device == start.device)
                            {
                                todo.push_back((path, depth + 1));
                            }
                        }
                    },
                    Some(Kind::Special) if self.is_socket(&path) => {
                        keep(&mut survey.sockets, path, Survey::SOCKETS, &mut survey.complete);
                    }
                    // A link has no content of its own, and this one leads to none.
                    Some(Kind::Link) if self.is_socket(&path) || self.leads_nowhere(&path) => {
                        keep(&mut survey.sockets, path, Survey::SOCKETS, &mut survey.complete);
                    }
                    _ => keep(&mut survey.others, path, Survey::TOLD, &mut survey.complete),
                }
            }
        }
    }

    /// True if a walk along the link at `path` succeeds and finds nothing there.
    fn leads_nowhere(&self, path: &HostPath) -> bool {
        self.names(path).is_some_and(|named| named.id.is_none())
    }
}

fn keep(list: &mut Vec<HostPath>, path: HostPath, most: usize, complete: &mut bool) {
    match list.len() < most {
        true => list.push(path),
        false => *complete = false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn volumes_with_data_sockets_and_the_rest_are_told_apart_and_links_are_not_followed() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join("kubelet").join(path);
        let volume = |name: &str| format!("pods/0b8d/volumes/kubernetes.io~csi/{name}/mount");
        fs::create_dir_all(at(&volume("full"))).unwrap();
        fs::create_dir_all(at(&volume("empty"))).unwrap();
        fs::create_dir_all(at("plugins/driver")).unwrap();
        for file in 0..3 {
            fs::write(at(&volume("full")).join(file.to_string()), "data").unwrap();
        }
        let _socket = UnixListener::bind(at("plugins/driver/csi.sock")).unwrap();
        symlink("/kubelet", at("plugins/up")).unwrap();
        symlink("/nothing/there", at("plugins/driver/old")).unwrap();
        symlink("csi.sock", at("plugins/driver/new")).unwrap();

        let none = MountTable::default();
        let host = Host::open(Some(tree.path())).unwrap();
        let survey = host.survey(&HostPath::from("/kubelet"), &none);
        let path = |text: &str| HostPath::parse(format!("/kubelet/{text}").as_bytes()).unwrap();
        assert_eq!(survey.volumes, [path(&volume("full"))]);
        assert_eq!(
            survey.sockets,
            [path("plugins/driver/csi.sock"), path("plugins/driver/new"), path("plugins/driver/old")]
        );
        assert_eq!(survey.others, [path("plugins/up")]);
        assert!(survey.complete && !survey.bare());
        assert!(host.survey(&path(&volume("empty")), &none).bare());
        assert!(host.survey(&HostPath::from("/nothing"), &none).bare());
    }

    #[test]
    fn a_tree_that_is_too_large_is_not_called_bare() {
        let tree = tempfile::tempdir().unwrap();
        for directory in 0..Survey::DIRECTORIES {
            fs::create_dir(tree.path().join(directory.to_string())).unwrap();
        }
        let host = Host::open(Some(tree.path())).unwrap();
        assert!(!host.survey(&HostPath::root(), &MountTable::default()).complete);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_not_called_bare_and_costs_little() {
        let tree = tempfile::tempdir().unwrap();
        let deep: String = (0..900).map(|_| "q/").collect();
        fs::create_dir_all(tree.path().join(deep)).unwrap();
        let host = Host::open(Some(tree.path())).unwrap();
        assert!(!host.survey(&HostPath::root(), &MountTable::default()).complete);
        let shallow: String = (0..Survey::DEPTH).map(|_| "q/").collect();
        let other = tempfile::tempdir().unwrap();
        fs::create_dir_all(other.path().join(shallow)).unwrap();
        let host = Host::open(Some(other.path())).unwrap();
        assert!(host.survey(&HostPath::root(), &MountTable::default()).bare());
    }

    #[test]
    fn what_is_mounted_below_is_not_accessed_also_where_the_path_has_a_link() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("real/pods/one/mounted/file")).unwrap();
        fs::write(tree.path().join("real/pods/one/mounted/data"), "of a volume").unwrap();
        symlink("real", tree.path().join("kubelet")).unwrap();
        let host = Host::open(Some(tree.path())).unwrap();
        let path = HostPath::from("/kubelet/pods");
        let table = |point: &str| {
            let row = format!("20 1 8:1 / {point} rw - nfs4 server:/ rw\n");
            crate::mounts::mountinfo::parse(row.as_bytes()).unwrap()
        };
        assert!(host.survey(&path, &table("/real/pods/one/mounted")).bare());
        assert!(!host.survey(&path, &table("/elsewhere")).bare());
    }
}
