//! A role that leaves: all assignments that name it lose the name, in the transaction that removes the row.
//!
//! Locks are taken as a PUT of an assignment takes them, so that the two do not wait for each other: the role and the
//! assignments in uid order, then the authorization version, then the queue. Who holds the role's row knows all who
//! name it, because a new reference locks its target.

use std::collections::BTreeMap;

use control_plane::{Resource, Uid, assigned, ports::Edge};
use seca_api::Kind;

use super::put::{Change, edge_row};
use crate::{
    database::Tx,
    fault::Fault,
    row,
    sql::{Row, Sql, cells, identity, list, rows, sql},
};

/// The references of all others that name the key in the parameters 2 to 7.
const NAMING: Sql = sql!(
    "SELECT o.uid, o.field, o.strict, o.tenant, o.region, o.kind, o.workspace, o.network, o.name \
     FROM resource_references o WHERE o.uid IN (SELECT e.uid FROM resource_references e WHERE " referring
    " AND e.uid <> $1) ORDER BY o.uid, o.position"
);
/// The triggers take it at the commit, and a PUT before it writes.
const HOLD_VERSIONS: Sql = sql!("SELECT id FROM authorization_epoch" lock);
const CHANGE: Sql = sql!(
    "UPDATE resources AS r SET " wanted_change " FROM (SELECT " wanted " FROM " (parsed_rows 1) ") x WHERE " wanted_row
);
const DROP_EDGES: Sql = sql!("DELETE FROM resource_references WHERE uid IN " (list 1));
const ADD_EDGES: Sql = sql!(
    "INSERT INTO resource_references (uid, position, field, strict, tenant, region, kind, workspace, network, name) \
     SELECT j.value->>9, CAST(j.value->>0 AS BIGINT), j.value->>1, CAST(j.value->>2 AS BIGINT), j.value->>3, \
     j.value->>4, j.value->>5, j.value->>6, j.value->>7, j.value->>8 FROM " (rows 1)
);

/// Takes a role from the assignments that name it; all of these must be `locked`. False, and nothing is written, when one
/// of them is not: it came while the locks were waited for.
pub(super) async fn unassign(tx: &mut Tx, role: &Resource, locked: &[Resource]) -> Result<bool, Fault> {
    if role.key.kind != Kind::Role {
        return Ok(true);
    }
    let mut naming: BTreeMap<Uid, Vec<Edge>> = BTreeMap::new();
    for row in tx.fetch(NAMING, &identity(role.uid, &role.key)).await? {
        naming.entry(row.parse("uid")?).or_default().push(edge(&row)?);
    }
    let mut changed = Vec::new();
    for (uid, edges) in &naming {
        let Some(before) = locked.iter().find(|row| row.uid == *uid) else { return Ok(false) };
        if let Some((after, edges)) = assigned::without_role(role, before, edges) {
            changed.push((Change::of(before, after), edges));
        }
    }
    if changed.is_empty() {
        return Ok(true);
    }
    tx.fetch(HOLD_VERSIONS, &[]).await?;
    let all = changed.iter().map(|(change, _)| Ok(cells(change.args()?))).collect::<Result<Vec<_>, Fault>>()?;
    let written = tx.execute(CHANGE, &[rows(all)]).await?;
    if written != u64::try_from(changed.len()).unwrap_or(u64::MAX) {
        return Err(Fault::Corrupt(format!("{} was not taken from all that name it", role.key)));
    }
    tx.execute(DROP_EDGES, &[list(changed.iter().map(|(change, _)| change.uid()))]).await?;
    let edges = changed.iter().flat_map(|(change, edges)| {
        let uid = || Some(change.uid().to_string());
        edges.iter().enumerate().map(move |(position, edge)| {
            let [position, field, strict, tenant, region, kind, workspace, network, name] = edge_row(position, edge);
            [position, field, strict, tenant, region, kind, workspace, network, name, uid()]
        })
    });
    tx.execute(ADD_EDGES, &[rows(edges)]).await?;
    Ok(true)
}

fn edge(row: &Row) -> Result<Edge, Fault> {
    Ok(Edge { field: row.text("field")?, strict: row.int("strict")? == 1, target: row::named_key(row)? })
}
