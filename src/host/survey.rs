//! Edge: what lies below a directory, without following a link or entering another file system.

use super::Host;
use super::tree::Kind;
use crate::model::file::Survey;
use crate::model::path::HostPath;
use std::collections::VecDeque;

impl Host {
    /// What lies below `path`. A directory that cannot be read, or a tree that is too large, gives
    /// an answer that is not complete.
    pub fn survey(&self, path: &HostPath) -> Survey {
        let mut survey = Survey { complete: true, ..Survey::default() };
        // A capture holds what was asked for, and nothing of a volume.
        let Ok(root) = self.root.try_clone() else { return Survey::default() };
        let quiet = Self { root, mode: self.mode, owner: self.owner, asked: None };
        quiet.look_below(path, &mut survey);
        survey
    }

    fn look_below(&self, path: &HostPath, survey: &mut Survey) {
        let Some(start) = self.file_id(path) else { return };
        let mut todo = VecDeque::from([path.clone()]);
        let mut looked = 0;
        while let Some(directory) = todo.pop_front() {
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
                    Some(Kind::Directory) => {
                        if self.file_id(&path).is_some_and(|id| id.device == start.device) {
                            todo.push_back(path);
                        }
                    }
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

        let host = Host::open(Some(tree.path())).unwrap();
        let survey = host.survey(&HostPath::from("/kubelet"));
        let path = |text: &str| HostPath::parse(format!("/kubelet/{text}").as_bytes()).unwrap();
        assert_eq!(survey.volumes, [path(&volume("full"))]);
        assert_eq!(
            survey.sockets,
            [path("plugins/driver/csi.sock"), path("plugins/driver/new"), path("plugins/driver/old")]
        );
        assert_eq!(survey.others, [path("plugins/up")]);
        assert!(survey.complete && !survey.bare());
        assert!(host.survey(&path(&volume("empty"))).bare());
        assert!(host.survey(&HostPath::from("/nothing")).bare());
    }

    #[test]
    fn a_tree_that_is_too_large_is_not_called_bare() {
        let tree = tempfile::tempdir().unwrap();
        for directory in 0..Survey::DIRECTORIES {
            fs::create_dir(tree.path().join(directory.to_string())).unwrap();
        }
        let host = Host::open(Some(tree.path())).unwrap();
        assert!(!host.survey(&HostPath::root()).complete);
    }
}
