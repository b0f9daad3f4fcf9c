//! The identity of a resource: its kind and the parts of its path.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Scope};

/// What names a resource for good: kind, region, tenant, workspace, network and name. Parts that a kind does
/// not have are empty. `Display` prints the canonical URN, in which the region has no place.
///
/// Two live resources never share a key; a resource made again under an old key has another `uid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The tenant; empty for regions.
    pub tenant: String,
    /// The region; empty for global kinds.
    pub region: String,
    /// The kind.
    pub kind: Kind,
    /// The workspace, for kinds in a workspace or a network. A workspace's own name stands in `name`.
    pub workspace: String,
    /// The network, for subnets and route tables.
    pub network: String,
    /// The name.
    pub name: String,
}

impl ResourceKey {
    /// A key of a tenant's own kinds: workspaces, images, SKUs (with a region), roles (with an empty one).
    pub fn tenant(kind: Kind, region: &str, tenant: &str, name: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            region: region.to_owned(),
            kind,
            workspace: String::new(),
            network: String::new(),
            name: name.to_owned(),
        }
    }

    /// The key of the parent (the network, or the workspace), where the kind has one.
    pub fn parent(&self) -> Option<Self> {
        match self.kind.scope() {
            Scope::Network => {
                Some(Self { kind: Kind::Network, network: String::new(), name: self.network.clone(), ..self.clone() })
            }
            Scope::Workspace => self.workspace_key(),
            _ => None,
        }
    }

    /// The key of the workspace that the resource lives in; for a workspace, itself.
    pub fn workspace_key(&self) -> Option<Self> {
        match self.kind.scope() {
            Scope::Network | Scope::Workspace => {
                Some(Self::tenant(Kind::Workspace, &self.region, &self.tenant, &self.workspace))
            }
            _ if self.kind == Kind::Workspace => Some(self.clone()),
            _ => None,
        }
    }

    /// A key of another kind in the same workspace.
    pub fn sibling(&self, kind: Kind, name: &str) -> Self {
        Self { kind, network: String::new(), name: name.to_owned(), ..self.clone() }
    }

    /// `instances/web-1`, `networks/main/subnets/a`: the part of the URN below tenant and workspace, which is
    /// `metadata.resource` and the resource of a permission.
    pub fn resource(&self) -> String {
        [&self.collection(), "/", &self.name].concat()
    }

    /// `instances`, `networks/main/subnets`: the same for the collection.
    pub fn collection(&self) -> String {
        match self.kind.scope() {
            Scope::Network => format!("networks/{}/{}", self.network, self.kind.collection()),
            _ => self.kind.collection().to_owned(),
        }
    }

    /// The canonical URN, `seca.compute/v1/tenants/t/workspaces/w/instances/web-1`: `metadata.ref`.
    pub fn urn(&self) -> String {
        let resource = self.resource();
        let provider = self.kind.provider().id();
        match self.kind.scope() {
            Scope::Global => [provider, "/", &resource].concat(),
            Scope::Workspace | Scope::Network => {
                [provider, "/tenants/", &self.tenant, "/workspaces/", &self.workspace, "/", &resource].concat()
            }
            _ => [provider, "/tenants/", &self.tenant, "/", &resource].concat(),
        }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.urn())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_prints_its_urn_and_knows_its_parents() {
        let subnet = ResourceKey {
            tenant: "t".into(),
            region: "fsn1".into(),
            kind: Kind::Subnet,
            workspace: "w".into(),
            network: "n".into(),
            name: "s".into(),
        };
        assert_eq!(subnet.urn(), "seca.network/v1/tenants/t/workspaces/w/networks/n/subnets/s");
        let network = subnet.parent().unwrap();
        assert_eq!(network.urn(), "seca.network/v1/tenants/t/workspaces/w/networks/n");
        let workspace = network.parent().unwrap();
        assert_eq!(workspace.urn(), "seca.workspace/v1/tenants/t/workspaces/w");
        assert_eq!(subnet.workspace_key(), Some(workspace.clone()));
        assert_eq!(workspace.parent(), None);
        assert_eq!(workspace.region, "fsn1");
    }
}
