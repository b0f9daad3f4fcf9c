//! Which resources of a provider a permission is about, and which verbs.
//!
//! A pattern is resolved to the kinds that it can match as soon as it is read: then `instances` and `instances/*`,
//! `subnets/*` and `networks/*/subnets/*` are the same value, and no two readings of them can differ.

use seca_api::{Kind, Provider, ResourceKey, Scope};

use super::glob::Glob;

/// A set of kinds, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kinds(u32);

impl Kinds {
    fn of(kinds: impl Iterator<Item = Kind>) -> Self {
        Self(kinds.fold(0, |bits, kind| bits | Self::bit(kind)))
    }

    const fn bit(kind: Kind) -> u32 {
        1 << kind as u32
    }

    pub(super) const fn contains(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

/// A resource pattern of a permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// The kinds that it can match; none for a type that there is not.
    kinds: Kinds,
    /// The networks whose subnets and route tables it matches; of no meaning for other kinds.
    network: Glob,
    /// The names; all of them, and only then, match the collection as well.
    name: Glob,
}

impl Pattern {
    /// Reads a pattern. One that is of no known form, or of an unknown type, matches nothing.
    pub(super) fn new(provider: Provider, text: &str) -> Self {
        let mut segments: Vec<Glob> = text.split('/').map(Glob::new).collect();
        // A bare type is all resources of the type; `*` alone is so of all types.
        if segments.len() % 2 == 1 {
            segments.push(Glob::whole());
        }
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.provider() == provider);
        let nothing = Self { kinds: Kinds::default(), network: Glob::whole(), name: Glob::whole() };
        if text.split('/').any(str::is_empty) {
            return nothing;
        }
        match <[Glob; 2]>::try_from(segments) {
            Ok([collection, name]) => {
                let kinds = Kinds::of(kinds.filter(|kind| collection.matches(kind.collection())));
                Self { kinds, name, ..nothing }
            }
            Err(segments) => match <[Glob; 4]>::try_from(segments) {
                Ok([parents, network, collection, name]) if parents.matches(Kind::Network.collection()) => {
                    let nested = kinds.filter(|kind| kind.scope() == Scope::Network);
                    let kinds = Kinds::of(nested.filter(|kind| collection.matches(kind.collection())));
                    Self { kinds, network, name }
                }
                _ => nothing,
            },
        }
    }

    /// The same pattern as it has to be held by who hands it out. One of an unknown type matches nothing today, but
    /// a later release may know the type: so it takes all that the provider has.
    pub(super) fn handed_out(self, provider: Provider) -> Self {
        if self.kinds == Kinds::default() { Self::new(provider, "*") } else { self }
    }

    /// The kinds that it can match.
    pub(super) fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Whether it matches a resource, or a collection: its name is empty, which no glob but `*` matches.
    pub(super) fn matches(&self, key: &ResourceKey) -> bool {
        self.kinds.contains(key.kind)
            && (key.kind.scope() != Scope::Network || self.network.matches(&key.network))
            && self.name.matches(&key.name)
    }

    /// Whether it matches all that the other matches of a kind.
    pub(super) fn contains(&self, other: &Self, kind: Kind) -> bool {
        self.kinds.contains(kind)
            && (kind.scope() != Scope::Network || self.network.contains(&other.network))
            && self.name.contains(&other.name)
    }
}

/// A set of verbs, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verbs(u8);

impl Verbs {
    const WORDS: [&str; 5] = ["get", "list", "put", "delete", "post"];

    /// The set of one verb, in any case; the empty set for a word that is none.
    pub(super) fn parse(word: &str) -> Self {
        let index = Self::WORDS.iter().position(|known| known.eq_ignore_ascii_case(word));
        Self(index.map_or(0, |index| 1 << index))
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The first of them.
    pub(super) fn first(self) -> Option<&'static str> {
        Self::WORDS.into_iter().find(|word| self.intersects(Self::parse(word)))
    }
}

/// One permission of a role: verbs on resources of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) provider: Provider,
    pub(super) patterns: Vec<Pattern>,
    pub(super) verbs: Verbs,
}

/// The permissions of a role, each at the index that it has in the specification. A provider that there is not
/// leaves none in its place.
pub(super) type Permissions = Vec<Option<Permission>>;

/// Reads the permissions of a role.
pub(super) fn permissions(spec: &seca_api::RoleSpec) -> Permissions {
    let permission = |permission: &seca_api::Permission| {
        let provider = Provider::parse(&permission.provider)?;
        let patterns = permission.resources.iter().map(|text| Pattern::new(provider, text)).collect();
        Some(Permission { provider, patterns, verbs: verbs(&permission.verb) })
    };
    spec.permissions.iter().map(permission).collect()
}

/// The set of verbs; words that are none leave nothing.
pub(super) fn verbs(words: &[String]) -> Verbs {
    words.iter().map(|word| Verbs::parse(word)).fold(Verbs::default(), Verbs::union)
}
