//! Patience: reads that wait for the next transition of what they read.
//!
//! Clients poll with shrinking intervals and give up after seconds; a server takes a minute. A poller is known by its
//! second question (its own write counts as the first), and its answer is held until there is something to say. A held read is a future and an entry in one
//! table: it keeps neither a database connection nor anything else that others wait for.
//!
//! What happens in this process wakes it by uid. What other replicas do, and what happened between a read and its
//! entry in the table, is found by one read per second for all that are held.

mod told;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use seca_api::{ResourceKey, ResourceState, Timestamp};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::debug;

use self::told::Told;
use crate::{
    ports::{Store, StoreResult},
    resource::{Representation, Resource, Uid},
};

/// How patient reads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a read is held when the client says nothing of it; zero: not at all.
    pub hold: Duration,
    /// How short ago the caller must have been told the same for its next read to be held.
    pub recent: Duration,
    /// How often all that are held are looked at in the store.
    pub look: Duration,
    /// How many reads are held at once; further ones are answered at once.
    pub most: usize,
    /// How many of one subject.
    pub most_of_one: usize,
}

impl Default for Patience {
    /// 8 s, told less than 5 s ago, a look per second, 4,096 and 512.
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(8),
            recent: Duration::from_secs(5),
            look: Duration::from_secs(1),
            most: 4_096,
            most_of_one: 512,
        }
    }
}

/// What tells one condition entry from the next. Its reason and message may change in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    state: ResourceState,
    since: Option<Timestamp>,
}

/// What a look at a row found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    entry: Entry,
    /// Which write of its users it shows.
    version: i64,
    /// Tells which of two looks was earlier: entries of one millisecond bear the same time.
    revision: i64,
}

impl Seen {
    fn of(row: &Resource) -> Self {
        let since = row.conditions.first().map(|newest| newest.last_transition_at);
        Self { entry: Entry { state: row.state, since }, version: row.resource_version, revision: row.revision }
    }

    /// Whether it is news to who was told the other: what was written meanwhile is shown at once, though the entry is
    /// the same.
    fn is_news_after(&self, told: &Self) -> bool {
        (self.entry, self.version) != (told.entry, told.version)
    }
}

/// A resource on its way to another state, as an answer showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    uid: Uid,
    key: ResourceKey,
    seen: Seen,
}

impl Transition {
    /// What there is to wait for; nothing in the states `active` and `error`.
    pub fn of(row: &Representation) -> Option<Self> {
        let entry = Entry { state: row.state, since: is_under_way(row.state).then(|| row.since())? };
        let seen = Seen { entry, version: row.resource_version, revision: row.revision };
        Some(Self { uid: row.uid?, key: row.key.clone(), seen })
    }

    /// What there is to wait for after a write.
    pub(crate) fn of_row(row: &Resource) -> Option<Self> {
        is_under_way(row.state).then(|| Self { uid: row.uid, key: row.key.clone(), seen: Seen::of(row) })
    }
}

const fn is_under_way(state: ResourceState) -> bool {
    use ResourceState::{Active, Creating, Deleting, Error, Pending, Updating};
    match state {
        Active | Error => false,
        Pending | Creating | Updating | Deleting => true,
    }
}

/// Whether a read is held.
#[derive(Debug)]
pub enum Held {
    /// It is answered at once: nothing is under way, the caller has not seen this yet, or does not want to wait.
    No,
    /// It is answered at once because too many are held already.
    Full,
    /// It is held until [`Hold::released`].
    Until(Hold),
}

/// All reads that are held in this process. The engine and accepted writes tell it of every change.
#[derive(Debug)]
pub struct Watchers {
    patience: Patience,
    hasher: RandomState,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    told: Told,
    waiting: HashMap<Uid, Waiting>,
    held: usize,
    /// By the hash of a subject: names are as long as their senders like.
    of_subject: HashMap<u64, usize>,
    looking: bool,
}

/// A resource that somebody waits for.
#[derive(Debug)]
struct Waiting {
    key: ResourceKey,
    /// The newest look; none once its row is gone.
    newest: watch::Sender<Option<Seen>>,
    reads: usize,
}

impl Waiting {
    /// Takes in what is newer. Looks of different times overlap, and an older one must not hide what is known.
    fn learn(&self, seen: Option<Seen>) {
        self.newest.send_if_modified(|known| {
            let newer = match (&known, &seen) {
                (Some(known), Some(seen)) => seen.revision > known.revision,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if newer {
                *known = seen;
            }
            newer
        });
    }
}

impl Default for Watchers {
    fn default() -> Self {
        Self::new(Patience::default())
    }
}

impl Watchers {
    /// Nothing is held yet.
    pub fn new(patience: Patience) -> Self {
        Self { patience, hasher: RandomState::new(), registry: Mutex::default() }
    }

    /// How many reads are held now.
    pub fn held(&self) -> usize {
        self.lock().held
    }

    /// A row was written. A new condition entry releases who waits for it; a new message does not.
    pub fn changed(&self, row: &Resource) {
        self.tell(row.uid, Some(Seen::of(row)));
    }

    /// A row is gone.
    pub fn gone(&self, uid: Uid) {
        self.tell(uid, None);
    }

    /// Remembers that a subject was answered with a transition, for as long as its next read counts as polling.
    pub fn told(&self, subject: &str, transition: &Transition) {
        let reader = (self.hasher.hash_one(subject), transition.uid);
        self.lock().told.insert(reader, transition.seen, self.patience.recent);
    }

    /// Whether the read that found this is held. `wish` is the time that the client asks for itself: it counts
    /// instead of the setting, and needs no earlier read.
    pub fn hold(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        subject: &str,
        transition: &Transition,
        wish: Option<Duration>,
    ) -> Held {
        let limit = wish.unwrap_or(self.patience.hold);
        if limit.is_zero() {
            return Held::No;
        }
        let subject = self.hasher.hash_one(subject);
        let mut registry = self.lock();
        match registry.told.get((subject, transition.uid), self.patience.recent) {
            // News: the client waits for nothing else.
            Some(told) if transition.seen.is_news_after(&told) => return Held::No,
            None if wish.is_none() => return Held::No,
            _ => {}
        }
        let of_one = registry.of_subject.get(&subject).copied().unwrap_or_default();
        if registry.held >= self.patience.most || of_one >= self.patience.most_of_one {
            return Held::Full;
        }
        let newest = registry.enter(subject, transition);
        if !std::mem::replace(&mut registry.looking, true) {
            tokio::spawn(look(Arc::clone(self), Arc::clone(store)));
        }
        let (uid, from) = (transition.uid, transition.seen.entry);
        Held::Until(Hold { watchers: Arc::clone(self), subject, uid, from, newest, limit })
    }

    fn tell(&self, uid: Uid, seen: Option<Seen>) {
        if let Some(waiting) = self.lock().waiting.get(&uid) {
            waiting.learn(seen);
        }
    }

    /// The keys of all that somebody waits for; none ends the looking.
    fn keys(&self) -> Option<Vec<(Uid, ResourceKey)>> {
        let mut registry = self.lock();
        registry.looking = !registry.waiting.is_empty();
        registry.looking.then(|| registry.waiting.iter().map(|(uid, waiting)| (*uid, waiting.key.clone())).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn enter(&mut self, subject: u64, transition: &Transition) -> watch::Receiver<Option<Seen>> {
        self.held += 1;
        *self.of_subject.entry(subject).or_default() += 1;
        let waiting = self.waiting.entry(transition.uid).or_insert_with(|| Waiting {
            key: transition.key.clone(),
            newest: watch::Sender::new(Some(transition.seen)),
            reads: 0,
        });
        waiting.reads += 1;
        waiting.learn(Some(transition.seen));
        waiting.newest.subscribe()
    }

    fn leave(&mut self, subject: u64, uid: Uid) {
        self.held = self.held.saturating_sub(1);
        if let Some(count) = self.of_subject.get_mut(&subject) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_subject.remove(&subject);
            }
        }
        if let Some(waiting) = self.waiting.get_mut(&uid) {
            waiting.reads = waiting.reads.saturating_sub(1);
            if waiting.reads == 0 {
                self.waiting.remove(&uid);
            }
        }
    }
}

/// Looks at all that are held, once per interval, for as long as there are any.
async fn look(watchers: Arc<Watchers>, store: Arc<dyn Store>) {
    loop {
        sleep(watchers.patience.look).await;
        let Some(waiting) = watchers.keys() else { return };
        if let Err(error) = find(&watchers, store.as_ref(), waiting).await {
            debug!(%error, "held reads could not be looked at; their time goes on");
        }
    }
}

async fn find(watchers: &Watchers, store: &dyn Store, waiting: Vec<(Uid, ResourceKey)>) -> StoreResult<()> {
    let (uids, keys): (Vec<Uid>, Vec<ResourceKey>) = waiting.into_iter().unzip();
    let rows: HashMap<Uid, Resource> = store.get_many(&keys).await?.into_iter().map(|row| (row.uid, row)).collect();
    for uid in uids {
        match rows.get(&uid) {
            Some(row) => watchers.changed(row),
            None => watchers.gone(uid),
        }
    }
    Ok(())
}

/// A read that is held. Dropped, as with the connection of its client, it is none any more.
#[derive(Debug)]
pub struct Hold {
    watchers: Arc<Watchers>,
    subject: u64,
    uid: Uid,
    from: Entry,
    newest: watch::Receiver<Option<Seen>>,
    limit: Duration,
}

impl Hold {
    /// Ends when the newest condition entry is another, the row is gone, or the time is over. What there is to say
    /// then must be read, and the right to read it be proven, again.
    pub async fn released(mut self) {
        let from = self.from;
        let news = self.newest.wait_for(|newest| newest.is_none_or(|newest| newest.entry != from));
        // Of the two errors one means that time is over, and the other cannot be: the sender lives while this is held.
        let _ = timeout(self.limit, news).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.watchers.lock().leave(self.subject, self.uid);
    }
}

#[cfg(test)]
mod tests;
