//! Checks: processes and mounts that did not answer, and that the other checks know nothing of.

use super::quoted;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::unanswered::{LeftOut, Why};

const ID: &str = "unanswered";

/// Nothing where everything answers.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let first = facts.left_out.first()?;
    let status = match facts.left_out.iter().any(is_needed) {
        true => CheckStatus::Fail,
        false => CheckStatus::Warn,
    };
    let summary = match facts.left_out.len() {
        1 => format!("{} is left out: {}", shown(first), why(first)),
        n => format!("{} and {} more are left out: {}", shown(first), n - 1, why(first)),
    };
    let all: Vec<String> =
        facts.left_out.iter().map(|left| format!("{}: {}", shown(left), why(left))).collect();
    let remedies: Vec<String> = facts.left_out.iter().map(remedy).collect();
    Some(
        Finding::new(ID, status, summary)
            .detail(format!("{}; the other checks know nothing of what is left out", all.join("; ")))
            .remedy(remedies.join("; ")),
    )
}

/// True if it may be a plugin, which runs as root, or lies where the kubelet's directories do.
fn is_needed(left: &LeftOut) -> bool {
    match left {
        LeftOut::Process { user, why, .. } => *why == Why::Silent && user.is_none_or(|user| user == 0),
        LeftOut::Mount { .. } | LeftOut::Tenants => true,
        LeftOut::Journal => false,
    }
}

fn shown(left: &LeftOut) -> String {
    match left {
        LeftOut::Process { pid, comm, user, pod, .. } => {
            let user = user.map_or_else(|| "an unknown user".to_owned(), |user| format!("user {user}"));
            let pod = pod.as_ref().map_or_else(String::new, |pod| format!(", pod with UID {pod}"));
            format!("process {pid} ({comm}, {user}{pod})")
        }
        LeftOut::Mount { point, fs_type } => format!("the {fs_type} mount at {point}"),
        LeftOut::Journal => "systemd-journald".to_owned(),
        LeftOut::Tenants => "each process of a container, or of another user than root,".to_owned(),
    }
}

fn why(left: &LeftOut) -> &'static str {
    match left {
        LeftOut::Process { why: Why::TooLong, .. } => "it shows more arguments than a program can be given",
        LeftOut::Tenants => "too many of them do not answer",
        LeftOut::Process { why: Why::Silent, .. } | LeftOut::Mount { .. } | LeftOut::Journal => {
            "it does not answer"
        }
    }
}

fn remedy(left: &LeftOut) -> String {
    match left {
        LeftOut::Tenants => "end those that are named, then look again".to_owned(),
        LeftOut::Process { pid, why: Why::TooLong, .. } => {
            format!("run tr '\\0' ' ' </proc/{pid}/cmdline | head -c 500 to see what process {pid} is")
        }
        LeftOut::Process { pid, pod: Some(pod), .. } => format!(
            "run cat /proc/{pid}/stack to see what process {pid} waits for, and delete its pod: kubectl get pods -A -o \
             custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,UID:.metadata.uid | grep {pod}"
        ),
        LeftOut::Process { pid, .. } => {
            format!(
                "run cat /proc/{pid}/stack to see what process {pid} waits for, and end it: kill -9 {pid}"
            )
        }
        LeftOut::Journal => "run systemctl restart systemd-journald".to_owned(),
        LeftOut::Mount { point, .. } => format!(
            "bring its server back, or run umount --lazy --force {} if nobody needs what is mounted there",
            quoted(point)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::path::HostPath;

    fn found(left_out: Vec<LeftOut>) -> Option<Finding> {
        check(&Facts { left_out, ..Facts::new(Mode::Live, Init::Systemd) })
    }

    fn process(user: u32, pod: Option<&str>) -> LeftOut {
        let why = Why::Silent;
        LeftOut::Process { pid: 77, comm: "app".into(), user: Some(user), pod: pod.map(Into::into), why }
    }

    #[test]
    fn a_process_of_root_may_be_a_plugin_and_one_of_a_user_is_none() {
        assert_eq!(found(Vec::new()), None);
        let user = found(vec![process(1000, None)]).unwrap();
        assert_eq!(user.status, CheckStatus::Warn);
        assert_eq!(user.summary, "process 77 (app, user 1000) is left out: it does not answer");
        assert!(user.remedy.contains("kill -9 77"), "{}", user.remedy);
        let root = found(vec![process(1000, None), process(0, Some("0b8d"))]).unwrap();
        assert_eq!(root.status, CheckStatus::Fail);
        assert!(root.summary.contains("and 1 more are left out"), "{}", root.summary);
        assert!(root.detail.contains("pod with UID 0b8d") && root.remedy.contains("| grep 0b8d"));
    }

    #[test]
    fn the_command_for_a_mount_quotes_its_path() {
        let point = HostPath::from("/srv/it's");
        let found = found(vec![LeftOut::Mount { point, fs_type: "nfs4".into() }]).unwrap();
        assert_eq!(found.status, CheckStatus::Fail);
        assert!(found.remedy.contains(r"umount --lazy --force '/srv/it'\''s'"), "{}", found.remedy);
    }
}
