//! References: every spelling means the same resource, and what cannot be understood says why.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use proptest::prelude::*;
use seca_api::{Kind, Reference, ReferenceError, ResourceKey, Scope, Target, reference::print};
use serde_json::json;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?){0,2}",
        Just("tenants".into()),
        Just("skus".into())
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL.to_vec())
}

fn key() -> impl Strategy<Value = ResourceKey> {
    (kind(), name(), name(), name(), name(), name()).prop_map(|(kind, tenant, region, workspace, network, name)| {
        let has = |there: bool, text: String| if there { text } else { String::new() };
        let scope = kind.scope();
        ResourceKey {
            tenant: has(scope != Scope::Global, tenant),
            region: has(!matches!(scope, Scope::Global | Scope::GlobalTenant), region),
            kind,
            workspace: has(matches!(scope, Scope::Workspace | Scope::Network), workspace),
            network: has(scope == Scope::Network, network),
            name,
        }
    })
}

/// Every spelling of a key, seen from a resource at another place.
fn spellings(key: &ResourceKey) -> Vec<Reference> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let full = Reference {
        region: some(&key.region),
        provider: Some(key.kind.provider().id().to_owned()),
        tenant: some(&key.tenant),
        workspace: some(&key.workspace),
        resource: key.resource(),
    };
    let region_only = Reference { region: some(&key.region), ..Reference::default() };
    let urn = print(key);
    let below_provider = urn.split('/').skip(2).collect::<Vec<_>>().join("/");
    let mut all = vec![
        Reference { resource: urn.clone(), ..full.clone() },
        Reference { resource: urn, ..region_only.clone() },
        Reference { resource: below_provider.clone(), ..region_only.clone() },
        Reference { resource: below_provider, provider: Some(key.kind.provider().name().to_owned()), ..region_only },
        full.clone(),
    ];
    if !key.workspace.is_empty() {
        let path = format!("workspaces/{}/{}", key.workspace, key.resource());
        all.push(Reference { workspace: None, resource: path, ..full.clone() });
    }
    if key.network.is_empty() {
        all.push(Reference { resource: key.name.clone(), ..full });
    }
    all
}

/// The spellings that suffice in the same place.
fn short_spellings(key: &ResourceKey) -> Vec<String> {
    vec![key.name.clone(), format!("{}/{}", key.kind.collection(), key.name), key.resource(), key.urn()]
}

proptest! {
    #[test]
    fn every_spelling_means_the_resource(key in key(), from in key()) {
        for reference in spellings(&key) {
            prop_assert_eq!(reference.resolve(&from, &[key.kind]), Ok(Target::Resource(key.clone())), "{:?}", reference);
            let read: Reference = serde_json::from_value(serde_json::to_value(&reference).unwrap()).unwrap();
            prop_assert_eq!(read, reference);
        }
    }

    #[test]
    fn a_referrer_in_the_same_place_gives_what_is_left_out(key in key(), other in name()) {
        let from = ResourceKey { name: other, ..key.clone() };
        for resource in short_spellings(&key) {
            let reference = Reference::new(resource);
            prop_assert_eq!(reference.resolve(&from, &[key.kind]), Ok(Target::Resource(key.clone())), "{:?}", reference);
        }
    }

    #[test]
    fn nothing_panics_and_whatever_resolves_prints_and_resolves_again(text in ".{0,40}", from in key(), kind in kind()) {
        if let Ok(Target::Resource(key)) = Reference::new(text).resolve(&from, &[kind])
            && (key.network.is_empty() != (kind.scope() == Scope::Network))
        {
            prop_assert_eq!(Reference::to(&key).resolve(&from, &[kind]), Ok(Target::Resource(key.clone())));
        }
    }
}

fn instance() -> ResourceKey {
    ResourceKey {
        tenant: "t".into(),
        region: "fsn1".into(),
        kind: Kind::Instance,
        workspace: "w".into(),
        network: String::new(),
        name: "web".into(),
    }
}

fn urn(target: Result<Target, ReferenceError>) -> String {
    match target {
        Ok(Target::Resource(key)) => key.urn(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn spellings_that_clients_use() {
    use Kind::{
        BlockStorage, Image, Instance, InstanceSku, InternetGateway, NetworkSku, Nic, RouteTable, StorageSku, Subnet,
    };
    let from = instance();
    let table: [(&str, &[Kind], &str); 16] = [
        ("skus/seca.d2xs", &[InstanceSku], "seca.compute/v1/tenants/t/skus/seca.d2xs"),
        ("seca.d2xs", &[InstanceSku], "seca.compute/v1/tenants/t/skus/seca.d2xs"),
        ("instance-skus/seca.d2xs", &[InstanceSku], "seca.compute/v1/tenants/t/skus/seca.d2xs"),
        ("network-skus/n", &[NetworkSku], "seca.network/v1/tenants/t/skus/n"),
        ("tenants/seca/storage-skus/seca.rd500", &[StorageSku], "seca.storage/v1/tenants/seca/skus/seca.rd500"),
        ("seca.storage/v1/tenants/t/storage-skus/v", &[StorageSku], "seca.storage/v1/tenants/t/skus/v"),
        ("tenants/seca/skus/seca.rd500", &[StorageSku], "seca.storage/v1/tenants/seca/skus/seca.rd500"),
        ("seca.storage/v1/tenants/public/images/ubuntu", &[Image], "seca.storage/v1/tenants/public/images/ubuntu"),
        ("block-storages/d", &[BlockStorage], "seca.storage/v1/tenants/t/workspaces/w/block-storages/d"),
        ("workspaces/x/nics/n", &[Nic], "seca.network/v1/tenants/t/workspaces/x/nics/n"),
        ("networks/n/subnets/s", &[Subnet], "seca.network/v1/tenants/t/workspaces/w/networks/n/subnets/s"),
        ("subnets/s", &[Subnet], "seca.network/v1/tenants/t/workspaces/w/networks//subnets/s"),
        (
            "internet-gateways/g",
            &[Instance, InternetGateway],
            "seca.network/v1/tenants/t/workspaces/w/internet-gateways/g",
        ),
        (
            "workspaces/x/route-tables/r",
            &[RouteTable],
            "seca.network/v1/tenants/t/workspaces/x/networks//route-tables/r",
        ),
        ("10.0.0.1", &[Instance, InternetGateway], "Address(\"10.0.0.1\")"),
        ("", &[InstanceSku], "Unset"),
    ];
    for (resource, targets, expect) in table {
        assert_eq!(urn(Reference::new(resource).resolve_or_address(&from, targets)), expect, "{resource}");
    }
}

#[test]
fn a_subnet_gives_its_route_table_the_network() {
    let subnet = ResourceKey { kind: Kind::Subnet, network: "n".into(), name: "s".into(), ..instance() };
    for resource in ["r", "route-tables/r", "networks/n/route-tables/r"] {
        let expect = "seca.network/v1/tenants/t/workspaces/w/networks/n/route-tables/r";
        assert_eq!(urn(Reference::new(resource).resolve(&subnet, &[Kind::RouteTable])), expect);
    }
}

#[test]
fn what_cannot_be_understood_says_what_helps() {
    let from = instance();
    let check = |reference: serde_json::Value, targets: &[Kind], expect: &str| {
        let reference = Reference::from_value(&reference).unwrap();
        assert_eq!(urn(reference.resolve(&from, targets)), expect);
    };
    let gateways = [Kind::Instance, Kind::InternetGateway];
    check(
        json!("images/x"),
        &[Kind::BlockStorage],
        "`images/x` must name a block storage; write it as `block-storages/<name>`",
    );
    check(
        json!("seca.compute/v1/tenants/t/skus/x"),
        &[Kind::StorageSku],
        "`seca.compute/v1/tenants/t/skus/x` must name a storage SKU; write it as `skus/<name>`",
    );
    check(
        json!("storage-skus/x"),
        &[Kind::InstanceSku],
        "`storage-skus/x` must name an instance SKU; write it as `skus/<name>`",
    );
    check(
        json!("gw"),
        &gateways,
        "`gw` is a bare name, but this may be an instance or an internet gateway; write it as `instances/<name>` or \
         `internet-gateways/<name>`",
    );
    check(
        json!({"tenant": "a", "resource": "tenants/b/skus/x"}),
        &[Kind::InstanceSku],
        "tenant is `a`, but `resource` says `b`; leave one of them out",
    );
    check(
        json!({"provider": "seca.storage/v1", "resource": "seca.compute/v1/tenants/t/skus/x"}),
        &[Kind::InstanceSku],
        "provider is `seca.storage/v1`, but `resource` says `seca.compute/v1`; leave one of them out",
    );
    check(
        json!({"provider": "aws", "resource": "skus/x"}),
        &[Kind::InstanceSku],
        "provider `aws` does not exist; write it like `seca.compute/v1`, or leave it out",
    );
    check(
        json!({"workspace": "x", "resource": "images/i"}),
        &[Kind::Image],
        "an image lives in no workspace, but the reference names workspace `x`; leave it out",
    );
    check(
        json!("networks/n/instances/i"),
        &[Kind::Instance],
        "an instance lives in no network, but the reference names network `n`; leave it out",
    );
    check(
        json!("instances/UPPER"),
        &[Kind::Instance],
        "the name `UPPER` in the reference is not a valid name; correct it",
    );
    let wrong = "must name an instance; write it as `instances/<name>`";
    for resource in ["/", "instances/", "instances/a/b", "/instances/a", "tenants/t", "10.0.0.0/8", "instances"] {
        let said = urn(Reference::new(resource).resolve(&from, &[Kind::Instance]));
        // `instances` is a bare name like any other.
        assert!(said.ends_with(wrong) || resource == "instances", "{resource}: {said}");
    }
    let violation =
        Reference::new("images/x").resolve(&from, &[Kind::Nic]).unwrap_err().violation("/spec/primaryNicRef");
    assert_eq!(violation.rule, "primaryNicRef: `images/x` must name a NIC; write it as `nics/<name>`");
    assert_eq!((violation.pointer.as_str(), violation.parameter.as_str()), ("/spec/primaryNicRef", "primaryNicRef"));
}

#[test]
fn a_reference_is_read_from_a_text_or_an_object() {
    assert_eq!(Reference::from_value(&json!("a")), Some(Reference::new("a")));
    let object = json!({"resource": "a", "tenant": null, "region": "", "ref": "b"});
    assert_eq!(Reference::from_value(&object), Some(Reference::new("a")));
    for bad in [json!(1), json!(null), json!(["a"]), json!({"resource": 1}), json!({"tenant": {}, "resource": "a"})] {
        assert_eq!(Reference::from_value(&bad), None, "{bad}");
        assert!(serde_json::from_value::<Reference>(bad).is_err());
    }
    assert!(serde_json::from_str::<Reference>("{}").unwrap().is_unset());
}
