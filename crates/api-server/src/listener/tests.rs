//! The defaults, under paused time and over pipes instead of sockets.

use axum::{extract::State, routing::get};
use hyper::client::conn::http2;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::Notify,
    time::Instant,
};

use super::*;

const DEADLINES: Deadlines = Deadlines { head: Duration::from_secs(10), idle: Duration::from_secs(150) };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn serve_one() -> DuplexStream {
    serve_router(Router::new().route("/", get(async || "fine")), DEADLINES)
}

fn serve_router(router: Router, deadlines: Deadlines) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        connection(theirs, Peer::default(), router, deadlines, &CancellationToken::new()).await;
    });
    ours
}

async fn exchange(stream: &mut DuplexStream) {
    stream.write_all(REQUEST).await.unwrap();
    answer(stream).await;
}

async fn answer(stream: &mut DuplexStream) {
    let (mut seen, mut chunk) = (Vec::new(), [0; 512]);
    while !seen.ends_with(b"fine") {
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "closed");
        seen.extend(&chunk[..read]);
    }
}

/// Seconds until the other end closes.
async fn closed_after(stream: &mut DuplexStream) -> u64 {
    let since = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    since.elapsed().as_secs()
}

/// Go's clients drop an idle connection at 90 s, and repeat no PUT that met one closed by the server.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_longer_than_two_minutes() {
    let mut stream = serve_one();
    for _ in 0..3 {
        exchange(&mut stream).await;
        sleep(Duration::from_secs(120)).await;
    }
    exchange(&mut stream).await;
    assert_eq!(closed_after(&mut stream).await, 150);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_outlives_the_deadline_of_idle_connections() {
    let (entered, open) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = async |State((entered, open)): State<(Arc<Notify>, Arc<Notify>)>| {
        entered.notify_one();
        open.notified().await;
        "fine"
    };
    let router = Router::new().route("/", get(held)).with_state((entered.clone(), open.clone()));
    let mut busy = serve_router(router, DEADLINES);
    busy.write_all(REQUEST).await.unwrap();
    entered.notified().await;
    let silent = &mut serve_one();
    assert_eq!(closed_after(silent).await, 150);
    let longer = Duration::from_secs(600);
    assert!(timeout(longer, busy.read(&mut [0; 1])).await.is_err(), "a request was cut");
    open.notify_one();
    answer(&mut busy).await;
    assert_eq!(closed_after(&mut busy).await, 150);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_the_deadline_of_a_head_over_http_1_and_2() {
    let deadlines = Deadlines { head: Duration::from_secs(1), ..DEADLINES };
    let fine = || serve_router(Router::new().route("/", get(async || "fine")), deadlines);
    let mut kept = fine();
    for _ in 0..2 {
        exchange(&mut kept).await;
        assert!(timeout(deadlines.idle / 2, kept.read(&mut [0; 1])).await.is_err(), "closed while idle");
    }
    let (mut sender, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(fine())).await.unwrap();
    let mut connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = http::Request::get("http://x/").body(Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        assert!(timeout(deadlines.idle / 2, &mut connection).await.is_err(), "closed while idle");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_ten_seconds_after_its_first_byte() {
    let mut stream = serve_one();
    sleep(Duration::from_secs(100)).await;
    let since = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nhost: trickling".iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(since.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_sends_nothing_or_takes_nothing_is_cut_when_idle() {
    assert_eq!(closed_after(&mut serve_one()).await, 150);
    let (mut ours, theirs) = tokio::io::duplex(64);
    let served = tokio::spawn(async move {
        let router = Router::new().route("/", get(async || "x".repeat(100_000)));
        connection(theirs, Peer::default(), router, DEADLINES, &CancellationToken::new()).await;
    });
    ours.write_all(REQUEST).await.unwrap();
    let since = Instant::now();
    served.await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 150);
}

/// The bytes of an HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Speaks HTTP/2 by hand: a connection on which one request was answered.
async fn answered_over_http2() -> DuplexStream {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const END_OF_STREAM_AND_HEAD: u8 = 5;
    let mut stream = serve_one();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    // GET, http, /, and the authority `x`, as HPACK has them.
    let head = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    stream.write_all(&frame(HEADERS, END_OF_STREAM_AND_HEAD, 1, &head)).await.unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 512]);
    while !String::from_utf8_lossy(&seen).contains("fine") {
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "closed");
        seen.extend(&chunk[..read]);
    }
    stream
}

#[tokio::test(start_paused = true)]
async fn a_head_of_http2_that_trickles_does_not_prolong_an_idle_connection() {
    let mut stream = answered_over_http2().await;
    let since = Instant::now();
    // A frame that promises 16,000 bytes of a head.
    stream.write_all(&[0, 0x3e, 0x80, 1, 4, 0, 0, 0, 3]).await.unwrap();
    while stream.write_all(&[0]).await.is_ok() && since.elapsed() < Duration::from_secs(600) {
        sleep(Duration::from_secs(5)).await;
    }
    // Seen with the next byte.
    assert!((150..=155).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_prolong_an_idle_connection_and_requests_do() {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(5)).keep_alive_while_idle(true);
    let (mut sender, connection) = builder.handshake::<_, Body>(TokioIo::new(serve_one())).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("http://x/").body(Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        sleep(Duration::from_secs(120)).await;
        assert!(!connection.is_finished());
    }
    let since = Instant::now();
    let _ = timeout(Duration::from_secs(600), connection).await.expect("closed while only pings come");
    assert_eq!(since.elapsed().as_secs(), 30);
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let Options { connections, silent, header_timeout, idle_timeout, drain_timeout } = Options::default();
    assert_eq!((silent.per_address, silent.trusted_proxies.len()), (Some(256), 0));
    assert_eq!((header_timeout, idle_timeout), (DEADLINES.head, DEADLINES.idle));
    assert_eq!((connections, HEAD_BYTES), (4096, 65_536));
    assert_eq!([header_timeout, idle_timeout, drain_timeout].map(|time| time.as_secs()), [10, 150, 10]);
}
