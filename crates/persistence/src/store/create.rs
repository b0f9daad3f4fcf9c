//! A creation: by one statement, by itself or with all that wait with it.
//!
//! Most of what it costs is not its row: a trip, a commit, the set-up of a statement with many parts, the trigger that
//! counts. Creations that come together pay all of that once. None of them waits for a lock that somebody holds there. What
//! it depends on is then as good as not there, and it goes once more by itself, where it waits without the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use control_plane::{ProjectId, Resource, Uid, ports::Put, state};

use super::{
    assignments,
    put::{Needs, edge_row, edges, labels},
    relations::outer_first,
    together::Question,
};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    selector::sortable,
    sql::{Dialect, Row, Sql, Value, args, columns, key_path, rows, sql},
};

/// A row with its labels (28), its references (29) and its place in the queue. The rows that it depends on (30) say its
/// project. Nothing is written unless enough of them live (31), and the version of a tenant (32) is as judged (33). A row
/// that named it before it was there wakes.
const CREATE: Sql = Sql {
    postgres: sql!(
        (with_named 30 32 33) ", made AS (" insert " RETURNING uid, project), \
         queued AS (INSERT INTO work (uid, project, next_run_at, attempts, wakes) \
         SELECT uid, project, " now ", 0, 1 FROM made), \
         labels AS (" add_labels "made, " (rows 28) "), \
         edges AS (" (add_edges "$1") "made, " (rows 29) "), \
         woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE EXISTS (SELECT 1 FROM made) AND w.uid IN (" early ") \
         ORDER BY w.uid" lock "), \
         again AS (UPDATE work SET " wake " WHERE uid IN (SELECT uid FROM woken)) \
         SELECT project FROM made"
    )
    .postgres,
    sqlite: sql!(
        (with_named 30 32 33) insert "; \
         INSERT INTO work (uid, project, next_run_at, attempts, wakes) \
         SELECT uid, project, " now ", 0, 1 FROM resources WHERE uid = $1; "
        add_labels "resources made, " (rows 28) " WHERE made.uid = $1; "
        (add_edges "$1") "resources made, " (rows 29) " WHERE made.uid = $1; \
         UPDATE work SET " wake " WHERE uid IN (" early ") \
         AND EXISTS (SELECT 1 FROM resources made WHERE made.uid = $1); \
         SELECT project FROM resources WHERE uid = $1"
    )
    .sqlite,
};
/// [`CREATE`] for many rows (1 to 27), in PostgreSQL. What they depend on (30) comes in sets, because most depend on the
/// same: each row names its set (28) and how many of that must live (29). Labels are in 31 to 35, references in 36. The
/// rows come in the order of their keys, so that two of these statements do not wait for each other. What somebody is about
/// to remove is passed over instead of waited for.
const CREATE_MANY: Sql = Sql {
    postgres: sql!(
        "WITH wanted AS MATERIALIZED (SELECT x.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
         $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], \
         $15::text[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], \
         $22::bigint[], $23::text[], $24::text[], $25::text[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[]) \
         WITH ORDINALITY AS x(uid, tenant, region, kind, workspace, network, name, project, labels, annotations, extensions, \
         spec, status, state, conditions, resource_version, generation, observed_generation, revision, created_at, \
         last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq, needs, count, position)), \
         named AS MATERIALIZED (SELECT CAST(j.value->>9 AS BIGINT) AS needs, r.project, r.deleted_at, j.value->>6 AS needed, \
         j.value->>7 AS gives, j.value->>8 AS home FROM " (rows 30) " JOIN resources r ON " listed
        " ORDER BY r.uid FOR KEY SHARE OF r SKIP LOCKED), \
         given AS MATERIALIZED (SELECT n.needs, count(n.needed) FILTER (WHERE n.deleted_at IS NULL) AS living, \
         CASE WHEN count(n.home) > 0 THEN max(n.project) FILTER (WHERE n.gives = '1') END AS project \
         FROM named n GROUP BY n.needs), \
         made AS (" into_resources "SELECT x.uid, x.tenant, x.region, x.kind, x.workspace, x.network, x.name, \
         COALESCE(g.project, x.project), x.labels, x.annotations, x.extensions, x.spec, x.status, x.state, x.conditions, \
         x.resource_version, x.generation, x.observed_generation, x.revision, x.created_at, x.last_modified_at, \
         x.deleted_at, x.facts, x.holder, x.action_kind, x.action_seq, x.action_done_seq \
         FROM wanted x LEFT JOIN given g ON g.needs = x.needs WHERE COALESCE(g.living, 0) = x.count ORDER BY x.position \
         ON CONFLICT DO NOTHING RETURNING uid, tenant, region, kind, workspace, network, name, project), \
         queued AS (INSERT INTO work (uid, project, next_run_at, attempts, wakes) \
         SELECT uid, project, " now ", 0, 1 FROM made), \
         labels AS (INSERT INTO resource_labels (uid, name, value, number, resource) \
         SELECT l.uid, l.name, l.value, l.number, l.resource \
         FROM unnest($31::text[], $32::text[], $33::text[], $34::text[], $35::text[]) AS l(uid, name, value, number, resource) \
         JOIN made ON made.uid = l.uid), \
         edges AS (" (add_edges "made.uid") (rows 36) " JOIN made ON made.uid = j.value->>9), \
         woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid = ANY (ARRAY(SELECT e.uid FROM made r"
        (each "resource_references" "e" "e.tenant = r.tenant AND e.region = r.region AND e.kind = r.kind \
         AND e.workspace = r.workspace AND e.network = r.network AND e.name = r.name AND e.uid <> r.uid")
        ")) ORDER BY w.uid" lock "), \
         again AS (UPDATE work SET " wake " WHERE uid IN (SELECT uid FROM woken)) \
         SELECT uid, project FROM made"
    )
    .postgres,
    // Never asked: it has `CREATE` for each, see `InTurn`.
    sqlite: "",
};

/// A creation.
#[derive(Clone, Debug)]
pub(super) struct Creation {
    pub(super) put: Put,
    made: Resource,
}

impl Creation {
    pub(super) fn new(put: Put) -> Self {
        Self { made: state::create(put.clone(), ProjectId::local()), put }
    }

    /// What was made, in its project.
    pub(super) fn made_in(self, project: ProjectId) -> Resource {
        Resource { project, ..self.made }
    }

    /// Whether it may be written with others. Triggers lock tenants and names for what is in no workspace (roles,
    /// assignments, workspaces), each in an order of its own.
    pub(super) fn may_join(&self) -> bool {
        self.put.grant.is_none() && self.put.judged_at.is_none() && !self.put.key.workspace.is_empty()
    }

    /// Writes it in a transaction; its project, if it was written.
    pub(super) async fn within(&self, tx: &mut Tx) -> Result<Option<ProjectId>, Fault> {
        let written = match &self.put.grant {
            Some(grant) => Founding { args: &self.args()?, grant }.run(tx).await?,
            None => tx.fetch(CREATE, &self.args()?).await?,
        };
        project(&written)
    }

    /// What it depends on.
    fn needs(&self) -> Needs {
        let home = outer_first(&self.put.key).into_iter().next();
        Needs::of(&self.put, true, home.as_ref().or(self.put.home.as_ref()))
    }

    /// The parameters of [`CREATE`].
    fn args(&self) -> Result<Vec<Value<'_>>, Fault> {
        let mut args = row::insert_args(&self.made)?.to_vec();
        args.extend([labels(&self.made.key, &self.put.label_pairs), edges(&self.put.edges)]);
        args.extend(self.needs().args(&self.put));
        Ok(args)
    }
}

/// The project of what was written.
fn project(written: &[Row]) -> Result<Option<ProjectId>, Fault> {
    written.first().map(|row| row.text(0)).transpose().map(|project| project.map(ProjectId))
}

/// A creation that comes with an assignment.
struct Founding<'a> {
    args: &'a [Value<'a>],
    grant: &'a Put,
}

impl Operation for Founding<'_> {
    type Output = Vec<Row>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Row>, Fault> {
        let written = tx.fetch(CREATE, self.args).await?;
        if !written.is_empty() {
            // Its name is made from the new identity, so that nobody can have taken it.
            let added = assignments::add(tx, self.grant).await?;
            added.ok_or_else(|| Fault::Corrupt(format!("{} is there", self.grant.key)))?;
        }
        Ok(written)
    }
}

/// Many creations in one transaction of SQLite, which has one writer whom nobody makes wait.
struct InTurn<'a>(&'a [Arc<Creation>]);

impl Operation for InTurn<'_> {
    type Output = Vec<Option<ProjectId>>;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Option<ProjectId>>, Fault> {
        let mut projects = Vec::with_capacity(self.0.len());
        for creation in self.0 {
            projects.push(creation.within(tx).await?);
        }
        Ok(projects)
    }
}

impl Question for Creation {
    /// The row's project, if it was written.
    type Answer = Option<ProjectId>;

    const NAME: &'static str = "creation";

    /// A second one goes on while the first waits for the disk.
    const LANES: usize = 2;

    const WAITS: bool = true;

    fn is_alone(&self, _: &Database) -> bool {
        !self.may_join()
    }

    fn is_answer(answer: &Option<ProjectId>) -> bool {
        answer.is_some()
    }

    async fn ask(&self, db: &Database) -> Result<Option<ProjectId>, Fault> {
        let args = self.args()?;
        let written = match &self.put.grant {
            Some(grant) => db.transact(Lane::Write, &Founding { args: &args, grant }).await?,
            None => db.batch(Lane::Write, CREATE, &args).await?,
        };
        project(&written)
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Option<ProjectId>>, Fault> {
        if db.dialect() == Dialect::Sqlite {
            return db.transact(Lane::Write, &InTurn(all)).await;
        }
        let mut made = HashMap::new();
        for row in db.execute(Lane::Write, CREATE_MANY, &together(all)?).await? {
            made.insert(row.parse::<Uid>(0)?, ProjectId(row.text(1)?));
        }
        Ok(all.iter().map(|creation| made.remove(&creation.made.uid)).collect())
    }
}

/// The parameters of [`CREATE_MANY`].
fn together(all: &[Arc<Creation>]) -> Result<Vec<Value<'_>>, Fault> {
    let mut all: Vec<&Creation> = all.iter().map(AsRef::as_ref).collect();
    all.sort_by(|one, other| one.made.key.cmp(&other.made.key));
    let mut sets: BTreeMap<Needs, usize> = BTreeMap::new();
    let (mut made, mut needs) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    let (mut labels, mut edges) = (Vec::new(), Vec::new());
    for creation in all {
        let Creation { put, made: row } = creation;
        made.push(row::insert_args(row)?);
        let (set, next) = (creation.needs(), sets.len());
        let count = set.count;
        needs.push(args![*sets.entry(set).or_insert(next), count]);
        let resource = key_path(&row.key);
        labels.extend(
            put.label_pairs.iter().map(|(name, value)| args![row.uid, name, value, sortable(value), resource.clone()]),
        );
        edges.extend(put.edges.iter().enumerate().map(|(position, edge)| {
            let [position, field, strict, tenant, region, kind, workspace, network, name] = edge_row(position, edge);
            [position, field, strict, tenant, region, kind, workspace, network, name, Some(row.uid.to_string())]
        }));
    }
    let named = sets.into_iter().flat_map(|(set, number)| {
        set.marked.into_iter().map(move |[tenant, region, kind, workspace, network, name, needed, gives, home]| {
            [tenant, region, kind, workspace, network, name, needed, gives, home, Some(number.to_string())]
        })
    });
    let mut args = columns(made).to_vec();
    args.extend(columns(needs));
    args.push(rows(named));
    args.extend(columns(labels));
    args.push(rows(edges));
    Ok(args)
}

#[cfg(feature = "testing")]
pub(crate) async fn explain(db: &Database, puts: Vec<Put>) -> Result<crate::testing::Explained, Fault> {
    let all: Vec<_> = puts.into_iter().map(|put| Arc::new(Creation::new(put))).collect();
    db.explain(Lane::Write, CREATE_MANY.text(db.dialect()), &together(&all)?, true).await
}
