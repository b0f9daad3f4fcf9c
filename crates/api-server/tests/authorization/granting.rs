//! What is handed out, to whom and how far: across tenants, through roles that others use, and by narrowed tokens.

use control_plane::{
    ports::{BootstrapOutcome, Put, ReadStore as _, Store as _, WriteStore as _},
    service::Tenant,
};
use seca_api::{Kind, ResourceKey};
use serde_json::{Value, json};

use crate::{
    common::Answer,
    matrix::{Who, check_alike, matrix},
    operations::{GONE, HERE, Place, document, operations, place},
    world::{ANN, FAR, World, administrator},
};

const NETWORKS: &str = "/providers/seca.network/v1/tenants/other/workspaces/w/networks";

fn opening(tenant: &str) -> Value {
    json!({"tenants": [tenant]})
}

fn assignment(name: &str) -> String {
    format!("/providers/seca.authorization/v1/tenants/acme/role-assignments/{name}")
}

#[tokio::test]
async fn a_scope_opens_another_tenant_to_what_its_writer_holds_there() {
    let world = World::new().await;
    let before = world.dump().await;
    for role in ["seca.workspace-viewer", "seca.admin"] {
        let bridge =
            async |by: &str, tenant: &str| world.assign(by, "acme", "bridge", "guest", opening(tenant), role).await;
        // The administrator of `acme` has nothing in `other`, and does not learn that it exists.
        let known = bridge(ANN, "other").await;
        assert_eq!(known.status, 422, "{}", known.text);
        check_alike(&known, &bridge(ANN, GONE).await, "other");
        // Whoever has all tenants that there are has not those that there will be.
        for (by, tenant) in
            [(ANN, "*"), ("mia", "*"), ("region-admin", "other"), ("region-admin", GONE), (FAR, "other")]
        {
            let answer = bridge(by, tenant).await;
            assert_eq!(answer.status, 403, "{by}: {}", answer.text);
        }
    }
    assert_eq!(world.dump().await, before);
    // Something there is not enough: it has to be what is handed out.
    let answer = world.assign(FAR, "other", "some", ANN, json!({}), "seca.workspace-viewer").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let before = world.dump().await;
    let answer = world.assign(ANN, "acme", "bridge", "guest", opening("other"), "seca.workspace-editor").await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(world.dump().await, before);
    let answer = world.assign(ANN, "acme", "bridge", "guest", opening("other"), "seca.workspace-viewer").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn an_opened_tenant_is_open_to_what_the_roles_say() {
    for (role, column) in [
        ("seca.workspace-viewer", "workspace-viewer"),
        ("seca.workspace-editor", "workspace-editor"),
        ("seca.workspace-admin", "workspace-admin"),
        ("seca.region-admin", "region-admin"),
        ("seca.admin", ANN),
    ] {
        let world = World::new().await;
        let answer = world.assign("mia", "acme", "bridge", "guest", opening("other"), role).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let token = world.token("guest");
        for (operation, who) in matrix() {
            let there = world.perform(&token, &operation, place("other", "w")).await;
            if who.allows(column) {
                let refused = [401, 403].contains(&there.status.as_u16());
                assert!(!refused, "{role} {operation:?}: {}", there.text);
            } else {
                there.problem(403, &operation.path(place("other", "w")));
            }
            if let Who::Roles(_) = who {
                let own = world.perform(&token, &operation, place("acme", "w")).await;
                own.problem(403, &operation.path(place("acme", "w")));
            }
        }
    }
}

#[tokio::test]
async fn an_opened_tenant_is_closed_with_the_assignment() {
    let world = World::new().await;
    world.assign("mia", "acme", "bridge", "guest", opening("other"), "seca.workspace-viewer").await;
    let token = world.token("guest");
    assert_eq!(world.ask(&token, "GET", NETWORKS, None).await.status, 200);
    // The administrator of `acme` holds nothing in `other`: not to widen it, but to end it.
    let wider = world.assign(ANN, "acme", "bridge", "guest", opening("other"), "seca.workspace-editor").await;
    assert_eq!(wider.status, 403, "{}", wider.text);
    assert_eq!(world.ask(&world.token(ANN), "DELETE", &assignment("bridge"), None).await.status, 202);
    world.ask(&token, "GET", NETWORKS, None).await.problem(403, NETWORKS);
    assert_eq!(world.ask(&world.token(FAR), "GET", &format!("{NETWORKS}/{HERE}"), None).await.status, 200);
}

/// A role is of one tenant, and what is written into it counts wherever its assignments do.
#[tokio::test]
async fn a_role_that_opens_another_tenant_is_widened_by_who_holds_it_there() {
    let world = World::new().await;
    let write = async |by: &str, verbs: &[&str]| {
        let permits = json!([{"provider": "seca.network/v1", "resources": ["networks/*"], "verb": verbs}]);
        let path = "/providers/seca.authorization/v1/tenants/acme/roles/reader";
        let body = json!({"spec": {"permissions": permits}});
        world.ask(&world.token(by), "PUT", path, Some(&body)).await
    };
    assert_eq!(write(ANN, &["list"]).await.status, 201);
    let bridge = world.assign("mia", "acme", "bridge", "guest", opening("other"), "reader").await;
    assert_eq!(bridge.status, 201, "{}", bridge.text);
    let token = world.token("guest");
    let network = format!("{NETWORKS}/{HERE}");
    assert_eq!(world.ask(&token, "GET", NETWORKS, None).await.status, 200);
    world.ask(&token, "GET", &network, None).await.problem(403, &network);

    let before = world.dump().await;
    let wider = write(ANN, &["list", "get"]).await;
    assert_eq!(wider.status, 403, "{}", wider.text);
    assert_eq!(world.dump().await, before);
    world.ask(&token, "GET", &network, None).await.problem(403, &network);
    assert_eq!(write("mia", &["list", "get"]).await.status, 200);
    assert_eq!(world.ask(&token, "GET", &network, None).await.status, 200);
    // Names of roles are those of the assignment's tenant: a role of this name in `other` is another.
    let theirs = "/providers/seca.authorization/v1/tenants/other/roles/reader";
    let permits = json!([{"provider": "seca.network/v1", "resources": ["*"], "verb": ["delete"]}]);
    let body = json!({"spec": {"permissions": permits}});
    assert_eq!(world.ask(&world.token(FAR), "PUT", theirs, Some(&body)).await.status, 201);
    world.ask(&token, "DELETE", &network, None).await.problem(403, &network);
}

#[tokio::test]
async fn a_scope_of_all_tenants_is_written_by_who_holds_all() {
    let world = World::new().await;
    let everywhere = administrator(&world.ids, "operator", "acme", "operators", &opening("*"));
    assert_eq!(world.store.access().bootstrap("operator", everywhere).await.unwrap(), BootstrapOutcome::Made);
    let answer = world.assign("operator", "acme", "bridge", "guest", opening("*"), "seca.workspace-viewer").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    for (operation, who) in matrix() {
        for tenant in ["acme", "other"] {
            let answer = world.perform(&world.token("guest"), &operation, place(tenant, "w")).await;
            let refused = [401, 403].contains(&answer.status.as_u16());
            assert_eq!(refused, !who.allows("workspace-viewer"), "{operation:?}: {}", answer.text);
        }
    }
    // But no tenant that is not there.
    let answer = world.ask(&world.token("operator"), "GET", &NETWORKS.replace("other", GONE), None).await;
    assert_eq!(answer.status, 403);
}

/// A token that is good in one tenant hands out nothing in another.
#[tokio::test]
async fn a_narrowed_token_hands_out_what_it_is_good_for() {
    let world = World::new().await;
    let assign = async |claims: Value, scope: Value| -> Answer {
        let token = world.token_with("mia", claims);
        let spec = json!({"spec": {"subs": ["guest"], "scopes": [scope], "roles": ["seca.workspace-viewer"]}});
        world.ask(&token, "PUT", &assignment("bridge"), Some(&spec)).await
    };
    let before = world.dump().await;
    for (claims, scope) in [
        (json!({"tenants": ["acme"]}), opening("other")),
        (json!({"scope": {"tenants": ["acme"]}}), opening("other")),
        (json!({"tenants": ["acme"]}), opening("*")),
        (json!({"tenants": ["other"]}), json!({})),
        (json!({"scope": {"workspaces": ["w"]}}), json!({"workspaces": ["w"]})),
        (json!({"scope": {"regions": ["fsn1"]}}), json!({"regions": ["fsn1"]})),
    ] {
        let answer = assign(claims.clone(), scope).await;
        assert_eq!(answer.status, 403, "{claims}: {}", answer.text);
    }
    assert_eq!(world.dump().await, before);
    assert_eq!(assign(json!({"tenants": ["acme", "other"]}), opening("other")).await.status, 201);
}

#[tokio::test]
async fn nobody_writes_a_system_role() {
    let world = World::new().await;
    let before = world.dump().await;
    for operation in operations().into_iter().filter(|o| o.collection() == "roles" && o.method != "GET") {
        for name in ["seca.admin", "seca.region-admin", "seca.workspace-viewer"] {
            let there = Place { name, ..place("acme", "w") };
            let answer = world.perform(&world.token(ANN), &operation, there).await;
            let told = answer.problem(403, &operation.path(there));
            assert!(told.contains("is a system role"), "{told}");
        }
        // No other role looks like one.
        let answer =
            world.perform(&world.token(ANN), &operation, Place { name: "seca.mine", ..place("acme", "w") }).await;
        assert_eq!(answer.status, if operation.method == "PUT" { 422 } else { 404 }, "{}", answer.text);
    }
    assert_eq!(world.dump().await, before);
}

/// They are no tenants, even where a tenant bears such a name.
#[tokio::test]
async fn the_names_of_the_catalogue_are_read_by_all_and_are_no_tenants() {
    let world = World::new().await;
    let key = ResourceKey::tenant(Kind::Image, "fsn1", "public", HERE);
    let access = world.store.access();
    assert!(access.create_tenant("public", &Tenant::default()).await.unwrap());
    let template = administrator(&world.ids, "nobody", "public", "unused", &json!({}));
    let spec = document("images")["spec"].to_string();
    world.store.put(Put { key: key.clone(), spec, ..template }).await.unwrap();
    let before = world.store.get(&key).await.unwrap();
    assert!(before.is_some());
    for (operation, _) in matrix().into_iter().filter(|(_, who)| matches!(who, Who::Roles(_))) {
        let is_read = operation.method == "GET" && ["skus", "images"].contains(&operation.collection());
        for tenant in ["seca", "public"] {
            let there = place(tenant, "w");
            for by in ["stranger", ANN] {
                let answer = world.perform(&world.token(by), &operation, there).await;
                match (is_read, operation.collection(), operation.is_item()) {
                    (true, "images", true) => assert_eq!(answer.status, 404, "{}", answer.text),
                    (true, "images", false) => assert_eq!(answer.json()["items"], json!([])),
                    (true, ..) => assert_eq!(answer.status, 200, "{}", answer.text),
                    (false, ..) => drop(answer.problem(403, &operation.path(there))),
                }
            }
            world.perform("", &operation, there).await.problem(401, &operation.path(there));
        }
    }
    assert_eq!(world.store.get(&key).await.unwrap(), before);
}
