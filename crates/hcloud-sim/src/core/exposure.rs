//! What of each server can be reached from outside, and since when: the timeline that judges whether a client closes
//! before it opens.
//!
//! It is the worst case. While an action runs, its effect may be there or not, so a firewall that is being applied or
//! removed cannot be relied upon, but what it lets through may be let through, and so may the rules before and after
//! a change. A server that is starting counts as on.

use super::actions::Effect;
use super::clock::Time;
use super::firewall_rules::Rule;
use super::firewalls::{self, Applied};
use super::http::{Api, Reply};
use super::query::Query;
use super::servers::{Power, Server};
use super::state::{Cx, Project};
use super::{Simulator, control_objects};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Entries kept of one project; older ones are dropped.
const KEPT: usize = 20_000;

/// How far a firewall is on a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    Pending,
    Applied,
    Removing,
}

/// What of a server makes its exposure, as it is now.
#[derive(Hash)]
struct View<'a> {
    on: bool,
    addresses: Vec<&'a str>,
    firewalls: Vec<(i64, Standing, Vec<&'a Rule>)>,
}

/// From this moment until the server's next entry.
struct Entry {
    number: u64,
    after: u64,
    time: Time,
    server: i64,
    /// `None`: the server is gone.
    shown: Option<Value>,
}

/// The timeline of a project. Like the journal it is no part of the state that is kept.
#[derive(Default)]
pub(crate) struct Exposure {
    /// Server → hash of the view noted last, and whether it was on.
    last: BTreeMap<i64, (u64, bool)>,
    entries: VecDeque<Entry>,
    number: u64,
}

impl View<'_> {
    fn json(&self, name: &str) -> Value {
        let firewall = |(id, standing, rules): &(i64, Standing, Vec<&Rule>)| {
            let standing = match standing {
                Standing::Pending => "pending",
                Standing::Applied => "applied",
                Standing::Removing => "removing",
            };
            json!({"id": id, "state": standing, "rules": rules.iter().map(|rule| rule.json()).collect::<Vec<_>>()})
        };
        let open = self.addresses.iter().filter(|_| self.on).map(|address| self.open(address));
        json!({
            "name": name, "on": self.on, "addresses": self.addresses, "open": open.collect::<Vec<_>>(),
            "firewalls": self.firewalls.iter().map(firewall).collect::<Vec<_>>(),
        })
    }

    /// What comes in at an address: everything unless a firewall is there for certain, else what any lets through.
    fn open(&self, address: &str) -> Value {
        if !self.firewalls.iter().any(|(_, standing, _)| *standing == Standing::Applied) {
            return json!({"address": address, "everything": true, "rules": []});
        }
        let v6 = address.contains(':');
        let of_family = |source: &&String| source.parse::<IpNet>().is_ok_and(|range| range.addr().is_ipv6() == v6);
        let rules = self.firewalls.iter().flat_map(|(_, _, rules)| rules).filter(|rule| rule.direction == "in");
        let rules: BTreeSet<(&str, Option<&str>, Vec<&String>)> = rules
            .map(|rule| {
                let sources = rule.sources.iter().filter(of_family).collect();
                (rule.protocol.as_str(), rule.port.as_deref(), sources)
            })
            .filter(|(_, _, sources): &(_, _, Vec<_>)| !sources.is_empty())
            .collect();
        let rule = |(protocol, port, sources)| json!({"protocol": protocol, "port": port, "source_ips": sources});
        json!({"address": address, "everything": false, "rules": rules.into_iter().map(rule).collect::<Vec<_>>()})
    }
}

impl Entry {
    fn json(&self) -> Value {
        let mut entry = json!({
            "number": self.number, "after_seq": self.after, "time": self.time.rfc3339(), "time_ms": self.time.0,
            "server": self.server, "gone": self.shown.is_none(),
        });
        if let (Some(entry), Some(Value::Object(shown))) = (entry.as_object_mut(), &self.shown) {
            entry.extend(shown.clone());
        }
        entry
    }
}

/// Actions that run on firewalls.
#[derive(Default)]
struct UnderWay<'a> {
    /// Firewall → rules that are being set.
    setting: BTreeMap<i64, Vec<&'a Rule>>,
    /// (firewall, server)
    applying: BTreeSet<(i64, i64)>,
    removing: BTreeSet<(i64, i64)>,
}

impl<'a> UnderWay<'a> {
    fn of(project: &'a Project) -> Self {
        let mut under_way = Self::default();
        for action in &project.running {
            let Effect::Firewall(id, change) = &project.actions[action].effect else { continue };
            match change {
                firewalls::Change::Rules(rules) => under_way.setting.entry(*id).or_default().extend(rules),
                firewalls::Change::Activate { server } => drop(under_way.applying.insert((*id, *server))),
                firewalls::Change::Remove { server } => drop(under_way.removing.insert((*id, *server))),
            }
        }
        under_way
    }

    fn firewall(&self, project: &'a Project, server: i64, applied: &'a Applied) -> (i64, Standing, Vec<&'a Rule>) {
        let id = applied.firewall;
        let standing = match applied.active {
            false => Standing::Pending,
            true if self.removing.contains(&(id, server)) => Standing::Removing,
            true => Standing::Applied,
        };
        let mut rules: Vec<&Rule> = applied.rules.iter().collect();
        if !applied.active || self.applying.contains(&(id, server)) {
            let own = project.firewalls.get(&id).into_iter().flat_map(|firewall| &firewall.rules);
            let setting = self.setting.get(&id).into_iter().flatten().copied();
            for rule in own.chain(setting) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        (id, standing, rules)
    }
}

impl Cx<'_> {
    /// Whether the server may be running.
    fn may_be_on(&self, server: &Server) -> bool {
        match server.power {
            Power::Initializing | Power::Off => false,
            Power::Starting | Power::Running | Power::Stopping | Power::Rebuilding => true,
            // Started again at some moment before its end.
            Power::Migrating => self.shared.switches.change_type_starts,
            // As it was.
            Power::Deleting => self.project.exposure.last.get(&server.id).is_some_and(|(_, on)| *on),
        }
    }

    /// Adds an entry for each server whose exposure is another than that noted last.
    pub(crate) fn note_exposure(&mut self) {
        let project = &*self.project;
        let under_way = UnderWay::of(project);
        let mut addresses: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for ip in project.primary_ips.values() {
            if let Some(server) = ip.server {
                addresses.entry(server).or_default().push(&ip.ip);
            }
        }
        let mut changed = Vec::new();
        for server in project.servers.values() {
            let applied = server.firewalls.iter();
            let view = View {
                on: self.may_be_on(server),
                addresses: addresses.remove(&server.id).unwrap_or_default(),
                firewalls: applied.map(|applied| under_way.firewall(project, server.id, applied)).collect(),
            };
            let mut hasher = DefaultHasher::new();
            view.hash(&mut hasher);
            let seen = (hasher.finish(), view.on);
            if project.exposure.last.get(&server.id) != Some(&seen) {
                changed.push((server.id, Some((seen, view.json(&server.name)))));
            }
        }
        let gone = project.exposure.last.keys().filter(|id| !project.servers.contains_key(id));
        changed.extend(gone.map(|id| (*id, None)));
        let (after, time) = (self.shared.seq, self.now);
        for (server, change) in changed {
            self.project.exposure.add(after, time, server, change);
        }
    }
}

impl Exposure {
    fn add(&mut self, after: u64, time: Time, server: i64, change: Option<((u64, bool), Value)>) {
        let shown = change.map(|(seen, shown)| {
            self.last.insert(server, seen);
            shown
        });
        if shown.is_none() {
            self.last.remove(&server);
        }
        self.number += 1;
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { number: self.number, after, time, server, shown });
    }
}

/// `GET /_sim/exposure?project=&server=ID&after=NUMBER`.
pub(super) fn list(sim: &mut Simulator, query: &Query, now: Time) -> Api<Reply> {
    let cx = control_objects::project(sim, query, now)?;
    let number = |name: &str| query.first(name).and_then(|text| text.parse::<u64>().ok());
    let (after, server) = (number("after").unwrap_or(0), number("server"));
    let entries: Vec<Value> = cx
        .project
        .exposure
        .entries
        .iter()
        .filter(|entry| entry.number > after && server.is_none_or(|id| u64::try_from(entry.server) == Ok(id)))
        .map(Entry::json)
        .collect();
    Ok(Reply::ok(json!({"project": cx.project.name, "count": entries.len(), "entries": entries})))
}

/// `DELETE /_sim/exposure`: forgets the past of every project and notes the present.
pub(super) fn clear(sim: &mut Simulator, now: Time) -> Reply {
    let names: Vec<String> = sim.state.projects.keys().cloned().collect();
    for name in names {
        if let Some(mut cx) = sim.cx(&name, now, "") {
            cx.project.exposure = Exposure::default();
            cx.note_exposure();
        }
    }
    Reply::no_content()
}
