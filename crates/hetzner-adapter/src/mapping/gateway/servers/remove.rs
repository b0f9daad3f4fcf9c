//! What no route needs any more goes: servers first, then what stood before them, then their addresses. Nothing is
//! forgotten before it is proven that it is gone.

use control_plane::facts::GatewayNetwork;
use hcloud_client::types::{Firewall, PlacementGroup, PrimaryIp, Server};
use igw_polyfill::plan::Roles;

use super::{Servers, make};
use crate::{
    call::Until,
    mapping::{Checked, auxiliary, power},
    objects::{FirewallCall, ObjectId, ObjectType, PlacementGroupCall, PrimaryIpCall, ServerCall},
    owner::Owner,
};

impl Servers<'_, '_> {
    /// All of it, because the gateway is being deleted.
    pub(super) fn remove_all(&mut self) -> Checked<()> {
        for part in 0..self.parts.len() {
            self.remove_servers(part)?;
        }
        self.remove_strays()?;
        self.remove_firewall()?;
        for part in 0..self.parts.len() {
            self.remove_addresses(part)?;
        }
        self.release()
    }

    /// The servers of a network.
    pub(super) fn remove_servers(&mut self, part: usize) -> Checked<()> {
        let entries = self.entries(part).to_vec();
        if let Some(own) = self.own(part).cloned() {
            // The route goes before its target does.
            self.replace_own(GatewayNetwork { next_hop: None, ..own });
        }
        for entry in entries {
            self.remove_server(&entry.role)?;
        }
        self.remove_group(part)
    }

    /// The group of a pair, once no server is in it.
    fn remove_group(&mut self, part: usize) -> Checked<()> {
        let Some(own) = self.own(part).filter(|own| own.group).cloned() else { return Ok(()) };
        let role = Roles::of_uid(&own.network.to_string()).placement_group();
        let Some(owner) = self.owner(&role) else { return Ok(()) };
        if let Some(found) = self.context.snapshot.owned_by::<PlacementGroup>(self.context.installation(), &owner) {
            let is_in = |server: &&Server| server.placement_group.as_ref().is_some_and(|group| group.id == found.id);
            if let Some(server) = self.context.snapshot.all::<Server>().find(is_in) {
                let call = ServerCall::RemoveFromPlacementGroup { server: server.id, placement_group: found.id };
                return self.plain(call.step(&server.name));
            }
            return self.plain(PlacementGroupCall::Delete { placement_group: found.id }.step(&found.name));
        }
        self.context.prove_none(ObjectType::PlacementGroup, owner, self.name(&role))?;
        self.replace_own(GatewayNetwork { group: false, ..own });
        Ok(())
    }

    /// One server; forgotten once it is proven that it is gone.
    pub(super) fn remove_server(&mut self, role: &str) -> Checked<()> {
        match self.server(role) {
            Some(server) => return self.delete_server(server),
            None => self.prove_no_server(role)?,
        }
        self.forget(role);
        Ok(())
    }

    fn delete_server(&self, server: &Server) -> Checked<()> {
        if power::is_busy(server) {
            return Err(Box::new(self.context.watch_server(server, Until::Settled)));
        }
        self.plain(ServerCall::Delete { server: server.id }.step(&server.name))
    }

    pub(super) fn prove_no_server(&self, role: &str) -> Checked<()> {
        let Some(owner) = self.owner(role) else { return Ok(()) };
        self.context.prove_none(ObjectType::Server, owner, self.name(role))
    }

    /// The addresses of a network, once its servers are gone.
    pub(super) fn remove_addresses(&mut self, part: usize) -> Checked<()> {
        let roles: Vec<String> = self
            .own(part)
            .map(|own| own.addresses.iter().map(|known| known.role.clone()).collect())
            .unwrap_or_default();
        for role in roles {
            self.remove_address(&role)?;
        }
        Ok(())
    }

    fn remove_address(&mut self, role: &str) -> Checked<()> {
        match self.address(role) {
            Some(address) => return self.delete_address(address),
            None => {
                let Some(owner) = self.owner(role) else { return Ok(()) };
                self.context.prove_none(ObjectType::PrimaryIp, owner, self.name(role))?;
            }
        }
        for own in &mut self.facts.networks {
            own.addresses.retain(|known| known.role != role);
        }
        Ok(())
    }

    fn delete_address(&self, address: &PrimaryIp) -> Checked<()> {
        if address.assignee_id.is_some() {
            let text = format!(
                "The address {} of the gateway is assigned to a server at Hetzner Cloud that is not the gateway's; \
                 unassign it there.",
                address.ip
            );
            let object = ObjectId::PrimaryIp(address.id);
            let reason = control_plane::Reason::WaitingForDependency;
            return Err(Box::new(self.context.await_person(object, Until::Free, reason, text)));
        }
        self.plain(PrimaryIpCall::Delete { primary_ip: address.id }.step(&address.name))
    }

    /// What a network has of slots that are not wanted any more: the second server of what was a pair.
    pub(super) fn remove_slots(&mut self, part: usize, wanted: usize) -> Checked<()> {
        let uid = self.parts[part].uid;
        let kept: Vec<String> = (0..wanted).map(|slot| super::address_role(uid, slot)).collect();
        let others = self.entries(part).iter().filter(|entry| !kept.contains(&entry.address_role));
        for role in others.map(|entry| entry.role.clone()).collect::<Vec<_>>() {
            self.remove_server(&role)?;
        }
        let addresses = self.own(part).map(|own| own.addresses.clone()).unwrap_or_default();
        for address in addresses.into_iter().filter(|address| !kept.contains(&address.role)) {
            self.remove_address(&address.role)?;
        }
        if wanted < 2 { self.remove_group(part) } else { Ok(()) }
    }

    /// What nothing needs any more of all networks together.
    pub(super) fn tidy(&mut self) -> Checked<()> {
        self.remove_strays()?;
        let is_used = self.facts.networks.iter().any(|own| !own.servers.is_empty());
        if is_used {
            return Ok(());
        }
        let is_wanted = self.parts.iter().any(|part| part.want.is_some());
        if is_wanted {
            return Ok(());
        }
        self.remove_firewall()?;
        self.release()
    }

    /// Lets go of the key that nobody has.
    fn release(&self) -> Checked<()> {
        match auxiliary::release(self.context, &[]) {
            Some(planned) => Err(Box::new(planned)),
            None => Ok(()),
        }
    }

    fn remove_firewall(&mut self) -> Checked<()> {
        let owner = Owner::in_role(self.context.resource().uid, make::FIREWALL);
        if let Some(found) = self.context.snapshot.owned_by::<Firewall>(self.context.installation(), &owner) {
            return self.plain(FirewallCall::Delete { firewall: found.id }.step(&found.name));
        }
        if self.facts.firewall {
            let name = owner.object_name(self.context.installation(), &self.context.resource().key.name);
            self.context.prove_none(ObjectType::Firewall, owner, Some(name))?;
            self.facts.firewall = false;
        }
        Ok(())
    }

    /// Servers and addresses that bear the gateway's labels, and that its row does not know: of an older database. What
    /// they were made with nobody knows, so they are not taken for its own.
    fn remove_strays(&self) -> Checked<()> {
        let (installation, uid) = (self.context.installation(), self.context.resource().uid);
        let known = |role: &Option<crate::owner::Role>| {
            let role = role.as_ref().map_or("", crate::owner::Role::as_str);
            let mut own = self.facts.networks.iter();
            own.any(|own| {
                own.servers.iter().any(|server| server.role == role)
                    || own.addresses.iter().any(|address| address.role == role)
            })
        };
        if let Some((_, server)) =
            self.context.snapshot.objects_of::<Server>(installation, uid).find(|(role, _)| !known(role))
        {
            return self.delete_server(server);
        }
        let addresses = self.context.snapshot.objects_of::<PrimaryIp>(installation, uid);
        match addresses.into_iter().find(|(role, address)| !known(role) && address.assignee_id.is_none()) {
            Some((_, address)) => self.delete_address(address),
            None => Ok(()),
        }
    }
}
