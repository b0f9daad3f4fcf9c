//! The simulator as a process, and its `/_sim`.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{PATIENCE, binary, http, process::Process, until};

pub struct Sim {
    pub process: Process,
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    /// The token of its first project.
    pub token: String,
    http: reqwest::Client,
}

/// A request in the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: u64,
    pub method: String,
    /// With ids replaced by `*`, below `/v1`.
    pub shape: String,
    pub path: String,
    pub status: u64,
    pub committed: bool,
}

impl Entry {
    fn of(entry: &Value) -> Self {
        let path = entry["path"].as_str().unwrap().to_owned();
        let below = path.strip_prefix("/v1").unwrap_or(&path);
        let segment = |s: &str| {
            if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { s.to_owned() }
        };
        Self {
            seq: entry["seq"].as_u64().unwrap(),
            method: entry["method"].as_str().unwrap().to_owned(),
            shape: below.split('/').map(segment).collect::<Vec<_>>().join("/"),
            status: entry["status"].as_u64().unwrap_or_default(),
            committed: entry["committed"].as_bool().unwrap_or_default(),
            path,
        }
    }

    pub fn is_get(&self) -> bool {
        self.method == "GET"
    }
}

impl Sim {
    /// Starts one; its files are in `folder`.
    pub async fn start(folder: &Path, speed: f64) -> Self {
        Self::start_from(folder, speed, None).await
    }

    /// The same, which begins with what a file holds, and writes to it when it ends.
    pub async fn start_from(folder: &Path, speed: f64, state: Option<&Path>) -> Self {
        let token_file = folder.join("sim.token");
        let mut command = Command::new(binary("hcloud-sim"));
        command.env_clear().args(["--listen", "127.0.0.1:0", "--speed", &speed.to_string(), "--seed", "7"]);
        if let Some(state) = state {
            command.arg("--state").arg(state);
        }
        command.arg("--token-file").arg(&token_file);
        let process = Process::start("hcloud-sim", folder, &mut command);
        let base = until("the address of the simulator", PATIENCE, async || {
            let text = process.stdout();
            let line = text.lines().find_map(|line| line.strip_prefix("hcloud-sim listens on "))?.to_owned();
            Some(line.trim_end_matches("/v1").to_owned())
        })
        .await;
        let token = fs::read_to_string(token_file).unwrap().trim().to_owned();
        Self { process, base, token, http: http() }
    }

    /// The provider's endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}/v1", self.base)
    }

    pub async fn control(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method.clone(), format!("{}/_sim{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} /_sim{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.control("GET", path, None).await
    }

    /// Every request so far, or since the journal was emptied.
    pub async fn journal(&self) -> Vec<Entry> {
        self.get("/journal").await["entries"].as_array().unwrap().iter().map(Entry::of).collect()
    }

    /// Empties everything: projects, journal, faults. Tokens stay.
    pub async fn reset(&self) {
        self.control("POST", "/reset", Some(json!({}))).await;
    }

    /// Adds a fault for one request; its id.
    pub async fn spoil(&self, method: &str, shape: &str, nth: u64, effect: &str) -> u64 {
        let mut rule = json!({"match": {"method": method, "path": shape, "nth": nth}, "effect": {"type": effect}});
        if effect == "late_commit" {
            rule["effect"]["delay_ms"] = json!(1_500);
        }
        self.control("POST", "/faults", Some(rule)).await["fault"]["id"].as_u64().unwrap()
    }

    /// How often a fault took effect, and whether it holds a request now.
    pub async fn fault(&self, id: u64) -> (u64, bool) {
        let faults = self.get("/faults").await;
        let fault = faults["faults"].as_array().unwrap().iter().find(|f| f["id"].as_u64() == Some(id)).unwrap();
        (fault["fired"].as_u64().unwrap(), !fault["held"].as_array().unwrap().is_empty())
    }

    pub async fn remove_fault(&self, id: u64) {
        self.control("DELETE", &format!("/faults/{id}"), None).await;
    }

    /// The number of objects per type, those of which there are none left out: `{"placement_groups": 1}`.
    pub async fn inventory(&self) -> Value {
        let counts = self.get("/inventory").await["counts"].clone();
        let some = counts.as_object().unwrap().iter().filter(|(_, n)| n.as_u64() != Some(0));
        Value::Object(some.map(|(name, n)| (name.clone(), n.clone())).collect())
    }

    /// Asserts that of all objects only the marker is left.
    pub async fn assert_only_the_marker(&self) {
        assert_eq!(self.inventory().await, json!({"placement_groups": 1}), "only the marker is left");
        let objects = self.get("/inventory").await;
        let labels = objects["objects"]["placement_groups"][0]["labels"].to_string();
        assert!(labels.contains("marker"), "{labels}");
    }
}
