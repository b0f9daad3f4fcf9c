//! What is printed at the end, and what is written for those who look for the cause.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::{Arguments, counts, judge::Violation, soak::Soak, stage::PROXY};

/// Prints counts and violations; whether there is none.
pub(crate) async fn print(
    soak: &Soak,
    violations: &[Violation],
    arguments: &Arguments,
    seed: u64,
) -> anyhow::Result<bool> {
    println!("\ncalls of users:");
    let mut by_call: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((what, answer), count) in soak.model.operations() {
        by_call.entry(what).or_default().push(format!("{count} {answer}"));
    }
    by_call.iter().for_each(|(what, counts)| println!("  {what}: {}", counts.join(", ")));
    println!("troubles:");
    soak.model.troubles().iter().for_each(|(what, count)| println!("  {what}: {count}"));
    println!("by hand:");
    soak.model.deeds().iter().for_each(|(what, count)| println!("  {what}: {count}"));
    println!("spoiled replies:");
    soak.fault_counts.iter().for_each(|(what, count)| println!("  {what}: {count}"));
    requests(soak);

    let mut lines: Vec<String> = soak.model.defects().into_iter().map(|defect| format!("defect: {defect}")).collect();
    let histories = soak.stage.folder.join("violations");
    fs::create_dir_all(&histories)?;
    for (number, violation) in violations.iter().enumerate() {
        let file = histories.join(format!("{number:03}-{}.txt", violation.rule));
        let history = soak.ledger.history(violation.uid.as_deref(), &violation.objects);
        fs::write(&file, format!("{}: {}\n{history}", violation.rule, violation.text))?;
        let uid = violation.uid.as_deref().unwrap_or("-");
        lines.push(format!("{} [{uid}]: {} (history: {})", violation.rule, violation.text, file.display()));
    }
    let dear = waits(soak);
    // What the release before asks is not judged.
    if arguments.counts == 1 && arguments.old_binary.is_none() {
        lines.extend(dear);
    }
    println!("\nseed {seed}, logs in {}", soak.stage.folder.display());
    if lines.is_empty() {
        println!("soak: nothing lost, doubled, left, stuck or untrue");
    } else {
        lines.iter().for_each(|line| println!("VIOLATION {line}"));
        println!("soak: {} violations", lines.len());
    }
    Ok(lines.is_empty())
}

/// What the product asked of the provider.
fn requests(soak: &Soak) {
    let mut by_method: BTreeMap<String, u64> = BTreeMap::new();
    let (from, to) = soak.troubled;
    let (mut all, mut troubled, mut spoiled) = (0_u64, 0_u64, 0_u64);
    for entry in soak.ledger.journal().iter().filter(|entry| entry["client"] == PROXY) {
        all += 1;
        troubled += u64::from(entry["time_ms"].as_i64().is_some_and(|at| (from..to).contains(&at)));
        spoiled += u64::from(entry["fault"] != Value::Null);
        *by_method.entry(entry["method"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let methods: Vec<String> = by_method.iter().map(|(method, count)| format!("{count} {method}")).collect();
    println!(
        "requests to the provider: {all} ({}); {troubled} of them during the trouble, of which {spoiled} spoiled",
        methods.join(", ")
    );
}

/// Prints what the dearest waits cost; a line for each that cost too much.
fn waits(soak: &Soak) -> Vec<String> {
    let waits = counts::waits(&soak.ledger);
    let most = |cost: fn(&counts::Wait) -> f64| waits.iter().max_by(|a, b| cost(a).total_cmp(&cost(b)));
    for (what, limit, wait) in [("the first minute", 20, most(|w| w.first)), ("a later minute", 6, most(|w| w.later))] {
        if let Some(wait) = wait {
            println!(
                "requests of one waiting object in {what} (at most {limit}): {:.1}, of {} [{}] in {:.0} s",
                if limit == 20 { wait.first } else { wait.later },
                wait.key,
                wait.uid,
                wait.seconds,
            );
        }
    }
    let dear = waits.iter().filter(|wait| wait.is_too_much());
    let line = |wait: &counts::Wait| {
        format!(
            "requests [{}]: {} waited {:.0} s: {:.1} requests in the first minute, up to {:.1} in a later one",
            wait.uid, wait.key, wait.seconds, wait.first, wait.later
        )
    };
    dear.map(line).collect()
}
