//! What the provisioner needs of the admin API, as a trait, so that its loop is tested without a server.

use std::{fmt, future::Future};

use http_support::error_chain;
use seca_client::{
    AdminClient,
    admin::{BindingRequest, BindingState},
};

use crate::{settings::Settings, tokens::Credential};

/// A workspace that was never bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unbound {
    /// The tenant.
    pub tenant: String,
    /// The region.
    pub region: String,
    /// The name.
    pub workspace: String,
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} in {}", self.tenant, self.workspace, self.region)
    }
}

/// Why a call of the admin API did not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The workspace is gone.
    #[error("the workspace is gone")]
    Gone,
    /// Anything else, in the server's words.
    #[error("{0}")]
    Failed(String),
}

/// The admin API, as far as the provisioner uses it.
pub trait Admin: Send + Sync {
    /// The workspaces that were never bound; one whose token was removed on purpose is not among them.
    fn unbound(&self) -> impl Future<Output = Result<Vec<Unbound>, AdminError>> + Send;

    /// Binds a workspace to the project of a credential.
    fn bind(
        &self,
        workspace: &Unbound,
        credential: Credential,
        settings: &Settings,
    ) -> impl Future<Output = Result<(), AdminError>> + Send;
}

impl Admin for AdminClient {
    async fn unbound(&self) -> Result<Vec<Unbound>, AdminError> {
        let listed = self.list_workspaces(Some(BindingState::None)).await.map_err(|error| failed(&error))?;
        // An older server may not know the filter.
        let unbound = listed.into_iter().filter(|entry| entry.binding == BindingState::None);
        Ok(unbound.map(|e| Unbound { tenant: e.tenant, region: e.region, workspace: e.name }).collect())
    }

    async fn bind(&self, workspace: &Unbound, credential: Credential, settings: &Settings) -> Result<(), AdminError> {
        let request = BindingRequest {
            api_token: credential.token,
            api_endpoint: settings.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            project_ref: credential.project_ref.or_else(|| settings.project_ref.clone()),
        };
        let bound = self.put_binding(&workspace.tenant, &workspace.workspace, Some(&workspace.region), &request).await;
        bound.map_err(|error| if error.is_not_found() { AdminError::Gone } else { failed(&error) })
    }
}

fn failed(error: &dyn std::error::Error) -> AdminError {
    AdminError::Failed(error_chain(error))
}
