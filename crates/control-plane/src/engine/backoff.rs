//! How long to wait before trying again.

use std::time::Duration;

use crate::ports::Rng;

/// The base of the backoff. At most half a second, so that a single hiccup costs a client's poll nothing.
const BASE: Duration = Duration::from_millis(500);
/// The longest transient retry.
const CAP: Duration = Duration::from_secs(60);
/// The pace of retries after a final refusal: somebody may have changed the world meanwhile.
pub(super) const SLOW: Duration = Duration::from_secs(300);

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

    #[test]
    fn the_bound_doubles_up_to_the_cap_and_never_reaches_zero() {
        assert!(transient(0, &Fixed(255)) <= BASE);
        assert!(transient(3, &Fixed(255)) > Duration::from_secs(3));
        assert!(transient(1_000, &Fixed(255)) <= CAP);
        assert_eq!(transient(5, &Fixed(0)), Duration::from_millis(20));
    }
}
