#![no_main]
//! Mount tables: parsed, resolved, and what of them goes into a scene.

use csihost::mounts::{mountinfo, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = mountinfo::parse(bytes) {
        let points: Vec<_> = table.iter().take(50).map(|mount| mount.point.clone()).collect();
        for point in points {
            if let Some(place) = resolve::place(&table, &point) {
                let _ = resolve::names_of(&table, place.mount.device, &place.inside);
            }
        }
    }
    let _ = csihost::scene::mountinfo(bytes);
});
