//! What the sweeps found that no resource claims, and what is to become of it.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use control_plane::{
    ProjectId,
    service::{OrphanRef, OrphanView},
};
use seca_api::{Kind, ProblemKind, ResourceKey, ResourceName, Violation};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    extract::{Answer, Call, Document, Items, Json, Named, NoBody, Path, Query, ok},
    members::{self, Member, is},
    openapi::Refused,
    query::Nothing,
    refused, tenant_name,
};
use crate::answer::Failure;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_orphans)).routes(routes!(get_orphan, adopt_orphan, remove_orphan))
}

/// The path of an orphan.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfOrphan {
    /// The project's id, as `/admin/v1/projects` lists it.
    project: String,
    /// The provider's word for its type.
    #[serde(rename = "type")]
    #[param(rename = "type", example = "volume")]
    object_type: String,
    /// The provider's id.
    #[param(example = "4711")]
    id: String,
}

impl Named for OfOrphan {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl From<OfOrphan> for OrphanRef {
    fn from(OfOrphan { project, object_type, id }: OfOrphan) -> Self {
        Self { project: ProjectId(project), object_type, id }
    }
}

/// The resource that is to have an object.
#[derive(Deserialize, ToSchema)]
struct Heir {
    /// Its tenant.
    tenant: String,
    /// Its workspace; an image is in none.
    #[schema(nullable = false)]
    workspace: Option<String>,
    /// Its name.
    name: String,
    /// Its region; the default region where it is not set.
    #[schema(nullable = false)]
    region: Option<String>,
}

const fn text(name: &'static str, rule: &'static str, is_required: bool) -> Member {
    Member { name, rule, is_required, holds: is::<String> }
}

impl Document for Heir {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let known = [
            text("tenant", "the name of the resource's tenant", true),
            text("workspace", "the name of its workspace, left out for an image", false),
            text("name", "the name of the resource", true),
            text("region", "its region, where that is not the default region", false),
        ];
        members::read(bytes, &known)
    }
}

impl Heir {
    /// The resource: of the kind that can have such an object.
    fn key(self, orphan: &OrphanRef, default_region: &str) -> Result<ResourceKey, Failure> {
        let refuse = |member: &str, rule: String| {
            Failure::violations(ProblemKind::InvalidRequest, &[Violation::at(format!("/{member}"), rule)])
        };
        let name = |member: &str, text: &str| {
            let parsed = ResourceName::parse(text).map_err(|error| refuse(member, format!("`{member}` {error}")));
            parsed.map(|_| text.to_owned())
        };
        let tenant = tenant_name(&self.tenant)?.into_string();
        let region = self.region.as_deref().unwrap_or(default_region);
        let resource = name("name", &self.name)?;
        let Some(kind) = orphan.kind() else {
            let noun = orphan.noun();
            let told = format!("{noun} cannot be given to a resource: only volumes, primary IPs and images can be");
            return Err(Failure::new(ProblemKind::Conflict, told));
        };
        match (kind, self.workspace) {
            (Kind::Image, None) => Ok(ResourceKey::tenant(kind, region, &tenant, &resource)),
            (Kind::Image, Some(_)) => {
                Err(refuse("workspace", "`workspace` is left out: an image is in none".to_owned()))
            }
            (_, Some(workspace)) => {
                let workspace = name("workspace", &workspace)?;
                Ok(ResourceKey { workspace, ..ResourceKey::tenant(kind, region, &tenant, &resource) })
            }
            (_, None) => Err(refuse("workspace", format!("`workspace` is required: {} is in one", kind.a_noun()))),
        }
    }
}

/// What becomes of an order.
#[derive(Serialize, ToSchema)]
struct Ordered {
    /// `accepted`: whoever works on the project does it, and the orphan tells what became of it.
    status: &'static str,
}

/// List objects of ours that no resource claims
#[utoipa::path(
    get,
    path = "/admin/v1/orphans",
    tag = "Oversight",
    responses((status = 200, description = "What the sweeps found.", body = Items<OrphanView>), Refused)
)]
async fn list_orphans(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<OrphanView>>, Failure> {
    let orphans = admin.bindings.orphans().await.map_err(refused)?;
    let views = admin.administration.with_orders(orphans).await.map_err(refused)?;
    Ok(ok(views.into_iter().collect()))
}

/// Get an orphan, and what was ordered about it
#[utoipa::path(
    get,
    path = "/admin/v1/orphans/{project}/{type}/{id}",
    tag = "Oversight",
    params(OfOrphan),
    responses((status = 200, description = "The orphan.", body = OrphanView), Refused)
)]
async fn get_orphan(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Path(of): Path<OfOrphan>,
    _: Query<Nothing>,
) -> Result<Answer<OrphanView>, Failure> {
    let orphan = OrphanRef::from(of);
    let view = admin.administration.orphan(&orphan).await.map_err(refused)?;
    view.map(ok).ok_or_else(|| unknown(&orphan))
}

/// Give an orphan to a resource: a volume to a block storage, a primary IP to a public IP, a snapshot to an image
#[utoipa::path(
    put,
    path = "/admin/v1/orphans/{project}/{type}/{id}",
    tag = "Oversight",
    params(OfOrphan),
    request_body(content = Heir, example = json!({"tenant": "acme", "workspace": "w", "name": "data", "region": "fsn1"})),
    responses((status = 202, description = "It is ordered.", body = Ordered), Refused)
)]
async fn adopt_orphan(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfOrphan>,
    _: Query<Nothing>,
    Json(heir): Json<Heir>,
) -> Result<Answer<Ordered>, Failure> {
    let orphan = OrphanRef::from(of);
    let key = heir.key(&orphan, &admin.config.default_region)?;
    admin.order(&call, &orphan, Some(&key)).await
}

/// Remove an orphan, with the data that it holds
#[utoipa::path(
    delete,
    path = "/admin/v1/orphans/{project}/{type}/{id}",
    tag = "Oversight",
    params(OfOrphan),
    responses((status = 202, description = "It is ordered.", body = Ordered), Refused)
)]
async fn remove_orphan(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfOrphan>,
    _: Query<Nothing>,
    _: NoBody,
) -> Result<Answer<Ordered>, Failure> {
    admin.order(&call, &OrphanRef::from(of), None).await
}

impl Admin {
    /// Orders that a resource gets an orphan, or that it is removed, and writes that down.
    async fn order(
        &self,
        call: &Call,
        orphan: &OrphanRef,
        into: Option<&ResourceKey>,
    ) -> Result<Answer<Ordered>, Failure> {
        let OrphanRef { project, object_type, id } = orphan;
        let change = Change {
            action: if into.is_some() { "adopt-orphan" } else { "remove-orphan" },
            target: format!("orphans/{project}/{object_type}/{id}"),
            tenant: into.map(|key| key.tenant.as_str()),
            detail: into.map(|key| format!("into {}", key.urn())).unwrap_or_default(),
        };
        let work = async {
            let ordered = match into {
                Some(key) => self.administration.adopt_orphan(orphan, key).await,
                None => self.administration.remove_orphan(orphan).await,
            };
            if ordered.map_err(refused)? { Ok(()) } else { Err(unknown(orphan)) }
        };
        self.recorded(call, change, work, |()| StatusCode::ACCEPTED).await?;
        Ok(Answer(StatusCode::ACCEPTED, Ordered { status: "accepted" }))
    }
}

fn unknown(orphan: &OrphanRef) -> Failure {
    let noun = orphan.noun();
    let told = format!(
        "the last sweep of project {} saw no orphan {}; GET /admin/v1/orphans lists them, and a sweep comes every few minutes",
        orphan.project,
        noun.trim_start_matches("the ")
    );
    Failure::new(ProblemKind::NotFound, told)
}
