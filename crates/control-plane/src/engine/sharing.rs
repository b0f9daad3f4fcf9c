//! Sharing the projects among the engines of one database.
//!
//! An engine that is alone takes all. Of several each takes what is free up to its share, and leaves the rest to the others for a
//! moment: what is still free then it takes as well, so that no project waits for an engine that is gone. One that has more than its
//! share, because it was there first, gives back a project at a time, one in which nothing is under way: the next holder reads
//! all of it, which costs requests. So an engine that has just begun is given nothing for as long as a lease lasts: one that dies
//! again and again moves no project.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::ports::{Attendance, Portion};

/// How many free projects one scan takes: few, so that replicas that start together share them.
pub(super) const LEASES_PER_SCAN: usize = 16;
/// How long what is beyond its share is left to others: some of their scans.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(2);
/// How long after one project the next one is given back.
const GIVING_PAUSE: Duration = Duration::from_secs(1);

/// What an engine knows of the others.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    attendance: Option<Attendance>,
    /// When it last told of itself.
    told: Option<Instant>,
    /// When it last took what it need not leave to others, or let go of a project.
    took: Option<Instant>,
    gave: Option<Instant>,
}

impl Sharing {
    /// Whether it is to tell of itself again.
    pub(super) fn is_due(&self, every: Duration, now: Instant) -> bool {
        self.told.is_none_or(|told| now.duration_since(told) >= every)
    }

    pub(super) fn attended(&mut self, attendance: Attendance, now: Instant) {
        (self.attendance, self.told) = (Some(attendance), Some(now));
    }

    /// What it takes now: its share, and all that is free now and then.
    pub(super) fn portion(&mut self, now: Instant) -> Portion {
        if self.took.is_some_and(|took| now.duration_since(took) < LEFT_TO_OTHERS) {
            return Portion::Share;
        }
        self.took = Some(now);
        Portion::All
    }

    /// A project was let go: others may take it first.
    pub(super) fn let_go(&mut self, now: Instant) {
        self.took = Some(now);
    }

    /// Lets a project be given back, if the engine holds more than its share.
    pub(super) fn offer(&mut self, held: usize, surplus: &Surplus, now: Instant) {
        let share = |attendance: &Attendance| attendance.projects.div_ceil(attendance.lasting);
        let attendance = self.attendance.filter(|attendance| attendance.lasting > 1);
        if attendance.is_none_or(|attendance| held <= share(&attendance)) {
            surplus.set(0);
        } else if self.gave.is_none_or(|gave| now.duration_since(gave) >= GIVING_PAUSE) {
            self.gave = Some(now);
            surplus.set(1);
        }
    }
}

/// How many projects are to be given back. The first ones do it in which nothing is under way.
#[derive(Debug, Default)]
pub(crate) struct Surplus(AtomicUsize);

impl Surplus {
    fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// Whether the project that asks is to be given back.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharing(lasting: usize, projects: usize) -> Sharing {
        let mut sharing = Sharing::default();
        sharing.attended(Attendance { lasting, projects }, Instant::now());
        sharing
    }

    #[tokio::test(start_paused = true)]
    async fn alone_it_gives_nothing_back() {
        let (mut known, surplus, now) = (sharing(1, 100), Surplus::default(), Instant::now());
        // Nor while it does not know whether it is alone.
        for alone in [&mut known, &mut Sharing::default()] {
            alone.offer(100, &surplus, now);
            assert!(!surplus.take());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_its_share_it_takes_only_what_others_leave() {
        let (mut sharing, now) = (sharing(2, 11), Instant::now());
        assert_eq!(sharing.portion(now), Portion::All, "nobody may be there for the rest");
        assert_eq!(sharing.portion(now + LEFT_TO_OTHERS / 2), Portion::Share);
        assert_eq!(sharing.portion(now + LEFT_TO_OTHERS), Portion::All);
        sharing.let_go(now + LEFT_TO_OTHERS * 2);
        assert_eq!(sharing.portion(now + LEFT_TO_OTHERS * 2), Portion::Share, "what it let go is for others first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_more_than_its_share_is_given_back_one_by_one() {
        let (mut sharing, surplus, now) = (sharing(2, 10), Surplus::default(), Instant::now());
        sharing.offer(10, &surplus, now);
        assert!(surplus.take());
        assert!(!surplus.take());
        sharing.offer(9, &surplus, now + GIVING_PAUSE / 2);
        assert!(!surplus.take());
        sharing.offer(9, &surplus, now + GIVING_PAUSE);
        // The others have left meanwhile.
        sharing.attended(Attendance { lasting: 1, projects: 10 }, now);
        sharing.offer(9, &surplus, now + GIVING_PAUSE);
        assert!(!surplus.take());
    }
}
