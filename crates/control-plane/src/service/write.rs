//! Writing: PUT, DELETE and power actions.

use std::time::Duration;

use http_support::Backoff;
use seca_api::ResourceKey;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    Ask, Context, ControlPlane, Refusal, View,
    admit::{being_deleted, built_in},
    draft::Draft,
    read::{is_possible, view},
    render,
};
use crate::{
    kinds::{self, KindRules, Relatives, Subject},
    ports::{Act, ActOutcome, Delete, DeleteOutcome, PutOutcome},
    resource::{ActionKind, Resource},
    state::ActionRefusal,
};

/// How often a write is judged at most, for something that it depends on may change meanwhile.
const ADMISSIONS: u32 = 4;
/// How often a write that lost so often has a turn of its own: then nobody else changes its row, but what it names may go.
const TURNS: u32 = 8;
/// How often one of a role or an assignment is, which depends on all roles and assignments: those of other replicas, and
/// what leaves, send it back. With the pauses in between that takes two seconds at most.
const GRANT_ADMISSIONS: u32 = 16;
/// The pause before such a write is judged again.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(200) };

/// A PUT.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// What the path names. Names are checked here, not before.
    pub key: ResourceKey,
    /// The document as sent.
    pub body: Value,
    /// The version that the client insists on.
    pub if_version: Option<i64>,
}

/// What a PUT answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutView {
    /// Created (201) or updated (200).
    pub created: bool,
    /// The resource.
    pub view: View,
    /// Sentences for `Warning` headers: members that were dropped.
    pub warnings: Vec<String>,
}

impl ControlPlane {
    /// Creates or updates.
    ///
    /// # Errors
    /// Every refusal but [`Refusal::Provider`]; [`Refusal::NotFound`] when a version of what does not exist is
    /// insisted on.
    pub async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal> {
        let PutRequest { key, body, if_version } = request;
        let (rules, draft) =
            match writable(&key).and_then(|rules| Ok((rules, Draft::read(rules, self.provider(), &key, body)?))) {
                Ok(read) => read,
                // What is wrong with the document is nothing for those who may not write it.
                Err(refusal) => return Err(self.authorize(context.caller, "put", &key).await.err().unwrap_or(refusal)),
            };
        // In this process they go one after the other: at once they would only send each other back.
        let grants = rules.grants.is_some();
        let _turn = if grants { Some(self.access.granting().await) } else { None };
        // All who count the siblings lock the parent, so that two do not count the same.
        let counts =
            (rules.relatives)(&Subject { key: &key, spec: &draft.spec, old: None }).contains(&Relatives::Siblings);
        if counts {
            // Who may not write has no turn.
            drop(self.authorize(context.caller, "put", &key).await?);
        }
        let locked: Vec<ResourceKey> = key.parent().filter(|_| counts).into_iter().chain([key.clone()]).collect();
        for attempt in 0..if grants { GRANT_ADMISSIONS } else { ADMISSIONS + TURNS } {
            let has_turn = !grants && (counts || attempt >= ADMISSIONS);
            let mut turn = if has_turn { Some(self.store.turn(&locked).await?) } else { None };
            if grants && attempt > 0 {
                sleep(PAUSE.bound(attempt)).await;
            }
            let judged_by = self.catalog.load().version;
            let put = match self.admit(context, rules, &key, &draft, if_version, &mut turn).await {
                // What it names may stand in a catalogue that another replica has just read.
                Err(Refusal::Violations { .. }) if self.follow_catalog(judged_by).await? => {
                    self.admit(context, rules, &key, &draft, if_version, &mut turn).await?
                }
                admitted => admitted?,
            };
            let written = match turn {
                Some(turn) => turn.put(put).await?,
                None => self.store.put(put).await?,
            };
            match written {
                PutOutcome::Created(row) => {
                    self.written(context.caller, &row);
                    // Nothing can be in what has just been made.
                    let children = rules.counts_children.then_some(0);
                    let view = view(&row.into(), children, "PUT");
                    return Ok(PutView { created: true, view, warnings: draft.warnings });
                }
                PutOutcome::Updated { before, after } => {
                    self.written(context.caller, &after);
                    return Ok(PutView { created: false, view: updated(before, &after), warnings: draft.warnings });
                }
                PutOutcome::Deleting => return Err(being_deleted(&key)),
                // What changed is seen, and named, by the next admission.
                PutOutcome::Stale | PutOutcome::Missing(_) => {}
            }
        }
        Err(Refusal::Conflict(format!(
            "{key} was changed by others at the same time again and again; repeat the request"
        )))
    }

    /// Accepts a deletion.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Conflict`], [`Refusal::Stale`], and failures of the store.
    pub async fn delete(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        let decisions = self.authorize(context.caller, "delete", key).await?;
        let absent = || match kinds::catalog::find(&self.catalog.load(), key) {
            Some(_) => built_in(key),
            None => Refusal::NotFound(key.clone()),
        };
        let rules = kinds::rules(key.kind).filter(|_| is_possible(key)).ok_or_else(absent)?;
        let delete =
            Delete { key: key.clone(), expected_version: if_version, rules: rules.delete, now: self.clock.now() };
        match self.store.delete(delete).await? {
            DeleteOutcome::Accepted(row) => {
                self.written(context.caller, &row);
                Ok(())
            }
            DeleteOutcome::NotFound => Err(absent()),
            DeleteOutcome::Stale(current) => Err(stale(key, if_version, current)),
            DeleteOutcome::Refused(users) => {
                let may_read = |user: &&ResourceKey| {
                    let ask = Ask { verb: "get", key: user };
                    !self.enforces() || decisions.as_ref().is_some_and(|there| there.allows(context.caller, &ask))
                };
                let (named, hidden): (Vec<_>, Vec<_>) = users.shown.iter().partition(may_read);
                Err(in_use(key, &named, hidden.len(), users.more))
            }
        }
    }

    /// Accepts a power action.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn act(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        drop(self.authorize(context.caller, "post", key).await?);
        let powered = kinds::rules(key.kind).is_some_and(|rules| rules.powered);
        if !powered || !is_possible(key) {
            return Err(Refusal::NotFound(key.clone()));
        }
        let act = Act { key: key.clone(), action, expected_version: if_version, now: self.clock.now() };
        match self.store.act(act).await? {
            ActOutcome::Accepted(row) => {
                self.written(context.caller, &row);
                Ok(())
            }
            ActOutcome::NotFound => Err(Refusal::NotFound(key.clone())),
            ActOutcome::Stale(current) => Err(stale(key, if_version, current)),
            ActOutcome::Refused(ActionRefusal::Deleting) => Err(being_deleted(key)),
            ActOutcome::Refused(ActionRefusal::Power { asked, is_on }) => Err(wrong_power(key, asked, is_on)),
        }
    }
}

fn writable(key: &ResourceKey) -> Result<&'static KindRules, Refusal> {
    kinds::rules(key.kind).ok_or_else(|| built_in(key))
}

/// The answer to an update: what is now asked for, in the state that it met. The next GET shows the new state, so
/// that this answer must not bear the tag of what that GET will show.
fn updated(before: Resource, after: &Resource) -> View {
    let tag = format!("{}.{}", after.resource_version, before.revision);
    let shown = Resource { status: before.status, state: before.state, conditions: before.conditions, ..after.clone() };
    View { body: render::row(&shown.into(), "PUT", None), tag: Some(tag), transition: None }
}

fn stale(key: &ResourceKey, expected: Option<i64>, current: i64) -> Refusal {
    Refusal::Stale { key: key.clone(), expected: expected.unwrap_or_default(), current }
}

/// `hidden`: how many more use it that the caller may not read. `more`: how many there are beyond those.
fn in_use(key: &ResourceKey, named: &[&ResourceKey], hidden: usize, more: u64) -> Refusal {
    let mut users: Vec<_> = named.iter().map(|user| user.resource()).collect();
    if hidden > 0 {
        users.push(format!("{hidden} that you may not read"));
    }
    let more_of_them = if more > 0 { format!(" and {more} more") } else { String::new() };
    Refusal::Conflict(format!(
        "{key} cannot be deleted while {}{more_of_them} {} it; delete what uses it first",
        users.join(", "),
        if named.len() + hidden == 1 && more == 0 { "uses" } else { "use" }
    ))
}

fn wrong_power(key: &ResourceKey, asked: ActionKind, is_on: bool) -> Refusal {
    let asked = asked.as_str();
    let (is, remedy) = if is_on { ("on", "stop it first, or leave it") } else { ("off", "start it first") };
    Refusal::Conflict(format!("{key} cannot {asked}, because it is {is} already or is to be; {remedy}"))
}
