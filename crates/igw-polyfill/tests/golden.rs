//! The texts as they reach a machine, beside files that a person has read. `UPDATE_GOLDEN=1` writes them again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use igw_polyfill::{
    guest::{self, Guest, Refusal, Unmanaged, UserData},
    nat::NatConfig,
    packing::{MOST_BYTES, TooLong},
    plan::{Due, Obstacle, PlannedRoute, Verdict},
    sentences::{self, InNetwork, Standing},
};
use ipnet::Ipv4Net;

#[track_caller]
fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{name} changed; read the difference, then UPDATE_GOLDEN=1 cargo test -p igw-polyfill");
}

fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn managed(user: Option<&str>, guest: &Guest) -> String {
    match guest::user_data(user, guest).unwrap() {
        UserData::Managed(text) => text,
        other @ UserData::AsSent(..) => panic!("{other:?}"),
    }
}

/// `sh` reads it without a complaint. Nothing of it is run.
#[track_caller]
fn is_shell(script: &str) {
    let mut sh = Command::new("sh").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sh.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = sh.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The content of a file of `write_files`.
fn content(cloud_config: &str, path: &str) -> String {
    let entry = cloud_config.split_once(&format!("  - path: {path}\n")).unwrap().1;
    let block = entry.split_once("    content: |\n").unwrap().1;
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("      "));
    lines.map(|line| format!("{}\n", line.strip_prefix("      ").unwrap_or_default())).collect()
}

#[test]
fn the_nat_servers_are_as_somebody_read_them() {
    let closed = NatConfig { sources: nets(&["10.1.0.0/24", "10.1.1.0/24"]), ..NatConfig::default() };
    check("nat.yaml", &closed.user_data().unwrap());
    let open = NatConfig {
        sources: nets(&["10.0.0.0/8"]),
        // They overlap, which nft would refuse.
        ssh_from: nets(&["203.0.113.0/24", "203.0.113.7/32"]),
        health_from: nets(&["198.51.100.4/32"]),
    };
    check("nat-open.yaml", &open.user_data().unwrap());
    assert!(open.cloud_config().contains("SSH_FROM=\"203.0.113.0/24\"\n"));
}

#[test]
fn the_scripts_are_shell() {
    let config = NatConfig { sources: nets(&["10.1.0.0/24"]), ..NatConfig::default() }.cloud_config();
    is_shell(&content(&config, "/etc/seca/nat.env"));
    is_shell(&content(&config, "/usr/local/sbin/seca-nat"));
    is_shell(&content(&config, "/usr/local/sbin/seca-net"));
    let boothook = guest::boothook(&nets(&["10.1.0.0/16", "10.2.0.0/16"]));
    is_shell(&boothook);
    assert!(boothook.starts_with("#cloud-boothook\n#!/bin/sh\n"));
    assert!(boothook.contains("PREFER=\"10.1.0.0/16 10.2.0.0/16\"") && !boothook.contains("@PREFER@"));
    // Each here-document ends where its file ends.
    assert_eq!(boothook.matches("<<'SECA_EOF'\n").count(), boothook.lines().filter(|line| *line == "SECA_EOF").count());
}

#[test]
fn the_blocks_of_yaml_give_back_what_was_put_in() {
    let config = NatConfig { sources: nets(&["10.1.0.0/24"]), ..NatConfig::default() }.cloud_config();
    assert_eq!(content(&config, "/usr/local/sbin/seca-nat"), include_str!("../src/texts/seca-nat"));
    let net = include_str!("../src/texts/seca-net").replace("@PREFER@", "");
    assert_eq!(content(&config, "/usr/local/sbin/seca-net"), net);
    assert!(!config.contains('\t') && config.is_ascii());
}

#[test]
fn the_guests_are_as_somebody_read_them() {
    check("guest-empty.mime", &managed(None, &Guest::default()));
    check("guest-script.mime", &managed(Some("#!/bin/sh\ntouch /root/ran\n"), &Guest::default()));
    let prefer = Guest { prefer: nets(&["10.1.0.0/16"]), ..Guest::default() };
    check("guest-letters.mime", &managed(Some("#cloud-config\nhostname: grüße\n"), &prefer));
    assert_eq!(managed(Some(" \n"), &Guest::default()), managed(None, &Guest::default()));
}

#[test]
fn a_nat_server_of_many_sources_gets_packed_text() {
    let sources: Vec<Ipv4Net> =
        (0..1_500_u32).map(|n| Ipv4Net::new((0x0a00_0000 + 512 * n).into(), 24).unwrap()).collect();
    let config = NatConfig { sources, ..NatConfig::default() };
    assert!(config.cloud_config().len() > MOST_BYTES);
    let packed = config.user_data().unwrap();
    assert!(
        packed.len() <= MOST_BYTES && packed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    );
}

#[test]
fn the_sentences_are_as_somebody_read_them() {
    let shop = || vec!["shop".to_owned()];
    let standings = [
        Standing::Starting { server_type: None },
        Standing::Starting { server_type: Some("cx23".to_owned()) },
        Standing::Up { server_type: "cx23".to_owned(), failed_over: false },
        Standing::Up { server_type: "cx23".to_owned(), failed_over: true },
        Standing::Replacing(Due::Closed(shop())),
        Standing::Due(Due::Open(vec!["shop".to_owned(), "vault".to_owned()])),
        Standing::Due(Due::AllowLists),
        Standing::Due(Due::Version),
        Standing::Due(Due::Place),
        Standing::Unhealthy { recoveries: 3 },
        Standing::NoCapacity { tried: vec!["cx23".to_owned(), "cax11".to_owned()] },
        Standing::NoCapacity { tried: vec![] },
        Standing::Quota,
        Standing::ForeignRoute { gateway: "10.1.0.9".parse().unwrap() },
        Standing::Lingering(std::time::Duration::from_secs(541)),
        Standing::Blocked(Obstacle::Disabled),
        Standing::Blocked(Obstacle::NoAddress),
    ];
    let egress = ["203.0.113.7", "203.0.113.8"].map(|address| address.parse().unwrap());
    let mut lines = vec![sentences::gateway(true, &[]), sentences::gateway(false, &[])];
    for (index, standing) in standings.into_iter().enumerate() {
        let it = InNetwork { network: "net".to_owned(), standing, egress: egress[..index.min(2)].to_vec() };
        lines.push(sentences::gateway(true, &[it]));
    }
    let verdicts = [
        Verdict::Served,
        Verdict::NotNamed,
        Verdict::Conflict { table: "old".to_owned(), target: "10.1.0.9".to_owned() },
        Verdict::NotEverywhere,
        Verdict::Missing,
        Verdict::Ending,
        Verdict::Blocked(Obstacle::Disabled),
    ];
    for verdict in verdicts {
        let route = PlannedRoute { table: "out".to_owned(), index: 0, target: "igw".to_owned(), verdict };
        lines.push(sentences::route(&route, "0.0.0.0/0", false).unwrap());
    }
    lines.push(sentences::open_subnet("igw"));
    lines.extend([Unmanaged::OptedOut, Unmanaged::UnknownForm, Unmanaged::Unreadable].map(sentences::unmanaged));
    lines.push(sentences::made_without("an earlier release made it"));
    let long = TooLong { bytes: 50_000, packed: 40_000 };
    let refusals = [
        Refusal::Include,
        Refusal::TooLong { whole: long, own: 41_000, bootstrap: 9_000 },
        Refusal::TooLongAsSent(long),
    ];
    lines.extend(refusals.map(sentences::refusal));
    check("sentences.txt", &(lines.join("\n") + "\n"));
}
