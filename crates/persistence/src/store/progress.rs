//! What the engine writes while it works: intents and ends of steps, ties, findings. One transaction writes for all who wait.
//!
//! Each project has a worker that writes one thing after the other. When many projects change at once, most of what such a
//! write costs is its transaction: trips, a commit, the look at the lease. Those that come together pay that once. Each is
//! fenced by its own lease, whose project is held first: while it is, nobody takes the lease over, so that a former holder
//! writes nothing. Nobody waits there for a lock that somebody holds: what would have to is left out, and goes once more by
//! itself.

mod changes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use control_plane::{
    Resource, Uid,
    ports::{Commit, CommitOutcome, Intent, Lease, Settled, Step, StepState, Tie},
};

use self::changes::{Changes, Undo, undoable};
use super::{queue, together::Question};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Sql, list, sql},
};

/// So many findings are worth a transaction of their own.
const MANY: usize = 16;

const ROWS: Sql = sql!("SELECT " columns " FROM resources r WHERE r.uid IN " (list 1) " ORDER BY r.uid" change);
/// Those that nobody holds.
const FREE_ROWS: Sql =
    sql!("SELECT " columns " FROM resources r WHERE r.uid IN " (list 1) " ORDER BY r.uid" change_free);

/// What the holder of a lease writes.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) lease: Lease,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Findings, and looks that found nothing.
    Findings { commits: Vec<Commit>, looks: Vec<Settled> },
    /// That a step is about to be taken, and what was found of its resource.
    Intent { resource: Uid, generation: i64, step: Box<Step>, found: Option<Box<Commit>> },
    /// What is known of a step.
    End { step: i64, state: StepState, action: Option<String>, error: Option<String> },
    /// Ties of a resource.
    Ties { resource: Uid, ties: Vec<Tie> },
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Written {
    /// Of each finding, in their order.
    Findings(Vec<CommitOutcome>),
    /// The step has a number.
    Intent(Box<Intent>),
    /// It is written.
    Done,
    /// The resource is in another project by now, or in none: it has another holder.
    Moved,
    /// The lease is lost, and nothing is written.
    Fenced,
    /// Nothing is written, because somebody holds what it changes, or because that is gone.
    LeftOut,
}

impl Progress {
    /// The resources whose rows it reads and changes.
    fn rows(&self) -> Vec<Uid> {
        match &self.what {
            What::Findings { commits, .. } => commits.iter().map(|commit| commit.uid).collect(),
            What::Intent { resource, step, .. } => step.marks.iter().map(|mark| mark.uid).chain([*resource]).collect(),
            What::End { .. } => Vec::new(),
            // The holder's row is locked too: one that is gone could never let go.
            What::Ties { resource, ties } => ties.iter().filter_map(Tie::other).chain([*resource]).collect(),
        }
    }
}

impl Question for Progress {
    type Answer = Written;

    const NAME: &'static str = "progress";

    /// A second one goes on while the first waits for the disk.
    const LANES: usize = 2;

    const WAITS: bool = true;

    fn is_alone(&self, _: &Database) -> bool {
        matches!(&self.what, What::Findings { commits, looks } if commits.len() + looks.len() > MANY)
    }

    fn changes(&self) -> impl Iterator<Item = Uid> {
        let looks = match &self.what {
            What::Findings { looks, .. } => looks.as_slice(),
            _ => &[],
        };
        self.rows().into_iter().chain(looks.iter().map(|look| look.uid))
    }

    fn is_answer(written: &Written) -> bool {
        !matches!(written, Written::LeftOut)
    }

    async fn ask(&self, db: &Database) -> Result<Written, Fault> {
        let written = db.transact(Lane::Engine, &Write { all: &[self], waits: true }).await?;
        Ok(written.into_iter().next().unwrap_or(Written::Fenced))
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Written>, Fault> {
        let all: Vec<&Self> = all.iter().map(AsRef::as_ref).collect();
        db.transact(Lane::Engine, &Write { all: &all, waits: false }).await
    }
}

struct Write<'a> {
    all: &'a [&'a Progress],
    /// For what somebody holds.
    waits: bool,
}

impl Operation for Write<'_> {
    /// What became of each.
    type Output = Vec<Written>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Written>, Fault> {
        let leases = queue::held(tx, self.all.iter().map(|one| &one.lease), self.waits).await?;
        let held: Vec<&Progress> = self.all.iter().copied().filter(|one| leases.contains(&one.lease)).collect();
        let undone = undoable(tx, &held).await?;
        let mut found = self.rows(tx, &held, &undone).await?;
        let mut changes = Changes::default();
        let mut written = Vec::with_capacity(self.all.len());
        for one in self.all {
            let rows = needed(one, &undone);
            written.push(match leases.contains(&one.lease) {
                false if self.waits => Written::Fenced,
                true if self.waits || rows.iter().all(|uid| found.contains_key(uid)) => {
                    changes.add(one, &undone, &mut found)?
                }
                _ => Written::LeftOut,
            });
        }
        let steps = changes.write(tx, &found).await?;
        for (one, written) in self.all.iter().zip(&mut written) {
            match (&one.what, written) {
                (What::Findings { commits, .. }, Written::Findings(outcomes)) => {
                    outcomes.extend(commits.iter().map(|commit| match found.get(&commit.uid) {
                        Some(row) => CommitOutcome::Done(Box::new(row.clone())),
                        None => CommitOutcome::Gone,
                    }));
                }
                (What::Intent { resource, .. }, Written::Intent(intent)) => {
                    let id = steps.get(resource).copied();
                    intent.id = id.ok_or_else(|| Fault::Corrupt(format!("a step of {resource} has no number")))?;
                }
                _ => {}
            }
        }
        Ok(written)
    }
}

/// The rows without which it is not written together with others.
fn needed(one: &Progress, undone: &BTreeMap<i64, Undo>) -> Vec<Uid> {
    let mut rows = one.rows();
    if let What::End { step, state: StepState::Failed, .. } = &one.what {
        rows.extend(undone.get(step).into_iter().flat_map(Undo::rows));
    }
    rows
}

impl Write<'_> {
    /// The rows of those whose leases hold, locked.
    async fn rows(
        &self,
        tx: &mut Tx,
        held: &[&Progress],
        undone: &BTreeMap<i64, Undo>,
    ) -> Result<BTreeMap<Uid, Resource>, Fault> {
        let uids: BTreeSet<Uid> = held.iter().flat_map(|one| needed(one, undone)).collect();
        if uids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let statement = if self.waits { ROWS } else { FREE_ROWS };
        let found = row::all(&tx.fetch(statement, &[list(&uids)]).await?)?;
        Ok(found.into_iter().map(|row| (row.uid, row)).collect())
    }
}
