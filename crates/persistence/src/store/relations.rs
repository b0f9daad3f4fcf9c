//! What is related to a resource: by reference, as parent, as child. And waking it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use control_plane::{
    Resource, Uid,
    kinds::{self, Peers},
    ports::{Auxiliary, AuxiliaryUse, Bundle, Related, StepRecord, StepState},
};
use seca_api::{Kind, ResourceKey};

use super::together::Question;
use crate::{
    database::{Database, Lane, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, Value, identity, key_row, list, rows, sql},
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
/// The same of several rows (1, see [`Looked`]) and at once, but for the workspace: that looks at the number of its resources
/// and at nothing of them. All are locked with their relations, in the order of their uids; one that is not marked, and is
/// related to none of the others, is not woken.
const WAKE_RELATED: Sql = sql!(
    "WITH looked AS MATERIALIZED (SELECT j.value->>0 AS uid, j.value->>1 AS tenant, j.value->>2 AS region, \
     j.value->>3 AS kind, j.value->>4 AS workspace, j.value->>5 AS network, j.value->>6 AS name, \
     j.value->>7 AS relates, j.value->>8 AS wakes, j.value->>9 AS itself FROM " (rows 1) "), \
     o AS MATERIALIZED (SELECT * FROM looked WHERE relates = '1'), \
     related AS MATERIALIZED (SELECT e.uid FROM o" (each "resource_references" "e" "e.tenant = o.tenant \
     AND e.region = o.region AND e.kind = o.kind AND e.workspace = o.workspace AND e.network = o.network \
     AND e.name = o.name AND e.uid <> o.uid")
    " UNION SELECT r.uid FROM o" (each "resource_references" "e" "e.uid = o.uid")
    (each "resources" "r" "r.tenant = e.tenant AND r.region = e.region AND r.kind = e.kind \
     AND r.workspace = e.workspace AND r.network = e.network AND r.name = e.name AND r.uid <> o.uid")
    " UNION SELECT r.uid FROM o" (each "resources" "r" "r.tenant = o.tenant AND r.region = o.region \
     AND r.kind = 'network' AND r.workspace = o.workspace AND r.network = '' AND r.name = o.network")
    " UNION SELECT r.uid FROM o" each_in_network " UNION SELECT r.uid FROM o" each_in_workspace
    " UNION SELECT r.uid FROM o" (each "resources" "r" "r.holder = o.uid")
    " UNION SELECT r.uid FROM o" (each "resources" "r" "o.wakes <> '' AND r.tenant = o.tenant AND r.region = o.region \
     AND r.workspace = o.workspace AND r.network = '' AND r.kind = o.wakes")
    "), woken AS MATERIALIZED (SELECT w.uid FROM work w WHERE w.uid IN (SELECT uid FROM related \
     UNION SELECT uid FROM looked) ORDER BY w.uid" lock ") \
     UPDATE work SET " wake " WHERE uid IN (SELECT x.uid FROM woken x WHERE x.uid IN (SELECT uid FROM related \
     UNION SELECT uid FROM looked WHERE itself = '1'))"
);
const BUNDLES: Sql = sql!(
    "SELECT " columns ", w.attempts, w.wakes, CASE r.kind \
     WHEN 'workspace' THEN (SELECT count(*) FROM resources c WHERE " (within "c" "r.tenant" "r.region" "r.name") ") \
     WHEN 'network' THEN (SELECT count(*) FROM resources c WHERE " (within "c" "r.tenant" "r.region" "r.workspace")
    " AND c.network = r.name) \
     ELSE 0 END AS children, CAST(CASE WHEN EXISTS (SELECT 1 FROM steps s WHERE s.uid = r.uid) THEN 1 ELSE 0 END AS BIGINT) \
     AS touched \
     FROM resources r JOIN work w ON w.uid = r.uid WHERE r.uid IN " (list 1)
);
/// What is related to each of several resources (1: uid, key, and which peers), by its uid: targets (1), referrers (2),
/// parents (3), children (4) and peers (5); and what is its own: open steps (6), and the auxiliaries that it uses (7), each
/// with the number of others that do. Peers are those that name the same in this field, all in the same place ([`SIBLINGS`]),
/// those of this kind in the workspace, or none. All of it is looked up for each in turn, and never the other way round.
const RELATIONS: Sql = sql!(
    "WITH o AS MATERIALIZED (SELECT j.value->>0 AS uid, j.value->>1 AS tenant, j.value->>2 AS region, \
     j.value->>3 AS kind, j.value->>4 AS workspace, j.value->>5 AS network, j.value->>6 AS name, j.value->>7 AS peers \
     FROM " (rows 1) ") \
     SELECT o.uid, CAST(1 AS BIGINT) AS role, e.position, e.field, e.tenant, e.region, e.kind, e.workspace, e.network, \
     e.name, (SELECT r.uid FROM resources r WHERE " joined "), CAST(0 AS BIGINT), CAST(0 AS BIGINT) \
     FROM o" (each "resource_references" "e" "e.uid = o.uid")
    " UNION ALL SELECT o.uid, 2, e.position, e.field, '', '', '', '', '', '', e.uid, 0, 0 FROM o"
    (each "resource_references" "e" "e.tenant = o.tenant AND e.region = o.region AND e.kind = o.kind \
     AND e.workspace = o.workspace AND e.network = o.network AND e.name = o.name")
    " UNION ALL SELECT o.uid, 3, 0, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    (each "resources" "r" "r.tenant = o.tenant AND r.region = o.region AND r.kind = 'network' \
     AND r.workspace = o.workspace AND r.network = '' AND r.name = o.network")
    " UNION ALL SELECT o.uid, 3, 1, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    (each "resources" "r" "r.tenant = o.tenant AND r.region = o.region AND r.kind = 'workspace' \
     AND r.workspace = '' AND r.network = '' AND r.name = o.workspace")
    " UNION ALL SELECT o.uid, 4, 0, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    each_in_network
    " UNION ALL SELECT o.uid, 5, 0, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    (each "resource_references" "e" "o.peers <> '' AND e.uid = o.uid AND e.field = o.peers")
    (each "resource_references" "p" "p.tenant = e.tenant AND p.region = e.region AND p.kind = e.kind \
     AND p.workspace = e.workspace AND p.network = e.network AND p.name = e.name AND p.field = e.field \
     AND p.uid <> e.uid")
    (each "resources" "r" "r.uid = p.uid AND r.kind = o.kind AND r.deleted_at IS NULL")
    " UNION ALL SELECT o.uid, 5, 0, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    (each "resources" "r" "o.peers = '*' AND r.tenant = o.tenant AND r.region = o.region AND r.kind = o.kind \
     AND r.workspace = o.workspace AND r.network = o.network AND r.uid <> o.uid AND r.deleted_at IS NULL")
    " UNION ALL SELECT o.uid, 5, 0, '', '', '', '', '', '', '', r.uid, 0, 0 FROM o"
    (each "resources" "r" "o.peers <> '' AND r.tenant = o.tenant AND r.region = o.region AND r.workspace = o.workspace \
     AND r.network = '' AND r.kind = o.peers AND r.deleted_at IS NULL")
    " UNION ALL SELECT o.uid, 6, s.id, s.step, s.state, s.action, '', '', '', '', '', s.generation, " now " - s.since FROM o"
    (each "steps" "s" "s.uid = o.uid AND s.state NOT IN ('done', 'failed')")
    " UNION ALL SELECT o.uid, 7, 0, '', a.purpose, a.content, '', '', '', '', '', (SELECT count(*) FROM auxiliary_users u \
     WHERE u.project = a.project AND u.purpose = a.purpose AND u.content = a.content AND u.uid <> a.uid), 0 FROM o"
    (each "auxiliary_users" "a" "a.uid = o.uid")
);
/// So many resources are worth statements of their own.
const MANY: usize = 16;
/// No field has this name.
const SIBLINGS: &str = "*";
const ROWS: Sql = sql!("SELECT " columns " FROM resources r WHERE r.uid IN " (list 1));

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

/// A resource whose place in the queue is locked.
pub(super) struct Looked<'a> {
    uid: Uid,
    /// None of one that was not read, which wakes nothing.
    row: Option<&'a Resource>,
    /// Whether what is related to it wakes.
    relates: bool,
    /// Whether it wakes.
    wakes: bool,
}

impl<'a> Looked<'a> {
    pub(super) const fn read(row: &'a Resource, relates: bool, wakes: bool) -> Self {
        Self { uid: row.uid, row: Some(row), relates, wakes }
    }

    pub(super) const fn unread(uid: Uid) -> Self {
        Self { uid, row: None, relates: false, wakes: false }
    }

    /// Its row in [`WAKE_RELATED`].
    fn cells(&self) -> [Option<String>; 10] {
        let [tenant, region, kind, workspace, network, name] =
            self.row.map(|row| key_row(&row.key)).unwrap_or_default();
        let wakes = self.row.and_then(|row| Peers::woken_by(row.key.kind)).map_or("", Kind::as_str).to_owned();
        let mark = |is_so: bool| is_so.then(|| "1".to_owned());
        let uid = Some(self.uid.to_string());
        [uid, tenant, region, kind, workspace, network, name, mark(self.relates), Some(wakes), mark(self.wakes)]
    }
}

/// Wakes those that are to wake, and what is related to them, and locks the places of all in the queue.
pub(super) async fn wake_related<'a>(tx: &mut Tx, looked: impl Iterator<Item = Looked<'a>>) -> Result<(), Fault> {
    tx.execute(WAKE_RELATED, &[rows(looked.map(|one| one.cells()))]).await?;
    Ok(())
}

/// A reading of resources with their relations.
#[derive(Debug)]
pub(crate) struct Reading(pub(crate) Vec<Uid>);

impl Question for Reading {
    type Answer = Vec<Bundle>;

    const NAME: &'static str = "reading";

    const LANES: usize = 2;

    fn is_alone(&self, _: &Database) -> bool {
        self.0.len() > MANY
    }

    async fn ask(&self, db: &Database) -> Result<Vec<Bundle>, Fault> {
        bundles(db, &self.0).await
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Vec<Bundle>>, Fault> {
        let uids: BTreeSet<Uid> = all.iter().flat_map(|reading| &reading.0).copied().collect();
        let uids: Vec<Uid> = uids.into_iter().collect();
        let read = bundles(db, &uids).await?;
        let read: HashMap<Uid, Bundle> = read.into_iter().map(|bundle| (bundle.resource.uid, bundle)).collect();
        let of = |reading: &Arc<Self>| reading.0.iter().filter_map(|uid| read.get(uid)).cloned().collect();
        Ok(all.iter().map(of).collect())
    }
}

/// Resources with their relations. The counts of their wake-ups are read first: whatever changes while the rest is read,
/// changes them too, and the commit sees that.
async fn bundles(db: &Database, uids: &[Uid]) -> Result<Vec<Bundle>, Fault> {
    let found = db.fetch(Lane::Engine, BUNDLES, &[list(uids)]).await?;
    let mut bundles = found.iter().map(unrelated).collect::<Result<Vec<_>, _>>()?;
    if bundles.is_empty() {
        return Ok(bundles);
    }
    let owners = bundles.iter().map(|bundle| {
        let key = &bundle.resource.key;
        let peers = match kinds::rules(key.kind).map_or(Peers::None, |rules| rules.peers) {
            Peers::None => "",
            Peers::OfTarget(field) => field,
            Peers::Siblings => SIBLINGS,
            Peers::InWorkspace(kind) => kind.as_str(),
        };
        let [tenant, region, kind, workspace, network, name] = key_row(key);
        let uid = bundle.resource.uid.to_string();
        [Some(uid), tenant, region, kind, workspace, network, name, Some(peers.to_owned())]
    });
    let relations = db.fetch(Lane::Engine, RELATIONS, &[rows(owners)]).await?;
    let relations = relations.iter().map(Relation::of).collect::<Result<Vec<_>, _>>()?;
    let mut known: HashMap<Uid, Resource> =
        bundles.iter().map(|bundle| (bundle.resource.uid, bundle.resource.clone())).collect();
    let unknown: BTreeSet<Uid> =
        relations.iter().filter_map(|relation| relation.other).filter(|uid| !known.contains_key(uid)).collect();
    if !unknown.is_empty() {
        let found = db.fetch(Lane::Engine, ROWS, &[list(&unknown)]).await?;
        known.extend(row::all(&found)?.into_iter().map(|row| (row.uid, row)));
    }
    let places: HashMap<Uid, usize> =
        bundles.iter().enumerate().map(|(place, bundle)| (bundle.resource.uid, place)).collect();
    let mut by_owner: Vec<Vec<Relation>> = bundles.iter().map(|_| Vec::new()).collect();
    for relation in relations {
        let place = places.get(&relation.owner).and_then(|place| by_owner.get_mut(*place));
        place.into_iter().for_each(|mine| mine.push(relation.clone()));
    }
    for (bundle, relations) in bundles.iter_mut().zip(by_owner) {
        relate(bundle, relations, &known);
    }
    Ok(bundles)
}

/// A resource, and nothing else yet.
fn unrelated(row: &Row) -> Result<Bundle, Fault> {
    Ok(Bundle {
        resource: row::resource(row, 0)?,
        parents: Vec::new(),
        targets: Vec::new(),
        referrers: Vec::new(),
        children: Vec::new(),
        peers: Vec::new(),
        child_count: row.int("children")?,
        auxiliaries: Vec::new(),
        open_steps: Vec::new(),
        touched: row.int("touched")? != 0,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        wake: row.int("wakes")?,
    })
}

/// A row of [`RELATIONS`].
#[derive(Clone)]
struct Relation {
    owner: Uid,
    role: i64,
    position: i64,
    field: String,
    /// What a target is named by.
    key: Option<ResourceKey>,
    other: Option<Uid>,
    step: Option<StepRecord>,
    auxiliary: Option<AuxiliaryUse>,
}

impl Relation {
    /// By position: what a column holds is another thing for each role.
    fn of(row: &Row) -> Result<Self, Fault> {
        const KEY: usize = 4;
        const OTHER: usize = 10;
        let (owner, role) = (row.parse(0)?, row.int(1)?);
        Ok(Self {
            owner,
            role,
            position: row.int(2)?,
            field: if role < 6 { row.text(3)? } else { String::new() },
            key: if role == 1 { Some(row::key(row, KEY)?) } else { None },
            other: match row.maybe_text(OTHER)?.filter(|uid| !uid.is_empty()) {
                Some(_) => Some(row.parse(OTHER)?),
                None => None,
            },
            step: if role == 6 { Some(step(row, owner)?) } else { None },
            auxiliary: if role == 7 { Some(auxiliary(row)?) } else { None },
        })
    }
}

/// What a resource names stands in the order of its fields, the others by age.
fn relate(bundle: &mut Bundle, mut relations: Vec<Relation>, known: &HashMap<Uid, Resource>) {
    relations.sort_by_key(|one| (one.role, one.other.filter(|_| matches!(one.role, 2 | 4 | 5)), one.position));
    for Relation { role, field, key, other, step, auxiliary, .. } in relations {
        let resource = other.and_then(|uid| known.get(&uid)).cloned();
        match role {
            1 => bundle.targets.extend(key.map(|key| Related { field, key, resource })),
            // One that left while it was read refers to nothing any more.
            2 => bundle.referrers.extend(resource.map(|row| Related {
                field,
                key: row.key.clone(),
                resource: Some(row),
            })),
            3 => bundle.parents.extend(resource),
            4 => bundle.children.extend(resource),
            5 => bundle.peers.extend(resource),
            6 => bundle.open_steps.extend(step),
            _ => bundle.auxiliaries.extend(auxiliary),
        }
    }
    bundle.auxiliaries.sort_by(|a, b| {
        (&a.auxiliary.purpose, &a.auxiliary.content).cmp(&(&b.auxiliary.purpose, &b.auxiliary.content))
    });
}

fn auxiliary(row: &Row) -> Result<AuxiliaryUse, Fault> {
    let auxiliary = Auxiliary { purpose: row.text(4)?, content: row.text(5)? };
    Ok(AuxiliaryUse { auxiliary, others: row.int(11)? })
}

fn step(row: &Row, resource: Uid) -> Result<StepRecord, Fault> {
    let id = row.int(2)?;
    let broken = |what: &str| Fault::Corrupt(format!("the {what} of step {id} cannot be read"));
    Ok(StepRecord {
        id,
        resource,
        generation: row.int(11)?,
        step: serde_json::from_str(&row.text(3)?).map_err(|_| broken("call"))?,
        state: StepState::parse(&row.text(4)?).ok_or_else(|| broken("state"))?,
        action: row.maybe_text(5)?,
        age: row::span(row.int(12)?),
    })
}
