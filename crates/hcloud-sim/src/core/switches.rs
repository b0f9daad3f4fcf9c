//! Switches for what only the real cloud can settle: each is one way in which it may behave, off by default where our
//! sources lean to the other way. They hold for all projects and are part of the state.

use super::http::{Api, ApiError, Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What `GET` and `PUT /_sim/switches` show and set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Switches {
    /// `change_type` starts the server when it is done, as the API document says; otherwise it stays off.
    pub(crate) change_type_starts: bool,
    /// A server without a public interface may be created with firewalls; otherwise that is `private_net_only_server`.
    pub(crate) firewalls_at_private_creation: bool,
    /// Firewalls given at creation become `applied` some time after the creation has ended; otherwise with its end.
    pub(crate) creation_firewalls_late: bool,
    /// A server that loses its last public address loses its firewalls; otherwise they stay on it.
    pub(crate) last_address_drops_firewalls: bool,
    /// While an action changes a firewall, other changes to that firewall are a `conflict`; otherwise they run side by
    /// side and take effect in the order of the requests.
    pub(crate) firewall_conflicts: bool,
    /// 500 effective rules is the limit of one firewall, as the provider's FAQ has it; otherwise of one server.
    pub(crate) effective_rules_per_firewall: bool,
    /// The first and the last address of a subnet can be assigned; otherwise they are reserved.
    pub(crate) subnet_edges_assignable: bool,
    /// The gateway of a route must be an address that a server has in the network; otherwise it need only lie inside.
    pub(crate) route_gateway_must_exist: bool,
    /// A snapshot's `disk_size` is that of the server's type; otherwise that of the server's real disk.
    pub(crate) snapshot_has_disk_of_type: bool,
    /// HTTP status of `placement_error`.
    pub(crate) placement_error_status: u16,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            change_type_starts: true,
            firewalls_at_private_creation: false,
            creation_firewalls_late: false,
            last_address_drops_firewalls: false,
            firewall_conflicts: false,
            effective_rules_per_firewall: false,
            subnet_edges_assignable: false,
            route_gateway_must_exist: false,
            snapshot_has_disk_of_type: false,
            placement_error_status: 422,
        }
    }
}

impl Switches {
    pub(crate) fn reply(&self) -> Reply {
        Reply::ok(json!({"switches": self}))
    }

    /// The same switches with those that are given set; one that does not exist or has a wrong value is refused.
    pub(crate) fn with(&self, given: Map<String, Value>) -> Api<Self> {
        let mut all = serde_json::to_value(self).unwrap_or_default();
        if let Some(all) = all.as_object_mut() {
            all.extend(given);
        }
        let set: Self = serde_json::from_value(all)
            .map_err(|error| ApiError::invalid("switches", &format!("{error}; GET /_sim/switches shows them")))?;
        if !(400..=599).contains(&set.placement_error_status) {
            return Err(ApiError::invalid("placement_error_status", "must be an HTTP status of 400 to 599"));
        }
        Ok(set)
    }
}
