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
/// Another csihost holds the lock.
pub const WAITING: &str = "0cf7a79acb6443de81d0d473535a8407";
/// After a turn there was still something to do.
pub const UNSETTLED: &str = "ebb86325cbbc4a18a37d3f973302fbc0";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_id_is_one_of_a_kind_and_has_32_digits() {
        let all =
            [DONE, FAILED, SKIPPED, INSTALLING, LATER, REFUSED, VERDICT, UNDONE, LEFT, WAITING, UNSETTLED];
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
