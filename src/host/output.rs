//! Edge: a file that a person asked for, where they are: not below the host's root.

use super::{HostError, Result};
use nix::Error as Errno;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a new file that only its owner can read. What is there already is never overwritten,
/// and no half of a file stays.
pub fn save_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| HostError {
        tried: "write",
        path: path.display().to_string(),
        errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
    };
    // With O_EXCL a link at the last place is not followed either.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_new_file_is_its_owners_and_what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene");
        save_new(&path, b"1").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(save_new(&path, b"2").unwrap_err().errno, Errno::EEXIST);
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
        symlink(dir.path().join("elsewhere"), dir.path().join("link")).unwrap();
        assert!(save_new(&dir.path().join("link"), b"3").is_err());
        assert!(!dir.path().join("elsewhere").exists());
    }
}
