//! Engine: what the configuration of a host says of its kubelet's next start.

use super::files::HostFiles;
use super::tree::Tree;
use crate::detect::config::{self, Declared};
use crate::host::Host;
use crate::model::align::{NextStart, UnitTexts};
use crate::model::kubelet::Unread;
use crate::model::service::Service;
use crate::model::unit::UnitName;
use crate::systemd::{Offline, ServiceManager};

/// Reads what configuration says. systemd is asked only about units whose files are there; without
/// one, the files themselves are read: another init, or a bus that does not answer.
pub(super) async fn declared<M: ServiceManager>(host: &Host, manager: Option<&mut M>) -> Declared {
    let files = HostFiles::new(host);
    let units = config::units(&files);
    let (services, mut unread) = match manager {
        Some(manager) => services(manager, &units).await,
        None => services(&mut Offline::new(Tree::new(host)), &units).await,
    };
    let mut declared = config::declarations(&files, &services);
    declared.unread.append(&mut unread);
    declared
}

/// What the next start of a kubelet goes by, beside what it `says`: for whoever wants to change it.
pub(super) fn next_start(host: &Host, says: &Declared) -> NextStart {
    let files = HostFiles::new(host);
    let search = Offline::new(Tree::new(host));
    let units: Vec<UnitTexts> = config::units(&files).iter().filter_map(|unit| search.texts(unit)).collect();
    let config_files = units.iter().filter_map(|texts| {
        let all = texts.files.iter().map(|(path, text)| (path.clone(), text.as_slice()));
        let service = Service::read(texts.unit.clone(), all);
        Some((texts.unit.clone(), config::main_file(&files, &service)?))
    });
    let unread = says.unread.iter().map(|unread| format!("{}: {}", unread.path, unread.error));
    NextStart {
        declarations: says.declarations.clone(),
        undecided: says.undecided.then(|| unread.collect::<Vec<_>>().join("; ")),
        config_files: config_files.collect(),
        units,
    }
}

async fn services<M: ServiceManager>(manager: &mut M, units: &[UnitName]) -> (Vec<Service>, Vec<Unread>) {
    let (mut services, mut unread) = (Vec::new(), Vec::new());
    for unit in units {
        match manager.service(unit).await {
            Ok(Some(service)) => services.push(service),
            Ok(None) => {}
            Err(error) => unread.push(Unread { path: unit.to_string(), error: error.to_string() }),
        }
    }
    (services, unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kubelet::Source;
    use crate::systemd::Systemd;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_tree_of_files_declares_what_its_kubelet_would_use() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        let write = |path: &str, text: &str| std::fs::write(at(path), text).unwrap();
        write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
        write(
            "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n",
        );
        write("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--root-dir=/srv/kubelet\n");
        write("usr/lib/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n");
        write("etc/rancher/k3s/config.yaml", "kubelet-arg: [\n");
        symlink(
            "/usr/lib/systemd/system/kubelet.service",
            at("etc/systemd/system/multi-user.target.wants/kubelet.service"),
        )
        .unwrap();
        let host = Host::open(Some(tree.path())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let declared = || runtime.block_on(declared::<Systemd>(&host, None));

        let found = declared();
        let roots: Vec<_> = found.declarations.iter().map(|d| (d.root.to_string(), d.source)).collect();
        assert_eq!(roots, [("/srv/kubelet".to_owned(), Source::SystemdUnit)]);
        // k3s is not started at boot, and so its broken configuration is nobody's.
        assert_eq!(found.unread, []);

        symlink(
            "/usr/lib/systemd/system/k3s.service",
            at("etc/systemd/system/multi-user.target.wants/k3s.service"),
        )
        .unwrap();
        symlink("/dev/null", at("etc/systemd/system/kubelet.service.d/10-kubeadm.conf")).unwrap();
        let found = declared();
        let roots: Vec<_> = found.declarations.iter().map(|d| (d.root.to_string(), d.source)).collect();
        assert_eq!(roots, [("/var/lib/kubelet".to_owned(), Source::Default)]);
        assert_eq!(found.unread.len(), 1);
        assert!(found.unread[0].error.contains("line 2"), "{:?}", found.unread);
    }
}
