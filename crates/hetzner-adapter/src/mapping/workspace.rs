//! A workspace is the project behind its token; the engine knows whether it is bound.

use control_plane::{Reason, ports::Planned};
use seca_api::Kind;

use super::{Context, Mapping, settled, wait};

/// See the module.
pub(super) struct WorkspaceMapping;

impl Mapping for WorkspaceMapping {
    fn kind(&self) -> Kind {
        Kind::Workspace
    }

    fn plan(&self, context: &Context<'_>) -> Planned {
        match context.bundle().child_count {
            children if context.resource().is_deleting() && children > 0 => wait(
                Reason::WaitingForChildren,
                format!("{children} resources of the workspace are still being deleted."),
            ),
            _ => settled(),
        }
    }
}
