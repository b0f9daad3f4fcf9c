//! What each specification accepts, and what is said of what it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use seca_api::{
    Kind, check, immutable_fields, normalize,
    schema::{USER_METADATA, references},
    spec_schema,
};
use serde_json::{Value, json};

fn broken(kind: Kind, spec: Value) -> Vec<String> {
    let schema = spec_schema(kind).unwrap();
    let normalized = normalize(schema, spec).value;
    check(schema, &normalized, "/spec").into_iter().map(|v| v.pointer).collect()
}

fn says(kind: Kind, spec: Value) -> Vec<String> {
    let schema = spec_schema(kind).unwrap();
    check(schema, &normalize(schema, spec).value, "/spec").into_iter().map(|v| v.rule).collect()
}

fn with(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut spec = base.clone();
    for (name, value) in changes {
        spec[*name] = value.clone();
    }
    spec
}

fn instance() -> Value {
    json!({"skuRef": "skus/a", "zone": "fsn1-a", "bootVolume": {"deviceRef": {"resource": "block-storages/b"}}})
}

#[test]
fn specifications_that_clients_send_are_accepted() {
    let table = [
        (Kind::Workspace, json!(null)),
        (Kind::Workspace, json!({"anything": [1, {"x": true}]})),
        (Kind::InternetGateway, json!({})),
        (Kind::InternetGateway, json!({"egressOnly": false})),
        (
            Kind::BlockStorage,
            json!({"skuRef": {"resource": "skus/a"}, "sizeGB": 1000000, "sourceImageRef": {"resource": ""}}),
        ),
        (
            Kind::Image,
            json!({"blockStorageRef": "b", "cpuArchitecture": "arm64", "boot": "", "initializer": "cloudinit-22"}),
        ),
        (Kind::Instance, instance()),
        (
            Kind::Instance,
            with(
                &instance(),
                &[
                    ("userData", json!("x".repeat(65536))),
                    ("sshKeys", json!(vec!["k"; 32])),
                    ("dataVolumes", json!(null)),
                ],
            ),
        ),
        (Kind::Network, json!({"cidr": {"ipv4": "0.0.0.0/16", "ipv6": ""}, "skuRef": "s", "additionalCidrs": []})),
        (Kind::Network, json!({"cidr": {"ipv6": "::/56"}, "skuRef": "s"})),
        (Kind::Subnet, json!({"cidr": {"ipv4": "10.0.0.1/24"}, "zone": "", "routeTableRef": {"resource": ""}})),
        (Kind::RouteTable, json!({"routes": [{"destinationCidrBlock": "::/0", "targetRef": "10.0.0.1"}]})),
    ];
    for (kind, spec) in table {
        assert_eq!(says(kind, spec.clone()), [""; 0], "{kind} {spec}");
    }
}

#[test]
fn every_broken_rule_is_named_at_once() {
    let spec = json!({
        "skuRef": {"resource": "r".repeat(257), "tenant": "t".repeat(65)},
        "zone": "z".repeat(33),
        "sshKeys": ["", "k".repeat(4097), 7],
        "additionalNicRefs": [{"resource": ""}, null, "nics/a"],
        "bootVolume": {"type": "scsi"},
        "dataVolumes": [{"deviceRef": {"resource": ""}, "type": ""}],
        "userData": false,
    });
    let expect = [
        "/spec/skuRef/tenant",
        "/spec/skuRef/resource",
        "/spec/additionalNicRefs/0/resource",
        "/spec/additionalNicRefs/1",
        "/spec/zone",
        "/spec/userData",
        "/spec/sshKeys/0",
        "/spec/sshKeys/1",
        "/spec/sshKeys/2",
        "/spec/bootVolume/deviceRef",
        "/spec/bootVolume/type",
        "/spec/dataVolumes/0/deviceRef",
    ];
    assert_eq!(broken(Kind::Instance, spec), expect);
}

#[test]
fn one_value_out_of_bounds_is_one_violation() {
    let storage = json!({"skuRef": "s", "sizeGB": 10});
    for size in ["0", "-1", "1000001", "10.0", "1e1", "99999999999999999999", "\"10\"", "true", "\"\"", "null", "{}"] {
        let spec = with(&storage, &[("sizeGB", serde_json::from_str(size).unwrap())]);
        assert_eq!(broken(Kind::BlockStorage, spec), ["/spec/sizeGB"], "{size}");
    }
    let network = json!({"skuRef": "s", "cidr": {"ipv4": "10.0.0.0/16"}});
    let blocks = [
        "10.0.0.0",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "010.0.0.0/8",
        "not-a-cidr",
        "fd00::/56",
        "10.0.0.0/16 ",
        "10.0.0/24",
        "10.0.0.0/+8",
    ];
    for block in blocks {
        let spec = with(&network, &[("cidr", json!({"ipv4": block}))]);
        assert_eq!(broken(Kind::Network, spec)[0], "/spec/cidr/ipv4", "{block}");
    }
    for block in ["::/129", "::", "10.0.0.0/16", "::ffff:1.2.3.4/96", "fe80::%eth0/64"] {
        let spec = with(&network, &[("cidr", json!({"ipv6": block}))]);
        assert_eq!(broken(Kind::Network, spec)[0], "/spec/cidr/ipv6", "{block}");
    }
    for cidr in [json!({}), json!({"ipv4": ""}), json!({"ipv4": null, "ipv6": ""})] {
        assert_eq!(broken(Kind::Network, with(&network, &[("cidr", cidr)])), ["/spec/cidr"]);
    }
    assert_eq!(
        broken(Kind::Network, with(&network, &[("additionalCidrs", json!(vec![json!({"ipv4": "10.1.0.0/16"}); 33]))])),
        ["/spec/additionalCidrs"]
    );
    let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"});
    for routes in [json!([]), json!(vec![route.clone(); 1001]), json!(null), json!("x")] {
        assert_eq!(broken(Kind::RouteTable, json!({"routes": routes})), ["/spec/routes"]);
    }
    let route = with(&route, &[("destinationCidrBlock", json!("1.2.3.4"))]);
    assert_eq!(broken(Kind::RouteTable, json!({"routes": [route]})), ["/spec/routes/0/destinationCidrBlock"]);
}

#[test]
fn what_is_missing_is_named_even_in_an_empty_document() {
    assert_eq!(broken(Kind::Instance, json!({})), ["/spec/skuRef", "/spec/zone", "/spec/bootVolume"]);
    assert_eq!(broken(Kind::Instance, with(&instance(), &[("zone", json!(""))])), ["/spec/zone"]);
    assert_eq!(broken(Kind::Subnet, json!({})), ["/spec/cidr"]);
    assert_eq!(broken(Kind::BlockStorage, json!({"skuRef": {"resource": ""}, "sizeGB": 1})), ["/spec/skuRef"]);
    for wrong in [json!([]), json!("x"), json!(1)] {
        assert_eq!(broken(Kind::Workspace, wrong), ["/spec"]);
    }
    let unset_but_long =
        json!({"skuRef": "s", "sizeGB": 1, "sourceImageRef": {"resource": "", "tenant": "t".repeat(65)}});
    assert_eq!(broken(Kind::BlockStorage, unset_but_long), ["/spec/sourceImageRef/tenant"]);
}

#[test]
fn sentences_name_the_thing_the_rule_and_the_remedy() {
    let check = |kind, spec, expect: &str| assert_eq!(says(kind, spec), [expect]);
    check(
        Kind::InternetGateway,
        json!({"egressOnly": "no"}),
        "egressOnly must be true or false, but is a text; send that instead",
    );
    check(
        Kind::Image,
        json!({"blockStorageRef": "b", "cpuArchitecture": "mips"}),
        "cpuArchitecture must be one of `amd64`, `arm64`, but is `mips`; pick one of them",
    );
    check(
        Kind::Instance,
        with(&instance(), &[("zone", json!("z".repeat(33)))]),
        "zone must be 1 to 32 characters long, but has 33; shorten it",
    );
    check(
        Kind::Network,
        json!({"cidr": {"ipv4": "10.0.0.0/99"}, "skuRef": "s"}),
        "ipv4 must be an IPv4 block like 10.0.0.0/16, but is `10.0.0.0/99`; correct it",
    );
    check(Kind::Network, json!({"cidr": {}, "skuRef": "s"}), "cidr is empty; set at least one of ipv4, ipv6");
}

#[test]
fn labels_annotations_and_extensions_have_limits_of_their_own() {
    let fine = json!({"labels": {"a": "", "b": "x".repeat(63)}, "annotations": {"c": "x".repeat(1024)}, "extensions": {"d": "x".repeat(5000)}});
    assert_eq!(check(&USER_METADATA, &fine, ""), []);
    let bad =
        json!({"labels": {"a/b": "x".repeat(64), "n": 1}, "annotations": {"c": "x".repeat(1025)}, "extensions": []});
    let pointers: Vec<_> = check(&USER_METADATA, &bad, "").into_iter().map(|v| v.pointer).collect();
    assert_eq!(pointers, ["/labels/a~1b", "/labels/n", "/annotations/c", "/extensions"]);
}

#[test]
fn references_are_found_where_they_stand() {
    let spec = with(
        &instance(),
        &[
            ("dataVolumes", json!([{"deviceRef": {"resource": "d"}}])),
            ("primaryNicRef", json!({"resource": ""})),
            ("additionalNicRefs", json!(["n"])),
        ],
    );
    let schema = spec_schema(Kind::Instance).unwrap();
    let spec = normalize(schema, spec).value;
    let found: Vec<_> = references(schema, &spec, "/spec").into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(
        found,
        ["/spec/skuRef", "/spec/bootVolume/deviceRef", "/spec/dataVolumes/0/deviceRef", "/spec/additionalNicRefs/0"]
    );
}

#[test]
fn only_the_zone_of_an_instance_is_immutable_as_text() {
    for kind in Kind::ALL {
        let expect: &[&str] = if kind == Kind::Instance { &["zone"] } else { &[] };
        assert_eq!(immutable_fields(kind).collect::<Vec<_>>(), expect);
    }
}
