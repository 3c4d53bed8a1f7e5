//! Edge: the message ids of the journal, one for each kind of event, made once and never changed
//! (sd-id128(3)). `journalctl MESSAGE_ID=…` finds all events of a kind.

/// Steps of one kind were done.
pub const DONE: &str = "3b3857a5c0c847ce90ae23ebd929d4bb";
/// A step failed.
pub const FAILED: &str = "a2150435c2a64c10a5cc39e1488f9ca8";
/// A step was left out because one that it needs failed.
pub const SKIPPED: &str = "60500528c69e491489826c9e7381559c";
/// A package manager is at work.
pub const INSTALLING: &str = "576f0edc1b294d9d99451f75fec6a49a";
/// Something waits for another turn, or for a reboot.
pub const LATER: &str = "28d97159de13449ca29f546731016db6";
/// Something was refused, because it would harm.
pub const REFUSED: &str = "2edc1cac7a204645bf382b27376a645e";
/// A turn ended.
pub const VERDICT: &str = "6eb5774de1a048bf8a053ab7c30f586e";
/// A change was undone.
pub const UNDONE: &str = "a8bc5fdc20a44dc3a0570bcadf4358fd";
/// A change was not, or not yet, undone.
pub const LEFT: &str = "9d81691c3d52412c8ffa997a1d02eb67";
/// An undo waits for volumes or drivers.
pub const UNDO_WAITS: &str = "6a3f1d0c84f14ad6bb3f0d3c9b1e52a7";
/// An undo that waited is complete, or was cancelled.
pub const UNDO_ENDED: &str = "c51e2b7790a84e0f9d6ab34127f08e5d";
/// Another csihost holds the lock.
pub const WAITING: &str = "0cf7a79acb6443de81d0d473535a8407";
/// After a turn there was still something to do.
pub const UNSETTLED: &str = "ebb86325cbbc4a18a37d3f973302fbc0";
/// The agent works with its settings: it has started, or has read them again.
pub const WATCHING: &str = "c94280916bb740e39f27a6636aaac652";
/// The agent goes on with its earlier settings, because the new ones are wrong.
pub const BAD_SETTINGS: &str = "a1278e8ecc144360971ce28e12d2a2e8";
/// A step that somebody else undoes again and again is left alone for a while.
pub const BACKING_OFF: &str = "849a822e160b4590a7bf93b9be0458d3";
/// A turn of the agent could not be made.
pub const TURN_FAILED: &str = "7be7494684df4cacb18dd83bf63b5efc";
/// systemd cannot be reached.
pub const SYSTEMD_AWAY: &str = "cecb7c5ead264b07a274420d03f93bf3";
/// systemd can be reached again.
pub const SYSTEMD_BACK: &str = "a02dfebf5c4b4eaaab113103d590fac1";
/// The kernel does not tell the agent of some changes.
pub const UNWATCHED: &str = "d674866c5bde4a21a391cd390efe2e75";
/// The metrics for Prometheus could not be written.
pub const NO_METRICS: &str = "5636cc1420e044edbf3f1906e9130ae0";
/// The connection to the container runtime began or ended.
pub const RUNTIME: &str = "5034725efdc14f98858e3bd69c39b78e";
/// The receipt is damaged.
pub const RECEIPT_LOST: &str = "03e274d0a43046d598949275aa937d3e";
/// A process or a mount did not answer, and is left out.
pub const UNANSWERED: &str = "b5a266a3bbc94243a543b58c7b415ed0";

/// All of them, with the names that the message catalog's test knows them by.
#[cfg(test)]
pub(super) const ALL: [(&str, &str); 24] = [
    ("DONE", DONE),
    ("FAILED", FAILED),
    ("SKIPPED", SKIPPED),
    ("INSTALLING", INSTALLING),
    ("LATER", LATER),
    ("REFUSED", REFUSED),
    ("VERDICT", VERDICT),
    ("UNDONE", UNDONE),
    ("LEFT", LEFT),
    ("UNDO_WAITS", UNDO_WAITS),
    ("UNDO_ENDED", UNDO_ENDED),
    ("WAITING", WAITING),
    ("UNSETTLED", UNSETTLED),
    ("WATCHING", WATCHING),
    ("BAD_SETTINGS", BAD_SETTINGS),
    ("BACKING_OFF", BACKING_OFF),
    ("TURN_FAILED", TURN_FAILED),
    ("SYSTEMD_AWAY", SYSTEMD_AWAY),
    ("SYSTEMD_BACK", SYSTEMD_BACK),
    ("UNWATCHED", UNWATCHED),
    ("NO_METRICS", NO_METRICS),
    ("RUNTIME", RUNTIME),
    ("UNANSWERED", UNANSWERED),
    ("RECEIPT_LOST", RECEIPT_LOST),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The file as journalctl reads it: `-- ID`, headers, an empty line, text
    /// (systemd's "Journal Message Catalogs").
    const CATALOG: &str = include_str!("../../packaging/catalog/csihost.catalog");

    fn entries() -> Vec<(&'static str, &'static str)> {
        let parts = CATALOG.split("\n-- ").skip(1);
        parts.map(|part| part.split_once('\n').unwrap()).collect()
    }

    #[test]
    fn every_id_is_one_of_a_kind_and_has_32_digits() {
        let ids: BTreeSet<&str> = ALL.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), ALL.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let source = include_str!("messages.rs");
        let declared =
            source.lines().filter(|line| line.starts_with("pub const ") && line.contains(": &str"));
        assert_eq!(declared.count(), ALL.len(), "an id is missing in ALL");
    }

    #[test]
    fn the_catalog_explains_every_id_and_no_other() {
        let explained: BTreeSet<&str> = entries().iter().map(|(id, _)| *id).collect();
        for (name, id) in ALL {
            assert!(explained.contains(id), "{name} ({id}) is not in the catalog");
        }
        assert_eq!(explained.len(), ALL.len());
    }

    #[test]
    fn the_manual_lists_every_id() {
        let manual = include_str!("../../packaging/man/csihost.8");
        for (name, id) in ALL {
            assert!(manual.contains(&format!(".It Li {id}")), "{name} ({id}) is not in the manual");
        }
    }

    #[test]
    fn every_entry_of_the_catalog_has_a_subject_and_says_what_to_do() {
        for (id, entry) in entries() {
            let (head, text) = entry.split_once("\n\n").unwrap();
            for header in ["Subject: ", "Defined-By: csihost", "Documentation: man:csihost(8)"] {
                assert!(head.lines().any(|line| line.starts_with(header)), "{id}: no {header}");
            }
            assert!(text.trim().len() > 80, "{id} says too little");
        }
    }
}
