//! Bindings: which provider project stands behind a workspace. For the admin API.

use std::sync::Arc;

use secrecy::SecretString;
use seca_api::ResourceKey;
use serde::Serialize;
use url::Url;

use super::Refusal;
use crate::ports::{Binding, Ids, OwnedObject, ProjectFinder, Store, Vault};
use crate::resource::ProjectId;

/// Which provider endpoints a binding may name: a token is never sent anywhere else.
#[derive(Clone, Debug)]
pub struct EndpointPolicy {
    /// The environment's, used when a binding names none.
    pub default: Url,
    /// Others that may be named. Loopback may always.
    pub allowed: Vec<Url>,
}

/// A token to bind.
#[derive(Clone, Debug)]
pub struct BindRequest {
    /// The token.
    pub token: SecretString,
    /// The endpoint, when it is not the environment's.
    pub endpoint: Option<String>,
    /// The operator's own note of which project it is.
    pub project_ref: Option<String>,
}

/// A binding as the admin API shows it. Never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingView {
    /// `hetzner`.
    pub provider: &'static str,
    /// The operator's own note of which project it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<String>,
    /// The endpoint in use.
    pub api_endpoint: String,
    /// Whether there is a token.
    pub has_token: bool,
    /// The project behind it, by this installation's id.
    pub project: String,
}

/// A workspace in the admin API's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceView {
    /// The tenant.
    pub tenant: String,
    /// The region.
    pub region: String,
    /// The name.
    pub name: String,
    /// The state.
    pub state: &'static str,
    /// Its binding.
    pub binding: Binding,
}

/// The service behind the admin API's bindings.
#[derive(Clone)]
pub struct Bindings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) finder: Arc<dyn ProjectFinder>,
    pub(crate) ids: Ids,
    pub(crate) endpoints: EndpointPolicy,
    pub(crate) wake: Arc<tokio::sync::Notify>,
}

impl Bindings {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        vault: Arc<dyn Vault>,
        finder: Arc<dyn ProjectFinder>,
        ids: Ids,
        endpoints: EndpointPolicy,
        wake: Arc<tokio::sync::Notify>,
    ) -> Self {
        Self { store, vault, finder, ids, endpoints, wake }
    }

    /// Binds a workspace.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Malformed`] (an endpoint that is not allowed, a token that is refused or
    /// read-only), [`Refusal::Conflict`] (another project), [`Refusal::Provider`].
    pub async fn bind(&self, workspace: &ResourceKey, request: BindRequest) -> Result<(), Refusal> {
        let _ = (workspace, request);
        Err(Refusal::Internal("binding is being built".to_owned()))
    }

    /// The binding of a workspace.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is not bound.
    pub async fn get(&self, workspace: &ResourceKey) -> Result<BindingView, Refusal> {
        Err(Refusal::NotFound(workspace.clone()))
    }

    /// Removes a binding.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Conflict`] while provider objects may exist and `force` is not set.
    pub async fn unbind(&self, workspace: &ResourceKey, force: bool) -> Result<(), Refusal> {
        let _ = force;
        Err(Refusal::NotFound(workspace.clone()))
    }

    /// The workspaces, all or those of one binding.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn workspaces(&self, binding: Option<Binding>) -> Result<Vec<WorkspaceView>, Refusal> {
        let _ = binding;
        Ok(Vec::new())
    }

    /// What the sweeps found that no row claims.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn orphans(&self) -> Result<Vec<(ProjectId, OwnedObject)>, Refusal> {
        Ok(self.store.orphans().await?)
    }
}
