//! A disk outlives its instances, whatever happens on the way: what was written to it is found in every next server.

use std::collections::BTreeMap;

use super::{walk::spec, *};

const TOKEN_OF_THE_GUEST: &str = "precious";

impl Product {
    /// The only server, by its id.
    async fn only_server(&self) -> i64 {
        let inventory = self.cloud.inventory().await;
        let servers = inventory["objects"]["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 1, "{servers:?}");
        servers[0]["id"].as_i64().unwrap()
    }

    /// Whether a guest finds on its disk what an earlier guest wrote.
    async fn finds_what_was_written(&self) -> bool {
        let path = format!("/_sim/servers/{}/content", self.only_server().await);
        let found = self.cloud.control(Method::GET, &path, &json!({})).await;
        found["content"]["tokens"].as_array().unwrap().iter().any(|token| token == TOKEN_OF_THE_GUEST)
    }

    /// An instance that boots from `v`, without waiting for anything.
    async fn boots(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut spec = json!({
            "skuRef": "skus/cx23", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/v"},
        });
        change(&mut spec);
        self.put(Kind::Instance, name, spec).await;
    }

    async fn starts(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.boots(name, change).await;
        self.is(Kind::Instance, name, ACTIVE).await;
        self.act(name, ActionKind::Start).await;
        self.is(Kind::Instance, name, ACTIVE).await;
    }

    async fn ends(&self, name: &str) {
        self.delete(Kind::Instance, name).await;
        self.gone(Kind::Instance, name).await;
    }

    /// One instance writes, one has the same server, one is made from a snapshot, and one from the snapshot of that.
    async fn heirs(&self) {
        self.ready().await;
        self.volume("v", SYSTEM).await;
        self.starts("first", |_| {}).await;
        let path = format!("/_sim/servers/{}/content", self.only_server().await);
        self.cloud.control(Method::POST, &path, &json!({"token": TOKEN_OF_THE_GUEST})).await;
        self.ends("first").await;
        self.starts("same", |_| {}).await;
        assert!(self.finds_what_was_written().await, "the same server");
        self.ends("same").await;
        self.starts("other-user-data", |spec| spec["userData"] = json!("#!/bin/sh\ntrue\n")).await;
        assert!(self.finds_what_was_written().await, "a server of the snapshot");
        self.ends("other-user-data").await;
        // One that is never started leaves the disk as it is.
        self.boots("idle", |spec| spec["skuRef"] = json!("skus/cx33")).await;
        self.is(Kind::Instance, "idle", ACTIVE).await;
        self.ends("idle").await;
        self.starts("larger", |spec| spec["skuRef"] = json!("skus/cx33")).await;
        assert!(self.finds_what_was_written().await, "a server of the snapshot of that");
        self.ends("larger").await;
        let server = self.only_server().await;
        self.starts("retyped", |spec| spec["skuRef"] = json!("skus/cx43")).await;
        assert_eq!(self.only_server().await, server, "the same server with another type");
        let found = self.cloud.hetzner(Method::GET, &format!("/servers/{server}"), &json!({})).await;
        assert_eq!(
            (&found["server"]["server_type"]["name"], &found["server"]["primary_disk_size"]),
            (&json!("cx43"), &json!(80))
        );
        assert!(self.finds_what_was_written().await, "a server that changed its type");
        self.ends("retyped").await;
        self.delete(Kind::BlockStorage, "v").await;
        self.gone(Kind::BlockStorage, "v").await;
    }
}

/// Copies of a disk that is a snapshot share it with the block storage, and outlive it there.
impl Product {
    async fn says(&self, kind: Kind, name: &str, reason: &str) {
        let says = async || self.reason(kind, name).await.as_deref() == Some(reason);
        eventually(&format!("{kind} {name} says {reason}"), LONG, says).await;
    }

    /// A block storage whose disk is no server's for longer than it must.
    async fn volume_without_hold(&self) {
        self.volume_that_holds("0s").await;
    }

    /// The block storage `v`, and how long it keeps its server.
    async fn volume_that_holds(&self, hold: &str) {
        let spec = spec(Kind::BlockStorage, "v", "");
        self.put_extended(Kind::BlockStorage, "v", spec, json!({"hetzner.cloud/disk-hold": hold})).await;
    }

    async fn writes(&self) {
        let path = format!("/_sim/servers/{}/content", self.only_server().await);
        self.cloud.control(Method::POST, &path, &json!({"token": TOKEN_OF_THE_GUEST})).await;
    }

    /// Whether somebody at the console switched a server; not if it is gone.
    async fn is_switched(&self, server: i64, action: &str, status: &str) -> bool {
        let path = format!("/servers/{server}");
        loop {
            match self.cloud.tried(Method::POST, &format!("{path}/actions/{action}"), &json!({})).await {
                Err(http::StatusCode::NOT_FOUND) => return false,
                // Another action is under way.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Ok(_) => break,
            }
        }
        let is_so = async || {
            let found = self.cloud.tried(Method::GET, &path, &json!({})).await;
            found.is_ok_and(|found| found["server"]["status"] == status)
        };
        eventually(&format!("it is {status}"), LONG, is_so).await;
        true
    }

    async fn copies(&self) {
        self.ready().await;
        self.volume_without_hold().await;
        self.starts("first", |_| {}).await;
        self.writes().await;
        self.ends("first").await;
        self.image("m", "v").await;
        self.is(Kind::Image, "m", ACTIVE).await;
        self.says(Kind::BlockStorage, "v", "BootVolumeParked").await;
        self.image("l", "v").await;
        self.is(Kind::Image, "l", ACTIVE).await;
        self.starts("second", |_| {}).await;
        assert!(self.finds_what_was_written().await, "the block storage itself");
        self.ends("second").await;
        self.delete(Kind::BlockStorage, "v").await;
        self.gone(Kind::BlockStorage, "v").await;
        self.delete(Kind::Image, "l").await;
        self.gone(Kind::Image, "l").await;
        self.volume("c", "m").await;
        self.starts("third", |spec| spec["bootVolume"] = json!({"deviceRef": "block-storages/c"})).await;
        assert!(self.finds_what_was_written().await, "a copy");
        self.ends("third").await;
        self.delete(Kind::BlockStorage, "c").await;
        self.gone(Kind::BlockStorage, "c").await;
        self.delete(Kind::Image, "m").await;
        self.gone(Kind::Image, "m").await;
    }
}

#[tokio::test(start_paused = true)]
async fn copies_of_a_parked_disk_share_its_snapshot() {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.volume_without_hold().await;
    product.starts("first", |_| {}).await;
    product.ends("first").await;
    product.says(Kind::BlockStorage, "v", "BootVolumeParked").await;
    for name in ["m", "l"] {
        product.image(name, "v").await;
        product.is(Kind::Image, name, ACTIVE).await;
        assert!(product.status(Kind::Image, name).await["sizeMB"].as_u64() >= Some(1));
    }
    assert_eq!(product.snapshots().await, 1);
    for (kind, name) in [(Kind::Image, "l"), (Kind::BlockStorage, "v")] {
        product.delete(kind, name).await;
        product.gone(kind, name).await;
        assert_eq!(product.snapshots().await, 1);
    }
    product.delete(Kind::Image, "m").await;
    product.gone(Kind::Image, "m").await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_lost_by_no_lost_reply() {
    every_request_spoiled(json!({"type": "lose_reply_after_commit"}), 12, async |product, _| product.copies().await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_lost_by_no_late_commit() {
    let late = json!({"type": "late_commit", "delay_ms": 7_000});
    every_request_spoiled(late, 12, async |product, _| product.copies().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_lost_by_no_refusal() {
    let busy = json!({"type": "error", "status": 423, "code": "locked", "message": "locked"});
    every_request_spoiled(busy, 12, async |product, _| product.copies().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_lost_by_no_process_that_dies() {
    for effect in ["hold_before_commit", "hold_after_commit"] {
        killed_at_every_request(effect, 12, async |product, _| product.copies().await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_refusal() {
    heirs_spoiled(json!({"type": "error", "status": 423, "code": "locked", "message": "locked"})).await;
}

/// What keeps a disk from its next server is told, nothing is lost meanwhile, and it goes on when that is over.
#[tokio::test(start_paused = true)]
async fn a_limit_or_a_lack_of_capacity_is_told_and_waited_for() {
    let limit = json!({"type": "error", "status": 403, "code": "resource_limit_exceeded", "message": "limit reached"});
    let capacity = json!({"type": "error", "status": 412, "code": "resource_unavailable", "message": "none left"});
    for (what, path, effect, reason) in [
        ("no snapshot more", "/servers/*/actions/create_image", &limit, "QuotaExceeded"),
        ("no server more", "/servers", &limit, "QuotaExceeded"),
        ("no capacity for a new server", "/servers", &capacity, "CapacityUnavailable"),
        ("no capacity for the type", "/servers/*/actions/change_type", &capacity, "CapacityUnavailable"),
        ("no capacity to start", "/servers/*/actions/poweron", &capacity, "CapacityUnavailable"),
    ] {
        let product = Product::start(Cloud::new(0.05));
        product.ready().await;
        product.volume("v", SYSTEM).await;
        product.starts("first", |_| {}).await;
        product.writes().await;
        product.ends("first").await;
        product.says(Kind::BlockStorage, "v", "BootVolumeHeld").await;
        product.cloud.fault(json!({"method": "POST", "path": path, "count": 0}), effect.clone()).await;
        let same_server = path.ends_with("change_type") || path.ends_with("poweron");
        let next = json!({
            "skuRef": if path.ends_with("change_type") { "skus/cx33" } else { "skus/cx23" }, "zone": "fsn1",
            "bootVolume": {"deviceRef": "block-storages/v"}, "userData": if same_server { "" } else { "#!/bin/true" },
        });
        product.put(Kind::Instance, "next", next).await;
        if same_server {
            product.is(Kind::Instance, "next", ACTIVE).await;
            product
                .control
                .act(product.context(), &key(Kind::Instance, "next"), ActionKind::Start, None)
                .await
                .unwrap();
        }
        let waits = if path.ends_with("create_image") { Kind::BlockStorage } else { Kind::Instance };
        product.says(waits, if waits == Kind::Instance { "next" } else { "v" }, reason).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(
            product.reason(waits, if waits == Kind::Instance { "next" } else { "v" }).await.as_deref(),
            Some(reason)
        );
        let lost = product.cloud.control(Method::GET, "/_sim/content?project=p", &json!({})).await["lost"].clone();
        assert!(!lost.to_string().contains(TOKEN_OF_THE_GUEST), "{what}: {lost}");
        product.cloud.clear_faults().await;
        product.is(Kind::Instance, "next", ACTIVE).await;
        if !same_server {
            product.act("next", ActionKind::Start).await;
        }
        let is_on = async || product.status(Kind::Instance, "next").await["powerState"] == "on";
        eventually("it is on", LONG, is_on).await;
        assert!(product.finds_what_was_written().await, "{what}");
    }
}

async fn heirs_spoiled(effect: Value) {
    every_request_spoiled(effect, 20, async |product, _| product.heirs().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_lost_reply() {
    heirs_spoiled(json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_lost_request() {
    heirs_spoiled(json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_late_commit() {
    heirs_spoiled(json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_failed_action() {
    heirs_spoiled(json!({"type": "action_error", "code": "action_failed", "message": "no luck"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_process_that_dies_before_a_commit() {
    killed_at_every_request("hold_before_commit", 20, async |product, _| product.heirs().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_lost_by_no_process_that_dies_after_a_commit() {
    killed_at_every_request("hold_after_commit", 20, async |product, _| product.heirs().await).await;
}

/// What somebody writes at the console while a disk becomes a snapshot is in the next server, whenever that was, and whether or
/// not the server was off again before anybody looked.
#[tokio::test(start_paused = true)]
async fn what_somebody_writes_while_a_disk_is_parked_is_kept() {
    let mut written = 0;
    for (after_ms, is_off_again) in (0..30_000).step_by(1_500).zip([true, false].into_iter().cycle()) {
        let product = Product::start(Cloud::new(1.0));
        product.ready().await;
        product.volume_without_hold().await;
        product.starts("first", |_| {}).await;
        let server = product.only_server().await;
        // The first removal is refused, so that there is time between two tries.
        let locked = json!({"type": "error", "status": 423, "code": "locked", "message": "locked"});
        product.cloud.fault(json!({"method": "DELETE", "path": "/servers/*"}), locked).await;
        product.ends("first").await;
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        if !product.is_switched(server, "poweron", "running").await {
            continue;
        }
        product.writes().await;
        written += 1;
        if is_off_again && !product.is_switched(server, "poweroff", "off").await {
            panic!("after {after_ms} ms it went while it ran");
        }
        product.starts("second", |spec| spec["userData"] = json!("#!/bin/sh\ntrue\n")).await;
        assert!(product.finds_what_was_written().await, "after {after_ms} ms, off again: {is_off_again}");
    }
    assert!(written >= 4, "{written} times something was written");
}

/// An instance is made from the snapshot of a disk, and never started. Somebody deletes the snapshot, which no list shows yet: the
/// server has all that is left, and stays when the instance is deleted.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_made_from_a_deleted_snapshot_is_kept() {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.volume_without_hold().await;
    product.starts("first", |_| {}).await;
    product.writes().await;
    product.ends("first").await;
    product.says(Kind::BlockStorage, "v", "BootVolumeParked").await;
    product.boots("second", |_| {}).await;
    product.is(Kind::Instance, "second", ACTIVE).await;
    let images = product.cloud.inventory().await["objects"]["images"].clone();
    let path = format!("/images/{}", images[0]["id"]);
    // What was read of it for the parking is old by then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    product.cloud.hetzner(Method::DELETE, &path, &json!({})).await;
    product.ends("second").await;
    product.starts("third", |_| {}).await;
    assert!(product.finds_what_was_written().await);
}

/// A server that lost its last interface has a closed one, with an address that we made. While a block storage keeps the
/// server, nobody asks for that address to go.
#[tokio::test(start_paused = true)]
async fn what_a_kept_server_has_is_removed_with_it_and_not_before() {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.send_stack("").await;
    product.stack_is_active("").await;
    product.volume_that_holds("never").await;
    let mut instance = spec(Kind::Instance, "i", "");
    instance.as_object_mut().unwrap().remove("primaryNicRef");
    product.put(Kind::Instance, "i", instance).await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    product.act("i", ActionKind::Start).await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    product.ends("i").await;
    product.says(Kind::BlockStorage, "v", "BootVolumeHeld").await;
    product.delete(Kind::Nic, "k").await;
    product.gone(Kind::Nic, "k").await;
    product.delete(Kind::PublicIp, "p").await;
    product.gone(Kind::PublicIp, "p").await;
    let addresses = async || product.cloud.inventory().await["objects"]["primary_ips"].as_array().unwrap().clone();
    let kept = addresses().await;
    assert!(kept.len() == 1 && kept[0]["labels"].as_object().is_some_and(|labels| !labels.is_empty()), "{kept:?}");
    let before = product.cloud.journal("/_sim/journal").await.len();
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    let journal = product.cloud.journal("/_sim/journal").await;
    let asked = |line: &&String| line.contains(" /v1/primary_ips/");
    assert_eq!(journal[before..].iter().filter(asked).collect::<Vec<_>>(), Vec::<&String>::new());
    product.delete(Kind::BlockStorage, "v").await;
    product.gone(Kind::BlockStorage, "v").await;
    eventually("its address is gone", LONG, async || addresses().await.is_empty()).await;
}

/// An instance takes a kept server that somebody has just deleted: nobody has that any more, and the firewall that closed it
/// goes as well.
#[tokio::test(start_paused = true)]
async fn what_closed_a_server_goes_if_the_server_vanishes_while_an_instance_takes_it() {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.volume_that_holds("never").await;
    product.starts("first", |_| {}).await;
    product.ends("first").await;
    product.says(Kind::BlockStorage, "v", "BootVolumeHeld").await;
    let firewalls = async || product.cloud.inventory().await["objects"]["firewalls"].as_array().unwrap().len();
    assert_eq!(firewalls().await, 1);
    let server = product.only_server().await;
    product.cloud.hetzner(Method::DELETE, &format!("/servers/{server}"), &json!({})).await;
    product.boots("second", |_| {}).await;
    product.says(Kind::BlockStorage, "v", "BackingLost").await;
    product.ends("second").await;
    product.delete(Kind::BlockStorage, "v").await;
    product.gone(Kind::BlockStorage, "v").await;
    eventually("no firewall is left", LONG, async || firewalls().await == 0).await;
}

/// Who boots from a disk next is decided once, whenever the others come.
#[tokio::test(start_paused = true)]
async fn a_disk_has_one_owner_whenever_a_second_claim_comes() {
    for after_ms in (0..40_000).step_by(2_500) {
        let product = Product::start(Cloud::new(1.0));
        product.ready().await;
        product.volume("v", SYSTEM).await;
        product.starts("first", |_| {}).await;
        let path = format!("/_sim/servers/{}/content", product.only_server().await);
        product.cloud.control(Method::POST, &path, &json!({"token": TOKEN_OF_THE_GUEST})).await;
        product.delete(Kind::Instance, "first").await;
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let spec = |data: &str| json!({"skuRef": "skus/cx23", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/v"}, "userData": data});
        product.put(Kind::Instance, "one", spec("one")).await;
        product.put(Kind::Instance, "two", spec("two")).await;
        let active = async || {
            let mut states = BTreeMap::new();
            for name in ["one", "two"] {
                let row = product.row(Kind::Instance, name).await.unwrap();
                states.insert(name, row.state == ACTIVE);
            }
            states.into_iter().filter(|(_, is_active)| *is_active).map(|(name, _)| name).collect::<Vec<_>>()
        };
        eventually("one of them has the disk", LONG, async || !active().await.is_empty()).await;
        assert_eq!(active().await.len(), 1, "after {after_ms} ms");
        assert!(product.finds_what_was_written().await, "after {after_ms} ms");
        let lost = product.cloud.control(Method::GET, "/_sim/content?project=p", &json!({})).await;
        let lost =
            lost["lost"].as_array().unwrap().iter().any(|gone| gone["tokens"].to_string().contains(TOKEN_OF_THE_GUEST));
        assert!(!lost, "after {after_ms} ms something was removed before what replaces it was there");
    }
}
