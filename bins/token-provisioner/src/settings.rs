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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const REQUIRED: [(&str, &str); 2] = [("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", "h"), ("SECA_ADMIN_TOKEN", "a")];

    fn read(more: &[(&str, &str)]) -> Result<(Settings, AdminSettings, Vec<String>), Vec<Problem>> {
        from_environment(&REQUIRED.into_iter().chain(more.iter().copied()).collect())
    }

    #[test]
    fn the_two_tokens_are_enough() {
        let (settings, admin, notes) = read(&[]).unwrap();
        assert_eq!(settings.token.expose_secret(), "h");
        assert_eq!(admin.token.expose_secret(), "a");
        assert_eq!(admin.base_url.as_str(), "http://127.0.0.1:8081/");
        assert_eq!((settings.interval, settings.tenants, settings.endpoint), (Duration::from_secs(1), None, None));
        assert!(notes.is_empty());
    }

    #[test]
    fn tenants_are_read_in_the_proxys_spelling() {
        let (settings, ..) = read(&[("SECA_TENANTS", "dev, prod:late:conformance,dev:strict")]).unwrap();
        assert_eq!(settings.tenants, Some(["dev".to_owned(), "prod".to_owned()].into()));
    }

    #[test]
    fn intervals_are_read_in_the_predecessors_spelling() {
        for (text, millis) in [("1", 1_000), ("0.5s", 500), ("500ms", 500), ("2s", 2_000)] {
            let (settings, ..) = read(&[("SECA_TOKEN_PROVISIONER_INTERVAL", text)]).unwrap();
            assert_eq!(settings.interval, Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn a_wrong_setting_is_one_sentence_with_the_variable_the_rule_and_an_example() {
        let cases = [
            ("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", ""),
            ("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", "two words"),
            ("SECA_ADMIN_TOKEN", " "),
            ("SECA_ADMIN_TOKEN", "line\nend"),
            ("SECA_ADMIN_BASE_URL", "127.0.0.1:8081"),
            ("SECA_PUBLIC_BASE_URL", "nonsense"),
            ("SECA_TENANTS", "dev,,prod"),
            ("SECA_TENANTS", "No Name"),
            ("SECA_TOKEN_PROVISIONER_INTERVAL", "soon"),
            ("SECA_TOKEN_PROVISIONER_INTERVAL", "0s"),
            ("HCLOUD_ENDPOINT", "ftp://hetzner"),
        ];
        for (name, value) in cases {
            let problems = read(&[(name, value)]).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{name}={value:?}: {problems:?}") };
            let sentence = problem.to_string();
            assert!(sentence.contains(name), "{sentence}");
            assert!(sentence.contains("it must be") && sentence.contains("for example"), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
            assert!(!sentence.contains("two words"), "a secret is repeated: {sentence}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = from_environment(&[("SECA_TOKEN_PROVISIONER_INTERVAL", "x")].into_iter().collect()).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
