//! The story: each step leaves something that the next one needs, and everything goes in the end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Arguments,
    look::Look,
    server::Server,
    simulator::{Object, Simulator},
    speed,
    stack::{self, IMAGE},
    steps::{Calls, Step, Steps},
};
use anyhow::{Context as _, ensure};
use seca_client::{
    Collection, SecaClient, Wait, Writable,
    seca_api::{
        Conditions as _, Draft, Instance, InstanceSku, InternetGatewaySpec, PowerState, ResourceState, RouteTable,
        StatusCondition, WorkspaceSpec,
    },
};

/// How long a cleaning up after a failure waits for one resource.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// The story, and the server that it is told to.
pub(crate) struct Scenario {
    client: SecaClient,
    simulator: Option<Simulator>,
    before: BTreeMap<String, Object>,
    /// How many calls the simulated cloud had answered before.
    calls_before: usize,
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
        let simulator = server.simulator.as_ref().map(Simulator::at).transpose()?;
        let simulator = match simulator {
            Some(simulator) if simulator.is_there().await => Some(simulator),
            _ => None,
        };
        let before = match &simulator {
            Some(simulator) => simulator.objects().await?,
            None => BTreeMap::new(),
        };
        let calls_before = match &simulator {
            Some(simulator) => simulator.calls().await.unwrap_or_default(),
            None => 0,
        };
        Ok(Self { client, simulator, before, calls_before, workspace: format!("demo-{}", unique()) })
    }

    /// What was called since the beginning.
    pub(crate) async fn calls(&self) -> Calls {
        let cloud = match &self.simulator {
            Some(simulator) => simulator.calls().await.ok().map(|calls| calls.saturating_sub(self.calls_before)),
            None => None,
        };
        Calls { seca: self.client.calls(), cloud }
    }

    /// All of it.
    pub(crate) async fn run(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let w = self.workspace.as_str();
        self.make(steps, self.client.workspaces(), w, WorkspaceSpec::default(), patience).await?;
        let sku = self.browse(steps).await?;
        self.make_network(steps, patience).await?;
        self.make_access(steps, patience).await?;
        self.make(steps, self.client.block_storages(w), "boot", stack::boot(), patience).await?;
        self.make(steps, self.client.block_storages(w), "data", stack::data(), patience).await?;
        self.make_instance(steps, &sku, patience).await?;
        self.switch(steps, "start", PowerState::On, patience).await?;
        let address = self.read_statuses(steps).await?;
        self.look(steps, &address).await?;
        self.follow_way_out(steps, patience).await?;
        self.switch(steps, "stop", PowerState::Off, patience).await?;
        let failed = self.delete_all(steps, patience, false).await;
        failed.into_iter().next().map_or(Ok(()), Err)
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
        self.make(steps, client.networks(w), "net", stack::network(), patience).await?;
        self.make(steps, client.internet_gateways(w), "gateway", InternetGatewaySpec::default(), patience).await?;
        self.make(steps, client.route_tables(w, "net"), "routes", stack::routes(), patience).await?;
        self.make(steps, client.subnets(w, "net"), "subnet", stack::subnet(), patience).await
    }

    /// By which ways the instance will be reached, and by which not.
    async fn make_access(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let (client, w) = (&self.client, self.workspace.as_str());
        self.make(steps, client.security_groups(w), "web", stack::group(), patience).await?;
        self.make(steps, client.public_ips(w), "front", stack::public_ip(), patience).await?;
        self.make(steps, client.nics(w), "front", stack::nic(), patience).await
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
        let spec = stack::instance(sku, zones.first().context("the region has no zone")?.clone());
        let watch = self.simulator.as_ref().map(Simulator::watch);
        let made = steps
            .run("create instance web", |step| async move {
                instances.put("web", spec).await?;
                let made = instances.wait_active("web", wait(patience, &step)).await?;
                let power = made.status.as_ref().map(|status| status.power_state);
                ensure!(power == Some(PowerState::Off), "a new instance is off, but this one is {power:?}");
                let more = told(made.status.as_ref().map_or(&[][..], |s| s.conditions()));
                let about =
                    if more.is_empty() { "active and off".to_owned() } else { format!("active and off; {more}") };
                Ok((made, about))
            })
            .await?;
        match (watch, &self.simulator) {
            (Some(watch), Some(simulator)) => speed::judge(steps, simulator, &made, &watch.stop()).await,
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

    /// What the API tells of the parts once the instance runs; the public address.
    async fn read_statuses(&self, steps: &mut Steps) -> anyhow::Result<String> {
        let (client, w) = (&self.client, self.workspace.as_str());
        steps
            .run("read what the API tells of them", |_| async {
                let nic = client.nics(w).get("front").await?.status.context("the NIC has no status")?;
                ensure!(nic.addresses.len() == 2, "the NIC has the addresses {:?}", nic.addresses);
                ensure!(nic.addresses[0] == stack::ADDRESS, "the NIC has the addresses {:?}", nic.addresses);
                ensure!(nic.public_ip_refs.len() == 1, "the NIC has the public IPs {:?}", nic.public_ip_refs);
                let mac = nic.mac_address.context("the NIC has no MAC address")?;
                let ip = client.public_ips(w).get("front").await?.status.context("the public IP has no status")?;
                ensure!(ip.attached_to.is_some_and(|nic| nic.resource.ends_with("nics/front")), "it is no NIC's");
                let address = ip.ip_address.context("the public IP has no address")?;
                let data = client.block_storages(w).get("data").await?.status.context("the volume has no status")?;
                let path = told(data.conditions());
                let user = data.attached_to;
                ensure!(
                    user.is_some_and(|user| user.resource.ends_with("instances/web")),
                    "the volume is not attached"
                );
                ensure!(path.contains("/dev/disk/by-id/"), "the volume does not tell its path: {path}");
                let about = format!("{} and {}, MAC {mac}; {address}; {path}", nic.addresses[0], nic.addresses[1]);
                Ok((address, about))
            })
            .await
    }

    /// The route by the gateway comes into effect when the gateway's NAT server is up; where the operator lets none be
    /// made, the route says so.
    async fn follow_way_out(&self, steps: &mut Steps, patience: Duration) -> anyhow::Result<()> {
        let (client, w) = (&self.client, self.workspace.as_str());
        steps
            .run("follow the way out by the gateway", |step| async move {
                let is_decided = |table: &RouteTable| {
                    let routes = table.status.as_ref().map_or(&[][..], |status| &status.routes);
                    let is_off = |told: String| told.contains("SECA_INTERNET_GATEWAY_NAT_VM");
                    routes.iter().all(|it| it.state == Some(ResourceState::Active) || is_off(told(&it.conditions)))
                };
                client.route_tables(w, "net").wait_until("routes", wait(patience, &step), is_decided).await?;
                let gateway = client.internet_gateways(w).get("gateway").await?;
                Ok(((), told(gateway.status.as_ref().map_or(&[][..], |status| status.conditions()))))
            })
            .await
    }

    /// What the simulated server really has.
    async fn look(&self, steps: &mut Steps, address: &str) -> anyhow::Result<()> {
        let Some(simulator) = self.simulator.as_ref().filter(|simulator| simulator.has_token()) else {
            steps.say("    no token of a simulated project at hand: the server itself was not looked at");
            return Ok(());
        };
        let look = steps
            .run("look at the server", |_| async {
                let look = Look::at(simulator, &self.workspace).await?;
                look.judge(address)?;
                Ok((look, "it has what was asked for, and nothing else".to_owned()))
            })
            .await?;
        steps.say(look.table());
        Ok(())
    }

    /// Deletes what there may be, in the order in which nothing is in the way; all that failed, or the first alone.
    async fn delete_all(&self, steps: &mut Steps, patience: Duration, goes_on: bool) -> Vec<anyhow::Error> {
        let (client, w) = (&self.client, self.workspace.as_str());
        let mut deletions = Deletions { steps, patience, goes_on, failed: Vec::new() };
        deletions.one(client.instances(w), "web").await;
        deletions.one(client.block_storages(w), "boot").await;
        deletions.one(client.block_storages(w), "data").await;
        deletions.one(client.nics(w), "front").await;
        deletions.one(client.public_ips(w), "front").await;
        deletions.one(client.security_groups(w), "web").await;
        deletions.one(client.subnets(w, "net"), "subnet").await;
        deletions.one(client.route_tables(w, "net"), "routes").await;
        deletions.one(client.internet_gateways(w), "gateway").await;
        deletions.one(client.networks(w), "net").await;
        deletions.one(client.workspaces(), w).await;
        deletions.failed
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
        for error in self.delete_all(steps, CLEAN_UP, true).await {
            steps.say(format!("    {error:#}"));
        }
    }
}

/// Deletions, one after the other.
struct Deletions<'a> {
    steps: &'a mut Steps,
    patience: Duration,
    /// Whether one that fails stops the others.
    goes_on: bool,
    failed: Vec<anyhow::Error>,
}

impl Deletions<'_> {
    async fn one<R: Writable>(&mut self, collection: Collection<R>, name: &str) {
        if self.goes_on || self.failed.is_empty() {
            self.failed.extend(delete(self.steps, collection, name, self.patience).await.err());
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

/// A word that no other run uses: of the process and of chance.
fn unique() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:08x}", RandomState::new().hash_one(std::process::id()) as u32)
}
