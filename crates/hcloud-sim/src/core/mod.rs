//! The state machine: a request and a time go in, a response comes out. No clock, no sockets, no files.

mod actions;
mod catalog;
mod clock;
mod content;
mod control;
mod control_objects;
mod exposure;
mod faults;
mod firewall_rules;
mod firewalls;
mod http;
mod images;
mod input;
mod journal;
mod labels;
mod latency;
mod networks;
mod placement_groups;
mod primary_ips;
mod query;
mod rate;
mod rng;
mod route;
mod server_actions;
mod server_create;
mod server_networks;
mod servers;
mod ssh_keys;
mod state;
mod switches;
mod volumes;

pub use self::clock::Time;
pub(crate) use self::http::Reply;
pub use self::http::{SimRequest, SimResponse};

use self::actions::Twist;
use self::faults::{Faults, Spoil};
use self::http::{ApiError, Reply as ApiReply};
use self::journal::{Fate, Journal};
use self::query::Query;
use self::state::{Cx, Grant, Late, Project, Shared, State};
use ::http::Method;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of the state machine.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Factor of every latency: 0 is instant, 1 lifelike. The rate limit refills faster by the same factor.
    pub speed: f64,
    /// Seed of jitter, MAC addresses, invented passwords and tokens.
    pub seed: u64,
    /// Requests an hour that a new project may make.
    pub rate_limit: u32,
    /// Cut `per_page` above 50 to 50 instead of refusing it.
    pub clamp_per_page: bool,
    /// What the `Link` headers start with.
    pub base_url: String,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            speed: 0.0,
            seed: 1,
            rate_limit: 3600,
            clamp_per_page: false,
            base_url: "http://127.0.0.1/v1".to_owned(),
        }
    }
}

/// What [`Simulator::begin`] did with a request.
#[derive(Debug)]
pub enum Step {
    /// The answer.
    Reply(SimResponse),
    /// A fault holds the request or its reply; ask [`Simulator::take_released`] with this number.
    Held(u64),
}

enum Stage {
    Before { request: SimRequest, grant: Grant },
    After(SimResponse),
    Released(SimResponse),
}

struct Held {
    fault: u64,
    stage: Stage,
    /// Nobody waits for the reply any more.
    abandoned: bool,
}

/// The simulated Hetzner Cloud.
pub struct Simulator {
    config: CoreConfig,
    state: State,
    journal: Journal,
    faults: Faults,
    held: BTreeMap<u64, Held>,
}

impl Simulator {
    /// A cloud without projects.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        let state = State {
            shared: Shared::new(config.seed),
            projects: BTreeMap::new(),
            tokens: BTreeMap::new(),
            late: Vec::new(),
        };
        Self { config, state, journal: Journal::default(), faults: Faults::default(), held: BTreeMap::new() }
    }

    /// The answer when the state could not be kept: what was asked for may be lost at the next restart.
    #[must_use]
    pub fn not_kept(message: &str) -> SimResponse {
        ApiError::new(500, "server_error", message).into_response()
    }

    /// The state as JSON: projects, objects, actions, tokens. Journal and faults are not part of it.
    ///
    /// # Errors
    /// Fails when the state cannot be written as JSON.
    pub fn snapshot(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.state)
    }

    /// Replaces the state by a snapshot.
    ///
    /// # Errors
    /// Fails when the text is no snapshot of this version.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), serde_json::Error> {
        self.state = serde_json::from_slice(snapshot)?;
        Ok(())
    }

    /// Adds a project, or tokens to a project that is there. A token moves to the project named last.
    pub fn add_project(&mut self, name: &str, token: &str, read_only_token: Option<&str>, now: Time) {
        let limit = self.config.rate_limit;
        self.state.projects.entry(name.to_owned()).or_insert_with(|| Project::new(name, limit, now));
        let grant = |read_only| Grant { project: name.to_owned(), read_only, client: None };
        self.state.tokens.insert(token.to_owned(), grant(false));
        if let Some(token) = read_only_token {
            self.state.tokens.insert(token.to_owned(), grant(true));
        }
    }

    /// Answers a request at a time. Nothing is held here: a held request commits at once, a lost reply has
    /// the field `lost` set.
    pub fn handle(&mut self, request: &SimRequest, now: Time) -> SimResponse {
        match self.begin(request, now) {
            Step::Reply(response) => response,
            Step::Held(ticket) => {
                self.release_one(ticket, now);
                self.take_released(ticket).unwrap_or_else(SimResponse::lost)
            }
        }
    }

    /// Takes a request in at a time.
    pub fn begin(&mut self, request: &SimRequest, now: Time) -> Step {
        self.advance(now);
        if request.path == "/_sim" || request.path.starts_with("/_sim/") {
            return Step::Reply(control::handle(self, request, now));
        }
        let seq = self.state.shared.seq();
        let grant = request.token.as_ref().and_then(|token| self.state.tokens.get(token)).cloned();
        self.journal.open(seq, now, grant.as_ref(), request);
        self.admit(request, grant, seq, now)
    }

    /// Authentication, rate limit, faults; then the request itself.
    fn admit(&mut self, request: &SimRequest, grant: Option<Grant>, seq: u64, now: Time) -> Step {
        let Some(grant) = grant else {
            let error = ApiError::new(401, "unauthorized", "unable to authenticate").into_response();
            return self.refuse(error, None, seq, now);
        };
        let speed = self.config.speed;
        let Some(project) = self.state.projects.get_mut(&grant.project) else {
            let error = ApiError::new(401, "unauthorized", "the token's project is gone").into_response();
            return self.refuse(error, None, seq, now);
        };
        if !project.bucket.take(now, speed) {
            let message = format!("limit of {} requests per hour reached", project.bucket.limit);
            let error = ApiError::new(429, "rate_limit_exceeded", message).into_response();
            return self.refuse(error, Some(&grant), seq, now);
        }
        match self.faults.strike(&grant, request) {
            Some((fault, spoil)) => self.spoil(fault, spoil, request, grant, seq, now),
            None => {
                let response = self.execute(request, &grant, None, now);
                self.journal.answered(seq, &response, true);
                Step::Reply(response)
            }
        }
    }

    fn refuse(&mut self, response: SimResponse, grant: Option<&Grant>, seq: u64, now: Time) -> Step {
        self.journal.answered(seq, &response, false);
        Step::Reply(self.with_headers(response, grant, now))
    }

    fn spoil(&mut self, fault: u64, spoil: Spoil, request: &SimRequest, grant: Grant, seq: u64, now: Time) -> Step {
        match spoil {
            Spoil::HoldBeforeCommit => {
                return self.hold(fault, Stage::Before { request: request.clone(), grant }, seq);
            }
            Spoil::LoseBeforeCommit => {
                self.journal.fate(seq, Fate::Lost, Some(fault));
                return Step::Reply(SimResponse::lost());
            }
            Spoil::Error { error } => {
                self.journal.fate(seq, Fate::Sent, Some(fault));
                return self.refuse(error.response(), Some(&grant), seq, now);
            }
            Spoil::Late { delay_ms } => return self.postpone(fault, delay_ms, request, &grant, seq, now),
            Spoil::HoldAfterCommit | Spoil::LoseAfterCommit | Spoil::Reply { .. } | Spoil::Action(_) => {}
        }
        let twist = if let Spoil::Action(twist) = &spoil { Some(twist.clone()) } else { None };
        let response = self.execute(request, &grant, twist, now);
        self.journal.answered(seq, &response, true);
        match spoil {
            Spoil::HoldAfterCommit => self.hold(fault, Stage::After(response), seq),
            Spoil::LoseAfterCommit => {
                self.journal.fate(seq, Fate::Lost, Some(fault));
                Step::Reply(SimResponse::lost())
            }
            spoil => {
                self.journal.fate(seq, Fate::Sent, Some(fault));
                Step::Reply(if let Spoil::Reply { form } = spoil { form.spoil(response) } else { response })
            }
        }
    }

    fn hold(&mut self, fault: u64, stage: Stage, seq: u64) -> Step {
        self.journal.fate(seq, Fate::Held, Some(fault));
        self.held.insert(seq, Held { fault, stage, abandoned: false });
        Step::Held(seq)
    }

    /// 504 now, the request itself later.
    fn postpone(&mut self, fault: u64, delay: i64, request: &SimRequest, grant: &Grant, seq: u64, now: Time) -> Step {
        self.state.late.push(Late {
            at: now.plus_ms(delay),
            seq,
            project: grant.project.clone(),
            read_only: grant.read_only,
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        });
        let error = ApiError::new(504, "timeout", "the request could not be answered in time").into_response();
        let step = self.refuse(error, Some(grant), seq, now);
        self.journal.fate(seq, Fate::Late, Some(fault));
        step
    }

    /// Runs a request against its project.
    fn execute(&mut self, request: &SimRequest, grant: &Grant, twist: Option<Twist>, now: Time) -> SimResponse {
        let response = self.run(request, grant, twist, now).unwrap_or_else(ApiError::into_response);
        self.with_headers(response, Some(grant), now)
    }

    fn run(
        &mut self,
        request: &SimRequest,
        grant: &Grant,
        twist: Option<Twist>,
        now: Time,
    ) -> Result<SimResponse, ApiError> {
        let path = request
            .path
            .strip_prefix("/v1")
            .filter(|path| path.starts_with('/'))
            .ok_or_else(|| ApiError::new(404, "not_found", "the requested path does not exist"))?;
        if grant.read_only && request.method != Method::GET {
            return Err(ApiError::new(401, "token_readonly", "the token is only allowed to perform GET requests"));
        }
        let body = parse_body(request)?;
        let query = Query::parse(&request.query);
        let mut cx = self
            .cx(&grant.project, now, path)
            .ok_or_else(|| ApiError::new(401, "unauthorized", "the token's project is gone"))?;
        cx.query = query;
        cx.body = body;
        cx.twist = twist;
        let reply = route::dispatch(&mut cx, &request.method);
        cx.note_exposure();
        reply.map(ApiReply::into_response)
    }

    /// The context of one project, without a request.
    fn cx<'a>(&'a mut self, project: &str, now: Time, path: &'a str) -> Option<Cx<'a>> {
        Some(Cx {
            project: self.state.projects.get_mut(project)?,
            shared: &mut self.state.shared,
            config: &self.config,
            now,
            path,
            query: Query::default(),
            body: Map::new(),
            twist: None,
            touched: BTreeSet::new(),
        })
    }

    fn with_headers(&mut self, mut response: SimResponse, grant: Option<&Grant>, now: Time) -> SimResponse {
        let bucket = grant.and_then(|grant| self.state.projects.get(&grant.project)).map(|project| &project.bucket);
        let rate = bucket.map_or_else(
            || rate::Bucket::full(self.config.rate_limit, now).headers(now, self.config.speed),
            |bucket| bucket.headers(now, self.config.speed),
        );
        response.headers.extend(rate);
        response.headers.push(("x-correlation-id".to_owned(), format!("{:016x}", self.state.shared.rng.next())));
        response.headers.push(("access-control-allow-origin".to_owned(), "*".to_owned()));
        response
    }

    /// Lets everything happen that is due by `now`: actions end, guests go off, late requests commit.
    pub fn advance(&mut self, now: Time) {
        while let Some(late) = self.next_late(now) {
            self.advance_projects(late.at);
            self.commit_late(&late);
        }
        self.advance_projects(now);
    }

    fn next_late(&mut self, now: Time) -> Option<Late> {
        let index = self
            .state
            .late
            .iter()
            .enumerate()
            .filter(|(_, late)| late.at <= now)
            .min_by_key(|(_, late)| late.at)
            .map(|(index, _)| index)?;
        Some(self.state.late.remove(index))
    }

    fn commit_late(&mut self, late: &Late) {
        let request = SimRequest {
            method: Method::from_bytes(late.method.as_bytes()).unwrap_or(Method::POST),
            path: late.path.clone(),
            query: late.query.clone(),
            token: None,
            body: Bytes::from(late.body.clone()),
        };
        let grant = Grant { project: late.project.clone(), read_only: late.read_only, client: None };
        let response = self.execute(&request, &grant, None, late.at);
        self.journal.committed_late(late.seq, &response);
    }

    fn advance_projects(&mut self, now: Time) {
        let names: Vec<String> =
            self.state.projects.values().filter(|project| !project.jobs.is_empty()).map(|p| p.name.clone()).collect();
        for name in names {
            if let Some(mut cx) = self.cx(&name, now, "") {
                cx.advance();
            }
        }
    }

    /// The reply of a held request, once it was released.
    pub fn take_released(&mut self, ticket: u64) -> Option<SimResponse> {
        match self.held.get(&ticket) {
            Some(Held { stage: Stage::Released(_), .. }) => match self.held.remove(&ticket)?.stage {
                Stage::Released(response) => Some(response),
                Stage::Before { .. } | Stage::After(_) => None,
            },
            _ => None,
        }
    }

    /// Whether the request is still held or waits to be taken.
    #[must_use]
    pub fn is_held(&self, ticket: u64) -> bool {
        self.held.contains_key(&ticket)
    }

    /// The sender of a held request is gone. It commits all the same when it is released.
    pub fn abandon(&mut self, ticket: u64) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.abandoned = true;
            if matches!(held.stage, Stage::Released(_)) {
                self.held.remove(&ticket);
            }
        }
    }

    /// Lets go of everything a fault holds; requests held before their commit commit now.
    fn release(&mut self, fault: u64, now: Time) -> usize {
        let tickets: Vec<u64> = self.held.iter().filter(|(_, held)| held.fault == fault).map(|(seq, _)| *seq).collect();
        for ticket in &tickets {
            self.release_one(*ticket, now);
        }
        tickets.len()
    }

    fn release_one(&mut self, ticket: u64, now: Time) {
        let Some(Held { fault, stage, abandoned }) = self.held.remove(&ticket) else { return };
        let response = match stage {
            Stage::Before { request, grant } => {
                let response = self.execute(&request, &grant, None, now);
                self.journal.answered(ticket, &response, true);
                response
            }
            Stage::After(response) | Stage::Released(response) => response,
        };
        let fate = if abandoned { Fate::Lost } else { Fate::Sent };
        self.journal.fate(ticket, fate, Some(fault));
        if !abandoned {
            self.held.insert(ticket, Held { fault, stage: Stage::Released(response), abandoned });
        }
    }

    fn is_released(&self, ticket: u64) -> bool {
        matches!(self.held.get(&ticket), Some(Held { stage: Stage::Released(_), .. }))
    }

    /// Requests that a fault holds right now.
    fn held_by(&self, fault: u64) -> Vec<u64> {
        self.held
            .iter()
            .filter(|(_, held)| held.fault == fault && !matches!(held.stage, Stage::Released(_)))
            .map(|(seq, _)| *seq)
            .collect()
    }
}

/// The body as a JSON object; empty is an empty object, anything else is `json_error`.
fn parse_body(request: &SimRequest) -> Result<Map<String, Value>, ApiError> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::new(400, "json_error", "the request body must be a JSON object")),
        Err(error) => Err(ApiError::new(400, "json_error", format!("the request body is not JSON: {error}"))),
    }
}
