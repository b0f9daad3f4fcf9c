//! What each SECA kind comes to at the provider: one file per kind, named like the kind's half in the control
//! plane. Pure: a mapping looks at a row with its relations and at a snapshot, and says what to do next.

mod block_storage;
mod deny_all;
mod facts;
mod instance;
mod internet_gateway;
mod network;
mod power;
mod route_table;
mod subnet;
mod workspace;

use std::{net::IpAddr, time::Duration};

use control_plane::{
    Reason, Resource,
    ports::{Bundle, Desired, Mark, Note, Plan, Planned, Step},
};
use hcloud_client::types::{Labels, Server};
use seca_api::{Kind, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    call::{Call, Until, watch_interval},
    naming,
    provider::AdapterSettings,
    snapshot::{ObjectId, Snapshot},
};

/// One kind's half at the provider.
pub trait Mapping: Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// What to do next about a resource of the kind.
    fn plan(&self, context: &Context<'_>) -> Planned;
}

/// The kinds that are mapped.
pub static MAPPINGS: &[&dyn Mapping] = &[
    &workspace::WorkspaceMapping,
    &block_storage::BlockStorageMapping,
    &instance::InstanceMapping,
    &network::NetworkMapping,
    &subnet::SubnetMapping,
    &route_table::RouteTableMapping,
    &internet_gateway::InternetGatewayMapping,
];

/// The kinds that are mapped, in the registry's order.
pub fn kinds() -> Vec<Kind> {
    MAPPINGS.iter().map(|mapping| mapping.kind()).collect()
}

/// What to do next about a resource.
pub fn plan(context: &Context<'_>) -> Planned {
    let kind = context.resource().key.kind;
    let Some(mapping) = MAPPINGS.iter().find(|mapping| mapping.kind() == kind) else {
        return fail(Reason::Unsupported, format!("This release makes no {} at Hetzner Cloud.", kind.noun()));
    };
    let mut planned = mapping.plan(context);
    if matches!(planned.plan, Plan::Act(_)) && planned.note.is_none() {
        planned.note = standing_note(context);
    }
    planned
}

/// While something is tried again, the reason why it had to be stays to be seen.
fn standing_note(context: &Context<'_>) -> Option<Note> {
    let newest = context.resource().conditions.first().filter(|_| context.bundle().attempts > 0)?;
    let word = newest.reason.as_deref()?;
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word)?;
    Some(Note::new(*reason, newest.message.clone().unwrap_or_default()))
}

/// A step on the way to a plan: what stops it is the plan.
type Checked<T> = Result<T, Box<Planned>>;

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

    fn labels(&self, step: &str) -> Labels {
        naming::labels(self.installation(), self.resource(), step)
    }

    /// Reads a server again until nothing is under way with it.
    fn watch_server(&self, server: &Server, until: Until) -> Planned {
        act(self.watch(ObjectId::Server(server.id), until).step(&server.name))
    }

    fn watch(&self, object: ObjectId, until: Until) -> Call {
        Call::Read { object, until, retry_ms: watch_interval(self.bundle().attempts) }
    }

    /// Whether there is anything to do about a live resource that a stable object would be needed for.
    fn is_converging(&self) -> bool {
        let resource = self.resource();
        resource.action.pending().is_some()
            || resource.state != seca_api::ResourceState::Active
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

fn mark(resource: &Resource, facts: &[(&str, Value)]) -> Mark {
    Mark { uid: resource.uid, facts: map(facts) }
}

fn map(members: &[(&str, Value)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What a plan may have beside it.
trait PlannedExt: Sized {
    fn fact(self, name: &str, value: impl Into<Value>) -> Self;
    fn status(self, members: Map<String, Value>) -> Self;
}

impl PlannedExt for Planned {
    fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    fn status(mut self, members: Map<String, Value>) -> Self {
        self.status = Some(members);
        self
    }
}

/// An address or block as a next hop.
fn next_hop(text: &str) -> Option<igw_polyfill::NextHop> {
    use igw_polyfill::NextHop;
    let address = text.parse::<IpAddr>().ok().map(NextHop::Address);
    address.or_else(|| text.parse().ok().map(NextHop::Block))
}
