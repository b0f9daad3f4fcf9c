//! Every fault over a real socket, the state file, and the server's way to stop.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use hcloud_sim::{CoreConfig, SeedProject, Sim, SimClock, SimConfig, SimRequest, Simulator, Time, serve};
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn config(state_file: Option<PathBuf>) -> SimConfig {
    let project = SeedProject { name: "p".to_owned(), token: "token".to_owned(), read_only_token: None };
    SimConfig { state_file, projects: vec![project], ..SimConfig::instant("p", "token") }
}

async fn start(config: SimConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let sim = Sim::new(config).unwrap();
    let task = tokio::spawn({
        let stop = stop.clone();
        async move { serve(listener, sim, stop).await.unwrap() }
    });
    Server { address, stop, task }
}

impl Server {
    async fn open(&self, method: &str, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer token\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Status, headers and body; `None` when the connection was closed without a byte.
    async fn raw(&self, method: &str, path: &str, body: &Value) -> Option<(u16, String, String)> {
        read(self.open(method, path, body).await).await
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.raw(method, path, body).await.expect("a reply");
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    async fn fault(&self, rule: &Value, effect: &Value) -> i64 {
        let (status, body) = self.send("POST", "/_sim/faults", &json!({"match": rule, "effect": effect})).await;
        assert_eq!(status, 201, "{body}");
        body["fault"]["id"].as_i64().unwrap()
    }

    async fn groups(&self) -> usize {
        let (_, body) = self.send("GET", "/_sim/inventory?project=p", &Value::Null).await;
        usize::try_from(body["counts"]["placement_groups"].as_i64().unwrap()).unwrap()
    }

    /// Waits until something is held.
    async fn held(&self) {
        loop {
            let (_, body) = self.send("GET", "/_sim/faults", &Value::Null).await;
            if body["held"].as_array().is_some_and(|held| !held.is_empty()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn last_entry(&self) -> Value {
        let (_, body) = self.send("GET", "/_sim/journal?mutating=true", &Value::Null).await;
        body["entries"].as_array().unwrap().last().unwrap().clone()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn read(mut stream: TcpStream) -> Option<(u16, String, String)> {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned()))
}

const PATH: &str = "/v1/placement_groups";

fn group(name: &str) -> Value {
    json!({"name": name, "type": "spread"})
}

fn on_create() -> Value {
    json!({"method": "POST", "path": "/placement_groups"})
}

#[tokio::test]
async fn an_injected_error_commits_nothing_and_comes_in_every_body_form() {
    let server = start(config(None)).await;
    for (form, kind, parses) in [
        ("json", "application/json", true),
        ("html", "text/html", false),
        ("truncated", "application/json", false),
        ("empty", "", false),
    ] {
        let effect = json!({"type": "error", "status": 503, "code": "unavailable", "message": "m", "body_form": form});
        server.fault(&on_create(), &effect).await;
        let (status, head, body) = server.raw("POST", PATH, &group("g")).await.unwrap();
        assert_eq!(status, 503, "{form}");
        assert!(kind.is_empty() || head.contains(kind), "{form}: {head}");
        assert!(head.contains("ratelimit-remaining"), "{form}");
        assert_eq!(serde_json::from_str::<Value>(&body).is_ok(), parses, "{form}: {body}");
        assert_eq!(body.is_empty(), form == "empty");
    }
    assert_eq!(server.groups().await, 0);
    assert_eq!(server.send("POST", PATH, &group("g")).await.0, 201, "each rule was for one request");
    server.stop().await;
}

#[tokio::test]
async fn a_rule_is_for_the_nth_match_and_for_a_number_of_them() {
    let server = start(config(None)).await;
    let rule = json!({"mutating": true, "path": "/placement_groups", "nth": 2, "count": 2});
    let fault = server.fault(&rule, &json!({"type": "error", "status": 409, "code": "conflict"})).await;
    for (number, expected) in [201, 409, 409, 201].into_iter().enumerate() {
        assert_eq!(server.send("GET", PATH, &Value::Null).await.0, 200);
        assert_eq!(server.send("POST", PATH, &group(&format!("g{number}"))).await.0, expected, "{number}");
    }
    let (_, body) = server.send("GET", "/_sim/faults", &Value::Null).await;
    assert_eq!((&body["faults"][0]["hits"], &body["faults"][0]["fired"]), (&json!(4), &json!(2)));
    assert_eq!(server.send("DELETE", &format!("/_sim/faults/{fault}"), &Value::Null).await.0, 204);
    server.stop().await;
}

#[tokio::test]
async fn a_lost_reply_closes_the_connection_before_or_after_the_commit() {
    let server = start(config(None)).await;
    for (effect, committed) in [("lose_reply_before_commit", false), ("lose_reply_after_commit", true)] {
        server.fault(&on_create(), &json!({"type": effect})).await;
        assert_eq!(server.raw("POST", PATH, &group("g")).await, None, "{effect}");
        assert_eq!(server.groups().await, usize::from(committed), "{effect}");
        let entry = server.last_entry().await;
        assert_eq!((&entry["reply"], &entry["committed"]), (&json!("lost"), &json!(committed)), "{effect}");
    }
    server.stop().await;
}

/// The numbers of the requests of two hundred that a rule with this seed spoils.
fn spoiled(seed: u64) -> Vec<usize> {
    let mut cloud = Simulator::new(CoreConfig::default());
    cloud.add_project("p", "token", None, Time(0));
    let rule = json!({"match": {"share": 0.2, "count": 0}, "effect": {"type": "error", "status": 503}, "seed": seed});
    assert_eq!(cloud.handle(&SimRequest::new(Method::POST, "/_sim/faults").with_json(&rule), Time(0)).status, 201);
    let list = SimRequest::new(Method::GET, PATH).with_token("token");
    (0..200).filter(|_| cloud.handle(&list, Time(0)).status == 503).collect()
}

#[test]
fn a_share_of_the_matches_is_spoiled_and_a_seed_repeats_which() {
    let first = spoiled(7);
    assert!((20..60).contains(&first.len()), "about a fifth of 200: {}", first.len());
    assert_eq!(first, spoiled(7));
    assert_ne!(first, spoiled(8));
    let mut cloud = Simulator::new(CoreConfig::default());
    let rule = json!({"match": {"share": 1.5}, "effect": {"type": "error"}});
    assert_eq!(cloud.handle(&SimRequest::new(Method::POST, "/_sim/faults").with_json(&rule), Time(0)).status, 422);
}

#[test]
fn a_fault_can_be_for_one_client_and_the_journal_says_who_called() {
    let mut cloud = Simulator::new(CoreConfig::default());
    let control = |method, path: &str, body: &Value| SimRequest::new(method, path).with_json(body);
    for client in ["ours", "theirs"] {
        let project = json!({"name": "p", "token": client, "client": client});
        assert_eq!(cloud.handle(&control(Method::POST, "/_sim/projects", &project), Time(0)).status, 201);
    }
    let rule = json!({"match": {"client": "ours", "count": 0}, "effect": {"type": "error", "status": 503}});
    cloud.handle(&control(Method::POST, "/_sim/faults", &rule), Time(0));
    for (client, expected) in [("ours", 503), ("theirs", 200)] {
        let list = SimRequest::new(Method::GET, PATH).with_token(client);
        assert_eq!(cloud.handle(&list, Time(0)).status, expected, "{client}");
    }
    let journal = cloud.handle(&SimRequest::new(Method::GET, "/_sim/journal?client=theirs"), Time(0)).json();
    assert_eq!((&journal["count"], &journal["entries"][0]["client"]), (&json!(1), &json!("theirs")));
}

#[test]
fn a_spoiled_reply_commits_and_cannot_be_read() {
    for form in ["truncated", "html", "empty"] {
        let mut cloud = Simulator::new(CoreConfig::default());
        cloud.add_project("p", "token", None, Time(0));
        let rule = json!({"match": on_create(), "effect": {"type": "spoil_reply", "body_form": form}});
        cloud.handle(&SimRequest::new(Method::POST, "/_sim/faults").with_json(&rule), Time(0));
        let create = SimRequest::new(Method::POST, PATH).with_token("token").with_json(&group("g"));
        let reply = cloud.handle(&create, Time(0));
        assert_eq!(reply.status, 201, "{form}");
        assert!(serde_json::from_slice::<Value>(&reply.body).is_err(), "{form}");
        let list = cloud.handle(&SimRequest::new(Method::GET, PATH).with_token("token"), Time(0)).json();
        assert_eq!(list["placement_groups"].as_array().unwrap().len(), 1, "{form}");
        let journal = cloud.handle(&SimRequest::new(Method::GET, "/_sim/journal?method=POST"), Time(0)).json();
        let entry = &journal["entries"][0];
        assert_eq!(entry["committed"], json!(true), "{form}");
        assert_eq!(entry["made"], list["placement_groups"][0]["id"], "{form}: the journal names what was made");
    }
}

#[tokio::test]
async fn a_held_request_commits_before_or_at_its_release() {
    let server = start(config(None)).await;
    for (effect, before, name) in [("hold_before_commit", 0, "a"), ("hold_after_commit", 3, "b")] {
        let fault = server.fault(&on_create(), &json!({"type": effect})).await;
        let waiting = server.open("POST", PATH, &group(name)).await;
        server.held().await;
        assert_eq!(server.groups().await, before, "{effect}");
        let (status, body) = server.send("POST", &format!("/_sim/faults/{fault}/release"), &Value::Null).await;
        assert_eq!((status, &body["released"]), (200, &json!(1)), "{effect}");
        assert_eq!(read(waiting).await.unwrap().0, 201, "{effect}");
        server.send("POST", PATH, &group(&format!("{name}2"))).await;
    }
    assert_eq!(server.groups().await, 4);
    server.stop().await;
}

#[tokio::test]
async fn a_held_request_whose_sender_is_gone_commits_all_the_same() {
    let server = start(config(None)).await;
    let fault = server.fault(&on_create(), &json!({"type": "hold_before_commit"})).await;
    let waiting = server.open("POST", PATH, &group("g")).await;
    server.held().await;
    drop(waiting);
    assert_eq!(server.groups().await, 0);
    assert_eq!(server.last_entry().await["reply"], "held");
    assert_eq!(server.send("DELETE", &format!("/_sim/faults/{fault}"), &Value::Null).await.0, 204);
    assert_eq!(server.groups().await, 1);
    assert_eq!(server.last_entry().await["committed"], json!(true));
    let (_, body) = server.send("GET", "/_sim/faults", &Value::Null).await;
    assert_eq!(body["held"], json!([]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_answers_a_timeout_and_takes_effect_by_itself() {
    let mut config = config(None);
    config.clock = SimClock::starting_at(Time(0));
    let sim = Sim::new(config).unwrap();
    let call =
        |method, path: &str, body: Value| sim.call(SimRequest::new(method, path).with_token("token").with_json(&body));
    let rule = json!({"match": on_create(), "effect": {"type": "late_commit", "delay_ms": 5000}});
    call(Method::POST, "/_sim/faults", rule).await.unwrap();
    let reply = call(Method::POST, PATH, group("g")).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (504, &json!("timeout")));
    tokio::time::advance(std::time::Duration::from_millis(4900)).await;
    let list = || async { call(Method::GET, PATH, json!({})).await.unwrap().json()["placement_groups"].clone() };
    assert_eq!(list().await, json!([]));
    tokio::time::advance(std::time::Duration::from_millis(200)).await;
    assert_eq!(list().await[0]["name"], "g");
    let journal = call(Method::GET, "/_sim/journal?method=POST", json!({})).await.unwrap().json();
    assert_eq!((&journal["entries"][0]["reply"], &journal["entries"][0]["committed"]), (&json!("late"), &json!(true)));
}

#[tokio::test]
async fn an_action_is_stuck_for_ever_or_ends_in_error_and_changes_nothing() {
    let server = start(config(None)).await;
    let create = json!({"name": "v", "size": 10, "location": "fsn1"});
    let (_, body) = server.send("POST", "/v1/volumes", &create).await;
    let volume = body["volume"]["id"].as_i64().unwrap();
    let path = format!("/v1/volumes/{volume}/actions/resize");
    let rule = json!({"path": "/volumes/*/actions/*"});
    server.fault(&rule, &json!({"type": "action_error", "code": "action_failed", "message": "no luck"})).await;
    let (status, body) = server.send("POST", &path, &json!({"size": 20})).await;
    assert_eq!(status, 201);
    let (_, body) = server.send("GET", &format!("/v1/actions/{}", body["action"]["id"]), &Value::Null).await;
    assert_eq!(body["action"]["status"], "error");
    assert_eq!(body["action"]["error"], json!({"code": "action_failed", "message": "no luck"}));
    server.fault(&rule, &json!({"type": "stuck_action"})).await;
    let (_, body) = server.send("POST", &path, &json!({"size": 20})).await;
    let (_, body) = server.send("GET", &format!("/v1/actions?id={}", body["action"]["id"]), &Value::Null).await;
    assert_eq!(body["actions"][0]["status"], "running");
    assert_eq!(server.send("POST", &path, &json!({"size": 30})).await.0, 423, "locked by the stuck action");
    let (_, body) = server.send("GET", &format!("/v1/volumes/{volume}"), &Value::Null).await;
    assert_eq!(body["volume"]["size"], json!(10));
    server.stop().await;
}

#[tokio::test]
async fn the_journal_has_every_call_and_no_secret() {
    let server = start(config(None)).await;
    let create =
        json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "user_data": "I2Nsb3VkLWNvbmZpZw=="});
    let (_, body) = server.send("POST", "/v1/servers?x=1", &create).await;
    let (password, id) = (body["root_password"].as_str().unwrap().to_owned(), body["server"]["id"].clone());
    server.send("GET", "/v1/servers/1", &Value::Null).await;
    let (_, _, text) = server.raw("GET", "/_sim/journal", &Value::Null).await.unwrap();
    assert!(!text.contains(&password) && !text.to_lowercase().contains("bearer"), "{text}");
    let journal: Value = serde_json::from_str(&text).unwrap();
    let (first, second) = (&journal["entries"][0], &journal["entries"][1]);
    assert_eq!(
        (&first["method"], &first["path"], &first["query"]),
        (&json!("POST"), &json!("/v1/servers"), &json!("x=1"))
    );
    assert_eq!((&first["status"], &first["committed"], &first["project"]), (&json!(201), &json!(true), &json!("p")));
    assert_eq!((&second["status"], &second["error_code"]), (&json!(404), &json!("not_found")));
    let (_, body) = server.send("GET", &format!("/_sim/servers/{id}/user_data"), &Value::Null).await;
    assert_eq!(body["decoded"], "#cloud-config");
    server.stop().await;
}

#[tokio::test]
async fn the_state_file_is_there_before_the_reply_and_carries_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sub/state.json");
    let server = start(config(Some(file.clone()))).await;
    let rule = json!({"match": on_create(), "effect": {"type": "lose_reply_after_commit"}});
    server.send("POST", "/_sim/faults", &rule).await;
    assert_eq!(server.raw("POST", PATH, &group("lost")).await, None);
    let (_, made) = server.send("POST", "/_sim/projects", &json!({"name": "extra"})).await;
    assert_eq!(made["project"]["token"].as_str().unwrap().len(), 64);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("\"lost\""), "written though its reply was lost");
    server.stop().await;

    let server = start(config(Some(file.clone()))).await;
    let (_, body) = server.send("GET", PATH, &Value::Null).await;
    assert_eq!(body["placement_groups"][0]["name"], "lost");
    let (_, body) = server.send("GET", "/_sim/projects", &Value::Null).await;
    assert_eq!(body["projects"].as_array().unwrap().len(), 2);
    server.stop().await;

    std::fs::write(&file, "{").unwrap();
    let error = Sim::new(config(Some(file))).err().unwrap().to_string();
    assert!(error.contains("state.json: not a state of this version"), "{error}");
}

#[tokio::test]
async fn a_stopped_server_drops_what_it_holds_and_ends() {
    let server = start(config(None)).await;
    server.fault(&on_create(), &json!({"type": "hold_before_commit"})).await;
    let waiting = server.open("POST", PATH, &group("g")).await;
    server.held().await;
    server.stop().await;
    assert_eq!(read(waiting).await, None);
}

#[tokio::test]
async fn the_core_in_process_needs_no_socket() {
    let sim = Sim::new(SimConfig { core: CoreConfig { speed: 1.0, ..CoreConfig::default() }, ..config(None) }).unwrap();
    let request = SimRequest::new(Method::GET, "/v1/locations").with_token("token");
    assert_eq!(sim.call(request).await.unwrap().status, 200);
    assert_eq!(sim.core().snapshot().unwrap()[0], b'{');
}
