//! Races about who may do what: roles written in several tenants at once, and assignments beside their workspaces.

use std::sync::Arc;

use control_plane::{
    ports::{CommitOutcome, Delete, DeleteOutcome, DeleteRules, Lease, Put, PutOutcome, Store, Verdict},
    service::Tenant,
};
use seca_api::ResourceKey;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{
    World,
    access::{assignment, role, scoped},
    before, created,
    roles::{naming, references},
    updated, workspace,
};

const ROUNDS: usize = 100;
const WRITERS: usize = 6;
const TENANTS: [&str; 4] = ["a", "b", "c", "d"];

/// Nobody fails, and no version is lost.
pub async fn roles_are_written_in_many_tenants_at_once(world: &World) {
    world.tenants(&TENANTS).await;
    let lease = world.lease("local").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let home = TENANTS[writer % TENANTS.len()];
        let next = TENANTS[(writer + 1) % TENANTS.len()];
        let last = TENANTS[(writer + 3) % TENANTS.len()];
        let key = assignment(home, &format!("x{writer}"));
        let puts: Vec<_> = (0..ROUNDS / 4)
            .map(|round| {
                let scopes = format!(r#"[{{"tenants":["{next}","{last}"]}},{{"tenants":["{home}"]}}]"#);
                let all = if round % 8 == 0 { r#"[{"tenants":["*"]}]"#.to_owned() } else { scopes };
                let role = world.new_put(&role(home, &format!("r{writer}-{round}")));
                (Put { spec: scoped(&all), ..world.new_put(&key) }, role)
            })
            .collect();
        let (store, lease) = (world.store.clone(), lease.clone());
        writers.spawn(async move {
            for (put, role) in puts {
                write_and_take_back(&store, &lease, put, role).await;
            }
        });
    }
    // Meanwhile tenants are registered, suspended and read.
    let store = world.store.clone();
    writers.spawn(async move {
        let mut versions = [0; TENANTS.len()];
        for round in 0..ROUNDS {
            assert!(store.access().create_tenant(&format!("new{round}"), &Tenant::default()).await.unwrap());
            for (tenant, last) in TENANTS.iter().zip(&mut versions) {
                let read = store.access().authorization(tenant).await.unwrap().unwrap();
                assert!(read.tenant.version >= *last);
                *last = read.tenant.version;
            }
        }
    });
    writers.join_all().await;

    // Own: an assignment made, changed, deleted and gone, and a role made and changed.
    let own = |tenant: &str| (0..WRITERS).filter(|writer| TENANTS[writer % 4] == tenant).count() * (ROUNDS / 4) * 6;
    for tenant in TENANTS {
        let version = world.version(tenant).await;
        assert!(version > i64::try_from(own(tenant)).unwrap(), "{tenant}: {version}");
        let left = world.store.access().authorization(tenant).await.unwrap().unwrap();
        assert_eq!(left.assignments, []);
    }
    no_deadlock(world).await;
}

/// PostgreSQL never had to end one of two that waited for each other.
async fn no_deadlock(world: &World) {
    if !world.url.starts_with("postgres") {
        return;
    }
    // A connection tells what it counted when it is closed, at the latest.
    world.sql.as_ref().unwrap().close().await;
    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let (deadlocks,): (i64,) = sqlx::query_as(deadlocks).fetch_one(&mut connection).await.unwrap();
    assert_eq!(deadlocks, 0);
}

async fn write_and_take_back(store: &Arc<dyn Store>, lease: &Lease, put: Put, role: Put) {
    let row = created(store.put(put.clone()).await.unwrap());
    let made = created(store.put(role.clone()).await.unwrap());
    let (spec, before_role) = (scoped("[]"), Some(before(store.as_ref(), &made).await));
    assert!(matches!(
        store.put(Put { spec: spec.clone(), before: before_role, ..role }).await.unwrap(),
        PutOutcome::Updated { .. }
    ));
    let spec = spec.replace("[]", r#"[{"tenants":["c","a"]}]"#);
    let before = Some(before(store.as_ref(), &row).await);
    let changed = store.put(Put { spec, before, ..put }).await.unwrap();
    assert!(matches!(changed, PutOutcome::Updated { .. }), "{changed:?}");
    delete(store.as_ref(), &row.key, row.created_at).await;
    assert!(matches!(store.remove(lease, row.uid).await.unwrap(), CommitOutcome::Done(_)));
}

async fn delete(store: &dyn Store, key: &ResourceKey, now: seca_api::Timestamp) -> DeleteOutcome {
    let delete = Delete { key: key.clone(), expected_version: None, rules: DeleteRules::default(), now };
    store.delete(delete).await.unwrap()
}

pub async fn no_binding_is_missed_by_a_workspace_and_an_assignment_made_at_once(world: &World) {
    world.tenants(&["t"]).await;
    for round in 0..ROUNDS {
        let (w, a) = (workspace(&format!("w{round}")), assignment("t", &format!("a{round}")));
        let other = assignment("t", &format!("b{round}"));
        world.assign(&other, r#"[{"workspaces":["nowhere"]}]"#).await;
        let scopes = format!(r#"[{{"workspaces":["w{round}"]}}]"#);
        let assign = Put { spec: scoped(&scopes), ..world.new_put(&a) };
        let change = Put { spec: scoped(&scopes), ..world.update_of(&world.read(&other).await).await };
        let mut puts = vec![world.new_put(&w), assign, change];
        puts.rotate_left(round % 3);
        let mut all = JoinSet::new();
        for put in puts {
            let store = world.store.clone();
            all.spawn(async move { store.put(put).await.unwrap() });
        }
        all.join_all().await;
        let uid = world.read(&w).await.uid;
        for key in [a, other] {
            assert_eq!(world.bound_to(&key).await.map(|bound| bound.uid), Some(uid), "round {round}");
        }
    }
    no_deadlock(world).await;
}

/// What is written while a workspace leaves ends with it, or waits for the next one. Nothing counts in a life after.
pub async fn no_assignment_outlives_its_workspace(world: &World) {
    world.tenants(&["t"]).await;
    let lease = world.lease("local").await;
    let (mut ended, mut waited) = (0, 0);
    for round in 0..ROUNDS {
        let w = workspace(&format!("w{round}"));
        let scopes = format!(r#"[{{"workspaces":["w{round}"]}}]"#);
        let [new, old, other] = ["new", "old", "other"].map(|name| assignment("t", &format!("{name}{round}")));
        let ws = world.create(&w).await;
        world.assign(&old, &scopes).await;
        let elsewhere = world.assign(&other, r#"[{"workspaces":["nowhere"]}]"#).await;
        let role = world.create(&role("t", &format!("r{round}"))).await;
        world.mark_deleted(&w).await;
        let names = vec![super::edge("/spec/roles/0", &role.key, false)];
        let writes = [
            Put { spec: scoped(&scopes), ..world.new_put(&new) },
            Put { spec: scoped(&scopes), ..world.update_of(&elsewhere).await },
            // The same, and what it names: its row and its place in the queue.
            Put {
                spec: scoped(&scopes).replace("somebody", "another"),
                edges: names,
                ..world.update_of(&world.read(&old).await).await
            },
        ];
        let mut all = JoinSet::new();
        for (place, put) in writes.into_iter().enumerate() {
            if place == round % 4 {
                leave(&mut all, world, &lease, ws.uid);
            }
            let store = world.store.clone();
            all.spawn(async move { drop(store.put(put).await.unwrap()) });
        }
        if round % 4 == 3 {
            leave(&mut all, world, &lease, ws.uid);
        }
        let (store, uid, held) = (world.store.clone(), role.uid, lease.clone());
        all.spawn(async move { store.requeue(&held, uid, std::time::Duration::ZERO).await.unwrap() });
        all.join_all().await;

        assert_eq!(world.get(&w).await, None);
        assert_eq!(world.get(&old).await, None, "round {round}");
        for key in [&new, &other] {
            match world.get(key).await {
                None => ended += 1,
                Some(_) => {
                    waited += 1;
                    assert_eq!(world.bound_to(key).await, None, "round {round}");
                }
            }
        }
        let again = world.create(&w).await;
        for key in [&new, &other] {
            if world.get(key).await.is_some() {
                assert_eq!(world.bound_to(key).await.map(|bound| bound.uid), Some(again.uid), "round {round}");
            }
        }
    }
    assert!(ended > 0 && waited > 0, "{ended} ended, {waited} waited");
    assert_eq!(world.store.oversight().projects().await.unwrap()[0].queued, queue_of(world).await, "no queue is left");
    no_deadlock(world).await;
}

/// As many as there are rows: none of them was looked at.
async fn queue_of(world: &World) -> i64 {
    let rows = world.store.project_uids(&control_plane::ProjectId::local()).await.unwrap();
    i64::try_from(rows.len()).unwrap()
}

fn leave(all: &mut JoinSet<()>, world: &World, lease: &Lease, uid: control_plane::Uid) {
    let (store, lease) = (world.store.clone(), lease.clone());
    all.spawn(async move {
        assert!(matches!(store.remove(&lease, uid).await.unwrap(), CommitOutcome::Done(_)));
    });
}

/// Two writes that were judged by the same roles are not both done: together they may be what neither is alone.
pub async fn of_two_that_were_judged_by_the_same_roles_one_is_written(world: &World) {
    world.tenants(&["t"]).await;
    for round in 0..ROUNDS / 4 {
        let judged_at = Some(world.version("t").await);
        let role = Put { judged_at, ..world.new_put(&role("t", &format!("r{round}"))) };
        let spec = scoped("[{}]");
        let assignment = Put { judged_at, spec, ..world.new_put(&assignment("t", &format!("x{round}"))) };
        let mut writes = JoinSet::new();
        for put in [role.clone(), assignment] {
            let store = world.store.clone();
            writes.spawn(async move { store.put(put).await.unwrap() });
        }
        let outcomes = writes.join_all().await;
        let written = outcomes.iter().filter(|outcome| matches!(outcome, PutOutcome::Created(_))).count();
        let stale = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stale).count();
        assert_eq!((written, stale), (1, 1), "{outcomes:?}");

        // Judged again, each of them is.
        let row = match world.get(&role.key).await {
            Some(row) => row,
            None => created(world.put(Put { judged_at: Some(world.version("t").await), ..role.clone() }).await),
        };
        let before = Some(before(world.store.as_ref(), &row).await);
        let again = Put { before, spec: "{\"n\":1}".to_owned(), ..role };
        assert_eq!(world.put(Put { judged_at, ..again.clone() }).await, PutOutcome::Stale);
        assert_eq!(world.read(&again.key).await.resource_version, row.resource_version);
        updated(world.put(Put { judged_at: Some(world.version("t").await), ..again }).await);
    }
    no_deadlock(world).await;
}

/// Who writes a role and who deletes it take the row before the version, so that they do not wait for each other.
pub async fn a_role_is_written_and_deleted_at_once(world: &World) {
    world.tenants(&["t"]).await;
    let (mut written, mut stale) = (0, 0);
    for round in 0..ROUNDS {
        let key = role("t", &format!("r{round}"));
        created(world.put(world.new_put(&key)).await);
        let judged_at = Some(world.version("t").await);
        let again = Put { spec: "{\"n\":1}".to_owned(), judged_at, ..world.update_of(&world.read(&key).await).await };
        let rules = super::rules(key.kind);
        let delete = Delete { key: key.clone(), expected_version: None, rules, now: world.now() };
        let (puts, deletes) = (world.store.clone(), world.store.clone());
        let put = tokio::spawn(async move { puts.put(again).await.unwrap() });
        let delete = tokio::spawn(async move { deletes.delete(delete).await.unwrap() });
        assert!(matches!(delete.await.unwrap(), DeleteOutcome::Accepted(_)));
        match put.await.unwrap() {
            PutOutcome::Updated { .. } => written += 1,
            PutOutcome::Stale | PutOutcome::Deleting => stale += 1,
            other => panic!("{other:?}"),
        }
        assert!(world.read(&key).await.is_deleting());
    }
    assert_eq!(written + stale, ROUNDS);
    no_deadlock(world).await;
}

/// What is written while a role leaves loses the name with the others, or was judged by what is no more and is not
/// written. Nobody waits for another for ever.
pub async fn no_assignment_keeps_the_name_of_a_role_that_left(world: &World) {
    world.tenants(&["t"]).await;
    let lease = world.lease("local").await;
    world.create(&role("t", "x")).await;
    let (mut written, mut stale) = (0, 0);
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        let [has, lacks, new] = ["has", "lacks", "new"].map(|name| assignment("t", &format!("{name}{round}")));
        // Identities rise: one is locked before the role and one behind it.
        let names = async |key: &ResourceKey, roles: &[&str]| {
            created(world.put(Put { spec: naming(roles), edges: references(roles), ..world.new_put(key) }).await)
        };
        let early = names(&lacks, &["x"]).await;
        let gone = world.create(&role("t", &name)).await;
        let late = names(&has, &["x", &name]).await;
        world.mark_deleted(&gone.key).await;
        let judged_at = Some(world.version("t").await);
        // Others for somebody else; in another order; in addition; and a new one, of the role or of the same place alone.
        let roles: Vec<&str> = match round % 5 {
            0 => vec!["x", &name],
            1 | 2 => vec![&name, "x"],
            3 => vec![&name],
            _ => vec!["x"],
        };
        let put = match round % 5 {
            0 | 1 => world.update_of(&late).await,
            2 => world.update_of(&early).await,
            _ => world.new_put(&new),
        };
        let spec = naming(&roles).replace('é', "e");
        let put = Put { spec, edges: references(&roles), judged_at, ..put };
        let mut all = JoinSet::new();
        let (store, first) = (world.store.clone(), round % 2 == 0);
        if !first {
            leave(&mut all, world, &lease, gone.uid);
        }
        let outcome = tokio::spawn(async move { store.put(put).await.unwrap() });
        if first {
            leave(&mut all, world, &lease, gone.uid);
        }
        // Meanwhile the engine writes about one of them.
        let commit = world.commit_of(late.uid, Verdict::Converged).await;
        let (store, held) = (world.store.clone(), lease.clone());
        all.spawn(async move { drop(store.commit(&held, commit).await.unwrap()) });
        all.join_all().await;
        match outcome.await.unwrap() {
            PutOutcome::Created(_) | PutOutcome::Updated { .. } => written += 1,
            PutOutcome::Stale => stale += 1,
            other => panic!("{other:?}"),
        }

        assert_eq!(world.get(&gone.key).await, None);
        for key in [&has, &lacks, &new] {
            let Some(row) = world.get(key).await else { continue };
            assert!(!row.spec.contains(&format!("\"{name}\"")), "round {round}: {}", row.spec);
            let roles: Vec<&str> = if row.spec.contains("\"x\"") { vec!["x"] } else { vec![] };
            assert_eq!(before(world.store.as_ref(), &row).await.edges, references(&roles), "round {round}");
        }
    }
    assert_eq!(written + stale, ROUNDS);
    assert!(written > 0, "some came before the role left");
    no_deadlock(world).await;
}

/// A workspace and its creator's assignment are made together or not at all.
pub async fn a_workspace_and_its_creators_assignment_are_one(world: &World) {
    world.tenants(&["t"]).await;
    let scopes = |name: &str| scoped(&format!(r#"[{{"regions":["fsn1"],"workspaces":["{name}"]}}]"#));
    let grant = |name: &str| Box::new(Put { spec: scopes(name), ..world.new_put(&assignment("t", "creators")) });
    let made = created(world.put(Put { grant: Some(grant("w")), ..world.new_put(&workspace("w")) }).await);
    let bound = world.bound_to(&assignment("t", "creators")).await.expect("it is bound");
    assert_eq!((bound.uid, bound.region.as_str()), (made.uid, "fsn1"));
    // Its name is taken now.
    let refused = world.store.put(Put { grant: Some(grant("v")), ..world.new_put(&workspace("v")) }).await;
    assert!(refused.is_err() || world.sql.is_none(), "{refused:?}");
    if world.sql.is_some() {
        assert_eq!(world.get(&workspace("v")).await, None);
    }
    // Who loses the workspace makes no assignment.
    let late = Put { grant: Some(grant("w")), ..world.new_put(&workspace("w")) };
    assert_eq!(world.put(late).await, PutOutcome::Stale);
}
