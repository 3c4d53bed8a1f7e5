//! Pure: a drop-in with the command that the unit has and one flag more: the plain kubelet's, k0s'.
//!
//! The command is taken from the unit's files as it is written there, quotes, variables and specifiers
//! included; where the files change, so does the drop-in.

use super::refuse::{overruled, refusal};
use super::start::Start;
use super::{Change, Kind, is_ours};
use crate::model::generated::generate;
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::model::unit_file::assignments;
use crate::plan::UNITS;

/// Read after others, as drop-ins are by name: administrators' begin with letters, too.
pub(in crate::plan) const NAME: &str = "zzz-csihost-root.conf";

/// What starts something else than its own arguments say: a flag at the end would be another's.
const WRAPPERS: [&[u8]; 10] =
    [b"sh", b"bash", b"dash", b"ash", b"docker", b"podman", b"nerdctl", b"ctr", b"runc", b"rkt"];

/// csihost's drop-in.
pub(super) fn drop_in(start: &Start<'_>) -> Option<HostPath> {
    let unit = start.declaration.unit.as_ref()?;
    Some(HostPath::from(UNITS).join(format!("{unit}.d")).join(NAME))
}

/// `program` is what the flag is for.
pub(super) fn change(start: &Start<'_>, program: &str, flag: &str) -> Result<Option<Change>, Refusal> {
    let facts = start.facts;
    let by_hand = |target: &str, reason: String| {
        refusal(
            "align-command",
            target,
            reason,
            format!("add {flag}=/var/lib/kubelet to the kubelet's command by hand, then run csihost apply"),
        )
    };
    let (Some(path), Some(texts)) = (drop_in(start), start.texts) else {
        return Err(by_hand("the kubelet", "no unit of systemd's runs it".to_owned()));
    };
    if start.is_set() && !is_ours(facts, &path) {
        return Ok(None);
    }
    if flag == "--kubelet-root-dir" {
        k0s_knows_it(start, &by_hand)?;
    }
    let mut commands: Vec<String> = Vec::new();
    for (_, text) in texts.files.iter().filter(|(file, _)| *file != path) {
        let (settings, _) = assignments(text);
        for setting in settings.into_iter().filter(|s| s.section == "Service" && s.key == "ExecStart") {
            if setting.value.is_empty() { commands.clear() } else { commands.push(setting.value) }
        }
    }
    let service = start.service(&path);
    let words = service.as_ref().map(|service| service.exec.as_slice()).unwrap_or_default();
    let name = |word: &[u8]| word.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
    let is_program = |word: &&[u8]| {
        let name = name(word);
        name == program.as_bytes() || program == "kubelet" && name.starts_with(b"hyperkube")
    };
    let at = words.iter().position(|word| is_program(&word.as_slice()));
    let wrapped = words.first().is_none_or(|word| WRAPPERS.contains(&name(word).as_slice()));
    let command = match (commands.as_slice(), at) {
        ([command], Some(_)) if !wrapped => command,
        _ => {
            return Err(by_hand(
                texts.unit.as_str(),
                format!("its ExecStart= is not {program} and its arguments"),
            ));
        }
    };
    // After these, a flag is another command's, or none.
    if words.iter().any(|word| word == b"--") || command.split_whitespace().any(|word| word == ";") {
        return Err(by_hand(
            texts.unit.as_str(),
            "its ExecStart= does not end with the kubelet's flags".to_owned(),
        ));
    }
    let body = format!(
        "[Service]\n\
         # The kubelet's root as it names it; its data stay where they are: csihost(8), contract.repair.\n\
         ExecStart=\n\
         ExecStart={command} {flag}=/var/lib/kubelet\n"
    );
    if !start.is_set() && facts.file(&path).bytes() == Some(generate(&body).as_slice()) {
        return Err(overruled(start, &path));
    }
    Ok(Some(Change::Place(Kind::Unit, path, body)))
}

/// k0s knows the flag since 1.31.8 and 1.32.1, and lets `--kubelet-extra-args` overrule it.
fn k0s_knows_it(start: &Start<'_>, by_hand: &dyn Fn(&str, String) -> Refusal) -> Result<(), Refusal> {
    let kubelet = start.facts.detection.kubelet.as_ref();
    let version = kubelet.and_then(|kubelet| kubelet.version.as_deref());
    if let Some(version) = version
        && super::k3s::is_before(version, &[(1, 31, 8), (1, 32, 1)])
    {
        return Err(refusal(
            "align-version",
            "k0s",
            format!("version {version} does not know --kubelet-root-dir"),
            "upgrade k0s to 1.31.8, 1.32.1 or later, then run csihost apply".to_owned(),
        ));
    }
    let unit = start.texts.map_or("k0s", |texts| texts.unit.as_str());
    let extra = start.texts.into_iter().flat_map(|texts| &texts.files).any(|(_, text)| {
        text.windows(20).any(|part| part == b"--kubelet-extra-args")
            && text.windows(11).any(|part| part == b"--root-dir=")
    });
    match extra {
        true => Err(by_hand(
            unit,
            "its --kubelet-extra-args name the root, which wins over k0s' own flag".to_owned(),
        )),
        false => Ok(()),
    }
}
