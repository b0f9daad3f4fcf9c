//! Secrets stay where they belong: not in the logs, whatever their level, not in answers, not in the database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::fs;

use common::{
    http, life,
    proxy::{ADMIN_TOKEN, BEARER, KEY, REGION, Setup, TENANT},
    sim::Sim,
};
use seca_client::seca_api::PowerState;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_answered_or_stored_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.005).await;
    let mut proxy = Setup::new(folder.path(), &sim.endpoint()).with("SECA_LOG_LEVEL", "trace").serve().await;
    let (seca, admin) = (proxy.client().await, proxy.admin());
    life::workspace(&seca, &admin, &sim.token).await.unwrap();
    let user_data = "#cloud-config\npassword: hunter2-in-user-data\n";
    seca.block_storages(life::WORKSPACE).put(life::DISK, life::disk()).await.unwrap();
    let mut spec = life::instance(life::DISK);
    spec.user_data = Some(user_data.to_owned());
    seca.instances(life::WORKSPACE).put(life::INSTANCE, spec).await.unwrap();
    seca.instances(life::WORKSPACE).wait_active(life::INSTANCE, life::wait()).await.unwrap();
    life::power(&seca, PowerState::On).await.unwrap();

    let id = sim.get("/inventory").await["objects"]["servers"][0]["id"].clone();
    let given = sim.get(&format!("/servers/{id}/user_data")).await;
    assert!(given.to_string().contains("hunter2-in-user-data"), "the server has it: {given}");

    let answers = answers(&proxy.public, &proxy.admin).await;
    for secret in [sim.token.as_str(), ADMIN_TOKEN, BEARER, KEY] {
        assert!(!answers.contains(secret), "an answer holds a secret");
    }
    assert!(!answers.contains("root_password") && !answers.contains("rootPassword"), "an answer holds a root password");

    // While the process runs the database has a write-ahead log beside it; after the stop all is in the file.
    let mut stored = stored(folder.path());
    assert_eq!(proxy.stop().await, Some(0));
    stored.extend(self::stored(folder.path()));
    for secret in [sim.token.as_str(), ADMIN_TOKEN, BEARER, KEY, "root_password"] {
        assert!(!holds(&stored, secret), "the database holds a secret in the clear");
    }
    assert!(holds(&stored, life::INSTANCE), "this is the database");

    let log = proxy.process.output();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "everything is logged");
    let password = "root_password";
    for (what, secret) in [
        ("the provider's token", sim.token.as_str()),
        ("the admin token", ADMIN_TOKEN),
        ("the bearer", BEARER),
        ("the key", KEY),
        ("user data", "hunter2-in-user-data"),
        ("user data in base64", "aHVudGVyMi1pbi11c2VyLWRhdGE"),
        ("a root password", password),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} is in the log: {}", line.unwrap_or_default());
    }
}

/// What both listeners answer about everything there is, right and wrong requests alike.
async fn answers(public: &str, admin: &str) -> String {
    let client = http();
    let (place, w) = (format!("v1/tenants/{TENANT}/workspaces"), life::WORKSPACE);
    let binding = format!("{admin}/admin/v1/tenants/{TENANT}/workspaces/{w}/providers/hetzner");
    let urls = [
        (format!("{public}/providers/seca.workspace/{place}/{w}"), BEARER),
        (format!("{public}/providers/seca.compute/{place}/{w}/instances"), BEARER),
        (format!("{public}/providers/seca.compute/{place}/{w}/instances/web"), BEARER),
        (format!("{public}/providers/seca.storage/{place}/{w}/block-storages"), BEARER),
        (format!("{public}/providers/seca.compute/{place}/{w}/instances"), ADMIN_TOKEN),
        (format!("{public}/nothing"), BEARER),
        (format!("{binding}?region={REGION}"), ADMIN_TOKEN),
        (binding, BEARER),
        (format!("{admin}/admin/v1/workspaces"), ADMIN_TOKEN),
        (format!("{admin}/admin/v1/orphans"), ADMIN_TOKEN),
        (format!("{admin}/metrics"), ADMIN_TOKEN),
    ];
    let mut all = String::new();
    for (url, token) in urls {
        let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
        all += &format!("{url} {:?}\n", answer.headers());
        all += &answer.text().await.unwrap();
    }
    assert!(all.contains("powerState"), "{all}");
    all
}

fn stored(folder: &std::path::Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let database = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("secapi.db"));
    database.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
