//! The specifications, one file per kind: its schema and its types.

pub mod block_storage;
pub mod image;
pub mod instance;
pub mod instance_sku;
pub mod internet_gateway;
pub mod network;
pub mod network_sku;
pub mod nic;
pub mod public_ip;
pub mod region;
pub mod role;
pub mod role_assignment;
pub mod route_table;
pub mod security_group;
pub mod security_group_rule;
pub mod storage_sku;
pub mod subnet;
pub mod workspace;
