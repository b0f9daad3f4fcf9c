//! A resource of a kind that is a row and nothing more: roles, role assignments, workspaces. No provider has a part in
//! it. It says which of its targets do not exist, and stays until what is in it has left.

use control_plane::{Reason, ports::Planned};

use super::{Context, missing_targets, noted, settled, wait};

pub(super) fn plan(context: &Context<'_>) -> Planned {
    let row = context.resource();
    match context.bundle().child_count {
        _ if !row.is_deleting() => noted(settled(), missing_targets(context)),
        0 => settled(),
        children => wait(
            Reason::WaitingForChildren,
            format!("{children} resources of the {} are still being deleted.", row.key.kind.noun()),
        ),
    }
}
