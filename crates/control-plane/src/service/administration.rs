//! What operators do beyond bindings: tenants, revoked tokens, who may do what and why, what was done, how the
//! projects fare. For the admin API and for what the process does at its start.
//!
//! Names come in as types ([`TenantName`]), so nothing is stored that no path could name. What is not there is none,
//! not a refusal: only the transport knows how the thing is called in a sentence.

use std::{collections::BTreeMap, sync::Arc};

use seca_api::{ResourceKey, TenantName, Timestamp, names::is_name};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use super::{Ask, Caller, ReferencePolicy, Refusal, Tenant, Tenants, access};
use crate::{
    kinds::{self, Grant, grant, internet_gateway::NatServer},
    ports::{
        Abandoned, Activity, ActivityQuery, ActivityRecord, Clock, DeniedToken, Ids, PausedWorkspace, ProjectEpoch,
        ProjectOverview, Store, TenantChange, TenantRecord,
    },
    rbac::system_role,
    resource::ProjectId,
};

/// The service behind the admin API's reports and switches.
#[derive(Clone)]
pub struct Administration {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Ids,
    pub(super) wake: Arc<Notify>,
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// There is a tenant more.
    Created(TenantRecord),
    /// There was one of this name already, as it is here; nothing changed.
    Existing(TenantRecord),
}

/// A token to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyRequest {
    /// Its id (`jti`).
    pub id: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// A tenant as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether its errors are those that the conformance tool expects.
    pub conformance: bool,
    /// How references to what does not exist are judged.
    pub references: ReferencePolicy,
    /// What changes with every change of who may do what in it.
    pub authorization_version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl From<&TenantRecord> for TenantView {
    fn from(record: &TenantRecord) -> Self {
        Self {
            name: record.name.clone(),
            suspended: record.suspended,
            conformance: record.settings.conformance,
            references: record.settings.references,
            authorization_version: record.version,
            created_at: record.created_at,
        }
    }
}

/// Why a subject may or may not do something, in a tenant as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExplainView {
    /// Whether it would be allowed now, for a credential that confines to nothing.
    pub allowed: bool,
    /// The same in a sentence.
    pub because: String,
    /// `active`, `suspended` or `unknown`; none for what is in no tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'static str>,
    // It is a `crate::rbac::Explanation`.
    /// Every assignment that names the subject, and what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub roles: Option<Value>,
    /// Stored roles and assignments that cannot be read, and so grant nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl Administration {
    /// Puts the parts together.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, ids: Ids, wake: Arc<Notify>) -> Self {
        Self { store, clock, ids, wake }
    }

    // -- tenants ----------------------------------------------------------------------------------------------

    /// All tenants, by name.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn tenants(&self) -> Result<Vec<TenantRecord>, Refusal> {
        Ok(self.store.access().tenants().await?)
    }

    /// One tenant.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn tenant(&self, name: &TenantName) -> Result<Option<TenantRecord>, Refusal> {
        Ok(self.store.access().tenant(name.as_str()).await?)
    }

    /// Registers a tenant.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] for a name that stands for the catalogue; failures of the store.
    pub async fn create_tenant(&self, name: &TenantName, settings: &Tenant) -> Result<Registered, Refusal> {
        if kinds::is_catalog_tenant(name.as_str()) {
            let rule = format!("tenant {name} stands for the catalogue, which everybody may read; choose another name");
            return Err(Refusal::Conflict(rule));
        }
        let access = self.store.access();
        let created = access.create_tenant(name.as_str(), settings).await?;
        let record = access.tenant(name.as_str()).await?;
        let record = record.ok_or_else(|| Refusal::Internal(format!("tenant {name} was made and is not there")))?;
        Ok(if created { Registered::Created(record) } else { Registered::Existing(record) })
    }

    /// Changes a tenant; none when there is no such tenant.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn change_tenant(
        &self,
        name: &TenantName,
        change: &TenantChange,
    ) -> Result<Option<TenantRecord>, Refusal> {
        Ok(self.store.access().change_tenant(name.as_str(), change).await?)
    }

    // -- revoked tokens ---------------------------------------------------------------------------------------

    /// All revoked tokens, by id.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn denied_tokens(&self) -> Result<Vec<DeniedToken>, Refusal> {
        Ok(self.store.access().denied_tokens().await?)
    }

    /// Revokes a token until it ends by itself; the entry as it is now.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] for a token that ended already; failures of the store.
    pub async fn deny_token(&self, request: DenyRequest, by: &str) -> Result<DeniedToken, Refusal> {
        let now = self.clock.now();
        let DenyRequest { id, expires_at, reason } = request;
        if expires_at <= now {
            return Err(Refusal::Conflict(format!(
                "a token that ended at {expires_at} opens nothing any more (it is {now}); send the time until which this \
                 one holds as expiresAt"
            )));
        }
        let token = DeniedToken { id, expires_at, denied_at: now, denied_by: by.to_owned(), reason };
        self.store.access().deny_token(&token).await?;
        let kept = self.store.access().denied_tokens().await?.into_iter().find(|kept| kept.id == token.id);
        Ok(kept.unwrap_or(token))
    }

    /// Takes that back; false when it was not revoked.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn allow_token(&self, id: &str) -> Result<bool, Refusal> {
        Ok(self.store.access().allow_token(id).await?)
    }

    // -- decisions --------------------------------------------------------------------------------------------

    /// Why a subject may or may not do something. `verb` is `get`, `list`, `put`, `delete` or `post`; of a
    /// collection, the key has an empty name.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn explain(&self, subject: &str, verb: &'static str, key: &ResourceKey) -> Result<ExplainView, Refusal> {
        let plain = |allowed, because: String, tenant| ExplainView {
            allowed,
            because,
            tenant,
            roles: None,
            unreadable: Vec::new(),
        };
        let reads = matches!(verb, "get" | "list");
        if access::is_for_everybody(key) {
            let may = if reads { "everybody with a valid credential may read" } else { "nobody writes" };
            return Ok(plain(reads, format!("{key} belongs to the catalogue, which {may}"), None));
        }
        if !reads && grant(key.kind) == Some(Grant::Role) && system_role(&key.name).is_some() {
            return Ok(plain(false, format!("{key} is a role of the specification, which nobody writes"), None));
        }
        let name = key.tenant.as_str();
        // What no tenant can be called is not asked for.
        let snapshot = match TenantName::parse(name) {
            Ok(name) => self.store.access().authorization(name.as_str()).await?,
            Err(_) => None,
        };
        let Some(snapshot) = snapshot else {
            return Ok(plain(false, format!("there is no tenant `{}`", kinds::clip(name)), Some("unknown")));
        };
        let policy = access::policy(&snapshot, &[]);
        let explanation = policy.explain(&Caller::new(subject), &Ask { verb, key });
        let (granted, suspended) = (explanation.allowed, snapshot.tenant.suspended);
        let naming = explanation.assignments.len();
        let because = if suspended {
            format!("tenant {name} is suspended, so nobody may do anything in it; resume it")
        } else if granted {
            format!("a role assignment lets {subject} {verb} {key}")
        } else if naming == 0 {
            format!("no role assignment names {subject} or `*` in tenant {name}")
        } else {
            format!("{naming} role assignment(s) name {subject}, and none allows {verb} on {key}: see what each fails")
        };
        Ok(ExplainView {
            allowed: granted && !suspended,
            because,
            tenant: Some(if suspended { "suspended" } else { "active" }),
            roles: Some(serde_json::to_value(&explanation).map_err(|error| Refusal::Internal(error.to_string()))?),
            unreadable: policy.unreadable().to_vec(),
        })
    }

    // -- oversight --------------------------------------------------------------------------------------------

    /// What was done, newest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn activities(&self, query: &ActivityQuery) -> Result<Vec<ActivityRecord>, Refusal> {
        Ok(self.store.oversight().activities(query).await?)
    }

    /// How the projects fare, each with its epoch if another database rules it.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn projects(&self) -> Result<Vec<(ProjectOverview, Option<ProjectEpoch>)>, Refusal> {
        let projects = self.store.oversight().projects().await?;
        let mut paused: BTreeMap<_, _> = self.store.oversight().paused_projects().await?.into_iter().collect();
        let with_pause = |project: ProjectOverview| {
            let epoch = paused.remove(&project.project);
            (project, epoch)
        };
        Ok(projects.into_iter().map(with_pause).collect())
    }

    /// Declares a project gone for good: its rows leave without the provider, its workspaces too.
    ///
    /// # Errors
    /// Failures of the store. None when there is no such project of the provider.
    pub async fn abandon(&self, project: &ProjectId) -> Result<Option<Abandoned>, Refusal> {
        let abandoned = self.store.oversight().abandon(project, self.clock.now()).await?;
        self.wake.notify_one();
        Ok(abandoned)
    }

    /// The servers that route for internet gateways, by gateway: they cost money and no user sees them.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn nat_servers(&self) -> Result<Vec<NatServer>, Refusal> {
        let gateways = self.store.oversight().of_kind(NatServer::GATEWAY).await?;
        Ok(gateways.iter().flat_map(NatServer::of).collect())
    }

    /// The paused workspaces.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn paused(&self) -> Result<Vec<PausedWorkspace>, Refusal> {
        Ok(self.store.oversight().paused().await?)
    }

    /// Pauses a workspace: the engine leaves it and what is in it alone. Pausing it again changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn pause(&self, workspace: &ResourceKey, by: &str) -> Result<(), Refusal> {
        let paused = is_name(&workspace.name) && self.store.oversight().pause(workspace, by).await?;
        if paused { Ok(()) } else { Err(Refusal::NotFound(workspace.clone())) }
    }

    /// Ends that; work that waited is done now.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn resume(&self, workspace: &ResourceKey) -> Result<(), Refusal> {
        let resumed = is_name(&workspace.name) && self.store.oversight().resume(workspace).await?;
        self.wake.notify_one();
        if resumed { Ok(()) } else { Err(Refusal::NotFound(workspace.clone())) }
    }

    // -- at the start of a process ------------------------------------------------------------------------------

    /// Registers the tenants of the settings that are not there; of those that are, the store is right.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn ensure_tenants(&self, tenants: &Tenants) -> Result<(), Refusal> {
        Ok(self.store.access().ensure_tenants(tenants).await?)
    }
}

/// An activity as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ActivityView {
    /// Rising; `before=` takes it.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// `public` or `admin`.
    pub listener: &'static str,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// In which tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What became of it.
    pub result: String,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<ActivityRecord> for ActivityView {
    fn from(record: ActivityRecord) -> Self {
        let ActivityRecord { id, activity } = record;
        let Activity { at, listener, actor, action, target, tenant, request_id, result, detail } = activity;
        Self { id, at, listener: listener.as_str(), actor, action, target, tenant, request_id, result, detail }
    }
}
