#![no_main]
//! initiatorname.iscsi.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = csihost::iscsi::initiator::parse(Some(bytes));
});
