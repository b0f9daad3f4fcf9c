//! The provider calls that steps describe, as data.

use control_plane::ports::{Mark, OwnedObject, Step};
use hcloud_client::types::{
    AddSubnet, CreateFirewall, CreateNetwork, CreatePrimaryIp, CreateServer, CreateVolume, Firewall, FirewallRule, Id,
    Image, Labels, Network, PrimaryIp, Route, Server, Volume,
};
use ipnet::Ipv4Net;
use seca_api::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use control_plane::Uid;

use crate::{absence::ObjectType, snapshot::ObjectId};

/// One provider call. User data is not part of it: a step carries that beside its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum Call {
    CreateServer(Box<CreateServer>),
    UpdateServer {
        server: Id<Server>,
        name: String,
        labels: Labels,
    },
    DeleteServer {
        server: Id<Server>,
    },
    Poweron {
        server: Id<Server>,
    },
    Poweroff {
        server: Id<Server>,
    },
    Shutdown {
        server: Id<Server>,
        /// The number of the power action that it serves.
        seq: i64,
        issued_at: i64,
    },
    Reboot {
        server: Id<Server>,
        issued_at: i64,
        /// The last reboot known before; a later one is this one.
        after_action: Option<i64>,
    },
    Reset {
        server: Id<Server>,
        issued_at: i64,
        /// See `Reboot`.
        after_action: Option<i64>,
    },
    CreateVolume(Box<CreateVolume>),
    ResizeVolume {
        volume: Id<Volume>,
        size: u64,
    },
    DeleteVolume {
        volume: Id<Volume>,
    },
    CreateNetwork(Box<CreateNetwork>),
    ChangeIpRange {
        network: Id<Network>,
        ip_range: Ipv4Net,
    },
    DeleteNetwork {
        network: Id<Network>,
    },
    AddSubnet {
        network: Id<Network>,
        subnet: AddSubnet,
        /// The resource that it is for.
        owner: Uid,
    },
    DeleteSubnet {
        network: Id<Network>,
        ip_range: Ipv4Net,
    },
    AddRoute {
        network: Id<Network>,
        route: Route,
    },
    DeleteRoute {
        network: Id<Network>,
        route: Route,
    },
    CreateFirewall(Box<CreateFirewall>),
    SetFirewallRules {
        firewall: Id<Firewall>,
        rules: Vec<FirewallRule>,
    },
    ApplyFirewall {
        firewall: Id<Firewall>,
        server: Id<Server>,
    },
    DeleteFirewall {
        firewall: Id<Firewall>,
    },
    CreatePrimaryIp(Box<CreatePrimaryIp>),
    DeletePrimaryIp {
        primary_ip: Id<PrimaryIp>,
    },
    /// Takes a snapshot of a server's disk. Snapshots have no names: only the label `seca.uid` tells whose one is.
    CreateImage {
        server: Id<Server>,
        description: String,
        labels: Labels,
    },
    DeleteImage {
        image: Id<Image>,
    },
    /// Removes what a resource left that is gone, if the object still is that resource's: it may have been handed
    /// over since it was seen.
    Sweep {
        object: ObjectId,
        /// The resource that is gone.
        uid: Uid,
    },
    /// Reads an object that is on its way to another state.
    Read {
        object: ObjectId,
        until: Until,
        /// What is said while it is not so, where a person must do something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Looks for the object of a resource by label, and by name where there is one.
    Find {
        kind: ObjectType,
        installation: String,
        uid: Uid,
        name: Option<String>,
    },
    /// Reads the actions of a server or a volume: whether it was ever used, whoever did it.
    History {
        object: ObjectId,
    },
}

/// The provider's word for taking a snapshot: a step that is never sent again while its outcome is unknown.
pub(crate) const CREATE_IMAGE: &str = "create_image";

/// What an object is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Nothing is under way.
    Settled,
    /// A server is off.
    Off,
    /// It is known whether it exists.
    Known,
    /// Nothing has it: a volume is attached to no server, a primary IP is assigned to none.
    Free,
    /// No subnet of a network overlaps this block.
    NoSubnet(Ipv4Net),
    /// No route of a network has this destination.
    NoRoute(Ipv4Net),
}

impl Call {
    /// The provider's word for it.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateServer(_) => "create_server",
            Self::UpdateServer { .. } => "update_server",
            Self::DeleteServer { .. } => "delete_server",
            Self::Poweron { .. } => "poweron",
            Self::Poweroff { .. } => "poweroff",
            Self::Shutdown { .. } => "shutdown",
            Self::Reboot { .. } => "reboot",
            Self::Reset { .. } => "reset",
            Self::CreateVolume(_) => "create_volume",
            Self::ResizeVolume { .. } => "resize_volume",
            Self::DeleteVolume { .. } => "delete_volume",
            Self::CreateNetwork(_) => "create_network",
            Self::ChangeIpRange { .. } => "change_ip_range",
            Self::DeleteNetwork { .. } => "delete_network",
            Self::AddSubnet { .. } => "add_subnet",
            Self::DeleteSubnet { .. } => "delete_subnet",
            Self::AddRoute { .. } => "add_route",
            Self::DeleteRoute { .. } => "delete_route",
            Self::CreateFirewall(_) => "create_firewall",
            Self::SetFirewallRules { .. } => "set_firewall_rules",
            Self::ApplyFirewall { .. } => "apply_firewall",
            Self::DeleteFirewall { .. } => "delete_firewall",
            Self::CreatePrimaryIp(_) => "create_primary_ip",
            Self::DeletePrimaryIp { .. } => "delete_primary_ip",
            Self::CreateImage { .. } => CREATE_IMAGE,
            Self::DeleteImage { .. } => "delete_image",
            Self::Sweep { .. } => "sweep",
            Self::Read { .. } => "read",
            Self::Find { .. } => "find",
            Self::History { .. } => "read_actions",
        }
    }

    /// The object that it is about; none for one that is to be made.
    pub fn object(&self) -> Option<ObjectId> {
        match self {
            Self::CreateServer(_)
            | Self::CreateVolume(_)
            | Self::CreateNetwork(_)
            | Self::CreateFirewall(_)
            | Self::CreatePrimaryIp(_)
            | Self::CreateImage { .. }
            | Self::Find { .. } => None,
            Self::UpdateServer { server, .. }
            | Self::DeleteServer { server }
            | Self::Poweron { server }
            | Self::Poweroff { server }
            | Self::ApplyFirewall { server, .. }
            | Self::Shutdown { server, .. }
            | Self::Reboot { server, .. }
            | Self::Reset { server, .. } => Some(ObjectId::Server(*server)),
            Self::ResizeVolume { volume, .. } | Self::DeleteVolume { volume } => Some(ObjectId::Volume(*volume)),
            Self::ChangeIpRange { network, .. }
            | Self::DeleteNetwork { network }
            | Self::AddSubnet { network, .. }
            | Self::AddRoute { network, .. }
            | Self::DeleteRoute { network, .. }
            | Self::DeleteSubnet { network, .. } => Some(ObjectId::Network(*network)),
            Self::SetFirewallRules { firewall, .. } | Self::DeleteFirewall { firewall } => {
                Some(ObjectId::Firewall(*firewall))
            }
            Self::DeletePrimaryIp { primary_ip } => Some(ObjectId::PrimaryIp(*primary_ip)),
            Self::DeleteImage { image } => Some(ObjectId::Image(*image)),
            Self::Sweep { object, .. } | Self::Read { object, .. } | Self::History { object } => Some(*object),
        }
    }

    /// Name (of a snapshot: the description) and labels of what it makes.
    pub fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::CreateServer(body) => Some((&body.name, &body.labels)),
            Self::CreateVolume(body) => Some((&body.name, &body.labels)),
            Self::CreateNetwork(body) => Some((&body.name, &body.labels)),
            Self::CreateFirewall(body) => Some((&body.name, &body.labels)),
            Self::CreatePrimaryIp(body) => Some((&body.name, &body.labels)),
            Self::CreateImage { description, labels, .. } => Some((description, labels)),
            _ => None,
        }
    }

    /// The type of what it makes.
    pub fn makes(&self) -> Option<ObjectType> {
        match self {
            Self::CreateServer(_) => Some(ObjectType::Server),
            Self::CreateVolume(_) => Some(ObjectType::Volume),
            Self::CreateNetwork(_) => Some(ObjectType::Network),
            Self::CreateFirewall(_) => Some(ObjectType::Firewall),
            Self::CreatePrimaryIp(_) => Some(ObjectType::PrimaryIp),
            Self::CreateImage { .. } => Some(ObjectType::Image),
            _ => None,
        }
    }

    /// Whether it removes its object.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::DeleteServer { .. }
                | Self::DeleteVolume { .. }
                | Self::DeleteNetwork { .. }
                | Self::DeleteFirewall { .. }
                | Self::DeletePrimaryIp { .. }
                | Self::DeleteImage { .. }
                | Self::Sweep { .. }
        )
    }

    /// Whether the server must run for it.
    pub(crate) fn needs_power(&self) -> bool {
        matches!(self, Self::Reboot { .. } | Self::Reset { .. } | Self::Shutdown { .. })
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Find { .. } | Self::History { .. })
    }

    fn serial(&self) -> Vec<String> {
        match (self, self.object()) {
            (call, _) if call.reads() => Vec::new(),
            // The server is locked meanwhile.
            (Self::CreateImage { server, .. }, _) => vec![format!("server:{server}")],
            (Self::ApplyFirewall { firewall, server }, _) => {
                vec![format!("server:{server}"), format!("firewall:{firewall}")]
            }
            (_, Some(ObjectId::Server(id))) => vec![format!("server:{id}")],
            (_, Some(ObjectId::Volume(id))) => vec![format!("volume:{id}")],
            (_, Some(ObjectId::Network(id))) => vec![format!("network:{id}")],
            (_, Some(ObjectId::Firewall(id))) => vec![format!("firewall:{id}")],
            (_, Some(ObjectId::PrimaryIp(id))) => vec![format!("primary_ip:{id}")],
            (_, Some(ObjectId::Image(id))) => vec![format!("image:{id}")],
            (_, None) => self.creates().map(|(name, _)| format!("name:{name}")).into_iter().collect(),
        }
    }

    /// What a late effect of another call could undo: the power of a server, and that a name has one server: see
    /// [`StepExt::frees`]. All else only grows, or ends.
    fn sets(&self) -> Option<(String, String)> {
        let (server, power) = match self {
            Self::CreateServer(body) => return Some((name_key(&body.name), "taken".to_owned())),
            Self::Poweron { server } => (server, "on"),
            Self::Poweroff { server } | Self::Shutdown { server, .. } => (server, "off"),
            _ => return None,
        };
        Some((format!("power:{server}"), power.to_owned()))
    }

    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Step {
            operation: self.operation().to_owned(),
            target: target.into(),
            serial: self.serial(),
            // Writing a call cannot fail: its types have no maps with other keys than texts.
            payload: serde_json::to_value(self).unwrap_or_default(),
            marks: Vec::new(),
            action_seq: None,
            sets: self.sets(),
            reads: self.reads(),
            frees: self.is_removal(),
            secret: None,
        }
    }

    /// The call of a step.
    ///
    /// # Errors
    /// When another release wrote the step.
    pub fn of(step: &Step) -> Result<Self, serde_json::Error> {
        serde_json::from_value(step.payload.clone())
    }

    /// The call that removes an object; none for a type that is never removed alone, and for what is nobody's.
    pub fn removing(object: &OwnedObject) -> Option<Self> {
        let uid = object.uid?;
        let object = match object.object_type.as_str() {
            "server" => ObjectId::Server(object.id.parse().ok()?),
            "volume" => ObjectId::Volume(object.id.parse().ok()?),
            "network" => ObjectId::Network(object.id.parse().ok()?),
            "firewall" => ObjectId::Firewall(object.id.parse().ok()?),
            "primary_ip" => ObjectId::PrimaryIp(object.id.parse().ok()?),
            "image" => ObjectId::Image(object.id.parse().ok()?),
            _ => return None,
        };
        Some(Self::Sweep { object, uid })
    }
}

fn name_key(name: &str) -> String {
    format!("name:{name}")
}

/// What a step may have beside its call.
pub(crate) trait StepExt: Sized {
    /// With a fact to commit before the call.
    fn mark(self, mark: Mark) -> Self;
    /// With the power action that it completes.
    fn completes(self, seq: i64) -> Self;
    /// It frees a name: it waits while a creation of that name could still take effect and make a second object.
    fn frees(self, name: &str) -> Self;
    /// With what must not be recorded.
    fn secret(self, secret: Option<SecretString>) -> Self;
}

impl StepExt for Step {
    fn mark(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    fn completes(mut self, seq: i64) -> Self {
        self.action_seq = Some(seq);
        self
    }

    fn frees(mut self, name: &str) -> Self {
        self.sets = Some((name_key(name), "free".to_owned()));
        self
    }

    fn secret(mut self, secret: Option<SecretString>) -> Self {
        self.secret = secret;
        self
    }
}

/// Milliseconds since the epoch, as steps carry them.
pub(crate) fn millis(at: Timestamp) -> i64 {
    at.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frees_a_name_contradicts_what_takes_it_and_nothing_else() {
        let create = |name: &str| {
            Call::CreateServer(Box::new(CreateServer { name: name.to_owned(), ..CreateServer::default() }))
        };
        let taken = create("web-1").step("web-1").sets.unwrap();
        let freed = Call::DeleteServer { server: 1.into() }.step("web-1").frees("web-1").sets.unwrap();
        assert_eq!(taken.0, freed.0);
        assert_ne!(taken.1, freed.1);
        assert_ne!(create("web-2").step("web-2").sets.unwrap().0, freed.0);
        assert_eq!(Call::DeleteServer { server: 1.into() }.step("web-1").sets, None, "a removal waits for nothing");
    }
}
