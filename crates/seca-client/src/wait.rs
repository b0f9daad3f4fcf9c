//! Waiting for a resource.
//!
//! The server holds a read of a resource in transition until something changes (`Prefer: wait`), so that waiting
//! costs few calls and no delay; a server that does not know that is asked again after an interval. The first question
//! is to be answered at once: what is waited for may be there already, and who is told of progress sees where it begins.

use std::time::Duration;

use seca_api::{Conditions, ResourceState, StatusCondition};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{collection::Collection, error::Error, resource::ApiResource};

type Progress<'a> = Box<dyn FnMut(&StatusCondition) + Send + 'a>;

/// How to wait, and whom to tell.
pub struct Wait<'a> {
    limit: Duration,
    interval: Duration,
    hold: Duration,
    progress: Option<Progress<'a>>,
}

impl<'a> Wait<'a> {
    /// Waits no longer than this. Asks again 200 ms after each answer, and lets the server hold it for 5 s.
    pub const fn up_to(limit: Duration) -> Self {
        Self { limit, interval: Duration::from_millis(200), hold: Duration::from_secs(5), progress: None }
    }

    /// The same with another pause between an answer and the next question.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// The same with another time for the server to hold an answer: whole seconds up to 30, zero for not at all. A new
    /// message ends no holding, so that progress is told of later the longer this is.
    #[must_use]
    pub fn hold(self, hold: Duration) -> Self {
        Self { hold, ..self }
    }

    /// The same, telling of every condition that comes into view, the oldest first, and of every new message.
    #[must_use]
    pub fn on_progress(self, tell: impl FnMut(&StatusCondition) + Send + 'a) -> Self {
        Self { progress: Some(Box::new(tell)), ..self }
    }
}

/// What is told of and remembered between two answers.
struct Watch<'a> {
    progress: Option<Progress<'a>>,
    newest: Option<StatusCondition>,
    last: String,
}

impl Watch<'_> {
    fn see(&mut self, conditions: &[StatusCondition]) {
        let is_known = |one: &StatusCondition| {
            self.newest
                .as_ref()
                .is_some_and(|known| known.state == one.state && known.last_transition_at == one.last_transition_at)
        };
        let new = conditions.iter().position(is_known).unwrap_or(conditions.len());
        let has_new_message = new == 0 && conditions.first() != self.newest.as_ref();
        let told = if has_new_message { 1 } else { new };
        if let Some(tell) = &mut self.progress {
            conditions[..told].iter().rev().for_each(tell);
        }
        if let Some(newest) = conditions.first() {
            self.last = describe(newest);
            self.newest = Some(newest.clone());
        }
    }
}

impl<R: ApiResource> Collection<R> {
    /// Waits until a resource is as wanted.
    ///
    /// # Errors
    /// [`Error::Deadline`], and what a read fails with; failures that may pass are waited out.
    pub async fn wait_until(
        &self,
        name: &str,
        wait: Wait<'_>,
        mut is_done: impl FnMut(&R) -> bool,
    ) -> Result<R, Error> {
        self.watch(name, "as wanted", wait, |answer| {
            let resource = answer?;
            Ok(is_done(&resource).then_some(resource))
        })
        .await
    }

    /// Waits until a resource is active.
    ///
    /// # Errors
    /// [`Error::Failed`] when it enters the state `error`, though the server goes on trying;
    /// [`Error::Deadline`], and what a read fails with.
    pub async fn wait_active(&self, name: &str, wait: Wait<'_>) -> Result<R, Error> {
        self.watch(name, "active", wait, |answer| {
            let resource = answer?;
            match resource.status().and_then(Conditions::state) {
                Some(ResourceState::Active) => Ok(Some(resource)),
                Some(ResourceState::Error) => {
                    let why = resource.conditions().first().map_or_else(|| "without a word".to_owned(), describe);
                    Err(Error::Failed { what: resource.metadata().resource.clone(), why })
                }
                _ => Ok(None),
            }
        })
        .await
    }

    /// Waits until a resource is gone.
    ///
    /// # Errors
    /// [`Error::Deadline`], and what a read fails with.
    pub async fn wait_gone(&self, name: &str, wait: Wait<'_>) -> Result<(), Error> {
        self.watch(name, "gone", wait, |answer| match answer {
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(Some(())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Reads until a judgement is made, a failure is for good, or time is up.
    async fn watch<T>(
        &self,
        name: &str,
        wanted: &'static str,
        wait: Wait<'_>,
        mut judge: impl FnMut(Result<R, Error>) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + wait.limit;
        let mut watch = Watch { progress: wait.progress, newest: None, last: "nothing".to_owned() };
        let mut hold = Duration::ZERO;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = timeout_at(deadline, self.read(name, Some(hold.min(left)))).await;
            hold = wait.hold;
            match answer {
                Ok(Err(error)) if error.is_transient() => watch.last = error.to_string(),
                Ok(answer) => {
                    if let Ok(resource) = &answer {
                        watch.see(resource.conditions());
                    }
                    if let Some(judgement) = judge(answer)? {
                        return Ok(judgement);
                    }
                }
                Err(_) => {}
            }
            let next = Instant::now() + wait.interval;
            if next >= deadline {
                let what = format!("{}/{name}", R::KIND.collection());
                return Err(Error::Deadline { what, wanted, waited: wait.limit, last: watch.last });
            }
            sleep_until(next).await;
        }
    }
}

fn describe(condition: &StatusCondition) -> String {
    let mut text = condition.state.to_string();
    if let Some(reason) = &condition.reason {
        text.push_str(&format!(" ({reason})"));
    }
    if let Some(message) = &condition.message {
        text.push_str(&format!(": {message}"));
    }
    text
}
