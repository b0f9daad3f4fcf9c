//! Primary IPs: public addresses that outlive servers.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{
        Action, AssigneeType, CreatePrimaryIp, Id, IpType, Labels, PrimaryIp, PublicIpv4, PublicIpv6, Server,
        ServerStatus,
    },
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Effect, Object, ObjectCall, ObjectId, Objects, ProviderObject, Sent};
use crate::call::{Call, Until};

impl ProviderObject for PrimaryIp {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    fn location(&self) -> Option<&str> {
        Some(&self.location.name)
    }

    fn server(&self) -> Option<i64> {
        self.assignee_id
    }

    fn address(&self) -> Option<&str> {
        Some(&self.ip)
    }

    fn is(&self, until: Until) -> bool {
        until != Until::Free || self.assignee_id.is_none()
    }

    fn seen(&self, others: &mut Objects) {
        for server in others.servers.values_mut() {
            match self.assignee_id == Some(server.id.get()) {
                true => show(self, server),
                false => hide(self.id, server),
            }
        }
    }

    fn gone(id: Id<Self>, others: &mut Objects) {
        others.servers.values_mut().for_each(|server| hide(id, server));
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_primary_ips(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_primary_ip(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_primary_ip(id).await.map(|()| None)
    }
}

/// Whether a server has a primary IP.
pub(crate) fn has_primary_ip(server: &Server, id: Id<PrimaryIp>) -> bool {
    let net = &server.public_net;
    net.ipv4.as_ref().is_some_and(|own| own.id == Some(id)) || net.ipv6.as_ref().is_some_and(|own| own.id == Some(id))
}

/// Says of a primary IP which server has it.
pub(super) fn assign(ip: &mut PrimaryIp, server: Option<Id<Server>>) {
    ip.assignee_id = server.map(Id::get);
    ip.assignee_type = Some(if server.is_some() { AssigneeType::Server } else { AssigneeType::Unassigned });
}

/// Says of a server that it has a primary IP.
fn show(ip: &PrimaryIp, server: &mut Server) {
    if has_primary_ip(server, ip.id) {
        return;
    }
    let net = &mut server.public_net;
    match ip.kind {
        IpType::Ipv4 => {
            let dns_ptr = ip.dns_ptr.first().map(|ptr| ptr.dns_ptr.clone());
            let shown = |address| PublicIpv4 { id: Some(ip.id), ip: address, blocked: ip.blocked, dns_ptr };
            net.ipv4 = ip.ip.parse().ok().map(shown).or(net.ipv4.take());
        }
        IpType::Ipv6 => {
            let dns_ptr = ip.dns_ptr.clone();
            let shown = |network| PublicIpv6 { id: Some(ip.id), ip: network, blocked: ip.blocked, dns_ptr };
            net.ipv6 = ip.ip.parse().ok().map(shown).or(net.ipv6.take());
        }
        IpType::Unknown(_) => {}
    }
}

/// Says of a server that it does not have a primary IP.
fn hide(id: Id<PrimaryIp>, server: &mut Server) {
    let net = &mut server.public_net;
    net.ipv4 = net.ipv4.take().filter(|own| own.id != Some(id));
    net.ipv6 = net.ipv6.take().filter(|own| own.id != Some(id));
}

/// What is done to primary IPs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum PrimaryIpCall {
    #[serde(rename = "create_primary_ip")]
    Create(Box<CreatePrimaryIp>),
    /// The server must be off.
    #[serde(rename = "assign_primary_ip")]
    Assign { primary_ip: Id<PrimaryIp>, server: Id<Server> },
    /// From the server that has it, which must be off.
    #[serde(rename = "unassign_primary_ip")]
    Unassign { primary_ip: Id<PrimaryIp>, server: Id<Server> },
    #[serde(rename = "delete_primary_ip")]
    Delete { primary_ip: Id<PrimaryIp> },
}

impl PrimaryIpCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for PrimaryIpCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_primary_ip",
            Self::Assign { .. } => "assign_primary_ip",
            Self::Unassign { .. } => "unassign_primary_ip",
            Self::Delete { .. } => "delete_primary_ip",
        }
    }

    /// The server tells which addresses it has and which firewalls stand before them.
    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Assign { server, .. } | Self::Unassign { server, .. } => Some(ObjectId::Server(*server)),
            Self::Delete { primary_ip } => Some(ObjectId::PrimaryIp(*primary_ip)),
        }
    }

    fn sent_at(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Assign { primary_ip, .. } | Self::Unassign { primary_ip, .. } | Self::Delete { primary_ip } => {
                Some(ObjectId::PrimaryIp(*primary_ip))
            }
        }
    }

    fn holds(&self) -> Vec<ObjectId> {
        match self {
            Self::Assign { primary_ip, server } | Self::Unassign { primary_ip, server } => {
                vec![ObjectId::Server(*server), ObjectId::PrimaryIp(*primary_ip)]
            }
            _ => self.object().into_iter().collect(),
        }
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
        matches!(self, Self::Delete { .. } | Self::Unassign { .. })
    }

    fn sets(&self) -> Option<(String, String)> {
        match self {
            Self::Assign { primary_ip, server } => Some((format!("primary_ip:{primary_ip}"), server.to_string())),
            Self::Unassign { primary_ip, .. } => Some((format!("primary_ip:{primary_ip}"), "free".to_owned())),
            Self::Create(_) | Self::Delete { .. } => None,
        }
    }

    fn is_rechecked(&self) -> bool {
        matches!(self, Self::Assign { .. } | Self::Unassign { .. })
    }

    fn is_refuted_by(&self, object: &Object) -> bool {
        let (Self::Assign { server: wanted, .. } | Self::Unassign { server: wanted, .. }) = self else { return false };
        match object {
            Object::PrimaryIp(ip) => ip.assignee_id.is_some_and(|other| other != wanted.get()),
            Object::Server(server) => {
                let is_done = matches!(self.judge(object, false), Effect::Seen(_));
                matches!(server.status, ServerStatus::Running | ServerStatus::Starting) && !is_done
            }
            _ => false,
        }
    }

    fn judge(&self, object: &Object, _acted: bool) -> Effect {
        let Object::Server(server) = object else { return Effect::seen() };
        match self {
            Self::Assign { primary_ip, .. } => {
                Effect::when(has_primary_ip(server, *primary_ip), "The server does not have its address yet.")
            }
            Self::Unassign { primary_ip, .. } => {
                Effect::when(!has_primary_ip(server, *primary_ip), "The server still has the address.")
            }
            Self::Create(_) | Self::Delete { .. } => Effect::seen(),
        }
    }

    /// Of an address that a server gets, the server tells which firewalls stand before it.
    fn is_foretold(&self) -> bool {
        matches!(self, Self::Unassign { .. })
    }

    fn foretell(&self, object: &mut Object) {
        if let (Self::Unassign { primary_ip, .. }, Object::Server(server)) = (self, object) {
            hide(*primary_ip, server);
        }
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => Sent::made(client.create_primary_ip(body).await?),
            Self::Assign { primary_ip, server } => Sent::action(client.assign_primary_ip(*primary_ip, *server).await?),
            Self::Unassign { primary_ip, .. } => Sent::action(client.unassign_primary_ip(*primary_ip).await?),
            Self::Delete { .. } => Sent::default(),
        })
    }
}
