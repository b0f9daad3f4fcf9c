//! Secrets at rest.

use secrecy::SecretString;
use zeroize::Zeroizing;

/// What a sealed secret is bound to: moved to another row it no longer opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealContext {
    /// The tenant.
    pub tenant: String,
    /// The region.
    pub region: String,
    /// The workspace.
    pub workspace: String,
    /// The provider's id ([`crate::ports::Provider::id`]).
    pub provider: String,
}

/// Seals and opens secrets.
pub trait Vault: Send + Sync {
    /// Seals a secret under the current key: `enc:v2:<key id>:<base64>`.
    ///
    /// # Errors
    /// When the cipher refuses, which only a broken key makes it do.
    fn seal(&self, secret: &SecretString, context: &SealContext) -> Result<String, VaultError>;

    /// Opens what was sealed for the same context, under the current key or an old one that is still read.
    ///
    /// # Errors
    /// When the form is unknown, the key is, or the content or its context is not what was sealed.
    fn open(&self, sealed: &str, context: &SealContext) -> Result<SecretString, VaultError>;

    /// Whether the text is sealed under the current key.
    fn is_current(&self, sealed: &str) -> bool;
}

/// Why a secret could not be sealed or opened. Never says anything of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not of the form `enc:v2:<key id>:<base64>`.
    #[error(
        "the stored token is not in the form enc:v2 (plain and enc:v1 tokens are not read); bind the workspace again"
    )]
    Form,
    /// No key with this id is configured.
    #[error(
        "the stored token is sealed with key {0}, which is not configured; add it to SECA_CREDENTIALS_KEYS_OLD or bind the workspace again"
    )]
    UnknownKey(String),
    /// Content or context differ from what was sealed.
    #[error(
        "the stored token does not open: it was changed, or belongs to another workspace; bind the workspace again"
    )]
    Forged,
    /// The cipher refused.
    #[error("the token could not be sealed; check SECA_CREDENTIALS_KEY")]
    Cipher,
}

/// One AES-256 key.
pub struct SealingKey {
    /// A short public name, derived from the key.
    pub id: String,
    /// 32 bytes.
    pub bytes: Zeroizing<[u8; 32]>,
}

/// Where the keys of the vault come from.
pub trait KeySource: Send + Sync {
    /// The key that seals, first, and then those that are only read.
    fn keys(&self) -> Vec<SealingKey>;
}
