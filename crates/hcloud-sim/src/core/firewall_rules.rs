//! The rules of firewalls: how they are given, checked, shown and counted.

use super::http::{Api, ApiError};
use super::input::Input;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rules in one firewall.
const MAX_RULES: usize = 50;
/// Effective rules on one server, or in one firewall when the switch says so.
pub(crate) const MAX_EFFECTIVE: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Rule {
    description: Option<String>,
    pub(crate) direction: String,
    pub(crate) protocol: String,
    pub(crate) port: Option<String>,
    pub(crate) sources: Vec<String>,
    destinations: Vec<String>,
}

impl Rule {
    /// Each range of a rule counts.
    pub(crate) fn effective(&self) -> usize {
        if self.direction == "in" { self.sources.len() } else { self.destinations.len() }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "description": self.description, "direction": self.direction, "protocol": self.protocol,
            "port": self.port, "source_ips": self.sources, "destination_ips": self.destinations,
        })
    }

    fn parse(index: usize, value: &Value) -> Api<Self> {
        let mut input = Input::new(value.as_object().cloned().unwrap_or_default());
        let rule = Self {
            description: input.text("description"),
            direction: input.required_text("direction"),
            protocol: input.required_text("protocol"),
            port: input.text("port"),
            sources: canonical(input.texts("source_ips")),
            destinations: canonical(input.texts("destination_ips")),
        };
        rule.check(&mut input);
        let mut outer = Input::new(serde_json::Map::new());
        outer.adopt(&format!("rules.{index}"), &input);
        outer.check()?;
        Ok(rule)
    }

    fn check(&self, input: &mut Input) {
        let (required, field) = match self.direction.as_str() {
            "in" => (&self.sources, "source_ips"),
            "out" => (&self.destinations, "destination_ips"),
            _ => return input.reject("direction", "must be one of in, out"),
        };
        if required.is_empty() {
            input.reject(field, "must not be empty for this direction");
        }
        for (name, ranges) in [("source_ips", &self.sources), ("destination_ips", &self.destinations)] {
            if ranges.len() > 100 {
                input.reject(name, "at most 100 are allowed");
            }
            if ranges.iter().any(|range| !is_range(range)) {
                input.reject(name, "must be a list of ranges in CIDR notation without host bits");
            }
        }
        let with_port = matches!(self.protocol.as_str(), "tcp" | "udp");
        if !with_port && !matches!(self.protocol.as_str(), "icmp" | "esp" | "gre") {
            input.reject("protocol", "must be one of tcp, udp, icmp, esp, gre");
        }
        match &self.port {
            None if with_port => input.reject("port", "is required for tcp and udp"),
            Some(_) if !with_port => input.reject("port", "is only allowed for tcp and udp"),
            Some(port) if !is_port(port) => input.reject("port", "must be a port, a range of ports or 'any'"),
            _ => {}
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 255) {
            input.reject("description", "must be at most 255 characters");
        }
    }
}

/// IPv6 ranges as RFC 5952 writes them; what is no range stays, to be refused.
fn canonical(ranges: Option<Vec<String>>) -> Vec<String> {
    let write = |text: String| text.parse::<ipnet::IpNet>().map_or(text, |range| range.to_string());
    ranges.unwrap_or_default().into_iter().map(write).collect()
}

fn is_range(text: &str) -> bool {
    text.parse::<ipnet::IpNet>().is_ok_and(|range| range.addr() == range.network())
}

fn is_port(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    text == "any"
        || match text.split_once('-') {
            Some((first, last)) => matches!((port(first), port(last)), (Some(first), Some(last)) if first <= last),
            None => port(text).is_some(),
        }
}

/// The rules of a request, those for incoming traffic first: the order between the directions is not kept.
pub(crate) fn parse_rules(input: &mut Input) -> Api<Option<Vec<Rule>>> {
    let Some(values) = input.array("rules") else { return Ok(None) };
    if values.len() > MAX_RULES {
        return Err(ApiError::invalid("rules", "at most 50 rules are allowed"));
    }
    let mut rules =
        values.iter().enumerate().map(|(index, value)| Rule::parse(index, value)).collect::<Api<Vec<_>>>()?;
    rules.sort_by_key(|rule| rule.direction != "in");
    Ok(Some(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_ranges_without_host_bits_and_ports_only_where_there_are_ports() {
        let rule = |direction: &str, protocol: &str, port: Value, ranges: &[&str]| json!({"direction": direction, "protocol": protocol, "port": port, "source_ips": ranges});
        for (value, valid) in [
            (rule("in", "tcp", json!("22"), &["0.0.0.0/0", "::/0"]), true),
            (rule("in", "udp", json!("1-65535"), &["10.0.0.0/8"]), true),
            (rule("in", "icmp", Value::Null, &["10.0.0.1/32"]), true),
            (rule("in", "icmp", json!("1"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", Value::Null, &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("0"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("9-1"), &["10.0.0.1/32"]), false),
            (rule("in", "tcp", json!("22"), &["10.0.0.1/8"]), false),
            (rule("in", "tcp", json!("22"), &[]), false),
            (rule("out", "tcp", json!("22"), &["10.0.0.0/8"]), false),
            (rule("up", "tcp", json!("22"), &["10.0.0.0/8"]), false),
            (rule("in", "sctp", json!("22"), &["10.0.0.0/8"]), false),
        ] {
            assert_eq!(Rule::parse(0, &value).is_ok(), valid, "{value}");
        }
    }
}
