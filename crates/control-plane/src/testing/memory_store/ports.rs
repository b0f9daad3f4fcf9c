//! The smaller ports.

use std::time::Duration;

use async_trait::async_trait;
use seca_api::{Kind, ResourceKey, Timestamp};

use super::MemoryStore;
use crate::{
    ports::{
        Abandoned, AccessStore, Activity, ActivityQuery, ActivityRecord, AuthorizationSnapshot, Backlog,
        BootstrapOutcome, DeniedToken, DepartedGrant, Departure, Epoch, Lease, Occupancy, OrderEnd, OrderOutcome,
        OrphanOrder, OrphanStore, OversightStore, PausedWorkspace, ProjectEpoch, ProjectOverview, Put, StoreResult,
        TenantChange, TenantRecord,
    },
    resource::{ProjectId, Resource, Uid},
    service::{Tenant, Tenants},
};

#[async_trait]
impl AccessStore for MemoryStore {
    async fn tenants(&self) -> StoreResult<Vec<TenantRecord>> {
        Ok(self.state()?.tenants())
    }

    async fn tenant(&self, name: &str) -> StoreResult<Option<TenantRecord>> {
        Ok(self.state()?.tenant(name))
    }

    async fn create_tenant(&self, name: &str, settings: &Tenant) -> StoreResult<bool> {
        Ok(self.state()?.add_tenant(name, settings))
    }

    async fn change_tenant(&self, name: &str, change: &TenantChange) -> StoreResult<Option<TenantRecord>> {
        Ok(self.state()?.change_tenant(name, change))
    }

    async fn ensure_tenants(&self, tenants: &Tenants) -> StoreResult<()> {
        let mut state = self.state()?;
        for (name, settings) in tenants {
            state.add_tenant(name, settings);
        }
        Ok(())
    }

    async fn authorization_version(&self, tenant: &str) -> StoreResult<Option<i64>> {
        Ok(self.read("authorization_version")?.tenant(tenant).map(|tenant| tenant.version))
    }

    async fn authorization(&self, tenant: &str) -> StoreResult<Option<AuthorizationSnapshot>> {
        Ok(self.read("authorization")?.authorization(tenant))
    }

    async fn deny_token(&self, token: &DeniedToken) -> StoreResult<()> {
        self.state()?.deny(token);
        Ok(())
    }

    async fn allow_token(&self, id: &str) -> StoreResult<bool> {
        Ok(self.state()?.allow(id))
    }

    async fn denied_tokens(&self) -> StoreResult<Vec<DeniedToken>> {
        Ok(self.read("denied_tokens")?.denied_tokens())
    }

    async fn departed(&self, key: &ResourceKey, within: Duration) -> StoreResult<Option<Departure>> {
        Ok(self.read("departed")?.departed(key, within))
    }

    async fn departed_grants(&self, tenant: &str, within: Duration) -> StoreResult<Vec<DepartedGrant>> {
        Ok(self.read("departed_grants")?.departed_grants(tenant, within))
    }

    async fn bootstrap(&self, subject: &str, assignment: Put) -> StoreResult<BootstrapOutcome> {
        Ok(self.state()?.bootstrap(subject, assignment))
    }

    async fn mark_bootstrapped(&self, tenant: &str, subject: &str) -> StoreResult<()> {
        self.state()?.mark_bootstrapped(tenant, subject);
        Ok(())
    }

    async fn prune_access(&self, departures: Duration, tokens: Duration, now: Timestamp) -> StoreResult<()> {
        self.state()?.prune_access(departures, tokens, now);
        Ok(())
    }
}

#[async_trait]
impl OrphanStore for MemoryStore {
    async fn order(&self, order: &OrphanOrder) -> StoreResult<OrderOutcome> {
        Ok(self.state()?.order(order))
    }

    async fn orders(&self) -> StoreResult<Vec<(OrphanOrder, Option<Resource>)>> {
        Ok(self.state()?.orders())
    }

    async fn removal(&self, lease: &Lease, uid: Uid) -> StoreResult<Option<OrphanOrder>> {
        Ok(self.state()?.removal(lease, uid))
    }

    async fn tried(&self, lease: &Lease, uid: Uid, end: &OrderEnd) -> StoreResult<bool> {
        Ok(self.state()?.tried(lease, uid, end))
    }
}

#[async_trait]
impl OversightStore for MemoryStore {
    async fn record_activities(&self, activities: &[Activity]) -> StoreResult<()> {
        self.state()?.record_activities(activities);
        Ok(())
    }

    async fn activities(&self, query: &ActivityQuery) -> StoreResult<Vec<ActivityRecord>> {
        Ok(self.state()?.activities(query))
    }

    async fn prune_activities(&self, older: Duration) -> StoreResult<()> {
        self.state()?.prune_activities(older);
        Ok(())
    }

    async fn pause(&self, workspace: &ResourceKey, by: &str) -> StoreResult<bool> {
        Ok(self.state()?.pause(workspace, by))
    }

    async fn resume(&self, workspace: &ResourceKey) -> StoreResult<bool> {
        Ok(self.state()?.resume(workspace))
    }

    async fn paused(&self) -> StoreResult<Vec<PausedWorkspace>> {
        Ok(self.state()?.paused())
    }

    async fn paused_projects(&self) -> StoreResult<Vec<(ProjectId, ProjectEpoch)>> {
        Ok(self.state()?.paused_projects())
    }

    async fn resume_project(&self, project: &ProjectId, epoch: &Epoch) -> StoreResult<bool> {
        Ok(self.state()?.resume_project(project, epoch))
    }

    async fn abandon(&self, project: &ProjectId, now: Timestamp) -> StoreResult<Option<Abandoned>> {
        Ok(self.state()?.abandon(project, now))
    }

    async fn occupancy(&self) -> StoreResult<Vec<Occupancy>> {
        Ok(self.state()?.occupancy())
    }

    async fn of_kind(&self, kind: Kind) -> StoreResult<Vec<Resource>> {
        Ok(self.state()?.of_kind(kind))
    }

    async fn projects(&self) -> StoreResult<Vec<ProjectOverview>> {
        Ok(self.state()?.overview())
    }

    async fn last_request(&self, resource: &ResourceKey) -> StoreResult<Option<String>> {
        Ok(self.state()?.last_request(resource))
    }

    async fn backlog(&self) -> StoreResult<Backlog> {
        Ok(self.state()?.backlog())
    }
}
