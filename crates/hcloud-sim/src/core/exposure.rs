//! What of each server can be reached from outside, and since when: the timeline that judges whether a client closes
//! before it opens.
//!
//! It is the worst case. While an action runs, its effect may be there or not, so a firewall that is being applied or
//! removed cannot be relied upon, but what it lets through may be let through, and so may the rules before and after
//! a change. A server that is starting counts as on.

use super::actions::{Effect, Kind};
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
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// Entries kept of one project; older ones are dropped.
const KEPT: usize = 20_000;

/// How far a firewall is on a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Pending,
    Applied,
    Removing,
}

/// What of a server makes its exposure, as it is at one moment.
#[derive(Clone, PartialEq, Eq)]
struct View {
    on: bool,
    addresses: Vec<String>,
    /// Firewalls with the rules that may be in force.
    firewalls: Vec<(i64, Standing, Arc<[Rule]>)>,
}

/// From this moment until the server's next entry.
struct Entry {
    number: u64,
    after: u64,
    time: Time,
    server: i64,
    /// Name and view; `None`: the server is gone.
    shown: Option<(String, View)>,
}

/// The timeline of a project. Like the journal it is no part of the state that is kept.
#[derive(Default)]
pub(crate) struct Exposure {
    /// Server → the view noted last.
    last: BTreeMap<i64, View>,
    entries: VecDeque<Entry>,
    number: u64,
    /// Firewall → its rule sets of late, so that the entries of many servers share them.
    sets: BTreeMap<i64, VecDeque<Arc<[Rule]>>>,
}

impl View {
    fn json(&self, name: &str) -> Value {
        let firewall = |(id, standing, rules): &(i64, Standing, Arc<[Rule]>)| {
            let standing = match standing {
                Standing::Pending => "pending",
                Standing::Applied => "applied",
                Standing::Removing => "removing",
            };
            json!({"id": id, "state": standing, "rules": rules.iter().map(Rule::json).collect::<Vec<_>>()})
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
        let rules = self.firewalls.iter().flat_map(|(_, _, rules)| rules.iter()).filter(|rule| rule.direction == "in");
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
        let shown = self.shown.as_ref().map(|(name, view)| view.json(name));
        if let (Some(entry), Some(Value::Object(shown))) = (entry.as_object_mut(), shown) {
            entry.extend(shown);
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
            let mut known: HashSet<&Rule> = rules.iter().copied().collect();
            rules.extend(own.chain(setting).filter(|rule| known.insert(rule)));
        }
        (id, standing, rules)
    }
}

impl Cx<'_> {
    /// Marks the servers that an action concerns, as it starts or ends. A change of rules has one for each server.
    pub(crate) fn touch(&mut self, resources: &[(Kind, i64)]) {
        self.touched.extend(resources.iter().filter(|(kind, _)| *kind == Kind::Server).map(|(_, id)| *id));
    }

    /// Marks every server that is there or was there when exposure was noted last.
    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.project.servers.keys().chain(self.project.exposure.last.keys()));
    }

    /// Adds an entry for each marked server whose exposure is another than that noted last.
    pub(crate) fn note_exposure(&mut self) {
        if self.project.exposure.number == 0 {
            // Nothing was noted yet: the state may come from a file.
            self.touch_all();
        }
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return;
        }
        let mut exposure = std::mem::take(&mut self.project.exposure);
        let under_way = UnderWay::of(self.project);
        for id in touched {
            let server = self.project.servers.get(&id);
            let shown = server.map(|server| (server.name.clone(), self.view(server, &under_way, &mut exposure)));
            if exposure.last.get(&id) != shown.as_ref().map(|(_, view)| view) {
                exposure.add(self.shared.seq, self.now, id, shown);
            }
        }
        exposure.sets.retain(|id, _| self.project.firewalls.contains_key(id));
        self.project.exposure = exposure;
    }

    fn view(&self, server: &Server, under_way: &UnderWay<'_>, exposure: &mut Exposure) -> View {
        let on = match server.power {
            Power::Initializing | Power::Off => false,
            Power::Starting | Power::Running | Power::Stopping | Power::Rebuilding => true,
            // Started again at some moment before its end.
            Power::Migrating => self.shared.switches.change_type_starts,
            // As it was.
            Power::Deleting => exposure.last.get(&server.id).is_some_and(|view| view.on),
        };
        let addresses = self.project.primary_ips.values().filter(|ip| ip.server == Some(server.id));
        let mut firewall = |applied| {
            let (id, standing, rules) = under_way.firewall(self.project, server.id, applied);
            (id, standing, exposure.share(id, &rules))
        };
        View {
            on,
            addresses: addresses.map(|ip| ip.ip.clone()).collect(),
            firewalls: server.firewalls.iter().map(&mut firewall).collect(),
        }
    }
}

impl Exposure {
    fn add(&mut self, after: u64, time: Time, server: i64, shown: Option<(String, View)>) {
        match &shown {
            Some((_, view)) => drop(self.last.insert(server, view.clone())),
            None => drop(self.last.remove(&server)),
        }
        self.number += 1;
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { number: self.number, after, time, server, shown });
    }

    /// The rules as a set that other entries have too.
    fn share(&mut self, firewall: i64, rules: &[&Rule]) -> Arc<[Rule]> {
        const SHARED: usize = 8;
        let sets = self.sets.entry(firewall).or_default();
        if let Some(set) = sets.iter().find(|set| set.iter().eq(rules.iter().copied())) {
            return Arc::clone(set);
        }
        let set: Arc<[Rule]> = rules.iter().map(|rule| (*rule).clone()).collect();
        if sets.len() >= SHARED {
            sets.pop_front();
        }
        sets.push_back(Arc::clone(&set));
        set
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
            cx.touch_all();
            cx.note_exposure();
        }
    }
    Reply::no_content()
}
