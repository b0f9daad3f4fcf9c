//! What the predecessor's users type is still there: every make target, the provisioner's script, the composition in the
//! repository's root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The predecessor's make targets.
const TARGETS: &str = "all bootstrap fmt lint generate test test-integration test-contract build run migrate-up \
    migrate-down sqlc-gen docker-build docker-run docker-push release phase1-smoke phase2-smoke conformance-bootstrap \
    conformance-run conformance-smoke conformance-full conformance-region conformance-auth conformance-workspace \
    conformance-compute conformance-storage conformance-network conformance-foundation conformance-foundation-core \
    ci-verify ci-unit ci-integration ci-contract ci-conformance ci-package";

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(root()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first words of the commands that a target would run, without running them.
fn commands(target: &str) -> Vec<String> {
    let output = run("make", &["--dry-run", "--no-print-directory", target]);
    assert!(output.status.success(), "make {target}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn every_make_target_of_the_predecessor_does_its_job_or_says_what_replaced_it() {
    for target in TARGETS.split_whitespace() {
        let commands = commands(target);
        assert!(!commands.is_empty(), "make {target} does nothing");
        let told = commands.join("\n");
        assert!(!told.contains("not there yet"), "make {target}: {told}");
        // What it calls exists.
        for script in commands.iter().filter_map(|line| line.split_whitespace().next()) {
            if script.starts_with("scripts/") {
                assert!(root().join(script).is_file(), "make {target} calls {script}");
            }
        }
    }
    let told = text(&run("make", &["--no-print-directory", "sqlc-gen"]).stdout);
    assert!(told.contains("nothing to generate"), "{told}");
}

#[test]
fn make_help_lists_every_target() {
    let help = text(&run("make", &["--no-print-directory", "help"]).stdout);
    let listed: BTreeSet<&str> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let missing: Vec<_> = TARGETS.split_whitespace().filter(|target| !listed.contains(target)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_composition_is_found_in_the_root() {
    let text = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let path = text.lines().find_map(|line| line.trim().strip_prefix("- path: ")).unwrap();
    let included = fs::read_to_string(root().join(path)).unwrap();
    for service in ["postgres:", "proxy:", "token-provisioner:"] {
        assert!(included.lines().any(|line| line.trim() == service), "{service}");
    }
    // What it builds lies where it says, from the folder of the included file.
    let folder = Path::new(path).parent().unwrap();
    assert!(included.contains("context: .., dockerfile: deploy/Dockerfile"));
    assert!(root().join(folder).join("../deploy/Dockerfile").is_file());
}

#[test]
fn the_provisioners_script_starts_it_with_the_same_variables() {
    let script = root().join("scripts/token-provisioner.sh");
    let folder = Path::new(env!("CARGO_BIN_EXE_secapi-proxy")).parent().unwrap();
    // The script finds the program by its name: here one that tells what it was given.
    let place = tempfile::tempdir().unwrap();
    let found = place.path().join("token-provisioner");
    fs::write(&found, "#!/bin/sh\necho \"$SECA_TOKEN_PROVISIONER_HETZNER_TOKEN $SECA_TENANTS $*\"\n").unwrap();
    fs::set_permissions(&found, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin:{}", place.path().display(), folder.display());
    let output = Command::new(script)
        .env_clear()
        .env("PATH", path)
        .env("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", "h")
        .env("SECA_TENANTS", "dev")
        .arg("--help")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "h dev --help\n", "{}", text(&output.stderr));
}
