//! Actions.

use futures::future::try_join_all;
use http::Method;

use crate::budget::Priority;
use crate::error::Error;
use crate::poller::IDS_PER_CALL;
use crate::project::{Call, ProjectClient};
use crate::types::{Action, Id, Resource};

impl ProjectClient {
    /// Actions by id, 25 a call. Those the provider no longer lists are missing from the answer.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn actions(&self, ids: &[Id<Action>]) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_CALL) {
            let answer = self
                .call(Call {
                    method: Method::GET,
                    path: "/actions".to_owned(),
                    query: chunk.iter().map(|id| ("id".to_owned(), id.to_string())).collect(),
                    body: None,
                    priority: Priority::ActionPoll,
                })
                .await?;
            actions.extend(answer.required::<Vec<Action>>(&answer.envelope()?, Action::PLURAL)?);
        }
        Ok(actions)
    }

    /// Waits until an action just accepted has ended, well or badly: look at its status.
    ///
    /// # Errors
    /// [`Error::ActionGone`] if the provider no longer lists it: read the resource. Otherwise as of
    /// any read; the action may still be running then, and can be waited for again.
    pub async fn wait(&self, action: &Action) -> Result<Action, Error> {
        if action.is_finished() {
            return Ok(action.clone());
        }
        self.poller().wait(self, action.id, Some(action)).await
    }

    /// Waits for several actions, as [`wait`](Self::wait) does for one.
    ///
    /// # Errors
    /// The first error of any.
    pub async fn wait_all<'a>(&self, actions: impl IntoIterator<Item = &'a Action>) -> Result<Vec<Action>, Error> {
        try_join_all(actions.into_iter().map(|action| self.wait(action))).await
    }

    /// Waits for an action of which only the id is left, after a restart: it is looked at at once.
    ///
    /// # Errors
    /// As of [`wait`](Self::wait).
    pub async fn wait_for_id(&self, id: Id<Action>) -> Result<Action, Error> {
        self.poller().wait(self, id, None).await
    }
}
