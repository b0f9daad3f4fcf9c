//! What holds whatever the rows: over generated roles, assignments and credentials, and every ask of a small world.

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::{prelude::*, sample::subsequence};

use super::{
    super::{glob::Glob, pattern::Pattern},
    *,
};
use crate::service::Within;

const TENANTS: [&str; 2] = ["t", "u"];

/// Every ask of two tenants, regions, workspaces and networks.
static ASKS: LazyLock<Vec<(&'static str, ResourceKey)>> = LazyLock::new(|| {
    let mut asks = BTreeSet::new();
    for kind in Kind::ALL {
        for index in 0..16 {
            let pick = |bit: usize, words: [&str; 2], has: bool| {
                if has { words[index >> bit & 1].to_owned() } else { String::new() }
            };
            let scope = kind.scope();
            let mut key = ResourceKey {
                tenant: pick(0, TENANTS, scope != Scope::Global),
                region: pick(1, ["a", "b"], !kind.provider().is_global()),
                kind,
                workspace: pick(2, ["w", "v"], matches!(scope, Scope::Workspace | Scope::Network)),
                network: pick(3, ["n", "m"], scope == Scope::Network),
                name: String::new(),
            };
            asks.insert(("list", key.clone()));
            for name in ["w", "x", "xy"] {
                name.clone_into(&mut key.name);
                asks.extend(["get", "put", "post"].map(|verb| (verb, key.clone())));
            }
        }
    }
    asks.into_iter().collect()
});

fn words(from: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(from, least..=from.len().min(least + 2))
}

/// A permission as [`permission`] reads it.
fn permissions() -> impl Strategy<Value = String> {
    let verbs = words(&["get", "list", "put", "post"], 1);
    let of = |provider: &'static str, resources: &'static [&'static str]| {
        words(resources, 1).prop_map(move |resources| format!("{provider} {}", resources.join(",")))
    };
    let resources = prop_oneof![
        of("authorization", &["*", "roles", "roles/x", "role-assignments/*"]),
        of("workspace", &["*", "workspaces/w", "workspaces/*"]),
        of("storage", &["*", "images/*", "images/x*", "block-storages", "skus/x"]),
        of(
            "compute",
            &["*", "instances", "instances/*", "instances/x*", "instances/xy", "in*/*y", "clusters/*", "skus"]
        ),
        of("network", &["*", "networks/*", "networks/n", "nics/*"]),
        of(
            "network",
            &["subnets", "subnets/x", "*/x", "networks/*/subnets/*", "networks/n/subnets/*", "networks/*/*/x*"]
        ),
    ];
    (resources, verbs).prop_map(|(resources, verbs)| format!("{resources} {}", verbs.join(",")))
}

fn role() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(permissions(), 1..3)
}

fn scope() -> impl Strategy<Value = Value> {
    let tenants = prop_oneof![4 => Just(vec![]), 1 => words(&["t", "u"], 1), 1 => Just(vec!["*"])];
    let dimension = |all: &'static [&'static str]| prop_oneof![2 => Just(vec![]), 1 => words(all, 1)];
    let places = (tenants, dimension(&["a", "b"]), dimension(&["w", "v"]));
    places.prop_map(
        |(tenants, regions, workspaces)| json!({"tenants": tenants, "regions": regions, "workspaces": workspaces}),
    )
}

fn assignment(subs: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let roles = words(&["r0", "r1", "nowhere", "seca.admin", "seca.region-admin", "seca.workspace-admin"], 1);
    (words(subs, 1), prop::collection::vec(scope(), 1..3), roles)
        .prop_map(|(subs, scopes, roles)| assignment_spec(&subs, json!(scopes), &roles))
}

/// Two roles in each of two tenants, and assignments of either.
fn rows() -> impl Strategy<Value = Rows> {
    let assignments = prop::collection::vec((0..TENANTS.len(), assignment(&["alice", "bob", "*"])), 0..5);
    (prop::collection::vec(role(), 4), assignments).prop_map(|(roles, assignments)| {
        let mut rows = Rows::default();
        for (index, role) in roles.iter().enumerate() {
            let texts: Vec<_> = role.iter().map(String::as_str).collect();
            rows = rows.role(TENANTS[index % 2], ["r0", "r1"][index / 2], &texts);
        }
        assignments.iter().fold(rows, |rows, (tenant, spec)| rows.assignment(TENANTS[*tenant], spec))
    })
}

fn within() -> impl Strategy<Value = Within> {
    let dimension = |all: &'static [&'static str]| {
        let names = words(all, 0).prop_map(|names| names.into_iter().map(str::to_owned).collect());
        prop_oneof![2 => Just(None), 1 => names.prop_map(Some)]
    };
    (dimension(&["t", "u"]), dimension(&["a", "b"]), dimension(&["w", "v"]))
        .prop_map(|(tenants, regions, workspaces)| Within { tenants, regions, workspaces })
}

/// The asks that a policy allows, by their index.
fn allowed(policy: &Policy, caller: &Caller) -> BTreeSet<usize> {
    let may = |(verb, key): &(&'static str, ResourceKey)| policy.decide(caller, &Ask { verb, key }).is_allowed();
    ASKS.iter().enumerate().filter(|(_, ask)| may(ask)).map(|(index, _)| index).collect()
}

/// Whether the caller holds all that is wanted, each asked of the tenant that it is wanted in, or of `own`.
fn holds(rows: &Rows, own: &str, caller: &Caller, wanted: &[Wanted]) -> bool {
    wanted.iter().all(|wanted| {
        let tenant = if let WantedTenant::Named(tenant) = wanted.tenant() { tenant } else { own };
        rows.policy(tenant).holds(caller, wanted).is_ok()
    })
}

/// A first ask that one set has and another has not.
fn beyond(more: &BTreeSet<usize>, less: &BTreeSet<usize>) -> Option<&'static (&'static str, ResourceKey)> {
    more.difference(less).next().map(|index| &ASKS[*index])
}

/// Matching by the definition.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|taken| matches(rest, &text[taken..])),
        [byte, rest @ ..] => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

/// Every two patterns, as chance seldom finds those that nearly contain each other.
#[test]
fn a_pattern_contains_only_what_it_matches() {
    const NAMES: [&str; 5] = ["*", "x", "x*", "*y", "xy"];
    let types = ["*", "networks", "subnets", "route-tables", "nics"].map(|of| NAMES.map(|name| format!("{of}/{name}")));
    let types = types.concat();
    let nested = ["*", "n", "n*"].map(|network| types.iter().map(move |rest| format!("networks/{network}/{rest}")));
    let patterns: Vec<_> = nested.into_iter().flatten().chain(types.iter().cloned()).collect();
    let patterns: Vec<_> = patterns.iter().map(|text| (text, Pattern::new(Provider::Network, text))).collect();
    let keys =
        ASKS.iter().filter(|(verb, key)| ["list", "get"].contains(verb) && key.tenant == "t" && key.region == "a");
    let keys: Vec<_> = keys.map(|(_, key)| key).filter(|key| key.workspace == "w").collect();
    let mut contained = 0;
    for (held_text, held) in &patterns {
        for (text, pattern) in &patterns {
            for key in keys.iter().filter(|key| pattern.matches(key) && held.contains(pattern, key.kind)) {
                assert!(held.matches(key), "{held_text} contains {text}, but not {key}");
                contained += 1;
            }
        }
    }
    assert!(contained > 0);
}

/// Cases that are judged; those that are of no interest come on top.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_global_rejects: 65536, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(4096))]

    #[test]
    fn a_glob_contains_exactly_what_it_matches_more_than(a in "[ab*]{0,6}", b in "[ab*]{0,6}", text in "[abc]{0,8}") {
        let (glob, other) = (Glob::new(&a), Glob::new(&b));
        prop_assert_eq!(glob.matches(&text), matches(a.as_bytes(), text.as_bytes()));
        let contains = glob.contains(&other);
        prop_assert!(!(contains && other.matches(&text)) || glob.matches(&text));
        // A name that the other matches, with a letter for each star that no other part of a glob can take up.
        let witness = b.replace('*', "c");
        prop_assert!(other.matches(&witness));
        prop_assert_eq!(contains, glob.matches(&witness));
    }
}

proptest! {
    #![proptest_config(cases(64))]

    /// The law of containment, one right against another.
    #[test]
    fn what_contains_a_right_allows_all_that_it_allows(
        held in (scope(), permissions()), want in (scope(), permissions()), same in 0..3,
    ) {
        // Two rights seldom meet by chance.
        let scope = if same == 1 { &held.0 } else { &want.0 };
        let permission = if same == 2 { &held.1 } else { &want.1 };
        let alice = Caller::new("alice");
        let holder = Rows::one(held.0.clone(), &[&held.1]);
        let wanted = Rows::one(scope.clone(), &[permission]);
        let spec = serde_json::from_str(&wanted.assignments[0].2).unwrap();
        let role = serde_json::from_str(&wanted.roles[0].2).unwrap();
        prop_assume!(holds(&holder, "t", &alice, &Wanted::of_role("t", &role, [&spec])));
        for tenant in TENANTS {
            let (more, less) = (allowed(&wanted.policy(tenant), &alice), allowed(&holder.policy(tenant), &alice));
            prop_assert_eq!(beyond(&more, &less), None);
        }
    }

    /// The law of escalation: an accepted assignment lets nobody do what who made it could not.
    #[test]
    fn an_accepted_assignment_grants_nothing_that_the_granter_has_not(
        rows in rows(), within in within(), own in 0..TENANTS.len(), spec in assignment(&["new"]),
    ) {
        let (own, granter) = (TENANTS[own], Caller { within, ..Caller::new("alice") });
        let find = |name: &str| {
            let role = rows.roles.iter().find(|(tenant, role, _)| tenant == own && role == name)?;
            serde_json::from_str(&role.2).ok()
        };
        let parsed = serde_json::from_value(spec.clone()).unwrap();
        prop_assume!(holds(&rows, own, &granter, &Wanted::of_assignment(own, &parsed, find)));
        let alone = Rows { assignments: Vec::new(), ..rows.clone() }.assignment(own, &spec);
        prop_assume!(!allowed(&alone.policy(own), &Caller::new("new")).is_empty());
        let after = rows.clone().assignment(own, &spec);
        for tenant in TENANTS {
            let before = rows.policy(tenant);
            let had = &allowed(&before, &granter) | &allowed(&before, &Caller::new("new"));
            let has = allowed(&after.policy(tenant), &Caller::new("new"));
            prop_assert_eq!(beyond(&has, &had), None);
        }
    }

    /// The same of an accepted role, for all whom it is assigned to.
    #[test]
    fn an_accepted_role_grants_nothing_that_its_writer_has_not(
        rows in rows(), within in within(), own in 0..TENANTS.len(), role in role(), narrow in any::<bool>(),
    ) {
        let (own, granter) = (TENANTS[own], Caller { within, ..Caller::new("alice") });
        let texts: Vec<_> = role.iter().map(String::as_str).take(if narrow { 1 } else { 9 }).collect();
        let spec = role_spec(&texts);
        let parsed: Vec<seca_api::RoleAssignmentSpec> = rows.assignments.iter()
            .filter(|(tenant, ..)| tenant == own)
            .map(|(.., spec)| serde_json::from_str(spec).unwrap())
            .collect();
        let naming = parsed.iter().filter(|spec| spec.roles.iter().any(|name| name == "nowhere"));
        let wanted = Wanted::of_role(own, &serde_json::from_value(spec).unwrap(), naming);
        prop_assume!(!wanted.is_empty() && holds(&rows, own, &granter, &wanted));
        let after = rows.clone().role(own, "nowhere", &texts);
        for (tenant, subject) in TENANTS.into_iter().flat_map(|tenant| [(tenant, "alice"), (tenant, "bob")]) {
            let before = rows.policy(tenant);
            let had = &allowed(&before, &granter) | &allowed(&before, &Caller::new(subject));
            let has = allowed(&after.policy(tenant), &Caller::new(subject));
            prop_assert_eq!(beyond(&has, &had), None);
        }
    }

    #[test]
    fn a_tenant_is_reached_by_its_own_assignments_and_by_those_that_open_it(rows in rows(), within in within()) {
        let opens = |spec: &str| {
            let spec: seca_api::RoleAssignmentSpec = serde_json::from_str(spec).unwrap();
            spec.scopes.iter().flat_map(|scope| scope.tenants.clone()).any(|name| name == "t" || name == "*")
        };
        let (near, far): (Vec<_>, Vec<_>) =
            rows.assignments.iter().cloned().partition(|(tenant, _, spec)| tenant == "t" || opens(spec));
        let caller = Caller { within, ..Caller::new("alice") };
        let of = |assignments| allowed(&Rows { assignments, ..rows.clone() }.policy("t"), &caller);
        let all = allowed(&rows.policy("t"), &caller);
        prop_assert!(all.iter().all(|index| ASKS[*index].1.tenant != "u"));
        prop_assert_eq!(all, of(near));
        prop_assert_eq!(of(far), BTreeSet::new());
    }

    #[test]
    fn who_is_not_named_may_do_nothing(rows in rows()) {
        let everybody = |(.., spec): &(String, String, String)| {
            serde_json::from_str::<seca_api::RoleAssignmentSpec>(spec).unwrap().subs.contains(&"*".to_owned())
        };
        let assignments = rows.assignments.iter().filter(|row| !everybody(row)).cloned().collect();
        let rows = Rows { assignments, ..rows };
        prop_assert_eq!(allowed(&rows.policy("t"), &Caller::new("nobody")), BTreeSet::new());
    }

    #[test]
    fn rights_add_up_and_a_credential_only_takes_away(rows in rows(), within in within(), more in assignment(&["alice"])) {
        let alice = Caller::new("alice");
        let all = allowed(&rows.policy("t"), &alice);
        let narrowed = allowed(&rows.policy("t"), &Caller { within, ..alice.clone() });
        prop_assert_eq!(beyond(&narrowed, &all), None);
        let added = allowed(&rows.clone().assignment("t", &more).policy("t"), &alice);
        prop_assert_eq!(beyond(&all, &added), None);
    }

    #[test]
    fn an_explanation_agrees_with_the_decision(rows in rows(), within in within()) {
        let (policy, caller) = (rows.policy("t"), Caller { within, ..Caller::new("alice") });
        for (verb, key) in ASKS.iter() {
            let ask = Ask { verb, key };
            let (decision, explanation) = (policy.decide(&caller, &ask), policy.explain(&caller, &ask));
            prop_assert_eq!(explanation.allowed, decision.is_allowed());
            if let Decision::Allowed(grant) = decision {
                prop_assert!(explanation.assignments.iter().any(|found| found.outcome == Outcome::Allows(grant)));
            }
        }
    }
}
