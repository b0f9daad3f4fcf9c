//! Which provider project stands behind a workspace, and what the sweeps found that no row claims.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use control_plane::{ports::Binding, service::BindRequest};
use seca_api::{Kind, ProblemKind, ResourceKey, Violation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    Admin, Call, Change, answer,
    query::{boolean, parameters},
    refused,
};
use crate::{answer::Failure, body, json};

impl Admin {
    pub(super) async fn binding(
        &self,
        call: Call<'_>,
        body: Body,
        tenant: &str,
        workspace: &str,
    ) -> Result<Response<Body>, Failure> {
        let [region, force] = parameters(call.query, ["region", "force"])?;
        let force = boolean("force", force.as_deref())?;
        if force && call.method != "DELETE" {
            return Err(Failure::parameter("force", "`force` is understood on DELETE only"));
        }
        let key = self.workspace(tenant, workspace, region.as_deref());
        match call.method {
            "PUT" => {
                let bytes = body::read_json(call.headers, body, self.config.limits).await?;
                let request = bind_request(&bytes)?;
                let work = async { self.bindings.bind(&key, request).await.map_err(refused) };
                self.recorded(&call, Change::of_workspace("bind", &key), work, |()| StatusCode::OK).await?;
                Ok(answer(StatusCode::OK, &json!({ "status": "active", "provider": "hetzner" })))
            }
            "DELETE" => {
                body::discard(call.headers, body, self.config.limits).await?;
                let work = async {
                    let was_bound = self.bindings.unbind(&key, force).await.map_err(refused)?;
                    if was_bound { Ok(()) } else { Err(unbound(&key)) }
                };
                let mut change = Change::of_workspace("unbind", &key);
                if force {
                    change.detail.push_str(", by force");
                }
                self.recorded(&call, change, work, |()| StatusCode::ACCEPTED).await?;
                Ok(answer(StatusCode::ACCEPTED, &json!({ "status": "accepted" })))
            }
            _ => match self.bindings.find(&key).await.map_err(refused)? {
                Some(view) => Ok(answer(StatusCode::OK, &json!(view))),
                None => Err(unbound(&key)),
            },
        }
    }

    /// The workspace of a path: in the default region where the query names none.
    pub(super) fn workspace(&self, tenant: &str, workspace: &str, region: Option<&str>) -> ResourceKey {
        let region = region.unwrap_or(&self.config.default_region);
        ResourceKey::tenant(Kind::Workspace, region, tenant, workspace)
    }

    pub(super) async fn workspaces(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [binding] = parameters(query, ["binding"])?;
        let binding = match binding.as_deref() {
            None | Some("all") => None,
            Some("none") => Some(Binding::None),
            Some("bound") => Some(Binding::Bound),
            Some("unbound") => Some(Binding::Unbound),
            Some(_) => {
                return Err(Failure::parameter("binding", "`binding` must be `all`, `none`, `bound` or `unbound`"));
            }
        };
        let items = self.bindings.workspaces(binding).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }

    pub(super) async fn orphans(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [] = parameters(query, [])?;
        let orphans = self.bindings.orphans().await.map_err(refused)?;
        let items: Vec<Value> = orphans
            .iter()
            .map(|(project, object)| {
                let mut item = json!({ "project": project });
                if let (Some(item), Value::Object(object)) = (item.as_object_mut(), json!(object)) {
                    item.extend(object);
                }
                item
            })
            .collect();
        Ok(answer(StatusCode::OK, &json!({ "items": items })))
    }
}

/// The workspace is there, and only its binding is not.
fn unbound(key: &ResourceKey) -> Failure {
    let remedy = "bind it with a PUT of {\"apiToken\": \"…\"} to this path";
    Failure::new(ProblemKind::NotFound, format!("{key} is not bound to a Hetzner Cloud project; {remedy}"))
}

/// A string that is a secret from the moment it is read. It has no Debug and no Display.
struct Secret(SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindBody {
    #[serde(default)]
    api_token: Option<Secret>,
    #[serde(default)]
    api_endpoint: Option<String>,
    #[serde(default)]
    project_ref: Option<String>,
}

fn bind_request(bytes: &[u8]) -> Result<BindRequest, Failure> {
    const PROJECT_REF_MAX: usize = 256;
    if bytes.is_empty() {
        return Err(Failure::malformed("the body is empty; send {\"apiToken\": \"…\"}"));
    }
    // The parser's own message may repeat what it read, so only the place of the error is told.
    let body: BindBody =
        serde_json::from_slice(bytes).map_err(|error| Failure::malformed(json::unreadable(&error).to_string()))?;
    let refuse = |member: &str, rule: &str| {
        Failure::violations(ProblemKind::InvalidRequest, &[Violation::at(format!("/{member}"), rule)])
    };
    let token = body.api_token.map(|secret| secret.0).ok_or_else(|| {
        refuse("apiToken", "`apiToken` is required: a read-write API token of the Hetzner Cloud project")
    })?;
    let text = token.expose_secret();
    if text.is_empty() || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("apiToken", "`apiToken` must be 1 to 512 visible ASCII characters, without spaces"));
    }
    let endpoint = body.api_endpoint.filter(|text| !text.is_empty());
    let project_ref = body.project_ref.filter(|text| !text.is_empty());
    if project_ref
        .as_ref()
        .is_some_and(|text| text.chars().count() > PROJECT_REF_MAX || text.chars().any(char::is_control))
    {
        return Err(refuse("projectRef", "`projectRef` must be at most 256 printable characters"));
    }
    Ok(BindRequest { token, endpoint, project_ref })
}
