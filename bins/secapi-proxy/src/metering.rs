//! Metrics of this process: its counters, and what is looked at when somebody asks for them. `SECA_METRICS=off` switches
//! them off.

use std::sync::Arc;

use api_server::{Exposition, Metrics, Tls};
use async_trait::async_trait;
use control_plane::{Watchers, engine, ports::Store as _};
use hcloud_client::{HcloudApi, HcloudClient};
use hetzner_adapter::HetznerProvider;
use instruments::{CountedApi, Figures, Instruments};
use persistence::SqlStore;
use tokio::sync::Mutex;

use crate::config::ServeConfig;

/// The counters of this process; none with `SECA_METRICS=off`.
pub(crate) struct Metering {
    instruments: Option<Arc<Instruments>>,
    store: SqlStore,
}

impl Metering {
    /// By the settings; the store tells of its work from now on.
    pub(crate) fn of(config: &ServeConfig, store: &SqlStore) -> Self {
        let metering = Self::off(store);
        if !config.metrics {
            return metering;
        }
        let instruments = Arc::new(Instruments::new(crate::build::VERSION, crate::build::COMMIT));
        store.metered_by(instruments.clone());
        Self { instruments: Some(instruments), ..metering }
    }

    /// Nobody counts.
    pub(crate) fn off(store: &SqlStore) -> Self {
        Self { instruments: None, store: store.clone() }
    }

    /// For the listeners.
    pub(crate) fn http(&self) -> Arc<dyn api_server::Meter> {
        match &self.instruments {
            Some(instruments) => instruments.clone(),
            None => Arc::new(()),
        }
    }

    /// For the engine.
    pub(crate) fn engine(&self) -> Arc<dyn engine::Meter> {
        match &self.instruments {
            Some(instruments) => instruments.clone(),
            None => Arc::new(()),
        }
    }

    /// The door to the provider.
    pub(crate) fn provider(&self, client: HcloudClient) -> Arc<dyn HcloudApi> {
        match &self.instruments {
            Some(instruments) => Arc::new(CountedApi::new(client, instruments.clone())),
            None => Arc::new(client),
        }
    }

    /// What the admin listener shows.
    pub(crate) fn metrics(
        &self,
        config: &ServeConfig,
        provider: &Arc<HetznerProvider>,
        watchers: &Arc<Watchers>,
    ) -> Option<Metrics> {
        let scrape = Scrape {
            instruments: self.instruments.clone()?,
            store: self.store.clone(),
            provider: provider.clone(),
            watchers: watchers.clone(),
            certificates: [("public", config.tls.clone()), ("admin", config.admin_tls.clone())],
            turn: Mutex::default(),
        };
        Some(Metrics::new(Arc::new(scrape), config.metrics_token.as_ref()))
    }
}

/// What is looked at when metrics are asked for.
struct Scrape {
    instruments: Arc<Instruments>,
    store: SqlStore,
    provider: Arc<HetznerProvider>,
    watchers: Arc<Watchers>,
    certificates: [(&'static str, Option<Tls>); 2],
    /// Two that ask at once must not mix what they saw.
    turn: Mutex<()>,
}

#[async_trait]
impl Exposition for Scrape {
    async fn text(&self) -> Result<String, String> {
        let _turn = self.turn.lock().await;
        let backlog = self.store.oversight().backlog().await;
        if let Err(error) = &backlog {
            tracing::warn!(%error, "the database did not tell what waits; the metrics do without");
        }
        let leased = self.instruments.leased_projects();
        let mut projects = self.provider.figures();
        projects.retain(|figures| leased.iter().any(|project| project.0 == figures.project));
        let ends = |(listener, tls): &(&'static str, Option<Tls>)| Some((*listener, tls.as_ref()?.ends()?));
        self.instruments.show(&Figures {
            backlog: backlog.ok(),
            projects,
            pools: self.store.pools(),
            statements: self.store.statements(),
            held_gets: self.watchers.held(),
            certificates: self.certificates.iter().filter_map(ends).collect(),
        });
        self.instruments.text().map_err(|error| error.to_string())
    }
}
