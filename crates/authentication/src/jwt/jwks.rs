//! The keys of an issuer that publishes them at a URL: one task per issuer fetches, requests only read.
//!
//! One task makes it one flight at a time, however many requests name an unknown key, and its rest between two
//! attempts is the floor that garbage cannot get under. A set counts until the next one: a key that left it is not
//! honoured any more, and an issuer that does not answer, or with nothing that can be used, keeps its former keys. What
//! is wrong is logged when it begins, and not for each request that meets it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use url::Url;

use super::{Fault, key_set::KeySet};
use crate::AuthError;

/// How old a set may become before it is fetched again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The least time between the end of one attempt and the next one.
const FLOOR: Duration = Duration::from_secs(10);

/// How long an attempt may take; a request that needs its outcome waits no longer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Fetches key sets: the process has an HTTP client, this crate has none.
#[async_trait]
pub trait JwksFetcher: Send + Sync + 'static {
    /// The body of a 200 at this very URL, of at most `limit` bytes.
    ///
    /// # Errors
    /// Why there is none, in words for the log.
    async fn fetch(&self, url: &Url, limit: usize) -> Result<Vec<u8>, String>;
}

/// The keys as they were fetched last.
pub(super) struct RemoteKeys {
    /// The issuer's name.
    issuer: String,
    url: Url,
    state: watch::Sender<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    /// None until the first success.
    keys: Option<Arc<KeySet>>,
    attempts: u64,
    ended: Option<Instant>,
    failed: bool,
}

impl RemoteKeys {
    pub(super) fn new(issuer: &str, url: Url) -> Self {
        Self { issuer: issuer.to_owned(), url, state: watch::Sender::new(State::default()), wanted: Notify::new() }
    }

    /// Fetches for ever.
    pub(super) async fn run(self: Arc<Self>, fetcher: Arc<dyn JwksFetcher>) {
        loop {
            self.attempt(fetcher.as_ref()).await;
            let ended = Instant::now();
            // Those who wanted it meanwhile have it now.
            let _: Option<()> = self.wanted.notified().now_or_never();
            sleep_until(ended + FLOOR).await;
            if self.state.borrow().failed {
                continue;
            }
            tokio::select! {
                () = sleep_until(ended + MAX_AGE) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    async fn attempt(&self, fetcher: &dyn JwksFetcher) {
        let fetched = timeout(ATTEMPT, fetcher.fetch(&self.url, super::key_set::SET_BYTES)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", ATTEMPT.as_secs())));
        let keys =
            fetched.and_then(|bytes| KeySet::from_json(&bytes).map_err(|rule| format!("what it answers {rule}")));
        self.state.send_modify(|state| {
            let (issuer, url) = (self.issuer.as_str(), self.url.as_str());
            match keys {
                Ok(keys) => {
                    if state.failed || state.keys.is_none() {
                        tracing::info!(issuer, url, keys = keys.count(), "an issuer's keys are known");
                    }
                    if state.keys.as_ref().is_none_or(|former| !former.warns_like(&keys)) {
                        keys.warn(url);
                    }
                    (state.keys, state.failed) = (Some(Arc::new(keys)), false);
                }
                Err(error) => {
                    if !state.failed {
                        tracing::warn!(issuer, url, error, "an issuer's keys cannot be fetched; trying again");
                    }
                    state.failed = true;
                }
            }
            (state.attempts, state.ended) = (state.attempts + 1, Some(Instant::now()));
        });
    }

    /// The keys as they are known now.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    /// A set that knows the key. Where the present one does not, the outcome of one more attempt decides, unless the
    /// last one was a moment ago.
    pub(super) async fn knowing(&self, kid: Option<&str>) -> Result<Arc<KeySet>, AuthError> {
        let mut changes = self.state.subscribe();
        let seen = {
            let state = changes.borrow_and_update();
            let known = self.judge(&state, kid);
            if known.is_ok() || state.ended.is_some_and(|ended| ended.elapsed() < FLOOR) {
                return known;
            }
            state.attempts
        };
        self.wanted.notify_one();
        let state = changes.wait_for(|state| state.attempts > seen).await;
        let state = state.map_err(|_| AuthError::Unavailable("nobody fetches keys any more".to_owned()))?;
        self.judge(&state, kid)
    }

    /// Where the issuer cannot be asked, a key that is not known may be a new one: that is no verdict.
    fn judge(&self, state: &State, kid: Option<&str>) -> Result<Arc<KeySet>, AuthError> {
        match &state.keys {
            Some(keys) if keys.knows(kid) => Ok(Arc::clone(keys)),
            Some(_) if !state.failed => Err(Fault::UnknownKey.into()),
            _ => Err(AuthError::Unavailable(format!(
                "the keys of the issuer `{}` cannot be fetched at the moment",
                self.issuer
            ))),
        }
    }
}
