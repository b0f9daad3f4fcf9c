//! SSH keys of a project.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::wire::null_default;
use super::{Id, Labels};

/// An SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Id.
    pub id: Id<SshKey>,
    /// Name, unique in the project.
    pub name: String,
    /// MD5 fingerprint.
    #[serde(default)]
    pub fingerprint: String,
    /// The public key in OpenSSH format.
    pub public_key: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

/// Body of `POST /ssh_keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSshKey {
    /// Name, unique in the project.
    pub name: String,
    /// The public key in OpenSSH format; a second upload of the same key is a `uniqueness_error`.
    pub public_key: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}
