//! The configuration: what the settings amount to, judged once and told all at once.
//!
//! Each command asks for the part that it needs, so that `migrate` runs without an admin token. A value that cannot
//! be used is one sentence with the variable, the rule and an example, and ends the process with exit code 2.

mod gateway;
mod listeners;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use ::settings::{Problem, parse_base_url, parse_duration, parse_log_filter};
use api_server::{Rates, SilentLimits, Tls, UnknownParameters};
use authentication::{AdminTokens, Issuers, KeyLocation, KeySet, StaticTokens};
use control_plane::{
    kinds,
    service::{EndpointPolicy, ReferencePolicy, Tenant, Tenants},
    watch::Patience,
};
use hetzner_adapter::{GatewaySettings, PROVIDER, Regions};
use http_support::is_loopback;
use seca_api::{
    TenantName,
    names::{SUBJECT_MAX, is_printable},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    address::Address,
    keys::Keys,
    settings::{Found, Setting, Settings},
};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) filter: String,
    pub(crate) json: bool,
}

/// Who may use the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthConfig {
    /// Everybody who reaches it, which only this machine can.
    Off,
    /// The bearers of the tokens in a file.
    Static(PathBuf),
    /// The bearers of tokens that these issuers signed.
    Jwt(Issuers),
}

/// What `serve` needs.
pub(crate) struct ServeConfig {
    pub(crate) listen: Address,
    pub(crate) admin_listen: Address,
    pub(crate) public_base_url: Option<Url>,
    pub(crate) database_url: SecretString,
    pub(crate) admin_token: Option<SecretString>,
    /// The named tokens of the admin API.
    pub(crate) admin_tokens: Option<PathBuf>,
    pub(crate) keys: Keys,
    pub(crate) auth: AuthConfig,
    /// The keys that are shown to everybody.
    pub(crate) jwks: Option<PathBuf>,
    pub(crate) tenants: Tenants,
    /// Whom to make an administrator, and of which tenant.
    pub(crate) bootstrap: Vec<(TenantName, String)>,
    pub(crate) activity_retention: Duration,
    /// Which regions are served, and of which locations.
    pub(crate) regions: Regions,
    pub(crate) default_region: String,
    pub(crate) endpoints: EndpointPolicy,
    pub(crate) request_timeout: Duration,
    pub(crate) catalog_refresh: Duration,
    /// Whether nothing reaches an instance for which no security group is named.
    pub(crate) ungrouped_closed: bool,
    /// How long a block storage keeps the server of a deleted instance; none: for ever.
    pub(crate) disk_hold: Option<Duration>,
    /// What stands behind internet gateways.
    pub(crate) gateway: GatewaySettings,
    pub(crate) lease_ttl: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) late_window: Duration,
    pub(crate) patience: Patience,
    pub(crate) rates: Rates,
    pub(crate) unknown_parameters: UnknownParameters,
    /// How many connections of one address may be silent.
    pub(crate) silent: SilentLimits,
    pub(crate) tls: Option<Tls>,
    pub(crate) admin_tls: Option<Tls>,
    /// Whether the process counts what it does, and shows it.
    pub(crate) metrics: bool,
    /// The token that opens the metrics and nothing else.
    pub(crate) metrics_token: Option<SecretString>,
    /// What an operator should know about these settings.
    pub(crate) notes: Vec<String>,
}

/// What `rotate-keys` needs.
pub(crate) struct RotateConfig {
    pub(crate) database_url: SecretString,
    pub(crate) keys: Keys,
}

/// How this process logs.
///
/// # Errors
/// All problems.
pub(crate) fn log(settings: &Settings) -> Result<LogConfig, Vec<Problem>> {
    let mut reader = Reader::new(settings);
    let filter = reader.value(Setting::LogLevel, |text| parse_log_filter(text).map(|_| text.to_owned()));
    let json = reader.value(Setting::LogFormat, |text| one_of(text, &[("text", false), ("json", true)]));
    reader.finish(LogConfig { filter: filter.unwrap_or_else(|| "info".to_owned()), json: json.unwrap_or(false) })
}

/// Which database.
///
/// # Errors
/// All problems.
pub(crate) fn database(settings: &Settings) -> Result<SecretString, Vec<Problem>> {
    let mut reader = Reader::new(settings);
    let url = reader.database_url();
    reader.finish_with(url)
}

/// Database and keys.
///
/// # Errors
/// All problems.
pub(crate) fn rotate(settings: &Settings) -> Result<RotateConfig, Vec<Problem>> {
    let mut reader = Reader::new(settings);
    let (database_url, keys) = (reader.database_url(), reader.keys());
    reader.finish_with(database_url.zip(keys).map(|(database_url, keys)| RotateConfig { database_url, keys }))
}

/// Where the provider is.
///
/// # Errors
/// All problems.
pub(crate) fn endpoints(settings: &Settings) -> Result<EndpointPolicy, Vec<Problem>> {
    let mut reader = Reader::new(settings);
    let endpoints = reader.endpoints();
    reader.finish_with(endpoints)
}

/// Bytes as the settings have them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// The issuers of a file, whose key files can be used, too: what is wrong with one is a setting that is wrong.
///
/// # Errors
/// What is wrong, in one sentence.
pub(crate) fn issuers(path: &Path) -> Result<Issuers, String> {
    let issuers = Issuers::load(path).map_err(|error| error.to_string())?;
    for issuer in issuers.iter() {
        if let KeyLocation::File(path) = &issuer.keys {
            KeySet::load(path).map_err(|error| format!("issuer {}: {error}", issuer.name))?;
        }
    }
    Ok(issuers)
}

/// Everything that the server needs.
///
/// # Errors
/// All problems.
pub(crate) fn serve(settings: &Settings) -> Result<ServeConfig, Vec<Problem>> {
    let mut reader = Reader::new(settings);
    let listen = reader.value(Setting::ListenAddr, Address::parse).unwrap_or(DEFAULT_LISTEN);
    let admin_listen = reader.value(Setting::AdminListenAddr, Address::parse).unwrap_or(DEFAULT_ADMIN_LISTEN);
    let database_url = reader.database_url();
    let (admin_token, admin_tokens) = reader.admins();
    let keys = reader.keys();
    let auth = reader.auth(listen);
    let endpoints = reader.endpoints();
    let request_timeout = reader.duration(Setting::RequestTimeout, 100, 600_000).unwrap_or(DEFAULT_REQUEST_TIMEOUT);
    let late_window = reader.late_window(request_timeout);
    let regions = reader.regions();
    reader.check_unused();
    let admin_tls = reader.admin_tls();
    if !admin_listen.is_loopback() && admin_tls.is_none() {
        reader.notes.push(format!(
            "SECA_ADMIN_LISTEN_ADDR={admin_listen} is not a loopback address: provider tokens cross that network in the clear unless something in between encrypts; SECA_ADMIN_TLS_CERT_FILE and SECA_ADMIN_TLS_KEY_FILE do"
        ));
    }
    let config = ServeConfig {
        listen,
        admin_listen,
        public_base_url: reader.value(Setting::PublicBaseUrl, parse_base_url),
        database_url: database_url.unwrap_or_default(),
        admin_token,
        admin_tokens,
        keys: keys.unwrap_or_default(),
        auth: auth.unwrap_or(AuthConfig::Off),
        jwks: reader.jwks_file(),
        tenants: reader.tenants(),
        bootstrap: reader.value(Setting::BootstrapAdmin, bootstrap).unwrap_or_default(),
        activity_retention: reader.duration(Setting::ActivityRetention, 3_600_000, u64::MAX).unwrap_or(NINETY_DAYS),
        default_region: reader.default_region(&regions),
        regions,
        endpoints: endpoints.unwrap_or_else(hetzner),
        request_timeout,
        catalog_refresh: reader.duration(Setting::AvailabilityCacheTtl, 0, u64::MAX).unwrap_or(Duration::from_secs(60)),
        ungrouped_closed: reader.ungrouped_closed(),
        disk_hold: reader.disk_hold(),
        gateway: reader.gateway(),
        lease_ttl: reader.duration(Setting::LeaseTtl, 300, 600_000).unwrap_or(Duration::from_secs(15)),
        stop_grace: reader.duration(Setting::StopGrace, 0, 3_600_000).unwrap_or(Duration::from_secs(90)),
        late_window,
        patience: reader.patience(),
        rates: reader.rates(),
        unknown_parameters: reader.unknown_parameters(),
        silent: reader.silent(),
        tls: reader.public_tls(),
        admin_tls,
        metrics: reader.value(Setting::Metrics, truth).unwrap_or(true),
        metrics_token: reader.header_secret(Setting::MetricsToken),
        notes: std::mem::take(&mut reader.notes),
    };
    reader.finish(config)
}

const DEFAULT_LISTEN: Address = loopback(8080);
const DEFAULT_ADMIN_LISTEN: Address = loopback(8081);
const NINETY_DAYS: Duration = Duration::from_secs(90 * 24 * 3600);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A port of this machine alone.
pub(crate) const fn loopback(port: u16) -> Address {
    Address::One(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port))
}

/// Reads settings and collects what is wrong with them and what is worth saying.
struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    const fn new(settings: &'a Settings) -> Self {
        Self { settings, problems: Vec::new(), notes: Vec::new() }
    }

    fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    /// For values that are missing only together with a problem.
    fn finish_with<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }

    /// A setting as `parse` reads it; none when it is not set, or wrong.
    fn value<T>(&mut self, setting: Setting, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.settings.get(setting)?;
        let text = found.text.expose_secret();
        let value = parse(text);
        if value.is_none() {
            self.problems.push(Problem::wrong(&found.source, setting.rule(), text));
        }
        value
    }

    fn required(&mut self, setting: Setting) -> Option<&'a Found> {
        let found = self.settings.get(setting);
        if found.is_none() {
            self.problems.push(Problem::missing(setting.rule()));
        }
        found
    }

    fn wrong_secret(&mut self, found: &Found, setting: Setting, what: impl std::fmt::Display) {
        self.problems.push(Problem::wrong_secret(&found.source, setting.rule(), what));
    }

    fn duration(&mut self, setting: Setting, least_ms: u64, most_ms: u64) -> Option<Duration> {
        let range = Duration::from_millis(least_ms)..=Duration::from_millis(most_ms);
        self.value(setting, |text| parse_duration(text).filter(|duration| range.contains(duration)))
    }

    fn flag(&mut self, setting: Setting) -> bool {
        self.value(setting, truth).unwrap_or(false)
    }

    fn database_url(&mut self) -> Option<SecretString> {
        let found = self.required(Setting::DatabaseUrl)?;
        let schemes = ["postgres://", "postgresql://", "sqlite:"];
        let known =
            schemes.iter().any(|s| found.text.expose_secret().strip_prefix(s).is_some_and(|rest| !rest.is_empty()));
        if !known {
            self.wrong_secret(found, Setting::DatabaseUrl, "it begins with neither postgres:// nor sqlite:");
        }
        known.then(|| found.text.clone())
    }

    /// The token of the admin API and the file of named ones: at least one that opens it, where no client certificate
    /// does.
    fn admins(&mut self) -> (Option<SecretString>, Option<PathBuf>) {
        let file = self.settings.get(Setting::AdminTokensFile);
        let file = file.map(|found| PathBuf::from(found.text.expose_secret()));
        let by_certificate = self.settings.get(Setting::AdminTlsClientCaFile).is_some();
        let Some(path) = &file else {
            if !by_certificate {
                self.required(Setting::AdminToken);
            }
            return (self.admin_token(), None);
        };
        let alone = self.settings.get(Setting::AdminToken).is_none() && !by_certificate;
        let what = match AdminTokens::count(path) {
            Err(error) => error.to_string(),
            Ok(0) if alone => {
                "it names nobody, and SECA_ADMIN_TOKEN is not set: nobody could use the admin API".to_owned()
            }
            Ok(_) => return (self.admin_token(), file),
        };
        let source = format!("SECA_ADMIN_TOKENS_FILE={}", path.display());
        self.problems.push(Problem::wrong_secret(&source, Setting::AdminTokensFile.rule(), what));
        (self.admin_token(), file)
    }

    fn admin_token(&mut self) -> Option<SecretString> {
        self.header_secret(Setting::AdminToken)
    }

    /// A secret that is sent in a header.
    fn header_secret(&mut self, setting: Setting) -> Option<SecretString> {
        let found = self.settings.get(setting)?;
        let token = found.text.expose_secret();
        let good = token.bytes().all(|b| b.is_ascii_graphic());
        if !good {
            self.wrong_secret(found, setting, "it holds spaces or other characters that no header carries");
        }
        good.then(|| found.text.clone())
    }

    fn keys(&mut self) -> Option<Keys> {
        let found = self.required(Setting::CredentialsKey)?;
        let mut keys = Keys::default();
        if let Err(error) = keys.add(&found.text) {
            self.wrong_secret(found, Setting::CredentialsKey, error);
            return None;
        }
        if let Some(old) = self.settings.get(Setting::CredentialsKeysOld) {
            for (at, text) in old.text.expose_secret().split(',').enumerate() {
                if let Err(error) = keys.add(&text.into()) {
                    self.wrong_secret(old, Setting::CredentialsKeysOld, format!("entry {}: {error}", at + 1));
                }
            }
        }
        Some(keys)
    }

    fn auth(&mut self, listen: Address) -> Option<AuthConfig> {
        let path = |setting| self.settings.get(setting).map(|f| f.text.expose_secret().to_owned());
        let (tokens, issuers) = (path(Setting::AuthTokensFile), path(Setting::AuthIssuersFile));
        let mode = match self.settings.get(Setting::AuthMode) {
            Some(found) => found.text.expose_secret().trim().to_owned(),
            None if tokens.is_some() && issuers.is_some() => {
                self.problems.push(Problem::new(
                    "SECA_AUTH_TOKENS_FILE and SECA_AUTH_ISSUERS_FILE are both set, and one way of authentication holds: set SECA_AUTH_MODE to static or jwt, for example SECA_AUTH_MODE=jwt",
                ));
                return None;
            }
            None if tokens.is_some() => "static".to_owned(),
            None if issuers.is_some() => "jwt".to_owned(),
            None => String::new(),
        };
        match mode.as_str() {
            "static" => self.tokens_file(tokens),
            "jwt" => self.issuers_file(issuers),
            "off" | "" if listen.is_loopback() => {
                self.notes.push(format!(
                    "the public listener on {listen} asks for no authentication: whoever can use this machine may do everything; SECA_AUTH_MODE=static with SECA_AUTH_TOKENS_FILE, or jwt with SECA_AUTH_ISSUERS_FILE, changes that"
                ));
                Some(AuthConfig::Off)
            }
            "off" => {
                self.problems.push(Problem::new(format!(
                    "SECA_AUTH_MODE is off while the public listener is on {listen}: off is allowed on a loopback address only; set {CHOICES}"
                )));
                None
            }
            "" => {
                self.problems.push(Problem::new(format!(
                    "SECA_AUTH_MODE is not set while the public listener is on {listen}: beyond loopback it must be chosen; set {CHOICES}"
                )));
                None
            }
            other => {
                self.problems.push(Problem::wrong("SECA_AUTH_MODE", Setting::AuthMode.rule(), other));
                None
            }
        }
    }

    fn tokens_file(&mut self, file: Option<String>) -> Option<AuthConfig> {
        let rule = Setting::AuthTokensFile.rule();
        let Some(file) = file else {
            self.problems.push(Problem::missing(rule));
            return None;
        };
        let path = PathBuf::from(file);
        match StaticTokens::load(&path) {
            Ok(tokens) => {
                if tokens.is_empty() {
                    let path = path.display();
                    self.notes
                        .push(format!("the token file {path} names no token: nobody can use the API until it does"));
                }
                Some(AuthConfig::Static(path))
            }
            Err(error) => {
                let source = format!("SECA_AUTH_TOKENS_FILE={}", path.display());
                self.problems.push(Problem::wrong_secret(&source, rule, error));
                None
            }
        }
    }

    fn issuers_file(&mut self, file: Option<String>) -> Option<AuthConfig> {
        let rule = Setting::AuthIssuersFile.rule();
        let Some(file) = file else {
            self.problems.push(Problem::missing(rule));
            return None;
        };
        let source = format!("SECA_AUTH_ISSUERS_FILE={file}");
        match issuers(Path::new(&file)) {
            Ok(issuers) => Some(AuthConfig::Jwt(issuers)),
            Err(what) => {
                self.problems.push(Problem::wrong_secret(&source, rule, what));
                None
            }
        }
    }

    fn jwks_file(&mut self) -> Option<PathBuf> {
        let path = PathBuf::from(self.settings.get(Setting::JwksFile)?.text.expose_secret());
        if let Err(error) = KeySet::load_published(&path) {
            let source = format!("SECA_JWKS_FILE={}", path.display());
            self.problems.push(Problem::wrong_secret(&source, Setting::JwksFile.rule(), error));
        }
        Some(path)
    }

    fn endpoints(&mut self) -> Option<EndpointPolicy> {
        let Some(url) = self.value(Setting::ProviderEndpoint, parse_base_url) else { return Some(hetzner()) };
        if url.scheme() == "http" && !is_loopback(&url) {
            self.notes.push(format!("HCLOUD_ENDPOINT={url} is http: provider tokens cross that network in the clear"));
        }
        Some(EndpointPolicy { provider: &PROVIDER, default: url, allowed: Vec::new() })
    }

    fn regions(&mut self) -> Regions {
        let Some(found) = self.settings.get(Setting::Regions) else { return Regions::default() };
        match Regions::parse(found.text.expose_secret()) {
            Ok(regions) => {
                for location in regions.unknown() {
                    self.notes.push(format!(
                        "{}: this release does not know the location {location}; it is served as soon as Hetzner Cloud is seen to have it",
                        found.source
                    ));
                }
                regions
            }
            Err(error) => {
                self.problems.push(Problem::wrong_secret(&found.source, Setting::Regions.rule(), error));
                Regions::default()
            }
        }
    }

    /// `fsn1` where that is a region, else the first one.
    fn default_region(&mut self, regions: &Regions) -> String {
        let default = Some("fsn1").filter(|name| regions.has_region(name)).or_else(|| regions.names().next());
        let region = |text: &str| Some(text.trim()).filter(|name| regions.has_region(name)).map(str::to_owned);
        let chosen = self.value(Setting::DefaultRegion, region);
        chosen.or_else(|| default.map(str::to_owned)).unwrap_or_default()
    }

    fn late_window(&mut self, request_timeout: Duration) -> Duration {
        let window = self.value(Setting::LateWindow, |text| parse_duration(text).filter(|w| *w >= request_timeout));
        window.unwrap_or(request_timeout + Duration::from_secs(60))
    }

    fn patience(&mut self) -> Patience {
        let patience = Patience::default();
        Patience { hold: self.duration(Setting::PatientGet, 0, 30_000).unwrap_or(patience.hold), ..patience }
    }

    fn disk_hold(&mut self) -> Option<Duration> {
        let hold = |text: &str| match text {
            "never" => Some(None),
            _ => parse_duration(text).map(Some),
        };
        self.value(Setting::DiskHold, hold).unwrap_or(Some(Duration::from_secs(900)))
    }

    fn ungrouped_closed(&mut self) -> bool {
        let choices = [("open", false), ("closed", true)];
        self.value(Setting::UngroupedTraffic, |text| one_of(text, &choices)).unwrap_or(false)
    }

    fn tenants(&mut self) -> Tenants {
        let policies = [("strict", ReferencePolicy::Strict), ("late", ReferencePolicy::Late)];
        let references = self.value(Setting::ReferencePolicy, |text| one_of(text, &policies)).unwrap_or_default();
        let default = Tenant { conformance: self.flag(Setting::ConformanceMode), references };
        let tenants = self.value(Setting::Tenants, |text| tenants(text, &default));
        tenants.unwrap_or_else(|| BTreeMap::from([("dev".to_owned(), default)]))
    }

    /// Settings that are accepted for the sake of those who have them set.
    fn check_unused(&mut self) {
        if self.value(Setting::PrimaryEndpoint, parse_base_url).is_some() {
            let source = self.settings.get(Setting::PrimaryEndpoint).map_or("", |f| f.source.as_str());
            self.notes.push(format!("{source} is not used: everything is asked of HCLOUD_ENDPOINT"));
        }
    }
}

const CHOICES: &str = "SECA_AUTH_MODE=jwt and SECA_AUTH_ISSUERS_FILE, or SECA_AUTH_MODE=static and SECA_AUTH_TOKENS_FILE, or keep the listener to this machine, for example SECA_LISTEN_ADDR=127.0.0.1:8080";

/// Hetzner's own endpoint.
fn hetzner() -> EndpointPolicy {
    #[expect(clippy::expect_used, reason = "a constant, which a test reads")]
    let url = parse_base_url(Setting::ProviderEndpoint.spec().default).expect("the default endpoint is a URL");
    EndpointPolicy { provider: &PROVIDER, default: url, allowed: Vec::new() }
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(word, _)| *word == text.trim()).map(|(_, choice)| *choice)
}

/// `tenant/subject`, comma-separated, each once; a subject may hold slashes itself.
fn bootstrap(text: &str) -> Option<Vec<(TenantName, String)>> {
    let mut admins = Vec::new();
    for item in text.split(',') {
        let (tenant, subject) = item.trim().split_once('/')?;
        // Everybody, or nobody in particular, is no administrator.
        let is_subject = is_printable(subject, SUBJECT_MAX) && subject != "*";
        let admin = (TenantName::parse(tenant).ok()?, subject.to_owned());
        if !is_subject || admins.contains(&admin) {
            return None;
        }
        admins.push(admin);
    }
    Some(admins)
}

/// `name[:strict|late][:conformance]`, comma-separated; the suffixes in any order, each once.
fn tenants(text: &str, default: &Tenant) -> Option<Tenants> {
    let mut tenants = Tenants::new();
    for item in text.split(',') {
        let mut words = item.trim().split(':');
        let name = seca_api::TenantName::parse(words.next()?).ok()?.into_string();
        if kinds::is_catalog_tenant(&name) {
            return None;
        }
        let mut tenant = default.clone();
        let (mut policy, mut conformance) = (0, 0);
        for word in words {
            match word {
                "strict" => (tenant.references, policy) = (ReferencePolicy::Strict, policy + 1),
                "late" => (tenant.references, policy) = (ReferencePolicy::Late, policy + 1),
                "conformance" => (tenant.conformance, conformance) = (true, conformance + 1),
                _ => return None,
            }
        }
        if policy > 1 || conformance > 1 || tenants.insert(name, tenant).is_some() {
            return None;
        }
    }
    Some(tenants)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
