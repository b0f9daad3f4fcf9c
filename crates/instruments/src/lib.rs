#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod book;
mod engine;
mod figures;
mod http;
mod process;
mod provider;
mod store;

use prometheus_client::encoding::text;

use self::{
    book::Book, engine::EngineCounts, figures::Shown, http::HttpCounts, provider::ProviderCounts, store::StoreCounts,
};
pub use self::{
    book::{Entry, Type},
    figures::Figures,
    provider::CountedApi,
};

/// The counts of one process.
#[derive(Debug)]
pub struct Instruments {
    book: Book,
    http: HttpCounts,
    engine: EngineCounts,
    provider: ProviderCounts,
    store: StoreCounts,
    shown: Shown,
}

impl Instruments {
    /// Nothing is counted yet. `version` and `commit` tell of which build this process is.
    #[must_use]
    pub fn new(version: &str, commit: &str) -> Self {
        let mut book = Book::default();
        let help = "1; the labels tell of which build this process is";
        let build = book.gauges("secapi_build_info", help, &["version", "commit"]);
        build.with([version.to_owned().into(), commit.to_owned().into()]).set(1.0);
        Self {
            http: HttpCounts::new(&mut book),
            engine: EngineCounts::new(&mut book),
            provider: ProviderCounts::new(&mut book),
            store: StoreCounts::new(&mut book),
            shown: Shown::new(&mut book),
            book,
        }
    }

    /// What can be counted, in the order of the text.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.book.entries()
    }

    /// Everything, in the text form of OpenMetrics 1.0. What is not counted but looked at is as the last
    /// [`Instruments::show`] had it.
    ///
    /// # Errors
    /// None that a string can have.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, self.book.registry())?;
        Ok(text)
    }
}
