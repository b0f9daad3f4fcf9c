//! A role is a row and nothing else: no provider has a part in it.

use control_plane::ports::Planned;
use seca_api::Kind;

use super::{Checked, Context, Mapping, settled};

/// See the module.
pub(super) struct RoleMapping;

impl Mapping for RoleMapping {
    fn kind(&self) -> Kind {
        Kind::Role
    }

    fn alive(&self, _context: &Context<'_>) -> Checked<Planned> {
        Ok(settled())
    }
}
