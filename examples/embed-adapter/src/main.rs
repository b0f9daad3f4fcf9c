//! Plans a Hetzner network for a SECA network, without a control plane around it: what would be called, and under
//! which name and labels. Pure: nothing is sent anywhere.

use std::time::Duration;

use control_plane::{
    Catalog, Uid,
    ports::{Bundle, Desired, Plan, Put},
    state,
};
use hetzner_adapter::{AdapterSettings, Snapshot, catalog, mapping};
use seca_api::{Kind, ResourceKey, Timestamp};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let uid: Uid = "01932b5e-7f40-7c3e-8000-000000000001".parse()?;
    let key = ResourceKey {
        workspace: "shop".to_owned(),
        ..ResourceKey::tenant(Kind::Network, "fsn1", "acme", "main")
    };
    let put = Put::create(
        key,
        uid,
        r#"{"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": {"resource": "skus/hcloud-network"}}"#,
        now,
    );
    let bundle = Bundle {
        resource: state::create(put, control_plane::ProjectId("project-1".to_owned())),
        parents: Vec::new(),
        targets: Vec::new(),
        referrers: Vec::new(),
        children: Vec::new(),
        peers: Vec::new(),
        child_count: 0,
        auxiliaries: Vec::new(),
        open_steps: Vec::new(),
        touched: false,
        attempts: 0,
        wake: 0,
    };
    let known = Catalog::new(0, catalog::fallback(), "fsn1");
    let desired =
        Desired { bundle: &bundle, catalog: &known, installation: "example", stop_grace: Duration::from_secs(90) };
    let context = mapping::Context {
        desired: &desired,
        snapshot: &Snapshot::default(),
        now,
        settings: &AdapterSettings::default(),
    };
    let Plan::Act(step) = mapping::plan(&context).plan else { return Err("a network was to be made".into()) };
    println!("{} {}\n{:#}", step.operation, step.target, step.payload);
    Ok(())
}
