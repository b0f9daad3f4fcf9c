//! SSH keys: public keys of a project, found by name or fingerprint.

use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::labels::Labels;
use super::query::ListSpec;
use super::state::{Cx, check_name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
pub(crate) struct SshKey {
    pub(crate) id: i64,
    pub(crate) name: String,
    fingerprint: String,
    pub(crate) public_key: String,
    pub(crate) labels: Labels,
    created: Time,
}

impl SshKey {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "fingerprint": self.fingerprint, "public_key": self.public_key,
            "labels": self.labels, "created": self.created.rfc3339(),
        })
    }
}

/// The MD5 fingerprint of an OpenSSH public key, as the API shows it; `None` when the text is no key.
fn fingerprint(public_key: &str) -> Option<String> {
    if public_key.contains(['\r', '\n']) {
        return None;
    }
    let mut words = public_key.split_whitespace();
    let algorithm = words.next()?;
    let blob = STANDARD.decode(words.next()?).ok()?;
    // The blob starts with its algorithm's name, length first; a body that differs is no key.
    let length = usize::try_from(u32::from_be_bytes(blob.get(..4)?.try_into().ok()?)).ok()?;
    if blob.get(4..4 + length)? != algorithm.as_bytes() {
        return None;
    }
    Some(Md5::digest(&blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "ssh_keys", filters: &["name", "fingerprint"], sorts: &["id", "name"], labels: true };
    cx.list(&spec, cx.project.ssh_keys.values().map(SshKey::json).collect())
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    match cx.project.ssh_keys.get(&id) {
        Some(key) => Ok(Reply::ok(json!({"ssh_key": key.json()}))),
        None => Err(ApiError::not_found("SSH Key", id)),
    }
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let name = input.required_text("name");
    let public_key = input.required_text("public_key").trim().to_owned();
    let labels = input.labels().unwrap_or_default();
    input.check()?;
    let fingerprint =
        fingerprint(&public_key).ok_or_else(|| ApiError::invalid("public_key", "public key is not valid"))?;
    if name.is_empty() {
        return Err(ApiError::invalid("name", "must not be empty"));
    }
    let keys = &cx.project.ssh_keys;
    check_name(keys.values().map(|key| (key.id, key.name.as_str())), None, &name, "SSH key")?;
    if keys.values().any(|key| key.fingerprint == fingerprint) {
        return Err(ApiError::not_unique("public_key", "SSH key with the same fingerprint already exists"));
    }
    cx.project.check_limit("ssh_key_limit", keys.len())?;
    let id = cx.shared.id();
    let key = SshKey { id, name, fingerprint, public_key, labels, created: cx.now };
    let reply = Reply::created(json!({"ssh_key": key.json()}));
    cx.project.ssh_keys.insert(id, key);
    Ok(reply)
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels) = (input.text("name"), input.labels());
    input.check()?;
    let keys = &mut cx.project.ssh_keys;
    if let Some(name) = &name {
        check_name(keys.values().map(|key| (key.id, key.name.as_str())), Some(id), name, "SSH key")?;
    }
    let key = keys.get_mut(&id).ok_or_else(|| ApiError::not_found("SSH Key", id))?;
    key.name = name.unwrap_or_else(|| key.name.clone());
    key.labels = labels.unwrap_or_else(|| key.labels.clone());
    Ok(Reply::ok(json!({"ssh_key": key.json()})))
}

pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    match cx.project.ssh_keys.remove(&id) {
        Some(_) => Ok(Reply::no_content()),
        None => Err(ApiError::not_found("SSH Key", id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_md5_of_the_key() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";
        let with_other_comment = key.replace("me@example", "you");
        assert_eq!(fingerprint(key).unwrap().len(), 47);
        assert_eq!(fingerprint(key), fingerprint(&with_other_comment));
        let two = format!("{key}\n{key}");
        for bad in
            [two.as_str(), "", "ssh-ed25519", "ssh-ed25519 ???", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAB", "ssh-rsa AAAA"]
        {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
    }
}
