//! Firewalls: rule sets that are applied to servers, by id or by label selector.

use super::actions::{Effect, JobKind, Kind, Start};
use super::clock::Time;
use super::firewall_rules::{MAX_EFFECTIVE, Rule, parse_rules};
use super::http::{Api, ApiError, Reply};
use super::input::Input;
use super::labels::{Labels, Selector};
use super::query::ListSpec;
use super::state::{Cx, Project, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Firewalls on one server.
const MAX_PER_SERVER: usize = 5;

#[derive(Serialize, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
    pub(crate) rules: Vec<Rule>,
    /// Servers it was applied to by id.
    pub(crate) servers: BTreeSet<i64>,
    pub(crate) selectors: BTreeSet<String>,
}

/// A firewall on a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) firewall: i64,
    pub(crate) active: bool,
    pub(crate) by_selector: bool,
    /// The rules in force on the server: those of the firewall when it was last applied.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

impl Applied {
    pub(crate) const fn pending(firewall: i64) -> Self {
        Self { firewall, active: false, by_selector: false, rules: Vec::new() }
    }

    /// Puts rules in force.
    pub(crate) fn activate(&mut self, rules: &[Rule]) {
        self.active = true;
        self.rules = rules.to_vec();
    }
}

/// What a finished action does: to a firewall, or to a server on its behalf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Rules(Vec<Rule>),
    Activate { server: i64 },
    Remove { server: i64 },
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
    check_effective(cx, None, &rules, &named(&targets))?;
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
    let busy =
        |action: &i64| matches!(cx.project.actions[action].effect, Effect::Firewall(of, Change::Rules(_)) if of == id);
    if cx.project.running.iter().any(busy) {
        return Err(ApiError::conflict("firewall"));
    }
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
    check_quiet(cx, id)?;
    // Also while the action that removes it from a server still runs.
    let on_a_server = cx.project.servers.values().any(|server| server.has_firewall(id));
    if on_a_server || !firewall.servers.is_empty() || !firewall.selectors.is_empty() {
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
    check_quiet(cx, id)?;
    let servers: Vec<i64> =
        cx.project.servers.values().filter(|server| server.has_firewall(id)).map(|server| server.id).collect();
    check_effective(cx, Some(id), &rules, &servers)?;
    let start = Start::new("set_firewall_rules", Effect::Firewall(id, Change::Rules(rules)));
    let mut actions = vec![cx.start(start.about(Kind::Firewall, id))];
    for server in servers {
        actions.push(start_apply(cx, id, server, None));
    }
    Ok(Reply::created(json!({"actions": actions_json(cx, &actions)})))
}

fn apply_to_resources(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let targets = parse_targets(&mut input, "apply_to")?;
    input.check()?;
    find(cx, id)?;
    check_quiet(cx, id)?;
    check_targets(cx, Some(id), &targets)?;
    check_effective(cx, Some(id), &cx.project.latest_rules(id), &named(&targets))?;
    let actions = apply(cx, id, targets);
    Ok(Reply::created(json!({"actions": actions_json(cx, &actions)})))
}

fn resource_not_found(status: u16, server: i64) -> ApiError {
    ApiError::new(status, "firewall_resource_not_found", format!("server with ID '{server}' not found"))
}

/// The servers among the targets.
fn named(targets: &[Target]) -> Vec<i64> {
    let server = |target: &Target| if let Target::Server(id) = target { Some(*id) } else { None };
    targets.iter().filter_map(server).collect()
}

/// Fails while an action changes the firewall, if the switch says that this is a conflict.
fn check_quiet(cx: &Cx<'_>, id: i64) -> Api<()> {
    let busy = |action: &i64| matches!(cx.project.actions[action].effect, Effect::Firewall(of, _) if of == id);
    if cx.shared.switches.firewall_conflicts && cx.project.running.iter().any(busy) {
        return Err(ApiError::conflict("firewall"));
    }
    Ok(())
}

/// Fails when the rules, in the firewall given or in one that is new, are more than may be effective in a firewall or
/// on one of the servers together with what else is on it.
fn check_effective(cx: &Cx<'_>, firewall: Option<i64>, rules: &[Rule], servers: &[i64]) -> Api<()> {
    let count = |rules: &[Rule]| rules.iter().map(Rule::effective).sum::<usize>();
    let own = count(rules);
    let most = if cx.shared.switches.effective_rules_per_firewall {
        own
    } else {
        let others = |server: &i64| {
            let applied = cx.project.servers.get(server).map_or(&[][..], |server| &server.firewalls);
            let other = applied.iter().filter(|applied| Some(applied.firewall) != firewall);
            other.map(|applied| count(&cx.project.latest_rules(applied.firewall))).sum::<usize>()
        };
        servers.iter().map(|server| others(server) + own).max().unwrap_or(0)
    };
    if most > MAX_EFFECTIVE { Err(ApiError::limit("firewall_effective_rule_limit")) } else { Ok(()) }
}

/// Fails when firewalls are more than a new server can have.
pub(crate) fn check_new_server(cx: &Cx<'_>, firewalls: &[i64]) -> Api<()> {
    if firewalls.len() > MAX_PER_SERVER {
        return Err(ApiError::limit("server_firewall_limit"));
    }
    let rules: Vec<Rule> = firewalls.iter().flat_map(|id| cx.project.latest_rules(*id)).collect();
    if cx.shared.switches.effective_rules_per_firewall
        || rules.iter().map(Rule::effective).sum::<usize>() <= MAX_EFFECTIVE
    {
        return Ok(());
    }
    Err(ApiError::limit("firewall_effective_rule_limit"))
}

impl Project {
    /// The rules that a firewall has when the actions that run have ended.
    fn latest_rules(&self, id: i64) -> Vec<Rule> {
        let setting = self.running.iter().rev().find_map(|action| match &self.actions[action].effect {
            Effect::Firewall(of, Change::Rules(rules)) if *of == id => Some(rules),
            _ => None,
        });
        setting.or_else(|| self.firewalls.get(&id).map(|firewall| &firewall.rules)).cloned().unwrap_or_default()
    }
}

fn check_targets(cx: &Cx<'_>, firewall: Option<i64>, targets: &[Target]) -> Api<()> {
    let mut seen = BTreeSet::new();
    for target in targets {
        let Target::Server(id) = target else { continue };
        let status = if firewall.is_some() { 404 } else { 422 };
        let server = cx.project.servers.get(id).ok_or_else(|| resource_not_found(status, *id))?;
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
                actions.push(start_apply(cx, id, server, None));
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

/// Starts putting the firewall's rules in force on the server, after another action if one is given.
pub(crate) fn start_apply(cx: &mut Cx<'_>, id: i64, server: i64, after: Option<i64>) -> i64 {
    let start = applying(id, server).about(Kind::Server, server);
    cx.start(match after {
        Some(action) => start.after(action),
        None => start,
    })
}

fn applying(id: i64, server: i64) -> Start<'static> {
    Start::new("apply_firewall", Effect::Firewall(id, Change::Activate { server })).about(Kind::Firewall, id)
}

/// Takes every firewall from a server.
pub(crate) fn drop_all(project: &mut Project, server: i64) {
    if let Some(server) = project.servers.get_mut(&server) {
        server.firewalls.clear();
    }
    for firewall in project.firewalls.values_mut() {
        firewall.servers.remove(&server);
    }
}

fn remove_from_resources(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let targets = parse_targets(&mut input, "remove_from")?;
    input.check()?;
    let (servers, selectors) = find(cx, id).map(|f| (f.servers.clone(), f.selectors.clone()))?;
    check_quiet(cx, id)?;
    for target in &targets {
        if let Target::Server(server) = target {
            if !cx.project.servers.contains_key(server) {
                return Err(resource_not_found(404, *server));
            }
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
        // A server with as much as it can have gets no more.
        let rules = cx.project.latest_rules(id);
        let full: BTreeSet<i64> = wanted
            .iter()
            .copied()
            .filter(|server| check_effective(cx, Some(id), &rules, &[*server]).is_err())
            .collect();
        for server in cx.project.servers.values_mut() {
            let keep = wanted.contains(&server.id);
            server.firewalls.retain(|applied| applied.firewall != id || !applied.by_selector || keep);
            let room = server.firewalls.len() < MAX_PER_SERVER && !full.contains(&server.id);
            if keep && room && !server.has_firewall(id) {
                server.firewalls.push(Applied { by_selector: true, ..Applied::pending(id) });
                fresh.push(server.id);
            }
        }
        for server in fresh {
            // Applying by selector locks the server, applying by id does not.
            cx.start(applying(id, server).on(Kind::Server, server));
        }
    }
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    match (change, success) {
        (Change::Rules(rules), true) => {
            if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                firewall.rules.clone_from(rules);
            }
        }
        (Change::Activate { server }, true) => {
            let Some(firewall) = cx.project.firewalls.get(&id) else { return };
            if let Some(server) = cx.project.servers.get_mut(server) {
                server.firewalls.iter_mut().filter(|applied| applied.firewall == id).for_each(|applied| {
                    applied.activate(&firewall.rules);
                });
            }
        }
        // It was never applied, so it is not on the server.
        (Change::Activate { server }, false) => {
            let pending = |applied: &Applied| applied.firewall == id && !applied.active;
            let found = cx.project.servers.get_mut(server).filter(|server| server.firewalls.iter().any(pending));
            if let Some(found) = found {
                found.firewalls.retain(|applied| !pending(applied));
                if let Some(firewall) = cx.project.firewalls.get_mut(&id) {
                    firewall.servers.remove(server);
                }
            }
        }
        (Change::Remove { server }, true) => remove_from_server(cx, id, *server),
        (Change::Rules(_) | Change::Remove { .. }, false) => {}
    }
}

/// Takes the firewall from the server, unless a label selector still holds it there.
fn remove_from_server(cx: &mut Cx<'_>, id: i64, server: i64) {
    let Some(firewall) = cx.project.firewalls.get_mut(&id) else { return };
    firewall.servers.remove(&server);
    let selectors = firewall.selectors.clone();
    let selected = selectors.iter().any(|text| matching(cx, text).contains(&server));
    if let Some(server) = cx.project.servers.get_mut(&server) {
        server.firewalls.retain(|applied| applied.firewall != id || selected);
        server.firewalls.iter_mut().filter(|applied| applied.firewall == id).for_each(|applied| {
            applied.by_selector = true;
        });
    }
}
