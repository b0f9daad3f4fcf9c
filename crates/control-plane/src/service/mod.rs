//! What handlers call: reading and writing resources, in terms of no transport.
//!
//! A write is parsed, checked, resolved and authorized here (all violations at once), stored in one
//! transaction, and the engine is woken. No provider is ever called.
#![allow(clippy::result_large_err, reason = "a refusal ends a request, it is in no hot path")]

mod access;
mod administration;
mod administrators;
mod admit;
mod attach;
mod bindings;
mod draft;
mod orphans;
mod patient;
mod read;
mod render;
mod texts;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use seca_api::{Kind, ResourceKey, Timestamp, violation::Violation};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use crate::kinds::internet_gateway::NatServer;
pub use access::Enforcement;
pub(crate) use access::{Authorization, Decisions};
pub use administration::{ActivityView, Administration, DenyRequest, ExplainView, Registered, TenantView};
pub use administrators::{Bootstrapped, MadeAdmin};
pub use bindings::{BindRequest, BindingView, Bindings, EndpointPolicy, WorkspaceView, seal_context};
pub use orphans::{OrderView, OrphanRef, OrphanView};
pub use read::{ListRequest, ListView};
pub use write::{PutRequest, PutView};

use self::texts::Texts;
use crate::{
    catalog::{Catalog, CatalogCache},
    engine::Vitals,
    ports::{Clock, Edition, Ids, Provider, ProviderRules, Store, StoreError},
    resource::Uid,
    watch::{Transition, Watchers},
};

/// Who asks, as authentication found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The subject.
    pub subject: String,
    /// What the credential itself confines the caller to. It only narrows: what is allowed is up to roles.
    pub within: Within,
    /// The id of the credential (`jti`), by which it alone can be revoked.
    pub token_id: Option<String>,
    /// When the credential ends; from then on it proves nothing.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// A caller whose credential confines to nothing, has no id and does not end.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), within: Within::default(), token_id: None, expires_at: None }
    }
}

/// The places that a credential is good for, by name. A dimension that is absent is not confined; an empty one
/// leaves nothing. Confined to regions or workspaces, it is good for no roles and role assignments, which decide
/// about all places ([`crate::rbac`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// The tenants.
    pub tenants: Option<BTreeSet<String>>,
    /// The regions. What is in no region is not confined by them.
    pub regions: Option<BTreeSet<String>>,
    /// The workspaces. What is in no workspace is not confined by them, but a workspace itself is.
    pub workspaces: Option<BTreeSet<String>>,
}

/// What is asked for, in the terms of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// `get`, `list`, `put`, `delete`, `post`.
    pub verb: &'static str,
    /// The resource; of a collection, with an empty name.
    pub key: &'a ResourceKey,
}

/// How references to what does not exist are judged in the three fields where it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReferencePolicy {
    /// Refused.
    #[default]
    Strict,
    /// Accepted; the message names what is missing.
    Late,
}

/// A tenant's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Whether errors are reported as the conformance tool expects (412 for violations and conflicts).
    pub conformance: bool,
    /// Its reference policy.
    pub references: ReferencePolicy,
}

/// The tenants of this installation, by name.
pub type Tenants = BTreeMap<String, Tenant>;

/// Why a request is refused: one enum for all transports. The message names the thing, the rule and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not of a form that could be judged.
    #[error("{0}")]
    Malformed(String),
    /// A parameter of the request is not of a form that could be judged.
    #[error("{}", .0.rule)]
    Parameter(Violation),
    /// The caller may not.
    #[error("{subject} may not {verb} {resource}; ask an administrator of the tenant for a role that allows it")]
    Forbidden {
        /// Who.
        subject: String,
        /// What.
        verb: &'static str,
        /// On what.
        resource: String,
    },
    /// The credential was revoked.
    #[error("the bearer token has been revoked; ask for a new one")]
    Revoked,
    /// The caller would hand out what they do not have.
    #[error(
        "{subject} may not write this {kind}, because it hands out what {subject} does not have: {missing}; leave that \
         out, or ask an administrator of the tenant"
    )]
    CannotGrant {
        /// Who.
        subject: String,
        /// A role or a role assignment.
        kind: Kind,
        /// The first right that is missing.
        missing: String,
    },
    /// The caller would make a role under a name that role assignments bear already, without the right to grant it to
    /// those whom they name.
    #[error(
        "{subject} may not make a role named {role}, because {assignments} role assignment(s) of the tenant bear that \
         name already and who makes it grants it to them: {missing} is missing; choose another name, or ask an \
         administrator of the tenant"
    )]
    NameIsAssigned {
        /// Who.
        subject: String,
        /// The name.
        role: String,
        /// How many assignments bear it.
        assignments: usize,
        /// The first right that is missing.
        missing: String,
    },
    /// Nobody may: it is the same in every tenant.
    #[error("{0} {rule}; choose another name", rule = crate::kinds::catalog::describe(.0.kind))]
    SystemRole(ResourceKey),
    /// There is no such resource.
    #[error("{} does not exist{}", .0, in_region(.0))]
    NotFound(ResourceKey),
    /// A PUT into a parent that does not exist.
    #[error("{} does not exist{}; create it first", .0, in_region(.0))]
    MissingParent(ResourceKey),
    /// The document breaks rules: all of them are listed.
    #[error("the {kind} breaks {} rule(s): {}", .violations.len(), .violations.first().map_or("", |v| v.rule.as_str()))]
    Violations {
        /// The kind.
        kind: Kind,
        /// The violations, at least one.
        violations: Vec<Violation>,
    },
    /// The state of this or another resource does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The client insisted on a version that is not the current one.
    #[error("{key} is at version {current}, not {expected}; read it again and repeat the change on what you find")]
    Stale {
        /// The resource.
        key: ResourceKey,
        /// The version that the client insisted on.
        expected: i64,
        /// The version that it has.
        current: i64,
    },
    /// The provider could not be asked, in the one handler that does ask it.
    #[error("{0}")]
    Provider(String),
    /// The store failed.
    #[error("the request could not be served")]
    Store(#[from] StoreError),
    /// A defect of ours.
    #[error("the request could not be served: {0}")]
    Internal(String),
}

/// Where it was looked for: the same name may be in another region, and its reference does not tell.
fn in_region(key: &ResourceKey) -> String {
    if key.region.is_empty() { String::new() } else { format!(" in region {}", crate::kinds::clip(&key.region)) }
}

/// A resource as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The JSON document.
    pub body: String,
    /// `<resource_version>.<revision>`, the content of its ETag; none for the catalogue.
    pub tag: Option<String>,
    /// Where it is on its way to another state, as a GET found it; none for what a GET need not wait for.
    pub transition: Option<Transition>,
}

/// A request's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The base URL under which the client reached us, without a trailing slash; regions advertise it.
    pub base_url: &'a str,
}

/// The control plane, as handlers see it.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: CatalogCache,
    /// The texts of rows, as lists show them.
    pub(crate) row_texts: Arc<Texts<Uid>>,
    /// The texts of rows that are on their way to no other state, as they are shown by themselves, but for what is counted.
    pub(crate) settled_texts: Arc<Texts<ResourceKey, Edition>>,
    /// Those of entries of the catalogue.
    pub(crate) entry_texts: Arc<Texts<String>>,
    pub(crate) rules: Arc<dyn ProviderRules>,
    pub(crate) access: Arc<Authorization>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) wake: Arc<Notify>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) vitals: Option<Arc<Vitals>>,
}

/// What a control plane is made of.
pub struct Parts {
    /// Storage.
    pub store: Arc<dyn Store>,
    /// The catalogue, kept current by the engine.
    pub catalog: CatalogCache,
    /// What the provider takes.
    pub rules: Arc<dyn ProviderRules>,
    /// Whether roles decide what callers may do.
    pub enforcement: Enforcement,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub ids: Ids,
    /// Wakes the engine of this process.
    pub wake: Arc<Notify>,
}

impl ControlPlane {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            access: Arc::new(Authorization::new(Arc::clone(&parts.store), parts.enforcement)),
            store: parts.store,
            catalog: parts.catalog,
            row_texts: Arc::default(),
            settled_texts: Arc::default(),
            entry_texts: Arc::default(),
            rules: parts.rules,
            clock: parts.clock,
            ids: parts.ids,
            wake: parts.wake,
            watchers: Arc::default(),
            vitals: None,
        }
    }

    /// The same, whose readiness asks the engine of this process too.
    #[must_use]
    pub fn reporting(self, vitals: Arc<Vitals>) -> Self {
        Self { vitals: Some(vitals), ..self }
    }

    /// Why the engine of this process cannot work, if it could not for a while.
    pub fn stalled(&self) -> Option<String> {
        self.vitals.as_ref()?.stalled()
    }

    /// Whether there is a later catalogue than this version, taken in if another replica stored it. The engine of
    /// this process may have done that by now, so what counts is the version that was judged by.
    async fn follow_catalog(&self, judged_by: i64) -> Result<bool, StoreError> {
        let known = self.catalog.load();
        if self.store.catalog_version().await? <= known.version {
            return Ok(known.version > judged_by);
        }
        let (version, entries) = self.store.catalog().await?;
        let default_region = known.regions().first().cloned().unwrap_or_default();
        self.catalog.store(Catalog::new(version, entries, &default_region));
        Ok(true)
    }

    /// The provider.
    pub fn provider(&self) -> &'static Provider {
        self.rules.provider()
    }

    /// The catalogue.
    pub fn catalog(&self) -> &CatalogCache {
        &self.catalog
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

#[cfg(test)]
mod tests;
