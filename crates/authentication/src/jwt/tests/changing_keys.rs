//! Keys that come and go: an issuer that rotates, fails, errs and is flooded, and a file that is changed.

use std::{
    cell::RefCell,
    fmt::{Debug, Write as _},
    sync::Once,
};

use tokio::time::advance;
use tracing::{Event, Metadata, Subscriber, field::Field, span};

use super::*;

thread_local! {
    /// The warnings and errors of this test, which has its thread to itself.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What is logged on this thread from now on.
///
/// One subscriber serves all threads. With one for each thread, a call of another test could switch a log statement off
/// for everybody: `tracing` remembers for good what the first thread that comes by says of a statement.
struct Log;

impl Log {
    fn begin() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Self).expect("the only one"));
        LINES.take();
        Self
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.target().starts_with("authentication")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| write!(line, "{field}={value:?} ").unwrap());
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Exactly these lines, each by a part of it.
#[track_caller]
fn assert_logged(_: &Log, parts: &[&str]) {
    let lines = LINES.take();
    let alike = lines.len() == parts.len() && lines.iter().zip(parts).all(|(line, part)| line.contains(part));
    assert!(alike, "{lines:#?} instead of {parts:?}");
}

/// Lets the tasks that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_for_many_and_again_when_they_are_old() {
    let (signer, answers) = (Signer::ed25519(), Arc::<Answers>::default());
    answers.then(Ok(&[signer.jwk(Some("a"))]));
    let jwt = Arc::new(remote(&answers));
    let token = signer.token(Some("a"));
    // The first requests come before the first answer, and wait for it together.
    let requests: Vec<_> = (0..50).map(|_| (Arc::clone(&jwt), token.clone())).collect();
    let results = futures::future::join_all(requests.iter().map(|(jwt, token)| jwt.verify(token))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(answers.asked(), 1);
    advance(Duration::from_secs(299)).await;
    settle().await;
    assert!(jwt.verify(&token).await.is_ok());
    assert_eq!(answers.asked(), 1);
    // A key that left the set is not honoured any more, without anybody asking for another one.
    answers.then(Ok(&[]));
    advance(Duration::from_secs(2)).await;
    settle().await;
    assert_eq!(answers.asked(), 2);
    assert_eq!(jwt.verify(&token).await, Err(Fault::UnknownKey.into()));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_seen_when_its_first_token_comes_and_both_keys_hold_meanwhile() {
    let (old, new, answers) = (Signer::ed25519(), Signer::p256(), Arc::<Answers>::default());
    answers.then(Ok(&[old.jwk(Some("old"))]));
    answers.then(Ok(&[old.jwk(Some("old")), new.jwk(Some("new"))]));
    let jwt = remote(&answers);
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok());
    advance(Duration::from_secs(11)).await;
    assert!(jwt.verify(&new.token(Some("new"))).await.is_ok());
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok());
    assert_eq!(answers.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn garbage_key_names_reach_the_issuer_once_in_ten_seconds_at_most() {
    let (signer, answers) = (Signer::ed25519(), Arc::<Answers>::default());
    answers.then(Ok(&[signer.jwk(Some("a"))]));
    let jwt = remote(&answers);
    for second in 0..30 {
        let flood = (0..100).map(|at| signer.token(Some(&format!("garbage-{second}-{at}")))).collect::<Vec<_>>();
        for result in futures::future::join_all(flood.iter().map(|token| jwt.verify(token))).await {
            assert_eq!(result, Err(Fault::UnknownKey.into()));
        }
        assert!(jwt.verify(&signer.token(Some("a"))).await.is_ok(), "others are served meanwhile");
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
    assert!(answers.asked() <= 4, "3,000 requests in 30 s asked {} times", answers.asked());
    // What could not pass anyway asks for no keys at all.
    let mut expired = good_claims();
    expired["exp"] = json!(NOW - 3600);
    let (token, asked) = (signer.sign(&json!({"alg": "EdDSA", "kid": "garbage"}), &expired), answers.asked());
    advance(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(jwt.verify(&token).await, Err(Fault::Expired.into()));
    assert!(answers.asked() <= asked + 1);
}

#[tokio::test(start_paused = true)]
async fn one_flight_serves_all_who_wait_and_survives_those_who_leave() {
    let (old, new, answers) = (Signer::ed25519(), Signer::p256(), Arc::<Answers>::default());
    answers.then(Ok(&[old.jwk(Some("old"))]));
    let jwt = Arc::new(remote(&answers));
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok());
    advance(Duration::from_secs(11)).await;
    settle().await;
    let hold = Arc::new(Notify::new());
    *answers.hold.lock().unwrap() = Some(Arc::clone(&hold));
    answers.then(Ok(&[new.jwk(Some("new"))]));
    let spawn = || {
        let (jwt, token) = (Arc::clone(&jwt), new.token(Some("new")));
        tokio::spawn(async move { jwt.verify(&token).await })
    };
    let (first, others) = (spawn(), (0..20).map(|_| spawn()).collect::<Vec<_>>());
    settle().await;
    assert_eq!(answers.asked(), 2);
    // Its client hung up: the flight goes on for the others.
    first.abort();
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok(), "the former keys hold meanwhile");
    hold.notify_one();
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(answers.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_passes_nobody_and_recovers() {
    let (signer, answers) = (Signer::ed25519(), Arc::<Answers>::default());
    let jwt = remote(&answers);
    let token = signer.token(Some("a"));
    assert_unavailable(jwt.verify(&token).await);
    assert_unavailable(jwt.verify(&token).await);
    assert_eq!(answers.asked(), 1);
    answers.then(Ok(&[signer.jwk(Some("a"))]));
    // By itself, without a request.
    advance(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(answers.asked(), 2);
    assert!(jwt.verify(&token).await.is_ok());

    // From then on a failure keeps the former keys; whether another key is good cannot be told.
    answers.then(Err("connection refused"));
    advance(Duration::from_secs(301)).await;
    settle().await;
    assert_eq!(answers.asked(), 3);
    assert!(jwt.verify(&token).await.is_ok());
    assert_unavailable(jwt.verify(&signer.token(Some("b"))).await);
    // So does an answer that is no key set.
    answers.queue.lock().unwrap().push_back(Ok(json!({"error": "maintenance"})));
    advance(Duration::from_secs(11)).await;
    settle().await;
    assert_eq!(answers.asked(), 4);
    assert!(jwt.verify(&token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_holds_nobody_for_ever() {
    let (signer, answers) = (Signer::ed25519(), Arc::<Answers>::default());
    *answers.hold.lock().unwrap() = Some(Arc::default());
    let jwt = remote(&answers);
    let began = tokio::time::Instant::now();
    assert_unavailable(jwt.verify(&signer.token(Some("a"))).await);
    assert!(began.elapsed() <= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_file_counts_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let write = |keys: &str| fs::write(folder.path().join("keys"), keys).unwrap();
    write(&json!({"keys": [old.jwk(Some("old"))]}).to_string());
    let issuer = json!({
        "name": "corp", "issuer": "https://corp.example.org", "audience": "seca", "algorithms": ["EdDSA"],
        "keys_file": "keys",
    });
    let jwt = start(&json!([issuer]), &Arc::default(), folder.path());
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok());
    write("half of it");
    advance(Duration::from_secs(2)).await;
    assert!(jwt.verify(&old.token(Some("old"))).await.is_ok(), "a broken file keeps the former keys");
    write(&json!({"keys": [new.jwk(Some("new"))]}).to_string());
    advance(Duration::from_secs(2)).await;
    assert!(jwt.verify(&new.token(Some("new"))).await.is_ok());
    assert_eq!(jwt.verify(&old.token(Some("old"))).await, Err(Fault::UnknownKey.into()));
}

#[tokio::test(start_paused = true)]
async fn a_set_without_a_key_that_can_be_used_is_a_fault_and_an_empty_one_a_withdrawal() {
    let log = Log::begin();
    let (signer, answers) = (Signer::ed25519(), Arc::<Answers>::default());
    let encryption = json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"});
    answers.then(Ok(&[signer.jwk(Some("a")), encryption.clone()]));
    let jwt = remote(&answers);
    let token = signer.token(Some("a"));
    assert!(jwt.verify(&token).await.is_ok());
    assert_logged(&log, &["keys[1]: it is not for signatures"]);
    // The same set again is no news.
    let next = async |after: u64| {
        let asked = answers.asked();
        advance(Duration::from_secs(after)).await;
        settle().await;
        assert_eq!(answers.asked(), asked + 1);
    };
    next(301).await;
    assert_logged(&log, &[]);

    answers.then(Ok(&[encryption]));
    next(301).await;
    assert!(jwt.verify(&token).await.is_ok(), "the former keys go on");
    assert_unavailable(jwt.verify(&signer.token(Some("b"))).await);
    assert_logged(&log, &["no public key that can be used: keys[0]: it is not for signatures"]);
    next(11).await;
    assert_logged(&log, &[]);

    answers.then(Ok(&[]));
    next(11).await;
    assert_eq!(jwt.verify(&token).await, Err(Fault::UnknownKey.into()));
    assert_logged(&log, &["an issuer lists no keys"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_key_of_a_file_can_be_withdrawn_and_a_file_without_one_that_can_be_used_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::ed25519();
    let write = |keys: &[Value]| fs::write(folder.path().join("keys"), json!({"keys": keys}).to_string()).unwrap();
    let issuer = json!({
        "name": "corp", "issuer": "https://corp.example.org", "audience": "seca", "algorithms": ["EdDSA"],
        "keys_file": "keys",
    });
    let issuers = Issuers::parse(&json!({"issuers": [issuer]}).to_string(), folder.path()).unwrap();
    let fetcher: Arc<dyn JwksFetcher> = Arc::<Answers>::default();
    let start = || Jwt::start(&issuers, &fetcher, Arc::new(At(NOW)));
    install();
    write(&[]);
    let error = start().err().unwrap().to_string();
    assert!(error.contains("no public key that can be used: it lists none"), "{error}");

    write(&[signer.jwk(Some("a"))]);
    let jwt = start().unwrap();
    assert!(jwt.verify(&signer.token(Some("a"))).await.is_ok());
    let log = Log::begin();
    write(&[json!({"kty": "oct", "k": "AQAB"})]);
    advance(Duration::from_secs(2)).await;
    assert!(jwt.verify(&signer.token(Some("a"))).await.is_ok(), "the former keys go on");
    assert_logged(&log, &["keys[0]: it is of another type"]);
    write(&[]);
    advance(Duration::from_secs(2)).await;
    assert_eq!(jwt.verify(&signer.token(Some("a"))).await, Err(Fault::UnknownKey.into()));
    assert_logged(&log, &["an issuer lists no keys"]);
}
