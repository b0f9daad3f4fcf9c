//! What operators order about orphans.

use std::time::Duration;

use control_plane::{
    ProjectId, Resource, Uid,
    facts::{AdoptionFacts, Facts},
    ports::{Lease, OrderEnd, OrderOutcome, OrphanOrder, OwnedObject, Verdict},
};
use seca_api::Kind;
use serde_json::{Map, json};

use super::{World, key};

fn object(id: &str, uid: Option<Uid>) -> OwnedObject {
    OwnedObject { object_type: "volume".to_owned(), id: id.to_owned(), uid, ..OwnedObject::default() }
}

fn order(world: &World, object: &OwnedObject, into: Option<Uid>) -> OrphanOrder {
    let project = ProjectId("p".to_owned());
    OrphanOrder { uid: world.uid(), project, object: object.clone(), into, told: None, refused: false }
}

async fn give(world: &World, order: &OrphanOrder) -> OrderOutcome {
    world.store.oversight().order(order).await.unwrap()
}

async fn due(world: &World, lease: &Lease, uid: Uid) -> bool {
    world.store.due(lease, 100).await.unwrap().contains(&uid)
}

/// Writes facts of a row, as the engine does.
async fn remember(world: &World, lease: &Lease, row: &Resource, facts: serde_json::Value) {
    let facts: Map<String, serde_json::Value> = facts.as_object().unwrap().clone();
    let commit = world.commit_of(row.uid, Verdict::Converged).await;
    let commit = control_plane::ports::Commit { facts, ..commit };
    world.store.commit(lease, commit).await.unwrap();
}

pub async fn a_removal_is_queued_until_it_has_ended(world: &World) {
    let (_, lease) = world.bound("p").await;
    let seen = [object("1", Some(world.uid())), object("2", None)];
    let removal = order(world, &seen[0], None);
    assert_eq!(give(world, &removal).await, OrderOutcome::Unknown, "no sweep saw it");
    assert!(world.store.save_orphans(&lease, &seen).await.unwrap());
    assert_eq!(give(world, &removal).await, OrderOutcome::Accepted);
    assert!(due(world, &lease, removal.uid).await);
    // The same again is one order.
    let again = order(world, &seen[0], None);
    assert_eq!(give(world, &again).await, OrderOutcome::Accepted);
    assert!(!due(world, &lease, again.uid).await);
    let oversight = world.store.oversight();
    assert_eq!(oversight.orders().await.unwrap(), [(removal.clone(), None)]);
    assert_eq!(oversight.removal(&lease, removal.uid).await.unwrap(), Some(removal.clone()));

    // Tried again later, with a word.
    let later = OrderEnd::Again(Duration::from_secs(60), "busy".to_owned());
    assert!(oversight.tried(&lease, removal.uid, &later).await.unwrap());
    assert!(!due(world, &lease, removal.uid).await);
    assert_eq!(oversight.orders().await.unwrap()[0].0.told.as_deref(), Some("busy"));

    // Refused: it is not due any more, and may be ordered anew.
    assert!(oversight.tried(&lease, removal.uid, &OrderEnd::Refused("no".to_owned())).await.unwrap());
    assert_eq!(oversight.removal(&lease, removal.uid).await.unwrap(), None);
    assert!(oversight.orders().await.unwrap()[0].0.refused);
    world.store.prune(Duration::from_secs(60)).await.unwrap();
    assert_eq!(oversight.orders().await.unwrap().len(), 1, "it is told for a while");
    let anew = order(world, &seen[0], None);
    assert_eq!(give(world, &anew).await, OrderOutcome::Accepted);
    assert!(due(world, &lease, anew.uid).await && !due(world, &lease, removal.uid).await);

    // A former holder ends nothing.
    world.store.release(&lease).await.unwrap();
    assert!(!oversight.tried(&lease, anew.uid, &OrderEnd::Done).await.unwrap());
    assert_eq!(oversight.removal(&lease, anew.uid).await.unwrap(), None);
    let next = world.lease("p").await;
    assert!(oversight.tried(&next, anew.uid, &OrderEnd::Done).await.unwrap());
    assert_eq!(oversight.orders().await.unwrap(), []);
    assert!(!due(world, &next, anew.uid).await);
    let left: Vec<String> = world.store.orphans().await.unwrap().into_iter().map(|(_, object)| object.id).collect();
    assert_eq!(left, ["2"], "it is an orphan no more");
}

pub async fn a_resource_remembers_what_it_is_to_have(world: &World) {
    let (_, lease) = world.bound("p").await;
    let (one, other) =
        (world.create(&key(Kind::BlockStorage, "a")).await, world.create(&key(Kind::BlockStorage, "b")).await);
    let seen = [object("1", Some(world.uid())), object("2", Some(world.uid()))];
    assert!(world.store.save_orphans(&lease, &seen).await.unwrap());
    remember(world, &lease, &one, json!({"volumeId": "9"})).await;
    assert!(!due(world, &lease, one.uid).await);

    let adoption = order(world, &seen[0], Some(one.uid));
    assert_eq!(give(world, &adoption).await, OrderOutcome::Accepted);
    let row = world.read(&one.key).await;
    assert_eq!(AdoptionFacts::of(&row).adopt, Some(adoption.adopt()));
    assert_eq!(row.fact("volumeId"), Some("9"), "the rest stays");
    assert!(due(world, &lease, one.uid).await && !due(world, &lease, adoption.uid).await);

    // While that stands, nobody else gets it, and it is not removed.
    assert_eq!(give(world, &order(world, &seen[0], Some(one.uid))).await, OrderOutcome::Accepted, "the same again");
    let taken = OrderOutcome::Ordered(Some(one.key.clone()));
    assert_eq!(give(world, &order(world, &seen[0], Some(other.uid))).await, taken);
    assert_eq!(give(world, &order(world, &seen[0], None)).await, taken);
    let removal = order(world, &seen[1], None);
    assert_eq!(give(world, &removal).await, OrderOutcome::Accepted);
    assert_eq!(give(world, &order(world, &seen[1], Some(other.uid))).await, OrderOutcome::Ordered(None));

    // Once it is refused, it is free.
    let refused = json!({"adopt": {"type": "volume", "id": "1", "refused": "no"}});
    remember(world, &lease, &one, refused).await;
    assert_eq!(give(world, &order(world, &seen[0], Some(other.uid))).await, OrderOutcome::Accepted);

    // And once a resource has it, it is claimed.
    remember(world, &lease, &other, json!({"adopt": null, "volumeId": "1"})).await;
    let claimed = OrderOutcome::Claimed(other.key.clone());
    assert_eq!(give(world, &order(world, &seen[0], None)).await, claimed);
    assert_eq!(give(world, &order(world, &seen[0], Some(one.uid))).await, claimed);
    let labelled = object("7", Some(other.uid));
    assert_eq!(give(world, &order(world, &labelled, None)).await, claimed, "by its label");

    // What was given is forgotten after a while, and what is still to be done is not.
    until_pruned(world, &[(removal.uid, None)]).await;

    // One that is being deleted gets nothing.
    world.mark_deleted(&one.key).await;
    assert!(world.store.oversight().tried(&lease, removal.uid, &OrderEnd::Refused("no".to_owned())).await.unwrap());
    assert_eq!(give(world, &order(world, &seen[1], Some(one.uid))).await, OrderOutcome::Left);
}

/// Prunes what is older than this moment until these orders are left.
async fn until_pruned(world: &World, left: &[(Uid, Option<Uid>)]) {
    loop {
        world.store.prune(Duration::ZERO).await.unwrap();
        let orders = world.store.oversight().orders().await.unwrap();
        let orders: Vec<_> = orders.iter().map(|(order, _)| (order.uid, order.into)).collect();
        if orders == left {
            return;
        }
        assert!(orders.len() > left.len(), "{orders:?}");
        tokio::task::yield_now().await;
    }
}
