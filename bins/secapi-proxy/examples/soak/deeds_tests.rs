//! What the journal proves, and what it does not.

use serde_json::json;

use super::*;
use crate::{ledger::Moment, stage::PERSON};

const DISK: &str = "00000000-0000-7000-8000-00000000d15c";
const VM: &str = "00000000-0000-7000-8000-000000000001";
const IP: &str = "00000000-0000-7000-8000-000000000003";
const NEXT: &str = "00000000-0000-7000-8000-000000000002";

fn life(key: &str, names: &[&str], moments: &[(i64, &str)]) -> Life {
    Life {
        key: key.to_owned(),
        name: key.rsplit(' ').next().unwrap_or_default().to_owned(),
        workspace: "red".to_owned(),
        specs: BTreeSet::new(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        moments: moments.iter().map(|(at, state)| Moment { at: *at, state: (*state).to_owned(), version: 1 }).collect(),
    }
}

fn change(at: i64, client: &str, method: &str, path: &str, body: Value, made: Option<i64>) -> Value {
    json!({
        "time_ms": at, "time": "", "client": client, "method": method, "path": format!("/v1{path}"), "body": body,
        "status": 201, "committed": true, "reply": "sent", "fault": null, "made": made, "actions": [],
    })
}

fn rules(journal: &[Value], disk: &[(i64, &str)], restarts: u64) -> Vec<&'static str> {
    let lives = BTreeMap::from([
        (DISK.to_owned(), life("block-storage red boot-1", &[], disk)),
        (VM.to_owned(), life("instance red vm-1", &["boot-1"], &[(0, "active"), (50_000, "deleting")])),
        (IP.to_owned(), life("public-ip red ip-1", &[], &[(0, "active")])),
        (NEXT.to_owned(), life("instance red vm-2", &[], &[(0, "active")])),
    ]);
    let restarts = BTreeMap::from([("instance red vm-1".to_owned(), restarts)]);
    let known = Known { lives: &lives, failing: &BTreeSet::from([9]), restarts: &restarts };
    judge(journal, &known).into_iter().map(|violation| violation.rule).collect()
}

fn create(uid: &str) -> Value {
    change(1, PROXY, "POST", "/servers", json!({"labels": {"seca.uid": uid}}), Some(7))
}

fn power(at: i64, client: &str, action: &str) -> Value {
    change(at, client, "POST", &format!("/servers/7/actions/{action}"), Value::Null, None)
}

fn delete() -> Value {
    change(60_000, PROXY, "DELETE", "/servers/7", Value::Null, None)
}

#[test]
fn a_disk_that_ran_goes_only_with_its_block_storage() {
    let alive: &[(i64, &str)] = &[(0, "active")];
    let deleting: &[(i64, &str)] = &[(0, "active"), (40_000, "deleting")];
    let ran = [create(VM), power(10, PROXY, "poweron"), delete()];
    assert_eq!(rules(&ran, alive, 0), ["destroyed"]);
    assert!(rules(&ran, deleting, 0).is_empty());
    assert!(rules(&[create(VM), delete()], alive, 0).is_empty(), "it never ran");
    let mut failed = power(10, PROXY, "poweron");
    failed["fault"] = json!(9);
    assert!(rules(&[create(VM), failed, delete()], alive, 0).is_empty(), "its start failed");
}

#[test]
fn a_start_by_hand_counts_a_moment_later_whether_or_not_it_was_stopped_again() {
    let alive: &[(i64, &str)] = &[(0, "active")];
    let started = |at| power(at, PERSON, "poweron");
    assert!(rules(&[create(VM), started(59_000), delete()], alive, 0).is_empty(), "at the same moment");
    assert_eq!(rules(&[create(VM), started(10), delete()], alive, 0), ["destroyed"]);
    let mut failed = create(VM);
    failed["fault"] = json!(9);
    assert!(rules(&[failed, started(10), delete()], alive, 0).is_empty(), "its creation failed");
    let stopped = power(5_000, PERSON, "poweroff");
    assert_eq!(rules(&[create(VM), started(10), stopped, delete()], alive, 0), ["destroyed"]);
}

#[test]
fn a_reboot_is_sent_as_often_as_it_was_asked_for() {
    let twice = [create(VM), power(10, PROXY, "reboot"), power(20, PROXY, "reboot")];
    assert!(rules(&twice, &[(0, "active")], 2).is_empty());
    assert_eq!(rules(&twice, &[(0, "active")], 1), ["repeated"]);
    // The server passed to its block storage, and from there to another instance that was never restarted.
    let pass = |at, uid| change(at, PROXY, "PUT", "/servers/7", json!({"labels": {"seca.uid": uid}}), None);
    let passed = [twice.to_vec(), vec![pass(30, DISK), pass(40, NEXT)]].concat();
    assert!(rules(&passed, &[(0, "active")], 2).is_empty());
    assert_eq!(rules(&passed, &[(0, "active")], 1), ["repeated"]);
    assert_eq!(rules(&[passed, vec![power(50, PROXY, "reboot")]].concat(), &[(0, "active")], 2), ["repeated"]);
}

#[test]
fn an_address_is_destroyed_if_a_user_has_it_and_not_if_it_closed_an_instance() {
    let address = |uid| change(1, PROXY, "POST", "/primary_ips", json!({"labels": {"seca.uid": uid}}), Some(8));
    let gone = change(40_000, PROXY, "DELETE", "/primary_ips/8", Value::Null, None);
    assert_eq!(rules(&[address(IP), gone.clone()], &[(0, "active")], 0), ["destroyed"]);
    assert!(rules(&[address(VM), gone], &[(0, "active")], 0).is_empty());
}

fn copy(at: i64, client: &str) -> Value {
    let labels = json!({"seca.uid": DISK, "seca.role": "parked"});
    change(at, client, "POST", "/servers/7/actions/create_image", json!({"labels": labels}), Some(8))
}

#[test]
fn a_disk_that_became_a_snapshot_may_go_and_the_snapshot_when_its_server_ran() {
    let alive: &[(i64, &str)] = &[(0, "active")];
    let held = || change(3, PROXY, "PUT", "/servers/7", json!({"labels": {"seca.uid": DISK}}), None);
    let ran = || power(2, PROXY, "poweron");
    assert_eq!(rules(&[create(VM), ran(), held(), delete()], alive, 0), ["destroyed"]);
    assert!(rules(&[create(VM), ran(), held(), copy(4, PROXY), delete()], alive, 0).is_empty());
    // It ran after the copy was made.
    let again = || power(5, PROXY, "poweron");
    assert_eq!(rules(&[create(VM), ran(), held(), copy(4, PROXY), again(), delete()], alive, 0), ["destroyed"]);
    // The same by somebody else: after the copy, and while it was made.
    let by_hand = |at| power(at, PERSON, "poweron");
    assert_eq!(rules(&[create(VM), ran(), held(), copy(4, PROXY), by_hand(5), delete()], alive, 0), ["destroyed"]);
    let late = by_hand(59_000);
    assert!(
        rules(&[create(VM), ran(), held(), copy(4, PROXY), late, delete()], alive, 0).is_empty(),
        "at the same moment"
    );
    let stopped = power(3, PROXY, "shutdown");
    let written = [create(VM), ran(), stopped, held(), by_hand(5), copy(9_000, PROXY), delete()];
    assert_eq!(rules(&written, alive, 0), ["destroyed"]);
    // A stop that took effect late may have come after the start.
    let mut late = power(4, PROXY, "poweroff");
    late["reply"] = json!("late");
    let copied = [create(VM), ran(), held(), late, by_hand(5), copy(9_000, PROXY), delete()];
    assert!(rules(&copied, alive, 0).is_empty());
    let remove = || change(70_000, PROXY, "DELETE", "/images/8", Value::Null, None);
    let parked = || vec![create(VM), ran(), held(), copy(4, PROXY), delete()];
    let with = |more: Vec<Value>| rules(&[parked(), more].concat(), alive, 0);
    assert_eq!(with(vec![remove()]), ["destroyed"]);
    let next = || change(61_000, PROXY, "POST", "/servers", json!({"image": "8", "labels": {"seca.uid": VM}}), Some(9));
    let runs = || change(62_000, PROXY, "POST", "/servers/9/actions/poweron", Value::Null, None);
    assert_eq!(with(vec![next(), remove()]), ["destroyed"]);
    assert!(with(vec![next(), runs(), remove()]).is_empty());
    // Whoever started it, and however soon the product saw that.
    let by_hand = || change(69_500, PERSON, "POST", "/servers/9/actions/poweron", Value::Null, None);
    assert!(with(vec![next(), by_hand(), remove()]).is_empty());
    let handed = || change(63_000, PROXY, "PUT", "/servers/9", json!({"labels": {"seca.uid": DISK}}), None);
    assert!(with(vec![next(), handed(), remove()]).is_empty());
    // A copy of a disk that is still there.
    assert!(rules(&[create(VM), ran(), held(), copy(4, PROXY), remove()], alive, 0).is_empty());
    // What several share is no single one's.
    let shared =
        || change(63_000, PROXY, "PUT", "/images/8", json!({"labels": {"seca.purpose": "disk-snapshot"}}), None);
    assert!(with(vec![shared(), remove()]).is_empty());
}
