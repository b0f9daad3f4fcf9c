//! `secapi-proxy doctor`: are the settings good, does the database answer, can the provider be reached.
//!
//! It sends no token anywhere and changes nothing.

use std::time::Duration;

use ::settings::Problem;
use api_server::auth::{Issuers, JwksFetcher as _, KeyLocation, KeySet, SET_BYTES};
use comfy_table::Table;
use http_support::is_loopback;

use crate::{
    config::{self, AuthConfig, ServeConfig},
    database, http,
    issuer_keys::HttpFetcher,
    settings::{Setting, Settings},
};

/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The width of the table where no terminal sets one.
const WIDTH: u16 = 110;

/// What was looked at, and how it is.
struct Finding {
    what: &'static str,
    good: bool,
    said: String,
}

impl Finding {
    fn of(what: &'static str, result: Result<String, String>) -> Self {
        let good = result.is_ok();
        Self { what, good, said: result.unwrap_or_else(|error| error) }
    }
}

/// Looks at everything and prints a table; true when all is good.
pub(crate) async fn run(settings: Result<Settings, Vec<Problem>>) -> bool {
    let findings = look(settings).await;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["", "check", "finding"]);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    for finding in &findings {
        table.add_row([if finding.good { "ok" } else { "BAD" }, finding.what, &finding.said]);
    }
    println!("{table}");
    findings.iter().all(|finding| finding.good)
}

async fn look(settings: Result<Settings, Vec<Problem>>) -> Vec<Finding> {
    let bad = |problems: Vec<Problem>| -> Vec<Finding> {
        problems.into_iter().map(|p| Finding::of("setting", Err(p.to_string()))).collect()
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => return bad(problems),
    };
    let mut findings = match config::log(&settings).and_then(|_| config::serve(&settings)) {
        Ok(config) => {
            let mut findings = good_settings(&settings, &config);
            if let AuthConfig::Jwt(issuers) = &config.auth {
                findings.extend(key_urls(issuers).await);
            }
            findings
        }
        Err(problems) => bad(problems),
    };
    if let Ok(url) = config::database(&settings) {
        findings.push(Finding::of("database", database::look(&url).await.map_err(|error| format!("{error:#}"))));
        // A database that does not answer has been told of.
        let paused = database::paused(&url).await.unwrap_or_default();
        findings.extend(paused.into_iter().map(|project| {
            let said = format!("{project}; nothing is changed in it; run `secapi-proxy adopt-projects`");
            Finding::of("project", Err(said))
        }));
    }
    if let Ok(endpoints) = config::endpoints(&settings) {
        findings.push(Finding::of("provider", provider(&endpoints.default).await));
    }
    findings
}

fn good_settings(settings: &Settings, config: &ServeConfig) -> Vec<Finding> {
    let count = Setting::ALL.iter().filter(|setting| settings.get(**setting).is_some()).count();
    let mut findings = vec![
        Finding::of("settings", Ok(format!("{count} of {} set, all good", Setting::ALL.len()))),
        Finding::of("keys", Ok(format!("seals with {}", config.keys.ids().join(", also reads ")))),
    ];
    findings.extend(config.notes.iter().map(|note| Finding::of("note", Ok(note.clone()))));
    findings
}

/// Whether each issuer publishes keys that can be used. Those in files were read with the settings.
async fn key_urls(issuers: &Issuers) -> Vec<Finding> {
    let mut findings = Vec::new();
    for issuer in issuers.iter() {
        let KeyLocation::Url(url) = &issuer.keys else { continue };
        let keys = match HttpFetcher::new() {
            Ok(fetcher) => fetcher.fetch(url, SET_BYTES).await.and_then(|bytes| KeySet::from_json(&bytes)),
            Err(error) => Err(format!("{error:#}")),
        };
        let said = match keys.as_ref().map(KeySet::count) {
            Ok(0) => Err(format!("{}: {url} lists no key that can be used", issuer.name)),
            Ok(count) => Ok(format!("{}: {count} of the keys at {url} can be used", issuer.name)),
            Err(error) => {
                Err(format!("{}: {url} gives no keys ({error}); check its jwks_url and the network", issuer.name))
            }
        };
        findings.push(Finding::of("issuer", said));
    }
    findings
}

/// Asks without a token: a provider that is there refuses that with 401.
async fn provider(endpoint: &url::Url) -> Result<String, String> {
    if endpoint.path() == "/" {
        return Err(format!(
            "HCLOUD_ENDPOINT={endpoint} has no path: it must hold the version of the API, for example https://api.hetzner.cloud/v1"
        ));
    }
    let client = http::client(PATIENCE, is_loopback(endpoint)).map_err(|error| format!("{error:#}"))?;
    let address = format!("{}/locations", endpoint.as_str().trim_end_matches('/'));
    match client.get(&address).send().await {
        Ok(answer) if answer.status() == reqwest::StatusCode::UNAUTHORIZED => {
            Ok(format!("{endpoint} answers and asks for a token, as it should"))
        }
        Ok(answer) => Err(format!(
            "{address} answers {} where a Hetzner Cloud API answers 401; check HCLOUD_ENDPOINT, for example https://api.hetzner.cloud/v1",
            answer.status()
        )),
        Err(error) => {
            let cause = anyhow::Error::from(error.without_url()).root_cause().to_string();
            Err(format!(
                "{endpoint} cannot be reached ({cause}); check HCLOUD_ENDPOINT, the network and proxy variables"
            ))
        }
    }
}
