//! The yardstick of `make bench`: what a bare axum handler makes of the database that the proxy uses.
//!
//! Each operation is one query for the columns that its answer needs, and the answer is put together from the stored
//! texts. It checks nothing, knows one kind, and speaks to the tables of a proxy that has set them up. Paths are the
//! proxy's, so that one list of them drives both; a skip token is here the name behind which the page begins.
//!
//! Beside that it tells when the proxy's engine has nothing left to do, keeps it from working while something is
//! measured, and tidies up between measurements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "an example, for a script")]

mod database;
mod document;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{Response, StatusCode, header},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use database::{Database, Place};
use document::Document;

/// As the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const COLLECTION: &str =
    "/regions/{region}/providers/seca.network/v1/tenants/{tenant}/workspaces/{workspace}/internet-gateways";

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: bare DATABASE_URL");
    let database = Arc::new(Database::open(&url));
    let router = Router::new()
        .route(COLLECTION, get(list))
        .route(&format!("{COLLECTION}/{{name}}"), get(read).put(write))
        .route("/unsettled", get(unsettled))
        .route("/hold", post(hold))
        .route("/tidy", post(tidy))
        .with_state(database);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("bare listens on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

type Db = State<Arc<Database>>;

async fn read(State(db): Db, Path(path): Path<(String, String, String, String)>) -> Response<Body> {
    let (region, tenant, workspace, name) = path;
    let place = Place { region, tenant, workspace };
    let found = db.get(&place, &name).await;
    answer(found.map(|found| found.with(|row| document::one(&place, &row, "GET"))))
}

#[derive(Deserialize)]
struct Page {
    limit: i64,
    #[serde(default, rename = "skipToken")]
    after: String,
}

async fn list(
    State(db): Db,
    Path((region, tenant, workspace)): Path<(String, String, String)>,
    Query(page): Query<Page>,
) -> Response<Body> {
    let place = Place { region, tenant, workspace };
    let rows = db.list(&place, &page.after, page.limit).await;
    answer(Some(document::page(&place, &rows, page.limit)))
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
async fn write(State(db): Db, Path(path): Path<(String, String, String, String)>, body: Bytes) -> Response<Body> {
    let (region, tenant, workspace, name) = path;
    let place = Place { region, tenant, workspace };
    let writing = tokio::spawn(async move {
        let written = serde_json::from_slice(&body).unwrap();
        let found = db.put(&place, &name, &written).await;
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
async fn unsettled(State(db): Db) -> String {
    db.unsettled().await.to_string()
}

/// Takes all projects away from the proxy's engine, for an hour.
async fn hold(State(db): Db) -> &'static str {
    db.hold().await;
    "held\n"
}

/// Removes what earlier writes left behind.
async fn tidy(State(db): Db) -> &'static str {
    db.tidy().await;
    "tidied\n"
}
