//! What was done, how the projects fare, and which workspaces are left alone.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use control_plane::{
    ProjectId,
    ports::{Abandoned, ActivityQuery, KnownBudget, PausedWorkspace, ProjectEpoch, ProjectOverview},
    service::ActivityView,
};
use seca_api::{ProblemKind, TenantName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, Change,
    bindings::{InRegion, OfWorkspace},
    extract::{Answer, Call, Items, Named, NoBody, Path, Query, ok},
    openapi::Refused,
    query::{Nothing, Parameters, Values},
    refused, tenant_name,
};
use crate::answer::Failure;

/// How many activities a page has, and the most that may be asked for.
const LIMIT: i64 = 100;
const LIMIT_MAX: i64 = 1000;

pub(super) fn routes_of_activity() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_activity))
}

pub(super) fn routes_of_projects() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_projects)).routes(routes!(abandon_project))
}

pub(super) fn routes_of_pauses() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(list_paused_workspaces)).routes(routes!(pause_workspace, resume_workspace))
}

/// Which activities are to be listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Activities {
    /// Those of one tenant.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantName>,
    /// Those with smaller ids, to go on.
    #[param(minimum = 1)]
    before: Option<i64>,
    /// At most so many; 100 where it is not set.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

impl Parameters for Activities {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        let tenant = values.text("tenant").as_deref().map(tenant_name).transpose()?;
        let before = values.number("before", (1, i64::MAX))?;
        Ok(Self { tenant, before, limit: values.number("limit", (1, LIMIT_MAX))? })
    }
}

/// The path of a project.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfProject {
    /// The project's id, as `/admin/v1/projects` lists it.
    project: String,
}

impl Named for OfProject {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A page of activities.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ActivityPage {
    /// The activities, newest first.
    items: Vec<ActivityView>,
    /// What `before` must be for the next page. Without it this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_before: Option<i64>,
}

/// How a project fares.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProjectView {
    /// The project.
    project: ProjectId,
    /// The holder of its lease, or the last one if that has not given it back.
    owner: Option<String>,
    /// For how long it is leased; 0 when the lease has run out, null when nobody has one.
    leased_for_seconds: Option<u64>,
    /// How many resources are due.
    due: i64,
    /// How many will be, now or later, without being woken.
    queued: i64,
    /// How many are on the way from one state to the next.
    in_transition: i64,
    /// How many resources it has.
    resources: i64,
    /// What is left to ask of the provider; null until a holder knew.
    budget: Option<BudgetView>,
    /// Why it is paused: another database rules it.
    paused: Option<String>,
    /// Whether it was declared gone for good: its resources leave.
    gone: bool,
}

/// What the holder of a project's lease knew of its request budget.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BudgetView {
    /// The most requests that may be there.
    limit: i64,
    /// Requests that may be sent.
    remaining: i64,
    /// Requests that come back in an hour.
    refill_per_hour: i64,
    /// Requests that wait for their turn.
    waiting: i64,
    /// How long ago that was.
    age_seconds: u64,
}

/// What was in a project that is gone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Gone {
    /// `gone`.
    status: &'static str,
    /// Its workspaces.
    workspaces: Vec<GoneWorkspace>,
    /// How many of its resources live in no workspace: images.
    other_resources: i64,
}

/// A workspace of a project that is gone.
#[derive(Serialize, ToSchema)]
struct GoneWorkspace {
    /// The tenant.
    tenant: String,
    /// The region.
    region: String,
    /// The name.
    name: String,
    /// How many resources it has, itself included.
    resources: i64,
}

/// A workspace that is left alone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PausedView {
    /// The tenant.
    tenant: String,
    /// The region.
    region: String,
    /// The name.
    name: String,
    /// Since when.
    paused_at: Timestamp,
    /// By whom.
    paused_by: String,
}

/// What became of a workspace.
#[derive(Serialize, ToSchema)]
struct Pause {
    /// `paused` or `resumed`.
    status: &'static str,
}

impl From<KnownBudget> for BudgetView {
    fn from(KnownBudget { budget, age }: KnownBudget) -> Self {
        Self {
            limit: budget.limit,
            remaining: budget.remaining,
            refill_per_hour: budget.refill_per_hour,
            waiting: budget.waiting,
            age_seconds: age.as_secs(),
        }
    }
}

impl From<(ProjectOverview, Option<ProjectEpoch>)> for ProjectView {
    fn from((project, epoch): (ProjectOverview, Option<ProjectEpoch>)) -> Self {
        Self {
            project: project.project,
            owner: project.owner,
            leased_for_seconds: project.leased_for.map(|left| left.as_secs()),
            due: project.due,
            queued: project.queued,
            in_transition: project.in_transition,
            resources: project.resources,
            budget: project.budget.map(BudgetView::from),
            paused: epoch.and_then(|epoch| epoch.paused),
            gone: project.abandoned,
        }
    }
}

impl From<Abandoned> for Gone {
    fn from(abandoned: Abandoned) -> Self {
        let workspaces = abandoned.workspaces.into_iter().map(|(workspace, resources)| GoneWorkspace {
            tenant: workspace.tenant,
            region: workspace.region,
            name: workspace.name,
            resources,
        });
        Self { status: "gone", workspaces: workspaces.collect(), other_resources: abandoned.others }
    }
}

impl From<PausedWorkspace> for PausedView {
    fn from(PausedWorkspace { workspace, paused_at, paused_by, .. }: PausedWorkspace) -> Self {
        Self { tenant: workspace.tenant, region: workspace.region, name: workspace.name, paused_at, paused_by }
    }
}

/// List who did what, newest first
#[utoipa::path(
    get,
    path = "/admin/v1/activity",
    tag = "Oversight",
    params(Activities),
    responses((status = 200, description = "A page.", body = ActivityPage), Refused)
)]
async fn list_activity(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Query(Activities { tenant, before, limit }): Query<Activities>,
) -> Result<Answer<ActivityPage>, Failure> {
    let limit = usize::try_from(limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
    let query = ActivityQuery { tenant: tenant.map(TenantName::into_string), before, limit };
    let found = admin.administration.activities(&query).await.map_err(refused)?;
    // A full page may have a successor.
    let next_before = found.last().filter(|_| found.len() == limit).map(|last| last.id);
    Ok(ok(ActivityPage { items: found.into_iter().map(ActivityView::from).collect(), next_before }))
}

/// List how the Hetzner projects fare
#[utoipa::path(
    get,
    path = "/admin/v1/projects",
    tag = "Oversight",
    responses((status = 200, description = "All of them.", body = Items<ProjectView>), Refused)
)]
async fn list_projects(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<ProjectView>>, Failure> {
    let projects = admin.administration.projects().await.map_err(refused)?;
    Ok(ok(projects.into_iter().map(ProjectView::from).collect()))
}

/// Declare a Hetzner project gone for good: all resources in it leave
#[utoipa::path(
    put,
    path = "/admin/v1/projects/{project}/gone",
    tag = "Oversight",
    params(OfProject),
    responses((status = 200, description = "What was in it.", body = Gone), Refused)
)]
async fn abandon_project(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(OfProject { project }): Path<OfProject>,
    _: Query<Nothing>,
    _: NoBody,
) -> Result<Answer<Gone>, Failure> {
    let project = ProjectId(project);
    let change =
        Change { action: "abandon", target: format!("projects/{project}"), tenant: None, detail: String::new() };
    let work = async {
        let abandoned = admin.administration.abandon(&project).await.map_err(refused)?;
        abandoned.ok_or_else(|| {
            let message = format!("there is no Hetzner Cloud project {project}; GET /admin/v1/projects lists them");
            Failure::new(ProblemKind::NotFound, message)
        })
    };
    let abandoned = admin.recorded(&call, change, work, |_| StatusCode::OK).await?;
    Ok(ok(Gone::from(abandoned)))
}

/// List paused workspaces
#[utoipa::path(
    get,
    path = "/admin/v1/paused-workspaces",
    tag = "Workspaces",
    responses((status = 200, description = "All of them.", body = Items<PausedView>), Refused)
)]
async fn list_paused_workspaces(
    State(admin): State<Arc<Admin>>,
    _: Call,
    _: Query<Nothing>,
) -> Result<Answer<Items<PausedView>>, Failure> {
    let paused = admin.administration.paused().await.map_err(refused)?;
    Ok(ok(paused.into_iter().map(PausedView::from).collect()))
}

/// Pause a workspace: nothing is asked of Hetzner Cloud for it
#[utoipa::path(
    put,
    path = "/admin/v1/tenants/{tenant}/workspaces/{workspace}/pause",
    tag = "Workspaces",
    params(OfWorkspace, InRegion),
    responses((status = 200, description = "Paused.", body = Pause), Refused)
)]
async fn pause_workspace(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfWorkspace>,
    Query(InRegion { region }): Query<InRegion>,
    _: NoBody,
) -> Result<Answer<Pause>, Failure> {
    tenant_name(&of.tenant)?;
    let key = admin.workspace(&of, region.as_deref());
    let work = async { admin.administration.pause(&key, &call.actor).await.map_err(refused) };
    admin.recorded(&call, Change::of_workspace("pause", &key), work, |()| StatusCode::OK).await?;
    Ok(ok(Pause { status: "paused" }))
}

/// Resume a workspace
#[utoipa::path(
    delete,
    path = "/admin/v1/tenants/{tenant}/workspaces/{workspace}/pause",
    tag = "Workspaces",
    params(OfWorkspace, InRegion),
    responses((status = 200, description = "Resumed.", body = Pause), Refused)
)]
async fn resume_workspace(
    State(admin): State<Arc<Admin>>,
    call: Call,
    Path(of): Path<OfWorkspace>,
    Query(InRegion { region }): Query<InRegion>,
    _: NoBody,
) -> Result<Answer<Pause>, Failure> {
    tenant_name(&of.tenant)?;
    let key = admin.workspace(&of, region.as_deref());
    let work = async { admin.administration.resume(&key).await.map_err(refused) };
    admin.recorded(&call, Change::of_workspace("resume", &key), work, |()| StatusCode::OK).await?;
    Ok(ok(Pause { status: "resumed" }))
}
