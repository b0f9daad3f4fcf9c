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

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

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

/// Why a database cannot be used. A message names host, port and database (or the file), never a user or a password.
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
    #[error("{database} cannot be opened: {reason}; {remedy}")]
    Unreachable {
        /// Which one.
        database: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
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
    #[error("{database} is at schema version {found} and this release needs {needed}; run `secapi-proxy migrate up`")]
    Older {
        /// Which one.
        database: String,
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
    /// It is of a newer release.
    #[error(
        "{database} is at schema version {found}, newer than this release's {needed}; start the release that migrated it"
    )]
    Newer {
        /// Which one.
        database: String,
        /// Its version.
        found: i64,
        /// This release's.
        needed: i64,
    },
    /// A migration failed.
    #[error("{database} cannot be migrated: {reason}; {remedy}")]
    Migration {
        /// Which one.
        database: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// A parsed URL, and how messages name what it names.
pub(crate) struct Target {
    pub(crate) database: String,
    pub(crate) connect: Connect,
}

/// How a database is connected to.
#[derive(Clone)]
pub(crate) enum Connect {
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
    let Target { database, connect, .. } = Target::parse(url)?;
    match settled_state(url).await? {
        SchemaState::Current => {}
        SchemaState::Empty => migrate_up(url).await?,
        SchemaState::Older { found, needed } => return Err(DatabaseError::Older { database, found, needed }),
        SchemaState::Newer { found, needed } => return Err(DatabaseError::Newer { database, found, needed }),
    }
    let db = match connect {
        Connect::Postgres(connect) => Database::postgres(connect, options),
        Connect::Sqlite(connect) => Database::sqlite(connect, options),
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
    match Target::parse(url)?.connect {
        Connect::Sqlite(connect) => {
            let connect = connect.pragma("max_page_count", pages.to_string());
            Ok(SqlStore::new(Database::sqlite(connect, options)))
        }
        Connect::Postgres(_) => connect(url, options).await,
    }
}

/// Applies all migrations that are missing. A SQLite file is made when absent, for its owner alone; its folder is not.
///
/// # Errors
/// As for [`connect`]; a database of a newer release is left alone.
pub async fn migrate_up(url: &str) -> Result<(), DatabaseError> {
    let target = Target::parse(url)?;
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
                return Err(DatabaseError::Newer {
                    needed: latest(target.dialect()),
                    database: target.database,
                    found,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(target.unmigrated(last))
}

/// Takes back the last migrations, with all that they brought.
///
/// # Errors
/// As for [`migrate_up`].
pub async fn migrate_down(url: &str, steps: usize) -> Result<(), DatabaseError> {
    let target = Target::parse(url)?;
    let mut applied = target.applied().await?;
    let needed = latest(target.dialect());
    if let Some(found) = applied.last().copied().filter(|found| *found > needed) {
        return Err(DatabaseError::Newer { database: target.database, found, needed });
    }
    applied.truncate(applied.len().saturating_sub(steps));
    let remaining = applied.last().copied().unwrap_or(0);
    let opened = target.open().await?;
    let undone = opened.down_to(remaining).await;
    opened.close().await;
    undone.map_err(|error| target.unmigrated(Some(error)))
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
    if let Connect::Sqlite(options) = &target.connect
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
    pub(crate) fn parse(url: &str) -> Result<Self, DatabaseError> {
        let scheme = url.split(':').next().unwrap_or_default();
        match scheme {
            "postgres" | "postgresql" => {
                PgConnectOptions::from_str(url).map(|options| Self::postgres(url, options)).map_err(|_| {
                    DatabaseError::Url { scheme: "postgres", example: "postgres://user:password@host:5432/secapi" }
                })
            }
            "sqlite" if url.len() > "sqlite:".len() => {
                SqliteConnectOptions::from_str(url).map(Self::sqlite).map_err(|_| sqlite_url())
            }
            "sqlite" => Err(sqlite_url()),
            // What has no colon may be anything, a password too.
            _ if !url.contains(':') => Err(DatabaseError::Scheme { scheme: String::new() }),
            other => Err(DatabaseError::Scheme { scheme: other.to_owned() }),
        }
    }

    fn postgres(url: &str, options: PgConnectOptions) -> Self {
        let authority = url.split_once("//").map_or("", |(_, rest)| rest);
        let rest = authority.split_once(['/', '?', '#']).map_or("", |(_, rest)| rest);
        let named = match (options.get_database(), options.get_socket()) {
            // A password with a slash, say, that was not encoded: what looks like a host and a name is a part of it.
            _ if rest.contains('@') => String::new(),
            (name, Some(socket)) => format!("{} at the socket {}", named(name), socket.display()),
            (name, None) => format!("{} on host {}, port {}", named(name), options.get_host(), options.get_port()),
        };
        Self { database: format!("the postgres database{named}"), connect: Connect::Postgres(options) }
    }

    fn sqlite(options: SqliteConnectOptions) -> Self {
        let file = options.get_filename();
        let named = if is_in_memory(file) { " in memory".to_owned() } else { format!(" {}", file.display()) };
        Self { database: format!("the sqlite database{named}"), connect: Connect::Sqlite(options) }
    }

    const fn dialect(&self) -> Dialect {
        match &self.connect {
            Connect::Postgres(_) => Dialect::Postgres,
            Connect::Sqlite(_) => Dialect::Sqlite,
        }
    }

    fn unreachable(&self, error: &sqlx::Error) -> DatabaseError {
        let (reason, remedy) = self.fault(error);
        DatabaseError::Unreachable { database: self.database.clone(), reason, remedy }
    }

    fn unmigrated(&self, error: Option<MigrateError>) -> DatabaseError {
        let (reason, remedy) = match &error {
            Some(MigrateError::Execute(error)) => self.fault(error),
            Some(error) => (self.without_user(&error.to_string()), MIGRATION),
            None => (String::new(), MIGRATION),
        };
        DatabaseError::Migration { database: self.database.clone(), reason, remedy }
    }

    /// What is wrong, in words without a user, and what to do about it.
    fn fault(&self, error: &sqlx::Error) -> (String, &'static str) {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        // What PostgreSQL says of these names the user.
        let (reason, remedy) = match (&self.connect, code.as_ref()) {
            (Connect::Postgres(_), "28P01" | "28000") => (
                "it does not let this user in with this password",
                "correct them in SECA_DATABASE_URL (special characters are percent-encoded there), or let them in \
                 with CREATE ROLE and pg_hba.conf",
            ),
            (Connect::Postgres(_), "3D000") => {
                ("there is no database of this name", "create it with createdb, or name another in SECA_DATABASE_URL")
            }
            (Connect::Postgres(_), "42501") => {
                ("this user may not do that there", "let the user own the database: ALTER DATABASE … OWNER TO …")
            }
            (Connect::Postgres(_), "53300") => {
                ("it has too many connections", "raise its max_connections, or let fewer processes use it")
            }
            (Connect::Postgres(_), "57P03") => ("it is starting or stopping", "try again when it is up"),
            (Connect::Postgres(_), _) => {
                let remedy = "check that PostgreSQL runs there and that SECA_DATABASE_URL names it";
                return (self.without_user(&error.to_string()), remedy);
            }
            (Connect::Sqlite(_), _) => {
                let remedy = "check that SECA_DATABASE_URL names the right file, and that this process may write the \
                              file and its folder";
                return (error.to_string(), remedy);
            }
        };
        (reason.to_owned(), remedy)
    }

    /// PostgreSQL puts names in quotes; no message of it holds a password.
    fn without_user(&self, text: &str) -> String {
        match &self.connect {
            Connect::Postgres(options) => text.replace(&format!("\"{}\"", options.get_username()), "\"…\""),
            Connect::Sqlite(_) => text.to_owned(),
        }
    }

    async fn open(&self) -> Result<Opened, DatabaseError> {
        match &self.connect {
            Connect::Postgres(options) => {
                // A pool would go on trying, and hide why.
                let probe = options.connect().await.map_err(|error| self.unreachable(&error))?;
                drop(probe.close().await);
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(OPEN_TIMEOUT);
                let opened = pool.connect_with(options.clone()).await;
                opened.map(Opened::Postgres).map_err(|error| self.unreachable(&error))
            }
            Connect::Sqlite(options) => {
                make_private(&self.database, options.get_filename()).await?;
                let options = sqlite_writer(options.clone()).busy_timeout(OPEN_TIMEOUT);
                let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(OPEN_TIMEOUT);
                let opened = pool.connect_with(options).await;
                opened.map(Opened::Sqlite).map_err(|error| self.unreachable(&error))
            }
        }
    }

    /// The migrations in the database, in their order.
    async fn applied(&self) -> Result<Vec<i64>, DatabaseError> {
        let opened = self.open().await?;
        let applied = opened.applied().await;
        opened.close().await;
        applied.map_err(|error| self.unreachable(&error))
    }
}

/// What helps against most that a migration fails by.
const MIGRATION: &str = "the server's log says more; nothing of the migration that failed was kept";

fn named(database: Option<&str>) -> String {
    database.map(|name| format!(" {name}")).unwrap_or_default()
}

/// The driver's name for a database in memory, which is no file.
fn is_in_memory(file: &Path) -> bool {
    file.to_string_lossy().starts_with("file:sqlx-in-memory-")
}

/// Makes an empty database file that only its owner may use, unless there is one; SQLite gives the files that it puts
/// beside it the same mode. A folder that is missing is more likely misspelt, or not mounted.
async fn make_private(database: &str, file: &Path) -> Result<(), DatabaseError> {
    if is_in_memory(file) {
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
            database: database.to_owned(),
            reason: format!("the file cannot be made: {error}"),
            remedy: "let this process write the folder, or name a file elsewhere in SECA_DATABASE_URL",
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
