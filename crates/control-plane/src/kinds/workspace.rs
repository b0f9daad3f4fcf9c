//! Workspaces: what holds most resources, and what a provider project is bound to.

use seca_api::Kind;

use super::{FREELY, KindRules};
use crate::ports::DeleteRules;

/// What differs about workspaces.
pub const RULES: KindRules = KindRules {
    delete: DeleteRules { refused_by_children: CHILDREN, ..FREELY },
    counts_children: true,
    ..KindRules::new(Kind::Workspace)
};

/// Every kind that lives in a workspace, but for what lives in its networks.
const CHILDREN: &[Kind] = &[
    Kind::BlockStorage,
    Kind::Instance,
    Kind::Network,
    Kind::InternetGateway,
    Kind::Nic,
    Kind::PublicIp,
    Kind::SecurityGroup,
    Kind::SecurityGroupRule,
];

#[cfg(test)]
mod tests {
    use seca_api::Scope;

    use super::*;

    #[test]
    fn any_live_child_keeps_a_workspace() {
        let children: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Workspace).collect();
        assert_eq!(children.len(), CHILDREN.len());
        assert!(children.iter().all(|kind| CHILDREN.contains(kind)));
    }
}
