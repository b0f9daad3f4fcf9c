//! Admission: from a received document to what is stored, or to all rules that it breaks.
//!
//! What the document says by itself is known before ([`Draft`]). Here everything that it names is read at once,
//! and judged purely. The store checks again, in its transaction, what may have changed since.

use std::collections::{BTreeMap, HashMap};

use seca_api::{Kind, ResourceKey, Scope, Target, names::is_name, violation::Violation};
use serde_json::{Value, json};

use super::{Ask, Caller, Context, ControlPlane, Decisions, ReferencePolicy, Refusal, draft::Draft};
use crate::{
    catalog::Catalog,
    kinds::{self, Found, Judgement, KindRules, Relatives, Resolved, Spelled, Subject},
    ports::{Admission, AdmissionQuery, Before, Collection, Deleted, Edge, ListQuery, Put, StoreResult, Turn},
    resource::{Resource, Uid},
};

/// What one read showed.
struct Rows {
    before: Option<Before>,
    by_key: HashMap<ResourceKey, Resource>,
    by_uid: HashMap<Uid, ResourceKey>,
    relatives: Vec<Resource>,
    authorization: Option<i64>,
}

impl Rows {
    fn new(admission: Admission) -> Self {
        let own = admission.before.iter().map(|before| &before.row).cloned();
        let rows: Vec<Resource> = admission.rows.into_iter().chain(own).collect();
        Self {
            before: admission.before,
            by_uid: rows.iter().map(|row| (row.uid, row.key.clone())).collect(),
            by_key: rows.into_iter().map(|row| (row.key.clone(), row)).collect(),
            relatives: admission.relatives,
            authorization: admission.authorization,
        }
    }

    fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.by_key.get(key)
    }

    fn own(&self) -> Option<&Resource> {
        self.before.as_ref().map(|before| &before.row)
    }

    /// Whether the document referred to the same until now.
    fn has(&self, reference: &Spelled) -> bool {
        let Ok(Target::Resource(target)) = &reference.target else { return false };
        let mut edges = self.before.iter().flat_map(|before| &before.edges);
        edges.any(|edge| edge.field == reference.pointer && edge.target == *target)
    }

    fn holder(&self, uid: Uid) -> Option<&Resource> {
        self.get(self.by_uid.get(&uid)?)
    }
}

impl ControlPlane {
    /// Judges a document against the state of the moment, which stays as it is when the write has its turn.
    pub(super) async fn admit(
        &self,
        context: Context<'_>,
        rules: &'static KindRules,
        key: &ResourceKey,
        draft: &Draft,
        if_version: Option<i64>,
        turn: &mut Option<Box<dyn Turn>>,
    ) -> Result<Put, Refusal> {
        let catalog = self.catalog.load();
        let references = self.placed(key, kinds::spelled(rules.references, key, &draft.spec)).await?;
        let parents = parents(key);
        let relatives = (rules.relatives)(&Subject { key, spec: &draft.spec, old: None });
        let rows = self.read(key, &parents, &references, relatives, turn).await?;
        let caller = context.caller;
        let decisions = self.authorize_at(caller, &Ask { verb: "put", key }, rows.authorization).await?;
        let policy = decisions.settings().references;

        let elsewhere = region_violation(context, key, draft, &catalog);
        let parents = match live_parents(parents, &rows) {
            // Who means another region is told so first: what is missing here may well be there.
            Err(Refusal::MissingParent(_)) if elsewhere.is_some() => {
                let violations = draft.violations.iter().cloned().chain(elsewhere).collect();
                return Err(Refusal::Violations { kind: key.kind, violations });
            }
            parents => parents?,
        };
        let old = rows.own();
        if old.is_none() && kinds::catalog::find(&catalog, key).is_some() {
            return Err(built_in(key));
        }
        check_version(key, old, if_version)?;

        let old_spec = old.map(|row| serde_json::from_str(&row.spec)).transpose();
        let old_spec: Option<Value> = old_spec.map_err(|error| Refusal::Internal(format!("{key}: {error}")))?;
        let subject = Subject { key, spec: &draft.spec, old: old.zip(old_spec.as_ref()) };

        let mut violations = draft.violations.clone();
        violations.extend(elsewhere);
        if old.is_none() {
            violations.extend(unserved_region(key, &catalog));
        }
        violations.extend(immutable_violations(rules, &subject, &references));
        let mut resolved = Vec::new();
        for reference in &references {
            if !rows.has(reference) && self.is_out_of_sight(caller, &decisions, key, reference, &catalog) {
                violations.extend(unseen(reference));
                continue;
            }
            match find(key, reference, &rows, &catalog, policy) {
                Ok(found) => resolved.push(found),
                Err(violation) => violations.push(violation),
            }
        }
        let left = left(rules, &subject, &references, &rows);
        let judgement = Judgement {
            subject,
            extensions: draft.extensions(),
            rules,
            parents: &parents,
            references: &resolved,
            left: &left,
            relatives: &rows.relatives,
            catalog: &catalog,
            provider: self.provider(),
            tenants: &self.known_tenants(caller, key, &draft.spec).await?,
        };
        violations.extend(draft.unknown_location(rules, &subject, &catalog, self.provider()));
        violations.extend((rules.judge)(&judgement));
        violations.extend(self.rules.judge(&judgement));
        if !violations.is_empty() {
            return Err(Refusal::Violations { kind: key.kind, violations });
        }
        self.may_grant(caller, key, &draft.spec, &decisions, old.is_none()).await?;
        let put = self.accepted(rules, draft, &subject, rows.before.as_ref(), edges(&resolved, &references, policy));
        let grants = rules.grants.is_some();
        let founds = rules.founds && put.before.is_none() && self.enforces();
        Ok(Put {
            judged_at: grants.then(|| decisions.version()),
            grant: founds.then(|| Box::new(self.founder(caller, key, put.uid))),
            ..put
        })
    }

    /// Whether a document names something that its sender may not read and would see by it: who copies a disk into an
    /// image, or an image of the tenant's own into a disk, sees what is on it. Within one workspace it is its roles'
    /// business. What is in the wrong place for everybody is told so, whether it exists or not.
    fn is_out_of_sight(
        &self,
        caller: &Caller,
        decisions: &Decisions,
        own: &ResourceKey,
        reference: &Spelled,
        catalog: &Catalog,
    ) -> bool {
        let Ok(Target::Resource(target)) = &reference.target else { return false };
        let leaves = own.workspace_key().is_none() && matches!(target.kind.scope(), Scope::Workspace | Scope::Network);
        let enters = kinds::rules(target.kind).is_some_and(|rules| rules.discloses)
            && kinds::catalog::find(catalog, target).is_none();
        (leaves || enters)
            && self.enforces()
            && misplaced(own, target, &reference.pointer).is_none()
            && !decisions.allows(caller, &Ask { verb: "get", key: target })
    }

    /// The assignment that makes who creates a workspace its administrator. It is bound to that life of the workspace,
    /// and dies with it.
    fn founder(&self, caller: &Caller, workspace: &ResourceKey, uid: Uid) -> Put {
        let spec = json!({
            "subs": [caller.subject],
            "scopes": [{"regions": [workspace.region], "workspaces": [workspace.name]}],
            "roles": ["seca.workspace-admin"],
        });
        let description = format!("{} created workspace {} in {}", caller.subject, workspace.name, workspace.region);
        let key = kinds::role_assignment::key(&workspace.tenant, &format!("creator-{uid}"));
        let annotations = Some(json!({"description": description}).to_string());
        Put { annotations, ..Put::create(key, self.ids.uid(), spec.to_string(), self.clock.now()) }
    }

    /// The same references, where one that names no network means the only resource of that name in the workspace.
    /// Left as it is if there is none, or no single one, so that the answer says so. Nobody looks into another
    /// workspace: the answer would tell what is there to those who may not know.
    async fn placed(&self, key: &ResourceKey, mut references: Vec<Spelled>) -> StoreResult<Vec<Spelled>> {
        let own_workspace = key.workspace_key().map(|key| key.name).unwrap_or_default();
        let is_open = |target: &ResourceKey| {
            let is_here =
                (&target.tenant, &target.region, &target.workspace) == (&key.tenant, &key.region, &own_workspace);
            target.kind.scope() == Scope::Network && target.network.is_empty() && is_here
        };
        for reference in &mut references {
            let Ok(Target::Resource(target)) = &mut reference.target else { continue };
            if is_open(target) && [&target.name, &target.workspace].into_iter().all(|name| is_name(name)) {
                let mut found = self.in_any_network(target).await?.into_iter();
                if let (Some(only), None) = (found.next(), found.next()) {
                    *target = only;
                }
            }
        }
        Ok(references)
    }

    /// The live resources of a name in all networks of a workspace.
    async fn in_any_network(&self, target: &ResourceKey) -> StoreResult<Vec<ResourceKey>> {
        let Some(kind) = target.kind.parent() else { return Ok(Vec::new()) };
        let network = ResourceKey { kind, name: String::new(), ..target.clone() };
        let mut query = ListQuery {
            kind: network.kind,
            tenant: network.tenant,
            region: network.region,
            workspace: network.workspace,
            network: String::new(),
            deleted: Deleted::Exclude,
            selector: None,
            after: String::new(),
            limit: 1_000,
        };
        let mut found = Vec::new();
        loop {
            let page = self.store.list(&query).await?;
            let names = page.items.into_iter().map(|network| network.resource.key.name);
            let keys: Vec<_> = names.map(|network| ResourceKey { network, ..target.clone() }).collect();
            let rows = self.store.get_many(&keys).await?;
            found.extend(rows.into_iter().filter(|row| !row.is_deleting()).map(|row| row.key));
            match keys.last() {
                Some(last) if page.more => query.after = last.network.clone(),
                _ => return Ok(found),
            }
        }
    }

    fn accepted(
        &self,
        rules: &KindRules,
        draft: &Draft,
        subject: &Subject<'_>,
        before: Option<&Before>,
        edges: Vec<Edge>,
    ) -> Put {
        let start = self.provider().start_extension;
        let asked = rules.powered && draft.extension(start) == Some("true");
        // Sent again with every PUT, it must not undo a stop: only its appearance counts.
        let asked_before = subject.old.is_some_and(|(row, _)| row.extension(start).as_deref() == Some("true"));
        let home = rules.home.and_then(|field| edges.iter().find(|edge| edge.field == field));
        Put {
            home: home.map(|edge| edge.target.clone()),
            before: before.cloned(),
            labels: draft.map("labels"),
            annotations: draft.map("annotations"),
            extensions: draft.map("extensions"),
            label_pairs: draft.labels(),
            edges,
            initial_status: Value::Object((rules.initial_status)(&draft.spec)).to_string(),
            start: asked && !asked_before,
            ..Put::create(subject.key.clone(), self.ids.uid(), draft.spec.to_string(), self.clock.now())
        }
    }

    /// Its own row, its parents and everything else that the judgement looks at, in one read.
    async fn read(
        &self,
        key: &ResourceKey,
        parents: &[ResourceKey],
        references: &[Spelled],
        relatives: Vec<Relatives>,
        turn: &mut Option<Box<dyn Turn>>,
    ) -> StoreResult<Rows> {
        let mut named = parents.to_vec();
        named.extend(references.iter().filter_map(|reference| match &reference.target {
            Ok(Target::Resource(target)) if kinds::rules(target.kind).is_some() => Some(target.clone()),
            _ => None,
        }));
        let networks = named.iter().filter(|key| key.kind.scope() == Scope::Network).filter_map(ResourceKey::parent);
        named.extend(networks.collect::<Vec<_>>());
        // Nothing can have an impossible name, and databases choke on some.
        named.retain(|key| is_name(&key.name));
        named.sort();
        named.dedup();
        let relatives = relatives.into_iter().map(|relatives| collection(key, relatives)).collect();
        let query = AdmissionQuery { key: key.clone(), named, relatives };
        Ok(Rows::new(match turn {
            Some(turn) => turn.admission(&query).await?,
            None => self.store.admission(&query).await?,
        }))
    }
}

/// What exclusive references named before and no longer do.
fn left(rules: &KindRules, subject: &Subject<'_>, references: &[Spelled], rows: &Rows) -> Vec<(String, Resource)> {
    let Some((row, old)) = subject.old else { return Vec::new() };
    let mut left = BTreeMap::new();
    for before in kinds::spelled(rules.references, &row.key, old).into_iter().filter(|r| r.field.exclusive) {
        let now = references.iter().find(|reference| reference.pointer == before.pointer);
        if now.and_then(Spelled::identity) != before.identity()
            && let Ok(Target::Resource(key)) = before.target
        {
            left.insert(key, before.pointer);
        }
    }
    left.into_iter().filter_map(|(key, pointer)| Some((pointer, rows.get(&key)?.clone()))).collect()
}

fn collection(key: &ResourceKey, relatives: Relatives) -> Collection {
    let (kind, network) = match relatives {
        Relatives::Siblings => (key.kind, key.network.clone()),
        Relatives::Children(kind) => {
            (kind, if kind.scope() == Scope::Network { key.name.clone() } else { String::new() })
        }
    };
    let workspace = key.workspace_key().map(|workspace| workspace.name).unwrap_or_default();
    Collection {
        kind,
        tenant: key.tenant.clone(),
        region: key.region.clone(),
        workspace: if matches!(kind.scope(), Scope::Workspace | Scope::Network) { workspace } else { String::new() },
        network,
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

/// The refusal of a write to what nobody wrote.
pub(super) fn built_in(key: &ResourceKey) -> Refusal {
    if kinds::grant(key.kind).is_some() {
        return Refusal::SystemRole(key.clone());
    }
    Refusal::Conflict(format!("{key} {}; choose another name", kinds::catalog::describe(key.kind)))
}

/// What a reference names, or the rule that it breaks.
fn find(
    own: &ResourceKey,
    reference: &Spelled,
    rows: &Rows,
    catalog: &Catalog,
    policy: ReferencePolicy,
) -> Result<Resolved, Violation> {
    let at = |found| Resolved { field: reference.field, pointer: reference.pointer.clone(), found };
    let target = match &reference.target {
        Err(error) => return Err(error.violation(&reference.pointer)),
        Ok(Target::Resource(target)) => target,
        Ok(Target::Address(text)) => return Ok(at(Found::Address(text.clone()))),
        // Unset references were left out before.
        Ok(Target::Unset) => return Ok(at(Found::Missing(own.clone()))),
    };
    if target == own {
        return Ok(at(Found::Itself));
    }
    if let Some(violation) = misplaced(own, target, &reference.pointer) {
        return Err(violation);
    }
    let row = rows.get(target);
    match row.filter(|row| !row.is_deleting()) {
        Some(row) => {
            let holder = row.holder.filter(|_| reference.field.exclusive).and_then(|uid| rows.holder(uid)).cloned();
            let network = target.parent().filter(|_| target.kind.scope() == Scope::Network);
            let parent = network.and_then(|network| rows.get(&network)).cloned();
            return Ok(at(Found::Row { row: row.clone(), holder, parent }));
        }
        None if row.is_some() => {}
        None => {
            if let Some(entry) = kinds::catalog::find(catalog, target) {
                return Ok(at(Found::Entry(entry.clone())));
            }
        }
    }
    if reference.field.is_strict(target.kind, policy) {
        return Err(missing(target, row.is_some(), &reference.pointer));
    }
    Ok(at(Found::Missing(target.clone())))
}

/// References stay within region, tenant, workspace and network: beyond them is another provider project.
fn misplaced(own: &ResourceKey, target: &ResourceKey, pointer: &str) -> Option<Violation> {
    let own_workspace = own.workspace_key().map(|key| key.name).unwrap_or_default();
    let shared = kinds::catalog::is_shared(target.kind) && kinds::is_catalog_tenant(&target.tenant);
    let in_workspace = matches!(target.kind.scope(), Scope::Workspace | Scope::Network);
    let in_network = target.kind.scope() == Scope::Network;
    let (part, theirs, ours) = if target.region != own.region && !target.kind.provider().is_global() {
        ("region", &target.region, &own.region)
    } else if target.tenant != own.tenant && !shared {
        ("tenant", &target.tenant, &own.tenant)
    } else if in_workspace && !own_workspace.is_empty() && target.workspace != own_workspace {
        ("workspace", &target.workspace, &own_workspace)
    } else if let Some(violation) = unplaced(own, target, pointer) {
        return Some(violation);
    } else if in_network && own.kind.scope() == Scope::Network && target.network != own.network {
        ("network", &target.network, &own.network)
    } else {
        return None;
    };
    let named = match in_network && target.network.is_empty() {
        true => format!("{}/{}", target.kind.collection(), target.name),
        false => target.resource(),
    };
    let mut violation = Violation::at(pointer, "");
    let parameter = violation.parameter.clone();
    violation.rule = format!(
        "{parameter} names {named} in {part} `{theirs}`, but it must be in {part} `{ours}` like the {} itself; name one \
         there",
        own.kind.noun()
    );
    Some(violation)
}

/// Nothing can be found without the workspace, or the network, that it is in.
fn unplaced(own: &ResourceKey, target: &ResourceKey, pointer: &str) -> Option<Violation> {
    let (noun, collection, name) = (target.kind.noun(), target.kind.collection(), &target.name);
    let mut violation = Violation::at(pointer, "");
    let parameter = violation.parameter.clone();
    violation.rule = match target.kind.scope() {
        Scope::Workspace | Scope::Network if target.workspace.is_empty() => format!(
            "{parameter} names {collection}/{name} without a workspace, which {} does not have; write \
             workspaces/<workspace>/{collection}/{name}",
            own.kind.a_noun()
        ),
        Scope::Network if target.network.is_empty() => format!(
            "{parameter} names {collection}/{name} without a network, and workspace {} has none or several {noun}s of \
             that name; create it first, or write networks/<network>/{collection}/{name}",
            target.workspace
        ),
        _ => return None,
    };
    Some(violation)
}

/// Told like what does not exist, so that nobody learns what is there.
fn unseen(reference: &Spelled) -> Option<Violation> {
    let Ok(Target::Resource(target)) = &reference.target else { return None };
    Some(missing(target, false, &reference.pointer))
}

fn missing(target: &ResourceKey, is_deleting: bool, pointer: &str) -> Violation {
    let mut violation = Violation::at(pointer, "");
    let (name, noun) = (target.resource(), target.kind.noun());
    let rest = if is_deleting {
        "which is being deleted; name another one".to_owned()
    } else if kinds::catalog::is_shared(target.kind) {
        format!("but region {} has no such {noun}; list {} to see what it has", target.region, target.kind.collection())
    } else {
        format!("but there is no such {noun}; create it first, or correct the reference")
    };
    violation.rule = format!("{} names {name}, {rest}", violation.parameter);
    violation
}

/// All references to rows, the late ones included. Only a row that exists can be waited for in a transaction, and that
/// is none of its own.
fn edges(resolved: &[Resolved], references: &[Spelled], policy: ReferencePolicy) -> Vec<Edge> {
    let targets: HashMap<&str, &ResourceKey> = references
        .iter()
        .filter_map(|reference| match &reference.target {
            Ok(Target::Resource(key)) => Some((reference.pointer.as_str(), key)),
            _ => None,
        })
        .collect();
    let edges = resolved.iter().filter_map(|reference| {
        let target = (*targets.get(reference.pointer.as_str())?).clone();
        let strict = match reference.found {
            Found::Row { .. } | Found::Missing(_) => reference.field.is_strict(target.kind, policy),
            Found::Itself => false,
            Found::Entry(_) | Found::Address(_) => return None,
        };
        Some(Edge { field: reference.pointer.clone(), target, strict })
    });
    edges.collect()
}
