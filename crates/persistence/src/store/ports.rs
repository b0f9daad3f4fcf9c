//! The smaller ports.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use control_plane::{
    ProjectId, Resource, Uid,
    ports::{
        Abandoned, AccessStore, Activity, ActivityQuery, ActivityRecord, AuthorizationSnapshot, Backlog,
        BootstrapOutcome, DeniedToken, DepartedGrant, Departure, Epoch, Lease, Occupancy, OrderEnd, OrderOutcome,
        OrphanOrder, OrphanStore, OversightStore, PausedWorkspace, ProjectEpoch, ProjectOverview, Put, StoreResult,
        TenantChange, TenantRecord,
    },
    service::{Tenant, Tenants},
};
use seca_api::{Kind, ResourceKey, Timestamp};

use super::{
    SqlStore, abandon, activity, assignments, authorization, authorization::VersionOf, epochs, orphans, oversight,
    tenants,
};
use crate::database::Lane;

#[async_trait]
impl AccessStore for SqlStore {
    async fn tenants(&self) -> StoreResult<Vec<TenantRecord>> {
        Ok(tenants::all(&self.db).await?)
    }

    async fn tenant(&self, name: &str) -> StoreResult<Option<TenantRecord>> {
        Ok(tenants::one(&self.db, name).await?)
    }

    async fn create_tenant(&self, name: &str, settings: &Tenant) -> StoreResult<bool> {
        Ok(tenants::add(&self.db, [(name, settings)]).await? > 0)
    }

    async fn change_tenant(&self, name: &str, change: &TenantChange) -> StoreResult<Option<TenantRecord>> {
        Ok(self.db.transact(Lane::Write, &tenants::Change { name, change }).await?)
    }

    async fn ensure_tenants(&self, tenants: &Tenants) -> StoreResult<()> {
        tenants::add(&self.db, tenants.iter().map(|(name, tenant)| (name.as_str(), tenant))).await?;
        Ok(())
    }

    async fn authorization_version(&self, tenant: &str) -> StoreResult<Option<i64>> {
        Ok(self.versions.ask(&self.db, &Arc::new(VersionOf(tenant.to_owned()))).await?)
    }

    async fn authorization(&self, tenant: &str) -> StoreResult<Option<AuthorizationSnapshot>> {
        Ok(authorization::snapshot(&self.db, tenant).await?)
    }

    async fn deny_token(&self, token: &DeniedToken) -> StoreResult<()> {
        Ok(self.db.transact(Lane::Write, &authorization::Deny(token)).await?)
    }

    async fn allow_token(&self, id: &str) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Write, &authorization::Allow(id)).await?)
    }

    async fn denied_tokens(&self) -> StoreResult<Vec<DeniedToken>> {
        Ok(authorization::denied(&self.db).await?)
    }

    async fn departed(&self, key: &ResourceKey, within: Duration) -> StoreResult<Option<Departure>> {
        Ok(authorization::departed(&self.db, key, within).await?)
    }

    async fn departed_grants(&self, tenant: &str, within: Duration) -> StoreResult<Vec<DepartedGrant>> {
        Ok(authorization::departed_grants(&self.db, tenant, within).await?)
    }

    async fn bootstrap(&self, subject: &str, assignment: Put) -> StoreResult<BootstrapOutcome> {
        let bootstrap = assignments::Bootstrap { subject, assignment: &assignment };
        Ok(self.db.transact(Lane::Write, &bootstrap).await?)
    }

    async fn mark_bootstrapped(&self, tenant: &str, subject: &str) -> StoreResult<()> {
        Ok(assignments::mark(&self.db, tenant, subject).await?)
    }

    async fn prune_access(&self, departures: Duration, tokens: Duration, now: Timestamp) -> StoreResult<()> {
        Ok(self.db.transact(Lane::Engine, &authorization::Prune { departures, tokens, now }).await?)
    }
}

#[async_trait]
impl OrphanStore for SqlStore {
    async fn order(&self, order: &OrphanOrder) -> StoreResult<OrderOutcome> {
        Ok(self.db.transact(Lane::Write, &orphans::Order(order)).await?)
    }

    async fn orders(&self) -> StoreResult<Vec<(OrphanOrder, Option<Resource>)>> {
        Ok(orphans::all(&self.db).await?)
    }

    async fn removal(&self, lease: &Lease, uid: Uid) -> StoreResult<Option<OrphanOrder>> {
        Ok(orphans::removal(&self.db, lease, uid).await?)
    }

    async fn tried(&self, lease: &Lease, uid: Uid, end: &OrderEnd) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Engine, &orphans::Tried { lease, uid, end }).await?)
    }
}

#[async_trait]
impl OversightStore for SqlStore {
    async fn record_activities(&self, activities: &[Activity]) -> StoreResult<()> {
        Ok(activity::record(&self.db, activities).await?)
    }

    async fn activities(&self, query: &ActivityQuery) -> StoreResult<Vec<ActivityRecord>> {
        Ok(activity::list(&self.db, query).await?)
    }

    async fn prune_activities(&self, older: Duration) -> StoreResult<()> {
        Ok(activity::prune(&self.db, older).await?)
    }

    async fn pause(&self, workspace: &ResourceKey, by: &str) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Write, &oversight::Pause { workspace, by: Some(by) }).await?)
    }

    async fn resume(&self, workspace: &ResourceKey) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Write, &oversight::Pause { workspace, by: None }).await?)
    }

    async fn paused(&self) -> StoreResult<Vec<PausedWorkspace>> {
        Ok(oversight::paused(&self.db).await?)
    }

    async fn paused_projects(&self) -> StoreResult<Vec<(ProjectId, ProjectEpoch)>> {
        Ok(epochs::paused(&self.db).await?)
    }

    async fn resume_project(&self, project: &ProjectId, epoch: &Epoch) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Write, &epochs::Resume { project, epoch }).await?)
    }

    async fn abandon(&self, project: &ProjectId, now: Timestamp) -> StoreResult<Option<Abandoned>> {
        Ok(self.db.transact(Lane::Write, &abandon::Abandon { project, now }).await?)
    }

    async fn occupancy(&self) -> StoreResult<Vec<Occupancy>> {
        Ok(oversight::occupancy(&self.db).await?)
    }

    async fn of_kind(&self, kind: Kind) -> StoreResult<Vec<Resource>> {
        Ok(oversight::of_kind(&self.db, kind).await?)
    }

    async fn projects(&self) -> StoreResult<Vec<ProjectOverview>> {
        Ok(oversight::projects(&self.db).await?)
    }

    async fn last_request(&self, resource: &ResourceKey) -> StoreResult<Option<String>> {
        Ok(activity::last_request(&self.db, resource).await?)
    }

    async fn backlog(&self) -> StoreResult<Backlog> {
        Ok(oversight::backlog(&self.db).await?)
    }
}
