//! The yardstick of `make bench`: what a bare axum handler makes of the database that the proxy uses.
//!
//! Each operation is one query for the columns that its answer needs, and the answer is put together from the stored
//! texts. It checks nothing, knows the kinds that are measured, and speaks to the tables of a proxy that has set them up.
//! Paths are the proxy's, so that one list of them drives both; a skip token is here the name behind which the page
//! begins. What the proxy makes of its catalogue is measured beside the same text from memory (`/memory` before the path).
//!
//! Beside that it tells when the proxy's engine has nothing left to do, keeps it from working while something is
//! measured, wakes what it settled, copies rows, and tidies up between measurements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "an example, for a script")]

mod copies;
mod database;
mod document;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{Response, StatusCode, header},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use copies::Copies;
use database::{Database, Place};
use document::Document;

/// As the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IN_WORKSPACE: &str =
    "/regions/{region}/providers/{provider}/v1/tenants/{tenant}/workspaces/{workspace}/{collection}";
const IN_TENANT: &str = "/regions/{region}/providers/{provider}/v1/tenants/{tenant}/{collection}";

/// The kinds that are measured: provider, collection, kind.
pub(crate) const KINDS: [(&str, &str, &str); 4] = [
    ("seca.network", "internet-gateways", "internet-gateway"),
    ("seca.workspace", "workspaces", "workspace"),
    ("seca.compute", "instances", "instance"),
    ("seca.storage", "images", "image"),
];

/// What the handlers share.
struct Bare {
    database: Database,
    /// Texts by their path.
    memory: RwLock<HashMap<String, (Bytes, String)>>,
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: bare DATABASE_URL");
    let bare = Arc::new(Bare { database: Database::open(&url), memory: RwLock::default() });
    let router = Router::new()
        .route(IN_WORKSPACE, get(list))
        .route(&format!("{IN_WORKSPACE}/{{name}}"), get(read).put(write))
        .route(&format!("{IN_TENANT}/{{name}}"), get(read_in_tenant))
        .route("/memory/{*path}", get(recall).put(remember))
        .route("/unsettled", get(unsettled))
        .route("/wake", post(wake))
        .route("/copies", post(copies))
        .route("/hold", post(hold))
        .route("/tidy", post(tidy))
        .with_state(bare);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("bare listens on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

type Db = State<Arc<Bare>>;

fn kind(provider: &str, collection: &str) -> &'static (&'static str, &'static str, &'static str) {
    KINDS.iter().find(|(p, c, _)| *p == provider && *c == collection).unwrap()
}

async fn read(
    State(bare): Db,
    Path((region, provider, tenant, workspace, collection, name)): Path<(
        String,
        String,
        String,
        String,
        String,
        String,
    )>,
) -> Response<Body> {
    one(&bare, Place { region, tenant, workspace, kind: kind(&provider, &collection) }, &name).await
}

async fn read_in_tenant(
    State(bare): Db,
    Path((region, provider, tenant, collection, name)): Path<(String, String, String, String, String)>,
) -> Response<Body> {
    one(&bare, Place { region, tenant, workspace: String::new(), kind: kind(&provider, &collection) }, &name).await
}

async fn one(bare: &Bare, place: Place, name: &str) -> Response<Body> {
    let found = bare.database.get(&place, name).await;
    answer(found.map(|found| found.with(|row| document::one(&place, &row, "GET"))))
}

#[derive(Deserialize)]
struct Page {
    limit: i64,
    #[serde(default, rename = "skipToken")]
    after: String,
    /// One label: `name=value`.
    labels: Option<String>,
}

async fn list(
    State(bare): Db,
    Path((region, provider, tenant, workspace, collection)): Path<(String, String, String, String, String)>,
    Query(page): Query<Page>,
) -> Response<Body> {
    let place = Place { region, tenant, workspace, kind: kind(&provider, &collection) };
    let label = page.labels.as_deref().and_then(|label| label.split_once('='));
    let rows = bare.database.list(&place, &page.after, page.limit, label).await;
    answer(Some(document::page(&place, &rows, page.limit)))
}

async fn recall(State(bare): Db, Path(path): Path<String>) -> Response<Body> {
    let memory = bare.memory.read().unwrap_or_else(PoisonError::into_inner);
    let Some((text, tag)) = memory.get(&path) else { return answer(None) };
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json").header(header::ETAG, tag);
    response.body(Body::from(text.clone())).unwrap()
}

async fn remember(State(bare): Db, Path(path): Path<String>, text: Bytes) -> &'static str {
    bare.memory.write().unwrap_or_else(PoisonError::into_inner).insert(path, (text, "\"1\"".to_owned()));
    "remembered\n"
}

/// What a client may write, each part as the text that is stored.
#[derive(Deserialize)]
pub(crate) struct Written<'a> {
    #[serde(borrow)]
    pub(crate) labels: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) extensions: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) spec: &'a RawValue,
}

/// In a task of its own: a client that leaves in the middle must not leave a transaction open.
async fn write(
    State(bare): Db,
    Path((region, provider, tenant, workspace, collection, name)): Path<(
        String,
        String,
        String,
        String,
        String,
        String,
    )>,
    body: Bytes,
) -> Response<Body> {
    let place = Place { region, tenant, workspace, kind: kind(&provider, &collection) };
    let writing = tokio::spawn(async move {
        let written = serde_json::from_slice(&body).unwrap();
        let found = match name.starts_with("made-") {
            true => bare.database.create(&place, &name, &written).await,
            false => bare.database.put(&place, &name, &written).await,
        };
        found.map(|found| found.with(|row| document::one(&place, &row, "PUT")))
    });
    answer(writing.await.unwrap())
}

fn answer(document: Option<Document>) -> Response<Body> {
    let Some(document) = document else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    if let Some(tag) = document.tag {
        response = response.header(header::ETAG, tag);
    }
    response.body(Body::from(document.text)).unwrap()
}

/// How many resources are not active yet, or wait for the engine.
async fn unsettled(State(bare): Db) -> String {
    bare.database.unsettled().await.to_string()
}

/// Makes all gateways due.
async fn wake(State(bare): Db) -> String {
    bare.database.wake().await.to_string()
}

/// Copies a row, with its labels, references and place in the queue.
async fn copies(State(bare): Db, Json(wanted): Json<Copies>) -> &'static str {
    bare.database.copy(&wanted).await;
    "copied\n"
}

/// Takes all projects away from the proxy's engine, for nine minutes: a lease that ends later than in ten, and does not say
/// how long it lasts, counts for nothing.
async fn hold(State(bare): Db) -> &'static str {
    bare.database.hold().await;
    "held\n"
}

/// Removes what earlier writes left behind.
async fn tidy(State(bare): Db) -> &'static str {
    bare.database.tidy().await;
    "tidied\n"
}
