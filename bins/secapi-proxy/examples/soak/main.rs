//! The product under everything that goes wrong, for a while; then quiet, and a judgement.
//!
//! ```sh
//! SOAK_MINUTES=10 cargo run -p secapi-proxy --example soak
//! ```
//!
//! Users create, change, delete and switch resources at random in several workspaces, through two replicas on a private
//! PostgreSQL, in front of the simulated provider. Meanwhile processes are killed and paused, the database is restarted,
//! connections are cut, a fifth of the provider's replies is spoiled, and a person works on the objects by hand. Then all
//! that ends, and it is waited until every row rests and is true at the provider; then everything is deleted.
//!
//! It prints counts, the seed and one line for each violation, and ends with 1 if there is one.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod chance;
mod cloud;
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "written for tests, where a panic is a failure")]
#[path = "../../tests/common/mod.rs"]
mod common;
mod counts;
mod deeds;
mod end;
mod faults;
mod fleet;
mod hand_over;
mod judge;
mod ledger;
mod model;
mod person;
mod report;
mod rows;
mod shape;
mod soak;
mod stage;
mod trouble;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the product under kills, faults and other people's hands, and checks that nothing is lost, doubled or untrue.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak", max_term_width = 110)]
struct Arguments {
    /// How long the trouble lasts; what comes after takes some minutes more at most
    #[arg(long, env = "SOAK_MINUTES", default_value_t = 10.0, value_name = "MINUTES")]
    minutes: f64,
    /// Repeats the same choices, though not the same moments; drawn when it is not given
    #[arg(long, env = "SOAK_SEED", value_name = "NUMBER")]
    seed: Option<u64>,
    /// Whether more than 20 requests for an object in the first minute of a wait, or 6 in a later one, are a violation
    #[arg(long, env = "SOAK_COUNTS", value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    counts: u8,
    /// Where logs, journal and histories go; `soak/SEED` in cargo's target folder when it is not given
    #[arg(long, env = "SOAK_FOLDER", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// A binary of the release before: runs both beside each other, and only hands over instead of all other trouble
    #[arg(long, value_name = "FILE")]
    old_binary: Option<PathBuf>,
}

impl Arguments {
    /// How often leases go from one release to the other in the time that there is.
    fn hand_overs(&self) -> usize {
        (self.minutes * 60.0 / hand_over::TURN.as_secs_f64()).ceil().clamp(2.0, 200.0) as usize
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    // A task, so that a panic of what is shared with the tests is a failure like another, and processes end with it.
    let soak = tokio::spawn(soak::run(arguments));
    let abort = soak.abort_handle();
    tokio::select! {
        ended = soak => ended.map_err(|error| anyhow::anyhow!("the program itself failed: {error}"))?,
        _ = tokio::signal::ctrl_c() => { abort.abort(); anyhow::bail!("interrupted") }
        _ = terminated.recv() => { abort.abort(); anyhow::bail!("terminated") }
    }
}
