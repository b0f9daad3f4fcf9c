//! Tenants and workspaces do not see each other, though the same names are in all of them.

use control_plane::ports::{Store as _, TenantChange};
use serde_json::{Value, json};

use crate::{
    common::{self, Answer, with},
    matrix::{Who, check_alike, matrix},
    operations::{GONE, Operation, Place, operations, place},
    world::{ANN, FAR, World, administrator_of, bearing},
};

/// Whether it was decided that the caller may; what came of it then is up to what was done before.
#[track_caller]
fn may(answer: &Answer, operation: &Operation) {
    let refused = [400, 401, 403, 405].contains(&answer.status.as_u16()) || answer.status.is_server_error();
    assert!(!refused, "{operation:?}: {}", answer.text);
}

#[tokio::test]
async fn an_administrator_of_one_tenant_is_nobody_in_another() {
    let world = World::new().await;
    let before = world.dump().await;
    for (subject, tenant) in [(FAR, "acme"), (ANN, "other"), ("region-admin", "other"), ("vera", "other")] {
        let token = world.token(subject);
        for (operation, _) in matrix().into_iter().filter(|(_, who)| matches!(who, Who::Roles(_))) {
            for at in 0..operation.spellings(place(tenant, "w")).len() {
                let ask = async |place: Place<'_>| {
                    let path = operation.spellings(place).swap_remove(at);
                    let answer = world.ask(&token, &operation.method, &path, operation.body(place).as_ref()).await;
                    answer.problem(403, &path);
                    answer
                };
                let (known, unknown) = (ask(place(tenant, "w")).await, ask(place(GONE, "w")).await);
                check_alike(&known, &unknown, tenant);
            }
        }
    }
    assert_eq!(world.dump().await, before);
}

/// What an administrator of a workspace may do outside of it: what is in no workspace is not confined by a scope's
/// workspaces (3.10).
const OUTSIDE: &[(&str, &str)] = &[
    ("workspaces", "LIST"),
    ("skus", "LIST"),
    ("skus", "GET"),
    ("images", "LIST"),
    ("images", "GET"),
    ("images", "PUT"),
    ("images", "DELETE"),
    ("regions", "LIST"),
    ("regions", "GET"),
    ("secapi", "GET"),
];

#[tokio::test]
async fn an_administrator_of_one_workspace_is_nobody_in_its_neighbour() {
    let world = World::new().await;
    let (before, token) = (world.dump().await, world.token("vera"));
    let is_outside = |operation: &Operation| OUTSIDE.contains(&(operation.collection(), operation.verb().as_str()));
    let (outside, inside): (Vec<_>, Vec<_>) = operations().into_iter().partition(is_outside);
    for operation in &inside {
        let ask = async |place: Place<'_>| {
            let answer = world.perform(&token, operation, place).await;
            answer.problem(403, &operation.path(place));
            answer
        };
        let known = ask(place("acme", "w")).await;
        if operation.is_in_workspace() {
            check_alike(&known, &ask(place("acme", GONE)).await, "w");
        }
    }
    assert_eq!(world.dump().await, before);
    for operation in &outside {
        let answer = world.perform(&token, operation, place("acme", "w")).await;
        may(&answer, operation);
    }
    // Its own is open, so that the refusals above are about the place.
    for operation in inside.iter().filter(|operation| operation.has("{workspace}")) {
        let answer = world.perform(&token, operation, place("acme", "v")).await;
        may(&answer, operation);
    }
}

fn lists() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|operation| operation.verb() == "LIST" && operation.has("{tenant}"))
}

async fn list(world: &World, by: &str, path: &str, accept: &str) -> Answer {
    let request = with(bearing(&world.token(by), "GET", path, None), "accept", accept);
    common::ask(&world.router, request).await
}

fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["items"].as_array().unwrap().clone()
}

const ACCEPTS: [&str; 3] = ["application/json", "application/json; deleted=true", "application/json; deleted=only"];

/// A world with two of everything, of which one is being deleted where nothing uses it.
async fn full_world() -> World {
    let world = World::new().await;
    world.populate("also").await;
    for delete in operations().into_iter().filter(|o| o.method == "DELETE" && o.collection() != "workspaces") {
        for (tenant, workspace) in [("acme", "w"), ("acme", "v"), ("other", "w"), ("other", "v")] {
            let there = Place { name: "also", ..place(tenant, workspace) };
            let answer = world.perform(&world.token(administrator_of(tenant)), &delete, there).await;
            assert!([202, 404, 409].contains(&answer.status.as_u16()), "{delete:?}: {}", answer.text);
        }
    }
    world
}

#[tokio::test]
async fn a_list_shows_nothing_of_another_tenant_or_workspace() {
    let world = full_world().await;
    for operation in lists() {
        for (by, tenant, workspace) in
            [(FAR, "other", "w"), (FAR, "other", "v"), ("vera", "acme", "v"), (ANN, "acme", "w")]
        {
            if by == "vera" && !operation.has("{workspace}") {
                continue;
            }
            let path = operation.path(place(tenant, workspace));
            let mut shown = 0;
            for accept in ACCEPTS {
                for query in ["", "?limit=1000", "?labels=of", "?labels=of%3D*", "?labels=of!%3Dx"] {
                    let found = items(&list(&world, by, &format!("{path}{query}"), accept).await);
                    shown += found.len();
                    for item in found {
                        let metadata = &item["metadata"];
                        assert_eq!(metadata["tenant"], tenant, "{path}{query}: {item}");
                        if operation.has("{workspace}") {
                            assert_eq!(metadata["workspace"], workspace, "{path}{query}: {item}");
                            assert_eq!(item["labels"]["of"], format!("{tenant}-{workspace}"), "{path}{query}");
                        }
                    }
                }
                for of in ["acme-w", "acme-v", "other-w", "other-v"] {
                    let ours = of == format!("{tenant}-{workspace}");
                    let is_foreign = !ours && (operation.has("{workspace}") || !of.starts_with(tenant));
                    let found = items(&list(&world, by, &format!("{path}?labels=of%3D{of}"), accept).await);
                    assert!(!is_foreign || found.is_empty(), "{path} {of}: {found:?}");
                }
            }
            assert!(shown > 0, "{path} showed nothing at all");
        }
    }
}

#[tokio::test]
async fn a_skip_token_is_good_for_its_own_list_alone() {
    let world = full_world().await;
    let mut tokens = Vec::new();
    for operation in lists() {
        for (by, tenant, workspace) in [(ANN, "acme", "w"), (ANN, "acme", "v"), (FAR, "other", "w")] {
            let path = operation.path(place(tenant, workspace));
            let answer = list(&world, by, &format!("{path}?limit=1"), ACCEPTS[1]).await;
            if let Some(token) = answer.json()["metadata"]["skipToken"].as_str() {
                tokens.push((path, token.to_owned()));
            }
        }
    }
    assert!(tokens.len() >= 36, "only {} lists have two pages", tokens.len());
    tokens.dedup_by(|a, b| a.0 == b.0);
    for (from, token) in &tokens {
        for operation in lists() {
            for (by, tenant, workspace) in [(FAR, "other", "w"), ("vera", "acme", "v"), (ANN, "acme", "w")] {
                let path = operation.path(place(tenant, workspace));
                if by == "vera" && !operation.has("{workspace}") {
                    continue;
                }
                let answer = list(&world, by, &format!("{path}?skipToken={token}"), ACCEPTS[1]).await;
                if path == *from {
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
                } else {
                    answer.problem(400, &path);
                }
            }
        }
        // Who may not list is told so and nothing of the token.
        list(&world, "stranger", &format!("{from}?skipToken={token}"), ACCEPTS[1]).await.problem(403, from);
    }
}

/// A path at fault is refused before roles decide, so that it must say no more of a tenant than they would.
#[tokio::test]
async fn a_path_at_fault_does_not_tell_of_a_tenant() {
    let world = World::new().await;
    let change = TenantChange { conformance: Some(true), ..TenantChange::default() };
    world.store.access().change_tenant("acme", &change).await.unwrap();
    let put = async |by: &str, tenant: &str| {
        let path = format!("/providers/seca.workspace/v1/tenants/{tenant}/workspaces/a%2Fb");
        world.ask(&world.token(by), "PUT", &path, Some(&json!({}))).await
    };
    for by in ["stranger", FAR] {
        let known = put(by, "acme").await;
        assert_eq!(known.status, 400, "{}", known.text);
        check_alike(&known, &put(by, GONE).await, "acme");
    }
    for by in [ANN, "workspace-viewer"] {
        assert_eq!(put(by, "acme").await.status, 412);
    }
}
