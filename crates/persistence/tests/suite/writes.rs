//! PUT and power actions.

use control_plane::{
    ActionKind, Resource,
    ports::{ActOutcome, Before, Put, PutOutcome},
    state::ActionRefusal,
};
use seca_api::{Kind, ResourceState, Timestamp};
use tokio::task::JoinSet;

use super::{World, created, edge, in_network, key, updated, within, workspace};

pub async fn a_new_resource_is_pending_and_a_second_put_changes_it(world: &World) {
    let first = world.create(&workspace("w")).await;
    assert_eq!((first.state, first.resource_version, first.generation), (ResourceState::Pending, 1, 1));
    assert!(first.project.is_local());
    assert_eq!(world.read(&first.key).await, first);

    let put = Put { spec: r#"{"a":1}"#.to_owned(), ..world.update_of(&first).await };
    let PutOutcome::Updated { before, after } = world.put(put).await else { panic!("an update") };
    assert_eq!(before, first);
    assert_eq!((after.uid, after.resource_version, after.generation), (first.uid, 2, 2));
    assert_eq!(after.spec, r#"{"a":1}"#);
    assert_eq!(world.read(&first.key).await, after);
    assert_eq!(world.store.get_many(&[workspace("none"), first.key.clone()]).await.unwrap(), [after]);
}

pub async fn a_put_that_judged_another_version_is_stale(world: &World) {
    let row = world.create(&workspace("w")).await;
    let judged = |uid, resource_version, revision| {
        Some(Before { row: Resource { uid, resource_version, revision, ..row.clone() }, edges: Vec::new() })
    };
    let other = world.uid();
    let expectations = [
        ("created meanwhile", workspace("w"), None),
        ("written meanwhile", workspace("w"), judged(row.uid, 0, 1)),
        ("observed meanwhile", workspace("w"), judged(row.uid, 1, 0)),
        ("ahead of its time", workspace("w"), judged(row.uid, 2, 1)),
        ("made again meanwhile", workspace("w"), judged(other, 1, 1)),
        ("removed meanwhile", workspace("x"), judged(row.uid, 1, 1)),
    ];
    for (what, key, before) in expectations {
        // With and without more than the row to be written.
        for labels in [None, Some("{}".to_owned())] {
            let outcome = world.put(Put { before: before.clone(), labels, ..world.new_put(&key) }).await;
            assert_eq!(outcome, PutOutcome::Stale, "{what}");
        }
    }
    assert_eq!(world.read(&row.key).await, row);
}

pub async fn versions_and_times_rise_though_the_clock_stands_still(world: &World) {
    let now = Timestamp::from_millis(7);
    let mut last = created(world.put(Put { now, ..world.new_put(&workspace("w")) }).await);
    for _ in 0..5 {
        let next = updated(world.put(Put { now, ..world.update_of(&last).await }).await);
        assert!(next.last_modified_at > last.last_modified_at);
        assert_eq!(next.resource_version, last.resource_version + 1);
        assert!(next.revision > last.revision);
        assert_eq!(next.created_at, now);
        last = next;
    }
    let deleted = world.mark_deleted(&last.key).await;
    assert!(deleted.deleted_at > Some(last.last_modified_at));
}

pub async fn what_was_stored_comes_back_to_the_letter(world: &World) {
    let texts = [
        r#"{"z":1,"a":2}"#,
        r#"{"n":1.50,"big":123456789012345678901234567890,"e":1e3}"#,
        r#"{"t":"Grüße, \"quoted\" \\ 'single' %_* 漢字 🦀 \u0000"}"#,
        "{\n  \"spaced\" : [ ]\n}",
    ];
    for (number, text) in texts.iter().enumerate() {
        let put = Put {
            labels: Some((*text).to_owned()),
            annotations: Some((*text).to_owned()),
            extensions: Some((*text).to_owned()),
            spec: (*text).to_owned(),
            initial_status: (*text).to_owned(),
            start: true,
            ..world.new_put(&workspace(&format!("w{number}")))
        };
        let row = created(world.put(put).await);
        let read = world.read(&row.key).await;
        assert_eq!((read.spec.as_str(), read.status.as_str(), read.labels.as_deref()), (*text, *text, Some(*text)));
        assert_eq!(read, row);
        assert_eq!(read.action.pending(), Some(ActionKind::Start));
    }
}

pub async fn a_put_needs_live_parents_and_strict_targets(world: &World) {
    let (network, subnet) = (key(Kind::Network, "n"), in_network(Kind::Subnet, "n", "s"));
    let (volume, instance) = (key(Kind::BlockStorage, "b"), key(Kind::Instance, "i"));
    let boots = |strict| vec![edge("/spec/bootVolume/deviceRef", &volume, strict)];
    let missing = |key: &_| PutOutcome::Missing(Clone::clone(key));

    assert_eq!(world.put(world.new_put(&network)).await, missing(&workspace("w")));
    world.create(&workspace("w")).await;
    assert_eq!(world.put(world.new_put(&subnet)).await, missing(&network));
    world.create(&network).await;
    world.create(&subnet).await;

    let strict = || Put { edges: boots(true), ..world.new_put(&instance) };
    assert_eq!(world.put(strict()).await, missing(&volume));
    let late = created(world.put(Put { edges: boots(false), ..world.new_put(&instance) }).await);
    let to_strict = Put { edges: boots(true), ..world.update_of(&late).await };
    assert_eq!(world.put(to_strict.clone()).await, missing(&volume));
    world.create(&volume).await;
    let strict = updated(world.put(to_strict).await);
    world.mark_deleted(&volume).await;
    // What no rule of deletion holds may go at any time, and a PUT that does not touch the reference is none the worse.
    let unchanged = Put { edges: boots(true), ..world.update_of(&strict).await };
    let unchanged = updated(world.put(unchanged).await);
    let mut elsewhere = boots(true);
    elsewhere[0].field = "/spec/other".to_owned();
    assert_eq!(world.put(Put { edges: elsewhere, ..world.update_of(&unchanged).await }).await, missing(&volume));

    world.mark_deleted(&network).await;
    assert_eq!(world.put(world.new_put(&in_network(Kind::Subnet, "n", "later"))).await, missing(&network));
    world.mark_deleted(&workspace("w")).await;
    assert_eq!(world.put(world.new_put(&key(Kind::Network, "m"))).await, missing(&workspace("w")));
    assert_eq!(world.count_children(&workspace("w")).await, 2, "the subnet and the instance live");
}

pub async fn what_is_being_deleted_takes_no_put_and_no_action(world: &World) {
    world.create(&workspace("w")).await;
    let row = world.create(&key(Kind::Instance, "i")).await;
    let deleted = world.mark_deleted(&row.key).await;
    assert_eq!(world.put(world.update_of(&row).await).await, PutOutcome::Deleting);
    assert_eq!(world.put(world.update_of(&deleted).await).await, PutOutcome::Deleting);
    assert_eq!(world.put(world.new_put(&row.key)).await, PutOutcome::Deleting);
    let refused = ActOutcome::Refused(ActionRefusal::Deleting);
    assert_eq!(world.act(&row.key, ActionKind::Start, None).await, refused);
    assert_eq!(world.read(&row.key).await, deleted);
}

pub async fn actions_are_judged_by_the_desired_power(world: &World) {
    use ActionKind::{Restart, Start, Stop};
    world.create(&workspace("w")).await;
    let instance = key(Kind::Instance, "i");
    assert_eq!(world.act(&instance, Start, None).await, ActOutcome::NotFound);
    world.create(&instance).await;
    let (mut version, mut seq) = (1, 0);
    for (action, accepted) in
        [(Stop, false), (Restart, false), (Start, true), (Start, false), (Restart, true), (Stop, true)]
    {
        match world.act(&instance, action, Some(version)).await {
            ActOutcome::Accepted(row) => {
                assert!(accepted, "{action:?}");
                (version, seq) = (version + 1, seq + 1);
                assert_eq!((row.resource_version, row.action.seq, row.action.kind), (version, seq, Some(action)));
                assert_eq!(world.read(&instance).await, row);
            }
            ActOutcome::Refused(ActionRefusal::Power { asked, is_on }) => {
                assert!(!accepted && asked == action && is_on == (action == Start), "{action:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.act(&instance, Start, Some(1)).await, ActOutcome::Stale(version));
}

pub async fn one_of_many_creations_of_a_key_wins(world: &World) {
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let (store, put) = (world.store.clone(), world.new_put(&workspace("w")));
        all.spawn(async move { store.put(put).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    let wins = outcomes.iter().filter(|o| matches!(o, PutOutcome::Created(_))).count();
    let losses = outcomes.iter().filter(|o| **o == PutOutcome::Stale).count();
    assert_eq!((wins, losses), (1, 7));
}

pub async fn one_of_many_updates_of_a_version_wins(world: &World) {
    let row = world.create(&workspace("w")).await;
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let (store, put) = (world.store.clone(), world.update_of(&row).await);
        all.spawn(async move { store.put(put).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    let losses = outcomes.iter().filter(|o| **o == PutOutcome::Stale).count();
    assert_eq!((losses, world.read(&row.key).await.resource_version), (7, 2));
}

pub async fn a_name_with_a_nul_is_not_found(world: &World) {
    world.create(&workspace("w")).await;
    assert_eq!(world.get(&within(Kind::Network, "w", "a\0b")).await, None);
}
