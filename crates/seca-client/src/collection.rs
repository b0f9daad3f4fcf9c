//! A collection of resources of one kind in one place, and what can be done with them.

use std::{marker::PhantomData, time::Duration};

use reqwest::Method;
use seca_api::{Draft, Instance, List, Selector};

use crate::{
    client::SecaClient,
    error::Error,
    http::Call,
    resource::{ApiResource, Place, Writable},
};

/// The resources of one kind in one place.
#[derive(Clone, Debug)]
pub struct Collection<R> {
    client: SecaClient,
    place: Place,
    kind: PhantomData<fn() -> R>,
}

/// Which resources of a collection to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only those whose labels it selects.
    pub labels: Option<Selector>,
    /// How many a page holds, 1 to 10000; the server's choice where it is not set.
    pub page_size: Option<u16>,
}

impl<R: ApiResource> Collection<R> {
    pub(crate) const fn new(client: SecaClient, place: Place) -> Self {
        Self { client, place, kind: PhantomData }
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// [`Error::is_not_found`] says that there is none.
    pub async fn get(&self, name: &str) -> Result<R, Error> {
        self.read(name, None).await
    }

    /// Reads a resource that may not be there.
    ///
    /// # Errors
    /// As [`Collection::get`], but for the resource that is not there.
    pub async fn find(&self, name: &str) -> Result<Option<R>, Error> {
        match self.get(name).await {
            Ok(resource) => Ok(Some(resource)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists all resources, page by page.
    ///
    /// # Errors
    /// What a page fails with.
    pub async fn list(&self) -> Result<Vec<R>, Error> {
        self.query(&ListQuery::default()).await
    }

    /// Lists some resources, page by page.
    ///
    /// # Errors
    /// What a page fails with.
    pub async fn query(&self, query: &ListQuery) -> Result<Vec<R>, Error> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let url = self.page_url(query, token.as_deref())?;
            let call = format!("GET {}", url.path());
            let page: List<R> = self.client.http().send(Call::new(Method::GET, url)).await?.read()?;
            let is_stuck =
                page.metadata.skip_token.is_some() && (page.items.is_empty() || page.metadata.skip_token == token);
            all.extend(page.items);
            token = page.metadata.skip_token;
            match token {
                None => return Ok(all),
                Some(_) if is_stuck => return Err(Error::EndlessList { call }),
                Some(_) => {}
            }
        }
    }

    fn page_url(&self, query: &ListQuery, token: Option<&str>) -> Result<url::Url, Error> {
        let mut url = self.client.url(R::KIND, &self.place, &[])?;
        let labels = query.labels.as_ref().filter(|labels| !labels.terms.is_empty()).map(ToString::to_string);
        let limit = query.page_size.map(|size| size.to_string());
        for (name, value) in [("labels", labels.as_deref()), ("limit", limit.as_deref()), ("skipToken", token)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(url)
    }

    /// Reads a resource, and asks the server to answer only when something changed or so much time went by.
    pub(crate) async fn read(&self, name: &str, hold: Option<Duration>) -> Result<R, Error> {
        let mut call = Call::new(Method::GET, self.client.url(R::KIND, &self.place, &[name])?);
        if let Some(hold) = hold {
            call = call.prefer_wait(hold);
        }
        self.client.http().send(call).await?.read()
    }
}

impl<R: Writable> Collection<R> {
    /// Creates a resource, or replaces what is wanted of it.
    ///
    /// # Errors
    /// [`Error::problem`] names every broken rule.
    pub async fn put(&self, name: &str, draft: impl Into<Draft<R::Spec>> + Send) -> Result<R, Error> {
        self.write(name, &draft.into(), None).await
    }

    /// The same if the resource still has a version, `metadata.resourceVersion`.
    ///
    /// # Errors
    /// [`Error::is_stale`] says that it has another.
    pub async fn put_if(
        &self,
        name: &str,
        draft: impl Into<Draft<R::Spec>> + Send,
        if_unmodified_since: i64,
    ) -> Result<R, Error> {
        self.write(name, &draft.into(), Some(if_unmodified_since)).await
    }

    async fn write(&self, name: &str, draft: &Draft<R::Spec>, version: Option<i64>) -> Result<R, Error> {
        let url = self.client.url(R::KIND, &self.place, &[name])?;
        let body = serde_json::to_vec(draft)
            .map_err(|source| Error::Decode { call: format!("PUT {}", url.path()), source })?;
        let call = Call::new(Method::PUT, url).body(body).if_unmodified_since(version);
        self.client.http().send(call).await?.read()
    }

    /// Deletes a resource. It goes on being there until everything behind it is gone; see
    /// [`Collection::wait_gone`]. False says that there was none.
    ///
    /// # Errors
    /// A conflict names what still uses it.
    pub async fn delete(&self, name: &str) -> Result<bool, Error> {
        self.remove(name, None).await
    }

    /// The same if the resource still has a version.
    ///
    /// # Errors
    /// [`Error::is_stale`] says that it has another.
    pub async fn delete_if(&self, name: &str, if_unmodified_since: i64) -> Result<bool, Error> {
        self.remove(name, Some(if_unmodified_since)).await
    }

    async fn remove(&self, name: &str, version: Option<i64>) -> Result<bool, Error> {
        let url = self.client.url(R::KIND, &self.place, &[name])?;
        let call = Call::new(Method::DELETE, url).if_unmodified_since(version);
        match self.client.http().send(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for an action on a resource: the last segment of its path.
    ///
    /// # Errors
    /// A conflict says why it is not possible now.
    pub async fn action(&self, name: &str, action: &str) -> Result<(), Error> {
        let url = self.client.url(R::KIND, &self.place, &[name, action])?;
        self.client.http().send(Call::new(Method::POST, url)).await.map(|_| ())
    }
}

impl Collection<Instance> {
    /// Starts an instance that is off.
    ///
    /// # Errors
    /// A conflict: it is on, or not active.
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        self.action(name, "start").await
    }

    /// Stops an instance that is on.
    ///
    /// # Errors
    /// A conflict: it is off, or not active.
    pub async fn stop(&self, name: &str) -> Result<(), Error> {
        self.action(name, "stop").await
    }

    /// Restarts an instance that is on.
    ///
    /// # Errors
    /// A conflict: it is off, or not active.
    pub async fn restart(&self, name: &str) -> Result<(), Error> {
        self.action(name, "restart").await
    }
}
