//! Room for documents that are being parsed: all of them together take a bounded lot of memory.
//!
//! A document waits for its room as the text that came, never as what is made of it, and no longer than clients bear.

use std::time::Duration;

use axum::http::{HeaderValue, header};
use seca_api::ProblemKind;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{answer::Failure, observe::Trace};

/// The longest wait for room.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The room of a process.
pub(crate) struct Room {
    free: Semaphore,
    /// What there is when nobody has a place, in KiB.
    all: u32,
}

/// The place of one document; it is free again when this is dropped.
pub(crate) struct Place<'a> {
    _taken: SemaphorePermit<'a>,
}

impl Room {
    /// Of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).max(1);
        Self { free: Semaphore::new(all as usize), all }
    }

    /// Waits for a place for a document that takes so many bytes. The request deadline stands still meanwhile.
    ///
    /// # Errors
    /// 429, when there was no room for 5 s.
    pub(crate) async fn place(&self, bytes: usize, trace: &Trace) -> Result<Place<'_>, Failure> {
        let wanted = self.kib(bytes);
        let taken = match self.free.try_acquire_many(wanted) {
            Ok(taken) => Some(taken),
            Err(_) => {
                let waited = trace.holding(timeout(LONGEST_WAIT, self.free.acquire_many(wanted))).await;
                waited.ok().and_then(Result::ok)
            }
        };
        taken.map(|taken| Place { _taken: taken }).ok_or_else(full)
    }

    /// The same in KiB: never more than there is.
    fn kib(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(1024)).unwrap_or(self.all).clamp(1, self.all)
    }

    /// How much is free, in KiB.
    #[cfg(test)]
    fn free(&self) -> usize {
        self.free.available_permits()
    }
}

fn full() -> Failure {
    let seconds = LONGEST_WAIT.as_secs();
    let detail = format!(
        "the server parses as many documents as it has room for; nothing was changed: send it again in {seconds} s"
    );
    Failure::new(ProblemKind::TooManyRequests, detail).header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn documents_share_the_room_wait_for_it_and_are_refused_without_it() {
        let (room, trace) = (Room::new(64 * MIB), Trace::of(&http::Extensions::new()));
        let mut held = Vec::new();
        for _ in 0..64 {
            let Ok(place) = room.place(MIB, &trace).await else { panic!("there is room") };
            held.push(place);
        }
        assert_eq!(room.free(), 0);
        let started = Instant::now();
        assert!(room.place(1, &trace).await.is_err(), "one more than there is room for");
        assert_eq!((started.elapsed(), room.free()), (LONGEST_WAIT, 0));

        let waiting = room.place(MIB, &trace);
        let leaves = async { drop(held.pop()) };
        let (place, ()) = tokio::join!(waiting, leaves);
        assert!(place.is_ok() && started.elapsed() == LONGEST_WAIT, "as soon as another has gone");
        drop((place, held));
        assert_eq!(room.free(), 64 * 1024);
    }

    #[test]
    fn the_smallest_and_the_largest_document_have_a_place() {
        let room = Room::new(64 * MIB);
        let kib = [0, 1, 1024, 1025, MIB, 100 * MIB, usize::MAX].map(|bytes| room.kib(bytes));
        assert_eq!(kib, [1, 1, 1, 2, 1024, 65_536, 65_536]);
        assert_eq!([Room::new(0).free(), Room::new(1025).free()], [1, 1]);
    }
}
