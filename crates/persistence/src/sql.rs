//! One text for two databases.
//!
//! A statement is written once, as string literals with words between them for the few things that differ:
//! `sql!("SELECT uid FROM work WHERE next_run_at <= " now " ORDER BY uid" lock)`. Both texts are put together by
//! the compiler, so that none is ever built out of data. Row sets travel as one JSON parameter (`rows`, `list`),
//! which keeps the text constant whatever their size.
//!
//! Why no `.sql` files: three of five statements differ between the databases, most by nothing but a word or two, the
//! clock, a lock or a row set. In a file for each database they would stand twice, and what stands twice drifts; a word
//! stands once, with its reason, and the compiler refuses one that it does not know. Of those that are equal most are a line,
//! which reads better beside the function that sends it. A long statement that is the same in both databases may become
//! one file by `include_str!`. A file for each database is for statements that share no more than their purpose.

mod value;

use std::fmt::Display;

use sqlx::{ColumnIndex, Row as _, ValueRef as _, postgres::PgRow, sqlite::SqliteRow};

use crate::fault::Fault;
pub(crate) use value::{Value, cells, columns, identity, key_args, key_path, key_row, list, millis, place_path, rows};

/// A statement for both databases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

impl Sql {
    pub(crate) const fn text(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// The words of both databases: `$db` says whose is meant.
macro_rules! word {
    // The database's time in milliseconds: of the statement's begin, so that an index can be searched for it.
    (postgres now) => {
        "(extract(epoch from statement_timestamp()) * 1000)::bigint"
    };
    (sqlite now) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    // The database's time of this very moment. Its statement may have begun before what it reads was committed.
    (postgres moment) => {
        "(extract(epoch from clock_timestamp()) * 1000)::bigint"
    };
    (sqlite moment) => {
        $crate::sql::word!(sqlite now)
    };
    // Nobody may remove or mark as deleted what was read, until the transaction ends.
    (postgres share) => {
        " FOR KEY SHARE OF r"
    };
    // Nobody may change what was read, nor begin to depend on it.
    (postgres exclusive) => {
        " FOR UPDATE OF r"
    };
    // Nobody may change what was read; others may depend on it.
    (postgres change) => {
        " FOR NO KEY UPDATE OF r"
    };
    // Nobody may take the lease over.
    (postgres fence) => {
        " FOR SHARE"
    };
    // The two before, of what nobody holds.
    (postgres change_free) => {
        " FOR NO KEY UPDATE OF r SKIP LOCKED"
    };
    (postgres fence_free) => {
        " FOR SHARE OF p SKIP LOCKED"
    };
    (postgres lock) => {
        " FOR UPDATE"
    };
    (postgres lock_work) => {
        " FOR UPDATE OF w"
    };
    (postgres lock_steps) => {
        " FOR UPDATE OF s"
    };
    (postgres hold_authorization) => {
        " FOR UPDATE OF e, t"
    };
    (postgres skip) => {
        " FOR UPDATE OF p SKIP LOCKED"
    };
    // A JSON array of arrays as rows: columns are `j.value->>0` and so on. PostgreSQL takes a function for 100 rows, so
    // that it would rather read a table of some thousands than look a few up; it takes an array for 10.
    (postgres (rows $n:literal)) => {
        concat!("unnest(ARRAY(SELECT json_array_elements($", $n, "::json))) AS j(value)")
    };
    (sqlite (rows $n:literal)) => {
        concat!("json_each($", $n, ") AS j")
    };
    // The same of rows that are long, in PostgreSQL, where every column would be searched for in the text.
    (postgres (parsed_rows $n:literal)) => {
        concat!("unnest(ARRAY(SELECT jsonb_array_elements($", $n, "::jsonb))) AS j(value)")
    };
    (sqlite (parsed_rows $n:literal)) => {
        $crate::sql::word!(sqlite (rows $n))
    };
    // A JSON array of texts as a list to look into.
    (postgres (list $n:literal)) => {
        concat!("(SELECT unnest(ARRAY(SELECT json_array_elements_text($", $n, "::json))))")
    };
    (sqlite (list $n:literal)) => {
        concat!("(SELECT value FROM json_each($", $n, "))")
    };
    // In which location the object of `r` lies, or is to lie; NULL if nobody knows.
    (postgres location) => {
        "CASE r.kind WHEN 'instance' THEN r.spec::json->>'zone' ELSE r.facts::json->>'location' END"
    };
    (sqlite location) => {
        "CASE r.kind WHEN 'instance' THEN r.spec->>'zone' ELSE r.facts->>'location' END"
    };
    // All columns of a resource, in the order that `row.rs` reads.
    ($db:ident columns) => {
        "r.uid, r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.project, r.labels, r.annotations, \
         r.extensions, r.spec, r.status, r.state, r.conditions, r.resource_version, r.generation, \
         r.observed_generation, r.revision, r.created_at, r.last_modified_at, r.deleted_at, r.facts, r.holder, \
         r.action_kind, r.action_seq, r.action_done_seq"
    };
    // What is shown of a resource, in the order that `row.rs` reads; the key is known but for its name.
    ($db:ident shown) => {
        "r.name, r.labels, r.annotations, r.extensions, r.spec, r.status, r.state, r.conditions, \
         r.resource_version, r.revision, r.created_at, r.last_modified_at, r.deleted_at"
    };
    // As many empty columns.
    ($db:ident no_columns) => {
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    };
    // `r` is the row of the key in the parameters 1 to 6.
    ($db:ident own) => {
        "r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name = $6"
    };
    // `r` is the row of the key in the first six columns of `j`.
    ($db:ident listed) => {
        "r.tenant = j.value->>0 AND r.region = j.value->>1 AND r.kind = j.value->>2 AND r.workspace = j.value->>3 \
         AND r.network = j.value->>4 AND r.name = j.value->>5"
    };
    // Joins `r`, the row of the key in `j` or in `e`.
    ($db:ident at_listed) => {
        $crate::sql::word!($db (in_turn "resources" "r" listed " LIMIT 1"))
    };
    ($db:ident at_joined) => {
        $crate::sql::word!($db (in_turn "resources" "r" joined " LIMIT 1"))
    };
    // Joins `r`, the live rows of the collection in the first five columns of `j`.
    ($db:ident at_collection) => {
        $crate::sql::word!($db (each "resources" "r" collected))
    };
    // Joins `r`, the rows in the network or in the workspace `o`.
    ($db:ident each_in_network) => {
        $crate::sql::word!($db (each "resources" "r" in_network_o))
    };
    ($db:ident each_in_workspace) => {
        $crate::sql::word!($db (each "resources" "r" in_workspace_o))
    };
    // Joins the rows of a table of which a condition, a word or a text, holds.
    ($db:ident (each $table:literal $alias:literal $condition:tt)) => {
        $crate::sql::word!($db (in_turn $table $alias $condition " OFFSET 0"))
    };
    // The same: looked up for each row before it, and never the other way round. SQLite keeps the order of a CROSS JOIN;
    // PostgreSQL does not look behind a LIMIT or an OFFSET.
    (postgres (in_turn $table:literal $alias:literal $condition:tt $end:literal)) => {
        concat!(
            " CROSS JOIN LATERAL (SELECT ",
            $alias,
            ".* FROM ",
            $table,
            " ",
            $alias,
            " WHERE ",
            $crate::sql::word!(postgres $condition),
            $end,
            ") ",
            $alias
        )
    };
    (sqlite (in_turn $table:literal $alias:literal $condition:tt $end:literal)) => {
        concat!(" CROSS JOIN ", $table, " ", $alias, " ON ", $crate::sql::word!(sqlite $condition))
    };
    ($db:ident in_network_o) => {
        concat!(
            "o.kind = 'network' AND ",
            $crate::sql::word!($db (within "r" "o.tenant" "o.region" "o.workspace")),
            " AND r.network = o.name"
        )
    };
    ($db:ident in_workspace_o) => {
        concat!("o.kind = 'workspace' AND ", $crate::sql::word!($db (within "r" "o.tenant" "o.region" "o.name")))
    };
    ($db:ident collected) => {
        "r.tenant = j.value->>0 AND r.region = j.value->>1 AND r.kind = j.value->>2 AND r.workspace = j.value->>3 \
         AND r.network = j.value->>4 AND r.deleted_at IS NULL"
    };
    // The number of live children of a row, if that is a workspace: kept by triggers (migration 8), in parts.
    ($db:ident (live_children $row:literal)) => {
        concat!(
            "CASE ",
            $row,
            ".kind WHEN 'workspace' THEN (SELECT CAST(COALESCE(sum(c.live), 0) AS BIGINT) FROM child_counts c \
             WHERE c.tenant = ",
            $row,
            ".tenant AND c.region = ",
            $row,
            ".region AND c.workspace = ",
            $row,
            ".name) END"
        )
    };
    // A credential, `c`, and its workspace, `r`, as `store/bindings.rs` reads them; one that is retired has none.
    ($db:ident credential) => {
        "COALESCE(r.tenant, c.tenant) AS tenant, COALESCE(r.region, c.region) AS region, \
         COALESCE(r.name, c.workspace) AS name, c.workspace_uid, c.project, c.sealed, c.endpoint, c.project_ref, c.retired_at \
         FROM credentials c LEFT JOIN resources r ON r.uid = c.workspace_uid"
    };
    // `r` is in no workspace, and is none.
    ($db:ident homeless) => {
        "r.workspace = '' AND r.kind <> 'workspace'"
    };
    // The epochs of `p`, a project, as `store/epochs.rs` reads them.
    ($db:ident epoch) => {
        concat!(
            "p.epoch, p.epoch_nonce, p.wanted_epoch, p.wanted_nonce, ",
            $crate::sql::word!($db now),
            " - p.epoch_raised_at AS raised, p.paused, p.abandoned_at"
        )
    };
    // What makes a queued row due: now, or earlier if it was.
    ($db:ident wake) => {
        concat!(
            "wakes = wakes + 1, next_run_at = CASE WHEN next_run_at <= ",
            $crate::sql::word!($db now),
            " THEN next_run_at ELSE ",
            $crate::sql::word!($db now),
            " END"
        )
    };
    // Equal keys of `r` and `e`.
    ($db:ident joined) => {
        "r.tenant = e.tenant AND r.region = e.region AND r.kind = e.kind AND r.workspace = e.workspace \
         AND r.network = e.network AND r.name = e.name"
    };
    // References of `e` to the key in the parameters 2 to 7.
    ($db:ident referring) => {
        "e.tenant = $2 AND e.region = $3 AND e.kind = $4 AND e.workspace = $5 AND e.network = $6 AND e.name = $7"
    };
    // `r` is the network, or the workspace, of the key in the parameters 2 to 7.
    ($db:ident network) => {
        "r.tenant = $2 AND r.region = $3 AND r.kind = 'network' AND r.workspace = $5 AND r.network = '' \
         AND r.name = $6"
    };
    ($db:ident workspace) => {
        "r.tenant = $2 AND r.region = $3 AND r.kind = 'workspace' AND r.workspace = '' AND r.network = '' \
         AND r.name = $5"
    };
    // `r` is in the network, or in the workspace, of the key in the parameters 2 to 7.
    ($db:ident in_network) => {
        concat!("$4 = 'network' AND ", $crate::sql::word!($db (within "r" "$2" "$3" "$5")), " AND r.network = $7")
    };
    ($db:ident in_workspace) => {
        concat!("$4 = 'workspace' AND ", $crate::sql::word!($db (within "r" "$2" "$3" "$7")))
    };
    // A row is in a workspace, of whatever kind it is. PostgreSQL has an index for that which no lookup of a key fits:
    // by the statistics of an empty table it would take any index for it whose columns stand in the key.
    (postgres (within $row:literal $tenant:literal $region:literal $workspace:literal)) => {
        concat!(
            $row,
            ".tenant || '/' || ",
            $row,
            ".region || '/' || ",
            $row,
            ".workspace = ",
            $tenant,
            " || '/' || ",
            $region,
            " || '/' || ",
            $workspace
        )
    };
    (sqlite (within $row:literal $tenant:literal $region:literal $workspace:literal)) => {
        concat!(
            $row,
            ".tenant = ",
            $tenant,
            " AND ",
            $row,
            ".region = ",
            $region,
            " AND ",
            $row,
            ".workspace = ",
            $workspace
        )
    };
    // `r` is of the kind $8 and in the workspace of the key in the parameters 2 to 7, and in no network.
    ($db:ident beside) => {
        "r.tenant = $2 AND r.region = $3 AND r.workspace = $5 AND r.network = '' AND r.kind = $8"
    };
    // -- a PUT, see store/put.rs ------------------------------------------------------------------------------
    // The rows that a PUT depends on (keys in parameter $n, with the marks of `Mark`), locked so that nobody can
    // begin to delete them. A row that was waited for is read as it is then. Behind them, as whatever raises it does,
    // the authorization version of tenant $t, if it is $v: it stays until the transaction ends.
    ($db:ident (with_named $n:literal $t:literal $v:literal)) => {
        concat!(
            "WITH named AS MATERIALIZED (SELECT r.project, r.deleted_at, j.value->>6 AS needed, j.value->>7 AS gives, \
             j.value->>8 AS home FROM ",
            $crate::sql::word!($db (rows $n)),
            " JOIN resources r ON ",
            $crate::sql::word!($db listed),
            " ORDER BY r.uid",
            $crate::sql::word!($db share),
            "), roles AS MATERIALIZED (SELECT t.name FROM authorization_epoch e CROSS JOIN tenants t WHERE e.id = 1 \
             AND t.name = $",
            $t,
            " AND e.version + t.authorization_version = $",
            $v,
            " AND (SELECT count(*) FROM named) >= 0",
            $crate::sql::word!($db hold_authorization),
            ")"
        )
    };
    // How many of those that must live do, and one more if the version is as it was judged.
    ($db:ident living) => {
        "((SELECT count(n.needed) FROM named n WHERE n.deleted_at IS NULL) + (SELECT count(*) FROM roles))"
    };
    // The project that takes the row in.
    ($db:ident given_project) => {
        "(SELECT o.project FROM named o JOIN named h ON h.home = '1' WHERE o.gives = '1')"
    };
    // All columns, in the order of `row::insert_args`.
    ($db:ident into_resources) => {
        "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
         extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
         created_at, last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq) "
    };
    ($db:ident insert) => {
        concat!(
            $crate::sql::word!($db into_resources),
            "SELECT $1, $2, $3, $4, $5, $6, $7, COALESCE(",
            $crate::sql::word!($db given_project),
            ", $8), $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27 \
             WHERE ",
            $crate::sql::word!($db living),
            " = $31 ON CONFLICT DO NOTHING"
        )
    };
    // An assignment that the product makes, see store/assignments.rs.
    ($db:ident add_assignment) => {
        concat!(
            $crate::sql::word!($db into_resources),
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
             $22, $23, $24, $25, $26, $27) ON CONFLICT DO NOTHING"
        )
    };
    ($db:ident add_labels) => {
        "INSERT INTO resource_labels (uid, name, value, number, resource) \
         SELECT $1, j.value->>0, j.value->>1, j.value->>2, j.value->>3 FROM "
    };
    ($db:ident (add_edges $uid:literal)) => {
        concat!(
            "INSERT INTO resource_references (uid, position, field, strict, tenant, region, kind, workspace, network, \
             name) SELECT ",
            $uid,
            ", CAST(j.value->>0 AS BIGINT), j.value->>1, CAST(j.value->>2 AS BIGINT), j.value->>3, j.value->>4, \
             j.value->>5, j.value->>6, j.value->>7, j.value->>8 FROM "
        )
    };
    // Whoever named the key in the parameters 2 to 7 before there was such a row.
    ($db:ident early) => {
        "SELECT e.uid FROM resource_references e WHERE e.tenant = $2 AND e.region = $3 AND e.kind = $4 \
         AND e.workspace = $5 AND e.network = $6 AND e.name = $7 AND e.uid <> $1"
    };
    ($db:ident change_row) => {
        "UPDATE resources SET labels = $4, annotations = $5, extensions = $6, spec = $7, state = $8, \
         conditions = $9, resource_version = $10, generation = $11, revision = $12, last_modified_at = $13, \
         action_kind = $14, action_seq = $15"
    };
    ($db:ident judged) => {
        " WHERE uid = $1 AND resource_version = $2 AND revision = $3 AND deleted_at IS NULL"
    };
    // The same of many rows at once: `j` has the parameters 1 to 15 as texts, `x` as they are.
    ($db:ident wanted) => {
        "j.value->>0 AS uid, CAST(j.value->>1 AS BIGINT) AS old_version, CAST(j.value->>2 AS BIGINT) AS old_revision, \
         j.value->>3 AS labels, j.value->>4 AS annotations, j.value->>5 AS extensions, j.value->>6 AS spec, \
         j.value->>7 AS state, j.value->>8 AS conditions, CAST(j.value->>9 AS BIGINT) AS resource_version, \
         CAST(j.value->>10 AS BIGINT) AS generation, CAST(j.value->>11 AS BIGINT) AS revision, \
         CAST(j.value->>12 AS BIGINT) AS last_modified_at, j.value->>13 AS action_kind, \
         CAST(j.value->>14 AS BIGINT) AS action_seq"
    };
    ($db:ident wanted_row) => {
        "r.uid = x.uid AND r.resource_version = x.old_version AND r.revision = x.old_revision AND r.deleted_at IS NULL"
    };
    ($db:ident wanted_change) => {
        "labels = x.labels, annotations = x.annotations, extensions = x.extensions, spec = x.spec, state = x.state, \
         conditions = x.conditions, resource_version = x.resource_version, generation = x.generation, \
         revision = x.revision, last_modified_at = x.last_modified_at, action_kind = x.action_kind, \
         action_seq = x.action_seq"
    };
    ($db:ident still_judged) => {
        "EXISTS (SELECT 1 FROM resources i WHERE i.uid = $1 AND i.resource_version = $2 AND i.revision = $3 \
         AND i.deleted_at IS NULL)"
    };
    // -- a DELETE and a power action, see store/write.rs --------------------------------------------------------
    // Live children, live referrers, and live referrers of the children that go along; of the kinds that refuse. The
    // first few, and how many there are.
    ($db:ident blockers) => {
        concat!(
            "SELECT u.tenant, u.region, u.kind, u.workspace, u.network, u.name, COUNT(*) OVER () AS total FROM (\
             SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name FROM resources r WHERE ((",
            $crate::sql::word!($db in_network),
            ") OR (",
            $crate::sql::word!($db in_workspace),
            ")) AND r.kind IN ",
            $crate::sql::word!($db (list 8)),
            " AND r.deleted_at IS NULL AND r.uid NOT IN ",
            $crate::sql::word!($db (list 14)),
            " UNION SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name \
             FROM resource_references e JOIN resources r ON r.uid = e.uid WHERE ",
            $crate::sql::word!($db referring),
            " AND r.kind IN ",
            $crate::sql::word!($db (list 9)),
            " AND r.deleted_at IS NULL AND r.uid NOT IN ",
            $crate::sql::word!($db (list 14)),
            " UNION SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name FROM ",
            $crate::sql::word!($db (rows 11)),
            " JOIN resource_references e ON e.tenant = j.value->>0 AND e.region = j.value->>1 \
             AND e.kind = j.value->>2 AND e.workspace = j.value->>3 AND e.network = j.value->>4 \
             AND e.name = j.value->>5 JOIN resources r ON r.uid = e.uid AND r.kind = j.value->>6 \
             WHERE r.deleted_at IS NULL AND r.uid NOT IN ",
            $crate::sql::word!($db (list 14)),
            ") u ORDER BY 3, 4, 5, 6 LIMIT $12"
        )
    };
    // The rows that go, with what is written about them.
    ($db:ident (gone $n:literal)) => {
        concat!(
            "SELECT j.value->>0 AS uid, j.value->>1 AS tenant, j.value->>2 AS region, j.value->>3 AS kind, \
             j.value->>4 AS workspace, j.value->>5 AS network, j.value->>6 AS name, j.value->>7 AS state, \
             j.value->>8 AS conditions, CAST(j.value->>9 AS BIGINT) AS resource_version, \
             CAST(j.value->>10 AS BIGINT) AS generation, CAST(j.value->>11 AS BIGINT) AS revision, \
             CAST(j.value->>12 AS BIGINT) AS last_modified_at, CAST(j.value->>13 AS BIGINT) AS deleted_at FROM ",
            $crate::sql::word!($db (rows $n))
        )
    };
    ($db:ident delete_row) => {
        "state = g.state, conditions = g.conditions, resource_version = g.resource_version, \
         generation = g.generation, revision = g.revision, last_modified_at = g.last_modified_at, \
         deleted_at = g.deleted_at FROM gone g"
    };
    // The rows that go, and their referrers, targets and parents; what `kinds::Peers::woken_by` names; and the children of
    // the first of them, the only one that may have some.
    ($db:ident related_to_gone) => {
        concat!(
            "SELECT g.uid FROM gone g \
             UNION SELECT e.uid FROM gone g JOIN resource_references e ON e.tenant = g.tenant \
             AND e.region = g.region AND e.kind = g.kind AND e.workspace = g.workspace AND e.network = g.network \
             AND e.name = g.name \
             UNION SELECT r.uid FROM gone g JOIN resource_references e ON e.uid = g.uid JOIN resources r ON ",
            $crate::sql::word!($db joined),
            " UNION SELECT r.uid FROM gone g JOIN resources r ON r.tenant = g.tenant AND r.region = g.region \
             AND r.kind = 'network' AND r.workspace = g.workspace AND r.network = '' AND r.name = g.network \
             UNION SELECT r.uid FROM gone g JOIN resources r ON r.tenant = g.tenant AND r.region = g.region \
             AND r.kind = 'workspace' AND r.workspace = '' AND r.network = '' AND r.name = g.workspace \
             UNION SELECT r.uid FROM gone g JOIN resources r ON r.tenant = g.tenant AND r.region = g.region \
             AND r.workspace = g.workspace AND r.network = '' AND r.kind = CASE g.kind \
             WHEN 'network' THEN 'internet-gateway' WHEN 'internet-gateway' THEN 'network' END \
             UNION SELECT r.uid FROM resources r WHERE EXISTS (SELECT 1 FROM gone) AND ",
            $crate::sql::word!($db in_network),
            " UNION SELECT r.uid FROM resources r WHERE EXISTS (SELECT 1 FROM gone) AND ",
            $crate::sql::word!($db in_workspace)
        )
    };
    ($db:ident act_row) => {
        "UPDATE resources SET state = $2, conditions = $3, resource_version = $4, generation = $5, revision = $6, \
         last_modified_at = $7, action_kind = $8, action_seq = $9 WHERE uid = $1"
    };
    // The authorization version of a tenant, by its name (a parameter or a column); empty for an unknown one. For
    // whatever must know it of the same moment as its own rows.
    ($db:ident (authorization_version $tenant:literal)) => {
        concat!(
            "(SELECT t.authorization_version + e.version FROM tenants t, authorization_epoch e WHERE e.id = 1 AND t.name = ",
            $tenant,
            ")"
        )
    };
    // Which engines (r) share with the one that asks: $2 is for how long a lease lasts, $3 its version.
    ($db:ident shares) => {
        concat!("r.engine_version >= $3 AND r.seen_at > ", $crate::sql::word!($db now), " - $2")
    };
    ($db:ident $text:literal) => {
        $text
    };
    // Every lock that PostgreSQL has a word for. SQLite has one writer, and it writes only inside BEGIN IMMEDIATE.
    (sqlite $lock:ident) => {
        ""
    };
}

/// Puts a [`Sql`] together out of literals and the words above.
macro_rules! sql {
    ($($part:tt)+) => {
        $crate::sql::Sql {
            postgres: concat!($($crate::sql::word!(postgres $part)),+),
            sqlite: concat!($($crate::sql::word!(sqlite $part)),+),
        }
    };
}

/// The parameters of a statement, in the order of their numbers.
///
/// Numbers are what both databases take. Words that several statements share name some of them (`identity` is 1 to 7
/// everywhere), so that a name would have to be the same in all of these; most statements have no more than four beside them.
/// Where there are more, the statement's comment says which number is what.
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::sql::Value::from($value)),*] };
}

pub(crate) use {args, sql, word};

/// A column of a row: its name, or its position.
///
/// Names are the rule: a statement gives them to whatever is not a plain column, the same in both databases. Positions are
/// for the statements that are carried out all the time, where to find a name costs some of what a row costs at all: a look,
/// a page, a PUT with what it is judged by, the version of roles, what is due, a bundle, and a commit. There the words
/// `columns` and `shown` say the order, and `row.rs` reads it. A statement with one column has nothing to mix up either.
///
/// What a row becomes is a type of the control plane, whose parts are parsed one by one, so that sqlx's `FromRow` would be
/// a second struct for each, between the two.
pub(crate) trait Column: ColumnIndex<PgRow> + ColumnIndex<SqliteRow> + Copy + Display {}

impl<C: ColumnIndex<PgRow> + ColumnIndex<SqliteRow> + Copy + Display> Column for C {}

/// A row of an answer.
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    // The types are those of the statement. Comparing them again for each column of each row was a tenth of a list.

    pub(crate) fn maybe_text(&self, at: impl Column) -> Result<Option<String>, Fault> {
        Ok(self.maybe_str(at)?.map(str::to_owned))
    }

    /// A text where it lies.
    fn maybe_str(&self, at: impl Column) -> Result<Option<&str>, Fault> {
        Ok(match self {
            Self::Postgres(row) => row.try_get_unchecked(at)?,
            Self::Sqlite(row) => row.try_get_unchecked(at)?,
        })
    }

    pub(crate) fn maybe_int(&self, at: impl Column) -> Result<Option<i64>, Fault> {
        Ok(match self {
            Self::Postgres(row) => row.try_get_unchecked(at)?,
            Self::Sqlite(row) => row.try_get_unchecked(at)?,
        })
    }

    pub(crate) fn is_empty(&self, at: impl Column) -> Result<bool, Fault> {
        Ok(match self {
            Self::Postgres(row) => row.try_get_raw(at)?.is_null(),
            Self::Sqlite(row) => row.try_get_raw(at)?.is_null(),
        })
    }

    pub(crate) fn text(&self, at: impl Column) -> Result<String, Fault> {
        self.maybe_text(at)?.ok_or_else(|| Fault::Corrupt(format!("column {at} is empty")))
    }

    pub(crate) fn int(&self, at: impl Column) -> Result<i64, Fault> {
        self.maybe_int(at)?.ok_or_else(|| Fault::Corrupt(format!("column {at} is empty")))
    }

    /// A column that holds another type's text, which is not copied.
    pub(crate) fn parse<T: std::str::FromStr>(&self, at: impl Column) -> Result<T, Fault> {
        let text = self.maybe_str(at)?.ok_or_else(|| Fault::Corrupt(format!("column {at} is empty")))?;
        text.parse().map_err(|_| Fault::Corrupt(format!("column {at} holds {text:?}")))
    }
}
