//! What the client needs from the world around it besides the network: wall time, to read
//! `RateLimit-Reset`, and randomness, to spread retries. Callers bring both, so that tests repeat.

use std::sync::Arc;

use time::OffsetDateTime;

/// Wall time and randomness.
pub trait Environment: Send + Sync {
    /// Now.
    fn now(&self) -> OffsetDateTime;

    /// A uniform number in `0.0..1.0`.
    fn random(&self) -> f64;
}

struct Functions<N, R> {
    now: N,
    random: R,
}

impl<N, R> Environment for Functions<N, R>
where
    N: Fn() -> OffsetDateTime + Send + Sync,
    R: Fn() -> f64 + Send + Sync,
{
    fn now(&self) -> OffsetDateTime {
        (self.now)()
    }

    fn random(&self) -> f64 {
        (self.random)()
    }
}

/// An [`Environment`] of two closures.
pub fn environment<N, R>(now: N, random: R) -> Arc<dyn Environment>
where
    N: Fn() -> OffsetDateTime + Send + Sync + 'static,
    R: Fn() -> f64 + Send + Sync + 'static,
{
    Arc::new(Functions { now, random })
}
