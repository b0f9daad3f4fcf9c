//! Explanations.

use std::collections::BTreeSet;

use super::*;
use crate::service::Within;

/// The condition that the one assignment fails.
fn unmet(scopes: Value, permissions: &[&str], text: &str) -> Value {
    let spec = assignment_spec(&["alice"], scopes, &["r"]);
    let rows = Rows::default().role("t", "r", permissions).assignment("t", &spec);
    let (verb, key) = ask(text);
    let policy = rows.policy("t");
    let explanation = policy.explain(&Caller::new("alice"), &Ask { verb, key: &key });
    assert!(!explanation.allowed);
    serde_json::to_value(&explanation.assignments[0]).unwrap()["unmet"].take()
}

#[test]
fn a_denial_names_the_condition_that_came_nearest() {
    let put = "put compute instances/a @ t/fsn1/w";
    let cases: &[(Value, &[&str], &str, &str)] = &[
        (json!([{"tenants": ["u"]}]), &["compute * put"], put, "tenant"),
        (json!([]), &["compute * put"], put, "tenant"),
        (json!([{"regions": ["nbg1"], "workspaces": ["v"]}]), &["compute * put"], put, "region"),
        (json!([{"regions": ["nbg1"]}, {"tenants": ["u"]}]), &["compute * put"], put, "region"),
        (json!([{"regions": ["nbg1"]}, {"workspaces": ["v"]}]), &["compute * put"], put, "workspace"),
        (json!([{"workspaces": ["w"]}]), &["authorization * put"], "put authorization roles/r @ t", "unconfined"),
        (json!([{}]), &[], put, "provider"),
        (json!([{}]), &["storage * put", "network * put"], put, "provider"),
        (json!([{}]), &["storage * put", "compute skus/* put"], put, "resource"),
        (json!([{}]), &["compute * get,list,post,delete", "compute skus put"], put, "verb"),
        (json!([{}]), &["compute * put"], "list compute instances @ t/fsn1/w", "verb"),
    ];
    for (scopes, permissions, text, expect) in cases {
        assert_eq!(unmet(scopes.clone(), permissions, text), *expect, "{scopes} {permissions:?} {text}");
    }
}

#[test]
fn it_reads_as_json() {
    let rows = Rows::default()
        .role("t", "r", &["compute * get", "compute skus list"])
        .assignment("t", &assignment_spec(&["alice"], json!([{}]), &["nowhere"]))
        .assignment("t", &assignment_spec(&["bob"], json!([{}]), &["r"]))
        .assignment(
            "u",
            &assignment_spec(&["*"], json!([{"tenants": ["u"]}, {"tenants": ["*"]}]), &["seca.workspace-viewer"]),
        )
        .assignment("u", &assignment_spec(&["alice"], json!([{}]), &["seca.admin"]));
    let policy = rows.policy("t");
    let (verb, key) = ask("list compute skus @ t/fsn1");
    let uid = |index: u128| Uid(Uuid::from_u128(index));
    let caller = Caller {
        within: Within { regions: Some(BTreeSet::from(["nbg1".to_owned()])), ..Within::default() },
        ..Caller::new("alice")
    };
    let found = serde_json::to_value(policy.explain(&caller, &Ask { verb, key: &key })).unwrap();
    let expect = json!({
        "subject": "alice",
        "verb": "list",
        "resource": "seca.compute/v1/tenants/t/skus/",
        "region": "fsn1",
        "allowed": false,
        "confinedByCredential": "region",
        "assignments": [
            {"tenant": "t", "roleAssignment": "a0", "uid": uid(0), "unmet": "role", "missingRoles": ["nowhere"]},
            {"tenant": "u", "roleAssignment": "a2", "uid": uid(2),
             "allows": {"scope": 1, "role": "seca.workspace-viewer", "permission": 2}},
        ],
    });
    assert_eq!(found, expect);
}

#[test]
fn nobody_named_and_another_tenant_leave_no_findings() {
    let rows = Rows::one(json!({"tenants": ["*"]}), &["compute * get"]);
    let policy = rows.policy("t");
    for (subject, text) in [("bob", "get compute skus/a @ t/fsn1"), ("alice", "get compute skus/a @ u/fsn1")] {
        let (verb, key) = ask(text);
        let explanation = policy.explain(&Caller::new(subject), &Ask { verb, key: &key });
        assert!(!explanation.allowed);
        assert_eq!(explanation.assignments, []);
    }
}
