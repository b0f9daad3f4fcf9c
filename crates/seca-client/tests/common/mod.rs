//! A server that answers from a script and writes down what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method, path and query, still encoded.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

type Script = dyn Fn(&Asked, usize) -> (u16, Value) + Send + Sync;

/// The server. `asked` counts how often the same line came before.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    journal: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone)]
struct Shared {
    journal: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Script>,
}

impl Server {
    /// Starts a server on a free port.
    pub(crate) async fn start(script: impl Fn(&Asked, usize) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let journal = Arc::default();
        let shared = Shared { journal: Arc::clone(&journal), script: Arc::new(script) };
        let router = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, journal }
    }

    /// What was asked so far.
    pub(crate) fn journal(&self) -> Vec<Asked> {
        self.journal.lock().unwrap().clone()
    }

    /// The lines of what was asked so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.journal().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let before = {
        let mut journal = shared.journal.lock().unwrap();
        let before = journal.iter().filter(|other| other.line == asked.line).count();
        journal.push(asked.clone());
        before
    };
    let (status, value) = (shared.script)(&asked, before);
    let body = if value.is_null() { Body::empty() } else { Body::from(value.to_string()) };
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    response.header(CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// A problem document.
pub(crate) fn problem(status: u16, detail: &str) -> (u16, Value) {
    let problem = json!({
        "type": "http://secapi.cloud/errors/x", "title": "Title", "status": status, "detail": detail,
        "instance": "/x", "sources": [{"pointer": "/spec/zone", "parameter": "zone"}],
    });
    (status, problem)
}
