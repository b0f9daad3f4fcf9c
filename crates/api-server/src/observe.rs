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
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response},
    middleware::{Next, from_fn_with_state},
    response::IntoResponse as _,
};
use control_plane::ports::Ids;
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    answer::{Failure, finished},
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

    /// The trace of a request; one of its own where the request never passed [`observe`].
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

/// The router with all this around it. The two layers are one for axum, which puts each layer of a router in a box of its own.
pub(crate) fn observed(router: Router, observer: Observer) -> Router {
    let layers =
        ServiceBuilder::new().layer(from_fn_with_state(observer, observe)).layer(CatchPanicLayer::custom(panicked));
    router.layer(layers)
}

/// What the client of a request that panicked is told, and what the log says of it.
fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    Failure::internal(format!("panic: {}", panic_text(panic.as_ref()))).into_response()
}

/// The layer.
async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let trace = Trace::new(observer.ids.uid().to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_routine = is_routine(&observer, &request);
    let is_pretty = query::is_pretty(request.uri().query().unwrap_or_default());
    let client_request_id = client_request_id(request.headers());
    request.extensions_mut().insert(Arc::clone(&trace));

    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = trace.expired(observer.timeout) => {
            Failure::unavailable(&method, "the request deadline passed").into_response()
        }
    };
    let mut response = finished(response, &path, is_pretty, &trace).await;
    if let Ok(value) = HeaderValue::from_str(trace.id()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let asked =
        Asked { method: method.as_str(), path: &path, is_routine, client_request_id: client_request_id.as_deref() };
    let (status, duration) = (response.status().as_u16(), started.elapsed());
    log(&observer, &trace, &asked, status, duration);
    let (operation, kind) = trace.about.get().copied().unwrap_or(("other", "none"));
    let held = trace.held();
    let took = duration.saturating_sub(held);
    observer.meter.answered(&Answered { listener: observer.listener, operation, kind, status, took, held });
    response
}

/// A request, as its line of the log names it.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    is_routine: bool,
    /// What the client calls it.
    client_request_id: Option<&'a str>,
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
        "/healthz" | "/readyz" => true,
        "/metrics" => observer.listener == "admin",
        "/admin/v1/workspaces" => {
            observer.listener == "admin"
                && *request.method() == http::Method::GET
                && uri.query() == Some("binding=none")
        }
        _ => false,
    }
}

fn log(observer: &Observer, trace: &Trace, asked: &Asked<'_>, status: u16, duration: Duration) {
    let Asked { method, path, is_routine, client_request_id } = *asked;
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
            let is_routine = is_routine(&observer, &request);
            let asked = Asked { method, path: request.uri().path(), is_routine, client_request_id: None };
            log(&observer, &Trace::new("x".to_owned()), &asked, status, Duration::ZERO);
            assert_eq!(levels.0.lock().unwrap().pop(), Some(level), "{listener} {method} {uri} {status}");
        }
    }
}
