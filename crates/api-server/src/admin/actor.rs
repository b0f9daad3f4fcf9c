//! Who asks: the one place where a request of the admin API gets a name.

use authentication::{AdminTokens, AuthError, DEFAULT_ADMIN, bearer};
use axum::http::{HeaderValue, header, request::Parts};
use seca_api::{ProblemKind, Timestamp};

use crate::{answer::Failure, tls::ClientCertificate};

/// The name of whoever sent a request, which the log and activities repeat: the holder of a client certificate that
/// holds now, else that of an admin token.
pub(super) fn actor(parts: &Parts, tokens: &AdminTokens, now: Timestamp) -> Result<String, Failure> {
    let unusable = match parts.extensions.get().map(|certificate| holder(certificate, now)) {
        Some(Ok(name)) => return Ok(name.to_owned()),
        Some(Err(reason)) => {
            tracing::warn!(reason, "a client certificate does not count");
            format!("{reason}; ")
        }
        None => String::new(),
    };
    let refuse = |detail: &str| {
        Failure::new(ProblemKind::Unauthorized, format!("{unusable}{detail}"))
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

/// The name that a client certificate gives its holder now, or why it gives none.
fn holder(certificate: &ClientCertificate, now: Timestamp) -> Result<&str, String> {
    let name = certificate.name();
    if name == DEFAULT_ADMIN {
        return Err(format!(
            "the client certificate has the common name `{DEFAULT_ADMIN}`, which is the holder of SECA_ADMIN_TOKEN; \
             issue one with another name"
        ));
    }
    match certificate.verify(now) {
        Ok(()) => Ok(name),
        Err(error) => Err(format!("the client certificate of `{name}` does not hold any more ({error})")),
    }
}
