#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod assigned;
pub mod catalog;
mod causes;
pub mod disk;
pub mod engine;
pub mod facts;
pub mod kinds;
pub mod ports;
pub mod rbac;
pub mod reason;
pub mod resource;
pub mod scopes;
pub mod service;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod watch;

pub use catalog::{Catalog, CatalogCache, CatalogEntry};
pub use causes::Causes;
pub use reason::Reason;
pub use resource::{ActionKind, ActionState, ProjectId, Representation, Resource, Uid};
pub use watch::Watchers;
