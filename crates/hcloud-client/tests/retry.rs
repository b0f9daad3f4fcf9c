//! What is repeated, what never is, and how lists are read.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use hcloud_client::types::{CreateVolume, Id};
use hcloud_client::{
    ApiResponse, Error, ErrorClass, ListFilter, Priority, RetryPolicy, TransportError, TransportErrorKind,
};
use serde_json::json;
use support::{Scripted, bare, client, error, ok, reply, volume, volume_list};

type Reply = Result<ApiResponse, TransportError>;

fn broken(kind: TransportErrorKind) -> Reply {
    Err(TransportError::new(kind, "for a test"))
}

/// Each failure, and whether a read that meets it is repeated.
fn failures() -> Vec<(&'static str, Reply, bool)> {
    use TransportErrorKind::{Broken, NotSent, Timeout};
    vec![
        ("timed out", broken(Timeout), true),
        ("connection reset", broken(Broken), true),
        ("no connection", broken(NotSent), true),
        ("502 of a proxy", bare(502), true),
        ("504 of a proxy", bare(504), true),
        ("bad_gateway", error(502, "bad_gateway"), true),
        ("timeout", error(504, "timeout"), true),
        ("server_error", error(500, "server_error"), true),
        ("unavailable", error(503, "unavailable"), false),
        ("maintenance", error(403, "maintenance"), false),
        ("conflict", error(409, "conflict"), false),
        ("locked", error(423, "locked"), false),
        ("not_found", error(404, "not_found"), false),
        ("unauthorized", error(401, "unauthorized"), false),
    ]
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_when_they_fail_in_passing() {
    for (name, failure, repeated) in failures() {
        let api = Scripted::replies(vec![failure, ok(&json!({"volume": volume(1)}))]);
        let result = client(Arc::<Scripted>::clone(&api)).get_volume(Id::new(1)).await;
        assert_eq!(result.is_ok(), repeated, "{name}");
        assert_eq!(api.count(), if repeated { 2 } else { 1 }, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_give_up_after_five_tries_with_doubled_delays() {
    let api = Scripted::replies(vec![bare(502)]);
    let error = client(Arc::<Scripted>::clone(&api)).get_volume(Id::new(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Retry);
    let times = api.times();
    let delays: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    // The dice of the tests always show one: full jitter at its longest.
    assert_eq!(delays, [1, 2, 4, 8]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_never_sent_twice_and_their_outcome_is_called_by_its_name() {
    for (name, failure, _) in failures() {
        let unknown = matches!(
            name,
            "timed out"
                | "connection reset"
                | "502 of a proxy"
                | "504 of a proxy"
                | "bad_gateway"
                | "timeout"
                | "server_error"
                | "unavailable"
        );
        for delete in [false, true] {
            let api = Scripted::replies(vec![failure.clone()]);
            let client = client(Arc::<Scripted>::clone(&api));
            let error = match delete {
                true => client.delete_volume(Id::new(1)).await.unwrap_err(),
                false => client.create_volume(&CreateVolume::default()).await.unwrap_err(),
            };
            assert_eq!(api.count(), 1, "{name}");
            assert_eq!(error.outcome_unknown(), unknown, "{name}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_answers_with_nonsense_has_an_unknown_outcome() {
    for body in [json!({}), json!({"volume": {"id": "x"}}), json!([])] {
        let api = Scripted::replies(vec![reply(201, &body)]);
        let error = client(api).create_volume(&CreateVolume::default()).await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{error}");
        assert!(error.outcome_unknown(), "{error}");
    }
    let api = Scripted::replies(vec![ok(&json!({}))]);
    let error = client(api).get_volume(Id::new(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Bug);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_all_pages_and_each_resource_once() {
    let pages = vec![
        ok(&volume_list(&[1, 2], Some(2))),
        // 2 again: it moved to the next page because something before it was made meanwhile.
        ok(&volume_list(&[2, 3], Some(3))),
        ok(&volume_list(&[4], None)),
    ];
    let api = Scripted::replies(pages);
    let filter = ListFilter { name: Some("n".to_owned()), label_selector: Some("a in (b,c)".to_owned()) };
    let volumes = client(Arc::<Scripted>::clone(&api)).list_volumes(&filter).await.unwrap();
    let ids: Vec<i64> = volumes.iter().map(|volume| volume.id.get()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let requests = api.requests.lock().unwrap();
    let url = requests[2].1.url().unwrap();
    assert_eq!(
        url.as_str(),
        "http://localhost:1/v1/volumes?name=n&label_selector=a+in+%28b%2Cc%29&sort=id%3Aasc&page=3&per_page=50"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_that_the_first_one_tells_of_are_read_side_by_side() {
    let api = Scripted::new(|request, _| {
        let page: i64 = request.query.iter().find(|(name, _)| name == "page").unwrap().1.parse().unwrap();
        async move {
            // The later a page, the sooner it comes. There were 20, and one was made meanwhile.
            tokio::time::sleep(std::time::Duration::from_millis(100 - u64::try_from(page).unwrap())).await;
            let mut list = volume_list(&[page], u64::try_from(page + 1).ok().filter(|next| *next <= 21));
            list["meta"]["pagination"]["last_page"] = json!(20);
            ok(&list)
        }
    });
    let begun = tokio::time::Instant::now();
    let volumes = client(Arc::<Scripted>::clone(&api)).list_volumes(&ListFilter::all()).await.unwrap();
    let ids: Vec<i64> = volumes.iter().map(|volume| volume.id.get()).collect();
    assert_eq!((ids, api.count()), ((1..=21).collect(), 21));
    assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_list_ends_after_a_thousand_pages() {
    // One that never ends, and one that ends just in time.
    for (pages, is_read) in [(u64::MAX, false), (1001, false), (1000, true)] {
        let api = Scripted::new(move |request, _| {
            let page: u64 = request.query.iter().find(|(name, _)| name == "page").unwrap().1.parse().unwrap();
            async move { ok(&volume_list(&[i64::try_from(page).unwrap()], (page < pages).then_some(page + 1))) }
        });
        let result = client(Arc::<Scripted>::clone(&api)).at(Priority::Delete).list_volumes(&ListFilter::all()).await;
        assert_eq!((result.is_ok(), api.count()), (is_read, 1000), "{pages}");
        if let Err(error) = result {
            assert_eq!(error.class(), ErrorClass::ProviderDown);
            assert_eq!(
                error.to_string(),
                "GET /volumes: the provider's list has more than 1000 pages, the most that are read of one"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_the_client_does_not_know_breaks_no_list() {
    let mut tomorrow = volume(1);
    tomorrow["status"] = json!("levitating");
    tomorrow["new_field"] = json!({"deep": [1.5]});
    tomorrow["size"] = json!(10.0);
    let api = Scripted::replies(vec![ok(&json!({"volumes": [tomorrow]}))]);
    let volumes = client(api).list_volumes(&ListFilter::all()).await.unwrap();
    assert_eq!(volumes[0].status.as_str(), "levitating");
    assert_eq!(volumes[0].size, 10);
}

#[test]
fn delays_double_up_to_the_cap_and_are_drawn_from_zero_up() {
    let policy = RetryPolicy::default();
    for (failures, random, seconds) in
        [(1, 1.0, 1.0), (1, 0.5, 0.5), (1, 0.0, 0.0), (2, 1.0, 2.0), (7, 1.0, 60.0), (4_000_000_000, 1.0, 60.0)]
    {
        assert_eq!(policy.delay(failures, random), Duration::from_secs_f64(seconds));
    }
}
