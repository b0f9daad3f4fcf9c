//! What a role assignment keeps when one of its roles leaves. The specification of SECA says that a deleted role is
//! removed from all assignments and that these stay, even with no role at all. A name that stayed would be worse than
//! useless: whoever makes a role of that name for something else would hand it to all whom the assignment names.

use seca_api::{Kind, ResourceKey};
use serde_json::Value;

use crate::{ports::Edge, resource::Resource, state};

/// Where an assignment names its roles.
const ROLES: &str = "/spec/roles/";

/// What becomes of an assignment, and of its references, when a role leaves whose deletion was accepted. None when nothing
/// does: it does not name the role, or is being deleted itself, so that it grants nothing and is remembered as it was.
///
/// It is written as by who deleted the role, and at that time.
pub fn without_role(role: &Resource, assignment: &Resource, edges: &[Edge]) -> Option<(Resource, Vec<Edge>)> {
    let is_assignment = assignment.key.kind == Kind::RoleAssignment && assignment.key.tenant == role.key.tenant;
    if !is_assignment || assignment.is_deleting() {
        return None;
    }
    let (spec, kept) = drop_name(&assignment.spec, &role.key.name)?;
    let mut after = assignment.clone();
    state::respecify(&mut after, spec, role.deleted_at.unwrap_or(role.last_modified_at));
    Some((after, moved(edges, &role.key, &kept)))
}

/// The specification without a name among its roles, and the places that the other roles had; none when it is not there.
fn drop_name(spec: &str, name: &str) -> Option<(String, Vec<usize>)> {
    let mut spec: Value = serde_json::from_str(spec).ok()?;
    let roles = spec.get_mut("roles")?.as_array_mut()?;
    let kept: Vec<usize> = roles.iter().enumerate().filter(|(_, role)| *role != name).map(|(place, _)| place).collect();
    if kept.len() == roles.len() {
        return None;
    }
    roles.retain(|role| role != name);
    Some((spec.to_string(), kept))
}

/// The references of what is kept, at its new places.
fn moved(edges: &[Edge], role: &ResourceKey, kept: &[usize]) -> Vec<Edge> {
    let stays = edges.iter().filter(|edge| edge.target != *role);
    let moved = stays.filter_map(|edge| {
        let Some(place) = edge.field.strip_prefix(ROLES) else { return Some(edge.clone()) };
        let place: usize = place.parse().ok()?;
        let now = kept.iter().position(|kept| *kept == place)?;
        Some(Edge { field: format!("{ROLES}{now}"), ..edge.clone() })
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use seca_api::{ResourceState, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::{ports::Put, resource::ProjectId, resource::Uid};

    fn row(kind: Kind, tenant: &str, name: &str, spec: &str) -> Resource {
        let key = ResourceKey::tenant(kind, "", tenant, name);
        state::create(
            Put::create(key, Uid(Uuid::from_u128(1)), spec, Timestamp::from_millis(1_000)),
            ProjectId::local(),
        )
    }

    fn deleted(tenant: &str) -> Resource {
        let mut role = row(Kind::Role, tenant, "r", "{}");
        state::delete(&mut role, Timestamp::from_millis(2_000));
        role
    }

    fn edge(place: usize, name: &str, strict: bool) -> Edge {
        let target = ResourceKey::tenant(Kind::Role, "", "t", name);
        Edge { field: format!("/spec/roles/{place}"), target, strict }
    }

    #[test]
    fn all_that_names_the_role_goes_and_the_rest_stays_as_it_was() {
        let cases = [
            (r#"{"roles":["r"]}"#, Some(r#"{"roles":[]}"#)),
            (r#"{"roles":["r","r"]}"#, Some(r#"{"roles":[]}"#)),
            (r#"{"roles":["b","r","a","r","b"]}"#, Some(r#"{"roles":["b","a","b"]}"#)),
            (r#"{"roles":["\u0072","rr","R"]}"#, Some(r#"{"roles":["rr","R"]}"#)),
            (
                r#"{"subs":["r","é\u0000"],"roles":["r","seca.admin"],"scopes":[{"workspaces":["r"],"n":1.50}]}"#,
                Some(r#"{"subs":["r","é\u0000"],"roles":["seca.admin"],"scopes":[{"workspaces":["r"],"n":1.50}]}"#),
            ),
            (r#"{"roles":["rr"]}"#, None),
            (r#"{"roles":[]}"#, None),
            (r#"{"roles":"r"}"#, None),
            (r#"{"roles":null}"#, None),
            ("{}", None),
            ("", None),
        ];
        for (spec, expected) in cases {
            let found = without_role(&deleted("t"), &row(Kind::RoleAssignment, "t", "a", spec), &[]);
            assert_eq!(found.map(|(after, _)| after.spec).as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn references_follow_the_names_to_their_new_places() {
        // Roles of the system are no rows, so that nothing refers to them.
        let assignment = row(Kind::RoleAssignment, "t", "a", r#"{"roles":["r","seca.admin","x","r","late"]}"#);
        let edges = [edge(0, "r", true), edge(2, "x", true), edge(3, "r", true), edge(4, "late", false)];
        let (_, after) = without_role(&deleted("t"), &assignment, &edges).unwrap();
        assert_eq!(after, [edge(1, "x", true), edge(2, "late", false)]);
    }

    #[test]
    fn it_is_a_write_of_the_time_at_which_the_role_was_deleted() {
        let mut before = row(Kind::RoleAssignment, "t", "a", r#"{"roles":["r"]}"#);
        before.state = ResourceState::Active;
        before.observed_generation = 1;
        let (after, _) = without_role(&deleted("t"), &before, &[]).unwrap();
        let counts = |row: &Resource| (row.resource_version, row.generation, row.revision);
        assert_eq!((counts(&before), counts(&after)), ((1, 1, 1), (2, 2, 2)));
        assert_eq!((after.state, after.last_modified_at), (ResourceState::Updating, Timestamp::from_millis(2_000)));
        // One that was written since is later than that.
        before.last_modified_at = Timestamp::from_millis(3_000);
        let (after, _) = without_role(&deleted("t"), &before, &[]).unwrap();
        assert!(after.last_modified_at > before.last_modified_at);
    }

    #[test]
    fn what_is_being_deleted_or_means_another_role_is_left_alone() {
        let spec = r#"{"roles":["r"]}"#;
        let mut assignment = row(Kind::RoleAssignment, "t", "a", spec);
        assert_eq!(without_role(&deleted("other"), &assignment, &[]), None);
        assert_eq!(without_role(&deleted("t"), &row(Kind::Role, "t", "a", spec), &[]), None);
        state::delete(&mut assignment, Timestamp::from_millis(1_500));
        assert_eq!(without_role(&deleted("t"), &assignment, &[]), None);
    }
}
