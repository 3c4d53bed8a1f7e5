//! Scene: the archive, a tar of all entries compressed with zstd.
//!
//! All of it is put together in memory: what goes in is bounded where it is read. Owners and
//! modes are the node's, because who may write where is a part of detection's answer; times are
//! not.

use crate::model::path::HostPath;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::collections::BTreeMap;
use std::io;
use tar::{Builder, EntryType, Header};

/// What is at one path of a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link(Vec<u8>),
    /// A file; empty where only its name matters.
    File(Vec<u8>),
}

/// One path of a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is there.
    pub content: Content,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
}

/// Everything in a scene, by path.
#[derive(Debug, Default)]
pub struct Entries(BTreeMap<HostPath, Entry>);

impl Entries {
    /// Adds an entry. A file with content wins over its bare name, and what is there stays.
    pub fn add(&mut self, path: HostPath, entry: Entry) {
        use std::collections::btree_map::Entry as Slot;
        match self.0.entry(path) {
            Slot::Vacant(slot) => drop(slot.insert(entry)),
            Slot::Occupied(mut slot) => {
                let empty = |content: &Content| matches!(content, Content::File(bytes) if bytes.is_empty());
                if empty(&slot.get().content) && !empty(&entry.content) {
                    slot.insert(entry);
                }
            }
        }
    }

    /// Whether something is at `path` already.
    pub fn has(&self, path: &HostPath) -> bool {
        self.0.contains_key(path)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The archive, everything below a directory called `top`.
    pub fn archive(&self, top: &str, time: u64) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        let root = Entry { content: Content::Directory, mode: 0o755, owner: (0, 0) };
        append(&mut tar, format!("{top}/").as_bytes(), &root, time)?;
        for (path, entry) in &self.0 {
            let name = [top.as_bytes(), path.as_bytes()].concat();
            append(&mut tar, &name, entry, time)?;
        }
        Ok(compress_to_vec(tar.into_inner()?.as_slice(), CompressionLevel::Fastest))
    }
}

fn append(tar: &mut Builder<Vec<u8>>, name: &[u8], entry: &Entry, time: u64) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = |bytes| std::path::Path::new(std::ffi::OsStr::from_bytes(bytes));
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0.into());
    header.set_gid(entry.owner.1.into());
    header.set_mtime(time);
    header.set_size(0);
    match &entry.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, path(name), io::empty())
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, path(name), path(target))
        }
        Content::File(bytes) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path(name), bytes.as_slice())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn entry(content: Content) -> Entry {
        Entry { content, mode: 0o640, owner: (0, 0) }
    }

    #[test]
    fn what_goes_in_comes_out_odd_names_and_long_ones_included() {
        let mut entries = Entries::default();
        let long = format!("/{}/x", "directory/".repeat(30));
        let odd = HostPath::parse(b"/srv/\xff\n\\x").unwrap();
        entries.add(odd.clone(), entry(Content::File(b"1".to_vec())));
        entries.add(
            HostPath::parse(long.as_bytes()).unwrap(),
            entry(Content::Link(b"mnt:[4026531832]".to_vec())),
        );
        entries.add(HostPath::from("/dir"), entry(Content::Directory));
        let bytes = entries.archive("top", 7).unwrap();

        let mut tar = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).unwrap().read_to_end(&mut tar).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
        assert_eq!(names.len(), 4);
        assert!(names.contains(&[b"top", odd.as_bytes()].concat()));
        assert!(names.iter().any(|name| name.len() > 300));
    }

    #[test]
    fn content_wins_over_a_bare_name_and_the_first_over_the_second() {
        let mut entries = Entries::default();
        let path = HostPath::from("/a");
        for content in [&b""[..], b"1", b"2", b""] {
            entries.add(path.clone(), entry(Content::File(content.to_vec())));
        }
        assert_eq!(entries.0[&path].content, Content::File(b"1".to_vec()));
        assert_eq!((entries.len(), entries.has(&path), entries.is_empty()), (1, true, false));
    }
}
