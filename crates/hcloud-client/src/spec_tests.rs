//! The client against the facts of the provider's own specification: every typed call is made, answered with
//! every example of its operation, and what it sends is checked against the operation's schema.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use specifications::hetzner_cloud;

use crate::types::*;
use crate::{
    Access, ApiRequest, ApiResponse, Error, Hcloud, HcloudApi, ImageFilter, ListFilter, ProjectClient, TransportError,
    environment,
};

type Call = Box<dyn Fn(ProjectClient) -> Pin<Box<dyn Future<Output = Result<(), Error>>>>>;

macro_rules! calls {
    ($($name:ident($($argument:expr),*);)+) => {
        vec![$((
            stringify!($name),
            Box::new(|client: ProjectClient| {
                Box::pin(async move { client.$name($($argument),*).await.map(drop) })
                    as Pin<Box<dyn Future<Output = _>>>
            }) as Call,
        )),+]
    };
}

fn labels() -> Labels {
    [("seca.uid".to_owned(), "x".to_owned())].into()
}
fn id<T>() -> Id<T> {
    Id::new(42)
}
fn name() -> Option<String> {
    Some("new-name".to_owned())
}
fn filter() -> ListFilter {
    ListFilter { name: name(), label_selector: Some("env=prod".to_owned()) }
}

/// Every typed call, with every field of every body set.
#[allow(clippy::too_many_lines, reason = "a table: one entry per call")]
fn calls() -> Vec<(&'static str, Call)> {
    calls! {
        actions(&[Id::new(1), Id::new(2)]);
        list_locations();
        list_server_types();
        list_images(&ImageFilter {
            kind: Some(ImageType::Snapshot),
            status: Some(ImageStatus::Available),
            architecture: Some(Architecture::X86),
            name: name(),
            label_selector: Some("a=b".to_owned()),
            bound_to: Some(id()),
            include_deprecated: true,
        });
        get_image(id());
        delete_image(id());
        list_servers(&filter());
        get_server(id());
        create_server(&CreateServer {
            name: "web".to_owned(),
            server_type: "cx23".to_owned(),
            image: "ubuntu-24.04".to_owned(),
            location: Some("fsn1".to_owned()),
            ssh_keys: vec!["key".to_owned()],
            volumes: vec![id()],
            networks: vec![id()],
            firewalls: vec![CreateServerFirewall { firewall: id() }],
            placement_group: Some(id()),
            user_data: Some(UserData::new("#cloud-config")),
            labels: labels(),
            automount: Some(false),
            start_after_create: Some(false),
            public_net: Some(CreateServerPublicNet {
                enable_ipv4: true,
                enable_ipv6: true,
                ipv4: Some(id()),
                ipv6: Some(id()),
            }),
        });
        update_image(id(), &UpdateImage { description: name(), kind: Some(ImageType::Snapshot), labels: Some(labels()) });
        update_server(id(), &UpdateServer { name: name(), labels: Some(labels()) });
        delete_server(id());
        list_server_actions(id());
        power_on(id());
        power_off(id());
        shutdown(id());
        reboot(id());
        reset(id());
        change_server_type(id(), &ChangeType { server_type: "cx33".to_owned(), upgrade_disk: false });
        create_image(id(), &CreateImage {
            description: Some("d".to_owned()),
            kind: Some(ImageType::Snapshot),
            labels: labels(),
        });
        attach_to_network(id(), &AttachToNetwork {
            network: id(),
            ip: Some([10, 0, 1, 1].into()),
            ip_range: Some("10.0.1.0/24".parse().unwrap()),
            alias_ips: vec![[10, 0, 1, 2].into()],
        });
        detach_from_network(id(), id());
        change_alias_ips(id(), &ChangeAliasIps { network: id(), alias_ips: vec![[10, 0, 1, 2].into()] });
        add_to_placement_group(id(), id());
        remove_from_placement_group(id());
        list_volumes(&filter());
        get_volume(id());
        create_volume(&CreateVolume {
            size: 42,
            name: "data".to_owned(),
            labels: labels(),
            location: Some("fsn1".to_owned()),
            server: Some(id()),
            automount: Some(false),
            format: Some(VolumeFormat::Ext4),
        });
        update_volume(id(), &UpdateVolume { name: name(), labels: Some(labels()) });
        delete_volume(id());
        list_volume_actions(id());
        attach_volume(id(), &AttachVolume { server: id(), automount: Some(false) });
        detach_volume(id());
        resize_volume(id(), 50);
        list_networks(&filter());
        get_network(id());
        create_network(&CreateNetwork {
            name: "net".to_owned(),
            ip_range: "10.0.0.0/16".parse().unwrap(),
            labels: labels(),
            subnets: vec![AddSubnet { vswitch_id: Some(1), ..subnet() }],
            routes: vec![route()],
            expose_routes_to_vswitch: Some(false),
        });
        update_network(id(), &UpdateNetwork {
            name: name(),
            labels: Some(labels()),
            expose_routes_to_vswitch: Some(false),
        });
        delete_network(id());
        add_subnet(id(), &subnet());
        delete_subnet(id(), "10.0.1.0/24".parse().unwrap());
        add_route(id(), &route());
        delete_route(id(), &route());
        change_ip_range(id(), "10.0.0.0/12".parse().unwrap());
        list_primary_ips(&filter());
        get_primary_ip(id());
        create_primary_ip(&CreatePrimaryIp {
            name: "ip".to_owned(),
            kind: IpType::Ipv4,
            location: Some("fsn1".to_owned()),
            assignee_type: Some(AssigneeType::Server),
            assignee_id: Some(42),
            auto_delete: Some(false),
            labels: labels(),
        });
        update_primary_ip(id(), &UpdatePrimaryIp {
            name: name(),
            labels: Some(labels()),
            auto_delete: Some(true),
        });
        delete_primary_ip(id());
        assign_primary_ip(id(), id());
        unassign_primary_ip(id());
        list_firewalls(&filter());
        get_firewall(id());
        create_firewall(&CreateFirewall {
            name: "fw".to_owned(),
            labels: labels(),
            rules: vec![rule()],
            apply_to: vec![FirewallResource::server(id()), selected()],
        });
        update_firewall(id(), &UpdateFirewall { name: name(), labels: Some(labels()) });
        delete_firewall(id());
        set_firewall_rules(id(), &[rule()]);
        apply_firewall(id(), &[FirewallResource::server(id()), selected()]);
        remove_firewall(id(), &[FirewallResource::server(id())]);
        list_placement_groups(&filter());
        get_placement_group(id());
        create_placement_group(&CreatePlacementGroup {
            name: "pg".to_owned(),
            kind: PlacementGroupType::Spread,
            labels: labels(),
        });
        update_placement_group(id(), &UpdatePlacementGroup { name: name(), labels: Some(labels()) });
        delete_placement_group(id());
        list_ssh_keys(&filter());
        get_ssh_key(id());
        create_ssh_key(&CreateSshKey {
            name: "key".to_owned(),
            public_key: "ssh-ed25519 AAAA".to_owned(),
            labels: labels(),
        });
        delete_ssh_key(id());
    }
}

fn subnet() -> AddSubnet {
    AddSubnet::cloud("10.0.1.0/24".parse().unwrap(), "eu-central")
}
fn route() -> Route {
    Route { destination: "10.100.1.0/24".parse().unwrap(), gateway: [10, 0, 1, 1].into() }
}
fn rule() -> FirewallRule {
    FirewallRule {
        description: Some("web".to_owned()),
        direction: RuleDirection::In,
        source_ips: vec!["0.0.0.0/0".parse().unwrap()],
        destination_ips: vec!["::/0".parse().unwrap()],
        protocol: RuleProtocol::Tcp,
        port: Some("80".to_owned()),
    }
}
fn selected() -> FirewallResource {
    FirewallResource {
        kind: FirewallTarget::LabelSelector,
        server: None,
        label_selector: Some(FirewallSelector { selector: "env=prod".to_owned() }),
        applied_to_resources: Vec::new(),
    }
}

/// Decodes an example of a request with the type that the call sends, and writes it again.
fn read_request(operation: &str, example: &Value) -> Result<Value, String> {
    fn read<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
        let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        serde_json::to_value(read).map_err(|error| error.to_string())
    }
    let path = operation.replace("/{id}", "");
    let read = match path.as_str() {
        "POST /servers" => read::<CreateServer>,
        "PUT /images" => read::<UpdateImage>,
        "PUT /servers" => read::<UpdateServer>,
        "POST /servers/actions/change_type" => read::<ChangeType>,
        "POST /servers/actions/create_image" => read::<CreateImage>,
        "POST /servers/actions/attach_to_network" => read::<AttachToNetwork>,
        "POST /servers/actions/detach_from_network" => read::<DetachFromNetwork>,
        "POST /servers/actions/change_alias_ips" => read::<ChangeAliasIps>,
        "POST /servers/actions/add_to_placement_group" => read::<AddToPlacementGroup>,
        "POST /volumes" => read::<CreateVolume>,
        "PUT /volumes" => read::<UpdateVolume>,
        "POST /volumes/actions/attach" => read::<AttachVolume>,
        "POST /volumes/actions/resize" => read::<ResizeVolume>,
        "POST /networks" => read::<CreateNetwork>,
        "PUT /networks" => read::<UpdateNetwork>,
        "POST /networks/actions/add_subnet" => read::<AddSubnet>,
        "POST /networks/actions/delete_subnet" => read::<IpRange>,
        "POST /networks/actions/change_ip_range" => read::<IpRange>,
        "POST /networks/actions/add_route" => read::<Route>,
        "POST /networks/actions/delete_route" => read::<Route>,
        "POST /primary_ips" => read::<CreatePrimaryIp>,
        "PUT /primary_ips" => read::<UpdatePrimaryIp>,
        "POST /primary_ips/actions/assign" => read::<AssignPrimaryIp>,
        "POST /firewalls" => read::<CreateFirewall>,
        "PUT /firewalls" => read::<UpdateFirewall>,
        "POST /firewalls/actions/set_rules" => read::<SetRules>,
        "POST /firewalls/actions/apply_to_resources" => read::<ApplyTo>,
        "POST /firewalls/actions/remove_from_resources" => read::<RemoveFrom>,
        "POST /placement_groups" => read::<CreatePlacementGroup>,
        "PUT /placement_groups" => read::<UpdatePlacementGroup>,
        "POST /ssh_keys" => read::<CreateSshKey>,
        _ => return Err("no type is named for this request".to_owned()),
    };
    read(example)
}

/// Examples of a body: the whole ones of the media type, and two put together from the schema:
/// one with everything, one with only what is required and `null` where that is allowed.
fn examples(media: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    all.extend(media.get("example").cloned());
    if let Some(named) = media.get("examples").and_then(Value::as_object) {
        all.extend(named.values().filter_map(|named| named.get("value").cloned()));
    }
    let schema = &media["schema"];
    all.extend(schema.get("example").cloned());
    if holds_example(schema) {
        all.push(assembled(schema, Extent::Full, 0));
        all.push(assembled(schema, Extent::Least, 0));
    }
    all
}

/// Whether the schema carries an example somewhere: made-up values alone prove nothing.
fn holds_example(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(name, value)| name == "example" || holds_example(value)),
        Value::Array(items) => items.iter().any(holds_example),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Full,
    Least,
}

fn assembled(schema: &Value, extent: Extent, depth: usize) -> Value {
    let nullable = schema["nullable"] == json!(true);
    if nullable && extent == Extent::Least {
        return Value::Null;
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let wanted = |name: &str| extent == Extent::Full || depth == 0 || required.contains(name);
        return properties
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, schema)| (name.clone(), assembled(schema, extent, depth + 1)))
            .collect::<Map<_, _>>()
            .into();
    }
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(items) = schema.get("items") {
        // The list itself stands at depth one; lists inside resources may be empty.
        return match extent == Extent::Full || depth == 1 {
            true => json!([assembled(items, extent, depth + 1)]),
            false => json!([]),
        };
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!("text"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("object") => json!({}),
        _ if nullable => Value::Null,
        other => panic!("no example can be put together for type {other:?}: {schema}"),
    }
}

/// The operation that a request is for: the template whose variable parts are numbers.
fn operation<'a>(spec: &'a Value, request: &ApiRequest) -> (String, &'a Value) {
    let template = request
        .path
        .split('/')
        .map(|part| match part.parse::<i64>() {
            Ok(_) => "{id}",
            Err(_) => part,
        })
        .collect::<Vec<_>>()
        .join("/");
    let method = request.method.as_str();
    let operation = &spec["paths"][&template][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {template} is not in the specification");
    (format!("{method} {template}"), operation)
}

fn success(operation: &Value) -> (StatusCode, Option<&Value>) {
    let (status, response) = operation["responses"]
        .as_object()
        .expect("responses")
        .iter()
        .find(|(status, _)| status.starts_with('2'))
        .expect("a success");
    let media = response.pointer("/content/application~1json");
    (status.parse().expect("a status"), media)
}

/// Answers with the n-th example of the operation, and keeps the requests.
struct Examples {
    spec: Arc<Value>,
    nth: usize,
    requests: Mutex<Vec<ApiRequest>>,
}

#[async_trait]
impl HcloudApi for Examples {
    async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError> {
        let (_, operation) = operation(&self.spec, &request);
        let (status, media) = success(operation);
        let body = match media {
            Some(media) => examples(media).swap_remove(self.nth).to_string().into(),
            None => Vec::new(),
        };
        self.requests.lock().unwrap().push(request);
        Ok(ApiResponse { status, headers: HeaderMap::new(), body })
    }
}

async fn make(call: &Call, spec: &Arc<Value>, nth: usize) -> (Result<(), Error>, Vec<ApiRequest>) {
    let api = Arc::new(Examples { spec: Arc::clone(spec), nth, requests: Mutex::default() });
    let hcloud =
        Hcloud::new(Arc::clone(&api) as Arc<dyn HcloudApi>, environment(|| time::OffsetDateTime::UNIX_EPOCH, || 0.5));
    let client = hcloud.project(Access {
        endpoint: "http://localhost/v1".parse().unwrap(),
        token: "t".to_owned().into(),
        project: "p".to_owned(),
    });
    let result = call(client).await;
    let requests = api.requests.lock().unwrap().clone();
    (result, requests)
}

#[tokio::test(start_paused = true)]
async fn every_example_of_every_answer_is_read() {
    let spec = Arc::new(hetzner_cloud());
    let mut read = 0;
    for (name, call) in calls() {
        let mut nth = 0;
        loop {
            let (result, requests) = make(&call, &spec, nth).await;
            result.unwrap_or_else(|error| panic!("{name}, example {nth}: {error}"));
            let (operation_name, operation) = operation(&spec, &requests[0]);
            let (_, media) = success(operation);
            let count = media.map(|media| examples(media).len());
            assert_ne!(count, Some(0), "{operation_name} has no example to read");
            read += usize::from(count.is_some());
            nth += 1;
            if nth >= count.unwrap_or(0) {
                break;
            }
        }
    }
    assert!(read > 100, "only {read} examples were read");
}

#[tokio::test(start_paused = true)]
async fn every_example_of_every_request_is_read_and_written_back() {
    let spec = Arc::new(hetzner_cloud());
    for (_, call) in calls() {
        let (_, requests) = make(&call, &spec, 0).await;
        let (name, operation) = operation(&spec, &requests[0]);
        let Some(media) = operation.pointer("/requestBody/content/application~1json") else {
            continue;
        };
        let examples = examples(media);
        assert!(!examples.is_empty(), "{name} has no example to read");
        for example in examples {
            let written = read_request(&name, &example).unwrap_or_else(|error| panic!("{name}: {error}\n{example}"));
            check_fields(&name, &media["schema"], &written);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_field_and_parameter_sent_is_in_the_specification() {
    let spec = Arc::new(hetzner_cloud());
    for (_, call) in calls() {
        let (_, requests) = make(&call, &spec, 0).await;
        for request in &requests {
            let (name, operation) = operation(&spec, request);
            for (parameter, value) in &request.query {
                let declared = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|declared| declared["name"] == json!(parameter))
                    .unwrap_or_else(|| panic!("{name}: parameter {parameter} is not declared"));
                let allowed = &declared["schema"]["items"]["enum"];
                if let Some(allowed) = allowed.as_array() {
                    assert!(allowed.contains(&json!(value)), "{name}: {parameter}={value}");
                }
            }
            let media = operation.pointer("/requestBody/content/application~1json");
            match (&request.body, media) {
                (Some(body), Some(media)) => {
                    let body: Value = serde_json::from_slice(body).expect("JSON");
                    check_fields(&name, &media["schema"], &body);
                }
                (None, media) => assert!(media.is_none(), "{name}: a body is missing"),
                (Some(_), None) => panic!("{name}: no body is expected"),
            }
        }
    }
}

/// Names, types, enums and required fields of what we send.
fn check_fields(at: &str, schema: &Value, sent: &Value) {
    let kind = schema["type"].as_str().unwrap_or("object");
    let fits = match sent {
        Value::Null => schema["nullable"] == json!(true),
        Value::Bool(_) => kind == "boolean",
        Value::Number(_) => matches!(kind, "integer" | "number"),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    };
    assert!(fits, "{at}: {sent} is sent, the specification says {kind}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(sent), "{at}: {sent} is none of {allowed:?}");
    }
    if let Some(items) = sent.as_array() {
        for item in items {
            check_fields(&format!("{at}[]"), &schema["items"], item);
        }
    }
    let (Some(fields), Some(properties)) = (sent.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (field, value) in fields {
        let known = properties.get(field).unwrap_or_else(|| panic!("{at}: field {field} is not in the request schema"));
        check_fields(&format!("{at}.{field}"), known, value);
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        let required = required.as_str().expect("a name");
        assert!(fields.contains_key(required), "{at}: {required} is required");
    }
}

#[test]
fn every_typed_call_is_in_the_table() {
    let sources = [
        include_str!("calls/actions.rs"),
        include_str!("calls/catalog.rs"),
        include_str!("calls/firewalls.rs"),
        include_str!("calls/networks.rs"),
        include_str!("calls/placement_groups.rs"),
        include_str!("calls/primary_ips.rs"),
        include_str!("calls/servers.rs"),
        include_str!("calls/ssh_keys.rs"),
        include_str!("calls/volumes.rs"),
    ];
    let declared: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.split("pub async fn ").skip(1))
        .filter_map(|rest| rest.split(['(', '<']).next())
        .filter(|name| !name.starts_with("wait"))
        .collect();
    let exercised: BTreeSet<&str> = calls().iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, exercised);
}
