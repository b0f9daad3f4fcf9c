#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod admin;
mod client;
mod collection;
mod error;
mod http;
mod resource;
mod wait;

pub use admin::AdminClient;
pub use client::SecaClient;
pub use collection::{Collection, ListQuery};
pub use error::Error;
pub use http::client_trusting;
pub use resource::{ApiResource, Place, Writable};
pub use seca_api;
pub use wait::Wait;
