//! Who asks: the one place where a request of the admin API gets a name.

use axum::http::{HeaderValue, header, request::Parts};
use seca_api::ProblemKind;

use crate::{
    answer::Failure,
    auth::{AdminTokens, AuthError, bearer},
};

/// The name of whoever sent a request: what the log and activities call them. Another proof than a bearer token (a
/// client certificate that the listener has checked, which would stand in `parts.extensions`) belongs here, before
/// the token is asked for.
pub(super) fn actor(parts: &Parts, tokens: &AdminTokens) -> Result<String, Failure> {
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
