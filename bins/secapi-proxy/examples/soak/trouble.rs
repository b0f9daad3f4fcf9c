//! What happens to processes and connections: replicas are killed, paused and ended, PostgreSQL is restarted, and its
//! connections are cut. One replica at least is let run.

use std::time::Duration;

use persistence::testing::{Ending, postgres_restart};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    model::Model,
    rows::Database,
    stage::{Life, Stage},
};

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(100);

/// Makes trouble until it is stopped.
pub(crate) async fn make(
    stage: &mut Stage,
    mut chance: Chance,
    model: &Model,
    minutes: f64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let database = Database::at(&stage.database);
    // When each replica comes back.
    let mut back: Vec<Option<Instant>> = stage.replicas.iter().map(|_| None).collect();
    let mut next = Instant::now() + Duration::from_secs(3);
    // A short soak is not spent on waiting for one paused process: a third of it at most.
    let longest = ((minutes * 20_000.0) as u64).clamp(4_000, 40_000);
    while !stop.is_cancelled() {
        sleep(TICK).await;
        come_back(stage, &mut back, model).await?;
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + Duration::from_millis(chance.within(1_500..=6_000));
        let all_up = back.iter().all(Option::is_none);
        let index = usize::try_from(chance.next() % stage.replicas.len() as u64)?;
        let replica = &mut stage.replicas[index];
        match chance.within(0..=9) {
            0..=2 if all_up => {
                replica.kill();
                model.trouble("replica killed");
                back[index] = Some(Instant::now() + Duration::from_millis(chance.within(0..=6_000)));
            }
            3..=5 if all_up => {
                let time = if chance.once_in(3) { chance.within(1_000..=longest) } else { chance.within(200..=6_000) };
                replica.pause();
                model.trouble("replica paused");
                back[index] = Some(Instant::now() + Duration::from_millis(time));
            }
            6 if all_up => {
                match replica.stop().await {
                    Ok(()) => model.trouble("replica ended"),
                    Err(error) => model.defect(error.to_string()),
                }
                back[index] = Some(Instant::now() + Duration::from_millis(chance.within(0..=3_000)));
            }
            7 => {
                let crash = chance.once_in(2);
                postgres_restart(if crash { Ending::Crash } else { Ending::Fast }).await?;
                model.trouble(if crash { "PostgreSQL crashed" } else { "PostgreSQL restarted" });
            }
            // The database may be away.
            8..=9 if database.cut().await.is_ok() => model.trouble("connections cut"),
            // Both replicas at once are not troubled.
            _ => {}
        }
    }
    Ok(())
}

/// Starts or resumes what is due, and tells of a process that ended by itself.
async fn come_back(stage: &mut Stage, back: &mut [Option<Instant>], model: &Model) -> anyhow::Result<()> {
    for (replica, due) in stage.replicas.iter_mut().zip(back) {
        match (replica.life, *due) {
            (Life::Up, _) if replica.ended() => {
                model.defect(format!("{} ended by itself; its log says why", replica.name));
                replica.start(&stage.folder).await?;
            }
            (Life::Down, Some(at)) if Instant::now() >= at => {
                replica.start(&stage.folder).await?;
                *due = None;
            }
            (Life::Paused, Some(at)) if Instant::now() >= at => {
                replica.resume();
                *due = None;
            }
            _ => {}
        }
    }
    Ok(())
}
