//! PUT: one statement, in whatever it changes (a creation's is in `create.rs`).
//!
//! Admission read what it is judged by; the statement writes if the row is still the one that was judged. One that
//! creates a row or changes its references also locks parents and targets, so that nobody can begin to delete them,
//! and writes if they live. It may do both at once, because all that it asks of another row is that row's own state,
//! and a row that was waited for is read as it is then. What asks for rows that may have come meanwhile, a deletion,
//! needs a second statement for that (see `write.rs`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use control_plane::{
    ActionKind, ProjectId, Resource, Uid,
    ports::{Before, Edge, Put, PutOutcome},
    state,
};
use seca_api::ResourceKey;

use super::{
    authorization,
    create::Creation,
    relations::outer_first,
    together::{Question, Together},
};
use crate::{
    database::{Database, Lane, Tx},
    fault::Fault,
    row,
    selector::sortable,
    sql::{Sql, Value, args, cells, key_path, key_row, rows, sql},
};

/// What a PUT changes of a row and its place in the queue, and nothing else.
const CHANGE: Sql = Sql {
    postgres: sql!(
        "WITH written AS (" change_row judged " RETURNING uid, project), \
         queued AS (UPDATE work SET attempts = 0, " wake " WHERE uid = $1 AND EXISTS (SELECT 1 FROM written)) \
         SELECT project FROM written"
    )
    .postgres,
    sqlite: sql!(
        "UPDATE work SET attempts = 0, " wake " WHERE uid = $1 AND " still_judged "; "
        change_row judged " RETURNING project"
    )
    .sqlite,
};
/// [`CHANGE`] for many rows (1), each once. They are locked in the order of their uids, so that two of these statements
/// do not wait for each other.
const CHANGE_MANY: Sql = Sql {
    postgres: sql!(
        "WITH wanted AS MATERIALIZED (SELECT " wanted " FROM " (parsed_rows 1) "), \
         held AS MATERIALIZED (SELECT r.uid FROM wanted x JOIN resources r ON " wanted_row " ORDER BY r.uid" change "), \
         written AS (UPDATE resources r SET " wanted_change " FROM wanted x JOIN held h ON h.uid = x.uid WHERE "
        wanted_row " RETURNING r.uid, r.project), \
         due AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid IN (SELECT uid FROM written) ORDER BY w.uid" lock "), \
         queued AS (UPDATE work SET attempts = 0, " wake " WHERE uid IN (SELECT uid FROM due)) \
         SELECT uid, project FROM written"
    )
    .postgres,
    sqlite: sql!(
        "UPDATE work SET attempts = 0, " wake " WHERE uid IN (SELECT x.uid FROM (SELECT " wanted " FROM " (rows 1)
        ") x CROSS JOIN resources r ON " wanted_row "); \
         UPDATE resources AS r SET " wanted_change " FROM (SELECT " wanted " FROM " (rows 1) ") x WHERE " wanted_row
        " RETURNING uid, project"
    )
    .sqlite,
};
/// [`CHANGE`] with labels (16; 17: whether they change), references (18; 19), the targets named until now (20), the rows
/// that it depends on (21), and how many of them must live (22); the tenant (23) and its version (24).
const CHANGE_ALL: Sql = Sql {
    postgres: sql!(
        (with_named 21 23 24) ", written AS (" change_row ", project = COALESCE(" given_project ", project)" judged
        " AND " living " = $22 RETURNING uid, project), \
         fewer_labels AS (DELETE FROM resource_labels l USING written x WHERE l.uid = x.uid AND $17 = 1 \
         AND l.name NOT IN (SELECT j.value->>0 FROM " (rows 16) ")), \
         labels AS (" add_labels "written, " (rows 16)
        " ON CONFLICT (uid, name) DO UPDATE SET value = excluded.value, number = excluded.number), \
         fewer_edges AS (DELETE FROM resource_references e USING written x WHERE e.uid = x.uid AND $19 = 1 \
         AND e.position NOT IN (SELECT CAST(j.value->>0 AS BIGINT) FROM " (rows 18) ")), \
         edges AS (" (add_edges "$1") "written, " (rows 18) " ON CONFLICT (uid, position) DO UPDATE SET \
         field = excluded.field, strict = excluded.strict, tenant = excluded.tenant, region = excluded.region, \
         kind = excluded.kind, workspace = excluded.workspace, network = excluded.network, name = excluded.name), \
         woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE EXISTS (SELECT 1 FROM written) AND w.uid IN \
         (SELECT $1 UNION SELECT r.uid FROM " (rows 20) " JOIN resources r ON " listed ") ORDER BY w.uid" lock "), \
         queued AS (UPDATE work SET attempts = CASE WHEN uid = $1 THEN 0 ELSE attempts END, \
         project = CASE WHEN uid = $1 THEN (SELECT project FROM written) ELSE project END, " wake
        " WHERE uid IN (SELECT uid FROM woken)) \
         SELECT project FROM written"
    )
    .postgres,
    sqlite: sql!(
        (with_named 21 23 24) " DELETE FROM resource_labels WHERE uid = $1 AND $17 = 1 AND " still_judged " AND " living
        " = $22; "
        (with_named 21 23 24) add_labels (rows 16) " WHERE " still_judged " AND " living " = $22; "
        (with_named 21 23 24) " DELETE FROM resource_references WHERE uid = $1 AND $19 = 1 AND " still_judged " AND " living
        " = $22; "
        (with_named 21 23 24) (add_edges "$1") (rows 18) " WHERE " still_judged " AND " living " = $22; "
        (with_named 21 23 24) " UPDATE work SET attempts = CASE WHEN uid = $1 THEN 0 ELSE attempts END, \
         project = CASE WHEN uid = $1 THEN COALESCE(" given_project ", project) ELSE project END, " wake
        " WHERE (uid = $1 OR uid IN (SELECT r.uid FROM " (rows 20) " JOIN resources r ON " listed ")) AND " still_judged
        " AND " living " = $22; "
        (with_named 21 23 24) change_row ", project = COALESCE(" given_project ", project)" judged " AND " living
        " = $22 RETURNING project"
    )
    .sqlite,
};
const STATE: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.uid, r.resource_version, r.revision, \
     r.deleted_at FROM " (rows 1) at_listed
);

/// Where PUTs come together.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    creations: Together<Creation>,
    /// Those that touch nothing but their row.
    changes: Together<Change>,
}

impl Gathered {
    pub(super) fn new(db: &Database) -> Self {
        Self { creations: Together::new(db), changes: Together::new(db) }
    }
}

/// Writes a PUT.
pub(super) async fn put(db: &Database, gathered: &Gathered, put: Put) -> Result<PutOutcome, Fault> {
    let Some(before) = &put.before else {
        let creation = Arc::new(Creation::new(put));
        return match gathered.creations.ask(db, &creation).await? {
            Some(project) => Ok(PutOutcome::Created(Arc::unwrap_or_clone(creation).made_in(project))),
            None => why(db, &creation.put).await,
        };
    };
    if before.row.key != put.key {
        return Ok(PutOutcome::Stale);
    }
    let change = Arc::new(Change::new(before, &put));
    let written = if put.judged_at.is_none() && touches_its_row_alone(&put, before) {
        gathered.changes.ask(db, &change).await?
    } else {
        let written = db.batch(Lane::Write, CHANGE_ALL, &change_all(&put, before, &change)?).await?;
        written.first().map(|row| row.text(0)).transpose()?.map(ProjectId)
    };
    let Some(project) = written else { return why(db, &put).await };
    let after = Resource { project, ..Arc::unwrap_or_clone(change).after };
    let before = put.before.map_or_else(|| after.clone(), |before| before.row);
    Ok(PutOutcome::Updated { before, after })
}

/// Writes a PUT in a transaction that locked its row. Stale when it did not take effect.
pub(super) async fn within(tx: &mut Tx, put: Put) -> Result<PutOutcome, Fault> {
    let Some(before) = &put.before else {
        let creation = Creation::new(put);
        let project = creation.within(tx).await?;
        return Ok(project.map_or(PutOutcome::Stale, |project| PutOutcome::Created(creation.made_in(project))));
    };
    if before.row.key != put.key {
        return Ok(PutOutcome::Stale);
    }
    let change = Change::new(before, &put);
    let written = if put.judged_at.is_none() && touches_its_row_alone(&put, before) {
        tx.fetch(CHANGE, &change.args()?).await?
    } else {
        tx.fetch(CHANGE_ALL, &change_all(&put, before, &change)?).await?
    };
    let Some(row) = written.first() else { return Ok(PutOutcome::Stale) };
    let after = Resource { project: ProjectId(row.text(0)?), ..change.after };
    let before = put.before.map_or_else(|| after.clone(), |before| before.row);
    Ok(PutOutcome::Updated { before, after })
}

/// What a PUT makes of a row, if that is still the one that was judged.
#[derive(Clone, Debug)]
pub(super) struct Change {
    version: i64,
    revision: i64,
    after: Resource,
}

impl Change {
    fn new(Before { row: old, .. }: &Before, put: &Put) -> Self {
        let mut after = old.clone();
        state::update(&mut after, put);
        Self::of(old, after)
    }

    pub(super) fn of(before: &Resource, after: Resource) -> Self {
        Self { version: before.resource_version, revision: before.revision, after }
    }

    pub(super) fn uid(&self) -> Uid {
        self.after.uid
    }

    /// The first fifteen parameters of [`CHANGE`] and [`CHANGE_ALL`].
    pub(super) fn args(&self) -> Result<[Value<'_>; 15], Fault> {
        let after = &self.after;
        Ok(args![
            after.uid,
            self.version,
            self.revision,
            &after.labels,
            &after.annotations,
            &after.extensions,
            &after.spec,
            after.state.as_str(),
            row::json(&after.conditions)?,
            after.resource_version,
            after.generation,
            after.revision,
            after.last_modified_at,
            after.action.kind.map(ActionKind::as_str),
            after.action.seq,
        ])
    }
}

impl Question for Change {
    /// The row's project, if it was written.
    type Answer = Option<ProjectId>;

    const NAME: &'static str = "change";

    /// A second one goes on while the first waits for the disk.
    const LANES: usize = 2;

    fn changes(&self) -> impl Iterator<Item = Uid> {
        std::iter::once(self.after.uid)
    }

    async fn ask(&self, db: &Database) -> Result<Option<ProjectId>, Fault> {
        let written = db.batch(Lane::Write, CHANGE, &self.args()?).await?;
        written.first().map(|row| row.text(0)).transpose().map(|project| project.map(ProjectId))
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Option<ProjectId>>, Fault> {
        let args = all.iter().map(|change| change.args()).collect::<Result<Vec<_>, _>>()?;
        let mut written = HashMap::new();
        for row in db.batch(Lane::Write, CHANGE_MANY, &[rows(args.into_iter().map(cells))]).await? {
            written.insert(row.parse::<Uid>(0)?, ProjectId(row.text(1)?));
        }
        Ok(all.iter().map(|change| written.remove(&change.after.uid)).collect())
    }
}

/// Whether it changes no label, no reference and no project.
fn touches_its_row_alone(put: &Put, Before { row: old, edges }: &Before) -> bool {
    !changes_labels(put, old) && *edges == put.edges && moves_to(put, old).is_none()
}

/// Whether its labels are others. The same ones in another order or spacing are another text in the row, which every PUT
/// writes, and no work for what selectors look at.
fn changes_labels(put: &Put, old: &Resource) -> bool {
    let pairs = |text: &str| serde_json::from_str::<BTreeMap<String, String>>(text).ok();
    let before = || old.labels.as_deref().map_or(Some(BTreeMap::new()), pairs);
    old.labels != put.labels && before().as_ref() != Some(&put.label_pairs)
}

/// A row that waits for a project of the provider moves to its home's.
fn moves_to<'a>(put: &'a Put, old: &Resource) -> Option<&'a ResourceKey> {
    put.home.as_ref().filter(|_| old.project.is_local())
}

/// The parameters of [`CHANGE_ALL`].
fn change_all<'a>(put: &Put, before: &Before, change: &'a Change) -> Result<Vec<Value<'a>>, Fault> {
    let (new_labels, new_edges) = (changes_labels(put, &before.row), before.edges != put.edges);
    let none = BTreeMap::new();
    let mut args = Vec::from(change.args()?);
    args.push(labels(&put.key, if new_labels { &put.label_pairs } else { &none }));
    args.push(Value::from(new_labels));
    args.push(edges(if new_edges { &put.edges } else { &[] }));
    args.push(Value::from(new_edges));
    args.push(rows(before.edges.iter().filter(|_| new_edges).map(|edge| key_row(&edge.target))));
    args.extend(Needs::of(put, new_edges, moves_to(put, &before.row)).args(put));
    Ok(args)
}

/// Why nothing was written.
async fn why(db: &Database, put: &Put) -> Result<PutOutcome, Fault> {
    let needed = needed(put);
    let keys = needed.iter().chain([&put.key]).map(key_row);
    let found = db.fetch(Lane::Write, STATE, &[rows(keys)]).await?;
    let mut own = None;
    let mut live = Vec::with_capacity(found.len());
    for row in &found {
        let (key, is_deleting) = (row::key(row, 0)?, row.maybe_int(9)?.is_some());
        if key == put.key {
            own = Some((row.parse(6)?, row.int(7)?, row.int(8)?, is_deleting));
        }
        if !is_deleting {
            live.push(key);
        }
    }
    let judged = put.before.as_ref().map(|Before { row, .. }| (row.uid, row.resource_version, row.revision));
    if put.judged_at.is_some() {
        // What was judged by another version must be judged again, whatever else there is to say.
        if authorization::version(db, &put.key.tenant).await? != put.judged_at {
            return Ok(PutOutcome::Stale);
        }
    }
    match (own, judged) {
        (Some((uid, _, _, true)), judged) if judged.is_none_or(|judged| judged.0 == uid) => {
            return Ok(PutOutcome::Deleting);
        }
        (Some((uid, version, revision, _)), Some(judged)) if (uid, version, revision) == judged => {}
        (None, None) => {}
        _ => return Ok(PutOutcome::Stale),
    }
    Ok(needed.into_iter().find(|key| !live.contains(key)).map_or(PutOutcome::Stale, PutOutcome::Missing))
}

/// What must live: parents, and strict targets of references that are new.
fn needed(put: &Put) -> Vec<ResourceKey> {
    if put.before.as_ref().is_some_and(|before| before.edges == put.edges) {
        return Vec::new();
    }
    let strict = put.edges.iter().filter(|edge| edge.strict).map(|edge| edge.target.clone());
    outer_first(&put.key).into_iter().chain(strict).collect()
}

/// What a row is to a PUT that depends on it.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// It must live.
    needed: bool,
    /// Its project takes the row in: a workspace, because a binding locks that, or what is in none.
    gives: bool,
    /// It must be there for that.
    home: bool,
}

/// The rows that a PUT depends on, each once with its marks, and how many of them must live.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needs {
    pub(super) marked: Vec<[Option<String>; 9]>,
    pub(super) count: usize,
}

impl Needs {
    /// `refers`: also what it refers to.
    pub(super) fn of(put: &Put, refers: bool, home: Option<&ResourceKey>) -> Self {
        let mut marks: BTreeMap<ResourceKey, Mark> = BTreeMap::new();
        if refers {
            marks.extend(put.edges.iter().map(|edge| (edge.target.clone(), Mark::default())));
        }
        for key in needed(put) {
            marks.entry(key).or_default().needed = true;
        }
        if put.judged_at.is_some() {
            // Its own row before the version, as a deletion takes them.
            marks.entry(put.key.clone()).or_default();
        }
        if let Some(home) = home {
            let owner = home.workspace_key().unwrap_or_else(|| home.clone());
            marks.entry(home.clone()).or_default().home = true;
            marks.entry(owner).or_default().gives = true;
        }
        let count = marks.values().filter(|mark| mark.needed).count();
        let cell = |is: bool| is.then(|| "1".to_owned());
        let marked = marks.iter().map(|(key, mark)| {
            let [tenant, region, kind, workspace, network, name] = key_row(key);
            let [needed, gives, home] = [mark.needed, mark.gives, mark.home].map(cell);
            [tenant, region, kind, workspace, network, name, needed, gives, home]
        });
        Self { marked: marked.collect(), count }
    }

    /// As parameters: with the tenant and the version by which the PUT was judged, which must be as it was.
    pub(super) fn args(self, put: &Put) -> [Value<'static>; 4] {
        let tenant = put.judged_at.map(|_| put.key.tenant.clone());
        let count = self.count + usize::from(put.judged_at.is_some());
        [rows(self.marked), Value::from(count), Value::from(tenant), Value::from(put.judged_at)]
    }
}

/// The parameter of `add_labels`.
pub(super) fn labels(key: &ResourceKey, pairs: &BTreeMap<String, String>) -> Value<'static> {
    let resource = key_path(key);
    rows(
        pairs
            .iter()
            .map(|(name, value)| [Some(name.clone()), Some(value.clone()), sortable(value), Some(resource.clone())]),
    )
}

/// The parameter of `add_edges`.
pub(super) fn edges(edges: &[Edge]) -> Value<'static> {
    rows(edges.iter().enumerate().map(|(position, edge)| edge_row(position, edge)))
}

/// A reference, behind its position.
pub(super) fn edge_row(position: usize, edge: &Edge) -> [Option<String>; 9] {
    let [tenant, region, kind, workspace, network, name] = key_row(&edge.target);
    let (position, strict) = (position.to_string(), i64::from(edge.strict).to_string());
    [Some(position), Some(edge.field.clone()), Some(strict), tenant, region, kind, workspace, network, name]
}

#[cfg(test)]
mod tests {
    use seca_api::{Kind, Timestamp};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_other_labels_are_work_for_selectors() {
        let put = |text: Option<&str>, pairs: &[(&str, &str)]| {
            let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "t", "w");
            let new = Put::create(key, Uid(Uuid::from_u128(1)), "{}", Timestamp::from_millis(0));
            let label_pairs = pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
            Put { labels: text.map(str::to_owned), label_pairs, ..new }
        };
        let both = [("a", "1"), ("b", "2")];
        let old = state::create(put(Some(r#"{"a":"1","b":"2"}"#), &both), ProjectId::local());
        assert!(!changes_labels(&put(Some(r#"{"a":"1","b":"2"}"#), &both), &old));
        assert!(!changes_labels(&put(Some(r#"{ "b": "2", "a": "1" }"#), &both), &old), "another order");
        assert!(changes_labels(&put(Some(r#"{"a":"1","b":"3"}"#), &[("a", "1"), ("b", "3")]), &old));
        assert!(changes_labels(&put(None, &[]), &old));
        let bare = state::create(put(None, &[]), ProjectId::local());
        assert!(!changes_labels(&put(Some("{}"), &[]), &bare), "none either way");
        assert!(changes_labels(&put(Some(r#"{"a":"1"}"#), &[("a", "1")]), &bare));
    }
}
