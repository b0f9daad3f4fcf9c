//! Resources as clients see them.
//!
//! Servers echo stored text and do not go through these types; they are for clients and for reading
//! specifications. They are lenient: nulls, zero times and members of later versions are read over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    metadata::{ListMetadata, Metadata},
    serial,
    status::{ResourceState, StatusCondition},
};

/// Labels, annotations or extensions.
pub type TextMap = BTreeMap<String, String>;

/// A resource as the server answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "Spec: Deserialize<'de>, Status: Deserialize<'de>"))]
pub struct Resource<Spec, Status> {
    /// Words to select by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<TextMap>,
    /// Notes for people and tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<TextMap>,
    /// Settings that only some providers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<TextMap>,
    /// What the server says of it.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: Spec,
    /// What is.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl<Spec, Status: Conditions> Resource<Spec, Status> {
    /// The state; none for kinds without a status.
    pub fn state(&self) -> Option<ResourceState> {
        self.status.as_ref().and_then(Conditions::state)
    }

    /// The newest condition.
    pub fn newest_condition(&self) -> Option<&StatusCondition> {
        self.status.as_ref().and_then(|status| status.conditions().first())
    }
}

/// What a client sends to create or replace a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft<Spec> {
    /// Words to select by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<TextMap>,
    /// Notes for people and tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<TextMap>,
    /// Settings that only some providers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<TextMap>,
    /// What is wanted.
    pub spec: Spec,
}

impl<Spec> Draft<Spec> {
    /// A draft without labels, annotations and extensions.
    pub const fn new(spec: Spec) -> Self {
        Self { labels: None, annotations: None, extensions: None, spec }
    }

    /// The same with one more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }
}

impl<Spec> From<Spec> for Draft<Spec> {
    fn from(spec: Spec) -> Self {
        Self::new(spec)
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct List<T> {
    /// The resources.
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub items: Vec<T>,
    /// What the server says of the page.
    #[serde(default)]
    pub metadata: ListMetadata,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What all statuses have in common.
pub trait Conditions {
    /// The state.
    fn state(&self) -> Option<ResourceState>;
    /// Its transitions, newest first.
    fn conditions(&self) -> &[StatusCondition];
}

/// A status that comes of what a client wrote: that of every kind but those of the catalogue.
pub trait Observed: Conditions {}

/// The status of kinds that have none: the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoStatus {}

impl Conditions for NoStatus {
    fn state(&self) -> Option<ResourceState> {
        None
    }

    fn conditions(&self) -> &[StatusCondition] {
        &[]
    }
}

/// Declares a status: `state` and `conditions`, which all have, and members of its own. Repeated in each struct,
/// because serde's flattening reads numbers wrongly once they keep their digits.
macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            /// The state.
            #[serde(deserialize_with = "crate::serial::lenient", skip_serializing_if = "Option::is_none")]
            pub state: Option<crate::status::ResourceState>,
            /// Its transitions, newest first.
            #[serde(deserialize_with = "crate::serial::lenient")]
            pub conditions: Vec<crate::status::StatusCondition>,
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl crate::resource::Observed for $name {}

        impl crate::resource::Conditions for $name {
            fn state(&self) -> Option<crate::status::ResourceState> {
                self.state
            }

            fn conditions(&self) -> &[crate::status::StatusCondition] {
                &self.conditions
            }
        }
    };
}
pub(crate) use status;

status! {
    /// The status of kinds that add nothing to it: internet gateways, roles, role assignments.
    Status {}
}

/// A block of addresses in one family or both, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Cidr {
    /// The IPv4 block, `10.0.0.0/16`.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// The IPv6 block, `fd00::/56`.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
}

impl Cidr {
    /// An IPv4 block alone.
    pub fn v4(block: &str) -> Self {
        Self { ipv4: Some(block.to_owned()), ipv6: None }
    }

    /// The IPv4 block, parsed; none where it is unset or cannot be read.
    pub fn ipv4_net(&self) -> Option<ipnet::Ipv4Net> {
        self.ipv4.as_deref().and_then(|text| text.parse().ok())
    }

    /// The IPv6 block, parsed; none where it is unset or cannot be read.
    pub fn ipv6_net(&self) -> Option<ipnet::Ipv6Net> {
        self.ipv6.as_deref().and_then(|text| text.parse().ok())
    }
}
