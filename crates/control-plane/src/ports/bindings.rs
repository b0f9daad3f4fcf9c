//! Which project of the provider stands behind a workspace, and by which token.

use async_trait::async_trait;
use seca_api::ResourceKey;

use super::{BindOutcome, Binding, Credential, StoreResult, UnbindOutcome, WorkspaceBinding};
use crate::resource::{ProjectId, Uid};

/// Storage of bindings. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait BindingStore: Send + Sync {
    /// Binds a live workspace to a project: keeps the sealed token, moves the workspace and all its children
    /// (rows and queue) to the project, queues them, and makes the project's row. What has its home in the workspace and
    /// lives in the project that the workspace leaves goes along ([`Put::home`](super::Put::home)). What of the tenant lives in the project
    /// and in no workspace is queued: it may have waited for a token.
    async fn bind(&self, credential: Credential) -> StoreResult<BindOutcome>;

    /// The credential of a workspace.
    async fn credential(&self, workspace: &ResourceKey) -> StoreResult<Option<Credential>>;

    /// Removes the credential; the rows stay in their project. `force` also when resources may have provider
    /// objects (any child that ever had a step, and what of the tenant lives in the project and in no workspace, when this
    /// is the tenant's last credential there). Of a workspace that is gone, `force` removes what was retired.
    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> StoreResult<UnbindOutcome>;

    /// The credentials of a project, newest first; behind them those that are retired, newest first.
    async fn project_credentials(&self, project: &ProjectId) -> StoreResult<Vec<Credential>>;

    /// All credentials, for rotation; those that are retired behind the others.
    async fn credentials(&self) -> StoreResult<Vec<Credential>>;

    /// Replaces the sealed form, if it still is the former one.
    async fn reseal(&self, credential: &Credential, sealed: &str) -> StoreResult<bool>;

    /// Workspaces that nobody deleted, with their bindings, by key; only those of one binding if given.
    async fn workspaces(&self, binding: Option<Binding>) -> StoreResult<Vec<WorkspaceBinding>>;

    /// The projects of the provider that these identities belong to, or belonged to when a step was recorded for them; by
    /// id. A project is known by our objects in it.
    async fn project_of(&self, uids: &[Uid]) -> StoreResult<Vec<ProjectId>>;
}
