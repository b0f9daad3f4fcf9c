//! What goes wrong with a database, and what of it is worth another try.

use control_plane::ports::StoreError;
use sqlx::error::DatabaseError;

/// A failure inside a transaction.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Corrupt(String),
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
            Self::Sql(sqlx::Error::Database(error)) => is_passing_code(error.as_ref()),
            Self::Sql(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
            }
        }
    }
}

fn is_passing_code(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    // PostgreSQL: serialization failure, deadlock, lock not available, shutting down or starting, connection
    // exceptions, too many connections.
    let postgres = ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300"];
    if postgres.contains(&code.as_ref()) || (code.len() == 5 && code.starts_with("08")) {
        return true;
    }
    // SQLite: the low byte says BUSY (5) or LOCKED (6); its codes have at most four digits.
    code.len() < 5 && code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            ref passing if passing.is_passing() => Self::Unavailable(passing.to_string()),
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
        }
    }
}
