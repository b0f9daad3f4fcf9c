//! Reading is quiet: GET and LIST call no provider and write nothing, and read the database once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use api_server::{ApiConfig, Limits, Options};
use authentication::Off;
use common::{
    counting::Counting,
    life,
    proxy::{REGION, Setup, TENANT},
    sim::Sim,
};
use control_plane::{
    Catalog, CatalogCache, ProjectId, Watchers, kinds,
    ports::{Access, Clock, CloudProvider as _, Ids, Rng, Store},
    service::{ControlPlane, Enforcement, Parts, Tenant, Tenants},
    testing::environment::{SeededRng, TokioClock},
    watch::Patience,
};
use hcloud_client::{HcloudClient, HttpSettings};
use hetzner_adapter::{AdapterSettings, HetznerProvider};
use seca_client::{
    ApiResource, Collection, SecaClient,
    seca_api::{PowerState, WorkspaceSpec},
};
use tokio_util::sync::CancellationToken;

/// The public listener over a store, with the catalogue of a provider and no engine behind it.
async fn listener(store: Arc<dyn Store>, sim: &Sim, drain: CancellationToken) -> String {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
    let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(1));
    let client = HcloudClient::with_client(common::http(), &HttpSettings::default()).unwrap();
    let provider = HetznerProvider::new(Arc::new(client), clock.clone(), rng.clone(), AdapterSettings::default());
    let endpoint = sim.endpoint().parse().unwrap();
    let access = Access { project: ProjectId("quiet".to_owned()), endpoint, token: sim.token.clone().into() };
    let entries = provider.catalog(&access).await.unwrap();
    let ids = Ids::new(clock.clone(), rng);
    let (activity, _) = api_server::Recorder::start(store.clone(), clock.clone());
    let tenants = Tenants::from([(TENANT.to_owned(), Tenant::default())]);
    store.access().ensure_tenants(&tenants).await.unwrap();
    let control_plane = ControlPlane::new(Parts {
        store,
        catalog: CatalogCache::new(Catalog::new(1, entries, REGION)),
        rules: Arc::new(hetzner_adapter::HetznerRules::default()),
        enforcement: Enforcement::Off,
        clock,
        ids: ids.clone(),
        wake: Arc::default(),
    });
    // No engine works here: who has just written would wait for it.
    let patience = Patience { hold: Duration::ZERO, ..Patience::default() };
    let control_plane = control_plane.watched_by(Arc::new(Watchers::new(patience)));
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
    let router = api_server::public_router(control_plane, Arc::new(Off), config, drain.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(api_server::serve(listener, router, Options::default(), drain));
    format!("http://{address}")
}

/// Reads one, lists all of a collection, and reads what is not there: each reads the database so often, and writes
/// nothing. A first list reads it `first` times.
async fn check<R: ApiResource>(store: &Counting, resources: Collection<R>, name: &str, first: usize, reads: usize) {
    let kind = R::KIND.collection();
    store.take();
    resources.get(name).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(store.take(), (reads, 0), "reads and writes of GET {kind}/{name}");
    let listed = resources.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert!(listed.iter().any(|r| r.metadata().name == name), "LIST {kind} shows {name}");
    assert_eq!(store.take(), (first, 0), "reads and writes of a first LIST {kind}");
    resources.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(store.take(), (reads, 0), "reads and writes of LIST {kind}");
    assert!(resources.find("not-there").await.unwrap().is_none());
    assert_eq!(store.take(), (reads, 0), "reads and writes of GET {kind}/not-there");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_writes_nothing_and_reads_once() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.0).await;
    let url = format!("sqlite:{}", folder.path().join("quiet.db").display());
    let inner = persistence::connect(&url, &persistence::Options::default()).await.unwrap();
    let store = Arc::new(Counting::new(Arc::new(inner)));
    let drain = CancellationToken::new();
    let seca =
        SecaClient::connect(&listener(store.clone(), &sim, drain.clone()).await, TENANT, REGION, None).await.unwrap();
    let w = life::WORKSPACE;
    seca.workspaces().put(w, WorkspaceSpec::default()).await.unwrap();
    seca.block_storages(w).put(life::DISK, life::disk()).await.unwrap();
    seca.instances(w).put(life::INSTANCE, life::instance(life::DISK)).await.unwrap();
    assert!(store.take().1 >= 3, "writing is counted");
    let calls = sim.journal().await.len();

    check(&store, seca.regions(), REGION, 0, 0).await;
    check(&store, seca.instance_skus(), "cx23", 0, 0).await;
    check(&store, seca.storage_skus(), "hcloud-volume", 0, 0).await;
    check(&store, seca.images(), "ubuntu-24.04", 1, 1).await;
    check(&store, seca.workspaces(), w, 1, 1).await;
    // Versions, and once the texts that nobody kept.
    check(&store, seca.block_storages(w), life::DISK, 2, 1).await;
    check(&store, seca.instances(w), life::INSTANCE, 2, 1).await;
    assert_eq!(sim.journal().await.len(), calls, "the provider was called");
    drain.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reads_call_no_provider() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), 0.005).await;
    let mut proxy =
        Setup::new(folder.path(), &sim.endpoint()).with("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "1h").serve().await;
    let seca = proxy.client().await;
    life::workspace(&seca, &proxy.admin(), &sim.token).await.unwrap();
    life::create(&seca).await.unwrap();
    life::power(&seca, PowerState::On).await.unwrap();
    let (disks, instances) = (seca.block_storages(life::WORKSPACE), seca.instances(life::WORKSPACE));
    disks.wait_active(life::DISK, life::wait()).await.unwrap();

    let before = sim.journal().await;
    let version = instances.get(life::INSTANCE).await.unwrap().metadata.resource_version;
    for _ in 0..25 {
        seca.regions().list().await.unwrap();
        seca.instance_skus().list().await.unwrap();
        seca.images().get("ubuntu-24.04").await.unwrap();
        seca.workspaces().get(life::WORKSPACE).await.unwrap();
        disks.get(life::DISK).await.unwrap();
        disks.list().await.unwrap();
        instances.get(life::INSTANCE).await.unwrap();
        instances.list().await.unwrap();
    }
    let after = sim.journal().await;
    assert_eq!(after.len(), before.len(), "reading called the provider: {:?}", &after[before.len()..]);
    assert_eq!(instances.get(life::INSTANCE).await.unwrap().metadata.resource_version, version);
    assert_eq!(proxy.stop().await, Some(0));
}
