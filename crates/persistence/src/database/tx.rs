//! A transaction, begun and ended by statements of our own.
//!
//! sqlx counts on its own whether a connection is in a transaction, and its count is wrong once a commit or a rollback has
//! failed, which is what SQLite does on a full disk, where it ends the transaction itself: the connection could never begin
//! one again. Here a connection whose commit or rollback failed is closed, whatever state it is in.

use sqlx::{Postgres, Sqlite, pool::PoolConnection};

use super::{Statements, bound};
use crate::{
    fault::Fault,
    sql::{Row, Sql, Value},
};

/// A transaction.
pub(crate) struct Tx {
    /// None once it has ended.
    connection: Option<Connection>,
    statements: Statements,
}

enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Connection {
    async fn run(&mut self, statement: &'static str) -> Result<(), Fault> {
        match self {
            Self::Postgres(connection) => sqlx::raw_sql(statement).execute(&mut **connection).await.map(drop)?,
            Self::Sqlite(connection) => sqlx::raw_sql(statement).execute(&mut **connection).await.map(drop)?,
        }
        Ok(())
    }

    fn close(&mut self) {
        match self {
            Self::Postgres(connection) => connection.close_on_drop(),
            Self::Sqlite(connection) => connection.close_on_drop(),
        }
    }

    /// Gives it back without a transaction, or closes it.
    async fn rollback(mut self) {
        if self.run("ROLLBACK").await.is_err() {
            self.close();
        }
    }
}

impl Tx {
    pub(super) async fn postgres(connection: PoolConnection<Postgres>, statements: Statements) -> Result<Self, Fault> {
        Self::begin(Connection::Postgres(connection), "BEGIN", statements).await
    }

    pub(super) async fn sqlite(connection: PoolConnection<Sqlite>, statements: Statements) -> Result<Self, Fault> {
        Self::begin(Connection::Sqlite(connection), "BEGIN IMMEDIATE", statements).await
    }

    /// Who asks may hang up while it begins: then it is rolled back like any other.
    async fn begin(connection: Connection, begin: &'static str, statements: Statements) -> Result<Self, Fault> {
        let mut tx = Self { connection: Some(connection), statements };
        let Some(connection) = &mut tx.connection else { return Ok(tx) };
        if let Err(fault) = connection.run(begin).await {
            if !fault.is_passing() {
                connection.close();
            }
            tx.connection = None;
            return Err(fault);
        }
        Ok(tx)
    }

    /// Commits.
    pub(crate) async fn commit(mut self) -> Result<(), Fault> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let committed = connection.run("COMMIT").await;
        if committed.is_err() {
            connection.close();
        }
        self.connection = None;
        committed
    }

    /// Rolls back.
    pub(crate) async fn rollback(mut self) {
        let Some(connection) = &mut self.connection else { return };
        if connection.run("ROLLBACK").await.is_err() {
            connection.close();
        }
        self.connection = None;
    }

    /// Closes its connection.
    pub(crate) fn close(mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close();
        }
    }

    /// Runs a statement and reads its rows.
    pub(crate) async fn fetch(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.statements.count();
        let found = match &mut self.connection {
            Some(Connection::Postgres(tx)) => {
                let found = bound!(postgres sql.postgres, args).fetch_all(&mut **tx).await;
                found.map(|found| found.into_iter().map(Row::Postgres).collect())
            }
            Some(Connection::Sqlite(tx)) => {
                let found = bound!(sqlite sql.sqlite, args).fetch_all(&mut **tx).await;
                found.map(|found| found.into_iter().map(Row::Sqlite).collect())
            }
            None => Err(sqlx::Error::PoolClosed),
        };
        self.unless_broken(found)
    }

    /// Runs a statement and reads at most one row.
    pub(crate) async fn first(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// Runs a statement; the number of rows that it wrote.
    pub(crate) async fn execute(&mut self, sql: Sql, args: &[Value<'_>]) -> Result<u64, Fault> {
        self.statements.count();
        let written = match &mut self.connection {
            Some(Connection::Postgres(tx)) => {
                bound!(postgres sql.postgres, args).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Some(Connection::Sqlite(tx)) => {
                bound!(sqlite sql.sqlite, args).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            None => Err(sqlx::Error::PoolClosed),
        };
        self.unless_broken(written)
    }

    fn unless_broken<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, Fault> {
        super::unless_broken(done, || {
            if let Some(mut connection) = self.connection.take() {
                connection.close();
            }
        })
    }
}

impl Drop for Tx {
    /// Nobody waits for it any more. Its connection goes back when it is rolled back, which a task sees to.
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(connection.rollback())),
            Err(_) => connection.close(),
        }
    }
}
