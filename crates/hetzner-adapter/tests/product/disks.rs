//! A disk outlives its instances, whatever happens on the way: what was written to it is found in every next server.

use std::collections::BTreeMap;

use super::*;

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

    async fn starts(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut spec = json!({
            "skuRef": "skus/cx23", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/v"},
        });
        change(&mut spec);
        self.put(Kind::Instance, name, spec).await;
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
        self.put(
            Kind::Instance,
            "idle",
            json!({"skuRef": "skus/cx33", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/v"}}),
        )
        .await;
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
