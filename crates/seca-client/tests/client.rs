//! The client against a server that answers from a script.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{sync::Mutex, time::Duration};

use common::{Asked, Server, problem};
use seca_client::{
    Error, ListQuery, SecaClient, Wait,
    seca_api::{BlockStorageSpec, Draft, Instance, Network, Reference, ResourceState, Selector, WorkspaceSpec},
};
use secrecy::SecretString;
use serde_json::{Value, json};

fn region(base: &str) -> Value {
    let provider = |name: &str| json!({"name": name, "version": "v1", "url": format!("{base}/providers/{name}")});
    let names = ["seca.workspace", "seca.storage", "seca.compute", "seca.later"];
    let providers: Vec<_> = names.into_iter().map(provider).collect();
    json!({"metadata": {"name": "fsn1"}, "spec": {"availableZones": ["a"], "providers": providers}})
}

/// A server whose region is in order, and a client connected to it. All providers but the network are offered.
async fn connect(script: impl Fn(&Asked, usize) -> (u16, Value) + Send + Sync + 'static) -> (Server, SecaClient) {
    let server = Server::start(move |asked, before| match asked.line.as_str() {
        "GET /providers/seca.region/v1/regions/fsn1" => {
            (200, region(&format!("http://{}", asked.header("host").unwrap())))
        }
        _ => script(asked, before),
    })
    .await;
    let token = Some(SecretString::from("s3cret"));
    let client = SecaClient::connect(&server.url, "acme", "fsn1", token).await.unwrap();
    (server, client)
}

fn disk(state: &str, conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(state, at, message)| json!({"state": state, "lastTransitionAt": format!("2026-01-01T00:00:{at}Z"), "message": message}))
        .collect();
    json!({
        "metadata": {"name": "d", "resource": "block-storages/d", "resourceVersion": 3},
        "spec": {"skuRef": {"resource": "skus/s"}, "sizeGB": 10},
        "status": {"state": state, "sizeGB": 10, "conditions": conditions},
    })
}

fn spec() -> BlockStorageSpec {
    BlockStorageSpec { sku_ref: Reference::new("skus/s"), size_gb: 10, source_image_ref: None }
}

fn soon() -> Wait<'static> {
    Wait::up_to(Duration::from_secs(20)).every(Duration::from_millis(5))
}

/// The seconds of `Prefer: wait=n` in each request after the first, which read the region.
fn waits(server: &Server) -> Vec<Option<u64>> {
    let wait = |asked: &Asked| asked.header("prefer")?.strip_prefix("wait=")?.parse().ok();
    server.journal()[1..].iter().map(wait).collect()
}

#[tokio::test]
async fn the_region_says_where_providers_answer() {
    let (server, client) = connect(|_, _| (200, disk("active", &[]))).await;
    assert_eq!(client.tenant(), "acme");
    assert_eq!(client.region().spec.available_zones, ["a"]);
    client.block_storages("w").get("d").await.unwrap();
    client.regions().find("fsn1").await.unwrap().unwrap();
    assert_eq!(
        server.lines()[1..],
        [
            "GET /providers/seca.storage/v1/tenants/acme/workspaces/w/block-storages/d",
            "GET /providers/seca.region/v1/regions/fsn1",
        ]
    );
    assert!(server.journal().iter().all(|asked| asked.header("authorization") == Some("Bearer s3cret")));
    let error = client.collection::<Network>("w").get("n").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "region `fsn1` offers no provider seca.network/v1; choose another region, or another server"
    );
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_unknown_region_is_the_servers_own_problem() {
    let server = Server::start(|_, _| problem(404, "there is no region `nowhere`")).await;
    let error = SecaClient::connect(&server.url, "acme", "nowhere", None).await.unwrap_err();
    assert!(error.is_not_found());
    let expect = "GET /providers/seca.region/v1/regions/nowhere: 404 Title: there is no region `nowhere`";
    assert_eq!(error.to_string(), expect);
    assert_eq!(server.journal()[0].header("authorization"), None);
}

#[tokio::test]
async fn names_are_encoded_segment_by_segment() {
    let (server, client) = connect(|_, _| problem(404, "no")).await;
    assert!(client.block_storages("a/b").find("../x y%").await.unwrap().is_none());
    let expect = "GET /providers/seca.storage/v1/tenants/acme/workspaces/a%2Fb/block-storages/..%2Fx%20y%25";
    assert_eq!(server.lines()[1], expect);
    for climbing in ["..", ".", ""] {
        assert!(matches!(client.workspaces().delete(climbing).await, Err(Error::Name(..))), "{climbing}");
    }
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_write_sends_the_draft_and_the_version() {
    let (server, client) = connect(|asked, _| match asked.header("if-unmodified-since") {
        None => (201, disk("pending", &[])),
        Some("3") => (200, disk("active", &[])),
        Some(_) => problem(412, "the version is 3"),
    })
    .await;
    let disks = client.block_storages("w");
    disks.put("d", spec()).await.unwrap();
    let written = disks.put_if("d", Draft::new(spec()).label("env", "dev"), 3).await.unwrap();
    assert_eq!(written.metadata.resource_version, Some(3));
    assert!(disks.put_if("d", spec(), 2).await.unwrap_err().is_stale());
    assert!(disks.delete_if("d", 2).await.unwrap_err().is_stale());
    let journal = server.journal();
    assert_eq!(journal[1].body, json!({"spec": {"skuRef": {"resource": "skus/s"}, "sizeGB": 10}}));
    assert_eq!(journal[1].header("content-type"), Some("application/json"));
    assert_eq!(journal[2].body["labels"], json!({"env": "dev"}));
}

#[tokio::test]
async fn actions_and_deletes_have_no_body() {
    let (server, client) = connect(|asked, before| match asked.line.split(' ').next() {
        Some("DELETE") if before > 0 => problem(404, "gone"),
        _ => (202, Value::Null),
    })
    .await;
    let instances = client.instances("w");
    instances.start("i").await.unwrap();
    instances.stop("i").await.unwrap();
    instances.restart("i").await.unwrap();
    assert!(instances.delete("i").await.unwrap());
    assert!(!instances.delete("i").await.unwrap());
    let path = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/i";
    assert_eq!(
        server.lines()[1..5],
        [
            format!("POST {path}/start"),
            format!("POST {path}/stop"),
            format!("POST {path}/restart"),
            format!("DELETE {path}"),
        ]
    );
}

#[tokio::test]
async fn a_list_follows_its_tokens_to_the_end() {
    let page = |names: &[&str], token: Value| {
        let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}, "spec": {}})).collect();
        (200, json!({"items": items, "metadata": {"skipToken": token}}))
    };
    let (server, client) = connect(move |asked, _| match asked.line.split_once("workspaces").unwrap().1 {
        "" | "?labels=env%3Dprod%2Ctier%3E%3D2&limit=2" => page(&["a", "b"], json!("x/1")),
        "?skipToken=x%2F1" | "?labels=env%3Dprod%2Ctier%3E%3D2&limit=2&skipToken=x%2F1" => page(&["c"], json!("y")),
        _ => page(&["d"], json!("")),
    })
    .await;
    let names =
        |list: Vec<seca_client::seca_api::Workspace>| list.into_iter().map(|w| w.metadata.name).collect::<String>();
    assert_eq!(names(client.workspaces().list().await.unwrap()), "abcd");
    let query = ListQuery { labels: Some(Selector::parse("env=prod,tier>=2").unwrap()), page_size: Some(2) };
    assert_eq!(names(client.workspaces().query(&query).await.unwrap()), "abcd");
    assert_eq!(server.lines().len(), 7);
}

#[tokio::test]
async fn a_list_that_does_not_end_is_an_error() {
    let (_server, client) = connect(|_, _| (200, json!({"items": [], "metadata": {"skipToken": "x"}}))).await;
    assert!(matches!(client.workspaces().list().await, Err(Error::EndlessList { .. })));
    let item = json!({"metadata": {}, "spec": null});
    let (_server, client) = connect(move |_, _| (200, json!({"items": [item], "metadata": {"skipToken": "x"}}))).await;
    assert!(matches!(client.workspaces().list().await, Err(Error::EndlessList { .. })));
}

#[tokio::test]
async fn refusals_carry_the_problem_document() {
    let (_server, client) = connect(|_, _| problem(422, "zone is missing")).await;
    let error = client.workspaces().put("w", WorkspaceSpec::default()).await.unwrap_err();
    assert_eq!((error.status(), error.is_transient()), (Some(422), false));
    assert_eq!(error.problem().unwrap().sources[0].pointer, "/spec/zone");
}

#[tokio::test]
async fn a_404_of_something_on_the_way_is_not_gone() {
    let (_server, client) = connect(|_, _| (404, json!("nginx"))).await;
    let error = client.workspaces().find("w").await.unwrap_err();
    assert!(matches!(&error, Error::Unexpected { status: 404, .. }), "{error:?}");
    assert!(client.workspaces().wait_gone("w", soon()).await.is_err());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_says_where() {
    let (_server, client) = connect(|_, _| (200, json!({"spec": {"sizeGB": "ten"}}))).await;
    let error = client.block_storages("w").get("d").await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = SecaClient::connect(&format!("http://{free}"), "t", "r", None).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn waiting_tells_every_condition_once_and_rides_out_what_passes() {
    let pending = ("pending", "00", "");
    let creating = ("creating", "01", "starting");
    let waiting = ("creating", "01", "waiting for capacity");
    let active = ("active", "05", "");
    let answers = [
        (200, disk("pending", &[pending])),
        (503, json!({"title": "Service Unavailable", "detail": "x"})),
        (200, disk("creating", &[creating, pending])),
        (200, disk("creating", &[waiting, pending])),
        (429, json!("slow down")),
        (200, disk("creating", &[waiting, pending])),
        (200, disk("active", &[active, waiting, pending])),
    ];
    let (server, client) = connect(move |_, before| answers[before].clone()).await;
    let told = Mutex::new(Vec::new());
    let wait = soon().on_progress(|condition| {
        told.lock().unwrap().push(format!("{} {}", condition.state, condition.message.as_deref().unwrap_or_default()));
    });
    let disk = client.block_storages("w").wait_active("d", wait).await.unwrap();
    assert_eq!(disk.state(), Some(ResourceState::Active));
    assert_eq!(*told.lock().unwrap(), ["pending ", "creating starting", "creating waiting for capacity", "active "]);
    assert_eq!(waits(&server)[..2], [Some(0), Some(5)]);
}

#[tokio::test]
async fn conditions_that_came_and_went_between_answers_are_told_oldest_first() {
    let all = [
        ("active", "09", ""),
        ("updating", "08", ""),
        ("active", "02", ""),
        ("creating", "01", ""),
        ("pending", "00", ""),
    ];
    let answers = [disk("creating", &all[3..]), disk("active", &all)];
    let (_server, client) = connect(move |_, before| (200, answers[before].clone())).await;
    let mut told = Vec::new();
    let wait = soon().on_progress(|condition| told.push(condition.state.as_str()));
    client.block_storages("w").wait_active("d", wait).await.unwrap();
    assert_eq!(told, ["pending", "creating", "active", "updating", "active"]);
}

#[tokio::test]
async fn waiting_for_active_ends_at_an_error_with_its_reason() {
    let (_server, client) = connect(|_, _| (200, disk("error", &[("error", "03", "no such SKU")]))).await;
    let error = client.block_storages("w").wait_active("d", soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "block-storages/d is in the state error: error: no such SKU");
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_with_what_was_seen_last() {
    let (server, client) = connect(|_, _| (200, disk("creating", &[("creating", "01", "waiting for capacity")]))).await;
    let wait = Wait::up_to(Duration::from_millis(300)).every(Duration::from_millis(10));
    let error = client.block_storages("w").wait_gone("d", wait).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "block-storages/d was not gone after 0.3 s; last seen: creating: waiting for capacity"
    );
    // Less than a second is left: an answer that is held would come too late.
    assert!(waits(&server).iter().all(|wait| *wait == Some(0)), "{:?}", waits(&server));
}

#[tokio::test]
async fn an_answer_is_to_be_held_no_longer_than_wanted_than_is_left_and_than_half_a_minute() {
    let (wanted, plenty) = (Duration::from_secs, Duration::from_secs(600));
    let cases = [
        (Wait::up_to(plenty), 5..=5),
        (Wait::up_to(plenty).hold(wanted(120)), 30..=30),
        (Wait::up_to(plenty).hold(wanted(7)), 7..=7),
        (Wait::up_to(plenty).hold(Duration::ZERO), 0..=0),
        // A part of the second has gone by when it is asked again.
        (Wait::up_to(wanted(20)).hold(plenty), 1..=19),
    ];
    for (wait, expected) in cases {
        let (server, client) = connect(|_, before| match before {
            0 | 1 => (200, disk("creating", &[("creating", "01", "")])),
            _ => (200, disk("active", &[("active", "05", "")])),
        })
        .await;
        client.block_storages("w").wait_active("d", wait.every(Duration::from_millis(5))).await.unwrap();
        let [first, later @ ..] = &waits(&server)[..] else { panic!("nothing was asked") };
        assert_eq!(*first, Some(0), "the first answer is wanted at once");
        assert!(later.iter().all(|wait| wait.is_some_and(|wait| expected.contains(&wait))), "{expected:?}: {later:?}");
    }
}

#[tokio::test]
async fn a_read_that_is_no_waiting_asks_for_no_wait() {
    let (server, client) = connect(|_, _| (200, disk("creating", &[]))).await;
    client.block_storages("w").get("d").await.unwrap();
    assert_eq!(waits(&server), [None]);
}

#[tokio::test]
async fn waiting_for_gone_ends_at_the_404_and_for_anything_at_the_predicate() {
    let (_server, client) =
        connect(|_, before| if before < 2 { (200, disk("deleting", &[])) } else { problem(404, "gone") }).await;
    client.block_storages("w").wait_gone("d", soon()).await.unwrap();

    let (_server, client) = connect(|_, before| {
        let power = if before < 2 { "off" } else { "on" };
        let spec = json!({"skuRef": "s", "zone": "a", "bootVolume": {"deviceRef": "b"}});
        (200, json!({"metadata": {}, "spec": spec, "status": {"state": "active", "conditions": null, "powerState": power}}))
    })
    .await;
    let is_on = |instance: &Instance| {
        instance.status.as_ref().is_some_and(|status| status.power_state == seca_client::seca_api::PowerState::On)
    };
    client.instances("w").wait_until("i", soon(), is_on).await.unwrap();
    let (_server, client) = connect(|_, _| problem(403, "no")).await;
    assert_eq!(client.instances("w").wait_until("i", soon(), is_on).await.unwrap_err().status(), Some(403));
}
