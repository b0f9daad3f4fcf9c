//! Settings as text: where each comes from, before anything is made of it.
//!
//! A flag beats a variable, a variable its `_FILE` form, that one the configuration file, and the file the default.
//! [`crate::config`] judges the values; here it is only decided which text counts, and where it was found.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ::settings::{Environment, Problem, Rule, read_secret};
use figment::{
    Figment,
    providers::{Format as _, Toml},
    value::Value,
};
use secrecy::{ExposeSecret, SecretString};

/// A setting of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    ListenAddr,
    AdminListenAddr,
    PublicBaseUrl,
    DatabaseUrl,
    AdminToken,
    AdminTokensFile,
    CredentialsKey,
    CredentialsKeysOld,
    AuthMode,
    AuthTokensFile,
    AuthIssuersFile,
    JwksFile,
    Tenants,
    BootstrapAdmin,
    ReferencePolicy,
    ConformanceMode,
    Regions,
    DefaultRegion,
    ProviderEndpoint,
    PrimaryEndpoint,
    RequestTimeout,
    AvailabilityCacheTtl,
    InternetGatewayNatVm,
    GatewayServerTypes,
    GatewayLinger,
    GatewaySshFrom,
    GatewayHealthFrom,
    PrivateFirstBoot,
    UngroupedTraffic,
    DiskHold,
    LeaseTtl,
    StopGrace,
    LateWindow,
    PatientGet,
    WriteRate,
    WriteBurst,
    ReadRate,
    ReadBurst,
    UnknownParameters,
    SilentConnections,
    TrustedProxies,
    TlsCertFile,
    TlsKeyFile,
    AdminTlsCertFile,
    AdminTlsKeyFile,
    AdminTlsClientCaFile,
    ActivityRetention,
    Metrics,
    MetricsToken,
    LogLevel,
    LogFormat,
}

/// What there is to know about a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// Its variables: the first is its name, the others mean the same.
    pub(crate) names: &'static [&'static str],
    /// Its name in the configuration file.
    pub(crate) key: &'static str,
    /// Whether its value is kept out of messages and of the configuration file.
    pub(crate) secret: bool,
    /// What its value must be; completes "it must be".
    pub(crate) rule: &'static str,
    /// A value that would do.
    pub(crate) example: &'static str,
    /// What holds when it is not set, in words.
    pub(crate) default: &'static str,
}

/// Declares the table: one line of facts per setting, and the list of all.
macro_rules! settings {
    ($($setting:ident { $names:expr, $key:literal, $secret:literal, $default:literal, $rule:literal, $example:literal })*) => {
        impl Setting {
            /// All settings, as the help lists them.
            pub(crate) const ALL: &[Self] = &[$(Self::$setting),*];

            /// What there is to know about it.
            pub(crate) const fn spec(self) -> Spec {
                match self {
                    $(Self::$setting => Spec {
                        names: &$names, key: $key, secret: $secret, rule: $rule, example: $example, default: $default,
                    },)*
                }
            }
        }
    };
}

settings! {
    ListenAddr { ["SECA_LISTEN_ADDR"], "listen_addr", false, "127.0.0.1:8080",
        "ADDRESS:PORT, or :PORT for all interfaces; port 0 takes a free one", "127.0.0.1:8080" }
    AdminListenAddr { ["SECA_ADMIN_LISTEN_ADDR"], "admin_listen_addr", false, "127.0.0.1:8081",
        "ADDRESS:PORT, or :PORT for all interfaces; port 0 takes a free one", "127.0.0.1:8081" }
    PublicBaseUrl { ["SECA_PUBLIC_BASE_URL"], "public_base_url", false, "scheme and Host of the request",
        "the http or https URL under which clients reach the public listener", "https://seca.example.org" }
    DatabaseUrl { ["SECA_DATABASE_URL"], "database_url", true, "none: required",
        "a postgres:// URL, or sqlite: and the path of a file", "postgres://user:password@localhost:5432/secapi_proxy or sqlite:secapi.db" }
    AdminToken { ["SECA_ADMIN_TOKEN"], "admin_token", true, "none: required without SECA_ADMIN_TOKENS_FILE and SECA_ADMIN_TLS_CLIENT_CA_FILE",
        "visible characters without spaces, the bearer token of the admin API, here or in the file that SECA_ADMIN_TOKEN_FILE names",
        "the output of `openssl rand -hex 32`" }
    AdminTokensFile { ["SECA_ADMIN_TOKENS_FILE"], "admin_tokens_file", false, "none",
        "the path of the file of operators and the hashes of their tokens (docs/administration.md), which only its owner may read (mode 0600)", "/etc/secapi-proxy/admins.json" }
    CredentialsKey { ["SECA_CREDENTIALS_KEY"], "credentials_key", true, "none: required",
        "32 random bytes in base64, which seal the provider tokens, here or in the file that SECA_CREDENTIALS_KEY_FILE names",
        "the output of `openssl rand -base64 32`" }
    CredentialsKeysOld { ["SECA_CREDENTIALS_KEYS_OLD"], "credentials_keys_old", true, "none",
        "a comma-separated list of former values of SECA_CREDENTIALS_KEY, each once and without the current one", "<former key>,<the one before>" }
    AuthMode { ["SECA_AUTH_MODE"], "auth_mode", false, "by the file that is set, static or jwt; without one off on a loopback listener, else required",
        "jwt (signed tokens of the issuers in the file that SECA_AUTH_ISSUERS_FILE names), static (bearer tokens in the file that SECA_AUTH_TOKENS_FILE names) or off (on a loopback listener only)", "static" }
    AuthTokensFile { ["SECA_AUTH_TOKENS_FILE"], "auth_tokens_file", false, "none",
        "the path of the file of bearer tokens, which only its owner may read (mode 0600)", "/etc/secapi-proxy/tokens.json" }
    AuthIssuersFile { ["SECA_AUTH_ISSUERS_FILE"], "auth_issuers_file", false, "none",
        "the path of the JSON file of the issuers whose tokens are believed (docs/authentication.md)", "/etc/secapi-proxy/issuers.json" }
    JwksFile { ["SECA_JWKS_FILE"], "jwks_file", false, "none: nothing is published",
        "the path of a JWK set of public keys, shown to everybody at /.well-known/jwks.json", "/etc/secapi-proxy/jwks.json" }
    Tenants { ["SECA_TENANTS"], "tenants", false, "dev",
        "a comma-separated list of NAME[:strict|late][:conformance], each name once, and neither seca nor public", "dev,prod:strict,test:late:conformance" }
    BootstrapAdmin { ["SECA_BOOTSTRAP_ADMIN"], "bootstrap_admin", false, "nobody",
        "a comma-separated list of TENANT/SUBJECT, each once: who is made an administrator of a tenant, once", "prod/alice@example.org" }
    ReferencePolicy { ["SECA_REFERENCE_POLICY"], "reference_policy", false, "strict",
        "strict or late: what holds for a tenant that says nothing of it", "strict" }
    ConformanceMode { ["SECA_CONFORMANCE_MODE"], "conformance_mode", false, "false",
        "true or false (also 1, yes, on, 0, no, off): what holds for a tenant that says nothing of it", "false" }
    Regions { ["SECA_REGIONS"], "regions", false, "each location is a region of the same name",
        "a semicolon-separated list of all regions, each NAME=LOCATION[,LOCATION…] or a location alone, each location once and the locations of a region of one network zone (docs/regions.md)",
        "eu-central=fsn1,nbg1,hel1;ash" }
    DefaultRegion { ["SECA_DEFAULT_REGION"], "default_region", false, "fsn1, or the first of SECA_REGIONS",
        "one of the regions of SECA_REGIONS, or without that one of ash, fsn1, hel1, hil, nbg1 and sin", "fsn1" }
    ProviderEndpoint { ["HCLOUD_ENDPOINT", "HETZNER_CLOUD_API_URL"], "hcloud_endpoint", false, "https://api.hetzner.cloud/v1",
        "the http or https base URL of the Hetzner Cloud API, version included", "https://api.hetzner.cloud/v1" }
    PrimaryEndpoint { ["HCLOUD_HETZNER_ENDPOINT", "HETZNER_PRIMARY_API_URL"], "hcloud_hetzner_endpoint", false, "not used",
        "an http or https URL, or unset, since nothing uses it", "https://api.hetzner.com/v1" }
    RequestTimeout { ["SECA_REQUEST_TIMEOUT"], "request_timeout", false, "30s",
        "a duration from 100ms to 10m: how long one call of the provider may take", "30s" }
    AvailabilityCacheTtl { ["SECA_HETZNER_AVAILABILITY_CACHE_TTL"], "hetzner_availability_cache_ttl", false, "60s",
        "a duration: how often the catalogue is read from the provider; 0s: at every resync", "60s" }
    InternetGatewayNatVm { ["SECA_INTERNET_GATEWAY_NAT_VM"], "internet_gateway_nat_vm", false, "false",
        "true or false (also 1, yes, on, 0, no, off): whether NAT servers are made for internet gateways", "true" }
    GatewayServerTypes { ["SECA_GATEWAY_SERVER_TYPES"], "gateway_server_types", false, "cx23,cax11,cpx12,cpx11,cpx22",
        "a comma-separated list of server types for NAT servers, the first choice first", "cx23,cax11" }
    GatewayLinger { ["SECA_GATEWAY_LINGER"], "gateway_linger", false, "10m",
        "a duration up to 24h: how long NAT servers outlive the last route to them", "10m" }
    GatewaySshFrom { ["SECA_GATEWAY_SSH_FROM"], "gateway_ssh_from", false, "nobody",
        "a comma-separated list of IPv4 blocks that may reach port 22 of NAT servers; no key is installed on them", "192.0.2.0/24" }
    GatewayHealthFrom { ["SECA_GATEWAY_HEALTH_FROM"], "gateway_health_from", false, "nobody",
        "a comma-separated list of IPv4 blocks that may probe port 9 of NAT servers, which refuses connections while they live", "192.0.2.0/24" }
    PrivateFirstBoot { ["SECA_PRIVATE_FIRST_BOOT"], "private_first_boot", false, "private",
        "private or public-ipv6: whether instances without a public IP have private interfaces alone, or a closed public IPv6 interface as well, by which they reach the metadata service", "public-ipv6" }
    UngroupedTraffic { ["SECA_UNGROUPED_TRAFFIC"], "ungrouped_traffic", false, "open",
        "open or closed: whether everything or nothing reaches an instance with a public address for which no security group is named", "closed" }
    DiskHold { ["SECA_DISK_HOLD"], "disk_hold", false, "15m",
        "a duration, or never: how long a block storage keeps the server of a deleted instance before its disk becomes a snapshot", "15m" }
    LeaseTtl { ["SECA_LEASE_TTL"], "lease_ttl", false, "15s",
        "a duration from 300ms to 10m: how soon another process takes over after a crash", "15s" }
    StopGrace { ["SECA_STOP_GRACE"], "stop_grace", false, "90s",
        "a duration up to 1h: how long a guest may take to shut down before its power is cut", "90s" }
    LateWindow { ["SECA_LATE_WINDOW"], "late_window", false, "SECA_REQUEST_TIMEOUT and 60s",
        "a duration not shorter than SECA_REQUEST_TIMEOUT: how long a call whose answer was lost may still take effect", "90s" }
    PatientGet { ["SECA_PATIENT_GET"], "patient_get", false, "8s",
        "a duration up to 30s: how long a GET of a resource in transition is held for a client that polls; 0s: not at all", "8s" }
    WriteRate { ["SECA_WRITE_RATE"], "write_rate", false, "100",
        "a whole number of PUT, DELETE and POST a second that one subject may send (a tenant: ten times as many), up to 1000000; 0 or off: no limit", "100" }
    WriteBurst { ["SECA_WRITE_BURST"], "write_burst", false, "1000",
        "a whole number from 1 to 1000000: how many of them may come at once after a pause", "1000" }
    ReadRate { ["SECA_READ_RATE"], "read_rate", false, "1000",
        "a whole number of GETs a second that one subject may send before they are delayed (a tenant: ten times as many), up to 1000000; 0 or off: no limit", "1000" }
    ReadBurst { ["SECA_READ_BURST"], "read_burst", false, "5000",
        "a whole number from 1 to 1000000: how many of them may come at once after a pause", "5000" }
    UnknownParameters { ["SECA_UNKNOWN_PARAMETERS"], "unknown_parameters", false, "refuse",
        "refuse or ignore: what becomes of a request with a query parameter that its operation does not know", "ignore" }
    SilentConnections { ["SECA_SILENT_CONNECTIONS"], "silent_connections", false, "256",
        "a whole number from 1 to 1000000: how many connections of one address may not have sent a byte yet; 0 or off: no limit", "256" }
    TrustedProxies { ["SECA_TRUSTED_PROXIES"], "trusted_proxies", false, "none",
        "a comma-separated list of addresses and networks of proxies, for which SECA_SILENT_CONNECTIONS does not hold", "10.0.0.7,192.0.2.0/24" }
    TlsCertFile { ["SECA_TLS_CERT_FILE"], "tls_cert_file", false, "none: no TLS",
        "the path of the public listener's certificate chain in PEM, beside that of its key; both are read again when they change", "/etc/secapi-proxy/tls.crt" }
    TlsKeyFile { ["SECA_TLS_KEY_FILE"], "tls_key_file", false, "none: no TLS",
        "the path of the certificate's private key in PEM, which only its owner may read (mode 0600)", "/etc/secapi-proxy/tls.key" }
    AdminTlsCertFile { ["SECA_ADMIN_TLS_CERT_FILE"], "admin_tls_cert_file", false, "none: no TLS",
        "the path of the admin listener's certificate chain in PEM, beside that of its key; both are read again when they change", "/etc/secapi-proxy/admin.crt" }
    AdminTlsKeyFile { ["SECA_ADMIN_TLS_KEY_FILE"], "admin_tls_key_file", false, "none: no TLS",
        "the path of the certificate's private key in PEM, which only its owner may read (mode 0600)", "/etc/secapi-proxy/admin.key" }
    AdminTlsClientCaFile { ["SECA_ADMIN_TLS_CLIENT_CA_FILE"], "admin_tls_client_ca_file", false, "none: admin tokens alone count",
        "the path of the authorities in PEM whose client certificates count as an admin token does", "/etc/secapi-proxy/operators-ca.crt" }
    ActivityRetention { ["SECA_ACTIVITY_RETENTION"], "activity_retention", false, "2160h (90 days)",
        "a duration of at least 1h: how long it is kept who did what", "2160h" }
    Metrics { ["SECA_METRICS"], "metrics", false, "on",
        "on or off: whether the process counts what it does and shows it under /metrics of the admin listener (docs/metrics.md)", "off" }
    MetricsToken { ["SECA_METRICS_TOKEN"], "metrics_token", true, "none: /metrics is opened as the rest of the admin listener is",
        "text without spaces, which opens /metrics and nothing else", "the output of `openssl rand -hex 32`" }
    LogLevel { ["SECA_LOG_LEVEL"], "log_level", false, "info",
        "error, warn, info, debug or trace, also per module", "info,hcloud_client=debug" }
    LogFormat { ["SECA_LOG_FORMAT"], "log_format", false, "text",
        "text or json", "text" }
}

impl Setting {
    /// The variable that users know it by.
    pub(crate) const fn name(self) -> &'static str {
        self.spec().names[0]
    }

    /// Name, rule and example, for messages.
    pub(crate) const fn rule(self) -> Rule {
        let spec = self.spec();
        Rule { name: spec.names[0], rule: spec.rule, example: spec.example }
    }
}

/// A value, and where it was found: `SECA_LISTEN_ADDR`, `--listen`, `listen_addr in proxy.toml`.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) source: String,
    pub(crate) text: SecretString,
}

/// A flag's setting, its name and its value, where it was given.
pub(crate) type Flag = (Setting, &'static str, Option<String>);

/// The settings that are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<Setting, Found>);

impl Settings {
    /// Reads every source. `config` is the configuration file; `SECA_CONFIG` names it where the flag does not.
    ///
    /// # Errors
    /// All problems: unreadable files, unknown names, two names of one setting with different values.
    pub(crate) fn read(
        flags: Vec<Flag>,
        environment: &Environment,
        config: Option<&Path>,
    ) -> Result<Self, Vec<Problem>> {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        let config = config.map(Path::to_path_buf).or_else(|| environment.get("SECA_CONFIG").map(PathBuf::from));
        if let Some(path) = config {
            settings.read_file(&path, &mut problems);
        }
        for setting in Setting::ALL {
            match from_environment(*setting, environment) {
                Ok(Some(found)) => drop(settings.0.insert(*setting, found)),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        for (setting, flag, value) in flags {
            if let Some(value) = value {
                settings.0.insert(setting, Found { source: flag.to_owned(), text: value.into() });
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// The settings that are given, and nothing else; for `dev`, which reads no shell.
    pub(crate) fn of(values: impl IntoIterator<Item = (Setting, String)>) -> Self {
        let found = |setting: Setting, text: String| Found { source: setting.name().to_owned(), text: text.into() };
        Self(values.into_iter().map(|(setting, text)| (setting, found(setting, text))).collect())
    }

    /// A setting, where it is set.
    pub(crate) fn get(&self, setting: Setting) -> Option<&Found> {
        self.0.get(&setting)
    }

    fn read_file(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        let shown = path.display();
        if !path.is_file() {
            problems.push(Problem::new(format!(
                "the configuration file {shown} does not exist: what --config or SECA_CONFIG names must be a TOML file, for example secapi-proxy.toml"
            )));
            return;
        }
        let entries: BTreeMap<String, Value> = match Figment::from(Toml::file_exact(path)).extract() {
            Ok(entries) => entries,
            Err(error) => {
                // The first line says where; what follows repeats the line of the file, which may hold a secret.
                let error = error.to_string();
                let place = error.lines().next().unwrap_or_default();
                problems.push(Problem::new(format!(
                    "the configuration file {shown} cannot be read ({place}): it must be TOML with texts in quotes, for example listen_addr = \"127.0.0.1:8080\""
                )));
                return;
            }
        };
        for (key, value) in entries {
            match entry(path, &key, &value) {
                Ok((setting, found)) => drop(self.0.insert(setting, found)),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

/// A setting's variables: each may also come from the file that `<name>_FILE` names.
fn from_environment(setting: Setting, environment: &Environment) -> Result<Option<Found>, Problem> {
    let mut first: Option<Found> = None;
    for name in setting.spec().names {
        let Some(text) = environment.secret(name)? else { continue };
        match &first {
            Some(other) if other.text.expose_secret() != text.expose_secret() => {
                return Err(Problem::new(format!(
                    "{} and {name} are two names of one setting and differ: set one of them, or both alike, for example {}={}",
                    other.source,
                    setting.name(),
                    setting.spec().example
                )));
            }
            Some(_) => {}
            None => first = Some(Found { source: (*name).to_owned(), text }),
        }
    }
    Ok(first)
}

/// One entry of the configuration file: `name = value`, or `name_file = "path"`, beside the file if relative.
fn entry(path: &Path, key: &str, value: &Value) -> Result<(Setting, Found), Problem> {
    let shown = path.display();
    let source = format!("{key} in {shown}");
    let text = match value {
        Value::String(_, text) => text.clone(),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .unwrap_or_default(),
        _ => {
            return Err(Problem::new(format!(
                "{source} is a table or a list: it must be text, a number or a truth value, for example {key} = \"…\""
            )));
        }
    };
    if let Some(setting) = Setting::ALL.iter().find(|s| s.spec().key == key) {
        // A database URL may be a mere path, so it may stand here.
        if setting.spec().secret && *setting != Setting::DatabaseUrl {
            return Err(Problem::new(format!(
                "{source} is a secret, and the configuration file is no place for one: name a file that only its owner may read, for example {key}_file = \"/run/secrets/{key}\""
            )));
        }
        return Ok((*setting, Found { source, text: text.into() }));
    }
    let in_file = key.strip_suffix("_file").and_then(|key| Setting::ALL.iter().find(|s| s.spec().key == key));
    let Some(setting) = in_file else {
        return Err(Problem::new(format!(
            "{source} is no setting: it must be the name of a variable without SECA_ and in lower case, for example listen_addr or log_level"
        )));
    };
    let named = path.parent().map_or_else(|| PathBuf::from(&text), |folder| folder.join(&text));
    match read_secret(&named) {
        Ok(text) => Ok((*setting, Found { source, text })),
        Err(error) => Err(Problem::new(format!(
            "{source} names {named:?}, which cannot be read ({error}): it must be the path of a readable file, for example /run/secrets/{}",
            setting.spec().key
        ))),
    }
}
