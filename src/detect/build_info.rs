//! Pure: the build information in a Go program, read piece by piece from its ELF file.
//!
//! The format is that of Go's own reader (debug/buildinfo/buildinfo.go): a section
//! `.go.buildinfo`, or failing that the first writable segment, holds at a multiple of 16 a magic
//! number and then the strings themselves (Go 1.18 and later) or pointers to them. Files are
//! hundreds of megabytes: a few headers are read, and at most a megabyte of text. Nothing in the
//! file is believed; what does not fit ends the search.

/// Reads up to so many bytes at an offset; fewer at the end of the file.
pub type ReadAt<'a> = &'a dyn Fn(u64, usize) -> Vec<u8>;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Of the place where the magic number may be.
const SEARCHED: usize = 1 << 20;
/// Of the text: k3s, with all its modules, has some 40 KiB.
const LONGEST: u64 = 1 << 20;
/// Section and program headers, each at most.
const HEADERS: u64 = 256;

/// The module information of the Go program that `read` reads, lines such as
/// `dep\tk8s.io/kubernetes\tv1.21.2`; `None` if it is none, or has none.
pub fn build_info(read: ReadAt<'_>) -> Option<String> {
    let elf = Elf::read(read)?;
    let (offset, size) = elf.section(b".go.buildinfo").or_else(|| elf.writable())?;
    let length = usize::try_from(size).unwrap_or(SEARCHED).min(SEARCHED);
    let place = read(offset, length);
    let at = (0..place.len())
        .step_by(16)
        .find(|&at| place.get(at..).is_some_and(|rest| rest.starts_with(MAGIC) && rest.len() >= 32))?;
    let header = place.get(at..at + 32)?;
    let (pointer, flags) = (*header.get(14)?, *header.get(15)?);
    let text = match flags & 2 {
        0 => elf.strings_by_pointer(header, pointer, flags & 1 != 0)?,
        _ => {
            let mut at = offset.checked_add(u64::try_from(at).ok()?)?.checked_add(32)?;
            let _version = inline_string(read, &mut at)?;
            inline_string(read, &mut at)?
        }
    };
    // Sixteen bytes on either side mark it for whoever looks through memory.
    let inner = text.get(16..text.len().checked_sub(16)?)?;
    String::from_utf8(inner.to_vec()).ok()
}

/// A string with its length as a varint (encoding/binary) before it.
fn inline_string(read: ReadAt<'_>, at: &mut u64) -> Option<Vec<u8>> {
    let mut length = 0_u64;
    for (index, byte) in read(*at, 10).into_iter().enumerate() {
        length |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * index).ok()?)?;
        if byte & 0x80 == 0 {
            if length > LONGEST {
                return None;
            }
            let start = at.checked_add(u64::try_from(index).ok()? + 1)?;
            *at = start.checked_add(length)?;
            let text = read(start, usize::try_from(length).ok()?);
            return (u64::try_from(text.len()).ok()? == length).then_some(text);
        }
    }
    None
}

/// An ELF file (elf(5)), 32 or 64 bits, of either byte order.
struct Elf<'a> {
    read: ReadAt<'a>,
    wide: bool,
    big: bool,
    sections: Vec<Vec<u8>>,
    names: u64,
    segments: Vec<Vec<u8>>,
}

impl<'a> Elf<'a> {
    fn read(read: ReadAt<'a>) -> Option<Self> {
        let head = read(0, 64);
        if !head.starts_with(b"\x7fELF") {
            return None;
        }
        let (wide, big) = (*head.get(4)? == 2, *head.get(5)? == 2);
        let mut elf = Self { read, wide, big, sections: Vec::new(), names: 0, segments: Vec::new() };
        let table = |offset: usize, counts: usize| -> Option<Vec<Vec<u8>>> {
            let start = elf.word(&head, offset)?;
            let (size, count) = (elf.number(&head, counts, 2)?, elf.number(&head, counts + 2, 2)?);
            let bytes = read(start, usize::try_from(size * count.min(HEADERS)).ok()?);
            Some(bytes.chunks_exact(usize::try_from(size).ok()?.max(1)).map(<[u8]>::to_vec).collect())
        };
        let (segments, sections) = match wide {
            true => (table(32, 54)?, table(40, 58)?),
            false => (table(28, 42)?, table(32, 46)?),
        };
        let names = elf.number(&head, if wide { 62 } else { 50 }, 2)?;
        (elf.names, elf.segments, elf.sections) = (names, segments, sections);
        Some(elf)
    }

    /// Offset and size of the section called `name`.
    fn section(&self, name: &[u8]) -> Option<(u64, u64)> {
        let place = |header: &[u8]| match self.wide {
            true => Some((self.word(header, 24)?, self.word(header, 32)?)),
            false => Some((self.word(header, 16)?, self.word(header, 20)?)),
        };
        let (names, size) = place(self.sections.get(usize::try_from(self.names).ok()?)?)?;
        let names = (self.read)(names, usize::try_from(size).unwrap_or(SEARCHED).min(SEARCHED));
        self.sections.iter().find_map(|header| {
            let text = names.get(usize::try_from(self.number(header, 0, 4)?).ok()?..)?;
            let end = text.iter().position(|&b| b == 0)?;
            (text.get(..end)? == name).then(|| place(header)).flatten()
        })
    }

    /// Offset and size of the first loaded segment that can be written and not executed.
    fn writable(&self) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|header| {
            let flags = self.number(header, if self.wide { 4 } else { 24 }, 4)?;
            let (offset, _, size) = self.loaded(header)?;
            (flags & 3 == 2).then_some((offset, size))
        })
    }

    /// Offset, address and size in the file of a PT_LOAD segment.
    fn loaded(&self, header: &[u8]) -> Option<(u64, u64, u64)> {
        if self.number(header, 0, 4)? != 1 {
            return None;
        }
        match self.wide {
            true => Some((self.word(header, 8)?, self.word(header, 16)?, self.word(header, 32)?)),
            false => Some((self.word(header, 4)?, self.word(header, 8)?, self.word(header, 16)?)),
        }
    }

    /// Where in the file the byte at `address` is.
    fn offset_of(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|header| {
            let (offset, start, size) = self.loaded(header)?;
            let inside = address.checked_sub(start).filter(|&inside| inside < size)?;
            offset.checked_add(inside)
        })
    }

    /// Up to Go 1.17: after the magic number a pointer to the version's string header and one to
    /// the module information's, each with a pointer and a length.
    fn strings_by_pointer(&self, header: &[u8], size: u8, big: bool) -> Option<Vec<u8>> {
        let size = usize::from(size);
        if size != 4 && size != 8 {
            return None;
        }
        let number = |bytes: &[u8], at: usize| integer(bytes.get(at..at + size)?, big);
        let string = (self.read)(self.offset_of(number(header, 16 + size)?)?, 2 * size);
        let (data, length) = (number(&string, 0)?, number(&string, size)?);
        if length > LONGEST {
            return None;
        }
        let text = (self.read)(self.offset_of(data)?, usize::try_from(length).ok()?);
        (u64::try_from(text.len()).ok()? == length).then_some(text)
    }

    /// An address or offset.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, if self.wide { 8 } else { 4 })
    }

    fn number(&self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        integer(bytes.get(at..at.checked_add(length)?)?, self.big)
    }
}

fn integer(bytes: &[u8], big: bool) -> Option<u64> {
    let push = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match bytes.len() {
        0..=8 if big => Some(bytes.iter().fold(0, push)),
        0..=8 => Some(bytes.iter().rev().fold(0, push)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: &str = "path\tk8s.io/kubernetes/cmd/kubelet\nmod\tk8s.io/kubernetes\t(devel)\t\n";

    fn info(file: &[u8]) -> Option<String> {
        build_info(&|offset, length| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
            file[start..start.saturating_add(length).min(file.len())].to_vec()
        })
    }

    fn marked(text: &str) -> Vec<u8> {
        [&[0xab; 16][..], text.as_bytes(), &[0xcd; 16]].concat()
    }

    /// A 64-bit little-endian ELF file with one segment, loaded at 0x400000, and two sections.
    fn elf(section: &str, body: &[u8]) -> Vec<u8> {
        let names = format!("\0.shstrtab\0{section}\0");
        let (segments, data) = (64_u64, 64 + 56_u64);
        let data = data.next_multiple_of(16);
        let names_at = data + body.len() as u64;
        let sections = names_at + names.len() as u64;
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(32, 0);
        file.extend(segments.to_le_bytes());
        file.extend(sections.to_le_bytes());
        for half in [0, 0, 64, 56, 1, 64, 2, 0_u16] {
            file.extend(half.to_le_bytes());
        }
        // Flags of four bytes stand before the sizes: cut the first half off again.
        file.drain(48..50);
        file.drain(48..50);
        file.splice(48..48, [0; 4]);
        file.truncate(64);
        for word in [1_u32, 6] {
            file.extend(word.to_le_bytes());
        }
        for word in [data, 0x40_0000, 0, body.len() as u64, body.len() as u64, 16] {
            file.extend(word.to_le_bytes());
        }
        file.resize(usize::try_from(data).unwrap(), 0);
        file.extend(body);
        file.extend(names.as_bytes());
        for (name, offset, size) in [(1_u32, names_at, names.len()), (11, data, body.len())] {
            file.extend(name.to_le_bytes());
            file.resize(file.len() + 20, 0);
            file.extend(offset.to_le_bytes());
            file.extend((size as u64).to_le_bytes());
            file.resize(file.len() + 24, 0);
        }
        file
    }

    fn inline(text: &str) -> Vec<u8> {
        let mut body = [MAGIC, &[8, 2]].concat();
        body.resize(32, 0);
        for text in [b"go1.22.5".to_vec(), marked(text)] {
            let mut length = text.len();
            while length >= 0x80 {
                body.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            body.push(length as u8);
            body.extend(text);
        }
        body
    }

    fn by_pointer(text: &str) -> Vec<u8> {
        let mut body = [MAGIC, &[8, 0]].concat();
        let base = 0x40_0000_u64;
        let marked = marked(text);
        for word in [0, base + 32, base + 48, marked.len() as u64] {
            body.extend(word.to_le_bytes());
        }
        body.extend(marked);
        body
    }

    #[test]
    fn both_formats_are_read_with_the_section_and_without() {
        for body in [inline(INFO), by_pointer(INFO)] {
            for section in [".go.buildinfo", ".other"] {
                assert_eq!(info(&elf(section, &body)).as_deref(), Some(INFO), "{section}");
            }
        }
        // Something else stands before it.
        let mut body = vec![0; 48];
        body.extend(inline(INFO));
        assert_eq!(info(&elf(".go.buildinfo", &body)).as_deref(), Some(INFO));
    }

    #[test]
    fn what_is_no_go_program_has_none() {
        for file in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &elf(".data", b"x"), &elf(".go.buildinfo", MAGIC)]
        {
            assert_eq!(info(file), None);
        }
        // csihost's own tests are an ELF file without any.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(info(&own), None);
    }

    #[test]
    fn lengths_that_lie_read_no_more_than_a_megabyte() {
        let mut body = [MAGIC, &[8, 2]].concat();
        body.resize(32, 0);
        body.extend([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(info(&elf(".go.buildinfo", &body)), None);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            bytes: Vec<u8>,
            changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..20),
            pointers: bool,
        ) {
            let _ = info(&bytes);
            let body = if pointers { by_pointer(INFO) } else { inline(INFO) };
            let mut file = elf(".go.buildinfo", &body);
            for (at, byte) in changes {
                if let Some(place) = file.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = info(&file);
        }
    }
}
