//! The provisioner's settings.

use std::{collections::BTreeSet, path::Path, time::Duration};

use ::settings::{Environment, Problem, Rule, parse_base_url, parse_duration};
use seca_client::AdminClient;
use secrecy::SecretString;
use url::Url;

use crate::tokens::{Pool, Tokens};

/// What the provisioner binds, and with what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Hetzner Cloud tokens, read-write: of the project that all workspaces share, or of several.
    pub tokens: Tokens,
    /// Only workspaces of these tenants; none for all that the admin API lists.
    pub tenants: Option<BTreeSet<String>>,
    /// How often it asks for unbound workspaces.
    pub interval: Duration,
    /// The provider endpoint that bindings insist on; none for the proxy's own.
    pub endpoint: Option<Url>,
    /// The operator's note of which project it is, where a pool has none of its own.
    pub project_ref: Option<String>,
}

/// Where the admin API is.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Its base URL.
    pub base_url: Url,
    /// Its token.
    pub token: SecretString,
    /// The authorities, in PEM, that its certificate must be signed by; none for Mozilla's.
    pub authorities: Option<Vec<u8>>,
}

impl AdminSettings {
    /// A client for it.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub fn client(self) -> Result<AdminClient, seca_client::Error> {
        let url = self.base_url.as_str();
        match &self.authorities {
            Some(pem) => AdminClient::with_client(seca_client::client_trusting(url, pem)?, url, self.token),
            None => AdminClient::new(url, self.token),
        }
    }
}

const TOKEN: Rule = Rule {
    name: "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN",
    rule: "a read-write Hetzner Cloud API token of one line without spaces, here or in the file that SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE names, or a pool of them in SECA_TOKEN_PROVISIONER_TOKENS_FILE",
    example: "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE=/run/secrets/hetzner-token",
};
const POOL: Rule = Rule {
    name: "SECA_TOKEN_PROVISIONER_TOKENS_FILE",
    rule: "the path of a JSON file {\"tokens\": [{\"tenant\": …, \"workspace\": …, \"token_file\": …}]}, whose token files only their owner may read (mode 0600)",
    example: "/etc/secapi-proxy/hetzner-tokens.json",
};
const AUTHORITIES: Rule = Rule {
    name: "SECA_CA_FILE",
    rule: "the path of the certificates, in PEM, of the authorities that the admin listener's certificate must be signed by, or unset for Mozilla's",
    example: "/etc/secapi-proxy/ca.crt",
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

/// The variables that the provisioner reads; of secrets also those with `_FILE`.
pub const VARIABLES: [&str; 11] = [
    TOKEN.name,
    POOL.name,
    AUTHORITIES.name,
    ADMIN_TOKEN.name,
    ADMIN_URL.name,
    PUBLIC_URL.name,
    TENANTS.name,
    INTERVAL.name,
    ENDPOINT.name,
    "HCLOUD_PROJECT_REF",
    "SECA_LOG_LEVEL",
];

/// Where the admin API is, for whoever speaks to it.
///
/// # Errors
/// All problems, one sentence each.
pub fn admin_settings(environment: &Environment) -> Result<AdminSettings, Vec<Problem>> {
    let mut problems = Vec::new();
    let token = keep(secret(environment, ADMIN_TOKEN), &mut problems);
    let base_url = keep(optional(environment, ADMIN_URL, parse_base_url), &mut problems).flatten();
    let authorities = keep(authorities(environment), &mut problems).flatten();
    let base_url = base_url.or_else(|| parse_base_url(ADMIN_URL.example));
    match (token, base_url) {
        (Some(token), Some(base_url)) if problems.is_empty() => Ok(AdminSettings { base_url, token, authorities }),
        _ => Err(problems),
    }
}

/// Reads all settings from the environment.
///
/// # Errors
/// All problems, one sentence each.
pub fn from_environment(environment: &Environment) -> Result<(Settings, AdminSettings, Vec<String>), Vec<Problem>> {
    let mut problems = Vec::new();
    let tokens = keep(tokens(environment), &mut problems);
    let admin = admin_settings(environment).map_err(|mut more| problems.append(&mut more)).ok();
    let public = keep(optional(environment, PUBLIC_URL, parse_base_url), &mut problems);
    let tenants = keep(optional(environment, TENANTS, parse_tenants), &mut problems);
    let interval = keep(optional(environment, INTERVAL, parse_interval), &mut problems);
    let endpoint = keep(optional(environment, ENDPOINT, parse_base_url), &mut problems);
    let (Some(tokens), Some(admin), true) = (tokens, admin, problems.is_empty()) else {
        return Err(problems);
    };

    let mut notes = Vec::new();
    if public.flatten().is_some() {
        notes.push("SECA_PUBLIC_BASE_URL is not used: unbound workspaces are listed by the admin API".to_owned());
    }
    let settings = Settings {
        tokens,
        tenants: tenants.flatten(),
        interval: interval.flatten().unwrap_or(Duration::from_secs(1)),
        endpoint: endpoint.flatten(),
        project_ref: environment.get("HCLOUD_PROJECT_REF").map(str::to_owned),
    };
    Ok((settings, admin, notes))
}

fn keep<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// One token for all, or a pool.
fn tokens(environment: &Environment) -> Result<Tokens, Problem> {
    let one = [TOKEN.name.to_owned(), format!("{}_FILE", TOKEN.name)]
        .into_iter()
        .find(|name| environment.get(name).is_some());
    match (environment.get(POOL.name), one) {
        (Some(_), Some(one)) => Err(Problem::new(format!(
            "{one} and {} are both set: it must be one token for all workspaces or a pool of them, for example {}={} alone",
            POOL.name, POOL.name, POOL.example
        ))),
        (Some(path), None) => {
            let pool = Pool::load(Path::new(path));
            let source = || format!("{}={path}", POOL.name);
            pool.map(Tokens::Pool).map_err(|error| Problem::wrong_secret(&source(), POOL, error))
        }
        (None, _) => secret(environment, TOKEN).map(Tokens::One),
    }
}

fn authorities(environment: &Environment) -> Result<Option<Vec<u8>>, Problem> {
    let Some(path) = environment.get(AUTHORITIES.name) else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| {
        Problem::wrong_secret(&format!("{}={path}", AUTHORITIES.name), AUTHORITIES, error)
    };
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    match seca_client::client_trusting(ADMIN_URL.example, &pem) {
        Ok(_) => Ok(Some(pem)),
        Err(error) => {
            Err(wrong(&std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)))
        }
    }
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
        assert!(matches!(settings.tokens, Tokens::One(token) if token.expose_secret() == "h"));
        assert_eq!(admin.token.expose_secret(), "a");
        assert_eq!(admin.base_url.as_str(), "http://127.0.0.1:8081/");
        assert_eq!((settings.interval, settings.tenants, settings.endpoint), (Duration::from_secs(1), None, None));
        assert!(notes.is_empty());
    }

    /// A pool of one token, in a folder.
    fn pool(mode: u32) -> (tempfile::TempDir, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, token) = (folder.path().join("pool.json"), folder.path().join("token"));
        std::fs::write(&token, "h").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, r#"{"tokens": [{"tenant": "acme", "token_file": "token"}]}"#).unwrap();
        (folder, path.display().to_string())
    }

    #[test]
    fn a_pool_takes_the_place_of_the_one_token_and_both_are_refused() {
        let read = |more: &[(&str, &str)]| {
            from_environment(&[("SECA_ADMIN_TOKEN", "a")].into_iter().chain(more.iter().copied()).collect())
        };
        let (_folder, path) = pool(0o600);
        let (settings, ..) = read(&[(POOL.name, &path)]).unwrap();
        assert!(matches!(settings.tokens, Tokens::Pool(_)));
        let refused = |more: &[(&str, &str)], part: &str| {
            let problems = read(more).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            let sentence = problem.to_string();
            assert!(sentence.contains(part) && sentence.contains("must be"), "{sentence}");
            assert!(sentence.contains("for example") && !sentence.contains('\n'), "{sentence}");
        };
        for one in [TOKEN.name, "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE"] {
            refused(&[(POOL.name, &path), (one, "h")], "are both set");
        }
        refused(&[(POOL.name, "/nowhere")], "/nowhere cannot be used");
        let (_folder, path) = pool(0o644);
        refused(&[(POOL.name, &path)], "chmod 600");
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
            ("SECA_CA_FILE", "/nowhere"),
            ("SECA_CA_FILE", "/dev/null"),
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
