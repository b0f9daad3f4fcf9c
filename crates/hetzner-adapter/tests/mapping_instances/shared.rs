//! What several instances share: made by the first, removed after the last.

use super::*;

#[test]
fn the_first_user_makes_what_is_shared_and_the_last_one_removes_it() {
    let mut world = World::default();
    let all = json!({"sshKeys": [KEY], "antiAffinityGroup": "apart"});
    for name in ["i", "j"] {
        running(&mut world, name, &all);
    }
    let made = world.operations();
    for once in ["create_ssh_key", "create_placement_group", "create_firewall"] {
        assert_eq!(made.iter().filter(|operation| **operation == once).count(), 1, "{made:?}");
    }
    for name in ["i", "j"] {
        let counts = (world.model.ssh_keys.len(), world.model.placement_groups.len(), world.model.firewalls.len());
        assert_eq!(counts, (1, 1, 1));
        world.delete(Kind::Instance, name);
        world.delete(Kind::BlockStorage, &format!("boot-{name}"));
        world.settle();
    }
    assert!(world.model.is_empty(), "{:?}", world.model);
}

/// Processes die again and again while the last user leaves, and the next one knows only what the lists show.
#[test]
fn what_is_shared_goes_with_the_last_one_also_when_processes_die() {
    for deaths in 3..8 {
        let mut world = World::default();
        running(&mut world, "i", &json!({"sshKeys": [KEY], "antiAffinityGroup": "apart"}));
        world.delete(Kind::Instance, "i");
        world.delete(Kind::BlockStorage, "boot-i");
        let uids: Vec<_> = world.rows.keys().copied().collect();
        let mut looks = 0;
        for _ in 0..50 {
            for uid in uids.iter().filter(|uid| world.rows.contains_key(uid)).copied().collect::<Vec<_>>() {
                world.look(uid);
                looks += 1;
                if looks % deaths == 0 {
                    world.forget();
                }
            }
        }
        assert!(world.model.is_empty(), "{deaths}: {:?}", world.model);
        assert_eq!(world.rows.len(), 1, "{deaths}");
    }
}

#[test]
fn a_foreign_key_of_the_same_content_is_used_and_never_touched() {
    let mut world = World::default();
    let text = KEY.rsplit_once(' ').unwrap().0;
    world.model.ssh_keys.push(
        serde_json::from_value(json!({
            "id": 777, "name": "anns-laptop", "created": "2026-01-01T00:00:00Z", "labels": {"team": "a"},
            "fingerprint": "", "public_key": format!("{text} another comment"),
        }))
        .unwrap(),
    );
    world.forget();
    running(&mut world, "i", &json!({"sshKeys": [KEY]}));
    let made = world.operations();
    assert!(!made.contains(&"create_ssh_key"), "{made:?}");
    world.delete(Kind::Instance, "i");
    world.delete(Kind::BlockStorage, "boot-i");
    world.settle();
    let [key] = &world.model.ssh_keys[..] else { panic!("{:?}", world.model.ssh_keys) };
    assert_eq!((key.name.as_str(), key.labels["team"].as_str()), ("anns-laptop", "a"));
}
