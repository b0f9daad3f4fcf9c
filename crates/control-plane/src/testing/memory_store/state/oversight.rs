//! What operators look at.

use std::{collections::BTreeMap, time::Duration};

use seca_api::{Kind, ResourceKey, Timestamp};
use serde_json::Value;

use super::{State, access::timestamp};
use crate::{
    ports::{
        Activity, ActivityQuery, ActivityRecord, Backlog, KnownBudget, Occupancy, PausedWorkspace, ProjectOverview,
    },
    resource::{Resource, Uid},
};

/// An activity, and when it was written down.
pub(super) struct Recorded {
    record: ActivityRecord,
    at: Duration,
}

/// Since when a workspace is paused, and by whom.
pub(super) struct Paused {
    at: Timestamp,
    by: String,
}

impl State {
    pub(in super::super) fn record_activities(&mut self, activities: &[Activity]) {
        let at = self.now();
        for activity in activities {
            self.last_activity += 1;
            let record = ActivityRecord { id: self.last_activity, activity: activity.clone() };
            self.activities.push(Recorded { record, at });
        }
    }

    pub(in super::super) fn activities(&self, query: &ActivityQuery) -> Vec<ActivityRecord> {
        let ActivityQuery { tenant, before, limit } = query;
        let all = self.activities.iter().rev().map(|recorded| &recorded.record);
        let wanted = all
            .filter(|record| before.is_none_or(|before| record.id < before))
            .filter(|record| tenant.is_none() || record.activity.tenant == *tenant);
        wanted.take(*limit).cloned().collect()
    }

    pub(in super::super) fn prune_activities(&mut self, older: Duration) {
        let now = self.now();
        self.activities.retain(|recorded| recorded.at + older >= now);
    }

    pub(in super::super) fn pause(&mut self, workspace: &ResourceKey, by: &str) -> bool {
        let Some(uid) = self.keys.get(workspace).copied() else { return false };
        let at = timestamp(self.now());
        self.paused.entry(uid).or_insert_with(|| Paused { at, by: by.to_owned() });
        true
    }

    pub(in super::super) fn resume(&mut self, workspace: &ResourceKey) -> bool {
        let Some(uid) = self.keys.get(workspace).copied() else { return false };
        if self.paused.remove(&uid).is_some() {
            let members: Vec<Uid> = self.children(workspace).map(|child| child.uid).chain([uid]).collect();
            self.wake(members);
        }
        true
    }

    pub(in super::super) fn paused(&self) -> Vec<PausedWorkspace> {
        let all = self.paused.iter().filter_map(|(uid, paused)| {
            let workspace = self.resource(*uid)?.key.clone();
            Some(PausedWorkspace { workspace, uid: *uid, paused_at: paused.at, paused_by: paused.by.clone() })
        });
        let mut all: Vec<PausedWorkspace> = all.collect();
        all.sort_by(|a, b| a.workspace.cmp(&b.workspace));
        all
    }

    pub(in super::super) fn occupancy(&self) -> Vec<Occupancy> {
        let mut found: BTreeMap<(String, Option<String>), i64> = BTreeMap::new();
        for row in self.rows.values().map(|row| &row.resource).filter(|row| !row.key.region.is_empty()) {
            let spec = || serde_json::from_str::<Value>(&row.spec).ok()?.get("zone")?.as_str().map(str::to_owned);
            let location = match row.key.kind {
                Kind::Instance => spec(),
                Kind::BlockStorage | Kind::PublicIp => row.fact("location").map(str::to_owned),
                _ => None,
            };
            let places = [Some(None), location.filter(|location| !location.is_empty()).map(Some)];
            for place in places.into_iter().flatten() {
                *found.entry((row.key.region.clone(), place)).or_default() += 1;
            }
        }
        let told = |((region, location), resources)| Occupancy { region, location, resources };
        found.into_iter().map(told).collect()
    }

    pub(in super::super) fn of_kind(&self, kind: Kind) -> Vec<Resource> {
        let mut found: Vec<_> =
            self.rows.values().map(|row| &row.resource).filter(|row| row.key.kind == kind).collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.into_iter().cloned().collect()
    }

    pub(in super::super) fn overview(&self) -> Vec<ProjectOverview> {
        let (now, count) = (self.now(), |number: usize| i64::try_from(number).unwrap_or(i64::MAX));
        let overview = |(id, project): (&_, &super::Project)| {
            let work = || self.work.values().filter(|work| work.project == *id);
            let rows = || self.rows.values().map(|row| &row.resource).filter(|row| row.project == *id);
            ProjectOverview {
                project: id.clone(),
                owner: project.owner.clone(),
                leased_for: project.until.map(|until| until.saturating_sub(now)),
                due: count(work().filter(|work| work.next.is_some_and(|next| next <= now)).count()),
                queued: count(work().filter(|work| work.next.is_some()).count()),
                in_transition: count(rows().filter(|row| row.state.is_transitional()).count()),
                resources: count(rows().count()),
                budget: project.budget.map(|(budget, at)| KnownBudget { budget, age: now.saturating_sub(at) }),
                abandoned: project.epoch.is_abandoned(),
            }
        };
        self.projects.iter().map(overview).collect()
    }

    pub(in super::super) fn last_request(&self, resource: &ResourceKey) -> Option<String> {
        let urn = resource.urn();
        let mut done = self.activities.iter().rev().map(|recorded| &recorded.record.activity);
        let last = done.find(|done| done.target == urn && done.request_id.is_some() && done.result.starts_with('2'));
        last.and_then(|done| done.request_id.clone())
    }

    pub(in super::super) fn backlog(&self) -> Backlog {
        let (now, count) = (self.now(), |number: usize| i64::try_from(number).unwrap_or(i64::MAX));
        let due: Vec<_> = self.work.values().filter_map(|work| work.next.filter(|next| *next <= now)).collect();
        Backlog {
            due: count(due.len()),
            oldest: due.iter().min().map(|next| now.saturating_sub(*next)),
            orphans: count(self.orphans().len()),
            paused_projects: count(self.paused_projects().len()),
        }
    }
}
