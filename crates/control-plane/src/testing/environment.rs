//! Time and chance for tests: tokio's clock, which can be paused, and numbers that a seed repeats.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use seca_api::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::ports::{Clock, Gate, Rng, SealContext, Vault, VaultError};

/// A wall clock that follows tokio's, so that paused time pauses it too.
pub struct TokioClock {
    base: Timestamp,
    start: Instant,
}

impl TokioClock {
    /// A clock that shows `base` now.
    pub fn new(base: Timestamp) -> Self {
        Self { base, start: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_790_000_000_000))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base.plus(self.start.elapsed())
    }
}

/// SplitMix64: the same seed, the same numbers.
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True once in `n` times.
    pub fn one_in(&self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.next() % n
    }
}

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// A gate that lets everything through.
pub struct OpenGate;

#[async_trait]
impl Gate for OpenGate {
    async fn may_send(&self) -> Result<(), String> {
        Ok(())
    }

    fn sent(&self) {}
}

/// A vault that keeps nothing secret.
pub struct PlainVault;

impl Vault for PlainVault {
    fn seal(&self, secret: &SecretString, context: &SealContext) -> Result<String, VaultError> {
        Ok(format!("{}/{}", context.workspace, secret.expose_secret()))
    }

    fn open(&self, sealed: &str, context: &SealContext) -> Result<SecretString, VaultError> {
        let secret = sealed.strip_prefix(&context.workspace).and_then(|rest| rest.strip_prefix('/'));
        secret.map(SecretString::from).ok_or(VaultError::Forged)
    }

    fn is_current(&self, _sealed: &str) -> bool {
        true
    }
}
