//! Crash safety, with the real binary and the simulator as a process of its own.
//!
//! The provider requests of a clean life, of an instance or of a network, are recorded. Then, for each of them, the same
//! life is led again while that request is spoiled: held before or after it takes effect while the proxy is killed and
//! started anew; its reply lost without a kill; or answered with 504 while it takes effect later. In each life every
//! object is made once, and in the end nothing is left of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{
    PATIENCE, life,
    proxy::{Proxy, Setup},
    sim::{Entry, Sim},
    until,
};
use seca_client::{AdminClient, Error, SecaClient};
use tokio::time::Instant;

/// How much faster than life the simulator is: a server takes half a second.
const SPEED: f64 = 0.02;
/// Lives at once, each with a simulator and a proxy of its own. Most of a life is waiting.
const WORKERS: usize = 12;
/// What is made, and with what it is removed.
const OBJECTS: [[&str; 2]; 3] =
    [["/servers", "/servers/*"], ["/networks", "/networks/*"], ["/primary_ips", "/primary_ips/*"]];

/// A life whose requests are spoiled one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Instance,
    Network,
}

impl Life {
    async fn live(self, seca: &SecaClient, admin: &AdminClient, token: &str) -> Result<(), Error> {
        match self {
            Self::Instance => life::live(seca, admin, token).await,
            Self::Network => life::live_network(seca, admin, token).await,
        }
    }

    /// Fewer different requests than this are no such life.
    const fn least(self) -> usize {
        match self {
            Self::Instance => 15,
            Self::Network => 15,
        }
    }

    /// How often more than once something may be made. The name of a server is not freed while a call that makes one may
    /// still take effect, because two could hold one disk.
    fn may_make_again(self, effect: &str) -> usize {
        usize::from(self == Self::Network && effect == "late_commit")
    }

    /// The shapes of what is made in it, each once.
    const fn makes(self) -> &'static [&'static str] {
        match self {
            Self::Instance => &["/servers"],
            Self::Network => &["/networks", "/primary_ips"],
        }
    }
}

/// A request of a life: the nth of its method and shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    method: String,
    shape: String,
    nth: u64,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} #{}", self.method, self.shape, self.nth)
    }
}

#[derive(Clone, Debug)]
struct Case {
    request: Request,
    effect: &'static str,
}

impl Case {
    /// Whether the proxy is killed while the request is held; else the reply is lost.
    fn kills(&self) -> bool {
        self.effect.starts_with("hold_")
    }
}

fn setup(folder: &std::path::Path, sim: &Sim) -> Setup {
    // The late window bounds how long a deletion waits for a call that was lost before.
    Setup::new(folder, &sim.endpoint())
        .with("SECA_REQUEST_TIMEOUT", "4s")
        .with("SECA_LATE_WINDOW", "5s")
        .with("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "1h")
        .with("SECA_LOG_LEVEL", "debug,hyper=info,sqlx=warn,api_server=warn")
        .on_fixed_ports()
}

/// What a journal must say of a life, whatever happened in it. A call that takes effect late may do so after what was
/// made instead of it is gone, and its name free again: then `again` objects more were made, and removed as well.
async fn check(sim: &Sim, life: Life, again: usize) {
    sim.assert_only_the_marker().await;
    let journal: Vec<Entry> = sim.journal().await.into_iter().filter(|entry| entry.committed).collect();
    for [made_by, removed_by] in OBJECTS {
        let is = |entry: &&Entry, method: &str, shape: &str| entry.method == method && entry.shape == shape;
        let made = journal.iter().filter(|entry| is(entry, "POST", made_by)).count();
        let removed = journal.iter().filter(|entry| is(entry, "DELETE", removed_by)).count();
        let least = usize::from(life.makes().contains(&made_by));
        assert!((least..=least * (1 + again)).contains(&made), "{made_by} of {life:?}: {made} made");
        assert_eq!(made, removed, "{made_by} of {life:?}");
    }
}

/// The requests that are worth a case: each by its number among those of its shape, but polls of actions once.
fn distinct(journal: &[Entry]) -> Vec<Request> {
    let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut requests = Vec::new();
    for entry in journal {
        let nth = seen.entry((&entry.method, &entry.shape)).or_default();
        *nth += 1;
        if *nth == 1 || !(entry.is_get() && entry.shape.contains("/actions")) {
            requests.push(Request { method: entry.method.clone(), shape: entry.shape.clone(), nth: *nth });
        }
    }
    requests
}

fn cases(requests: &[Request]) -> VecDeque<Case> {
    let of = |request: &Request| {
        // A request that changes nothing is the same before and after.
        let effects: &[&'static str] = if request.method == "GET" {
            &["hold_before_commit", "lose_reply_before_commit"]
        } else {
            &[
                "hold_before_commit",
                "hold_after_commit",
                "lose_reply_before_commit",
                "lose_reply_after_commit",
                "late_commit",
            ]
        };
        effects.iter().map(|effect| Case { request: request.clone(), effect }).collect::<Vec<_>>()
    };
    requests.iter().flat_map(of).collect()
}

async fn record(sim: &Sim, life: Life) -> Vec<Request> {
    sim.reset().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = setup(folder.path(), sim).serve().await;
    life.live(&proxy.client().await, &proxy.admin(), &sim.token).await.unwrap_or_else(|error| panic!("{error}"));
    check(sim, life, 0).await;
    distinct(&sim.journal().await)
}

/// Leads a life with a spoiled request; false when the request did not come up in it.
async fn run(sim: &Sim, life: Life, case: &Case) -> bool {
    sim.reset().await;
    let Request { method, shape, nth } = &case.request;
    let fault = sim.spoil(method, shape, *nth, case.effect).await;
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path(), sim);
    let mut proxy = setup.serve().await;
    let (seca, admin) = (proxy.client().await, proxy.admin());
    let is_over = AtomicBool::new(false);
    let living = async {
        let result = life.live(&seca, &admin, &sim.token).await;
        is_over.store(true, Ordering::Relaxed);
        result
    };
    let killing = async {
        if case.kills() {
            kill(sim, fault, &setup, &mut proxy, &is_over).await;
        }
    };
    let (result, ()) = tokio::join!(living, killing);
    result.unwrap_or_else(|error| panic!("{error}"));
    check(sim, life, life.may_make_again(case.effect)).await;
    sim.fault(fault).await.0 > 0
}

/// Kills the proxy when the simulator holds the request, starts another on the same database, and lets go.
async fn kill(sim: &Sim, fault: u64, setup: &Setup, proxy: &mut Proxy, is_over: &AtomicBool) {
    let is_held = until("the request is held", PATIENCE, async || {
        if sim.fault(fault).await.1 { Some(true) } else { is_over.load(Ordering::Relaxed).then_some(false) }
    })
    .await;
    if is_held {
        proxy.process.kill();
        *proxy = setup.serve().await;
        sim.control("POST", &format!("/faults/{fault}/release"), None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_survives_every_crash_and_every_lost_reply() {
    survive(Life::Instance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_survives_every_crash_and_every_lost_reply() {
    survive(Life::Network).await;
}

async fn survive(life: Life) {
    // One after the other: each keeps the machine busy.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), SPEED).await;
    let started = Instant::now();
    let requests = record(&sim, life).await;
    println!("{} different requests, recorded in {:.1} s", requests.len(), started.elapsed().as_secs_f32());
    requests.iter().for_each(|request| println!("  {request}"));
    assert!(requests.len() >= life.least(), "{life:?}: a life has more requests than {}", requests.len());

    let all = cases(&requests);
    let count = all.len();
    let queue = Arc::new(Mutex::new(all));
    let mut workers = vec![tokio::spawn(work(Arc::new(sim), life, queue.clone()))];
    let mut folders = Vec::new();
    for _ in 1..WORKERS {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), SPEED).await;
        folders.push(folder);
        workers.push(tokio::spawn(work(Arc::new(sim), life, queue.clone())));
    }
    let mut failures = Vec::new();
    for worker in workers {
        failures.extend(worker.await.unwrap());
    }
    println!("{count} cases in {:.1} s, {} failed", started.elapsed().as_secs_f32(), failures.len());
    assert!(failures.is_empty(), "{} of {count} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// Runs cases until none is left; a line for each that failed.
async fn work(sim: Arc<Sim>, life: Life, queue: Arc<Mutex<VecDeque<Case>>>) -> Vec<String> {
    let mut failures = Vec::new();
    loop {
        let Some(case) = queue.lock().unwrap().pop_front() else { return failures };
        let started = Instant::now();
        let one = tokio::spawn({
            let (sim, case) = (sim.clone(), case.clone());
            async move { run(&sim, life, &case).await }
        });
        // What is read in the background may be read once more or less; what changes something may not. But a busy
        // machine may lose its lease of a second, and takes the project over once more: then the marker is written again.
        let of_a_takeover = case.request.shape.starts_with("/placement_groups/") && case.request.nth > 1;
        let verdict = match one.await {
            Ok(true) => "ok",
            Ok(false) if case.request.method == "GET" || of_a_takeover => "ok (not made this time)",
            Ok(false) => "FAILED: the request was not made this time",
            Err(_) => "FAILED: see above",
        };
        let line = format!("{} {}: {verdict}, {:.1} s", case.request, case.effect, started.elapsed().as_secs_f32());
        println!("{line}");
        if verdict.starts_with("FAILED") {
            failures.push(line);
        }
    }
}
