//! The calls that shape a server, against the simulator: each is made once, seen, and not made a second time; a lost one
//! is looked up; and after each of them the snapshot tells both sides as the provider's lists would.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use std::{fmt::Debug, sync::Arc};

use cloud::{Cloud, TOKEN, open_gate};
use control_plane::{
    Reason,
    ports::{CloudProvider, Outcome},
};
use hcloud_client::types::{
    AddSubnet, CreateFirewall, CreateNetwork, CreatePlacementGroup, CreatePrimaryIp, CreateServer,
    CreateServerPublicNet, CreateSshKey, CreateVolume, Firewall, Id, IpType, Labels, Network, PlacementGroup,
    PlacementGroupType, PrimaryIp, Server, SshKey, Volume,
};
use hetzner_adapter::{
    HetznerProvider, Observation, Owner, Role, Snapshot,
    call::{Call, Until},
    naming,
    objects::{
        FirewallCall, ImageCall, NetworkCall, Object, ObjectId, ObjectType, PlacementGroupCall, PrimaryIpCall,
        ServerCall, SshKeyCall, VolumeCall,
    },
    snapshot::Change,
};
use http::Method;
use serde_json::json;

const UID: &str = "018f4e9c-0000-7000-8000-0000000000aa";
const OTHER: &str = "018f4e9c-0000-7000-8000-0000000000bb";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fn labels(uid: &str) -> Labels {
    let mut labels = naming::shared_labels("inst", "x");
    labels.remove(naming::PURPOSE);
    labels.insert(naming::UID.into(), uid.into());
    labels
}

/// A project, and what is known of it.
struct World {
    cloud: Cloud,
    provider: Arc<HetznerProvider>,
    snapshot: Snapshot,
}

impl World {
    async fn new() -> Self {
        let cloud = Cloud::new(1.0);
        let provider = cloud.provider();
        let snapshot = provider.observe(&cloud.access(TOKEN)).await.unwrap();
        Self { provider, cloud, snapshot }
    }

    /// Executes a call and waits for its actions.
    async fn finish(&mut self, call: &Call) -> Outcome<Observation> {
        let (access, step) = (self.cloud.access(TOKEN), call.step("x"));
        let outcome = match self.provider.execute(&access, &step, &open_gate()).await {
            Outcome::Running { action, observation } => {
                self.snapshot.absorb(observation);
                self.provider.wait(&access, &step, &action, &open_gate()).await
            }
            outcome => outcome,
        };
        if let Outcome::Done(observation) | Outcome::Refuted { observation, .. } = &outcome {
            self.snapshot.absorb(observation.clone());
        }
        outcome
    }

    async fn done(&mut self, call: impl Into<Call>) -> Vec<Change> {
        let call = call.into();
        match self.finish(&call).await {
            Outcome::Done(observation) => observation.changes().to_vec(),
            other => panic!("{call:?}: {other:?}"),
        }
    }

    /// What a call made.
    async fn made(&mut self, call: impl Into<Call>) -> ObjectId {
        match &self.done(call).await[..] {
            [Change::Seen(object)] => object.object_id(),
            other => panic!("{other:?}"),
        }
    }

    /// A call, so that it is made at most once: it takes effect, is done already when it is made again, and is found
    /// when its answer was lost. Its effect is undone in between by `undo`.
    async fn check(&mut self, call: impl Into<Call>, undo: Option<Call>) {
        let (call, access) = (call.into(), self.cloud.access(TOKEN));
        let step = call.step("x");
        self.done(call.clone()).await;
        self.is_true(&call).await;
        let before = self.cloud.changes().await.len();
        self.done(call.clone()).await;
        self.is_true(&call).await;
        assert!(self.cloud.changes().await.len() <= before + 1, "{call:?}: sent once, and refused");
        let Some(undo) = undo else { return };
        self.done(undo.clone()).await;
        self.is_true(&undo).await;
        // Lost before it was made: it is not seen. Lost after that: it is.
        for (effect, expected) in [("lose_reply_before_commit", "retry"), ("lose_reply_after_commit", "done")] {
            self.cloud.fault(json!({"mutating": true}), json!({"type": effect})).await;
            let outcome = self.provider.execute(&access, &step, &open_gate()).await;
            assert!(matches!(outcome, Outcome::Unknown(_)), "{call:?}: {outcome:?}");
            // Its action ends meanwhile.
            tokio::time::sleep(std::time::Duration::from_secs(120)).await;
            let found = self.provider.verify(&access, &step, &open_gate()).await;
            match &found {
                Outcome::Retry { .. } => assert_eq!(expected, "retry", "{call:?}"),
                Outcome::Done(observation) => {
                    assert_eq!(expected, "done", "{call:?}");
                    self.snapshot.absorb(observation.clone());
                }
                other => panic!("{call:?}: {other:?}"),
            }
        }
        self.is_true(&call).await;
    }

    /// What is known is what the provider lists.
    async fn is_true(&self, call: &Call) {
        let listed = self.provider.observe(&self.cloud.access(TOKEN)).await.unwrap();
        let known = &self.snapshot;
        fn same<T: Debug>(known: impl Iterator<Item = T>, listed: impl Iterator<Item = T>, call: &Call) {
            let all = |objects: Vec<T>| objects.iter().map(|object| format!("{object:#?}")).collect::<Vec<_>>();
            assert_eq!(all(known.collect()), all(listed.collect()), "{call:?}");
        }
        same(known.all::<Server>(), listed.all(), call);
        same(known.all::<Volume>(), listed.all(), call);
        same(known.all::<Network>(), listed.all(), call);
        same(known.all::<PrimaryIp>(), listed.all(), call);
        same(known.all::<PlacementGroup>(), listed.all(), call);
        same(known.all::<Firewall>(), listed.all(), call);
        same(known.all::<SshKey>(), listed.all(), call);
    }

    /// A server that is off, with no interface at all.
    async fn server(&mut self, name: &str) -> Id<Server> {
        let body = CreateServer {
            name: name.into(),
            server_type: "cx23".into(),
            image: "ubuntu-24.04".into(),
            location: Some("fsn1".into()),
            labels: labels(UID),
            start_after_create: Some(false),
            public_net: Some(CreateServerPublicNet::none()),
            ..CreateServer::default()
        };
        match self.made(ServerCall::Create(Box::new(body))).await {
            ObjectId::Server(id) => id,
            other => panic!("{other}"),
        }
    }

    async fn network(&mut self) -> Id<Network> {
        let range = "10.0.1.0/24".parse().unwrap();
        let body = CreateNetwork {
            name: "net".into(),
            ip_range: "10.0.0.0/16".parse().unwrap(),
            labels: labels(UID),
            subnets: vec![AddSubnet::cloud(range, "eu-central")],
            routes: Vec::new(),
            expose_routes_to_vswitch: None,
        };
        match self.made(NetworkCall::Create(Box::new(body))).await {
            ObjectId::Network(id) => id,
            other => panic!("{other}"),
        }
    }

    async fn primary_ip(&mut self, name: &str, kind: IpType) -> Id<PrimaryIp> {
        let body = CreatePrimaryIp {
            name: name.into(),
            kind,
            location: Some("fsn1".into()),
            assignee_type: None,
            assignee_id: None,
            auto_delete: Some(false),
            labels: labels(UID),
        };
        match self.made(PrimaryIpCall::Create(Box::new(body))).await {
            ObjectId::PrimaryIp(id) => id,
            other => panic!("{other}"),
        }
    }

    async fn volume(&mut self) -> Id<Volume> {
        let (name, location) = ("data".into(), Some("fsn1".into()));
        let body = CreateVolume { size: 10, name, location, labels: labels(UID), ..CreateVolume::default() };
        match self.made(VolumeCall::Create(Box::new(body))).await {
            ObjectId::Volume(id) => id,
            other => panic!("{other}"),
        }
    }

    async fn firewall(&mut self) -> Id<Firewall> {
        let body = CreateFirewall { name: "fw".into(), labels: labels(UID), ..CreateFirewall::default() };
        match self.made(FirewallCall::Create(Box::new(body))).await {
            ObjectId::Firewall(id) => id,
            other => panic!("{other}"),
        }
    }

    async fn group(&mut self, name: &str) -> Id<PlacementGroup> {
        let labels = naming::content_labels("inst", "placement-group", Some(name));
        let body = CreatePlacementGroup { name: name.into(), kind: PlacementGroupType::Spread, labels };
        match self.made(PlacementGroupCall::Create(Box::new(body))).await {
            ObjectId::PlacementGroup(id) => id,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn networks_are_attached_and_detached_with_exactly_the_addresses_asked_for() {
    let mut world = World::new().await;
    let (server, network) = (world.server("srv").await, world.network().await);
    let ip = |text: &str| text.parse().unwrap();
    let attach = |address: &str, aliases: &[&str]| -> Call {
        let alias_ips = aliases.iter().map(|text| ip(text)).collect();
        ServerCall::AttachToNetwork { server, network, ip: ip(address), alias_ips }.into()
    };
    let detach = Call::from(ServerCall::DetachFromNetwork { server, network });
    world.check(attach("10.0.1.7", &["10.0.1.8"]), Some(detach.clone())).await;
    let shown = world.snapshot.get(server).unwrap().attachment(network).unwrap().clone();
    assert_eq!((shown.ip, shown.alias_ips), (Some(ip("10.0.1.7")), vec![ip("10.0.1.8")]));
    // Attached with another address, or other aliases: the plan decides.
    for other in [attach("10.0.1.9", &["10.0.1.8"]), attach("10.0.1.7", &[])] {
        let outcome = world.finish(&other).await;
        assert!(matches!(outcome, Outcome::Refuted { retry: None, .. }), "{outcome:?}");
    }
    let alias = |aliases: &[&str]| -> Call {
        let alias_ips = aliases.iter().map(|text| ip(text)).collect();
        ServerCall::ChangeAliasIps { server, network, alias_ips }.into()
    };
    world.check(alias(&["10.0.1.20", "10.0.1.21"]), Some(alias(&[]))).await;
    world.check(detach, Some(attach("10.0.1.7", &[]))).await;
}

#[tokio::test(start_paused = true)]
async fn volumes_are_attached_and_detached() {
    let mut world = World::new().await;
    let (server, other, volume) = (world.server("srv").await, world.server("other").await, world.volume().await);
    let attach = |server| Call::from(VolumeCall::Attach { volume, server });
    let detach = |server| Call::from(VolumeCall::Detach { volume, server });
    world.check(attach(server), Some(detach(server))).await;
    // The provider says that it is attached already; it is, to another.
    let outcome = world.finish(&attach(other)).await;
    assert!(matches!(outcome, Outcome::Refuted { retry: None, .. }), "{outcome:?}");
    world.check(detach(server), Some(attach(server))).await;
    // What a server that is gone had is free.
    world.done(attach(other)).await;
    world.done(ServerCall::Delete { server: other }).await;
    let gone = Call::from(ServerCall::Delete { server: other });
    world.is_true(&gone).await;
    let changes = match world.finish(&attach(other)).await {
        Outcome::Refuted { observation, .. } => observation.changes().to_vec(),
        // The provider words a server that does not exist as bad input.
        outcome => panic!("{outcome:?}"),
    };
    assert!(matches!(changes[..], [Change::Gone(ObjectId::Server(_))]), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_assigned_and_firewalls_applied_to_them() {
    let mut world = World::new().await;
    let server = world.server("srv").await;
    for (name, kind) in [("four", IpType::Ipv4), ("six", IpType::Ipv6)] {
        let primary_ip = world.primary_ip(name, kind).await;
        let assign = Call::from(PrimaryIpCall::Assign { primary_ip, server });
        let unassign = Call::from(PrimaryIpCall::Unassign { primary_ip, server });
        world.check(assign.clone(), Some(unassign.clone())).await;
        world.check(unassign, Some(assign.clone())).await;
        world.done(assign).await;
    }
    let firewall = world.firewall().await;
    let apply = Call::from(FirewallCall::Apply { firewall, server });
    let remove = Call::from(FirewallCall::Remove { firewall, server });
    world.check(apply.clone(), Some(remove.clone())).await;
    let read = Call::Read { object: server.into(), until: Until::Applied, why: None };
    assert!(matches!(world.finish(&read).await, Outcome::Done(_)), "it is in force when its action is done");
    world.check(remove, Some(apply)).await;
    // A server that runs keeps its addresses; the plan sees that it runs.
    let taken = world.snapshot.all::<PrimaryIp>().next().unwrap().id;
    world.cloud.hetzner(Method::POST, &format!("/servers/{server}/actions/poweron"), &json!({})).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let outcome = world.finish(&PrimaryIpCall::Unassign { primary_ip: taken, server }.into()).await;
    let Outcome::Refuted { observation, retry: None } = outcome else { panic!("{outcome:?}") };
    assert!(matches!(observation.changes(), [Change::Seen(Object::Server(s))] if s.status.as_str() == "running"));
}

#[tokio::test(start_paused = true)]
async fn servers_join_and_leave_placement_groups_and_change_their_type() {
    let mut world = World::new().await;
    let server = world.server("srv").await;
    let (placement_group, other) = (world.group("one").await, world.group("two").await);
    let join = |placement_group| Call::from(ServerCall::AddToPlacementGroup { server, placement_group });
    let leave = Call::from(ServerCall::RemoveFromPlacementGroup { server, placement_group });
    world.check(join(placement_group), Some(leave.clone())).await;
    let outcome = world.finish(&join(other)).await;
    assert!(matches!(outcome, Outcome::Refuted { retry: None, .. }), "{outcome:?}");
    world.check(leave, Some(join(placement_group))).await;
    let to = |name: &str| Call::from(ServerCall::ChangeType { server, server_type: name.into(), upgrade_disk: false });
    world.check(to("cx33"), Some(to("cx23"))).await;
    assert_eq!(world.snapshot.get(server).unwrap().primary_disk_size, 40, "the disk does not grow");
    for group in [placement_group, other] {
        world.done(PlacementGroupCall::Delete { placement_group: group }).await;
    }
    world.is_true(&to("cx33")).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_somebody_put_there_is_used_as_it_is() {
    let create = |key: &str| {
        let body = CreateSshKey {
            name: naming::content_name("ssh-key", "inst", Some("c")),
            public_key: key.into(),
            labels: naming::content_labels("inst", "ssh-key", Some("c")),
        };
        Call::from(SshKeyCall::Create(Box::new(body)))
    };
    let mut world = World::new().await;
    // Ours.
    let made = world.made(create(KEY)).await;
    assert_eq!(world.made(create(KEY)).await, made);
    let ObjectId::SshKey(ssh_key) = made else { panic!("{made}") };
    assert_eq!(world.snapshot.shared::<SshKey>("inst", "ssh-key", Some("c")).unwrap().id, ssh_key);
    world.check(SshKeyCall::Delete { ssh_key }, None).await;
    // Somebody else's, under another name and with a comment.
    let theirs = json!({"name": "laptop", "public_key": format!("{KEY} me@example"), "labels": {"team": "x"}});
    world.cloud.hetzner(Method::POST, "/ssh_keys", &theirs).await;
    let before = world.cloud.inventory().await["objects"]["ssh_keys"].clone();
    let used = world.made(create(KEY)).await;
    assert_eq!(world.cloud.inventory().await["objects"]["ssh_keys"], before, "it stays as it was");
    let found = world.snapshot.ssh_key(KEY).unwrap();
    assert_eq!((ObjectId::from(found.id), found.name.as_str()), (used, "laptop"));
    assert!(world.snapshot.shared::<SshKey>("inst", "ssh-key", Some("c")).is_none(), "it is not ours");
    // The same after the answer to a creation was lost.
    let step = create(KEY).step("x");
    let outcome = world.provider.verify(&world.cloud.access(TOKEN), &step, &open_gate()).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    // Its name may be ours by chance, its key is not: nothing is done about it.
    let taken = json!({"name": naming::content_name("ssh-key", "inst", Some("c")), "public_key":
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP8BAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"});
    world.cloud.hetzner(Method::DELETE, &format!("/ssh_keys/{}", used.number()), &json!({})).await;
    world.cloud.hetzner(Method::POST, "/ssh_keys", &taken).await;
    let outcome = world.finish(&create(KEY)).await;
    let Outcome::Terminal(note) = outcome else { panic!("{outcome:?}") };
    assert_eq!(note.reason, Reason::NameTaken);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_state_of_an_object_shows_it_to_the_next_plan() {
    let mut world = World::new().await;
    let server = world.server("srv").await;
    let taken = world.primary_ip("first", IpType::Ipv4).await;
    world.done(PrimaryIpCall::Assign { primary_ip: taken, server }).await;
    let second = world.primary_ip("second", IpType::Ipv4).await;
    let outcome = world.finish(&PrimaryIpCall::Assign { primary_ip: second, server }.into()).await;
    let Outcome::Refuted { observation, retry: Some((_, note)) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(note.reason, Reason::ProviderBusy);
    let seen: Vec<_> = observation
        .changes()
        .iter()
        .map(|change| match change {
            Change::Seen(object) => object.object_id(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, [ObjectId::from(server), ObjectId::from(second)]);
}

// -- owners ------------------------------------------------------------------------------------------------------

fn of_role(role: Option<&Role>) -> Call {
    let owner = Owner::Resource { uid: UID.parse().unwrap(), role: role.cloned() };
    let mut labels = labels(UID);
    labels.extend(role.map(|role| (naming::ROLE.to_owned(), role.to_string())));
    let body = CreateFirewall { name: owner.object_name("inst", "web"), labels, ..CreateFirewall::default() };
    FirewallCall::Create(Box::new(body)).into()
}

#[tokio::test(start_paused = true)]
async fn each_role_of_a_resource_has_an_object_of_its_own() {
    let mut world = World::new().await;
    let (uid, role) = (UID.parse().unwrap(), Role::parse("shard-2").unwrap());
    let (main, shard) = (Owner::main(uid), Owner::in_role(uid, role.clone()));
    let find = |owner: &Owner| Call::Find {
        kind: ObjectType::Firewall,
        installation: "inst".into(),
        owner: owner.clone(),
        name: Some(owner.object_name("inst", "web")),
    };
    let first = world.made(of_role(None)).await;
    assert!(world.snapshot.owned_by::<Firewall>("inst", &shard).is_none());
    let changes = world.done(find(&shard)).await;
    assert!(matches!(&changes[..], [Change::Absent { owner, .. }] if *owner == shard), "{changes:?}");
    assert!(world.snapshot.owns_none(ObjectType::Firewall, &shard), "proven by label and by name");
    assert!(!world.snapshot.owns_none(ObjectType::Firewall, &main));
    let second = world.made(of_role(Some(&role))).await;
    assert_ne!(first, second);
    assert!(!world.snapshot.owns_none(ObjectType::Firewall, &shard), "it is there now");
    // Each is adopted for itself, and found by its own label.
    assert_eq!((world.made(of_role(None)).await, world.made(of_role(Some(&role))).await), (first, second));
    for (owner, id) in [(&main, first), (&shard, second)] {
        let changes = world.done(find(owner)).await;
        assert!(matches!(&changes[..], [Change::Seen(object), _] if object.object_id() == id), "{changes:?}");
        assert_eq!(ObjectId::from(world.snapshot.owned_by::<Firewall>("inst", owner).unwrap().id), id);
    }
    let roles: Vec<_> = world.snapshot.objects_of::<Firewall>("inst", uid).map(|(role, _)| role).collect();
    assert_eq!(roles, [None, Some(role)]);
    // One that goes proves nothing about the other. A sweep of the resource takes both.
    let ObjectId::Firewall(firewall) = first else { panic!("{first}") };
    world.done(FirewallCall::Delete { firewall }).await;
    assert!(world.snapshot.owns_none(ObjectType::Firewall, &main));
    assert!(!world.snapshot.owns_none(ObjectType::Firewall, &shard));
    let owned = world.provider.owned(&world.snapshot, "inst");
    let sweep = world.provider.removal(&owned[0]).unwrap();
    assert!(matches!(&world.done(Call::of(&sweep).unwrap()).await[..], [Change::Gone(id)] if *id == second));
    world.is_true(&of_role(None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_snapshot_is_found_by_its_role_and_its_step() {
    let mut world = World::new().await;
    let server = world.server("srv").await;
    let order = |role: Option<&str>, step: &str| {
        let mut labels = labels(UID);
        labels.insert(naming::STEP.into(), step.into());
        labels.extend(role.map(|role| (naming::ROLE.to_owned(), role.to_owned())));
        Call::from(ImageCall::Create { server, description: "copy".into(), labels })
    };
    world.done(order(None, "one")).await;
    world.done(order(Some("parked"), "one")).await;
    let lost = order(Some("parked"), "two").step("x");
    let access = world.cloud.access(TOKEN);
    let before = world.provider.verify(&access, &lost, &open_gate()).await;
    assert!(matches!(before, Outcome::Retry { .. }), "no other call's snapshot closes it: {before:?}");
    world.cloud.fault(json!({"mutating": true}), json!({"type": "lose_reply_after_commit"})).await;
    let outcome = world.provider.execute(&access, &lost, &open_gate()).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    let Outcome::Done(found) = world.provider.verify(&access, &lost, &open_gate()).await else { panic!("it exists") };
    let [Change::Seen(found)] = found.changes() else { panic!("{found:?}") };
    assert_eq!((found.labels()[naming::ROLE].as_str(), found.labels()[naming::STEP].as_str()), ("parked", "two"));
}

#[tokio::test(start_paused = true)]
async fn what_serves_several_is_found_by_its_purpose_and_its_content() {
    let mut world = World::new().await;
    let owner = |content| Owner::shared("placement-group", content);
    let find = |content| Call::Find {
        kind: ObjectType::PlacementGroup,
        installation: "inst".into(),
        owner: owner(content),
        name: Some(owner(content).object_name("inst", "")),
    };
    let group = world.group("one").await;
    assert_eq!(world.snapshot.shared::<PlacementGroup>("inst", "placement-group", Some("one")).unwrap().id, group);
    assert!(world.snapshot.shared::<PlacementGroup>("inst", "placement-group", None).is_none());
    let changes = world.done(find(Some("one"))).await;
    assert!(matches!(&changes[..], [Change::Seen(Object::PlacementGroup(g)), _] if g.id == group), "{changes:?}");
    for content in [Some("two"), None] {
        world.done(find(content)).await;
        assert!(world.snapshot.owns_none(ObjectType::PlacementGroup, &owner(content)), "{content:?}");
    }
    assert!(!world.snapshot.owns_none(ObjectType::PlacementGroup, &owner(Some("one"))));
    // Nothing claims one that nobody uses; one that is used, and every key, is left out.
    let key = CreateSshKey {
        name: "k".into(),
        public_key: KEY.into(),
        labels: naming::content_labels("inst", "ssh-key", Some("c")),
    };
    world.made(SshKeyCall::Create(Box::new(key))).await;
    let unclaimed = |world: &World| world.provider.owned(&world.snapshot, "inst").len();
    assert_eq!(unclaimed(&world), 1);
    let server = world.server("srv").await;
    world.done(ServerCall::AddToPlacementGroup { server, placement_group: group }).await;
    assert_eq!(unclaimed(&world), 1, "the server");
    // Another resource's object of that very name is not taken for it.
    let mut other = labels(OTHER);
    other.insert(naming::NAME.into(), "web".into());
    let name = owner(Some("two")).object_name("inst", "");
    let theirs = json!({"name": name, "type": "spread", "labels": other});
    world.cloud.hetzner(Method::POST, "/placement_groups", &theirs).await;
    let labels = naming::content_labels("inst", "placement-group", Some("two"));
    let body = CreatePlacementGroup { name, kind: PlacementGroupType::Spread, labels };
    let outcome = world.finish(&PlacementGroupCall::Create(Box::new(body)).into()).await;
    assert!(matches!(outcome, Outcome::Terminal(ref note) if note.reason == Reason::NameTaken), "{outcome:?}");
}
