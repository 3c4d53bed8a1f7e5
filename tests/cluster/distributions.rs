//! The kubelet as distributions of Kubernetes run it: where its program, its unit and its container runtime are, what
//! its arguments look like from outside, and where the root comes from. The kubelet itself is the real one.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "grafted under k3s: one process with its arguments wiped, the root in a configuration file",
        scripts: &[r#"
            mkdir -p /etc/rancher/k3s
            echo 'kubelet-arg: [root-dir=/srv/kubelet]' >/etc/rancher/k3s/config.yaml
            distribution k3s-agent /usr/local/bin/k3s --root-dir=$root /run/k3s/containerd/containerd.sock
            title /usr/local/bin/k3s agent
            grafted_there k3s
            no_distribution
            rm -r /etc/rancher"#],
    },
    Test {
        name: "grafted under RKE2: a kubelet out of an image, containerd in k3s' place",
        scripts: &[r#"
            mkdir -p /etc/rancher/rke2
            echo 'kubelet-arg: [root-dir=/srv/kubelet]' >/etc/rancher/rke2/config.yaml
            distribution rke2-agent /var/lib/rancher/rke2/data/v1.36.2-rke2r1-0123456789ab/bin/kubelet \
                --root-dir=$root /run/k3s/containerd/containerd.sock
            grafted_there rke2
            no_distribution
            rm -r /etc/rancher"#],
    },
    Test {
        name: "grafted under k0s, whose root is in its data directory",
        scripts: &[r#"
            root=/var/lib/k0s/kubelet
            distribution k0sworker /var/lib/k0s/bin/kubelet --root-dir=$root /run/k0s/containerd.sock
            grafted_there k0s
            no_distribution"#],
    },
    Test {
        name: "grafted under MicroK8s, whose root is at the standard path by a link",
        scripts: &[r#"
            root=/var/snap/microk8s/common/var/lib/kubelet
            systemctl -q disable --now kubelet
            mkdir -p $root /var/snap/microk8s/current/args
            mv $standard /var/lib/kubelet.before
            ln -s $root $standard
            echo '--root-dir=${SNAP_COMMON}/var/lib/kubelet' >/var/snap/microk8s/current/args/kubelet
            distribution snap.microk8s.daemon-kubelite /snap/microk8s/7000/kubelite --root-dir=$root \
                /var/snap/microk8s/common/run/containerd.sock
            title /snap/microk8s/7000/kubelite --kubelet-args-file=/var/snap/microk8s/current/args/kubelet
            grafted_there microk8s
            no_distribution
            rm -r $standard /snap /var/snap; mv /var/lib/kubelet.before $standard"#],
    },
    Test {
        name: "grafted under a confined snap: kubelet and containerd in a mount namespace that only receives mounts",
        scripts: &[r#"
            root=/var/snap/microk8s/common/var/lib/kubelet
            unit=snap.microk8s.daemon-kubelite
            mkdir -p $root /var/snap/microk8s/current/args /etc/systemd/system/$unit.service.d
            echo '--root-dir=${SNAP_COMMON}/var/lib/kubelet' >/var/snap/microk8s/current/args/kubelet
            # As snap-confine makes it: what is mounted on the host appears there, and nothing the other way.
            printf '[Service]\nPrivateMounts=yes\n' >/etc/systemd/system/$unit.service.d/namespace.conf
            distribution $unit /snap/microk8s/7000/kubelite --root-dir=$root /var/snap/microk8s/common/run/containerd.sock
            title /snap/microk8s/7000/kubelite --kubelet-args-file=/var/snap/microk8s/current/args/kubelet
            # A driver that was there first: its containers do not see the bridge in that namespace.
            driver "$standard"
            settings graft
            install_csihost
            says 'kubectl rollout restart daemonset/csi-hostpathplugin -n default' csihost check
            says 'see driver-before-bridge' csihost plan
            kubectl rollout restart daemonset/csi-hostpathplugin -n default >/dev/null
            kubectl rollout status daemonset/csi-hostpathplugin --timeout=60s >/dev/null
            grafted_there microk8s
            no_distribution
            rm -r /snap /var/snap /etc/systemd/system/$unit.service.d"#],
    },
];
