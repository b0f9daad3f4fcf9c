//! What Hetzner Cloud does not take is told at the PUT, by the real service over the in-memory store.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Arc;

use control_plane::{
    Catalog, CatalogCache,
    ports::{Clock, Ids, Put, PutOutcome, Store},
    service::{Caller, Context, ControlPlane, Enforcement, Parts, PutRequest, PutView, Refusal},
    testing::{
        MemoryStore, PROVIDER as FIXTURE,
        environment::{SeededRng, TokioClock},
    },
};
use hetzner_adapter::{HetznerRules, PROVIDER, catalog};
use seca_api::{Kind, ResourceKey, violation::Violation};
use serde_json::{Value, json};
use tokio::sync::Notify;

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6";

struct World {
    plane: ControlPlane,
    store: Arc<dyn Store>,
    caller: Caller,
    ids: Ids,
    clock: Arc<dyn Clock>,
}

fn key(kind: Kind, name: &str) -> ResourceKey {
    let tenant = ResourceKey::tenant(kind, "fsn1", "t", name);
    if kind == Kind::Workspace { tenant } else { ResourceKey { workspace: "w".into(), ..tenant } }
}

/// An instance that boots from `disk`, with one member more.
fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"spec": {
        "skuRef": {"resource": "skus/cx23"}, "zone": "fsn1",
        "bootVolume": {"deviceRef": {"resource": "block-storages/disk"}},
    }});
    body["spec"][member] = value;
    body
}

/// The same document with a label, so that it is another one.
fn labelled(mut body: Value) -> Value {
    body["labels"] = json!({"a": "b"});
    body
}

impl World {
    async fn new() -> Self {
        Self::with_rules(HetznerRules::default()).await
    }

    async fn with_rules(rules: HetznerRules) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
        let ids = Ids::new(clock.clone(), Arc::new(SeededRng::new(1)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new("test").with_tenants(&["t"]));
        let plane = ControlPlane::new(Parts {
            store: store.clone(),
            catalog: CatalogCache::new(Catalog::new(1, catalog::fallback(), "fsn1")),
            rules: Arc::new(rules),
            enforcement: Enforcement::Off,
            clock: clock.clone(),
            ids: ids.clone(),
            wake: Arc::new(Notify::new()),
        });
        let world = Self { plane, store, caller: Caller::new("ann"), ids, clock };
        world.put(Kind::Workspace, "w", json!({"spec": null})).await.unwrap();
        let disk = json!({"spec": {"sizeGB": 20, "skuRef": {"resource": "skus/hcloud-volume"}}});
        world.put(Kind::BlockStorage, "disk", disk).await.unwrap();
        world
    }

    async fn put(&self, kind: Kind, name: &str, body: Value) -> Result<PutView, Refusal> {
        let context = Context { caller: &self.caller, base_url: "https://api.example.com" };
        self.plane.put(context, PutRequest { key: key(kind, name), body, if_version: None }).await
    }

    async fn create(&self, name: &str, body: Value) -> Value {
        let answer = self.put(Kind::Instance, name, body).await.unwrap();
        assert!(answer.created, "{name} existed");
        serde_json::from_str(&answer.view.body).unwrap()
    }

    /// What an earlier release took: it goes past all rules.
    async fn stored(&self, name: &str, body: &Value) {
        let key = key(Kind::Instance, name);
        let put = Put::create(key, self.ids.uid(), body["spec"].to_string(), self.clock.now());
        assert!(matches!(self.store.put(put).await.unwrap(), PutOutcome::Created(_)));
    }

    /// The one violation of a document.
    async fn only(&self, kind: Kind, name: &str, body: Value, pointer: &str, words: &str) {
        let Err(Refusal::Violations { violations, .. }) = self.put(kind, name, body.clone()).await else {
            panic!("{body} breaks no rule")
        };
        let is_it = |found: &Violation| found.pointer == pointer && found.rule.contains(words);
        assert!(
            violations.len() == 1 && is_it(&violations[0]),
            "{body}: not `{words}` at {pointer} but {violations:#?}"
        );
    }
}

#[test]
fn tests_elsewhere_speak_of_this_provider() {
    assert_eq!(FIXTURE, PROVIDER);
}

#[tokio::test]
async fn ssh_keys() {
    let world = World::new().await;
    let cases = [
        ("ssh-ed25519 AAAA", "sshKeys[1] begins like a public key of type ssh-ed25519"),
        ("ssh-key-of-ann", "sshKeys[1] begins like a public key"),
        (" \r\n", "sshKeys[1] is blank"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n", "is a private key"),
        (&format!("from=\"10.0.0.0/8\" {ED25519}"), "has options before its type"),
        (&format!("{ED25519}\n{ED25519}"), "must be one line"),
    ];
    for (key, words) in cases {
        world.only(Kind::Instance, "x", with("sshKeys", json!(["ann", key])), "/spec/sshKeys/1", words).await;
    }
    let sent = json!([ED25519, format!("{ED25519} ann@home\r\n"), "ann", "ann", format!("  {ED25519}")]);
    let made = world.create("i", with("sshKeys", sent.clone())).await;
    assert_eq!(made["spec"]["sshKeys"], sent);
}

#[tokio::test]
async fn a_key_that_was_taken_once_stays_in_nobodys_way() {
    let world = World::new().await;
    world.stored("old", &with("sshKeys", json!(["ssh-ed25519 AAAA"]))).await;
    let more = |keys: Value| labelled(with("sshKeys", keys));
    world.put(Kind::Instance, "old", more(json!(["ssh-ed25519 AAAA"]))).await.unwrap();
    world.put(Kind::Instance, "old", more(json!([ED25519, "ssh-ed25519 AAAA"]))).await.unwrap();
    let body = more(json!(["ssh-ed25519 AAAA", "ssh-ed25519 BBBB"]));
    world.only(Kind::Instance, "old", body, "/spec/sshKeys/1", "copy the whole line").await;
}

/// The bootstrap stands before the user's own, and what is fetched runs before both.
#[tokio::test]
async fn user_data_of_instances_in_private_networks() {
    for bootstraps_guests in [false, true] {
        let world = World::with_rules(HetznerRules { bootstraps_guests }).await;
        let network = json!({"spec": {"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": {"resource": "skus/hcloud-network"}}});
        world.put(Kind::Network, "n", network).await.unwrap();
        let subnet = json!({"spec": {"cidr": {"ipv4": "10.0.1.0/24"}, "zone": "fsn1"}});
        let subnet = PutRequest {
            key: ResourceKey { network: "n".into(), ..key(Kind::Subnet, "s") },
            body: subnet,
            if_version: None,
        };
        let context = Context { caller: &world.caller, base_url: "https://api.example.com" };
        world.plane.put(context, subnet).await.unwrap();
        for name in ["private", "public", "off"] {
            let mut spec = json!({"addresses": ["0.0.0.0"], "subnetRef": {"resource": "networks/n/subnets/s"}});
            if name == "public" {
                world.put(Kind::PublicIp, "p", json!({"spec": {"version": "IPv4"}})).await.unwrap();
                spec["publicIpRefs"] = json!([{"resource": "public-ips/p"}]);
            }
            world.put(Kind::Nic, name, json!({"spec": spec})).await.unwrap();
        }
        let of = |nic: &str, user_data: &str| {
            let mut body = with("userData", json!(user_data));
            body["spec"]["primaryNicRef"] = json!({"resource": format!("nics/{nic}")});
            body
        };
        let include = "#include\nhttps://example.com/setup\n";
        match bootstraps_guests {
            true => {
                let words = "must not be fetched from elsewhere";
                world.only(Kind::Instance, "x", of("private", include), "/spec/userData", words).await;
            }
            false => drop(world.create("x", of("private", include)).await),
        }
        drop(world.create("y", of("public", include)).await);
        let mut opted_out = of("off", include);
        opted_out["extensions"] = json!({"hetzner.cloud/guest-bootstrap": "off"});
        drop(world.create("z", opted_out).await);
    }
}

#[tokio::test]
async fn user_data_that_is_long_is_taken_if_it_can_be_packed() {
    let world = World::new().await;
    let script = "#!/bin/sh\n".to_owned() + &"echo hello\n".repeat(5_000);
    let made = world.create("i", with("userData", json!(script))).await;
    assert_eq!(made["spec"]["userData"], json!(script));
    // Digits of a long multiplication do not get short enough.
    let mut state = 7_u64;
    let mut digits = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    };
    let noise: String = (0..8_192).map(|_| digits()).collect();
    let body = with("userData", json!(noise));
    world.only(Kind::Instance, "x", body.clone(), "/spec/userData", "but has 65536 bytes, and ").await;
    world.stored("old", &body).await;
    world.put(Kind::Instance, "old", labelled(body)).await.unwrap();
}

#[tokio::test]
async fn rules_that_no_server_could_have() {
    let world = World::new().await;
    let ports: Vec<u16> = (1..=51).map(|n| n * 2).collect();
    let sources: Vec<_> = (0..10).map(|n| format!("192.0.2.{}", n * 2)).collect();
    let rule = json!({"direction": "ingress", "version": "IPv4", "protocol": "tcp", "ports": {"list": ports},
        "sourceRef": sources});
    let words = "come to 510; join ports";
    world.only(Kind::SecurityGroupRule, "x", json!({"spec": rule}), "/spec/ports", words).await;
    let group = json!({"spec": {"rules": [rule]}});
    world.only(Kind::SecurityGroup, "x", group, "/spec/rules/0/ports", words).await;
}
