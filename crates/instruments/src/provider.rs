//! Requests to the provider, counted where they leave the process.

use std::{borrow::Cow, sync::Arc, time::Duration};

use async_trait::async_trait;
use hcloud_client::{ApiError, ApiRequest, ApiResponse, ErrorCode, HcloudApi, TransportError, TransportErrorKind};
use tokio::time::Instant;

use crate::{
    Instruments,
    book::{Book, Buckets, Counters, Histograms},
};

#[derive(Debug)]
pub(crate) struct ProviderCounts {
    calls: Counters<2>,
    durations: Histograms<1>,
}

impl ProviderCounts {
    pub(crate) fn new(book: &mut Book) -> Self {
        Self {
            calls: book.counters(
                "secapi_provider_calls",
                "Requests to the provider; the outcome is ok, the provider's error code, or how the answer failed to come. \
                 All but not_sent reached the network",
                &["operation", "outcome"],
            ),
            durations: book.histograms(
                "secapi_provider_call_duration_seconds",
                "How long the provider took to answer",
                &["operation"],
                Buckets::LONG,
            ),
        }
    }
}

/// A door to the provider whose requests are counted.
pub struct CountedApi<A> {
    inner: A,
    instruments: Arc<Instruments>,
}

impl<A: HcloudApi> CountedApi<A> {
    /// Counts the requests through a door.
    pub const fn new(inner: A, instruments: Arc<Instruments>) -> Self {
        Self { inner, instruments }
    }
}

#[async_trait]
impl<A: HcloudApi> HcloudApi for CountedApi<A> {
    async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError> {
        let operation = format!("{} {}", request.method, template(&request.path));
        let mut call = Call { counts: &self.instruments.provider, operation, began: Instant::now(), outcome: None };
        let result = self.inner.send(request).await;
        call.outcome = Some(outcome(&result));
        result
    }

    fn request_timeout(&self) -> Duration {
        self.inner.request_timeout()
    }
}

/// A request under way. It counts when it ends, also when nobody waits for its end.
struct Call<'a> {
    counts: &'a ProviderCounts,
    operation: String,
    began: Instant,
    outcome: Option<Cow<'static, str>>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let operation: Cow<'static, str> = Cow::Owned(std::mem::take(&mut self.operation));
        if self.outcome.is_some() {
            self.counts.durations.with([operation.clone()]).observe(self.began.elapsed().as_secs_f64());
        }
        self.counts.calls.with([operation, self.outcome.take().unwrap_or(Cow::Borrowed("dropped"))]).inc();
    }
}

fn outcome(result: &Result<ApiResponse, TransportError>) -> Cow<'static, str> {
    match result {
        Ok(response) if response.status.is_success() => Cow::Borrowed("ok"),
        Ok(response) => match ApiError::from_response(response).code {
            // What others make up must not make series.
            ErrorCode::Unknown(_) => Cow::Owned(format!("http_{}", response.status.as_u16())),
            code => Cow::Owned(code.as_str().to_owned()),
        },
        Err(error) => Cow::Borrowed(match error.kind {
            TransportErrorKind::NotSent => "not_sent",
            TransportErrorKind::Timeout => "timed_out",
            TransportErrorKind::Broken => "broken",
            TransportErrorKind::TooLong => "too_long",
        }),
    }
}

/// A path with `{id}` in the place of ids.
fn template(path: &str) -> String {
    let part = |part: &str| {
        let is_id = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_id { "{id}".to_owned() } else { part.to_owned() }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_makes_no_operation_of_its_own() {
        let cases = [
            ("/servers", "/servers"),
            ("/servers/42", "/servers/{id}"),
            ("/servers/42/actions/poweron", "/servers/{id}/actions/poweron"),
            ("/actions", "/actions"),
        ];
        for (path, want) in cases {
            assert_eq!(template(path), want);
        }
    }
}
