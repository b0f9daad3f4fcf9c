//! The accept loop over real sockets. Deadlines are short here and are waited for, never slept through. What must come
//! before a deadline or outlive it is tested over pipes and under paused time, in `src/listener/tests.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use api_server::{Options, SilentLimits, serve};
use axum::{Router, body::Body, extract::State, http::Request, routing::get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than any deadline of a test: only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);

#[derive(Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

struct Server {
    address: SocketAddr,
    cancel: CancellationToken,
    gate: Gate,
    task: JoinHandle<usize>,
}

async fn start(options: Options) -> Server {
    let gate = Gate::default();
    let held = async |State(gate): State<Gate>| {
        gate.entered.notify_one();
        gate.open.notified().await;
        "held"
    };
    let router = Router::new().route("/", get(async || "fine")).route("/held", get(held)).with_state(gate.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, options, cancel.clone()));
    Server { address, cancel, gate, task }
}

fn options() -> Options {
    let silent = SilentLimits { per_address: None, ..SilentLimits::default() };
    Options { connections: 8, silent, header_timeout: LONG, idle_timeout: LONG, drain_timeout: LONG }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn end(self) -> usize {
        self.cancel.cancel();
        timeout(HANG, self.task).await.unwrap().unwrap()
    }
}

/// Reads until the server closes.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(HANG, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8(bytes).unwrap()
}

async fn exchange(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 512];
    while !seen.ends_with(b"fine") && !seen.ends_with(b"held") {
        let read = timeout(HANG, stream.read(&mut chunk)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&seen));
        seen.extend(&chunk[..read]);
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_whether_it_is_the_first_or_a_later_one() {
    let server = start(Options { header_timeout: SHORT, ..options() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET / HT").await.unwrap();
    assert_eq!(to_the_end(&mut first).await, "");

    let mut later = server.connect().await;
    exchange(&mut later, "/").await;
    let begun = Instant::now();
    later.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    // Bytes that trickle in do not prolong it.
    while later.write_all(b"y").await.is_ok() && begun.elapsed() < HANG {
        if let Ok(Ok(0) | Err(_)) = timeout(SHORT / 10, later.read(&mut [0; 64])).await {
            break;
        }
    }
    assert!(begun.elapsed() < HANG, "it was never cut");
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn draining_accepts_nothing_closes_idle_connections_and_finishes_requests() {
    let server = start(options()).await;
    let mut idle = server.connect().await;
    exchange(&mut idle, "/").await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(HANG, server.gate.entered.notified()).await.unwrap();

    server.cancel.cancel();
    assert_eq!(to_the_end(&mut idle).await, "");
    timeout(HANG, async { while TcpStream::connect(server.address).await.is_ok() {} }).await.expect("nobody listens");
    assert!(!server.task.is_finished());

    server.gate.open.notify_one();
    let text = to_the_end(&mut busy).await;
    assert!(text.ends_with("held") && text.contains("connection: close"), "{text}");
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn a_request_that_outlives_the_drain_is_cut_and_counted() {
    let server = start(Options { drain_timeout: SHORT, ..options() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(HANG, server.gate.entered.notified()).await.unwrap();
    server.cancel.cancel();
    assert_eq!(to_the_end(&mut busy).await, "");
    assert_eq!(server.end().await, 1);
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_slot() {
    let server = start(Options { connections: 1, ..options() }).await;
    let mut first = server.connect().await;
    exchange(&mut first, "/").await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Each time that the server got on with the one within the cap, it might have got on with the other.
    for _ in 0..50 {
        assert!(exchange(&mut first, "/").await.ends_with("fine"), "those within it go on");
        let early = second.try_read(&mut [0; 1]);
        assert!(early.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "served over the cap");
    }
    drop(first);
    assert!(answer(&mut second).await.ends_with("fine"));
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn http2_is_spoken() {
    let server = start(options()).await;
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get(format!("http://{}/", server.address)).body(Body::empty()).unwrap();
        let response = timeout(HANG, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(!connection.is_finished());
    drop(sender);
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn a_head_without_bounds_is_refused() {
    let server = start(options()).await;
    let mut stream = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let text = to_the_end(&mut stream).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn a_head_that_is_refused_before_there_is_a_request_is_answered_without_a_body_or_an_id() {
    let server = start(options()).await;
    let fields = |count: usize| (1..count).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    let check = async |fields: String, status: &str| {
        let mut stream = server.connect().await;
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let text = to_the_end(&mut stream).await;
        assert!(text.starts_with(status) && text.ends_with("\r\n\r\n") && !text.contains("request-id"), "{text}");
    };
    check(fields(101), "HTTP/1.1 431 ").await;
    check("a : b\r\n".to_owned(), "HTTP/1.1 400 ").await;
    let mut stream = server.connect().await;
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", fields(100)).as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.ends_with("fine"));
    drop(stream);
    assert_eq!(server.end().await, 0);
}

/// Whether the server has not closed it: it answers what is sent.
async fn is_open(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut first = [0; 1];
    sent.is_ok() && matches!(timeout(HANG, stream.read(&mut first)).await.expect("closed or answered"), Ok(1))
}

#[tokio::test]
async fn when_more_than_half_of_the_connections_are_silent_the_oldest_go_first() {
    let server = start(options()).await;
    let mut heard = server.connect().await;
    exchange(&mut heard, "/").await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(server.connect().await);
    }
    // All slots but three are taken by somebody who says nothing; whoever comes next gets in all the same.
    for oldest in 0..2 {
        silent.push(server.connect().await);
        assert_eq!(to_the_end(&mut silent[oldest]).await, "", "the oldest");
    }
    for stream in &mut silent[2..] {
        assert!(is_open(stream).await);
    }
    assert!(exchange(&mut heard, "/").await.ends_with("fine"), "who said something stays");
    drop((silent, heard));
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn silent_connections_of_one_address_have_a_limit_that_proxies_do_not_have() {
    let limited = |trusted: &[&str]| {
        let trusted_proxies = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Options { connections: 64, silent: SilentLimits { per_address: Some(3), trusted_proxies }, ..options() }
    };
    let server = start(limited(&["10.0.0.0/8"])).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(server.connect().await);
    }
    silent.push(server.connect().await);
    assert_eq!(to_the_end(&mut silent[0]).await, "", "the oldest of the address");
    for stream in &mut silent[1..] {
        assert!(is_open(stream).await);
    }
    // Heard ones do not count.
    for _ in 0..3 {
        silent.push(server.connect().await);
    }
    for stream in &mut silent[4..] {
        assert!(is_open(stream).await);
    }
    drop(silent);
    assert_eq!(server.end().await, 0);

    let server = start(limited(&["127.0.0.0/8"])).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(server.connect().await);
    }
    for stream in &mut silent {
        assert!(is_open(stream).await, "of a proxy");
    }
    drop(silent);
    assert_eq!(server.end().await, 0);
}
