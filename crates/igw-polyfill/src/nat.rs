//! The NAT server: its user data and its firewall.
//!
//! The text differs between two servers in three lists of blocks only, and holds no secret: no key, no password, no
//! token. So it may be shown, logged and compared.

use std::fmt::Write as _;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{
    packing::{self, TooLong},
    texts::{self, File, words},
};

/// The version of the texts. A server that was made with an older one can be replaced at leisure.
pub const VERSION: u32 = 1;

/// The image of a NAT server. Debian 12 forwards again 3 s after a reset; Debian 13 needs 15 s.
pub const IMAGE: &str = "debian-12";

/// The public half of a key that nobody has. A server that is made without a key gets a root password, which Hetzner
/// sends by mail; one with this key gets none, and lets nobody in.
///
/// The point of the curve is the SHA-256 of `SECA internet gateway: nobody has the private half 0`, so nobody can have
/// chosen it to fit a private half. `scripts/gateway_kit` computes it again.
pub const NOBODYS_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHU3U/ouQlZzSSIUdnpKQPthECFzVIzmSbNfe/TfLAVv";

/// The port that answers where `health_from` may ask. Nothing listens on it: a refused connection is the sign of life.
pub const HEALTH_PORT: u16 = 9;

/// What differs between two NAT servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatConfig {
    /// The blocks whose packets are forwarded.
    pub sources: Vec<Ipv4Net>,
    /// The blocks that may reach its SSH port; nobody where empty.
    #[serde(default)]
    pub ssh_from: Vec<Ipv4Net>,
    /// The blocks that may probe [`HEALTH_PORT`]; nobody where empty.
    #[serde(default)]
    pub health_from: Vec<Ipv4Net>,
}

impl NatConfig {
    /// The cloud-config, packed where it is longer than Hetzner takes.
    ///
    /// # Errors
    /// When it does not fit, which takes more than a thousand sources.
    pub fn user_data(&self) -> Result<String, TooLong> {
        packing::for_provider(self.cloud_config())
    }

    /// The cloud-config as text.
    pub fn cloud_config(&self) -> String {
        let mut text = texts::NAT_HEAD.to_owned() + "write_files:\n";
        for file in texts::nat(self.environment()) {
            write_file(&mut text, &file);
        }
        text + texts::NAT_TAIL
    }

    fn environment(&self) -> String {
        // nft refuses sets whose elements overlap.
        let list = |blocks: &[Ipv4Net]| words(&Ipv4Net::aggregate(&blocks.to_vec()));
        format!(
            "SRC=\"{}\"\nSSH_FROM=\"{}\"\nHEALTH_FROM=\"{}\"\n",
            list(&self.sources),
            list(&self.ssh_from),
            list(&self.health_from)
        )
    }

    /// The rules of the firewall on its public interface: ICMP comes in, and what the lists allow. Everything goes out,
    /// because a Hetzner firewall without a rule for a direction lets all of it out.
    pub fn firewall(&self) -> Vec<FirewallRule> {
        let anybody = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        let mut rules = vec![FirewallRule {
            protocol: "icmp",
            port: None,
            sources: anybody,
            description: "Ping and path MTU discovery",
        }];
        for (from, port, description) in
            [(&self.ssh_from, 22, "SSH for the operators"), (&self.health_from, HEALTH_PORT, "Health probes")]
        {
            if !from.is_empty() {
                let sources = Ipv4Net::aggregate(from).iter().map(ToString::to_string).collect();
                rules.push(FirewallRule { protocol: "tcp", port: Some(port), sources, description });
            }
        }
        rules
    }
}

/// A rule of a Hetzner firewall for what comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirewallRule {
    /// `icmp` or `tcp`.
    pub protocol: &'static str,
    /// The port, where the protocol has any.
    pub port: Option<u16>,
    /// The blocks that may come in, without host bits.
    pub sources: Vec<String>,
    /// What it is for.
    pub description: &'static str,
}

/// An entry of `write_files`. The content is a literal block, so that no character of it has a meaning in YAML.
fn write_file(text: &mut String, file: &File) {
    let File { path, mode, content } = file;
    // Writing to a string does not fail.
    let _ = writeln!(text, "  - path: {path}\n    permissions: \"{mode}\"\n    content: |");
    for line in content.lines() {
        let indent = if line.is_empty() { "" } else { "      " };
        let _ = writeln!(text, "{indent}{line}");
    }
}
