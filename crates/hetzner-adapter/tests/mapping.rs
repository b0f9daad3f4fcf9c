//! What each kind comes to at the provider, told by rows and snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::{
    ActionKind, Reason, Uid,
    ports::{Plan, Step},
};
use hetzner_adapter::{call::Call, naming, objects::ServerCall};
use seca_api::{Kind, ResourceState};
use secrecy::ExposeSecret as _;
use serde_json::json;
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
const ERROR: ResourceState = ResourceState::Error;

/// A world with an instance `i` that boots from `v`, settled.
fn with_instance(image: Option<&str>) -> World {
    let mut world = World::default();
    world.volume("v", image);
    world.instance("i", "v");
    world.settle();
    world
}

fn power(world: &World) -> String {
    world.status(Kind::Instance, "i")["powerState"].as_str().unwrap().to_owned()
}

#[test]
fn all_kinds_with_an_object_are_mapped() {
    let mut served: Vec<_> =
        control_plane::kinds::ALL.iter().filter(|rules| rules.has_object).map(|rules| rules.kind).collect();
    let mut mapped = hetzner_adapter::kinds();
    served.sort();
    mapped.sort();
    assert_eq!(served, mapped);
}

#[test]
fn a_lifecycle_leaves_nothing_behind() {
    let mut world = World::default();
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"}));
    world.put(Kind::InternetGateway, "g", json!({}));
    world.put(
        Kind::RouteTable,
        "n/r",
        json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"}]}),
    );
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1", "routeTableRef": "r"}));
    world.volume("v", Some("ubuntu-24.04"));
    world.instance("i", "v");
    world.settle();
    for (kind, name) in [(Kind::Network, "n"), (Kind::Subnet, "n/s"), (Kind::BlockStorage, "v")] {
        world.check(kind, name, ACTIVE, None);
    }
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("NotInEffect"));
    world.check(Kind::RouteTable, "n/r", ACTIVE, Some("NotInEffect"));
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
    assert_eq!(
        world.operations(),
        ["create_network", "add_subnet", "create_ssh_key", "create_firewall", "create_server"]
    );
    assert_eq!(power(&world), "off");

    assert!(world.act("i", ActionKind::Start));
    world.settle();
    assert_eq!((power(&world).as_str(), world.operations()), ("on", vec!["poweron"]));
    assert!(world.act("i", ActionKind::Restart));
    world.settle();
    assert_eq!((power(&world).as_str(), world.operations()), ("on", vec!["reboot"]));
    assert!(world.act("i", ActionKind::Stop));
    world.settle();
    assert_eq!(power(&world), "off");
    let stop = world.operations();
    assert_eq!((stop.first(), stop.last()), (Some(&"shutdown"), Some(&"poweroff")), "{stop:?}");

    world.delete(Kind::Instance, "i");
    world.settle();
    assert_eq!(world.operations(), ["update_server", "delete_ssh_key"], "the server passes to the volume");
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    for (kind, name) in [(Kind::BlockStorage, "v"), (Kind::Subnet, "n/s"), (Kind::RouteTable, "n/r")] {
        world.delete(kind, name);
    }
    world.settle();
    world.delete(Kind::Network, "n");
    world.delete(Kind::InternetGateway, "g");
    world.settle();
    world.delete(Kind::Workspace, "w");
    world.settle();
    assert!(world.rows.is_empty() && world.model.is_empty(), "{:?}", world.model);
}

// -- block storages ---------------------------------------------------------------------------------------------

#[test]
fn a_blank_block_storage_is_a_volume_and_grows() {
    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    assert_eq!(
        (world.operations(), world.status(Kind::BlockStorage, "v")),
        (vec!["create_volume"], json!({"sizeGB": 20}))
    );
    world.put(Kind::BlockStorage, "v", json!({"skuRef": "hcloud-volume", "sizeGB": 30}));
    world.settle();
    assert_eq!(
        (world.operations(), world.status(Kind::BlockStorage, "v")),
        (vec!["resize_volume"], json!({"sizeGB": 30}))
    );
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.is_empty());
}

#[test]
fn sizes_that_a_volume_cannot_have_are_told() {
    for (size, real, state, reason) in [
        (5, Some(10), ACTIVE, Some("SizeAdjusted")),
        (10, Some(10), ACTIVE, None),
        (10_240, Some(10_240), ACTIVE, None),
        (10_241, None, ERROR, Some("ProviderRefused")),
    ] {
        let mut world = World::default();
        world.put(Kind::BlockStorage, "v", json!({"skuRef": "hcloud-volume", "sizeGB": size}));
        world.settle();
        world.check(Kind::BlockStorage, "v", state, reason);
        assert_eq!(
            world.status(Kind::BlockStorage, "v").get("sizeGB").cloned(),
            real.map(|real| json!(real)),
            "{size}"
        );
    }
}

#[test]
fn a_block_storage_from_an_image_needs_nothing_until_an_instance_boots_from_it() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    assert!(world.model.is_empty());
    world.instance("i", "v");
    world.settle();
    let status = world.status(Kind::BlockStorage, "v");
    assert_eq!(status["attachedTo"]["resource"], "seca.compute/v1/tenants/t/workspaces/w/instances/i");
}

#[test]
fn a_blank_volume_is_released_when_an_instance_boots_from_it() {
    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    world.instance("i", "v");
    world.settle();
    let made = ["create_volume", "read_actions", "delete_volume", "create_ssh_key", "create_firewall", "create_server"];
    assert_eq!(world.operations(), made, "it is asked whether anybody ever attached the volume");
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    world.check(Kind::Instance, "i", ACTIVE, Some("BootImageDefaulted"));
    // Never started: the disk is nobody's, and the volume becomes a blank one again.
    world.delete(Kind::Instance, "i");
    world.settle();
    assert_eq!(
        world.operations(),
        ["read_actions", "delete_server", "delete_firewall", "delete_ssh_key", "create_volume"]
    );
}

#[test]
fn a_boot_volume_tells_what_its_disk_is_and_not_what_it_was_asked_to_become() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    let disk = world.model.servers[0].primary_disk_size;
    let asked = |size: u64, image: &str| json!({"skuRef": "skus/hcloud-volume", "sizeGB": size, "sourceImageRef": format!("images/{image}")});
    world.put(Kind::BlockStorage, "v", asked(disk + 20, "ubuntu-24.04"));
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("AppliesOnRecreate"));
    assert_eq!(world.status(Kind::BlockStorage, "v")["sizeGB"], disk);
    world.put(Kind::BlockStorage, "v", asked(disk, "debian-12"));
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("AppliesOnRecreate"));
    world.put(Kind::BlockStorage, "v", asked(disk, "ubuntu-24.04"));
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
}

#[test]
fn a_vanished_volume_is_an_error_and_is_not_made_again() {
    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    world.model.volumes.clear();
    world.forget();
    world.operations();
    world.settle();
    world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
    assert_eq!(world.operations(), ["read"], "it is asked for by its id, once");
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.find(Kind::BlockStorage, "v").is_none());
}

// -- instances --------------------------------------------------------------------------------------------------

/// The step that makes the server of an instance.
fn creation(world: &mut World, uid: Uid) -> Step {
    // Claim; then the volume sees its holder; then the firewall.
    while !matches!(&world.plan(uid).plan, Plan::Act(step) if step.operation == "create_server") {
        let uids: Vec<_> = world.rows.keys().copied().collect();
        for uid in uids {
            if !matches!(&world.plan(uid).plan, Plan::Act(step) if step.operation == "create_server") {
                world.look(uid);
            }
        }
    }
    let Plan::Act(step) = world.plan(uid).plan else { panic!("no step") };
    *step
}

#[test]
fn a_server_is_made_off_closed_and_ours() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    let uid = world.put(
        Kind::Instance,
        "web.front",
        json!({"skuRef": "skus/seca.ds", "zone": "fsn1", "userData": "secret!",
               "bootVolume": {"deviceRef": "block-storages/v"}}),
    );
    let step = creation(&mut world, uid);
    let Call::Server(ServerCall::Create(body)) = Call::of(&step).unwrap() else { panic!("another call") };
    assert_eq!((&*body.server_type, &*body.image, body.location.as_deref()), ("ccx13", "161547269", Some("fsn1")));
    assert!(body.name.starts_with("web-front-") && naming::is_label_value(&body.name));
    assert_eq!(body.firewalls.len(), 1);
    let public = body.public_net.unwrap();
    assert_eq!((public.enable_ipv4, public.enable_ipv6), (false, true));
    let label = |name: &str| body.labels[name].as_str();
    assert_eq!((label("seca.managed"), label("seca.installation"), label("seca.kind")), ("true", "inst-1", "instance"));
    assert_eq!((label("seca.tenant"), label("seca.workspace"), label("seca.name")), ("t", "w", "web.front"));
    assert_eq!(label("seca.uid"), uid.to_string());
    // User data is with the step, but in no record of it.
    assert!(step.secret.is_some());
    let record = serde_json::to_string(&step).unwrap();
    assert!(!record.contains("secret!") && !format!("{step:?}").contains("secret!"));
}

#[test]
fn user_data_that_is_too_long_for_the_provider_goes_packed() {
    let sent = |text: &str| {
        let mut world = World::default();
        world.volume("v", Some("ubuntu-24.04"));
        let mut spec = World::instance_spec("v");
        spec["userData"] = json!(text);
        let uid = world.put(Kind::Instance, "i", spec);
        creation(&mut world, uid).secret.unwrap().expose_secret().to_owned()
    };
    assert_eq!(sent("#cloud-config"), "#cloud-config");
    let long = "#cloud-config\n".to_owned() + &"# a line that says nothing\n".repeat(2_000);
    let packed = sent(&long);
    assert_eq!(Some(&packed), igw_polyfill::packing::for_provider(long.clone()).ok().as_ref());
    assert!(packed.len() < 32_768, "{} bytes", packed.len());
}

#[test]
fn the_default_image_fits_the_architecture_and_a_wrong_one_is_refused() {
    let boot = |sku: &str, image: Option<&str>| {
        let mut world = World::default();
        world.volume("v", image);
        let mut spec = World::instance_spec("v");
        spec["skuRef"] = json!({"resource": format!("skus/{sku}")});
        world.put(Kind::Instance, "i", spec);
        world.settle();
        let image = world.calls.iter().find_map(|(_, call)| match call {
            Call::Server(ServerCall::Create(body)) => Some(body.image.clone()),
            _ => None,
        });
        (image, world.row(Kind::Instance, "i").conditions[0].reason.clone().unwrap())
    };
    let default = "BootImageDefaulted".to_owned();
    assert_eq!(boot("cx23", None), (Some("161547269".into()), default.clone()));
    assert_eq!(boot("cax11", None), (Some("161547270".into()), default));
    assert_eq!(boot("cx23", Some("debian-12")).0.as_deref(), Some("114690387"));
    assert_eq!(boot("cax11", Some("ubuntu-24.04-arm64")).0.as_deref(), Some("161547270"));
    assert_eq!(boot("cax11", Some("ubuntu-24.04")), (None, "ProviderRefused".into()));
    // The embedded catalogue knows no ids: the provider resolves its own name, which is the same for all builds.
    assert_eq!(boot("cax11", Some("rocky-9-arm64")).0.as_deref(), Some("rocky-9"));
    assert_eq!(boot("cx23", Some("rocky-9")).0.as_deref(), Some("rocky-9"));
    // Nobody has made it, and its volume waits for it.
    assert_eq!(boot("cx23", Some("mine")), (None, "WaitingForDependency".into()));
}

#[test]
fn a_second_instance_of_a_boot_volume_waits() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.instance("j", "v");
    world.settle();
    world.check(Kind::Instance, "j", CREATING, Some("BootVolumeInUse"));
    assert_eq!(world.model.servers.len(), 1);
    // Never started: the volume is free again, and the second one gets it.
    world.delete(Kind::Instance, "i");
    world.settle();
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
    assert_eq!(world.model.servers.len(), 1);
}

#[test]
fn a_volume_keeps_the_server_of_a_deleted_instance_and_takes_it_along() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    world.settle();
    world.delete(Kind::Instance, "i");
    world.settle();
    assert!(world.operations().windows(2).any(|calls| calls == ["poweroff", "update_server"]));
    let server = &world.model.servers[0];
    let volume = world.row(Kind::BlockStorage, "v");
    assert_eq!(server.name, naming::object_name("v", volume.uid));
    assert_eq!(
        (server.labels["seca.uid"].clone(), server.labels["seca.kind"].as_str()),
        (volume.uid.to_string(), "block-storage")
    );
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.is_empty());
}

#[test]
fn a_volume_that_goes_with_its_instance_keeps_no_server() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    world.settle();
    world.operations();
    world.delete(Kind::Instance, "i");
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert_eq!(world.operations(), ["delete_server", "delete_firewall", "delete_ssh_key"]);
    assert!(world.model.is_empty());
}

#[test]
fn a_vanished_server_is_made_again_only_if_it_never_ran() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.model.servers.clear();
    world.forget();
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
    assert_eq!(world.model.servers.len(), 1);
    world.act("i", ActionKind::Start);
    world.settle();
    world.model.servers.clear();
    world.forget();
    world.settle();
    world.check(Kind::Instance, "i", ERROR, Some("BackingLost"));
    world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
    assert!(world.model.servers.is_empty());
}

#[test]
fn power_by_other_hands_changes_the_status_only() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    assert_eq!(world.status(Kind::Instance, "i").get("powerStateSince"), None);
    world.act("i", ActionKind::Start);
    world.settle();
    let since = world.status(Kind::Instance, "i")["powerStateSince"].clone();
    assert!(since.is_string());
    world.now += 5_000;
    world.settle();
    assert_eq!(world.status(Kind::Instance, "i")["powerStateSince"], since, "it changes with the power only");
    world.model.servers[0].status = "off".into();
    world.forget();
    world.operations();
    world.settle();
    assert_eq!((power(&world).as_str(), world.operations()), ("off", vec![]));
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
    assert_ne!(world.status(Kind::Instance, "i")["powerStateSince"], since);
    // Actions are judged by what is shown.
    assert!(!world.act("i", ActionKind::Restart) && world.act("i", ActionKind::Start));
    world.settle();
    assert_eq!((power(&world).as_str(), world.operations()), ("on", vec!["poweron"]));
}

#[test]
fn an_instance_that_is_to_start_is_active_only_when_it_is_on() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.put_with(Kind::Instance, "i", World::instance_spec("v"), true);
    world.settle();
    assert_eq!(power(&world), "on");
    let states: Vec<_> = world.row(Kind::Instance, "i").conditions.iter().rev().map(|c| c.state).collect();
    assert_eq!(states, [ResourceState::Pending, CREATING, ACTIVE]);
}

#[test]
fn that_a_disk_holds_data_is_committed_before_the_power_goes_on() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    let Plan::Act(step) = world.plan_of(Kind::Instance, "i").plan else { panic!("no step") };
    let marked: Vec<_> =
        step.marks.iter().filter(|mark| mark.facts["everStarted"] == json!(true)).map(|m| m.uid).collect();
    assert_eq!(marked, [world.row(Kind::Instance, "i").uid, world.row(Kind::BlockStorage, "v").uid]);
    assert_eq!((step.operation.as_str(), step.action_seq), ("poweron", None));
}

#[test]
fn a_disk_with_data_is_not_deleted_for_an_instance_that_names_another_volume() {
    // The fact is missing in rows of former releases.
    for (remembered, volume_goes, deletes) in
        [(true, false, false), (false, false, false), (true, true, false), (false, true, true)]
    {
        let mut world = with_instance(Some("ubuntu-24.04"));
        world.volume("w", Some("ubuntu-24.04"));
        world.act("i", ActionKind::Start);
        world.settle();
        // Admission refuses it, but the volume may have become the server's disk at the very moment.
        world.instance("i", "w");
        if !remembered {
            world.row_mut(Kind::Instance, "i").facts.shift_remove("bootVolume");
        }
        world.settle();
        world.operations();
        world.delete(Kind::Instance, "i");
        if volume_goes {
            world.delete(Kind::BlockStorage, "w");
        }
        world.settle();
        let case = format!("{remembered} {volume_goes}");
        assert_eq!(world.operations().contains(&"delete_server"), deletes, "{case}");
        assert_eq!(world.model.servers.len(), usize::from(!deletes), "{case}");
        if !deletes {
            world.check(Kind::Instance, "i", ResourceState::Deleting, Some("Unsupported"));
        }
        assert!(world.row(Kind::BlockStorage, "v").marked("everStarted"));
    }
}

#[test]
fn a_volume_that_is_not_the_disk_is_not_said_to_hold_data() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.volume("w", Some("ubuntu-24.04"));
    world.instance("i", "w");
    world.act("i", ActionKind::Start);
    world.operations();
    world.settle();
    world.check(Kind::Instance, "i", ERROR, Some("Unsupported"));
    assert!(world.operations().is_empty() && !world.row(Kind::BlockStorage, "w").marked("everStarted"));
    // What never ran holds nothing: it goes with the instance, or starts once the reference is right again.
    world.instance("i", "v");
    world.settle();
    assert_eq!((power(&world).as_str(), world.operations()), ("on", vec!["poweron"]));
    assert!(world.row(Kind::BlockStorage, "v").marked("everStarted"));
}

#[test]
fn the_last_reboot_is_remembered_across_takeovers() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    world.settle();
    let mut known = None;
    for _ in 0..2 {
        world.act("i", ActionKind::Restart);
        let Call::Server(ServerCall::Reboot { after_action, .. }) = world.planned_call(Kind::Instance, "i") else {
            panic!("no reboot")
        };
        assert_eq!(after_action, known);
        world.settle();
        world.forget();
        world.settle();
        let now = world.facts(Kind::Instance, "i")["lastRebootAction"].as_i64();
        assert!(now > known, "{now:?}");
        known = now;
    }
}

#[test]
fn a_guest_that_ignores_the_shutdown_loses_its_power_when_the_grace_is_over() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    world.settle();
    world.act("i", ActionKind::Stop);
    let uid = world.row(Kind::Instance, "i").uid;
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "shutdown");
    world.look(uid);
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "read");
    // Another process takes over: nobody knows whether the guest was asked, and the clock goes on.
    world.forget();
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "shutdown");
    world.look(uid);
    world.now += i64::try_from(world::GRACE.as_millis()).unwrap();
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "poweroff");
    // A delete asks the guest too, and has less patience.
    world.now -= i64::try_from(world::GRACE.as_millis()).unwrap();
    world.delete(Kind::Instance, "i");
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "shutdown");
    world.look(uid);
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "read");
    world.now += 20_000;
    assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "poweroff");
}

#[test]
fn a_restart_is_done_with_its_step_and_resets_only_what_does_not_reboot() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    world.settle();
    world.act("i", ActionKind::Restart);
    let uid = world.row(Kind::Instance, "i").uid;
    let Plan::Act(step) = world.plan(uid).plan else { panic!("no step") };
    assert_eq!((step.operation.as_str(), step.action_seq), ("reboot", Some(2)));
    let mark = step.marks[0].clone();
    control_plane::state::merge(&mut world.row_mut(Kind::Instance, "i").facts, &mark.facts);
    for (attempts, operation) in [(0, "reboot"), (2, "reboot"), (3, "reset")] {
        let mut bundle = world.bundle(uid);
        bundle.attempts = attempts;
        let Plan::Act(step) = world.plan_bundle(&bundle).plan else { panic!("no step") };
        assert_eq!(step.operation, operation, "{attempts}");
    }
}

#[test]
fn nothing_is_done_to_a_server_that_is_busy() {
    for (status, locked) in [("off", true), ("initializing", false), ("starting", false), ("migrating", false)] {
        let mut world = with_instance(Some("ubuntu-24.04"));
        world.act("i", ActionKind::Start);
        world.model.servers[0].status = status.into();
        world.model.servers[0].locked = locked;
        world.forget();
        assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "read", "{status} {locked}");
        world.delete(Kind::Instance, "i");
        assert_eq!(world.planned_call(Kind::Instance, "i").operation(), "read", "{status} {locked}");
    }
    // Where nothing is asked for, nobody watches.
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.model.servers[0].locked = true;
    world.forget();
    assert_eq!(world.plan_of(Kind::Instance, "i").plan, Plan::Nothing);
}

#[test]
fn a_change_that_needs_a_new_server_is_told() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    let mut spec = World::instance_spec("v");
    spec["userData"] = json!("#cloud-config");
    world.put(Kind::Instance, "i", spec);
    world.operations();
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesOnRecreate"));
    assert!(world.operations().is_empty());
    world.put(Kind::Instance, "i", World::instance_spec("v"));
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
}

#[test]
fn labels_that_somebody_took_away_do_not_lose_the_server() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.model.servers[0].labels.clear();
    world.forget();
    world.operations();
    world.settle();
    assert!(world.operations().is_empty());
    world.delete(Kind::Instance, "i");
    world.settle();
    assert!(world.model.is_empty());
}

#[test]
fn while_something_is_tried_again_its_reason_stays() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.act("i", ActionKind::Start);
    let uid = world.row(Kind::Instance, "i").uid;
    let newest = &mut world.row_mut(Kind::Instance, "i").conditions[0];
    newest.reason = Some("CapacityUnavailable".into());
    newest.message = Some("none left".into());
    let note = |attempts| {
        let mut bundle = world.bundle(uid);
        bundle.attempts = attempts;
        world.plan_bundle(&bundle).note.map(|note| note.reason)
    };
    assert_eq!((note(0), note(1)), (None, Some(Reason::CapacityUnavailable)));
}

#[test]
fn a_firewall_that_somebody_opened_is_closed_before_another_server_gets_behind_it() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.model.firewalls[0].rules.clear();
    world.forget();
    world.operations();
    world.volume("w", Some("ubuntu-24.04"));
    world.instance("j", "w");
    world.settle();
    assert_eq!(world.operations(), ["set_firewall_rules", "create_server"]);
}

/// An answer counts for seconds: somebody may run a server, or attach a volume, between it and the plan that follows.
#[test]
fn what_is_about_to_go_is_asked_for_again_after_some_seconds() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.delete(Kind::Instance, "i");
    let instance = world.row(Kind::Instance, "i").uid;
    world.operations();
    world.look(instance);
    assert_eq!(world.operations(), ["read_actions"]);
    world.now += 6_000;
    let server = world.model.servers[0].id;
    world.model.used.insert(server.into());
    world.settle();
    assert_eq!(world.model.servers.iter().map(|server| server.id).collect::<Vec<_>>(), [server]);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));

    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    world.instance("i", "v");
    world.operations();
    let uids: Vec<_> = world.rows.keys().copied().collect();
    while world.operations() != ["read_actions"] {
        let uid = uids.iter().find(|uid| world.look(**uid));
        assert!(uid.is_some(), "nobody asks about the volume");
    }
    world.now += 6_000;
    let volume = world.model.volumes[0].id;
    world.model.used.insert(volume.into());
    world.settle();
    assert_eq!(world.model.volumes.iter().map(|volume| volume.id).collect::<Vec<_>>(), [volume]);
}

#[test]
fn one_who_leaves_and_one_who_comes_do_not_fight_for_the_firewall() {
    let mut world = with_instance(Some("ubuntu-24.04"));
    world.volume("w", Some("ubuntu-24.04"));
    world.instance("j", "w");
    let (leaves, comes) = (world.row(Kind::Instance, "i").uid, world.row(Kind::Instance, "j").uid);
    world.look(comes);
    world.settle_kind(Kind::BlockStorage);
    world.delete(Kind::Instance, "i");
    world.operations();
    // Who comes says first that it uses the firewall, so that who leaves does not take it away.
    for uid in [comes, comes, comes, leaves, leaves, leaves, leaves, comes] {
        world.look(uid);
    }
    assert_eq!(world.operations(), ["create_server", "read_actions", "delete_server"]);
    world.settle();
    assert_eq!(world.operations(), [] as [&str; 0], "the key and the firewall have a user");
    assert!(world.find(Kind::Instance, "i").is_none());
}
