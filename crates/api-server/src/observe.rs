//! Around every request: an id, a deadline, a net for panics, and one log line that says all of it.
//!
//! The net for panics is tower-http's. Its other layers do less than what is here:
//!
//! - `request-id` keeps the id that a client sends, so that a client could give two requests one id. Here each request gets
//!   an id of ours, and the client's word for it stands beside it in the log.
//! - `timeout` counts all time. Here the time that a request is held on purpose does not count ([`Trace::holding`]).
//! - `trace` knows the head of a request and of its answer. The line here also has the sender, the reason of a refusal and
//!   the time held, and metrics are told of the operation.

use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response},
    response::IntoResponse,
};
use control_plane::ports::Ids;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    answer::{Failure, finished},
    health,
    meter::{Answered, Meter},
    query,
};

/// The header that every answer carries and every log line repeats.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is known of a request beyond its head; filled on the way, logged at the end.
#[derive(Debug)]
pub(crate) struct Trace {
    id: String,
    subject: OnceLock<String>,
    reason: OnceLock<String>,
    /// Operation and kind, as metrics tell them.
    about: OnceLock<(&'static str, &'static str)>,
    logged_cause: AtomicBool,
    held: Mutex<HeldTime>,
}

/// How long a request was held on purpose: time that the deadline does not count.
#[derive(Debug, Default)]
struct HeldTime {
    before: Duration,
    since: Option<Instant>,
}

impl HeldTime {
    fn total(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Trace {
    fn new(id: String) -> Arc<Self> {
        Arc::new(Self {
            id,
            subject: OnceLock::new(),
            reason: OnceLock::new(),
            about: OnceLock::new(),
            logged_cause: AtomicBool::new(false),
            held: Mutex::default(),
        })
    }

    /// The trace of a request; one of its own where the request never passed [`observed`].
    pub(crate) fn of(request: &http::Extensions) -> Arc<Self> {
        request.get::<Arc<Self>>().cloned().unwrap_or_else(|| Self::new("none".to_owned()))
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn subject(&self, subject: &str) {
        let _ = self.subject.set(subject.to_owned());
    }

    /// What is asked for: the operation and the kind.
    pub(crate) fn about(&self, operation: &'static str, kind: &'static str) {
        let _ = self.about.set((operation, kind));
    }

    pub(crate) fn reason(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
    }

    /// What keeps this request from being served is in the log, where it happened: anybody could make lines of it.
    pub(crate) fn has_logged_cause(&self) {
        self.logged_cause.store(true, Ordering::Relaxed);
    }

    /// Whether an answer of this status is an error for the log.
    pub(crate) fn is_fault(&self, status: u16) -> bool {
        status >= 500 && !self.logged_cause.load(Ordering::Relaxed)
    }

    /// Waits on purpose: the deadline stands still meanwhile.
    pub(crate) async fn holding<T>(&self, wait: impl Future<Output = T>) -> T {
        self.lock().since = Some(Instant::now());
        let output = wait.await;
        let mut held = self.lock();
        held.before = held.total();
        held.since = None;
        output
    }

    fn held(&self) -> Duration {
        self.lock().total()
    }

    /// Ends when a time is over that begins now, but for what is held of it.
    async fn expired(&self, limit: Duration) {
        let started = Instant::now();
        loop {
            let left = (limit + self.held()).saturating_sub(started.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeldTime> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the layer needs.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) ids: Ids,
    pub(crate) timeout: Duration,
    pub(crate) listener: &'static str,
    pub(crate) meter: Arc<dyn Meter>,
}

/// The router with all this around it. The layers are one for axum, which puts each layer of a router in a box of its own.
pub(crate) fn observed(router: Router, observer: Observer) -> Router {
    let layers = ServiceBuilder::new()
        .layer_fn(move |inner| Observed { inner, observer: observer.clone() })
        .layer(CatchPanicLayer::custom(panicked));
    router.layer(layers)
}

/// What the client of a request that panicked is told, and what the log says of it.
fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    Failure::internal(format!("panic: {}", panic_text(panic.as_ref()))).into_response()
}

/// A service with all this around it. It is written out because a middleware function of axum costs each request three
/// allocations that this does without.
#[derive(Clone)]
struct Observed<S> {
    inner: S,
    observer: Observer,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let asked = Asked::of(&self.observer, &request);
        request.extensions_mut().insert(Arc::clone(&asked.trace));
        Box::pin(observe(self.observer.clone(), asked, self.inner.call(request)))
    }
}

/// The answer to a request, after all that is to be done about it.
async fn observe<R: IntoResponse>(
    observer: Observer,
    asked: Asked,
    answer: impl Future<Output = Result<R, Infallible>>,
) -> Result<Response<Body>, Infallible> {
    let trace = &asked.trace;
    let response = tokio::select! {
        biased;
        answered = answer => answered.into_response(),
        () = trace.expired(observer.timeout) => {
            Failure::unavailable(&asked.method, "the request deadline passed").into_response()
        }
    };
    let mut response = finished(response, &asked.path, asked.is_pretty, trace).await;
    if let Ok(value) = HeaderValue::from_str(trace.id()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, duration) = (response.status().as_u16(), asked.started.elapsed());
    log(&observer, &asked, status, duration);
    let (operation, kind) = trace.about.get().copied().unwrap_or(("other", "none"));
    let held = trace.held();
    let took = duration.saturating_sub(held);
    observer.meter.answered(&Answered { listener: observer.listener, operation, kind, status, took, held });
    Ok(response)
}

/// A request, as far as its head tells.
struct Asked {
    started: Instant,
    trace: Arc<Trace>,
    method: Method,
    path: String,
    is_routine: bool,
    is_pretty: bool,
    /// What the client calls it.
    client_request_id: Option<String>,
}

impl Asked {
    fn of<B>(observer: &Observer, request: &http::Request<B>) -> Self {
        Self {
            started: Instant::now(),
            trace: Trace::new(observer.ids.uid().to_string()),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            is_routine: is_routine(observer, request),
            is_pretty: query::is_pretty(request.uri().query().unwrap_or_default()),
            client_request_id: client_request_id(request.headers()),
        }
    }
}

/// What the client calls a request (`X-Request-Id`), where that is a word that a line of the log can hold.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    const LONGEST: usize = 64;
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    ((1..=LONGEST).contains(&id.len()) && is_word).then(|| id.to_owned())
}

/// Whether it is one that programs send again and again, so that its success is no news: a health check, or the look of
/// the token provisioner at what is not bound.
fn is_routine<B>(observer: &Observer, request: &http::Request<B>) -> bool {
    let uri = request.uri();
    match uri.path() {
        health::ALIVE | health::READY => true,
        "/metrics" => observer.listener == "admin",
        "/admin/v1/workspaces" => {
            observer.listener == "admin" && *request.method() == Method::GET && uri.query() == Some("binding=none")
        }
        _ => false,
    }
}

fn log(observer: &Observer, asked: &Asked, status: u16, duration: Duration) {
    let trace = &asked.trace;
    let (method, path, is_routine) = (asked.method.as_str(), asked.path.as_str(), asked.is_routine);
    let client_request_id = asked.client_request_id.as_deref();
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let held_ms = Some(trace.held())
        .filter(|held| !held.is_zero())
        .map(|held| u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
    let listener = observer.listener;
    let request_id = trace.id.as_str();
    let subject = trace.subject.get().map_or("-", String::as_str);
    let reason = trace.reason.get().map_or("", String::as_str);
    match status {
        _ if trace.is_fault(status) => {
            tracing::error!(
                listener,
                method,
                path,
                status,
                duration_ms,
                request_id,
                client_request_id,
                subject,
                reason,
                "request"
            );
        }
        _ if is_routine && status < 400 => {
            tracing::debug!(listener, method, path, status, duration_ms, request_id, client_request_id, "request");
        }
        _ => {
            tracing::info!(
                listener,
                method,
                path,
                status,
                duration_ms,
                held_ms,
                request_id,
                client_request_id,
                subject,
                reason,
                "request"
            );
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_of_a_request_is_logged_where_it_is_a_word() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
            client_request_id(&headers)
        };
        for good in ["a", "7c1-x_y.Z", &"x".repeat(64)] {
            assert_eq!(id(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a,b", "a\tb", "\u{e9}", &"x".repeat(65)] {
            assert_eq!(id(bad), None, "{bad}");
        }
        assert_eq!(client_request_id(&HeaderMap::new()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_all_time_but_what_was_held() {
        let seconds = Duration::from_secs;
        let trace = Trace::new("x".to_owned());
        let work = async {
            sleep(seconds(9)).await;
            trace.holding(sleep(seconds(30))).await;
            assert_eq!(trace.held(), seconds(30));
            trace.holding(sleep(seconds(5))).await;
            std::future::pending::<()>().await;
        };
        let started = Instant::now();
        tokio::select! {
            () = work => {}
            () = trace.expired(seconds(10)) => {}
        }
        assert_eq!((started.elapsed(), trace.held()), (seconds(45), seconds(35)));
    }

    /// Takes down the level of each line.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<tracing::Level>>>);

    impl tracing::Subscriber for Levels {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target().starts_with("api_server")
        }

        fn event(&self, event: &tracing::Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn a_poll_of_the_provisioner_and_a_health_check_that_succeed_are_no_news() {
        use tracing::Level;
        struct Nothing;
        impl control_plane::ports::Clock for Nothing {
            fn now(&self) -> seca_api::Timestamp {
                seca_api::Timestamp::from_millis(0)
            }
        }
        impl control_plane::ports::Rng for Nothing {
            fn fill(&self, _: &mut [u8]) {}
        }
        let levels = Levels::default();
        let _guard = tracing::subscriber::set_default(levels.clone());
        let ids = Ids::new(Arc::new(Nothing), Arc::new(Nothing));
        let cases = [
            ("admin", "GET", "/admin/v1/workspaces?binding=none", 200, Level::DEBUG),
            ("admin", "GET", "/healthz", 200, Level::DEBUG),
            ("admin", "GET", "/metrics", 200, Level::DEBUG),
            ("admin", "GET", "/metrics", 401, Level::INFO),
            ("admin", "GET", "/admin/v1/workspaces?binding=none", 401, Level::INFO),
            ("admin", "GET", "/admin/v1/workspaces?binding=none", 503, Level::ERROR),
            ("admin", "GET", "/admin/v1/workspaces?binding=all", 200, Level::INFO),
            ("admin", "GET", "/admin/v1/workspaces", 200, Level::INFO),
            ("public", "GET", "/admin/v1/workspaces?binding=none", 404, Level::INFO),
        ];
        for (listener, method, uri, status, level) in cases {
            let (timeout, meter) = (Duration::from_secs(1), Arc::new(()));
            let observer = Observer { ids: ids.clone(), timeout, listener, meter };
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            log(&observer, &Asked::of(&observer, &request), status, Duration::ZERO);
            assert_eq!(levels.0.lock().unwrap().pop(), Some(level), "{listener} {method} {uri} {status}");
        }
    }
}
