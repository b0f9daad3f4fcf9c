//! What concerns the databases alone: migrations, URLs, other writers, broken connections.

use std::sync::Arc;

use control_plane::{
    ports::{BindingStore, Put, PutOutcome, QueueStore, ReadStore, Store, StoreError, WriteStore},
    service::Tenant,
    testing::MemoryStore,
};
use persistence::{DatabaseError, Options, SchemaState, connect, migrate_down, migrate_up, schema_state};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use super::{
    Backend, World,
    access::{assignment, role, scoped},
    workspace,
};

pub async fn migrations_go_up_and_down(url: &str) {
    assert_eq!(schema_state(url).await.unwrap(), SchemaState::Empty);
    let store = connect(url, &Options::default()).await.unwrap();
    store.ping().await.unwrap();
    let first = store.installation().await.unwrap();
    assert_eq!(first.len(), 32);
    store.close().await;
    assert_eq!(schema_state(url).await.unwrap(), SchemaState::Current);
    migrate_up(url).await.unwrap();
    let store = connect(url, &Options::default()).await.unwrap();
    assert_eq!(store.installation().await.unwrap(), first, "made once");
    store.close().await;

    // A later release was here: its schema is left alone.
    execute(
        url,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (99990101000000, 'later', true, '', 0)",
    )
    .await;
    assert!(matches!(schema_state(url).await.unwrap(), SchemaState::Newer { found: 99990101000000, .. }));
    assert!(matches!(connect(url, &Options::default()).await, Err(DatabaseError::Newer { .. })));
    assert!(matches!(migrate_up(url).await, Err(DatabaseError::Newer { .. })));
    assert!(matches!(migrate_down(url, 1).await, Err(DatabaseError::Newer { .. })));
    execute(url, "DELETE FROM _sqlx_migrations WHERE version = 99990101000000").await;

    // The last one alone: what was stored stays, and this release asks for it back.
    migrate_down(url, 1).await.unwrap();
    assert!(matches!(schema_state(url).await.unwrap(), SchemaState::Older { found, needed } if found < needed));
    assert!(matches!(connect(url, &Options::default()).await, Err(DatabaseError::Older { .. })));
    migrate_up(url).await.unwrap();
    let store = connect(url, &Options::default()).await.unwrap();
    assert_eq!(store.installation().await.unwrap(), first);
    store.close().await;

    migrate_down(url, usize::MAX).await.unwrap();
    assert_eq!(schema_state(url).await.unwrap(), SchemaState::Empty);
    migrate_down(url, 1).await.unwrap();
    let store = connect(url, &Options::default()).await.unwrap();
    assert_ne!(store.installation().await.unwrap(), first);
    store.close().await;
}

pub async fn what_was_assigned_before_a_migration_is_bound_by_it(url: &str) {
    let store = connect(url, &Options::default()).await.unwrap();
    let world = World::open(Backend::Memory).await;
    store.put(world.new_put(&workspace("w"))).await.unwrap();
    let spec = scoped(r#"[{"workspaces":["w"]}]"#);
    store.put(Put { spec, ..world.new_put(&assignment("t", "bound")) }).await.unwrap();
    let spec = scoped(r#"[{"tenants":["t"]}]"#);
    store.put(Put { spec, ..world.new_put(&assignment("a", "opens")) }).await.unwrap();
    store.access().create_tenant("t", &Tenant::default()).await.unwrap();
    let before = store.access().authorization("t").await.unwrap().unwrap().assignments;
    assert!(before.len() == 2 && before.iter().any(|assignment| assignment.bound.is_some()), "{before:?}");
    store.close().await;

    // Down to the schema that knew of no access, and up again.
    let knows_access =
        async || !matches!(schema_state(url).await.unwrap(), SchemaState::Older { found, .. } if found < 3);
    while knows_access().await {
        migrate_down(url, 1).await.unwrap();
    }
    migrate_up(url).await.unwrap();
    let store = connect(url, &Options::default()).await.unwrap();
    assert_eq!(store.access().tenants().await.unwrap(), []);
    store.access().create_tenant("t", &Tenant::default()).await.unwrap();
    assert_eq!(store.access().authorization("t").await.unwrap().unwrap().assignments, before);
    store.close().await;
}

/// Versions are raised at the commit, behind what the statement has answered.
pub async fn a_role_whose_version_cannot_be_raised_is_not_written(url: &str) {
    let store = connect(url, &Options::default()).await.unwrap();
    let world = World::open(Backend::Memory).await;
    let broken = "CREATE OR REPLACE FUNCTION raise_authorization(names TEXT[]) RETURNS void LANGUAGE plpgsql AS \
                  $$ BEGIN RAISE EXCEPTION 'broken'; END $$";
    execute(url, broken).await;
    let put = world.new_put(&role("t", "r"));
    assert!(matches!(store.put(put.clone()).await, Err(StoreError::Refused(_))));
    assert_eq!(store.get(&put.key).await.unwrap(), None);
    store.put(world.new_put(&workspace("w"))).await.unwrap();
    store.close().await;
}

pub async fn replicas_that_start_together_migrate_once(url: &str) {
    let mut all = JoinSet::new();
    for _ in 0..6 {
        let url = url.to_owned();
        all.spawn(async move {
            let store = connect(&url, &Options::default()).await.unwrap();
            store.ping().await.unwrap();
            store.installation().await.unwrap()
        });
    }
    let ids = all.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

pub async fn execute(url: &str, statement: &'static str) {
    if url.starts_with("sqlite:") {
        SqliteConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
    } else {
        PgConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
    }
}

pub async fn errors_name_the_scheme_and_never_the_password() {
    let cases = [
        ("mysql://root:geheim@localhost/db", "mysql"),
        ("geheim", "postgres:// or sqlite:"),
        ("", "postgres:// or sqlite:"),
        ("sqlite:", "sqlite:/var/lib"),
        ("postgres://user:geheim@localhost:notaport/db", "postgres://user:password@"),
        (
            "postgres://ada:geheim@127.0.0.1:1/shop",
            "the postgres database shop on host 127.0.0.1, port 1 cannot be opened: ",
        ),
        (
            "postgres://ada:geheim@127.0.0.1:1/shop",
            "; check that PostgreSQL runs there and that SECA_DATABASE_URL names it",
        ),
        // The slash should have been encoded: what follows it is a part of the password.
        ("postgres://127.0.0.1:1/geheim@db.example.org/shop", "the postgres database cannot be opened"),
        ("sqlite:/proc/nowhere/proxy.db", "the folder /proc/nowhere does not exist; create it"),
        ("sqlite:/proc/proxy.db", "the sqlite database /proc/proxy.db cannot be opened: the file cannot be made"),
    ];
    for (url, expected) in cases {
        let error = connect(url, &Options::default()).await.expect_err(url);
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{url}: {text}");
        assert!(!text.contains("geheim") && !text.contains("ada"), "{url}: {text}");
    }
}

/// The words of PostgreSQL name the user.
pub async fn what_a_server_refuses_is_told_with_its_place_and_a_remedy() {
    let url = persistence::testing::postgres_url().await.unwrap();
    let (server, database) = url.rsplit_once('/').unwrap();
    let nowhere = format!("{server}/nowhere");
    let text = connect(&nowhere, &Options::default()).await.unwrap_err().to_string();
    assert!(text.contains("postgres database nowhere ") && text.contains("create it with createdb"), "{text}");
    let place = server.rsplit_once('@').unwrap().1.replace(':', ", port ");
    assert!(text.contains(&format!("on host {place} cannot be opened")), "{text}");

    let stranger = format!("postgres://stranger@{}/{database}", server.rsplit_once('@').unwrap().1);
    let text = connect(&stranger, &Options::default()).await.unwrap_err().to_string();
    assert!(text.contains("does not let this user in") && text.contains("SECA_DATABASE_URL"), "{text}");
    assert!(!text.contains("stranger"), "{text}");
}

pub async fn two_stores_on_one_sqlite_file_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("proxy.db").display());
    let world = World::open(Backend::Memory).await;
    let mut all = JoinSet::new();
    for replica in 0..2 {
        let store: Arc<dyn Store> = Arc::new(connect(&url, &Options::default()).await.unwrap());
        for task in 0..4 {
            let (store, puts): (_, Vec<_>) = (
                store.clone(),
                (0..20).map(|n| world.new_put(&workspace(&format!("w{replica}-{task}-{n}")))).collect(),
            );
            all.spawn(async move {
                for put in puts {
                    assert!(matches!(store.put(put).await.unwrap(), PutOutcome::Created(_)));
                }
            });
        }
    }
    all.join_all().await;
    let store = connect(&url, &Options::default()).await.unwrap();
    assert_eq!(store.workspaces(None).await.unwrap().len(), 160);
}

pub async fn a_broken_postgres_connection_is_not_seen() {
    let url = persistence::testing::postgres_url().await.unwrap();
    let store = connect(&url, &Options::default()).await.unwrap();
    let world = World::open(Backend::Memory).await;
    let mut killer = PgConnection::connect(&url).await.unwrap();
    for round in 0..10 {
        // All connections of all pools break while they are idle.
        killer
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        let key = workspace(&format!("w{round}"));
        assert_eq!(store.get(&key).await.unwrap(), None);
        assert!(matches!(store.put(world.new_put(&key)).await.unwrap(), PutOutcome::Created(_)));
        assert_eq!(store.project_uids(&control_plane::ProjectId::local()).await.unwrap().len(), round + 1);
    }
}

pub async fn what_is_committed_outlives_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let urls = [
        format!("sqlite:{}", directory.path().join("proxy.db").display()),
        persistence::testing::postgres_url().await.unwrap(),
    ];
    let world = World::open(Backend::Memory).await;
    let expected = world.create(&workspace("w")).await;
    for url in urls {
        let store = connect(&url, &Options::default()).await.unwrap();
        let put =
            control_plane::ports::Put { uid: expected.uid, now: expected.created_at, ..world.new_put(&expected.key) };
        store.put(put).await.unwrap();
        drop(store);
        let again = connect(&url, &Options::default()).await.unwrap();
        assert_eq!(again.get(&expected.key).await.unwrap(), Some(expected.clone()));
    }
    assert!(MemoryStore::default().get(&expected.key).await.unwrap().is_none());
}
