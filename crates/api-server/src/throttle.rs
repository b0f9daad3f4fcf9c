//! How fast one subject, and all subjects of one tenant together, may go.
//!
//! A request over its rate waits for its turn; waiting is what clients bear, while any 429 is fatal to them. So
//! each bucket is as deep as its burst and, below that, the turns of the next seconds: who takes a token from the
//! deep end waits until the rate has filled the bucket up to there. Turns are given in order of arrival, and
//! nobody wakes up in vain. Only who was authenticated has a bucket, and only who has a role in a tenant takes from the
//! tenant's: others can neither use it up nor learn from it that there is such a tenant.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderValue, Method, header};
use governor::{Quota, RateLimiter, clock::Clock, middleware::StateInformationMiddleware, state::keyed};
use seca_api::ProblemKind;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{answer::Failure, observe::Trace};

/// How fast something may go on, and how much of it may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many a second and so many at once; none if either is 0.
    pub const fn new(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Self { per_second, burst }),
            _ => None,
        }
    }
}

/// The rates of one subject; none: no limit. A tenant has [`Rates::TENANT`] times as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// PUT, DELETE and POST: delayed up to 5 s, then refused with 429.
    pub writes: Option<Rate>,
    /// GET: delayed up to 5 s, then served.
    pub reads: Option<Rate>,
}

impl Rates {
    /// How many times the rates of a subject a tenant has: enough that no single subject can use up the tenant's.
    pub const TENANT: u32 = 10;
}

impl Default for Rates {
    /// 100 writes a second, 1,000 at once; 1,000 reads a second, 5,000 at once.
    fn default() -> Self {
        Self { writes: Rate::new(100, 1000), reads: Rate::new(1000, 5000) }
    }
}

/// The longest wait for a turn, in seconds.
const LONGEST_WAIT: u32 = 5;

/// How many writes, and how many reads, wait at most. Above it a write is refused and a read is served at once.
const WAITERS: usize = 4096;

/// How often buckets that are full again are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// All buckets of a process.
pub(crate) struct Throttle {
    writes: Option<Limiter>,
    reads: Option<Limiter>,
    clock: Ticks,
    /// When the next sweep is due, in seconds of the clock.
    sweep: AtomicU64,
}

impl Throttle {
    pub(crate) fn new(rates: Rates) -> Self {
        let clock = Ticks(Instant::now());
        let limiter = |rate: Option<Rate>| rate.map(|rate| Limiter::new(rate, clock));
        Self {
            writes: limiter(rates.writes),
            reads: limiter(rates.reads),
            clock,
            sweep: AtomicU64::new(SWEEP.as_secs()),
        }
    }

    /// Waits for the turn of a request by this subject in this tenant (one in which it has a role). A process that drains
    /// lets everybody go at once.
    ///
    /// # Errors
    /// 429, for a write that would wait too long.
    pub(crate) async fn admit(
        &self,
        method: &Method,
        subject: &String,
        tenant: Option<&String>,
        trace: &Trace,
        drain: &CancellationToken,
    ) -> Result<(), Failure> {
        self.sweep();
        let is_read = method.is_safe();
        let Some(limiter) = (if is_read { &self.reads } else { &self.writes }) else { return Ok(()) };
        let wait = match limiter.turn(subject, tenant) {
            Ok(wait) => wait,
            Err(_) if is_read => Duration::from_secs(LONGEST_WAIT.into()),
            Err(refused) => return Err(refused.into()),
        };
        if wait.is_zero() {
            return Ok(());
        }
        match limiter.waiters.try_acquire() {
            Ok(_place) => {
                let turn = async {
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = drain.cancelled() => {}
                    }
                };
                trace.holding(turn).await;
                Ok(())
            }
            Err(_) if is_read => Ok(()),
            Err(_) => Err(Refused { whose: "the server", rate: None, after: wait }.into()),
        }
    }

    /// Forgets the buckets that are full again, now and then.
    fn sweep(&self) {
        let (now, due) = (self.clock.now().as_secs(), self.sweep.load(Ordering::Relaxed));
        let next = now + SWEEP.as_secs();
        let is_ours =
            now >= due && self.sweep.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours {
            self.buckets().for_each(Buckets::forget);
        }
    }

    fn buckets(&self) -> impl Iterator<Item = &Buckets> {
        self.writes.iter().chain(&self.reads).flat_map(|limiter| [&limiter.subjects, &limiter.tenants])
    }
}

/// The buckets of writes, or of reads.
struct Limiter {
    subjects: Buckets,
    tenants: Buckets,
    waiters: Arc<Semaphore>,
}

impl Limiter {
    fn new(rate: Rate, clock: Ticks) -> Self {
        let times = |count: NonZeroU32| count.saturating_mul(NonZeroU32::MIN.saturating_add(Rates::TENANT - 1));
        let tenant = Rate { per_second: times(rate.per_second), burst: times(rate.burst) };
        Self {
            subjects: Buckets::new("this subject", rate, clock),
            tenants: Buckets::new("this tenant", tenant, clock),
            waiters: Arc::new(Semaphore::new(WAITERS)),
        }
    }

    /// How long until it is a request's turn. The subject is asked first, so that who is over its own rate takes
    /// nothing of the tenant's.
    fn turn(&self, subject: &String, tenant: Option<&String>) -> Result<Duration, Refused> {
        let own = self.subjects.turn(subject)?;
        let shared = tenant.map_or(Ok(Duration::ZERO), |tenant| self.tenants.turn(tenant))?;
        Ok(own.max(shared))
    }
}

/// Why a write is refused.
struct Refused {
    whose: &'static str,
    rate: Option<Rate>,
    after: Duration,
}

impl From<Refused> for Failure {
    fn from(Refused { whose, rate, after }: Refused) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let seconds = seconds.max(1);
        let rule = match rate {
            Some(Rate { per_second, burst }) => {
                format!("{whose} sends more than {per_second} writes a second, after {burst} at once")
            }
            None => format!("{whose} has more writes waiting than it keeps"),
        };
        let detail = format!("{rule}; nothing was changed: send it again in {seconds} s");
        Self::new(ProblemKind::TooManyRequests, detail).header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

type Keyed = RateLimiter<String, keyed::DefaultKeyedStateStore<String>, Ticks, StateInformationMiddleware>;

/// A bucket per name.
struct Buckets {
    limiter: Keyed,
    whose: &'static str,
    rate: Rate,
    period: Duration,
    /// How many turns may be waited for.
    turns: u32,
}

impl Buckets {
    fn new(whose: &'static str, rate: Rate, clock: Ticks) -> Self {
        let turns = rate.per_second.get().saturating_mul(LONGEST_WAIT);
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst.saturating_add(turns));
        let limiter = RateLimiter::dashmap_with_clock(quota, clock).with_middleware();
        Self { limiter, whose, rate, period: quota.replenish_interval(), turns }
    }

    fn turn(&self, name: &String) -> Result<Duration, Refused> {
        match self.limiter.check_key(name) {
            Ok(state) => Ok(self.period * self.turns.saturating_sub(state.remaining_burst_capacity())),
            Err(full) => {
                let after = full.wait_time_from(self.limiter.clock().now());
                Err(Refused { whose: self.whose, rate: Some(self.rate), after })
            }
        }
    }

    fn forget(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// Tokio's clock, which tests pause, as governor reads it: time since the process began to count.
#[derive(Clone, Copy, Debug)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
