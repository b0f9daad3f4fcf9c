//! The proxy, put together: store, provider, vault, engine and two listeners, and how all of them stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use api_server::{AdminConfig, ApiConfig, Limits, Options, Readiness, Recorder, Tls};
use authentication::{AdminTokens, Authenticator, Followed, JwksFetcher, Jwt, KeySet, Off, StaticTokens};
use control_plane::{
    Catalog, CatalogCache, ProjectId, Watchers,
    engine::{Engine, EngineParts, EngineSettings},
    kinds,
    ports::{Access, Clock, CloudProvider as _, Ids, ProjectFinder, Rng, Store, Vault},
    service::{Administration, Bindings, ControlPlane, Enforcement, Parts},
};
use credential_vault::CredentialVault;
use hcloud_client::{HcloudClient, HttpSettings};
use hetzner_adapter::{AdapterSettings, HetznerProvider, HetznerRules};
use http_support::is_loopback;
use persistence::SqlStore;
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    address::{Address, local_url},
    build,
    config::{AuthConfig, ServeConfig},
    descriptors::Shares,
    edge::{SystemClock, SystemRng},
    http,
    issuer_keys::HttpFetcher,
    metering::Metering,
    prune, regions, tenants,
};

/// How long stopping waits for the last activities to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// A proxy that works.
pub(crate) struct Proxy {
    /// The URL under which clients on this machine connect.
    pub(crate) public: String,
    /// The URL under which operators on this machine connect.
    pub(crate) admin: String,
    drain: CancellationToken,
    stop_engine: CancellationToken,
    listeners: Vec<JoinHandle<usize>>,
    engine: JoinHandle<()>,
    activity: Recorder,
}

/// What the parts of one proxy share.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    ids: Ids,
    catalog: CatalogCache,
    vault: Arc<dyn Vault>,
    provider: Arc<HetznerProvider>,
    wake: Arc<Notify>,
    watchers: Arc<Watchers>,
}

impl Proxy {
    /// Starts everything over a store of this release's schema. Both listeners accept when it returns.
    ///
    /// With a `catalog_token` the catalogue is read before anything is served; otherwise the first binding brings
    /// it, and the embedded one, which has no images, holds until then.
    pub(crate) async fn start(
        config: &ServeConfig,
        store: &SqlStore,
        rng: SystemRng,
        catalog_token: Option<&SecretString>,
    ) -> anyhow::Result<Self> {
        let shares = Shares::take();
        let public = listen(config.listen, "the public listener", "--listen").await?;
        let admin = listen(config.admin_listen, "the admin listener", "--admin-listen").await?;
        let (public_address, admin_address) = (public.local_addr()?, admin.local_addr()?);

        let owner = format!("{}-{}", std::process::id(), rng.token(6));
        let metering = Metering::of(config, store);
        let shared = share(config, store, rng, catalog_token, &metering).await?;
        let administration =
            Administration::new(shared.store.clone(), shared.clock.clone(), shared.ids.clone(), shared.wake.clone());
        let (activity, _) = Recorder::start(shared.store.clone(), shared.clock.clone());
        tenants::prepare(config, &administration, &activity, shared.clock.as_ref()).await?;
        let engine = engine(config, &shared, owner).metered_by(metering.engine()).caused_by(activity.causes());
        let vitals = engine.vitals();
        let drain = CancellationToken::new();
        let public_router = api_server::public_router(
            control_plane(config, &shared).reporting(vitals.clone()),
            authenticator(&config.auth, shared.clock.clone())?,
            ApiConfig {
                default_region: config.default_region.clone(),
                public_base_url: config.public_base_url.clone(),
                jwks: published_keys(config)?,
                signing_key: config.keys.derive("skip tokens of lists"),
                served: kinds::served().to_vec(),
                unknown_parameters: config.unknown_parameters,
                activity: activity.clone(),
                ids: shared.ids.clone(),
                limits: Limits { rates: config.rates, ..Limits::default() },
                meter: metering.http(),
            },
            drain.clone(),
        );
        let admin_router = api_server::admin_router(
            bindings(config, &shared),
            administration,
            Readiness::with_engine(shared.store.clone(), vitals, drain.clone()).telling(build::VERSION, build::COMMIT),
            AdminConfig {
                tokens: AdminTokens::open(config.admin_token.as_ref(), config.admin_tokens.as_deref())?,
                clock: shared.clock.clone(),
                default_region: config.default_region.clone(),
                served: kinds::served().to_vec(),
                activity: activity.clone(),
                ids: shared.ids.clone(),
                limits: Limits::default(),
                meter: metering.http(),
                metrics: metering.metrics(config, &shared.provider, &shared.watchers),
            },
        );

        let stop_engine = CancellationToken::new();
        let listeners = [
            (public, &config.tls, public_router, shares.public),
            (admin, &config.admin_tls, admin_router, shares.admin),
        ]
        .map(|(listener, tls, router, connections)| {
            let (tls, drain) = (tls.clone(), drain.clone());
            let options = Options { connections, silent: config.silent.clone(), ..Options::default() };
            tokio::spawn(async move {
                match tls {
                    Some(tls) => api_server::serve_tls(listener, tls, router, options, drain).await,
                    None => api_server::serve(listener, router, options, drain).await,
                }
            })
        });
        let engine = tokio::spawn(engine.run(stop_engine.clone()));
        let pruning =
            prune::run(shared.store.clone(), shared.clock.clone(), config.activity_retention, stop_engine.clone());
        tokio::spawn(pruning);
        let (public, admin) = (url(public_address, config.tls.as_ref()), url(admin_address, config.admin_tls.as_ref()));
        info!(%public, %admin, version = build::VERSION, commit = build::COMMIT, "serving");
        Ok(Self { public, admin, drain, stop_engine, listeners: listeners.into(), engine, activity })
    }

    /// Ends when a part that should go on does not: a defect.
    pub(crate) async fn failed(&mut self) {
        let engine = &mut self.engine;
        let [public, admin] = self.listeners.as_mut_slice() else { return };
        tokio::select! {
            _ = engine => {}
            _ = public => {}
            _ = admin => {}
        }
    }

    /// Stops: unready at once, nothing new is accepted, requests under way are finished, it is written down who did
    /// what, then the engine gives its leases back, so that another process need not wait for them.
    pub(crate) async fn stop(self) {
        info!("draining");
        self.drain.cancel();
        for listener in self.listeners {
            drop(listener.await);
        }
        // A database that does not answer must not keep the process.
        if timeout(FLUSH, self.activity.flush()).await.is_err() {
            warn!("the last activities may not be written: the database did not answer");
        }
        self.stop_engine.cancel();
        drop(self.engine.await);
        info!("stopped");
    }
}

fn url(address: SocketAddr, tls: Option<&Tls>) -> String {
    local_url(if tls.is_some() { "https" } else { "http" }, address)
}

async fn share(
    config: &ServeConfig,
    store: &SqlStore,
    rng: SystemRng,
    catalog_token: Option<&SecretString>,
    metering: &Metering,
) -> anyhow::Result<Shared> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(rng);
    let vault = CredentialVault::new(&config.keys, rng.clone()).context("the keys cannot be used")?;
    let provider = provider(config, clock.clone(), rng.clone(), metering)?;
    let catalog = catalog(config, store, &provider, catalog_token).await?;
    if !catalog.has_region(&config.default_region) {
        anyhow::bail!(
            "SECA_DEFAULT_REGION={} is not a region of the catalogue: it must be one of {}, for example fsn1",
            config.default_region,
            catalog.regions().join(", ")
        );
    }
    Ok(Shared {
        ids: Ids::new(clock.clone(), rng.clone()),
        store: Arc::new(store.clone()),
        clock,
        rng,
        catalog: CatalogCache::new(catalog),
        vault: Arc::new(vault),
        provider: Arc::new(provider),
        wake: Arc::new(Notify::new()),
        watchers: Arc::new(Watchers::new(config.patience)),
    })
}

/// The provider that the settings name.
pub(crate) fn provider(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    metering: &Metering,
) -> anyhow::Result<HetznerProvider> {
    let settings = HttpSettings {
        request_timeout: config.request_timeout,
        user_agent: concat!("secapi-proxy-hetzner/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..HttpSettings::default()
    };
    let direct = is_loopback(&config.endpoints.default);
    let client = HcloudClient::with_client(http::client(config.request_timeout, direct)?, &settings)?;
    Ok(HetznerProvider::new(metering.provider(client), clock, rng, adapter_settings(config)))
}

/// What of the settings the adapter decides by.
fn adapter_settings(config: &ServeConfig) -> AdapterSettings {
    AdapterSettings {
        ungrouped_closed: config.ungrouped_closed,
        disk_hold: config.disk_hold,
        regions: config.regions.clone(),
        gateway: config.gateway.clone(),
        ..AdapterSettings::default()
    }
}

/// The catalogue to begin with: the stored one, else the provider's, else the embedded one. A stored one that was made by
/// another choice of regions is made again from the embedded one, until the provider is asked.
///
/// # Errors
/// Among others a [`Problem`](::settings::Problem), when a region or a location that is still in use is no
/// longer one.
pub(crate) async fn catalog(
    config: &ServeConfig,
    store: &dyn Store,
    provider: &HetznerProvider,
    token: Option<&SecretString>,
) -> anyhow::Result<Catalog> {
    let (version, stored) = store.catalog().await.context("the stored catalogue cannot be read")?;
    let catalog = |version, entries| Catalog::new(version, entries, &config.default_region);
    let is_current = hetzner_adapter::catalog::is_made_by(&stored, &config.regions);
    if version > 0 && is_current {
        return Ok(catalog(version, stored));
    }
    let occupancy = store.oversight().occupancy().await.context("it cannot be read which regions are in use")?;
    regions::refuse_loss(&config.regions, &occupancy)?;
    if version > 0 {
        let entries = catalog(version, stored).merge(provider.fallback_catalog());
        // Where another process was faster, that one's holds until the provider is asked.
        let saved = store.save_catalog(version, &entries).await?;
        return Ok(catalog(saved.unwrap_or(version), entries));
    }
    let Some(token) = token else { return Ok(catalog(0, provider.fallback_catalog())) };
    let project = ProjectId("catalogue".to_owned());
    let access = Access { project, endpoint: config.endpoints.default.clone(), token: token.clone() };
    let entries = provider.catalog(&access).await.context("the catalogue cannot be read")?;
    let version = store.save_catalog(0, &entries).await?.unwrap_or_default();
    Ok(catalog(version, entries))
}

fn control_plane(config: &ServeConfig, shared: &Shared) -> ControlPlane {
    ControlPlane::new(Parts {
        store: shared.store.clone(),
        catalog: shared.catalog.clone(),
        rules: Arc::new(HetznerRules { bootstraps_guests: config.gateway.nat.enabled }),
        enforcement: match config.auth {
            AuthConfig::Off => Enforcement::Off,
            AuthConfig::Static(_) | AuthConfig::Jwt(_) => Enforcement::Roles,
        },
        clock: shared.clock.clone(),
        ids: shared.ids.clone(),
        wake: shared.wake.clone(),
    })
    .watched_by(shared.watchers.clone())
}

fn bindings(config: &ServeConfig, shared: &Shared) -> Bindings {
    let finder: Arc<dyn ProjectFinder> = shared.provider.clone();
    Bindings::new(
        shared.store.clone(),
        shared.vault.clone(),
        finder,
        shared.ids.clone(),
        config.endpoints.clone(),
        shared.wake.clone(),
    )
}

fn engine(config: &ServeConfig, shared: &Shared, owner: String) -> Engine<HetznerProvider> {
    let settings = EngineSettings {
        lease_ttl: config.lease_ttl,
        late_window: config.late_window,
        stop_grace: config.stop_grace,
        catalog_refresh: config.catalog_refresh,
        default_region: config.default_region.clone(),
        ..EngineSettings::new(owner, config.endpoints.default.clone())
    };
    Engine::new(EngineParts {
        store: shared.store.clone(),
        provider: shared.provider.clone(),
        vault: shared.vault.clone(),
        clock: shared.clock.clone(),
        rng: shared.rng.clone(),
        catalog: shared.catalog.clone(),
        wake: shared.wake.clone(),
        settings,
    })
    .watched_by(shared.watchers.clone())
}

fn authenticator(auth: &AuthConfig, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Authenticator>> {
    Ok(match auth {
        AuthConfig::Off => Arc::new(Off),
        AuthConfig::Static(path) => Arc::new(Followed::open(path, StaticTokens::load)?),
        AuthConfig::Jwt(issuers) => {
            let fetcher: Arc<dyn JwksFetcher> = Arc::new(HttpFetcher::new()?);
            Arc::new(Jwt::start(issuers, &fetcher, clock)?)
        }
    })
}

fn published_keys(config: &ServeConfig) -> anyhow::Result<Option<Arc<Followed<KeySet>>>> {
    let keys = config.jwks.as_ref().map(|path| Followed::open(path, KeySet::load_published));
    Ok(keys.transpose()?.map(Arc::new))
}

/// Binds a listener. `what` and `remedy` complete the sentence when that fails.
pub(crate) async fn listen(address: Address, what: &str, remedy: &str) -> anyhow::Result<TcpListener> {
    let mut failure = None;
    for candidate in address.candidates() {
        match TcpListener::bind(candidate).await {
            Ok(listener) => return Ok(listener),
            // Another program has the port on all interfaces: a second one on IPv4 alone would be a trap.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                anyhow::bail!(
                    "{what} cannot use port {}: another program listens on {address}; stop it, or choose another address with {remedy} (port 0 takes a free one)",
                    address.port()
                )
            }
            Err(error) => failure = Some(error),
        }
    }
    let error = failure.unwrap_or_else(|| io::Error::other("no address"));
    Err(anyhow::anyhow!("{what} cannot listen on {address}: {error}; choose another address with {remedy}"))
}
