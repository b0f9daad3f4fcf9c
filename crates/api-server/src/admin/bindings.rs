//! Which provider project stands behind a workspace.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use control_plane::{
    ports::Binding,
    service::{BindRequest, BindingView, WorkspaceView},
};
use seca_api::{Kind, ProblemKind, ResourceKey, Violation, json};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    extract::{Answer, Call, Document, Items, Json, Named, NoBody, Path, Query, check_name, ok},
    openapi::Refused,
    query::{Parameters, Values},
    refused,
};
use crate::answer::Failure;

/// The provider whose tokens are bound.
const PROVIDER: &str = "hetzner";

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(get_binding, bind, unbind))
}

pub(super) fn routes_of_workspaces() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_workspaces))
}

/// The path of a workspace.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfWorkspace {
    /// The tenant's name.
    #[param(example = "acme")]
    pub(super) tenant: String,
    /// The workspace's name.
    #[param(example = "w")]
    pub(super) workspace: String,
}

impl Named for OfWorkspace {
    fn check(&self) -> Result<(), Failure> {
        check_name("tenant", &self.tenant)?;
        check_name("workspace", &self.workspace)
    }
}

/// Where a workspace is.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InRegion {
    /// The region of the workspace; the default region where it is not set.
    pub(super) region: Option<String>,
}

impl Parameters for InRegion {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        Ok(Self { region: values.text("region") })
    }
}

/// Which binding is to be read or made.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct BindingIn {
    /// The region of the workspace; the default region where it is not set.
    region: Option<String>,
}

impl Parameters for BindingIn {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        Ok(Self { region: values.text("region") })
    }

    fn elsewhere(name: &str) -> Option<&'static str> {
        (name == "force").then_some("`force` is understood on DELETE only")
    }
}

/// Which binding is to be removed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Unbinding {
    /// The region of the workspace; the default region where it is not set.
    region: Option<String>,
    /// true: also while objects may exist at Hetzner Cloud.
    #[param(value_type = Option<bool>, example = true)]
    force: bool,
}

impl Parameters for Unbinding {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        Ok(Self { region: values.text("region"), force: values.boolean("force")? })
    }
}

/// Which workspaces are to be listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct OfBinding {
    /// Those with this binding: none, bound or unbound; all: whatever it is, as where it is not set.
    #[param(value_type = Option<String>, example = "all")]
    binding: Option<Binding>,
}

impl Parameters for OfBinding {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        let binding = match values.text("binding").as_deref() {
            None | Some("all") => None,
            Some("none") => Some(Binding::None),
            Some("bound") => Some(Binding::Bound),
            Some("unbound") => Some(Binding::Unbound),
            Some(_) => {
                return Err(Failure::parameter("binding", "`binding` must be `all`, `none`, `bound` or `unbound`"));
            }
        };
        Ok(Self { binding })
    }
}

/// What became of a binding.
#[derive(Serialize, ToSchema)]
struct Bound {
    /// `active`: the token was proven and is kept.
    status: &'static str,
    /// The provider.
    provider: &'static str,
}

/// What becomes of a binding.
#[derive(Serialize, ToSchema)]
struct Unbound {
    /// `accepted`: the token is gone.
    status: &'static str,
}

impl Admin {
    /// The workspace of a path: in the default region where the query names none.
    pub(super) fn workspace(&self, of: &OfWorkspace, region: Option<&str>) -> ResourceKey {
        let region = region.unwrap_or(&self.config.default_region);
        ResourceKey::tenant(Kind::Workspace, region, &of.tenant, &of.workspace)
    }
}

/// Get the binding of a workspace, without its token
#[utoipa::path(
    get,
    path = "/admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner",
    tag = "Workspaces",
    params(OfWorkspace, BindingIn),
    responses((status = 200, description = "The binding.", body = BindingView), Refused)
)]
async fn get_binding(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Path(of): Path<OfWorkspace>,
    Query(BindingIn { region }): Query<BindingIn>,
) -> Result<Answer<BindingView>, Failure> {
    let key = admin.workspace(&of, region.as_deref());
    admin.bindings.find(&key).await.map_err(refused)?.map(ok).ok_or_else(|| unbound(&key))
}

/// Bind a workspace to a Hetzner Cloud project by a read-write token of it
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner",
    tag = "Workspaces",
    params(OfWorkspace, BindingIn),
    request_body(content = BindBody, example = json!({"apiToken": "<a read-write token>", "projectRef": "shop"})),
    responses((status = 200, description = "The token was proven and is kept.", body = Bound), Refused)
)]
async fn bind(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfWorkspace>,
    Query(BindingIn { region }): Query<BindingIn>,
    Json(body): Json<BindBody>,
) -> Result<Answer<Bound>, Failure> {
    let key = admin.workspace(&of, region.as_deref());
    let request = BindRequest::try_from(body)?;
    let work = async { admin.bindings.bind(&key, request).await.map_err(refused) };
    admin.recorded(&call, Change::of_workspace("bind", &key), work, |()| StatusCode::OK).await?;
    Ok(ok(Bound { status: "active", provider: PROVIDER }))
}

/// Remove the token of a workspace
#[utoipa::path(
    delete,
    path = "/admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner",
    tag = "Workspaces",
    params(OfWorkspace, Unbinding),
    responses((status = 202, description = "Removed.", body = Unbound), Refused)
)]
async fn unbind(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfWorkspace>,
    Query(Unbinding { region, force }): Query<Unbinding>,
    _: NoBody,
) -> Result<Answer<Unbound>, Failure> {
    let key = admin.workspace(&of, region.as_deref());
    let work = async {
        let was_bound = admin.bindings.unbind(&key, force).await.map_err(refused)?;
        if was_bound { Ok(()) } else { Err(unbound(&key)) }
    };
    let mut change = Change::of_workspace("unbind", &key);
    if force {
        change.detail.push_str(", by force");
    }
    admin.recorded(&call, change, work, |()| StatusCode::ACCEPTED).await?;
    Ok(Answer(StatusCode::ACCEPTED, Unbound { status: "accepted" }))
}

/// List workspaces and their bindings
#[utoipa::path(
    get,
    path = "/admin/v1/workspaces",
    tag = "Workspaces",
    params(OfBinding),
    responses((status = 200, description = "Those with the binding.", body = Items<WorkspaceView>), Refused)
)]
async fn list_workspaces(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Query(OfBinding { binding }): Query<OfBinding>,
) -> Result<Answer<Items<WorkspaceView>>, Failure> {
    let workspaces = admin.bindings.workspaces(binding).await.map_err(refused)?;
    Ok(ok(workspaces.into_iter().collect()))
}

/// The workspace is there, and only its binding is not.
fn unbound(key: &ResourceKey) -> Failure {
    let remedy = "bind it with a PUT of {\"apiToken\": \"…\"} to this path";
    Failure::new(ProblemKind::NotFound, format!("{key} is not bound to a Hetzner Cloud project; {remedy}"))
}

/// A string that is a secret from the moment it is read. It has no Debug and no Display.
struct Secret(SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

/// A token to bind. Members that are not known are passed over.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BindBody {
    /// A read-write API token of the Hetzner Cloud project, in visible ASCII characters.
    #[serde(default)]
    #[schema(value_type = String, required = true, nullable = false, write_only, min_length = 1, max_length = 512)]
    api_token: Option<Secret>,
    /// The URL of its API, where it is not that of the settings.
    #[serde(default)]
    api_endpoint: Option<String>,
    /// A note of which project it is.
    #[serde(default)]
    #[schema(max_length = 256)]
    project_ref: Option<String>,
}

impl Document for BindBody {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.is_empty() {
            return Err(Failure::malformed("the body is empty; send {\"apiToken\": \"…\"}"));
        }
        // The parser's own message may repeat the token. So the answer tells the place of the error alone.
        serde_json::from_slice(bytes).map_err(|error| Failure::malformed(json::unreadable(&error).to_string()))
    }
}

impl TryFrom<BindBody> for BindRequest {
    type Error = Failure;

    fn try_from(body: BindBody) -> Result<Self, Failure> {
        const PROJECT_REF_MAX: usize = 256;
        let refuse = |member: &str, rule: &str| {
            Failure::violations(ProblemKind::InvalidRequest, &[Violation::at(format!("/{member}"), rule)])
        };
        let token = body.api_token.map(|secret| secret.0).ok_or_else(|| {
            refuse("apiToken", "`apiToken` is required: a read-write API token of the Hetzner Cloud project")
        })?;
        let text = token.expose_secret();
        if text.is_empty() || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("apiToken", "`apiToken` must be 1 to 512 visible ASCII characters, without spaces"));
        }
        let endpoint = body.api_endpoint.filter(|text| !text.is_empty());
        let project_ref = body.project_ref.filter(|text| !text.is_empty());
        if project_ref
            .as_ref()
            .is_some_and(|text| text.chars().count() > PROJECT_REF_MAX || text.chars().any(char::is_control))
        {
            return Err(refuse("projectRef", "`projectRef` must be at most 256 printable characters"));
        }
        Ok(Self { token, endpoint, project_ref })
    }
}
