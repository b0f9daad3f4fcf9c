//! Which project a token opens, and whether it may write there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use std::sync::Arc;

use cloud::{Cloud, INSTALLATION, READ_ONLY, TOKEN, open_gate};
use control_plane::{
    ProjectId,
    ports::{BindError, CloudProvider, Epoch, Gate, Marker, Outcome, ProjectFinder},
};
use hcloud_client::types::CreateNetwork;
use hetzner_adapter::{naming, objects::NetworkCall};
use http::Method;
use serde_json::json;

/// Finds the project behind a token, as a binding does: `candidate` becomes its id if it has none.
async fn find(cloud: &Cloud, token: &str, installation: &str, candidate: &str) -> Result<String, BindError> {
    let (provider, access) = (cloud.provider(), cloud.access(token));
    let found = provider.find(&access, installation).await?;
    let project = provider.mark(&access, installation, &ProjectId(candidate.into()), &found).await?;
    Ok(project.0)
}

fn epoch(number: i64, nonce: &str) -> Epoch {
    Epoch { number, nonce: nonce.to_owned() }
}

/// The marker as a resync sees it, and as it is when the lists show none.
async fn markers(cloud: &Cloud) -> [Option<Marker>; 2] {
    let (provider, access) = (cloud.provider(), cloud.access(TOKEN));
    let snapshot = provider.observe(&access).await.unwrap();
    [provider.marker(&snapshot, INSTALLATION), provider.read_marker(&access, INSTALLATION).await.unwrap()]
}

async fn write(cloud: &Cloud, epoch: &Epoch, known: Option<&Marker>) {
    let provider = cloud.provider();
    provider.write_marker(&cloud.access(TOKEN), INSTALLATION, epoch, known, &open_gate()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_marker_bears_the_project_and_the_epoch_and_keeps_what_others_put_there() {
    let cloud = Cloud::new(0.0);
    assert_eq!(markers(&cloud).await, [None, None]);
    write(&cloud, &epoch(1, "one"), None).await;
    let [listed, read] = markers(&cloud).await;
    assert_eq!(listed, read);
    let marker = read.unwrap();
    assert_eq!(marker.project, Some(cloud.access(TOKEN).project));
    assert_eq!(marker.epoch, Some(epoch(1, "one")));

    // Somebody labels it, takes our labels away, and deletes it.
    let path = format!("/placement_groups/{}", marker.id);
    for labels in [json!({"team": "blue"}), json!({"team": "blue", "seca.purpose": "marker"})] {
        cloud.hetzner(Method::PUT, &path, &json!({"labels": labels})).await;
        let [listed, read] = markers(&cloud).await;
        assert_eq!(listed, read, "it is known by its name");
        let marker = read.unwrap();
        assert_eq!((marker.project.as_ref(), marker.epoch.as_ref()), (None, None));
        write(&cloud, &epoch(2, "two"), Some(&marker)).await;
        let marker = markers(&cloud).await[0].clone().unwrap();
        assert_eq!(marker.labels["team"], "blue");
        assert_eq!(marker.epoch, Some(epoch(2, "two")));
    }
    cloud.hetzner(Method::DELETE, &path, &json!({})).await;
    write(&cloud, &epoch(3, "three"), Some(&marker)).await;
    assert_eq!(markers(&cloud).await[1].clone().unwrap().epoch, Some(epoch(3, "three")), "it is made again");
    assert_eq!(cloud.inventory().await["counts"]["placement_groups"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_marker_is_found_under_another_name_and_the_oldest_one_counts() {
    let cloud = Cloud::new(0.0);
    write(&cloud, &epoch(4, "four"), None).await;
    let marker = markers(&cloud).await[1].clone().unwrap();
    let path = format!("/placement_groups/{}", marker.id);
    cloud.hetzner(Method::PUT, &path, &json!({"name": "renamed"})).await;
    let copy = json!({"name": "copy", "type": "spread", "labels": marker.labels});
    cloud.hetzner(Method::POST, "/placement_groups", &copy).await;
    assert_eq!(markers(&cloud).await.map(|found| found.unwrap().id), [marker.id.clone(), marker.id]);
}

#[tokio::test(start_paused = true)]
async fn a_project_without_a_marker_tells_whose_objects_are_in_it() {
    let cloud = Cloud::new(0.0);
    let (provider, access) = (cloud.provider(), cloud.access(TOKEN));
    let uid = |last: &str| format!("018f4e9c-0000-7000-8000-0000000000{last}");
    for (name, installation, last) in
        [("ours", INSTALLATION, "aa"), ("also", INSTALLATION, "ab"), ("strange", "another installation", "ac")]
    {
        let mut labels = naming::shared_labels(installation, "x");
        labels.insert(naming::UID.into(), uid(last));
        let body = json!({"name": name, "ip_range": "10.0.0.0/16", "labels": labels});
        cloud.hetzner(Method::POST, "/networks", &body).await;
    }
    let found = provider.find(&access, INSTALLATION).await.unwrap();
    assert_eq!(found.uids.iter().map(ToString::to_string).collect::<Vec<_>>(), [uid("aa"), uid("ab")]);
    write(&cloud, &epoch(1, "one"), None).await;
    let found = provider.find(&access, INSTALLATION).await.unwrap();
    assert_eq!((found.project(), found.uids.len()), (Some(&access.project), 0), "the marker says it");
}

/// Lets nothing through.
struct Closed;

#[async_trait::async_trait]
impl Gate for Closed {
    async fn may_send(&self) -> Result<(), String> {
        Err("the lease is another's".to_owned())
    }

    fn sent(&self) {}
}

#[tokio::test(start_paused = true)]
async fn what_its_gate_holds_back_is_not_sent_and_certainly_failed() {
    let cloud = Cloud::new(0.0);
    let (provider, access) = (cloud.provider(), cloud.access(TOKEN));
    let gate: Arc<dyn Gate> = Arc::new(Closed);
    let refused = provider.write_marker(&access, INSTALLATION, &epoch(1, "one"), None, &gate).await;
    assert!(refused.unwrap_err().note.message.contains("the lease is another's"));
    let body = CreateNetwork {
        name: "net".into(),
        ip_range: "10.0.0.0/16".parse().unwrap(),
        labels: naming::shared_labels(INSTALLATION, "x"),
        subnets: Vec::new(),
        routes: Vec::new(),
        expose_routes_to_vswitch: None,
    };
    let outcome = provider.execute(&access, &NetworkCall::Create(Box::new(body)).step("net"), &gate).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    let counts = cloud.inventory().await["counts"].clone();
    assert_eq!((&counts["networks"], &counts["placement_groups"]), (&json!(0), &json!(0)));
}

#[tokio::test(start_paused = true)]
async fn two_tokens_of_one_project_find_the_same_marker() {
    let cloud = Cloud::new(0.0);
    let second = json!({"name": "p", "token": "token-two"});
    cloud.control(Method::POST, "/_sim/projects", &second).await;
    assert_eq!(find(&cloud, TOKEN, INSTALLATION, "first").await, Ok("first".into()));
    assert_eq!(find(&cloud, "token-two", INSTALLATION, "second").await, Ok("first".into()));
    assert_eq!(find(&cloud, TOKEN, "another installation", "third").await, Ok("third".into()));
    assert_eq!(cloud.inventory().await["counts"]["placement_groups"], 2);
}

#[tokio::test(start_paused = true)]
async fn two_bindings_at_once_make_one_marker() {
    let cloud = Cloud::new(0.0);
    let (one, two) = tokio::join!(find(&cloud, TOKEN, INSTALLATION, "a"), find(&cloud, TOKEN, INSTALLATION, "b"));
    assert_eq!(one, two);
    assert_eq!(cloud.inventory().await["counts"]["placement_groups"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_must_be_known_and_may_not_be_read_only_whether_or_not_there_is_a_marker() {
    let cloud = Cloud::new(0.0);
    for _ in 0..2 {
        assert_eq!(find(&cloud, "nobody's", INSTALLATION, "x").await, Err(BindError::Rejected));
        assert_eq!(find(&cloud, READ_ONLY, INSTALLATION, "x").await, Err(BindError::ReadOnly));
        find(&cloud, TOKEN, INSTALLATION, "p").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_forbidden_the_marker_only_reads() {
    let cloud = Cloud::new(0.0);
    let forbidden = json!({"type": "error", "status": 403, "code": "forbidden", "message": "no"});
    for _ in 0..2 {
        cloud.fault(json!({"mutating": true}), forbidden.clone()).await;
        assert_eq!(find(&cloud, TOKEN, INSTALLATION, "p").await, Err(BindError::ReadOnly));
        cloud.clear_faults().await;
        find(&cloud, TOKEN, INSTALLATION, "p").await.unwrap();
    }
    // To a read it says nothing of the token.
    cloud.fault(json!({"mutating": false}), forbidden).await;
    let refused = find(&cloud, TOKEN, INSTALLATION, "p").await;
    assert!(matches!(refused, Err(BindError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_marker_whose_making_was_answered_by_nobody_is_found() {
    let cloud = Cloud::new(0.0);
    cloud.fault(json!({"mutating": true}), json!({"type": "lose_reply_after_commit"})).await;
    assert_eq!(find(&cloud, TOKEN, INSTALLATION, "p").await, Ok("p".into()));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_says_nothing_about_the_token() {
    let cloud = Cloud::new(0.0);
    let effect = json!({"type": "error", "status": 503, "code": "unavailable", "message": "later"});
    cloud.fault(json!({"count": 0}), effect).await;
    let error = find(&cloud, TOKEN, INSTALLATION, "p").await.unwrap_err();
    assert!(matches!(&error, BindError::Unavailable(message) if !message.contains(TOKEN)), "{error}");
}
