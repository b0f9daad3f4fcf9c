//! What is not counted but looked at: it is set at the moment of a scrape.

use std::{borrow::Cow, sync::atomic::Ordering};

use control_plane::ports::Backlog;
use hcloud_client::ProjectFigures;
use persistence::Pool;

use crate::{
    Instruments,
    book::{Book, Counters, Gauges, SecondCounters},
    process::Process,
};

/// How many projects have series of their own.
const PROJECTS: usize = 200;
/// What the others are summed up under.
const OTHERS: &str = "others";

/// What was looked at.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What waits; none: the database did not tell.
    pub backlog: Option<Backlog>,
    /// The projects that this process works on, by id.
    pub projects: Vec<ProjectFigures>,
    /// The connections to the database.
    pub pools: Vec<Pool>,
    /// How many statements were sent to it.
    pub statements: u64,
    /// How many GETs are held.
    pub held_gets: usize,
    /// The certificates of the listeners, and when they end, in seconds since 1970.
    pub certificates: Vec<(&'static str, i64)>,
}

#[derive(Debug)]
pub(crate) struct Shown {
    up: Gauges<0>,
    due: Gauges<0>,
    oldest: Gauges<0>,
    orphans: Gauges<0>,
    paused: Gauges<0>,
    leases: Gauges<0>,
    remaining: Gauges<1>,
    limit: Gauges<1>,
    waiting: Gauges<0>,
    actions: Gauges<0>,
    connections: Gauges<2>,
    most_connections: Gauges<1>,
    statements: Counters<0>,
    held: Gauges<0>,
    certificates: Gauges<1>,
    cpu: SecondCounters<0>,
    resident: Gauges<0>,
    virtual_memory: Gauges<0>,
    threads: Gauges<0>,
    started: Gauges<0>,
    open_files: Gauges<0>,
    most_files: Gauges<0>,
}

impl Shown {
    pub(crate) fn new(book: &mut Book) -> Self {
        Self {
            up: book.gauges("secapi_store_up", "1: the database answered this scrape; 0: it did not", &[]),
            due: book.gauges("secapi_engine_due_rows", "Resources that are due, of all projects, by the database", &[]),
            oldest: book.gauges(
                "secapi_engine_oldest_due_seconds",
                "For how long the resource is due that is due longest, of all projects; 0: none is",
                &[],
            ),
            orphans: book.gauges(
                "secapi_engine_orphans",
                "Objects of ours at the provider that no resource claims, by the last sweeps of all projects",
                &[],
            ),
            paused: book.gauges(
                "secapi_engine_paused_projects",
                "Projects in which nothing is done because another database rules them",
                &[],
            ),
            leases: book.gauges("secapi_engine_leases", "Leases of projects that this process has", &[]),
            remaining: book.gauges(
                "secapi_provider_budget_remaining",
                "Requests that the provider takes at once from a project that this process works on; 200 projects at most, \
                 the others summed up",
                &["project"],
            ),
            limit: book.gauges(
                "secapi_provider_budget_limit",
                "Requests that the provider takes from a project in an hour",
                &["project"],
            ),
            waiting: book.gauges(
                "secapi_provider_waiting_requests",
                "Requests that wait for room in the budget of their project",
                &[],
            ),
            actions: book.gauges(
                "secapi_provider_running_actions",
                "Actions of the provider whose end this process waits for",
                &[],
            ),
            connections: book.gauges(
                "secapi_store_connections",
                "Connections to the database, idle or busy",
                &["pool", "state"],
            ),
            most_connections: book.gauges(
                "secapi_store_connections_max",
                "Connections to the database that there may be",
                &["pool"],
            ),
            statements: book.counters("secapi_store_statements", "Statements that were sent to the database", &[]),
            held: book.gauges("secapi_http_held_requests", "GETs that are held at the moment", &[]),
            certificates: book.gauges(
                "secapi_certificate_expiry_timestamp_seconds",
                "When the certificate of a listener ends, in seconds since 1970",
                &["listener"],
            ),
            cpu: book.second_counters("process_cpu_seconds", "Processor time, in the user's and the system's mode", &[]),
            resident: book.gauges("process_resident_memory_bytes", "Memory that is in use", &[]),
            virtual_memory: book.gauges("process_virtual_memory_bytes", "Memory that is addressed", &[]),
            threads: book.gauges("process_threads", "Threads", &[]),
            started: book.gauges("process_start_time_seconds", "When the process began, in seconds since 1970", &[]),
            open_files: book.gauges("process_open_fds", "Open files, connections included", &[]),
            most_files: book.gauges("process_max_fds", "Open files that there may be", &[]),
        }
    }
}

impl Instruments {
    /// Takes what was looked at for the next [`Instruments::text`].
    pub fn show(&self, figures: &Figures) {
        let shown = &self.shown;
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        shown.up.of([]).set(if figures.backlog.is_some() { 1.0 } else { 0.0 });
        if let Some(backlog) = figures.backlog {
            let small = |number: i64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
            shown.due.of([]).set(small(backlog.due));
            shown.oldest.of([]).set(backlog.oldest.unwrap_or_default().as_secs_f64());
            shown.orphans.of([]).set(small(backlog.orphans));
            shown.paused.of([]).set(small(backlog.paused_projects));
        } else {
            // What is not known is not shown.
            [&shown.due, &shown.oldest, &shown.orphans, &shown.paused].into_iter().for_each(|gauge| gauge.clear());
        }
        shown.leases.of([]).set(count(self.leases()));
        self.show_projects(&figures.projects);
        for pool in &figures.pools {
            shown.connections.of([pool.name, "idle"]).set(f64::from(pool.idle));
            shown.connections.of([pool.name, "busy"]).set(f64::from(pool.open.saturating_sub(pool.idle)));
            shown.most_connections.of([pool.name]).set(f64::from(pool.most));
        }
        shown.statements.of([]).inner().store(figures.statements, Ordering::Relaxed);
        shown.held.of([]).set(count(figures.held_gets));
        shown.certificates.clear();
        for (listener, ends) in &figures.certificates {
            #[allow(clippy::cast_precision_loss, reason = "a time")]
            shown.certificates.of([listener]).set(*ends as f64);
        }
        if let Some(process) = Process::look() {
            shown.cpu.of([]).inner().store(process.cpu_seconds.to_bits(), Ordering::Relaxed);
            shown.resident.of([]).set(process.resident_bytes);
            shown.virtual_memory.of([]).set(process.virtual_bytes);
            shown.threads.of([]).set(process.threads);
            shown.started.of([]).set(process.started_at);
            shown.open_files.of([]).set(process.open_files);
            shown.most_files.of([]).set(process.most_files);
        }
    }

    fn show_projects(&self, projects: &[ProjectFigures]) {
        let shown = &self.shown;
        shown.remaining.clear();
        shown.limit.clear();
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        for (at, project) in projects.iter().enumerate().filter(|(_, project)| project.budget.probed) {
            let name = if at < PROJECTS { Cow::Owned(project.project.clone()) } else { Cow::Borrowed(OTHERS) };
            shown.remaining.with([name.clone()]).inc_by(project.budget.remaining);
            shown.limit.with([name]).inc_by(project.budget.limit);
        }
        shown.waiting.of([]).set(projects.iter().map(|project| count(project.budget.waiting)).sum());
        shown.actions.of([]).set(projects.iter().map(|project| count(project.actions)).sum());
    }
}
