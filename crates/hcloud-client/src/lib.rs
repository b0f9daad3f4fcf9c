#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod api;
mod bounds;
mod budget;
mod calls;
mod environment;
mod error;
mod gate;
mod http;
mod poller;
mod project;
#[cfg(test)]
mod spec_tests;
pub mod types;

pub use ::http::{HeaderMap, Method, StatusCode};

pub use api::{Access, ApiRequest, ApiResponse, HcloudApi, TransportError, TransportErrorKind};
pub use budget::{BudgetSnapshot, Permit, Priority, RateBudget};
pub use calls::ImageFilter;
pub use environment::{Environment, environment};
pub use error::{ApiError, Error, ErrorClass, ErrorCode};
pub use gate::{Closed, Gate};
pub use http::{BuildError, HcloudClient, HttpSettings};
pub use poller::{ActionPoller, IDS_PER_CALL, Overdue};
pub use project::{Hcloud, ListFilter, Mutated, ProjectClient, ProjectFigures, ProjectState, RetryPolicy};
