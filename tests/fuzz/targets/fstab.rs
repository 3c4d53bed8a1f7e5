#![no_main]
//! The table of file systems: whatever is in it, lines lie where they say, and those that are made
//! comments come back byte for byte.

use csihost::model::edit;
use csihost::mounts::fstab::{Entry, entries};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found = entries(bytes);
    for entry in &found {
        assert_eq!(bytes.get(entry.at..entry.at + entry.line.len()), Some(entry.line));
        let _ = entry.bound();
    }
    let splices: Vec<_> = found.iter().map(Entry::commented).collect();
    let after = edit::apply(bytes, &splices).unwrap();
    assert!(entries(&after).is_empty());
    assert_eq!(edit::apply(&after, &edit::reverse(&splices)).unwrap(), bytes);
});
