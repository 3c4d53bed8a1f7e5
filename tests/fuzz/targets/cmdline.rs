#![no_main]
//! Arguments of processes: looked at, refused, and taken out of a scene.

use csihost::detect::{look, refuse};
use csihost::model::process::{Namespaces, Process};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = look(bytes);
    let args = bytes.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    let process = Process { pid: 7, args, ..Process::default() };
    let _ = refuse(&process, &Namespaces::default());
    // What is shown of an unknown flag's value is not the value.
    let secret = [b"kubelet\0--token\0".as_slice(), b"hunter2hunter2\0", bytes].concat();
    let shown = csihost::scene::cmdline(&secret);
    let bare = !bytes.windows(7).any(|part| part == b"hunter2");
    assert!(!bare || !shown.windows(7).any(|part| part == b"hunter2"));
    let zeros = |text: &[u8]| text.iter().filter(|&&b| b == 0).count();
    assert_eq!(zeros(&shown), zeros(&secret), "arguments stay as many as they are");
});
