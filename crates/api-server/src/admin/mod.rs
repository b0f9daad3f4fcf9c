//! The admin API: tenants, revoked tokens, who may do what and why, what was done, bindings of workspaces to provider
//! tokens, and how the projects fare.
//!
//! It has a listener and bearer tokens of its own; a client certificate that the listener verified will do instead.
//! Query parameters and members that it does not know are refused: a misspelt `region` must not bind the workspace of
//! another region. What changes something leaves an activity, which is written down before the answer is given.

mod actor;
mod administrators;
mod bindings;
mod denied_tokens;
mod encoding;
mod explain;
mod members;
mod metrics;
mod openapi;
mod oversight;
mod place;
mod query;
mod tenants;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, Response, StatusCode, request::Parts},
    middleware::from_fn_with_state,
};
use control_plane::{
    ports::Listener,
    service::{Administration, Bindings, Refusal},
};
use seca_api::{ProblemKind, ResourceKey, TenantName};
use serde_json::Value;

pub use self::administrators::admin_assignment_name;
use self::place::Place;
use crate::{
    activity::Doing,
    answer::{Failure, Profile, indented, json_text},
    config::AdminConfig,
    docs::Documents,
    health::Readiness,
    observe::{Observer, Trace, observe},
    route::{self, RouteError},
    service::BindingService,
};

struct Admin {
    bindings: Arc<dyn BindingService>,
    administration: Administration,
    readiness: Readiness,
    documents: Documents,
    config: AdminConfig,
}

/// The router of the admin listener.
pub fn admin_router(
    bindings: Bindings,
    administration: Administration,
    readiness: Readiness,
    config: AdminConfig,
) -> Router {
    admin_router_over(Arc::new(bindings), administration, readiness, config)
}

/// The same over any service of bindings.
pub fn admin_router_over(
    bindings: Arc<dyn BindingService>,
    administration: Administration,
    readiness: Readiness,
    config: AdminConfig,
) -> Router {
    let observer = Observer {
        ids: config.ids.clone(),
        timeout: config.limits.request_timeout,
        listener: "admin",
        meter: Arc::clone(&config.meter),
    };
    let documents = Documents::of_admin(openapi::documents);
    let admin = Admin { bindings, administration, readiness, documents, config };
    Router::new().fallback(handle).with_state(Arc::new(admin)).layer(from_fn_with_state(observer, observe))
}

async fn handle(State(admin): State<Arc<Admin>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let trace = Trace::of(&parts.extensions);
    let is_pretty = crate::query::is_pretty(parts.uri.query().unwrap_or_default());
    let answered = admin.answer(&parts, body, &trace).await;
    let response = answered.unwrap_or_else(|failure| failure.respond(parts.uri.path(), &trace));
    if is_pretty { indented(response).await } else { response }
}

/// A request whose sender is known.
struct Call<'a> {
    actor: &'a str,
    method: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    trace: &'a Trace,
}

/// What a request is about to change, as its activity tells it.
struct Change<'a> {
    action: &'static str,
    target: String,
    tenant: Option<&'a str>,
    /// Empty where there is nothing more to say.
    detail: String,
}

impl<'a> Change<'a> {
    fn of_workspace(action: &'static str, key: &'a ResourceKey) -> Self {
        Self { action, target: key.urn(), tenant: Some(&key.tenant), detail: format!("region {}", key.region) }
    }
}

impl Admin {
    async fn answer(&self, parts: &Parts, body: Body, trace: &Trace) -> Result<Response<Body>, Failure> {
        let (method, path) = (&parts.method, parts.uri.path());
        if let Some(answer) = self.readiness.answer(method, path).await {
            return answer;
        }
        if let Some(answer) = self.documents.answer(method, path, &parts.headers) {
            return answer;
        }
        if path == metrics::PATH {
            return self.metrics(parts, trace).await;
        }
        let actor = self.actor(parts)?;
        trace.subject(&actor);
        let query = parts.uri.query().unwrap_or_default();
        encoding::check("path", path)?;
        encoding::check("query", query)?;
        let place = match Place::parse(path) {
            Err(RouteError::Unknown) => {
                let error = route::unknown(path, |path| !matches!(Place::parse(path), Err(RouteError::Unknown)));
                let told = if error == RouteError::Unknown { place::UNKNOWN.to_owned() } else { error.to_string() };
                return Err(Failure::new(ProblemKind::NotFound, told));
            }
            Err(error) => return Err(Failure::of_route(&error, Profile::Specification, method)),
            Ok(place) => place,
        };
        if !place.methods().contains(method) {
            return Err(Failure::method(place.methods(), method));
        }
        trace.about(place::word(method), place.kind());
        let call = Call { actor: &actor, method: method.as_str(), query, headers: &parts.headers, trace };
        match place {
            Place::Tenants => self.tenants(query).await,
            Place::Tenant(name) => self.tenant(call, body, &name).await,
            Place::TenantAdmin { tenant, subject } => self.make_admin(call, body, &tenant, &subject).await,
            Place::DeniedTokens => self.denied_tokens(query).await,
            Place::DeniedToken(id) => self.denied_token(call, body, &id).await,
            Place::Explain => self.explain(query).await,
            Place::Activity => self.activity(query).await,
            Place::Projects => self.projects(query).await,
            Place::GoneProject(id) => self.abandon(call, body, id).await,
            Place::PausedWorkspaces => self.paused(query).await,
            Place::Pause { tenant, workspace } => self.pause(call, body, &tenant, &workspace).await,
            Place::Workspaces => self.workspaces(query).await,
            Place::Orphans => self.orphans(query).await,
            Place::Binding { tenant, workspace } => self.binding(call, body, &tenant, &workspace).await,
        }
    }

    /// The name of whoever sent a request.
    fn actor(&self, parts: &Parts) -> Result<String, Failure> {
        let actor = actor::actor(parts, &self.config.tokens, self.config.clock.now());
        self.config.meter.authenticated("admin", if actor.is_ok() { "accepted" } else { "rejected" });
        actor
    }

    /// Does a change, and writes down that it was done.
    async fn recorded<T>(
        &self,
        call: &Call<'_>,
        change: Change<'_>,
        work: impl Future<Output = Result<T, Failure>>,
        status: impl Fn(&T) -> StatusCode,
    ) -> Result<T, Failure> {
        let pending = self.config.activity.begin(Doing {
            listener: Listener::Admin,
            actor: call.actor,
            action: change.action,
            target: &change.target,
            tenant: change.tenant,
            request_id: call.trace.id(),
            detail: Some(change.detail).filter(|detail| !detail.is_empty()),
        });
        let result = work.await;
        pending.ended_with(&result, status).await;
        result
    }
}

fn answer(status: StatusCode, document: &Value) -> Response<Body> {
    json_text(status, document.to_string())
}

/// Operators are told in the specification's codes, whatever a tenant's profile.
fn refused(refusal: Refusal) -> Failure {
    Failure::of(&refusal, Profile::Specification, &Method::GET)
}

/// A tenant's name, from the path or a parameter.
fn tenant_name(text: &str) -> Result<TenantName, Failure> {
    TenantName::parse(text).map_err(|error| Failure::parameter("tenant", error.to_string()))
}
