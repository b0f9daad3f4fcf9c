//! PUT, DELETE and power actions.
//!
//! Locks come first, in uid order: parents and targets so that nobody can begin to delete them, the row itself so
//! that nobody can change it, a row to be deleted so that nobody can begin to depend on it. What depends on
//! other rows is judged in a later statement, because one that waited for a lock still sees what was before.

use std::collections::BTreeMap;

use control_plane::{
    ProjectId, Resource, Uid,
    ports::{Act, ActOutcome, Delete, DeleteOutcome, DeleteRules, Edge, Expected, Put, PutOutcome},
    state,
};
use seca_api::{Kind, ResourceKey};

use super::relations::{WAKE, outer_first, related};
use crate::{
    database::{Operation, Tx},
    fault::Fault,
    row,
    selector::sortable,
    sql::{Row, Sql, Value, args, identity, key_args, key_row, list, rows, sql},
};

const SHARE: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.deleted_at, r.project FROM " (rows 1)
    " JOIN resources r ON r.tenant = j.value->>0 AND r.region = j.value->>1 AND r.kind = j.value->>2 \
     AND r.workspace = j.value->>3 AND r.network = j.value->>4 AND r.name = j.value->>5 ORDER BY r.uid" share
);
const OWN: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 \
     AND r.network = $5 AND r.name = $6" change
);
const OWN_TO_DELETE: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 \
     AND r.network = $5 AND r.name = $6" exclusive
);
const INSERT: Sql = sql!(
    "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
     extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
     created_at, last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
     $23, $24, $25, $26, $27) ON CONFLICT DO NOTHING"
);
const UPDATE_OUTCOME: Sql = sql!(
    "UPDATE resources SET status = $2, state = $3, conditions = $4, resource_version = $5, generation = $6, \
     observed_generation = $7, revision = $8, last_modified_at = $9, deleted_at = $10, facts = $11, holder = $12, \
     action_kind = $13, action_seq = $14, action_done_seq = $15 WHERE uid = $1"
);
/// The same with what the user wrote.
const UPDATE_ALL: Sql = sql!(
    "UPDATE resources SET status = $2, state = $3, conditions = $4, resource_version = $5, generation = $6, \
     observed_generation = $7, revision = $8, last_modified_at = $9, deleted_at = $10, facts = $11, holder = $12, \
     action_kind = $13, action_seq = $14, action_done_seq = $15, labels = $16, annotations = $17, extensions = $18, \
     spec = $19 WHERE uid = $1"
);
const QUEUE: Sql = sql!(
    "INSERT INTO work (uid, project, next_run_at, attempts, wakes) VALUES ($1, $2, " now ", 0, 1)"
);
const QUEUE_AGAIN: Sql = sql!(
    "UPDATE work SET wakes = wakes + 1, attempts = 0, \
     next_run_at = CASE WHEN next_run_at <= " now " THEN next_run_at ELSE " now " END WHERE uid = $1"
);
/// What a client changed is tried as if for the first time.
const BEGIN_ATTEMPTS: Sql = sql!("UPDATE work SET attempts = 0 WHERE uid IN " (list 1) " AND attempts > 0");
const ADD_LABELS: Sql = sql!(
    "INSERT INTO resource_labels (uid, name, value, number) \
     SELECT $1, j.value->>0, j.value->>1, j.value->>2 FROM " (rows 2)
);
const DROP_LABELS: Sql = sql!("DELETE FROM resource_labels WHERE uid = $1");
const EDGES: Sql = sql!(
    "SELECT e.field, e.strict, e.tenant, e.region, e.kind, e.workspace, e.network, e.name \
     FROM resource_references e WHERE e.uid = $1 ORDER BY e.position"
);
const ADD_EDGES: Sql = sql!(
    "INSERT INTO resource_references (uid, position, field, strict, tenant, region, kind, workspace, network, name) \
     SELECT $1, CAST(j.value->>0 AS BIGINT), j.value->>1, CAST(j.value->>2 AS BIGINT), j.value->>3, j.value->>4, \
     j.value->>5, j.value->>6, j.value->>7, j.value->>8 FROM " (rows 2)
);
const DROP_EDGES: Sql = sql!("DELETE FROM resource_references WHERE uid = $1");
const REFERRERS: Sql = sql!("SELECT DISTINCT e.uid FROM resource_references e WHERE " referring " AND e.uid <> $1");
const TARGETS: Sql =
    sql!("SELECT DISTINCT r.uid FROM resource_references e JOIN resources r ON " joined " WHERE e.uid = $1");
const CASCADE: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE ((" in_network ") OR (" in_workspace ")) AND r.uid <> $1 \
     AND r.kind IN " (list 8) " AND r.deleted_at IS NULL ORDER BY r.uid" exclusive
);
/// Live children, live referrers, and live referrers of the children that go along; of the kinds that refuse.
const BLOCKERS: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name FROM resources r \
     WHERE ((" in_network ") OR (" in_workspace ")) AND r.uid <> $1 \
     AND r.kind IN " (list 8) " AND r.deleted_at IS NULL AND r.uid NOT IN " (list 10)
    " UNION SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name \
     FROM resource_references e JOIN resources r ON r.uid = e.uid \
     WHERE " referring " AND r.kind IN " (list 9) " AND r.deleted_at IS NULL AND r.uid NOT IN " (list 10)
    " UNION SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name \
     FROM " (rows 11) " JOIN resource_references e ON e.tenant = j.value->>0 AND e.region = j.value->>1 \
     AND e.kind = j.value->>2 AND e.workspace = j.value->>3 AND e.network = j.value->>4 AND e.name = j.value->>5 \
     JOIN resources r ON r.uid = e.uid AND r.kind = j.value->>6 \
     WHERE r.deleted_at IS NULL AND r.uid NOT IN " (list 10)
    " ORDER BY 3, 4, 5, 6 LIMIT $12"
);

impl Operation for Put {
    type Output = PutOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<PutOutcome, Fault> {
        let parents = outer_first(&self.key);
        let named = share(tx, parents.iter().chain(self.edges.iter().map(|edge| &edge.target))).await?;
        let strict = self.edges.iter().filter(|edge| edge.strict).map(|edge| &edge.target);
        let missing = parents.iter().chain(strict).find(|key| !named.get(key).is_some_and(|found| found.live));
        if self.expected.is_none() && missing.is_none() {
            let project = parents.first().or(self.home.as_ref()).and_then(|key| named.get(key)).map(|found| found.project.clone());
            if let Some(created) = create(tx, self, project.unwrap_or_else(ProjectId::local)).await? {
                return Ok(PutOutcome::Created(created));
            }
        }
        let current = row::first(&tx.fetch(OWN, &key_args(&self.key)).await?)?;
        match (current, self.expected) {
            (Some(row), Some(expected)) if row.uid != expected.uid => Ok(PutOutcome::Stale),
            (Some(row), _) if row.is_deleting() => Ok(PutOutcome::Deleting),
            (Some(row), Some(Expected { resource_version, .. })) if row.resource_version == resource_version => {
                match missing {
                    Some(missing) => Ok(PutOutcome::Missing(missing.clone())),
                    None => update(tx, self, row).await,
                }
            }
            (None, None) => Ok(missing.map_or(PutOutcome::Stale, |key| PutOutcome::Missing(key.clone()))),
            _ => Ok(PutOutcome::Stale),
        }
    }
}

/// What is known of a row that a write depends on, once nobody can begin to delete it.
struct Named {
    live: bool,
    project: ProjectId,
}

async fn share<'a>(
    tx: &mut Tx,
    keys: impl Iterator<Item = &'a ResourceKey> + Send,
) -> Result<BTreeMap<ResourceKey, Named>, Fault> {
    let wanted: Vec<[Option<String>; 6]> = keys.map(key_row).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = tx.fetch(SHARE, &[rows(wanted)]).await?;
    let named = |row: &Row| {
        Ok((row::key(row, 0)?, Named { live: row.maybe_int(6)?.is_none(), project: ProjectId(row.text(7)?) }))
    };
    found.iter().map(named).collect()
}

/// None when somebody else created it meanwhile.
async fn create(tx: &mut Tx, put: &Put, project: ProjectId) -> Result<Option<Resource>, Fault> {
    let resource = state::create(put.clone(), project);
    if tx.execute(INSERT, &row::insert_args(&resource)?).await? == 0 {
        return Ok(None);
    }
    tx.execute(QUEUE, &args![resource.uid, &resource.project]).await?;
    add_labels(tx, resource.uid, &put.label_pairs).await?;
    add_edges(tx, resource.uid, &put.edges).await?;
    let referrers = row::uids(&tx.fetch(REFERRERS, &identity(resource.uid, &resource.key)).await?)?;
    if !referrers.is_empty() {
        tx.execute(WAKE, &[list(&referrers)]).await?;
    }
    Ok(Some(resource))
}

async fn update(tx: &mut Tx, put: &Put, before: Resource) -> Result<PutOutcome, Fault> {
    let mut after = before.clone();
    state::update(&mut after, put.clone());
    let uid = after.uid;
    let mut woken = Vec::new();
    if edges(tx, uid).await? != put.edges {
        woken = row::uids(&tx.fetch(TARGETS, &args![uid]).await?)?;
        tx.execute(DROP_EDGES, &args![uid]).await?;
        add_edges(tx, uid, &put.edges).await?;
    }
    if before.labels != after.labels {
        tx.execute(DROP_LABELS, &args![uid]).await?;
        add_labels(tx, uid, &put.label_pairs).await?;
    }
    tx.execute(UPDATE_ALL, &row::written_args(&after)?).await?;
    // Queue rows are locked in uid order as well, all by one statement.
    woken.push(uid);
    tx.execute(WAKE, &[list(&woken)]).await?;
    tx.execute(BEGIN_ATTEMPTS, &[list([uid])]).await?;
    Ok(PutOutcome::Updated { before, after })
}

async fn edges(tx: &mut Tx, uid: Uid) -> Result<Vec<Edge>, Fault> {
    let found = tx.fetch(EDGES, &args![uid]).await?;
    let edge = |row: &Row| Ok(Edge { field: row.text(0)?, strict: row.int(1)? == 1, target: row::key(row, 2)? });
    found.iter().map(edge).collect()
}

async fn add_labels(tx: &mut Tx, uid: Uid, labels: &BTreeMap<String, String>) -> Result<(), Fault> {
    if !labels.is_empty() {
        let each = labels.iter().map(|(name, value)| [Some(name.clone()), Some(value.clone()), sortable(value)]);
        tx.execute(ADD_LABELS, &[Value::from(uid), rows(each)]).await?;
    }
    Ok(())
}

async fn add_edges(tx: &mut Tx, uid: Uid, edges: &[Edge]) -> Result<(), Fault> {
    if !edges.is_empty() {
        let each = edges.iter().enumerate().map(|(position, edge)| {
            let [tenant, region, kind, workspace, network, name] = key_row(&edge.target);
            let (position, strict) = (position.to_string(), i64::from(edge.strict).to_string());
            let field = edge.field.clone();
            [Some(position), Some(field), Some(strict), tenant, region, kind, workspace, network, name]
        });
        tx.execute(ADD_EDGES, &[Value::from(uid), rows(each)]).await?;
    }
    Ok(())
}

/// Writes what the pure functions of `state` did to a row.
pub(super) async fn write_outcome(tx: &mut Tx, row: &Resource) -> Result<(), Fault> {
    tx.execute(UPDATE_OUTCOME, &row::outcome_args(row)?).await?;
    Ok(())
}

impl Operation for Delete {
    type Output = DeleteOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<DeleteOutcome, Fault> {
        let Some(mut row) = row::first(&tx.fetch(OWN_TO_DELETE, &key_args(&self.key)).await?)? else {
            return Ok(DeleteOutcome::NotFound);
        };
        if row.is_deleting() {
            return Ok(DeleteOutcome::Accepted(row));
        }
        if self.expected_version.is_some_and(|version| version != row.resource_version) {
            return Ok(DeleteOutcome::Stale(row.resource_version));
        }
        let mut cascade = cascade(tx, &self.rules, &row).await?;
        let blockers = blockers(tx, &self.rules, &row, &cascade).await?;
        if !blockers.is_empty() {
            return Ok(DeleteOutcome::Refused(blockers));
        }
        let mut woken = Vec::new();
        for gone in cascade.iter_mut().chain([&mut row]) {
            state::delete(gone, self.now);
            write_outcome(tx, gone).await?;
            woken.push(gone.uid);
            woken.extend(related(tx, gone).await?);
        }
        tx.execute(WAKE, &[list(&woken)]).await?;
        let own = cascade.iter().map(|child| child.uid).chain([row.uid]);
        tx.execute(BEGIN_ATTEMPTS, &[list(own)]).await?;
        Ok(DeleteOutcome::Accepted(row))
    }
}

/// The live children that go along, locked, so that nobody can begin to refer to them.
async fn cascade(tx: &mut Tx, rules: &DeleteRules, row: &Resource) -> Result<Vec<Resource>, Fault> {
    if rules.cascades.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = identity(row.uid, &row.key).to_vec();
    args.push(list(rules.cascades.iter().map(|(kind, _)| kind.as_str())));
    row::all(&tx.fetch(CASCADE, &args).await?)
}

/// What refuses the deletion: the first few.
async fn blockers(
    tx: &mut Tx,
    rules: &DeleteRules,
    row: &Resource,
    cascade: &[Resource],
) -> Result<Vec<ResourceKey>, Fault> {
    if rules.refused_by_children.is_empty() && rules.refused_by_referrers.is_empty() && rules.cascades.is_empty() {
        return Ok(Vec::new());
    }
    let words = |kinds: &[Kind]| list(kinds.iter().map(|kind| kind.as_str()));
    let mut along: Vec<[Option<String>; 7]> = Vec::new();
    for child in cascade {
        let [tenant, region, kind, workspace, network, name] = key_row(&child.key);
        let refused = rules.cascades.iter().filter(|(kind, _)| *kind == child.key.kind).flat_map(|(_, by)| *by);
        along.extend(refused.map(|by| {
            let by = Some(by.as_str().to_owned());
            [tenant.clone(), region.clone(), kind.clone(), workspace.clone(), network.clone(), name.clone(), by]
        }));
    }
    let mut args = identity(row.uid, &row.key).to_vec();
    args.push(words(rules.refused_by_children));
    args.push(words(rules.refused_by_referrers));
    args.push(list(cascade.iter().map(|child| child.uid)));
    args.push(rows(along));
    args.push(Value::from(DeleteRules::SHOWN));
    tx.fetch(BLOCKERS, &args).await?.iter().map(|row| row::key(row, 0)).collect()
}

impl Operation for Act {
    type Output = ActOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<ActOutcome, Fault> {
        let Some(mut row) = row::first(&tx.fetch(OWN, &key_args(&self.key)).await?)? else {
            return Ok(ActOutcome::NotFound);
        };
        if self.expected_version.is_some_and(|version| version != row.resource_version) {
            return Ok(ActOutcome::Stale(row.resource_version));
        }
        if let Err(refusal) = state::judge_action(&row, self.action) {
            return Ok(ActOutcome::Refused(refusal));
        }
        state::act(&mut row, self.action, self.now);
        write_outcome(tx, &row).await?;
        tx.execute(QUEUE_AGAIN, &args![row.uid]).await?;
        Ok(ActOutcome::Accepted(row))
    }
}
