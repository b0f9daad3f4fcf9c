//! Lists of many: what a page costs, wherever it lies.

use control_plane::ports::{Deleted, ListQuery, Store as _};
use seca_api::{Kind, selector::Selector};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{Backend, World, key, workspace};

pub async fn terms(backend: Backend) {
    let world = World::open(backend).await;
    seed(&world).await;
    for n in [1, 2, 3, 4, 5, 6, 8, 12, 20, 64] {
        for form in ["a{}", "a{}=x", "!a{}", "a{}!=x", "a{} in (x, y*, z)", "a{}>3", "a*{}=*x"] {
            let text = (0..n).map(|i| form.replace("{}", &i.to_string())).collect::<Vec<_>>().join(",");
            let query = ListQuery {
                kind: Kind::BlockStorage,
                tenant: "t".to_owned(),
                region: "fsn1".to_owned(),
                workspace: "w".to_owned(),
                network: String::new(),
                deleted: Deleted::Exclude,
                selector: Some(Selector::parse(&text).unwrap()),
                after: String::new(),
                limit: 50,
            };
            let t = tokio::time::Instant::now();
            let page = world.store.list(&query).await;
            println!("{n} {form} {:?} {:?}", t.elapsed(), page.map(|p| p.items.len()));
        }
    }
}
pub async fn dump(backend: Backend) {
    let world = World::open(backend).await;
    let t = tokio::time::Instant::now();
    seed(&world).await;
    println!("seeded in {:?}", t.elapsed());
    let sql = world.sql.as_ref().unwrap();
    for deleted in [Deleted::Exclude, Deleted::Include, Deleted::Only] {
        for selector in [
            "",
            "rare=yes",
            "rare",
            "env=prod",
            "env=test",
            "env!=prod",
            "env!=test",
            "tier>8",
            "tier>=0",
            "tier<0",
            "env in (prod, x)",
            "env notin (test)",
            "env=p*",
            "env=t*",
            "e*=prod",
            "!rare",
            "!env",
            "none=x",
            "some=s",
        ] {
            for after in ["", "d050000", "d099940"] {
                let query = ListQuery {
                    kind: Kind::BlockStorage,
                    tenant: "t".to_owned(),
                    region: "fsn1".to_owned(),
                    workspace: "w".to_owned(),
                    network: String::new(),
                    deleted,
                    selector: (!selector.is_empty()).then(|| Selector::parse(selector).unwrap()),
                    after: after.to_owned(),
                    limit: 50,
                };
                let t = tokio::time::Instant::now();
                let page = sql.list(&query).await.unwrap();
                let took = t.elapsed();
                let e = sql.explain_list(&query).await.unwrap();
                println!(
                    "{deleted:?} {selector:?} after {after:?}: {} items, {took:?}, cost {}",
                    page.items.len(),
                    e.cost
                );
                for l in e.plan {
                    println!("      {l}");
                }
            }
        }
    }
}

const ROWS: usize = 100_000;
/// 100,000 volumes of a workspace, each with a few labels; every thousandth is on its way out.
async fn seed(world: &World) {
    world.create(&workspace("w")).await;
    world.create(&key(Kind::Network, "n")).await;
    let (numbers, uid, name) = if world.url.starts_with("sqlite:") {
        (
            "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < 99999) ",
            "printf('0190ffff-0000-7000-8000-%012x', i)",
            "printf('d%06d', i)",
        )
    } else {
        (
            "WITH numbers AS (SELECT generate_series(0, 99999) AS i) ",
            "('0190ffff-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))",
            "('d' || lpad(i::text, 6, '0'))",
        )
    };
    let resources = format!(
        "INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
         extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
         created_at, last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq) {numbers} \
         SELECT {uid}, 't', 'fsn1', 'block-storage', 'w', '', {name}, 'local', '{{}}', NULL, NULL, \
         '{{\"sizeGB\":10,\"skuRef\":{{\"resource\":\"skus/hcloud-volume\"}}}}', '{{}}', 'active', '[]', 1, 1, 1, 1, 0, 0, \
         CASE WHEN i % 1000 = 500 THEN 1 END, '{{}}', NULL, NULL, 0, 0 FROM numbers"
    );
    let label = |label: &str, value: &str, number: &str, which: &str| {
        format!(
            "INSERT INTO resource_labels (uid, name, value, number) {numbers} SELECT {uid}, '{label}', {value}, {number} FROM numbers WHERE {which}"
        )
    };
    let statements = [
        resources,
        label("env", "CASE WHEN i % 100 = 1 THEN 'test' ELSE 'prod' END", "NULL", "i >= 0"),
        label(
            "tier",
            "CAST(i % 10 AS TEXT)",
            "CASE i % 10 WHEN 0 THEN '8000000000000000' ELSE 'c01' || (i % 10) END",
            "i >= 0",
        ),
        label("rare", "'yes'", "NULL", "i % 33333 = 10"),
        label("some", "'s'", "NULL", "i % 1000 = 77"),
        "ANALYZE".to_owned(),
    ];
    for statement in statements {
        if world.url.starts_with("sqlite:") && statement == "ANALYZE" && std::env::var("NOSTAT").is_ok() {
            continue;
        }
        run(&world.url, &statement).await;
    }
}

async fn run(url: &str, statement: &str) {
    let text = sqlx::AssertSqlSafe(statement.to_owned());
    if url.starts_with("sqlite:") {
        SqliteConnection::connect(url).await.unwrap().execute(text).await.unwrap();
    } else {
        PgConnection::connect(url).await.unwrap().execute(text).await.unwrap();
    }
}
