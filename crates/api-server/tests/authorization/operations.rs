//! The operations of the published documents, and the documents to send to them.

use std::fs;

use serde_json::{Value, json};

/// Something that can be asked of the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// `seca.compute`, or `wellknown`.
    pub provider: String,
    /// As in the document, with its parameters.
    pub template: String,
    pub method: String,
}

/// What the parameters of a path stand for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub tenant: &'a str,
    pub workspace: &'a str,
    pub network: &'a str,
    pub name: &'a str,
}

/// What is there in every tenant and every workspace.
pub const HERE: &str = "here";

/// What is nowhere.
pub const GONE: &str = "gone";

/// In a workspace of a tenant. The name is that of what is there, whatever the kind.
pub const fn place<'a>(tenant: &'a str, workspace: &'a str) -> Place<'a> {
    Place { tenant, workspace, network: HERE, name: HERE }
}

/// All operations of all documents.
pub fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (provider, document) in documents() {
        for (template, item) in document["paths"].as_object().unwrap() {
            let known = ["get", "put", "post", "delete", "patch", "head", "options"];
            for method in item.as_object().unwrap().keys().filter(|name| known.contains(&name.as_str())) {
                let (provider, method) = (provider.clone(), method.to_uppercase());
                operations.push(Operation { provider, template: template.clone(), method });
            }
        }
    }
    assert!(operations.len() >= 69, "operations were lost: {}", operations.len());
    operations
}

/// The published documents, by provider.
pub fn documents() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let document = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (stem.strip_suffix(".v1").unwrap().to_owned(), document)
        })
        .collect();
    documents.sort_by(|a, b| a.0.cmp(&b.0));
    documents
}

impl Operation {
    fn segments(&self) -> Vec<&str> {
        self.template.split('/').skip(1).collect()
    }

    pub fn is_item(&self) -> bool {
        self.template.ends_with("{name}")
    }

    pub fn has(&self, parameter: &str) -> bool {
        self.template.contains(parameter)
    }

    /// `roles`; of an action, that of what it is done to.
    pub fn collection(&self) -> &str {
        match self.segments()[..] {
            [.., collection, "{name}"] | [.., collection, "{name}", _] | [.., collection] => collection,
            [] => "",
        }
    }

    /// `LIST`, `GET`, `PUT`, `DELETE`, or the action: `START`.
    pub fn verb(&self) -> String {
        match (self.method.as_str(), self.segments()[..].last()) {
            ("POST", Some(action)) => action.to_uppercase(),
            ("GET", _) if !self.is_item() && self.provider != "wellknown" => "LIST".to_owned(),
            (method, _) => method.to_owned(),
        }
    }

    /// Whether it is about something in a workspace, or a workspace itself.
    pub fn is_in_workspace(&self) -> bool {
        self.has("{workspace}") || (self.collection() == "workspaces" && self.is_item())
    }

    /// The name of what is there.
    pub fn name<'a>(&self, place: Place<'a>) -> &'a str {
        match (self.provider.as_str(), self.collection(), place.name) {
            (_, "workspaces", HERE) => place.workspace,
            (_, "regions", HERE) => "fsn1",
            ("seca.compute", "skus", HERE) => "cx23",
            ("seca.storage", "skus", HERE) => "hcloud-volume",
            ("seca.network", "skus", HERE) => "hcloud-network",
            (_, _, name) => name,
        }
    }

    /// The path behind the provider.
    fn filled(&self, place: Place<'_>) -> String {
        self.template
            .replace("{tenant}", place.tenant)
            .replace("{workspace}", place.workspace)
            .replace("{network}", place.network)
            .replace("{name}", self.name(place))
    }

    pub fn path(&self, place: Place<'_>) -> String {
        self.spellings(place).remove(0)
    }

    /// All paths that mean the operation: as published, in a region, and as they were once.
    pub fn spellings(&self, place: Place<'_>) -> Vec<String> {
        let path = self.filled(place);
        let provider = self.provider.as_str();
        let prefixes = match provider {
            "wellknown" => vec![String::new()],
            "seca.region" | "seca.authorization" => vec![format!("/providers/{provider}"), String::new()],
            _ => vec![
                format!("/providers/{provider}"),
                format!("/regions/fsn1/providers/{provider}"),
                format!("/{}", provider.trim_start_matches("seca.")),
            ],
        };
        prefixes.into_iter().map(|prefix| format!("{prefix}{path}")).collect()
    }

    /// A document that a PUT takes.
    pub fn body(&self, place: Place<'_>) -> Option<Value> {
        (self.method == "PUT").then(|| labelled(document(self.collection()), place))
    }
}

/// The collections to write, in an order in which what is named is there already.
pub const WRITTEN: &[&str] = &[
    "workspaces",
    "roles",
    "role-assignments",
    "block-storages",
    "images",
    "networks",
    "internet-gateways",
    "route-tables",
    "subnets",
    "security-group-rules",
    "security-groups",
    "public-ips",
    "nics",
    "instances",
];

/// A good document that names nothing but what is there in the same workspace; an image is of workspace `w`.
pub fn document(collection: &str) -> Value {
    let spec = match collection {
        "workspaces" | "internet-gateways" => json!({}),
        "roles" => {
            json!({"permissions": [{"provider": "seca.network/v1", "resources": ["nics/*"], "verb": ["get"]}]})
        }
        "role-assignments" => json!({"subs": ["nobody"], "scopes": [{}], "roles": [HERE]}),
        "block-storages" => json!({"sizeGB": 20, "skuRef": {"resource": "skus/hcloud-volume"}}),
        "images" => json!({
            "blockStorageRef": {"resource": "workspaces/w/block-storages/here"}, "cpuArchitecture": "amd64",
        }),
        "networks" => json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": {"resource": "skus/hcloud-network"}}),
        "route-tables" => json!({"routes": [
            {"destinationCidrBlock": "0.0.0.0/0", "targetRef": {"resource": "internet-gateways/here"}},
        ]}),
        "subnets" => json!({"cidr": {"ipv4": "10.0.0.0/24"}, "zone": "fsn1"}),
        "security-group-rules" => json!({"direction": "ingress"}),
        "security-groups" => json!({"rules": [{"direction": "ingress"}]}),
        "public-ips" => json!({"version": "IPv4"}),
        "nics" => json!({"addresses": ["0.0.0.0"], "subnetRef": {"resource": "networks/here/subnets/here"}}),
        "instances" => json!({
            "skuRef": {"resource": "skus/cx23"}, "zone": "fsn1",
            "bootVolume": {"deviceRef": {"resource": "block-storages/here"}},
        }),
        other => panic!("no document for {other}"),
    };
    json!({"spec": spec})
}

/// The same, with a label that says whose it is.
fn labelled(mut document: Value, place: Place<'_>) -> Value {
    document["labels"] = json!({"of": format!("{}-{}", place.tenant, place.workspace)});
    document
}
