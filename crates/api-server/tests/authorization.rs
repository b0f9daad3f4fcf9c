//! Who may do what, asked over the wire: every operation of the published documents, through the real router and the
//! real verification of tokens, over the real control plane and its in-memory store. What is expected is written down
//! by hand, from the specification, and from nothing that the code says of itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod common;

#[path = "authorization/attacks.rs"]
mod attacks;
#[path = "authorization/granting.rs"]
mod granting;
#[path = "authorization/isolation.rs"]
mod isolation;
#[path = "authorization/matrix.rs"]
mod matrix;
#[path = "authorization/narrowing.rs"]
mod narrowing;
#[path = "authorization/operations.rs"]
mod operations;
#[path = "authorization/references.rs"]
mod references;
#[path = "authorization/world.rs"]
mod world;
