//! The contract of the API, kind by kind, in both error profiles: the real router and the real engine, on the
//! simulator.
//!
//! Every kind is one row of [`table`]. Its limits are the facts of the specification's own documents
//! (`crates/specifications`), not our declarations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod conflicts;
mod life;
mod limits;
mod lists;
mod names;
mod references;
mod spec;
mod stack;
mod table;
