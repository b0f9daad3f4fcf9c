//! The replacement of a NAT server by another with the same addresses, one step at a time, from what is seen. Nothing
//! but the direction is remembered, so a crash at any moment loses nothing.
//!
//! The new server is made before the old one is touched, because the provider may have no capacity or no quota for it.
//! The old one is deleted when the new one is up. In between, while the addresses move, nothing is forwarded: 60 to 90
//! seconds.

use std::time::Duration;

use serde::Serialize;

use crate::lifecycle::Seen;

/// When the new server does not come up in this time, the addresses go back to the old one.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Which way a replacement goes. The caller remembers it, so that a way back is not turned round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Direction {
    /// To the new server.
    #[default]
    Forward,
    /// Back to the old one: the new one did not come up.
    Back,
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Which {
    /// That which is replaced.
    Old,
    /// That which replaces it.
    New,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Make the new server, off, without address and network.
    Make,
    /// Delete a server that has neither address nor network, or that nobody needs any more.
    Delete(Which),
    /// Power a server off.
    PowerOff(Which),
    /// Take the Primary IPv4 from a server that is off.
    Unassign(Which),
    /// Take a server out of the network.
    Detach(Which),
    /// Give the Primary IPv4 to a server that is off.
    Assign(Which),
    /// Attach a server at the private address.
    Attach(Which),
    /// Power a server on.
    PowerOn(Which),
    /// Wait until the server is up.
    Wait(Which),
    /// The new server is up, and the old one gone.
    Done,
    /// The old server is up again, and the new one gone. Another try is due later.
    Failed,
}

/// What is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// The server that is replaced.
    pub old: Option<Seen>,
    /// The server that replaces it. It is made with its firewall.
    pub new: Option<Seen>,
    /// How long it is since the new server got its first address without coming up.
    pub moving_for: Duration,
    /// Whether a quota or a lack of capacity forbids a second server. Then the old one goes first.
    pub one_only: bool,
}

/// The direction from now on.
pub fn direction(scene: &Scene, before: Direction) -> Direction {
    let is_late = scene.moving_for >= PATIENCE && !scene.new.is_some_and(|new| new.is_up());
    let can_go_back = scene.old.is_some() && scene.new.is_some();
    match before {
        Direction::Back => Direction::Back,
        Direction::Forward if is_late && can_go_back => Direction::Back,
        Direction::Forward => Direction::Forward,
    }
}

/// The next step. It is the same until something of what is seen changes.
pub fn next(scene: &Scene, direction: Direction) -> Step {
    let (from, to) = match direction {
        Direction::Forward => ((Which::Old, scene.old), (Which::New, scene.new)),
        Direction::Back => ((Which::New, scene.new), (Which::Old, scene.old)),
    };
    match (from, to) {
        ((Which::Old, Some(_)), (_, None)) if scene.one_only => Step::Delete(Which::Old),
        ((Which::Old, _), (_, None)) => Step::Make,
        // The old server vanished on the way back: the new one is all there is.
        ((Which::New, _), (_, None)) => next(scene, Direction::Forward),
        ((from, None), (to, Some(seen))) => raise(to, seen).unwrap_or(match from {
            Which::Old => Step::Done,
            Which::New => Step::Failed,
        }),
        ((from, Some(leaving)), (to, Some(coming))) => {
            strip(from, leaving).or_else(|| raise(to, coming)).unwrap_or(Step::Delete(from))
        }
    }
}

/// Takes both addresses from a server.
fn strip(which: Which, seen: Seen) -> Option<Step> {
    if !seen.addressed && !seen.attached {
        return None;
    }
    Some(match seen {
        Seen { running: true, .. } => Step::PowerOff(which),
        Seen { addressed: true, .. } => Step::Unassign(which),
        _ => Step::Detach(which),
    })
}

/// Gives both addresses to a server and brings it up. None: it is.
fn raise(which: Which, seen: Seen) -> Option<Step> {
    if seen.is_up() {
        return None;
    }
    Some(match seen {
        Seen { addressed: false, running: true, .. } => Step::PowerOff(which),
        Seen { addressed: false, .. } => Step::Assign(which),
        Seen { attached: false, .. } => Step::Attach(which),
        Seen { running: false, .. } => Step::PowerOn(which),
        _ => Step::Wait(which),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::UP_AFTER;

    const UP: Seen = Seen { running: true, attached: true, addressed: true, well_for: UP_AFTER };

    /// What a step makes of a scene. The provider refuses what it would refuse.
    fn take(scene: &mut Scene, step: Step, new_comes_up: bool) {
        let server = |scene: &mut Scene, which| match which {
            Which::Old => scene.old.take(),
            Which::New => scene.new.take(),
        };
        let (Step::Delete(which)
        | Step::PowerOff(which)
        | Step::Unassign(which)
        | Step::Detach(which)
        | Step::Assign(which)
        | Step::Attach(which)
        | Step::PowerOn(which)
        | Step::Wait(which)) = step
        else {
            assert_eq!(step, Step::Make);
            assert!(scene.new.is_none());
            scene.new = Some(Seen::default());
            return;
        };
        let mut seen = server(scene, which).expect("the server stands");
        let other = match which {
            Which::Old => scene.new,
            Which::New => scene.old,
        };
        match step {
            Step::Delete(_) => return,
            Step::PowerOff(_) => seen.running = false,
            Step::Unassign(_) => {
                assert!(seen.addressed && !seen.running);
                seen.addressed = false;
            }
            Step::Detach(_) => seen.attached = false,
            Step::Assign(_) => {
                assert!(!seen.running && !other.is_some_and(|other| other.addressed), "one server has the address");
                seen.addressed = true;
            }
            Step::Attach(_) => {
                assert!(!other.is_some_and(|other| other.attached), "one server has the private address");
                seen.attached = true;
            }
            Step::PowerOn(_) => seen.running = true,
            _ if which == Which::Old || new_comes_up => seen.well_for = UP_AFTER,
            _ => scene.moving_for = PATIENCE,
        }
        if !seen.is_well() {
            seen.well_for = Duration::ZERO;
        }
        match which {
            Which::Old => scene.old = Some(seen),
            Which::New => scene.new = Some(seen),
        }
    }

    fn run(mut scene: Scene, new_comes_up: bool) -> (Vec<Step>, Scene) {
        let (mut steps, mut way) = (Vec::new(), Direction::default());
        loop {
            way = direction(&scene, way);
            let step = next(&scene, way);
            steps.push(step);
            if matches!(step, Step::Done | Step::Failed) || steps.len() > 40 {
                return (steps, scene);
            }
            take(&mut scene, step, new_comes_up);
        }
    }

    #[test]
    fn a_replacement_makes_the_new_server_first_and_deletes_the_old_one_last() {
        use Step::*;
        use Which::*;
        let (steps, scene) = run(Scene { old: Some(UP), ..Scene::default() }, true);
        let moved = [Make, PowerOff(Old), Unassign(Old), Detach(Old), Assign(New), Attach(New), PowerOn(New)];
        assert_eq!(steps, [moved.as_slice(), &[Wait(New), Delete(Old), Done]].concat());
        assert_eq!((scene.old, scene.new), (None, Some(UP)));
    }

    #[test]
    fn a_quota_makes_the_old_server_go_first() {
        use Step::*;
        use Which::*;
        let (steps, _) = run(Scene { old: Some(UP), one_only: true, ..Scene::default() }, true);
        assert_eq!(steps, [Delete(Old), Make, Assign(New), Attach(New), PowerOn(New), Wait(New), Done]);
    }

    #[test]
    fn a_new_server_that_does_not_come_up_gives_the_addresses_back() {
        let (steps, scene) = run(Scene { old: Some(UP), ..Scene::default() }, false);
        assert_eq!(steps.last(), Some(&Step::Failed));
        assert_eq!((scene.old, scene.new), (Some(UP), None));
    }

    fn seen() -> impl Strategy<Value = Option<Seen>> {
        prop::option::of((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(running, attached, addressed, long)| {
                let seen = Seen { running, attached, addressed, well_for: Duration::ZERO };
                let well_for = if long && seen.is_well() { UP_AFTER } else { Duration::ZERO };
                Seen { well_for, ..seen }
            },
        ))
    }

    proptest! {
        #[test]
        fn from_whatever_is_seen_one_server_is_up_in_the_end(
            old in seen(), new in seen(), late in any::<bool>(), one_only in any::<bool>(), comes_up in any::<bool>()
        ) {
            // Two servers never share an address.
            let shared = |of: fn(Seen) -> bool| old.is_some_and(of) && new.is_some_and(of);
            prop_assume!(!shared(|seen| seen.addressed) && !shared(|seen| seen.attached));
            // Nothing to go back to: the new one must come up.
            prop_assume!(comes_up || (old.is_some() && !one_only));
            let moving_for = if late { PATIENCE } else { Duration::ZERO };
            let (steps, scene) = run(Scene { old, new, moving_for, one_only }, comes_up);
            prop_assert!(matches!(steps.last(), Some(Step::Done | Step::Failed)), "{:?}", steps);
            let left: Vec<Seen> = scene.old.into_iter().chain(scene.new).collect();
            prop_assert!(left.len() == 1 && left[0].is_up(), "{:?}", scene);
        }
    }
}
