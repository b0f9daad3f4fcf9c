//! The public API through its real router, over a service that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::sync::Arc;

use api_server::{ApiConfig, Limits, UnknownParameters, public_router_over};
use authentication::{Off, StaticTokens};
use axum::{body::Body, http::Request};
use common::{Asked, Stub, TOKENS, ask, config, limits, request, router, router_draining, with};
use control_plane::{ActionKind, ProjectId, ports::StoreError, service::Refusal};
use futures::stream;
use seca_api::{Kind, Problem, ProblemKind, ResourceKey, Violation};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const INSTANCE: &str = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/x";
const COLLECTION: &str = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances";
const START: &str = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/x/start";

/// All operations of one kind: method, path, body.
const OPERATIONS: [(&str, &str, Option<&str>); 5] = [
    ("GET", COLLECTION, None),
    ("GET", INSTANCE, None),
    ("PUT", INSTANCE, Some("{}")),
    ("DELETE", INSTANCE, None),
    ("POST", START, None),
];

fn instance() -> ResourceKey {
    ResourceKey { workspace: "w".into(), ..ResourceKey::tenant(Kind::Instance, "fsn1", "acme", "x") }
}

#[tokio::test]
async fn each_operation_reaches_the_service_and_answers_as_the_specification_says() {
    let stub = Arc::new(Stub { created: true, warnings: vec!["`/spec/x` is not known".into()], ..Stub::default() });
    let router = router(Arc::clone(&stub));

    let got = ask(&router, request("GET", INSTANCE, None)).await;
    assert_eq!(
        (got.status.as_u16(), got.header("etag"), got.text.as_str()),
        (200, "\"3.7\"", "{\"spec\":{\"n\":1.50}}\n")
    );
    assert_eq!(got.header("content-type"), "application/json");

    let unchanged = ask(&router, with(request("GET", INSTANCE, None), "if-none-match", "\"3.7\"")).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("etag"), unchanged.text.as_str()), (304, "\"3.7\"", ""));

    let put = ask(&router, with(request("PUT", INSTANCE, Some(r#"{"spec":{}}"#)), "if-unmodified-since", "4")).await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (201, "\"3.7\""));
    let canonical = "/regions/fsn1/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/x";
    assert_eq!(put.header("location"), format!("http://api.test:8080{canonical}"));
    assert_eq!(put.header("warning"), "299 - \"`/spec/x` is not known\"");

    let deleted = ask(&router, with(request("DELETE", INSTANCE, None), "if-match", "\"5.9\"")).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (202, ""));
    let started = ask(&router, request("POST", START, None)).await;
    assert_eq!((started.status.as_u16(), started.text.as_str()), (202, ""));

    let expected = [
        Asked::Get(instance()),
        Asked::Get(instance()),
        Asked::Put {
            key: instance(),
            body: json!({"spec": {}}),
            if_version: Some(4),
            base_url: "http://api.test:8080".into(),
            subject: "dev".into(),
        },
        Asked::Delete(instance(), Some(5)),
        Asked::Act(instance(), ActionKind::Start, None),
    ];
    assert_eq!(stub.asked(), expected);
}

#[tokio::test]
async fn an_update_is_200_without_a_location() {
    let put = ask(&router(Arc::default()), request("PUT", INSTANCE, Some("{}"))).await;
    assert_eq!((put.status.as_u16(), put.header("location")), (200, ""));
}

#[tokio::test]
async fn a_list_is_walked_by_its_token_and_the_last_page_has_none() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
    let first = ask(&router, request("GET", &format!("{COLLECTION}?limit=1&labels=env%3Dprod"), None)).await;
    assert_eq!(first.status, 200);
    assert!(
        first.text.starts_with(r#"{"items":[{"n":1.50}],"metadata":{"provider":"seca.compute/v1""#),
        "{}",
        first.text
    );
    let token = first.json()["metadata"]["skipToken"].as_str().unwrap().to_owned();
    let next = |query: String| ask(&router, request("GET", &format!("{COLLECTION}?{query}"), None));

    let last = next(format!("labels=env%3Dprod&skipToken={token}")).await;
    assert_eq!(last.json()["metadata"], json!({"provider": "seca.compute/v1", "resource": "instances", "verb": "GET"}));
    let Some(Asked::List(asked)) = stub.asked().pop() else { panic!("no list") };
    assert_eq!((asked.after.as_str(), asked.labels.as_deref(), asked.limit), ("a", Some("env=prod"), None));

    let mut tampered = token.clone();
    tampered.replace_range(3..4, if &token[3..4] == "A" { "B" } else { "A" });
    for query in [
        format!("skipToken={token}"),
        format!("labels=env%3Dtest&skipToken={token}"),
        format!("labels=env%3Dprod&skipToken={tampered}"),
        "skipToken=false".to_owned(),
        "limit=many".to_owned(),
        "limit=1&limit=2".to_owned(),
    ] {
        let answer = next(query).await;
        answer.problem(400, COLLECTION);
        assert_eq!(answer.json()["sources"].as_array().unwrap().len(), 1, "{}", answer.text);
    }
}

#[tokio::test]
async fn without_a_good_credential_every_operation_is_401_and_nothing_is_asked() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
    for (method, path, body) in OPERATIONS {
        let mut none = request(method, path, body);
        none.headers_mut().remove("authorization");
        let mut twice = request(method, path, body);
        twice.headers_mut().append("authorization", "Bearer secret".parse().unwrap());
        let garbage = with(request(method, path, body), "authorization", "secret");
        let wrong = with(request(method, path, body), "authorization", "Bearer other");
        for bad in [none, twice, garbage, wrong] {
            let answer = ask(&router, bad).await;
            answer.problem(401, path);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method}");
        }
    }
    assert_eq!(stub.asked(), []);
}

#[tokio::test]
async fn bad_input_is_refused_before_the_service_is_asked() {
    let stub = Arc::new(Stub::default());
    let config = ApiConfig { served: vec![Kind::Instance], ..config() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    let router = public_router_over(stub.clone(), tokens, config, CancellationToken::new());
    let put = |body: &str| request("PUT", INSTANCE, Some(body));
    let typed = |kind: &str| with(put("{}"), "content-type", kind);
    let sku = "/compute/v1/tenants/acme/skus/x";
    let image = "/storage/v1/tenants/acme/images/x";
    let nic = "/network/v1/tenants/acme/workspaces/w/nics/x";
    let nowhere = "/regions/mars/providers/seca.compute/v1/tenants/acme/skus";
    let mut untyped = put("{}");
    untyped.headers_mut().remove("content-type");
    let mut hostless = request("GET", INSTANCE, None);
    hostless.headers_mut().remove("host");

    let cases: Vec<(u16, &str, Request<Body>, &str)> = vec![
        (404, "/nothing", request("GET", "/nothing", None), "no resource has this path"),
        (404, nic, request("GET", nic, None), "does not serve the collection nics"),
        (404, nowhere, request("GET", nowhere, None), "the regions are fsn1, nbg1"),
        (405, COLLECTION, request("POST", COLLECTION, Some("{}")), "use GET"),
        (405, COLLECTION, request("DELETE", COLLECTION, None), "use GET"),
        (405, INSTANCE, request("PATCH", INSTANCE, Some("{}")), "use GET, PUT, DELETE"),
        (405, INSTANCE, request("OPTIONS", INSTANCE, None), "use GET, PUT, DELETE"),
        (405, START, request("GET", START, None), "use POST"),
        (405, sku, request("PUT", sku, Some("{}")), "use GET"),
        (405, image, request("PUT", image, Some("{}")), "use GET"),
        (406, INSTANCE, with(request("GET", INSTANCE, None), "accept", "text/html"), "application/json"),
        (406, COLLECTION, with(request("GET", COLLECTION, None), "accept", "image/*"), "application/json"),
        (406, INSTANCE, with(put("{}"), "accept", "text/xml"), "application/json"),
        (415, INSTANCE, typed("text/plain"), "application/json"),
        (415, INSTANCE, typed("application/x-www-form-urlencoded"), "application/json"),
        (415, INSTANCE, untyped, "no media type"),
        (415, INSTANCE, with(put("{}"), "content-encoding", "gzip"), "compressed"),
        (400, INSTANCE, request("PUT", INSTANCE, None), "the body is empty"),
        (400, INSTANCE, put("{"), "ends too early"),
        (400, INSTANCE, put("[]"), "must be a JSON object"),
        (400, INSTANCE, put(r#"{"spec":{},"spec":{}}"#), "stands twice"),
        (400, INSTANCE, put(r#"{"labels":{"a":"\u0000"}}"#), "U+0000"),
        (400, INSTANCE, with(put("{}"), "if-unmodified-since", "yesterday"), "resourceVersion"),
        (400, INSTANCE, with(put("{}"), "if-none-match", "*"), "GET only"),
        (412, INSTANCE, with(put("{}"), "if-match", "\"abc\""), "read it again"),
        (400, INSTANCE, with(request("DELETE", INSTANCE, None), "if-unmodified-since", "x"), "resourceVersion"),
        (400, START, with(request("POST", START, None), "if-unmodified-since", "x"), "resourceVersion"),
        (400, INSTANCE, hostless, "Host"),
        (400, INSTANCE, with(request("GET", INSTANCE, None), "host", "user@host"), "Host"),
        (400, COLLECTION, with(request("GET", COLLECTION, None), "accept", "application/json;deleted=x"), "deleted"),
    ];
    for (status, path, request, part) in cases {
        let line = format!("{} {path}", request.method());
        let answer = ask(&router, request).await;
        let detail = answer.problem(status, path);
        assert!(detail.contains(part), "{line}: {detail}");
        assert_eq!(status == 405, !answer.header("allow").is_empty(), "{line}");
    }
    assert_eq!(stub.asked(), []);
}

#[tokio::test]
async fn a_query_parameter_that_nobody_knows_is_refused_and_names_those_that_are_known() {
    let stub = Arc::new(Stub::default());
    let refusing = router(Arc::clone(&stub));
    let skus = "/compute/v1/tenants/acme/skus/x";
    for (method, path, body) in
        OPERATIONS.into_iter().chain([("GET", skus, None), ("GET", "/.well-known/secapi", None)])
    {
        let query = format!("{path}?dryRun=All&pretty&dryRun=None");
        let answer = ask(&refusing, request(method, &query, body)).await;
        let detail = answer.problem(400, path);
        let known =
            if path == COLLECTION { "known: labels, labelSelector, limit, skipToken" } else { "there are none here" };
        assert!(detail.contains("`dryRun`") && detail.contains(known), "{method}: {detail}");
        let sources = answer.json()["sources"].as_array().unwrap().clone();
        assert_eq!(sources.len(), 2, "{}", answer.text);
        assert_eq!((&sources[0]["parameter"], &sources[1]["parameter"]), (&json!("dryRun"), &json!("pretty")));
    }
    assert_eq!(stub.asked(), []);
    // Who is nobody is told nothing, and pages and health checks take what gateways append.
    let stranger = with(request("GET", &format!("{INSTANCE}?x=1"), None), "authorization", "Bearer other");
    assert_eq!(ask(&refusing, stranger).await.status, 401);
    for path in ["/healthz", "/readyz", "/openapi", "/openapi/seca.compute.v1.json", "/docs/"] {
        let answer = refusing.clone().oneshot(request("GET", &format!("{path}?gateway=1"), None)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let config = ApiConfig { unknown_parameters: UnknownParameters::Ignore, ..config() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    let ignoring = public_router_over(stub.clone(), tokens, config, CancellationToken::new());
    for (method, path, body) in OPERATIONS {
        let status = ask(&ignoring, request(method, &format!("{path}?gateway=1"), body)).await.status;
        assert!(status.is_success(), "{method} {path}: {status}");
    }
    assert_eq!(stub.asked().len(), OPERATIONS.len());
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_is_told() {
    let router = router(Arc::default());
    for path in [COLLECTION, INSTANCE, START, "/v1/regions", "/.well-known/secapi", "/healthz"] {
        let slashed = format!("{path}/");
        let detail = ask(&router, request("GET", &slashed, None)).await.problem(404, &slashed);
        assert_eq!(detail, format!("no resource has a path that ends with a slash; leave it out: {path}"));
    }
    let detail = ask(&router, request("GET", "/nothing/", None)).await.problem(404, "/nothing/");
    assert!(detail.starts_with("no resource has this path"), "{detail}");
}

#[tokio::test]
async fn a_body_of_very_many_values_breaks_a_rule_under_either_profile() {
    let stub = Arc::new(Stub::default());
    let many = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(10_000));
    let config = ApiConfig { limits: Limits { body_bytes: 1024 * 1024, ..limits() }, ..config() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    let router = public_router_over(stub.clone(), tokens, config, CancellationToken::new());
    for (path, status) in [(INSTANCE.to_owned(), 422), (INSTANCE.replace("acme", "suite"), 412)] {
        let answer = ask(&router, request("PUT", &path, Some(&many))).await;
        let detail = answer.problem(status, &path);
        assert!(
            answer.text.contains("more than 10000 values") && answer.text.contains("\"parameter\":\"body\""),
            "{detail}"
        );
    }
    assert_eq!(stub.asked(), []);
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_400() {
    let mut bad = request("PUT", INSTANCE, Some(""));
    *bad.body_mut() = Body::from(&b"{\"a\":\"\xff\"}"[..]);
    let detail = ask(&router(Arc::default()), bad).await.problem(400, INSTANCE);
    assert!(detail.contains("UTF-8"), "{detail}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not_on_every_writing_operation() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
    for (method, path) in [("PUT", INSTANCE), ("DELETE", INSTANCE), ("POST", START)] {
        let announced = request(method, path, Some(&" ".repeat(1025)));
        ask(&router, announced).await.problem(413, path);

        let mut chunked = request(method, path, Some(""));
        let chunks = stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
        *chunked.body_mut() = Body::from_stream(chunks);
        ask(&router, chunked).await.problem(413, path);
    }
    assert_eq!(stub.asked(), []);
    let fits = format!("{{{}}}", " ".repeat(1022));
    assert_eq!(ask(&router, request("PUT", INSTANCE, Some(&fits))).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_408() {
    let mut slow = request("PUT", INSTANCE, Some(""));
    *slow.body_mut() = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = ask(&router(Arc::default()), slow).await;
    answer.problem(408, INSTANCE);
    assert_eq!(answer.header("connection"), "close");
}

type Make = fn() -> Refusal;

#[tokio::test]
async fn a_refusal_has_the_status_of_the_tenants_profile() {
    let violations: Make = || Refusal::Violations {
        kind: Kind::Instance,
        violations: vec![Violation::at("/spec/zone", "no such zone"), Violation::at("/spec/skuRef", "no such SKU")],
    };
    let unavailable: Make = || Refusal::Store(StoreError::Unavailable("password=hunter2".into()));
    // refusal, then per profile: PUT, GET, DELETE and POST
    let table: [(&str, Make, [u16; 2], [u16; 2]); 11] = [
        ("malformed", || Refusal::Malformed("m".into()), [400, 400], [400, 400]),
        ("parameter", || Refusal::Parameter(Violation::parameter("labels", "m")), [400, 400], [400, 400]),
        (
            "forbidden",
            || Refusal::Forbidden { subject: "dev".into(), verb: "get", resource: "x".into() },
            [403, 403],
            [403, 403],
        ),
        ("not found", || Refusal::NotFound(instance()), [404, 404], [404, 404]),
        ("missing parent", || Refusal::MissingParent(instance()), [404, 404], [412, 404]),
        ("violations", violations, [422, 422], [412, 412]),
        ("conflict", || Refusal::Conflict("in use".into()), [409, 409], [412, 412]),
        ("stale", || Refusal::Stale { key: instance(), expected: 1, current: 2 }, [412, 412], [412, 412]),
        ("unavailable", unavailable, [503, 503], [503, 503]),
        ("corrupt", || Refusal::Store(StoreError::Corrupt("password=hunter2".into())), [500, 500], [500, 500]),
        ("internal", || Refusal::Internal("password=hunter2".into()), [500, 500], [500, 500]),
    ];
    for (name, make, specification, conformance) in table {
        let router = router(Stub::refusing(move || Some(make())));
        for (tenant, [of_put, of_others]) in [("acme", specification), ("suite", conformance)] {
            for (method, path, body) in OPERATIONS {
                let path = path.replace("acme", tenant);
                let status = if method == "PUT" { of_put } else { of_others };
                let answer = ask(&router, request(method, &path, body)).await;
                answer.problem(status, &path);
                let problem: Problem = serde_json::from_str(&answer.text).unwrap();
                assert_eq!(problem.r#type, ProblemKind::of_status(status).unwrap().uri(), "{name}");
                let sources = match name {
                    "violations" => 2,
                    "parameter" => 1,
                    _ => 0,
                };
                assert_eq!(problem.sources.len(), sources, "{name}");
                assert!(!answer.text.contains("hunter2"), "{name} leaks: {}", answer.text);
                assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" });
            }
        }
    }
}

#[tokio::test]
async fn a_slash_in_a_name_is_answered_with_the_rule_under_both_profiles() {
    let router = router(Arc::default());
    for (tenant, put) in [("acme", 400), ("suite", 412)] {
        for (method, status) in [("PUT", put), ("GET", 400), ("DELETE", 400)] {
            let path = format!("{}/a%2Fb", COLLECTION.replace("acme", tenant));
            let answer = ask(&router, request(method, &path, (method == "PUT").then_some("{}"))).await;
            let detail = answer.problem(status, &path);
            assert!(detail.contains("lower-case letters") && detail.contains("`a/b`"), "{detail}");
            assert_eq!(answer.json()["sources"][0]["parameter"], "name");
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing() {
    let router = router(Arc::new(Stub { panic: true, ..Stub::default() }));
    let answer = ask(&router, request("GET", INSTANCE, None)).await;
    answer.problem(500, INSTANCE);
    assert!(!answer.text.contains("secret"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_a_503() {
    let router = router(Arc::new(Stub { hang: true, ..Stub::default() }));
    let answer = ask(&router, request("GET", INSTANCE, None)).await;
    answer.problem(503, INSTANCE);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn the_well_known_document_names_six_providers_without_versions_and_needs_no_credential() {
    let router = router(Arc::default());
    for path in ["/.wellknown/secapi", "/.well-known/secapi"] {
        let mut open = request("GET", path, None);
        open.headers_mut().remove("authorization");
        let answer = ask(&router, open).await;
        assert_eq!(answer.status, 200);
        let document = answer.json();
        assert_eq!(document["version"], "v1");
        let endpoints: Vec<_> = document["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["provider"].as_str().unwrap(), e["url"].as_str().unwrap()))
            .collect();
        let host = "http://api.test:8080";
        let expected = ["region", "authorization", "workspace", "storage", "compute", "network"].map(|name| {
            let region = if name == "region" || name == "authorization" { "" } else { "/regions/fsn1" };
            (format!("seca.{name}/v1"), format!("{host}{region}/providers/seca.{name}"))
        });
        assert_eq!(endpoints, expected.iter().map(|(p, u)| (p.as_str(), u.as_str())).collect::<Vec<_>>());
        ask(&router, request("PUT", path, Some("{}"))).await.problem(405, path);
    }
}

#[tokio::test]
async fn health_needs_no_credential_and_readiness_follows_store_and_drain() {
    let stub = Arc::new(Stub::default());
    let drain = CancellationToken::new();
    let router = router_draining(Arc::clone(&stub), drain.clone());
    let state = async |path: &str| {
        let answer = ask(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        (answer.status.as_u16(), answer.json()["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(state("/healthz").await, (200, "ok".into()));
    assert_eq!(state("/readyz").await, (200, "ready".into()));
    *stub.down.lock().unwrap() = true;
    assert_eq!(state("/readyz").await, (503, "db_unavailable".into()));
    *stub.down.lock().unwrap() = false;
    let ready = async || {
        let answer = ask(&router, Request::get("/readyz").body(Body::empty()).unwrap()).await;
        (answer.status.as_u16(), answer.json())
    };
    stub.paused.lock().unwrap().push(ProjectId("p".into()));
    assert_eq!(ready().await, (200, json!({"status": "ready", "pausedProjects": ["p"]})), "the API serves on");
    *stub.stalled.lock().unwrap() = Some("why".into());
    let stalled = json!({"status": "engine_stalled", "reason": "why", "pausedProjects": ["p"]});
    assert_eq!(ready().await, (503, stalled));
    drain.cancel();
    assert_eq!(state("/readyz").await, (503, "draining".into()));
    assert_eq!(state("/healthz").await, (200, "ok".into()));
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let router = router(Arc::default());
    let mut seen = std::collections::HashSet::new();
    for path in [INSTANCE, COLLECTION, "/nothing", "/healthz", "/.wellknown/secapi"] {
        let answer = ask(&router, with(request("GET", path, None), "x-request-id", "chosen-by-client")).await;
        assert!(seen.insert(answer.header("x-request-id").to_owned()), "{path}");
    }
    assert!(!seen.contains("") && !seen.contains("chosen-by-client"));
}

#[tokio::test]
async fn with_authentication_off_everybody_is_anonymous_and_the_public_url_is_the_setting() {
    let stub = Arc::new(Stub { created: true, ..Stub::default() });
    let mut config = config();
    config.public_base_url = Some("https://seca.example/api/".parse().unwrap());
    let router = public_router_over(Arc::clone(&stub) as _, Arc::new(Off), config, CancellationToken::new());
    let mut open = request("PUT", INSTANCE, Some("{}"));
    open.headers_mut().remove("authorization");
    open.headers_mut().remove("host");
    let answer = ask(&router, open).await;
    assert!(
        answer.header("location").starts_with("https://seca.example/api/regions/fsn1/providers/"),
        "{}",
        answer.header("location")
    );
    let Some(Asked::Put { base_url, subject, .. }) = stub.asked().pop() else { panic!("no PUT") };
    assert_eq!((base_url.as_str(), subject.as_str()), ("https://seca.example/api", "anonymous"));
}
