//! Bindings: which endpoints and tokens are taken, and what a workspace's project is afterwards.

use std::{collections::BTreeMap, sync::Mutex};

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    ports::{Access, BindError, Binding, Delete, DeleteRules, Edge, Found, Marker, Portion, ProjectFinder, Put},
    resource::{ProjectId, Uid},
    testing::environment::PlainVault,
};

/// Finds one project per token: its own text. Some tokens are bad.
struct ByToken;

#[async_trait]
impl ProjectFinder for ByToken {
    async fn find(&self, access: &Access, _: &str) -> Result<Found, BindError> {
        match access.token.expose_secret() {
            "rejected" => Err(BindError::Rejected),
            "read-only" => Err(BindError::ReadOnly),
            "unavailable" => Err(BindError::Unavailable("it is down".into())),
            project => Ok(marked(project)),
        }
    }

    async fn mark(&self, _: &Access, _: &str, project: &ProjectId, _: &Found) -> Result<ProjectId, BindError> {
        Ok(project.clone())
    }
}

/// A project with a marker.
fn marked(project: &str) -> Found {
    let project = Some(ProjectId(project.to_owned()));
    Found { marker: Some(Marker { id: "1".into(), project, epoch: None, labels: BTreeMap::new() }), uids: Vec::new() }
}

/// A project without a marker, and whose objects are in it. What is written to the marker is kept.
#[derive(Default)]
struct Unmarked {
    uids: Vec<Uid>,
    written: Mutex<Option<ProjectId>>,
}

#[async_trait]
impl ProjectFinder for Unmarked {
    async fn find(&self, _: &Access, _: &str) -> Result<Found, BindError> {
        Ok(Found { marker: None, uids: self.uids.clone() })
    }

    async fn mark(&self, _: &Access, _: &str, project: &ProjectId, _: &Found) -> Result<ProjectId, BindError> {
        *self.written.lock().unwrap() = Some(project.clone());
        Ok(project.clone())
    }
}

#[tokio::test]
async fn a_project_without_its_marker_is_known_by_our_objects_and_by_its_token() {
    let world = world().await;
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    bindings.bind(&workspace, request("p1", None)).await.unwrap();
    let disk = world.row(&key(Kind::BlockStorage, "disk")).await.uid;
    world.create(Kind::Workspace, "other", json!({})).await;
    let other = key(Kind::Workspace, "other");
    let without = |uids: &[Uid]| {
        let finder = Arc::new(Unmarked { uids: uids.to_vec(), ..Unmarked::default() });
        (Bindings { finder: finder.clone(), ..bindings.clone() }, finder)
    };

    // A new token of it, by an object in it.
    let (service, finder) = without(&[disk, world.ids.uid()]);
    service.bind(&workspace, request("new", None)).await.unwrap();
    assert_eq!(finder.written.lock().unwrap().as_ref().unwrap().0, "p1", "the marker is made again with the same id");
    // The very same token, when nothing of ours is in it; from another workspace too.
    for key in [&workspace, &other] {
        let (service, _) = without(&[]);
        service.bind(key, request("new", None)).await.unwrap();
        assert_eq!(world.row(key).await.project.0, "p1");
    }
    // An unknown token of an empty project is another project's, as far as anybody can tell.
    let (service, _) = without(&[]);
    service.bind(&other, request("unknown", None)).await.unwrap();
    assert_ne!(world.row(&other).await.project.0, "p1");
}

#[tokio::test]
async fn objects_of_two_projects_tell_no_project() {
    let world = world().await;
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    bindings.bind(&workspace, request("p1", None)).await.unwrap();
    world.create(Kind::Workspace, "other", json!({})).await;
    let other = key(Kind::Workspace, "other");
    bindings.bind(&other, request("p2", None)).await.unwrap();
    let uids = vec![world.row(&key(Kind::BlockStorage, "disk")).await.uid, world.row(&other).await.uid];
    let finder = Arc::new(Unmarked { uids, ..Unmarked::default() });
    let refused = Bindings { finder: finder.clone(), ..bindings }.bind(&workspace, request("new", None)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(why)) if why.contains("p1 and p2")));
    assert_eq!(*finder.written.lock().unwrap(), None, "nothing is written");
}

fn bindings(world: &World) -> Bindings {
    let endpoints = EndpointPolicy {
        provider: &crate::testing::PROVIDER,
        default: "https://cloud.example.com/v1/".parse().unwrap(),
        allowed: vec!["https://eu.example.com/v1".parse().unwrap()],
    };
    let vault = Arc::new(PlainVault);
    Bindings::new(world.store.clone(), vault, Arc::new(ByToken), world.ids.clone(), endpoints, world.plane.wake.clone())
}

fn request(token: &str, endpoint: Option<&str>) -> BindRequest {
    let endpoint = endpoint.map(str::to_owned);
    BindRequest { token: SecretString::from(token), endpoint, project_ref: Some("shop".into()) }
}

#[tokio::test]
async fn tokens_are_sent_to_listed_endpoints_only() {
    let world = world().await;
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    for (endpoint, shown) in [
        (None, Some("https://cloud.example.com/v1")),
        (Some(""), Some("https://cloud.example.com/v1")),
        (Some("https://cloud.example.com/v1"), Some("https://cloud.example.com/v1")),
        (Some("https://eu.example.com/v1/"), Some("https://eu.example.com/v1")),
        (Some("https://api.hetzner.cloud/v1"), Some("https://api.hetzner.cloud/v1")),
        (Some("http://127.0.0.1:8082/v1"), Some("http://127.0.0.1:8082/v1")),
        (Some("http://[::1]:8082/v1"), Some("http://[::1]:8082/v1")),
        (Some("http://localhost:8082/v1"), Some("http://localhost:8082/v1")),
        (Some("http://api.hetzner.cloud/v1"), None),
        (Some("https://api.hetzner.cloud.evil.example/v1"), None),
        (Some("https://api.hetzner.cloud@evil.example/v1"), None),
        (Some("https://localhost.evil.example/v1"), None),
        (Some("http://127.0.0.1:8082/v1?x=1"), None),
        (Some("ftp://127.0.0.1/v1"), None),
        (Some("nonsense"), None),
    ] {
        let answer = bindings.bind(&workspace, request("p1", endpoint)).await;
        match (answer, shown) {
            (Ok(()), Some(shown)) => {
                let view = bindings.get(&workspace).await.unwrap();
                assert_eq!(view.api_endpoint, shown);
                assert_eq!((view.project.as_str(), view.project_ref.as_deref()), ("p1", Some("shop")));
            }
            (Err(Refusal::Malformed(why)), None) => assert!(why.starts_with("apiEndpoint "), "{why}"),
            other => panic!("{endpoint:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn refused_tokens_say_why_and_leave_nothing() {
    let world = world().await;
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    for (token, words) in [
        ("", "visible ASCII"),
        ("a b", "visible ASCII"),
        ("a\n", "visible ASCII"),
        ("rejected", "does not accept this token"),
        ("read-only", "is read-only"),
    ] {
        match bindings.bind(&workspace, request(token, None)).await {
            Err(Refusal::Malformed(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{token}: {other:?}"),
        }
    }
    let unavailable = bindings.bind(&workspace, request("unavailable", None)).await;
    assert!(matches!(unavailable, Err(Refusal::Provider(why)) if why.contains("it is down")));
    assert!(matches!(bindings.get(&workspace).await, Err(Refusal::NotFound(_))));
    let none = key(Kind::Workspace, "none");
    assert!(matches!(bindings.bind(&none, request("p1", None)).await, Err(Refusal::NotFound(_))));
}

#[tokio::test]
async fn a_binding_moves_the_workspace_and_is_listed() {
    let world = world().await;
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    let list = async |binding| bindings.workspaces(binding).await.unwrap();
    assert_eq!(list(Some(Binding::None)).await[0].name, "w");
    bindings.bind(&workspace, request("p1", None)).await.unwrap();
    assert_eq!(world.row(&workspace).await.project.0, "p1");
    assert_eq!(world.row(&key(Kind::BlockStorage, "disk")).await.project.0, "p1");
    assert!(list(Some(Binding::None)).await.is_empty());
    let all = list(None).await;
    assert_eq!((all[0].binding, all[0].tenant.as_str(), all[0].region.as_str()), (Binding::Bound, "t", "fsn1"));

    // The same project again: a new token.
    bindings.bind(&workspace, request("p1", None)).await.unwrap();
    assert!(bindings.unbind(&workspace, true).await.unwrap());
    assert!(!bindings.unbind(&workspace, true).await.unwrap(), "it is there, and not bound");
    let nowhere = ResourceKey { name: "nowhere".into(), ..workspace.clone() };
    assert!(matches!(bindings.unbind(&nowhere, true).await, Err(Refusal::NotFound(_))));
    assert_eq!(list(Some(Binding::Unbound)).await.len(), 1);
}

#[tokio::test]
async fn a_workspace_that_is_being_deleted_is_not_bound() {
    let world = empty_world();
    let bindings = bindings(&world);
    let workspace = key(Kind::Workspace, "w");
    world.create(Kind::Workspace, "w", json!({})).await;
    world.delete(&workspace).await.unwrap();
    let refused = bindings.bind(&workspace, request("p1", None)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(why)) if why.contains("being deleted")));
}

/// Finds one project, whatever the token.
struct Always(&'static str);

#[async_trait]
impl ProjectFinder for Always {
    async fn find(&self, _: &Access, _: &str) -> Result<Found, BindError> {
        Ok(marked(self.0))
    }

    async fn mark(&self, _: &Access, _: &str, project: &ProjectId, _: &Found) -> Result<ProjectId, BindError> {
        Ok(project.clone())
    }
}

#[tokio::test]
async fn a_workspace_that_is_being_deleted_takes_a_new_token_of_its_project_alone() {
    let world = empty_world();
    let with_finder = |project| Bindings { finder: Arc::new(Always(project)), ..bindings(&world) };
    let workspace = key(Kind::Workspace, "w");
    world.create(Kind::Workspace, "w", json!({})).await;
    with_finder("p1").bind(&workspace, request("dead", None)).await.unwrap();
    world.delete(&workspace).await.unwrap();
    let refused = with_finder("p2").bind(&workspace, request("new", None)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(why)) if why.contains("another project than p1")));
    let sealed = async || world.store.credential(&workspace).await.unwrap().unwrap().sealed;
    let before = sealed().await;
    with_finder("p1").bind(&workspace, request("new", None)).await.unwrap();
    assert_ne!(sealed().await, before);
}

#[tokio::test]
async fn the_token_of_a_deleted_workspace_is_kept_for_its_images_unless_somebody_insists() {
    let world = empty_world();
    let bindings = bindings(&world);
    let (workspace, disk) = (key(Kind::Workspace, "w"), key(Kind::BlockStorage, "disk"));
    world.create(Kind::Workspace, "w", json!({})).await;
    bindings.bind(&workspace, request("p1", None)).await.unwrap();
    let store = async |put| drop(world.store.put(put).await.unwrap());
    let create = |key: &ResourceKey| Put::create(key.clone(), world.ids.uid(), "{}", world.clock.now());
    store(create(&disk)).await;
    for n in 1..8 {
        let edge = Edge { field: "/spec/blockStorageRef".to_owned(), target: disk.clone(), strict: false };
        let image = ResourceKey::tenant(Kind::Image, "fsn1", "t", &format!("image-{n}"));
        store(Put { edges: vec![edge], home: Some(disk.clone()), ..create(&image) }).await;
    }
    let leases = world.store.lease("test", Duration::from_secs(60), 1, 8, Portion::All).await.unwrap();
    let lease = leases.iter().find(|lease| lease.project.0 == "p1").unwrap();
    for key in [&disk, &workspace] {
        let rules = DeleteRules::default();
        let delete = Delete { key: key.clone(), expected_version: None, rules, now: world.clock.now() };
        world.store.delete(delete).await.unwrap();
        let uid = world.row(key).await.uid;
        world.store.remove(lease, uid).await.unwrap();
    }

    assert!(matches!(bindings.find(&workspace).await, Err(Refusal::NotFound(_))), "it binds nothing");
    match bindings.unbind(&workspace, false).await {
        Err(Refusal::Conflict(why)) => {
            for words in ["is gone", "7 resource(s)", "project p1", "images/image-5 and 2 more", "force=true"] {
                assert!(why.contains(words), "{why}");
            }
            assert!(!why.contains("image-6"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(bindings.unbind(&workspace, true).await.unwrap());
    assert_eq!(world.store.credentials().await.unwrap(), []);
    assert!(matches!(bindings.unbind(&workspace, true).await, Err(Refusal::NotFound(_))));
}
