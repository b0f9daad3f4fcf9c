use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use ::settings::Environment;

use super::*;
use crate::settings::Flag;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// What `serve` cannot do without.
const REQUIRED: &[(&str, &str)] =
    &[("SECA_DATABASE_URL", "sqlite:test.db"), ("SECA_ADMIN_TOKEN", "admin-token"), ("SECA_CREDENTIALS_KEY", KEY)];

fn read(flags: Vec<Flag>, more: &[(&str, &str)], config: Option<&Path>) -> Result<ServeConfig, Vec<String>> {
    let environment: Environment = REQUIRED.iter().chain(more).copied().collect();
    let settings = Settings::read(flags, &environment, config);
    settings.and_then(|settings| log(&settings).and_then(|_| serve(&settings))).map_err(sentences)
}

fn sentences(problems: Vec<Problem>) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

pub(super) fn environment(more: &[(&str, &str)]) -> Result<ServeConfig, Vec<String>> {
    read(Vec::new(), more, None)
}

#[track_caller]
/// One sentence that names what is wrong; the sentence.
pub(super) fn check_refused(more: &[(&str, &str)], name: &str) -> String {
    let problems = environment(more).err().unwrap_or_default();
    let [sentence] = problems.as_slice() else { panic!("{more:?}: {problems:?}") };
    assert!(sentence.contains(name), "{sentence}");
    assert!(sentence.contains("must be") || sentence.contains("set "), "no rule: {sentence}");
    assert!(sentence.contains("for example"), "no example: {sentence}");
    assert!(!sentence.contains('\n'), "more than a sentence: {sentence}");
    sentence.clone()
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = environment(&[]).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.endpoints.default.as_str(), "https://api.hetzner.cloud/v1");
    assert_eq!(config.auth, AuthConfig::Off);
    assert_eq!(config.tenants, Tenants::from([("dev".to_owned(), Tenant::default())]));
    assert_eq!(config.default_region, "fsn1");
    assert_eq!(config.public_base_url, None);
    let durations = [
        config.request_timeout,
        config.catalog_refresh,
        config.lease_ttl,
        config.stop_grace,
        config.late_window,
        config.patience.hold,
        config.activity_retention,
    ];
    assert_eq!(durations.map(|d| d.as_secs()), [30, 60, 15, 90, 90, 8, 90 * 86_400]);
    assert!(config.bootstrap.is_empty());
    assert_eq!(config.notes.len(), 1, "that there is no authentication: {:?}", config.notes);
}

#[test]
fn the_rule_for_regions_names_all_that_this_release_knows_of() {
    let problems = environment(&[("SECA_DEFAULT_REGION", "nowhere")]).err().unwrap_or_default().concat();
    let regions: Vec<_> = hetzner_adapter::catalog::fallback().into_iter().map(|entry| entry.region).collect();
    assert!(regions.len() > 5, "{regions:?}");
    for region in regions {
        assert!(problems.contains(&region), "{region} is not in: {problems}");
        assert!(environment(&[("SECA_DEFAULT_REGION", &region)]).is_ok(), "{region}");
    }
}

#[test]
fn regions_are_a_choice_whose_mistakes_are_told() {
    let chosen = |regions: &str, default: &str| {
        let mut settings = vec![("SECA_REGIONS", regions)];
        settings.extend(Some(("SECA_DEFAULT_REGION", default)).filter(|_| !default.is_empty()));
        environment(&settings)
    };
    for (regions, asked, default) in [
        ("eu-central=fsn1,nbg1,hel1;ash", "", "eu-central"),
        ("eu-central=nbg1,hel1;fsn1", "", "fsn1"),
        ("eu-central=fsn1,nbg1,hel1;ash", "ash", "ash"),
    ] {
        let config = chosen(regions, asked).unwrap_or_else(|problems| panic!("{regions}: {problems:?}"));
        assert_eq!(config.default_region, default, "{regions}");
        assert!(config.regions.has(default, if default == "eu-central" { "hel1" } else { default }));
    }
    for (regions, asked, parts) in [
        ("eu=fsn1;de=fsn1", "", ["SECA_REGIONS", "`fsn1` is in the region `eu` and again in `de`"]),
        ("eu=fsn1,ash", "", ["SECA_REGIONS", "network zone"]),
        ("eu=", "", ["SECA_REGIONS", "for example eu-central=fsn1,nbg1,hel1;ash"]),
        ("eu=fsn1", "nbg1", ["SECA_DEFAULT_REGION", "SECA_REGIONS"]),
    ] {
        let problems = chosen(regions, asked).err().unwrap_or_default();
        for part in parts {
            assert!(matches!(&*problems, [only] if only.contains(part)), "{regions}: {part}: {problems:?}");
        }
    }
    let config = chosen("eu=fsn1,new1", "").unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(config.notes.iter().any(|note| note.contains("new1")), "{:?}", config.notes);
    assert!(environment(&[]).is_ok_and(|config| config.regions.is_default()));
}

#[test]
fn a_disk_is_held_for_a_while_for_ever_or_not_at_all() {
    let of = |more: &[(&str, &str)]| {
        environment(more).unwrap_or_else(|p| panic!("{p:?}")).disk_hold.map(|hold| hold.as_secs())
    };
    assert_eq!(of(&[]), Some(900));
    for (text, seconds) in [("0s", Some(0)), ("1h30m", Some(5_400)), ("never", None)] {
        assert_eq!(of(&[("SECA_DISK_HOLD", text)]), seconds, "{text}");
    }
}

#[test]
fn gateways_have_nat_servers_only_where_the_operator_says_so() {
    let of = |more: &[(&str, &str)]| environment(more).unwrap_or_else(|p| panic!("{p:?}")).gateway;
    let default = of(&[]);
    assert!(!default.nat.enabled && default.nat.ssh_from.is_empty() && default.linger.as_secs() == 600);
    let chosen = of(&[
        ("SECA_INTERNET_GATEWAY_NAT_VM", "true"),
        ("SECA_GATEWAY_SERVER_TYPES", "cax11, cx23"),
        ("SECA_GATEWAY_LINGER", "0s"),
        ("SECA_GATEWAY_SSH_FROM", "192.0.2.7,198.51.100.0/24"),
    ]);
    assert!(chosen.nat.enabled && chosen.linger.is_zero());
    assert_eq!(chosen.nat.server_types, ["cax11", "cx23"]);
    assert_eq!(
        chosen.nat.ssh_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.7/32", "198.51.100.0/24"]
    );
}

#[test]
fn ungrouped_traffic_is_open_or_closed_and_from_the_file_too() {
    let of = |more: &[(&str, &str)]| environment(more).unwrap_or_else(|p| panic!("{p:?}")).ungrouped_closed;
    assert!(!of(&[]), "open by default");
    assert!(!of(&[("SECA_UNGROUPED_TRAFFIC", "open")]));
    assert!(of(&[("SECA_UNGROUPED_TRAFFIC", "closed")]));
    for bad in ["true", "deny", "Closed"] {
        let sentence = check_refused(&[("SECA_UNGROUPED_TRAFFIC", bad)], "SECA_UNGROUPED_TRAFFIC");
        assert!(sentence.contains("open or closed"), "{sentence}");
    }
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("proxy.toml");
    fs::write(&toml, "ungrouped_traffic = \"closed\"\n").unwrap();
    assert!(read(Vec::new(), &[], Some(&toml)).unwrap_or_else(|p| panic!("{p:?}")).ungrouped_closed);
    let environment_wins = read(Vec::new(), &[("SECA_UNGROUPED_TRAFFIC", "open")], Some(&toml));
    assert!(!environment_wins.unwrap_or_else(|p| panic!("{p:?}")).ungrouped_closed);
}

#[test]
fn what_is_required_is_asked_for_all_at_once() {
    let problems = sentences(serve(&Settings::default()).err().unwrap_or_default());
    let names: Vec<_> =
        problems.iter().filter_map(|p| p.split_once(" is not set: it must be ").map(|(n, _)| n)).collect();
    assert_eq!(names, ["SECA_DATABASE_URL", "SECA_ADMIN_TOKEN", "SECA_CREDENTIALS_KEY"], "{problems:?}");
    assert!(problems.iter().all(|p| p.contains("for example")), "{problems:?}");
}

#[test]
fn a_wrong_setting_is_one_sentence_with_the_variable_the_rule_and_an_example() {
    let cases = [
        ("SECA_LISTEN_ADDR", "8080"),
        ("SECA_LISTEN_ADDR", "example.org:8080"),
        ("SECA_ADMIN_LISTEN_ADDR", ":port"),
        ("SECA_PUBLIC_BASE_URL", "seca.example.org"),
        ("SECA_DATABASE_URL", "mysql://localhost/secapi"),
        ("SECA_DATABASE_URL", "postgres://"),
        ("SECA_ADMIN_TOKEN", "with some spaces"),
        ("SECA_CREDENTIALS_KEY", "not base64!"),
        ("SECA_CREDENTIALS_KEY", "c2hvcnQ="),
        ("SECA_CREDENTIALS_KEYS_OLD", "c2hvcnQ="),
        ("SECA_CREDENTIALS_KEYS_OLD", KEY),
        ("SECA_AUTH_MODE", "basic"),
        ("SECA_AUTH_TOKENS_FILE", "/nowhere/tokens.json"),
        ("SECA_AUTH_TOKENS_FILE", "/tmp"),
        ("SECA_AUTH_ISSUERS_FILE", "/nowhere/issuers.json"),
        ("SECA_JWKS_FILE", "/nowhere/jwks.json"),
        ("SECA_TENANTS", "dev,"),
        ("SECA_TENANTS", "dev,dev"),
        ("SECA_TENANTS", "no name"),
        ("SECA_TENANTS", "dev:lax"),
        ("SECA_TENANTS", "dev:strict:late"),
        ("SECA_TENANTS", "dev,seca"),
        ("SECA_ADMIN_TOKENS_FILE", "/nowhere/admins.json"),
        ("SECA_BOOTSTRAP_ADMIN", "dev"),
        ("SECA_BOOTSTRAP_ADMIN", "dev/"),
        ("SECA_BOOTSTRAP_ADMIN", "/ada"),
        ("SECA_BOOTSTRAP_ADMIN", "dev/*"),
        ("SECA_BOOTSTRAP_ADMIN", "dev/ada,"),
        ("SECA_BOOTSTRAP_ADMIN", "dev/ada,dev/ada"),
        ("SECA_BOOTSTRAP_ADMIN", "no name/ada"),
        ("SECA_ACTIVITY_RETENTION", "59m"),
        ("SECA_ACTIVITY_RETENTION", "90 days"),
        ("SECA_REFERENCE_POLICY", "lax"),
        ("SECA_CONFORMANCE_MODE", "maybe"),
        ("SECA_DEFAULT_REGION", "Falkenstein 1"),
        ("SECA_DEFAULT_REGION", "nowhere"),
        ("HCLOUD_ENDPOINT", "api.hetzner.cloud"),
        ("HETZNER_CLOUD_API_URL", "ftp://api.hetzner.cloud"),
        ("HCLOUD_HETZNER_ENDPOINT", "nonsense"),
        ("HETZNER_PRIMARY_API_URL", "nonsense"),
        ("SECA_REQUEST_TIMEOUT", "0s"),
        ("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "soon"),
        ("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "-1s"),
        ("SECA_INTERNET_GATEWAY_NAT_VM", "si"),
        ("SECA_UNGROUPED_TRAFFIC", "true"),
        ("SECA_DISK_HOLD", "a while"),
        ("SECA_GATEWAY_SERVER_TYPES", "cx23,,cax11"),
        ("SECA_GATEWAY_SSH_FROM", "10.0.0.1/24"),
        ("SECA_GATEWAY_LINGER", "25h"),
        ("SECA_LEASE_TTL", "1ms"),
        ("SECA_LEASE_TTL", "fifteen"),
        ("SECA_STOP_GRACE", "2h"),
        ("SECA_LATE_WINDOW", "10s"),
        ("SECA_PATIENT_GET", "31s"),
        ("SECA_PATIENT_GET", "-1s"),
        ("SECA_PATIENT_GET", "patiently"),
        ("SECA_LOG_LEVEL", "info=what=ever"),
        ("SECA_LOG_LEVEL", "warning"),
        ("SECA_LOG_LEVEL", "info,hyper"),
        ("SECA_LOG_FORMAT", "xml"),
        ("SECA_CONFIG", "/nowhere/secapi-proxy.toml"),
        ("SECA_TENANTS_FILE", "/nowhere/tenants"),
    ];
    for (name, value) in cases {
        check_refused(&[(name, value)], name);
    }
}

#[test]
fn no_sentence_repeats_a_secret() {
    let secret = "v3ry sécret";
    for name in ["SECA_DATABASE_URL", "SECA_ADMIN_TOKEN", "SECA_CREDENTIALS_KEY", "SECA_CREDENTIALS_KEYS_OLD"] {
        let problems = environment(&[(name, secret)]).err().unwrap_or_default();
        assert!(!problems.is_empty() && problems.iter().all(|p| !p.contains(secret)), "{problems:?}");
    }
}

#[test]
fn two_names_of_one_setting_may_not_differ() {
    let pair = |a, b| [("HCLOUD_ENDPOINT", a), ("HETZNER_CLOUD_API_URL", b)];
    check_refused(&pair("https://a/v1", "https://b/v1"), "HCLOUD_ENDPOINT and HETZNER_CLOUD_API_URL");
    let config = environment(&pair("https://a/v1", "https://a/v1")).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.endpoints.default.as_str(), "https://a/v1");
    let alias =
        environment(&[("HETZNER_CLOUD_API_URL", "https://b/v1/")]).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(alias.endpoints.default.as_str(), "https://b/v1");
    check_refused(
        &[("HCLOUD_HETZNER_ENDPOINT", "https://a"), ("HETZNER_PRIMARY_API_URL", "https://b")],
        "HETZNER_PRIMARY_API_URL",
    );
}

#[test]
fn beyond_loopback_authentication_must_be_chosen() {
    for address in [":8080", "0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
        check_refused(&[("SECA_LISTEN_ADDR", address)], "SECA_AUTH_MODE");
        check_refused(&[("SECA_LISTEN_ADDR", address), ("SECA_AUTH_MODE", "off")], "SECA_AUTH_MODE");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    fs::write(&path, r#"{"tokens":[]}"#).unwrap();
    let file = path.to_str().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    check_refused(&[("SECA_AUTH_TOKENS_FILE", file)], "SECA_AUTH_TOKENS_FILE");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for mode in [&[][..], &[("SECA_AUTH_MODE", "static")]] {
        let settings = [&[("SECA_LISTEN_ADDR", ":8080"), ("SECA_AUTH_TOKENS_FILE", file)], mode].concat();
        let config = environment(&settings).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(config.auth, AuthConfig::Static(path.clone()));
        assert!(config.notes.iter().any(|note| note.contains("names no token")), "{:?}", config.notes);
    }
    for broken in ["", "{}", r#"{"tokens":["a-token"]}"#, r#"{"tokens":[{"sha256":"a-token","subject":"x"}]}"#] {
        fs::write(&path, broken).unwrap();
        let problems = check_refused(&[("SECA_AUTH_TOKENS_FILE", file)], "SECA_AUTH_TOKENS_FILE");
        assert!(!problems.contains("a-token"), "what may be a token is not repeated: {problems}");
    }
    check_refused(&[("SECA_AUTH_MODE", "static")], "SECA_AUTH_TOKENS_FILE");
}

const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[test]
fn issuers_come_from_a_file_with_all_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let issuers = path("issuers.json");
    let jwt = [("SECA_LISTEN_ADDR", ":8080"), ("SECA_AUTH_ISSUERS_FILE", issuers.as_str())];
    let check = |text: &str| {
        write("issuers.json", text);
        check_refused(&jwt, "SECA_AUTH_ISSUERS_FILE");
    };
    let entry = |keys: &str| {
        format!(r#"{{"issuers":[{{"name":"a","issuer":"i","audience":"seca","algorithms":["EdDSA"],{keys}}}]}}"#)
    };
    check("");
    check(r#"{"issuers":[]}"#);
    check(&entry(r#""jwks_url":"http://id.example.org/jwks""#));
    check(&entry(r#""keys_file":"missing""#));
    write("keys.json", r#"{"keys":[]}"#);
    check(&entry(r#""keys_file":"keys.json""#));

    write("keys.json", JWKS);
    write("issuers.json", &entry(r#""keys_file":"keys.json""#));
    for mode in [&[][..], &[("SECA_AUTH_MODE", "jwt")]] {
        let config = environment(&[&jwt, mode].concat()).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(config.auth, AuthConfig::Jwt(super::issuers(Path::new(&issuers)).unwrap()));
    }
    check_refused(&[("SECA_AUTH_MODE", "jwt")], "SECA_AUTH_ISSUERS_FILE");
    // Two ways are none: it must be said which one.
    let both = [jwt[1], ("SECA_AUTH_TOKENS_FILE", "/nowhere/tokens.json")];
    check_refused(&both, "SECA_AUTH_MODE");
}

#[test]
fn published_keys_are_public_and_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let setting = [("SECA_JWKS_FILE", path.to_str().unwrap())];
    for broken in
        ["", r#"{"keys":[]}"#, &JWKS.replace(r#""kid":"a","#, ""), &JWKS.replace(r#""kid""#, r#""d":"x","kid""#)]
    {
        fs::write(&path, broken).unwrap();
        check_refused(&setting, "SECA_JWKS_FILE");
    }
    fs::write(&path, JWKS).unwrap();
    let config = environment(&setting).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.jwks, Some(path.clone()));
    assert_eq!(environment(&[]).map(|config| config.jwks).ok(), Some(None));
}

#[test]
fn a_flag_beats_a_variable_beats_its_file_beats_the_configuration_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("proxy.toml");
    fs::write(&toml, "default_region = \"sin\"\nstop_grace = 5\nconformance_mode = true\nlease_ttl_file = \"ttl\"\n")
        .unwrap();
    fs::write(folder.path().join("ttl"), "2s\n").unwrap();
    let named = folder.path().join("region");
    fs::write(&named, "hel1\n").unwrap();
    let named = named.to_str().unwrap();
    let region = |flags: Vec<Flag>, more: &[(&str, &str)]| {
        let config = read(flags, more, Some(&toml)).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!((config.stop_grace.as_secs(), config.lease_ttl.as_secs()), (5, 2));
        assert!(config.tenants["dev"].conformance);
        config.default_region
    };
    let flag = || vec![(Setting::DefaultRegion, "--region", Some("ash".to_owned()))];
    let (file, variable) = (("SECA_DEFAULT_REGION_FILE", named), ("SECA_DEFAULT_REGION", "nbg1"));
    assert_eq!(region(Vec::new(), &[]), "sin");
    assert_eq!(region(Vec::new(), &[file]), "hel1");
    assert_eq!(region(Vec::new(), &[file, variable]), "nbg1");
    assert_eq!(region(flag(), &[file, variable]), "ash");
    assert_eq!(environment(&[]).map(|c| c.default_region).ok().as_deref(), Some("fsn1"));
}

#[test]
fn the_configuration_file_takes_known_names_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let cases = [
        ("listen = \":1\"", "listen in"),
        ("admin_token = \"admin-token\"", "admin_token in"),
        ("credentials_key_file = \"missing\"", "credentials_key_file in"),
        ("tenants = [\"dev\"]", "tenants in"),
        ("listen_addr = ", "cannot be read"),
        ("admin_token = admin-token", "line 1, column"),
    ];
    for (text, name) in cases {
        fs::write(&path, text).unwrap();
        let problems = read(Vec::new(), &[], Some(&path)).err().unwrap_or_default();
        let [sentence] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert!(sentence.contains(name) && sentence.contains("for example"), "{sentence}");
        assert!(!sentence.contains("admin-token"), "what may be a secret is not repeated: {sentence}");
    }
}

#[test]
fn tenants_carry_their_policy_and_inherit_the_rest() {
    let check = |text: &str, more: &[(&str, &str)], want: &[(&str, ReferencePolicy, bool)]| {
        let settings = [&[("SECA_TENANTS", text)], more].concat();
        let config = environment(&settings).unwrap_or_else(|problems| panic!("{problems:?}"));
        let want = want.iter().map(|(name, references, conformance)| {
            ((*name).to_owned(), Tenant { conformance: *conformance, references: *references })
        });
        assert_eq!(config.tenants, want.collect(), "{text}");
    };
    use ReferencePolicy::{Late, Strict};
    check("a", &[], &[("a", Strict, false)]);
    check(
        "a, b:late:conformance ,c:conformance:strict",
        &[],
        &[("a", Strict, false), ("b", Late, true), ("c", Strict, true)],
    );
    check(
        "a,b:strict",
        &[("SECA_REFERENCE_POLICY", "late"), ("SECA_CONFORMANCE_MODE", "yes")],
        &[("a", Late, true), ("b", Strict, true)],
    );
}

#[test]
fn what_is_accepted_and_not_used_is_said() {
    let notes = |more: &[(&str, &str)]| environment(more).map(|c| c.notes.join("\n")).unwrap_or_default();
    assert!(
        notes(&[("HCLOUD_HETZNER_ENDPOINT", "https://api.hetzner.com/v1")])
            .contains("HCLOUD_HETZNER_ENDPOINT is not used")
    );
    assert!(
        notes(&[("HETZNER_PRIMARY_API_URL", "https://api.hetzner.com/v1")])
            .contains("HETZNER_PRIMARY_API_URL is not used")
    );
    assert!(notes(&[("SECA_ADMIN_LISTEN_ADDR", ":8081")]).contains("in the clear"));
    assert!(notes(&[("HCLOUD_ENDPOINT", "http://192.0.2.1/v1")]).contains("in the clear"));
    assert!(!notes(&[("HCLOUD_ENDPOINT", "http://127.0.0.1:8082/v1")]).contains("in the clear"));
}

#[test]
fn the_admin_api_has_at_least_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admins.json");
    let hash = "a".repeat(64);
    let (one, none) = (format!(r#"{{"tokens":[{{"name":"ada","sha256":"{hash}"}}]}}"#), r#"{"tokens":[]}"#);
    let check = |text: &str, mode: u32, alone: bool| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = ("SECA_ADMIN_TOKENS_FILE", path.to_str().unwrap());
        // An empty variable is one that is not set.
        let more = [file, ("SECA_ADMIN_TOKEN", if alone { "" } else { "admin-token" })];
        let config = environment(&more).map_err(|problems| problems.concat());
        config.map(|config| (config.admin_token.is_some(), config.admin_tokens.is_some()))
    };
    assert_eq!(check(&one, 0o600, true), Ok((false, true)));
    assert_eq!(check(&one, 0o600, false), Ok((true, true)));
    assert_eq!(check(none, 0o600, false), Ok((true, true)));
    for (text, mode, part) in [(none, 0o600, "names nobody"), (&one, 0o644, "chmod 600"), ("{}", 0o600, "must be like")]
    {
        let sentence = check(text, mode, true).unwrap_err();
        assert!(sentence.contains(part) && sentence.contains("SECA_ADMIN_TOKENS_FILE"), "{sentence}");
    }
}

#[test]
fn an_administrator_is_a_tenant_and_a_subject_that_may_hold_slashes() {
    let config = environment(&[("SECA_BOOTSTRAP_ADMIN", "a/ada, a/https://id.example.org/1 ,b/ada")]);
    let found = config.map(|config| config.bootstrap).unwrap_or_default();
    let found: Vec<_> = found.iter().map(|(tenant, subject)| (tenant.as_str(), subject.as_str())).collect();
    assert_eq!(found, [("a", "ada"), ("a", "https://id.example.org/1"), ("b", "ada")]);
}

#[test]
fn keys_are_listed_the_current_one_first() {
    let config =
        environment(&[("SECA_CREDENTIALS_KEYS_OLD", OTHER_KEY)]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let alone = environment(&[("SECA_CREDENTIALS_KEY", OTHER_KEY)]).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.keys.ids().len(), 2);
    assert_eq!(config.keys.ids()[1], alone.keys.ids()[0]);
}

#[test]
fn the_late_window_follows_the_request_timeout() {
    let config = environment(&[("SECA_REQUEST_TIMEOUT", "5s")]).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.late_window.as_secs(), 65);
}

#[test]
fn patience_is_a_duration_up_to_half_a_minute_and_nothing_else_about_it_is_a_setting() {
    for (text, millis) in [("0s", 0), ("0", 0), ("800ms", 800), ("12", 12_000), ("30s", 30_000)] {
        let config = environment(&[("SECA_PATIENT_GET", text)]).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(config.patience, Patience { hold: Duration::from_millis(millis), ..Patience::default() }, "{text}");
    }
}

#[test]
fn every_setting_has_a_distinct_name_and_key() {
    let mut names: Vec<_> = Setting::ALL.iter().flat_map(|s| s.spec().names).collect();
    let mut keys: Vec<_> = Setting::ALL.iter().map(|s| s.spec().key).collect();
    let counts = (names.len(), keys.len());
    names.sort_unstable();
    names.dedup();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((names.len(), keys.len()), counts);
    assert!(parse_base_url(Setting::ProviderEndpoint.spec().default).is_some());
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = include_str!("../../../README.md");
    for name in Setting::ALL.iter().flat_map(|setting| setting.spec().names) {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
    }
}
