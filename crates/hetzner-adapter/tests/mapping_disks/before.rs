//! Servers that the release before kept: it wrote down neither when that began nor what they were made with.

use super::*;

#[test]
fn what_the_release_before_kept_is_copied_once() {
    let mut world = held();
    // The release before has the instance claim its disk, and then its engine is not there any more.
    let instance = world.instance("j", "v");
    assert!(world.look(instance));
    let row = world.row_mut(Kind::BlockStorage, "v");
    assert_eq!(row.holder, Some(instance));
    for fact in ["heldSince", "madeWith"] {
        row.facts.shift_remove(fact).expect(fact);
    }
    world.settle();
    let calls = world.operations();
    assert_eq!(calls.iter().filter(|call| **call == "create_image").count(), 1, "{calls:?}");
    assert!(calls.contains(&"create_server"), "{calls:?}");
    world.act("j", ActionKind::Start);
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    assert!(world.model.images.is_empty());
}
