//! Calls for one project: budget, retries, paging, reading of answers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{Method, StatusCode};
use http_support::Backoff;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::api::{Access, ApiRequest, ApiResponse, HcloudApi, TransportErrorKind};
use crate::bounds::{MAX_PAGES, MAX_RETRY_AFTER};
use crate::budget::{BudgetSnapshot, Permit, Priority, RateBudget, retry_after};
use crate::environment::Environment;
use crate::error::{ApiError, Error, ErrorClass};
use crate::gate::{Closed, Gate};
use crate::poller::{ActionPoller, Overdue};
use crate::types::{Action, Id, Resource};

/// How many pages of a list are read at once: a project of thousands of objects is read in seconds, and its budget is left
/// to others between them.
const PAGES_AT_ONCE: usize = 8;

/// How reads are repeated, and calls that the budget refused. Changes are never repeated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls in all.
    pub tries: u32,
    /// Longest first delay; it doubles, and the delay is drawn between zero and it (full jitter).
    pub base: Duration,
    /// Longest delay of all.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { tries: 5, base: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// Delay before the try after `failures` failed ones, for a random number in `0.0..1.0`.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        Backoff { first: self.base, longest: self.cap }.drawn(failures, random)
    }
}

/// How long a change waits for the budget unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all calls of one project share, whatever token they use: budget and poller.
#[derive(Debug, Default)]
pub struct ProjectState {
    budget: RateBudget,
    poller: ActionPoller,
}

/// How a project stands, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectFigures {
    /// Its key.
    pub project: String,
    /// Its rate budget.
    pub budget: BudgetSnapshot,
    /// How many actions somebody waits for.
    pub actions: usize,
}

/// The provider, for any number of projects: hands out a [`ProjectClient`] per access and keeps
/// what the calls of one project share. Make one, and share it.
pub struct Hcloud {
    api: Arc<dyn HcloudApi>,
    environment: Arc<dyn Environment>,
    retry: RetryPolicy,
    patience: Duration,
    projects: Mutex<HashMap<String, Arc<ProjectState>>>,
}

impl Hcloud {
    /// The provider behind this door.
    #[must_use]
    pub fn new(api: Arc<dyn HcloudApi>, environment: Arc<dyn Environment>) -> Self {
        Self { api, environment, retry: RetryPolicy::default(), patience: PATIENCE, projects: Mutex::default() }
    }

    /// With another retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// With another time that a change waits for the budget before it is given back as [`Error::Throttled`] (default:
    /// 5 s). Reads and polls wait for as long as it takes.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Calls for one project. Cheap; make one whenever a token was opened and drop it after use.
    #[must_use]
    pub fn project(&self, access: Access) -> ProjectClient {
        let state = Arc::clone(self.states().entry(access.project.clone()).or_default());
        ProjectClient {
            api: Arc::clone(&self.api),
            environment: Arc::clone(&self.environment),
            retry: self.retry,
            patience: self.patience,
            state,
            access,
            priority: None,
            gate: None,
        }
    }

    /// The rate budget of a project; none when nothing was asked of it yet.
    #[must_use]
    pub fn budget(&self, project: &str) -> Option<BudgetSnapshot> {
        Some(self.states().get(project)?.budget.snapshot())
    }

    /// Whether an action of a project that somebody waits for is overdue; see [`ActionPoller::overdue`].
    #[must_use]
    pub fn overdue(&self, project: &str, id: Id<Action>) -> Option<Overdue> {
        let state = Arc::clone(self.states().get(project)?);
        state.poller.overdue(id, self.environment.now())
    }

    /// How each project stands of which something was asked, by name.
    #[must_use]
    pub fn figures(&self) -> Vec<ProjectFigures> {
        let figures = |(project, state): (&String, &Arc<ProjectState>)| ProjectFigures {
            project: project.clone(),
            budget: state.budget.snapshot(),
            actions: state.poller.running(),
        };
        let mut all: Vec<_> = self.states().iter().map(figures).collect();
        all.sort_by(|a, b| a.project.cmp(&b.project));
        all
    }

    /// Forgets what is known of a project (its budget is probed anew should it come back).
    pub fn forget(&self, project: &str) {
        self.states().remove(project);
    }

    /// How long one call takes at most; see [`HcloudApi::request_timeout`].
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.api.request_timeout()
    }

    fn states(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<ProjectState>>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hcloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hcloud").finish_non_exhaustive()
    }
}

/// Typed calls for one project; the calls are in `calls/`, one file per resource.
///
/// Reads are repeated inside when they fail in passing. A change is sent once: it is repeated only
/// when the provider refused it for lack of budget, which proves that nothing happened, and not sent
/// at all when the budget has no room for it soon ([`Error::Throttled`]) or when the caller's gate is
/// closed ([`Error::NotSent`]). Dropping the future of a change leaves its outcome unknown.
#[derive(Clone)]
pub struct ProjectClient {
    api: Arc<dyn HcloudApi>,
    environment: Arc<dyn Environment>,
    retry: RetryPolicy,
    patience: Duration,
    state: Arc<ProjectState>,
    access: Access,
    priority: Option<Priority>,
    gate: Option<Arc<dyn Gate>>,
}

impl fmt::Debug for ProjectClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectClient")
            .field("access", &self.access)
            .field("priority", &self.priority)
            .field("gated", &self.gate.is_some())
            .finish_non_exhaustive()
    }
}

/// What a change gave: the resource, the action that is under way, and those that follow it.
#[derive(Clone, Debug)]
pub struct Mutated<T> {
    /// The resource as it is now, often not ready yet.
    pub resource: T,
    /// The action, if the change is not done at once.
    pub action: Option<Action>,
    /// Actions that follow (`start_server`, `attach_volume`); wait for all before the next change.
    pub next_actions: Vec<Action>,
    /// Root password of a server made without SSH keys.
    pub root_password: Option<SecretString>,
}

impl<T> Mutated<T> {
    /// All actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.action.iter().chain(&self.next_actions)
    }
}

/// Which resources of a list are wanted. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Exact name.
    pub name: Option<String>,
    /// Label selector (`env=prod,!old`).
    pub label_selector: Option<String>,
}

impl ListFilter {
    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Those that a label selector matches.
    #[must_use]
    pub fn labelled(selector: impl Into<String>) -> Self {
        Self { label_selector: Some(selector.into()), ..Self::default() }
    }

    pub(crate) fn query(&self) -> Query {
        let mut query = Query::new();
        if let Some(name) = &self.name {
            query.push(("name".to_owned(), name.clone()));
        }
        if let Some(selector) = &self.label_selector {
            query.push(("label_selector".to_owned(), selector.clone()));
        }
        query
    }
}

pub(crate) type Query = Vec<(String, String)>;

/// Resources per page: the provider's maximum.
const PER_PAGE: &str = "50";

/// A call before credentials are added.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) priority: Priority,
}

impl Call {
    fn operation(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn is_mutating(&self) -> bool {
        self.method != Method::GET
    }
}

impl ProjectClient {
    /// The same client with another priority for its calls (a detach that is part of a delete, say).
    #[must_use]
    pub fn at(&self, priority: Priority) -> Self {
        Self { priority: Some(priority), ..self.clone() }
    }

    /// The same client whose changes ask this gate before they are sent, each time they are; reads do not. The gate is told
    /// of each request that is sent. It takes the place of a gate that the client had.
    #[must_use]
    pub fn gated(&self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self.clone() }
    }

    /// The key of the project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.access.project
    }

    /// The project's rate budget.
    #[must_use]
    pub fn budget(&self) -> &RateBudget {
        &self.state.budget
    }

    /// The project's action poller.
    #[must_use]
    pub fn poller(&self) -> &ActionPoller {
        &self.state.poller
    }

    /// The wall clock of the client.
    pub(crate) fn wall_time(&self) -> OffsetDateTime {
        self.environment.now()
    }

    /// Sends a call, minding budget and retry rules.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, Error> {
        let mut failures = 0;
        loop {
            let error = match self.send_once(&call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let again = match error.class() {
                // Not a failure of the provider's: the caller knows better what to do meanwhile.
                _ if matches!(error, Error::Throttled { .. }) => None,
                // The budget knows when to go on: nothing was done, and acquiring waits.
                ErrorClass::RateLimited { .. } => Some(Duration::ZERO),
                ErrorClass::Retry => Some(self.backoff(failures)),
                ErrorClass::ProviderDown if error.transport() == Some(TransportErrorKind::NotSent) => {
                    (!call.is_mutating()).then(|| self.backoff(failures))
                }
                _ => None,
            };
            match again.filter(|_| failures < self.retry.tries) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(error),
            }
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        self.retry.delay(failures, self.environment.random())
    }

    async fn send_once(&self, call: &Call) -> Result<Answer, Error> {
        let priority = self.priority.unwrap_or(call.priority);
        let permit = match call.is_mutating() {
            true => self.state.budget.acquire_within(priority, self.patience).await.map_err(|due| {
                // Not all at once: who was sent away together would meet the same crowd again.
                let spread = (due / 4).max(self.patience).mul_f64(self.environment.random().clamp(0.0, 1.0));
                Error::Throttled { operation: call.operation(), after: due.saturating_add(spread) }
            })?,
            false => self.state.budget.acquire(priority).await,
        };
        let request = ApiRequest {
            method: call.method.clone(),
            endpoint: self.access.endpoint.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            body: call.body.clone(),
            token: self.access.token.clone(),
        };
        if let Some(gate) = self.gate.as_ref().filter(|_| call.is_mutating()) {
            // Nothing may come between this answer and the sending.
            if let Err(Closed(why)) = gate.may_send().await {
                permit.unused();
                return Err(Error::NotSent { operation: call.operation(), why });
            }
        }
        if let Some(gate) = &self.gate {
            gate.sent();
        }
        let begun = Instant::now();
        let result = self.api.send(request).await;
        let result = match result {
            Ok(response) => self.judge(call, response, permit),
            Err(error) => Err(Error::Transport { operation: call.operation(), mutating: call.is_mutating(), error }),
        };
        tracing::debug!(
            hcloud.project = %self.access.project,
            hcloud.operation = %call.operation(),
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome = match &result {
                Ok(_) => "ok",
                Err(error) => error.code().map_or("no answer", |code| code.as_str()),
            },
            "called the provider"
        );
        result
    }

    /// Trues the budget up and tells success from error.
    fn judge(&self, call: &Call, response: ApiResponse, permit: Permit<'_>) -> Result<Answer, Error> {
        let now = self.environment.now();
        if response.status.is_success() {
            permit.answered(&response.headers, now);
            return Ok(Answer { operation: call.operation(), mutating: call.is_mutating(), response });
        }
        let mut error = ApiError::from_response(&response);
        if let ErrorClass::RateLimited { .. } = error.class(call.is_mutating()) {
            error.retry_after = Some(permit.refused(&response.headers, now));
            if let Some(asked) = retry_after(&response.headers).filter(|asked| *asked > MAX_RETRY_AFTER) {
                let (asked, most) = (asked.as_secs(), MAX_RETRY_AFTER.as_secs() / 60);
                error.message = format!(
                    "{}; it asks for a pause of {asked} s, and {most} minutes are the most that is believed",
                    error.message.trim_end_matches('.')
                );
            }
        } else {
            permit.answered(&response.headers, now);
        }
        Err(Error::Api { operation: call.operation(), mutating: call.is_mutating(), error: Box::new(error) })
    }

    /// All pages of a list, in order of id, each resource once: pages drift while others write. Those that the first one
    /// tells of are read side by side; what was made meanwhile is behind the last one.
    pub(crate) async fn list<T: Resource>(&self, path: &str, filter: Query) -> Result<Vec<T>, Error> {
        let first = self.page::<T>(path, &filter, 1).await?;
        let told = first.last.unwrap_or(1).min(u64::from(MAX_PAGES));
        let read = |number| self.page::<T>(path, &filter, number);
        let others: Vec<Page<T>> = stream::iter(2..=told).map(read).buffered(PAGES_AT_ONCE).try_collect().await?;
        let mut next = others.last().unwrap_or(&first).next;
        let mut pages = vec![first];
        pages.extend(others);
        while let Some(number) = next {
            if number > u64::from(MAX_PAGES) {
                return Err(Error::TooManyPages { operation: format!("GET {path}"), most: MAX_PAGES });
            }
            let page = self.page::<T>(path, &filter, number).await?;
            next = page.next;
            pages.push(page);
        }
        let mut seen = HashSet::new();
        Ok(pages.into_iter().flat_map(|page| page.items).filter(|item| seen.insert(item.raw_id())).collect())
    }

    /// A page of a list.
    async fn page<T: Resource>(&self, path: &str, filter: &Query, number: u64) -> Result<Page<T>, Error> {
        let mut query = filter.clone();
        if T::SORTABLE {
            query.push(("sort".to_owned(), "id:asc".to_owned()));
        }
        query.push(("page".to_owned(), number.to_string()));
        query.push(("per_page".to_owned(), PER_PAGE.to_owned()));
        let call = Call { method: Method::GET, path: path.to_owned(), query, body: None, priority: Priority::Resync };
        let answer = self.call(call).await?;
        let envelope = answer.envelope()?;
        let items: Vec<T> = answer.required(&envelope, T::PLURAL)?;
        let meta: Option<Meta> = answer.optional(&envelope, "meta")?;
        let pagination = meta.and_then(|meta| meta.pagination);
        let next = pagination.as_ref().and_then(|pages| pages.next_page).filter(|next| *next > number);
        Ok(Page { items, next, last: pagination.and_then(|pages| pages.last_page) })
    }

    /// One resource.
    pub(crate) async fn get<T: Resource>(&self, path: String) -> Result<T, Error> {
        let answer = self
            .call(Call { method: Method::GET, path, query: Query::new(), body: None, priority: Priority::Mutation })
            .await?;
        answer.required(&answer.envelope()?, T::SINGULAR)
    }

    /// A change that answers with something; `body` is absent for bare actions.
    pub(crate) async fn change<B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: String,
        body: Option<&B>,
    ) -> Result<Answer, Error> {
        let operation = || format!("{method} {path}");
        let body = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|error| Error::Encode { operation: operation(), message: error.to_string() })?;
        let priority = match method {
            Method::DELETE => Priority::Delete,
            _ => Priority::Mutation,
        };
        self.call(Call { method, path, query: Query::new(), body, priority }).await
    }

    /// Makes a resource, or an action that gives one.
    pub(crate) async fn create<T: Resource, B: Serialize>(&self, path: String, body: &B) -> Result<Mutated<T>, Error> {
        let answer = self.change(Method::POST, path, Some(body)).await?;
        answer.mutated()
    }

    /// Changes name, labels and the like.
    pub(crate) async fn update<T: Resource, B: Serialize>(&self, path: String, body: &B) -> Result<T, Error> {
        let answer = self.change(Method::PUT, path, Some(body)).await?;
        answer.required(&answer.envelope()?, T::SINGULAR)
    }

    /// Deletes what answers with nothing, or with an object that is of no interest. The answer is proof that the
    /// resource is gone, so a page that the API did not write is none.
    pub(crate) async fn delete(&self, path: String) -> Result<(), Error> {
        let answer = self.change::<()>(Method::DELETE, path, None).await?;
        match answer.response.status {
            StatusCode::NO_CONTENT => Ok(()),
            _ => answer.envelope().map(drop),
        }
    }

    /// Starts an action that takes a body.
    pub(crate) async fn act<B: Serialize>(&self, path: String, body: &B) -> Result<Action, Error> {
        let answer = self.change(Method::POST, path, Some(body)).await?;
        answer.required(&answer.envelope()?, Action::SINGULAR)
    }

    /// Starts an action that takes no body.
    pub(crate) async fn act_bare(&self, path: String) -> Result<Action, Error> {
        let answer = self.change::<()>(Method::POST, path, None).await?;
        answer.required(&answer.envelope()?, Action::SINGULAR)
    }

    /// Starts an action that answers with several.
    pub(crate) async fn act_many<B: Serialize>(&self, path: String, body: &B) -> Result<Vec<Action>, Error> {
        let answer = self.change(Method::POST, path, Some(body)).await?;
        answer.required(&answer.envelope()?, Action::PLURAL)
    }
}

#[derive(serde::Deserialize)]
struct Meta {
    pagination: Option<Pagination>,
}

#[derive(serde::Deserialize)]
struct Pagination {
    next_page: Option<u64>,
    last_page: Option<u64>,
}

/// A page, the number of the next one, and that of the last one as it was then.
struct Page<T> {
    items: Vec<T>,
    next: Option<u64>,
    last: Option<u64>,
}

type Envelope = BTreeMap<String, Box<RawValue>>;

/// A successful answer, not read yet.
pub(crate) struct Answer {
    operation: String,
    mutating: bool,
    response: ApiResponse,
}

impl Answer {
    pub(crate) fn envelope(&self) -> Result<Envelope, Error> {
        serde_json::from_slice(&self.response.body)
            .map_err(|error| self.unreadable(format!("it is not a JSON object: {error}")))
    }

    pub(crate) fn optional<T: DeserializeOwned>(&self, envelope: &Envelope, key: &str) -> Result<Option<T>, Error> {
        match envelope.get(key) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| self.unreadable(format!("`{key}`: {error}"))),
        }
    }

    pub(crate) fn required<T: DeserializeOwned>(&self, envelope: &Envelope, key: &str) -> Result<T, Error> {
        self.optional(envelope, key)?.ok_or_else(|| self.unreadable(format!("`{key}` is missing")))
    }

    pub(crate) fn mutated<T: Resource>(&self) -> Result<Mutated<T>, Error> {
        let envelope = self.envelope()?;
        let mut next_actions: Vec<Action> = self.optional(&envelope, "next_actions")?.unwrap_or_default();
        // Firewalls answer with `actions` alone.
        next_actions.extend(self.optional::<Vec<Action>>(&envelope, Action::PLURAL)?.unwrap_or_default());
        Ok(Mutated {
            resource: self.required(&envelope, T::SINGULAR)?,
            action: self.optional(&envelope, Action::SINGULAR)?,
            next_actions,
            root_password: self.optional::<String>(&envelope, "root_password")?.map(SecretString::from),
        })
    }

    fn unreadable(&self, message: String) -> Error {
        Error::Decode {
            operation: self.operation.clone(),
            mutating: self.mutating,
            status: self.response.status,
            message,
        }
    }
}
