//! Tokens that were found to hold. A signature costs more than the rest of a small request, and clients send the same
//! token again and again.
//!
//! What is remembered is the verdict on one token by one set of keys: another set, a key less in it say, and the token
//! is judged anew; and its end is looked at each time. A token is known by its hash, so that none lies in memory, and
//! only tokens that hold take room.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use control_plane::service::Caller;
use lru::LruCache;
use ring::digest;
use seca_api::Timestamp;

use super::KeySet;

/// How many tokens are remembered, those used last.
const MOST: NonZeroUsize = NonZeroUsize::new(8_192).expect("it is not zero");

type Hash = [u8; 32];

/// The tokens of all issuers.
pub(super) struct Remembered(Mutex<LruCache<Hash, Verdict>>);

struct Verdict {
    caller: Caller,
    issuer: usize,
    keys: Arc<KeySet>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Remembered {
    /// Whom a token stands for, if that is known and holds still. `keys` are those of an issuer now.
    pub(super) fn find(
        &self,
        token: &str,
        now: Timestamp,
        keys: impl FnOnce(usize) -> Option<Arc<KeySet>>,
    ) -> Option<Caller> {
        let hash = hash(token);
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.get(&hash)?;
        let holds = verdict.caller.expires_at.is_some_and(|end| now < end)
            && keys(verdict.issuer).is_some_and(|keys| Arc::ptr_eq(&keys, &verdict.keys));
        if holds {
            return Some(verdict.caller.clone());
        }
        verdicts.pop(&hash);
        None
    }

    pub(super) fn remember(&self, token: &str, caller: &Caller, issuer: usize, keys: Arc<KeySet>) {
        let verdict = Verdict { caller: caller.clone(), issuer, keys };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(hash(token), verdict);
    }
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_its_token_its_keys_and_its_time() {
        let set = || Arc::new(KeySet::from_json(br#"{"keys":[]}"#).unwrap());
        let (keys, others, end) = (set(), set(), Timestamp::from_millis(1_000));
        let caller = Caller { expires_at: Some(end), ..Caller::new("ann") };
        let remembered = Remembered::default();
        let check = |token, now, keys: Option<&Arc<KeySet>>, holds: bool| {
            remembered.remember("token", &caller, 7, Arc::clone(&others));
            let found = remembered.find(token, Timestamp::from_millis(now), |issuer| {
                assert_eq!(issuer, 7);
                keys.cloned()
            });
            assert_eq!(found.as_ref(), holds.then_some(&caller), "{token} at {now}");
        };
        check("token", 999, Some(&others), true);
        check("tokem", 999, Some(&others), false);
        check("token", 1_000, Some(&others), false);
        check("token", 999, Some(&keys), false);
        check("token", 999, None, false);
    }
}
