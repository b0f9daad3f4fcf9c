//! What the public router stands in front of: the control plane, as a trait.
//!
//! The trait is there for the rules of HTTP, which hold whatever the service answers: tests put a service behind the router
//! that refuses for every reason there is, hangs and panics. The admin API has no such trait. Its tests put into a store
//! what is to be answered.

use std::time::Duration;

use async_trait::async_trait;
use control_plane::{
    ActionKind, ProjectId,
    ports::StoreError,
    service::{Caller, Context, ControlPlane, ListRequest, ListView, PutRequest, PutView, Refusal, Tenant, View},
    watch::{Held, Transition},
};
use seca_api::ResourceKey;
use serde_json::Value;

/// The public API's service. Each method is [`ControlPlane`]'s of the same name.
#[async_trait]
#[expect(missing_docs, reason = "documented on ControlPlane, whose shape this is")]
pub trait Service: Send + Sync + 'static {
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError>;
    /// A service without roles tells everybody.
    async fn tenant_for(&self, caller: &Caller, name: &str) -> Result<Option<Tenant>, StoreError> {
        let _ = caller;
        self.tenant(name).await
    }
    /// Whether the caller has a role in a tenant, as far as is known without asking for it.
    fn takes_part(&self, caller: &Caller, tenant: &str) -> bool;
    /// The regions, the default one first.
    fn regions(&self) -> Vec<String>;
    /// A service without roles permits everything.
    async fn permits(&self, caller: &Caller, verb: &'static str, key: &ResourceKey) -> Result<(), Refusal> {
        let _ = (caller, verb, key);
        Ok(())
    }
    async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal>;
    async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal>;
    async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal>;
    async fn delete(&self, context: Context<'_>, key: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal>;
    async fn act(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal>;
    /// A service without instances attaches nothing.
    async fn attach(
        &self,
        context: Context<'_>,
        volume: &ResourceKey,
        body: &Value,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        let _ = (context, body, if_version);
        Err(Refusal::NotFound(volume.clone()))
    }
    /// A service without instances detaches nothing.
    async fn detach(&self, context: Context<'_>, volume: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        let _ = (context, if_version);
        Err(Refusal::NotFound(volume.clone()))
    }
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
    /// The projects that are paused because another database rules them; a service without projects has none.
    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(Vec::new())
    }
    /// Why the engine cannot work, if it could not for a while; a service without one is not kept by it.
    fn stalled(&self) -> Option<String> {
        None
    }
    /// A service without watchers holds nothing.
    fn hold(&self, caller: &Caller, transition: &Transition, wish: Option<Duration>) -> Held {
        let _ = (caller, transition, wish);
        Held::No
    }
    fn told(&self, caller: &Caller, transition: &Transition) {
        let _ = (caller, transition);
    }
}

#[async_trait]
impl Service for ControlPlane {
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        Self::tenant(self, name).await
    }

    async fn tenant_for(&self, caller: &Caller, name: &str) -> Result<Option<Tenant>, StoreError> {
        Self::tenant_for(self, caller, name).await
    }

    fn takes_part(&self, caller: &Caller, tenant: &str) -> bool {
        Self::takes_part(self, caller, tenant)
    }

    fn regions(&self) -> Vec<String> {
        self.catalog().load().regions().to_vec()
    }

    async fn permits(&self, caller: &Caller, verb: &'static str, key: &ResourceKey) -> Result<(), Refusal> {
        Self::permits(self, caller, verb, key).await
    }

    async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        Self::get(self, context, key).await
    }

    async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        Self::list(self, context, request).await
    }

    async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal> {
        Self::put(self, context, request).await
    }

    async fn delete(&self, context: Context<'_>, key: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        Self::delete(self, context, key, if_version).await
    }

    async fn act(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        Self::act(self, context, key, action, if_version).await
    }

    async fn attach(
        &self,
        context: Context<'_>,
        volume: &ResourceKey,
        body: &Value,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        Self::attach(self, context, volume, body, if_version).await
    }

    async fn detach(&self, context: Context<'_>, volume: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        Self::detach(self, context, volume, if_version).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store().ping().await
    }

    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        let paused = self.store().oversight().paused_projects().await?;
        Ok(paused.into_iter().map(|(project, _)| project).collect())
    }

    fn stalled(&self) -> Option<String> {
        Self::stalled(self)
    }

    fn hold(&self, caller: &Caller, transition: &Transition, wish: Option<Duration>) -> Held {
        Self::hold(self, caller, transition, wish)
    }

    fn told(&self, caller: &Caller, transition: &Transition) {
        Self::told(self, caller, transition);
    }
}
