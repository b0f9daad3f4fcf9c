//! Bindings: which provider project stands behind a workspace. For the admin API.

use std::{collections::BTreeSet, hint::black_box, sync::Arc};

use http_support::is_loopback;
use seca_api::ResourceKey;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::{Refusal, read::is_possible};
use crate::{
    ports::{
        Access, BindError, BindOutcome, Binding, Credential, Ids, OwnedObject, ProjectFinder, Provider, SealContext,
        Store, UnbindOutcome, Vault, WorkspaceBinding,
    },
    resource::{ProjectId, Resource},
};

/// Which provider endpoints a binding may name: a token is never sent anywhere else.
#[derive(Clone, Debug)]
pub struct EndpointPolicy {
    /// The provider; its own endpoint may always be named.
    pub provider: &'static Provider,
    /// The environment's, used when a binding names none.
    pub default: Url,
    /// Others that may be named. Loopback may always.
    pub allowed: Vec<Url>,
}

impl EndpointPolicy {
    /// The endpoint that a binding asks for, if it may.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it may not be named.
    pub fn choose(&self, asked: Option<&str>) -> Result<Url, Refusal> {
        let Some(text) = asked else { return Ok(self.default.clone()) };
        let refused = |why: &str| {
            Refusal::Malformed(format!(
                "apiEndpoint {why}; leave it out, or use {}, {} or a loopback address",
                self.provider.endpoint,
                without_slash(&self.default)
            ))
        };
        let url = Url::parse(text).map_err(|error| refused(&format!("is not a URL ({error})")))?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && matches!(url.scheme(), "http" | "https");
        if !is_plain {
            return Err(refused("must be a plain http or https URL without a user, a query and a fragment"));
        }
        let plain = without_slash(&url);
        let is_listed = plain == self.provider.endpoint
            || std::iter::once(&self.default).chain(&self.allowed).any(|allowed| without_slash(allowed) == plain);
        if is_listed || is_loopback(&url) {
            Url::parse(&plain).map_err(|error| refused(&format!("is not a URL ({error})")))
        } else {
            Err(refused("is not on the list of endpoints that tokens may be sent to"))
        }
    }
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A token that no header can carry is a mistake of copying, and is named as one.
fn check_token(token: &SecretString) -> Result<(), Refusal> {
    let text = token.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Malformed(
            "apiToken must be a text of visible ASCII characters without blanks; copy the token again".to_owned(),
        ));
    }
    Ok(())
}

fn refused_token(error: BindError) -> Refusal {
    match error {
        BindError::Rejected | BindError::ReadOnly => Refusal::Malformed(error.to_string()),
        BindError::Unavailable(_) => Refusal::Provider(error.to_string()),
    }
}

/// Whether two tokens are one, in a time that tells nothing of either.
fn is_equal(one: &SecretString, other: &SecretString) -> bool {
    let [one, other] = [one, other].map(|token| token.expose_secret().as_bytes());
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| differs | black_box(a ^ b));
    one.len() == other.len() && differs == 0
}

/// What the token of a workspace is sealed for; the engine opens it for the same.
pub fn seal_context(workspace: &ResourceKey, provider: &Provider) -> SealContext {
    SealContext {
        tenant: workspace.tenant.clone(),
        region: workspace.region.clone(),
        workspace: workspace.name.clone(),
        provider: provider.id.to_owned(),
    }
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BindingView {
    /// The provider's id.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
        let chosen = request.endpoint.as_deref().filter(|text| !text.is_empty());
        let endpoint = self.endpoints.choose(chosen)?;
        check_token(&request.token)?;
        let row = self.workspace(workspace).await?;
        // What is left to delete in a project needs a token of it, a new one if the former died.
        if row.is_deleting() && row.project.is_local() {
            return Err(Refusal::Conflict(format!("{workspace} is being deleted; bind another workspace")));
        }
        let installation = self.store.installation().await?;
        let project = self.project_behind(&request.token, &endpoint, &installation).await?;
        if row.is_deleting() && row.project != project {
            return Err(Refusal::Conflict(format!(
                "{workspace} is being deleted, and this token opens another project than {}, where its resources are; \
                 bind a token of that project",
                row.project
            )));
        }
        let sealed = self
            .vault
            .seal(&request.token, &seal_context(workspace, self.endpoints.provider))
            .map_err(|error| Refusal::Internal(error.to_string()))?;
        let credential = Credential {
            workspace: workspace.clone(),
            workspace_uid: row.uid,
            project,
            sealed,
            endpoint: chosen.map(|_| without_slash(&endpoint)),
            project_ref: request.project_ref.filter(|text| !text.is_empty()),
            retired: false,
        };
        match self.store.bind(credential).await? {
            BindOutcome::Done => {
                self.wake.notify_one();
                Ok(())
            }
            BindOutcome::NotFound => Err(Refusal::NotFound(workspace.clone())),
            BindOutcome::OtherProject(other) => Err(Refusal::Conflict(format!(
                "{workspace} has resources in project {other}, and this token opens another project, where they are not; \
                 bind a token of project {other}, or delete the resources first"
            ))),
            BindOutcome::Abandoned(count) => Err(Refusal::Conflict(format!(
                "the project of this token was declared gone, and {count} resource(s) of it have not left yet; bind \
                 {workspace} again when they have"
            ))),
        }
    }

    /// The project that a token opens, with a marker that says so from now on. Where the marker names none, the project
    /// is known by the objects of this installation in it, and by its token; a project without either is a new one.
    async fn project_behind(
        &self,
        token: &SecretString,
        endpoint: &Url,
        installation: &str,
    ) -> Result<ProjectId, Refusal> {
        let candidate = ProjectId(self.ids.uid().to_string());
        let access = Access { project: candidate.clone(), endpoint: endpoint.clone(), token: token.clone() };
        let found = self.finder.find(&access, installation).await.map_err(refused_token)?;
        let project = match found.project() {
            Some(project) => project.clone(),
            None => {
                let mut known: BTreeSet<ProjectId> = self.store.project_of(&found.uids).await?.into_iter().collect();
                known.extend(self.projects_of_token(token, endpoint).await?);
                if known.len() > 1 {
                    let names: Vec<&str> = known.iter().map(|project| project.0.as_str()).collect();
                    return Err(Refusal::Conflict(format!(
                        "the project that this token opens has no marker, and objects of the projects {} are in it; \
                         delete those of all but one at {}, or take their label {} away, and bind again",
                        names.join(" and "),
                        self.endpoints.provider.name,
                        "seca.installation"
                    )));
                }
                known.pop_first().unwrap_or(candidate)
            }
        };
        self.finder.mark(&access, installation, &project, &found).await.map_err(refused_token)
    }

    /// The projects that this very token was bound to.
    async fn projects_of_token(&self, token: &SecretString, endpoint: &Url) -> Result<Vec<ProjectId>, Refusal> {
        let plain = without_slash(endpoint);
        let here = without_slash(&self.endpoints.default);
        let is_same = |credential: &Credential| {
            // A token that cannot be opened any more tells nothing.
            let opened =
                self.vault.open(&credential.sealed, &seal_context(&credential.workspace, self.endpoints.provider));
            credential.endpoint.as_deref().unwrap_or(&here) == plain
                && opened.is_ok_and(|opened| is_equal(&opened, token))
        };
        let credentials = self.store.credentials().await?;
        Ok(credentials.into_iter().filter(is_same).map(|credential| credential.project).collect())
    }

    /// The binding of a workspace; none when the workspace exists and is not bound.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such workspace.
    pub async fn find(&self, workspace: &ResourceKey) -> Result<Option<BindingView>, Refusal> {
        let bound = if is_possible(workspace) { self.store.credential(workspace).await? } else { None };
        let Some(credential) = bound else { return self.workspace(workspace).await.map(|_| None) };
        Ok(Some(BindingView {
            provider: self.endpoints.provider.id,
            project_ref: credential.project_ref,
            api_endpoint: credential.endpoint.unwrap_or_else(|| without_slash(&self.endpoints.default)),
            has_token: true,
            project: credential.project.0,
        }))
    }

    /// The binding of a workspace.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is not bound.
    pub async fn get(&self, workspace: &ResourceKey) -> Result<BindingView, Refusal> {
        self.find(workspace).await?.ok_or_else(|| Refusal::NotFound(workspace.clone()))
    }

    /// Removes a binding; false when the workspace exists and is not bound.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such workspace, [`Refusal::Conflict`] while provider objects may exist, of a
    /// workspace that is gone too, and `force` is not set.
    pub async fn unbind(&self, workspace: &ResourceKey, force: bool) -> Result<bool, Refusal> {
        if !is_possible(workspace) {
            return Err(Refusal::NotFound(workspace.clone()));
        }
        match self.store.unbind(workspace, force).await? {
            UnbindOutcome::Done => {
                self.wake.notify_one();
                Ok(true)
            }
            UnbindOutcome::NotFound => self.workspace(workspace).await.map(|_| false),
            UnbindOutcome::InUse(count) => Err(Refusal::Conflict(format!(
                "{workspace} has {count} resource(s) that may exist at the provider and would be out of reach without the \
                 token; delete them first, or insist with force=true"
            ))),
            UnbindOutcome::Retired { project, count, first } => {
                let mut names = first.iter().map(ResourceKey::to_string).collect::<Vec<_>>().join(", ");
                let more = count - i64::try_from(first.len()).unwrap_or(i64::MAX);
                if more > 0 {
                    names.push_str(&format!(" and {more} more"));
                }
                Err(Refusal::Conflict(format!(
                    "{workspace} is gone, and its token is kept because {count} resource(s) of the tenant in project \
                     {project} need it: {names}; delete them first, or insist with force=true, and they stay as they are \
                     until a token of that project is bound to a workspace of the tenant"
                )))
            }
        }
    }

    /// The workspaces, all or those of one binding.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn workspaces(&self, binding: Option<Binding>) -> Result<Vec<WorkspaceView>, Refusal> {
        let found = self.store.workspaces(binding).await?;
        let view = |WorkspaceBinding { workspace, binding }: WorkspaceBinding| WorkspaceView {
            state: workspace.state.as_str(),
            tenant: workspace.key.tenant,
            region: workspace.key.region,
            name: workspace.key.name,
            binding,
        };
        Ok(found.into_iter().map(view).collect())
    }

    async fn workspace(&self, key: &ResourceKey) -> Result<Resource, Refusal> {
        let row = if is_possible(key) { self.store.get(key).await? } else { None };
        row.ok_or_else(|| Refusal::NotFound(key.clone()))
    }

    /// What the sweeps found that no row claims.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn orphans(&self) -> Result<Vec<(ProjectId, OwnedObject)>, Refusal> {
        Ok(self.store.orphans().await?)
    }
}
