//! Tenants: which there are, how they are set, and whether they are suspended.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use control_plane::{
    ports::{TenantChange, TenantRecord},
    service::{ReferencePolicy, Registered, Tenant, TenantView},
};
use seca_api::{ProblemKind, TenantName};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    extract::{Answer, Call, Document, Items, Json, Named, Path, Query, check_name, ok},
    members::{self, Member, is},
    openapi::Refused,
    query::Nothing,
    refused, tenant_name,
};
use crate::answer::Failure;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_tenants)).routes(routes!(get_tenant, register_tenant, change_tenant))
}

/// The path of a tenant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfTenant {
    /// The tenant's name.
    #[param(example = "acme")]
    tenant: String,
}

impl Named for OfTenant {
    fn check(&self) -> Result<(), Failure> {
        check_name("tenant", &self.tenant)
    }
}

/// The settings with which a tenant is registered.
#[derive(Deserialize, ToSchema)]
pub(super) struct TenantSettings {
    /// Whether its errors are those that the conformance tool expects; false where it is not set.
    #[schema(nullable = false)]
    conformance: Option<bool>,
    /// How references to what does not exist are judged; `strict` where it is not set.
    #[schema(nullable = false)]
    references: Option<ReferencePolicy>,
}

/// What is to change of a tenant: at least one of these.
#[derive(Deserialize, ToSchema)]
pub(super) struct TenantPatch {
    /// Whether it is suspended: then nobody may do anything in it.
    #[schema(nullable = false)]
    suspended: Option<bool>,
    /// Whether its errors are those that the conformance tool expects.
    #[schema(nullable = false)]
    conformance: Option<bool>,
    /// How references to what does not exist are judged.
    #[schema(nullable = false)]
    references: Option<ReferencePolicy>,
}

const SUSPENDED: Member = truth("suspended");
const CONFORMANCE: Member = truth("conformance");
const REFERENCES: Member =
    Member { name: "references", rule: "`strict` or `late`", is_required: false, holds: is::<ReferencePolicy> };

const fn truth(name: &'static str) -> Member {
    Member { name, rule: "true or false", is_required: false, holds: is::<bool> }
}

impl Document for TenantSettings {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        members::read(bytes, &[CONFORMANCE, REFERENCES])
    }
}

impl Document for TenantPatch {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let patch: Self = members::read(bytes, &[SUSPENDED, CONFORMANCE, REFERENCES])?;
        if patch.suspended.is_none() && patch.conformance.is_none() && patch.references.is_none() {
            return Err(Failure::malformed(
                "the body changes nothing; send suspended, conformance or references, for example {\"suspended\": true}",
            ));
        }
        Ok(patch)
    }
}

/// List tenants
#[utoipa::path(
    get,
    path = "/admin/v1/tenants",
    tag = "Tenants",
    responses((status = 200, description = "All of them.", body = Items<TenantView>), Refused)
)]
async fn list_tenants(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<TenantView>>, Failure> {
    let tenants = admin.administration.tenants().await.map_err(refused)?;
    Ok(ok(tenants.iter().map(TenantView::from).collect()))
}

/// Get tenant
#[utoipa::path(
    get,
    path = "/admin/v1/tenants/{tenant}",
    tag = "Tenants",
    params(OfTenant),
    responses((status = 200, description = "The tenant.", body = TenantView), Refused)
)]
async fn get_tenant(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Path(OfTenant { tenant }): Path<OfTenant>,
    _: Query<Nothing>,
) -> Result<Answer<TenantView>, Failure> {
    let name = tenant_name(&tenant)?;
    let found = admin.administration.tenant(&name).await.map_err(refused)?;
    found.map(|record| ok(TenantView::from(&record))).ok_or_else(|| missing(&name))
}

/// Register tenant
///
/// It changes nothing: what is there with other settings is a conflict, so that two operators who register the same name
/// learn of each other.
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}",
    tag = "Tenants",
    params(OfTenant),
    request_body(content = TenantSettings, example = json!({"references": "strict", "conformance": false})),
    responses(
        (status = 201, description = "Registered.", body = TenantView),
        (status = 200, description = "It is there with the same settings.", body = TenantView),
        Refused,
    )
)]
async fn register_tenant(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfTenant { tenant }): Path<OfTenant>,
    _: Query<Nothing>,
    Json(TenantSettings { conformance, references }): Json<TenantSettings>,
) -> Result<Answer<TenantView>, Failure> {
    let name = tenant_name(&tenant)?;
    let settings = Tenant { conformance: conformance.unwrap_or_default(), references: references.unwrap_or_default() };
    let work = async {
        match admin.administration.create_tenant(&name, &settings).await.map_err(refused)? {
            Registered::Created(record) => Ok((StatusCode::CREATED, record)),
            Registered::Existing(record) if record.settings == settings => Ok((StatusCode::OK, record)),
            Registered::Existing(_) => Err(Failure::new(
                ProblemKind::Conflict,
                format!("tenant {name} exists with other settings; read it, and change it with PATCH"),
            )),
        }
    };
    let change = change("create-tenant", &name, told(&settings));
    let (status, record) = admin.recorded(&call, change, work, |(status, _)| *status).await?;
    Ok(Answer(status, TenantView::from(&record)))
}

/// Change tenant
#[utoipa::path(
    patch,
    path = "/admin/v1/tenants/{tenant}",
    tag = "Tenants",
    params(OfTenant),
    request_body(content = TenantPatch, example = json!({"suspended": true})),
    responses((status = 200, description = "The tenant as it is now.", body = TenantView), Refused)
)]
async fn change_tenant(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfTenant { tenant }): Path<OfTenant>,
    _: Query<Nothing>,
    Json(TenantPatch { suspended, conformance, references }): Json<TenantPatch>,
) -> Result<Answer<TenantView>, Failure> {
    let name = tenant_name(&tenant)?;
    let changes = TenantChange { suspended, conformance, references };
    let work = async {
        let changed = admin.administration.change_tenant(&name, &changes).await.map_err(refused)?;
        changed.ok_or_else(|| missing(&name))
    };
    let action = match suspended {
        Some(true) => "suspend-tenant",
        Some(false) => "resume-tenant",
        None => "change-tenant",
    };
    let change = change(action, &name, told_change(&changes));
    let record: TenantRecord = admin.recorded(&call, change, work, |_| StatusCode::OK).await?;
    Ok(ok(TenantView::from(&record)))
}

const fn word(references: ReferencePolicy) -> &'static str {
    match references {
        ReferencePolicy::Strict => "strict",
        ReferencePolicy::Late => "late",
    }
}

fn told(settings: &Tenant) -> String {
    format!("conformance {}, references {}", settings.conformance, word(settings.references))
}

fn told_change(change: &TenantChange) -> String {
    let conformance = change.conformance.map(|on| format!("conformance {on}"));
    let references = change.references.map(|policy| format!("references {}", word(policy)));
    [conformance, references].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn change<'a>(action: &'static str, name: &'a TenantName, detail: String) -> Change<'a> {
    Change { action, target: format!("tenants/{name}"), tenant: Some(name.as_str()), detail }
}

pub(super) fn missing(name: &TenantName) -> Failure {
    let detail = format!("there is no tenant {name}; register it with a PUT of {{}} to /admin/v1/tenants/{name}");
    Failure::new(ProblemKind::NotFound, detail)
}
