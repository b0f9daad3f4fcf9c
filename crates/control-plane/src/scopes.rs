//! What the scopes of a role assignment say of tenants and workspaces, beyond what they grant: which other tenants it
//! concerns, and whether it is bound to one workspace, with which its right ends.
//!
//! This is where these rules are described. Both databases have a copy in migration 3, where no statement can forget them:
//! the view `assignment_opens` is [`opened_tenants`], the view `assignment_targets` is [`only_workspace`], and the triggers
//! behind `bound_assignments` are [`BoundAssignment`]. The store suite compares all stores with the functions here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{ports::BoundWorkspace, resource::Uid};

/// Stands for all tenants.
pub const ALL_TENANTS: &str = "*";

/// The one workspace that an assignment is scoped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyWorkspace {
    /// Its name.
    pub name: String,
    /// Its region; none for that of any region.
    pub region: Option<String>,
}

impl OnlyWorkspace {
    fn may_be_in(&self, region: &str) -> bool {
        self.region.as_ref().is_none_or(|own| own == region)
    }
}

/// What is kept of an assignment that is scoped to one workspace alone ([`only_workspace`]), and the rule that ends its
/// right.
///
/// Such an assignment is bound to one life of the workspace, counts in no other, and ends when the row of that workspace
/// leaves; until then it counts, also while the workspace is being deleted. It is bound to the workspace of that name that
/// exists when its specification is written, one that is being deleted included; else to the first that is made. While
/// several regions have such a workspace and the scopes name none, nothing is bound: nobody can say which one is meant.
/// What is bound stays bound until the scopes say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundAssignment {
    /// The tenant of both.
    pub tenant: String,
    /// What the scopes say.
    pub only: OnlyWorkspace,
    /// The life of the workspace; none while it waits for one.
    pub to: Option<BoundWorkspace>,
}

impl BoundAssignment {
    /// The specification of an assignment was written: of a new one, or of one of which `former` was kept. `named` has the
    /// workspaces of the tenant with a name.
    pub fn written(
        tenant: &str,
        spec: &str,
        former: Option<Self>,
        named: impl FnOnce(&str) -> Vec<BoundWorkspace>,
    ) -> Option<Self> {
        let only = only_workspace(tenant, spec)?;
        if let Some(former) = former.filter(|former| former.to.is_some() && former.only == only) {
            return Some(former);
        }
        let mut found = named(&only.name);
        found.retain(|workspace| only.may_be_in(&workspace.region));
        let to = if found.len() == 1 { found.pop() } else { None };
        Some(Self { tenant: tenant.to_owned(), only, to })
    }

    /// A workspace was made, as the only one of its name or beside those of other regions. Whether it was waited for: it is
    /// bound then.
    pub fn workspace_made(&mut self, tenant: &str, name: &str, made: &BoundWorkspace, is_only_one: bool) -> bool {
        let is_named = (self.tenant.as_str(), self.only.name.as_str()) == (tenant, name);
        let is_meant = self.only.may_be_in(&made.region) && (is_only_one || self.only.region.is_some());
        let is_bound = self.to.is_none() && is_named && is_meant;
        if is_bound {
            self.to = Some(made.clone());
        }
        is_bound
    }

    /// Whether the assignment ends with this life of a workspace.
    pub fn ends_with(&self, workspace: Uid) -> bool {
        self.to.as_ref().is_some_and(|to| to.uid == workspace)
    }
}

/// The tenants, other than the assignment's own, in which it may grant something; [`ALL_TENANTS`] for all.
pub fn opened_tenants(own: &str, spec: &str) -> BTreeSet<String> {
    let mut opened: BTreeSet<String> = scopes(spec).iter().flat_map(|scope| names(scope, "tenants")).collect();
    opened.remove(own);
    opened
}

/// Whether an assignment grants something in one workspace of its own tenant and nowhere else: every scope names the
/// same workspace, and no second region.
pub fn only_workspace(own: &str, spec: &str) -> Option<OnlyWorkspace> {
    let scopes = scopes(spec);
    let mut workspaces = BTreeSet::new();
    let mut regions = BTreeSet::new();
    let mut any_region = false;
    for scope in &scopes {
        let named = names(scope, "workspaces");
        if named.is_empty() || names(scope, "tenants").iter().any(|tenant| tenant != own) {
            return None;
        }
        workspaces.extend(named);
        let named = names(scope, "regions");
        any_region |= named.is_empty();
        regions.extend(named);
    }
    if workspaces.len() != 1 || regions.len() > 1 {
        return None;
    }
    let region = regions.into_iter().next().filter(|_| !any_region);
    workspaces.into_iter().next().map(|name| OnlyWorkspace { name, region })
}

fn scopes(spec: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(spec).ok().as_mut().and_then(|spec| spec.get_mut("scopes")).map(Value::take) {
        Some(Value::Array(scopes)) => scopes.into_iter().filter(Value::is_object).collect(),
        _ => Vec::new(),
    }
}

fn names(scope: &Value, dimension: &str) -> BTreeSet<String> {
    let names = scope.get(dimension).and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_bound_when_all_its_scopes_are_one_workspace() {
        let any = Some(("w", None));
        let here = Some(("w", Some("fsn1")));
        let cases = [
            ("{}", None),
            (r#"{"scopes":[]}"#, None),
            (r#"{"scopes":"w"}"#, None),
            (r#"{"scopes":["w"]}"#, None),
            (r#"{"scopes":[{}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"]}]}"#, any),
            (r#"{"scopes":[{"workspaces":["w","w"]},{"workspaces":["w"],"tenants":["t"]}]}"#, any),
            (r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]}]}"#, here),
            (r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"]}]}"#, any),
            (r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1","nbg1"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"],"regions":["fsn1"]},{"workspaces":["w"],"regions":["nbg1"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w","v"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"]},{"workspaces":["v"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"]},{}]}"#, None),
            (r#"{"scopes":[{},{"workspaces":["w"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"],"tenants":["other"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"],"tenants":["t","other"]}]}"#, None),
            (r#"{"scopes":[{"workspaces":["w"],"tenants":["*"]}]}"#, None),
        ];
        for (spec, expected) in cases {
            let found = only_workspace("t", spec);
            let found = found.as_ref().map(|only| (only.name.as_str(), only.region.as_deref()));
            assert_eq!(found, expected, "{spec}");
        }
    }

    #[test]
    fn an_assignment_opens_the_other_tenants_that_it_names() {
        let spec = r#"{"scopes":[{"tenants":["t","a"]},{"tenants":["a","*"]},{}]}"#;
        assert_eq!(opened_tenants("t", spec).into_iter().collect::<Vec<_>>(), ["*", "a"]);
        assert!(opened_tenants("t", "{}").is_empty());
    }
}
