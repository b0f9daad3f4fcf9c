//! `/metrics`: for whoever has the token of metrics, or may use the admin API anyway.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, header, request::Parts},
};
use seca_api::ProblemKind;

use super::Admin;
use crate::{answer::Failure, auth::bearer, observe::Trace};

/// Where they are.
pub(super) const PATH: &str = "/metrics";

/// The text form of OpenMetrics.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

impl Admin {
    pub(super) async fn metrics(&self, parts: &Parts, trace: &Trace) -> Result<Response<Body>, Failure> {
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
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Failure::method(&[Method::GET, Method::HEAD], &parts.method));
        }
        trace.about("get", "metrics");
        let text = metrics.exposition.text().await.map_err(Failure::internal)?;
        let mut response = Response::new(Body::from(text));
        response.headers_mut().insert(header::CONTENT_TYPE, OPEN_METRICS);
        Ok(response)
    }
}
