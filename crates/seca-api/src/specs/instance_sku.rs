//! Instance SKUs.

use serde::{Deserialize, Serialize};

use crate::resource::{NoStatus, Resource};

/// An instance SKU.
pub type InstanceSku = Resource<InstanceSkuSpec, NoStatus>;

/// The size of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSkuSpec {
    /// The processors that its system sees.
    #[serde(rename = "vCPU")]
    pub vcpu: u32,
    /// Memory in GiB.
    pub ram: u32,
}
