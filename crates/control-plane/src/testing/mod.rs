//! Doubles of the ports, for the tests of this crate and of those above it.

pub mod environment;
pub mod fake_cloud;
pub mod memory_store;

pub use memory_store::MemoryStore;

use std::net::Ipv4Addr;

use seca_api::violation::Violation;

use crate::{
    kinds::Judgement,
    ports::{Limits, Provider, ProviderRules},
};

/// A provider for tests, which speaks as the one of this product does. The numbers are the tests' own.
pub const PROVIDER: Provider = Provider {
    id: "hetzner",
    name: "Hetzner Cloud",
    endpoint: "https://api.hetzner.cloud/v1",
    start_extension: "hetzner.cloud/start-after-create",
    location_extension: "hetzner.cloud/location",
    limits: Limits {
        volume_gb: 10_240,
        volumes_per_server: 16,
        networks_per_server: 3,
        addresses_per_network: 6,
        servers_apart: 10,
        network_prefix: 24,
        reserved_addresses: &[(
            Ipv4Addr::new(172, 31, 1, 1),
            "Hetzner's router for the public interfaces of servers, in every network",
        )],
    },
};

/// The rules of [`PROVIDER`]: its limits, and no judgement of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitsOnly;

impl ProviderRules for LimitsOnly {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn judge(&self, _: &Judgement<'_>) -> Vec<Violation> {
        Vec::new()
    }
}
