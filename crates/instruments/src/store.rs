//! The store's work.

use std::time::Duration;

use persistence::Meter;

use crate::{
    Instruments,
    book::{Book, Buckets, Histograms},
};

#[derive(Debug)]
pub(crate) struct StoreCounts {
    waits: Histograms<1>,
    batches: Histograms<1>,
    transactions: Histograms<2>,
}

impl StoreCounts {
    pub(crate) fn new(book: &mut Book) -> Self {
        Self {
            waits: book.histograms(
                "secapi_store_lane_wait_seconds",
                "How long what is asked together waited for a lane to the database",
                &["question"],
                Buckets::SHORT,
            ),
            batches: book.histograms(
                "secapi_store_batch_size",
                "How many of them one statement answered",
                &["question"],
                Buckets::COUNT,
            ),
            transactions: book.histograms(
                "secapi_store_transaction_duration_seconds",
                "How long transactions took, the wait for a connection and further attempts included",
                &["pool", "outcome"],
                Buckets::SHORT,
            ),
        }
    }
}

impl Meter for Instruments {
    fn waited(&self, questions: &'static str, waited: Duration) {
        self.store.waits.of([questions]).observe(waited.as_secs_f64());
    }

    fn asked_together(&self, questions: &'static str, count: usize) {
        self.store.batches.of([questions]).observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    fn transacted(&self, pool: &'static str, took: Duration, is_done: bool) {
        let outcome = if is_done { "done" } else { "failed" };
        self.store.transactions.of([pool, outcome]).observe(took.as_secs_f64());
    }
}
