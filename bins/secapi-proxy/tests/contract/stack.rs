//! One running product for all tests, and a client that sees its answers byte by byte.

use std::{
    process::Command,
    sync::{Arc, Weak},
};

use reqwest::{Method, header::HeaderMap};
use seca_api::{Kind, Problem, ProblemKind, Scope};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::Mutex, task::JoinSet};

use crate::{
    common::{PATIENCE, binary, http, process::Process, proxy::read_ready, until},
    table::{self, Place, Row},
};

pub const REGION: &str = "fsn1";

/// The workspace and everything in it that documents name. No test changes it.
pub const BASE: &str = "base";

/// A reading of the contract: a tenant, its error profile and its policy on references.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub tenant: &'static str,
    pub conformance: bool,
    pub late: bool,
}

/// As the specification says.
pub const PLAIN: Reading = Reading { tenant: "plain", conformance: false, late: false };
/// As the conformance tool asserts.
pub const CONFORMANCE: Reading = Reading { tenant: "conf", conformance: true, late: false };
/// Both error profiles.
pub const PROFILES: [Reading; 2] = [PLAIN, CONFORMANCE];
/// Both error profiles, with late references.
pub const LATE: [Reading; 2] = [
    Reading { tenant: "loose", conformance: false, late: true },
    Reading { tenant: "late", conformance: true, late: true },
];

/// `secapi-proxy dev`: simulator, proxy, database and provisioner.
pub struct Stack {
    /// Ends with it, and then shows what it wrote when the test fails.
    _process: Process,
    public: String,
    sim: String,
    token: String,
    _home: TempDir,
}

/// The running product: the one that other tests use at the moment, or a new one. It ends with its last user.
pub async fn stack() -> Arc<Stack> {
    static SHARED: Mutex<Weak<Stack>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(stack) = shared.upgrade() {
        return stack;
    }
    let stack = Arc::new(Stack::start().await);
    for reading in PROFILES.into_iter().chain(LATE) {
        stack.client(reading).furnish().await;
    }
    *shared = Arc::downgrade(&stack);
    stack
}

impl Stack {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ready = home.path().join("ready.json");
        let tenants: Vec<String> = PROFILES.iter().chain(&LATE).map(Reading::setting).collect();
        let mut command = Command::new(binary("secapi-proxy"));
        command.env_clear().arg("dev").arg("--dir").arg(home.path().join("dev"));
        for flag in ["--listen", "--admin-listen", "--sim-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.args(["--sim-speed", "0", "--tenants", &tenants.join(","), "--ready-file"]).arg(&ready);
        let mut process = Process::start("dev", home.path(), &mut command);
        let ready = read_ready(&mut process, &ready).await;
        let token = std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { _process: process, public: text("public"), sim: text("sim"), token, _home: home }
    }

    /// A client with connections of its own: they belong to the runtime of the test.
    pub fn client(&self, reading: Reading) -> Client {
        Client { http: http(), public: self.public.clone(), token: self.token.clone(), reading }
    }

    /// Makes the provider refuse all calls of a method and path as locked, until [`Self::unlock`].
    pub async fn lock(&self, method: &str, path: &str) -> u64 {
        let effect = json!({"type": "error", "status": 423, "code": "locked", "message": "it is locked"});
        let rule = json!({"match": {"method": method, "path": path, "count": 0}, "effect": effect});
        let request = http().post(format!("{}/_sim/faults", self.sim)).header("content-type", "application/json");
        let answer = request.body(rule.to_string()).send().await.unwrap().error_for_status().unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answer["fault"]["id"].as_u64().unwrap()
    }

    pub async fn unlock(&self, fault: u64) {
        let answer = http().delete(format!("{}/_sim/faults/{fault}", self.sim)).send().await.unwrap();
        answer.error_for_status().unwrap();
    }
}

impl Reading {
    /// As `SECA_TENANTS` has it.
    fn setting(&self) -> String {
        let policy = if self.late { ":late" } else { ":strict" };
        format!("{}{policy}{}", self.tenant, if self.conformance { ":conformance" } else { "" })
    }

    /// The status of a refusal that the specification gives this one.
    pub const fn status(&self, specification: u16) -> u16 {
        if self.conformance { 412 } else { specification }
    }

    pub const fn violation(&self) -> u16 {
        self.status(422)
    }

    pub const fn conflict(&self) -> u16 {
        self.status(409)
    }
}

/// A client of one tenant.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    public: String,
    token: String,
    pub reading: Reading,
}

/// An answer, unread.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    /// The URL path of a collection.
    pub fn collection(&self, kind: Kind, place: &Place) -> String {
        let provider = kind.provider();
        let region = if provider.is_global() { String::new() } else { format!("/regions/{REGION}") };
        let tenant = self.reading.tenant;
        let inside = match kind.scope() {
            Scope::Workspace => format!("/workspaces/{}", place.workspace),
            Scope::Network => format!("/workspaces/{}/networks/{}", place.workspace, place.network),
            _ => String::new(),
        };
        format!("{region}/providers/{}/v1/tenants/{tenant}{inside}/{}", provider.name(), kind.collection())
    }

    /// The URL path of a resource.
    pub fn item(&self, kind: Kind, place: &Place, name: &str) -> String {
        format!("{}/{name}", self.collection(kind, place))
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let asked = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.public)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { asked, status, headers, text: answer.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], None).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], None).await
    }

    /// Polls until it is `active` with so many conditions, as clients do.
    pub async fn active(&self, path: &str, conditions: usize) -> Value {
        let what = format!("{path} active with {conditions} conditions");
        until(&what, PATIENCE, async || {
            let answer = self.get(path).await.expect(200);
            let status = &answer["status"];
            let count = status["conditions"].as_array().map_or(0, Vec::len);
            assert!(count <= conditions, "{path}: more than {conditions} conditions: {status}");
            assert_ne!(status["state"], "error", "{path}: {status}");
            (status["state"] == "active" && count == conditions).then_some(answer)
        })
        .await
    }

    /// Polls until it is gone. Whatever is not 200 or 404 on the way is a failure, as it is for clients.
    pub async fn gone(&self, path: &str) {
        until(&format!("{path} gone"), PATIENCE, async || {
            let answer = self.get(path).await;
            if answer.status == 404 {
                answer.refused(404);
                return Some(());
            }
            assert_eq!(answer.expect(200)["status"]["state"], "deleting", "{path}");
            None
        })
        .await;
    }

    /// Deletes and waits until it is gone.
    pub async fn remove(&self, path: &str) {
        self.delete(path).await.accepted();
        self.gone(path).await;
    }

    /// Makes a workspace with one resource of every kind in it, all of them named [`BASE`].
    async fn furnish(&self) {
        let place = Place::base(self.reading.tenant);
        self.make(&place, table::served()).await;
        self.active(&self.item(Kind::Workspace, &place, BASE), 3).await;
    }

    /// Makes a workspace and a network of its own for a test.
    pub async fn workspace(&self, name: &str) -> Place {
        let place = Place { tenant: self.reading.tenant, workspace: name.to_owned(), network: BASE.to_owned() };
        let path = self.item(Kind::Workspace, &place, name);
        self.put(&path, &table::row(Kind::Workspace).document(&place)).await.expect(201);
        place
    }

    /// Makes the resources of these rows, named [`BASE`], and those beside them.
    pub async fn make(&self, place: &Place, rows: impl IntoIterator<Item = &'static Row>) {
        for row in rows {
            let path = self.item(row.kind, place, BASE);
            self.put(&path, &row.document(place)).await.expect(201);
            self.make_beside(place, row).await;
        }
    }

    /// Makes what is beside a row's resource.
    pub async fn make_beside(&self, place: &Place, row: &Row) {
        for (name, document) in row.others(place) {
            let path = self.item(row.kind, place, name);
            self.put(&path, &document).await.expect(201);
            self.active(&path, 3).await;
        }
    }

    /// Removes it.
    pub async fn remove_beside(&self, place: &Place, row: &Row) {
        for (name, _) in row.others(place) {
            self.remove(&self.item(row.kind, place, name)).await;
        }
    }
}

/// The page that tells people what each reason means.
const REASONS: &str = include_str!("../../../../docs/reasons.md");

/// The reasons of all conditions, of routes and rules too.
fn reasons(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(reasons).collect(),
        Value::Object(members) => {
            let own = members.get("conditions").and_then(Value::as_array).into_iter().flatten();
            let own = own.filter_map(|condition| condition["reason"].as_str());
            own.chain(members.values().flat_map(reasons)).collect()
        }
        _ => Vec::new(),
    }
}

impl Answer {
    /// A JSON answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self.json()
    }

    /// 202 without a body.
    #[track_caller]
    pub fn accepted(&self) {
        assert_eq!((self.status, self.text.as_str()), (202, ""), "{}", self.asked);
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let is_json = self.headers.get("content-type").is_some_and(|value| value == "application/json");
        assert!(is_json, "{}: not JSON: {:?}", self.asked, self.headers);
        let answer = serde_json::from_str(&self.text);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text));
        for word in reasons(&answer) {
            assert!(REASONS.contains(&format!("`{word}` |")), "{}: {word} is not on the page of reasons", self.asked);
        }
        answer
    }

    /// A complete problem document with this status; the type and the title agree with it.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Problem {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self.problem().unwrap_or_else(|flaw| panic!("{}: {flaw}: {}", self.asked, self.text))
    }

    /// A refusal that points at these places of the body.
    #[track_caller]
    pub fn refused_at(&self, status: u16, pointer: &str) {
        let problem = self.refused(status);
        let found = problem.sources.iter().any(|source| source.pointer == pointer);
        assert!(found, "{}: no source points at {pointer}: {}", self.asked, self.text);
    }

    /// The problem document, or what is wrong with it.
    pub fn problem(&self) -> Result<Problem, String> {
        let members: Value = serde_json::from_str(&self.text).map_err(|error| error.to_string())?;
        let missing =
            ["type", "title", "status", "detail", "instance", "sources"].iter().find(|m| members[**m].is_null());
        if let Some(member) = missing {
            return Err(format!("no {member}"));
        }
        let problem: Problem = serde_json::from_value(members).map_err(|error| error.to_string())?;
        let kind = ProblemKind::of_status(self.status).ok_or("a status without a type")?;
        let agrees = problem.status == self.status && problem.r#type == kind.uri() && problem.title == kind.title();
        let bounded = (1..=32_768).contains(&problem.detail.chars().count())
            && (1..=256).contains(&problem.instance.chars().count())
            && problem.sources.len() <= 32
            && problem.sources.iter().all(|s| !s.parameter.is_empty() && (1..=256).contains(&s.pointer.len()));
        if agrees && bounded { Ok(problem) } else { Err("the problem document breaks its schema".to_owned()) }
    }
}

/// Runs jobs, a few at a time, and collects what they say.
pub async fn side_by_side<T, F>(jobs: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    const AT_ONCE: usize = 12;
    let (mut running, mut said) = (JoinSet::new(), Vec::new());
    for job in jobs {
        if running.len() == AT_ONCE {
            said.extend(running.join_next().await.map(Result::unwrap));
        }
        running.spawn(job);
    }
    said.extend(running.join_all().await);
    said
}
