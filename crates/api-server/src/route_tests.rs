use proptest::prelude::*;

use seca_api::TenantName;

use super::*;

const CATALOG: &[Kind] = &[Kind::Region, Kind::StorageSku, Kind::InstanceSku, Kind::NetworkSku];
const ROUTING: Routing<'_> = Routing { default_region: "fsn1", written: &Kind::ALL, read: &[] };

fn read(path: &str) -> Result<Route, RouteError> {
    parse(path, ROUTING)
}

/// `list URN @region`, for tables.
fn show(path: &str) -> String {
    match read(path) {
        Ok(Route { target, .. }) => {
            let word = match &target {
                Target::Collection(_) => "list",
                Target::Item(_) => "item",
                Target::Action(_, action) => action.as_str(),
                Target::Attachment(_, attachment) => attachment.as_str(),
            };
            format!("{word} {} @{}", target.key(), target.key().region)
        }
        Err(RouteError::Unknown) => "unknown".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_path_of_the_specification_is_read_under_every_prefix() {
    let workspace = "tenants/t/workspaces/w";
    let mut table: Vec<(&str, String, String)> = vec![
        ("seca.region", "regions".into(), "item seca.region/v1/regions/x @".into()),
        ("seca.authorization", "tenants/t/roles".into(), "item seca.authorization/v1/tenants/t/roles/x @".into()),
        (
            "seca.authorization",
            "tenants/t/role-assignments".into(),
            "item seca.authorization/v1/tenants/t/role-assignments/x @".into(),
        ),
    ];
    let regional = [
        ("seca.workspace", "tenants/t/workspaces"),
        ("seca.storage", "tenants/t/skus"),
        ("seca.storage", "tenants/t/images"),
        ("seca.storage", "W/block-storages"),
        ("seca.compute", "tenants/t/skus"),
        ("seca.compute", "W/instances"),
        ("seca.network", "tenants/t/skus"),
        ("seca.network", "W/networks"),
        ("seca.network", "W/internet-gateways"),
        ("seca.network", "W/nics"),
        ("seca.network", "W/public-ips"),
        ("seca.network", "W/security-groups"),
        ("seca.network", "W/security-group-rules"),
        ("seca.network", "W/networks/n/subnets"),
        ("seca.network", "W/networks/n/route-tables"),
    ];
    for (provider, path) in regional {
        let path = path.replace('W', workspace);
        table.push((provider, path.clone(), format!("item {provider}/v1/{path}/x @REGION")));
    }
    assert_eq!(table.len(), Kind::ALL.len(), "every kind has a row");

    for (provider, path, expected) in table {
        let short = provider.trim_start_matches("seca.");
        let alias = match provider {
            "seca.region" | "seca.authorization" => format!("/v1/{path}"),
            _ => format!("/{short}/v1/{path}"),
        };
        let prefixes = [
            (format!("/providers/{provider}/v1/{path}"), "fsn1"),
            (format!("/regions/nbg1/providers/{provider}/v1/{path}"), "nbg1"),
            (alias, "fsn1"),
        ];
        for (collection, region) in prefixes {
            let item = expected.replace("REGION", region);
            let list = item.replace("item", "list").replace("/x @", "/ @");
            assert_eq!(show(&format!("{collection}/x")), item);
            assert_eq!(show(&collection), list);
            for (path, slashes) in [(&collection, "/"), (&format!("{collection}/x"), "//")] {
                let told = show(&format!("{path}{slashes}"));
                assert_eq!(told, format!("no resource has a path that ends with a slash; leave it out: {path}"));
            }
            let beyond = show(&format!("{collection}/x/detach"));
            let is_predecessors = collection.starts_with("/storage/v1/") && path.ends_with("/block-storages");
            assert_eq!(beyond, if is_predecessors { item.replace("item", "detach") } else { "unknown".to_owned() });
            assert_eq!(show(&format!("{collection}/x/eject")), "unknown");
        }
    }
    for action in ["start", "stop", "restart"] {
        let expected = format!("{action} seca.compute/v1/{workspace}/instances/x @fsn1");
        assert_eq!(show(&format!("/providers/seca.compute/v1/{workspace}/instances/x/{action}")), expected);
        assert_eq!(show(&format!("/compute/v1/{workspace}/instances/x/{action}")), expected);
    }
}

#[test]
fn what_is_no_path_is_unknown() {
    let paths = [
        "",
        "/",
        "//",
        "*",
        "/v1",
        "/v1/tenants/t",
        "/v1/tenants/t/workspaces",
        "/providers",
        "/providers/seca.compute",
        "/providers/seca.compute/v1",
        "/providers/seca.compute/v2/tenants/t/skus",
        "/providers/seca.compute/v1beta1/tenants/t/skus",
        "/providers/seca.compute/v1/v1/tenants/t/skus",
        "/providers/compute/v1/tenants/t/skus",
        "/providers/seca.kubernetes/v1/tenants/t/skus",
        "/providers/seca.compute/v1/tenants/t/images",
        "/providers/seca.storage/v1/tenants/t/workspaces",
        "/providers/seca.compute/v1/tenants//skus",
        "/providers/seca.compute/v1/tenants/t/workspaces//instances",
        "/providers/seca.compute/v1/tenants/t/instances",
        "/providers/seca.network/v1/tenants/t/workspaces/w/subnets",
        "/providers/seca.network/v1/tenants/t/workspaces/w/networks//subnets/x",
        "/providers/seca.network/v1/tenants/t/workspaces/w/networks/n/nics",
        "/providers/seca.workspace/v1/tenants/t/workspaces/w/instances",
        "/providers/seca.compute/v1/tenants/t/workspaces/w/instances/x/pause",
        "/providers/seca.compute/v1/tenants/t/workspaces/w/instances/x/pause/",
        "/providers/seca.compute/v1/tenants/t/",
        "/providers/seca.region/v1/tenants/t/regions",
        "/regions//providers/seca.compute/v1/tenants/t/skus",
        "/region/v1/regions",
        "/Providers/seca.compute/v1/tenants/t/skus",
        "/compute/v1/tenants/t/workspaces/w/instances%2Fx",
    ];
    for path in paths {
        assert_eq!(show(path), "unknown", "{path}");
    }
}

#[test]
fn a_segment_is_decoded_after_the_split_and_refused_where_it_can_be_no_name() {
    assert_eq!(show("/compute/v1/tenants/t/%73kus/%78"), "item seca.compute/v1/tenants/t/skus/x @fsn1");
    assert_eq!(show("/compute/v1/tenants/t/skus/A%20B"), "item seca.compute/v1/tenants/t/skus/A B @fsn1");
    let base = "/compute/v1/tenants/t/workspaces/w/instances";
    let bad = [
        (format!("{base}/a%2Fb"), "t", "instance name", "contains a slash"),
        (format!("{base}/a%2fb/start"), "t", "instance name", "contains a slash"),
        (format!("{base}/%ff"), "t", "instance name", "is not UTF-8"),
        (format!("{base}/a%00"), "t", "instance name", "contains a control character"),
        ("/compute/v1/tenants/t/workspaces/w%2Fv/instances".to_owned(), "t", "workspace name", "contains a slash"),
        ("/network/v1/tenants/t/workspaces/w/networks/%2F/subnets".to_owned(), "t", "network name", "contains a slash"),
        ("/compute/v1/tenants/t%2Fu/skus".to_owned(), "", "tenant name", "contains a slash"),
        ("/regions/a%2Fb/providers/seca.compute/v1/tenants/t/skus".to_owned(), "", "region name", "contains a slash"),
    ];
    for (path, owner, what, flaw) in bad {
        match read(&path) {
            Err(RouteError::Segment { tenant, violation }) => {
                assert_eq!(tenant, owner, "{path}");
                assert!(violation.rule.contains(what) && violation.rule.contains(flaw), "{path}: {}", violation.rule);
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// The operator's words have a wider rule than resources, and one path must not say the one and another the other.
#[test]
fn a_refused_segment_is_told_the_rule_of_its_own_names() {
    let check = |path: &str, rule: &str| {
        let told = read(path).unwrap_err().to_string();
        assert!(told.contains(rule), "{path}: {told}");
    };
    for (text, tenant_rule) in
        [("t%2Fu", TenantName::parse("t/u").unwrap_err()), ("%0A", TenantName::parse("\n").unwrap_err())]
    {
        assert!(tenant_rule.to_string().contains(PLAIN_RULE), "{tenant_rule}");
        check(&format!("/compute/v1/tenants/{text}/skus"), PLAIN_RULE);
        check(&format!("/regions/{text}/providers/seca.compute/v1/tenants/t/skus"), PLAIN_RULE);
        check(&format!("/compute/v1/tenants/t/workspaces/{text}/instances"), NAME_RULE);
        check(&format!("/compute/v1/tenants/t/skus/{text}"), NAME_RULE);
    }
}

#[test]
fn a_collection_that_is_not_served_says_so() {
    let routing = Routing { default_region: "fsn1", written: &[Kind::Instance], read: CATALOG };
    let error = parse("/network/v1/tenants/t/workspaces/w/public-ips/x", routing).unwrap_err();
    assert_eq!(error, RouteError::NotServed(Kind::PublicIp));
    assert!(error.to_string().contains("public-ips of seca.network/v1"), "{error}");
    assert!(parse("/compute/v1/tenants/t/workspaces/w/instances/x", routing).is_ok());
    assert!(parse("/compute/v1/tenants/t/skus/x", routing).is_ok());
}

#[test]
fn a_block_storage_is_attached_under_the_predecessors_path_alone() {
    let place = "tenants/t/workspaces/w";
    let urn = "seca.storage/v1/tenants/t/workspaces/w/block-storages/x @fsn1";
    for word in ["attach", "detach"] {
        let path = |front: &str, rest: &str| format!("{front}/{place}/{rest}/{word}");
        assert_eq!(show(&path("/storage/v1", "block-storages/x")), format!("{word} {urn}"));
        for front in ["/providers/seca.storage/v1", "/regions/fsn1/providers/seca.storage/v1", "/compute/v1"] {
            assert_eq!(show(&path(front, "block-storages/x")), "unknown", "{front}");
        }
        assert_eq!(show(&path("/compute/v1", "instances/x")), "unknown");
        assert_eq!(show(&format!("/storage/v1/tenants/t/images/x/{word}")), "unknown");
        assert_eq!(show(&format!("/storage/v1/tenants/t/a/b/images/x/{word}")), "unknown");
        assert_eq!(show(&format!("{}/more", path("/storage/v1", "block-storages/x"))), "unknown");
        // A block storage of that name is one like others.
        let item = format!("/storage/v1/{place}/block-storages/{word}");
        assert!(show(&item).starts_with("item "), "{item}");
    }
}

#[test]
fn methods_follow_from_the_target() {
    let routing = Routing { default_region: "fsn1", written: &[Kind::Instance], read: CATALOG };
    let methods = |path: &str| {
        let route = parse(path, routing).unwrap();
        route.target.methods(routing).iter().map(Method::as_str).collect::<Vec<_>>().join(" ")
    };
    let base = "/compute/v1/tenants/t";
    assert_eq!(methods(&format!("{base}/skus/x")), "GET");
    assert_eq!(methods(&format!("{base}/workspaces/w/instances")), "GET");
    assert_eq!(methods(&format!("{base}/workspaces/w/instances/x")), "GET PUT DELETE");
    assert_eq!(methods(&format!("{base}/workspaces/w/instances/x/stop")), "POST");
    let volumes = Routing { written: &[Kind::BlockStorage], ..routing };
    let route = parse("/storage/v1/tenants/t/workspaces/w/block-storages/x/attach", volumes).unwrap();
    assert_eq!(route.target.methods(volumes), [Method::POST]);
}

fn routes() -> impl Strategy<Value = Route> {
    // Names need not follow their rule: what is printed must be read, whatever it is.
    let part = "[a-zA-Z0-9 %?#._~äß:@!+&=;-]{1,12}";
    let kind = proptest::sample::select(&Kind::ALL[..]);
    (kind, part, part, part, part, part, 0..5usize).prop_map(
        |(kind, region, tenant, workspace, network, name, shape)| {
            let scope = kind.scope();
            let within = |inside: bool, text: String| if inside { text } else { String::new() };
            let global = kind.provider().is_global();
            let region = if global { "fsn1".to_owned() } else { region };
            let key = ResourceKey {
                tenant: within(scope != Scope::Global, tenant),
                region: within(!global, region.clone()),
                kind,
                workspace: within(matches!(scope, Scope::Workspace | Scope::Network), workspace),
                network: within(scope == Scope::Network, network),
                name: within(shape != 0, name),
            };
            let target = match (shape, kind) {
                (0, _) => Target::Collection(key),
                (1, Kind::Instance) => Target::Action(key, ActionKind::Start),
                (2, Kind::Instance) => Target::Action(key, ActionKind::Restart),
                // The predecessor's paths are bound to the default region.
                (1, Kind::BlockStorage) => {
                    let key = ResourceKey { region: "fsn1".to_owned(), ..key };
                    return Route { region: key.region.clone(), target: Target::Attachment(key, Attachment::Detach) };
                }
                _ => Target::Item(key),
            };
            Route { region, target }
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(route in routes()) {
        prop_assert_eq!(read(&route.to_string()), Ok(route));
    }

    #[test]
    fn nothing_that_is_sent_panics(path in "(/[a-z0-9%./]{0,12}){0,9}") {
        let _ = read(&path);
    }
}
