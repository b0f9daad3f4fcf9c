//! References: how one resource names another.
//!
//! Clients spell them in many ways (`skus/x`, `x`, a path, a whole URN, with or without members beside it), and
//! every spelling is echoed as it came. So a reference is resolved, and never rewritten: [`Reference::resolve`]
//! yields the key of what is meant, seen from the resource that holds the reference.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    key::ResourceKey,
    kind::{Kind, Provider, Scope},
    names::{NAME_MAX, RegionName, SHORT_NAME_MAX, TenantName, is_name},
    schema,
    violation::{Violation, clip},
};

/// A reference as it stands on the wire. It is read from an object or a text, and written as an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Reference {
    /// The region; the referrer's where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The provider, `seca.compute/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The tenant; the referrer's where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The workspace; the referrer's where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// A name, `<type>/<name>`, a path, a whole URN, or (in routes and rules) an address. Empty is unset.
    pub resource: String,
}

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A resource. The network of a subnet or route table is empty where neither the reference nor the referrer
    /// names one: such a key means the one resource of that name in the workspace, if there is exactly one.
    Resource(ResourceKey),
    /// An IP address or a block, as written.
    Address(String),
    /// Nothing: the reference is not set.
    Unset,
}

/// A reference cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It names a type that the field does not take, or no type at all.
    #[error("`{resource}` must name {wanted}; write it as {example}")]
    WrongType {
        /// The reference's `resource`.
        resource: String,
        /// What the field takes, in words.
        wanted: String,
        /// How it is written.
        example: String,
    },
    /// A bare name, where the field takes several types.
    #[error("`{resource}` is a bare name, but this may be {wanted}; write it as {example}")]
    Ambiguous {
        /// The reference's `resource`.
        resource: String,
        /// What the field takes, in words.
        wanted: String,
        /// How it is written.
        example: String,
    },
    /// A member says one thing and the path in `resource` another.
    #[error("{part} is `{member}`, but `resource` says `{path}`; leave one of them out")]
    Contradiction {
        /// `provider`, `tenant` or `workspace`.
        part: &'static str,
        /// The member's value.
        member: String,
        /// What the path says.
        path: String,
    },
    /// A part that the kind of thing does not have.
    #[error("{kind} lives in no {part}, but the reference names {part} `{given}`; leave it out")]
    Misplaced {
        /// What it refers to, in words: `an image`.
        kind: String,
        /// `workspace` or `network`.
        part: &'static str,
        /// The part's value.
        given: String,
    },
    /// The provider does not exist.
    #[error("provider `{0}` does not exist; write it like `seca.compute/v1`, or leave it out")]
    UnknownProvider(String),
    /// A part breaks the rule of its names.
    #[error("the {part} `{given}` in the reference is not a valid name; correct it")]
    BadName {
        /// Which part.
        part: &'static str,
        /// The part's value.
        given: String,
    },
}

impl ReferenceError {
    /// The same as a violation at a place in the body.
    pub fn violation(&self, pointer: &str) -> Violation {
        let mut violation = Violation::at(pointer, "");
        violation.rule = format!("{}: {self}", violation.parameter);
        violation
    }
}

impl Reference {
    /// A reference that says nothing but its `resource`.
    pub fn new(resource: impl Into<String>) -> Self {
        Self { resource: resource.into(), ..Self::default() }
    }

    /// The canonical reference to a resource: its URN.
    pub fn to(key: &ResourceKey) -> Self {
        Self::new(print(key))
    }

    /// Reads a reference from JSON: a text, or an object whose members are texts or null. None for anything else.
    pub fn from_value(value: &Value) -> Option<Self> {
        let members = match value {
            Value::String(resource) => return Some(Self::new(resource.as_str())),
            Value::Object(members) => members,
            _ => return None,
        };
        let part = |name| match members.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some((!text.is_empty()).then(|| text.clone())),
            Some(_) => None,
        };
        Some(Self {
            region: part("region")?,
            provider: part("provider")?,
            tenant: part("tenant")?,
            workspace: part("workspace")?,
            resource: part("resource")?.unwrap_or_default(),
        })
    }

    /// Whether it names nothing.
    pub const fn is_unset(&self) -> bool {
        self.resource.is_empty()
    }

    /// What it means in a field that takes resources of some kinds. `from` is the resource that holds it, and gives
    /// what the reference leaves out: region, tenant, workspace, and the network of subnets and route tables.
    pub fn resolve(&self, from: &ResourceKey, targets: &[Kind]) -> Result<Target, ReferenceError> {
        if self.is_unset() {
            return Ok(Target::Unset);
        }
        let path = Path::parse(&self.resource);
        let provider = self.agreed_provider(&path)?;
        let tenant = agreed("tenant", self.tenant.as_deref(), path.tenant)?;
        let workspace = agreed("workspace", self.workspace.as_deref(), path.workspace)?;
        let kind = self.kind(&path, provider, targets)?;
        let key = complete(kind, &path, from, Given { tenant, workspace, region: self.region.as_deref() })?;
        Ok(Target::Resource(key))
    }

    /// The same in a field that also takes addresses and blocks: targets of routes, sources of rules.
    pub fn resolve_or_address(&self, from: &ResourceKey, targets: &[Kind]) -> Result<Target, ReferenceError> {
        if schema::is_address(&self.resource) {
            return Ok(Target::Address(self.resource.clone()));
        }
        self.resolve(from, targets)
    }

    fn agreed_provider(&self, path: &Path<'_>) -> Result<Option<Provider>, ReferenceError> {
        let Some(member) = self.provider.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(path.provider);
        };
        let provider = Provider::parse(member).ok_or_else(|| ReferenceError::UnknownProvider(clip(member)))?;
        match path.provider {
            Some(other) if other != provider => Err(ReferenceError::Contradiction {
                part: "provider",
                member: provider.id().to_owned(),
                path: other.id().to_owned(),
            }),
            _ => Ok(Some(provider)),
        }
    }

    fn kind(&self, path: &Path<'_>, provider: Option<Provider>, targets: &[Kind]) -> Result<Kind, ReferenceError> {
        let fits = |kind: &&Kind| {
            provider.is_none_or(|provider| kind.provider() == provider)
                && path.collection.is_none_or(|collection| kind.is_named(collection))
        };
        let mut candidates = targets.iter().filter(fits);
        let (resource, wanted, example) = (clip(&self.resource), describe(targets), example(targets));
        match (candidates.next(), candidates.next()) {
            _ if path.is_malformed => Err(ReferenceError::WrongType { resource, wanted, example }),
            (Some(kind), None) => Ok(*kind),
            (Some(_), Some(_)) => Err(ReferenceError::Ambiguous { resource, wanted, example }),
            (None, _) => Err(ReferenceError::WrongType { resource, wanted, example }),
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).ok_or_else(|| {
            serde::de::Error::custom("a reference is a text, or an object whose members are texts; write one of them")
        })
    }
}

/// The canonical spelling of a reference: the URN.
pub fn print(key: &ResourceKey) -> String {
    key.urn()
}

/// The parts of `resource`, as far as it names them.
struct Path<'a> {
    provider: Option<Provider>,
    tenant: Option<&'a str>,
    workspace: Option<&'a str>,
    network: Option<&'a str>,
    /// None for a bare name.
    collection: Option<&'a str>,
    name: &'a str,
    is_malformed: bool,
}

impl<'a> Path<'a> {
    fn parse(resource: &'a str) -> Self {
        let segments: Vec<&str> = resource.split('/').collect();
        let mut rest = &segments[..];
        let mut provider = None;
        if let [name, version, tail @ ..] = rest {
            provider = Provider::ALL.into_iter().find(|p| p.name() == *name && p.version() == *version);
            if provider.is_some() {
                rest = tail;
            }
        }
        let tenant = prefix(&mut rest, "tenants");
        let workspace = prefix(&mut rest, "workspaces");
        let network = prefix(&mut rest, "networks");
        let is_bare = rest.len() == segments.len();
        let (collection, name) = match rest {
            [collection, name] => (Some(*collection), *name),
            [name] if is_bare => (None, *name),
            _ => (None, ""),
        };
        Self { provider, tenant, workspace, network, collection, name, is_malformed: name.is_empty() }
    }
}

/// Takes `<word>/<value>` off a path that goes on behind it; `workspaces/w` alone names the workspace itself.
fn prefix<'a>(rest: &mut &[&'a str], word: &str) -> Option<&'a str> {
    match rest {
        [first, value, tail @ ..] if *first == word && !tail.is_empty() => {
            let value = *value;
            *rest = tail;
            Some(value)
        }
        _ => None,
    }
}

/// What a member and the path say of one part, which must not differ.
fn agreed<'a>(
    part: &'static str,
    member: Option<&'a str>,
    path: Option<&'a str>,
) -> Result<Option<&'a str>, ReferenceError> {
    match (member.filter(|text| !text.is_empty()), path) {
        (Some(member), Some(path)) if member != path => {
            Err(ReferenceError::Contradiction { part, member: clip(member), path: clip(path) })
        }
        (member, path) => Ok(path.or(member)),
    }
}

/// What a reference says beside type and name.
struct Given<'a> {
    tenant: Option<&'a str>,
    workspace: Option<&'a str>,
    region: Option<&'a str>,
}

fn complete(kind: Kind, path: &Path<'_>, from: &ResourceKey, given: Given<'_>) -> Result<ResourceKey, ReferenceError> {
    let misplaced = |part, given: &str| ReferenceError::Misplaced { kind: kind.a_noun(), part, given: clip(given) };
    let (has_workspace, has_network) = match kind.scope() {
        Scope::Workspace => (true, false),
        Scope::Network => (true, true),
        _ => (false, false),
    };
    if let (false, Some(workspace)) = (has_workspace, given.workspace) {
        return Err(misplaced("workspace", workspace));
    }
    if let (false, Some(network)) = (has_network, path.network) {
        return Err(misplaced("network", network));
    }
    let own_workspace = from.workspace_key().map(|key| key.name).unwrap_or_default();
    let own_network = if from.kind == Kind::Network { &from.name } else { &from.network };
    let region = given.region.filter(|text| !text.is_empty()).unwrap_or(&from.region);
    let tenant = given.tenant.unwrap_or(&from.tenant);
    let workspace = given.workspace.unwrap_or(&own_workspace);
    // Another place has other networks: the referrer's own says nothing there.
    let is_same_place = region == from.region && tenant == from.tenant && workspace == own_workspace;
    let network = path.network.unwrap_or(if is_same_place { own_network } else { "" });
    let part = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
    let key = ResourceKey {
        tenant: part(kind.scope() != Scope::Global, tenant),
        region: part(!kind.provider().is_global(), region),
        kind,
        workspace: part(has_workspace, workspace),
        network: part(has_network, network),
        name: path.name.to_owned(),
    };
    check_names(&key)?;
    Ok(key)
}

fn check_names(key: &ResourceKey) -> Result<(), ReferenceError> {
    let short = |text: &str| is_name(text) && text.len() <= SHORT_NAME_MAX;
    let check = |part, text: &str, fits: bool| {
        if text.is_empty() || fits { Ok(()) } else { Err(ReferenceError::BadName { part, given: clip(text) }) }
    };
    check("tenant", &key.tenant, TenantName::parse(&key.tenant).is_ok())?;
    check("region", &key.region, RegionName::parse(&key.region).is_ok())?;
    check("workspace", &key.workspace, short(&key.workspace))?;
    check("network", &key.network, short(&key.network))?;
    check("name", &key.name, is_name(&key.name) && key.name.len() <= NAME_MAX)
}

fn describe(targets: &[Kind]) -> String {
    targets.iter().map(|kind| kind.a_noun()).collect::<Vec<_>>().join(" or ")
}

fn example(targets: &[Kind]) -> String {
    let spell = |kind: &Kind| match kind.scope() {
        Scope::Network => format!("`networks/<network>/{}/<name>`", kind.collection()),
        _ => format!("`{}/<name>`", kind.collection()),
    };
    targets.iter().map(spell).collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)
    }
}
