//! What the simulator knows: projects with their objects, and what all projects share.

use super::actions::{Action, Job, Twist};
use super::clock::Time;
use super::content::Lost;
use super::exposure::Exposure;
use super::firewalls::Firewall;
use super::http::{Api, ApiError};
use super::images::Image;
use super::input::Input;
use super::networks::Network;
use super::placement_groups::PlacementGroup;
use super::primary_ips::PrimaryIp;
use super::query::{ListSpec, Paging, Query, list};
use super::rate::Bucket;
use super::rng::Rng;
use super::servers::Server;
use super::ssh_keys::SshKey;
use super::switches::Switches;
use super::volumes::Volume;
use super::{CoreConfig, Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a snapshot keeps.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) shared: Shared,
    pub(crate) projects: BTreeMap<String, Project>,
    /// Token → project and right.
    pub(crate) tokens: BTreeMap<String, Grant>,
    /// Requests that were answered with a timeout and take effect later.
    pub(crate) late: Vec<Late>,
}

/// What a token allows.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) project: String,
    pub(crate) read_only: bool,
    /// Whose token it is, where `/_sim` was told: the journal says so, and faults can be for one client alone.
    #[serde(default)]
    pub(crate) client: Option<String>,
}

/// A request that commits by itself at a later time.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(crate) at: Time,
    pub(crate) seq: u64,
    pub(crate) project: String,
    pub(crate) read_only: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
}

/// Counters, randomness and capacity: one for all projects, as ids are in the real API.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) rng: Rng,
    next_id: i64,
    next_action: i64,
    next_address: u32,
    /// The journal's last sequence number.
    pub(crate) seq: u64,
    /// `type/location` → what is said of it and what is true.
    pub(crate) availability: BTreeMap<String, Availability>,
    #[serde(default)]
    pub(crate) switches: Switches,
}

/// A server type in a location: `available` is what the API says, `orderable` what happens.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Availability {
    pub(crate) available: bool,
    pub(crate) orderable: bool,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            next_id: 10_000_000,
            // Above 2^32, so that a client with 32-bit ids fails here and not in production.
            next_action: 5_000_000_000,
            next_address: 0,
            seq: 0,
            availability: BTreeMap::new(),
            switches: Switches::default(),
        }
    }

    pub(crate) const fn id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) const fn action_id(&mut self) -> i64 {
        self.next_action += 1;
        self.next_action
    }

    /// The number of the next public address; addresses are never used twice.
    pub(crate) const fn address(&mut self) -> u32 {
        self.next_address += 1;
        self.next_address
    }

    pub(crate) const fn seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(crate) fn availability(&self, server_type: &str, location: &str) -> Availability {
        self.availability
            .get(&format!("{server_type}/{location}"))
            .copied()
            .unwrap_or(Availability { available: true, orderable: true })
    }
}

/// One Hetzner Cloud project.
#[derive(Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) bucket: Bucket,
    /// Limit name (`server_limit`) → the largest number allowed.
    pub(crate) limits: BTreeMap<String, usize>,
    pub(crate) servers: BTreeMap<i64, Server>,
    pub(crate) volumes: BTreeMap<i64, Volume>,
    pub(crate) networks: BTreeMap<i64, Network>,
    pub(crate) primary_ips: BTreeMap<i64, PrimaryIp>,
    pub(crate) firewalls: BTreeMap<i64, Firewall>,
    pub(crate) placement_groups: BTreeMap<i64, PlacementGroup>,
    pub(crate) ssh_keys: BTreeMap<i64, SshKey>,
    pub(crate) images: BTreeMap<i64, Image>,
    pub(crate) actions: BTreeMap<i64, Action>,
    /// Ids of the actions that still run.
    pub(crate) running: BTreeSet<i64>,
    /// What happens by itself, soonest last.
    pub(crate) jobs: Vec<Job>,
    /// Content that no copy is left of, oldest first.
    #[serde(default)]
    pub(crate) lost: Vec<Lost>,
    #[serde(skip)]
    pub(crate) exposure: Exposure,
}

/// The limits that a project has unless `/_sim` says otherwise. Roomier than those of a new real account.
const LIMITS: [(&str, usize); 8] = [
    ("server_limit", 500),
    ("volume_limit", 500),
    ("primary_ip_limit", 1000),
    ("network_limit", 100),
    ("firewall_limit", 50),
    ("placement_group_limit", 50),
    ("ssh_key_limit", 200),
    ("snapshot_limit", 200),
];

impl Project {
    pub(crate) fn new(name: &str, rate_limit: u32, now: Time) -> Self {
        Self {
            name: name.to_owned(),
            bucket: Bucket::full(rate_limit, now),
            limits: LIMITS.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect(),
            servers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            networks: BTreeMap::new(),
            primary_ips: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            placement_groups: BTreeMap::new(),
            ssh_keys: BTreeMap::new(),
            images: BTreeMap::new(),
            actions: BTreeMap::new(),
            running: BTreeSet::new(),
            jobs: Vec::new(),
            lost: Vec::new(),
            exposure: Exposure::default(),
        }
    }

    /// Fails when `count` objects are there and the limit allows no more.
    pub(crate) fn check_limit(&self, name: &str, count: usize) -> Api<()> {
        match self.limits.get(name) {
            Some(limit) if count >= *limit => Err(ApiError::limit(name)),
            _ => Ok(()),
        }
    }
}

/// Everything a handler works with: one project, what is shared, the request, the time.
pub(crate) struct Cx<'a> {
    pub(crate) project: &'a mut Project,
    pub(crate) shared: &'a mut Shared,
    pub(crate) config: &'a CoreConfig,
    pub(crate) now: Time,
    /// The path below `/v1`, for links.
    pub(crate) path: &'a str,
    pub(crate) query: Query,
    pub(crate) body: Map<String, Value>,
    /// What a fault does to the actions that this request starts.
    pub(crate) twist: Option<Twist>,
    /// Servers whose exposure may be another since it was noted.
    pub(crate) touched: BTreeSet<i64>,
}

impl Cx<'_> {
    /// The request body; a handler reads it once.
    pub(crate) fn input(&mut self) -> Input {
        Input::new(std::mem::take(&mut self.body))
    }

    pub(crate) fn list(&self, spec: &ListSpec, items: Vec<Value>) -> Api<Reply> {
        let paging = Paging { base_url: &self.config.base_url, path: self.path, clamp: self.config.clamp_per_page };
        list(&self.query, spec, items, paging)
    }

    /// A latency of the profile, with seeded jitter, scaled by the speed.
    #[allow(clippy::cast_possible_truncation)] // Seconds to minutes.
    pub(crate) fn latency(&mut self, command: &str) -> i64 {
        let jitter = self.shared.rng.unit().mul_add(0.4, 0.8);
        (super::latency::median_ms(command) * jitter * self.config.speed).round() as i64
    }
}

/// Fails when another object of the kind has the name.
pub(crate) fn check_name<'a>(
    mut others: impl Iterator<Item = (i64, &'a str)>,
    id: Option<i64>,
    name: &str,
    kind: &str,
) -> Api<()> {
    if others.any(|(other, taken)| Some(other) != id && taken == name) {
        return Err(ApiError::not_unique("name", &format!("{kind} name is already used")));
    }
    Ok(())
}
