//! Two releases beside each other: the new one takes the leases over from the old one, by SIGTERM and by SIGKILL, and the
//! old one takes none back, because its engine is older.
//!
//! The old release may refuse to start on a schema that the new one migrated, though it must go on working on it. So
//! its processes are started before the migration, one for each time that it is to be alone, and paused until then.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    model::Model,
    rows::Database,
    stage::{Life, Stage},
};

/// How long one release holds the leases before the other is to take over.
pub(crate) const TURN: Duration = Duration::from_secs(20);
/// How long a hand-over may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the processes of the old release on an empty database, and lets only the first one run; then migrates.
pub(crate) async fn prepare(stage: &mut Stage, model: &Model) -> anyhow::Result<()> {
    for index in 1..stage.replicas.len() {
        let folder = stage.folder.clone();
        stage.replicas[index].start(&folder).await.context("the old release does not start on an empty database")?;
        if index > 1 {
            stage.replicas[index].pause();
        }
    }
    stage.migrate().await?;
    model.trouble("schema migrated by the new release");
    // Once, so that there is a client of it. The first old one holds all leases when it is gone.
    let folder = stage.folder.clone();
    stage.replicas[0].start(&folder).await?;
    stage.replicas[0].stop().await?;
    stage.routes.set(vec![1]);
    Ok(())
}

/// Hands over until told to stop. Ends with one process of each release running.
pub(crate) async fn make(stage: &mut Stage, model: &Model, stop: CancellationToken) -> anyhow::Result<()> {
    let database = Database::at(&stage.database);
    let (new, mut old) = (0, 1);
    let folder = stage.folder.clone();
    let mut is_over = turn(&stop).await;
    while !is_over {
        // Forward: the new one is there before the old one goes.
        if stage.replicas[new].life == Life::Down {
            stage.replicas[new].start(&folder).await?;
        }
        stage.routes.set(vec![new]);
        end(stage, old, old % 2 == 0, model).await?;
        wait_for(stage, new, &database, model).await?;
        if turn(&stop).await || old + 1 == stage.replicas.len() {
            break;
        }
        // The next old one wakes up, and the new one goes: users are served, and the projects wait for a newer engine.
        old += 1;
        stage.replicas[old].resume();
        stage.routes.set(vec![old]);
        end(stage, new, old % 2 == 1, model).await?;
        is_over = keeps_away(stage, old, &database, model, &stop).await?;
    }
    if stage.replicas[new].life == Life::Down {
        stage.replicas[new].start(&folder).await?;
    }
    stage.routes.set(vec![new]);
    Ok(())
}

/// Lets time go by; true when it is over.
async fn turn(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = sleep(TURN) => false,
        () = stop.cancelled() => true,
    }
}

async fn end(stage: &mut Stage, index: usize, kill: bool, model: &Model) -> anyhow::Result<()> {
    if kill {
        stage.replicas[index].kill();
        model.trouble("holder killed");
        return Ok(());
    }
    model.trouble("holder ended");
    if let Err(error) = stage.replicas[index].stop().await {
        model.defect(error.to_string());
    }
    Ok(())
}

/// Lets a turn go by in which only the old release runs: it must take no project that the new one had. True when the time
/// is over.
async fn keeps_away(
    stage: &mut Stage,
    index: usize,
    database: &Database,
    model: &Model,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    // What was killed left its leases behind.
    let deadline = Instant::now() + PATIENCE;
    while database.newest_leased().await.unwrap_or(true) {
        if Instant::now() > deadline {
            model.defect(format!("{} took a project that a newer engine had", stage.replicas[index].name));
            return Ok(turn(stop).await);
        }
        sleep(Duration::from_millis(200)).await;
    }
    let is_over = turn(stop).await;
    if stage.replicas[index].ended() {
        bail!("{} ended by itself; its log says why", stage.replicas[index].name);
    }
    if database.newest_leased().await? {
        model.defect(format!("{} took a project that a newer engine had", stage.replicas[index].name));
    }
    model.trouble("older release alone");
    Ok(is_over)
}

/// Waits until the leases of all projects are held by somebody again: of the two releases, one process runs.
async fn wait_for(stage: &mut Stage, index: usize, database: &Database, model: &Model) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if stage.replicas[index].ended() {
            bail!("{} ended by itself; its log says why", stage.replicas[index].name);
        }
        if database.all_leased().await.unwrap_or(false) {
            model.trouble("hand-over");
            return Ok(());
        }
        if Instant::now() > deadline {
            model.defect(format!("{} did not take over all projects", stage.replicas[index].name));
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
}
