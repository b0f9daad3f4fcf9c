//! How long to wait before trying again. These pauses are no loop of a process: the count is kept in the row, another
//! holder of the lease goes on with it, and looks and requests have a budget per minute.

use std::time::Duration;

use http_support::Backoff;
use tokio::time::Instant;

use crate::{ports::Rng, reason::Reason};

/// What failed for the moment. At first half a second at most, so that a single hiccup costs a client's poll nothing.
const TRANSIENT: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(60) };
/// The pace of looks at what waits for a person or for a limit, also after a final refusal: somebody may have changed the
/// world meanwhile.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// The first pause between looks, and the longest in the first seconds.
const FIRST: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(2);

/// A resource that waits: since when, and how often it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What it waits with: what is asked for next waits from the beginning.
    pub(super) generation: i64,
    /// For what.
    pub(super) reason: Reason,
    since: Instant,
    looks: u32,
}

impl Waiting {
    /// Began so long ago: a wait that another holder of the lease saw goes on.
    pub(super) fn begun(generation: i64, reason: Reason, ago: Duration) -> Self {
        let looks = u32::try_from(ago.as_millis() / FIRST.as_millis()).unwrap_or(u32::MAX);
        Self { generation, reason, since: earlier(ago), looks: looks.saturating_add(1).ilog2() }
    }

    /// The pause before the next look: at most 20 looks in the first minute, and 6 a minute after. Many that began
    /// together are spread a little; never forward, because they share the project's request budget.
    pub(super) fn pause(&mut self, rng: &dyn Rng) -> Duration {
        let pause = pause(self.since.elapsed(), self.looks);
        self.looks = self.looks.saturating_add(1);
        pause.mul_f64(1.0 + rng.fraction() / 8.0)
    }
}

/// 100 ms doubling to 2 s during the first 15 s, every 5 s until a minute, then every 10 s.
fn pause(waited: Duration, looks: u32) -> Duration {
    match waited.as_secs() {
        0..15 => FIRST.saturating_mul(1 << looks.min(10)).min(SOON),
        15..60 => Duration::from_secs(5),
        _ => Duration::from_secs(10),
    }
}

/// The requests to the provider that a resource has cost since something was asked for, whatever they were for: what was
/// asked before it waited leaves less for looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// What was asked for.
    pub(super) generation: i64,
    since: Instant,
    /// Of which minute since then the requests are counted.
    minute: u64,
    requests: u32,
    /// The requests since the last pause: what the next try is likely to cost.
    newest: u32,
}

impl Cost {
    /// Began so long ago, and took all the room that there was in this minute.
    pub(super) fn begun(generation: i64, ago: Duration) -> Self {
        let (minute, second) = minute_of(ago);
        let is_taken = |request: &u32| room_for(minute, *request) <= second;
        let requests = if ago.is_zero() { 0 } else { (0..=MOST).rev().find(is_taken).unwrap_or(0) };
        Self { generation, since: earlier(ago), minute, requests, newest: 0 }
    }

    /// Requests were made.
    pub(super) fn add(&mut self, requests: u32) {
        let (minute, _) = minute_of(self.since.elapsed());
        let before = if minute == self.minute { self.requests } else { 0 };
        (self.minute, self.requests) = (minute, before.saturating_add(requests));
        self.newest = self.newest.saturating_add(requests);
    }

    /// What was asked until now got on: the next try says nothing of what it cost.
    pub(super) fn took_effect(&mut self) {
        self.newest = 0;
    }

    /// How long until there is room for one more try, which is likely to cost what the last one did.
    pub(super) fn room(&mut self) -> Duration {
        let (minute, second) = minute_of(self.since.elapsed());
        let before = if minute == self.minute { self.requests } else { 0 };
        let next = std::mem::take(&mut self.newest).max(1);
        room_for(minute, before.saturating_add(next)).min(MINUTE).saturating_sub(second)
    }

    /// Whether this minute has no room for one more.
    pub(super) fn is_full(&self) -> bool {
        let (minute, second) = minute_of(self.since.elapsed());
        minute == self.minute && room_for(minute, self.requests.saturating_add(1)) > second
    }

    /// Whether it has lasted more than its first minute.
    pub(super) fn is_old(&self) -> bool {
        self.since.elapsed() >= MINUTE
    }
}

/// The requests of the first minute.
const MOST: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// The minute that a time is in, and the time since that began.
fn minute_of(age: Duration) -> (u64, Duration) {
    let minute = age.as_secs() / MINUTE.as_secs();
    (minute, age.saturating_sub(Duration::from_secs(minute * MINUTE.as_secs())))
}

/// When in a minute there is room for its request of this number. In the first, 9 are free, since what ends soon is to be
/// seen soon; 14 come within 15 s, and 20 within the minute. In a later one 3 are free, and 6 come.
fn room_for(minute: u64, request: u32) -> Duration {
    let steps = |beyond: u32, pause: u64| Duration::from_millis(pause).saturating_mul(request.saturating_sub(beyond));
    match (minute, request) {
        (0, ..=9) | (1.., ..=3) => Duration::ZERO,
        (0, 10..=14) => steps(9, 3_000),
        (0, _) => Duration::from_secs(15) + steps(14, 7_500),
        (1.., _) => steps(3, 15_000),
    }
}

/// What waiting for an action costs at most when it took so long: polls with pauses that double, and a read. Of one that
/// took longer the first poll comes late.
pub(super) fn awaited(took: Duration) -> u32 {
    let polls = (took.as_millis() / 250).clamp(1, 16).ilog2() + 1;
    polls + 1
}

fn earlier(ago: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(ago).unwrap_or(now)
}

/// How long until a call is tried again. `after` is what the provider's adapter asks for.
pub(super) fn retry(reason: Reason, after: Option<Duration>, pause: Duration) -> Duration {
    match reason {
        Reason::QuotaExceeded | Reason::NameTaken | Reason::ProviderRefused | Reason::CredentialReadOnly => SLOW,
        // Locks last as long as they last: the adapter cannot know.
        Reason::ProviderBusy => pause,
        _ => after.map_or(pause, |after| after.max(pause)),
    }
}

/// Full jitter: anything between nothing and the exponential bound, so that many resources that failed together
/// do not return together. A floor keeps the queue from spinning.
pub(super) fn transient(attempts: u32, rng: &dyn Rng) -> Duration {
    TRANSIENT.drawn(attempts.saturating_add(1), rng.fraction()).max(Duration::from_millis(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_looked_at_20_times_in_the_first_minute_and_6_times_a_minute_after() {
        for chance in [Fixed(0), Fixed(255)] {
            let mut waiting = Waiting::begun(1, Reason::ProviderBusy, Duration::ZERO);
            let begun = Instant::now();
            let mut looks = [0; 5];
            while let Some(minute) = looks.get_mut(usize::try_from(begun.elapsed().as_secs() / 60).unwrap()) {
                *minute += 1;
                tokio::time::sleep(waiting.pause(&chance)).await;
            }
            // The one that found that it must wait is the first.
            assert!((15..=20).contains(&looks[0]), "{looks:?}");
            assert!(looks[1..].iter().all(|minute| (5..=6).contains(minute)), "{looks:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_was_asked_before_there_is_room_for_20_requests_in_the_first_minute_and_6_in_each_after() {
        for (before, ago) in [(0, 0), (1, 0), (8, 0), (15, 0), (0, 1), (0, 14), (0, 40), (0, 59), (0, 61), (0, 600)] {
            let ago = Duration::from_secs(ago);
            let mut cost = Cost::begun(1, ago);
            cost.add(before);
            let begun = earlier(ago);
            let mut requests = vec![0; 14];
            requests[usize::try_from(ago.as_secs() / 60).unwrap()] = cost.requests;
            while let Some(minute) = requests.get_mut(usize::try_from(begun.elapsed().as_secs() / 60).unwrap()) {
                let room = cost.room();
                if room.is_zero() {
                    *minute += 1;
                    cost.add(1);
                } else {
                    tokio::time::sleep(room).await;
                }
            }
            assert!(
                requests[0] <= 20 && requests[1..].iter().all(|minute| *minute <= 6),
                "{before} {ago:?} {requests:?}"
            );
            assert!(requests[11..].iter().all(|minute| *minute == 6), "{before} {ago:?} {requests:?}");
        }
    }

    #[test]
    fn what_waits_for_a_person_is_looked_at_slowly_and_a_lock_at_the_pace_of_waiting() {
        let (second, pause) = (Duration::from_secs(1), Duration::from_secs(5));
        for (reason, after, expected) in [
            (Reason::QuotaExceeded, Some(300 * second), SLOW),
            (Reason::ProviderBusy, Some(second), pause),
            (Reason::ProviderBusy, None, pause),
            (Reason::Throttled, Some(41 * second), 41 * second),
            (Reason::Throttled, Some(second), pause),
            (Reason::ProviderUnavailable, None, pause),
        ] {
            assert_eq!(retry(reason, after, pause), expected, "{reason:?}");
        }
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap_and_never_reaches_zero() {
        assert!(transient(0, &Fixed(255)) <= TRANSIENT.first);
        assert!(transient(3, &Fixed(255)) > Duration::from_secs(3));
        assert!(transient(1_000, &Fixed(255)) <= TRANSIENT.longest);
        assert_eq!(transient(5, &Fixed(0)), Duration::from_millis(20));
    }
}
