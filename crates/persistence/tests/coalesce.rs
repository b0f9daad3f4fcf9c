#![allow(clippy::unwrap_used, missing_docs)]
use std::{sync::{Arc, atomic::{AtomicU64, Ordering}}, time::Duration};
use control_plane::ports::Store;
use seca_api::{Kind, ResourceKey};
use sqlx::{AssertSqlSafe, Connection, Executor};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure() {
  let dir = tempfile::tempdir().unwrap();
  for url in [persistence::testing::postgres_url().await.unwrap(), format!("sqlite:{}", dir.path().join("x.db").display())] {
    let store = Arc::new(persistence::connect(&url, &persistence::Options::default()).await.unwrap());
    store.ping().await.unwrap();
    let rows = 10_000;
    let sqlite = url.starts_with("sqlite");
    let (numbers, uid, name) = if sqlite {
        (format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows} - 1)"), "printf('0190ffff-0000-7000-8000-%012x', i)", "printf('d%06d', i)")
    } else {
        (format!("WITH n AS (SELECT generate_series(0, {rows} - 1) AS i)"), "'0190ffff-0000-7000-8000-' || lpad(to_hex(i), 12, '0')", "'d' || lpad(i::text, 6, '0')")
    };
    let text = format!("INSERT INTO resources (uid, tenant, region, kind, workspace, network, name, project, labels, annotations, \
         extensions, spec, status, state, conditions, resource_version, generation, observed_generation, revision, \
         created_at, last_modified_at, deleted_at, facts, holder, action_kind, action_seq, action_done_seq) {numbers} \
         SELECT {uid}, 't', 'fsn1', 'block-storage', 'w', '', {name}, 'local', '{{\"env\":\"prod\"}}', NULL, NULL, \
         '{{\"sizeGB\":10,\"skuRef\":{{\"resource\":\"skus/hcloud-volume\"}}}}', '{{}}', 'active', '[{{\"state\":\"active\",\"lastTransitionAt\":\"2025-01-01T00:00:00Z\"}}]', 1, 1, 1, 1, \
         0, 0, NULL, '{{\"id\":1}}', NULL, NULL, 0, 0 FROM n");
    if sqlite { let mut c = sqlx::SqliteConnection::connect(&url).await.unwrap(); c.execute(AssertSqlSafe(text)).await.unwrap(); c.execute("ANALYZE").await.unwrap(); }
    else { let mut c = sqlx::PgConnection::connect(&url).await.unwrap(); c.execute(AssertSqlSafe(text)).await.unwrap(); c.execute("VACUUM ANALYZE").await.unwrap(); }
    for tasks in [1usize, 8, 32, 128] {
        for round in 0..3 {
            for on in [false, true] {
                persistence::COALESCE.store(on, Ordering::Relaxed);
                let count = Arc::new(AtomicU64::new(0));
                let before = store.statements();
                let begun = tokio::time::Instant::now();
                let mut all = tokio::task::JoinSet::new();
                for t in 0..tasks {
                    let (store, count) = (store.clone(), count.clone());
                    all.spawn(async move {
                        let mut i = t * 7919;
                        while begun.elapsed() < Duration::from_secs(3) {
                            i = (i * 1103515245 + 12345) % 10_000;
                            let key = ResourceKey { workspace: "w".into(), ..ResourceKey::tenant(Kind::BlockStorage, "fsn1", "t", &format!("d{i:06}")) };
                            let l = store.look(&key).await.unwrap();
                            assert!(l.found.unwrap().resource.key == key);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                while all.join_next().await.is_some() {}
                let n = count.load(Ordering::Relaxed);
                println!("{} tasks {tasks} round {round} coalesce {on}: {:.0}/s, {:.1} per statement", &url[..6], n as f64 / begun.elapsed().as_secs_f64(), n as f64 / (store.statements() - before) as f64);
            }
        }
    }
  }
}
