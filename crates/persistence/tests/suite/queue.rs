//! Leases and the queue.

use std::time::Duration;

use control_plane::{
    ProjectId, Uid,
    engine::ENGINE_VERSION,
    ports::{
        Attendance, Bundle, Commit, CommitOutcome, Lease, Portion, Put, RequestBudget, Settled, StepState, Tie, Verdict,
    },
};
use seca_api::Kind;

use super::{TTL, World, engine::step, in_network, key, sorted, updated, workspace};

const MOMENT: Duration = Duration::from_millis(1);

pub async fn a_project_is_leased_to_one_owner_at_a_time(world: &World) {
    let take = async |ttl| world.store.lease("me", ttl, ENGINE_VERSION, 10, Portion::All).await.unwrap();
    let first = take(TTL).await;
    assert_eq!(first.len(), 1);
    assert!(first[0].project.is_local());
    assert_eq!(take(TTL).await, []);
    assert!(world.store.renew(&first[0], TTL, None).await.unwrap());

    world.store.release(&first[0]).await.unwrap();
    assert!(!world.store.renew(&first[0], TTL, None).await.unwrap(), "what was given back is not prolonged");
    let second = take(MOMENT).await;
    assert!(second[0].token > first[0].token);
    world.store.release(&first[0]).await.unwrap();

    // A lease that ran out is free for others; until one takes it, its holder may prolong it.
    let third = loop {
        if let Some(lease) = take(MOMENT).await.pop() {
            break lease;
        }
        tokio::task::yield_now().await;
    };
    assert!(third.token > second[0].token);
    assert!(!world.store.renew(&second[0], TTL, None).await.unwrap());
    assert!(world.store.renew(&third, TTL, None).await.unwrap());
    assert_eq!(take(TTL).await, []);
}

pub async fn no_replica_takes_a_living_lease_for_its_duration(world: &World) {
    let (short, long) = (Duration::from_secs(15), Duration::from_secs(60));
    let (_, lease) = world.bound("p").await;
    world.store.release(&lease).await.unwrap();
    let take = async |owner: &str, ttl| world.store.lease(owner, ttl, ENGINE_VERSION, 10, Portion::All).await.unwrap();
    for (holder, other) in [(long, short), (short, long)] {
        let leases = take("holder", holder).await;
        assert_eq!(leases.len(), 2);
        for _ in 0..100 {
            let renewals = async {
                for lease in &leases {
                    assert!(world.store.renew(lease, holder, None).await.unwrap());
                }
            };
            let (taken, ()) = tokio::join!(take("other", other), renewals);
            assert_eq!(taken, [], "{holder:?} is no shorter for {other:?}");
        }
        for lease in &leases {
            world.store.release(lease).await.unwrap();
        }
    }
}

pub async fn of_projects_that_are_shared_each_takes_its_share(world: &World) {
    for name in ["p", "q", "r", "s"] {
        let workspace = world.create(&workspace(name)).await;
        world.store.bind(world.credential(&workspace, name)).await.unwrap();
    }
    let take = async |owner: &str, limit: usize, portion: Portion| {
        world.store.lease(owner, TTL, ENGINE_VERSION, limit, portion).await.unwrap()
    };
    let attend = async |owner: &str| world.store.attend(owner, TTL, ENGINE_VERSION).await.unwrap();
    // Of five, with the local one. It counts itself, though it has not told of itself yet.
    attend("b").await;
    assert_eq!(take("a", 2, Portion::Share).await.len(), 2);
    let third = take("a", 10, Portion::Share).await;
    assert_eq!((third.len(), take("a", 10, Portion::Share).await.len()), (1, 0), "half of five, rounded up");
    attend("a").await;
    attend("c").await;
    assert_eq!(take("b", 10, Portion::Share).await.len(), 2, "a third of them");
    world.store.release(&third[0]).await.unwrap();
    assert_eq!(take("b", 10, Portion::Share).await.len(), 0);
    assert_eq!(take("b", 10, Portion::All).await.len(), 1, "nobody wants the rest");
}

pub async fn engines_count_those_that_stay(world: &World) {
    let ttl = Duration::from_millis(200);
    let attend = async |owner: &str, engine: i64| world.store.attend(owner, ttl, engine).await.unwrap();
    let (now, next) = (ENGINE_VERSION, ENGINE_VERSION + 1);
    assert_eq!(attend("a", now).await, Attendance { lasting: 1, projects: 1 });
    attend("b", now).await;
    assert_eq!(attend("a", now).await.lasting, 1, "it has just begun");
    while attend("a", now).await.lasting < 2 {
        attend("b", now).await;
    }
    // A newer one may take what an older one has, and no older one what that has.
    while attend("a", now).await.lasting < 3 {
        attend("b", now).await;
        assert_eq!(attend("c", next).await.lasting, 1);
    }
    world.store.leave("b").await.unwrap();
    assert!(attend("a", now).await.lasting < 3);
    while attend("a", now).await.lasting < 2 {
        attend("c", next).await;
    }
    // One that tells no more is counted no more.
    while attend("a", now).await.lasting > 1 {
        tokio::task::yield_now().await;
    }
    world.store.lease("c", TTL, next, 10, Portion::All).await.unwrap();
    assert_eq!((attend("a", now).await.projects, attend("c", next).await.projects), (0, 1));
}

pub async fn a_lease_that_ends_later_than_it_can_is_not_believed(world: &World) {
    let take =
        async || world.store.lease("me", Duration::from_secs(15), ENGINE_VERSION, 10, Portion::All).await.unwrap();
    let first = take().await;
    assert_eq!(first.len(), 1);
    // The clock was two days ahead, and was put right.
    if !world.execute("UPDATE projects SET until = until + 172800000").await {
        return;
    }
    let second = take().await;
    assert!(second.len() == 1 && second[0].token > first[0].token);
    assert_eq!(take().await, []);

    // The release before takes it for a minute, and for longer than ten. It says nothing of how long its leases last.
    world.execute("UPDATE projects SET owner = 'old', token = token + 1, until = until + 45000").await;
    assert_eq!(take().await, [], "the duration that is written there is another lease's");
    world.execute("UPDATE projects SET until = until + 570000").await;
    let third = take().await;
    assert!(third.len() == 1 && third[0].token > second[0].token + 1);
    world.execute("UPDATE projects SET lease_ttl = NULL, lease_ttl_token = NULL, until = until + 570000").await;
    assert_eq!(take().await, []);
    world.execute("UPDATE projects SET until = until + 30000").await;
    assert_eq!(take().await.len(), 1);
}

pub async fn no_engine_takes_what_a_newer_one_had(world: &World) {
    let take = async |engine| world.store.lease("me", TTL, engine, 10, Portion::All).await.unwrap();
    let give_back = async |leases: Vec<Lease>| {
        for lease in &leases {
            world.store.release(lease).await.unwrap();
        }
        leases.len()
    };
    assert_eq!(give_back(take(0).await).await, 1, "nobody had it before");
    assert_eq!(give_back(take(2).await).await, 1);
    assert_eq!(take(1).await, []);
    let row = world.create(&workspace("w")).await;
    world.store.bind(world.credential(&row, "p")).await.unwrap();
    let taken = take(1).await;
    assert_eq!(taken.iter().map(|lease| lease.project.0.as_str()).collect::<Vec<_>>(), ["p"]);
    give_back(taken).await;
    assert_eq!(give_back(take(2).await).await, 2);
    assert_eq!(take(1).await, []);
    assert_eq!(give_back(take(3).await).await, 2);
}

pub async fn a_call_may_be_sent_while_lease_and_intent_stand(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let record = async || {
        let id = world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap();
        id.unwrap()
    };
    let may = async |lease: &Lease, id| world.store.may_send(lease, id).await.unwrap();
    let open = record().await;
    assert_eq!(may(&lease, None).await, Some(Duration::ZERO));
    assert!(may(&lease, Some(open)).await.unwrap() < TTL);
    // It ages by the database's clock.
    while may(&lease, Some(open)).await.unwrap() < Duration::from_millis(5) {
        tokio::task::yield_now().await;
    }
    assert_eq!(may(&lease, Some(open + 1_000)).await, None, "there is no such step");
    let local = world.lease("local").await;
    assert_eq!(may(&local, Some(open)).await, None, "it is another project's");
    for state in [StepState::Running, StepState::Unknown, StepState::Done, StepState::Failed] {
        let id = record().await;
        world.store.finish_step(&lease, id, state, None, None).await.unwrap();
        assert_eq!(may(&lease, Some(id)).await, None, "{state:?}");
    }

    // The lease runs out, is taken by another, and given back.
    assert!(world.store.renew(&lease, MOMENT, None).await.unwrap());
    while may(&lease, None).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(may(&lease, Some(open)).await, None);
    let next = world.lease("p").await;
    assert_eq!(may(&lease, None).await, None);
    assert!(may(&next, Some(open)).await.is_some());
    world.store.release(&next).await.unwrap();
    assert_eq!(may(&next, None).await, None);
}

pub async fn a_former_holder_can_write_nothing(world: &World) {
    let (ws, old) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let open = world.record_step(&old, volume.uid, 1, &step("before", &[])).await.unwrap().unwrap();
    world.mark_deleted(&volume.key).await;
    world.store.release(&old).await.unwrap();
    let new = world.lease("p").await;
    let before = world.store.bundle(volume.uid).await.unwrap().unwrap();

    let budget = RequestBudget { limit: 1, remaining: 1, refill_per_hour: 1, waiting: 0 };
    for lease in [&old, &Lease { project: ProjectId("nobody".to_owned()), token: new.token }] {
        let commit = world.commit_of(volume.uid, Verdict::Failed).await;
        assert_eq!(world.store.commit(lease, commit).await.unwrap(), CommitOutcome::Fenced);
        assert_eq!(world.store.remove(lease, volume.uid).await.unwrap(), CommitOutcome::Fenced);
        assert!(!world.store.tie(lease, ws.uid, &[Tie::Claim(volume.uid)]).await.unwrap());
        assert_eq!(world.record_step(lease, volume.uid, 1, &step("x", &[])).await.unwrap(), None);
        assert!(!world.store.finish_step(lease, open, StepState::Done, None, None).await.unwrap());
        assert!(!world.store.save_orphans(lease, &[]).await.unwrap());
        assert!(!world.store.renew(lease, TTL, Some(budget)).await.unwrap());
        world.store.requeue(lease, volume.uid, Duration::ZERO).await.unwrap();
    }
    let mut after = world.store.bundle(volume.uid).await.unwrap().unwrap();
    assert_eq!(world.store.oversight().projects().await.unwrap()[1].budget, None);
    after.open_steps[0].age = before.open_steps[0].age;
    assert_eq!(after, before);
    assert!(matches!(world.store.remove(&new, volume.uid).await.unwrap(), CommitOutcome::Done(_)));
}

pub async fn projects_with_due_work_are_leased_first(world: &World) {
    let (idle, lease) = world.bound("a-first-by-name").await;
    world.settle(&lease).await;
    world.store.release(&lease).await.unwrap();
    let busy = world.create(&workspace("busy")).await;
    world.store.bind(world.credential(&busy, "z-last-by-name")).await.unwrap();
    let taken = world.store.lease("me", TTL, ENGINE_VERSION, 1, Portion::All).await.unwrap();
    assert_eq!(taken[0].project.0, "z-last-by-name");
    let rest = world.store.lease("me", TTL, ENGINE_VERSION, 10, Portion::All).await.unwrap();
    assert_eq!(rest.len(), 2, "idle ones are leased too");
    assert_eq!(world.store.project_uids(&ProjectId("a-first-by-name".to_owned())).await.unwrap(), [idle.uid]);
}

pub async fn what_is_due_within_a_time_does_not_rest(world: &World) {
    let lease = world.lease("local").await;
    let (now, soon, late, never) = (
        world.create(&workspace("now")).await.uid,
        world.create(&workspace("soon")).await.uid,
        world.create(&workspace("late")).await.uid,
        world.create(&workspace("never")).await.uid,
    );
    let after = |uid, seconds| Settled { uid, wake: 1, attempts: 0, next: Some(Duration::from_secs(seconds)) };
    let looks = [after(soon, 20), after(late, 3_600), Settled { next: None, ..after(never, 0) }];
    assert!(world.store.settle(&lease, &looks).await.unwrap());
    let within = |seconds| world.store.resting(&lease.project, Duration::from_secs(seconds));
    assert_eq!(within(0).await.unwrap(), [soon, late, never]);
    assert_eq!(within(30).await.unwrap(), [late, never]);
    assert_eq!(within(4_000).await.unwrap(), [never]);
    assert!(world.store.due(&lease, 10).await.unwrap().contains(&now));
}

pub async fn what_is_queued_is_due_in_its_order(world: &World) {
    let lease = world.lease("local").await;
    assert_eq!(world.next_due(&lease).await, None);
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        uids.push(world.create(&workspace(name)).await.uid);
        // The database's clock goes on before the next one is queued.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert_eq!(world.due(&lease).await, uids);
    assert_eq!(world.store.due(&lease, 2).await.unwrap(), uids[..2]);
    assert_eq!(world.next_due(&lease).await, Some(Duration::ZERO));

    let later = world.commit_of(uids[1], Verdict::Working).await;
    let later = Commit { next: Some(Duration::from_secs(3600)), ..later };
    world.commit(&lease, later).await;
    assert_eq!(world.due(&lease).await, [uids[0], uids[2]]);
    world.converge(&lease, uids[0]).await;
    world.converge(&lease, uids[2]).await;
    assert_eq!(world.due(&lease).await, []);
    let left = world.next_due(&lease).await.unwrap();
    assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3600), "{left:?}");

    for uid in &uids {
        world.store.requeue(&lease, *uid, Duration::ZERO).await.unwrap();
    }
    assert_eq!(sorted(world.due(&lease).await), sorted(uids));
}

pub async fn what_was_looked_at_leaves_the_queue_unless_it_was_woken(world: &World) {
    let (w, lease) = world.bound("p").await;
    let mut rows = vec![w];
    for name in ["a", "b", "c", "d"] {
        rows.push(world.create(&key(Kind::BlockStorage, name)).await);
    }
    world.settle(&lease).await;
    for row in &rows {
        world.store.requeue(&lease, row.uid, Duration::ZERO).await.unwrap();
    }
    let uids: Vec<Uid> = rows.iter().map(|row| row.uid).collect();
    let read = world.store.bundles(&uids).await.unwrap();
    world.store.requeue(&lease, uids[1], Duration::ZERO).await.unwrap();
    updated(world.put(world.update_of(&world.read(&rows[2].key).await).await).await);
    let looked = |bundle: &Bundle| {
        let next = (bundle.resource.uid == uids[3]).then_some(Duration::from_secs(3600));
        Settled { uid: bundle.resource.uid, wake: bundle.wake, attempts: 3, next }
    };
    let looks: Vec<Settled> = read.iter().map(looked).collect();
    let former = Lease { token: lease.token - 1, ..lease.clone() };
    assert!(!world.store.settle(&former, &looks).await.unwrap(), "its lease is over");
    assert_eq!(world.due(&lease).await.len(), 5);
    assert!(world.store.settle(&lease, &looks).await.unwrap());
    assert_eq!(sorted(world.due(&lease).await), sorted(vec![uids[1], uids[2]]));
    let left = world.next_due(&lease).await.unwrap();
    assert_eq!(left, Duration::ZERO, "what was woken is due");
    let attempts = async |uid| world.store.bundle(uid).await.unwrap().unwrap().attempts;
    assert_eq!((attempts(uids[1]).await, attempts(uids[4]).await), (0, 3));
}

pub async fn a_requeue_never_postpones(world: &World) {
    let lease = world.lease("local").await;
    let uid = world.create(&workspace("w")).await.uid;
    world.store.requeue(&lease, uid, Duration::from_secs(60)).await.unwrap();
    assert_eq!(world.due(&lease).await, [uid]);
    world.converge(&lease, uid).await;
    world.store.requeue(&lease, uid, Duration::from_secs(60)).await.unwrap();
    assert_eq!(world.due(&lease).await, []);
    world.store.requeue(&lease, uid, Duration::from_secs(3600)).await.unwrap();
    assert!(world.next_due(&lease).await.unwrap() <= Duration::from_secs(60));
    world.store.requeue(&lease, uid, Duration::ZERO).await.unwrap();
    assert_eq!(world.due(&lease).await, [uid]);
}

pub async fn a_wake_up_during_work_is_not_lost(world: &World) {
    let lease = world.lease("local").await;
    let row = world.create(&workspace("w")).await;
    // The engine reads; then something happens; then it writes down what it made of what it read.
    for happens in ["an update", "a deletion", "a wake-up", "nothing"] {
        let commit = world.commit_of(row.uid, Verdict::Waiting).await;
        match happens {
            "an update" => drop(updated(world.put(world.update_of(&world.read(&row.key).await).await).await)),
            "a deletion" => drop(world.mark_deleted(&row.key).await),
            "a wake-up" => world.store.requeue(&lease, row.uid, Duration::ZERO).await.unwrap(),
            _ => {}
        }
        world.commit(&lease, commit).await;
        let due = world.due(&lease).await;
        assert_eq!(due.is_empty(), happens == "nothing", "{happens}");
    }
}

pub async fn an_idle_resource_is_due_when_woken(world: &World) {
    let lease = world.lease("local").await;
    let row = world.create(&workspace("w")).await;
    world.converge(&lease, row.uid).await;
    assert_eq!(world.next_due(&lease).await, None);
    updated(world.put(world.update_of(&world.read(&row.key).await).await).await);
    assert_eq!(world.due(&lease).await, [row.uid]);
    world.converge(&lease, row.uid).await;
    world.mark_deleted(&row.key).await;
    assert_eq!(world.due(&lease).await, [row.uid]);
}

pub async fn retries_are_counted_until_they_end(world: &World) {
    let lease = world.lease("local").await;
    let row = world.create(&workspace("w")).await;
    let attempts = async || world.store.bundle(row.uid).await.unwrap().unwrap().attempts;
    for expected in 1..=3 {
        let commit = world.commit_of(row.uid, Verdict::Working).await;
        world.commit(&lease, Commit { attempts: expected, ..commit }).await;
        assert_eq!(attempts().await, expected);
    }
    updated(
        world.put(Put { spec: r#"{"new":1}"#.to_owned(), ..world.update_of(&world.read(&row.key).await).await }).await,
    );
    assert_eq!(attempts().await, 0, "what a client changed is tried as if for the first time");
    let commit = world.commit_of(row.uid, Verdict::Working).await;
    world.commit(&lease, Commit { attempts: 7, ..commit }).await;
    world.converge(&lease, row.uid).await;
    assert_eq!(attempts().await, 0);
}

pub async fn what_waited_for_a_removed_row_is_woken(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "v")).await;
    let boots = [("/spec/bootVolume/deviceRef", &volume.key)];
    let holder = world.create_with(&key(Kind::Instance, "holder"), &boots).await;
    let waiting = world.create_with(&key(Kind::Instance, "waiting"), &boots).await;
    world.create(&key(Kind::Network, "n")).await;
    let leaving = world.create(&in_network(Kind::Subnet, "n", "leaving")).await;
    let staying = world.create(&in_network(Kind::Subnet, "n", "staying")).await;
    assert!(world.store.tie(&lease, holder.uid, &[Tie::Claim(volume.uid)]).await.unwrap());
    for row in [&holder, &leaving] {
        world.mark_deleted(&row.key).await;
    }
    world.settle(&lease).await;
    assert_eq!(world.due(&lease).await, []);

    world.store.remove(&lease, holder.uid).await.unwrap();
    let due = world.due(&lease).await;
    assert!(due.contains(&volume.uid) && due.contains(&waiting.uid), "the next may hold the volume: {due:?}");
    world.settle(&lease).await;
    world.store.remove(&lease, leaving.uid).await.unwrap();
    assert!(world.due(&lease).await.contains(&staying.uid), "there is room in the network");
}
