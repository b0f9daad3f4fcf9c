//! Names and labels of our objects at the provider.
//!
//! A name is made of the SECA name, for people, and of a hash of the uid, so that a resource made again under an
//! old name never meets the object of its predecessor. Labels say whose an object is; the truth lives in the
//! database, and labels serve adoption, the sweep and people.

use control_plane::{Resource, Uid};
use data_encoding::BASE32_NOPAD;
use hcloud_client::types::Labels;
use ring::digest::{SHA256, digest};
use seca_api::Timestamp;

use crate::owner::Role;

/// `true` on every object of ours.
pub const MANAGED: &str = "seca.managed";
/// The installation that made the object.
pub const INSTALLATION: &str = "seca.installation";
/// The resource that the object belongs to.
pub const UID: &str = "seca.uid";
/// What the object is to its resource beside the main object: see [`Role`].
pub const ROLE: &str = "seca.role";
/// The resource's kind.
pub const KIND: &str = "seca.kind";
/// The resource's tenant.
pub const TENANT: &str = "seca.tenant";
/// The resource's workspace.
pub const WORKSPACE: &str = "seca.workspace";
/// The resource's name.
pub const NAME: &str = "seca.name";
/// The call that made the object (or handed it over), the generation that it served, and when it was planned: of
/// several creations of unknown outcome it tells which one the object came of.
pub const STEP: &str = "seca.step";
/// What an object is for that belongs to no single resource: `marker`, `deny-all`, `ssh-key`, `placement-group`.
pub const PURPOSE: &str = "seca.purpose";
/// The hash of what such an object holds, where there are several of a purpose.
pub const CONTENT: &str = "seca.content";
/// The id of the project, on its marker.
pub const PROJECT: &str = "seca.project";

/// The number of the epoch of the database that rules the project, on its marker.
pub const EPOCH: &str = "seca.epoch";
/// A text that no other database gives an epoch of the same number, on the project's marker.
pub const EPOCH_NONCE: &str = "seca.epoch-nonce";

/// The longest part of a SECA name in a name of ours.
const NAME_PART: usize = 50;
/// The length of the hash in a name of ours.
const HASH_PART: usize = 10;
/// The longest value of a label.
const LABEL_MAX: usize = 63;

/// A hash of lower-case letters and digits, of at most 52 characters.
pub fn hash(text: &str, length: usize) -> String {
    let mut text = BASE32_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref()).to_ascii_lowercase();
    text.truncate(length);
    text
}

/// The name of a resource's main object: an RFC 1123 label of at most 61 characters, as servers need it.
pub fn object_name(name: &str, uid: Uid) -> String {
    role_name(name, uid, None)
}

/// The name of a resource's object of a role, of the same form.
pub fn role_name(name: &str, uid: Uid, role: Option<&Role>) -> String {
    let clipped: String = name.chars().take(NAME_PART).map(|c| if c == '.' { '-' } else { c }).collect();
    let identity = role.map_or_else(|| uid.to_string(), |role| format!("{uid}/{role}"));
    format!("{}-{}", clipped.trim_end_matches('-'), hash(&identity, HASH_PART))
}

/// The name of an object that serves a whole installation.
pub fn shared_name(purpose: &str, installation: &str) -> String {
    content_name(purpose, installation, None)
}

/// The name of an object of a content that serves several resources of an installation.
pub fn content_name(purpose: &str, installation: &str, content: Option<&str>) -> String {
    let identity =
        content.map_or_else(|| installation.to_owned(), |content| format!("{installation}/{}", label_value(content)));
    format!("seca-{purpose}-{}", hash(&identity, HASH_PART))
}

/// A text as the value of a label: itself, or its hash where the provider's grammar does not take it.
pub fn label_value(text: &str) -> String {
    if is_label_value(text) { text.to_owned() } else { format!("h-{}", hash(text, 32)) }
}

/// Whether the provider takes a text as the value of a label.
pub fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= LABEL_MAX
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The labels of a resource's main object.
pub fn labels(installation: &str, resource: &Resource, step: &str, planned: Timestamp) -> Labels {
    role_labels(installation, resource, None, step, planned)
}

/// The labels of a resource's object of a role.
pub fn role_labels(
    installation: &str,
    resource: &Resource,
    role: Option<&Role>,
    step: &str,
    planned: Timestamp,
) -> Labels {
    let key = &resource.key;
    let workspace = key.workspace_key().map(|workspace| workspace.name).unwrap_or_default();
    [
        (MANAGED, "true".to_owned()),
        (INSTALLATION, label_value(installation)),
        (UID, resource.uid.to_string()),
        (KIND, key.kind.as_str().to_owned()),
        (TENANT, label_value(&key.tenant)),
        (WORKSPACE, label_value(&workspace)),
        (NAME, label_value(&key.name)),
        (STEP, label_value(&format!("{step}.{}.{}", resource.generation, planned.as_millis()))),
    ]
    .into_iter()
    .chain(role.map(|role| (ROLE, role.to_string())))
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The labels of an object that serves a whole installation.
pub fn shared_labels(installation: &str, purpose: &str) -> Labels {
    content_labels(installation, purpose, None)
}

/// The labels of an object of a content that serves several resources of an installation.
pub fn content_labels(installation: &str, purpose: &str, content: Option<&str>) -> Labels {
    [(MANAGED, "true".to_owned()), (INSTALLATION, label_value(installation)), (PURPOSE, purpose.to_owned())]
        .into_iter()
        .chain(content.map(|content| (CONTENT, label_value(content))))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Whether two sets of labels name the same installation and owner.
pub(crate) fn is_same_owner(one: &Labels, other: &Labels) -> bool {
    [INSTALLATION, UID, ROLE, PURPOSE, CONTENT].iter().all(|name| one.get(*name) == other.get(*name))
}

/// Whether labels say that an object is of this installation.
pub fn is_of(labels: &Labels, installation: &str) -> bool {
    labels.get(INSTALLATION) == Some(&label_value(installation))
}

/// The resource that labels name.
pub fn uid_of(labels: &Labels) -> Option<Uid> {
    labels.get(UID)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uid() -> Uid {
        "018f4e9c-0000-7000-8000-0000000000aa".parse().unwrap()
    }

    /// RFC 1123: a host name's label.
    fn is_host_label(text: &str) -> bool {
        let bytes = text.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes[bytes.len() - 1].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    }

    proptest! {
        #[test]
        fn every_seca_name_makes_a_host_name_and_a_label(name in "[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,4}") {
            prop_assume!(seca_api::ResourceName::parse(&name).is_ok());
            prop_assert!(is_host_label(&object_name(&name, uid())), "{}", object_name(&name, uid()));
            prop_assert!(is_label_value(&label_value(&name)));
        }

        #[test]
        fn every_tenant_makes_a_label(tenant in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}") {
            prop_assert!(seca_api::TenantName::parse(&tenant).is_ok());
            prop_assert!(is_label_value(&label_value(&tenant)));
        }

        #[test]
        fn any_text_makes_a_label(text in ".{0,80}") {
            prop_assert!(is_label_value(&label_value(&text)));
        }
    }

    #[test]
    fn a_resource_made_again_has_another_name() {
        let other = "018f4e9c-0000-7000-8000-0000000000ab".parse().unwrap();
        assert_ne!(object_name("web", uid()), object_name("web", other));
        assert_eq!(object_name("web", uid()), object_name("web", uid()));
    }

    #[test]
    fn what_fits_is_a_label_as_it_stands() {
        for fits in ["", "a", "A-b_c.d", &"x".repeat(63)] {
            assert_eq!(label_value(fits), fits);
        }
        for bad in ["-a", "a.", "a/b", "ä", &"x".repeat(64)] {
            assert!(label_value(bad).starts_with("h-"), "{bad}");
        }
    }
}
