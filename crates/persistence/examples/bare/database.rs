//! The queries, over pools like the proxy's.

use std::str::FromStr as _;

use sqlx::{
    Executor as _, PgPool, Row as _, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::{Written, document::Row};

/// As many as the proxy has (`persistence::Options`).
const CONNECTIONS: u32 = 8;

/// What an answer is made of, in the order of [`Row`].
macro_rules! columns {
    () => {
        "name, labels, annotations, extensions, spec, status, state, conditions, resource_version, revision, \
         created_at, last_modified_at, deleted_at"
    };
}

/// The rows of a place.
macro_rules! here {
    () => {
        "tenant = $1 AND region = $2 AND kind = $5 AND workspace = $3 AND network = ''"
    };
}

macro_rules! change {
    ($now:literal, $later:literal) => {
        concat!(
            "UPDATE resources SET labels = $6, annotations = $7, extensions = $8, spec = $9, state = 'updating', \
             resource_version = resource_version + 1, generation = generation + 1, revision = revision + 1, \
             last_modified_at = ",
            $later,
            "(last_modified_at + 1, ",
            $now,
            ") WHERE ",
            here!(),
            " AND name = $4 AND deleted_at IS NULL RETURNING "
        )
    };
}

macro_rules! queue {
    ($now:literal) => {
        concat!(
            "UPDATE work SET attempts = 0, wakes = wakes + 1, next_run_at = CASE WHEN next_run_at <= ",
            $now,
            " THEN next_run_at ELSE ",
            $now,
            " END WHERE uid "
        )
    };
}

macro_rules! unsettled {
    ($now:literal) => {
        concat!(
            "SELECT (SELECT count(*) FROM resources WHERE state <> 'active') \
             + (SELECT count(*) FROM work WHERE next_run_at <= ",
            $now,
            ")"
        )
    };
}

macro_rules! wake {
    ($now:literal) => {
        concat!(
            "UPDATE work SET wakes = wakes + 1, next_run_at = ",
            $now,
            " WHERE uid IN (SELECT uid FROM resources WHERE kind = 'internet-gateway')"
        )
    };
}

macro_rules! hold {
    ($now:literal) => {
        concat!("UPDATE projects SET owner = 'bench', token = token + 1, until = ", $now, " + 540000")
    };
}

/// PostgreSQL's and SQLite's time in milliseconds.
macro_rules! with_now {
    (postgres $text:ident $(, $more:literal)*) => {
        $text!("(extract(epoch from statement_timestamp()) * 1000)::bigint" $(, $more)*)
    };
    (sqlite $text:ident $(, $more:literal)*) => {
        $text!("CAST(unixepoch('subsec') * 1000 AS INTEGER)" $(, $more)*)
    };
}

const GET: &str = concat!("SELECT ", columns!(), " FROM resources WHERE ", here!(), " AND name = $4");
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM resources WHERE ",
    here!(),
    " AND name > $4 AND deleted_at IS NULL ORDER BY name LIMIT $6"
);
const LIST_LABELLED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM resources r WHERE ",
    here!(),
    " AND name > $4 AND deleted_at IS NULL AND EXISTS (SELECT 1 FROM resource_labels l WHERE l.uid = r.uid \
     AND l.name = $7 AND l.value = $8) ORDER BY name LIMIT $6"
);
/// What a creation writes at least: the row, its labels and its place in the queue.
macro_rules! create {
    ($now:literal) => {
        concat!(
            "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
             extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
             created_at, last_modified_at, facts, action_seq, action_done_seq) SELECT $10, $1, $2, $5, $3, '', $4, \
             w.project, $6, $7, $8, $9, '{}', 'pending', '[{\"lastTransitionAt\":\"2026-01-01T00:00:00Z\",\"state\":\"pending\"}]', \
             1, 1, 0, 1, ",
            $now,
            ", ",
            $now,
            ", '{}', 0, 0 FROM resources w WHERE w.tenant = $1 AND w.region = $2 AND w.kind = 'workspace' \
             AND w.workspace = '' AND w.network = '' AND w.name = $3 AND w.deleted_at IS NULL RETURNING "
        )
    };
}
const CREATE_POSTGRES: &str = concat!(
    "WITH made AS (",
    with_now!(postgres create),
    "uid, project, ",
    columns!(),
    "), queued AS (INSERT INTO work (uid, project, next_run_at, attempts, wakes) SELECT uid, project, created_at, 0, 1 \
     FROM made), labelled AS (INSERT INTO resource_labels (uid, name, value, resource) SELECT made.uid, l.key, l.value, \
     concat_ws('/', $1, $2, $5, $3, '', $4) FROM made, json_each_text($6::json) l) SELECT ",
    columns!(),
    " FROM made"
);
const CREATE_SQLITE: &str = concat!(
    "BEGIN IMMEDIATE; INSERT INTO resource_labels (uid, name, value, resource) \
     SELECT $10, key, value, concat_ws('/', $1, $2, $5, $3, '', $4) FROM json_each($6); ",
    "INSERT INTO work (uid, project, next_run_at, attempts, wakes) SELECT $10, w.project, 0, 0, 1 FROM resources w \
     WHERE w.tenant = $1 AND w.region = $2 AND w.kind = 'workspace' AND w.workspace = '' AND w.network = '' \
     AND w.name = $3; ",
    with_now!(sqlite create),
    columns!(),
    "; COMMIT"
);
const PUT_POSTGRES: &str = concat!(
    "WITH written AS (",
    with_now!(postgres change, "greatest"),
    "uid, ",
    columns!(),
    "), queued AS (",
    with_now!(postgres queue),
    "IN (SELECT uid FROM written)) SELECT ",
    columns!(),
    " FROM written"
);
/// One text, so that there is one commit and one trip to the connection's thread.
const PUT_SQLITE: &str = concat!(
    "BEGIN IMMEDIATE; ",
    with_now!(sqlite queue),
    "= (SELECT uid FROM resources WHERE ",
    here!(),
    " AND name = $4 AND deleted_at IS NULL); ",
    with_now!(sqlite change, "max"),
    columns!(),
    "; COMMIT"
);

/// What all keys have in common.
pub(crate) struct Place {
    pub(crate) region: String,
    pub(crate) tenant: String,
    pub(crate) workspace: String,
    /// Provider, collection and kind.
    pub(crate) kind: &'static (&'static str, &'static str, &'static str),
}

/// The database.
pub(crate) enum Database {
    Postgres { read: PgPool, write: PgPool },
    Sqlite { read: SqlitePool, write: SqlitePool },
}

/// A row as the driver received it.
pub(crate) enum Received {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// Rows as the driver received them.
pub(crate) enum Rows {
    Postgres(Vec<PgRow>),
    Sqlite(Vec<SqliteRow>),
}

macro_rules! row {
    ($row:expr) => {{
        let row = $row;
        Row {
            name: row.get(0),
            labels: row.get(1),
            annotations: row.get(2),
            extensions: row.get(3),
            spec: row.get(4),
            status: row.get(5),
            state: row.get(6),
            conditions: row.get(7),
            resource_version: row.get(8),
            revision: row.get(9),
            created_at: row.get(10),
            last_modified_at: row.get(11),
            deleted_at: row.get(12),
        }
    }};
}

impl Received {
    pub(crate) fn with<T>(&self, make: impl FnOnce(Row<'_>) -> T) -> T {
        match self {
            Self::Postgres(row) => make(row!(row)),
            Self::Sqlite(row) => make(row!(row)),
        }
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Postgres(rows) => rows.len(),
            Self::Sqlite(rows) => rows.len(),
        }
    }

    pub(crate) fn each(&self, mut take: impl FnMut(usize, Row<'_>)) {
        match self {
            Self::Postgres(rows) => rows.iter().enumerate().for_each(|(index, row)| take(index, row!(row))),
            Self::Sqlite(rows) => rows.iter().enumerate().for_each(|(index, row)| take(index, row!(row))),
        }
    }
}

macro_rules! placed {
    ($text:expr, $place:expr, $name:expr) => {
        sqlx::query($text)
            .bind(&*$place.tenant)
            .bind(&*$place.region)
            .bind(&*$place.workspace)
            .bind($name)
            .bind($place.kind.2)
    };
}

macro_rules! put {
    ($text:expr, $place:expr, $name:expr, $written:expr) => {
        placed!($text, $place, $name)
            .bind($written.labels.map(|map| map.get()))
            .bind($written.annotations.map(|map| map.get()))
            .bind($written.extensions.map(|map| map.get()))
            .bind($written.spec.get())
    };
}

impl Database {
    /// Connects when it is first asked.
    pub(crate) fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            let connect = PgConnectOptions::from_str(url).unwrap().statement_cache_capacity(256);
            let pool = || {
                let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
                options.connect_lazy_with(connect.clone())
            };
            return Self::Postgres { read: pool(), write: pool() };
        }
        let connect = SqliteConnectOptions::from_str(url).unwrap();
        let connect = connect.busy_timeout(std::time::Duration::from_secs(5)).statement_cache_capacity(256);
        let writer = connect.clone().journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let pool = |size, connect| {
            let options = SqlitePoolOptions::new().max_connections(size).idle_timeout(None).max_lifetime(None);
            options.test_before_acquire(false).connect_lazy_with(connect)
        };
        Self::Sqlite { read: pool(CONNECTIONS, connect.pragma("query_only", "on")), write: pool(1, writer) }
    }

    pub(crate) async fn get(&self, place: &Place, name: &str) -> Option<Received> {
        match self {
            Self::Postgres { read, .. } => {
                placed!(GET, place, name).fetch_optional(read).await.unwrap().map(Received::Postgres)
            }
            Self::Sqlite { read, .. } => {
                placed!(GET, place, name).fetch_optional(read).await.unwrap().map(Received::Sqlite)
            }
        }
    }

    /// A page and the row behind it, of all or of those with a label.
    pub(crate) async fn list(&self, place: &Place, after: &str, limit: i64, label: Option<(&str, &str)>) -> Rows {
        macro_rules! page {
            ($read:expr) => {
                match label {
                    None => placed!(LIST, place, after).bind(limit + 1).fetch_all($read).await.unwrap(),
                    Some((name, value)) => {
                        let query = placed!(LIST_LABELLED, place, after).bind(limit + 1).bind(name).bind(value);
                        query.fetch_all($read).await.unwrap()
                    }
                }
            };
        }
        match self {
            Self::Postgres { read, .. } => Rows::Postgres(page!(read)),
            Self::Sqlite { read, .. } => Rows::Sqlite(page!(read)),
        }
    }

    /// Makes a row.
    pub(crate) async fn create(&self, place: &Place, name: &str, written: &Written<'_>) -> Option<Received> {
        #[allow(clippy::disallowed_methods, reason = "a bare handler has no ports")]
        let uid = uuid::Uuid::now_v7().to_string();
        match self {
            Self::Postgres { write, .. } => {
                let query = put!(CREATE_POSTGRES, place, name, written).bind(uid);
                query.fetch_optional(write).await.unwrap().map(Received::Postgres)
            }
            Self::Sqlite { write, .. } => {
                let query = put!(CREATE_SQLITE, place, name, written).bind(uid);
                query.fetch_all(write).await.unwrap().pop().map(Received::Sqlite)
            }
        }
    }

    /// Changes a row and its place in the queue.
    pub(crate) async fn put(&self, place: &Place, name: &str, written: &Written<'_>) -> Option<Received> {
        match self {
            Self::Postgres { write, .. } => {
                put!(PUT_POSTGRES, place, name, written).fetch_optional(write).await.unwrap().map(Received::Postgres)
            }
            // All rows: only then does it come to the end of the text.
            Self::Sqlite { write, .. } => {
                put!(PUT_SQLITE, place, name, written).fetch_all(write).await.unwrap().pop().map(Received::Sqlite)
            }
        }
    }

    pub(crate) async fn unsettled(&self) -> i64 {
        match self {
            Self::Postgres { read, .. } => {
                sqlx::query_scalar(with_now!(postgres unsettled)).fetch_one(read).await.unwrap()
            }
            Self::Sqlite { read, .. } => sqlx::query_scalar(with_now!(sqlite unsettled)).fetch_one(read).await.unwrap(),
        }
    }

    /// How many were woken.
    pub(crate) async fn wake(&self) -> u64 {
        match self {
            Self::Postgres { write, .. } => write.execute(with_now!(postgres wake)).await.unwrap().rows_affected(),
            Self::Sqlite { write, .. } => write.execute(with_now!(sqlite wake)).await.unwrap().rows_affected(),
        }
    }

    pub(crate) async fn hold(&self) {
        match self {
            Self::Postgres { write, .. } => drop(write.execute(with_now!(postgres hold)).await.unwrap()),
            Self::Sqlite { write, .. } => drop(write.execute(with_now!(sqlite hold)).await.unwrap()),
        }
    }

    pub(crate) async fn tidy(&self) {
        match self {
            Self::Postgres { write, .. } => {
                for text in ["VACUUM ANALYZE", "CHECKPOINT"] {
                    write.execute(text).await.unwrap();
                }
            }
            Self::Sqlite { write, .. } => drop(write.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap()),
        }
    }
}
