//! What each error means, by code, by status where there is none, and by what the call was for.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hcloud_client::types::{Action, CreateVolume, Id};
use hcloud_client::{ApiError, ErrorClass as Class, ErrorCode};
use serde_json::json;
use support::{Scripted, bare, client, error, reply};

const LIMITED: Class = Class::RateLimited { retry_after: Duration::from_secs(1) };

#[test]
fn every_code_has_its_class() {
    // status, code, class of a read, class of a change
    let table = [
        (400, "json_error", Class::Bug, Class::Bug),
        (401, "unauthorized", Class::Unauthorized, Class::Unauthorized),
        (401, "token_readonly", Class::ReadOnly, Class::ReadOnly),
        (403, "forbidden", Class::Unauthorized, Class::Unauthorized),
        (403, "maintenance", Class::ProviderDown, Class::ProviderDown),
        (403, "resource_limit_exceeded", Class::Quota, Class::Quota),
        (404, "not_found", Class::NotFound, Class::NotFound),
        (404, "firewall_resource_not_found", Class::NotFound, Class::NotFound),
        (405, "method_not_allowed", Class::Bug, Class::Bug),
        (409, "conflict", Class::Conflict, Class::Conflict),
        (409, "uniqueness_error", Class::Uniqueness, Class::Uniqueness),
        (410, "deprecated_api_endpoint", Class::Deprecated, Class::Deprecated),
        (412, "resource_unavailable", Class::Capacity, Class::Capacity),
        (422, "placement_error", Class::Capacity, Class::Capacity),
        (422, "no_space_left_in_location", Class::Capacity, Class::Capacity),
        (422, "invalid_input", Class::InvalidInput, Class::InvalidInput),
        (400, "invalid_input", Class::InvalidInput, Class::InvalidInput),
        (422, "service_error", Class::Precondition, Class::Precondition),
        (422, "unsupported_error", Class::Precondition, Class::Precondition),
        (422, "must_be_unassigned", Class::Precondition, Class::Precondition),
        (422, "server_not_stopped", Class::Precondition, Class::Precondition),
        (422, "ip_not_available", Class::Precondition, Class::Precondition),
        (422, "no_subnet_available", Class::Precondition, Class::Precondition),
        (422, "networks_overlap", Class::Precondition, Class::Precondition),
        (422, "resource_in_use", Class::Precondition, Class::Precondition),
        (422, "private_net_only_server", Class::Precondition, Class::Precondition),
        (422, "server_has_ipv4", Class::Precondition, Class::Precondition),
        (422, "server_already_attached", Class::AlreadyDone, Class::AlreadyDone),
        (422, "volume_already_attached", Class::AlreadyDone, Class::AlreadyDone),
        (422, "firewall_already_applied", Class::AlreadyDone, Class::AlreadyDone),
        (423, "locked", Class::Locked, Class::Locked),
        (423, "protected", Class::Protected, Class::Protected),
        (423, "resource_locked", Class::Protected, Class::Protected),
        (429, "rate_limit_exceeded", LIMITED, LIMITED),
        // Seen in old logs: the code decides.
        (403, "rate_limit_exceeded", LIMITED, LIMITED),
        (500, "server_error", Class::Retry, Class::Ambiguous),
        (502, "bad_gateway", Class::Retry, Class::Ambiguous),
        (503, "unavailable", Class::ProviderDown, Class::Ambiguous),
        (504, "timeout", Class::Retry, Class::Ambiguous),
        // Codes of tomorrow: the status says the most.
        // But for absence: only a code that says so does.
        (404, "thing_not_found", Class::ProviderDown, Class::Ambiguous),
        (400, "new_word", Class::Precondition, Class::Precondition),
        (418, "new_temper", Class::ProviderDown, Class::Ambiguous),
        (409, "new_conflict", Class::Conflict, Class::Conflict),
        (422, "new_rule", Class::Precondition, Class::Precondition),
        (423, "new_lock", Class::Locked, Class::Locked),
        (599, "new_failure", Class::ProviderDown, Class::Ambiguous),
    ];
    for (status, code, read, change) in table {
        let error = ApiError::from_response(&error(status, code).unwrap());
        assert_eq!(error.code.as_str(), code);
        assert_eq!(error.class(false), read, "{status} {code}, read");
        assert_eq!(error.class(true), change, "{status} {code}, change");
    }
}

#[test]
fn a_page_that_the_api_did_not_write_is_never_taken_for_its_word() {
    for (status, read, change) in [
        // Above all: a proxy's 404 must not make a delete look done.
        (404, Class::ProviderDown, Class::Ambiguous),
        (400, Class::ProviderDown, Class::Ambiguous),
        (409, Class::ProviderDown, Class::Ambiguous),
        (410, Class::ProviderDown, Class::Ambiguous),
        (422, Class::ProviderDown, Class::Ambiguous),
        (423, Class::ProviderDown, Class::Ambiguous),
        (401, Class::Unauthorized, Class::Unauthorized),
        (403, Class::ProviderDown, Class::ProviderDown),
        (429, LIMITED, LIMITED),
        (500, Class::Retry, Class::Ambiguous),
        (502, Class::Retry, Class::Ambiguous),
        (503, Class::ProviderDown, Class::Ambiguous),
        (504, Class::Retry, Class::Ambiguous),
        (302, Class::ProviderDown, Class::Ambiguous),
    ] {
        let error = ApiError::from_response(&bare(status).unwrap());
        assert_eq!(error.class(false), read, "{status}, read");
        assert_eq!(error.class(true), change, "{status}, change");
    }
}

#[test]
fn capacity_in_disguise_is_capacity() {
    let body = json!({"error": {
        "code": "invalid_input",
        "message": "Unsupported location for server type",
        "details": {"fields": [{"name": "location", "messages": ["x"]}]},
    }});
    let error = ApiError::from_response(&reply(422, &body).unwrap());
    assert_eq!(error.class(true), Class::Capacity);
    assert_eq!(error.fields(), ["location"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_call_the_code_and_the_correlation_id() {
    let body = json!({"error": {
        "code": "resource_limit_exceeded",
        "message": "project limit exceeded",
        "details": {"limits": [{"name": "volume_limit"}]},
    }});
    let mut answer = reply(403, &body).unwrap();
    answer.headers.insert("x-correlation-id", "abc".parse().unwrap());
    let api = Scripted::replies(vec![Ok(answer)]);
    let error = client(api).create_volume(&CreateVolume::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "POST /volumes: project limit exceeded (resource_limit_exceeded, HTTP 403), correlation id abc"
    );
    assert_eq!(error.code(), Some(&ErrorCode::ResourceLimitExceeded));
    assert_eq!(error.api().unwrap().limits(), ["volume_limit"]);
    assert_eq!(error.class(), Class::Quota);
}

#[tokio::test(start_paused = true)]
async fn deleting_what_is_gone_is_not_found() {
    let api = Scripted::replies(vec![error(404, "not_found")]);
    let error = client(api).delete_volume(Id::new(7)).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
}

#[tokio::test(start_paused = true)]
async fn absence_is_what_the_provider_says_in_its_own_words() {
    let page = |body: &str| {
        let mut answer = bare(404).unwrap();
        answer.body = body.as_bytes().to_vec();
        Ok(answer)
    };
    let pages = [
        "",
        "<html><body>404 Not Found</body></html>",
        "Not Found",
        "null",
        "[]",
        "\"not_found\"",
        r#"{"code": "not_found", "message": "no such route"}"#,
        r#"{"message": "no Route matched with those values"}"#,
        r#"{"error": "not_found"}"#,
        r#"{"error": {"message": "not_found"}}"#,
        r#"{"error": {"code": 404, "message": "not_found", "status": "NOT_FOUND"}}"#,
        r#"{"error": {"code": "NOT_FOUND", "message": "gone"}}"#,
        r#"{"error": {"code": "http_404", "message": "gone"}}"#,
        r#"{"error": {"code": "not_found""#,
    ];
    for body in pages {
        let api = Scripted::replies(vec![page(body)]);
        let client = client(Arc::<Scripted>::clone(&api));
        let read = client.get_volume(Id::new(7)).await.unwrap_err();
        assert_eq!(read.class(), Class::ProviderDown, "read, {body}");
        let deletion = client.delete_volume(Id::new(7)).await.unwrap_err();
        assert_eq!(deletion.class(), Class::Ambiguous, "delete, {body}");
        let action = client.power_off(Id::new(7)).await.unwrap_err();
        assert_eq!(action.class(), Class::Ambiguous, "action, {body}");
        assert_eq!(api.count(), 3, "nothing is repeated");
    }
    for code in ["not_found", "firewall_resource_not_found"] {
        let client = client(Scripted::replies(vec![error(404, code)]));
        assert_eq!(client.get_volume(Id::new(7)).await.unwrap_err().class(), Class::NotFound, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_done_when_the_provider_says_so_and_not_when_a_page_does() {
    let reply = |status: u16, body: &str| {
        let mut answer = bare(status).unwrap();
        answer.body = body.as_bytes().to_vec();
        Ok(answer)
    };
    for (status, body) in [(204, ""), (200, "{}"), (200, r#"{"action": null}"#)] {
        client(Scripted::replies(vec![reply(status, body)])).delete_volume(Id::new(7)).await.unwrap();
    }
    for (status, body) in [(200, "<html>sign in</html>"), (200, ""), (202, "OK"), (200, "[]")] {
        let error = client(Scripted::replies(vec![reply(status, body)])).delete_volume(Id::new(7)).await.unwrap_err();
        assert_eq!(error.class(), Class::Ambiguous, "{status} {body}");
    }
}

#[test]
fn what_an_error_says_is_cut_to_what_people_read() {
    let long = "é".repeat(5000);
    let body = json!({"error": {
        "code": "invalid_input",
        "message": long,
        "details": {"fields": (0..100).map(|_| json!({"name": "size"})).chain([json!({"name": long})]).collect::<Vec<_>>()},
    }});
    let error = ApiError::from_response(&reply(422, &body).unwrap());
    assert_eq!((error.message.chars().count(), error.fields().len()), (1001, 20));

    let body = json!({"error": {"code": long, "message": "no"}});
    let error = ApiError::from_response(&reply(404, &body).unwrap());
    assert!(error.foreign && error.code.as_str() == "http_404", "{error}");

    let action: Action = serde_json::from_value(json!({
        "id": 1, "command": "reboot_server", "status": "error", "error": {"code": "action_failed", "message": long}
    }))
    .unwrap();
    assert_eq!(action.error.unwrap().message.chars().count(), 1001);
}
