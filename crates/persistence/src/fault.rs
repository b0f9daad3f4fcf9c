//! What goes wrong with a database, and what of it is worth another try.

use control_plane::ports::StoreError;
use sqlx::error::DatabaseError;

/// A failure inside a transaction.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Corrupt(String),
    /// The session that was to write may not.
    ReadOnly,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// Whether the same transaction may well succeed the next time: it lost against another, the database was
    /// busy, or an idle connection was found broken.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Corrupt(_) => false,
            Self::ReadOnly => true,
            Self::Sql(sqlx::Error::Database(error)) => is_passing_code(error.as_ref()),
            Self::Sql(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
            }
        }
    }

    /// Whether the connection is to be closed: its session may only read, as one does that began while the server did
    /// (PostgreSQL), or the disk failed it (SQLite), which may leave it in a transaction, or in none.
    pub(crate) fn is_broken(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return matches!(self, Self::ReadOnly) };
        let Some(code) = error.code() else { return false };
        code == READ_ONLY || sqlite_code(&code).is_some_and(|code| DISK.contains(&code))
    }

    /// Whether the database lacks something that it may have again: room, memory, a disk that works.
    fn is_lack(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        let Some(code) = error.code() else { return false };
        let postgres = code.len() == 5 && (code.starts_with("53") || code.starts_with("58"));
        postgres || sqlite_code(&code).is_some_and(|code| DISK.contains(&code))
    }
}

/// PostgreSQL: read_only_sql_transaction.
const READ_ONLY: &str = "25006";

/// SQLite: READONLY, IOERR, FULL, CANTOPEN.
const DISK: [i32; 4] = [8, 10, 13, 14];

/// The primary code of SQLite, the low byte; its codes have at most four digits.
fn sqlite_code(code: &str) -> Option<i32> {
    if code.len() < 5 { code.parse::<i32>().ok().map(|code| code & 0xff) } else { None }
}

fn is_passing_code(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    // PostgreSQL: serialization failure, deadlock, lock not available, shutting down or starting, connection
    // exceptions, too many connections; a session that ended because this process stood still in a transaction, or for
    // long; and a session that may only read, which is closed.
    let postgres = ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "25P03", "53300", READ_ONLY];
    if postgres.contains(&code.as_ref()) || (code.len() == 5 && code.starts_with("08")) {
        return true;
    }
    // SQLite: BUSY (5) or LOCKED (6).
    sqlite_code(&code).is_some_and(|code| matches!(code, 5 | 6))
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            ref passing if passing.is_passing() || passing.is_lack() => Self::Unavailable(passing.to_string()),
            Fault::ReadOnly => Self::Unavailable(fault.to_string()),
            Fault::Sql(error @ (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_))) => {
                Self::Unavailable(error.to_string())
            }
            Fault::Sql(error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))) => {
                Self::Corrupt(error.to_string())
            }
            Fault::Sql(error) => Self::Refused(error.to_string()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Corrupt(what) => f.write_str(what),
            Self::ReadOnly => f.write_str("its session may only read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error, fmt};

    use sqlx::error::ErrorKind;

    use super::*;

    /// An error of the database with a code, and nothing else.
    #[derive(Debug)]
    struct Coded(&'static str);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn a_session_that_ended_is_no_defect_and_a_refused_statement_is_one() {
        let told = |code| StoreError::from(Fault::Sql(sqlx::Error::Database(Box::new(Coded(code)))));
        // The process stood still in a transaction, the server shut down, another one was first.
        for passing in ["25P03", "57P05", "57P01", "40001", "08006", "53300"] {
            assert!(matches!(told(passing), StoreError::Unavailable(_)), "{passing}");
        }
        for defect in ["42601", "23505"] {
            assert!(matches!(told(defect), StoreError::Refused(_)), "{defect}");
        }
    }
}
