//! A provider that does what a closure says, and what tests share.
#![allow(dead_code, reason = "every test file uses its part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use hcloud_client::{
    Access, ApiRequest, ApiResponse, Environment, Hcloud, HcloudApi, HeaderMap, ProjectClient, RetryPolicy, StatusCode,
    TransportError, environment,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

pub(crate) const TOKEN: &str = "s3cr3t-t0k3n-value";

type Reply = Result<ApiResponse, TransportError>;
type Script = Box<dyn Fn(ApiRequest, usize) -> BoxFuture<'static, Reply> + Send + Sync>;

/// Answers by script and keeps when each request came.
pub(crate) struct Scripted {
    script: Script,
    pub(crate) requests: Mutex<Vec<(Instant, ApiRequest)>>,
}

impl Scripted {
    /// The script gets the request and how many came before it.
    pub(crate) fn new<F, Fut>(script: F) -> Arc<Self>
    where
        F: Fn(ApiRequest, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        Arc::new(Self {
            script: Box::new(move |request, nth| Box::pin(script(request, nth))),
            requests: Mutex::default(),
        })
    }

    /// Answers at once, in order; the last answer repeats.
    pub(crate) fn replies(replies: Vec<Reply>) -> Arc<Self> {
        Self::new(move |_, nth| {
            let reply = replies[nth.min(replies.len() - 1)].clone();
            async move { reply }
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(at, _)| *at).collect()
    }

    /// The ids that each request asked for.
    pub(crate) fn polled(&self) -> Vec<Vec<String>> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(_, request)| request.query.iter().map(|(_, id)| id.clone()).collect()).collect()
    }
}

#[async_trait]
impl HcloudApi for Scripted {
    async fn send(&self, request: ApiRequest) -> Reply {
        let nth = {
            let mut requests = self.requests.lock().unwrap();
            requests.push((Instant::now(), request.clone()));
            requests.len() - 1
        };
        (self.script)(request, nth).await
    }
}

/// Wall time that runs with the paused clock, and dice that always show the same.
pub(crate) fn world() -> Arc<dyn Environment> {
    let begin = Instant::now();
    environment(move || OffsetDateTime::UNIX_EPOCH + EPOCH + begin.elapsed(), || 1.0)
}

pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

pub(crate) fn hcloud(api: Arc<dyn HcloudApi>) -> Hcloud {
    Hcloud::new(api, world()).with_retry(RetryPolicy::default())
}

pub(crate) fn access(project: &str) -> Access {
    Access {
        endpoint: "http://localhost:1/v1".parse().unwrap(),
        token: TOKEN.to_owned().into(),
        project: project.to_owned(),
    }
}

pub(crate) fn client(api: Arc<dyn HcloudApi>) -> ProjectClient {
    hcloud(api).project(access("p"))
}

pub(crate) fn reply(status: u16, body: &Value) -> Reply {
    Ok(ApiResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.to_string().into_bytes(),
    })
}

pub(crate) fn ok(body: &Value) -> Reply {
    reply(200, body)
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    reply(status, &json!({"error": {"code": code, "message": "told so", "details": null}}))
}

/// A page that no API wrote.
pub(crate) fn bare(status: u16) -> Reply {
    Ok(ApiResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: b"<html>".to_vec(),
    })
}

pub(crate) fn with_headers(reply: Reply, limit: f64, remaining: f64, reset: f64) -> Reply {
    reply.map(|mut response| {
        for (name, value) in
            [("ratelimit-limit", limit), ("ratelimit-remaining", remaining.floor()), ("ratelimit-reset", reset.ceil())]
        {
            let value = format!("{value:.0}").parse().unwrap();
            response.headers.insert(name, value);
        }
        response
    })
}

pub(crate) fn action(id: i64, command: &str, status: &str) -> Value {
    json!({
        "id": id, "command": command, "status": status, "progress": 0,
        "started": "2026-01-30T23:55:00Z", "finished": null, "resources": [], "error": null
    })
}

pub(crate) fn volume_list(ids: &[i64], next_page: Option<u64>) -> Value {
    json!({
        "volumes": ids.iter().map(|id| volume(*id)).collect::<Vec<_>>(),
        "meta": {"pagination": {"next_page": next_page}}
    })
}

pub(crate) fn volume(id: i64) -> Value {
    json!({
        "id": id, "name": format!("v{id}"), "created": "2026-01-30T23:55:00Z", "server": null,
        "location": {"id": 1, "name": "fsn1"}, "size": 10, "status": "available"
    })
}
