//! A hundred instances in a project whose rate limit is nearly used up: no request is ever refused for it, and all
//! converge. Time is scaled, the refill of the limit with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::time::Duration;

use common::{
    PATIENCE, http,
    life::{self, WORKSPACE},
    proxy::{ADMIN_TOKEN, Proxy, Setup},
    sim::{Entry, Sim},
    until,
};
use seca_client::{SecaClient, Wait};
use serde_json::{Value, json};
use tokio::time::Instant;

/// So many instances, each with a boot disk of its own.
const COUNT: usize = 100;
/// A second of the test is 200 of the simulator: 600 requests an hour come back at 33 a second.
const SPEED: f64 = 0.005;

fn wait() -> Wait<'static> {
    Wait::up_to(Duration::from_secs(180)).every(Duration::from_millis(500))
}

fn names(prefix: &str) -> Vec<String> {
    (0..COUNT).map(|n| format!("{prefix}-{n}")).collect()
}

async fn create_all(seca: &SecaClient) {
    for (disk, instance) in names("disk").iter().zip(names("web")) {
        seca.block_storages(WORKSPACE).put(disk, life::disk()).await.unwrap();
        seca.instances(WORKSPACE).put(&instance, life::instance(disk)).await.unwrap();
    }
    for name in names("web") {
        seca.instances(WORKSPACE).wait_active(&name, wait()).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn delete_all(seca: &SecaClient) {
    for name in names("web") {
        assert!(seca.instances(WORKSPACE).delete(&name).await.unwrap());
    }
    for name in names("web") {
        seca.instances(WORKSPACE).wait_gone(&name, wait()).await.unwrap_or_else(|error| panic!("{error}"));
    }
    for name in names("disk") {
        assert!(seca.block_storages(WORKSPACE).delete(&name).await.unwrap());
    }
    for name in names("disk") {
        seca.block_storages(WORKSPACE).wait_gone(&name, wait()).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn report(what: &str, calls: &[Entry], took: Duration) {
    let mut shapes: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for call in calls {
        *shapes.entry(format!("{} {}", call.method, call.shape)).or_default() += 1;
    }
    #[allow(clippy::cast_precision_loss, reason = "some hundreds")]
    let each = calls.len() as f64 / COUNT as f64;
    println!("{what}: {} calls, {each:.2} per instance, {:.1} s: {shapes:?}", calls.len(), took.as_secs_f32());
    let refused: Vec<_> = calls.iter().filter(|call| call.status == 429).collect();
    assert!(refused.is_empty(), "{} requests were refused for the rate limit: {:?}", refused.len(), refused.first());
}

/// What the operator is shown of the project's request budget, once its holder has told it.
async fn shown_budget(proxy: &Proxy) -> Value {
    let http = http();
    let url = format!("{}/admin/v1/projects", proxy.admin);
    until("the budget is shown", PATIENCE, async || {
        let answer = http.get(&url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
        let projects: Value = answer.json().await.unwrap();
        let mut budgets = projects["items"].as_array().unwrap().iter().map(|project| &project["budget"]);
        budgets.find(|budget| budget.is_object()).cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_instances_converge_on_a_tight_rate_limit_without_a_429() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    sim.control("PUT", "/projects/default/limits", Some(json!({"server_limit": COUNT, "volume_limit": COUNT}))).await;
    sim.control("PUT", "/rate", Some(json!({"project": "default", "limit": 600, "remaining": 50}))).await;
    let proxy =
        Setup::new(folder.path(), &sim.endpoint()).with("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "1h").serve().await;
    let seca = proxy.client().await;
    life::workspace(&seca, &proxy.admin(), &sim.token).await.unwrap_or_else(|error| panic!("{error}"));

    let (started, before) = (Instant::now(), sim.journal().await.len());
    create_all(&seca).await;
    let calls = sim.journal().await;
    report("create", &calls[before..], started.elapsed());
    assert_eq!(shown_budget(&proxy).await["limit"], 600, "the provider's, not the default of a project");
    assert_eq!(sim.inventory().await["servers"], json!(COUNT));

    let started = Instant::now();
    delete_all(&seca).await;
    let all = sim.journal().await;
    report("delete", &all[calls.len()..], started.elapsed());
    sim.assert_only_the_marker().await;
}
