//! The page about metrics, the dashboard and the alert rules name what is exposed, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use instruments::{Entry, Figures, Instruments};

fn file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

fn page(entries: &[Entry]) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Generated from crates/instruments: UPDATE_DOCS=1 cargo test -p instruments --test page -->\n\n\
         `GET /metrics` of the admin listener tells what a process counts, in OpenMetrics 1.0. Every replica tells its own; \
         sum them up. `deploy/grafana/` has a dashboard and alert rules.\n\n\
         - `SECA_METRICS_TOKEN` (or `SECA_METRICS_TOKEN_FILE`) is a bearer token that opens `/metrics` and nothing else. \
         Admin tokens and client certificates open it too.\n\
         - `SECA_METRICS=off` switches counting and page off.\n\
         - No tenant, workspace or resource is a label. A project is one by its id: 200 of them at most, the others are \
         summed up as `others`.\n\n\
         For Prometheus:\n\n\
         ```yaml\n\
         scrape_configs:\n\
         \u{20} - job_name: secapi-proxy\n\
         \u{20}   authorization: {credentials_file: /run/secrets/metrics_token}\n\
         \u{20}   static_configs: [{targets: [\"127.0.0.1:8081\"]}]\n\
         ```\n\n\
         | metric | type | labels | what it tells |\n|---|---|---|---|\n",
    );
    for entry in entries {
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        page += &format!("| `{}` | {} | {labels} | {}. |\n", entry.name, entry.r#type.as_str(), entry.help);
    }
    page
}

#[test]
fn the_page_about_metrics_is_current() {
    let instruments = Instruments::new("1", "2");
    let (path, page) = (file("docs/metrics.md"), page(instruments.entries()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "UPDATE_DOCS=1 cargo test -p instruments --test page");
}

/// All names of metrics that stand in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("secapi_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_what_is_exposed() {
    let instruments = Instruments::new("1", "2");
    let exposed: BTreeSet<String> = instruments.entries().iter().flat_map(Entry::samples).collect();
    let dashboard = fs::read_to_string(file("deploy/grafana/dashboard.json")).unwrap();
    let alerts = fs::read_to_string(file("deploy/grafana/alerts.yml")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = document["panels"].as_array().unwrap();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            assert!(!names(target["expr"].as_str().unwrap()).is_empty(), "{}", panel["title"]);
        }
    }
    for (place, text) in [("the dashboard", &dashboard), ("the alerts", &alerts)] {
        let asked = names(text);
        let unknown: Vec<_> = asked.difference(&exposed).collect();
        assert!(asked.len() > 5 && unknown.is_empty(), "{place}: {unknown:?}");
    }
    // What is worth being woken for.
    for name in [
        "secapi_engine_oldest_due_seconds",
        "secapi_provider_budget_remaining",
        "secapi_engine_leases_lost_total",
        "secapi_engine_orphans",
        "secapi_certificate_expiry_timestamp_seconds",
    ] {
        assert!(names(&alerts).contains(name), "{name}");
    }
    assert!(alerts.contains("CredentialRejected"));
}

#[test]
fn each_series_is_of_an_entry_and_has_its_labels() {
    use api_server::Meter as _;
    use control_plane::{engine::Meter as _, ports::Verdict};
    let instruments = Instruments::new("1", "2");
    instruments.answered(&api_server::Answered {
        listener: "public",
        operation: "get",
        kind: "instance",
        status: 403,
        took: std::time::Duration::from_millis(3),
        held: std::time::Duration::from_secs(1),
    });
    instruments.authenticated("public", "missing");
    instruments.found(seca_api::Kind::Instance, Verdict::Working, Some(control_plane::Reason::ProviderBusy));
    instruments.show(&Figures::default());
    let text = instruments.text().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("secapi_http_denials_total{listener=\"public\",operation=\"get\",kind=\"instance\"} 1\n"),
        "{text}"
    );
    let samples = |entry: &Entry| entry.samples();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let entry = instruments.entries().iter().find(|entry| samples(entry).iter().any(|sample| sample == name));
        let entry = entry.unwrap_or_else(|| panic!("{line} is of no entry"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let found: Vec<&str> = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
        let found: Vec<&str> = found.into_iter().filter(|label| *label != "le").collect();
        assert_eq!(found, entry.labels, "{line}");
        assert!(line.starts_with("secapi_") || line.starts_with("process_"), "{line}");
    }
    for label in instruments.entries().iter().flat_map(|entry| entry.labels) {
        assert!(
            !["tenant", "workspace", "name", "resource", "subject"].contains(label),
            "{label} grows with the customers"
        );
    }
}
