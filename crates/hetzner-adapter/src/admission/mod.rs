//! What Hetzner Cloud takes, as admission judges it: numbers and words in [`PROVIDER`], and a file for each rule that no
//! other provider has. Pure. A limit that mappings need as well stands in one of the two and is named by both.

mod effective_rules;
pub mod ssh_key;
mod united_groups;
mod user_data;

use control_plane::{
    kinds::Judgement,
    ports::{Limits, Provider, ProviderRules},
};
use igw_polyfill::ranges::PUBLIC_ROUTER;
use seca_api::{Kind, violation::Violation};

/// Hetzner Cloud. The limits are from the API reference and from docs.hetzner.com/cloud.
pub const PROVIDER: Provider = Provider {
    id: "hetzner",
    name: "Hetzner Cloud",
    endpoint: "https://api.hetzner.cloud/v1",
    start_extension: "hetzner.cloud/start-after-create",
    location_extension: "hetzner.cloud/location",
    limits: Limits {
        // docs.hetzner.com/cloud/volumes/overview.
        volume_gb: 10_240,
        // docs.hetzner.com/cloud/volumes/faq.
        volumes_per_server: 16,
        // docs.hetzner.com/cloud/networks/faq.
        networks_per_server: 3,
        // One address and five aliases (API reference, `change_alias_ips`).
        addresses_per_network: 6,
        // docs.hetzner.com/cloud/placement-groups/overview: `spread`.
        servers_apart: 10,
        // API reference, networks: `ip_range`.
        network_prefix: 24,
        reserved_addresses: &[(
            PUBLIC_ROUTER,
            "Hetzner's router for the public interfaces of servers, in every network",
        )],
    },
};

/// What Hetzner Cloud lets a document say.
#[derive(Clone, Copy, Debug, Default)]
pub struct HetznerRules {
    /// Whether instances in private networks get a bootstrap before their user data.
    pub bootstraps_guests: bool,
}

impl ProviderRules for HetznerRules {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn judge(&self, judgement: &Judgement<'_>) -> Vec<Violation> {
        let mut found = match judgement.rules.kind {
            Kind::Instance => user_data::violation(judgement, self.bootstraps_guests)
                .into_iter()
                .chain(ssh_key::violations(judgement))
                .collect(),
            Kind::SecurityGroup | Kind::SecurityGroupRule => effective_rules::violations(judgement),
            _ => Vec::new(),
        };
        // One rule that is too much makes its group so too, and is told alone.
        if found.is_empty() {
            found.extend(united_groups::violations(judgement));
        }
        found
    }
}
