//! Reading: the catalogue under every tenant, lists in pages, and who may look.

use super::*;
use crate::{ports::Deleted, service::ListRequest};

fn request(collection: ResourceKey) -> ListRequest {
    ListRequest { collection, labels: None, limit: None, after: String::new(), deleted: Deleted::Exclude }
}

/// The items of a page, whose end is missing.
pub(super) fn items(page: &ListView) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", page.text.strip_prefix(ListView::HEAD).unwrap())).unwrap()
}

async fn names(world: &World, request: &ListRequest) -> (Vec<String>, Option<String>) {
    let page = world.plane.list(world.context(), request).await.unwrap();
    let items = items(&page);
    let name = |item: &Value| {
        assert_eq!(item["metadata"]["verb"], "GET");
        item["metadata"]["name"].as_str().unwrap().to_owned()
    };
    (items.iter().map(name).collect(), page.next)
}

/// All pages of one item each.
async fn walk(world: &World, mut request: ListRequest) -> Vec<String> {
    request.limit = Some(1);
    let mut all = Vec::new();
    loop {
        let (page, next) = names(world, &request).await;
        assert!(page.len() == 1 || all.is_empty(), "an empty page follows {all:?}");
        all.extend(page);
        match next {
            Some(next) => request.after = next,
            None => return all,
        }
    }
}

#[tokio::test]
async fn the_catalogue_is_there_under_every_tenant() {
    let world = world().await;
    for tenant in ["t", "seca", "public"] {
        for (kind, name) in [
            (Kind::InstanceSku, "cx23"),
            (Kind::StorageSku, "hcloud-volume"),
            (Kind::NetworkSku, "hcloud-network"),
            (Kind::Image, "ubuntu-24.04"),
        ] {
            let key = ResourceKey { tenant: tenant.into(), ..key(kind, name) };
            let document = world.get(&key).await;
            assert_eq!(document["metadata"]["tenant"], tenant);
            assert_eq!(document["metadata"]["region"], "fsn1");
            assert_eq!(document["metadata"]["ref"], key.urn());
            assert!(document["spec"].is_object());
            assert_eq!(document["status"]["state"] == "active", kind == Kind::Image);
        }
        let skus = request(ResourceKey { tenant: tenant.into(), ..key(Kind::InstanceSku, "") });
        assert_eq!(walk(&world, skus).await, ["cx23", "cx33", "seca.d2xs"]);
    }
    let none = world.plane.get(world.context(), &key(Kind::InstanceSku, "none")).await;
    assert!(matches!(none, Err(Refusal::NotFound(_))));
}

#[tokio::test]
async fn selectors_apply_to_the_catalogue() {
    let world = world().await;
    let mut skus = request(key(Kind::InstanceSku, ""));
    skus.labels = Some("Tier=D2XS".into());
    assert_eq!(walk(&world, skus.clone()).await, ["cx23", "seca.d2xs"]);
    skus.labels = Some("Tier=D2XS,(".into());
    let refused = world.plane.list(world.context(), &skus).await;
    assert!(
        matches!(refused, Err(Refusal::Parameter(found)) if found.rule.contains("label selector") && found.parameter == "labels")
    );
}

/// What somebody wrote stands among what nobody wrote, on every page size.
#[tokio::test]
async fn rows_and_entries_are_one_list() {
    let world = world().await;
    let permission = json!({"provider": "seca.compute", "resources": ["*"], "verb": ["GET"]});
    let role = |label: &str| json!({"labels": {"of": label}, "spec": {"permissions": [permission]}});
    for name in ["a", "seca", "t", "z"] {
        world.create(Kind::Role, name, role(name)).await;
    }
    let system = ["admin", "region-admin", "workspace-admin", "workspace-editor", "workspace-viewer"];
    let system = system.map(|name| format!("seca.{name}"));
    let all: Vec<String> =
        ["a", "seca"].map(String::from).into_iter().chain(system).chain(["t", "z"].map(String::from)).collect();
    let roles = request(key(Kind::Role, ""));
    assert_eq!(walk(&world, roles.clone()).await, all);
    for limit in 2..10 {
        let (page, next) = names(&world, &ListRequest { limit: Some(limit), ..roles.clone() }).await;
        assert_eq!(page, all[..page.len()]);
        assert_eq!(next, (page.len() < all.len()).then(|| page[page.len() - 1].clone()), "{limit}");
    }
    assert_eq!(walk(&world, ListRequest { labels: Some("of in (a,z)".into()), ..roles.clone() }).await, ["a", "z"]);
    world.delete(&key(Kind::Role, "t")).await.unwrap();
    assert_eq!(walk(&world, ListRequest { deleted: Deleted::Only, ..roles }).await, ["t"]);

    let spec = json!({"blockStorageRef": "workspaces/w/block-storages/disk", "cpuArchitecture": "amd64"});
    world.create(Kind::Image, "mine", json!({"spec": spec})).await;
    assert_eq!(walk(&world, request(key(Kind::Image, ""))).await, ["mine", "ubuntu-24.04"]);
}

#[tokio::test]
async fn the_default_region_is_first_on_every_page_size() {
    let world = world().await;
    let regions = request(key(Kind::Region, ""));
    assert_eq!(names(&world, &regions).await, (vec!["nbg1".into(), "fsn1".into(), "hel1".into()], None));
    assert_eq!(walk(&world, regions).await, ["nbg1", "fsn1", "hel1"]);
}

#[tokio::test]
async fn a_region_names_the_url_of_every_provider() {
    let world = world().await;
    let region = world.get(&key(Kind::Region, "hel1")).await;
    let providers = region["spec"]["providers"].as_array().unwrap();
    let urls: Vec<_> = providers.iter().map(|p| (p["name"].as_str().unwrap(), p["url"].as_str().unwrap())).collect();
    assert_eq!(
        urls,
        [
            ("seca.region", "https://api.example.com/providers/seca.region"),
            ("seca.authorization", "https://api.example.com/providers/seca.authorization"),
            ("seca.workspace", "https://api.example.com/regions/hel1/providers/seca.workspace"),
            ("seca.storage", "https://api.example.com/regions/hel1/providers/seca.storage"),
            ("seca.compute", "https://api.example.com/regions/hel1/providers/seca.compute"),
            ("seca.network", "https://api.example.com/regions/hel1/providers/seca.network"),
        ]
    );
    assert!(providers.iter().all(|p| p["version"] == "v1"));
    assert_eq!(region["spec"]["availableZones"], json!(["hel1"]));
    assert_eq!(region["metadata"]["resourceVersion"], 3);
    assert_eq!(region["metadata"].get("tenant"), None);
    assert_eq!(region.get("labels"), None);
}

#[tokio::test]
async fn rows_are_listed_by_name_label_and_deletion() {
    let world = world().await;
    for (name, env) in [("b", "prod"), ("a", "test"), ("c", "prod")] {
        world.create(Kind::InternetGateway, name, json!({"labels": {"env": env}, "spec": {}})).await;
    }
    world.delete(&key(Kind::InternetGateway, "c")).await.unwrap();
    let all = request(key(Kind::InternetGateway, ""));
    assert_eq!(walk(&world, all.clone()).await, ["a", "b"]);
    assert_eq!(walk(&world, ListRequest { labels: Some("env=prod".into()), ..all.clone() }).await, ["b"]);
    assert_eq!(walk(&world, ListRequest { deleted: Deleted::Include, ..all.clone() }).await, ["a", "b", "c"]);
    assert_eq!(walk(&world, ListRequest { deleted: Deleted::Only, ..all.clone() }).await, ["c"]);
    for limit in [-5, 0] {
        assert_eq!(
            names(&world, &ListRequest { limit: Some(limit), ..all.clone() }).await,
            (vec!["a".into()], Some("a".into()))
        );
    }
    let refused = world.plane.list(world.context(), &ListRequest { after: "\u{0}".into(), ..all }).await;
    assert!(matches!(refused, Err(Refusal::Parameter(found)) if found.parameter == "skipToken"));
}

#[tokio::test]
async fn the_list_of_an_unknown_workspace_is_empty() {
    let world = world().await;
    for workspace in ["none", "Bad\u{0}"] {
        let collection = ResourceKey { workspace: workspace.into(), ..key(Kind::Instance, "") };
        assert_eq!(names(&world, &request(collection)).await, (Vec::new(), None));
    }
}

#[tokio::test]
async fn a_workspace_counts_its_resources_and_its_tag_follows() {
    let world = world().await;
    let workspace = key(Kind::Workspace, "w");
    let before = world.plane.get(world.context(), &workspace).await.unwrap();
    let document: Value = serde_json::from_str(&before.body).unwrap();
    let count = document["status"]["resourceCount"].as_i64().unwrap();
    world.create(Kind::InternetGateway, "g", json!({})).await;
    let after = world.plane.get(world.context(), &workspace).await.unwrap();
    let document: Value = serde_json::from_str(&after.body).unwrap();
    assert_eq!(document["status"]["resourceCount"], count + 1);
    assert_ne!(before.tag, after.tag);
}

#[tokio::test]
async fn a_text_that_is_kept_is_shown_as_it_was_read() {
    let world = world().await;
    let (workspace, gateway) = (key(Kind::Workspace, "w"), key(Kind::InternetGateway, "g"));
    world.create(Kind::InternetGateway, "g", json!({})).await;
    for key in [&workspace, &gateway] {
        world.commit(key, Verdict::Converged, json!({})).await;
        let read = world.plane.get(world.context(), key).await.unwrap();
        assert_eq!(read.transition, None);
        assert_eq!(world.plane.get(world.context(), key).await.unwrap(), read, "{key}");
    }
    // What is counted follows, though the text is the same; and what is written is another text.
    let count = world.get(&workspace).await["status"]["resourceCount"].as_i64().unwrap();
    world.create(Kind::InternetGateway, "h", json!({})).await;
    let counted = world.plane.get(world.context(), &workspace).await.unwrap();
    let document: Value = serde_json::from_str(&counted.body).unwrap();
    assert_eq!(document["status"]["resourceCount"], count + 1);
    assert!(counted.tag.unwrap().ends_with(&format!(".{}", count + 1)));
    world.put(&gateway, json!({"spec": {}, "annotations": {"a": "b"}})).await.unwrap();
    assert_eq!(world.get(&gateway).await["annotations"]["a"], "b");
    world.commit(&gateway, Verdict::Converged, json!({})).await;
    assert_eq!(world.get(&gateway).await["status"]["state"], "active");
    world.delete(&gateway).await.unwrap();
    assert_eq!(world.get(&gateway).await["status"]["state"], "deleting");
}

#[tokio::test]
async fn names_that_nothing_can_have_are_not_found() {
    let world = world().await;
    for name in ["", "A", "a\u{0}", "a/b"] {
        let key = key(Kind::Instance, name);
        assert!(matches!(world.plane.get(world.context(), &key).await, Err(Refusal::NotFound(_))));
        assert!(matches!(world.delete(&key).await, Err(Refusal::NotFound(_))));
    }
}

#[tokio::test]
async fn nothing_is_revealed_to_those_who_may_not_see_it() {
    let mut world = world().await;
    let elsewhere = ResourceKey { tenant: "nobody".into(), ..key(Kind::Workspace, "w") };
    for refused in [
        world.plane.get(world.context(), &elsewhere).await.map(drop),
        world.plane.list(world.context(), &request(elsewhere.clone())).await.map(drop),
        world.put(&elsewhere, json!([])).await.map(drop),
        world.delete(&elsewhere).await,
    ] {
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
    }
    let reader = json!([{"provider": "seca.network", "resources": ["*"], "verb": ["get"]}]);
    world.put(&role("reader"), json!({"spec": {"permissions": reader}})).await.unwrap();
    world.assign("reader", "ann", json!([{}]), &["reader"]).await.unwrap();
    world.enforce();
    let there = key(Kind::Network, "net");
    world.plane.get(world.context(), &there).await.unwrap();
    for refused in [
        world.put(&there, json!([])).await.map(drop),
        world.put(&key(Kind::Network, "none"), json!([])).await.map(drop),
        world.delete(&there).await,
        world.plane.act(world.context(), &key(Kind::Instance, "none"), ActionKind::Start, None).await,
        world.plane.list(world.context(), &request(key(Kind::Network, ""))).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
    }
}

/// A row whose document has so many bytes, more or less.
async fn large(world: &World, name: &str, bytes: usize) {
    let put = crate::ports::Put::create(key(Kind::PublicIp, name), world.ids.uid(), "{}", world.clock.now());
    let annotations = Some(json!({"note": "x".repeat(bytes)}).to_string());
    drop(world.store.put(crate::ports::Put { annotations, ..put }).await.unwrap());
}

/// All names, page by page of the largest size; the bytes and items of each page.
async fn pages(world: &World, limit: i64) -> (Vec<String>, Vec<(usize, usize)>) {
    let mut request = ListRequest { limit: Some(limit), ..request(key(Kind::PublicIp, "")) };
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = world.plane.list(world.context(), &request).await.unwrap();
        let items = items(&page);
        assert!(!items.is_empty(), "an empty page after {all:?}");
        sizes.push((page.text.len(), items.len()));
        all.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        match page.next {
            Some(next) => request.after = next,
            None => return (all, sizes),
        }
    }
}

#[tokio::test]
async fn a_page_ends_at_eight_mebibytes_and_the_walk_is_complete() {
    const MIB: usize = 1024 * 1024;
    let world = world().await;
    let names: Vec<String> = (0..20).map(|number| format!("ip-{number:03}")).collect();
    for name in &names {
        large(&world, name, 900_000).await;
    }
    world.memory.take_reads();
    let (all, sizes) = pages(&world, 10_000).await;
    assert_eq!(all, names);
    assert!(world.memory.take_reads().most_rows <= 16, "not all of them are in memory to show some");
    assert!(sizes.iter().all(|(bytes, _)| *bytes <= 8 * MIB), "{sizes:?}");
    // As many as fit: nine of 900,000 bytes.
    assert!(sizes[..sizes.len() - 1].iter().all(|(_, items)| *items == 9), "{sizes:?}");
    // A smaller limit holds as before.
    let (all, sizes) = pages(&world, 5).await;
    assert_eq!((all, sizes.len()), (names, 4));
}

#[tokio::test]
async fn a_resource_that_is_larger_than_a_page_is_a_page_of_its_own() {
    let world = world().await;
    for (name, bytes) in [("a", 10), ("b", 9_000_000), ("c", 9_000_000), ("d", 10), ("e", 10)] {
        large(&world, name, bytes).await;
    }
    let (all, sizes) = pages(&world, 1_000).await;
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    assert_eq!(sizes.iter().map(|(_, items)| *items).collect::<Vec<_>>(), [1, 1, 1, 2]);
}

#[tokio::test]
async fn many_small_resources_are_one_page_of_several_questions() {
    let world = world().await;
    let names: Vec<String> = (0..300).map(|number| format!("ip-{number:03}")).collect();
    for name in &names {
        large(&world, name, 10).await;
    }
    world.memory.take_reads();
    let (all, sizes) = pages(&world, 1_000).await;
    assert_eq!((all, sizes.len()), (names.clone(), 1));
    let reads = world.memory.take_reads();
    let asked = |call| reads.calls.get(call).copied();
    assert_eq!((asked("outline"), asked("shown"), reads.most_rows), (Some(6), Some(6), 64), "by and by");
    // Where a page ends with a question, the next one begins there.
    for limit in [64, 100, 128, 299, 300] {
        let (all, sizes) = pages(&world, limit).await;
        assert_eq!((all, sizes.len()), (names.clone(), 300_usize.div_ceil(usize::try_from(limit).unwrap())), "{limit}");
    }
    world.memory.take_reads();
    names_of_fifty(&world).await;
    let reads = world.memory.take_reads().calls;
    assert_eq!(reads.get("outline"), Some(&1), "a usual page is one question");
    assert_eq!((reads.get("shown"), reads.get("list")), (None, None), "what was shown before is not read again");
    // What was written since is.
    let row = world.store.get(&key(Kind::PublicIp, "ip-007")).await.unwrap().unwrap();
    let put = crate::ports::Put::create(row.key.clone(), row.uid, "{}", world.clock.now());
    let before = Some(crate::ports::Before { row, edges: Vec::new() });
    drop(world.store.put(crate::ports::Put { before, ..put }).await.unwrap());
    names_of_fifty(&world).await;
    assert_eq!(world.memory.take_reads().calls.get("shown"), Some(&1));
}

async fn names_of_fifty(world: &World) {
    let (page, next) = names(world, &ListRequest { limit: Some(50), ..request(key(Kind::PublicIp, "")) }).await;
    assert_eq!((page.len(), next.as_deref()), (50, Some("ip-049")));
}
