//! Pure: k0s. Its root is always explicit: `<data-dir>/kubelet`, or `--kubelet-root-dir`.
//!
//! Set up where a unit runs `k0s worker`, or `k0s controller` with `--enable-worker` or `--single`: a
//! controller alone has no kubelet. A program alone is not: nothing says which of them it will be.
//! Its configuration file (/etc/k0s/k0s.yaml) knows neither the data directory nor the root.

use super::flags::{is_set, value};
use super::{Found, Given, Start, absolute, file_name};
use crate::model::kubelet::{Distribution, KubeletRoot, Source};

/// Where k0s keeps its data (k0s, pkg/constant).
const DATA_DIR: &str = "/var/lib/k0s";

pub(super) fn declare(found: &mut Found<'_>, start: &Start<'_>) {
    let argv = &start.expanded.argv;
    let program = argv.iter().position(|word| file_name(word) == b"k0s");
    let args = argv.get(program.map_or(argv.len(), |at| at + 1)..).unwrap_or_default();
    let role = args.iter().find(|word| *word == b"worker" || *word == b"controller");
    let with_kubelet = match role.map(Vec::as_slice) {
        Some(b"worker") => true,
        Some(_) => is_set(args, "enable-worker") || is_set(args, "single"),
        None => false,
    };
    if !with_kubelet {
        return;
    }
    // cmd/worker: strings.Fields, and of one name the last; they replace what k0s itself sets.
    let extra = value(args, "kubelet-extra-args").unwrap_or_default();
    let extra = |name: &str| {
        let words = extra.split(u8::is_ascii_whitespace);
        words
            .rev()
            .find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))
    };
    let given =
        |value: Vec<u8>| Given { value, source: Source::SystemdUnit, path: start.place(), line: None };
    let own = |name: &str| value(args, name).filter(|value| !value.is_empty());
    let root = match (extra("--root-dir"), own("kubelet-root-dir"), own("data-dir")) {
        (Some(root), _, _) => Some(given(root)),
        (None, Some(root), _) => Some(given(root.to_vec())),
        (None, None, Some(data)) => match absolute(data, "--data-dir") {
            Ok(data) => Some(given(data.join("kubelet").as_bytes().to_vec())),
            Err(error) => return found.undecided(start.place(), None, error),
        },
        (None, None, None) => None,
    };
    let default = KubeletRoot::parse(format!("{DATA_DIR}/kubelet").as_bytes());
    let plugins = extra("--volume-plugin-dir");
    if let Ok(default) = default {
        found.declare(Distribution::K0s, start.unit(), root, default, plugins);
    }
}
