//! iSCSI: what open-iscsi remembers of targets that are gone.
//!
//! A volume that was detached by a crash leaves its record behind; open-iscsi then logs in to it
//! at each boot, and every later attach waits for that to fail.

use crate::model::facts::{Facts, NodeRecord};
use crate::model::path::HostPath;

/// How Longhorn names its targets (longhorn-engine, pkg/frontend, `iqn.2019-10.io.longhorn:VOLUME`).
const LONGHORN: &[u8] = b"iqn.2019-10.io.longhorn:";

/// The records of targets to which no session is up, but for those that a login may just be
/// writing.
pub fn without_session(facts: &Facts) -> impl Iterator<Item = &NodeRecord> {
    let gone = |record: &&NodeRecord| {
        record.settled && record.damaged.is_empty() && !facts.iscsi.sessions.contains(&record.target)
    };
    facts.iscsi.records.iter().filter(gone)
}

/// The records that a crash has left without content; a login may just be writing a younger one.
pub fn damaged(facts: &Facts) -> impl Iterator<Item = &NodeRecord> {
    facts.iscsi.records.iter().filter(|record| record.settled && !record.damaged.is_empty())
}

/// Whether a record is one that Longhorn made, and makes anew whenever it attaches the volume.
pub fn is_longhorns(record: &NodeRecord) -> bool {
    record.target.starts_with(LONGHORN)
}

/// Where a record is kept that is moved out of open-iscsi's sight: beside the directory of all
/// records, and so on the same file system. It may hold passwords, which stay in it.
pub fn aside(record: &NodeRecord) -> Option<HostPath> {
    let nodes = record.path.parent()?;
    let mut name = nodes.file_name().to_vec();
    name.extend_from_slice(b".removed-by-csihost");
    Some(nodes.parent()?.join(name).join(&record.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_a_session_is_stale_and_stays_on_its_file_system() {
        let target = b"iqn.2019-10.io.longhorn:pvc-1".to_vec();
        let path = HostPath::from("/etc/iscsi/nodes").join(&target);
        let record = NodeRecord { path, target, settled: true, damaged: Vec::new() };
        assert!(is_longhorns(&record));
        let mut facts = Facts::new(crate::model::facts::Mode::Live, crate::model::facts::Init::Systemd);
        facts.iscsi.records = vec![record.clone(), NodeRecord { settled: false, ..record.clone() }];
        assert_eq!(without_session(&facts).count(), 1, "a login may go on");
        facts.iscsi.sessions.push(record.target.clone());
        assert_eq!(without_session(&facts).count(), 0);
        let to = aside(&record).unwrap();
        assert_eq!(to.to_string(), "/etc/iscsi/nodes.removed-by-csihost/iqn.2019-10.io.longhorn:pvc-1");
    }
}
