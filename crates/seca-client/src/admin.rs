//! The admin API: bindings of workspaces to provider projects, and administrators of tenants.

use reqwest::Method;
use seca_api::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    error::Error,
    http::{Call, Http, client_for, join, parse_base},
};

/// A client of the admin listener.
#[derive(Clone, Debug)]
pub struct AdminClient {
    http: Http,
    base: Url,
}

/// Whether a workspace is bound to a provider project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingState {
    /// It was never bound.
    None,
    /// It is bound.
    Bound,
    /// It was bound; its token was removed on purpose.
    Unbound,
}

impl BindingState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bound => "bound",
            Self::Unbound => "unbound",
        }
    }
}

/// A workspace as the admin API lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceEntry {
    /// The tenant.
    pub tenant: String,
    /// The region.
    pub region: String,
    /// The name.
    pub name: String,
    /// The state's word.
    pub state: String,
    /// Whether it is bound.
    pub binding: BindingState,
}

/// What to bind a workspace to.
#[derive(Clone, Debug)]
pub struct BindingRequest {
    /// The provider's token. It must be able to write.
    pub api_token: SecretString,
    /// The provider's endpoint, where it is not the server's own choice.
    pub api_endpoint: Option<String>,
    /// A note of which project it is.
    pub project_ref: Option<String>,
}

impl BindingRequest {
    /// A binding that leaves the endpoint to the server.
    pub const fn new(api_token: SecretString) -> Self {
        Self { api_token, api_endpoint: None, project_ref: None }
    }
}

/// A binding as the admin API shows it: never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// `hetzner`.
    pub provider: String,
    /// The note of which project it is.
    #[serde(default)]
    pub project_ref: Option<String>,
    /// The endpoint in use.
    #[serde(default)]
    pub api_endpoint: Option<String>,
    /// Whether there is a token.
    #[serde(default)]
    pub has_token: bool,
}

/// An administrator of a tenant, as the admin API shows one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Administrator {
    /// The tenant.
    pub tenant: String,
    /// The subject of the administrator's tokens.
    pub subject: String,
    /// The name of the role assignment that makes it one.
    pub role_assignment: String,
}

/// An object in a provider project that this installation made and no resource claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The project, by this installation's id.
    #[serde(default)]
    pub project: Option<String>,
    /// The provider's word for its type: `server`.
    #[serde(rename = "type")]
    pub object_type: String,
    /// The provider's id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The `uid` that its label bears; none when it is unreadable.
    #[serde(default)]
    pub uid: Option<String>,
    /// When the provider made it.
    #[serde(default)]
    pub created: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BindingBody<'a> {
    api_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_ref: Option<&'a str>,
}

impl AdminClient {
    /// A client for an admin listener, `http://127.0.0.1:8081`. It does not call anything yet.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Setup`].
    pub fn new(base_url: &str, token: SecretString) -> Result<Self, Error> {
        let client = client_for(&parse_base(base_url)?)?;
        Self::with_client(client, base_url, token)
    }

    /// The same over a client of the caller's. It should not follow redirects.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn with_client(client: reqwest::Client, base_url: &str, token: SecretString) -> Result<Self, Error> {
        Ok(Self { http: Http::new(client, Some(token)), base: parse_base(base_url)? })
    }

    /// The workspaces of all tenants; those of one binding state, if one is named.
    ///
    /// # Errors
    /// No answer, or a token that does not count.
    pub async fn list_workspaces(&self, binding: Option<BindingState>) -> Result<Vec<WorkspaceEntry>, Error> {
        let mut url = join(&self.base, ["admin", "v1", "workspaces"])?;
        url.query_pairs_mut().append_pair("binding", binding.map_or("all", BindingState::as_str));
        self.items(url).await
    }

    /// Binds a workspace. Without a region, the server's default one is meant.
    ///
    /// # Errors
    /// [`Error::problem`] says why the token or the endpoint is refused.
    pub async fn put_binding(
        &self,
        tenant: &str,
        workspace: &str,
        region: Option<&str>,
        request: &BindingRequest,
    ) -> Result<(), Error> {
        let url = self.binding_url(tenant, workspace, region)?;
        let body = serde_json::to_vec(&BindingBody {
            api_token: request.api_token.expose_secret(),
            api_endpoint: request.api_endpoint.as_deref(),
            project_ref: request.project_ref.as_deref(),
        })
        .map_err(|source| Error::Decode { call: format!("PUT {}", url.path()), source })?;
        self.http.send(Call::new(Method::PUT, url).body(body)).await.map(|_| ())
    }

    /// The binding of a workspace, if it has one.
    ///
    /// # Errors
    /// No answer, or a token that does not count.
    pub async fn get_binding(
        &self,
        tenant: &str,
        workspace: &str,
        region: Option<&str>,
    ) -> Result<Option<Binding>, Error> {
        let url = self.binding_url(tenant, workspace, region)?;
        match self.http.send(Call::new(Method::GET, url)).await {
            Ok(answer) => answer.read().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a binding. False says that there was none. `force` removes it although objects of the workspace may
    /// still exist at the provider.
    ///
    /// # Errors
    /// A conflict: objects may still exist.
    pub async fn delete_binding(
        &self,
        tenant: &str,
        workspace: &str,
        region: Option<&str>,
        force: bool,
    ) -> Result<bool, Error> {
        let mut url = self.binding_url(tenant, workspace, region)?;
        if force {
            url.query_pairs_mut().append_pair("force", "true");
        }
        match self.http.send(Call::new(Method::DELETE, url)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a subject an administrator of a tenant. Done again, it changes nothing while the role assignment is there.
    ///
    /// # Errors
    /// There is no such tenant; [`Error::problem`] says what is wrong with a subject.
    pub async fn make_admin(&self, tenant: &str, subject: &str) -> Result<Administrator, Error> {
        let url = join(&self.base, ["admin", "v1", "tenants", tenant, "admins", subject])?;
        self.http.send(Call::new(Method::PUT, url)).await?.read()
    }

    /// What the last sweeps found that no resource claims.
    ///
    /// # Errors
    /// No answer, or a token that does not count.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, Error> {
        self.items(join(&self.base, ["admin", "v1", "orphans"])?).await
    }

    async fn items<T: DeserializeOwned>(&self, url: Url) -> Result<Vec<T>, Error> {
        let items: Items<T> = self.http.send(Call::new(Method::GET, url)).await?.read()?;
        Ok(items.items)
    }

    fn binding_url(&self, tenant: &str, workspace: &str, region: Option<&str>) -> Result<Url, Error> {
        let path = ["admin", "v1", "tenants", tenant, "workspaces", workspace, "providers", "hetzner"];
        let mut url = join(&self.base, path)?;
        if let Some(region) = region {
            url.query_pairs_mut().append_pair("region", region);
        }
        Ok(url)
    }
}
