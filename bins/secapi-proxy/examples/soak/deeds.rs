//! What the product did to others' data, by the provider's journal. Pure: requests and lives go in, violations come out.
//!
//! Nothing is destroyed that a user did not delete: a volume that was attached, a disk that ran, a snapshot, an address. What
//! somebody else started or attached counts a moment later: the product can ask for it. And no reboot is sent twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    judge::Violation,
    ledger::{Life, ids},
    stage::PROXY,
};

/// How much later than it happened a change of a row may be seen, and what somebody did at the provider be known, in
/// milliseconds.
const LAG: i64 = 2_000;

/// How much later than its answer a change takes effect at most, in milliseconds.
const LATEST: i64 = 5_000;

/// What is known beside the journal.
pub(crate) struct Known<'a> {
    pub(crate) lives: &'a BTreeMap<String, Life>,
    /// Faults by which an action fails.
    pub(crate) failing: &'a BTreeSet<u64>,
    /// How often a restart was asked for, answered or not, by the key of the instance.
    pub(crate) restarts: &'a BTreeMap<String, u64>,
}

/// An object, as far as the journal went.
#[derive(Default)]
struct Thing {
    /// The collection: `servers`.
    kind: String,
    owner: Option<String>,
    /// When somebody last started or attached it.
    begun: Option<i64>,
    /// Whether it was not stopped or detached since then.
    is_running: bool,
    /// Until when a stop may take effect whose answer came first.
    stops_until: i64,
    /// Whether the product made it hold data.
    used: bool,
    /// Whether its creation failed: it is a leftover, which nobody can want.
    is_leftover: bool,
    /// When its disk was copied for its block storage.
    copied: Option<i64>,
    /// The snapshot that it was made from, or the server that it is a copy of.
    made_from: Option<i64>,
    /// Whether it was deleted.
    gone: bool,
    /// How it became so.
    why: String,
    /// How often the product rebooted it, by the uid that it bore then: it passes on with its disk.
    reboots: BTreeMap<String, u64>,
}

impl Thing {
    /// Whether the product can know that it may hold data.
    fn is_used(&self, at: i64) -> bool {
        !self.is_leftover && (self.used || self.begun.is_some_and(|begun| begun + LAG < at))
    }

    /// Whether there is a copy of its disk, and it did not run since, as far as the product can know.
    fn is_copied(&self, at: i64) -> bool {
        self.copied.is_some_and(|copied| self.begun.is_none_or(|begun| begun < copied || at <= begun + LAG))
    }
}

/// Every violation, in the order of the journal.
pub(crate) fn judge(journal: &[Value], known: &Known<'_>) -> Vec<Violation> {
    let mut things: BTreeMap<i64, Thing> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in journal {
        follow(entry, &mut things, known);
        found.extend(deletion(entry, &things, known));
        if word(entry, "method") == "DELETE"
            && entry["committed"] == true
            && let Some(thing) = ids(entry).first().and_then(|id| things.get_mut(id))
        {
            thing.gone = true;
        }
    }
    found.extend(things.iter().flat_map(|(id, thing)| repeated(*id, thing, known)));
    found
}

fn word<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

/// The collection that a path is in.
fn kind(entry: &Value) -> &str {
    word(entry, "path").split('/').nth(2).unwrap_or_default()
}

/// The last part of the path: an action's name.
fn action(entry: &Value) -> &str {
    word(entry, "path").rsplit('/').next().unwrap_or_default()
}

fn follow(entry: &Value, things: &mut BTreeMap<i64, Thing>, known: &Known<'_>) {
    let (method, path) = (word(entry, "method"), word(entry, "path"));
    let at = entry["time_ms"].as_i64().unwrap_or_default();
    let is_ours = entry["client"] == PROXY;
    if entry["committed"] != true {
        return;
    }
    let id = ids(entry).into_iter().next().or_else(|| entry["made"].as_i64());
    let Some(id) = id else { return };
    things.entry(id).or_default().kind = kind(entry).to_owned();
    let labels = &entry["body"]["labels"];
    if labels.is_object() && !path.contains("/actions/") {
        // What several share is no single one's.
        things.entry(id).or_default().owner = labels["seca.uid"].as_str().map(str::to_owned);
    }
    if action(entry) == "servers"
        && let Some(image) = entry["body"]["image"].as_str().and_then(|image| image.parse().ok())
    {
        things.entry(id).or_default().made_from = Some(image);
    }
    let fails = entry["fault"].as_u64().is_some_and(|fault| known.failing.contains(&fault));
    if action(entry) == "servers" {
        things.entry(id).or_default().is_leftover = fails;
    }
    if method != "POST" || fails {
        return;
    }
    let thing = things.entry(id).or_default();
    match action(entry) {
        "poweron" | "reset" | "reboot" | "attach" => {
            thing.why = format!("{} at {} by {}", action(entry), word(entry, "time"), word(entry, "client"));
            if let (true, "reboot", Some(owner)) = (is_ours, action(entry), &thing.owner) {
                *thing.reboots.entry(owner.clone()).or_default() += 1;
            }
            thing.used |= is_ours;
            thing.begun = Some(at);
            thing.is_running = true;
            if is_ours {
                thing.copied = None;
            }
        }
        "change_type" => {
            thing.used |= is_ours;
            thing.copied = None;
        }
        "poweroff" | "shutdown" | "detach" => {
            thing.is_running = false;
            if entry["reply"] == "late" {
                thing.stops_until = at + LATEST;
            }
        }
        "create_image" if entry["body"]["labels"]["seca.uid"].is_string() => {
            let owner = entry["body"]["labels"]["seca.uid"].as_str().map(str::to_owned);
            // A copy of a disk that is being written says nothing.
            let began = |begun: i64| begun + LAG < at && thing.stops_until < begun;
            let is_running = thing.is_running && thing.begun.is_some_and(began);
            if entry["body"]["labels"]["seca.role"] == "parked" && !is_running {
                thing.copied = Some(at);
            }
            if let Some(made) = entry["made"].as_i64() {
                things
                    .insert(made, Thing { kind: "images".to_owned(), owner, made_from: Some(id), ..Thing::default() });
            }
        }
        _ => {}
    }
}

/// A deletion by the product of what nobody deleted.
fn deletion(entry: &Value, things: &BTreeMap<i64, Thing>, known: &Known<'_>) -> Option<Violation> {
    if entry["client"] != PROXY || word(entry, "method") != "DELETE" || entry["committed"] != true {
        return None;
    }
    let id = *ids(entry).first()?;
    let thing = things.get(&id)?;
    let owner = thing.owner.as_deref()?;
    let at = entry["time_ms"].as_i64().unwrap_or_default();
    let life = known.lives.get(owner)?;
    // A disk that became a snapshot, and a snapshot whose server ran.
    let is_replaced = match kind(entry) {
        "servers" => thing.is_copied(at),
        "images" => {
            let is_disk = life.key.starts_with("block-storage ");
            let source = thing.made_from.and_then(|server| things.get(&server));
            let is_on_server = source.is_some_and(|server| !server.gone);
            // A server that was handed over has the disk, whether or not it ran.
            let has_it =
                |other: &Thing| other.used || other.begun.is_some() || !other.gone && other.owner == thing.owner;
            is_disk && (is_on_server || things.values().any(|other| other.made_from == Some(id) && has_it(other)))
        }
        _ => false,
    };
    let kept: Vec<&Life> = match kind(entry) {
        _ if is_replaced => Vec::new(),
        "volumes" if thing.is_used(at) => alive(life, at).into_iter().collect(),
        "images" => alive(life, at).into_iter().collect(),
        // An instance's closed interface has an address that is nobody's.
        "primary_ips" if life.key.starts_with("public-ip ") => alive(life, at).into_iter().collect(),
        "servers" if thing.is_used(at) && life.key.starts_with("block-storage ") => {
            alive(life, at).into_iter().collect()
        }
        "servers" if thing.is_used(at) => {
            let is_disk = |other: &&Life| {
                other.key.starts_with("block-storage ")
                    && other.workspace == life.workspace
                    && other.name.starts_with("boot")
                    && life.names.contains(&other.name)
            };
            known.lives.values().filter(is_disk).filter_map(|disk| alive(disk, at)).collect()
        }
        _ => Vec::new(),
    };
    let kept = kept.first()?;
    Some(Violation {
        rule: "destroyed",
        text: format!(
            "DELETE {} at {} took what {} had, which nobody deleted ({})",
            word(entry, "path"),
            word(entry, "time"),
            kept.key,
            thing.why
        ),
        uid: Some(owner.to_owned()),
        objects: vec![id],
    })
}

/// The row, if it was there and not being deleted at a time.
fn alive(life: &Life, at: i64) -> Option<&Life> {
    let is_over = |state: &str| matches!(state, "deleting" | "gone");
    let was_there = life.moments.first().is_some_and(|first| first.at <= at);
    let ended = life.moments.iter().any(|moment| moment.at <= at + LAG && is_over(&moment.state));
    (was_there && !ended).then_some(life)
}

/// More reboots of a server than restarts of an instance that had it.
fn repeated(id: i64, thing: &Thing, known: &Known<'_>) -> Vec<Violation> {
    let judge = |(owner, sent): (&String, &u64)| {
        let life = known.lives.get(owner)?;
        let asked = known.restarts.get(&life.key).copied().unwrap_or_default();
        (*sent > asked).then(|| Violation {
            rule: "repeated",
            text: format!("server {id} of {} was rebooted {sent} times for {asked} restarts", life.key),
            uid: Some(owner.clone()),
            objects: vec![id],
        })
    };
    thing.reboots.iter().filter_map(judge).collect()
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
mod tests;
