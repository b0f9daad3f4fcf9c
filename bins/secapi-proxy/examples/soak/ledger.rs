//! What was seen while it happened: how every row went from state to state, and every request of the provider's journal.
//! A violation names both. A reader who was not there can follow it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{common::sim::Sim, judge::names_in, rows::Database};

/// How often the database is looked at.
const SAMPLE: Duration = Duration::from_millis(500);

/// A moment of a row's life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    /// Milliseconds of the wall clock, which the simulator's journal has too.
    pub(crate) at: i64,
    /// The state's word; `gone` when the row left.
    pub(crate) state: String,
    pub(crate) version: i64,
}

/// The life of a row.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// Kind, workspace, network and name.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) workspace: String,
    /// Every specification that was seen, as text, and every name that one of them refers to.
    pub(crate) specs: BTreeSet<String>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) moments: Vec<Moment>,
}

#[derive(Default)]
struct Inner {
    lives: BTreeMap<String, Life>,
    journal: BTreeMap<u64, Value>,
}

/// Shared by those who write and those who judge.
#[derive(Clone)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    folder: PathBuf,
}

/// Milliseconds of the wall clock.
#[allow(clippy::disallowed_methods, reason = "the edge: compared with the simulator's wall clock, in another process")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

impl Ledger {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { inner: Arc::default(), folder: folder.to_owned() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lives(&self) -> BTreeMap<String, Life> {
        self.inner().lives.clone()
    }

    pub(crate) fn journal(&self) -> Vec<Value> {
        self.inner().journal.values().cloned().collect()
    }

    /// Follows the rows until told to stop. A database that is away is asked again.
    pub(crate) async fn follow_rows(self, database: Database, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.see_rows(&database).await;
            tokio::select! {
                () = sleep(SAMPLE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn see_rows(&self, database: &Database) {
        let Ok(entries) = database.entries().await else { return };
        let at = now_ms();
        let mut inner = self.inner();
        let mut there = BTreeSet::new();
        for entry in entries {
            let life = inner.lives.entry(entry.uid.clone()).or_insert_with(|| Life {
                key: entry.key,
                name: entry.name,
                workspace: entry.workspace,
                specs: BTreeSet::new(),
                names: BTreeSet::new(),
                moments: Vec::new(),
            });
            if life.specs.insert(entry.spec.to_string()) {
                names_in(&entry.spec, &mut life.names);
            }
            let is_new =
                life.moments.last().is_none_or(|last| last.state != entry.state || last.version != entry.version);
            if is_new {
                life.moments.push(Moment { at, state: entry.state, version: entry.version });
            }
            there.insert(entry.uid);
        }
        for (uid, life) in &mut inner.lives {
            if !there.contains(uid) && life.moments.last().is_some_and(|last| last.state != "gone") {
                life.moments.push(Moment { at, state: "gone".to_owned(), version: 0 });
            }
        }
    }

    /// Follows the journal until told to stop: the simulator forgets what is old.
    pub(crate) async fn follow_journal(self, sim: Arc<Sim>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.see_journal(&sim, false).await;
            tokio::select! {
                () = sleep(SAMPLE * 2) => {}
                () = stop.cancelled() => {}
            }
        }
        self.see_journal(&sim, true).await;
    }

    /// Reads what is new; all of it once more at the end, since what was held or late was answered after it was read.
    async fn see_journal(&self, sim: &Sim, all: bool) {
        let after = if all { 0 } else { self.inner().journal.keys().next_back().copied().unwrap_or_default() };
        let journal = sim.get(&format!("/journal?after={after}")).await;
        let mut inner = self.inner();
        for entry in journal["entries"].as_array().into_iter().flatten() {
            if let Some(seq) = entry["seq"].as_u64() {
                inner.journal.insert(seq, entry.clone());
            }
        }
    }

    /// Which resource each object id belongs to, by the requests that made them.
    pub(crate) fn owners(&self) -> BTreeMap<i64, String> {
        let mut owners = BTreeMap::new();
        for entry in self.inner().journal.values() {
            let uid = entry["body"]["labels"]["seca.uid"].as_str();
            let named = entry["made"].as_i64().or_else(|| ids(entry).into_iter().next());
            if let (Some(uid), Some(id)) = (uid, named) {
                owners.insert(id, uid.to_owned());
            }
        }
        owners
    }

    /// Writes journal and lives down.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let inner = self.inner();
        let mut file = File::create(self.folder.join("journal.jsonl"))?;
        for entry in inner.journal.values() {
            writeln!(file, "{entry}")?;
        }
        let mut file = File::create(self.folder.join("rows.txt"))?;
        for (uid, life) in &inner.lives {
            writeln!(file, "{uid} {}: {}", life.key, story(life))?;
        }
        Ok(())
    }

    /// All that is known of a resource and of objects: its life, requests, log lines.
    pub(crate) fn history(&self, uid: Option<&str>, objects: &[i64]) -> String {
        let owners = self.owners();
        let inner = self.inner();
        let mut ids_of: BTreeSet<i64> = objects.iter().copied().collect();
        ids_of.extend(owners.iter().filter(|(_, owner)| Some(owner.as_str()) == uid).map(|(id, _)| *id));
        let life = uid.and_then(|uid| inner.lives.get(uid));
        let mut text = String::new();
        if let (Some(uid), Some(life)) = (uid, life) {
            text.push_str(&format!("{uid} {}\n{}\n", life.key, story(life)));
            life.specs.iter().for_each(|spec| text.push_str(&format!("spec {spec}\n")));
        }
        text.push_str("\n-- requests\n");
        let mut actions: BTreeSet<i64> = BTreeSet::new();
        for entry in inner.journal.values() {
            let names = |id: &i64| ids(entry).contains(id) || entry["made"].as_i64() == Some(*id);
            let is_named = uid.is_some_and(|uid| entry.to_string().contains(uid)) || ids_of.iter().any(names);
            let polled = action_ids(entry).iter().any(|id| actions.contains(id));
            if is_named {
                actions.extend(entry["actions"].as_array().into_iter().flatten().filter_map(Value::as_i64));
            }
            if is_named || polled {
                text.push_str(&line(entry));
            }
        }
        text.push_str("\n-- logs\n");
        let mut words: Vec<String> = ids_of.iter().map(ToString::to_string).collect();
        words.extend(uid.map(str::to_owned));
        words.extend(actions.iter().map(ToString::to_string));
        for line in self.log_lines() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                text.push_str(&format!("{line}\n"));
            }
        }
        text
    }

    fn log_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".stderr") || name.ends_with(".stdout") {
                let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap_or_default()).into_owned();
                lines.extend(text.lines().map(|line| format!("{line}  [{name}]")));
            }
        }
        lines.sort();
        lines
    }
}

fn story(life: &Life) -> String {
    let moment = |moment: &Moment| format!("{} {} v{}", moment.at, moment.state, moment.version);
    life.moments.iter().map(moment).collect::<Vec<_>>().join(" > ")
}

fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let query = if text("query").is_empty() { String::new() } else { format!("?{}", text("query")) };
    let body = if entry["body"].is_null() { String::new() } else { format!(" {}", entry["body"]) };
    format!(
        "{} #{} {} {} {}{query} -> {} {} {}{}{}{body}\n",
        text("time"),
        entry["seq"],
        text("client"),
        text("method"),
        text("path"),
        entry["status"],
        text("error_code"),
        text("reply"),
        if entry["committed"] == true { " committed" } else { "" },
        if entry["fault"].is_null() { "" } else { " by a fault" },
    )
}

/// The ids of objects that a request's path names.
pub(crate) fn ids(entry: &Value) -> Vec<i64> {
    let path = entry["path"].as_str().unwrap_or_default();
    if path.starts_with("/v1/actions") {
        return Vec::new();
    }
    path.split('/').filter_map(|segment| segment.parse().ok()).collect()
}

/// The ids of actions that a request asks for.
pub(crate) fn action_ids(entry: &Value) -> Vec<i64> {
    let path = entry["path"].as_str().unwrap_or_default();
    match path.strip_prefix("/v1/actions") {
        Some("") => {
            let pairs = entry["query"].as_str().unwrap_or_default().split('&');
            pairs.filter_map(|pair| pair.strip_prefix("id=")?.parse().ok()).collect()
        }
        Some(id) => id.trim_start_matches('/').parse().into_iter().collect(),
        None => Vec::new(),
    }
}
