//! Instances: virtual machines.

use serde::{Deserialize, Serialize};

use super::block_storage::{VOLUME_REFERENCE, VolumeReference};
use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, status},
    schema::{Field, TIME, Type, text},
    serial,
    timestamp::Timestamp,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "instance",
    collection: "instances",
    noun: "instance",
    provider: Provider::Compute,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    actions: &["start", "stop", "restart"],
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("skuRef", Type::Reference, "The instance SKU. It cannot be changed."),
    Field::optional("primaryNicRef", Type::Reference, "The first network interface."),
    Field::optional(
        "additionalNicRefs",
        Type::List { items: &Type::Reference, min: 0, max: 16 },
        "Further network interfaces.",
    ),
    Field::required("zone", text(1, 32), "The zone that it runs in. It cannot be changed.").immutable(),
    Field::optional("securityGroupRef", Type::Reference, "The security group of all its interfaces."),
    Field::optional("userData", text(0, 65_536), "What cloud-init reads at the first start."),
    Field::optional("antiAffinityGroup", text(0, 64), "Instances of one group run on different hosts."),
    Field::optional(
        "sshKeys",
        Type::List { items: &text(1, 4_096), min: 0, max: 32 },
        "Public keys, or the provider's names of keys.",
    ),
    Field::required("bootVolume", VOLUME_REFERENCE, "The block storage that it boots from."),
    Field::optional("dataVolumes", Type::List { items: &VOLUME_REFERENCE, min: 0, max: 64 }, "Further block storages."),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::required("powerState", Type::OneOf(&["on", "off"]), "Whether it runs.").default("\"off\""),
    Field::optional("powerStateSince", TIME, "Since when; absent if it never ran."),
];

/// An instance.
pub type Instance = Resource<InstanceSpec, InstanceStatus>;

/// What is wanted of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceSpec {
    /// The instance SKU.
    pub sku_ref: Reference,
    /// The first network interface.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub primary_nic_ref: Option<Reference>,
    /// Further network interfaces.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub additional_nic_refs: Vec<Reference>,
    /// The zone that it runs in.
    pub zone: String,
    /// The security group of all its interfaces.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub security_group_ref: Option<Reference>,
    /// What cloud-init reads at the first start.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// Instances of one group run on different hosts.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub anti_affinity_group: Option<String>,
    /// Public keys, or the provider's names of keys.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// The block storage that it boots from.
    pub boot_volume: VolumeReference,
    /// Further block storages.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub data_volumes: Vec<VolumeReference>,
}

status! {
    /// The status of an instance.
    InstanceStatus {
        /// Whether it runs.
        #[serde(deserialize_with = "serial::lenient")]
        power_state: PowerState,
        /// Since when; none if it never ran.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        power_state_since: Option<Timestamp>,
    }
}

/// Whether an instance runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    /// It runs.
    On,
    /// It does not.
    #[default]
    Off,
}
