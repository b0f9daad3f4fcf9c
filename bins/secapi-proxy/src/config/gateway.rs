//! What stands behind internet gateways.

use std::{net::Ipv4Addr, time::Duration};

use hetzner_adapter::GatewaySettings;
use ipnet::Ipv4Net;

use super::{Reader, one_of};
use crate::settings::Setting;

/// The longest linger, in milliseconds.
const DAY: u64 = 24 * 3_600_000;

impl Reader<'_> {
    pub(super) fn gateway(&mut self) -> GatewaySettings {
        let mut gateway = GatewaySettings::default();
        gateway.nat.enabled = self.flag(Setting::InternetGatewayNatVm);
        let types = self.value(Setting::GatewayServerTypes, server_types);
        gateway.nat.server_types = types.unwrap_or(gateway.nat.server_types);
        gateway.nat.ssh_from = self.value(Setting::GatewaySshFrom, blocks).unwrap_or_default();
        gateway.nat.health_from = self.value(Setting::GatewayHealthFrom, blocks).unwrap_or_default();
        let linger: Option<Duration> = self.duration(Setting::GatewayLinger, 0, DAY);
        gateway.linger = linger.unwrap_or(gateway.linger);
        let first_boots = [("private", false), ("public-ipv6", true)];
        let first_boot = self.value(Setting::PrivateFirstBoot, |text| one_of(text, &first_boots));
        gateway.first_boot_ipv6 = first_boot.unwrap_or(false);
        gateway
    }
}

/// Names, each once.
fn server_types(text: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        if !is_name(name) || names.iter().any(|known| known == name) {
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

/// IPv4 blocks without host bits; an address alone is a block of one.
fn blocks(text: &str) -> Option<Vec<Ipv4Net>> {
    let block = |part: &str| match part.trim().parse::<Ipv4Net>() {
        Ok(block) => Some(block).filter(|block| block.trunc() == *block),
        Err(_) => part.trim().parse::<Ipv4Addr>().ok().map(Ipv4Net::from),
    };
    text.split(',').map(block).collect()
}
