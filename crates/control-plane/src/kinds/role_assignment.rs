//! Role assignments: who has which roles, and where.

use seca_api::{Kind, ResourceKey, violation::Violation};
use serde_json::Value;

use super::{Grant, Judgement, KindRules, ReferenceField, clip, expand};

/// What differs about role assignments.
pub const RULES: KindRules = KindRules {
    local: true,
    has_object: false,
    grants: Some(Grant::Assignment),
    // A scope without a member that nobody knows (`workspace` for `workspaces`) is wider than its sender meant.
    strict: &["/spec/scopes/"],
    references: &[ReferenceField::new("/spec/roles/*", &[Kind::Role]).by_name().late_by_policy()],
    judge,
    ..KindRules::new(Kind::RoleAssignment)
};

/// The key of an assignment; without a name, of all those of the tenant.
pub fn key(tenant: &str, name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::RoleAssignment, "", tenant, name)
}

/// Stands for all tenants.
const ALL: &str = "*";

/// The workspaces of a scope may be made later, under every policy.
fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let before = judgement.subject.old.map(|(_, old)| old);
    let mut found = Vec::new();
    for (pointer, tenant) in fresh("tenants", judgement.subject.spec, before) {
        if tenant != ALL && !judgement.tenants.contains(tenant) {
            let rule = format!(
                "the scope names tenant `{}`, but there is no such tenant, or none in which you have a role; name one in \
                 which you have, or leave tenants out for {}",
                clip(tenant),
                judgement.subject.key.tenant
            );
            found.push(Violation::at(pointer, rule));
        }
    }
    for (pointer, region) in fresh("regions", judgement.subject.spec, before) {
        if !judgement.catalog.has_region(region) {
            let rule = format!(
                "the scope names region `{}`, but there is no such region; use one of {}, or leave regions out for all",
                clip(region),
                judgement.catalog.regions().join(", ")
            );
            found.push(Violation::at(pointer, rule));
        }
    }
    found
}

/// The names in a dimension of the scopes that were not there before. A region that went is no reason to refuse a
/// change that is not about it.
fn fresh<'a>(dimension: &str, spec: &'a Value, before: Option<&Value>) -> Vec<(String, &'a str)> {
    let pattern = format!("/spec/scopes/*/{dimension}/*");
    let old: Vec<&str> =
        before.map(|old| expand(&pattern, old)).into_iter().flatten().filter_map(|(_, name)| name.as_str()).collect();
    let names = expand(&pattern, spec).into_iter().filter_map(|(pointer, name)| Some((pointer, name.as_str()?)));
    names.filter(|(_, name)| !name.is_empty() && !old.contains(name)).collect()
}
