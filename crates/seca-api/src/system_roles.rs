//! The system roles: five roles that every tenant has and nobody changes.
//!
//! They are data here and rows nowhere, so that a new release brings its roles with it. The specification leaves
//! `security-group-rules/*` out of all of them; who may write a security group may write its rules.

use crate::{
    kind::Provider,
    resource::TextMap,
    specs::{Permission, RoleSpec},
};

/// What every system role's name begins with; no other role's name may.
pub const PREFIX: &str = "seca.";

const ALL: &[&str] = &["get", "list", "delete", "put", "post"];
const WITHOUT_ACTIONS: &[&str] = &["get", "list", "put", "delete"];
const CREATE: &[&str] = &["get", "list", "put"];
const EDIT: &[&str] = &["get", "list", "put", "post"];
const READ: &[&str] = &["get", "list"];

const AUTHORIZATION: &[&str] = &["roles/*", "role-assignments/*"];
const REGION: &[&str] = &["regions/*"];
const WORKSPACE: &[&str] = &["workspaces/*"];
const NETWORK: &[&str] = &[
    "networks/*",
    "subnets/*",
    "route-tables/*",
    "nics/*",
    "internet-gateways/*",
    "security-groups/*",
    "security-group-rules/*",
    "public-ips/*",
    "skus/*",
];
const COMPUTE: &[&str] = &["instances/*", "skus/*"];
const STORAGE: &[&str] = &["images/*", "block-storages/*", "skus/*"];

/// A role that comes with every tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemRole {
    /// Its name, `seca.admin`.
    pub name: &'static str,
    /// For whom it is; the annotation `description`.
    pub description: &'static str,
    /// What it allows.
    pub permissions: &'static [SystemPermission],
}

/// Verbs on resources of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemPermission {
    /// The provider.
    pub provider: Provider,
    /// Its resources, `images/*`.
    pub resources: &'static [&'static str],
    /// What may be done.
    pub verbs: &'static [&'static str],
}

const fn permit(
    provider: Provider,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> SystemPermission {
    SystemPermission { provider, resources, verbs }
}

/// The system roles, the mightiest first.
pub const SYSTEM_ROLES: &[SystemRole] = &[
    SystemRole {
        name: "seca.admin",
        description: "Everything in the tenant, its roles and role assignments included.",
        permissions: &[
            permit(Provider::Authorization, AUTHORIZATION, ALL),
            permit(Provider::Region, REGION, READ),
            permit(Provider::Workspace, WORKSPACE, ALL),
            permit(Provider::Network, NETWORK, ALL),
            permit(Provider::Compute, COMPUTE, ALL),
            permit(Provider::Storage, STORAGE, ALL),
        ],
    },
    SystemRole {
        name: "seca.region-admin",
        description: "Everything in the regions of the assignment but roles and role assignments.",
        permissions: &[
            permit(Provider::Region, REGION, READ),
            permit(Provider::Workspace, WORKSPACE, WITHOUT_ACTIONS),
            permit(Provider::Network, NETWORK, ALL),
            permit(Provider::Compute, COMPUTE, ALL),
            permit(Provider::Storage, STORAGE, ALL),
        ],
    },
    SystemRole {
        name: "seca.workspace-admin",
        description: "Everything in the workspaces of the assignment; the workspaces themselves can be created and \
                      changed, but not deleted.",
        permissions: &[
            permit(Provider::Region, REGION, READ),
            permit(Provider::Workspace, WORKSPACE, CREATE),
            permit(Provider::Network, NETWORK, ALL),
            permit(Provider::Compute, COMPUTE, ALL),
            permit(Provider::Storage, STORAGE, ALL),
        ],
    },
    SystemRole {
        name: "seca.workspace-editor",
        description: "Resources in the workspaces of the assignment can be created and changed, but not deleted.",
        permissions: &[
            permit(Provider::Region, REGION, READ),
            permit(Provider::Network, NETWORK, EDIT),
            permit(Provider::Compute, COMPUTE, EDIT),
            permit(Provider::Storage, STORAGE, EDIT),
        ],
    },
    SystemRole {
        name: "seca.workspace-viewer",
        description: "Resources in the workspaces of the assignment can be read.",
        permissions: &[
            permit(Provider::Region, REGION, READ),
            permit(Provider::Network, NETWORK, READ),
            permit(Provider::Compute, COMPUTE, READ),
            permit(Provider::Storage, STORAGE, READ),
        ],
    },
];

impl SystemRole {
    /// The specification as clients read it.
    pub fn spec(&self) -> RoleSpec {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let permission = |permission: &SystemPermission| Permission {
            provider: permission.provider.id().to_owned(),
            resources: texts(permission.resources),
            verb: texts(permission.verbs),
        };
        RoleSpec { permissions: self.permissions.iter().map(permission).collect() }
    }

    /// The annotations as clients read them: `description`.
    pub fn annotations(&self) -> TextMap {
        TextMap::from([("description".to_owned(), self.description.to_owned())])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn find(name: &str) -> Option<&'static SystemRole> {
        SYSTEM_ROLES.iter().find(|role| role.name == name)
    }
    use crate::{Kind, check, names, spec_schema};

    /// The table of the specification, one line per role: the verbs on authorization, region, workspace, and on
    /// network, compute and storage alike.
    const TABLE: &str = "
        seca.admin            | delete get list post put | get list | delete get list post put | delete get list post put
        seca.region-admin     |                          | get list | delete get list put      | delete get list post put
        seca.workspace-admin  |                          | get list | get list put             | delete get list post put
        seca.workspace-editor |                          | get list |                          | get list post put
        seca.workspace-viewer |                          | get list |                          | get list
    ";

    fn verbs(role: &SystemRole, provider: Provider) -> String {
        let permissions = role.permissions.iter().filter(|permission| permission.provider == provider);
        let verbs: BTreeSet<_> = permissions.flat_map(|permission| permission.verbs).copied().collect();
        verbs.into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn they_are_those_of_the_specification() {
        let lines: Vec<_> = TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), SYSTEM_ROLES.len());
        for line in lines {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let role = find(cells[0]).unwrap();
            let of = |provider| verbs(role, provider);
            assert_eq!(of(Provider::Authorization), cells[1], "{line}");
            assert_eq!(of(Provider::Region), cells[2], "{line}");
            assert_eq!(of(Provider::Workspace), cells[3], "{line}");
            for provider in [Provider::Network, Provider::Compute, Provider::Storage] {
                assert_eq!(of(provider), cells[4], "{line}");
            }
        }
    }

    #[test]
    fn each_permission_covers_every_kind_of_its_provider() {
        for role in SYSTEM_ROLES {
            for permission in role.permissions {
                let kinds = Kind::ALL.into_iter().filter(|kind| kind.provider() == permission.provider);
                let expect: BTreeSet<_> = kinds.map(|kind| format!("{}/*", kind.collection())).collect();
                let found: BTreeSet<_> = permission.resources.iter().map(|text| (*text).to_owned()).collect();
                assert_eq!(found, expect, "{} {}", role.name, permission.provider.name());
                assert_eq!(found.len(), permission.resources.len());
            }
        }
    }

    #[test]
    fn they_keep_the_rules_of_roles() {
        for role in SYSTEM_ROLES {
            assert!(role.name.starts_with(PREFIX));
            assert_eq!(names::name_violation(Kind::Role, role.name), None);
            let spec = serde_json::to_value(role.spec()).unwrap();
            assert_eq!(check(spec_schema(Kind::Role).unwrap(), &spec, "/spec"), []);
            assert_eq!(role.annotations()["description"], role.description);
        }
        assert_eq!(find("seca.viewer"), None);
    }

    #[test]
    fn the_viewer_reads_as_clients_expect_it() {
        let spec = serde_json::to_string(&find("seca.workspace-viewer").unwrap().spec()).unwrap();
        let begin =
            r#"{"permissions":[{"provider":"seca.region/v1","resources":["regions/*"],"verb":["get","list"]},{"#;
        assert!(spec.starts_with(begin), "{spec}");
    }
}
