use std::pin::pin;

use futures::{FutureExt as _, poll};
use seca_api::Kind;
use tokio::time::Instant;

use super::*;
use crate::{
    ports::{Commit, Put, Verdict},
    resource::ProjectId,
    state,
    testing::MemoryStore,
};

/// What there is to wait for of a row, as it is shown.
fn transition(row: &Resource) -> Option<Transition> {
    Transition::of(&row.clone().into())
}

fn row(name: &str, uid: u128) -> Resource {
    state::create(put(name, uid), ProjectId::local())
}

fn put(name: &str, uid: u128) -> Put {
    Put::create(
        ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", name),
        Uid(uuid::Uuid::from_u128(uid)),
        "{}",
        Timestamp::from_millis(1_000),
    )
}

fn entered(row: &Resource, verdict: Verdict, millis: i64) -> Resource {
    let mut row = row.clone();
    let commit = Commit {
        uid: row.uid,
        generation: row.generation,
        action_seq: row.action.seq,
        wake: 0,
        verdict,
        note: Some(crate::ports::Note::new(crate::Reason::InternalError, format!("at {millis}"))),
        status: None,
        facts: Default::default(),
        action_done: None,
        next: None,
        attempts: 0,
        now: Timestamp::from_millis(millis),
    };
    state::commit(&mut row, &commit);
    row
}

struct World {
    watchers: Arc<Watchers>,
    store: Arc<dyn Store>,
}

impl World {
    fn new(patience: Patience) -> Self {
        Self { watchers: Arc::new(Watchers::new(patience)), store: Arc::new(MemoryStore::new("test")) }
    }

    fn hold(&self, subject: &str, row: &Resource, wish: Option<u64>) -> Held {
        let wish = wish.map(Duration::from_secs);
        self.watchers.hold(&self.store, subject, &transition(row).unwrap(), wish)
    }

    fn told(&self, subject: &str, row: &Resource) {
        self.watchers.told(subject, &transition(row).unwrap());
    }

    fn must_hold(&self, subject: &str, row: &Resource) -> Hold {
        self.told(subject, row);
        match self.hold(subject, row, None) {
            Held::Until(hold) => hold,
            other => panic!("{other:?}"),
        }
    }
}

/// A look that never comes, so that only what is told counts.
fn alone() -> Patience {
    Patience { look: Duration::from_secs(3_600), ..Patience::default() }
}

#[tokio::test(start_paused = true)]
async fn only_what_the_same_subject_was_told_less_than_five_seconds_ago_is_held() {
    let world = World::new(alone());
    let (one, other) = (row("one", 1), row("other", 2));
    assert!(matches!(world.hold("ann", &one, None), Held::No), "never told");
    world.told("ann", &one);
    assert!(matches!(world.hold("bob", &one, None), Held::No), "another subject was");
    assert!(matches!(world.hold("ann", &other, None), Held::No), "of another resource");
    assert!(matches!(world.hold("ann", &one, Some(0)), Held::No), "the client does not want to wait");
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert!(matches!(world.hold("ann", &one, None), Held::Until(_)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(world.hold("ann", &one, None), Held::No), "too long ago");
    assert!(matches!(world.hold("ann", &one, Some(9)), Held::Until(_)), "a wish needs no earlier read");
    world.told("ann", &one);
    let creating = entered(&one, Verdict::Working, 2_000);
    assert!(matches!(world.hold("ann", &creating, None), Held::No), "it is news");
    assert!(matches!(world.hold("ann", &creating, Some(9)), Held::No), "and news to who would wait");
    world.told("ann", &creating);
    let mut written = creating.clone();
    state::update(&mut written, &put("one", 1));
    assert_eq!(written.conditions, creating.conditions);
    assert!(matches!(world.hold("ann", &written, None), Held::No), "what was written is shown at once");
}

#[test]
fn nothing_waits_in_active_or_error() {
    let pending = row("w", 1);
    assert!(transition(&pending).is_some());
    for verdict in [Verdict::Converged, Verdict::Failed] {
        assert!(transition(&entered(&pending, verdict, 2_000)).is_none(), "{verdict:?}");
    }
    let mut deleting = entered(&pending, Verdict::Converged, 2_000);
    state::delete(&mut deleting, Timestamp::from_millis(3_000));
    assert!(transition(&deleting).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_new_entry_or_the_end_of_the_row_releases_and_a_message_does_not() {
    let world = World::new(alone());
    let creating = entered(&row("w", 1), Verdict::Working, 2_000);
    let mut hold = pin!(world.must_hold("ann", &creating).released());
    assert!(poll!(hold.as_mut()).is_pending());
    let told_more = entered(&creating, Verdict::Working, 3_000);
    assert_ne!(told_more.conditions, creating.conditions, "another message");
    world.watchers.changed(&told_more);
    assert!(poll!(hold.as_mut()).is_pending(), "a message");
    world.watchers.changed(&row("other", 2));
    assert!(poll!(hold.as_mut()).is_pending(), "another resource");
    world.watchers.changed(&row("w", 1));
    assert!(poll!(hold.as_mut()).is_pending(), "an older look");
    // In the same millisecond, as on a fast provider.
    world.watchers.changed(&entered(&told_more, Verdict::Converged, 2_000));
    world.watchers.changed(&creating);
    assert!(poll!(hold.as_mut()).is_ready(), "an entry, though an older look came after it");

    let hold = world.must_hold("ann", &creating);
    world.watchers.gone(creating.uid);
    assert!(hold.released().now_or_never().is_some(), "gone");
}

#[tokio::test(start_paused = true)]
async fn time_releases_and_the_wish_of_a_client_is_another_time() {
    let world = World::new(alone());
    let row = row("w", 1);
    world.told("ann", &row);
    for (wish, seconds) in [(None, 8), (Some(3), 3), (Some(30), 30)] {
        let began = Instant::now();
        world.told("ann", &row);
        let Held::Until(hold) = world.hold("ann", &row, wish) else { panic!("{wish:?}") };
        hold.released().await;
        assert_eq!(began.elapsed().as_secs(), seconds, "{wish:?}");
    }
    assert_eq!(world.watchers.held(), 0);
    let off = World::new(Patience { hold: Duration::ZERO, ..alone() });
    off.told("ann", &row);
    assert!(matches!(off.hold("ann", &row, None), Held::No));
    assert!(matches!(off.hold("ann", &row, Some(3)), Held::Until(_)), "a wish counts though the setting is off");
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_did_is_found_by_the_next_look() {
    let world = World::new(Patience::default());
    // The store has no such row: it went elsewhere.
    let hold = world.must_hold("ann", &row("w", 1));
    let began = Instant::now();
    hold.released().await;
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn above_the_caps_reads_are_answered_at_once_and_what_ends_makes_room() {
    let world = World::new(alone());
    let row = row("w", 1);
    let mut holds = Vec::new();
    for subject in 0..8 {
        let subject = subject.to_string();
        holds.extend((0..512).map(|_| world.must_hold(&subject, &row)));
        assert!(matches!(world.hold(&subject, &row, None), Held::Full), "512 of one subject");
    }
    assert_eq!(world.watchers.held(), 4_096);
    world.told("late", &row);
    assert!(matches!(world.hold("late", &row, Some(5)), Held::Full), "4,096 of all, whoever asks and however");
    holds.pop();
    drop(world.must_hold("late", &row));
    holds.clear();
    let registry = world.watchers.lock();
    assert_eq!((registry.held, registry.waiting.len(), registry.of_subject.len()), (0, 0, 0), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn what_was_told_is_bounded_in_number_and_in_time() {
    let world = World::new(alone());
    let row = row("w", 1);
    for subject in 0..40_000 {
        world.told(&subject.to_string(), &row);
    }
    assert_eq!(world.watchers.lock().told.len(), told::MOST);
    assert!(matches!(world.hold("0", &row, None), Held::No), "the oldest is forgotten");
    assert!(matches!(world.hold("39999", &row, None), Held::Until(_)));
    tokio::time::advance(Duration::from_secs(6)).await;
    world.told("ann", &row);
    assert_eq!(world.watchers.lock().told.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_asks_all_the_time_makes_nobody_else_forgotten() {
    let world = World::new(alone());
    let row = row("w", 1);
    world.told("ann", &row);
    for _ in 0..40_000 {
        world.told("bob", &row);
    }
    assert_eq!(world.watchers.lock().told.len(), 2);
    assert!(matches!(world.hold("ann", &row, None), Held::Until(_)));
}

/// Polls like go-sdk for a server that takes a while: a pause, a read, then intervals of half the length each, ten
/// reads in all. How many it took; none when it gave up.
async fn poll_like_go_sdk(hold: Duration, delay: u64, interval: u64, server: u64) -> Option<usize> {
    let world = World::new(Patience { hold, ..alone() });
    let creating = entered(&row("w", 1), Verdict::Working, 2_000);
    let active = entered(&creating, Verdict::Converged, 90_000);
    let done = Instant::now() + Duration::from_secs(server);
    let (watchers, row) = (Arc::clone(&world.watchers), active.clone());
    tokio::spawn(async move {
        tokio::time::sleep_until(done).await;
        watchers.changed(&row);
    });
    let found = || if Instant::now() < done { &creating } else { &active };
    let mut interval = Duration::from_secs(interval);
    sleep(Duration::from_secs(delay)).await;
    for reads in 1..=10 {
        if let Some(transition) = transition(found())
            && let Held::Until(hold) = world.watchers.hold(&world.store, "go", &transition, None)
        {
            hold.released().await;
        }
        match transition(found()) {
            Some(transition) => world.watchers.told("go", &transition),
            None => return Some(reads),
        }
        sleep(interval).await;
        interval /= 2;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn the_defaults_carry_who_polls_with_shrinking_intervals_over_a_slow_server() {
    let hold = Patience::default().hold;
    for (client, delay, interval, slowest) in [("Terraform", 30, 10, 90), ("the conformance tool", 5, 30, 90)] {
        assert_eq!(poll_like_go_sdk(Duration::ZERO, delay, interval, slowest).await, None, "{client} gives up");
        let reads = poll_like_go_sdk(hold, delay, interval, slowest).await;
        assert!(reads.is_some(), "{client}");
        assert_eq!(poll_like_go_sdk(hold, delay, interval, 600).await, None, "{client} is not kept for ever");
    }
}
