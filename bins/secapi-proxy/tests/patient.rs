//! GETs that wait: that the setting reaches them, and what they cost nobody else. What pollers gain by them is tested
//! under paused time, in api-server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use api_server::{ApiConfig, Limits};
use authentication::Off;
use common::{
    PATIENCE, http, http_builder,
    proxy::{BEARER, REGION, Setup, TENANT},
    until,
};
use control_plane::{
    Catalog, CatalogCache, Watchers, kinds,
    ports::{Clock, Ids, Rng, Store},
    service::{ControlPlane, Enforcement, Parts, Tenant, Tenants},
    testing::environment::{SeededRng, TokioClock},
    watch::Patience,
};
use persistence::testing::postgres_url;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

// --- the setting ---------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_held_for_as_long_as_the_setting_says() {
    const HOLD: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir().unwrap();
    // Nobody binds the workspace, so that it is never made; nothing is at the provider's address.
    let setup = Setup::new(folder.path(), "http://127.0.0.1:9/v1");
    let mut proxy = setup.with("SECA_PATIENT_GET", &format!("{}s", HOLD.as_secs())).serve().await;
    let url = format!("{}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces/w", proxy.public);
    let client = http();
    let made = client.put(&url).bearer_auth(BEARER).header("content-type", "application/json").body("{}");
    assert_eq!(made.send().await.unwrap().status(), StatusCode::CREATED);
    // The first read is answered at once; on a busy machine it may be forgotten before the second one.
    until("a read that is held", PATIENCE, async || {
        let asked = Instant::now();
        let answer = client.get(&url).bearer_auth(BEARER).send().await.unwrap();
        assert_ne!(state_of(answer).await, "active");
        (asked.elapsed() >= HOLD).then_some(())
    })
    .await;
    assert_eq!(proxy.stop().await, Some(0));
}

async fn state_of(answer: Response) -> String {
    let document: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    document["status"]["state"].as_str().unwrap().to_owned()
}

// --- what they cost nobody -----------------------------------------------------------------------------------------

/// The public listener over a database, without an engine: what is pending stays so.
struct World {
    public: String,
    watchers: Arc<Watchers>,
    drain: CancellationToken,
    listener: JoinHandle<usize>,
}

impl World {
    async fn new(store: Arc<dyn Store>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(1));
        let ids = Ids::new(clock.clone(), rng);
        let watchers = Arc::new(Watchers::new(Patience { hold: FOR_EVER, recent: FOR_EVER, ..Patience::default() }));
        let (activity, _) = api_server::Recorder::start(store.clone(), clock.clone());
        let tenants = Tenants::from([(TENANT.to_owned(), Tenant::default())]);
        store.access().ensure_tenants(&tenants).await.unwrap();
        let control_plane = ControlPlane::new(Parts {
            store,
            catalog: CatalogCache::new(Catalog::new(1, hetzner_adapter::catalog::fallback(), REGION)),
            rules: Arc::new(hetzner_adapter::HetznerRules::default()),
            enforcement: Enforcement::Off,
            clock,
            ids: ids.clone(),
            wake: Arc::default(),
        })
        .watched_by(watchers.clone());
        let config = ApiConfig {
            default_region: REGION.to_owned(),
            public_base_url: None,
            jwks: None,
            signing_key: [7; 32],
            served: kinds::served().to_vec(),
            unknown_parameters: api_server::UnknownParameters::Refuse,
            activity,
            ids,
            limits: Limits::default(),
            meter: Arc::new(()),
        };
        let drain = CancellationToken::new();
        let router = api_server::public_router(control_plane, Arc::new(Off), config, drain.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public = format!("http://{}", listener.local_addr().unwrap());
        // Draining may take as long as it likes: that it does not is what is tested.
        let options = api_server::Options { drain_timeout: FOR_EVER, ..Default::default() };
        let listener = tokio::spawn(api_server::serve(listener, router, options, drain.clone()));
        let world = Self { public, watchers, drain, listener };
        let created = world.put(&http(), "w").send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
        world
    }

    async fn on_sqlite(folder: &tempfile::TempDir) -> Self {
        let url = format!("sqlite:{}", folder.path().join("patient.db").display());
        Self::new(Arc::new(persistence::connect(&url, &persistence::Options::default()).await.unwrap())).await
    }

    fn workspaces(&self) -> String {
        format!("{}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces", self.public)
    }

    fn put(&self, client: &reqwest::Client, name: &str) -> RequestBuilder {
        let request = client.put(format!("{}/{name}", self.workspaces()));
        request.header("content-type", "application/json").body("{}")
    }

    /// A GET of the workspace, which is held: who asks has just written it.
    fn patient(&self, client: &reqwest::Client) -> JoinHandle<reqwest::Result<Response>> {
        tokio::spawn(client.get(format!("{}/w", self.workspaces())).send())
    }

    async fn holds(&self, count: usize) {
        let what = format!("{count} held reads");
        until(&what, PATIENCE, async || (self.watchers.held() == count).then_some(())).await;
    }
}

/// Longer than any test: what ends before was ended by something else than time.
const FOR_EVER: Duration = Duration::from_secs(600);

/// What something else than time is to bring about: only what hangs reaches the limit.
async fn released<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_drains_answers_what_it_holds_and_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on_sqlite(&folder).await;
    let asking: Vec<_> = (0..3).map(|_| world.patient(&http())).collect();
    world.holds(3).await;
    world.drain.cancel();
    for answer in asking {
        let answer = released("the answer", answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(state_of(answer).await, "pending");
    }
    assert_eq!(released("the listener's end", world.listener).await.unwrap(), 0, "no connection is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_is_held_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on_sqlite(&folder).await;
    // A connection of its own, and a stream of one that goes on.
    for client in [http(), http_builder().http2_prior_knowledge().build().unwrap()] {
        let asking = world.patient(&client);
        world.holds(1).await;
        asking.abort();
        released("the end of the hold", world.holds(0)).await;
    }
    world.drain.cancel();
    assert_eq!(released("the listener's end", world.listener).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_reads_keep_no_connection_of_the_database() {
    const CONNECTIONS: u32 = 2;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("patient.db").display());
    let postgres = postgres_url().await.unwrap_or_else(|error| panic!("{error}"));
    for url in [sqlite, postgres] {
        let options = persistence::Options {
            read_connections: CONNECTIONS,
            write_connections: CONNECTIONS,
            engine_connections: CONNECTIONS,
            acquire_timeout: FOR_EVER,
        };
        let world = World::new(Arc::new(persistence::connect(&url, &options).await.unwrap())).await;
        let client = http();
        let asking: Vec<_> = (0..8 * CONNECTIONS).map(|_| world.patient(&client)).collect();
        world.holds(asking.len()).await;

        let others = async || {
            let created = world.put(&client, "other").send().await.unwrap();
            assert_eq!(created.status(), StatusCode::CREATED, "{url}");
            let paths =
                [world.workspaces(), format!("{}/other", world.workspaces()), format!("{}/readyz", world.public)];
            for path in paths {
                // Who wrote it would wait for what becomes of it.
                let asked = client.get(&path).header("prefer", "wait=0").send().await.unwrap();
                assert_eq!(asked.status(), StatusCode::OK, "{path} on {url}");
            }
        };
        released("other requests", others()).await;
        assert_eq!(world.watchers.held(), asking.len(), "all that while they were held");

        // Whoever deletes it releases them all.
        let deleted = client.delete(format!("{}/w", world.workspaces())).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::ACCEPTED);
        for answer in asking {
            let answer = released("the answer", answer).await.unwrap().unwrap();
            assert_eq!(state_of(answer).await, "deleting", "{url}");
        }
        world.drain.cancel();
        released("the listener's end", world.listener).await.unwrap();
    }
}
