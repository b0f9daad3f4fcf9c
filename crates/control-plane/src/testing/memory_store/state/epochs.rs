//! The epochs of projects.

use std::time::Duration;

use seca_api::Timestamp;

use super::State;
use crate::{
    ports::{Abandoned, Epoch, Lease, ProjectEpoch, StepState},
    resource::{ProjectId, Uid},
    state,
};

/// What a project's row says of its epochs.
#[derive(Default)]
pub(super) struct Epochs {
    current: Epoch,
    wanted: Option<Epoch>,
    raised: Option<Duration>,
    paused: Option<String>,
    pub(super) abandoned: bool,
}

impl Epochs {
    pub(super) const fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    fn told(&self, now: Duration) -> ProjectEpoch {
        ProjectEpoch {
            current: self.current.clone(),
            wanted: self.wanted.clone(),
            raised: self.raised.map(|at| now.saturating_sub(at)),
            paused: self.paused.clone(),
            abandoned: self.abandoned,
        }
    }
}

impl State {
    fn leased(&mut self, lease: &Lease) -> Option<&mut Epochs> {
        let held = self.holds(lease);
        self.projects.get_mut(&lease.project).filter(|_| held).map(|project| &mut project.epoch)
    }

    pub(in super::super) fn epoch(&mut self, lease: &Lease) -> Option<ProjectEpoch> {
        let now = self.now();
        self.leased(lease).map(|epochs| epochs.told(now))
    }

    pub(in super::super) fn want_epoch(&mut self, lease: &Lease, wanted: &Epoch) -> bool {
        let epochs = self.leased(lease);
        epochs.map(|epochs| epochs.wanted = Some(wanted.clone())).is_some()
    }

    pub(in super::super) fn confirm_epoch(&mut self, lease: &Lease) -> bool {
        let now = self.now();
        let Some(epochs) = self.leased(lease) else { return false };
        let Some(wanted) = epochs.wanted.take() else { return false };
        (epochs.current, epochs.raised) = (wanted, Some(now));
        true
    }

    pub(in super::super) fn pause_project(&mut self, lease: &Lease, why: &str) -> bool {
        let epochs = self.leased(lease);
        epochs.map(|epochs| epochs.paused = Some(why.to_owned())).is_some()
    }

    pub(in super::super) fn paused_projects(&self) -> Vec<(ProjectId, ProjectEpoch)> {
        let paused = self.projects.iter().filter(|(_, project)| project.epoch.paused.is_some());
        paused.map(|(id, project)| (id.clone(), project.epoch.told(self.now()))).collect()
    }

    pub(in super::super) fn resume_project(&mut self, id: &ProjectId, epoch: &Epoch) -> bool {
        let Some(project) = self.projects.get_mut(id) else { return false };
        let epochs = &mut project.epoch;
        if epochs.paused.take().is_none() {
            return false;
        }
        if epoch.number >= epochs.current.number {
            epochs.current = epoch.clone();
        }
        epochs.wanted = None;
        (project.owner, project.until) = (None, None);
        let now = self.now();
        let is_put_off = |uid: &Uid| self.work.get(uid).and_then(|work| work.next).is_some_and(|next| next > now);
        let put_off: Vec<Uid> = self.project_uids(id).into_iter().filter(is_put_off).collect();
        self.wake(put_off);
        true
    }
    pub(in super::super) fn abandon(&mut self, id: &ProjectId, now: Timestamp) -> Option<Abandoned> {
        let project = self.projects.get_mut(id).filter(|_| !id.is_local())?;
        (project.epoch.abandoned, project.epoch.paused, project.epoch.wanted) = (true, None, None);
        (project.owner, project.until) = (None, None);
        let uids = self.project_uids(id);
        for uid in &uids {
            let related = self.related(*uid);
            self.wake(related);
            if let Some(row) = self.rows.get_mut(uid) {
                state::delete(&mut row.resource, now);
            }
            self.accept(*uid);
        }
        for recorded in self.steps.iter_mut().filter(|s| s.project == *id && !s.step.state.is_over()) {
            recorded.step.state = StepState::Failed;
        }
        Some(Abandoned::of(uids.iter().filter_map(|uid| Some(&self.resource(*uid)?.key))))
    }

    /// Whether a project was declared gone.
    pub(super) fn is_abandoned(&self, id: &ProjectId) -> bool {
        self.projects.get(id).is_some_and(|project| project.epoch.abandoned)
    }
}
