//! Paths: which resource, collection or action a request names. Pure.
//!
//! A path is split at its slashes first and each segment is decoded afterwards, so that an encoded slash stays
//! inside the name that a client sent, where it breaks that name's rule instead of naming something else.
//! One table of kinds ([`seca_api::Kind`]) decides what stands where; there is no list of routes.

use std::{borrow::Cow, fmt};

use control_plane::ActionKind;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use seca_api::{
    Kind, Provider, ResourceKey, Scope, Violation,
    names::{NAME_RULE, PLAIN_RULE},
};

/// What a path is read against.
#[derive(Clone, Copy, Debug)]
pub struct Routing<'a> {
    /// The region that paths without one mean.
    pub default_region: &'a str,
    /// The kinds that clients write.
    pub written: &'a [Kind],
    /// The kinds that clients read only; one that stands among the written ones as well is written.
    pub read: &'a [Kind],
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A collection: a key with an empty name.
    Collection(ResourceKey),
    /// A resource.
    Item(ResourceKey),
    /// A power action on an instance.
    Action(ResourceKey, ActionKind),
    /// A block storage, to be attached or detached: the predecessor's, under its paths alone.
    Attachment(ResourceKey, Attachment),
}

/// What becomes of a block storage. The specification has no such calls: there the instance names its data volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// An instance gets it.
    Attach,
    /// No instance keeps it.
    Detach,
}

impl Attachment {
    /// The path segment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Attach, Self::Detach].into_iter().find(|attachment| attachment.as_str() == text)
    }
}

impl Target {
    /// What a method asks of it, in a word: `list`, `get`, `put`, `delete`, or an action's.
    pub fn word(&self, method: &Method) -> &'static str {
        match (self, method.as_str()) {
            (Self::Collection(_), _) => "list",
            (Self::Item(_), "PUT") => "put",
            (Self::Item(_), "DELETE") => "delete",
            (Self::Item(_), _) => "get",
            (Self::Action(_, action), _) => action.as_str(),
            (Self::Attachment(_, attachment), _) => attachment.as_str(),
        }
    }

    /// The key; of a collection, with an empty name.
    pub const fn key(&self) -> &ResourceKey {
        match self {
            Self::Collection(key) | Self::Item(key) | Self::Action(key, _) | Self::Attachment(key, _) => key,
        }
    }

    /// The methods that it knows.
    pub fn methods(&self, routing: Routing<'_>) -> &'static [Method] {
        match self {
            Self::Item(key) if routing.written.contains(&key.kind) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Collection(_) | Self::Item(_) => &[Method::GET],
            Self::Action(..) | Self::Attachment(..) => &[Method::POST],
        }
    }
}

/// A path, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The region in the path, or the default one. Global kinds have none in their key.
    pub region: String,
    /// What is named.
    pub target: Target,
}

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No resource has such a path.
    #[error(
        "no resource has this path; paths begin with /providers/seca.<provider>/v1 or \
         /regions/<region>/providers/seca.<provider>/v1"
    )]
    Unknown,
    /// Without the slashes at its end the path would name something.
    #[error("no resource has a path that ends with a slash; leave it out: {0}")]
    TrailingSlash(String),
    /// The specification knows the collection, this release does not serve it.
    #[error("this release does not serve the collection {} of {}; a later one does", .0.collection(), .0.provider().id())]
    NotServed(Kind),
    /// A segment holds what no name may.
    #[error("{}", violation.rule)]
    Segment {
        /// The tenant in the path, whose error profile holds; empty where it is the segment at fault.
        tenant: String,
        /// The rule that is broken.
        violation: Violation,
    },
}

/// Reads a raw path, without its query.
///
/// # Errors
/// [`RouteError`].
pub fn parse(raw_path: &str, routing: Routing<'_>) -> Result<Route, RouteError> {
    let names = |path: &str| !matches!(named_by(path, routing), Err(RouteError::Unknown));
    match named_by(raw_path, routing) {
        Err(RouteError::Unknown) => Err(unknown(raw_path, names)),
        route => route,
    }
}

/// What to say of a path that names nothing: whether the slash at its end is all that is wrong with it.
pub(crate) fn unknown(raw_path: &str, names: impl FnOnce(&str) -> bool) -> RouteError {
    const SHOWN: usize = 256;
    let bare = raw_path.trim_end_matches('/');
    if bare.len() == raw_path.len() || !names(bare) {
        return RouteError::Unknown;
    }
    RouteError::TrailingSlash(bare.chars().take(SHOWN).collect())
}

fn named_by(raw_path: &str, routing: Routing<'_>) -> Result<Route, RouteError> {
    let segments: Vec<Segment<'_>> =
        raw_path.strip_prefix('/').ok_or(RouteError::Unknown)?.split('/').map(Segment::decode).collect();
    let (provider, region, rest) = prefix(&segments).ok_or(RouteError::Unknown)?;
    let region = match region {
        Some(segment) => segment.name("region", "")?,
        None => routing.default_region.to_owned(),
    };
    let attachment = match rest {
        // The predecessor's path of storage, and none of ours.
        [rest @ .., last] if segments.first().is_some_and(|first| first.text == "storage") && rest.len() == 6 => {
            Attachment::parse(&last.text).map(|attachment| (rest, attachment))
        }
        _ => None,
    };
    let target = match attachment {
        None => resource(provider, &region, rest)?,
        Some((rest, attachment)) => match resource(provider, &region, rest)? {
            Target::Item(key) if key.kind == Kind::BlockStorage => Target::Attachment(key, attachment),
            _ => return Err(RouteError::Unknown),
        },
    };
    let kind = target.key().kind;
    if !routing.written.contains(&kind) && !routing.read.contains(&kind) {
        return Err(RouteError::NotServed(kind));
    }
    Ok(Route { region, target })
}

/// The part before the resource: the provider and the region, where the path names one.
fn prefix<'s, 'p>(segments: &'s [Segment<'p>]) -> Option<(Provider, Option<&'s Segment<'p>>, &'s [Segment<'p>])> {
    let texts: Vec<&str> = segments.iter().take(5).map(|s| &*s.text).collect();
    let named = |name: &str| Provider::ALL.into_iter().find(|p| p.name() == name);
    match texts[..] {
        ["regions", _, "providers", provider, "v1"] => Some((named(provider)?, Some(&segments[1]), &segments[5..])),
        ["providers", provider, "v1", ..] => Some((named(provider)?, None, &segments[3..])),
        // The predecessor's paths.
        ["compute", "v1", ..] => Some((Provider::Compute, None, &segments[2..])),
        ["storage", "v1", ..] => Some((Provider::Storage, None, &segments[2..])),
        ["network", "v1", ..] => Some((Provider::Network, None, &segments[2..])),
        ["workspace", "v1", ..] => Some((Provider::Workspace, None, &segments[2..])),
        ["v1", "regions", ..] => Some((Provider::Region, None, &segments[1..])),
        ["v1", "tenants", _, "roles" | "role-assignments", ..] => Some((Provider::Authorization, None, &segments[1..])),
        _ => None,
    }
}

/// The part after the version.
fn resource(provider: Provider, region: &str, segments: &[Segment<'_>]) -> Result<Target, RouteError> {
    let texts: Vec<&str> = segments.iter().map(|s| &*s.text).collect();
    let kind = |scopes: &[Scope], collection: &str| {
        Kind::of_collection(provider, collection).filter(|kind| scopes.contains(&kind.scope()))
    };
    let mut key = ResourceKey::tenant(Kind::Region, "", "", "");
    let tail = match texts[..] {
        ["regions", ..] if provider == Provider::Region => &segments[1..],
        ["tenants", _, "workspaces", _, "networks", _, collection, ..]
            if kind(&[Scope::Network], collection).is_some() =>
        {
            key.kind = kind(&[Scope::Network], collection).ok_or(RouteError::Unknown)?;
            key.tenant = segments[1].name("tenant", "")?;
            key.workspace = segments[3].name("workspace", &key.tenant)?;
            key.network = segments[5].name("network", &key.tenant)?;
            &segments[7..]
        }
        ["tenants", _, "workspaces", _, collection, ..] if provider != Provider::Workspace => {
            key.kind = kind(&[Scope::Workspace], collection).ok_or(RouteError::Unknown)?;
            key.tenant = segments[1].name("tenant", "")?;
            key.workspace = segments[3].name("workspace", &key.tenant)?;
            &segments[5..]
        }
        ["tenants", _, collection, ..] => {
            key.kind = kind(&[Scope::Tenant, Scope::GlobalTenant], collection).ok_or(RouteError::Unknown)?;
            key.tenant = segments[1].name("tenant", "")?;
            &segments[3..]
        }
        _ => return Err(RouteError::Unknown),
    };
    if !provider.is_global() {
        key.region = region.to_owned();
    }
    named(key, tail)
}

/// The part after the collection.
fn named(mut key: ResourceKey, tail: &[Segment<'_>]) -> Result<Target, RouteError> {
    match tail {
        [] => Ok(Target::Collection(key)),
        [name] => {
            key.name = name.name(key.kind.as_str(), &key.tenant)?;
            Ok(Target::Item(key))
        }
        [name, action] if key.kind == Kind::Instance => {
            let action = ActionKind::parse(&action.text).ok_or(RouteError::Unknown)?;
            key.name = name.name(key.kind.as_str(), &key.tenant)?;
            Ok(Target::Action(key, action))
        }
        _ => Err(RouteError::Unknown),
    }
}

/// One decoded segment of a path: hardly any is written otherwise than it reads.
pub(crate) struct Segment<'p> {
    text: Cow<'p, str>,
    flaw: Option<&'static str>,
}

impl<'p> Segment<'p> {
    fn decode(raw: &'p str) -> Self {
        match percent_decode_str(raw).decode_utf8() {
            Err(_) => Self { text: raw.into(), flaw: Some("is not UTF-8 once decoded") },
            Ok(text) => Self::decoded(text),
        }
    }

    /// One that somebody else decoded.
    pub(crate) fn decoded(text: impl Into<Cow<'p, str>>) -> Self {
        let text = text.into();
        let flaw = if text.contains('/') {
            Some("contains a slash")
        } else if text.chars().any(char::is_control) {
            Some("contains a control character")
        } else {
            None
        };
        Self { text, flaw }
    }

    /// The segment as a name. Its own rule is checked by admission; here only what cannot be a name at all.
    pub(crate) fn name(&self, what: &str, tenant: &str) -> Result<String, RouteError> {
        match self.flaw {
            _ if self.text.is_empty() => Err(RouteError::Unknown),
            None => Ok(self.text.clone().into_owned()),
            Some(flaw) => {
                let shown: String = self.text.chars().filter(|c| !c.is_control()).take(64).collect();
                let form = if matches!(what, "tenant" | "region") { PLAIN_RULE } else { NAME_RULE };
                let rule = format!("the {what} name in the path must be {form}, but `{shown}` {flaw}; choose another");
                Err(RouteError::Segment {
                    tenant: tenant.to_owned(),
                    violation: Violation::parameter(if what == "region" { "region" } else { "name" }, rule),
                })
            }
        }
    }
}

/// What stands unencoded in a printed segment: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Prints the path that regions advertise, which is the canonical one.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.target.key();
        let part = |text| utf8_percent_encode(text, ENCODED);
        if let Target::Attachment(_, attachment) = &self.target {
            let (tenant, workspace, name) = (part(&key.tenant), part(&key.workspace), part(&key.name));
            let volume = format!("{}/{name}", key.kind.collection());
            return write!(f, "/storage/v1/tenants/{tenant}/workspaces/{workspace}/{volume}/{}", attachment.as_str());
        }
        if !key.kind.provider().is_global() {
            write!(f, "/regions/{}", part(self.region.as_str()))?;
        }
        write!(f, "/providers/{}", key.kind.provider().id())?;
        if key.kind.scope() != Scope::Global {
            write!(f, "/tenants/{}", part(key.tenant.as_str()))?;
        }
        if matches!(key.kind.scope(), Scope::Workspace | Scope::Network) {
            write!(f, "/workspaces/{}", part(key.workspace.as_str()))?;
        }
        if key.kind.scope() == Scope::Network {
            write!(f, "/networks/{}", part(key.network.as_str()))?;
        }
        write!(f, "/{}", key.kind.collection())?;
        match &self.target {
            Target::Collection(_) | Target::Attachment(..) => Ok(()),
            Target::Item(_) => write!(f, "/{}", part(key.name.as_str())),
            Target::Action(_, action) => write!(f, "/{}/{}", part(key.name.as_str()), action.as_str()),
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
