//! The OpenAPI documents under `/openapi`, and pages to read them and the handbook under `/docs`. None needs a credential.
//!
//! The page of the API is Swagger UI, from a crate that carries its files (Apache-2.0, 1.2 MB compressed): neither build nor
//! browser fetches anything. The frame around it is ours, so that it works under [`POLICY`].

pub(crate) mod pages;

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use seca_api::{ProblemKind, openapi};
use serde_json::json;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, Url};

use crate::{
    answer::{Failure, READS, empty},
    headers,
};

/// What the browser may load for the page: files of this server, and images that its style sheet contains. No other
/// host, no inline code, no `eval`, and of inline styles the one in Swagger UI's logo, by its hash.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' \
     'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css");

/// The documents of a listener, made by the code, which do not change while it runs.
pub(crate) struct Documents {
    title: &'static str,
    /// Whether the pages of the handbook stand beside them.
    has_handbook: bool,
    generate: Box<dyn Fn() -> Result<Vec<Document>, String> + Send + Sync>,
    made: OnceLock<Result<Vec<Document>, String>>,
}

/// An OpenAPI document.
pub(crate) struct Document {
    pub(crate) name: String,
    /// As it is committed under `openapi/`.
    pub(crate) text: Bytes,
}

/// Where the documents are, and where the pages.
const OPENAPI: &str = "/openapi/";
const DOCS: &str = "/docs/";

impl Documents {
    /// Those of the SECA API.
    pub(crate) fn of_seca() -> Self {
        Self { title: "API", has_handbook: true, generate: Box::new(generate), made: OnceLock::new() }
    }

    /// That of the admin API.
    pub(crate) fn of_admin(document: OpenApi) -> Self {
        let generate = move || Ok(vec![Document::of("admin.v1".to_owned(), &document)?]);
        Self { title: "Admin API", has_handbook: false, generate: Box::new(generate), made: OnceLock::new() }
    }

    /// The paths. Below the two folders a file that is not there is 404 whatever the method, so that its handlers look at
    /// the method themselves.
    pub(crate) fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new()
            .route("/openapi", get(list))
            .route(OPENAPI, get(list))
            .route("/openapi/{*file}", any(document))
            .route("/docs", get(redirect))
            .route(DOCS, get(page))
            .route("/docs/{*file}", any(file))
            .with_state(Arc::new(self))
    }

    fn document(&self, file: &str) -> Result<&Document, Failure> {
        let known = |document: &&Document| file.strip_suffix(".json") == Some(&document.name);
        self.documents()?.iter().find(known).ok_or_else(|| {
            Failure::new(ProblemKind::NotFound, format!("there is no document `{file}`; /openapi lists them"))
        })
    }

    /// A file of the pages.
    fn file(&self, name: &str, headers: &HeaderMap) -> Result<Response<Body>, Failure> {
        match name {
            "index.html" => Ok(self.page(headers)),
            "page.css" => Ok(page_of(CSS, Bytes::from_static(pages::STYLE.as_bytes()), headers)),
            name => match pages::kept(name).filter(|_| self.has_handbook) {
                Some(page) => Ok(page_of(HTML, page, headers)),
                None => page_file(name, self.documents()?, headers),
            },
        }
    }

    /// The page that shows the documents.
    fn page(&self, headers: &HeaderMap) -> Response<Body> {
        page_of(HTML, pages::swagger(self.title, self.has_handbook).into(), headers)
    }

    fn documents(&self) -> Result<&[Document], Failure> {
        match self.made.get_or_init(|| (self.generate)()) {
            Ok(documents) => Ok(documents),
            Err(cause) => Err(Failure::internal(cause)),
        }
    }
}

impl Document {
    fn of(name: String, document: &OpenApi) -> Result<Self, String> {
        let text = document.to_pretty_json().map_err(|error| format!("{name}: {error}"))? + "\n";
        Ok(Self { name, text: text.into() })
    }
}

fn generate() -> Result<Vec<Document>, String> {
    openapi::documents().into_iter().map(|(name, document)| Document::of(name, &document)).collect()
}

async fn list(State(documents): State<Arc<Documents>>, headers: HeaderMap) -> Result<Response<Body>, Failure> {
    Ok(shown(JSON, index(documents.documents()?).into(), &headers))
}

async fn document(State(documents): State<Arc<Documents>>, request: Request) -> Result<Response<Body>, Failure> {
    let file = request.uri().path().strip_prefix(OPENAPI).unwrap_or_default();
    let document = documents.document(file)?;
    reading(request.method())?;
    Ok(shown(JSON, document.text.clone(), request.headers()))
}

async fn page(State(documents): State<Arc<Documents>>, headers: HeaderMap) -> Response<Body> {
    documents.page(&headers)
}

async fn file(State(documents): State<Arc<Documents>>, request: Request) -> Result<Response<Body>, Failure> {
    let name = request.uri().path().strip_prefix(DOCS).unwrap_or_default();
    let file = documents.file(name, request.headers())?;
    reading(request.method())?;
    Ok(file)
}

/// Refuses every method but those that read.
fn reading(method: &Method) -> Result<(), Failure> {
    if READS.contains(method) { Ok(()) } else { Err(Failure::method(&READS, method)) }
}

fn index(documents: &[Document]) -> String {
    let item =
        |document: &Document| json!({ "name": document.name, "url": format!("/openapi/{}.json", document.name) });
    json!({ "items": documents.iter().map(item).collect::<Vec<_>>() }).to_string() + "\n"
}

/// To the folder of the page, in which its files have their names.
async fn redirect() -> Response<Body> {
    let mut response = empty(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("docs/"));
    response
}

/// A file of the page; the one without a name is the page itself.
fn page_file(name: &str, documents: &[Document], headers: &HeaderMap) -> Result<Response<Body>, Failure> {
    let urls: Vec<_> = documents.iter().map(|document| format!("../openapi/{}.json", document.name)).collect();
    let config = Config::new(documents.iter().zip(&urls).map(|(document, url)| Url::new(&document.name, url)))
        .show_common_extensions(true)
        .show_extensions(true)
        // The default is a host that reads the documents and draws a badge.
        .validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config))
        .map_err(Failure::internal)?
        .ok_or_else(|| Failure::new(ProblemKind::NotFound, format!("the page has no file `{name}`; it is /docs/")))?;
    let content_type = HeaderValue::from_str(&file.content_type).map_err(Failure::internal)?;
    let mut response = shown(content_type, file.bytes.into_owned().into(), headers);
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// A page, or what belongs to it, under the policy.
fn page_of(content_type: HeaderValue, bytes: Bytes, headers: &HeaderMap) -> Response<Body> {
    let mut response = shown(content_type, bytes, headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// What is under `/`: a page for browsers, JSON for programs.
pub(crate) async fn root(headers: HeaderMap) -> Response<Body> {
    let mut response = match pages::wants_page(&headers) {
        true => page_of(HTML, pages::root().into(), &headers),
        false => shown(JSON, format!("{}\n", pages::root_json()).into(), &headers),
    };
    // Caches must not hand a program the page.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// Readers ask each time whether what they have is current, because a release may change it.
fn shown(content_type: HeaderValue, bytes: Bytes, headers: &HeaderMap) -> Response<Body> {
    let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, &bytes));
    let mut response = match headers::has_already(headers, &tag) {
        true => empty(StatusCode::NOT_MODIFIED),
        false => Response::new(Body::from(bytes)),
    };
    let about = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, content_type),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    response.headers_mut().extend(about);
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
