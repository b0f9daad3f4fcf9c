//! Who may change something at the provider: the holder of the lease, in the database that rules the project.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{fs, path::Path};

use common::{
    PATIENCE, http, life,
    proxy::{ADMIN_TOKEN, Proxy, Setup},
    sim::Sim,
    until,
};
use persistence::testing::postgres_url;
use seca_client::seca_api::{Cidr, NetworkSpec, Reference};
use serde_json::{Value, json};

const SPEED: f64 = 0.01;

fn network() -> NetworkSpec {
    NetworkSpec {
        cidr: Cidr::v4("10.42.0.0/16"),
        additional_cidrs: Vec::new(),
        sku_ref: Reference::new("skus/hcloud-network"),
    }
}

/// Whether a replica leased the provider's project.
fn leased(proxy: &Proxy) -> bool {
    proxy.process.output().lines().any(|line| line.contains("project leased") && !line.contains("=local"))
}

async fn orders(sim: &Sim) -> usize {
    sim.journal().await.iter().filter(|entry| entry.method == "POST" && entry.shape == "/networks").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_turn_in_a_stopped_process_is_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let url = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let setup = Setup::new(folder.path(), &sim.endpoint())
        .with("SECA_DATABASE_URL", &url)
        .with("SECA_REQUEST_TIMEOUT", "4s")
        .with("SECA_LATE_WINDOW", "5s");
    let first = setup.clone().named("first").serve().await;
    let second = setup.clone().named("second").serve().await;
    let seca = first.client().await;
    life::workspace(&seca, &first.admin(), &sim.token).await.unwrap();

    // The provider refuses the order for lack of budget: it waits for at least a second before it is sent again.
    let rule = json!({
        "match": {"method": "POST", "path": "/networks", "nth": 1},
        "effect": {"type": "error", "status": 429, "code": "rate_limit_exceeded", "message": "limit reached"},
    });
    let fault = sim.control("POST", "/faults", Some(rule)).await["fault"]["id"].as_u64().unwrap();
    seca.networks(life::WORKSPACE).put(life::NETWORK, network()).await.unwrap();
    until("the order is refused", PATIENCE, async || (sim.fault(fault).await.0 == 1).then_some(())).await;
    let first_works = leased(&first);
    assert_ne!(first_works, leased(&second), "one of them leased the project");
    let (mut stopped, other) = if first_works { (first, second) } else { (second, first) };
    stopped.process.signal("STOP");

    let seca = other.client().await;
    seca.networks(life::WORKSPACE).wait_active(life::NETWORK, life::wait()).await.unwrap();
    seca.networks(life::WORKSPACE).delete(life::NETWORK).await.unwrap();
    seca.networks(life::WORKSPACE).wait_gone(life::NETWORK, life::wait()).await.unwrap();
    let before = orders(&sim).await;
    stopped.process.signal("CONT");
    until("it notices", PATIENCE, async || stopped.process.output().contains("the lease is lost").then_some(())).await;
    assert_eq!(stopped.stop().await, Some(0));
    assert_eq!(orders(&sim).await, before, "what the stopped process was about to send is never seen");
    sim.assert_only_the_marker().await;
}

async fn get(url: &str) -> (u16, Value) {
    let answer = http().get(url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let name = |folder: &Path| folder.join(format!("secapi.db{suffix}"));
        drop(fs::remove_file(name(to)));
        if name(from).exists() {
            fs::copy(name(from), name(to)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_keeps_still_until_an_operator_adopts_the_project() {
    let [folder, backup] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sim = Sim::start(folder.path(), SPEED).await;
    let setup = Setup::new(folder.path(), &sim.endpoint());
    let mut proxy = setup.serve().await;
    let seca = proxy.client().await;
    life::workspace(&seca, &proxy.admin(), &sim.token).await.unwrap();
    assert_eq!(proxy.stop().await, Some(0));
    copy(folder.path(), backup.path());
    let (code, said) = setup.run(&["adopt-projects"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("No project is paused"), "{said}");

    // What the backup does not know.
    let mut proxy = setup.serve().await;
    let seca = proxy.client().await;
    seca.networks(life::WORKSPACE).put(life::NETWORK, network()).await.unwrap();
    seca.networks(life::WORKSPACE).wait_active(life::NETWORK, life::wait()).await.unwrap();
    assert_eq!(proxy.stop().await, Some(0));

    copy(backup.path(), folder.path());
    let mut proxy = setup.serve().await;
    let ready = until("the project is paused", PATIENCE, async || {
        let (status, ready) = get(&format!("{}/readyz", proxy.public)).await;
        assert_eq!((status, ready["status"].as_str()), (200, Some("ready")), "the API serves on");
        ready.get("pausedProjects").is_some().then_some(ready)
    })
    .await;
    let project = ready["pausedProjects"][0].as_str().unwrap().to_owned();
    let (_, projects) = get(&format!("{}/admin/v1/projects", proxy.admin)).await;
    let shown = projects["items"].as_array().unwrap().iter().find(|item| item["project"] == *project).unwrap();
    assert!(shown["paused"].as_str().unwrap().contains("another database rules"), "{shown}");
    let seca = proxy.client().await;
    seca.networks(life::WORKSPACE).put("other", network()).await.unwrap();
    until("it says why", PATIENCE, async || {
        let row = seca.networks(life::WORKSPACE).get("other").await.unwrap();
        let condition = row.status?.conditions.into_iter().next()?;
        (condition.reason.as_deref() == Some("ProjectPaused")).then_some(())
    })
    .await;
    assert_eq!(sim.inventory().await["networks"], json!(1));

    let (code, said) = setup.run(&["adopt-projects"]);
    assert_eq!(code, Some(3), "{said}");
    for words in [&project, "create_network", "--yes"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said) = setup.run(&["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&project) && said.contains("adopt-projects"), "{said}");
    let (code, said) = setup.run(&["adopt-projects", "--json"]);
    assert_eq!(code, Some(3), "{said}");
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&shown["items"][0]["project"], &shown["items"][0]["adopted"]), (&json!(project), &json!(false)));
    assert_eq!(sim.inventory().await["networks"], json!(1), "nothing was done");

    let (code, said) = setup.run(&["adopt-projects", "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    seca.networks(life::WORKSPACE).wait_active("other", life::wait()).await.unwrap();
    let (_, ready) = get(&format!("{}/readyz", proxy.public)).await;
    assert_eq!(ready, json!({"status": "ready"}));
    assert_eq!(proxy.stop().await, Some(0));
}
