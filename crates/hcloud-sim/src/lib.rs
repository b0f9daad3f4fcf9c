#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod core;
mod serve;
mod sim;

pub use crate::core::{CoreConfig, SimRequest, SimResponse, Simulator, Step, Time};
pub use crate::serve::serve;
pub use crate::sim::{SeedProject, Sim, SimClock, SimConfig, SimError};
