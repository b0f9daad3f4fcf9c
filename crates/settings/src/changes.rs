//! Files that change.

use std::{fmt, fs, os::unix::fs::MetadataExt as _, path::Path};

/// What a file looks like from outside. The change time tells two writes of the same length and moment apart, and a
/// new mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None for a file that is not there.
    pub fn of(path: &Path) -> Option<Self> {
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
pub struct LastRead<S> {
    /// What the content that counts looked like from outside.
    stamp: S,
    /// What a later content looked like, and what is wrong with it.
    fault: Option<(S, String)>,
}

/// What came of a look at files.
#[derive(Debug)]
pub enum Look<T, E> {
    /// They are as before, or as wrong as at the last look.
    Unchanged,
    /// They changed.
    Taken(T),
    /// They changed and cannot be used: what they were before goes on.
    Kept(E),
}

impl<S: PartialEq> LastRead<S> {
    /// Of a first content. The stamp is taken before it is read: what changes in between is seen at the next look.
    pub const fn new(stamp: S) -> Self {
        Self { stamp, fault: None }
    }

    /// Reads again what looks different. What cannot be read may be so for the moment (no descriptor is free), so each
    /// look tries again, and what is wrong is told once.
    pub fn look<T, E: fmt::Display>(&mut self, now: S, read: impl FnOnce() -> Result<T, E>) -> Look<T, E> {
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
    use super::*;

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
