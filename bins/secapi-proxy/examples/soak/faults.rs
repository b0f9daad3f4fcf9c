//! Spoils a fifth of the provider's replies to the product: refused, lost before or after their effect, late, held,
//! or sent so that they cannot be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{chance::Chance, common::sim::Sim, stage::PROXY};

/// The part of the replies that is spoiled.
const SHARE: f64 = 0.2;

/// A kind of fault: its word in the counts, its weight, and its effect.
type Fault = (&'static str, f64, Value);

fn error(status: u16, code: &str, form: &str) -> Value {
    json!({"type": "error", "status": status, "code": code, "body_form": form})
}

/// What may happen to any request.
fn of_any() -> Vec<Fault> {
    vec![
        ("500", 1.0, error(500, "server_error", "html")),
        ("502", 1.0, error(502, "server_error", "empty")),
        ("503", 2.0, error(503, "unavailable", "json")),
        ("504", 1.0, error(504, "timeout", "truncated")),
        ("429", 1.0, error(429, "rate_limit_exceeded", "json")),
        ("reply lost, nothing done", 3.0, json!({"type": "lose_reply_before_commit"})),
        ("reply lost, all done", 3.0, json!({"type": "lose_reply_after_commit"})),
        ("reply cut", 2.0, json!({"type": "spoil_reply", "body_form": "truncated"})),
        ("reply replaced", 1.0, json!({"type": "spoil_reply", "body_form": "html"})),
        ("held before", 2.0, json!({"type": "hold_before_commit"})),
        ("held after", 2.0, json!({"type": "hold_after_commit"})),
    ]
}

/// What may happen to a change alone.
fn of_changes() -> Vec<Fault> {
    vec![
        ("late by 1.5 s", 2.0, json!({"type": "late_commit", "delay_ms": 1_500})),
        ("late by 4 s", 2.0, json!({"type": "late_commit", "delay_ms": 4_000})),
        ("locked", 2.0, error(423, "locked", "json")),
        ("conflict", 2.0, error(409, "conflict", "json")),
        ("action failed", 2.0, json!({"type": "action_error"})),
    ]
}

/// Adds the rules: of those for one request the first that is drawn counts, so later ones are drawn more often.
pub(crate) async fn begin(sim: &Sim, chance: &mut Chance) {
    let changes: Vec<Fault> = of_any().into_iter().chain(of_changes()).collect();
    let actions = vec![("404 to an action", 1.0, error(404, "not_found", "json"))];
    add(sim, chance, &actions, 0.02, json!({"method": "POST", "path": "/*/*/actions/*"})).await;
    for method in ["POST", "PUT", "DELETE"] {
        add(sim, chance, &changes, SHARE, json!({"method": method})).await;
    }
    // A page that is held while somebody deletes from the page before it.
    let pages = vec![("held before", 1.0, json!({"type": "hold_before_commit"}))];
    add(sim, chance, &pages, SHARE, json!({"method": "GET", "path": "/volumes"})).await;
    add(sim, chance, &of_any(), SHARE, json!({"method": "GET"})).await;
}

async fn add(sim: &Sim, chance: &mut Chance, faults: &[Fault], total: f64, matching: Value) {
    let sum: f64 = faults.iter().map(|(_, weight, _)| weight).sum();
    let mut left = 1.0;
    for (_, weight, effect) in faults {
        let share = total * weight / sum;
        let mut rule = json!({"match": matching, "effect": effect, "seed": chance.within(1..=1 << 40)});
        rule["match"]["client"] = json!(PROXY);
        rule["match"]["count"] = json!(0);
        rule["match"]["share"] = json!(share / left);
        left -= share;
        sim.control("POST", "/faults", Some(rule)).await;
    }
}

/// How often each kind struck.
pub(crate) async fn counts(sim: &Sim) -> BTreeMap<&'static str, u64> {
    let words: Vec<(&'static str, Value)> = of_any()
        .into_iter()
        .chain(of_changes())
        .chain([("404 to an action", 0.0, error(404, "not_found", "json"))])
        .map(|(word, _, effect)| (word, effect))
        .collect();
    let mut counts = BTreeMap::new();
    for rule in sim.get("/faults").await["faults"].as_array().into_iter().flatten() {
        if let Some((word, _)) = words.iter().find(|(_, effect)| *effect == rule["effect"]) {
            *counts.entry(*word).or_default() += rule["fired"].as_u64().unwrap_or_default();
        }
    }
    counts
}

/// The faults by which actions fail.
pub(crate) async fn failing(sim: &Sim) -> BTreeSet<u64> {
    let faults = sim.get("/faults").await;
    let fails = |rule: &&Value| rule["effect"]["type"] == "action_error";
    faults["faults"].as_array().into_iter().flatten().filter(fails).filter_map(|rule| rule["id"].as_u64()).collect()
}

/// Lets go of what is held, now and then.
pub(crate) async fn release(sim: &Sim, mut chance: Chance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = Duration::from_millis(chance.within(300..=2_500));
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        let faults = sim.get("/faults").await;
        let holds = |rule: &&Value| rule["held"].as_array().is_some_and(|held| !held.is_empty());
        for rule in faults["faults"].as_array().into_iter().flatten().filter(holds) {
            sim.control("POST", &format!("/faults/{}/release", rule["id"]), None).await;
        }
    }
}

/// Takes all rules away, and lets go of everything.
pub(crate) async fn end(sim: &Sim) {
    sim.control("DELETE", "/faults", None).await;
}
