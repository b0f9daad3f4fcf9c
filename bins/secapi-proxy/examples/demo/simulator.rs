//! A look behind the server, where a simulator is: what is in the project, and how long actions took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{http, server::Door};

/// How often the simulator is asked whether an action runs. Its own door is neither limited nor journalled.
const SAMPLE: Duration = Duration::from_millis(10);

/// A simulator: its own door, and the cloud behind it where a token is known.
#[derive(Clone)]
pub(crate) struct Simulator {
    client: reqwest::Client,
    url: String,
    token: Option<SecretString>,
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
}

#[derive(Deserialize)]
struct Guest {
    authorized_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Now {
    time_ms: i64,
}

impl Simulator {
    /// The simulator behind a door.
    pub(crate) fn at(door: &Door) -> anyhow::Result<Self> {
        let url = door.url.trim_end_matches('/').to_owned();
        Ok(Self { client: http::client(Duration::from_secs(10), true)?, url, token: door.token.clone() })
    }

    /// Whether the cloud can be asked as its customer asks.
    pub(crate) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A member of what the cloud answers.
    pub(crate) async fn cloud(&self, path: &str, member: &str) -> anyhow::Result<Value> {
        let token = self.token.as_ref().context("no token of the simulated project is known")?;
        let asked = self.client.get(format!("{}/v1/{path}", self.url)).bearer_auth(token.expose_secret());
        let answer = asked.send().await.context("the simulated cloud does not answer")?.error_for_status()?;
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(answer[member].take())
    }

    /// The public keys that a server got when it was made.
    pub(crate) async fn authorized_keys(&self, server: &Value) -> anyhow::Result<Vec<String>> {
        let guest: Guest = self.get(&format!("servers/{server}/guest")).await?;
        Ok(guest.authorized_keys)
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

    /// How long after the ends of actions the proxy asked for them, in sum: it cannot know when an action ends.
    pub(crate) async fn noticed_after(&self, ended: &[Instant]) -> anyhow::Result<Duration> {
        let now: Now = self.get("").await?;
        let journal: Journal = self.get("journal?method=GET&path=/actions*").await?;
        let mut sum = 0;
        for ended in ended {
            let ended_ms = now.time_ms - i64::try_from(ended.elapsed().as_millis())?;
            let asked = journal.entries.iter().map(|entry| entry.time_ms).find(|asked_ms| *asked_ms >= ended_ms);
            sum += asked.map_or(0, |asked_ms| asked_ms - ended_ms);
        }
        Ok(Duration::from_millis(u64::try_from(sum)?))
    }

    /// Watches for how long actions run, until told to stop.
    pub(crate) fn watch(&self) -> Watch {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (simulator, shared) = (self.clone(), seen.clone());
        let task = tokio::spawn(async move {
            let (mut since, mut was_busy) = (Instant::now(), false);
            loop {
                let Ok(inventory) = simulator.inventory().await else { return };
                let now = Instant::now();
                let is_busy = inventory.running_actions > 0;
                {
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    match (was_busy, is_busy) {
                        (_, true) => seen.busy += now - since,
                        (true, false) => seen.ended.push(now),
                        (false, false) => {}
                    }
                }
                (since, was_busy) = (now, is_busy);
                sleep(SAMPLE).await;
            }
        });
        Watch { seen, task }
    }

    /// How many calls its cloud has answered.
    pub(crate) async fn calls(&self) -> anyhow::Result<usize> {
        let journal: Journal = self.get("journal").await?;
        Ok(journal.entries.len())
    }

    /// Whether it answers as a simulator does.
    pub(crate) async fn is_there(&self) -> bool {
        self.get::<Value>("inventory?project=dev").await.is_ok()
    }
}

/// What a watch saw, to some ten milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// How long at least one action ran.
    pub(crate) busy: Duration,
    /// When no action ran any more: each time.
    pub(crate) ended: Vec<Instant>,
}

/// A watch over running actions.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Ends it.
    pub(crate) fn stop(self) -> Seen {
        self.task.abort();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
