//! SSH keys. The provider takes a key only once into a project: one that somebody else put there is used as it is, and
//! never changed or removed.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{Action, CreateSshKey, Id, Labels, SshKey},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Object, ObjectCall, ObjectId, ProviderObject, Sent};
use crate::call::Call;

impl ProviderObject for SshKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_ssh_keys(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_ssh_key(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_ssh_key(id).await.map(|()| None)
    }
}

/// Whether two texts in OpenSSH's format are one key: of one algorithm and body, whatever their comments say. So the
/// provider tells keys apart, by the hash of the body.
pub(crate) fn is_same_key(one: &str, other: &str) -> bool {
    fn key(text: &str) -> Option<(&str, &str)> {
        let mut words = text.split_whitespace();
        Some((words.next()?, words.next()?))
    }
    key(one).is_some() && key(one) == key(other)
}

/// What is done to SSH keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum SshKeyCall {
    #[serde(rename = "create_ssh_key")]
    Create(Box<CreateSshKey>),
    /// Only a key of ours.
    #[serde(rename = "delete_ssh_key")]
    Delete { ssh_key: Id<SshKey> },
}

impl SshKeyCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for SshKeyCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_ssh_key",
            Self::Delete { .. } => "delete_ssh_key",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Delete { ssh_key } => Some(ObjectId::SshKey(*ssh_key)),
        }
    }

    fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::Create(body) => Some((&body.name, &body.labels)),
            Self::Delete { .. } => None,
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    fn has_twins(&self) -> bool {
        matches!(self, Self::Create(_))
    }

    fn is_twin(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::Create(body), Object::SshKey(key)) => is_same_key(&body.public_key, &key.public_key),
            _ => false,
        }
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => Sent::made(client.create_ssh_key(body).await?),
            Self::Delete { .. } => Sent::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_algorithm_and_body() {
        let key = "ssh-ed25519 AAAA me@example";
        for (other, same) in [
            ("ssh-ed25519 AAAA", true),
            ("ssh-ed25519  AAAA you and me\n", true),
            ("ssh-ed25519 AAAB me@example", false),
            ("ssh-rsa AAAA me@example", false),
            ("", false),
        ] {
            assert_eq!(is_same_key(key, other), same, "{other}");
        }
        assert!(!is_same_key("", ""), "what is no key is the same as nothing");
    }
}
