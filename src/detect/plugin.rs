//! Pure: what the arguments of a process say of CSI.
//!
//! Drivers name their flags as they like. These are the ones in use, found in the manifests of
//! the drivers themselves: node-driver-registrar and the other sidecars (kubernetes-csi), Longhorn,
//! ceph-csi, the csi-driver-* family, aws-ebs, Trident (`--csi_endpoint`), democratic-csi
//! (`--server-socket`, `--csi-name`). An endpoint can also be given by environment variable, and
//! that is not read.

use crate::model::contract::Claims;
use crate::model::path::HostPath;

const ENDPOINT: [&[u8]; 5] =
    [b"endpoint", b"csi-endpoint", b"csiendpoint", b"server-socket", b"csi-endpoint-path"];
const DRIVER: [&[u8]; 6] =
    [b"driver-name", b"drivername", b"driver", b"csi-name", b"csi-driver-name", b"csi-driver"];

/// Whether arguments are worth reading whole: the cheap look at thousands of them, at their
/// beginning. iscsid passes it too; csihost's own name does not: its agent is a service with mounts
/// of its own that looks at the kubelet's directories, and serves nobody.
pub fn mentions(head: &[u8]) -> bool {
    let is_csi = |three: &[u8]| matches!(three, [b'c' | b'C', b's' | b'S', b'i' | b'I']);
    let is_own = |at: usize| head.get(at..).is_some_and(|rest| rest.starts_with(b"csihost"));
    head.windows(3).enumerate().any(|(at, three)| is_csi(three) && !is_own(at))
}

/// What the arguments say; of a flag that is given twice the last one counts.
pub fn claims(args: &[Vec<u8>]) -> Claims {
    let mut claims = Claims { mentioned: args.iter().any(|arg| mentions(arg)), ..Claims::default() };
    let mut rest = args.iter().peekable();
    while let Some(arg) = rest.next() {
        let Some(flag) = arg.strip_prefix(b"--").or_else(|| arg.strip_prefix(b"-")) else { continue };
        let (key, value) = match flag.iter().position(|&b| b == b'=') {
            Some(at) => (flag.get(..at).unwrap_or_default(), flag.get(at + 1..)),
            None => (flag, rest.next_if(|next| !next.starts_with(b"-")).map(Vec::as_slice)),
        };
        let Some(value) = value else { continue };
        let key: Vec<u8> =
            key.iter().map(|&b| if b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect();
        match key.as_slice() {
            b"kubelet-registration-path" => claims.registration = socket(value),
            b"csi-address" => claims.address = socket(value),
            b"plugin-registration-path" => claims.registry = socket(value),
            b"type" if value == b"liveness" => claims.liveness = true,
            key if ENDPOINT.contains(&key) => claims.endpoint = socket(value),
            key if DRIVER.contains(&key) && is_name(value) => claims.driver = Some(value.to_vec()),
            _ => {}
        }
    }
    // The registrar's own defaults (node-driver-registrar, cmd/csi-node-driver-registrar/main.go).
    if claims.registration.is_some() {
        claims.address.get_or_insert_with(|| HostPath::from("/run/csi/socket"));
        claims.registry.get_or_insert_with(|| HostPath::from("/registration"));
    }
    claims
}

/// The path in `unix:///csi/csi.sock`, `unix:/csi/csi.sock`, `/csi/csi.sock`; drivers take
/// `unix://csi/csi.sock` for the same.
fn socket(value: &[u8]) -> Option<HostPath> {
    let path = match value.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"unix:") => value.get(5..)?,
        _ if value.starts_with(b"/") => value,
        _ => return None,
    };
    (!path.is_empty() && !path.contains(&0)).then(|| HostPath::root().join(path))
}

/// A CSI driver's name is a domain name of at most 63 letters (CSI specification, GetPluginInfo).
fn is_name(value: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=63).contains(&value.len()) && value.iter().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str) -> Claims {
        claims(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn text(path: Option<&HostPath>) -> Option<String> {
        path.map(ToString::to_string)
    }

    #[test]
    fn the_registrar_names_the_socket_on_the_host() {
        let claims = of(
            "/csi-node-driver-registrar --v=2 --csi-address=/csi/csi.sock --kubelet-registration-path=/var/lib/kubelet/plugins/driver.longhorn.io/csi.sock",
        );
        assert_eq!(
            text(claims.registration.as_ref()).as_deref(),
            Some("/var/lib/kubelet/plugins/driver.longhorn.io/csi.sock")
        );
        assert_eq!(text(claims.address.as_ref()).as_deref(), Some("/csi/csi.sock"));
        assert_eq!((claims.endpoint, claims.driver, claims.liveness), (None, None, false));
        let claims = of("registrar --kubelet-registration-path /r/plugins/x/csi.sock");
        assert_eq!(text(claims.address.as_ref()).as_deref(), Some("/run/csi/socket"));
        assert_eq!(text(claims.registry.as_ref()).as_deref(), Some("/registration"));
        let claims = of("registrar --kubelet-registration-path=/r/x.sock --plugin-registration-path=/reg");
        assert_eq!(text(claims.registry.as_ref()).as_deref(), Some("/reg"));
        assert_eq!(of("sidecar --csi-address=/csi/csi.sock").registry, None);
    }

    #[test]
    fn drivers_name_their_endpoint_each_in_its_own_way() {
        for (line, endpoint, driver) in [
            (
                "longhorn-manager -d csi --nodeid=n --endpoint=unix:///csi/csi.sock --drivername=driver.longhorn.io",
                "/csi/csi.sock",
                Some("driver.longhorn.io"),
            ),
            (
                "/cephcsi --nodeserver=true --endpoint=unix:///csi/csi.sock --csi-addons-endpoint=unix:///csi/csi-addons.sock --drivername=rbd.csi.ceph.com",
                "/csi/csi.sock",
                Some("rbd.csi.ceph.com"),
            ),
            ("/nfsplugin -v=5 --nodeid=n --endpoint=unix:///csi/csi.sock", "/csi/csi.sock", None),
            ("/bin/aws-ebs-csi-driver node --endpoint=unix:/csi/csi.sock", "/csi/csi.sock", None),
            (
                "driver --endpoint unix://csi/csi.sock --driver-name x.example.com",
                "/csi/csi.sock",
                Some("x.example.com"),
            ),
            ("trident --csi_endpoint=unix:///plugin/csi.sock", "/plugin/csi.sock", None),
            (
                "bin/democratic-csi --csi-name=org.democratic-csi.nfs --server-socket=/csi-data/csi.sock.internal",
                "/csi-data/csi.sock.internal",
                Some("org.democratic-csi.nfs"),
            ),
        ] {
            let claims = of(line);
            assert_eq!(text(claims.endpoint.as_ref()).as_deref(), Some(endpoint), "{line}");
            assert_eq!(claims.driver.as_deref(), driver.map(str::as_bytes), "{line}");
            assert!(claims.mentioned, "{line}");
        }
    }

    #[test]
    fn csihosts_own_agent_is_no_plugin() {
        assert!(!mentions(b"/usr/bin/csihost\0run\0"));
        assert!(mentions(b"/usr/bin/csihost\0--endpoint=unix:///csi/csi.sock\0"));
        assert!(mentions(b"csi-hostpath\0"));
    }

    #[test]
    fn what_is_no_socket_or_name_is_not_taken_for_one() {
        assert_eq!(of("x --endpoint=tcp://0.0.0.0:10000").endpoint, None);
        assert_eq!(of("x --endpoint --nodeid=csi").endpoint, None);
        assert_eq!(of("x --driver=/usr/lib/csi").driver, None);
        assert_eq!(of("node_exporter --path.rootfs=/host"), Claims::default());
        assert!(of("cephcsi --type=liveness --endpoint=unix:///csi/csi.sock").liveness);
        assert_eq!(claims(&[]), Claims::default());
    }

    proptest! {
        #[test]
        fn no_arguments_make_it_panic(
            args: Vec<Vec<u8>>,
            line in "(--endpoint|--csi-address|--driver|-|=|unix:|/|\\.\\.| )*",
        ) {
            let _ = (claims(&args), of(&line));
        }
    }
}
