//! The journal: every request to `/v1`, in order. It is the call-budget meter and the script of crash tests.

use super::clock::Time;
use super::faults::glob;
use super::http::{SimRequest, SimResponse};
use super::query::Query;
use super::state::Grant;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Entries kept; older ones are dropped.
const KEPT: usize = 100_000;

struct Entry {
    seq: u64,
    time: Time,
    project: Option<String>,
    client: Option<String>,
    method: String,
    path: String,
    query: String,
    body: Value,
    status: Option<u16>,
    error_code: Option<String>,
    committed: bool,
    reply: &'static str,
    fault: Option<u64>,
    /// The id of the object that a request made, and those of the actions that the answer names.
    made: Option<i64>,
    actions: Vec<i64>,
}

impl Entry {
    fn json(&self) -> Value {
        json!({
            "seq": self.seq, "time": self.time.rfc3339(), "time_ms": self.time.0, "project": self.project,
            "client": self.client, "method": self.method, "path": self.path, "query": self.query, "body": self.body,
            "status": self.status, "error_code": self.error_code, "committed": self.committed,
            "reply": self.reply, "fault": self.fault, "made": self.made, "actions": self.actions,
        })
    }
}

impl Entry {
    /// Notes what the answer to a change names: the object that was made, and the actions.
    fn names(&mut self, answer: &Value) {
        let Some(answer) = answer.as_object() else { return };
        let is_action = |key: &str| matches!(key, "action" | "actions" | "next_actions");
        let id = |value: &Value| value["id"].as_i64();
        self.made = answer.iter().filter(|(key, _)| !is_action(key)).find_map(|(_, value)| id(value));
        let actions = answer.iter().filter(|(key, _)| is_action(key)).map(|(_, value)| value);
        self.actions = actions
            .flat_map(|value| value.as_array().map_or_else(|| vec![value], |list| list.iter().collect()))
            .filter_map(id)
            .collect();
    }
}

/// What became of a reply.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Sent,
    Held,
    Lost,
    /// Answered with a timeout; the request commits later.
    Late,
}

#[derive(Default)]
pub(crate) struct Journal(VecDeque<Entry>);

impl Journal {
    /// Notes a request. The authorization header never gets here, and no response body is kept.
    pub(crate) fn open(&mut self, seq: u64, now: Time, grant: Option<&Grant>, request: &SimRequest) {
        let body = if request.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&request.body)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body).into_owned()))
        };
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Entry {
            seq,
            time: now,
            project: grant.map(|grant| grant.project.clone()),
            client: grant.and_then(|grant| grant.client.clone()),
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone(),
            body,
            status: None,
            error_code: None,
            committed: false,
            reply: "sent",
            fault: None,
            made: None,
            actions: Vec::new(),
        });
    }

    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        self.0.iter_mut().rev().find(|entry| entry.seq == seq)
    }

    /// Notes the answer and, for one that the state machine gave, whether it changed something.
    pub(crate) fn answered(&mut self, seq: u64, response: &SimResponse, executed: bool) {
        let Some(entry) = self.entry(seq) else { return };
        entry.status = Some(response.status.as_u16());
        entry.committed = executed && entry.method != "GET" && response.status.is_success();
        if !response.status.is_success() {
            entry.error_code = response.json()["error"]["code"].as_str().map(str::to_owned);
        } else if entry.method != "GET" {
            entry.names(&response.json());
        }
    }

    pub(crate) fn fate(&mut self, seq: u64, fate: Fate, fault: Option<u64>) {
        let Some(entry) = self.entry(seq) else { return };
        entry.reply = match fate {
            Fate::Sent => "sent",
            Fate::Held => "held",
            Fate::Lost => "lost",
            Fate::Late => "late",
        };
        entry.fault = fault.or(entry.fault);
    }

    pub(crate) fn committed_late(&mut self, seq: u64, response: &SimResponse) {
        if let Some(entry) = self.entry(seq) {
            entry.committed = response.status.is_success();
            if entry.committed {
                entry.names(&response.json());
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// `GET /_sim/journal`, with `project`, `client`, `after`, `method`, `path` and `mutating` as filters.
    pub(crate) fn json(&self, query: &Query) -> Value {
        let after: u64 = query.first("after").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mutating = query.first("mutating") == Some("true");
        let entries: Vec<Value> = self
            .0
            .iter()
            .filter(|entry| entry.seq > after && (!mutating || entry.method != "GET"))
            .filter(|entry| query.first("project").is_none_or(|name| entry.project.as_deref() == Some(name)))
            .filter(|entry| query.first("client").is_none_or(|name| entry.client.as_deref() == Some(name)))
            .filter(|entry| query.first("method").is_none_or(|method| entry.method == method))
            .filter(|entry| query.first("path").is_none_or(|pattern| glob(pattern, below_v1(&entry.path))))
            .map(Entry::json)
            .collect();
        json!({"count": entries.len(), "entries": entries})
    }
}

pub(crate) fn below_v1(path: &str) -> &str {
    path.strip_prefix("/v1").unwrap_or(path)
}
