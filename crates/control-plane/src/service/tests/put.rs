//! What is accepted, how it is stored and echoed, and what the state machine makes of it.

use proptest::prelude::*;

use super::*;
use crate::{kinds, service::draft::Draft};

#[tokio::test]
async fn references_are_accepted_and_echoed_in_every_spelling() {
    let world = world().await;
    world.create(Kind::RouteTable, "rt", table(&[("0.0.0.0/0", "10.0.0.1")])).await;
    let storage = [
        json!("hcloud-volume"),
        json!("skus/hcloud-volume"),
        json!("storage-skus/hcloud-volume"),
        json!({"resource": "skus/hcloud-volume"}),
        json!({"resource": "skus/hcloud-volume", "tenant": "seca"}),
        json!({"resource": "skus/hcloud-volume", "provider": "seca.storage", "region": "fsn1"}),
        json!({"resource": "tenants/public/skus/hcloud-volume"}),
        json!({"resource": "seca.storage/v1/tenants/t/skus/hcloud-volume"}),
    ];
    let boot = [
        json!({"resource": "disk"}),
        json!({"resource": "block-storages/disk"}),
        json!({"resource": "workspaces/w/block-storages/disk"}),
        json!({"resource": "seca.storage/v1/tenants/t/workspaces/w/block-storages/disk"}),
        json!({"workspace": "w", "provider": "seca.storage/v1", "resource": "block-storages/disk"}),
    ];
    let tables = [
        json!({"resource": "rt"}),
        json!({"resource": "route-tables/rt"}),
        json!({"resource": "networks/net/route-tables/rt"}),
        json!({"resource": "seca.network/v1/tenants/t/workspaces/w/networks/net/route-tables/rt"}),
    ];
    let cases = storage
        .into_iter()
        .map(|sku| (Kind::BlockStorage, "/spec/skuRef", sku, volume(10)))
        .chain(boot.into_iter().map(|r| (Kind::Instance, "/spec/bootVolume/deviceRef", r, instance())))
        .chain(tables.into_iter().map(|r| (Kind::Subnet, "/spec/routeTableRef", r, subnet("10.0.0.0/24"))));
    for (index, (kind, pointer, reference, body)) in cases.enumerate() {
        let answer = world.create(kind, &format!("r{index}"), with(body, pointer, reference.clone())).await;
        let echo = match reference {
            Value::String(resource) => json!({"resource": resource}),
            object => object,
        };
        assert_eq!(answer.pointer(pointer), Some(&echo));
    }
}

#[tokio::test]
async fn edges_lead_to_rows_and_not_to_the_catalogue() {
    let world = world().await;
    world.create(Kind::Instance, "i", instance()).await;
    let uid = world.row(&key(Kind::Instance, "i")).await.uid;
    let bundle = world.store.bundle(uid).await.unwrap().unwrap();
    let targets: Vec<_> = bundle.targets.iter().map(|t| (t.field.as_str(), t.key.name.as_str())).collect();
    assert_eq!(targets, [("/spec/bootVolume/deviceRef", "disk")]);

    world.create(Kind::RouteTable, "rt", table(&[("10.9.0.0/16", "instances/later")])).await;
    let uid = world.row(&key(Kind::RouteTable, "rt")).await.uid;
    let bundle = world.store.bundle(uid).await.unwrap().unwrap();
    assert_eq!(bundle.target("/spec/routes/0/targetRef").unwrap().resource, None);
}

#[tokio::test]
async fn the_body_is_read_leniently_and_echoed_exactly() {
    let world = world().await;
    let sent = r#"{"status":{"conditions":null,"sizeGB":0},"metadata":{"name":"wrong","createdAt":"0001-01-01T00:00:00Z",
        "resourceVersion":0,"kind":"","region":""},"extensions":null,"annotations":{},"labels":{"z":"1","a":"","n":null},
        "spec":{"skuRef":"skus/hcloud-volume","colour":"red","sizeGB":10,"sourceImageRef":null},"odd":1}"#;
    let answer = world.put(&key(Kind::BlockStorage, "b"), serde_json::from_str(sent).unwrap()).await.unwrap();
    assert_eq!(
        answer.warnings,
        [
            "/odd is not known to the block storage and was dropped",
            "/spec/colour is not known to the block storage and was dropped"
        ]
    );
    let body = &answer.view.body;
    assert!(body.starts_with(r#"{"labels":{"z":"1","a":""},"annotations":{},"metadata":{"name":"b","#), "{body}");
    assert!(body.contains(r#""spec":{"skuRef":{"resource":"skus/hcloud-volume"},"sizeGB":10},"status":{"#), "{body}");
    assert!(!body.contains("extensions") && !body.contains("null"), "{body}");
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["status"]["sizeGB"], 0);
    assert_eq!(document["metadata"]["verb"], "PUT");
    assert_eq!(document["metadata"]["ref"], "seca.storage/v1/tenants/t/workspaces/w/block-storages/b");

    for body in [json!({}), json!({"spec": null}), json!({"spec": {}})] {
        let workspace = key(Kind::Workspace, &format!("w{}", body.to_string().len()));
        assert!(world.put(&workspace, body).await.unwrap().created);
        assert_eq!(world.get(&workspace).await["spec"], json!({}));
    }
    for body in [json!([]), json!("x"), json!(null)] {
        assert!(matches!(world.put(&key(Kind::Workspace, "v"), body).await, Err(Refusal::Malformed(_))));
    }
}

#[tokio::test]
async fn numbers_keep_their_digits_through_put_and_get() {
    let world = empty_world();
    let spec = r#"{"b":1e+3,"a":1.0,"c":-0,"d":12345678901234567890123,"e":[0.10,{"z":"ü\n","y":true}]}"#;
    let body = serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).unwrap();
    let key = key(Kind::Workspace, "w");
    let put = world.put(&key, body).await.unwrap().view.body;
    let get = world.plane.get(world.context(), &key).await.unwrap().body;
    for body in [put, get] {
        assert!(body.contains(&format!(r#""spec":{spec},"#)), "{body}");
    }
}

#[tokio::test]
async fn conditions_follow_put_and_get() {
    let world = world().await;
    let gateway = key(Kind::InternetGateway, "g");
    let created = world.create(Kind::InternetGateway, "g", json!({"spec": {}})).await;
    assert_eq!(states(&created), ["pending"]);
    world.commit(&gateway, Verdict::Converged, json!({})).await;
    assert_eq!(states(&world.get(&gateway).await), ["active", "creating", "pending"]);

    let answer = world.put(&gateway, json!({"spec": {"egressOnly": true}})).await.unwrap();
    assert!(!answer.created);
    let document: Value = serde_json::from_str(&answer.view.body).unwrap();
    assert_eq!(states(&document), ["active", "creating", "pending"]);
    assert_eq!(document["status"]["state"], "active");
    assert_eq!(document["spec"]["egressOnly"], true);
    assert_eq!(document["metadata"]["resourceVersion"], 2);

    let view = world.plane.get(world.context(), &gateway).await.unwrap();
    let document: Value = serde_json::from_str(&view.body).unwrap();
    assert_eq!(states(&document), ["updating", "active", "creating", "pending"]);
    assert_eq!(document["metadata"]["verb"], "GET");
    assert_ne!(view.tag, answer.view.tag, "the answer to the PUT shows another status");
    assert!(answer.view.tag.unwrap().starts_with("2."));
}

#[tokio::test]
async fn a_version_that_is_insisted_on_must_be_the_current_one() {
    let world = world().await;
    let gateway = key(Kind::InternetGateway, "g");
    let put = async |version| {
        let request = PutRequest { key: gateway.clone(), body: json!({"spec": {}}), if_version: version };
        world.plane.put(world.context(), request).await
    };
    assert!(matches!(put(Some(1)).await, Err(Refusal::NotFound(_))));
    put(None).await.unwrap();
    put(Some(1)).await.unwrap();
    assert!(matches!(put(Some(1)).await, Err(Refusal::Stale { expected: 1, current: 2, .. })));
    let delete = world.plane.delete(world.context(), &gateway, Some(1)).await;
    assert!(matches!(delete, Err(Refusal::Stale { expected: 1, current: 2, .. })));
}

#[tokio::test]
async fn parents_must_exist_and_stay() {
    let world = world().await;
    let in_network = |workspace: &str, network: &str| ResourceKey {
        workspace: workspace.into(),
        network: network.into(),
        ..key(Kind::Subnet, "s")
    };
    for (workspace, network, missing) in [
        ("none", "none", "seca.workspace/v1/tenants/t/workspaces/none"),
        ("w", "none", "seca.network/v1/tenants/t/workspaces/w/networks/none"),
        ("w", "Bad\u{0}", "seca.network/v1/tenants/t/workspaces/w/networks/Bad\u{0}"),
    ] {
        match world.put(&in_network(workspace, network), json!({})).await {
            Err(Refusal::MissingParent(key)) => assert_eq!(key.urn(), missing),
            other => panic!("{other:?}"),
        }
    }
    world.delete(&key(Kind::Network, "net")).await.unwrap();
    let refused = world.put(&in_network("w", "net"), subnet("10.0.0.0/24")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Conflict(why) if why.contains("networks/net is being deleted")), "{refused:?}");
    let refused = world.put(&key(Kind::Network, "net"), network("10.0.0.0/16")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::Conflict(why) if why.contains("is being deleted")), "{refused:?}");
}

#[tokio::test]
async fn start_after_create_asks_for_power_once() {
    let world = world().await;
    let key = key(Kind::Instance, "i");
    let asks = |value: &str| with(instance(), "/extensions", json!({"hetzner.cloud/start-after-create": value}));
    world.create(Kind::Instance, "i", asks("false")).await;
    assert!(!world.row(&key).await.action.desired_on());
    world.put(&key, asks("true")).await.unwrap();
    assert!(world.row(&key).await.action.desired_on());
    world.plane.act(world.context(), &key, ActionKind::Stop, None).await.unwrap();
    world.put(&key, asks("true")).await.unwrap();
    assert!(!world.row(&key).await.action.desired_on(), "sent again, it must not undo the stop");
}

#[tokio::test]
async fn power_actions_are_judged_by_the_desired_power() {
    let world = world().await;
    let key = key(Kind::Instance, "i");
    world.create(Kind::Instance, "i", instance()).await;
    let act = async |action| world.plane.act(world.context(), &key, action, None).await;
    for (action, words) in [
        (ActionKind::Stop, Some("cannot stop, because it is off")),
        (ActionKind::Restart, Some("start it first")),
        (ActionKind::Start, None),
        (ActionKind::Start, Some("cannot start, because it is on")),
        (ActionKind::Restart, None),
        (ActionKind::Stop, None),
        (ActionKind::Stop, Some("cannot stop")),
    ] {
        match (act(action).await, words) {
            (Ok(()), None) => {}
            (Err(Refusal::Conflict(why)), Some(words)) => assert!(why.contains(words), "{why}"),
            other => panic!("{action:?}: {other:?}"),
        }
    }
    let none = super::key(Kind::Instance, "none");
    let refused = world.plane.act(world.context(), &none, ActionKind::Start, None).await;
    assert!(matches!(refused, Err(Refusal::NotFound(_))));
    world.delete(&key).await.unwrap();
    assert!(matches!(act(ActionKind::Start).await, Err(Refusal::Conflict(why)) if why.contains("being deleted")));
}

#[tokio::test]
async fn what_nobody_wrote_can_be_neither_written_nor_deleted() {
    let world = world().await;
    for (kind, name, words) in [
        (Kind::InstanceSku, "x", "belongs to the catalogue"),
        (Kind::InstanceSku, "cx23", "belongs to the catalogue"),
        (Kind::Image, "ubuntu-24.04", "belongs to the catalogue"),
    ] {
        let refused = world.put(&key(kind, name), json!({})).await.unwrap_err();
        assert!(matches!(&refused, Refusal::Conflict(why) if why.contains(words)), "{refused:?}");
        let refused = world.delete(&key(kind, name)).await.unwrap_err();
        match name {
            "x" => assert!(matches!(refused, Refusal::NotFound(_)), "{refused:?}"),
            _ => assert!(matches!(&refused, Refusal::Conflict(why) if why.contains(words)), "{refused:?}"),
        }
    }
    let role = key(Kind::Role, "seca.admin");
    let put = world.put(&role, json!({})).await.unwrap_err();
    let delete = world.delete(&role).await.unwrap_err();
    for refused in [put, delete] {
        assert!(matches!(refused, Refusal::SystemRole(_)), "{refused:?}");
        assert!(refused.to_string().contains("is a system role"), "{refused}");
    }
}

#[tokio::test]
async fn writes_wake_the_engine() {
    let world = world().await;
    world.plane.wake.notified().await;
    world.put(&key(Kind::InternetGateway, "g"), json!({"spec": {"egressOnly": 5}})).await.unwrap_err();
    assert!(futures::FutureExt::now_or_never(world.plane.wake.notified()).is_none());
    world.put(&key(Kind::InternetGateway, "g"), json!({})).await.unwrap();
    world.plane.wake.notified().await;
}

/// JSON as some client may write it, without nulls. Exponents have their sign: the parser writes `1e3` as `1e+3`,
/// which is the one thing that it changes about a number.
fn json_text() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,4})?(e[+-][0-9]{1,3})?";
    let text = "[a-zA-Z0-9 äß€_./-]{0,8}".prop_map(|text| format!("{text:?}"));
    let leaf = prop_oneof![number.prop_map(|n| n), text, Just("true".to_owned()), Just("false".to_owned())];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let members = prop::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..4);
        let object = members.prop_map(|members| {
            let members: Vec<_> = members.into_iter().rev().map(|(name, value)| format!("{name:?}:{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))), object]
    })
}

proptest! {
    #[test]
    fn an_open_specification_is_stored_as_it_was_sent(value in json_text()) {
        let rules = kinds::rules(Kind::Workspace).unwrap();
        let spec = format!(r#"{{"b":{value},"a":1}}"#);
        let body = serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).unwrap();
        let draft = Draft::read(rules, &crate::testing::PROVIDER, &key(Kind::Workspace, "w"), body).unwrap();
        prop_assert_eq!(draft.spec.to_string(), spec);
        prop_assert!(draft.violations.is_empty());
    }
}

#[tokio::test]
async fn what_another_replica_has_just_read_can_be_named() {
    let world = world().await;
    let mut entries: Vec<_> = world.plane.catalog().load().entries().cloned().collect();
    let image = entries.iter().find(|e| e.kind == Kind::Image && e.region == "fsn1").unwrap().clone();
    entries.push(crate::CatalogEntry { name: "brand-new".to_owned(), ..image });
    let known = world.plane.catalog().load().version;
    let mut stored = 0;
    while stored <= known {
        stored = world.store.save_catalog(stored, &entries).await.unwrap().unwrap();
    }
    let body = |image: &str| json!({"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 10, "sourceImageRef": image}});
    let key = super::key(Kind::BlockStorage, "b");
    assert!(world.put(&key, body("images/nowhere")).await.is_err());
    assert!(world.put(&key, body("images/brand-new")).await.unwrap().created);

    // The engine of this process was first: what was judged by the former catalogue is judged anew all the same.
    assert!(world.plane.follow_catalog(known).await.unwrap());
    assert!(!world.plane.follow_catalog(stored).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_next_read_of_who_wrote_waits_and_nobody_elses() {
    let world = world().await;
    let key = key(Kind::Instance, "i");
    let check = async |after: &str, state: ResourceState| {
        assert_eq!(world.row(&key).await.state, state, "{after}");
        let view = world.plane.get(world.context(), &key).await.unwrap();
        let transition = view.transition.unwrap();
        let holds = |subject: &str| world.plane.hold(&Caller::new(subject), &transition, None);
        assert!(matches!(holds("ann"), Held::Until(_)), "{after}");
        assert!(matches!(holds("bob"), Held::No), "{after}");
        tokio::time::advance(Patience::default().recent).await;
        assert!(matches!(holds("ann"), Held::No), "{after}, long ago");
    };
    world.create(Kind::Instance, "i", instance()).await;
    check("creation", ResourceState::Pending).await;
    world.commit(&key, Verdict::Converged, json!({})).await;
    world.put(&key, instance()).await.unwrap();
    check("update", ResourceState::Updating).await;
    world.commit(&key, Verdict::Converged, json!({})).await;
    world.plane.act(world.context(), &key, ActionKind::Start, None).await.unwrap();
    check("action", ResourceState::Updating).await;
    world.delete(&key).await.unwrap();
    check("deletion", ResourceState::Deleting).await;
}
