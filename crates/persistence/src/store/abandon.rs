//! Projects that are gone for good.

use control_plane::{ProjectId, ports::Abandoned, state};
use seca_api::Timestamp;

use super::{relations::WAKE, write::deleted};
use crate::{
    database::{Operation, Tx},
    fault::Fault,
    row,
    sql::{Sql, args, list, rows, sql},
};

/// Nobody binds to the project, nor does its holder write anything, until the transaction ends.
const PROJECT: Sql = sql!("SELECT uid FROM projects WHERE uid = $1 AND uid <> 'local'" lock);
const ROWS: Sql = sql!("SELECT " columns " FROM resources r WHERE r.project = $1 ORDER BY r.uid" exclusive);
const OVERLOOKED: Sql = sql!("SELECT uid FROM resources WHERE project = $1 AND uid NOT IN " (list 2) " LIMIT 1");
const DELETE: Sql = sql!(
    "WITH gone AS MATERIALIZED (" (gone 1) ") UPDATE resources SET " delete_row " WHERE resources.uid = g.uid"
);
const FAIL_STEPS: Sql = sql!(
    "UPDATE steps SET state = 'failed', error = 'the project was declared gone', updated_at = " now
    " WHERE project = $1 AND state NOT IN ('done', 'failed')"
);
/// All that is in the project, and what refers to it or is referred to elsewhere.
const RELATED: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE r.project = $1 \
     UNION SELECT e.uid FROM resources r JOIN resource_references e ON " joined " WHERE r.project = $1 \
     UNION SELECT r.uid FROM resources m JOIN resource_references e ON e.uid = m.uid JOIN resources r ON " joined
    " WHERE m.project = $1"
);
const END_RETRIES: Sql = sql!("UPDATE work SET attempts = 0 WHERE project = $1");
const ABANDON: Sql = sql!(
    "UPDATE projects SET abandoned_at = COALESCE(abandoned_at, " now "), paused = NULL, wanted_epoch = NULL, \
     wanted_nonce = NULL, owner = NULL, until = NULL WHERE uid = $1"
);

pub(super) struct Abandon<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) now: Timestamp,
}

impl Operation for Abandon<'_> {
    type Output = Option<Abandoned>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<Abandoned>, Fault> {
        let project = args![self.project];
        if tx.first(PROJECT, &project).await?.is_none() {
            return Ok(None);
        }
        let mut all = loop {
            let found = row::all(&tx.fetch(ROWS, &project).await?)?;
            // What came while the locks were waited for must be locked as well; in what is locked no more can come.
            let locked = list(found.iter().map(|row| row.uid));
            if tx.first(OVERLOOKED, &[self.project.into(), locked]).await?.is_none() {
                break found;
            }
        };
        let gone = all.iter_mut().filter_map(|row| state::delete(row, self.now).then(|| deleted(row)));
        let gone = gone.collect::<Result<Vec<_>, Fault>>()?;
        tx.execute(DELETE, &[rows(gone)]).await?;
        tx.execute(FAIL_STEPS, &project).await?;
        let related = row::uids(&tx.fetch(RELATED, &project).await?)?;
        tx.execute(WAKE, &[list(&related)]).await?;
        tx.execute(END_RETRIES, &project).await?;
        tx.execute(ABANDON, &project).await?;
        Ok(Some(Abandoned::of(all.iter().map(|row| &row.key))))
    }
}
