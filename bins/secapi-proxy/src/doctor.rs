//! `secapi-proxy doctor`: are the settings good, does the database answer, can the provider be reached.
//!
//! It sends no token anywhere and changes nothing.

use std::time::Duration;

use ::settings::Problem;
use api_server::Tls;
use authentication::{Issuers, JwksFetcher as _, KeyLocation, KeySet, SET_BYTES};
use comfy_table::Table;
use control_plane::ports::Clock as _;
use http_support::is_loopback;
use tokio::time::Instant;

use crate::{
    config::{self, AuthConfig, ServeConfig},
    database,
    descriptors::Shares,
    edge::SystemClock,
    http,
    issuer_keys::HttpFetcher,
    settings::{Setting, Settings},
    unused::Unused,
};

/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far two clocks may be apart, in milliseconds: a lease that ends later than it can is not believed.
const CLOCKS_APART: u64 = 1_000;

/// In fewer days than this a certificate is to be replaced.
const CERTIFICATE_DAYS: i64 = 14;

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
pub(crate) async fn run(settings: Result<Settings, Vec<Problem>>, unused: Vec<Unused>) -> bool {
    let mut findings = look(settings).await;
    findings.extend(unused.iter().map(variable));
    findings.push(Finding::of("open files", open_files()));
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
            findings.extend(certificates(&config));
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
        if let Ok(Some(ahead)) = database::clock_ahead(&url).await {
            findings.push(Finding::of("clocks", clocks(ahead)));
        }
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

/// A variable that nothing reads. One that is misspelt is a setting that somebody believes to be in effect.
fn variable(unused: &Unused) -> Finding {
    let said = unused.to_string();
    Finding::of("variable", if unused.is_misspelt() { Err(said) } else { Ok(said) })
}

/// How many files may be open, and what that is enough for.
fn open_files() -> Result<String, String> {
    let shares = Shares::possible();
    let (public, admin) = (shares.public, shares.admin);
    let said = format!("enough for {public} connections of clients and {admin} of operators");
    match shares.are_few() {
        false => Ok(said),
        true => Err(format!("{said}, which is few; {}", Shares::REMEDY)),
    }
}

/// How the clocks of this machine and of the database differ. Leases are taken by the database's and renewed by ours.
fn clocks(ahead: i64) -> Result<String, String> {
    let by = ahead.unsigned_abs();
    let said = match ahead {
        0.. => format!("this machine's is {by} ms ahead of the database's"),
        _ => format!("this machine's is {by} ms behind the database's"),
    };
    match by {
        0..=CLOCKS_APART => Ok(said),
        _ => Err(format!("{said}; set both by NTP, for example with chrony")),
    }
}

/// How long the certificates of the listeners last.
fn certificates(config: &ServeConfig) -> Vec<Finding> {
    let now = SystemClock.now().as_millis() / 1000;
    let listeners = [("public", &config.tls), ("admin", &config.admin_tls)];
    let of = |(listener, tls): (&str, &Option<Tls>)| {
        let ends = tls.as_ref()?.ends()?;
        Some(Finding::of("certificate", certificate(listener, ends, now)))
    };
    listeners.into_iter().filter_map(of).collect()
}

/// When it ends and what time it is, in seconds since 1970.
fn certificate(listener: &str, ends: i64, now: i64) -> Result<String, String> {
    let days = (ends - now).div_euclid(86_400);
    match days {
        ..0 => Err(format!("that of the {listener} listener ended {} days ago; replace its files", -days)),
        0..CERTIFICATE_DAYS => Err(format!("that of the {listener} listener ends in {days} days; replace its files")),
        _ => Ok(format!("that of the {listener} listener ends in {days} days")),
    }
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
    let has_version = endpoint.path().ends_with("/v1");
    let began = Instant::now();
    match client.get(&address).send().await {
        Ok(answer) if answer.status() == reqwest::StatusCode::UNAUTHORIZED => {
            let first = began.elapsed();
            // The second one needs no new connection: so long calls take.
            let began = Instant::now();
            let again = client.get(&address).send().await.is_ok().then(|| began.elapsed());
            let took = again.unwrap_or(first).as_millis();
            let unusual =
                if has_version { "" } else { "; its path does not end with /v1, as that of Hetzner Cloud does" };
            let first = first.as_millis();
            Ok(format!(
                "{endpoint} answers and asks for a token, as it should, in {took} ms ({first} ms with the connection){unusual}"
            ))
        }
        Ok(answer) if !has_version => Err(format!(
            "{address} answers {} where a Hetzner Cloud API answers 401, and the path of HCLOUD_ENDPOINT does not end with /v1: add it, for example https://api.hetzner.cloud/v1",
            answer.status()
        )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_bad_two_weeks_before_its_end() {
        let of = |days: i64| certificate("public", 1_000_000_000 + days * 86_400, 1_000_000_000);
        assert!(of(365).unwrap().contains("ends in 365 days"));
        assert!(of(14).is_ok());
        assert!(of(13).unwrap_err().contains("ends in 13 days"));
        assert!(of(-2).unwrap_err().contains("ended 2 days ago"));
    }

    #[test]
    fn clocks_may_differ_by_a_second() {
        assert!(clocks(3).unwrap().contains("3 ms ahead"));
        assert!(clocks(-1_000).unwrap().contains("1000 ms behind"));
        assert!(clocks(1_001).unwrap_err().contains("NTP"));
        assert!(clocks(i64::MIN).is_err());
    }
}
