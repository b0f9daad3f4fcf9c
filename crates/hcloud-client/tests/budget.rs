//! The rate budget against a provider that keeps a real token bucket, under paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use hcloud_client::types::{CreateVolume, Id};
use hcloud_client::{Error, ErrorClass, ListFilter, Priority, ProjectClient, RateBudget, RetryPolicy};
use serde_json::json;
use support::{EPOCH, Scripted, access, client, error, hcloud, ok, volume, with_headers};
use tokio::time::Instant;

/// The provider's bucket.
struct Bucket {
    limit: f64,
    per_second: f64,
    tokens: f64,
    as_of: Instant,
    refusals: usize,
}

impl Bucket {
    fn new(limit: f64, per_second: f64, tokens: f64) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { limit, per_second, tokens, as_of: Instant::now(), refusals: 0 }))
    }

    /// Takes a token if there is one: (allowed, remaining, seconds until full).
    fn take(&mut self) -> (bool, f64, f64) {
        let now = Instant::now();
        let refilled = (now - self.as_of).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + refilled).min(self.limit);
        self.as_of = now;
        let allowed = self.tokens >= 1.0;
        match allowed {
            true => self.tokens -= 1.0,
            false => self.refusals += 1,
        }
        (allowed, self.tokens, (self.limit - self.tokens) / self.per_second)
    }
}

/// A provider that meters, and takes its time to answer.
fn metered(bucket: &Arc<Mutex<Bucket>>, latency: Duration) -> Arc<Scripted> {
    let begin = Instant::now();
    let bucket = Arc::clone(bucket);
    Scripted::new(move |request, _| {
        let bucket = Arc::clone(&bucket);
        async move {
            tokio::time::sleep(latency / 2).await;
            let (allowed, remaining, until_full) = bucket.lock().unwrap().take();
            let now = (EPOCH + begin.elapsed()).as_secs_f64();
            let limit = bucket.lock().unwrap().limit;
            tokio::time::sleep(latency / 2).await;
            let reply = match (allowed, request.method.as_str()) {
                (false, _) => error(429, "rate_limit_exceeded"),
                (true, "GET") if request.path.ends_with("volumes") => ok(&json!({"volumes": []})),
                (true, "GET") if request.path == "/actions" => ok(&json!({"actions": []})),
                (true, "DELETE") => ok(&json!({})),
                (true, _) => ok(&json!({"volume": volume(1)})),
            };
            with_headers(reply, limit, remaining, now + until_full)
        }
    })
}

async fn call(client: &ProjectClient, priority: Priority) {
    match priority {
        Priority::Delete => client.delete_volume(Id::new(1)).await.unwrap(),
        Priority::Mutation => drop(client.get_volume(Id::new(1)).await.unwrap()),
        Priority::ActionPoll => drop(client.actions(&[Id::new(1)]).await.unwrap()),
        Priority::Resync => drop(client.list_volumes(&ListFilter::all()).await.unwrap()),
    }
}

/// A client whose changes wait for the budget as long as it takes.
fn patient(api: Arc<Scripted>) -> ProjectClient {
    hcloud(api).with_patience(Duration::from_secs(3600)).project(access("p"))
}

async fn change(client: &ProjectClient) -> Result<(), Error> {
    let volume: CreateVolume = serde_json::from_value(json!({
        "name": "v", "size": 10, "location": "fsn1", "automount": false, "labels": {}
    }))
    .unwrap();
    client.create_volume(&volume).await.map(drop)
}

const CLASSES: [Priority; 4] = [Priority::Resync, Priority::ActionPoll, Priority::Mutation, Priority::Delete];

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_for_fifty_tokens_meet_no_429_and_go_by_priority() {
    let bucket = Bucket::new(600.0, 600.0 / 3600.0, 50.0);
    let api = metered(&bucket, Duration::from_millis(80));
    let client = client(Arc::<Scripted>::clone(&api));
    // A first answer tells the budget; what follows waits in the queue together.
    call(&client, Priority::Delete).await;
    let calls = (0..100).map(|nth| {
        let client = client.clone();
        async move {
            let priority = CLASSES[nth % 4];
            call(&client, priority).await;
            priority
        }
    });
    let finished = Arc::new(Mutex::new(Vec::new()));
    join_all(calls.map(|call| {
        let finished = Arc::clone(&finished);
        async move {
            let priority = call.await;
            finished.lock().unwrap().push(priority);
        }
    }))
    .await;

    assert_eq!(bucket.lock().unwrap().refusals, 0);
    assert_eq!(api.count(), 101);
    let finished = finished.lock().unwrap();
    assert_eq!(finished.len(), 100);
    assert!(finished.is_sorted(), "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cold_burst_probes_before_it_runs() {
    let bucket = Bucket::new(3600.0, 1.0, 10.0);
    let api = metered(&bucket, Duration::from_millis(80));
    let client = patient(Arc::<Scripted>::clone(&api));
    join_all((0..40).map(|_| call(&client, Priority::Delete))).await;
    assert_eq!(bucket.lock().unwrap().refusals, 0);
    // The second request left only after the first was answered.
    let times = api.times();
    assert!(times[1] - times[0] >= Duration::from_millis(80));
}

#[tokio::test(start_paused = true)]
async fn a_refill_faster_than_the_limit_says_is_learned_from_the_reset() {
    // A simulator that scales time by a hundred: 3600 an hour comes back at 100 a second.
    let bucket = Bucket::new(3600.0, 100.0, 400.0);
    let api = metered(&bucket, Duration::from_millis(4));
    let client = client(Arc::<Scripted>::clone(&api));
    let begin = Instant::now();
    join_all((0..1000).map(|_| call(&client, Priority::Mutation))).await;
    assert_eq!(bucket.lock().unwrap().refusals, 0);
    assert!(client.budget().snapshot().refill_per_second > 50.0);
    // 960 tokens to come at 100 a second; at one a second it would be a quarter of an hour.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_larger_limit_is_taken_from_the_header() {
    let bucket = Bucket::new(7200.0, 2.0, 7200.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = client(api);
    assert!(!client.budget().snapshot().probed);
    call(&client, Priority::Resync).await;
    let snapshot = client.budget().snapshot();
    assert!(snapshot.probed);
    assert_eq!((snapshot.limit, snapshot.remaining, snapshot.refill_per_second), (7200.0, 7199.0, 2.0));
}

#[tokio::test(start_paused = true)]
async fn tokens_spent_by_others_are_noticed() {
    let bucket = Bucket::new(3600.0, 1.0, 3600.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = client(api);
    call(&client, Priority::Resync).await;
    bucket.lock().unwrap().tokens = 5.0;
    call(&client, Priority::Resync).await;
    assert_eq!(client.budget().snapshot().remaining, 4.0);
    assert!(client.budget().is_low());
}

#[tokio::test(start_paused = true)]
async fn the_last_tenth_is_for_deletions() {
    let bucket = Bucket::new(3600.0, 1.0, 300.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = client(api);
    call(&client, Priority::Delete).await;
    let begin = Instant::now();
    call(&client, Priority::Delete).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    call(&client, Priority::Mutation).await;
    // 298 left, 361 needed: one must be left above the reserve of 360.
    assert_eq!(begin.elapsed().as_secs(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_abandoned_leaves_no_trace() {
    let bucket = Bucket::new(600.0, 1.0 / 6.0, 2.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = patient(api);
    call(&client, Priority::Delete).await;
    call(&client, Priority::Delete).await;
    let waiting = call(&client, Priority::Delete);
    tokio::time::timeout(Duration::from_millis(10), waiting).await.expect_err("no token yet");
    let snapshot = client.budget().snapshot();
    assert_eq!((snapshot.waiting, snapshot.in_flight), (0, 0));
    // Nobody blocks the next one.
    call(&client, Priority::Delete).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_without_room_in_the_budget_is_given_back_unsent_with_the_time_to_come_back() {
    // Of 3600 the last 360 are for deletions: 98 left, so that 263 must come back, one a second.
    let bucket = Bucket::new(3600.0, 1.0, 100.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = client(Arc::<Scripted>::clone(&api));
    call(&client, Priority::Delete).await;
    let begin = Instant::now();
    let error = change(&client).await.unwrap_err();

    assert_eq!(begin.elapsed(), Duration::ZERO, "nothing is gained by waiting");
    assert_eq!(api.count(), 1, "nothing was sent");
    let ErrorClass::RateLimited { retry_after } = error.class() else { panic!("{error}") };
    // 262 s, and up to a quarter more so that not all come back at once (the dice show the highest).
    assert_eq!(retry_after.as_secs(), 262 + 65);
    assert!(matches!(error, Error::Throttled { .. }) && !error.outcome_unknown() && error.code().is_none());
    assert!(error.to_string().contains("not sent"), "{error}");
    assert_eq!(client.budget().snapshot().waiting, 0);
    // Deletions go on, and reads wait for as long as it takes.
    call(&client, Priority::Delete).await;
    call(&client, Priority::Mutation).await;
    assert!(begin.elapsed() > Duration::from_secs(260), "{:?}", begin.elapsed());
    assert_eq!(bucket.lock().unwrap().refusals, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_a_permit_that_comes_soon_and_those_behind_it_are_given_back() {
    let bucket = Bucket::new(3600.0, 1.0, 360.0);
    let api = metered(&bucket, Duration::ZERO);
    let client = client(Arc::<Scripted>::clone(&api));
    call(&client, Priority::Delete).await;
    let begin = Instant::now();
    let outcomes = join_all((0..20).map(|_| change(&client))).await;
    assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((2..=5).contains(&done), "{done} of 20");
    let unsent = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Throttled { .. }))).count();
    assert_eq!((done + unsent, api.count()), (20, 1 + done));
    assert_eq!(bucket.lock().unwrap().refusals, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_probe_holds_a_change_no_longer_than_its_patience() {
    let bucket = Bucket::new(3600.0, 1.0, 3600.0);
    let client = client(metered(&bucket, Duration::from_secs(20)));
    let begin = Instant::now();
    let (_, second) = tokio::join!(change(&client), async {
        let outcome = change(&client).await;
        (outcome, begin.elapsed())
    });
    assert!(matches!(second, (Err(Error::Throttled { .. }), waited) if waited.as_secs() == 5), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_429_is_believed_in_its_headers_and_pauses_at_least_a_second() {
    let now = EPOCH.as_secs_f64();
    // what the refusal says: remaining, seconds until full, Retry-After; then how long until the change is sent again
    let table = [
        (Some((3000.0, 600.0)), None, 1000..1100),
        (Some((3000.0, 600.0)), Some("3"), 3000..3100),
        (Some((3000.0, 600.0)), Some("0"), 1000..1100),
        // Nothing left, but all of it is back in 36 s: the reserve is full again after 3.7 s.
        (Some((0.0, 36.0)), None, 3600..3900),
        // No headers: what was known of the bucket holds.
        (None, None, 1000..1100),
    ];
    for (headers, retry_after, expected) in table {
        let mut refusal = error(429, "rate_limit_exceeded");
        if let Some((remaining, full)) = headers {
            refusal = with_headers(refusal, 3600.0, remaining, now + full);
        }
        if let Some(text) = retry_after {
            refusal.as_mut().unwrap().headers.insert("retry-after", text.parse().unwrap());
        }
        let api = Scripted::replies(vec![refusal, ok(&json!({"volume": volume(1)}))]);
        change(&client(Arc::<Scripted>::clone(&api))).await.unwrap();
        let times = api.times();
        let paused = (times[1] - times[0]).as_millis();
        assert!(expected.contains(&paused), "{headers:?}, Retry-After {retry_after:?}: {paused} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_more_than_ten_minutes_is_a_fault_of_the_provider_and_not_believed() {
    for (asked, believed, is_named) in [
        ("600", 600, false),
        ("601", 600, true),
        ("86400", 600, true),
        ("4294967296", 600, true),
        ("99999999999999999999999", 600, true),
        // No number of seconds: as if nothing was asked.
        ("-5", 1, false),
        ("1e9", 1, false),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 1, false),
    ] {
        let mut refusal = error(429, "rate_limit_exceeded");
        refusal.as_mut().unwrap().headers.insert("retry-after", asked.parse().unwrap());
        let api = Scripted::replies(vec![refusal]);
        let once = RetryPolicy { tries: 1, ..RetryPolicy::default() };
        let client = hcloud(Arc::<Scripted>::clone(&api)).with_retry(once).project(access("p"));
        let error = client.get_volume(Id::new(1)).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::RateLimited { retry_after: Duration::from_secs(believed) }, "{asked}");
        let sentence = "and 10 minutes are the most that is believed";
        assert_eq!(error.to_string().contains(sentence), is_named, "{error}");
        let begin = Instant::now();
        client.get_volume(Id::new(1)).await.unwrap_err();
        assert_eq!(begin.elapsed().as_secs(), believed, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_no_numbers_of_requests_are_ignored() {
    for (limit, remaining) in
        [("inf", "5"), ("inf", "inf"), ("1e300", "0"), ("NaN", "NaN"), ("3600", "NaN"), ("-1", "0")]
    {
        let mut answer = ok(&json!({"volume": volume(1)}));
        let headers = &mut answer.as_mut().unwrap().headers;
        headers.insert("ratelimit-limit", limit.parse().unwrap());
        headers.insert("ratelimit-remaining", remaining.parse().unwrap());
        headers.insert("ratelimit-reset", "inf".parse().unwrap());
        let client = client(Scripted::replies(vec![answer]));
        change(&client).await.unwrap();
        change(&client).await.unwrap();
        let budget = client.budget().snapshot();
        assert_eq!((budget.limit, budget.remaining), (3600.0, 3598.0), "{limit} {remaining}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_that_leaves_nothing_gives_the_change_back() {
    let refusal = with_headers(error(429, "rate_limit_exceeded"), 3600.0, 0.0, EPOCH.as_secs_f64() + 3600.0);
    let api = Scripted::replies(vec![refusal]);
    let error = change(&client(Arc::<Scripted>::clone(&api))).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { after, .. } if after > Duration::from_secs(300)), "{error}");
    assert_eq!(api.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_429_without_headers_pauses_and_the_call_waits_instead_of_failing() {
    let api = Scripted::replies(vec![error(429, "rate_limit_exceeded"), ok(&json!({"volume": volume(1)}))]);
    let client = client(Arc::<Scripted>::clone(&api));
    client.at(Priority::Delete).get_volume(Id::new(1)).await.unwrap();
    let times = api.times();
    assert!(times[1] - times[0] >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_keeps_refusing_is_reported_with_the_time_to_come_back() {
    let api = Scripted::replies(vec![error(429, "rate_limit_exceeded")]);
    let client = client(Arc::<Scripted>::clone(&api)).at(Priority::Delete);
    let error = client.delete_volume(Id::new(1)).await.unwrap_err();
    let ErrorClass::RateLimited { retry_after } = error.class() else {
        panic!("{error}");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    assert!(!error.outcome_unknown());
    assert_eq!(api.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn budgets_belong_to_projects_not_to_tokens() {
    let bucket = Bucket::new(3600.0, 1.0, 1000.0);
    let hcloud = hcloud(metered(&bucket, Duration::ZERO));
    call(&hcloud.project(access("a")), Priority::Resync).await;
    let mut rotated = access("a");
    rotated.token = "another".to_owned().into();
    assert_eq!(hcloud.project(rotated).budget().snapshot().remaining, 999.0);
    assert_eq!(hcloud.budget("b"), None, "nobody asked for it yet");
    assert_eq!(hcloud.project(access("b")).budget().snapshot().remaining, 3600.0);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_count_as_not_yet_metered_and_overlapping_answers_raise_nothing() {
    let answer = |remaining| with_headers(ok(&json!({})), 3600.0, remaining, 0.0).unwrap().headers;
    let now = time::OffsetDateTime::UNIX_EPOCH;
    let budget = RateBudget::new();
    let probe = budget.acquire(Priority::Delete).await;
    probe.answered(&answer(1000.0), now);
    let first = budget.acquire(Priority::Delete).await;
    let second = budget.acquire(Priority::Delete).await;
    let third = budget.acquire(Priority::Delete).await;
    // Somebody else spent most of it: 5 are left, and two of ours may not be counted yet.
    first.answered(&answer(5.0), now);
    assert_eq!(budget.snapshot().remaining, 3.0);
    // A late answer of a better time is not believed.
    second.answered(&answer(900.0), now);
    assert_eq!(budget.snapshot().remaining, 3.0);
    drop(third);
    // Alone again: the answer is exact, up as well as down.
    let alone = budget.acquire(Priority::Delete).await;
    alone.answered(&answer(700.0), now);
    assert_eq!(budget.snapshot().remaining, 700.0);
}
