//! Whether a token may write, after the provider said `forbidden`.
//!
//! The provider says `forbidden` to a token that only reads, in place of `token_readonly`, and also to what it has
//! closed for a while or never lets anybody do. Only a write that is always allowed tells them apart: the marker's own
//! name, written as it is. Not its labels, which carry the epoch: one that another writes at the same time must not be
//! put back.

use control_plane::{Reason, ports::Note};
use hcloud_client::{Error, ErrorClass, ErrorCode, ListFilter, ProjectClient, types::UpdatePlacementGroup};

use crate::{
    naming,
    outcome::{SLOW, Verdict, judge},
};

/// Judges the error of a change as [`judge`] does, and proves the token before it is called read-only for a
/// `forbidden`. If it may write, or that cannot be proven now, the call alone failed.
pub(crate) async fn judge_proven(client: &ProjectClient, error: &Error) -> Verdict {
    if error.code() != Some(&ErrorCode::Forbidden) {
        return judge(error);
    }
    match refused(client).await {
        Some(refusal) if is_read_only(&refusal) => Verdict::Retry(
            Some(SLOW),
            Note::new(
                Reason::CredentialReadOnly,
                format!("The token may only read: Hetzner Cloud refuses every change with it ({refusal})."),
            ),
        ),
        // It was revoked in between.
        Some(refusal) if refusal.class() == ErrorClass::Unauthorized => judge(&refusal),
        _ => judge(error),
    }
}

fn is_read_only(refusal: &Error) -> bool {
    matches!(refusal.code(), Some(ErrorCode::Forbidden | ErrorCode::TokenReadonly))
}

/// What the provider says against a write to the marker; nothing if it allows it, or there is no marker.
async fn refused(client: &ProjectClient) -> Option<Error> {
    let selector = format!("{}={}", naming::PROJECT, naming::label_value(client.project()));
    let marker = match client.list_placement_groups(&ListFilter::labelled(selector)).await {
        Ok(found) => found.into_iter().min_by_key(|group| group.id)?,
        // A token that may not even read is none that only reads.
        Err(error) => return Some(error).filter(|error| !is_read_only(error)),
    };
    let same = UpdatePlacementGroup { name: Some(marker.name), labels: None };
    client.update_placement_group(marker.id, &same).await.err()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use hcloud_client::{
        Access, ApiRequest, ApiResponse, Hcloud, HcloudApi, HeaderMap, StatusCode, TransportError, environment,
        types::Id,
    };
    use serde_json::{Value, json};

    use super::*;

    /// A provider that refuses changes in one way and writes of the marker in another, or not.
    struct Refusing {
        change: &'static str,
        marker: Option<&'static str>,
        has_marker: bool,
        asked: Mutex<Vec<(String, Value)>>,
    }

    fn reply(status: u16, body: &Value) -> ApiResponse {
        let status = StatusCode::from_u16(status).unwrap();
        ApiResponse { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() }
    }

    fn refusal(code: &str) -> ApiResponse {
        let status = if code == "forbidden" { 403 } else { 401 };
        reply(status, &json!({"error": {"code": code, "message": format!("told {code}")}}))
    }

    #[async_trait]
    impl HcloudApi for Refusing {
        async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError> {
            let body = request.body.as_deref().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
            self.asked.lock().unwrap().push((request.operation(), body));
            let marker = json!({
                "id": 7, "name": "project-x", "type": "spread", "created": "2026-01-30T23:55:00Z",
                "labels": {"seca.project": "p", "seca.epoch": "3"}, "servers": [],
            });
            Ok(match (request.operation().as_str(), self.marker) {
                ("GET /placement_groups", _) => {
                    assert!(request.query.contains(&("label_selector".to_owned(), "seca.project=p".to_owned())));
                    let found = if self.has_marker { vec![marker] } else { Vec::new() };
                    reply(200, &json!({"placement_groups": found}))
                }
                ("PUT /placement_groups/7", None) => reply(200, &json!({"placement_group": marker})),
                ("PUT /placement_groups/7", Some(code)) => refusal(code),
                _ => refusal(self.change),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_called_read_only_when_it_may_not_write_what_everybody_may() {
        use Reason::{CredentialReadOnly, CredentialRejected, ProviderUnavailable};
        // what a change is answered with, the marker's write, whether there is a marker; reason, words, requests
        for (change, marker, has_marker, reason, words, requests) in [
            ("forbidden", Some("forbidden"), true, CredentialReadOnly, "may only read", 3),
            ("forbidden", Some("token_readonly"), true, CredentialReadOnly, "may only read", 3),
            ("forbidden", None, true, ProviderUnavailable, "Hetzner Cloud says: told forbidden (forbidden).", 3),
            ("forbidden", None, false, ProviderUnavailable, "Hetzner Cloud says: told forbidden (forbidden).", 2),
            ("forbidden", Some("unauthorized"), true, CredentialRejected, "told unauthorized", 3),
            ("token_readonly", Some("forbidden"), true, CredentialReadOnly, "told token_readonly", 1),
            ("unauthorized", Some("forbidden"), true, CredentialRejected, "told unauthorized", 1),
        ] {
            let api = Arc::new(Refusing { change, marker, has_marker, asked: Mutex::default() });
            let hcloud = Hcloud::new(api.clone(), environment(|| time::OffsetDateTime::UNIX_EPOCH, || 0.5));
            let client = hcloud.project(Access {
                endpoint: "http://localhost:1/v1".parse().unwrap(),
                token: "t".to_owned().into(),
                project: "p".to_owned(),
            });
            let error = client.delete_volume(Id::new(1)).await.unwrap_err();
            let Verdict::Retry(after, note) = judge_proven(&client, &error).await else { panic!("{error}") };
            assert_eq!((note.reason, after), (reason, Some(SLOW)), "{change}, {marker:?}");
            assert!(note.message.contains(words), "{}", note.message);
            let asked = api.asked.lock().unwrap();
            assert_eq!(asked.len(), requests, "{change}, {marker:?}: {asked:?}");
            let written = asked.iter().find(|(operation, _)| operation.starts_with("PUT"));
            assert!(written.is_none_or(|(_, body)| *body == json!({"name": "project-x"})), "{written:?}");
        }
    }
}
