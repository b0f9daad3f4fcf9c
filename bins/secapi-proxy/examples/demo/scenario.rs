//! The story: each step leaves something that the next one needs, and everything goes in the end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Arguments,
    server::Server,
    simulator::{Object, Seen, Simulator},
    steps::{Step, Steps},
};
use anyhow::{Context as _, bail, ensure};
use seca_client::{
    Collection, SecaClient, Wait, Writable,
    seca_api::{
        BlockStorageSpec, Cidr, Conditions as _, Draft, Instance, InstanceSku, InstanceSpec, InternetGatewaySpec,
        NetworkSpec, PowerState, Reference, ResourceState, RouteSpec, RouteTableSpec, StatusCondition, SubnetSpec,
        VolumeReference, WorkspaceSpec,
    },
};

/// The image that the instance boots.
const IMAGE: &str = "ubuntu-24.04";
/// More than this the proxy must not add to what the simulated actions take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a cleaning up after a failure waits for one resource.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// The story, and the server that it is told to.
pub(crate) struct Scenario {
    client: SecaClient,
    simulator: Option<Simulator>,
    before: BTreeMap<String, Object>,
    workspace: String,
}

impl Scenario {
    /// Connects to the server, and looks at what is in the simulated project.
    pub(crate) async fn connect(arguments: &Arguments, server: &Server, steps: &mut Steps) -> anyhow::Result<Self> {
        let client = steps
            .run("connect", |_| async {
                let token = server.token.clone();
                let client = SecaClient::connect(&server.url, &arguments.tenant, &arguments.region, token).await?;
                Ok((client, format!("tenant {}, region {}", arguments.tenant, arguments.region)))
            })
            .await?;
        let simulator = server.simulator.as_deref().map(Simulator::at).transpose()?;
        let simulator = match simulator {
            Some(simulator) if simulator.is_there().await => Some(simulator),
            _ => None,
        };
        let before = match &simulator {
            Some(simulator) => simulator.objects().await?,
            None => BTreeMap::new(),
        };
        Ok(Self { client, simulator, before, workspace: format!("demo-{}", unique()) })
    }

    /// All of it.
    pub(crate) async fn run(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let w = self.workspace.as_str();
        self.make(steps, self.client.workspaces(), w, WorkspaceSpec::default(), patience).await?;
        let sku = self.browse(steps).await?;
        self.make_network(steps, patience).await?;
        let boot = BlockStorageSpec {
            sku_ref: Reference::new("skus/hcloud-volume"),
            size_gb: 20,
            source_image_ref: Some(Reference::new(format!("images/{IMAGE}"))),
        };
        self.make(steps, self.client.block_storages(w), "boot", boot, patience).await?;
        self.make_instance(steps, &sku, patience).await?;
        self.switch(steps, "start", PowerState::On, patience).await?;
        self.switch(steps, "stop", PowerState::Off, patience).await?;
        self.delete_all(steps, patience).await
    }

    async fn browse(&self, steps: &mut Steps) -> anyhow::Result<String> {
        let client = &self.client;
        steps
            .run("list regions", |_| async {
                let regions = client.regions().list().await?;
                ensure!(!regions.is_empty(), "there is no region");
                let names: Vec<_> = regions.iter().map(|r| r.metadata.name.as_str()).collect();
                Ok(((), names.join(", ")))
            })
            .await?;
        let sku = steps
            .run("list SKUs", |_| async {
                let (instances, storages, networks) = (
                    client.instance_skus().list().await?,
                    client.storage_skus().list().await?,
                    client.network_skus().list().await?,
                );
                ensure!(!storages.is_empty() && !networks.is_empty(), "there is no storage SKU or no network SKU");
                let sku = smallest(&instances).context("there is no instance SKU for amd64")?;
                let about = format!(
                    "{} for instances, {} for storage, {} for networks; taking {sku}",
                    instances.len(),
                    storages.len(),
                    networks.len()
                );
                Ok((sku, about))
            })
            .await?;
        steps
            .run("list images", |_| async {
                let images = client.images().list().await?;
                ensure!(
                    images.iter().any(|image| image.metadata.name == IMAGE),
                    "{IMAGE} is not among {} images",
                    images.len()
                );
                Ok(((), format!("{}, {IMAGE} among them", images.len())))
            })
            .await?;
        Ok(sku)
    }

    async fn make_network(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let (client, w) = (&self.client, self.workspace.as_str());
        let network = NetworkSpec {
            cidr: Cidr::v4("10.42.0.0/16"),
            additional_cidrs: Vec::new(),
            sku_ref: Reference::new("skus/hcloud-network"),
        };
        self.make(steps, client.networks(w), "net", network, patience).await?;
        self.make(steps, client.internet_gateways(w), "gateway", InternetGatewaySpec::default(), patience).await?;
        let default_route = RouteSpec {
            destination_cidr_block: "0.0.0.0/0".to_owned(),
            target_ref: Reference::new("internet-gateways/gateway"),
        };
        let routes = RouteTableSpec { routes: vec![default_route] };
        self.make(steps, client.route_tables(w, "net"), "routes", routes, patience).await?;
        let subnet = SubnetSpec {
            cidr: Cidr::v4("10.42.1.0/24"),
            zone: None,
            route_table_ref: Some(Reference::new("networks/net/route-tables/routes")),
            sku_ref: None,
        };
        self.make(steps, client.subnets(w, "net"), "subnet", subnet, patience).await
    }

    async fn make<R>(
        &self,
        steps: &mut Steps,
        collection: Collection<R>,
        name: &str,
        spec: impl Into<Draft<R::Spec>> + Send,
        patience: Duration,
    ) -> anyhow::Result<()>
    where
        R: Writable,
    {
        steps
            .run(format!("create {} {name}", R::KIND.noun()), |step| async move {
                collection.put(name, spec).await?;
                let made = collection.wait_active(name, wait(patience, &step)).await?;
                Ok(((), told(made.conditions())))
            })
            .await
    }

    /// Creates the instance, which must be active and off, and measures what the proxy adds.
    async fn make_instance(&self, steps: &mut Steps, sku: &str, patience: Duration) -> anyhow::Result<()> {
        let instances = self.client.instances(&self.workspace);
        let zones = &self.client.region().spec.available_zones;
        let spec = InstanceSpec {
            sku_ref: Reference::new(format!("skus/{sku}")),
            primary_nic_ref: None,
            additional_nic_refs: Vec::new(),
            zone: zones.first().context("the region has no zone")?.clone(),
            security_group_ref: None,
            user_data: None,
            anti_affinity_group: None,
            ssh_keys: Vec::new(),
            boot_volume: VolumeReference::new(Reference::new("block-storages/boot")),
            data_volumes: Vec::new(),
        };
        let watch = self.simulator.as_ref().map(Simulator::watch);
        let made = steps
            .run("create instance web", |step| async move {
                instances.put("web", spec).await?;
                let made = instances.wait_active("web", wait(patience, &step)).await?;
                let power = made.status.as_ref().map(|status| status.power_state);
                ensure!(power == Some(PowerState::Off), "a new instance is off, but this one is {power:?}");
                let about =
                    format!("active and off; {}", told(made.status.as_ref().map_or(&[][..], |s| s.conditions())));
                Ok((made, about))
            })
            .await?;
        match (watch, &self.simulator) {
            (Some(watch), Some(simulator)) => judge_speed(steps, simulator, &made, watch.stop()).await,
            _ => {
                steps.say("    no simulator at hand: what the proxy adds was not measured");
                Ok(())
            }
        }
    }

    async fn switch(
        &self,
        steps: &mut Steps,
        action: &str,
        power: PowerState,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let instances = self.client.instances(&self.workspace);
        steps
            .run(format!("{action} instance web"), |step| async move {
                instances.action("web", action).await?;
                let is_done = |instance: &Instance| {
                    instance
                        .status
                        .as_ref()
                        .is_some_and(|s| s.state == Some(ResourceState::Active) && s.power_state == power)
                };
                instances.wait_until("web", wait(patience, &step), is_done).await?;
                Ok(((), format!("{power:?}").to_lowercase()))
            })
            .await
    }

    async fn delete_all(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let (client, w) = (&self.client, self.workspace.as_str());
        delete(steps, client.instances(w), "web", patience).await?;
        delete(steps, client.block_storages(w), "boot", patience).await?;
        delete(steps, client.subnets(w, "net"), "subnet", patience).await?;
        delete(steps, client.route_tables(w, "net"), "routes", patience).await?;
        delete(steps, client.internet_gateways(w), "gateway", patience).await?;
        delete(steps, client.networks(w), "net", patience).await?;
        delete(steps, client.workspaces(), w, patience).await
    }

    /// What is left in the simulated project: its marker, and what was there before.
    pub(crate) async fn check_left(&self, steps: &mut Steps) -> anyhow::Result<()> {
        let Some(simulator) = &self.simulator else {
            steps.say("    no simulator at hand: what is left in the project was not looked at");
            return Ok(());
        };
        steps
            .run("look into the simulated project", |_| async {
                let left = simulator.objects().await?;
                let others =
                    left.iter().filter(|(id, object)| !object.is_marker() && self.before.contains_key(*id)).count();
                let ours: Vec<_> = left
                    .iter()
                    .filter(|(id, object)| {
                        !object.is_marker()
                            && !self.before.contains_key(*id)
                            && object.workspace().is_none_or(|w| w == self.workspace)
                    })
                    .map(|(id, object)| format!("{id} {}", object.name))
                    .collect();
                ensure!(ours.is_empty(), "these objects are left: {}", ours.join(", "));
                ensure!(left.values().any(Object::is_marker), "its marker is gone");
                let about = if others == 0 {
                    "empty again but for its marker".to_owned()
                } else {
                    format!("nothing of the demo is left ({others} objects were there before)")
                };
                Ok(((), about))
            })
            .await
    }

    /// After a failure: deletes what there may be, and says what could not be deleted.
    pub(crate) async fn clean_up(&self, steps: &mut Steps) {
        steps.say("\nCleaning up:");
        let (client, w) = (&self.client, self.workspace.as_str());
        let results = [
            delete(steps, client.instances(w), "web", CLEAN_UP).await,
            delete(steps, client.block_storages(w), "boot", CLEAN_UP).await,
            delete(steps, client.subnets(w, "net"), "subnet", CLEAN_UP).await,
            delete(steps, client.route_tables(w, "net"), "routes", CLEAN_UP).await,
            delete(steps, client.internet_gateways(w), "gateway", CLEAN_UP).await,
            delete(steps, client.networks(w), "net", CLEAN_UP).await,
            delete(steps, client.workspaces(), w, CLEAN_UP).await,
        ];
        for error in results.into_iter().filter_map(Result::err) {
            steps.say(format!("    {error:#}"));
        }
    }
}

/// Deletes a resource and waits until it is gone; one that is not there is gone already.
async fn delete<R>(steps: &mut Steps, collection: Collection<R>, name: &str, patience: Duration) -> anyhow::Result<()>
where
    R: Writable,
{
    steps
        .run(format!("delete {} {name}", R::KIND.noun()), |step| async move {
            let was_there = collection.delete(name).await?;
            collection.wait_gone(name, wait(patience, &step)).await?;
            Ok(((), if was_there { String::new() } else { "was not there".to_owned() }))
        })
        .await
}

fn wait(patience: Duration, step: &Step) -> Wait<'static> {
    let step = step.clone();
    Wait::up_to(patience).every(Duration::from_millis(50)).on_progress(move |condition| step.note(words(condition)))
}

fn words(condition: &StatusCondition) -> String {
    let said = condition.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{}{said}", condition.state)
}

/// What the newest condition says beyond its state.
fn told(conditions: &[StatusCondition]) -> String {
    conditions.first().and_then(|newest| newest.message.clone()).unwrap_or_default()
}

/// The smallest instance SKU that runs the image.
fn smallest(skus: &[InstanceSku]) -> Option<String> {
    let fits = |sku: &&InstanceSku| {
        let architecture = sku.labels.as_ref().and_then(|labels| labels.get("architecture"));
        architecture.is_none_or(|architecture| architecture == "amd64") && !sku.metadata.name.starts_with("seca.")
    };
    let smallest = skus.iter().filter(fits).min_by_key(|sku| (sku.spec.vcpu, sku.spec.ram))?;
    Some(smallest.metadata.name.clone())
}

/// From the accepted PUT to `active`, by the server's own times, without what actions took and without the time in
/// which the last one had ended and the next poll was still to come.
async fn judge_speed(steps: &Steps, simulator: &Simulator, made: &Instance, seen: Seen) -> anyhow::Result<()> {
    let accepted = made.metadata.created_at.context("the instance has no creation time")?;
    let active = made.newest_condition().context("the instance has no conditions")?.last_transition_at;
    let total = active.since(accepted);
    let noticed = simulator.noticed_after(seen.ended.context("no simulated action was seen")?).await?;
    let added = total.saturating_sub(seen.busy).saturating_sub(noticed);
    let ms = |duration: Duration| duration.as_millis();
    steps.say(format!(
        "    active {} ms after the accepted PUT: {} ms simulated actions, {} ms until they were asked for, {} ms added by the proxy",
        ms(total),
        ms(seen.busy),
        ms(noticed),
        ms(added)
    ));
    if added > LIMIT {
        bail!("the proxy added {} ms to the creation of an instance; at most {} ms are allowed", ms(added), ms(LIMIT));
    }
    Ok(())
}

/// A word that no other run uses: of the process and of chance.
fn unique() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:08x}", RandomState::new().hash_one(std::process::id()) as u32)
}
