//! The rate limit: one token bucket per project, and the three headers that tell of it.

use super::clock::Time;
use serde::{Deserialize, Serialize};

/// A bucket that holds `limit` requests and refills by `limit` an hour.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) limit: u32,
    tokens: f64,
    at: Time,
}

impl Bucket {
    pub(crate) fn full(limit: u32, now: Time) -> Self {
        Self { limit, tokens: f64::from(limit), at: now }
    }

    pub(crate) fn set(&mut self, limit: u32, remaining: f64, now: Time) {
        *self = Self { limit, tokens: remaining.min(f64::from(limit)), at: now };
    }

    /// Tokens per millisecond; `None` when time is not waited for (speed 0) and the bucket never empties.
    fn rate(&self, speed: f64) -> Option<f64> {
        (speed > 0.0).then(|| f64::from(self.limit) / 3_600_000.0 / speed)
    }

    #[allow(clippy::cast_precision_loss)] // Milliseconds since the last request.
    fn refill(&mut self, now: Time, speed: f64) {
        let limit = f64::from(self.limit);
        self.tokens = match self.rate(speed) {
            Some(rate) => (now.since_ms(self.at) as f64).mul_add(rate, self.tokens).min(limit),
            None => limit,
        };
        self.at = self.at.max(now);
    }

    /// Takes one request out; false when there is none left.
    pub(crate) fn take(&mut self, now: Time, speed: f64) -> bool {
        self.refill(now, speed);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Both are small and not negative.
    pub(crate) fn headers(&self, now: Time, speed: f64) -> Vec<(String, String)> {
        let missing = f64::from(self.limit) - self.tokens;
        let wait_ms = self.rate(speed).map_or(0.0, |rate| missing / rate);
        let reset = (now.0 + wait_ms.ceil() as i64 + 999).div_euclid(1000);
        vec![
            ("ratelimit-limit".to_owned(), self.limit.to_string()),
            ("ratelimit-remaining".to_owned(), (self.tokens.floor() as u64).to_string()),
            ("ratelimit-reset".to_owned(), reset.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bucket: &Bucket, now: Time, speed: f64, index: usize) -> i64 {
        bucket.headers(now, speed)[index].1.parse().unwrap()
    }

    #[test]
    fn a_burst_empties_the_bucket_and_time_refills_it() {
        let start = Time(1_000_000);
        let mut bucket = Bucket::full(3600, start);
        for _ in 0..3600 {
            assert!(bucket.take(start, 1.0));
        }
        assert!(!bucket.take(start, 1.0));
        assert_eq!(header(&bucket, start, 1.0, 1), 0);
        // The reset is the time when the bucket is full again, not when one request is allowed.
        assert_eq!(header(&bucket, start, 1.0, 2), 1000 + 3600);
        assert!(bucket.take(start.plus_ms(1000), 1.0));
        assert!(!bucket.take(start.plus_ms(1000), 1.0));
    }

    #[test]
    fn scaled_time_scales_the_refill_and_speed_zero_never_runs_dry() {
        let start = Time(0);
        let mut bucket = Bucket::full(600, start);
        bucket.set(600, 0.0, start);
        assert!(!bucket.take(start.plus_ms(100), 1.0));
        bucket.set(600, 0.0, start);
        // 600 an hour at a hundredth of the time: one per 60 ms.
        assert!(bucket.take(start.plus_ms(61), 0.01));
        for _ in 0..10_000 {
            assert!(bucket.take(start, 0.0));
        }
    }
}
