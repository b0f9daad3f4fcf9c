//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::Instant;

use crate::{ports::Rng, reason::Reason};

/// The base of the backoff. At most half a second, so that a single hiccup costs a client's poll nothing.
const BASE: Duration = Duration::from_millis(500);
/// The longest transient retry.
const CAP: Duration = Duration::from_secs(60);
/// The pace of looks at what waits for a person or for a limit, also after a final refusal: somebody may have changed the
/// world meanwhile.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// A resource that waits: since when, and how often it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What it waits with: what is asked for anew waits anew.
    pub(super) generation: i64,
    /// For what.
    pub(super) reason: Reason,
    since: Instant,
    looks: u32,
}

impl Waiting {
    /// Begins now.
    pub(super) fn new(generation: i64, reason: Reason) -> Self {
        Self { generation, reason, since: Instant::now(), looks: 0 }
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
    const FIRST: Duration = Duration::from_millis(100);
    const SOON: Duration = Duration::from_secs(2);
    match waited.as_secs() {
        0..15 => FIRST.saturating_mul(1 << looks.min(10)).min(SOON),
        15..60 => Duration::from_secs(5),
        _ => Duration::from_secs(10),
    }
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
    let bound = BASE.saturating_mul(1 << attempts.min(10)).min(CAP);
    bound.mul_f64(rng.fraction()).max(Duration::from_millis(20))
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
            let mut waiting = Waiting::new(1, Reason::ProviderBusy);
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
        assert!(transient(0, &Fixed(255)) <= BASE);
        assert!(transient(3, &Fixed(255)) > Duration::from_secs(3));
        assert!(transient(1_000, &Fixed(255)) <= CAP);
        assert_eq!(transient(5, &Fixed(0)), Duration::from_millis(20));
    }
}
