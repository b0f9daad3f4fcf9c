//! Assignments that the product itself makes, as part of something else: a workspace's creator's, a configured
//! administrator's.

use control_plane::{
    ProjectId, Resource,
    ports::{BootstrapOutcome, Put},
    state,
};

use super::put::{edges, labels};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Sql, args, sql},
};

/// A row of project `local` with its labels (28) and references (29), queued; nothing when its name is taken. Nothing is
/// asked of what it names, and nobody waits for an assignment.
const ADD: Sql = Sql {
    postgres: sql!(
        "WITH made AS (" add_assignment " RETURNING uid, project), \
         queued AS (INSERT INTO work (uid, project, next_run_at, attempts, wakes) \
         SELECT uid, project, " now ", 0, 1 FROM made), \
         labels AS (" add_labels "made, " (rows 28) "), \
         edges AS (" (add_edges "$1") "made, " (rows 29) ") \
         SELECT uid FROM made"
    )
    .postgres,
    sqlite: sql!(
        add_assignment "; \
         INSERT INTO work (uid, project, next_run_at, attempts, wakes) \
         SELECT uid, project, " now ", 0, 1 FROM resources WHERE uid = $1; "
        add_labels "resources made, " (rows 28) " WHERE made.uid = $1; "
        (add_edges "$1") "resources made, " (rows 29) " WHERE made.uid = $1; \
         SELECT uid FROM resources WHERE uid = $1"
    )
    .sqlite,
};
const MARK: Sql = sql!(
    "INSERT INTO bootstrapped (tenant, subject, at) VALUES ($1, $2, " now ") ON CONFLICT DO NOTHING RETURNING at"
);
const UNMARK: Sql = sql!("DELETE FROM bootstrapped WHERE tenant = $1 AND subject = $2");

/// Makes an assignment in a transaction; none when its name is taken. When the workspace that it is scoped to was made in
/// the same transaction, it is bound to that.
pub(super) async fn add(tx: &mut Tx, put: &Put) -> Result<Option<Resource>, Fault> {
    let made = state::create(put.clone(), ProjectId::local());
    let mut args = row::insert_args(&made)?.to_vec();
    args.extend([labels(&put.key, &put.label_pairs), edges(&put.edges)]);
    let added = tx.fetch(ADD, &args).await?;
    Ok((!added.is_empty()).then_some(made))
}

/// Leaves the mark of a configured administrator alone.
pub(super) async fn mark(db: &Database, tenant: &str, subject: &str) -> Result<(), Fault> {
    db.execute(Lane::Write, MARK, &args![tenant, subject]).await.map(drop)
}

pub(super) struct Bootstrap<'a> {
    pub(super) subject: &'a str,
    pub(super) assignment: &'a Put,
}

impl Operation for Bootstrap<'_> {
    type Output = BootstrapOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<BootstrapOutcome, Fault> {
        // Whoever does the same at once waits for the mark.
        let mark = args![&self.assignment.key.tenant, self.subject];
        if tx.first(MARK, &mark).await?.is_none() {
            return Ok(BootstrapOutcome::Before);
        }
        if add(tx, self.assignment).await?.is_some() {
            return Ok(BootstrapOutcome::Made);
        }
        tx.execute(UNMARK, &mark).await?;
        Ok(BootstrapOutcome::Taken)
    }
}
