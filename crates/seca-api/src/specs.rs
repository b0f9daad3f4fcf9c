//! The specifications, one file per kind: its schema and its types.

pub mod block_storage;
pub mod image;
pub mod instance;
pub mod instance_sku;
pub mod internet_gateway;
pub mod network;
pub mod network_sku;
pub mod region;
pub mod route_table;
pub mod storage_sku;
pub mod subnet;
pub mod workspace;
