//! Administrators of tenants: whom an operator makes one.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use control_plane::service::MadeAdmin;
use ring::digest::{SHA256, digest};
use seca_api::names::{SUBJECT_MAX, is_printable};
use serde_json::json;

use super::{Admin, Call, Change, answer, query::parameters, refused, tenant_name, tenants::missing};
use crate::{answer::Failure, body};

impl Admin {
    /// A PUT makes an administrator, whether there was one before or not: it is the way back into a tenant that lost its
    /// last one.
    pub(super) async fn make_admin(
        &self,
        call: Call<'_>,
        body: Body,
        tenant: &str,
        subject: &str,
    ) -> Result<Response<Body>, Failure> {
        let [] = parameters(call.query, [])?;
        body::discard(call.headers, body, self.config.limits).await?;
        let tenant = tenant_name(tenant)?;
        // Everybody is no administrator.
        if !is_printable(subject, SUBJECT_MAX) || subject == "*" {
            let rule = "the subject in the path must be 1 to 128 printable characters, and not `*`, which is everybody";
            return Err(Failure::parameter("subject", rule));
        }
        let change = Change {
            action: "make-admin",
            target: format!("tenants/{tenant}/admins/{subject}"),
            tenant: Some(tenant.as_str()),
            detail: String::new(),
        };
        let name = admin_assignment_name(subject);
        let work = async {
            let made = self.administration.make_admin(&tenant, subject, &name, call.actor).await.map_err(refused)?;
            Ok(match made.ok_or_else(|| missing(&tenant))? {
                MadeAdmin::Made(name) => (StatusCode::CREATED, name),
                MadeAdmin::Already(name) => (StatusCode::OK, name),
            })
        };
        let (status, name) = self.recorded(&call, change, work, |(status, _)| *status).await?;
        Ok(answer(status, &json!({ "tenant": tenant, "subject": subject, "roleAssignment": name })))
    }
}

/// The name of the role assignment that makes a subject an administrator, by the admin API or by the settings: always the
/// same, and readable among others.
pub fn admin_assignment_name(subject: &str) -> String {
    let hash = digest(&SHA256, subject.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("bootstrap-admin-{short}")
}
