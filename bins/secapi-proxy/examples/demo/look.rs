//! What the simulated server really has: asked of the simulator's cloud itself, and compared with what was asked for.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{simulator::Simulator, stack};

/// A server as the simulated cloud has it, with what stands around it.
pub(crate) struct Look {
    server: Value,
    firewalls: Vec<Value>,
    volumes: Vec<Value>,
    network: Value,
    group: Value,
    keys: Vec<String>,
}

/// The words of a value: a text without its quotes.
fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn joined(value: &Value) -> String {
    list(value).map(words).collect::<Vec<_>>().join(", ")
}

impl Look {
    /// At the server of the instance `web` of a workspace.
    pub(crate) async fn at(simulator: &Simulator, workspace: &str) -> anyhow::Result<Self> {
        let labels = format!("servers?label_selector=seca.workspace=={workspace},seca.name==web");
        let mut found = simulator.cloud(&labels, "servers").await?;
        let found = found.as_array_mut().filter(|servers| servers.len() == 1);
        let server =
            found.and_then(Vec::pop).context("the simulated cloud does not have one server of the instance")?;
        let mut firewalls = Vec::new();
        for firewall in list(&server["public_net"]["firewalls"]) {
            firewalls.push(simulator.cloud(&format!("firewalls/{}", firewall["id"]), "firewall").await?);
        }
        let mut volumes = Vec::new();
        for volume in list(&server["volumes"]) {
            volumes.push(simulator.cloud(&format!("volumes/{volume}"), "volume").await?);
        }
        let network = &server["private_net"][0]["network"];
        ensure!(network.is_number(), "the server is in no network");
        let network = simulator.cloud(&format!("networks/{network}"), "network").await?;
        let keys = simulator.authorized_keys(&server["id"]).await?;
        let group = server["placement_group"].clone();
        Ok(Self { server, firewalls, volumes, network, group, keys })
    }

    /// Compares it with what was asked for. `public` is the address that the API told.
    pub(crate) fn judge(&self, public: &str) -> anyhow::Result<()> {
        let server = &self.server;
        ensure!(server["status"] == "running", "the server is {}", server["status"]);
        let key = stack::KEY.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        ensure!(self.keys.len() == 1 && self.keys[0].starts_with(&key), "its keys are {:?}", self.keys);
        let ipv4 = &server["public_net"]["ipv4"]["ip"];
        ensure!(ipv4 == public, "its public address is {ipv4}, and the API tells {public}");
        ensure!(server["public_net"]["ipv6"].is_null(), "it has an IPv6 address that nobody asked for");
        ensure!(server["private_net"].as_array().is_some_and(|nets| nets.len() == 1), "it is in other networks");
        let net = &server["private_net"][0];
        ensure!(net["ip"] == stack::ADDRESS, "its private address is {}", net["ip"]);
        ensure!(list(&net["alias_ips"]).count() == 1, "its further addresses are {}", net["alias_ips"]);
        ensure!(self.network["ip_range"] == stack::NETWORK, "its network is {}", self.network["ip_range"]);
        ensure!(self.volumes.len() == 1, "it has {} volumes", self.volumes.len());
        ensure!(self.volumes[0]["size"] == stack::DATA_GB, "the volume has {} GB", self.volumes[0]["size"]);
        ensure!(self.group["type"] == "spread", "its placement group is {}", self.group);
        let applied = list(&server["public_net"]["firewalls"]).all(|firewall| firewall["status"] == "applied");
        ensure!(applied && self.firewalls.len() == 1, "its firewalls are {}", server["public_net"]["firewalls"]);
        let rules: BTreeSet<String> = list(&self.firewalls[0]["rules"]).map(rule).collect();
        let wanted = [
            format!("in tcp 22 from {}/32", stack::OFFICE),
            "in tcp 80 from 0.0.0.0/0, ::/0".to_owned(),
            "in tcp 443 from 0.0.0.0/0, ::/0".to_owned(),
            "out tcp 1-65535 to 0.0.0.0/0, ::/0".to_owned(),
            "out udp 1-65535 to 0.0.0.0/0, ::/0".to_owned(),
            "out icmp to 0.0.0.0/0, ::/0".to_owned(),
        ];
        ensure!(rules == BTreeSet::from(wanted), "the rules of its firewall are {rules:?}");
        Ok(())
    }

    /// It as a table.
    pub(crate) fn table(&self) -> String {
        let server = &self.server;
        let (kind, place) = (words(&server["server_type"]["name"]), words(&server["location"]["name"]));
        let (name, status) = (words(&server["name"]), words(&server["status"]));
        let mut text = format!("\n  What the simulated cloud has: the server {name}, a {kind} in {place}, {status}\n");
        let mut line = |about: &str, what: String| text.push_str(&format!("    {about:<16} {what}\n"));
        self.keys.iter().for_each(|key| line("SSH key", key.clone()));
        line("public IPv4", words(&server["public_net"]["ipv4"]["ip"]));
        for net in list(&server["private_net"]) {
            let (ip, alias) = (words(&net["ip"]), joined(&net["alias_ips"]));
            line(
                "private network",
                format!("{ip} in {}, MAC {}", words(&self.network["ip_range"]), words(&net["mac_address"])),
            );
            line("", format!("alias {alias}, which the guest adds itself"));
        }
        for firewall in &self.firewalls {
            line("firewall", words(&firewall["name"]));
            list(&firewall["rules"]).for_each(|one| line("", rule(one)));
        }
        for volume in &self.volumes {
            line("volume", format!("{} GB at {}", volume["size"], words(&volume["linux_device"])));
        }
        line("placement group", format!("{} ({})", words(&self.group["name"]), words(&self.group["type"])));
        text
    }
}

/// A rule of a firewall in words.
fn rule(rule: &Value) -> String {
    let (word, sides) = match rule["direction"].as_str() {
        Some("in") => ("from", &rule["source_ips"]),
        _ => ("to", &rule["destination_ips"]),
    };
    let port = rule["port"].as_str().map(|port| format!(" {port}")).unwrap_or_default();
    format!("{} {}{port} {word} {}", words(&rule["direction"]), words(&rule["protocol"]), joined(sides))
}
