//! The decision, condition by condition.

use super::*;
use crate::service::Within;

#[test]
fn a_pattern_covers_what_it_says() {
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("compute", "*", &["instances", "instances/a", "skus", "skus/a"], &[]),
        ("compute", "instances/*", &["instances", "instances/a"], &["skus", "skus/a"]),
        ("compute", "instances", &["instances", "instances/a"], &["skus"]),
        ("compute", "instances/a", &["instances/a"], &["instances", "instances/ab", "skus/a"]),
        ("compute", "instances/web-*", &["instances/web-1", "instances/web-"], &["instances", "instances/web"]),
        ("compute", "instances/*b*c", &["instances/abbc", "instances/bcc"], &["instances/acb", "instances/ab"]),
        ("compute", "*/a", &["instances/a", "skus/a"], &["instances", "instances/b"]),
        ("compute", "instances/**", &["instances", "instances/a"], &["skus"]),
        ("network", "*", &["networks/n/subnets", "networks/n/subnets/x", "nics", "networks/n"], &[]),
        ("network", "networks/*", &["networks", "networks/n"], &["networks/n/subnets", "networks/n/subnets/x"]),
        ("network", "networks", &["networks", "networks/n"], &["networks/n/subnets", "networks/n/route-tables/x"]),
        ("network", "networks/n", &["networks/n"], &["networks", "networks/n/subnets", "networks/n/subnets/x"]),
        ("network", "subnets/x", &["networks/n/subnets/x", "networks/m/subnets/x"], &["networks/n/subnets"]),
        ("network", "subnets/*", &["networks/n/subnets/x", "networks/n/subnets"], &["networks/n/route-tables/x"]),
        ("network", "subnets", &["networks/n/subnets/x", "networks/n/subnets"], &["networks/n", "nics/x"]),
        ("network", "networks/n/subnets/x", &["networks/n/subnets/x"], &["networks/m/subnets/x", "networks/n/subnets"]),
        ("network", "networks/n/subnets/*", &["networks/n/subnets", "networks/n/subnets/x"], &["networks/m/subnets"]),
        ("network", "networks/n/subnets", &["networks/n/subnets", "networks/n/subnets/x"], &["networks/n"]),
        ("network", "networks/*/subnets/*", &["networks/n/subnets", "networks/m/subnets/x"], &["networks/n"]),
        ("network", "networks/*/subnets", &["networks/n/subnets"], &["networks/n/route-tables", "networks"]),
        ("network", "networks/*/*", &["networks/n/subnets/x", "networks/n/route-tables"], &["networks/n"]),
        ("network", "route-tables/x", &["networks/n/route-tables/x"], &["networks/n/subnets/x"]),
        ("compute", "clusters/*", &[], &["instances", "instances/a"]),
        ("compute", "instances/", &[], &["instances", "instances/a"]),
        ("compute", "/instances", &[], &["instances", "instances/a"]),
        ("compute", "instances/a/start", &[], &["instances", "instances/a"]),
        ("compute", "networks/n/instances/a", &[], &["instances/a"]),
        ("compute", "instances/a/b/c/d", &[], &["instances", "instances/a"]),
        ("compute", "Instances", &[], &["instances/a"]),
    ];
    for (provider, pattern, covered, not) in cases {
        let rows = Rows::one(json!({}), &[&format!("{provider} {pattern} get,list")]);
        let asks = |resources: &[&str]| -> Vec<String> {
            let verb = |resource: &str| if resource.split('/').count() % 2 == 1 { "list" } else { "get" };
            resources.iter().map(|r| format!("{} {provider} {r} @ t/fsn1/w", verb(r))).collect()
        };
        check(&rows, &asks(covered), &asks(not));
    }
}

#[test]
fn a_provider_is_one_with_and_without_its_version() {
    for provider in ["seca.compute", "seca.compute/v1"] {
        let mut rows = Rows::one(json!({}), &[]);
        rows.roles[0].2 =
            json!({"permissions": [{"provider": provider, "resources": ["*"], "verb": ["get"]}]}).to_string();
        check(&rows, &["get compute skus/a @ t/fsn1"], &["get storage skus/a @ t/fsn1", "get network skus/a @ t/fsn1"]);
    }
    for provider in ["seca.compute/v2", "compute", "*", ""] {
        let mut rows = Rows::one(json!({}), &[]);
        rows.roles[0].2 =
            json!({"permissions": [{"provider": provider, "resources": ["*"], "verb": ["get"]}]}).to_string();
        check::<&str>(&rows, &[], &["get compute skus/a @ t/fsn1"]);
    }
}

#[test]
fn a_verb_is_meant_in_any_case_and_none_implies_another() {
    const ASKS: [&str; 5] = [
        "get compute instances/a @ t/fsn1/w",
        "list compute instances @ t/fsn1/w",
        "put compute instances/a @ t/fsn1/w",
        "delete compute instances/a @ t/fsn1/w",
        "post compute instances/a @ t/fsn1/w",
    ];
    for (index, verbs) in ["GET", "List", "pUT", "delete", "POST"].into_iter().enumerate() {
        let others: Vec<_> = ASKS.into_iter().enumerate().filter(|(i, _)| *i != index).map(|(_, ask)| ask).collect();
        check(&Rows::one(json!({}), &[&format!("compute * {verbs}")]), &[ASKS[index]], &others);
    }
    check(&Rows::one(json!({}), &["compute * connect,post.start,*"]), &[], &ASKS);
}

#[test]
fn only_collections_are_listed_and_nothing_else_is_done_to_them() {
    let rows = Rows::one(json!({}), &["compute * get,list,put,delete,post"]);
    check::<&str>(&rows, &[], &["put compute instances @ t/fsn1/w", "list compute instances/a @ t/fsn1/w"]);
}

#[test]
fn a_scope_restricts_what_it_names() {
    const ALL: &str = "get,list,put,delete,post";
    let permissions: Vec<String> = ["region", "authorization", "workspace", "storage", "compute", "network"]
        .map(|p| format!("{p} * {ALL}"))
        .into();
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    let tenant_level = &[
        "get region regions/fsn1 @ ",
        "list region regions @ ",
        "list workspace workspaces @ t/fsn1",
        "put storage images/i @ t/fsn1",
        "list compute skus @ t/fsn1",
    ];
    let authorization = &[
        "put authorization roles/r @ t",
        "list authorization roles @ t",
        "get authorization role-assignments/r @ t",
        "delete authorization role-assignments/r @ t",
    ];
    let in_w =
        &["put compute instances/a @ t/fsn1/w", "list network nics @ t/fsn1/w", "put workspace workspaces/w @ t/fsn1"];
    let in_v =
        &["put compute instances/a @ t/fsn1/v", "list network nics @ t/fsn1/v", "put workspace workspaces/v @ t/fsn1"];
    let in_nbg1 =
        &["put compute instances/a @ t/nbg1/w", "put storage images/i @ t/nbg1", "list workspace workspaces @ t/nbg1"];
    let elsewhere: &[&str] = &["put compute instances/a @ u/fsn1/w", "put authorization roles/r @ u"];
    let all: Vec<&str> = [&tenant_level[..], authorization, in_w, in_v, in_nbg1].concat();
    let fsn1 = [&tenant_level[..], in_w, in_v].concat();
    let w = [&tenant_level[..], in_w].concat();
    let cases: &[(Value, &[&str])] = &[
        (json!([{}]), &all),
        (json!([{"tenants": [], "regions": [], "workspaces": null}]), &all),
        (json!([{"tenants": ["t"]}]), &all),
        (json!([{"tenants": ["u", "*"]}]), &all),
        (json!([{"tenants": ["u"]}]), &[]),
        (json!([]), &[]),
        (json!([{"regions": ["fsn1"]}]), &fsn1),
        (json!([{"regions": ["fsn1"], "workspaces": ["w"]}]), &w),
        (json!([{"workspaces": ["*"]}]), &[&tenant_level[..], &in_nbg1[1..]].concat()),
        (json!([{"tenants": ["u"]}, {"regions": ["fsn1"]}]), &fsn1),
        (json!([{"regions": ["fsn1"], "workspaces": ["w"]}, {"regions": ["fsn1"], "workspaces": ["v"]}]), &fsn1),
        // Two scopes are not one: neither opens `v` in fsn1.
        (json!([{"regions": ["fsn1"], "workspaces": ["w"]}, {"regions": ["hel1"], "workspaces": ["v"]}]), &w),
        // An unconfined scope among confined ones reaches roles.
        (json!([{"regions": ["fsn1"]}, {}]), &all),
    ];
    for (scopes, allowed) in cases {
        let spec = assignment_spec(&["alice"], scopes.clone(), &["r"]);
        let rows = Rows::default().role("t", "r", &permissions).assignment("t", &spec);
        let denied: Vec<&str> = all.iter().chain(elsewhere).copied().filter(|ask| !allowed.contains(ask)).collect();
        check(&rows, allowed, &denied);
    }
}

#[test]
fn a_place_that_was_forgotten_matches_nothing() {
    let rows = Rows::one(json!({"regions": ["fsn1"], "workspaces": ["w"]}), &["compute * get"]);
    check::<&str>(&rows, &[], &["get compute instances/a @ t/fsn1/", "get compute instances/a @ t//w"]);
}

#[test]
fn subjects_are_named_one_by_one_or_all_at_once() {
    let look = "get compute skus/a @ t/fsn1";
    for (subs, allowed) in [(&["alice"][..], true), (&["bob", "alice"], true), (&["*"], true), (&["bob", "*"], true)]
        .into_iter()
        .chain([(&["bob"][..], false), (&["Alice"], false), (&["ali*"], false), (&[], false), (&[""], false)])
    {
        let rows = Rows::default().role("t", "r", &["compute * get"]);
        let rows = rows.assignment("t", &assignment_spec(subs, json!([{}]), &["r"]));
        assert_eq!(allows(&rows.policy("t"), &Caller::new("alice"), look), allowed, "{subs:?}");
    }
}

#[test]
fn another_tenants_assignment_counts_where_it_opens_the_tenant_and_brings_its_own_roles() {
    let (read, write) = ("get compute skus/a @ t/fsn1", "put compute instances/a @ t/fsn1/w");
    let own = Rows::default().role("t", "r", &["compute * put"]).role("u", "r", &["compute * get"]);
    for (scope, opens) in [(json!({"tenants": ["t"]}), true), (json!({"tenants": ["*"]}), true)].into_iter().chain([
        (json!({}), false),
        (json!({"tenants": ["u"]}), false),
        (json!({"regions": ["fsn1"]}), false),
    ]) {
        let rows = own.clone().assignment("u", &assignment_spec(&["alice"], json!([scope]), &["r"]));
        let all = [read, write];
        let (allowed, denied) = all.split_at(usize::from(opens));
        check(&rows, allowed, denied);
    }
    // A scope that opens the tenant does not open it for the places of one that does not.
    let scopes = json!([{"tenants": ["t"], "workspaces": ["w"]}, {}]);
    let rows = Rows::default().role("u", "r", &["compute * put"]);
    let rows = rows.assignment("u", &assignment_spec(&["alice"], scopes, &["r"]));
    check(&rows, &[write], &["put compute instances/a @ t/fsn1/v"]);
}

#[test]
fn system_roles_are_there_without_rows_and_missing_roles_grant_nothing() {
    let rows = |roles: &[&str]| {
        let shadow = Rows::default().role("t", "seca.admin", &["compute skus/only get"]).role(
            "t",
            "seca.mine",
            &["compute * put"],
        );
        shadow.assignment("t", &assignment_spec(&["alice"], json!([{}]), roles))
    };
    let (look, change) = ("get compute instances/a @ t/fsn1/w", "put compute instances/a @ t/fsn1/w");
    let roles = "put authorization roles/r @ t";
    let workspace = "delete workspace workspaces/w @ t/fsn1";
    check(&rows(&["seca.admin"]), &[look, change, roles, workspace], &[]);
    check(&rows(&["seca.region-admin"]), &[look, change, workspace], &[roles]);
    check(
        &rows(&["seca.workspace-admin"]),
        &[look, change, "put workspace workspaces/w @ t/fsn1"],
        &[roles, workspace],
    );
    check(
        &rows(&["seca.workspace-editor"]),
        &[look, change],
        &[roles, workspace, "delete compute instances/a @ t/fsn1/w"],
    );
    check(&rows(&["seca.workspace-viewer"]), &[look, "list network networks/n/subnets @ t/fsn1/w"], &[change, roles]);
    check(&rows(&["seca.mine", "seca.viewer", "nowhere"]), &[], &[look, change]);
    check(&rows(&["nowhere", "seca.workspace-viewer"]), &[look], &[change]);
    check(&rows(&[]), &[], &[look]);
}

#[test]
fn what_cannot_be_read_grants_nothing_and_is_named() {
    let mut rows = Rows::one(json!({}), &["compute * get"]).role("t", "odd", &[]).role("t", "unused", &[]);
    rows = rows.assignment("t", &assignment_spec(&["alice"], json!([{}]), &["odd", "seca.workspace-viewer"]));
    rows = rows.assignment("u", &json!({}));
    rows.roles[0].2 = "{".to_owned();
    rows.roles[1].2 = "[]".to_owned();
    let policy = rows.policy("t");
    let urns = [
        "seca.authorization/v1/tenants/u/role-assignments/a2",
        "seca.authorization/v1/tenants/t/roles/r",
        "seca.authorization/v1/tenants/t/roles/odd",
    ];
    assert_eq!(policy.unreadable(), urns);
    check(&rows, &["get compute skus/a @ t/fsn1"], &["put compute instances/a @ t/fsn1/w"]);
}

#[test]
fn a_decision_names_what_allows_it() {
    let spec = assignment_spec(&["alice"], json!([{"regions": ["hel1"]}, {}]), &["nowhere", "r"]);
    let rows = Rows::default().role("t", "r", &["compute * get", "compute skus get,list"]).assignment("t", &spec);
    let (policy, alice) = (rows.policy("t"), Caller::new("alice"));
    let (verb, key) = ask("list compute skus @ t/fsn1");
    let assignment = AssignmentId { tenant: "t", name: "a0", uid: Uid(Uuid::from_u128(0)), bound: None };
    let grant = Grant { assignment, scope: 1, role: "r", permission: 1 };
    assert_eq!(policy.decide(&alice, &Ask { verb, key: &key }), Decision::Allowed(grant));
}

#[test]
fn a_credential_narrows() {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let rows = Rows::default().assignment("t", &assignment_spec(&["alice"], json!([{}]), &["seca.admin"]));
    let policy = rows.policy("t");
    let (roles, images) = ("get authorization roles/r @ t", "put storage images/i @ t/fsn1");
    let (instance, workspace) = ("put compute instances/a @ t/fsn1/w", "get workspace workspaces/w @ t/fsn1");
    let workspaces = "list workspace workspaces @ t/fsn1";
    let all = [roles, images, instance, workspace, workspaces];
    let cases: [(Within, &[&str]); 10] = [
        (Within::default(), &all),
        (Within { tenants: names(&["t", "u"]), ..Within::default() }, &all),
        (Within { tenants: names(&["u"]), ..Within::default() }, &[]),
        (Within { tenants: names(&[]), ..Within::default() }, &[]),
        (Within { regions: names(&["fsn1"]), ..Within::default() }, &all[1..]),
        (Within { regions: names(&["nbg1"]), ..Within::default() }, &[]),
        (Within { regions: names(&[]), ..Within::default() }, &[]),
        (Within { workspaces: names(&["w"]), ..Within::default() }, &all[1..]),
        (Within { workspaces: names(&["v"]), ..Within::default() }, &[images, workspaces]),
        (Within { workspaces: names(&[]), ..Within::default() }, &[images, workspaces]),
    ];
    for (within, allowed) in cases {
        let caller = Caller { within, ..Caller::new("alice") };
        for text in all {
            assert_eq!(allows(&policy, &caller, text), allowed.contains(&text), "{text} by {caller:?}");
        }
        // It gives nothing of its own.
        assert!(!allows(&policy, &Caller { subject: "bob".to_owned(), ..caller }, instance));
    }
}
