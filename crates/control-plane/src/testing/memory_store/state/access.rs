//! Who may do what: what the databases' triggers keep, called by name where rows change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use seca_api::{Kind, ResourceKey, Timestamp};

use super::State;
use crate::{
    ports::{
        AuthorizationSnapshot, BootstrapOutcome, BoundWorkspace, DeniedToken, DepartedGrant, Departure, Put,
        StoredAssignment, StoredRole, TenantChange, TenantRecord, Until,
    },
    resource::{Resource, Uid},
    scopes::{self, ALL_TENANTS, BoundAssignment},
    service::Tenant,
};

/// The tables.
#[derive(Default)]
pub(super) struct Access {
    tenants: BTreeMap<String, TenantRecord>,
    /// Added to the version of every tenant.
    epoch: i64,
    bound: BTreeMap<Uid, BoundAssignment>,
    denied: BTreeMap<String, DeniedToken>,
    departures: Vec<Departed>,
    bootstrapped: BTreeSet<(String, String)>,
}

struct Departed {
    row: Resource,
    bound: Option<BoundWorkspace>,
    at: Duration,
}

fn decides(kind: Kind) -> bool {
    matches!(kind, Kind::Role | Kind::RoleAssignment)
}

impl State {
    pub(in super::super) fn tenants(&self) -> Vec<TenantRecord> {
        self.access.tenants.keys().filter_map(|name| self.tenant(name)).collect()
    }

    pub(in super::super) fn tenant(&self, name: &str) -> Option<TenantRecord> {
        let found = self.access.tenants.get(name)?;
        Some(TenantRecord { version: found.version + self.access.epoch, ..found.clone() })
    }

    pub(in super::super) fn add_tenant(&mut self, name: &str, settings: &Tenant) -> bool {
        if self.access.tenants.contains_key(name) {
            return false;
        }
        let (name, settings, created_at) = (name.to_owned(), settings.clone(), self.timestamp());
        let made = TenantRecord { name: name.clone(), settings, suspended: false, version: 1, created_at };
        self.access.tenants.insert(name, made);
        true
    }

    pub(in super::super) fn change_tenant(&mut self, name: &str, change: &TenantChange) -> Option<TenantRecord> {
        let found = self.access.tenants.get_mut(name)?;
        let before = found.clone();
        found.suspended = change.suspended.unwrap_or(found.suspended);
        found.settings.conformance = change.conformance.unwrap_or(found.settings.conformance);
        found.settings.references = change.references.unwrap_or(found.settings.references);
        found.version += i64::from(*found != before);
        self.tenant(name)
    }

    pub(in super::super) fn authorization(&self, tenant: &str) -> Option<AuthorizationSnapshot> {
        let found = self.tenant(tenant)?;
        let live = self.keys.values().filter_map(|uid| self.resource(*uid)).filter(|row| !row.is_deleting());
        let opens = |row: &Resource| {
            row.key.kind == Kind::RoleAssignment && {
                let opened = scopes::opened_tenants(&row.key.tenant, &row.spec);
                row.key.tenant == tenant || opened.contains(tenant) || opened.contains(ALL_TENANTS)
            }
        };
        let assignments: Vec<&Resource> = live.clone().filter(|row| opens(row)).collect();
        let homes: BTreeSet<&str> = assignments.iter().map(|row| row.key.tenant.as_str()).chain([tenant]).collect();
        let roles = live.filter(|row| row.key.kind == Kind::Role && homes.contains(row.key.tenant.as_str()));
        let roles = roles.map(|row| StoredRole {
            tenant: row.key.tenant.clone(),
            name: row.key.name.clone(),
            uid: row.uid,
            spec: row.spec.clone(),
        });
        let assignments = assignments.into_iter().map(|row| StoredAssignment {
            tenant: row.key.tenant.clone(),
            name: row.key.name.clone(),
            uid: row.uid,
            spec: row.spec.clone(),
            bound: self.bound_to(row.uid),
        });
        Some(AuthorizationSnapshot {
            tenant: found,
            roles: roles.collect(),
            assignments: assignments.collect(),
            denied: self.access.denied.keys().cloned().collect(),
        })
    }

    fn bound_to(&self, assignment: Uid) -> Option<BoundWorkspace> {
        self.access.bound.get(&assignment)?.to.clone()
    }

    pub(in super::super) fn deny(&mut self, token: &DeniedToken) {
        let denied = self.access.denied.entry(token.id.clone()).or_insert_with(|| token.clone());
        let expires_at = denied.expires_at.max(token.expires_at);
        *denied = DeniedToken { expires_at, ..token.clone() };
        self.access.epoch += 1;
    }

    pub(in super::super) fn allow(&mut self, id: &str) -> bool {
        let allowed = self.access.denied.remove(id).is_some();
        self.access.epoch += i64::from(allowed);
        allowed
    }

    pub(in super::super) fn denied_tokens(&self) -> Vec<DeniedToken> {
        self.access.denied.values().cloned().collect()
    }

    pub(in super::super) fn departed(&self, key: &ResourceKey, within: Duration) -> Option<Departure> {
        let last = self.access.departures.iter().rfind(|departed| departed.row.key == *key)?;
        (last.at + within >= self.now()).then(|| Departure {
            uid: last.row.uid,
            deleted_at: last.row.deleted_at,
            left_at: timestamp(last.at),
        })
    }

    pub(in super::super) fn departed_grants(&self, tenant: &str, within: Duration) -> Vec<DepartedGrant> {
        let now = self.now();
        let left = self.access.departures.iter().filter(|departed| departed.at + within >= now);
        let left = left.map(|departed| (&departed.row, departed.bound.clone(), timestamp(departed.at)));
        let leaving = self.rows.values().map(|row| &row.resource).filter(|row| row.is_deleting());
        let leaving = leaving.map(|row| (row, self.bound_to(row.uid), row.last_modified_at));
        let grants =
            left.chain(leaving).filter(|(row, ..)| decides(row.key.kind)).map(|(row, bound, at)| DepartedGrant {
                kind: row.key.kind,
                tenant: row.key.tenant.clone(),
                name: row.key.name.clone(),
                uid: row.uid,
                spec: row.spec.clone(),
                bound,
                until: row.deleted_at.map_or(Until::Left(at), Until::Deleted),
            });
        let mut grants: Vec<DepartedGrant> = grants.filter(|grant| grant.concerns(tenant)).collect();
        grants.sort_by_key(|grant| (grant.until, grant.uid));
        grants
    }

    pub(in super::super) fn bootstrap(&mut self, subject: &str, assignment: Put) -> BootstrapOutcome {
        let mark = (assignment.key.tenant.clone(), subject.to_owned());
        if self.access.bootstrapped.contains(&mark) {
            return BootstrapOutcome::Before;
        }
        if self.find(&assignment.key).is_some() {
            return BootstrapOutcome::Taken;
        }
        self.access.bootstrapped.insert(mark);
        self.create(assignment);
        BootstrapOutcome::Made
    }

    pub(in super::super) fn mark_bootstrapped(&mut self, tenant: &str, subject: &str) {
        self.access.bootstrapped.insert((tenant.to_owned(), subject.to_owned()));
    }

    pub(in super::super) fn prune_access(&mut self, departures: Duration, tokens: Duration, now: Timestamp) {
        let at = self.now();
        self.access.departures.retain(|departed| departed.at + departures >= at);
        self.access.denied.retain(|_, token| token.expires_at.plus(tokens) >= now);
    }

    // -- what the databases do by triggers --------------------------------------------------------------------

    /// A row was made.
    pub(super) fn made(&mut self, row: &Resource) {
        match row.key.kind {
            Kind::Workspace => self.bind_waiting(row),
            Kind::RoleAssignment => self.bind_assignment(row),
            _ => {}
        }
        self.raise_for(None, Some(row));
    }

    /// A row was changed by a client.
    pub(super) fn changed(&mut self, before: &Resource, after: &Resource) {
        let respecified = before.spec != after.spec;
        if respecified && after.key.kind == Kind::RoleAssignment {
            self.bind_assignment(after);
        }
        if respecified || before.deleted_at != after.deleted_at {
            self.raise_for(Some(before), Some(after));
        }
    }

    /// A row left.
    pub(super) fn left(&mut self, row: &Resource) {
        let bound = self.access.bound.remove(&row.uid).and_then(|bound| bound.to);
        self.access.departures.push(Departed { row: row.clone(), bound, at: self.now() });
        self.raise_for(Some(row), None);
        if row.key.kind != Kind::Workspace {
            return;
        }
        self.paused.remove(&row.uid);
        let ended = self.access.bound.iter().filter(|(_, bound)| bound.ends_with(row.uid));
        for uid in ended.map(|(uid, _)| *uid).collect::<Vec<_>>() {
            self.work.remove(&uid);
            self.tombstones.insert(uid, self.now());
            if let Some(ended) = self.rows.remove(&uid) {
                self.keys.remove(&ended.resource.key);
                self.left(&ended.resource);
            }
        }
    }

    fn raise_for(&mut self, before: Option<&Resource>, after: Option<&Resource>) {
        let Some(key) = after.or(before).map(|row| &row.key).filter(|key| decides(key.kind)) else { return };
        let opened = |row: &Resource| scopes::opened_tenants(&row.key.tenant, &row.spec);
        let mut names: BTreeSet<String> = if key.kind == Kind::Role {
            let at_home = |row: &&Resource| row.key.kind == Kind::RoleAssignment && row.key.tenant == key.tenant;
            let live = self.rows.values().map(|row| &row.resource).filter(|row| !row.is_deleting());
            live.filter(at_home).flat_map(opened).collect()
        } else {
            before.into_iter().chain(after).filter(|row| !row.is_deleting()).flat_map(opened).collect()
        };
        names.insert(key.tenant.clone());
        self.raise(&names);
    }

    fn raise(&mut self, names: &BTreeSet<String>) {
        if names.contains(ALL_TENANTS) {
            self.access.epoch += 1;
        }
        for name in names {
            if let Some(tenant) = self.access.tenants.get_mut(name) {
                tenant.version += 1;
            }
        }
    }

    fn workspaces_of(&self, tenant: &str, name: &str) -> Vec<BoundWorkspace> {
        let rows = self.rows.values().map(|row| &row.resource).filter(|row| {
            let key = &row.key;
            key.kind == Kind::Workspace && key.tenant == tenant && key.name == name
        });
        rows.map(|row| BoundWorkspace { uid: row.uid, region: row.key.region.clone() }).collect()
    }

    fn bind_assignment(&mut self, row: &Resource) {
        let former = self.access.bound.remove(&row.uid);
        let tenant = &row.key.tenant;
        let bound = BoundAssignment::written(tenant, &row.spec, former, |name| self.workspaces_of(tenant, name));
        self.access.bound.extend(bound.map(|bound| (row.uid, bound)));
    }

    fn bind_waiting(&mut self, workspace: &Resource) {
        let key = &workspace.key;
        let made = BoundWorkspace { uid: workspace.uid, region: key.region.clone() };
        let is_only_one = self.workspaces_of(&key.tenant, &key.name).len() == 1;
        let mut any = false;
        for bound in self.access.bound.values_mut() {
            any |= bound.workspace_made(&key.tenant, &key.name, &made, is_only_one);
        }
        if any {
            self.raise(&BTreeSet::from([key.tenant.clone()]));
        }
    }

    fn timestamp(&self) -> Timestamp {
        timestamp(self.now())
    }
}

/// A moment of this store's own time.
pub(super) fn timestamp(at: Duration) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}
