//! The proxy: SECA in, Hetzner Cloud out. Thin: reads settings, puts the crates together, listens, stops.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command answers on the standard output")]

mod address;
mod adopt;
mod backup;
mod build;
mod cli;
mod config;
mod database;
mod descriptors;
mod dev;
mod doctor;
mod edge;
mod http;
mod issuer_keys;
mod keys;
mod log;
mod metering;
mod migrate;
mod orphans;
mod proxy;
mod prune;
mod regions;
mod rotate_keys;
mod serve;
mod settings;
mod tenants;
mod token;
mod unused;

use std::{future::Future, process::ExitCode};

use ::settings::{Environment, Problem};

use crate::{
    cli::{AdoptArgs, BackupArgs, Command, CommonArgs, DevArgs, Migrate, Orphans, ServeArgs},
    settings::{Flag, Setting, Settings},
};

/// Half again as many reads a second as the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a command did not do.
enum Failure {
    /// Settings are missing or wrong: exit code 2, a sentence each.
    Settings(Vec<Problem>),
    /// Anything else: exit code 1 and a sentence.
    Other(anyhow::Error),
    /// Said already: exit code 1.
    Said,
    /// Said already: another exit code, which the command's help explains.
    Code(u8),
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Settings(problems)
    }
}

impl From<anyhow::Error> for Failure {
    /// A setting that only the database shows to be wrong is told like any other.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Problem>() {
            Ok(problem) => Self::Settings(vec![problem]),
            Err(error) => Self::Other(error),
        }
    }
}

fn main() -> ExitCode {
    install_jwt_crypto();
    let cli = cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(arguments) => serve(&arguments),
        Command::Dev(arguments) => dev(arguments),
        Command::Migrate(command) => migrate(&command),
        Command::Token(command) => token::run(&command),
        Command::RotateKeys(arguments) => rotate_keys(&arguments),
        Command::AdoptProjects(arguments) => adopt_projects(&arguments),
        Command::Backup(arguments) => backup(&arguments),
        Command::Orphans(command) => orphans(&command),
        Command::Doctor(arguments) => doctor(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Settings(problems)) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            eprintln!("secapi-proxy: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Code(code)) => ExitCode::from(code),
    }
}

/// What checks signed tokens, for the whole process: the library keeps it in one place.
fn install_jwt_crypto() {
    let installed = authentication::RING.install_default();
    debug_assert!(installed.is_ok(), "nobody else installs one");
}

fn serve(arguments: &ServeArgs) -> Result<(), Failure> {
    let unused = unused::variables(&Environment::of_process());
    let settings = read(&arguments.common, arguments.flags())?;
    let log = config::log(&settings);
    let mut config = both(log.clone(), config::serve(&settings))?;
    config.notes.extend(unused.iter().map(ToString::to_string));
    block_on(serve::run(config, log?, arguments.ready_file.as_deref()))
}

fn dev(arguments: DevArgs) -> Result<(), Failure> {
    let flags = [(Setting::LogLevel, arguments.log_level.clone()), (Setting::LogFormat, arguments.log_format.clone())];
    log::start(&config::log(&Settings::of(flags))?);
    block_on(dev::run(arguments))
}

fn migrate(command: &Migrate) -> Result<(), Failure> {
    let common = match command {
        Migrate::Up(common) | Migrate::Status(common) => common,
        Migrate::Down(down) => &down.common,
    };
    let settings = read(common, common.flags())?;
    let url = both(config::log(&settings), config::database(&settings))?;
    block_on(migrate::run(command, &url))
}

fn rotate_keys(arguments: &CommonArgs) -> Result<(), Failure> {
    let settings = read(arguments, arguments.flags())?;
    let config = both(config::log(&settings), config::rotate(&settings))?;
    block_on(rotate_keys::run(config))
}

fn adopt_projects(arguments: &AdoptArgs) -> Result<(), Failure> {
    let settings = read(&arguments.common, arguments.common.flags())?;
    let config = both(config::log(&settings), config::serve(&settings))?;
    match block_on(adopt::run(&config, arguments))? {
        adopt::Ended::Done => Ok(()),
        adopt::Ended::Failed => Err(Failure::Said),
        adopt::Ended::StillPaused => Err(Failure::Code(3)),
    }
}

fn orphans(command: &Orphans) -> Result<(), Failure> {
    block_on(async { Ok(orphans::run(command, &Environment::of_process()).await) })?
}

fn backup(arguments: &BackupArgs) -> Result<(), Failure> {
    let settings = read(&arguments.common, arguments.common.flags())?;
    let url = both(config::log(&settings), config::database(&settings))?;
    match block_on(backup::run(&url, &arguments.file))? {
        backup::Ended::Done => Ok(()),
        backup::Ended::Elsewhere => Err(Failure::Code(3)),
    }
}

fn doctor(arguments: &ServeArgs) -> Result<(), Failure> {
    let settings = read(&arguments.common, arguments.flags());
    let unused = unused::variables(&Environment::of_process());
    let good = block_on(async { Ok(doctor::run(settings, unused).await) })?;
    if good { Ok(()) } else { Err(Failure::Said) }
}

fn read(common: &CommonArgs, flags: Vec<Flag>) -> Result<Settings, Vec<Problem>> {
    Settings::read(flags, &Environment::of_process(), common.config.as_deref())
}

/// Starts logging and gives the configuration on, or tells the problems of both.
fn both<T>(log: Result<config::LogConfig, Vec<Problem>>, config: Result<T, Vec<Problem>>) -> Result<T, Vec<Problem>> {
    match (log, config) {
        (Ok(log), Ok(config)) => {
            log::start(&log);
            Ok(config)
        }
        (log, config) => Err(log.err().into_iter().chain(config.err()).flatten().collect()),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::Other(error.into()))?;
    Ok(runtime.block_on(work)?)
}
