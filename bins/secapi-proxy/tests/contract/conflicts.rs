//! What the state of things forbids: deletions, changes of what may not change, stale versions, writes to what goes.

use std::sync::Arc;

use reqwest::Method;
use seca_api::Kind;
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, until},
    stack::{Answer, BASE, Client, PROFILES, Stack, side_by_side, stack},
    table::{self, Place, Row},
};

/// The table of ARCHITECTURE.md §4: what is refused to go while the other one is there and names it.
const REFUSED: [(Kind, Kind); 9] = [
    (Kind::Workspace, Kind::Network),
    (Kind::Network, Kind::RouteTable),
    (Kind::Network, Kind::Nic),
    (Kind::Subnet, Kind::Nic),
    (Kind::Nic, Kind::Instance),
    (Kind::PublicIp, Kind::Nic),
    (Kind::BlockStorage, Kind::Instance),
    (Kind::SecurityGroup, Kind::Instance),
    (Kind::Workspace, Kind::Instance),
];

/// What goes while it is named: in this order, of the resources of a whole workspace.
const ALLOWED: [Kind; 8] = [
    Kind::SecurityGroupRule,
    Kind::InternetGateway,
    Kind::Instance,
    Kind::BlockStorage,
    Kind::SecurityGroup,
    Kind::Nic,
    Kind::RouteTable,
    Kind::PublicIp,
];

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_delete_rules() {
    let stack = stack().await;
    side_by_side(PROFILES.map(|reading| delete_rules(stack.client(reading)))).await;
}

async fn delete_rules(client: Client) {
    let place = Place { workspace: "rules".to_owned(), ..Place::base(client.reading.tenant) };
    let name = |kind: Kind| match kind {
        Kind::Workspace | Kind::Image | Kind::Role | Kind::RoleAssignment => "rules",
        _ => BASE,
    };
    let path = |kind: Kind| client.item(kind, &place, name(kind));
    let served = |kind: Kind| table::served().any(|row| row.kind == kind);
    for row in table::served() {
        let mut document = row.document(&place);
        if row.kind == Kind::RoleAssignment {
            document["spec"]["roles"] = json!(["rules"]);
        }
        client.put(&path(row.kind), &document).await.expect(201);
        client.make_beside(&place, row).await;
    }
    for row in table::served() {
        client.active(&path(row.kind), 3).await;
    }
    // It is active before its NIC has an instance, and tells of it a little later.
    if served(Kind::PublicIp) {
        let address = path(Kind::PublicIp);
        until("the address is attached", PATIENCE, async || {
            client.get(&address).await.expect(200)["status"]["attachedTo"].is_object().then_some(())
        })
        .await;
    }
    for (kind, user) in REFUSED {
        if served(kind) && served(user) {
            let before = client.get(&path(kind)).await;
            let problem = client.delete(&path(kind)).await.refused(client.reading.conflict());
            assert!(problem.detail.contains(BASE), "it does not name what uses it: {problem}");
            assert_eq!(client.get(&path(kind)).await.text, before.text, "a refused deletion changes nothing");
        }
    }
    for kind in [Kind::Role, Kind::RoleAssignment].into_iter().chain(ALLOWED).filter(|kind| served(*kind)) {
        client.remove(&path(kind)).await;
        client.remove_beside(&place, table::row(kind)).await;
    }
    // The subnet goes with its network, the image outlives its disk, and nothing of it lives in the workspace.
    client.delete(&path(Kind::Network)).await.accepted();
    let subnet = client.get(&path(Kind::Subnet)).await;
    assert!(subnet.status == 404 || subnet.json()["metadata"]["deletedAt"].is_string(), "{}", subnet.text);
    // Children that are on their way are no obstacle.
    client.delete(&path(Kind::Workspace)).await.accepted();
    for kind in [Kind::Subnet, Kind::Network, Kind::Workspace] {
        client.gone(&path(kind)).await;
    }
    if served(Kind::Image) {
        client.get(&path(Kind::Image)).await.expect(200);
        client.remove(&path(Kind::Image)).await;
    }
}

/// Members that may not change, and another value for them.
fn fixed(row: &Row) -> Vec<(&'static str, Value)> {
    match row.kind {
        Kind::Instance => vec![("/spec/skuRef", json!({"resource": "skus/cx33"})), ("/spec/zone", json!("nbg1"))],
        Kind::BlockStorage => vec![("/spec/sizeGB", json!(19))],
        Kind::Network => vec![("/spec/cidr/ipv4", json!("10.9.0.0/16"))],
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_change_is_refused_and_everything_else_may() {
    let stack = stack().await;
    let mut tried = 0;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let path = client.item(row.kind, &place, BASE);
            for (pointer, value) in fixed(row) {
                let before = client.get(&path).await.expect(200);
                let mut document = row.document(&place);
                *document.pointer_mut(pointer).unwrap() = value;
                client.put(&path, &document).await.refused_at(reading.violation(), pointer);
                let after = client.get(&path).await.expect(200);
                assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{path}");
                assert_eq!(after["spec"], before["spec"], "{path}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_version_is_412_in_both_profiles_and_the_right_one_counts() {
    let stack = stack().await;
    side_by_side(PROFILES.map(|reading| stale_versions(stack.client(reading)))).await;
}

async fn stale_versions(client: Client) {
    let place = Place::base(client.reading.tenant);
    for row in table::served() {
        // Of its own, so that the rows that others name stay as they are.
        let path = client.item(row.kind, &place, "versions");
        let document = row.document(&place);
        let send = async |method: Method, version: &str| {
            let body = (method == Method::PUT).then(|| document.to_string());
            client.send(method, &path, &[("if-unmodified-since", version)], body).await
        };
        // A version of what is not there.
        send(Method::PUT, "1").await.refused(404);
        send(Method::DELETE, "1").await.refused(404);
        client.put(&path, &document).await.expect(201);
        for version in ["2", "0", "-1"] {
            send(Method::PUT, version).await.refused(412);
            send(Method::DELETE, version).await.refused(412);
        }
        for version in ["soon", "1.5", ""] {
            let answer: Answer = send(Method::PUT, version).await;
            answer.refused(400);
        }
        assert_eq!(client.get(&path).await.expect(200)["metadata"]["resourceVersion"], 1, "{path}");
        assert_eq!(send(Method::PUT, "1").await.expect(200)["metadata"]["resourceVersion"], 2, "{path}");
        send(Method::PUT, "1").await.refused(412);
        send(Method::DELETE, "1").await.refused(412);
        send(Method::DELETE, "2").await.accepted();
        client.gone(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_what_is_being_deleted() {
    let stack = stack().await;
    side_by_side(PROFILES.map(|reading| writes_to_what_goes(stack.clone(), stack.client(reading)))).await;
}

async fn writes_to_what_goes(stack: Arc<Stack>, client: Client) {
    let place = client.workspace("going").await;
    client.make(&place, [table::row(Kind::Network)]).await;
    let network = client.item(Kind::Network, &place, BASE);
    client.active(&network, 3).await;
    let lock = stack.lock("DELETE", "/networks/*").await;
    client.delete(&network).await.accepted();
    let shown = client.get(&network).await.expect(200);
    assert_eq!(shown["status"]["state"], "deleting", "{shown}");
    assert_eq!(shown["status"]["conditions"].as_array().unwrap().len(), 4, "{shown}");
    // Itself, what would be inside it, and what would name it.
    let conflict = client.reading.conflict();
    client.put(&network, &table::row(Kind::Network).document(&place)).await.refused(conflict);
    let subnet = json!({"spec": {"cidr": {"ipv4": "10.0.1.0/24"}}});
    client.put(&client.item(Kind::Subnet, &place, BASE), &subnet).await.refused(conflict);
    client.delete(&network).await.accepted();
    let version = shown["metadata"]["resourceVersion"].clone();
    assert_eq!(client.get(&network).await.expect(200)["metadata"]["resourceVersion"], version);
    // Lists leave it out, unless they are asked for it.
    let collection = client.collection(Kind::Network, &place);
    for (accept, count) in [("", 0), ("; deleted=true", 1), ("; deleted=only", 1)] {
        let accept = format!("application/json{accept}");
        let list = client.send(Method::GET, &collection, &[("accept", &accept)], None).await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{accept}: {list}");
    }
    // A workspace whose children are all on their way may go, and then takes nothing in.
    let workspace = client.item(Kind::Workspace, &place, "going");
    client.delete(&workspace).await.accepted();
    assert_eq!(client.get(&workspace).await.expect(200)["status"]["state"], "deleting");
    let gateway = client.item(Kind::InternetGateway, &place, BASE);
    client.put(&gateway, &table::row(Kind::InternetGateway).document(&place)).await.refused(conflict);
    client.put(&workspace, &json!({"spec": {}})).await.refused(conflict);
    stack.unlock(lock).await;
    client.gone(&network).await;
    client.gone(&workspace).await;
}
