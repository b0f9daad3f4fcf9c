//! Copies of a database that is in use.
//!
//! SQLite writes one itself (`VACUUM INTO`): it reads what was committed at one moment, while others go on to read and
//! write, and gives a file of its own that needs no write-ahead log. PostgreSQL has `pg_dump` for it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use crate::migrate::{Connect, DatabaseError, Target};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It is not SQLite's.
    #[error("{database} is PostgreSQL's, which is copied by pg_dump")]
    Postgres {
        /// Which one.
        database: String,
    },
    /// The file cannot be written.
    #[error("{path} cannot be written: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is a file already: a copy is never written over another.
    #[error("{path} is there already, and no backup is written over: name another file", path = .0.display())]
    Exists(PathBuf),
    /// The copy could not be made, or is not sound.
    #[error("the copy could not be made: {0}")]
    Copy(String),
}

/// Copies a SQLite database that is in use to a file, which only its owner may read and which must not be there. It is there
/// when it is whole, sound and on the disk, or not at all. The number of its bytes.
///
/// # Errors
/// [`BackupError`].
pub async fn backup(url: &str, to: &Path) -> Result<u64, BackupError> {
    let Target { database, connect, .. } = Target::parse(url)?;
    let Connect::Sqlite(connect) = connect else { return Err(BackupError::Postgres { database }) };
    if !connect.get_filename().is_file() {
        return Err(BackupError::Copy(format!("there is no {database}")));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = to.with_file_name(name);
    let made = copy(connect, &part).await;
    let done = made.and_then(|()| put_in_place(&part, to));
    if done.is_err() {
        drop(fs::remove_file(&part));
    }
    done
}

async fn copy(connect: SqliteConnectOptions, part: &Path) -> Result<(), BackupError> {
    // SQLite writes into an empty file; made here, it is nobody else's to read from its first byte on.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part);
    made.map_err(|error| BackupError::File { path: part.to_owned(), error })?;
    let failed = |error: sqlx::Error| BackupError::Copy(error.to_string());
    let path = part.to_str().ok_or_else(|| BackupError::Copy("the path is not text".to_owned()))?;
    let mut source = connect.create_if_missing(false).connect().await.map_err(failed)?;
    sqlx::query("VACUUM INTO ?1").bind(path).execute(&mut source).await.map_err(failed)?;
    source.close().await.map_err(failed)?;

    let mut copy = SqliteConnectOptions::new().filename(part).read_only(true).connect().await.map_err(failed)?;
    let said: String = sqlx::query("PRAGMA integrity_check")
        .fetch_one(&mut copy)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    copy.close().await.map_err(failed)?;
    if said == "ok" { Ok(()) } else { Err(BackupError::Copy(format!("it is not sound: {said}"))) }
}

/// Moves a whole copy to its place, with all of it on the disk.
fn put_in_place(part: &Path, to: &Path) -> Result<u64, BackupError> {
    let place = || {
        let file = File::open(part)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        // A link fails where a file is: one that came meanwhile is not written over.
        fs::hard_link(part, to)?;
        fs::remove_file(part)?;
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(bytes)
    };
    place().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => BackupError::File { path: to.to_owned(), error },
    })
}
