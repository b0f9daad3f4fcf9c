//! Attaching and detaching a block storage by name, as the predecessor's clients ask for it.
//!
//! There is one way in which a volume gets to a server: an instance names it among its data volumes. So these calls write
//! that list, by a PUT of the instance as it stands, with all that a PUT is judged by. A PUT that somebody else was
//! faster than is judged again on what they left.

use seca_api::{Reference, ReferenceError, ResourceKey, reference::Target, violation::Violation};
use serde_json::{Map, Value};

use super::{Context, ControlPlane, PutRequest, Refusal, read::is_possible};
use crate::{kinds::instance, resource::Resource};

/// How often a change of an instance is repeated because others changed it at the same time.
const ATTEMPTS: u32 = 16;

/// The member of the request that names the instance.
const INSTANCE: &str = "/instanceRef";

impl ControlPlane {
    /// Adds a block storage to the data volumes of an instance. What is there already stays as it is. The caller needs
    /// the right to read the block storage and to PUT the instance; `if_version` is one of the block storage.
    ///
    /// # Errors
    /// Those of [`Self::put`]; [`Refusal::NotFound`] when there is no such block storage or instance.
    pub async fn attach(
        &self,
        context: Context<'_>,
        volume: &ResourceKey,
        body: &Value,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        drop(self.authorize(context.caller, "get", volume).await?);
        let instance = named_instance(volume, body)
            .map_err(|violation| Refusal::Violations { kind: volume.kind, violations: vec![violation] })?;
        drop(self.authorize(context.caller, "put", &instance).await?);
        self.live_volume(volume, if_version).await?;
        self.rewrite(context, &instance, |spec| instance::with_data_volume(&instance, spec, volume)).await
    }

    /// Takes a block storage from the data volumes of all instances. The caller needs the right to read the block storage
    /// and to PUT each of them; `if_version` is one of the block storage.
    ///
    /// # Errors
    /// Those of [`Self::put`]; [`Refusal::NotFound`] when there is no such block storage, and [`Refusal::Conflict`] when an
    /// instance boots from it.
    pub async fn detach(
        &self,
        context: Context<'_>,
        volume: &ResourceKey,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        drop(self.authorize(context.caller, "get", volume).await?);
        let row = self.live_volume(volume, if_version).await?;
        let bundle = self.store.bundle(row.uid).await?.ok_or_else(|| Refusal::NotFound(volume.clone()))?;
        let users = bundle.referrers.into_iter().filter(|user| user.key.kind == instance::RULES.kind);
        let mut users: Vec<_> =
            users.filter(|user| user.resource.as_ref().is_some_and(|row| !row.is_deleting())).collect();
        users.sort_by(|one, other| one.key.cmp(&other.key));
        if let Some(user) = users.iter().find(|user| user.field == instance::BOOT_VOLUME) {
            return Err(Refusal::Conflict(format!(
                "{volume} cannot be detached, because {} boots from it; delete that instance instead",
                user.key.resource()
            )));
        }
        users.dedup_by(|one, other| one.key == other.key);
        // All or none, as far as rights go.
        for user in &users {
            drop(self.authorize(context.caller, "put", &user.key).await?);
        }
        for user in &users {
            let without = |spec: &Value| instance::without_data_volume(&user.key, spec, volume);
            match self.rewrite(context, &user.key, without).await {
                // One that is gone, or goes, names nothing any more.
                Ok(()) | Err(Refusal::NotFound(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    async fn live_volume(&self, key: &ResourceKey, if_version: Option<i64>) -> Result<Resource, Refusal> {
        let absent = || Refusal::NotFound(key.clone());
        let row = if is_possible(key) { self.store.get(key).await? } else { None }.ok_or_else(absent)?;
        if row.is_deleting() {
            return Err(super::admit::being_deleted(key));
        }
        match if_version.filter(|version| *version != row.resource_version) {
            Some(expected) => Err(Refusal::Stale { key: key.clone(), expected, current: row.resource_version }),
            None => Ok(row),
        }
    }

    /// PUTs an instance as it stands with another specification, unless that is the one that it has.
    async fn rewrite(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> Result<(), Refusal> {
        for _ in 0..ATTEMPTS {
            let row = if is_possible(key) { self.store.get(key).await? } else { None };
            let row = row.ok_or_else(|| Refusal::NotFound(key.clone()))?;
            let internal = |error: serde_json::Error| Refusal::Internal(format!("{key}: {error}"));
            let spec = serde_json::from_str(&row.spec).map_err(internal)?;
            let Some(spec) = change(&spec) else { return Ok(()) };
            let body = document(&row, spec).map_err(internal)?;
            let request = PutRequest { key: key.clone(), body, if_version: Some(row.resource_version) };
            match self.put(context, request).await {
                Err(Refusal::Stale { .. }) => {}
                Err(refusal) => return Err(refusal),
                Ok(_) => return Ok(()),
            }
        }
        Err(Refusal::Conflict(format!(
            "{key} was changed by others at the same time again and again; repeat the request"
        )))
    }
}

/// What a client would send to change nothing but the specification.
fn document(row: &Resource, spec: Value) -> Result<Value, serde_json::Error> {
    let mut document = Map::new();
    for (name, map) in [("labels", &row.labels), ("annotations", &row.annotations), ("extensions", &row.extensions)] {
        if let Some(map) = map {
            document.insert(name.to_owned(), serde_json::from_str(map)?);
        }
    }
    document.insert("spec".to_owned(), spec);
    Ok(Value::Object(document))
}

/// The instance that a request means: one beside the block storage.
fn named_instance(volume: &ResourceKey, body: &Value) -> Result<ResourceKey, Violation> {
    let reference = body.pointer(INSTANCE).and_then(Reference::from_value);
    let found = match reference {
        Some(reference) => reference.resolve(volume, &[instance::RULES.kind]),
        None => Ok(Target::Unset),
    };
    let place = |key: &ResourceKey| (key.region.clone(), key.tenant.clone(), key.workspace.clone());
    match found.map_err(|error: ReferenceError| error.violation(INSTANCE))? {
        Target::Resource(key) if place(&key) == place(volume) => Ok(key),
        Target::Resource(key) => {
            let rule = format!(
                "instanceRef names {}, which is in another place than {}; name an instance of workspace {}",
                key.resource(),
                volume.resource(),
                volume.workspace
            );
            Err(Violation::at(INSTANCE, rule))
        }
        _ => Err(Violation::at(INSTANCE, "instanceRef is missing; set it to the instance, like instances/web-1")),
    }
}
