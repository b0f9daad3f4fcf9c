//! The OpenAPI documents and the page that shows them, through the real router, without a credential.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{io::Read as _, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use common::{Answer, Stub, ask, request, router, with};
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use seca_api::openapi;
use serde_json::json;
use tower::ServiceExt as _;

fn anonymous(method: &str, path: &str) -> Request<Body> {
    let mut request = request(method, path, None);
    request.headers_mut().remove("authorization");
    request
}

/// A file with the text that a browser makes of it.
async fn file(router: &Router, path: &str) -> Answer {
    file_of(router, anonymous("GET", path)).await
}

async fn file_of(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let mut plain = bytes.to_vec();
    if header(&parts.headers, "content-encoding") == "gzip" {
        plain.clear();
        GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    }
    // Icons are no text, and nothing is asked of them but that they are there.
    let text = String::from_utf8_lossy(&plain).into_owned();
    Answer { status: parts.status, headers: parts.headers, text }
}

/// What stands between a mark and the next closing one.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inner, _)| inner).collect()
}

fn links(html: &str) -> Vec<&str> {
    [between(html, "src=\"", '"'), between(html, "href=\"", '"')].concat()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn each_document_is_the_generated_one_and_the_index_lists_all() {
    let router = router(Arc::default());
    let mut items = Vec::new();
    for (name, document) in openapi::documents() {
        let path = format!("/openapi/{name}.json");
        let answer = ask(&router, anonymous("GET", &path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"), "{path}");
        assert_eq!(answer.json(), serde_json::to_value(&document).unwrap(), "{path}");
        assert_eq!(answer.text, document.to_pretty_json().unwrap() + "\n", "{path} is the committed text");
        items.push(json!({ "name": name, "url": path }));
    }
    assert_eq!(items.len(), 7);
    for path in ["/openapi", "/openapi/"] {
        let index = ask(&router, anonymous("GET", path)).await;
        assert_eq!((index.status.as_u16(), index.json()), (200, json!({ "items": items })));
    }
}

#[tokio::test]
async fn servers_of_the_documents_are_paths_of_this_host() {
    let router = router(Arc::default());
    for (name, _) in openapi::documents() {
        let document = ask(&router, anonymous("GET", &format!("/openapi/{name}.json"))).await.json();
        let servers: Vec<_> = document["servers"].as_array().unwrap().iter().map(|s| s["url"].as_str()).collect();
        let provider = name.strip_suffix(".v1").filter(|name| name.starts_with("seca."));
        let expected = provider.map_or("/".to_owned(), |provider| format!("/providers/{provider}"));
        assert_eq!(servers, [Some(expected.as_str())], "{name}");
    }
}

#[tokio::test]
async fn the_page_needs_files_of_this_host_only_and_each_of_them_answers() {
    let router = router(Arc::default());
    let page = file(&router, "/docs/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains("<title>API \u{2013} secapi-proxy-hetzner</title>"), "{}", page.text);
    let mut checked = 0;
    let anchors = between(&page.text, "<a href=\"", '"');
    for link in links(&page.text).into_iter().filter(|link| !anchors.contains(link)) {
        assert!(!link.contains("//") && !link.starts_with('/'), "{link} leaves the folder");
        let part = file(&router, &format!("/docs/{}", link.trim_start_matches("./"))).await;
        assert_eq!(part.status, 200, "{link}");
        assert!(!part.text.is_empty() && !part.header("content-type").starts_with("text/html"), "{link}");
        assert_eq!(part.header("x-content-type-options"), "nosniff", "{link}");
        if link.ends_with(".css") {
            let outside = between(&part.text, "url(", ')').into_iter().find(|url| !url.contains("data:"));
            assert_eq!((outside, part.text.contains("@import")), (None, false), "{link}");
        }
        checked += 1;
    }
    assert!(checked >= 5, "style sheets and scripts: {}", page.text);
    assert!(!page.text.contains("<style") && !page.text.contains("<script>"), "the policy forbids inline code");
}

/// Follows a link from a page in a folder, as a browser does.
fn followed(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[tokio::test]
async fn the_pages_for_people_lead_to_each_other() {
    let router = router(Arc::default());
    let with_html =
        |path: &str| with(anonymous("GET", path), "accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
    let mut seen = std::collections::BTreeSet::new();
    let mut ahead = vec!["/".to_owned()];
    while let Some(path) = ahead.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        // Scripts come compressed.
        let answer = file_of(&router, with_html(&path)).await;
        assert_eq!(answer.status, 200, "{path}");
        if !answer.header("content-type").starts_with("text/html") {
            continue;
        }
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(answer.text.contains("secapi-proxy-hetzner</title>"), "{path}");
        assert!(!answer.text.contains("<style") && !answer.text.contains(" style="), "{path}: the policy forbids it");
        let found = between(&answer.text, "href=\"", '"').into_iter().chain(between(&answer.text, "src=\"", '"'));
        // A link to a page of the handbook that is not served would be one to nowhere.
        let ours = found.filter(|link| !link.contains("://") && !link.starts_with('#'));
        ahead.extend(ours.map(|link| followed(&path, link)));
    }
    for path in ["/docs/", "/docs/reasons", "/docs/skus", "/openapi", "/.well-known/secapi", "/docs/page.css"] {
        assert!(seen.contains(path), "{path}: {seen:?}");
    }
    let reasons = ask(&router, with_html("/docs/reasons")).await.text;
    for reason in ["ProjectPaused", "WaitingForCredential"] {
        assert!(reasons.contains(&format!("<code>{reason}</code>")), "{reason}");
    }
}

#[test]
fn the_pages_of_the_handbook_are_those_of_the_repository() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["reasons.md", "skus.md"] {
        let (copy, kept) = (here.join("src/docs/handbook").join(name), here.join("../../docs").join(name));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::copy(&kept, &copy).unwrap();
        }
        let [copy, kept] = [copy, kept].map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(copy, kept, "UPDATE_DOCS=1 cargo test -p api-server --test docs");
    }
}

#[tokio::test]
async fn the_root_tells_programs_in_json() {
    let router = router(Arc::default());
    for accept in ["application/json", "*/*"] {
        let answer = ask(&router, with(anonymous("GET", "/"), "accept", accept)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.header("vary"), "Accept");
        let told = answer.json();
        assert_eq!((&told["name"], &told["apiVersion"]), (&json!("secapi-proxy-hetzner"), &json!("v1")));
        for link in told["links"].as_object().unwrap().values() {
            let found = ask(&router, anonymous("GET", link.as_str().unwrap())).await;
            assert_eq!(found.status, 200, "{link}");
        }
        assert!(!answer.text.contains(env!("CARGO_PKG_VERSION")), "which build it is, is the operators' business");
    }
    ask(&router, anonymous("POST", "/")).await.problem(405, "/");
}

#[tokio::test]
async fn json_ends_with_a_newline_and_is_indented_when_asked_for() {
    let router = router(Arc::default());
    for path in ["/healthz", "/.well-known/secapi", "/", "/openapi", "/nothing", "/v1/tenants/acme/roles"] {
        let plain = ask(&router, anonymous("GET", path)).await;
        assert!(plain.text.ends_with("}\n") && !plain.text.ends_with("\n\n"), "{path}: {:?}", plain.text);
        let pretty = ask(&router, anonymous("GET", &format!("{path}?pretty=true"))).await;
        assert_eq!(pretty.status, plain.status, "{path}");
        assert!(pretty.text.starts_with("{\n  \"") && pretty.text.ends_with("}\n"), "{path}: {}", pretty.text);
        if plain.status == 200 {
            assert_eq!(pretty.json(), plain.json(), "{path}");
        }
    }
    // What gateways append to a health check is passed over, and this is too.
    assert_eq!(ask(&router, anonymous("GET", "/healthz?pretty=maybe")).await.status, 200);
}

#[tokio::test]
async fn the_page_is_set_up_with_every_document_and_without_a_validator() {
    let router = router(Arc::default());
    let set_up = file(&router, "/docs/swagger-initializer.js").await.text;
    for (name, _) in openapi::documents() {
        assert!(set_up.contains(&format!("\"../openapi/{name}.json\"")), "{name}: {set_up}");
    }
    assert!(set_up.contains("\"validatorUrl\": \"none\"") && !set_up.contains("://"), "{set_up}");
}

#[tokio::test]
async fn the_browser_is_forbidden_every_other_host_and_inline_code() {
    let router = router(Arc::default());
    for path in ["/docs/", "/docs/index.html", "/docs/swagger-ui-bundle.js", "/docs/oauth2-redirect.html"] {
        let answer = file(&router, path).await;
        let policy = header(&answer.headers, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        for directive in policy.split("; ") {
            let (name, sources) = directive.split_once(' ').expect(directive);
            let logo = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";
            let allowed = |source| {
                matches!(source, "'none'" | "'self'")
                    || [("img-src", "data:"), ("style-src", logo)].contains(&(name, source))
            };
            assert!(sources.split(' ').all(allowed), "{path}: {directive}");
        }
    }
}

#[tokio::test]
async fn the_page_without_a_slash_leads_to_its_folder() {
    let answer = ask(&router(Arc::default()), anonymous("GET", "/docs")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location"), answer.text.as_str()), (308, "docs/", ""));
}

#[tokio::test]
async fn what_does_not_exist_below_is_404_and_the_service_is_not_asked() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
    let paths = [
        "/openapi/nothing",
        "/openapi/seca.compute.v1",
        "/openapi/seca.compute.v2.json",
        "/openapi/.json",
        "/openapi/../openapi",
        "/openapi/seca.compute.v1.json/",
        "/docs/nothing.js",
        "/docs/../Cargo.toml",
        "/openapis",
        "/docs.json",
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            ask(&router, anonymous(method, path)).await.problem(404, path);
        }
    }
    assert_eq!(stub.asked(), []);
}

#[tokio::test]
async fn other_methods_are_405() {
    let router = router(Arc::default());
    for path in ["/openapi", "/openapi/seca.compute.v1.json", "/docs", "/docs/", "/docs/swagger-ui.css"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = ask(&router, anonymous(method, path)).await;
            answer.problem(405, path);
            assert_eq!(answer.header("allow"), "GET, HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_head_says_what_a_get_would_and_a_reader_of_the_same_gets_304() {
    let router = router(Arc::default());
    for path in ["/openapi", "/openapi/seca.network.v1.json", "/docs/", "/docs/swagger-ui-bundle.js"] {
        let got = file(&router, path).await;
        let tag = got.header("etag").to_owned();
        assert!(tag.len() > 20 && tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        assert_eq!(got.header("cache-control"), "no-cache", "{path}");

        let head = ask(&router, anonymous("HEAD", path)).await;
        assert_eq!((head.status.as_u16(), head.text.as_str(), head.header("etag")), (200, "", tag.as_str()), "{path}");
        for name in ["content-type", "content-encoding", "content-security-policy"] {
            assert_eq!(head.header(name), got.header(name), "{path}: {name}");
        }
        assert!(head.header("content-length").parse::<usize>().unwrap() > 0, "{path}");

        let known = ask(&router, with(anonymous("GET", path), "if-none-match", &tag)).await;
        assert_eq!((known.status.as_u16(), known.text.as_str(), known.header("etag")), (304, "", tag.as_str()));
        let stale = ask(&router, with(anonymous("HEAD", path), "if-none-match", "\"other\"")).await;
        assert_eq!(stale.status, 200, "{path}");
    }
}
