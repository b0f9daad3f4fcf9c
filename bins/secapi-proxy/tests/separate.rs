//! The parts as processes of their own: simulator, PostgreSQL, proxies, provisioner; and what they say when a
//! setting is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::process::Command;

use common::{
    PATIENCE, binary, http, life,
    process::Process,
    proxy::{ADMIN_TOKEN, BEARER, KEY, OTHER_KEY, Proxy, REGION, Setup, TENANT},
    sim::Sim,
    until,
};
use persistence::testing::postgres_url;
use seca_client::{
    Error, SecaClient,
    admin::{BindingRequest, BindingState},
    seca_api::{InstanceSpec, NicSpec, PowerState, Reference, WorkspaceSpec},
};
use serde_json::json;
use tokio::task::JoinSet;

const SPEED: f64 = 0.01;
const UNUSED: &str = "http://127.0.0.1:9/v1";

async fn unbound_workspace(seca: &SecaClient, name: &str) {
    seca.workspaces().put(name, WorkspaceSpec::default()).await.unwrap();
}

fn problem(error: &Error) -> (u16, String) {
    (error.status().unwrap_or_default(), error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parts_apart_make_an_instance_and_unmake_it() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let url = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let mut proxy = Setup::new(folder.path(), &sim.endpoint()).with("SECA_DATABASE_URL", &url).serve().await;
    let mut provisioner = Command::new(binary("token-provisioner"));
    provisioner.env_clear().envs([
        ("SECA_ADMIN_TOKEN", ADMIN_TOKEN),
        ("SECA_ADMIN_BASE_URL", &proxy.admin),
        ("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", &sim.token),
        ("SECA_TOKEN_PROVISIONER_INTERVAL", "100ms"),
    ]);
    let mut provisioner = Process::start("token-provisioner", folder.path(), &mut provisioner);

    let seca = proxy.client().await;
    unbound_workspace(&seca, life::WORKSPACE).await;
    seca.workspaces().wait_active(life::WORKSPACE, life::wait()).await.unwrap();
    let admin = proxy.admin();
    let bound = admin.get_binding(TENANT, life::WORKSPACE, Some(REGION)).await.unwrap().unwrap();
    assert!(bound.has_token && bound.provider == "hetzner", "{bound:?}");
    assert_eq!(admin.list_workspaces(Some(BindingState::None)).await.unwrap(), []);
    let all = admin.list_workspaces(None).await.unwrap();
    assert_eq!(
        all.iter().map(|w| (w.name.as_str(), w.binding)).collect::<Vec<_>>(),
        [(life::WORKSPACE, BindingState::Bound)]
    );

    life::create(&seca).await.unwrap();
    life::power(&seca, PowerState::On).await.unwrap();
    life::power(&seca, PowerState::Off).await.unwrap();
    life::delete(&seca).await.unwrap();
    sim.assert_only_the_marker().await;
    provisioner.signal("TERM");
    assert_eq!(provisioner.wait(PATIENCE).await, Some(0));
    assert_eq!(proxy.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_replica_that_works_is_killed_the_other_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let url = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let setup = Setup::new(folder.path(), &sim.endpoint())
        .with("SECA_DATABASE_URL", &url)
        .with("SECA_REQUEST_TIMEOUT", "4s")
        .with("SECA_LATE_WINDOW", "5s");
    let mut first = setup.clone().named("first").serve().await;
    let mut second = setup.clone().named("second").serve().await;

    // The server that is made is held, so that whoever works on it is killed in the middle of that.
    let fault = sim.spoil("POST", "/servers", 1, "hold_after_commit").await;
    let seca = second.client().await;
    life::workspace(&seca, &second.admin(), &sim.token).await.unwrap();
    seca.block_storages(life::WORKSPACE).put(life::DISK, life::disk()).await.unwrap();
    seca.instances(life::WORKSPACE).put(life::INSTANCE, life::instance(life::DISK)).await.unwrap();
    until("the server is asked for", PATIENCE, async || sim.fault(fault).await.1.then_some(())).await;
    // The project is leased by one, which said so.
    let leased = |proxy: &Proxy| {
        proxy.process.output().lines().any(|line| line.contains("project leased") && !line.contains("=local"))
    };
    let first_works = leased(&first);
    assert_ne!(first_works, leased(&second), "one of them leased the project");
    if first_works {
        first.process.kill()
    } else {
        second.process.kill()
    }
    sim.control("POST", &format!("/faults/{fault}/release"), None).await;
    println!("the {} replica worked and was killed", if first_works { "first" } else { "second" });
    let survivor = if first_works { &mut second } else { &mut first };
    let seca = survivor.client().await;
    life::create(&seca).await.unwrap();
    assert_eq!(sim.inventory().await["servers"], json!(1));
    let asked =
        sim.journal().await.iter().filter(|e| e.committed && e.method == "POST" && e.shape == "/servers").count();
    assert_eq!(asked, 1, "one server was made");
    life::delete(&seca).await.unwrap();
    sim.assert_only_the_marker().await;
    assert_eq!(survivor.stop().await, Some(0));
}

/// Each is judged by all roles and assignments, so that one sends the others back: nobody may see that.
#[tokio::test(flavor = "multi_thread")]
async fn many_roles_and_assignments_are_written_at_once_through_two_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_DATABASE_URL", &url);
    let (mut first, mut second) =
        (setup.clone().named("first").serve().await, setup.clone().named("second").serve().await);
    let mut puts = JoinSet::new();
    for number in 0..60 {
        let proxy = if number % 2 == 0 { &first } else { &second };
        let permission = json!({"provider": "seca.compute", "resources": ["instances"], "verb": ["get"]});
        let (collection, spec) = match number % 4 < 2 {
            true => ("roles", json!({"permissions": [permission]})),
            false => ("role-assignments", json!({"subs": ["ada"], "scopes": [{}], "roles": ["seca.workspace-viewer"]})),
        };
        let path = format!("/providers/seca.authorization/v1/tenants/{TENANT}/{collection}/many-{number}");
        let request = http().put(format!("{}{path}", proxy.public)).bearer_auth(BEARER).json(&json!({"spec": spec}));
        puts.spawn(request.send());
    }
    while let Some(answer) = puts.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }
    assert_eq!((first.stop().await, second.stop().await), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_given_back_at_a_stop_so_that_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let url = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let setup =
        Setup::new(folder.path(), &sim.endpoint()).with("SECA_DATABASE_URL", &url).with("SECA_LEASE_TTL", "10m");
    let mut first = setup.clone().named("first").serve().await;
    life::workspace(&first.client().await, &first.admin(), &sim.token).await.unwrap();
    let mut second = setup.named("second").serve().await;
    assert_eq!(first.stop().await, Some(0));
    let seca = second.client().await;
    life::create(&seca).await.unwrap();
    life::delete(&seca).await.unwrap();
    assert_eq!(second.stop().await, Some(0));
}

/// A setting, its value (none: not set), and what the sentence must hold beside the variable and an example.
type Wrong<'a> = (&'a [(&'a str, Option<&'a str>)], &'a str, &'a [&'a str]);

#[test]
fn a_missing_or_wrong_setting_ends_it_with_2_and_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let good = Setup::new(folder.path(), UNUSED);
    let long = "x".repeat(40);
    let table: &[Wrong<'_>] = &[
        (&[("SECA_ADMIN_TOKEN", None)], "SECA_ADMIN_TOKEN", &["not set", "must be"]),
        (&[("SECA_ADMIN_TOKEN", Some("two words of secret"))], "SECA_ADMIN_TOKEN", &["must be", "spaces"]),
        (&[("SECA_CREDENTIALS_KEY", None)], "SECA_CREDENTIALS_KEY", &["not set", "32", "base64"]),
        (&[("SECA_CREDENTIALS_KEY", Some("not base64 at all!"))], "SECA_CREDENTIALS_KEY", &["base64"]),
        (&[("SECA_CREDENTIALS_KEY", Some("c2hvcnQ="))], "SECA_CREDENTIALS_KEY", &["32"]),
        (&[("SECA_CREDENTIALS_KEY", Some(&long))], "SECA_CREDENTIALS_KEY", &["32"]),
        (&[("SECA_CREDENTIALS_KEYS_OLD", Some("c2hvcnQ="))], "SECA_CREDENTIALS_KEYS_OLD", &["must be"]),
        (&[("SECA_DATABASE_URL", None)], "SECA_DATABASE_URL", &["not set", "postgres://", "sqlite:"]),
        (&[("SECA_DATABASE_URL", Some("mysql://secret@host/db"))], "SECA_DATABASE_URL", &["postgres://", "sqlite:"]),
        (&[("SECA_LEASE_TTL", Some("soon"))], "SECA_LEASE_TTL", &["duration", "soon"]),
        (&[("SECA_LEASE_TTL", Some("1ms"))], "SECA_LEASE_TTL", &["300ms"]),
        (&[("SECA_REQUEST_TIMEOUT", Some("0"))], "SECA_REQUEST_TIMEOUT", &["duration"]),
        (&[("SECA_LATE_WINDOW", Some("1s"))], "SECA_LATE_WINDOW", &["SECA_REQUEST_TIMEOUT"]),
        (&[("SECA_STOP_GRACE", Some("-5s"))], "SECA_STOP_GRACE", &["duration"]),
        (&[("SECA_UNGROUPED_TRAFFIC", Some("deny"))], "SECA_UNGROUPED_TRAFFIC", &["open or closed", "deny"]),
        (
            &[("SECA_HETZNER_AVAILABILITY_CACHE_TTL", Some("60 parsecs"))],
            "SECA_HETZNER_AVAILABILITY_CACHE_TTL",
            &["duration"],
        ),
        (&[("HCLOUD_ENDPOINT", Some("api.hetzner.cloud/v1"))], "HCLOUD_ENDPOINT", &["http"]),
        (&[("HCLOUD_ENDPOINT", Some("ftp://127.0.0.1/v1"))], "HCLOUD_ENDPOINT", &["http"]),
        (&[("HCLOUD_HETZNER_ENDPOINT", Some("nonsense"))], "HCLOUD_HETZNER_ENDPOINT", &["http", "unset"]),
        (&[("HETZNER_PRIMARY_API_URL", Some("nonsense"))], "HETZNER_PRIMARY_API_URL", &["http"]),
        (
            &[("HETZNER_CLOUD_API_URL", Some("http://127.0.0.1:10/v1"))],
            "HETZNER_CLOUD_API_URL",
            &["HCLOUD_ENDPOINT", "differ"],
        ),
        (&[("SECA_PUBLIC_BASE_URL", Some("seca.example.org"))], "SECA_PUBLIC_BASE_URL", &["http"]),
        (&[("SECA_LISTEN_ADDR", Some("8080"))], "SECA_LISTEN_ADDR", &["PORT"]),
        (&[("SECA_ADMIN_LISTEN_ADDR", Some("localhost"))], "SECA_ADMIN_LISTEN_ADDR", &["PORT"]),
        (
            &[("SECA_LISTEN_ADDR", Some("0.0.0.0:0")), ("SECA_AUTH_MODE", None), ("SECA_AUTH_TOKENS_FILE", None)],
            "SECA_AUTH_MODE",
            &["not set", "0.0.0.0:0", "SECA_AUTH_TOKENS_FILE", "SECA_AUTH_ISSUERS_FILE"],
        ),
        (
            &[("SECA_LISTEN_ADDR", Some("0.0.0.0:0")), ("SECA_AUTH_MODE", Some("off"))],
            "SECA_AUTH_MODE",
            &["off", "loopback"],
        ),
        (&[("SECA_LISTEN_ADDR", Some(":0")), ("SECA_AUTH_MODE", Some("off"))], "SECA_AUTH_MODE", &["off", "loopback"]),
        (&[("SECA_AUTH_MODE", Some("guess"))], "SECA_AUTH_MODE", &["static", "off"]),
        (
            &[("SECA_AUTH_TOKENS_FILE", Some("/nowhere/tokens.json"))],
            "SECA_AUTH_TOKENS_FILE",
            &["/nowhere/tokens.json"],
        ),
        (&[("SECA_AUTH_TOKENS_FILE", None)], "SECA_AUTH_TOKENS_FILE", &["not set", "0600"]),
        (&[("SECA_TENANTS", Some("dev:sometimes"))], "SECA_TENANTS", &["must be"]),
        (&[("SECA_DEFAULT_REGION", Some("Falkenstein 1"))], "SECA_DEFAULT_REGION", &["region"]),
        (&[("SECA_LOG_FORMAT", Some("xml"))], "SECA_LOG_FORMAT", &["text", "json"]),
    ];
    for (settings, variable, wanted) in table {
        let setup = settings.iter().fold(good.clone(), |setup, (name, value)| match value {
            Some(value) => setup.with(name, value),
            None => setup.without(name),
        });
        let (code, output) = setup.run(&["serve"]);
        assert_eq!(code, Some(2), "{settings:?}: {output}");
        let lines: Vec<_> = output.lines().collect();
        let [sentence] = lines.as_slice() else { panic!("{settings:?}: not one sentence:\n{output}") };
        for part in [*variable, "for example"].iter().chain(*wanted) {
            assert!(sentence.contains(part), "{settings:?}: no `{part}` in: {sentence}");
        }
        for secret in
            [ADMIN_TOKEN, KEY, BEARER, "two words of secret", "not base64 at all!", "c2hvcnQ=", "secret@host", &long]
        {
            assert!(!output.contains(secret), "{settings:?}: a secret is repeated: {output}");
        }
    }
    println!("{} wrong settings", table.len());
}

#[test]
fn a_default_region_that_is_not_served_is_refused_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_DEFAULT_REGION", "mars");
    let (code, output) = setup.run(&["serve"]);
    assert_eq!(code, Some(2), "{output}");
    assert_eq!(output.lines().count(), 1, "{output}");
    for part in ["SECA_DEFAULT_REGION", "mars", "fsn1", "for example"] {
        assert!(output.contains(part), "{output}");
    }
    assert!(!folder.path().join("secapi.db").exists(), "the database was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_decides_is_read_only_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Setup::new(folder.path(), UNUSED).serve().await;
    let paths = [
        "seca.region/v1/regions/fsn1".to_owned(),
        format!("seca.compute/v1/tenants/{TENANT}/skus/cx23"),
        format!("seca.storage/v1/tenants/{TENANT}/skus/hcloud-volume"),
        format!("seca.network/v1/tenants/{TENANT}/skus/hcloud-network"),
    ];
    for path in paths {
        for method in [reqwest::Method::PUT, reqwest::Method::DELETE] {
            let request = http().request(method.clone(), format!("{}/providers/{path}", proxy.public));
            let answer = request.bearer_auth(BEARER).json(&json!({"spec": {}})).send().await.unwrap();
            let allow = answer.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!((answer.status().as_u16(), allow.as_deref()), (405, Some("GET")), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_without_a_binding_is_told_from_one_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Setup::new(folder.path(), UNUSED).serve().await;
    unbound_workspace(&proxy.client().await, "there").await;
    for (workspace, words, others) in [("there", "is not bound", "does not exist"), ("none", "does not exist", "bound")]
    {
        let url = format!("{}/admin/v1/tenants/{TENANT}/workspaces/{workspace}/providers/hetzner", proxy.admin);
        let answer = http().get(url).query(&[("region", REGION)]).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        let text = answer.text().await.unwrap();
        assert!(text.contains(words) && !text.contains(others), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_that_may_write_at_an_allowed_endpoint_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let reader = "a-token-that-only-reads-0123456789abcdef";
    sim.control("POST", "/projects", Some(json!({"name": "default", "read_only_token": reader}))).await;
    // Both names of one setting alike, and the unused one: accepted, and said.
    let setup = Setup::new(folder.path(), &sim.endpoint())
        .with("HETZNER_CLOUD_API_URL", &sim.endpoint())
        .with("HCLOUD_HETZNER_ENDPOINT", "https://api.hetzner.com/v1");
    let proxy = setup.serve().await;
    assert!(proxy.process.output().contains("HCLOUD_HETZNER_ENDPOINT is not used"), "{}", proxy.process.output());
    let (seca, admin) = (proxy.client().await, proxy.admin());
    unbound_workspace(&seca, life::WORKSPACE).await;
    unbound_workspace(&seca, "other").await;
    let bind = async |name: &str, token: &str, endpoint: Option<&str>| {
        let request = BindingRequest { api_endpoint: endpoint.map(str::to_owned), ..BindingRequest::new(token.into()) };
        admin.put_binding(TENANT, name, Some(REGION), &request).await
    };

    let wrong = "a-token-that-nobody-knows-0123456789abcdef";
    let refused: [(&str, Option<&str>, &[&str]); 6] = [
        (wrong, None, &["token"]),
        (reader, None, &["read"]),
        (&sim.token, Some("https://example.org/v1"), &["apiEndpoint", "https://api.hetzner.cloud/v1"]),
        (&sim.token, Some("http://127.0.0.1.example.org/v1"), &["apiEndpoint"]),
        (&sim.token, Some("http://user:pass@127.0.0.1/v1"), &["apiEndpoint"]),
        ("with a space", None, &["apiToken"]),
    ];
    for (token, endpoint, words) in refused {
        let (status, text) = problem(&bind(life::WORKSPACE, token, endpoint).await.unwrap_err());
        assert_eq!(status, 400, "{endpoint:?}: {text}");
        assert!(words.iter().all(|word| text.contains(word)) && !text.contains(token), "{text}");
    }
    assert_eq!(problem(&bind("nothing", &sim.token, None).await.unwrap_err()).0, 404);
    let unreachable = bind(life::WORKSPACE, &sim.token, Some("http://127.0.0.1:9/v1")).await.unwrap_err();
    assert!(matches!(problem(&unreachable).0, 502 | 503), "{unreachable}");
    assert_eq!(admin.list_workspaces(Some(BindingState::None)).await.unwrap().len(), 2);
    assert_eq!(sim.inventory().await, json!({}), "nothing of that left a trace");

    // A loopback endpoint is allowed and beats the environment's.
    bind(life::WORKSPACE, &sim.token, Some(&sim.endpoint())).await.unwrap();
    seca.workspaces().wait_active(life::WORKSPACE, life::wait()).await.unwrap();
    life::create(&seca).await.unwrap();

    let (status, text) =
        problem(&admin.delete_binding(TENANT, life::WORKSPACE, Some(REGION), false).await.unwrap_err());
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("force"), "{text}");
    let elsewhere = sim.control("POST", "/projects", Some(json!({"name": "elsewhere"}))).await;
    let elsewhere = elsewhere["project"]["token"].as_str().unwrap();
    let (status, text) = problem(&bind(life::WORKSPACE, elsewhere, None).await.unwrap_err());
    assert_eq!(status, 409, "resources do not change projects: {text}");
    assert!(admin.delete_binding(TENANT, life::WORKSPACE, Some(REGION), true).await.unwrap());
    assert!(!admin.delete_binding(TENANT, life::WORKSPACE, Some(REGION), true).await.unwrap(), "it is gone");
    assert_eq!(admin.get_binding(TENANT, life::WORKSPACE, Some(REGION)).await.unwrap(), None);
    let unbound = admin.list_workspaces(Some(BindingState::Unbound)).await.unwrap();
    assert_eq!(unbound.len(), 1, "{unbound:?}");

    // Bound again, it goes on where it was.
    bind(life::WORKSPACE, &sim.token, None).await.unwrap();
    life::delete(&seca).await.unwrap();
    sim.assert_only_the_marker().await;
    for secret in [&sim.token, reader, wrong, elsewhere, ADMIN_TOKEN] {
        assert!(!proxy.process.output().contains(secret), "a token is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_and_say_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    let sqlite = format!("sqlite:{}", folder.path().join("migrated.db").display());
    for url in [postgres, sqlite] {
        // Nothing but the database is needed.
        let setup = ["SECA_ADMIN_TOKEN", "SECA_CREDENTIALS_KEY", "SECA_AUTH_TOKENS_FILE", "SECA_AUTH_MODE"]
            .iter()
            .fold(Setup::new(folder.path(), UNUSED).with("SECA_DATABASE_URL", &url), |setup, name| setup.without(name));
        let run = |arguments: &[&str]| {
            let (code, output) = setup.run(&[&["migrate"], arguments].concat());
            println!("migrate {arguments:?}: {code:?} {}", output.trim());
            (code, output)
        };
        let before = run(&["status"]);
        assert_eq!(run(&["up"]).0, Some(0));
        let after = run(&["status"]);
        assert_eq!(after.0, Some(0));
        assert_ne!(before.1, after.1, "status tells them apart");
        assert_eq!(run(&["up"]).0, Some(0), "a second time changes nothing");
        assert_eq!(run(&["status"]), after);
        let (code, said) = run(&["down"]);
        assert!(code != Some(0) && said.contains("--yes"), "data is not dropped without a word: {said}");
        assert_eq!(run(&["status"]), after);
        assert_eq!(run(&["down", "--yes"]).0, Some(0));
        assert_ne!(run(&["status"]).1, after.1);
        assert_eq!(run(&["up"]).0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_without_binding_anew() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let old = Setup::new(folder.path(), &sim.endpoint());
    let mut proxy = old.serve().await;
    life::workspace(&proxy.client().await, &proxy.admin(), &sim.token).await.unwrap();
    assert_eq!(proxy.stop().await, Some(0));

    let new = old.clone().with("SECA_CREDENTIALS_KEY", OTHER_KEY);
    let (code, said) = new.run(&["rotate-keys"]);
    assert_eq!(code, Some(1), "without the former key nothing can be opened: {said}");
    let both = new.clone().with("SECA_CREDENTIALS_KEYS_OLD", KEY);
    for _ in 0..2 {
        let (code, said) = both.run(&["rotate-keys"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains(KEY) && !said.contains(OTHER_KEY) && !said.contains(&sim.token), "{said}");
    }
    // The former key is not needed any more.
    let mut proxy = new.serve().await;
    let seca = proxy.client().await;
    life::create(&seca).await.unwrap();
    life::delete(&seca).await.unwrap();
    sim.assert_only_the_marker().await;
    assert_eq!(proxy.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_is_wrong_and_sends_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let good = Setup::new(folder.path(), &sim.endpoint());
    assert_eq!(good.run(&["migrate", "up"]).0, Some(0));
    let (code, said) = good.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("BAD"), "{said}");
    for word in ["open files", "connections", "provider", " ms"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // What Kubernetes and the provisioner need is nobody's mistake.
    let others = good.clone().with("SECA_API_SERVICE_HOST", "10.0.0.1").with("SECA_TOKEN_PROVISIONER_INTERVAL", "1");
    assert_eq!(others.run(&["doctor"]).0, Some(0));
    // Another path that asks for a token may belong to a proxy. Doctor says so, and it is no mistake.
    let nested = format!("{}/other", sim.base);
    let (code, said) = good.clone().with("HCLOUD_ENDPOINT", &nested).run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("does not end with /v1"), "{said}");
    for (name, value, word) in [
        ("SECA_LISTEN_ADRR", ":8080", "SECA_LISTEN_ADDR"),
        ("HCLOUD_ENDPOINT", UNUSED, "HCLOUD_ENDPOINT"),
        ("HCLOUD_ENDPOINT", &sim.base, "HCLOUD_ENDPOINT"),
        ("SECA_DATABASE_URL", "postgres://nobody:topsecret@127.0.0.1:9/nothing", "database"),
        ("SECA_LEASE_TTL", "soon", "SECA_LEASE_TTL"),
    ] {
        let (code, said) = good.clone().with(name, value).run(&["doctor"]);
        assert_eq!(code, Some(1), "{name}={value}: {said}");
        assert!(said.contains("BAD") && said.contains(word), "{said}");
        assert!(!said.contains(ADMIN_TOKEN) && !said.contains(KEY) && !said.contains("topsecret"), "{said}");
    }
}

/// What is in front of the server of an instance with a public address that names no security group.
async fn rules_before_an_ungrouped_instance(traffic: &str) -> Vec<serde_json::Value> {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let mut proxy = Setup::new(folder.path(), &sim.endpoint()).with("SECA_UNGROUPED_TRAFFIC", traffic).serve().await;
    let seca = proxy.client().await;
    life::workspace(&seca, &proxy.admin(), &sim.token).await.unwrap();
    life::create_network(&seca).await.unwrap();
    let nic = NicSpec {
        security_group_refs: Vec::new(),
        addresses: vec!["0.0.0.0".to_owned()],
        public_ip_refs: vec![Reference::new(format!("public-ips/{}", life::ADDRESS))],
        sku_ref: None,
        subnet_ref: Reference::new(format!("networks/{}/subnets/{}", life::NETWORK, life::SUBNET)),
    };
    seca.nics(life::WORKSPACE).put("front", nic).await.unwrap();
    seca.block_storages(life::WORKSPACE).put(life::DISK, life::disk()).await.unwrap();
    let instance = InstanceSpec { primary_nic_ref: Some(Reference::new("nics/front")), ..life::instance(life::DISK) };
    seca.instances(life::WORKSPACE).put(life::INSTANCE, instance).await.unwrap();
    seca.instances(life::WORKSPACE).wait_active(life::INSTANCE, life::wait()).await.unwrap();
    life::power(&seca, PowerState::On).await.unwrap();
    let exposure = sim.get("/exposure").await;
    let now = exposure["entries"].as_array().unwrap().last().unwrap().clone();
    assert!(now["on"] == true && now["addresses"].as_array().is_some_and(|all| !all.is_empty()), "{now}");
    assert_eq!(proxy.stop().await, Some(0));
    now["open"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_a_group_is_open_unless_the_operator_closes_it() {
    let open = rules_before_an_ungrouped_instance("open").await;
    assert!(open.iter().any(|address| address["everything"] == true), "{open:?}");
    let closed = rules_before_an_ungrouped_instance("closed").await;
    assert!(!closed.is_empty(), "the server has an address");
    for address in closed {
        assert!(address["everything"] == false && address["rules"] == json!([]), "{address}");
    }
}
