//! Making a NAT server: its public address, its firewall, its type, itself, off.

use std::time::Duration;

use control_plane::{
    CatalogEntry,
    facts::{GatewayNetwork, NatAddress, NatServer},
};
use data_encoding::BASE64;
use hcloud_client::types::{
    CreateFirewall, CreatePlacementGroup, CreatePrimaryIp, CreateServer, CreateServerFirewall, CreateServerPublicNet,
    Firewall, FirewallRule, Id, IpType, PlacementGroup, PlacementGroupType, PrimaryIp, RuleDirection, RuleProtocol,
};
use igw_polyfill::{
    nat::{self, NatConfig},
    plan::{self as polyfill, Roles},
};
use seca_api::Kind;
use secrecy::SecretString;

use super::{Servers, Want, address_role, put};
use crate::{
    call::StepExt,
    firewall_rules::same_rules,
    mapping::{Checked, auxiliary, fail, zone::Place},
    objects::{FirewallCall, ObjectType, PlacementGroupCall, PrimaryIpCall, ServerCall},
    owner::Role,
};

/// How long a type that had no capacity is not tried again.
pub(super) const ROUND: Duration = Duration::from_secs(60);
/// The role of the firewall.
pub(super) const FIREWALL: Role = Role::fixed("nat-fw");

impl<'a> Servers<'a, '_> {
    /// The location of a network's servers and addresses.
    fn location(&self, part: usize) -> Option<String> {
        if let Some(own) = self.own(part) {
            return Some(own.location.clone());
        }
        // A network spans all zones of a region, so the first one is as good as any.
        let first = self.context.desired.catalog.zones(self.context.region()).into_iter().next();
        match Place::of(self.context, first) {
            Place::In(location) => Some(location),
            Place::Awaited | Place::Nowhere => None,
        }
    }

    fn sku(&self, name: &str) -> Option<&'a CatalogEntry> {
        self.context.desired.catalog.get(Kind::InstanceSku, self.context.region(), name)
    }

    /// The types to try, the first choice first.
    pub(super) fn candidates(&self, part: usize) -> Vec<String> {
        let Some(location) = self.location(part) else { return Vec::new() };
        let settings = &self.context.settings.gateway.nat;
        let is_sold = |name: &&String| self.sku(name).is_some_and(|sku| sku.listed && sku.is_offered_in(&location));
        let sold: Vec<String> = settings.server_types.iter().filter(is_sold).cloned().collect();
        let refused = self.refused(part);
        polyfill::candidates(settings, &sold, &refused).into_iter().map(str::to_owned).collect()
    }

    /// The types that had no capacity a moment ago.
    pub(super) fn refused(&self, part: usize) -> Vec<String> {
        let Some(location) = self.location(part) else { return Vec::new() };
        let types = self.context.settings.gateway.nat.server_types.iter();
        let is_refused = |name: &&String| {
            let at = self.context.snapshot.had_no_capacity(name, &location);
            at.is_some_and(|at| self.context.now.since(at) < ROUND)
        };
        types.filter(is_refused).cloned().collect()
    }

    /// The public address of a slot, which is made first.
    pub(super) fn ready_address(&self, part: usize, slot: usize) -> Checked<Option<&'a PrimaryIp>> {
        let role = address_role(self.parts[part].uid, slot);
        if let Some(address) = self.address(&role) {
            return Ok(Some(address));
        }
        let (Some(location), Some(owner), Some(name)) = (self.location(part), self.owner(&role), self.name(&role))
        else {
            return Ok(None);
        };
        let is_known = self.own(part).is_some_and(|own| own.addresses.iter().any(|known| known.role == role));
        if is_known {
            self.context.prove_none(ObjectType::PrimaryIp, owner, Some(name.clone()))?;
        }
        let Ok(labelled) = Role::parse(&role) else { return Ok(None) };
        let body = CreatePrimaryIp {
            name: name.clone(),
            kind: IpType::Ipv4,
            location: Some(location),
            assignee_type: None,
            assignee_id: None,
            auto_delete: Some(false),
            labels: self.context.labels_in_role("create_primary_ip", &labelled),
        };
        let own = self.own_or_new(part);
        self.step(PrimaryIpCall::Create(Box::new(body)).step(name), |facts| {
            let mut own = own;
            if own.addresses.iter().all(|known| known.role != role) {
                own.addresses.push(NatAddress { role, address: None });
            }
            put(facts, own);
        })?;
        Ok(None)
    }

    fn own_or_new(&self, part: usize) -> GatewayNetwork {
        self.own(part).cloned().unwrap_or_else(|| GatewayNetwork {
            network: self.parts[part].uid,
            name: self.parts[part].name.clone(),
            location: self.location(part).unwrap_or_default(),
            addresses: Vec::new(),
            servers: Vec::new(),
            group: false,
            next_hop: None,
            unwanted_since: None,
        })
    }

    /// The firewall, with its rules. One stands before all servers of a gateway, because the rules are the same.
    pub(super) fn firewall(&self) -> Checked<Id<Firewall>> {
        let owner = crate::owner::Owner::in_role(self.context.resource().uid, FIREWALL);
        let rules = self.rules();
        if let Some(found) = self.context.snapshot.owned_by::<Firewall>(self.context.installation(), &owner) {
            if !same_rules(&rules, &found.rules) {
                self.plain(FirewallCall::SetRules { firewall: found.id, rules }.step(&found.name))?;
            }
            return Ok(found.id);
        }
        let name = owner.object_name(self.context.installation(), &self.context.resource().key.name);
        if self.facts.firewall {
            self.context.prove_none(ObjectType::Firewall, owner, Some(name.clone()))?;
        }
        let labels = self.context.labels_in_role("create_firewall", &FIREWALL);
        let body = CreateFirewall { name: name.clone(), labels, rules, apply_to: Vec::new() };
        self.step(FirewallCall::Create(Box::new(body)).step(name), |facts| facts.firewall = true)?;
        Err(Box::new(fail(control_plane::Reason::InternalError, "A firewall is made by a step.")))
    }

    fn rules(&self) -> Vec<FirewallRule> {
        let settings = &self.context.settings.gateway.nat;
        let config = NatConfig {
            sources: Vec::new(),
            ssh_from: settings.ssh_from.clone(),
            health_from: settings.health_from.clone(),
        };
        let rule = |rule: nat::FirewallRule| FirewallRule {
            description: Some(rule.description.to_owned()),
            direction: RuleDirection::In,
            source_ips: rule.sources.iter().filter_map(|block| block.parse().ok()).collect(),
            destination_ips: Vec::new(),
            protocol: if rule.protocol == "icmp" { RuleProtocol::Icmp } else { RuleProtocol::Tcp },
            port: rule.port.map(|port| port.to_string()),
        };
        config.firewall().into_iter().map(rule).collect()
    }

    /// Makes the server of a slot: the first one, or again one that is gone.
    pub(super) fn make(&mut self, part: usize, slot: usize, want: &Want, again: Option<&NatServer>) -> Checked<()> {
        if !want.ready {
            return Ok(());
        }
        let Some(server_type) = self.candidates(part).into_iter().next() else {
            self.look_in(ROUND);
            return Ok(());
        };
        let Some(address) = self.ready_address(part, slot)?.map(|address| (address.id, address.assignee_id)) else {
            return Ok(());
        };
        // It is not the address of a server that is made again until that is seen to be gone.
        let address = address.1.is_none().then_some(address.0);
        if address.is_none() {
            self.look_in(super::AGAIN);
            return Ok(());
        }
        self.create(part, slot, want, &server_type, address, again)
    }

    /// Makes a server, off, with its public address or without.
    pub(super) fn create(
        &mut self,
        part: usize,
        slot: usize,
        want: &Want,
        server_type: &str,
        address: Option<Id<PrimaryIp>>,
        again: Option<&NatServer>,
    ) -> Checked<()> {
        let firewall = self.firewall()?;
        let key = self.key()?;
        let group = if want.addresses.len() > 1 { self.group(part)? } else { None };
        let role = again.map_or_else(|| self.fresh_role(part, want), |before| before.role.clone());
        let (Some(name), Ok(labelled), Some(location)) = (self.name(&role), Role::parse(&role), self.location(part))
        else {
            return Ok(());
        };
        let Ok(user_data) = want.config.user_data() else {
            let text = "The network has more subnets than fit into the user data of a NAT server.";
            return Err(Box::new(fail(control_plane::Reason::Unsupported, text)));
        };
        let Some(private_address) = want.addresses.get(slot).copied() else { return Ok(()) };
        let public = address.is_some();
        let body = CreateServer {
            name: name.clone(),
            server_type: server_type.to_owned(),
            image: self.image(server_type),
            location: Some(location),
            ssh_keys: vec![key],
            // Without a public interface the provider refuses firewalls.
            firewalls: if public { vec![CreateServerFirewall { firewall }] } else { Vec::new() },
            placement_group: group,
            labels: self.context.labels_in_role("create_server", &labelled),
            start_after_create: Some(false),
            public_net: Some(CreateServerPublicNet {
                enable_ipv4: public,
                enable_ipv6: false,
                ipv4: address,
                ipv6: None,
            }),
            ..CreateServer::default()
        };
        let now = self.now();
        let mut recoveries = again.map(|before| before.recoveries.clone()).unwrap_or_default();
        recoveries.extend(again.filter(|before| before.started).map(|_| now));
        let entry = NatServer {
            role: role.clone(),
            address_role: address_role(self.parts[part].uid, slot),
            private_address,
            // Both are structures of texts, numbers and lists.
            place: serde_json::to_value(&want.place).unwrap_or_default(),
            made_with: serde_json::to_value(&want.config).unwrap_or_default(),
            version: nat::VERSION,
            server_type: server_type.to_owned(),
            made_at: now,
            started: false,
            well_since: None,
            recoveries,
            moving_since: None,
            gives_back: false,
            kept_at: None,
        };
        let mut own = self.own_or_new(part);
        let step = ServerCall::Create(Box::new(body)).step(name).secret(Some(SecretString::from(user_data)));
        self.step(step, |facts| {
            match own.servers.iter_mut().find(|known| known.role == role) {
                Some(known) => *known = entry,
                None => own.servers.push(entry),
            }
            put(facts, own);
        })
    }

    /// The group that keeps the two servers of a pair on different hosts.
    fn group(&self, part: usize) -> Checked<Option<Id<PlacementGroup>>> {
        let role = Roles::of_uid(&self.parts[part].uid.to_string()).placement_group();
        let (Some(owner), Some(name), Ok(labelled)) = (self.owner(&role), self.name(&role), Role::parse(&role)) else {
            return Ok(None);
        };
        if let Some(found) = self.context.snapshot.owned_by::<PlacementGroup>(self.context.installation(), &owner) {
            return Ok(Some(found.id));
        }
        if self.own(part).is_some_and(|own| own.group) {
            self.context.prove_none(ObjectType::PlacementGroup, owner, Some(name.clone()))?;
        }
        let labels = self.context.labels_in_role("create_placement_group", &labelled);
        let body = CreatePlacementGroup { name: name.clone(), kind: PlacementGroupType::Spread, labels };
        let mut own = self.own_or_new(part);
        own.group = true;
        self.step(PlacementGroupCall::Create(Box::new(body)).step(name), |facts| {
            put(facts, own);
        })?;
        Ok(None)
    }

    /// A role that no server of the network has.
    fn fresh_role(&self, part: usize, want: &Want) -> String {
        let roles = Roles::of_uid(&self.parts[part].uid.to_string());
        let single = (want.addresses.len() == 1).then(|| roles.server());
        let sides = ["a", "b", "c", "d"].map(|side| format!("{}.{side}", roles.server()));
        let is_free = |role: &String| self.entries(part).iter().all(|entry| entry.role != *role);
        single.into_iter().chain(sides).find(is_free).unwrap_or_else(|| roles.server())
    }

    /// The image for a type's processors; a name that the provider resolves where the catalogue does not know it.
    fn image(&self, server_type: &str) -> String {
        let architecture = self.sku(server_type).and_then(|sku| sku.fact("architecture")).unwrap_or("amd64");
        let fits = |entry: &&CatalogEntry| {
            entry.fact("imageName") == Some(nat::IMAGE) && entry.fact("architecture") == Some(architecture)
        };
        let entry = self.context.desired.catalog.list(Kind::Image, self.context.region()).find(fits);
        entry.and_then(|entry| entry.fact("imageId")).unwrap_or(nat::IMAGE).to_owned()
    }

    /// A key that nobody has, so that the provider makes no root password.
    fn key(&self) -> Checked<String> {
        auxiliary::ssh_key(self.context, &nobodys_key(), nat::NOBODYS_KEY).map(|id| id.to_string())
    }
}

/// The key of NAT servers, as something that several resources may use.
pub(super) fn nobodys_key() -> control_plane::ports::Auxiliary {
    let blob = nat::NOBODYS_KEY.split_whitespace().nth(1).unwrap_or_default();
    debug_assert!(BASE64.decode(blob.as_bytes()).is_ok(), "the key is written in base64");
    auxiliary::of_content(auxiliary::SSH_KEY, blob)
}
