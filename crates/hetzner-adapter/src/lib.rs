#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod absence;
pub mod admission;
pub mod call;
pub mod catalog;
mod effect;
mod executor;
pub mod firewall_rules;
mod leftover;
pub mod mapping;
mod marker;
mod memory;
pub mod naming;
pub mod objects;
mod orphans;
mod outcome;
pub mod owner;
mod provider;
mod regions;
pub mod snapshot;
mod token_proof;

pub use admission::{HetznerRules, PROVIDER};
pub use mapping::{MAPPINGS, Mapping, gateway::GatewaySettings, kinds};
pub use owner::{Owner, Role};
pub use provider::{AdapterSettings, HetznerProvider};
pub use regions::{Regions, RegionsError};
pub use snapshot::{Observation, Snapshot};
