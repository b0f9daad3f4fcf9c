//! Many resources in one workspace: what a page costs, wherever it lies.

use control_plane::{
    Resource,
    ports::{AdmissionQuery, Collection, Deleted, ListQuery, Put},
};
use persistence::{SqlStore, testing::Explained};
use seca_api::{Kind, selector::Selector};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use super::{Backend, World, edge, key, lists::query, workspace};

/// How many volumes there are: every thousandth is on its way out. All have labels.
const ROWS: usize = 100_000;
const LIMIT: usize = 50;

/// A list, and whether most of what it passes over is shown.
type Case = (Deleted, &'static str, bool);

const CASES: [Case; 18] = [
    (Deleted::Exclude, "", true),
    (Deleted::Include, "", true),
    (Deleted::Only, "", true),
    // 99 of 100.
    (Deleted::Exclude, "env=prod", true),
    (Deleted::Exclude, "env!=test", true),
    (Deleted::Exclude, "env in (prod, other)", true),
    (Deleted::Exclude, "env notin (test)", true),
    (Deleted::Exclude, "env=p*", true),
    (Deleted::Exclude, "e*=prod", true),
    (Deleted::Exclude, "tier>=1", true),
    (Deleted::Exclude, "tier", true),
    (Deleted::Exclude, "!rare", true),
    (Deleted::Exclude, "env=prod,tier,!rare,tier<100,env!=x,!y,env=*o*", true),
    (Deleted::Only, "env=prod", true),
    // Hardly one, or none at all.
    (Deleted::Exclude, "rare=yes", false),
    (Deleted::Exclude, "rare", false),
    (Deleted::Exclude, "env=test,tier=x", false),
    (Deleted::Only, "rare=yes", false),
];

/// The first, a middle and the last page.
async fn pages(store: &SqlStore, (deleted, selector, _): Case) -> [Explained; 3] {
    let mut pages = Vec::new();
    for after in ["", "d050000", "d099900"] {
        let selector = (!selector.is_empty()).then(|| Selector::parse(selector).unwrap());
        let query = ListQuery { deleted, selector, after: after.to_owned(), ..query(Kind::BlockStorage, LIMIT) };
        pages.push(store.explain_list(&query).await.unwrap());
    }
    pages.try_into().unwrap()
}

/// An index leads to each page and through it, in order, whether the database has looked at its tables or not. What
/// few resources match is searched for from where the page begins to the end of the collection.
pub async fn sqlite_walks_an_index_in_order() {
    /// Instructions for a row: some 50 where it is shown, 150 where seven terms are asked, 15 where it is passed over.
    const A_ROW: usize = 200;
    let world = World::open(Backend::Sqlite).await;
    seed(&world, ROWS).await;
    let store = world.sql.as_ref().unwrap();
    for knows in [false, true] {
        if knows {
            execute(&world, "ANALYZE").await;
        }
        for case in CASES {
            let pages = pages(store, case).await;
            let [first, _, last] = pages.each_ref().map(|page| page.cost);
            for page in &pages {
                let tables = page.plan.iter().filter(|line| line.contains("SEARCH") || line.contains("SCAN"));
                // The epoch of authorization is one row.
                let mut tables = tables.filter(|line| *line != "SCAN e");
                assert!(tables.all(|line| line.starts_with("SEARCH")), "{case:?}: {:#?}", page.plan);
                assert!(!page.plan.iter().any(|line| line.contains("TEMP B-TREE")), "{case:?}: {:#?}", page.plan);
                let seen = if case.2 || case.0 == Deleted::Only { 2 * LIMIT } else { ROWS };
                assert!(page.cost < (A_ROW * seen) as u64, "{case:?}: {}", page.cost);
            }
            assert!(last <= first + first / 10, "{case:?}: {first} for the first page and {last} for the last one");
        }
    }
}

/// The same, but that what few resources match is found by its labels, for no more than what they are.
pub async fn postgres_walks_an_index_in_order() {
    let world = World::open(Backend::Postgres).await;
    seed(&world, ROWS).await;
    execute(&world, "ANALYZE").await;
    let store = world.sql.as_ref().unwrap();
    for case in CASES {
        let pages = pages(store, case).await;
        let [first, _, last] = pages.each_ref().map(buffers);
        for page in &pages {
            let plan = page.plan.join("\n");
            // A table of one row, or of one tenant, is read as a whole.
            let scans = plan.lines().filter(|line| line.contains("Seq Scan"));
            let mut scans = scans.filter(|line| !["tenants", "authorization_epoch"].iter().any(|t| line.contains(t)));
            assert_eq!(scans.next(), None, "{case:?}: {plan}");
            assert!(
                most_rows(page) <= 4 * LIMIT as u64,
                "a part of it sees them all, to sort them say. {case:?}: {plan}"
            );
            assert!(page.cost <= 8 * LIMIT as u64 && buffers(page) < 40 * LIMIT as u64, "{case:?}: {plan}");
        }
        assert!(
            last <= 2 * first || !case.2,
            "{case:?}: {first} buffers for the first page and {last} for the last one"
        );
    }
}

/// The most rows that a part of the plan made.
fn most_rows(page: &Explained) -> u64 {
    let parts =
        page.plan.iter().filter_map(|line| line.split_once("actual rows=")?.1.trim_end_matches(')').split_once(' '));
    let number = |text: &str| text.trim_start_matches("loops=").parse::<u64>().unwrap();
    parts.map(|(rows, loops)| number(rows) * number(loops)).max().unwrap()
}

/// What a PUT of a network is judged by, in a workspace full of volumes: its parent, what it names, its siblings.
/// Nothing else is read, whether a table is small enough to be read at once or not.
async fn a_put_is_judged_by_what_it_names(world: &World) -> Explained {
    let siblings = Collection {
        kind: Kind::Network,
        tenant: "t".to_owned(),
        region: "fsn1".to_owned(),
        workspace: "w".to_owned(),
        network: String::new(),
    };
    let volume = key(Kind::BlockStorage, "d000001");
    let named = vec![workspace("w"), volume.clone(), key(Kind::BlockStorage, "none")];
    let query = AdmissionQuery { key: key(Kind::Network, "n2"), named, relatives: vec![siblings] };
    let admission = world.store.admission(&query).await.unwrap();
    let names = |rows: Vec<Resource>| rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(names(admission.rows), [workspace("w"), volume]);
    assert_eq!(names(admission.relatives), [key(Kind::Network, "n0"), key(Kind::Network, "n1")]);
    world.sql.as_ref().unwrap().explain_admission(&query).await.unwrap()
}

pub async fn what_a_put_is_judged_by_is_looked_up(backend: Backend) {
    for rows in [2_000, ROWS] {
        let world = World::open(backend).await;
        seed(&world, rows).await;
        // Its sample is one that met no rare kind.
        execute(&world, "ANALYZE").await;
        for kind in [Kind::Instance, Kind::Nic, Kind::PublicIp, Kind::SecurityGroup, Kind::InternetGateway] {
            world.create(&key(kind, "one")).await;
        }
        for name in ["n0", "n1", "n2"] {
            world.create(&key(Kind::Network, name)).await;
        }
        let judged = a_put_is_judged_by_what_it_names(&world).await;
        // Rows in PostgreSQL, instructions in SQLite.
        let most = if matches!(backend, Backend::Sqlite) { 4_000 } else { 20 };
        assert!(judged.cost <= most, "{} among {rows}: {:#?}", judged.cost, judged.plan);
    }
}

/// By the statistics of an empty table all indexes look the same to PostgreSQL whose columns stand in a key: what is looked
/// up by its key is found by the key's own index all the same, and a page is walked through in order.
pub async fn postgres_finds_keys_by_their_index_without_statistics() {
    let world = World::open(Backend::Postgres).await;
    seed(&world, 20_000).await;
    for name in ["n0", "n1", "n2"] {
        world.create(&key(Kind::Network, name)).await;
    }
    let store = world.sql.as_ref().unwrap();
    let judged = a_put_is_judged_by_what_it_names(&world).await;
    let looked = store.explain_look(&key(Kind::BlockStorage, "d000001")).await.unwrap();
    let page = store.explain_list(&query(Kind::BlockStorage, LIMIT)).await.unwrap();
    let bears =
        |label| ListQuery { selector: Some(Selector::parse(label).unwrap()), ..query(Kind::BlockStorage, LIMIT) };
    for label in ["env=prod", "rare=yes"] {
        let labelled = store.explain_list(&bears(label)).await.unwrap();
        let plan = labelled.plan.join("\n");
        assert!(plan.contains("resource_labels_listed") && plan.contains("resources_pkey"), "{plan}");
        assert!(!plan.contains("Sort") && labelled.cost <= 4 * LIMIT as u64, "{} rows: {plan}", labelled.cost);
    }
    let volumes = [key(Kind::BlockStorage, "d000001"), key(Kind::BlockStorage, "d000002")];
    let creation = |n: usize| Put {
        edges: volumes.iter().map(|volume| edge("/spec/dataVolumes/0", volume, true)).collect(),
        label_pairs: [("env".to_owned(), "prod".to_owned())].into(),
        ..world.new_put(&key(Kind::Instance, &format!("i{n}")))
    };
    let created = store.explain_creations((0..10).map(creation).collect()).await.unwrap();
    for (explained, most) in [(judged, 20), (looked, 4), (page, 2 * LIMIT as u64), (created, 20)] {
        let plan = explained.plan.join("\n");
        assert!(plan.contains("resources_key") && !plan.contains("resources_within"), "{plan}");
        assert!(explained.cost <= most, "{} rows: {plan}", explained.cost);
    }
}

/// How many blocks the plan touched.
fn buffers(page: &Explained) -> u64 {
    let line = page.plan.iter().find_map(|line| line.trim().strip_prefix("Buffers: shared ")).unwrap();
    line.split(' ').filter_map(|part| part.split('=').nth(1)).map(|count| count.parse::<u64>().unwrap()).sum()
}

async fn seed(world: &World, rows: usize) {
    world.create(&workspace("w")).await;
    let is_sqlite = world.url.starts_with("sqlite:");
    let (numbers, uid, name) = if is_sqlite {
        (
            format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows} - 1)"),
            "printf('0190ffff-0000-7000-8000-%012x', i)",
            "printf('d%06d', i)",
        )
    } else {
        (
            format!("WITH n AS (SELECT generate_series(0, {rows} - 1) AS i)"),
            "'0190ffff-0000-7000-8000-' || lpad(to_hex(i), 12, '0')",
            "'d' || lpad(i::text, 6, '0')",
        )
    };
    let resources = format!(
        "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
         extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
         created_at, last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq) {numbers} \
         SELECT {uid}, 't', 'fsn1', 'block-storage', 'w', '', {name}, 'local', '{{}}', NULL, NULL, \
         '{{\"sizeGB\":10,\"skuRef\":{{\"resource\":\"skus/hcloud-volume\"}}}}', '{{}}', 'active', '[]', 1, 1, 1, 1, \
         0, 0, CASE WHEN i % 1000 = 500 THEN 1 END, '{{}}', NULL, NULL, 0, 0 FROM n"
    );
    execute(world, &resources).await;
    // A label as selectors read it: its number is a text that sorts as it compares.
    for (label, value, number, which) in [
        ("env", "CASE WHEN i % 100 = 1 THEN 'test' ELSE 'prod' END", "NULL", "true"),
        (
            "tier",
            "CAST(1 + i % 2 AS TEXT)",
            "CASE i % 2 WHEN 0 THEN 'bff0000000000000' ELSE 'c000000000000000' END",
            "true",
        ),
        ("rare", "'yes'", "NULL", "i % 33333 = 10"),
    ] {
        let labels = format!(
            "INSERT INTO resource_labels (uid, name, value, number) {numbers} \
             SELECT {uid}, '{label}', {value}, {number} FROM n WHERE {which}"
        );
        execute(world, &labels).await;
    }
}

async fn execute(world: &World, statement: &str) {
    let text = AssertSqlSafe(statement.to_owned());
    if world.url.starts_with("sqlite:") {
        SqliteConnection::connect(&world.url).await.unwrap().execute(text).await.unwrap();
    } else {
        PgConnection::connect(&world.url).await.unwrap().execute(text).await.unwrap();
    }
}
