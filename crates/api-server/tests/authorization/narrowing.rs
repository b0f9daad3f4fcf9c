//! What a token takes away from its bearer, and when it ends.

use std::time::Duration;

use control_plane::{
    ports::{ReadStore as _, Store as _},
    watch::Patience,
};
use seca_api::{Kind, ResourceKey};
use serde_json::{Value, json};

use crate::{
    common::{self, Answer, with},
    matrix::{Who, check_alike, matrix},
    operations::{GONE, Operation, Place, operations, place},
    world::{ANN, World, bearing},
};

/// Where an operation is, as far as claims can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Roles and role assignments.
    Authorization,
    /// Images, SKUs and the list of workspaces: in a region and in no workspace.
    Tenant,
    /// In workspace `w`, or itself.
    W,
    /// In workspace `v`, or itself.
    V,
}

/// All operations of an administrator, each where it is. Those of a workspace are in two.
fn all() -> Vec<(Operation, Place<'static>, Where)> {
    let mut all = Vec::new();
    for (operation, _) in matrix().into_iter().filter(|(_, who)| matches!(who, Who::Roles(_))) {
        if operation.is_in_workspace() {
            all.push((operation.clone(), place("acme", "w"), Where::W));
            all.push((operation, place("acme", "v"), Where::V));
        } else {
            let at = if operation.provider == "seca.authorization" { Where::Authorization } else { Where::Tenant };
            all.push((operation, place("acme", "w"), at));
        }
    }
    all
}

/// What an administrator's token with these claims is good for; where it is good for nothing, it tells nothing.
async fn check(claims: Value, good: &[Where]) {
    let world = World::new().await;
    let token = world.token_with(ANN, claims.clone());
    let (open, closed): (Vec<_>, Vec<_>) = all().into_iter().partition(|(_, _, at)| good.contains(at));
    let before = world.dump().await;
    for (operation, place, _) in closed {
        let known = world.perform(&token, &operation, place).await;
        assert_eq!(known.status, 403, "{claims} {operation:?}: {}", known.text);
        known.problem(403, &operation.path(place));
        if operation.has("{name}") && operation.collection() != "workspaces" {
            let unknown = world.perform(&token, &operation, Place { name: GONE, ..place }).await;
            check_alike(&known, &unknown, operation.name(place));
        }
    }
    assert_eq!(world.dump().await, before, "{claims}");
    for (operation, place, _) in open {
        let answer = world.perform(&token, &operation, place).await;
        let refused = [401, 403].contains(&answer.status.as_u16());
        assert!(!refused, "{claims} {operation:?} {place:?}: {}", answer.text);
    }
    // Regions are for whoever is known.
    assert_eq!(world.ask(&token, "GET", "/v1/regions/fsn1", None).await.status, 200, "{claims}");
}

const ALL: &[Where] = &[Where::Authorization, Where::Tenant, Where::W, Where::V];

#[tokio::test]
async fn a_token_confined_to_workspaces_is_good_for_what_is_in_them() {
    check(json!({"scope": {"workspaces": ["w"]}}), &[Where::Tenant, Where::W]).await;
    check(json!({"scope": {"workspaces": ["w", "v"]}}), &[Where::Tenant, Where::W, Where::V]).await;
    check(json!({"scope": {"workspaces": []}}), &[Where::Tenant]).await;
    // A star is a name, and not all names.
    check(json!({"scope": {"workspaces": ["*"]}}), &[Where::Tenant]).await;
}

#[tokio::test]
async fn a_token_confined_to_regions_is_good_for_what_is_in_them() {
    check(json!({"scope": {"regions": ["fsn1"]}}), &[Where::Tenant, Where::W, Where::V]).await;
    check(json!({"scope": {"regions": ["nbg1"]}}), &[]).await;
    check(json!({"scope": {"regions": ["fsn1"], "workspaces": ["v"]}}), &[Where::Tenant, Where::V]).await;
}

#[tokio::test]
async fn a_token_confined_to_tenants_is_good_for_them_alone() {
    check(json!({"tenants": ["acme"]}), ALL).await;
    check(json!({"tenants": ["other"]}), &[]).await;
    check(json!({"tenants": []}), &[]).await;
    check(json!({"tenants": ["*"]}), &[]).await;
    check(json!({"scope": {"tenants": ["acme", "other"]}}), ALL).await;
    check(json!({"scope": {"tenants": ["other"]}}), &[]).await;
    // Both count.
    check(json!({"tenants": ["acme"], "scope": {"tenants": ["other"]}}), &[]).await;
}

#[tokio::test]
async fn claims_take_away_and_never_give() {
    // What others may mean by such claims is nothing here.
    check(json!({"scope": "openid profile"}), ALL).await;
    let world = World::new().await;
    let before = world.dump().await;
    for claims in [
        json!({"roles": ["seca.admin"], "groups": ["admins"], "admin": true}),
        json!({"tenants": ["acme", "other"], "scope": {"tenants": ["acme"], "regions": ["fsn1"], "workspaces": ["w"]}}),
        json!({"scope": "seca.admin acme:admin"}),
    ] {
        for subject in ["stranger", "workspace-viewer"] {
            let token = world.token_with(subject, claims.clone());
            for (operation, who) in matrix() {
                if !who.allows(subject) {
                    let answer = world.perform(&token, &operation, place("acme", "w")).await;
                    assert_eq!(answer.status, 403, "{subject} {claims} {operation:?}: {}", answer.text);
                }
            }
        }
    }
    assert_eq!(world.dump().await, before);
}

/// One of each verb, where the administrator may.
fn one_of_each() -> Vec<Operation> {
    let mut kinds = Vec::new();
    for (provider, collection, verbs) in [
        ("seca.compute", "instances", &["GET", "LIST", "PUT", "START", "STOP", "RESTART", "DELETE"][..]),
        ("seca.compute", "skus", &["GET", "LIST"]),
        ("seca.region", "regions", &["GET", "LIST"]),
        ("seca.authorization", "roles", &["GET", "LIST", "PUT", "DELETE"]),
    ] {
        for verb in verbs {
            let is_meant = |o: &Operation| o.provider == provider && o.collection() == collection && o.verb() == *verb;
            kinds.push(operations().into_iter().find(is_meant).unwrap());
        }
    }
    kinds
}

#[track_caller]
fn check_over(answer: &Answer, operation: &Operation) {
    answer.problem(401, &operation.path(place("acme", "w")));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{operation:?}");
}

#[tokio::test]
async fn a_token_ends_between_two_requests() {
    for operation in one_of_each() {
        let world = World::new().await;
        let token = world.token_with(ANN, json!({"exp": world.clock.seconds() + 60}));
        let ask = async || world.perform(&token, &operation, place("acme", "w")).await;
        // Until the end and the leeway of 30 s.
        for time in [0, 89] {
            world.clock.forward(Duration::from_secs(time));
            let answer = ask().await;
            assert!(![401, 403].contains(&answer.status.as_u16()), "{operation:?}: {}", answer.text);
        }
        world.clock.forward(Duration::from_secs(1));
        let before = world.dump().await;
        check_over(&ask().await, &operation);
        assert_eq!(world.dump().await, before);
    }
}

#[tokio::test]
async fn a_revoked_token_ends_with_the_next_request() {
    for operation in one_of_each() {
        let world = World::new().await;
        let token = |jti: &str| world.token_with(ANN, json!({"jti": jti}));
        let ask = async |token: &str| world.perform(token, &operation, place("acme", "w")).await;
        let may = async |token: &str| {
            let answer = ask(token).await;
            assert!(![401, 403].contains(&answer.status.as_u16()), "{operation:?}: {}", answer.text);
        };
        may(&token("lost")).await;
        world.deny("lost").await;
        let before = world.dump().await;
        check_over(&ask(&token("lost")).await, &operation);
        assert_eq!(world.dump().await, before);
        // Others of the same subject go on.
        may(&token("kept")).await;
        may(&world.token(ANN)).await;
        world.store.access().allow_token("lost").await.unwrap();
        may(&token("lost")).await;
    }
}

/// Otherwise a revoked token would still tell which tenants there are.
#[tokio::test]
async fn a_revoked_token_is_told_so_in_every_tenant_and_in_none() {
    let world = World::new().await;
    let token = world.token_with("stranger", json!({"jti": "lost"}));
    world.deny("lost").await;
    for operation in one_of_each() {
        let known = world.perform(&token, &operation, place("acme", "w")).await;
        check_over(&known, &operation);
        if operation.has("{tenant}") {
            let unknown = world.perform(&token, &operation, place(GONE, "w")).await;
            check_alike(&known, &unknown, "acme");
        }
    }
}

const WORKSPACE: &str = "/providers/seca.workspace/v1/tenants/acme/workspaces/w";

/// A read that is held is over with its token, whatever there would be to say.
#[tokio::test(start_paused = true)]
async fn a_held_read_ends_with_its_token() {
    for how in ["revoked", "expired", "not at all"] {
        let world = World::patient(Patience::default()).await;
        let token = world.token_with(ANN, json!({"jti": "held", "exp": world.clock.seconds() + 60}));
        let request = with(bearing(&token, "GET", WORKSPACE, None), "prefer", "wait=20");
        let router = world.router.clone();
        let asking = tokio::spawn(async move { common::ask(&router, request).await });
        while world.watchers.held() == 0 {
            assert!(!asking.is_finished(), "it was not held");
            tokio::task::yield_now().await;
        }
        match how {
            "revoked" => world.deny("held").await,
            "expired" => world.clock.forward(Duration::from_secs(90)),
            _ => {}
        }
        let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "w");
        world.watchers.gone(world.store.get(&key).await.unwrap().unwrap().uid);
        let answer = asking.await.unwrap();
        if how == "not at all" {
            assert_eq!(answer.status, 200, "{}", answer.text);
            continue;
        }
        answer.problem(401, WORKSPACE);
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{how}");
        assert!(answer.header("etag").is_empty() && !answer.text.contains("pending"), "{how}: {}", answer.text);
    }
}
