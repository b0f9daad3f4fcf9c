//! Files of one's own: written in one step, readable by whom they should be.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Writes a file beside its place and moves it there: it is old or new, never half. The mode holds from the first
/// byte on.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The content of a secret file of mode 0600, which is made once. One that others may read is refused: what it
/// holds may be known already.
pub(crate) fn secret_once(path: &Path, make: impl FnOnce() -> String) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode = fs::metadata(path)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let shown = path.display();
                return Err(io::Error::other(format!(
                    "{shown} has mode {mode:04o}, so others may have read it: remove it to get a new one, or chmod 600 {shown}"
                )));
            }
            Ok(text.trim_end().to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make();
            replace(path, format!("{text}\n").as_bytes(), 0o600)?;
            Ok(text)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
