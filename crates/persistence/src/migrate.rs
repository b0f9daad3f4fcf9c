//! Which database a URL names, and the state of its schema.
//!
//! Migrations only ever expand: the release before keeps working on the schema of this one, so that replicas can be
//! replaced one by one.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgPool, SqlitePool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use crate::{
    database::{Database, sqlite_writer},
    sql::Dialect,
    store::SqlStore,
};

static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long opening may take, waiting for others that migrate included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one migration of an empty database may take, before it is taken for one of an older release.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);

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
    /// The folder of a SQLite file is missing.
    #[error(
        "the sqlite database cannot be opened: the folder {folder} does not exist; create it, or name a file elsewhere"
    )]
    Folder {
        /// The folder.
        folder: String,
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

/// One connection, to migrate by; a pool, because only that makes futures that may be sent.
enum Opened {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Opens the store that a URL names (`postgres://…`, `postgresql://…`, `sqlite:path`). An empty database is migrated;
/// one of another release is refused.
///
/// # Errors
/// The URL, the connection, or the schema's version.
pub async fn connect(url: &str, options: &Options) -> Result<SqlStore, DatabaseError> {
    let target = Target::parse(url)?;
    let scheme = target.scheme();
    match settled_state(url).await? {
        SchemaState::Current => {}
        SchemaState::Empty => migrate_up(url).await?,
        SchemaState::Older { found, needed } => return Err(DatabaseError::Older { scheme, found, needed }),
        SchemaState::Newer { found, needed } => return Err(DatabaseError::Newer { scheme, found, needed }),
    }
    let db = match target {
        Target::Postgres(connect) => Database::postgres(connect, options),
        Target::Sqlite(connect) => Database::sqlite(connect, options),
    };
    Ok(SqlStore::new(db))
}

/// [`connect`]s to a SQLite file that grows to at most this many pages, as on a full disk.
///
/// # Errors
/// As for [`connect`].
#[cfg(feature = "testing")]
pub async fn connect_within(url: &str, options: &Options, pages: u32) -> Result<SqlStore, DatabaseError> {
    connect(url, options).await?.close().await;
    match Target::parse(url)? {
        Target::Sqlite(connect) => {
            let connect = connect.pragma("max_page_count", pages.to_string());
            Ok(SqlStore::new(Database::sqlite(connect, options)))
        }
        Target::Postgres(_) => connect(url, options).await,
    }
}

/// Applies all migrations that are missing. A SQLite file is made when absent, for its owner alone; its folder is not.
///
/// # Errors
/// As for [`connect`]; a database of a newer release is left alone.
pub async fn migrate_up(url: &str) -> Result<(), DatabaseError> {
    let target = Target::parse(url)?;
    let scheme = target.scheme();
    let mut last = None;
    // Replicas may begin on an empty SQLite file at the same time. Who loses against another finds one migration more
    // done, and goes on behind it.
    for _ in 0..=migrator(target.dialect()).iter().count() {
        let opened = target.open().await?;
        let done = opened.up().await;
        opened.close().await;
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
    let mut applied = target.applied().await?;
    let needed = latest(target.dialect());
    if let Some(found) = applied.last().copied().filter(|found| *found > needed) {
        return Err(DatabaseError::Newer { scheme, found, needed });
    }
    applied.truncate(applied.len().saturating_sub(steps));
    let remaining = applied.last().copied().unwrap_or(0);
    let opened = target.open().await?;
    let undone = opened.down_to(remaining).await;
    opened.close().await;
    undone.map_err(|error| DatabaseError::Migration { scheme, reason: error.to_string() })
}

/// The state once it rests: another replica may be about to migrate an empty database.
async fn settled_state(url: &str) -> Result<SchemaState, DatabaseError> {
    let mut state = schema_state(url).await?;
    while matches!(state, SchemaState::Older { .. }) {
        tokio::time::sleep(SETTLES_WITHIN).await;
        let before = std::mem::replace(&mut state, schema_state(url).await?);
        if state == before {
            break;
        }
    }
    Ok(state)
}

/// The state of a database's schema. No table and no file is made.
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
    let applied = target.applied().await?;
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
    migrator(dialect).iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn migrator(dialect: Dialect) -> &'static Migrator {
    match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    }
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
                // A pool would go on trying, and hide why.
                let probe = options.connect().await.map_err(|error| unreachable(error.to_string()))?;
                drop(probe.close().await);
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(OPEN_TIMEOUT);
                let opened = pool.connect_with(options.clone()).await;
                opened.map(Opened::Postgres).map_err(|error| unreachable(error.to_string()))
            }
            Self::Sqlite(options) => {
                make_private(options.get_filename()).await?;
                let options = sqlite_writer(options.clone()).busy_timeout(OPEN_TIMEOUT);
                let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(OPEN_TIMEOUT);
                let opened = pool.connect_with(options).await;
                opened.map(Opened::Sqlite).map_err(|error| unreachable(error.to_string()))
            }
        }
    }

    /// The migrations in the database, in their order.
    async fn applied(&self) -> Result<Vec<i64>, DatabaseError> {
        let opened = self.open().await?;
        let applied = opened.applied().await;
        opened.close().await;
        let scheme = self.scheme();
        applied.map_err(|error| DatabaseError::Unreachable { scheme, reason: error.to_string() })
    }
}

/// Makes an empty database file that only its owner may use, unless there is one; SQLite gives the files that it puts
/// beside it the same mode. A folder that is missing is more likely misspelt, or not mounted.
async fn make_private(file: &Path) -> Result<(), DatabaseError> {
    // The driver's name for a database in memory, which is no file.
    if file.to_string_lossy().starts_with("file:sqlx-in-memory-") {
        return Ok(());
    }
    let folder = file.parent().filter(|path| *path != Path::new("")).unwrap_or(Path::new("."));
    if !tokio::fs::try_exists(folder).await.unwrap_or(false) {
        return Err(DatabaseError::Folder { folder: folder.display().to_string() });
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(file).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DatabaseError::Unreachable {
            scheme: "sqlite",
            reason: format!("the file {} cannot be made: {error}", file.display()),
        }),
    }
}

fn sqlite_url() -> DatabaseError {
    DatabaseError::Url { scheme: "sqlite", example: "sqlite:/var/lib/secapi-proxy/proxy.db" }
}

impl Opened {
    async fn up(&self) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => POSTGRES.run(pool).await,
            Self::Sqlite(pool) => SQLITE.run(pool).await,
        }
    }

    async fn down_to(&self, version: i64) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => POSTGRES.undo(pool, version).await,
            Self::Sqlite(pool) => SQLITE.undo(pool, version).await,
        }
    }

    /// A pool closes its connection by and by; what follows must find the file free.
    async fn close(self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }

    async fn applied(&self) -> Result<Vec<i64>, sqlx::Error> {
        const POSTGRES_TABLE: &str = "SELECT count(to_regclass('_sqlx_migrations'))";
        const SQLITE_TABLE: &str = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
        const APPLIED: &str = "SELECT version FROM _sqlx_migrations ORDER BY version";
        let tables: i64 = match self {
            Self::Postgres(pool) => sqlx::query_scalar(POSTGRES_TABLE).fetch_one(pool).await?,
            Self::Sqlite(pool) => sqlx::query_scalar(SQLITE_TABLE).fetch_one(pool).await?,
        };
        match self {
            _ if tables == 0 => Ok(Vec::new()),
            Self::Postgres(pool) => sqlx::query_scalar(APPLIED).fetch_all(pool).await,
            Self::Sqlite(pool) => sqlx::query_scalar(APPLIED).fetch_all(pool).await,
        }
    }
}
