//! Listeners over TLS: real sockets, certificates made by the test. Waits are for state.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use api_server::{AdminConfig, ClientCertificate, Options, Readiness, Tls, TlsFiles, admin_router, serve_tls};
use axum::{Extension, Router, body::Body, http::Request, routing::get};
use common::{Stub, router};
use control_plane::{ports::Clock, testing::MemoryStore};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use seca_api::Timestamp;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

const HANG: Duration = Duration::from_secs(20);

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate until 2100 and its key, in PEM.
    fn sign(
        &self,
        names: &[&str],
        common_name: &str,
        usage: impl Into<Option<ExtendedKeyUsagePurpose>>,
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = usage.into().into_iter().collect();
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> (String, String) {
        self.sign(&["localhost"], "server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, name: &str) -> (String, String) {
        self.sign(&[], name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client that trusts it, with a certificate of its own or none.
    fn connector(&self, own: Option<&(String, String)>, protocols: &[&str]) -> TlsConnector {
        self.connector_of(own, protocols, rustls::DEFAULT_VERSIONS)
    }

    fn connector_of(
        &self,
        own: Option<&(String, String)>,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    fs::write(folder.join("cert.pem"), certificate).unwrap();
    fs::write(folder.join("key.pem"), key).unwrap();
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

struct Server {
    folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<usize>,
}

impl Server {
    async fn start(router: Router, options: Options, clients: Option<&Authority>) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        write(folder.path(), &authority.server());
        let client_ca = clients.map(|clients| {
            let path = folder.path().join("ca.pem");
            fs::write(&path, clients.0.pem()).unwrap();
            path
        });
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let tls = Tls::load(TlsFiles { certificate, key, client_ca }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cancel) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve_tls(listener, tls, router, options, cancel.clone()));
        Self { folder, authority, address, cancel, task }
    }

    async fn connect(&self, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        timeout(HANG, connector.connect(ServerName::try_from("localhost").unwrap(), stream)).await.unwrap()
    }

    /// What one HTTP/1.1 request is answered; nothing where the connection is refused.
    async fn ask(&self, own: Option<&(String, String)>, path: &str, headers: &str) -> String {
        let Ok(mut stream) = self.connect(&self.authority.connector(own, &["http/1.1"])).await else {
            return String::new();
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        let mut answer = Vec::new();
        // A refused certificate is told when the client reads, for its part of the handshake is over before.
        if stream.write_all(request.as_bytes()).await.is_ok() {
            let _ = timeout(HANG, stream.read_to_end(&mut answer)).await.unwrap();
        }
        String::from_utf8(answer).unwrap()
    }

    async fn end(self) -> usize {
        self.cancel.cancel();
        timeout(HANG, self.task).await.unwrap().unwrap()
    }
}

async fn who(certificate: Option<Extension<ClientCertificate>>) -> String {
    certificate.map_or("nobody".to_owned(), |Extension(certificate)| certificate.name().to_owned())
}

fn open() -> Router {
    Router::new().route("/", get(who))
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_url_that_is_advertised_is_https() {
    let server = Server::start(router(Arc::new(Stub::default())), Options::default(), None).await;
    let text = server.ask(None, "/.well-known/secapi", "").await;
    assert!(text.contains("\"https://localhost/providers/seca.region\""), "{text}");

    let stream = server.connect(&server.authority.connector(None, &["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/healthz").body(Body::empty()).unwrap();
    assert_eq!(timeout(HANG, sender.send_request(request)).await.unwrap().unwrap().status(), 200);
    drop(sender);
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn a_client_certificate_that_is_verified_names_the_caller_and_another_one_ends_the_handshake() {
    let (ours, others) = (Authority::new(), Authority::new());
    let server = Server::start(open(), Options::default(), Some(&ours)).await;
    assert!(server.ask(None, "/", "").await.ends_with("nobody"));
    assert!(server.ask(Some(&ours.client("ops")), "/", "").await.ends_with("ops"));
    assert_eq!(server.ask(Some(&others.client("ops")), "/", "").await, "");
    assert!(server.ask(Some(&ours.sign(&[], "any", None)), "/", "").await.ends_with("any"), "of no stated usage");
    let of_a_server = ours.sign(&["localhost"], "ops", ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(server.ask(Some(&of_a_server), "/", "").await, "");
    assert_eq!(server.end().await, 0);
}

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Hand {
    /// Seconds since 1970.
    fn set(&self, seconds: i64) {
        self.0.store(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The second at which the certificates end.
const END: i64 = 4_102_444_800;

fn admin(clock: Arc<dyn Clock>) -> Router {
    let store = Arc::new(MemoryStore::default());
    let readiness = Readiness::new(store.clone(), CancellationToken::new());
    let config = AdminConfig { clock, ..common::admin_config() };
    admin_router(common::bindings(store.clone()), common::administration(store), readiness, config)
}

#[tokio::test]
async fn the_admin_api_takes_a_client_certificate_instead_of_its_token() {
    let ours = Authority::new();
    let server = Server::start(admin(Arc::new(common::FixedClock)), Options::default(), Some(&ours)).await;
    let path = "/admin/v1/workspaces";
    let token = "authorization: Bearer admin-secret\r\n";
    let cases = [
        (None, "", "401"),
        (None, token, "200"),
        (Some(ours.client("ops")), "", "200"),
        // Without a common name nobody is named.
        (Some(ours.client("")), "", "401"),
        // That is the name of whoever has the token.
        (Some(ours.client("default")), "", "401"),
        (Some(ours.client("default")), token, "200"),
    ];
    for (own, headers, status) in cases {
        let text = server.ask(own.as_ref(), path, headers).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{} {headers}: {text}", own.is_some());
    }
    assert_eq!(server.end().await, 0);
}

/// What a request of the admin API is answered on a connection that is kept.
async fn ask_again(stream: &mut TlsStream<TcpStream>, headers: &str) -> String {
    let request = format!("GET /admin/v1/workspaces HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    // All answers there are JSON objects in one piece, and a newline.
    while !seen.ends_with(b"}\n") {
        assert_ne!(timeout(HANG, stream.read_buf(&mut seen)).await.unwrap().unwrap(), 0, "closed");
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_connection_that_is_kept_outlives_neither_its_certificate_nor_its_authority() {
    let (ours, clock) = (Authority::new(), Arc::new(Hand(AtomicI64::new(0))));
    let server = Server::start(admin(clock.clone()), Options::default(), Some(&ours)).await;
    clock.set(END);
    let connector = server.authority.connector(Some(&ours.client("ops")), &["http/1.1"]);
    let mut kept = server.connect(&connector).await.unwrap();
    let check = |text: &str, status: &str| assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
    check(&ask_again(&mut kept, "").await, "200");
    clock.set(END + 1);
    let text = ask_again(&mut kept, "").await;
    check(&text, "401");
    assert!(text.contains("the client certificate of `ops` does not hold any more"), "{text}");
    check(&ask_again(&mut kept, "authorization: Bearer admin-secret\r\n").await, "200");
    clock.set(END);
    check(&ask_again(&mut kept, "").await, "200");

    fs::write(server.folder.path().join("ca.pem"), Authority::new().0.pem()).unwrap();
    let withdrawn = async {
        while !ask_again(&mut kept, "").await.starts_with("HTTP/1.1 401") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(HANG, withdrawn).await.expect("the authority is none any more");
    drop(kept);
    assert_eq!(server.end().await, 0);
}

#[tokio::test]
async fn no_session_is_resumed_where_client_certificates_are_asked_for() {
    let ours = Authority::new();
    let second = async |clients: Option<&Authority>, version| {
        let server = Server::start(open(), Options::default(), clients).await;
        let connector = server.authority.connector_of(Some(&ours.client("ops")), &["http/1.1"], &[version]);
        let mut kind = None;
        for _ in 0..2 {
            let mut stream = server.connect(&connector).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
            // Tickets come before the answer.
            timeout(HANG, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
            kind = stream.get_ref().1.handshake_kind();
        }
        assert_eq!(server.end().await, 0);
        kind
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(second(None, version).await, Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(second(Some(&ours), version).await, Some(HandshakeKind::Full), "{version:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_by_new_connections_and_the_old_ones_go_on() {
    let server = Server::start(open(), Options::default(), None).await;
    let connector = server.authority.connector(None, &["http/1.1"]);
    let mut old = server.connect(&connector).await.unwrap();
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    write(server.folder.path(), &server.authority.server());
    let renewed = async {
        while shown(&server.connect(&connector).await.unwrap()) == shown(&old) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(HANG, renewed).await.expect("the new certificate is used");
    old.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(HANG, old.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.end().await, 0);
}

/// Asks who asks, on a connection that is kept.
async fn greet(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"nobody") {
        assert_ne!(timeout(HANG, stream.read_buf(&mut seen)).await.unwrap().unwrap(), 0, "closed");
    }
}

#[tokio::test]
async fn a_handshake_takes_a_slot_has_a_deadline_and_does_not_hold_up_a_drain() {
    let options = Options { header_timeout: Duration::from_millis(300), ..Options::default() };
    let server = Server::start(open(), options, None).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(timeout(HANG, silent.read(&mut [0; 1])).await.unwrap().unwrap(), 0, "it was cut");
    let mut clear = TcpStream::connect(server.address).await.unwrap();
    clear.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(HANG, clear.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.end().await, 0);

    let options = Options { connections: 2, header_timeout: Duration::from_secs(600), ..Options::default() };
    let server = Server::start(open(), options, None).await;
    let mut kept = server.connect(&server.authority.connector(None, &["http/1.1"])).await.unwrap();
    greet(&mut kept).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut third = Box::pin(server.ask(None, "/", ""));
    // Each time that the server got on with one that has a slot, it might have got on with the third.
    for _ in 0..50 {
        tokio::select! {
            biased;
            answer = &mut third => panic!("a handshake takes no slot: {answer}"),
            () = greet(&mut kept) => {}
        }
    }
    drop(silent);
    assert!(timeout(HANG, third).await.expect("the slot is free again").ends_with("nobody"));
    drop(kept);
    assert_eq!(server.end().await, 0);

    let server = Server::start(open(), Options { drain_timeout: HANG, ..Options::default() }, None).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    assert!(server.ask(None, "/", "").await.ends_with("nobody"));
    assert_eq!(server.end().await, 0);
}
