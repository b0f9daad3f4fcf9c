//! Keys: their text form, their ids, and what can be wrong with them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::ports::SealingKey;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Hex digits of a key id.
pub(crate) const ID_DIGITS: usize = 8;

/// Separates this use of SHA-256 from every other, so that the id is good for nothing but telling keys apart.
const ID_DOMAIN: &[u8] = b"secapi-proxy-hetzner credential key id v2\0";

/// Why a ring of keys is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key at all.
    #[error("no key to seal tokens with; set SECA_CREDENTIALS_KEY to 32 random bytes in base64")]
    None,
    /// The same key twice.
    #[error("key {0} is listed twice; remove it from SECA_CREDENTIALS_KEYS_OLD")]
    Twice(String),
    /// The cipher does not take it.
    #[error("the cipher refuses a key; it must be 32 bytes")]
    Refused,
}

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Not base64.
    #[error("it is not base64")]
    Base64,
    /// Not 32 bytes.
    #[error("it has {0} bytes, not 32")]
    Length(usize),
}

/// A key and its id.
pub fn sealing_key(bytes: [u8; 32]) -> SealingKey {
    let bytes = Zeroizing::new(bytes);
    let mut input = Zeroizing::new(Vec::with_capacity(ID_DOMAIN.len() + bytes.len()));
    input.extend_from_slice(ID_DOMAIN);
    input.extend_from_slice(bytes.as_slice());
    let hash = digest(&SHA256, &input);
    let id = hash.as_ref().iter().take(ID_DIGITS / 2).map(|b| format!("{b:02x}")).collect();
    SealingKey { id, bytes }
}

/// Reads a key from base64, as `openssl rand -base64 32` prints it.
///
/// # Errors
/// When it is not base64 of 32 bytes. The error does not repeat the text.
pub fn parse_key(text: &SecretString) -> Result<SealingKey, KeyTextError> {
    let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret().trim()).map_err(|_| KeyTextError::Base64)?);
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyTextError::Length(bytes.len()))?;
    Ok(sealing_key(bytes))
}
