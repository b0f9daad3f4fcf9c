//! Calls of the API through whichever replica answers.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use seca_client::{AdminClient, Error, SecaClient};
use tokio::time::{sleep, timeout};

use crate::chance::Chance;

/// How long a user waits for an answer: a replica may be paused.
const ANSWER: Duration = Duration::from_secs(8);
/// How often a user tries before giving up.
const TRIES: u32 = 6;

/// Every replica's clients.
#[derive(Clone)]
pub(crate) struct Fleet {
    users: Vec<SecaClient>,
    admins: Vec<AdminClient>,
    routes: Routes,
    chance: Chance,
}

/// The replicas that calls go to, by their number: what a balancer in front of them would have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Arc<Mutex<Vec<usize>>>);

impl Routes {
    pub(crate) fn set(&self, replicas: Vec<usize>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = replicas;
    }

    fn get(&self) -> Vec<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a call ended.
pub(crate) enum Answer {
    /// It was answered; `sure` unless an earlier try of it may yet take effect.
    Given { sure: bool },
    /// It was refused for good.
    Refused { error: Error, sure: bool },
    /// No try of it was answered.
    None,
}

impl Fleet {
    pub(crate) const fn new(users: Vec<SecaClient>, admins: Vec<AdminClient>, routes: Routes, chance: Chance) -> Self {
        Self { users, admins, routes, chance }
    }

    /// The same replicas, with a stream of chance of its own.
    pub(crate) fn with(&self, chance: Chance) -> Self {
        Self { chance, ..self.clone() }
    }

    /// The clients of the replicas that calls go to.
    pub(crate) fn clients(&self) -> Vec<SecaClient> {
        self.routes.get().into_iter().filter_map(|index| self.users.get(index).cloned()).collect()
    }

    /// Makes a call that may be made twice, until it is answered.
    pub(crate) async fn user<T, F>(&mut self, call: impl Fn(SecaClient) -> F) -> Answer
    where
        F: Future<Output = Result<T, Error>>,
    {
        let order = self.users.clone();
        self.insist(&order, call).await
    }

    /// The same of the admin API.
    pub(crate) async fn admin<T, F>(&mut self, call: impl Fn(AdminClient) -> F) -> Answer
    where
        F: Future<Output = Result<T, Error>>,
    {
        let order = self.admins.clone();
        self.insist(&order, call).await
    }

    async fn insist<C: Clone, T, F>(&mut self, clients: &[C], call: impl Fn(C) -> F) -> Answer
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut sure = true;
        for _ in 0..TRIES {
            let Some(client) = self.pick(clients) else { break };
            match timeout(ANSWER, call(client)).await {
                Err(_) => sure = false,
                Ok(Ok(_)) => return Answer::Given { sure },
                Ok(Err(error)) if error.is_transient() => sure &= was_not_sent(&error),
                Ok(Err(error)) => return Answer::Refused { error, sure },
            }
            sleep(Duration::from_millis(self.chance.within(50..=500))).await;
        }
        Answer::None
    }

    fn pick<C: Clone>(&mut self, clients: &[C]) -> Option<C> {
        let routes = self.routes.get();
        clients.get(*self.chance.of_list(&routes)?).cloned()
    }

    /// Makes a call once: one that must not be made twice.
    pub(crate) async fn once<T, F>(&mut self, call: impl Fn(SecaClient) -> F) -> Answer
    where
        F: Future<Output = Result<T, Error>>,
    {
        let clients = self.users.clone();
        let Some(client) = self.pick(&clients) else { return Answer::None };
        match timeout(ANSWER, call(client)).await {
            Ok(Ok(_)) => Answer::Given { sure: true },
            Ok(Err(error)) if !error.is_transient() => Answer::Refused { error, sure: true },
            _ => Answer::None,
        }
    }
}

/// Whether nothing of a call can have arrived: nobody listened, or the server itself said that it did nothing.
fn was_not_sent(error: &Error) -> bool {
    match error {
        Error::Transport { source, .. } => source.is_connect(),
        other => other.status() == Some(429),
    }
}
