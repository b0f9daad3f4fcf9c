//! How much of an answer is taken.
//!
//! The provider's real answers stay far below. What goes beyond is a fault of the provider, or of something on the way
//! to it, and must not cost this process its memory or its time.

use std::time::Duration;

/// Bytes of a body; a page of 50 servers has some 200,000.
pub(crate) const MAX_BODY: usize = 16 << 20;
/// Pages of a list, of 50 resources each.
pub(crate) const MAX_PAGES: u32 = 1000;
/// The longest pause that a refusal may ask for.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// Characters of a message for people; what follows is cut off.
pub(crate) const MAX_MESSAGE: usize = 1000;
/// Characters of an error code; the provider's longest has 33.
pub(crate) const MAX_CODE: usize = 100;

/// Fields or limits that an error names.
pub(crate) const MAX_NAMES: usize = 20;

/// A message of the provider's, cut to [`MAX_MESSAGE`].
pub(crate) fn clipped(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}
