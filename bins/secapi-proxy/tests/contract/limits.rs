//! Every limit of every member of every kind, in both error profiles.

use seca_api::Kind;
use serde_json::{Value, json};

use crate::{
    cases::{Case, Generator},
    spec::Spec,
    stack::{Client, PROFILES, side_by_side, stack},
    table::{self, Place, Row},
};

/// A label that breaks its limit. It goes along with documents that keep theirs: all broken rules are told in one
/// answer, so that it must be the only one, and nothing is made.
const PROBE: &str = "/labels/probe";

/// What sentences about limits say. A member of which more is asked may be refused, but not with these.
const LIMITS: [&str; 9] = [
    "long, but has",
    "must hold",
    "must be an IPv4 block",
    "must be an IPv6 block",
    "must be a block",
    "must be an address",
    "must be a whole number",
    "must be a text",
    "is missing; set it",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_every_member_is_the_specifications() {
    let stack = stack().await;
    let spec = Spec::read();
    let mut jobs = Vec::new();
    for reading in PROFILES {
        let client = stack.client(reading);
        for row in table::served() {
            let place = Place::base(reading.tenant);
            for case in cases(&spec, row, &place) {
                let path = client.item(row.kind, &place, "probe");
                jobs.push(judge(client.clone(), row, path, case));
            }
        }
    }
    let count = jobs.len();
    let wrong: Vec<_> = side_by_side(jobs).await.into_iter().flatten().collect();
    println!("{count} documents");
    assert!(wrong.is_empty(), "{} of {count} documents are judged wrongly:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 150 * table::served().count(), "only {count} documents");
}

#[test]
fn the_documents_of_the_table_reach_every_member_of_the_specification() {
    let spec = Spec::read();
    for row in table::served() {
        let place = Place::base("t");
        let run = Generator::new(&spec, row, row.document(&place)).run();
        assert!(run.unreached.is_empty(), "{}: {:?}", row.kind, run.unreached);
        let reached: Vec<_> = run.cases.iter().map(|case| case.pointer.clone()).collect();
        for (pattern, _) in row.judged {
            let used = reached.iter().any(|pointer| row.is_judged(pointer));
            assert!(used, "{}: {pattern} is no member", row.kind);
        }
    }
}

fn cases(spec: &Spec, row: &'static Row, place: &Place) -> Vec<Case> {
    let base = row.document(place);
    let whole =
        |what: &str, document: Value| Case { what: what.to_owned(), pointer: "/spec".to_owned(), kept: true, document };
    let mut stale = base.clone();
    stale["metadata"] =
        json!({"name": 1, "createdAt": "0001-01-01T00:00:00Z", "resourceVersion": 0, "verb": "", "region": ""});
    stale["status"] = json!({"conditions": null, "state": "never", "sizeGB": -1, "powerState": ""});
    let mut cases = vec![whole("the document itself", base.clone()), whole("the server's members", stale)];
    cases.extend(Generator::new(spec, row, base).run().cases);
    cases
}

/// Sends a document, and says what is wrong with the answer.
async fn judge(client: Client, row: &'static Row, path: String, case: Case) -> Option<String> {
    let mut document = case.document.clone();
    if case.kept {
        let labels = document.get_mut("labels").and_then(Value::as_object_mut);
        match labels {
            Some(labels) => drop(labels.insert("probe".to_owned(), json!("x".repeat(64)))),
            None => document["labels"] = json!({"probe": "x".repeat(64)}),
        }
    }
    let answer = client.put(&path, &document).await;
    let flaw = flaw(&answer, row, &case, client.reading.violation())?;
    let sent: String = document.to_string().chars().take(400).collect();
    let got: String = answer.text.chars().take(900).collect();
    let Case { what, pointer, kept, .. } = case;
    let want = if kept { "kept" } else { "broken" };
    Some(format!(
        "- {}: {pointer}, {what} ({want}): {flaw}\n  PUT {path}\n  {sent}\n  {} {got}",
        row.kind, answer.status
    ))
}

fn flaw(answer: &crate::stack::Answer, row: &Row, case: &Case, status: u16) -> Option<String> {
    if answer.status != status {
        return Some(format!("the status is not {status}"));
    }
    let problem = match answer.problem() {
        Ok(problem) => problem,
        Err(flaw) => return Some(flaw),
    };
    let points_at = |pointer: &str| problem.sources.iter().any(|source| source.pointer == pointer);
    if !case.kept {
        return (!points_at(&case.pointer)).then(|| "no source points there".to_owned());
    }
    if !points_at(PROBE) {
        return Some("the broken label is not told along with it".to_owned());
    }
    if row.is_judged(&case.pointer) {
        let detail = problem.detail.replacen("probe must be at most 63 characters long, but has 64", "", 1);
        let said = LIMITS.iter().find(|phrase| detail.contains(**phrase));
        return said.map(|phrase| format!("it is said that it `{phrase}`"));
    }
    let inside = format!("{}/", case.pointer);
    let pointed = problem.sources.iter().find(|s| s.pointer == case.pointer || s.pointer.starts_with(&inside));
    pointed.filter(|source| source.pointer != PROBE).map(|source| format!("a source points at {}", source.pointer))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_or_null_specification_is_an_empty_one() {
    let stack = stack().await;
    let spec = Spec::read();
    for reading in PROFILES {
        let client = stack.client(reading);
        for row in table::served().filter(|row| row.kind != Kind::Workspace) {
            let whole = spec.schema(row.schema.0, row.schema.1);
            let (_, place) = whole.properties.iter().find(|(name, _)| name == "spec").unwrap();
            let required = spec.fold(place).required;
            let path = client.item(row.kind, &Place::base(reading.tenant), "probe");
            for document in [
                json!({"labels": {"probe": "x".repeat(64)}}),
                json!({"spec": null, "labels": {"probe": "x".repeat(64)}}),
            ] {
                let problem = client.put(&path, &document).await.refused(reading.violation());
                for member in &required {
                    let pointer = format!("/spec/{member}");
                    let free = row.kind == Kind::Subnet && member != "cidr";
                    let found = problem.sources.iter().any(|source| source.pointer == pointer);
                    assert_eq!(found, !free, "{}: {member}: {problem}", row.kind);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_no_object_is_malformed_in_both_profiles() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        for row in table::served() {
            let path = client.item(row.kind, &Place::base(reading.tenant), "probe");
            for text in ["", "{", "nonsense", "{\"spec\": {}} x", "{\"a\": 01}"] {
                client.send(reqwest::Method::PUT, &path, &[], Some(text.to_owned())).await.refused(400);
            }
            for document in [json!([]), json!("text"), json!(1), json!(null)] {
                client.put(&path, &document).await.refused(400);
            }
        }
    }
}
