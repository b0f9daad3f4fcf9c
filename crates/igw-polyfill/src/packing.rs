//! The limit of user data, and how longer text fits in.

use std::io::{Read as _, Write as _};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

/// The most bytes of user data that Hetzner Cloud takes.
pub const MOST_BYTES: usize = 32 * 1024;
/// The most bytes that a packed text of a user may unpack to. More than 100 times the limit is no user data.
pub const MOST_UNPACKED_BYTES: u64 = 4 * 1024 * 1024;

/// Text that no form of user data holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its length in bytes.
    pub bytes: usize,
    /// Its length in bytes as base64 of gzip.
    pub packed: usize,
}

/// Text as the provider gets it: as it is, or as base64 of gzip where it is longer than [`MOST_BYTES`]. cloud-init
/// unpacks both in the machine.
///
/// # Errors
/// When even the packed text is too long.
pub fn for_provider(text: String) -> Result<String, TooLong> {
    if text.len() <= MOST_BYTES {
        return Ok(text);
    }
    let packed = pack(text.as_bytes());
    if packed.len() <= MOST_BYTES { Ok(packed) } else { Err(TooLong { bytes: text.len(), packed: packed.len() }) }
}

/// Base64 of gzip. The same bytes always become the same: no time stands in it.
pub fn pack(bytes: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    STANDARD.encode(encoder.finish().unwrap_or_default())
}

/// As Hetzner's data source of cloud-init reads base64: nothing but the alphabet, and padding, but loose last bits.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Text that could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It begins as gzip, and is none.
    Gzip,
    /// It unpacks to more than [`MOST_UNPACKED_BYTES`].
    Bomb,
}

/// What cloud-init reads: base64 of the whole undone, then gzip.
pub(crate) fn unpack(user: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let is_gzip = |bytes: &[u8]| bytes.starts_with(&[0x1f, 0x8b]);
    let plain = match LOOSE.decode(user) {
        Ok(decoded) if !decoded.is_empty() && !is_gzip(user) => decoded,
        _ => user.to_vec(),
    };
    if !is_gzip(&plain) {
        return Ok(plain);
    }
    let mut bytes = Vec::new();
    let mut reader = MultiGzDecoder::new(plain.as_slice()).take(MOST_UNPACKED_BYTES + 1);
    match reader.read_to_end(&mut bytes) {
        Err(_) => Err(Unreadable::Gzip),
        Ok(length) if length as u64 > MOST_UNPACKED_BYTES => Err(Unreadable::Bomb),
        Ok(_) => Ok(bytes),
    }
}

/// Base64 in lines, as a part of a message holds it.
pub(crate) fn lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut lines = String::with_capacity(text.len() + text.len() / 76 + 1);
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index % 76 == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines.push('\n');
    lines
}
