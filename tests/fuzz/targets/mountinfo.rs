#![no_main]
//! Mount tables: parsed, resolved, what a new mount does in them, and what goes into a scene.

use csihost::mounts::{mountinfo, resolve, travel::Groups};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = mountinfo::parse(bytes) {
        let points: Vec<_> = table.iter().take(50).map(|mount| mount.point.clone()).collect();
        let groups = Groups::new([&table]);
        for point in points {
            let _ = resolve::below(&table, &point).count();
            for copy in groups.appearances(0, &point).unwrap_or_default() {
                // However odd the table, a copy is at or below the point of what it is attached to.
                assert!(copy.point.starts_with(copy.parent.point.strip_suffix(b"/").unwrap_or(&copy.parent.point)));
            }
            if let Some(place) = resolve::place(&table, &point) {
                let _ = resolve::names_of(&table, place.mount.device, &place.inside);
            }
        }
    }
    let _ = csihost::scene::mountinfo(bytes);
});
