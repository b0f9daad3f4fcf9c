//! A role is a row and nothing else: no provider has a part in it.

use control_plane::{Reason, ports::Planned};
use seca_api::Kind;

use super::{Checked, Context, Mapping, settled};

/// See the module.
pub(super) struct RoleMapping;

impl Mapping for RoleMapping {
    fn kind(&self) -> Kind {
        Kind::Role
    }

    fn alive(&self, _context: &Context<'_>) -> Checked<Planned> {
        Ok(settled().note(Reason::NotInEffect, NOT_ENFORCED))
    }
}

/// What is true of all roles and role assignments of this release.
pub(super) const NOT_ENFORCED: &str = "It is kept, but grants and restricts nothing yet: this release does not evaluate \
     roles, so every authenticated caller may do everything.";
