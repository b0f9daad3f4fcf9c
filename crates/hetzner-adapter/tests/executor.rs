//! The executor against the simulator: what becomes of calls that go well, badly, or are lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use std::{sync::Arc, time::Duration};

use cloud::{Cloud, TOKEN, open_gate};
use control_plane::{
    Reason,
    ports::{CloudProvider, Epoch, Outcome, Step},
};
use hcloud_client::types::{
    AddSubnet, CreateNetwork, CreateServer, CreateServerFirewall, CreateVolume, Id, Labels, Network, Route, Server,
};
use hetzner_adapter::{
    HetznerProvider, Observation, Snapshot,
    call::{Call, Until},
    naming,
    objects::{FirewallCall, ImageCall, NetworkCall, Object, ObjectId, ObjectType, ServerCall, VolumeCall},
    owner::Owner,
    snapshot::{Change, Usage},
};
use http::Method;
use serde_json::{Value, json};

const UID: &str = "018f4e9c-0000-7000-8000-0000000000aa";

struct World {
    cloud: Cloud,
    provider: Arc<HetznerProvider>,
}

impl World {
    fn new(speed: f64) -> Self {
        let cloud = Cloud::new(speed);
        Self { provider: cloud.provider(), cloud }
    }

    async fn execute(&self, step: &Step) -> Outcome<Observation> {
        self.provider.execute(&self.cloud.access(TOKEN), step, &open_gate()).await
    }

    async fn verify(&self, step: &Step) -> Outcome<Observation> {
        self.provider.verify(&self.cloud.access(TOKEN), step, &open_gate()).await
    }

    /// Executes, and waits for the actions.
    async fn finish(&self, call: &(impl Clone + Into<Call>)) -> Outcome<Observation> {
        let step = call.clone().into().step("x");
        match self.execute(&step).await {
            Outcome::Running { action, .. } => {
                self.provider.wait(&self.cloud.access(TOKEN), &step, &action, &open_gate()).await
            }
            outcome => outcome,
        }
    }

    /// A server that is off.
    async fn server(&self) -> Id<Server> {
        match done(self.finish(&create_server(&[])).await).as_slice() {
            [Change::Seen(Object::Server(server))] => server.id,
            other => panic!("{other:?}"),
        }
    }
}

fn labels(uid: &str) -> Labels {
    let mut labels = naming::shared_labels("inst", "x");
    labels.remove(naming::PURPOSE);
    labels.insert(naming::UID.into(), uid.into());
    labels
}

fn create_network(uid: &str) -> Call {
    let body = CreateNetwork {
        name: "net".into(),
        ip_range: "10.0.0.0/16".parse().unwrap(),
        labels: labels(uid),
        subnets: Vec::new(),
        routes: Vec::new(),
        expose_routes_to_vswitch: None,
    };
    NetworkCall::Create(Box::new(body)).into()
}

fn create_server(firewalls: &[i64]) -> Call {
    ServerCall::Create(Box::new(CreateServer {
        name: "srv".into(),
        server_type: "cx23".into(),
        image: "ubuntu-24.04".into(),
        location: Some("fsn1".into()),
        labels: labels(UID),
        start_after_create: Some(false),
        firewalls: firewalls.iter().map(|id| CreateServerFirewall { firewall: Id::new(*id) }).collect(),
        ..CreateServer::default()
    }))
    .into()
}

fn done(outcome: Outcome<Observation>) -> Vec<Change> {
    match outcome {
        Outcome::Done(observation) => observation.changes().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// What is so instead, to be planned by at once.
fn refuted(outcome: Outcome<Observation>) -> Vec<Change> {
    match outcome {
        Outcome::Refuted { observation, retry: None } => observation.changes().to_vec(),
        other => panic!("{other:?}"),
    }
}

fn reason(outcome: &Outcome<Observation>) -> (&'static str, Option<Reason>, Option<u64>) {
    match outcome {
        Outcome::Done(_) => ("done", None, None),
        Outcome::Running { .. } => ("running", None, None),
        Outcome::Unknown(_) => ("unknown", None, None),
        Outcome::Retry { after, note } => ("retry", Some(note.reason), after.map(|after| after.as_secs())),
        Outcome::Refuted { retry, .. } => (
            "refuted",
            retry.as_ref().map(|(_, note)| note.reason),
            retry.as_ref().and_then(|r| r.0).map(|a| a.as_secs()),
        ),
        Outcome::Terminal(note) => ("terminal", Some(note.reason), None),
    }
}

#[tokio::test(start_paused = true)]
async fn each_error_has_its_outcome() {
    use Reason as R;
    let quota = json!({"limits": [{"name": "network_limit"}]});
    for (status, code, message, expected) in [
        (423, "locked", "busy", ("retry", Some(R::ProviderBusy), Some(1))),
        (409, "conflict", "busy", ("retry", Some(R::ProviderBusy), None)),
        (403, "resource_limit_exceeded", "too many", ("retry", Some(R::QuotaExceeded), Some(300))),
        (412, "resource_unavailable", "none left", ("retry", Some(R::CapacityUnavailable), Some(30))),
        (422, "placement_error", "no host", ("retry", Some(R::CapacityUnavailable), Some(30))),
        (422, "no_space_left_in_location", "full", ("retry", Some(R::CapacityUnavailable), Some(30))),
        (
            422,
            "invalid_input",
            "unsupported location for server type",
            ("retry", Some(R::CapacityUnavailable), Some(30)),
        ),
        (422, "invalid_input", "ip_range is bad", ("terminal", Some(R::ProviderRefused), None)),
        (401, "unauthorized", "no", ("retry", Some(R::CredentialRejected), Some(60))),
        (401, "token_readonly", "no", ("retry", Some(R::CredentialReadOnly), Some(60))),
        (403, "forbidden", "no", ("retry", Some(R::ProviderUnavailable), Some(60))),
        (503, "maintenance", "later", ("retry", Some(R::ProviderUnavailable), Some(60))),
        (422, "service_error", "servers are attached", ("retry", Some(R::ProviderBusy), None)),
        (423, "protected", "protected", ("retry", Some(R::ProviderRefused), Some(300))),
        (500, "server_error", "oops", ("unknown", None, None)),
        (502, "bad_gateway", "oops", ("unknown", None, None)),
        (503, "unavailable", "oops", ("unknown", None, None)),
        (504, "timeout", "oops", ("unknown", None, None)),
    ] {
        let world = World::new(0.0);
        let details = if code == "resource_limit_exceeded" { quota.clone() } else { Value::Null };
        let effect = json!({"type": "error", "status": status, "code": code, "message": message, "details": details});
        world.cloud.fault(json!({"mutating": true}), effect).await;
        let outcome = world.execute(&create_network(UID).step("net")).await;
        assert_eq!(reason(&outcome), expected, "{code}");
        if let Outcome::Retry { note, .. } | Outcome::Terminal(note) = &outcome {
            assert!(note.message.contains(message), "{}", note.message);
            assert!(code != "resource_limit_exceeded" || note.message.contains("network_limit"), "{}", note.message);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn forbidden_is_about_the_token_only_when_the_marker_may_not_be_written_either() {
    let forbidden = json!({"type": "error", "status": 403, "code": "forbidden", "message": "not now"});
    for (spoiled, expected, words) in [
        (json!({"mutating": true, "path": "/networks"}), Reason::ProviderUnavailable, "not now"),
        (json!({"mutating": true, "count": 2}), Reason::CredentialReadOnly, "may only read"),
    ] {
        let world = World::new(0.0);
        let epoch = Epoch { number: 3, nonce: "n".to_owned() };
        let access = world.cloud.access(TOKEN);
        world.provider.write_marker(&access, cloud::INSTALLATION, &epoch, None, &open_gate()).await.unwrap();
        world.cloud.fault(spoiled.clone(), forbidden.clone()).await;
        let outcome = world.execute(&create_network(UID).step("net")).await;
        let Outcome::Retry { after: Some(after), note } = outcome else { panic!("{outcome:?}") };
        assert_eq!((note.reason, after.as_secs()), (expected, 60), "{spoiled}");
        assert!(note.message.contains(words), "{}", note.message);
        let marker = world.provider.read_marker(&access, cloud::INSTALLATION).await.unwrap().unwrap();
        assert_eq!(marker.epoch, Some(epoch), "the proof changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_by_us_is_adopted_and_another_is_named() {
    let world = World::new(0.0);
    let [Change::Seen(Object::Network(made))] = &done(world.finish(&create_network(UID)).await)[..] else { panic!() };
    let [Change::Seen(Object::Network(again))] = &done(world.finish(&create_network(UID)).await)[..] else { panic!() };
    assert_eq!(made.id, again.id);
    let outcome = world.finish(&create_network("018f4e9c-0000-7000-8000-0000000000bb")).await;
    let Outcome::Terminal(note) = outcome else { panic!("{outcome:?}") };
    assert_eq!(note.reason, Reason::NameTaken);
    assert!(note.message.contains(&made.id.to_string()) && note.message.contains("net"), "{}", note.message);
    assert_eq!(world.cloud.inventory().await["counts"]["networks"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_creation_is_found_by_name_or_not() {
    for (effect, expected) in [("lose_reply_after_commit", "done"), ("lose_reply_before_commit", "retry")] {
        for call in [create_network(UID), create_server(&[])] {
            let world = World::new(1.0);
            world.cloud.fault(json!({"mutating": true}), json!({"type": effect})).await;
            let step = call.step("x");
            assert_eq!(reason(&world.execute(&step).await).0, "unknown");
            let mut found = world.verify(&step).await;
            if let Outcome::Running { action, .. } = &found {
                assert_eq!(step.operation, "create_server", "what is being made is waited for");
                found = world.provider.wait(&world.cloud.access(TOKEN), &step, action, &open_gate()).await;
            }
            assert_eq!(reason(&found).0, expected, "{effect} {}", step.operation);
        }
    }
}

/// The label `seca.step` tells which of several creations an object came of.
fn planned(call: &Call, at: &str) -> Step {
    let mut call = call.clone();
    match &mut call {
        Call::Network(NetworkCall::Create(body)) => drop(body.labels.insert(naming::STEP.into(), at.into())),
        Call::Server(ServerCall::Create(body)) => drop(body.labels.insert(naming::STEP.into(), at.into())),
        other => panic!("{other:?}"),
    }
    call.step("x")
}

#[tokio::test(start_paused = true)]
async fn an_object_closes_only_the_creation_that_it_came_of() {
    for call in [create_network(UID), create_server(&[])] {
        let world = World::new(0.0);
        let (first, second) = (planned(&call, "create.1.1"), planned(&call, "create.1.2"));
        world.cloud.fault(json!({"mutating": true}), json!({"type": "lose_reply_before_commit"})).await;
        assert_eq!(reason(&world.execute(&first).await).0, "unknown");
        world.cloud.fault(json!({"mutating": true}), json!({"type": "lose_reply_after_commit"})).await;
        assert_eq!(reason(&world.execute(&second).await).0, "unknown");
        // There is one object, and the first creation may yet make another once that one is gone.
        assert_eq!(reason(&world.verify(&first).await).0, "retry", "{}", first.operation);
        assert_eq!(reason(&world.verify(&second).await).0, "done", "{}", first.operation);
        // A name that is taken is a proof that this call made nothing: whoever made the object, it is ours.
        assert_eq!(reason(&world.execute(&first).await).0, "done", "{}", first.operation);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_creation_left_is_removed_and_never_taken() {
    for (call, kind) in [(create_server(&[]), "server"), (create_volume(), "volume")] {
        let world = World::new(1.0);
        let failing = json!({"type": "action_error", "code": "action_failed", "message": "no luck"});
        world.cloud.fault(json!({"method": "POST"}), failing).await;
        let outcome = world.finish(&call).await;
        assert_eq!(reason(&outcome), ("refuted", Some(Reason::ProviderActionFailed), None), "{call:?}");
        assert!(world.cloud.counts().await.is_empty());
        if kind == "volume" {
            // The simulator keeps nothing of it.
            continue;
        }

        // The same when the answer was lost, and when the first try to remove it fails.
        world.cloud.fault(json!({"method": "POST"}), json!({"type": "lose_reply_after_commit"})).await;
        let busy = json!({"type": "error", "status": 423, "code": "locked", "message": "busy"});
        world.cloud.fault(json!({"method": "DELETE"}), busy).await;
        let step = call.step("x");
        assert_eq!(reason(&world.execute(&step).await).0, "unknown");
        let (name, _) = call.creates().unwrap();
        // Its running actions fail.
        world.cloud.mutate(json!({"type": kind, "name": name, "op": "unlock"})).await;
        assert_eq!(reason(&world.verify(&step).await).0, "unknown", "what is left is still there");
        assert!(!world.cloud.counts().await.is_empty());
        assert_eq!(reason(&world.verify(&step).await).0, "refuted");
        assert!(world.cloud.counts().await.is_empty());
        assert_eq!(reason(&world.finish(&call).await).0, "done", "it is made again");
    }
}

#[tokio::test(start_paused = true)]
async fn one_404_to_an_action_proves_nothing() {
    let world = World::new(0.0);
    let server = world.server().await;
    let gone = json!({"type": "error", "status": 404, "code": "not_found", "message": "no such server"});
    for call in [
        ServerCall::Poweron { server }.into(),
        ServerCall::Shutdown { server, seq: 1, issued_at: 0 }.into(),
        ServerCall::Delete { server }.into(),
        create_image(server, UID),
    ] {
        world.cloud.fault(json!({"mutating": true}), gone.clone()).await;
        let outcome = world.finish(&call).await;
        let Outcome::Refuted { observation, retry: Some(_) } = &outcome else { panic!("{call:?}: {outcome:?}") };
        assert!(matches!(observation.changes(), [Change::Seen(Object::Server(s))] if s.id == server), "{call:?}");
    }
    assert_eq!(world.cloud.inventory().await["counts"]["servers"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_actions_of_an_object_tell_whether_it_was_used_whoever_did_it() {
    let world = World::new(0.0);
    let server = world.server().await;
    let object = ObjectId::Server(server);
    let usage = |changes: Vec<Change>| match changes[..] {
        [Change::Seen(_), Change::Used(_, usage)] => usage,
        _ => panic!("{changes:?}"),
    };
    let failing = json!({"type": "action_error", "code": "action_failed", "message": "no luck"});
    world.cloud.fault(json!({"mutating": true}), failing).await;
    let outcome = world.finish(&ServerCall::Poweron { server }).await;
    assert_eq!(reason(&outcome).0, "refuted", "it is seen off");
    let history = Call::History { object, attempt: 0, at: 7 };
    let found = usage(done(world.finish(&history).await));
    let never = Usage { ever: false, newest: None, attempt: 0, at: 7, answered: found.answered };
    assert_eq!(found, never, "it never came up");
    done(world.finish(&ServerCall::Poweron { server }).await);
    done(world.finish(&ServerCall::Poweroff { server }).await);
    let found = usage(done(world.finish(&history).await));
    let actions = world.cloud.hetzner(Method::GET, &format!("/servers/{server}/actions"), &json!({})).await;
    let newest = actions["actions"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|action| action["command"] == "start_server" && action["status"] == "success");
    let started: seca_api::Timestamp = newest.unwrap()["started"].as_str().unwrap().parse().unwrap();
    assert_eq!((found.ever, found.newest), (true, Some(started.as_millis())), "when it was switched on, not off");
}

#[tokio::test(start_paused = true)]
async fn an_object_is_found_by_its_label_and_by_its_name() {
    let world = World::new(0.0);
    let find = |uid: &str, name: &str| Call::Find {
        kind: ObjectType::Network,
        installation: "inst".into(),
        owner: Owner::main(uid.parse().unwrap()),
        name: Some(name.into()),
    };
    const OTHER: &str = "018f4e9c-0000-7000-8000-0000000000bb";
    done(world.finish(&create_network(UID)).await);
    for (uid, name, seen) in [(UID, "other", true), (OTHER, "net", true), (OTHER, "other", false)] {
        let changes = done(world.finish(&find(uid, name)).await);
        let has_seen =
            matches!(&changes[..], [Change::Seen(Object::Network(n)), Change::Absent { .. }] if n.name == "net");
        assert_eq!(has_seen, seen, "{changes:?}");
    }
    let effect = json!({"type": "error", "status": 503, "code": "unavailable", "message": "later"});
    world.cloud.fault(json!({"method": "GET", "count": 0}), effect).await;
    assert_eq!(reason(&world.finish(&find(OTHER, "other")).await).0, "retry", "no answer proves nothing");
}

fn create_image(server: Id<Server>, uid: &str) -> Call {
    ImageCall::Create { server, description: "copy".into(), labels: labels(uid) }.into()
}

#[tokio::test(start_paused = true)]
async fn a_lost_snapshot_is_found_by_its_label_or_not() {
    const OTHER: &str = "018f4e9c-0000-7000-8000-0000000000bb";
    for (effect, expected) in [("lose_reply_after_commit", "done"), ("lose_reply_before_commit", "retry")] {
        let world = World::new(1.0);
        let server = world.server().await;
        // Of the same description, and another's.
        done(world.finish(&create_image(server, OTHER)).await);
        world.cloud.fault(json!({"mutating": true}), json!({"type": effect})).await;
        let step = create_image(server, UID).step("x");
        assert_eq!(reason(&world.execute(&step).await).0, "unknown");
        let found = world.verify(&step).await;
        assert_eq!(reason(&found).0, expected, "{effect}");
        if let Outcome::Done(found) = &found {
            let [Change::Seen(Object::Image(image))] = found.changes() else { panic!("{found:?}") };
            assert_eq!((image.labels[naming::UID].as_str(), image.status.as_str()), (UID, "creating"));
            let read = Call::Read { object: ObjectId::Image(image.id), until: Until::Settled, why: None }.step("copy");
            let Outcome::Retry { after, .. } = world.execute(&read).await else { panic!("it is being made") };
            assert_eq!(after, None, "the engine learns how long it takes");
            tokio::time::sleep(Duration::from_secs(180)).await;
            let [Change::Seen(Object::Image(image))] = &done(world.execute(&read).await)[..] else { panic!() };
            assert_eq!(image.status.as_str(), "available");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_read_when_its_action_is_done_and_goes_with_its_resource() {
    let world = World::new(1.0);
    let server = world.server().await;
    let [Change::Seen(Object::Image(image))] = &done(world.finish(&create_image(server, UID)).await)[..] else {
        panic!()
    };
    assert_eq!((image.status.as_str(), image.disk_size), ("available", 40.0));
    let snapshot = world.provider.observe(&world.cloud.access(TOKEN)).await.unwrap();
    let owned = world.provider.owned(&snapshot, "inst");
    let types: Vec<_> = owned.iter().map(|object| (object.object_type.as_str(), object.name.as_str())).collect();
    assert_eq!(types, [("server", "srv"), ("image", "copy")], "the provider's own images are none of the project's");
    assert!(owned[1].created.is_some());
    let sweep = world.provider.removal(&owned[1]).unwrap();
    assert!(matches!(done(world.execute(&sweep).await)[..], [Change::Gone(ObjectId::Image(_))]));
    // A server that is gone is what the next plan must know.
    done(world.finish(&ServerCall::Delete { server }).await);
    let changes = refuted(world.finish(&create_image(server, UID)).await);
    assert!(matches!(changes[..], [Change::Gone(ObjectId::Server(_))]), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_up_stays_unknown() {
    let world = World::new(0.0);
    let effect = json!({"type": "error", "status": 500, "code": "server_error", "message": "oops"});
    world.cloud.fault(json!({"count": 0}), effect).await;
    let outcome = world.verify(&create_network(UID).step("net")).await;
    assert_eq!(reason(&outcome).0, "unknown", "an unanswered look-up proves nothing");
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_looked_up_in_the_servers_actions() {
    let world = World::new(1.0);
    let server = world.server().await;
    done(world.finish(&ServerCall::Poweron { server }).await);
    let now = 1_790_000_000_000 + 60_000;
    let reboot = |after_action| ServerCall::Reboot { server, issued_at: now, after_action };
    assert_eq!(reason(&world.verify(&reboot(None).step("srv")).await).0, "retry", "there is none");
    world.cloud.fault(json!({"path": "/servers/*/actions/reboot"}), json!({"type": "lose_reply_after_commit"})).await;
    let step = reboot(None).step("srv");
    assert_eq!(reason(&world.execute(&step).await).0, "unknown");
    let outcome = world.verify(&step).await;
    let Outcome::Running { action, observation } = &outcome else { panic!("{outcome:?}") };
    let [Change::Rebooted { action: known, .. }] = observation.changes() else { panic!("{observation:?}") };
    assert_eq!(&known.to_string(), action);
    assert_eq!(reason(&world.verify(&reboot(Some(*known)).step("srv")).await).0, "retry", "that one was before");
    done(world.provider.wait(&world.cloud.access(TOKEN), &step, action, &open_gate()).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_told_whatever_was_to_be_done_to_it() {
    let world = World::new(0.0);
    let server = Id::new(4_711);
    for call in [
        Call::from(ServerCall::Delete { server }),
        ServerCall::Poweron { server }.into(),
        ServerCall::Shutdown { server, seq: 1, issued_at: 0 }.into(),
        Call::Read { object: ObjectId::Server(server), until: Until::Settled, why: None },
        VolumeCall::Delete { volume: Id::new(4_711) }.into(),
        NetworkCall::Delete { network: Id::new(4_711) }.into(),
        FirewallCall::Delete { firewall: Id::new(4_711) }.into(),
        ImageCall::Delete { image: Id::new(4_711) }.into(),
        Call::Read { object: ObjectId::Image(Id::new(4_711)), until: Until::Settled, why: None },
        NetworkCall::DeleteSubnet { network: Id::new(4_711), ip_range: "10.0.0.0/24".parse().unwrap() }.into(),
    ] {
        let changes = match call {
            // Nothing was done, and that is known: what the call was to make true is not.
            Call::Server(ServerCall::Poweron { .. } | ServerCall::Shutdown { .. }) => {
                refuted(world.finish(&call).await)
            }
            _ => done(world.finish(&call).await),
        };
        assert!(matches!(changes[..], [Change::Gone(_)]), "{}: {changes:?}", call.operation());
        let verified = world.verify(&call.step("x")).await;
        assert!(matches!(done(verified)[..], [Change::Gone(_)]), "{}", call.operation());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_firewall_just_went_is_planned_again() {
    let world = World::new(0.0);
    let changes = refuted(world.finish(&create_server(&[4_711])).await);
    assert!(matches!(changes[..], [Change::Gone(ObjectId::Firewall(_))]), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_overlaps_shows_the_network_as_it_is() {
    let world = World::new(0.0);
    let [Change::Seen(Object::Network(network))] = &done(world.finish(&create_network(UID)).await)[..] else {
        panic!()
    };
    let add = |range: &str| NetworkCall::AddSubnet {
        network: network.id,
        subnet: AddSubnet::cloud(range.parse().unwrap(), "eu-central"),
        owner: UID.parse().unwrap(),
    };
    let changes = done(world.finish(&add("10.0.1.0/24")).await);
    assert!(matches!(changes[..], [Change::Ended(_), Change::SubnetAdded { .. }]), "{changes:?}");
    let changes = refuted(world.finish(&add("10.0.0.0/22")).await);
    assert!(matches!(&changes[..], [Change::Seen(Object::Network(n))] if n.subnets.len() == 1), "{changes:?}");
    let outcome = world.finish(&add("192.168.0.0/24")).await;
    assert_eq!(reason(&outcome).1, Some(Reason::ProviderRefused), "{outcome:?}");
}

/// What a call is said to make of its object is what the provider shows of it afterwards, without a look in between.
#[tokio::test(start_paused = true)]
async fn what_is_foretold_of_an_object_is_what_it_looks_like() {
    let world = World::new(1.0);
    let mut snapshot = Snapshot::default();
    let server = world.server().await;
    let [Change::Seen(Object::Network(network))] = &done(world.finish(&create_network(UID)).await)[..] else {
        panic!()
    };
    let network = network.id;
    let volume = CreateVolume {
        size: 10,
        name: "data".into(),
        labels: labels(UID),
        location: Some("fsn1".into()),
        server: None,
        automount: None,
        format: None,
    };
    let made = done(world.finish(&VolumeCall::Create(Box::new(volume))).await);
    let Some(Change::Seen(Object::Volume(volume))) = made.first() else { panic!("{made:?}") };
    let volume = volume.id;
    let subnet = AddSubnet::cloud("10.0.1.0/24".parse().unwrap(), "eu-central");
    let route = Route { destination: "10.9.0.0/16".parse().unwrap(), gateway: "10.0.1.9".parse().unwrap() };
    let (ip, alias) = ("10.0.1.7".parse().unwrap(), "10.0.1.8".parse().unwrap());
    let calls: [(Call, bool); 11] = [
        (NetworkCall::AddSubnet { network, subnet, owner: UID.parse().unwrap() }.into(), true),
        (NetworkCall::AddRoute { network, route: route.clone() }.into(), true),
        (ServerCall::AttachToNetwork { server, network, ip, alias_ips: Vec::new() }.into(), false),
        (ServerCall::ChangeAliasIps { server, network, alias_ips: vec![alias] }.into(), true),
        (ServerCall::Poweron { server }.into(), true),
        (VolumeCall::Attach { volume, server }.into(), true),
        (VolumeCall::Resize { volume, size: 20 }.into(), true),
        (VolumeCall::Detach { volume, server }.into(), true),
        (ServerCall::DetachFromNetwork { server, network }.into(), true),
        (NetworkCall::DeleteRoute { network, route }.into(), true),
        (NetworkCall::DeleteSubnet { network, ip_range: "10.0.1.0/24".parse().unwrap() }.into(), true),
    ];
    for (call, is_foretold) in calls {
        let object = call.object().unwrap();
        let read = Call::Read { object, until: Until::Known, why: None };
        snapshot.absorb(Observation::new(done(world.finish(&read).await)));
        let changes = done(world.finish(&call).await);
        let ended = changes.iter().any(|change| matches!(change, Change::Ended(_)));
        assert_eq!(ended, is_foretold, "{}: {changes:?}", call.operation());
        snapshot.absorb(Observation::new(changes));
        let shown = done(world.finish(&read).await);
        match &shown[..] {
            [Change::Seen(Object::Server(shown))] => {
                let told = snapshot.get(shown.id).unwrap();
                assert_eq!(
                    (&told.status, &told.private_net),
                    (&shown.status, &shown.private_net),
                    "{}",
                    call.operation()
                );
            }
            [Change::Seen(Object::Volume(shown))] => {
                let told = snapshot.get(shown.id).unwrap();
                assert_eq!((told.server, told.size), (shown.server, shown.size), "{}", call.operation());
            }
            [Change::Seen(Object::Network(shown))] => {
                let told = snapshot.get(shown.id).unwrap();
                let ranges = |network: &Network| network.subnets.iter().map(|s| s.ip_range).collect::<Vec<_>>();
                assert_eq!((ranges(told), &told.routes), (ranges(shown), &shown.routes), "{}", call.operation());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whether_a_server_is_off_is_read() {
    let world = World::new(1.0);
    let server = world.server().await;
    let power = async |call: Call| match done(world.finish(&call).await).as_slice() {
        [Change::Seen(Object::Server(server)), ..] => server.status.to_string(),
        other => panic!("{other:?}"),
    };
    done(world.finish(&ServerCall::Poweron { server }).await);
    assert_eq!(power(ServerCall::Poweroff { server }.into()).await, "off");
    let read = Call::Read { object: ObjectId::Server(server), until: Until::Off, why: None };
    assert_eq!(power(read.clone()).await, "off");
    done(world.finish(&ServerCall::Poweron { server }).await);
    let Outcome::Retry { after, .. } = world.finish(&read).await else { panic!("it is on") };
    assert_eq!(after, None, "the engine knows when to look again");
}

#[tokio::test(start_paused = true)]
async fn an_action_that_fails_is_tried_again() {
    let world = World::new(1.0);
    let server = world.server().await;
    for (code, expected) in [
        ("action_failed", ("refuted", Some(Reason::ProviderActionFailed), None)),
        ("resource_unavailable", ("refuted", Some(Reason::CapacityUnavailable), Some(30))),
    ] {
        let effect = json!({"type": "action_error", "code": code, "message": "no luck"});
        world.cloud.fault(json!({"mutating": true}), effect).await;
        assert_eq!(reason(&world.finish(&ServerCall::Poweron { server }).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_while_lists_are_read_is_not_forgotten() {
    let world = World::new(0.0);
    let uid = UID.parse().unwrap();
    // The networks are read before the firewalls, whose list is held while a network and a volume are made.
    world.cloud.fault(json!({"method": "GET", "path": "/firewalls"}), json!({"type": "hold_before_commit"})).await;
    let access = world.cloud.access(TOKEN);
    let make = async {
        while !world.cloud.is_holding().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        done(world.finish(&create_network(UID)).await);
        done(world.finish(&create_volume()).await);
        world.cloud.clear_faults().await;
    };
    let (snapshot, ()) = tokio::join!(world.provider.observe(&access), make);
    let owned = world.provider.owned(&snapshot.unwrap(), "inst");
    let types: Vec<_> = owned.iter().map(|object| (object.object_type.as_str(), object.uid)).collect();
    assert_eq!(types, [("volume", Some(uid)), ("network", Some(uid))]);
    for object in &owned {
        let step = world.provider.removal(object).unwrap();
        assert!(matches!(done(world.execute(&step).await)[..], [Change::Gone(_)]));
    }
    assert!(world.cloud.counts().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sweep_removes_only_what_still_is_the_gone_resources() {
    const OTHER: &str = "018f4e9c-0000-7000-8000-0000000000bb";
    let world = World::new(0.0);
    let server = world.server().await;
    let owned = world.provider.owned(&world.provider.observe(&world.cloud.access(TOKEN)).await.unwrap(), "inst");
    let sweep = world.provider.removal(&owned[0]).unwrap();
    assert_eq!(sweep.serial, [format!("server:{server}")], "it keeps clear of other calls");
    // It is handed over after the sweep saw it.
    let hand_over = ServerCall::Update { server, name: "kept".into(), labels: labels(OTHER) };
    done(world.finish(&hand_over).await);
    let changes = done(world.execute(&sweep).await);
    assert!(matches!(&changes[..], [Change::Seen(Object::Server(s))] if s.name == "kept"), "{changes:?}");
    assert_eq!(world.cloud.inventory().await["counts"]["servers"], 1);
    // What cannot be read stays.
    let effect = json!({"type": "error", "status": 503, "code": "maintenance", "message": "later"});
    world.cloud.fault(json!({"method": "GET", "count": 0}), effect).await;
    let sweep = Call::Sweep { object: ObjectId::Server(server), uid: OTHER.parse().unwrap() };
    assert_eq!(reason(&world.finish(&sweep).await).0, "retry");
    assert_eq!(world.cloud.inventory().await["counts"]["servers"], 1);
    world.cloud.clear_faults().await;
    for _ in 0..2 {
        let changes = done(world.finish(&sweep).await);
        assert!(matches!(changes[..], [Change::Gone(ObjectId::Server(_))]), "{changes:?}");
    }
    assert!(world.cloud.counts().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_given_or_removed_only_as_what_it_was_when_that_was_ordered() {
    const OTHER: &str = "018f4e9c-0000-7000-8000-0000000000bb";
    const THIRD: &str = "018f4e9c-0000-7000-8000-0000000000cc";
    let world = World::new(0.0);
    done(world.finish(&create_volume()).await);
    let seen = world.provider.owned(&world.provider.observe(&world.cloud.access(TOKEN)).await.unwrap(), "inst");
    let id: i64 = seen[0].id.parse().unwrap();
    assert_eq!((seen[0].size_gb, seen[0].location.as_deref(), &seen[0].used_by), (Some(10), Some("fsn1"), &None));
    let discard = |installation: &str| world.provider.discard(&seen[0], installation).unwrap();
    let adopt = |from: &str, to: &str| {
        let (from, name, labels) = (Some(from.parse().unwrap()), "given".to_owned(), labels(to));
        Call::Adopt { object: ObjectId::Volume(id.into()), installation: "inst".to_owned(), from, name, labels }
    };
    let owner = async || world.cloud.inventory().await["objects"]["volumes"][0]["labels"][naming::UID].clone();

    // Somebody else's, or another installation's: nothing is sent.
    for step in [adopt(OTHER, THIRD).step("x"), discard("another")] {
        assert!(matches!(world.execute(&step).await, Outcome::Refuted { retry: None, .. }), "{step:?}");
        assert_eq!(owner().await, UID);
    }
    // Given once, twice, and with an answer that was lost.
    for effect in ["lose_reply_before_commit", "lose_reply_after_commit"] {
        let (from, to) = if effect.ends_with("before_commit") { (UID, OTHER) } else { (OTHER, THIRD) };
        world.cloud.fault(json!({"mutating": true}), json!({"type": effect})).await;
        let step = adopt(from, to).step("x");
        assert_eq!(reason(&world.execute(&step).await).0, "unknown", "{effect}");
        world.cloud.clear_faults().await;
        let expected = if owner().await == to { "done" } else { "retry" };
        assert_eq!(reason(&world.verify(&step).await).0, expected, "{effect}");
        for _ in 0..2 {
            let changes = done(world.execute(&step).await);
            assert!(matches!(&changes[..], [Change::Seen(Object::Volume(v))] if v.name == "given"), "{changes:?}");
            assert_eq!(owner().await, to);
        }
    }
    // It is another resource's by now: the removal that was ordered before leaves it alone.
    assert!(matches!(world.execute(&discard("inst")).await, Outcome::Refuted { retry: None, .. }));
    assert_eq!(owner().await, THIRD);
    let seen = world.provider.owned(&world.provider.observe(&world.cloud.access(TOKEN)).await.unwrap(), "inst");
    let discard = world.provider.discard(&seen[0], "inst").unwrap();
    for _ in 0..2 {
        let changes = done(world.execute(&discard).await);
        assert!(matches!(changes[..], [Change::Gone(ObjectId::Volume(_))]), "{changes:?}");
    }
    // And one that is gone is given to nobody.
    let given = world.execute(&adopt(THIRD, UID).step("x")).await;
    assert!(matches!(given, Outcome::Refuted { retry: None, .. }), "{given:?}");
}

#[tokio::test(start_paused = true)]
async fn who_only_watches_lets_changes_go_first() {
    let world = World::new(1.0);
    let server = world.server().await;
    // One request more is left than what only deletions may use; then one comes back every second.
    world.cloud.control(Method::PUT, "/_sim/rate", &json!({"project": "p", "limit": 3600, "remaining": 361})).await;
    let read = Call::Read { object: ObjectId::Server(server), until: Until::Settled, why: None }.step("srv");
    done(world.execute(&read).await);
    let on = ServerCall::Poweron { server }.step("srv");
    let outcomes = tokio::join!(world.execute(&read), world.execute(&on));
    assert_eq!(reason(&outcomes.1).0, "running", "{outcomes:?}");
    let journal = world.cloud.journal("/_sim/journal").await;
    let server = format!("GET /v1/servers/{server}");
    assert_eq!(journal[journal.len() - 2..], [format!("{}/actions/poweron", server.replace("GET", "POST")), server]);
}

fn create_volume() -> Call {
    VolumeCall::Create(Box::new(CreateVolume {
        size: 10,
        name: "vol".into(),
        labels: labels(UID),
        location: Some("fsn1".into()),
        ..CreateVolume::default()
    }))
    .into()
}

#[tokio::test(start_paused = true)]
async fn a_project_that_cannot_be_read_says_why() {
    let world = World::new(0.0);
    let why = async |token: &str| world.provider.observe(&world.cloud.access(token)).await.unwrap_err().note.reason;
    assert_eq!(why("nobody's").await, Reason::CredentialRejected);
    let effect = json!({"type": "error", "status": 503, "code": "maintenance", "message": "later"});
    world.cloud.fault(json!({"count": 0}), effect).await;
    assert_eq!(why(TOKEN).await, Reason::ProviderUnavailable);
}

#[tokio::test(start_paused = true)]
async fn the_catalogue_is_what_the_provider_lists() {
    let world = World::new(0.0);
    let entries = world.provider.catalog(&world.cloud.access(TOKEN)).await.unwrap();
    let catalog = control_plane::Catalog::new(1, entries, "fsn1");
    let list = |kind| catalog.list(kind, "fsn1").map(|entry| entry.name.as_str()).collect::<Vec<_>>();
    let images = list(seca_api::Kind::Image);
    assert!(images.contains(&"ubuntu-24.04") && images.contains(&"ubuntu-24.04-arm64"), "{images:?}");
    assert!(list(seca_api::Kind::InstanceSku).contains(&"seca.d2xs"));
    let image = catalog.get(seca_api::Kind::Image, "fsn1", "ubuntu-24.04").unwrap();
    assert!(image.fact("imageId").unwrap().parse::<i64>().is_ok());
    let spec: seca_api::ImageSpec = serde_json::from_value(Value::Object(image.spec.clone())).unwrap();
    assert_eq!(spec.block_storage_ref.resource, "block-storages/ubuntu-24.04");
}
