//! Files with secrets, and files of one's own: opened without a race, readable by whom they should be, written in one step.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
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
pub fn open_regular(path: &Path) -> io::Result<File> {
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

/// Reads a file that must be its owner's alone, as text.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read_private(path: &Path) -> Result<String, PrivateFileError> {
    let mut text = String::new();
    open_private(path)?.read_to_string(&mut text).map_err(PrivateFileError::Unreadable)?;
    Ok(text)
}

/// Writes a file beside its place and moves it there: it is old or new, never half. The mode holds from the first
/// byte on.
///
/// # Errors
/// When the file cannot be written or moved.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Writes a file that was not there, of mode 0600 from the first byte on. Of one that cannot be written whole, nothing
/// stays.
///
/// # Errors
/// When the file exists already ([`io::ErrorKind::AlreadyExists`]), or cannot be made or written.
pub fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(path)))
}

/// The content of a secret file of mode 0600, which is made once. One that others may read is refused: what it
/// holds may be known already.
///
/// # Errors
/// When it cannot be read or made, or others may read it.
pub fn secret_once(path: &Path, make: impl FnOnce() -> String) -> io::Result<String> {
    match open_private(path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text.trim_end().to_owned())
        }
        Err(PrivateFileError::Exposed(mode)) => {
            let shown = path.display();
            Err(io::Error::other(format!(
                "{shown} has mode {mode:04o}, so others may have read it: remove it to get a new one, or chmod 600 {shown}"
            )))
        }
        Err(PrivateFileError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
            let text = make();
            replace(path, format!("{text}\n").as_bytes(), 0o600)?;
            Ok(text)
        }
        Err(PrivateFileError::Unreadable(error)) => Err(error),
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
    fn what_is_made_once_is_not_overwritten_and_half_of_it_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create_private(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert!(create_private(Path::new("/dev/full"), b"x").is_err());
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(secret_once(&path, || "first".to_owned()).unwrap(), "first");
        assert_eq!(secret_once(&path, || "second".to_owned()).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let sentence = secret_once(&path, || "third".to_owned()).unwrap_err().to_string();
        assert!(sentence.contains("chmod 600"), "{sentence}");
    }

    #[test]
    fn replacing_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        replace(&path, b"a", 0o644).unwrap();
        replace(&path, b"b", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"b");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
