//! Questions that come while others of their kind are under way are asked together: a trip to the database, and a
//! commit, cost far more than a row.
//!
//! There are a few lanes. A lane that is free takes all that wait and asks for them by one statement. Before it does,
//! whoever is ready to run may still join: of many that are released at once, by the answer to one statement say, the
//! first would otherwise go ahead alone. There is no timer, so that an idle server is no slower, and a statement begins
//! after every request that it answers, so that what a client has written is what it reads. Who is left without an
//! answer, because a statement for many failed or left it out, asks alone, so that nobody fails for what another sent.

use std::{collections::HashSet, future::Future, sync::Arc};

use control_plane::Uid;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::{database::Database, fault::Fault};

/// The most questions that one statement answers.
const MOST: usize = 64;

/// What can be asked together with others of its kind.
pub(crate) trait Question: Send + Sync + Sized + 'static {
    /// What comes of it.
    type Answer: Send + 'static;

    /// What is asked, for whoever counts.
    const NAME: &'static str;

    /// How many statements are under way at once: few make large batches, and one more answers the next ones while
    /// the process is busy with the answers to the last.
    const LANES: usize;

    /// Whether it may wait for what somebody holds when it is asked by itself. The statement for many leaves it out then, so
    /// that it waits in nobody's way; the only one that is there is asked by that statement, too.
    const WAITS: bool = false;

    /// Whether it is no less work for being asked with others.
    fn is_alone(&self, _: &Database) -> bool {
        false
    }

    /// The rows that it changes. Two that change the same row are never asked by one statement.
    fn changes(&self) -> impl Iterator<Item = Uid> {
        std::iter::empty()
    }

    /// Whether it was answered, and not left out.
    fn is_answer(_: &Self::Answer) -> bool {
        true
    }

    /// Asks it by itself.
    fn ask(&self, db: &Database) -> impl Future<Output = Result<Self::Answer, Fault>> + Send;

    /// Asks all of them; their answers, in their order.
    fn ask_all(db: &Database, all: &[Arc<Self>]) -> impl Future<Output = Result<Vec<Self::Answer>, Fault>> + Send;
}

/// Where questions of a kind come together.
#[derive(Debug)]
pub(crate) struct Together<Q: Question> {
    waiting: mpsc::UnboundedSender<Waiter<Q>>,
}

#[derive(Debug)]
struct Waiter<Q: Question> {
    question: Arc<Q>,
    since: Instant,
    tell: oneshot::Sender<Result<Q::Answer, Fault>>,
}

impl<Q: Question> Clone for Together<Q> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

impl<Q: Question> Together<Q> {
    /// Begins to lead who waits; ends with the last clone of what it gives.
    pub(crate) fn new(db: &Database) -> Self {
        let (waiting, waiters) = mpsc::unbounded_channel();
        tokio::spawn(lead(db.clone(), waiters));
        Self { waiting }
    }

    pub(crate) async fn ask(&self, db: &Database, question: &Arc<Q>) -> Result<Q::Answer, Fault> {
        if question.is_alone(db) {
            return question.ask(db).await;
        }
        let (tell, told) = oneshot::channel();
        // One that cannot be sent is dropped, and left without an answer.
        drop(self.waiting.send(Waiter { question: Arc::clone(question), since: Instant::now(), tell }));
        match told.await {
            Ok(answer) => answer,
            Err(_) => question.ask(db).await,
        }
    }
}

async fn lead<Q: Question>(db: Database, mut waiters: mpsc::UnboundedReceiver<Waiter<Q>>) {
    let lanes = Arc::new(Semaphore::new(Q::LANES));
    let mut left: Vec<Waiter<Q>> = Vec::new();
    loop {
        if left.is_empty() {
            let Some(first) = waiters.recv().await else { return };
            left.push(first);
        }
        let Ok(lane) = Arc::clone(&lanes).acquire_owned().await else { return };
        tokio::task::yield_now().await;
        while left.len() < MOST
            && let Ok(next) = waiters.try_recv()
        {
            left.push(next);
        }
        let batch = without_rivals(&mut left);
        let db = db.clone();
        tokio::spawn(async move {
            answer(&db, batch).await;
            drop(lane);
        });
    }
}

/// Takes all that can be asked together: of those that change the same row, the first.
fn without_rivals<Q: Question>(waiting: &mut Vec<Waiter<Q>>) -> Vec<Waiter<Q>> {
    let mut changed = HashSet::new();
    let (batch, rivals) = std::mem::take(waiting).into_iter().partition(|Waiter { question, .. }| {
        let mine: Vec<Uid> = question.changes().collect();
        let is_first = mine.iter().all(|row| !changed.contains(row));
        changed.extend(mine.into_iter().filter(|_| is_first));
        is_first
    });
    *waiting = rivals;
    batch
}

async fn answer<Q: Question>(db: &Database, mut batch: Vec<Waiter<Q>>) {
    if let Some(meter) = db.told.get() {
        meter.asked_together(Q::NAME, batch.len());
        batch.iter().for_each(|waiter| meter.waited(Q::NAME, waiter.since.elapsed()));
    }
    if batch.len() == 1
        && !Q::WAITS
        && let Some(Waiter { question, tell, .. }) = batch.pop()
    {
        // Who is gone needs no answer.
        return drop(tell.send(question.ask(db).await));
    }
    let (questions, tellers): (Vec<_>, Vec<_>) = batch.into_iter().map(|waiter| (waiter.question, waiter.tell)).unzip();
    let Ok(answers) = Q::ask_all(db, &questions).await else { return };
    for (tell, answer) in tellers.into_iter().zip(answers).filter(|(_, answer)| Q::is_answer(answer)) {
        drop(tell.send(Ok(answer)));
    }
}
