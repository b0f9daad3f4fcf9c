//! Doubles of the ports, for the tests of this crate and of those above it.

pub mod environment;
pub mod fake_cloud;
pub mod memory_store;

pub use memory_store::MemoryStore;
