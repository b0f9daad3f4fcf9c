//! What is to be known of a call that is about a type of object: how it is sent, and what shows its effect.

use async_trait::async_trait;
use hcloud_client::{
    Error, Mutated, ProjectClient,
    types::{Action, Id, Labels, Server},
};
use secrecy::SecretString;

use super::{Object, ObjectId};
use crate::snapshot::{Change, Observation};

/// A call. What it does not say of itself is what holds for most.
#[async_trait]
pub(crate) trait ObjectCall: Send + Sync {
    /// The provider's word for it.
    fn operation(&self) -> &'static str;

    /// The object that shows its effect; none for a call that makes one.
    fn object(&self) -> Option<ObjectId>;

    /// The object at whose address it is sent: a `not_found` is about this one first.
    fn sent_at(&self) -> Option<ObjectId> {
        self.object()
    }

    /// Further objects that it names: it is refused when one of them does not exist.
    fn names(&self) -> Vec<ObjectId> {
        Vec::new()
    }

    /// The objects that no other call may change at the same time.
    fn holds(&self) -> Vec<ObjectId> {
        self.object().into_iter().collect()
    }

    /// Name (of a snapshot: the description) and labels of what it makes.
    fn creates(&self) -> Option<(&str, &Labels)> {
        None
    }

    /// Whether it removes its object.
    fn is_removal(&self) -> bool {
        false
    }

    /// Whether it has nothing left to do when one of its objects does not exist.
    fn is_ending(&self) -> bool {
        self.is_removal()
    }

    /// What a late effect of another call could undo, and what this one makes of it.
    fn sets(&self) -> Option<(String, String)> {
        None
    }

    /// Whether its objects are read when the provider refuses it by their state, before it is sent again.
    fn is_rechecked(&self) -> bool {
        false
    }

    /// Whether an object, as it is, shows that the call cannot be made: the plan decides again.
    fn is_refuted_by(&self, _object: &Object) -> bool {
        false
    }

    /// Whether its effect can be seen on its object at all.
    fn is_visible(&self) -> bool {
        true
    }

    /// Whether an object that is not ours may stand for the one that it makes.
    fn has_twins(&self) -> bool {
        false
    }

    /// Whether this is such an object.
    fn is_twin(&self, _object: &Object) -> bool {
        false
    }

    /// How its object looks if the call certainly did nothing, where a failed action does not prove that.
    fn untouched(&self) -> Option<fn(&Object) -> bool> {
        None
    }

    /// Where it is looked for when its answer was lost, if it leaves nothing but an action.
    fn trace(&self) -> Option<Trace> {
        None
    }

    /// What its action, which has begun, tells.
    fn began(&self, _action: &Action) -> Option<Change> {
        None
    }

    /// Whether its object shows its effect; `acted` says that its action is known to have ended well.
    fn judge(&self, _object: &Object, _acted: bool) -> Effect {
        Effect::seen()
    }

    /// Whether it is known what its object looks like when its actions went well, so that nobody need look.
    fn is_foretold(&self) -> bool {
        false
    }

    /// Makes of its object what a call that [is foretold](Self::is_foretold) makes of it.
    fn foretell(&self, _object: &mut Object) {}

    /// What only the call can tell when its actions went well and nobody looks.
    fn ended(&self) -> Option<Change> {
        None
    }

    /// Sends it, once. Removals are sent by the executor.
    async fn send(&self, client: &ProjectClient, secret: Option<&SecretString>) -> Result<Sent, Error>;
}

/// Whether an object shows the effect of a call.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// It does; and what only the call can tell beside that.
    Seen(Option<Change>),
    /// It does not yet. Milliseconds until the next look, and what is said meanwhile.
    NotYet(u64, &'static str),
}

impl Effect {
    pub(crate) fn seen() -> Self {
        Self::Seen(None)
    }

    /// Seen or, for half a second, not.
    pub(crate) fn when(is_seen: bool, not_yet: &'static str) -> Self {
        if is_seen { Self::seen() } else { Self::NotYet(500, not_yet) }
    }
}

/// A call that leaves nothing but an action in the list of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    pub(crate) server: Id<Server>,
    /// When it was planned, in milliseconds.
    pub(crate) issued_at: i64,
    /// The last such action known before.
    pub(crate) after_action: Option<i64>,
    /// The provider's words for such an action.
    pub(crate) commands: &'static [&'static str],
}

/// What an accepted call answered with.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) observation: Option<Observation>,
    pub(crate) actions: Vec<Action>,
}

impl Sent {
    /// An object, which may still be in the making.
    pub(crate) fn made<T: Clone + Into<Object>>(made: Mutated<T>) -> Self {
        let actions = made.actions().cloned().collect();
        Self { observation: Some(Observation::seen(made.resource)), actions }
    }

    /// An object that is as it was to be.
    pub(crate) fn object(object: impl Into<Object>) -> Self {
        Self { observation: Some(Observation::seen(object)), actions: Vec::new() }
    }

    pub(crate) fn action(action: Action) -> Self {
        Self::actions(vec![action])
    }

    pub(crate) fn actions(actions: Vec<Action>) -> Self {
        Self { observation: None, actions }
    }

    pub(crate) fn gone(object: ObjectId) -> Self {
        Self { observation: Some(Observation::gone(object)), actions: Vec::new() }
    }
}
