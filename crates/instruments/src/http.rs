//! Requests at the listeners.

use api_server::{Answered, Meter};

use crate::{
    Instruments,
    book::{Book, Buckets, Counters, Histograms},
};

#[derive(Debug)]
pub(crate) struct HttpCounts {
    requests: Counters<4>,
    durations: Histograms<2>,
    held: Histograms<0>,
    denials: Counters<3>,
    authentications: Counters<2>,
}

impl HttpCounts {
    pub(crate) fn new(book: &mut Book) -> Self {
        Self {
            requests: book.counters(
                "secapi_http_requests",
                "Requests that were answered, by the class of the status",
                &["listener", "operation", "kind", "status"],
            ),
            durations: book.histograms(
                "secapi_http_request_duration_seconds",
                "How long answers took, without the time for which a GET was held on purpose",
                &["listener", "operation"],
                Buckets::SHORT,
            ),
            held: book.histograms(
                "secapi_http_held_seconds",
                "For how long GETs of resources in transition were held on purpose",
                &[],
                Buckets::LONG,
            ),
            denials: book.counters(
                "secapi_http_denials",
                "Requests of known callers that were answered with 403, because their roles do not allow them",
                &["listener", "operation", "kind"],
            ),
            authentications: book.counters(
                "secapi_http_authentications",
                "Looks at the credential of a request; the outcome is accepted, or why not",
                &["listener", "outcome"],
            ),
        }
    }
}

impl Meter for Instruments {
    fn answered(&self, answered: &Answered) {
        let Answered { listener, operation, kind, status, took, held } = *answered;
        let http = &self.http;
        http.requests.of([listener, operation, kind, class(status)]).inc();
        http.durations.of([listener, operation]).observe(took.as_secs_f64());
        if !held.is_zero() {
            http.held.of([]).observe(held.as_secs_f64());
        }
        if status == 403 {
            http.denials.of([listener, operation, kind]).inc();
        }
    }

    fn authenticated(&self, listener: &'static str, outcome: &'static str) {
        self.http.authentications.of([listener, outcome]).inc();
    }
}

const fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
