//! A stand-in for the kubelet in the test nodes: all that csihost can see of one, and nothing else.
//!
//! It follows the order of the real thing: root, `MakeRShared`, directories, state file, the
//! pod-resources listener under its temporary name, the device plugins' listener and the
//! certificates (both below /var/lib/kubelet, whatever the root is), the watch on plugin
//! sockets, readiness. Then it waits for SIGTERM. Flags other than `--root-dir` are ignored, but for
//! kubelite's `--kubelet-args-file`, which names a file of flags; as `k3s` it takes its flags from
//! k3s' configuration.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::mount::{MsFlags, mount};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};

const STANDARD: &str = "/var/lib/kubelet";

fn main() -> io::Result<()> {
    if env::args_os().any(|arg| arg == "--version") {
        println!("Kubernetes v0.0.0-stand-in");
        return Ok(());
    }
    // Blocked from the start, so that a SIGTERM while starting is not lost.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;

    let mut arguments: Vec<Vec<u8>> = env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    let given = arguments.iter().find_map(|argument| argument.strip_prefix(b"--kubelet-args-file="));
    if let Some(file) = given.map(|file| Path::new(std::ffi::OsStr::from_bytes(file)).to_owned()) {
        let text = fs::read_to_string(file)?.replace("${SNAP_COMMON}", "/var/snap/microk8s/common");
        arguments.extend(text.split_whitespace().map(|word| word.as_bytes().to_vec()));
    }
    if env::args_os().next().is_some_and(|name| Path::new(&name).ends_with("k3s")) {
        arguments.extend(k3s_arguments()?.iter().map(|flag| format!("--{flag}").into_bytes()));
    }
    let root = root_dir(arguments.into_iter());
    directory(&root, 0o750)?;
    make_rshared(&root)?;
    for (name, mode) in [
        ("pods", 0o750),
        ("plugins", 0o750),
        ("plugins_registry", 0o750),
        ("pod-resources", 0o750),
        ("checkpoints", 0o700),
    ] {
        directory(&root.join(name), mode)?;
    }
    file(
        &root.join("cpu_manager_state"),
        br#"{"policyName":"none","defaultCpuSet":"","checksum":1353318690}"#,
    )?;

    let standard = Path::new(STANDARD);
    directory(&standard.join("pki"), 0o755)?;
    file(&standard.join("pki/kubelet.key"), b"not a key\n")?;
    directory(&standard.join("device-plugins"), 0o750)?;
    let _device_plugins = listen(&standard.join("device-plugins/kubelet.sock"))?;

    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    watch.add_watch(&root.join("plugins_registry"), AddWatchFlags::IN_ALL_EVENTS)?;

    // Bound under a number and renamed: the kernel goes on to show the number.
    let number = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
    let temporary = root.join("pod-resources").join(number.to_string());
    let _pod_resources = listen(&temporary)?;
    fs::rename(&temporary, root.join("pod-resources/kubelet.sock"))?;

    ready()?;
    signals.wait()?;
    Ok(())
}

/// `kubelet-arg` of config.yaml and of the files in config.yaml.d, by name: a list takes the place of
/// an earlier one, or with `+` is added to it (k3s, pkg/configfilearg). Block lists alone are read.
fn k3s_arguments() -> io::Result<Vec<String>> {
    let mut files = vec![PathBuf::from("/etc/rancher/k3s/config.yaml")];
    if let Ok(entries) = fs::read_dir("/etc/rancher/k3s/config.yaml.d") {
        let mut more = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        more.sort();
        files.extend(more);
    }
    let mut flags: Vec<String> = Vec::new();
    for file in files.into_iter().filter(|file| file.exists()) {
        let mut within = false;
        for line in fs::read_to_string(file)?.lines() {
            match line.trim().strip_prefix("- ") {
                Some(flag) if within => flags.push(flag.trim_matches(['"', '\'']).to_owned()),
                Some(_) => {}
                None => {
                    within = line.starts_with("kubelet-arg");
                    if line.trim() == "kubelet-arg:" {
                        flags.clear();
                    }
                }
            }
        }
    }
    Ok(flags)
}

/// The last `--root-dir=X` or `--root-dir X`, `_` for `-`, cleaned lexically.
fn root_dir(mut arguments: impl Iterator<Item = Vec<u8>>) -> PathBuf {
    let mut root = PathBuf::from(STANDARD);
    while let Some(argument) = arguments.next() {
        let name: Vec<u8> = argument.iter().take_while(|&&b| b != b'=').copied().collect();
        let value = argument.get(name.len() + 1..).map(<[u8]>::to_vec);
        if name.iter().map(|&b| if b == b'_' { b'-' } else { b }).eq(*b"--root-dir")
            && let Some(value) = value.or_else(|| arguments.next())
        {
            root = PathBuf::from(std::ffi::OsString::from_vec(value)).components().collect();
        }
    }
    root
}

/// What `MakeRShared` of the kubelet does: where the last row of mountinfo that covers the root by
/// its name alone is not shared, it binds the root onto itself, without the mounts below.
fn make_rshared(root: &Path) -> io::Result<()> {
    let table = fs::read("/proc/self/mountinfo")?;
    let shared = table
        .split(|&b| b == b'\n')
        .filter_map(|row| {
            let fields: Vec<&[u8]> = row.split(|&b| b == b' ').collect();
            let point = unescape(fields.get(4)?);
            let optional = fields.get(6..)?.split(|f| f == b"-").next()?;
            root.starts_with(Path::new(std::ffi::OsStr::from_bytes(&point)))
                .then(|| optional.iter().any(|f| f.starts_with(b"shared:")))
        })
        .next_back();
    if shared != Some(true) {
        let none = None::<&Path>;
        mount(Some(root), root, none, MsFlags::MS_BIND, none)?;
        mount(none, root, none, MsFlags::MS_SHARED | MsFlags::MS_REC, none)?;
    }
    Ok(())
}

/// `\040` and its like, as the kernel writes them.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = field.iter();
    let mut out = Vec::new();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            let octal = bytes.by_ref().take(3).fold(0_u32, |n, &d| n * 8 + u32::from(d.wrapping_sub(b'0')));
            out.extend(u8::try_from(octal));
        } else {
            out.push(byte);
        }
    }
    out
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// A listener, in the place of one that an earlier run has left.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// `READY=1` for the service manager, if one is listening.
fn ready() -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1\n", &address)?;
    Ok(())
}
