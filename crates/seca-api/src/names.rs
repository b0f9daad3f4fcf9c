//! Names and their rules, parsed once at the boundary.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    kind::Kind,
    violation::{Violation, clip},
};

/// The rule of resource names as it stands in sentences.
pub const NAME_RULE: &str = "a name of lower-case letters, digits and hyphens, in parts joined by dots, each of which \
                             begins and ends with a letter or digit";
/// The form of resource names as a regular expression.
pub const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The rule of the names of tenants and regions as it stands in sentences.
pub const PLAIN_RULE: &str = "letters, digits, hyphens, underscores and dots, the first a letter or digit";

/// The longest name of a resource, in characters.
pub const NAME_MAX: usize = 128;
/// The longest name that stands in paths and references of other resources.
pub const SHORT_NAME_MAX: usize = 64;

/// Whether a text has the form of a resource name; its length is not looked at.
pub fn is_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    })
}

/// The longest subject, in characters.
pub const SUBJECT_MAX: usize = 128;

/// Whether a text can name somebody or something outside the API (a subject, the id of a token): 1 to `max` characters,
/// and no control character among them.
pub fn is_printable(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Tenants and regions are the operator's words, so that upper case and underscores are allowed in them.
fn is_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A name breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} name `{name}` must be {rule}, 1 to {max} characters long; choose another")]
pub struct NameError {
    what: &'static str,
    name: String,
    rule: &'static str,
    max: usize,
}

fn check(
    what: &'static str,
    name: &str,
    fits: fn(&str) -> bool,
    rule: &'static str,
    max: usize,
) -> Result<(), NameError> {
    if fits(name) && name.len() <= max { Ok(()) } else { Err(NameError { what, name: clip(name), rule, max }) }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($what:literal, $fits:ident, $rule:ident, $max:ident);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses a text by the rule of these names.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text, $fits, $rule, $max)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, owned.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// The name of a resource of any kind.
    ResourceName("resource", is_name, NAME_RULE, NAME_MAX);
    /// The name of a workspace; shorter, because it stands in paths.
    WorkspaceName("workspace", is_name, NAME_RULE, SHORT_NAME_MAX);
    /// The name of a network; shorter, because it stands in paths.
    NetworkName("network", is_name, NAME_RULE, SHORT_NAME_MAX);
    /// The name of a tenant.
    TenantName("tenant", is_plain, PLAIN_RULE, SHORT_NAME_MAX);
    /// The name of a region.
    RegionName("region", is_plain, PLAIN_RULE, SHORT_NAME_MAX);
}

/// The most characters of the name of a kind.
pub const fn name_max(kind: Kind) -> usize {
    if kind.row().short_name { SHORT_NAME_MAX } else { NAME_MAX }
}

/// The rule that a name in a path breaks, as the answer names it.
pub fn name_violation(kind: Kind, name: &str) -> Option<Violation> {
    let max = name_max(kind);
    if is_name(name) && name.len() <= max {
        return None;
    }
    let rule = format!(
        "the name of {} must be {NAME_RULE}, 1 to {max} characters long, but is `{}`; choose another",
        kind.a_noun(),
        clip(name)
    );
    Some(Violation::at("/metadata/name", rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_parts_joined_by_dots() {
        for good in ["a", "0", "a-b", "seca.d2xs", "a--b", "1.2.3", "web-1"] {
            assert!(ResourceName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", ".a", "a.", "a..b", "a.-b", "ä", "a/b", "a b", "a%2fb"] {
            assert!(ResourceName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_stand_in_paths_are_shorter() {
        let (short, long, longer) = ("a".repeat(65), "a".repeat(128), "a".repeat(129));
        assert!(WorkspaceName::parse(&short).is_err());
        assert!(ResourceName::parse(&long).is_ok());
        assert!(ResourceName::parse(&longer).is_err());
        for kind in [Kind::Workspace, Kind::Network, Kind::Role] {
            assert!(name_violation(kind, &short).is_some());
            assert!(name_violation(kind, &"a".repeat(64)).is_none());
        }
        assert!(name_violation(Kind::Instance, &long).is_none());
        let violation = name_violation(Kind::RouteTable, &longer).unwrap();
        assert_eq!(violation.parameter, "name");
        assert!(violation.rule.starts_with("the name of a route table must be"), "{}", violation.rule);
        let violation = name_violation(Kind::Image, &longer).unwrap();
        assert!(violation.rule.starts_with("the name of an image must be"), "{}", violation.rule);
    }

    #[test]
    fn tenants_and_regions_are_the_operators_words() {
        assert!(TenantName::parse("Acme_EU-1.x").is_ok());
        for bad in ["", ".", "..", "-a", "a/b", "a b", "a%"] {
            assert!(TenantName::parse(bad).is_err(), "{bad}");
            assert!(RegionName::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<TenantName>("\"a/b\"").is_err());
    }
}
