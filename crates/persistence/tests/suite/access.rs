//! What decisions are made of: tenants, versions, roles and assignments, revoked tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use control_plane::{
    Resource,
    ports::{BootstrapOutcome, DeniedToken, Put, TenantChange, Verdict},
    service::{ReferencePolicy, Tenant},
};
use seca_api::{Kind, ResourceKey, Timestamp};
use tokio::task::JoinSet;

use super::{World, created, key, updated, workspace};

pub fn role(tenant: &str, name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::Role, "", tenant, name)
}

pub fn assignment(tenant: &str, name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::RoleAssignment, "", tenant, name)
}

/// The specification of an assignment with these scopes.
pub fn scoped(scopes: &str) -> String {
    format!(r#"{{"subs":["somebody"],"scopes":{scopes},"roles":["r"]}}"#)
}

impl World {
    pub async fn tenants(&self, names: &[&str]) {
        for name in names {
            assert!(self.store.access().create_tenant(name, &Tenant::default()).await.unwrap());
        }
    }

    pub async fn version(&self, tenant: &str) -> i64 {
        self.store.access().authorization_version(tenant).await.unwrap().unwrap()
    }

    pub async fn assign(&self, key: &ResourceKey, scopes: &str) -> Resource {
        created(self.put(Put { spec: scoped(scopes), ..self.new_put(key) }).await)
    }

    pub async fn respecify(&self, key: &ResourceKey, spec: String) -> Resource {
        updated(self.put(Put { spec, ..self.update_of(&self.read(key).await).await }).await)
    }

    /// Deletes a row and lets it leave.
    pub async fn leave(&self, key: &ResourceKey) {
        let row = self.mark_deleted(key).await;
        let lease = self.lease("local").await;
        self.store.remove(&lease, row.uid).await.unwrap();
        self.store.release(&lease).await.unwrap();
        assert_eq!(self.get(key).await, None);
    }
}

pub async fn tenants_are_registered_once_and_changed(world: &World) {
    let access = world.store.access();
    let late = Tenant { conformance: true, references: ReferencePolicy::Late };
    assert!(access.create_tenant("b", &late).await.unwrap());
    assert!(!access.create_tenant("b", &Tenant::default()).await.unwrap());
    let configured = BTreeMap::from([("b".to_owned(), Tenant::default()), ("a".to_owned(), Tenant::default())]);
    for _ in 0..2 {
        access.ensure_tenants(&configured).await.unwrap();
        let all = access.tenants().await.unwrap();
        let all: Vec<_> = all.iter().map(|tenant| (tenant.name.as_str(), &tenant.settings, tenant.suspended)).collect();
        assert_eq!(all, [("a", &Tenant::default(), false), ("b", &late, false)], "the registry is right");
    }
    let one = access.tenant("b").await.unwrap().unwrap();
    assert_eq!((one.version, &one), (1, access.tenants().await.unwrap().last().unwrap()));
    for unknown in ["c", "", "*"] {
        assert_eq!(access.tenant(unknown).await.unwrap(), None);
        assert_eq!(access.authorization_version(unknown).await.unwrap(), None);
        assert_eq!(access.authorization(unknown).await.unwrap(), None);
        assert_eq!(access.change_tenant(unknown, &TenantChange::default()).await.unwrap(), None);
    }

    let changes: [(TenantChange, bool); 5] = [
        (TenantChange { suspended: Some(true), ..TenantChange::default() }, true),
        (TenantChange { suspended: Some(true), conformance: Some(true), ..TenantChange::default() }, false),
        (TenantChange { references: Some(ReferencePolicy::Strict), ..TenantChange::default() }, true),
        (TenantChange { conformance: Some(false), suspended: Some(false), references: None }, true),
        (TenantChange::default(), false),
    ];
    let mut before = one;
    for (change, raises) in changes {
        let after = access.change_tenant("b", &change).await.unwrap().unwrap();
        assert_eq!(after.version - before.version, i64::from(raises), "{change:?}");
        assert_eq!(after.suspended, change.suspended.unwrap_or(before.suspended));
        assert_eq!(after.settings.conformance, change.conformance.unwrap_or(before.settings.conformance));
        assert_eq!(after.settings.references, change.references.unwrap_or(before.settings.references));
        assert_eq!(access.tenant("b").await.unwrap().as_ref(), Some(&after));
        before = after;
    }
}

pub async fn a_version_rises_with_what_decides_and_with_nothing_else(world: &World) {
    world.tenants(&["t", "other"]).await;
    let (mut last, access) = (world.version("t").await, world.store.access());
    let mut check = async |what: &str, raises: bool| {
        let version = world.version("t").await;
        assert_eq!(version > last, raises, "{what}");
        last = version;
    };
    for key in [role("t", "r"), assignment("t", "a")] {
        let row = world.create(&key).await;
        check("a creation", true).await;
        let labels = Some(r#"{"a":"b"}"#.to_owned());
        updated(world.put(Put { labels, ..world.update_of(&row).await }).await);
        check("other labels", false).await;
        world.respecify(&key, row.spec.clone()).await;
        check("the same specification", false).await;
        world.respecify(&key, scoped("[{}]")).await;
        check("another specification", true).await;
        let lease = world.lease("local").await;
        world.converge(&lease, row.uid).await;
        let failed = world.commit_of(row.uid, Verdict::Failed).await;
        world.commit(&lease, failed).await;
        check("what the engine found", false).await;
        world.mark_deleted(&key).await;
        check("a deletion", true).await;
        world.mark_deleted(&key).await;
        check("a second deletion", false).await;
        let waits = world.commit_of(row.uid, Verdict::Waiting).await;
        world.commit(&lease, waits).await;
        check("what the engine found of it", false).await;
        world.store.remove(&lease, row.uid).await.unwrap();
        world.store.release(&lease).await.unwrap();
        check("a row that left", true).await;
    }
    world.create(&workspace("w")).await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    world.respecify(&volume.key, scoped("[{}]")).await;
    world.leave(&volume.key).await;
    world.leave(&workspace("w")).await;
    check("another kind", false).await;
    world.create(&role("other", "r")).await;
    world.assign(&assignment("other", "a"), r#"[{},{"tenants":["other"]}]"#).await;
    check("another tenant", false).await;

    let token = denied(world, "j", 1);
    access.deny_token(&token).await.unwrap();
    check("a revoked token", true).await;
    access.deny_token(&token).await.unwrap();
    check("a token that is revoked again", true).await;
    assert!(access.allow_token("j").await.unwrap());
    check("a token that is not revoked any more", true).await;
    assert!(!access.allow_token("j").await.unwrap());
    access.prune_access(Duration::ZERO, Duration::ZERO, Timestamp::from_millis(i64::MAX)).await.unwrap();
    check("nothing", false).await;
}

pub async fn writes_raise_the_tenants_that_assignments_open(world: &World) {
    world.tenants(&["a", "b", "c", "t"]).await;
    let mut last = BTreeMap::new();
    let mut check = async |what: &str, raised: &str| {
        for tenant in ["a", "b", "c", "t"] {
            let version = world.version(tenant).await;
            let before = last.insert(tenant, version).unwrap_or(1);
            assert_eq!(version > before, raised.contains(tenant), "{what}: {tenant}");
        }
    };
    check("nothing", "").await;
    let key = assignment("t", "x");
    world.assign(&key, r#"[{"tenants":["t","a","nowhere"]}]"#).await;
    check("a is opened", "ta").await;
    world.create(&role("t", "r")).await;
    check("a role where a is opened from", "ta").await;
    world.create(&role("a", "r")).await;
    check("a role of a", "a").await;
    world.respecify(&key, scoped(r#"[{"tenants":["b"]},{"workspaces":["w"]}]"#)).await;
    check("b instead of a", "tab").await;
    world.respecify(&role("t", "r"), scoped("[]")).await;
    check("a role where b is opened from", "tb").await;
    world.mark_deleted(&key).await;
    check("b is closed", "tb").await;
    world.mark_deleted(&role("t", "r")).await;
    check("a role where nothing is opened from", "t").await;

    let all = assignment("c", "all");
    world.assign(&all, r#"[{"tenants":["*"]}]"#).await;
    check("all are opened", "abct").await;
    world.create(&role("c", "r")).await;
    check("a role where all are opened from", "abct").await;
    // Whoever is registered later is opened as well.
    world.tenants(&["later"]).await;
    let before = world.version("later").await;
    assert_eq!(world.store.access().authorization("later").await.unwrap().unwrap().assignments.len(), 1);
    world.respecify(&all, scoped("[{}]")).await;
    check("all are closed", "abct").await;
    assert!(world.version("later").await > before);
    world.leave(&all).await;
    check("an assignment that opened none any more", "c").await;
}

pub async fn a_snapshot_has_what_decides_in_a_tenant(world: &World) {
    world.tenants(&["a", "b", "t"]).await;
    let access = world.store.access();
    let names = async |tenant: &str| {
        let snapshot = access.authorization(tenant).await.unwrap().unwrap();
        assert_eq!(Some(&snapshot.tenant), access.tenant(tenant).await.unwrap().as_ref());
        let name = |tenant: &str, name: &str| format!("{tenant}/{name}");
        let roles: Vec<_> = snapshot.roles.iter().map(|role| name(&role.tenant, &role.name)).collect();
        (roles.join(" "), snapshot.assignments.iter().map(|a| name(&a.tenant, &a.name)).collect::<Vec<_>>().join(" "))
    };
    let expect = |roles: &str, assignments: &str| (roles.to_owned(), assignments.to_owned());
    assert_eq!(names("t").await, expect("", ""));
    for key in [role("t", "r2"), role("t", "r1"), role("a", "r"), role("b", "r"), role("t", "gone")] {
        world.create(&key).await;
    }
    world.mark_deleted(&role("t", "gone")).await;
    world.assign(&assignment("t", "own"), r#"[{"workspaces":["w"]}]"#).await;
    let opens = world.assign(&assignment("a", "opens"), r#"[{"tenants":["t","*"]}]"#).await;
    world.assign(&assignment("a", "closed"), r#"[{"tenants":["a"]}]"#).await;
    world.assign(&assignment("b", "elsewhere"), r#"[{"tenants":["a"]}]"#).await;
    assert_eq!(names("t").await, expect("a/r t/r1 t/r2", "a/opens t/own"));
    assert_eq!(names("a").await, expect("a/r b/r", "a/closed a/opens b/elsewhere"));
    assert_eq!(names("b").await, expect("a/r b/r", "a/opens b/elsewhere"));

    let snapshot = access.authorization("t").await.unwrap().unwrap();
    assert_eq!((snapshot.assignments[0].uid, &snapshot.assignments[0].spec), (opens.uid, &opens.spec));
    assert_eq!((snapshot.roles[0].uid, snapshot.denied.len()), (world.read(&role("a", "r")).await.uid, 0));
    world.mark_deleted(&opens.key).await;
    access.deny_token(&denied(world, "j", 1)).await.unwrap();
    assert_eq!(names("t").await, expect("t/r1 t/r2", "t/own"));
    for tenant in ["a", "t"] {
        let snapshot = access.authorization(tenant).await.unwrap().unwrap();
        assert_eq!(snapshot.denied, BTreeSet::from(["j".to_owned()]));
    }
}

fn denied(world: &World, id: &str, expires: i64) -> DeniedToken {
    DeniedToken {
        id: id.to_owned(),
        expires_at: Timestamp::from_millis(expires),
        denied_at: world.now(),
        denied_by: "me".to_owned(),
        reason: Some("lost".to_owned()),
    }
}

pub async fn revoked_tokens_are_remembered_until_they_end(world: &World) {
    let access = world.store.access();
    let (soon, late) = (denied(world, "soon", 1_000), denied(world, "late", 2_000));
    access.deny_token(&soon).await.unwrap();
    access.deny_token(&late).await.unwrap();
    assert_eq!(access.denied_tokens().await.unwrap(), [late.clone(), soon.clone()]);
    let again = DeniedToken { reason: None, ..denied(world, "late", 1_500) };
    access.deny_token(&again).await.unwrap();
    let late = DeniedToken { expires_at: late.expires_at, ..again };
    assert_eq!(access.denied_tokens().await.unwrap(), [late.clone(), soon.clone()]);
    let leeway = Duration::from_millis(500);
    for (now, left) in [(1_500, vec![&late, &soon]), (1_501, vec![&late]), (2_501, vec![])] {
        access.prune_access(Duration::from_secs(900), leeway, Timestamp::from_millis(now)).await.unwrap();
        assert_eq!(access.denied_tokens().await.unwrap().iter().collect::<Vec<_>>(), left);
    }
}

pub async fn a_configured_administrator_is_made_once(world: &World) {
    world.tenants(&["t"]).await;
    let access = world.store.access();
    let new = |name: &str| Put { spec: scoped("[{}]"), ..world.new_put(&assignment("t", name)) };
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let (store, put) = (world.store.clone(), new("admin"));
        all.spawn(async move { store.access().bootstrap("somebody", put).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == BootstrapOutcome::Made).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == BootstrapOutcome::Before).count(), 7, "{outcomes:?}");
    let row = world.read(&assignment("t", "admin")).await;
    let lease = world.lease("local").await;
    assert_eq!(world.due(&lease).await, [row.uid]);
    assert_eq!((world.version("t").await, row.resource_version), (2, 1));
    world.store.release(&lease).await.unwrap();

    // A name that is taken leaves no mark.
    assert_eq!(access.bootstrap("another", new("admin")).await.unwrap(), BootstrapOutcome::Taken);
    assert_eq!(access.bootstrap("another", new("another")).await.unwrap(), BootstrapOutcome::Made);
    // Who is one without that is marked alone, as often as it is said.
    for _ in 0..2 {
        access.mark_bootstrapped("t", "marked").await.unwrap();
    }
    assert_eq!(access.bootstrap("marked", new("marked")).await.unwrap(), BootstrapOutcome::Before);
    assert_eq!(world.get(&assignment("t", "marked")).await, None);
    // Whoever was taken the role away from is not given it back.
    world.leave(&row.key).await;
    assert_eq!(access.bootstrap("somebody", new("admin")).await.unwrap(), BootstrapOutcome::Before);
    assert_eq!(world.get(&row.key).await, None);
}
