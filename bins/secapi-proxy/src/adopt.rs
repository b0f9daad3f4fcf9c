//! `secapi-proxy adopt-projects`: what going on would do in the projects that another database rules, and going on.

use std::sync::Arc;

use anyhow::Context as _;
use comfy_table::Table;
use control_plane::{
    engine::{Adoption, AdoptionParts},
    ports::{Clock, Rng},
};
use credential_vault::CredentialVault;
use hetzner_adapter::HetznerProvider;
use serde_json::{Value, json};

use crate::{
    cli::AdoptArgs,
    config::ServeConfig,
    database,
    edge::{SystemClock, SystemRng},
    metering::Metering,
    proxy,
};

/// The width of the table where no terminal sets one.
const WIDTH: u16 = 110;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No project is paused, or none any more.
    Done,
    /// A project could not be looked at, or not be gone on with.
    Failed,
    /// Projects are paused, and nobody said `--yes`.
    StillPaused,
}

/// Looks, shows, and goes on if told so.
pub(crate) async fn run(config: &ServeConfig, arguments: &AdoptArgs) -> anyhow::Result<Ended> {
    let store = database::open(&config.database_url, database::Prepare::Never).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let provider = proxy::provider(config, clock.clone(), rng.clone(), &Metering::off(&store))?;
    let catalog = proxy::catalog(config, &store, &provider, None).await?;
    let vault = CredentialVault::new(&config.keys, rng.clone()).context("the keys cannot be used")?;
    let parts = AdoptionParts {
        store: Arc::new(store.clone()),
        provider: Arc::new(provider),
        vault: Arc::new(vault),
        clock,
        rng,
        catalog,
        default_endpoint: config.endpoints.default.clone(),
        stop_grace: config.stop_grace,
    };
    let ended = adopt(&parts, arguments).await;
    store.close().await;
    ended
}

async fn adopt(parts: &AdoptionParts<HetznerProvider>, arguments: &AdoptArgs) -> anyhow::Result<Ended> {
    let mut adoptions = parts.look().await?;
    if let Some(wanted) = &arguments.project {
        adoptions.retain(|adoption| adoption.project.0 == *wanted);
        anyhow::ensure!(
            !adoptions.is_empty(),
            "no project {wanted} is paused; without --project all that are paused are named"
        );
    }
    let mut outcomes = Vec::new();
    for adoption in &adoptions {
        let outcome = match &adoption.next {
            None => Err("it cannot be looked at".to_owned()),
            Some(_) if !arguments.yes => Ok(false),
            Some(epoch) if parts.adopt(&adoption.project, epoch).await? => Ok(true),
            Some(_) => Err("it is not paused any more; look again".to_owned()),
        };
        outcomes.push(outcome);
    }
    if arguments.json {
        let view = |(adoption, outcome): (&Adoption, &Result<bool, String>)| {
            let mut view = json!(adoption);
            view["adopted"] = json!(*outcome == Ok(true));
            view
        };
        let items: Vec<Value> = adoptions.iter().zip(&outcomes).map(view).collect();
        println!("{:#}", json!({ "items": items }));
    } else if adoptions.is_empty() {
        println!("No project is paused: no other database rules one of them.");
    } else {
        adoptions.iter().zip(&outcomes).for_each(|(adoption, outcome)| show(adoption, outcome));
    }
    Ok(match outcomes {
        outcomes if outcomes.iter().any(Result::is_err) => Ended::Failed,
        outcomes if outcomes.contains(&Ok(false)) => Ended::StillPaused,
        _ => Ended::Done,
    })
}

fn show(adoption: &Adoption, outcome: &Result<bool, String>) {
    println!("project {}", adoption.project);
    println!("paused: {}", adoption.paused);
    match &adoption.problem {
        Some(problem) => println!("what going on would do cannot be said: {problem}"),
        None if adoption.consequences.is_empty() => println!("going on would delete or change: nothing"),
        None => {
            println!("going on would delete or change:");
            let mut table = Table::new();
            table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["of", "does", "what"]);
            table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
            if table.width().is_none() {
                table.set_width(WIDTH);
            }
            for consequence in &adoption.consequences {
                table.add_row([&consequence.subject, consequence.does.as_str(), &consequence.what]);
            }
            println!("{table}");
        }
    }
    match outcome {
        Ok(true) => println!("this database rules the project from now on\n"),
        Ok(false) => println!("nothing was done; --yes lets this database rule the project\n"),
        Err(why) => println!("nothing was done: {why}\n"),
    }
}
