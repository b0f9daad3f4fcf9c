//! The wire: one resource of each scope, and documents as Go clients write them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use insta::assert_json_snapshot;
use seca_api::{
    BlockStorage, BlockStorageSpec, Boot, Cidr, Draft, Image, Initializer, Instance, InstanceSkuSpec, InternetGateway,
    Kind, List, ListMetadata, Metadata, Modification, Network, PowerState, Reference, Region, ResourceKey,
    ResourceState, RouteTable, Subnet, Timestamp, Workspace, metadata,
};
use serde_json::json;

fn key(kind: Kind) -> ResourceKey {
    ResourceKey {
        tenant: "acme".into(),
        region: "fsn1".into(),
        kind,
        workspace: "shop".into(),
        network: "main".into(),
        name: "x".into(),
    }
}

fn times() -> Option<Modification> {
    Some(Modification {
        created_at: Timestamp::from_millis(1_000),
        last_modified_at: Timestamp::from_millis(2_500),
        deleted_at: None,
        resource_version: 2,
    })
}

fn render(key: &ResourceKey, verb: &str, times: Option<Modification>) -> Metadata {
    let mut text = String::new();
    metadata::write(&mut text, key, verb, times);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn metadata_of_each_scope() {
    assert_json_snapshot!(render(&key(Kind::Region), "GET", times()), @r#"
    {
      "name": "x",
      "provider": "seca.region/v1",
      "resource": "regions/x",
      "verb": "GET",
      "createdAt": "1970-01-01T00:00:01.000Z",
      "lastModifiedAt": "1970-01-01T00:00:02.500Z",
      "resourceVersion": 2,
      "apiVersion": "v1",
      "kind": "region",
      "ref": "seca.region/v1/regions/x"
    }
    "#);
    assert_json_snapshot!(render(&key(Kind::Role), "PUT", times()), @r#"
    {
      "name": "x",
      "provider": "seca.authorization/v1",
      "resource": "roles/x",
      "verb": "PUT",
      "createdAt": "1970-01-01T00:00:01.000Z",
      "lastModifiedAt": "1970-01-01T00:00:02.500Z",
      "resourceVersion": 2,
      "apiVersion": "v1",
      "kind": "role",
      "ref": "seca.authorization/v1/tenants/acme/roles/x",
      "tenant": "acme"
    }
    "#);
    assert_json_snapshot!(render(&key(Kind::Workspace), "PUT", times()), @r#"
    {
      "name": "x",
      "provider": "seca.workspace/v1",
      "resource": "workspaces/x",
      "verb": "PUT",
      "createdAt": "1970-01-01T00:00:01.000Z",
      "lastModifiedAt": "1970-01-01T00:00:02.500Z",
      "resourceVersion": 2,
      "apiVersion": "v1",
      "kind": "workspace",
      "ref": "seca.workspace/v1/tenants/acme/workspaces/x",
      "tenant": "acme",
      "region": "fsn1"
    }
    "#);
    assert_json_snapshot!(render(&key(Kind::InstanceSku), "GET", None), @r#"
    {
      "name": "x",
      "provider": "seca.compute/v1",
      "resource": "skus/x",
      "verb": "GET",
      "apiVersion": "v1",
      "kind": "instance-sku",
      "ref": "seca.compute/v1/tenants/acme/skus/x",
      "tenant": "acme",
      "region": "fsn1"
    }
    "#);
    let deleted = times().map(|t| Modification { deleted_at: Some(Timestamp::from_millis(3_000)), ..t });
    assert_json_snapshot!(render(&key(Kind::Instance), "GET", deleted), @r#"
    {
      "name": "x",
      "provider": "seca.compute/v1",
      "resource": "instances/x",
      "verb": "GET",
      "createdAt": "1970-01-01T00:00:01.000Z",
      "deletedAt": "1970-01-01T00:00:03.000Z",
      "lastModifiedAt": "1970-01-01T00:00:02.500Z",
      "resourceVersion": 2,
      "apiVersion": "v1",
      "kind": "instance",
      "ref": "seca.compute/v1/tenants/acme/workspaces/shop/instances/x",
      "tenant": "acme",
      "workspace": "shop",
      "region": "fsn1"
    }
    "#);
    assert_json_snapshot!(render(&key(Kind::RouteTable), "GET", times()), @r#"
    {
      "name": "x",
      "provider": "seca.network/v1",
      "resource": "networks/main/route-tables/x",
      "verb": "GET",
      "createdAt": "1970-01-01T00:00:01.000Z",
      "lastModifiedAt": "1970-01-01T00:00:02.500Z",
      "resourceVersion": 2,
      "apiVersion": "v1",
      "kind": "routing-table",
      "ref": "seca.network/v1/tenants/acme/workspaces/shop/networks/main/route-tables/x",
      "tenant": "acme",
      "workspace": "shop",
      "network": "main",
      "region": "fsn1"
    }
    "#);
}

#[test]
fn a_list_page() {
    let spec = InstanceSkuSpec { vcpu: 2, ram: 4 };
    let page = json!({
        "items": [{"labels": {"tier": "DS"}, "metadata": render(&key(Kind::InstanceSku), "GET", None), "spec": spec}],
        "metadata": ListMetadata::new(Kind::InstanceSku, "", Some("abc".into())),
    });
    let read: List<seca_api::InstanceSku> = serde_json::from_value(page.clone()).unwrap();
    assert_eq!(read.items[0].spec, InstanceSkuSpec { vcpu: 2, ram: 4 });
    assert_eq!(read.metadata.skip_token.as_deref(), Some("abc"));
    assert_eq!(serde_json::to_value(read).unwrap(), page);
    let empty: List<Workspace> = serde_json::from_str(r#"{"items":null}"#).unwrap();
    assert!(empty.items.is_empty());
}

#[test]
fn what_go_writes_for_nothing_is_read_as_nothing() {
    let workspace: Workspace = serde_json::from_str(
        r#"{"labels":null,"metadata":{"kind":"","createdAt":"0001-01-01T00:00:00Z"},"spec":null,"status":{"conditions":null}}"#,
    )
    .unwrap();
    assert!(workspace.spec.0.is_empty());
    assert_eq!(workspace.state(), None);

    let instance: Instance = serde_json::from_str(
        r#"{"spec":{"skuRef":"skus/a","zone":"z","primaryNicRef":{"resource":""},"sshKeys":null,"userData":"",
            "bootVolume":{"deviceRef":{"resource":"b"},"type":""}},"status":{"conditions":null,"powerState":""}}"#,
    )
    .unwrap();
    assert_eq!(instance.spec.sku_ref, Reference::new("skus/a"));
    assert_eq!((instance.spec.primary_nic_ref, instance.spec.user_data), (None, None));
    assert_eq!(instance.status.unwrap().power_state, PowerState::Off);

    let subnet: Subnet = serde_json::from_str(
        r#"{"spec":{"cidr":{"ipv4":"10.0.0.0/24","ipv6":""},"zone":"","routeTableRef":{"resource":""}},"status":{"cidr":{},"conditions":null}}"#,
    )
    .unwrap();
    assert_eq!((&subnet.spec.zone, &subnet.spec.route_table_ref), (&None, &None));
    assert_eq!(subnet.spec.cidr, Cidr::v4("10.0.0.0/24"));
    assert_eq!(subnet.spec.cidr.ipv4_net().unwrap().prefix_len(), 24);

    let image: Image =
        serde_json::from_str(r#"{"spec":{"blockStorageRef":{"resource":"b"},"cpuArchitecture":"arm64","boot":null}}"#)
            .unwrap();
    assert_eq!((image.spec.boot, image.spec.initializer), (Boot::Uefi, Initializer::None));

    let gateway: InternetGateway = serde_json::from_str(r#"{"spec":{"egressOnly":null}}"#).unwrap();
    assert!(!gateway.spec.egress_only);
}

#[test]
fn what_servers_answer_is_read() {
    let disk: BlockStorage = serde_json::from_value(json!({
        "metadata": render(&key(Kind::BlockStorage), "GET", times()),
        "spec": {"skuRef": {"resource": "skus/a"}, "sizeGB": 20},
        "status": {"state": "active", "sizeGB": 20, "attachedTo": {"resource": "instances/i"}, "later": {"x": 1.5}, "conditions": [
            {"state": "active", "lastTransitionAt": "2026-11-23T12:00:00.001Z", "reason": "Ready", "type": "x"},
            {"state": "pending", "lastTransitionAt": "2026-11-23T12:00:00Z"},
        ]},
    }))
    .unwrap();
    assert_eq!(disk.state(), Some(ResourceState::Active));
    assert_eq!(disk.newest_condition().unwrap().reason.as_deref(), Some("Ready"));
    assert_eq!(disk.metadata.kind(), Some(Kind::BlockStorage));
    assert_eq!(disk.status.unwrap().attached_to, Some(Reference::new("instances/i")));

    let network: Network = serde_json::from_value(json!({
        "spec": {"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": {"resource": "skus/n"}},
        "status": {"state": "creating", "cidr": {"ipv4": "10.0.0.0/16"}, "conditions": []},
    }))
    .unwrap();
    assert_eq!(network.status.unwrap().cidr, network.spec.cidr);

    let table: RouteTable = serde_json::from_value(json!({
        "spec": {"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": {"resource": "internet-gateways/g"}}]},
        "status": {"state": "active", "conditions": [], "routes": [{"state": "active", "conditions": []}]},
    }))
    .unwrap();
    assert_eq!(table.status.unwrap().routes[0].state, Some(ResourceState::Active));

    let region: Region = serde_json::from_value(json!({
        "metadata": {"name": "fsn1"},
        "spec": {"availableZones": ["a"], "providers": [{"name": "seca.compute", "version": "v1", "url": "http://h/p"}]},
    }))
    .unwrap();
    assert_eq!((region.state(), region.spec.providers[0].version.as_str()), (None, "v1"));
}

#[test]
fn a_draft_says_only_what_was_said() {
    let spec = BlockStorageSpec { sku_ref: Reference::new("skus/a"), size_gb: 10, source_image_ref: None };
    assert_json_snapshot!(Draft::new(spec).label("env", "dev"), @r#"
    {
      "labels": {
        "env": "dev"
      },
      "spec": {
        "skuRef": {
          "resource": "skus/a"
        },
        "sizeGB": 10
      }
    }
    "#);
}
