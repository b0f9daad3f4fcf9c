//! The simulator in process as the provider, under tokio's time.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use control_plane::{
    ProjectId,
    ports::{Access, Gate},
    testing::environment::{OpenGate, SeededRng, TokioClock},
};
use hcloud_client::{ApiRequest, ApiResponse, HcloudApi, HeaderMap, TransportError, TransportErrorKind};
use hcloud_sim::{CoreConfig, SeedProject, Sim, SimClock, SimConfig, SimRequest, Time};
use hetzner_adapter::{AdapterSettings, HetznerProvider};
use http::{HeaderName, HeaderValue, Method};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

pub const TOKEN: &str = "token-one";
pub const READ_ONLY: &str = "token-read-only";
pub const INSTALLATION: &str = "installation";

/// A gate that lets everything through.
pub fn open_gate() -> Arc<dyn Gate> {
    Arc::new(OpenGate)
}

/// A simulated cloud and a provider over it.
#[derive(Clone)]
pub struct Cloud {
    pub sim: Sim,
    /// The wall clock of all its clients.
    clock: Arc<TokioClock>,
    /// What the operator chose.
    pub settings: AdapterSettings,
    /// The token of a person with the console.
    pub console: &'static str,
    /// Loses one request, and one reply, in so many.
    pub chaos: Option<(Arc<SeededRng>, u64)>,
}

/// The simulator as the client's door, a network's delay away.
struct Door(Cloud);

impl Door {
    fn strikes(&self) -> bool {
        self.0.chaos.as_ref().is_some_and(|(rng, one_in)| rng.one_in(*one_in))
    }
}

#[async_trait]
impl HcloudApi for Door {
    async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let url = request.url().unwrap();
        let sent = SimRequest {
            method: request.method.clone(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            token: Some(request.token.expose_secret().to_owned()),
            body: request.body.unwrap_or_default().into(),
        };
        if self.strikes() {
            return Err(TransportError::new(TransportErrorKind::Broken, "before the commit"));
        }
        let answer = tokio::time::timeout(self.request_timeout(), self.0.sim.call(sent)).await;
        if self.strikes() {
            return Err(TransportError::new(TransportErrorKind::Broken, "after the commit"));
        }
        let broken = |kind| TransportError::new(kind, "as the test wants it");
        let answer = answer
            .map_err(|_| broken(TransportErrorKind::Timeout))?
            .ok_or_else(|| broken(TransportErrorKind::Broken))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &answer.headers {
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        Ok(ApiResponse { status: answer.status, headers, body: answer.body.to_vec() })
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}

impl Cloud {
    pub fn new(speed: f64) -> Self {
        let sim = Sim::new(SimConfig {
            core: CoreConfig { speed, ..CoreConfig::default() },
            state_file: None,
            projects: vec![SeedProject {
                name: "p".into(),
                token: TOKEN.into(),
                read_only_token: Some(READ_ONLY.into()),
            }],
            clock: SimClock::starting_at(Time(1_790_000_000_000)),
        })
        .unwrap();
        Self {
            sim,
            clock: Arc::new(TokioClock::default()),
            settings: AdapterSettings::default(),
            console: TOKEN,
            chaos: None,
        }
    }

    pub fn provider(&self) -> Arc<HetznerProvider> {
        Arc::new(HetznerProvider::new(
            Arc::new(Door(self.clone())),
            self.clock.clone(),
            Arc::new(SeededRng::new(7)),
            self.settings.clone(),
        ))
    }

    pub fn access(&self, token: &str) -> Access {
        Access {
            project: ProjectId("project".into()),
            endpoint: "http://sim.invalid/v1".parse().unwrap(),
            token: token.to_owned().into(),
        }
    }

    /// The simulator's own controls.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.sim.call(SimRequest::new(method, path).with_json(body)).await.unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.json());
        answer.json()
    }

    /// What a person with the console of the project does.
    pub async fn hetzner(&self, method: Method, path: &str, body: &Value) -> Value {
        self.tried(method, path, body).await.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    /// The same, or how it is refused.
    pub async fn tried(&self, method: Method, path: &str, body: &Value) -> Result<Value, http::StatusCode> {
        let token = Some(self.console.to_owned());
        let request = SimRequest { token, ..SimRequest::new(method, &format!("/v1{path}")).with_json(body) };
        let answer = self.sim.call(request).await.unwrap();
        match answer.status.is_success() {
            true if answer.body.is_empty() => Ok(Value::Null),
            true => Ok(answer.json()),
            false => Err(answer.status),
        }
    }

    /// Spoils requests; see the simulator's README.
    pub async fn fault(&self, matches: Value, effect: Value) {
        self.control(Method::POST, "/_sim/faults", &json!({"match": matches, "effect": effect})).await;
    }

    /// The rules that spoil requests.
    pub async fn faults(&self) -> Vec<Value> {
        let faults = self.control(Method::GET, "/_sim/faults", &json!({})).await;
        faults["faults"].as_array().unwrap().clone()
    }

    /// How often faults were in force.
    pub async fn fired(&self) -> i64 {
        self.faults().await.iter().map(|fault| fault["fired"].as_i64().unwrap()).sum()
    }

    /// Whether a request is held.
    pub async fn is_holding(&self) -> bool {
        let faults = self.control(Method::GET, "/_sim/faults", &json!({})).await;
        !faults["held"].as_array().unwrap().is_empty()
    }

    pub async fn clear_faults(&self) {
        self.sim.call(SimRequest::new(Method::DELETE, "/_sim/faults")).await.unwrap();
    }

    /// Something that a person does at the console.
    pub async fn mutate(&self, mut change: Value) {
        change["project"] = json!("p");
        self.control(Method::POST, "/_sim/mutate", &change).await;
    }

    pub async fn inventory(&self) -> Value {
        self.control(Method::GET, "/_sim/inventory?project=p", &json!({})).await
    }

    /// The number of objects of each type that there are any of.
    pub async fn counts(&self) -> Vec<(String, i64)> {
        let inventory = self.inventory().await;
        let counts = inventory["counts"].as_object().unwrap().iter();
        counts.map(|(name, count)| (name.clone(), count.as_i64().unwrap())).filter(|(_, count)| *count > 0).collect()
    }

    /// The requests that change something, as `METHOD path`, in order.
    pub async fn changes(&self) -> Vec<String> {
        self.journal("/_sim/journal?mutating=true").await
    }

    pub async fn journal(&self, path: &str) -> Vec<String> {
        let journal = self.control(Method::GET, path, &json!({})).await;
        let line = |entry: &Value| format!("{} {}", entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        journal["entries"].as_array().unwrap().iter().map(line).collect()
    }
}
