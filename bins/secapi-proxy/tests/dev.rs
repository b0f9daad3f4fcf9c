//! `secapi-proxy dev`, as a person uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{
    PATIENCE, binary, http, life,
    process::Process,
    proxy::{REGION, TENANT, read_ready},
    until,
};
use seca_client::{SecaClient, seca_api::PowerState};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// A running `dev`.
struct Dev {
    process: Process,
    ready: Value,
    folder: PathBuf,
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(binary("secapi-proxy"));
    command.env_clear().arg("dev").arg("--dir").arg(folder).args(["--admin-listen", "127.0.0.1:0"]);
    command.args(["--sim-listen", "127.0.0.1:0"]).args(more);
    // What a shell may hold that is set up for the real cloud.
    command.envs([
        ("HCLOUD_TOKEN", "a-token-of-the-real-cloud"),
        ("HCLOUD_ENDPOINT", "http://127.0.0.1:9/v1"),
        ("HETZNER_CLOUD_API_URL", "https://nowhere.invalid/v1"),
        ("SECA_DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing"),
        ("SECA_ADMIN_TOKEN", "not this one"),
        ("SECA_AUTH_MODE", "nonsense"),
        ("SECA_LISTEN_ADDR", "nonsense"),
        ("SECA_CONFIG", "/nowhere/secapi-proxy.toml"),
    ]);
    command
}

impl Dev {
    async fn start(home: &TempDir, more: &[&str]) -> Self {
        let folder = home.path().join("dev");
        let file = home.path().join("ready.json");
        drop(fs::remove_file(&file));
        drop(fs::remove_file(home.path().join("dev.stdout")));
        let mut command = command(&folder, &[&["--listen", "127.0.0.1:0"], more].concat());
        let mut process = Process::start("dev", home.path(), command.arg("--ready-file").arg(&file));
        let ready = read_ready(&mut process, &file).await;
        Self { process, ready, folder }
    }

    fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    async fn client(&self) -> SecaClient {
        let token = fs::read_to_string(self.text("token_file")).unwrap().trim().to_owned();
        SecaClient::connect(self.text("public"), TENANT, REGION, Some(token.into())).await.unwrap()
    }

    /// What it said once it was ready: it is all there when the last line is.
    async fn guide(&self) -> String {
        until("the guide", PATIENCE, async || Some(self.process.stdout()).filter(|text| text.contains("Ctrl-C"))).await
    }

    async fn inventory(&self) -> Value {
        let answer = http().get(format!("{}/_sim/inventory", self.text("sim"))).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn interrupt(mut self) {
        self.process.signal("INT");
        assert_eq!(self.process.wait(PATIENCE).await, Some(0), "{}", self.process.output());
    }
}

/// Runs a line of a shell with a `.curlrc` that makes curl tell the status; the status and the body.
fn paste(line: &str, home: &Path) -> (u16, String) {
    fs::write(home.join(".curlrc"), "write-out = \"\\n%{http_code}\"\nnoproxy = \"*\"\n").unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let output =
        Command::new("bash").args(["-c", line]).env_clear().env("PATH", path).env("CURL_HOME", home).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_at_once_and_the_printed_commands_work_in_order_and_with_the_bearer_only() {
    let home = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let dev = Dev::start(&home, &["--sim-speed", "0.01"]).await;
    let took = started.elapsed();
    println!("ready after {:.2} s", took.as_secs_f32());
    assert!(took < Duration::from_secs(10), "ready within seconds, not after {took:?}");

    let guide = dev.guide().await;
    for shown in [dev.text("public"), dev.text("admin"), dev.text("sim")] {
        assert!(shown.starts_with("http://127.0.0.1:") && guide.contains(shown), "{shown} is not in\n{guide}");
    }
    let file = fs::canonicalize(dev.text("token_file")).unwrap();
    assert!(guide.contains(&dev.folder.join("token").display().to_string()), "{guide}");
    assert_eq!(file, fs::canonicalize(dev.folder.join("token")).unwrap());

    let commands: Vec<_> = guide.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 6, "{guide}");
    for line in &commands {
        let header = &line[line.find("-H \"Auth").unwrap()..line.find(")\"").unwrap() + 2];
        let anonymous = line.replacen(header, "", 1);
        assert!(!anonymous.contains("Authorization"), "{anonymous}");
        assert_eq!(paste(&anonymous, home.path()).0, 401, "{anonymous}");
    }
    for line in &commands {
        let (status, body) = paste(line, home.path());
        println!("{status} {line}");
        assert!([200, 201].contains(&status), "{status} {line}\n{body}");
        assert!(serde_json::from_str::<Value>(&body).is_ok(), "{line}\n{body}");
    }
    // The last one, once more, until the instance runs: it is started when it is made.
    until("the instance runs", life::STEP, async || {
        let body: Value = serde_json::from_str(&paste(commands[5], home.path()).1).unwrap();
        (body["status"]["state"] == "active" && body["status"]["powerState"] == "on").then_some(())
    })
    .await;
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_relative_folder_and_other_tenants_the_printed_commands_work_from_anywhere() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(Path::new("it"), &["--listen", "127.0.0.1:0", "--tenants", "acme:late,other"]);
    let mut process = Process::start("dev", home.path(), command.current_dir(home.path()));
    read_ready(&mut process, &home.path().join("it/ready.json")).await;
    let guide = until("the guide", PATIENCE, async || Some(process.stdout()).filter(|t| t.contains("Ctrl-C"))).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let commands: Vec<_> = guide.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 6, "{guide}");
    for line in commands {
        let (status, body) = paste(&format!("cd {} && {line}", elsewhere.path().display()), home.path());
        assert!([200, 201].contains(&status), "{status} {line}\n{body}");
    }
    process.signal("INT");
    assert_eq!(process.wait(PATIENCE).await, Some(0), "{}", process.output());
}

/// Whoever pastes the block of "Starting an instance" as a whole has a running server at its end.
#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_instance_block_pasted_whole_ends_with_a_running_server() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let section = readme.split_once("## Starting an instance").unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let home = tempfile::tempdir().unwrap();
    let dev = Dev::start(&home, &["--sim-speed", "0.01"]).await;
    assert!(block.contains("http://127.0.0.1:8080") && block.contains(".dev/token"), "{block}");
    let block =
        block.replace("http://127.0.0.1:8080", dev.text("public")).replace(".dev/token", dev.text("token_file"));
    fs::write(home.path().join(".curlrc"), "noproxy = \"*\"\n").unwrap();
    let mut pasted = Command::new("bash");
    pasted.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("CURL_HOME", home.path());
    let mut pasted = Process::start("pasted", home.path(), pasted.args(["-c", &block]));
    assert_eq!(pasted.wait(life::STEP).await, Some(0), "{}", pasted.output());
    let last = pasted.stdout();
    assert!(last.trim_end().ends_with('}') && last.contains(r#""powerState":"on""#), "{last}");
    let client = dev.client().await;
    let instance = client.instances("demo").get("web-1").await.unwrap();
    assert_eq!(life::power_of(&instance), PowerState::On);
    let servers = &dev.inventory().await["objects"]["servers"];
    assert_eq!(servers[0]["status"], "running", "{servers}");
    dev.interrupt().await;
}

/// A first build takes minutes, in which a newcomer sees nothing if cargo is told to be quiet.
#[test]
fn what_a_newcomer_makes_first_shows_the_progress_of_cargo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for target in ["dev", "demo", "run"] {
        let output = Command::new("make").arg("-n").arg(target).current_dir(&root).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let quiet = said.split_whitespace().any(|word| matches!(word, "-q" | "--quiet"));
        assert!(output.status.success() && said.contains("run -p secapi-proxy") && !quiet, "{target}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_secrets_are_made_once_and_belong_to_their_owner() {
    let home = tempfile::tempdir().unwrap();
    let secrets = |folder: &Path| {
        ["credentials.key", "admin.token", "sim.token", "token"].map(|name| {
            let path = folder.join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            fs::read_to_string(path).unwrap()
        })
    };
    let dev = Dev::start(&home, &["--sim-speed", "0"]).await;
    let folder = dev.folder.clone();
    let first = secrets(&folder);
    assert_eq!(fs::metadata(folder.join("tokens.json")).unwrap().permissions().mode() & 0o777, 0o600);
    for secret in &first {
        assert!(secret.trim().len() >= 32 && !dev.process.output().contains(secret.trim()), "secrets are not printed");
    }
    dev.interrupt().await;
    let dev = Dev::start(&home, &["--sim-speed", "0"]).await;
    assert_eq!(secrets(&folder), first, "a restart makes no new ones");
    dev.interrupt().await;
}

/// All objects. The marker's epoch rises with every start.
fn objects_but_for_the_epoch(inventory: &Value) -> Value {
    let mut objects = inventory["objects"].clone();
    for marker in objects["placement_groups"].as_array_mut().unwrap() {
        let labels = marker["labels"].as_object_mut().unwrap();
        labels.retain(|name, _| !name.starts_with("seca.epoch"));
    }
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn its_state_survives_a_restart_and_a_kill_the_simulators_too() {
    let home = tempfile::tempdir().unwrap();
    let speed = ["--sim-speed", "0.005"];
    let dev = Dev::start(&home, &speed).await;
    let seca = dev.client().await;
    seca.workspaces().put(life::WORKSPACE, seca_client::seca_api::WorkspaceSpec::default()).await.unwrap();
    seca.workspaces().wait_active(life::WORKSPACE, life::wait()).await.unwrap();
    life::create(&seca).await.unwrap();
    life::power(&seca, PowerState::On).await.unwrap();
    let (before, objects) = (seca.instances(life::WORKSPACE).get(life::INSTANCE).await.unwrap(), dev.inventory().await);
    assert_eq!(objects["counts"]["servers"].as_u64(), Some(1), "{objects}");
    dev.interrupt().await;

    let mut dev = Dev::start(&home, &speed).await;
    let seca = dev.client().await;
    let after = seca.instances(life::WORKSPACE).get(life::INSTANCE).await.unwrap();
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    assert_eq!(life::power_of(&after), PowerState::On);
    assert_eq!(objects_but_for_the_epoch(&dev.inventory().await), objects_but_for_the_epoch(&objects));
    dev.process.kill();

    let dev = Dev::start(&home, &speed).await;
    assert_eq!(objects_but_for_the_epoch(&dev.inventory().await), objects_but_for_the_epoch(&objects));
    life::delete(&dev.client().await).await.unwrap();
    assert_eq!(dev.inventory().await["counts"]["servers"].as_u64(), Some(0));
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_drains_a_request_under_way_and_ends_it_with_0() {
    let home = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&home, &["--sim-speed", "0"]).await;
    let token = fs::read_to_string(dev.text("token_file")).unwrap();
    let address = dev.text("public").strip_prefix("http://").unwrap().to_owned();
    let body = r#"{"spec": {}}"#;
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "PUT /providers/seca.workspace/v1/tenants/dev/workspaces/late HTTP/1.1\r\nhost: {address}\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        token.trim(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It waits for the body: the request is under way.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    dev.process.signal("INT");
    until("it stops", PATIENCE, async || dev.process.stdout().contains("stopping").then_some(())).await;
    until("nobody is let in any more", PATIENCE, async || TcpStream::connect(&address).is_err().then_some(())).await;
    assert!(dev.process.ended().is_none(), "it waits for what is under way");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(dev.process.wait(PATIENCE).await, Some(0), "{}", dev.process.output());

    let dev = Dev::start(&home, &["--sim-speed", "0"]).await;
    dev.client().await.workspaces().get("late").await.unwrap();
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_taken_folder_are_named_in_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen", "--sim-listen"] {
        let folder = home.path().join(flag);
        let mut command = Command::new(binary("secapi-proxy"));
        command.env_clear().arg("dev").arg("--dir").arg(folder);
        for other in ["--listen", "--admin-listen", "--sim-listen"] {
            command.args([other, if other == flag { &address } else { "127.0.0.1:0" }]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let said = text.lines().filter(|line| line.contains(&address) && line.contains(flag)).count();
        assert_eq!(said, 1, "a sentence that names {address} and {flag}: {text}");
    }

    let dev = Dev::start(&home, &["--sim-speed", "0"]).await;
    let output = command(&dev.folder, &["--listen", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&dev.folder.display().to_string()) && text.contains("--dir"), "{text}");
    dev.interrupt().await;
}
