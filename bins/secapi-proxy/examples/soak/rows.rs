//! What the API says of every resource, with what only the database tells: its uid, its project, its open steps.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use seca_client::{
    ApiResource, Collection, Error, SecaClient,
    seca_api::{Kind, Resource, ResourceState},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{ConnectOptions as _, Row as _, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::model::Key;

/// How long a question to the database may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A resource as the API answers it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) state: Option<ResourceState>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) spec: Value,
    pub(crate) status: Value,
    /// What the database remembers of its objects.
    pub(crate) facts: Value,
}

impl Row {
    pub(crate) fn is(&self, state: ResourceState) -> bool {
        self.state == Some(state)
    }

    pub(crate) fn is_in_transition(&self) -> bool {
        self.state.is_none_or(ResourceState::is_transitional)
    }

    /// State, reason and message, for people.
    pub(crate) fn words(&self) -> String {
        let state = self.state.map_or("without a state", ResourceState::as_str);
        format!("{} is {state} ({}: {})", self.key, self.reason, self.message)
    }
}

/// What the database has of a resource beside that.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) uid: String,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) workspace: String,
    pub(crate) state: String,
    pub(crate) version: i64,
    pub(crate) spec: Value,
    kind: String,
    network: String,
    status: Value,
    conditions: Value,
    facts: Value,
}

impl Entry {
    /// The same as a row, for what the API's lists leave out.
    fn row(&self) -> Option<Row> {
        let newest = |member: &str| self.conditions[0][member].as_str().unwrap_or_default().to_owned();
        Some(Row {
            key: Key {
                kind: Kind::parse(&self.kind)?,
                workspace: self.workspace.clone(),
                network: self.network.clone(),
                name: self.name.clone(),
            },
            uid: self.uid.clone(),
            state: serde_json::from_value(Value::from(self.state.as_str())).ok(),
            reason: newest("reason"),
            message: newest("message"),
            spec: self.spec.clone(),
            status: self.status.clone(),
            facts: self.facts.clone(),
        })
    }
}

/// A step that is not closed.
#[derive(Clone, Debug)]
pub(crate) struct OpenStep {
    pub(crate) uid: String,
    pub(crate) words: String,
}

/// The database, read only.
#[derive(Clone)]
pub(crate) struct Database(String);

impl Database {
    pub(crate) fn at(url: &str) -> Self {
        Self(url.to_owned())
    }

    async fn rows(&self, query: &'static str) -> anyhow::Result<Vec<sqlx::postgres::PgRow>> {
        let ask = async {
            let options: PgConnectOptions = self.0.parse()?;
            let mut connection = options.options([("default_transaction_read_only", "on")]).connect().await?;
            anyhow::Ok(sqlx::query(query).fetch_all(&mut connection).await?)
        };
        timeout(ANSWER, ask).await.context("the database does not answer")?
    }

    /// Every resource but roles and their assignments.
    pub(crate) async fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let query = "SELECT uid, kind, workspace, network, name, state, resource_version, spec, status, conditions, facts FROM resources \
                     WHERE kind NOT IN ('role', 'role-assignment') ORDER BY uid";
        let entry = |row: sqlx::postgres::PgRow| {
            let text = |column: &str| row.get::<String, _>(column);
            let parts = [text("kind"), text("workspace"), text("network"), text("name")];
            Entry {
                uid: text("uid"),
                key: parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" "),
                name: text("name"),
                workspace: text("workspace"),
                state: text("state"),
                version: row.get("resource_version"),
                spec: serde_json::from_str(&text("spec")).unwrap_or(Value::Null),
                kind: text("kind"),
                network: text("network"),
                status: serde_json::from_str(&text("status")).unwrap_or(Value::Null),
                conditions: serde_json::from_str(&text("conditions")).unwrap_or(Value::Null),
                facts: serde_json::from_str(&text("facts")).unwrap_or(Value::Null),
            }
        };
        Ok(self.rows(query).await?.into_iter().map(entry).collect())
    }

    /// How each resource stands in the queue, in words.
    pub(crate) async fn places(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let query = "SELECT w.uid, format('in the queue of %s, its row in %s, woken %s times, %s', w.project, r.project, \
                     w.wakes, COALESCE('due since ' || ((extract(epoch FROM clock_timestamp()) * 1000)::bigint \
                     - w.next_run_at) || ' ms', 'not due')) AS place FROM work w JOIN resources r ON r.uid = w.uid";
        Ok(self.rows(query).await?.into_iter().map(|row| (row.get("uid"), row.get("place"))).collect())
    }

    /// Every step that is not closed, of resources that are there.
    pub(crate) async fn open_steps(&self) -> anyhow::Result<Vec<OpenStep>> {
        let query = "SELECT steps.uid, steps.operation, steps.target, steps.state FROM steps \
                     JOIN resources ON resources.uid = steps.uid \
                     WHERE steps.state IN ('intended', 'running', 'unknown') ORDER BY steps.id";
        let step = |row: sqlx::postgres::PgRow| {
            let text = |column: &str| row.get::<String, _>(column);
            let words = format!("step {} on {} is {}", text("operation"), text("target"), text("state"));
            OpenStep { uid: text("uid"), words }
        };
        Ok(self.rows(query).await?.into_iter().map(step).collect())
    }

    /// Whether every project has an owner whose lease is not over.
    pub(crate) async fn all_leased(&self) -> anyhow::Result<bool> {
        let query = "SELECT 1 AS free FROM projects WHERE owner IS NULL OR until IS NULL \
                     OR until < (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(self.rows(query).await?.is_empty())
    }

    /// Whether a project that the newest engine had last has an owner whose lease is not over.
    pub(crate) async fn newest_leased(&self) -> anyhow::Result<bool> {
        let query = "SELECT 1 AS held FROM projects WHERE engine_version = (SELECT max(engine_version) FROM projects) \
                     AND owner IS NOT NULL AND until >= (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(!self.rows(query).await?.is_empty())
    }

    /// Ends some connections of the product, as a network or an administrator does; how many.
    pub(crate) async fn cut(&self) -> anyhow::Result<usize> {
        let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";
        Ok(self.rows(query).await?.len())
    }
}

/// Every resource: those that the API lists, and those that are being deleted, which its lists leave out.
pub(crate) async fn read(client: &SecaClient, database: &Database) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    list(&mut rows, client.workspaces(), "", "").await?;
    list(&mut rows, client.images(), "", "").await?;
    let workspaces: Vec<String> = names(&rows, Kind::Workspace, "");
    for workspace in &workspaces {
        let w = workspace.as_str();
        list(&mut rows, client.block_storages(w), w, "").await?;
        list(&mut rows, client.instances(w), w, "").await?;
        list(&mut rows, client.networks(w), w, "").await?;
        list(&mut rows, client.internet_gateways(w), w, "").await?;
        list(&mut rows, client.nics(w), w, "").await?;
        list(&mut rows, client.public_ips(w), w, "").await?;
        list(&mut rows, client.security_groups(w), w, "").await?;
        list(&mut rows, client.security_group_rules(w), w, "").await?;
        for network in names(&rows, Kind::Network, w) {
            list(&mut rows, client.subnets(w, &network), w, &network).await?;
            list(&mut rows, client.route_tables(w, &network), w, &network).await?;
        }
    }
    let mut entries: BTreeMap<String, Entry> =
        database.entries().await?.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    for row in &mut rows {
        let entry = entries.remove(&row.key.to_string());
        (row.uid, row.facts) = entry.map(|entry| (entry.uid, entry.facts)).unwrap_or_default();
    }
    // System images have no row.
    rows.retain(|row| row.key.kind != Kind::Image || !row.uid.is_empty());
    rows.extend(entries.values().filter_map(Entry::row));
    Ok(rows)
}

fn names(rows: &[Row], kind: Kind, workspace: &str) -> Vec<String> {
    let of = |row: &&Row| row.key.kind == kind && row.key.workspace == workspace;
    rows.iter().filter(of).map(|row| row.key.name.clone()).collect()
}

async fn list<S, T>(
    rows: &mut Vec<Row>,
    collection: Collection<Resource<S, T>>,
    workspace: &str,
    network: &str,
) -> anyhow::Result<()>
where
    Resource<S, T>: ApiResource,
    S: Serialize + DeserializeOwned,
    T: Serialize + seca_client::seca_api::Conditions,
{
    let found = match collection.list().await {
        Ok(found) => found,
        // Its parent is gone since.
        Err(error) if Error::is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for resource in found {
        let newest = resource.newest_condition().cloned();
        rows.push(Row {
            key: Key {
                kind: <Resource<S, T> as ApiResource>::KIND,
                workspace: workspace.to_owned(),
                network: network.to_owned(),
                name: ApiResource::metadata(&resource).name.clone(),
            },
            uid: String::new(),
            state: resource.status.as_ref().and_then(|status| status.state()),
            reason: newest.as_ref().and_then(|newest| newest.reason.clone()).unwrap_or_default(),
            message: newest.and_then(|newest| newest.message).unwrap_or_default(),
            spec: serde_json::to_value(&resource.spec)?,
            status: serde_json::to_value(&resource.status)?,
            facts: Value::Null,
        });
    }
    Ok(())
}
