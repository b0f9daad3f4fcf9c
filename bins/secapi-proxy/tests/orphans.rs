//! Orphans, with the real binary and the simulator as a process of its own: a database that was restored from a backup finds
//! objects that nobody claims. They are removed, or given to resources, whatever request is spoiled meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{fs, path::Path};

use common::{
    PATIENCE, ask, http,
    proxy::{ADMIN_TOKEN, BEARER, Proxy, REGION, Setup, TENANT},
    sim::Sim,
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

const SPEED: f64 = 0.0;
const DATABASE: &str = "secapi.db";

/// A proxy, its simulator, and the folder of both.
struct World {
    sim: Sim,
    setup: Setup,
    proxy: Proxy,
    folder: tempfile::TempDir,
}

/// The id of an object at the simulator.
fn id_of(object: &Value) -> String {
    object["id"].to_string()
}

/// What a block storage is asked to be.
fn volume(gb: i64) -> Value {
    json!({"spec": {"sizeGB": gb, "skuRef": "skus/hcloud-volume"}})
}

impl World {
    /// A bound workspace with a block storage whose volume is gone, and a copy of the database.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), SPEED).await;
        let setup = Setup::new(folder.path(), &sim.endpoint())
            .with("SECA_REQUEST_TIMEOUT", "4s")
            .with("SECA_LOG_LEVEL", "debug,hyper=info,sqlx=warn,api_server=warn")
            .with("SECA_LATE_WINDOW", "5s")
            .with("SECA_HETZNER_AVAILABILITY_CACHE_TTL", "1h")
            .on_fixed_ports();
        let proxy = setup.serve().await;
        let world = Self { sim, setup, proxy, folder };
        world.put("workspace", "", json!({"spec": {}})).await;
        let binding = format!("tenants/{TENANT}/workspaces/shop/providers/hetzner");
        let (status, told) = world.admin(Method::PUT, &binding, Some(json!({"apiToken": world.sim.token}))).await;
        assert_eq!(status, 200, "{told}");
        world.state("workspace", "", "active").await;
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self, provider: &str, path: &str) -> String {
        let place = format!("v1/tenants/{TENANT}/workspaces/shop{path}");
        format!("{}/regions/{REGION}/providers/seca.{provider}/{place}", self.proxy.public)
    }

    async fn send(&self, method: Method, url: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let (status, text) = ask(&http(), method, url, token, body.as_ref()).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn put(&self, provider: &str, path: &str, body: Value) {
        let (status, told) = self.send(Method::PUT, &self.url(provider, path), BEARER, Some(body)).await;
        assert!(matches!(status, 200 | 201), "{path}: {status} {told}");
    }

    async fn delete(&self, provider: &str, path: &str) {
        let url = self.url(provider, path);
        assert_eq!(self.send(Method::DELETE, &url, BEARER, None).await.0, 202, "{path}");
        until(&format!("{path} gone"), PATIENCE, async || {
            (self.send(Method::GET, &url, BEARER, None).await.0 == 404).then_some(())
        })
        .await;
    }

    async fn get(&self, provider: &str, path: &str) -> Value {
        self.send(Method::GET, &self.url(provider, path), BEARER, None).await.1
    }

    async fn state(&self, provider: &str, path: &str, state: &str) -> Value {
        until(&format!("{path} {state}"), PATIENCE, async || {
            let found = self.get(provider, path).await;
            (found["status"]["state"] == state).then_some(found)
        })
        .await
    }

    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send(method, &format!("{}/admin/v1/{path}", self.proxy.admin), ADMIN_TOKEN, body).await
    }

    async fn orphans(&self) -> Vec<Value> {
        self.admin(Method::GET, "orphans", None).await.1["items"].as_array().cloned().unwrap_or_default()
    }

    /// The only orphan of a type, once a sweep saw it.
    async fn orphan(&self, object_type: &str) -> Orphan {
        until(&format!("an orphan {object_type}"), PATIENCE, async || {
            let all = self.orphans().await;
            let found: Vec<&Value> = all.iter().filter(|orphan| orphan["type"] == object_type).collect();
            let [orphan] = found[..] else { return None };
            let text = |name: &str| orphan[name].as_str().unwrap().to_owned();
            Some(Orphan { project: text("project"), object_type: text("type"), id: text("id") })
        })
        .await
    }

    /// Ends the proxy, takes the database back to a copy, and lets this database rule. What is sent to the provider in
    /// between is seen at the start. `is_overtaken`: another process has ruled the project since the copy.
    async fn restore(&mut self, copy: &str, is_overtaken: bool, meanwhile: Option<(&str, Value)>) {
        assert_eq!(self.proxy.stop().await, Some(0));
        if let Some((path, body)) = meanwhile {
            let url = format!("{}/v1{path}", self.sim.base);
            assert_eq!(self.send(Method::PUT, &url, &self.sim.token, Some(body)).await.0, 200);
        }
        for end in ["-wal", "-shm"] {
            drop(fs::remove_file(self.path().join(format!("{DATABASE}{end}"))));
        }
        fs::copy(self.path().join(copy), self.path().join(DATABASE)).unwrap();
        self.proxy = self.setup.serve().await;
        if !is_overtaken {
            return;
        }
        let paused = async || {
            let projects = self.admin(Method::GET, "projects", None).await.1;
            projects["items"].as_array().unwrap().iter().any(|project| !project["paused"].is_null())
        };
        until("the project is paused", PATIENCE, async || paused().await.then_some(())).await;
        let (code, told) = self.run(&["adopt-projects", "--yes"]).await;
        assert_eq!(code, Some(0), "{told}");
        assert!(!paused().await);
    }

    /// Runs a command of the binary.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let address = self.proxy.admin.clone();
        let setup = self.setup.clone().with("SECA_ADMIN_BASE_URL", &address);
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let run = move || setup.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn orphan_command(&self, verb: &str, orphan: &Orphan, more: &[&str]) -> (Option<i32>, String) {
        let mut arguments = vec!["orphans", verb, &orphan.project, &orphan.object_type, &orphan.id];
        arguments.extend(more);
        self.run(&arguments).await
    }

    /// The objects of a type at the simulator.
    async fn objects(&self, collection: &str) -> Vec<Value> {
        self.sim.get("/inventory").await["objects"][collection].as_array().cloned().unwrap_or_default()
    }

    /// Kills the proxy while a request is held, starts it again, and lets the request go; nothing where none is held.
    async fn kill_while_held(&mut self, fault: u64, effect: &str) {
        if !effect.starts_with("hold_") {
            return;
        }
        until("the request is held", PATIENCE, async || self.sim.fault(fault).await.1.then_some(())).await;
        self.proxy.process.kill();
        self.proxy = self.setup.serve().await;
        self.sim.control("POST", &format!("/faults/{fault}/release"), None).await;
    }

    async fn backup(&self, file: &str) {
        let (code, told) = self.run(&["backup", file]).await;
        assert_eq!(code, Some(0), "{told}");
    }
}

/// Which orphan.
#[derive(Clone, Debug)]
struct Orphan {
    project: String,
    object_type: String,
    id: String,
}

impl Orphan {
    fn path(&self) -> String {
        format!("orphans/{}/{}/{}", self.project, self.object_type, self.id)
    }
}

/// A world whose database forgot a volume, an address and a server.
async fn forgetful() -> World {
    let mut world = World::start().await;
    world.backup("before.db").await;
    world.put("storage", "/block-storages/data", volume(10)).await;
    world.put("network", "/public-ips/front", json!({"spec": {"version": "IPv4"}})).await;
    world.state("storage", "/block-storages/data", "active").await;
    world.state("network", "/public-ips/front", "active").await;
    world.restore("before.db", false, None).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_described_then_removed_and_what_is_claimed_is_not() {
    let world = forgetful().await;
    let orphan = world.orphan("volume").await;

    // Nothing changes without --yes. The command tells all that it knows.
    let (code, told) = world.orphan_command("remove", &orphan, &[]).await;
    assert_eq!(code, Some(3), "{told}");
    for part in ["volume", &orphan.id, "10 GB", "made 20", "0 days ago", "dev/shop/data", "seca.managed=true", "--yes"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(world.objects("volumes").await.len(), 1);

    // What a resource has is named, and what nobody saw is not known.
    world.put("storage", "/block-storages/mine", volume(10)).await;
    world.state("storage", "/block-storages/mine", "active").await;
    let volumes = world.objects("volumes").await;
    let mine = volumes.iter().map(id_of).find(|id| *id != orphan.id).unwrap();
    let (status, told) = world.admin(Method::DELETE, &format!("orphans/{}/volume/{mine}", orphan.project), None).await;
    assert_eq!(status, 409, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("block-storages/mine"), "{told}");
    let unknown = format!("orphans/{}/volume/999999", orphan.project);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(world.admin(method, &unknown, None).await.0, 404);
    }

    let (code, told) = world.orphan_command("remove", &orphan, &["--yes"]).await;
    assert_eq!((code, told.contains("it was removed")), (Some(0), true), "{told}");
    let left: Vec<String> = world.objects("volumes").await.iter().map(id_of).collect();
    assert_eq!(left, [mine], "the orphan is gone, and nothing else is");
    assert_eq!(world.admin(Method::DELETE, &orphan.path(), None).await.0, 404, "it is known no more");
    // What was done is written down.
    let done = world.admin(Method::GET, "activity", None).await.1.to_string();
    assert!(done.contains("remove-orphan") && done.contains(&orphan.path()), "{done}");
    assert_eq!(world.state("storage", "/block-storages/mine", "active").await["status"]["sizeGB"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_whose_labels_changed_is_not_removed() {
    let world = forgetful().await;
    let orphan = world.orphan("volume").await;
    // Somebody gives it to another installation, after the sweep saw it.
    let url = format!("{}/v1/volumes/{}", world.sim.base, orphan.id);
    let held = world.sim.spoil("GET", "/volumes/*", 1, "hold_before_commit").await;
    assert_eq!(world.admin(Method::DELETE, &orphan.path(), None).await.0, 202);
    until("it is being read", PATIENCE, async || world.sim.fault(held).await.1.then_some(())).await;
    let labels = json!({"labels": {"seca.managed": "true", "seca.installation": "another"}});
    assert_eq!(world.send(Method::PUT, &url, &world.sim.token, Some(labels)).await.0, 200);
    world.sim.control("POST", &format!("/faults/{held}/release"), None).await;
    until("it is refused", PATIENCE, async || {
        let order = world.admin(Method::GET, &orphan.path(), None).await.1["order"].clone();
        let is_gone = order.is_null() && !world.orphans().await.iter().any(|other| other["id"] == orphan.id.as_str());
        (order["state"] == "refused" || is_gone).then_some(())
    })
    .await;
    assert_eq!(world.objects("volumes").await.len(), 1, "it is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_given_to_a_resource_without_an_object_of_its_own() {
    let mut world = forgetful().await;
    let (volume_orphan, address) = (world.orphan("volume").await, world.orphan("primary_ip").await);

    // One that has a volume gets none.
    world.put("storage", "/block-storages/full", volume(10)).await;
    world.state("storage", "/block-storages/full", "active").await;
    let (code, told) = world.orphan_command("adopt", &volume_orphan, &["--into", "dev/shop/full", "--yes"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("an object of its own"), "{told}");
    let (code, told) = world.orphan_command("adopt", &volume_orphan, &["--into", "dev/shop/nowhere", "--yes"]).await;
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = world.orphan_command("adopt", &volume_orphan, &["--into", "a/b/c/d", "--yes"]).await;
    assert_eq!(code, Some(2), "{told}");

    // One that lost it does, and grows to what it asks for.
    let lost = lose(&mut world).await;
    let (code, told) = world.orphan_command("adopt", &volume_orphan, &["--into", "dev/shop/lost"]).await;
    assert_eq!((code, told.contains("nothing was changed")), (Some(3), true), "{told}");
    let (code, told) = world.orphan_command("adopt", &volume_orphan, &["--into", "dev/shop/lost", "--yes"]).await;
    assert_eq!((code, told.contains("it is dev/shop/lost's now")), (Some(0), true), "{told}");
    let found = world.state("storage", "/block-storages/lost", "active").await;
    assert_eq!(found["status"]["sizeGB"], 20, "{found}");
    let volumes = world.objects("volumes").await;
    let given = volumes.iter().find(|volume| id_of(volume) == volume_orphan.id).unwrap();
    assert_eq!(given["labels"]["seca.name"], "lost", "{given}");
    assert_ne!(volume_orphan.id, lost);

    // An address goes to a public IP; of another kind it is refused.
    let (status, told) = world
        .admin(Method::PUT, &address.path(), Some(json!({"tenant": "dev", "workspace": "shop", "name": "lost"})))
        .await;
    assert_eq!(status, 404, "{told}");
    // What it is now goes with it, and leaves nothing.
    world.delete("storage", "/block-storages/lost").await;
    world.delete("storage", "/block-storages/full").await;
    assert_eq!(world.objects("volumes").await, Vec::<Value>::new());
    let (code, told) = world.orphan_command("remove", &address, &["--yes"]).await;
    assert_eq!(code, Some(0), "{told}");
    // The next sweep sees that.
    assert_eq!(world.proxy.stop().await, Some(0));
    world.proxy = world.setup.serve().await;
    until("no orphan is left", PATIENCE, async || world.orphans().await.is_empty().then_some(())).await;
}

/// Makes a block storage of 20 GB whose volume somebody deletes while no proxy runs; the id of that volume.
async fn lose(world: &mut World) -> String {
    let before: Vec<String> = world.objects("volumes").await.iter().map(id_of).collect();
    world.put("storage", "/block-storages/lost", volume(20)).await;
    world.state("storage", "/block-storages/lost", "active").await;
    let all = world.objects("volumes").await;
    let id = all.iter().map(id_of).find(|id| !before.contains(id)).unwrap();
    let url = format!("{}/v1/volumes/{id}", world.sim.base);
    assert_eq!(world.proxy.stop().await, Some(0));
    assert_eq!(world.send(Method::DELETE, &url, &world.sim.token, None).await.0, 204);
    world.proxy = world.setup.serve().await;
    until("BackingLost", PATIENCE, async || {
        let found = world.get("storage", "/block-storages/lost").await;
        (found["status"]["conditions"][0]["reason"] == "BackingLost").then_some(())
    })
    .await;
    id
}

/// Giving a volume takes two requests, and this may happen to them. Each list is a story in a world of its own. The stories
/// run at the same time, because they mostly wait. Each story begins with [`FIRST_GIVING`], and every case of its list with
/// a restored database.
const GIVING: [&[(&str, &str)]; 4] = [
    &[("GET", "lose_reply_before_commit"), ("PUT", "hold_before_commit")],
    &[("PUT", "hold_after_commit"), ("PUT", "lose_reply_before_commit")],
    &[("PUT", "lose_reply_after_commit")],
    // This call takes effect late, and would undo a restore after it.
    &[("PUT", "late_commit")],
];
/// The proxy is killed in it, so that another process has ruled the project since the copy.
const FIRST_GIVING: (&str, &str) = ("GET", "hold_before_commit");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_volume_has_one_owner_in_the_end_whatever_happens_to_its_giving() {
    together(GIVING.map(give)).await;
}

async fn give(cases: &[(&str, &str)]) {
    let mut world = forgetful().await;
    let orphan = world.orphan("volume").await;
    lose(&mut world).await;
    // All begins here, each time.
    world.backup("lost.db").await;
    let labels = world.objects("volumes").await[0]["labels"].clone();
    let into = json!({"tenant": "dev", "workspace": "shop", "name": "lost"});
    for (index, (method, effect)) in [FIRST_GIVING].iter().chain(cases).enumerate() {
        println!("{method} {effect}");
        if index > 0 {
            // Back to the orphan.
            let url = format!("/volumes/{}", orphan.id);
            world.restore("lost.db", true, Some((&url, json!({"labels": labels.clone()})))).await;
            until("BackingLost", PATIENCE, async || {
                let found = world.get("storage", "/block-storages/lost").await;
                (found["status"]["conditions"][0]["reason"] == "BackingLost").then_some(())
            })
            .await;
            world.orphan("volume").await;
        }
        let fault = world.sim.spoil(method, "/volumes/*", 1, effect).await;
        assert_eq!(world.admin(Method::PUT, &orphan.path(), Some(into.clone())).await.0, 202);
        // Said twice, it is one order.
        assert_eq!(world.admin(Method::PUT, &orphan.path(), Some(into.clone())).await.0, 202);
        world.kill_while_held(fault, effect).await;
        let found = world.state("storage", "/block-storages/lost", "active").await;
        assert_eq!(found["status"]["sizeGB"], 20, "{found}");
        let volumes = world.objects("volumes").await;
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        assert_eq!(id_of(&volumes[0]), orphan.id);
        assert_eq!(volumes[0]["labels"]["seca.name"], "lost", "{volumes:?}");
        assert!(world.sim.fault(fault).await.0 > 0, "{method} {effect} came up");
        world.sim.remove_fault(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_orphan_is_removed_once_whatever_happens_to_its_removal() {
    let cases = [
        ("GET", "hold_before_commit"),
        ("GET", "lose_reply_before_commit"),
        ("DELETE", "hold_before_commit"),
        ("DELETE", "hold_after_commit"),
        ("DELETE", "lose_reply_before_commit"),
        ("DELETE", "lose_reply_after_commit"),
        ("DELETE", "late_commit"),
    ];
    together(cases.map(|(method, effect)| remove(method, effect))).await;
}

async fn remove(method: &str, effect: &str) {
    println!("{method} {effect}");
    let mut world = forgetful().await;
    let orphan = world.orphan("volume").await;
    let fault = world.sim.spoil(method, "/volumes/*", 1, effect).await;
    assert_eq!(world.admin(Method::DELETE, &orphan.path(), None).await.0, 202);
    world.kill_while_held(fault, effect).await;
    until("the order has ended", PATIENCE, async || {
        (world.admin(Method::GET, &orphan.path(), None).await.0 == 404).then_some(())
    })
    .await;
    assert_eq!(world.objects("volumes").await, Vec::<Value>::new(), "{method} {effect}");
    assert_eq!(world.objects("primary_ips").await.len(), 1, "the other orphan stays");
}

/// Tells stories beside each other; one that fails is the test's failure.
async fn together(stories: impl IntoIterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let told: Vec<_> = stories.into_iter().map(tokio::spawn).collect();
    for story in told {
        story.await.unwrap();
    }
}
