//! The way from a server to the shape that it is to have: one step, or nothing. What is not named any more goes first and
//! waits for nothing, so that two instances that swap something do not wait for each other. Nothing is opened before what
//! closes it stands: firewalls are in force before addresses come and before other firewalls go.

use std::{collections::BTreeSet, net::Ipv4Addr};

use control_plane::{
    Reason,
    facts::{BlockStorageFacts, Facts, InstanceFacts},
};
use hcloud_client::types::{
    CreatePrimaryIp, Firewall, Id, IpType, Labels, PrimaryIp, PrivateNet, Server, ServerFirewallStatus, ServerStatus,
};

use super::{
    Checked, Context, act, auxiliary, power,
    shape::{Attachment, Guard, PublicAddress, Shape},
};
use crate::{
    call::{StepExt, Until},
    naming,
    objects::{FirewallCall, ObjectId, PrimaryIpCall, ServerCall, VolumeCall},
    owner::{Owner, Role},
};

/// The role of the address that an instance has only because a server needs an interface.
pub(super) const PLACEHOLDER: Role = Role::fixed("placeholder");

/// A server and what it is to be.
pub(super) struct Diff<'a, 'b> {
    pub(super) context: &'b Context<'a>,
    pub(super) server: &'b Server,
    pub(super) shape: &'b Shape<'a>,
}

/// What no step can be made for now.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What a person must know.
    pub(super) notes: Vec<(Reason, String)>,
    /// Something is to be changed that needs the server to be off.
    pub(super) when_off: Vec<String>,
}

impl Rest {
    /// Whether another server still has something that is this one's.
    pub(super) fn awaits_another(&self) -> bool {
        let is_taken =
            |reason: &Reason| matches!(reason, Reason::NicInUse | Reason::AddressInUse | Reason::VolumeInUse);
        self.notes.iter().any(|(reason, _)| is_taken(reason))
    }
}

impl<'a> Diff<'a, '_> {
    /// Makes the first step that can be made; what cannot be done now is told.
    pub(super) fn next(&self) -> Checked<Rest> {
        let mut rest = Rest::default();
        self.let_go(&mut rest)?;
        self.guard(&mut rest)?;
        self.addresses(&mut rest)?;
        self.networks(&mut rest)?;
        self.volumes(&mut rest)?;
        self.placement(&mut rest)?;
        Ok(rest)
    }

    /// Frees what others may want of a server that is off and serves nobody. Its placeholder, and what closes that, stay.
    pub(super) fn strip(&self) -> Checked<()> {
        let mut rest = Rest::default();
        self.let_go(&mut rest)?;
        self.take_firewalls(auxiliary::closed_before(self.context, self.server))?;
        match &self.server.placement_group {
            Some(group) if self.is_ours(&group.labels) => {
                self.step(ServerCall::RemoveFromPlacementGroup { server: self.server.id, placement_group: group.id })
            }
            _ => Ok(()),
        }
    }

    /// Takes our firewalls but one away from a server that has no public address any more.
    fn take_firewalls(&self, kept: Option<Id<Firewall>>) -> Checked<()> {
        for firewall in self.server.public_net.firewalls.iter().filter(|firewall| Some(firewall.id) != kept) {
            if self.is_our_firewall(firewall.id) {
                return self.step(FirewallCall::Remove { firewall: firewall.id, server: self.server.id });
            }
        }
        Ok(())
    }

    fn step(&self, call: impl Into<crate::call::Call>) -> Checked<()> {
        Err(Box::new(act(call.into().step(&self.server.name))))
    }

    fn is_off(&self) -> bool {
        self.server.status == ServerStatus::Off
    }

    fn is_ours(&self, labels: &Labels) -> bool {
        naming::is_of(labels, self.context.installation())
    }

    fn is_our_firewall(&self, firewall: Id<Firewall>) -> bool {
        self.context.snapshot.get(firewall).is_some_and(|known: &Firewall| self.is_ours(&known.labels))
    }

    // -- letting go -------------------------------------------------------------------------------------------------

    /// Detaches what is ours and not in the shape. What is not ours stays, and is told.
    fn let_go(&self, rest: &mut Rest) -> Checked<()> {
        let server = self.server.id;
        for volume in self.server.volumes.iter().filter(|id| self.shape.volumes.iter().all(|(wanted, _)| wanted != *id))
        {
            match self.context.snapshot.get(*volume) {
                Some(known) if self.is_ours(&known.labels) => {
                    return self.step(VolumeCall::Detach { volume: *volume, server });
                }
                Some(known) => rest.notes.push(foreign("volume", &known.name)),
                None => {}
            }
        }
        for net in &self.server.private_net {
            let wanted = self.attachment(net);
            let Some(network) = self.context.snapshot.get(net.network) else { continue };
            match wanted {
                Some(wanted) if net.ip.is_none_or(|ip| ip == wanted.address) => {}
                Some(wanted) if !self.is_off() => rest.when_off.push(format!(
                    "the address {} of the NIC `{}` in place of {}",
                    wanted.address,
                    wanted.nic,
                    net.ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string())
                )),
                None if !self.is_ours(&network.labels) => rest.notes.push(foreign("network", &network.name)),
                // What is to be attached there instead is not known yet.
                None if self.shape.unsettled => {}
                _ => return self.step(ServerCall::DetachFromNetwork { server, network: net.network }),
            }
        }
        let net = &self.server.public_net;
        let own = [
            (net.ipv4.as_ref().and_then(|ip| ip.id), self.shape.ipv4.as_ref()),
            (net.ipv6.as_ref().and_then(|ip| ip.id), self.shape.ipv6.as_ref()),
        ];
        // What cannot go now is told when all that stays is looked at.
        for (now, wanted) in own.into_iter().filter(|(now, _)| self.is_off() && now.is_some()) {
            self.address(now, wanted, &mut Rest::default())?;
        }
        Ok(())
    }

    fn attachment(&self, net: &PrivateNet) -> Option<&Attachment> {
        self.shape.attachments.iter().find(|wanted| wanted.network == net.network)
    }

    // -- firewalls --------------------------------------------------------------------------------------------------

    /// Whether the server has a public interface now: only then a firewall can stand before it.
    fn is_public(&self) -> bool {
        self.server.public_net.ipv4.is_some() || self.server.public_net.ipv6.is_some()
    }

    /// The placeholder, if it is on the server.
    fn placeholder(&self) -> Option<Id<PrimaryIp>> {
        let on_server = self.server.public_net.ipv6.as_ref()?.id?;
        is_placeholder(self.context, on_server).then_some(on_server)
    }

    /// Whether the only public interface is the placeholder's.
    fn is_closed_for_now(&self) -> bool {
        self.placeholder().is_some() && self.server.public_net.ipv4.is_none()
    }

    /// Whether the server runs and keeps a public address that it is to lose: until it is off, what filtered that stays.
    fn is_losing_address(&self) -> bool {
        let net = &self.server.public_net;
        let ids = [net.ipv4.as_ref().and_then(|ip| ip.id), net.ipv6.as_ref().and_then(|ip| ip.id)];
        let mut own = ids.into_iter().flatten().filter(|id| self.placeholder() != Some(*id));
        let is_ours = |id| self.context.snapshot.get(id).is_some_and(|ip: &PrimaryIp| self.is_ours(&ip.labels));
        !self.is_off() && !self.shape.is_public() && own.any(is_ours)
    }

    /// The firewalls that are to stand before the server as it is now.
    fn wanted_firewalls(&self) -> Checked<BTreeSet<Id<Firewall>>> {
        let closed = || auxiliary::closed(self.context).map(|firewall| BTreeSet::from([firewall.id]));
        if self.is_closed_for_now() {
            return closed();
        }
        match &self.shape.guard {
            // An address that is not in the shape is not opened to anybody.
            _ if !self.shape.is_public() && !self.is_losing_address() => closed(),
            Guard::Open | Guard::Kept => Ok(BTreeSet::new()),
            Guard::Closed => closed(),
            Guard::Groups { firewalls, closed: false, .. } => Ok(firewalls.clone()),
            Guard::Groups { firewalls, closed: true, .. } => {
                let mut all = closed()?;
                all.extend(firewalls);
                Ok(all)
            }
        }
    }

    fn guard(&self, rest: &mut Rest) -> Checked<()> {
        if !self.is_public() {
            // Nothing comes by an interface that is not there, and their groups may be waiting for them.
            let is_left = !self.shape.is_public() && !self.shape.unsettled;
            return if is_left { self.take_firewalls(None) } else { Ok(()) };
        }
        let present = &self.server.public_net.firewalls;
        let is_filtered = present.iter().any(|firewall| self.is_our_firewall(firewall.id));
        let lacks_group = matches!(self.shape.guard, Guard::Groups { closed: true, .. });
        if self.is_losing_address() && is_filtered && !lacks_group {
            return Ok(());
        }
        let wanted = self.wanted_firewalls()?;
        let missing = wanted.iter().find(|id| present.iter().all(|firewall| firewall.id != **id));
        if let Some(firewall) = missing {
            // A firewall that is about to become narrower is not put before another server until it is.
            if matches!(&self.shape.guard, Guard::Groups { ready: false, firewalls, .. } if firewalls.contains(firewall))
            {
                let text = "The rules of its security groups are being changed; the groups stand before the instance when \
                            that is done.";
                rest.notes.push((Reason::WaitingForDependency, text.to_owned()));
                return self.closed_meanwhile();
            }
            return self.step(FirewallCall::Apply { firewall: *firewall, server: self.server.id });
        }
        if present.iter().any(|f| wanted.contains(&f.id) && f.status != ServerFirewallStatus::Applied) {
            let object = ObjectId::Server(self.server.id);
            return Err(Box::new(act(self.context.watch(object, Until::Applied).step(&self.server.name))));
        }
        if matches!(self.shape.guard, Guard::Kept) && !self.is_closed_for_now() {
            return if present.is_empty() { self.closed_meanwhile() } else { Ok(()) };
        }
        for other in present.iter().filter(|firewall| !wanted.contains(&firewall.id)) {
            match self.context.snapshot.get(other.id) {
                // The placeholder goes first.
                _ if self.placeholder().is_some()
                    && auxiliary::closed_before(self.context, self.server) == Some(other.id) => {}
                Some(known) if self.is_ours(&known.labels) => {
                    return self.step(FirewallCall::Remove { firewall: other.id, server: self.server.id });
                }
                Some(known) => rest.notes.push(foreign("firewall", &known.name)),
                None => {}
            }
        }
        Ok(())
    }

    /// A server whose groups cannot stand before it yet lets nothing through, unless other firewalls stand there.
    fn closed_meanwhile(&self) -> Checked<()> {
        if !self.server.public_net.firewalls.is_empty() {
            return Ok(());
        }
        let firewall = auxiliary::closed(self.context)?.id;
        self.step(FirewallCall::Apply { firewall, server: self.server.id })
    }

    // -- public addresses -------------------------------------------------------------------------------------------

    fn addresses(&self, rest: &mut Rest) -> Checked<()> {
        let net = &self.server.public_net;
        let (ipv4, ipv6) = (net.ipv4.as_ref().and_then(|ip| ip.id), net.ipv6.as_ref().and_then(|ip| ip.id));
        // An address comes before the placeholder goes.
        self.address(ipv4, self.shape.ipv4.as_ref(), rest)?;
        self.address(ipv6, self.shape.ipv6.as_ref(), rest)?;
        if self.placeholder().is_none() {
            return if self.is_about_to_close() { Ok(()) } else { self.forget_placeholder() };
        }
        let is_needed = self.shape.has_placeholder();
        // What is to come may have to wait for another server, and without any interface this one could not be switched on.
        let is_replaced = match &self.shape.ipv4 {
            Some(_) => ipv4.is_some(),
            None => !self.server.private_net.is_empty(),
        };
        match is_needed || !is_replaced {
            true => Ok(()),
            false if self.is_off() => self.drop_placeholder(),
            false => Ok(()),
        }
    }

    /// Brings the address of one family to what it is to be; addresses change only while the server is off.
    fn address(&self, now: Option<Id<PrimaryIp>>, wanted: Option<&PublicAddress>, rest: &mut Rest) -> Checked<()> {
        let server = self.server.id;
        let wanted_id = wanted.map(|wanted| wanted.primary_ip);
        if now == wanted_id {
            return Ok(());
        }
        if let Some(now) = now {
            let known = self.context.snapshot.get(now);
            let is_placeholder = self.placeholder() == Some(now);
            match known {
                _ if is_placeholder && wanted.is_none() => return Ok(()),
                // It stays until the address can follow: without any interface the server could not be switched on.
                _ if is_placeholder && self.is_off() => {
                    return match wanted {
                        Some(wanted) if !self.can_come(wanted, rest) => Ok(()),
                        _ => self.drop_placeholder(),
                    };
                }
                Some(known) if !is_placeholder && !self.is_ours(&known.labels) => {
                    rest.notes.push(foreign("primary IP", &known.ip));
                    return Ok(());
                }
                Some(_) if self.is_off() => {
                    return self.step(PrimaryIpCall::Unassign { primary_ip: now, server });
                }
                Some(known) => rest.when_off.push(match wanted {
                    Some(wanted) => format!("the public IP {} in place of {}", wanted.text, known.ip),
                    None => format!("that the public IP {} leads to it no longer", known.ip),
                }),
                None => {}
            }
            return Ok(());
        }
        let Some(wanted) = wanted else { return Ok(()) };
        if !self.is_off() {
            rest.when_off.push(format!("the public IP {}", wanted.text));
            return Ok(());
        }
        match self.can_come(wanted, rest) {
            true => self.step(PrimaryIpCall::Assign { primary_ip: wanted.primary_ip, server }),
            false => Ok(()),
        }
    }

    /// Whether a public address can come to the server now. If it cannot, a note says why.
    fn can_come(&self, wanted: &PublicAddress, rest: &mut Rest) -> bool {
        let Some(ip) = self.context.snapshot.get(wanted.primary_ip) else { return false };
        if ip.assignee_id.is_some_and(|assignee| assignee != self.server.id.get()) {
            let text = format!(
                "The public IP {} still leads to another server; it follows when that lets it go.",
                wanted.text
            );
            rest.notes.push((Reason::AddressInUse, text));
            return false;
        }
        if ip.location.name != self.server.location.name {
            let text = format!(
                "The public IP {} lies in {}, and the server in {}; use a public IP of the server's location.",
                wanted.text, ip.location.name, self.server.location.name
            );
            rest.notes.push((Reason::InOtherZone, text));
            return false;
        }
        true
    }

    /// Takes the placeholder off the server. One that the provider made has no label: the row must know of it before.
    fn drop_placeholder(&self) -> Checked<()> {
        let Some(primary_ip) = self.placeholder() else { return Ok(()) };
        let known =
            InstanceFacts::mark(self.context.resource(), |facts| facts.placeholder = Some(primary_ip.to_string()));
        let call = PrimaryIpCall::Unassign { primary_ip, server: self.server.id };
        Err(Box::new(act(call.step(&self.server.name).mark(known))))
    }

    /// Removes the address of a placeholder that is on no server any more.
    fn forget_placeholder(&self) -> Checked<()> {
        match self.context.left_placeholder() {
            Some(ip) => self.step(PrimaryIpCall::Delete { primary_ip: ip.id }),
            None => Ok(()),
        }
    }

    /// Whether the server has no interface at all.
    fn lacks_interface(&self) -> bool {
        !self.is_public() && self.server.private_net.is_empty()
    }

    /// Whether the server is to be switched on and gets a closed interface before: what that needs is not let go of.
    pub(super) fn is_about_to_close(&self) -> bool {
        power::is_to_start(self.context, self.server) && self.lacks_interface()
    }

    /// Before power: a server without any interface cannot be switched on, and gets one that lets nothing through.
    pub(super) fn interface(&self) -> Checked<()> {
        if !self.lacks_interface() {
            return Ok(());
        }
        auxiliary::closed(self.context)?;
        if let Some(ip) = self.context.placeholder() {
            return self.step(PrimaryIpCall::Assign { primary_ip: ip.id, server: self.server.id });
        }
        let owner = Owner::in_role(self.context.resource().uid, PLACEHOLDER);
        let name = owner.object_name(self.context.installation(), &self.context.resource().key.name);
        let body = CreatePrimaryIp {
            name: name.clone(),
            kind: IpType::Ipv6,
            location: Some(self.server.location.name.clone()),
            assignee_type: None,
            assignee_id: None,
            // It goes with the server.
            auto_delete: Some(true),
            labels: self.context.labels_in_role("create_primary_ip", &PLACEHOLDER),
        };
        Err(Box::new(act(PrimaryIpCall::Create(Box::new(body)).step(name))))
    }

    // -- private networks -------------------------------------------------------------------------------------------

    fn networks(&self, rest: &mut Rest) -> Checked<()> {
        let server = self.server.id;
        for wanted in &self.shape.attachments {
            let Some(net) = self.server.attachment(wanted.network) else {
                if self.context.snapshot.get(wanted.network).is_none() {
                    let text = format!("The network of the NIC `{}` is not seen at Hetzner Cloud.", wanted.nic);
                    rest.notes.push((Reason::WaitingForDependency, text));
                    continue;
                }
                if self.context.snapshot.is_address_taken(wanted.network, wanted.address) {
                    let text = format!(
                        "The address {} of the NIC `{}` is still another server's; it follows when that lets it go.",
                        wanted.address, wanted.nic
                    );
                    rest.notes.push((Reason::NicInUse, text));
                    continue;
                }
                return self.step(ServerCall::AttachToNetwork {
                    server,
                    network: wanted.network,
                    ip: wanted.address,
                    alias_ips: wanted.aliases.clone(),
                });
            };
            let aliases = self.aliases(wanted, net);
            let is_so = aliases.iter().collect::<BTreeSet<_>>() == net.alias_ips.iter().collect::<BTreeSet<_>>();
            if net.ip == Some(wanted.address) && !is_so {
                return self.step(ServerCall::ChangeAliasIps { server, network: wanted.network, alias_ips: aliases });
            }
        }
        Ok(())
    }

    /// The further addresses of an interface: ours, and those that others put there.
    fn aliases(&self, wanted: &Attachment, net: &PrivateNet) -> Vec<Ipv4Addr> {
        let before = InstanceFacts::of(self.context.resource()).interfaces;
        let ours: BTreeSet<Ipv4Addr> = before
            .into_iter()
            .filter(|interface| interface.network_id == wanted.network.to_string())
            .flat_map(|interface| interface.aliases)
            .collect();
        let theirs = net.alias_ips.iter().filter(|ip| !ours.contains(ip) && !wanted.aliases.contains(ip));
        wanted.aliases.iter().chain(theirs).copied().collect()
    }

    // -- volumes and placement --------------------------------------------------------------------------------------

    fn volumes(&self, rest: &mut Rest) -> Checked<()> {
        for (volume, row) in &self.shape.volumes {
            if self.server.volumes.contains(volume) {
                continue;
            }
            let name = &row.key.name;
            let Some(known) = self.context.snapshot.get(*volume) else { continue };
            match known.server {
                Some(other) if other != self.server.id => {
                    let text =
                        format!("The block storage `{name}` is still attached to the server {other}; it follows.");
                    rest.notes.push((Reason::VolumeInUse, text));
                }
                _ if known.location.name != self.server.location.name => {
                    let text = format!(
                        "The block storage `{name}` lies in {}, and the server in {}; use a volume of the server's location.",
                        known.location.name, self.server.location.name
                    );
                    rest.notes.push((Reason::InOtherZone, text));
                }
                _ => {
                    let attached = BlockStorageFacts::trial(row, |facts| facts.ever_attached = true);
                    let call = VolumeCall::Attach { volume: *volume, server: self.server.id };
                    return Err(Box::new(act(call.step(&self.server.name).mark(attached))));
                }
            }
        }
        Ok(())
    }

    fn placement(&self, rest: &mut Rest) -> Checked<()> {
        let server = self.server.id;
        let wanted = match &self.shape.group {
            Some(group) => Some(auxiliary::placement_group(self.context, group)?.id),
            None => None,
        };
        let now = self.server.placement_group.as_ref();
        match (now, wanted) {
            (Some(now), wanted) if Some(now.id) != wanted => {
                if !self.is_ours(&now.labels) {
                    rest.notes.push(foreign("placement group", &now.name));
                    return Ok(());
                }
                self.step(ServerCall::RemoveFromPlacementGroup { server, placement_group: now.id })
            }
            (None, Some(placement_group)) if self.is_off() => {
                self.step(ServerCall::AddToPlacementGroup { server, placement_group })
            }
            (None, Some(_)) => {
                rest.when_off.push("its anti-affinity group".to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a primary IP is on a server only because that needs an interface. One that says so itself counts before the one that
/// is remembered, which may be the former.
pub(super) fn is_placeholder(context: &Context<'_>, ip: Id<PrimaryIp>) -> bool {
    let facts = InstanceFacts::of(context.resource());
    let known = context.snapshot.get(ip);
    if let Some(Owner::Resource { role: Some(role), .. }) = known.and_then(|known| Owner::of(&known.labels)) {
        return role == PLACEHOLDER;
    }
    if let Some(remembered) = &facts.placeholder {
        return *remembered == ip.to_string();
    }
    // Those of the release before were all made so.
    let made_closed = facts.made_closed || !facts.shaped && facts.server_id.is_some();
    // The provider made it with the server, and deletes it with the server.
    made_closed && known.is_none_or(|known| known.auto_delete && known.labels.is_empty())
}

fn foreign(noun: &str, name: &str) -> (Reason, String) {
    let text = format!("The {noun} `{name}`, which this API did not attach, is on the server and is left alone.");
    (Reason::ForeignAttachment, text)
}

/// Whether what stands before a server's public interfaces is in force.
pub(super) fn is_guarded(server: &Server) -> bool {
    server.public_net.firewalls.iter().all(|firewall| firewall.status == ServerFirewallStatus::Applied)
}
