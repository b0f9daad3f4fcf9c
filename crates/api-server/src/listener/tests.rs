//! The defaults, under paused time and over pipes instead of sockets.

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::Instant,
};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn serve_one() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let router = Router::new().route("/", get(async || "fine"));
        connection(theirs, Peer::default(), router, Options::default(), &CancellationToken::new()).await;
    });
    ours
}

async fn exchange(stream: &mut DuplexStream) {
    stream.write_all(REQUEST).await.unwrap();
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
        connection(theirs, Peer::default(), router, Options::default(), &CancellationToken::new()).await;
    });
    ours.write_all(REQUEST).await.unwrap();
    let since = Instant::now();
    served.await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 150);
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let Options { connections, header_timeout, idle_timeout, drain_timeout } = Options::default();
    assert_eq!((connections, HEAD_BYTES), (4096, 65_536));
    assert_eq!([header_timeout, idle_timeout, drain_timeout].map(|time| time.as_secs()), [10, 150, 10]);
}
