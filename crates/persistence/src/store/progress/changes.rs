//! What progress changes: first in memory, of rows that are locked, then of all by a few statements.

use std::collections::{BTreeMap, BTreeSet};

use control_plane::{
    Resource, Uid,
    ports::{Commit, Intent, Lease, Mark, Settled, Step, StepState, Tie},
    state,
};
use serde_json::{Map, Value as Json};

use super::{Progress, What, Written};
use crate::{
    database::Tx,
    fault::Fault,
    row,
    sql::{Sql, cells, rows, sql},
    store::{
        queue,
        relations::{Looked, wake_related},
    },
};

/// What became of several rows.
const UPDATE_ROWS: Sql = sql!(
    "UPDATE resources AS r SET status = x.status, state = x.state, conditions = x.conditions, \
     resource_version = x.resource_version, generation = x.generation, observed_generation = x.observed_generation, \
     revision = x.revision, last_modified_at = x.last_modified_at, deleted_at = x.deleted_at, facts = x.facts, \
     holder = x.holder, action_kind = x.action_kind, action_seq = x.action_seq, action_done_seq = x.action_done_seq \
     FROM (SELECT j.value->>0 AS uid, j.value->>1 AS status, j.value->>2 AS state, j.value->>3 AS conditions, \
     CAST(j.value->>4 AS BIGINT) AS resource_version, CAST(j.value->>5 AS BIGINT) AS generation, \
     CAST(j.value->>6 AS BIGINT) AS observed_generation, CAST(j.value->>7 AS BIGINT) AS revision, \
     CAST(j.value->>8 AS BIGINT) AS last_modified_at, CAST(j.value->>9 AS BIGINT) AS deleted_at, \
     j.value->>10 AS facts, j.value->>11 AS holder, j.value->>12 AS action_kind, \
     CAST(j.value->>13 AS BIGINT) AS action_seq, CAST(j.value->>14 AS BIGINT) AS action_done_seq FROM "
    (parsed_rows 1) ") x WHERE r.uid = x.uid"
);
const ADD_STEPS: Sql = sql!(
    "INSERT INTO steps (uid, project, generation, operation, target, step, state, since, updated_at) \
     SELECT j.value->>0, j.value->>1, CAST(j.value->>2 AS BIGINT), j.value->>3, j.value->>4, j.value->>5, 'intended', "
    now ", " now " FROM " (parsed_rows 1) " RETURNING uid, id"
);
/// The marks of steps (1: number and project) that may yet be undone: what is of unknown outcome may have taken effect.
const UNDOABLE: Sql = sql!(
    "SELECT s.id, s.uid, s.step FROM " (rows 1) " JOIN steps s ON s.id = CAST(j.value->>0 AS BIGINT) AND s.project = j.value->>1 \
     WHERE s.state IN ('intended', 'running') ORDER BY s.id" lock_steps
);
const END_STEPS: Sql = sql!(
    "UPDATE steps AS s SET since = CASE WHEN x.state = 'unknown' AND s.state <> 'unknown' THEN " now " ELSE s.since END, \
     state = x.state, action = COALESCE(x.action, s.action), error = x.error, updated_at = " now " \
     FROM (SELECT CAST(j.value->>0 AS BIGINT) AS id, j.value->>1 AS project, j.value->>2 AS state, j.value->>3 AS action, \
     j.value->>4 AS error FROM " (parsed_rows 1) ") x WHERE s.id = x.id AND s.project = x.project"
);
/// What took effect ends a row of retries.
const END_RETRIES: Sql = sql!(
    "WITH done AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.attempts <> 0 AND w.uid IN (SELECT s.uid FROM " (rows 1)
    " JOIN steps s ON s.id = CAST(j.value->>0 AS BIGINT)) ORDER BY w.uid" lock_work ") \
     UPDATE work SET attempts = 0 WHERE uid IN (SELECT uid FROM done)"
);
const USE: Sql = sql!(
    "INSERT INTO auxiliary_users (uid, purpose, content, project) \
     SELECT j.value->>0, j.value->>1, j.value->>2, j.value->>3 FROM " (rows 1) " WHERE true ON CONFLICT DO NOTHING RETURNING uid"
);
const DROP: Sql = sql!(
    "DELETE FROM auxiliary_users WHERE (uid, purpose, content) IN \
     (SELECT j.value->>0, j.value->>1, j.value->>2 FROM " (rows 1) ") RETURNING uid"
);

/// A row of a statement.
type Cells<const N: usize> = [Option<String>; N];

/// The marks of a step that may be taken back.
pub(super) struct Undo {
    resource: Uid,
    marks: Vec<Mark>,
}

impl Undo {
    /// The resources that are marked.
    pub(super) fn rows(&self) -> impl Iterator<Item = Uid> + '_ {
        self.marks.iter().map(|mark| mark.uid)
    }
}

/// What is undone of the steps that certainly failed, by their numbers.
pub(super) async fn undoable(tx: &mut Tx, all: &[&Progress]) -> Result<BTreeMap<i64, Undo>, Fault> {
    let failed = all.iter().filter_map(|one| match &one.what {
        What::End { step, state: StepState::Failed, .. } => {
            Some([Some(step.to_string()), Some(one.lease.project.0.clone())])
        }
        _ => None,
    });
    let failed: Vec<Cells<2>> = failed.collect();
    let mut undone = BTreeMap::new();
    if failed.is_empty() {
        return Ok(undone);
    }
    for found in tx.fetch(UNDOABLE, &[rows(failed)]).await? {
        let id = found.int("id")?;
        let step: Step = serde_json::from_str(&found.text("step")?)
            .map_err(|_| Fault::Corrupt(format!("the call of step {id} cannot be read")))?;
        if step.marks.iter().any(|mark| !mark.undo.is_empty()) {
            undone.insert(id, Undo { resource: found.parse("uid")?, marks: step.marks });
        }
    }
    Ok(undone)
}

/// Changes that are yet to be written.
#[derive(Default)]
pub(super) struct Changes {
    /// Rows that are other than they were read.
    changed: BTreeSet<Uid>,
    /// What is related to them wakes.
    relevant: BTreeSet<Uid>,
    /// They wake.
    woken: BTreeSet<Uid>,
    /// Looked at, and perhaps not read.
    looked: Vec<(Uid, Cells<4>)>,
    steps: Vec<Cells<6>>,
    ends: Vec<Cells<5>>,
    /// Steps that took effect.
    done: Vec<Cells<1>>,
    uses: Vec<Cells<4>>,
    drops: Vec<Cells<3>>,
}

impl Changes {
    /// Adds what is written of one. Outcomes and numbers are filled in when all is written.
    pub(super) fn add(
        &mut self,
        one: &Progress,
        undone: &BTreeMap<i64, Undo>,
        found: &mut BTreeMap<Uid, Resource>,
    ) -> Result<Written, Fault> {
        match &one.what {
            What::Findings { commits, looks } => self.find(&one.lease, commits.iter(), looks, found),
            What::Intent { resource, generation, step, found: finding } => {
                if found.get(resource).is_none_or(|row| row.project != one.lease.project) {
                    return Ok(Written::Moved);
                }
                self.find(&one.lease, finding.as_deref().into_iter(), &[], found);
                return self.intend(&one.lease, *resource, *generation, step, found);
            }
            What::End { step, state, action, error } => {
                if let Some(undo) = undone.get(step).filter(|_| *state == StepState::Failed) {
                    self.mark(found, undo.resource, &undo.marks, state::undo);
                }
                let id = Some(step.to_string());
                let project = Some(one.lease.project.0.clone());
                self.done.extend((*state == StepState::Done).then(|| [id.clone()]));
                self.ends.push([id, project, Some(state.as_str().to_owned()), action.clone(), error.clone()]);
                return Ok(Written::Done);
            }
            What::Ties { resource, ties } => {
                self.tie(&one.lease, *resource, ties, found);
                return Ok(Written::Done);
            }
        }
        Ok(Written::Findings(Vec::new()))
    }

    fn find<'a>(
        &mut self,
        lease: &Lease,
        commits: impl Iterator<Item = &'a Commit>,
        looks: &[Settled],
        found: &mut BTreeMap<Uid, Resource>,
    ) {
        for commit in commits {
            // A resource that moved to another project has another holder.
            let Some(row) = found.get_mut(&commit.uid).filter(|row| row.project == lease.project) else { continue };
            let what = state::commit(row, commit);
            self.changed.extend(what.row.then_some(commit.uid));
            self.relevant.extend(what.relevant.then_some(commit.uid));
            let is_newest = row.generation == commit.generation && row.action.seq == commit.action_seq;
            let look = queue::look(commit.uid, is_newest.then_some(commit.wake), commit.attempts, commit.next);
            self.looked.push((commit.uid, look));
        }
        for one in looks {
            self.looked.push((one.uid, queue::look(one.uid, Some(one.wake), one.attempts, one.next)));
        }
    }

    fn intend(
        &mut self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
        found: &mut BTreeMap<Uid, Resource>,
    ) -> Result<Written, Fault> {
        self.mark(found, resource, &step.marks, |facts, mark| state::merge(facts, &mark.facts));
        self.steps.push([
            Some(resource.to_string()),
            Some(lease.project.0.clone()),
            Some(generation.to_string()),
            Some(step.operation.clone()),
            Some(step.target.clone()),
            Some(row::json(step)?),
        ]);
        let row = found.get(&resource).ok_or_else(|| Fault::Corrupt(format!("{resource} is not there")))?;
        Ok(Written::Intent(Box::new(Intent { id: 0, resource: row.clone() })))
    }

    /// Changes facts by the marks of a step, and wakes whose facts changed, but for the step's resource.
    fn mark(
        &mut self,
        found: &mut BTreeMap<Uid, Resource>,
        resource: Uid,
        marks: &[Mark],
        change: fn(&mut Map<String, Json>, &Mark),
    ) {
        for mark in marks {
            let Some(row) = found.get_mut(&mark.uid) else { continue };
            let before = row.facts.clone();
            change(&mut row.facts, mark);
            if row.facts != before {
                self.changed.insert(mark.uid);
                self.woken.extend((mark.uid != resource).then_some(mark.uid));
            }
        }
    }

    fn tie(&mut self, lease: &Lease, resource: Uid, ties: &[Tie], found: &mut BTreeMap<Uid, Resource>) {
        if !found.contains_key(&resource) {
            return;
        }
        let user = || Some(resource.to_string());
        for tie in ties {
            let (uid, from, to) = match tie {
                Tie::Claim(uid) => (*uid, None, Some(resource)),
                Tie::Release(holder) => (resource, Some(*holder), None),
                Tie::Use(used) => {
                    let project = Some(lease.project.0.clone());
                    self.uses.push([user(), Some(used.purpose.clone()), Some(used.content.clone()), project]);
                    continue;
                }
                Tie::Drop(used) => {
                    self.drops.push([user(), Some(used.purpose.clone()), Some(used.content.clone())]);
                    continue;
                }
            };
            if let Some(row) = found.get_mut(&uid).filter(|row| row.holder == from) {
                row.holder = to;
                self.changed.insert(uid);
                self.tied(uid);
            }
        }
    }

    /// The ties of a resource changed.
    fn tied(&mut self, uid: Uid) {
        self.relevant.insert(uid);
        self.woken.insert(uid);
    }

    /// Writes all of it; the numbers of the new steps, by their resources.
    pub(super) async fn write(
        mut self,
        tx: &mut Tx,
        found: &BTreeMap<Uid, Resource>,
    ) -> Result<BTreeMap<Uid, i64>, Fault> {
        if !self.changed.is_empty() {
            let changed = self.changed.iter().filter_map(|uid| found.get(uid));
            let changed = changed.map(|row| row::outcome_args(row).map(cells)).collect::<Result<Vec<_>, _>>()?;
            tx.execute(UPDATE_ROWS, &[rows(changed)]).await?;
        }
        let mut numbers = BTreeMap::new();
        if !self.steps.is_empty() {
            for step in tx.fetch(ADD_STEPS, &[rows(std::mem::take(&mut self.steps))]).await? {
                numbers.insert(step.parse("uid")?, step.int("id")?);
            }
        }
        if !self.ends.is_empty() {
            tx.execute(END_STEPS, &[rows(std::mem::take(&mut self.ends))]).await?;
        }
        if !self.uses.is_empty() {
            let used = tx.fetch(USE, &[rows(std::mem::take(&mut self.uses))]).await?;
            row::uids(&used)?.into_iter().for_each(|uid| self.tied(uid));
        }
        if !self.drops.is_empty() {
            let dropped = tx.fetch(DROP, &[rows(std::mem::take(&mut self.drops))]).await?;
            row::uids(&dropped)?.into_iter().for_each(|uid| self.tied(uid));
        }
        if !self.relevant.is_empty() || !self.woken.is_empty() {
            let read = found.values();
            let read =
                read.map(|row| Looked::read(row, self.relevant.contains(&row.uid), self.woken.contains(&row.uid)));
            let unread = self.looked.iter().filter(|(uid, _)| !found.contains_key(uid));
            wake_related(tx, read.chain(unread.map(|(uid, _)| Looked::unread(*uid)))).await?;
        }
        if !self.done.is_empty() {
            tx.execute(END_RETRIES, &[rows(self.done)]).await?;
        }
        if !self.looked.is_empty() {
            tx.execute(queue::SETTLE, &[rows(self.looked.into_iter().map(|(_, look)| look))]).await?;
        }
        Ok(numbers)
    }
}
