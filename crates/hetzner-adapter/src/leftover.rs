//! What a call left at the provider: whether an object came of a creation that failed, and whether something was ever
//! used. Both stand in the object's list of actions, also when the answer to the call was lost.

use control_plane::ports::Outcome;
use hcloud_client::{
    ErrorClass,
    types::{Action, ActionStatus},
};
use seca_api::Timestamp;

use crate::{
    executor::{Executor, unanswered},
    objects::{Object, ObjectId, timestamp},
    outcome::failure,
    snapshot::{Change, Observation, Usage},
};

type Made = Outcome<Observation>;

impl Executor<'_> {
    /// Whether a server ever ran, or a volume was ever attached, and when last, whoever did it; and the object as it is.
    pub(crate) async fn read_history(&self, object: ObjectId, attempt: u32, at: i64) -> Made {
        let seen = match self.ask(object).await {
            Outcome::Done(seen) if !seen.shows_gone(object) => seen,
            other => return other,
        };
        match object.actions(&self.client).await {
            Ok(actions) => {
                let done = |words: &'static [&'static str]| {
                    let is_done = |action: &&Action| action.status != ActionStatus::Error;
                    actions.iter().filter(is_done).filter(|action| words.contains(&action.command.as_str()))
                };
                let ever = done(object.kind().used_by()).next().is_some();
                let began = |action: &Action| action.started.and_then(timestamp).map(Timestamp::as_millis);
                let newest = done(object.kind().begun_by()).filter_map(began).max();
                let answered = self.clock.now().as_millis();
                let usage = Usage { ever, newest, attempt, at, answered };
                let told = seen.changes().iter().cloned().chain([Change::Used(object, usage)]);
                Outcome::Done(Observation::new(told.collect()))
            }
            Err(error) if error.class() == ErrorClass::NotFound => self.ask(object).await,
            Err(error) => unanswered(&error),
        }
    }

    /// Reads an object by its id, the one proof that it does not exist.
    pub(crate) async fn ask(&self, object: ObjectId) -> Made {
        match object.get(&self.client).await {
            Ok(found) => Outcome::Done(Observation::seen(found)),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Done(Observation::gone(object)),
            Err(error) => unanswered(&error),
        }
    }

    /// An object that a creation made: it is taken if the creation went well, waited for while it goes on, and removed
    /// if it failed. It is never used as if it were whole.
    pub(crate) async fn take(&self, object: Object) -> Made {
        let id = object.object_id();
        let Some(made_by) = id.kind().made_by() else { return Outcome::Done(Observation::seen(object)) };
        let actions = match id.actions(&self.client).await {
            Ok(actions) => actions,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        match actions.iter().find(|action| action.command == made_by) {
            Some(creation) if creation.status == ActionStatus::Error => self.remove_leftover(id, creation).await,
            Some(creation) if !creation.is_finished() => {
                Outcome::Running { action: creation.id.to_string(), observation: Observation::seen(object) }
            }
            _ => Outcome::Done(Observation::seen(object)),
        }
    }

    /// Removes what a failed creation left, so that it is made again. While that is not certain, the outcome of the
    /// creation is not either: it is looked up, and the rest removed, before anything else is decided.
    pub(crate) async fn remove_leftover(&self, object: ObjectId, creation: &Action) -> Made {
        let gone = || Outcome::Refuted { observation: Observation::gone(object), retry: Some(failure(creation)) };
        let left = match self.delete(object).await {
            Ok(sent) => self.client.wait_all(&sent.actions).await.err(),
            Err(error) => Some(error),
        };
        let proof = match left {
            None => return gone(),
            Some(_) => object.get(&self.client).await,
        };
        match proof {
            Err(error) if error.class() == ErrorClass::NotFound => gone(),
            _ => Outcome::Unknown(format!("what the failed `{}` left is still being removed", creation.command)),
        }
    }
}
