//! References out of a tenant and out of a workspace: refused in every field and every spelling, in words that do not
//! tell what is there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    matrix::check_alike,
    operations::{GONE, HERE, Operation, Place, document, documents, operations, place},
    world::{ANN, World, administrator_of},
};

/// Every field that names another resource, and the collections that it may name. Role assignments name roles by
/// bare names, which cannot say where.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("block-storages", "skuRef", &["seca.storage/v1/skus"]),
    ("block-storages", "sourceImageRef", &["seca.storage/v1/images"]),
    ("images", "blockStorageRef", &["seca.storage/v1/block-storages"]),
    ("instances", "skuRef", &["seca.compute/v1/skus"]),
    ("instances", "bootVolume/deviceRef", &["seca.storage/v1/block-storages"]),
    ("instances", "dataVolumes/*/deviceRef", &["seca.storage/v1/block-storages"]),
    ("instances", "primaryNicRef", &["seca.network/v1/nics"]),
    ("instances", "additionalNicRefs/*", &["seca.network/v1/nics"]),
    ("instances", "securityGroupRef", &["seca.network/v1/security-groups"]),
    ("networks", "skuRef", &["seca.network/v1/skus"]),
    ("subnets", "routeTableRef", &["seca.network/v1/route-tables"]),
    ("subnets", "skuRef", &["seca.network/v1/skus"]),
    ("route-tables", "routes/*/targetRef", &["seca.network/v1/internet-gateways", "seca.compute/v1/instances"]),
    ("nics", "subnetRef", &["seca.network/v1/subnets"]),
    ("nics", "publicIpRefs/*", &["seca.network/v1/public-ips"]),
    ("nics", "securityGroupRefs/*", &["seca.network/v1/security-groups"]),
    ("nics", "skuRef", &["seca.network/v1/skus"]),
    ("security-groups", "ruleRefs/*", &["seca.network/v1/security-group-rules"]),
    ("security-groups", "rules/*/sourceRef/*", PEERS),
    ("security-group-rules", "sourceRef/*", PEERS),
];

const PEERS: &[&str] =
    &["seca.network/v1/security-groups", "seca.compute/v1/instances", "seca.network/v1/internet-gateways"];

/// What is there and on its way out.
const LEAVING: &str = "leaving";

#[test]
fn every_field_of_the_documents_that_holds_a_reference_is_listed() {
    let mut found = BTreeSet::new();
    for (provider, document) in documents() {
        let puts = operations().into_iter().filter(|o| o.method == "PUT" && o.provider == provider);
        for put in puts {
            let body = &document["paths"][&put.template]["put"]["requestBody"]["content"]["application/json"]["schema"];
            let schema = &resolved(&document, body)["properties"]["spec"];
            collect(&document, schema, "", &mut |pointer| found.insert((put.collection().to_owned(), pointer)));
        }
    }
    let listed = FIELDS.iter().map(|(collection, field, _)| ((*collection).to_owned(), (*field).to_owned()));
    assert_eq!(found, listed.collect());
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn collect(document: &Value, schema: &Value, at: &str, found: &mut dyn FnMut(String) -> bool) {
    if schema["$ref"].as_str().is_some_and(|path| path.ends_with("/Reference")) {
        found(at.trim_start_matches('/').to_owned());
        return;
    }
    let schema = resolved(document, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        collect(document, member, &format!("{at}/{name}"), found);
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            collect(document, part, at, found);
        }
    }
    if !schema["items"].is_null() {
        collect(document, &schema["items"], &format!("{at}/*"), found);
    }
}

/// A document with a reference in a field, and nothing else wrong with it.
fn naming(collection: &str, field: &str, reference: &Value) -> Value {
    let mut document = document(collection);
    let segments: Vec<&str> = field.split('/').collect();
    set(&mut document["spec"], &segments, reference);
    document
}

fn set(value: &mut Value, segments: &[&str], reference: &Value) {
    match segments {
        [] => *value = reference.clone(),
        ["*", rest @ ..] => {
            let mut item = value.get(0).cloned().unwrap_or_default();
            set(&mut item, rest, reference);
            *value = json!([item]);
        }
        [name, rest @ ..] => set(&mut value[*name], rest, reference),
    }
}

/// All ways to write down a resource of another place.
fn spellings(target: &str, there: Place<'_>, is_same_tenant: bool) -> Vec<Value> {
    let (tenant, workspace, name) = (there.tenant, there.workspace, there.name);
    let [provider, version, collection] = target.split('/').collect::<Vec<_>>()[..] else { panic!("{target}") };
    let provider = format!("{provider}/{version}");
    let is_in_workspace = !matches!(collection, "skus" | "images");
    let is_in_network = matches!(collection, "subnets" | "route-tables");
    let short = format!("{collection}/{name}");
    let long = if is_in_network { format!("networks/{HERE}/{short}") } else { short.clone() };
    let mut found = Vec::new();
    for tail in [&long, &short] {
        let path = if is_in_workspace { format!("workspaces/{workspace}/{tail}") } else { tail.clone() };
        found.extend([
            json!(format!("tenants/{tenant}/{path}")),
            json!(format!("{provider}/tenants/{tenant}/{path}")),
            json!({"resource": format!("tenants/{tenant}/{path}")}),
            json!({"resource": format!("{provider}/tenants/{tenant}/{path}")}),
            json!({"resource": path, "tenant": tenant}),
            json!({"resource": path, "tenant": tenant, "region": "fsn1"}),
        ]);
        for tail in [tail.as_str(), name] {
            let mut members = json!({"resource": tail, "tenant": tenant, "provider": provider});
            if is_in_workspace {
                members["workspace"] = json!(workspace);
            }
            found.push(members.clone());
            members["region"] = json!("fsn1");
            found.push(members);
        }
        if is_same_tenant {
            found.extend([
                json!(path),
                json!({"resource": path}),
                json!({"resource": tail, "workspace": workspace}),
                json!({"resource": name, "workspace": workspace, "provider": provider}),
            ]);
        }
    }
    found
}

/// A world with something on its way out beside what stays.
async fn world() -> World {
    let world = World::new().await;
    world.populate(LEAVING).await;
    for delete in operations().into_iter().filter(|o| o.method == "DELETE" && o.collection() != "workspaces") {
        let there = Place { name: LEAVING, ..place("acme", "w") };
        let answer = world.perform(&world.token(ANN), &delete, there).await;
        assert_eq!(answer.status, 202, "{delete:?}: {}", answer.text);
    }
    world
}

fn put(collection: &str) -> Operation {
    operations().into_iter().find(|o| o.method == "PUT" && o.collection() == collection).unwrap()
}

/// Whoever writes in one place about another; returns how many spellings were refused.
async fn check(world: &World, by: &str, own: Place<'_>, there: Place<'_>) -> usize {
    let (mut count, before) = (0, world.dump().await);
    let token = world.token(by);
    for (collection, field, targets) in FIELDS {
        let put = put(collection);
        // An image is in no workspace: that it names something in one is no step out of its own.
        for target in targets.iter().filter(|target| own.tenant != there.tenant || leaves(&put, target)) {
            let is_same_tenant = own.tenant == there.tenant;
            let [known, leaving, unknown] = [HERE, LEAVING, GONE]
                .map(|name| spellings(target, Place { name, ..there }, is_same_tenant).into_iter());
            for ((known, leaving), unknown) in known.zip(leaving).zip(unknown) {
                let write = async |reference: &Value| {
                    let path = put.path(own);
                    let body = naming(collection, field, reference);
                    let answer = world.ask(&token, "PUT", &path, Some(&body)).await;
                    assert_eq!(answer.status, 422, "{collection} {field} {reference}: {}", answer.text);
                    answer.problem(422, &path);
                    answer
                };
                let (known_answer, unknown_answer) = (write(&known).await, write(&unknown).await);
                check_alike(&known_answer, &unknown_answer, HERE);
                let mut leaving = write(&leaving).await;
                leaving.text = leaving.text.replace(LEAVING, GONE);
                check_alike(&known_answer, &leaving, HERE);
                count += 1;
            }
        }
    }
    assert_eq!(world.dump().await, before, "something was refused and changed something");
    count
}

/// Whether a target is in a workspace, as the one who names it is.
fn leaves(put: &Operation, target: &str) -> bool {
    put.has("{workspace}") && !target.ends_with("/skus") && !target.ends_with("/images")
}

#[tokio::test]
async fn nothing_names_what_is_in_another_tenant() {
    let world = world().await;
    let own = Place { name: "new", ..place("other", "w") };
    let count = check(&world, administrator_of("other"), own, place("acme", "w")).await;
    assert!(count > 200, "only {count} references were tried");
    // Not even for somebody who is an administrator in both.
    check(&world, "mia", own, place("acme", "w")).await;
}

#[tokio::test]
async fn nothing_names_what_is_in_another_workspace() {
    let world = world().await;
    let own = Place { name: "new", ..place("acme", "v") };
    let count = check(&world, "vera", own, place("acme", "w")).await;
    assert!(count > 200, "only {count} references were tried");
    check(&world, ANN, own, place("acme", "w")).await;
}

/// What is copied into an image is out of its workspace.
#[tokio::test]
async fn an_image_of_a_disk_is_made_by_who_may_read_the_disk() {
    let world = world().await;
    let put = put("images");
    let path = put.path(Place { name: "new", ..place("acme", "v") });
    let write = async |by: &str, workspace: &str, name: &str| {
        let body = naming("images", "blockStorageRef", &json!(format!("workspaces/{workspace}/block-storages/{name}")));
        world.ask(&world.token(by), "PUT", &path, Some(&body)).await
    };
    let known = write("vera", "w", HERE).await;
    known.problem(422, &path);
    check_alike(&known, &write("vera", "w", GONE).await, HERE);
    let mut leaving = write("vera", "w", LEAVING).await;
    leaving.text = leaving.text.replace(LEAVING, GONE);
    check_alike(&known, &leaving, HERE);
    assert_eq!(write("vera", "v", HERE).await.status, 201);
    assert_eq!(write(ANN, "w", HERE).await.status, 200);
}

/// A workspace of the same name in another region is another workspace.
#[tokio::test]
async fn nothing_names_what_is_in_another_region() {
    let world = World::new().await;
    let there = |collection: &str, name: &str| {
        put(collection).spellings(Place { name, ..place("acme", "v") }).swap_remove(1).replace("fsn1", "nbg1")
    };
    for collection in ["workspaces", "networks", "internet-gateways", "route-tables"] {
        let answer = world.ask(&world.token(ANN), "PUT", &there(collection, HERE), Some(&document(collection))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let vera = world.token("vera");
    let secret = there("route-tables", HERE);
    world.ask(&vera, "GET", &secret, None).await.problem(403, &secret);
    let path = put("subnets").path(Place { name: "new", ..place("acme", "v") });
    for spell in ["route-tables/NAME", "networks/here/route-tables/NAME", "workspaces/v/route-tables/NAME", "NAME"] {
        let [known, unknown] =
            [HERE, GONE].map(|name| json!({"resource": spell.replace("NAME", name), "region": "nbg1"}));
        let write = async |reference: &Value| {
            let answer = world.ask(&vera, "PUT", &path, Some(&naming("subnets", "routeTableRef", reference))).await;
            answer.problem(422, &path);
            answer
        };
        check_alike(&write(&known).await, &write(&unknown).await, HERE);
    }
}
