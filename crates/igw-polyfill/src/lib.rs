#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod effect;
pub mod guest;
pub mod lifecycle;
pub mod nat;
pub mod packing;
pub mod plan;
pub mod ranges;
pub mod replacement;
pub mod sentences;
mod texts;

pub use effect::{Effect, NextHop, route};
