//! File descriptors: as many as this process may have, and how many of them connections may take.
//!
//! A connection is a descriptor, and a client needs no credential to hold one. So connections leave room for what the
//! process needs itself, and those of the public listener leave room for the operators'.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What is kept for everything but clients: 20 connections to the database (with SQLite, two files each), those to the
/// provider, files that are followed, certificates, and what the runtime has. Some 30 are usual; `dev` has the
/// simulator's end of the provider's connections as well.
const RESERVE: u64 = 128;

/// The most connections of the public listener.
const PUBLIC: u64 = 4096;

/// The most connections of the admin listener: operators, provisioners and health checks are few.
const ADMIN: u64 = 256;

/// How many connections each listener may have at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) public: usize,
    pub(crate) admin: usize,
}

impl Shares {
    /// Of so many descriptors. The reserve is never more than half of them, and the admin listener has up to a quarter of
    /// what is left for itself.
    fn of(limit: u64) -> Self {
        let left = limit - RESERVE.min(limit / 2);
        let admin = ADMIN.min(left / 4);
        let public = PUBLIC.min(left - admin);
        let count = |count: u64| usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        Self { public: count(public), admin: count(admin) }
    }

    /// What helps when they are few.
    pub(crate) const REMEDY: &str = "let the hard limit of open files be 4480 or more (ulimit -Hn, LimitNOFILE= of systemd, \
         --ulimit nofile= of a container)";

    /// What this process could have, without taking it.
    pub(crate) fn possible() -> Self {
        Self::of(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX))
    }

    /// Whether they are fewer than could be used.
    pub(crate) fn are_few(self) -> bool {
        self != Self::of(u64::MAX)
    }

    /// Takes as many descriptors as the system allows and shares them out. Says so when they are few.
    pub(crate) fn take() -> Self {
        let limit = raise();
        let shares = Self::of(limit);
        if shares.are_few() {
            warn!(
                limit,
                public = shares.public,
                admin = shares.admin,
                "few files may be open at a time, so that fewer connections are served: {}",
                Self::REMEDY
            );
        }
        shares
    }
}

/// Raises the limit of this process to what it may be; the limit that holds then.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let held = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            warn!(%error, "the limit of open files cannot be raised");
            current
        }
    };
    // None is no limit.
    held.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_process_and_public_ones_for_the_operators() {
        let check = |limit: u64, public: usize, admin: usize| {
            assert_eq!(Shares::of(limit), Shares { public, admin }, "{limit}");
        };
        check(u64::MAX, 4096, 256);
        check(4480, 4096, 256);
        check(4479, 4095, 256);
        check(1024, 672, 224);
        check(256, 96, 32);
        check(64, 24, 8);
        check(0, 1, 1);
        assert!(Shares::REMEDY.contains(&(RESERVE + PUBLIC + ADMIN).to_string()), "the remedy names what is enough");
    }
}
