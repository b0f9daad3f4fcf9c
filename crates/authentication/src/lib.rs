#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod admin_tokens;
mod followed;
mod jwt;
mod static_tokens;

use async_trait::async_trait;
use control_plane::service::Caller;
use http::{HeaderMap, header};
use ring::{digest, hmac};

pub use admin_tokens::{AdminTokens, DEFAULT_ADMIN};
pub use followed::Followed;
pub use jwt::{
    Algorithm, Fault, Issuer, Issuers, IssuersFileError, JwksFetcher, Jwt, KeyFileError, KeyLocation, KeySet, LEEWAY,
    RING, SET_BYTES,
};
pub use static_tokens::{StaticTokens, TokenFileError};

/// Why a request has no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential.
    #[error("the request has no credential; send the header `Authorization: Bearer <token>`")]
    Missing,
    /// Something else than one bearer token.
    #[error("the Authorization header must stand once and be `Bearer <token>`")]
    Malformed,
    /// A token that nobody was given, or that was withdrawn.
    #[error("the bearer token is not known here; ask the operator for a valid one")]
    Rejected,
    /// A signed token that does not hold.
    #[error("{0}")]
    Invalid(#[from] Fault),
    /// The decision could not be made.
    #[error("the credential could not be checked: {0}")]
    Unavailable(String),
}

impl AuthError {
    /// A word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::Invalid(_) => "invalid",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Finds the caller of a request in its headers.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The caller.
    ///
    /// # Errors
    /// [`AuthError`]; never a pass.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError>;
}

/// No authentication: everybody is `anonymous`. For loopback listeners only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Off;

#[async_trait]
impl Authenticator for Off {
    async fn authenticate(&self, _headers: &HeaderMap) -> Result<Caller, AuthError> {
        Ok(Caller::new("anonymous"))
    }
}

/// The bearer token of a request.
///
/// # Errors
/// [`AuthError::Missing`] and [`AuthError::Malformed`].
pub fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Malformed);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(AuthError::Malformed)?;
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if scheme.eq_ignore_ascii_case("bearer") && is_token { Ok(token) } else { Err(AuthError::Malformed) }
}

/// The SHA-256 of a token, in a form that is compared in constant time: as a key, whose signatures only match
/// when the keys do (ring's verification is constant-time).
#[derive(Clone)]
pub struct TokenHash(hmac::Key);

impl TokenHash {
    const PROBE: &'static [u8] = b"token comparison";

    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self::of_digest(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
    }

    /// Of the SHA-256 of one.
    pub fn of_digest(digest: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, digest))
    }

    /// Whether both are of the same token.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let signature = hmac::sign(&other.0, Self::PROBE);
        hmac::verify(&self.0, Self::PROBE, signature.as_ref()).is_ok()
    }
}
