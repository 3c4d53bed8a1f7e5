#![no_main]
//! The program of a container: ELF headers, Go's build information, and the version in it.

use csihost::detect::{build_info, version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = |offset: u64, length: usize| {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        bytes[from..from.saturating_add(length).min(bytes.len())].to_vec()
    };
    if let Some(info) = build_info(&read) {
        let _ = version::of_build_info(&info);
    }
    let _ = version::of_path(bytes);
    let _ = version::snap(bytes);
    let _ = version::of_snap(bytes);
    let _ = version::of_output(bytes);
});
