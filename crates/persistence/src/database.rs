//! Connections, transactions, and another try when one lost against another.
//!
//! PostgreSQL has three pools, so that neither a flood of reads nor the engine can starve writes. SQLite has one
//! connection that writes (`BEGIN IMMEDIATE`) and a pool of those that read.

#[cfg(feature = "testing")]
mod explain;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    Options,
    fault::Fault,
    sql::{Dialect, Row, Sql, Value},
};

/// Who asks: each has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Handlers that read.
    Read,
    /// Handlers that write.
    Write,
    /// The engine.
    Engine,
}

/// A database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pools: Pools,
    statements: Statements,
}

#[derive(Clone, Debug)]
enum Pools {
    Postgres { read: PgPool, write: PgPool, engine: PgPool },
    Sqlite { read: SqlitePool, write: SqlitePool },
}

/// How many statements were sent, each of them a round trip. BEGIN and COMMIT are none.
#[derive(Clone, Debug, Default)]
struct Statements(Arc<AtomicU64>);

impl Statements {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A transaction.
pub(crate) struct Tx {
    connection: Connection,
    statements: Statements,
}

enum Connection {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

/// What runs inside a transaction, and again in a new one when that lost against another.
pub(crate) trait Operation: Sync {
    /// What comes of it.
    type Output: Send;

    /// Runs it.
    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

/// One text and its parameters.
struct Batch<'a>(Sql, &'a [Value<'a>]);

impl Operation for Batch<'_> {
    type Output = Vec<Row>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Row>, Fault> {
        tx.fetch(self.0, self.1).await
    }
}

/// A query with its parameters bound, for either database.
macro_rules! bound {
    ($text:expr, $args:expr) => {{
        let mut query = sqlx::query($text);
        for value in $args {
            query = match value {
                Value::Text(text) => query.bind(text.as_deref()),
                Value::Int(number) => query.bind(*number),
            };
        }
        query
    }};
}

#[cfg(feature = "testing")]
use bound;

impl Database {
    pub(crate) fn postgres(connect: PgConnectOptions, options: &Options) -> Self {
        let connect = connect.application_name("secapi-proxy").statement_cache_capacity(256);
        let pool = |size: u32| {
            PgPoolOptions::new()
                .max_connections(size.max(1))
                .min_connections(0)
                .acquire_timeout(options.acquire_timeout)
                .max_lifetime(Duration::from_secs(30 * 60))
                // A ping before each use would double the round trips; a broken connection is one more try.
                .test_before_acquire(false)
                .connect_lazy_with(connect.clone())
        };
        Self::new(Pools::Postgres {
            read: pool(options.read_connections),
            write: pool(options.write_connections),
            engine: pool(options.engine_connections),
        })
    }

    pub(crate) fn sqlite(connect: SqliteConnectOptions, options: &Options) -> Self {
        let connect = connect.busy_timeout(Duration::from_secs(1)).statement_cache_capacity(256);
        let writer = sqlite_writer(connect.clone());
        let reader = connect.create_if_missing(false).pragma("query_only", "on");
        let pool = |size: u32, connect: SqliteConnectOptions| {
            SqlitePoolOptions::new()
                .max_connections(size.max(1))
                .acquire_timeout(options.acquire_timeout)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(connect)
        };
        Self::new(Pools::Sqlite { read: pool(options.read_connections, reader), write: pool(1, writer) })
    }

    fn new(pools: Pools) -> Self {
        Self { pools, statements: Statements::default() }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.pools {
            Pools::Postgres { .. } => Dialect::Postgres,
            Pools::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// How many statements were sent so far.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.0.load(Ordering::Relaxed)
    }

    /// Reads by one statement.
    pub(crate) async fn fetch(&self, lane: Lane, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.fetch_text(lane, sql.text(self.dialect()), args, true).await
    }

    /// Reads by one statement that is put together out of fixed parts.
    pub(crate) async fn fetch_text(
        &self,
        lane: Lane,
        text: impl SqlSafeStr,
        args: &[Value<'_>],
        persistent: bool,
    ) -> Result<Vec<Row>, Fault> {
        let text = &text.into_sql_str();
        again(|| async move {
            self.statements.count();
            Ok(match &self.pools {
                Pools::Postgres { .. } => {
                    let query = bound!(text.clone(), args).persistent(persistent);
                    query.fetch_all(self.pg_pool(lane)?).await?.into_iter().map(Row::Postgres).collect()
                }
                Pools::Sqlite { read, .. } => {
                    let query = bound!(text.clone(), args).persistent(persistent);
                    query.fetch_all(read).await?.into_iter().map(Row::Sqlite).collect()
                }
            })
        })
        .await
    }

    /// Writes by one statement.
    pub(crate) async fn execute(&self, lane: Lane, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let text = sql.text(self.dialect());
        again(|| async move {
            self.statements.count();
            Ok(match &self.pools {
                Pools::Postgres { .. } => {
                    bound!(text, args).fetch_all(self.pg_pool(lane)?).await?.into_iter().map(Row::Postgres).collect()
                }
                Pools::Sqlite { write, .. } => {
                    bound!(text, args).fetch_all(write).await?.into_iter().map(Row::Sqlite).collect()
                }
            })
        })
        .await
    }

    /// Writes by one text that is a transaction of its own: a statement in PostgreSQL, a few of them in SQLite.
    pub(crate) async fn batch(&self, lane: Lane, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        match self.pools {
            Pools::Postgres { .. } => self.execute(lane, sql, args).await,
            Pools::Sqlite { .. } => self.transact(lane, &Batch(sql, args)).await,
        }
    }

    /// Runs an operation in a transaction.
    pub(crate) async fn transact<O: Operation>(&self, lane: Lane, operation: &O) -> Result<O::Output, Fault> {
        again(|| async move {
            let connection = match &self.pools {
                Pools::Postgres { .. } => Connection::Postgres(begun(self.pg_pool(lane)?.clone()).await?),
                Pools::Sqlite { write, .. } => Connection::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            };
            let mut tx = Tx { connection, statements: self.statements.clone() };
            let output = operation.run(&mut tx).await?;
            match tx.connection {
                Connection::Postgres(tx) => tx.commit().await?,
                Connection::Sqlite(tx) => tx.commit().await?,
            }
            Ok(output)
        })
        .await
    }

    fn pg_pool(&self, lane: Lane) -> Result<&PgPool, Fault> {
        match (&self.pools, lane) {
            (Pools::Postgres { read, .. }, Lane::Read) => Ok(read),
            (Pools::Postgres { write, .. }, Lane::Write) => Ok(write),
            (Pools::Postgres { engine, .. }, Lane::Engine) => Ok(engine),
            (Pools::Sqlite { .. }, _) => Err(Fault::Sql(sqlx::Error::PoolClosed)),
        }
    }

    /// Waits until all connections are given back, and closes them.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Postgres { read, write, engine } => {
                read.close().await;
                write.close().await;
                engine.close().await;
            }
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

/// Begins a transaction in a task of its own. Who asks may hang up, and sqlx forgets a BEGIN that is not waited for: the
/// connection would go back to its pool in an open transaction, and what others write there be rolled back. A transaction
/// that has begun and that nobody takes is rolled back by its drop.
async fn begun(pool: PgPool) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    tokio::spawn(async move { pool.begin().await }).await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// How a connection that may write is set up: a commit is on the disk when it is answered.
pub(crate) fn sqlite_writer(connect: SqliteConnectOptions) -> SqliteConnectOptions {
    connect.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

impl Tx {
    /// Runs a statement and reads its rows.
    pub(crate) async fn fetch(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.statements.count();
        Ok(match &mut self.connection {
            Connection::Postgres(tx) => {
                bound!(sql.postgres, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
            Connection::Sqlite(tx) => {
                bound!(sql.sqlite, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// Runs a statement and reads at most one row.
    pub(crate) async fn first(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// Runs a statement; the number of rows that it wrote.
    pub(crate) async fn execute(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<u64, Fault> {
        self.statements.count();
        Ok(match &mut self.connection {
            Connection::Postgres(tx) => bound!(sql.postgres, args).execute(&mut **tx).await?.rows_affected(),
            Connection::Sqlite(tx) => bound!(sql.sqlite, args).execute(&mut **tx).await?.rows_affected(),
        })
    }
}

/// Tries until it works, until it fails for good, or until patience ends after some two seconds.
async fn again<T, F, R>(attempt: F) -> Result<T, Fault>
where
    F: Fn() -> R,
    R: Future<Output = Result<T, Fault>>,
{
    const ATTEMPTS: u32 = 12;
    let mut tried = 1;
    loop {
        match attempt().await {
            Err(fault) if fault.is_passing() && tried < ATTEMPTS => {
                tracing::debug!(error = %fault, attempt = tried, "the database is asked again");
                tokio::time::sleep(Duration::from_millis(1 << tried.min(8))).await;
                tried += 1;
            }
            other => return other,
        }
    }
}
