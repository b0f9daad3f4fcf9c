//! No one can grant what they do not have.

use super::*;
use crate::service::Within;

fn wanted(scopes: Value, permissions: &[&str]) -> Vec<Wanted> {
    let spec = serde_json::from_value(assignment_spec(&["bob"], scopes, &["new"])).unwrap();
    let role: seca_api::RoleSpec = serde_json::from_value(role_spec(permissions)).unwrap();
    let found = Wanted::of_assignment("t", &spec, |name| (name == "new").then(|| role.clone()));
    assert_eq!(found, Wanted::of_role("t", &role, [&spec]), "an assignment hands out what its role does");
    found
}

/// What the first of the policies that are asked misses.
fn missing(rows: &Rows, caller: &Caller, wanted: &[Wanted]) -> Option<String> {
    let judge = |wanted: &Wanted| {
        let tenant = if let WantedTenant::Named(tenant) = wanted.tenant() { tenant } else { "t" };
        rows.policy(tenant).holds(caller, wanted).err()
    };
    wanted.iter().find_map(judge).map(|missing| missing.to_string())
}

#[test]
fn a_pattern_is_held_by_one_that_contains_it() {
    // Held, wanted, whether it is.
    let cases = [
        ("compute *", "compute *", true),
        ("compute *", "compute instances/*", true),
        ("compute *", "compute instances/web-*", true),
        ("compute instances/*,skus", "compute *", true),
        ("compute instances/*", "compute *", false),
        ("compute instances/*", "compute instances", true),
        ("compute instances", "compute instances/*", true),
        ("compute instances/*", "compute instances/web-1", true),
        ("compute instances/*", "compute instances/web-*", true),
        ("compute instances/web-*", "compute instances/web-1*", true),
        ("compute instances/web-*", "compute instances/web-*-a", true),
        ("compute instances/*-a", "compute instances/web-*-a", true),
        ("compute instances/web-*", "compute instances/web-1", true),
        ("compute instances/web-1", "compute instances/web-1", true),
        ("compute instances/web-*", "compute instances/*", false),
        ("compute instances/web-*", "compute instances/w*", false),
        ("compute instances/web-1*", "compute instances/web-*", false),
        ("compute instances/*-a", "compute instances/web-*", false),
        ("compute instances/web-1", "compute instances/web-*", false),
        ("compute skus/*", "compute instances/a", false),
        ("storage *", "compute *", false),
        ("storage skus", "compute skus", false),
        ("network subnets/*", "network networks/n/subnets/x", true),
        ("network subnets/*", "network networks/*/subnets/*", true),
        ("network networks/*/subnets/*", "network subnets/*", true),
        ("network networks/*/subnets", "network subnets", true),
        ("network networks/n/subnets/*", "network networks/n/subnets/x", true),
        ("network networks/n*/subnets/*", "network networks/n/subnets/x", true),
        ("network networks/n/subnets/*", "network subnets/x", false),
        ("network networks/n/subnets/*", "network networks/*/subnets/x", false),
        ("network networks/n/subnets/*", "network networks/m/subnets/x", false),
        ("network subnets/x", "network networks/n/subnets/*", false),
        ("network subnets/x", "network networks/n/subnets/x", true),
        ("network networks/*", "network networks/n/subnets/x", false),
        ("network networks/*", "network networks/*/subnets", false),
        ("network networks/*/*", "network subnets,route-tables/*", true),
        // What no release knows yet takes all of the provider.
        ("compute instances", "compute clusters/*", false),
        ("compute instances/*,skus/*", "compute clusters/*", true),
        ("compute instances", "compute instances/a/b", false),
    ];
    for (held, want, expect) in cases {
        let rows = Rows::one(json!({}), &[&format!("{held} get,list,put")]);
        let wanted = wanted(json!([{}]), &[&format!("{want} PUT,list")]);
        let found = missing(&rows, &Caller::new("alice"), &wanted);
        assert_eq!(found.is_none(), expect, "{held} holds {want}: {found:?}");
    }
}

#[test]
fn a_verb_is_held_by_name() {
    let rows = Rows::one(json!({}), &["compute * GET,list", "compute instances put", "compute skus/* post"]);
    for (want, expect) in [
        ("compute * get", None),
        ("compute instances get,put,list", None),
        ("compute instances post", Some("post on instances of seca.compute in tenant t, region *, workspace *")),
        ("compute * get,put", Some("put on * of seca.compute in tenant t, region *, workspace *")),
        ("compute skus/a delete,post", Some("delete on skus/a of seca.compute in tenant t, region *, workspace *")),
        // Words that are no verb hand out nothing.
        ("compute * connect", None),
    ] {
        let found = missing(&rows, &Caller::new("alice"), &wanted(json!([{}]), &[want]));
        assert_eq!(found.as_deref(), expect, "{want}");
    }
}

#[test]
fn a_place_is_held_by_a_scope_that_contains_it() {
    let own = |region: &str, workspace: &str| Some(format!("tenant t, region {region}, workspace {workspace}"));
    let cases = [
        (json!([{}]), json!([{}]), None),
        (json!([{}]), json!([{"regions": ["a"], "workspaces": ["w", "v"]}]), None),
        (json!([{"regions": ["a", "b"]}]), json!([{"regions": ["a"]}]), None),
        (json!([{"regions": ["a", "b"]}]), json!([{"regions": ["a"], "workspaces": ["w"]}]), None),
        (json!([{"regions": ["a", "b"]}]), json!([{"regions": ["a", "b", "c"]}]), own("c", "*")),
        (json!([{"regions": ["a", "b"]}]), json!([{"workspaces": ["w"]}]), own("*", "w")),
        (json!([{"workspaces": ["w"]}]), json!([{}]), own("*", "*")),
        (json!([{"workspaces": ["w"]}]), json!([{"workspaces": ["w"]}, {"workspaces": ["v"]}]), own("*", "v")),
        // One place after another may be held by one scope after another, but all regions by none.
        (json!([{"workspaces": ["w"]}, {"workspaces": ["v"]}]), json!([{"workspaces": ["v", "w"]}]), None),
        (json!([{"regions": ["a"]}, {"regions": ["b"]}]), json!([{"regions": ["a", "b"]}]), None),
        (
            json!([{"regions": ["a"]}, {"workspaces": ["w"]}]),
            json!([{"regions": ["a", "b"], "workspaces": ["w", "v"]}]),
            own("b", "v"),
        ),
        (json!([{"regions": ["a"]}, {"regions": ["b"]}]), json!([{}]), own("*", "*")),
        (
            json!([{"regions": ["a"], "workspaces": ["w"]}, {"regions": ["b"], "workspaces": ["v"]}]),
            json!([{"regions": ["a"], "workspaces": ["v"]}]),
            own("a", "v"),
        ),
        (json!([{"tenants": ["t"]}]), json!([{}]), None),
        (json!([{"tenants": ["*"]}]), json!([{"tenants": ["t"]}]), None),
        (json!([{"tenants": ["*"]}]), json!([{"tenants": ["u", "t"]}]), None),
        (json!([{"tenants": ["*"]}]), json!([{"tenants": ["*"]}]), None),
        (json!([{"tenants": ["t", "u"]}]), json!([{"tenants": ["t", "u"]}]), None),
        (
            json!([{"tenants": ["t", "u"]}]),
            json!([{"tenants": ["*"]}]),
            Some("tenant *, region *, workspace *".to_owned()),
        ),
        (json!([{}]), json!([{"tenants": ["*"]}]), Some("tenant *, region *, workspace *".to_owned())),
        (json!([{}]), json!([{"tenants": ["t", "u"]}]), Some("tenant u, region *, workspace *".to_owned())),
        (
            json!([{"tenants": ["*"], "regions": ["a"]}, {}]),
            json!([{"tenants": ["*"]}]),
            Some("tenant *, region *, workspace *".to_owned()),
        ),
        (json!([{"tenants": ["u"]}]), json!([{}]), own("*", "*")),
    ];
    for (held, scopes, expect) in cases {
        let spec = assignment_spec(&["alice"], held.clone(), &["r"]);
        let rows = Rows::default().role("t", "r", &["compute * put"]).assignment("t", &spec);
        let found = missing(&rows, &Caller::new("alice"), &wanted(scopes.clone(), &["compute * put"]));
        let expect = expect.map(|place| format!("put on * of seca.compute in {place}"));
        assert_eq!(found, expect, "{held} holds {scopes}");
        // Who is not named holds nothing, and what is nothing is held by all.
        assert!(missing(&rows, &Caller::new("bob"), &wanted(scopes.clone(), &["compute * put"])).is_some());
        assert_eq!(missing(&rows, &Caller::new("bob"), &wanted(scopes, &["compute * connect"])), None);
    }
}

#[test]
fn rights_on_roles_are_held_in_the_whole_tenant_only() {
    for (held, expect) in
        [(json!([{"regions": ["a"]}]), false), (json!([{}]), true), (json!([{"regions": ["a"]}, {}]), true)]
    {
        let spec = assignment_spec(&["alice"], held.clone(), &["seca.admin"]);
        let rows = Rows::default().assignment("t", &spec);
        let alice = Caller::new("alice");
        let roles = wanted(json!([{"regions": ["a"]}]), &["authorization roles get"]);
        assert_eq!(missing(&rows, &alice, &roles).is_none(), expect, "{held}");
        assert_eq!(missing(&rows, &alice, &wanted(json!([{"regions": ["a"]}]), &["compute * get"])), None);
    }
}

#[test]
fn a_credential_bounds_what_is_held() {
    let names = |name: &str| Some([name.to_owned()].into());
    let rows =
        Rows::default().assignment("t", &assignment_spec(&["alice"], json!([{"tenants": ["*"]}]), &["seca.admin"]));
    let cases = [
        (Within { tenants: names("t"), ..Within::default() }, json!([{}]), true),
        (Within { tenants: names("t"), ..Within::default() }, json!([{"tenants": ["u"]}]), false),
        (Within { tenants: names("t"), ..Within::default() }, json!([{"tenants": ["*"]}]), false),
        (Within { tenants: names("u"), ..Within::default() }, json!([{}]), false),
        (Within { regions: names("a"), ..Within::default() }, json!([{"regions": ["a"]}]), true),
        (Within { regions: names("a"), ..Within::default() }, json!([{"regions": ["a", "b"]}]), false),
        (Within { regions: names("a"), ..Within::default() }, json!([{}]), false),
        (Within { workspaces: names("w"), ..Within::default() }, json!([{"workspaces": ["w"]}]), true),
        (Within { workspaces: names("w"), ..Within::default() }, json!([{"workspaces": ["v"]}]), false),
        (Within { workspaces: names("w"), ..Within::default() }, json!([{}]), false),
    ];
    for (within, scopes, expect) in cases {
        let caller = Caller { within, ..Caller::new("alice") };
        let found = missing(&rows, &caller, &wanted(scopes.clone(), &["compute * get"]));
        assert_eq!(found.is_none(), expect, "{scopes} by {caller:?}: {found:?}");
        let roles = missing(&rows, &caller, &wanted(scopes.clone(), &["authorization * get"]));
        assert_eq!(roles.is_none(), expect && caller.within.tenants.is_some(), "{scopes} by {caller:?}");
    }
}

#[test]
fn a_policy_answers_for_its_own_tenant() {
    let rows = Rows::one(json!({"tenants": ["*"]}), &["compute * get"]);
    let [wanted] = &wanted(json!([{"tenants": ["u"]}]), &["compute * get"])[..] else { panic!("one tenant") };
    let alice = Caller::new("alice");
    assert_eq!(rows.policy("u").holds(&alice, wanted), Ok(()));
    assert!(rows.policy("t").holds(&alice, wanted).is_err());
}

#[test]
fn system_roles_are_known_and_missing_roles_hand_out_nothing() {
    let spec = |roles: &[&str]| serde_json::from_value(assignment_spec(&["bob"], json!([{}]), roles)).unwrap();
    let rows = Rows::one(json!({}), &["compute * get,list,put,delete,post"]);
    let alice = Caller::new("alice");
    let judge = |roles: &[&str]| missing(&rows, &alice, &Wanted::of_assignment("t", &spec(roles), |_| None));
    assert_eq!(judge(&["nowhere"]), None);
    let expect = "get on regions/* of seca.region in tenant t, region *, workspace *";
    assert_eq!(judge(&["nowhere", "seca.workspace-viewer"]).as_deref(), Some(expect));
    let admin = Rows::default().assignment("t", &assignment_spec(&["alice"], json!([{}]), &["seca.admin"]));
    for role in seca_api::SYSTEM_ROLES {
        assert_eq!(missing(&admin, &alice, &Wanted::of_assignment("t", &spec(&[role.name]), |_| None)), None);
    }
}

/// A hostile assignment is judged by what differs, not by the product of its lists.
#[test]
fn many_places_and_patterns_are_judged_quickly() {
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let scope = json!({"regions": names("r", 64), "workspaces": names("w", 256)});
    let patterns: Vec<_> = names("instances/i", 256);
    let want = wanted(json!(vec![scope.clone(); 64]), &[&format!("compute {} get", patterns.join(","))]);
    assert_eq!(want[0].tenant(), &WantedTenant::Named("t".to_owned()));
    let spec = assignment_spec(&["alice"], json!([scope, {"regions": ["r1"]}]), &["seca.workspace-viewer"]);
    let rows = Rows::default().assignment("t", &spec);
    assert_eq!(missing(&rows, &Caller::new("alice"), &want), None);
}
