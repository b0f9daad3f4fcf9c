//! Names in paths: those of resources, and those of what they are in.

use reqwest::Method;
use seca_api::{Kind, Scope};
use serde_json::json;

use crate::{
    spec::Spec,
    stack::{PROFILES, stack},
    table::{self, Place},
};

/// Kinds whose names stand in paths and references of others, where 64 characters are allowed: §4.31.
const SHORT: [Kind; 3] = [Kind::Workspace, Kind::Network, Kind::Role];

/// A document that keeps its limits, and one label that does not: see the limits.
fn probe(row: &table::Row, place: &Place) -> serde_json::Value {
    let mut document = row.document(place);
    document["labels"] = json!({"probe": "x".repeat(64)});
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_the_length_and_the_pattern_of_the_specification() {
    let stack = stack().await;
    let spec = Spec::read();
    let rule = spec.parameter("resourcePathParam");
    let pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    assert_eq!(rule.word("pattern"), Some(pattern), "another pattern needs other samples");
    assert_eq!(rule.count("minLength"), Some(1));
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let most = if SHORT.contains(&row.kind) {
                spec.parameter("workspacePathParam").count("maxLength").unwrap()
            } else {
                rule.count("maxLength").unwrap()
            };
            let (longest, too_long) = ("a".repeat(most), "a".repeat(most + 1));
            for name in ["a", "0", "a-b", "a--b", "a.b-c.0", "se.d2xs", &longest] {
                let answer = client.put(&client.item(row.kind, &place, name), &probe(row, &place)).await;
                let problem = answer.refused(reading.violation());
                let pointers: Vec<_> = problem.sources.iter().map(|source| source.pointer.as_str()).collect();
                assert_eq!(pointers, ["/labels/probe"], "{}: {name}: {problem}", row.kind);
            }
            for name in [
                "A",
                "Invalid-Name-With-Uppercase",
                "-a",
                "a-",
                ".a",
                "a.",
                "a..b",
                "a.-b",
                "a_b",
                "a%20b",
                "%C3%A4",
                &too_long,
            ] {
                let answer = client.put(&client.item(row.kind, &place, name), &row.document(&place)).await;
                answer.refused_at(reading.violation(), "/metadata/name");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_no_text_is_a_violation_and_no_failure() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            for name in ["a%2Fb", "%FF", "a%00b", "a%0Ab", "..%2F.."] {
                let path = client.item(row.kind, &place, name);
                let problem = client.put(&path, &row.document(&place)).await.refused(reading.status(400));
                assert!(!problem.sources.is_empty(), "{path}: {problem}");
                for method in [Method::GET, Method::DELETE] {
                    client.send(method, &path, &[], None).await.refused(400);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nothing_can_have_is_not_found() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            for name in ["Upper", "a_b", &"a".repeat(129), "missing"] {
                let path = client.item(row.kind, &place, name);
                client.get(&path).await.refused(404);
                client.delete(&path).await.refused(404);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_not_there_refuses_a_put_and_hides_the_rest() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let base = Place::base(reading.tenant);
        for row in table::served() {
            let mut places = Vec::new();
            for name in ["missing".to_owned(), "Upper".to_owned(), "a".repeat(65)] {
                if matches!(row.kind.scope(), Scope::Workspace | Scope::Network) {
                    places.push(Place { workspace: name.clone(), ..base.clone() });
                }
                if row.kind.scope() == Scope::Network {
                    places.push(Place { network: name, ..base.clone() });
                }
            }
            for place in places {
                let path = client.item(row.kind, &place, "probe");
                client.put(&path, &row.document(&base)).await.refused(reading.status(404));
                client.get(&path).await.refused(404);
                client.delete(&path).await.refused(404);
                // A list declares no 404.
                let list = client.get(&client.collection(row.kind, &place)).await.expect(200);
                assert_eq!(list["items"], json!([]));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_not_the_paths_is_a_violation() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let path = client.item(row.kind, &place, "probe");
            for region in ["non-existent-region", "nbg1"] {
                let mut document = probe(row, &place);
                document["metadata"] = json!({"region": region});
                let problem = client.put(&path, &document).await.refused(reading.violation());
                let told = problem.sources.iter().any(|source| source.pointer == "/metadata/region");
                assert_eq!(told, !row.kind.provider().is_global(), "{}: {problem}", row.kind);
            }
            for region in [json!("fsn1"), json!(""), json!(null)] {
                let mut document = probe(row, &place);
                document["metadata"] = json!({"region": region});
                let problem = client.put(&path, &document).await.refused(reading.violation());
                assert_eq!(problem.sources.len(), 1, "{}: {region}: {problem}", row.kind);
            }
        }
    }
}
