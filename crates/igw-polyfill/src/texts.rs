//! The files that a machine gets, as they stand in `src/texts`. The scripts hold placeholders only where a list of
//! blocks goes, which is a type here, so that nothing of a user's gets into a script.

use ipnet::Ipv4Net;

/// A file of a machine.
pub(crate) struct File {
    pub(crate) path: &'static str,
    /// Octal, as `chmod` reads it.
    pub(crate) mode: &'static str,
    pub(crate) content: String,
}

impl File {
    fn new(path: &'static str, mode: &'static str, content: &str) -> Self {
        Self { path, mode, content: content.to_owned() }
    }
}

/// Blocks as the scripts read them.
pub(crate) fn words(blocks: &[Ipv4Net]) -> String {
    blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn seca_net(prefer: &[Ipv4Net]) -> File {
    let script = include_str!("texts/seca-net").replace("@PREFER@", &words(prefer));
    File { path: "/usr/local/sbin/seca-net", mode: "0755", content: script }
}

/// What a guest gets before its own user data.
pub(crate) fn guest(prefer: &[Ipv4Net]) -> Vec<File> {
    vec![
        seca_net(prefer),
        File::new("/etc/systemd/system/seca-net.service", "0644", include_str!("texts/seca-net.service")),
        File::new("/etc/systemd/system/seca-net.timer", "0644", include_str!("texts/seca-net.timer")),
        File::new("/etc/udev/rules.d/99-seca-net.rules", "0644", include_str!("texts/99-seca-net.rules")),
    ]
}

pub(crate) const BOOTHOOK_HEAD: &str = include_str!("texts/boothook.head");
pub(crate) const BOOTHOOK_TAIL: &str = include_str!("texts/boothook.tail");

/// What a NAT server gets. `environment` is what differs between two of them.
pub(crate) fn nat(environment: String) -> Vec<File> {
    vec![
        File { path: "/etc/seca/nat.env", mode: "0600", content: environment },
        File::new("/usr/local/sbin/seca-nat", "0755", include_str!("texts/seca-nat")),
        seca_net(&[]),
        File::new("/etc/sysctl.d/90-seca.conf", "0644", include_str!("texts/sysctl.conf")),
        File::new("/etc/modules-load.d/seca.conf", "0644", include_str!("texts/modules.conf")),
        File::new("/etc/systemd/system/seca-nat.service", "0644", include_str!("texts/seca-nat.service")),
        File::new("/etc/systemd/system/seca-nat.timer", "0644", include_str!("texts/seca-nat.timer")),
    ]
}

pub(crate) const NAT_HEAD: &str = include_str!("texts/nat.head.yaml");
pub(crate) const NAT_TAIL: &str = include_str!("texts/nat.tail.yaml");
