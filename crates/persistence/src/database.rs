//! Connections, transactions, and another try when one lost against another.
//!
//! PostgreSQL has pools for reads, writes and the engine, so that neither a flood of reads nor the engine can starve
//! writes; and one for searches by labels, whose best plan depends on what is searched for. SQLite has one connection that
//! writes (`BEGIN IMMEDIATE`) and a pool of those that read.

#[cfg(feature = "testing")]
mod explain;
mod tx;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::{
    PgPool, SqlSafeStr, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{sync::Mutex, time::Instant};

pub(crate) use self::tx::Tx;
use crate::{
    Options,
    fault::Fault,
    meter::{Pool, Told},
    sql::{Dialect, Row, Sql, Value},
};

/// Who asks: each has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Handlers that read.
    Read,
    /// Handlers that search by labels, which are read like anything else in SQLite.
    Search,
    /// Handlers that write.
    Write,
    /// The engine.
    Engine,
}

impl Lane {
    /// The name of its pool.
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Search => "search",
            Self::Write => "write",
            Self::Engine => "engine",
        }
    }
}

/// A database.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pools: Pools,
    statements: Statements,
    /// Whether a write failed for want of room, or the like, and none was proven to work since.
    failing: Arc<AtomicBool>,
    /// When writes were last proven to work: whoever asks for readiness must not keep writers from their work.
    proven: Arc<Mutex<Option<Instant>>>,
    /// Counts statements.
    pub(crate) told: Told,
}

#[derive(Clone, Debug)]
enum Pools {
    Postgres { read: PgPool, search: PgPool, write: PgPool, engine: PgPool },
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

/// A query with its parameters bound. Only PostgreSQL has columns for parameters.
macro_rules! bound {
    (postgres $text:expr, $args:expr) => {
        $crate::database::bound!($text, $args, query, texts => query.bind(texts), numbers => query.bind(numbers))
    };
    (sqlite $text:expr, $args:expr) => {
        $crate::database::bound!($text, $args, query, _ => query.bind(None::<i64>), _ => query.bind(None::<i64>))
    };
    ($text:expr, $args:expr, $query:ident, $texts:pat => $with_texts:expr, $numbers:pat => $with_numbers:expr) => {{
        let mut $query = sqlx::query($text);
        for value in $args {
            $query = match value {
                Value::Text(text) => $query.bind(text.as_deref()),
                Value::Int(number) => $query.bind(*number),
                Value::Texts($texts) => $with_texts,
                Value::Ints($numbers) => $with_numbers,
            };
        }
        $query
    }};
}

use bound;

/// Whether a session may only read (PostgreSQL); takes room for more than a few pages and gives it back (SQLite).
const PROOF: Sql = Sql {
    postgres: "SELECT CASE current_setting('transaction_read_only') WHEN 'on' THEN 1::bigint ELSE 0::bigint END",
    sqlite: "INSERT INTO orphans (project, position, object) VALUES ('', -1, hex(zeroblob(16384))); \
             DELETE FROM orphans WHERE project = '' AND position = -1",
};

/// How long a proof that writes work is good.
const PROVEN: Duration = Duration::from_secs(1);
/// A process that is stopped in the middle of a transaction would keep its locks, and with them its projects from the
/// other replicas, for as long as it is stopped. No transaction of ours is idle for more than moments.
const IDLE_IN_TRANSACTION: (&str, &str) = ("idle_in_transaction_session_timeout", "5s");
/// Each statement but a search is written so that it has one good plan, whatever it is asked for and however large the
/// tables are. Left alone, PostgreSQL plans some of them anew each time, which took longer than to carry them out. Or it
/// keeps a plan that was good while a table had a few rows, and reads all of it when it has thousands, until somebody
/// analyzes it. What reads a table as a whole nevertheless looks so costly then that it would be compiled each time.
const PLANNED_ONCE: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];

impl Database {
    pub(crate) fn postgres(connect: PgConnectOptions, options: &Options) -> Self {
        let connect =
            connect.application_name("secapi-proxy").statement_cache_capacity(256).options([IDLE_IN_TRANSACTION]);
        let planned_once = connect.clone().options(PLANNED_ONCE);
        let pool = |size: u32, connect: &PgConnectOptions| {
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
            read: pool(options.read_connections, &planned_once),
            search: pool(options.read_connections / 2, &connect),
            write: pool(options.write_connections, &planned_once),
            engine: pool(options.engine_connections, &planned_once),
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
        Self {
            pools,
            statements: Statements::default(),
            failing: Arc::default(),
            proven: Arc::default(),
            told: Told::default(),
        }
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
            match &self.pools {
                Pools::Postgres { .. } => {
                    let mut connection = self.pg_pool(lane)?.acquire().await?;
                    let query = bound!(postgres text.clone(), args).persistent(persistent);
                    let found = query.fetch_all(&mut *connection).await;
                    let found = unless_broken(found, || connection.close_on_drop())?;
                    Ok(found.into_iter().map(Row::Postgres).collect())
                }
                Pools::Sqlite { read, .. } => {
                    let mut connection = read.acquire().await?;
                    let query = bound!(sqlite text.clone(), args).persistent(persistent);
                    let found = query.fetch_all(&mut *connection).await;
                    let found = unless_broken(found, || connection.close_on_drop())?;
                    Ok(found.into_iter().map(Row::Sqlite).collect())
                }
            }
        })
        .await
    }

    /// Writes by one statement.
    pub(crate) async fn execute(&self, lane: Lane, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let text = sql.text(self.dialect());
        let write = || async move {
            self.statements.count();
            match &self.pools {
                Pools::Postgres { .. } => {
                    let mut connection = self.pg_pool(lane)?.acquire().await?;
                    let found = bound!(postgres text, args).fetch_all(&mut *connection).await;
                    let found = unless_broken(found, || connection.close_on_drop())?;
                    Ok(found.into_iter().map(Row::Postgres).collect())
                }
                Pools::Sqlite { write, .. } => {
                    let mut connection = write.acquire().await?;
                    let found = bound!(sqlite text, args).fetch_all(&mut *connection).await;
                    let found = unless_broken(found, || connection.close_on_drop())?;
                    Ok(found.into_iter().map(Row::Sqlite).collect())
                }
            }
        };
        self.noticed(self.timed(lane, again(write)).await)
    }

    /// Tells how long a transaction takes.
    async fn timed<T>(&self, lane: Lane, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let Some(meter) = self.told.get() else { return work.await };
        let began = Instant::now();
        let done = work.await;
        meter.transacted(lane.name(), began.elapsed(), done.is_ok());
        done
    }

    /// The connections.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        fn pool<D: sqlx::Database>(lane: Lane, pool: &sqlx::Pool<D>) -> Pool {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            Pool { name: lane.name(), open: pool.size(), idle, most: pool.options().get_max_connections() }
        }
        match &self.pools {
            Pools::Postgres { read, search, write, engine } => vec![
                pool(Lane::Read, read),
                pool(Lane::Search, search),
                pool(Lane::Write, write),
                pool(Lane::Engine, engine),
            ],
            Pools::Sqlite { read, write } => vec![pool(Lane::Read, read), pool(Lane::Write, write)],
        }
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
        let attempt = || async move {
            let mut tx = self.begin(lane).await?;
            match operation.run(&mut tx).await {
                Ok(output) => tx.commit().await.map(|()| output),
                Err(fault) => {
                    tx.rollback().await;
                    Err(fault)
                }
            }
        };
        self.noticed(self.timed(lane, again(attempt)).await)
    }

    /// Begins a transaction. One that is neither committed nor rolled back, because nobody waits for it, is rolled back.
    pub(crate) async fn begin(&self, lane: Lane) -> Result<Tx, Fault> {
        let statements = self.statements.clone();
        match &self.pools {
            Pools::Postgres { .. } => Tx::postgres(self.pg_pool(lane)?.acquire().await?, statements).await,
            Pools::Sqlite { write, .. } => Tx::sqlite(write.acquire().await?, statements).await,
        }
    }

    /// Begins a transaction with a statement.
    pub(crate) async fn begin_with(&self, lane: Lane, first: Sql, args: &[Value<'_>]) -> Result<Tx, Fault> {
        let attempt = || async move {
            let mut tx = self.begin(lane).await?;
            match tx.fetch(first, args).await {
                Ok(_) => Ok(tx),
                Err(fault) => {
                    tx.rollback().await;
                    Err(fault)
                }
            }
        };
        self.noticed(again(attempt).await)
    }

    /// Whether it can be written to. While a write has failed for want of room this is proven by a commit; else room is
    /// asked for, and the disk left alone. A proof is good for a second.
    pub(crate) async fn prove_writer(&self) -> Result<(), Fault> {
        let mut proven = self.proven.lock().await;
        let is_failing = self.failing.load(Ordering::Relaxed);
        if !is_failing && proven.is_some_and(|at| at.elapsed() < PROVEN) {
            return Ok(());
        }
        let attempt = || async move {
            let mut tx = self.begin(Lane::Write).await?;
            let proof = tx.first(PROOF, &[]).await;
            match proof.and_then(|row| row.map_or(Ok(0), |row| row.int(0))) {
                Ok(0) if is_failing => tx.commit().await,
                Ok(0) => {
                    tx.rollback().await;
                    Ok(())
                }
                Ok(_) => {
                    tx.close();
                    Err(Fault::ReadOnly)
                }
                Err(fault) => {
                    tx.rollback().await;
                    Err(fault)
                }
            }
        };
        self.noticed(again(attempt).await)?;
        self.failing.store(false, Ordering::Relaxed);
        *proven = Some(Instant::now());
        Ok(())
    }

    /// Remembers a write that failed for want of room.
    pub(crate) fn noticed<T>(&self, written: Result<T, Fault>) -> Result<T, Fault> {
        if written.as_ref().is_err_and(Fault::is_broken) {
            self.failing.store(true, Ordering::Relaxed);
        }
        written
    }

    fn pg_pool(&self, lane: Lane) -> Result<&PgPool, Fault> {
        match (&self.pools, lane) {
            (Pools::Postgres { read, .. }, Lane::Read) => Ok(read),
            (Pools::Postgres { search, .. }, Lane::Search) => Ok(search),
            (Pools::Postgres { write, .. }, Lane::Write) => Ok(write),
            (Pools::Postgres { engine, .. }, Lane::Engine) => Ok(engine),
            (Pools::Sqlite { .. }, _) => Err(Fault::Sql(sqlx::Error::PoolClosed)),
        }
    }

    /// Waits until all connections are given back, and closes them.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Postgres { read, search, write, engine } => {
                read.close().await;
                search.close().await;
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

/// Closes a connection whose session is of no use any more.
fn unless_broken<T>(done: Result<T, sqlx::Error>, close: impl FnOnce()) -> Result<T, Fault> {
    done.map_err(Fault::from).inspect_err(|fault| {
        if fault.is_broken() {
            close();
        }
    })
}

/// How a connection that may write is set up: a commit is on the disk when it is answered.
pub(crate) fn sqlite_writer(connect: SqliteConnectOptions) -> SqliteConnectOptions {
    connect.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

/// Tries until it works, until it fails for good, or until patience ends after some two seconds. The pauses are not drawn,
/// because a store has no port for chance.
async fn again<T, F, R>(attempt: F) -> Result<T, Fault>
where
    F: Fn() -> R,
    R: Future<Output = Result<T, Fault>>,
{
    let pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(2))
        .with_max_delay(Duration::from_millis(256))
        .with_max_times(11);
    let told = |fault: &Fault, _| tracing::debug!(error = %fault, "the database is asked again");
    attempt.retry(pauses).when(Fault::is_passing).notify(told).await
}
