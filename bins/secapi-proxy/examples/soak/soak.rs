//! The course of a soak: trouble, quiet, judgement, deletion, judgement.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Arguments,
    chance::Chance,
    cloud::Cloud,
    deeds::{self, Known},
    end, faults,
    fleet::Fleet,
    hand_over,
    ledger::{Ledger, now_ms},
    model::Model,
    person::Person,
    report,
    rows::Database,
    stage::{CloudProject, Stage},
    trouble,
    user::{self, User},
};

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(5);
/// The workspaces and the projects that they are bound to: some share one.
const WORKSPACES: [(&str, usize, usize); 5] =
    [("red", 0, 0), ("green", 0, 1), ("blue", 1, 0), ("grey", 1, 0), ("white", 2, 0)];
/// The longest pause between two calls of a user, in milliseconds.
const PAUSE: u64 = 900;

/// What every part works with.
pub(crate) struct Soak {
    pub(crate) stage: Stage,
    pub(crate) fleet: Fleet,
    pub(crate) cloud: Cloud,
    pub(crate) database: Database,
    pub(crate) model: Model,
    pub(crate) ledger: Ledger,
    pub(crate) projects: Arc<Vec<CloudProject>>,
    /// How often each kind of fault struck.
    pub(crate) fault_counts: BTreeMap<&'static str, u64>,
    /// Faults by which actions fail.
    pub(crate) failing: BTreeSet<u64>,
    /// The projects by their names, and the ids that their markers have from the beginning.
    pub(crate) markers: Vec<(String, String)>,
    /// From when to when there was trouble, in milliseconds of the wall clock.
    pub(crate) troubled: (i64, i64),
}

/// All of it; whether there is no violation.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| Chance::of(now_ms().unsigned_abs(), "seed").next() % 1_000_000);
    let folder = folder(&arguments, seed)?;
    println!("soak: seed {seed}, {} minutes, logs in {}", arguments.minutes, folder.display());
    let started = Instant::now();
    let model = Model::default();
    let mut stage = Stage::build(&arguments, &folder).await?;
    match &arguments.old_binary {
        None => {
            stage.raise().await?;
            stage.routes.set(vec![0, 1]);
        }
        Some(_) => hand_over::prepare(&mut stage, &model).await?,
    }
    let mut soak = connect(stage, model, seed)?;
    let users = soak.populate(seed).await?;
    println!("soak: {} workspaces in {} projects, after {:.0} s", users.len(), soak.projects.len(), seconds(started));

    let (stop, follow) = (CancellationToken::new(), CancellationToken::new());
    let mut followers = JoinSet::new();
    followers.spawn(soak.ledger.clone().follow_rows(soak.database.clone(), follow.clone()));
    followers.spawn(soak.ledger.clone().follow_journal(soak.stage.sim.clone(), follow.clone()));
    soak.troubled.0 = now_ms();
    let person = soak.trouble(&arguments, seed, users, &stop).await?;
    soak.troubled.1 = now_ms();
    println!("soak: quiet, after {:.0} s", seconds(started));

    let violations = end::quiet(&mut soak, person.as_ref()).await?;
    println!("soak: deleting everything, after {:.0} s", seconds(started));
    let mut violations = end::delete_all(&mut soak, violations).await?;
    follow.cancel();
    while followers.join_next().await.is_some() {}
    soak.ledger.write()?;
    let (lives, restarts) = (soak.ledger.lives(), soak.model.restarts());
    let known = Known { lives: &lives, failing: &soak.failing, restarts: &restarts };
    violations.extend(deeds::judge(&soak.ledger.journal(), &known));
    report::print(&soak, &violations, &arguments, seed).await
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn folder(arguments: &Arguments, seed: u64) -> anyhow::Result<PathBuf> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => {
            // An example lies two folders below.
            let example = std::env::current_exe()?;
            let target = example.ancestors().nth(3).context("this example is in no target folder")?;
            target.join("soak").join(seed.to_string())
        }
    };
    if arguments.folder.is_none() && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(fs::canonicalize(folder)?)
}

fn connect(stage: Stage, model: Model, seed: u64) -> anyhow::Result<Soak> {
    let admins = stage.replicas.iter().map(|replica| replica.admin()).collect::<Result<_, _>>()?;
    let fleet = Fleet::new(stage.clients()?, admins, stage.routes.clone(), Chance::of(seed, "fleet"));
    Ok(Soak {
        fleet,
        cloud: Cloud::at(stage.sim.endpoint()),
        database: Database::at(&stage.database),
        model,
        ledger: Ledger::new(&stage.folder),
        projects: Arc::new(stage.projects.clone()),
        fault_counts: BTreeMap::new(),
        failing: BTreeSet::new(),
        markers: Vec::new(),
        troubled: (0, 0),
        stage,
    })
}

impl Soak {
    /// A user for each workspace, all bound.
    async fn populate(&mut self, seed: u64) -> anyhow::Result<Vec<User>> {
        let mut users = Vec::new();
        for (name, project, token) in WORKSPACES {
            let mut user = self.user(name, seed);
            let token = &self.projects[project].tokens[token];
            anyhow::ensure!(user.settle(token).await, "the workspace {name} cannot be made and bound");
            users.push(user);
        }
        for project in self.projects.iter() {
            let groups = self.cloud.list(project, "placement_groups").await?;
            let marker = groups.iter().find(|group| group.is_marker()).context("a bound project has no marker")?;
            self.markers.push((project.name.clone(), marker.project_id().to_owned()));
        }
        Ok(users)
    }

    fn user(&self, workspace: &str, seed: u64) -> User {
        User {
            workspace: workspace.to_owned(),
            fleet: self.fleet.with(Chance::of(seed, &format!("replicas of {workspace}"))),
            model: self.model.clone(),
            chance: Chance::of(seed, workspace),
            pause: PAUSE,
            serial: 0,
        }
    }

    /// Everything that goes wrong, for as long as was asked for. The person is handed back, to tidy up.
    async fn trouble(
        &mut self,
        arguments: &Arguments,
        seed: u64,
        users: Vec<User>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Person>> {
        let time = Duration::from_secs_f64(arguments.minutes * 60.0);
        let mut working = JoinSet::new();
        for user in users {
            working.spawn(user.work(stop.clone()));
        }
        let tokens = self.projects.iter().flat_map(|project| project.tokens.clone()).collect();
        working.spawn(user::guests(self.user("guest", seed), tokens, stop.clone()));
        working.spawn(progress(self.model.clone(), time, stop.clone()));
        let mut by_hand = JoinSet::new();
        if arguments.old_binary.is_none() {
            let mut person = Person {
                cloud: self.cloud.clone(),
                projects: self.projects.clone(),
                model: self.model.clone(),
                chance: Chance::of(seed, "person"),
                serial: 0,
                markers: 1 + arguments.minutes as u64 / 5,
            };
            person.prepare().await?;
            faults::begin(&self.stage.sim, &mut Chance::of(seed, "faults")).await;
            by_hand.spawn(person.work(stop.clone()));
            let sim = self.stage.sim.clone();
            let (chance, stop) = (Chance::of(seed, "holds"), stop.clone());
            working.spawn(async move { faults::release(&sim, chance, stop).await });
        }
        let clock = {
            let stop = stop.clone();
            tokio::spawn(async move {
                sleep(time).await;
                stop.cancel();
            })
        };
        let made = match &arguments.old_binary {
            None => {
                let chance = Chance::of(seed, "trouble");
                trouble::make(&mut self.stage, chance, &self.model, arguments.minutes, stop.clone()).await
            }
            Some(_) => hand_over::make(&mut self.stage, &self.model, stop.clone()).await,
        };
        stop.cancel();
        clock.abort();
        made?;
        // A user may wait for a replica that is paused.
        self.stage.raise().await?;
        while let Some(ended) = working.join_next().await {
            ended?;
        }
        match by_hand.join_next().await {
            Some(person) => Ok(Some(person??)),
            None => Ok(None),
        }
    }
}

/// Prints where it is, now and then.
async fn progress(model: Model, time: Duration, stop: CancellationToken) {
    let started = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            () = sleep(PROGRESS) => {}
            () = stop.cancelled() => return,
        }
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.sum::<u64>();
        println!(
            "soak: {:.0} of {:.0} s: {} calls of users, {} by hand, {} troubles",
            seconds(started),
            time.as_secs_f64(),
            sum(&mut model.operations().into_values()),
            sum(&mut model.deeds().into_values()),
            sum(&mut model.troubles().into_values()),
        );
    }
}
