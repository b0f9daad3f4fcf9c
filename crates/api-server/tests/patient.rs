//! Patient reads through the real router, over the real control plane and its in-memory store, under paused time. What
//! the engine would find is committed by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api_server::{ApiConfig, Limits, Rate, Rates, public_router};
use async_trait::async_trait;
use authentication::{AuthError, Authenticator, Off};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
};
use common::{Answer, ask, config, limits, request, with};
use control_plane::{
    Catalog, CatalogCache, CatalogEntry, Reason, Resource, Watchers,
    ports::{
        BootstrapOutcome, Clock, Commit, CommitOutcome, Delete, DeleteOutcome, DeleteRules, Ids, Lease, Note, Portion,
        Put, QueueStore, ReadStore, Store, Verdict, WriteStore,
    },
    service::{Caller, ControlPlane, Enforcement, Parts},
    testing::{
        MemoryStore,
        environment::{SeededRng, TokioClock},
    },
    watch::Patience,
};
use seca_api::{Kind, ResourceKey, Timestamp};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

const WORKSPACE: &str = "/providers/seca.workspace/v1/tenants/acme/workspaces/w";
const WORKSPACES: &str = "/providers/seca.workspace/v1/tenants/acme/workspaces";

/// A right that can be taken away: the right to be known, or the right to read.
#[derive(Clone, Default)]
struct Right {
    gone: Arc<AtomicBool>,
    /// Whether the credential then belongs to somebody else, instead of nobody.
    passed_on: bool,
}

impl Right {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn take(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Authenticator for Right {
    async fn authenticate(&self, _: &HeaderMap) -> Result<Caller, AuthError> {
        match (self.is_gone(), self.passed_on) {
            (false, _) => Ok(Caller::new("ann")),
            (true, true) => Ok(Caller::new("bob")),
            (true, false) => Err(AuthError::Rejected),
        }
    }
}

fn region() -> CatalogEntry {
    CatalogEntry {
        kind: Kind::Region,
        region: "fsn1".into(),
        name: "fsn1".into(),
        labels: Default::default(),
        spec: Default::default(),
        facts: Default::default(),
        listed: true,
    }
}

/// The assignment that makes `anonymous` an administrator.
fn administrator(ids: &Ids) -> Put {
    Put::create(
        ResourceKey::tenant(Kind::RoleAssignment, "", "acme", "administrator"),
        ids.uid(),
        r#"{"subs":["anonymous"],"scopes":[{}],"roles":["seca.admin"]}"#,
        Timestamp::default(),
    )
}

struct World {
    router: Router,
    watchers: Arc<Watchers>,
    store: Arc<MemoryStore>,
    clock: Arc<TokioClock>,
    lease: Lease,
    drain: CancellationToken,
}

impl World {
    /// With a workspace, which is pending.
    async fn new() -> Self {
        Self::with(Arc::new(Off), Enforcement::Off).await
    }

    async fn with(authenticator: Arc<dyn Authenticator>, enforcement: Enforcement) -> Self {
        Self::configured(authenticator, enforcement, config(), Patience::default()).await
    }

    async fn configured(
        authenticator: Arc<dyn Authenticator>,
        enforcement: Enforcement,
        config: ApiConfig,
        patience: Patience,
    ) -> Self {
        let store = Arc::new(MemoryStore::new("test").with_tenants(&["acme"]));
        let clock = Arc::new(TokioClock::default());
        let ids = Ids::new(clock.clone(), Arc::new(SeededRng::new(1)));
        let made = store.access().bootstrap("anonymous", administrator(&ids)).await.unwrap();
        assert_eq!(made, BootstrapOutcome::Made);
        let watchers = Arc::new(Watchers::new(patience));
        let plane = ControlPlane::new(Parts {
            store: store.clone(),
            catalog: CatalogCache::new(Catalog::new(1, vec![region()], "fsn1")),
            rules: Arc::new(control_plane::testing::LimitsOnly),
            enforcement,
            clock: clock.clone(),
            ids,
            wake: Arc::default(),
        });
        let drain = CancellationToken::new();
        let router = public_router(plane.watched_by(watchers.clone()), authenticator, config, drain.clone());
        let created = ask(&router, request("PUT", WORKSPACE, Some("{}"))).await;
        assert_eq!(created.status, 201, "{}", created.text);
        // Who wrote it is a stranger to it again.
        tokio::time::advance(Patience::default().recent).await;
        let lease = store.lease("test", Duration::from_secs(3_600), 1, 1, Portion::All).await.unwrap().remove(0);
        Self { router, watchers, store, clock, lease, drain }
    }

    /// Takes the rights of `anonymous` away, its creator's right to the workspace included.
    async fn end_administration(&self) {
        let access = self.store.access().authorization("acme").await.unwrap().unwrap();
        for assignment in access.assignments {
            let delete = Delete {
                key: ResourceKey::tenant(Kind::RoleAssignment, "", "acme", &assignment.name),
                expected_version: None,
                rules: DeleteRules::default(),
                now: self.clock.now(),
            };
            assert!(matches!(self.store.delete(delete).await.unwrap(), DeleteOutcome::Accepted(_)));
        }
    }

    async fn row(&self) -> Resource {
        let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "w");
        self.store.get(&key).await.unwrap().unwrap()
    }

    /// What the engine does when it has looked at the workspace.
    async fn commit(&self, verdict: Verdict, message: &str) {
        let row = self.row().await;
        let commit = Commit {
            uid: row.uid,
            generation: row.generation,
            action_seq: row.action.seq,
            wake: 0,
            verdict,
            note: Some(Note::new(Reason::InternalError, message)),
            status: None,
            facts: Default::default(),
            action_done: None,
            next: None,
            attempts: 0,
            now: self.clock.now(),
        };
        let outcome = self.store.commit(&self.lease, commit).await.unwrap();
        let CommitOutcome::Done(row) = outcome else { panic!("{outcome:?}") };
        self.watchers.changed(&row);
    }

    /// An answer, and how long it took.
    async fn timed(&self, request: Request<Body>) -> (Answer, Duration) {
        let asked = Instant::now();
        let answer = ask(&self.router, request).await;
        (answer, asked.elapsed())
    }

    async fn at_once(&self, request: Request<Body>) -> Answer {
        let (answer, took) = self.timed(request).await;
        assert_eq!(took, Duration::ZERO, "it was held: {}", answer.text);
        answer
    }

    /// Asks, and returns once the request is held.
    async fn held(&self, request: Request<Body>) -> JoinHandle<Answer> {
        let before = self.watchers.held();
        let router = self.router.clone();
        let asking = tokio::spawn(async move { ask(&router, request).await });
        self.holds(before + 1).await;
        asking
    }

    async fn holds(&self, count: usize) {
        for _ in 0..10_000 {
            if self.watchers.held() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} are held, not {count}", self.watchers.held());
    }
}

fn get() -> Request<Body> {
    request("GET", WORKSPACE, None)
}

fn wait(seconds: u64) -> Request<Body> {
    with(get(), "prefer", &format!("wait={seconds}"))
}

/// The answer to a held request, without any time going by.
async fn released(asking: JoinHandle<Answer>) -> Answer {
    let asked = Instant::now();
    let answer = asking.await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO, "something else than time was to release it: {}", answer.text);
    answer
}

#[track_caller]
fn check_state(answer: &Answer, state: &str) {
    assert_eq!((answer.status.as_u16(), answer.json()["status"]["state"].as_str()), (200, Some(state)));
}

#[tokio::test(start_paused = true)]
async fn the_second_question_is_answered_when_there_is_something_to_say() {
    let world = World::new().await;
    check_state(&world.at_once(get()).await, "pending");
    let asking = world.held(get()).await;
    world.commit(Verdict::Waiting, "somebody must bind it").await;
    world.commit(Verdict::Working, "bound").await;
    let answer = released(asking).await;
    check_state(&answer, "creating");

    // Nothing but messages: time is over, and what is shown is the newest.
    let asking = world.held(get()).await;
    world.commit(Verdict::Working, "still at it").await;
    let asked = Instant::now();
    let answer = asking.await.unwrap();
    assert_eq!(asked.elapsed(), Duration::from_secs(8));
    check_state(&answer, "creating");
    assert_eq!(answer.json()["status"]["conditions"][0]["message"], "still at it");

    let asking = world.held(get()).await;
    world.commit(Verdict::Converged, "").await;
    check_state(&released(asking).await, "active");
    assert_eq!(world.watchers.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_wrote_waits_for_what_becomes_of_it_and_who_deleted_for_the_end() {
    let world = World::new().await;
    let put = |body| request("PUT", WORKSPACE, Some(body));
    // The answer to a creation showed what a first read would show; this one is of a resource that is pending.
    let other = "/providers/seca.workspace/v1/tenants/acme/workspaces/other";
    assert_eq!(world.at_once(request("PUT", other, Some("{}"))).await.status, 201);
    let asking = world.held(request("GET", other, None)).await;
    asking.abort();
    world.holds(0).await;

    let written = world.at_once(put(r#"{"labels":{"env":"prod"}}"#)).await;
    assert_eq!((written.status.as_u16(), &written.json()["labels"]["env"]), (200, &"prod".into()));
    let asking = world.held(get()).await;
    world.commit(Verdict::Converged, "").await;
    let answer = released(asking).await;
    check_state(&answer, "active");
    assert_eq!(answer.json()["labels"]["env"], "prod");

    // The answer to an update shows the state that it met, and the next read not the one in between.
    check_state(&world.at_once(put("{}")).await, "active");
    let asking = world.held(get()).await;
    world.commit(Verdict::Converged, "").await;
    check_state(&released(asking).await, "active");
    assert!(world.at_once(get()).await.json()["status"]["conditions"][1]["state"] == "updating");

    world.at_once(put("{}")).await;
    let asking = world.held(get()).await;
    assert_eq!(world.at_once(request("DELETE", WORKSPACE, None)).await.status, 202);
    check_state(&released(asking).await, "deleting");
    let asking = world.held(get()).await;
    let row = world.row().await;
    assert_ne!(world.store.remove(&world.lease, row.uid).await.unwrap(), CommitOutcome::Fenced);
    world.watchers.gone(row.uid);
    released(asking).await.problem(404, WORKSPACE);
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_and_what_is_a_list_is_never_held() {
    let world = World::new().await;
    let list = || with(request("GET", WORKSPACES, None), "prefer", "wait=30");
    for _ in 0..2 {
        world.at_once(list()).await;
    }
    let head = world.at_once(with(request("HEAD", WORKSPACE, None), "prefer", "wait=30")).await;
    assert_eq!(head.status, 405);
    for (verdict, state) in [(Verdict::Converged, "active"), (Verdict::Failed, "error")] {
        world.commit(verdict, "").await;
        for request in [get(), get(), wait(30)] {
            check_state(&world.at_once(request).await, state);
        }
        world.at_once(list()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_counts_instead_of_the_setting_and_the_answer_says_so() {
    let world = World::new().await;
    let (answer, took) = world.timed(wait(3)).await;
    assert_eq!((took.as_secs(), answer.header("preference-applied")), (3, "wait=3"));
    let answer = world.at_once(wait(0)).await;
    assert_eq!(answer.header("preference-applied"), "wait=0");
    let (answer, took) = world.timed(get()).await;
    assert_eq!((took.as_secs(), answer.header("preference-applied")), (8, ""));
    // Longer than any other answer may take.
    let (answer, took) = world.timed(wait(500)).await;
    assert!(took > common::limits().request_timeout);
    assert_eq!((answer.status.as_u16(), took.as_secs(), answer.header("preference-applied")), (200, 30, "wait=30"));
}

#[tokio::test(start_paused = true)]
async fn one_who_has_the_current_representation_waits_for_another_and_one_who_has_another_does_not() {
    let world = World::new().await;
    let known = world.at_once(get()).await.header("etag").to_owned();
    let (answer, took) = world.timed(with(get(), "if-none-match", &known)).await;
    assert_eq!((answer.status.as_u16(), took.as_secs(), answer.header("etag")), (304, 8, known.as_str()));

    // A message alone ends no holding, and is news to who asks for it.
    world.commit(Verdict::Waiting, "somebody must bind it").await;
    for request in [get(), wait(30)] {
        let answer = world.at_once(with(request, "if-none-match", &known)).await;
        check_state(&answer, "pending");
        assert_ne!(answer.header("etag"), known);
    }
    let known = world.at_once(wait(0)).await.header("etag").to_owned();
    let asking = world.held(with(get(), "if-none-match", &known)).await;
    world.commit(Verdict::Converged, "").await;
    check_state(&released(asking).await, "active");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_lost_meanwhile_is_gone_when_the_answer_is_due() {
    let (known, stranger) = (Right::default(), Right { passed_on: true, ..Right::default() });
    let cases = [
        (Some(&known), World::with(Arc::new(known.clone()), Enforcement::Off).await, 401),
        (Some(&stranger), World::with(Arc::new(stranger.clone()), Enforcement::Off).await, 401),
        (None, World::with(Arc::new(Off), Enforcement::Roles).await, 403),
    ];
    for (right, world, status) in cases {
        let asking = world.held(wait(30)).await;
        match right {
            Some(right) => right.take(),
            None => world.end_administration().await,
        }
        world.commit(Verdict::Converged, "not for everybody").await;
        let answer = released(asking).await;
        answer.problem(status, WORKSPACE);
        assert!(!answer.text.contains("not for everybody") && answer.header("etag").is_empty(), "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_drains_answers_at_once_with_what_there_is() {
    let world = World::new().await;
    let asking = world.held(wait(30)).await;
    world.commit(Verdict::Waiting, "somebody must bind it").await;
    world.drain.cancel();
    let answer = released(asking).await;
    check_state(&answer, "pending");
    assert_eq!(answer.json()["status"]["conditions"][0]["message"], "somebody must bind it");
    world.at_once(wait(30)).await;
}

#[tokio::test(start_paused = true)]
async fn above_512_of_one_subject_the_answer_comes_at_once_and_does_not_claim_to_have_waited() {
    let world = World::new().await;
    let mut asking = Vec::new();
    for _ in 0..512 {
        asking.push(world.held(wait(30)).await);
    }
    let answer = world.at_once(wait(30)).await;
    check_state(&answer, "pending");
    assert_eq!(answer.header("preference-applied"), "");
    world.commit(Verdict::Converged, "").await;
    for asking in asking {
        check_state(&released(asking).await, "active");
    }
}

#[tokio::test(start_paused = true)]
async fn reading_again_after_a_hold_takes_no_turn() {
    let rates = Rates { writes: None, reads: Rate::new(1, 3) };
    let config = ApiConfig { limits: Limits { rates, ..limits() }, ..config() };
    let world = World::configured(Arc::new(Off), Enforcement::Off, config, Patience::default()).await;
    world.at_once(get()).await;
    let asking = world.held(get()).await;
    world.commit(Verdict::Converged, "").await;
    released(asking).await;
    // The third of three; the fourth waits for its turn.
    world.at_once(get()).await;
    let asked = Instant::now();
    ask(&world.router, get()).await;
    assert_eq!(asked.elapsed().as_secs(), 1);
}

/// Waits for a state as go-sdk does, with the defaults of the Terraform provider: a pause of 30 s, a read, then
/// intervals from 10 s on, each half as long as the one before; ten reads in all, and whatever is not a 200 ends it.
/// How many reads it took, or the last state.
async fn poll_like_go_sdk(world: &World, wanted: &str) -> Result<usize, String> {
    sleep(Duration::from_secs(30)).await;
    let mut interval = Duration::from_secs(10);
    let mut state = String::new();
    for reads in 1..=10 {
        let answer = ask(&world.router, get()).await;
        if answer.status != 200 {
            return Err(format!("read {reads}: {}", answer.status));
        }
        state = answer.json()["status"]["state"].as_str().unwrap().to_owned();
        if state == wanted {
            return Ok(reads);
        }
        sleep(interval).await;
        interval /= 2;
    }
    Err(state)
}

/// Waits like go-sdk for what the provider takes 90 s to make.
async fn poll_a_slow_provider(hold: Duration) -> Result<usize, String> {
    let patience = Patience { hold, ..Patience::default() };
    let world = World::configured(Arc::new(Off), Enforcement::Off, config(), patience).await;
    world.commit(Verdict::Working, "ordered").await;
    let provider = async {
        sleep(Duration::from_secs(90)).await;
        world.commit(Verdict::Converged, "").await;
    };
    tokio::join!(poll_like_go_sdk(&world, "active"), provider).0
}

#[tokio::test(start_paused = true)]
async fn a_poller_with_shrinking_intervals_outlasts_a_slow_provider_only_when_its_reads_are_held() {
    assert_eq!(poll_a_slow_provider(Duration::ZERO).await, Err("creating".to_owned()), "it was to give up");
    let reads = poll_a_slow_provider(Patience::default().hold).await;
    assert!(reads.is_ok(), "{reads:?}");
}
