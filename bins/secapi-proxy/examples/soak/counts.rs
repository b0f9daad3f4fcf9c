//! How many requests a waiting object costs: at most 20 in its first minute and 6 a minute after. A request that
//! serves several objects, as a poll of several actions does, counts for each of them its part. A change that the provider took
//! is work, and not counted: under faults an instance may be made twice, and a person may undo what was done. Nor is a request
//! whose reply was spoiled: it told nothing, and must be made again.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    ledger::{Ledger, Life, action_ids, ids},
    stage::PROXY,
};

/// The most requests in the first minute of waiting, and in each minute after.
const FIRST: f64 = 20.0;
const LATER: f64 = 6.0;
const MINUTE: i64 = 60_000;

/// What one wait cost.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) uid: String,
    pub(crate) key: String,
    pub(crate) seconds: f64,
    pub(crate) first: f64,
    /// The most in any minute after the first.
    pub(crate) later: f64,
}

impl Wait {
    pub(crate) fn is_too_much(&self) -> bool {
        self.first > FIRST || self.later > LATER
    }
}

/// Every wait, the dearest first.
pub(crate) fn waits(ledger: &Ledger) -> Vec<Wait> {
    let requests = requests(&ledger.journal(), &ledger.owners());
    let mut waits: Vec<Wait> = Vec::new();
    for (uid, life) in ledger.lives() {
        let Some(requests) = requests.get(&uid) else { continue };
        waits.extend(stretches(&life).into_iter().map(|(from, to)| measure(&uid, &life, from, to, requests)));
    }
    waits.sort_by(|a, b| (b.first, b.later).partial_cmp(&(a.first, a.later)).unwrap_or(std::cmp::Ordering::Equal));
    waits
}

/// From when to when it waited, without being asked for something else meanwhile.
fn stretches(life: &Life) -> Vec<(i64, i64)> {
    let is_waiting = |state: &str| matches!(state, "pending" | "creating" | "updating" | "deleting");
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    let mut open: Option<(i64, i64)> = None;
    for moment in &life.moments {
        if let Some((since, version)) = open
            && (!is_waiting(&moment.state) || moment.version != version)
        {
            stretches.push((since, moment.at));
            open = None;
        }
        if is_waiting(&moment.state) && open.is_none() {
            open = Some((moment.at, moment.version));
        }
    }
    stretches
}

fn measure(uid: &str, life: &Life, from: i64, to: i64, requests: &[(i64, f64)]) -> Wait {
    let sum = |from: i64, to: i64| -> f64 {
        requests.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, part)| part).sum()
    };
    let minutes = (from + MINUTE..to).step_by(60_000);
    Wait {
        uid: uid.to_owned(),
        key: life.key.clone(),
        seconds: (to - from) as f64 / 1_000.0,
        first: sum(from, to.min(from + MINUTE)),
        later: minutes.map(|start| sum(start, to.min(start + MINUTE))).fold(0.0, f64::max),
    }
}

/// The requests that served each resource: when, and which part of them.
fn requests(journal: &[Value], owners: &BTreeMap<i64, String>) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut of_action: BTreeMap<i64, String> = BTreeMap::new();
    let mut requests: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for entry in journal {
        if entry["client"] != PROXY {
            continue;
        }
        let query = entry["query"].as_str().unwrap_or_default();
        let labelled = entry["body"]["labels"]["seca.uid"].as_str().map(str::to_owned);
        let asked = query
            .split("seca.uid")
            .nth(1)
            .map(|rest| rest.trim_start_matches("%3D").trim_start_matches('=').chars().take(36).collect::<String>());
        let mut served: Vec<String> = ids(entry).iter().filter_map(|id| owners.get(id).cloned()).collect();
        served.extend(labelled.or(asked));
        served.dedup();
        if let Some(uid) = served.first() {
            let actions = entry["actions"].as_array().into_iter().flatten().filter_map(Value::as_i64);
            of_action.extend(actions.map(|id| (id, uid.clone())));
        }
        if entry["committed"] == true || !entry["fault"].is_null() {
            continue;
        }
        served.extend(action_ids(entry).iter().filter_map(|id| of_action.get(id).cloned()));
        served.sort();
        served.dedup();
        let part = 1.0 / served.len().max(1) as f64;
        let at = entry["time_ms"].as_i64().unwrap_or_default();
        for uid in served {
            requests.entry(uid).or_default().push((at, part));
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn looks_and_refused_calls_count_and_neither_changes_nor_what_told_nothing() {
        let entry = |at: i64, method: &str, path: &str, query: &str, committed: bool, actions: &[i64]| {
            json!({
                "time_ms": at, "client": PROXY, "method": method, "path": format!("/v1{path}"), "query": query, "body": null,
                "committed": committed, "actions": actions, "fault": null,
            })
        };
        let owners = BTreeMap::from([(7, "a".to_owned()), (8, "b".to_owned())]);
        let mut spoiled = entry(6, "GET", "/servers/7", "", false, &[]);
        spoiled["fault"] = json!(4);
        let journal = [
            spoiled,
            entry(1, "POST", "/servers/7/actions/poweron", "", true, &[70]),
            entry(2, "POST", "/servers/8/actions/poweron", "", true, &[80]),
            entry(3, "GET", "/actions", "id=70&id=80", false, &[]),
            entry(4, "DELETE", "/servers/7", "", false, &[]),
            entry(5, "GET", "/servers/7", "", false, &[]),
        ];
        let found = requests(&journal, &owners);
        assert_eq!(found["a"], [(3, 0.5), (4, 1.0), (5, 1.0)]);
        assert_eq!(found["b"], [(3, 0.5)]);
    }
}
