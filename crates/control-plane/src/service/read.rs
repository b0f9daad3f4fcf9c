//! Reading: single resources and lists, from the store and from the catalogue alike.

use seca_api::{Kind, ResourceKey, Scope, Selector, names::is_name};
use serde_json::{Map, json};

use super::{Context, ControlPlane, Refusal, View, render};
use crate::{
    catalog::{Catalog, CatalogEntry},
    kinds,
    ports::{Deleted, ListQuery, StoreResult},
    resource::Resource,
};

/// The page size when none is asked for.
const DEFAULT_LIMIT: i64 = 1_000;
/// The largest page.
const LARGEST_LIMIT: i64 = 10_000;

/// A list request.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The collection: a key with an empty name.
    pub collection: ResourceKey,
    /// The label selector as sent.
    pub labels: Option<String>,
    /// The page size as sent; 1,000 when absent, clamped to 1..=10,000.
    pub limit: Option<i64>,
    /// Names after this one.
    pub after: String,
    /// Which resources are shown.
    pub deleted: Deleted,
}

/// A page as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListView {
    /// The items, each a JSON document.
    pub items: Vec<String>,
    /// The name after which the next page begins; none on the last page.
    pub next: Option<String>,
}

impl ControlPlane {
    /// One resource. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Forbidden`], and failures of the store.
    pub async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        self.authorize(context.caller, "get", key).await?;
        let catalog = self.catalog.load();
        if let Some(entry) = kinds::catalog::find(&catalog, key) {
            let body = render::entry(entry, &key.tenant, catalog.version, context.base_url);
            return Ok(View { body, tag: None });
        }
        let row = match kinds::rules(key.kind) {
            Some(_) if is_possible(key) => self.store.get(key).await?,
            _ => None,
        };
        let row = row.ok_or_else(|| Refusal::NotFound(key.clone()))?;
        Ok(self.view(&row, "GET").await?)
    }

    /// A page. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for a selector that is none, and as for [`Self::get`].
    pub async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        let collection = &request.collection;
        self.authorize(context.caller, "list", collection).await?;
        let selector = selector(request.labels.as_deref())?;
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, LARGEST_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if !request.after.is_empty() && !is_name(&request.after) {
            return Err(Refusal::Malformed(
                "skipToken is not one that this collection gave out; leave it out to begin at the first page"
                    .to_owned(),
            ));
        }
        if kinds::catalog::is_listed(collection.kind) {
            return Ok(self.list_catalog(context, request, selector.as_ref(), limit));
        }
        let query = ListQuery {
            kind: collection.kind,
            tenant: collection.tenant.clone(),
            region: collection.region.clone(),
            workspace: collection.workspace.clone(),
            network: collection.network.clone(),
            deleted: request.deleted,
            selector,
            after: request.after.clone(),
            limit,
        };
        let possible = [&query.workspace, &query.network].into_iter().all(|name| name.is_empty() || is_name(name));
        if !possible {
            return Ok(ListView { items: Vec::new(), next: None });
        }
        let page = self.store.list(&query).await?;
        let next = page.items.last().filter(|_| page.more).map(|row| row.key.name.clone());
        let items = page.items.iter().map(|row| render::row(row, "GET", &Map::new())).collect();
        Ok(ListView { items, next })
    }

    fn list_catalog(
        &self,
        context: Context<'_>,
        request: &ListRequest,
        selector: Option<&Selector>,
        limit: usize,
    ) -> ListView {
        let catalog = self.catalog.load();
        let key = &request.collection;
        let mut entries = following(&catalog, key, &request.after);
        // Nothing in the catalogue is ever being deleted.
        entries.retain(|entry| {
            request.deleted != Deleted::Only && selector.is_none_or(|selector| selector.matches(&entry.labels))
        });
        let more = entries.len() > limit;
        entries.truncate(limit);
        ListView {
            next: entries.last().filter(|_| more).map(|entry| entry.name.clone()),
            items: entries
                .into_iter()
                .map(|entry| render::entry(entry, &key.tenant, catalog.version, context.base_url))
                .collect(),
        }
    }

    /// A row as a client sees it, with what has to be counted.
    pub(super) async fn view(&self, row: &Resource, verb: &str) -> StoreResult<View> {
        let mut more = Map::new();
        let mut tag = format!("{}.{}", row.resource_version, row.revision);
        if kinds::rules(row.key.kind).is_some_and(|rules| rules.counts_children) {
            let count = self.store.count_children(&row.key).await?;
            more.insert("resourceCount".to_owned(), json!(count));
            // The count changes without the row.
            tag = format!("{tag}.{count}");
        }
        Ok(View { body: render::row(row, verb, &more), tag: Some(tag) })
    }
}

/// The listed entries behind a name, in their order: regions in the operator's, all others by name.
fn following<'a>(catalog: &'a Catalog, collection: &ResourceKey, after: &str) -> Vec<&'a CatalogEntry> {
    if collection.kind.scope() != Scope::Global {
        return catalog.list(collection.kind, &collection.region).filter(|entry| entry.name.as_str() > after).collect();
    }
    let names = catalog.regions();
    let first = match names.iter().position(|name| name == after) {
        Some(index) => index + 1,
        None if after.is_empty() => 0,
        None => names.len(),
    };
    names.iter().skip(first).filter_map(|name| catalog.get(Kind::Region, name, name)).collect()
}

fn selector(labels: Option<&str>) -> Result<Option<Selector>, Refusal> {
    let Some(text) = labels else { return Ok(None) };
    let selector = Selector::parse(text).map_err(|error| Refusal::Malformed(error.to_string()))?;
    Ok((!selector.terms.is_empty()).then_some(selector))
}

/// Whether something can have this key; databases choke on some texts that are no names.
pub(super) fn is_possible(key: &ResourceKey) -> bool {
    is_name(&key.name) && [&key.workspace, &key.network].into_iter().all(|name| name.is_empty() || is_name(name))
}
