//! Tokens that were found to hold. A signature costs more than the rest of a small request, and clients send the same
//! token again and again.
//!
//! What is remembered is the verdict on one token by one set of keys: another set, a key less in it say, and the token
//! is judged anew; and its end is looked at each time. A token is known by its hash, so that none lies in memory, and
//! only tokens that hold take room. The room has a bound by number and one by length: a verdict holds the names of its
//! token's claims, so it is as large as its token makes it.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use control_plane::service::Caller;
use lru::LruCache;
use ring::digest;
use seca_api::Timestamp;

use super::KeySet;

/// How many tokens are remembered, those used last.
const MOST: NonZeroUsize = NonZeroUsize::new(8_192).expect("it is not zero");

/// How many bytes these tokens have together: 512 each, and usual ones are all remembered. In memory a verdict takes up to
/// some ten times its token, when that lists many short names.
const MOST_BYTES: usize = MOST.get() * 512;

type Hash = [u8; 32];

/// The tokens of all issuers.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Verdicts>);

/// What is remembered, and how long its tokens are together.
struct Verdicts {
    by_token: LruCache<Hash, Verdict>,
    bytes: usize,
}

struct Verdict {
    caller: Caller,
    issuer: usize,
    /// A set that was replaced is not kept for its verdicts, which hold no more.
    keys: Weak<KeySet>,
    /// How long the token is.
    bytes: usize,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self { by_token: LruCache::new(MOST), bytes: 0 }
    }
}

impl Verdicts {
    fn put(&mut self, hash: Hash, verdict: Verdict) {
        self.bytes += verdict.bytes;
        // The former verdict on this token, or the one used longest ago where there are too many.
        if let Some((_, gone)) = self.by_token.push(hash, verdict) {
            self.bytes -= gone.bytes;
        }
        while self.bytes > MOST_BYTES
            && let Some((_, gone)) = self.by_token.pop_lru()
        {
            self.bytes -= gone.bytes;
        }
    }

    fn forget(&mut self, hash: &Hash) {
        if let Some(gone) = self.by_token.pop(hash) {
            self.bytes -= gone.bytes;
        }
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
        let verdict = verdicts.by_token.get(&hash)?;
        let holds = verdict.caller.expires_at.is_some_and(|end| now < end)
            && keys(verdict.issuer).is_some_and(|keys| Weak::as_ptr(&verdict.keys) == Arc::as_ptr(&keys));
        if holds {
            return Some(verdict.caller.clone());
        }
        verdicts.forget(&hash);
        None
    }

    pub(super) fn remember(&self, token: &str, caller: &Caller, issuer: usize, keys: &Arc<KeySet>) {
        let verdict = Verdict { caller: caller.clone(), issuer, keys: Arc::downgrade(keys), bytes: token.len() };
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
            remembered.remember("token", &caller, 7, &others);
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

    #[test]
    fn what_is_remembered_is_bounded_by_number_and_by_length() {
        let keys = Arc::new(KeySet::from_json(br#"{"keys":[]}"#).unwrap());
        let remembered = Remembered::default();
        let remember = |token: &str| remembered.remember(token, &Caller::new("ann"), 0, &keys);
        // By number and by length, of all that is remembered.
        let room = || {
            let verdicts = remembered.0.lock().unwrap();
            assert_eq!(verdicts.bytes, verdicts.by_token.iter().map(|(_, verdict)| verdict.bytes).sum::<usize>());
            (verdicts.by_token.len(), verdicts.bytes)
        };
        for at in 0..MOST.get() + 10 {
            remember(&format!("{at:010}"));
        }
        assert_eq!(room(), (MOST.get(), MOST.get() * 10));
        let long = |at: usize| format!("{at:08192}");
        for at in 0..MOST.get() / 4 {
            remember(&long(at));
        }
        assert_eq!(room(), (MOST_BYTES / 8_192, MOST_BYTES));
        remember(&long(MOST.get() / 4 - 1));
        assert_eq!(room().1, MOST_BYTES, "a token that is there takes no more room");
        // It has no end, so it does not hold, and goes.
        assert_eq!(remembered.find(&long(MOST.get() / 4 - 1), Timestamp::default(), |_| None), None);
        assert_eq!(room().1, MOST_BYTES - 8_192);
    }
}
