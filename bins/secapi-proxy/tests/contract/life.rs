//! The life of a resource of every kind: what each answer says, and the history that it leaves.

use reqwest::Method;
use seca_api::{Kind, Scope};
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, until},
    spec::Spec,
    stack::{Answer, BASE, Client, PROFILES, REGION, side_by_side, stack},
    table::{self, Place, Row},
};

/// Kinds whose resources other tests can see, because no workspace holds them.
fn is_shared(kind: Kind) -> bool {
    matches!(kind.scope(), Scope::Tenant | Scope::GlobalTenant) && kind != Kind::Workspace
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_read_changed_listed_and_deleted() {
    let stack = stack().await;
    side_by_side(PROFILES.map(|reading| live(stack.client(reading)))).await;
}

async fn live(client: Client) {
    let place = Place { tenant: client.reading.tenant, workspace: "life".to_owned(), network: BASE.to_owned() };
    let name = |row: &Row| match row.kind {
        Kind::Workspace => "life",
        kind if is_shared(kind) => "life",
        _ => BASE,
    };
    let rows: Vec<_> = table::served().collect();
    for row in &rows {
        create(&client, row, &place, name(row)).await;
        client.make_beside(&place, row).await;
    }
    for row in &rows {
        let path = client.item(row.kind, &place, name(row));
        client.active(&path, 3).await;
    }
    for row in &rows {
        update(&client, row, &place, name(row)).await;
    }
    // Nothing of what came later added to the history of what was there before.
    for row in &rows {
        let path = client.item(row.kind, &place, name(row));
        let resource = client.get(&path).await.expect(200);
        history(&resource, 7, &path);
        assert_eq!(resource["metadata"]["resourceVersion"], 3, "{path}");
    }
    for row in rows.iter().rev() {
        client.remove_beside(&place, row).await;
        delete(&client, row, &place, name(row)).await;
    }
}

async fn create(client: &Client, row: &Row, place: &Place, name: &str) {
    let path = client.item(row.kind, place, name);
    let document = row.document(place);
    let answer = client.put(&path, &document).await;
    let made = answer.expect(201);
    metadata(&answer, &made["metadata"], row, place, name, "PUT");
    echoed(&answer, &document);
    assert!(["pending", "creating", "active"].iter().any(|state| made["status"]["state"] == *state), "{}", answer.text);
    // What was written can be read at once.
    let answer = client.get(&path).await;
    metadata(&answer, &answer.expect(200)["metadata"], row, place, name, "GET");
    let active = client.active(&path, 3).await;
    history(&active, 3, &path);
    let answer = client.get(&path).await;
    echoed(&answer, &document);
    listed(client, row, place, name).await;
}

async fn update(client: &Client, row: &Row, place: &Place, name: &str) {
    let path = client.item(row.kind, place, name);
    let changed = row.changed(place);
    // A change, and the same document again: each is one way through the states.
    for (version, conditions) in [(2, 5), (3, 7)] {
        let before = client.get(&path).await.expect(200);
        let answer = client.put(&path, &changed).await;
        let updated = answer.expect(200);
        metadata(&answer, &updated["metadata"], row, place, name, "PUT");
        echoed(&answer, &changed);
        // The answer tells the state that it met; from then on nobody sees the old history.
        for member in ["state", "conditions"] {
            assert_eq!(updated["status"][member], before["status"][member], "{path}");
        }
        let after = client.get(&path).await.expect(200);
        let count = after["status"]["conditions"].as_array().unwrap().len();
        assert!((conditions - 1..=conditions).contains(&count), "{path}: {}", after["status"]);
        for member in ["createdAt", "kind", "ref"] {
            assert_eq!(updated["metadata"][member], before["metadata"][member], "{path}: {member}");
        }
        assert_eq!(updated["metadata"]["resourceVersion"], version, "{path}");
        let modified = |of: &Value| of["metadata"]["lastModifiedAt"].as_str().unwrap().to_owned();
        assert!(modified(&updated) > modified(&before), "{path}: {} {}", modified(&updated), modified(&before));
        let active = client.active(&path, conditions).await;
        history(&active, conditions, &path);
        echoed(&client.get(&path).await, &changed);
    }
}

async fn delete(client: &Client, row: &Row, place: &Place, name: &str) {
    let path = client.item(row.kind, place, name);
    client.delete(&path).await.accepted();
    let answer = client.get(&path).await;
    if answer.status == 200 {
        let shown = answer.json();
        assert_eq!(shown["status"]["state"], "deleting", "{}", answer.text);
        assert_eq!(shown["status"]["conditions"][0]["state"], "deleting", "{}", answer.text);
        assert!(shown["metadata"]["deletedAt"].is_string(), "{}", answer.text);
    }
    // What is on its way is no conflict, and what is gone is gone.
    let again = client.delete(&path).await;
    assert!(matches!(again.status, 202 | 404), "{path}: {} {}", again.status, again.text);
    client.gone(&path).await;
    client.delete(&path).await.refused(404);
    let (collection, all) = (client.collection(row.kind, place), [("accept", "application/json; deleted=true")]);
    let list = client.send(Method::GET, &collection, &all, None).await.expect(200);
    assert!(list["items"].as_array().unwrap().iter().all(|item| item["metadata"]["name"] != name), "{path}: {list}");
}

/// The metadata of an answer: nothing missing, nothing more.
fn metadata(answer: &Answer, metadata: &Value, row: &Row, place: &Place, name: &str, verb: &str) {
    let [provider, kind, collection] = row.named;
    let resource = format!("{collection}/{name}");
    let in_workspace = matches!(row.kind.scope(), Scope::Workspace | Scope::Network);
    let inside = if in_workspace { format!("/workspaces/{}", place.workspace) } else { String::new() };
    let mut expected = json!({
        "name": name,
        "provider": provider,
        "resource": resource,
        "verb": verb,
        "apiVersion": "v1",
        "kind": kind,
        "ref": format!("{provider}/tenants/{}{inside}/{resource}", place.tenant),
        "tenant": place.tenant
    });
    if !row.kind.provider().is_global() {
        expected["region"] = json!(REGION);
    }
    if in_workspace {
        expected["workspace"] = json!(place.workspace);
    }
    if row.kind.scope() == Scope::Network {
        expected["network"] = json!(place.network);
    }
    let mut found = metadata.clone();
    for member in ["createdAt", "lastModifiedAt"] {
        let time = found.as_object_mut().unwrap().shift_remove(member).unwrap_or_default();
        assert!(
            time.as_str().is_some_and(|text| text.len() >= 20 && text.ends_with('Z')),
            "{}: {member}: {time}",
            answer.asked
        );
    }
    let version = found.as_object_mut().unwrap().shift_remove("resourceVersion").unwrap_or_default();
    assert!(version.as_i64().is_some_and(|version| version >= 1), "{}: {version}", answer.asked);
    assert_eq!(found, expected, "{}", answer.asked);
}

/// What the client owns comes back byte for byte.
fn echoed(answer: &Answer, document: &Value) {
    for (member, value) in document.as_object().unwrap() {
        let sent = format!("\"{member}\":{value}");
        assert!(
            answer.text.contains(&sent),
            "{}: {member} was changed:\nsent {sent}\n got {}",
            answer.asked,
            answer.text
        );
    }
}

/// The states of a history, newest first, and nothing out of order.
fn history(resource: &Value, count: usize, path: &str) {
    let conditions = resource["status"]["conditions"].as_array().unwrap();
    let states: Vec<_> = conditions.iter().map(|condition| condition["state"].as_str().unwrap()).collect();
    let mut expected = ["active", "updating"].repeat((count - 3) / 2);
    expected.extend(["active", "creating", "pending"]);
    assert_eq!(states, expected, "{path}");
    let times: Vec<_> = conditions.iter().map(|condition| condition["lastTransitionAt"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{path}: {times:?}");
    for condition in conditions {
        let reason = condition["reason"].as_str().unwrap_or("Fine");
        assert!(reason.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{path}: {condition}");
    }
}

/// The list of a collection has the resource, and its envelope is complete.
async fn listed(client: &Client, row: &Row, place: &Place, name: &str) {
    let answer = client.get(&client.collection(row.kind, place)).await;
    let list = answer.expect(200);
    let [provider, _, collection] = row.named;
    assert_eq!(
        list["metadata"],
        json!({"provider": provider, "resource": collection, "verb": "GET"}),
        "{}",
        answer.asked
    );
    let found: Vec<_> =
        list["items"].as_array().unwrap().iter().filter(|item| item["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{}: {list}", answer.asked);
    metadata(&answer, &found[0]["metadata"], row, place, name, "GET");
    for member in ["labels", "annotations", "extensions", "spec"] {
        assert_eq!(found[0][member], row.document(place)[member], "{}: {member}", answer.asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_stays_absent_and_what_is_empty_stays_empty() {
    let stack = stack().await;
    let spec = Spec::read();
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let path = client.item(row.kind, &place, "least");
            let whole = spec.schema(row.schema.0, row.schema.1);
            let (_, at) = whole.properties.iter().find(|(name, _)| name == "spec").unwrap();
            let required = spec.fold(at).required;
            let mut least = row.document(&place)["spec"].take();
            least.as_object_mut().unwrap().retain(|name, _| required.contains(name));
            let answer = client.put(&path, &json!({"spec": least})).await;
            let made = answer.expect(201);
            let members: Vec<_> = made.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(!members.iter().any(|m| ["labels", "annotations", "extensions"].contains(m)), "{}", answer.text);
            echoed(&answer, &json!({"spec": least}));
            // Empty ones are something else than none, and a PUT replaces all of it.
            let empty = json!({"labels": {}, "annotations": {}, "extensions": {}, "spec": least});
            echoed(&client.put(&path, &empty).await, &empty);
            let answer = client.put(&path, &json!({"spec": least})).await;
            assert!(answer.expect(200).get("labels").is_none(), "{}", answer.text);
            client.remove(&path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_comes_before_the_resource_is_active_adds_nothing_to_its_history() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = client.workspace("hasty").await;
        let row = table::row(Kind::InternetGateway);
        let path = client.item(row.kind, &place, BASE);
        client.put(&path, &row.document(&place)).await.expect(201);
        let answer = client.put(&path, &row.changed(&place)).await.expect(200);
        // It may have become active in between: then the change is a way of its own.
        let was_active = answer["status"]["state"] == "active";
        let count = if was_active { 5 } else { 3 };
        history(&client.active(&path, count).await, count, &path);
        client.remove(&path).await;
        client.remove(&client.item(Kind::Workspace, &place, "hasty")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_follows_the_last_accepted_action_at_once_and_writes_history() {
    let stack = stack().await;
    side_by_side(PROFILES.map(|reading| power(stack.client(reading)))).await;
}

async fn power(client: Client) {
    let place = Place::base(client.reading.tenant);
    let disk = client.item(Kind::BlockStorage, &place, "powered");
    client.put(&disk, &table::row(Kind::BlockStorage).document(&place)).await.expect(201);
    let path = client.item(Kind::Instance, &place, "powered");
    let boot = json!({"deviceRef": {"resource": "block-storages/powered"}});
    let document = json!({"spec": {"skuRef": {"resource": "skus/cx23"}, "zone": REGION, "bootVolume": boot}});
    client.put(&path, &document).await.expect(201);
    let made = client.active(&path, 3).await;
    assert_eq!(made["status"]["powerState"], "off", "{made}");
    let act = async |action: &str| client.post(&format!("{path}/{action}")).await;
    let conflict = client.reading.conflict();
    // Each accepted action takes effect with its 202: the next one is judged by it.
    for action in ["stop", "restart"] {
        act(action).await.refused(conflict);
    }
    act("start").await.accepted();
    act("start").await.refused(conflict);
    let on = client.active(&path, 5).await;
    history(&on, 5, &path);
    powered(&client, &path, "on").await;
    act("restart").await.accepted();
    history(&client.active(&path, 7).await, 7, &path);
    act("stop").await.accepted();
    for action in ["stop", "restart"] {
        act(action).await.refused(conflict);
    }
    history(&client.active(&path, 9).await, 9, &path);
    powered(&client, &path, "off").await;
    assert_eq!(client.get(&path).await.expect(200)["metadata"]["resourceVersion"], 4);
    // Nothing keeps an instance from being deleted, whatever is under way.
    act("start").await.accepted();
    client.delete(&path).await.accepted();
    let answer = act("stop").await;
    assert!([conflict, 404].contains(&answer.status), "{}", answer.text);
    client.gone(&path).await;
    act("start").await.refused(404);
    client.post(&format!("{path}/reboot")).await.refused(404);
    client.remove(&disk).await;
}

async fn powered(client: &Client, path: &str, state: &str) {
    until(&format!("{path} {state}"), PATIENCE, async || {
        (client.get(path).await.expect(200)["status"]["powerState"] == state).then_some(())
    })
    .await;
}
