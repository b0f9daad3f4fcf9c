//! Keeping the catalogue current: one engine reads it through a bound project, all follow the store's version.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};
use tracing::{info, warn};

use super::EngineSettings;
use crate::{
    catalog::{Catalog, CatalogCache},
    ports::{Access, CloudProvider, Store, StoreResult},
};

/// How often a replica asks whether another one refreshed the catalogue.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);
/// How soon a first reading that failed is tried again: until there is one, nobody can name an image.
pub(crate) const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When the catalogue was last followed and last read from the provider.
#[derive(Default)]
pub(crate) struct CatalogKeeper {
    followed: Mutex<Option<Instant>>,
    refreshed: Mutex<Option<Instant>>,
}

impl CatalogKeeper {
    /// Loads the stored catalogue when it is newer than the one in memory.
    pub(crate) async fn follow(
        &self,
        store: &dyn Store,
        cache: &CatalogCache,
        settings: &EngineSettings,
    ) -> StoreResult<()> {
        let mut followed = self.followed.lock().await;
        // Before the first one clients wait for it.
        let is_first = cache.load().version == 0;
        if !is_first && followed.is_some_and(|at| at.elapsed() < FOLLOW_INTERVAL) {
            return Ok(());
        }
        *followed = Some(Instant::now());
        if store.catalog_version().await? > cache.load().version {
            let (version, entries) = store.catalog().await?;
            cache.store(Catalog::new(version, entries, &settings.default_region));
        }
        Ok(())
    }

    /// Reads the catalogue from the provider, unless that was done recently. `resync` says that a resync is
    /// under way: with a refresh interval of zero, only then. While there is none at all, a reading that is under
    /// way for another project is waited for.
    pub(crate) async fn refresh<P: CloudProvider>(
        &self,
        provider: &P,
        access: &Access,
        store: &dyn Store,
        cache: &CatalogCache,
        settings: &EngineSettings,
        resync: bool,
    ) -> StoreResult<()> {
        let free =
            if cache.load().version == 0 { Some(self.refreshed.lock().await) } else { self.refreshed.try_lock().ok() };
        let Some(mut refreshed) = free else { return Ok(()) };
        let is_first = cache.load().version == 0;
        let recent = |at: Instant| match settings.catalog_refresh {
            _ if is_first => at.elapsed() < FIRST_RETRY,
            interval if interval.is_zero() => !resync,
            interval => at.elapsed() < interval,
        };
        if refreshed.is_some_and(recent) {
            return Ok(());
        }
        // Also after a failure: the next try has the same pace.
        *refreshed = Some(Instant::now());
        let fresh = match provider.catalog(access).await {
            Ok(fresh) => fresh,
            Err(error) => {
                warn!(%error, seca.project = %access.project, "the catalogue could not be read");
                return Ok(());
            }
        };
        let (version, stored) = store.catalog().await?;
        let known = Catalog::new(version, stored, &settings.default_region);
        let merged = known.merge(fresh);
        if version > 0 && Catalog::new(version, merged.clone(), &settings.default_region) == known {
            return Ok(());
        }
        if let Some(version) = store.save_catalog(version, &merged).await? {
            info!(catalog.version = version, catalog.entries = merged.len(), "catalogue refreshed");
            cache.store(Catalog::new(version, merged, &settings.default_region));
        }
        Ok(())
    }
}
