//! Every command of docs/guide, run in order in one shell against a `dev`, and what it prints compared with what stands there;
//! and every example of the OpenAPI documents.
//!
//! A block `sh` is run. `sh background` is how a reader starts the proxy, and `sh real` needs a real machine: they are known by
//! heart here, so that no other block escapes. `sh terraform` and `sh go` are run where the tool and what it fetches are at
//! hand; where they are not, the test says so. A block `text` below is what the command prints; `…` stands for anything, and
//! `go` is a part of a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{binary, http, process::Process, proxy::read_ready};
use seca_client::seca_api::{Kind, openapi};
use serde_json::Value;

fn guide(page: &str) -> String {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide"));
    fs::read_to_string(folder.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// A command of a page, and what it prints, if the page says so.
struct Step {
    page: String,
    /// The tool that it needs beside those that every reader has.
    tool: Option<Tool>,
    command: String,
    prints: Option<String>,
}

/// A tool that fetches what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Terraform,
    Go,
}

impl Tool {
    /// Whether it and what it fetches are there, found out in a copy of the example.
    fn is_at_hand(self, folder: &Path) -> bool {
        let (example, probe) = match self {
            Self::Terraform => ("examples/terraform", "terraform init -input=false -no-color"),
            Self::Go => ("examples/go-sdk", "go build -o /dev/null ."),
        };
        let script = format!("cp -r {example} \"$0\" && cd \"$0\" && timeout -k 5 120 {probe}");
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).arg(folder.join(format!("{self:?}"))).current_dir(root());
        let output = shell.output().unwrap();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("the chapter that needs {self:?} is skipped: `{probe}` fails here:\n{}", why.trim());
        }
        output.status.success()
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The pages in the order of the summary.
fn pages() -> Vec<String> {
    let summary = guide("SUMMARY.md");
    summary.lines().filter_map(|line| Some(line.split_once("](")?.1.strip_suffix(')')?.to_owned())).collect()
}

/// The blocks of a page: their word and their text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(word)) => open = Some((word.to_owned(), String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, text)), _) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for page in pages() {
        let first = steps.len();
        for (word, text) in blocks(&guide(&page)) {
            let mut step = |tool| steps.push(Step { page: page.clone(), tool, command: text.clone(), prints: None });
            match word.as_str() {
                "sh" => step(None),
                "sh terraform" => step(Some(Tool::Terraform)),
                "sh go" => step(Some(Tool::Go)),
                "go" => {}
                "text" => {
                    let last = steps[first..].last_mut().unwrap_or_else(|| panic!("{page}: a text before a command"));
                    // Two commands may follow each other; what the first prints must stand somewhere.
                    assert!(last.prints.replace(text).is_none(), "{page}: two texts for one command");
                }
                "sh background" => assert_eq!(text, "make dev\n"),
                "sh real" => assert!(text.starts_with("ssh -i .dev/guide-key ") && text.lines().count() == 1, "{text}"),
                other => panic!("{page}: there is no block `{other}`"),
            }
        }
    }
    steps
}

/// Whether a text is as the page says, where `…` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn a_pattern_stands_for_anything_at_its_dots_and_for_itself_elsewhere() {
    for (text, pattern, like) in [
        ("a\n", "a\n", true),
        ("ab\n", "a\n", false),
        ("it runs, at 1.2.3.4\n", "it runs, at …\n", true),
        ("x\ny\nz\n", "x\n…\nz\n", true),
        ("x\nz\n", "x\n…y\nz\n", false),
        ("", "…", true),
    ] {
        assert_eq!(is_like(text, pattern), like, "{text:?} {pattern:?}");
    }
}

#[test]
fn every_page_of_the_guide_is_in_its_summary() {
    let files = fs::read_dir(root().join("docs/guide")).unwrap();
    let listed = pages();
    for file in files.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        assert!(file == "SUMMARY.md" || listed.contains(&file), "{file} is not in the summary");
    }
}

/// A `dev` in a folder, and where it listens.
async fn dev(folder: &Path) -> (Process, Value) {
    let (dir, ready) = (folder.join("dev"), folder.join("ready.json"));
    let mut command = Command::new(binary("secapi-proxy"));
    command.env_clear().arg("dev").arg("--dir").arg(&dir).arg("--ready-file").arg(&ready);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0"]);
    command.args(["--sim-speed", "0.02"]);
    let mut process = Process::start("dev", folder, &mut command);
    let ready = read_ready(&mut process, &ready).await;
    (process, ready)
}

/// Where the examples go, in an order in which each finds what it names.
const EXAMPLES: [(Kind, &str); 14] = [
    (Kind::Workspace, "workspaces/shop"),
    (Kind::Network, "workspaces/shop/networks/net"),
    (Kind::InternetGateway, "workspaces/shop/internet-gateways/out"),
    (Kind::RouteTable, "workspaces/shop/networks/net/route-tables/main"),
    (Kind::Subnet, "workspaces/shop/networks/net/subnets/front"),
    (Kind::SecurityGroupRule, "workspaces/shop/security-group-rules/web"),
    (Kind::SecurityGroup, "workspaces/shop/security-groups/web"),
    (Kind::PublicIp, "workspaces/shop/public-ips/front"),
    (Kind::Nic, "workspaces/shop/nics/front"),
    (Kind::BlockStorage, "workspaces/shop/block-storages/boot"),
    (Kind::Image, "images/golden"),
    (Kind::Instance, "workspaces/shop/instances/web"),
    (Kind::Role, "roles/looker"),
    (Kind::RoleAssignment, "role-assignments/ada"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_documents_is_accepted_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, ready) = dev(folder.path()).await;
    let token = fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap();
    for (kind, path) in EXAMPLES {
        let provider = kind.provider();
        let public = ready["public"].as_str().unwrap();
        let url = format!("{public}/providers/{}/v1/tenants/dev/{path}", provider.name());
        let body = openapi::example(kind).unwrap();
        let answer = http().put(url).bearer_auth(token.trim()).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(status, 201, "{path}: {}", answer.text().await.unwrap());
    }
    let all = Kind::ALL.into_iter().filter(|kind| openapi::example(*kind).is_some());
    assert!(all.eq(sorted(EXAMPLES.map(|(kind, _)| kind))), "each example was sent");
}

/// In the order of all kinds.
fn sorted<const N: usize>(mut kinds: [Kind; N]) -> [Kind; N] {
    kinds.sort_by_key(|kind| Kind::ALL.into_iter().position(|other| other == *kind));
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_works_in_order_and_prints_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, ready) = dev(folder.path()).await;
    let mut steps = steps();
    assert!(steps.len() > 15, "{} commands", steps.len());
    for tool in [Tool::Terraform, Tool::Go] {
        assert!(steps.iter().any(|step| step.tool == Some(tool)), "{tool:?} has a chapter");
        if !tool.is_at_hand(folder.path()) {
            steps.retain(|step| step.tool != Some(tool));
        }
    }
    // After each step its mark; whoever stands before it printed it.
    let (mark, end) = ("--- the end of a step ---", "--- the end of a step ---\n");
    let script: String = steps.iter().map(|step| format!("{}echo '{mark}'\n", step.command)).collect();
    let mut shell = Command::new("timeout");
    shell.args(["-k", "5", "480", "bash", "-u", "-c", &script]).current_dir(root());
    shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder.path());
    // Where Go and Terraform keep what they fetched.
    let kept = ["GOMODCACHE", "GOCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"];
    shell.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    for name in ["GOMODCACHE", "GOCACHE"] {
        let told = Command::new("go").args(["env", name]).output().ok().filter(|told| told.status.success());
        shell.envs(told.map(|told| (name, String::from_utf8_lossy(&told.stdout).trim().to_owned())));
    }
    shell.env("SECA_URL", ready["public"].as_str().unwrap()).env("SECA_ADMIN_URL", ready["admin"].as_str().unwrap());
    shell.env("SECA_DEV_FOLDER", folder.path().join("dev")).env("no_proxy", "127.0.0.1");
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut printed = printed.split(end);
    for Step { page, command, prints, .. } in &steps {
        let found = printed.next().unwrap_or_default();
        let want = prints.as_deref().unwrap_or_default();
        assert!(
            is_like(found, want),
            "{page}: this command\n{command}\nprints\n{found}\nand the page says\n{want}\n{errors}"
        );
    }
    assert!(output.status.success(), "{errors}");
}
