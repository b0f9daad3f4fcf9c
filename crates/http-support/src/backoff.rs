//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Pauses of which each may be twice the one before, up to the longest.
///
/// A loop that draws its chance from elsewhere than the process, as those of ours do so that tests can repeat them, cannot
/// leave its jitter to a library. So this is the arithmetic alone, and whoever uses it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause at its longest.
    pub first: Duration,
    /// The longest pause of all.
    pub longest: Duration,
}

impl Backoff {
    /// The longest pause after so many failures.
    #[must_use]
    pub fn bound(self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// Anything between nothing and the bound (full jitter), for a number in `0.0..1.0` that is drawn: those who failed
    /// together do not return together.
    #[must_use]
    pub fn drawn(self, failures: u32, random: f64) -> Duration {
        self.bound(failures).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_with_each_failure_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(60) };
        let bounds = [0, 1, 2, 3, 7, 8, u32::MAX].map(|failures| backoff.bound(failures).as_millis());
        assert_eq!(bounds, [500, 500, 1_000, 2_000, 32_000, 60_000, 60_000]);
        for (random, millis) in [(-1.0, 0), (0.0, 0), (0.25, 500), (1.0, 2_000), (2.0, 2_000)] {
            assert_eq!(backoff.drawn(3, random).as_millis(), millis, "{random}");
        }
    }
}
