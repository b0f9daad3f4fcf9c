//! Projects that several engines share.

use super::*;

/// A world with workspaces in projects of their own.
async fn with_projects(count: usize) -> World {
    let world = World::new(FakeCloud::new(Duration::from_millis(20)).with_many_projects(), 1);
    for number in 0..count {
        let workspace = workspace(&world, number);
        world.put(&workspace, 0).await;
        world.bind_to(&workspace, &format!("project-{number}")).await;
    }
    world
}

fn workspace(world: &World, number: usize) -> ResourceKey {
    ResourceKey { name: format!("w{number}"), ..world.workspace() }
}

/// The number of projects that each engine holds a lease of.
async fn held(world: &World) -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    for project in world.store.oversight().projects().await.unwrap() {
        if project.leased_for.is_some_and(|left| !left.is_zero()) {
            *held.entry(project.owner.unwrap()).or_default() += 1;
        }
    }
    held
}

async fn shared(world: &World, shares: &[(&str, usize)]) {
    let shares: BTreeMap<String, usize> = shares.iter().map(|(owner, count)| ((*owner).to_owned(), *count)).collect();
    eventually(&format!("{shares:?}"), 5 * MINUTE, async || held(world).await == shares).await;
}

/// Each workspace takes something new.
async fn is_served(world: &World, count: usize, name: &str) {
    let instances = (0..count).map(|number| ResourceKey { workspace: format!("w{number}"), ..world.instance(name) });
    let instances: Vec<_> = instances.collect();
    for instance in &instances {
        world.put(instance, 1).await;
    }
    for instance in &instances {
        world.is(instance, ResourceState::Active).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_engine_is_given_its_share_and_the_rest_when_the_first_one_ends() {
    let world = with_projects(8).await;
    let (first, end_first) = world.start("a");
    shared(&world, &[("a", 9)]).await;
    is_served(&world, 8, "before").await;
    let (_second, _) = world.start("b");
    shared(&world, &[("a", 5), ("b", 4)]).await;
    // That is how it stays.
    for _ in 0..10 {
        tokio::time::sleep(MINUTE / 6).await;
        assert_eq!(held(&world).await, BTreeMap::from([("a".to_owned(), 5), ("b".to_owned(), 4)]));
    }
    is_served(&world, 8, "shared").await;
    let begun = tokio::time::Instant::now();
    end_first.cancel();
    first.await.unwrap();
    shared(&world, &[("b", 9)]).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the others learn of the end: {:?}", begun.elapsed());
    is_served(&world, 8, "after").await;
    assert_eq!(world.cloud.things().len(), 24);
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_had_that_died_is_taken_when_its_leases_end() {
    let world = with_projects(8).await;
    let (first, _) = world.start("a");
    let (_second, _) = world.start("b");
    shared(&world, &[("a", 5), ("b", 4)]).await;
    let begun = tokio::time::Instant::now();
    first.abort();
    shared(&world, &[("b", 9)]).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "a lease and a moment: {:?}", begun.elapsed());
    is_served(&world, 8, "after").await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_has_just_begun_is_given_nothing_but_takes_what_is_free() {
    let world = with_projects(4).await;
    let (_first, _) = world.start("a");
    shared(&world, &[("a", 5)]).await;
    let (second, end_second) = world.start("b");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(held(&world).await, BTreeMap::from([("a".to_owned(), 5)]));
    let new = workspace(&world, 4);
    world.put(&new, 0).await;
    world.bind_to(&new, "project-4").await;
    shared(&world, &[("a", 5), ("b", 1)]).await;
    end_second.cancel();
    second.await.unwrap();
    shared(&world, &[("a", 6)]).await;
}
