//! A simulated cloud to talk to, at a time that the test sets.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use hcloud_sim::{CoreConfig, SimRequest, SimResponse, Simulator, Time};
use http::Method;
use serde_json::{Value, json};

pub(crate) const MINUTE: i64 = 60_000;

/// A simulated cloud with projects `p` (token `token`, reader `reader`) and `q` (token `other`).
pub(crate) struct Cloud {
    pub(crate) sim: Simulator,
    pub(crate) now: Time,
}

impl Cloud {
    pub(crate) fn new(speed: f64) -> Self {
        let mut sim = Simulator::new(CoreConfig { speed, ..CoreConfig::default() });
        let now = Time(1_790_000_000_000);
        sim.add_project("p", "token", Some("reader"), now);
        sim.add_project("q", "other", None, now);
        Self { sim, now }
    }

    pub(crate) fn wait(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }

    pub(crate) fn as_token(&mut self, token: &str, method: Method, path: &str, body: &Value) -> SimResponse {
        let mut request = SimRequest::new(method, path).with_token(token);
        if !body.is_null() {
            request = request.with_json(body);
        }
        self.sim.handle(&request, self.now)
    }

    pub(crate) fn get(&mut self, path: &str) -> Value {
        self.as_token("token", Method::GET, &format!("/v1{path}"), &Value::Null).json()
    }

    pub(crate) fn ok(&mut self, path: &str, body: &Value) -> Value {
        let response = self.as_token("token", Method::POST, &format!("/v1{path}"), body);
        assert!(response.status.is_success(), "{path}: {}", response.json());
        response.json()
    }

    pub(crate) fn refused(&mut self, method: Method, path: &str, body: &Value) -> (u16, String) {
        let response = self.as_token("token", method, &format!("/v1{path}"), body);
        let code = response.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        (response.status.as_u16(), code)
    }

    pub(crate) fn sim(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let response = self.as_token("", method, &format!("/_sim{path}"), body);
        assert!(response.status.is_success(), "{path}: {}", response.json());
        response.json()
    }

    pub(crate) fn server(&mut self, name: &str, more: &Value) -> i64 {
        let mut body = json!({"name": name, "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok("/servers", &body)["server"]["id"].as_i64().unwrap()
    }

    pub(crate) fn network(&mut self, name: &str, range: &str) -> i64 {
        let subnet = json!({"type": "cloud", "network_zone": "eu-central", "ip_range": range});
        let body = json!({"name": name, "ip_range": range, "subnets": [subnet]});
        self.ok("/networks", &body)["network"]["id"].as_i64().unwrap()
    }

    pub(crate) fn status(&mut self, id: i64) -> String {
        self.get(&format!("/servers/{id}"))["server"]["status"].as_str().unwrap_or("gone").to_owned()
    }
}

impl Cloud {
    /// Sets one switch.
    pub(crate) fn switch(&mut self, name: &str, value: &Value) {
        self.sim(Method::PUT, "/switches", &json!({ name: value }));
    }

    /// A POST that is refused: status and code.
    pub(crate) fn no(&mut self, path: &str, body: &Value) -> (u16, String) {
        self.refused(Method::POST, path, body)
    }

    /// An action on a server that is accepted.
    pub(crate) fn act(&mut self, server: i64, action: &str, body: &Value) -> Value {
        self.ok(&format!("/servers/{server}/actions/{action}"), body)
    }

    /// An action on a server that is refused: status and code.
    pub(crate) fn cannot(&mut self, server: i64, action: &str, body: &Value) -> (u16, String) {
        self.no(&format!("/servers/{server}/actions/{action}"), body)
    }

    /// A server that was never switched on.
    pub(crate) fn stopped(&mut self, name: &str, more: &Value) -> i64 {
        let mut more = more.clone();
        more["start_after_create"] = json!(false);
        self.server(name, &more)
    }

    pub(crate) fn show(&mut self, server: i64) -> Value {
        self.get(&format!("/servers/{server}"))["server"].clone()
    }

    /// The id of an object made by a POST.
    pub(crate) fn made(&mut self, path: &str, key: &str, body: &Value) -> i64 {
        self.ok(path, body)[key]["id"].as_i64().unwrap()
    }

    pub(crate) fn address(&mut self, name: &str, family: &str) -> i64 {
        self.made("/primary_ips", "primary_ip", &json!({"name": name, "type": family, "location": "fsn1"}))
    }

    pub(crate) fn firewall(&mut self, name: &str, rules: &Value) -> i64 {
        self.made("/firewalls", "firewall", &json!({"name": name, "rules": rules}))
    }

    pub(crate) fn delete(&mut self, path: &str) -> SimResponse {
        self.as_token("token", Method::DELETE, &format!("/v1{path}"), &Value::Null)
    }
}

/// What a POST names a list of servers by.
pub(crate) fn servers(field: &str, ids: &[i64]) -> Value {
    let list: Vec<Value> = ids.iter().map(|id| json!({"type": "server", "server": {"id": id}})).collect();
    json!({ field: list })
}
