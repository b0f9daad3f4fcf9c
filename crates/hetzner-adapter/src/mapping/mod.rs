//! What each SECA kind comes to at the provider: one file per kind, named like the kind's half in the control
//! plane. Pure: a mapping looks at a row with its relations and at a snapshot, and says what to do next.

mod adoption;
mod auxiliary;
mod block_storage;
mod cycle;
mod diff;
pub mod gateway;
pub(crate) mod guest;
mod image;
mod instance;
mod internet_gateway;
mod keys;
mod network;
mod nic;
mod origin;
mod parking;
mod power;
mod public_ip;
mod route_table;
mod row;
mod security_group;
mod security_group_rule;
mod seen;
mod shape;
mod subnet;
mod zone;

use std::{collections::BTreeSet, time::Duration};

use control_plane::{
    Reason, Resource,
    facts::{Facts, InstanceFacts, ObjectIds},
    ports::{Bundle, Desired, Note, Plan, Planned, Related, Step},
    state,
};
use hcloud_client::types::{Id, Labels, Network, PrimaryIp, Server};
use igw_polyfill::ranges::PUBLIC_ROUTER;
use seca_api::{Kind, ResourceKey, ResourceState, Status, StatusCondition, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    call::{Call, Until},
    naming,
    objects::{ObjectId, ObjectType},
    owner::{Owner, Role},
    provider::AdapterSettings,
    snapshot::{Snapshot, Usage},
};

/// One kind's half at the provider.
pub trait Mapping: Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// What to do next about a live resource of the kind; what stops it is the plan.
    ///
    /// # Errors
    /// The plan that stops it.
    fn alive(&self, context: &Context<'_>) -> Checked<Planned>;

    /// What to do next about one that is being deleted; nothing where nothing stands behind it.
    fn delete(&self, _context: &Context<'_>) -> Planned {
        settled()
    }

    /// The objects that a resource of the kind may own: none is left before its row leaves.
    fn objects(&self) -> &'static [Owned] {
        &[]
    }
}

/// An object that a resource may own.
#[derive(Clone, Copy, Debug)]
pub struct Owned {
    /// Its type.
    pub kind: ObjectType,
    /// Whether the resource makes it; else it is handed over, and the id is remembered before that.
    pub made: bool,
}

/// The kinds that are mapped: all but those that are a row and nothing more.
pub static MAPPINGS: &[&dyn Mapping] = &[
    &image::ImageMapping,
    &block_storage::BlockStorageMapping,
    &instance::InstanceMapping,
    &network::NetworkMapping,
    &subnet::SubnetMapping,
    &route_table::RouteTableMapping,
    &internet_gateway::InternetGatewayMapping,
    &nic::NicMapping,
    &public_ip::PublicIpMapping,
    &security_group::SecurityGroupMapping,
    &security_group_rule::SecurityGroupRuleMapping,
];

/// The kinds that are mapped, in the registry's order.
pub fn kinds() -> Vec<Kind> {
    MAPPINGS.iter().map(|mapping| mapping.kind()).collect()
}

/// What to do next about a resource.
pub fn plan(context: &Context<'_>) -> Planned {
    let kind = context.resource().key.kind;
    if control_plane::kinds::rules(kind).is_some_and(|rules| !rules.has_object) {
        return row::plan(context);
    }
    let Some(mapping) = MAPPINGS.iter().find(|mapping| mapping.kind() == kind) else {
        return fail(Reason::Unsupported, format!("This release makes no {} at Hetzner Cloud.", kind.noun()));
    };
    let mut planned = match context.resource().is_deleting() {
        true => delete(context, *mapping),
        false => adoption::plan(context, *mapping),
    };
    if matches!(planned.plan, Plan::Act(_)) && planned.note.is_none() {
        planned.note = standing_note(context);
    }
    planned
}

/// A row leaves only when it is proven that nothing of it is left.
fn delete(context: &Context<'_>, mapping: &dyn Mapping) -> Planned {
    let planned = mapping.delete(context);
    if !matches!(planned.plan, Plan::Nothing) {
        return planned;
    }
    let row = context.resource();
    let unproven =
        mapping.objects().iter().find_map(|owned| match owned.made || remembered(row, owned.kind).is_some() {
            true => context.prove_unmade(owned.kind).err(),
            false => None,
        });
    unproven.map_or(planned, |look| *look)
}

/// While something is tried again, the reason why it had to be stays to be seen.
fn standing_note(context: &Context<'_>) -> Option<Note> {
    Note::of(context.resource()).filter(|_| context.bundle().attempts > 0)
}

/// A step on the way to a plan: what stops it is the plan.
pub type Checked<T> = Result<T, Box<Planned>>;

/// All that a mapping may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The row, its relations, the catalogue.
    pub desired: &'a Desired<'a>,
    /// What is at the provider.
    pub snapshot: &'a Snapshot,
    /// Now.
    pub now: Timestamp,
    /// The operator's choices.
    pub settings: &'a AdapterSettings,
}

impl<'a> Context<'a> {
    fn bundle(&self) -> &'a Bundle {
        self.desired.bundle
    }

    fn resource(&self) -> &'a Resource {
        &self.desired.bundle.resource
    }

    fn installation(&self) -> &'a str {
        self.desired.installation
    }

    fn region(&self) -> &'a str {
        &self.resource().key.region
    }

    fn region_fact(&self, name: &str) -> Option<&'a str> {
        self.desired.catalog.get(Kind::Region, self.region(), self.region())?.fact(name)
    }

    fn spec<T: DeserializeOwned>(&self) -> Checked<T> {
        self.resource().spec().map_err(|error| {
            let message = format!("The stored specification cannot be read by this release: {error}.");
            Box::new(Planned::new(Plan::Fail).note(Reason::Unsupported, message))
        })
    }

    /// The name of the resource's object at the provider.
    fn object_name(&self) -> String {
        naming::object_name(&self.resource().key.name, self.resource().uid)
    }

    /// The labels of an object that a step makes now: no two steps of a resource are of one moment.
    fn labels(&self, step: &str) -> Labels {
        naming::labels(self.installation(), self.resource(), step, self.now)
    }

    /// The same for an object that is another one than the main one.
    fn labels_in_role(&self, step: &str, role: &Role) -> Labels {
        naming::role_labels(self.installation(), self.resource(), Some(role), step, self.now)
    }

    /// The address that the server of an instance has, or had, only because it needs an interface.
    fn placeholder(&self) -> Option<&'a PrimaryIp> {
        let owner = Owner::in_role(self.resource().uid, diff::PLACEHOLDER);
        self.snapshot.owned_by(self.installation(), &owner)
    }

    /// The same, if it is on no server any more: by its label, or, if the provider made it with the server, as it is remembered.
    fn left_placeholder(&self) -> Option<&'a PrimaryIp> {
        let remembered = InstanceFacts::of(self.resource()).placeholder.and_then(|id| id.parse::<Id<PrimaryIp>>().ok());
        let own = self.placeholder().or_else(|| self.snapshot.get(remembered?));
        own.filter(|ip| ip.assignee_id.is_none())
    }

    /// The resource that holds this one, as far as it still names it.
    fn holder(&self) -> Option<&'a Related> {
        let holder = self.resource().holder?;
        let is_holder = |related: &&Related| related.resource.as_ref().is_some_and(|row| row.uid == holder);
        self.bundle().referrers.iter().find(is_holder)
    }

    /// The Hetzner network that it is in, for what lives in one; none if it does not exist.
    fn network(&self) -> Checked<Option<&'a Network>> {
        let Some(row) = self.bundle().parent(Kind::Network) else { return Ok(None) };
        let network = self.snapshot.network_of(self.installation(), row);
        if network.is_none() && remembered(row, ObjectType::Network).is_some() {
            self.prove(row, ObjectType::Network)?;
        }
        Ok(network)
    }

    /// The same, unless it goes as a whole, with all that is in it.
    fn lasting_network(&self) -> Checked<Option<&'a Network>> {
        match self.bundle().parent(Kind::Network) {
            Some(row) if !row.is_deleting() => self.network(),
            _ => Ok(None),
        }
    }

    /// Proves that the object of a row does not exist that is not seen; else the plan is to ask for it, by the id that the row remembers,
    /// or by label and name.
    fn prove(&self, row: &Resource, kind: ObjectType) -> Checked<()> {
        if let Some(id) = remembered(row, kind) {
            return self.prove_gone(kind.id(id));
        }
        // Snapshots have no names.
        let name = kind.is_named().then(|| naming::object_name(&row.key.name, row.uid));
        self.prove_none(kind, Owner::main(row.uid), name)
    }

    /// Proves that the resource has no object of a type. Before its first step there is none.
    fn prove_unmade(&self, kind: ObjectType) -> Checked<()> {
        if self.bundle().touched { self.prove(self.resource(), kind) } else { self.prove_lost(kind) }
    }

    /// Proves that the object does not exist that the resource had. One that it may have, and that nobody saw, cannot be
    /// made a second time: the provider refuses its name.
    fn prove_lost(&self, kind: ObjectType) -> Checked<()> {
        let row = self.resource();
        if remembered(row, kind).is_some() { self.prove(row, kind) } else { Ok(()) }
    }

    /// The same for an object by its id. One that is seen, but not where it was looked for, is not the row's any more.
    fn prove_gone(&self, object: ObjectId) -> Checked<()> {
        if self.snapshot.is_known(object) {
            return Ok(());
        }
        Err(Box::new(self.ask(self.watch(object, Until::Known))))
    }

    /// The same for what is an owner's of which no row is at hand.
    fn prove_none(&self, kind: ObjectType, owner: Owner, name: Option<String>) -> Checked<()> {
        if self.snapshot.owns_none(kind, &owner) {
            return Ok(());
        }
        let installation = self.installation().to_owned();
        Err(Box::new(self.ask(Call::Find { kind, installation, owner, name })))
    }

    /// Proves that an object is still there that is seen. What was read of it may be minutes old, and something is about to go
    /// because this stays. The answer tells of its use as well, and is as fresh.
    fn prove_there(&self, object: ObjectId) -> Checked<Usage> {
        self.prove_there_at(object, self.now)
    }

    /// The same for a time at which something else was asked.
    fn prove_there_at(&self, object: ObjectId, at: Timestamp) -> Checked<Usage> {
        /// For how long an answer counts: a plan follows it at once.
        const FRESH_MS: i64 = 5_000;
        let since = at.as_millis() - FRESH_MS;
        match self.snapshot.usage_since(object, self.bundle().attempts, 0) {
            Some(told) if told.answered >= since => Ok(told),
            _ => Err(Box::new(self.ask(self.history(object)))),
        }
    }

    /// Whether a server ever ran, or a volume was ever attached, whoever did it.
    fn was_used(&self, object: ObjectId) -> Checked<bool> {
        Ok(self.snapshot.was_used(object) || self.prove_there(object)?.ever)
    }

    /// Reads an object, and what was done to it.
    fn history(&self, object: ObjectId) -> Call {
        Call::History { object, attempt: self.bundle().attempts, at: self.now.as_millis() }
    }

    /// Asks the provider. The notice of the condition stays meanwhile.
    fn ask(&self, call: Call) -> Planned {
        Planned { note: Note::of(self.resource()), ..act(call.step(self.object_name())) }
    }

    /// Reads a server again until nothing is under way with it.
    fn watch_server(&self, server: &Server, until: Until) -> Planned {
        act(self.watch(ObjectId::Server(server.id), until).step(&server.name))
    }

    fn watch(self, object: ObjectId, until: Until) -> Call {
        Call::Read { object, until, why: None }
    }

    /// Waits for what a person must do at the provider, and looks whether it is done.
    fn await_person(&self, object: ObjectId, until: Until, reason: Reason, message: String) -> Planned {
        act(Call::Read { object, until, why: Some(message.clone()) }.step(self.object_name())).note(reason, message)
    }

    /// Whether there is anything to do about a live resource that a stable object would be needed for.
    fn is_converging(&self) -> bool {
        let resource = self.resource();
        resource.action.pending().is_some()
            || resource.state != ResourceState::Active
            || resource.observed_generation != resource.generation
    }
}

/// Makes a call.
fn act(step: Step) -> Planned {
    Planned::new(Plan::Act(Box::new(step)))
}

/// Nothing to do.
fn settled() -> Planned {
    Planned::new(Plan::Nothing)
}

/// Something else must happen first; related resources wake this one.
fn wait(reason: Reason, message: impl Into<String>) -> Planned {
    /// A wake-up that gets lost costs at most this.
    const AGAIN: Duration = Duration::from_secs(30);
    Planned::new(Plan::Wait { retry: Some(AGAIN) }).note(reason, message)
}

fn fail(reason: Reason, message: impl Into<String>) -> Planned {
    Planned::new(Plan::Fail).note(reason, message)
}

/// Everything that a person must know; the first, and weightiest, gives the reason.
fn noted(planned: Planned, notes: impl IntoIterator<Item = (Reason, String)>) -> Planned {
    let mut notes = notes.into_iter();
    let Some((reason, mut message)) = notes.next() else { return planned };
    for (_, more) in notes {
        message.push(' ');
        message.push_str(&more);
    }
    planned.note(reason, message)
}

/// What a resource names that does not exist, or is on its way out.
fn missing_targets(context: &Context<'_>) -> Option<(Reason, String)> {
    let is_live = |related: &&Related| related.resource.as_ref().is_some_and(|row| !row.is_deleting());
    let missing = context.bundle().targets.iter().filter(|related| !is_live(related)).map(|related| &related.key);
    let names = names(missing)?;
    let message =
        format!("It names {names}, which cannot be found or is being deleted; create it, or change the reference.");
    Some((Reason::DependencyMissing, message))
}

/// The resources of some kinds that name this one.
fn referrers(context: &Context<'_>, kinds: &[Kind]) -> Option<String> {
    names(context.bundle().referrers.iter().map(|related| &related.key).filter(|key| kinds.contains(&key.kind)))
}

/// Keys for a sentence, each once, and the first few of many.
fn names<'a>(keys: impl Iterator<Item = &'a ResourceKey>) -> Option<String> {
    const SHOWN: usize = 5;
    let all: BTreeSet<String> = keys.map(|key| format!("`{}`", key.resource())).collect();
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{shown} and {} more", count - SHOWN)),
        _ => Some(shown),
    }
}

/// The status of a part of a resource, which has its own state and transitions; a new message changes neither.
fn part_status(
    state: ResourceState,
    note: Option<(Reason, Option<String>)>,
    before: Option<&Status>,
    now: Timestamp,
) -> Status {
    let mut conditions = before.map(|before| before.conditions.clone()).unwrap_or_default();
    if conditions.first().is_none_or(|newest| newest.state != state) {
        conditions.insert(0, StatusCondition::new(state, now));
        conditions.truncate(StatusCondition::MAX);
    }
    if let Some(newest) = conditions.first_mut() {
        let (reason, message) = note.unzip();
        newest.reason = reason.map(|reason| reason.as_str().to_owned());
        newest.message = message.flatten();
    }
    Status { state: Some(state), conditions }
}

/// The provider's id that a row remembers of its main object of a type.
pub(crate) fn remembered(row: &Resource, kind: ObjectType) -> Option<i64> {
    let ids = ObjectIds::of(row);
    let id = match kind {
        ObjectType::Server => ids.server_id,
        ObjectType::Volume => ids.volume_id,
        ObjectType::Network => ids.network_id,
        ObjectType::PrimaryIp => ids.primary_ip_id,
        ObjectType::Image => ids.image_id,
        ObjectType::Firewall | ObjectType::PlacementGroup | ObjectType::SshKey => None,
    };
    id?.parse().ok()
}

fn map(members: &[(&str, Value)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What a plan may have beside it.
trait PlannedExt: Sized {
    /// With a change of the facts of the planned row.
    fn remember<T: Facts>(self, row: &Resource, change: impl FnOnce(&mut T)) -> Self;
    fn status(self, members: Map<String, Value>) -> Self;
}

impl PlannedExt for Planned {
    fn remember<T: Facts>(mut self, row: &Resource, change: impl FnOnce(&mut T)) -> Self {
        let mut facts = row.facts.clone();
        state::merge(&mut facts, &self.facts);
        self.facts.extend(T::read(&facts).changes(change));
        self
    }

    fn status(mut self, members: Map<String, Value>) -> Self {
        self.status = Some(members);
        self
    }
}
