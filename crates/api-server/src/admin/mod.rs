//! The admin API: tenants, revoked tokens, who may do what and why, what was done, bindings of workspaces to provider
//! tokens, and how the projects fare.
//!
//! It has a listener and bearer tokens of its own; a client certificate that the listener verified will do instead.
//! Query parameters and members that it does not know are refused: a misspelt `region` must not bind the workspace of
//! another region. What changes something leaves an activity, which is written down before the answer is given.
//!
//! An operation is a function with its description above it. The description names its path, and router and OpenAPI
//! document are both made of it (utoipa).

mod actor;
mod administrators;
mod bindings;
mod denied_tokens;
mod encoding;
mod explain;
mod extract;
mod members;
mod metrics;
mod nat_servers;
mod openapi;
mod orphans;
mod oversight;
mod places;
mod query;
mod tenants;

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response, StatusCode, Uri, request::Parts},
    middleware::{Next, from_fn_with_state},
    routing::any,
};
use control_plane::{
    ports::Listener,
    service::{Administration, Bindings, Refusal},
};
use seca_api::{ProblemKind, ResourceKey, TenantName};
use utoipa_axum::router::OpenApiRouter;

pub use self::administrators::admin_assignment_name;
use self::{
    extract::{About, Actor, Call},
    places::Places,
};
use crate::{
    activity::Doing,
    answer::{Failure, Profile, only_reads},
    config::AdminConfig,
    docs::Documents,
    health::{self, Readiness},
    observe::{Observer, Trace, observed},
};

struct Admin {
    bindings: Bindings,
    administration: Administration,
    places: Places,
    config: AdminConfig,
}

/// The router of the admin listener.
pub fn admin_router(
    bindings: Bindings,
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
    let (operations, document) = operations().split_for_parts();
    let admin = Arc::new(Admin { bindings, administration, places: Places::of(&document), config });
    // Authentication comes first, also for a path that names nothing.
    let closed = operations
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(from_fn_with_state(Arc::clone(&admin), authenticated));
    let open = Router::new()
        .merge(health::routes(readiness))
        .merge(Documents::of_admin(document).routes())
        .method_not_allowed_fallback(only_reads);
    observed(open.route(metrics::PATH, any(metrics::metrics)).merge(closed).with_state(admin), observer)
}

/// All operations, each with the word by which metrics know it.
fn operations() -> OpenApiRouter<Arc<Admin>> {
    let about = |word: &'static str, routes: OpenApiRouter<Arc<Admin>>| routes.layer(Extension(About(word)));
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(about("tenant", tenants::routes()))
        .merge(about("tenant-admin", administrators::routes()))
        .merge(about("denied-token", denied_tokens::routes()))
        .merge(about("explain", explain::routes()))
        .merge(about("activity", oversight::routes_of_activity()))
        .merge(about("project", oversight::routes_of_projects()))
        .merge(about("nat-server", nat_servers::routes()))
        .merge(about("orphan", orphans::routes()))
        .merge(about("workspace", bindings::routes_of_workspaces()))
        .merge(about("pause", oversight::routes_of_pauses()))
        .merge(about("binding", bindings::routes()))
}

/// Lets through whose sender is known and whose text can be read.
async fn authenticated(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response<Body>, Failure> {
    let (mut parts, body) = request.into_parts();
    let actor = admin.actor(&parts)?;
    Trace::of(&parts.extensions).subject(&actor);
    encoding::check("path", parts.uri.path())?;
    encoding::check("query", parts.uri.query().unwrap_or_default())?;
    parts.extensions.insert(Actor(actor));
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn unknown_path(State(admin): State<Arc<Admin>>, uri: Uri) -> Failure {
    Failure::new(ProblemKind::NotFound, admin.places.unknown(uri.path()))
}

async fn wrong_method(State(admin): State<Arc<Admin>>, method: Method, uri: Uri) -> Failure {
    Failure::method(admin.places.methods(uri.path()).unwrap_or_default(), &method)
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
    /// The name of whoever sent a request.
    fn actor(&self, parts: &Parts) -> Result<String, Failure> {
        let actor = actor::actor(parts, &self.config.tokens, self.config.clock.now());
        self.config.meter.authenticated("admin", if actor.is_ok() { "accepted" } else { "rejected" });
        actor
    }

    /// Does a change, and writes down that it was done.
    async fn recorded<T>(
        &self,
        call: &Call,
        change: Change<'_>,
        work: impl Future<Output = Result<T, Failure>>,
        status: impl Fn(&T) -> StatusCode,
    ) -> Result<T, Failure> {
        let pending = self.config.activity.begin(Doing {
            listener: Listener::Admin,
            actor: &call.actor,
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

/// Operators are told in the specification's codes, whatever a tenant's profile.
fn refused(refusal: Refusal) -> Failure {
    Failure::of(&refusal, Profile::Specification, &Method::GET)
}

/// A tenant's name, from the path or a parameter.
fn tenant_name(text: &str) -> Result<TenantName, Failure> {
    TenantName::parse(text).map_err(|error| Failure::parameter("tenant", error.to_string()))
}
