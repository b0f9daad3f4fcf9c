//! What operators order about orphans.

use serde_json::json;

use super::{State, Work};
use crate::{
    ports::{Lease, OrderEnd, OrderOutcome, OrphanOrder},
    resource::{Resource, Uid},
};

impl State {
    pub(in super::super) fn order(&mut self, order: &OrphanOrder) -> OrderOutcome {
        let object = &order.object;
        let is_same = |other: &OrphanOrder| other.is_about(&order.project, &object.object_type, &object.id);
        let claims = |row: &&Resource| row.project == order.project && order.is_claimed_by(row);
        if let Some(claimant) = self.rows.values().map(|row| &row.resource).find(claims) {
            return OrderOutcome::Claimed(claimant.key.clone());
        }
        let seen = self.orphans.get(&order.project).into_iter().flatten();
        if !seen.into_iter().any(|seen| seen.object_type == object.object_type && seen.id == object.id) {
            return OrderOutcome::Unknown;
        }
        if let Some(former) = self.orders.iter().map(|(former, _)| former).find(|former| is_same(former)) {
            let into = former.into.and_then(|uid| self.resource(uid));
            if former.stands(into) {
                return match former.into == order.into {
                    true => OrderOutcome::Accepted,
                    false => OrderOutcome::Ordered(into.map(|row| row.key.clone())),
                };
            }
        }
        match order.into {
            None => {
                let next = Some(self.now());
                let work = Work { project: order.project.clone(), next, attempts: 0, wakes: 0 };
                self.work.insert(order.uid, work);
            }
            Some(uid) => {
                let row = self.rows.get_mut(&uid).map(|row| &mut row.resource);
                let Some(row) = row.filter(|row| !row.is_deleting() && row.project == order.project) else {
                    return OrderOutcome::Left;
                };
                row.facts.insert("adopt".to_owned(), json!(order.adopt()));
                self.wake([uid]);
            }
        }
        self.orders.retain(|(former, _)| !is_same(former));
        self.orders.push((order.clone(), self.now()));
        OrderOutcome::Accepted
    }

    /// Forgets what was refused or given so long ago.
    pub(super) fn prune_orders(&mut self, before: std::time::Duration) {
        let is_remembered = |order: &OrphanOrder| {
            let row = order.into.and_then(|uid| self.rows.get(&uid));
            row.is_some_and(|row| row.resource.facts.contains_key("adopt"))
        };
        let is_over = |order: &OrphanOrder| order.refused || order.into.is_some() && !is_remembered(order);
        let kept: Vec<bool> = self.orders.iter().map(|(order, at)| *at >= before || !is_over(order)).collect();
        let mut kept = kept.into_iter();
        self.orders.retain(|_| kept.next().unwrap_or(true));
    }

    pub(in super::super) fn orders(&self) -> Vec<(OrphanOrder, Option<Resource>)> {
        let with_row = |order: &OrphanOrder| (order.clone(), order.into.and_then(|uid| self.resource(uid)).cloned());
        let mut all: Vec<_> = self.orders.iter().map(|(order, _)| with_row(order)).collect();
        all.sort_by(|(a, _), (b, _)| {
            let key = |order: &OrphanOrder| {
                (order.project.clone(), order.object.object_type.clone(), order.object.id.clone())
            };
            key(a).cmp(&key(b))
        });
        all
    }

    pub(in super::super) fn removal(&self, lease: &Lease, uid: Uid) -> Option<OrphanOrder> {
        let is_it = |order: &&OrphanOrder| {
            order.uid == uid && order.project == lease.project && order.into.is_none() && !order.refused
        };
        self.orders.iter().map(|(order, _)| order).find(is_it).filter(|_| self.holds(lease)).cloned()
    }

    pub(in super::super) fn tried(&mut self, lease: &Lease, uid: Uid, end: &OrderEnd) -> bool {
        if !self.holds(lease) {
            return false;
        }
        let at = self.now();
        let mine = |order: &&mut OrphanOrder| order.uid == uid && order.project == lease.project;
        let Some(order) = self.orders.iter_mut().map(|(order, _)| order).find(mine) else {
            return true;
        };
        match end {
            OrderEnd::Again(after, why) => {
                order.told = Some(why.clone());
                if let Some(work) = self.work.get_mut(&uid) {
                    work.next = Some(at + *after);
                }
            }
            OrderEnd::Refused(why) => {
                (order.told, order.refused) = (Some(why.clone()), true);
                self.work.remove(&uid);
            }
            OrderEnd::Done => {
                let object = order.object.clone();
                self.orders.retain(|(order, _)| order.uid != uid);
                self.work.remove(&uid);
                if let Some(seen) = self.orphans.get_mut(&lease.project) {
                    seen.retain(|seen| (&seen.object_type, &seen.id) != (&object.object_type, &object.id));
                }
            }
        }
        true
    }
}
