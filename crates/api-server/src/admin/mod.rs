//! The admin API: bindings of workspaces to provider tokens, and what the sweeps found.
//!
//! It has a listener and a bearer token of its own. Query parameters that it does not know are refused: a
//! misspelt `region` must not bind the workspace of another region.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
    middleware::from_fn_with_state,
};
use control_plane::{
    ports::Binding,
    service::{BindRequest, Bindings, Refusal},
};
use seca_api::{Kind, ProblemKind, ResourceKey, Violation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    answer::{Failure, Profile, json_text},
    auth::{AuthError, TokenHash, bearer},
    body,
    config::AdminConfig,
    health::Readiness,
    json,
    observe::{Observer, Trace, observe},
    route::{RouteError, Segment},
    service::BindingService,
};

struct Admin {
    bindings: Arc<dyn BindingService>,
    readiness: Readiness,
    token: TokenHash,
    config: AdminConfig,
}

/// The router of the admin listener.
pub fn admin_router(bindings: Bindings, readiness: Readiness, config: AdminConfig) -> Router {
    admin_router_over(Arc::new(bindings), readiness, config)
}

/// The same over any service.
pub fn admin_router_over(bindings: Arc<dyn BindingService>, readiness: Readiness, config: AdminConfig) -> Router {
    let observer = Observer { ids: config.ids.clone(), timeout: config.limits.request_timeout, listener: "admin" };
    let token = TokenHash::of(config.token.expose_secret());
    let admin = Admin { bindings, readiness, token, config };
    Router::new().fallback(handle).with_state(Arc::new(admin)).layer(from_fn_with_state(observer, observe))
}

async fn handle(State(admin): State<Arc<Admin>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let trace = Trace::of(&parts.extensions);
    match admin.answer(&parts, body, &trace).await {
        Ok(response) => response,
        Err(failure) => failure.respond(parts.uri.path(), &trace),
    }
}

/// What a path of the admin API names.
enum Place {
    Binding { tenant: String, workspace: String },
    Workspaces,
    Orphans,
}

impl Place {
    fn parse(path: &str) -> Result<Self, RouteError> {
        let path = path.strip_prefix("/admin/v1/").ok_or(RouteError::Unknown)?;
        let segments: Vec<Segment> = path.split('/').map(Segment::decode).collect();
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        match texts[..] {
            ["workspaces"] => Ok(Self::Workspaces),
            ["orphans"] => Ok(Self::Orphans),
            ["tenants", _, "workspaces", _, "providers", "hetzner"] => Ok(Self::Binding {
                tenant: segments[1].name("tenant", "")?,
                workspace: segments[3].name("workspace", "")?,
            }),
            _ => Err(RouteError::Unknown),
        }
    }

    const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Binding { .. } => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Workspaces | Self::Orphans => &[Method::GET],
        }
    }
}

impl Admin {
    async fn answer(&self, parts: &Parts, body: Body, trace: &Trace) -> Result<Response<Body>, Failure> {
        let (method, path) = (&parts.method, parts.uri.path());
        if let Some(answer) = self.readiness.answer(method, path).await {
            return answer;
        }
        self.authenticate(parts)?;
        trace.subject("admin");
        let place = match Place::parse(path) {
            Err(RouteError::Unknown) if path == "/metrics" => {
                return Err(Failure::new(ProblemKind::NotFound, "this release has no metrics; a later one does"));
            }
            Err(RouteError::Unknown) => {
                let detail = "no resource of the admin API has this path; there are /admin/v1/workspaces, /admin/v1/orphans and \
                              /admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner";
                return Err(Failure::new(ProblemKind::NotFound, detail));
            }
            Err(error) => return Err(Failure::of_route(&error, Profile::Specification, method)),
            Ok(place) => place,
        };
        if !place.methods().contains(method) {
            return Err(Failure::method(place.methods(), method));
        }
        let query = parts.uri.query().unwrap_or_default();
        match place {
            Place::Workspaces => self.workspaces(query).await,
            Place::Orphans => self.orphans(query).await,
            Place::Binding { tenant, workspace } => self.binding(parts, body, &tenant, &workspace).await,
        }
    }

    async fn binding(
        &self,
        parts: &Parts,
        body: Body,
        tenant: &str,
        workspace: &str,
    ) -> Result<Response<Body>, Failure> {
        let [region, force] = parameters(parts.uri.query().unwrap_or_default(), ["region", "force"])?;
        let force = boolean("force", force.as_deref())?;
        if force && parts.method != Method::DELETE {
            return Err(Failure::parameter("force", "`force` is understood on DELETE only"));
        }
        let region = region.unwrap_or_else(|| self.config.default_region.as_str().into());
        let key = ResourceKey::tenant(Kind::Workspace, &region, tenant, workspace);
        match parts.method.as_str() {
            "PUT" => {
                let bytes = body::read_json(&parts.headers, body, self.config.limits).await?;
                self.bindings.bind(&key, bind_request(&bytes)?).await.map_err(refused)?;
                Ok(answer(StatusCode::OK, &json!({ "status": "active", "provider": "hetzner" })))
            }
            "DELETE" => {
                body::discard(&parts.headers, body, self.config.limits).await?;
                self.bindings.unbind(&key, force).await.map_err(refused)?;
                Ok(answer(StatusCode::ACCEPTED, &json!({ "status": "accepted" })))
            }
            _ => match self.bindings.find(&key).await.map_err(refused)? {
                Some(view) => Ok(answer(StatusCode::OK, &json!(view))),
                None => Err(Failure::new(
                    ProblemKind::NotFound,
                    format!(
                        "{key} is not bound to a Hetzner Cloud project; bind it with a PUT of {{\"apiToken\": \"…\"}} to this path"
                    ),
                )),
            },
        }
    }

    fn authenticate(&self, parts: &Parts) -> Result<(), Failure> {
        let refuse = |detail: &str| {
            Failure::new(ProblemKind::Unauthorized, detail)
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        };
        let token = bearer(&parts.headers).map_err(|error| match error {
            AuthError::Missing => refuse("the admin API needs the header `Authorization: Bearer <admin token>`"),
            error => refuse(&error.to_string()),
        })?;
        if self.token.matches(&TokenHash::of(token)) {
            return Ok(());
        }
        Err(refuse("this is not the admin token (SECA_ADMIN_TOKEN); tokens of the public API do not count here"))
    }

    async fn workspaces(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [binding] = parameters(query, ["binding"])?;
        let binding = match binding.as_deref() {
            None | Some("all") => None,
            Some("none") => Some(Binding::None),
            Some("bound") => Some(Binding::Bound),
            Some("unbound") => Some(Binding::Unbound),
            Some(_) => {
                return Err(Failure::parameter("binding", "`binding` must be `all`, `none`, `bound` or `unbound`"));
            }
        };
        let items = self.bindings.workspaces(binding).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    async fn orphans(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let orphans = self.bindings.orphans().await.map_err(refused)?;
        let items: Vec<Value> = orphans
            .iter()
            .map(|(project, object)| {
                let mut item = json!({ "project": project });
                if let (Some(item), Value::Object(object)) = (item.as_object_mut(), json!(object)) {
                    item.extend(object);
                }
                item
            })
            .collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }
}

fn answer(status: StatusCode, document: &Value) -> Response<Body> {
    json_text(status, document.to_string())
}

/// Operators are told in the specification's codes, whatever a tenant's profile.
fn refused(refusal: Refusal) -> Failure {
    Failure::of(&refusal, Profile::Specification, &Method::GET)
}

/// The values of the parameters that a query may have, each at most once.
fn parameters<'q, const N: usize>(query: &'q str, known: [&str; N]) -> Result<[Option<Cow<'q, str>>; N], Failure> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let index = known.iter().position(|known| *known == name).ok_or_else(|| {
            let list = if N == 0 { "none".to_owned() } else { known.join(", ") };
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Failure::parameter(&name, format!("there is no parameter `{shown}` here; known: {list}"))
        })?;
        if value.chars().any(char::is_control) {
            return Err(Failure::parameter(&name, format!("`{}` has no control characters", known[index])));
        }
        if values[index].replace(value).is_some() {
            return Err(Failure::parameter(&name, format!("`{}` stands at most once", known[index])));
        }
    }
    Ok(values)
}

fn boolean(name: &str, value: Option<&str>) -> Result<bool, Failure> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::parameter(name, format!("`{name}` must be `true` or `false`"))),
    }
}

/// A string that is a secret from the moment it is read. It has no Debug and no Display.
struct Secret(SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindBody {
    #[serde(default)]
    api_token: Option<Secret>,
    #[serde(default)]
    api_endpoint: Option<String>,
    #[serde(default)]
    project_ref: Option<String>,
}

fn bind_request(bytes: &[u8]) -> Result<BindRequest, Failure> {
    const PROJECT_REF_MAX: usize = 256;
    if bytes.is_empty() {
        return Err(Failure::malformed("the body is empty; send {\"apiToken\": \"…\"}"));
    }
    // The parser's own message may repeat what it read, so only the place of the error is told.
    let body: BindBody =
        serde_json::from_slice(bytes).map_err(|error| Failure::malformed(json::syntax(&error).to_string()))?;
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
    Ok(BindRequest { token, endpoint, project_ref })
}
