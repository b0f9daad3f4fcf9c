//! A look behind the server, where a simulator is: what is in the project, and how long actions took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::http;

/// How often the simulator is asked whether an action runs. Its own door is neither limited nor journalled.
const SAMPLE: Duration = Duration::from_millis(10);

/// A simulator's own door.
#[derive(Clone)]
pub(crate) struct Simulator {
    client: reqwest::Client,
    url: String,
}

/// What is in a project: objects by type, and how many actions run.
#[derive(Deserialize)]
struct Inventory {
    running_actions: usize,
    objects: BTreeMap<String, Vec<Object>>,
}

/// An object of a project.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Object {
    id: i64,
    pub(crate) name: String,
    labels: BTreeMap<String, String>,
}

impl Object {
    /// Whether it is the object by which the project is known again.
    pub(crate) fn is_marker(&self) -> bool {
        self.labels.get("seca.purpose").is_some_and(|purpose| purpose == "marker")
    }

    /// The workspace that it belongs to.
    pub(crate) fn workspace(&self) -> Option<&str> {
        self.labels.get("seca.workspace").map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Journal {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    time_ms: i64,
    path: String,
}

/// The journal's word for a poll of actions.
const POLL: &str = "/v1/actions";

impl Simulator {
    /// The simulator at a URL.
    pub(crate) fn at(url: &str) -> anyhow::Result<Self> {
        Ok(Self { client: http::client(Duration::from_secs(10), true)?, url: url.trim_end_matches('/').to_owned() })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.client.get(format!("{}/_sim/{path}", self.url)).send().await;
        let answer = answer.context("the simulator does not answer")?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    async fn inventory(&self) -> anyhow::Result<Inventory> {
        self.get("inventory?project=dev").await
    }

    /// All objects of the project, as `type/id`.
    pub(crate) async fn objects(&self) -> anyhow::Result<BTreeMap<String, Object>> {
        let all = self.inventory().await?.objects.into_iter();
        Ok(all.flat_map(|(kind, list)| list.into_iter().map(move |o| (format!("{kind}/{}", o.id), o))).collect())
    }

    /// The last pause before a poll of actions, between two points in time of the simulator's clock: what the
    /// proxy waited at most without need, since it cannot know when an action ends.
    pub(crate) async fn poll_pause(&self, from_ms: i64, to_ms: i64) -> anyhow::Result<Duration> {
        let journal: Journal = self.get("journal").await?;
        let during: Vec<Entry> =
            journal.entries.into_iter().filter(|e| (from_ms..=to_ms).contains(&e.time_ms)).collect();
        let last = during.iter().rposition(|entry| entry.path.starts_with(POLL));
        let pause = last.and_then(|at| Some(during[at].time_ms - during.get(at.checked_sub(1)?)?.time_ms));
        Ok(Duration::from_millis(u64::try_from(pause.unwrap_or_default()).unwrap_or_default()))
    }

    /// Watches for how long actions run, until told to stop.
    pub(crate) fn watch(&self) -> Watch {
        let busy = Arc::new(Mutex::new(Duration::ZERO));
        let (simulator, sum) = (self.clone(), busy.clone());
        let task = tokio::spawn(async move {
            let mut since = Instant::now();
            loop {
                let Ok(inventory) = simulator.inventory().await else { return };
                let now = Instant::now();
                if inventory.running_actions > 0 {
                    *sum.lock().unwrap_or_else(PoisonError::into_inner) += now - since;
                }
                since = now;
                sleep(SAMPLE).await;
            }
        });
        Watch { busy, task }
    }

    /// Whether it answers as a simulator does.
    pub(crate) async fn is_there(&self) -> bool {
        self.get::<Value>("inventory?project=dev").await.is_ok()
    }
}

/// A watch over running actions.
pub(crate) struct Watch {
    busy: Arc<Mutex<Duration>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// How long at least one action ran, to some ten milliseconds.
    pub(crate) fn stop(self) -> Duration {
        self.task.abort();
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
