//! Tokens that were revoked before their end, by their id (`jti`).

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use control_plane::{ports::DeniedToken, service::DenyRequest};
use seca_api::{ProblemKind, Timestamp, names::is_printable};
use serde_json::{Value, json};

use super::{Admin, Call, Change, answer, members::Members, query::parameters, refused};
use crate::{
    answer::{Failure, empty},
    body,
};

/// The most characters of a token's id and of a reason.
const ID_MAX: usize = 128;
const REASON_MAX: usize = 256;

impl Admin {
    pub(super) async fn denied_tokens(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let tokens = self.administration.denied_tokens().await.map_err(refused)?;
        let items: Vec<Value> = tokens.iter().map(view).collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    pub(super) async fn denied_token(&self, call: Call<'_>, body: Body, id: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(call.query, [])?;
        if !is_printable(id, ID_MAX) {
            return Err(Failure::parameter(
                "jti",
                "the token's id (jti) in the path must be 1 to 128 printable characters",
            ));
        }
        let change = |action, detail| Change { action, target: format!("denied-tokens/{id}"), tenant: None, detail };
        if call.method == "PUT" {
            let bytes = body::read_json(call.headers, body, self.config.limits).await?;
            let request = deny_request(&bytes, id)?;
            let detail = format!("until {}", request.expires_at);
            let work = async { self.administration.deny_token(request, call.actor).await.map_err(refused) };
            let token = self.recorded(&call, change("deny-token", detail), work, |_| StatusCode::OK).await?;
            return Ok(answer(StatusCode::OK, &view(&token)));
        }
        body::discard(call.headers, body, self.config.limits).await?;
        let work = async {
            match self.administration.allow_token(id).await.map_err(refused)? {
                true => Ok(()),
                false => Err(Failure::new(
                    ProblemKind::NotFound,
                    "no token of this id is denied; GET /admin/v1/denied-tokens lists those that are",
                )),
            }
        };
        self.recorded(&call, change("allow-token", String::new()), work, |()| StatusCode::NO_CONTENT).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn deny_request(bytes: &[u8], id: &str) -> Result<DenyRequest, Failure> {
    let mut members = Members::read(bytes, &["expiresAt", "reason"])?;
    let rule = "the time until which the token holds (its claim exp), for example 2026-12-31T12:00:00Z";
    members.required("expiresAt", rule);
    let expires_at = members.value("expiresAt", rule, |value| value.as_str()?.parse::<Timestamp>().ok());
    let reason = members.value("reason", "1 to 256 printable characters", |value| {
        value.as_str().filter(|text| is_printable(text, REASON_MAX)).map(str::to_owned)
    });
    members.finish(DenyRequest { id: id.to_owned(), expires_at: expires_at.unwrap_or_default(), reason })
}

fn view(token: &DeniedToken) -> Value {
    json!({
        "jti": token.id,
        "expiresAt": token.expires_at,
        "deniedAt": token.denied_at,
        "deniedBy": token.denied_by,
        "reason": token.reason,
    })
}
