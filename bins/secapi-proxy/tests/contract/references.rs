//! References: what each field may name, and what is said when it names something else.

use seca_api::{Kind, Scope};
use serde_json::{Value, json};

use crate::{
    common::{PATIENCE, until},
    stack::{BASE, Client, LATE, PROFILES, Reading, side_by_side, stack},
    table::{self, Place, Row},
};

/// Fields whose targets need not exist where the tenant's policy is `late`: ARCHITECTURE.md §4.
const LATE_FIELDS: [(Kind, &str); 3] = [
    (Kind::RoleAssignment, "/spec/roles/0"),
    (Kind::Nic, "/spec/publicIpRefs/0/resource"),
    (Kind::Image, "/spec/blockStorageRef/resource"),
];

/// The references of a document: the pointers of all objects with a `resource`.
fn references(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if members.contains_key("resource") => found.push(pointer.to_owned()),
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| references(value, &format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| references(item, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

/// What a reference says in place of what it should, and why that cannot be.
fn strays(pointer: &str, resource: &str, place: &Place) -> Vec<(&'static str, Value)> {
    let tenant = place.tenant;
    let (path, _) = resource.rsplit_once('/').unwrap();
    let is_device = pointer.ends_with("deviceRef") || pointer.ends_with("blockStorageRef");
    let stranger = if is_device { "seca.network/v1" } else { "seca.storage/v1" };
    let collection = if is_device { "networks" } else { "block-storages" };
    let other = if tenant == "plain" { "conf" } else { "plain" };
    let mut found = vec![
        ("missing", json!({"resource": format!("{path}/missing")})),
        (
            "of another kind",
            json!({"resource": format!("{stranger}/tenants/{tenant}/workspaces/{}/{collection}/{BASE}", place.workspace)}),
        ),
        ("of another collection", json!({"resource": format!("{collection}/{BASE}")})),
        ("in another tenant", json!({"resource": resource, "tenant": other})),
        ("in another region", json!({"resource": resource, "region": "nbg1"})),
        ("of another provider", json!({"resource": resource, "provider": "seca.workspace/v1"})),
        ("of no form", json!({"resource": "a/b/c/d/e/f/g/h"})),
        ("of an impossible name", json!({"resource": format!("{path}/Not_A_Name")})),
    ];
    if !path.ends_with("skus") && !pointer.ends_with("sourceImageRef") {
        let inner = resource.split_once("block-storages").map_or(resource, |_| "block-storages/base");
        found.push(("in another workspace", json!({"resource": inner, "workspace": "elsewhere"})));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_must_name_something_of_its_kind_in_its_place() {
    let stack = stack().await;
    let mut jobs = Vec::new();
    for reading in PROFILES.into_iter().chain(LATE) {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let document = row.document(&place);
            let mut pointers = Vec::new();
            references(&document, "", &mut pointers);
            for pointer in pointers {
                let resource = document.pointer(&pointer).unwrap()["resource"].as_str().unwrap().to_owned();
                // Blocks of addresses are nowhere and need not be there.
                let resource = if pointer.contains("sourceRef") { format!("security-groups/{BASE}") } else { resource };
                for (what, stray) in strays(&pointer, &resource, &place) {
                    if is_late(reading, row.kind, &pointer) && matches!(what, "missing" | "in another workspace") {
                        continue;
                    }
                    let mut document = document.clone();
                    *document.pointer_mut(&pointer).unwrap() = stray;
                    jobs.push(refuse(client.clone(), row, place.clone(), pointer.clone(), what, document));
                }
            }
        }
    }
    let count = jobs.len();
    let wrong: Vec<_> = side_by_side(jobs).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

fn is_late(reading: Reading, kind: Kind, pointer: &str) -> bool {
    reading.late && LATE_FIELDS.iter().any(|(k, p)| *k == kind && p.starts_with(pointer))
}

async fn refuse(
    client: Client,
    row: &'static Row,
    place: Place,
    pointer: String,
    what: &'static str,
    document: Value,
) -> Option<String> {
    let path = client.item(row.kind, &place, "stray");
    let answer = client.put(&path, &document).await;
    let points = answer.problem().is_ok_and(|problem| {
        problem.sources.iter().any(|s| s.pointer == pointer || s.pointer == format!("{pointer}/resource"))
    });
    if answer.status == client.reading.violation() && points {
        return None;
    }
    let sent = document.pointer(&pointer).unwrap();
    Some(format!("- {}: {pointer} {what}: {sent}\n  PUT {path}\n  {} {}", row.kind, answer.status, answer.text))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_reference_names_the_same_and_is_echoed() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        let disk = table::row(Kind::BlockStorage);
        let path = client.item(disk.kind, &place, "spelled");
        let tenant = reading.tenant;
        let urn = format!("seca.storage/v1/tenants/{tenant}/skus/hcloud-volume");
        let mut made = 201;
        for spelling in [
            json!({"resource": "skus/hcloud-volume"}),
            json!({"resource": "hcloud-volume"}),
            json!({"resource": "tenants/seca/skus/hcloud-volume"}),
            json!({"resource": "seca.storage/v1/tenants/public/skus/hcloud-volume"}),
            json!({"resource": urn}),
            json!({"provider": "seca.storage/v1", "region": "fsn1", "tenant": tenant, "resource": "skus/hcloud-volume"}),
            json!({"resource": "skus/hcloud-volume", "provider": "seca.storage"}),
        ] {
            let mut document = disk.document(&place);
            document["spec"]["skuRef"] = spelling.clone();
            let answer = client.put(&path, &document).await;
            assert_eq!(answer.expect(made)["spec"]["skuRef"], spelling, "{}", answer.text);
            made = 200;
        }
        // A text is a reference that is spelled as one.
        let mut document = disk.document(&place);
        document["spec"]["skuRef"] = json!("skus/hcloud-volume");
        let answer = client.put(&path, &document).await.expect(200);
        assert_eq!(answer["spec"]["skuRef"], json!({"resource": "skus/hcloud-volume"}));
        client.remove(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_decides_about_three_fields_and_no_other() {
    let stack = stack().await;
    for reading in PROFILES.into_iter().chain(LATE) {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        let fields = LATE_FIELDS.into_iter().filter(|(kind, _)| table::served().any(|row| row.kind == *kind));
        for (kind, pointer) in fields {
            let row = table::row(kind);
            let mut document = row.document(&place);
            let value = document.pointer_mut(pointer).unwrap();
            *value = json!(
                value.as_str().unwrap().replace("/base", "/not-yet").replace("workspaces/not-yet", "workspaces/base")
            );
            match kind {
                Kind::RoleAssignment => *value = json!("not-yet"),
                // The address of the table's document is reserved by what every test may name.
                Kind::Nic => document["spec"]["addresses"] = json!(["0.0.0.0"]),
                _ => {}
            }
            let path = client.item(kind, &place, "late");
            let answer = client.put(&path, &document).await;
            if !reading.late {
                answer.refused_at(reading.violation(), pointer.trim_end_matches("/resource"));
                continue;
            }
            answer.expect(201);
            let active = client.active(&path, 3).await;
            let message = active["status"]["conditions"][0]["message"].as_str().unwrap_or_default();
            assert!(message.contains("not-yet"), "{path}: the message does not name what is missing: {active}");
            client.remove(&path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_as_route_targets_and_workspaces_of_scopes_are_always_late() {
    let stack = stack().await;
    for reading in PROFILES.into_iter().chain(LATE) {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        let later = json!({"resource": "instances/not-yet"});
        let route = json!({"destinationCidrBlock": "192.168.7.0/24", "targetRef": later});
        let mut jobs = vec![(Kind::RouteTable, json!({"spec": {"routes": [route]}}))];
        if table::served().any(|row| row.kind == Kind::RoleAssignment) {
            let scopes = json!([{"workspaces": ["not-yet"]}]);
            jobs.push((Kind::RoleAssignment, json!({"spec": {"subs": ["*"], "scopes": scopes, "roles": ["base"]}})));
        }
        for (kind, document) in jobs {
            let path = client.item(kind, &place, "later");
            client.put(&path, &document).await.expect(201);
            client.active(&path, 3).await;
            client.remove(&path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_is_told_and_one_that_returns_is_found() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = client.workspace("targets").await;
        let kinds = [Kind::Network, Kind::InternetGateway, Kind::RouteTable];
        client.make(&place, kinds.map(table::row)).await;
        let (table, gateway) = (client.item(kinds[2], &place, BASE), client.item(kinds[1], &place, BASE));
        client.active(&table, 3).await;
        let message =
            |resource: &Value| resource["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
        let reason =
            |resource: &Value| resource["status"]["conditions"][0]["reason"].as_str().unwrap_or_default().to_owned();
        client.remove(&gateway).await;
        let told = until("the route table tells it", PATIENCE, async || {
            let now = client.get(&table).await.expect(200);
            (reason(&now) == "DependencyMissing").then_some(now)
        })
        .await;
        assert!(message(&told).contains("internet-gateways/base"), "{told}");
        assert_eq!(told["status"]["conditions"].as_array().unwrap().len(), 3, "{told}");
        client.make(&place, [table::row(kinds[1])]).await;
        until("the route table recovers", PATIENCE, async || {
            let now = client.get(&table).await.expect(200);
            (reason(&now) != "DependencyMissing" && now["status"]["state"] == "active").then_some(())
        })
        .await;
        for kind in [kinds[2], kinds[1], kinds[0]] {
            client.remove(&client.item(kind, &place, BASE)).await;
        }
        client.remove(&client.item(Kind::Workspace, &place, "targets")).await;
    }
}

#[test]
fn the_table_names_something_in_every_kind_that_has_references() {
    let place = Place::base("t");
    let with = |scope: Scope| table::TABLE.iter().filter(move |row| row.kind.scope() == scope);
    let mut found = Vec::new();
    with(Scope::Workspace)
        .chain(with(Scope::Network))
        .for_each(|row| references(&row.document(&place), "", &mut found));
    assert!(found.len() >= 15, "{found:?}");
}
