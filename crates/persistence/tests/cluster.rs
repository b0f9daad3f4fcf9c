//! The private PostgreSQL of tests can be ended and started again, and keeps what it confirmed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use persistence::testing::{Ending, postgres_durable, postgres_restart, postgres_url};
use sqlx::{Connection as _, Executor as _, PgConnection};

/// One test of its own, because no other is to be cut meanwhile.
#[tokio::test]
async fn a_restarted_postgres_has_what_it_confirmed_and_cut_its_sessions() {
    let url = postgres_url().await.unwrap();
    postgres_durable(&url).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("CREATE TABLE kept (number BIGINT NOT NULL)").await.unwrap();
    for (number, ending) in [(1_i64, Ending::Fast), (2, Ending::Crash)] {
        sqlx::query("INSERT INTO kept (number) VALUES ($1)").bind(number).execute(&mut connection).await.unwrap();
        postgres_restart(ending).await.unwrap();
        assert!(connection.execute("SELECT 1").await.is_err(), "{ending:?}: a session does not outlive the server");
        connection = PgConnection::connect(&url).await.unwrap();
        let count = "SELECT count(*) FROM kept";
        let kept: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert_eq!(kept, number, "{ending:?}: every confirmed row is there");
    }
}
