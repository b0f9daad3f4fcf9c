//! The life of an instance, step by step, as a client that does not give up lives it: a call that gets no answer,
//! or one that may pass, is made again.

use std::{future::Future, time::Duration};

use seca_client::{
    AdminClient, Error, SecaClient, Wait,
    admin::BindingRequest,
    seca_api::{BlockStorageSpec, Instance, InstanceSpec, PowerState, Reference, VolumeReference, WorkspaceSpec},
};
use tokio::time::{Instant, sleep};

use super::proxy::{REGION, TENANT};

pub const WORKSPACE: &str = "shop";
pub const DISK: &str = "boot";
pub const INSTANCE: &str = "web";

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
    let (disks, instances) = (seca.block_storages(WORKSPACE), seca.instances(WORKSPACE));
    insist(|| instances.delete(INSTANCE)).await?;
    instances.wait_gone(INSTANCE, wait()).await?;
    insist(|| disks.delete(DISK)).await?;
    disks.wait_gone(DISK, wait()).await?;
    let workspaces = seca.workspaces();
    insist(|| workspaces.delete(WORKSPACE)).await?;
    workspaces.wait_gone(WORKSPACE, wait()).await
}

/// All of it, from nothing to nothing.
pub async fn live(seca: &SecaClient, admin: &AdminClient, token: &str) -> Result<(), Error> {
    workspace(seca, admin, token).await?;
    create(seca).await?;
    power(seca, PowerState::On).await?;
    power(seca, PowerState::Off).await?;
    delete(seca).await
}
