//! Who did what: a row for every mutation that was accepted or forbidden, or whose outcome nobody knows.
//!
//! A row says who, what, to which thing, when, under which request id, and the status of the answer. No body is
//! looked at, so no row holds a secret or user data. Rows go through one queue to one writer, which writes what waits
//! together in one statement. Admin mutations are answered when their row is written; public ones when it is queued,
//! so that a PUT costs no statement more: a crash loses at most what was accepted in the last [`LINGER`]. A full queue
//! makes requests wait and drops nothing. A store that refuses is reported with the rows themselves, so that the log
//! has what the table has not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use control_plane::{
    Causes,
    ports::{Activity, Clock, Listener, Store},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::answer::Failure;

/// How many rows may wait for the writer.
const QUEUE: usize = 4096;
/// The most rows of one statement.
const BATCH: usize = 512;
/// How long a row that nobody waits for may wait for others.
const LINGER: Duration = Duration::from_millis(50);
/// The most characters of a row's texts: some come from paths, which are longer.
const TEXT: usize = 512;

/// A row, and who waits for it to be written; without a row, only that is asked for.
struct Entry {
    activity: Option<Activity>,
    written: Option<oneshot::Sender<()>>,
}

/// Takes rows to the writer.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Entry>,
    clock: Arc<dyn Clock>,
    lost: Arc<AtomicU64>,
    causes: Arc<Causes>,
}

impl Recorder {
    /// Starts the writer. It ends, with everything written, when the last recorder is gone.
    pub fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (lost, causes) = (Arc::new(AtomicU64::new(0)), Arc::<Causes>::default());
        let writer = Writer { store, waiting, lost: lost.clone(), causes: causes.clone() };
        (Self { queue, clock, lost, causes }, tokio::spawn(writer.run()))
    }

    /// The requests that are not written down yet.
    pub fn causes(&self) -> Arc<Causes> {
        self.causes.clone()
    }

    /// Waits until all rows that were queued so far are written.
    pub async fn flush(&self) {
        let (written, seen) = oneshot::channel();
        // An error is a writer that ended, which wrote everything before.
        if self.queue.send(Entry { activity: None, written: Some(written) }).await.is_ok() {
            drop(seen.await);
        }
    }

    /// Writes down what was done without a request, and waits for that.
    pub async fn record(&self, activity: Activity) {
        let (written, seen) = oneshot::channel();
        if self.queue.send(Entry { activity: Some(activity), written: Some(written) }).await.is_ok() {
            drop(seen.await);
        }
    }

    /// How many rows the store refused since the start. The log has them.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// A mutation that is about to be done. Let go without [`Pending::ended`], it leaves a row of unknown outcome:
    /// the client hung up, or the deadline passed, and the store may have done it.
    pub(crate) fn begin(&self, doing: Doing<'_>) -> Pending {
        let text = |text: &str| text.chars().take(TEXT).collect::<String>();
        let activity = Activity {
            at: self.clock.now(),
            listener: doing.listener,
            actor: text(doing.actor),
            action: doing.action.to_owned(),
            target: text(doing.target),
            tenant: doing.tenant.filter(|tenant| !tenant.is_empty()).map(text),
            request_id: Some(doing.request_id.to_owned()),
            result: "unknown".to_owned(),
            detail: doing.detail.map(|detail| text(&detail)),
        };
        self.causes.begin(&activity.target, doing.request_id);
        Pending { recorder: self.clone(), activity: Some(activity) }
    }
}

/// What is about to be done.
pub(crate) struct Doing<'a> {
    pub(crate) listener: Listener,
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) target: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) request_id: &'a str,
    pub(crate) detail: Option<String>,
}

/// A mutation under way.
pub(crate) struct Pending {
    recorder: Recorder,
    activity: Option<Activity>,
}

impl Pending {
    /// It ended with this status. Refusals that say nothing about who may do what leave no row.
    pub(crate) async fn ended(mut self, status: StatusCode) {
        let is_told = status.is_success()
            || status.is_server_error()
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !is_told && let Some(activity) = self.activity.take() {
            end(&self.recorder.causes, &activity);
        }
        let Some(activity) = &mut self.activity else { return };
        activity.result = status.as_u16().to_string();
        let (written, seen) = oneshot::channel();
        let wait = activity.listener == Listener::Admin;
        // The row is let go when there is room for it: whoever hangs up meanwhile leaves it to the drop.
        let Ok(room) = self.recorder.queue.reserve().await else { return };
        room.send(Entry { activity: self.activity.take(), written: wait.then_some(written) });
        if wait {
            drop(seen.await);
        }
    }

    /// The same, by a result: its status when it is good, else that of the failure.
    pub(crate) async fn ended_with<T>(self, result: &Result<T, Failure>, good: impl FnOnce(&T) -> StatusCode) {
        self.ended(result.as_ref().map_or_else(Failure::status, good)).await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(activity) = self.activity.take() else { return };
        match self.recorder.queue.try_send(Entry { activity: Some(activity), written: None }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(entry)) => {
                let queue = self.recorder.queue.clone();
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move { queue.send(entry).await });
                }
            }
            Err(mpsc::error::TrySendError::Closed(entry)) => {
                self.recorder.lost.fetch_add(1, Ordering::Relaxed);
                entry.activity.iter().for_each(|activity| report(activity, "the writer has ended"));
            }
        }
    }
}

/// A request ends: its activity is written down, or it changed nothing.
fn end(causes: &Causes, activity: &Activity) {
    if let Some(request_id) = &activity.request_id {
        causes.end(&activity.target, request_id);
    }
}

/// Writes rows, those that wait together in one statement.
struct Writer {
    store: Arc<dyn Store>,
    waiting: mpsc::Receiver<Entry>,
    lost: Arc<AtomicU64>,
    causes: Arc<Causes>,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            self.gather(&mut batch).await;
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    /// Lets more come, unless somebody waits.
    async fn gather(&mut self, batch: &mut Vec<Entry>) {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH && batch.iter().all(|entry| entry.written.is_none()) {
            let room = BATCH - batch.len();
            match timeout_at(until, self.waiting.recv_many(batch, room)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn write(&self, batch: Vec<Entry>) {
        let (activities, written): (Vec<_>, Vec<_>) = batch.into_iter().map(|e| (e.activity, e.written)).unzip();
        let activities: Vec<Activity> = activities.into_iter().flatten().collect();
        if !activities.is_empty()
            && let Err(error) = self.store.oversight().record_activities(&activities).await
        {
            self.lost.fetch_add(activities.len().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(%error, rows = activities.len(), "activities could not be written; they follow");
            activities.iter().for_each(|activity| report(activity, "the store refused it"));
        }
        activities.iter().for_each(|activity| end(&self.causes, activity));
        for written in written.into_iter().flatten() {
            let _ = written.send(());
        }
    }
}

/// A row that the table will not have.
fn report(activity: &Activity, why: &str) {
    let Activity { at, listener, actor, action, target, tenant, request_id, result, detail } = activity;
    let listener = listener.as_str();
    tracing::error!(%at, listener, actor, action, target, tenant, request_id, result, detail, why, "activity");
}

#[cfg(test)]
mod tests {
    use control_plane::{
        ports::ActivityQuery,
        testing::{MemoryStore, environment::TokioClock},
    };

    use super::*;

    struct World {
        store: Arc<MemoryStore>,
        recorder: Recorder,
        writer: JoinHandle<()>,
    }

    fn world() -> World {
        let store = Arc::new(MemoryStore::new("test"));
        let (recorder, writer) = Recorder::start(store.clone(), Arc::new(TokioClock::default()));
        World { store, recorder, writer }
    }

    impl World {
        fn begin(&self, listener: Listener, target: &str) -> Pending {
            let (actor, action, request_id) = ("ada", "put", "r1");
            self.recorder.begin(Doing { listener, actor, action, target, tenant: None, request_id, detail: None })
        }

        async fn rows(&self) -> Vec<(String, String)> {
            let query = ActivityQuery { limit: 10_000, ..ActivityQuery::default() };
            let rows = self.store.oversight().activities(&query).await.unwrap();
            rows.into_iter().rev().map(|row| (row.activity.target, row.activity.result)).collect()
        }
    }

    fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
        expected.map(|(target, result)| (target.to_owned(), result.to_owned())).to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn an_admin_waits_for_the_row_and_a_public_client_does_not() {
        let world = world();
        world.begin(Listener::Public, "a").ended(StatusCode::CREATED).await;
        assert_eq!(world.rows().await, []);
        world.begin(Listener::Admin, "b").ended(StatusCode::OK).await;
        assert_eq!(world.rows().await, pairs([("a", "201"), ("b", "200")]), "in order, and together");
    }

    #[tokio::test(start_paused = true)]
    async fn accepted_forbidden_and_unknown_outcomes_are_told_and_other_refusals_are_not() {
        let world = world();
        for status in [200, 201, 202, 400, 401, 403, 404, 409, 412, 422, 429, 500, 503] {
            let pending = world.begin(Listener::Public, "x");
            pending.ended(StatusCode::from_u16(status).unwrap()).await;
        }
        drop(world.begin(Listener::Public, "hung up"));
        world.recorder.flush().await;
        let told = ["200", "201", "202", "401", "403", "500", "503"].map(|status| ("x", status));
        let mut expected = pairs(told);
        expected.extend(pairs([("hung up", "unknown")]));
        assert_eq!(world.rows().await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_makes_wait_and_drops_nothing_and_the_end_writes_all() {
        let world = world();
        for at in 0..(QUEUE + 100) {
            world.begin(Listener::Public, &at.to_string()).ended(StatusCode::OK).await;
        }
        let World { store, recorder, writer } = world;
        drop(recorder);
        writer.await.unwrap();
        let query = ActivityQuery { limit: usize::MAX, ..ActivityQuery::default() };
        assert_eq!(store.oversight().activities(&query).await.unwrap().len(), QUEUE + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn texts_are_bounded() {
        let world = world();
        world.begin(Listener::Admin, &"é".repeat(9000)).ended(StatusCode::OK).await;
        assert_eq!(world.rows().await[0].0.chars().count(), TEXT);
    }
}
