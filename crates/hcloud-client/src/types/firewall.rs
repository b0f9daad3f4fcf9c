//! Firewalls: rule sets applied to servers, directly or by label selector.

use std::collections::{BTreeSet, HashSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::null_default;
use super::{Id, Labels, Server};

open_enum! {
    /// Direction of a rule, seen from the server.
    RuleDirection { In = "in", Out = "out" }
}
open_enum! {
    /// Protocol of a rule.
    RuleProtocol { Tcp = "tcp", Udp = "udp", Icmp = "icmp", Esp = "esp", Gre = "gre" }
}
open_enum! {
    /// How a firewall reaches servers.
    FirewallTarget { Server = "server", LabelSelector = "label_selector" }
}

/// A firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Id.
    pub id: Id<Firewall>,
    /// Name, unique in the project.
    pub name: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Rules.
    #[serde(default, deserialize_with = "null_default")]
    pub rules: Vec<FirewallRule>,
    /// What it is applied to.
    #[serde(default, deserialize_with = "null_default")]
    pub applied_to: Vec<FirewallResource>,
}

impl Firewall {
    /// Whether it lets through what a set of rules lets through. The provider keeps no order, of rules as little as of
    /// the addresses in one, and may write a port or an empty description in another way than it was sent.
    #[must_use]
    pub fn has_rules(&self, wanted: &[FirewallRule]) -> bool {
        let set = |rules: &[FirewallRule]| rules.iter().map(FirewallRule::canonical).collect::<HashSet<_>>();
        set(&self.rules) == set(wanted)
    }
}

/// A rule: `in` uses `source_ips`, `out` uses `destination_ips`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FirewallRule {
    /// Description, at most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Direction.
    pub direction: RuleDirection,
    /// Permitted sources of incoming traffic.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<IpNet>,
    /// Permitted destinations of outgoing traffic.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub destination_ips: Vec<IpNet>,
    /// Protocol.
    pub protocol: RuleProtocol,
    /// Port (`80`) or range (`1024-5000`); only for tcp and udp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

impl FirewallRule {
    /// The rule in the one spelling that all its spellings share.
    fn canonical(&self) -> Self {
        let addresses = |ips: &[IpNet]| ips.iter().map(IpNet::trunc).collect::<BTreeSet<_>>().into_iter().collect();
        let port = self.port.as_deref().map(|port| match port.split_once('-') {
            Some((from, to)) if from.trim() == to.trim() => from.trim().to_owned(),
            Some((from, to)) => format!("{}-{}", from.trim(), to.trim()),
            None => port.trim().to_owned(),
        });
        Self {
            description: self.description.clone().filter(|text| !text.is_empty()),
            direction: self.direction.clone(),
            source_ips: addresses(&self.source_ips),
            destination_ips: addresses(&self.destination_ips),
            protocol: self.protocol.clone(),
            port,
        }
    }
}

/// Something a firewall is applied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallResource {
    /// How it is reached; tells which other field is set.
    #[serde(rename = "type")]
    pub kind: FirewallTarget,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<FirewallResourceServer>,
    /// The selector. Applying by selector locks servers asynchronously; prefer servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<FirewallSelector>,
    /// Servers that a selector matched (answers only).
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub applied_to_resources: Vec<FirewallResource>,
}

impl FirewallResource {
    /// This server.
    #[must_use]
    pub fn server(id: Id<Server>) -> Self {
        Self {
            kind: FirewallTarget::Server,
            server: Some(FirewallResourceServer { id }),
            label_selector: None,
            applied_to_resources: Vec::new(),
        }
    }
}

/// A server by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallResourceServer {
    /// Its id.
    pub id: Id<Server>,
}

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSelector {
    /// The selector (`env=prod`).
    pub selector: String,
}

/// Body of `POST /firewalls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateFirewall {
    /// Name of at most 128 characters, unique in the project.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Rules, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<FirewallRule>,
    /// What to apply it to at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apply_to: Vec<FirewallResource>,
}

/// Body of `PUT /firewalls/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFirewall {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// Body of `set_rules`: the whole new set, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetRules {
    pub(crate) rules: Vec<FirewallRule>,
}

/// Body of `apply_to_resources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApplyTo {
    pub(crate) apply_to: Vec<FirewallResource>,
}

/// Body of `remove_from_resources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveFrom {
    pub(crate) remove_from: Vec<FirewallResource>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(direction: &str, ips: &[&str], port: &str) -> Value {
        let field = if direction == "in" { "source_ips" } else { "destination_ips" };
        json!({"direction": direction, field: ips, "protocol": "tcp", "port": port})
    }

    fn has(observed: Value, wanted: Value) -> bool {
        let firewall = json!({"id": 1, "name": "f", "created": "2026-01-30T23:55:00Z", "rules": observed});
        let firewall: Firewall = serde_json::from_value(firewall).unwrap();
        firewall.has_rules(&serde_json::from_value::<Vec<FirewallRule>>(wanted).unwrap())
    }

    #[test]
    fn rules_are_a_set_of_rules_with_sets_of_addresses() {
        let (web, ssh) = (rule("in", &["0.0.0.0/0", "::/0"], "443"), rule("in", &["10.0.0.0/8"], "22"));
        for (observed, wanted) in [
            (json!([]), json!([])),
            (json!([web, ssh]), json!([ssh, web])),
            (json!([web, web]), json!([web])),
            (json!([rule("in", &["::/0", "0.0.0.0/0"], "443")]), json!([web])),
            (json!([rule("in", &["10.0.0.0/8"], "22-22")]), json!([ssh])),
            (json!([rule("in", &["10.1.2.3/8"], "22")]), json!([ssh])),
        ] {
            assert!(has(observed.clone(), wanted.clone()), "{observed} {wanted}");
        }
        let mut described = ssh.clone();
        described["description"] = json!("");
        assert!(has(json!([described]), json!([ssh])));

        described["description"] = json!("people");
        for (observed, wanted) in [
            (json!([]), json!([ssh])),
            (json!([web, ssh]), json!([ssh])),
            (json!([rule("out", &["10.0.0.0/8"], "22")]), json!([ssh])),
            (json!([rule("in", &["10.0.0.0/9"], "22")]), json!([ssh])),
            (json!([rule("in", &["10.0.0.0/8", "::/0"], "22")]), json!([ssh])),
            (json!([rule("in", &["10.0.0.0/8"], "22-23")]), json!([ssh])),
            (json!([described]), json!([ssh])),
        ] {
            assert!(!has(observed.clone(), wanted.clone()), "{observed} {wanted}");
        }
    }
}
