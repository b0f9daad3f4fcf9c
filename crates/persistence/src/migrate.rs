//! Which database a URL names, and the state of its schema.
//!
//! Migrations only ever expand: the release before keeps working on the schema of this one, so that replicas can be
//! replaced one by one.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, PgConnection, SqliteConnection,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

use crate::{
    database::{Database, sqlite_writer},
    sql::Dialect,
    store::SqlStore,
};

static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections for handlers that read.
    pub read_connections: u32,
    /// Connections for handlers that write (PostgreSQL; SQLite has one that writes).
    pub write_connections: u32,
    /// Connections for the engine (PostgreSQL).
    pub engine_connections: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_connections: 8,
            write_connections: 8,
            engine_connections: 4,
            acquire_timeout: Duration::from_secs(5),
        }
    }
}

/// The state of a database's schema, by the numbers of its migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing was migrated yet.
    Empty,
    /// It is of an older release.
    Older {
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
    /// It is this release's.
    Current,
    /// It is of a newer release.
    Newer {
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
}

/// Why a database cannot be used. No message holds a user, a password or a host.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL names no database that is known.
    #[error(
        "a database URL begins with postgres:// or sqlite:, not with {scheme:?}; write for example sqlite:/var/lib/secapi-proxy/proxy.db"
    )]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The URL is not of the form of its scheme.
    #[error("the {scheme} database URL cannot be read; write for example {example}")]
    Url {
        /// The scheme.
        scheme: &'static str,
        /// What one looks like.
        example: &'static str,
    },
    /// It does not answer.
    #[error("the {scheme} database cannot be opened: {reason}")]
    Unreachable {
        /// The scheme.
        scheme: &'static str,
        /// What the driver says.
        reason: String,
    },
    /// It is of an older release.
    #[error(
        "the {scheme} database is at schema version {found} and this release needs {needed}; run `secapi-proxy migrate`"
    )]
    Older {
        /// The scheme.
        scheme: &'static str,
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
    /// It is of a newer release.
    #[error(
        "the {scheme} database is at schema version {found}, newer than this release's {needed}; start the release that migrated it"
    )]
    Newer {
        /// The scheme.
        scheme: &'static str,
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
    /// A migration failed.
    #[error("the {scheme} database cannot be migrated: {reason}")]
    Migration {
        /// The scheme.
        scheme: &'static str,
        /// What the driver says.
        reason: String,
    },
}

/// A parsed URL.
enum Target {
    Postgres(PgConnectOptions),
    Sqlite(SqliteConnectOptions),
}

/// One connection, to migrate by.
enum Opened {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Opens the store that a URL names (`postgres://…`, `postgresql://…`, `sqlite:path`). An empty database is migrated;
/// one of another release is refused.
///
/// # Errors
/// The URL, the connection, or the schema's version.
pub async fn connect(url: &str, options: &Options) -> Result<SqlStore, DatabaseError> {
    let target = Target::parse(url)?;
    let scheme = target.scheme();
    match schema_state(url).await? {
        SchemaState::Current => {}
        SchemaState::Empty => migrate_up(url).await?,
        SchemaState::Older { found, needed } => return Err(DatabaseError::Older { scheme, found, needed }),
        SchemaState::Newer { found, needed } => return Err(DatabaseError::Newer { scheme, found, needed }),
    }
    Ok(SqlStore {
        db: match target {
            Target::Postgres(connect) => Database::postgres(connect, options),
            Target::Sqlite(connect) => Database::sqlite(connect, options),
        },
    })
}

/// Applies all migrations that are missing. A SQLite file and its directory are made when absent.
///
/// # Errors
/// As for [`connect`]; a database of a newer release is left alone.
pub async fn migrate_up(url: &str) -> Result<(), DatabaseError> {
    let target = Target::parse(url)?;
    let scheme = target.scheme();
    let mut last = None;
    // Two replicas may begin on an empty SQLite file at the same time: the second finds the work done.
    for _ in 0..3 {
        let done = match target.open().await? {
            Opened::Postgres(mut connection) => POSTGRES.run(&mut connection).await,
            Opened::Sqlite(mut connection) => SQLITE.run(&mut connection).await,
        };
        match done {
            Ok(()) => return Ok(()),
            Err(MigrateError::VersionMissing(found)) => {
                return Err(DatabaseError::Newer { scheme, found, needed: latest(target.dialect()) });
            }
            Err(error) => last = Some(error.to_string()),
        }
    }
    Err(DatabaseError::Migration { scheme, reason: last.unwrap_or_default() })
}

/// Takes back the last migrations, with all that they brought.
///
/// # Errors
/// As for [`migrate_up`].
pub async fn migrate_down(url: &str, steps: usize) -> Result<(), DatabaseError> {
    let target = Target::parse(url)?;
    let scheme = target.scheme();
    let mut opened = target.open().await?;
    let mut applied = opened.applied(scheme).await?;
    let needed = latest(target.dialect());
    if let Some(found) = applied.last().copied().filter(|found| *found > needed) {
        return Err(DatabaseError::Newer { scheme, found, needed });
    }
    applied.truncate(applied.len().saturating_sub(steps));
    let remaining = applied.last().copied().unwrap_or(0);
    let undone = match &mut opened {
        Opened::Postgres(connection) => POSTGRES.undo(connection, remaining).await,
        Opened::Sqlite(connection) => SQLITE.undo(connection, remaining).await,
    };
    undone.map_err(|error| DatabaseError::Migration { scheme, reason: error.to_string() })
}

/// The state of a database's schema. Nothing is written, and no file is made.
///
/// # Errors
/// The URL or the connection.
pub async fn schema_state(url: &str) -> Result<SchemaState, DatabaseError> {
    let target = Target::parse(url)?;
    if let Target::Sqlite(options) = &target
        && !options.get_filename().exists()
    {
        return Ok(SchemaState::Empty);
    }
    let applied = target.open().await?.applied(target.scheme()).await?;
    let needed = latest(target.dialect());
    Ok(match applied.last().copied() {
        None => SchemaState::Empty,
        Some(found) if found < needed => SchemaState::Older { found, needed },
        Some(found) if found > needed => SchemaState::Newer { found, needed },
        Some(_) => SchemaState::Current,
    })
}

/// The newest migration of this release.
pub(crate) fn latest(dialect: Dialect) -> i64 {
    let migrator = match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    };
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

impl Target {
    fn parse(url: &str) -> Result<Self, DatabaseError> {
        let scheme = url.split(':').next().unwrap_or_default();
        match scheme {
            "postgres" | "postgresql" => PgConnectOptions::from_str(url).map(Self::Postgres).map_err(|_| {
                DatabaseError::Url { scheme: "postgres", example: "postgres://user:password@host:5432/secapi" }
            }),
            "sqlite" if url.len() > "sqlite:".len() => {
                SqliteConnectOptions::from_str(url).map(Self::Sqlite).map_err(|_| sqlite_url())
            }
            "sqlite" => Err(sqlite_url()),
            // What has no colon may be anything, a password too.
            _ if !url.contains(':') => Err(DatabaseError::Scheme { scheme: String::new() }),
            other => Err(DatabaseError::Scheme { scheme: other.to_owned() }),
        }
    }

    const fn scheme(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Sqlite(_) => "sqlite",
        }
    }

    const fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    async fn open(&self) -> Result<Opened, DatabaseError> {
        let unreachable = |reason: String| DatabaseError::Unreachable { scheme: self.scheme(), reason };
        match self {
            Self::Postgres(options) => {
                options.connect().await.map(Opened::Postgres).map_err(|error| unreachable(error.to_string()))
            }
            Self::Sqlite(options) => {
                let parent = options.get_filename().parent().filter(|path| *path != Path::new(""));
                if let Some(directory) = parent {
                    tokio::fs::create_dir_all(directory).await.map_err(|error| unreachable(error.to_string()))?;
                }
                let options = sqlite_writer(options.clone()).busy_timeout(Duration::from_secs(5));
                options.connect().await.map(Opened::Sqlite).map_err(|error| unreachable(error.to_string()))
            }
        }
    }
}

fn sqlite_url() -> DatabaseError {
    DatabaseError::Url { scheme: "sqlite", example: "sqlite:/var/lib/secapi-proxy/proxy.db" }
}

impl Opened {
    /// The migrations in the database, in their order.
    async fn applied(&mut self, scheme: &'static str) -> Result<Vec<i64>, DatabaseError> {
        let table = match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_tables WHERE tablename = '_sqlx_migrations'")
                    .fetch_one(&mut *connection)
                    .await
            }
            Self::Sqlite(connection) => {
                sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
                    .fetch_one(&mut *connection)
                    .await
            }
        };
        let failed = |reason: String| DatabaseError::Unreachable { scheme, reason };
        if table.map_err(|error| failed(error.to_string()))? == 0 {
            return Ok(Vec::new());
        }
        let listed = match self {
            Self::Postgres(connection) => connection.list_applied_migrations("_sqlx_migrations").await,
            Self::Sqlite(connection) => connection.list_applied_migrations("_sqlx_migrations").await,
        };
        let mut applied: Vec<i64> =
            listed.map_err(|error| failed(error.to_string()))?.iter().map(|migration| migration.version).collect();
        applied.sort_unstable();
        Ok(applied)
    }
}
