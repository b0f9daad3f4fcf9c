//! The keys that seal provider tokens, as the settings name them.

use control_plane::ports::{KeySource, SealingKey};
use credential_vault::{KeyTextError, parse_key, sealing_key};
use ring::hmac;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The current key first, then those that are still read.
#[derive(Default)]
pub(crate) struct Keys(Vec<(String, Zeroizing<[u8; 32]>)>);

/// Why a key cannot join the others.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyProblem {
    #[error("{0}")]
    Text(#[from] KeyTextError),
    #[error("it is listed already")]
    Twice,
}

impl Keys {
    /// Adds a key in base64; the first one seals.
    pub(crate) fn add(&mut self, text: &SecretString) -> Result<(), KeyProblem> {
        let key = parse_key(text)?;
        if self.0.iter().any(|(id, _)| *id == key.id) {
            return Err(KeyProblem::Twice);
        }
        self.0.push((key.id, key.bytes));
        Ok(())
    }

    /// A key for another purpose, which says nothing of the current one; the same in all replicas.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let current = self.0.first().map_or([0; 32].as_slice(), |(_, bytes)| bytes.as_slice());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, current), purpose.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    /// The ids, the current one first. They say nothing of the keys.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|(id, _)| id.as_str()).collect()
    }
}

impl KeySource for Keys {
    fn keys(&self) -> Vec<SealingKey> {
        self.0.iter().map(|(_, bytes)| sealing_key(**bytes)).collect()
    }
}
