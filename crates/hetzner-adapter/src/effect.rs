//! Whether what is read after a call shows that the call took effect.

use std::time::Duration;

use control_plane::{
    Reason,
    ports::{Note, Outcome},
};
use hcloud_client::types::Action;

use crate::{
    call::{Call, Until},
    naming,
    objects::{Effect, Object},
    snapshot::Observation,
};

type Made = Outcome<Observation>;

/// Whether an object shows the effect of a call.
pub(crate) fn judge_effect(call: &Call, object: Object, actions: &[Action]) -> Made {
    if object.is_gone() {
        return Outcome::Done(Observation::gone(object.object_id()));
    }
    if let Call::Read { until, why, .. } = call {
        return match object.is(*until) {
            true => Outcome::Done(Observation::seen(object)),
            false => waiting_for(*until, why.as_deref()),
        };
    }
    if call.is_removal() {
        return not_yet(1_000, "The provider is still removing it.");
    }
    if let Call::Adopt { labels, .. } = call {
        return match naming::is_same_owner(object.labels(), labels) {
            true => Outcome::Done(Observation::seen(object)),
            false => not_yet(1_000, "The object does not bear its new labels yet."),
        };
    }
    let effect = call.of_type().map_or_else(Effect::seen, |call| call.judge(&object, !actions.is_empty()));
    match effect {
        Effect::Seen(told) => {
            let told = told.into_iter().chain(call.began(actions));
            Outcome::Done(told.fold(Observation::seen(object), Observation::and))
        }
        Effect::NotYet(after_ms, message) => not_yet(after_ms, message),
    }
}

fn not_yet(after_ms: u64, message: &str) -> Made {
    Outcome::Retry { after: Some(Duration::from_millis(after_ms)), note: Note::new(Reason::ProviderBusy, message) }
}

/// What is said of an object that is not as it is waited for. What a person must change is looked at every 30 s; how long
/// the rest takes, the engine learns.
fn waiting_for(until: Until, why: Option<&str>) -> Made {
    const PERSON: Duration = Duration::from_secs(30);
    let (after, reason, told) = match until {
        Until::Free => (Some(PERSON), Reason::WaitingForDependency, "It is in use at Hetzner Cloud."),
        Until::NoSubnet(_) | Until::NoRoute(_) => {
            (Some(PERSON), Reason::AddressConflict, "It is taken in the network.")
        }
        Until::Settled | Until::Known => {
            (None, Reason::ProviderBusy, "Another action on the object is under way at Hetzner Cloud.")
        }
        Until::Applied => (None, Reason::ProviderBusy, "A firewall is not in force before the server yet."),
        Until::Off => (
            None,
            Reason::ProviderBusy,
            "The guest was asked to shut down; its power is cut when the grace period is over.",
        ),
    };
    Outcome::Retry { after, note: Note::new(reason, why.unwrap_or(told)) }
}
