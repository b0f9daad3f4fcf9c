//! Administrators of tenants: whom an operator makes one.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use control_plane::service::MadeAdmin;
use ring::digest::{SHA256, digest};
use seca_api::names::{SUBJECT_MAX, is_printable};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    extract::{Answer, Call, Named, NoBody, Path, Query, check_name},
    openapi::Refused,
    query::Nothing,
    refused, tenant_name,
    tenants::missing,
};
use crate::answer::Failure;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(make_admin))
}

/// The path of an administrator.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfAdmin {
    /// The tenant's name.
    #[param(example = "acme")]
    tenant: String,
    /// The subject, which may hold anything that is printable.
    #[param(example = "ada")]
    subject: String,
}

impl Named for OfAdmin {
    fn check(&self) -> Result<(), Failure> {
        check_name("tenant", &self.tenant)?;
        // Everybody is no administrator.
        if !is_printable(&self.subject, SUBJECT_MAX) || self.subject == "*" {
            let rule = "the subject in the path must be 1 to 128 printable characters, and not `*`, which is everybody";
            return Err(Failure::parameter("subject", rule));
        }
        Ok(())
    }
}

/// An administrator of a tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdminView {
    /// The tenant.
    tenant: String,
    /// The subject of its tokens.
    subject: String,
    /// The role assignment that makes it one.
    role_assignment: String,
}

/// Make a subject an administrator of the tenant
///
/// A PUT makes an administrator, whether there was one before or not: it is the way back into a tenant that lost its last
/// one.
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}/admins/{subject}",
    tag = "Tenants",
    params(OfAdmin),
    responses(
        (status = 201, description = "The assignment that makes it one.", body = AdminView),
        (status = 200, description = "It is there already.", body = AdminView),
        Refused,
    )
)]
async fn make_admin(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfAdmin { tenant, subject }): Path<OfAdmin>,
    _: Query<Nothing>,
    _: NoBody,
) -> Result<Answer<AdminView>, Failure> {
    let name = tenant_name(&tenant)?;
    let change = Change {
        action: "make-admin",
        target: format!("tenants/{name}/admins/{subject}"),
        tenant: Some(name.as_str()),
        detail: String::new(),
    };
    let assignment = admin_assignment_name(&subject);
    let work = async {
        let made = admin.administration.make_admin(&name, &subject, &assignment, &call.actor).await.map_err(refused)?;
        Ok(match made.ok_or_else(|| missing(&name))? {
            MadeAdmin::Made(assignment) => (StatusCode::CREATED, assignment),
            MadeAdmin::Already(assignment) => (StatusCode::OK, assignment),
        })
    };
    let (status, role_assignment) = admin.recorded(&call, change, work, |(status, _)| *status).await?;
    Ok(Answer(status, AdminView { tenant, subject, role_assignment }))
}

/// The name of the role assignment that makes a subject an administrator, by the admin API or by the settings: always the
/// same, and readable among others.
pub fn admin_assignment_name(subject: &str) -> String {
    let hash = digest(&SHA256, subject.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("bootstrap-admin-{short}")
}
