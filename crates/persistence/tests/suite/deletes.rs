//! DELETE: what refuses it, what goes along.

use control_plane::ports::{Delete, DeleteOutcome, DeleteRules, Users};
use seca_api::{Kind, ResourceKey, ResourceState};

use super::{World, in_network, key, sorted, workspace};

const WORKSPACE: DeleteRules =
    DeleteRules { refused_by_children: &[Kind::Network, Kind::BlockStorage, Kind::Instance, Kind::Nic], ..NONE };
const NETWORK: DeleteRules =
    DeleteRules { refused_by_children: &[Kind::RouteTable], cascades: &[(Kind::Subnet, &[Kind::Nic])], ..NONE };
const VOLUME: DeleteRules = DeleteRules { refused_by_referrers: &[Kind::Instance], ..NONE };
const NONE: DeleteRules = DeleteRules { refused_by_children: &[], refused_by_referrers: &[], cascades: &[] };

async fn refusal(world: &World, key: &ResourceKey, rules: DeleteRules) -> Vec<ResourceKey> {
    match world.delete(key, rules).await {
        DeleteOutcome::Refused(Users { shown, more: 0 }) => shown,
        other => panic!("{key} is not refused: {other:?}"),
    }
}

pub async fn rules_decide_what_a_deletion_is_refused_by(world: &World) {
    let (ws, volume, instance) = (workspace("w"), key(Kind::BlockStorage, "b"), key(Kind::Instance, "i"));
    let image = key(Kind::InternetGateway, "not-in-the-rules");
    assert_eq!(world.delete(&ws, WORKSPACE).await, DeleteOutcome::NotFound);
    world.create(&ws).await;
    world.create(&volume).await;
    world.create_with(&instance, &[("/spec/bootVolume", &volume)]).await;
    world.create_with(&image, &[("/spec/any", &volume)]).await;

    assert_eq!(refusal(world, &ws, WORKSPACE).await, [volume.clone(), instance.clone()]);
    assert_eq!(refusal(world, &volume, VOLUME).await, std::slice::from_ref(&instance));
    assert!(!world.read(&volume).await.is_deleting());

    // What is being deleted no longer counts, and what the rules do not name never did.
    world.mark_deleted(&instance).await;
    assert!(matches!(world.delete(&volume, VOLUME).await, DeleteOutcome::Accepted(_)));
    assert!(matches!(world.delete(&ws, WORKSPACE).await, DeleteOutcome::Accepted(_)));
    assert!(!world.read(&image).await.is_deleting());

    world.create(&workspace("full")).await;
    for number in 0..12 {
        let network = ResourceKey { workspace: "full".to_owned(), ..key(Kind::Network, &format!("n{number:02}")) };
        world.create(&network).await;
    }
    let DeleteOutcome::Refused(Users { shown, more }) = world.delete(&workspace("full"), WORKSPACE).await else {
        panic!("it is in use")
    };
    assert_eq!((shown.len(), more, shown[0].name.as_str()), (DeleteRules::SHOWN, 4, "n00"));
}

pub async fn a_second_deletion_changes_nothing(world: &World) {
    world.create(&workspace("w")).await;
    let first = world.mark_deleted(&workspace("w")).await;
    assert_eq!((first.state, first.resource_version), (ResourceState::Deleting, 2));
    assert_eq!(world.mark_deleted(&workspace("w")).await, first);
    assert_eq!(world.read(&workspace("w")).await, first);
}

pub async fn a_deletion_may_insist_on_a_version(world: &World) {
    world.create(&workspace("w")).await;
    for (version, accepted) in [(0, false), (2, false), (1, true)] {
        let delete = Delete { key: workspace("w"), expected_version: Some(version), rules: NONE, now: world.now() };
        let outcome = world.store.delete(delete).await.unwrap();
        assert_eq!(matches!(outcome, DeleteOutcome::Accepted(_)), accepted, "{version}");
        assert_eq!(outcome == DeleteOutcome::Stale(1), !accepted, "{version}");
    }
}

pub async fn subnets_go_with_their_network_unless_a_nic_uses_one(world: &World) {
    let network = key(Kind::Network, "n");
    let (a, b) = (in_network(Kind::Subnet, "n", "a"), in_network(Kind::Subnet, "n", "b"));
    let (table, nic) = (in_network(Kind::RouteTable, "n", "r"), key(Kind::Nic, "nic"));
    world.create(&workspace("w")).await;
    world.create(&network).await;
    world.create(&key(Kind::Network, "other")).await;
    let elsewhere = world.create(&in_network(Kind::Subnet, "other", "a")).await;
    world.create(&a).await;
    world.create(&b).await;
    world.create(&table).await;
    world.create_with(&nic, &[("/spec/subnetRef", &b)]).await;

    assert_eq!(refusal(world, &network, NETWORK).await, [nic.clone(), table.clone()]);
    world.mark_deleted(&table).await;
    assert_eq!(refusal(world, &network, NETWORK).await, std::slice::from_ref(&nic));
    assert!(!world.read(&a).await.is_deleting(), "refused means untouched");
    world.mark_deleted(&nic).await;
    // One that went before keeps its time.
    let before = world.mark_deleted(&a).await;

    let DeleteOutcome::Accepted(row) = world.delete(&network, NETWORK).await else { panic!("accepted") };
    let subnet = world.read(&b).await;
    assert_eq!((row.state, subnet.state), (ResourceState::Deleting, ResourceState::Deleting));
    assert_eq!((subnet.resource_version, subnet.deleted_at), (2, row.deleted_at));
    assert_eq!(world.read(&a).await, before);
    assert_eq!(world.read(&elsewhere.key).await, elsewhere);
}

pub async fn a_deletion_wakes_all_that_is_related(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let subnet = world.create(&in_network(Kind::Subnet, "n", "s")).await;
    let gateway = world.create(&key(Kind::InternetGateway, "g")).await;
    let table = world.create_with(&in_network(Kind::RouteTable, "n", "r"), &[("/spec/routes/0", &gateway.key)]).await;
    let instance = world.create(&key(Kind::Instance, "i")).await;
    world.settle(&lease).await;

    world.delete(&gateway.key, NONE).await;
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, network.uid, gateway.uid, table.uid]);
    world.settle(&lease).await;
    world.delete(&network.key, DeleteRules { refused_by_children: &[], ..NETWORK }).await;
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, network.uid, subnet.uid, gateway.uid, table.uid]);
    world.settle(&lease).await;
    world.delete(&instance.key, NONE).await;
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, instance.uid]);
}
