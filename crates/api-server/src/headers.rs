//! Request headers: what is accepted, which version the client insists on, under which URL it reached us.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts, uri::Authority},
};
use control_plane::ports::Deleted;
use seca_api::ProblemKind;
use url::Url;

use crate::{answer::Failure, tls::Encrypted};

const JSON: &str = "application/json";

/// Whether the client accepts JSON, and which deleted resources a list shows.
pub(crate) fn accept(headers: &HeaderMap) -> Result<Deleted, Failure> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return Ok(Deleted::Exclude);
    }
    let mut accepted = None;
    for range in ranges {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let essence = parts.next().unwrap_or_default();
        if !matches!(essence.as_str(), JSON | "*/*" | "application/*") {
            continue;
        }
        let mut deleted = None;
        let mut refused = false;
        for part in parts {
            match part.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start().trim_matches('"'))) {
                Some(("deleted", value)) => deleted = Some(shown(value)?),
                Some(("q", value)) => refused = value.parse::<f32>().is_ok_and(|q| q <= 0.0),
                _ => {}
            }
        }
        // The exact type says more than a wildcard, wherever it stands.
        if !refused && (accepted.is_none() || essence == JSON && deleted.is_some()) {
            accepted = Some(deleted.unwrap_or_default());
        }
    }
    accepted.ok_or_else(|| {
        Failure::new(ProblemKind::NotAcceptable, "answers are application/json; accept that, or send no Accept header")
    })
}

fn shown(word: &str) -> Result<Deleted, Failure> {
    match word {
        "true" => Ok(Deleted::Include),
        "only" => Ok(Deleted::Only),
        "false" => Ok(Deleted::Exclude),
        _ => Err(Failure::parameter("Accept", "`deleted` in the Accept header must be `true` or `only`, or absent")),
    }
}

/// The one value of a header.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|_| values.next().is_none());
    text.map(|text| Some(text.trim())).ok_or_else(|| {
        Failure::parameter(name.as_str(), format!("the header {name} must stand once and be plain text"))
    })
}

/// The version that a writing request insists on.
pub(crate) fn version(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    if headers.contains_key(header::IF_NONE_MATCH) {
        let rule = "If-None-Match is understood on GET only; to change what you have read, send if-unmodified-since \
                    with its resourceVersion";
        return Err(Failure::parameter("If-None-Match", rule));
    }
    let unmodified = single(headers, &header::IF_UNMODIFIED_SINCE)?
        .map(|text| {
            let rule = "if-unmodified-since must be the integer in metadata.resourceVersion, not a date";
            text.parse::<i64>().map_err(|_| Failure::parameter("if-unmodified-since", rule))
        })
        .transpose()?;
    let matching = single(headers, &header::IF_MATCH)?.map(tagged_version).transpose()?;
    match (unmodified, matching) {
        (Some(one), Some(other)) if one != other => Err(Failure::parameter(
            "If-Match",
            "If-Match and if-unmodified-since name different versions; send one of them",
        )),
        (one, other) => Ok(one.or(other)),
    }
}

/// The resource version in an ETag of ours: its first part. The second changes with the status, of which a
/// writer need not know.
fn tagged_version(text: &str) -> Result<i64, Failure> {
    if text == "*" || text.contains(',') {
        return Err(Failure::parameter("If-Match", "If-Match must be one ETag, as the last answer had it"));
    }
    let content = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(content) = content else {
        return Err(Failure::parameter(
            "If-Match",
            "If-Match must be an ETag in double quotes, as the last answer had it",
        ));
    };
    let stale =
        || Failure::new(ProblemKind::PreconditionFailed, "If-Match names no version of this resource; read it again");
    content.split_once('.').and_then(|(version, _)| version.parse().ok()).ok_or_else(stale)
}

/// Whether a reader has this representation already.
pub(crate) fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    let candidates = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    candidates
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate).trim_matches('"') == tag)
}

/// Whether a reader names representations that it has, and this is none of them.
pub(crate) fn has_another(headers: &HeaderMap, tag: &str) -> bool {
    headers.contains_key(header::IF_NONE_MATCH) && !has_already(headers, tag)
}

/// The most seconds that a client may ask us to wait.
const LONGEST_WAIT: u64 = 30;

/// `Prefer: wait=n` (RFC 7240) of a reader: how long it would have us wait, at most 30 s. A preference is never an
/// error: of several the first counts, and what cannot be read is passed over.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let value = preferences.flat_map(|value| value.split(',')).find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX).min(LONGEST_WAIT)))
}

/// Says that a reader's wish counted.
pub(crate) fn waited(response: &mut Response<Body>, wait: Duration) {
    if let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A `Warning` header of a sentence.
pub(crate) fn warning(sentence: &str) -> Option<HeaderValue> {
    let mut quoted = String::from("299 - \"");
    for c in sentence.chars().take(1_000) {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    HeaderValue::from_str(&quoted).ok()
}

/// The base URL under which the client reached us, without a trailing slash: https over TLS of ours. Forwarding headers are not looked
/// at, because anybody can send them: behind a proxy the public URL is a setting.
pub(crate) fn base_url(configured: Option<&Url>, parts: &Parts) -> Result<String, Failure> {
    let Parts { uri, headers, extensions, .. } = parts;
    if let Some(url) = configured {
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    let refuse =
        || Failure::parameter("Host", "the request must have one Host header with the host and port of this server");
    let host = match single(headers, &header::HOST)? {
        Some(host) => host.to_owned(),
        // HTTP/2 has it in the URI.
        None => uri.authority().map(ToString::to_string).ok_or_else(refuse)?,
    };
    let authority: Authority = host.parse().map_err(|_| refuse())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(refuse());
    }
    let is_https = extensions.get::<Encrypted>().is_some() || uri.scheme_str() == Some("https");
    Ok(format!("{}://{authority}", if is_https { "https" } else { "http" }))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn with(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap())).collect()
    }

    #[test]
    fn accept_is_read_tolerantly() {
        let cases = [
            (&[][..], Some(Deleted::Exclude)),
            (&[("accept", "*/*")], Some(Deleted::Exclude)),
            (&[("accept", "")], Some(Deleted::Exclude)),
            (&[("accept", "application/json")], Some(Deleted::Exclude)),
            (&[("accept", "text/html, application/*;q=0.8")], Some(Deleted::Exclude)),
            (&[("accept", "application/json; deleted=true")], Some(Deleted::Include)),
            (&[("accept", "Application/JSON;Deleted=ONLY")], Some(Deleted::Only)),
            (&[("accept", "application/json ; deleted = \"only\" ")], Some(Deleted::Only)),
            (&[("accept", "*/*, application/json; deleted=true")], Some(Deleted::Include)),
            (&[("accept", "text/html")], None),
            (&[("accept", "application/json;q=0")], None),
            (&[("accept", "application/json; deleted=perhaps")], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(accept(&with(headers)).ok(), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_version_comes_from_either_header_and_contradictions_are_refused() {
        let good = [
            (&[][..], None),
            (&[("if-unmodified-since", " 7 ")], Some(7)),
            (&[("if-match", "\"7.12\"")], Some(7)),
            (&[("if-match", "W/\"7.12\"")], Some(7)),
            (&[("if-match", "\"7.12\""), ("if-unmodified-since", "7")], Some(7)),
        ];
        for (headers, expected) in good {
            assert_eq!(version(&with(headers)).unwrap(), expected, "{headers:?}");
        }
        let bad: [&[(&str, &str)]; 9] = [
            &[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            &[("if-unmodified-since", "99999999999999999999")],
            &[("if-unmodified-since", "1"), ("if-unmodified-since", "1")],
            &[("if-match", "*")],
            &[("if-match", "7")],
            &[("if-match", "\"1.1\", \"2.2\"")],
            &[("if-match", "\"abc\"")],
            &[("if-match", "\"7.1\""), ("if-unmodified-since", "8")],
            &[("if-none-match", "*")],
        ];
        for headers in bad {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            assert!(version(&map).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn a_wish_to_wait_is_read_and_bounded_and_never_an_error() {
        let cases = [
            (&[][..], None),
            (&[("prefer", "wait=10")], Some(10)),
            (&[("prefer", "respond-async, Wait = \"7\"; x=y, wait=9")], Some(7)),
            (&[("prefer", "wait=0")], Some(0)),
            (&[("prefer", "wait=30")], Some(30)),
            (&[("prefer", "wait=31")], Some(30)),
            (&[("prefer", "wait=99999999999999999999999")], Some(30)),
            (&[("prefer", "wait=-1")], None),
            (&[("prefer", "wait=1.5")], None),
            (&[("prefer", "wait=")], None),
            (&[("prefer", "wait")], None),
            (&[("prefer", "return=minimal")], None),
        ];
        for (headers, seconds) in cases {
            assert_eq!(wait(&with(headers)).map(|wait| wait.as_secs()), seconds, "{headers:?}");
        }
    }

    #[test]
    fn a_reader_is_known_by_its_tag() {
        for yes in ["\"3.4\"", "W/\"3.4\"", "\"1.1\", \"3.4\"", "*"] {
            let headers = with(&[("if-none-match", yes)]);
            assert!(has_already(&headers, "3.4") && !has_another(&headers, "3.4"), "{yes}");
        }
        let (other, none) = (with(&[("if-none-match", "\"3.5\"")]), with(&[]));
        assert!(!has_already(&other, "3.4") && has_another(&other, "3.4"));
        assert!(!has_already(&none, "3.4") && !has_another(&none, "3.4"));
    }

    #[test]
    fn the_base_url_is_the_setting_or_scheme_and_host() {
        let parts = |uri: &str, headers: &[(&str, &str)]| {
            let mut parts = Request::get(uri).body(()).unwrap().into_parts().0;
            parts.headers = with(headers);
            parts
        };
        let base = |headers: &[(&str, &str)]| base_url(None, &parts("/x", headers)).ok();
        assert_eq!(base(&[("host", "h:8080")]).as_deref(), Some("http://h:8080"));
        assert_eq!(base(&[("host", "[::1]:80"), ("x-forwarded-host", "evil")]).as_deref(), Some("http://[::1]:80"));
        for bad in [&[][..], &[("host", "u@h")], &[("host", "a b")], &[("host", "h/x")]] {
            assert_eq!(base(bad), None, "{bad:?}");
        }
        assert_eq!(base_url(None, &parts("https://seca.example/x", &[])).unwrap(), "https://seca.example");
        let mut encrypted = parts("/x", &[("host", "h")]);
        encrypted.extensions.insert(Encrypted);
        assert_eq!(base_url(None, &encrypted).unwrap(), "https://h");
        let setting: Url = "https://seca.example/api/".parse().unwrap();
        assert_eq!(base_url(Some(&setting), &parts("/x", &[])).unwrap(), "https://seca.example/api");
    }

    #[test]
    fn a_warning_is_one_quoted_ascii_sentence() {
        assert_eq!(warning("`/spec/\"x\"\n` ä").unwrap(), r#"299 - "`/spec/\"x\"?` ?""#);
    }
}
