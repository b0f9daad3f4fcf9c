//! Who was told what a moment ago: the sign of a poller. Bounded: the reader that was told longest ago is forgotten
//! first, which costs it one answer that was not held. Each reader counts once, however often it asks.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::Seen;
use crate::resource::Uid;

/// The hash of a subject, and what it read.
pub(super) type Reader = (u64, Uid);

/// The most that is remembered, of all subjects together.
pub(super) const MOST: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Told {
    last: HashMap<Reader, Telling>,
    /// The same, in the order of their numbers.
    order: BTreeMap<u64, Reader>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    seen: Seen,
    at: Instant,
    number: u64,
}

impl Told {
    pub(super) fn insert(&mut self, reader: Reader, seen: Seen, recent: Duration) {
        let telling = Telling { seen, at: Instant::now(), number: self.next };
        self.next += 1;
        self.order.insert(telling.number, reader);
        if let Some(former) = self.last.insert(reader, telling) {
            self.order.remove(&former.number);
        }
        while let Some(oldest) = self.order.first_entry() {
            let is_recent = self.last.get(oldest.get()).is_some_and(|telling| telling.at.elapsed() < recent);
            if is_recent && self.last.len() <= MOST {
                break;
            }
            self.last.remove(&oldest.remove());
        }
    }

    /// What a reader was told, if that is less than `recent` ago.
    pub(super) fn get(&self, reader: Reader, recent: Duration) -> Option<Seen> {
        self.last.get(&reader).filter(|telling| telling.at.elapsed() < recent).map(|telling| telling.seen)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len().max(self.order.len())
    }
}
