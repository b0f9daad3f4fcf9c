//! What a statement costs, for tests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{AssertSqlSafe, PgPool, Row as _, SqlitePool};

use super::{Database, Lane, Pools, bound};
use crate::{fault::Fault, sql::Value, testing::Explained};

/// The rows that this transaction read so far.
const READ: &str =
    "SELECT CAST(COALESCE(sum(seq_tup_read + idx_tup_fetch), 0) AS BIGINT) FROM pg_stat_xact_user_tables";

impl Database {
    /// Carries a statement out and tells how. `persistent`: it stays prepared.
    pub(crate) async fn explain(
        &self,
        lane: Lane,
        text: &str,
        args: &[Value<'_>],
        persistent: bool,
    ) -> Result<Explained, Fault> {
        match &self.pools {
            Pools::Postgres { .. } => postgres(self.pg_pool(lane)?, text, args, persistent).await,
            Pools::Sqlite { read, .. } => sqlite(read, text, args).await,
        }
    }
}

async fn postgres(pool: &PgPool, text: &str, args: &[Value<'_>], persistent: bool) -> Result<Explained, Fault> {
    let mut tx = pool.begin().await?;
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF) {text}");
    let lines = bound!(postgres AssertSqlSafe(explain), args).persistent(false).fetch_all(&mut *tx).await?;
    let plan = lines.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if persistent {
        sqlx::query("SET LOCAL plan_cache_mode = force_generic_plan").execute(&mut *tx).await?;
    }
    let before: i64 = sqlx::query_scalar(READ).fetch_one(&mut *tx).await?;
    bound!(postgres AssertSqlSafe(text.to_owned()), args).persistent(persistent).fetch_all(&mut *tx).await?;
    let after: i64 = sqlx::query_scalar(READ).fetch_one(&mut *tx).await?;
    tx.rollback().await?;
    Ok(Explained { plan, cost: after.abs_diff(before) })
}

async fn sqlite(pool: &SqlitePool, text: &str, args: &[Value<'_>]) -> Result<Explained, Fault> {
    let mut connection = pool.acquire().await?;
    let explain = format!("EXPLAIN QUERY PLAN {text}");
    let lines = bound!(sqlite AssertSqlSafe(explain), args).persistent(false).fetch_all(&mut *connection).await?;
    let plan = lines.iter().map(|row| row.try_get(3)).collect::<Result<_, _>>()?;
    let steps = Arc::new(AtomicU64::new(0));
    let counted = steps.clone();
    connection.lock_handle().await?.set_progress_handler(1, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    });
    bound!(sqlite AssertSqlSafe(text.to_owned()), args).persistent(false).fetch_all(&mut *connection).await?;
    connection.lock_handle().await?.remove_progress_handler();
    Ok(Explained { plan, cost: steps.load(Ordering::Relaxed) })
}
