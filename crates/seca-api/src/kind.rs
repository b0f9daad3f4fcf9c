//! The kinds of the foundation API, and the words by which each is known.
//!
//! `specs.rs` lists the kinds, and each has its row in the file of its specification.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};

use crate::schema::{Field, Type};
pub use crate::specs::Kind;

/// A provider of the SECA API; the id in metadata, references and permissions is `{name}/{version}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// `seca.region`
    Region,
    /// `seca.authorization`
    Authorization,
    /// `seca.workspace`
    Workspace,
    /// `seca.storage`
    Storage,
    /// `seca.compute`
    Compute,
    /// `seca.network`
    Network,
}

impl Provider {
    /// All foundation providers.
    pub const ALL: [Self; 6] =
        [Self::Region, Self::Authorization, Self::Workspace, Self::Storage, Self::Compute, Self::Network];

    /// `seca.compute`: the name without its version, as `Region.spec.providers[].name` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Region => "seca.region",
            Self::Authorization => "seca.authorization",
            Self::Workspace => "seca.workspace",
            Self::Storage => "seca.storage",
            Self::Compute => "seca.compute",
            Self::Network => "seca.network",
        }
    }

    /// `v1`, for every foundation provider.
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// `seca.compute/v1`, as `metadata.provider` has it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Region => "seca.region/v1",
            Self::Authorization => "seca.authorization/v1",
            Self::Workspace => "seca.workspace/v1",
            Self::Storage => "seca.storage/v1",
            Self::Compute => "seca.compute/v1",
            Self::Network => "seca.network/v1",
        }
    }

    /// Whether its resources belong to no region (region and authorization).
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Region | Self::Authorization)
    }

    /// Finds a provider by `seca.compute` or `seca.compute/v1`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text || p.id() == text)
    }
}

/// Where the resources of a kind live, which decides the parts of their path and of their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// No tenant: regions.
    Global,
    /// A tenant, in every region alike: roles, role assignments.
    GlobalTenant,
    /// A tenant and a region: workspaces, images, SKUs.
    Tenant,
    /// A workspace: most kinds.
    Workspace,
    /// A network of a workspace: subnets and route tables.
    Network,
}

/// What one kind is known by: one constant in the file of its specification. All that depends on a kind is read from
/// here, so that routing, references, metadata, limits and authorization cannot disagree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KindRow {
    /// The value of `metadata.kind`. A route table is a `routing-table` there, and nowhere else.
    pub(crate) word: &'static str,
    /// The path segment of its collection, which is also the type in references and permissions.
    pub(crate) collection: &'static str,
    /// The thing in a sentence.
    pub(crate) noun: &'static str,
    /// Who serves it.
    pub(crate) provider: Provider,
    /// Where its resources live.
    pub(crate) scope: Scope,
    /// What its specification may hold.
    pub(crate) schema: &'static Type,
    /// What its status holds beside [`crate::status::FIELDS`]; none for kinds of the catalogue, which have no status.
    pub(crate) status: Option<&'static [Field]>,
    /// Whether its names are short, because they stand in paths and roles.
    pub(crate) short_name: bool,
    /// What can be asked of a resource beside changing it: the last segment of the path.
    pub(crate) actions: &'static [&'static str],
}

impl KindRow {
    /// What most kinds have in common; the words are to be filled in.
    pub(crate) const PLAIN: Self = Self {
        word: "",
        collection: "",
        noun: "",
        provider: Provider::Network,
        scope: Scope::Workspace,
        schema: &Type::OpenObject,
        status: None,
        short_name: false,
        actions: &[],
    };
}

/// The list of kinds: the name of each, the module with its row, and the type of its specification.
macro_rules! kinds {
    ($($Kind:ident $module:ident $Spec:ident,)+) => {
        /// A kind of resource.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are the documentation: they are the specification's own")]
        pub enum Kind {
            $($Kind,)+
        }

        impl Kind {
            /// All kinds of the foundation API.
            pub const ALL: [Self; [$(stringify!($Kind)),+].len()] = [$(Self::$Kind),+];

            pub(crate) const fn row(self) -> &'static KindRow {
                match self {
                    $(Self::$Kind => &$module::ROW,)+
                }
            }
        }

        $(impl Specification for $module::$Spec {
            const KIND: Kind = Kind::$Kind;
        })+
    };
}
pub(crate) use kinds;

/// The specification of a kind, as a type.
pub trait Specification: Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;
}

impl Kind {
    /// The value of `metadata.kind`. A route table is a `routing-table` there, and nowhere else.
    pub const fn as_str(self) -> &'static str {
        self.row().word
    }

    /// The path segment of its collection, which is also the type in references and permissions.
    pub const fn collection(self) -> &'static str {
        self.row().collection
    }

    /// The values of `metadata.kind`, in the order of [`Kind::ALL`].
    pub const WORDS: [&str; Self::ALL.len()] = {
        let mut words = [""; Self::ALL.len()];
        let mut index = 0;
        while index < words.len() {
            words[index] = Self::ALL[index].as_str();
            index += 1;
        }
        words
    };

    /// What can be asked of a resource of the kind beside changing it: the last segment of the path.
    pub const fn actions(self) -> &'static [&'static str] {
        self.row().actions
    }

    /// Whether the kind is a SKU: a page of the catalogue that does not change.
    pub const fn is_sku(self) -> bool {
        self.is_catalog() && matches!(self.scope(), Scope::Tenant)
    }

    /// The provider that serves the kind.
    pub const fn provider(self) -> Provider {
        self.row().provider
    }

    /// Where resources of the kind live.
    pub const fn scope(self) -> Scope {
        self.row().scope
    }

    /// Whether the kind belongs to the catalogue: read-only, kept by the provider, without a status.
    pub const fn is_catalog(self) -> bool {
        self.row().status.is_none()
    }

    /// The kind that holds resources of this one: a network, a workspace, or none.
    pub const fn parent(self) -> Option<Self> {
        match self.scope() {
            Scope::Network => Some(Self::Network),
            Scope::Workspace => Some(Self::Workspace),
            _ => None,
        }
    }

    /// Whether a word in a reference names this kind: its collection, or its own name in the plural where several
    /// kinds share a collection (`storage-skus` beside `skus`).
    pub fn is_named(self, collection: &str) -> bool {
        let own = || collection.strip_suffix('s') == Some(self.as_str());
        self.collection() == collection || (self.is_sku() && own())
    }

    /// Finds the kind that a provider serves under a path segment (`skus` means another kind for each).
    pub fn of_collection(provider: Provider, collection: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.provider() == provider && k.collection() == collection)
    }

    /// Finds a kind by the value of `metadata.kind`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// The thing in a sentence: `block storage`, `route table`.
    pub const fn noun(self) -> &'static str {
        self.row().noun
    }

    /// The noun with its indefinite article: `an image`, `a NIC`.
    pub fn a_noun(self) -> String {
        let noun = self.noun();
        let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        format!("{article} {noun}")
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| D::Error::unknown_variant(&word, &Self::WORDS))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_provider_and_collection() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_collection(kind.provider(), kind.collection()), Some(kind));
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn articles_are_those_of_the_spoken_word() {
        let told: Vec<String> = Kind::ALL.into_iter().map(Kind::a_noun).collect();
        for noun in ["an image", "an instance", "an instance SKU", "an internet gateway"] {
            assert!(told.iter().any(|other| other == noun), "{noun}: {told:?}");
        }
        assert_eq!(told.iter().filter(|noun| noun.starts_with("an ")).count(), 4, "{told:?}");
        assert_eq!((&*Kind::Nic.a_noun(), &*Kind::Subnet.a_noun()), ("a NIC", "a subnet"));
    }

    #[test]
    fn the_kinds_that_share_a_collection_have_a_word_of_their_own() {
        for (kind, word) in [
            (Kind::StorageSku, "storage-skus"),
            (Kind::InstanceSku, "instance-skus"),
            (Kind::NetworkSku, "network-skus"),
        ] {
            let named: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_named(word)).collect();
            assert_eq!(named, [kind]);
        }
        for kind in Kind::ALL {
            assert!(kind.is_named(kind.collection()) && !kind.is_named(kind.as_str()), "{kind}");
        }
        assert_eq!(Kind::ALL.into_iter().filter(|kind| kind.is_named("skus")).count(), 3);
    }
}
