//! Administrators whom operators make, and names that somebody else took.

use seca_api::TenantName;

use super::*;
use crate::ports::Portion;

fn tenant() -> TenantName {
    TenantName::parse("t").unwrap()
}

fn administration(world: &World) -> Administration {
    Administration::new(world.store.clone(), world.clock.clone(), world.ids.clone(), world.plane.wake.clone())
}

async fn make(world: &World, subject: &str) -> MadeAdmin {
    administration(world).make_admin(&tenant(), subject, "admin", "alice").await.unwrap().unwrap()
}

async fn bootstrap(world: &World, subject: &str) -> Bootstrapped {
    administration(world).bootstrap_admin(&tenant(), subject, "admin").await.unwrap()
}

async fn leave(world: &World, key: &ResourceKey) {
    let row = world.row(key).await;
    for lease in world.store.lease("test", Duration::from_secs(60), 1, 8, Portion::All).await.unwrap() {
        drop(world.store.remove(&lease, row.uid).await.unwrap());
        world.store.release(&lease).await.unwrap();
    }
    assert_eq!(world.store.get(key).await.unwrap(), None);
}

fn made(name: &str) -> MadeAdmin {
    MadeAdmin::Made(name.to_owned())
}

fn already(name: &str) -> MadeAdmin {
    MadeAdmin::Already(name.to_owned())
}

#[tokio::test]
async fn a_tenant_without_an_administrator_gets_one_who_may_do_everything_in_it() {
    let mut world = empty_world();
    world.enforce();
    let bob = world.as_seen_by("bob");
    assert!(bob.put(&key(Kind::Workspace, "w"), json!({"spec": null})).await.is_err());
    assert_eq!(make(&world, "bob").await, made("admin"));
    bob.put(&key(Kind::Workspace, "w"), json!({"spec": null})).await.unwrap();
    bob.assign("more", "carol", json!([{}]), &["seca.admin"]).await.unwrap();
    let shown = bob.get(&assignment("admin")).await;
    assert_eq!(shown["annotations"]["description"], "Made by the operator alice through the admin API.");
    assert_eq!(shown["spec"], json!({"subs": ["bob"], "scopes": [{}], "roles": ["seca.admin"]}));
    let nowhere = TenantName::parse("nowhere").unwrap();
    assert_eq!(administration(&world).make_admin(&nowhere, "bob", "admin", "alice").await.unwrap(), None);
    assert_eq!(administration(&world).bootstrap_admin(&nowhere, "bob", "admin").await.unwrap(), Bootstrapped::NoTenant);
}

/// Locked out is who lost the last administrator: the operator's way back is open each time.
#[tokio::test]
async fn one_that_was_taken_back_is_made_again_and_never_twice() {
    let world = empty_world();
    assert_eq!(make(&world, "bob").await, made("admin"));
    assert_eq!(make(&world, "bob").await, already("admin"));
    // A row on its way out grants nothing, and holds its name.
    world.delete(&assignment("admin")).await.unwrap();
    assert_eq!(make(&world, "bob").await, made("admin-2"));
    leave(&world, &assignment("admin")).await;
    assert_eq!(make(&world, "bob").await, already("admin-2"), "although the first name is free");
    world.delete(&assignment("admin-2")).await.unwrap();
    assert_eq!(make(&world, "bob").await, made("admin"));
}

#[tokio::test]
async fn a_name_that_somebody_took_is_left_to_them_and_the_next_is_used() {
    let world = empty_world();
    let taken = [
        ("admin", "eve", json!([{}]), "seca.admin"),
        ("admin-2", "bob", json!([{"workspaces": ["w"]}]), "seca.admin"),
        ("admin-3", "bob", json!([{}]), "seca.workspace-viewer"),
    ];
    for (name, subject, scopes, role) in taken {
        world.assign(name, subject, scopes, &[role]).await.unwrap();
    }
    let before = world.row(&assignment("admin")).await;
    assert_eq!(bootstrap(&world, "bob").await, Bootstrapped::Made("admin-4".into()));
    assert_eq!(bootstrap(&world, "bob").await, Bootstrapped::Before);
    assert_eq!(make(&world, "bob").await, already("admin-4"));
    assert_eq!(make(&world, "carol").await, made("admin-5"));
    assert_eq!(world.row(&assignment("admin")).await, before);
}

#[tokio::test]
async fn all_names_taken_is_said() {
    let world = empty_world();
    for at in 1..=100 {
        let name = if at == 1 { "admin".to_owned() } else { format!("admin-{at}") };
        world.assign(&name, "eve", json!([{}]), &["seca.admin"]).await.unwrap();
    }
    let refusals = [
        administration(&world).make_admin(&tenant(), "bob", "admin", "alice").await.map(drop),
        administration(&world).bootstrap_admin(&tenant(), "bob", "admin").await.map(drop),
    ];
    for refusal in refusals {
        assert!(matches!(&refusal, Err(Refusal::Conflict(why)) if why.contains("admin-100")), "{refusal:?}");
    }
}

/// The setting asks for nothing more, and must not give back later what was taken away.
#[tokio::test]
async fn one_whom_an_operator_made_counts_as_made_by_the_settings() {
    let world = empty_world();
    assert_eq!(make(&world, "bob").await, made("admin"));
    assert_eq!(bootstrap(&world, "bob").await, Bootstrapped::Before);
    world.delete(&assignment("admin")).await.unwrap();
    leave(&world, &assignment("admin")).await;
    assert_eq!(bootstrap(&world, "bob").await, Bootstrapped::Before);
    assert_eq!(world.store.get(&assignment("admin")).await.unwrap(), None);
}
