//! The rules, one line each: where a document breaks one, and what the answer says.

use super::*;

/// Every violation of one document.
async fn check(world: &World, kind: Kind, body: Value, expect: &[(&str, &str)]) {
    let found = world.violations(kind, "x", body.clone()).await;
    let told: Vec<_> = found.iter().map(|v| format!("{}: {}", v.pointer, v.rule)).collect();
    assert_eq!(found.len(), expect.len(), "{kind} {body}: {told:#?}");
    for (pointer, words) in expect {
        let hit = found.iter().any(|v| v.pointer == *pointer && v.rule.contains(words));
        assert!(hit, "{kind} {body}: `{words}` at {pointer} is not among {told:#?}");
    }
}

#[tokio::test]
async fn what_all_kinds_have_in_common() {
    let world = world().await;
    let gateway = json!({"spec": {}});
    let cases = [
        (with(gateway.clone(), "/labels", json!({"a/b": "x".repeat(64)})), "/labels/a~1b", "at most 63"),
        (with(gateway.clone(), "/annotations", json!({"a": "x".repeat(1025)})), "/annotations/a", "at most 1024"),
        (with(gateway.clone(), "/labels", json!({"a": "\u{0}"})), "/labels/a", "U+0000"),
        (with(gateway.clone(), "/labels", json!(["a"])), "/labels", "must be an object"),
        (
            with(gateway.clone(), "/metadata", json!({"region": "nowhere"})),
            "/metadata/region",
            "use one of nbg1, fsn1, hel1",
        ),
        (
            with(gateway.clone(), "/metadata", json!({"region": "hel1"})),
            "/metadata/region",
            "send the request to https://api.example.com/regions/hel1/providers/seca.network",
        ),
        (json!({"spec": "none"}), "/spec", "must be an object"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::InternetGateway, body, &[(pointer, words)]).await;
    }
    for (kind, name) in [
        (Kind::InternetGateway, "a".repeat(129)),
        (Kind::InternetGateway, "Upper".to_owned()),
        (Kind::InternetGateway, "a\u{0}b".to_owned()),
        (Kind::InternetGateway, "a/b".to_owned()),
        (Kind::Workspace, "a".repeat(65)),
        (Kind::Network, "a".repeat(65)),
    ] {
        let body = if kind == Kind::Network { network("10.1.0.0/16") } else { gateway.clone() };
        let found = world.violations(kind, &name, body).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].pointer, "/metadata/name");
    }
}

#[tokio::test]
async fn the_region_of_the_url_must_be_served() {
    let world = world().await;
    let there = ResourceKey { region: "nowhere".into(), ..key(Kind::Workspace, "v") };
    match world.put(&there, json!({})).await {
        Err(Refusal::Violations { violations, .. }) => assert_eq!(violations[0].parameter, "region"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn block_storages() {
    let world = world().await;
    let set = |member: &str, value: Value| with(volume(20), &format!("/spec/{member}"), value);
    let cases = [
        (set("sizeGB", json!(0)), "/spec/sizeGB", "from 1 to 1000000"),
        (set("sizeGB", json!(-1)), "/spec/sizeGB", "from 1 to 1000000"),
        (set("sizeGB", json!(10_241)), "/spec/sizeGB", "at most 10240 without a source image"),
        (set("sizeGB", json!(null)), "/spec/sizeGB", "is missing"),
        (set("skuRef", json!(null)), "/spec/skuRef", "is missing"),
        (set("skuRef", json!({"resource": ""})), "/spec/skuRef", "is missing"),
        (set("skuRef", json!("skus/none")), "/spec/skuRef", "region fsn1 has no such storage SKU"),
        (set("skuRef", json!("images/none")), "/spec/skuRef", "must name a storage SKU"),
        (
            set("skuRef", json!({"tenant": "other", "resource": "skus/hcloud-volume"})),
            "/spec/skuRef",
            "in tenant `other`, but it must be in tenant `t`",
        ),
        (
            set("skuRef", json!({"region": "hel1", "resource": "skus/hcloud-volume"})),
            "/spec/skuRef",
            "in region `hel1`, but it must be in region `fsn1`",
        ),
        (set("sourceImageRef", json!("images/none")), "/spec/sourceImageRef", "region fsn1 has no such image"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::BlockStorage, body, &[(pointer, words)]).await;
    }
}

#[tokio::test]
async fn instances() {
    let world = world().await;
    world.create(Kind::BlockStorage, "big", volume(41)).await;
    let set = |member: &str, value: Value| with(instance(), &format!("/spec/{member}"), value);
    let boot = |resource: &str| json!({"deviceRef": {"resource": resource}});
    let cases = [
        (set("zone", json!("")), "/spec/zone", "is missing"),
        (set("zone", json!("z")), "/spec/zone", "must be a zone of region fsn1, but is `z`; use fsn1"),
        (set("skuRef", json!("skus/none")), "/spec/skuRef", "no such instance SKU"),
        (set("bootVolume", json!(null)), "/spec/bootVolume", "is missing"),
        (set("bootVolume", boot("block-storages/none")), "/spec/bootVolume/deviceRef", "create it first"),
        (set("bootVolume", boot("workspaces/v/block-storages/disk")), "/spec/bootVolume/deviceRef", "in workspace `v`"),
        (set("bootVolume", boot("block-storages/big")), "/spec/bootVolume/deviceRef", "the disk of SKU cx23 has 40 GB"),
        (set("userData", json!("x".repeat(65_537))), "/spec/userData", "at most 65536"),
        (set("primaryNicRef", json!("nics/a")), "/spec/primaryNicRef", "no such NIC"),
        (set("additionalNicRefs", json!(["nics/a"])), "/spec/additionalNicRefs/0", "no such NIC"),
        (set("securityGroupRef", json!("security-groups/a")), "/spec/securityGroupRef", "no such security group"),
        (set("sshKeys", json!([""])), "/spec/sshKeys/0", "1 to 4096"),
        (set("dataVolumes", json!([boot("block-storages/none")])), "/spec/dataVolumes/0/deviceRef", "create it first"),
        (set("antiAffinityGroup", json!("x".repeat(65))), "/spec/antiAffinityGroup", "at most 64"),
        (
            with(instance(), "/extensions", json!({"hetzner.cloud/start-after-create": "yes"})),
            "/extensions/hetzner.cloud~1start-after-create",
            "\"true\" or \"false\"",
        ),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::Instance, body, &[(pointer, words)]).await;
    }
    let unset = json!({"primaryNicRef": {"resource": ""}, "additionalNicRefs": [], "sshKeys": null, "dataVolumes": [],
        "antiAffinityGroup": "", "securityGroupRef": {}});
    let mut body = instance();
    body["spec"].as_object_mut().unwrap().extend(members(&unset));
    world.create(Kind::Instance, "unset", body).await;
    let named = set("dataVolumes", json!([boot("block-storages/big")]));
    world.create(Kind::Instance, "accepted", with(named, "/spec/sshKeys", json!(["key-of-ann"]))).await;
}

#[tokio::test]
async fn an_anti_affinity_group_has_at_most_ten_instances() {
    let world = world().await;
    let body = with(instance(), "/spec/antiAffinityGroup", json!("apart"));
    for name in 0..10 {
        world.create(Kind::Instance, &format!("i{name}"), body.clone()).await;
    }
    check(&world, Kind::Instance, body.clone(), &[("/spec/antiAffinityGroup", "has 10 instances already")]).await;
    world.put(&key(Kind::Instance, "i0"), body.clone()).await.unwrap();
    world.create(Kind::Instance, "elsewhere", with(instance(), "/spec/antiAffinityGroup", json!("other"))).await;
    world.delete(&key(Kind::Instance, "i0")).await.unwrap();
    world.create(Kind::Instance, "x", body).await;
}

#[tokio::test]
async fn nics() {
    let world = world().await;
    world.create(Kind::Subnet, "s", subnet("10.0.0.0/24")).await;
    let nic =
        |addresses: Value, subnet: &str| json!({"spec": {"addresses": addresses, "subnetRef": {"resource": subnet}}});
    let cases = [
        (nic(json!([]), "subnets/s"), "/spec/addresses", "1 to 32"),
        (nic(json!(["x"]), "subnets/s"), "/spec/addresses/0", "addresses[0] must be an address like 10.0.0.1"),
        (nic(json!(["10.0.1.1"]), "subnets/s"), "/spec/addresses/0", "is not in 10.0.0.0/24"),
        (nic(json!(["10.0.0.5", "10.0.0.255"]), "subnets/s"), "/spec/addresses/1", "the first or the last one"),
        (nic(json!(["10.0.0.1"]), "subnets/s"), "/spec/addresses/0", "the network's own gateway"),
        (nic(json!(["10.0.0.5"]), "networks/net/subnets/none"), "/spec/subnetRef", "no such subnet"),
        (nic(json!(["10.0.0.5"]), "subnets/none"), "/spec/subnetRef", "has none or several subnets of that name"),
        (
            with(nic(json!(["0.0.0.0"]), "subnets/s"), "/spec/publicIpRefs", json!(["public-ips/none"])),
            "/spec/publicIpRefs/0",
            "no such public IP",
        ),
        (
            with(nic(json!(["0.0.0.0"]), "subnets/s"), "/spec/securityGroupRefs", json!(["none"])),
            "/spec/securityGroupRefs/0",
            "no such security group",
        ),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::Nic, body, &[(pointer, words)]).await;
    }
    world.create(Kind::Network, "wide", network("172.16.0.0/12")).await;
    let wide = ResourceKey { network: "wide".into(), ..key(Kind::Subnet, "w") };
    world.put(&wide, subnet("172.31.0.0/16")).await.unwrap();
    let body = nic(json!(["172.31.1.1"]), "networks/wide/subnets/w");
    check(&world, Kind::Nic, body, &[("/spec/addresses/0", "is Hetzner's router for the public interfaces")]).await;
    world.create(Kind::Nic, "n", nic(json!(["0.0.0.0", "10.0.0.9"]), "subnets/s")).await;
    // The same name in a second network makes the short spelling ambiguous.
    world.create(Kind::Network, "second", network("10.0.0.0/16")).await;
    let there = ResourceKey { network: "second".into(), ..key(Kind::Subnet, "s") };
    world.put(&there, subnet("10.0.9.0/24")).await.unwrap();
    let body = nic(json!(["0.0.0.0"]), "subnets/s");
    check(&world, Kind::Nic, body, &[("/spec/subnetRef", "none or several")]).await;
}

#[tokio::test]
async fn public_ips_and_security_groups() {
    let world = world().await;
    let ip = |version: &str, address: &str| json!({"spec": {"version": version, "address": address}});
    check(&world, Kind::PublicIp, ip("IPv4", "fd00::1"), &[("/spec/address", "must be an IPv4 address")]).await;
    check(&world, Kind::PublicIp, ip("IPv5", ""), &[("/spec/version", "one of `IPv4`, `IPv6`")]).await;
    let rule = |more: Value| {
        let mut spec = json!({"direction": "ingress"});
        spec.as_object_mut().unwrap().extend(members(&more));
        spec
    };
    let cases = [
        (rule(json!({"ports": {}})), "/ports", "at least one of"),
        (rule(json!({"ports": {"from": 2, "to": 1}})), "/ports/from", "must begin before they end"),
        (rule(json!({"version": "IPv6", "sourceRef": ["10.0.0.0/8"]})), "/sourceRef/0", "version is IPv6"),
        (rule(json!({"sourceRef": ["security-groups/none"]})), "/sourceRef/0", "no such security group"),
    ];
    for (spec, pointer, words) in cases {
        let alone = format!("/spec{pointer}");
        check(&world, Kind::SecurityGroupRule, json!({"spec": spec}), &[(&alone, words)]).await;
        let inside = format!("/spec/rules/1{pointer}");
        let group = json!({"spec": {"rules": [{"direction": "egress"}, spec]}});
        check(&world, Kind::SecurityGroup, group, &[(&inside, words)]).await;
    }
    let group = json!({"spec": {"ruleRefs": ["security-group-rules/none"]}});
    check(&world, Kind::SecurityGroup, group, &[("/spec/ruleRefs/0", "no such security group rule")]).await;
    world
        .create(
            Kind::SecurityGroup,
            "own",
            json!({"spec": {"rules": [rule(json!({"sourceRef": ["security-groups/own"]}))]}}),
        )
        .await;
}

#[tokio::test]
async fn roles_and_role_assignments() {
    let world = world().await;
    let role = |provider: &str, verb: &str| json!({"spec": {"permissions": [{"provider": provider, "resources": ["*"], "verb": [verb]}]}});
    let cases = [
        (role("seca.dns/v1", "get"), "/spec/permissions/0/provider", "seca.compute/v1"),
        (role("seca.compute/v1", "CONNECT"), "/spec/permissions/0/verb/0", "post allows all actions"),
        (role("seca.compute/v1", ""), "/spec/permissions/0/verb/0", "1 to 7"),
        (json!({"spec": {"permissions": []}}), "/spec/permissions", "1 to 256"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::Role, body, &[(pointer, words)]).await;
    }
    let found = world.violations(Kind::Role, "seca.mine", role("seca.compute", "GET")).await;
    assert!(found[0].rule.contains("only system roles do"), "{found:?}");
    world.create(Kind::Role, "reader", role("seca.compute", "GET")).await;

    let assign = |roles: Value, scope: Value| json!({"spec": {"subs": ["ann"], "scopes": [scope], "roles": roles}});
    let cases = [
        (assign(json!(["none"]), json!({})), "/spec/roles/0", "no such role"),
        (assign(json!([]), json!({})), "/spec/roles", "1 to 32"),
        (assign(json!(["reader"]), json!({"tenants": ["nobody"]})), "/spec/scopes/0/tenants/0", "no such tenant"),
        (assign(json!(["reader"]), json!({"regions": ["nowhere"]})), "/spec/scopes/0/regions/0", "no such region"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::RoleAssignment, body, &[(pointer, words)]).await;
    }
    let scope = json!({"tenants": ["*"], "workspaces": ["made-later"]});
    world.create(Kind::RoleAssignment, "x", assign(json!(["reader", "seca.admin"]), scope)).await;
}

#[tokio::test]
async fn images() {
    let world = world().await;
    let image = |source: &str| json!({"spec": {"blockStorageRef": source, "cpuArchitecture": "amd64"}});
    let cases = [
        (image("workspaces/w/block-storages/none"), "/spec/blockStorageRef", "no such block storage"),
        (image("block-storages/disk"), "/spec/blockStorageRef", "without a workspace, which an image does not"),
        (with(image("workspaces/w/block-storages/disk"), "/spec/boot", json!("PXE")), "/spec/boot", "`UEFI`, `BIOS`"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::Image, body, &[(pointer, words)]).await;
    }
    world.create(Kind::Image, "x", image("workspaces/w/block-storages/disk")).await;
}

#[tokio::test]
async fn networks() {
    let world = world().await;
    let set = |cidr: Value| with(network("10.1.0.0/16"), "/spec/cidr", cidr);
    let cases = [
        (set(json!({})), "/spec/cidr", "set at least one of ipv4, ipv6"),
        (set(json!({"ipv6": "fd00::/56"})), "/spec/cidr/ipv4", "IPv6 alone cannot be had"),
        (network("8.8.0.0/16"), "/spec/cidr/ipv4", "RFC 1918"),
        (network("10.0.0.0/7"), "/spec/cidr/ipv4", "RFC 1918"),
        (network("172.0.0.0/12"), "/spec/cidr/ipv4", "RFC 1918"),
        (network("10.1.0.0/25"), "/spec/cidr/ipv4", "must be a /24 or larger"),
        (network("10.1.0.5/16"), "/spec/cidr/ipv4", "the block is 10.1.0.0/16"),
        (network("0.0.0.0/16"), "/spec/cidr/ipv4", "not supported yet"),
        (network("1.0/8"), "/spec/cidr/ipv4", "9 to 18"),
        (network("not-a-cidr"), "/spec/cidr/ipv4", "an IPv4 block"),
        (with(network("10.1.0.0/16"), "/spec/skuRef", json!("x")), "/spec/skuRef", "no such network SKU"),
    ];
    for (body, pointer, words) in cases {
        let found = world.violations(Kind::Network, "x", body.clone()).await;
        let hit = found.iter().any(|v| v.pointer == pointer && v.rule.contains(words));
        assert!(hit, "{body}: {found:?}");
    }
    world.create(Kind::Network, "same-block-again", network("10.0.0.0/16")).await;
    let body = with(network("192.168.0.0/24"), "/spec/additionalCidrs", json!([{"ipv4": "10.9.0.0/16"}]));
    let answer = world.create(Kind::Network, "more", body.clone()).await;
    assert_eq!(answer["status"]["additionalCidrs"], body["spec"]["additionalCidrs"]);
    assert_eq!(answer["status"]["cidr"], body["spec"]["cidr"]);
}

#[tokio::test]
async fn the_boot_volume_of_an_existing_server_stays() {
    let world = world().await;
    let (disk, own) = (key(Kind::BlockStorage, "disk"), key(Kind::Instance, "i"));
    for name in ["other", "third"] {
        world.create(Kind::BlockStorage, name, volume(20)).await;
    }
    let boot = |name: &str| with(instance(), "/spec/bootVolume/deviceRef", json!(name));
    // Nothing was booted yet: it may change its mind.
    world.create(Kind::Instance, "i", boot("block-storages/third")).await;
    world.put(&own, boot("block-storages/disk")).await.unwrap();
    world.claim(&disk, &own).await;
    let found = world.violations(Kind::Instance, "i", boot("block-storages/other")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].pointer, "/spec/bootVolume/deviceRef");
    for words in ["storage other", "boots from disk", "not supported yet", "keep disk"] {
        assert!(found[0].rule.contains(words), "{found:?}");
    }
    // Another spelling is no change, and neither is a change of something else.
    for name in ["disk", "workspaces/w/block-storages/disk"] {
        world.put(&own, with(boot(name), "/labels", json!({"a": name.len().to_string()}))).await.unwrap();
    }
}

#[tokio::test]
async fn a_network_in_use_can_only_grow() {
    let world = world().await;
    let key = key(Kind::Network, "net");
    world.put(&key, network("10.4.0.0/16")).await.unwrap();
    world.put(&key, network("10.0.0.0/20")).await.unwrap();
    world.create(Kind::Subnet, "a", subnet("10.0.1.0/24")).await;
    for block in ["10.4.0.0/16", "10.0.0.0/21"] {
        let found = world.violations(Kind::Network, "net", network(block)).await;
        assert!(found[0].rule.contains("in use (by networks/net/subnets/a)"), "{found:?}");
    }
    world.put(&key, network("10.0.0.0/16")).await.unwrap();
}

#[tokio::test]
async fn subnets() {
    let world = world().await;
    world.create(Kind::Network, "net2", network("10.2.0.0/16")).await;
    let set = |member: &str, value: Value| with(subnet("10.0.1.0/24"), &format!("/spec/{member}"), value);
    let cases = [
        (subnet("192.168.99.0/24"), "/spec/cidr/ipv4", "must lie within 10.0.0.0/16, the block of network net"),
        (subnet("10.0.0.0/15"), "/spec/cidr/ipv4", "must lie within"),
        (subnet("10.0.1.0/31"), "/spec/cidr/ipv4", "/30 or larger"),
        (subnet("10.0.1.1/24"), "/spec/cidr/ipv4", "the block is 10.0.1.0/24"),
        (set("cidr", json!(null)), "/spec/cidr", "is missing"),
        (set("cidr", json!({"ipv6": "fd00::/64"})), "/spec/cidr/ipv4", "IPv6 alone"),
        (set("zone", json!("z".repeat(32))), "/spec/zone", "must be a zone"),
        (set("routeTableRef", json!("route-tables/none")), "/spec/routeTableRef", "create it first"),
        (
            set("routeTableRef", json!("networks/net2/route-tables/none")),
            "/spec/routeTableRef",
            "in network `net2`, but it must be in network `net`",
        ),
        (set("skuRef", json!("none")), "/spec/skuRef", "no such network SKU"),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::Subnet, body, &[(pointer, words)]).await;
    }
    for name in ["a", "same-block-again"] {
        let unset = with(with(subnet("10.0.1.0/24"), "/spec/zone", json!("")), "/spec/routeTableRef", json!(null));
        let answer = world.create(Kind::Subnet, name, unset.clone()).await;
        assert_eq!(answer["spec"], unset["spec"]);
        assert_eq!(answer["status"].get("routeTableRef"), None);
    }
}

#[tokio::test]
async fn route_tables() {
    let world = world().await;
    world.create(Kind::InternetGateway, "gw", json!({"spec": {}})).await;
    world.create(Kind::InternetGateway, "gw2", json!({})).await;
    let gw = "internet-gateways/gw";
    let cases = [
        (json!({"spec": {}}), "/spec/routes", "is missing"),
        (table(&[]), "/spec/routes", "1 to 1000"),
        (table(&[("not-a-cidr", gw)]), "/spec/routes/0/destinationCidrBlock", "a block like"),
        (table(&[("0.0.0.0/0", "internet-gateways/none")]), "/spec/routes/0/targetRef", "create it first"),
        (
            table(&[("0.0.0.0/0", "subnets/none")]),
            "/spec/routes/0/targetRef",
            "must name an internet gateway or an instance or a NIC",
        ),
        (table(&[("0.0.0.0/0", "gw")]), "/spec/routes/0/targetRef", "is a bare name"),
        (table(&[("0.0.0.0/0", "")]), "/spec/routes/0/targetRef", "is missing"),
        (table(&[("0.0.0.0/0", "10.0.0.0/24")]), "/spec/routes/0/targetRef", "is a block"),
        (
            table(&[("10.9.0.0/16", "10.0.0.1"), ("10.9.1.2/16", "10.0.0.2")]),
            "/spec/routes/1/targetRef",
            "route 0 of this table already sends 10.9.0.0/16 to another target",
        ),
    ];
    for (body, pointer, words) in cases {
        check(&world, Kind::RouteTable, body, &[(pointer, words)]).await;
    }
    let all = [("0.0.0.0/0", gw), ("10.9.0.0/16", "instances/later"), ("10.8.0.0/16", "10.0.0.2"), ("::/0", gw)];
    world.create(Kind::RouteTable, "all", table(&all)).await;
    let urn = "seca.network/v1/tenants/t/workspaces/w/internet-gateways/gw";
    world.create(Kind::RouteTable, "agrees", table(&[("0.0.0.0/0", urn), ("0.0.0.0/0", gw)])).await;
    check(
        &world,
        Kind::RouteTable,
        table(&[("0.0.0.0/0", "internet-gateways/gw2")]),
        &[("/spec/routes/0/targetRef", "route table ")],
    )
    .await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let world = world().await;
    let body = json!({
        "labels": {"a": 1},
        "metadata": {"region": "nowhere"},
        "spec": {"skuRef": "none", "zone": "z", "sshKeys": [""], "bootVolume": {"deviceRef": "none", "type": "scsi"}},
    });
    let expect = [
        ("/labels/a", "must be a text"),
        ("/metadata/region", "does not exist"),
        ("/spec/skuRef", "no such"),
        ("/spec/zone", "must be a zone"),
        ("/spec/sshKeys/0", "1 to 4096"),
        ("/spec/bootVolume/deviceRef", "create it first"),
        ("/spec/bootVolume/type", "virtio"),
    ];
    check(&world, Kind::Instance, body, &expect).await;
    assert!(world.store.get(&key(Kind::Instance, "x")).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_immutable_stays_but_its_spelling_may_change() {
    let world = world().await;
    world.create(Kind::Instance, "i", instance()).await;
    for resource in ["skus/cx23", "cx23", "tenants/seca/skus/cx23", "seca.compute/v1/tenants/public/skus/cx23"] {
        let body = with(instance(), "/spec/skuRef", json!({"resource": resource}));
        world.put(&key(Kind::Instance, "i"), body).await.unwrap_or_else(|refusal| panic!("{resource}: {refusal:?}"));
    }
    let body = with(with(instance(), "/spec/skuRef", json!("cx33")), "/spec/zone", json!("other"));
    let found = world.violations(Kind::Instance, "i", body).await;
    let rules: Vec<_> = found.iter().map(|v| v.rule.as_str()).collect();
    assert!(
        rules.iter().any(|r| r.starts_with("skuRef is immutable and is \"seca.compute/v1/tenants/public/skus/cx23\"")),
        "{rules:?}"
    );
    assert!(rules.iter().any(|r| r.starts_with("zone is immutable and is \"fsn1\"")), "{rules:?}");

    let shrunk = world.violations(Kind::BlockStorage, "disk", volume(19)).await;
    assert!(shrunk[0].rule.contains("cannot be decreased, but would go from 20 to 19"), "{shrunk:?}");
    world.put(&key(Kind::BlockStorage, "disk"), volume(50)).await.unwrap();
    // The volume outgrew the SKU's disk, which is no reason to refuse a change of labels.
    world.put(&key(Kind::Instance, "i"), with(instance(), "/labels", json!({"a": "b"}))).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_a_system_was_on_needs_a_sku_that_takes_it() {
    let world = world().await;
    let left = key(Kind::BlockStorage, "left");
    world.create(Kind::BlockStorage, "left", volume(20)).await;
    let body = with(instance(), "/spec/bootVolume/deviceRef", json!("block-storages/left"));
    // Whatever keeps it, it boots again.
    for backing in ["server", "snapshot"] {
        world.commit(&left, Verdict::Working, json!({"backing": backing, "diskGb": 20})).await;
        world.put(&key(Kind::Instance, backing), body.clone()).await.unwrap();
    }
    for (facts, rule) in
        [(json!({"diskGb": 4_000}), "4000 GB"), (json!({"diskGb": 20, "architecture": "arm64"}), "arm64")]
    {
        world.commit(&left, Verdict::Working, facts).await;
        let found = world.violations(Kind::Instance, "does-not-fit", body.clone()).await;
        assert_eq!(found[0].pointer, "/spec/bootVolume/deviceRef");
        assert!(found[0].rule.contains(rule), "{found:?}");
    }
}
