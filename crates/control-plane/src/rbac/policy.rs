//! What may allow something in one tenant, read once, and the decision.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use seca_api::{Kind, Provider, ResourceKey, RoleAssignmentSpec, RoleSpec, SYSTEM_ROLES, Scope, system_roles::PREFIX};
use serde::Serialize;

use super::{
    pattern::{Permissions, Verbs, permissions},
    scope::{self, ALL, Area, Dimension, Place, Reach},
};
use crate::{
    Uid,
    service::{Ask, Caller},
};

/// A stored role.
#[derive(Clone, Copy, Debug)]
pub struct RoleRow<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its specification.
    pub spec_json: &'a str,
}

/// A stored role assignment.
#[derive(Clone, Copy, Debug)]
pub struct AssignmentRow<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its identity.
    pub uid: Uid,
    /// Its specification.
    pub spec_json: &'a str,
    /// The workspace to whose life it is bound ([`BoundWorkspace`](crate::ports::BoundWorkspace)).
    pub bound: Option<Uid>,
    /// The region of that workspace: of several that bear its name, the assignment counts in this one.
    pub region: Option<&'a str>,
}

/// Everything that may allow something in one tenant.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) tenant: String,
    assignments: Vec<Assignment>,
    /// The assignments by the subjects that they name.
    subjects: HashMap<String, Vec<usize>>,
    /// The assignments that name everybody.
    everybody: Vec<usize>,
    unreadable: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Assignment {
    tenant: String,
    name: String,
    uid: Uid,
    bound: Option<Uid>,
    pub(super) scopes: Vec<(Reach, Area)>,
    pub(super) roles: Vec<AssignedRole>,
}

#[derive(Clone, Debug)]
pub(super) struct AssignedRole {
    pub(super) name: String,
    /// None where there is no such role.
    pub(super) permissions: Option<Arc<Permissions>>,
}

/// Which assignment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentId<'p> {
    /// Its tenant.
    pub tenant: &'p str,
    /// Its name.
    #[serde(rename = "roleAssignment")]
    pub name: &'p str,
    /// Its identity.
    pub uid: Uid,
    /// The workspace to whose life it is bound.
    #[serde(rename = "boundWorkspace", skip_serializing_if = "Option::is_none")]
    pub bound: Option<Uid>,
}

/// What allows something. Indices count from 0, as in a JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant<'p> {
    /// The assignment; an explanation has named it already.
    #[serde(skip)]
    pub assignment: AssignmentId<'p>,
    /// The index of its scope.
    pub scope: usize,
    /// The role, a system role or one of the assignment's tenant.
    pub role: &'p str,
    /// The index of the role's permission.
    pub permission: usize,
}

/// The decision. Default deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// The caller may, by the first grant that was found.
    Allowed(Grant<'p>),
    /// The caller may not.
    Denied,
}

impl Decision<'_> {
    /// Whether the caller may.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// The condition that an assignment fails, of several the one that comes last: it was the nearest to a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unmet {
    /// No scope reaches into the tenant.
    Tenant,
    /// No scope covers the region.
    Region,
    /// No scope covers the workspace.
    Workspace,
    /// The scopes are confined to regions or workspaces, and so do not reach roles and role assignments.
    Unconfined,
    /// None of the roles exists.
    Role,
    /// No permission is about the provider.
    Provider,
    /// No permission of the provider is about the resource.
    Resource,
    /// No permission of the resource has the verb.
    Verb,
}

impl From<Dimension> for Unmet {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Tenant => Self::Tenant,
            Dimension::Region => Self::Region,
            Dimension::Workspace => Self::Workspace,
        }
    }
}

/// What is asked for, as assignments are judged by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) key: &'a ResourceKey,
    pub(super) place: Place<'a>,
    verb: Verbs,
}

impl<'a> Target<'a> {
    pub(super) fn of(ask: &Ask<'a>) -> Self {
        let verb = Verbs::parse(ask.verb);
        // A collection can be listed and nothing else, and nothing else can be: what asks otherwise gets nothing.
        let sound = ask.key.name.is_empty() == verb.intersects(Verbs::parse("list"));
        let verb = if sound { verb } else { Verbs::default() };
        Self { key: ask.key, place: Place::of(ask.key), verb }
    }

    pub(super) fn provider(&self) -> Provider {
        self.key.kind.provider()
    }
}

impl Policy {
    /// Reads the rows of a tenant: its roles and role assignments, the assignments of other tenants that open it,
    /// and the roles of those tenants. Rows that are of no account may be among them, but for one sort: what is
    /// being deleted (its deletion was accepted) grants nothing any more, and neither does what is bound to a
    /// workspace that is gone. No row shows that, so the caller leaves them out.
    ///
    /// A row that cannot be read grants nothing: see [`Policy::unreadable`].
    pub fn compile<'a>(
        tenant: &str,
        roles: impl IntoIterator<Item = RoleRow<'a>>,
        assignments: impl IntoIterator<Item = AssignmentRow<'a>>,
    ) -> Self {
        let mut policy = Self {
            tenant: tenant.to_owned(),
            assignments: Vec::new(),
            subjects: HashMap::new(),
            everybody: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut roles = Roles::new(roles);
        for row in assignments {
            match serde_json::from_str::<RoleAssignmentSpec>(row.spec_json) {
                Ok(spec) => policy.add(row, spec, &mut roles),
                Err(_) => policy.unreadable.push(unreadable(Kind::RoleAssignment, row.tenant, row.name)),
            }
        }
        policy.unreadable.append(&mut roles.unreadable);
        policy
    }

    fn add(&mut self, row: AssignmentRow<'_>, spec: RoleAssignmentSpec, roles: &mut Roles<'_>) {
        let regions = row.region.map(|region| BTreeSet::from([region.to_owned()]));
        let area = |scope: &_| {
            let area = Area::of_scope(scope);
            Area { regions: regions.clone().or(area.regions), ..area }
        };
        let scopes = spec.scopes.iter().map(|s| (scope::reach(s, row.tenant, &self.tenant), area(s)));
        let scopes: Vec<_> = scopes.collect();
        if row.tenant != self.tenant && scopes.iter().all(|(reach, _)| *reach == Reach::Elsewhere) {
            return;
        }
        let index = self.assignments.len();
        let subjects: BTreeSet<String> = spec.subs.into_iter().collect();
        if subjects.contains(ALL) {
            self.everybody.push(index);
        } else {
            for subject in subjects {
                self.subjects.entry(subject).or_default().push(index);
            }
        }
        let resolved = |name: String| AssignedRole { permissions: roles.find(row.tenant, &name), name };
        let roles = spec.roles.into_iter().map(resolved).collect();
        let (tenant, name) = (row.tenant.to_owned(), row.name.to_owned());
        self.assignments.push(Assignment { tenant, name, uid: row.uid, bound: row.bound, scopes, roles });
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The rows that could not be read and grant nothing, as URNs: of assignments all, of roles those that an
    /// assignment names.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Whether an assignment names a subject, whatever it allows.
    pub fn names(&self, subject: &str) -> bool {
        self.naming(subject).next().is_some()
    }

    /// Whether the caller may do in this tenant what is asked. What is in another tenant is denied; regions are in
    /// no tenant, and may be asked of any policy.
    pub fn decide(&self, caller: &Caller, ask: &Ask<'_>) -> Decision<'_> {
        let target = Target::of(ask);
        if !self.concerns(target.key) || self.confined(caller, &target).is_some() {
            return Decision::Denied;
        }
        let mut judged = self.naming(&caller.subject).map(|assignment| assignment.judge(&target));
        judged.find_map(Result::ok).map_or(Decision::Denied, Decision::Allowed)
    }

    /// Whether a resource is one to ask of this policy.
    pub(super) fn concerns(&self, key: &ResourceKey) -> bool {
        key.kind.scope() == Scope::Global || key.tenant == self.tenant
    }

    /// The dimension in which the caller's credential keeps them from what is asked, whatever their roles.
    pub(super) fn confined(&self, caller: &Caller, target: &Target<'_>) -> Option<Dimension> {
        scope::credential_fault(&caller.within, &self.tenant, target.place)
            .or_else(|| scope::credential_confines(&caller.within, target.provider()))
    }

    /// The assignments that name a subject.
    pub(super) fn naming(&self, subject: &str) -> impl Iterator<Item = &Assignment> {
        let named = self.subjects.get(subject).into_iter().flatten().chain(&self.everybody);
        named.filter_map(|index| self.assignments.get(*index))
    }
}

impl Assignment {
    /// Whether it allows something, if it names who asks. Explanations come from here too, so that they are true.
    pub(super) fn judge(&self, target: &Target<'_>) -> Result<Grant<'_>, Unmet> {
        let scope = self.covering(target)?;
        let mut unmet = Unmet::Role;
        for role in &self.roles {
            let Some(permissions) = &role.permissions else { continue };
            match permitting(permissions, target) {
                Ok(permission) => {
                    return Ok(Grant { assignment: self.id(), scope, role: &role.name, permission });
                }
                Err(failed) => unmet = unmet.max(failed),
            }
        }
        Err(unmet)
    }

    /// The index of the first scope that covers the place and reaches the provider.
    fn covering(&self, target: &Target<'_>) -> Result<usize, Unmet> {
        let mut unmet = Unmet::Tenant;
        for (index, (reach, area)) in self.scopes.iter().enumerate() {
            let failed = if *reach == Reach::Elsewhere {
                Unmet::Tenant
            } else if let Some(dimension) = area.fault(target.place) {
                dimension.into()
            } else if !scope::reaches(area.is_confined(), target.provider()) {
                Unmet::Unconfined
            } else {
                return Ok(index);
            };
            unmet = unmet.max(failed);
        }
        Err(unmet)
    }

    /// Whether it ends with a workspace that is there now.
    pub(super) fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    pub(super) fn id(&self) -> AssignmentId<'_> {
        AssignmentId { tenant: &self.tenant, name: &self.name, uid: self.uid, bound: self.bound }
    }
}

/// The index of the first permission that allows it.
fn permitting(permissions: &Permissions, target: &Target<'_>) -> Result<usize, Unmet> {
    let mut unmet = Unmet::Provider;
    for (index, permission) in permissions.iter().enumerate() {
        let Some(permission) = permission.as_ref().filter(|p| p.provider == target.provider()) else { continue };
        let failed = if !permission.patterns.iter().any(|pattern| pattern.matches(target.key)) {
            Unmet::Resource
        } else if !permission.verbs.intersects(target.verb) {
            Unmet::Verb
        } else {
            return Ok(index);
        };
        unmet = unmet.max(failed);
    }
    Err(unmet)
}

/// The system role of a name; a name with their prefix never means another.
pub(crate) fn system_role(name: &str) -> Option<RoleSpec> {
    SYSTEM_ROLES.iter().find(|role| role.name == name).map(seca_api::SystemRole::spec)
}

/// The roles that assignments can name; each is read when the first does.
struct Roles<'a> {
    rows: BTreeMap<(&'a str, &'a str), &'a str>,
    read: BTreeMap<(String, String), Option<Arc<Permissions>>>,
    unreadable: Vec<String>,
}

impl<'a> Roles<'a> {
    fn new(rows: impl IntoIterator<Item = RoleRow<'a>>) -> Self {
        let rows = rows.into_iter().map(|row| ((row.tenant, row.name), row.spec_json)).collect();
        Self { rows, read: BTreeMap::new(), unreadable: Vec::new() }
    }

    fn find(&mut self, tenant: &str, name: &str) -> Option<Arc<Permissions>> {
        let known = (tenant.to_owned(), name.to_owned());
        if let Some(role) = self.read.get(&known) {
            return role.clone();
        }
        let role = self.load(tenant, name).map(|spec| Arc::new(permissions(&spec)));
        self.read.insert(known, role.clone());
        role
    }

    fn load(&mut self, tenant: &str, name: &str) -> Option<RoleSpec> {
        if name.starts_with(PREFIX) {
            return system_role(name);
        }
        let spec = serde_json::from_str(self.rows.get(&(tenant, name))?);
        if spec.is_err() {
            self.unreadable.push(unreadable(Kind::Role, tenant, name));
        }
        spec.ok()
    }
}

fn unreadable(kind: Kind, tenant: &str, name: &str) -> String {
    ResourceKey::tenant(kind, "", tenant, name).urn()
}
