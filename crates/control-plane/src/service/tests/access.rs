//! Roles on every operation: who may, who may hand out what, and when a right ends.

use super::*;
use crate::ports::{Delete, DeleteRules, DeniedToken, Portion, TenantChange};

/// A world in which roles decide, and `ann` is the tenant's administrator.
async fn ruled() -> World {
    let mut world = world().await;
    world.assign("admins", "ann", json!([{}]), &["seca.admin"]).await.unwrap();
    world.enforce();
    world
}

fn forbidden<T: std::fmt::Debug>(answer: Result<T, Refusal>) {
    assert!(matches!(answer, Err(Refusal::Forbidden { .. })), "{answer:?}");
}

fn cannot_grant(answer: Result<PutView, Refusal>) -> String {
    match answer {
        Err(refusal @ Refusal::CannotGrant { .. }) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn read(world: &World, key: &ResourceKey) -> Result<View, Refusal> {
    world.plane.get(world.context(), key).await
}

/// What the engine does with a deleted row in the end.
async fn leave(world: &World, key: &ResourceKey) {
    let row = world.row(key).await;
    let leases = world.store.lease("test", Duration::from_secs(60), 1, 8, Portion::All).await.unwrap();
    for lease in leases {
        drop(world.store.remove(&lease, row.uid).await.unwrap());
        world.store.release(&lease).await.unwrap();
    }
    assert_eq!(world.store.get(key).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_role_nothing_is_allowed_and_nothing_is_told() {
    let world = ruled().await;
    let bob = world.as_seen_by("bob");
    for name in ["w", "none"] {
        forbidden(read(&bob, &key(Kind::Workspace, name)).await);
        forbidden(bob.put(&key(Kind::Workspace, name), json!({})).await);
        forbidden(bob.put(&key(Kind::Workspace, name), json!([])).await);
        forbidden(bob.delete(&key(Kind::Workspace, name)).await);
    }
    let action = bob.plane.act(bob.context(), &key(Kind::Instance, "none"), ActionKind::Start, None).await;
    forbidden(action);
    forbidden(read(&bob, &key(Kind::InstanceSku, "cx23")).await);
    // Regions and the catalogue under its own names are for everybody who is known.
    read(&bob, &key(Kind::Region, "fsn1")).await.unwrap();
    read(&bob, &ResourceKey { tenant: "seca".into(), ..key(Kind::InstanceSku, "cx23") }).await.unwrap();
}

/// What a refusal costs would tell by its time what is there: every sort of it reads the same, whatever is there, and never
/// a row.
#[tokio::test]
async fn a_refusal_costs_the_same_whatever_is_there() {
    let mut world = ruled().await;
    world.create(Kind::Network, "gone", network("10.9.0.0/16")).await;
    world.delete(&key(Kind::Network, "gone")).await.unwrap();
    leave(&world, &key(Kind::Network, "gone")).await;
    // Of those who know of the tenant, one has a role in a workspace of it, and all have tokens with an id.
    world.assign("cems", "cem", json!([{"workspaces": ["other"]}]), &["seca.workspace-viewer"]).await.unwrap();
    world.caller.token_id = Some("token".to_owned());
    read(&world, &key(Kind::Network, "net")).await.unwrap();
    for subject in ["bob", "cem"] {
        let mut stranger = world.as_seen_by(subject);
        stranger.caller.token_id = Some("token".to_owned());
        let gets = async |name: &str, tenant: &str| {
            world.memory.take_reads();
            let key = ResourceKey { tenant: tenant.into(), ..key(Kind::Network, name) };
            forbidden(read(&stranger, &key).await);
            world.memory.take_reads()
        };
        let there = gets("net", "t").await;
        assert_eq!(there.calls.get("look"), None, "nothing of that name is read");
        for (name, tenant) in [("never", "t"), ("gone", "t"), ("never", "nobody")] {
            assert_eq!(gets(name, tenant).await, there, "{subject}: {tenant}/{name}");
        }
        let lists = async |kind: Kind, workspace: &str, tenant: &str| {
            world.memory.take_reads();
            let collection = ResourceKey { tenant: tenant.into(), workspace: workspace.into(), ..key(kind, "") };
            let request = ListRequest {
                collection,
                labels: None,
                limit: None,
                after: String::new(),
                deleted: Default::default(),
            };
            let refused = stranger.plane.list(stranger.context(), &request).await;
            assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
            world.memory.take_reads()
        };
        let there = lists(Kind::Network, "w", "t").await;
        assert_eq!(there.calls.get("list"), None, "no page is read");
        for (kind, workspace, tenant) in
            [(Kind::Network, "never", "t"), (Kind::PublicIp, "w", "t"), (Kind::Network, "w", "nobody")]
        {
            assert_eq!(lists(kind, workspace, tenant).await, there, "{subject}: {kind} {workspace} {tenant}");
        }
        let puts = async |name: &str| {
            world.memory.take_reads();
            forbidden(stranger.plane.permits(&stranger.caller, "put", &key(Kind::Network, name)).await);
            world.memory.take_reads()
        };
        assert_eq!(puts("net").await, puts("never").await);
    }
    // Who may is asked for nothing more than what they read.
    world.memory.take_reads();
    read(&world, &key(Kind::Network, "net")).await.unwrap();
    world.plane.permits(&world.caller, "put", &key(Kind::Network, "net")).await.unwrap();
    assert_eq!(world.memory.take_reads().calls, std::collections::BTreeMap::from([("look", 1)]));
}

/// Who could read a row until it left is told that it left, though nothing that names them is there any more.
#[tokio::test(start_paused = true)]
async fn what_was_ones_to_read_is_told_to_be_gone_though_the_right_is_gone_too() {
    let world = ruled().await;
    let (bob, net) = (world.as_seen_by("bob"), key(Kind::Network, "old"));
    let permits = |resource: &str| json!({"spec": {"permissions": [{"provider": "seca.network", "resources": [resource], "verb": ["get"]}]}});
    world.put(&role("rr"), permits("networks/*")).await.unwrap();
    world.assign("bobs", "bob", json!([{}]), &["rr"]).await.unwrap();
    world.create(Kind::Network, "old", network("10.8.0.0/16")).await;
    // The workspace is older than the end of what was in it.
    tokio::time::advance(Duration::from_secs(1)).await;
    world.delete(&net).await.unwrap();
    leave(&world, &net).await;
    for gone in [assignment("bobs"), role("rr")] {
        world.delete(&gone).await.unwrap();
        leave(&world, &gone).await;
    }
    assert!(matches!(read(&bob, &net).await, Err(Refusal::NotFound(_))));
    forbidden(read(&bob, &key(Kind::Network, "never")).await);
    forbidden(read(&world.as_seen_by("cem"), &net).await);
}

#[tokio::test]
async fn a_right_that_is_known_of_is_judged_by_the_roles_of_the_read() {
    let world = ruled().await;
    let (bob, net) = (world.as_seen_by("bob"), key(Kind::Network, "net"));
    world.assign("bobs", "bob", json!([{}]), &["seca.admin"]).await.unwrap();
    read(&bob, &net).await.unwrap();
    // This process has not seen that the right is gone, and what it remembers is no right.
    let delete = Delete {
        key: assignment("bobs"),
        expected_version: None,
        rules: DeleteRules::default(),
        now: world.clock.now(),
    };
    drop(world.store.delete(delete).await.unwrap());
    bob.plane.permits(&bob.caller, "put", &net).await.unwrap();
    forbidden(bob.put(&net, network("10.0.0.0/16")).await);
    forbidden(bob.plane.permits(&bob.caller, "put", &net).await);
    forbidden(read(&bob, &net).await);
}

#[tokio::test]
async fn only_who_has_a_role_in_a_tenant_takes_part_in_it() {
    let world = ruled().await;
    let takes_part = |subject: &str, tenant: &str| world.plane.takes_part(&Caller::new(subject), tenant);
    assert!(!takes_part("ann", "t"), "as far as requests have shown");
    read(&world, &key(Kind::Network, "net")).await.unwrap();
    assert!(takes_part("ann", "t") && !takes_part("bob", "t") && !takes_part("ann", "other"));
    world.assign("bobs", "bob", json!([{"workspaces": ["w"]}]), &["seca.workspace-viewer"]).await.unwrap();
    read(&world.as_seen_by("bob"), &key(Kind::Network, "net")).await.unwrap();
    assert!(takes_part("bob", "t"));
}

#[tokio::test]
async fn a_right_is_there_with_the_next_request_and_gone_with_the_next() {
    let world = ruled().await;
    let bob = world.as_seen_by("bob");
    let net = key(Kind::Network, "net");
    forbidden(read(&bob, &net).await);
    world.assign("bobs", "bob", json!([{"workspaces": ["w"]}]), &["seca.workspace-viewer"]).await.unwrap();
    read(&bob, &net).await.unwrap();
    forbidden(bob.put(&net, network("10.0.0.0/16")).await);
    forbidden(read(&bob, &key(Kind::Workspace, "w")).await);
    world.assign("bobs", "bob", json!([{"workspaces": ["w"]}]), &["seca.workspace-editor"]).await.unwrap();
    bob.put(&net, network("10.0.0.0/16")).await.unwrap();
    forbidden(bob.delete(&net).await);
    world.delete(&assignment("bobs")).await.unwrap();
    forbidden(read(&bob, &net).await);

    // A role that changes.
    let permits = |verb: &str| {
        json!({"spec": {"permissions": [
            {"provider": "seca.network/v1", "resources": ["networks/*"], "verb": [verb]},
        ]}})
    };
    world.put(&role("own"), permits("get")).await.unwrap();
    world.assign("bobs-own", "bob", json!([{}]), &["own"]).await.unwrap();
    read(&bob, &net).await.unwrap();
    world.put(&role("own"), permits("delete")).await.unwrap();
    forbidden(read(&bob, &net).await);
}

#[tokio::test]
async fn a_suspended_tenant_and_a_revoked_token_end_at_once() {
    let mut world = ruled().await;
    let net = key(Kind::Network, "net");
    world.caller.token_id = Some("token-1".to_owned());
    read(&world, &net).await.unwrap();
    let access = world.store.access();
    let token = DeniedToken {
        id: "token-1".to_owned(),
        expires_at: world.clock.now().plus(Duration::from_secs(60)),
        denied_at: world.clock.now(),
        denied_by: "default".to_owned(),
        reason: None,
    };
    access.deny_token(&token).await.unwrap();
    for refused in [
        read(&world, &net).await.map(drop),
        read(&world, &key(Kind::Region, "fsn1")).await.map(drop),
        world.delete(&net).await,
        world.put(&net, network("10.0.0.0/16")).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Refusal::Revoked)), "{refused:?}");
    }
    world.caller.token_id = Some("token-2".to_owned());
    read(&world, &net).await.unwrap();
    let suspend = |suspended| TenantChange { suspended: Some(suspended), ..TenantChange::default() };
    access.change_tenant("t", &suspend(true)).await.unwrap();
    forbidden(read(&world, &net).await);
    access.change_tenant("t", &suspend(false)).await.unwrap();
    read(&world, &net).await.unwrap();
}

#[tokio::test]
async fn nobody_can_grant_what_they_do_not_have() {
    let world = ruled().await;
    let roles = json!([{"provider": "seca.authorization", "resources": ["*"], "verb": ["get", "put", "delete"]}]);
    world.put(&role("clerk"), json!({"spec": {"permissions": roles}})).await.unwrap();
    world.assign("clerks", "bob", json!([{}]), &["clerk"]).await.unwrap();
    let bob = world.as_seen_by("bob");
    let told = cannot_grant(bob.assign("mine", "bob", json!([{}]), &["seca.admin"]).await);
    assert!(told.contains("bob may not write this role-assignment"), "{told}");
    cannot_grant(bob.assign("mine", "bob", json!([{"workspaces": ["w"]}]), &["seca.workspace-viewer"]).await);
    // What he has he can hand on, and a role that nobody has yet he can write.
    bob.assign("clerks-too", "cem", json!([{}]), &["clerk"]).await.unwrap();
    let reads = json!({"spec": {"permissions": [{"provider": "seca.network", "resources": ["*"], "verb": ["get"]}]}});
    bob.put(&role("free"), reads.clone()).await.unwrap();
    // But not use it, nor fill one that is used.
    cannot_grant(bob.assign("mine", "bob", json!([{}]), &["free"]).await);
    cannot_grant(bob.put(&role("clerk"), reads).await);
    // A scope that opens another tenant takes the right there, and who has none at all there does not learn of it.
    let scopes = |tenant: &str| json!([{"tenants": [tenant]}]);
    let told = |answer: Result<PutView, Refusal>| match answer {
        Err(Refusal::Violations { violations, .. }) => violations[0].rule.clone(),
        other => panic!("{other:?}"),
    };
    let there = told(world.assign("far", "ann", scopes("other"), &["seca.workspace-viewer"]).await);
    let nowhere = told(world.assign("far", "ann", scopes("nobody"), &["seca.workspace-viewer"]).await);
    assert_eq!(there.replace("other", "nobody"), nowhere);
    cannot_grant(world.assign("far", "ann", json!([{"tenants": ["*"]}]), &["seca.workspace-viewer"]).await);
    // What is wrong with the document is told first.
    let unknown = world.assign("far", "ann", json!([{"tenants": ["nobody"]}]), &["seca.admin"]).await;
    assert!(matches!(unknown, Err(Refusal::Violations { .. })), "{unknown:?}");
}

/// Each is harmless by itself: a role that nobody has, and an assignment of a role that there is not. Whoever writes
/// both at once must not get past the check of either.
#[tokio::test]
async fn a_role_and_its_assignment_at_once_are_judged_together() {
    let world = ruled().await;
    world.store.access().change_tenant("t", &late()).await.unwrap();
    let roles = json!([{"provider": "seca.authorization", "resources": ["*"], "verb": ["get", "put"]}]);
    world.put(&role("clerk"), json!({"spec": {"permissions": roles}})).await.unwrap();
    world.assign("clerks", "bob", json!([{}]), &["clerk"]).await.unwrap();
    let bob = world.as_seen_by("bob");
    bob.assign("mine", "bob", json!([{}]), &["later"]).await.unwrap();
    let all = json!({"spec": {"permissions": [{"provider": "seca.network", "resources": ["*"], "verb": ["get"]}]}});
    let refused = bob.put(&role("later"), all).await.unwrap_err().to_string();
    assert!(refused.contains("1 role assignment(s)") && refused.contains("get on * of seca.network"), "{refused}");

    // The store refuses what was judged by roles that have changed since.
    let (before, version) = (world.row(&role("clerk")).await, world.row(&role("clerk")).await.resource_version);
    let judged_at = world.store.access().authorization_version("t").await.unwrap();
    world.assign("more", "cem", json!([{}]), &["seca.workspace-viewer"]).await.unwrap();
    let put = crate::ports::Put {
        judged_at,
        before: Some(crate::ports::Before { row: before.clone(), edges: Vec::new() }),
        ..stored_again(&before)
    };
    assert_eq!(world.store.put(put).await.unwrap(), crate::ports::PutOutcome::Stale);
    assert_eq!(world.row(&role("clerk")).await.resource_version, version);
}

/// Names that assignments bear before there is such a role: who makes it gives it to all whom they name.
#[tokio::test]
async fn a_role_under_a_name_that_is_assigned_already_is_a_grant_by_who_makes_it() {
    let world = ruled().await;
    world.store.access().change_tenant("t", &late()).await.unwrap();
    let own = json!([
        {"provider": "seca.authorization", "resources": ["roles"], "verb": ["get", "put"]},
        {"provider": "seca.network", "resources": ["networks"], "verb": ["get"]},
    ]);
    world.put(&role("maker"), json!({"spec": {"permissions": own}})).await.unwrap();
    world.assign("makers", "bob", json!([{}]), &["maker"]).await.unwrap();
    for (name, subject) in [("squat-1", "cem"), ("squat-2", "dan"), ("squat-3", "cem")] {
        world.assign(name, subject, json!([{"workspaces": ["w"]}]), &["taken"]).await.unwrap();
    }
    world.delete(&assignment("squat-3")).await.unwrap();
    let (bob, cem, net) = (world.as_seen_by("bob"), world.as_seen_by("cem"), key(Kind::Network, "net"));
    let reads =
        json!({"spec": {"permissions": [{"provider": "seca.network", "resources": ["networks"], "verb": ["get"]}]}});
    // He has all that the role permits, and may make roles, but may give them to nobody.
    let refused = bob.put(&role("taken"), reads.clone()).await;
    assert!(matches!(refused, Err(Refusal::NameIsAssigned { assignments: 2, .. })), "{refused:?}");
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("a role named taken, because 2 role assignment(s)") && told.contains("choose another"),
        "{told}"
    );
    assert!(!told.contains("cem") && !told.contains("squat"), "{told}");
    forbidden(read(&cem, &net).await);
    assert_eq!(world.store.get(&role("taken")).await.unwrap(), None);
    bob.put(&role("free"), reads.clone()).await.unwrap();
    // Who may give it does.
    world.put(&role("taken"), reads.clone()).await.unwrap();
    read(&cem, &net).await.unwrap();
    // One that is there is changed by who may change it, as before.
    bob.put(&role("taken"), reads).await.unwrap();
}

fn late() -> TenantChange {
    TenantChange { references: Some(ReferencePolicy::Late), ..TenantChange::default() }
}

fn stored_again(row: &Resource) -> crate::ports::Put {
    crate::ports::Put {
        labels: row.labels.clone(),
        annotations: row.annotations.clone(),
        extensions: row.extensions.clone(),
        ..crate::ports::Put::create(row.key.clone(), row.uid, row.spec.clone(), row.last_modified_at)
    }
}

#[tokio::test]
async fn who_creates_a_workspace_administers_that_life_of_it() {
    let world = ruled().await;
    let permits = json!([{"provider": "seca.workspace", "resources": ["workspaces/*"], "verb": ["put", "delete"]}]);
    world.put(&role("founder"), json!({"spec": {"permissions": permits}})).await.unwrap();
    for (name, subject) in [("founders", "bob"), ("founders-too", "cem")] {
        world.assign(name, subject, json!([{}]), &["founder"]).await.unwrap();
    }
    let (bob, cem) = (world.as_seen_by("bob"), world.as_seen_by("cem"));
    let (space, net) =
        (key(Kind::Workspace, "own"), ResourceKey { workspace: "own".into(), ..key(Kind::Network, "net") });
    forbidden(bob.put(&net, network("10.0.0.0/16")).await);
    assert!(bob.put(&space, json!({})).await.unwrap().created);
    bob.put(&net, network("10.0.0.0/16")).await.unwrap();
    forbidden(read(&cem, &net).await);
    let visible = assignment(&format!("creator-{}", world.row(&space).await.uid));
    assert_eq!(world.get(&visible).await["spec"]["subs"], json!(["bob"]));
    // An update by somebody else makes no administrator.
    assert!(!cem.put(&space, json!({"labels": {"a": "b"}})).await.unwrap().created);
    forbidden(read(&cem, &net).await);

    // It dies with the workspace; who could read what was there is told that it is gone, and others nothing.
    bob.delete(&net).await.unwrap();
    leave(&world, &net).await;
    bob.delete(&space).await.unwrap();
    leave(&world, &space).await;
    assert_eq!(world.store.get(&visible).await.unwrap(), None);
    for gone in [&net, &space] {
        assert!(matches!(read(&bob, gone).await, Err(Refusal::NotFound(_))));
        forbidden(read(&cem, gone).await);
        forbidden(bob.delete(&net).await);
    }
    forbidden(read(&bob, &key(Kind::Network, "never")).await);
    assert!(cem.put(&space, json!({})).await.unwrap().created);
    forbidden(read(&bob, &net).await);
    cem.put(&net, network("10.0.0.0/16")).await.unwrap();
    forbidden(read(&bob, &net).await);
}

#[tokio::test]
async fn a_refusal_names_what_its_reader_may_read() {
    let world = ruled().await;
    let permits = json!([
        {"provider": "seca.workspace", "resources": ["workspaces"], "verb": ["delete"]},
        {"provider": "seca.network", "resources": ["networks"], "verb": ["get"]},
        {"provider": "seca.authorization", "resources": ["roles"], "verb": ["put"]},
    ]);
    world.put(&role("own"), json!({"spec": {"permissions": permits}})).await.unwrap();
    world.assign("bobs", "bob", json!([{}]), &["own"]).await.unwrap();
    world
        .assign("secrets", "cem", json!([{"workspaces": ["secret-merger"]}]), &["seca.workspace-viewer"])
        .await
        .unwrap();
    let bob = world.as_seen_by("bob");
    let conflict = |answer: Result<(), Refusal>| answer.unwrap_err().to_string();
    let all = conflict(world.delete(&key(Kind::Workspace, "w")).await);
    assert!(all.contains("networks/net") && all.contains("block-storages/disk"), "{all}");
    let some = conflict(bob.delete(&key(Kind::Workspace, "w")).await);
    assert!(some.contains("networks/net") && some.contains("1 that you may not read"), "{some}");

    world.put(&role("shared"), json!({"spec": {"permissions": permits}})).await.unwrap();
    world.assign("secrets", "cem", json!([{"workspaces": ["secret-merger"]}]), &["shared"]).await.unwrap();
    let more = json!([{"provider": "seca.compute", "resources": ["instances"], "verb": ["get"]}]);
    let refused = cannot_grant(bob.put(&role("shared"), json!({"spec": {"permissions": more}})).await);
    assert!(refused.contains("get on instances of seca.compute") && !refused.contains("merger"), "{refused}");
}

#[tokio::test]
async fn a_right_that_ends_with_a_workspace_makes_none_that_outlives_it() {
    let world = ruled().await;
    let permits = json!([
        {"provider": "seca.workspace", "resources": ["workspaces/*"], "verb": ["put", "delete"]},
        {"provider": "seca.authorization", "resources": ["*"], "verb": ["put"]},
    ]);
    world.put(&role("founder"), json!({"spec": {"permissions": permits}})).await.unwrap();
    world.assign("founders", "bob", json!([{}]), &["founder"]).await.unwrap();
    let bob = world.as_seen_by("bob");
    let space = |region: &str, name: &str| ResourceKey { region: region.into(), ..key(Kind::Workspace, name) };
    for (region, name) in [("fsn1", "own"), ("fsn1", "other"), ("nbg1", "own")] {
        assert!(bob.put(&space(region, name), json!({})).await.unwrap().created);
    }
    let admin = &["seca.workspace-admin"];
    let here = json!({"workspaces": ["own"], "regions": ["fsn1"]});
    for lasting in [
        json!([{"workspaces": ["own", "other"], "regions": ["fsn1"]}]),
        json!([here, {"workspaces": ["other"], "regions": ["fsn1"]}]),
        json!([{"workspaces": ["own"], "regions": ["fsn1", "nbg1"]}]),
        json!([{"workspaces": ["own"]}]),
    ] {
        cannot_grant(bob.assign("lasting", "cem", lasting, admin).await);
    }
    // What ends with it as well may be handed on, and may be made of it later.
    bob.assign("mortal", "cem", json!([here]), admin).await.unwrap();
    bob.put(&role("later"), json!({"spec": {"permissions": permits}})).await.unwrap();
    let networks = json!([{"provider": "seca.network", "resources": ["networks/*"], "verb": ["get"]}]);
    bob.put(&role("reader"), json!({"spec": {"permissions": networks}})).await.unwrap();
    bob.assign("readers", "cem", json!([here]), &["reader"]).await.unwrap();
    let more = json!([{"provider": "seca.network", "resources": ["networks/*"], "verb": ["get", "put"]}]);
    bob.put(&role("reader"), json!({"spec": {"permissions": more}})).await.unwrap();
    world.assign("all-readers", "dan", json!([{"workspaces": ["own", "other"]}]), &["reader"]).await.unwrap();
    cannot_grant(bob.put(&role("reader"), json!({"spec": {"permissions": networks}})).await);
}

#[tokio::test]
async fn an_assignment_counts_in_the_workspace_that_it_was_made_for() {
    let world = ruled().await;
    let bob = world.as_seen_by("bob");
    world.assign("bobs", "bob", json!([{"workspaces": ["w"]}]), &["seca.workspace-viewer"]).await.unwrap();
    let there = key(Kind::Network, "net");
    read(&bob, &there).await.unwrap();
    let elsewhere = |key: ResourceKey| ResourceKey { region: "nbg1".into(), ..key };
    world.put(&elsewhere(key(Kind::Workspace, "w")), json!({})).await.unwrap();
    world.put(&elsewhere(there.clone()), network("10.0.0.0/16")).await.unwrap();
    forbidden(read(&bob, &elsewhere(there)).await);
}

#[tokio::test]
async fn what_is_in_a_workspace_cannot_be_copied_out_by_who_cannot_read_it() {
    let world = ruled().await;
    let permits = json!([{"provider": "seca.storage", "resources": ["*"], "verb": ["get", "put"]}]);
    world.put(&role("storer"), json!({"spec": {"permissions": permits}})).await.unwrap();
    world.assign("bobs", "bob", json!([{"workspaces": ["mine"]}]), &["storer"]).await.unwrap();
    let bob = world.as_seen_by("bob");
    let image = |disk: &str| {
        let spec = json!({"blockStorageRef": {"resource": disk}, "cpuArchitecture": "amd64"});
        json!({"spec": spec})
    };
    let told = |answer: Result<PutView, Refusal>| match answer {
        Err(Refusal::Violations { violations, .. }) => violations[0].rule.clone(),
        other => panic!("{other:?}"),
    };
    let there = told(bob.put(&key(Kind::Image, "copy"), image("workspaces/w/block-storages/disk")).await);
    let nowhere = told(bob.put(&key(Kind::Image, "copy"), image("workspaces/w/block-storages/none")).await);
    assert_eq!(there.replace("disk", "none"), nowhere, "and it is not told which is there");
    world.put(&key(Kind::Image, "copy"), image("workspaces/w/block-storages/disk")).await.unwrap();

    // Nor is an image of the tenant's own copied into a disk.
    let permits = json!([{"provider": "seca.storage", "resources": ["block-storages"], "verb": ["get", "put"]}]);
    world.put(&role("disks"), json!({"spec": {"permissions": permits}})).await.unwrap();
    world.assign("cems", "cem", json!([{}]), &["disks"]).await.unwrap();
    let cem = world.as_seen_by("cem");
    let disk = |image: &str| {
        let spec = json!({"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": format!("images/{image}")});
        json!({"spec": spec})
    };
    let there = told(cem.put(&key(Kind::BlockStorage, "new"), disk("copy")).await);
    let nowhere = told(cem.put(&key(Kind::BlockStorage, "new"), disk("none")).await);
    assert_eq!(there.replace("copy", "none"), nowhere, "and it is not told which is there");
    assert!(cem.put(&key(Kind::BlockStorage, "new"), disk("ubuntu-24.04")).await.unwrap().created);
    assert!(world.put(&key(Kind::BlockStorage, "made"), disk("copy")).await.unwrap().created);
    let larger = json!({"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 30, "sourceImageRef": "images/copy"}});
    assert!(!cem.put(&key(Kind::BlockStorage, "made"), larger).await.unwrap().created, "it is there already");
}

#[tokio::test]
async fn what_nobody_knows_in_a_scope_is_refused() {
    let world = ruled().await;
    for scope in [json!({"workspace": ["w"]}), json!({"Workspaces": ["w"]}), json!({"workspaces": ["w"], "until": 1})] {
        let refused = world.assign("typo", "bob", json!([scope]), &["seca.workspace-viewer"]).await;
        assert!(
            matches!(&refused, Err(Refusal::Violations { violations, .. })
            if violations[0].pointer.starts_with("/spec/scopes/0/")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_deleted_assignment_of_ones_own_is_told_to_be_gone() {
    let world = ruled().await;
    world.assign("more", "bob", json!([{}]), &["seca.admin"]).await.unwrap();
    let bob = world.as_seen_by("bob");
    bob.delete(&assignment("more")).await.unwrap();
    forbidden(read(&bob, &key(Kind::Network, "net")).await);
    // It shows him its own end, and nothing else: not to him, and not to others.
    assert!(read(&bob, &assignment("more")).await.unwrap().body.contains("deleting"));
    forbidden(read(&bob, &assignment("admins")).await);
    forbidden(read(&world.as_seen_by("cem"), &assignment("more")).await);
    forbidden(bob.put(&assignment("more"), json!({"spec": {}})).await);
    let keeps = json!([{"provider": "seca.authorization", "resources": ["roles"], "verb": ["get", "delete"]}]);
    world.put(&role("keeper"), json!({"spec": {"permissions": keeps}})).await.unwrap();
    world.assign("keepers", "dan", json!([{}]), &["keeper"]).await.unwrap();
    let dan = world.as_seen_by("dan");
    dan.delete(&role("keeper")).await.unwrap();
    assert!(read(&dan, &role("keeper")).await.unwrap().body.contains("deleting"));
    leave(&world, &assignment("more")).await;
    assert!(matches!(read(&bob, &assignment("more")).await, Err(Refusal::NotFound(_))));
    forbidden(read(&bob, &assignment("never")).await);
    let delete = Delete {
        key: key(Kind::Network, "net"),
        expected_version: None,
        rules: DeleteRules::default(),
        now: world.clock.now(),
    };
    drop(world.store.delete(delete).await.unwrap());
    forbidden(read(&bob, &key(Kind::Network, "net")).await);
}

#[tokio::test]
async fn a_role_made_again_is_not_that_of_whom_the_former_one_was_given_to() {
    let world = ruled().await;
    let bob = world.as_seen_by("bob");
    let (net, shared) = (key(Kind::Network, "net"), assignment("bobs"));
    let permits = json!([{"provider": "seca.network", "resources": ["networks/*"], "verb": ["get"]}]);
    let reads = json!({"spec": {"permissions": permits}});
    world.put(&role("rr"), reads.clone()).await.unwrap();
    world.assign("bobs", "bob", json!([{}]), &["rr"]).await.unwrap();
    read(&bob, &net).await.unwrap();
    world.delete(&role("rr")).await.unwrap();
    forbidden(read(&bob, &net).await);
    leave(&world, &role("rr")).await;
    world.put(&role("rr"), reads).await.unwrap();
    forbidden(read(&bob, &net).await);

    // An assignment without a role is read, listed and explained like any other.
    assert_eq!(world.get(&shared).await["spec"]["roles"], json!([]));
    let collection = ResourceKey { name: String::new(), ..shared.clone() };
    let request = ListRequest {
        collection,
        labels: None,
        limit: None,
        after: String::new(),
        deleted: crate::ports::Deleted::Exclude,
    };
    let listed = world.plane.list(world.context(), &request).await.unwrap();
    let listed = super::read::items(&listed);
    let bobs = listed.iter().find(|item| item["metadata"]["name"] == "bobs").unwrap();
    assert_eq!(bobs["spec"]["roles"], json!([]));
    let snapshot = world.store.access().authorization("t").await.unwrap().unwrap();
    let policy = crate::service::access::policy(&snapshot, &[]);
    let explained = policy.explain(&bob.caller, &Ask { verb: "get", key: &net });
    assert_eq!((explained.allowed, explained.assignments.len()), (false, 1));
    assert!(explained.assignments[0].missing_roles.is_empty() && policy.unreadable().is_empty());

    // Nobody writes one without roles, and it takes roles again.
    let none = world.assign("bobs", "bob", json!([{}]), &[]).await;
    assert!(matches!(none, Err(Refusal::Violations { .. })), "{none:?}");
    world.assign("bobs", "bob", json!([{}]), &["rr"]).await.unwrap();
    read(&bob, &net).await.unwrap();
}
