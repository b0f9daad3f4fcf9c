#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod json;
pub mod key;
pub mod kind;
pub mod metadata;
pub mod names;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod operation;
pub mod problem;
pub mod reference;
pub mod resource;
pub mod schema;
pub mod selector;
mod serial;
mod specs;
pub mod status;
pub mod system_roles;
pub mod timestamp;
pub mod violation;
pub mod wellknown;

pub use key::ResourceKey;
pub use kind::{Provider, Scope, Specification};
pub use metadata::{ListMetadata, Metadata, Modification};
pub use names::{NameError, NetworkName, RegionName, ResourceName, TenantName, WorkspaceName, name_violation};
pub use operation::{Operation, Parameter, Place};
pub use problem::{ErrorSource, Problem, ProblemKind};
pub use reference::{Reference, ReferenceError, Target};
pub use resource::{Cidr, Conditions, Draft, List, NoStatus, Observed, Resource, Status, TextMap};
pub use schema::{Field, Normalized, TextRule, Type, check, immutable_fields, normalize, spec_schema};
pub use selector::{Selector, SelectorError};
pub use specs::*;
pub use status::{ResourceState, StatusCondition};
pub use system_roles::{SYSTEM_ROLES, SystemRole};
pub use timestamp::{Timestamp, TimestampError};
pub use violation::Violation;
pub use wellknown::{Wellknown, WellknownEndpoint};
