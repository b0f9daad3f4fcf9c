//! The rules of ARCHITECTURE.md that a machine can hold: who may depend on whom, and on what from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod documents;

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]).exec().unwrap()
}

fn normal_dependencies(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.as_str()).collect()
}

/// The arrows of the code map: normal dependencies of ours, per package. Dev-dependencies are free.
fn arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("seca-api", [].as_slice()),
        ("control-plane", &["http-support", "seca-api"]),
        ("persistence", &["control-plane", "seca-api"]),
        ("hcloud-client", &["http-support"]),
        ("http-support", &[]),
        ("hetzner-adapter", &["control-plane", "seca-api", "hcloud-client", "igw-polyfill", "settings"]),
        ("igw-polyfill", &["seca-api"]),
        ("instruments", &["api-server", "control-plane", "hcloud-client", "persistence", "seca-api"]),
        ("credential-vault", &["control-plane", "seca-api"]),
        ("seca-client", &["http-support", "seca-api"]),
        ("settings", &[]),
        ("specifications", &[]),
        ("authentication", &["control-plane", "http-support", "seca-api", "settings"]),
        ("api-server", &["authentication", "control-plane", "seca-api", "settings"]),
        ("hcloud-sim", &[]),
        ("token-provisioner", &["http-support", "seca-api", "seca-client", "settings"]),
        (
            "secapi-proxy",
            &[
                "api-server",
                "authentication",
                "control-plane",
                "credential-vault",
                "hcloud-client",
                "hcloud-sim",
                "hetzner-adapter",
                "http-support",
                "instruments",
                "persistence",
                "seca-api",
                "seca-client",
                "settings",
                "token-provisioner",
            ],
        ),
    ])
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let arrows = arrows();
    assert_eq!(ours, arrows.keys().copied().collect(), "every package has its row in the code map");
    for package in &metadata.packages {
        let allowed: BTreeSet<&str> = arrows[package.name.as_str()].iter().copied().collect();
        let found: BTreeSet<&str> = normal_dependencies(package).intersection(&ours).copied().collect();
        let extra: Vec<_> = found.difference(&allowed).collect();
        assert!(extra.is_empty(), "{} must not depend on {extra:?}", package.name);
    }
}

#[test]
fn each_outside_world_is_known_to_its_own_crates_only() {
    let rules: [(&str, &[&str]); 7] = [
        ("prometheus-client", &["instruments"]),
        ("axum", &["api-server", "hcloud-sim", "secapi-proxy", "token-provisioner"]),
        ("sqlx", &["persistence"]),
        ("reqwest", &["hcloud-client", "http-support", "seca-client", "secapi-proxy"]),
        ("ring", &["api-server", "authentication", "credential-vault", "hetzner-adapter", "secapi-proxy"]),
        ("jsonwebtoken", &["authentication"]),
        ("clap", &["hcloud-sim", "secapi-proxy", "token-provisioner"]),
    ];
    for package in metadata().packages {
        let dependencies = normal_dependencies(&package);
        for (outside, known_to) in rules {
            let may = known_to.contains(&package.name.as_str());
            assert!(may || !dependencies.contains(outside), "{} must not know {outside}", package.name);
        }
    }
}

#[test]
fn the_pure_crates_know_no_runtime_and_no_clock() {
    for package in metadata().packages.iter().filter(|p| ["seca-api", "igw-polyfill"].contains(&p.name.as_str())) {
        for banned in ["tokio", "async-trait", "futures", "tracing", "rand", "getrandom"] {
            assert!(!normal_dependencies(package).contains(banned), "{} is pure, without {banned}", package.name);
        }
    }
}

#[test]
fn every_crate_explains_itself() {
    for package in metadata().packages {
        let readme = package.manifest_path.parent().unwrap().join("README.md");
        let text = std::fs::read_to_string(&readme).unwrap_or_default();
        assert!(text.len() > 200, "{readme} says what the crate is for");
    }
}

#[test]
fn both_halves_of_every_kind_exist() {
    let rules: BTreeSet<_> = control_plane::kinds::ALL.iter().filter(|r| r.has_object).map(|r| r.kind).collect();
    let mappings: BTreeSet<_> = hetzner_adapter::kinds().into_iter().collect();
    assert_eq!(rules, mappings, "control-plane/src/kinds and hetzner-adapter/src/mapping list the same kinds");
}

/// The walk of ARCHITECTURE.md leads through functions that exist.
#[test]
fn every_hop_of_the_walk_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, walk) = page.split_once("## One PUT of an instance").unwrap();
    let (walk, _) = walk.split_once("\n## ").unwrap();
    let mut hops = 0;
    for row in walk.lines().filter(|line| line.contains("| `crates/")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (file, function) = (cells[2], cells[3]);
        let code = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_there = code.contains(&format!("fn {function}(")) || code.contains(&format!("fn {function}<"));
        assert!(is_there, "{file} has no function {function}");
        hops += 1;
    }
    assert!(hops > 20, "{hops} hops");
}
