//! A workspace is the project behind its token; the engine knows whether it is bound.

use control_plane::{Reason, ports::Planned};
use seca_api::Kind;

use super::{Checked, Context, Mapping, settled, wait};

/// See the module.
pub(super) struct WorkspaceMapping;

impl Mapping for WorkspaceMapping {
    fn kind(&self) -> Kind {
        Kind::Workspace
    }

    fn alive(&self, _context: &Context<'_>) -> Checked<Planned> {
        Ok(settled())
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        match context.bundle().child_count {
            0 => settled(),
            children => wait(
                Reason::WaitingForChildren,
                format!("{children} resources of the workspace are still being deleted."),
            ),
        }
    }
}
