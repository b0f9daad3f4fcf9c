//! What the users and the person did: by it the end is judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use seca_client::seca_api::Kind;
use serde_json::Value;

/// A resource by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// Empty for what belongs to the tenant.
    pub(crate) workspace: String,
    /// Empty for what is in no network.
    pub(crate) network: String,
    pub(crate) name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.as_str())?;
        [&self.workspace, &self.network, &self.name]
            .iter()
            .filter(|part| !part.is_empty())
            .try_for_each(|part| write!(f, " {part}"))
    }
}

/// What must be so of a resource after all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// The last write was answered with this specification.
    Present(Value),
    /// The last deletion was accepted.
    Gone,
    /// A call was not answered: it may have taken effect, and may do so until the replica is gone.
    Unsure,
}

/// What everybody did.
#[derive(Default)]
struct Inner {
    wanted: BTreeMap<Key, Wanted>,
    /// Resources whose backing a person destroyed, by uid.
    destroyed: BTreeSet<String>,
    /// Objects that a person made: path to name, by project.
    foreign: BTreeMap<(String, String), String>,
    /// How often a restart of an instance was asked for, by its key.
    restarts: BTreeMap<String, u64>,
    /// What the persons did, and how often.
    deeds: BTreeMap<String, u64>,
    /// What the users asked for, and how it was answered.
    operations: BTreeMap<(String, &'static str), u64>,
    /// What happened to processes and connections.
    troubles: BTreeMap<&'static str, u64>,
    /// What is wrong whatever comes after: answers that must not be, processes that ended.
    defects: Vec<String>,
}

/// Shared by all tasks.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<Inner>>);

impl Model {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write or deletion was answered. What is unsure stays so: an earlier call may still take effect.
    pub(crate) fn set(&self, key: &Key, wanted: Wanted) {
        let mut inner = self.inner();
        if inner.wanted.get(key) != Some(&Wanted::Unsure) {
            inner.wanted.insert(key.clone(), wanted);
        }
    }

    /// What may be there, of a kind in a workspace.
    pub(crate) fn present(&self, kind: Kind, workspace: &str) -> Vec<Key> {
        let inner = self.inner();
        let may = |(key, wanted): &(&Key, &Wanted)| {
            let belongs = key.workspace == workspace || key.workspace.is_empty() && key.name.starts_with(workspace);
            key.kind == kind && belongs && **wanted != Wanted::Gone
        };
        inner.wanted.iter().filter(may).map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn wanted(&self) -> BTreeMap<Key, Wanted> {
        self.inner().wanted.clone()
    }

    /// Everything is deleted now: nothing must be there.
    pub(crate) fn forget_wishes(&self) {
        self.inner().wanted.clear();
    }

    pub(crate) fn restart(&self, key: &Key) {
        *self.inner().restarts.entry(key.to_string()).or_default() += 1;
    }

    pub(crate) fn restarts(&self) -> BTreeMap<String, u64> {
        self.inner().restarts.clone()
    }

    pub(crate) fn destroy(&self, uid: &str) {
        self.inner().destroyed.insert(uid.to_owned());
    }

    pub(crate) fn destroyed(&self) -> BTreeSet<String> {
        self.inner().destroyed.clone()
    }

    pub(crate) fn made_foreign(&self, project: &str, path: &str, name: &str) {
        self.inner().foreign.insert((project.to_owned(), path.to_owned()), name.to_owned());
    }

    pub(crate) fn removed_foreign(&self, project: &str, path: &str) {
        self.inner().foreign.remove(&(project.to_owned(), path.to_owned()));
    }

    /// Project, path and name of what a person made and left.
    pub(crate) fn foreign(&self) -> Vec<(String, String, String)> {
        let row = |((project, path), name): (&(String, String), &String)| (project.clone(), path.clone(), name.clone());
        self.inner().foreign.iter().map(row).collect()
    }

    pub(crate) fn deed(&self, what: impl Into<String>) {
        *self.inner().deeds.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn operation(&self, what: String, answer: &'static str) {
        *self.inner().operations.entry((what, answer)).or_default() += 1;
    }

    pub(crate) fn trouble(&self, what: &'static str) {
        *self.inner().troubles.entry(what).or_default() += 1;
    }

    pub(crate) fn defect(&self, what: String) {
        self.inner().defects.push(what);
    }

    pub(crate) fn defects(&self) -> Vec<String> {
        self.inner().defects.clone()
    }

    pub(crate) fn operations(&self) -> BTreeMap<(String, &'static str), u64> {
        self.inner().operations.clone()
    }

    pub(crate) fn deeds(&self) -> BTreeMap<String, u64> {
        self.inner().deeds.clone()
    }

    pub(crate) fn troubles(&self) -> BTreeMap<&'static str, u64> {
        self.inner().troubles.clone()
    }
}
