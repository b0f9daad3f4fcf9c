//! User data: what cloud-init reads at the first start.

use control_plane::kinds::Judgement;
use igw_polyfill::packing::{MOST_BYTES, for_provider};
use seca_api::violation::Violation;

use super::PROVIDER;

/// A violation when the user data is too long in either form that the provider takes.
pub(super) fn violation(judgement: &Judgement<'_>) -> Option<Violation> {
    let text = judgement.text("/userData").filter(|_| judgement.subject.changed("/userData"))?;
    let long = for_provider(text.to_owned()).err()?;
    let rule = format!(
        "userData must be at most {MOST_BYTES} bytes long, as it is or as base64 of gzip, because {} takes no more, but \
         has {} bytes, and {} as base64 of gzip; shorten it, or let it fetch the rest",
        PROVIDER.name, long.bytes, long.packed
    );
    Some(Violation::at("/spec/userData", rule))
}
