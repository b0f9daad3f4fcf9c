//! Metadata: what the server says of a resource beside its specification and status.

use serde::{Deserialize, Serialize};

use crate::{
    key::ResourceKey,
    kind::{Kind, Scope},
    names::{NAME_MAX, SHORT_NAME_MAX},
    schema::{Field, TIME, TextRule, Type, UNLIMITED, text},
    serial,
    timestamp::Timestamp,
};

const PERMISSION: [Field; 3] = [
    Field::required("provider", text(1, 64), "The provider with its version, `seca.compute/v1`."),
    Field::required("resource", text(1, 256), "The path within the workspace or tenant, `instances/web-1`."),
    Field::required("verb", text(1, 7), "The HTTP method of the request, in upper case."),
];

const MODIFICATION: [Field; 4] = [
    Field::required("createdAt", TIME, "When it was made."),
    Field::optional("deletedAt", TIME, "When its removal was asked for."),
    Field::required("lastModifiedAt", TIME, "When it was last changed by a request."),
    Field::required(
        "resourceVersion",
        Type::Integer { min: 1, max: i64::MAX },
        "How many requests have changed it; what `if-unmodified-since` compares.",
    ),
];

const TYPE: [Field; 3] = [
    Field::required("apiVersion", text(1, 16), "The version of the provider.").default("\"v1\""),
    Field::required("kind", Type::OneOf(&Kind::WORDS), "The kind."),
    Field::required("ref", text(1, 255), "The canonical URN."),
];

const fn place(name: &'static str, description: &'static str) -> Field {
    Field::required(name, text(1, SHORT_NAME_MAX), description)
}

/// What the metadata of a kind holds.
pub fn fields(kind: Kind) -> Vec<Field> {
    let scope = kind.scope();
    let name = Type::Text { min: 1, max: NAME_MAX, rule: TextRule::Name };
    let mut fields = vec![Field::required("name", name, "The name.")];
    fields.extend(PERMISSION);
    if !kind.is_sku() {
        fields.extend(MODIFICATION);
    }
    fields.extend(TYPE);
    if scope != Scope::Global {
        fields.push(place("tenant", "The tenant."));
    }
    if matches!(scope, Scope::Workspace | Scope::Network) {
        fields.push(place("workspace", "The workspace."));
    }
    if scope == Scope::Network {
        fields.push(place("network", "The network."));
    }
    if !matches!(scope, Scope::Global | Scope::GlobalTenant) {
        fields.push(place("region", "The region."));
    }
    fields
}

/// What the metadata of a list holds. Tokens are longer than the specification's five characters, because they
/// are signed.
pub fn list_fields() -> Vec<Field> {
    let token = Field::optional("skipToken", text(0, UNLIMITED), "What asks for the next page; absent on the last.");
    PERMISSION.into_iter().chain([token]).collect()
}

/// When a resource was made and changed. The catalogue's kinds have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modification {
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a request.
    pub last_modified_at: Timestamp,
    /// When its removal was asked for.
    pub deleted_at: Option<Timestamp>,
    /// How many requests have changed it, its creation included.
    pub resource_version: i64,
}

/// The `metadata` of one resource. Which members are there depends on the scope of the kind.
///
/// It is read leniently: clients send back zero times, empty kinds and nulls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    #[serde(deserialize_with = "serial::lenient")]
    pub name: String,
    /// `seca.compute/v1`.
    #[serde(deserialize_with = "serial::lenient")]
    pub provider: String,
    /// `instances/web-1`.
    #[serde(deserialize_with = "serial::lenient")]
    pub resource: String,
    /// The HTTP method of the request, in upper case.
    #[serde(deserialize_with = "serial::lenient")]
    pub verb: String,
    /// When it was made.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When its removal was asked for.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// When it was last changed by a request.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub last_modified_at: Option<Timestamp>,
    /// What `if-unmodified-since` compares.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<i64>,
    /// `v1`.
    #[serde(deserialize_with = "serial::lenient")]
    pub api_version: String,
    /// The kind's word; see [`Metadata::kind`].
    #[serde(deserialize_with = "serial::lenient")]
    pub kind: String,
    /// The canonical URN.
    #[serde(deserialize_with = "serial::lenient")]
    pub r#ref: String,
    /// The tenant.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The workspace, of kinds that live in one.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The network, of subnets and route tables.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The region, of regional kinds.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl Metadata {
    /// The kind, where its word is known.
    pub fn kind(&self) -> Option<Kind> {
        Kind::parse(&self.kind)
    }
}

/// Writes the metadata of a resource behind a text, as JSON. `verb` is the HTTP method in upper case; `times` is none
/// for SKUs. Every item of every list has one: written straight, without a [`Metadata`] in between, a list takes a
/// tenth less of the processor. A test compares the two.
pub fn write(text: &mut String, key: &ResourceKey, verb: &str, times: Option<Modification>) {
    let scope = key.kind.scope();
    text.push_str("{\"name\":");
    string(text, &key.name);
    member(text, "provider", key.kind.provider().id());
    member(text, "resource", &key.resource());
    member(text, "verb", verb);
    if let Some(times) = times {
        member(text, "createdAt", &times.created_at.to_string());
        if let Some(at) = times.deleted_at {
            member(text, "deletedAt", &at.to_string());
        }
        member(text, "lastModifiedAt", &times.last_modified_at.to_string());
        text.push_str(",\"resourceVersion\":");
        text.push_str(&times.resource_version.to_string());
    }
    member(text, "apiVersion", key.kind.provider().version());
    member(text, "kind", key.kind.as_str());
    member(text, "ref", &key.urn());
    if scope != Scope::Global {
        member(text, "tenant", &key.tenant);
    }
    if matches!(scope, Scope::Workspace | Scope::Network) {
        member(text, "workspace", &key.workspace);
    }
    if scope == Scope::Network {
        member(text, "network", &key.network);
    }
    if !matches!(scope, Scope::Global | Scope::GlobalTenant) {
        member(text, "region", &key.region);
    }
    text.push('}');
}

fn member(text: &mut String, name: &str, value: &str) {
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":");
    string(text, value);
}

/// A JSON string. Hardly one needs an escape.
fn string(text: &mut String, value: &str) {
    if value.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        // A text can always be written.
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

/// The `metadata` of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMetadata {
    /// `seca.compute/v1`.
    #[serde(deserialize_with = "serial::lenient")]
    pub provider: String,
    /// The collection: `instances`, `networks/main/subnets`.
    #[serde(deserialize_with = "serial::lenient")]
    pub resource: String,
    /// The HTTP method of the request, in upper case.
    #[serde(deserialize_with = "serial::lenient")]
    pub verb: String,
    /// What asks for the next page; absent on the last one.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub skip_token: Option<String>,
}

impl ListMetadata {
    /// The metadata of a page. `network` is empty for kinds that live in none.
    pub fn new(kind: Kind, network: &str, skip_token: Option<String>) -> Self {
        let collection = match kind.scope() {
            Scope::Network => format!("networks/{network}/{}", kind.collection()),
            _ => kind.collection().to_owned(),
        };
        Self { provider: kind.provider().id().to_owned(), resource: collection, verb: "GET".to_owned(), skip_token }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_metadata_is_read() {
        let text = r#"{"name":"x","createdAt":"0001-01-01T00:00:00Z","deletedAt":null,"resourceVersion":0,"kind":"",
            "tenant":"","verb":null,"strange":1}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        assert_eq!(metadata.kind(), None);
        assert_eq!(metadata.tenant, None);
        assert_eq!(metadata.resource_version, Some(0));
        assert!(metadata.created_at.unwrap() < Timestamp::from_millis(0));
    }

    #[test]
    fn what_is_rendered_is_what_is_declared() {
        let time = Timestamp::from_millis(1);
        let times =
            Modification { created_at: time, last_modified_at: time, deleted_at: Some(time), resource_version: 1 };
        for kind in Kind::ALL {
            let text = || "x".to_owned();
            let key =
                ResourceKey { tenant: text(), region: text(), kind, workspace: text(), network: text(), name: text() };
            let mut text = String::new();
            write(&mut text, &key, "GET", (!kind.is_sku()).then_some(times));
            let rendered: serde_json::Value = serde_json::from_str(&text).unwrap();
            let rendered: Vec<_> = rendered.as_object().unwrap().keys().cloned().collect();
            let mut declared: Vec<_> = fields(kind).iter().map(|field| field.name.to_owned()).collect();
            declared.sort_by_key(|name| rendered.iter().position(|other| other == name));
            assert_eq!(rendered, declared, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_type_writes(
            kind in prop::sample::select(&Kind::ALL[..]),
            parts in prop::array::uniform5(".{1,8}"),
            verb in "[A-Z]{3,6}",
            millis in prop::array::uniform3(0i64..4_000_000_000_000),
            deleted in any::<bool>(),
            resource_version in 1i64..,
        ) {
            let [tenant, region, workspace, network, name] = parts;
            let key = ResourceKey { tenant, region, kind, workspace, network, name };
            let [created_at, last_modified_at, deleted_at] = millis.map(Timestamp::from_millis);
            let deleted_at = deleted.then_some(deleted_at);
            let times = Modification { created_at, last_modified_at, deleted_at, resource_version };
            let mut text = String::new();
            write(&mut text, &key, &verb, (!kind.is_sku()).then_some(times));
            let read: Metadata = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
            prop_assert_eq!(read.r#ref, key.to_string());
            prop_assert_eq!(read.name, key.name);
        }
    }

    #[test]
    fn a_last_page_has_no_token_whatever_the_server_writes() {
        let page = ListMetadata::new(Kind::Subnet, "main", None);
        assert_eq!(
            serde_json::to_string(&page).unwrap(),
            r#"{"provider":"seca.network/v1","resource":"networks/main/subnets","verb":"GET"}"#
        );
        let empty: ListMetadata = serde_json::from_str(r#"{"skipToken":""}"#).unwrap();
        assert_eq!(empty.skip_token, None);
    }
}
