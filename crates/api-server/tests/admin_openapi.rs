//! The OpenAPI document of the admin API against the router that was made with it: every operation is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api_server::{Readiness, admin_router};
use axum::{Router, body::Body, http::Request};
use common::{admin_config, administration, ask, request, with};
use control_plane::{
    Uid,
    ports::{OwnedObject, Portion, Put, QueueStore, Store, WriteStore},
    service::Tenant,
    testing::MemoryStore,
};
use seca_api::{Kind, ResourceKey, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DOCUMENT: &str = "/openapi/admin.v1.json";
const BINDING: &str = "/admin/v1/tenants/acme/workspaces/w/providers/hetzner";

/// Tenant `acme`, and in it the workspace `w`, which is bound to a project with an orphan, and has a block storage.
struct World {
    router: Router,
    document: Value,
    project: String,
}

async fn world() -> World {
    let store = Arc::new(MemoryStore::new("test"));
    assert!(store.access().create_tenant("acme", &Tenant::default()).await.unwrap());
    let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "w");
    store.put(Put::create(key, Uid(Uuid::from_u128(7)), "{}", Timestamp::from_millis(0))).await.unwrap();
    let bindings = common::bindings(store.clone());
    let readiness = Readiness::new(store.clone(), CancellationToken::new());
    let router = admin_router(bindings, administration(store.clone()), readiness, admin_config());

    let document = ask(&router, Request::get(DOCUMENT).body(Body::empty()).unwrap()).await;
    assert_eq!(document.status, 200, "it needs no credential");
    let document = document.json();
    let bound = ask(&router, as_admin("PUT", BINDING, Some(&json!({"apiToken": "t0ken"})))).await;
    assert_eq!(bound.status, 200, "{}", bound.text);
    let project = ask(&router, as_admin("GET", BINDING, None)).await.json()["project"].as_str().unwrap().to_owned();

    let disk = ResourceKey::tenant(Kind::BlockStorage, "fsn1", "acme", "data");
    let disk = ResourceKey { workspace: "w".to_owned(), ..disk };
    store.put(Put::create(disk, Uid(Uuid::from_u128(8)), "{}", Timestamp::from_millis(0))).await.unwrap();
    let orphan = OwnedObject { object_type: "volume".into(), id: "4711".into(), ..OwnedObject::default() };
    let leases = store.lease("replica", Duration::from_secs(60), 9, 9, Portion::All).await.unwrap();
    let lease = leases.iter().find(|lease| lease.project.0 == project).expect("it has a bound workspace");
    assert!(store.save_orphans(lease, &[orphan]).await.unwrap());
    World { router, document, project }
}

fn as_admin(method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let text = body.map(Value::to_string);
    with(request(method, path, text.as_deref()), "authorization", "Bearer admin-secret")
}

/// An operation of the document.
struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    described: &'d Value,
}

impl World {
    /// All operations, in an order in which each finds what it needs: what makes comes before what reads and what removes,
    /// and a project is declared gone at the end.
    fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.document["paths"].as_object().unwrap();
        let mut operations: Vec<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, described)| Operation { method, path, described })
            })
            .collect();
        let place = |method: &str| ["put", "patch", "get", "delete"].iter().position(|known| *known == method).unwrap();
        operations.sort_by_key(|operation| (operation.path.ends_with("/gone"), place(operation.method)));
        operations
    }

    /// A path in which each name is the example of its parameter, and a query of those parameters that have examples.
    fn url(&self, operation: &Operation<'_>) -> String {
        let (mut path, mut query) = (operation.path.to_owned(), Vec::new());
        for parameter in operation.described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = match &parameter["example"] {
                Value::String(text) => Some(text.clone()),
                Value::Null => (name == "project").then(|| self.project.clone()),
                other => Some(other.to_string()),
            };
            let text = |example: Option<String>| example.unwrap_or_else(|| panic!("{path}: an example of {name}"));
            match (parameter["in"].as_str().unwrap(), parameter["required"].as_bool().unwrap()) {
                ("path", true) => {
                    let example = text(example);
                    path = path.replace(&format!("{{{name}}}"), &example);
                }
                ("query", true) => query.push(format!("{name}={}", text(example))),
                ("query", false) => query.extend(example.map(|example| format!("{name}={example}"))),
                other => panic!("{other:?} {name}"),
            }
        }
        assert!(!path.contains('{'), "{path}: every name is described");
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// Checks a value by a schema of the document, whose objects have no members but those that are described.
    fn check(&self, schema: &Value, value: &Value, what: &str) {
        let mut components = self.document["components"].clone();
        let mut open = BTreeSet::new();
        parts(&components, &mut open);
        let schemas = components["schemas"].as_object_mut().unwrap().iter_mut();
        schemas.filter(|(name, _)| !open.contains(*name)).for_each(|(_, schema)| close(schema));
        let mut root = schema.clone();
        close(&mut root);
        root["components"] = components;
        let validator = jsonschema::validator_for(&root).unwrap_or_else(|error| panic!("{what}: {error}"));
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(errors, [""; 0], "{what}: {value}");
    }

    /// A schema, where it is a reference the one that is meant.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/components/schemas/"));
        name.map_or(schema, |name| &self.document["components"]["schemas"][name])
    }
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // The parts of a whole stay open for each other: the whole is closed.
            let is_whole = members.contains_key("allOf");
            members.iter_mut().filter(|(name, _)| *name != "allOf").for_each(|(_, member)| close(member));
            if is_whole || members.contains_key("properties") {
                members.insert("unevaluatedProperties".to_owned(), false.into());
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(close),
        _ => {}
    }
}

/// The components that are parts of others.
fn parts(schema: &Value, found: &mut BTreeSet<String>) {
    let named = |part: &Value| Some(part["$ref"].as_str()?.rsplit('/').next()?.to_owned());
    found.extend(schema["allOf"].as_array().into_iter().flatten().filter_map(named));
    match schema {
        Value::Object(members) => members.values().for_each(|member| parts(member, found)),
        Value::Array(list) => list.iter().for_each(|member| parts(member, found)),
        _ => {}
    }
}

const JSON_SCHEMA: &str = "/content/application~1json/schema";

#[tokio::test]
async fn every_operation_of_the_document_is_served_and_answers_as_described() {
    let world = world().await;
    let operations = world.operations();
    assert!(operations.len() > 15, "{}", operations.len());
    let mut ids = BTreeSet::new();
    for operation in &operations {
        let (method, described) = (operation.method.to_uppercase(), operation.described);
        let what = format!("{method} {}", operation.path);
        assert!(ids.insert(described["operationId"].as_str().unwrap()), "{what}: its id is its own");
        assert!(described["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
        assert_eq!(described["tags"].as_array().map(Vec::len), Some(1), "{what}");

        // What was ordered about an orphan stays, so that each of these has one of its own.
        let own = if operation.path.contains("/orphans/") { Some(self::world().await) } else { None };
        let world = own.as_ref().unwrap_or(&world);
        let url = world.url(operation);
        let stranger = with(as_admin(&method, &url, None), "authorization", "Bearer secret");
        ask(&world.router, stranger).await.problem(401, &url);

        let body = described.pointer("/requestBody/content/application~1json").map(|content| {
            let example = &content["example"];
            world.check(&content["schema"], example, &format!("the example of {what}"));
            example.clone()
        });
        // A token of Hetzner Cloud has no spaces, and the example is none.
        let body = body.map(|mut body| {
            if body.get("apiToken").is_some() {
                body["apiToken"] = "t0ken".into();
            }
            body
        });
        let answer = ask(&world.router, as_admin(&method, &url, body.as_ref())).await;
        assert!(answer.status.is_success(), "{what}: {} {}", answer.status, answer.text);
        let response = &described["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{what}: {} is not described", answer.status);
        match response.pointer(JSON_SCHEMA) {
            Some(schema) => world.check(schema, &answer.json(), &what),
            None => assert_eq!(answer.text, "", "{what}"),
        }
        let refused = ask(&world.router, as_admin(&method, &format!("{}?nothing=1", operation.path), None)).await;
        let schema = described["responses"]["default"].pointer(JSON_SCHEMA).unwrap_or_else(|| panic!("{what}"));
        world.check(schema, &refused.json(), &format!("a refusal of {what}"));
    }
}

#[tokio::test]
async fn a_body_has_the_members_that_are_described_and_no_other() {
    let world = world().await;
    let mut checked = 0;
    for operation in world.operations() {
        let Some(schema) = operation.described.pointer(&format!("/requestBody{JSON_SCHEMA}")) else { continue };
        let what = format!("{} {}", operation.method, operation.path);
        let schema = world.resolved(schema);
        let members: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let url = world.url(&operation);
        // What is wrong with a body.
        let refused = async |body: Value| {
            let method = operation.method.to_uppercase();
            ask(&world.router, as_admin(&method, &url, Some(&body))).await.problem(400, &url)
        };
        for name in required {
            let detail = refused(json!({})).await;
            assert!(detail.contains(&format!("`{name}` is required")), "{what}: {detail}");
        }
        // An object is no value of any member.
        for name in &members {
            let detail = refused(json!({ *name: {} })).await;
            assert!(!detail.contains("there is no member"), "{what}: {name}: {detail}");
        }
        // A binding passes over what it does not know.
        if !members.contains("apiToken") {
            let detail = refused(json!({ "nothing": 1 })).await;
            let (_, known) = detail.split_once("known: ").unwrap_or_else(|| panic!("{what}: {detail}"));
            let end = known.find(|c: char| !(c.is_ascii_alphanumeric() || ", ".contains(c))).unwrap_or(known.len());
            assert_eq!(known[..end].split(", ").collect::<BTreeSet<_>>(), members, "{what}: {detail}");
        }
        checked += 1;
    }
    assert_eq!(checked, 5);
}

#[tokio::test]
async fn what_is_not_described_is_not_served() {
    let world = world().await;
    let paths = world.document["paths"].as_object().unwrap().clone();
    for (path, item) in &paths {
        let served: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        let url = path.replace(['{', '}'], "");
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
            if served.contains(&method.to_lowercase().as_str()) {
                continue;
            }
            let refused = ask(&world.router, as_admin(method, &url, None)).await;
            refused.problem(405, &url);
            let mut allowed: Vec<String> = refused.header("allow").split(", ").map(str::to_lowercase).collect();
            if served.contains(&"get") {
                assert_eq!(allowed.pop().as_deref(), Some("head"), "{url}: axum answers it as GET");
            }
            allowed.sort();
            let mut served = served.clone();
            served.sort_unstable();
            assert_eq!(allowed, served, "{method} {url}");
        }
    }
    let detail =
        ask(&world.router, as_admin("GET", "/admin/v1/tenants/", None)).await.problem(404, "/admin/v1/tenants/");
    assert!(detail.contains("leave it out: /admin/v1/tenants"), "{detail}");
    let detail =
        ask(&world.router, as_admin("GET", "/admin/v1/nothing/", None)).await.problem(404, "/admin/v1/nothing/");
    for path in paths.keys() {
        let name = path.strip_prefix("/admin/v1/").unwrap();
        assert!(detail.contains(name), "{name}: {detail}");
    }
    let head = ask(&world.router, as_admin("HEAD", "/admin/v1/tenants", None)).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}
