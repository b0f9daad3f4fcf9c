//! The lives of an instance and of a network, step by step, as a client that does not give up lives them: a call that gets no answer,
//! or one that may pass, is made again.

use std::{future::Future, time::Duration};

use seca_client::{
    AdminClient, Collection, Error, SecaClient, Wait, Writable,
    admin::BindingRequest,
    seca_api::{
        BlockStorageSpec, Cidr, Instance, InstanceSpec, IpVersion, NetworkSpec, PowerState, PublicIpSpec, Reference,
        RouteSpec, RouteTableSpec, SubnetSpec, VolumeReference, WorkspaceSpec,
    },
};
use tokio::time::{Instant, sleep};

use super::proxy::{REGION, TENANT};

pub const WORKSPACE: &str = "shop";
pub const DISK: &str = "boot";
pub const INSTANCE: &str = "web";
pub const NETWORK: &str = "net";
pub const SUBNET: &str = "inside";
pub const TABLE: &str = "ways";
pub const ADDRESS: &str = "front";

/// How long a step may take.
pub const STEP: Duration = Duration::from_secs(60);

pub fn wait() -> Wait<'static> {
    Wait::up_to(STEP).every(Duration::from_millis(50))
}

/// Makes a call until it is answered for good.
pub async fn insist<T, F: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> F) -> Result<T, Error> {
    let deadline = Instant::now() + STEP;
    loop {
        match call().await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

pub fn disk() -> BlockStorageSpec {
    BlockStorageSpec {
        sku_ref: Reference::new("skus/hcloud-volume"),
        size_gb: 20,
        source_image_ref: Some(Reference::new("images/ubuntu-24.04")),
    }
}

/// An instance that boots from a disk. The rest has its default.
pub fn instance(disk: &str) -> InstanceSpec {
    InstanceSpec {
        sku_ref: Reference::new("skus/cx23"),
        primary_nic_ref: None,
        additional_nic_refs: Vec::new(),
        zone: REGION.to_owned(),
        security_group_ref: None,
        user_data: None,
        anti_affinity_group: None,
        ssh_keys: Vec::new(),
        boot_volume: VolumeReference::new(Reference::new(format!("block-storages/{disk}"))),
        data_volumes: Vec::new(),
    }
}

/// A workspace, bound to the project of a token, active.
pub async fn workspace(seca: &SecaClient, admin: &AdminClient, token: &str) -> Result<(), Error> {
    let workspaces = seca.workspaces();
    insist(|| workspaces.put(WORKSPACE, WorkspaceSpec::default())).await?;
    let request = BindingRequest::new(token.into());
    insist(|| admin.put_binding(TENANT, WORKSPACE, Some(REGION), &request)).await?;
    workspaces.wait_active(WORKSPACE, wait()).await.map(drop)
}

/// A boot disk from an image, and an instance that boots from it: active and off.
pub async fn create(seca: &SecaClient) -> Result<(), Error> {
    let (disks, instances) = (seca.block_storages(WORKSPACE), seca.instances(WORKSPACE));
    insist(|| disks.put(DISK, disk())).await?;
    disks.wait_active(DISK, wait()).await?;
    insist(|| instances.put(INSTANCE, instance(DISK))).await?;
    let made = instances.wait_active(INSTANCE, wait()).await?;
    assert_eq!(power_of(&made), PowerState::Off, "an instance is off when it is made");
    Ok(())
}

pub fn power_of(instance: &Instance) -> PowerState {
    instance.status.as_ref().map(|status| status.power_state).unwrap_or_default()
}

/// Asks for a power state until the instance has it. A call whose answer was lost may have been accepted: then the
/// next one is refused, which says nothing.
pub async fn power(seca: &SecaClient, wanted: PowerState) -> Result<(), Error> {
    let instances = seca.instances(WORKSPACE);
    let action = if wanted == PowerState::On { "start" } else { "stop" };
    match insist(|| instances.action(INSTANCE, action)).await {
        Err(error) if error.status() != Some(409) => return Err(error),
        _ => {}
    }
    let is_done = |i: &Instance| power_of(i) == wanted && is_active(i);
    instances.wait_until(INSTANCE, wait(), is_done).await.map(drop)
}

fn is_active(instance: &Instance) -> bool {
    use seca_client::seca_api::{Conditions as _, ResourceState};
    instance.status.as_ref().and_then(|status| status.state()) == Some(ResourceState::Active)
}

/// Deletes instance, disk and workspace, each after the other is gone.
pub async fn delete(seca: &SecaClient) -> Result<(), Error> {
    remove(seca.instances(WORKSPACE), INSTANCE).await?;
    remove(seca.block_storages(WORKSPACE), DISK).await?;
    remove(seca.workspaces(), WORKSPACE).await
}

/// A network with a subnet and a route by an address, and a public address.
pub async fn create_network(seca: &SecaClient) -> Result<(), Error> {
    let network = NetworkSpec {
        cidr: Cidr::v4("10.42.0.0/16"),
        additional_cidrs: Vec::new(),
        sku_ref: Reference::new("skus/hcloud-network"),
    };
    make(seca.networks(WORKSPACE), NETWORK, network).await?;
    let route = RouteSpec { destination_cidr_block: "0.0.0.0/0".to_owned(), target_ref: Reference::new("10.42.1.9") };
    make(seca.route_tables(WORKSPACE, NETWORK), TABLE, RouteTableSpec { routes: vec![route] }).await?;
    let subnet = SubnetSpec {
        cidr: Cidr::v4("10.42.1.0/24"),
        zone: None,
        route_table_ref: Some(Reference::new(format!("networks/{NETWORK}/route-tables/{TABLE}"))),
        sku_ref: None,
    };
    make(seca.subnets(WORKSPACE, NETWORK), SUBNET, subnet).await?;
    let address = PublicIpSpec { version: IpVersion::IPv4, address: None };
    make(seca.public_ips(WORKSPACE), ADDRESS, address).await
}

/// Deletes it again, part by part, and the workspace.
pub async fn delete_network(seca: &SecaClient) -> Result<(), Error> {
    remove(seca.public_ips(WORKSPACE), ADDRESS).await?;
    remove(seca.subnets(WORKSPACE, NETWORK), SUBNET).await?;
    remove(seca.route_tables(WORKSPACE, NETWORK), TABLE).await?;
    remove(seca.networks(WORKSPACE), NETWORK).await?;
    remove(seca.workspaces(), WORKSPACE).await
}

async fn make<R: Writable>(collection: Collection<R>, name: &str, spec: R::Spec) -> Result<(), Error>
where
    R::Spec: Clone,
{
    insist(|| collection.put(name, spec.clone())).await?;
    collection.wait_active(name, wait()).await.map(drop)
}

async fn remove<R: Writable>(collection: Collection<R>, name: &str) -> Result<(), Error> {
    insist(|| collection.delete(name)).await?;
    collection.wait_gone(name, wait()).await
}

/// The life of a network, from nothing to nothing.
pub async fn live_network(seca: &SecaClient, admin: &AdminClient, token: &str) -> Result<(), Error> {
    workspace(seca, admin, token).await?;
    create_network(seca).await?;
    delete_network(seca).await
}

/// The life of an instance, from nothing to nothing.
pub async fn live(seca: &SecaClient, admin: &AdminClient, token: &str) -> Result<(), Error> {
    workspace(seca, admin, token).await?;
    create(seca).await?;
    power(seca, PowerState::On).await?;
    power(seca, PowerState::Off).await?;
    delete(seca).await
}
