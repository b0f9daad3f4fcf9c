//! Assignments that are scoped to one workspace alone, and what is remembered of what left.

use std::time::Duration;

use control_plane::{
    ports::{BoundWorkspace, Departure, Put, Until},
    scopes,
};
use seca_api::{Kind, ResourceKey};

use super::{
    World,
    access::{assignment, role, scoped},
    created, key, updated, workspace,
};

const QUARTER: Duration = Duration::from_secs(900);

impl World {
    /// What an assignment of tenant `t` is bound to.
    pub async fn bound_to(&self, key: &ResourceKey) -> Option<BoundWorkspace> {
        let snapshot = self.store.access().authorization(&key.tenant).await.unwrap().unwrap();
        snapshot.assignments.into_iter().find(|a| a.name == key.name).expect("it is there").bound
    }

    async fn departed(&self, key: &ResourceKey) -> Option<Departure> {
        self.store.access().departed(key, QUARTER).await.unwrap()
    }
}

fn elsewhere(name: &str) -> ResourceKey {
    ResourceKey { region: "nbg1".to_owned(), ..workspace(name) }
}

pub async fn the_stores_read_scopes_as_the_code_does(world: &World) {
    world.tenants(&["t", "a"]).await;
    let ws = world.create(&workspace("w")).await;
    let specs = [
        "{}",
        r#"{"scopes":null}"#,
        r#"{"scopes":"w"}"#,
        r#"{"scopes":[]}"#,
        r#"{"scopes":["w",1]}"#,
        r#"{"scopes":[{}]}"#,
        r#"{"scopes":[{"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["\u0077"],"regions":[]}],"subs":["a\u0000b"]}"#,
        r#"{"scopes":[{"workspaces":["w\u0000"]}]}"#,
        r#"{"scopes":[{"workspaces":["w","w"]},{"tenants":["t","t"],"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1","nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"],"regions":["nbg1"]}]}"#,
        r#"{"scopes":[{"workspaces":["w","v"]}]}"#,
        r#"{"scopes":[{"workspaces":["v"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"]},{"workspaces":["v"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"]},{}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["a"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["t","a"]}]}"#,
        r#"{"scopes":[{"workspaces":["w"],"tenants":["*"]}]}"#,
        r#"{"scopes":[{"tenants":"a"}]}"#,
    ];
    let key = assignment("t", "x");
    let mut row = world.create(&key).await;
    for spec in specs {
        // As a new one and as a changed one, from whatever it was before.
        let name = assignment("t", &format!("x{}", row.resource_version));
        created(world.put(Put { spec: spec.to_owned(), ..world.new_put(&name) }).await);
        row = updated(world.put(Put { spec: spec.to_owned(), ..world.update_of(&row).await }).await);
        let only = scopes::only_workspace("t", spec).filter(|only| only.name == "w");
        let only = only.filter(|only| only.region.as_ref().is_none_or(|region| region == "fsn1"));
        let expected = only.map(|_| BoundWorkspace { uid: ws.uid, region: "fsn1".to_owned() });
        assert_eq!(world.bound_to(&key).await, expected, "{spec}");
        assert_eq!(world.bound_to(&name).await, expected, "{spec}");

        let opened = scopes::opened_tenants("t", spec);
        let seen = world.store.access().authorization("a").await.unwrap().unwrap();
        let seen = seen.assignments.iter().filter(|a| a.name == name.name).count();
        assert_eq!(seen == 1, opened.contains("a") || opened.contains("*"), "{spec}");
    }
}

pub async fn an_assignment_of_one_workspace_ends_with_it(world: &World) {
    world.tenants(&["t"]).await;
    let ws = world.create(&workspace("w")).await;
    let (bound, wide, other) = (assignment("t", "bound"), assignment("t", "wide"), assignment("t", "other"));
    let labels = Some(r#"{"a":"b"}"#.to_owned());
    let label_pairs = [("a".to_owned(), "b".to_owned())].into();
    let edges = vec![super::edge("/spec/roles/0", &role("t", "r"), false)];
    let spec = scoped(r#"[{"workspaces":["w"]}]"#);
    let put = Put { labels, label_pairs, edges, spec, ..world.new_put(&bound) };
    let first = created(world.put(put).await);
    world.assign(&wide, r#"[{"workspaces":["w","v"]}]"#).await;
    world.assign(&other, r#"[{"workspaces":["v"]}]"#).await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, ws.uid);

    // It counts until the workspace has left.
    let lease = world.lease("local").await;
    world.settle(&lease).await;
    let deleted = world.mark_deleted(&ws.key).await;
    let before = world.version("t").await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, ws.uid);
    world.store.remove(&lease, ws.uid).await.unwrap();
    assert_eq!(world.get(&bound).await, None);
    assert!(world.version("t").await > before);
    assert_eq!(world.store.bundle(first.uid).await.unwrap(), None);
    assert_eq!(world.store.removed(&[first.uid, ws.uid]).await.unwrap().len(), 2);
    assert_eq!(world.due(&lease).await, []);
    for kept in [&wide, &other] {
        assert_eq!(world.bound_to(kept).await, None);
    }
    let (with, gone) = (world.departed(&bound).await.unwrap(), world.departed(&ws.key).await.unwrap());
    assert_eq!((with.uid, with.deleted_at, gone.uid), (first.uid, None, ws.uid));
    assert_eq!((gone.deleted_at, with.left_at), (deleted.deleted_at, gone.left_at));
    let grants = world.store.access().departed_grants("t", QUARTER).await.unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!((&grants[0].spec, grants[0].until), (&first.spec, Until::Left(gone.left_at)));
    assert_eq!(grants[0].bound.as_ref().map(|bound| bound.uid), Some(ws.uid));

    // A workspace made again starts clean, and takes what waits for it: nothing.
    let again = world.create(&ws.key).await;
    assert_eq!(world.get(&bound).await, None);
    let second = world.assign(&bound, r#"[{"workspaces":["w"]}]"#).await;
    assert_eq!(world.bound_to(&bound).await.unwrap().uid, again.uid);
    // One that left on its own is no concern of the workspace.
    world.mark_deleted(&bound).await;
    world.store.remove(&lease, second.uid).await.unwrap();
    world.mark_deleted(&ws.key).await;
    world.store.remove(&lease, again.uid).await.unwrap();
    assert_eq!(world.departed(&bound).await.unwrap().uid, second.uid);
}

pub async fn an_assignment_may_wait_for_its_workspace(world: &World) {
    world.tenants(&["t"]).await;
    let (any, here) = (assignment("t", "any"), assignment("t", "here"));
    world.assign(&any, r#"[{"workspaces":["w"]}]"#).await;
    world.assign(&here, r#"[{"workspaces":["w"],"regions":["fsn1"]}]"#).await;
    let before = world.version("t").await;
    world.create(&workspace("v")).await;
    assert_eq!((world.bound_to(&any).await, world.version("t").await), (None, before));

    let there = world.create(&elsewhere("w")).await;
    assert_eq!(world.bound_to(&any).await.unwrap(), BoundWorkspace { uid: there.uid, region: "nbg1".to_owned() });
    assert_eq!(world.bound_to(&here).await, None);
    assert!(world.version("t").await > before, "what is bound counts in no other workspace any more");
    let ws = world.create(&workspace("w")).await;
    assert_eq!(world.bound_to(&here).await.unwrap().uid, ws.uid);
    assert_eq!(world.bound_to(&any).await.unwrap().uid, there.uid, "the first one");

    // Which one is meant cannot be said.
    let both = assignment("t", "both");
    world.assign(&both, r#"[{"workspaces":["w"]}]"#).await;
    assert_eq!(world.bound_to(&both).await, None);
    world.leave(&there.key).await;
    assert_eq!((world.bound_to(&both).await, world.get(&any).await), (None, None));
    world.create(&elsewhere("w")).await;
    assert_eq!(world.bound_to(&both).await, None, "there are two again");
}

pub async fn a_change_keeps_the_workspace_unless_the_scopes_name_another(world: &World) {
    world.tenants(&["t"]).await;
    let (w, v) = (world.create(&workspace("w")).await, world.create(&workspace("v")).await);
    let key = assignment("t", "x");
    world.assign(&key, r#"[{"workspaces":["w"]}]"#).await;
    world.create(&elsewhere("w")).await;
    world.respecify(&key, scoped(r#"[{"workspaces":["w"]}]"#).replace("somebody", "another")).await;
    assert_eq!(world.bound_to(&key).await.unwrap().uid, w.uid);
    world.respecify(&key, scoped(r#"[{"workspaces":["v"]}]"#)).await;
    assert_eq!(world.bound_to(&key).await.unwrap().uid, v.uid);
    world.leave(&w.key).await;
    world.respecify(&key, scoped(r#"[{"workspaces":["v"]},{}]"#)).await;
    assert_eq!(world.bound_to(&key).await, None);
    world.leave(&v.key).await;
    assert!(world.get(&key).await.is_some());
}

pub async fn what_left_is_remembered_for_its_time(world: &World) {
    world.tenants(&["t", "a"]).await;
    world.create(&workspace("w")).await;
    let volume = key(Kind::BlockStorage, "b");
    assert_eq!(world.departed(&volume).await, None);
    let first = world.create(&volume).await;
    let deleted = world.mark_deleted(&volume).await;
    assert_eq!(world.departed(&volume).await, None, "its row is there");
    world.leave(&volume).await;
    let departed = world.departed(&volume).await.unwrap();
    assert_eq!((departed.uid, departed.deleted_at), (first.uid, deleted.deleted_at));
    let second = world.create(&volume).await;
    tokio::time::sleep(Duration::from_millis(3)).await;
    world.leave(&volume).await;
    assert_eq!(world.departed(&volume).await.unwrap().uid, second.uid, "the last one");
    assert_eq!(world.departed(&key(Kind::BlockStorage, "c")).await, None);

    tokio::time::sleep(Duration::from_millis(5)).await;
    let access = world.store.access();
    assert_eq!(access.departed(&volume, Duration::from_millis(1)).await.unwrap(), None);
    let now = world.now();
    access.prune_access(QUARTER, QUARTER, now).await.unwrap();
    assert!(world.departed(&volume).await.is_some());
    access.prune_access(Duration::from_millis(1), QUARTER, now).await.unwrap();
    assert_eq!(world.departed(&volume).await, None);
}

pub async fn what_granted_something_is_remembered_with_its_specification(world: &World) {
    world.tenants(&["t", "a", "b"]).await;
    let access = world.store.access();
    let names = async |tenant: &str| {
        let grants = access.departed_grants(tenant, QUARTER).await.unwrap();
        grants.iter().map(|grant| format!("{}/{}", grant.tenant, grant.name)).collect::<Vec<_>>()
    };
    let used = created(world.put(Put { spec: scoped("[]"), ..world.new_put(&role("b", "r")) }).await);
    world.assign(&assignment("t", "own"), "[{}]").await;
    world.assign(&assignment("a", "opens"), r#"[{"tenants":["t"]}]"#).await;
    world.assign(&assignment("a", "own"), "[{}]").await;
    assert_eq!(names("t").await, [""; 0]);
    // Not until its row has left: from when its deletion was accepted.
    let deleted = world.mark_deleted(&used.key).await;
    let grants = access.departed_grants("t", QUARTER).await.unwrap();
    assert_eq!((grants[0].kind, &grants[0].spec, grants[0].uid), (Kind::Role, &used.spec, used.uid));
    assert_eq!(Some(grants[0].until), deleted.deleted_at.map(Until::Deleted));
    for key in [assignment("t", "own"), assignment("a", "opens"), assignment("a", "own")] {
        world.leave(&key).await;
    }
    world.leave(&used.key).await;
    assert_eq!(access.departed_grants("t", QUARTER).await.unwrap()[0], grants[0]);
    assert_eq!(names("t").await, ["b/r", "t/own", "a/opens"]);
    assert_eq!(names("a").await, ["b/r", "a/opens", "a/own"]);
    assert_eq!(names("b").await, ["b/r"]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(access.departed_grants("t", Duration::from_millis(1)).await.unwrap(), []);
}
