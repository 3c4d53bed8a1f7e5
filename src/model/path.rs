//! Paths of the host's mount namespace, apart from all other strings.

use super::bytes::{shown, unshown};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// An absolute, lexically clean path (no `//`, `.`, `..` or trailing `/`) as bytes.
///
/// It names something in the host's mount namespace. A string that only the kubelet or a plugin
/// uses is a `KubeletRoot` or plain bytes, never one of these. Symbolic links are not resolved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(Vec<u8>);

/// Why bytes are not a [`HostPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathError {
    /// Nothing at all, or bytes that no path can hold.
    Invalid(String),
    /// The path does not begin with `/`.
    Relative(String),
    /// A `..` in a path hides what it names.
    Parent(String),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(path) => write!(f, "\"{path}\" is not a path"),
            Self::Relative(path) => write!(f, "\"{path}\" is not absolute"),
            Self::Parent(path) => write!(f, "\"{path}\" contains \"..\""),
        }
    }
}

impl std::error::Error for PathError {}

impl HostPath {
    /// The root directory.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Reads an absolute path; `//`, `/./` and a trailing `/` are cleaned away.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(PathError::Invalid(shown(bytes)));
        }
        if !bytes.starts_with(b"/") {
            return Err(PathError::Relative(shown(bytes)));
        }
        let mut clean = Vec::with_capacity(bytes.len());
        for part in bytes.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(PathError::Parent(shown(bytes))),
                part => {
                    clean.push(b'/');
                    clean.extend_from_slice(part);
                }
            }
        }
        if clean.is_empty() {
            clean.push(b'/');
        }
        Ok(Self(clean))
    }

    /// This path with the relative `tail` below it. A `tail` with `..` is taken apart lexically,
    /// and never leads above `/`.
    pub fn join(&self, tail: impl AsRef<[u8]>) -> Self {
        let mut path = self.clone();
        for part in tail.as_ref().split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => path = path.parent().unwrap_or(path),
                part => {
                    if path.0 != b"/" {
                        path.0.push(b'/');
                    }
                    path.0.extend_from_slice(part);
                }
            }
        }
        path
    }

    /// The directory that holds this path; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        let cut = self.0.iter().rposition(|&b| b == b'/')?;
        match cut {
            0 if self.0.len() == 1 => None,
            0 => Some(Self::root()),
            cut => Some(Self(self.0.get(..cut)?.to_vec())),
        }
    }

    /// The last component; empty for `/`.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The components from the top down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// What of this path lies below `ancestor`: `""` for the same path, `None` for another tree.
    pub fn below<'a>(&'a self, ancestor: &HostPath) -> Option<&'a [u8]> {
        if ancestor.0 == b"/" {
            return self.0.get(1..);
        }
        let rest = self.0.strip_prefix(ancestor.0.as_slice())?;
        match rest.first() {
            None => Some(rest),
            Some(b'/') => rest.get(1..),
            Some(_) => None,
        }
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn starts_with(&self, ancestor: &HostPath) -> bool {
        self.below(ancestor).is_some()
    }

    /// The bytes, beginning with `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For the standard library's functions.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The path from `/` on, `.` for `/` itself: what `openat` takes below a root handle.
    pub fn relative(&self) -> &Path {
        match self.0.get(1..) {
            None | Some(b"") => Path::new("."),
            Some(rest) => Path::new(OsStr::from_bytes(rest)),
        }
    }
}

/// A path that is written in the program. Wrong ones are a bug, found by the first test.
impl From<&'static str> for HostPath {
    #[allow(clippy::expect_used)]
    fn from(path: &'static str) -> Self {
        Self::parse(path.as_bytes()).expect("a path written in the program is absolute and clean")
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(&self.0))
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(&self.0))
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unshown(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("\"{text}\": not a path as csihost shows them"))
        })?;
        Self::parse(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn cleans_what_names_the_same_and_refuses_the_rest() {
        assert_eq!(path("//var/./lib/kubelet//").as_bytes(), b"/var/lib/kubelet");
        assert_eq!(path("/").as_bytes(), b"/");
        assert!(matches!(HostPath::parse(b"var/lib"), Err(PathError::Relative(_))));
        assert!(matches!(HostPath::parse(b""), Err(PathError::Invalid(_))));
        assert!(matches!(HostPath::parse(b"/a\0b"), Err(PathError::Invalid(_))));
        assert!(matches!(HostPath::parse(b"/a/../b"), Err(PathError::Parent(_))));
    }

    #[test]
    fn below_compares_components_and_not_letters() {
        assert_eq!(path("/var/lib/kubelet/pods").below(&path("/var/lib/kubelet")), Some(&b"pods"[..]));
        assert_eq!(path("/var/lib/kubelet").below(&path("/var/lib/kubelet")), Some(&b""[..]));
        assert_eq!(path("/var/lib/kubelet2").below(&path("/var/lib/kubelet")), None);
        assert_eq!(path("/var").below(&HostPath::root()), Some(&b"var"[..]));
    }

    #[test]
    fn join_and_parent_stay_clean() {
        assert_eq!(HostPath::root().join("var//lib/").join("../run"), path("/var/run"));
        assert_eq!(HostPath::root().join("../../etc"), path("/etc"));
        assert_eq!(path("/var").parent(), Some(HostPath::root()));
        assert_eq!(HostPath::root().parent(), None);
        assert_eq!(path("/var/lib").file_name(), b"lib");
    }

    #[test]
    fn json_keeps_every_byte() {
        let odd = HostPath::parse(b"/srv/\xff\n\\x").unwrap();
        let json = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<HostPath>(&json).unwrap(), odd);
    }
}
