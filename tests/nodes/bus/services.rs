//! Cases: what a service will run, as csihost learns it from systemd and from the files alone, against
//! what systemd then really runs.

use super::support::{Outcome, check, connect, sh, unit, works, write};
use csihost::detect::config::{Files, declarations, units};
use csihost::model::file::{Attributes, File, FileFact};
use csihost::model::kubelet::KubeletRoot;
use csihost::model::path::HostPath;
use csihost::model::service::Service;
use csihost::systemd::{Offline, ServiceManager, UnitTree};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

/// This node's files.
struct Here;

fn names(path: &HostPath) -> io::Result<Vec<Vec<u8>>> {
    fs::read_dir(path.as_path())?.map(|entry| Ok(entry?.file_name().as_bytes().to_vec())).collect()
}

impl UnitTree for Here {
    fn read(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        fs::read(path.as_path())
    }
    fn read_link(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        Ok(fs::read_link(path.as_path())?.as_os_str().as_bytes().to_vec())
    }
    fn list(&self, path: &HostPath) -> io::Result<Vec<Vec<u8>>> {
        names(path)
    }
    fn symlink(&self, _: &[u8], _: &HostPath) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, _: &HostPath) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove_dir(&self, _: &HostPath) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Files for Here {
    fn file(&self, path: &HostPath) -> FileFact {
        match fs::read(path.as_path()) {
            Ok(bytes) => FileFact::File(File {
                bytes,
                attributes: Attributes { mode: 0o644, uid: 0, gid: 0 },
                canonical: path.clone(),
            }),
            Err(_) if path.as_path().is_dir() => FileFact::Directory,
            Err(_) => FileFact::Absent,
        }
    }
    fn list(&self, path: &HostPath) -> Vec<Vec<u8>> {
        names(path).unwrap_or_default()
    }
    fn is_program(&self, path: &HostPath) -> bool {
        path.as_path().is_file()
    }
    fn link(&self, path: &HostPath) -> Option<Vec<u8>> {
        UnitTree::read_link(self, path).ok()
    }
}

/// Stands in for the kubelet: leaves its arguments.
const ARGS: &str = "#!/bin/sh\n: >/run/args; for arg; do printf '%s\\0' \"$arg\" >>/run/args; done\n";

/// Settings of a service that runs `/run/k`; the last `--root-dir=` of its arguments is compared.
const COMMANDS: [&str; 33] = [
    "ExecStart=/run/k --root-dir=/a",
    "ExecStart=/run/k --v=2",
    "ExecStart=/run/k \"--root-dir=/a b\" '--v=2'",
    "ExecStart=/run/k --root-dir=\"/a b\"/'c d'",
    "ExecStart=-/run/k --root-dir=/a",
    "ExecStart=@/run/k named --root-dir=/a",
    "ExecStart=:/run/k --root-dir=/a${HOME}",
    "ExecStart=:/run/k --root-dir=/a$$",
    "ExecStart=+/run/k --root-dir=/a",
    "ExecStart=/run/k --root-dir=/a$$b$",
    "ExecStart=/run/k --root-dir=/%n/%p/%N/%%/%i.",
    "ExecStart=/run/k --root-dir=%t%S%C%L%E%h/%u%U",
    "ExecStart=/run/k --root-dir=/a\\x20b\\u00fc\\101",
    "ExecStart=/run/k --root-dir=/a\\qb",
    "ExecStart=/run/k --root-dir=/a \\; --root-dir=/b",
    "ExecStart=/run/k --root-dir=/a ;b --v=2",
    "ExecStart=/run/k \\\n  --root-dir=/a \\\n# --root-dir=/c\n; --root-dir=/d\n  --root-dir=/b",
    "ExecStart=/run/k --root-dir=/a\\\n/b",
    "ExecStart=/bin/false\nExecStart=\nExecStart=/run/k --root-dir=/a",
    "Environment=\"X=--root-dir=/e --v=2\"\nExecStart=/run/k $X",
    "Environment=\"X=/e f\"\nExecStart=/run/k --root-dir=${X}",
    "Environment=\"X=/e f\"\nExecStart=/run/k --root-dir=/a$X --v=$X",
    "Environment=X=/a Y=/b X=/c\nExecStart=/run/k --root-dir=${X}${Y}${Z}",
    "Environment=X=/a\nEnvironment=\nEnvironment=Y=/b\nExecStart=/run/k --root-dir=/r${X}${Y}",
    "Environment='X=--root-dir=\"/a b\" --v=\\'1\\''\nExecStart=/run/k $X",
    "Environment=\"X=--root-dir='/a b\"\nExecStart=/run/k $X",
    "Environment=\"X=--root-dir=/a\\\\\\\\b\"\nExecStart=/run/k $X",
    "Environment=X=/%p 2=3 Y=/b\nExecStart=/run/k --root-dir=${X}${Y}",
    "Environment=X=/a \"Y=/b\nExecStart=/run/k --root-dir=/r${X}${Y}",
    "Environment=X=/a\nEnvironmentFile=/run/k.env\nExecStart=/run/k --root-dir=${X}",
    "EnvironmentFile=/run/k.env\nEnvironmentFile=-/run/none\nEnvironmentFile=/run/k2.env\nExecStart=/run/k --root-dir=${X}",
    "EnvironmentFile=/run/k*.env\nExecStart=/run/k --root-dir=${X}",
    "EnvironmentFile=/run/[!k]*.env\nEnvironmentFile=-/run/k?.env\nExecStart=/run/k --root-dir=/r${X}",
];

/// Texts of an environment file; the value of `A` is compared.
const VARIABLES: [&str; 26] = [
    "A=1",
    "A=1\nA=2\n",
    "# A=1\n; A=2\n",
    "  A = x  \n",
    "A=\"x y\" \n",
    "A='x \"y'\n",
    "A=\"x\"'y'z\n",
    "A=x\"y\"z\n",
    "A=x \\\n  y\n",
    "A=x\\y\\ \n",
    "A=\"\\$\\a\\\"\\\\\\`\\\n1\"\n",
    "A='x\\'\n",
    "A='x\ny'\n",
    "A=1\r\nB=2\r\n",
    "nonsense\nA=1\n",
    "export A=1\n",
    "A=\nB=1\n",
    "A=x#y\n",
    "A=x # y\n",
    "A=\"not closed\nB=1\n",
    "B=1\\\nA=2\n",
    "A=$HOME\n",
    "A=\"x\" y\n",
    "A==x=\n",
    "A=x\\",
    "A=\u{fc}\n",
];

/// The root that csihost expects, or why none.
fn expected(service: Option<Service>) -> Result<KubeletRoot, String> {
    let found = declarations(&Here, service.as_slice());
    match found.declarations.as_slice() {
        [declaration] => Ok(declaration.root.clone()),
        _ => Err(format!("{found:?}")),
    }
}

/// Has systemd run it, and compares the root that it is given with what was expected.
async fn compare(text: &str) -> Outcome {
    write("kubelet.service", &format!("[Service]\nType=oneshot\n{text}\n"));
    sh("systemctl daemon-reload; rm -f /run/args");
    let kubelet = unit("kubelet.service");
    let over_bus = works(works(connect().await)?.service(&kubelet).await)?;
    let offline = works(Offline::new(Here).service(&kubelet).await)?;
    let (over_bus, offline) = (expected(over_bus), expected(offline));
    sh("systemctl start kubelet.service; systemctl reset-failed kubelet.service");
    let args = fs::read("/run/args").unwrap_or_default();
    let root = args.split(|&byte| byte == 0).rev().find_map(|arg| arg.strip_prefix(b"--root-dir="));
    let real = root.map_or_else(|| Ok(KubeletRoot::standard()), KubeletRoot::parse);
    let real = real.map_err(|error| error.to_string());
    let same = real.is_ok() && real == over_bus && real == offline;
    check(same, format!("{text:?}: systemd gives {real:?}, its bus {over_bus:?}, the files {offline:?}"))
}

fn set_up() {
    fs::write("/run/k", ARGS).unwrap();
    sh(
        "chmod +x /run/k; printf 'X=/one\\n' >/run/k.env; printf 'X=/two\\n' >/run/k2.env; printf 'Y=1\\n' >/run/v.env; rm -f /etc/systemd/system/kubelet.service.d/*",
    );
}

pub(crate) async fn commands() -> Outcome {
    set_up();
    for text in COMMANDS {
        compare(text).await?;
    }
    Ok(format!("{} commands", COMMANDS.len()))
}

pub(crate) async fn environment_files() -> Outcome {
    set_up();
    for text in VARIABLES {
        fs::write("/run/v.env", text).unwrap();
        compare("EnvironmentFile=/run/v.env\nExecStart=/run/k --root-dir=/v/${A}.")
            .await
            .map_err(|error| format!("{text:?}: {error}"))?;
    }
    Ok(format!("{} files", VARIABLES.len()))
}

pub(crate) async fn drop_ins() -> Outcome {
    set_up();
    let drop_in = |path: &str, text: &str| {
        let path = format!("{path}.conf");
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, format!("[Service]\n{text}\n")).unwrap();
    };
    let mut seen = Vec::new();
    for (path, value) in [
        ("/usr/lib/systemd/system/service.d/50-a", "/type"),
        ("/usr/lib/systemd/system/kubelet.service.d/40-b", "/lib"),
        ("/run/systemd/system/kubelet.service.d/60-c", "/run"),
        ("/usr/lib/systemd/system/kubelet.service.d/60-c", "/hidden"),
        ("/etc/systemd/system/kubelet.service.d/70-d", "/etc"),
        ("/etc/systemd/system/service.d/80-e", "/type-in-etc"),
    ] {
        drop_in(path, &format!("Environment=X={value}"));
        compare("Environment=X=/unit\nExecStart=/run/k --root-dir=${X}").await?;
        seen.push(value);
    }
    drop_in(
        "/etc/systemd/system/kubelet.service.d/90-f",
        "ExecStart=\nExecStart=/run/k --root-dir=/reset${X}",
    );
    compare("ExecStart=/bin/false").await?;
    sh(
        "rm -f /etc/systemd/system/kubelet.service.d/70-d.conf; ln -s /dev/null /etc/systemd/system/kubelet.service.d/60-c.conf",
    );
    let outcome = compare("ExecStart=/bin/false").await;
    sh(
        "rm -rf /usr/lib/systemd/system/service.d /etc/systemd/system/service.d /run/systemd/system/kubelet.service.d \
        /usr/lib/systemd/system/kubelet.service.d /etc/systemd/system/kubelet.service.d/*",
    );
    outcome?;
    Ok(format!("{} drop-ins", seen.len() + 1))
}

pub(crate) async fn not_services() -> Outcome {
    sh("ln -sf /dev/null /etc/systemd/system/t-masked2.service; systemctl daemon-reload");
    let mut systemd = works(connect().await)?;
    for name in ["t-nowhere.service", "t-masked2.service"] {
        let (bus, files) = (
            works(systemd.service(&unit(name)).await)?,
            works(Offline::new(Here).service(&unit(name)).await)?,
        );
        check(bus.is_none() && files.is_none(), format!("{name}: {bus:?} {files:?}"))?;
    }
    Ok("none of them".to_owned())
}

/// What a turn pays for it where one kubelet's unit is there.
pub(crate) async fn cost() -> Outcome {
    set_up();
    write("kubelet.service", "[Service]\nEnvironmentFile=-/run/k.env\nExecStart=/run/k $X\n");
    sh("systemctl daemon-reload");
    let mut systemd = works(connect().await)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..50 {
        let begin = Instant::now();
        let units = units(&Here);
        times[0].push(begin.elapsed());
        let begin = Instant::now();
        let mut services = Vec::new();
        for unit in units {
            services.extend(works(systemd.service(&unit).await)?);
        }
        times[1].push(begin.elapsed());
        let begin = Instant::now();
        let found = declarations(&Here, &services);
        times[2].push(begin.elapsed());
        check(found.declarations.len() == 1, format!("{found:?}"))?;
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let [names, asking, deciding] = times.each_mut().map(median);
    let text = format!("median of 50: names {names:?}, asking {asking:?}, deciding {deciding:?}");
    check(names + asking + deciding < Duration::from_millis(20), text)
}
