//! What becomes of resources that cannot be planned: without a project, a token, or a project that can be read.

use std::time::Duration;

use crate::{
    kinds,
    ports::{Bundle, Note, Plan, Planned},
    reason::Reason,
};

pub(super) fn unreadable() -> Note {
    Note::new(Reason::ProviderUnavailable, "the project could not be read; it is tried again")
}

/// A plan for when nothing can be done: what is active stays so, what is not says why.
pub(super) fn unable(note: Note, retry: Option<Duration>) -> Planned {
    Planned { note: Some(note), ..Planned::new(Plan::Wait { retry }) }
}

/// Whether a deleted resource may leave although its project cannot be reached: nothing was ever made for it.
pub(super) fn leaves_without_access(bundle: &Bundle) -> bool {
    let resource = &bundle.resource;
    let untouched = resource.facts.is_empty() && bundle.open_steps.is_empty() && !resource.was_active();
    resource.is_deleting() && (untouched || kinds::founds(resource.key.kind))
}

/// What becomes of a resource that no project backs: it waits, or it leaves.
pub(super) fn plan_local(bundle: &Bundle, provider: &str) -> Planned {
    let resource = &bundle.resource;
    if resource.is_deleting() {
        if bundle.child_count == 0 {
            return Planned::new(Plan::Nothing);
        }
        let message = format!("{} resource(s) inside it are still being deleted", bundle.child_count);
        return Planned::new(Plan::Wait { retry: None }).note(Reason::WaitingForChildren, message);
    }
    let wait = Planned::new(Plan::Wait { retry: None });
    if kinds::founds(resource.key.kind) {
        return wait.note(Reason::WaitingForCredential, format!("no {provider} token is bound to the workspace yet"));
    }
    wait.note(Reason::WaitingForWorkspace, format!("workspace {} has no {provider} token yet", resource.key.workspace))
}
