//! Bodies: bounded while they are read, in size and in time.
//!
//! tower-http's `limit` does less. It counts bytes alone, so that a body may take for ever, and it answers before a body
//! that is too large was read, so that its sender meets a reset connection instead of the answer.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use http_body_util::BodyExt as _;
use seca_api::ProblemKind;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{answer::Failure, config::Limits};

/// How much of a body that is too large is read and dropped, so that the client gets to read the answer
/// instead of a reset connection.
const DRAINED: usize = 8 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Reads a JSON body's bytes. They are wiped when dropped: an admin's body holds a token.
pub(crate) async fn read_json(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if body.is_end_stream() {
        return Ok(Zeroizing::default());
    }
    check_media_type(headers)?;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let fits = announced <= limits.body_bytes;
    let mut bytes = Zeroizing::new(Vec::with_capacity(if fits { announced } else { 0 }));
    read(headers, body, limits, |chunk| bytes.extend_from_slice(chunk)).await?;
    Ok(bytes)
}

/// Reads and drops the body of a request that needs none. No more of it is kept than a chunk.
pub(crate) async fn discard(headers: &HeaderMap, body: Body, limits: Limits) -> Result<(), Failure> {
    if body.is_end_stream() {
        return Ok(());
    }
    read(headers, body, limits, |_| {}).await
}

/// Drops the body of a request that is refused already, within bounds, so that its sender gets to read the answer. Who
/// asks before sending anything is answered instead.
pub(crate) async fn refuse(headers: &HeaderMap, mut body: Body) {
    if !headers.contains_key(header::EXPECT) {
        let _ = timeout(DRAIN_TIME, drain(&mut body)).await;
    }
}

async fn read(headers: &HeaderMap, mut body: Body, limits: Limits, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let max = limits.body_bytes;
    let announced = body.size_hint().lower();
    let too_large = usize::try_from(announced).map_or(true, |bytes| bytes > max);
    // A client that asks first is told before it sends anything.
    if too_large && headers.contains_key(header::EXPECT) {
        return Err(oversized(max));
    }
    let reading = async {
        let mut seen = 0;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Failure::malformed("the body broke off; send it again").because(error))?;
            let Some(chunk) = frame.data_ref() else { continue };
            seen += chunk.len();
            if too_large || seen > max {
                return Ok(false);
            }
            take(chunk);
        }
        Ok(true)
    };
    match timeout(limits.body_timeout, reading).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => {
            let _ = timeout(DRAIN_TIME, drain(&mut body)).await;
            Err(oversized(max))
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s; send it faster", limits.body_timeout.as_secs());
            Err(Failure::other(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail)
                .header(header::CONNECTION, HeaderValue::from_static("close")))
        }
    }
}

async fn drain(body: &mut Body) {
    let mut seen = 0;
    while seen < DRAINED
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
}

fn oversized(max: usize) -> Failure {
    Failure::new(ProblemKind::PayloadTooLarge, format!("the body is larger than {max} bytes; send a smaller document"))
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let refuse = |detail: String| Err(Failure::new(ProblemKind::UnsupportedMediaType, detail));
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return refuse("the body must not be compressed; send it without Content-Encoding".to_owned());
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the body has no media type; send the header `Content-Type: application/json`".to_owned());
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let is_utf8 = parts.filter_map(|part| part.strip_prefix("charset=")).all(|set| set.trim_matches('"') == "utf-8");
    if is_json && is_utf8 {
        return Ok(());
    }
    let shown: String = text.chars().take(64).collect();
    refuse(format!("the media type of the body must be application/json in UTF-8, not `{shown}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf8_is_a_body() {
        let check = |content_type: Option<&str>, encoding: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(text) = content_type {
                headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            }
            if let Some(text) = encoding {
                headers.insert(header::CONTENT_ENCODING, text.parse().unwrap());
            }
            check_media_type(&headers).is_ok()
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/merge-patch+json",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(check(Some(good), None), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json", ""] {
            assert!(!check(Some(bad), None), "{bad}");
        }
        assert!(!check(None, None));
        assert!(!check(Some("application/json"), Some("gzip")));
        assert!(check(Some("application/json"), Some("identity")));
    }
}
