//! Which resources there are, and where they live.

use seca_api::{Conditions, Kind, Metadata, Observed, Resource, Scope, Specification, StatusCondition};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

/// A resource that the API serves.
pub trait ApiResource: DeserializeOwned + Send + 'static {
    /// Its kind.
    const KIND: Kind;
    /// What is wanted of it.
    type Spec: Serialize + Send + Sync;
    /// What is.
    type Status: Conditions;

    /// What the server says of it.
    fn metadata(&self) -> &Metadata;
    /// Its status; none for kinds of the catalogue.
    fn status(&self) -> Option<&Self::Status>;

    /// The transitions of its state, newest first.
    fn conditions(&self) -> &[StatusCondition] {
        self.status().map_or(&[], Conditions::conditions)
    }
}

/// A resource that clients may create, replace and delete.
pub trait Writable: ApiResource {}

impl<Spec, Status> ApiResource for Resource<Spec, Status>
where
    Spec: Specification + Send + Sync + 'static,
    Status: Conditions + DeserializeOwned + Send + 'static,
{
    const KIND: Kind = Spec::KIND;
    type Spec = Spec;
    type Status = Status;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }
}

impl<Spec, Status> Writable for Resource<Spec, Status>
where
    Self: ApiResource<Status = Status>,
    Status: Observed,
{
}

/// Where a collection is, below the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    workspace: Option<String>,
    network: Option<String>,
}

impl Place {
    /// The tenant itself: workspaces, images, SKUs (and regions, which have no tenant).
    pub fn tenant() -> Self {
        Self::default()
    }

    /// A workspace.
    pub fn workspace(name: &str) -> Self {
        Self { workspace: Some(name.to_owned()), network: None }
    }

    /// A network of a workspace.
    pub fn network(workspace: &str, network: &str) -> Self {
        Self { workspace: Some(workspace.to_owned()), network: Some(network.to_owned()) }
    }

    /// The segments of a collection's path, behind the provider's address.
    pub(crate) fn segments<'a>(&'a self, kind: Kind, tenant: &'a str) -> Result<Vec<&'a str>, Error> {
        let mut segments = vec![kind.provider().version()];
        if kind.scope() != Scope::Global {
            segments.extend(["tenants", tenant]);
        }
        match (kind.scope(), self.workspace.as_deref(), self.network.as_deref()) {
            (Scope::Network, Some(workspace), Some(network)) => {
                segments.extend(["workspaces", workspace, "networks", network]);
            }
            (Scope::Workspace, Some(workspace), None) => segments.extend(["workspaces", workspace]),
            (Scope::Global | Scope::GlobalTenant | Scope::Tenant, None, None) => {}
            (_, None, _) => return Err(Error::Place { kind, place: "a tenant" }),
            (_, _, None) => return Err(Error::Place { kind, place: "a workspace" }),
            (_, _, Some(_)) => return Err(Error::Place { kind, place: "a network" }),
        }
        segments.push(kind.collection());
        Ok(segments)
    }
}

impl From<()> for Place {
    fn from((): ()) -> Self {
        Self::tenant()
    }
}

impl From<&str> for Place {
    fn from(workspace: &str) -> Self {
        Self::workspace(workspace)
    }
}

impl From<(&str, &str)> for Place {
    fn from((workspace, network): (&str, &str)) -> Self {
        Self::network(workspace, network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_only_where_it_lives() {
        let path = |place: Place, kind| place.segments(kind, "t").map(|s| s.join("/")).map_err(|e| e.to_string());
        assert_eq!(path(().into(), Kind::Region).unwrap(), "v1/regions");
        assert_eq!(path(().into(), Kind::Workspace).unwrap(), "v1/tenants/t/workspaces");
        assert_eq!(path("w".into(), Kind::Instance).unwrap(), "v1/tenants/t/workspaces/w/instances");
        let nested = path(("w", "n").into(), Kind::RouteTable).unwrap();
        assert_eq!(nested, "v1/tenants/t/workspaces/w/networks/n/route-tables");
        assert_eq!(
            path("w".into(), Kind::Image).unwrap_err(),
            "no image lives in a workspace; name neither workspace nor network"
        );
        assert!(path(().into(), Kind::Instance).is_err());
        assert!(path("w".into(), Kind::Subnet).is_err());
        assert!(path(("w", "n").into(), Kind::Network).is_err());
    }
}
