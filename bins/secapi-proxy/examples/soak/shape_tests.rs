//! Each thing that a server has too much or too little of is found.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::model::Key;

fn row(kind: Kind, name: &str, spec: Value, status: Value) -> Row {
    Row {
        key: Key { kind, workspace: "red".to_owned(), network: String::new(), name: name.to_owned() },
        uid: format!("uid-{name}"),
        state: Some(ResourceState::Active),
        reason: String::new(),
        message: String::new(),
        spec,
        status,
        facts: Value::Null,
    }
}

fn object(kind: &'static str, id: i64, of: &str, json: Value) -> Object {
    let labels = BTreeMap::from([("seca.uid".to_owned(), format!("uid-{of}"))]);
    Object { project: "alpha".to_owned(), kind, id, name: of.to_owned(), labels, json }
}

fn to(collection: &str, name: &str) -> Value {
    json!({"resource": format!("{collection}/{name}")})
}

fn rows() -> Vec<Row> {
    let nic = json!({
        "subnetRef": {"resource": "networks/net/subnets/sub"}, "publicIpRefs": [to("public-ips", "ip")],
        "securityGroupRefs": [to("security-groups", "group")],
    });
    let vm = json!({"primaryNicRef": to("nics", "nic"), "dataVolumes": [{"deviceRef": to("block-storages", "data")}]});
    vec![
        row(Kind::Network, "net", json!({}), json!({})),
        row(Kind::SecurityGroup, "group", json!({}), json!({})),
        row(Kind::PublicIp, "ip", json!({}), json!({})),
        row(Kind::BlockStorage, "data", json!({}), json!({})),
        row(Kind::Nic, "nic", nic, json!({"addresses": ["10.0.1.2"]})),
        row(Kind::Instance, "vm", vm, json!({})),
    ]
}

fn objects() -> Vec<Object> {
    let server = json!({
        "volumes": [3], "private_net": [{"network": 2, "ip": "10.0.1.2", "alias_ips": []}],
        "public_net": {"firewalls": [{"id": 5, "status": "applied"}]},
    });
    vec![
        object("servers", 1, "vm", server),
        object("networks", 2, "net", json!({})),
        object("volumes", 3, "data", json!({})),
        object("primary_ips", 4, "ip", json!({"assignee_id": 1})),
        object("firewalls", 5, "group", json!({})),
    ]
}

fn wrong(rows: &[Row], objects: &[Object]) -> Vec<String> {
    let (wanted, lives, destroyed) = Default::default();
    let scene = Scene {
        rows,
        objects,
        open: &[],
        wanted: &wanted,
        lives: &lives,
        destroyed: &destroyed,
        foreign: &[],
        bound: &[],
    };
    of_instance(&scene, &rows[5], &objects[0])
}

#[test]
fn a_server_that_has_exactly_what_its_instance_names_is_right() {
    assert_eq!(wrong(&rows(), &objects()), [] as [String; 0]);
}

#[test]
fn what_a_server_lacks_or_has_too_much_is_found() {
    type Spoil = fn(&mut Vec<Row>, &mut Vec<Object>);
    let cases: [(&str, Spoil); 6] = [
        ("has not volumes 3", |_, objects| objects[0].json["volumes"] = json!([])),
        ("which it does not name", |rows, _| rows[5].spec["dataVolumes"] = json!([])),
        ("has not the address 10.0.1.2", |_, objects| objects[0].json["private_net"] = json!([])),
        ("does not lead to", |_, objects| objects[3].json["assignee_id"] = json!(9)),
        ("instead of {\"uid-group\"}", |_, objects| objects[0].json["public_net"]["firewalls"] = json!([])),
        ("stand the firewalls of", |_, objects| {
            objects.push(object("firewalls", 6, "other", json!({})));
            objects[0].json["public_net"]["firewalls"] = json!([{"id": 5}, {"id": 6}]);
        }),
    ];
    for (told, spoil) in cases {
        let (mut rows, mut objects) = (rows(), objects());
        spoil(&mut rows, &mut objects);
        let wrong = wrong(&rows, &objects);
        assert!(wrong.iter().any(|why| why.contains(told)), "{told}: {wrong:?}");
    }
}

#[test]
fn what_is_not_settled_is_not_judged() {
    let (mut rows, mut objects) = (rows(), objects());
    rows[4].reason = "AddressInUse".to_owned();
    objects[0].json["private_net"] = json!([]);
    objects[3].json["assignee_id"] = json!(9);
    assert_eq!(wrong(&rows, &objects), [] as [String; 0]);
}
