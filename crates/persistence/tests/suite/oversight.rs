//! What operators look at: activity, paused workspaces, projects.

use std::time::Duration;

use control_plane::{
    engine::ENGINE_VERSION,
    ports::{Activity, ActivityQuery, Commit, Listener, Portion, Put, RequestBudget, Verdict},
};
use seca_api::{Kind, ResourceKey, ResourceState, Timestamp};
use serde_json::json;

use super::{TTL, World, key, sorted, workspace};

fn activity(number: i64, tenant: Option<&str>) -> Activity {
    let odd = |text: &str| (number % 2 == 1).then(|| text.to_owned());
    Activity {
        at: Timestamp::from_millis(number),
        listener: if number % 2 == 1 { Listener::Admin } else { Listener::Public },
        actor: "somebody".to_owned(),
        action: "put".to_owned(),
        target: format!("workspaces/\"w{number}\""),
        tenant: tenant.map(str::to_owned),
        request_id: odd("request"),
        result: "201".to_owned(),
        detail: odd("Grüße\nund mehr"),
    }
}

pub async fn activities_are_told_newest_first(world: &World) {
    let oversight = world.store.oversight();
    let all: Vec<Activity> = (0..7).map(|n| activity(n, [None, Some("a"), Some("b")][n as usize % 3])).collect();
    oversight.record_activities(&[]).await.unwrap();
    oversight.record_activities(&all[..5]).await.unwrap();
    oversight.record_activities(&all[5..]).await.unwrap();
    let ask = async |tenant: Option<&str>, before: Option<i64>, limit: usize| {
        let query = ActivityQuery { tenant: tenant.map(str::to_owned), before, limit };
        oversight.activities(&query).await.unwrap()
    };
    let told = ask(None, None, 10).await;
    assert_eq!(told.iter().map(|record| &record.activity).collect::<Vec<_>>(), all.iter().rev().collect::<Vec<_>>());
    assert!(told.is_sorted_by(|a, b| a.id > b.id));
    assert_eq!(ask(None, None, 3).await, told[..3]);
    assert_eq!(ask(None, Some(told[2].id), 2).await, told[3..5]);
    let of_a: Vec<_> = told.iter().filter(|record| record.activity.tenant.as_deref() == Some("a")).cloned().collect();
    assert_eq!(ask(Some("a"), None, 10).await, of_a);
    assert_eq!(ask(Some("a"), Some(of_a[0].id), 1).await, of_a[1..2]);
    assert_eq!(ask(Some("nobody"), None, 1).await, []);

    tokio::time::sleep(Duration::from_millis(5)).await;
    oversight.prune_activities(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(ask(None, None, 10).await.len(), 7);
    oversight.prune_activities(Duration::from_millis(1)).await.unwrap();
    assert_eq!(ask(None, None, 10).await, []);
    oversight.record_activities(&all[..1]).await.unwrap();
    assert!(ask(None, None, 10).await[0].id > told[0].id, "no id is given twice");
}

pub async fn a_workspace_is_paused_until_it_is_resumed(world: &World) {
    let oversight = world.store.oversight();
    assert!(!oversight.pause(&workspace("w"), "me").await.unwrap());
    assert!(!oversight.resume(&workspace("w")).await.unwrap());
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    world.settle(&lease).await;
    assert!(oversight.resume(&ws.key).await.unwrap());
    assert_eq!(world.due(&lease).await, [], "it was not paused");
    assert!(oversight.pause(&ws.key, "me").await.unwrap());
    assert!(oversight.pause(&ws.key, "another").await.unwrap());
    let paused = oversight.paused().await.unwrap();
    assert_eq!((paused.len(), paused[0].uid, &paused[0].workspace), (1, ws.uid, &ws.key));
    assert_eq!(paused[0].paused_by, "me");
    assert!(oversight.resume(&ws.key).await.unwrap());
    assert_eq!(oversight.paused().await.unwrap(), []);
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, volume.uid]);

    assert!(oversight.pause(&ws.key, "me").await.unwrap());
    for row in [&volume, &ws] {
        world.mark_deleted(&row.key).await;
        world.store.remove(&lease, row.uid).await.unwrap();
    }
    world.create(&ws.key).await;
    assert_eq!(oversight.paused().await.unwrap(), [], "a workspace made again is not");
}

pub async fn all_of_a_kind_are_told_whosever_they_are(world: &World) {
    let (ws, _) = world.bound("p").await;
    let told = async |kind: Kind| {
        let rows = world.store.oversight().of_kind(kind).await.unwrap();
        rows.into_iter().map(|row| (row.key, row.state)).collect::<Vec<_>>()
    };
    assert_eq!(told(Kind::BlockStorage).await, []);
    let disks = [world.create(&key(Kind::BlockStorage, "b")).await, world.create(&key(Kind::BlockStorage, "a")).await];
    world.create(&key(Kind::Image, "i")).await;
    world.mark_deleted(&disks[0].key).await;
    let found = told(Kind::BlockStorage).await;
    let names: Vec<_> = found.iter().map(|(key, state)| (key.name.as_str(), *state)).collect();
    assert_eq!(names, [("a", ResourceState::Pending), ("b", ResourceState::Deleting)]);
    assert_eq!(told(Kind::Workspace).await.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [ws.key]);
}

pub async fn projects_are_told_with_their_leases_and_backlogs(world: &World) {
    let (ws, lease) = world.bound("p").await;
    world.create(&key(Kind::BlockStorage, "b")).await;
    world.settle(&lease).await;
    let later = control_plane::ports::Commit {
        next: Some(Duration::from_secs(600)),
        ..world.commit_of(ws.uid, Verdict::Waiting).await
    };
    world.commit(&lease, later).await;
    world.create(&key(Kind::BlockStorage, "c")).await;
    let projects = world.store.oversight().projects().await.unwrap();
    let told: Vec<_> = projects.iter().map(|p| (p.project.0.as_str(), p.owner.as_deref(), p.due, p.queued)).collect();
    assert_eq!(told, [("local", None, 0, 0), ("p", Some("me"), 1, 2)]);
    assert_eq!((projects[0].resources, projects[1].resources, projects[0].leased_for), (0, 3, None));
    assert_eq!((projects[0].in_transition, projects[1].in_transition), (0, 1), "what is settled is not on its way");
    assert!(projects[1].leased_for.is_some_and(|left| left <= TTL && left > TTL / 2));
    world.store.release(&lease).await.unwrap();
    let projects = world.store.oversight().projects().await.unwrap();
    assert_eq!((&projects[1].owner, projects[1].leased_for), (&None, None));
    let short = Duration::from_millis(1);
    assert_eq!(world.store.lease("you", short, ENGINE_VERSION, 10, Portion::All).await.unwrap().len(), 2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let projects = world.store.oversight().projects().await.unwrap();
    assert_eq!((projects[1].owner.as_deref(), projects[1].leased_for), (Some("you"), Some(Duration::ZERO)));
}

pub async fn it_is_told_where_something_lies(world: &World) {
    assert_eq!(world.store.oversight().occupancy().await.unwrap(), []);
    let (ws, lease) = world.bound("p").await;
    let in_region = |region: &str, key: ResourceKey| ResourceKey { region: region.to_owned(), ..key };
    let (own, other) = (ws.key.region.as_str(), "elsewhere");
    world.create(&in_region(other, workspace("w"))).await;
    for (region, name, spec) in [
        (own, "a", r#"{"zone": "nbg1"}"#),
        (own, "b", r#"{"zone": "nbg1-dc3"}"#),
        (own, "c", r#"{"zone": "nbg1"}"#),
        (own, "d", r#"{"zone": ""}"#),
        (other, "a", r#"{"zone": "nbg1"}"#),
    ] {
        let put = Put { spec: spec.to_owned(), ..world.new_put(&in_region(region, key(Kind::Instance, name))) };
        world.put(put).await;
    }
    for (kind, name, location) in [
        (Kind::BlockStorage, "v", json!("hel1")),
        (Kind::PublicIp, "v", json!("hel1")),
        (Kind::BlockStorage, "w", json!(null)),
        // Of another kind it means something else.
        (Kind::Nic, "v", json!("fsn1")),
    ] {
        let row = world.create(&key(kind, name)).await;
        let facts = [("location".to_owned(), location)].into_iter().collect();
        let commit = Commit { facts, ..world.commit_of(row.uid, Verdict::Converged).await };
        world.commit(&lease, commit).await;
    }
    let mut told = world.store.oversight().occupancy().await.unwrap();
    told.sort();
    let told: Vec<_> = told.iter().map(|o| (o.region.as_str(), o.location.as_deref(), o.resources)).collect();
    let mut expected = vec![
        (own, None, 9),
        (own, Some("hel1"), 2),
        (own, Some("nbg1"), 2),
        (own, Some("nbg1-dc3"), 1),
        (other, None, 2),
        (other, Some("nbg1"), 1),
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);
}

pub async fn what_a_holder_knows_of_the_request_budget_is_kept(world: &World) {
    let (_, lease) = world.bound("p").await;
    let known = async || world.store.oversight().projects().await.unwrap()[1].budget;
    assert!(world.store.renew(&lease, TTL, None).await.unwrap());
    assert_eq!(known().await, None, "nothing is told before it is known");
    let budget = RequestBudget { limit: 3600, remaining: 12, refill_per_hour: 3601, waiting: 3 };
    assert!(world.store.renew(&lease, TTL, Some(budget)).await.unwrap());
    let told = known().await.unwrap();
    assert!(told.budget == budget && told.age < TTL, "{told:?}");
    let later = RequestBudget { remaining: 11, ..budget };
    assert!(world.store.renew(&lease, TTL, Some(later)).await.unwrap());
    assert_eq!(known().await.unwrap().budget, later);

    // A new holder knows less than the former one: what is told gets older instead of going away.
    world.store.release(&lease).await.unwrap();
    let next = world.lease("p").await;
    let before = known().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(world.store.renew(&next, TTL, None).await.unwrap());
    let after = known().await.unwrap();
    assert!(after.budget == later && after.age > before.age, "{before:?} {after:?}");
    assert_eq!(world.store.oversight().projects().await.unwrap()[0].budget, None, "others have their own");
}
