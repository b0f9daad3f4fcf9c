//! The end: quiet until all rests and is true, and the deletion of everything. Both wait on state, and not for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::bail;
use seca_client::{
    Collection, SecaClient, Writable,
    seca_api::{
        BlockStorage, Image, Instance, InternetGateway, Kind, Network, Nic, PublicIp, ResourceState, RouteTable,
        SecurityGroup, SecurityGroupRule, Subnet, Workspace,
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    faults,
    fleet::{Answer, Fleet},
    judge::{Scene, Violation, judge},
    model::Key,
    person::Person,
    rows::{self, Row},
    soak::Soak,
    stage::LATE_WINDOW,
};

/// How long it may take until all rests.
const PATIENCE: Duration = Duration::from_secs(150);
/// What does not change for so long does not change any more.
const STILL: Duration = Duration::from_secs(60);
/// How long the rows of one kind may take to go, and how long when others are in their way.
const REMOVAL: Duration = Duration::from_secs(60);
const BLOCKED: Duration = Duration::from_secs(10);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Ends all trouble and waits until nothing is wrong; else what is.
pub(crate) async fn quiet(soak: &mut Soak, person: Option<&Person>) -> anyhow::Result<Vec<Violation>> {
    soak.fault_counts = faults::counts(&soak.stage.sim).await;
    soak.failing = faults::failing(&soak.stage.sim).await;
    faults::end(&soak.stage.sim).await;
    soak.stage.raise().await?;
    if let Some(person) = person {
        let deadline = Instant::now() + PATIENCE;
        while person.tidy().await? > 0 && Instant::now() < deadline {
            sleep(LOOK / 4).await;
        }
    }
    // Until then a call of before may take effect, and an object of it is no leftover yet.
    sleep(LATE_WINDOW).await;
    soak.stage.renew().await?;
    let mut violations = settle(soak, true).await?;
    let places = if violations.is_empty() { BTreeMap::new() } else { soak.database.places().await? };
    for stuck in violations.iter_mut().filter(|violation| violation.rule == "stuck") {
        if let Some(place) = stuck.uid.as_ref().and_then(|uid| places.get(uid)) {
            stuck.text = format!("{}; {place}", stuck.text);
        }
    }
    Ok(violations)
}

/// Looks until nothing is wrong, or time is up. What belongs to no row is swept when a project is read again, so that is
/// asked for once more.
async fn settle(soak: &mut Soak, mut may_renew: bool) -> anyhow::Result<Vec<Violation>> {
    let deadline = Instant::now() + PATIENCE;
    let mut since_change = Instant::now();
    let mut before: BTreeSet<String> = BTreeSet::new();
    loop {
        let violations = look(soak).await;
        match &violations {
            Ok(violations) if violations.is_empty() => return Ok(Vec::new()),
            Ok(violations) => {
                let now: BTreeSet<String> = violations.iter().map(|violation| violation.text.clone()).collect();
                if now != before {
                    since_change = Instant::now();
                    before = now;
                }
                if may_renew && since_change.elapsed() > STILL / 2 {
                    may_renew = false;
                    soak.stage.renew().await?;
                }
                if since_change.elapsed() > STILL {
                    return Ok(violations.clone());
                }
            }
            Err(_) => {}
        }
        if Instant::now() > deadline {
            return violations;
        }
        sleep(LOOK).await;
    }
}

/// Everything that is wrong now.
async fn look(soak: &Soak) -> anyhow::Result<Vec<Violation>> {
    let rows = read(&soak.fleet, soak).await?;
    let objects = soak.cloud.objects(&soak.projects).await?;
    let open = soak.database.open_steps().await?;
    let (wanted, destroyed) = (soak.model.wanted(), soak.model.destroyed());
    let (lives, foreign) = (soak.ledger.lives(), soak.model.foreign());
    Ok(judge(&Scene {
        rows: &rows,
        objects: &objects,
        open: &open,
        wanted: &wanted,
        lives: &lives,
        destroyed: &destroyed,
        foreign: &foreign,
        bound: &soak.markers,
    }))
}

async fn read(fleet: &Fleet, soak: &Soak) -> anyhow::Result<Vec<Row>> {
    let mut problem = None;
    for client in fleet.clients() {
        match rows::read(&client, &soak.database).await {
            Ok(rows) => return Ok(rows),
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(error) => Err(error),
        None => bail!("there is no replica"),
    }
}

/// Deletes everything, kind by kind, then the workspaces; what was found, and what is left or is in the way.
pub(crate) async fn delete_all(soak: &mut Soak, found: Vec<Violation>) -> anyhow::Result<Vec<Violation>> {
    soak.model.forget_wishes();
    let mut found = found;
    let mut patience = REMOVAL;
    for kinds in [
        &[Kind::Instance][..],
        &[Kind::Image],
        &[Kind::BlockStorage, Kind::Nic],
        &[Kind::PublicIp, Kind::RouteTable, Kind::Subnet],
        &[Kind::Network, Kind::InternetGateway, Kind::SecurityGroup],
        &[Kind::SecurityGroupRule],
    ] {
        let left = remove(soak, kinds, patience).await?;
        if !left.is_empty() {
            patience = BLOCKED;
        }
        found.extend(left);
    }
    sleep(LATE_WINDOW).await;
    // A project is swept when it is read again, and it is read while a workspace of it is there.
    soak.stage.renew().await?;
    let left = settle(soak, false).await?;
    found.extend(left.into_iter().filter(|violation| !found_before(&found, violation)).collect::<Vec<_>>());
    found.extend(remove(soak, &[Kind::Workspace], patience).await?);
    let left = settle(soak, false).await?;
    found.extend(left.into_iter().filter(|violation| !found_before(&found, violation)).collect::<Vec<_>>());
    found.extend(beside_markers(soak, &found).await?);
    Ok(found)
}

fn found_before(found: &[Violation], violation: &Violation) -> bool {
    let is_same = |before: &Violation| {
        let is_about_it =
            if violation.uid.is_some() { before.uid == violation.uid } else { before.text == violation.text };
        is_about_it && before.rule == violation.rule
    };
    found.iter().any(is_same)
}

/// Objects of ours that are left when there is no row any more: the markers alone may be.
async fn beside_markers(soak: &Soak, found: &[Violation]) -> anyhow::Result<Vec<Violation>> {
    let objects = soak.cloud.objects(&soak.projects).await?;
    let told: BTreeSet<i64> = found.iter().flat_map(|violation| violation.objects.clone()).collect();
    let left = objects.iter().filter(|object| object.is_managed() && !object.is_marker() && !told.contains(&object.id));
    Ok(left
        .map(|object| Violation {
            rule: "left",
            text: format!("{object} is left although everything was deleted"),
            uid: object.uid().map(str::to_owned),
            objects: vec![object.id],
        })
        .collect())
}

/// Deletes every row of some kinds until there is none.
async fn remove(soak: &mut Soak, kinds: &[Kind], patience: Duration) -> anyhow::Result<Vec<Violation>> {
    let deadline = Instant::now() + patience;
    loop {
        let rows: Vec<Row> = match read(&soak.fleet, soak).await {
            Ok(rows) => rows.into_iter().filter(|row| kinds.contains(&row.key.kind)).collect(),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {
                sleep(LOOK).await;
                continue;
            }
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut refusals = Vec::new();
        for row in rows.iter().filter(|row| !row.is(ResourceState::Deleting)) {
            if let Answer::Refused { error, .. } = delete(&mut soak.fleet, &row.key).await {
                refusals.push(error.to_string());
            }
        }
        if Instant::now() > deadline {
            let of = |row: &Row| Violation {
                rule: "stuck",
                text: format!(
                    "{} and does not go{}",
                    row.words(),
                    refusals.first().map_or_else(String::new, |why| format!(": {why}"))
                ),
                uid: Some(row.uid.clone()),
                objects: Vec::new(),
            };
            return Ok(rows.iter().map(of).collect());
        }
        sleep(LOOK / 2).await;
    }
}

async fn delete(fleet: &mut Fleet, key: &Key) -> Answer {
    match key.kind {
        Kind::Workspace => delete_in(fleet, key, |c, _| c.collection::<Workspace>(())).await,
        Kind::Image => delete_in(fleet, key, |c, _| c.collection::<Image>(())).await,
        Kind::BlockStorage => delete_in(fleet, key, in_workspace::<BlockStorage>).await,
        Kind::Instance => delete_in(fleet, key, in_workspace::<Instance>).await,
        Kind::Network => delete_in(fleet, key, in_workspace::<Network>).await,
        Kind::Subnet => delete_in(fleet, key, in_network::<Subnet>).await,
        Kind::RouteTable => delete_in(fleet, key, in_network::<RouteTable>).await,
        Kind::InternetGateway => delete_in(fleet, key, in_workspace::<InternetGateway>).await,
        Kind::Nic => delete_in(fleet, key, in_workspace::<Nic>).await,
        Kind::PublicIp => delete_in(fleet, key, in_workspace::<PublicIp>).await,
        Kind::SecurityGroup => delete_in(fleet, key, in_workspace::<SecurityGroup>).await,
        Kind::SecurityGroupRule => delete_in(fleet, key, in_workspace::<SecurityGroupRule>).await,
        _ => Answer::None,
    }
}

fn in_workspace<R: Writable>(client: &SecaClient, key: &Key) -> Collection<R> {
    client.collection(key.workspace.as_str())
}

fn in_network<R: Writable>(client: &SecaClient, key: &Key) -> Collection<R> {
    client.collection((key.workspace.as_str(), key.network.as_str()))
}

async fn delete_in<R: Writable>(
    fleet: &mut Fleet,
    key: &Key,
    collection: impl Fn(&SecaClient, &Key) -> Collection<R>,
) -> Answer {
    fleet
        .user(|client| {
            let (collection, name) = (collection(&client, key), key.name.clone());
            async move { collection.delete(&name).await }
        })
        .await
}
