//! The client: a tenant in a region.

use std::{collections::BTreeMap, fmt, sync::Arc};

use reqwest::Method;
use seca_api::{
    BlockStorage, Image, Instance, InstanceSku, InternetGateway, Kind, Network, NetworkSku, Nic, Provider, PublicIp,
    Region, Role, RoleAssignment, RouteTable, SecurityGroup, SecurityGroupRule, StorageSku, Subnet, Workspace,
};
use secrecy::SecretString;
use url::Url;

use crate::{
    collection::Collection,
    error::Error,
    http::{Call, Http, client_for, join, parse_base},
    resource::{ApiResource, Place},
};

/// A client for one tenant in one region. Clones share their connections.
#[derive(Clone)]
pub struct SecaClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    base: Url,
    tenant: String,
    region: Region,
    providers: BTreeMap<Provider, Url>,
}

impl SecaClient {
    /// Connects to a server: reads the region, which says where each provider answers.
    ///
    /// # Errors
    /// What reading the region may fail with: no answer, no such region, a token that does not count.
    pub async fn connect(
        base_url: &str,
        tenant: &str,
        region: &str,
        token: Option<SecretString>,
    ) -> Result<Self, Error> {
        let client = client_for(&parse_base(base_url)?)?;
        Self::with_client(client, base_url, tenant, region, token).await
    }

    /// The same over a client of the caller's, whose TLS, proxy and pool are the caller's choice. It should not
    /// follow redirects.
    ///
    /// # Errors
    /// As [`SecaClient::connect`].
    pub async fn with_client(
        client: reqwest::Client,
        base_url: &str,
        tenant: &str,
        region: &str,
        token: Option<SecretString>,
    ) -> Result<Self, Error> {
        let base = parse_base(base_url)?;
        let http = Http::new(client, token);
        let url = join(&base, ["providers", Provider::Region.name(), Provider::Region.version(), "regions", region])?;
        let region: Region = http.send(Call::new(Method::GET, url)).await?.read()?;
        let mut providers = BTreeMap::new();
        for offered in &region.spec.providers {
            let known = Provider::ALL.into_iter().find(|p| p.name() == offered.name && p.version() == offered.version);
            if let Some(provider) = known {
                providers.insert(provider, parse_base(&offered.url)?);
            }
        }
        Ok(Self { inner: Arc::new(Inner { http, base, tenant: tenant.to_owned(), region, providers }) })
    }

    /// How many calls this client and its clones have sent, those of waits included.
    pub fn calls(&self) -> u64 {
        self.inner.http.sent()
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.inner.tenant
    }

    /// The region, as it was when the client connected.
    pub fn region(&self) -> &Region {
        &self.inner.region
    }

    /// A collection of any kind; the methods below name the usual ones.
    pub fn collection<R: ApiResource>(&self, place: impl Into<Place>) -> Collection<R> {
        Collection::new(self.clone(), place.into())
    }

    /// The regions.
    pub fn regions(&self) -> Collection<Region> {
        self.collection(())
    }

    /// The tenant's workspaces.
    pub fn workspaces(&self) -> Collection<Workspace> {
        self.collection(())
    }

    /// The storage SKUs.
    pub fn storage_skus(&self) -> Collection<StorageSku> {
        self.collection(())
    }

    /// The instance SKUs.
    pub fn instance_skus(&self) -> Collection<InstanceSku> {
        self.collection(())
    }

    /// The network SKUs.
    pub fn network_skus(&self) -> Collection<NetworkSku> {
        self.collection(())
    }

    /// The tenant's images, the system's among them.
    pub fn images(&self) -> Collection<Image> {
        self.collection(())
    }

    /// The block storages of a workspace.
    pub fn block_storages(&self, workspace: &str) -> Collection<BlockStorage> {
        self.collection(workspace)
    }

    /// The instances of a workspace.
    pub fn instances(&self, workspace: &str) -> Collection<Instance> {
        self.collection(workspace)
    }

    /// The networks of a workspace.
    pub fn networks(&self, workspace: &str) -> Collection<Network> {
        self.collection(workspace)
    }

    /// The internet gateways of a workspace.
    pub fn internet_gateways(&self, workspace: &str) -> Collection<InternetGateway> {
        self.collection(workspace)
    }

    /// The subnets of a network.
    pub fn subnets(&self, workspace: &str, network: &str) -> Collection<Subnet> {
        self.collection((workspace, network))
    }

    /// The route tables of a network.
    pub fn route_tables(&self, workspace: &str, network: &str) -> Collection<RouteTable> {
        self.collection((workspace, network))
    }

    /// The NICs of a workspace.
    pub fn nics(&self, workspace: &str) -> Collection<Nic> {
        self.collection(workspace)
    }

    /// The public IPs of a workspace.
    pub fn public_ips(&self, workspace: &str) -> Collection<PublicIp> {
        self.collection(workspace)
    }

    /// The security groups of a workspace.
    pub fn security_groups(&self, workspace: &str) -> Collection<SecurityGroup> {
        self.collection(workspace)
    }

    /// The security group rules of a workspace.
    pub fn security_group_rules(&self, workspace: &str) -> Collection<SecurityGroupRule> {
        self.collection(workspace)
    }

    /// The tenant's roles, the system's among them.
    pub fn roles(&self) -> Collection<Role> {
        self.collection(())
    }

    /// The tenant's role assignments.
    pub fn role_assignments(&self) -> Collection<RoleAssignment> {
        self.collection(())
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    /// The address of a collection, a resource in it, or an action on that.
    pub(crate) fn url(&self, kind: Kind, place: &Place, below: &[&str]) -> Result<Url, Error> {
        let provider = kind.provider();
        let mut segments = place.segments(kind, &self.inner.tenant)?;
        segments.extend(below);
        match self.inner.providers.get(&provider) {
            Some(base) => join(base, segments),
            // Global providers need not stand in a region's list: they answer beside the one that was asked for it.
            None if provider.is_global() => {
                join(&self.inner.base, ["providers", provider.name()].into_iter().chain(segments))
            }
            None => Err(Error::Provider { provider: provider.id(), region: self.inner.region.metadata.name.clone() }),
        }
    }
}

impl fmt::Debug for SecaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecaClient")
            .field("base", &self.inner.base.as_str())
            .field("tenant", &self.inner.tenant)
            .field("region", &self.inner.region.metadata.name)
            .finish_non_exhaustive()
    }
}
