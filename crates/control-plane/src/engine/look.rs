//! What is looked at, and in which order.
//!
//! What is due comes first: what somebody wrote, what was woken, what is to be tried again. Behind it, and a little beside
//! it, everything else is looked at again where that is needed: after a takeover, after each reading of the project, and
//! after a failure of the store. That is kept in memory, because whoever has the lease next looks at everything anyway.
//!
//! Resources are read many at a time, and each is judged by what was read then. Most of them are as they should be, and of
//! those nothing is written but their place in the queue, of all by one statement. Those that became what they should be
//! are written in one transaction. Whatever else is found is not believed: it is judged once more, by itself and by what is
//! there then, because the others may have changed what it was judged by.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::{Duration, Instant};
use tracing::{error, info};

use super::{
    backoff,
    project::{Prepared, Project, Standing, found, tried},
};
use crate::{
    ports::{Bundle, CloudProvider, Commit, Plan, Settled, StoreError, StoreResult, Verdict},
    resource::Uid,
    state,
};

/// How many due resources are read at once.
const BATCH: usize = 50;
/// How many of the others are looked at before what is due is asked for again: so many take less than a PUT does.
const GLANCES: usize = 100;
/// The same while something is due all the time.
const GLANCES_BESIDE: usize = 20;
/// How often one resource is looked at before the others, and the answers, get their turn: resources wake each
/// other, and a pair that never agrees must not stop the rest.
const LOOKS: u8 = 4;
/// For how long what is due is looked at before answers get their turn. Where something new comes all the time there is no end.
const TURN: Duration = Duration::from_millis(100);
/// How long a row that cannot be read is left alone.
const UNREADABLE_RETRY: Duration = Duration::from_secs(60);

/// What is yet to be looked at behind what is due.
#[derive(Default)]
pub(super) struct Review {
    left: BTreeSet<Uid>,
    /// Since when, and how many there were; until that was told.
    begun: Option<(Instant, usize)>,
    /// When it last began.
    last: Option<Instant>,
}

impl Review {
    fn begin(&mut self, uids: Vec<Uid>) {
        let now = Instant::now();
        (self.begun, self.last) = (Some((now, uids.len())), Some(now));
        self.left = uids.into_iter().collect();
    }

    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether it last began so long ago.
    pub(super) fn is_old(&self, age: Duration) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= age)
    }

    /// One more.
    pub(super) fn add(&mut self, uid: Uid) {
        self.left.insert(uid);
    }
}

/// What a first look at a resource comes to.
enum Glance {
    /// It is as it is written, and nothing is due.
    Nothing,
    /// The same, and its place in the queue is to be written.
    Settled(Settled),
    /// It is what it should be, and that is to be written.
    Found(Box<(Bundle, Commit)>),
    /// It is to be looked at by itself.
    Closer,
}

impl<P: CloudProvider> Project<P> {
    /// Looks at everything again, behind what is due.
    pub(super) async fn review_all(&mut self) -> StoreResult<()> {
        let uids = self.shared.store.project_uids(&self.lease.project).await?;
        self.review.begin(uids);
        Ok(())
    }

    /// Looks at everything again that is not due soon by itself. What waits asked for something not long ago, under the former
    /// holder of the lease: as often as leases change hands one more look would ask once more.
    pub(super) async fn review_resting(&mut self) -> StoreResult<()> {
        let uids = self.shared.store.resting(&self.lease.project, backoff::SLOW).await?;
        self.review.begin(uids);
        Ok(())
    }

    /// Does what is due: resync, then the queue, until nothing is left that can be done now; then a part of the rest.
    pub(super) async fn work(&mut self) -> StoreResult<Standing> {
        if self.is_behind {
            self.parked.clear();
            self.review_resting().await?;
            self.is_behind = false;
        }
        if self.tell_overdue().await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        let is_abandoned = match self.check_abandoned().await? {
            Some(is_abandoned) => is_abandoned,
            None => return Ok(Standing::Lost),
        };
        if !self.lease.project.is_local() && !is_abandoned && !self.read().await? {
            return Ok(Standing::Held);
        }
        let mut looked: BTreeMap<Uid, u8> = BTreeMap::new();
        let begun = Instant::now();
        self.unreadable.retain(|_, until| *until > begun);
        let mut glances = GLANCES;
        loop {
            let limit = BATCH + self.flying.len() + self.parked.len() + self.unreadable.len();
            let due = self.shared.store.due(&self.lease, limit).await?;
            let fresh: Vec<Uid> = due
                .into_iter()
                .filter(|uid| self.is_free(uid) && looked.get(uid).is_none_or(|times| *times < LOOKS))
                .collect();
            if fresh.is_empty() || self.is_full() {
                break;
            }
            self.reading.expire();
            for uid in &fresh {
                *looked.entry(*uid).or_default() += 1;
                self.review.left.remove(uid);
            }
            if self.look_at(&fresh, true).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
            if looked.len() >= BATCH || begun.elapsed() >= TURN {
                // Let answers in between.
                self.wake.notify_one();
                glances = GLANCES_BESIDE;
                break;
            }
        }
        self.look_on(glances).await
    }

    /// Whether it can be looked at now.
    fn is_free(&self, uid: &Uid) -> bool {
        !self.flying.contains(uid) && !self.parked.contains(uid) && !self.unreadable.contains_key(uid)
    }

    fn is_full(&self) -> bool {
        self.flying.len() >= self.shared.settings.max_in_flight
    }

    /// Looks at some of what is left to be looked at.
    async fn look_on(&mut self, most: usize) -> StoreResult<Standing> {
        if self.review.left.is_empty() {
            if let Some((since, resources)) = self.review.begun.take() {
                let seconds = since.elapsed().as_secs_f64();
                info!(seca.project = %self.lease.project, resources, seconds, "everything was looked at");
            }
            return Ok(Standing::Held);
        }
        if self.is_full() {
            return Ok(Standing::Held);
        }
        // A resource that waits has had its requests of this minute: its turn comes soon, and one more look would ask again.
        let is_free = |uid: &&Uid| self.is_free(uid) && !self.waits.keeps_its_turn(uid);
        let some: Vec<Uid> = self.review.left.iter().filter(is_free).take(most).copied().collect();
        if some.is_empty() {
            return Ok(Standing::Held);
        }
        // Many projects may have much to look at, and users would wait behind that. A project without a place tries again at its
        // next scan.
        let shared = self.shared.clone();
        let Ok(_place) = shared.reviews.try_acquire() else { return Ok(Standing::Held) };
        for uid in &some {
            self.review.left.remove(uid);
        }
        let standing = self.look_at(&some, false).await?;
        self.wake.notify_one();
        Ok(standing)
    }

    /// Looks at several resources. `due`: they are in the queue.
    async fn look_at(&mut self, uids: &[Uid], due: bool) -> StoreResult<Standing> {
        let read = match self.shared.store.bundles(uids).await {
            Ok(read) => read,
            // One of them cannot be read: each by itself.
            Err(StoreError::Corrupt(_) | StoreError::Refused(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut read: HashMap<Uid, Bundle> = read.into_iter().map(|bundle| (bundle.resource.uid, bundle)).collect();
        let (mut settled, mut found, mut closer) = (Vec::new(), Vec::new(), Vec::new());
        for uid in uids {
            let glance = match read.remove(uid) {
                Some(bundle) => self.glance(bundle, due).await?,
                None => Glance::Closer,
            };
            match glance {
                Glance::Nothing => {}
                Glance::Settled(look) => settled.push(look),
                Glance::Found(finding) => found.push(*finding),
                Glance::Closer => closer.push(*uid),
            }
        }
        if !settled.is_empty() && !self.shared.store.settle(&self.lease, &settled).await? {
            return Ok(Standing::Lost);
        }
        if self.write_all(found).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        for uid in closer {
            match self.reconcile(uid).await {
                Ok(Standing::Held) => {}
                Err(error @ (StoreError::Corrupt(_) | StoreError::Refused(_))) => {
                    error!(%error, seca.uid = %uid, "a resource cannot be read; the others go on");
                    self.unreadable.insert(uid, Instant::now() + UNREADABLE_RETRY);
                    self.review.add(uid);
                }
                other => return other,
            }
        }
        Ok(Standing::Held)
    }

    /// Judges a resource, and begins nothing. What it decides must hold although others were judged by the same reading:
    /// nothing but that the resource is what it should be, or waits as it did.
    async fn glance(&mut self, bundle: Bundle, due: bool) -> StoreResult<Glance> {
        let resource = &bundle.resource;
        let is_plain = bundle.open_steps.is_empty() && !resource.is_deleting();
        if !is_plain || self.is_abandoned() || self.hold().is_some() || self.paused(&resource.key).await?.is_some() {
            return Ok(Glance::Closer);
        }
        let planned = match self.prepare(&bundle).await? {
            Prepared::Go => self.plan(&bundle),
            Prepared::Busy => return Ok(Glance::Closer),
            Prepared::Answer(planned) => *planned,
        };
        let (verdict, next) = match planned.plan {
            Plan::Nothing => (Verdict::Converged, planned.again),
            Plan::Wait { retry } => (self.waiting(&bundle), retry),
            _ => return Ok(Glance::Closer),
        };
        let attempts = tried(&bundle, verdict);
        let commit = self.finding(&bundle, planned, verdict, next, attempts);
        let mut after = resource.clone();
        let is_changed = state::commit(&mut after, &commit).row;
        if is_changed && (verdict != Verdict::Converged || after.facts != resource.facts) {
            return Ok(Glance::Closer);
        }
        self.shared.meter.looked(resource.key.kind);
        if verdict == Verdict::Converged {
            self.waits.forget(resource.uid);
        }
        Ok(match () {
            () if is_changed => Glance::Found(Box::new((bundle, commit))),
            () if due || next.is_some() || attempts != bundle.attempts => {
                Glance::Settled(Settled { uid: resource.uid, wake: bundle.wake, attempts, next })
            }
            () => Glance::Nothing,
        })
    }

    /// Writes down what was found of several resources.
    async fn write_all(&mut self, findings: Vec<(Bundle, Commit)>) -> StoreResult<Standing> {
        if findings.is_empty() {
            return Ok(Standing::Held);
        }
        let (bundles, commits): (Vec<Bundle>, Vec<Commit>) = findings.into_iter().unzip();
        let Some(written) = self.shared.store.commit_all(&self.lease, &commits).await? else {
            return Ok(Standing::Lost);
        };
        for ((bundle, commit), written) in bundles.iter().zip(&commits).zip(&written) {
            if self.written(bundle, found(commit), written) == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        Ok(Standing::Held)
    }
}
