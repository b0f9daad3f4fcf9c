//! `/metrics`: for whoever has the token of metrics, or may use the admin API anyway.

use std::sync::Arc;

use authentication::bearer;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Response, header, request::Parts},
};
use seca_api::ProblemKind;

use super::Admin;
use crate::{
    answer::{Failure, READS},
    observe::Trace,
};

/// Where they are.
pub(super) const PATH: &str = "/metrics";

/// The text form of OpenMetrics.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What is under [`PATH`]. It is asked with every method: who may not read metrics learns nothing of what there is.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response<Body>, Failure> {
    admin.metrics(&request.into_parts().0).await
}

impl Admin {
    async fn metrics(&self, parts: &Parts) -> Result<Response<Body>, Failure> {
        let trace = Trace::of(&parts.extensions);
        let Some(metrics) = &self.config.metrics else {
            self.actor(parts)?;
            return Err(Failure::new(ProblemKind::NotFound, "metrics are switched off here (SECA_METRICS=off)"));
        };
        if bearer(&parts.headers).is_ok_and(|token| metrics.opens(token)) {
            self.config.meter.authenticated("admin", "accepted");
            trace.subject("metrics");
        } else {
            trace.subject(&self.actor(parts)?);
        }
        if !READS.contains(&parts.method) {
            return Err(Failure::method(&READS, &parts.method));
        }
        trace.about("get", "metrics");
        let text = metrics.exposition.text().await.map_err(Failure::internal)?;
        let mut response = Response::new(Body::from(text));
        response.headers_mut().insert(header::CONTENT_TYPE, OPEN_METRICS);
        Ok(response)
    }
}
