//! The generated OpenAPI documents agree with the specification's own, but for the differences listed in
//! `differences.rs`, and those under `openapi/` are current.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod compare;
mod current;
mod differences;

use std::collections::BTreeSet;

use compare::Comparison;
use differences::JUSTIFIED;
use seca_api::{Kind, openapi::documents, schema::spec_schema};
use serde_json::{Value, json};
use specifications::Documents;

/// Each generated document with the specification's file of the same provider.
fn pairs() -> Vec<(String, Value)> {
    let file = |name: &str| match name.strip_prefix("seca.") {
        Some(provider) => format!("foundation.{provider}.yaml"),
        None => format!("extensions.{name}.yaml"),
    };
    documents().into_iter().map(|(name, document)| (file(&name), serde_json::to_value(document).unwrap())).collect()
}

fn differences(ours: &[(String, Value)]) -> BTreeSet<String> {
    let mut documents = Documents::seca();
    for (file, document) in ours {
        documents.insert(&format!("our {file}"), document.clone());
    }
    let mut comparison = Comparison::new(documents);
    for (file, _) in ours {
        comparison.documents(file, &format!("our {file}"));
    }
    comparison.differences
}

#[test]
fn the_documents_agree_with_the_specification() {
    let found = differences(&pairs());
    let justified: BTreeSet<_> = JUSTIFIED.iter().map(|(difference, _)| (*difference).to_owned()).collect();
    let unjustified: Vec<_> = found.difference(&justified).collect();
    let gone: Vec<_> = justified.difference(&found).collect();
    assert!(unjustified.is_empty() && gone.is_empty(), "not justified: {unjustified:#?}\nno longer found: {gone:#?}");
    println!("{} justified differences from the specification", found.len());
}

#[test]
fn every_justification_names_its_place_in_the_reference() {
    let mut seen = BTreeSet::new();
    for (difference, reason) in JUSTIFIED {
        assert!(seen.insert(difference), "{difference} stands twice");
        let (place, why) = reason.split_once(": ").expect(reason);
        let numbers = place.strip_prefix('§').expect(reason).split('.');
        assert!(numbers.count() == 2 && !why.is_empty(), "{reason}");
    }
}

#[test]
fn every_kind_of_change_to_a_document_is_noticed() {
    let instances = "/paths/~1v1~1tenants~1{tenant}~1workspaces~1{workspace}~1instances";
    let changes = [
        ("/components/schemas/InstanceSpec/properties/zone/maxLength".to_owned(), json!(33)),
        ("/components/schemas/InstanceSpec/properties/zone/x-immutable".to_owned(), json!(false)),
        ("/components/schemas/InstanceSpec/properties/sshKeys/items/minLength".to_owned(), json!(2)),
        ("/components/schemas/InstanceSpec/required".to_owned(), json!(["skuRef", "zone"])),
        ("/components/schemas/InstanceStatus/allOf/1/properties/powerState/enum".to_owned(), json!(["on"])),
        ("/components/schemas/InstanceSkuSpec/properties/ram/maximum".to_owned(), json!(1)),
        ("/components/schemas/RegionalWorkspaceResourceMetadata/properties/name/pattern".to_owned(), json!(".*")),
        ("/components/schemas/RegionalWorkspaceResourceMetadata/readOnly".to_owned(), json!(false)),
        ("/components/schemas/StatusCondition/properties/lastTransitionAt/format".to_owned(), json!("date")),
        ("/components/schemas/Error/properties/sources/maxItems".to_owned(), json!(31)),
        ("/components/schemas/Reference/properties/resource".to_owned(), json!({"type": "integer"})),
        (format!("{instances}/get/parameters"), json!([])),
        (format!("{instances}/get/operationId"), json!("listVms")),
        (format!("{instances}/get/responses"), json!({})),
        (format!("{instances}/get/parameters/4/schema/maximum"), json!(1)),
        (format!("{instances}~1{{name}}/put/requestBody/required"), json!(false)),
        (format!("{instances}~1{{name}}/put"), Value::Null),
        (instances.to_owned(), Value::Null),
        ("/security".to_owned(), json!([])),
    ];
    let pair: Vec<_> = pairs().into_iter().filter(|(file, _)| file == "foundation.compute.v1.yaml").collect();
    let unchanged = differences(&pair);
    for (pointer, value) in changes {
        let mut changed = pair.clone();
        let document = &mut changed[0].1;
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/");
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
            Value::Object(members) if value.is_null() => members.remove(&name),
            parent => parent.get_mut(&name).map(|member| std::mem::replace(member, value)),
        }
        .unwrap_or_else(|| panic!("nothing at {pointer}"));
        assert_ne!(differences(&changed), unchanged, "{pointer}");
    }
}

#[test]
fn every_component_is_used_and_every_reference_leads_to_one() {
    for (name, document) in documents() {
        let text = document.to_json().unwrap();
        let document = serde_json::to_value(document).unwrap();
        for group in ["schemas", "responses"] {
            for component in document["components"][group].as_object().unwrap().keys() {
                let reference = format!("\"#/components/{group}/{component}\"");
                assert!(text.contains(&reference), "{name}: nothing refers to {reference}");
            }
        }
        for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
            assert!(document.pointer(reference).is_some(), "{name}: nothing at {reference}");
        }
    }
}

#[test]
fn every_kind_that_clients_write_has_a_table() {
    for kind in Kind::ALL {
        assert_eq!(spec_schema(kind).is_some(), !kind.is_catalog(), "{kind}");
    }
}
