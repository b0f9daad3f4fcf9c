//! Network SKUs.

use serde::{Deserialize, Serialize};

use crate::resource::{NoStatus, Resource};

/// A network SKU.
pub type NetworkSku = Resource<NetworkSkuSpec, NoStatus>;

/// What a network interface does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSkuSpec {
    /// Megabits per second.
    pub bandwidth: u32,
    /// Packets per second.
    pub packets: u64,
}
