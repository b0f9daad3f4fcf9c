//! Administrators whom an operator makes: through the admin API, and by the settings of a process at its start.
//!
//! Each is a visible role assignment like any other, whose name follows from the subject. A name that can be foreseen can
//! be taken: what somebody keeps under it is not overwritten, and keeps nobody out either, because the next name is used.

use seca_api::{ResourceKey, RoleAssignmentScope, RoleAssignmentSpec, TenantName};
use serde_json::json;

use super::{Administration, Refusal};
use crate::{
    kinds,
    ports::{AuthorizationSnapshot, BootstrapOutcome, Put, PutOutcome},
};

/// The most names that are tried.
const NAMES: usize = 100;
/// The role of an administrator.
const ADMIN: &str = "seca.admin";
/// What the assignment of an administrator by the settings says of itself.
const BOOTSTRAPPED: &str =
    "Made once at the start of the server, as its setting SECA_BOOTSTRAP_ADMIN says; deleted, it does not come back.";

/// What became of an administrator to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeAdmin {
    /// The subject is one now, by the assignment of this name.
    Made(String),
    /// It was one already, by the assignment of this name; nothing changed.
    Already(String),
}

/// What became of an administrator whom the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrapped {
    /// The subject is one now, by the assignment of this name.
    Made(String),
    /// It was made one before, whatever became of it; nothing changed.
    Before,
    /// There is no such tenant.
    NoTenant,
}

impl Administration {
    /// Makes a subject an administrator of a tenant, by an assignment of this name or of the next one that is free; none
    /// when there is no such tenant. As often as it is asked for: one that was taken back is made again.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when all names are taken; failures of the store.
    pub async fn make_admin(
        &self,
        tenant: &TenantName,
        subject: &str,
        name: &str,
        by: &str,
    ) -> Result<Option<MadeAdmin>, Refusal> {
        let Some(snapshot) = self.store.access().authorization(tenant.as_str()).await? else { return Ok(None) };
        // The one that counts may have a later name than one that is free by now.
        if let Some(name) = standing(&snapshot, name, subject) {
            return Ok(Some(MadeAdmin::Already(name)));
        }
        let description = format!("Made by the operator {by} through the admin API.");
        for name in names(name) {
            let put = self.assignment(tenant, subject, &name, &description)?;
            if let PutOutcome::Created(_) = self.store.put(put).await? {
                self.wake.notify_one();
                return Ok(Some(MadeAdmin::Made(name)));
            }
            // Whoever asked for the same at once was sooner.
            if self.makes_admin(tenant, subject, &name).await? {
                return Ok(Some(MadeAdmin::Already(name)));
            }
        }
        Err(all_taken(tenant, name))
    }

    /// Makes a subject an administrator of a tenant as the settings say: the same, but once.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when all names are taken; failures of the store.
    pub async fn bootstrap_admin(
        &self,
        tenant: &TenantName,
        subject: &str,
        name: &str,
    ) -> Result<Bootstrapped, Refusal> {
        if self.tenant(tenant).await?.is_none() {
            return Ok(Bootstrapped::NoTenant);
        }
        let access = self.store.access();
        for name in names(name) {
            let put = self.assignment(tenant, subject, &name, BOOTSTRAPPED)?;
            match access.bootstrap(subject, put).await? {
                BootstrapOutcome::Made => {
                    self.wake.notify_one();
                    return Ok(Bootstrapped::Made(name));
                }
                BootstrapOutcome::Before => return Ok(Bootstrapped::Before),
                // An operator made this one. It is what the setting asks for, and once deleted it stays away as well.
                BootstrapOutcome::Taken if self.makes_admin(tenant, subject, &name).await? => {
                    access.mark_bootstrapped(tenant.as_str(), subject).await?;
                    return Ok(Bootstrapped::Before);
                }
                BootstrapOutcome::Taken => {}
            }
        }
        Err(all_taken(tenant, name))
    }

    /// Whether the assignment of a name is there and makes the subject an administrator.
    async fn makes_admin(&self, tenant: &TenantName, subject: &str, name: &str) -> Result<bool, Refusal> {
        let row = self.store.get(&key(tenant, name)).await?;
        Ok(row.is_some_and(|row| !row.is_deleting() && grants(&row.spec, subject)))
    }

    fn assignment(&self, tenant: &TenantName, subject: &str, name: &str, description: &str) -> Result<Put, Refusal> {
        let spec = RoleAssignmentSpec {
            subs: vec![subject.to_owned()],
            scopes: vec![whole_tenant()],
            roles: vec![ADMIN.to_owned()],
        };
        let spec = serde_json::to_string(&spec).map_err(|error| Refusal::Internal(error.to_string()))?;
        let annotations = Some(json!({ "description": description }).to_string());
        Ok(Put { annotations, ..Put::create(key(tenant, name), self.ids.uid(), spec, self.clock.now()) })
    }
}

/// Its own tenant, all of it.
fn whole_tenant() -> RoleAssignmentScope {
    RoleAssignmentScope::default()
}

fn key(tenant: &TenantName, name: &str) -> ResourceKey {
    kinds::role_assignment::key(tenant.as_str(), name)
}

/// A name, then the same with -2, -3 and so on.
fn names(name: &str) -> impl Iterator<Item = String> {
    (1..=NAMES).map(move |at| if at == 1 { name.to_owned() } else { format!("{name}-{at}") })
}

/// Whether a specification makes a subject, by its own name, an administrator of the assignment's whole tenant.
fn grants(spec: &str, subject: &str) -> bool {
    serde_json::from_str::<RoleAssignmentSpec>(spec).is_ok_and(|spec| {
        spec.subs.iter().any(|sub| sub == subject)
            && spec.roles.iter().any(|role| role == ADMIN)
            && spec.scopes.contains(&whole_tenant())
    })
}

/// The assignment of one of the names that makes the subject an administrator.
fn standing(snapshot: &AuthorizationSnapshot, name: &str, subject: &str) -> Option<String> {
    let own = snapshot.assignments.iter().filter(|found| found.tenant == snapshot.tenant.name);
    let mut named = own.filter(|found| found.name.starts_with(name) && names(name).any(|name| name == found.name));
    named.find(|found| grants(&found.spec, subject)).map(|found| found.name.clone())
}

fn all_taken(tenant: &TenantName, name: &str) -> Refusal {
    Refusal::Conflict(format!(
        "the role assignments {name} to {name}-{NAMES} of tenant {tenant} are all taken by something else; delete one of \
         them"
    ))
}
