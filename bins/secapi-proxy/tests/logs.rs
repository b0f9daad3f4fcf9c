//! What the log tells: JSON from its first line on, and of each step whose it is and which request asked for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use common::{
    PATIENCE, http,
    life::{self, create, delete},
    proxy::{ADMIN_TOKEN, BEARER, Setup, TENANT},
    sim::Sim,
    until,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn each_step_names_its_resource_and_the_request_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.02).await;
    let setup = Setup::new(folder.path(), &sim.endpoint()).with("SECA_LOG_FORMAT", "json");
    let proxy = setup.with("SECA_LISTEN_ADRR", ":1").serve().await;
    let (seca, admin) = (proxy.client().await, proxy.admin());
    life::workspace(&seca, &admin, &sim.token).await.unwrap();
    let place = format!("v1/tenants/{TENANT}/workspaces/{}", life::WORKSPACE);
    let network = format!("{}/providers/seca.network/{place}/networks/net", proxy.public);
    let body = json!({"spec": {"cidr": {"ipv4": "10.9.0.0/16"}, "skuRef": "skus/hcloud-network"}});
    let put = http().put(&network).bearer_auth(BEARER).header("x-request-id", "mine-1").json(&body);
    let answer = put.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    create(&seca).await.unwrap();
    delete_network(&network).await;
    delete(&seca).await.unwrap();

    let lines = || -> Vec<Value> {
        let log = proxy.process.output();
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    };
    let first = lines()[0].clone();
    assert!(first["message"].is_string(), "{first}");
    let told = |message: &str| lines().into_iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let serving = told("serving").remove(0);
    assert_eq!((&serving["version"], &serving["commit"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("unknown")));

    // The request, as its sender calls it and as we do.
    let asked = told("request").into_iter().find(|line| line["client_request_id"] == "mine-1").unwrap();
    assert_eq!(asked["request_id"], request_id.as_str());

    let step = until("the step that the request asked for", PATIENCE, async || {
        told("step done").into_iter().find(|line| line["step"] == "create_network")
    })
    .await;
    assert_eq!(step["seca.resource"], format!("seca.network/{place}/networks/net"));
    assert_eq!((&step["seca.tenant"], &step["seca.workspace"]), (&json!(TENANT), &json!(life::WORKSPACE)));
    assert_eq!(step["request_id"], request_id.as_str(), "{step}");
    for step in told("step done") {
        assert!(step["seca.resource"].is_string() && step["seca.tenant"] == TENANT, "{step}");
    }
    assert!(told("step done").iter().any(|step| step["seca.resource"].as_str().unwrap().contains("/instances/")));
    // The log names a variable that nothing reads.
    let warned = lines().into_iter().any(|line| line["message"].as_str().unwrap_or("").contains("SECA_LISTEN_ADDR?"));
    assert!(warned, "{:?}", lines());
}

async fn delete_network(url: &str) {
    let deleted = http().delete(url).bearer_auth(BEARER).send().await.unwrap();
    assert_eq!(deleted.status().as_u16(), 202);
    until("the end of the network", PATIENCE, async || {
        let answer = http().get(url).bearer_auth(BEARER).send().await.unwrap();
        (answer.status().as_u16() == 404).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_learn_of_which_build_a_process_is_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "http://127.0.0.1:9/v1");
    let (code, said) = setup.run(&["--version"]);
    assert_eq!(
        (code, said.trim()),
        (Some(0), concat!("secapi-proxy ", env!("CARGO_PKG_VERSION"), " (commit unknown)"))
    );
    let proxy = setup.serve().await;
    let health = async |base: &str| -> Value {
        http().get(format!("{base}/healthz")).bearer_auth(ADMIN_TOKEN).send().await.unwrap().json().await.unwrap()
    };
    let of_admin = health(&proxy.admin).await;
    assert_eq!(of_admin, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "commit": "unknown"}));
    assert_eq!(health(&proxy.public).await, json!({"status": "ok"}));
}
