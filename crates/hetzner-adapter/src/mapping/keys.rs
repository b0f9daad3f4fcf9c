//! The SSH keys of an instance, which the provider puts on a server when it makes it.

use std::collections::BTreeSet;

use control_plane::{
    Reason,
    ports::{Auxiliary, Tie},
};
use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use seca_api::InstanceSpec;

use super::{Checked, Context, auxiliary, wait};
use crate::{
    admission::ssh_key::{SshKeyEntry, distinct},
    naming,
};

/// The keys that an instance asks for.
pub(super) struct Keys(Vec<Wanted>);

enum Wanted {
    /// A public key, and the object that it is at the provider unless somebody uploaded it.
    Key { own: Auxiliary, text: String },
    /// A key of the project, by the name that somebody gave it.
    Named(String),
}

impl Keys {
    /// Of an instance. Without any key the provider would make a root password and mail it: so there is always one.
    pub(super) fn of(spec: &InstanceSpec, installation: &str) -> Self {
        let entries = distinct(spec.ssh_keys.iter().map(String::as_str)).into_iter().filter_map(Result::ok);
        let mut wanted: Vec<Wanted> = entries
            .map(|entry| match entry {
                SshKeyEntry::Key(key) => {
                    Wanted::key(&key.blob, format!("{} {}", key.algorithm, BASE64.encode(&key.blob)))
                }
                SshKeyEntry::Name(name) => Wanted::Named(name),
            })
            .collect();
        if wanted.is_empty() {
            wanted.push(nobodys_key(installation));
        }
        Self(wanted)
    }

    /// The ids of the keys at the provider.
    pub(super) fn ready(&self, context: &Context<'_>) -> Checked<Vec<String>> {
        let id = |wanted: &Wanted| {
            match wanted {
            Wanted::Key { own, text } => auxiliary::ssh_key(context, own, text),
            Wanted::Named(name) => auxiliary::named_key(context, name).ok_or_else(|| {
                let text = format!(
                    "The Hetzner Cloud project has no SSH key `{name}`; upload it under this name, or send the public key \
                     itself."
                );
                Box::new(wait(Reason::SshKeyUnknown, text))
            }),
        }
        };
        self.0.iter().map(|wanted| id(wanted).map(|id| id.to_string())).collect()
    }

    /// The ties that are missing to those that nobody uploaded.
    pub(super) fn missing(&self, context: &Context<'_>) -> Vec<Tie> {
        let own = self.0.iter().filter_map(|wanted| match wanted {
            Wanted::Key { own, text } => Some(own).filter(|own| auxiliary::uploaded(context, own, text).is_none()),
            Wanted::Named(_) => None,
        });
        auxiliary::missing(context, own)
    }

    /// The objects that they are.
    pub(super) fn auxiliaries(&self) -> impl Iterator<Item = &Auxiliary> {
        self.0.iter().filter_map(|wanted| match wanted {
            Wanted::Key { own, .. } => Some(own),
            Wanted::Named(_) => None,
        })
    }

    /// A hash that tells these keys from others, in whichever order.
    pub(super) fn hash(&self) -> String {
        let all: BTreeSet<&str> = self
            .0
            .iter()
            .map(|wanted| match wanted {
                Wanted::Key { text, .. } => text.as_str(),
                Wanted::Named(name) => name.as_str(),
            })
            .collect();
        naming::hash(&all.into_iter().collect::<Vec<_>>().join("\n"), 26)
    }
}

impl Wanted {
    fn key(blob: &[u8], text: String) -> Self {
        Self::Key { own: auxiliary::of_content(auxiliary::SSH_KEY, &BASE64.encode(blob)), text }
    }
}

/// A public key of which nobody has the private half: its bytes are a hash, and no key pair was ever made.
fn nobodys_key(installation: &str) -> Wanted {
    const TYPE: &str = "ssh-ed25519";
    let point = digest(&SHA256, format!("nobody's key of {installation}").as_bytes());
    let mut blob = Vec::new();
    for part in [TYPE.as_bytes(), point.as_ref()] {
        // Both are shorter than 256 bytes.
        blob.extend([0, 0, 0, part.len() as u8]);
        blob.extend(part);
    }
    Wanted::key(&blob, format!("{TYPE} {}", BASE64.encode(&blob)))
}
