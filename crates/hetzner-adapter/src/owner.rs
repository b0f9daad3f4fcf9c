//! Whose an object at the provider is: a resource's, in a role, or everybody's, for a purpose.
//!
//! A resource may have several objects of one type. One of them is its main object and has no role; each other one
//! has a role that no second one has. What belongs to no single resource has a purpose instead and, where there are
//! several of a purpose, the hash of its content.

use std::{borrow::Cow, fmt};

use control_plane::Uid;
use hcloud_client::types::Labels;
use serde::{Deserialize, Serialize};

use crate::naming;

/// What an object beside the main one is to its resource: 1 to 63 of `a-z`, `0-9`, `.` and `-`, with a letter or a
/// digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Role(Cow<'static, str>);

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRole(String);

impl fmt::Display for InvalidRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no role: a role has 1 to 63 of a-z, 0-9, `.` and `-`, and a letter or a digit at both ends",
            self.0
        )
    }
}

impl std::error::Error for InvalidRole {}

impl Role {
    /// The role of a name that the code gives. Only for constants: then the compiler refuses a bad one.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        assert!(is_role(text.as_bytes()), "a role has 1 to 63 of a-z, 0-9, `.` and `-`");
        Self(Cow::Borrowed(text))
    }

    /// The role of a text.
    ///
    /// # Errors
    /// When the text is no role.
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        Self::try_from(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Role {
    type Error = InvalidRole;

    fn try_from(text: String) -> Result<Self, InvalidRole> {
        if is_role(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(InvalidRole(text)) }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.0.into_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn is_role(bytes: &[u8]) -> bool {
    const fn is_edge(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    }
    let mut at = 0;
    while at < bytes.len() {
        if !is_edge(bytes[at]) && !matches!(bytes[at], b'.' | b'-') {
            return false;
        }
        at += 1;
    }
    1 <= at && at <= 63 && is_edge(bytes[0]) && is_edge(bytes[at - 1])
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Owner {
    /// A resource's.
    Resource {
        /// The resource.
        uid: Uid,
        /// None for its main object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
    },
    /// No single resource's: it serves several of an installation.
    Shared {
        /// What it is for: `deny-all`.
        purpose: String,
        /// The hash of what it holds, as its label bears it; none where there is one of the purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
    },
}

impl Owner {
    /// Of the main object of a resource.
    pub fn main(uid: Uid) -> Self {
        Self::Resource { uid, role: None }
    }

    /// Of another object of a resource.
    pub fn in_role(uid: Uid, role: Role) -> Self {
        Self::Resource { uid, role: Some(role) }
    }

    /// Of what serves several resources.
    pub fn shared(purpose: &str, content: Option<&str>) -> Self {
        Self::Shared { purpose: purpose.to_owned(), content: content.map(naming::label_value) }
    }

    /// The owner that labels name; none where they name nobody, or a role that is none.
    pub fn of(labels: &Labels) -> Option<Self> {
        match naming::uid_of(labels) {
            Some(uid) => {
                let role = labels.get(naming::ROLE).map(|role| Role::parse(role)).transpose().ok()?;
                Some(Self::Resource { uid, role })
            }
            None => {
                let content = labels.get(naming::CONTENT).cloned();
                Some(Self::Shared { purpose: labels.get(naming::PURPOSE)?.clone(), content })
            }
        }
    }

    /// Whether labels say that an object is this owner's.
    pub fn has(&self, installation: &str, labels: &Labels) -> bool {
        naming::is_of(labels, installation) && Self::of(labels).as_ref() == Some(self)
    }

    /// The name of an object of it: see [`naming`]. `name` is the resource's.
    pub fn object_name(&self, installation: &str, name: &str) -> String {
        match self {
            Self::Resource { uid, role } => naming::role_name(name, *uid, role.as_ref()),
            Self::Shared { purpose, content } => naming::content_name(purpose, installation, content.as_deref()),
        }
    }

    /// Selects by the labels that only its objects bear.
    pub(crate) fn selector(&self, installation: &str) -> String {
        let or_none = |name: &str, value: Option<&str>| match value {
            Some(value) => format!("{name}={value}"),
            None => format!("!{name}"),
        };
        let of = format!("{}={}", naming::INSTALLATION, naming::label_value(installation));
        match self {
            Self::Resource { uid, role } => {
                format!("{of},{}={uid},{}", naming::UID, or_none(naming::ROLE, role.as_ref().map(Role::as_str)))
            }
            Self::Shared { purpose, content } => {
                format!("{of},{}={purpose},{}", naming::PURPOSE, or_none(naming::CONTENT, content.as_deref()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UID: &str = "018f4e9c-0000-7000-8000-0000000000aa";

    fn uid() -> Uid {
        UID.parse().unwrap()
    }

    #[test]
    fn a_role_is_a_label_value_of_small_letters() {
        for good in ["a", "parked", "shard-2", "ipv4.0", &"x".repeat(63)] {
            assert_eq!(Role::parse(good).unwrap().as_str(), good);
            assert!(naming::is_label_value(good));
        }
        for bad in ["", "-a", "a.", "A", "a_b", "a/b", "ä", &"x".repeat(64)] {
            assert!(Role::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn owners_are_read_from_the_labels_that_they_write() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let role = Role::fixed("parked");
        for (pairs, owner) in [
            (&[(naming::UID, UID)][..], Some(Owner::main(uid()))),
            (&[(naming::UID, UID), (naming::ROLE, "parked")], Some(Owner::in_role(uid(), role))),
            (&[(naming::UID, UID), (naming::ROLE, "Not a role")], None),
            (&[(naming::UID, "nobody")], None),
            (&[(naming::PURPOSE, "deny-all")], Some(Owner::shared("deny-all", None))),
            (&[(naming::PURPOSE, "ssh-key"), (naming::CONTENT, "c")], Some(Owner::shared("ssh-key", Some("c")))),
            (&[], None),
        ] {
            assert_eq!(Owner::of(&labels(pairs)), owner, "{pairs:?}");
        }
        let shared = Owner::shared("ssh-key", Some("c"));
        assert!(shared.has("i", &naming::content_labels("i", "ssh-key", Some("c"))));
        assert!(!shared.has("j", &naming::content_labels("i", "ssh-key", Some("c"))));
        assert!(!shared.has("i", &naming::shared_labels("i", "ssh-key")));
    }

    #[test]
    fn an_owner_is_written_as_before_where_it_has_no_role() {
        let written = |owner: &Owner| serde_json::to_value(owner).unwrap();
        for (owner, text) in [
            (Owner::main(uid()), json!({"uid": UID})),
            (Owner::in_role(uid(), Role::fixed("parked")), json!({"uid": UID, "role": "parked"})),
            (Owner::shared("deny-all", None), json!({"purpose": "deny-all"})),
            (Owner::shared("ssh-key", Some("c")), json!({"purpose": "ssh-key", "content": "c"})),
        ] {
            assert_eq!(written(&owner), text);
            assert_eq!(serde_json::from_value::<Owner>(text).unwrap(), owner);
        }
        assert!(serde_json::from_value::<Owner>(json!({"uid": UID, "role": "NO"})).is_err());
    }

    #[test]
    fn owners_have_names_that_no_other_has() {
        let role = |text: &str| Owner::in_role(uid(), Role::parse(text).unwrap());
        let owners = [
            Owner::main(uid()),
            role("a"),
            role("b"),
            Owner::shared("deny-all", None),
            Owner::shared("ssh-key", None),
            Owner::shared("ssh-key", Some("c")),
            Owner::shared("ssh-key", Some("d")),
        ];
        let names: std::collections::BTreeSet<_> = owners.iter().map(|owner| owner.object_name("i", "web")).collect();
        assert_eq!(names.len(), owners.len(), "{names:?}");
        assert_eq!(owners[0].object_name("i", "web"), naming::object_name("web", uid()), "as it always was");
        assert_eq!(owners[3].object_name("i", "web"), naming::shared_name("deny-all", "i"), "as it always was");
    }
}
