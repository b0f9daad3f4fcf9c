//! Tables for each step, and in `laws` what holds for all rules.

mod laws;

use hcloud_client::types::FirewallRule;
use ipnet::IpNet;
use seca_api::{Kind, ResourceKey, SecurityGroupRuleSpec};
use serde_json::{Value, json};

use super::{
    Compiled, CompiledRule, Excess, MAX_ADDRESSES_PER_RULE, MAX_EFFECTIVE_RULES, MAX_FIREWALLS_PER_SERVER,
    MAX_RULES_PER_FIREWALL, compile_rule, effective_rules, expand, narrowing, nothing_out, rules_hash, same_rules,
};

fn group() -> ResourceKey {
    ResourceKey {
        tenant: "acme".to_owned(),
        region: "eu-1".to_owned(),
        kind: Kind::SecurityGroup,
        workspace: "prod".to_owned(),
        network: String::new(),
        name: "web".to_owned(),
    }
}

fn spec(value: Value) -> SecurityGroupRuleSpec {
    serde_json::from_value(value).unwrap()
}

fn compile(value: Value) -> CompiledRule {
    compile_rule(&spec(value), &group())
}

/// The URN of a resource of the group's workspace.
fn urn(provider: &str, path: &str) -> String {
    format!("{provider}/tenants/acme/workspaces/prod/{path}")
}

fn nobody(_: &str) -> Option<Vec<IpNet>> {
    None
}

/// Rules as `in tcp 80 10.0.0.0/8,::/0`.
fn print<'a>(rules: impl IntoIterator<Item = &'a FirewallRule>) -> Vec<String> {
    let line = |rule: &FirewallRule| {
        let addresses = rule.source_ips.iter().chain(&rule.destination_ips).map(IpNet::to_string);
        let port = rule.port.iter().map(|port| format!("{port} ")).collect::<String>();
        format!("{} {} {port}{}", rule.direction, rule.protocol, addresses.collect::<Vec<_>>().join(","))
    };
    rules.into_iter().map(line).collect()
}

/// Rules from the same spelling.
fn parse(lines: &[&str]) -> Vec<FirewallRule> {
    let rule = |line: &&str| {
        let words: Vec<_> = line.split(' ').collect();
        let addresses: Vec<&str> = words[words.len() - 1].split(',').filter(|text| !text.is_empty()).collect();
        let field = if words[0] == "in" { "source_ips" } else { "destination_ips" };
        let port = (words.len() == 4).then(|| words[2]);
        serde_json::from_value(json!({"direction": words[0], "protocol": words[1], "port": port, field: addresses}))
            .unwrap()
    };
    lines.iter().map(rule).collect()
}

const NOTHING_OUT: &str = "out tcp 1 192.0.2.1/32";

#[test]
fn a_rule_publishes_its_protocols_ports_and_sources() {
    let all = ["0.0.0.0/0", "::/0"];
    let cases = [
        (
            json!({"direction": "ingress"}),
            json!({"services": [{"tcp": "1-65535"}, {"udp": "1-65535"}, "icmp", "esp", "gre"], "blocks": all, "notes": ["otherProtocols"]}),
        ),
        (json!({"direction": "ingress", "protocol": "tcp"}), json!({"services": [{"tcp": "1-65535"}], "blocks": all})),
        (
            json!({"direction": "ingress", "protocol": "tcp+udp", "ports": {"from": 53}}),
            json!({"services": [{"tcp": "53"}, {"udp": "53"}], "blocks": all}),
        ),
        (
            json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": 80, "to": 82, "list": [443, 83, 81, 444]}}),
            json!({"services": [{"tcp": "80-83"}, {"tcp": "443-444"}], "blocks": all}),
        ),
        (
            json!({"direction": "ingress", "protocol": "udp", "ports": {"to": 9}}),
            json!({"services": [{"udp": "9"}], "blocks": all}),
        ),
        // Admission refuses these two; a rule that got by lets nothing pass.
        (json!({"direction": "ingress", "protocol": "tcp", "ports": {}}), json!({"services": [], "blocks": all})),
        (
            json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": 9, "to": 1}}),
            json!({"services": [], "blocks": all}),
        ),
        (
            json!({"direction": "ingress", "protocol": "icmp", "icmp": {"type": 8, "code": 0}, "ports": {"from": 1}}),
            json!({"services": ["icmp"], "blocks": all, "notes": [{"icmpWidened": {"type": 8, "code": 0}}]}),
        ),
        (
            json!({"direction": "ingress", "protocol": "tcp", "icmp": {"type": 8, "code": 0}}),
            json!({"services": [{"tcp": "1-65535"}], "blocks": all}),
        ),
        (
            json!({"direction": "ingress", "ports": {"from": 22}}),
            json!({"services": [{"tcp": "22"}, {"udp": "22"}], "blocks": all, "notes": ["impliedProtocols"]}),
        ),
        (
            json!({"direction": "ingress", "icmp": {"type": 0, "code": 0}}),
            json!({"services": ["icmp"], "blocks": all, "notes": [{"icmpWidened": {"type": 0, "code": 0}}, "impliedProtocols"]}),
        ),
        (
            json!({"direction": "egress", "version": "IPv6", "protocol": "icmp"}),
            json!({"direction": "egress", "version": "IPv6", "services": ["icmp"], "blocks": ["::/0"]}),
        ),
        (
            json!({"direction": "ingress", "protocol": "icmp", "sourceRef": ["10.1.2.3/8", "10.9.0.0/16", "2001:db8::1", "192.0.2.7"]}),
            json!({"services": ["icmp"], "blocks": ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"]}),
        ),
        (
            json!({"direction": "ingress", "version": "IPv4", "protocol": "icmp", "sourceRef": ["::/0"]}),
            json!({"version": "IPv4", "services": ["icmp"], "notes": [{"otherFamily": {"source": "::/0"}}]}),
        ),
        (
            json!({"direction": "ingress", "protocol": "icmp", "sourceRef": [
                "security-groups/db", {"resource": "security-groups/db"}, "nics/n", "instances/i", "::ffff:10.0.0.1", "10.0.0.1",
            ]}),
            json!({"services": ["icmp"], "blocks": ["10.0.0.1/32"], "references": [
                "::ffff:10.0.0.1", urn("seca.compute/v1", "instances/i"), urn("seca.network/v1", "nics/n"),
                urn("seca.network/v1", "security-groups/db"),
            ]}),
        ),
        // A source that names nothing is nobody, not everybody.
        (
            json!({"direction": "ingress", "protocol": "icmp", "sourceRef": [{"resource": ""}]}),
            json!({"services": ["icmp"]}),
        ),
    ];
    for (given, mut wanted) in cases {
        let compiled = compile(given.clone());
        if wanted["direction"].is_null() {
            wanted["direction"] = json!("ingress");
        }
        let published = serde_json::to_value(&compiled).unwrap();
        assert_eq!(published, wanted, "{given}");
        assert_eq!(serde_json::from_value::<CompiledRule>(published).unwrap(), compiled, "{given}");
    }
}

#[test]
fn a_reference_to_another_workspace_stays_one() {
    let source = json!({"resource": "security-groups/db", "workspace": "other"});
    let rule = compile(json!({"direction": "ingress", "sourceRef": [source]}));
    assert_eq!(rule.references, ["seca.network/v1/tenants/acme/workspaces/other/security-groups/db"]);
}

#[test]
fn notes_say_what_passes_and_why() {
    let rule = compile(
        json!({"direction": "ingress", "version": "IPv4", "icmp": {"type": 8, "code": 0}, "sourceRef": ["::/0"]}),
    );
    let texts: Vec<_> = rule.notes.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("All of ICMP passes, not only type 8 code 0"), "{texts:?}");
    assert!(texts[1].starts_with("The rule names no protocol"), "{texts:?}");
    assert!(texts[2].starts_with("The source ::/0 is of the other IP version"), "{texts:?}");
}

#[test]
fn the_rules_of_a_group_are_united() {
    let tcp = |ports: Value, sources: &[&str]| json!({"direction": "ingress", "protocol": "tcp", "ports": ports, "sourceRef": sources});
    let cases: Vec<(Vec<Value>, Vec<&str>)> = vec![
        (vec![], vec![NOTHING_OUT]),
        (
            vec![json!({"direction": "egress"}), json!({"direction": "ingress"})],
            vec![
                "in tcp 1-65535 0.0.0.0/0,::/0",
                "in udp 1-65535 0.0.0.0/0,::/0",
                "in icmp 0.0.0.0/0,::/0",
                "in esp 0.0.0.0/0,::/0",
                "in gre 0.0.0.0/0,::/0",
                "out tcp 1-65535 0.0.0.0/0,::/0",
                "out udp 1-65535 0.0.0.0/0,::/0",
                "out icmp 0.0.0.0/0,::/0",
                "out esp 0.0.0.0/0,::/0",
                "out gre 0.0.0.0/0,::/0",
            ],
        ),
        // Ports with equal sources.
        (
            vec![tcp(json!({"from": 80}), &["10.0.0.0/8"]), tcp(json!({"from": 81, "to": 90}), &["10.0.0.0/8"])],
            vec!["in tcp 80-90 10.0.0.0/8", NOTHING_OUT],
        ),
        // Sources with equal ports; neighbours are one block, and what lies in another one goes.
        (
            vec![
                tcp(json!({"from": 80}), &["10.0.0.0/9"]),
                tcp(json!({"from": 80}), &["10.128.0.0/9", "172.16.0.1"]),
                tcp(json!({"from": 80}), &["10.3.0.0/16", "2001:db8::/32"]),
            ],
            vec!["in tcp 80 10.0.0.0/8,172.16.0.1/32,2001:db8::/32", NOTHING_OUT],
        ),
        // What a wider block has already goes, from narrower ones as well.
        (
            vec![
                tcp(json!({"from": 1, "to": 100}), &["0.0.0.0/0"]),
                tcp(json!({"from": 80, "list": [443]}), &["10.0.0.0/8"]),
                tcp(json!({"list": [22, 80]}), &["10.0.0.1"]),
            ],
            vec!["in tcp 1-100 0.0.0.0/0", "in tcp 443 10.0.0.0/8", NOTHING_OUT],
        ),
        // A rule without any source is left out, and does not become one for all.
        (
            vec![
                json!({"direction": "egress", "sourceRef": ["security-groups/none"]}),
                tcp(json!({"from": 80}), &["instances/none"]),
            ],
            vec![NOTHING_OUT],
        ),
        (
            vec![json!({"direction": "egress", "protocol": "udp", "ports": {"from": 53}, "sourceRef": ["9.9.9.9"]})],
            vec!["out udp 53 9.9.9.9/32"],
        ),
    ];
    for (specs, wanted) in cases {
        let rules: Vec<_> = specs.iter().cloned().map(compile).collect();
        assert_eq!(print(expand(&rules, &nobody).rules()), wanted, "{specs:?}");
    }
}

#[test]
fn references_become_the_addresses_of_their_family() {
    let rule = |version: &str| json!({"direction": "ingress", "version": version, "protocol": "icmp", "sourceRef": ["security-groups/db", "nics/late"]});
    let members = |reference: &str| {
        let found = reference.ends_with("security-groups/db");
        found.then(|| vec!["198.51.100.7/32".parse().unwrap(), "2001:db8:1::/64".parse().unwrap()])
    };
    for (version, wanted) in [
        ("", "in icmp 198.51.100.7/32,2001:db8:1::/64"),
        ("IPv4", "in icmp 198.51.100.7/32"),
        ("IPv6", "in icmp 2001:db8:1::/64"),
    ] {
        let compiled = expand(&[compile(rule(version))], &members);
        assert_eq!(print(compiled.rules()), [wanted, NOTHING_OUT], "{version}");
        assert_eq!(compiled.unresolved, [urn("seca.network/v1", "nics/late")]);
    }
}

/// A group in which each of some ports, two apart, is open for each of some addresses, two apart.
fn grid(ports: u16, addresses: u8) -> Compiled {
    let sources: Vec<_> = (0..addresses).map(|n| format!("198.51.100.{}", n * 2)).collect();
    let mut rules = Vec::new();
    for sources in sources.chunks(32) {
        let list: Vec<_> = (1..=ports).map(|n| n * 2).collect();
        let value = json!({"direction": "ingress", "protocol": "tcp", "ports": {"list": list}, "sourceRef": sources});
        rules.push(compile(value));
    }
    expand(&rules, &nobody)
}

#[test]
fn more_than_fifty_rules_are_several_firewalls_and_each_denies() {
    for (ports, sizes) in [(1, vec![2]), (49, vec![50]), (50, vec![50, 2]), (98, vec![50, 50]), (99, vec![50, 50, 2])] {
        let compiled = grid(ports, 1);
        assert_eq!(compiled.shards.iter().map(|shard| shard.rules.len()).collect::<Vec<_>>(), sizes, "{ports}");
        for shard in &compiled.shards {
            assert!(print(&shard.rules).contains(&NOTHING_OUT.to_owned()), "{ports}");
            assert_eq!(shard.hash, rules_hash(&shard.rules));
        }
    }
}

#[test]
fn a_rule_more_moves_one_rule_over_each_cut() {
    let rule = |ports: Vec<u16>| {
        compile(
            json!({"direction": "ingress", "protocol": "tcp", "ports": {"list": ports}, "sourceRef": ["10.0.0.0/8"]}),
        )
    };
    let many = || rule((1..=140).map(|n| n * 3).collect());
    let (before, after) = (expand(&[many()], &nobody), expand(&[many(), rule(vec![1])], &nobody));
    let leaving: Vec<_> = before
        .shards
        .iter()
        .zip(&after.shards)
        .map(|(before, after)| before.rules.iter().filter(|rule| !after.rules.contains(rule)).count())
        .collect();
    assert_eq!(leaving, [1, 1, 0]);
}

#[test]
fn a_rule_has_a_hundred_addresses_and_each_is_an_effective_rule() {
    let compiled = grid(1, 120);
    let sizes: Vec<_> = compiled.rules().map(|rule| rule.source_ips.len()).collect();
    assert_eq!(sizes, [MAX_ADDRESSES_PER_RULE, 20, 0]);
    assert_eq!(compiled.effective_rules, 121);
    assert_eq!(compiled.excess(), None);
    assert_eq!(effective_rules(&[nothing_out()]), 1);
}

#[test]
fn what_one_server_cannot_have_is_told_with_the_numbers() {
    for (ports, addresses, excess) in [
        (4, 124, None),
        (4, 125, Some(Excess::EffectiveRules { effective: MAX_EFFECTIVE_RULES + 1 })),
        (99, 5, None),
        (245, 1, None),
        (246, 1, Some(Excess::Firewalls { firewalls: MAX_FIREWALLS_PER_SERVER + 1 })),
    ] {
        assert_eq!(grid(ports, addresses).excess(), excess, "{ports} {addresses}");
    }
    assert_eq!(Excess::of(MAX_FIREWALLS_PER_SERVER, MAX_EFFECTIVE_RULES), None);
    let excess = Excess::of(6, 300).unwrap();
    assert_eq!(excess, Excess::Firewalls { firewalls: 6 });
    assert!(excess.to_string().contains("need 6 firewalls") && excess.to_string().contains("at most 5"), "{excess}");
}

#[test]
fn rules_compare_as_sets_of_what_they_say() {
    let wanted = ["in tcp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8", "out udp 1-65535 0.0.0.0/0"];
    for found in [
        vec!["out udp 1-65535 0.0.0.0/0", "in icmp 10.0.0.0/8", "in tcp 80 ::/0,10.0.0.0/8"],
        vec!["in tcp 80-80 10.0.0.0/8", "in tcp 80 ::/0", "in icmp 10.9.9.9/8", "out udp any 0.0.0.0/0"],
    ] {
        assert!(same_rules(&parse(&wanted), &parse(&found)), "{found:?}");
        assert_eq!(rules_hash(&parse(&wanted)), rules_hash(&parse(&found)), "{found:?}");
    }
    let mut described = parse(&wanted);
    described[0].description = Some("from the console".to_owned());
    assert!(same_rules(&parse(&wanted), &described));
    for found in [
        vec![],
        vec!["in tcp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8"],
        vec!["in tcp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/9", "out udp 1-65535 0.0.0.0/0"],
        vec!["in tcp 81 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8", "out udp 1-65535 0.0.0.0/0"],
        vec!["in udp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8", "out udp 1-65535 0.0.0.0/0"],
        vec!["out tcp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8", "out udp 1-65535 0.0.0.0/0"],
        vec!["in tcp 80 10.0.0.0/8,::/0", "in icmp 10.0.0.0/8", "out udp 1-65535 0.0.0.0/0", "in sctp ::/0"],
    ] {
        assert!(!same_rules(&parse(&wanted), &parse(&found)), "{found:?}");
        assert_ne!(rules_hash(&parse(&wanted)), rules_hash(&parse(&found)), "{found:?}");
    }
}

#[test]
fn a_hash_is_the_value_of_a_label_and_stays_from_release_to_release() {
    let hash = rules_hash(&[nothing_out()]);
    assert!(crate::naming::is_label_value(&hash), "{hash}");
    assert_eq!(hash, crate::naming::hash("out tcp 1 192.0.2.1/32\n", 32));
}

#[test]
fn between_two_sets_stands_what_both_allow() {
    for (before, after, wanted) in [
        (
            vec!["in tcp 80 0.0.0.0/0", NOTHING_OUT],
            vec!["in tcp 80 10.0.0.0/8", NOTHING_OUT],
            vec!["in tcp 80 10.0.0.0/8", NOTHING_OUT],
        ),
        (
            vec!["in tcp 1-100 10.0.0.0/8", NOTHING_OUT],
            vec!["in tcp 50-200 10.1.0.0/16,::/0", NOTHING_OUT],
            vec!["in tcp 50-100 10.1.0.0/16", NOTHING_OUT],
        ),
        (vec!["in tcp 80 0.0.0.0/0", NOTHING_OUT], vec!["in udp 80 0.0.0.0/0", NOTHING_OUT], vec![NOTHING_OUT]),
        // Without a rule outwards everything may leave: what is allowed after stays allowed.
        (vec![], vec!["out tcp 443 0.0.0.0/0"], vec!["out tcp 443 0.0.0.0/0"]),
        // What is not understood passes nothing.
        (
            vec!["in sctp ::/0", "in tcp x ::/0", NOTHING_OUT],
            vec!["in tcp 1-65535 ::/0", NOTHING_OUT],
            vec![NOTHING_OUT],
        ),
    ] {
        assert_eq!(print(&narrowing(&parse(&before), &parse(&after))), wanted, "{before:?} {after:?}");
    }
}

#[test]
fn an_intersection_that_fits_no_firewall_keeps_the_rules_that_stand_in_both() {
    // Eight overlapping ranges on one side cut forty addresses' ranges on the other into too many pieces.
    let lines = |width: u16, step: u16| -> Vec<String> {
        (0..40).map(|n| format!("in tcp {}-{} 198.51.100.{n}/32", n * step + 1, n * step + width)).collect()
    };
    let cut: Vec<String> = (0..40).map(|n| format!("in tcp {}-{} 198.51.100.0/24", n * 20 + 1, n * 20 + 10)).collect();
    let shared = ["in icmp ::/0", NOTHING_OUT].map(str::to_owned);
    let rules = |lines: Vec<String>| {
        let lines: Vec<_> = lines.iter().chain(&shared).map(String::as_str).collect();
        parse(&lines)
    };
    let narrow = narrowing(&rules(lines(400, 7)), &rules(cut));
    assert_eq!(print(&narrow), shared);
    assert!(narrow.len() <= MAX_RULES_PER_FIREWALL);
}
