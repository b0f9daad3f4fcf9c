//! The gateway's half: what it has in each network, and the next step towards what the networks want of it.
//!
//! What is seen is written to `facts` first and published with the plan. What a call makes true is a mark of its step.

mod make;
mod remove;
mod replace;

use std::{net::Ipv4Addr, time::Duration};

use control_plane::{
    Reason, Resource, Uid,
    facts::{Facts, GatewayNetwork, InternetGatewayFacts, NatServer, NetworkFacts},
    ports::{Note, Plan, Planned, Step},
};
use hcloud_client::types::{Id, Network, PrimaryIp, Server, ServerStatus};
use igw_polyfill::{
    lifecycle::{self, Care, Presence, RECOVERY_WINDOW, Seen, Side, UP_AFTER, care, presence},
    plan::{Due, Obstacle},
    sentences::{self, InNetwork, Standing},
};
use seca_api::{InternetGatewaySpec, Kind};
use serde_json::{Map, Value};

use super::{
    super::{Checked, Context, act, power, settled},
    Judgement, Want,
};
use crate::{
    call::{Call, StepExt, Until, millis},
    objects::{FirewallCall, ObjectType, PrimaryIpCall, ServerCall, has_firewall},
    owner::{Owner, Role},
};

/// How often it is looked whether something else let go of an address.
const AGAIN: Duration = Duration::from_secs(5);

/// How often NAT servers are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What a gateway has in all networks.
pub(in super::super) struct Servers<'a, 'c> {
    context: &'c Context<'a>,
    /// As it is remembered, and as it is seen now.
    facts: InternetGatewayFacts,
    /// What each network of the workspace says, the gateway's own networks first.
    parts: Vec<Part<'a>>,
    /// When to look again.
    again: Option<Duration>,
    /// What somebody must look at.
    unhealthy: bool,
}

/// A network, as it looks from the gateway.
struct Part<'a> {
    uid: Uid,
    name: String,
    /// The row of the network; none if it is gone or is being deleted.
    row: Option<&'a Resource>,
    id: Option<Id<Network>>,
    want: Option<Want>,
    blocked: Option<Obstacle>,
}

impl<'a, 'c> Servers<'a, 'c> {
    pub(in super::super) fn of(context: &'c Context<'a>) -> Self {
        let row = context.resource();
        let facts = InternetGatewayFacts::of(row);
        let mut parts = Vec::new();
        for network in &context.bundle().peers {
            let judgement = Judgement::of(network);
            let want = judgement.want.filter(|want| want.gateway == row.uid);
            let blocked = judgement.blocked.filter(|(gateway, _)| *gateway == row.uid).map(|(_, why)| why);
            let is_known = facts.networks.iter().any(|part| part.network == network.uid);
            if want.is_some() || blocked.is_some() || is_known {
                let id = NetworkFacts::of(network).network_id.and_then(|id| id.parse().ok());
                let name = network.key.name.clone();
                parts.push(Part { uid: network.uid, name, row: Some(network), id, want, blocked });
            }
        }
        for gone in &facts.networks {
            if parts.iter().all(|part| part.uid != gone.network) {
                let name = gone.name.clone();
                parts.push(Part { uid: gone.network, name, row: None, id: None, want: None, blocked: None });
            }
        }
        let mut servers = Self { context, facts, parts, again: None, unhealthy: false };
        servers.observe();
        servers
    }

    /// What is to be done next for a live gateway.
    pub(in super::super) fn keep(mut self, spec: &InternetGatewaySpec) -> Planned {
        let result = self.next();
        let note = self.note(spec);
        let planned = match result {
            Err(planned) => {
                let note = planned.note.clone().unwrap_or(note);
                return Planned { note: Some(note), ..self.published(*planned) };
            }
            Ok(()) if self.unhealthy => Planned::new(Plan::Fail),
            Ok(()) => Planned { again: self.again, ..settled() },
        };
        Planned { note: Some(note), ..self.published(planned) }
    }

    /// What is to be done next for one that is being deleted.
    pub(in super::super) fn delete(mut self) -> Planned {
        match self.remove_all() {
            Err(planned) => self.published(*planned),
            Ok(()) => settled(),
        }
    }

    /// What is seen, as changes to what the row remembers.
    fn news(&self) -> Map<String, Value> {
        InternetGatewayFacts::of(self.context.resource()).changes(|facts| *facts = self.facts.clone())
    }

    /// A plan that writes down what is seen.
    fn published(&self, planned: Planned) -> Planned {
        let mut facts = self.news();
        facts.extend(planned.facts);
        Planned { facts, ..planned }
    }

    /// A step, and what it makes true of the gateway.
    fn step(&self, step: Step, change: impl FnOnce(&mut InternetGatewayFacts)) -> Checked<()> {
        // What is seen is written down before the step is: that is what a failure goes back to.
        let mut seen = self.context.resource().clone();
        control_plane::state::merge(&mut seen.facts, &self.news());
        let mark = InternetGatewayFacts::trial(&seen, change);
        let step = if mark.facts.is_empty() { step } else { step.mark(mark) };
        Err(Box::new(act(step)))
    }

    /// A step that changes nothing but what is seen later.
    fn plain(&self, step: Step) -> Checked<()> {
        self.step(step, |_| {})
    }

    fn now(&self) -> i64 {
        millis(self.context.now)
    }

    fn since(&self, then: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.now() - then).unwrap_or_default())
    }

    fn look_in(&mut self, pause: Duration) {
        self.again = Some(self.again.map_or(pause, |again| again.min(pause)));
    }

    // -- what is there ----------------------------------------------------------------------------------------------

    fn owner(&self, role: &str) -> Option<Owner> {
        Some(Owner::in_role(self.context.resource().uid, Role::parse(role).ok()?))
    }

    fn name(&self, role: &str) -> Option<String> {
        Some(self.owner(role)?.object_name(self.context.installation(), &self.context.resource().key.name))
    }

    fn server(&self, role: &str) -> Option<&'a Server> {
        self.context.snapshot.owned_by(self.context.installation(), &self.owner(role)?)
    }

    fn address(&self, role: &str) -> Option<&'a PrimaryIp> {
        self.context.snapshot.owned_by(self.context.installation(), &self.owner(role)?)
    }

    fn own(&self, part: usize) -> Option<&GatewayNetwork> {
        let uid = self.parts.get(part)?.uid;
        self.facts.networks.iter().find(|own| own.network == uid)
    }

    /// The servers of a network, the older ones first.
    fn entries(&self, part: usize) -> &[NatServer] {
        self.own(part).map_or(&[], |own| &own.servers)
    }

    /// What is seen of a server.
    fn seen(&self, part: usize, entry: &NatServer) -> Option<Seen> {
        let server = self.server(&entry.role)?;
        let seen = self.bare(part, entry, server);
        let well_for = entry.well_since.filter(|_| seen.is_well()).map(|since| self.since(since)).unwrap_or_default();
        Some(Seen { well_for, ..seen })
    }

    fn bare(&self, part: usize, entry: &NatServer, server: &Server) -> Seen {
        let network = self.parts.get(part).and_then(|part| part.id);
        let net = network.and_then(|network| server.attachment(network));
        let ip = server.public_net.ipv4.as_ref().and_then(|ip| ip.id);
        Seen {
            running: server.status == ServerStatus::Running,
            attached: net.is_some_and(|net| net.ip == Some(entry.private_address)),
            addressed: ip.is_some() && ip == self.address(&entry.address_role).map(|own| own.id),
            well_for: Duration::ZERO,
        }
    }

    /// Writes down what is seen: the addresses, since when servers are well, which one the route is to lead to.
    fn observe(&mut self) {
        let now = self.now();
        for part in 0..self.parts.len() {
            let Some(mut own) = self.own(part).cloned() else { continue };
            for server in &mut own.servers {
                let is_well = self.server(&server.role).is_some_and(|seen| self.bare(part, server, seen).is_well());
                server.well_since = is_well.then(|| server.well_since.unwrap_or(now));
                server.recoveries.retain(|at| self.since(*at) < RECOVERY_WINDOW);
            }
            for address in &mut own.addresses {
                if let Some(ip) = self.address(&address.role) {
                    address.address = ip.ip.parse().ok().or(address.address);
                }
            }
            let is_wanted = self.parts.get(part).is_some_and(|part| part.want.is_some());
            own.unwanted_since = if is_wanted { None } else { Some(own.unwanted_since.unwrap_or(now)) };
            self.replace_own(own);
            let hop = self.target(part);
            if let Some(own) = self.own(part).cloned() {
                self.replace_own(GatewayNetwork { next_hop: hop, ..own });
            }
        }
    }

    fn replace_own(&mut self, own: GatewayNetwork) {
        put(&mut self.facts, own);
    }

    /// Forgets a server that is gone.
    fn forget(&mut self, role: &str) {
        for own in &mut self.facts.networks {
            own.servers.retain(|known| known.role != role);
        }
    }

    /// The server of a slot that has, or is to have, its addresses.
    fn serving(&self, part: usize, slot: usize) -> Option<&NatServer> {
        let role = address_role(self.parts.get(part)?.uid, slot);
        let mut entries = self.entries(part).iter().filter(|entry| entry.address_role == role);
        let first = entries.next();
        // The younger one serves once it is up.
        let is_up = |entry: &&NatServer| self.seen(part, entry).is_some_and(|seen| seen.is_up());
        entries.find(is_up).or(first)
    }

    /// Where the route is to lead.
    fn target(&self, part: usize) -> Option<Ipv4Addr> {
        let now = self.own(part)?.next_hop;
        let (a, b) = (self.serving(part, 0), self.serving(part, 1));
        let side = now.map(|hop| match b {
            Some(b) if b.private_address == hop => Side::B,
            _ => Side::A,
        });
        let seen = |entry: Option<&NatServer>| entry.and_then(|entry| self.seen(part, entry));
        let of = |side| if side == Side::A { a } else { b };
        lifecycle::target(side, seen(a), seen(b)).and_then(of).map(|entry| entry.private_address)
    }

    // -- what is next -----------------------------------------------------------------------------------------------

    fn next(&mut self) -> Checked<()> {
        // One network that cannot be served does not keep the others from being served.
        let count = self.parts.len();
        for turn in 0..count {
            let part = (turn + self.context.bundle().attempts as usize) % count;
            match self.presence(part) {
                Presence::AllGo => {
                    self.remove_servers(part)?;
                    self.remove_addresses(part)?;
                    let uid = self.parts[part].uid;
                    self.facts.networks.retain(|own| own.network != uid);
                }
                Presence::ServersGo => self.remove_servers(part)?,
                Presence::Lingering(left) => self.look_in(left),
                Presence::Wanted => self.serve(part)?,
            }
        }
        self.tidy()?;
        self.watch()
    }

    /// The servers of all gateways are looked at with one request.
    fn watch(&mut self) -> Checked<()> {
        if self.facts.networks.iter().all(|own| own.servers.is_empty()) {
            return Ok(());
        }
        let of = Kind::InternetGateway.as_str();
        let last = self.context.snapshot.watched(ObjectType::Server, of);
        let left = LOOK.saturating_sub(last.map_or(LOOK, |last| self.since(last)));
        if !left.is_zero() {
            self.look_in(left);
            return Ok(());
        }
        let installation = self.context.installation().to_owned();
        let call = Call::Watch { kind: ObjectType::Server, installation, of: of.to_owned(), at: self.now() };
        Err(Box::new(act(call.step("NAT servers"))))
    }

    fn presence(&self, part: usize) -> Presence {
        let Some(of) = self.parts.get(part) else { return Presence::ServersGo };
        // Its place is another gateway's by now.
        let is_others = of
            .row
            .is_some_and(|row| Judgement::of(row).want.is_some_and(|want| want.gateway != self.context.resource().uid));
        let unwanted = self.own(part).and_then(|own| own.unwanted_since).map(|since| self.since(since));
        let linger = if is_others { Duration::ZERO } else { self.context.settings.gateway.linger };
        presence(of.want.is_some(), unwanted.unwrap_or_default(), linger, of.row.is_none())
    }

    /// Brings what a network has to what it wants.
    fn serve(&mut self, part: usize) -> Checked<()> {
        let Some(want) = self.parts[part].want.clone() else { return Ok(()) };
        let is_empty = self.entries(part).is_empty();
        if is_empty && (want.foreign.is_some() || !want.ready || self.candidates(part).is_empty()) {
            if self.candidates(part).is_empty() {
                self.look_in(make::ROUND);
            }
            return Ok(());
        }
        for slot in 0..want.addresses.len() {
            self.slot(part, slot, &want)?;
        }
        self.remove_slots(part, want.addresses.len())
    }

    /// One server, or one and that which replaces it.
    fn slot(&mut self, part: usize, slot: usize, want: &Want) -> Checked<()> {
        let role = address_role(self.parts[part].uid, slot);
        let entries: Vec<NatServer> =
            self.entries(part).iter().filter(|entry| entry.address_role == role).cloned().collect();
        match entries.as_slice() {
            [] => self.make(part, slot, want, None),
            [one] => match self.is_due(part, slot, one, want) {
                true => self.replace(part, slot, one, None, want),
                false => self.care(part, slot, one, want),
            },
            [old, new, ..] => self.replace(part, slot, old, Some(new), want),
        }
    }

    /// Whether a server is to be made again now.
    fn is_due(&mut self, part: usize, slot: usize, entry: &NatServer, want: &Want) -> bool {
        let Some((_, why)) = want.due.iter().find(|(role, _)| *role == entry.role) else { return false };
        if !want.ready {
            return false;
        }
        // Of a pair the other one must serve, and is not replaced at the same time.
        let other = 1 - slot.min(1);
        let is_pair = want.addresses.len() > 1;
        let others = self.entries(part).iter().filter(|other| other.address_role != entry.address_role).count();
        let other_is_up =
            self.serving(part, other).is_some_and(|other| self.seen(part, other).is_some_and(|seen| seen.is_up()));
        if is_pair && (others != 1 || !other_is_up) {
            return false;
        }
        let last = self.entries(part).iter().flat_map(|entry| [Some(entry.made_at), entry.kept_at]).flatten().max();
        let left = lifecycle::BETWEEN_REPLACEMENTS.saturating_sub(self.since(last.unwrap_or_default()));
        if !left.is_zero() && *why != Due::Place {
            self.look_in(left);
            return false;
        }
        true
    }

    /// Gives a server what it lacks.
    fn care(&mut self, part: usize, slot: usize, entry: &NatServer, want: &Want) -> Checked<()> {
        let found = self.server(&entry.role);
        if let Some(server) = found {
            self.guard(server)?;
        } else {
            self.prove_no_server(&entry.role)?;
        }
        let seen = self.seen(part, entry);
        let recoveries = u32::try_from(entry.recoveries.len()).unwrap_or(u32::MAX);
        // The first start is none.
        let recoveries = if entry.started { recoveries } else { 0 };
        match (care(seen, recoveries), found) {
            (Care::Nothing, _) => Ok(()),
            (Care::Wait, _) => {
                self.look_in(UP_AFTER.saturating_sub(seen.map(|seen| seen.well_for).unwrap_or_default()));
                Ok(())
            }
            (Care::GiveUp, _) => {
                self.unhealthy = true;
                Ok(())
            }
            (Care::Make, _) | (_, None) => self.make(part, slot, want, Some(entry)),
            (Care::PowerOff, Some(server)) => self.plain(ServerCall::Poweroff { server: server.id }.step(&server.name)),
            (Care::AssignAddress, Some(server)) => self.assign(part, slot, entry, server),
            (Care::Attach, Some(server)) => self.attach(part, entry, server),
            (Care::PowerOn, Some(server)) => self.power_on(entry, server),
        }
    }

    /// A server at which something is under way is waited for, and one is never without its firewall.
    fn guard(&self, server: &Server) -> Checked<()> {
        if power::is_busy(server) {
            return Err(Box::new(self.context.watch_server(server, Until::Settled)));
        }
        let firewall = self.firewall()?;
        if server.public_net.ipv4.is_some() && !has_firewall(server, firewall) {
            let call = FirewallCall::Apply { firewall, server: server.id };
            return self.plain(call.step(&server.name));
        }
        Ok(())
    }

    fn assign(&mut self, part: usize, slot: usize, entry: &NatServer, server: &Server) -> Checked<()> {
        let Some(address) = self.ready_address(part, slot)? else { return Ok(()) };
        let role = entry.role.clone();
        let now = self.now();
        let call = PrimaryIpCall::Assign { primary_ip: address.id, server: server.id };
        self.step(call.step(&server.name), |facts| {
            change(facts, &role, |entry| entry.moving_since = Some(entry.moving_since.unwrap_or(now)));
        })
    }

    fn attach(&mut self, part: usize, entry: &NatServer, server: &Server) -> Checked<()> {
        let Some(network) = self.parts[part].id else { return Ok(()) };
        if server.attachment(network).is_some() {
            return self.plain(ServerCall::DetachFromNetwork { server: server.id, network }.step(&server.name));
        }
        if self.context.snapshot.is_address_taken(network, entry.private_address) {
            self.look_in(AGAIN);
            return Ok(());
        }
        let call = ServerCall::AttachToNetwork {
            server: server.id,
            network,
            ip: entry.private_address,
            alias_ips: Vec::new(),
        };
        self.plain(call.step(&server.name))
    }

    fn power_on(&self, entry: &NatServer, server: &Server) -> Checked<()> {
        let (role, now) = (entry.role.clone(), self.now());
        self.step(ServerCall::Poweron { server: server.id }.step(&server.name), |facts| {
            change(facts, &role, |entry| {
                if entry.started {
                    entry.recoveries.push(now);
                }
                entry.started = true;
            });
        })
    }

    // -- what people read -------------------------------------------------------------------------------------------

    fn note(&self, spec: &InternetGatewaySpec) -> Note {
        let all: Vec<InNetwork> = (0..self.parts.len()).filter_map(|part| self.in_network(part)).collect();
        let reason = all.iter().map(|it| reason(&it.standing)).min_by_key(|(weight, _)| *weight);
        let reason = reason.map_or(Reason::NotInEffect, |(_, reason)| reason);
        Note::new(reason, sentences::gateway(spec.egress_only, &all))
    }

    fn in_network(&self, part: usize) -> Option<InNetwork> {
        let of = self.parts.get(part)?;
        let standing = self.standing(part)?;
        let egress = self.own(part).map(|own| own.addresses.iter().filter_map(|address| address.address).collect());
        Some(InNetwork { network: of.name.clone(), standing, egress: egress.unwrap_or_default() })
    }

    fn standing(&self, part: usize) -> Option<Standing> {
        let of = self.parts.get(part)?;
        if let Some(why) = of.blocked {
            return Some(Standing::Blocked(why));
        }
        let entries = self.entries(part);
        let Some(want) = &of.want else {
            return match self.presence(part) {
                Presence::Lingering(left) if !entries.is_empty() => Some(Standing::Lingering(left)),
                _ => None,
            };
        };
        if let Some(gateway) = want.foreign {
            return Some(Standing::ForeignRoute { gateway });
        }
        let up =
            |slot| self.serving(part, slot).filter(|entry| self.seen(part, entry).is_some_and(|seen| seen.is_up()));
        let hop = self.own(part).and_then(|own| own.next_hop);
        let due = want.due.first().map(|(_, why)| why.clone());
        let is_moving = entries.len() > want.addresses.len();
        match (up(0), up(1)) {
            _ if is_moving => Some(match due {
                Some(why) => Standing::Replacing(why),
                None => Standing::Starting { server_type: entries.last().map(|entry| entry.server_type.clone()) },
            }),
            (Some(_), _) | (_, Some(_)) if due.is_some() => due.map(Standing::Due),
            (a, Some(b)) if a.is_none() || hop == Some(b.private_address) => {
                Some(Standing::Up { server_type: b.server_type.clone(), failed_over: true })
            }
            (Some(a), _) => Some(Standing::Up { server_type: a.server_type.clone(), failed_over: false }),
            _ => Some(self.down(part)),
        }
    }

    /// Why no server is up.
    fn down(&self, part: usize) -> Standing {
        let entries = self.entries(part);
        let worst = entries.iter().map(|entry| entry.recoveries.len()).max().unwrap_or_default();
        let recoveries = u32::try_from(worst).unwrap_or(u32::MAX);
        let is_made = entries.iter().any(|entry| self.server(&entry.role).is_some());
        if self.unhealthy {
            return Standing::Unhealthy { recoveries };
        }
        if !is_made && self.candidates(part).is_empty() {
            return Standing::NoCapacity { tried: self.refused(part) };
        }
        if !is_made && self.context.snapshot.has_no_room_for_servers() {
            return Standing::Quota;
        }
        Standing::Starting { server_type: entries.last().map(|entry| entry.server_type.clone()) }
    }
}

/// What weighs most is told first: a smaller number is heavier.
fn reason(standing: &Standing) -> (u8, Reason) {
    match standing {
        Standing::Unhealthy { .. } => (0, Reason::GatewayUnhealthy),
        Standing::Quota => (1, Reason::QuotaExceeded),
        Standing::NoCapacity { .. } => (2, Reason::CapacityUnavailable),
        Standing::ForeignRoute { .. } => (3, Reason::RouteConflict),
        Standing::Blocked(_) => (4, Reason::NotInEffect),
        Standing::Replacing(_) | Standing::Due(_) => (5, Reason::GatewayReplacing),
        Standing::Starting { .. } => (6, Reason::NotInEffect),
        Standing::Up { .. } | Standing::Lingering(_) => (7, Reason::GatewayServing),
    }
}

/// The role of a slot's public address.
fn address_role(network: Uid, slot: usize) -> String {
    let roles = igw_polyfill::plan::Roles::of_uid(&network.to_string());
    if slot == 0 { roles.address() } else { roles.address_b() }
}

/// Remembers what a gateway has in a network, in place of what was known of that.
fn put(facts: &mut InternetGatewayFacts, own: GatewayNetwork) {
    match facts.networks.iter_mut().find(|known| known.network == own.network) {
        Some(known) => *known = own,
        None => facts.networks.push(own),
    }
}

/// Changes what is remembered of a server.
fn change(facts: &mut InternetGatewayFacts, role: &str, change: impl FnOnce(&mut NatServer)) {
    let mut servers = facts.networks.iter_mut().flat_map(|own| &mut own.servers);
    if let Some(server) = servers.find(|server| server.role == role) {
        change(server);
    }
}
