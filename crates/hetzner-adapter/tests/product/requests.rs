//! What waiting costs, counted where the requests arrive: at most 20 for one object in the first minute of its wait, and
//! 6 in each minute after, polls of actions included. A wait begins with what somebody asks for; one that has lasted a
//! minute ends with the next call that the provider takes.

use std::collections::BTreeMap;

use super::*;

const MINUTE: i64 = 60_000;

/// A request for an object.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// When, in milliseconds since the wait began.
    at: i64,
    /// Whether it was a change that the provider took.
    is_change: bool,
    /// Its part of the request, which serves others too.
    part: f64,
}

/// The requests for each object since a wait began.
struct Meter<'a> {
    product: &'a Product,
    /// The last request before.
    after: u64,
    begun: i64,
}

/// `servers` and an id.
fn object_of(path: &str) -> Option<(String, i64)> {
    let mut parts = path.strip_prefix("/v1/")?.split('/');
    Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
}

impl<'a> Meter<'a> {
    async fn start(product: &'a Product) -> Self {
        let entries = entries(product, 0).await;
        let after = entries.last().map_or(0, |entry| entry["seq"].as_u64().unwrap());
        Self { product, after, begun: product.now_ms() }
    }

    async fn requests(&self) -> BTreeMap<String, Vec<Request>> {
        let mut of_action: BTreeMap<i64, String> = BTreeMap::new();
        let mut found: BTreeMap<String, Vec<Request>> = BTreeMap::new();
        for entry in entries(self.product, self.after).await {
            let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
            let query = entry["query"].as_str().unwrap();
            let of_polled = |pair: &str| of_action.get(&pair.strip_prefix("id=")?.parse().ok()?).cloned();
            let served: Vec<String> = match object_of(path) {
                Some((kind, id)) => vec![format!("{kind} {id}")],
                None if path == "/v1/actions" => query.split('&').filter_map(of_polled).collect(),
                // Made, or looked for by name or label.
                None if method == "POST" => {
                    vec![format!("{path} {}", entry["body"]["name"].as_str().unwrap_or_default())]
                }
                None if query.contains("name=") || query.contains("label_selector=") => vec![format!("{path}?{query}")],
                // The lists of everything, which serve all.
                None => Vec::new(),
            };
            for action in entry["actions"].as_array().unwrap() {
                of_action.insert(action.as_i64().unwrap(), served[0].clone());
            }
            let request = Request {
                at: entry["time_ms"].as_i64().unwrap() - self.begun,
                is_change: entry["committed"] == true,
                part: 1.0 / served.len() as f64,
            };
            served.into_iter().for_each(|object| found.entry(object).or_default().push(request));
        }
        found
    }

    /// Checks what was asked until now; the servers that anything was asked for.
    async fn check(&self) -> BTreeMap<String, Vec<Request>> {
        let mut found = self.requests().await;
        for (object, requests) in &found {
            for minutes in waits(requests) {
                let is_fine = minutes[0] <= 20.0 && minutes[1..].iter().all(|more| *more <= 6.0);
                let times: Vec<i64> = requests.iter().map(|request| request.at).collect();
                assert!(is_fine, "{object}: {minutes:?} of {times:?}");
            }
        }
        found.retain(|object, _| object.starts_with("servers "));
        found
    }
}

/// The requests in each minute of each wait.
fn waits(requests: &[Request]) -> Vec<Vec<f64>> {
    let mut waits: Vec<(i64, Vec<f64>)> = vec![(0, vec![0.0])];
    for request in requests {
        if request.is_change && request.at - waits.last().unwrap().0 >= MINUTE {
            waits.push((request.at, vec![0.0]));
        }
        let (begun, minutes) = waits.last_mut().unwrap();
        let minute = usize::try_from((request.at - *begun) / MINUTE).unwrap();
        minutes.resize(minutes.len().max(minute + 1), 0.0);
        minutes[minute] += request.part;
    }
    waits.into_iter().map(|(_, minutes)| minutes).collect()
}

async fn entries(product: &Product, after: u64) -> Vec<Value> {
    let journal = product.cloud.control(Method::GET, &format!("/_sim/journal?after={after}"), &json!({})).await;
    journal["entries"].as_array().unwrap().clone()
}

impl Product {
    /// Instances that run, each with its server's id.
    async fn running(&self, count: usize) -> Vec<(String, i64)> {
        self.ready().await;
        let names: Vec<String> = (0..count).map(|number| format!("i{number}")).collect();
        for name in &names {
            self.volume(&format!("v-{name}"), SYSTEM).await;
            self.instance(name, &format!("v-{name}")).await;
        }
        for name in &names {
            self.is(Kind::Instance, name, ACTIVE).await;
            self.act(name, ActionKind::Start).await;
        }
        let servers = self.cloud.inventory().await["objects"]["servers"].as_array().unwrap().clone();
        let id = |name: &String| {
            let is = |server: &&Value| server["labels"]["seca.name"] == *name;
            servers.iter().find(is).unwrap()["id"].as_i64().unwrap()
        };
        names.iter().map(|name| (name.clone(), id(name))).collect()
    }

    async fn ask(&self, name: &str, action: ActionKind) {
        self.control.act(self.context(), &key(Kind::Instance, name), action, None).await.unwrap();
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millis()
    }

    pub(crate) async fn reason(&self, kind: Kind, name: &str) -> Option<String> {
        self.row(kind, name).await?.conditions[0].reason.clone()
    }

    async fn message(&self, kind: Kind, name: &str) -> String {
        self.row(kind, name).await.unwrap().conditions[0].message.clone().unwrap_or_default()
    }

    async fn waits_for(&self, kind: Kind, name: &str, reason: &str) {
        eventually(reason, LONG, async || self.reason(kind, name).await.as_deref() == Some(reason)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn guests_that_shut_down_slowly_are_looked_at_with_growing_pauses() {
    for count in [1, 10] {
        let product = Product::start(Cloud::new(1.0));
        let instances = product.running(count).await;
        for (_, server) in &instances {
            let path = format!("/_sim/servers/{server}/guest");
            product.cloud.control(Method::PUT, &path, &json!({"acpi": "ignore"})).await;
        }
        let meter = Meter::start(&product).await;
        for (name, _) in &instances {
            product.ask(name, ActionKind::Stop).await;
        }
        let (first, _) = &instances[0];
        product.waits_for(Kind::Instance, first, "ProviderBusy").await;
        let revision = product.row(Kind::Instance, first).await.unwrap().revision;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let row = product.row(Kind::Instance, first).await.unwrap();
        assert_eq!(row.revision, revision, "a look that finds nothing new writes nothing");
        // Until the power is cut.
        for (name, _) in &instances {
            product.is(Kind::Instance, name, ACTIVE).await;
            assert_eq!(product.status(Kind::Instance, name).await["powerState"], "off");
        }
        assert_eq!(meter.check().await.len(), count);
    }
}

/// A person's snapshot locks the server for as long as nobody knows, also while another process takes over.
#[tokio::test(start_paused = true)]
async fn what_a_locked_server_waits_with_grows_also_through_takeovers() {
    for takeovers in [0, 1, 4] {
        let product = Product::start(Cloud::new(1.0));
        let (name, server) = product.running(1).await.remove(0);
        let path = format!("/servers/{server}/actions/create_image");
        product.cloud.fault(json!({"path": path}), json!({"type": "stuck_action"})).await;
        product.cloud.hetzner(Method::POST, &path, &json!({"type": "snapshot"})).await;
        let meter = Meter::start(&product).await;
        product.ask(&name, ActionKind::Stop).await;
        product.waits_for(Kind::Instance, &name, "ProviderBusy").await;
        for number in 0..takeovers {
            tokio::time::sleep(Duration::from_secs(20)).await;
            product.kill_engine();
            product.start_engine(&format!("engine {number}"));
        }
        let revision = product.row(Kind::Instance, &name).await.unwrap().revision;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let written = product.row(Kind::Instance, &name).await.unwrap().revision - revision;
        // The next resync shows the lock, which is told in other words than the refusal.
        assert!(written <= 1, "a look that finds nothing new writes nothing: {written}");
        let asked = meter.check().await.into_values().next().unwrap();
        assert!(asked.len() > 30, "it is looked at: {asked:?}");
        product.cloud.mutate(json!({"type": "server", "id": server, "op": "unlock"})).await;
        let unlocked = Instant::now();
        product.is(Kind::Instance, &name, ACTIVE).await;
        assert!(unlocked.elapsed() < Duration::from_secs(40), "{:?}", unlocked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_action_is_polled_with_growing_pauses_and_said_to_be_slow() {
    for is_taken_over in [false, true] {
        let product = Product::start(Cloud::new(1.0));
        let (name, server) = product.running(1).await.remove(0);
        let path = format!("/servers/{server}/actions/reboot");
        product.cloud.fault(json!({"path": path}), json!({"type": "stuck_action"})).await;
        let meter = Meter::start(&product).await;
        let begun = product.clock.now();
        product.ask(&name, ActionKind::Restart).await;
        if is_taken_over {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_ne!(product.reason(Kind::Instance, &name).await.as_deref(), Some("ProviderSlow"), "it is early");
            product.kill_engine();
            product.start_engine("second");
        }
        product.waits_for(Kind::Instance, &name, "ProviderSlow").await;
        let (after, message) = (product.clock.now().since(begun), product.message(Kind::Instance, &name).await);
        assert!((29..45).contains(&after.as_secs()), "{after:?}: {message}");
        let action =
            entries(&product, meter.after).await.iter().find_map(|entry| entry["actions"][0].as_i64()).unwrap();
        assert!(
            message.contains(&format!("{action} (`reboot_server`) since {}", &begun.to_string()[..17])),
            "{message}"
        );
        let revision = product.row(Kind::Instance, &name).await.unwrap().revision;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(product.message(Kind::Instance, &name).await, message, "it is told once");
        assert_eq!(product.row(Kind::Instance, &name).await.unwrap().revision, revision);
        assert_eq!(meter.check().await.len(), 1);
        product.cloud.mutate(json!({"type": "server", "id": server, "op": "unlock"})).await;
        product.is(Kind::Instance, &name, ACTIVE).await;
        assert_ne!(product.reason(Kind::Instance, &name).await.as_deref(), Some("ProviderSlow"), "it is over");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_limit_or_for_room_is_asked_for_every_30_s() {
    for (code, status, reason) in
        [("resource_limit_exceeded", 403, "QuotaExceeded"), ("resource_unavailable", 412, "CapacityUnavailable")]
    {
        let product = Product::start(Cloud::new(1.0));
        product.ready().await;
        let refused = json!({"type": "error", "status": status, "code": code, "message": "no"});
        product.cloud.fault(json!({"method": "POST", "path": "/volumes", "count": 0}), refused).await;
        let meter = Meter::start(&product).await;
        product.put(Kind::BlockStorage, "d", json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10})).await;
        product.waits_for(Kind::BlockStorage, "d", reason).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let found = meter.requests().await;
        let (_, requests) = found.first_key_value().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((20..=22).contains(&requests.len()), "{requests:?}");
        assert!(waits(requests)[0].iter().all(|minute| *minute <= 3.0), "{requests:?}");
    }
}

/// What a refusal leaves open is looked up, so each try of a removal may cost several requests.
#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_again_and_again_costs_no_more_than_another_wait() {
    for (status, code) in [(423, "locked"), (422, "invalid_input"), (500, "server_error"), (504, "timeout")] {
        let product = Product::start(Cloud::new(1.0));
        product.ready().await;
        product.put(Kind::BlockStorage, "d", json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10})).await;
        product.is(Kind::BlockStorage, "d", ACTIVE).await;
        let failure = json!({"type": "error", "status": status, "code": code, "message": "no"});
        product.cloud.fault(json!({"method": "DELETE", "path": "/volumes/*", "count": 0}), failure).await;
        let meter = Meter::start(&product).await;
        product.delete(Kind::BlockStorage, "d").await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        meter.check().await;
        let tried = meter.requests().await.into_values().map(|requests| requests.len()).max();
        assert!(tried > Some(30), "{code}: it is tried again: {tried:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_told_with_the_time_when_it_has_room_and_written_once() {
    let product = Product::start(Cloud::new(1.0));
    product.ready().await;
    // 360 are for removals, and one comes back in a second.
    product.cloud.control(Method::PUT, "/_sim/rate", &json!({"project": "p", "limit": 3600, "remaining": 300})).await;
    let volume = json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10});
    product.put(Kind::BlockStorage, "first", volume.clone()).await;
    let is_ordered = async || product.cloud.changes().await.iter().any(|change| change == "POST /v1/volumes");
    eventually("the first order", LONG, is_ordered).await;
    // Its answer tells what is left.
    product.put(Kind::BlockStorage, "second", volume).await;
    product.waits_for(Kind::BlockStorage, "second", "Throttled").await;
    let (message, now) = (product.message(Kind::BlockStorage, "second").await, product.clock.now());
    let time = message.strip_prefix("The request budget of the Hetzner Cloud project is spent until ").unwrap();
    let (day, time) = (now.to_string()[..11].to_owned(), time.strip_suffix('.').unwrap());
    let until: seca_api::Timestamp = format!("{day}{time}").parse().unwrap();
    assert!((55..90).contains(&until.since(now).as_secs()), "{message} at {now}");
    let revision = product.row(Kind::BlockStorage, "second").await.unwrap().revision;
    tokio::time::sleep(until.since(now) - Duration::from_secs(2)).await;
    assert_eq!(product.row(Kind::BlockStorage, "second").await.unwrap().revision, revision, "it was written again");
    product.is(Kind::BlockStorage, "second", ACTIVE).await;
    assert!(product.clock.now().since(until) < Duration::from_secs(5), "{message}");
}
