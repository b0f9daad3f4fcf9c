//! Admission: from a received document to what is stored, or to all rules that it breaks.
//!
//! What the document says by itself is known before ([`Draft`]). Here everything that it names is read at once,
//! and judged purely. The store checks again, in its transaction, what may have changed since.

use std::collections::HashMap;

use seca_api::{Kind, ResourceKey, Scope, Target, names::is_name, violation::Violation};
use serde_json::Value;

use super::{Context, ControlPlane, Refusal, draft::Draft};
use crate::{
    catalog::Catalog,
    kinds::{self, Found, Judgement, KindRules, Relatives, Resolved, START_EXTENSION, Spelled, Subject},
    ports::{Deleted, Edge, Expected, ListQuery, Put, StoreResult},
    resource::Resource,
};

/// How many related resources are read at a time.
const BATCH: usize = 1_000;

/// What one read showed.
struct Rows(HashMap<ResourceKey, Resource>);

impl Rows {
    fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.0.get(key)
    }
}

impl ControlPlane {
    /// Judges a document against the state of the moment.
    pub(super) async fn admit(
        &self,
        context: Context<'_>,
        rules: &'static KindRules,
        key: &ResourceKey,
        draft: &Draft,
        if_version: Option<i64>,
    ) -> Result<Put, Refusal> {
        let catalog = self.catalog.load();
        let references = kinds::spelled(rules.references, key, &draft.spec);
        let parents = parents(key);
        let rows = self.read(key, &parents, &references).await?;

        let parents = live_parents(parents, &rows)?;
        let old = rows.get(key);
        check_version(key, old, if_version)?;

        let old_spec = old.map(|row| serde_json::from_str(&row.spec)).transpose();
        let old_spec: Option<Value> = old_spec.map_err(|error| Refusal::Internal(format!("{key}: {error}")))?;
        let subject = Subject { key, spec: &draft.spec, old: old.zip(old_spec.as_ref()) };

        let mut violations = draft.violations.clone();
        violations.extend(region_violation(context, key, draft, &catalog));
        if old.is_none() {
            violations.extend(unserved_region(key, &catalog));
        }
        violations.extend(immutable_violations(rules, &subject, &references));
        let mut resolved = Vec::new();
        for reference in &references {
            match find(key, reference, &rows, &catalog) {
                Ok(found) => resolved.push(found),
                Err(violation) => violations.push(violation),
            }
        }
        self.read_holders(old, &mut resolved).await?;
        let left = self.read_left(rules, &subject, &references).await?;
        let relatives = self.relatives(rules, &subject).await?;
        let judgement = Judgement {
            subject,
            rules,
            parents: &parents,
            references: &resolved,
            left: &left,
            relatives: &relatives,
            catalog: &catalog,
        };
        violations.extend((rules.judge)(&judgement));
        if !violations.is_empty() {
            return Err(Refusal::Violations { kind: key.kind, violations });
        }
        Ok(self.accepted(rules, draft, &subject, edges(&resolved, &references)))
    }

    fn accepted(&self, rules: &KindRules, draft: &Draft, subject: &Subject<'_>, edges: Vec<Edge>) -> Put {
        let asked = rules.powered && draft.extension(START_EXTENSION) == Some("true");
        // Sent again with every PUT, it must not undo a stop: only its appearance counts.
        let asked_before =
            subject.old.is_some_and(|(row, _)| row.extension(START_EXTENSION).as_deref() == Some("true"));
        let home = rules.home.and_then(|field| edges.iter().find(|edge| edge.field == field));
        Put {
            home: home.map(|edge| edge.target.clone()),
            key: subject.key.clone(),
            expected: subject.old.map(|(row, _)| Expected { uid: row.uid, resource_version: row.resource_version }),
            uid: self.ids.uid(),
            labels: draft.map("labels"),
            annotations: draft.map("annotations"),
            extensions: draft.map("extensions"),
            spec: draft.spec.to_string(),
            label_pairs: draft.labels(),
            edges,
            initial_status: Value::Object((rules.initial_status)(&draft.spec)).to_string(),
            start: asked && !asked_before,
            now: self.clock.now(),
        }
    }

    /// Its own row, its parents and everything that it names, in one read.
    async fn read(&self, key: &ResourceKey, parents: &[ResourceKey], references: &[Spelled]) -> StoreResult<Rows> {
        let mut keys = vec![key.clone()];
        keys.extend(parents.iter().cloned());
        keys.extend(references.iter().filter_map(|reference| match &reference.target {
            Ok(Target::Resource(target)) if kinds::rules(target.kind).is_some() => Some(target.clone()),
            _ => None,
        }));
        // Nothing can have an impossible name, and databases choke on some.
        keys.retain(|key| is_name(&key.name));
        keys.sort();
        keys.dedup();
        let rows = self.store.get_many(&keys).await?;
        Ok(Rows(rows.into_iter().map(|row| (row.key.clone(), row)).collect()))
    }

    /// Only when another resource holds what this one wants for itself, which is rare.
    async fn read_holders(&self, own: Option<&Resource>, resolved: &mut [Resolved]) -> StoreResult<()> {
        for reference in resolved.iter_mut().filter(|reference| reference.field.exclusive) {
            if let Found::Row { row, holder } = &mut reference.found
                && let Some(uid) = row.holder
            {
                *holder = match own {
                    Some(own) if own.uid == uid => Some(own.clone()),
                    _ => self.store.bundle(uid).await?.map(|bundle| bundle.resource),
                };
            }
        }
        Ok(())
    }

    /// What exclusive references no longer name: what was named before is known only once the own row is read.
    async fn read_left(
        &self,
        rules: &KindRules,
        subject: &Subject<'_>,
        references: &[Spelled],
    ) -> StoreResult<Vec<(String, Resource)>> {
        let Some((row, old)) = subject.old else { return Ok(Vec::new()) };
        let mut left = HashMap::new();
        for before in kinds::spelled(rules.references, &row.key, old).into_iter().filter(|r| r.field.exclusive) {
            let now = references.iter().find(|reference| reference.pointer == before.pointer);
            if now.and_then(Spelled::identity) != before.identity()
                && let Ok(Target::Resource(key)) = before.target
            {
                left.insert(key, before.pointer);
            }
        }
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<ResourceKey> = left.keys().cloned().collect();
        let rows = self.store.get_many(&keys).await?;
        Ok(rows.into_iter().filter_map(|row| Some((left.remove(&row.key)?, row))).collect())
    }

    async fn relatives(&self, rules: &KindRules, subject: &Subject<'_>) -> StoreResult<Vec<Resource>> {
        let mut found = Vec::new();
        for relatives in (rules.relatives)(subject) {
            let mut query = relatives_query(subject.key, relatives);
            loop {
                let page = self.store.list(&query).await?;
                let last = page.items.last().map(|row| row.key.name.clone());
                found.extend(page.items.into_iter().filter(|row| row.key != *subject.key));
                match last {
                    Some(last) if page.more => query.after = last,
                    _ => break,
                }
            }
        }
        Ok(found)
    }
}

fn relatives_query(key: &ResourceKey, relatives: Relatives) -> ListQuery {
    let (kind, network) = match relatives {
        Relatives::Siblings => (key.kind, key.network.clone()),
        Relatives::Children(kind) => {
            (kind, if kind.scope() == Scope::Network { key.name.clone() } else { String::new() })
        }
    };
    let workspace = key.workspace_key().map(|workspace| workspace.name).unwrap_or_default();
    ListQuery {
        kind,
        tenant: key.tenant.clone(),
        region: key.region.clone(),
        workspace: if matches!(kind.scope(), Scope::Workspace | Scope::Network) { workspace } else { String::new() },
        network,
        deleted: Deleted::Exclude,
        selector: None,
        after: String::new(),
        limit: BATCH,
    }
}

/// The keys of the parents, nearest first.
fn parents(key: &ResourceKey) -> Vec<ResourceKey> {
    std::iter::successors(key.parent(), ResourceKey::parent).collect()
}

fn live_parents(keys: Vec<ResourceKey>, rows: &Rows) -> Result<Vec<Resource>, Refusal> {
    let mut found = Vec::new();
    // The outermost that is missing is the one to create first.
    for key in keys.into_iter().rev() {
        match rows.get(&key) {
            None => return Err(Refusal::MissingParent(key)),
            Some(row) if row.is_deleting() => {
                return Err(Refusal::Conflict(format!(
                    "{key} is being deleted, so nothing can be written into it; wait until it is gone and create it again"
                )));
            }
            Some(row) => found.insert(0, row.clone()),
        }
    }
    Ok(found)
}

fn check_version(key: &ResourceKey, old: Option<&Resource>, if_version: Option<i64>) -> Result<(), Refusal> {
    if let Some(row) = old.filter(|row| row.is_deleting()) {
        return Err(being_deleted(&row.key));
    }
    match (old, if_version) {
        (None, Some(_)) => Err(Refusal::NotFound(key.clone())),
        (Some(row), Some(expected)) if row.resource_version != expected => {
            Err(Refusal::Stale { key: key.clone(), expected, current: row.resource_version })
        }
        _ => Ok(()),
    }
}

/// The refusal of a write to what is on its way out.
pub(super) fn being_deleted(key: &ResourceKey) -> Refusal {
    Refusal::Conflict(format!("{key} is being deleted; wait until it is gone and create it again"))
}

/// The path decides the region; a document that insists on another one was sent to the wrong place.
fn region_violation(context: Context<'_>, key: &ResourceKey, draft: &Draft, catalog: &Catalog) -> Option<Violation> {
    if key.kind.provider().is_global() {
        return None;
    }
    let claimed = draft.claimed_region.as_deref().filter(|claimed| *claimed != key.region)?;
    let rule = if catalog.has_region(claimed) {
        let url = format!("{}/regions/{claimed}/providers/{}", context.base_url, key.kind.provider().name());
        format!("region is `{claimed}`, but this URL serves {}; send the request to {url}", key.region)
    } else {
        let known = catalog.regions().join(", ");
        format!("region `{}` does not exist; use one of {known}, or leave it out", kinds::clip(claimed))
    };
    Some(Violation::at("/metadata/region", rule))
}

/// Nothing new is made where the provider offers nothing (any more); what exists there can still be changed.
fn unserved_region(key: &ResourceKey, catalog: &Catalog) -> Option<Violation> {
    let unserved = !key.kind.provider().is_global() && !catalog.has_region(&key.region);
    let known = catalog.regions().join(", ");
    unserved.then(|| {
        let region = kinds::clip(&key.region);
        Violation::parameter("region", format!("region `{region}` of the URL is not served; use one of {known}"))
    })
}

fn immutable_violations(rules: &KindRules, subject: &Subject<'_>, references: &[Spelled]) -> Vec<Violation> {
    let Some((row, old)) = subject.old else { return Vec::new() };
    let mut found = Vec::new();
    for member in seca_api::immutable_fields(rules.kind) {
        let pointer = format!("/{member}");
        if subject.changed(&pointer)
            && let Some(before) = old.get(member)
        {
            found.push(immutable(&format!("/spec{pointer}"), rules.kind, &before.to_string()));
        }
    }
    for before in kinds::spelled(rules.references, &row.key, old).iter().filter(|reference| reference.field.immutable) {
        let now = references.iter().find(|reference| reference.pointer == before.pointer);
        // One that cannot be understood is a violation of its own.
        if now.is_some_and(|now| now.target.is_err()) || now.and_then(Spelled::identity) == before.identity() {
            continue;
        }
        let text = old.pointer(before.pointer.trim_start_matches("/spec")).and_then(|value| value.get("resource"));
        found.push(immutable(&before.pointer, rules.kind, &text.map(Value::to_string).unwrap_or_default()));
    }
    found
}

fn immutable(pointer: &str, kind: Kind, before: &str) -> Violation {
    let mut violation = Violation::at(pointer, "");
    violation.rule =
        format!("{} is immutable and is {before}; send that, or create another {}", violation.parameter, kind.noun());
    violation
}

/// What a reference names, or the rule that it breaks.
fn find(own: &ResourceKey, reference: &Spelled, rows: &Rows, catalog: &Catalog) -> Result<Resolved, Violation> {
    let at = |found| Resolved { field: reference.field, pointer: reference.pointer.clone(), found };
    let target = match &reference.target {
        Err(error) => return Err(error.violation(&reference.pointer)),
        Ok(Target::Resource(target)) => target,
        Ok(Target::Address(text)) => return Ok(at(Found::Address(text.clone()))),
        // Unset references were left out before.
        Ok(Target::Unset) => return Ok(at(Found::Missing(own.clone()))),
    };
    if let Some(violation) = misplaced(own, target, &reference.pointer) {
        return Err(violation);
    }
    if let Some(entry) = kinds::catalog::find(catalog, target) {
        return Ok(at(Found::Entry(entry.clone())));
    }
    match rows.get(target) {
        Some(row) if !row.is_deleting() => Ok(at(Found::Row { row: row.clone(), holder: None })),
        _ if !reference.field.is_strict(target.kind) => Ok(at(Found::Missing(target.clone()))),
        row => Err(missing(target, row.is_some(), &reference.pointer)),
    }
}

/// References stay within region, tenant, workspace and network: beyond them is another provider project.
fn misplaced(own: &ResourceKey, target: &ResourceKey, pointer: &str) -> Option<Violation> {
    let own_workspace = own.workspace_key().map(|key| key.name).unwrap_or_default();
    let shared = kinds::catalog::is_listed(target.kind) && kinds::is_catalog_tenant(&target.tenant);
    let in_workspace = matches!(target.kind.scope(), Scope::Workspace | Scope::Network);
    let in_network = target.kind.scope() == Scope::Network;
    let (part, theirs, ours) = if target.region != own.region && !target.kind.provider().is_global() {
        ("region", &target.region, &own.region)
    } else if target.tenant != own.tenant && !shared {
        ("tenant", &target.tenant, &own.tenant)
    } else if in_workspace && !own_workspace.is_empty() && target.workspace != own_workspace {
        ("workspace", &target.workspace, &own_workspace)
    } else if in_network
        && (target.network.is_empty() || own.kind.scope() == Scope::Network && target.network != own.network)
    {
        ("network", &target.network, &own.network)
    } else {
        return None;
    };
    let mut violation = Violation::at(pointer, "");
    let parameter = violation.parameter.clone();
    violation.rule = format!(
        "{parameter} names {} in {part} `{theirs}`, but it must be in {part} `{ours}` like the {} itself; name one there",
        target.resource(),
        own.kind.noun()
    );
    Some(violation)
}

fn missing(target: &ResourceKey, is_deleting: bool, pointer: &str) -> Violation {
    let mut violation = Violation::at(pointer, "");
    let (name, noun) = (target.resource(), target.kind.noun());
    let rest = if is_deleting {
        "which is being deleted; name another one".to_owned()
    } else if kinds::catalog::is_listed(target.kind) {
        format!("but region {} has no such {noun}; list {} to see what it has", target.region, target.kind.collection())
    } else {
        format!("but there is no such {noun}; create it first, or correct the reference")
    };
    violation.rule = format!("{} names {name}, {rest}", violation.parameter);
    violation
}

/// All references to rows, the late ones included.
fn edges(resolved: &[Resolved], references: &[Spelled]) -> Vec<Edge> {
    let targets: HashMap<&str, &ResourceKey> = references
        .iter()
        .filter_map(|reference| match &reference.target {
            Ok(Target::Resource(key)) => Some((reference.pointer.as_str(), key)),
            _ => None,
        })
        .collect();
    let rows = resolved.iter().filter(|reference| matches!(reference.found, Found::Row { .. } | Found::Missing(_)));
    rows.filter_map(|reference| {
        let target = (*targets.get(reference.pointer.as_str())?).clone();
        let strict = reference.field.is_strict(target.kind);
        Some(Edge { field: reference.pointer.clone(), target, strict })
    })
    .collect()
}
