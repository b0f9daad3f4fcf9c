//! Which database rules a project: restored backups and clones of a database must not undo what the other one did.
//!
//! The marker in the provider's project bears an epoch, a number and a random nonce. A database that takes a project over
//! raises it: the next epoch is committed as *wanted*, written to the marker, committed. A wanted epoch that was never
//! confirmed is used again, so that this database gives a number one nonce only: whatever a crash leaves, and however
//! late a write takes effect, the marker bears an epoch of ours or a lower number, and a lone database never pauses. A
//! marker with a higher number, or with ours and another nonce, was written by another database: then the project is
//! paused, until an operator says which one rules.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    gate::StepGate,
    project::{Project, Standing},
};
use crate::{
    ports::{CloudError, CloudProvider, Epoch, Gate, Marker, Note, ProjectEpoch, Rng, StoreResult},
    reason::Reason,
    resource::ProjectId,
};

/// How often it is asked whether a token of a project that was declared gone was bound again.
const ABANDONED_RECHECK: Duration = Duration::from_secs(2);
/// When a token that opens another project is tried again: somebody may have put the marker right.
const FOREIGN_RETRY: Duration = Duration::from_secs(60);

/// What may be done in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Not known yet: the marker was not read, or could not be written. Nothing is planned.
    Unread,
    /// The marker is being written, and is not ours before that. Nothing is planned.
    Marking,
    /// This database rules.
    Ours,
    /// Another one does: what is seen is reported, and nothing is done. The note is what resources say.
    Paused(Note),
}

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is ours.
    Ours,
    /// Ours rules, and the marker must say so: it is gone, bears a lower number, or lost its labels.
    Behind,
    /// Another database has raised the epoch.
    Overtaken(i64),
    /// The marker of another project.
    Foreign(ProjectId),
}

/// Judges a marker by what the database holds. None: there is certainly no marker.
pub(super) fn judge(own: &ProjectEpoch, project: &ProjectId, marker: Option<&Marker>) -> Judgement {
    let Some(marker) = marker else { return Judgement::Behind };
    if let Some(named) = marker.project.as_ref().filter(|named| *named != project) {
        return Judgement::Foreign(named.clone());
    }
    // A marker of an older release is taken over.
    let Some(seen) = &marker.epoch else { return Judgement::Behind };
    let is = |epoch: &Epoch| seen.number == epoch.number && (seen.nonce == epoch.nonce || seen.nonce.is_empty());
    if is(&own.current) || own.wanted.as_ref().is_some_and(is) {
        return if marker.project.is_some() { Judgement::Ours } else { Judgement::Behind };
    }
    if seen.number < own.current.number { Judgement::Behind } else { Judgement::Overtaken(seen.number) }
}

/// The epoch to raise to: one that was wanted and never confirmed may be on its way to the marker.
pub(super) fn next(own: &ProjectEpoch, rng: &dyn Rng) -> Epoch {
    own.wanted.clone().unwrap_or_else(|| above(own.current.number, rng))
}

/// An epoch above a number, which no other database has.
pub fn above(number: i64, rng: &dyn Rng) -> Epoch {
    let mut nonce = [0; 8];
    rng.fill(&mut nonce);
    Epoch { number: number.saturating_add(1), nonce: format!("{:016x}", u64::from_be_bytes(nonce)) }
}

/// What the resources of a paused project say.
pub(super) fn paused_note(why: &str) -> Note {
    Note::new(Reason::ProjectPaused, format!("{why}; an operator says which database rules it"))
}

impl<P: CloudProvider> Project<P> {
    /// Whether the project may be worked on, or at least looked at.
    pub(super) fn is_ruled(&self) -> bool {
        matches!(self.rule, Rule::Ours | Rule::Paused(_))
    }

    /// What resources say that would need work, while another database rules.
    pub(super) fn hold(&self) -> Option<Note> {
        match &self.rule {
            Rule::Paused(note) => Some(note.clone()),
            Rule::Unread | Rule::Marking | Rule::Ours => None,
        }
    }

    /// Whether the project was declared gone for good, as it was last asked.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.is_some_and(|(is_abandoned, _)| is_abandoned)
    }

    /// Asks whether the project was declared gone for good, which ends the lease, and whether that was taken back. None
    /// when the lease is lost.
    pub(super) async fn check_abandoned(&mut self) -> StoreResult<Option<bool>> {
        if self.lease.project.is_local() {
            return Ok(Some(false));
        }
        let is_known = |(is_abandoned, asked): (bool, Instant)| !is_abandoned || asked.elapsed() < ABANDONED_RECHECK;
        if self.abandoned.is_some_and(is_known) {
            return Ok(Some(self.is_abandoned()));
        }
        let Some(own) = self.shared.store.epoch(&self.lease).await? else { return Ok(None) };
        self.abandoned = Some((own.abandoned, Instant::now()));
        Ok(Some(own.abandoned))
    }

    fn enter(&mut self, rule: Rule) {
        self.mandate.set(rule == Rule::Ours);
        self.rule = rule;
    }

    /// The gate of a call. `marks`: it writes the marker.
    pub(super) fn gate(&self, step: Option<i64>, marks: bool) -> Arc<StepGate> {
        let settings = &self.shared.settings;
        Arc::new(StepGate {
            store: self.shared.store.clone(),
            lease: self.lease.clone(),
            step,
            window: settings.late_window,
            patience: settings.lease_ttl / 3,
            mandate: (!marks).then(|| self.mandate.clone()),
            requests: AtomicU32::new(0),
        })
    }

    /// Takes in what the marker says, before anything changes by what the lists showed.
    pub(super) async fn marked(&mut self, marker: Option<Marker>) -> StoreResult<Result<Standing, CloudError>> {
        let project = self.lease.project.clone();
        let Some(own) = self.shared.store.epoch(&self.lease).await? else { return Ok(Ok(Standing::Lost)) };
        let interval = self.shared.settings.epoch_interval;
        match judge(&own, &project, marker.as_ref()) {
            Judgement::Foreign(other) => {
                warn!(seca.project = %project, other = %other, "a token opens another project; nothing is done with it");
                self.enter(Rule::Unread);
                let message = format!(
                    "the workspace's token opens project {other}, and its resources are in project {project}; bind a \
                     token of project {project}"
                );
                let note = Note::new(Reason::CredentialOfOtherProject, message);
                return Ok(Err(CloudError { note, after: Some(FOREIGN_RETRY) }));
            }
            Judgement::Overtaken(number) if own.paused.is_none() => {
                let why = format!(
                    "another database rules project {project}: the marker bears epoch {number}, and this database's is \
                     {}",
                    own.current.number
                );
                warn!(seca.project = %project, epoch = number, "{why}; the project is paused");
                if !self.shared.store.pause_project(&self.lease, &why).await? {
                    return Ok(Ok(Standing::Lost));
                }
                self.pause(&why).await?;
            }
            Judgement::Overtaken(_) | Judgement::Ours | Judgement::Behind if own.paused.is_some() => {
                self.pause(own.paused.as_deref().unwrap_or_default()).await?;
            }
            Judgement::Ours if self.raised && own.raised.is_some_and(|age| age < interval) => self.enter(Rule::Ours),
            judgement => {
                // A raise that is only due leaves the marker ours meanwhile.
                let stays = judgement == Judgement::Ours && self.raised && self.rule == Rule::Ours;
                if !stays {
                    self.enter(Rule::Marking);
                }
                return Ok(Ok(self.raise(&own, marker).await?));
            }
        }
        Ok(Ok(Standing::Held))
    }

    /// Begins to raise the epoch: wanted, written, confirmed.
    async fn raise(&mut self, own: &ProjectEpoch, marker: Option<Marker>) -> StoreResult<Standing> {
        if !self.marking.is_empty() {
            return Ok(Standing::Held);
        }
        let Some(access) = self.reading.current() else {
            self.enter(Rule::Unread);
            return Ok(Standing::Held);
        };
        let epoch = next(own, self.shared.rng.as_ref());
        if !self.shared.store.want_epoch(&self.lease, &epoch).await? {
            return Ok(Standing::Lost);
        }
        let (shared, gate): (_, Arc<dyn Gate>) = (self.shared.clone(), self.gate(None, true));
        self.marking.spawn(async move {
            let installation = &shared.installation;
            let written = shared.provider.write_marker(&access, installation, &epoch, marker.as_ref(), &gate).await;
            (epoch, written)
        });
        Ok(Standing::Held)
    }

    /// The marker was written, or was not.
    pub(super) async fn raised(&mut self, raised: (Epoch, Result<(), CloudError>)) -> StoreResult<Standing> {
        let (epoch, written) = raised;
        let project = &self.lease.project;
        if let Err(error) = written {
            warn!(%error, seca.project = %project, epoch = epoch.number, "the epoch could not be written to the marker");
            if self.rule == Rule::Ours {
                // The marker is ours as it is; the next resync tries again.
                return Ok(Standing::Held);
            }
            self.enter(Rule::Unread);
            return self.unreadable(error).await;
        }
        if !self.shared.store.confirm_epoch(&self.lease).await? {
            return Ok(Standing::Lost);
        }
        info!(seca.project = %project, epoch = epoch.number, "epoch raised");
        self.raised = true;
        if matches!(self.rule, Rule::Paused(_)) {
            return Ok(Standing::Held);
        }
        let was_ours = self.rule == Rule::Ours;
        self.enter(Rule::Ours);
        if was_ours {
            return Ok(Standing::Held);
        }
        self.review_resting().await?;
        self.sweep().await
    }

    async fn pause(&mut self, why: &str) -> StoreResult<()> {
        let rule = Rule::Paused(paused_note(why));
        if self.rule != rule {
            warn!(seca.project = %self.lease.project, "{why}; nothing is changed in the project");
            self.enter(rule);
            // Whatever would need work says so.
            self.review_all().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::environment::SeededRng;

    fn epoch(number: i64, nonce: &str) -> Epoch {
        Epoch { number, nonce: nonce.to_owned() }
    }

    fn own(current: Epoch, wanted: Option<Epoch>) -> ProjectEpoch {
        ProjectEpoch { current, wanted, ..ProjectEpoch::default() }
    }

    fn marker(project: Option<&str>, epoch: Option<Epoch>) -> Marker {
        Marker { id: "1".into(), project: project.map(|id| ProjectId(id.into())), epoch, labels: Default::default() }
    }

    #[test]
    fn a_marker_is_ours_behind_overtaken_or_foreign() {
        let settled = own(epoch(5, "a"), None);
        let raising = own(epoch(5, "a"), Some(epoch(6, "b")));
        let fresh = own(epoch(0, ""), None);
        let mine = |e: Epoch| Some(marker(Some("p"), Some(e)));
        for (what, own, marker, expected) in [
            ("none at all", &settled, None, Judgement::Behind),
            ("our current", &settled, mine(epoch(5, "a")), Judgement::Ours),
            ("our wanted", &raising, mine(epoch(6, "b")), Judgement::Ours),
            ("our current while raising", &raising, mine(epoch(5, "a")), Judgement::Ours),
            ("our number without a nonce", &settled, mine(epoch(5, "")), Judgement::Ours),
            ("our number with another nonce", &settled, mine(epoch(5, "x")), Judgement::Overtaken(5)),
            ("what we want, by another", &raising, mine(epoch(6, "x")), Judgement::Overtaken(6)),
            ("higher", &settled, mine(epoch(6, "x")), Judgement::Overtaken(6)),
            ("lower: late", &settled, mine(epoch(4, "x")), Judgement::Behind),
            ("of an older release", &settled, Some(marker(Some("p"), None)), Judgement::Behind),
            ("of an older release, in a new database", &fresh, Some(marker(Some("p"), None)), Judgement::Behind),
            ("without its project", &settled, Some(marker(None, Some(epoch(5, "a")))), Judgement::Behind),
            ("a database without epochs", &fresh, mine(epoch(1, "x")), Judgement::Overtaken(1)),
            (
                "another project",
                &settled,
                Some(marker(Some("q"), Some(epoch(5, "a")))),
                Judgement::Foreign(ProjectId("q".into())),
            ),
        ] {
            assert_eq!(judge(own, &ProjectId("p".into()), marker.as_ref()), expected, "{what}");
        }
    }

    #[test]
    fn an_epoch_that_may_be_on_its_way_is_used_again() {
        let rng = SeededRng::new(1);
        assert_eq!(next(&own(epoch(5, "a"), Some(epoch(6, "b"))), &rng), epoch(6, "b"));
        let (one, two) = (next(&own(epoch(5, "a"), None), &rng), next(&own(epoch(5, "a"), None), &rng));
        assert_eq!((one.number, two.number), (6, 6));
        assert_ne!(one.nonce, two.nonce, "two databases are told apart");
    }
}
