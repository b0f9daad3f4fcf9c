//! Files that hold secrets, and files that change.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// A file that must be its owner's alone cannot be used.
#[derive(Debug)]
pub enum PrivateFileError {
    /// It cannot be opened.
    Unreadable(io::Error),
    /// Others may read or change it: its mode.
    Exposed(u32),
}

/// Opens a file that must be its owner's alone.
///
/// # Errors
/// [`PrivateFileError`].
pub fn open_private(path: &Path) -> Result<File, PrivateFileError> {
    let file = File::open(path).map_err(PrivateFileError::Unreadable)?;
    // Of the open file, not of the path: nobody can swap it in between.
    let mode = file.metadata().map_err(PrivateFileError::Unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(file) } else { Err(PrivateFileError::Exposed(mode)) }
}

/// What a file looks like from outside. The change time tells two writes of the same length and moment apart, and a
/// new mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None for a file that is not there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
