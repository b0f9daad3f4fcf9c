//! The public API. The few fixed paths are routes of axum. All other paths come to one handler for all kinds, which
//! reads them by the table of kinds ([`crate::route`]).
//!
//! The order in which a request is judged: path, credential, method, region, query, rate, what its sender may do to
//! that path, headers, body, and then the service, which authorizes by the roles of the moment at which it reads. What is
//! refused before the sender's rights are looked at depends on no tenant's data. The body of who may not is never parsed.

use std::{borrow::Cow, sync::Arc, time::Duration};

use authentication::{AuthError, Authenticator};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts},
    routing::get,
};
use control_plane::{
    ActionKind, kinds,
    ports::Listener,
    service::{Caller, Context, ControlPlane, ListView, PutRequest, PutView, Refusal, View},
    watch::{Held, Hold},
};
use seca_api::{
    ListMetadata, ProblemKind, Provider, ResourceKey, Violation, Wellknown, WellknownEndpoint,
    json::{self, JsonError},
    wellknown,
};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    activity::Doing,
    answer::{Failure, Profile, empty, json_text, only_reads},
    body,
    config::{ApiConfig, UnknownParameters},
    docs::{self, Documents},
    headers,
    health::{self, Readiness},
    meter::Metered,
    observe::{Observer, Trace, observed},
    paging::Pager,
    published_keys, query,
    room::{Place, Room},
    route::{self, Attachment, Route, RouteError, Routing, Target},
    service::Service,
    throttle::Throttle,
};

/// How long an authenticated caller counts as known without another look at the credential.
const RECENT: Duration = Duration::from_secs(1);

/// The paths that are no resource's and are answered to everybody.
const STANDING: [&str; 4] = [wellknown::PATH, wellknown::ALIAS, health::ALIVE, health::READY];

/// What the predecessor answered to a call that it accepted.
const ACCEPTED: &str = r#"{"status":"accepted"}"#;

struct Api {
    service: Arc<dyn Service>,
    authenticator: Arc<dyn Authenticator>,
    pager: Pager,
    throttle: Throttle,
    room: Room,
    drain: CancellationToken,
    config: ApiConfig,
}

/// The router of the public listener. `drain` is cancelled when the process begins to drain.
pub fn public_router(
    control_plane: ControlPlane,
    authenticator: Arc<dyn Authenticator>,
    config: ApiConfig,
    drain: CancellationToken,
) -> Router {
    public_router_over(Arc::new(control_plane), authenticator, config, drain)
}

/// The same over any service.
pub fn public_router_over(
    service: Arc<dyn Service>,
    authenticator: Arc<dyn Authenticator>,
    config: ApiConfig,
    drain: CancellationToken,
) -> Router {
    let observer = Observer {
        ids: config.ids.clone(),
        timeout: config.limits.request_timeout,
        listener: "public",
        meter: Arc::clone(&config.meter),
    };
    let authenticator = Arc::new(Metered::new(authenticator, Arc::clone(&config.meter)));
    let readiness = Readiness::of_service(Arc::clone(&service), drain.clone());
    let keys = config.jwks.clone();
    let pager = Pager::new(&config.signing_key);
    let throttle = Throttle::new(config.limits.rates);
    let room = Room::new(config.limits.parsed_bytes);
    let api = Api { service, authenticator, pager, throttle, room, drain, config };
    let router = Router::new()
        .route("/", get(docs::root))
        .route(wellknown::PATH, get(well_known))
        .route(wellknown::ALIAS, get(well_known))
        .merge(keys.map(published_keys::routes).unwrap_or_default())
        .merge(health::routes(readiness))
        .merge(Documents::of_seca().routes())
        .method_not_allowed_fallback(only_reads)
        .fallback(resource)
        .with_state(Arc::new(api));
    observed(router, observer)
}

/// Whatever is no fixed path: a resource, a collection, an action, or nothing.
async fn resource(State(api): State<Arc<Api>>, request: Request) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let trace = Trace::of(&parts.extensions);
    api.answer(&parts, body, &trace).await
}

async fn well_known(State(api): State<Arc<Api>>, request: Request) -> Result<Response<Body>, Failure> {
    api.well_known(&request.into_parts().0)
}

/// A request whose path, caller and tenant are known.
struct Call<'a> {
    route: Route,
    context: Context<'a>,
    /// When the caller was authenticated.
    since: Instant,
    headers: &'a HeaderMap,
    method: &'a Method,
    trace: &'a Trace,
}

impl<'a> Call<'a> {
    /// The same, by the caller as it is known by now.
    fn by<'c>(&self, caller: &'c Caller) -> Context<'c>
    where
        'a: 'c,
    {
        Context { caller, ..self.context }
    }
}

impl Api {
    async fn answer(&self, parts: &Parts, body: Body, trace: &Trace) -> Result<Response<Body>, Failure> {
        let (method, path) = (&parts.method, parts.uri.path());
        let routing = Routing {
            default_region: &self.config.default_region,
            written: &self.config.served,
            read: kinds::catalog::KINDS,
        };
        let route = match route::parse(path, routing) {
            Err(RouteError::Unknown) => Err(route::unknown(path, |path| STANDING.contains(&path))),
            route => route,
        };
        if let Err(error @ (RouteError::Unknown | RouteError::TrailingSlash(_))) = &route {
            return Err(Failure::of_route(error, Profile::Specification, method));
        }
        let caller = self.authenticator.authenticate(&parts.headers).await.map_err(|error| Failure::from(&error))?;
        let since = Instant::now();
        trace.subject(&caller.subject);
        let route = match route {
            Ok(route) => route,
            Err(error) => {
                let tenant = if let RouteError::Segment { tenant, .. } = &error { tenant } else { "" };
                // Roles have not decided: who has none there must not learn of the tenant by its profile.
                let tenant = self.service.tenant_for(&caller, tenant).await.ok().flatten();
                return Err(Failure::of_route(&error, Profile::of_tenant(tenant.as_ref()), method));
            }
        };
        let allowed = route.target.methods(routing);
        if !allowed.contains(method) {
            return Err(Failure::method(allowed, method));
        }
        trace.about(route.target.word(method), route.target.key().kind.as_str());
        self.check_region(&route)?;
        if let Err(refused) = self.check_query(&query::known(&route.target), parts) {
            body::refuse(&parts.headers, body).await;
            return Err(refused);
        }
        let base_url = headers::base_url(self.config.public_base_url.as_ref(), parts)?;
        let context = Context { caller: &caller, base_url: &base_url };
        let call = Call { route, context, since, headers: &parts.headers, method, trace };
        if let Err(refused) = self.turn(&call).await {
            body::refuse(&parts.headers, body).await;
            return Err(refused);
        }
        self.dispatch(call, parts.uri.query().unwrap_or_default(), body).await
    }

    /// Waits for the request's turn: its sender's, and where they have a role also the tenant's.
    async fn turn(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (caller, tenant) = (call.context.caller, &call.route.target.key().tenant);
        let tenant = self.service.takes_part(caller, tenant).then_some(tenant);
        self.throttle.admit(call.method, &caller.subject, tenant, call.trace, &self.drain).await
    }

    /// The caller of a request that is to be served now. Who was authenticated a while ago, before the wait for a turn
    /// or for a slow body, is asked for anew.
    async fn caller_now<'c>(&self, call: &Call<'c>) -> Result<Cow<'c, Caller>, Failure> {
        match call.since.elapsed() < RECENT {
            true => Ok(Cow::Borrowed(call.context.caller)),
            false => self.authenticate_again(call).await.map(Cow::Owned),
        }
    }

    /// What proved the caller must still do: the same subject, as it is known by now.
    async fn authenticate_again(&self, call: &Call<'_>) -> Result<Caller, Failure> {
        let again = self.authenticator.authenticate(call.headers).await.map_err(|error| Failure::from(&error))?;
        if again.subject == call.context.caller.subject { Ok(again) } else { Err(Failure::from(&AuthError::Rejected)) }
    }

    async fn dispatch(&self, call: Call<'_>, query: &str, body: Body) -> Result<Response<Body>, Failure> {
        match (&call.route.target, call.method.as_str()) {
            (Target::Collection(key), _) => self.list(&call, key, query).await,
            (Target::Item(key), "PUT") => self.put(&call, key, body).await,
            (Target::Item(key), "DELETE") => self.delete(&call, key, body).await,
            (Target::Item(key), _) => self.get(&call, key).await,
            (Target::Action(key, action), _) => self.act(&call, key, *action, body).await,
            (Target::Attachment(key, Attachment::Attach), _) => self.attach(&call, key, body).await,
            (Target::Attachment(key, Attachment::Detach), _) => self.detach(&call, key, body).await,
        }
    }

    async fn get(&self, call: &Call<'_>, key: &ResourceKey) -> Result<Response<Body>, Failure> {
        headers::accept(call.headers)?;
        let mut wish = headers::wait(call.headers);
        let read = async |context| self.served(call, self.service.get(context, key).await).await;
        let caller = self.caller_now(call).await?;
        let mut view = read(call.by(&caller)).await?;
        // Who names what it has, and has not this, waits for nothing else.
        let is_news = view.tag.as_deref().is_some_and(|tag| headers::has_another(call.headers, tag));
        let transition = view.transition.as_ref().filter(|_| !is_news);
        match transition.map(|transition| self.service.hold(call.context.caller, transition, wish)) {
            Some(Held::Until(hold)) => {
                let caller = self.wait(call, hold).await?;
                view = read(call.by(&caller)).await?;
            }
            Some(Held::Full) => wish = None,
            Some(Held::No) | None => {}
        }
        if let Some(transition) = &view.transition {
            self.service.told(call.context.caller, transition);
        }
        let known = view.tag.as_deref().is_some_and(|tag| headers::has_already(call.headers, tag));
        let mut response = match known {
            true => tagged(empty(StatusCode::NOT_MODIFIED), view.tag.as_deref()),
            false => shown(StatusCode::OK, view),
        };
        if let Some(wish) = wish {
            headers::waited(&mut response, wish);
        }
        Ok(response)
    }

    /// Holds a read until there is something to say or the process drains.
    async fn wait(&self, call: &Call<'_>, hold: Hold) -> Result<Caller, Failure> {
        let released = async {
            tokio::select! {
                () = hold.released() => {}
                () = self.drain.cancelled() => {}
            }
        };
        call.trace.holding(released).await;
        self.authenticate_again(call).await
    }

    async fn list(&self, call: &Call<'_>, key: &ResourceKey, query: &str) -> Result<Response<Body>, Failure> {
        let deleted = headers::accept(call.headers)?;
        let request = self.pager.request(key, query, deleted)?;
        let caller = self.caller_now(call).await?;
        let context = call.by(&caller);
        let page = self.served(call, self.service.list(context, &request).await).await?;
        let token = page.next.as_deref().map(|after| self.pager.token(&request, after)).transpose()?;
        Ok(json_text(StatusCode::OK, page_text(page, &ListMetadata::new(key.kind, &key.network, token))?))
    }

    async fn put(&self, call: &Call<'_>, key: &ResourceKey, body: Body) -> Result<Response<Body>, Failure> {
        let status = |put: &PutView| if put.created { StatusCode::CREATED } else { StatusCode::OK };
        let caller = self.caller_now(call).await?;
        if let Err(refusal) = self.service.permits(&caller, "put", key).await {
            body::refuse(call.headers, body).await;
            return self
                .recorded(call, "put", key, async { Err(refusal) }, status)
                .await
                .map(|put| shown(status(&put), put.view));
        }
        headers::accept(call.headers)?;
        let if_version = headers::version(call.headers)?;
        let (document, _place) = self.document(call, key, body).await?;
        let request = PutRequest { key: key.clone(), body: document, if_version };
        let caller = self.caller_now(call).await?;
        let work = self.service.put(call.by(&caller), request);
        let put = self.recorded(call, "put", key, work, status).await?;
        let status = status(&put);
        let mut response = shown(status, put.view);
        if put.created
            && let Ok(location) = HeaderValue::from_str(&format!("{}{}", call.context.base_url, call.route))
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
        for value in put.warnings.iter().filter_map(|sentence| headers::warning(sentence)) {
            response.headers_mut().append(header::WARNING, value);
        }
        Ok(response)
    }

    /// The document that a body holds, and the place that it takes until it is answered.
    async fn document(&self, call: &Call<'_>, key: &ResourceKey, body: Body) -> Result<(Value, Place<'_>), Failure> {
        let bytes = body::read_json(call.headers, body, self.config.limits).await?;
        let measured = self.sound(call, key, json::measure(&bytes)).await?;
        let place = self.room.place(measured.takes(), call.trace).await?;
        Ok((self.sound(call, key, measured.object()).await?, place))
    }

    /// What is read of a body, or what is wrong with it.
    async fn sound<T>(&self, call: &Call<'_>, key: &ResourceKey, read: Result<T, JsonError>) -> Result<T, Failure> {
        match read {
            Ok(read) => Ok(read),
            Err(error @ JsonError::TooMany) => {
                let violations = vec![Violation::at("", error.to_string())];
                self.served(call, Err(Refusal::Violations { kind: key.kind, violations })).await
            }
            Err(error) => Err(Failure::malformed(error.to_string())),
        }
    }

    async fn delete(&self, call: &Call<'_>, key: &ResourceKey, body: Body) -> Result<Response<Body>, Failure> {
        let if_version = headers::version(call.headers)?;
        body::discard(call.headers, body, self.config.limits).await?;
        let caller = self.caller_now(call).await?;
        let work = self.service.delete(call.by(&caller), key, if_version);
        self.recorded(call, "delete", key, work, |()| StatusCode::ACCEPTED).await?;
        Ok(empty(StatusCode::ACCEPTED))
    }

    async fn act(
        &self,
        call: &Call<'_>,
        key: &ResourceKey,
        action: ActionKind,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let if_version = headers::version(call.headers)?;
        body::discard(call.headers, body, self.config.limits).await?;
        let caller = self.caller_now(call).await?;
        let work = self.service.act(call.by(&caller), key, action, if_version);
        self.recorded(call, action.as_str(), key, work, |()| StatusCode::ACCEPTED).await?;
        Ok(empty(StatusCode::ACCEPTED))
    }

    async fn attach(&self, call: &Call<'_>, key: &ResourceKey, body: Body) -> Result<Response<Body>, Failure> {
        let action = Attachment::Attach.as_str();
        let caller = self.caller_now(call).await?;
        if let Err(refusal) = self.service.permits(&caller, "get", key).await {
            body::refuse(call.headers, body).await;
            let refused = self.recorded(call, action, key, async { Err(refusal) }, |()| StatusCode::ACCEPTED).await;
            return refused.map(|()| empty(StatusCode::ACCEPTED));
        }
        let if_version = headers::version(call.headers)?;
        let (document, _place) = self.document(call, key, body).await?;
        let caller = self.caller_now(call).await?;
        let work = self.service.attach(call.by(&caller), key, &document, if_version);
        self.recorded(call, action, key, work, |()| StatusCode::ACCEPTED).await?;
        Ok(json_text(StatusCode::ACCEPTED, ACCEPTED.to_owned()))
    }

    async fn detach(&self, call: &Call<'_>, key: &ResourceKey, body: Body) -> Result<Response<Body>, Failure> {
        let if_version = headers::version(call.headers)?;
        body::discard(call.headers, body, self.config.limits).await?;
        let caller = self.caller_now(call).await?;
        let work = self.service.detach(call.by(&caller), key, if_version);
        self.recorded(call, Attachment::Detach.as_str(), key, work, |()| StatusCode::ACCEPTED).await?;
        Ok(json_text(StatusCode::ACCEPTED, ACCEPTED.to_owned()))
    }

    /// Does a mutation, and leaves its activity.
    async fn recorded<T>(
        &self,
        call: &Call<'_>,
        action: &str,
        key: &ResourceKey,
        work: impl Future<Output = Result<T, Refusal>>,
        status: impl Fn(&T) -> StatusCode,
    ) -> Result<T, Failure> {
        let pending = self.config.activity.begin(Doing {
            listener: Listener::Public,
            actor: &call.context.caller.subject,
            action,
            target: &key.urn(),
            tenant: Some(&key.tenant),
            request_id: call.trace.id(),
            // No reference tells the region.
            detail: (!key.region.is_empty()).then(|| format!("region {}", key.region)),
        });
        let result = self.served(call, work.await).await;
        pending.ended_with(&result, status).await;
        result
    }

    /// The error profile of a tenant, for what the service refused: it tells nothing of a tenant that the caller may
    /// not use.
    async fn profile(&self, tenant: &str) -> Profile {
        Profile::of_tenant(self.service.tenant(tenant).await.ok().flatten().as_ref())
    }

    /// What the service answered. The profile is asked for only when it matters.
    async fn served<T>(&self, call: &Call<'_>, answer: Result<T, Refusal>) -> Result<T, Failure> {
        match answer {
            Ok(served) => Ok(served),
            Err(refusal) if !Profile::matters_to(&refusal) => {
                Err(Failure::of(&refusal, Profile::Specification, call.method))
            }
            Err(refusal) => {
                let profile = self.profile(&call.route.target.key().tenant).await;
                Err(Failure::of(&refusal, profile, call.method))
            }
        }
    }

    fn check_query(&self, known: &[&str], parts: &Parts) -> Result<(), Failure> {
        match self.config.unknown_parameters {
            UnknownParameters::Ignore => Ok(()),
            UnknownParameters::Refuse => query::check(parts.uri.query().unwrap_or_default(), known),
        }
    }

    fn check_region(&self, route: &Route) -> Result<(), Failure> {
        if route.region == self.config.default_region {
            return Ok(());
        }
        let regions = self.service.regions();
        if regions.contains(&route.region) {
            return Ok(());
        }
        let detail = format!("there is no region `{}`; the regions are {}", route.region, regions.join(", "));
        Err(Failure::new(ProblemKind::NotFound, detail))
    }

    /// Where the providers answer; for the regional ones, in the default region.
    fn well_known(&self, parts: &Parts) -> Result<Response<Body>, Failure> {
        self.check_query(&[], parts)?;
        let base = headers::base_url(self.config.public_base_url.as_ref(), parts)?;
        let endpoint = |provider: Provider| {
            let region = match provider.is_global() {
                true => String::new(),
                false => format!("/regions/{}", self.config.default_region),
            };
            let url = format!("{base}{region}/providers/{}", provider.name());
            WellknownEndpoint { provider: provider.id().to_owned(), url }
        };
        let endpoints = Provider::ALL.into_iter().map(endpoint).collect();
        let document = Wellknown { version: "v1".to_owned(), endpoints };
        Ok(json_text(StatusCode::OK, serde_json::to_string(&document).map_err(Failure::internal)?))
    }
}

fn shown(status: StatusCode, view: View) -> Response<Body> {
    tagged(json_text(status, view.body), view.tag.as_deref())
}

fn tagged(mut response: Response<Body>, tag: Option<&str>) -> Response<Body> {
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// A page, in the memory that the service rendered its items into.
fn page_text(page: ListView, metadata: &ListMetadata) -> Result<String, Failure> {
    let metadata = serde_json::to_string(metadata).map_err(Failure::internal)?;
    let mut text = page.text;
    text.push_str("],\"metadata\":");
    text.push_str(&metadata);
    text.push('}');
    Ok(text)
}
