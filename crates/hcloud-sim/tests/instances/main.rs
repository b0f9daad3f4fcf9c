//! What servers with keys, networks, addresses, firewalls, volumes and groups meet at this provider.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../cloud/mod.rs"]
mod cloud;
mod content;
mod exposure;
mod firewalls;
mod servers;
