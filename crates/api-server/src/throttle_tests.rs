use futures::future::join_all;
use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Ten a second and five at once, of both.
fn throttle() -> Throttle {
    Throttle::new(Rates { writes: Rate::new(10, 5), reads: Rate::new(10, 5) })
}

/// So many requests at the same time: when each was let go, in milliseconds, or the refusal's `Retry-After`.
async fn ask(
    throttle: &Throttle,
    method: Method,
    subject: &str,
    tenant: Option<&str>,
    count: usize,
) -> Vec<Result<u64, String>> {
    let (subject, tenant) = (subject.to_owned(), tenant.map(str::to_owned));
    let (drain, started) = (CancellationToken::new(), Instant::now());
    let one = async || {
        let trace = Trace::of(&http::Extensions::new());
        let admitted = throttle.admit(&method, &subject, tenant.as_ref(), &trace, &drain).await;
        match admitted {
            Ok(()) => Ok(u64::try_from(started.elapsed().as_millis()).unwrap()),
            Err(failure) => {
                let response = failure.respond("/", &trace);
                assert_eq!(response.status(), 429);
                Err(response.headers()["retry-after"].to_str().unwrap().to_owned())
            }
        }
    };
    join_all((0..count).map(|_| one())).await
}

/// Checks when so many simultaneous requests of one subject are let go: tokio's timers are a millisecond late.
#[track_caller]
fn check(answers: &[Result<u64, String>], first: usize, at: u64) {
    let waited: Vec<u64> = answers.iter().map(|answer| *answer.as_ref().unwrap()).collect();
    let late = waited[first].abs_diff(at);
    assert!(late <= 1, "the request no. {first} waited {} ms and not {at}: {waited:?}", waited[first]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_the_rest_in_turn() {
    for method in [Method::PUT, Method::DELETE, Method::POST, Method::GET] {
        let answers = ask(&throttle(), method, "a", None, 55).await;
        for (first, at) in [(0, 0), (4, 0), (5, 100), (6, 200), (14, 1000), (54, 5000)] {
            check(&answers, first, at);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_would_wait_longer_is_refused_and_a_read_waits_and_is_served() {
    let throttle = throttle();
    let writes = ask(&throttle, Method::PUT, "a", None, 60).await;
    assert_eq!(writes[54].as_ref().map(|_| ()), Ok(()));
    for refused in &writes[55..] {
        assert_eq!(refused.as_ref().unwrap_err(), "1");
    }
    let reads = ask(&throttle, Method::GET, "a", None, 60).await;
    (54..60).for_each(|read| check(&reads, read, 5000));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_when_a_write_would_be_taken() {
    let slow = Throttle::new(Rates { writes: Rate::new(1, 1), reads: None });
    let writes = ask(&slow, Method::PUT, "a", None, 6).await;
    assert!(writes.iter().all(Result::is_ok), "one at once, five in turn: {writes:?}");
    // Those five seconds have passed.
    let writes = ask(&slow, Method::PUT, "a", None, 6).await;
    assert_eq!(writes.iter().filter(|write| write.is_err()).count(), 1, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_fills_the_bucket_again_up_to_its_burst() {
    let throttle = throttle();
    ask(&throttle, Method::PUT, "a", None, 5).await;
    advance(SECOND * 60).await;
    let answers = ask(&throttle, Method::PUT, "a", None, 6).await;
    check(&answers, 4, 0);
    check(&answers, 5, 100);
}

#[tokio::test(start_paused = true)]
async fn subjects_do_not_feel_each_other_until_their_tenant_is_over_ten_times_as_much() {
    let throttle = throttle();
    assert!(ask(&throttle, Method::PUT, "a", Some("t"), 60).await[59].is_err());
    check(&ask(&throttle, Method::PUT, "b", Some("t"), 1).await, 0, 0);
    advance(SECOND * 60).await;
    for subject in 0..10 {
        check(&ask(&throttle, Method::PUT, &subject.to_string(), Some("t"), 5).await, 4, 0);
    }
    // The tenant's 50 are gone; 100 a second come.
    check(&ask(&throttle, Method::PUT, "c", Some("t"), 1).await, 0, 10);
    check(&ask(&throttle, Method::PUT, "d", Some("another"), 1).await, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_have_their_own_buckets_and_none_is_no_limit() {
    let both = throttle();
    ask(&both, Method::PUT, "a", None, 5).await;
    check(&ask(&both, Method::GET, "a", None, 5).await, 4, 0);
    let none = Throttle::new(Rates { writes: None, reads: None });
    check(&ask(&none, Method::PUT, "a", Some("t"), 10_000).await, 9_999, 0);
    assert_eq!(none.buckets().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_idle_is_forgotten() {
    let throttle = throttle();
    let known = || throttle.buckets().map(|buckets| buckets.limiter.len()).sum::<usize>();
    for subject in 0..100 {
        ask(&throttle, Method::PUT, &subject.to_string(), Some("t"), 1).await;
    }
    assert_eq!(known(), 101);
    advance(SWEEP).await;
    ask(&throttle, Method::PUT, "another", Some("t"), 1).await;
    assert_eq!(known(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait() {
    let throttle = Throttle::new(Rates { writes: Rate::new(1000, 1), reads: Rate::new(1000, 1) });
    let writes = ask(&throttle, Method::PUT, "a", None, WAITERS + 2).await;
    assert_eq!(writes[WAITERS].as_ref().map(|_| ()), Ok(()), "one at once, the others wait");
    assert!(writes[WAITERS + 1].is_err());
    let reads = ask(&throttle, Method::GET, "a", None, WAITERS + 2).await;
    check(&reads, WAITERS + 1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_everybody_go_and_the_wait_is_held_time() {
    let throttle = throttle();
    let (subject, drain) = ("a".to_owned(), CancellationToken::new());
    let started = Instant::now();
    let waiting = (0..6).map(async |_| {
        let trace = Trace::of(&http::Extensions::new());
        throttle.admit(&Method::PUT, &subject, None, &trace, &drain).await.unwrap();
    });
    drain.cancel();
    join_all(waiting).await;
    assert!(started.elapsed() < Duration::from_millis(100));
}
