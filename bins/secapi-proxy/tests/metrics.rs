//! What `/metrics` says, compared with what the simulator saw; and who may read it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use common::{
    PATIENCE, http,
    life::{self, create, delete, power},
    proxy::{ADMIN_TOKEN, BEARER, Setup},
    sim::Sim,
    until,
};
use reqwest::{Response, StatusCode};
use seca_client::seca_api::PowerState;

const METRICS_TOKEN: &str = "metrics-token-3d1a5b7c90";

async fn scrape(admin: &str, token: &str) -> Response {
    http().get(format!("{admin}/metrics")).bearer_auth(token).send().await.unwrap()
}

/// The samples of a metric: its labels, and the value.
fn samples(text: &str, name: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let of = |line: &str| {
        let (head, value) = line.rsplit_once(' ')?;
        let (found, labels) = head.split_once('{').unwrap_or((head, ""));
        let label = |text: &str| {
            let (name, value) = text.split_once("=\"")?;
            Some((name.to_owned(), value.to_owned()))
        };
        let labels = labels.trim_end_matches("\"}").split("\",").filter_map(label).collect();
        (found == name).then(|| (labels, value.parse().unwrap()))
    };
    text.lines().filter_map(of).collect()
}

fn sum(text: &str, name: &str) -> f64 {
    samples(text, name).iter().map(|(_, value)| value).sum()
}

/// Provider calls by operation.
fn counted(text: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for (labels, value) in samples(text, "secapi_provider_calls_total") {
        assert_ne!(labels["outcome"], "not_sent", "the simulator is there");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = value as u64;
        *calls.entry(labels["operation"].clone()).or_default() += count;
    }
    calls
}

async fn seen(sim: &Sim) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for entry in sim.journal().await {
        *calls.entry(format!("{} {}", entry.method, entry.shape.replace('*', "{id}"))).or_default() += 1;
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counters_of_provider_calls_equal_the_simulators_journal() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.02).await;
    let token = folder.path().join("metrics.token");
    fs::write(&token, format!("{METRICS_TOKEN}\n")).unwrap();
    let setup = Setup::new(folder.path(), &sim.endpoint());
    let proxy = setup.with("SECA_METRICS_TOKEN_FILE", &token.display().to_string()).serve().await;
    let (seca, admin) = (proxy.client().await, proxy.admin());

    // A lost answer, and a life.
    sim.spoil("POST", "/servers", 1, "lose_reply_after_commit").await;
    life::workspace(&seca, &admin, &sim.token).await.unwrap();
    create(&seca).await.unwrap();
    power(&seca, PowerState::On).await.unwrap();
    delete(&seca).await.unwrap();
    let anonymous = http().get(format!("{}/v1/tenants/dev/roles", proxy.public)).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);

    let text = until("counters that equal the journal", PATIENCE, async || {
        let before = seen(&sim).await;
        let answer = scrape(&proxy.admin, METRICS_TOKEN).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = answer.text().await.unwrap();
        (counted(&text) == before).then_some(text)
    })
    .await;
    let calls = counted(&text);
    assert!(calls["POST /servers"] >= 1 && calls.contains_key("DELETE /servers/{id}"), "{calls:?}");
    let outcomes: BTreeSet<_> = samples(&text, "secapi_provider_calls_total")
        .into_iter()
        .map(|(labels, _)| labels["outcome"].clone())
        .collect();
    assert!(outcomes.contains("ok") && outcomes.contains("broken"), "{outcomes:?}");

    // The rest of what happened is there too.
    for name in [
        "secapi_http_requests_total",
        "secapi_http_request_duration_seconds_count",
        "secapi_engine_looks_total",
        "secapi_engine_findings_total",
        "secapi_engine_steps_total",
        "secapi_engine_retries_total",
        "secapi_engine_leases",
        "secapi_provider_budget_remaining",
        "secapi_store_batch_size_count",
        "secapi_store_lane_wait_seconds_count",
        "secapi_store_transaction_duration_seconds_count",
        "secapi_store_connections_max",
        "secapi_store_up",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(sum(&text, name) > 0.0, "{name}:\n{text}");
    }
    let missing = samples(&text, "secapi_http_authentications_total");
    assert!(missing.iter().any(|(labels, count)| labels["outcome"] == "missing" && *count == 1.0), "{missing:?}");
    for name in [life::WORKSPACE, life::INSTANCE, life::DISK, "dev"] {
        assert!(!text.contains(&format!("\"{name}\"")), "{name} is no label");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_a_token_of_their_own_and_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "http://127.0.0.1:9/v1");
    let proxy = setup.clone().with("SECA_METRICS_TOKEN", METRICS_TOKEN).serve().await;
    for (token, status) in
        [(METRICS_TOKEN, 200), (ADMIN_TOKEN, 200), (BEARER, 401), ("", 401), ("metrics-token-3d1a5b7c9", 401)]
    {
        assert_eq!(scrape(&proxy.admin, token).await.status(), status, "{token:?}");
    }
    let elsewhere = [format!("{}/admin/v1/tenants", proxy.admin), format!("{}/v1/tenants/dev/roles", proxy.public)];
    for url in elsewhere {
        let answer = http().get(&url).bearer_auth(METRICS_TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{url}: the token opens metrics alone");
    }
    let posted = http().post(format!("{}/metrics", proxy.admin)).bearer_auth(METRICS_TOKEN).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(http().get(format!("{}/metrics", proxy.public)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    drop(proxy);

    let proxy = setup.with("SECA_METRICS", "off").serve().await;
    let answer = scrape(&proxy.admin, ADMIN_TOKEN).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let text = answer.text().await.unwrap();
    assert!(text.contains("SECA_METRICS=off"), "{text}");
}
