//! Commits, steps, claims, removal; catalogue and orphans.

use std::{collections::BTreeMap, time::Duration};

use control_plane::{
    ActionKind, CatalogEntry, ProjectId, Reason, Resource, Uid,
    ports::{
        ActOutcome, Auxiliary, Commit, CommitOutcome, Lease, Mark, Note, OwnedObject, Put, Step, StepState, Tie,
        UnbindOutcome, Verdict,
    },
};
use seca_api::{Kind, ResourceState, Timestamp};
use serde_json::{Map, Value, json};

use super::{World, created, edge, in_network, key, sorted, updated};

pub fn step(operation: &str, marks: &[(Uid, Value)]) -> Step {
    let mark = |(uid, facts): &(Uid, Value)| Mark { uid: *uid, facts: object(facts.clone()), undo: Map::new() };
    Step {
        operation: operation.to_owned(),
        target: "seca-name".to_owned(),
        serial: vec!["server:42".to_owned()],
        payload: json!({"size": 10, "big": serde_json::from_str::<Value>("12345678901234567890123").unwrap()}),
        marks: marks.iter().map(mark).collect(),
        sets: None,
        reads: false,
        frees: false,
        action_seq: Some(1),
        secret: Some("never stored".into()),
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub async fn conditions_follow_the_transitions(world: &World) {
    use ResourceState::{Active, Creating, Deleting, Error, Pending, Updating};
    let (_, lease) = world.bound("p").await;
    let row = world.create(&key(Kind::Instance, "i")).await;
    // What happens, and the states that it leaves behind, newest first.
    let story: [(&str, &[ResourceState]); 12] = [
        ("waiting", &[Pending]),
        ("put", &[Pending]),
        ("working", &[Creating, Pending]),
        ("put", &[Creating, Pending]),
        ("converged", &[Active, Creating, Pending]),
        ("converged", &[Active, Creating, Pending]),
        ("put", &[Updating, Active, Creating, Pending]),
        ("start", &[Updating, Active, Creating, Pending]),
        ("failed", &[Error, Updating, Active, Creating, Pending]),
        ("failed", &[Error, Updating, Active, Creating, Pending]),
        ("done", &[Active, Error, Updating, Active, Creating, Pending]),
        ("delete", &[Deleting, Active, Error, Updating, Active, Creating, Pending]),
    ];
    let note = |word: &str| Some(Note::new(Reason::ProviderBusy, word));
    let mut last = row.clone();
    for (event, expected) in story {
        let commit = async |verdict| Commit { note: note(event), ..world.commit_of(row.uid, verdict).await };
        let after = match event {
            "put" => updated(world.put(world.update_of(&world.read(&row.key).await).await).await),
            "start" => match world.act(&row.key, ActionKind::Start, None).await {
                ActOutcome::Accepted(row) => row,
                other => panic!("{other:?}"),
            },
            "delete" => world.mark_deleted(&row.key).await,
            "waiting" => world.commit(&lease, commit(Verdict::Waiting).await).await,
            "working" => world.commit(&lease, commit(Verdict::Working).await).await,
            "failed" => world.commit(&lease, commit(Verdict::Failed).await).await,
            "done" => {
                let done = Commit { action_done: Some(1), ..commit(Verdict::Converged).await };
                world.commit(&lease, done).await
            }
            _ => world.commit(&lease, commit(Verdict::Converged).await).await,
        };
        assert_eq!(world.read(&row.key).await, after, "{event}");
        let states: Vec<_> = after.conditions.iter().map(|c| c.state).collect();
        assert_eq!(states, expected, "{event}");
        assert_eq!(after.state, expected[0], "{event}");
        let newest = &after.conditions[0];
        let accepted = ["put", "start", "delete"].contains(&event);
        if !accepted {
            assert_eq!((newest.reason.as_deref(), newest.message.as_deref()), (Some("ProviderBusy"), Some(event)));
        }
        assert_eq!(after.revision > last.revision, after.conditions != last.conditions || accepted, "{event}");
        last = after;
    }
    assert_eq!(last.action.done_seq, 1);
}

pub async fn many_are_read_and_written_as_each_by_itself(world: &World) {
    let (w, lease) = world.bound("p").await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let table = world.create(&in_network(Kind::RouteTable, "n", "r")).await;
    let subnet = in_network(Kind::Subnet, "n", "s");
    let subnet = world.create_with(&subnet, &[("/spec/routeTableRef", &table.key)]).await;
    let disk = world.create(&key(Kind::BlockStorage, "d")).await;
    let lone = world.create(&key(Kind::InternetGateway, "lone")).await;
    let gone = world.uid();
    world.record_step(&lease, disk.uid, 1, &step("create", &[])).await.unwrap().unwrap();
    let aux = Auxiliary { purpose: "ssh-key".to_owned(), content: "1".to_owned() };
    assert!(world.store.tie(&lease, subnet.uid, &[Tie::Use(aux)]).await.unwrap());
    world.settle(&lease).await;

    let uids = [w.uid, network.uid, table.uid, subnet.uid, disk.uid, lone.uid];
    let mut together = world.store.bundles(&[&uids[..], &[gone]].concat()).await.unwrap();
    assert_eq!(together.len(), uids.len());
    together.sort_by_key(|bundle| uids.iter().position(|uid| *uid == bundle.resource.uid));
    for (mut one, uid) in together.into_iter().zip(uids) {
        let mut alone = world.store.bundle(uid).await.unwrap().unwrap();
        // The database's clock goes on between the two.
        one.open_steps.iter_mut().chain(&mut alone.open_steps).for_each(|step| step.age = Duration::ZERO);
        assert_eq!(one, alone);
    }

    // The subnet changes, which wakes its network and table; of the table something was found by the same reading.
    let mut commits = Vec::new();
    for uid in [subnet.uid, table.uid, lone.uid] {
        commits.push(Commit { attempts: 2, ..world.commit_of(uid, Verdict::Converged).await });
    }
    commits[0].facts = object(json!({"id": 1}));
    commits[1].note = Some(Note::new(Reason::ProviderBusy, "later"));
    commits.push(Commit { uid: gone, ..commits[2].clone() });
    let former = Lease { token: lease.token - 1, ..lease.clone() };
    assert_eq!(world.store.commit_all(&former, &commits).await.unwrap(), None, "its lease is over");
    assert_eq!(world.read(&subnet.key).await.facts, Map::new());
    let outcomes = world.store.commit_all(&lease, &commits).await.unwrap().unwrap();
    let written: Vec<Option<Uid>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            CommitOutcome::Done(row) => Some(row.uid),
            _ => None,
        })
        .collect();
    assert_eq!(written, [Some(subnet.uid), Some(table.uid), Some(lone.uid), None]);
    assert_eq!(outcomes[3], CommitOutcome::Gone);
    for outcome in &outcomes[..3] {
        let CommitOutcome::Done(row) = outcome else { panic!("{outcome:?}") };
        assert_eq!(**row, world.read(&row.key).await);
    }
    assert_eq!(world.read(&subnet.key).await.facts, object(json!({"id": 1})));
    assert_eq!(world.read(&table.key).await.conditions[0].reason.as_deref(), Some("ProviderBusy"));
    let due = world.due(&lease).await;
    assert!(due.contains(&table.uid) && due.contains(&network.uid), "they were woken by the subnet");
    assert!(!due.contains(&subnet.uid) && !due.contains(&lone.uid) && !due.contains(&disk.uid));
}

pub async fn a_bundle_has_all_relations(world: &World) {
    let (ws, _) = world.bound("p").await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let gateway = world.create(&key(Kind::InternetGateway, "g")).await;
    let (none, table) = (key(Kind::Instance, "none"), in_network(Kind::RouteTable, "n", "r"));
    let edges =
        vec![edge("/spec/routes/10/targetRef", &none, false), edge("/spec/routes/9/targetRef", &gateway.key, true)];
    let table = created(world.put(Put { edges, ..world.new_put(&table) }).await);
    let subnet = in_network(Kind::Subnet, "n", "s");
    let subnet = world.create_with(&subnet, &[("/spec/routeTableRef", &table.key)]).await;

    let bundle = world.store.bundle(table.uid).await.unwrap().unwrap();
    assert_eq!(bundle.resource, table);
    assert_eq!(bundle.parents, [network.clone(), ws.clone()], "nearest first");
    let targets: Vec<_> = bundle.targets.iter().map(|t| (t.field.as_str(), &t.key, t.resource.as_ref())).collect();
    let expected =
        [("/spec/routes/10/targetRef", &none, None), ("/spec/routes/9/targetRef", &gateway.key, Some(&gateway))];
    assert_eq!(targets, expected, "as written");
    assert_eq!(bundle.referrers.len(), 1);
    assert_eq!(bundle.referrers[0].field, "/spec/routeTableRef");
    assert_eq!((&bundle.referrers[0].key, bundle.referrers[0].resource.as_ref()), (&subnet.key, Some(&subnet)));
    assert_eq!((bundle.children.len(), bundle.child_count), (0, 0));

    let deleted = world.mark_deleted(&subnet.key).await;
    let bundle = world.store.bundle(network.uid).await.unwrap().unwrap();
    assert_eq!(bundle.children, [table, deleted], "those being deleted included");
    assert_eq!(bundle.child_count, 2);
    let bundle = world.store.bundle(ws.uid).await.unwrap().unwrap();
    assert_eq!((bundle.children.len(), bundle.child_count), (0, 4));
    assert_eq!(world.store.bundle(world.uid()).await.unwrap(), None);
}

pub async fn relevant_changes_wake_what_is_related_and_others_do_not(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let instance = world.create_with(&key(Kind::Instance, "i"), &[("/spec/bootVolume", &volume.key)]).await;
    let bystander = world.create(&key(Kind::Network, "n")).await;
    world.settle(&lease).await;
    let base = async || world.commit_of(volume.uid, Verdict::Converged).await;
    let (size, fact) = (json!({"sizeGB": 10}), json!({"server": "42", "gone": null}));
    let changes: [(&str, Commit, bool); 5] = [
        ("nothing", base().await, false),
        ("a note", Commit { note: Some(Note::new(Reason::Throttled, "slow")), ..base().await }, false),
        ("a status", Commit { status: Some(object(size)), ..base().await }, true),
        ("a fact", Commit { facts: object(fact), ..base().await }, true),
        ("a state", Commit { verdict: Verdict::Failed, ..base().await }, true),
    ];
    for (what, change, wakes) in changes {
        let change = Commit { wake: base().await.wake, ..change };
        world.commit(&lease, change).await;
        let expected = if wakes { vec![instance.uid] } else { vec![] };
        assert_eq!(sorted(world.due(&lease).await), expected, "{what}");
        world.converge(&lease, instance.uid).await;
    }
    let row = world.read(&volume.key).await;
    assert_eq!((row.status.as_str(), row.fact("server")), (r#"{"sizeGB":10}"#, Some("42")));
    assert!(!row.facts.contains_key("gone"));
    assert!(!world.due(&lease).await.contains(&bystander.uid));
    // A workspace looks at the number of its resources, and at nothing of them.
    world.mark_deleted(&bystander.key).await;
    world.settle(&lease).await;
    assert!(matches!(world.store.remove(&lease, bystander.uid).await.unwrap(), CommitOutcome::Done(_)));
    assert_eq!(world.due(&lease).await, [ws.uid]);
}

pub async fn a_late_reference_is_woken_by_its_target(world: &World) {
    let (_, lease) = world.bound("p").await;
    let address = key(Kind::PublicIp, "ip");
    let edges = vec![edge("/spec/publicIpRefs/0", &address, false)];
    let nic = created(world.put(Put { edges, ..world.new_put(&key(Kind::Nic, "nic")) }).await);
    world.settle(&lease).await;
    let address = world.create(&address).await;
    assert_eq!(sorted(world.due(&lease).await), [nic.uid, address.uid]);
}

pub async fn a_changed_reference_wakes_the_former_target(world: &World) {
    let (_, lease) = world.bound("p").await;
    let a = world.create(&key(Kind::BlockStorage, "a")).await;
    let b = world.create(&key(Kind::BlockStorage, "b")).await;
    let instance = world.create_with(&key(Kind::Instance, "i"), &[("/spec/bootVolume", &a.key)]).await;
    world.settle(&lease).await;
    let row = world.read(&instance.key).await;
    let same = vec![edge("/spec/bootVolume", &a.key, true)];
    let row = updated(world.put(Put { edges: same, ..world.update_of(&row).await }).await);
    assert_eq!(world.due(&lease).await, [instance.uid]);
    let other = vec![edge("/spec/bootVolume", &b.key, true)];
    updated(world.put(Put { edges: other, ..world.update_of(&row).await }).await);
    assert_eq!(sorted(world.due(&lease).await), [a.uid, instance.uid]);
    let bundle = world.store.bundle(instance.uid).await.unwrap().unwrap();
    assert_eq!(bundle.target("/spec/bootVolume").unwrap().key, b.key);
    assert!(world.store.bundle(a.uid).await.unwrap().unwrap().referrers.is_empty());
}

pub async fn a_change_of_a_holder_wakes_what_it_holds(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let holder = world.create(&key(Kind::Instance, "one")).await;
    assert!(world.store.tie(&lease, holder.uid, &[Tie::Claim(volume.uid)]).await.unwrap());
    world.settle(&lease).await;
    let facts = serde_json::Map::from_iter([("serverId".to_owned(), "1".into())]);
    world.commit(&lease, Commit { facts, ..world.commit_of(holder.uid, Verdict::Working).await }).await;
    assert!(world.due(&lease).await.contains(&volume.uid), "it names it no longer, and yet it has it");
}

pub async fn networks_and_gateways_of_a_workspace_know_and_wake_each_other(world: &World) {
    let (_, lease) = world.bound("p").await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let gateway = world.create(&key(Kind::InternetGateway, "g")).await;
    let leaving = world.create(&key(Kind::InternetGateway, "leaving")).await;
    let subnet = world.create(&in_network(Kind::Subnet, "n", "s")).await;
    world.create(&super::workspace("other")).await;
    world.create(&super::within(Kind::InternetGateway, "other", "g")).await;
    world.mark_deleted(&leaving.key).await;
    let peers = async |of: &Resource| {
        let bundle = world.store.bundle(of.uid).await.unwrap().unwrap();
        bundle.peers.into_iter().map(|peer| peer.uid).collect::<Vec<_>>()
    };
    assert_eq!(peers(&network).await, [gateway.uid], "those that stay, of the same workspace");
    assert_eq!(peers(&gateway).await, [network.uid]);
    assert_eq!(peers(&subnet).await, []);
    let facts = || serde_json::Map::from_iter([("said".to_owned(), "something".into())]);
    for (row, wakes) in [(&network, &gateway), (&gateway, &network)] {
        world.settle(&lease).await;
        world.commit(&lease, Commit { facts: facts(), ..world.commit_of(row.uid, Verdict::Working).await }).await;
        let due = world.due(&lease).await;
        assert!(due.contains(&wakes.uid), "{}: {due:?}", row.key);
    }
    world.settle(&lease).await;
    world.commit(&lease, Commit { facts: facts(), ..world.commit_of(subnet.uid, Verdict::Working).await }).await;
    assert!(!world.due(&lease).await.contains(&gateway.uid), "the network tells what a subnet changes");
}

pub async fn an_auxiliary_knows_its_users(world: &World) {
    let (_, lease) = world.bound("p").await;
    let instance = async |name| world.create(&key(Kind::Instance, name)).await;
    let (one, two) = (instance("one").await, instance("two").await);
    let key_of = |content: &str| Auxiliary { purpose: "ssh-key".to_owned(), content: content.to_owned() };
    let uses = async |user: &Resource| {
        let bundle = world.store.bundle(user.uid).await.unwrap().unwrap();
        bundle.auxiliaries.into_iter().map(|used| (used.auxiliary.content, used.others)).collect::<Vec<_>>()
    };
    let tie = async |user: &Resource, ties: &[Tie]| assert!(world.store.tie(&lease, user.uid, ties).await.unwrap());
    let using = |content: &str| Tie::Use(key_of(content));
    tie(&one, &[using("a"), using("b")]).await;
    tie(&two, &[using("a")]).await;
    assert_eq!(uses(&one).await, [("a".to_owned(), 1), ("b".to_owned(), 0)]);
    assert_eq!(uses(&two).await, [("a".to_owned(), 1)]);
    world.settle(&lease).await;
    tie(&one, &[using("a"), Tie::Drop(key_of("c"))]).await;
    assert_eq!(world.due(&lease).await, [], "nothing changed");
    tie(&one, &[Tie::Drop(key_of("a"))]).await;
    assert!(world.due(&lease).await.contains(&one.uid));
    assert_eq!(uses(&two).await, [("a".to_owned(), 0)]);
    assert!(world.store.tie(&lease, world.uid(), &[using("a")]).await.unwrap());
    assert_eq!(uses(&two).await, [("a".to_owned(), 0)], "who is not there uses nothing");

    tie(&one, &[using("a")]).await;
    world.mark_deleted(&one.key).await;
    world.settle(&lease).await;
    assert!(matches!(world.store.remove(&lease, one.uid).await.unwrap(), CommitOutcome::Done(_)));
    assert_eq!(uses(&two).await, [("a".to_owned(), 0)], "whose row is gone uses nothing");
    let lost = Lease { token: lease.token - 1, ..lease.clone() };
    assert!(!world.store.tie(&lost, two.uid, &[Tie::Drop(key_of("a"))]).await.unwrap());
    assert_eq!(uses(&two).await, [("a".to_owned(), 0)]);
}

pub async fn only_one_holder_claims_a_resource(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let boots = |name| key(Kind::Instance, name);
    let one = world.create_with(&boots("one"), &[("/spec/bootVolume", &volume.key)]).await;
    let two = world.create_with(&boots("two"), &[("/spec/bootVolume", &volume.key)]).await;
    world.settle(&lease).await;
    let claim = async |holder| {
        assert!(world.store.tie(&lease, holder, &[Tie::Claim(volume.uid)]).await.unwrap());
        world.read(&volume.key).await.holder
    };
    assert_eq!(claim(world.uid()).await, None, "who is not there could never let go");
    assert!(world.store.tie(&lease, one.uid, &[Tie::Claim(world.uid())]).await.unwrap());
    assert_eq!(world.due(&lease).await, []);
    assert_eq!(claim(one.uid).await, Some(one.uid));
    assert_eq!(sorted(world.due(&lease).await), [volume.uid, one.uid, two.uid]);
    world.settle(&lease).await;
    assert_eq!(claim(one.uid).await, Some(one.uid));
    assert_eq!(claim(two.uid).await, Some(one.uid));
    assert_eq!(world.due(&lease).await, [], "nothing changed");

    let release = async |holder| {
        assert!(world.store.tie(&lease, volume.uid, &[Tie::Release(holder)]).await.unwrap());
        world.read(&volume.key).await.holder
    };
    assert_eq!(release(two.uid).await, Some(one.uid), "another holder's claim does not end");
    assert_eq!(world.due(&lease).await, []);
    assert_eq!(release(one.uid).await, None);
    assert_eq!(sorted(world.due(&lease).await), [volume.uid, one.uid, two.uid], "whoever waits looks again");
    assert_eq!(claim(two.uid).await, Some(two.uid));
    assert_eq!(release(two.uid).await, None);
    assert_eq!(claim(one.uid).await, Some(one.uid));

    world.mark_deleted(&one.key).await;
    world.settle(&lease).await;
    assert!(matches!(world.store.remove(&lease, one.uid).await.unwrap(), CommitOutcome::Done(_)));
    assert_eq!(world.read(&volume.key).await.holder, None);
    assert!(world.due(&lease).await.contains(&volume.uid));
    assert_eq!(claim(two.uid).await, Some(two.uid));
}

pub async fn steps_and_marks_are_recorded_together(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let instance = world.create(&key(Kind::Instance, "i")).await;
    world.settle(&lease).await;
    let marks = [(volume.uid, json!({"ever_started": true})), (instance.uid, json!({"server": "x"}))];
    let start = step("power_on", &marks);
    let id = world.record_step(&lease, instance.uid, 3, &start).await.unwrap().unwrap();
    assert!(world.read(&volume.key).await.marked("ever_started"));
    assert_eq!(world.read(&instance.key).await.fact("server"), Some("x"));
    assert_eq!(world.due(&lease).await, [volume.uid], "who plans knows; the others are woken");

    let next = world.record_step(&lease, instance.uid, 4, &step("shutdown", &[])).await.unwrap().unwrap();
    assert!(next > id);
    let open = async || world.store.bundle(instance.uid).await.unwrap().unwrap().open_steps;
    let steps = open().await;
    assert_eq!(steps.iter().map(|s| s.id).collect::<Vec<_>>(), [id, next], "oldest first");
    assert_eq!((&steps[0].step, steps[0].generation, steps[0].resource), (&start, 3, instance.uid));
    assert_eq!((steps[0].state, steps[0].action.as_deref()), (StepState::Intended, None));
    assert!(steps[0].age < Duration::from_secs(60));

    let finish = async |id, state, action: Option<&str>| {
        assert!(world.store.finish_step(&lease, id, state, action, Some("why")).await.unwrap());
    };
    finish(id, StepState::Running, Some("77")).await;
    finish(id, StepState::Unknown, None).await;
    let steps = open().await;
    assert_eq!((steps[0].state, steps[0].action.as_deref()), (StepState::Unknown, Some("77")));
    finish(id, StepState::Done, None).await;
    finish(next, StepState::Failed, None).await;
    assert!(open().await.is_empty());
}

pub async fn marks_of_a_call_that_certainly_failed_are_undone(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let instance = world.create(&key(Kind::Instance, "i")).await;
    let facts = async || (world.read(&volume.key).await.facts, world.read(&instance.key).await.facts);
    let mark = |uid, facts: Value, undo: Value| Mark { uid, facts: object(facts), undo: object(undo) };
    let marks = vec![
        mark(
            volume.uid,
            json!({"started": true, "server": "new", "gone": null}),
            json!({
                "started": null, "server": "old", "gone": "there", "never marked": 1
            }),
        ),
        mark(instance.uid, json!({"on": true}), json!({"on": false})),
        mark(world.uid(), json!({"x": 1}), json!({"x": null})),
    ];
    let start = Step { marks, ..step("power_on", &[]) };
    let set = async |uid, facts: Value| {
        let commit = Commit { facts: object(facts), ..world.commit_of(uid, Verdict::Converged).await };
        world.commit(&lease, commit).await;
    };
    let begin = async || {
        set(volume.uid, json!({"started": null, "server": "old", "gone": "there"})).await;
        set(instance.uid, json!({"on": false})).await;
        let id = world.record_step(&lease, instance.uid, 1, &start).await.unwrap().unwrap();
        world.settle(&lease).await;
        id
    };
    let finish = async |id, state| {
        assert!(world.store.finish_step(&lease, id, state, None, None).await.unwrap());
    };
    let before = (object(json!({"server": "old", "gone": "there"})), object(json!({"on": false})));
    let made = (object(json!({"started": true, "server": "new"})), object(json!({"on": true})));

    let id = begin().await;
    assert_eq!(facts().await, made);
    finish(id, StepState::Failed).await;
    assert_eq!(facts().await, before);
    assert_eq!(world.due(&lease).await, [volume.uid], "who planned the step looks at it anyway");
    set(volume.uid, json!({"started": true})).await;
    finish(id, StepState::Failed).await;
    assert!(world.read(&volume.key).await.marked("started"), "once is enough");

    // It ran, and failed then.
    let id = begin().await;
    finish(id, StepState::Running).await;
    assert_eq!(facts().await, made);
    finish(id, StepState::Failed).await;
    assert_eq!(facts().await, before);
    world.settle(&lease).await;

    // Nobody knows of one whose answer was lost, and one that took effect stays.
    for state in [StepState::Unknown, StepState::Done] {
        let id = begin().await;
        finish(id, state).await;
        finish(id, StepState::Failed).await;
        assert_eq!(facts().await, made, "{state:?}");
        assert_eq!(world.due(&lease).await, []);
    }

    // What was found since stands.
    let id = begin().await;
    set(volume.uid, json!({"server": "found", "gone": "found"})).await;
    world.settle(&lease).await;
    finish(id, StepState::Failed).await;
    let found = object(json!({"server": "found", "gone": "found"}));
    assert_eq!(facts().await, (found, object(json!({"on": false}))));

    // A former holder undoes nothing.
    let id = begin().await;
    world.store.release(&lease).await.unwrap();
    assert!(!world.store.finish_step(&lease, id, StepState::Failed, None, None).await.unwrap());
    assert_eq!(facts().await, made);
}

pub async fn a_resource_is_touched_once_a_step_was_recorded(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let touched = async || world.store.bundle(volume.uid).await.unwrap().unwrap().touched;
    assert!(!touched().await);
    let id = world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
    assert!(touched().await);
    for state in [StepState::Running, StepState::Unknown, StepState::Done, StepState::Failed] {
        world.store.finish_step(&lease, id, state, None, None).await.unwrap();
        assert!(touched().await, "{state:?}");
    }
    world.store.prune(Duration::ZERO).await.unwrap();
    assert!(touched().await, "the last step stays");
}

pub async fn removal_cleans_up_behind_a_resource(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let gateway = world.create(&key(Kind::InternetGateway, "g")).await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let table = world.create_with(&in_network(Kind::RouteTable, "n", "r"), &[("/spec/0", &gateway.key)]).await;
    world.mark_deleted(&table.key).await;
    world.settle(&lease).await;

    let CommitOutcome::Done(row) = world.store.remove(&lease, table.uid).await.unwrap() else { panic!("removed") };
    assert_eq!(row.uid, table.uid);
    assert_eq!(world.get(&table.key).await, None);
    assert_eq!(world.store.remove(&lease, table.uid).await.unwrap(), CommitOutcome::Gone);
    let gone = Commit { uid: table.uid, ..world.commit_of(ws.uid, Verdict::Working).await };
    assert_eq!(world.store.commit(&lease, gone).await.unwrap(), CommitOutcome::Gone);
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, gateway.uid, network.uid]);
    assert!(world.store.bundle(gateway.uid).await.unwrap().unwrap().referrers.is_empty());
    let ids = [table.uid, gateway.uid, world.uid()];
    assert_eq!(world.store.existing(&ids).await.unwrap(), [gateway.uid]);
    assert_eq!(world.store.removed(&ids).await.unwrap(), [table.uid]);
    assert_eq!(world.store.project_uids(&lease.project).await.unwrap(), [ws.uid, gateway.uid, network.uid]);
}

pub async fn nothing_is_removed_that_is_alive_or_has_children(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let remove = async |uid| matches!(world.store.remove(&lease, uid).await.unwrap(), CommitOutcome::Done(_));
    assert!(remove(network.uid).await);
    assert!(world.get(&network.key).await.is_some(), "nobody deleted it");
    world.mark_deleted(&network.key).await;
    world.mark_deleted(&ws.key).await;
    assert!(remove(ws.uid).await);
    assert!(world.get(&ws.key).await.is_some(), "it is not empty");
    assert!(remove(network.uid).await && remove(ws.uid).await);
    assert_eq!((world.get(&network.key).await, world.get(&ws.key).await), (None, None));
}

pub async fn a_resource_made_again_begins_anew(world: &World) {
    let (first, lease) = world.bound("p").await;
    let labelled = Put { label_pairs: BTreeMap::from([("a".into(), "b".into())]), ..world.update_of(&first).await };
    updated(world.put(Put { labels: Some(r#"{"a":"b"}"#.into()), ..labelled }).await);
    world.settle(&lease).await;
    world.mark_deleted(&first.key).await;
    assert!(matches!(world.store.remove(&lease, first.uid).await.unwrap(), CommitOutcome::Done(_)));

    let second = world.create(&first.key).await;
    assert_ne!(second.uid, first.uid);
    assert_eq!((second.resource_version, second.conditions.len(), second.labels.clone()), (1, 1, None));
    assert!(second.project.is_local());
    assert_eq!(world.store.credential(&first.key).await.unwrap(), None);
    assert_eq!(world.store.project_credentials(&lease.project).await.unwrap(), []);
    let local = world.lease("local").await;
    assert_eq!(world.due(&local).await, [second.uid]);
    assert_eq!(world.store.removed(&[first.uid, second.uid]).await.unwrap(), [first.uid]);
}

pub async fn steps_and_tombstones_are_kept_for_their_time(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let stays = world.create(&key(Kind::BlockStorage, "c")).await;
    for uid in [volume.uid, stays.uid] {
        world.record_step(&lease, uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
    }
    world.mark_deleted(&volume.key).await;
    world.store.remove(&lease, volume.uid).await.unwrap();
    // What the sweep does for a resource that has no row any more is not recorded.
    assert_eq!(world.record_step(&lease, volume.uid, 1, &step("delete_volume", &[])).await.unwrap(), None);
    world.store.prune(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(world.store.removed(&[volume.uid]).await.unwrap(), [volume.uid]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.store.prune(Duration::from_millis(1)).await.unwrap();
    assert_eq!(world.store.removed(&[volume.uid]).await.unwrap(), []);
    assert_eq!(world.store.bundle(stays.uid).await.unwrap().unwrap().open_steps.len(), 1);
}

pub async fn failed_steps_go_after_their_time_but_the_last_one(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let touch = async |state| {
        let id = world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
        assert!(world.store.finish_step(&lease, id, state, None, None).await.unwrap());
        id
    };
    let prune = async |older: u64| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        world.store.prune(Duration::from_millis(older)).await.unwrap();
    };
    let open = async || {
        let bundle = world.store.bundle(volume.uid).await.unwrap().unwrap();
        bundle.open_steps.iter().map(|open| open.id).collect::<Vec<_>>()
    };
    // What was pruned cannot be opened again, which tells whether it is there.
    let (first, second) = (touch(StepState::Failed).await, touch(StepState::Unknown).await);
    let last = touch(StepState::Failed).await;
    prune(3_600_000).await;
    world.store.finish_step(&lease, first, StepState::Unknown, None, None).await.unwrap();
    assert_eq!(open().await, [first, second], "not yet");
    world.store.finish_step(&lease, first, StepState::Failed, None, None).await.unwrap();
    prune(1).await;
    for id in [first, last] {
        world.store.finish_step(&lease, id, StepState::Unknown, None, None).await.unwrap();
    }
    assert_eq!(open().await, [second, last]);
    for id in [second, last] {
        world.store.finish_step(&lease, id, StepState::Failed, None, None).await.unwrap();
    }
    prune(1).await;
    assert_eq!(world.store.unbind(&ws.key, false).await.unwrap(), UnbindOutcome::InUse(1), "it was touched");
}

pub async fn the_catalogue_is_replaced_by_compare_and_set(world: &World) {
    let entry = |name: &str| CatalogEntry {
        kind: Kind::InstanceSku,
        region: "fsn1".to_owned(),
        name: name.to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "seca.s".to_owned())]),
        spec: object(json!({"vCPU": 2, "ram": 4, "price": serde_json::from_str::<Value>("1.50").unwrap()})),
        facts: object(json!({"serverType": name})),
        listed: true,
    };
    assert_eq!(world.store.catalog().await.unwrap(), (0, Vec::new()));
    assert!(!world.store.installation().await.unwrap().is_empty());
    let entries = [entry("z"), entry("a")];
    assert_eq!(world.store.save_catalog(1, &entries).await.unwrap(), None);
    assert_eq!(world.store.save_catalog(0, &entries).await.unwrap(), Some(1));
    assert_eq!(world.store.save_catalog(0, &[]).await.unwrap(), None);
    assert_eq!(world.store.catalog().await.unwrap(), (1, entries.to_vec()), "in its order");
    assert_eq!(world.store.catalog_version().await.unwrap(), 1);
    assert_eq!(world.store.save_catalog(1, &entries[..1]).await.unwrap(), Some(2));
    assert_eq!(world.store.catalog().await.unwrap(), (2, entries[..1].to_vec()));
}

pub async fn orphans_are_reported_by_project(world: &World) {
    let (_, lease) = world.bound("p").await;
    let local = world.lease("local").await;
    let orphan = |id: &str, uid| OwnedObject {
        object_type: "server".to_owned(),
        id: id.to_owned(),
        name: format!("name-{id}"),
        uid,
        created: Some(Timestamp::from_millis(1_500)),
        ..OwnedObject::default()
    };
    let (a, b, c) = (orphan("2", Some(world.uid())), orphan("1", None), orphan("3", None));
    let project = |name: &str| ProjectId(name.to_owned());
    assert!(world.store.save_orphans(&lease, &[a.clone(), b.clone()]).await.unwrap());
    assert!(world.store.save_orphans(&local, std::slice::from_ref(&c)).await.unwrap());
    let all = world.store.orphans().await.unwrap();
    assert_eq!(all, [(project("local"), c.clone()), (project("p"), a), (project("p"), b)]);
    assert!(world.store.save_orphans(&lease, &[]).await.unwrap());
    assert_eq!(world.store.orphans().await.unwrap(), [(project("local"), c)]);
}
