//! What is related to a resource: by reference, as parent, as child. And waking it.

use control_plane::{
    Resource, Uid,
    kinds::{self, Peers},
    ports::{Auxiliary, AuxiliaryUse, Bundle, Related, StepRecord, StepState},
};
use seca_api::{Kind, ResourceKey};

use crate::{
    database::{Database, Lane, Tx},
    fault::Fault,
    row::{self, COLUMNS},
    sql::{Row, Sql, Value, args, identity, sql},
};

/// Makes the listed rows due now, whatever is being done about them.
pub(super) const WAKE: Sql = sql!(
    "WITH woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid IN " (list 1) " ORDER BY w.uid" lock ") \
     UPDATE work SET " wake " WHERE uid IN (SELECT uid FROM woken)"
);
const RELATED: Sql = sql!(
    "SELECT e.uid FROM resource_references e WHERE " referring
    " UNION SELECT r.uid FROM resource_references e JOIN resources r ON " joined " WHERE e.uid = $1 \
     UNION SELECT r.uid FROM resources r WHERE " network
    " UNION SELECT r.uid FROM resources r WHERE " workspace
    " UNION SELECT r.uid FROM resources r WHERE " in_network
    " UNION SELECT r.uid FROM resources r WHERE " in_workspace
    " UNION SELECT r.uid FROM resources r WHERE r.holder = $1 \
     UNION SELECT r.uid FROM resources r WHERE " beside
);
/// The same and at once. The row itself is locked with the others, so that all of them are locked in uid order.
const WAKE_RELATED: Sql = sql!(
    "WITH woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid IN (SELECT $1 \
     UNION SELECT e.uid FROM resource_references e WHERE " referring
    " UNION SELECT r.uid FROM resource_references e JOIN resources r ON " joined " WHERE e.uid = $1 \
     UNION SELECT r.uid FROM resources r WHERE " network
    " UNION SELECT r.uid FROM resources r WHERE " workspace
    " UNION SELECT r.uid FROM resources r WHERE " in_network
    " UNION SELECT r.uid FROM resources r WHERE " in_workspace
    " UNION SELECT r.uid FROM resources r WHERE r.holder = $1 \
     UNION SELECT r.uid FROM resources r WHERE " beside ") ORDER BY w.uid" lock ") \
     UPDATE work SET " wake " WHERE uid IN (SELECT uid FROM woken) AND uid <> $1"
);
const BUNDLE: Sql = sql!(
    "SELECT " columns ", w.attempts, w.wakes, CASE r.kind \
     WHEN 'workspace' THEN (SELECT count(*) FROM resources c WHERE c.tenant = r.tenant AND c.region = r.region \
     AND c.workspace = r.name) \
     WHEN 'network' THEN (SELECT count(*) FROM resources c WHERE c.tenant = r.tenant AND c.region = r.region \
     AND c.workspace = r.workspace AND c.network = r.name) \
     ELSE 0 END, CAST(CASE WHEN EXISTS (SELECT 1 FROM steps s WHERE s.uid = r.uid) THEN 1 ELSE 0 END AS BIGINT) \
     FROM resources r JOIN work w ON w.uid = r.uid WHERE r.uid = $1"
);
/// Targets (1), referrers (2), parents (3), children (4) and peers (5), each with the key that it is found by. $8 says
/// which peers: those that name the same in this field, all in the same place ([`SIBLINGS`]), those of this kind in the
/// workspace, or none.
const RELATIONS: Sql = sql!(
    "SELECT CAST(1 AS BIGINT) AS role, e.position, e.field, e.tenant, e.region, e.kind, e.workspace, e.network, \
     e.name, " columns " FROM resource_references e LEFT JOIN resources r ON " joined " WHERE e.uid = $1 \
     UNION ALL SELECT 2, e.position, e.field, r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resource_references e JOIN resources r ON r.uid = e.uid WHERE " referring
    " UNION ALL SELECT 3, 0, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resources r WHERE " network
    " UNION ALL SELECT 3, 1, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resources r WHERE " workspace
    " UNION ALL SELECT 4, 0, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resources r WHERE " in_network
    " UNION ALL SELECT 5, 0, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resource_references e JOIN resource_references o ON o.tenant = e.tenant AND o.region = e.region \
     AND o.kind = e.kind AND o.workspace = e.workspace AND o.network = e.network AND o.name = e.name \
     AND o.field = e.field AND o.uid <> e.uid JOIN resources r ON r.uid = o.uid \
     WHERE e.uid = $1 AND e.field = $8 AND r.kind = $4 AND r.deleted_at IS NULL \
     UNION ALL SELECT 5, 0, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resources r WHERE $8 = '*' AND r.tenant = $2 AND r.region = $3 AND r.kind = $4 AND r.workspace = $5 \
     AND r.network = $6 AND r.uid <> $1 AND r.deleted_at IS NULL \
     UNION ALL SELECT 5, 0, '', r.tenant, r.region, r.kind, r.workspace, r.network, r.name, " columns
    " FROM resources r WHERE " beside " AND r.deleted_at IS NULL"
);
/// No field has this name.
const SIBLINGS: &str = "*";
/// Its open steps, and the auxiliaries that it uses (1), each with the number of others that do.
const OWN: Sql = sql!(
    "SELECT CAST(0 AS BIGINT) AS role, id, generation, step, state, action, " now " - since FROM steps \
     WHERE uid = $1 AND state NOT IN ('done', 'failed') \
     UNION ALL SELECT 1, 0, (SELECT count(*) FROM auxiliary_users o WHERE o.project = a.project \
     AND o.purpose = a.purpose AND o.content = a.content AND o.uid <> a.uid), a.purpose, a.content, NULL, 0 \
     FROM auxiliary_users a WHERE a.uid = $1 ORDER BY 1, 2, 4, 5"
);

/// The parents of a key, the workspace before the network.
pub(super) fn outer_first(key: &ResourceKey) -> Vec<ResourceKey> {
    let parent = key.parent();
    let workspace = parent.as_ref().and_then(ResourceKey::parent);
    workspace.into_iter().chain(parent).collect()
}

/// The identity of a row, and the kind of those that it wakes although nothing relates them.
fn with_peers(row: &Resource) -> Vec<Value<'_>> {
    let kind = Peers::woken_by(row.key.kind).map_or("", Kind::as_str);
    identity(row.uid, &row.key).into_iter().chain([Value::from(kind)]).collect()
}

/// What is related to a row.
pub(super) async fn related(tx: &mut Tx, row: &Resource) -> Result<Vec<Uid>, Fault> {
    row::uids(&tx.fetch(RELATED, &with_peers(row)).await?)
}

/// Wakes what is related to a row.
pub(super) async fn wake_related(tx: &mut Tx, row: &Resource) -> Result<(), Fault> {
    tx.execute(WAKE_RELATED, &with_peers(row)).await?;
    Ok(())
}

/// A resource with its relations. The count of its wake-ups is read first: whatever changes while the rest is
/// read, changes it too, and the commit sees that.
pub(crate) async fn bundle(db: &Database, uid: Uid) -> Result<Option<Bundle>, Fault> {
    let found = db.fetch(Lane::Engine, BUNDLE, &args![uid]).await?;
    let Some(first) = found.first() else { return Ok(None) };
    let mut bundle = Bundle {
        resource: row::resource(first, 0)?,
        parents: Vec::new(),
        targets: Vec::new(),
        referrers: Vec::new(),
        children: Vec::new(),
        peers: Vec::new(),
        child_count: first.int(COLUMNS + 2)?,
        auxiliaries: Vec::new(),
        open_steps: Vec::new(),
        touched: first.int(COLUMNS + 3)? != 0,
        attempts: u32::try_from(first.int(COLUMNS)?).unwrap_or(u32::MAX),
        wake: first.int(COLUMNS + 1)?,
    };
    relate(db, &mut bundle).await?;
    for row in &db.fetch(Lane::Engine, OWN, &args![uid]).await? {
        match row.int(0)? {
            0 => bundle.open_steps.push(step(row, uid)?),
            _ => bundle.auxiliaries.push(auxiliary(row)?),
        }
    }
    Ok(Some(bundle))
}

async fn relate(db: &Database, bundle: &mut Bundle) -> Result<(), Fault> {
    const KEY: usize = 3;
    const RESOURCE: usize = 9;
    let key = &bundle.resource.key;
    let mut args = identity(bundle.resource.uid, key).to_vec();
    let peers = match kinds::rules(key.kind).map_or(Peers::None, |rules| rules.peers) {
        Peers::None => "",
        Peers::OfTarget(field) => field,
        Peers::Siblings => SIBLINGS,
        Peers::InWorkspace(kind) => kind.as_str(),
    };
    args.push(Value::from(peers));
    let found = db.fetch(Lane::Engine, RELATIONS, &args).await?;
    let mut ordered: Vec<(i64, Option<Uid>, i64, Related)> = Vec::with_capacity(found.len());
    for row in &found {
        let resource = match row.maybe_text(RESOURCE)? {
            Some(_) => Some(row::resource(row, RESOURCE)?),
            None => None,
        };
        let (role, position) = (row.int(0)?, row.int(1)?);
        // What a resource names stands in the order of its fields, the others by age.
        let age = resource.as_ref().map(|r| r.uid).filter(|_| matches!(role, 2 | 4 | 5));
        ordered.push((role, age, position, Related { field: row.text(2)?, key: row::key(row, KEY)?, resource }));
    }
    ordered.sort_by_key(|(role, age, position, _)| (*role, *age, *position));
    for (role, _, _, related) in ordered {
        match role {
            1 => bundle.targets.push(related),
            2 => bundle.referrers.push(related),
            3 => bundle.parents.extend(related.resource),
            4 => bundle.children.extend(related.resource),
            _ => bundle.peers.extend(related.resource),
        }
    }
    Ok(())
}

fn auxiliary(row: &Row) -> Result<AuxiliaryUse, Fault> {
    let auxiliary = Auxiliary { purpose: row.text(3)?, content: row.text(4)? };
    Ok(AuxiliaryUse { auxiliary, others: row.int(2)? })
}

fn step(row: &Row, resource: Uid) -> Result<StepRecord, Fault> {
    let id = row.int(1)?;
    let broken = |what: &str| Fault::Corrupt(format!("the {what} of step {id} cannot be read"));
    Ok(StepRecord {
        id,
        resource,
        generation: row.int(2)?,
        step: serde_json::from_str(&row.text(3)?).map_err(|_| broken("call"))?,
        state: StepState::parse(&row.text(4)?).ok_or_else(|| broken("state"))?,
        action: row.maybe_text(5)?,
        age: row::span(row.int(6)?),
    })
}
