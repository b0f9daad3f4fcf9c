//! What was done, how the projects fare, and which workspaces are left alone.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use control_plane::{
    ProjectId,
    ports::{ActivityQuery, KnownBudget, PausedWorkspace, ProjectEpoch, ProjectOverview},
    service::ActivityView,
};
use seca_api::{ProblemKind, ResourceKey};
use serde_json::{Value, json};

use super::{
    Admin, Call, Change, answer,
    query::{number, parameters},
    refused, tenant_name,
};
use crate::{answer::Failure, body};

/// How many activities a page has, and the most that may be asked for.
const LIMIT: i64 = 100;
const LIMIT_MAX: i64 = 1000;

impl Admin {
    pub(super) async fn activity(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [tenant, before, limit] = parameters(query, ["tenant", "before", "limit"])?;
        let tenant = tenant.as_deref().map(tenant_name).transpose()?;
        let before = number("before", before.as_deref(), (1, i64::MAX))?;
        let limit = number("limit", limit.as_deref(), (1, LIMIT_MAX))?.unwrap_or(LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let query = ActivityQuery { tenant: tenant.map(|name| name.into_string()), before, limit };
        let found = self.administration.activities(&query).await.map_err(refused)?;
        // A full page may have a successor.
        let next = found.last().filter(|_| found.len() == limit).map(|last| last.id);
        let items: Vec<_> = found.into_iter().map(ActivityView::from).collect();
        let mut page = json!({ "items": items });
        if let Some(next) = next {
            page["nextBefore"] = next.into();
        }
        Ok(answer(StatusCode::OK, &page))
    }

    pub(super) async fn projects(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let view = |(project, epoch): (ProjectOverview, Option<ProjectEpoch>)| {
            json!({
                "project": project.project,
                "owner": project.owner,
                "leasedForSeconds": project.leased_for.map(|left| left.as_secs()),
                "due": project.due,
                "queued": project.queued,
                "inTransition": project.in_transition,
                "resources": project.resources,
                "budget": project.budget.map(budget),
                "paused": epoch.and_then(|epoch| epoch.paused),
                "gone": project.abandoned,
            })
        };
        let projects = self.administration.projects().await.map_err(refused)?;
        let items: Vec<Value> = projects.into_iter().map(view).collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    /// A project that is gone for good at the provider: its rows leave.
    pub(super) async fn abandon(&self, call: Call<'_>, body: Body, id: String) -> Result<Response<Body>, Failure> {
        let [] = parameters(call.query, [])?;
        body::discard(call.headers, body, self.config.limits).await?;
        let project = ProjectId(id);
        let change =
            Change { action: "abandon", target: format!("projects/{project}"), tenant: None, detail: String::new() };
        let work = async {
            let abandoned = self.administration.abandon(&project).await.map_err(refused)?;
            abandoned.ok_or_else(|| {
                let message = format!("there is no Hetzner Cloud project {project}; GET /admin/v1/projects lists them");
                Failure::new(ProblemKind::NotFound, message)
            })
        };
        let abandoned = self.recorded(&call, change, work, |_| StatusCode::OK).await?;
        let view = |(workspace, resources): (ResourceKey, i64)| {
            json!({
                "tenant": workspace.tenant,
                "region": workspace.region,
                "name": workspace.name,
                "resources": resources,
            })
        };
        let workspaces: Vec<Value> = abandoned.workspaces.into_iter().map(view).collect();
        let document = json!({ "status": "gone", "workspaces": workspaces, "otherResources": abandoned.others });
        Ok(answer(StatusCode::OK, &document))
    }

    pub(super) async fn paused(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let view = |paused: PausedWorkspace| {
            json!({
                "tenant": paused.workspace.tenant,
                "region": paused.workspace.region,
                "name": paused.workspace.name,
                "pausedAt": paused.paused_at,
                "pausedBy": paused.paused_by,
            })
        };
        let paused = self.administration.paused().await.map_err(refused)?;
        let items: Vec<Value> = paused.into_iter().map(view).collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    pub(super) async fn pause(
        &self,
        call: Call<'_>,
        body: Body,
        tenant: &str,
        workspace: &str,
    ) -> Result<Response<Body>, Failure> {
        let [region] = parameters(call.query, ["region"])?;
        body::discard(call.headers, body, self.config.limits).await?;
        let tenant = tenant_name(tenant)?;
        let key = self.workspace(tenant.as_str(), workspace, region.as_deref());
        let (action, status) = if call.method == "PUT" { ("pause", "paused") } else { ("resume", "resumed") };
        let work = async {
            let done = match action {
                "pause" => self.administration.pause(&key, call.actor).await,
                _ => self.administration.resume(&key).await,
            };
            done.map_err(refused)
        };
        self.recorded(&call, Change::of_workspace(action, &key), work, |()| StatusCode::OK).await?;
        Ok(answer(StatusCode::OK, &json!({ "status": status })))
    }
}

fn budget(known: KnownBudget) -> Value {
    json!({
        "limit": known.budget.limit,
        "remaining": known.budget.remaining,
        "refillPerHour": known.budget.refill_per_hour,
        "waiting": known.budget.waiting,
        "ageSeconds": known.age.as_secs(),
    })
}
