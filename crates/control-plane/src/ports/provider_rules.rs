//! The provider's rules: what its adapter says of it before anything is asked of it.
//!
//! A provider takes less than the API allows, and whoever sends too much is told at the PUT. The control plane knows no
//! provider: numbers and words come through [`Provider`], and a rule that only this provider has is a judgement of its
//! adapter ([`ProviderRules::judge`]), told together with those of the kind.

use std::{fmt::Debug, net::Ipv4Addr};

use seca_api::violation::Violation;

use crate::kinds::Judgement;

/// A provider, in words and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its id: in bindings, and in what tokens are sealed for. It never changes.
    pub id: &'static str,
    /// Its name, in sentences.
    pub name: &'static str,
    /// Its own endpoint, which a binding may always name.
    pub endpoint: &'static str,
    /// The extension of a powered kind that asks for power on once it is made: `"true"`, also when a later PUT adds it.
    pub start_extension: &'static str,
    /// The extension that chooses the zone in which an object is made; without it, the zone of the first instance that
    /// uses it.
    pub location_extension: &'static str,
    /// What it takes.
    pub limits: Limits,
}

/// The most that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest volume in GB.
    pub volume_gb: i64,
    /// Volumes of one server, beside its own disk.
    pub volumes_per_server: usize,
    /// Networks that one server is attached to.
    pub networks_per_server: usize,
    /// IPv4 addresses of one server in one network: its own and its aliases.
    pub addresses_per_network: usize,
    /// Servers that are kept on different hosts.
    pub servers_apart: usize,
    /// The longest prefix of a network.
    pub network_prefix: u8,
    /// Addresses that no interface of a network can have, each with what it is.
    pub reserved_addresses: &'static [(Ipv4Addr, &'static str)],
}

/// What a provider's adapter says of documents. Pure: nothing is asked of the provider.
pub trait ProviderRules: Debug + Send + Sync + 'static {
    /// The provider.
    fn provider(&self) -> &'static Provider;

    /// The rules of this provider alone, about a document of any kind. Like the rules of a kind, it is called for
    /// documents that break limits too: what cannot be read is passed over.
    fn judge(&self, judgement: &Judgement<'_>) -> Vec<Violation>;
}
