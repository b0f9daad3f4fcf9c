//! Files that hold secrets, and files that change.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// A file that must be its owner's alone cannot be used.
#[derive(Debug)]
pub enum PrivateFileError {
    /// It cannot be opened.
    Unreadable(io::Error),
    /// Others may read or change it: its mode.
    Exposed(u32),
}

/// Opens a file that is read now and again. It must be a regular one: opening a pipe waits for somebody who writes to it,
/// and with it would wait whoever needs what the file says.
///
/// # Errors
/// When it cannot be opened or is of another sort.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    // Of a regular file this changes nothing, and nothing else is waited for.
    let at_once = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(at_once).open(path)?;
    // Of the open file, not of the path: nobody can swap it in between.
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// Opens a file that must be its owner's alone.
///
/// # Errors
/// [`PrivateFileError`].
pub fn open_private(path: &Path) -> Result<File, PrivateFileError> {
    let file = open_regular(path).map_err(PrivateFileError::Unreadable)?;
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

/// What was last read of files that change.
#[derive(Debug)]
pub(crate) struct LastRead<S> {
    /// What the content that counts looked like from outside.
    stamp: S,
    /// What a later content looked like, and what is wrong with it.
    fault: Option<(S, String)>,
}

/// What came of a look at files.
#[derive(Debug)]
pub(crate) enum Look<T, E> {
    /// They are as before, or as wrong as at the last look.
    Unchanged,
    /// They changed.
    Taken(T),
    /// They changed and cannot be used: what they were before goes on.
    Kept(E),
}

impl<S: PartialEq> LastRead<S> {
    /// Of a first content. The stamp is taken before it is read: what changes in between is seen at the next look.
    pub(crate) const fn new(stamp: S) -> Self {
        Self { stamp, fault: None }
    }

    /// Reads again what looks different. What cannot be read may be so for the moment (no descriptor is free), so each
    /// look tries again, and what is wrong is told once.
    pub(crate) fn look<T, E: fmt::Display>(&mut self, now: S, read: impl FnOnce() -> Result<T, E>) -> Look<T, E> {
        if self.stamp == now {
            return Look::Unchanged;
        }
        match read() {
            Ok(content) => {
                (self.stamp, self.fault) = (now, None);
                Look::Taken(content)
            }
            Err(error) => {
                let fault = Some((now, error.to_string()));
                if self.fault == fault {
                    return Look::Unchanged;
                }
                self.fault = fault;
                Look::Kept(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        for path in [pipe, folder.path().to_owned(), "/dev/zero".into()] {
            let (tell, told) = mpsc::channel();
            let opened = path.clone();
            thread::spawn(move || tell.send(open_regular(&opened).map(drop).map_err(|error| error.to_string())));
            let told = told.recv_timeout(Duration::from_secs(20)).expect("nobody waits for a writer");
            assert_eq!(told, Err("it is no regular file".to_owned()), "{}", path.display());
        }
        let link = folder.path().join("link");
        fs::write(folder.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(open_regular(&link).is_ok(), "mounted volumes are links");
    }

    #[test]
    fn what_could_not_be_read_is_read_again_and_told_once() {
        let mut last = LastRead::new(1);
        let mut look = |stamp, content: Result<&'static str, &'static str>| last.look(stamp, || content);
        assert!(matches!(look(1, Ok("unread")), Look::Unchanged));
        assert!(matches!(look(2, Err("for the moment")), Look::Kept("for the moment")));
        assert!(matches!(look(2, Err("for the moment")), Look::Unchanged), "told once");
        assert!(matches!(look(2, Err("for good")), Look::Kept("for good")));
        assert!(matches!(look(4, Err("for good")), Look::Kept("for good")), "it was changed, and is as wrong");
        assert!(matches!(look(2, Ok("new")), Look::Taken("new")), "the same file, which can be read now");
        assert!(matches!(look(2, Ok("unread")), Look::Unchanged));
        assert!(matches!(look(3, Err("for good")), Look::Kept("for good")), "anew");
        assert!(matches!(look(2, Ok("unread")), Look::Unchanged), "it is as it was");
    }
}
