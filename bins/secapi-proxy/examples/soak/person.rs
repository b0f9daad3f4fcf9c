//! A person with the provider's console, who works beside the product: makes and deletes objects of their own, so that
//! pages shift, and changes, starts, stops, attaches and deletes what is not theirs.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    cloud::{Cloud, Object},
    model::Model,
    stage::CloudProject,
};

/// More volumes than a page holds.
const FOREIGN_VOLUMES: u64 = 55;

/// The person.
pub(crate) struct Person {
    pub(crate) cloud: Cloud,
    pub(crate) projects: Arc<Vec<CloudProject>>,
    pub(crate) model: Model,
    pub(crate) chance: Chance,
    pub(crate) serial: u64,
    /// Whether markers may be deleted, and how many were.
    pub(crate) markers: u64,
}

/// What a person did that somebody must take back: the product leaves it alone.
fn undo(object: &Object) -> Option<(&'static str, String, Value)> {
    let post = |path: &str, body: Value| Some(("POST", format!("{}/actions/{path}", object.path()), body));
    match object.kind {
        "volumes" if object.json["protection"]["delete"] == true => post("change_protection", json!({"delete": false})),
        "volumes" if !object.json["server"].is_null() => post("detach", json!({})),
        "networks" => {
            let of = |list: &str, is: &dyn Fn(&Value) -> bool| {
                object.json[list].as_array().into_iter().flatten().find(|item| is(item)).cloned()
            };
            let route = of("routes", &|route| route["destination"] == ROUTE);
            let subnet = of("subnets", &|subnet| text(&subnet["ip_range"]).ends_with(SUBNET));
            if let Some(route) = route {
                return post("delete_route", route);
            }
            post("delete_subnet", json!({"ip_range": subnet?["ip_range"]}))
        }
        _ => None,
    }
}

/// Where the person's routes lead to, and how the ranges of their subnets end.
const ROUTE: &str = "10.250.0.0/24";
const SUBNET: &str = ".77.0/24";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Person {
    /// Fills the first project with objects of the person's own.
    pub(crate) async fn prepare(&mut self) -> anyhow::Result<()> {
        let projects = self.projects.clone();
        if let Some(first) = projects.first() {
            for _ in 0..FOREIGN_VOLUMES {
                self.make_volume(first).await?;
            }
        }
        for project in projects.iter() {
            self.serial += 1;
            let name = format!("of-a-person-{}", self.serial);
            let body = json!({
                "name": name, "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1",
                "labels": {"owner": "a-person"},
            });
            self.make(project, "servers", "server", &name, body).await?;
        }
        Ok(())
    }

    async fn make_volume(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        self.serial += 1;
        let name = format!("of-a-person-{}", self.serial);
        let body = json!({"name": name, "size": 10, "location": "fsn1", "labels": {"owner": "a-person"}});
        self.make(project, "volumes", "volume", &name, body).await
    }

    async fn make(
        &self,
        project: &CloudProject,
        kind: &str,
        noun: &str,
        name: &str,
        body: Value,
    ) -> anyhow::Result<()> {
        let (status, answer) = self.cloud.call(project, "POST", &format!("/{kind}"), Some(body)).await?;
        if status == 201 {
            self.model.made_foreign(&project.name, &format!("/{kind}/{}", answer[noun]["id"]), name);
            self.model.deed(format!("{noun} of their own made"));
        }
        Ok(())
    }

    /// Works until told to stop.
    pub(crate) async fn work(mut self, stop: CancellationToken) -> anyhow::Result<Self> {
        while !stop.is_cancelled() {
            let pause = Duration::from_millis(self.chance.within(200..=1_200));
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => break,
            }
            self.step().await?;
        }
        Ok(self)
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let projects = self.projects.clone();
        let Some(project) = self.chance.of_list(&projects) else { return Ok(()) };
        match self.chance.within(0..=29) {
            0..=9 => self.shift(&projects[0]).await,
            10..=13 => self.power(project).await,
            14..=16 => self.attach(project).await,
            17..=18 => self.change_volume(project).await,
            19..=20 => self.change_network(project).await,
            21 => self.open_firewall(project).await,
            22 => self.rename(project).await,
            23 => self.destroy(project, "volumes").await,
            24 => self.destroy(project, "servers").await,
            25 => self.destroy(project, "networks").await,
            26 => self.destroy(project, "primary_ips").await,
            27 => self.destroy(project, "images").await,
            28 => self.snapshot(project).await,
            _ => self.marker(project).await,
        }
    }

    /// One of what the product made.
    async fn ours(&mut self, project: &CloudProject, kind: &str) -> anyhow::Result<Option<Object>> {
        let all = self.cloud.list(project, kind).await?;
        let ours: Vec<Object> = all.into_iter().filter(|object| object.uid().is_some()).collect();
        Ok(self.chance.of_list(&ours).cloned())
    }

    /// Calls, and counts what was done.
    async fn act(
        &self,
        project: &CloudProject,
        deed: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<bool> {
        let body = (method != "DELETE").then_some(body);
        let (status, _) = self.cloud.call(project, method, path, body).await?;
        if status < 300 {
            self.model.deed(deed);
        }
        Ok(status < 300)
    }

    /// Deletes the oldest of their own volumes, which stand on the first page, and makes new ones.
    async fn shift(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let own: Vec<String> = self
            .model
            .foreign()
            .into_iter()
            .filter(|(name, path, _)| *name == project.name && path.starts_with("/volumes/"))
            .map(|(_, path, _)| path)
            .collect();
        for path in own.iter().take(usize::try_from(self.chance.within(1..=3))?) {
            if self.act(project, "volume of their own deleted", "DELETE", path, Value::Null).await? {
                self.model.removed_foreign(&project.name, path);
            }
        }
        while self
            .model
            .foreign()
            .iter()
            .filter(|(name, path, _)| *name == project.name && path.starts_with("/volumes/"))
            .count()
            < usize::try_from(FOREIGN_VOLUMES)?
        {
            self.make_volume(project).await?;
        }
        Ok(())
    }

    async fn power(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let Some(server) = self.ours(project, "servers").await? else { return Ok(()) };
        let action =
            *self.chance.of_list(&["poweron", "poweron", "poweroff", "shutdown", "reboot"]).unwrap_or(&"poweron");
        let path = format!("{}/actions/{action}", server.path());
        self.act(project, &format!("server: {action}"), "POST", &path, json!({})).await.map(drop)
    }

    async fn attach(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let Some(volume) = self.ours(project, "volumes").await? else { return Ok(()) };
        let servers = self.cloud.list(project, "servers").await?;
        let Some(server) = self.chance.of_list(&servers) else { return Ok(()) };
        let path = format!("{}/actions/attach", volume.path());
        self.act(project, "volume attached", "POST", &path, json!({"server": server.id})).await.map(drop)
    }

    async fn change_volume(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let Some(volume) = self.ours(project, "volumes").await? else { return Ok(()) };
        if self.chance.once_in(3) {
            let path = format!("{}/actions/change_protection", volume.path());
            return self.act(project, "volume protected", "POST", &path, json!({"delete": true})).await.map(drop);
        }
        let size = volume.json["size"].as_i64().unwrap_or(10) + 5;
        let path = format!("{}/actions/resize", volume.path());
        self.act(project, "volume grown", "POST", &path, json!({"size": size})).await.map(drop)
    }

    async fn change_network(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let Some(network) = self.ours(project, "networks").await? else { return Ok(()) };
        let range = text(&network.json["ip_range"]).split('.').take(2).collect::<Vec<_>>().join(".");
        let (action, body) = if self.chance.once_in(2) {
            ("add_route", json!({"destination": ROUTE, "gateway": format!("{range}.1.200")}))
        } else {
            let subnet = json!({"type": "cloud", "network_zone": "eu-central", "ip_range": format!("{range}{SUBNET}")});
            ("add_subnet", subnet)
        };
        let path = format!("{}/actions/{action}", network.path());
        self.act(project, &format!("network: {action}"), "POST", &path, body).await.map(drop)
    }

    /// Opens the firewall that closes what has no group.
    async fn open_firewall(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let firewalls = self.cloud.list(project, "firewalls").await?;
        let Some(firewall) = firewalls.iter().find(|firewall| firewall.is_managed()) else { return Ok(()) };
        let rule = json!({"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"]});
        let path = format!("{}/actions/set_rules", firewall.path());
        self.act(project, "firewall opened", "POST", &path, json!({"rules": [rule]})).await.map(drop)
    }

    async fn rename(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let kind = *self.chance.of_list(&["servers", "volumes", "networks"]).unwrap_or(&"servers");
        let Some(object) = self.ours(project, kind).await? else { return Ok(()) };
        self.serial += 1;
        let body = json!({"name": format!("renamed-{}", self.serial)});
        self.act(project, &format!("{kind}: renamed"), "PUT", &object.path(), body).await.map(drop)
    }

    async fn snapshot(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        let Some(server) = self.ours(project, "servers").await? else { return Ok(()) };
        self.serial += 1;
        let name = format!("of-a-person-{}", self.serial);
        let body = json!({"type": "snapshot", "description": name, "labels": {"owner": "a-person"}});
        let path = format!("{}/actions/create_image", server.path());
        let (status, answer) = self.cloud.call(project, "POST", &path, Some(body)).await?;
        if status == 201 {
            self.model.made_foreign(&project.name, &format!("/images/{}", answer["image"]["id"]), &name);
            self.model.deed("snapshot of their own made");
        }
        Ok(())
    }

    /// Deletes something of ours, with all that was in it.
    async fn destroy(&mut self, project: &CloudProject, kind: &str) -> anyhow::Result<()> {
        // Seldom, so that most of what is judged at the end is whole.
        if !self.chance.once_in(3) {
            return Ok(());
        }
        let Some(object) = self.ours(project, kind).await? else { return Ok(()) };
        // Marked before it is done: the answer may come after the product saw it.
        if let Some(uid) = object.uid() {
            self.model.destroy(uid);
        }
        self.act(project, &format!("{kind}: deleted"), "DELETE", &object.path(), Value::Null).await.map(drop)
    }

    /// Tidies up an empty placement group: the marker.
    async fn marker(&mut self, project: &CloudProject) -> anyhow::Result<()> {
        if self.markers == 0 || !self.chance.once_in(4) {
            return Ok(());
        }
        let groups = self.cloud.list(project, "placement_groups").await?;
        let Some(marker) = groups.iter().find(|group| group.is_marker()) else { return Ok(()) };
        self.markers -= 1;
        self.act(project, "marker deleted", "DELETE", &marker.path(), Value::Null).await.map(drop)
    }

    /// Takes back what the product leaves alone and would wait for: attachments, protections, routes, subnets. Until
    /// nothing of it is left, since what is locked refuses.
    pub(crate) async fn tidy(&self) -> anyhow::Result<usize> {
        let mut left = 0;
        for project in self.projects.iter() {
            for kind in ["volumes", "networks"] {
                for object in self.cloud.list(project, kind).await?.iter().filter(|object| object.uid().is_some()) {
                    if let Some((method, path, body)) = undo(object) {
                        left += 1;
                        self.cloud.call(project, method, &path, Some(body)).await?;
                    }
                }
            }
        }
        Ok(left)
    }
}
