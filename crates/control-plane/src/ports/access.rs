//! Storage of who may do what: tenants, what decisions are made of, tokens that were revoked, and what was there until
//! a moment ago.
//!
//! Every tenant has an authorization version. Whatever may change a decision in a tenant raises it in the same
//! transaction: accepted writes of roles and role assignments (of other tenants too, when an assignment there opens
//! this one) and rows of those that leave, a binding of an assignment to its workspace, revoked tokens, and changes of
//! the tenant itself. So a snapshot is good for as long as its version is the tenant's.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use seca_api::{Kind, ResourceKey, Timestamp};

use super::{Put, StoreResult};
use crate::{
    resource::Uid,
    scopes,
    service::{ReferencePolicy, Tenant, Tenants},
};

/// How long it is remembered what left: for that time, who could read it is told that it is not there.
pub const DEPARTURES_KEPT: Duration = Duration::from_secs(15 * 60);

/// How long a revoked token is remembered beyond its end: longer than any leeway that clocks are given.
pub const DENIED_KEPT: Duration = Duration::from_secs(3600);

/// A tenant as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Tenant,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Its authorization version.
    pub version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// What is to change of a tenant; what is none stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Whether it is suspended.
    pub suspended: Option<bool>,
    /// See [`Tenant::conformance`].
    pub conformance: Option<bool>,
    /// See [`Tenant::references`].
    pub references: Option<ReferencePolicy>,
}

/// What decisions in a tenant are made of, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationSnapshot {
    /// The tenant, with the version that the rest belongs to.
    pub tenant: TenantRecord,
    /// Its live roles, and those of all tenants with an assignment that opens it; by tenant and name.
    pub roles: Vec<StoredRole>,
    /// Its live assignments, and those of other tenants that open it; by tenant and name.
    pub assignments: Vec<StoredAssignment>,
    /// The ids of all tokens that were revoked.
    pub denied: BTreeSet<String>,
}

/// A live role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRole {
    /// Its tenant: assignments name roles of their own tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// This life's identity.
    pub uid: Uid,
    /// The specification, a JSON object.
    pub spec: String,
}

/// A live role assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAssignment {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// This life's identity.
    pub uid: Uid,
    /// The specification, a JSON object.
    pub spec: String,
    /// The workspace that it is bound to.
    pub bound: Option<BoundWorkspace>,
}

/// The life of a workspace that an assignment is bound to: the assignment counts in no other, and ends with it. The rule is
/// [`scopes::BoundAssignment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundWorkspace {
    /// The workspace's identity.
    pub uid: Uid,
    /// Its region.
    pub region: String,
}

/// A token that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedToken {
    /// Its id (`jti`).
    pub id: String,
    /// When it ends by itself, and need not be remembered any more.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub denied_at: Timestamp,
    /// By whom.
    pub denied_by: String,
    /// Why.
    pub reason: Option<String>,
}

/// A row that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Its identity.
    pub uid: Uid,
    /// When its deletion was accepted; none for what ended with its workspace.
    pub deleted_at: Option<Timestamp>,
    /// When the row left, by the database's time.
    pub left_at: Timestamp,
}

/// A role or an assignment that counts no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartedGrant {
    /// [`Kind::Role`] or [`Kind::RoleAssignment`].
    pub kind: Kind,
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: Uid,
    /// The specification that it had last.
    pub spec: String,
    /// The workspace that it was bound to.
    pub bound: Option<BoundWorkspace>,
    /// Until when it counted.
    pub until: Until,
}

/// When something ceased to count, by the clock that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// When its deletion was accepted, by the wall clock of who accepted it.
    Deleted(Timestamp),
    /// When its row left without that, by the database's time.
    Left(Timestamp),
}

impl DepartedGrant {
    /// Whether it still counted when a row's deletion was accepted. Times of the same clock are compared, where there
    /// are two.
    pub fn counted_at(&self, departure: &Departure) -> bool {
        match self.until {
            Until::Deleted(at) => at >= departure.deleted_at.unwrap_or(departure.left_at),
            // What ends with its workspace outlasts all that was in there.
            Until::Left(at) => at >= departure.left_at,
        }
    }

    /// Whether it may have granted something in a tenant. Any role may: which tenants used it is up to assignments.
    pub fn concerns(&self, tenant: &str) -> bool {
        self.kind == Kind::Role || self.tenant == tenant || {
            let opened = scopes::opened_tenants(&self.tenant, &self.spec);
            opened.contains(tenant) || opened.contains(scopes::ALL_TENANTS)
        }
    }
}

/// What became of an administrator whom the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapOutcome {
    /// There is an assignment more, and a mark that it was made.
    Made,
    /// It was marked before; nothing changed.
    Before,
    /// The assignment's name is taken, by a row that is being deleted maybe; nothing changed, and nothing is marked.
    Taken,
}

/// Storage of who may do what. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait AccessStore: Send + Sync {
    // -- tenants: names are valid, which the caller sees to ---------------------------------------------------

    /// All tenants, by name.
    async fn tenants(&self) -> StoreResult<Vec<TenantRecord>>;

    /// One tenant.
    async fn tenant(&self, name: &str) -> StoreResult<Option<TenantRecord>>;

    /// Registers a tenant; false when there is one of this name.
    async fn create_tenant(&self, name: &str, settings: &Tenant) -> StoreResult<bool>;

    /// Changes a tenant; the tenant as it is now, none for an unknown one. What changes raises the version.
    async fn change_tenant(&self, name: &str, change: &TenantChange) -> StoreResult<Option<TenantRecord>>;

    /// Registers those of the configuration that are not there. Of those that are, the registry is right.
    async fn ensure_tenants(&self, tenants: &Tenants) -> StoreResult<()>;

    // -- decisions ------------------------------------------------------------------------------------------

    /// The authorization version of a tenant; none for an unknown one.
    async fn authorization_version(&self, tenant: &str) -> StoreResult<Option<i64>>;

    /// What decisions in a tenant are made of; none for an unknown one.
    async fn authorization(&self, tenant: &str) -> StoreResult<Option<AuthorizationSnapshot>>;

    // -- revoked tokens ---------------------------------------------------------------------------------------

    /// Revokes a token, in all tenants. The second time it may end later, not earlier.
    async fn deny_token(&self, token: &DeniedToken) -> StoreResult<()>;

    /// Takes that back; false when it was not revoked.
    async fn allow_token(&self, id: &str) -> StoreResult<bool>;

    /// All revoked tokens, by id.
    async fn denied_tokens(&self) -> StoreResult<Vec<DeniedToken>>;

    // -- what left --------------------------------------------------------------------------------------------

    /// The last row of a key that left, if it did so within this time.
    async fn departed(&self, key: &ResourceKey, within: Duration) -> StoreResult<Option<Departure>>;

    /// Roles and assignments that may have granted something in a tenant until some time within this one, those whose
    /// deletion was accepted and whose rows have not left yet included; the oldest first.
    async fn departed_grants(&self, tenant: &str, within: Duration) -> StoreResult<Vec<DepartedGrant>>;

    // -- administrators by configuration ------------------------------------------------------------------------

    /// Makes a subject an administrator of the assignment's tenant, once: the mark that it was done and the new
    /// assignment are one.
    async fn bootstrap(&self, subject: &str, assignment: Put) -> StoreResult<BootstrapOutcome>;

    /// Leaves the mark alone, for a subject that is an administrator without that.
    async fn mark_bootstrapped(&self, tenant: &str, subject: &str) -> StoreResult<()>;

    /// Forgets departures older than this, and revoked tokens that ended longer than that before `now` (the wall clock's).
    /// No version is raised: what is forgotten decides nothing any more.
    async fn prune_access(&self, departures: Duration, tokens: Duration, now: Timestamp) -> StoreResult<()>;
}
