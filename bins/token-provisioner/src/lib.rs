#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod admin;
mod provisioner;
pub mod settings;
pub mod tokens;

pub use provisioner::{Jitter, Provisioner};
pub use settings::{AdminSettings, Settings};
pub use tokens::Tokens;
