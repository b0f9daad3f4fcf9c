//! Roles, evaluated: who may do what, why, and what they may hand on. Pure; it reads rows and asks nobody.
//!
//! A [`Policy`] is all that may allow something in one tenant. Something is allowed exactly when an assignment names
//! the subject, or `*`; one of its scopes covers the place; and one of its roles has a permission of the provider,
//! the resource and the verb. There is no rule that denies, and without an assignment nothing is allowed.
//!
//! Choices that the specification leaves, or that go beyond it:
//!
//! * **A request skips the dimensions that it does not have.** Images and SKUs are in no workspace, so an assignment
//!   in one workspace reaches them in the whole tenant, to write as to read. A workspace is in the dimension of
//!   workspaces with its own name, their collection is not in it.
//! * **Roles and role assignments are the exception.** They are in no region and no workspace, yet decide about all:
//!   a right that is confined to a place could hand out rights beyond it. So what confines to regions or workspaces,
//!   a scope or a credential, gives no right on `seca.authorization`, not even to read.
//! * **`<type>`, `<type>/*` and `networks/*/<type>` are one pattern**, and it covers the collection; so does `*`.
//!   `<type>/<name>` does not. `*` within a segment is a glob; a star in a type is one too. `networks/*` is
//!   networks, not what is in them. Only `tenants: ["*"]` and `subs: ["*"]` mean all; elsewhere a star is a name.
//! * **Roles are the assignment's tenant's.** An assignment of another tenant that opens this one brings its own.
//! * **No one can grant what they do not have**: [`Wanted`] is what a write would hand out, [`Policy::holds`] says
//!   whether the writer holds it. It errs to "no": see `containment.rs`.

mod containment;
mod explain;
mod glob;
mod pattern;
mod policy;
mod scope;
#[cfg(test)]
mod tests;

pub use containment::{Missing, Wanted, WantedTenant};
pub use explain::{Explanation, Finding, Outcome};
pub(crate) use policy::system_role;
pub use policy::{AssignmentId, AssignmentRow, Decision, Grant, Policy, RoleRow, Unmet};
pub use scope::Dimension;
