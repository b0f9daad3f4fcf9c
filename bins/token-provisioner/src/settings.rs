//! The provisioner's settings.

use std::{collections::BTreeSet, time::Duration};

use secrecy::SecretString;
use url::Url;

use crate::setting::{Environment, Problem, Rule, parse_base_url, parse_duration};

/// What the provisioner binds, and with what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Hetzner Cloud token: read-write, of the project that all workspaces share.
    pub token: SecretString,
    /// Only workspaces of these tenants; none for all that the admin API lists.
    pub tenants: Option<BTreeSet<String>>,
    /// How often it asks for unbound workspaces.
    pub interval: Duration,
    /// The provider endpoint that bindings insist on; none for the proxy's own.
    pub endpoint: Option<Url>,
    /// The operator's note of which project it is.
    pub project_ref: Option<String>,
}

/// Where the admin API is.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Its base URL.
    pub base_url: Url,
    /// Its token.
    pub token: SecretString,
}

const TOKEN: Rule = Rule {
    name: "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN",
    rule: "a read-write Hetzner Cloud API token of one line without spaces, here or in the file that SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE names",
    example: "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE=/run/secrets/hetzner-token",
};
const ADMIN_TOKEN: Rule = Rule {
    name: "SECA_ADMIN_TOKEN",
    rule: "the admin token of the proxy, of one line without spaces, here or in the file that SECA_ADMIN_TOKEN_FILE names",
    example: "SECA_ADMIN_TOKEN_FILE=/run/secrets/seca-admin-token",
};
const ADMIN_URL: Rule = Rule {
    name: "SECA_ADMIN_BASE_URL",
    rule: "the http or https URL of the proxy's admin listener",
    example: "http://127.0.0.1:8081",
};
const PUBLIC_URL: Rule = Rule {
    name: "SECA_PUBLIC_BASE_URL",
    rule: "the http or https URL of the proxy's public listener, or unset (the provisioner does not use it)",
    example: "http://127.0.0.1:8080",
};
const TENANTS: Rule = Rule {
    name: "SECA_TENANTS",
    rule: "a comma-separated list of tenant names, each of which may carry the proxy's suffixes (:strict, :late, :conformance), or unset for all tenants",
    example: "dev,prod:late:conformance",
};
const INTERVAL: Rule = Rule {
    name: "SECA_TOKEN_PROVISIONER_INTERVAL",
    rule: "a duration of at least 50ms; a plain number is seconds",
    example: "1, 0.5s or 500ms",
};
const ENDPOINT: Rule = Rule {
    name: "HCLOUD_ENDPOINT",
    rule: "the http or https base URL of the Hetzner Cloud API, or unset for the proxy's own",
    example: "https://api.hetzner.cloud/v1",
};

/// Reads all settings from the environment.
///
/// # Errors
/// All problems, one sentence each.
pub fn from_environment(environment: &Environment) -> Result<(Settings, AdminSettings, Vec<String>), Vec<Problem>> {
    let mut problems = Vec::new();
    let token = keep(secret(environment, TOKEN), &mut problems);
    let admin_token = keep(secret(environment, ADMIN_TOKEN), &mut problems);
    let base_url = keep(optional(environment, ADMIN_URL, parse_base_url), &mut problems);
    let public = keep(optional(environment, PUBLIC_URL, parse_base_url), &mut problems);
    let tenants = keep(optional(environment, TENANTS, parse_tenants), &mut problems);
    let interval = keep(optional(environment, INTERVAL, parse_interval), &mut problems);
    let endpoint = keep(optional(environment, ENDPOINT, parse_base_url), &mut problems);
    let (Some(token), Some(admin_token), true) = (token, admin_token, problems.is_empty()) else {
        return Err(problems);
    };

    let mut notes = Vec::new();
    if public.flatten().is_some() {
        notes.push("SECA_PUBLIC_BASE_URL is not used: unbound workspaces are listed by the admin API".to_owned());
    }
    let settings = Settings {
        token,
        tenants: tenants.flatten(),
        interval: interval.flatten().unwrap_or(Duration::from_secs(1)),
        endpoint: endpoint.flatten(),
        project_ref: environment.get("HCLOUD_PROJECT_REF").map(str::to_owned),
    };
    let base_url = match base_url.flatten().or_else(|| parse_base_url(ADMIN_URL.example)) {
        Some(url) => url,
        None => return Err(vec![Problem::missing(ADMIN_URL)]),
    };
    Ok((settings, AdminSettings { base_url, token: admin_token }, notes))
}

fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// A secret that goes into a header.
fn secret(environment: &Environment, rule: Rule) -> Result<SecretString, Problem> {
    use secrecy::ExposeSecret;
    let secret = environment.secret(rule.name)?.ok_or(Problem::missing(rule))?;
    if secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
        Ok(secret)
    } else {
        Err(Problem::wrong_secret(rule.name, rule, "it holds spaces or other characters that no header carries"))
    }
}

fn optional<T>(environment: &Environment, rule: Rule, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(text) = environment.get(rule.name) else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| Problem::wrong(rule.name, rule, text))
}

fn parse_interval(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|interval| *interval >= Duration::from_millis(50))
}

/// The names of a list of tenants; the proxy's suffixes are its own business.
fn parse_tenants(text: &str) -> Option<BTreeSet<String>> {
    let names = text.split(',').map(|item| item.trim().split(':').next().unwrap_or_default().trim());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    names.iter().all(|name| seca_api::TenantName::parse(name).is_ok()).then_some(names)
}
