//! What a large project costs while nothing happens in it, and how soon is seen what people do there by hand.

use super::*;

const SERVERS: usize = 1_000;
/// A third of what the provider allows in that time.
const MOST: usize = 400;
const WATCHED: Duration = Duration::from_secs(20 * 60);
const SEEN: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_servers_cost_a_third_of_the_budget_and_what_is_done_by_hand_is_seen() {
    let product = Product::start(Cloud::new(0.01));
    let limits = json!({"server_limit": 2 * SERVERS, "primary_ip_limit": 4 * SERVERS});
    product.cloud.control(Method::PUT, "/_sim/projects/p/limits", &limits).await;
    product.ready().await;
    product.volume("v", SYSTEM).await;
    product.instance("i", "v").await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    product.act("i", ActionKind::Start).await;
    let ours = product.cloud.inventory().await["objects"]["servers"][0]["id"].as_i64().unwrap();
    for number in 1..SERVERS {
        let server =
            json!({"name": format!("other-{number}"), "server_type": "cx23", "image": SYSTEM, "location": "fsn1"});
        product.cloud.hetzner(Method::POST, "/servers", &server).await;
    }
    tokio::time::sleep(WATCHED / 2).await;
    let before = product.cloud.journal("/_sim/journal").await.len();
    tokio::time::sleep(WATCHED).await;
    let journal = product.cloud.journal("/_sim/journal").await;
    let asked = &journal[before..];
    assert!(asked.len() <= MOST, "{} requests in {WATCHED:?}", asked.len());
    assert!(asked.iter().filter(|line| *line == "GET /v1/servers").count() >= 4 * SERVERS / 50, "{}", asked.len());
    for (action, power) in [("poweroff", "off"), ("poweron", "on")] {
        product.cloud.hetzner(Method::POST, &format!("/servers/{ours}/actions/{action}"), &json!({})).await;
        let begun = Instant::now();
        while product.status(Kind::Instance, "i").await["powerState"] != power {
            assert!(begun.elapsed() < SEEN, "{power} is not seen");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
