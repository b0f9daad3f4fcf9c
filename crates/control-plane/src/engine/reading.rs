//! What a project is read with and when: its token, its lists, the catalogue. Lists are read in tasks of their own,
//! so that answers, deletions, the lease and a shutdown never wait for them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seca_api::ResourceKey;
use tokio::{task::JoinSet, time::Instant};
use tracing::warn;

use super::{
    backoff,
    epoch::Rule,
    project::{Project, Standing},
};
use crate::{
    ports::{Access, CloudError, CloudProvider, DENIED_KEPT, DEPARTURES_KEPT, Marker, Note, StoreResult},
    reason::Reason,
    resource::Resource,
    service::seal_context,
};

/// How long credentials are believed before they are read again.
const CREDENTIALS_FRESH: Duration = Duration::from_millis(500);
/// After the time of how many readings that showed nothing new everything is looked at nevertheless.
const READINGS: u32 = 12;
/// How long the first work of a project waits for the first catalogue.
const CATALOG_PATIENCE: Duration = Duration::from_secs(10);

/// What was read of a project.
pub(super) struct Read<S> {
    snapshot: S,
    /// None: there is none, which is proven.
    marker: Option<Marker>,
}

/// The state of reading one project.
pub(super) struct Reading<S> {
    access: Option<Arc<Access>>,
    /// The sealed form of the token in use.
    sealed: Option<String>,
    /// The workspaces with a token of their own: for the others nothing is done with somebody else's.
    bound: BTreeSet<ResourceKey>,
    /// Whether the token in use has outlived its workspace: nothing is read with it that is not needed.
    retired: bool,
    /// Why tokens that are there cannot be opened.
    unopened: Option<String>,
    access_read: Option<Instant>,
    /// Tokens that the provider rejected, sealed: another one of the project is tried before them.
    rejected: BTreeSet<String>,
    /// The lists that are being read.
    pub(super) observing: JoinSet<Result<Read<S>, CloudError>>,
    /// The provider said no to reading the project: not before this, and meanwhile this is the reason.
    blocked: Option<(Instant, Note)>,
    failures: u32,
    resync_at: Instant,
    begun: Instant,
    catalog_at: Instant,
}

impl<S: Send + 'static> Reading<S> {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            access: None,
            sealed: None,
            bound: BTreeSet::new(),
            retired: false,
            unopened: None,
            access_read: None,
            rejected: BTreeSet::new(),
            observing: JoinSet::new(),
            blocked: None,
            failures: 0,
            resync_at: now,
            begun: now,
            catalog_at: now,
        }
    }

    /// The token as it was last read.
    pub(super) fn current(&self) -> Option<Arc<Access>> {
        self.access.clone()
    }

    /// Whether the workspace of a resource has a token, as it was last read.
    pub(super) fn is_bound(&self, key: &ResourceKey) -> bool {
        key.workspace_key().is_none_or(|workspace| self.bound.contains(&workspace))
    }

    /// Why nothing can be done for a resource without a token.
    pub(super) fn missing(&self, resource: &Resource) -> Note {
        let message = match (&self.unopened, resource.key.workspace_key()) {
            (Some(why), _) => format!("the workspace's token cannot be used: {why}"),
            (None, None) => format!(
                "it lies in project {}, of which no token is bound any more; it stays as it is until one is bound to any \
                 workspace of the tenant",
                resource.project
            ),
            (None, Some(_)) => {
                "the workspace has no token; what exists stays as it is until one of the same project is bound"
                    .to_owned()
            }
        };
        Note::new(Reason::CredentialMissing, message)
    }

    /// Has credentials read again before the next use.
    pub(super) fn expire(&mut self) {
        self.access_read = None;
    }

    /// For how long the project is not read again, and why.
    pub(super) fn blocked(&self) -> Option<(Duration, Note)> {
        let (until, note) = self.blocked.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        // The note was made when the wait began.
        let note = Note { lasts: note.lasts.map(|_| left), ..note.clone() };
        (!left.is_zero()).then(|| (left.max(Duration::from_millis(50)), note))
    }
}

impl<P: CloudProvider> Project<P> {
    /// Starts what is to be read now. False while nothing can be decided before it is there.
    pub(super) async fn read(&mut self) -> StoreResult<bool> {
        let Some(access) = self.access().await? else { return Ok(true) };
        self.read_catalog_if_due(&access);
        let is_resync = Instant::now() >= self.reading.resync_at;
        let wanted = self.snapshot.is_none() || self.rule == Rule::Unread || is_resync;
        let is_under_way = !self.reading.observing.is_empty() || !self.marking.is_empty();
        if wanted && !is_under_way && self.reading.blocked().is_none() {
            self.schedule_resync();
            let (shared, access) = (self.shared.clone(), access.clone());
            self.reading.observing.spawn(async move {
                let (provider, installation) = (&shared.provider, &shared.installation);
                let snapshot = provider.observe(&access).await?;
                let marker = match provider.marker(&snapshot, installation) {
                    None => provider.read_marker(&access, installation).await?,
                    listed => listed,
                };
                Ok(Read { snapshot, marker })
            });
        }
        // Clients name SKUs and images by the catalogue, so that the first one comes before the first workspace.
        let has_catalog = self.shared.catalog.load().version > 0 || self.reading.begun.elapsed() > CATALOG_PATIENCE;
        let is_reading = !self.reading.observing.is_empty() || !self.marking.is_empty();
        let is_known = self.snapshot.is_some() && self.is_ruled();
        Ok(has_catalog && (is_known || !is_reading))
    }

    /// The lists came, or did not.
    pub(super) async fn observed(&mut self, read: Result<Read<P::Snapshot>, CloudError>) -> StoreResult<Standing> {
        let shared = self.shared.clone();
        let Read { snapshot, marker } = match read {
            Ok(read) => read,
            Err(error) => return self.unreadable(error).await,
        };
        // Before anything changes by what the lists show.
        match self.marked(marker).await? {
            Ok(Standing::Held) => {}
            Ok(Standing::Lost) => return Ok(Standing::Lost),
            Err(error) => return self.unreadable(error).await,
        }
        let former = self.snapshot.take();
        let is_news = former.as_ref().is_none_or(|former| !shared.provider.shows_the_same(former, &snapshot));
        self.snapshot = Some(snapshot);
        self.reading.blocked = None;
        self.reading.failures = 0;
        if former.is_some() {
            // Of a project in which nothing happened a million resources need no look.
            if is_news || self.review.is_old(shared.settings.resync_interval * READINGS) {
                self.review_all().await?;
            }
            shared.store.prune(STEPS_KEPT).await?;
            shared.store.access().prune_access(DEPARTURES_KEPT, DENIED_KEPT, shared.clock.now()).await?;
            if let (true, Some(access)) = (shared.settings.catalog_refresh.is_zero(), self.reading.current()) {
                self.read_catalog(&access, true);
            }
        }
        self.sweep().await
    }

    /// The project could not be read, or must not be used with this token.
    pub(super) async fn unreadable(&mut self, error: CloudError) -> StoreResult<Standing> {
        let shared = self.shared.clone();
        warn!(%error, seca.project = %self.lease.project, "the project could not be read");
        let reading = &mut self.reading;
        let jitter = backoff::transient(reading.failures, shared.rng.as_ref());
        reading.failures = reading.failures.saturating_add(1);
        let is_credential = matches!(
            error.note.reason,
            Reason::CredentialRejected | Reason::CredentialReadOnly | Reason::CredentialOfOtherProject
        );
        let has_another = is_credential && reading.sealed.take().is_some_and(|s| reading.rejected.insert(s));
        let wait = if has_another { jitter } else { error.after.unwrap_or(jitter) };
        reading.blocked = Some((Instant::now() + wait, error.note));
        if is_credential {
            // What is known of the project cannot be kept up: everything in it says so.
            self.snapshot = None;
            self.reading.expire();
            self.review_all().await?;
        }
        Ok(Standing::Held)
    }

    /// The newest credential of the project that opens and was not rejected.
    pub(super) async fn access(&mut self) -> StoreResult<Option<Arc<Access>>> {
        // Only a token is remembered: of one that is missing nobody would say that it is there by now.
        let is_fresh = self.reading.access_read.is_some_and(|at| at.elapsed() < CREDENTIALS_FRESH);
        if is_fresh && self.reading.access.is_some() {
            return Ok(self.reading.current());
        }
        let mut credentials = self.shared.store.project_credentials(&self.lease.project).await?;
        // One that is retired serves what lives in no workspace, while no workspace has one, and nothing else.
        let bound = credentials.iter().filter(|c| !c.retired).map(|c| c.workspace.clone());
        self.reading.bound = bound.collect();
        self.reading.retired = self.reading.bound.is_empty();
        credentials.retain(|c| c.retired == self.reading.retired);
        self.reading.unopened = None;
        let rejected = &mut self.reading.rejected;
        rejected.retain(|sealed| credentials.iter().any(|c| c.sealed == *sealed));
        if credentials.iter().all(|c| rejected.contains(&c.sealed)) {
            rejected.clear();
        }
        credentials.retain(|c| !rejected.contains(&c.sealed));
        self.reading.access = None;
        for credential in credentials {
            let workspace = &credential.workspace;
            let endpoint = match credential.endpoint.as_deref().map(str::parse) {
                None => self.shared.settings.default_endpoint.clone(),
                Some(Ok(url)) => url,
                Some(Err(_)) => continue,
            };
            match self.shared.vault.open(&credential.sealed, &seal_context(workspace, self.shared.provider.identity()))
            {
                Ok(token) => {
                    let access = Access { project: self.lease.project.clone(), endpoint, token };
                    self.reading.access = Some(Arc::new(access));
                    self.reading.sealed = Some(credential.sealed);
                    break;
                }
                Err(error) => {
                    warn!(%error, seca.workspace = %workspace, "a token could not be opened");
                    self.reading.bound.remove(workspace);
                    self.reading.unopened = Some(error.to_string());
                }
            }
        }
        self.reading.access_read = Some(Instant::now());
        Ok(self.reading.current())
    }

    /// Never later than the interval, with the time that reading takes: within it what people did by hand is seen.
    pub(super) fn schedule_resync(&mut self) {
        let interval = self.shared.settings.resync_interval;
        self.reading.resync_at = Instant::now() + interval.mul_f64(0.8 + 0.15 * self.shared.rng.fraction());
    }

    fn read_catalog_if_due(&mut self, access: &Arc<Access>) {
        let now = Instant::now();
        if now < self.reading.catalog_at {
            return;
        }
        let interval = self.shared.settings.catalog_refresh;
        // With an interval of zero, resyncs do it; until there is a catalogue at all, soon again.
        self.reading.catalog_at = now
            + match self.shared.catalog.load().version {
                0 => super::catalog::FIRST_RETRY,
                _ if interval.is_zero() => self.shared.settings.resync_interval,
                _ => interval,
            };
        self.read_catalog(access, false);
    }

    fn read_catalog(&mut self, access: &Arc<Access>, resync: bool) {
        if self.reading.retired {
            return;
        }
        let (shared, access, wake) = (self.shared.clone(), access.clone(), self.wake.clone());
        while self.background.try_join_next().is_some() {}
        self.background.spawn(async move {
            let (store, cache, settings) = (shared.store.as_ref(), &shared.catalog, &shared.settings);
            let refreshed = shared.keeper.refresh(shared.provider.as_ref(), &access, store, cache, settings, resync);
            if let Err(error) = refreshed.await {
                warn!(%error, "the catalogue could not be kept");
            }
            wake.notify_one();
        });
    }
}

/// How long steps and tombstones outlive their resource.
const STEPS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
