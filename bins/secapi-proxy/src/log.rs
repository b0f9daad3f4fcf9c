//! Logging of this process: to the standard error, so that the standard output stays for answers.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;

/// Starts it. A second call changes nothing.
pub(crate) fn start(config: &LogConfig) {
    // PostgreSQL tells on every migration that its table of migrations exists; what the settings say comes later
    // and wins.
    let filter = EnvFilter::try_new(format!("sqlx::postgres::notice=warn,{}", config.filter));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let started =
        if config.json { logs.json().flatten_event(true).with_current_span(false).try_init() } else { logs.try_init() };
    drop(started);
}
