//! Where something is asked for, and where a role counts.

use std::collections::BTreeSet;

use seca_api::{Kind, Provider, ResourceKey, RoleAssignmentScope, Scope};
use serde::Serialize;

use crate::service::Within;

/// Stands for all tenants in a scope, and for all subjects in an assignment. No other dimension knows it: a
/// workspace named `*` is a workspace that cannot be.
pub(super) const ALL: &str = "*";

/// A dimension of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// The tenant.
    Tenant,
    /// The region.
    Region,
    /// The workspace.
    Workspace,
}

/// Where in its tenant something is asked for. A dimension that a request does not have is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    region: Option<&'a str>,
    workspace: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// Decided by the kind and not by what is empty, so that a part that was forgotten matches nothing. A workspace
    /// is itself in the dimension of workspaces, their collection is not.
    pub(super) fn of(key: &'a ResourceKey) -> Self {
        let workspace = match key.kind.scope() {
            Scope::Workspace | Scope::Network => Some(key.workspace.as_str()),
            _ if key.kind == Kind::Workspace && !key.name.is_empty() => Some(key.name.as_str()),
            _ => None,
        };
        Self { region: (!key.kind.provider().is_global()).then_some(key.region.as_str()), workspace }
    }
}

/// Names in a dimension; none for a dimension that does not restrict.
pub(super) type Names = Option<BTreeSet<String>>;

/// A set of places of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Area {
    pub(super) regions: Names,
    pub(super) workspaces: Names,
}

impl Area {
    /// The places of a scope, where an empty dimension does not restrict.
    pub(super) fn of_scope(scope: &RoleAssignmentScope) -> Self {
        let names = |names: &[String]| (!names.is_empty()).then(|| names.iter().cloned().collect());
        Self { regions: names(&scope.regions), workspaces: names(&scope.workspaces) }
    }

    /// The dimension in which a place is outside.
    pub(super) fn fault(&self, place: Place<'_>) -> Option<Dimension> {
        fault(&self.regions, &self.workspaces, place)
    }

    /// Whether it is less than the whole tenant.
    pub(super) fn is_confined(&self) -> bool {
        self.regions.is_some() || self.workspaces.is_some()
    }
}

/// Whether a right that is confined, or not, to some regions or workspaces reaches a provider's resources: see the
/// module's documentation about roles and role assignments.
pub(super) fn reaches(confined: bool, provider: Provider) -> bool {
    !(confined && provider == Provider::Authorization)
}

/// The dimension in which a credential does not reach.
pub(super) fn credential_fault(within: &Within, tenant: &str, place: Place<'_>) -> Option<Dimension> {
    if !holds_name(&within.tenants, Some(tenant)) {
        return Some(Dimension::Tenant);
    }
    fault(&within.regions, &within.workspaces, place)
}

/// The dimension in which a credential keeps its bearer from a provider whatever the place.
pub(super) fn credential_confines(within: &Within, provider: Provider) -> Option<Dimension> {
    if !reaches(within.regions.is_some(), provider) {
        return Some(Dimension::Region);
    }
    (!reaches(within.workspaces.is_some(), provider)).then_some(Dimension::Workspace)
}

fn fault(regions: &Names, workspaces: &Names, place: Place<'_>) -> Option<Dimension> {
    let outside = |names: &Names, name: Option<&str>| name.is_some() && !holds_name(names, name);
    if outside(regions, place.region) {
        return Some(Dimension::Region);
    }
    outside(workspaces, place.workspace).then_some(Dimension::Workspace)
}

/// Whether the names of a dimension contain a name, or, with none, all of the dimension.
pub(super) fn holds_name(names: &Names, name: Option<&str>) -> bool {
    match (names, name) {
        (None, _) => true,
        (Some(names), Some(name)) => names.contains(name),
        (Some(_), None) => false,
    }
}

/// How far a scope reaches, seen from one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Not into the tenant.
    Elsewhere,
    /// Into the tenant, by its name or as the assignment's own.
    Here,
    /// Into every tenant.
    Everywhere,
}

/// How far a scope of an assignment in `own` reaches, seen from `here`.
pub(super) fn reach(scope: &RoleAssignmentScope, own: &str, here: &str) -> Reach {
    if scope.tenants.iter().any(|tenant| tenant == ALL) {
        Reach::Everywhere
    } else if scope.tenants.iter().any(|tenant| tenant == here) || (scope.tenants.is_empty() && own == here) {
        Reach::Here
    } else {
        Reach::Elsewhere
    }
}
