//! What instances and NICs may name: NICs, volumes, addresses, processors.

use super::*;

/// Where a document breaks rules, and how.
async fn told(world: &World, kind: Kind, name: &str, body: Value) -> Vec<(String, String)> {
    let found = world.violations(kind, name, body).await;
    found.into_iter().map(|violation| (violation.pointer, violation.rule)).collect()
}

/// The one violation of a document.
async fn only(world: &World, kind: Kind, name: &str, body: Value, pointer: &str, words: &str) {
    let found = told(world, kind, name, body.clone()).await;
    let is_it = matches!(found.as_slice(), [(at, rule)] if at == pointer && rule.contains(words));
    assert!(is_it, "{body}: not `{words}` at {pointer} but {found:#?}");
}

fn set(member: &str, value: Value) -> Value {
    with(instance(), &format!("/spec/{member}"), value)
}

fn disks(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"deviceRef": {"resource": format!("block-storages/{name}")}})).collect()
}

fn nics(primary: &str, additional: &[&str]) -> Value {
    let to = |name: &str| json!({"resource": format!("nics/{name}")});
    let rest: Vec<_> = additional.iter().map(|name| to(name)).collect();
    with(set("primaryNicRef", to(primary)), "/spec/additionalNicRefs", json!(rest))
}

fn nic(subnet: &str, addresses: &[&str]) -> Value {
    json!({"spec": {"addresses": addresses, "subnetRef": {"resource": subnet}}})
}

/// What an earlier release took: it goes past all rules.
async fn stored(world: &World, key: &ResourceKey, spec: Value) {
    let put = Put::create(key.clone(), world.ids.uid(), spec["spec"].to_string(), world.clock.now());
    assert!(matches!(world.store.put(put).await.unwrap(), PutOutcome::Created(_)));
}

/// Networks `net` (subnets a, b), `n2`, `n3`, `n4` (subnet a each), with a NIC in each subnet.
async fn networks(world: &World) {
    for (network_name, block) in [("n2", "10.2"), ("n3", "10.3"), ("n4", "10.4")] {
        world.create(Kind::Network, network_name, network(&format!("{block}.0.0/16"))).await;
    }
    for (network, subnet_name, block) in [
        ("net", "a", "10.0.1"),
        ("net", "b", "10.0.2"),
        ("n2", "a", "10.2.1"),
        ("n3", "a", "10.3.1"),
        ("n4", "a", "10.4.1"),
    ] {
        let place = ResourceKey { network: network.into(), ..key(Kind::Subnet, subnet_name) };
        world.put(&place, subnet(&format!("{block}.0/24"))).await.unwrap();
        let body = nic(&format!("networks/{network}/subnets/{subnet_name}"), &["0.0.0.0"]);
        world.create(Kind::Nic, &format!("{network}-{subnet_name}"), body).await;
    }
    world.create(Kind::Nic, "net-a2", nic("networks/net/subnets/a", &["0.0.0.0"; 3])).await;
    world.create(Kind::Nic, "net-a3", nic("networks/net/subnets/a", &["0.0.0.0", "10.0.1.9", "10.0.1.10"])).await;
}

#[tokio::test]
async fn nics_of_an_instance() {
    let world = world().await;
    networks(&world).await;
    let cases = [
        (nics("net-a", &["net-a"]), 0, "additionalNicRefs[0] names NIC net-a like primaryNicRef does"),
        (nics("net-a", &["n2-a", "n2-a"]), 1, "names NIC n2-a like additionalNicRefs[0] does"),
        (
            nics("net-a", &["n2-a", "net-b"]),
            1,
            "names NIC net-b in subnet b, but NIC net-a is in subnet a of the same network net",
        ),
        (
            nics("net-a", &["n2-a", "n3-a", "n4-a"]),
            2,
            "in network n4, and with it the NICs are in 4 networks (net, n2, n3, n4)",
        ),
        (
            nics("net-a", &["net-a2", "net-a3"]),
            1,
            "in network net have 7 IPv4 addresses, but Hetzner Cloud gives a server at most 6",
        ),
    ];
    for (body, index, words) in cases {
        only(&world, Kind::Instance, "x", body, &format!("/spec/additionalNicRefs/{index}"), words).await;
    }
    world.create(Kind::Instance, "i", nics("net-a", &["net-a2", "n2-a", "n3-a"])).await;
    world.create(Kind::Instance, "j", nics("net-a2", &["n3-a", "net-a3"])).await;
}

#[tokio::test]
async fn a_subnet_without_its_network_is_the_one_that_the_nic_published() {
    let world = world().await;
    networks(&world).await;
    // There is one subnet `b`, so that the short spelling means it.
    world.create(Kind::Nic, "short", nic("subnets/b", &["0.0.0.0"])).await;
    let body = nics("net-a", &["short"]);
    world.create(Kind::Instance, "before", body.clone()).await;
    let subnet = key(Kind::Subnet, "b");
    for spelling in [subnet.urn(), subnet.resource()] {
        let attachment = json!({"networkId": "7", "subnet": spelling, "addresses": ["10.0.2.2"]});
        world.commit(&key(Kind::Nic, "short"), Verdict::Working, json!({"attachment": attachment})).await;
        let words = "names NIC short in subnet b, but NIC net-a is in subnet a of the same network net";
        only(&world, Kind::Instance, "x", body.clone(), "/spec/additionalNicRefs/0", words).await;
    }
    // What it published of another subnet counts no more.
    let attachment = json!({"networkId": "7", "subnet": "networks/net/subnets/a", "addresses": ["10.0.1.2"]});
    world.commit(&key(Kind::Nic, "short"), Verdict::Working, json!({"attachment": attachment})).await;
    world.create(Kind::Instance, "after", body).await;
}

#[tokio::test]
async fn only_the_nics_that_a_put_adds_are_judged() {
    let world = world().await;
    networks(&world).await;
    let own = key(Kind::Instance, "i");
    world.create(Kind::Instance, "i", nics("net-a", &["n2-a", "n3-a"])).await;
    // The order is no addition.
    world.put(&own, nics("n3-a", &["net-a", "n2-a"])).await.unwrap();
    // A NIC that moved since makes it four networks, and two subnets of one, and still other things can change.
    world.put(&key(Kind::Nic, "n2-a"), nic("networks/net/subnets/b", &["0.0.0.0"])).await.unwrap();
    world.put(&own, with(nics("n3-a", &["net-a", "n2-a"]), "/labels", json!({"a": "b"}))).await.unwrap();
    world.put(&own, nics("n3-a", &["net-a", "n2-a", "n4-a"])).await.unwrap();
    // What is added to it is judged.
    let body = nics("n3-a", &["net-a", "n2-a", "n4-a", "net-b"]);
    only(&world, Kind::Instance, "i", body, "/spec/additionalNicRefs/3", "net-a is in subnet a of the same network")
        .await;
    // The violation names the NIC that was added, even if it stands first.
    let body = nics("net-a2", &["net-b", "net-a2"]);
    let found = told(&world, Kind::Instance, "x", body).await;
    assert_eq!(found.len(), 2, "{found:?}");
    world.create(Kind::Instance, "k", nics("net-b", &[])).await;
    let body = nics("net-a2", &["net-b"]);
    only(&world, Kind::Instance, "k", body, "/spec/primaryNicRef", "but NIC net-b is in subnet b").await;
}

#[tokio::test]
async fn data_volumes() {
    let world = world().await;
    for name in ["data", "more", "imaged", "system", "kept"] {
        let image = if name == "imaged" { json!("images/ubuntu-24.04") } else { json!(null) };
        world.create(Kind::BlockStorage, name, with(volume(20), "/spec/sourceImageRef", image)).await;
    }
    world
        .commit(&key(Kind::BlockStorage, "system"), Verdict::Working, json!({"backing": "none", "everStarted": true}))
        .await;
    world.commit(&key(Kind::BlockStorage, "kept"), Verdict::Working, json!({"backing": "server"})).await;
    let cases = [
        (&["data", "more", "data"][..], 2, "names block storage data, like dataVolumes[0] does"),
        (&["data", "disk"], 1, "names block storage disk, which the instance boots from"),
        (&["imaged"], 0, "which is made from an image"),
        (&["system"], 0, "which is the system disk of an instance"),
        (&["data", "kept"], 1, "which is the system disk of an instance"),
    ];
    for (names, index, words) in cases {
        let pointer = format!("/spec/dataVolumes/{index}/deviceRef");
        only(&world, Kind::Instance, "x", set("dataVolumes", disks(names)), &pointer, words).await;
    }
    let own = key(Kind::Instance, "i");
    world.create(Kind::Instance, "i", set("dataVolumes", disks(&["data", "more"]))).await;
    world.put(&own, set("dataVolumes", disks(&["more", "data"]))).await.unwrap();
    let boot = json!({"deviceRef": {"resource": "block-storages/data"}});
    let body = with(set("dataVolumes", disks(&["more", "data"])), "/spec/bootVolume", boot);
    only(&world, Kind::Instance, "i", body, "/spec/dataVolumes/1/deviceRef", "boots from").await;
    // It became one only after it was named.
    world.commit(&key(Kind::BlockStorage, "data"), Verdict::Working, json!({"everStarted": true})).await;
    world.put(&own, set("dataVolumes", disks(&["data", "more"]))).await.unwrap();
}

#[tokio::test]
async fn at_most_sixteen_data_volumes() {
    let world = world().await;
    let names: Vec<String> = (0..18).map(|n| format!("data-{n}")).collect();
    for name in &names {
        world.create(Kind::BlockStorage, name, volume(20)).await;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let body = |count: usize| set("dataVolumes", disks(&names[..count]));
    only(
        &world,
        Kind::Instance,
        "x",
        body(17),
        "/spec/dataVolumes",
        "names 17 volumes, but Hetzner Cloud attaches at most 16",
    )
    .await;
    world.create(Kind::Instance, "i", body(16)).await;
    let old = key(Kind::Instance, "old");
    stored(&world, &old, body(17)).await;
    world.put(&old, with(body(17), "/labels", json!({"a": "b"}))).await.unwrap();
    only(&world, Kind::Instance, "old", body(18), "/spec/dataVolumes", "names 18 volumes").await;
    world.put(&old, body(16)).await.unwrap();
}

#[tokio::test]
async fn image_and_sku_are_for_the_same_processors() {
    let world = world().await;
    for (name, image) in
        [("amd", "images/ubuntu-24.04"), ("arm", "seca.storage/v1/tenants/public/images/ubuntu-24.04-arm64")]
    {
        world.create(Kind::BlockStorage, name, with(volume(20), "/spec/sourceImageRef", json!(image))).await;
    }
    let body = |disk: &str, sku: &str| {
        let boot = json!({"deviceRef": {"resource": format!("block-storages/{disk}")}});
        with(set("skuRef", json!(format!("skus/{sku}"))), "/spec/bootVolume", boot)
    };
    let boot = "/spec/bootVolume/deviceRef";
    let words = "block storage arm with image ubuntu-24.04-arm64 for arm64, but SKU cx23 has amd64 processors";
    only(&world, Kind::Instance, "x", body("arm", "cx23"), boot, words).await;
    only(&world, Kind::Instance, "x", body("amd", "cax11"), boot, "for amd64, but SKU cax11 has arm64").await;
    for (name, disk, sku) in [("i", "amd", "cx23"), ("j", "arm", "cax11"), ("k", "disk", "cax11")] {
        world.create(Kind::Instance, name, body(disk, sku)).await;
    }
    only(&world, Kind::Instance, "i", body("arm", "cx23"), boot, "processors").await;
    let old = key(Kind::Instance, "old");
    stored(&world, &old, body("arm", "cx23")).await;
    world.put(&old, with(body("arm", "cx23"), "/labels", json!({"a": "b"}))).await.unwrap();
}

#[tokio::test]
async fn what_the_image_of_a_user_is_for_is_told_by_its_block_storage() {
    let world = world().await;
    let image = json!({"spec": {"blockStorageRef": "workspaces/w/block-storages/disk", "cpuArchitecture": "arm64"}});
    world.create(Kind::Image, "mine", image).await;
    world.create(Kind::BlockStorage, "copy", with(volume(20), "/spec/sourceImageRef", json!("images/mine"))).await;
    let boot = json!({"deviceRef": {"resource": "block-storages/copy"}});
    let body = with(instance(), "/spec/bootVolume", boot);
    world.create(Kind::Instance, "not-known-yet", body.clone()).await;
    for (origin, is_refused) in [
        (json!({"blank": {"architecture": "arm64"}}), true),
        (json!({"system": "ubuntu-24.04-arm64"}), true),
        (json!({"blank": {"architecture": "amd64"}}), false),
        (json!({"blank": {"architecture": null}}), false),
        (json!({"system": "ubuntu-24.04"}), false),
        (json!({"snapshot": {"id": 7, "project": "p"}}), false),
    ] {
        let facts = |of: &str| json!({"origin": origin, "originOf": of});
        world.commit(&key(Kind::BlockStorage, "copy"), Verdict::Working, facts("images/mine")).await;
        if is_refused {
            let words = "with image mine for arm64, but SKU cx23 has amd64 processors";
            only(&world, Kind::Instance, "x", body.clone(), "/spec/bootVolume/deviceRef", words).await;
        } else {
            let name = format!("i{}", origin.to_string().len());
            world.create(Kind::Instance, &name, body.clone()).await;
        }
        // What another image passed on says nothing of this one.
        world.commit(&key(Kind::BlockStorage, "copy"), Verdict::Working, facts("images/former")).await;
        world.put(&key(Kind::Instance, "later"), body.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_nic_asks_for_twice_or_too_often() {
    let world = world().await;
    world.create(Kind::Subnet, "s", subnet("10.0.0.0/24")).await;
    for name in ["four", "six"] {
        let version = if name == "four" { "IPv4" } else { "IPv6" };
        world.create(Kind::PublicIp, name, json!({"spec": {"version": version}})).await;
    }
    let at = |addresses: &[&str]| nic("subnets/s", addresses);
    let public = |names: &[&str]| with(at(&["0.0.0.0"]), "/spec/publicIpRefs", json!(names));
    let cases = [
        (at(&["10.0.0.5", "0.0.0.0", "10.0.0.5"]), "/spec/addresses/2", "addresses[2] is 10.0.0.5 like addresses[0]"),
        (at(&["fd00::5", "fd00:0::5", "0.0.0.0"]), "/spec/addresses/1", "is fd00::5 like addresses[0]"),
        (at(&["0.0.0.0"; 7]), "/spec/addresses", "asks for 7 IPv4 addresses"),
        (
            public(&["public-ips/four", "public-ips/six", "workspaces/w/public-ips/four"]),
            "/spec/publicIpRefs/2",
            "publicIpRefs[2] names public IP four like publicIpRefs[0]",
        ),
    ];
    for (body, pointer, words) in cases {
        only(&world, Kind::Nic, "x", body, pointer, words).await;
    }
    world
        .create(Kind::Nic, "n", at(&["0.0.0.0", "0.0.0.0", "::", "::", "0.0.0.0", "10.0.0.9", "0.0.0.0", "0.0.0.0"]))
        .await;
    let own = key(Kind::Nic, "old");
    let body = with(at(&["0.0.0.0"; 8]), "/spec/publicIpRefs", json!(["public-ips/four", "public-ips/four"]));
    stored(&world, &own, body.clone()).await;
    world.put(&own, with(body.clone(), "/labels", json!({"a": "b"}))).await.unwrap();
    let fewer = with(
        body,
        "/spec/addresses",
        json!(["0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0"]),
    );
    world.put(&own, fewer).await.unwrap();
}
