//! Limits of one request and of one caller, through the router and under paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api_server::{ApiConfig, Limits, Rate, Rates, public_router_over};
use async_trait::async_trait;
use authentication::{AuthError, Authenticator, StaticTokens};
use axum::{Router, body::Body, body::Bytes, http::HeaderMap};
use common::{Answer, Stub, TOKENS, ask, config, limits, request, with};
use control_plane::service::Caller;
use futures::{future::join_all, stream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const INSTANCE: &str = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/i";
const ELSEWHERE: &str = "/providers/seca.compute/v1/tenants/nobody/workspaces/w/instances/i";

/// One write and one read at once, then one a second.
fn slow() -> (Arc<Stub>, Router) {
    let stub = Arc::new(Stub::default());
    let rates = Rates { writes: Rate::new(1, 1), reads: Rate::new(1, 1) };
    let config = ApiConfig { limits: Limits { rates, ..limits() }, ..config() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    let router = public_router_over(stub.clone(), tokens, config, CancellationToken::new());
    (stub, router)
}

async fn at_once(router: &Router, method: &str, path: &str, body: Option<&str>, count: usize) -> Vec<Answer> {
    join_all((0..count).map(|_| ask(router, request(method, path, body)))).await
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status.as_u16()).collect()
}

#[tokio::test(start_paused = true)]
async fn writes_over_the_rate_wait_up_to_five_seconds_and_are_then_refused() {
    let actions = format!("{INSTANCE}/start");
    for (method, path, body, status) in
        [("PUT", INSTANCE, Some("{}"), 200), ("DELETE", INSTANCE, None, 202), ("POST", actions.as_str(), None, 202)]
    {
        let (stub, router) = slow();
        let started = Instant::now();
        let answers = at_once(&router, method, path, body, 7).await;
        assert_eq!(statuses(&answers), [status, status, status, status, status, status, 429], "{method}");
        let detail = answers[6].problem(429, path);
        assert!(detail.contains("more than 1 writes a second") && detail.contains("send it again in 1 s"), "{detail}");
        assert_eq!(answers[6].header("retry-after"), "1");
        assert_eq!((started.elapsed().as_secs(), stub.asked().len()), (5, 6));
    }
}

#[tokio::test(start_paused = true)]
async fn reads_over_the_rate_wait_and_are_served() {
    let (stub, router) = slow();
    let started = Instant::now();
    let answers = at_once(&router, "GET", INSTANCE, None, 20).await;
    assert_eq!(statuses(&answers), [200; 20]);
    assert_eq!((started.elapsed().as_secs(), stub.asked().len()), (5, 20));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_authenticated_takes_no_turn_and_what_asks_for_nothing_of_a_tenant_has_none() {
    let (_, router) = slow();
    let started = Instant::now();
    let stranger = || with(request("PUT", INSTANCE, Some("{}")), "authorization", "Bearer stranger");
    let strangers = join_all((0..50).map(|_| ask(&router, stranger()))).await;
    assert_eq!(statuses(&strangers), [401; 50]);
    for path in ["/healthz", "/readyz", "/.well-known/secapi", "/openapi"] {
        assert_eq!(statuses(&at_once(&router, "GET", path, None, 50).await), [200; 50], "{path}");
    }
    assert_eq!(statuses(&at_once(&router, "PUT", INSTANCE, Some("{}"), 1).await), [200]);
    assert_eq!(started.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_does_not_exist_counts_for_the_subject_alone() {
    let (_, router) = slow();
    let answers = at_once(&router, "PUT", ELSEWHERE, Some("{}"), 7).await;
    assert_eq!(answers[6].status, 429);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_turn_is_no_part_of_the_request_deadline() {
    let stub = Arc::new(Stub { hang: true, ..Stub::default() });
    let rates = Rates { writes: Rate::new(1, 1), reads: None };
    let limits = Limits { rates, request_timeout: Duration::from_secs(2), ..limits() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    let router = public_router_over(stub, tokens, ApiConfig { limits, ..config() }, CancellationToken::new());
    let started = Instant::now();
    let answers = at_once(&router, "DELETE", INSTANCE, None, 6).await;
    assert_eq!(statuses(&answers), [503; 6]);
    assert_eq!(started.elapsed().as_secs(), 5 + 2);
}

/// A token that is withdrawn at a moment.
struct Until(Instant);

#[async_trait]
impl Authenticator for Until {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Caller, AuthError> {
        if Instant::now() < self.0 { Ok(Caller::new("ada")) } else { Err(AuthError::Rejected) }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_withdrawn_during_the_wait_for_a_turn_or_a_slow_body_gets_nothing() {
    let router = |rates| {
        let stub = Arc::new(Stub::default());
        let config = ApiConfig { limits: Limits { rates, ..limits() }, ..config() };
        let until = Arc::new(Until(Instant::now() + Duration::from_millis(2500)));
        (stub.clone(), public_router_over(stub, until, config, CancellationToken::new()))
    };
    let one = Rates { writes: Rate::new(1, 1), reads: Rate::new(1, 1) };
    for (method, body, status) in [("PUT", Some("{}"), 200), ("DELETE", None, 202), ("GET", None, 200)] {
        let (stub, router) = router(one);
        let answers = at_once(&router, method, INSTANCE, body, 5).await;
        assert_eq!(statuses(&answers), [status, status, status, 401, 401], "{method}");
        assert_eq!(stub.asked().len(), 3, "{method}");
    }
    for (seconds, status) in [(2, 200), (3, 401)] {
        let (stub, router) = router(Rates { writes: None, reads: None });
        let late = stream::once(async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"{}"))
        });
        let answer = ask(&router, request("PUT", INSTANCE, Some("{}")).map(|_| Body::from_stream(late))).await;
        assert_eq!((answer.status.as_u16(), stub.asked().len()), (status, usize::from(status == 200)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_408_at_the_deadline_however_lively_it_is() {
    let (stub, router) = slow();
    let trickle = stream::unfold((), async |()| {
        sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
    });
    let started = Instant::now();
    let answer = ask(&router, request("PUT", INSTANCE, Some("{}")).map(|_| Body::from_stream(trickle))).await;
    answer.problem(408, INSTANCE);
    assert_eq!(started.elapsed().as_secs(), limits().body_timeout.as_secs());
    assert!(stub.asked().is_empty());
}

/// A chunk of a body; it is known how many there are.
struct Chunk(Arc<Chunks>);

#[derive(Default)]
struct Chunks {
    alive: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

static CHUNK: [u8; 64 * 1024] = [b'['; 64 * 1024];

impl Chunk {
    fn of(chunks: &Arc<Chunks>) -> Bytes {
        chunks.all.fetch_add(1, Ordering::SeqCst);
        let alive = chunks.alive.fetch_add(1, Ordering::SeqCst) + 1;
        chunks.most.fetch_max(alive, Ordering::SeqCst);
        Bytes::from_owner(Self(Arc::clone(chunks)))
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &CHUNK
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn router_with(stub: &Arc<Stub>, limits: Limits) -> Router {
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    public_router_over(stub.clone(), tokens, ApiConfig { limits, ..config() }, CancellationToken::new())
}

#[tokio::test(start_paused = true)]
async fn the_body_of_who_may_not_is_drained_unparsed_and_no_more_of_it_is_kept_than_a_chunk() {
    const MIB: usize = 1024 * 1024;
    let stub = Arc::new(Stub { forbids: true, ..Stub::default() });
    let router = router_with(&stub, Limits { body_bytes: MIB, ..limits() });
    for (announced, drained) in [(MIB, MIB), (100 * MIB, 8 * MIB)] {
        let chunks = Arc::<Chunks>::default();
        let body = stream::iter((0..announced / CHUNK.len()).map({
            let chunks = Arc::clone(&chunks);
            move |_| Ok::<_, Infallible>(Chunk::of(&chunks))
        }));
        // No JSON, and no type of it: what it says is nothing for who may not say it.
        let mut put = request("PUT", INSTANCE, None).map(|_| Body::from_stream(body));
        put.headers_mut().insert("if-unmodified-since", "yesterday".parse().unwrap());
        let detail = ask(&router, put).await.problem(403, INSTANCE);
        assert!(detail.contains("dev may not put"), "{detail}");
        let seen = [&chunks.all, &chunks.most, &chunks.alive].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(seen, [drained / CHUNK.len(), 1, 0]);
    }
    // One that trickles is not waited for, and who asks before sending is answered.
    let started = Instant::now();
    let never =
        || request("PUT", INSTANCE, None).map(|_| Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    ask(&router, never()).await.problem(403, INSTANCE);
    assert_eq!(started.elapsed().as_secs(), 2);
    ask(&router, with(never(), "expect", "100-continue")).await.problem(403, INSTANCE);
    assert_eq!(started.elapsed().as_secs(), 2);
    assert!(stub.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn documents_that_are_parsed_share_their_room_and_the_next_waits_five_seconds_unparsed() {
    assert_eq!(Limits::default().parsed_bytes, 64 * 1024 * 1024);
    const LARGE: usize = 64 * 1024;
    const TWICE: &str = r#"{"a":1,"a":1}"#;
    let stub = Arc::new(Stub { hang: true, ..Stub::default() });
    let router = router_with(&stub, Limits { body_bytes: LARGE, parsed_bytes: 16 * LARGE, ..limits() });
    let document = |text: &str| {
        let mut document = text.to_owned();
        document.extend(std::iter::repeat_n(' ', LARGE - text.len()));
        document
    };
    let started = Instant::now();
    let put = async |text: &str| ask(&router, request("PUT", INSTANCE, Some(&document(text)))).await;
    // A document of one value takes its text and something for the value: 15 of 64 KiB are all with the service, which keeps
    // them for the 20 s of a request.
    let held = join_all((0..15).map(|_| put("{}")));
    let late = async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(stub.asked().len(), 15);
        // What is wrong with it is found by parsing it, and while there is no room nobody does.
        let refused = put(TWICE).await;
        let detail = refused.problem(429, INSTANCE);
        assert!(detail.contains("nothing was changed: send it again in 5 s"), "{detail}");
        assert_eq!((refused.header("retry-after"), started.elapsed().as_secs()), ("5", 5));
        assert_eq!(stub.asked().len(), 15);
        // What is seen without parsing is told at once, and a small document finds its place.
        put("{").await.problem(400, INSTANCE);
        ask(&router, request("PUT", INSTANCE, Some(TWICE))).await.problem(400, INSTANCE);
        assert_eq!(started.elapsed().as_secs(), 5);
        sleep(Duration::from_secs(12)).await;
        put(TWICE).await.problem(400, INSTANCE);
        assert_eq!(started.elapsed().as_secs(), 20, "as soon as there is room");
    };
    let (answers, ()) = tokio::join!(held, late);
    assert_eq!(statuses(&answers), [503; 15]);
}
