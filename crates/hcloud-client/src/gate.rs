//! A last look before a change is sent.
//!
//! A change may wait for the budget for seconds, and a process may be stopped for hours in the middle of that wait.
//! What was true when the call was decided may be false by then. Only the caller knows what must still hold, so the
//! caller brings the question, and the client asks it when nothing but the sending is left.

use async_trait::async_trait;
use thiserror::Error;

/// Decides whether a change may still be sent, and hears of what was; see [`crate::ProjectClient::gated`].
#[async_trait]
pub trait Gate: Send + Sync {
    /// Asked for each request that changes something (any method but `GET`): after the budget let it through and
    /// immediately before it is handed to [`crate::HcloudApi::send`]. A request that is repeated asks again.
    ///
    /// The answer holds for that one request. The request keeps its place in the budget while this is pending, so
    /// answer soon, and answer no when the question cannot be answered.
    ///
    /// # Errors
    /// [`Closed`] if the request must not be sent. The call ends with [`crate::Error::NotSent`].
    async fn may_send(&self) -> Result<(), Closed>;

    /// Told of each request that is sent, reads and repetitions too; not of one that was not sent.
    fn sent(&self) {}
}

/// A [`Gate`] let a change not pass. The text is for people and continues "not sent: ".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Closed(pub String);
