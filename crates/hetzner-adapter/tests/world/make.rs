//! Objects of the tiny provider, as it makes them.

use hcloud_client::types::{Image, Network, PrimaryIp, Server, Volume};
use serde_json::{Value, json};

pub const CREATED: &str = "2026-01-01T00:00:00Z";

/// The ids of addresses that were made with servers begin here.
pub const MADE_WITH: i64 = 1_000_000;

pub fn server(id: i64, name: &str, status: &str, labels: &Value, firewalls: &[i64]) -> Server {
    let firewalls: Vec<Value> = firewalls.iter().map(|id| json!({"id": id, "status": "applied"})).collect();
    serde_json::from_value(json!({
        "id": id, "name": name, "status": status, "primary_disk_size": 40, "created": CREATED, "labels": labels,
        // The address that the provider makes with a server, which has no row of its own here.
        "public_net": {"firewalls": firewalls, "ipv6": {"id": MADE_WITH + id, "ip": "2001:db8::/64"}},
        "server_type": {"id": 114, "name": "cx23", "cores": 2, "memory": 4.0, "disk": 40,
                        "cpu_type": "shared", "architecture": "x86"},
        "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
    }))
    .unwrap()
}

pub fn volume(id: i64, name: &str, size: u64, labels: &Value) -> Volume {
    serde_json::from_value(json!({
        "id": id, "name": name, "status": "available", "created": CREATED, "labels": labels, "size": size,
        "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
    }))
    .unwrap()
}

pub fn network(id: i64, name: &str, ip_range: &str, labels: &Value) -> Network {
    serde_json::from_value(json!({
        "id": id, "name": name, "created": CREATED, "labels": labels, "ip_range": ip_range,
    }))
    .unwrap()
}

pub fn snapshot(id: i64, description: &str, server: &Server, labels: &Value) -> Image {
    serde_json::from_value(json!({
        "id": id, "type": "snapshot", "status": "available", "description": description, "created": CREATED,
        "labels": labels, "image_size": 1.5, "disk_size": server.primary_disk_size,
        "created_from": {"id": server.id, "name": server.name}, "architecture": server.server_type.architecture,
    }))
    .unwrap()
}

pub fn primary_ip(
    id: i64,
    name: &str,
    kind: &str,
    labels: &Value,
    auto_delete: bool,
    server: Option<i64>,
) -> PrimaryIp {
    let address = match kind {
        "ipv6" => format!("2001:db8:{:x}::/64", id % 65_536),
        _ => format!("203.0.113.{id}"),
    };
    serde_json::from_value(json!({
        "id": id, "name": name, "created": CREATED, "labels": labels, "type": kind, "ip": address,
        "auto_delete": auto_delete, "assignee_id": server,
        "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
    }))
    .unwrap()
}
