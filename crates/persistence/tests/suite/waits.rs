//! What waits for a lock of another transaction judges by what that one leaves behind. PostgreSQL alone has several
//! writers; here the other one is held at the worst moment.

use std::time::Duration;

use control_plane::ports::{CommitOutcome, Delete, DeleteOutcome, Put, PutOutcome, Users};
use seca_api::{Kind, ResourceKey};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Transaction};
use tokio::task::JoinHandle;

use super::{
    Backend, World,
    access::{assignment, role, scoped},
    before, created, edge, key,
    roles::naming,
    rules, within, workspace,
};

/// Waits until somebody waits for a lock.
async fn somebody_waits(world: &World) {
    let mut watcher = PgConnection::connect(&world.url).await.unwrap();
    let begun = tokio::time::Instant::now();
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "somebody waits");
        tokio::task::yield_now().await;
    }
}

async fn execute(tx: &mut Transaction<'_, Postgres>, statement: String) {
    tx.execute(AssertSqlSafe(statement)).await.unwrap();
}

fn put(world: &World, put: Put) -> JoinHandle<PutOutcome> {
    let store = world.store.clone();
    tokio::spawn(async move { store.put(put).await.unwrap() })
}

/// PUTs that depend on a row which another transaction has locked, marks as deleted or not, and lets go.
pub async fn a_put_that_waited_sees_what_became_of_what_it_depends_on() {
    let world = World::open(Backend::Postgres).await;
    world.create(&workspace("w")).await;
    let refers = |target: &ResourceKey| vec![edge("/spec/field", target, true)];
    for (round, goes) in [(0, true), (1, false), (2, true), (3, false), (4, true), (5, false)] {
        let (parent, target) = (workspace(&format!("w{round}")), key(Kind::BlockStorage, &format!("b{round}")));
        world.create(&parent).await;
        world.create(&target).await;
        let instance = |name: &str| key(Kind::Instance, &format!("{name}{round}"));
        let old = world.create(&instance("old")).await;
        let (depends, waits) = match round / 2 {
            0 => (&parent, world.new_put(&ResourceKey { workspace: parent.name.clone(), ..instance("child") })),
            1 => (&target, Put { edges: refers(&target), ..world.new_put(&instance("new")) }),
            _ => (&target, Put { edges: refers(&target), ..world.update_of(&old).await }),
        };
        let mut other = PgConnection::connect(&world.url).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        let row = world.read(depends).await.uid;
        execute(&mut tx, format!("SELECT 1 FROM resources WHERE uid = '{row}' FOR UPDATE")).await;
        let written = put(&world, waits);
        somebody_waits(&world).await;
        if goes {
            execute(&mut tx, format!("UPDATE resources SET deleted_at = 1 WHERE uid = '{row}'")).await;
        }
        tx.commit().await.unwrap();
        let written = written.await.unwrap();
        if goes {
            assert_eq!(written, PutOutcome::Missing(depends.clone()), "round {round}");
        } else {
            assert!(
                matches!(written, PutOutcome::Created(_) | PutOutcome::Updated { .. }),
                "round {round}: {written:?}"
            );
        }
    }
}

/// Creations in a workspace that somebody holds, several at once and one by one: those in others are made meanwhile.
pub async fn creations_that_wait_keep_no_other_waiting() {
    let world = World::open(Backend::Postgres).await;
    for name in ["held", "free"] {
        world.create(&workspace(name)).await;
    }
    let row = world.read(&workspace("held")).await.uid;
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    execute(&mut tx, format!("SELECT 1 FROM resources WHERE uid = '{row}' FOR UPDATE")).await;
    let create =
        |workspace: &str, n: usize| put(&world, world.new_put(&within(Kind::Nic, workspace, &format!("n{n}"))));
    // One connection of the pool is left.
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(create("held", n));
        somebody_waits(&world).await;
        let free: Vec<_> = (0..4).map(|more| create("free", 4 * n + more)).collect();
        for made in free {
            let made = tokio::time::timeout(Duration::from_secs(10), made).await;
            created(made.expect("nobody waits for those in the other workspace").unwrap());
        }
    }
    assert!(waiting.iter().all(|waits| !waits.is_finished()));
    tx.commit().await.unwrap();
    for made in waiting {
        created(made.await.unwrap());
    }
}

/// A deletion that waited for a PUT which depends on the row.
pub async fn a_deletion_that_waited_sees_what_came_meanwhile() {
    let world = World::open(Backend::Postgres).await;
    world.create(&workspace("w")).await;
    let (parent, target) = (workspace("parent"), key(Kind::BlockStorage, "b"));
    world.create(&parent).await;
    world.create(&target).await;
    let child = ResourceKey { workspace: parent.name.clone(), ..key(Kind::Instance, "child") };
    let referrer = key(Kind::Instance, "i");
    let before = world.create(&referrer).await;
    let template = before.uid;
    for (deleted, by) in [(parent, child), (target, referrer)] {
        let mut other = PgConnection::connect(&world.url).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        let row = world.read(&deleted).await.uid;
        execute(&mut tx, format!("SELECT 1 FROM resources WHERE uid = '{row}' FOR KEY SHARE")).await;
        let (store, rules) = (world.store.clone(), rules(deleted.kind));
        let delete = Delete { key: deleted.clone(), expected_version: None, rules, now: world.now() };
        let outcome = tokio::spawn(async move { store.delete(delete).await.unwrap() });
        somebody_waits(&world).await;
        if deleted.kind == Kind::Workspace {
            let columns = "tenant, region, kind, network, project, spec, status, state, conditions, resource_version, \
                           generation, observed_generation, revision, created_at, last_modified_at, facts, action_seq, \
                           action_done_seq";
            execute(
                &mut tx,
                format!(
                    "INSERT INTO resources (uid, workspace, name, {columns}) SELECT '{}', '{}', '{}', {columns} \
                     FROM resources WHERE uid = '{template}'",
                    world.uid(),
                    by.workspace,
                    by.name
                ),
            )
            .await;
        } else {
            let refers = format!(
                "INSERT INTO resource_references VALUES ('{template}', 0, '/spec/field', 1, 't', 'fsn1', \
                 'block-storage', 'w', '', 'b')"
            );
            execute(&mut tx, refers).await;
        }
        tx.commit().await.unwrap();
        assert_eq!(outcome.await.unwrap(), DeleteOutcome::Refused(Users { shown: vec![by], more: 0 }), "{deleted}");
    }
}

/// A role that is written while another transaction opens a tenant raises that tenant too, though its own snapshot began
/// before: who reads there in between must not take what it found for what is.
pub async fn a_role_that_waited_raises_the_tenants_that_were_opened_meanwhile() {
    let world = World::open(Backend::Postgres).await;
    world.tenants(&["a", "t"]).await;
    let opens = world.assign(&assignment("t", "opens"), "[]").await;
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    let spec = scoped(r#"[{"tenants":["a"]}]"#);
    execute(&mut tx, format!("UPDATE resources SET spec = '{spec}' WHERE uid = '{}'", opens.uid)).await;
    // What is deferred is done now, and the commit is yet to come.
    execute(&mut tx, "SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await;
    let written = put(&world, world.new_put(&role("t", "r")));
    somebody_waits(&world).await;
    assert_eq!(world.version("a").await, 1);
    tx.commit().await.unwrap();
    assert!(matches!(written.await.unwrap(), PutOutcome::Created(_)));
    assert_eq!(world.version("a").await, 3, "once by each");
}

/// A role that waited for a PUT which names it is taken from that assignment too, though it was not among those that it
/// locked at first.
pub async fn a_role_that_waited_is_taken_from_who_named_it_meanwhile() {
    let world = World::open(Backend::Postgres).await;
    world.tenants(&["t"]).await;
    let old = created(world.put(Put { spec: naming(&[]), ..world.new_put(&assignment("t", "old")) }).await);
    let gone = world.create(&role("t", "r")).await;
    world.mark_deleted(&gone.key).await;
    let lease = world.lease("local").await;
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    execute(&mut tx, format!("SELECT 1 FROM resources WHERE uid = '{}' FOR KEY SHARE", gone.uid)).await;
    let store = world.store.clone();
    let removed = tokio::spawn(async move { store.remove(&lease, gone.uid).await.unwrap() });
    somebody_waits(&world).await;
    let spec = naming(&["r", "seca.admin"]);
    execute(&mut tx, format!("UPDATE resources SET spec = '{spec}', revision = 2 WHERE uid = '{}'", old.uid)).await;
    let refers = format!(
        "INSERT INTO resource_references VALUES ('{}', 0, '/spec/roles/0', 0, 't', '', 'role', '', '', 'r')",
        old.uid
    );
    execute(&mut tx, refers).await;
    tx.commit().await.unwrap();
    assert!(matches!(removed.await.unwrap(), CommitOutcome::Done(_)));
    let row = world.read(&old.key).await;
    assert_eq!((&row.spec, row.revision), (&naming(&["seca.admin"]), 3));
    assert_eq!(world.get(&gone.key).await, None);
    assert_eq!(before(world.store.as_ref(), &row).await.edges, []);
}
