//! `HcloudClient` over loopback: what goes out, what failures are called, what is never shown.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use futures::StreamExt;
use hcloud_client::types::{CreateServer, Id, UserData};
use hcloud_client::{
    Access, ApiRequest, Error, ErrorClass, Hcloud, HcloudApi, HcloudClient, HttpSettings, Method, ProjectClient,
    RetryPolicy, TransportErrorKind,
};
use support::{TOKEN, world};
use tokio::net::TcpListener;

fn settings(timeout: Duration) -> HttpSettings {
    HttpSettings { request_timeout: timeout, user_agent: "test/1".to_owned(), ..HttpSettings::default() }
}

/// Serves on a free port; the address ends in `/v1`.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn request(endpoint: &str, method: Method) -> ApiRequest {
    ApiRequest {
        body: (method != Method::GET).then(|| b"{\"name\":\"x\"}".to_vec()),
        method,
        endpoint: endpoint.parse().unwrap(),
        path: "/servers".to_owned(),
        query: vec![("label_selector".to_owned(), "a=b".to_owned())],
        token: TOKEN.to_owned().into(),
    }
}

fn api(timeout: Duration) -> HcloudClient {
    HcloudClient::new(&settings(timeout)).unwrap()
}

#[tokio::test]
async fn the_request_carries_bearer_agent_query_and_body_and_the_answer_its_headers() {
    let endpoint = serve(Router::new().route(
        "/v1/servers",
        any(|request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1000).await.unwrap();
            let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
            let text = [
                parts.method.to_string(),
                parts.uri.to_string(),
                header("authorization"),
                header("user-agent"),
                header("content-type"),
                String::from_utf8(body.to_vec()).unwrap(),
            ];
            Response::builder().status(201).header("RateLimit-Remaining", "7").body(Body::from(text.join("|"))).unwrap()
        }),
    ))
    .await;
    let answer = api(Duration::from_secs(30)).send(request(&endpoint, Method::POST)).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["ratelimit-remaining"], "7");
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        format!("POST|/v1/servers?label_selector=a%3Db|Bearer {TOKEN}|test/1|application/json|{{\"name\":\"x\"}}")
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_so_that_the_token_stays_here() {
    let endpoint = serve(Router::new().route(
        "/v1/servers",
        any(|| async {
            Response::builder()
                .status(307)
                .header("location", "http://127.0.0.1:9/elsewhere")
                .body(Body::empty())
                .unwrap()
        }),
    ))
    .await;
    let answer = api(Duration::from_secs(30)).send(request(&endpoint, Method::GET)).await.unwrap();
    assert_eq!(answer.status, 307);
}

/// A port on which nobody listens.
async fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

/// A port that hangs up on whoever sends something.
async fn hangs_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        }
    });
    address
}

async fn never_answers() -> String {
    serve(Router::new().route("/v1/servers", any(std::future::pending::<()>))).await
}

#[tokio::test]
async fn failures_say_whether_the_provider_may_have_seen_the_request() {
    let timeout = Duration::from_millis(200);
    for (endpoint, kind) in [
        (closed().await, TransportErrorKind::NotSent),
        (hangs_up().await, TransportErrorKind::Broken),
        (never_answers().await, TransportErrorKind::Timeout),
    ] {
        let error = api(timeout).send(request(&endpoint, Method::POST)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    let mut unsendable = request("http://127.0.0.1:9/v1", Method::GET);
    unsendable.token = "two\nlines".to_owned().into();
    let error = api(timeout).send(unsendable).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::NotSent);
    assert!(!error.to_string().contains("lines"));
}

const MIB: usize = 1 << 20;

/// Answers with a body of so many MiB and counts those that it handed over; without an end for `None`.
async fn bodies(mebibytes: Option<usize>, announced: Option<u64>) -> (String, Arc<AtomicUsize>) {
    let handed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handed);
    let endpoint = serve(Router::new().fallback(any(move || {
        let counter = Arc::clone(&counter);
        async move {
            let pieces = futures::stream::iter(0..mebibytes.unwrap_or(usize::MAX)).map(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(vec![b' '; MIB])
            });
            let mut response = Response::builder();
            if let Some(length) = announced {
                response = response.header("content-length", length);
            }
            response.body(Body::from_stream(pieces)).unwrap()
        }
    })))
    .await;
    (endpoint, handed)
}

#[tokio::test]
async fn a_body_is_read_up_to_16_mib_and_no_further() {
    let (fits, _) = bodies(Some(16), None).await;
    let answer = api(Duration::from_secs(30)).send(request(&fits, Method::GET)).await.unwrap();
    assert_eq!(answer.body.len(), 16 * MIB);

    let huge = 1 << 40;
    for (mebibytes, announced, most_handed) in [(Some(17), None, 17), (None, None, 64), (None, Some(huge), 64)] {
        let (endpoint, handed) = bodies(mebibytes, announced).await;
        let (_, client) = project(api(Duration::from_secs(30)), &endpoint);
        let read = client.get_server(Id::new(1)).await.unwrap_err();
        assert_eq!((read.transport(), read.class()), (Some(TransportErrorKind::TooLong), ErrorClass::ProviderDown));
        assert_eq!(
            read.to_string(),
            "GET /servers/1: the provider's answer is too long: it has more than 16 MiB, the most that is read of one"
        );
        // What lies in the sockets' buffers was handed over too; an answer without an end was not read for long.
        assert!(handed.load(Ordering::SeqCst) <= most_handed, "{handed:?}");
        let change = client.power_off(Id::new(1)).await.unwrap_err();
        assert_eq!(change.class(), ErrorClass::Ambiguous, "{change}");
    }
}

fn project(api: HcloudClient, endpoint: &str) -> (Hcloud, ProjectClient) {
    let hcloud = Hcloud::new(Arc::new(api), world())
        .with_retry(RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() });
    let client = hcloud.project(Access {
        endpoint: endpoint.parse().unwrap(),
        token: TOKEN.to_owned().into(),
        project: "p".to_owned(),
    });
    (hcloud, client)
}

#[tokio::test]
async fn nothing_printable_shows_token_or_user_data() {
    let timeout = Duration::from_millis(200);
    let secret_body = "user-data-secret";
    let http_client = api(timeout);
    let mut shown = vec![format!("{http_client:?}"), format!("{:?}", settings(timeout))];
    let not_json = serve(Router::new().fallback(any(|| async { "surprise" }))).await;
    let refused = serve(Router::new().fallback(any(|| async {
        (
            axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"error":{"code":"invalid_input","message":"no","details":null}}"#,
        )
    })))
    .await;
    for endpoint in [closed().await, hangs_up().await, never_answers().await, not_json, refused] {
        let body = CreateServer { user_data: Some(UserData::new(secret_body)), ..CreateServer::default() };
        let (hcloud, client) = project(http_client.clone(), &endpoint);
        let errors: [Error; 2] = [
            client.create_server(&body).await.map(drop).unwrap_err(),
            client.get_server(Id::new(1)).await.map(drop).unwrap_err(),
        ];
        for error in errors {
            shown.extend([format!("{error}"), format!("{error:?}"), format!("{:?}", error.class())]);
        }
        shown.extend([
            format!("{hcloud:?}"),
            format!("{client:?}"),
            format!("{:?}", client.budget()),
            format!("{:?}", client.poller()),
            format!("{body:?}"),
        ]);
        let mut request = request(&endpoint, Method::POST);
        request.body = Some(secret_body.into());
        shown.push(format!("{request:?}"));
    }
    for text in shown {
        assert!(!text.contains(TOKEN), "{text}");
        assert!(!text.contains(secret_body), "{text}");
    }
}

#[tokio::test]
async fn root_passwords_are_read_but_not_shown() {
    let answer = serde_json::json!({
        "volume": support::volume(1), "action": null, "next_actions": [],
        "root_password": "r00t-pass"
    });
    let api = support::Scripted::replies(vec![support::reply(201, &answer)]);
    let created = support::client(api).create_volume(&Default::default()).await.unwrap();
    assert!(created.root_password.is_some());
    assert!(!format!("{created:?}").contains("r00t-pass"));
}

#[tokio::test]
async fn a_callers_own_client_is_used_as_it_is() {
    let endpoint = serve(Router::new().fallback(any(|| async { r#"{"volumes":[]}"# }))).await;
    let tls = reqwest::Client::builder().tls_backend_preconfigured(
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    );
    let own = HcloudClient::with_client(tls.build().unwrap(), &settings(Duration::from_secs(30)));
    let (_, client) = project(own.unwrap(), &endpoint);
    assert!(client.list_volumes(&hcloud_client::ListFilter::all()).await.unwrap().is_empty());
}

#[test]
fn settings_that_make_no_header_are_refused_in_words() {
    let settings = HttpSettings { user_agent: "a\nb".to_owned(), ..HttpSettings::default() };
    let error = HcloudClient::new(&settings).unwrap_err();
    assert!(error.to_string().contains("user agent"), "{error}");
}
