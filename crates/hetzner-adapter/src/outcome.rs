//! What an error of the provider amounts to.

use std::time::Duration;

use control_plane::{
    Reason,
    ports::{CloudError, Note, Outcome},
};
use hcloud_client::{Error, ErrorClass, ErrorCode, Overdue, TransportErrorKind, types::Action};
use seca_api::Timestamp;

use crate::snapshot::Observation;

/// A person must act first: asking often does not help.
pub(crate) const SLOW: Duration = Duration::from_secs(60);
/// Limits are raised by people, at the earliest within minutes.
const QUOTA: Duration = Duration::from_secs(300);
/// Capacity comes and goes.
const CAPACITY: Duration = Duration::from_secs(30);
/// Locks are held for seconds.
const LOCKED: Duration = Duration::from_secs(1);

/// What to do about an error.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The call may have taken effect.
    Unknown(String),
    /// It did not, and may the next time.
    Retry(Option<Duration>, Note),
    /// It did not and will not.
    Terminal(Note),
    /// A name is taken: perhaps by us.
    Taken(Note),
    /// The object does not exist.
    NotFound(Note),
    /// What was asked for may hold already.
    Look,
}

/// Judges the error of a change.
pub(crate) fn judge(error: &Error) -> Verdict {
    let (reason, after) = match error.class() {
        ErrorClass::Ambiguous | ErrorClass::Retry => return Verdict::Unknown(error.to_string()),
        ErrorClass::AlreadyDone => return Verdict::Look,
        ErrorClass::Uniqueness => return Verdict::Taken(Note::new(Reason::NameTaken, sentence(error))),
        ErrorClass::NotFound => return Verdict::NotFound(Note::new(Reason::ProviderRefused, sentence(error))),
        ErrorClass::InvalidInput | ErrorClass::Deprecated | ErrorClass::Bug => {
            return Verdict::Terminal(Note::new(Reason::ProviderRefused, sentence(error)));
        }
        ErrorClass::Locked => (Reason::ProviderBusy, Some(LOCKED)),
        ErrorClass::Conflict => (Reason::ProviderBusy, None),
        ErrorClass::RateLimited { retry_after } => (Reason::Throttled, Some(retry_after)),
        ErrorClass::NotSent => (Reason::ProviderBusy, None),
        ErrorClass::Quota => (Reason::QuotaExceeded, Some(QUOTA)),
        ErrorClass::Capacity => (Reason::CapacityUnavailable, Some(CAPACITY)),
        // `forbidden` says nothing of the token: the provider uses it for what it has closed for a while.
        ErrorClass::Unauthorized if error.code() == Some(&ErrorCode::Forbidden) => {
            (Reason::ProviderUnavailable, Some(SLOW))
        }
        ErrorClass::Unauthorized => (Reason::CredentialRejected, Some(SLOW)),
        ErrorClass::ReadOnly => (Reason::CredentialReadOnly, Some(SLOW)),
        ErrorClass::ProviderDown if error.transport() == Some(TransportErrorKind::NotSent) => {
            (Reason::ProviderUnavailable, None)
        }
        ErrorClass::ProviderDown => (Reason::ProviderUnavailable, Some(SLOW)),
        // Something else must happen first: it does, or a person sees the sentence.
        ErrorClass::Precondition => (Reason::ProviderBusy, None),
        ErrorClass::Protected => (Reason::ProviderRefused, Some(QUOTA)),
    };
    let note = Note::new(reason, sentence(error));
    let lasts = if let Error::Throttled { after, .. } = error { Some(*after) } else { None };
    Verdict::Retry(after, Note { lasts, ..note })
}

/// Judges the error of a read that is not part of a change.
pub(crate) fn unreadable(error: &Error) -> CloudError {
    match judge(error) {
        Verdict::Retry(after, note) => CloudError { note, after },
        _ => CloudError { note: Note::new(Reason::ProviderUnavailable, sentence(error)), after: None },
    }
}

/// What is said of an action that takes much longer than it used to.
pub(crate) fn overdue(action: &Overdue) -> Note {
    #[allow(clippy::cast_possible_truncation, reason = "a time within some thousand years")]
    let since = Timestamp::from_millis((action.since.unix_timestamp_nanos() / 1_000_000) as i64);
    let since = since.to_string();
    // Days may pass, so that the date is told as well; milliseconds say nothing.
    let since = since.get(..19).unwrap_or_default();
    Note::new(
        Reason::ProviderSlow,
        format!(
            "Hetzner Cloud has been working on the action {} (`{}`) since {since}Z, much longer than usual; it is waited for.",
            action.id, action.command
        ),
    )
}

/// What an action that failed amounts to.
pub(crate) fn failed(action: &Action) -> Outcome<Observation> {
    let (after, note) = failure(action);
    Outcome::Retry { after, note }
}

/// When to try again after an action that failed, and what to say meanwhile.
pub(crate) fn failure(action: &Action) -> (Option<Duration>, Note) {
    let error = action.error.as_ref();
    let code = error.map_or("without a word", |e| e.code.as_str());
    let message = error.map_or("", |e| e.message.as_str());
    let note = |reason| {
        Note::new(reason, format!("Hetzner Cloud accepted `{}`, which failed: {message} ({code}).", action.command))
    };
    match code {
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            (Some(CAPACITY), note(Reason::CapacityUnavailable))
        }
        "resource_limit_exceeded" => (Some(QUOTA), note(Reason::QuotaExceeded)),
        _ => (None, note(Reason::ProviderActionFailed)),
    }
}

/// The sentence for the person whose resource it is: the provider's own words and code, and nothing of ours.
fn sentence(error: &Error) -> String {
    if let Error::Throttled { .. } = error {
        return "The request budget of the Hetzner Cloud project is spent.".to_owned();
    }
    if let Error::NotSent { why, .. } = error {
        return format!("Nothing was sent to Hetzner Cloud: {}.", why.trim_end_matches('.'));
    }
    match error.api() {
        Some(api) if !api.foreign => {
            let named = [api.fields(), api.limits()].concat().join(", ");
            let named = if named.is_empty() { String::new() } else { format!(", about {named}") };
            format!("Hetzner Cloud says: {} ({}{named}).", api.message.trim_end_matches('.'), api.code)
        }
        _ => format!("Hetzner Cloud could not be asked: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use hcloud_client::{ApiError, ApiResponse, HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn a_page_that_the_provider_did_not_write_is_no_word_of_the_provider() {
        let page = ApiResponse { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body: b"<html>".to_vec() };
        let error = |mutating| Error::Api {
            operation: "GET /servers/1".to_owned(),
            mutating,
            error: Box::new(ApiError::from_response(&page)),
        };
        assert!(matches!(judge(&error(true)), Verdict::Unknown(_)), "a change may have been made");
        let CloudError { note, after } = unreadable(&error(false));
        assert_eq!((note.reason, after), (Reason::ProviderUnavailable, Some(SLOW)));
        assert_eq!(
            note.message,
            "Hetzner Cloud could not be asked: GET /servers/1: the answer does not come from the Hetzner Cloud API; \
             check the endpoint (http_404, HTTP 404)."
        );
    }

    #[test]
    fn a_call_that_its_gate_held_back_is_tried_again() {
        let error = Error::NotSent { operation: "POST /servers".to_owned(), why: "the lease is another's".to_owned() };
        let Verdict::Retry(again, note) = judge(&error) else { panic!("{error}") };
        assert_eq!((again, note.reason), (None, Reason::ProviderBusy));
        assert_eq!(note.message, "Nothing was sent to Hetzner Cloud: the lease is another's.");
    }

    #[test]
    fn a_call_that_the_budget_held_back_is_tried_again_when_it_has_room() {
        let after = Duration::from_millis(41_200);
        let error = Error::Throttled { operation: "POST /servers".to_owned(), after };
        let Verdict::Retry(again, note) = judge(&error) else { panic!("{error}") };
        assert_eq!((again, note.reason, note.lasts), (Some(after), Reason::Throttled, Some(after)));
        assert_eq!(note.message, "The request budget of the Hetzner Cloud project is spent.");
    }
}
