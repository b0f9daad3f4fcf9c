//! Databases that take no writes for a while.

use control_plane::ports::{Portion, PutOutcome, QueueStore, ReadStore, Store, StoreError, WriteStore};
use persistence::{Options, connect, connect_within};
use seca_api::ResourceKey;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{Backend, World, rules, workspace};

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

/// Writes until there is no room; the names of what was written.
async fn fill(world: &World, store: &dyn Store) -> Vec<ResourceKey> {
    let mut written = Vec::new();
    loop {
        let key = workspace(&format!("w{:04}", written.len()));
        let large = Some(format!(r#"{{"x":"{}"}}"#, "x".repeat(20_000)));
        let answer = store.put(control_plane::ports::Put { annotations: large, ..world.new_put(&key) }).await;
        match answer {
            Ok(outcome) => assert!(matches!(outcome, PutOutcome::Created(_)), "{outcome:?}"),
            Err(_) => {
                assert!(is_unavailable(&answer), "{answer:?}");
                return written;
            }
        }
        written.push(key);
    }
}

pub async fn sqlite_goes_on_when_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("proxy.db").display());
    let store = connect_within(&url, &Options::default(), 400).await.unwrap();
    let world = World::open(Backend::Memory).await;
    store.ping().await.unwrap();
    for round in 0..3 {
        let written = fill(&world, &store).await;
        assert!(!written.is_empty());
        // It stays so, whatever is tried, and says so.
        for _ in 0..3 {
            let put = store.put(world.new_put(&workspace("more"))).await;
            assert!(put.is_ok() || is_unavailable(&put), "{put:?}");
            let ping = store.ping().await;
            assert!(is_unavailable(&ping), "{ping:?}");
        }
        assert!(store.get(&written[0]).await.unwrap().is_some(), "what is there can be read");
        let mut elsewhere = SqliteConnection::connect(&url).await.unwrap();
        for statement in ["DELETE FROM resources", "DELETE FROM work", "DELETE FROM departures"] {
            elsewhere.execute(statement).await.unwrap();
        }
        elsewhere.close().await.unwrap();

        store.ping().await.unwrap();
        let key = workspace(&format!("again{round}"));
        assert!(matches!(store.put(world.new_put(&key)).await.unwrap(), PutOutcome::Created(_)));
        let delete = control_plane::ports::Delete {
            key: key.clone(),
            expected_version: None,
            rules: rules(key.kind),
            now: world.now(),
        };
        store.delete(delete).await.unwrap();
        assert!(store.get(&key).await.unwrap().unwrap().is_deleting());
    }
}

pub async fn postgres_sessions_that_may_only_read_are_closed() {
    let url = persistence::testing::postgres_url().await.unwrap();
    let store = connect(&url, &Options::default()).await.unwrap();
    let world = World::open(Backend::Memory).await;
    let mut operator = PgConnection::connect(&url).await.unwrap();
    let (name,): (String,) = sqlx::query_as("SELECT current_database()").fetch_one(&mut operator).await.unwrap();
    let mut set = async |value: &str| {
        let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        let allowed = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE";
        operator.execute(allowed).await.unwrap();
        operator.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        // All sessions begin again.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        if value == "on" {
            operator.execute(end).await.unwrap();
        }
    };
    store.ping().await.unwrap();
    set("on").await;
    let (put, lease) = tokio::join!(
        store.put(world.new_put(&workspace("w"))),
        store.lease("me", super::TTL, control_plane::engine::ENGINE_VERSION, 1, Portion::All)
    );
    assert!(is_unavailable(&put) && is_unavailable(&lease), "{put:?} {lease:?}");
    assert_eq!(store.get(&workspace("w")).await.unwrap(), None);
    let ping = store.ping().await;
    assert!(is_unavailable(&ping), "{ping:?}");

    // Sessions that began meanwhile stay read-only, and are not used again.
    set("off").await;
    for n in 0..20 {
        let key = workspace(&format!("w{n}"));
        assert!(matches!(store.put(world.new_put(&key)).await.unwrap(), PutOutcome::Created(_)));
    }
    assert_eq!(
        store.lease("me", super::TTL, control_plane::engine::ENGINE_VERSION, 1, Portion::All).await.unwrap().len(),
        1
    );
    store.ping().await.unwrap();
}
