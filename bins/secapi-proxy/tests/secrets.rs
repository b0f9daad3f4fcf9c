//! Secrets stay where they belong: not in the logs, whatever their level and whoever writes them, not in answers, metrics
//! and errors, not in the database with its steps and activities. Neither as they are nor in another spelling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use common::{
    http, life,
    proxy::{ADMIN_TOKEN, BEARER, KEY, REGION, Setup, TENANT},
    signed::{ISSUER, answer, issue, issuers, jwt, token},
    sim::Sim,
};
use seca_client::seca_api::PowerState;
use serde_json::{Value, json};

/// What must be nowhere, each with a name.
type Secrets = Vec<(&'static str, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_answered_or_stored_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.005).await;
    let passwords = Passwords::default();
    let mut proxy = Setup::new(folder.path(), &passwords.tap(&sim).await).with("SECA_LOG_LEVEL", "trace").serve().await;
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

    let mut secrets: Secrets = vec![
        ("the provider's token", sim.token.clone()),
        ("the admin token", ADMIN_TOKEN.to_owned()),
        ("the bearer", BEARER.to_owned()),
        ("the key", KEY.to_owned()),
    ];
    secrets.extend(passwords.found().into_iter().map(|password| ("a root password", password)));
    assert!(secrets.len() > 4, "an answer of the provider bore a root password");

    let answers = answers(&proxy.public, &proxy.admin).await;
    assert_clean("an answer", answers.as_bytes(), &secrets);
    assert!(!answers.contains("root_password") && !answers.contains("rootPassword"), "an answer holds a root password");

    // The proof that a secret would be found: one that a client itself puts where all is logged.
    let planted = "planted:secret/0123456789abcdef";
    let path = planted.replace(':', "%3a").replace('/', "%2F");
    let status = http().get(format!("{}/providers/{path}", proxy.public)).bearer_auth(BEARER).send().await.unwrap();
    assert_eq!(status.status().as_u16(), 404);

    // While the process runs the database has a write-ahead log beside it; after the stop all is in the file.
    let mut stored = stored(folder.path());
    assert_eq!(proxy.stop().await, Some(0));
    stored.extend(self::stored(folder.path()));
    assert_clean("the database", &stored, &secrets);
    assert!(!holds(&stored, "root_password"), "the database holds a root password");
    for (what, text) in [("resources", life::INSTANCE), ("activities", "seca.compute/v1"), ("steps", "create_server")] {
        assert!(holds(&stored, text), "this is the database, with its {what}");
    }

    let log = proxy.process.output();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "everything is logged");
    for dependency in ["hyper_util", "sqlx"] {
        assert!(log.contains(dependency), "{dependency} logs, too");
    }
    secrets.push(("user data", "hunter2-in-user-data".to_owned()));
    assert_clean("the log", log.as_bytes(), &secrets);
    assert!(!log.contains("root_password"), "the log holds a root password");
    assert!(Place::of(log.as_bytes()).find(planted).is_some(), "a planted secret is found");
}

/// The same of signed tokens and of the key that signs them.
#[tokio::test(flavor = "multi_thread")]
async fn no_signed_token_and_no_signing_key_is_logged_answered_or_stored() {
    let folder = tempfile::tempdir().unwrap();
    let setup = jwt(Setup::new(folder.path(), "http://127.0.0.1:9/v1")).with("SECA_LOG_LEVEL", "trace");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("jwks.json", &answer(&setup, &["token", "keygen", "--out", "key.json"]));
    write("issuers.json", &issuers(&json!({"keys_file": "jwks.json"})));
    let key: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("key.json")).unwrap()).unwrap();
    let good = token(&setup, &issue("key.json", ISSUER, "seca"));
    let mut unrelated = issue("key.json", ISSUER, "seca");
    *unrelated.last_mut().unwrap() = "nobody";
    let unrelated = token(&setup, &unrelated);

    let mut proxy = setup.serve().await;
    let workspaces = format!("{}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces", proxy.public);
    let mut answers = String::new();
    let broken = format!("{}x", &good[..good.len() - 1]);
    for (token, status) in [(&good, 200), (&unrelated, 403), (&broken, 401)] {
        let answer = http().get(&workspaces).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        answers += &format!("{:?}", answer.headers());
        answers += &answer.text().await.unwrap();
    }
    let body = json!({"spec": {}});
    for (token, status) in [(&good, 201), (&unrelated, 403)] {
        let answer = http().put(format!("{workspaces}/w")).bearer_auth(token).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        answers += &answer.text().await.unwrap();
    }
    let activities = http().get(format!("{}/admin/v1/activity", proxy.admin)).bearer_auth(ADMIN_TOKEN);
    answers += &activities.send().await.unwrap().text().await.unwrap();

    let mut secrets: Secrets = vec![("the signing key", key["d"].as_str().unwrap().to_owned())];
    for token in [good, unrelated, broken] {
        let signature = token.rsplit('.').next().unwrap().to_owned();
        secrets.extend([("a token", token), ("its signature", signature)]);
    }
    assert_clean("an answer", answers.as_bytes(), &secrets);
    assert_eq!(proxy.stop().await, Some(0));
    let stored = stored(folder.path());
    assert!(holds(&stored, "ada") && holds(&stored, "nobody"), "activities tell who it was");
    assert_clean("the database", &stored, &secrets);
    assert_clean("the log", proxy.process.output().as_bytes(), &secrets);
}

#[test]
fn a_secret_is_found_in_every_spelling() {
    use url::form_urlencoded::byte_serialize;
    let secret = "s3cr3t/with+signs=and:more";
    let percent: String = byte_serialize(secret.as_bytes()).collect();
    let lower = percent.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d").replace("%3A", "%3a");
    let mut spellings = vec![secret.to_owned(), lower, percent];
    for before in ["", "a", "ab"] {
        let text = format!("{before}{secret}zz");
        spellings.extend([STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)]);
    }
    for spelling in spellings {
        assert!(Place::of(format!("x {spelling} y").as_bytes()).find(secret).is_some(), "{spelling}");
    }
    assert_eq!(Place::of(b"s3cr3t/with+signs=and:les").find(secret), None);
}

/// The root passwords in what the provider answers.
#[derive(Clone, Default)]
struct Passwords(Arc<Mutex<Vec<String>>>);

impl Passwords {
    /// Stands between the proxy and the simulator; the endpoint.
    async fn tap(&self, sim: &Sim) -> String {
        let (seen, target) = (self.clone(), sim.endpoint());
        let target = target.strip_suffix("/v1").unwrap().to_owned();
        let forward = move |request: Request| {
            let (seen, target) = (seen.clone(), target.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let path = parts.uri.path_and_query().unwrap();
                let mut sent = http().request(parts.method, format!("{target}{path}")).body(body);
                for name in ["authorization", "content-type"] {
                    if let Some(value) = parts.headers.get(name) {
                        sent = sent.header(name, value);
                    }
                }
                let answer = sent.send().await.unwrap();
                let mut response = Response::builder().status(answer.status());
                for (name, value) in answer
                    .headers()
                    .iter()
                    .filter(|(name, _)| !["transfer-encoding", "content-length"].contains(&name.as_str()))
                {
                    response = response.header(name, value);
                }
                let bytes = answer.bytes().await.unwrap();
                let document = serde_json::from_slice::<Value>(&bytes).ok();
                let Some(mut document) = document.filter(|document| document.get("root_password").is_some()) else {
                    return response.body(Body::from(bytes)).unwrap();
                };
                // A server is made with a key, so the provider makes no password. Here it does all the same.
                assert_eq!(document["root_password"], Value::Null, "a server is made with a key");
                let password = "root-password-of-the-provider-4711";
                document["root_password"] = password.into();
                seen.0.lock().unwrap().push(password.to_owned());
                response.body(Body::from(document.to_string())).unwrap()
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(forward)).await });
        endpoint
    }

    fn found(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn assert_clean(place: &str, bytes: &[u8], secrets: &Secrets) {
    let place_of = Place::of(bytes);
    for (what, secret) in secrets {
        if let Some(around) = place_of.find(secret) {
            panic!("{place} holds {what}, behind: {around}");
        }
    }
}

/// Where secrets are looked for: as it is, and without percent-encoding. Texts, because the library searches those well.
struct Place([String; 2]);

impl Place {
    fn of(bytes: &[u8]) -> Self {
        Self([bytes, &percent_decoded(bytes)].map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// What stands before a secret, as it is, percent-encoded, or in base64 wherever it begins in what was encoded.
    fn find(&self, secret: &str) -> Option<String> {
        let mut spellings = vec![secret.to_owned()];
        for before in 0..3 {
            // Without the characters that what stands before and behind has a part in.
            let text = [&vec![0; before][..], secret.as_bytes()].concat();
            let whole = (before * 8).div_ceil(6)..text.len() * 8 / 6;
            let both = [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)];
            spellings.extend(both.map(|all| all[whole.clone()].to_owned()));
        }
        let places =
            self.0.iter().flat_map(|text| spellings.iter().filter_map(|spelling| text.split_once(spelling.as_str())));
        let around = |(before, _): (&str, &str)| before.chars().rev().take(120).collect::<Vec<_>>();
        places.map(around).next().map(|around| around.into_iter().rev().collect())
    }
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16)).map(|digit| digit as u8);
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
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
        (format!("{admin}/admin/v1/activity"), ADMIN_TOKEN),
        (format!("{admin}/admin/v1/projects"), ADMIN_TOKEN),
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

fn stored(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let database = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("secapi.db"));
    database.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
