//! Makes the calls that steps describe, waits for their actions, and finds out what became of lost ones.
//!
//! A change is sent once. Whether it took effect is never guessed: when its actions went well the object is read, unless
//! they say all that there is to see; after a lost answer it is looked up by name or id (a snapshot: by its label), and a
//! name that is taken is adopted only if its labels are ours.

use std::sync::Arc;

use control_plane::{
    Reason,
    ports::{Clock, Note, Outcome, Step},
};
use futures::future::join_all;
use hcloud_client::{
    Error, ErrorClass, ListFilter, Priority, ProjectClient,
    types::{Action, Id, Labels},
};
use secrecy::SecretString;

use crate::{
    call::Call,
    effect::judge_effect,
    memory::Memory,
    naming,
    objects::{Object, ObjectId, ObjectType, Sent, Trace},
    orphans,
    outcome::{Verdict, failed, failure, judge},
    owner::Owner,
    snapshot::{Change, Observation},
    token_proof::judge_proven,
};

type Made = Outcome<Observation>;

/// One step's calls.
pub(crate) struct Executor<'a> {
    pub(crate) client: ProjectClient,
    pub(crate) memory: &'a Memory,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Executor<'_> {
    /// Makes the call of a step, once.
    pub(crate) async fn execute(&self, step: &Step) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        if let Some(made) = self.made_before(&call) {
            // Many resources may want it at once; the calls come one after the other, and the first is enough.
            return Outcome::Done(Observation::seen(made));
        }
        match &call {
            Call::Find { kind, installation, owner, name } => {
                return self.look_for(*kind, installation, owner, name.as_deref()).await;
            }
            Call::Watch { kind, installation, of, at } => return self.watch(*kind, installation, of, *at).await,
            Call::History { object, attempt, at } => return self.read_history(*object, *attempt, *at).await,
            _ => {}
        }
        if let Some(outcome) = self.keep(&call).await {
            return outcome;
        }
        match self.send(&call, step.secret.as_ref()).await {
            Ok(sent) => self.sent(&call, sent).await,
            Err(error) => self.refused(&call, &error).await,
        }
    }

    async fn send(&self, call: &Call, secret: Option<&SecretString>) -> Result<Sent, Error> {
        if let Some(object) = call.removed() {
            return self.delete(object).await;
        }
        if let Call::Adopt { object, name, labels, .. } = call {
            return orphans::give(&self.client, *object, name, labels).await;
        }
        let Some(typed) = call.of_type() else { return Ok(Sent::default()) };
        let sent = typed.send(&self.client, secret).await?;
        if is_shared(call)
            && let Some([Change::Seen(made)]) = sent.observation.as_ref().map(Observation::changes)
        {
            self.memory.remember_shared(made.clone());
        }
        Ok(sent)
    }

    /// An object of no single resource that this process made already.
    fn made_before(&self, call: &Call) -> Option<Object> {
        let (name, _) = call.creates().filter(|_| is_shared(call))?;
        self.memory.shared(call.makes()?, name)
    }

    pub(crate) async fn delete(&self, object: ObjectId) -> Result<Sent, Error> {
        self.memory.forget_shared(object);
        Ok(match object.delete(&self.client).await? {
            Some(action) => Sent::action(action),
            None => Sent::gone(object),
        })
    }

    /// The call was accepted.
    async fn sent(&self, call: &Call, sent: Sent) -> Made {
        if let Some(failure) = sent.actions.iter().find(|action| action.is_finished() && !action.succeeded()) {
            return self.failed(call, failure).await;
        }
        let open: Vec<Action> = sent.actions.iter().filter(|action| !action.is_finished()).cloned().collect();
        if !open.is_empty() {
            let action = open.iter().map(|action| action.id.to_string()).collect::<Vec<_>>().join(",");
            let observation = sent.observation.unwrap_or_default();
            let observation = call.began(&open).into_iter().fold(observation, Observation::and);
            self.memory.remember_actions(open);
            return Outcome::Running { action, observation };
        }
        match sent.observation {
            Some(observation) => Outcome::Done(observation),
            None => self.ended(call, &sent.actions).await,
        }
    }

    /// The actions of a call went well. Of a removal that is the proof, and of a call that says what it makes of its
    /// object too; what else it did is read.
    async fn ended(&self, call: &Call, actions: &[Action]) -> Made {
        match call.removed() {
            Some(object) if !actions.is_empty() => Outcome::Done(Observation::gone(object)),
            None if !actions.is_empty() && call.of_type().is_some_and(|call| call.is_foretold()) => {
                let told = call.of_type().and_then(|call| call.ended());
                let ended = Change::Ended(Box::new(call.clone()));
                Outcome::Done(Observation::new(std::iter::once(ended).chain(told).collect()))
            }
            _ => self.look(call, actions).await,
        }
    }

    /// An action of a call failed. A failed creation leaves nothing that is used; where a failed action proves nothing,
    /// the object must look as if the call had not been.
    async fn failed(&self, call: &Call, action: &Action) -> Made {
        if let Some(kind) = call.makes().filter(|kind| kind.made_by().is_some()) {
            let left = action.resources.iter().find(|resource| resource.kind == kind.word());
            return match left {
                Some(left) => self.remove_leftover(kind.id(left.id), action).await,
                None => Outcome::Unknown(format!("`{}` failed, and nobody knows what it left", action.command)),
            };
        }
        let untouched = call.of_type().and_then(|call| call.untouched());
        let (Some(untouched), Some(object)) = (untouched, call.object()) else { return failed(action) };
        match object.get(&self.client).await {
            Ok(found) if untouched(&found) => {
                Outcome::Refuted { observation: Observation::seen(found), retry: Some(failure(action)) }
            }
            _ => Outcome::Unknown(format!("`{}` failed, and its object is not seen as it was", action.command)),
        }
    }

    /// Waits for the actions of a call, then reads what it was about.
    pub(crate) async fn wait(&self, step: &Step, ids: &str) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        let (mut ended, mut is_told) = (Vec::new(), true);
        let ids = ids.split(',').filter_map(|id| id.parse::<Id<Action>>().ok());
        // Together, so that one request asks for all.
        let waits = ids.map(|id| async move {
            // An action that this process saw begin is first asked about when it used to be done.
            match self.memory.take_action(id) {
                Some(action) => self.client.wait(&action).await,
                None => self.client.wait_for_id(id).await,
            }
        });
        for waited in join_all(waits).await {
            match waited {
                Ok(action) if action.succeeded() => ended.push(action),
                Ok(action) => return self.failed(&call, &action).await,
                Err(Error::ActionGone(_)) => is_told = false,
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
        match is_told {
            true => self.ended(&call, &ended).await,
            false => self.look(&call, &ended).await,
        }
    }

    /// Finds out what became of a call whose answer was lost.
    pub(crate) async fn verify(&self, step: &Step) -> Made {
        let call = match read_call(step) {
            Ok(call) => call,
            Err(outcome) => return outcome,
        };
        match call.of_type().and_then(|call| call.trace()) {
            Some(trace) => self.find_trace(&call, trace).await,
            None => match call.creates() {
                Some((name, labels)) => {
                    let absent = || Outcome::Retry {
                        after: None,
                        note: Note::new(
                            Reason::OutcomeUnknown,
                            format!("The answer to `{}` was lost; `{name}` does not exist (yet).", call.operation()),
                        ),
                    };
                    self.find_created(&call, name, labels, By::This, absent).await
                }
                None => self.look(&call, &[]).await,
            },
        }
    }

    /// A call that leaves nothing but its action, such as a reboot.
    async fn find_trace(&self, call: &Call, trace: Trace) -> Made {
        const SKEW_MS: i128 = 60_000;
        let actions = match self.client.list_server_actions(trace.server).await {
            Ok(actions) => actions,
            Err(error) if error.class() == ErrorClass::NotFound => return self.ask(trace.server.into()).await,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        let earliest = i128::from(trace.issued_at) - SKEW_MS;
        let found = actions.into_iter().rev().find(|action| {
            trace.commands.contains(&action.command.as_str())
                && trace.after_action.is_none_or(|last| action.id.get() > last)
                && action.started.is_none_or(|started| started.unix_timestamp_nanos() / 1_000_000 >= earliest)
        });
        match found {
            Some(action) if action.succeeded() => self.look(call, &[action]).await,
            Some(action) if action.is_finished() => failed(&action),
            Some(action) => Outcome::Running {
                action: action.id.to_string(),
                observation: call.began(&[action]).into_iter().fold(Observation::default(), Observation::and),
            },
            None => retry(Reason::OutcomeUnknown, "The server's action list knows no such action (yet)."),
        }
    }

    /// Reads what a call was about: `Done` if its effect is seen, `Retry` if it is not (yet).
    async fn look(&self, call: &Call, actions: &[Action]) -> Made {
        let Some(id) = call.object() else { return self.look_at_created(call, actions).await };
        let is_watch = matches!(call, Call::Read { .. });
        // Many may watch for long: calls that change something go first.
        let looked = match is_watch {
            true => id.get(&self.client.at(Priority::ActionPoll)).await,
            false => id.get(&self.client).await,
        };
        match looked {
            Ok(object) => judge_effect(call, object, actions),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Done(Observation::gone(id)),
            Err(error) if is_watch => match judge(&error) {
                Verdict::Retry(after, note) => Outcome::Retry { after, note },
                _ => unanswered(&error),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// After a creation the actions know the object's id.
    async fn look_at_created(&self, call: &Call, actions: &[Action]) -> Made {
        let (Some(kind), Some((name, labels))) = (call.makes(), call.creates()) else {
            return Outcome::Done(Observation::default());
        };
        let touched = actions.iter().flat_map(|action| &action.resources);
        let Some(made) = touched.into_iter().find(|resource| resource.kind == kind.word()) else {
            let absent = || retry(Reason::ProviderActionFailed, "It was accepted, but does not exist.");
            return self.find_created(call, name, labels, By::Any, absent).await;
        };
        let object = kind.id(made.id);
        match object.get(&self.client).await {
            // Its actions went well, or it would not be looked at.
            Ok(object) => Outcome::Done(Observation::seen(object)),
            Err(error) if error.class() == ErrorClass::NotFound => Outcome::Refuted {
                observation: Observation::gone(object),
                retry: Some((
                    None,
                    Note::new(Reason::ProviderActionFailed, "It was made and is gone already; it is made again."),
                )),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// Looks for what a call was to make, by name (what has none: by labels), and takes it only if it is ours. An object
    /// closes no other call than the one that made it: several of unknown outcome may each yet make one.
    async fn find_created(&self, call: &Call, name: &str, labels: &Labels, by: By, absent: impl Fn() -> Made) -> Made {
        let Some(kind) = call.makes() else { return absent() };
        let found = match kind.is_named() {
            true => self.named(kind, name).await,
            false => self.labelled_like(kind, labels).await,
        };
        let object = match found {
            Ok(Some(object)) => object,
            Ok(None) => return self.find_twin(call, kind, absent).await,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        if !naming::is_same_owner(object.labels(), labels) {
            let is_twin = call.of_type().is_some_and(|call| call.is_twin(&object));
            return if is_twin { Outcome::Done(Observation::seen(object)) } else { taken(kind, name, &object) };
        }
        if by == By::This && object.labels().get(naming::STEP) != labels.get(naming::STEP) {
            return absent();
        }
        self.take(object).await
    }

    /// Looks for an object of somebody else that may stand for what a call was to make. There is one at most, and while
    /// there is, nobody makes another.
    async fn find_twin(&self, call: &Call, kind: ObjectType, absent: impl Fn() -> Made) -> Made {
        let Some(typed) = call.of_type().filter(|call| call.has_twins()) else { return absent() };
        match kind.list(&self.client.at(Priority::Mutation), &ListFilter::all()).await {
            Ok(all) => match all.into_iter().find(|object| typed.is_twin(object)) {
                Some(twin) => Outcome::Done(Observation::seen(twin)),
                None => absent(),
            },
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// An object of the owner that labels name; of several, the one that the same step made.
    async fn labelled_like(&self, kind: ObjectType, labels: &Labels) -> Result<Option<Object>, Error> {
        let (Some(owner), Some(installation)) = (Owner::of(labels), labels.get(naming::INSTALLATION)) else {
            return Ok(None);
        };
        let all = self.labelled(kind, &owner.selector(installation)).await?;
        let ours = all.into_iter().filter(|object| naming::is_same_owner(object.labels(), labels));
        Ok(ours.min_by_key(|object| object.labels().get(naming::STEP) != labels.get(naming::STEP)))
    }

    /// Looks for the objects of an owner by label, then by name: what neither finds does not exist.
    async fn look_for(&self, kind: ObjectType, installation: &str, owner: &Owner, name: Option<&str>) -> Made {
        let found = match self.labelled(kind, &owner.selector(installation)).await {
            Ok(found) if found.is_empty() => match name {
                Some(name) => self.named(kind, name).await.map(Vec::from_iter),
                None => Ok(found),
            },
            found => found,
        };
        match found {
            Ok(found) => {
                let absent = Change::Absent { kind, owner: owner.clone() };
                let seen = found.into_iter().map(Change::Seen).chain([absent]);
                Outcome::Done(Observation::new(seen.collect()))
            }
            Err(error) => unanswered(&error),
        }
    }

    /// Reads all objects of a type that resources of a kind own.
    async fn watch(&self, kind: ObjectType, installation: &str, of: &str, at: i64) -> Made {
        let selector = format!("{}={},{}={of}", naming::INSTALLATION, naming::label_value(installation), naming::KIND);
        let found = kind.list(&self.client.at(Priority::ActionPoll), &ListFilter::labelled(selector)).await;
        match found {
            Ok(found) => {
                let shown = found.iter().map(|object| object.object_id().number()).collect();
                let (installation, of) = (installation.to_owned(), of.to_owned());
                let watched = Change::Watched { kind, installation, of, at, shown };
                Outcome::Done(Observation::new(found.into_iter().map(Change::Seen).chain([watched]).collect()))
            }
            Err(error) => unanswered(&error),
        }
    }

    async fn labelled(&self, kind: ObjectType, selector: &str) -> Result<Vec<Object>, Error> {
        kind.list(&self.client.at(Priority::Mutation), &ListFilter::labelled(selector)).await
    }

    /// The object of a name.
    async fn named(&self, kind: ObjectType, name: &str) -> Result<Option<Object>, Error> {
        if !kind.is_named() {
            return Ok(None);
        }
        let found = kind.list(&self.client.at(Priority::Mutation), &ListFilter::named(name)).await?;
        Ok(found.into_iter().find(|object| object.name() == name))
    }

    /// The call was refused, or its answer was lost.
    pub(crate) async fn refused(&self, call: &Call, error: &Error) -> Made {
        match judge_proven(&self.client, error).await {
            Verdict::Unknown(message) => Outcome::Unknown(message),
            Verdict::Look => self.examine(call, None).await,
            Verdict::Taken(note) => match call.creates() {
                Some((name, labels)) => {
                    let absent = || Outcome::Retry { after: None, note: note.clone() };
                    self.find_created(call, name, labels, By::Any, absent).await
                }
                None => Outcome::Retry { after: None, note },
            },
            Verdict::NotFound(note) => self.check_gone(call, note).await,
            Verdict::Terminal(note) => self.examine(call, Some(Refusal::Final(note))).await,
            Verdict::Retry(_, note)
                if error.class() == ErrorClass::Precondition && call.of_type().is_some_and(|c| c.is_rechecked()) =>
            {
                self.examine(call, Some(Refusal::Passing(note))).await
            }
            // What keeps a server that nobody needs now can make room.
            Verdict::Retry(after, note)
                if note.reason == Reason::QuotaExceeded && call.makes() == Some(ObjectType::Server) =>
            {
                let observation = Observation::new(vec![Change::NoRoomForServer]);
                Outcome::Refuted { observation, retry: Some((after, note)) }
            }
            Verdict::Retry(after, note) => Outcome::Retry { after, note },
        }
    }

    /// A refusal may come of what an earlier call did after all, or somebody else: a volume that has its size cannot
    /// grow to it, a server that is off cannot reboot, a firewall was removed with the last server behind it. So the
    /// objects that the call names are read before the refusal is believed.
    async fn examine(&self, call: &Call, refusal: Option<Refusal>) -> Made {
        let (mut seen, mut not_yet) = (Vec::new(), None);
        for object in call.named() {
            let found = match object.get(&self.client).await {
                Ok(found) => found,
                Err(error) if error.class() == ErrorClass::NotFound => return missed(call, object),
                Err(error) => {
                    return refusal.map_or_else(
                        || unanswered(&error),
                        |refusal| Outcome::Retry { after: None, note: refusal.note() },
                    );
                }
            };
            if call.is_refuted_by(&found) {
                return Outcome::Refuted { observation: Observation::seen(found), retry: None };
            }
            seen.push(Change::Seen(found.clone()));
            if call.object() == Some(object) && call.of_type().is_none_or(|call| call.is_visible()) {
                match judge_effect(call, found, &[]) {
                    Outcome::Done(observation) => return Outcome::Done(observation),
                    other => not_yet = Some(other),
                }
            }
        }
        match refusal {
            Some(Refusal::Final(note)) => Outcome::Terminal(note),
            // Whatever it is that forbids it: the next plan knows the objects as they are.
            Some(Refusal::Passing(note)) => {
                Outcome::Refuted { observation: Observation::new(seen), retry: Some((None, note)) }
            }
            None => not_yet.unwrap_or_else(|| retry(Reason::ProviderBusy, "Hetzner Cloud says that it is so already.")),
        }
    }

    /// A call did not find an object. That proves nothing: each one that it names is asked for by its id.
    async fn check_gone(&self, call: &Call, note: Note) -> Made {
        let sent_at = call.object().or_else(|| call.of_type()?.sent_at());
        let mut at = None;
        for object in call.named() {
            match self.ask(object).await {
                Outcome::Done(observation) if observation.shows_gone(object) => return missed(call, object),
                Outcome::Done(observation) => {
                    // What was to end may have ended: a subnet, an attachment.
                    let is_shown = |found: &Object| {
                        call.is_ending()
                            && call.object() == Some(object)
                            && matches!(judge_effect(call, found.clone(), &[]), Outcome::Done(_))
                    };
                    match observation.changes() {
                        [Change::Seen(found)] if is_shown(found) => return judge_effect(call, found.clone(), &[]),
                        _ if sent_at == Some(object) => at = Some(observation),
                        _ => {}
                    }
                }
                other => return other,
            }
        }
        match at {
            Some(observation) => Outcome::Refuted { observation, retry: Some((None, note)) },
            None => Outcome::Terminal(note),
        }
    }
}

/// An object that a call names does not exist.
fn missed(call: &Call, object: ObjectId) -> Made {
    let observation = Observation::gone(object);
    match call.is_ending() {
        true => Outcome::Done(observation),
        false => Outcome::Refuted { observation, retry: None },
    }
}

/// Why the provider refused a call.
enum Refusal {
    /// It will not take it.
    Final(Note),
    /// It may take it the next time.
    Passing(Note),
}

impl Refusal {
    fn note(self) -> Note {
        match self {
            Self::Final(note) | Self::Passing(note) => note,
        }
    }
}

/// Whether a call makes an object of no single resource.
fn is_shared(call: &Call) -> bool {
    call.creates().is_some_and(|(_, labels)| matches!(Owner::of(labels), Some(Owner::Shared { .. })))
}

fn read_call(step: &Step) -> Result<Call, Made> {
    Call::of(step).map_err(|error| {
        Outcome::Terminal(Note::new(
            Reason::Unsupported,
            format!(
                "The recorded step `{}` was written by another release and cannot be read: {error}.",
                step.operation
            ),
        ))
    })
}

/// A question that got no answer is asked again: it proves nothing.
pub(crate) fn unanswered(error: &Error) -> Made {
    retry(Reason::ProviderUnavailable, format!("Hetzner Cloud could not be asked: {error}."))
}

pub(crate) fn retry(reason: Reason, message: impl Into<String>) -> Made {
    Outcome::Retry { after: None, note: Note::new(reason, message) }
}

/// Whose object closes a call of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The object that this very call made, as its label `seca.step` tells.
    This,
    /// Any object of the same resource: the name is taken, and there cannot be a second one.
    Any,
}

/// An object that has our name and is not ours.
fn taken(kind: ObjectType, name: &str, object: &Object) -> Made {
    let owner = object
        .labels()
        .get(naming::UID)
        .map_or_else(|| "has no label `seca.uid`".to_owned(), |uid| format!("belongs to the resource {uid}"));
    let id = object.object_id().number();
    Outcome::Terminal(Note::new(
        Reason::NameTaken,
        format!("The {} {id} has the name `{name}` and {owner}; rename or delete it.", kind.word()),
    ))
}
