//! Every answer of the simulator is one that the provider's API document allows, give or take a list of dated changes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod spec;

use hcloud_sim::{CoreConfig, SimRequest, SimResponse, Simulator, Time};
use http::Method;
use serde_json::{Value, json};
use spec::Spec;
use std::collections::BTreeSet;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f check";

struct Run {
    cloud: Simulator,
    spec: Spec,
    now: Time,
    validated: BTreeSet<(String, String)>,
}

impl Run {
    fn new() -> Self {
        let mut cloud = Simulator::new(CoreConfig::default());
        cloud.add_project("p", "token", Some("reader"), Time(0));
        Self { cloud, spec: Spec::load(), now: Time(1_790_000_000_000), validated: BTreeSet::new() }
    }

    /// Sends a request a second after the last one; `{id}` and `{action_id}` are filled in order.
    fn send(&mut self, method: &Method, template: &str, ids: &[i64], query: &str, body: &Value) -> SimResponse {
        self.now = self.now.plus_ms(1000);
        let mut path = format!("/v1{template}");
        for id in ids {
            let (start, end) = (path.find('{').unwrap(), path.find('}').unwrap());
            path.replace_range(start..=end, &id.to_string());
        }
        let mut request = SimRequest::new(method.clone(), &format!("{path}?{query}")).with_token("token");
        if !body.is_null() {
            request = request.with_json(body);
        }
        let response = self.cloud.handle(&request, self.now);
        self.spec.validate(method, template, &response);
        response
    }

    /// A request that must succeed.
    fn ok(&mut self, method: &Method, template: &str, ids: &[i64], body: &Value) -> Value {
        let response = self.send(method, template, ids, "", body);
        assert!(response.status.is_success(), "{method} {template} {ids:?}: {}", response.json());
        self.validated.insert((method.to_string(), template.to_owned()));
        response.json()
    }

    fn post(&mut self, template: &str, ids: &[i64], body: &Value) -> Value {
        self.ok(&Method::POST, template, ids, body)
    }

    /// GET of one, of the list, PUT, and the actions of the kind.
    fn read_and_update(&mut self, kind: &str, id: i64, body: &Value) {
        self.ok(&Method::GET, &format!("/{kind}"), &[], &Value::Null);
        self.ok(&Method::GET, &format!("/{kind}/{{id}}"), &[id], &Value::Null);
        if !body.is_null() {
            self.ok(&Method::PUT, &format!("/{kind}/{{id}}"), &[id], body);
        }
    }

    fn read_actions(&mut self, kind: &str, id: i64) {
        self.ok(&Method::GET, &format!("/{kind}/actions"), &[], &Value::Null);
        let list = self.ok(&Method::GET, &format!("/{kind}/{{id}}/actions"), &[id], &Value::Null);
        let action = list["actions"][0]["id"].as_i64().unwrap();
        self.ok(&Method::GET, &format!("/{kind}/actions/{{id}}"), &[action], &Value::Null);
        self.ok(&Method::GET, &format!("/{kind}/{{id}}/actions/{{action_id}}"), &[id, action], &Value::Null);
    }

    fn delete(&mut self, kind: &str, id: i64) {
        self.ok(&Method::DELETE, &format!("/{kind}/{{id}}"), &[id], &Value::Null);
    }
}

fn id(body: &Value, key: &str) -> i64 {
    body[key]["id"].as_i64().unwrap()
}

#[test]
fn every_answer_is_one_that_the_document_allows() {
    let mut run = Run::new();
    catalogue(&mut run);
    let ids = create_everything(&mut run);
    act_on_the_server(&mut run, &ids);
    act_on_the_rest(&mut run, &ids);
    delete_everything(&mut run, &ids);
    refusals(&mut run);

    let mut missing = Vec::new();
    for (method, template) in run.spec.operations() {
        let response = probe(&mut run.cloud, run.now, &method, &template);
        let code = response.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        if response.status == 501 || (template.starts_with("/datacenters") && code == "deprecated_api_endpoint") {
            continue;
        }
        let message = response.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_ne!(
            message, "the requested path does not exist",
            "{method} {template}: neither there nor refused with 501"
        );
        if !run.validated.contains(&(method.to_string(), template.clone())) {
            missing.push(format!("{method} {template}"));
        }
    }
    assert!(missing.is_empty(), "implemented, but no answer was ever checked: {missing:#?}");
    println!("{} operations checked against the document", run.validated.len());
}

/// Asks for an operation on objects that are not there, to learn whether the simulator has it.
fn probe(cloud: &mut Simulator, now: Time, method: &Method, template: &str) -> SimResponse {
    let mut path = format!("/v1{template}");
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "1");
    }
    cloud.handle(&SimRequest::new(method.clone(), &path).with_token("token"), now)
}

struct Ids {
    key: i64,
    group: i64,
    network: i64,
    firewall: i64,
    address: i64,
    volume: i64,
    server: i64,
}

fn catalogue(run: &mut Run) {
    run.read_and_update("locations", 1, &Value::Null);
    run.read_and_update("server_types", 114, &Value::Null);
    run.read_and_update("images", 161_547_269, &Value::Null);
    run.ok(&Method::GET, "/pricing", &[], &Value::Null);
}

fn create_everything(run: &mut Run) -> Ids {
    let key =
        id(&run.post("/ssh_keys", &[], &json!({"name": "k", "public_key": KEY, "labels": {"a": "b"}})), "ssh_key");
    let group = id(&run.post("/placement_groups", &[], &json!({"name": "g", "type": "spread"})), "placement_group");
    let network = id(
        &run.post(
            "/networks",
            &[],
            &json!({"name": "n", "ip_range": "10.0.0.0/16", "labels": {},
                "subnets": [{"type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.1.0/24"}],
                "routes": [{"destination": "0.0.0.0/0", "gateway": "10.0.1.9"}]}),
        ),
        "network",
    );
    let rule = json!({"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"]});
    let firewall = id(
        &run.post(
            "/firewalls",
            &[],
            &json!({"name": "f", "rules": [rule],
                "apply_to": [{"type": "label_selector", "label_selector": {"selector": "app=web"}}]}),
        ),
        "firewall",
    );
    let address = json!({"name": "a", "type": "ipv4", "location": "fsn1", "assignee_type": "server"});
    let address = id(&run.post("/primary_ips", &[], &address), "primary_ip");
    let volume = id(&run.post("/volumes", &[], &json!({"name": "v", "size": 10, "location": "fsn1"})), "volume");
    let server = run.post(
        "/servers",
        &[],
        &json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1",
            "ssh_keys": ["k"], "volumes": [volume], "networks": [network], "firewalls": [{"firewall": firewall}],
            "placement_group": group, "labels": {"app": "web"}, "public_net": {"ipv4": address, "enable_ipv6": true}}),
    );
    assert_eq!(server["next_actions"].as_array().unwrap().len(), 3, "attach network, attach volume, start");
    assert_eq!(server["root_password"], Value::Null, "a key was given");
    let ids = Ids { key, group, network, firewall, address, volume, server: id(&server, "server") };
    let action = server["action"]["id"].as_i64().unwrap();
    let batch = run.send(&Method::GET, "/actions", &[], &format!("id={action}&id=1"), &Value::Null);
    assert_eq!(batch.json()["actions"].as_array().unwrap().len(), 1, "unknown ids are just not there");
    run.validated.insert(("GET".to_owned(), "/actions".to_owned()));
    run.ok(&Method::GET, "/actions/{id}", &[action], &Value::Null);
    run.read_and_update("servers", ids.server, &json!({"name": "web2", "labels": {"app": "web"}}));
    run.read_and_update("ssh_keys", key, &json!({"name": "k2"}));
    run.read_and_update("placement_groups", group, &json!({"labels": {"x": "y"}}));
    run.read_and_update("networks", network, &json!({"labels": {"x": "y"}}));
    run.read_and_update("firewalls", firewall, &json!({"labels": {"x": "y"}}));
    run.read_and_update("primary_ips", address, &json!({"auto_delete": false}));
    run.read_and_update("volumes", volume, &json!({"labels": {"x": "y"}}));
    ids
}

fn act_on_the_server(run: &mut Run, ids: &Ids) {
    let none = Value::Null;
    let server = run.ok(&Method::GET, "/servers/{id}", &[ids.server], &none);
    assert_eq!(server["server"]["status"], "running");
    let ip = server["server"]["public_net"]["ipv4"]["ip"].as_str().unwrap().to_owned();
    let steps = [
        ("reboot", none.clone()),
        ("reset", none.clone()),
        ("reset_password", none.clone()),
        ("change_dns_ptr", json!({"ip": ip, "dns_ptr": "web.example.com"})),
        ("enable_rescue", json!({"type": "linux64"})),
        ("disable_rescue", none.clone()),
        ("shutdown", none.clone()),
        ("poweroff", none.clone()),
        ("change_type", json!({"server_type": "cx33", "upgrade_disk": false})),
        ("create_image", json!({"type": "snapshot", "description": "s", "labels": {"a": "b"}})),
        ("rebuild", json!({"image": "debian-12"})),
        ("poweroff", none.clone()),
        ("detach_from_network", json!({"network": ids.network})),
        ("attach_to_network", json!({"network": ids.network, "ip": "10.0.1.50"})),
        ("change_alias_ips", json!({"network": ids.network, "alias_ips": ["10.0.1.51"]})),
        ("remove_from_placement_group", none.clone()),
        ("add_to_placement_group", json!({"placement_group": ids.group})),
        ("change_protection", json!({"delete": true, "rebuild": true})),
        ("change_protection", json!({"delete": false, "rebuild": false})),
        ("poweron", none),
    ];
    for (name, body) in steps {
        run.post(&format!("/servers/{{id}}/actions/{name}"), &[ids.server], &body);
    }
    run.read_actions("servers", ids.server);
}

fn act_on_the_rest(run: &mut Run, ids: &Ids) {
    let images = run.send(&Method::GET, "/images", &[], "type=snapshot&label_selector=a", &Value::Null).json();
    let image = images["images"][0]["id"].as_i64().unwrap();
    run.ok(&Method::PUT, "/images/{id}", &[image], &json!({"description": "t"}));
    run.post("/images/{id}/actions/change_protection", &[image], &json!({"delete": false}));
    run.read_actions("images", image);
    run.delete("images", image);

    let route = json!({"destination": "192.168.0.0/24", "gateway": "10.0.1.9"});
    for (name, body) in [
        ("add_subnet", json!({"type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.2.0/24"})),
        ("delete_subnet", json!({"ip_range": "10.0.2.0/24"})),
        ("add_route", route.clone()),
        ("delete_route", route),
        ("change_ip_range", json!({"ip_range": "10.0.0.0/15"})),
        ("change_protection", json!({"delete": false})),
    ] {
        run.post(&format!("/networks/{{id}}/actions/{name}"), &[ids.network], &body);
    }
    run.read_actions("networks", ids.network);

    for (name, body) in [
        ("detach", Value::Null),
        ("resize", json!({"size": 20})),
        ("attach", json!({"server": ids.server, "automount": false})),
        ("change_protection", json!({"delete": false})),
    ] {
        run.post(&format!("/volumes/{{id}}/actions/{name}"), &[ids.volume], &body);
    }
    run.read_actions("volumes", ids.volume);

    run.post("/servers/{id}/actions/poweroff", &[ids.server], &Value::Null);
    for (name, body) in [
        ("unassign", Value::Null),
        ("assign", json!({"assignee_type": "server", "assignee_id": ids.server})),
        ("change_dns_ptr", json!({"ip": "198.18.0.1", "dns_ptr": "web.example.com"})),
        ("change_protection", json!({"delete": false})),
    ] {
        run.post(&format!("/primary_ips/{{id}}/actions/{name}"), &[ids.address], &body);
    }
    run.read_actions("primary_ips", ids.address);

    let rule = json!({"direction": "in", "protocol": "icmp", "source_ips": ["0.0.0.0/0"]});
    run.post("/firewalls/{id}/actions/set_rules", &[ids.firewall], &json!({"rules": [rule]}));
    let target = json!([{"type": "server", "server": {"id": ids.server}}]);
    run.post("/firewalls/{id}/actions/remove_from_resources", &[ids.firewall], &json!({"remove_from": target}));
    run.post("/firewalls/{id}/actions/apply_to_resources", &[ids.firewall], &json!({"apply_to": target}));
    let selector = json!([{"type": "label_selector", "label_selector": {"selector": "app=web"}}]);
    run.post("/firewalls/{id}/actions/remove_from_resources", &[ids.firewall], &json!({"remove_from": selector}));
    run.read_actions("firewalls", ids.firewall);
}

fn delete_everything(run: &mut Run, ids: &Ids) {
    run.delete("servers", ids.server);
    run.delete("volumes", ids.volume);
    run.delete("primary_ips", ids.address);
    run.delete("firewalls", ids.firewall);
    run.delete("networks", ids.network);
    run.delete("placement_groups", ids.group);
    run.delete("ssh_keys", ids.key);
    for kind in ["servers", "volumes", "primary_ips", "firewalls", "networks", "placement_groups", "ssh_keys"] {
        let list = run.send(&Method::GET, &format!("/{kind}"), &[], "", &Value::Null).json();
        assert_eq!(list[kind], json!([]), "the server's automatic IPv6 address went with it");
    }
}

fn refusals(run: &mut Run) {
    let server = json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "sin"});
    for (method, template, ids, body, status, code) in [
        (Method::GET, "/servers/{id}", vec![1], Value::Null, 404, "not_found"),
        (Method::GET, "/actions", vec![], Value::Null, 410, "deprecated_api_endpoint"),
        (Method::GET, "/datacenters", vec![], Value::Null, 410, "deprecated_api_endpoint"),
        (Method::GET, "/load_balancers", vec![], Value::Null, 501, "not_implemented"),
        (Method::GET, "/zones", vec![], Value::Null, 501, "not_implemented"),
        (Method::POST, "/servers", vec![], server, 422, "invalid_input"),
        (Method::POST, "/servers", vec![], json!({}), 422, "invalid_input"),
        (Method::POST, "/networks", vec![], json!({"name": "n", "ip_range": "8.8.8.0/24"}), 422, "invalid_input"),
    ] {
        let response = run.send(&method, template, &ids, "", &body);
        assert_eq!(response.status, status, "{method} {template}");
        assert_eq!(response.json()["error"]["code"], code, "{method} {template}");
    }
}
