//! Time, chance and ids.

use std::sync::Arc;

use seca_api::Timestamp;
use uuid::Builder;

use crate::resource::Uid;

/// The wall clock. Leases and queues use the database's time instead.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A source of random bytes, good enough for identifiers, tokens and nonces.
pub trait Rng: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);

    /// A number in `0.0..1.0`, for jitter.
    fn fraction(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Makes UUIDv7 identities out of a clock and a random source.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Ids {
    /// From a clock and a random source.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng }
    }

    /// A new identity.
    pub fn uid(&self) -> Uid {
        let mut random = [0; 10];
        self.rng.fill(&mut random);
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        Uid(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
