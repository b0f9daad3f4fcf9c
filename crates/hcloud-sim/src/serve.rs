//! axum around the simulator, with an accept loop of its own: a lost reply closes the connection without an answer.

use crate::core::{SimRequest, SimResponse};
use crate::sim::{Sim, SimError};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Larger bodies are refused; the API itself allows far less.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// How long open connections may finish when the server stops.
const GRACE: Duration = Duration::from_millis(500);

/// Cancelled to close the connection a request came on.
#[derive(Clone)]
struct Connection(CancellationToken);

impl Sim {
    /// `/v1/*` and `/_sim/*` as an axum router. Served by anything but [`serve`], a lost reply stays unanswered
    /// instead of closing the connection.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(State(sim): State<Sim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return (http::StatusCode::PAYLOAD_TOO_LARGE, "the body is too large").into_response();
    };
    let token = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned);
    let request = SimRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        token,
        body,
    };
    match sim.call(request).await {
        Some(response) => render(response),
        None => {
            if let Some(Connection(close)) = parts.extensions.get::<Connection>() {
                close.cancel();
            }
            std::future::pending().await
        }
    }
}

fn render(reply: SimResponse) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Serves the simulator until `shutdown`; connections get a moment to finish, held requests are dropped.
///
/// # Errors
/// Fails when the listener does.
pub async fn serve(listener: TcpListener, sim: Sim, shutdown: CancellationToken) -> Result<(), SimError> {
    let connections = TaskTracker::new();
    let router = sim.router();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A connection that was gone before it was accepted is no reason to stop.
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => return Err(SimError::Listener(error)),
            },
        };
        connections.spawn(connection(stream, router.clone(), shutdown.clone()));
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let close = CancellationToken::new();
    let mark = Connection(close.clone());
    let service = router.map_request(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(mark.clone());
        request
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = close.cancelled() => return,
        () = shutdown.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, serving).await;
}
