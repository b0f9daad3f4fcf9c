//! `secapi-proxy orphans`: what the sweeps found at the provider that no resource claims, by the admin API.

use std::time::Duration;

use ::settings::Environment;
use comfy_table::Table;
use control_plane::ports::Clock as _;
use seca_client::{
    AdminClient, Error,
    admin::{Heir, Orphan, OrphanOrder},
};
use serde_json::json;
use token_provisioner::settings::admin_settings;

use crate::{
    Failure,
    cli::{OrphanArgs, Orphans, OrphansArgs},
    edge::SystemClock,
};

/// The width of the table where no terminal sets one.
const WIDTH: u16 = 110;
/// For how long it is looked whether an order was carried out.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often.
const EVERY: Duration = Duration::from_millis(500);

/// Asks, prints, and orders.
pub(crate) async fn run(command: &Orphans, environment: &Environment) -> Result<(), Failure> {
    let client = admin_settings(environment)?.client().map_err(|error| Failure::Other(error.into()))?;
    match command {
        Orphans::List(arguments) => list(&client, arguments).await,
        Orphans::Remove(arguments) => remove(&client, arguments).await,
        Orphans::Adopt(arguments) => {
            let into = Heir { region: arguments.region.clone(), ..arguments.into.clone() };
            adopt(&client, &arguments.orphan, &into).await
        }
    }
}

/// Fails with 3 where there are some.
async fn list(client: &AdminClient, arguments: &OrphansArgs) -> Result<(), Failure> {
    let orphans = client.orphans().await.map_err(failed)?;
    if arguments.json {
        println!("{}", json!({ "items": orphans }));
    } else if orphans.is_empty() {
        println!("there are none");
    } else {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["project", "type", "id", "name", "made", "of the resource with uid", "ordered"]);
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(WIDTH);
        }
        for orphan in &orphans {
            let made = orphan.created.map(|at| at.to_string()).unwrap_or_default();
            let (project, uid) = (orphan.project.clone().unwrap_or_default(), orphan.uid.clone().unwrap_or_default());
            let (object_type, id, name) = (orphan.object_type.clone(), orphan.id.clone(), orphan.name.clone());
            let ordered = orphan.order.as_ref().map(ordered).unwrap_or_default();
            table.add_row([project, object_type, id, name, made, uid, ordered]);
        }
        println!("{table}");
        println!("docs/operations.md says what they are, how to remove them and how to give them to resources.");
    }
    if orphans.is_empty() { Ok(()) } else { Err(Failure::Code(3)) }
}

/// What was ordered, in a few words.
fn ordered(order: &OrphanOrder) -> String {
    let what = match &order.into {
        Some(into) => format!("into {into}"),
        None => "removal".to_owned(),
    };
    let message = order.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{what}, {}{message}", order.state)
}

async fn remove(
    client: &AdminClient,
    OrphanArgs { project, object_type, id, yes }: &OrphanArgs,
) -> Result<(), Failure> {
    if !yes {
        println!(
            "this would be removed, and what it holds with it:\n{}",
            described(&find(client, project, object_type, id).await?)
        );
        println!("nothing was removed; say --yes to remove it");
        return Err(Failure::Code(3));
    }
    client.remove_orphan(project, object_type, id).await.map_err(failed)?;
    await_order(client, project, object_type, id, "it was removed").await
}

async fn adopt(
    client: &AdminClient,
    OrphanArgs { project, object_type, id, yes }: &OrphanArgs,
    into: &Heir,
) -> Result<(), Failure> {
    let path = [Some(&into.tenant), into.workspace.as_ref(), Some(&into.name)];
    let path = path.into_iter().flatten().cloned().collect::<Vec<_>>().join("/");
    if !yes {
        println!("this would be given to {path}:\n{}", described(&find(client, project, object_type, id).await?));
        println!("nothing was changed; say --yes to give it");
        return Err(Failure::Code(3));
    }
    client.adopt_orphan(project, object_type, id, into).await.map_err(failed)?;
    await_order(client, project, object_type, id, &format!("it is {path}'s now")).await
}

async fn find(client: &AdminClient, project: &str, object_type: &str, id: &str) -> Result<Orphan, Failure> {
    let found = client.orphan(project, object_type, id).await.map_err(failed)?;
    found.ok_or_else(|| {
        Failure::Other(anyhow::anyhow!(
            "the last sweep of project {project} saw no orphan {object_type} {id}; `secapi-proxy orphans list` shows all"
        ))
    })
}

/// Looks for a while what becomes of an order, which stays whoever looks.
async fn await_order(
    client: &AdminClient,
    project: &str,
    object_type: &str,
    id: &str,
    done: &str,
) -> Result<(), Failure> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = client.orphan(project, object_type, id).await.map_err(failed)?;
        let Some(orphan) = found else {
            println!("{done}");
            return Ok(());
        };
        let order = orphan.order;
        let message = order.as_ref().and_then(|order| order.message.clone()).unwrap_or_default();
        match order.as_ref().map(|order| order.state.as_str()) {
            Some("done") => {
                println!("{done}");
                return Ok(());
            }
            Some("refused") => return Err(Failure::Other(anyhow::anyhow!("it was refused: {message}"))),
            _ if tokio::time::Instant::now() < until => tokio::time::sleep(EVERY).await,
            _ => {
                let why = if message.is_empty() { "nobody has tried yet".to_owned() } else { message };
                println!(
                    "it is ordered, and not done yet ({why}); `secapi-proxy orphans list` shows what becomes of it"
                );
                return Ok(());
            }
        }
    }
}

/// All that is known of an orphan, a line each.
fn described(orphan: &Orphan) -> String {
    let mut lines = vec![format!("{} {} `{}`", orphan.object_type.replace('_', " "), orphan.id, orphan.name)];
    let label = |name: &str| orphan.labels.get(name).map(String::as_str);
    let size = orphan.size_gb.map(|gb| match orphan.object_type.as_str() {
        "server" => format!("a server with a disk of {gb} GB: what is on the disk is lost with it"),
        _ => format!("{gb} GB"),
    });
    let holds = (orphan.object_type == "server" && label("seca.kind") == Some("block-storage"))
        .then(|| "it is the disk of a block storage that no instance booted from".to_owned());
    let made = orphan.created.map(|at| {
        let days = (SystemClock.now().as_millis() - at.as_millis()) / 86_400_000;
        format!("made {at}, {days} days ago")
    });
    let was = label("seca.name").map(|name| {
        let place = [label("seca.tenant"), label("seca.workspace").filter(|text| !text.is_empty()), Some(name)];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join("/");
        format!("it was the {} {place}", label("seca.kind").unwrap_or("resource"))
    });
    let facts = [
        size,
        holds,
        orphan.address.as_ref().map(|address| format!("the address {address}")),
        orphan.location.as_ref().map(|location| format!("in {location}")),
        orphan.used_by.as_ref().map(|user| format!("the {user} has it")),
        made,
        was,
        orphan.order.as_ref().map(|order| format!("ordered: {}", ordered(order))),
    ];
    lines.extend(facts.into_iter().flatten());
    lines.extend(orphan.labels.iter().map(|(name, value)| format!("label {name}={value}")));
    lines.join("\n  ")
}

fn failed(error: Error) -> Failure {
    Failure::Other(error.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_told_with_the_disk_that_goes_with_it() {
        let orphan: Orphan = serde_json::from_value(json!({
            "type": "server", "id": "42", "name": "web-1", "sizeGB": 40, "location": "fsn1",
            "labels": {"seca.kind": "block-storage", "seca.tenant": "t", "seca.workspace": "w", "seca.name": "boot"},
        }))
        .unwrap();
        let told = described(&orphan);
        for part in [
            "server 42 `web-1`",
            "a server with a disk of 40 GB: what is on the disk is lost with it",
            "it is the disk of a block storage",
            "it was the block-storage t/w/boot",
            "label seca.name=boot",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let orphan: Orphan =
            serde_json::from_value(json!({"type": "placement_group", "id": "7", "name": "g"})).unwrap();
        assert_eq!(described(&orphan), "placement group 7 `g`");
    }
}
