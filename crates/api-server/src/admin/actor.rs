//! Who asks: the one place where a request of the admin API gets a name.

use axum::http::{HeaderValue, header, request::Parts};
use seca_api::ProblemKind;

use crate::{
    answer::Failure,
    auth::{AdminTokens, AuthError, bearer},
    tls::ClientCertificate,
};

/// The name of whoever sent a request, which the log and activities repeat: the holder of a client certificate that the
/// listener verified, else that of an admin token.
pub(super) fn actor(parts: &Parts, tokens: &AdminTokens) -> Result<String, Failure> {
    if let Some(ClientCertificate(name)) = parts.extensions.get() {
        return Ok(name.to_string());
    }
    let refuse = |detail: &str| {
        Failure::new(ProblemKind::Unauthorized, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    };
    let token = bearer(&parts.headers).map_err(|error| match error {
        AuthError::Missing => refuse("the admin API needs the header `Authorization: Bearer <admin token>`"),
        error => refuse(&error.to_string()),
    })?;
    tokens.holder(token).ok_or_else(|| {
        refuse(
            "this is no admin token (SECA_ADMIN_TOKEN, or one of SECA_ADMIN_TOKENS_FILE); tokens of the public API do \
             not count here",
        )
    })
}
