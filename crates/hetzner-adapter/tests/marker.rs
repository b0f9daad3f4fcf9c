//! Which project a token opens, and whether it may write there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use cloud::{Cloud, INSTALLATION, READ_ONLY, TOKEN};
use control_plane::{
    ProjectId,
    ports::{BindError, ProjectFinder},
};
use http::Method;
use serde_json::json;

async fn find(cloud: &Cloud, token: &str, installation: &str, candidate: &str) -> Result<String, BindError> {
    let found = cloud.provider().find_project(&cloud.access(token), installation, &ProjectId(candidate.into())).await;
    found.map(|project| project.0)
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
