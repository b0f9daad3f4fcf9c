//! Who may do what, on every request: the roles of a tenant as they are in the database at the moment of the request.
//!
//! Each statement that reads what a request is about reads the tenant's authorization version as well. What was made
//! of the roles is kept in memory and good for as long as the version is the same, so that a decision costs no round
//! trip, and a right that was taken away is gone with the next request.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, RwLock},
};

use arc_swap::ArcSwapOption;
use seca_api::{ResourceKey, RoleAssignmentSpec, RoleSpec, Scope, TenantName};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::{Ask, Caller, ControlPlane, Refusal, Tenant};
use crate::{
    kinds::{self, Grant, grant, role_assignment},
    ports::{AuthorizationSnapshot, DEPARTURES_KEPT, DepartedGrant, Departure, Store, StoreError, StoreResult},
    rbac::{AssignmentRow, Policy, RoleRow, Wanted, WantedTenant, system_role},
    resource::Representation,
};

/// Whether roles decide what callers may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// They do. Default deny.
    Roles,
    /// Everybody may do everything in every tenant that is not suspended: for a listener without authentication.
    Off,
}

/// The decisions of all tenants.
pub(crate) struct Authorization {
    store: Arc<dyn Store>,
    enforcement: Enforcement,
    tenants: RwLock<HashMap<String, Arc<Known>>>,
    /// Held by who writes a role or an assignment.
    granting: Mutex<()>,
}

/// What is known of a tenant.
#[derive(Default)]
struct Known {
    decisions: ArcSwapOption<Decisions>,
    /// Held by who reads, so that many requests at once read it once.
    reading: Mutex<()>,
}

/// What decides in a tenant, at one version.
pub(crate) struct Decisions {
    snapshot: AuthorizationSnapshot,
    policy: Policy,
}

impl Decisions {
    fn new(snapshot: AuthorizationSnapshot) -> Self {
        let policy = policy(&snapshot, &[]);
        for row in policy.unreadable() {
            tracing::warn!(seca.reference = row, "cannot be read, and grants nothing");
        }
        Self { snapshot, policy }
    }

    /// The tenant's settings.
    pub(crate) fn settings(&self) -> &Tenant {
        &self.snapshot.tenant.settings
    }

    pub(crate) fn version(&self) -> i64 {
        self.snapshot.tenant.version
    }

    /// Whether the roles allow it.
    pub(super) fn allows(&self, caller: &Caller, ask: &Ask<'_>) -> bool {
        self.policy.decide(caller, ask).is_allowed()
    }

    /// A role that assignments of this tenant can name.
    fn role(&self, name: &str) -> Option<RoleSpec> {
        if let Some(role) = system_role(name) {
            return Some(role);
        }
        let own = &self.snapshot.tenant.name;
        let found = self.snapshot.roles.iter().find(|role| role.tenant == *own && role.name == name)?;
        serde_json::from_str(&found.spec).ok()
    }

    /// The assignments of this tenant that name a role, by their names.
    fn assigning(&self, role: &str) -> Vec<(&str, RoleAssignmentSpec)> {
        let own = self.snapshot.assignments.iter().filter(|row| row.tenant == self.snapshot.tenant.name);
        let specs = own.filter_map(|row| Some((row.name.as_str(), serde_json::from_str(&row.spec).ok()?)));
        specs.filter(|(_, spec): &(_, RoleAssignmentSpec)| spec.roles.iter().any(|name| name == role)).collect()
    }

    /// Whether the caller's token was revoked.
    fn has_revoked(&self, caller: &Caller) -> bool {
        caller.token_id.as_ref().is_some_and(|id| self.snapshot.denied.contains(id))
    }
}

/// That the caller may, before anything is read that bears the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit {
    /// The authorization version by which it was judged; none for what is for everybody.
    pub(super) version: Option<i64>,
    /// Whether the store was asked for that version now; else it is one that an earlier request has shown.
    pub(super) is_fresh: bool,
}

/// The roles and assignments of a snapshot, and those that count no more but did at a time.
pub(super) fn policy(snapshot: &AuthorizationSnapshot, former: &[DepartedGrant]) -> Policy {
    let (roles, assignments): (Vec<_>, Vec<_>) =
        former.iter().partition(|former| grant(former.kind) == Some(Grant::Role));
    let former_roles = roles.into_iter().map(|role| (&role.tenant, &role.name, &role.spec));
    let roles = snapshot.roles.iter().map(|role| (&role.tenant, &role.name, &role.spec));
    let roles = former_roles.chain(roles).map(|(tenant, name, spec_json)| RoleRow { tenant, name, spec_json });
    let former = assignments.into_iter().map(|row| (&row.tenant, &row.name, row.uid, &row.spec, &row.bound));
    let assignments = snapshot.assignments.iter().map(|row| (&row.tenant, &row.name, row.uid, &row.spec, &row.bound));
    let assignments = assignments.chain(former).map(|(tenant, name, uid, spec_json, bound)| {
        let region = bound.as_ref().map(|bound| bound.region.as_str());
        AssignmentRow { tenant, name, uid, spec_json, bound: bound.as_ref().map(|bound| bound.uid), region }
    });
    Policy::compile(&snapshot.tenant.name, roles, assignments)
}

impl Authorization {
    pub(crate) fn new(store: Arc<dyn Store>, enforcement: Enforcement) -> Self {
        Self { store, enforcement, tenants: RwLock::default(), granting: Mutex::default() }
    }

    /// Waits for the turn to write a role or an assignment.
    pub(super) async fn granting(&self) -> MutexGuard<'_, ()> {
        self.granting.lock().await
    }

    /// What decides in a tenant now.
    async fn now(&self, tenant: &str) -> StoreResult<Option<Arc<Decisions>>> {
        let version = self.store.access().authorization_version(tenant).await?;
        self.at(tenant, version).await
    }

    /// What decides in a tenant at a version that was read just now, or at a later one; none for an unknown tenant.
    async fn at(&self, tenant: &str, version: Option<i64>) -> StoreResult<Option<Arc<Decisions>>> {
        let Some(version) = version else { return Ok(None) };
        let known = self.known(tenant);
        let current = || known.decisions.load_full().filter(|decisions| decisions.version() >= version);
        if let Some(decisions) = current() {
            return Ok(Some(decisions));
        }
        let _reading = known.reading.lock().await;
        if let Some(decisions) = current() {
            return Ok(Some(decisions));
        }
        let snapshot = self.store.access().authorization(tenant).await?;
        let decisions = snapshot.map(|snapshot| Arc::new(Decisions::new(snapshot)));
        known.decisions.store(decisions.clone());
        Ok(decisions)
    }

    /// Only tenants that exist have a place, so that guessing names costs no memory.
    fn known(&self, tenant: &str) -> Arc<Known> {
        let read = self.tenants.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(tenant).cloned();
        read.unwrap_or_else(|| {
            let mut tenants = self.tenants.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(tenants.entry(tenant.to_owned()).or_default())
        })
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("enforcement", &self.enforcement).finish_non_exhaustive()
    }
}

/// What every authenticated caller may read: regions, which are in no tenant, and the catalogue under its own names.
/// No rows are there, whatever a tenant of such a name has written.
pub(super) fn is_for_everybody(key: &ResourceKey) -> bool {
    kinds::catalog::is_shared(key.kind) && (key.kind.scope() == Scope::Global || kinds::is_catalog_tenant(&key.tenant))
}

impl ControlPlane {
    /// The settings of a tenant; none for an unknown one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        Ok(self.access.now(name).await?.map(|decisions| decisions.settings().clone()))
    }

    /// The settings of a tenant in which the caller has a role; none for others, so that nobody can list tenants by
    /// guessing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tenant_for(&self, caller: &Caller, name: &str) -> Result<Option<Tenant>, StoreError> {
        let decisions = self.access.now(name).await?.filter(|there| self.may_know(caller, there));
        Ok(decisions.map(|decisions| decisions.settings().clone()))
    }

    fn may_know(&self, caller: &Caller, there: &Decisions) -> bool {
        !self.enforces() || there.policy.names(&caller.subject)
    }

    /// Whether the caller has a role in a tenant, as far as requests before this one have shown: without a question
    /// to the store.
    pub fn takes_part(&self, caller: &Caller, tenant: &str) -> bool {
        let tenants = self.access.tenants.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let decisions = tenants.get(tenant).and_then(|known| known.decisions.load_full());
        decisions.is_some_and(|there| self.may_know(caller, &there))
    }

    /// Whether the caller may do this to such a name at all. It is known of whom earlier requests have shown to be allowed;
    /// all others are judged by the roles of now, before anything of that name is read or parsed for them. So what a
    /// refusal costs tells nothing of what is there.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], [`Refusal::Revoked`], and failures of the store.
    pub async fn permits(&self, caller: &Caller, verb: &'static str, key: &ResourceKey) -> Result<(), Refusal> {
        self.permit(caller, &Ask { verb, key }).await.map(drop)
    }

    pub(super) async fn permit(&self, caller: &Caller, ask: &Ask<'_>) -> Result<Permit, Refusal> {
        if let Some(version) = self.known_to_allow(caller, ask) {
            return Ok(Permit { version: Some(version), is_fresh: false });
        }
        let decisions = self.authorize(caller, ask.verb, ask.key).await?;
        Ok(Permit { version: decisions.map(|decisions| decisions.version()), is_fresh: true })
    }

    /// The version by which the caller may, of those that earlier requests have shown.
    fn known_to_allow(&self, caller: &Caller, ask: &Ask<'_>) -> Option<i64> {
        if matches!(ask.verb, "get" | "list") && is_for_everybody(ask.key) {
            return None;
        }
        let tenants = self.access.tenants.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let decisions = tenants.get(&ask.key.tenant)?.decisions.load_full()?;
        drop(tenants);
        let may = !self.enforces() || decisions.allows(caller, ask);
        (may && !decisions.snapshot.tenant.suspended && !decisions.has_revoked(caller)).then(|| decisions.version())
    }

    /// Whether the caller may, for what is not read by a statement that tells the version.
    pub(super) async fn authorize(
        &self,
        caller: &Caller,
        verb: &'static str,
        key: &ResourceKey,
    ) -> Result<Option<Arc<Decisions>>, Refusal> {
        if matches!(verb, "get" | "list") && is_for_everybody(key) {
            return self.check_revoked(caller).await.map(|()| None);
        }
        let version = self.store.access().authorization_version(&key.tenant).await?;
        self.authorize_at(caller, &Ask { verb, key }, version).await.map(Some)
    }

    /// Whether the caller may, decided before anything is revealed. An unknown tenant is forbidden like any other
    /// place where the caller has no role.
    pub(super) async fn authorize_at(
        &self,
        caller: &Caller,
        ask: &Ask<'_>,
        version: Option<i64>,
    ) -> Result<Arc<Decisions>, Refusal> {
        let Some(decisions) = self.access.at(&ask.key.tenant, version).await? else {
            // First, as in a tenant that exists.
            self.check_revoked(caller).await?;
            return Err(forbidden(caller, ask));
        };
        if decisions.has_revoked(caller) {
            return Err(Refusal::Revoked);
        }
        let may = !self.enforces() || decisions.allows(caller, ask);
        if may && !decisions.snapshot.tenant.suspended {
            return Ok(decisions);
        }
        // Known by the version, and asked for nevertheless: in a tenant that does not exist it is, and time would tell.
        self.check_revoked(caller).await?;
        Err(forbidden(caller, ask))
    }

    /// Regions, and what is in no tenant that there is, have no version that would tell of revoked tokens.
    async fn check_revoked(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(id) = &caller.token_id else { return Ok(()) };
        let revoked = self.store.access().denied_tokens().await?;
        if revoked.iter().any(|token| token.id == *id) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// Whether the caller, who may not read a key, may have been able to until a while ago, by any roles and assignments
    /// that count no more. Only then it is looked up what is, or was, under that key. For all others what is there, what
    /// left and what never was take the same path.
    pub(super) async fn may_have_read(&self, caller: &Caller, key: &ResourceKey) -> Result<bool, Refusal> {
        let former = self.store.access().departed_grants(&key.tenant, DEPARTURES_KEPT).await?;
        let Some(decisions) = self.access.now(&key.tenant).await? else { return Ok(false) };
        let names = |grant: &DepartedGrant| match serde_json::from_str::<RoleAssignmentSpec>(&grant.spec) {
            Ok(spec) => spec.subs.iter().any(|sub| *sub == caller.subject || sub == "*"),
            Err(_) => false,
        };
        let is_named = decisions.policy.names(&caller.subject)
            || former.iter().any(|row| grant(row.kind) == Some(Grant::Assignment) && names(row));
        if decisions.snapshot.tenant.suspended || !is_named {
            return Ok(false);
        }
        // Of several roles that bore one name the last one counts, here as for a single departure.
        let policy = policy(&decisions.snapshot, &former);
        Ok(policy.decide(caller, &Ask { verb: "get", key }).is_allowed())
    }

    /// Whether a row that is gone was one that the caller could read until it left: then they are told that it is
    /// gone, for which clients wait, and not that they may not know. Rights end with a workspace, too.
    pub(super) async fn could_read(&self, caller: &Caller, key: &ResourceKey) -> Result<bool, Refusal> {
        let Some(departure) = self.store.access().departed(key, DEPARTURES_KEPT).await? else { return Ok(false) };
        if self.is_made_again(key, &departure).await? {
            return Ok(false);
        }
        self.reads_with(caller, key, |grant| grant.counted_at(&departure)).await
    }

    /// Whether it is a role or an assignment on its way out, and the caller could read it by that very row: who deletes
    /// a right of their own sees it leave, for which clients wait, and then that it is gone.
    pub(super) async fn loses_by(
        &self,
        caller: &Caller,
        key: &ResourceKey,
        row: &Representation,
    ) -> Result<bool, Refusal> {
        if grant(key.kind).is_none() || row.deleted_at.is_none() {
            return Ok(false);
        }
        self.reads_with(caller, key, |grant| Some(grant.uid) == row.uid).await
    }

    /// Whether the caller may read it by the roles of now and by those that count no more, as far as these are meant.
    async fn reads_with(
        &self,
        caller: &Caller,
        key: &ResourceKey,
        counts: impl Fn(&DepartedGrant) -> bool,
    ) -> Result<bool, Refusal> {
        let Some(decisions) = self.access.now(&key.tenant).await? else { return Ok(false) };
        if decisions.snapshot.tenant.suspended {
            return Ok(false);
        }
        let mut former = self.store.access().departed_grants(&key.tenant, DEPARTURES_KEPT).await?;
        former.retain(counts);
        let policy = policy(&decisions.snapshot, &former);
        Ok(policy.decide(caller, &Ask { verb: "get", key }).is_allowed())
    }

    /// Whether the workspace in which something was has been made again since: what is in there now is told to nobody
    /// for having been in the former one.
    async fn is_made_again(&self, key: &ResourceKey, departure: &Departure) -> StoreResult<bool> {
        let Some(workspace) = key.workspace_key() else { return Ok(false) };
        let workspace = self.store.get(&workspace).await?;
        let left_at = departure.deleted_at.unwrap_or(departure.left_at);
        Ok(workspace.is_some_and(|workspace| workspace.created_at >= left_at))
    }

    /// Whether the caller has all that a role or a role assignment would hand out. Who makes a role under a name that
    /// assignments bear already grants it by that to all whom they name, as if they wrote these assignments.
    pub(super) async fn may_grant(
        &self,
        caller: &Caller,
        key: &ResourceKey,
        spec: &Value,
        decisions: &Decisions,
        is_new: bool,
    ) -> Result<(), Refusal> {
        if !self.enforces() {
            return Ok(());
        }
        let bearers =
            if grant(key.kind) == Some(Grant::Role) && is_new { decisions.assigning(&key.name) } else { Vec::new() };
        let taken = |missing: String| Refusal::NameIsAssigned {
            subject: caller.subject.clone(),
            role: key.name.clone(),
            assignments: bearers.len(),
            missing,
        };
        for (name, _) in &bearers {
            let assignment = role_assignment::key(&key.tenant, name);
            if !decisions.allows(caller, &Ask { verb: "put", key: &assignment }) {
                return Err(taken("the right to write these role assignments".to_owned()));
            }
        }
        let broken = |error: serde_json::Error| Refusal::Internal(format!("{key}: {error}"));
        let wanted = match grant(key.kind) {
            Some(Grant::Assignment) => {
                let spec: RoleAssignmentSpec = serde_json::from_value(spec.clone()).map_err(broken)?;
                Wanted::of_assignment(&key.tenant, &spec, |name| decisions.role(name))
            }
            Some(Grant::Role) => {
                let spec: RoleSpec = serde_json::from_value(spec.clone()).map_err(broken)?;
                let assigning = decisions.assigning(&key.name);
                Wanted::of_role(&key.tenant, &spec, assigning.iter().map(|(_, assigning)| assigning))
            }
            None => return Ok(()),
        };
        for wanted in &wanted {
            let held = match wanted.tenant() {
                WantedTenant::Named(tenant) if *tenant != key.tenant => match self.access.now(tenant).await? {
                    Some(there) => there.policy.holds(caller, wanted),
                    // Nobody holds anything where there is nothing.
                    None => Policy::compile(tenant, [], []).holds(caller, wanted),
                },
                _ => decisions.policy.holds(caller, wanted),
            };
            if let Err(missing) = held {
                let assignments = role_assignment::key(&key.tenant, "");
                // Where a role counts is told by its assignments, to those who may read them.
                let told = grant(key.kind) != Some(Grant::Role)
                    || decisions.allows(caller, &Ask { verb: "list", key: &assignments });
                let missing = if told { missing.to_string() } else { missing.without_place() };
                if !bearers.is_empty() {
                    return Err(taken(missing));
                }
                return Err(Refusal::CannotGrant { subject: caller.subject.clone(), kind: key.kind, missing });
            }
        }
        Ok(())
    }

    /// Of the tenants that a document names, those that its writer may know: where they have a role, and their own.
    /// Others are told like what does not exist, so that nobody can list tenants by guessing.
    pub(super) async fn known_tenants(
        &self,
        caller: &Caller,
        key: &ResourceKey,
        spec: &Value,
    ) -> StoreResult<BTreeSet<String>> {
        if grant(key.kind) != Some(Grant::Assignment) {
            return Ok(BTreeSet::new());
        }
        let named = kinds::expand("/spec/scopes/*/tenants/*", spec).into_iter().filter_map(|(_, name)| name.as_str());
        let mut known = BTreeSet::new();
        for name in named.filter(|name| TenantName::parse(name).is_ok()).collect::<BTreeSet<_>>() {
            let there = self.access.now(name).await?;
            if there.is_some_and(|there| name == key.tenant || self.may_know(caller, &there)) {
                known.insert(name.to_owned());
            }
        }
        Ok(known)
    }

    /// Whether roles decide; where they do not, nothing is handed out either.
    pub(super) fn enforces(&self) -> bool {
        self.access.enforcement == Enforcement::Roles
    }
}

fn forbidden(caller: &Caller, ask: &Ask<'_>) -> Refusal {
    Refusal::Forbidden { subject: caller.subject.clone(), verb: ask.verb, resource: ask.key.to_string() }
}
