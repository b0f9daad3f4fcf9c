//! The engine's work.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use control_plane::{ProjectId, Reason, engine::Meter, ports::Verdict};
use seca_api::Kind;

use crate::{
    Instruments,
    book::{Book, Counters},
};

#[derive(Debug)]
pub(crate) struct EngineCounts {
    looks: Counters<1>,
    findings: Counters<3>,
    steps: Counters<2>,
    retries: Counters<1>,
    taken: Counters<0>,
    lost: Counters<0>,
    /// The projects whose lease this process has. One may be taken again before the task of the former lease ended.
    held: Mutex<BTreeMap<ProjectId, usize>>,
}

impl EngineCounts {
    pub(crate) fn new(book: &mut Book) -> Self {
        let counts = Self {
            looks: book.counters(
                "secapi_engine_looks",
                "Looks at a resource: it was read with its relations and judged",
                &["kind"],
            ),
            findings: book.counters(
                "secapi_engine_findings",
                "What looks amounted to, with the reason that the status shows (docs/reasons.md), if any",
                &["kind", "verdict", "reason"],
            ),
            steps: book.counters(
                "secapi_engine_steps",
                "Steps that came back: the type and the verb of the call, and what became of it",
                &["operation", "outcome"],
            ),
            retries: book.counters("secapi_engine_retries", "Steps that are tried again, by the reason", &["reason"]),
            taken: book.counters("secapi_engine_leases_taken", "Leases of projects that were taken", &[]),
            lost: book.counters(
                "secapi_engine_leases_lost",
                "Leases of projects that ended before they were given back",
                &[],
            ),
            held: Mutex::default(),
        };
        for always in [&counts.taken, &counts.lost] {
            drop(always.of([]));
        }
        counts
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<ProjectId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instruments {
    /// The projects of the provider whose lease this process has, by id.
    #[must_use]
    pub fn leased_projects(&self) -> Vec<ProjectId> {
        self.engine.held().keys().filter(|project| !project.is_local()).cloned().collect()
    }

    /// How many leases this process has, that of what needs no provider included.
    #[must_use]
    pub(crate) fn leases(&self) -> usize {
        self.engine.held().len()
    }
}

impl Meter for Instruments {
    fn looked(&self, kind: Kind) {
        self.engine.looks.of([kind.as_str()]).inc();
    }

    fn found(&self, kind: Kind, verdict: Verdict, reason: Option<Reason>) {
        self.engine.findings.of([kind.as_str(), word(verdict), reason.map_or("", Reason::as_str)]).inc();
    }

    fn stepped(&self, operation: &str, outcome: &'static str, again: Option<Reason>) {
        self.engine.steps.with([Cow::Owned(operation.to_owned()), Cow::Borrowed(outcome)]).inc();
        if let Some(reason) = again {
            self.engine.retries.of([reason.as_str()]).inc();
        }
    }

    fn leased(&self, project: &ProjectId) {
        self.engine.taken.of([]).inc();
        *self.engine.held().entry(project.clone()).or_default() += 1;
    }

    fn ended(&self, project: &ProjectId, is_lost: bool) {
        if is_lost {
            self.engine.lost.of([]).inc();
        }
        let mut held = self.engine.held();
        if let Some(count) = held.get_mut(project) {
            *count -= 1;
            if *count == 0 {
                held.remove(project);
            }
        }
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Waiting => "waiting",
        Verdict::Working => "working",
        Verdict::Converged => "converged",
        Verdict::Deferred => "deferred",
        Verdict::Failed => "failed",
    }
}
