//! Placement groups: sets of at most ten servers that run on different hosts.

use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::labels::Labels;
use super::query::ListSpec;
use super::state::{Cx, Project, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Servers in one group.
const MAX_SERVERS: usize = 10;

#[derive(Serialize, Deserialize)]
pub(crate) struct PlacementGroup {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
}

impl Project {
    pub(crate) fn placement_group_json(&self, id: i64) -> Value {
        let Some(group) = self.placement_groups.get(&id) else { return Value::Null };
        let servers: Vec<i64> =
            self.servers.values().filter(|server| server.placement_group == Some(id)).map(|server| server.id).collect();
        json!({
            "id": group.id, "name": group.name, "labels": group.labels, "type": "spread",
            "created": group.created.rfc3339(), "servers": servers,
        })
    }

    /// Servers in the group, and those that a running action adds to it.
    fn members_of(&self, id: i64) -> usize {
        let joining = self.running.iter().filter(|action| self.actions[action].joins_group(id)).count();
        self.servers.values().filter(|server| server.placement_group == Some(id)).count() + joining
    }
}

impl Cx<'_> {
    /// Fails when the group is unknown or has no place for one more server.
    pub(crate) fn check_placement(&self, id: i64) -> Api<()> {
        if !self.project.placement_groups.contains_key(&id) {
            return Err(ApiError::invalid("placement_group", "placement group not found"));
        }
        if self.project.members_of(id) >= MAX_SERVERS {
            return Err(ApiError::new(
                self.shared.switches.placement_error_status,
                "placement_error",
                "error during placement: the placement group is full",
            ));
        }
        Ok(())
    }
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec {
        key: "placement_groups",
        filters: &["name", "type"],
        sorts: &["id", "name", "created"],
        labels: true,
    };
    cx.list(&spec, cx.project.placement_groups.keys().map(|id| cx.project.placement_group_json(*id)).collect())
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    if !cx.project.placement_groups.contains_key(&id) {
        return Err(ApiError::not_found("placement group", id));
    }
    Ok(Reply::ok(json!({"placement_group": cx.project.placement_group_json(id)})))
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let name = input.required_text("name");
    let kind = input.required_text("type");
    let labels = input.labels().unwrap_or_default();
    input.check()?;
    if kind != "spread" {
        return Err(ApiError::invalid("type", "must be 'spread'"));
    }
    if name.is_empty() {
        return Err(ApiError::invalid("name", "must not be empty"));
    }
    let groups = &cx.project.placement_groups;
    check_name(groups.values().map(|group| (group.id, group.name.as_str())), None, &name, "placement group")?;
    cx.project.check_limit("placement_group_limit", groups.len())?;
    let id = cx.shared.id();
    cx.project.placement_groups.insert(id, PlacementGroup { id, name, labels, created: cx.now });
    Ok(Reply::created(json!({"placement_group": cx.project.placement_group_json(id), "action": null})))
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels) = (input.text("name"), input.labels());
    input.check()?;
    let groups = &mut cx.project.placement_groups;
    if let Some(name) = &name {
        check_name(groups.values().map(|group| (group.id, group.name.as_str())), Some(id), name, "placement group")?;
    }
    let group = groups.get_mut(&id).ok_or_else(|| ApiError::not_found("placement group", id))?;
    group.name = name.unwrap_or_else(|| group.name.clone());
    group.labels = labels.unwrap_or_else(|| group.labels.clone());
    get(cx, id)
}

/// Servers of a deleted group run on without it.
pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    cx.project.placement_groups.remove(&id).ok_or_else(|| ApiError::not_found("placement group", id))?;
    for server in cx.project.servers.values_mut().filter(|server| server.placement_group == Some(id)) {
        server.placement_group = None;
    }
    Ok(Reply::no_content())
}
