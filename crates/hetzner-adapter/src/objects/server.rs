//! Servers. While one change of a server is under way, the provider refuses others as `locked`.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{
        Action, AttachToNetwork, ChangeAliasIps, ChangeType, CreateServer, Firewall, FirewallResource, FirewallTarget,
        Id, Labels, Network, PlacementGroup, PrivateNet, Server, ServerFirewallStatus, ServerStatus, UpdateServer,
        UserData,
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Effect, Object, ObjectCall, ObjectId, Objects, ProviderObject, Sent, Trace,
    primary_ip::{assign, has_primary_ip},
};
use crate::{
    call::{Call, Until, name_key},
    snapshot::Change,
};

impl ProviderObject for Server {
    const MADE_BY: Option<&'static str> = Some("create_server");
    /// The provider's words for what only a server that runs, or has run, is made to do (its API reference, actions
    /// of servers). One that failed leaves the server as it was.
    const USED_BY: &'static [&'static str] = &[
        "start_server",
        "stop_server",
        "shutdown_server",
        "reboot_server",
        "reset_server",
        "rebuild_server",
        "change_server_type",
    ];
    const BEGUN_BY: &'static [&'static str] = &["start_server", "reboot_server", "reset_server", "rebuild_server"];

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    fn size_gb(&self) -> Option<u64> {
        Some(self.primary_disk_size).filter(|size| *size > 0)
    }

    fn location(&self) -> Option<&str> {
        Some(&self.location.name)
    }

    fn is(&self, until: Until) -> bool {
        match until {
            Until::Settled => is_settled(self),
            Until::Off => self.status == ServerStatus::Off,
            Until::Applied => {
                self.public_net.firewalls.iter().all(|firewall| firewall.status == ServerFirewallStatus::Applied)
            }
            _ => true,
        }
    }

    fn seen(&self, others: &mut Objects) {
        let id = self.id;
        for volume in others.volumes.values_mut() {
            correct(&mut volume.server, id, self.volumes.contains(&volume.id));
        }
        for network in others.networks.values_mut() {
            member(&mut network.servers, id, self.attachment(network.id).is_some());
        }
        for group in others.placement_groups.values_mut() {
            let is_in = self.placement_group.as_ref().is_some_and(|own| own.id == group.id);
            member(&mut group.servers, id, is_in);
        }
        for ip in others.primary_ips.values_mut() {
            let mut assignee = ip.assignee_id.map(Id::new);
            correct(&mut assignee, id, has_primary_ip(self, ip.id));
            assign(ip, assignee);
        }
        for firewall in others.firewalls.values_mut() {
            match has_firewall(self, firewall.id) {
                false => firewall.applied_to.retain(|target| target.server.is_none_or(|server| server.id != id)),
                // By a selector it may stand before the server without naming it.
                true if !is_by_selector(firewall) && !names(firewall, id) => {
                    firewall.applied_to.push(FirewallResource::server(id));
                }
                true => {}
            }
        }
    }

    /// The provider detaches everything from a server that is deleted, and deletes the addresses made for it alone.
    fn gone(id: Id<Self>, others: &mut Objects) {
        for volume in others.volumes.values_mut() {
            correct(&mut volume.server, id, false);
        }
        for network in others.networks.values_mut() {
            member(&mut network.servers, id, false);
        }
        for firewall in others.firewalls.values_mut() {
            firewall.applied_to.retain(|target| target.server.is_none_or(|server| server.id != id));
        }
        for group in others.placement_groups.values_mut() {
            member(&mut group.servers, id, false);
        }
        let is_its = |assignee: Option<i64>| assignee == Some(id.get());
        others.primary_ips.retain(|_, ip| !(ip.auto_delete && is_its(ip.assignee_id)));
        for ip in others.primary_ips.values_mut().filter(|ip| is_its(ip.assignee_id)) {
            assign(ip, None);
        }
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_servers(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_server(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_server(id).await.map(Some)
    }

    async fn actions(client: &ProjectClient, id: Id<Self>) -> Result<Vec<Action>, Error> {
        client.list_server_actions(id).await
    }
}

/// A server, or none: whether it is this one is known.
fn correct(server: &mut Option<Id<Server>>, id: Id<Server>, is_this: bool) {
    match is_this {
        true => *server = Some(id),
        false => *server = server.filter(|other| *other != id),
    }
}

fn member(servers: &mut Vec<Id<Server>>, id: Id<Server>, is_in: bool) {
    servers.retain(|server| *server != id);
    if is_in {
        servers.push(id);
    }
}

fn is_by_selector(firewall: &Firewall) -> bool {
    firewall.applied_to.iter().any(|target| target.kind != FirewallTarget::Server)
}

fn names(firewall: &Firewall, id: Id<Server>) -> bool {
    firewall.applied_to.iter().any(|target| target.server.is_some_and(|server| server.id == id))
}

/// Whether a firewall stands before a server, or is about to.
pub(crate) fn has_firewall(server: &Server, firewall: Id<Firewall>) -> bool {
    server.public_net.firewalls.iter().any(|applied| applied.id == firewall)
}

/// Whether a server is on, or will be without anybody's doing.
fn is_on(server: &Server) -> bool {
    matches!(server.status, ServerStatus::Running | ServerStatus::Starting)
}

/// Whether nothing is under way with a server: only then it can be changed.
fn is_settled(server: &Server) -> bool {
    !server.locked && matches!(server.status, ServerStatus::Running | ServerStatus::Off)
}

/// What is done to servers. User data is not part of it: a step carries that beside its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum ServerCall {
    #[serde(rename = "create_server")]
    Create(Box<CreateServer>),
    #[serde(rename = "update_server")]
    Update { server: Id<Server>, name: String, labels: Labels },
    #[serde(rename = "delete_server")]
    Delete { server: Id<Server> },
    #[serde(rename = "poweron")]
    Poweron { server: Id<Server> },
    #[serde(rename = "poweroff")]
    Poweroff { server: Id<Server> },
    #[serde(rename = "shutdown")]
    Shutdown {
        server: Id<Server>,
        /// The number of the power action that it serves.
        seq: i64,
        issued_at: i64,
    },
    #[serde(rename = "reboot")]
    Reboot {
        server: Id<Server>,
        issued_at: i64,
        /// The last reboot known before; a later one is this one.
        after_action: Option<i64>,
    },
    #[serde(rename = "reset")]
    Reset {
        server: Id<Server>,
        issued_at: i64,
        /// See `Reboot`.
        after_action: Option<i64>,
    },
    /// The address in the network and further ones: those and no others.
    #[serde(rename = "attach_to_network")]
    AttachToNetwork {
        server: Id<Server>,
        network: Id<Network>,
        ip: Ipv4Addr,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alias_ips: Vec<Ipv4Addr>,
    },
    #[serde(rename = "detach_from_network")]
    DetachFromNetwork { server: Id<Server>, network: Id<Network> },
    /// All further addresses: those and no others.
    #[serde(rename = "change_alias_ips")]
    ChangeAliasIps { server: Id<Server>, network: Id<Network>, alias_ips: Vec<Ipv4Addr> },
    /// The server must be off.
    #[serde(rename = "add_to_placement_group")]
    AddToPlacementGroup { server: Id<Server>, placement_group: Id<PlacementGroup> },
    #[serde(rename = "remove_from_placement_group")]
    RemoveFromPlacementGroup { server: Id<Server>, placement_group: Id<PlacementGroup> },
    /// The server must be off. The provider may start it afterwards.
    #[serde(rename = "change_type")]
    ChangeType {
        server: Id<Server>,
        /// The name of the type.
        server_type: String,
        /// Whether the disk grows too; then no type with a smaller disk is possible any more.
        upgrade_disk: bool,
    },
}

impl ServerCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }

    fn server(&self) -> Option<Id<Server>> {
        match self {
            Self::Create(_) => None,
            Self::Update { server, .. }
            | Self::Delete { server }
            | Self::Poweron { server }
            | Self::Poweroff { server }
            | Self::Shutdown { server, .. }
            | Self::Reboot { server, .. }
            | Self::Reset { server, .. }
            | Self::AttachToNetwork { server, .. }
            | Self::DetachFromNetwork { server, .. }
            | Self::ChangeAliasIps { server, .. }
            | Self::AddToPlacementGroup { server, .. }
            | Self::RemoveFromPlacementGroup { server, .. }
            | Self::ChangeType { server, .. } => Some(*server),
        }
    }

    /// Whether the server must run for it.
    fn needs_power(&self) -> bool {
        matches!(self, Self::Reboot { .. } | Self::Reset { .. } | Self::Shutdown { .. })
    }

    /// Whether the server must be off for it.
    fn needs_rest(&self) -> bool {
        matches!(self, Self::AddToPlacementGroup { .. } | Self::ChangeType { .. })
    }
}

fn is_off(object: &Object) -> bool {
    matches!(object, Object::Server(server) if server.status == ServerStatus::Off)
}

fn has_aliases(net: &PrivateNet, wanted: &[Ipv4Addr]) -> bool {
    let sorted = |ips: &[Ipv4Addr]| {
        let mut ips = ips.to_vec();
        ips.sort_unstable();
        ips
    };
    sorted(&net.alias_ips) == sorted(wanted)
}

#[async_trait]
impl ObjectCall for ServerCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_server",
            Self::Update { .. } => "update_server",
            Self::Delete { .. } => "delete_server",
            Self::Poweron { .. } => "poweron",
            Self::Poweroff { .. } => "poweroff",
            Self::Shutdown { .. } => "shutdown",
            Self::Reboot { .. } => "reboot",
            Self::Reset { .. } => "reset",
            Self::AttachToNetwork { .. } => "attach_to_network",
            Self::DetachFromNetwork { .. } => "detach_from_network",
            Self::ChangeAliasIps { .. } => "change_alias_ips",
            Self::AddToPlacementGroup { .. } => "add_to_placement_group",
            Self::RemoveFromPlacementGroup { .. } => "remove_from_placement_group",
            Self::ChangeType { .. } => "change_type",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        self.server().map(ObjectId::Server)
    }

    fn names(&self) -> Vec<ObjectId> {
        match self {
            Self::Create(body) => {
                let ips = body.public_net.into_iter().flat_map(|net| [net.ipv4, net.ipv6]).flatten();
                let firewalls = body.firewalls.iter().map(|f| ObjectId::Firewall(f.firewall));
                let volumes = body.volumes.iter().copied().map(ObjectId::Volume);
                let group = body.placement_group.map(ObjectId::PlacementGroup);
                firewalls.chain(volumes).chain(ips.map(ObjectId::PrimaryIp)).chain(group).collect()
            }
            Self::AttachToNetwork { network, .. }
            | Self::DetachFromNetwork { network, .. }
            | Self::ChangeAliasIps { network, .. } => vec![ObjectId::Network(*network)],
            Self::AddToPlacementGroup { placement_group, .. } => vec![ObjectId::PlacementGroup(*placement_group)],
            _ => Vec::new(),
        }
    }

    fn holds(&self) -> Vec<ObjectId> {
        let also = match self {
            // A firewall or a placement group takes many servers at once.
            Self::Create(body) => {
                let ips = body.public_net.into_iter().flat_map(|net| [net.ipv4, net.ipv6]).flatten();
                body.volumes.iter().copied().map(ObjectId::Volume).chain(ips.map(ObjectId::PrimaryIp)).collect()
            }
            // A change of addresses changes nothing of the network.
            Self::ChangeAliasIps { .. } => Vec::new(),
            Self::RemoveFromPlacementGroup { placement_group, .. } => vec![ObjectId::PlacementGroup(*placement_group)],
            _ => self.names(),
        };
        self.object().into_iter().chain(also).collect()
    }

    fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::Create(body) => Some((&body.name, &body.labels)),
            _ => None,
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    fn is_ending(&self) -> bool {
        self.is_removal() || matches!(self, Self::DetachFromNetwork { .. } | Self::RemoveFromPlacementGroup { .. })
    }

    fn sets(&self) -> Option<(String, String)> {
        let none = || "none".to_owned();
        let (what, to) = match self {
            Self::Create(body) => return Some((name_key(&body.name), "taken".to_owned())),
            Self::Poweron { server } => (format!("power:{server}"), "on".to_owned()),
            Self::Poweroff { server } | Self::Shutdown { server, .. } => (format!("power:{server}"), "off".to_owned()),
            Self::AttachToNetwork { server, network, ip, alias_ips } => {
                (format!("net:{server}:{network}"), format!("{ip} {alias_ips:?}"))
            }
            Self::ChangeAliasIps { server, network, alias_ips } => {
                (format!("net:{server}:{network}"), format!("{alias_ips:?}"))
            }
            Self::DetachFromNetwork { server, network } => (format!("net:{server}:{network}"), none()),
            Self::AddToPlacementGroup { server, placement_group } => {
                (format!("group:{server}"), placement_group.to_string())
            }
            Self::RemoveFromPlacementGroup { server, .. } => (format!("group:{server}"), none()),
            // It may leave the server on.
            Self::ChangeType { server, server_type, .. } => (format!("power:{server}"), format!("type {server_type}")),
            Self::Update { .. } | Self::Delete { .. } | Self::Reboot { .. } | Self::Reset { .. } => return None,
        };
        Some((what, to))
    }

    fn is_rechecked(&self) -> bool {
        matches!(
            self,
            Self::AttachToNetwork { .. }
                | Self::DetachFromNetwork { .. }
                | Self::ChangeAliasIps { .. }
                | Self::AddToPlacementGroup { .. }
                | Self::RemoveFromPlacementGroup { .. }
                | Self::ChangeType { .. }
        )
    }

    fn is_refuted_by(&self, object: &Object) -> bool {
        let Object::Server(server) = object else { return false };
        if self.needs_power() && server.status == ServerStatus::Off {
            return true;
        }
        if self.needs_rest() && is_on(server) {
            return !matches!(self.judge(object, false), Effect::Seen(_));
        }
        match self {
            Self::AttachToNetwork { network, ip, alias_ips, .. } => {
                let differs = |net: &PrivateNet| {
                    net.ip.is_some_and(|has| has != *ip) || (net.ip.is_some() && !has_aliases(net, alias_ips))
                };
                server.attachment(*network).is_some_and(differs)
            }
            Self::ChangeAliasIps { network, .. } => server.attachment(*network).is_none(),
            Self::AddToPlacementGroup { placement_group, .. }
            | Self::RemoveFromPlacementGroup { placement_group, .. } => {
                server.placement_group.as_ref().is_some_and(|group| group.id != *placement_group)
            }
            _ => false,
        }
    }

    /// A reboot leaves no trace but its action.
    fn is_visible(&self) -> bool {
        !matches!(self, Self::Reboot { .. } | Self::Reset { .. })
    }

    fn untouched(&self) -> Option<fn(&Object) -> bool> {
        matches!(self, Self::Poweron { .. } | Self::ChangeType { .. }).then_some(is_off)
    }

    fn trace(&self) -> Option<Trace> {
        match self {
            Self::Reboot { server, issued_at, after_action } | Self::Reset { server, issued_at, after_action } => {
                Some(Trace {
                    server: *server,
                    issued_at: *issued_at,
                    after_action: *after_action,
                    commands: &["reboot_server", "reset_server"],
                })
            }
            _ => None,
        }
    }

    fn began(&self, action: &Action) -> Option<Change> {
        self.trace().map(|trace| Change::Rebooted { server: trace.server, action: action.id.get() })
    }

    fn judge(&self, object: &Object, acted: bool) -> Effect {
        let Object::Server(server) = object else { return Effect::seen() };
        match self {
            Self::Update { labels, .. } if server.labels != *labels => {
                Effect::NotYet(0, "The server does not bear its new labels yet.")
            }
            Self::Poweron { .. } => Effect::when(acted || is_on(server), "The server is not running yet."),
            Self::Poweroff { .. } => Effect::when(is_off(object), "The server is not off yet."),
            Self::Shutdown { server: id, seq, .. } => match acted || is_off(object) {
                true => Effect::Seen(Some(Change::ShutdownSent { server: *id, seq: *seq })),
                false => Effect::NotYet(0, "The guest may not have been asked to shut down; it is asked again."),
            },
            Self::AttachToNetwork { network, ip, alias_ips, .. } => Effect::when(
                server.attachment(*network).is_some_and(|net| net.ip == Some(*ip) && has_aliases(net, alias_ips)),
                "The server does not have its address in the network yet.",
            ),
            Self::DetachFromNetwork { network, .. } => {
                Effect::when(server.attachment(*network).is_none(), "The server is still attached to the network.")
            }
            Self::ChangeAliasIps { network, alias_ips, .. } => Effect::when(
                server.attachment(*network).is_some_and(|net| has_aliases(net, alias_ips)),
                "The server does not have its further addresses yet.",
            ),
            Self::AddToPlacementGroup { placement_group, .. } => Effect::when(
                server.placement_group.as_ref().is_some_and(|group| group.id == *placement_group),
                "The server is not in its placement group yet.",
            ),
            Self::RemoveFromPlacementGroup { .. } => {
                Effect::when(server.placement_group.is_none(), "The server is still in its placement group.")
            }
            Self::ChangeType { server_type, .. } => {
                Effect::when(server.server_type.name == *server_type, "The server does not have its new type yet.")
            }
            Self::Create(_) | Self::Update { .. } | Self::Delete { .. } | Self::Reboot { .. } | Self::Reset { .. } => {
                Effect::seen()
            }
        }
    }

    /// Of a network that a server is attached to, the server tells the address of the hardware.
    fn is_foretold(&self) -> bool {
        matches!(
            self,
            Self::Poweron { .. }
                | Self::Shutdown { .. }
                | Self::DetachFromNetwork { .. }
                | Self::ChangeAliasIps { .. }
                | Self::RemoveFromPlacementGroup { .. }
        )
    }

    fn foretell(&self, object: &mut Object) {
        let Object::Server(server) = object else { return };
        match self {
            Self::Poweron { .. } => server.status = ServerStatus::Running,
            Self::DetachFromNetwork { network, .. } => server.private_net.retain(|net| net.network != *network),
            Self::ChangeAliasIps { network, alias_ips, .. } => {
                if let Some(net) = server.private_net.iter_mut().find(|net| net.network == *network) {
                    net.alias_ips.clone_from(alias_ips);
                }
            }
            Self::RemoveFromPlacementGroup { .. } => server.placement_group = None,
            _ => {}
        }
    }

    /// The guest was asked; when it is off, is looked at.
    fn ended(&self) -> Option<Change> {
        match self {
            Self::Shutdown { server, seq, .. } => Some(Change::ShutdownSent { server: *server, seq: *seq }),
            _ => None,
        }
    }

    async fn send(&self, client: &ProjectClient, secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => {
                let user_data = secret.map(|text| UserData::new(text.expose_secret()));
                Sent::made(client.create_server(&CreateServer { user_data, ..(**body).clone() }).await?)
            }
            Self::Update { server, name, labels } => {
                let body = UpdateServer { name: Some(name.clone()), labels: Some(labels.clone()) };
                Sent::object(client.update_server(*server, &body).await?)
            }
            Self::Delete { .. } => Sent::default(),
            Self::Poweron { server } => Sent::action(client.power_on(*server).await?),
            Self::Poweroff { server } => Sent::action(client.power_off(*server).await?),
            Self::Shutdown { server, .. } => Sent::action(client.shutdown(*server).await?),
            Self::Reboot { server, .. } => Sent::action(client.reboot(*server).await?),
            Self::Reset { server, .. } => Sent::action(client.reset(*server).await?),
            Self::AttachToNetwork { server, network, ip, alias_ips } => {
                let body =
                    AttachToNetwork { network: *network, ip: Some(*ip), ip_range: None, alias_ips: alias_ips.clone() };
                Sent::action(client.attach_to_network(*server, &body).await?)
            }
            Self::DetachFromNetwork { server, network } => {
                Sent::action(client.detach_from_network(*server, *network).await?)
            }
            Self::ChangeAliasIps { server, network, alias_ips } => {
                let body = ChangeAliasIps { network: *network, alias_ips: alias_ips.clone() };
                Sent::action(client.change_alias_ips(*server, &body).await?)
            }
            Self::AddToPlacementGroup { server, placement_group } => {
                Sent::action(client.add_to_placement_group(*server, *placement_group).await?)
            }
            Self::RemoveFromPlacementGroup { server, .. } => {
                Sent::action(client.remove_from_placement_group(*server).await?)
            }
            Self::ChangeType { server, server_type, upgrade_disk } => {
                let body = ChangeType { server_type: server_type.clone(), upgrade_disk: *upgrade_disk };
                Sent::action(client.change_server_type(*server, &body).await?)
            }
        })
    }
}
