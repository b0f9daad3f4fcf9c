//! Laws of planning, over random stories. Clients write, time passes, calls fail or their answers are lost, lists are old or
//! miss something, and people do what they like at the console. It always settles: what is carried out is not planned again.
//! No block storage loses what was written while the product could know, no snapshot is taken twice, nothing that is to be
//! closed is open, and what is deleted leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

#[path = "properties/console.rs"]
mod console;
#[path = "properties/events.rs"]
mod events;
#[path = "properties/happen.rs"]
mod happen;
#[path = "properties/laws.rs"]
mod laws;

use console::Hand;
use control_plane::ActionKind;
use events::{Beginning, Event, event, event_of_disks};
use happen::happen;
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use world::World;

/// Lets a story happen, and checks what holds then.
fn tell(begun: Beginning, story: &[Event], ungrouped_closed: bool) {
    let mut world = World::default();
    world.settings.ungrouped_closed = ungrouped_closed;
    begun.happen(&mut world);
    for event in story {
        happen(&mut world, event);
        assert!(world.losses.is_empty(), "{:?}", world.losses);
    }
    world.fates.clear();
    world.reread();
    world.settle();
    assert!(world.losses.is_empty(), "{:?}", world.losses);
    laws::check(&world);
    console::put_right(&mut world.model);
    world.reread();
    let rows: Vec<_> = world.rows.values().map(|row| (row.key.kind, row.key.clone())).collect();
    for (kind, key) in rows {
        let name = if key.network.is_empty() { key.name } else { format!("{}/{}", key.network, key.name) };
        world.delete(kind, &name);
    }
    world.settle();
    assert!(world.rows.is_empty(), "{:?}", world.rows.values().map(|r| r.key.urn()).collect::<Vec<_>>());
    if story.iter().any(|event| matches!(event, Event::Console { what: Hand::DeleteServer, .. })) {
        // One user had left it to the next one, who came to no server any more.
        world.model.firewalls.retain(|firewall| !firewall.name.starts_with("seca-deny-all"));
    }
    assert!(world.model.is_empty(), "{:?}", world.model);
}

/// As many stories as take some seconds; `PROPTEST_CASES` tells more.
fn config(few: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").is_ok();
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    };
    if told { config } else { ProptestConfig { cases: few, ..config } }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn every_story_settles_and_leaves_nothing(
        begun in Beginning::any(), story in proptest::collection::vec(event(), 1..40), ungrouped_closed in any::<bool>(),
    ) {
        tell(begun, &story, ungrouped_closed);
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn no_story_of_disks_loses_what_was_written(
        begun in Beginning::any(), story in proptest::collection::vec(event_of_disks(), 1..30),
    ) {
        tell(begun, &story, false);
    }
}

/// A random story found it: a running server keeps an address that its instance no longer has, and the firewall before it,
/// until it stops. Nothing named the group any more, so that nobody gave that firewall its rules back.
#[test]
fn a_firewall_that_filters_an_address_until_a_stop_keeps_its_rules() {
    let story = [
        Event::Subnet { name: 2, block: 0 },
        Event::Console { what: Hand::TakeRules, which: 0, seen: false },
        Event::Nic { name: 0, subnet: 2, addresses: 1, ip: None, group: None },
    ];
    tell(Beginning::Connected, &story, false);
}

/// A random story found it: a subnet waited for a person, and a quarter of a minute passed between two looks at a disk. The
/// snapshot of that has to be seen within seconds before its server goes.
#[test]
fn a_disk_becomes_a_snapshot_while_others_wait_for_a_person() {
    let story = [
        Event::DeleteInstance(0),
        Event::Subnet { name: 0, block: 3 },
        Event::Instance { name: 1, volume: 0, start: false, key: true, large: false },
        Event::Subnet { name: 1, block: 3 },
    ];
    tell(Beginning::Connected, &story, false);
}

/// A random story found it: a server that was made from a snapshot ran while nobody looked at the block storage, which kept
/// the snapshot as its disk.
#[test]
fn a_server_that_ran_for_a_moment_is_the_disk() {
    let story = [
        Event::Hold { name: 0, hold: Some("0s") },
        Event::Rounds(4),
        Event::Instance { name: 0, volume: 0, start: false, key: false, large: false },
        Event::Rounds(2),
        Event::Power { name: 0, action: ActionKind::Start },
        Event::Look(vec![20, 205, 164, 65]),
        Event::Rounds(2),
        Event::Power { name: 0, action: ActionKind::Stop },
        Event::Rounds(6),
    ];
    tell(Beginning::Held, &story, false);
}

/// A random story found it: an instance left what closed its server to a block storage that was deleted before it looked.
#[test]
fn what_closed_a_server_goes_with_a_block_storage_that_is_deleted_at_once() {
    let story = [
        Event::Instance { name: 1, volume: 0, start: true, key: false, large: false },
        Event::Look(vec![101, 53, 107, 233]),
        Event::DeleteInstance(1),
        Event::Rounds(1),
        Event::Rounds(4),
        Event::DeleteVolume(0),
        Event::Shift(vec![0]),
        Event::Rounds(1),
    ];
    tell(Beginning::Held, &story, false);
}
