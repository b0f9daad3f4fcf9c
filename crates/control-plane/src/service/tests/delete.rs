//! Delete rules: what stands in the way, what goes along.

use super::*;

async fn check(world: &World, target: &ResourceKey, stands_in_the_way: Option<&str>) {
    match (world.delete(target).await, stands_in_the_way) {
        (Ok(()), None) => assert!(world.row(target).await.is_deleting()),
        (Err(Refusal::Conflict(why)), Some(words)) => {
            assert!(why.contains(words) && why.contains("delete what uses it first"), "{why}");
            assert!(!world.row(target).await.is_deleting());
        }
        other => panic!("{target}: {other:?}"),
    }
}

#[tokio::test]
async fn live_users_stand_in_the_way_and_others_do_not() {
    let world = world().await;
    world.create(Kind::InternetGateway, "gw", json!({})).await;
    world.create(Kind::RouteTable, "rt", table(&[("0.0.0.0/0", "internet-gateways/gw")])).await;
    let body = with(subnet("10.0.0.0/24"), "/spec/routeTableRef", json!("route-tables/rt"));
    world.create(Kind::Subnet, "s", body).await;
    world.create(Kind::Instance, "i", instance()).await;

    check(&world, &key(Kind::Workspace, "w"), Some(" while ")).await;
    check(&world, &key(Kind::BlockStorage, "disk"), Some("while instances/i uses it")).await;
    check(&world, &key(Kind::Network, "net"), Some("while networks/net/route-tables/rt uses it")).await;
    check(&world, &key(Kind::InternetGateway, "gw"), None).await;
    check(&world, &key(Kind::RouteTable, "rt"), None).await;
    check(&world, &key(Kind::Network, "net"), None).await;
    assert!(world.row(&key(Kind::Subnet, "s")).await.is_deleting(), "subnets go with their network");
    check(&world, &key(Kind::Instance, "i"), None).await;
    check(&world, &key(Kind::BlockStorage, "disk"), None).await;
    check(&world, &key(Kind::Workspace, "w"), None).await;
}

#[tokio::test]
async fn a_second_delete_is_accepted_and_changes_nothing() {
    let world = world().await;
    let disk = key(Kind::BlockStorage, "disk");
    world.delete(&disk).await.unwrap();
    let before = world.row(&disk).await;
    world.delete(&disk).await.unwrap();
    assert_eq!(world.row(&disk).await, before);
    let document = world.get(&disk).await;
    assert_eq!(document["status"]["state"], "deleting");
    assert!(document["metadata"]["deletedAt"].is_string());
}

#[tokio::test]
async fn the_catalogue_cannot_be_deleted() {
    let world = world().await;
    for key in [key(Kind::Image, "ubuntu-24.04"), key(Kind::InstanceSku, "cx23")] {
        assert!(matches!(world.delete(&key).await, Err(Refusal::Conflict(why)) if why.contains("catalogue")));
    }
    // What is in no tenant is read by everybody, and nobody has a right to it beyond that.
    assert!(matches!(world.delete(&key(Kind::Region, "fsn1")).await, Err(Refusal::Forbidden { .. })));
    assert!(matches!(world.delete(&key(Kind::Image, "none")).await, Err(Refusal::NotFound(_))));
}

#[tokio::test]
async fn a_target_that_is_being_deleted_cannot_be_named() {
    let world = world().await;
    world.delete(&key(Kind::BlockStorage, "disk")).await.unwrap();
    let found = world.violations(Kind::Instance, "i", instance()).await;
    assert!(found[0].rule.contains("which is being deleted"), "{found:?}");
}

#[tokio::test]
async fn a_refusal_names_some_and_counts_the_rest() {
    let world = empty_world();
    world.create(Kind::Workspace, "w", json!({"spec": null})).await;
    for number in 0..12 {
        world.create(Kind::BlockStorage, &format!("d{number:02}"), volume(10)).await;
        let others = match number {
            0..=7 => String::new(),
            _ => format!(" and {} more", number - 7),
        };
        let named = (0..=number.min(7)).map(|n| format!("block-storages/d{n:02}")).collect::<Vec<_>>().join(", ");
        let verb = if number == 0 { "uses" } else { "use" };
        check(&world, &key(Kind::Workspace, "w"), Some(&format!("while {named}{others} {verb} it"))).await;
    }
}
