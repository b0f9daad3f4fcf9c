//! List parameters and skip tokens.
//!
//! A token is signed and bound to the query that it continues, so that no client can walk a list with another
//! list's position or make one up. It is not secret: it holds the name of the last item.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use control_plane::{ports::Deleted, service::ListRequest};
use ring::{digest, hmac};
use seca_api::ResourceKey;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::answer::Failure;

/// Signs and opens skip tokens.
pub(crate) struct Pager(hmac::Key);

#[derive(Serialize, Deserialize)]
struct Position {
    after: String,
    query: String,
}

const TAG: usize = 32;
const PURPOSE: &[u8] = b"skip-token v1\0";

impl Pager {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token that continues a list after a name.
    pub(crate) fn token(&self, request: &ListRequest, after: &str) -> Result<String, Failure> {
        let position = Position { after: after.to_owned(), query: fingerprint(request) };
        let text = serde_json::to_vec(&position).map_err(Failure::internal)?;
        let mut signed = hmac::sign(&self.0, &[PURPOSE, &text].concat()).as_ref().to_vec();
        signed.extend(text);
        Ok(BASE64.encode(signed))
    }

    /// The name after which a list continues.
    fn open(&self, request: &ListRequest, token: &str) -> Option<String> {
        let signed = BASE64.decode(token).ok()?;
        let (tag, text) = signed.split_at_checked(TAG)?;
        hmac::verify(&self.0, &[PURPOSE, text].concat(), tag).ok()?;
        let position: Position = serde_json::from_slice(text).ok()?;
        (position.query == fingerprint(request)).then_some(position.after)
    }

    /// The request that a query string asks for.
    pub(crate) fn request(
        &self,
        collection: &ResourceKey,
        query: &str,
        deleted: Deleted,
    ) -> Result<ListRequest, Failure> {
        let (mut labels, mut limit, mut token) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "labels" | "labelSelector" => &mut labels,
                "limit" => &mut limit,
                "skipToken" => &mut token,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(Failure::parameter(
                    &name,
                    "`labels` (or `labelSelector`), `limit` and `skipToken` stand at most once",
                ));
            }
        }
        let labels = labels.filter(|text: &String| !text.is_empty());
        if labels.as_deref().is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(Failure::parameter("labels", "a label selector has no control characters"));
        }
        let limit = limit.map(|text| integer(&text)).transpose()?;
        let mut request = ListRequest { collection: collection.clone(), labels, limit, after: String::new(), deleted };
        if let Some(token) = token.filter(|text| !text.is_empty()) {
            let rule = "the skip token is not one of this list and query; begin again without it";
            request.after = self.open(&request, &token).ok_or_else(|| Failure::parameter("skipToken", rule))?;
        }
        Ok(request)
    }
}

/// An integer of any length; out of range it saturates, and the service clamps it.
fn integer(text: &str) -> Result<i64, Failure> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::parameter("limit", "`limit` must be an integer from 1 to 10000"));
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX);
    Ok(if negative { -size } else { size })
}

/// What must not change between the pages of a list. The page size may.
fn fingerprint(request: &ListRequest) -> String {
    let collection = &request.collection;
    let deleted = match request.deleted {
        Deleted::Exclude => "exclude",
        Deleted::Include => "include",
        Deleted::Only => "only",
    };
    let text =
        format!("{collection}\0{}\0{}\0{deleted}", collection.region, request.labels.as_deref().unwrap_or_default());
    BASE64.encode(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..12])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seca_api::Kind;

    use super::*;

    fn collection(workspace: &str) -> ResourceKey {
        ResourceKey { workspace: workspace.into(), ..ResourceKey::tenant(Kind::Instance, "fsn1", "acme", "") }
    }

    fn pager() -> Pager {
        Pager::new(&[7; 32])
    }

    #[test]
    fn parameters_are_read_once_and_limits_saturate() {
        let read = |query: &str| pager().request(&collection("w"), query, Deleted::Exclude).ok();
        assert_eq!(read("labelSelector=a%3Db&x=y").unwrap().labels.as_deref(), Some("a=b"));
        assert_eq!(read("labels=&limit=5").map(|r| (r.labels, r.limit)), Some((None, Some(5))));
        assert_eq!(read("limit=99999999999999999999").unwrap().limit, Some(i64::MAX));
        assert_eq!(read("limit=-3").unwrap().limit, Some(-3));
        assert_eq!(read("skipToken=").unwrap().after, "");
        for bad in [
            "limit=ten",
            "limit=",
            "limit=1.5",
            "limit=1&limit=2",
            "labels=a&labelSelector=b",
            "skipToken=x",
            "labels=a%00",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_continues_its_own_query_only() {
        let first = pager().request(&collection("w"), "labels=a", Deleted::Exclude).unwrap();
        let token = pager().token(&first, "web-9").unwrap();
        let next = |workspace, query: &str, deleted| {
            pager().request(&collection(workspace), &format!("{query}&skipToken={token}"), deleted).ok()
        };
        assert_eq!(next("w", "labels=a&limit=3", Deleted::Exclude).unwrap().after, "web-9");
        assert!(next("other", "labels=a", Deleted::Exclude).is_none());
        assert!(next("w", "labels=b", Deleted::Exclude).is_none());
        assert!(next("w", "labels=a", Deleted::Include).is_none());
        assert!(Pager::new(&[8; 32]).open(&first, &token).is_none(), "another key");
    }

    proptest! {
        #[test]
        fn a_token_with_any_byte_changed_is_refused(at in 0usize..1000, flip in 1u8..=255) {
            let request = pager().request(&collection("w"), "", Deleted::Exclude).unwrap();
            let mut bytes = BASE64.decode(pager().token(&request, "name").unwrap()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert_eq!(pager().open(&request, &BASE64.encode(bytes)), None);
        }

        #[test]
        fn any_name_comes_back(name in ".*") {
            let request = pager().request(&collection("w"), "", Deleted::Exclude).unwrap();
            let token = pager().token(&request, &name).unwrap();
            prop_assert_eq!(pager().open(&request, &token), Some(name));
        }
    }
}
