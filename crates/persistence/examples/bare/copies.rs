//! Many rows of one: a settled row again and again under other names, as if as many had been made and settled.

use serde::Deserialize;
use serde_json::json;

use crate::database::Database;

/// Which row is copied, and how often.
#[derive(Deserialize)]
pub(crate) struct Copies {
    kind: String,
    tenant: String,
    workspace: String,
    name: String,
    /// Their names begin with it, a number follows.
    prefix: String,
    count: usize,
    /// Each bears a label `shelf`, this many of them the same one; none without.
    #[serde(default)]
    shelf: usize,
    /// The project of the copies; that of the row without.
    #[serde(default)]
    project: Option<String>,
    /// Their number begins here.
    #[serde(default)]
    first: usize,
}

/// `c` of the rows below: the end of the identity, the name, the shelf.
macro_rules! each {
    (postgres) => {
        "unnest(ARRAY(SELECT json_array_elements($5::json))) AS c(value)"
    };
    (sqlite) => {
        "json_each($5) AS c"
    };
}

/// The texts for one database, in order.
macro_rules! texts {
    ($db:ident) => {
        [
            concat!(
                "INSERT INTO resource_labels (uid, name, value, number, resource) SELECT ",
                uid!("r"),
                ", l.name, l.value, l.number, ",
                resource!(),
                " FROM ",
                source!($db),
                " JOIN resource_labels l ON l.uid = r.uid"
            ),
            concat!(
                "INSERT INTO resource_labels (uid, name, value, resource) SELECT ",
                uid!("r"),
                ", 'shelf', c.value->>2, ",
                resource!(),
                " FROM ",
                source!($db),
                " WHERE c.value->>2 IS NOT NULL"
            ),
            concat!(
                "INSERT INTO resource_references (uid, position, field, strict, tenant, region, kind, workspace, network, \
                 name) SELECT ",
                uid!("r"),
                ", e.position, e.field, e.strict, e.tenant, e.region, e.kind, e.workspace, e.network, e.name FROM ",
                source!($db),
                " JOIN resource_references e ON e.uid = r.uid"
            ),
            concat!(
                "INSERT INTO work (uid, project, next_run_at, attempts, wakes) SELECT ",
                uid!("r"),
                ", COALESCE($6, r.project), NULL, 0, 1 FROM ",
                source!($db)
            ),
            concat!(
                "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
                 extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
                 created_at, last_modified_at, facts, action_kind, action_seq, action_done_seq) SELECT ",
                uid!("r"),
                ", r.tenant, r.region, r.kind, r.workspace, r.network, c.value->>1, COALESCE($6, r.project), \
                 CASE WHEN c.value->>2 IS NULL THEN r.labels ELSE '{\"shelf\":\"' || (c.value->>2) || '\",' || \
                 substr(r.labels, 2) END, r.annotations, r.extensions, r.spec, r.status, r.state, r.conditions, \
                 r.resource_version, r.generation, r.observed_generation, r.revision, r.created_at, r.last_modified_at, \
                 r.facts, r.action_kind, r.action_seq, r.action_done_seq FROM ",
                source!($db)
            ),
        ]
    };
}

macro_rules! uid {
    ($row:literal) => {
        concat!("substr(", $row, ".uid, 1, 24) || (c.value->>0)")
    };
}

/// Where a copy is, as its labels say it.
macro_rules! resource {
    () => {
        "concat_ws('/', r.tenant, r.region, r.kind, r.workspace, r.network, c.value->>1)"
    };
}

macro_rules! source {
    ($db:ident) => {
        concat!(
            each!($db),
            " JOIN resources r ON r.kind = $1 AND r.tenant = $2 AND r.workspace = $3 AND r.network = '' AND r.name = $4"
        )
    };
}

const POSTGRES: [&str; 5] = texts!(postgres);
const SQLITE: [&str; 5] = texts!(sqlite);
/// How many are made by one statement.
const AT_ONCE: usize = 10_000;

impl Database {
    pub(crate) async fn copy(&self, wanted: &Copies) {
        let numbers: Vec<usize> = (wanted.first..wanted.first + wanted.count).collect();
        for numbers in numbers.chunks(AT_ONCE) {
            let rows = numbers.iter().map(|number| {
                let shelf = number.checked_div(wanted.shelf).map(|shelf| format!("s{shelf}"));
                json!([format!("{:012x}", number + 1), format!("{}{number:07}", wanted.prefix), shelf])
            });
            let rows = serde_json::Value::from_iter(rows).to_string();
            for index in 0..POSTGRES.len() {
                macro_rules! run {
                    ($texts:expr, $write:expr) => {{
                        let query = sqlx::query($texts[index]).bind(&*wanted.kind).bind(&*wanted.tenant);
                        let query = query.bind(&*wanted.workspace).bind(&*wanted.name).bind(&*rows);
                        // Only the last two know the project.
                        let query = if index >= 3 { query.bind(wanted.project.as_deref()) } else { query };
                        query.execute($write).await.unwrap();
                    }};
                }
                match self {
                    Self::Postgres { write, .. } => run!(POSTGRES, write),
                    Self::Sqlite { write, .. } => run!(SQLITE, write),
                }
            }
        }
    }
}
