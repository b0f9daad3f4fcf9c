//! User data: what cloud-init reads at the first start.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use seca_api::violation::Violation;

use crate::kinds::Judgement;

/// The most bytes of user data that Hetzner Cloud takes.
const MOST_BYTES: usize = 32 * 1024;

/// User data as the provider gets it: as it was sent if that is short enough, else packed, as base64 of gzip, which
/// cloud-init unpacks in the guest by itself. None if even that is too long.
///
/// The same text always becomes the same: no time stands in it.
pub fn user_data_for_provider(text: &str) -> Option<String> {
    if text.len() <= MOST_BYTES {
        return Some(text.to_owned());
    }
    packed(text).filter(|packed| packed.len() <= MOST_BYTES)
}

fn packed(text: &str) -> Option<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    encoder.write_all(text.as_bytes()).ok()?;
    Some(STANDARD.encode(encoder.finish().ok()?))
}

/// A violation when the user data is too long for the provider in either form.
pub(super) fn violation(judgement: &Judgement<'_>) -> Option<Violation> {
    let text = judgement.text("/userData").filter(|_| judgement.subject.changed("/userData"))?;
    if user_data_for_provider(text).is_some() {
        return None;
    }
    let rule = format!(
        "userData must be at most {MOST_BYTES} bytes long, as it is or as base64 of gzip, because Hetzner Cloud takes no \
         more, but has {} bytes, and {} as base64 of gzip; shorten it, or let it fetch the rest",
        text.len(),
        packed(text).map_or(0, |packed| packed.len())
    );
    Some(Violation::at("/spec/userData", rule))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// What cloud-init makes of it: base64 if it can be read as such, then gzip by its first bytes.
    fn unpacked(sent: &str) -> String {
        let bytes = STANDARD.decode(sent).unwrap();
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        text
    }

    /// Text that does not get shorter.
    fn noise(length: usize) -> String {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + u8::try_from((state >> 16) % 90).unwrap())
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn only_what_is_too_long_is_packed() {
        let longest = noise(MOST_BYTES);
        assert_eq!(user_data_for_provider(&longest).as_deref(), Some(longest.as_str()));
        let script = "#!/bin/sh\n".to_owned() + &"echo hello\n".repeat(5_900);
        assert!(script.len() > MOST_BYTES);
        let sent = user_data_for_provider(&script).unwrap();
        assert!(sent.len() < MOST_BYTES);
        assert_eq!(unpacked(&sent), script);
        assert_eq!(user_data_for_provider(&script), Some(sent));
        assert_eq!(user_data_for_provider(&noise(MOST_BYTES + 1)), None);
        // Bytes count, not characters.
        let letters = "ü".repeat(MOST_BYTES / 2 + 1);
        assert_eq!(unpacked(&user_data_for_provider(&letters).unwrap()), letters);
    }

    proptest! {
        #[test]
        fn what_fits_is_never_changed(text in "\\PC{0,200}") {
            prop_assert_eq!(user_data_for_provider(&text), Some(text));
        }
    }
}
