//! The text in which a scene is kept, and how it becomes a directory.
//!
//! Git keeps no empty directories, no modes but one bit, and no names that a desktop cannot show,
//! and a hundred small files hide the one line that matters. So a scene is one text. Each line is
//! a directive, and lines that begin with two spaces belong to the one before. Bytes are written
//! as csihost shows them: `\xNN`. Directories on the way are made, with mode 0755.
//!
//! ```text
//! # a comment; the first one says what the scene shows
//! dir PATH [MODE] [UID]        a directory
//! link PATH TARGET             a symbolic link
//! file PATH [MODE]             a file: the lines below it, each with a newline
//!   text
//! bytes PATH [MODE]            the same without newlines
//! host                         PID 1 is systemd, with a mount table of one shared file system
//! process PID ARG...           a process of root's in the host's namespaces; \x20 is a space
//!   title TEXT                 instead of the arguments: all of /proc/PID/cmdline
//!   exe PATH | comm TEXT | cgroup PATH | uid N | state S
//!   pid-ns N | user-ns N | mnt-ns N
//!   listens ROOT               it holds the listener at ROOT/pod-resources
//!   row TEXT                   a row of its net/unix
//!   socket INODE               a socket among its open files
//!   watch INODE SDEV           an inotify watch, both in hexadecimal
//!   mount ROW                  a row of a mount table of its own; otherwise it has the host's
//! mount ROW                    one more row of PID 1's mount table
//! without PATH                 removes what a directive before has made
//! ```

use csihost::model::bytes::unshown;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// Makes the directory that `text` describes, at `root`. `false`: only root can make it.
pub(crate) fn unpack(text: &str, root: &Path) -> bool {
    let mut scene = Scene { root, owners: true };
    fs::create_dir_all(root).unwrap();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut body = Vec::new();
        while let Some(more) = lines.next_if(|line| line.starts_with("  ")) {
            body.push(more.strip_prefix("  ").unwrap());
        }
        scene.directive(line, &body);
    }
    scene.owners
}

struct Scene<'a> {
    root: &'a Path,
    owners: bool,
}

fn bytes(text: &str) -> Vec<u8> {
    unshown(text).unwrap_or_else(|| panic!("{text}: only \\xNN is an escape"))
}

fn mode(text: Option<&&str>, otherwise: u32) -> u32 {
    text.map_or(otherwise, |text| u32::from_str_radix(text, 8).unwrap())
}

impl Scene<'_> {
    fn directive(&mut self, line: &str, body: &[&str]) {
        let words: Vec<&str> = line.split(' ').collect();
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        match words.as_slice() {
            ["dir", path, more @ ..] => {
                let path = self.path(path);
                fs::create_dir_all(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode(more.first(), 0o755))).unwrap();
                if let Some(uid) = more.get(1) {
                    self.owners &= chown(&path, Some(uid.parse().unwrap()), None).is_ok();
                }
            }
            ["link", path, target] => self.link(path, target),
            ["file", path, more @ ..] => {
                let text: String = body.iter().map(|line| format!("{line}\n")).collect();
                self.write(path, &bytes_of_lines(&text), mode(more.first(), 0o644));
            }
            ["bytes", path, more @ ..] => {
                self.write(path, &bytes(&body.concat()), mode(more.first(), 0o644));
            }
            ["host"] => self.host(),
            ["process", pid, args @ ..] => self.process(pid, args, body),
            ["mount", ..] => self.append("/proc/1/mountinfo", &format!("{rest}\n")),
            ["without", path] => {
                let path = self.path(path);
                match path.is_dir() {
                    true => fs::remove_dir_all(path).unwrap(),
                    false => fs::remove_file(path).unwrap(),
                }
            }
            _ => panic!("not a directive: {line}"),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = bytes(path.strip_prefix('/').unwrap_or_else(|| panic!("{path} is not absolute")));
        let path = self.root.join(OsStr::from_bytes(&path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, bytes: &[u8], mode: u32) {
        let path = self.path(path);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(path)).unwrap();
        file.write_all(&bytes(text.trim_end_matches('\n'))).unwrap();
        file.write_all(b"\n").unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        symlink(OsStr::from_bytes(&bytes(target)), self.path(path)).unwrap();
    }

    fn host(&self) {
        self.process(
            "1",
            &["/sbin/init"],
            &["exe /usr/lib/systemd/systemd", "comm systemd", "cgroup /init.scope"],
        );
        self.append("/proc/1/mountinfo", "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw");
    }

    fn process(&self, pid: &str, args: &[&str], body: &[&str]) {
        let at = |name: &str| format!("/proc/{pid}/{name}");
        let field = |name: &str| {
            body.iter()
                .filter_map(|line| line.split_once(' '))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let all = |name: &'static str| {
            body.iter()
                .filter_map(|line| line.split_once(' '))
                .filter(move |(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let args: Vec<Vec<u8>> = args.iter().map(|arg| bytes(arg)).collect();
        let cmdline = match field("title") {
            Some(title) => bytes(title),
            None => args.iter().flat_map(|arg| [arg.as_slice(), b"\0"].concat()).collect(),
        };
        self.write(&at("cmdline"), &cmdline, 0o444);
        let name = args.first().map(|arg| arg.rsplit(|&b| b == b'/').next().unwrap().to_vec());
        let comm = field("comm").map(bytes).or(name).unwrap_or_default();
        let comm = &comm[..comm.len().min(15)];
        self.write(&at("comm"), &[comm, b"\n"].concat(), 0o644);
        let uid = field("uid").unwrap_or("0");
        let state = field("state").unwrap_or("S (sleeping)");
        self.write(&at("status"), &status(comm, pid, uid, state), 0o444);
        let exe =
            args.first().filter(|arg| arg.starts_with(b"/")).map(|arg| csihost::model::bytes::shown(arg));
        if let Some(exe) = field("exe").map(str::to_owned).or(exe) {
            self.link(&at("exe"), &exe);
        }
        self.link(&at("root"), "/");
        for (kind, ours) in [("pid", "4026531836"), ("user", "4026531837"), ("mnt", "4026531832")] {
            let number = field(&format!("{kind}-ns")).unwrap_or(ours);
            self.link(&at(&format!("ns/{kind}")), &format!("{kind}:[{number}]"));
        }
        self.write(&at("cgroup"), format!("0::{}\n", field("cgroup").unwrap_or("/")).as_bytes(), 0o444);

        let mut sockets: Vec<String> = all("socket").map(str::to_owned).collect();
        let mut rows = vec!["Num       RefCount Protocol Flags    Type St Inode Path".to_owned()];
        for (index, root) in all("listens").enumerate() {
            let inode = format!("{pid}{index}");
            rows.push(format!(
                "0000000000000000: 00000002 00000000 00010000 0001 01 {inode} {root}/pod-resources/123456789"
            ));
            sockets.push(inode);
        }
        rows.extend(all("row").map(str::to_owned));
        rows.iter().for_each(|row| self.append(&at("net/unix"), row));
        self.link(&at("fd/0"), "/dev/null");
        for (index, inode) in sockets.iter().enumerate() {
            self.link(&at(&format!("fd/{}", index + 3)), &format!("socket:[{inode}]"));
        }
        for (index, watch) in all("watch").enumerate() {
            let (inode, device) = watch.split_once(' ').unwrap();
            self.link(&at(&format!("fd/{}", index + 100)), "anon_inode:inotify");
            let info = format!(
                "pos:\t0\nflags:\t02004000\nmnt_id:\t15\ninotify wd:1 ino:{inode} sdev:{device} mask:fc6 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:00\n"
            );
            self.write(&at(&format!("fdinfo/{}", index + 100)), info.as_bytes(), 0o444);
        }
        match field("mount") {
            Some(_) => all("mount").for_each(|row| self.append(&at("mountinfo"), row)),
            None if pid != "1" => self.link(&at("mountinfo"), "../1/mountinfo"),
            None => {}
        }
    }
}

/// As proc_pid_status(5); tests need only what is read of it, and procfs asks for the rest.
fn status(comm: &[u8], pid: &str, uid: &str, state: &str) -> Vec<u8> {
    // The kernel escapes a newline and a backslash in the name.
    let name: Vec<u8> = comm
        .iter()
        .flat_map(|&b| match b {
            b'\n' => b"\\n".to_vec(),
            b'\\' => b"\\\\".to_vec(),
            b => vec![b],
        })
        .collect();
    let rest = format!(
        "\nUmask:\t0022\nState:\t{state}\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t1\nTracerPid:\t0\n\
         Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\nFDSize:\t64\nGroups:\t \n\
         NStgid:\t{pid}\nNSpid:\t{pid}\nNSpgid:\t{pid}\nNSsid:\t{pid}\nThreads:\t1\nSigQ:\t0/96365\n\
         SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n\
         SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\nCapInh:\t0000000000000000\n\
         CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n\
         CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\nvoluntary_ctxt_switches:\t1\n\
         nonvoluntary_ctxt_switches:\t1\n"
    );
    [b"Name:\t", name.as_slice(), rest.as_bytes()].concat()
}

fn bytes_of_lines(text: &str) -> Vec<u8> {
    // `unshown` refuses nothing but wrong escapes; newlines between lines are plain.
    text.split_inclusive('\n').flat_map(bytes).collect()
}
