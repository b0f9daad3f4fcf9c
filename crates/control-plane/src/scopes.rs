//! What the scopes of a role assignment say of tenants and workspaces, beyond what they grant: which other tenants it
//! concerns, and whether it is bound to one workspace. The databases read the same out of stored rows (views
//! `assignment_opens` and `assignment_targets`), where no statement can forget it.

use std::collections::BTreeSet;

use serde_json::Value;

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
