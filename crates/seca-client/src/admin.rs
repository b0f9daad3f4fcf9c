//! The admin API: bindings of workspaces to provider projects, and administrators of tenants.

use std::collections::BTreeMap;

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
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The data that it can hold, in GB; of a server its disk.
    #[serde(default, rename = "sizeGB", skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u64>,
    /// The location in which it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The object that has it: `server 42`.
    #[serde(default, rename = "usedBy", skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// Its address, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was ordered about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrphanOrder>,
}

/// What was ordered about an orphan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanOrder {
    /// `remove` or `adopt`.
    pub action: String,
    /// The resource that is to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// `pending`, `done` or `refused`.
    pub state: String,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The resource that is to have an orphan. Its kind follows from the object's type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heir {
    /// The tenant.
    pub tenant: String,
    /// The workspace; none for an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The name.
    pub name: String,
    /// The region; none for the server's default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
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

    /// One of them, if the last sweep saw it.
    ///
    /// # Errors
    /// No answer, or a token that does not count.
    pub async fn orphan(&self, project: &str, object_type: &str, id: &str) -> Result<Option<Orphan>, Error> {
        let url = self.orphan_url(project, object_type, id)?;
        match self.http.send(Call::new(Method::GET, url)).await {
            Ok(answer) => answer.read().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Orders that an orphan is removed. The order stays until it is carried out.
    ///
    /// # Errors
    /// There is no such orphan, or a resource claims it: [`Error::problem`] says which.
    pub async fn remove_orphan(&self, project: &str, object_type: &str, id: &str) -> Result<(), Error> {
        let url = self.orphan_url(project, object_type, id)?;
        self.http.send(Call::new(Method::DELETE, url)).await.map(|_| ())
    }

    /// Orders that an orphan is given to a resource that has no object of its own.
    ///
    /// # Errors
    /// There is no such orphan or resource, or they do not fit: [`Error::problem`] says why.
    pub async fn adopt_orphan(&self, project: &str, object_type: &str, id: &str, into: &Heir) -> Result<(), Error> {
        let url = self.orphan_url(project, object_type, id)?;
        let body =
            serde_json::to_vec(into).map_err(|source| Error::Decode { call: format!("PUT {}", url.path()), source })?;
        self.http.send(Call::new(Method::PUT, url).body(body)).await.map(|_| ())
    }

    fn orphan_url(&self, project: &str, object_type: &str, id: &str) -> Result<Url, Error> {
        join(&self.base, ["admin", "v1", "orphans", project, object_type, id])
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
