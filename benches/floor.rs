//! The floor for `benches/detect`: reads every /proc/N/cmdline, and does nothing else. What finds
//! a kubelet among processes by looking at them all cannot be faster.

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;

fn main() -> nix::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let proc = nix::fcntl::open("/proc", flags | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut list = Dir::openat(&proc, ".", flags | OFlag::O_DIRECTORY, Mode::empty())?;
    let (mut buffer, mut processes, mut bytes) = (vec![0; 4096], 0, 0);
    for entry in list.iter() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !name.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let Ok(file) = openat(&proc, format!("{name}/cmdline").as_str(), flags, Mode::empty()) else {
            continue;
        };
        bytes += read(&file, &mut buffer).unwrap_or(0);
        processes += 1;
    }
    println!("{processes} processes, {bytes} bytes of arguments");
    Ok(())
}
