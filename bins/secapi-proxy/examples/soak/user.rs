//! A user of one workspace: one call after the other, at random, so that it is known what must be there afterwards.

use std::time::Duration;

use seca_client::{
    Collection, Place, Writable,
    admin::BindingRequest,
    seca_api::{
        BlockStorage, BlockStorageSpec, Cidr, Draft, Image, Instance, InternetGateway, Kind, Network, NetworkSpec, Nic,
        PublicIp, Reference, RouteTable, SecurityGroup, SecurityGroupRule, Subnet, Workspace, WorkspaceSpec,
    },
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    common::proxy::{REGION, TENANT},
    fleet::{Answer, Fleet},
    model::{Key, Model, Wanted},
};

/// A user, and the workspace that is its own.
pub(crate) struct User {
    pub(crate) workspace: String,
    pub(crate) fleet: Fleet,
    pub(crate) model: Model,
    pub(crate) chance: Chance,
    /// The longest pause between two calls, in milliseconds.
    pub(crate) pause: u64,
    /// Names are not used twice: what a former bearer left waits for a person.
    pub(crate) serial: u32,
}

impl User {
    /// Makes the workspace and binds it; false when one of the two was not to be had.
    pub(crate) async fn settle(&mut self, token: &str) -> bool {
        let name = self.workspace.clone();
        if !self.put::<Workspace>("", &name, WorkspaceSpec::default().into()).await {
            return false;
        }
        let request = BindingRequest::new(token.to_owned().into());
        let bound = self
            .fleet
            .admin(|admin| {
                let (name, request) = (name.clone(), request.clone());
                async move { admin.put_binding(TENANT, &name, Some(REGION), &request).await }
            })
            .await;
        self.count("bind workspace", &bound);
        matches!(bound, Answer::Given { .. })
    }

    /// Works until it is stopped.
    pub(crate) async fn work(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.step().await;
            let pause = Duration::from_millis(self.chance.within(20..=self.pause));
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn step(&mut self) {
        match self.chance.within(0..=36) {
            0..=4 => self.data().await,
            5..=8 => self.machine().await,
            9..=14 => self.power().await,
            15 | 33 | 34 => self.change_instance().await,
            16..=17 => self.drop_one::<Instance>(Kind::Instance).await,
            18 => self.drop_one::<BlockStorage>(Kind::BlockStorage).await,
            19..=20 => self.image().await,
            21..=22 => self.network().await,
            23..=24 => self.inside_network().await,
            25..=26 => self.address().await,
            27 => self.nic().await,
            28..=29 => self.group().await,
            35..=36 => self.change_nic().await,
            _ => self.gateway().await,
        }
    }

    // -- what there is ------------------------------------------------------------------------------------------

    fn present(&self, kind: Kind) -> Vec<Key> {
        self.model.present(kind, &self.workspace)
    }

    fn one(&mut self, kind: Kind) -> Option<Key> {
        let all = self.present(kind);
        self.chance.of_list(&all).cloned()
    }

    fn fresh(&mut self, word: &str) -> String {
        self.serial += 1;
        format!("{word}-{}", self.serial)
    }

    // -- calls --------------------------------------------------------------------------------------------------

    fn key(&self, kind: Kind, network: &str, name: &str) -> Key {
        let workspace = if matches!(kind, Kind::Workspace | Kind::Image) { "" } else { self.workspace.as_str() };
        Key { kind, workspace: workspace.to_owned(), network: network.to_owned(), name: name.to_owned() }
    }

    fn place(&self, kind: Kind, network: &str) -> Place {
        match (kind, network) {
            (Kind::Workspace | Kind::Image, _) => Place::tenant(),
            (_, "") => Place::workspace(&self.workspace),
            _ => Place::network(&self.workspace, network),
        }
    }

    fn count(&self, what: &str, answer: &Answer) {
        let how = match answer {
            Answer::Given { .. } => "accepted",
            Answer::Refused { .. } => "refused",
            Answer::None => "not answered",
        };
        self.model.operation(what.to_owned(), how);
        if let Answer::Refused { error, .. } = answer
            && error.status().is_none_or(|status| status >= 500)
        {
            self.model.defect(format!("{what} in {} was answered with: {error}", self.workspace));
        }
    }

    /// Creates or replaces; whether it was accepted.
    async fn put<R: Writable>(&mut self, network: &str, name: &str, draft: Draft<R::Spec>) -> bool
    where
        R::Spec: Clone,
    {
        let key = self.key(R::KIND, network, name);
        let spec = serde_json::to_value(&draft.spec).unwrap_or(Value::Null);
        let place = self.place(R::KIND, network);
        let answer = self
            .fleet
            .user(|client| {
                let (place, draft) = (place.clone(), draft.clone());
                async move { client.collection::<R>(place).put(name, draft).await }
            })
            .await;
        self.count(&format!("put {}", R::KIND.noun()), &answer);
        match answer {
            Answer::Given { sure: true } => self.model.set(&key, Wanted::Present(spec)),
            Answer::Refused { sure: true, .. } => {}
            _ => self.model.set(&key, Wanted::Unsure),
        }
        matches!(answer, Answer::Given { .. })
    }

    async fn delete<R: Writable>(&mut self, key: &Key) -> bool {
        let place = self.place(R::KIND, &key.network);
        let answer = self
            .fleet
            .user(|client| {
                let (place, name) = (place.clone(), key.name.clone());
                async move {
                    let collection: Collection<R> = client.collection(place);
                    collection.delete(&name).await
                }
            })
            .await;
        self.count(&format!("delete {}", R::KIND.noun()), &answer);
        match answer {
            Answer::Given { sure: true } => self.model.set(key, Wanted::Gone),
            Answer::Refused { sure: true, .. } => {}
            _ => self.model.set(key, Wanted::Unsure),
        }
        matches!(answer, Answer::Given { .. })
    }

    async fn drop_one<R: Writable>(&mut self, kind: Kind) {
        if let Some(key) = self.one(kind) {
            self.delete::<R>(&key).await;
        }
    }

    // -- storage ------------------------------------------------------------------------------------------------

    async fn data(&mut self) {
        let blank: Vec<Key> =
            self.present(Kind::BlockStorage).into_iter().filter(|key| key.name.starts_with("data")).collect();
        if blank.len() < 6 {
            let name = self.fresh("data");
            let size = self.size();
            self.put::<BlockStorage>("", &name, blank_storage(size).into()).await;
            return;
        }
        let Some(key) = self.chance.of_list(&blank).cloned() else { return };
        if self.chance.once_in(2) {
            let size = self.size();
            self.put::<BlockStorage>("", &key.name, blank_storage(size).into()).await;
        } else {
            self.delete::<BlockStorage>(&key).await;
        }
    }

    fn size(&mut self) -> u32 {
        u32::try_from(self.chance.within(10..=60)).unwrap_or(10)
    }

    async fn image(&mut self) {
        if self.present(Kind::Image).len() > 2 {
            return self.drop_one::<Image>(Kind::Image).await;
        }
        if let Some(source) = self.one(Kind::BlockStorage) {
            self.copy(&source.name).await;
        }
    }

    async fn copy(&mut self, source: &str) {
        let name = self.fresh(&format!("{}-image", self.workspace));
        let reference = format!("workspaces/{}/block-storages/{source}", self.workspace);
        let spec = json!({"blockStorageRef": {"resource": reference}, "cpuArchitecture": "amd64"});
        self.put_json::<Image>("", &name, json!({"spec": spec})).await;
    }

    // -- instances ----------------------------------------------------------------------------------------------

    async fn machine(&mut self) {
        let starts = self.chance.once_in(2);
        self.boot(starts).await;
    }

    /// A boot volume and an instance of it.
    async fn boot(&mut self, starts: bool) {
        if self.present(Kind::Instance).len() > 3 {
            return self.drop_one::<Instance>(Kind::Instance).await;
        }
        let left = self.boot_volumes_without_instance();
        let disk = match self.chance.of_list(&left).cloned().filter(|_| self.chance.once_in(2)) {
            Some(disk) => disk,
            None => match self.boot_volume().await {
                Some(disk) => disk,
                None => return,
            },
        };
        let name = self.fresh("vm");
        let sku = if self.chance.once_in(3) { "cx33" } else { "cx23" };
        let draft = self.instance(&disk, sku, starts);
        self.put_json::<Instance>("", &name, draft).await;
    }

    async fn boot_volume(&mut self) -> Option<String> {
        let disk = self.fresh("boot");
        let source = (!self.chance.once_in(5)).then(|| Reference::new("images/ubuntu-24.04"));
        let spec = BlockStorageSpec { source_image_ref: source, ..blank_storage(20) };
        let mut draft = json!({"spec": spec});
        if self.chance.once_in(4) {
            let hold = *self.chance.of_list(&["0s", "20s", "never"]).unwrap_or(&"0s");
            draft["extensions"] = json!({"hetzner.cloud/disk-hold": hold});
        }
        self.put_json::<BlockStorage>("", &disk, draft).await.then_some(disk)
    }

    /// What deleted instances booted from, and others may boot from next.
    fn boot_volumes_without_instance(&self) -> Vec<String> {
        let wanted = self.model.wanted();
        let specs = wanted.iter().filter(|(key, _)| key.kind == Kind::Instance && key.workspace == self.workspace);
        let used: Vec<String> = specs
            .filter_map(|(_, wanted)| match wanted {
                Wanted::Present(spec) => Some(disk_of(spec)),
                _ => None,
            })
            .collect();
        let all = self.present(Kind::BlockStorage).into_iter().map(|key| key.name);
        all.filter(|name| name.starts_with("boot") && !used.contains(name)).collect()
    }

    /// Some of what is there, as references.
    fn some(&mut self, kind: Kind, collection: &str, prefix: &str, most: u64) -> Vec<Value> {
        let mut all: Vec<Key> = self.present(kind).into_iter().filter(|key| key.name.starts_with(prefix)).collect();
        let mut some = Vec::new();
        for _ in 0..self.chance.within(0..=most) {
            if let Some(key) = self.chance.of_list(&all).cloned() {
                some.push(json!({"resource": format!("{collection}/{}", key.name)}));
                all.retain(|other| *other != key);
            }
        }
        some
    }

    fn instance(&mut self, disk: &str, sku: &str, starts: bool) -> Value {
        let mut spec = json!({
            "skuRef": {"resource": format!("skus/{sku}")}, "zone": REGION,
            "bootVolume": {"deviceRef": {"resource": format!("block-storages/{disk}")}},
        });
        let group = self.one(Kind::SecurityGroup).filter(|_| self.chance.once_in(3));
        if let Some(group) = group {
            spec["securityGroupRef"] = json!({"resource": format!("security-groups/{}", group.name)});
        }
        if self.chance.once_in(3) {
            spec["userData"] = json!(format!("#!/bin/sh\necho {}\n", self.chance.within(1..=3)));
        }
        let mut nics = self.some(Kind::Nic, "nics", "nic", 2).into_iter();
        if let Some(nic) = nics.next() {
            spec["primaryNicRef"] = nic;
            spec["additionalNicRefs"] = nics.collect();
        }
        let volumes = self.some(Kind::BlockStorage, "block-storages", "data", 2);
        spec["dataVolumes"] = volumes.into_iter().map(|volume| json!({"deviceRef": volume})).collect();
        if self.chance.once_in(4) {
            spec["antiAffinityGroup"] = json!(format!("apart-{}", self.chance.within(1..=2)));
        }
        let mut extensions = json!({"hetzner.cloud/start-after-create": starts.to_string()});
        if self.chance.once_in(3) {
            extensions["hetzner.cloud/disruptive"] = json!("allow");
        }
        json!({"extensions": extensions, "spec": spec})
    }

    async fn change_instance(&mut self) {
        let Some(key) = self.one(Kind::Instance) else { return };
        let wanted = self.model.wanted();
        let Some(Wanted::Present(spec)) = wanted.get(&key) else { return };
        let sku = spec["skuRef"]["resource"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let (disk, sku) = (disk_of(spec), sku.to_owned());
        let starts = self.chance.once_in(2);
        let draft = self.instance(&disk, &sku, starts);
        self.put_json::<Instance>("", &key.name, draft).await;
    }

    async fn power(&mut self) {
        let Some(key) = self.one(Kind::Instance) else { return };
        let action = *self.chance.of_list(&["start", "stop", "restart"]).unwrap_or(&"start");
        if action == "restart" {
            self.model.restart(&key);
        }
        let place = self.place(Kind::Instance, "");
        let answer = self
            .fleet
            .once(|client| {
                let (place, name) = (place.clone(), key.name.clone());
                async move { client.collection::<Instance>(place).action(&name, action).await }
            })
            .await;
        self.count(&format!("{action} instance"), &answer);
    }

    // -- networks -----------------------------------------------------------------------------------------------

    async fn network(&mut self) {
        if self.present(Kind::Network).len() < 2 {
            let (name, block) = (self.fresh("net"), self.chance.within(1..=200));
            let spec = network(&format!("10.{block}.0.0/16"));
            if self.put::<Network>("", &name, spec.into()).await {
                let subnet = json!({"spec": {"cidr": {"ipv4": format!("10.{block}.1.0/24")}}});
                self.put_json::<Subnet>(&name, "sub-1", subnet).await;
            }
            return;
        }
        let Some(key) = self.one(Kind::Network) else { return };
        // What is in it goes first, or the deletion is refused.
        for kind in [Kind::Nic, Kind::RouteTable] {
            for inner in self.present(kind) {
                if kind == Kind::Nic {
                    self.delete::<Nic>(&inner).await;
                } else if inner.network == key.name {
                    self.delete::<RouteTable>(&inner).await;
                }
            }
        }
        if self.delete::<Network>(&key).await {
            for subnet in self.present(Kind::Subnet).into_iter().filter(|subnet| subnet.network == key.name) {
                self.model.set(&subnet, Wanted::Gone);
            }
        }
    }

    /// The second number of a network's block.
    fn block(&self, key: &Key) -> Option<String> {
        let wanted = self.model.wanted();
        let Some(Wanted::Present(spec)) = wanted.get(key) else { return None };
        spec["cidr"]["ipv4"].as_str()?.split('.').nth(1).map(str::to_owned)
    }

    async fn inside_network(&mut self) {
        let Some(key) = self.one(Kind::Network) else { return };
        let Some(block) = self.block(&key) else { return };
        let inner = |user: &Self, kind| -> Vec<Key> {
            user.present(kind).into_iter().filter(|inner| inner.network == key.name).collect()
        };
        let number = self.chance.within(1..=4);
        match self.chance.within(0..=4) {
            0 | 1 => {
                let subnet = json!({"spec": {"cidr": {"ipv4": format!("10.{block}.{number}.0/24")}}});
                self.put_json::<Subnet>(&key.name, &format!("sub-{number}"), subnet).await;
            }
            2 => {
                let routes = [json!({
                    "destinationCidrBlock": format!("10.{}.0.0/24", 200 + number),
                    "targetRef": {"resource": format!("10.{block}.1.{}", 10 + number)},
                })];
                self.put_json::<RouteTable>(&key.name, "table", json!({"spec": {"routes": routes}})).await;
            }
            3 => {
                let tables = inner(self, Kind::RouteTable);
                if let Some(table) = self.chance.of_list(&tables).cloned() {
                    self.delete::<RouteTable>(&table).await;
                }
            }
            _ => {
                let subnets = inner(self, Kind::Subnet);
                if let Some(subnet) = self.chance.of_list(&subnets).cloned() {
                    self.delete::<Subnet>(&subnet).await;
                }
            }
        }
    }

    async fn nic(&mut self) {
        if self.present(Kind::Nic).len() > 3 || self.chance.once_in(3) {
            return self.drop_one::<Nic>(Kind::Nic).await;
        }
        let Some(subnet) = self.one(Kind::Subnet) else { return };
        let reference = format!("networks/{}/subnets/{}", subnet.network, subnet.name);
        let name = self.fresh("nic");
        self.put_nic(&name, json!({"resource": reference})).await;
    }

    async fn change_nic(&mut self) {
        let Some(key) = self.one(Kind::Nic) else { return };
        let wanted = self.model.wanted();
        let Some(Wanted::Present(spec)) = wanted.get(&key) else { return };
        let subnet = spec["subnetRef"].clone();
        self.put_nic(&key.name, subnet).await;
    }

    async fn put_nic(&mut self, name: &str, subnet: Value) {
        let mut spec = json!({"addresses": ["0.0.0.0"], "subnetRef": subnet});
        spec["publicIpRefs"] = self.some(Kind::PublicIp, "public-ips", "ip", 1).into();
        spec["securityGroupRefs"] = self.some(Kind::SecurityGroup, "security-groups", "group", 2).into();
        self.put_json::<Nic>("", name, json!({"spec": spec})).await;
    }

    async fn address(&mut self) {
        if self.present(Kind::PublicIp).len() > 3 || self.chance.once_in(3) {
            return self.drop_one::<PublicIp>(Kind::PublicIp).await;
        }
        let version = if self.chance.once_in(3) { "IPv6" } else { "IPv4" };
        let name = self.fresh("ip");
        self.put_json::<PublicIp>("", &name, json!({"spec": {"version": version}})).await;
    }

    async fn group(&mut self) {
        let port = self.chance.within(20..=90);
        let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": port, "to": port}});
        match self.chance.within(0..=4) {
            0 => self.drop_one::<SecurityGroup>(Kind::SecurityGroup).await,
            1 => self.drop_one::<SecurityGroupRule>(Kind::SecurityGroupRule).await,
            2 => {
                let name = format!("rule-{}", self.chance.within(1..=3));
                self.put_json::<SecurityGroupRule>("", &name, json!({"spec": rule})).await;
            }
            _ => {
                let rules = self.present(Kind::SecurityGroupRule);
                let named: Vec<Value> =
                    rules.iter().map(|key| json!({"resource": format!("security-group-rules/{}", key.name)})).collect();
                let mut spec = json!({"rules": [rule]});
                if !named.is_empty() && self.chance.once_in(2) {
                    spec["ruleRefs"] = json!(named);
                }
                let name = format!("group-{}", self.chance.within(1..=3));
                self.put_json::<SecurityGroup>("", &name, json!({"spec": spec})).await;
            }
        }
    }

    async fn gateway(&mut self) {
        if self.chance.once_in(3) {
            return self.drop_one::<InternetGateway>(Kind::InternetGateway).await;
        }
        let name = format!("gateway-{}", self.chance.within(1..=2));
        let spec = json!({"egressOnly": self.chance.once_in(2)});
        self.put_json::<InternetGateway>("", &name, json!({"spec": spec})).await;
    }

    /// As [`Self::put`], of a draft that is written as JSON.
    async fn put_json<R: Writable>(&mut self, network: &str, name: &str, draft: Value) -> bool
    where
        R::Spec: Clone + serde::de::DeserializeOwned,
    {
        match serde_json::from_value::<Draft<R::Spec>>(draft) {
            Ok(draft) => self.put::<R>(network, name, draft).await,
            Err(error) => {
                self.model.defect(format!("a draft of {} of this program cannot be read: {error}", R::KIND.noun()));
                false
            }
        }
    }

    /// Removes what is there of a workspace, then the workspace itself. Images stay: they are the tenant's.
    pub(crate) async fn leave(&mut self, stop: &CancellationToken) {
        loop {
            for key in self.present(Kind::Instance) {
                self.delete::<Instance>(&key).await;
            }
            for key in self.present(Kind::BlockStorage) {
                self.delete::<BlockStorage>(&key).await;
            }
            for key in self.present(Kind::PublicIp) {
                self.delete::<PublicIp>(&key).await;
            }
            let key = self.key(Kind::Workspace, "", &self.workspace);
            if self.delete::<Workspace>(&key).await || stop.is_cancelled() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// A short life: a workspace, two things in it, and away.
    pub(crate) async fn visit(&mut self, token: &str, stop: &CancellationToken) {
        if self.settle(token).await {
            self.put::<BlockStorage>("", "data-1", blank_storage(10).into()).await;
            self.put_json::<PublicIp>("", "ip-1", json!({"spec": {"version": "IPv4"}})).await;
            // A server that ran is copied, and its image outlives the workspace.
            let is_long = self.chance.once_in(3);
            if is_long {
                self.boot(true).await;
            }
            let time = Duration::from_millis(self.chance.within(500..=4_000));
            tokio::select! {
                () = sleep(if is_long { time * 3 } else { time }) => {}
                () = stop.cancelled() => {}
            }
            let disk = self.present(Kind::BlockStorage).into_iter().find(|key| key.name.starts_with("boot"));
            if let Some(disk) = disk {
                self.copy(&disk.name).await;
                sleep(time).await;
            }
        }
        self.leave(stop).await;
    }
}

/// One guest after the other, each with a workspace of its own.
pub(crate) async fn guests(mut host: User, tokens: Vec<String>, stop: CancellationToken) {
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        let Some(token) = host.chance.of_list(&tokens).cloned() else { return };
        host.workspace = format!("guest-{number}");
        host.visit(&token, &stop).await;
        let pause = Duration::from_millis(host.chance.within(500..=5_000));
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The block storage that an instance boots from.
fn disk_of(spec: &Value) -> String {
    let boot = spec["bootVolume"]["deviceRef"]["resource"].as_str().unwrap_or_default();
    boot.rsplit('/').next().unwrap_or_default().to_owned()
}

fn blank_storage(size: u32) -> BlockStorageSpec {
    BlockStorageSpec { sku_ref: Reference::new("skus/hcloud-volume"), size_gb: size, source_image_ref: None }
}

fn network(block: &str) -> NetworkSpec {
    NetworkSpec { cidr: Cidr::v4(block), additional_cidrs: Vec::new(), sku_ref: Reference::new("skus/hcloud-network") }
}
