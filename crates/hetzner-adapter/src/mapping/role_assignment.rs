//! A role assignment is a row and nothing else; it says which of its roles do not exist.

use control_plane::{Reason, ports::Planned};
use seca_api::Kind;

use super::{Checked, Context, Mapping, missing_targets, noted, role::NOT_ENFORCED, settled};

/// See the module.
pub(super) struct RoleAssignmentMapping;

impl Mapping for RoleAssignmentMapping {
    fn kind(&self) -> Kind {
        Kind::RoleAssignment
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        let missing = missing_targets(context);
        Ok(noted(settled(), missing.into_iter().chain([(Reason::NotInEffect, NOT_ENFORCED.to_owned())])))
    }
}
