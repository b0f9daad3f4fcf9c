//! Tokens that were revoked before their end, by their id (`jti`).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};
use control_plane::{ports::DeniedToken, service::DenyRequest};
use seca_api::{ProblemKind, Timestamp, names::is_printable};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    extract::{Answer, Call, Document, Items, Json, Named, NoBody, Path, Query, ok},
    members::{self, Member, is},
    openapi::Refused,
    query::Nothing,
    refused,
};
use crate::answer::{Failure, empty};

/// The most characters of a token's id and of a reason.
const ID_MAX: usize = 128;
const REASON_MAX: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_denied_tokens)).routes(routes!(deny_token, allow_token))
}

/// The path of a revoked token.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfToken {
    /// The token's id, which may hold anything that is printable.
    #[param(example = "2f1e7c1c")]
    jti: String,
}

impl Named for OfToken {
    fn check(&self) -> Result<(), Failure> {
        if is_printable(&self.jti, ID_MAX) {
            return Ok(());
        }
        Err(Failure::parameter("jti", "the token's id (jti) in the path must be 1 to 128 printable characters"))
    }
}

/// A revoked token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeniedTokenView {
    /// Its id.
    jti: String,
    /// When it ends by itself, and need not be remembered any more.
    expires_at: Timestamp,
    /// When it was revoked.
    denied_at: Timestamp,
    /// By whom.
    denied_by: String,
    /// Why.
    reason: Option<String>,
}

impl From<DeniedToken> for DeniedTokenView {
    fn from(token: DeniedToken) -> Self {
        let DeniedToken { id: jti, expires_at, denied_at, denied_by, reason } = token;
        Self { jti, expires_at, denied_at, denied_by, reason }
    }
}

/// Until when a token is to be remembered as revoked.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Denial {
    /// The time until which the token holds: its claim `exp`.
    expires_at: Timestamp,
    /// Why.
    #[schema(nullable = false, min_length = 1, max_length = 256)]
    reason: Option<String>,
}

impl Document for Denial {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let is_reason = |value: &Value| value.as_str().is_some_and(|text| is_printable(text, REASON_MAX));
        let expires_at = Member {
            name: "expiresAt",
            rule: "the time until which the token holds (its claim exp), for example 2026-12-31T12:00:00Z",
            is_required: true,
            holds: is::<Timestamp>,
        };
        let reason =
            Member { name: "reason", rule: "1 to 256 printable characters", is_required: false, holds: is_reason };
        members::read(bytes, &[expires_at, reason])
    }
}

/// List revoked tokens
#[utoipa::path(
    get,
    path = "/admin/v1/denied-tokens",
    tag = "Revoked tokens",
    responses((status = 200, description = "Those that would hold otherwise.", body = Items<DeniedTokenView>), Refused)
)]
async fn list_denied_tokens(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<DeniedTokenView>>, Failure> {
    let tokens = admin.administration.denied_tokens().await.map_err(refused)?;
    Ok(ok(tokens.into_iter().map(DeniedTokenView::from).collect()))
}

/// Revoke a signed token by its id
#[utoipa::path(
    put,
    path = "/admin/v1/denied-tokens/{jti}",
    tag = "Revoked tokens",
    params(OfToken),
    request_body(content = Denial, example = json!({"expiresAt": "2036-12-31T12:00:00Z", "reason": "laptop lost"})),
    responses((status = 200, description = "The entry.", body = DeniedTokenView), Refused)
)]
async fn deny_token(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfToken { jti }): Path<OfToken>,
    _: Query<Nothing>,
    Json(Denial { expires_at, reason }): Json<Denial>,
) -> Result<Answer<DeniedTokenView>, Failure> {
    let change = of_token("deny-token", &jti, format!("until {expires_at}"));
    let request = DenyRequest { id: jti, expires_at, reason };
    let work = async { admin.administration.deny_token(request, &call.actor).await.map_err(refused) };
    let token = admin.recorded(&call, change, work, |_| StatusCode::OK).await?;
    Ok(ok(DeniedTokenView::from(token)))
}

/// Take that back
#[utoipa::path(
    delete,
    path = "/admin/v1/denied-tokens/{jti}",
    tag = "Revoked tokens",
    params(OfToken),
    responses((status = 204, description = "Taken back."), Refused)
)]
async fn allow_token(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfToken { jti }): Path<OfToken>,
    _: Query<Nothing>,
    _: NoBody,
) -> Result<Response<Body>, Failure> {
    let change = of_token("allow-token", &jti, String::new());
    let work = async {
        match admin.administration.allow_token(&jti).await.map_err(refused)? {
            true => Ok(()),
            false => Err(Failure::new(
                ProblemKind::NotFound,
                "no token of this id is denied; GET /admin/v1/denied-tokens lists those that are",
            )),
        }
    };
    admin.recorded(&call, change, work, |()| StatusCode::NO_CONTENT).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn of_token(action: &'static str, jti: &str, detail: String) -> Change<'static> {
    Change { action, target: format!("denied-tokens/{jti}"), tenant: None, detail }
}
