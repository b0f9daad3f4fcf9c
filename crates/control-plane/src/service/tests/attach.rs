//! The predecessor's calls to attach and detach a block storage.

use futures::future::join_all;

use super::*;

/// Asks for power on.
const START_EXTENSION: &str = crate::testing::PROVIDER.start_extension;

async fn attach(world: &World, volume: &str, instance: &str) -> Result<(), Refusal> {
    let body = json!({"instanceRef": {"resource": instance}});
    world.plane.attach(world.context(), &key(Kind::BlockStorage, volume), &body, None).await
}

async fn detach(world: &World, volume: &str) -> Result<(), Refusal> {
    world.plane.detach(world.context(), &key(Kind::BlockStorage, volume), None).await
}

/// The names of an instance's data volumes, and its version.
async fn volumes(world: &World, instance: &str) -> (Vec<String>, i64) {
    let shown = world.get(&key(Kind::Instance, instance)).await;
    let all = shown["spec"]["dataVolumes"].as_array().cloned().unwrap_or_default();
    let names = all.iter().map(|item| item["deviceRef"]["resource"].as_str().unwrap().to_owned()).collect();
    (names, shown["metadata"]["resourceVersion"].as_i64().unwrap())
}

async fn furnished() -> World {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.create(Kind::BlockStorage, name, volume(20)).await;
    }
    let mut body = with(instance(), "/labels", json!({"env": "prod"}));
    body["annotations"] = json!({"note": "kept"});
    body["extensions"] = json!({START_EXTENSION: "true"});
    body["spec"]["userData"] = json!("#cloud-config");
    world.create(Kind::Instance, "i", body).await;
    world
}

#[tokio::test]
async fn it_is_a_put_of_the_instance_that_changes_its_data_volumes_alone() {
    let world = furnished().await;
    let own = key(Kind::Instance, "i");
    let before = world.get(&own).await;
    attach(&world, "a", "instances/i").await.unwrap();
    attach(&world, "b", "workspaces/w/instances/i").await.unwrap();
    assert_eq!(volumes(&world, "i").await, (vec!["block-storages/a".to_owned(), "block-storages/b".to_owned()], 3));
    // What is there already is no change, under whatever spelling.
    attach(&world, "a", "i").await.unwrap();
    assert_eq!(volumes(&world, "i").await.1, 3);

    detach(&world, "a").await.unwrap();
    assert_eq!(volumes(&world, "i").await, (vec!["block-storages/b".to_owned()], 4));
    detach(&world, "a").await.unwrap();
    assert_eq!(volumes(&world, "i").await.1, 4);
    detach(&world, "b").await.unwrap();
    let after = world.get(&own).await;
    for member in ["labels", "annotations", "extensions", "spec"] {
        assert_eq!(after[member], before[member], "{member}");
    }
}

#[tokio::test]
async fn a_volume_leaves_every_instance_that_names_it() {
    let world = furnished().await;
    world.create(Kind::BlockStorage, "boot", volume(20)).await;
    let boot = json!({"deviceRef": {"resource": "block-storages/boot"}});
    let waits = with(instance(), "/spec/bootVolume", boot);
    // Spelled in another way it is the same.
    let named = json!([{"deviceRef": {"resource": "seca.storage/v1/tenants/t/workspaces/w/block-storages/a"}}, {"deviceRef": "block-storages/c"}]);
    world.create(Kind::Instance, "j", with(waits, "/spec/dataVolumes", named)).await;
    attach(&world, "a", "instances/i").await.unwrap();
    detach(&world, "a").await.unwrap();
    assert_eq!(volumes(&world, "i").await.0, [""; 0]);
    assert_eq!(volumes(&world, "j").await.0, ["block-storages/c"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_made_and_what_admission_refuses_is_refused() {
    let world = furnished().await;
    for (volume, instance) in [("none", "instances/i"), ("a", "instances/none"), ("A", "instances/i")] {
        assert!(matches!(attach(&world, volume, instance).await, Err(Refusal::NotFound(_))), "{volume} {instance}");
    }
    assert!(world.store.get(&key(Kind::Instance, "none")).await.unwrap().is_none());
    assert!(matches!(detach(&world, "none").await, Err(Refusal::NotFound(_))));
    let rule = async |volume: &str, instance: &str| match attach(&world, volume, instance).await {
        Err(Refusal::Violations { violations, .. }) => format!("{}: {}", violations[0].pointer, violations[0].rule),
        other => panic!("{other:?}"),
    };
    assert!(rule("disk", "instances/i").await.contains("which the instance boots from"));
    assert!(rule("a", "").await.starts_with("/instanceRef: instanceRef is missing"));
    assert!(rule("a", "nics/i").await.starts_with("/instanceRef: "));
    assert!(rule("a", "workspaces/v/instances/i").await.contains("name an instance of workspace w"));
    match detach(&world, "disk").await {
        Err(Refusal::Conflict(why)) => assert!(why.contains("instances/i boots from it"), "{why}"),
        other => panic!("{other:?}"),
    }
    let body = json!({"instanceRef": "instances/i"});
    let stale = world.plane.attach(world.context(), &key(Kind::BlockStorage, "a"), &body, Some(7)).await;
    assert!(matches!(stale, Err(Refusal::Stale { expected: 7, current: 1, .. })), "{stale:?}");
    world.delete(&key(Kind::Instance, "i")).await.unwrap();
    assert!(matches!(attach(&world, "a", "instances/i").await, Err(Refusal::Conflict(_))));
    assert_eq!(volumes(&world, "i").await.0, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_lose_nothing_of_each_other() {
    let world = furnished().await;
    let names: Vec<String> = (0..12).map(|n| format!("v{n}")).collect();
    for name in &names {
        world.create(Kind::BlockStorage, name, volume(20)).await;
    }
    let at_once = async |attaches: bool| {
        let calls = names.iter().map(|name| {
            let (world, name) = (world.as_seen_by("ann"), name.clone());
            tokio::spawn(async move {
                if attaches { attach(&world, &name, "instances/i").await } else { detach(&world, &name).await }
            })
        });
        for answer in join_all(calls).await {
            answer.unwrap().unwrap();
        }
    };
    at_once(true).await;
    assert_eq!(volumes(&world, "i").await.0.len(), names.len());
    at_once(false).await;
    assert_eq!(volumes(&world, "i").await.0, [""; 0]);
}

#[tokio::test]
async fn it_takes_the_right_to_read_the_volume_and_to_put_the_instance() {
    let mut world = furnished().await;
    let role = |name: &str, provider: &str, resource: &str, verbs: &[&str]| {
        let spec = json!({"permissions": [{"provider": provider, "resources": [resource], "verb": verbs}]});
        (super::role(name), json!({"spec": spec}))
    };
    for (key, body) in [
        role("volumes", "seca.storage/v1", "block-storages/*", &["get", "put", "post"]),
        role("instances", "seca.compute/v1", "instances/*", &["put"]),
    ] {
        world.put(&key, body).await.unwrap();
    }
    world.assign("v", "vic", json!([{}]), &["volumes"]).await.unwrap();
    world.assign("i", "ian", json!([{}]), &["instances"]).await.unwrap();
    world.assign("b", "bea", json!([{}]), &["volumes", "instances"]).await.unwrap();
    attach(&world, "b", "instances/i").await.unwrap();
    world.enforce();
    let version = async || world.row(&key(Kind::Instance, "i")).await.resource_version;
    let before = version().await;
    for subject in ["vic", "ian", "nobody"] {
        let world = world.as_seen_by(subject);
        for volume in ["a", "none"] {
            let answer = attach(&world, volume, "instances/i").await;
            assert!(matches!(answer, Err(Refusal::Forbidden { .. })), "{subject} {volume}: {answer:?}");
        }
        // Nothing attached is nothing to put.
        for volume in if subject == "vic" { &["b"][..] } else { &["a", "b", "none"] } {
            let answer = detach(&world, volume).await;
            assert!(matches!(answer, Err(Refusal::Forbidden { .. })), "{subject} {volume}: {answer:?}");
        }
    }
    assert_eq!(version().await, before);
    let bea = world.as_seen_by("bea");
    attach(&bea, "a", "instances/i").await.unwrap();
    detach(&bea, "b").await.unwrap();
    assert_eq!(version().await, before + 2);
}
