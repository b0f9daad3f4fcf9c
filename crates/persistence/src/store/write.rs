//! DELETE and power actions.
//!
//! Locks come first, in uid order, so that nobody can begin to depend on what goes. What depends on other rows is
//! judged in the statement after that, which writes as well: all that it judges by is locked.

use control_plane::{
    Resource,
    ports::{Act, ActOutcome, Delete, DeleteOutcome, DeleteRules, Users},
    state,
};
use seca_api::{Kind, Timestamp};

use crate::{
    database::{Operation, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, Value, args, identity, key_args, key_row, list, rows, sql},
};

const OWN: Sql = sql!("SELECT " columns " FROM resources r WHERE " own change);
const OWN_TO_DELETE: Sql = sql!("SELECT " columns " FROM resources r WHERE " own exclusive);
/// The same with the children that go along.
const ALL_TO_DELETE: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.uid IN (SELECT r.uid FROM resources r WHERE " own
    " UNION ALL SELECT r.uid FROM resources r WHERE $3 = 'network' AND " (within "r" "$1" "$2" "$4")
    " AND r.network = $6 AND r.kind IN " (list 7)
    " UNION ALL SELECT r.uid FROM resources r WHERE $3 = 'workspace' AND " (within "r" "$1" "$2" "$6")
    " AND r.kind IN " (list 7) ") ORDER BY r.uid" exclusive
);
/// Judges a deletion of a row (1 to 7: its identity) and writes it if nothing stands in its way; else says what does, some of
/// it (12). Children (8) and referrers (9) of some kinds stand in its way. What goes (10) takes children of some kinds (13)
/// along, by their uids (14), unless something names one of those that may not (11). A row of role 0 is none of that:
/// a child came while the locks were waited for, and must be locked as well.
const DELETE: Sql = Sql {
    postgres: sql!(
        "WITH overlooked AS MATERIALIZED (SELECT r.uid FROM resources r WHERE $13 <> '[]' \
         AND ((" in_network ") OR (" in_workspace
        ")) AND r.kind IN " (list 13) " AND r.deleted_at IS NULL AND r.uid NOT IN " (list 14) " LIMIT 1), \
         blockers AS MATERIALIZED (" blockers "), \
         gone AS MATERIALIZED (" (gone 10) " WHERE NOT EXISTS (SELECT 1 FROM blockers) \
         AND NOT EXISTS (SELECT 1 FROM overlooked)), \
         deleted AS (UPDATE resources SET " delete_row " WHERE resources.uid = g.uid), \
         woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid IN (" related_to_gone ") ORDER BY w.uid" lock "), \
         queued AS (UPDATE work SET " wake ", attempts = \
         CASE WHEN uid IN (SELECT uid FROM gone) THEN 0 ELSE attempts END WHERE uid IN (SELECT uid FROM woken)) \
         SELECT CAST(0 AS BIGINT) AS role, '' AS tenant, '' AS region, '' AS kind, '' AS workspace, '' AS network, '' AS name, \
         CAST(0 AS BIGINT) AS total FROM overlooked \
         UNION ALL SELECT 1, tenant, region, kind, workspace, network, name, total FROM blockers"
    )
    .postgres,
    sqlite: sql!(
        "WITH blockers AS MATERIALIZED (" blockers "), \
         gone AS MATERIALIZED (" (gone 10) " WHERE NOT EXISTS (SELECT 1 FROM blockers)) \
         UPDATE resources SET " delete_row " WHERE resources.uid = g.uid; \
         WITH gone AS MATERIALIZED (" (gone 10) " WHERE EXISTS (SELECT 1 FROM resources d WHERE d.uid = $1 \
         AND d.deleted_at IS NOT NULL)) \
         UPDATE work SET " wake ", attempts = CASE WHEN uid IN (SELECT uid FROM gone) THEN 0 ELSE attempts END \
         WHERE uid IN (" related_to_gone "); \
         SELECT 1 AS role, b.tenant, b.region, b.kind, b.workspace, b.network, b.name, b.total FROM (" blockers ") b \
         WHERE EXISTS (SELECT 1 FROM resources d WHERE d.uid = $1 AND d.deleted_at IS NULL)"
    )
    .sqlite,
};
const ACT: Sql = Sql {
    postgres: sql!(
        "WITH queued AS (UPDATE work SET attempts = 0, " wake " WHERE uid = $1) " act_row
    )
    .postgres,
    sqlite: sql!("UPDATE work SET attempts = 0, " wake " WHERE uid = $1; " act_row).sqlite,
};

impl Operation for Delete {
    type Output = DeleteOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<DeleteOutcome, Fault> {
        loop {
            let (own, mut along) = lock(tx, self).await?;
            let Some(mut row) = own else { return Ok(DeleteOutcome::NotFound) };
            if row.is_deleting() {
                return Ok(DeleteOutcome::Accepted(row));
            }
            if self.expected_version.is_some_and(|version| version != row.resource_version) {
                return Ok(DeleteOutcome::Stale(row.resource_version));
            }
            let before = row.clone();
            for gone in along.iter_mut().chain([&mut row]) {
                state::delete(gone, self.now);
            }
            let found = tx.fetch(DELETE, &judged(&self.rules, &before, &row, &along)?).await?;
            match found.first().map(|first| first.int("role")).transpose()? {
                None => return Ok(DeleteOutcome::Accepted(row)),
                // Its own row is locked by now, so that no more can come.
                Some(0) => {}
                Some(_) => return Ok(DeleteOutcome::Refused(users(&found)?)),
            }
        }
    }
}

/// What stands in the way: the rows of [`DELETE`], each with the number of all.
fn users(found: &[Row]) -> Result<Users, Fault> {
    let shown = found.iter().map(row::named_key).collect::<Result<Vec<_>, _>>()?;
    let total = found.first().map(|row| row.int("total")).transpose()?.unwrap_or_default();
    let more = u64::try_from(total).unwrap_or_default().saturating_sub(shown.len() as u64);
    Ok(Users { shown, more })
}

/// The row and the live children that go along, locked, so that nobody can begin to refer to them.
async fn lock(tx: &mut Tx, delete: &Delete) -> Result<(Option<Resource>, Vec<Resource>), Fault> {
    if delete.rules.cascades.is_empty() {
        return Ok((row::first(&tx.fetch(OWN_TO_DELETE, &key_args(&delete.key)).await?)?, Vec::new()));
    }
    let mut args = key_args(&delete.key).to_vec();
    args.push(kinds(delete.rules.cascades.iter().map(|(kind, _)| kind)));
    let (own, mut along): (Vec<Resource>, Vec<Resource>) =
        row::all(&tx.fetch(ALL_TO_DELETE, &args).await?)?.into_iter().partition(|row| row.key == delete.key);
    along.retain(|child| !child.is_deleting());
    Ok((own.into_iter().next(), along))
}

/// The parameters of [`DELETE`], as its comment has them.
fn judged<'a>(
    rules: &DeleteRules,
    before: &'a Resource,
    row: &Resource,
    cascade: &[Resource],
) -> Result<Vec<Value<'a>>, Fault> {
    let mut along: Vec<[Option<String>; 7]> = Vec::new();
    for child in cascade {
        let [tenant, region, kind, workspace, network, name] = key_row(&child.key);
        let refused = rules.cascades.iter().filter(|(kind, _)| *kind == child.key.kind).flat_map(|(_, by)| *by);
        along.extend(refused.map(|by| {
            let by = Some(by.as_str().to_owned());
            [tenant.clone(), region.clone(), kind.clone(), workspace.clone(), network.clone(), name.clone(), by]
        }));
    }
    let gone = cascade.iter().chain([row]).map(deleted).collect::<Result<Vec<_>, Fault>>()?;
    let mut args = identity(before.uid, &before.key).to_vec();
    args.push(kinds(rules.refused_by_children));
    args.push(kinds(rules.refused_by_referrers));
    args.push(rows(gone));
    args.push(rows(along));
    args.push(Value::from(DeleteRules::SHOWN));
    args.push(kinds(rules.cascades.iter().map(|(kind, _)| kind)));
    args.push(list(cascade.iter().chain([row]).map(|gone| gone.uid)));
    Ok(args)
}

fn kinds<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> Value<'static> {
    list(kinds.into_iter().map(|kind| kind.as_str()))
}

/// A deleted row as the statement takes it: its identity, then what is written.
pub(super) fn deleted(row: &Resource) -> Result<[Option<String>; 14], Fault> {
    let [tenant, region, kind, workspace, network, name] = key_row(&row.key);
    let number = |number: i64| Some(number.to_string());
    Ok([
        Some(row.uid.to_string()),
        tenant,
        region,
        kind,
        workspace,
        network,
        name,
        Some(row.state.as_str().to_owned()),
        Some(row::json(&row.conditions)?),
        number(row.resource_version),
        number(row.generation),
        number(row.revision),
        number(row.last_modified_at.as_millis()),
        row.deleted_at.map(Timestamp::as_millis).and_then(number),
    ])
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
        let written = args![
            row.uid,
            row.state.as_str(),
            row::json(&row.conditions)?,
            row.resource_version,
            row.generation,
            row.revision,
            row.last_modified_at,
            row.action.kind.map(control_plane::ActionKind::as_str),
            row.action.seq
        ];
        tx.execute(ACT, &written).await?;
        Ok(ActOutcome::Accepted(row))
    }
}
