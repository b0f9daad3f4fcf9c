//! Seeded histories: users who change their minds, a person at the console, a bad network and dying processes, all at once and in
//! virtual time. Whatever happens, no disk loses what was written to it, everything settles, and nothing is left in the end.
//!
//! `CHAOS_SEEDS=100..200` tries other histories than the few that every run tries.

use std::collections::{BTreeMap, BTreeSet};

use control_plane::Uid;

use super::*;

/// How many things happen in a history.
const EVENTS: u64 = 120;
/// For how long no request changes anything once all has settled: longer than a disk is kept with its server.
const QUIET: Duration = Duration::from_secs(20 * 60);
/// How often that is waited for.
const PATIENCE: usize = 12;
/// How long a server must run before its guest writes, in milliseconds: the product can know of the start by then.
const KNOWN: i64 = 3_000;
/// Who the simulator takes the product for, and the token of the person at the console.
const PRODUCT: &str = "product";
const CONSOLE: &str = "token-of-the-console";
const KEY: &str = super::walk::KEY;

/// One history.
struct Story<'a> {
    product: &'a Product,
    rng: SeededRng,
    seed: u64,
    /// The block storage that each token was written to.
    written: BTreeMap<String, Uid>,
    /// Servers and snapshots that the person deleted, as `server/7`.
    destroyed: BTreeSet<String>,
    /// Since when a server is seen to run.
    running: BTreeMap<i64, i64>,
    told: Vec<String>,
}

impl Story<'_> {
    fn one_of<'s>(&self, words: &[&'s str]) -> &'s str {
        words[usize::try_from(self.rng.below(words.len() as u64)).unwrap()]
    }

    fn name(&self, letter: &str, count: u64) -> String {
        format!("{letter}{}", self.rng.below(count))
    }

    fn tell(&mut self, what: String) {
        self.told.push(format!("{} {what}", self.product.clock.now()));
    }

    /// What a user asks for; a refusal is an answer like another.
    async fn ask(&mut self, kind: Kind, name: &str, spec: Value, extensions: Value) {
        let request = PutRequest {
            key: key(kind, name),
            body: json!({"spec": spec, "extensions": extensions}),
            if_version: None,
        };
        let accepted = self.product.control.put(self.product.context(), request).await.is_ok();
        self.tell(format!("PUT {kind} {name} {spec} {extensions}: {accepted}"));
    }

    async fn drop(&mut self, kind: Kind, name: &str) {
        let accepted = self.product.control.delete(self.product.context(), &key(kind, name), None).await.is_ok();
        self.tell(format!("DELETE {kind} {name}: {accepted}"));
    }

    /// Something that most histories need.
    async fn begin(&mut self, letter: &str) {
        let system =
            json!({"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": format!("images/{SYSTEM}")});
        let (kind, spec) = match letter {
            "v" => (Kind::BlockStorage, system),
            "d" => (Kind::BlockStorage, json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10})),
            "k" => (Kind::Nic, json!({"addresses": ["0.0.0.0"], "subnetRef": "networks/n/subnets/s"})),
            "p" => (Kind::PublicIp, json!({"version": "IPv4"})),
            _ => (Kind::SecurityGroup, json!({"rules": []})),
        };
        let hold = self.one_of(&["0s", "1m"]);
        let name = self.name(letter, if letter == "g" { 1 } else { 2 });
        self.ask(kind, &name, spec, json!({"hetzner.cloud/disk-hold": hold})).await;
    }

    async fn user(&mut self) {
        let maybe = |of: &str, letter: &str, count: u64| {
            self.rng.one_in(2).then(|| json!({"resource": format!("{of}/{letter}{}", self.rng.below(count))}))
        };
        match self.rng.below(26) {
            0..=2 => {
                let name = self.name("v", 3);
                let hold = self.one_of(&["0s", "0s", "1m", "never"]);
                let spec =
                    json!({"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": format!("images/{SYSTEM}")});
                self.ask(Kind::BlockStorage, &name, spec, json!({"hetzner.cloud/disk-hold": hold})).await;
            }
            3 => {
                let (name, image) = (self.name("v", 3), self.name("m", 2));
                let spec =
                    json!({"skuRef": "skus/hcloud-volume", "sizeGB": 40, "sourceImageRef": format!("images/{image}")});
                self.ask(Kind::BlockStorage, &name, spec, json!({})).await;
            }
            4..=8 => {
                let mut spec = json!({
                    "skuRef": self.one_of(&["skus/cx23", "skus/cx33"]), "zone": "fsn1",
                    "bootVolume": {"deviceRef": format!("block-storages/v{}", self.rng.below(3))},
                    "userData": self.one_of(&["", "#!/bin/sh\ntrue\n"]),
                });
                if let Some(nic) = maybe("nics", "k", 2) {
                    spec["primaryNicRef"] = nic;
                }
                if let Some(group) = maybe("security-groups", "g", 1) {
                    spec["securityGroupRef"] = group;
                }
                if let Some(data) = maybe("block-storages", "d", 2) {
                    spec["dataVolumes"] = json!([{"deviceRef": data}]);
                }
                if self.rng.one_in(3) {
                    spec["sshKeys"] = json!([KEY]);
                    spec["antiAffinityGroup"] = json!("apart");
                }
                let mut extensions = json!({});
                if self.rng.one_in(4) {
                    extensions["hetzner.cloud/reuse-server"] = json!("always");
                }
                if self.rng.one_in(4) {
                    extensions["hetzner.cloud/disruptive"] = json!("allow");
                }
                let name = self.name("i", 3);
                self.ask(Kind::Instance, &name, spec, extensions).await;
            }
            9..=13 => {
                let name = self.name("i", 3);
                let action = match self.rng.below(5) {
                    0 => ActionKind::Stop,
                    1 => ActionKind::Restart,
                    _ => ActionKind::Start,
                };
                let key = key(Kind::Instance, &name);
                let accepted = self.product.control.act(self.product.context(), &key, action, None).await.is_ok();
                self.tell(format!("{action:?} {name}: {accepted}"));
            }
            14..=17 => {
                let name = self.name("i", 3);
                self.drop(Kind::Instance, &name).await;
            }
            18 => {
                let (kind, name) = match self.rng.below(5) {
                    0 => (Kind::BlockStorage, self.name("v", 3)),
                    1 => (Kind::BlockStorage, self.name("d", 2)),
                    2 => (Kind::Image, self.name("m", 2)),
                    3 => (Kind::Nic, self.name("k", 2)),
                    _ => (Kind::PublicIp, self.name("p", 2)),
                };
                self.drop(kind, &name).await;
            }
            19..=20 => {
                let (name, volume) = (self.name("m", 2), self.name("v", 3));
                let spec = json!({"blockStorageRef": format!("workspaces/w/block-storages/{volume}"), "cpuArchitecture": "amd64"});
                self.ask(Kind::Image, &name, spec, json!({})).await;
            }
            21 => {
                let (name, size) = (self.name("d", 2), 10 + self.rng.below(3));
                let spec = json!({"skuRef": "skus/hcloud-volume", "sizeGB": size});
                self.ask(Kind::BlockStorage, &name, spec, json!({})).await;
            }
            22 => {
                let (name, version) = (self.name("p", 2), self.one_of(&["IPv4", "IPv6"]));
                self.ask(Kind::PublicIp, &name, json!({"version": version}), json!({})).await;
            }
            23 => {
                let port = 20 + self.rng.below(5);
                let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": port}});
                self.ask(Kind::SecurityGroup, "g0", json!({"rules": [rule]}), json!({})).await;
            }
            _ => {
                let ips: Vec<Value> = maybe("public-ips", "p", 2).into_iter().collect();
                let groups: Vec<Value> = maybe("security-groups", "g", 1).into_iter().collect();
                let spec = json!({
                    "addresses": [self.one_of(&["0.0.0.0", "10.1.1.10", "10.1.1.11"])], "subnetRef": "networks/n/subnets/s",
                    "publicIpRefs": ips, "securityGroupRefs": groups,
                });
                let name = self.name("k", 2);
                self.ask(Kind::Nic, &name, spec, json!({})).await;
            }
        }
    }

    async fn objects(&self, kind: &str) -> Vec<Value> {
        let inventory = self.product.cloud.inventory().await;
        let ours = |object: &Value| object["labels"]["seca.uid"].is_string();
        inventory["objects"][kind].as_array().unwrap().iter().filter(|object| ours(object)).cloned().collect()
    }

    /// Whether the resource that an object is of is as it should be, and so remembers the object.
    async fn is_active(&self, object: &Value) -> bool {
        let uid = object["labels"]["seca.uid"].as_str().unwrap().parse().unwrap();
        self.product.store.bundle(uid).await.unwrap().is_some_and(|bundle| bundle.resource.state == ACTIVE)
    }

    /// What a person does at the console, without knowing what it is good for.
    async fn person(&mut self) {
        let kind =
            self.one_of(&["servers", "servers", "servers", "servers", "images", "volumes", "primary_ips", "networks"]);
        let all = self.objects(kind).await;
        if all.is_empty() {
            return;
        }
        let object = &all[usize::try_from(self.rng.below(all.len() as u64)).unwrap()];
        let id = object["id"].as_i64().unwrap();
        let (method, path, body) = match (kind, self.rng.below(12)) {
            ("servers", 0) | ("images", 0..=2) | ("volumes" | "primary_ips", 0) => {
                (Method::DELETE, format!("/{kind}/{id}"), json!({}))
            }
            ("servers", 1..=7) => (Method::POST, format!("/servers/{id}/actions/poweron"), json!({})),
            ("servers", 8..=10) => {
                let action = self.one_of(&["poweroff", "shutdown", "reboot"]);
                (Method::POST, format!("/servers/{id}/actions/{action}"), json!({}))
            }
            // The labels are taken away. What is being made yet is known by nothing else.
            ("servers" | "volumes" | "primary_ips", 11) if self.is_active(object).await => {
                (Method::PUT, format!("/{kind}/{id}"), json!({"labels": {}}))
            }
            ("volumes", 1..=4) => (Method::POST, format!("/volumes/{id}/actions/detach"), json!({})),
            ("primary_ips", 1..=6) => (Method::POST, format!("/primary_ips/{id}/actions/unassign"), json!({})),
            ("networks", 0..=3) => {
                let body = json!({"type": "cloud", "network_zone": "eu-central", "ip_range": "10.1.200.0/24"});
                (Method::POST, format!("/networks/{id}/actions/add_subnet"), body)
            }
            _ => return,
        };
        let what = format!("{method} {path}");
        let done = self.product.cloud.tried(method.clone(), &path, &body).await.is_ok();
        self.tell(format!("console: {what}: {done}"));
        if done && method == Method::DELETE {
            self.destroyed.insert(format!("{}/{id}", kind.trim_end_matches('s')));
        }
    }

    /// The guest of a server that runs for a while writes to its disk.
    async fn guest(&mut self) {
        let now = self.product.clock.now().as_millis();
        let servers = self.objects("servers").await;
        let is_on = |server: &&Value| server["status"] == "running";
        let on: Vec<(i64, Uid)> = servers
            .iter()
            .filter(is_on)
            .map(|server| {
                (server["id"].as_i64().unwrap(), server["labels"]["seca.uid"].as_str().unwrap().parse().unwrap())
            })
            .collect();
        self.running.retain(|id, _| on.iter().any(|(other, _)| other == id));
        for (id, uid) in on {
            let since = *self.running.entry(id).or_insert(now);
            if since + KNOWN > now || !self.rng.one_in(3) {
                continue;
            }
            let Some(disk) = self.disk_of(uid).await else { continue };
            let token = format!("token-{}", self.written.len());
            let request = SimRequest::new(Method::POST, &format!("/_sim/servers/{id}/content"));
            let answer = self.product.cloud.sim.call(request.with_json(&json!({"token": token}))).await.unwrap();
            if answer.status.is_success() {
                self.tell(format!("server {id} writes {token} to {disk}"));
                self.written.insert(token, disk);
            }
        }
    }

    /// The block storage whose disk the server of a resource has.
    async fn disk_of(&self, owner: Uid) -> Option<Uid> {
        let row = self.product.store.bundle(owner).await.unwrap()?;
        if row.resource.key.kind == Kind::BlockStorage {
            return Some(owner);
        }
        let boot = row.targets.iter().find(|target| target.field == "/spec/bootVolume/deviceRef")?;
        boot.resource.as_ref().map(|volume| volume.uid)
    }

    /// What was lost although its block storage is still there, and nobody at the console destroyed it.
    async fn check_content(&self) {
        let content = self.product.cloud.control(Method::GET, "/_sim/content?project=p", &json!({})).await;
        for lost in content["lost"].as_array().unwrap() {
            if self.destroyed.contains(lost["place"].as_str().unwrap()) {
                continue;
            }
            for token in lost["tokens"].as_array().unwrap() {
                let disk = self.written[token.as_str().unwrap()];
                let row = self.product.store.bundle(disk).await.unwrap().map(|bundle| bundle.resource);
                let stays = row.is_some_and(|row| !row.is_deleting());
                assert!(!stays, "seed {}: {lost} was of block storage {disk}\n{}", self.seed, self.history().await);
            }
        }
    }

    /// What was asked for and done by hand, and the requests that changed something, in their order.
    async fn history(&self) -> String {
        let line = |entry: &Value| {
            let of = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {} {} {}: {} {}, made {}",
                of("time"),
                of("client"),
                of("method"),
                of("path"),
                entry["body"]["name"],
                entry["status"],
                of("reply"),
                entry["made"]
            )
        };
        let journal = self.journal().await;
        let mut all: Vec<String> = journal.iter().map(line).chain(self.told.iter().cloned()).collect();
        all.sort();
        all.join("\n")
    }

    /// The requests that changed something.
    async fn journal(&self) -> Vec<Value> {
        let journal = self.product.cloud.control(Method::GET, "/_sim/journal?mutating=true", &json!({})).await;
        let entries = journal["entries"].as_array().unwrap().iter();
        entries.filter(|entry| entry["committed"] == true).cloned().collect()
    }

    /// Waits until no request changes anything any more.
    async fn settles(&self) {
        let mut before = self.journal().await.len();
        for _ in 0..PATIENCE {
            tokio::time::sleep(QUIET).await;
            let now = self.journal().await.len();
            if now == before {
                return;
            }
            before = now;
        }
        panic!("seed {}: it never settles\n{}", self.seed, self.history().await);
    }

    /// All that is there is deleted, again and again until it is gone.
    async fn ends(&mut self) {
        let mut left: Vec<String> = Vec::new();
        for _ in 0..PATIENCE {
            let mut rows = Vec::new();
            for (kind, letter, count) in [
                (Kind::Instance, "i", 3),
                (Kind::Image, "m", 2),
                (Kind::Nic, "k", 2),
                (Kind::PublicIp, "p", 2),
                (Kind::SecurityGroup, "g", 1),
                (Kind::BlockStorage, "v", 3),
                (Kind::BlockStorage, "d", 2),
            ] {
                rows.extend((0..count).map(|number| (kind, format!("{letter}{number}"))));
            }
            rows.extend([(Kind::Subnet, "n/s".to_owned()), (Kind::Network, "n".to_owned())]);
            left.clear();
            for (kind, name) in rows {
                if self.product.row(kind, &name).await.is_some_and(|row| !row.is_deleting()) {
                    self.drop(kind, &name).await;
                }
                if let Some(row) = self.product.row(kind, &name).await {
                    left.push(format!("{kind} {name}: {:?}", row.conditions.first()));
                }
            }
            if left.is_empty() {
                let counts = self.product.cloud.counts().await;
                let inventory = self.product.cloud.inventory().await;
                assert_eq!(counts, only_the_marker(), "seed {}: {inventory}\n{}", self.seed, self.history().await);
                return;
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        panic!("seed {}: {left:#?} stays\n{}", self.seed, self.history().await);
    }
}

/// What may happen to a tenth of the requests. A removal is not late: nobody could take it back.
async fn begin_faults(cloud: &Cloud, rng: &SeededRng) {
    let error =
        |status: u16, code: &str| json!({"type": "error", "status": status, "code": code, "message": "no luck"});
    let of_any = [
        error(503, "unavailable"),
        error(429, "rate_limit_exceeded"),
        json!({"type": "lose_reply_before_commit"}),
        json!({"type": "lose_reply_after_commit"}),
        json!({"type": "spoil_reply", "body_form": "truncated"}),
    ];
    let of_changes =
        [error(423, "locked"), error(409, "conflict"), json!({"type": "action_error", "code": "action_failed"})];
    let late = [json!({"type": "late_commit", "delay_ms": 4_000})];
    let add = async |method: &str, effect: &Value, share: f64| {
        let rule = json!({
            "match": {"client": PRODUCT, "method": method, "count": 0, "share": share}, "effect": effect, "seed": rng.below(1 << 40),
        });
        cloud.control(Method::POST, "/_sim/faults", &rule).await;
    };
    for effect in &of_any {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            add(method, effect, 0.02).await;
        }
    }
    for method in ["POST", "PUT", "DELETE"] {
        for effect in &of_changes {
            add(method, effect, 0.02).await;
        }
    }
    add("POST", &late[0], 0.02).await;
}

async fn history(seed: u64) {
    let rng = SeededRng::new(seed ^ 0xc4a0);
    let mut cloud = Cloud::new([0.02, 0.3, 1.0][usize::try_from(seed % 3).unwrap()]);
    for (token, client) in [(TOKEN, PRODUCT), (CONSOLE, "console")] {
        let grant = json!({"name": "p", "token": token, "client": client});
        cloud.control(Method::POST, "/_sim/projects", &grant).await;
    }
    cloud.console = CONSOLE;
    let product = Product::start(cloud);
    product.ready().await;
    product.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
    product.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1"})).await;
    product.is(Kind::Subnet, "n/s", ACTIVE).await;
    begin_faults(&product.cloud, &rng).await;
    let mut story = Story {
        product: &product,
        rng,
        seed,
        written: BTreeMap::new(),
        destroyed: BTreeSet::new(),
        running: BTreeMap::new(),
        told: Vec::new(),
    };
    for letter in ["v", "v", "d", "k", "p", "g"] {
        story.begin(letter).await;
    }
    for number in 0..EVENTS {
        tokio::time::sleep(Duration::from_millis(100 + story.rng.below(6_000))).await;
        match story.rng.below(8) {
            0..=4 => story.user().await,
            5 if story.rng.one_in(8) => {
                story.tell("the process dies".to_owned());
                product.kill_engine();
                product.start_engine(&format!("engine {number}"));
            }
            _ => story.person().await,
        }
        story.guest().await;
        story.check_content().await;
    }
    product.cloud.clear_faults().await;
    story.settles().await;
    story.check_content().await;
    story.ends().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_at_once_nothing_is_lost_or_left() {
    let seeds = std::env::var("CHAOS_SEEDS").unwrap_or_else(|_| "0..6".to_owned());
    let (from, to) = seeds.split_once("..").expect("CHAOS_SEEDS is FROM..TO");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        history(seed).await;
    }
}
