//! Where this process touches the world's time and chance: the only place that does.
#![allow(clippy::disallowed_methods, reason = "the binary's edge, where the ports get their real implementations")]

use std::time::{SystemTime, UNIX_EPOCH};

use control_plane::ports::{Clock, Rng};
use ring::rand::{SecureRandom as _, SystemRandom};
use seca_api::Timestamp;

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's random source.
#[derive(Clone, Debug)]
pub(crate) struct SystemRng(SystemRandom);

impl SystemRng {
    /// Opens it.
    pub(crate) fn new() -> Self {
        Self(SystemRandom::new())
    }

    /// So many random bytes, as text of letters and digits: a token.
    pub(crate) fn token(&self, bytes: usize) -> String {
        let mut random = vec![0; bytes];
        self.fill(&mut random);
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Rng for SystemRng {
    /// Ends the process when there is no chance to be had: a predictable nonce or token would give secrets away.
    fn fill(&self, buffer: &mut [u8]) {
        if self.0.fill(buffer).is_err() {
            tracing::error!("the system's random source failed; stopping, because nothing can be sealed safely");
            std::process::abort();
        }
    }
}
