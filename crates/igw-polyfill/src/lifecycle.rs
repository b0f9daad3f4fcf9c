//! How long servers stay, whether they are well, and which one the route leads to. Time comes in as durations.

use std::time::Duration;

use serde::Serialize;

/// A server is up when it was seen running and attached with its address for so long.
pub const UP_AFTER: Duration = Duration::from_secs(30);
/// How long servers outlive the last route to them, where nobody chose otherwise.
pub const LINGER: Duration = Duration::from_secs(600);
/// The shortest time between two replacements.
pub const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(600);
/// So many power-ons and new servers within [`RECOVERY_WINDOW`] are an error, and no reason for another at once.
pub const MOST_RECOVERIES: u32 = 3;
/// See [`MOST_RECOVERIES`].
pub const RECOVERY_WINDOW: Duration = Duration::from_secs(3600);

/// Whether servers stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Presence {
    /// A route needs them.
    Wanted,
    /// No route needs them, and one may again within this time.
    Lingering(Duration),
    /// Servers and firewall go. The address stays with the gateway and the network.
    ServersGo,
    /// Everything goes, the address as well.
    AllGo,
}

/// Whether servers stay. `unwanted_for` counts from the moment when the last route went; `ending` says that the gateway,
/// the network or the workspace is being deleted.
pub fn presence(wanted: bool, unwanted_for: Duration, linger: Duration, ending: bool) -> Presence {
    match (ending, wanted) {
        (true, _) => Presence::AllGo,
        (false, true) => Presence::Wanted,
        (false, false) => match linger.checked_sub(unwanted_for) {
            Some(left) if !left.is_zero() => Presence::Lingering(left),
            _ => Presence::ServersGo,
        },
    }
}

/// What is seen of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is running.
    pub running: bool,
    /// Whether it is attached to the network with its address.
    pub attached: bool,
    /// Whether it has its Primary IPv4.
    pub addressed: bool,
    /// For how long all of these have held.
    pub well_for: Duration,
}

impl Seen {
    /// Whether everything is as it must be, for however short a time.
    pub fn is_well(&self) -> bool {
        self.running && self.attached && self.addressed
    }

    /// Whether packets can be sent to it.
    pub fn is_up(&self) -> bool {
        self.is_well() && self.well_for >= UP_AFTER
    }
}

/// What a server needs that nobody is replacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Care {
    /// Nothing.
    Nothing,
    /// It is on its way up.
    Wait,
    /// It has lost its Primary IPv4, which can be given to a server that is off only.
    PowerOff,
    /// It has lost its Primary IPv4.
    AssignAddress,
    /// It is not attached.
    Attach,
    /// It is off.
    PowerOn,
    /// It is gone, and is made again with the same addresses.
    Make,
    /// It was brought back too often: an error, and slow retries.
    GiveUp,
}

/// What to do next for a server. `recoveries` counts the power-ons and new servers of the last [`RECOVERY_WINDOW`].
pub fn care(seen: Option<Seen>, recoveries: u32) -> Care {
    let next = match seen {
        None => Care::Make,
        Some(seen) if seen.is_up() => Care::Nothing,
        Some(seen) if seen.is_well() => Care::Wait,
        Some(seen) if !seen.addressed && seen.running => Care::PowerOff,
        Some(seen) if !seen.addressed => Care::AssignAddress,
        Some(seen) if !seen.attached => Care::Attach,
        Some(_) => Care::PowerOn,
    };
    let is_recovery = matches!(next, Care::Make | Care::PowerOff | Care::PowerOn);
    if is_recovery && recoveries >= MOST_RECOVERIES { Care::GiveUp } else { next }
}

/// A server of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Where the route of a pair is to lead: where it leads, as long as that side is well; else to the side that is up. A first
/// route leads to a side that is well, because nothing gets out before: its system forwards as soon as it has booted. None:
/// it stays away until a side is well. A side that comes back takes nothing back, because each change breaks connections.
pub fn target(now: Option<Side>, a: Option<Seen>, b: Option<Seen>) -> Option<Side> {
    let seen = |side| match side {
        Side::A => a,
        Side::B => b,
    };
    let is_well = |side: &Side| seen(*side).is_some_and(|seen| seen.is_well());
    let is_up = |side: &Side| seen(*side).is_some_and(|seen| seen.is_up());
    // A route that nobody answers is kept while there is nothing better: it costs nothing and needs no call later.
    let first = |is: &dyn Fn(&Side) -> bool| [Side::A, Side::B].into_iter().find(is);
    now.filter(is_well).or_else(|| first(&is_up)).or(now).or_else(|| first(&is_well))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn seen(running: bool, attached: bool, addressed: bool, seconds: u64) -> Option<Seen> {
        Some(Seen { running, attached, addressed, well_for: Duration::from_secs(seconds) })
    }

    #[test]
    fn servers_outlive_their_last_route_and_nothing_that_is_deleted() {
        let check = |wanted, minutes, ending, expected| {
            assert_eq!(presence(wanted, MINUTE * minutes, LINGER, ending), expected);
        };
        check(true, 0, false, Presence::Wanted);
        check(true, 99, false, Presence::Wanted);
        check(false, 0, false, Presence::Lingering(LINGER));
        check(false, 9, false, Presence::Lingering(MINUTE));
        check(false, 10, false, Presence::ServersGo);
        check(false, 99, false, Presence::ServersGo);
        check(false, 0, true, Presence::AllGo);
        check(true, 0, true, Presence::AllGo);
        assert_eq!(presence(false, Duration::ZERO, Duration::ZERO, false), Presence::ServersGo);
    }

    #[test]
    fn a_server_gets_what_it_lacks_and_not_for_ever() {
        let check = |seen, recoveries, expected| assert_eq!(care(seen, recoveries), expected, "{seen:?}");
        check(seen(true, true, true, 30), 9, Care::Nothing);
        check(seen(true, true, true, 29), 9, Care::Wait);
        check(seen(false, true, true, 0), 0, Care::PowerOn);
        check(seen(false, true, true, 0), 2, Care::PowerOn);
        check(seen(false, true, true, 0), 3, Care::GiveUp);
        check(seen(true, false, true, 0), 3, Care::Attach);
        check(seen(true, true, false, 0), 0, Care::PowerOff);
        check(seen(false, true, false, 0), 0, Care::AssignAddress);
        check(None, 2, Care::Make);
        check(None, 3, Care::GiveUp);
    }

    #[test]
    fn a_pair_fails_over_once() {
        let (up, starting, off) = (seen(true, true, true, 30), seen(true, true, true, 1), seen(false, true, true, 0));
        let check = |now, a, b, expected| assert_eq!(target(now, a, b), expected, "{now:?} {a:?} {b:?}");
        check(None, off, None, None);
        check(None, starting, None, Some(Side::A));
        check(None, up, None, Some(Side::A));
        check(None, starting, up, Some(Side::B));
        check(Some(Side::A), up, up, Some(Side::A));
        check(Some(Side::A), off, up, Some(Side::B));
        check(Some(Side::A), None, up, Some(Side::B));
        check(Some(Side::B), up, up, Some(Side::B));
        check(Some(Side::B), up, starting, Some(Side::B));
        check(Some(Side::A), off, starting, Some(Side::A));
        check(Some(Side::A), None, None, Some(Side::A));
    }
}
