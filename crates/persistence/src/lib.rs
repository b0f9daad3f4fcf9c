#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backup;
mod database;
mod fault;
mod meter;
mod migrate;
mod row;
mod selector;
mod sql;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use backup::{BackupError, backup};
pub use meter::{Meter, Pool};
#[cfg(feature = "testing")]
pub use migrate::connect_within;
pub use migrate::{DatabaseError, Options, SchemaState, connect, migrate_down, migrate_up, schema_state};
pub use store::SqlStore;
