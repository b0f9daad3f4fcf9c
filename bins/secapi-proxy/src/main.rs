//! The proxy: SECA in, Hetzner Cloud out. Thin: reads settings, puts the crates together, listens, stops.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command answers on the standard output")]

mod address;
mod cli;
mod config;
mod edge;
mod keys;
mod log;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    let _cli = cli::parse();
    ExitCode::SUCCESS
}
