//! A role assignment is a row and nothing else; it says which of its roles do not exist.

use control_plane::{Reason, ports::Planned};
use seca_api::Kind;

use super::{Context, Mapping, missing_targets, noted, role::NOT_ENFORCED, settled};

/// See the module.
pub(super) struct RoleAssignmentMapping;

impl Mapping for RoleAssignmentMapping {
    fn kind(&self) -> Kind {
        Kind::RoleAssignment
    }

    fn plan(&self, context: &Context<'_>) -> Planned {
        if context.resource().is_deleting() {
            return settled();
        }
        let missing = missing_targets(context);
        noted(settled(), missing.into_iter().chain([(Reason::NotInEffect, NOT_ENFORCED.to_owned())]))
    }
}
