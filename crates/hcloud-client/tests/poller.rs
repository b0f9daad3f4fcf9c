//! The action poller under paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use hcloud_client::types::{Action, ActionStatus, Id};
use hcloud_client::{Error, ErrorClass, ProjectClient};
use serde_json::json;
use support::{Scripted, action, client, error, ok, with_headers};
use time::OffsetDateTime;
use tokio::time::Instant;

/// A provider whose actions end after a given time from the test's start; `None` never lists it.
fn provider(ends: HashMap<i64, Option<Duration>>) -> Arc<Scripted> {
    let begin = Instant::now();
    Scripted::new(move |request, _| {
        let actions: Vec<_> = request
            .query
            .iter()
            .filter_map(|(_, id)| {
                let id: i64 = id.parse().unwrap();
                let end = ends.get(&id).copied().flatten()?;
                let status = if begin.elapsed() >= end { "success" } else { "running" };
                Some(action(id, "create_server", status))
            })
            .collect();
        async move { ok(&json!({"actions": actions})) }
    })
}

fn accepted(id: i64, command: &str) -> Action {
    serde_json::from_value(action(id, command, "running")).unwrap()
}

fn millis(times: &[Instant], begin: Instant) -> Vec<u128> {
    times.iter().map(|at| (*at - begin).as_millis()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_action_is_polled_until_it_ends_first_after_a_quarter_second() {
    let begin = Instant::now();
    let api = provider([(1, Some(Duration::from_secs(3)))].into());
    let client = client(Arc::<Scripted>::clone(&api));
    let ended = client.wait(&accepted(1, "create_server")).await.unwrap();
    assert_eq!(ended.status, ActionStatus::Success);
    let times = millis(&api.times(), begin);
    assert_eq!(times[0], 250);
    assert!(times.len() < 9, "{times:?}");
    assert!(begin.elapsed() <= Duration::from_secs(4));
    assert_eq!(client.poller().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_came_back_ended_is_not_polled() {
    let api = provider(HashMap::new());
    let client = client(Arc::<Scripted>::clone(&api));
    let done: Action = serde_json::from_value(action(1, "x", "error")).unwrap();
    assert_eq!(client.wait(&done).await.unwrap().status, ActionStatus::Error);
    assert_eq!(api.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_waiters_share_calls_of_twenty_five_ids() {
    let api = provider((1..=60).map(|id| (id, Some(Duration::from_millis(200)))).collect());
    let client = client(Arc::<Scripted>::clone(&api));
    // Let the budget learn that the provider answers, so that calls may go together.
    client.actions(&[Id::new(1)]).await.unwrap();
    let actions: Vec<_> = (1..=60).map(|id| accepted(id, "create_server")).collect();
    let ended = join_all(actions.iter().map(|action| client.wait(action))).await;
    assert!(ended.into_iter().all(|ended| ended.unwrap().succeeded()));
    let sizes: Vec<usize> = api.polled()[1..].iter().map(Vec::len).collect();
    assert_eq!(sizes, [25, 25, 10]);
}

#[tokio::test(start_paused = true)]
async fn two_waiters_of_one_action_cost_one_poll() {
    let api = provider([(1, Some(Duration::ZERO))].into());
    let client = client(Arc::<Scripted>::clone(&api));
    let action = accepted(1, "create_server");
    let (a, b) = tokio::join!(client.wait(&action), client.wait(&action));
    assert!(a.unwrap().succeeded() && b.unwrap().succeeded());
    assert_eq!(api.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_driving_waiter_leaves_another_takes_over() {
    let api = provider([(1, Some(Duration::from_secs(60))), (2, Some(Duration::from_secs(5)))].into());
    let client = client(api);
    let driver = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&accepted(1, "create_server")).await }
    });
    while client.poller().running() == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let client = client.clone();
        async move { client.wait(&accepted(2, "create_server")).await }
    });
    while client.poller().running() < 2 {
        tokio::task::yield_now().await;
    }
    driver.abort();
    assert!(second.await.unwrap().unwrap().succeeded());
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_not_listed_is_gone_and_harms_no_other() {
    let api = provider([(1, Some(Duration::ZERO)), (2, None)].into());
    let client = client(api);
    let (first, second) = (accepted(1, "a"), accepted(2, "a"));
    let (first, second) = tokio::join!(client.wait(&first), client.wait(&second));
    assert!(first.unwrap().succeeded());
    let error = second.unwrap_err();
    assert!(matches!(error, Error::ActionGone(id) if id == Id::new(2)));
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_poll_reaches_every_waiter_and_the_action_can_be_waited_for_again() {
    let api = Scripted::new(|_, nth| async move {
        match nth {
            0 => error(401, "unauthorized"),
            _ => ok(&json!({"actions": [action(1, "a", "success")]})),
        }
    });
    let client = client(api);
    let action = accepted(1, "a");
    let (a, b) = tokio::join!(client.wait(&action), client.wait(&action));
    assert_eq!(a.unwrap_err().class(), ErrorClass::Unauthorized);
    assert_eq!(b.unwrap_err().class(), ErrorClass::Unauthorized);
    assert!(client.wait_for_id(action.id).await.unwrap().succeeded());
}

/// Runs actions of one command one after another, each taking `latency`; the first poll learned.
async fn learned(client: &ProjectClient, runs: i64) -> Duration {
    for id in 0..runs {
        client.wait(&accepted(id, "poweron")).await.unwrap();
    }
    client.poller().first_poll("poweron")
}

/// A provider whose actions take this long from the first time it hears of them being waited for.
fn steady(latency: Duration) -> (Arc<Scripted>, Arc<Mutex<HashMap<i64, Instant>>>) {
    let begun: Arc<Mutex<HashMap<i64, Instant>>> = Arc::default();
    let known = Arc::clone(&begun);
    let api = Scripted::new(move |request, _| {
        let id: i64 = request.query[0].1.parse().unwrap();
        let begin = known.lock().unwrap()[&id];
        let status = if begin.elapsed() >= latency { "success" } else { "running" };
        async move { ok(&json!({"actions": [action(id, "poweron", status)]})) }
    });
    (api, begun)
}

#[tokio::test(start_paused = true)]
async fn the_first_poll_follows_the_commands_median() {
    for (latency, least, most) in [
        (Duration::from_secs(8), 6_000, 10_000),
        (Duration::from_secs(1), 600, 1_500),
        (Duration::from_millis(5), 20, 20),
    ] {
        let (api, begun) = steady(latency);
        let client = client(Arc::<Scripted>::clone(&api));
        for id in 0..40 {
            begun.lock().unwrap().insert(id, Instant::now());
            client.wait(&accepted(id, "poweron")).await.unwrap();
        }
        let learned = client.poller().first_poll("poweron").as_millis();
        assert!((least..=most).contains(&learned), "{latency:?} learned as {learned} ms");
        assert_eq!(client.poller().first_poll("never_seen").as_millis(), 250);
        // Once learned, an action costs a few polls and not one each half second.
        assert!(api.count() < 40 * 4, "{} polls for {latency:?}", api.count());
    }
}

#[tokio::test(start_paused = true)]
async fn three_samples_make_an_estimate() {
    let api = Scripted::new(|request, _| async move {
        let id = request.query[0].1.parse().unwrap();
        ok(&json!({"actions": [action(id, "poweron", "success")]}))
    });
    let client = client(api);
    assert_eq!(learned(&client, 2).await.as_millis(), 250);
    assert_eq!(learned(&client, 1).await.as_millis(), 150);
}

#[tokio::test(start_paused = true)]
async fn polls_slow_down_when_the_budget_is_low() {
    let mut counts = Vec::new();
    for remaining in [3000.0, 700.0] {
        let begin = Instant::now();
        let api = Scripted::new(move |_, _| {
            let status = if begin.elapsed() < Duration::from_secs(30) { "running" } else { "success" };
            let reply = ok(&json!({"actions": [action(1, "a", status)]}));
            async move { with_headers(reply, 3600.0, remaining, 0.0) }
        });
        let client = client(Arc::<Scripted>::clone(&api));
        client.wait(&accepted(1, "a")).await.unwrap();
        counts.push(api.count());
    }
    assert!(counts[1] * 3 < counts[0] * 2, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_nobody_waits() {
    let api = provider([(1, Some(Duration::from_secs(60)))].into());
    let client = client(Arc::<Scripted>::clone(&api));
    let action = accepted(1, "a");
    let wait = client.wait(&action);
    assert!(tokio::time::timeout(Duration::from_secs(2), wait).await.is_err());
    let polls = api.count();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(api.count(), polls);
    // The one that left is not asked for on behalf of the next.
    assert!(client.wait(&accepted(2, "a")).now_or_never().is_none());
    let _ = client.wait(&accepted(2, "a")).await;
    assert_eq!(api.polled().last().unwrap(), &["2"]);
}

/// How many polls an action of this command costs in each minute of its life.
async fn polls_by_minute(client: &ProjectClient, api: &Scripted, id: i64, took: Duration) -> Vec<usize> {
    let (begin, before) = (Instant::now(), api.count());
    client.wait(&accepted(id, "poweron")).await.unwrap();
    let mut minutes = vec![0; usize::try_from(took.as_secs() / 60 + 2).unwrap()];
    for at in &api.times()[before..] {
        minutes[usize::try_from((*at - begin).as_secs() / 60).unwrap()] += 1;
    }
    minutes
}

#[tokio::test(start_paused = true)]
async fn a_long_action_costs_20_requests_in_its_first_minute_and_6_in_each_after() {
    // What the command used to take; nothing is known of it with `None`.
    for usual in [None, Some(5), Some(200), Some(2_000), Some(8_000), Some(25_000), Some(50_000)] {
        let latency: Arc<Mutex<Duration>> = Arc::default();
        let begun: Arc<Mutex<Instant>> = Arc::new(Mutex::new(Instant::now()));
        let (ends, begins) = (Arc::clone(&latency), Arc::clone(&begun));
        let api = Scripted::new(move |request, _| {
            let id: i64 = request.query[0].1.parse().unwrap();
            let is_over = begins.lock().unwrap().elapsed() >= *ends.lock().unwrap();
            async move { ok(&json!({"actions": [action(id, "poweron", if is_over { "success" } else { "running" })]})) }
        });
        let client = client(Arc::<Scripted>::clone(&api));
        for id in 0..usual.map_or(0, |_| 40) {
            *latency.lock().unwrap() = Duration::from_millis(usual.unwrap());
            *begun.lock().unwrap() = Instant::now();
            client.wait(&accepted(id, "poweron")).await.unwrap();
        }
        for took in [59, 110, 119, 600] {
            let took = Duration::from_secs(took);
            *latency.lock().unwrap() = took;
            *begun.lock().unwrap() = Instant::now();
            let minutes = polls_by_minute(&client, &api, 100, took).await;
            // Beside the call that began it, and the read of its object in the last minute.
            assert!(minutes[0] <= 18, "{usual:?}: {minutes:?}");
            assert!(minutes[1..].iter().all(|polls| *polls <= 5), "{usual:?}: {minutes:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_is_overdue_after_three_times_the_commands_median_and_30_s() {
    let second = Duration::from_secs(1);
    for (usual, due) in [(None, 30), (Some(2 * second), 30), (Some(20 * second), 60)] {
        let latency = Arc::new(Mutex::new(usual.unwrap_or_default()));
        let (begun, ends) = (Arc::new(Mutex::new(Instant::now())), Arc::clone(&latency));
        let begins = Arc::clone(&begun);
        let api = Scripted::new(move |request, _| {
            let id: i64 = request.query[0].1.parse().unwrap();
            let is_over = begins.lock().unwrap().elapsed() >= *ends.lock().unwrap();
            async move { ok(&json!({"actions": [action(id, "poweron", if is_over { "success" } else { "running" })]})) }
        });
        let client = client(api);
        for id in 0..usual.map_or(0, |_| 40) {
            *begun.lock().unwrap() = Instant::now();
            client.wait(&accepted(id, "poweron")).await.unwrap();
        }
        *latency.lock().unwrap() = Duration::from_secs(1_000);
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let known = Action { started: None, ..accepted(100, "poweron") };
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.wait(&known).await }
        });
        let overdue = || client.poller().overdue(Id::new(100), now);
        tokio::time::sleep(Duration::from_secs(due) - 2 * second).await;
        assert_eq!(overdue(), None, "{usual:?}");
        tokio::time::sleep(5 * second).await;
        let told = overdue().unwrap_or_else(|| panic!("{usual:?}: not overdue"));
        assert_eq!((told.id, told.command.as_str()), (Id::new(100), "poweron"));
        let since = now - told.since;
        assert!((due..due + 5).contains(&since.whole_seconds().unsigned_abs()), "{since}");
        waiting.abort();
        assert_eq!(client.poller().overdue(Id::new(7), now), None, "nobody waits for it");
    }
}

/// After a takeover nobody remembers when an action began: the provider does.
#[tokio::test(start_paused = true)]
async fn an_action_that_was_found_later_is_as_old_as_the_provider_says() {
    let api = Scripted::new(|_, _| async move {
        let mut old = action(1, "create_image", "running");
        old["started"] = json!("1970-01-01T00:00:00Z");
        ok(&json!({"actions": [old]}))
    });
    let client = client(Arc::<Scripted>::clone(&api));
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait_for_id(Id::new(1)).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = client.poller().overdue(Id::new(1), OffsetDateTime::UNIX_EPOCH + Duration::from_secs(500)).unwrap();
    assert_eq!((told.command.as_str(), told.since), ("create_image", OffsetDateTime::UNIX_EPOCH));
    assert!(api.count() <= 6, "{} polls of an old action in a minute", api.count());
    waiting.abort();
}
