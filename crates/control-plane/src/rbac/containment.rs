//! No one can grant what they do not have: what a write of a role or a role assignment would hand out, and whether
//! who writes it holds all of that.
//!
//! What is wanted is taken apart into atoms of one tenant, one region or all, one workspace or all, one pattern of
//! one kind, and one verb. An atom is held when one scope of one assignment contains its place, and one of that
//! assignment's roles its pattern and verb. So scopes that only together cover all regions hold no right in all
//! regions: which regions there are changes. Kinds change with releases only, and then for who grants as for whom
//! it is granted to; so `*` is held by who holds `<type>/*` of every type.
//!
//! A right that is bound to the life of a workspace is held for what ends with that life as well, and for nothing else:
//! otherwise its holder could make of it one that outlives the workspace and counts in the next of that name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use seca_api::{Kind, Provider, RoleAssignmentSpec, RoleSpec};

use super::{
    pattern::{Pattern, Permission, Verbs, verbs},
    policy::{Assignment, Policy, system_role},
    scope::{self, ALL, Area, Names, Reach},
};
use crate::{kinds::clip, scopes::only_workspace, service::Caller};

/// The tenants in which something is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WantedTenant {
    /// All that there are and will be: any policy can answer for it, as only what opens all tenants holds it.
    Every,
    /// One, whose policy has to answer.
    Named(String),
}

/// What a write would hand out in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    tenant: WantedTenant,
    areas: Vec<WantedArea>,
    permissions: Arc<[WantedPermission]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WantedArea {
    area: Arc<Area>,
    /// Whether the assignment is bound to the life of the workspace that is there now.
    mortal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WantedPermission {
    provider: Provider,
    text: String,
    pattern: Pattern,
    verbs: Verbs,
}

/// The first thing that is wanted and not held, for a sentence: `put on instances/* of seca.compute in tenant x,
/// region *, workspace *`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{verb} on {} of {} in tenant {tenant}, region {region}, workspace {}", clip(.resource), .provider.name(), clip(.workspace))]
pub struct Missing {
    /// The verb.
    pub verb: &'static str,
    /// The resources, as the role names them.
    pub resource: String,
    /// The provider.
    pub provider: Provider,
    /// The tenant; `*` is every one.
    pub tenant: String,
    /// The region; `*` is every one.
    pub region: String,
    /// The workspace; `*` is every one.
    pub workspace: String,
}

impl Missing {
    /// The same for who may not know where the role counts.
    pub(crate) fn without_place(&self) -> String {
        format!(
            "{} on {} of {} everywhere that the role is assigned for",
            self.verb,
            clip(&self.resource),
            self.provider.name()
        )
    }
}

impl Wanted {
    /// What an assignment in `tenant` would hand out. `find` finds the tenant's own roles; system roles need no
    /// finding. A role that does not exist hands out nothing yet: when it is made, [`Wanted::of_role`] asks.
    pub fn of_assignment(
        tenant: &str,
        spec: &RoleAssignmentSpec,
        mut find: impl FnMut(&str) -> Option<RoleSpec>,
    ) -> Vec<Self> {
        let roles = spec.roles.iter().collect::<BTreeSet<_>>().into_iter();
        let roles: Vec<_> = roles.filter_map(|name| system_role(name).or_else(|| find(name))).collect();
        Self::split(tenant, [spec], &roles)
    }

    /// What a role in `tenant` would hand out through the assignments of that tenant which name it.
    pub fn of_role<'a>(
        tenant: &str,
        spec: &RoleSpec,
        named_by: impl IntoIterator<Item = &'a RoleAssignmentSpec>,
    ) -> Vec<Self> {
        Self::split(tenant, named_by, std::slice::from_ref(spec))
    }

    /// One for each tenant that the scopes reach.
    fn split<'a>(
        tenant: &str,
        assignments: impl IntoIterator<Item = &'a RoleAssignmentSpec>,
        roles: &[RoleSpec],
    ) -> Vec<Self> {
        let mut areas: BTreeMap<WantedTenant, BTreeSet<WantedArea>> = BTreeMap::new();
        let scopes = assignments.into_iter().flat_map(|spec| {
            let mortal = is_mortal(tenant, spec);
            spec.scopes.iter().map(move |scope| (scope, mortal))
        });
        for (scope, mortal) in scopes {
            let area = WantedArea { area: Arc::new(Area::of_scope(scope)), mortal };
            let named = |name: &String| WantedTenant::Named(name.clone());
            let tenants: BTreeSet<_> = if scope.tenants.iter().any(|name| name == ALL) {
                BTreeSet::from([WantedTenant::Every])
            } else if scope.tenants.is_empty() {
                BTreeSet::from([WantedTenant::Named(tenant.to_owned())])
            } else {
                scope.tenants.iter().map(named).collect()
            };
            for tenant in tenants {
                areas.entry(tenant).or_default().insert(area.clone());
            }
        }
        let permissions: Arc<[_]> = WantedPermission::all(roles).into();
        let wanted = |(tenant, areas): (_, BTreeSet<_>)| Self {
            tenant,
            areas: areas.into_iter().collect(),
            permissions: Arc::clone(&permissions),
        };
        areas.into_iter().map(wanted).collect()
    }

    /// The tenant whose policy has to answer.
    pub fn tenant(&self) -> &WantedTenant {
        &self.tenant
    }

    fn missing(
        &self,
        permission: &WantedPermission,
        verbs: Verbs,
        region: Option<&str>,
        workspace: Option<&str>,
    ) -> Missing {
        let tenant = match &self.tenant {
            WantedTenant::Every => ALL,
            WantedTenant::Named(tenant) => tenant,
        };
        Missing {
            verb: verbs.first().unwrap_or_default(),
            resource: permission.text.clone(),
            provider: permission.provider,
            tenant: tenant.to_owned(),
            region: region.unwrap_or(ALL).to_owned(),
            workspace: workspace.unwrap_or(ALL).to_owned(),
        }
    }
}

/// Whether an assignment is bound to one workspace where that is there: it names the region too, for without one it is
/// bound to none while several regions have such a workspace.
fn is_mortal(tenant: &str, spec: &RoleAssignmentSpec) -> bool {
    let text = serde_json::to_string(spec).unwrap_or_default();
    only_workspace(tenant, &text).is_some_and(|only| only.region.is_some())
}

impl WantedPermission {
    /// The permissions of roles, each pattern once. Words that are no provider or no verb hand out nothing, and no
    /// role that has them is accepted.
    fn all(roles: &[RoleSpec]) -> Vec<Self> {
        let mut found: BTreeMap<(Provider, &str), Verbs> = BTreeMap::new();
        for permission in roles.iter().flat_map(|role| &role.permissions) {
            let Some(provider) = Provider::parse(&permission.provider) else { continue };
            for text in &permission.resources {
                let known = found.entry((provider, text)).or_default();
                *known = known.union(verbs(&permission.verb));
            }
        }
        let wanted = |((provider, text), verbs): ((Provider, &str), Verbs)| Self {
            provider,
            text: text.to_owned(),
            pattern: Pattern::new(provider, text).handed_out(provider),
            verbs,
        };
        found.into_iter().filter(|(_, verbs)| *verbs != Verbs::default()).map(wanted).collect()
    }

    /// The verbs that the permissions do not contain.
    fn lacking(&self, held: &[&Permission]) -> Option<Verbs> {
        let lacking = |kind: Kind| {
            let held = held.iter().filter(|permission| permission.provider == self.provider);
            let held = held.filter(|permission| permission.patterns.iter().any(|p| p.contains(&self.pattern, kind)));
            let lacking = held.fold(self.verbs, |verbs, permission| verbs.without(permission.verbs));
            (lacking != Verbs::default()).then_some(lacking)
        };
        self.pattern.kinds().iter().find_map(lacking)
    }
}

/// Scopes that may hold what is wanted, with their assignments.
type Holders<'p> = Vec<(&'p Assignment, &'p Area)>;

impl Policy {
    /// Whether the caller holds all that is wanted, as far as their credential reaches too.
    ///
    /// # Errors
    /// The first thing that is missing. Of a tenant that is not this policy's, all is.
    pub fn holds(&self, caller: &Caller, wanted: &Wanted) -> Result<(), Missing> {
        for mortal in [false, true] {
            let holders = self.holders(caller, &wanted.tenant, mortal);
            let areas = wanted.areas.iter().filter(|area| area.mortal == mortal);
            hold(caller, wanted, areas.map(|area| area.area.as_ref()), &holders)?;
        }
        Ok(())
    }

    /// The scopes of the caller that reach into all of the tenants; `mortal`: also of what ends with a workspace.
    fn holders(&self, caller: &Caller, tenant: &WantedTenant, mortal: bool) -> Holders<'_> {
        let (least, inside) = match tenant {
            WantedTenant::Every => (Reach::Everywhere, scope::holds_name(&caller.within.tenants, None)),
            WantedTenant::Named(name) => {
                (Reach::Here, *name == self.tenant && scope::holds_name(&caller.within.tenants, Some(name)))
            }
        };
        let counting = self.naming(&caller.subject).filter(|assignment| inside && (mortal || !assignment.is_bound()));
        let scopes = counting.flat_map(|assignment| {
            let reaching = assignment.scopes.iter().filter(move |(reach, _)| *reach >= least);
            reaching.map(move |(_, area)| (assignment, area))
        });
        scopes.collect()
    }
}

/// Whether what is wanted in these areas is held by these scopes.
fn hold<'w>(
    caller: &Caller,
    wanted: &Wanted,
    areas: impl Iterator<Item = &'w Area>,
    holders: &Holders<'_>,
) -> Result<(), Missing> {
    let mut judged = BTreeSet::new();
    for area in areas {
        let regions = atoms(&area.regions, |region| {
            let inside = scope::holds_name(&caller.within.regions, region);
            indices(holders, |area| inside && scope::holds_name(&area.regions, region))
        });
        let workspaces = atoms(&area.workspaces, |workspace| {
            let inside = scope::holds_name(&caller.within.workspaces, workspace);
            indices(holders, |area| inside && scope::holds_name(&area.workspaces, workspace))
        });
        for (in_region, region) in &regions {
            for (in_workspace, workspace) in &workspaces {
                let both: Vec<usize> = in_region.intersection(in_workspace).copied().collect();
                if judged.contains(&both) {
                    continue;
                }
                let scopes: Holders<'_> = both.iter().filter_map(|index| holders.get(*index).copied()).collect();
                if let Some((permission, verbs)) = lacking(wanted, caller, &scopes) {
                    return Err(wanted.missing(permission, verbs, *region, *workspace));
                }
                judged.insert(both);
            }
        }
    }
    Ok(())
}

/// The permission that the scopes do not hold, and the verbs of it.
fn lacking<'w>(wanted: &'w Wanted, caller: &Caller, scopes: &Holders<'_>) -> Option<(&'w WantedPermission, Verbs)> {
    let all = held(scopes, |_| true);
    let unconfined = held(scopes, |area| !area.is_confined());
    let lacking = |permission: &'w WantedPermission| {
        let held = match scope::credential_confines(&caller.within, permission.provider) {
            Some(_) => &[][..],
            None if scope::reaches(true, permission.provider) => &all,
            None => &unconfined,
        };
        permission.lacking(held).map(|verbs| (permission, verbs))
    };
    wanted.permissions.iter().find_map(lacking)
}

/// The permissions of the roles that count in the scopes.
fn held<'p>(scopes: &Holders<'p>, counts: impl Fn(&Area) -> bool) -> Vec<&'p Permission> {
    let roles = scopes.iter().filter(|(_, area)| counts(area)).flat_map(|(assignment, _)| &assignment.roles);
    let mut roles: Vec<_> = roles.filter_map(|role| role.permissions.as_ref()).collect();
    // A role that many scopes share is looked through once.
    roles.sort_unstable_by_key(|role| Arc::as_ptr(role));
    roles.dedup_by_key(|role| Arc::as_ptr(role));
    roles.into_iter().flat_map(|role| role.iter().flatten()).collect()
}

/// The names of a dimension, or all of it, that differ in who holds them: one of each sort is enough to judge by.
/// That keeps a scope of many regions and many workspaces from being as many places as their product.
fn atoms(names: &Names, holders: impl Fn(Option<&str>) -> BTreeSet<usize>) -> BTreeMap<BTreeSet<usize>, Option<&str>> {
    let mut atoms = BTreeMap::new();
    let Some(names) = names else {
        return BTreeMap::from([(holders(None), None)]);
    };
    for name in names {
        atoms.entry(holders(Some(name))).or_insert(Some(name.as_str()));
    }
    atoms
}

fn indices(holders: &Holders<'_>, counts: impl Fn(&Area) -> bool) -> BTreeSet<usize> {
    (0..holders.len()).filter(|index| holders.get(*index).is_some_and(|(_, area)| counts(area))).collect()
}
