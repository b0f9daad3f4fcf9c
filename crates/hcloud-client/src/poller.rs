//! One poller of actions per project.
//!
//! Waiters share it: ids that are due go out 25 a call, with whatever else is running filling the
//! call up. It needs no task of its own: one of the waiters drives it and, when it leaves, another
//! takes over; with nobody waiting nothing is sent. The first poll of an action comes when half of
//! its kind used to be done; nothing is delayed to make calls fuller. After that the pauses grow: a
//! polled action costs at most 20 requests in its first minute, the call that began it and a read of
//! its object included, and 6 in each minute after.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::budget::Priority;
use crate::error::Error;
use crate::project::ProjectClient;
use crate::types::{Action, Id};

/// Ids per call: what the provider's own client uses; more is unproven.
pub const IDS_PER_CALL: usize = 25;

/// First poll of a command of which too little is known.
const COLD: Duration = Duration::from_millis(250);
/// No poll comes sooner after the action was accepted or after the last poll.
const FASTEST: Duration = Duration::from_millis(20);
/// No first poll comes later, however slow the command used to be.
const SLOWEST_FIRST: Duration = Duration::from_secs(30);
/// The longest pause between polls in the first minute of an action, and the pause after it.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(12);
/// The requests of the first minute: more of what somebody else asked is not counted.
const MOST: u32 = 20;
/// What an action costs beside its polls: the call that began it, and a read of its object at the end.
const BESIDE: u32 = 2;
/// An action that takes this many times what its command used to take is overdue, and no sooner than this.
const OVERDUE_TIMES: u32 = 3;
const OVERDUE_AFTER: Duration = Duration::from_secs(30);
/// Latencies kept per command, and how many make an estimate.
const SAMPLES_KEPT: usize = 7;
const SAMPLES_NEEDED: usize = 3;

type Outcome = Result<Action, Error>;

/// An action that takes much longer than its command used to take; see [`ActionPoller::overdue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Its id.
    pub id: Id<Action>,
    /// What is being done (`create_server`).
    pub command: String,
    /// Since when: by the provider's clock if it told, else by ours.
    pub since: OffsetDateTime,
}

/// The poller of one project. Use it through [`ProjectClient::wait`].
#[derive(Debug, Default)]
pub struct ActionPoller {
    board: Mutex<Board>,
    driver: tokio::sync::Mutex<()>,
    registered: Notify,
}

#[derive(Debug, Default)]
struct Board {
    running: BTreeMap<i64, Running>,
    latencies: HashMap<String, VecDeque<Duration>>,
}

#[derive(Debug)]
struct Running {
    /// Known if the action was just accepted, and else from the first poll on.
    command: Option<String>,
    /// Whether the action was just accepted; then its latency is worth learning.
    is_new: bool,
    /// When it was accepted; for one that was found later: when it began, as soon as a poll told.
    since: Instant,
    started: Option<OffsetDateTime>,
    last_poll: Option<Instant>,
    next_poll: Instant,
    /// Polls that were made because they were due.
    polls: u32,
    waiters: Vec<oneshot::Sender<Outcome>>,
}

impl ActionPoller {
    /// A poller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When the first poll of a command just accepted is due: its learned median.
    #[must_use]
    pub fn first_poll(&self, command: &str) -> Duration {
        self.lock().first_poll(command)
    }

    /// Actions that somebody waits for.
    #[must_use]
    pub fn running(&self) -> usize {
        self.lock().running.len()
    }

    /// Whether an action that somebody waits for takes three times what its command used to take, and at least 30 s.
    /// `now` is the wall clock.
    #[must_use]
    pub fn overdue(&self, id: Id<Action>, now: OffsetDateTime) -> Option<Overdue> {
        let board = self.lock();
        let running = board.running.get(&id.get())?;
        let command = running.command.clone()?;
        let age = running.since.elapsed();
        let usual = board.learned(&command).unwrap_or_default();
        let is_overdue = age >= OVERDUE_AFTER.max(usual.saturating_mul(OVERDUE_TIMES));
        let since = running.started.unwrap_or_else(|| now.saturating_sub(age.try_into().unwrap_or_default()));
        is_overdue.then_some(Overdue { id, command, since })
    }

    /// Waits for an action of this id: one just accepted (given), or one found later.
    pub(crate) async fn wait(&self, client: &ProjectClient, id: Id<Action>, accepted: Option<&Action>) -> Outcome {
        let mut outcome = self.register(id, accepted);
        // Whoever drives, it drives for all: the priority of one waiter must not carry over.
        let client = &client.at(Priority::ActionPoll);
        tokio::select! {
            biased;
            outcome = &mut outcome => outcome.unwrap_or(Err(Error::ActionGone(id))),
            _driving = self.driver.lock() => loop {
                match outcome.try_recv() {
                    Ok(outcome) => return outcome,
                    Err(oneshot::error::TryRecvError::Closed) => return Err(Error::ActionGone(id)),
                    Err(oneshot::error::TryRecvError::Empty) => self.round(client).await,
                }
            },
        }
    }

    fn register(&self, id: Id<Action>, accepted: Option<&Action>) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let now = Instant::now();
        let mut board = self.lock();
        let delay = accepted.map_or(Duration::ZERO, |action| board.first_poll(&action.command));
        let running = board.running.entry(id.get()).or_insert_with(|| Running {
            command: accepted.map(|action| action.command.clone()),
            is_new: accepted.is_some(),
            since: now,
            started: accepted.and_then(|action| action.started),
            last_poll: None,
            next_poll: now + delay,
            polls: 0,
            waiters: Vec::new(),
        });
        running.waiters.push(sender);
        drop(board);
        // One permit is enough: there is one driver, and it looks at the whole board.
        self.registered.notify_one();
        receiver
    }

    /// One round of the driver: sleep until something is due, poll it, tell the waiters.
    async fn round(&self, client: &ProjectClient) {
        let next = self.lock().next_poll();
        let due = match next {
            Some(at) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(at) => self.lock().due(Instant::now()),
                    () = self.registered.notified() => return,
                }
            }
            None => return self.registered.notified().await,
        };
        let calls = due.chunks(IDS_PER_CALL).map(|ids| self.poll(client, ids));
        futures::future::join_all(calls).await;
    }

    async fn poll(&self, client: &ProjectClient, ids: &[Id<Action>]) {
        let answer = client.actions(ids).await;
        let slow = client.budget().is_low();
        let (now, wall) = (Instant::now(), client.wall_time());
        let mut board = self.lock();
        match answer {
            Ok(actions) => {
                let mut found: HashMap<i64, Action> =
                    actions.into_iter().map(|action| (action.id.get(), action)).collect();
                for id in ids {
                    match found.remove(&id.get()) {
                        None => board.finish(*id, &Err(Error::ActionGone(*id))),
                        Some(action) if action.is_finished() => {
                            board.learn(&action, now);
                            board.finish(*id, &Ok(action));
                        }
                        Some(action) => {
                            board.identify(&action, now, wall);
                            board.postpone(*id, now, slow);
                        }
                    }
                }
            }
            Err(error) => {
                for id in ids {
                    board.finish(*id, &Err(error.clone()));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    /// When the next poll is due; actions that nobody waits for any more are dropped.
    fn next_poll(&mut self) -> Option<Instant> {
        self.running.retain(|_, running| running.waiters.iter().any(|waiter| !waiter.is_closed()));
        self.running.values().map(|running| running.next_poll).min()
    }

    /// The ids that are due, soonest first; the last call is filled up with others, which costs nothing.
    fn due(&self, now: Instant) -> Vec<Id<Action>> {
        let mut ids: Vec<(Instant, i64)> = self.running.iter().map(|(id, running)| (running.next_poll, *id)).collect();
        ids.sort_unstable();
        let due = ids.iter().filter(|(at, _)| *at <= now).count();
        ids.truncate(due.next_multiple_of(IDS_PER_CALL));
        ids.into_iter().map(|(_, id)| Id::new(id)).collect()
    }

    fn finish(&mut self, id: Id<Action>, outcome: &Outcome) {
        if let Some(running) = self.running.remove(&id.get()) {
            for waiter in running.waiters {
                // A waiter that left no longer cares.
                let _ = waiter.send(outcome.clone());
            }
        }
    }

    fn postpone(&mut self, id: Id<Action>, now: Instant, slow: bool) {
        if let Some(running) = self.running.get_mut(&id.get()) {
            running.last_poll = Some(now);
            // Polled early to fill a call: its own time still stands.
            if running.next_poll <= now {
                running.polls = running.polls.saturating_add(1);
                running.next_poll = now + interval(now - running.since, running.polls, slow);
            }
        }
    }

    /// Takes what a poll tells of an action that was found later: what it is, and how long it has been running.
    fn identify(&mut self, action: &Action, now: Instant, wall: OffsetDateTime) {
        let Some(running) = self.running.get_mut(&action.id.get()).filter(|running| running.command.is_none()) else {
            return;
        };
        running.command = Some(action.command.clone());
        running.started = action.started;
        let age = action.started.and_then(|started| Duration::try_from(wall - started).ok());
        let begun = age.and_then(|age| now.checked_sub(age));
        running.since = begun.map_or(running.since, |begun| begun.min(running.since));
        // Somebody else asked for it until now, as often as there was room for.
        let age = now - running.since;
        let requests = (1..=MOST).take_while(|request| room_for(*request) <= age).last().unwrap_or(0);
        running.polls = requests.saturating_sub(BESIDE);
    }

    fn first_poll(&self, command: &str) -> Duration {
        self.learned(command).map_or(COLD, |median| median.clamp(FASTEST, SLOWEST_FIRST))
    }

    /// The median of what a command took; none until enough is known.
    fn learned(&self, command: &str) -> Option<Duration> {
        let samples = self.latencies.get(command).filter(|samples| samples.len() >= SAMPLES_NEEDED)?;
        let mut sorted: Vec<Duration> = samples.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Learns how long a command takes from when it was last seen running and first seen done.
    fn learn(&mut self, action: &Action, now: Instant) {
        let Some(running) = self.running.get(&action.id.get()).filter(|running| running.is_new) else {
            return;
        };
        let Some(command) = running.command.clone() else {
            return;
        };
        let waited = now - running.since;
        let sample = match running.last_poll {
            Some(last) => (last - running.since).midpoint(waited),
            None => done_at_first_poll(action, waited),
        };
        let samples = self.latencies.entry(command).or_default();
        samples.push_back(sample);
        if samples.len() > SAMPLES_KEPT {
            samples.pop_front();
        }
    }
}

/// An action that was done when first looked at took less than that. By how much, its own times
/// tell if they are long enough to trust (they may be whole seconds); else guess, so that the
/// estimate comes down to what a fast provider needs.
fn done_at_first_poll(action: &Action, waited: Duration) -> Duration {
    action
        .finished
        .zip(action.started)
        .and_then(|(finished, started)| Duration::try_from(finished - started).ok())
        .filter(|took| *took >= Duration::from_secs(2))
        .map_or(waited.mul_f64(0.6), |took| took.min(waited))
}

/// How long to wait after so many polls found an action of this age still running: as long as it has taken, up to 2 s,
/// while there is room for another request; after a minute every 12 s, which with the read at the end is 6 times a minute.
fn interval(age: Duration, polls: u32, slow: bool) -> Duration {
    let interval = if age < Duration::from_secs(60) { age.clamp(FASTEST, SOON) } else { LATER };
    let interval = if slow { interval * 3 } else { interval };
    // The one that comes, and what else is asked for the object.
    interval.max(room_for(polls.saturating_add(1 + BESIDE)).saturating_sub(age))
}

/// When in the life of an action there is room for the request of this number: 9 are free, since what ends soon is to be
/// seen soon, 14 come within 15 s, 20 within a minute, and 5 in each minute after.
fn room_for(request: u32) -> Duration {
    let steps = |beyond: u32, pause: u64| Duration::from_millis(pause).saturating_mul(request.saturating_sub(beyond));
    match request {
        ..=9 => Duration::ZERO,
        10..=14 => steps(9, 3_000),
        15..=20 => Duration::from_secs(15) + steps(14, 7_500),
        _ => Duration::from_secs(60) + steps(20, 12_000),
    }
}

trait Midpoint {
    fn midpoint(self, other: Self) -> Self;
}

impl Midpoint for Duration {
    fn midpoint(self, other: Self) -> Self {
        (self + other) / 2
    }
}
