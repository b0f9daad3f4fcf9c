//! A role that leaves: what becomes of the assignments that name it.

use control_plane::{
    Resource,
    ports::{Edge, Put},
};
use seca_api::{ResourceKey, ResourceState};

use super::{
    World,
    access::{assignment, role},
    before, created, edge, sorted, updated,
};

/// A specification that names these roles, in a spelling of its own.
pub fn naming(roles: &[&str]) -> String {
    let roles: Vec<String> = roles.iter().map(|name| format!("\"{name}\"")).collect();
    format!(r#"{{"roles":[{}],"subs":["r","é"],"scopes":[{{"workspaces":["r"]}}]}}"#, roles.join(","))
}

/// The references of an assignment of tenant `t` that names these roles. Those of the system are no rows.
pub fn references(roles: &[&str]) -> Vec<Edge> {
    let rows = roles.iter().enumerate().filter(|(_, name)| !name.starts_with("seca."));
    rows.map(|(place, name)| edge(&format!("/spec/roles/{place}"), &role("t", name), false)).collect()
}

impl World {
    /// An assignment of tenant `t`.
    async fn gives(&self, name: &str, roles: &[&str]) -> Resource {
        let put = self.new_put(&assignment("t", name));
        created(self.put(Put { spec: naming(roles), edges: references(roles), ..put }).await)
    }

    async fn edges(&self, key: &ResourceKey) -> Vec<Edge> {
        before(self.store.as_ref(), &self.read(key).await).await.edges
    }
}

pub async fn a_role_that_leaves_is_taken_from_the_assignments_that_name_it(world: &World) {
    world.tenants(&["t", "other"]).await;
    for name in ["r", "x", "rr"] {
        world.create(&role("t", name)).await;
    }
    let named: [(&str, &[&str], &[&str]); 6] = [
        ("only", &["r"], &[]),
        ("twice", &["r", "r"], &[]),
        ("first", &["r", "x", "rr"], &["x", "rr"]),
        ("middle", &["x", "r", "late"], &["x", "late"]),
        ("last", &["x", "r"], &["x"]),
        (
            "mixed",
            &["r", "seca.admin", "x", "r", "seca.region-admin", "rr"],
            &["seca.admin", "x", "seca.region-admin", "rr"],
        ),
    ];
    for (name, roles, _) in named {
        world.gives(name, roles).await;
    }
    for (name, roles) in [("none", &["x", "seca.admin"][..]), ("like", &["rr"])] {
        world.gives(name, roles).await;
    }
    let elsewhere = assignment("other", "only");
    let theirs = vec![edge("/spec/roles/0", &role("other", "r"), false)];
    world.create(&role("other", "r")).await;
    created(world.put(Put { spec: naming(&["r"]), edges: theirs, ..world.new_put(&elsewhere) }).await);
    let lease = world.lease("local").await;
    world.settle(&lease).await;
    // One that is being deleted grants nothing, and is remembered as it was.
    world.gives("goes", &["r", "x"]).await;
    world.mark_deleted(&assignment("t", "goes")).await;
    let gone = world.mark_deleted(&role("t", "r")).await;
    world.settle(&lease).await;

    let untouched =
        [assignment("t", "none"), assignment("t", "like"), assignment("t", "goes"), elsewhere, role("t", "x")];
    let mut as_they_were = Vec::new();
    for key in &untouched {
        as_they_were.push((world.read(key).await, world.edges(key).await));
    }
    let mut named_before = Vec::new();
    for (name, ..) in named {
        named_before.push(world.read(&assignment("t", name)).await);
    }
    let version = world.version("t").await;
    world.store.remove(&lease, gone.uid).await.unwrap();
    assert_eq!(world.get(&gone.key).await, None);
    assert!(world.version("t").await > version);
    for (key, (row, edges)) in untouched.iter().zip(as_they_were) {
        assert_eq!((world.read(key).await, world.edges(key).await), (row, edges), "{key}");
    }
    let goes = world.read(&assignment("t", "goes")).await.uid;
    let mut woken: Vec<_> = named_before.iter().map(|row| row.uid).chain([goes]).collect();
    woken.sort();
    assert_eq!(sorted(world.due(&lease).await), woken);
    for ((_, _, rest), old) in named.iter().zip(&named_before) {
        let row = world.read(&old.key).await;
        assert_eq!((&row.spec, world.edges(&old.key).await), (&naming(rest), references(rest)));
        let counts = |row: &Resource| [row.resource_version, row.revision, row.generation];
        assert_eq!(counts(&row), counts(old).map(|count| count + 1));
        assert!(row.last_modified_at > old.last_modified_at);
        assert_eq!((old.state, row.state), (ResourceState::Active, ResourceState::Updating));
        let bundle = world.store.bundle(row.uid).await.unwrap().unwrap();
        assert!(bundle.targets.iter().all(|target| target.key != gone.key));
    }
    world.settle(&lease).await;
    for old in &named_before {
        assert_eq!(world.read(&old.key).await.state, ResourceState::Active);
    }

    // What is empty takes roles again, and what was judged before is stale.
    let (old, row) = (&named_before[0], world.read(&assignment("t", "only")).await);
    let again = |edges| Put { spec: naming(&["x", "rr"]), edges, ..world.new_put(&old.key) };
    let stale = Put { before: Some(before(world.store.as_ref(), old).await), ..again(references(&["x", "rr"])) };
    assert_eq!(world.put(stale).await, control_plane::ports::PutOutcome::Stale);
    let fresh = Put { before: Some(before(world.store.as_ref(), &row).await), ..again(references(&["x", "rr"])) };
    updated(world.put(fresh).await);
    assert_eq!(world.edges(&old.key).await, references(&["x", "rr"]));
}

pub async fn a_role_made_again_is_nobodys(world: &World) {
    world.tenants(&["t"]).await;
    world.create(&role("t", "r")).await;
    world.gives("a", &["r", "x"]).await;
    world.leave(&role("t", "r")).await;
    let again = world.create(&role("t", "r")).await;
    let lease = world.lease("local").await;
    assert_eq!(world.store.bundle(again.uid).await.unwrap().unwrap().referrers, []);
    let decides = world.store.access().authorization("t").await.unwrap().unwrap();
    let specs: Vec<_> = decides.assignments.iter().map(|assignment| assignment.spec.clone()).collect();
    assert_eq!((decides.roles.len(), specs), (1, vec![naming(&["x"])]));

    // Who names it now has the new one, and a name that was there before its role stays.
    world.gives("b", &["r"]).await;
    assert_eq!(world.store.bundle(again.uid).await.unwrap().unwrap().referrers.len(), 1);
    world.settle(&lease).await;
    let late = world.create(&role("t", "x")).await;
    assert_eq!(world.store.bundle(late.uid).await.unwrap().unwrap().referrers.len(), 1);
}
