//! Workspaces: what holds most resources, and what a provider project is bound to.

use seca_api::{Kind, Scope};

use super::{FREELY, KindRules};
use crate::ports::DeleteRules;

/// What differs about workspaces.
pub const RULES: KindRules = KindRules {
    delete: DeleteRules { refused_by_children: CHILDREN, ..FREELY },
    counts_children: true,
    has_object: false,
    founds: true,
    ..KindRules::new(Kind::Workspace)
};

/// Every kind that lives in a workspace, but for what lives in its networks.
const CHILDREN: &[Kind] = {
    const COUNT: usize = {
        let (mut count, mut index) = (0, 0);
        while index < Kind::ALL.len() {
            count += matches!(Kind::ALL[index].scope(), Scope::Workspace) as usize;
            index += 1;
        }
        count
    };
    const KINDS: [Kind; COUNT] = {
        let mut kinds = [Kind::Workspace; COUNT];
        let (mut count, mut index) = (0, 0);
        while index < Kind::ALL.len() {
            if matches!(Kind::ALL[index].scope(), Scope::Workspace) {
                kinds[count] = Kind::ALL[index];
                count += 1;
            }
            index += 1;
        }
        kinds
    };
    &KINDS
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_live_child_keeps_a_workspace() {
        let children: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Workspace).collect();
        assert_eq!(children, CHILDREN);
    }
}
