//! The gate: what a change asks when nothing but its sending is left.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hcloud_client::types::{CreateVolume, Id, UpdatePlacementGroup};
use hcloud_client::{Closed, Error, ErrorClass, Gate, ListFilter, Priority, ProjectClient};
use serde_json::json;
use support::{Scripted, client, error, ok, volume, with_headers};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Clone, Copy, PartialEq)]
enum Is {
    Open,
    Shut,
    /// Whoever asks is kept until it is open or shut.
    Silent,
}

struct Turnstile {
    is: watch::Sender<Is>,
    asked: AtomicUsize,
    sent: AtomicUsize,
}

impl Turnstile {
    fn new(is: Is) -> Arc<Self> {
        Arc::new(Self { is: watch::Sender::new(is), asked: AtomicUsize::new(0), sent: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Gate for Turnstile {
    async fn may_send(&self) -> Result<(), Closed> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let is = *self.is.subscribe().wait_for(|is| *is != Is::Silent).await.unwrap();
        match is {
            Is::Open => Ok(()),
            _ => Err(Closed("the lease is another's".to_owned())),
        }
    }

    fn sent(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
    }
}

/// A provider that does all that is asked of it.
fn willing() -> Arc<Scripted> {
    Scripted::new(|request, _| async move {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/volumes") => ok(&json!({"volumes": []})),
            ("GET", "/actions") => ok(&json!({"actions": []})),
            (_, path) if path.starts_with("/placement_groups") => ok(&json!({"placement_group": {
                "id": 1, "name": "g", "created": "2026-01-30T23:55:00Z", "labels": {}, "servers": [], "type": "spread"
            }})),
            _ => ok(&json!({"volume": volume(1)})),
        }
    })
}

async fn change(client: &ProjectClient) -> Result<(), Error> {
    client.create_volume(&CreateVolume::default()).await.map(drop)
}

fn assert_not_sent(error: &Error) {
    assert!(matches!(error, Error::NotSent { operation, .. } if operation == "POST /volumes"), "{error}");
    assert_eq!(error.class(), ErrorClass::NotSent);
    assert!(!error.outcome_unknown());
    assert_eq!(error.to_string(), "POST /volumes: not sent: the lease is another's");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_for_its_permit_while_the_gate_closes_is_never_sent() {
    // 359 left and a reserve of 360: a change waits two seconds.
    let first = with_headers(ok(&json!({"volume": volume(1)})), 3600.0, 359.0, 0.0);
    let api = Scripted::replies(vec![first, ok(&json!({"volume": volume(1)}))]);
    let gate = Turnstile::new(Is::Open);
    let client = client(Arc::<Scripted>::clone(&api)).gated(Arc::<Turnstile>::clone(&gate));
    client.get_volume(Id::new(1)).await.unwrap();

    let begin = Instant::now();
    let (outcome, ()) = tokio::join!(change(&client), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((client.budget().snapshot().waiting, gate.asked()), (1, 0), "it waits for the budget, not the gate");
        gate.is.send_replace(Is::Shut);
    });

    assert_eq!(begin.elapsed().as_secs(), 2);
    assert_not_sent(&outcome.unwrap_err());
    assert_eq!((api.count(), gate.asked(), gate.requests()), (1, 1, 1), "only the read was sent");
    let budget = client.budget().snapshot();
    assert_eq!((budget.in_flight, budget.waiting, budget.remaining), (0, 0, 361.0), "permit and token are given back");
    // Who comes next finds the token.
    gate.is.send_replace(Is::Open);
    change(&client).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_gate_is_asked_between_the_permit_and_the_sending() {
    let api = willing();
    let gate = Turnstile::new(Is::Silent);
    let client = client(Arc::<Scripted>::clone(&api)).gated(Arc::<Turnstile>::clone(&gate));
    let (outcome, ()) = tokio::join!(change(&client), async {
        while gate.asked() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((client.budget().snapshot().in_flight, api.count()), (1, 0));
        gate.is.send_replace(Is::Open);
    });
    outcome.unwrap();
    assert_eq!((api.count(), gate.asked(), gate.requests()), (1, 1, 1), "let through once");
}

#[tokio::test(start_paused = true)]
async fn reads_are_not_gated_and_every_kind_of_change_is() {
    let api = willing();
    let gate = Turnstile::new(Is::Shut);
    let client = client(Arc::<Scripted>::clone(&api)).gated(Arc::<Turnstile>::clone(&gate)).at(Priority::Delete);
    client.get_volume(Id::new(1)).await.unwrap();
    client.list_volumes(&ListFilter::all()).await.unwrap();
    client.actions(&[Id::new(1)]).await.unwrap();
    assert_eq!((api.count(), gate.asked(), gate.requests()), (3, 0, 3));

    let refused = [
        change(&client).await,
        client.update_placement_group(Id::new(1), &UpdatePlacementGroup::default()).await.map(drop),
        client.delete_volume(Id::new(1)).await,
        client.power_off(Id::new(1)).await.map(drop),
    ];
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(Error::NotSent { .. }))), "{refused:?}");
    assert_eq!((api.count(), gate.asked()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_repeated_asks_each_time() {
    let gate = Turnstile::new(Is::Open);
    let closes = Arc::clone(&gate);
    let api = Scripted::new(move |_, _| {
        // Another takes over while the provider refuses for lack of budget.
        closes.is.send_replace(Is::Shut);
        async { error(429, "rate_limit_exceeded") }
    });
    let client = client(Arc::<Scripted>::clone(&api)).gated(Arc::<Turnstile>::clone(&gate));
    assert_not_sent(&change(&client).await.unwrap_err());
    assert_eq!((api.count(), gate.asked()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_abandoned_at_the_gate_blocks_nobody() {
    let api = willing();
    let gate = Turnstile::new(Is::Silent);
    let client = client(Arc::<Scripted>::clone(&api)).gated(Arc::<Turnstile>::clone(&gate));
    tokio::time::timeout(Duration::from_secs(1), change(&client)).await.expect_err("nobody answers");
    assert_eq!((gate.asked(), api.count(), client.budget().snapshot().in_flight), (1, 0, 0));
    // Nothing was ever answered, so one request at a time is sent: this one's turn comes.
    gate.is.send_replace(Is::Open);
    change(&client).await.unwrap();
    assert_eq!(api.count(), 1);
}
