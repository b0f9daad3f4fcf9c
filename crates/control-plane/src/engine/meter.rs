//! What an engine tells of its work, for metrics: it knows nobody who counts.

use seca_api::Kind;

use crate::{
    ports::{Outcome, Verdict},
    reason::Reason,
    resource::ProjectId,
};

/// Takes down what an engine tells. Each method does nothing unless it is implemented.
pub trait Meter: Send + Sync + 'static {
    /// A resource was read with its relations, to be judged.
    fn looked(&self, _kind: Kind) {}

    /// What a look amounted to was written down, with the reason of its notice.
    fn found(&self, _kind: Kind, _verdict: Verdict, _reason: Option<Reason>) {}

    /// A step came back, or a wait for its action did: its operation, what became of it (`done`, `running`, `unknown`,
    /// `refuted`, `retry`, `refused`), and why it is tried again, if it is.
    fn stepped(&self, _operation: &str, _outcome: &'static str, _again: Option<Reason>) {}

    /// The lease of a project was taken.
    fn leased(&self, _project: &ProjectId) {}

    /// The lease of a project was given back, or lost.
    fn ended(&self, _project: &ProjectId, _is_lost: bool) {}
}

/// Takes nothing down.
impl Meter for () {}

/// What became of a call, in a word; and why it is made again, if it is.
pub(super) fn outcome<O>(outcome: &Outcome<O>) -> (&'static str, Option<Reason>) {
    match outcome {
        Outcome::Done(_) => ("done", None),
        Outcome::Running { .. } => ("running", None),
        Outcome::Unknown(_) => ("unknown", Some(Reason::OutcomeUnknown)),
        Outcome::Refuted { retry: None, .. } => ("refuted", None),
        Outcome::Refuted { retry: Some((_, note)), .. } | Outcome::Retry { note, .. } => ("retry", Some(note.reason)),
        Outcome::Terminal(_) => ("refused", None),
    }
}
