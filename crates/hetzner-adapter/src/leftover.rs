//! What a call left at the provider: whether an object came of a creation that failed, and whether something was ever
//! used. Both stand in the object's list of actions, also when the answer to the call was lost.

use control_plane::ports::Outcome;
use hcloud_client::{
    Error, ErrorClass, ProjectClient,
    types::{Action, ActionStatus},
};

use crate::{
    executor::{Executor, unanswered},
    outcome::failure,
    snapshot::{Change, Object, ObjectId, Observation},
};

type Made = Outcome<Observation>;

/// The provider's words for what only a server that runs, or has run, is made to do (its API reference, actions of
/// servers). One that failed leaves the server as it was.
const RUNS: &[&str] = &[
    "start_server",
    "stop_server",
    "shutdown_server",
    "reboot_server",
    "reset_server",
    "rebuild_server",
    "change_server_type",
];
/// The same for a volume that is, or was, attached.
const ATTACHES: &[&str] = &["attach_volume", "detach_volume"];

impl Executor<'_> {
    /// Whether a server ever ran, or a volume was ever attached, whoever did it.
    pub(crate) async fn read_history(&self, object: ObjectId) -> Made {
        let words = match object {
            ObjectId::Server(_) => RUNS,
            _ => ATTACHES,
        };
        match actions_of(&self.client, object).await {
            Ok(actions) => {
                let ever = actions
                    .iter()
                    .any(|action| action.status != ActionStatus::Error && words.contains(&action.command.as_str()));
                Outcome::Done(Observation::new(vec![Change::Used { object, ever }]))
            }
            Err(error) if error.class() == ErrorClass::NotFound => self.ask(object).await,
            Err(error) => unanswered(&error),
        }
    }

    /// Reads an object by its id, the one proof that it does not exist.
    pub(crate) async fn ask(&self, object: ObjectId) -> Made {
        match self.get(&self.client, object).await {
            Ok(found) => Outcome::Done(Observation::seen(found)),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Done(Observation::gone(object)),
            Err(error) => unanswered(&error),
        }
    }

    /// An object that a creation made: it is taken if the creation went well, waited for while it goes on, and removed
    /// if it failed. It is never used as if it were whole.
    pub(crate) async fn take(&self, object: Object) -> Made {
        let (Object::Server(_) | Object::Volume(_), Some(id)) = (&object, object.object_id()) else {
            return Outcome::Done(Observation::seen(object));
        };
        let actions = match actions_of(&self.client, id).await {
            Ok(actions) => actions,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        match actions.iter().find(|action| matches!(action.command.as_str(), "create_server" | "create_volume")) {
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
            Some(_) => self.get(&self.client, object).await,
        };
        match proof {
            Err(error) if error.class() == ErrorClass::NotFound => gone(),
            _ => Outcome::Unknown(format!("what the failed `{}` left is still being removed", creation.command)),
        }
    }
}

async fn actions_of(client: &ProjectClient, object: ObjectId) -> Result<Vec<Action>, Error> {
    match object {
        ObjectId::Server(id) => client.list_server_actions(id).await,
        ObjectId::Volume(id) => client.list_volume_actions(id).await,
        // Nothing is decided by the actions of other types.
        _ => Ok(Vec::new()),
    }
}
