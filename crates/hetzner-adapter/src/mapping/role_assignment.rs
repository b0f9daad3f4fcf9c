//! A role assignment is a row and nothing else; it says which of its roles do not exist.

use control_plane::ports::Planned;
use seca_api::Kind;

use super::{Checked, Context, Mapping, missing_targets, noted, settled};

/// See the module.
pub(super) struct RoleAssignmentMapping;

impl Mapping for RoleAssignmentMapping {
    fn kind(&self) -> Kind {
        Kind::RoleAssignment
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        Ok(noted(settled(), missing_targets(context)))
    }
}
