//! The servers that route for internet gateways.

use std::sync::Arc;

use axum::extract::State;
use control_plane::service::NatServer;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    extract::{Answer, Call, Items, Query, ok},
    openapi::Refused,
    query::Nothing,
    refused,
};
use crate::answer::Failure;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_nat_servers))
}

/// List the servers that route for internet gateways
#[utoipa::path(
    get,
    path = "/admin/v1/nat-servers",
    tag = "Oversight",
    responses((status = 200, description = "All of them.", body = Items<NatServer>), Refused)
)]
async fn list_nat_servers(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<NatServer>>, Failure> {
    let servers = admin.administration.nat_servers().await.map_err(refused)?;
    Ok(ok(servers.into_iter().collect()))
}
