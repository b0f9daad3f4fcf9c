//! The rate budget of one project.
//!
//! The provider meters a project with a token bucket and answers 429 when it is empty. This is the
//! same bucket, kept on our side and trued up from every answer, so that a request waits here
//! instead: in order of [`Priority`], with a reserve that only deletions may touch.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bounds::MAX_RETRY_AFTER;

/// Who goes first when the budget is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Deletions and the undoing of failed work: they free money and may use the reserve.
    Delete,
    /// What a user waits for.
    Mutation,
    /// Polls of running actions.
    ActionPoll,
    /// Background reading.
    Resync,
}

/// Limit per hour until an answer says otherwise (official spec).
const DEFAULT_LIMIT: f64 = 3600.0;
/// Share of the limit that only deletions may use.
const RESERVE: f64 = 0.10;
/// Below this share polls slow down and sweeps stretch.
const LOW: f64 = 0.25;
/// The pause after a refusal that names none: the bucket was judged wrongly, and what is known of it is checked slowly.
const PAUSE: Duration = Duration::from_secs(1);
/// A limit per hour above this is none that the provider would set.
const MOST: f64 = 1e9;
/// Fewer missing tokens than this tell too little about the refill rate, for resets are whole seconds.
const TELLING: f64 = 10.0;

/// The state of a budget, for metrics and for callers that stretch their sweeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSnapshot {
    /// Capacity of the bucket: requests per hour.
    pub limit: f64,
    /// Requests that may be sent now.
    pub remaining: f64,
    /// Requests that come back per second.
    pub refill_per_second: f64,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests sent and not yet answered.
    pub in_flight: usize,
    /// Less than a quarter remains.
    pub low: bool,
    /// The provider has answered: until then limit and rest are its defaults.
    pub probed: bool,
}

/// The rate budget of one project, shared by everything that calls for it.
#[derive(Debug)]
pub struct RateBudget {
    bucket: Mutex<Bucket>,
    changed: Notify,
}

#[derive(Debug)]
struct Bucket {
    limit: f64,
    tokens: f64,
    refill_per_second: f64,
    as_of: Instant,
    /// Until a first answer nothing is known of the provider's bucket: one request at a time.
    probed: bool,
    in_flight: usize,
    sent: u64,
    queue: BTreeSet<(Priority, u64)>,
    next_ticket: u64,
    /// Nothing is sent before, for the provider refused a request.
    paused_until: Instant,
}

impl Default for RateBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RateBudget {
    /// A budget of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bucket: Mutex::new(Bucket {
                limit: DEFAULT_LIMIT,
                tokens: DEFAULT_LIMIT,
                refill_per_second: DEFAULT_LIMIT / 3600.0,
                as_of: Instant::now(),
                probed: false,
                in_flight: 0,
                sent: 0,
                queue: BTreeSet::new(),
                next_ticket: 0,
                paused_until: Instant::now(),
            }),
            changed: Notify::new(),
        }
    }

    /// Waits until a request of this priority may be sent, and takes its token.
    /// Dropping the future gives the place in the queue back.
    pub async fn acquire(&self, priority: Priority) -> Permit<'_> {
        let place = Place::take(self, priority);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let turn = self.lock().turn(place.key);
            match turn {
                Turn::Go { sent, alone } => {
                    return Permit { budget: self, sent, alone };
                }
                Turn::In(delay) => {
                    let _ = tokio::time::timeout(delay, changed).await;
                }
                Turn::Wait => changed.await,
            }
        }
    }

    /// [`RateBudget::acquire`] for a caller with other things to do: as soon as it is clear that the turn does not
    /// come within `patience`, and at the latest then, it says instead how long that would take.
    ///
    /// # Errors
    /// The time until the turn comes, as far as it can be told.
    pub async fn acquire_within(&self, priority: Priority, patience: Duration) -> Result<Permit<'_>, Duration> {
        let deadline = Instant::now() + patience;
        let place = Place::take(self, priority);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (turn, due) = {
                let mut bucket = self.lock();
                (bucket.turn(place.key), bucket.due(place.key))
            };
            let delay = match turn {
                Turn::Go { sent, alone } => return Ok(Permit { budget: self, sent, alone }),
                Turn::In(delay) => Some(delay),
                Turn::Wait => None,
            };
            let now = Instant::now();
            if now >= deadline || now + due > deadline {
                return Err(due.max(PAUSE));
            }
            let wake = delay.map_or(deadline, |delay| deadline.min(now + delay));
            let _ = tokio::time::timeout_at(wake, changed).await;
        }
    }

    /// The state now.
    #[must_use]
    pub fn snapshot(&self) -> BudgetSnapshot {
        let mut bucket = self.lock();
        bucket.refill();
        BudgetSnapshot {
            limit: bucket.limit,
            remaining: bucket.tokens.max(0.0).floor(),
            refill_per_second: bucket.refill_per_second,
            waiting: bucket.queue.len(),
            in_flight: bucket.in_flight,
            low: bucket.tokens < bucket.limit * LOW,
            probed: bucket.probed,
        }
    }

    /// Whether less than a quarter remains.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.snapshot().low
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        // Plain numbers stay meaningful even if a holder panicked.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Turn {
    Go { sent: u64, alone: bool },
    In(Duration),
    Wait,
}

impl Bucket {
    fn refill(&mut self) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.as_of).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.refill_per_second).min(self.limit);
        self.as_of = now;
    }

    /// Tokens that a request of this priority must leave untouched.
    fn floor(&self, priority: Priority) -> f64 {
        match priority {
            Priority::Delete => 0.0,
            _ => (self.limit * RESERVE).floor().min(self.limit - 1.0),
        }
    }

    fn turn(&mut self, key: (Priority, u64)) -> Turn {
        if self.queue.first() != Some(&key) || (!self.probed && self.in_flight > 0) {
            return Turn::Wait;
        }
        let due = self.due(key);
        if !due.is_zero() {
            return Turn::In(due);
        }
        self.tokens -= 1.0;
        let alone = self.in_flight == 0;
        self.in_flight += 1;
        self.sent += 1;
        Turn::Go { sent: self.sent, alone }
    }

    /// How long until the turn of a place comes if nothing but the refill changes: those before it take a token each.
    fn due(&mut self, key: (Priority, u64)) -> Duration {
        self.refill();
        #[allow(clippy::cast_precision_loss, reason = "some thousands at most")]
        let before = self.queue.range(..key).count() as f64;
        let missing = 1.0 + before + self.floor(key.0) - self.tokens;
        let refilled = match missing > 0.0 {
            // A millisecond more than computed, so that rounding never sends too early.
            true => Duration::from_secs_f64(missing / self.refill_per_second) + Duration::from_millis(1),
            false => Duration::ZERO,
        };
        refilled.max(self.paused_until.saturating_duration_since(self.as_of))
    }

    /// Trues the bucket up. An answer to a request that was alone under way is exact; otherwise
    /// the others still under way are taken as not yet counted, and nothing is ever raised.
    fn true_up(&mut self, headers: RateHeaders, exact: bool, now: OffsetDateTime) {
        self.refill();
        self.limit = headers.limit;
        #[allow(clippy::cast_precision_loss, reason = "a handful of requests")]
        let known = headers.remaining - self.in_flight.saturating_sub(1) as f64;
        self.tokens = if exact { known } else { self.tokens.min(known) };

        let base = headers.limit / 3600.0;
        let missing = headers.limit - headers.remaining;
        let seconds = (headers.reset - headers.date.unwrap_or(now)).as_seconds_f64();
        if missing >= TELLING && seconds > 0.0 {
            // The reset is rounded to a second: one more keeps the rate on the safe side.
            self.refill_per_second = base.max(missing / (seconds + 1.0));
        } else if self.refill_per_second < base {
            self.refill_per_second = base;
        }
    }
}

/// The right to send one request. Report the answer with [`Permit::answered`], or that nothing was
/// sent with [`Permit::unused`]; dropping it instead means that no answer came.
#[derive(Debug)]
pub struct Permit<'a> {
    budget: &'a RateBudget,
    sent: u64,
    alone: bool,
}

impl Permit<'_> {
    /// Trues the budget up from the headers of the answer.
    pub fn answered(self, headers: &HeaderMap, now: OffsetDateTime) {
        drop(self.settle(headers, now));
    }

    /// The provider refused for lack of budget: its headers tell what there is, and nothing is sent for as long as
    /// `Retry-After` says, or a second, but no longer than 10 minutes. Returns when the next token is due.
    pub fn refused(self, headers: &HeaderMap, now: OffsetDateTime) -> Duration {
        let mut bucket = self.settle(headers, now);
        let pause = retry_after(headers).map_or(PAUSE, |asked| asked.clamp(PAUSE, MAX_RETRY_AFTER));
        bucket.paused_until = bucket.paused_until.max(bucket.as_of + pause);
        let refilled = Duration::from_secs_f64((1.0 - bucket.tokens).max(0.0) / bucket.refill_per_second);
        let delay = refilled.max(bucket.paused_until - bucket.as_of);
        // The permit's own drop locks again.
        drop(bucket);
        delay
    }

    /// Nothing was sent: gives the token back.
    pub fn unused(self) {
        let mut bucket = self.budget.lock();
        bucket.refill();
        bucket.tokens = (bucket.tokens + 1.0).min(bucket.limit);
        // The permit's own drop locks again, and wakes who waits for the token.
        drop(bucket);
    }

    fn settle(&self, headers: &HeaderMap, now: OffsetDateTime) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.budget.lock();
        bucket.probed = true;
        bucket.refill();
        if let Some(headers) = RateHeaders::read(headers) {
            let exact = self.alone && bucket.sent == self.sent;
            bucket.true_up(headers, exact, now);
        }
        bucket
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.budget.lock().in_flight -= 1;
        self.budget.changed.notify_waiters();
    }
}

/// A place in the queue, given back when the wait ends or is abandoned.
struct Place<'a> {
    budget: &'a RateBudget,
    key: (Priority, u64),
}

impl<'a> Place<'a> {
    fn take(budget: &'a RateBudget, priority: Priority) -> Self {
        let mut bucket = budget.lock();
        let key = (priority, bucket.next_ticket);
        bucket.next_ticket += 1;
        bucket.queue.insert(key);
        Self { budget, key }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.budget.lock().queue.remove(&self.key);
        self.budget.changed.notify_waiters();
    }
}

/// `Retry-After` in seconds; the form with a date is not used by the provider.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number holds are more seconds than anybody waits.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// `RateLimit-*` of an answer.
#[derive(Clone, Copy, Debug)]
struct RateHeaders {
    limit: f64,
    remaining: f64,
    /// When the bucket will be full again (not when the next token arrives).
    reset: OffsetDateTime,
    /// The provider's own clock, which is better than ours for measuring its reset.
    date: Option<OffsetDateTime>,
}

impl RateHeaders {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        // `inf` and `NaN` are numbers to the parser, and no duration can be made of what they give.
        let number = |name: &str| text(name)?.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let limit = number("ratelimit-limit").filter(|limit| (1.0..=MOST).contains(limit))?;
        let remaining = number("ratelimit-remaining")?.clamp(0.0, limit);
        #[allow(clippy::cast_possible_truncation, reason = "a UNIX time")]
        let reset = number("ratelimit-reset")
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds as i64).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = text("date").and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
        Some(Self { limit, remaining, reset, date })
    }
}
