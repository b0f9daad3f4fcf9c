//! The proxy as a process that may open few files: connections of the public listener take none that others need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use common::{
    PATIENCE, http,
    proxy::{ADMIN_TOKEN, BEARER, Setup, TENANT},
    until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// Connections of the public listener under a limit of 256 files; the rest of them is the process's and the operators'.
const PUBLIC: usize = 96;

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Asks on a connection that is kept; the beginning of the answer.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {BEARER}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.expect("it is answered").unwrap();
    answer.truncate(read);
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_listener_full_of_idle_connections_leaves_the_others_their_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Setup::new(folder.path(), "http://127.0.0.1:9/v1").with_open_files(256).serve().await;
    assert!(
        proxy.process.output().contains("let the hard limit of open files be 4480 or more"),
        "{}",
        proxy.process.output()
    );

    let mut kept = Vec::new();
    for _ in 0..PUBLIC {
        let mut stream = connect(&proxy.public).await;
        assert!(ask(&mut stream, "/healthz").await.starts_with("HTTP/1.1 200"));
        kept.push(stream);
    }
    // More than there are descriptors; the last ones may have to wait for the system, too.
    let mut waiting = JoinSet::new();
    let connected = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let (public, connected) = (proxy.public.clone(), connected.clone());
        waiting.spawn(async move {
            let _held = connect(&public).await;
            connected.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
    }
    let many = async || (connected.load(Ordering::Relaxed) >= 100).then_some(());
    until("connections that wait", PATIENCE, many).await;

    for _ in 0..10 {
        // Each comes with a connection of its own, and reads the database.
        let client = http();
        let answer = client.get(format!("{}/readyz", proxy.admin)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let workspaces = client.get(format!("{}/admin/v1/workspaces", proxy.admin)).bearer_auth(ADMIN_TOKEN);
        assert_eq!(workspaces.send().await.unwrap().status(), 200);
    }
    let path = format!("/providers/seca.workspace/v1/tenants/{TENANT}/workspaces");
    let text = ask(&mut kept[0], &path).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");

    drop((kept, waiting));
    let mut new = connect(&proxy.public).await;
    assert!(ask(&mut new, "/readyz").await.starts_with("HTTP/1.1 200"), "there is room again");
    assert!(!proxy.process.output().contains("cannot accept connections"), "{}", proxy.process.output());
    assert_eq!(proxy.stop().await, Some(0));
}
