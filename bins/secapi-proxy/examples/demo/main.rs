//! What a user does, from workspace to instance and back, against a `secapi-proxy dev`: the walk of SECA's usage page.
//!
//! ```sh
//! cargo run -p secapi-proxy --example demo     # a running dev, or one of its own
//! ```
//!
//! It prints each step and how long it took, and ends with 1 and a sentence at the first surprise.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

#[path = "../../src/http.rs"]
mod http;
mod look;
mod scenario;
mod server;
mod simulator;
mod speed;
mod stack;
mod steps;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{scenario::Scenario, server::Server, steps::Steps};

/// Drives a SECA server as a user would: workspace, network, security group, public IP, NIC, volumes, instance, start, stop,
/// delete. In between it shows what the simulated server really has.
///
/// Without flags it uses the `secapi-proxy dev` whose folder is .dev, and starts one of its own on free ports when
/// none runs.
#[derive(Debug, Parser)]
#[command(name = "demo", max_term_width = 110)]
struct Arguments {
    /// The server; needs --token-file unless it asks for no token
    #[arg(long, env = "SECA_DEMO_URL", value_name = "URL")]
    url: Option<String>,
    /// The file with the bearer token for --url
    #[arg(long, env = "SECA_DEMO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The simulator behind --url, to see what is left in it and how long its actions took
    #[arg(long, env = "SECA_DEMO_SIM", value_name = "URL")]
    sim: Option<String>,
    /// The file with the token of the simulated project, to look at the server itself
    #[arg(long, env = "SECA_DEMO_SIM_TOKEN_FILE", value_name = "FILE", requires = "sim")]
    sim_token_file: Option<PathBuf>,
    /// The folder of the dev server to look for
    #[arg(long, value_name = "FOLDER", default_value = ".dev")]
    dir: PathBuf,
    /// Start a server of its own, whatever runs
    #[arg(long, conflicts_with = "url")]
    own: bool,
    /// The tenant
    #[arg(long, value_name = "NAME", default_value = "dev")]
    tenant: String,
    /// The region
    #[arg(long, value_name = "NAME", default_value = "fsn1")]
    region: String,
    /// How long a single step may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let server = Server::find(&arguments, &mut steps).await?;
    let scenario = Scenario::connect(&arguments, &server, &mut steps).await?;
    let patience = Duration::from_secs(arguments.patience);
    let outcome = match scenario.run(&mut steps, patience).await {
        Ok(()) => scenario.check_left(&mut steps).await,
        Err(error) => {
            scenario.clean_up(&mut steps).await;
            Err(error)
        }
    };
    let calls = scenario.calls().await;
    match outcome {
        Ok(()) => server.stop(&mut steps).await?,
        Err(error) => return Err(server.abandon(error).await),
    }
    steps.finish(&calls);
    Ok(())
}
