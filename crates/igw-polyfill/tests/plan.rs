//! What the gateway of a network comes to, and what people read of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::Ipv4Addr;

use igw_polyfill::{
    lifecycle::Side,
    nat,
    plan::{
        Due, InternetGateway, Network, Obstacle, Place, Plan, Route, Serving, Settings, Subnet, Table, Target, Verdict,
        candidates, due, plan,
    },
    ranges::overlap,
    sentences::{self, InNetwork, Standing},
};
use ipnet::Ipv4Net;
use proptest::prelude::*;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn subnet(name: &str, range: &str, table: Option<&str>) -> Subnet {
    Subnet { name: name.to_owned(), range: net(range), table: table.map(str::to_owned), deleting: false }
}

fn table(name: &str, made: i64, routes: &[(&str, Target)]) -> Table {
    let routes = routes.iter().map(|(to, target)| Route { destination: net(to), target: target.clone() }).collect();
    Table { name: name.to_owned(), made, routes, deleting: false }
}

fn by(gateway: &str) -> Target {
    Target::Gateway(gateway.to_owned())
}

fn network(subnets: Vec<Subnet>, tables: Vec<Table>) -> Network {
    Network {
        name: "shop".to_owned(),
        uid: "0192f0c1-7d2e-7cc0-8a5e-3f1f6f0a9b11".to_owned(),
        range: net("10.1.0.0/16"),
        subnets,
        tables,
        foreign_ranges: Vec::new(),
        taken: Vec::new(),
        standing: None,
        deleting: false,
    }
}

fn usual() -> Network {
    network(
        vec![subnet("web", "10.1.1.0/24", Some("out")), subnet("vault", "10.1.2.0/24", None)],
        vec![table("out", 1, &[("0.0.0.0/0", by("igw"))])],
    )
}

fn gateways() -> Vec<InternetGateway> {
    ["igw", "other"].map(|name| InternetGateway { name: name.to_owned(), pair: false, deleting: false }).to_vec()
}

fn on() -> Settings {
    Settings { enabled: true, ..Settings::default() }
}

fn planned(network: &Network) -> Plan {
    plan(network, &gateways(), &on())
}

fn verdicts(network: &Network) -> Vec<Verdict> {
    planned(network).routes.into_iter().map(|route| route.verdict).collect()
}

#[test]
fn a_server_is_wanted_while_a_live_subnet_names_a_table_with_a_route_to_a_gateway() {
    let check = |change: fn(&mut Network), wanted: bool, verdict: &[Verdict]| {
        let mut network = usual();
        change(&mut network);
        assert_eq!(planned(&network).serving.is_some(), wanted, "{network:?}");
        assert_eq!(verdicts(&network), verdict, "{network:?}");
    };
    check(|_| {}, true, &[Verdict::Served]);
    check(|it| it.subnets[0].table = None, false, &[Verdict::NotNamed]);
    check(|it| it.subnets[0].deleting = true, false, &[Verdict::NotNamed]);
    check(|it| it.subnets.clear(), false, &[Verdict::NotNamed]);
    check(|it| it.tables[0].deleting = true, false, &[Verdict::NotNamed]);
    check(|it| it.tables[0].routes[0].target = by("nobody"), false, &[Verdict::Missing]);
    check(|it| it.tables[0].routes[0].target = Target::Other("10.1.1.9".to_owned()), false, &[Verdict::Elsewhere]);
    check(|it| it.tables[0].routes[0].destination = net("192.168.0.0/16"), false, &[Verdict::NotEverywhere]);
    check(|it| it.deleting = true, false, &[Verdict::Ending]);
}

#[test]
fn a_gateway_that_is_leaving_wants_nothing() {
    let mut gateways = gateways();
    gateways[0].deleting = true;
    let plan = plan(&usual(), &gateways, &on());
    assert!(plan.serving.is_none());
    assert_eq!(plan.routes[0].verdict, Verdict::Ending);
}

#[test]
fn without_the_flag_existing_servers_stay_and_none_is_made() {
    let off = plan(&usual(), &gateways(), &Settings::default());
    assert_eq!((off.serving, off.obstacle), (None, Some(Obstacle::Disabled)));
    assert_eq!(off.routes[0].verdict, Verdict::Blocked(Obstacle::Disabled));
    let standing = Some(Place::Range(net("10.1.255.240/28")));
    let stays = plan(&Network { standing, ..usual() }, &gateways(), &Settings::default());
    assert!(stays.serving.is_some());
}

#[test]
fn the_servers_stand_in_a_range_of_their_own_and_move_only_when_something_takes_it() {
    let check = |network: &Network, place: Place, addresses: &[&str]| {
        let serving = planned(network).serving.unwrap();
        assert_eq!(serving.place, place);
        let expected: Vec<Ipv4Addr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(serving.servers.iter().map(|server| server.private_address).collect::<Vec<_>>(), expected);
    };
    let top = Place::Range(net("10.1.255.240/28"));
    let lower = Place::Range(net("10.1.254.240/28"));
    check(&usual(), top.clone(), &["10.1.255.242"]);
    let mut network = usual();
    network.standing = Some(lower.clone());
    check(&network, lower.clone(), &["10.1.254.242"]);
    // A user's subnet takes the place.
    network.standing = Some(top.clone());
    network.subnets.push(subnet("high", "10.1.255.0/24", None));
    check(&network, lower.clone(), &["10.1.254.242"]);
    // A person's range, and an address that something has, block as well.
    let mut network = usual();
    network.foreign_ranges.push(net("10.1.255.0/24"));
    network.taken.push("10.1.254.250".parse().unwrap());
    check(&network, Place::Range(net("10.1.254.224/28")), &["10.1.254.226"]);
}

#[test]
fn a_full_network_lends_the_highest_address_of_a_subnet_that_uses_the_gateway() {
    let mut full = usual();
    full.subnets = vec![subnet("vault", "10.1.128.0/17", None), subnet("web", "10.1.0.0/17", Some("out"))];
    full.taken = vec!["10.1.127.254".parse().unwrap()];
    let place = |network: &Network| planned(network).serving.map(|serving| serving.place);
    let lent = Place::Subnet { name: "web".to_owned(), addresses: vec!["10.1.127.253".parse().unwrap()] };
    assert_eq!(place(&full), Some(lent.clone()));
    // It stays there when a higher one becomes free.
    full.standing = Some(lent);
    full.taken.clear();
    assert_eq!(place(&full), full.standing);
    // A subnet that leaves makes the server leave.
    full.subnets.push(subnet("api", "10.1.64.0/24", Some("out")));
    full.subnets[1].range = net("10.1.0.0/18");
    full.subnets[1].deleting = true;
    full.subnets.push(subnet("rest", "10.1.64.0/18", Some("out")));
    assert_eq!(
        place(&full),
        Some(Place::Subnet { name: "api".to_owned(), addresses: vec!["10.1.64.254".parse().unwrap()] })
    );
}

#[test]
fn where_no_address_is_free_there_is_no_server_but_a_reason() {
    let mut tiny = usual();
    tiny.range = net("10.1.0.0/30");
    tiny.subnets = vec![subnet("web", "10.1.0.0/30", Some("out"))];
    assert!(planned(&tiny).serving.is_some(), "10.1.0.2 is free");
    tiny.taken = vec!["10.1.0.2".parse().unwrap()];
    let plan = planned(&tiny);
    assert_eq!((plan.serving, plan.obstacle), (None, Some(Obstacle::NoAddress)));
    let sentence = sentences::route(&plan.routes[0], "0.0.0.0/0", false).unwrap();
    assert!(sentence.contains("0.0.0.0/0") && sentence.contains("`igw`") && sentence.contains("free address"));
}

#[test]
fn exactly_what_uses_it_and_what_no_subnet_has_may_leave() {
    let serving = planned(&usual()).serving.unwrap();
    let is_open = |text: &str| serving.config.sources.iter().any(|block| overlap(*block, net(text)));
    assert!(is_open("10.1.1.77/32") && is_open("10.1.200.1/32"));
    assert!(!is_open("10.1.2.0/24") && !is_open("10.1.255.240/28") && !is_open("10.2.0.0/16"));
    assert_eq!(serving.users, ["web"]);
}

#[test]
fn servers_are_made_again_only_when_their_text_is_wrong() {
    let before = planned(&usual()).serving.unwrap();
    let check = |change: fn(&mut Network), expected: Option<Due>| {
        let mut network = Network { standing: Some(before.place.clone()), ..usual() };
        change(&mut network);
        let serving = planned(&network).serving.unwrap();
        assert_eq!(due(&network, &serving, &before.config, &before.place, nat::VERSION), expected);
    };
    check(|_| {}, None);
    check(|it| it.subnets.push(subnet("new", "10.1.9.0/24", Some("out"))), None);
    let open = Due::Open(vec!["new".to_owned()]);
    check(|it| it.subnets.push(subnet("new", "10.1.9.0/24", None)), Some(open));
    let closed = Due::Closed(vec!["vault".to_owned()]);
    check(|it| it.subnets[1].table = Some("out".to_owned()), Some(closed));
    check(|it| it.subnets.truncate(1), None);
    check(|it| it.subnets.push(subnet("high", "10.1.255.0/24", Some("out"))), Some(Due::Place));
    let network = Network { standing: Some(before.place.clone()), ..usual() };
    assert_eq!(due(&network, &before, &before.config, &before.place, nat::VERSION - 1), Some(Due::Version));
    let probed = Settings { health_from: vec![net("198.51.100.1/32")], ..on() };
    let serving = plan(&network, &gateways(), &probed).serving.unwrap();
    assert_eq!(due(&network, &serving, &before.config, &before.place, nat::VERSION), Some(Due::AllowLists));
}

#[test]
fn of_two_targets_for_everywhere_the_oldest_table_wins() {
    let mut network = usual();
    network.subnets[1].table = Some("late".to_owned());
    network.tables.insert(0, table("late", 2, &[("0.0.0.0/0", by("other"))]));
    let plan = planned(&network);
    assert_eq!(plan.serving.unwrap().gateway, "igw");
    let conflict = Verdict::Conflict { table: "out".to_owned(), target: "igw".to_owned() };
    assert_eq!(
        plan.routes.iter().map(|it| (it.table.as_str(), it.verdict.clone())).collect::<Vec<_>>(),
        [("out", Verdict::Served), ("late", conflict)]
    );
    // Equal routes merge.
    network.tables[0].routes[0].target = by("igw");
    let plan = planned(&network);
    assert_eq!(plan.serving.unwrap().users, ["web", "vault"]);
    // An older table that sends everything to an address leaves nothing for a gateway.
    network.tables[0] = table("late", 0, &[("0.0.0.0/0", Target::Other("10.1.1.9".to_owned()))]);
    let plan = planned(&network);
    assert!(plan.serving.is_none());
    let conflict = Verdict::Conflict { table: "late".to_owned(), target: "10.1.1.9".to_owned() };
    assert_eq!(plan.routes[1].verdict, conflict);
    // A table that no live subnet names takes nothing from anybody.
    network.subnets[1].table = None;
    assert!(planned(&network).serving.is_some());
}

#[test]
fn a_pair_has_two_of_everything_but_the_firewall() {
    let mut gateways = gateways();
    gateways[0].pair = true;
    let serving = plan(&usual(), &gateways, &on()).serving.unwrap();
    let n = "0192f0c17d2e7cc08a5e3f1f6f0a9b11";
    let roles: Vec<_> = serving.servers.iter().map(|it| (it.role.clone(), it.address_role.clone())).collect();
    assert_eq!(roles, [(format!("nat.{n}.a"), format!("nat-ip.{n}")), (format!("nat.{n}.b"), format!("nat-ip.{n}.b"))]);
    let next_hop = |serving: &Serving, side| serving.route(side).map(|(to, by)| format!("{to} {by}"));
    assert_eq!(next_hop(&serving, Side::A).as_deref(), Some("0.0.0.0/0 10.1.255.242"));
    assert_eq!(next_hop(&serving, Side::B).as_deref(), Some("0.0.0.0/0 10.1.255.243"));
    assert_eq!(next_hop(&planned(&usual()).serving.unwrap(), Side::B), None);
    assert_eq!(serving.firewall, "nat-fw");
    assert!(serving.placement_group.is_some());
}

#[test]
fn the_firewall_opens_what_the_lists_allow_and_no_more() {
    let rules = planned(&usual()).serving.unwrap().firewall_rules;
    assert_eq!(rules.iter().map(|rule| rule.protocol).collect::<Vec<_>>(), ["icmp"]);
    let settings = Settings { ssh_from: vec![net("198.51.100.0/24")], ..on() };
    let rules = plan(&usual(), &gateways(), &settings).serving.unwrap().firewall_rules;
    assert_eq!((rules.len(), rules[1].port), (2, Some(22)));
    assert_eq!(rules[1].sources, ["198.51.100.0/24"]);
}

#[test]
fn candidates_are_those_that_the_location_sells_and_has() {
    let names = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let sold = names(&["cpx11", "cax11", "cx23"]);
    assert_eq!(candidates(&on(), &sold, &[]), ["cx23", "cax11", "cpx11"]);
    assert_eq!(candidates(&on(), &sold, &names(&["cx23"])), ["cax11", "cpx11"]);
    assert!(candidates(&on(), &[], &[]).is_empty());
}

#[test]
fn a_gateway_tells_what_it_is_in_each_network() {
    let egress = vec!["203.0.113.7".parse().unwrap()];
    let up = Standing::Up { server_type: "cx23".to_owned(), failed_over: false };
    let standings = [
        InNetwork { network: "shop".to_owned(), standing: up, egress },
        InNetwork { network: "lab".to_owned(), standing: Standing::Blocked(Obstacle::NoAddress), egress: vec![] },
    ];
    assert_eq!(
        sentences::gateway(true, &standings),
        "In the network `shop`: a NAT server, a cx23, forwards. Egress address: 203.0.113.7. In the network `lab`: \
         nothing runs, because neither the network nor a subnet that uses the gateway has a free address; make room, or \
         use a larger range."
    );
    assert!(sentences::gateway(true, &[]).contains("nothing runs for it"));
    assert!(sentences::gateway(false, &[]).contains("own public IP"));
}

fn any_subnet() -> impl Strategy<Value = Subnet> {
    (any::<u16>(), 17_u8..=28, 0..3_usize, any::<bool>()).prop_map(|(low, length, table, deleting)| Subnet {
        name: format!("s{low}-{length}"),
        range: Ipv4Net::new(Ipv4Addr::from(0x0a01_0000 | u32::from(low)), length).unwrap().trunc(),
        table: [None, Some("out".to_owned()), Some("late".to_owned())][table].clone(),
        deleting,
    })
}

proptest! {
    #[test]
    fn no_server_stands_where_somebody_else_does_and_no_stranger_leaves(subnets in prop::collection::vec(any_subnet(), 0..10)) {
        let mut network = usual();
        network.subnets.clear();
        for subnet in subnets {
            if !network.subnets.iter().any(|other| overlap(other.range, subnet.range)) {
                network.subnets.push(subnet);
            }
        }
        network.tables.push(table("late", 2, &[("0.0.0.0/0", by("other"))]));
        let plan = planned(&network);
        let Some(serving) = plan.serving else { return Ok(()) };
        if let Place::Range(range) = serving.place {
            prop_assert!(network.range.contains(&range) && range.prefix_len() == 28);
            prop_assert!(!network.subnets.iter().any(|subnet| overlap(subnet.range, range)));
            prop_assert!(!serving.config.sources.iter().any(|source| overlap(*source, range)));
        }
        let own = if serving.gateway == "igw" { "out" } else { "late" };
        for subnet in &network.subnets {
            let open = serving.config.sources.iter().any(|source| overlap(*source, subnet.range));
            prop_assert_eq!(open, subnet.table.as_deref() == Some(own), "{:?}", subnet);
        }
        // What was just decided stands: nothing moves, and nothing is due.
        network.standing = Some(serving.place.clone());
        let again = planned(&network).serving.unwrap();
        prop_assert_eq!(&again.place, &serving.place);
        prop_assert_eq!(due(&network, &again, &serving.config, &serving.place, nat::VERSION), None);
    }
}
