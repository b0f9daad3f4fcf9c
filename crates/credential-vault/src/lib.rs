#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod key;

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::ports::{KeySource, Rng, SealContext, Vault, VaultError};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use key::{KeyError, KeyTextError, parse_key, sealing_key};

/// The form that this vault writes, and the only one that it reads.
const FORM: &str = "enc:v2:";

/// [`Vault`] with AES-256-GCM and a ring of keys. The first key seals, every key opens.
pub struct CredentialVault {
    keys: Vec<RingKey>,
    rng: Arc<dyn Rng>,
}

struct RingKey {
    id: String,
    cipher: LessSafeKey,
}

impl CredentialVault {
    /// A vault with the keys of a source. The source's copies are wiped; the vault keeps the expanded form.
    ///
    /// # Errors
    /// When the source has no key, or two that bear the same id.
    pub fn new(source: &dyn KeySource, rng: Arc<dyn Rng>) -> Result<Self, KeyError> {
        let mut keys: Vec<RingKey> = Vec::new();
        for key in source.keys() {
            if keys.iter().any(|k| k.id == key.id) {
                return Err(KeyError::Twice(key.id));
            }
            let cipher = UnboundKey::new(&AES_256_GCM, key.bytes.as_slice()).map_err(|_| KeyError::Refused)?;
            keys.push(RingKey { id: key.id, cipher: LessSafeKey::new(cipher) });
        }
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self { keys, rng }) }
    }

    /// The id of the key that seals.
    pub fn current_key(&self) -> &str {
        self.keys.first().map_or("", |k| k.id.as_str())
    }
}

impl fmt::Debug for CredentialVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|k| k.id.as_str()).collect();
        f.debug_struct("CredentialVault").field("keys", &ids).finish_non_exhaustive()
    }
}

impl Vault for CredentialVault {
    fn seal(&self, secret: &SecretString, context: &SealContext) -> Result<String, VaultError> {
        let key = self.keys.first().ok_or(VaultError::Cipher)?;
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill(&mut nonce);

        // One buffer, long enough from the start: growing it would leave a copy of the token behind.
        let token = secret.expose_secret().as_bytes();
        let mut buffer = Zeroizing::new(Vec::with_capacity(NONCE_LEN + token.len() + AES_256_GCM.tag_len()));
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(token);
        let tag = key
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(context)),
                buffer.get_mut(NONCE_LEN..).ok_or(VaultError::Cipher)?,
            )
            .map_err(|_| VaultError::Cipher)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(format!("{FORM}{}:{}", key.id, STANDARD.encode(buffer.as_slice())))
    }

    fn open(&self, sealed: &str, context: &SealContext) -> Result<SecretString, VaultError> {
        let (id, text) = parts(sealed)?;
        let key = self.keys.iter().find(|k| k.id == id).ok_or_else(|| VaultError::UnknownKey(id.to_owned()))?;
        let mut bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| VaultError::Form)?);
        let (nonce, content) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(VaultError::Form)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Form)?;
        let plain = key
            .cipher
            .open_in_place(nonce, Aad::from(associated_data(context)), content)
            .map_err(|_| VaultError::Forged)?;
        let text = std::str::from_utf8(plain).map_err(|_| VaultError::Forged)?;
        Ok(SecretString::from(text))
    }

    fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_ok_and(|(id, _)| id == self.current_key())
    }
}

/// Key id and content of a sealed token. The id is short and plain, so that an error may repeat it: nothing
/// that was stored in the clear by mistake gets that far.
fn parts(sealed: &str) -> Result<(&str, &str), VaultError> {
    let (id, text) = sealed.strip_prefix(FORM).and_then(|rest| rest.split_once(':')).ok_or(VaultError::Form)?;
    let is_id = id.len() == key::ID_DIGITS && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok((id, text)) } else { Err(VaultError::Form) }
}

/// The row, in a form in which no two rows read the same: every part is preceded by its length.
fn associated_data(context: &SealContext) -> Vec<u8> {
    let mut data = FORM.as_bytes().to_vec();
    for part in [&context.tenant, &context.region, &context.workspace, &context.provider] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}
