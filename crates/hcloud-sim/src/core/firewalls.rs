//! Firewalls: rule sets that are applied to servers, by id or by label selector.

use super::actions::{Effect, JobKind, Kind, Start};
use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::input::Input;
use super::labels::{Labels, Selector};
use super::query::ListSpec;
use super::state::{Cx, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MAX_RULES: usize = 50;
/// Firewalls on one server.
pub(crate) const MAX_PER_SERVER: usize = 5;

#[derive(Serialize, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
    rules: Vec<Rule>,
    /// Servers it was applied to by id.
    pub(crate) servers: BTreeSet<i64>,
    pub(crate) selectors: BTreeSet<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rule {
    description: Option<String>,
    direction: String,
    protocol: String,
    port: Option<String>,
    sources: Vec<String>,
    destinations: Vec<String>,
}

/// A firewall on a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) firewall: i64,
    pub(crate) active: bool,
    by_selector: bool,
}

impl Applied {
    pub(crate) const fn pending(firewall: i64) -> Self {
        Self { firewall, active: false, by_selector: false }
    }
}

/// What a finished action does: to a firewall, or to a server on its behalf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Rules(Vec<Rule>),
    Activate { server: i64 },
    Remove { server: i64 },
}

impl Rule {
    fn json(&self) -> Value {
        json!({
            "description": self.description, "direction": self.direction, "protocol": self.protocol,
            "port": self.port, "source_ips": self.sources, "destination_ips": self.destinations,
        })
    }

    fn parse(index: usize, value: &Value) -> Api<Self> {
        let mut input = Input::new(value.as_object().cloned().unwrap_or_default());
        let rule = Self {
            description: input.text("description"),
            direction: input.required_text("direction"),
            protocol: input.required_text("protocol"),
            port: input.text("port"),
            sources: input.texts("source_ips").unwrap_or_default(),
            destinations: input.texts("destination_ips").unwrap_or_default(),
        };
        rule.check(&mut input);
        let mut outer = Input::new(serde_json::Map::new());
        outer.adopt(&format!("rules.{index}"), &input);
        outer.check()?;
        Ok(rule)
    }

    fn check(&self, input: &mut Input) {
        let (required, field) = match self.direction.as_str() {
            "in" => (&self.sources, "source_ips"),
            "out" => (&self.destinations, "destination_ips"),
            _ => return input.reject("direction", "must be one of in, out"),
        };
        if required.is_empty() {
            input.reject(field, "must not be empty for this direction");
        }
        for (name, ranges) in [("source_ips", &self.sources), ("destination_ips", &self.destinations)] {
            if ranges.len() > 100 {
                input.reject(name, "at most 100 are allowed");
            }
            if ranges.iter().any(|range| !is_range(range)) {
                input.reject(name, "must be a list of ranges in CIDR notation without host bits");
            }
        }
        let with_port = matches!(self.protocol.as_str(), "tcp" | "udp");
        if !with_port && !matches!(self.protocol.as_str(), "icmp" | "esp" | "gre") {
            input.reject("protocol", "must be one of tcp, udp, icmp, esp, gre");
        }
        match &self.port {
            None if with_port => input.reject("port", "is required for tcp and udp"),
            Some(_) if !with_port => input.reject("port", "is only allowed for tcp and udp"),
            Some(port) if !is_port(port) => input.reject("port", "must be a port, a range of ports or 'any'"),
            _ => {}
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 255) {
            input.reject("description", "must be at most 255 characters");
        }
    }
}

fn is_range(text: &str) -> bool {
    text.parse::<ipnet::IpNet>().is_ok_and(|range| range.addr() == range.network())
}

fn is_port(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    text == "any"
        || match text.split_once('-') {
            Some((first, last)) => matches!((port(first), port(last)), (Some(first), Some(last)) if first <= last),
            None => port(text).is_some(),
        }
}

fn parse_rules(input: &mut Input) -> Api<Option<Vec<Rule>>> {
    let Some(values) = input.array("rules") else { return Ok(None) };
    if values.len() > MAX_RULES {
        return Err(ApiError::invalid("rules", "at most 50 rules are allowed"));
    }
    values.iter().enumerate().map(|(index, value)| Rule::parse(index, value)).collect::<Api<Vec<_>>>().map(Some)
}

/// What a firewall is applied to.
enum Target {
    Server(i64),
    Selector(String),
}

fn parse_targets(input: &mut Input, field: &str) -> Api<Vec<Target>> {
    let targets = input.array(field).unwrap_or_default();
    let bad =
        || ApiError::invalid(field, "must be a list of {type: server, server: {id}} or {type: label_selector, …}");
    targets
        .iter()
        .map(|target| match target["type"].as_str() {
            Some("server") => target["server"]["id"].as_i64().map(Target::Server).ok_or_else(bad),
            Some("label_selector") => {
                let text = target["label_selector"]["selector"].as_str().ok_or_else(bad)?;
                Selector::parse(text).map_err(|why| ApiError::invalid(field, &why))?;
                Ok(Target::Selector(text.to_owned()))
            }
            _ => Err(bad()),
        })
        .collect()
}

pub(crate) fn json(cx: &Cx<'_>, firewall: &Firewall) -> Value {
    let server = |id: &i64| json!({"type": "server", "server": {"id": id}});
    let selector = |text: &String| {
        let matched: Vec<Value> = matching(cx, text).iter().map(server).collect();
        json!({"type": "label_selector", "label_selector": {"selector": text}, "applied_to_resources": matched})
    };
    let applied: Vec<Value> =
        firewall.servers.iter().map(server).chain(firewall.selectors.iter().map(selector)).collect();
    json!({
        "id": firewall.id, "name": firewall.name, "labels": firewall.labels, "created": firewall.created.rfc3339(),
        "rules": firewall.rules.iter().map(Rule::json).collect::<Vec<_>>(), "applied_to": applied,
    })
}

fn matching(cx: &Cx<'_>, selector: &str) -> Vec<i64> {
    let Ok(selector) = Selector::parse(selector) else { return Vec::new() };
    cx.project
        .servers
        .values()
        .filter(|server| selector.matches(&server.labels) && cx.project.is_public(server.id))
        .map(|server| server.id)
        .collect()
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "firewalls", filters: &["name"], sorts: &["id", "name", "created"], labels: true };
    cx.list(&spec, cx.project.firewalls.values().map(|firewall| json(cx, firewall)).collect())
}

fn find<'a>(cx: &'a Cx<'_>, id: i64) -> Api<&'a Firewall> {
    cx.project.firewalls.get(&id).ok_or_else(|| ApiError::not_found("firewall", id))
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    Ok(Reply::ok(json!({"firewall": json(cx, find(cx, id)?)})))
}

fn check_firewall_name(name: &str) -> Api<()> {
    if (1..=128).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err(ApiError::invalid("name", "must have 1 to 128 characters"))
    }
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let name = input.required_text("name");
    let labels = input.labels().unwrap_or_default();
    input.check()?;
    check_firewall_name(&name)?;
    let rules = parse_rules(&mut input)?.unwrap_or_default();
    let targets = parse_targets(&mut input, "apply_to")?;
    input.check()?;
    check_targets(cx, None, &targets)?;
    let firewalls = &cx.project.firewalls;
    check_name(firewalls.values().map(|firewall| (firewall.id, firewall.name.as_str())), None, &name, "firewall")?;
    cx.project.check_limit("firewall_limit", firewalls.len())?;
    let id = cx.shared.id();
    let (servers, selectors) = (BTreeSet::new(), BTreeSet::new());
    let firewall = Firewall { id, name, labels, created: cx.now, rules: rules.clone(), servers, selectors };
    cx.project.firewalls.insert(id, firewall);
    let mut actions =
        vec![cx.start(
            Start::new("set_firewall_rules", Effect::Firewall(id, Change::Rules(rules))).about(Kind::Firewall, id),
        )];
    actions.extend(apply(cx, id, targets));
    Ok(Reply::created(json!({"firewall": json(cx, find(cx, id)?), "actions": actions_json(cx, &actions)})))
}

fn actions_json(cx: &Cx<'_>, ids: &[i64]) -> Vec<Value> {
    ids.iter().map(|id| cx.action_json(*id)).collect()
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels) = (input.text("name"), input.labels());
    input.check()?;
    find(cx, id)?;
    if let Some(name) = &name {
        check_firewall_name(name)?;
        let firewalls = cx.project.firewalls.values();
        check_name(firewalls.map(|firewall| (firewall.id, firewall.name.as_str())), Some(id), name, "firewall")?;
    }
    if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
        firewall.name = name.unwrap_or_else(|| firewall.name.clone());
        firewall.labels = labels.unwrap_or_else(|| firewall.labels.clone());
    }
    get(cx, id)
}

pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let firewall = find(cx, id)?;
    if !firewall.servers.is_empty() || !firewall.selectors.is_empty() {
        return Err(ApiError::unprocessable("resource_in_use", "firewall is still applied to resources"));
    }
    cx.project.firewalls.remove(&id);
    Ok(Reply::no_content())
}

/// Routes `POST /firewalls/{id}/actions/{name}`; `None` when there is no such action.
pub(crate) fn action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    Some(match name {
        "set_rules" => set_rules(cx, id),
        "apply_to_resources" => apply_to_resources(cx, id),
        "remove_from_resources" => remove_from_resources(cx, id),
        _ => return None,
    })
}

fn set_rules(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let rules =
        parse_rules(&mut input)?.ok_or_else(|| ApiError::invalid("rules", "Missing data for required field."))?;
    find(cx, id)?;
    let start = Start::new("set_firewall_rules", Effect::Firewall(id, Change::Rules(rules)));
    let mut actions = vec![cx.start(start.about(Kind::Firewall, id))];
    let servers: Vec<i64> =
        cx.project.servers.values().filter(|server| server.has_firewall(id)).map(|server| server.id).collect();
    for server in servers {
        actions.push(start_apply(cx, id, server, false));
    }
    Ok(Reply::created(json!({"actions": actions_json(cx, &actions)})))
}

fn apply_to_resources(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let targets = parse_targets(&mut input, "apply_to")?;
    input.check()?;
    find(cx, id)?;
    check_targets(cx, Some(id), &targets)?;
    let actions = apply(cx, id, targets);
    Ok(Reply::created(json!({"actions": actions_json(cx, &actions)})))
}

fn check_targets(cx: &Cx<'_>, firewall: Option<i64>, targets: &[Target]) -> Api<()> {
    let mut seen = BTreeSet::new();
    for target in targets {
        let Target::Server(id) = target else { continue };
        let server = cx.project.servers.get(id).ok_or_else(|| {
            ApiError::unprocessable("firewall_resource_not_found", format!("server with ID '{id}' not found"))
        })?;
        if !seen.insert(*id) {
            return Err(ApiError::unprocessable("server_already_added", "server is named more than once"));
        }
        if !cx.project.is_public(*id) {
            return Err(ApiError::unprocessable(
                "private_net_only_server",
                "firewalls cannot be applied to a server without a public interface",
            ));
        }
        let direct = firewall.and_then(|id| cx.project.firewalls.get(&id)).is_some_and(|f| f.servers.contains(id));
        if direct {
            return Err(ApiError::unprocessable(
                "firewall_already_applied",
                "firewall is already applied to the server",
            ));
        }
        if server.firewalls.len() >= MAX_PER_SERVER {
            return Err(ApiError::limit("server_firewall_limit"));
        }
    }
    Ok(())
}

fn apply(cx: &mut Cx<'_>, id: i64, targets: Vec<Target>) -> Vec<i64> {
    let mut actions = Vec::new();
    for target in targets {
        match target {
            Target::Server(server) => {
                if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                    firewall.servers.insert(server);
                }
                if let Some(server) = cx.project.servers.get_mut(&server)
                    && !server.has_firewall(id)
                {
                    server.firewalls.push(Applied::pending(id));
                }
                actions.push(start_apply(cx, id, server, false));
            }
            Target::Selector(text) => {
                if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                    firewall.selectors.insert(text);
                }
                schedule_reselect(cx);
                let start = Start::new("apply_firewall", Effect::None).about(Kind::Firewall, id);
                actions.push(cx.start(start));
            }
        }
    }
    actions
}

fn start_apply(cx: &mut Cx<'_>, id: i64, server: i64, lock: bool) -> i64 {
    let start =
        Start::new("apply_firewall", Effect::Firewall(id, Change::Activate { server })).about(Kind::Firewall, id);
    // Applying by selector locks the server, applying by id does not.
    let start = if lock { start.on(Kind::Server, server) } else { start.about(Kind::Server, server) };
    cx.start(start)
}

fn remove_from_resources(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let targets = parse_targets(&mut input, "remove_from")?;
    input.check()?;
    let (servers, selectors) = find(cx, id).map(|f| (f.servers.clone(), f.selectors.clone()))?;
    for target in &targets {
        if let Target::Server(server) = target {
            let selected = selectors.iter().any(|text| matching(cx, text).contains(server));
            if selected && !servers.contains(server) {
                return Err(ApiError::unprocessable(
                    "firewall_managed_by_label_selector",
                    "the firewall is applied to the server by a label selector",
                ));
            }
        }
    }
    let mut actions = Vec::new();
    for target in targets {
        match target {
            Target::Server(server) => {
                if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                    firewall.servers.remove(&server);
                }
                let start = Start::new("remove_firewall", Effect::Firewall(id, Change::Remove { server }));
                actions.push(cx.start(start.about(Kind::Firewall, id).about(Kind::Server, server)));
            }
            Target::Selector(text) => {
                if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                    firewall.selectors.remove(&text);
                }
                schedule_reselect(cx);
                actions.push(cx.start(Start::new("remove_firewall", Effect::None).about(Kind::Firewall, id)));
            }
        }
    }
    Ok(Reply::created(json!({"actions": actions_json(cx, &actions)})))
}

/// Label selectors are looked at again some seconds from now, when any firewall has one.
pub(crate) fn schedule_reselect(cx: &mut Cx<'_>) {
    let wait = cx.latency("reselect");
    let at = cx.now.plus_ms(wait);
    cx.project.schedule(at, JobKind::Reselect);
}

/// Called when labels of servers changed.
pub(crate) fn labels_changed(cx: &mut Cx<'_>) {
    if cx.project.firewalls.values().any(|firewall| !firewall.selectors.is_empty()) {
        schedule_reselect(cx);
    }
}

/// Makes the servers' firewalls agree with the selectors.
pub(crate) fn reselect(cx: &mut Cx<'_>) {
    let firewalls: Vec<(i64, Vec<String>)> =
        cx.project.firewalls.values().map(|f| (f.id, f.selectors.iter().cloned().collect())).collect();
    for (id, selectors) in firewalls {
        let wanted: BTreeSet<i64> = selectors.iter().flat_map(|text| matching(cx, text)).collect();
        let mut fresh = Vec::new();
        for server in cx.project.servers.values_mut() {
            let keep = wanted.contains(&server.id);
            server.firewalls.retain(|applied| applied.firewall != id || !applied.by_selector || keep);
            if keep && !server.has_firewall(id) {
                server.firewalls.push(Applied { firewall: id, active: false, by_selector: true });
                fresh.push(server.id);
            }
        }
        for server in fresh {
            start_apply(cx, id, server, true);
        }
    }
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    if !success {
        return;
    }
    match change {
        Change::Rules(rules) => {
            if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                firewall.rules.clone_from(rules);
            }
        }
        Change::Activate { server } => {
            if let Some(server) = cx.project.servers.get_mut(server) {
                server.firewalls.iter_mut().filter(|applied| applied.firewall == id).for_each(|applied| {
                    applied.active = true;
                });
            }
        }
        Change::Remove { server } => {
            if let Some(server) = cx.project.servers.get_mut(server) {
                server.firewalls.retain(|applied| applied.firewall != id);
            }
            labels_changed(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_ranges_without_host_bits_and_ports_only_where_there_are_ports() {
        let rule = |direction: &str, protocol: &str, port: Value, ranges: &[&str]| json!({"direction": direction, "protocol": protocol, "port": port, "source_ips": ranges});
        for (value, valid) in [
            (rule("in", "tcp", json!("22"), &["0.0.0.0/0", "::/0"]), true),
            (rule("in", "udp", json!("1-65535"), &["10.0.0.0/8"]), true),
            (rule("in", "icmp", Value::Null, &["10.0.0.1/32"]), true),
            (rule("in", "icmp", json!("1"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", Value::Null, &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("0"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("9-1"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("22"), &["10.0.0.1/8"]), false),
            (rule("in", "tcp", json!("22"), &[]), false),
            (rule("out", "tcp", json!("22"), &["10.0.0.0/8"]), false),
            (rule("up", "tcp", json!("22"), &["10.0.0.0/8"]), false),
            (rule("in", "sctp", json!("22"), &["10.0.0.0/8"]), false),
        ] {
            assert_eq!(Rule::parse(0, &value).is_ok(), valid, "{value}");
        }
    }
}
