//! Paths of the admin API. Pure.

use axum::http::Method;

use crate::route::{RouteError, Segment};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tenants,
    Tenant(String),
    /// By the subject, which may hold anything that is printable.
    TenantAdmin {
        tenant: String,
        subject: String,
    },
    DeniedTokens,
    /// By the token's id, which may hold anything that is printable.
    DeniedToken(String),
    Explain,
    Activity,
    Projects,
    /// By the project's id.
    GoneProject(String),
    PausedWorkspaces,
    Pause {
        tenant: String,
        workspace: String,
    },
    Binding {
        tenant: String,
        workspace: String,
    },
    Workspaces,
    Orphans,
}

/// What a path that names nothing is told.
pub(super) const UNKNOWN: &str = "no resource of the admin API has this path; below /admin/v1 there are tenants, \
    tenants/{tenant}, tenants/{tenant}/admins/{subject}, tenants/{tenant}/workspaces/{workspace}/pause, \
    tenants/{tenant}/workspaces/{workspace}/providers/hetzner, workspaces, paused-workspaces, orphans, projects, \
    projects/{project}/gone, activity, explain, denied-tokens and denied-tokens/{jti}";

impl Place {
    pub(super) fn parse(path: &str) -> Result<Self, RouteError> {
        let path = path.strip_prefix("/admin/v1/").ok_or(RouteError::Unknown)?;
        let segments: Vec<Segment> = path.split('/').map(Segment::decode).collect();
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        let name = |at: usize, what: &str| segments[at].name(what, "");
        match texts[..] {
            ["tenants"] => Ok(Self::Tenants),
            ["tenants", _] => Ok(Self::Tenant(name(1, "tenant")?)),
            ["tenants", _, "admins", subject] if !subject.is_empty() => {
                Ok(Self::TenantAdmin { tenant: name(1, "tenant")?, subject: subject.to_owned() })
            }
            ["denied-tokens"] => Ok(Self::DeniedTokens),
            ["denied-tokens", id] if !id.is_empty() => Ok(Self::DeniedToken(id.to_owned())),
            ["explain"] => Ok(Self::Explain),
            ["activity"] => Ok(Self::Activity),
            ["projects"] => Ok(Self::Projects),
            ["projects", id, "gone"] if !id.is_empty() => Ok(Self::GoneProject(id.to_owned())),
            ["paused-workspaces"] => Ok(Self::PausedWorkspaces),
            ["workspaces"] => Ok(Self::Workspaces),
            ["orphans"] => Ok(Self::Orphans),
            ["tenants", _, "workspaces", _, "pause"] => {
                Ok(Self::Pause { tenant: name(1, "tenant")?, workspace: name(3, "workspace")? })
            }
            ["tenants", _, "workspaces", _, "providers", "hetzner"] => {
                Ok(Self::Binding { tenant: name(1, "tenant")?, workspace: name(3, "workspace")? })
            }
            _ => Err(RouteError::Unknown),
        }
    }

    /// What is asked for, in a word, for metrics.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Tenants | Self::Tenant(_) => "tenant",
            Self::TenantAdmin { .. } => "tenant-admin",
            Self::DeniedTokens | Self::DeniedToken(_) => "denied-token",
            Self::Explain => "explain",
            Self::Activity => "activity",
            Self::Projects | Self::GoneProject(_) => "project",
            Self::PausedWorkspaces | Self::Pause { .. } => "pause",
            Self::Binding { .. } => "binding",
            Self::Workspaces => "workspace",
            Self::Orphans => "orphan",
        }
    }

    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Binding { .. } => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Tenant(_) => &[Method::GET, Method::PUT, Method::PATCH],
            Self::TenantAdmin { .. } | Self::GoneProject(_) => &[Method::PUT],
            Self::DeniedToken(_) | Self::Pause { .. } => &[Method::PUT, Method::DELETE],
            _ => &[Method::GET],
        }
    }
}
/// A method as metrics tell it.
pub(super) fn word(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::POST => "post",
        _ => "get",
    }
}
