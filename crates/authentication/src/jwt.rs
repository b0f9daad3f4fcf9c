//! Signed bearer tokens (RFC 7519) of one or more issuers.
//!
//! A token is judged from the outside in, and what is cheap comes first: size, header, claims, and then the signature
//! with a key that its issuer published. Nothing of a token says where a key is: `kid` looks it up among the issuer's,
//! `jku`, `x5u` and `jwk` are not read. The library checks the form, the algorithm and the signature; time and claims
//! are judged in [`claims`], by the clock of this process and more strictly.

mod claims;
mod issuers;
mod jwks;
mod key_set;
mod remembered;
mod ring_provider;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use control_plane::{ports::Clock, service::Caller};
use http::HeaderMap;
use jsonwebtoken::{Header, Validation, dangerous::insecure_decode_claims, decode, decode_header};
use serde::de::IgnoredAny;
use tokio_util::{sync::CancellationToken, sync::DropGuard};

pub use claims::LEEWAY;
pub use issuers::{Issuer, Issuers, IssuersFileError, KeyLocation};
pub use jwks::JwksFetcher;
pub use key_set::{Algorithm, KeyFileError, KeySet, SET_BYTES};
pub use ring_provider::RING;

use super::{AuthError, Authenticator, Followed, bearer};
use claims::Claims;
use jwks::RemoteKeys;
use remembered::Remembered;

/// The most bytes of a token.
const TOKEN_BYTES: usize = 8 * 1024;

/// Why a signed token does not hold. What it says comes from here and not from the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too long.
    #[error("the bearer token is longer than {TOKEN_BYTES} bytes; ask its issuer for one with fewer claims")]
    TooLong,
    /// Not of the form.
    #[error(
        "the bearer token is no signed JWT of an algorithm that is known here; ask an issuer of this installation for one"
    )]
    Form,
    /// Its header wants something of us that we do not know.
    #[error("the token's header has `crit`, and no extension is known here; ask its issuer for one without")]
    Critical,
    /// It is a JWT for something else.
    #[error("the token's header has a `typ` other than JWT and at+jwt; send an access token")]
    Type,
    /// Its issuer does not sign like this.
    #[error("the token is signed in a way that is not agreed with its issuer; see the `algorithms` of the issuer")]
    Algorithm,
    /// Nobody whom we trust.
    #[error("the token's `iss` is no issuer of this installation; get a token from one that is")]
    Issuer,
    /// Not for us.
    #[error("the token's `aud` does not name this installation; ask its issuer for a token that does")]
    Audience,
    /// Over.
    #[error("the token has expired; get a new one")]
    Expired,
    /// Not begun.
    #[error("the token's `nbf` is in the future; wait, or set the clocks")]
    NotYet,
    /// Nobody whom a role could name.
    #[error("the token's `sub` must be there, with 1 to 128 printable characters, the issuer's name included")]
    Subject,
    /// A claim of another type.
    #[error("the token's claim `{0}` must be {1}; ask its issuer for one that is")]
    Claim(&'static str, &'static str),
    /// A key that its issuer does not publish.
    #[error("the token is signed with a key that its issuer does not publish (any more); get a new one")]
    UnknownKey,
    /// The signature is of another key or of other claims.
    #[error("the token's signature is not that of its issuer; get a new one")]
    Signature,
}

/// Authenticates the bearers of signed tokens.
pub struct Jwt {
    issuers: Vec<(Issuer, Keys)>,
    qualify_subjects: bool,
    clock: Arc<dyn Clock>,
    remembered: Remembered,
    _fetching: DropGuard,
}

/// Where the keys of an issuer come from.
enum Keys {
    Remote(Arc<RemoteKeys>),
    File(Box<Followed<KeySet>>),
}

impl Jwt {
    /// Reads key files, and begins to fetch key sets, until it is dropped. Needs a Tokio runtime, and [`RING`] to be
    /// installed.
    ///
    /// # Errors
    /// [`KeyFileError`]. A URL that does not answer is no error: until it does, its tokens are neither accepted nor
    /// refused ([`AuthError::Unavailable`]).
    pub fn start(
        issuers: &Issuers,
        fetcher: &Arc<dyn JwksFetcher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyFileError> {
        let stop = CancellationToken::new();
        let mut known = Vec::new();
        for issuer in issuers.iter() {
            let keys = match &issuer.keys {
                KeyLocation::File(path) => {
                    KeySet::load(path)?;
                    Keys::File(Box::new(Followed::open(path, KeySet::follow as fn(&Path) -> _)?))
                }
                KeyLocation::Url(url) => {
                    let keys = Arc::new(RemoteKeys::new(&issuer.name, url.clone()));
                    let fetching = Arc::clone(&keys).run(Arc::clone(fetcher));
                    tokio::spawn(stop.clone().run_until_cancelled_owned(fetching));
                    Keys::Remote(keys)
                }
            };
            known.push((issuer.clone(), keys));
        }
        let qualify_subjects = issuers.qualify_subjects();
        let remembered = Remembered::default();
        Ok(Self { issuers: known, qualify_subjects, clock, remembered, _fetching: stop.drop_guard() })
    }

    /// Whom a token stands for.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], or [`AuthError::Unavailable`] when the issuer's keys cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(Fault::TooLong.into());
        }
        let now = self.clock.now();
        if let Some(caller) = self.remembered.find(token, now, |issuer| self.current_keys(issuer)) {
            return Ok(caller);
        }
        let header = header(token)?;
        let claims: Claims = insecure_decode_claims(token).map_err(|_| Fault::Form)?;
        let iss = claims.issuer()?;
        let index = self.issuers.iter().position(|(issuer, _)| issuer.issuer == iss).ok_or(Fault::Issuer)?;
        let (issuer, keys) = self.issuers.get(index).ok_or(Fault::Issuer)?;
        let algorithm = issuer.algorithms.iter().find(|algorithm| algorithm.named() == header.alg);
        let algorithm = *algorithm.ok_or(Fault::Algorithm)?;
        // Before the keys: what could not pass anyway makes nobody fetch any.
        let caller = claims.judge(issuer, self.qualify_subjects, now)?;
        let keys = keys.knowing(header.kid.as_deref()).await?;
        check_signature(token, &keys, header.kid.as_deref(), algorithm)?;
        self.remembered.remember(token, &caller, index, &keys);
        Ok(caller)
    }

    /// The keys of an issuer as they are known now.
    fn current_keys(&self, issuer: usize) -> Option<Arc<KeySet>> {
        match &self.issuers.get(issuer)?.1 {
            Keys::Remote(keys) => keys.current(),
            Keys::File(keys) => Some(keys.current()),
        }
    }
}

fn header(token: &str) -> Result<Header, Fault> {
    let header = decode_header(token).map_err(|_| Fault::Form)?;
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    // Others are for other uses (a proof of possession, a logout): RFC 8725, 3.11.
    if matches!(typ, None | Some("jwt" | "at+jwt")) { Ok(header) } else { Err(Fault::Type) }
}

fn check_signature(token: &str, keys: &KeySet, kid: Option<&str>, algorithm: Algorithm) -> Result<(), Fault> {
    let mut validation = Validation::new(algorithm.named());
    // The library would ask the system's clock, and takes claims of unexpected types: all of it is judged already.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    validation.required_spec_claims.clear();
    let signed = keys.candidates(kid, algorithm).any(|key| decode::<IgnoredAny>(token, key, &validation).is_ok());
    if signed { Ok(()) } else { Err(Fault::Signature) }
}

impl Keys {
    async fn knowing(&self, kid: Option<&str>) -> Result<Arc<KeySet>, AuthError> {
        match self {
            Self::Remote(keys) => keys.knowing(kid).await,
            Self::File(keys) => Some(keys.current()).filter(|keys| keys.knows(kid)).ok_or(Fault::UnknownKey.into()),
        }
    }
}

#[async_trait]
impl Authenticator for Jwt {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        self.verify(bearer(headers)?).await
    }
}

#[cfg(test)]
mod tests;
